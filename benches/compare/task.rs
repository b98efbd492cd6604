//! What /proc says about a proxy: the CPU and the memory of a process, all its threads and all its
//! descendants, those that ended included where their parent waited for them.

use std::fs;
use std::ops::Sub;
use std::time::Duration;

/// A process and its descendants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tree {
    root: u32,
}

/// CPU time, monotonic as long as the tree's root lives.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    /// Exact where the kernel keeps `schedstat`, else to the tick.
    pub(crate) total: Duration,
    /// By ticks: a share, not a figure.
    pub(crate) user: Duration,
    /// By ticks: a share, not a figure.
    pub(crate) system: Duration,
}

/// Resident memory in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// All that is resident, files and shared libraries included.
    pub(crate) resident: u64,
    /// What only this process has: heap and stacks.
    pub(crate) anonymous: u64,
}

impl Tree {
    pub(crate) fn of(root: u32) -> Self {
        Self { root }
    }

    /// The root first, then each level of descendants.
    pub(crate) fn pids(self) -> Vec<u32> {
        let mut pids = vec![self.root];
        let mut next = 0;
        while let Some(&pid) = pids.get(next) {
            next += 1;
            for thread in threads(pid) {
                let children = fs::read_to_string(format!("/proc/{pid}/task/{thread}/children"));
                pids.extend(
                    children.unwrap_or_default().split_whitespace().filter_map(|p| p.parse::<u32>().ok()),
                );
            }
        }
        pids
    }

    pub(crate) fn cpu(self) -> Cpu {
        self.pids().into_iter().map(process_cpu).fold(Cpu::default(), |sum, cpu| Cpu {
            total: sum.total + cpu.total,
            user: sum.user + cpu.user,
            system: sum.system + cpu.system,
        })
    }

    pub(crate) fn memory(self) -> Memory {
        self.pids().into_iter().map(process_memory).fold(Memory::default(), |sum, memory| Memory {
            resident: sum.resident + memory.resident,
            anonymous: sum.anonymous + memory.anonymous,
        })
    }
}

impl Cpu {
    /// The part spent in the kernel; 0 where no tick passed.
    pub(crate) fn system_share(self) -> f64 {
        let both = (self.user + self.system).as_secs_f64();
        if both > 0.0 { self.system.as_secs_f64() / both } else { 0.0 }
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            total: self.total.saturating_sub(earlier.total),
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

fn process_cpu(pid: u32) -> Cpu {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let [user, system, waited_user, waited_system] = ticks(&stat);
    // The threads alive, to the nanosecond; the whole process, ended threads included, to the tick.
    // The larger is the truer: both only ever leave something out.
    let alive: u64 = threads(pid).map(|thread| run_nanoseconds(pid, thread)).sum();
    let own = (user + system).max(Duration::from_nanos(alive));
    Cpu { total: own + waited_user + waited_system, user: user + waited_user, system: system + waited_system }
}

/// utime, stime, cutime and cstime of a `/proc/PID/stat`.
fn ticks(stat: &str) -> [Duration; 4] {
    // The second field is the program's name in parentheses and may hold anything, spaces too.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = after_name.split_whitespace().skip(11);
    let hertz = rustix::param::clock_ticks_per_second();
    std::array::from_fn(|_| {
        let ticks: u64 = fields.next().and_then(|field| field.parse().ok()).unwrap_or_default();
        Duration::from_micros(ticks * 1_000_000 / hertz)
    })
}

fn run_nanoseconds(pid: u32, thread: u32) -> u64 {
    let schedstat = fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")).unwrap_or_default();
    schedstat.split_whitespace().next().and_then(|field| field.parse().ok()).unwrap_or_default()
}

fn threads(pid: u32) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn process_memory(pid: u32) -> Memory {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    Memory { resident: kibibytes(&rollup, "Rss:") * 1024, anonymous: kibibytes(&rollup, "Anonymous:") * 1024 }
}

fn kibibytes(rollup: &str, field: &str) -> u64 {
    let line = rollup.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_a_name_with_spaces_and_parentheses() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 180 0 0 0 100 200 300 400 20 0 1 0 5";
        let hertz = rustix::param::clock_ticks_per_second();
        let expected = [100, 200, 300, 400].map(|ticks| Duration::from_micros(ticks * 1_000_000 / hertz));
        assert_eq!(ticks(stat), expected);
    }

    #[test]
    fn own_process_has_cpu_memory_and_is_in_its_tree() {
        let tree = Tree::of(std::process::id());
        assert!(tree.pids().contains(&std::process::id()));
        assert!(tree.memory().resident >= tree.memory().anonymous);
        let before = tree.cpu();
        let start = std::time::Instant::now();
        // However long the machine lets others run: this loop is what is to be counted.
        while (tree.cpu() - before).total < Duration::from_millis(5) {
            assert!(start.elapsed() < Duration::from_secs(60), "a busy loop costs nothing");
        }
    }
}

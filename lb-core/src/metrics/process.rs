//! What Prometheus' clients say of the process they are in: CPU, memory, files, threads, from `/proc/self` (proc(5)).
//!
//! The `prometheus` crate's own collector parses all of procfs, by two crates and an older rustix, for these seven.

use std::fs;

use super::names;
use super::samples::Samples;

/// Ticks of a second in `/proc`. USER_HZ is a part of the kernel's ABI, and 100 wherever Rust's Linux runs.
const TICKS: f64 = 100.0;

/// Adds what can be read; a figure that can't is left out, as where `/proc` is not mounted.
pub(super) fn expose(samples: &mut Samples) {
    let file = |name: &str| fs::read_to_string(format!("/proc/{name}")).unwrap_or_default();
    let mut gauge = |name: &names::Name, value: Option<f64>| {
        if let Some(value) = value {
            samples.gauge_f64(name, [].into_iter(), value);
        }
    };
    let (status, limits, stat) = (file("self/status"), file("self/limits"), file("self/stat"));
    gauge(&names::PROCESS_VIRTUAL_MEMORY_BYTES, figure(&status, "VmSize:").map(|kib| kib * 1024.0));
    gauge(&names::PROCESS_RESIDENT_MEMORY_BYTES, figure(&status, "VmRSS:").map(|kib| kib * 1024.0));
    gauge(&names::PROCESS_THREADS, figure(&status, "Threads:"));
    gauge(&names::PROCESS_MAX_FDS, figure(&limits, "Max open files"));
    gauge(&names::PROCESS_OPEN_FDS, open_files());
    let started = ticks(&stat, 22).zip(figure(&file("stat"), "btime"));
    gauge(&names::PROCESS_START_TIME_SECONDS, started.map(|(since_boot, boot)| boot + since_boot / TICKS));
    if let Some((user, system)) = ticks(&stat, 14).zip(ticks(&stat, 15)) {
        let name = &names::PROCESS_CPU_SECONDS_TOTAL;
        samples.counter_f64(name, [].into_iter(), (user + system) / TICKS);
    }
}

/// The first number behind `label` at the beginning of a line.
fn figure(text: &str, label: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(label))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// A field of `/proc/self/stat`, counted from 1. The second is the program's name, which may hold blanks and brackets.
fn ticks(stat: &str, field: usize) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_whitespace().nth(field.checked_sub(3)?)?.parse().ok()
}

/// But for the one that lists them.
fn open_files() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(count).ok().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_their_label() {
        let status = "Name:\tlb\nVmSize:\t  123456 kB\nThreads:\t3\n";
        assert_eq!(figure(status, "VmSize:"), Some(123_456.0));
        assert_eq!(figure(status, "Threads:"), Some(3.0));
        assert_eq!(figure(status, "VmRSS:"), None);
        let limits = "Max open files            1024                 524288               files     \n";
        assert_eq!(figure(limits, "Max open files"), Some(1024.0));
        assert_eq!(figure("Max open files  unlimited  unlimited  files", "Max open files"), None);
    }

    #[test]
    fn fields_are_counted_behind_any_name() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194304 97 0 0 0 250 50 0 0 20 0 1 0 7700 9 9";
        assert_eq!(ticks(stat, 14), Some(250.0));
        assert_eq!(ticks(stat, 15), Some(50.0));
        assert_eq!(ticks(stat, 22), Some(7700.0));
        assert_eq!(ticks("", 14), None);
    }

    #[test]
    fn this_process_has_all_of_them() {
        let mut samples = Samples::default();
        expose(&mut samples);
        let families = samples.into_families();
        assert_eq!(families.len(), 7, "{families:?}");
        for family in families {
            let metric = &family.get_metric()[0];
            let value = metric.get_gauge().get_value() + metric.get_counter().get_value();
            let may_be_none = family.name() == "process_cpu_seconds_total";
            assert!(value > 0.0 || may_be_none, "{}: {value}", family.name());
        }
    }
}

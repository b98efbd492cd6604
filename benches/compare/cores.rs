//! Who runs where: the proxy on the first core this process may use, load and origins on the
//! second, so that the proxy's caches are its own and a slow load shows as load.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::error::Error;

/// The two cores of a comparison.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    proxy: CpuSet,
    load: CpuSet,
}

impl Cores {
    /// Takes the first two cores allowed and moves this process, and with it every child to come,
    /// to the load's.
    pub(crate) fn claim(workers: u32) -> Result<Self, Error> {
        let allowed = sched_getaffinity(None).map_err(Error::system("sched_getaffinity"))?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let (Some(first), Some(second)) = (cores.next(), cores.next()) else {
            return Err(Error::Cores(allowed.count()));
        };
        let mut proxy = only(first);
        if workers > 1 {
            proxy.set(second);
        }
        let cores = Self { proxy, load: only(second) };
        sched_setaffinity(None, &cores.load).map_err(Error::system("sched_setaffinity"))?;
        Ok(cores)
    }

    /// Runs `start` on the proxy's core, so that a process it starts inherits that core. Only the
    /// calling thread moves.
    pub(crate) fn on_proxy<T>(&self, start: impl FnOnce() -> T) -> Result<T, Error> {
        sched_setaffinity(None, &self.proxy).map_err(Error::system("sched_setaffinity"))?;
        let started = start();
        sched_setaffinity(None, &self.load).map_err(Error::system("sched_setaffinity"))?;
        Ok(started)
    }
}

fn only(core: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(core);
    set
}

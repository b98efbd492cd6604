//! One measurement: a load on one proxy, and what the proxy spent meanwhile.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::load::h2load::H2load;
use crate::load::open_loop::OpenLoop;
use crate::load::wrk::Wrk;
use crate::load::{Outcome, idle};
use crate::peer::Side;
use crate::process::Process;
use crate::render::Setting;
use crate::result::Sample;
use crate::scenario::{Scenario, Unit, Work};
use crate::task::{Cpu, Memory};

/// A proxy that is up, with what it was started from.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) setting: Setting,
    pub(crate) process: Process,
    pub(crate) path: String,
}

/// A second of the scenario's load, so that pools and allocators have their size. Whether it keeps
/// up is not asked before it counts.
pub(crate) fn warm_up(scenario: &Scenario, running: &Running) {
    if !matches!(scenario.work, Work::Idle { .. } | Work::Reloads { .. }) {
        let _ = load(scenario, running, Duration::from_secs(1));
    }
}

/// The scenario's figure for this proxy. An error wherever the figure would not mean what it says.
pub(crate) fn measure(
    scenario: &Scenario,
    running: &mut Running,
    round: u32,
    seconds: Duration,
) -> Result<Sample, Error> {
    let subject = running.setting.subject;
    let tree = running.process.tree();
    let before = tree.cpu();
    let (value, outcome, memory) = match scenario.work {
        Work::Idle { connections } => idle_memory(running, connections)?,
        Work::Reloads { count, rate } => reloads(running, count, rate)?,
        _ => {
            let start = Instant::now();
            let loaded = load(scenario, running, seconds).and_then(Outcome::clean);
            let cpu = tree.cpu() - before;
            let outcome = loaded.map_err(|error| blame(&error, cpu, start.elapsed()))?;
            (value(scenario.unit, cpu, &outcome)?, outcome, tree.memory())
        }
    };
    let cpu = tree.cpu() - before;
    running.process.ensure_alive()?;
    Ok(Sample { subject, round, value, cpu, outcome, memory })
}

fn load(scenario: &Scenario, running: &Running, duration: Duration) -> Result<Outcome, Error> {
    let address = running.address();
    let scheme = if scenario.side == Side::Tls { "https" } else { "http" };
    let url = format!("{scheme}://{address}{}", running.path);
    let upload = scenario.upload;
    let loaded = match scenario.work {
        Work::OpenLoop { rate, connections } => {
            OpenLoop { address, path: &running.path, connections, rate, duration, per_connection: None }.run()
        }
        Work::ClosedLoop { connections, is_closing } => {
            Wrk { url: &url, connections, duration, is_closing, upload }.run()
        }
        Work::Streams { connections, streams } => {
            let directory = &running.setting.dir;
            H2load { url: &url, connections, streams, duration, upload, directory }.run()
        }
        Work::Idle { .. } | Work::Reloads { .. } => Err(Error::Load("not a load alone".into())),
    }?;
    Ok(Outcome { bytes: if upload > 0 { upload * loaded.requests } else { loaded.bytes }, ..loaded })
}

/// Whether it was the proxy that could not do more, or the load, the origins or the neighbours.
fn blame(error: &Error, cpu: Cpu, elapsed: Duration) -> Error {
    let busy = cpu.total.as_secs_f64() / elapsed.as_secs_f64() * 100.0;
    Error::Load(format!("{error}; the proxy had {busy:.0}% of a core"))
}

fn value(unit: Unit, cpu: Cpu, outcome: &Outcome) -> Result<f64, Error> {
    let spent = cpu.total.as_secs_f64();
    if spent <= 0.0 {
        return Err(Error::Load("/proc shows no CPU time".into()));
    }
    match unit {
        Unit::CpuPerRequest | Unit::CpuPerConnection => Ok(spent * 1e6 / outcome.requests as f64),
        Unit::CpuPerGigabyte => Ok(spent * 1e9 / outcome.bytes as f64),
        Unit::MedianLatency => {
            let latency = outcome.latency.ok_or(Error::Load("no latency".into()))?;
            Ok(latency.p50.as_secs_f64() * 1e6)
        }
        Unit::BytesPerConnection | Unit::CpuPerReload => Err(Error::Load("not counted by load".into())),
    }
}

/// How many clients come and go before the first look, so that what is made once is not counted.
const ACQUAINTANCES: usize = 200;

/// How long memory may settle.
const SETTLE: Duration = Duration::from_secs(1);

fn idle_memory(running: &Running, connections: usize) -> Result<(f64, Outcome, Memory), Error> {
    let tree = running.process.tree();
    drop(idle::open(running.address(), ACQUAINTANCES)?);
    thread::sleep(SETTLE);
    let before = tree.memory();
    let start = Instant::now();
    let clients = idle::open(running.address(), connections)?;
    let elapsed = start.elapsed();
    thread::sleep(SETTLE);
    let after = tree.memory();
    let grown = after.anonymous.saturating_sub(before.anonymous);
    let requests = clients.len() as u64;
    let outcome = Outcome { requests, bytes: 0, elapsed, bad_statuses: 0, broken: 0, latency: None };
    Ok((grown as f64 / requests as f64, outcome, after))
}

/// Between two reloads; long enough for the slowest peer's.
const RELOAD_INTERVAL: Duration = Duration::from_millis(500);

/// First under load, for what fails; then without, for what a reload costs.
fn reloads(running: &mut Running, count: u32, rate: u32) -> Result<(f64, Outcome, Memory), Error> {
    let address = running.address();
    let path = running.path.clone();
    let duration = RELOAD_INTERVAL * (count + 2);
    let client = thread::spawn(move || {
        OpenLoop { address, path: &path, connections: 16, rate, duration, per_connection: Some(10) }.run()
    });
    running.reload(count)?;
    let outcome = client.join().map_err(|_| Error::Load("the load panicked".into()))??;
    // Old workers may take a while to go: their end is part of a reload's cost, not of the next measurement.
    thread::sleep(SETTLE);
    let tree = running.process.tree();
    let before = tree.cpu();
    running.reload(count)?;
    thread::sleep(SETTLE);
    let spent = (tree.cpu() - before).total;
    Ok((spent.as_secs_f64() * 1e3 / f64::from(count), outcome, tree.memory()))
}

impl Running {
    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.setting.ports.of(self.setting.side)).into()
    }

    fn reload(&mut self, count: u32) -> Result<(), Error> {
        for _ in 0..count {
            thread::sleep(RELOAD_INTERVAL);
            self.process.ensure_alive()?;
            self.process.signal(self.setting.subject.peer.reload_signal())?;
        }
        Ok(())
    }
}

//! The comparison itself: origins up, and for each scenario all its peers up and measured in turn,
//! round after round, so that each round sees one mood of the machine.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::args::Args;
use crate::chart;
use crate::cores::Cores;
use crate::error::Error;
use crate::installed::Installed;
use crate::measure::{Running, measure, warm_up};
use crate::peer::{Peer, Subject};
use crate::probe::probe;
use crate::process::Process;
use crate::render::{Ports, Setting};
use crate::report;
use crate::result::Findings;
use crate::scenario::{self, Scenario, Work};

/// Measures what the arguments ask for and writes the reports.
pub(crate) fn compare(args: &Args) -> Result<(), Error> {
    let scenarios = chosen(&args.scenario, &scenario::ALL, |scenario| scenario.name, "scenario")?;
    let peers = chosen(&args.peer, &Peer::ALL, |peer| peer.name(), "peer")?;
    if args.list {
        return list(args, &scenarios, &peers);
    }
    let (installed, missing) = find(args, &peers);
    let bench = Bench::start(args, installed)?;
    let mut all = Vec::new();
    for scenario in scenarios {
        let mut findings = bench.run(scenario);
        findings.left_out.splice(0..0, missing.iter().cloned());
        println!("{}", report::terminal(&findings));
        all.push(findings);
    }
    let write = |name: &str, text: String| {
        let path = args.out.join(name);
        fs::write(&path, text).map_err(Error::file(&path))
    };
    write("compare.md", report::markdown(&all))?;
    write("compare.csv", report::csv(&all))?;
    chart::draw(&all, &args.out.join("compare.svg"))?;
    println!("written: compare.md, compare.csv, compare.svg in {}", args.out.display());
    Ok(())
}

/// What all scenarios share.
struct Bench<'a> {
    args: &'a Args,
    peers: Vec<Installed>,
    cores: Cores,
    origins: [u16; 4],
    out: PathBuf,
    /// Held so that they end with it.
    _origins: Process,
}

impl<'a> Bench<'a> {
    fn start(args: &'a Args, peers: Vec<Installed>) -> Result<Self, Error> {
        fs::create_dir_all(&args.out).map_err(Error::file(&args.out))?;
        let out = args.out.canonicalize().map_err(Error::file(&args.out))?;
        let cores = Cores::claim(args.workers)?;
        let origins: [u16; 4] = [0, 1, 2, 3].map(|number| args.port_base + number);
        let mut command = Command::new(env::current_exe().map_err(Error::system("current_exe"))?);
        command.arg("origin").args(origins.map(|port| port.to_string()));
        let mut process = Process::start("the origins", command, &out.join("origins.log"), &origins)?;
        process.wait_for(&origins, Duration::from_secs(5))?;
        Ok(Self { args, peers, cores, origins, out, _origins: process })
    }

    fn run(&self, scenario: Scenario) -> Findings {
        eprintln!("{}: {}", scenario.name, scenario.what);
        let mut findings = Findings { scenario, samples: Vec::new(), left_out: Vec::new() };
        let mut running = Vec::new();
        if let Some(why) = scenario.missing_tool() {
            leave_out(&mut findings, why);
            return findings;
        }
        let firsts = (self.args.port_base + 10..).step_by(3);
        for (subject, first) in self.subjects(&scenario, &mut findings).into_iter().zip(firsts) {
            match self.start_peer(&scenario, subject, Ports::from(first)) {
                Ok(peer) => running.push(peer),
                Err(error) => leave_out(&mut findings, &format!("{}: {error}", subject.name())),
            }
        }
        let seconds = Duration::from_secs(self.args.seconds);
        for round in 1..=self.args.repeat {
            for peer in &mut running {
                let name = peer.setting.subject.name();
                let fresh = if round > 1 { self.renew(&scenario, peer) } else { Ok(()) };
                match fresh.and_then(|()| measure(&scenario, peer, round, seconds)) {
                    Ok(sample) => {
                        let value = scenario.unit.format(sample.value);
                        eprintln!(
                            "  round {round} of {}  {name:20} {value:>8} {}",
                            self.args.repeat,
                            scenario.unit.name()
                        );
                        findings.samples.push(sample);
                    }
                    Err(error) => leave_out(&mut findings, &format!("{name} in round {round}: {error}")),
                }
            }
            // Whoever died is named once, not in every round to come.
            running.retain_mut(|peer| peer.process.ensure_alive().is_ok());
            // Who comes first in a round comes behind a pause or another load: let it be everyone's turn.
            if !running.is_empty() {
                running.rotate_left(1);
            }
        }
        findings
    }

    fn subjects(&self, scenario: &Scenario, findings: &mut Findings) -> Vec<Subject> {
        let peers: Vec<Peer> = self.peers.iter().map(|installed| installed.peer).collect();
        let mut subjects = scenario.subjects(&peers);
        subjects.retain(|subject| match subject.peer.cannot(scenario, *subject) {
            Some(why) => {
                leave_out(findings, &format!("{} is skipped: {why}", subject.name()));
                false
            }
            None => true,
        });
        subjects
    }

    fn start_peer(&self, scenario: &Scenario, subject: Subject, ports: Ports) -> Result<Running, Error> {
        let setting = Setting {
            subject,
            side: scenario.side,
            cores: self.cores,
            workers: self.args.workers,
            ports,
            origins: self.origins,
            dir: self.out.join("run").join(scenario.name).join(subject.name()),
        };
        let installed = self.peers.iter().find(|installed| installed.peer == subject.peer);
        let installed =
            installed.ok_or_else(|| Error::Usage(format!("{} is not installed", subject.name())))?;
        let path = scenario.path_for(subject);
        let process = installed.start(&setting)?;
        let running = Running { setting, process, path };
        probe(&running.setting, &running.path)?;
        warm_up(scenario, &running);
        Ok(running)
    }

    /// Memory is measured in a fresh process: a heap that once was large hides what a client adds.
    fn renew(&self, scenario: &Scenario, peer: &mut Running) -> Result<(), Error> {
        if !matches!(scenario.work, Work::Idle { .. }) {
            return Ok(());
        }
        peer.process.end();
        *peer = self.start_peer(scenario, peer.setting.subject, peer.setting.ports)?;
        Ok(())
    }
}

fn leave_out(findings: &mut Findings, what: &str) {
    eprintln!("  {what}");
    findings.left_out.push(what.to_owned());
}

fn find(args: &Args, peers: &[Peer]) -> (Vec<Installed>, Vec<String>) {
    let mut installed = Vec::new();
    let mut missing = Vec::new();
    for peer in peers {
        match peer.find(args) {
            Ok(found) => installed.push(found),
            Err(why) => {
                eprintln!("{} is skipped: {why}", peer.name());
                missing.push(format!("{} is skipped: {why}", peer.name()));
            }
        }
    }
    (installed, missing)
}

fn list(args: &Args, scenarios: &[Scenario], peers: &[Peer]) -> Result<(), Error> {
    for scenario in scenarios {
        println!("{:8} {} ({})", scenario.name, scenario.what, scenario.unit.name());
    }
    for peer in peers {
        match peer.find(args) {
            Ok(installed) => println!("{:8} {}", peer.name(), installed.program.display()),
            Err(why) => println!("{:8} is skipped: {why}", peer.name()),
        }
    }
    Ok(())
}

/// Those named, in the order of `all`; all of them where none is named.
fn chosen<T: Copy>(
    named: &[String],
    all: &[T],
    name: fn(&T) -> &'static str,
    what: &str,
) -> Result<Vec<T>, Error> {
    if let Some(unknown) = named.iter().find(|wanted| all.iter().all(|one| name(one) != wanted.as_str())) {
        let names: Vec<&str> = all.iter().map(name).collect();
        return Err(Error::Usage(format!("no {what} {unknown}; there are {}", names.join(", "))));
    }
    Ok(all
        .iter()
        .filter(|one| named.is_empty() || named.iter().any(|wanted| wanted == name(one)))
        .copied()
        .collect())
}

//! The command `lb`: parses arguments, loads the file, calls lb-core.
#![forbid(unsafe_code)]

mod cli;
mod demo;
mod health;
mod logging;
mod run;
mod signals;
mod startup;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use lb_core::config::{self, LogFormat};

use crate::cli::{Cli, Command};

/// Gives back what a reload or a burst of connections took. After three reloads of 100,000 routes 73 MB stay, by glibc's
/// malloc 440; a request costs the same. How long it waits is in .cargo/config.toml.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How the process ends; 2, wrong usage, is clap's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Fine = 0,
    /// The configuration is wrong; of `lb health`: the proxy is not ready.
    Wrong = 1,
    /// It could not start.
    Unable = 3,
}

fn main() -> ExitCode {
    let exit = match Cli::parse().command {
        Command::Run { source, log_format } => run::run(&source.path(), log_format.map(LogFormat::from)),
        Command::Check { source } => check(&source.path()),
        Command::Demo { listen, admin } => demo::run(listen, admin),
        Command::Health { admin } => health::ask(&admin),
    };
    ExitCode::from(exit as u8)
}

/// What `${VAR}` in a configuration stands for.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn check(path: &Path) -> Exit {
    let loaded = match config::load(path, environment) {
        Ok(loaded) => loaded,
        Err(problems) => {
            say(&problems.to_string());
            return Exit::Wrong;
        }
    };
    for warning in &loaded.warnings {
        complain(&format!("warning: {warning}"));
    }
    if let Err(problems) = loaded.builder.snapshot() {
        say(&format!("{}:1:1: {problems}", path.display()));
        return Exit::Wrong;
    }
    say(&format!("{}: the configuration is fine", path.display()));
    Exit::Fine
}

/// Prints a line to standard output. `println!` would panic when nobody reads it any more.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints a line to standard error.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

//! `compare` runs lb side by side with HAProxy, nginx, Envoy and a minimal Pingora program and
//! says what each of them costs. `benches/README.md` tells how to run it and how to read it.
//!
//! The rule it is built on: absolute figures drift with the machine's neighbours, so the proxies
//! are measured one after the other in rounds (A B C B C A) and compared within a round. Whatever
//! could not be measured as it should (a peer that is missing or dies, a response that is not 2xx,
//! a load that fell behind) is said and left out, never printed as a figure.

mod args;
mod chart;
mod cores;
mod error;
mod floor;
mod installed;
mod load;
mod measure;
mod origin;
mod peer;
mod probe;
mod process;
mod render;
mod report;
mod result;
mod rounds;
mod scenario;
mod statistics;
mod task;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.command {
        Some(Command::Origin { ports }) => origin::run(ports),
        Some(Command::Floor { splice, listen, servers }) => floor::run(*listen, servers, *splice),
        None => rounds::compare(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

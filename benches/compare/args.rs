//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// What lb costs beside HAProxy, nginx, Envoy and Pingora.
///
/// Without arguments: every scenario with every peer that is installed, which takes about half an hour.
#[derive(Debug, Parser)]
#[command(name = "compare")]
pub(crate) struct Args {
    /// Scenarios by name, separated by commas (see --list)
    #[arg(long, value_delimiter = ',')]
    pub(crate) scenario: Vec<String>,
    /// Peers by name: lb, haproxy, nginx, envoy, pingora, floor
    #[arg(long, value_delimiter = ',')]
    pub(crate) peer: Vec<String>,
    /// Rounds: each measures every peer once
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) repeat: u32,
    /// Seconds of load for each measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) seconds: u64,
    /// Workers (threads, processes) of each proxy; more than one shares the load generator's core
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    pub(crate) workers: u32,
    /// Where the tables, the chart and the peers' logs are written
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/compare/out"))]
    pub(crate) out: PathBuf,
    /// An lb binary to measure; without it, cargo builds one
    #[arg(long)]
    pub(crate) lb: Option<PathBuf>,
    /// Envoy's binary; without it, it is looked for in PATH and in the virtual environment target/envoy
    #[arg(long)]
    pub(crate) envoy: Option<PathBuf>,
    /// The first of the ports that origins and peers listen on, on 127.0.0.1
    #[arg(long, default_value_t = 18400, value_parser = clap::value_parser!(u16).range(1024..=32000))]
    pub(crate) port_base: u16,
    /// Lists scenarios and peers, and what of them can run here
    #[arg(long)]
    pub(crate) list: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What compare starts of itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The origins, in a process of their own, until standard input closes
    #[command(hide = true)]
    Origin {
        /// One port for each origin, in the order of `origin::NAMES`
        ports: Vec<u16>,
    },
    /// The floor, until standard input closes
    #[command(hide = true)]
    Floor {
        /// Move bytes by a pipe
        #[arg(long)]
        splice: bool,
        /// The port for clients
        listen: u16,
        /// The servers' ports
        #[arg(required = true)]
        servers: Vec<u16>,
    },
}

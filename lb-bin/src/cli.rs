//! What can be asked of `lb`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Balances HTTP and TCP over servers, from a file that it follows while it runs.
#[derive(Debug, Parser)]
#[command(name = "lb", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 fine, 1 the configuration is wrong, 2 wrong usage, 3 could not start.
Signals of `lb run`: SIGTERM and SIGINT drain, a second one ends at once; SIGHUP reloads.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs until SIGTERM or SIGINT, then drains
    Run {
        /// The configuration: a file, or a directory of *.toml files
        #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
    },
    /// Says what is wrong with a configuration, all of it at once
    Check {
        /// The configuration: a file, or a directory of *.toml files
        #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
    },
    /// Balances four servers of its own, to be looked at in a browser
    Demo {
        /// Where to serve
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
        /// Where to serve metrics and status
        #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_ADMIN)]
        admin: SocketAddr,
    },
    /// Asks a running proxy whether it is ready, for container health checks
    Health {
        /// The admin listener of the proxy
        #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_ADMIN)]
        admin: String,
    },
}

const DEFAULT_CONFIG: &str = "/etc/lb/lb.toml";
const DEFAULT_ADMIN: &str = "127.0.0.1:9090";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_defined_without_contradiction() {
        Cli::command().debug_assert();
    }
}

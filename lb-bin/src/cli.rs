//! What can be asked of `lb`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lb_core::config::LogFormat;

/// Balances HTTP and TCP over servers, from a file that it follows while it runs.
#[derive(Debug, Parser)]
#[command(name = "lb", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 fine, 1 the configuration is wrong, 2 wrong usage, 3 could not start.
Signals of `lb run`: SIGTERM, SIGINT and SIGQUIT drain, another one, half a second later or more, ends at once;
SIGHUP reloads; SIGUSR1 and SIGUSR2 are ignored.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs until SIGTERM or SIGINT, then drains
    Run {
        #[command(flatten)]
        source: Source,
        /// The form of the log, whatever the configuration says; also before that is read
        #[arg(long, value_name = "FORMAT")]
        log_format: Option<Format>,
    },
    /// Says what is wrong with a configuration, all of it at once
    Check {
        #[command(flatten)]
        source: Source,
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

/// Where the configuration is.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// The configuration: a file, or a directory of *.toml files [default: /etc/lb/lb.toml]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The same
    #[arg(short, long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
}

impl Source {
    pub(crate) fn path(self) -> PathBuf {
        self.file.or(self.config).unwrap_or_else(|| DEFAULT_CONFIG.into())
    }
}

/// The forms of the log.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    Logfmt,
    Json,
}

impl From<Format> for LogFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Logfmt => Self::Logfmt,
            Format::Json => Self::Json,
        }
    }
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

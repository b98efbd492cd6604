//! Closed loop by `wrk`: each connection asks again as soon as it was answered.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::Error;
use crate::load::{Latency, Outcome};

/// One run of wrk on one thread.
#[derive(Debug)]
pub(crate) struct Wrk<'a> {
    pub(crate) url: &'a str,
    pub(crate) connections: u32,
    pub(crate) duration: Duration,
    /// A new connection for each request.
    pub(crate) is_closing: bool,
    /// How many bytes of body a request has.
    pub(crate) upload: u64,
}

impl Wrk<'_> {
    pub(crate) fn run(&self) -> Result<Outcome, Error> {
        let mut command = Command::new("wrk");
        command.args(["-t1", "--timeout", "5s"]);
        command.args([
            "-c",
            &self.connections.to_string(),
            "-d",
            &format!("{}s", self.duration.as_secs().max(1)),
        ]);
        if self.is_closing {
            command.args(["-H", "Connection: close"]);
        }
        command.arg("-s").arg(script()).arg(self.url);
        if self.upload > 0 {
            command.arg("--").arg(self.upload.to_string());
        }
        let output = command.output().map_err(Error::file("wrk"))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        parse(&printed).ok_or_else(|| {
            let errors = String::from_utf8_lossy(&output.stderr);
            Error::Load(format!(
                "wrk did not report ({}): {} {}",
                output.status,
                printed.trim(),
                errors.trim()
            ))
        })
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("compare/load/report.lua")
}

fn parse(printed: &str) -> Option<Outcome> {
    let line = printed.lines().find_map(|line| line.strip_prefix("outcome "))?;
    let number = |name: &str| -> Option<u64> {
        line.split(' ').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?.parse().ok()
    };
    let micros = |name| number(name).map(Duration::from_micros);
    Some(Outcome {
        requests: number("requests")?,
        bytes: number("bytes")?,
        elapsed: micros("micros")?,
        bad_statuses: number("statuses")?,
        broken: number("broken")?,
        latency: Some(Latency { p50: micros("p50")?, p99: micros("p99")?, p999: micros("p999") }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_line_is_read_among_others_and_its_absence_is_no_outcome() {
        let printed = "Running 1s test\noutcome requests=3 bytes=400 micros=1000000 statuses=1 broken=2 \
                       p50=10 p99=20 p999=30\n";
        let outcome = parse(printed).unwrap();
        assert_eq!((outcome.requests, outcome.bytes, outcome.failed()), (3, 400, 3));
        assert_eq!(outcome.latency.unwrap().p999, Some(Duration::from_micros(30)));
        assert!(outcome.clean().is_err());
        assert!(parse("unable to connect").is_none());
    }
}

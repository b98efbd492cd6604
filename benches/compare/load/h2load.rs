//! Closed loop of HTTP/2 streams by `h2load`.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::error::Error;
use crate::load::Outcome;

/// One run of h2load on one thread.
#[derive(Debug)]
pub(crate) struct H2load<'a> {
    pub(crate) url: &'a str,
    pub(crate) connections: u32,
    pub(crate) streams: u32,
    pub(crate) duration: Duration,
    /// How many bytes of body a request has.
    pub(crate) upload: u64,
    /// Where those are written to.
    pub(crate) directory: &'a Path,
}

impl H2load<'_> {
    pub(crate) fn run(&self) -> Result<Outcome, Error> {
        let mut command = Command::new("h2load");
        command.args(["-t1", "-c", &self.connections.to_string(), "-m", &self.streams.to_string()]);
        command.args(["-D", &self.duration.as_secs().max(1).to_string(), self.url]);
        if self.upload > 0 {
            let body = self.directory.join("upload");
            let file = File::create(&body).map_err(Error::file(&body))?;
            file.set_len(self.upload).map_err(Error::file(&body))?;
            command.arg("-d").arg(body);
        }
        let output = command.output().map_err(Error::file("h2load"))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        parse(&printed, self.duration).ok_or_else(|| {
            Error::Load(format!("h2load did not report ({}): {}", output.status, printed.trim()))
        })
    }
}

/// h2load's latencies are a mean and extremes, no percentiles: left out.
fn parse(printed: &str, duration: Duration) -> Option<Outcome> {
    let requests = printed.lines().find(|line| line.starts_with("requests:"))?;
    let statuses = printed.lines().find(|line| line.starts_with("status codes:"))?;
    let traffic = printed.lines().find(|line| line.starts_with("traffic:"))?;
    // "traffic: 1.03GB (1103245120) total, ..." has the exact number in parentheses.
    let bytes = traffic.split_once('(')?.1.split_once(')')?.0.parse().ok()?;
    let succeeded = before(requests, "succeeded")?;
    Some(Outcome {
        requests: succeeded,
        bytes,
        elapsed: duration,
        bad_statuses: before(statuses, "3xx")? + before(statuses, "4xx")? + before(statuses, "5xx")?,
        broken: before(requests, "errored")? + before(requests, "timeout")?,
        latency: None,
    })
}

/// The number before a word, as in "12 succeeded, 0 failed".
fn before(line: &str, word: &str) -> Option<u64> {
    let words: Vec<&str> = line.split([' ', ',']).filter(|part| !part.is_empty()).collect();
    let at = words.iter().position(|candidate| *candidate == word)?;
    words.get(at.checked_sub(1)?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read() {
        let printed = "\
finished in 1.00s, 100.00 req/s, 1.00MB/s
requests: 100 total, 110 started, 100 done, 98 succeeded, 2 failed, 1 errored, 1 timeout
status codes: 98 2xx, 0 3xx, 1 4xx, 1 5xx
traffic: 1.00MB (1048576) total, 1.00KB (1024) headers (space savings 90.00%), 1.00MB (1000000) data";
        let outcome = parse(printed, Duration::from_secs(1)).unwrap();
        assert_eq!((outcome.requests, outcome.bytes), (98, 1_048_576));
        assert_eq!((outcome.bad_statuses, outcome.broken), (2, 2));
        assert!(parse("connection refused", Duration::from_secs(1)).is_none());
    }
}

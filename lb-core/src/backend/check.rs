//! What a health check asks and expects. Definitions only: the `health` room runs them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// How the servers of a backend are checked. The defaults are those of the configuration file.
///
/// ```
/// use std::time::Duration;
/// use lb_core::backend::HealthCheck;
/// let check = HealthCheck::http("/health").interval(Duration::from_secs(1)).expect("200,204".parse()?);
/// assert!(check.expect.contains(204) && !check.expect.contains(301));
/// # Ok::<(), lb_core::backend::StatusSetError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// From the start of one probe to the start of the next. Default 2 s.
    pub interval: Duration,
    /// For the whole probe, connecting included. Default 1 s.
    pub timeout: Duration,
    /// Passed probes in a row that bring a server up. Default 2.
    pub rise: u32,
    /// Failed probes in a row that take a server down. Default 3.
    pub fall: u32,
    /// The statuses that pass an HTTP probe. Default 2xx and 3xx.
    pub expect: StatusSet,
    /// What holds before the first result. Default [`Initial::Unknown`].
    pub initial: Initial,
    /// The `Host` of an HTTP probe. Default: the server's address, `localhost` for a Unix socket.
    pub host: Option<String>,
}

/// What one probe asks a server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Probe {
    /// A connection that opens passes.
    Tcp,
    /// `GET path`; an expected status passes.
    Http {
        /// Path and query; begins with `/`.
        path: String,
    },
}

/// What a server counts as before its first result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Initial {
    /// No traffic before the first result, unless no server of the backend has one yet. One result decides.
    #[default]
    Unknown,
    /// Up; `fall` failures take it down.
    Up,
    /// Down; `rise` passes bring it up.
    Down,
}

impl HealthCheck {
    /// A connection that opens passes.
    pub fn tcp() -> Self {
        Self {
            probe: Probe::Tcp,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
            expect: StatusSet::default(),
            initial: Initial::default(),
            host: None,
        }
    }

    /// `GET path` answered by an expected status passes. A bad path is an error of `Backend::build`.
    pub fn http(path: impl Into<String>) -> Self {
        Self { probe: Probe::Http { path: path.into() }, ..Self::tcp() }
    }

    /// Sets [`interval`](Self::interval).
    pub fn interval(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// Sets [`timeout`](Self::timeout).
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sets [`rise`](Self::rise).
    pub fn rise(self, rise: u32) -> Self {
        Self { rise, ..self }
    }

    /// Sets [`fall`](Self::fall).
    pub fn fall(self, fall: u32) -> Self {
        Self { fall, ..self }
    }

    /// Sets [`expect`](Self::expect).
    pub fn expect(self, expect: StatusSet) -> Self {
        Self { expect, ..self }
    }

    /// Sets [`initial`](Self::initial).
    pub fn initial(self, initial: Initial) -> Self {
        Self { initial, ..self }
    }

    /// Sets [`host`](Self::host).
    pub fn host(self, host: impl Into<String>) -> Self {
        Self { host: Some(host.into()), ..self }
    }

    /// What is wrong with it, each with what to do; empty: nothing.
    pub(super) fn problems(&self) -> Vec<&'static str> {
        let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let path_is_good = match &self.probe {
            Probe::Tcp => true,
            Probe::Http { path } => path.starts_with('/') && visible(path) && !path.contains('#'),
        };
        let host_is_good = self.host.as_deref().is_none_or(|host| !host.is_empty() && visible(host));
        [
            (path_is_good, "path is not one; begin it with '/' and percent-encode what is not visible ASCII"),
            (host_is_good, "host is not one; write a name or an address, without spaces"),
            (!self.interval.is_zero(), "interval is zero; give at least 1ms"),
            (!self.timeout.is_zero(), "timeout is zero; give at least 1ms"),
            (self.rise > 0, "rise is 0; give at least 1"),
            (self.fall > 0, "fall is 0; give at least 1"),
        ]
        .into_iter()
        .filter_map(|(is_good, problem)| (!is_good).then_some(problem))
        .collect()
    }
}

/// A set of HTTP statuses from 100 to 599, written `2xx,3xx`, `200,204` or `200-299`. Default: `2xx,3xx`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StatusSet {
    /// Bit `status - 100`.
    bits: [u64; 8],
}

/// Why a text is no [`StatusSet`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no status from 100 to 599; write for example \"2xx,3xx\", \"200,204\" or \"200-299\"")]
pub struct StatusSetError(String);

impl StatusSet {
    const FIRST: u16 = 100;
    const LAST: u16 = 599;

    /// Whether `status` is in the set; any number may be asked.
    pub fn contains(&self, status: u16) -> bool {
        (Self::FIRST..=Self::LAST).contains(&status) && {
            let bit = usize::from(status - Self::FIRST);
            self.bits[bit / 64] & (1 << (bit % 64)) != 0
        }
    }

    fn insert(&mut self, status: u16) {
        let bit = usize::from(status - Self::FIRST);
        self.bits[bit / 64] |= 1 << (bit % 64);
    }
}

impl Default for StatusSet {
    fn default() -> Self {
        let mut set = Self { bits: [0; 8] };
        (200..400).for_each(|status| set.insert(status));
        set
    }
}

impl FromStr for StatusSet {
    type Err = StatusSetError;

    fn from_str(text: &str) -> Result<Self, StatusSetError> {
        let mut set = Self { bits: [0; 8] };
        for part in text.split(',').map(str::trim) {
            let (first, last) = range(part).ok_or_else(|| StatusSetError(part.to_owned()))?;
            (first..=last).for_each(|status| set.insert(status));
        }
        Ok(set)
    }
}

impl fmt::Debug for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries((Self::FIRST..=Self::LAST).filter(|status| self.contains(*status))).finish()
    }
}

/// `2xx`, `204` or `200-204`, ends included.
fn range(part: &str) -> Option<(u16, u16)> {
    let status = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        let status = text.parse().ok().filter(|_| digits)?;
        (StatusSet::FIRST..=StatusSet::LAST).contains(&status).then_some(status)
    };
    if let Some(class) = part.strip_suffix("xx") {
        let first = status(&format!("{class}00"))?;
        return Some((first, first + 99));
    }
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let (first, last) = (status(first.trim())?, status(last.trim())?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_sets_hold_exactly_what_is_written() {
        let cases: [(&str, &[(u16, u16)]); 6] = [
            ("2xx,3xx", &[(200, 399)]),
            ("200,204", &[(200, 200), (204, 204)]),
            ("200-299", &[(200, 299)]),
            (" 100 , 599 ", &[(100, 100), (599, 599)]),
            ("1xx,2xx,3xx,4xx,5xx", &[(100, 599)]),
            ("404", &[(404, 404)]),
        ];
        for (text, ranges) in cases {
            let set: StatusSet = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            for status in 0..=1000 {
                let expected = ranges.iter().any(|(first, last)| (*first..=*last).contains(&status));
                assert_eq!(set.contains(status), expected, "{status} in {text}");
            }
        }
        assert_eq!(StatusSet::default(), "2xx,3xx".parse().unwrap());
    }

    #[test]
    fn wrong_status_sets_are_refused() {
        for text in ["", ",", "2xx,", "6xx", "0xx", "xx", "99", "600", "20", "2000", "204-200", "+20", "ok"] {
            assert!(text.parse::<StatusSet>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_problem_of_a_check_is_reported() {
        assert_eq!(HealthCheck::tcp().problems(), [""; 0]);
        assert_eq!(HealthCheck::http("/a?b=%20").host("[::1]:80").problems(), [""; 0]);
        let wrong = HealthCheck::http("health").host("a b").interval(Duration::ZERO).timeout(Duration::ZERO);
        assert_eq!(wrong.rise(0).fall(0).problems().len(), 6);
        for path in ["", "/a b", "/a\r\nx: y", "/a#b", "/ä"] {
            assert_eq!(HealthCheck::http(path).problems().len(), 1, "{path:?}");
        }
    }
}

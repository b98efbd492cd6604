//! Open loop: a request is due every 1/rate seconds, whether or not earlier ones were answered.
//! Latency counts from when a request was due, not from when a connection was free to send it, so
//! that a proxy that stalls pays for every request it kept waiting (no coordinated omission).
//!
//! The rate is what makes two proxies comparable: each does the same work, and cost per request
//! falls as load rises.

mod connection;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event};
use rustix::time::Timespec;

use self::connection::{Connection, Progress};
use crate::error::Error;
use crate::load::{Latency, Outcome};

/// One run at a fixed rate on the calling thread.
#[derive(Debug)]
pub(crate) struct OpenLoop<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) path: &'a str,
    pub(crate) connections: usize,
    /// Requests a second.
    pub(crate) rate: u32,
    pub(crate) duration: Duration,
    /// How many requests a connection serves before the client closes it.
    pub(crate) per_connection: Option<u32>,
}

/// How long to wait for the last responses after the last request was due.
const GRACE: Duration = Duration::from_secs(1);

/// The share of the rate that must have been reached: below it, proxies were not compared at one rate.
const LEAST_RATE: f64 = 0.98;

impl OpenLoop<'_> {
    pub(crate) fn run(&self) -> Result<Outcome, Error> {
        Run::start(self)?.drive()
    }

    fn planned(&self) -> u64 {
        u64::try_from(u128::from(self.rate) * self.duration.as_millis() / 1000).unwrap_or(u64::MAX)
    }

    fn due(&self, request: u64) -> Duration {
        Duration::from_nanos(request * 1_000_000_000 / u64::from(self.rate))
    }
}

struct Run<'a> {
    load: &'a OpenLoop<'a>,
    request: Vec<u8>,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    /// Connections without a request, the longest idle first, so that all of them stay in use.
    free: VecDeque<usize>,
    start: Instant,
    sent: u64,
    outcome: Outcome,
    latencies: Histogram<u64>,
}

impl<'a> Run<'a> {
    fn start(load: &'a OpenLoop<'a>) -> Result<Self, Error> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(Error::system("epoll_create"))?;
        let mut connections: Vec<_> =
            (0..load.connections).map(|id| Connection::new(load.address, id)).collect();
        for connection in &mut connections {
            connection.open(&epoll).map_err(Error::system("connect"))?;
        }
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", load.path, load.address);
        // From a microsecond to a minute, three digits: about 200 KB.
        let latencies = Histogram::new_with_bounds(1, 60_000_000, 3).expect("constant bounds are valid");
        let none = Outcome {
            requests: 0,
            bytes: 0,
            elapsed: Duration::ZERO,
            bad_statuses: 0,
            broken: 0,
            latency: None,
        };
        Ok(Self {
            load,
            request: request.into_bytes(),
            epoll,
            free: (0..connections.len()).collect(),
            connections,
            start: Instant::now(),
            sent: 0,
            outcome: none,
            latencies,
        })
    }

    fn drive(mut self) -> Result<Outcome, Error> {
        let planned = self.load.planned();
        let mut buffer = vec![0; 64 * 1024];
        let mut events: Vec<Event> = Vec::with_capacity(256);
        while self.outcome.requests + self.outcome.broken < planned {
            let now = self.start.elapsed();
            if now > self.load.duration + GRACE {
                break;
            }
            self.send_due(now, planned);
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&self.pause(planned)))
                .map_err(Error::system("epoll_wait"))?;
            for event in events.drain(..) {
                let id = usize::try_from(event.data.u64()).unwrap_or_default();
                self.receive(id, &mut buffer);
            }
        }
        self.finish(planned)
    }

    fn send_due(&mut self, now: Duration, planned: u64) {
        while self.sent < planned && self.load.due(self.sent) <= now {
            let Some(id) = self.free.pop_front() else { return };
            let due = self.load.due(self.sent);
            self.sent += 1;
            let connection = &mut self.connections[id];
            let sent = connection.open(&self.epoll).and_then(|()| connection.send(&self.request, due));
            if sent.is_err() {
                self.outcome.broken += 1;
                connection.close();
                self.free.push_back(id);
            }
        }
    }

    fn receive(&mut self, id: usize, buffer: &mut [u8]) {
        let connection = &mut self.connections[id];
        match connection.receive(buffer) {
            Progress::Waiting => {}
            Progress::Answered { due, status, bytes } => {
                let latency = self.start.elapsed().saturating_sub(due);
                self.latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
                self.outcome.requests += 1;
                self.outcome.bytes += bytes;
                self.outcome.bad_statuses += u64::from(!(200..300).contains(&status));
                if self.load.per_connection.is_some_and(|most| connection.answered() >= most) {
                    connection.close();
                }
                self.free.push_back(id);
            }
            // The server may close a connection between requests.
            Progress::Closed { in_request: false } => {}
            Progress::Closed { in_request: true } => {
                self.outcome.broken += 1;
                self.free.push_back(id);
            }
        }
    }

    /// Until the next request is due if a connection is free for it, else until a response comes.
    fn pause(&self, planned: u64) -> Timespec {
        let longest = Duration::from_millis(50);
        let pause = if self.sent < planned && !self.free.is_empty() {
            self.load.due(self.sent).saturating_sub(self.start.elapsed()).min(longest)
        } else {
            longest
        };
        Timespec { tv_sec: 0, tv_nsec: pause.subsec_nanos().into() }
    }

    fn finish(mut self, planned: u64) -> Result<Outcome, Error> {
        self.outcome.elapsed = self.start.elapsed();
        let unanswered = planned - self.outcome.requests - self.outcome.broken;
        let in_flight = self.sent - self.outcome.requests - self.outcome.broken;
        self.outcome.broken += in_flight;
        let rate = self.outcome.requests as f64 / self.outcome.elapsed.as_secs_f64();
        if rate < f64::from(self.load.rate) * LEAST_RATE {
            return Err(Error::Load(format!(
                "{} requests a second were due, {rate:.0} were answered ({unanswered} of {planned} never)",
                self.load.rate
            )));
        }
        let percentile = |quantile| Duration::from_micros(self.latencies.value_at_quantile(quantile));
        self.outcome.latency =
            Some(Latency { p50: percentile(0.5), p99: percentile(0.99), p999: Some(percentile(0.999)) });
        Ok(self.outcome)
    }
}

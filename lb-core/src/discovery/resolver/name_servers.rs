//! Asking the name servers: one after the other, as glibc's `res_send.c` does. The next is asked only if the one before
//! is silent or can't say; that a name doesn't exist is an answer, whoever else might know more.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use super::message::{Family, Question, Reply, Transport, Verdict};
use super::resolv_conf::ResolvConf;

/// The name servers of one `resolv.conf`.
#[derive(Debug)]
pub(super) struct NameServers {
    addrs: Vec<SocketAddr>,
    timeout: Duration,
    attempts: u32,
    transport: Transport,
    /// Which server the next question begins with, where they take turns.
    turn: Option<AtomicUsize>,
    limit: Arc<QuestionLimit>,
}

/// How many questions may be open at a time. Those of one family don't wait for the other's, which may be silent.
#[derive(Debug)]
pub(super) struct QuestionLimit {
    v4: Semaphore,
    v6: Semaphore,
}

/// Why no server gave an answer that can be used: what each of them did last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// None of them can say; if not, one did say so.
    pub(super) is_silence: bool,
    pub(super) reason: String,
}

/// Why one server gave none.
enum Problem {
    Silent(String),
    CannotSay(String),
}

/// Of each family: dnsmasq refuses more than 150 at a time, and a server that is well answers thousands in a second.
const OPEN_QUESTIONS: usize = 64;

/// The greatest message: a datagram's or TCP's length is 16 bits.
const MESSAGE_BYTES: usize = 65_535;

impl Default for QuestionLimit {
    fn default() -> Self {
        Self { v4: Semaphore::new(OPEN_QUESTIONS), v6: Semaphore::new(OPEN_QUESTIONS) }
    }
}

impl NameServers {
    pub(super) fn new(conf: &ResolvConf, limit: Arc<QuestionLimit>) -> Self {
        let options = conf.options;
        Self {
            addrs: conf.servers.clone(),
            timeout: options.timeout,
            attempts: options.attempts,
            transport: if options.use_tcp { Transport::Tcp } else { Transport::Udp },
            turn: options.rotate.then(AtomicUsize::default),
            limit,
        }
    }

    /// The first conclusive answer.
    pub(super) async fn ask(&self, question: &Question) -> Result<Reply, Failure> {
        let permit = match question.family() {
            Family::V4 => self.limit.v4.acquire(),
            Family::V6 => self.limit.v6.acquire(),
        };
        // It is never closed.
        let _permit = permit.await;
        // Counter only.
        let first = self.turn.as_ref().map_or(0, |turn| turn.fetch_add(1, Ordering::Relaxed));
        let mut problems = Vec::new();
        for _ in 0..self.attempts {
            problems.clear();
            for place in 0..self.addrs.len() {
                let server = self.addrs[(first.wrapping_add(place)) % self.addrs.len()];
                match self.ask_one(server, self.patience(place), question).await {
                    Ok(reply) => return Ok(reply),
                    Err(problem) => problems.push((server.ip(), problem)),
                }
            }
        }
        Err(Failure::of(&problems))
    }

    /// As long as glibc waits: each server twice as long as the one before, all but the first shared by their number.
    fn patience(&self, place: usize) -> Duration {
        let shared = u32::try_from(self.addrs.len()).map_or(self.timeout, |servers| self.timeout / servers);
        match place {
            0 => self.timeout,
            1 => (shared * 2).max(Duration::from_secs(1)),
            _ => (shared * 4).max(Duration::from_secs(1)),
        }
    }

    async fn ask_one(
        &self,
        server: SocketAddr,
        patience: Duration,
        question: &Question,
    ) -> Result<Reply, Problem> {
        let mut verdict = match self.transport {
            Transport::Udp => within(patience, by_udp(server, question)).await?,
            Transport::Tcp => Verdict::Truncated,
        };
        if verdict == Verdict::Truncated {
            verdict = within(patience, by_tcp(server, question)).await?;
        }
        match verdict {
            Verdict::Reply(reply) => Ok(reply),
            Verdict::CannotSay(reason) => Err(Problem::CannotSay(reason)),
            Verdict::Truncated => Err(Problem::CannotSay(String::from("its answer is cut"))),
        }
    }
}

impl Failure {
    fn of(problems: &[(IpAddr, Problem)]) -> Self {
        let is_silence = problems.iter().all(|(_, problem)| matches!(problem, Problem::Silent(_)));
        let text = |(server, problem): &(IpAddr, Problem)| match problem {
            Problem::Silent(reason) | Problem::CannotSay(reason) => format!("name server {server}: {reason}"),
        };
        Self { is_silence, reason: problems.iter().map(text).collect::<Vec<_>>().join("; ") }
    }
}

async fn within(
    patience: Duration,
    asking: impl Future<Output = io::Result<Verdict>>,
) -> Result<Verdict, Problem> {
    match tokio::time::timeout(patience, asking).await {
        Ok(Ok(verdict)) => Ok(verdict),
        Ok(Err(error)) => Err(Problem::Silent(error.to_string())),
        Err(_) => Err(Problem::Silent(format!("no answer within {patience:?}"))),
    }
}

/// By a socket of its own: its port, which the kernel chooses, is the other half of what a forger must guess.
async fn by_udp(server: SocketAddr, question: &Question) -> io::Result<Verdict> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(question.bytes()).await?;
    loop {
        // ERROR: that nobody listens there comes alone, without anything to read.
        let message = socket.async_io(Interest::READABLE | Interest::ERROR, || receive(&socket)).await?;
        if let Some(verdict) = question.answered_by(&message, Transport::Udp) {
            return Ok(verdict);
        }
    }
}

/// Into memory of its own, so that who waits holds none.
fn receive(socket: &UdpSocket) -> io::Result<Vec<u8>> {
    let mut message = Vec::with_capacity(MESSAGE_BYTES);
    rustix::net::recv(socket, rustix::buffer::spare_capacity(&mut message), RecvFlags::empty())?;
    Ok(message)
}

/// RFC 1035 section 4.2.2: each message behind its length.
async fn by_tcp(server: SocketAddr, question: &Question) -> io::Result<Verdict> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.bytes().len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), question.bytes()].concat()).await?;
    loop {
        let length = stream.read_u16().await?;
        let mut message = vec![0; length.into()];
        stream.read_exact(&mut message).await?;
        if let Some(verdict) = question.answered_by(&message, Transport::Tcp) {
            return Ok(verdict);
        }
    }
}

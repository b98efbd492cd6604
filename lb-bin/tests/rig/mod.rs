//! What the tests of the binary stand on: `lb` as a process, servers behind it, a client in front.
//!
//! Every wait has a condition and a deadline. Every port is chosen by the kernel and read from what `lb` prints.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "these are tests")]
#![allow(clippy::zombie_processes, reason = "dropping waits for the process")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take on a machine that is busy with other things.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// What a process that ended left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `lb` with these arguments until it ends by itself.
pub(crate) fn lb(arguments: &[&str]) -> Ended {
    Lb::start(arguments).ended()
}

/// A running `lb`. Killed when dropped.
pub(crate) struct Lb {
    child: Child,
    stdout: Arc<Output>,
    stderr: Arc<Output>,
}

impl Lb {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lb"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = Output::collect(child.stdout.take().unwrap());
        let stderr = Output::collect(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// `lb run -c FILE`, once it serves.
    pub(crate) fn run(config: &Path) -> Self {
        let lb = Self::start(&["run", "-c", config.to_str().unwrap()]);
        lb.says("  frontend  ");
        lb
    }

    /// Waits until standard error holds `text`, and returns all of it so far.
    pub(crate) fn says(&self, text: &str) -> String {
        self.stderr.wait_for(text)
    }

    /// Waits until standard output holds `text`, and returns all of it so far.
    pub(crate) fn prints(&self, text: &str) -> String {
        self.stdout.wait_for(text)
    }

    /// Where the frontend (or the admin listener, by that name) listens, as the first lines say.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let stderr = self.stderr.text();
        let mut lines = stderr.lines().map(words);
        let line = lines.find(|line| {
            line.first().is_some_and(|first| first == "frontend" || first == "admin")
                && line.iter().take(2).any(|word| word == name)
        });
        let line = line.unwrap_or_else(|| panic!("no {name} in {stderr}"));
        line.iter().find_map(|word| word.parse().ok()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Signals it again and again until it has ended.
    pub(crate) fn signalled_until_it_ends(mut self, signal: Signal) -> Ended {
        let pid = Pid::from_child(&self.child);
        wait_until("it ends by a signal", || {
            // It may have ended since.
            let _ = kill_process(pid, signal);
            self.child.try_wait().unwrap()
        });
        self.ended()
    }

    /// Waits until it has ended.
    pub(crate) fn ended(mut self) -> Ended {
        let status = wait_until("lb has ended", || self.child.try_wait().unwrap());
        let code = ExitStatus::code(&status);
        // Both pipes are closed now, and read to their ends.
        Ended { code, stdout: self.stdout.whole(), stderr: self.stderr.whole() }
    }
}

impl Drop for Lb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- lb said:\n{}--- and printed:\n{}", self.stderr.text(), self.stdout.text());
        }
    }
}

/// What a process writes, as it comes.
#[derive(Default)]
struct Output {
    read: Mutex<(String, bool)>,
    grown: Condvar,
}

impl Output {
    fn collect(mut pipe: impl Read + Send + 'static) -> Arc<Self> {
        let output = Arc::new(Self::default());
        let collected = Arc::clone(&output);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                let read = pipe.read(&mut bytes).unwrap_or(0);
                let mut state = collected.read.lock().unwrap();
                state.0.push_str(&String::from_utf8_lossy(&bytes[..read]));
                state.1 = read == 0;
                collected.grown.notify_all();
                if state.1 {
                    return;
                }
            }
        });
        output
    }

    fn text(&self) -> String {
        self.read.lock().unwrap().0.clone()
    }

    fn wait_for(&self, text: &str) -> String {
        self.wait_while(&format!("{text:?}"), |(read, is_over)| !read.contains(text) && !is_over, text)
    }

    fn whole(&self) -> String {
        self.wait_while("the end", |(_, is_over)| !is_over, "")
    }

    fn wait_while(&self, what: &str, is_missing: impl Fn(&(String, bool)) -> bool, wanted: &str) -> String {
        let state = self.read.lock().unwrap();
        let (state, _) = self.grown.wait_timeout_while(state, DEADLINE, |state| is_missing(state)).unwrap();
        assert!(!is_missing(&state) && state.0.contains(wanted), "waited for {what} in:\n{}", state.0);
        state.0.clone()
    }
}

/// Asks again and again until there is an answer.
pub(crate) fn wait_until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < DEADLINE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A server that answers each request with its name. A request for `/slow` waits for [`Server::release`].
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    /// How many wait, and whether they may go.
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Server {
    pub(crate) fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Arc::new(Gate::default());
        let gate_of_all = Arc::clone(&gate);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, gate) = (stream.unwrap(), Arc::clone(&gate_of_all));
                thread::spawn(move || answer(stream, name, &gate));
            }
        });
        Self { address, gate }
    }

    /// Waits until a request for `/slow` is here.
    pub(crate) fn is_asked(&self) {
        let state = self.gate.state.lock().unwrap();
        let waited = self.gate.changed.wait_timeout_while(state, DEADLINE, |state| state.0 == 0).unwrap();
        assert!(!waited.1.timed_out(), "no request for /slow came");
    }

    /// Lets requests for `/slow` go on.
    pub(crate) fn release(&self) {
        self.gate.state.lock().unwrap().1 = true;
        self.gate.changed.notify_all();
    }
}

fn answer(stream: TcpStream, name: &str, gate: &Gate) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(head) = head(&mut reader) {
        if head.starts_with("GET /slow") {
            let mut state = gate.state.lock().unwrap();
            state.0 += 1;
            gate.changed.notify_all();
            drop(gate.changed.wait_timeout_while(state, DEADLINE, |state| !state.1).unwrap());
        }
        let sent = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
        if sent.is_err() {
            return;
        }
    }
}

/// A head's lines up to the empty one; none at the end of the stream.
fn head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    loop {
        let read = reader.read_line(&mut head).unwrap_or(0);
        if read == 0 {
            return None;
        }
        if head.ends_with("\r\n\r\n") {
            return Some(head);
        }
    }
}

/// The answer to a request on a connection of its own.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path).unwrap()
}

pub(crate) fn post(address: SocketAddr, path: &str) -> Answer {
    request(address, "POST", path).unwrap()
}

/// Sends a request and reads to the end of the stream; an error if the stream breaks before a whole head.
pub(crate) fn request(address: SocketAddr, method: &str, path: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or(std::io::ErrorKind::InvalidData)?;
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// The bodies of so many requests, one after the other.
pub(crate) fn bodies(address: SocketAddr, path: &str, count: usize) -> Vec<String> {
    (0..count).map(|_| get(address, path).body).collect()
}

/// A directory with a configuration in it.
pub(crate) struct Config {
    pub(crate) dir: tempfile::TempDir,
}

impl Config {
    pub(crate) fn new(text: &str) -> Self {
        let config = Self { dir: tempfile::tempdir().unwrap() };
        fs::write(config.path(), text).unwrap();
        config
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("lb.toml")
    }
}

/// A frontend `web` and an admin listener, on ports that the kernel chooses, and a backend `shop`.
pub(crate) fn shop(servers: &[&Server]) -> String {
    let servers: Vec<String> =
        servers.iter().map(|server| format!("{:?}", server.address.to_string())).collect();
    format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n\n[frontend.web]\nlisten = \"127.0.0.1:0\"\nbackend = \"shop\"\n\n\
         [backend.shop]\nservers = [{}]\n",
        servers.join(", ")
    )
}

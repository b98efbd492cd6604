//! A child process that logs to a file, is known to be alive when measured, and ends with its value.

use std::env;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::Error;
use crate::task::Tree;

/// A running peer or the origins.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its errors in `log`; what else it says, an access log, goes nowhere.
    /// Its ports must be free: otherwise whatever has them would be measured in its stead.
    pub(crate) fn start(name: &str, mut command: Command, log: &Path, ports: &[u16]) -> Result<Self, Error> {
        for &port in ports {
            ensure_free(port)?;
        }
        let errors = File::create(log).map_err(Error::file(log))?;
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(errors);
        let program = command.get_program().to_os_string();
        let child = command.spawn().map_err(Error::file(program))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// Waits until each port accepts a connection.
    pub(crate) fn wait_for(&mut self, ports: &[u16], patience: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + patience;
        for &port in ports {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
                self.ensure_alive()?;
                if Instant::now() > deadline {
                    return Err(self.failed(format!("did not listen on port {port} within {patience:?}")));
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        self.ensure_alive()
    }

    /// An error with the log's last lines if the process has ended.
    pub(crate) fn ensure_alive(&mut self) -> Result<(), Error> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.failed(format!("ended ({status})"))),
            Err(source) => Err(Error::System { what: "wait", source }),
        }
    }

    /// Asks to end, waits, then insists, for the descendants too. Only processes of this tree are
    /// touched.
    pub(crate) fn end(&mut self) {
        if self.has_ended() {
            return;
        }
        let tree = self.tree().pids();
        drop(self.child.stdin.take());
        let _ = self.signal(Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(3);
        while !self.has_ended() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        if !self.has_ended() {
            for pid in tree.into_iter().filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
                let _ = kill_process(pid, Signal::KILL);
            }
            let _ = self.child.wait();
        }
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Error> {
        kill_process(Pid::from_child(&self.child), signal).map_err(Error::system("kill"))
    }

    pub(crate) fn tree(&self) -> Tree {
        Tree::of(self.child.id())
    }

    fn failed(&self, what: String) -> Error {
        let written = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = written.lines().collect();
        let last = lines[lines.len().saturating_sub(5)..].join("\n    ");
        let log = if last.is_empty() { String::new() } else { format!(":\n    {last}") };
        Error::Process { name: self.name.clone(), what, log }
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Binding is the only honest test: a listener that refuses connections has the port as well.
fn ensure_free(port: u16) -> Result<(), Error> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Error::PortTaken(port)),
        Err(source) => Err(Error::System { what: "bind", source }),
    }
}

/// A program by its name.
pub(crate) fn in_path(name: &str) -> Option<PathBuf> {
    // Debian keeps servers in sbin, which is not in every user's PATH.
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    places.map(|place| place.join(name)).find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_an_error_that_names_it() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let log = std::env::temp_dir().join(format!("compare-test-{port}.log"));
        let error = Process::start("x", Command::new("true"), &log, &[port]).unwrap_err();
        assert!(error.to_string().contains(&format!("port {port} is taken")), "{error}");
    }

    #[test]
    fn a_process_that_ends_is_told_with_its_last_words() {
        let log = std::env::temp_dir().join(format!("compare-test-{}.log", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such option >&2; exit 3"]);
        let mut process = Process::start("peer", command, &log, &[]).unwrap();
        let error = process.wait_for(&[1], Duration::from_secs(5)).unwrap_err().to_string();
        fs::remove_file(&log).unwrap();
        assert!(error.starts_with("peer ended") && error.contains("no such option"), "{error}");
    }
}

//! A proxy in a process of its own, where what it does can be told from what its test does: allocations, system
//! calls, memory.
//!
//! The process is the test binary once more, told by its environment to run one test, which serves.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::Wire;
use crate::proxy::{ProxyBuilder, Workers};

/// Tells the test that serves that it is to, and by which name.
const ROLE: &str = "LB_TESTKIT_ROLE";
const ORIGIN: &str = "LB_TESTKIT_ORIGIN";

/// A proxy's process; killed when it is dropped.
#[derive(Debug)]
pub struct ProxyProcess {
    child: Child,
    /// Until the process is to end.
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    address: String,
}

impl ProxyProcess {
    /// Runs the test called `test` of this binary in a new process, which is to call [`serve`](Self::serve), in front
    /// of the origin at `origin`. `under` is a command to run it under, such as strace with its arguments.
    pub fn start(test: &str, role: &str, origin: &str, under: &[&str]) -> Self {
        let binary = std::env::current_exe().unwrap();
        let mut command = match under {
            [] => Command::new(&binary),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&binary);
                command
            }
        };
        let command = command
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(ORIGIN, origin);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (questions, answers) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut process = Self { child, questions, answers, address: String::new() };
        process.address = process.answer();
        process
    }

    /// In the test that serves: runs the proxy that `builder` makes of role and origin, on one worker, and answers each
    /// question with `answer`'s number, until the test that started the process is done. Elsewhere: nothing.
    pub fn serve(builder: impl FnOnce(&str, &str) -> ProxyBuilder, mut answer: impl FnMut() -> usize) {
        let (Ok(role), Ok(origin)) = (std::env::var(ROLE), std::env::var(ORIGIN)) else { return };
        let proxy = builder(&role, &origin).workers(Workers::Threads(1)).build().unwrap();
        let handle = proxy.handle();
        let (started, has_started) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                proxy.start().await.unwrap();
                started.send(()).unwrap();
                std::future::pending::<()>().await;
            });
        });
        has_started.recv().unwrap();
        let name = handle.status().frontends[0].name.clone();
        say(format_args!("{}", handle.addresses(&name)[0]));
        let mut questions = std::io::stdin().lock();
        let mut question = String::with_capacity(64);
        while questions.read_line(&mut question).unwrap() > 0 {
            question.clear();
            say(format_args!("{}", answer()));
        }
    }

    /// A client of the proxy.
    pub fn client(&self) -> Wire {
        Wire::connect(&self.address)
    }

    /// Where the proxy listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks the process for its number.
    pub fn ask(&mut self) -> usize {
        self.questions.as_mut().unwrap().write_all(b"?\n").unwrap();
        self.answer().parse().unwrap()
    }

    /// Ends the process in order and waits for it.
    pub fn finish(mut self) {
        // The end of its questions is the end of its test, and of the process; strace has written everything then.
        drop(self.questions.take());
        let _ = self.child.wait();
    }

    /// The next line that it says, past what the test harness prints.
    fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.answers.read_line(&mut line).unwrap() > 0, "the proxy's process has ended");
            if let Some((_, said)) = line.trim_end().split_once(SAYS) {
                return said.to_owned();
            }
        }
    }
}

/// Before what the process says, to tell it from the harness.
const SAYS: &str = "the proxy says: ";

/// Past the harness's capture, and without allocating.
fn say(what: std::fmt::Arguments<'_>) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{SAYS}{what}").unwrap();
}

impl Drop for ProxyProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

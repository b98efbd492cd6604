//! A server that follows a script.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::wire::Told;
use super::{Message, Wire};

/// A server behind the proxy: each of its connections is a thread that follows the script. Ends, and gives out its
/// threads' panics, when it is dropped.
#[derive(Debug)]
pub struct Origin {
    address: String,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_closing: AtomicBool,
    connections: AtomicUsize,
    requests: Mutex<Vec<Message>>,
    told: Arc<Told>,
    open: Mutex<Vec<(Slot, JoinHandle<()>)>>,
}

/// A second descriptor of a connection, to end its script by; its script's thread takes it out at the end, so that the
/// connection closes then.
type Slot = Arc<Mutex<Option<TcpStream>>>;

impl Origin {
    /// Serves each connection by `script`.
    pub fn scripted(script: impl Fn(&mut Wire) + Send + Sync + 'static) -> Self {
        Self::listening(TcpListener::bind("127.0.0.1:0").unwrap(), move |wire, _| script(wire))
    }

    /// Answers each request by `answer`, connection after connection kept alive, and notes it.
    pub fn answering(answer: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::listening(TcpListener::bind("127.0.0.1:0").unwrap(), answer_by(answer))
    }

    /// Answers each request with 200 and its name as the body.
    pub fn named(name: &str) -> Self {
        Self::answering(named_answer(name))
    }

    /// Like [`named`](Self::named), at an address where an origin was before.
    pub fn named_at(name: &str, address: &str) -> Self {
        Self::listening(listen_again(address), answer_by(named_answer(name)))
    }

    /// Like [`scripted`](Self::scripted), at an address where an origin was before.
    pub fn scripted_at(address: &str, script: impl Fn(&mut Wire) + Send + Sync + 'static) -> Self {
        Self::listening(listen_again(address), move |wire, _| script(wire))
    }

    /// Where it listens, as `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Lets one script that waits in [`Wire::until_told`], or will, go on.
    pub fn tell(&self) {
        self.shared.told.tell();
    }

    /// How many connections it has accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The requests it has answered so far; only where the script is an answer.
    pub fn requests(&self) -> Vec<Message> {
        self.shared.requests.lock().unwrap().clone()
    }

    fn listening(listener: TcpListener, script: impl Fn(&mut Wire, &Shared) + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared::default());
        let accepting = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared, &Arc::new(script))
        });
        Self { address, shared, accepting: Some(accepting) }
    }
}

fn listen_again(address: &str) -> TcpListener {
    // std sets SO_REUSEADDR, so connections of the one before don't hold the address.
    TcpListener::bind(address).unwrap_or_else(|error| panic!("listen again on {address}: {error}"))
}

fn named_answer(name: &str) -> impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static {
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
    move |_| answer.clone().into_bytes()
}

fn answer_by(
    answer: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static,
) -> impl Fn(&mut Wire, &Shared) + Send + Sync + 'static {
    move |wire, shared| {
        while let Some(request) = wire.request() {
            shared.requests.lock().unwrap().push(request.clone());
            if wire.try_send(answer(&request)).is_err() {
                return;
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    shared: &Arc<Shared>,
    script: &Arc<impl Fn(&mut Wire, &Shared) + Send + Sync + 'static>,
) {
    loop {
        let (stream, _) = listener.accept().unwrap();
        if shared.is_closing.load(Ordering::SeqCst) {
            return;
        }
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let slot = Arc::new(Mutex::new(Some(stream.try_clone().unwrap())));
        let (script, seen, own) = (Arc::clone(script), Arc::clone(shared), Arc::clone(&slot));
        let thread = std::thread::spawn(move || {
            let mut wire = Wire::new(stream).told_by(&seen.told);
            script(&mut wire, &seen);
            own.lock().unwrap().take();
        });
        let mut open = shared.open.lock().unwrap();
        reap(&mut open);
        open.push((slot, thread));
    }
}

/// Lets go of scripts that are over; the panic of one comes out with the origin.
fn reap(open: &mut Vec<(Slot, JoinHandle<()>)>) {
    let mut at = 0;
    while at < open.len() {
        if open[at].1.is_finished() {
            let (_, thread) = open.swap_remove(at);
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        } else {
            at += 1;
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.is_closing.store(true, Ordering::SeqCst);
        // Wakes the accept loop.
        let _ = TcpStream::connect(&self.address);
        let accepted = self.accepting.take().map(JoinHandle::join);
        let open = std::mem::take(&mut *self.shared.open.lock().unwrap_or_else(PoisonError::into_inner));
        for (slot, _) in &open {
            if let Some(stream) = slot.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        let ended = accepted.into_iter().chain(open.into_iter().map(|(_, thread)| thread.join()));
        for panic in ended.filter_map(Result::err).collect::<Vec<_>>() {
            if !std::thread::panicking() {
                resume_unwind(panic);
            }
        }
    }
}

//! Accepting connections.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::limit::{ConnectionLimit, Permits};
use super::reserve::{REST, Reserve};
use crate::live::Live;
use crate::net::{Admission, ClientAddress, Connections, Listener, Stream};

/// A listener that is to go has taken all that the kernel had queued when nothing more comes for this long.
const LAST_CALL: Duration = Duration::from_millis(20);

/// And at the latest, where clients never stop coming, when its queue is empty after this long.
const CLOSING: Duration = Duration::from_millis(200);

/// What a frontend's listeners hand connections to, on one worker.
pub(crate) trait Acceptor: fmt::Debug + Send + Sync {
    /// Serves the connection in a task of its own.
    fn serve(&self, stream: Stream, client: ClientAddress, permits: Permits);

    /// The frontend's open connections on this worker.
    fn connections(&self) -> &Arc<Connections>;

    /// A connection could not be accepted.
    fn accept_failed(&self);

    /// For a reload, which keeps the acceptor and replaces what it does.
    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync);
}

/// Where an address's connections go; a reload may change it.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(crate) acceptor: Arc<dyn Acceptor>,
    pub(crate) admission: Option<Arc<dyn Admission>>,
    /// The frontend's and the proxy's.
    pub(crate) limits: [Arc<ConnectionLimit>; 2],
    pub(crate) reserve: Reserve,
}

/// Accepts until `stop`, then what the kernel had queued by then: those clients have connected.
pub(crate) async fn accept_loop(
    listener: Listener,
    destination: Arc<Live<Destination>>,
    stop: CancellationToken,
) {
    let mut closing = Closing { stop: stop.clone(), at: None };
    let stopped = stop.cancelled();
    tokio::pin!(stopped);
    loop {
        let accepted = poll_fn(|cx| match stopped.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => listener.poll_accept(cx).map(Some),
        });
        match accepted.await {
            Some(accepted) => take(accepted, &destination, &mut closing).await,
            None => break,
        }
    }
    listener.refuse_new();
    let end = closing.begin();
    while Instant::now() < end {
        // Unconstrained: pending must mean that the queue is empty, not that tokio wants others to have their turn.
        let accepted = unconstrained(poll_fn(|cx| listener.poll_accept(cx)));
        match timeout_at(end.min(Instant::now() + LAST_CALL), accepted).await {
            Ok(accepted) => take(accepted, &destination, &mut closing).await,
            Err(_) => return,
        }
    }
}

/// When a listener is told to go, and by when it has to have gone.
struct Closing {
    stop: CancellationToken,
    at: Option<Instant>,
}

impl Closing {
    /// By when it has to have gone, now that it was told to.
    fn begin(&mut self) -> Instant {
        *self.at.get_or_insert_with(|| Instant::now() + CLOSING)
    }

    /// Waits until it has to have gone.
    async fn ended(&mut self) {
        self.stop.cancelled().await;
        let end = self.begin();
        tokio::time::sleep_until(end).await;
    }
}

async fn take(
    accepted: io::Result<(Stream, ClientAddress)>,
    destination: &Live<Destination>,
    closing: &mut Closing,
) {
    match accepted {
        Ok((mut stream, client)) => {
            let to = destination.load_full();
            if to.admission.as_ref().is_some_and(|admission| !admission.admits(client.ip())) {
                return;
            }
            let permitted = async {
                let permits = Permits::acquire(&to.limits).await;
                to.reserve.spare(&stream, || to.acceptor.accept_failed()).await;
                permits
            };
            // Others close while a listener does, and give up their permits; who gets none of them is not waited for.
            let permits = tokio::select! {
                biased;
                permits = permitted => Some(permits),
                () = closing.ended() => None,
            };
            match permits {
                Some(permits) => to.acceptor.serve(stream, client, permits),
                None => stream.reset_on_close(),
            }
        }
        // accept(2): errors of the connection itself, which is gone.
        Err(error) if is_connections_own(&error) => {}
        Err(error) => {
            destination.load().acceptor.accept_failed();
            tracing::warn!(%error, "can't accept a connection; resting");
            tokio::time::sleep(REST).await;
        }
    }
}

fn is_connections_own(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

//! The client of an exchange: who it is, how long it may take, and the frontend it came to.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::service::{Entry, Service};
use crate::metrics::OpenConnection;
use crate::net::{ClientAddress, Deadline, Said};

/// How long a draining frontend waits for the first request of a connection that it has just accepted.
const LAST_CALL: Duration = Duration::from_millis(500);

/// What is known of a client, and what its connection holds on to.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) client: ClientAddress,
    pub(crate) entry: Arc<Entry>,
    pub(crate) deadline: Deadline,
    /// What the proxy in front said of it.
    pub(crate) said: Option<Box<Said>>,
    /// No request has been read yet, and the deadline is that of the first head.
    pub(crate) is_new: bool,
    /// Absent where several requests go on side by side: their connection is counted, not they.
    _open: Option<OpenConnection>,
}

impl Peer {
    /// A client whose connection was just accepted.
    pub(super) fn new(client: ClientAddress, entry: &Arc<Entry>, service: &Service) -> Self {
        let deadline = Deadline::at(Instant::now() + service.timeouts.head);
        let open = Some(service.metrics.connection_opened());
        Self { client, entry: Arc::clone(entry), deadline, said: None, is_new: true, _open: open }
    }

    /// The same client, for one of several requests that go on side by side.
    pub(super) fn of_stream(&self) -> Self {
        let deadline = Deadline::at(Instant::now());
        let entry = Arc::clone(&self.entry);
        Self { client: self.client, entry, deadline, said: None, is_new: false, _open: None }
    }

    /// Ready when the client has had its time to say something.
    pub(super) fn poll_first_call(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.entry.connections.is_draining() {
            // It was accepted last: its request is probably on its way.
            self.deadline.advance(Instant::now() + LAST_CALL);
        }
        self.deadline.poll(cx)
    }
}

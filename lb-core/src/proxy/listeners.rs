//! The addresses that are listened on, and how a snapshot replaces them.
//!
//! Connections belong to the address that they came by: where it goes on, they do, whatever its frontend is called now;
//! where it goes, they finish what they have begun.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::BindError;
use super::frontend::Frontend;
use super::listener::{Acceptor, Destination};
use super::worker::Worker;
use crate::live::Live;
use crate::net::Connections;
use crate::sys::{self, Bound, ListenAddress, Sharing, SocketFile};

/// What is listened on now.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    open: HashMap<ListenerKey, RunningListener>,
    /// For good: a snapshot that comes while the proxy drains opens none again.
    are_closed: bool,
    /// The addresses of accept loops that have not ended, also where they were told to.
    occupied: Vec<Occupied>,
    /// Likewise of the admin listener.
    occupied_by_admin: Vec<Occupied>,
}

/// What tells listeners apart: their address, and whose they are where the kernel chooses the port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ListenerKey {
    address: ListenAddress,
    owner: Option<Arc<str>>,
}

#[derive(Debug)]
struct RunningListener {
    bound: ListenAddress,
    /// One for each worker.
    destinations: Vec<Arc<Live<Destination>>>,
    stop: CancellationToken,
    /// Cancelled when the last accept loop has ended.
    ended: CancellationToken,
    /// Of a unix socket; goes with it.
    file: Option<SocketFile>,
}

#[derive(Debug)]
struct Occupied {
    address: ListenAddress,
    ended: CancellationToken,
}

/// Listeners that a snapshot adds, bound and not yet served.
#[derive(Debug, Default)]
pub(super) struct Fresh(HashMap<ListenerKey, Bound>);

/// Connections whose listener is gone, or serves in another way now.
#[derive(Debug)]
pub(super) struct Retired {
    address: ListenAddress,
    /// One for each worker.
    pub(super) connections: Vec<Arc<Connections>>,
    /// Cancelled when no more can come.
    ended: CancellationToken,
}

impl Listeners {
    /// Binds what `frontends` add, and lets those who may now connect to the unix sockets that stay; `owners` are who
    /// has the frontends' listeners now. Fails without having changed anything.
    pub(super) fn prepare(
        &self,
        frontends: &[Frontend],
        owners: &[Arc<str>],
        workers: usize,
    ) -> Result<Fresh, BindError> {
        let (mut fresh, mut kept) = (Fresh::default(), Vec::new());
        if self.are_closed {
            return Ok(fresh);
        }
        for (frontend, owner) in frontends.iter().zip(owners) {
            for address in &frontend.listen {
                let failed = |source| BindError {
                    what: format!("frontend {}", frontend.name),
                    address: address.clone(),
                    source,
                };
                match self.open.get(&ListenerKey::new(address, owner)) {
                    Some(listener) => {
                        kept.extend(listener.file.as_ref().map(|f| (f, &frontend.access, failed)))
                    }
                    None => {
                        let sharing = self.sharing(address);
                        let bound = sys::bind(address, workers, sharing, &frontend.access).map_err(failed)?;
                        fresh.0.insert(ListenerKey::new(address, &frontend.name), bound);
                    }
                }
            }
        }
        let mut undo = Vec::new();
        for (file, access, failed) in kept {
            let changed = file.access().and_then(|before| {
                undo.push((file, before));
                file.set_access(access)
            });
            if let Err(error) = changed {
                for (file, before) in undo {
                    // It was so before, and what made it so may do it again.
                    let _ = file.set_access(&before);
                }
                return Err(failed(error));
            }
        }
        Ok(fresh)
    }

    /// Whether this process already has a part of an address, by a listener that goes with the snapshot to come or has
    /// been told to go.
    pub(super) fn sharing(&self, address: &ListenAddress) -> Sharing {
        let mut occupied = self.occupied.iter().chain(&self.occupied_by_admin);
        let is_ours = |at: &Occupied| !at.ended.is_cancelled() && at.address.overlaps(address);
        if occupied.any(is_ours) { Sharing::WithOurs } else { Sharing::Alone }
    }

    /// Notes where the admin listener is; it is until what is returned is dropped.
    pub(super) fn occupy_for_admin(&mut self, address: ListenAddress) -> DropGuard {
        occupy(&mut self.occupied_by_admin, address).drop_guard()
    }

    /// Gives the listeners whose ports the kernel chose from one frontend to another.
    pub(super) fn rename(&mut self, from: &Arc<str>, to: &Arc<str>) {
        let renamed: Vec<_> = self.open.extract_if(|key, _| key.owner.as_ref() == Some(from)).collect();
        for (key, listener) in renamed {
            self.open.insert(ListenerKey { owner: Some(Arc::clone(to)), ..key }, listener);
        }
    }

    /// Begins to replace what is listened on. What was bound before all was closed is let go.
    pub(super) fn swap(&mut self, fresh: Fresh) -> Swap<'_> {
        let before = std::mem::take(&mut self.open);
        let fresh = if self.are_closed { Fresh::default() } else { fresh };
        Swap { listeners: self, before, fresh, retired: Vec::new() }
    }

    /// Stops listening, for good.
    pub(super) fn close_all(&mut self) -> Vec<Retired> {
        self.are_closed = true;
        self.swap(Fresh::default()).finish()
    }

    /// Cancelled, one by one, when accept loops have ended.
    pub(super) fn ends(&self) -> Vec<CancellationToken> {
        self.occupied.iter().map(|at| at.ended.clone()).collect()
    }

    /// The registers of the connections that came by them.
    pub(super) fn connections(&self) -> impl Iterator<Item = Arc<Connections>> {
        self.open.values().flat_map(RunningListener::connections)
    }

    /// Where a frontend listens, with the ports that the kernel chose.
    pub(super) fn of(&self, frontend: &Frontend) -> impl Iterator<Item = &ListenAddress> {
        let keys = frontend.listen.iter().map(|address| ListenerKey::new(address, &frontend.name));
        keys.filter_map(|key| self.open.get(&key)).map(|listener| &listener.bound)
    }
}

/// Listeners being replaced: first all that there shall be, then [`finish`](Self::finish).
pub(super) struct Swap<'a> {
    listeners: &'a mut Listeners,
    before: HashMap<ListenerKey, RunningListener>,
    fresh: Fresh,
    retired: Vec<Retired>,
}

impl Swap<'_> {
    /// Has `frontend` served at `address`. `destination` says where a worker's connections go, given the acceptor from
    /// before, which it may keep.
    pub(super) fn listen(
        &mut self,
        address: &ListenAddress,
        frontend: &Arc<str>,
        workers: &[Worker],
        destination: impl Fn(usize, Option<&Arc<dyn Acceptor>>) -> Destination,
    ) {
        let key = ListenerKey::new(address, frontend);
        if let Some(listener) = self.before.remove(&key) {
            let replaced = listener.redirect(destination);
            if !replaced.is_empty() {
                // The accept loop goes on, to the new acceptor.
                let ended = CancellationToken::new();
                ended.cancel();
                let address = listener.bound.clone();
                self.retired.push(Retired { address, connections: replaced, ended });
            }
            self.listeners.open.insert(key, listener);
        } else if let Some(Bound { listeners: sockets, file }) = self.fresh.0.remove(&key) {
            let bound = sockets.first().and_then(|socket| socket.local_address(address).ok());
            let bound = bound.unwrap_or_else(|| address.clone());
            let ended = occupy(&mut self.listeners.occupied, bound.clone());
            let (stop, guard) = (CancellationToken::new(), Arc::new(ended.clone().drop_guard()));
            let start = |(worker, socket)| {
                let live = Arc::new(Live::new(destination(worker, None)));
                workers[worker].listen(socket, &live, &stop, &guard);
                live
            };
            let destinations = sockets.into_iter().enumerate().map(start).collect();
            let listener = RunningListener { bound, destinations, stop, ended, file };
            self.listeners.open.insert(key, listener);
        }
    }

    /// Stops what nobody has asked for again; connections that are to end, now that no new one can reach them.
    pub(super) fn finish(self) -> Vec<Retired> {
        let mut retired = self.retired;
        for listener in self.before.into_values() {
            let connections = listener.connections().collect();
            let RunningListener { bound: address, stop, ended, file, .. } = listener;
            // First, so that nobody finds the socket any more.
            drop(file);
            stop.cancel();
            retired.push(Retired { address, connections, ended });
        }
        retired.iter().flat_map(|gone| &gone.connections).for_each(|connections| connections.drain());
        retired
    }
}

impl RunningListener {
    fn connections(&self) -> impl Iterator<Item = Arc<Connections>> {
        self.destinations.iter().map(|live| Arc::clone(live.load().acceptor.connections()))
    }

    /// Sends new connections elsewhere; the registers of those whose acceptors are not in use any more.
    fn redirect(
        &self,
        destination: impl Fn(usize, Option<&Arc<dyn Acceptor>>) -> Destination,
    ) -> Vec<Arc<Connections>> {
        let mut replaced = Vec::new();
        for (worker, live) in self.destinations.iter().enumerate() {
            let before = live.load_full();
            let now = destination(worker, Some(&before.acceptor));
            if !Arc::ptr_eq(before.acceptor.connections(), now.acceptor.connections()) {
                replaced.push(Arc::clone(before.acceptor.connections()));
            }
            live.store(Arc::new(now));
        }
        replaced
    }
}

impl Retired {
    /// Waits until all are closed, or closes them after `timeout`.
    pub(super) async fn close(self, timeout: Duration) {
        let Self { address, connections, ended } = self;
        let closed = async {
            ended.cancelled().await;
            for connections in &connections {
                connections.closed().await;
            }
        };
        if tokio::time::timeout(timeout, closed).await.is_err() {
            let left: usize = connections.iter().map(|connections| connections.count()).sum();
            tracing::warn!(%address, connections = left, "the time for draining a listener ran out; closing what is open");
            connections.iter().for_each(|connections| connections.abort());
        }
    }
}

impl ListenerKey {
    fn new(address: &ListenAddress, frontend: &Arc<str>) -> Self {
        let is_chosen_by_kernel = matches!(address, ListenAddress::Tcp(addr) if addr.port() == 0);
        Self { address: address.clone(), owner: is_chosen_by_kernel.then(|| Arc::clone(frontend)) }
    }
}

fn occupy(occupied: &mut Vec<Occupied>, address: ListenAddress) -> CancellationToken {
    occupied.retain(|at| !at.ended.is_cancelled());
    let ended = CancellationToken::new();
    occupied.push(Occupied { address, ended: ended.clone() });
    ended
}

//! Who serves in one backend now: every fact about its servers in one place, and the view that follows from them.
//!
//! The control plane tells what it found (`checked`, `resolved`, `set_state`, `expire`), workers report how
//! connects went. What changed is written under one lock, and the view that follows is published before the lock is
//! let go, so subscribers see changes in order. Workers take that lock only when a report changes who is available
//! or might: from the `failures`-th failure in a row on, and for the success that ends an ejection.

mod entries;
mod events;
mod status;
mod succession;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use crate::live::Live;

use super::{Backend, Position, Server, View};
use entries::Entries;

pub use events::{CheckOutcome, Flip, FlipKind, Operator, Resolved};
pub use status::ServerStatus;

/// Who serves in one backend now.
///
/// Availability, in this order: a server is *eligible* if it is up (or unknown while no server of the backend has
/// had a result), neither drained nor in maintenance, and its weight isn't 0. It *stands* if it isn't ejected. The
/// primaries that stand serve; backups serve when no primary stands, and until then they stand by for exchanges that
/// every primary failed. Those back from an ejection are there for a trial: one exchange at a time, until a connect
/// succeeds. When nobody stands, ejections don't count: a server that may work beats none.
#[derive(Debug)]
pub struct Roster {
    backend: Backend,
    position: Arc<Position>,
    view: Live<View>,
    state: Mutex<State>,
}

type Subscriber = Box<dyn Fn(&Arc<View>) + Send + Sync>;
type Observer = Arc<dyn Fn(&Flip) + Send + Sync>;

struct State {
    entries: Entries,
    subscribers: Vec<Subscriber>,
    observers: Vec<Observer>,
    /// The roster of the next snapshot, to which everything that is told to this one is passed on.
    successor: Weak<Roster>,
}

/// What a change amounts to.
#[derive(Default)]
struct Effect {
    /// Who is available, or who is to be checked, may differ.
    is_change: bool,
    flips: Vec<Flip>,
}

impl Roster {
    /// A roster at its start: literal addresses are servers, names are unresolved, nothing has been checked.
    pub fn new(backend: &Backend) -> Arc<Self> {
        Self::with_entries(backend, Entries::new(backend), Arc::default(), None)
    }

    /// The roster of a reload: servers with the same address keep their [`Server`], health, failures, ejection and
    /// what the operator said; the round-robin position goes on. Weights, limits, checks and servers are those of
    /// `backend`. From then on `before` passes on what it is told, so that no result is lost while work still goes
    /// by the old snapshot; its own view stays as it is.
    ///
    /// A backend of another name begins anew.
    pub fn succeed(backend: &Backend, before: &Self) -> Arc<Self> {
        if backend.name() != before.backend.name() {
            return Self::new(backend);
        }
        before.current(|before, state| {
            let entries = state.entries.succeed(backend);
            let (position, view) = (before.position.clone(), before.view.load_full());
            let successor = Self::with_entries(backend, entries, position, Some(&view));
            state.successor = Arc::downgrade(&successor);
            successor
        })
    }

    /// The definition it follows.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Who may be picked now. Wait-free; a worker keeps what it loaded for one pick.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Calls with the current view at once and with each later one, in order, for as long as the roster lives.
    /// A view is published at every change of a server's state, also where the members stay the same.
    ///
    /// It is called under the roster's lock: it should store and wake, and must not call the roster.
    pub fn subscribe(&self, subscriber: impl Fn(&Arc<View>) + Send + Sync + 'static) {
        let mut state = self.lock();
        subscriber(&self.view.load_full());
        state.subscribers.push(Box::new(subscriber));
    }

    /// Calls at each flip, for as long as the roster lives, after the view that follows is published. Flips of one
    /// server that happen at the same moment on two threads may be told in either order.
    pub fn observe(&self, observer: impl Fn(&Flip) + Send + Sync + 'static) {
        self.lock().observers.push(Arc::new(observer));
    }

    /// Discovery: the name of `spec` has these addresses now. New ones become servers `spec/address`, missing ones
    /// drain. An empty answer changes nothing.
    pub fn resolved(&self, spec: &str, addrs: &[SocketAddr]) -> Resolved {
        self.resolved_as(spec, None, addrs)
    }

    /// As [`Roster::resolved`], with the absolute name that has the addresses, which may be longer than the spec's.
    pub fn resolved_as(&self, spec: &str, absolute_name: Option<&str>, addrs: &[SocketAddr]) -> Resolved {
        self.change(|roster, entries, effect| {
            let resolved = entries.resolved(&roster.backend, spec, absolute_name, addrs);
            effect.is_change = !resolved.added.is_empty() || !resolved.gone.is_empty();
            resolved
        })
    }

    /// Discovery: the name of `spec` doesn't resolve. The last answer stays in place; where there never was one the
    /// server is unresolved, and `reason` is shown.
    pub fn unresolved(&self, spec: &str, reason: &str) {
        self.change(|_, entries, _| entries.unresolved(spec, reason));
    }

    /// The checker: one result, counted towards rise or fall.
    pub fn checked(&self, server: &Server, outcome: CheckOutcome) {
        self.change(|roster, entries, effect| {
            let Some(check) = roster.backend.health() else { return };
            let Some(entry) = entries.find(server) else { return };
            if let Some(flip) = entry.checked(check, outcome) {
                effect.is_change = true;
                effect.flips.push(flip);
            }
        });
    }

    /// A worker: a connection to `server` opened, or a reused one was answered. One relaxed load when nothing had
    /// failed.
    pub fn connected(&self, server: &Server) {
        if server.failure_count().succeeded() {
            return;
        }
        self.change(|_, entries, effect| {
            effect.flips.extend(entries.find(server).and_then(|entry| entry.returns()));
            effect.is_change = !effect.flips.is_empty();
            server.failure_count().clear();
        });
    }

    /// A worker: a connect to `server` failed or timed out. Ejects it at [`Passive::failures`](super::Passive) in a
    /// row, unless no other server stands; 0: never.
    pub fn connect_failed(&self, server: &Server, now: Instant) {
        let threshold = self.backend.passive().failures;
        if !server.failure_count().failed(threshold) || threshold == 0 {
            return;
        }
        self.change(|roster, entries, effect| {
            effect.flips.extend(entries.eject(server, roster.backend.passive(), now));
            effect.is_change = !effect.flips.is_empty();
        });
    }

    /// Begins the trials of servers whose ejection is over, and forgets drained ones.
    pub fn expire(&self, now: Instant) {
        self.change(|_, entries, effect| {
            entries.forget_drained();
            effect.flips = entries.expire(now);
            effect.is_change = !effect.flips.is_empty();
        });
    }

    /// When the next ejection is over; it may move at each published view.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.current(|_, state| state.entries.next_expiry())
    }

    /// The operator: what is wanted of the server of this name, with all its addresses, until told otherwise and
    /// over reloads. `false`: there is none of that name.
    pub fn set_state(&self, spec: &str, wanted: Operator) -> bool {
        self.change(|_, entries, effect| {
            let (is_known, is_change) = entries.set_operator(spec, wanted);
            effect.is_change = is_change;
            is_known
        })
    }

    /// Every server as it is now, in the order of the configuration, for the status page.
    pub fn status(&self) -> Vec<ServerStatus> {
        self.current(|roster, state| status::collect(&roster.view.load(), &state.entries))
    }

    /// Every server that exists now: available or not, and those that drain because their address left the name.
    pub fn servers(&self) -> Vec<Arc<Server>> {
        self.current(|_, state| state.entries.servers())
    }

    /// The servers that a checker should check now: all but those in maintenance and those whose address is gone.
    pub fn to_check(&self) -> Vec<Arc<Server>> {
        self.current(|_, state| state.entries.to_check().map(|entry| entry.server.clone()).collect())
    }

    /// The addresses that the name of `spec` had in its last answer.
    pub fn addresses(&self, spec: &str) -> Vec<SocketAddr> {
        self.current(|_, state| state.entries.addresses(spec))
    }

    /// The absolute name that had them, if the name of `spec` was completed to one.
    pub fn absolute_name(&self, spec: &str) -> Option<Arc<str>> {
        self.current(|_, state| state.entries.absolute_name(spec))
    }

    /// Whether every server that is checked has had its first result.
    pub fn all_checked(&self) -> bool {
        self.backend.health().is_none()
            || self.current(|_, state| state.entries.to_check().all(|entry| entry.last_check.is_some()))
    }

    fn with_entries(
        backend: &Backend,
        entries: Entries,
        position: Arc<Position>,
        before: Option<&View>,
    ) -> Arc<Self> {
        let view = Self::view_of(backend, &entries, &position, before);
        let (subscribers, observers, successor) = (Vec::new(), Vec::new(), Weak::new());
        let state = Mutex::new(State { entries, subscribers, observers, successor });
        Arc::new(Self { backend: backend.clone(), position, view: Live::new(view), state })
    }

    fn view_of(
        backend: &Backend,
        entries: &Entries,
        position: &Arc<Position>,
        before: Option<&View>,
    ) -> View {
        View::new(entries.available(), entries.servers(), &**backend.policy(), position, before)
    }

    /// Changes the facts of the newest roster, publishes the view that follows and tells its observers.
    fn change<R>(&self, change: impl FnOnce(&Self, &mut Entries, &mut Effect) -> R) -> R {
        let (result, observers, flips) = self.current(|roster, state| {
            let mut effect = Effect::default();
            let result = change(roster, &mut state.entries, &mut effect);
            if effect.is_change {
                roster.publish(state);
            }
            let observers = if effect.flips.is_empty() { Vec::new() } else { state.observers.clone() };
            (result, observers, effect.flips)
        });
        for flip in &flips {
            observers.iter().for_each(|observer| observer(flip));
        }
        result
    }

    /// Runs under the lock of this roster, or of the one that succeeded it.
    fn current<R>(&self, run: impl FnOnce(&Self, &mut State) -> R) -> R {
        let mut state = self.lock();
        match state.successor.upgrade() {
            None => run(self, &mut state),
            Some(successor) => {
                drop(state);
                successor.current(run)
            }
        }
    }

    fn publish(&self, state: &State) {
        let before = self.view.load_full();
        let view = Self::view_of(&self.backend, &state.entries, &self.position, Some(&before));
        let view = Arc::new(view);
        self.view.store(view.clone());
        state.subscribers.iter().for_each(|subscriber| subscriber(&view));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A subscriber or policy that panicked left facts that are each whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("entries", &self.entries).finish_non_exhaustive()
    }
}

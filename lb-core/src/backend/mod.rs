//! Backends: who serves, who may be picked right now, and by what policy. No I/O, no clock, no tokio.
//!
//! A [`Backend`] is what somebody defined: servers, policy, checks, timeouts; immutable. Its [`Roster`] is what has
//! become of it: names resolved, checks passed or failed, servers ejected or drained. At each change the roster
//! publishes a [`View`]: the servers that are available and a balancer over exactly them. Requests read views, bump
//! counters on [`Server`]s, and hold a [`Lease`] for as long as they use one.
//!
//! ```
//! use lb_core::backend::{Backend, Lease, PickInput, Roster};
//!
//! let shop = Backend::builder("shop").server("10.0.0.1:80").server("10.0.0.2:80").build()?;
//! let roster = Roster::new(&shop);
//! let view = roster.view();
//! let picked = view.enter(&PickInput::default(), |_| true).expect("both are free");
//! let lease = Lease::entered(view.members()[picked].server.clone());
//! assert_eq!((&**lease.name(), lease.in_flight()), ("10.0.0.1:80", 1));
//! # Ok::<(), lb_core::backend::BackendError>(())
//! ```
//!
//! Left out on purpose: connecting and pooling (`upstream`), running checks (`health`), looking names up
//! (`discovery`). They tell the roster what they found and pass in the time.

mod address;
mod check;
mod definition;
mod ejection;
mod limits;
mod member;
pub mod policy;
mod roster;
mod server;
mod tally;
mod view;

pub use address::{Address, AddressError};
pub use check::{HealthCheck, Initial, Probe, StatusSet, StatusSetError};
pub use definition::{Backend, BackendBuilder, BackendError, BackendProblem, SendProxy, ServerSpec};
pub use limits::{BackendTimeouts, Passive, PoolLimits};
pub use member::Member;
pub use policy::{
    Balancer, LeastConnections, Members, PickInput, Policy, Position, PowerOfTwo, Random, RoundRobin,
};
pub use roster::{CheckOutcome, Flip, FlipKind, Operator, Resolved, Roster, ServerStatus};
pub use server::{Lease, Server, ServerAddress, ServerState};
pub use view::{Refused, View};

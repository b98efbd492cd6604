//! Health: asks servers how they are and tells their [`Roster`](crate::backend::Roster).
//!
//! [`run`] probes every server of one backend, each on a connection of its own so that a probe sees what a new
//! client would, and lets ejected servers back when their time is over. Counting towards rise and fall is the
//! roster's: results of the old and the new checker around a reload add up there.
//!
//! Left out on purpose: deciding who gets traffic, which follows from the roster's facts.

#[cfg(feature = "http")]
mod answer;
#[cfg(not(feature = "http"))]
#[path = "answer_absent.rs"]
mod answer;
mod checker;
mod checks;
mod pace;
mod probe;

pub use checker::run;
pub use checks::Checks;
pub use probe::ProbeError;

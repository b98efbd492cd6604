//! The L7 journey.

pub mod edits;
pub mod path;
pub mod route;

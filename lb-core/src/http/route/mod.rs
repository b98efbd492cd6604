//! http/route/mod.rs

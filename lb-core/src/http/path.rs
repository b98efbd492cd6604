//! http/path.rs

//! http/edits.rs

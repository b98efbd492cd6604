//! proxy

#[allow(dead_code, reason = "the proxy that runs it lands next")]
mod admin;
pub mod status;

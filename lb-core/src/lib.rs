//! A load balancer as a library.
#![forbid(unsafe_code)]

pub mod backend;
pub mod live;
pub mod metrics;

#[cfg(feature = "proxy")]
pub mod access_log;
#[cfg(feature = "config")]
pub mod config;
#[cfg(feature = "proxy")]
pub mod discovery;
#[cfg(feature = "proxy")]
pub mod health;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "proxy")]
pub mod net;
#[cfg(feature = "proxy")]
pub mod proxy;
#[cfg(feature = "proxy")]
pub mod sys;
#[cfg(feature = "proxy")]
pub mod tcp;
#[cfg(all(feature = "testkit", feature = "http"))]
pub mod testkit;
#[cfg(feature = "proxy")]
pub mod upstream;

pub mod prelude;

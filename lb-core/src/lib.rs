//! A load balancer as a library: HTTP and TCP, health checks, changes while it runs, metrics.
//!
//! The smallest HTTP balancer. Requests take turns exactly, over all workers; connections to servers are kept and
//! reused; a request whose server can't be reached goes to the other one:
//!
//! ```no_run
//! use lb_core::prelude::*;
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//!     let shop = Backend::builder("shop").server("10.0.0.1:80").server("10.0.0.2:80").build()?;
//!     let web = Frontend::http("web").listen("0.0.0.0:80").backend(&shop);
//!     Proxy::builder().frontend(web).build()?.run(std::future::pending()).await?;
//!     Ok(())
//! }
//! ```
//!
//! The smallest TCP balancer. The kernel moves the bytes, by splice(2); the proxy reads none of them:
//!
//! ```no_run
//! # use lb_core::prelude::*;
//! # async fn example() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let database = Backend::builder("database").server("db1:5432").server("db2:5432").policy(LeastConnections).build()?;
//! let postgres = Frontend::tcp("postgres").listen("0.0.0.0:5432").backend(&database);
//! Proxy::builder().frontend(postgres).build()?.run(std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Putting it together
//!
//! A **frontend** listens; its **routes** say which requests go to which **backend**; a backend is a group of
//! **servers** with a way to choose among them. Everything is checked when it is built, and building starts nothing:
//!
//! ```
//! use std::time::Duration;
//! use lb_core::prelude::*;
//!
//! let shop = Backend::builder("shop")
//!     .server("10.0.0.1:80")
//!     .server("10.0.0.2:80")
//!     .policy(LeastConnections)
//!     .health(HealthCheck::http("/health").interval(Duration::from_secs(2)))
//!     .build()?;
//! let admin = Backend::builder("admin").server("admin.internal:80").build()?;
//! let web = Frontend::http("web")
//!     .listen("0.0.0.0:80")
//!     .route(Route::prefix("/admin").host("shop.example").to(&admin))
//!     .route(Route::any().to(&shop));
//! let proxy = Proxy::builder().frontend(web).admin("127.0.0.1:9090".parse()?).build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Proxy::run`](proxy::Proxy::run) binds, serves until the future it is given resolves, then drains: open requests
//! finish, nothing new is accepted. It runs on any tokio runtime. By default requests are served by threads of the
//! proxy's own, one a CPU, and the runtime only does what is not urgent (health checks, name resolution, the admin
//! listener); with [`Workers::Runtime`](proxy::Workers::Runtime) it does everything.
//!
//! # Seeing what it does
//!
//! The library logs by [`tracing`](https://docs.rs/tracing), and nothing is shown without a subscriber: not that a server
//! went down, not why a reload was refused. A program that has none yet sets one up before it starts the proxy:
//!
//! ```ignore
//! tracing_subscriber::fmt().init();      // to standard output; `tracing-subscriber` is a crate of its own
//! ```
//!
//! A line for each request is the [`access_log`]'s; counters are [`metrics`]; both are also there without a subscriber.
//!
//! # Changing it while it runs
//!
//! [`Handle::apply`](proxy::Handle::apply) replaces what a proxy serves by a new snapshot, all or nothing. What is in
//! both stays as it is: listeners and their queues, servers with their health, counters and connections. No request
//! fails because of it. The example `hot_swap` does it by hand, in a loop that could be spawned as a task; with a
//! configuration file, [`config::load`] reads one into a builder and [`config::Reloader`] follows it.
//!
//! # Your own code in it
//!
//! | you write | it decides | example |
//! | --- | --- | --- |
//! | [`Filter`](http::Filter) | answers a request itself, edits its head or the response's | `custom_filter` |
//! | [`Policy`](backend::Policy) | which server takes a request | `custom_balancer` |
//! | [`Admission`](net::Admission) | which clients may connect | |
//! | [`AccessLog`](access_log::AccessLog) | what is done with a line for each exchange | |
//!
//! The examples are in `lb-core/examples`, each of one screen: `http_lb`, `tcp_lb`, `custom_filter`,
//! `custom_balancer`, `hot_swap`.
//!
//! # Rooms
//!
//! [`proxy`] is the whole; [`http`] and [`tcp`] are its two journeys; [`backend`] says who serves and who is chosen,
//! and needs neither sockets nor a runtime; [`health`] and [`discovery`] keep it told; [`metrics`] and [`access_log`]
//! show what happened; [`config`] turns a file into calls on the builders above, so what the file can do, the
//! library can do. [`prelude`] has the names of the paved path.
//!
//! # Features
//!
//! All on by default but `testkit`; each only adds.
//!
//! | feature | adds |
//! | --- | --- |
//! | none | [`backend`], [`metrics`], [`live`]: the balancers alone, no tokio |
//! | `proxy` | tokio, workers, TCP balancing, health checks, discovery, the admin listener |
//! | `http` | HTTP balancing |
//! | `tls` | TLS from clients and to servers |
//! | `config` | the configuration file and following it |
//! | `testkit` | fakes at the socket, for tests |
//!
//! Linux only: it stands on splice(2) and SO_REUSEPORT.
#![forbid(unsafe_code)]

#[doc = include_str!("../ARCHITECTURE.md")]
pub mod architecture {}
pub mod backend;
pub mod live;
pub mod metrics;

#[cfg(feature = "proxy")]
pub mod access_log;
#[cfg(feature = "config")]
pub mod config;
#[cfg(feature = "proxy")]
pub mod discovery;
#[cfg(all(feature = "fuzz", feature = "http"))]
pub mod fuzz;
#[cfg(test)]
mod generated;
#[cfg(feature = "proxy")]
pub mod health;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "proxy")]
#[cfg_attr(
    not(all(feature = "http", feature = "tls")),
    allow(dead_code, unused_imports, reason = "what only http or tls uses stays in one place")
)]
pub mod net;
#[cfg(feature = "proxy")]
pub mod proxy;
#[cfg(feature = "http")]
mod spelling;
#[cfg(feature = "proxy")]
mod sys;
#[cfg(feature = "proxy")]
pub mod tcp;
#[cfg(all(feature = "testkit", feature = "http"))]
pub mod testkit;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls/absent.rs"]
pub mod tls;
#[cfg(feature = "proxy")]
#[cfg_attr(
    not(feature = "http"),
    allow(dead_code, unused_imports, reason = "what only http uses stays in one place")
)]
mod upstream;

pub mod prelude;

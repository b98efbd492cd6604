//! The paved path: what most programs need, in one `use`.

pub use crate::backend::policy::{LeastConnections, PowerOfTwo, Random, RoundRobin};
pub use crate::backend::{
    Backend, BackendTimeouts, Balancer, HealthCheck, Passive, PickInput, Policy, PoolLimits, ServerSpec,
};
#[cfg(feature = "http")]
pub use crate::http::{Filter, FrontendTimeouts, Limits, Reply, Request, Response, Verdict, route::Route};
#[cfg(feature = "proxy")]
pub use crate::proxy::{Frontend, Proxy, Workers};

//! The paved path: what most programs need, in one `use`. At most twenty names.

#[cfg(feature = "http")]
pub use crate::http::{Filter, Reply, Request, Response, Verdict, route::Route};
#[cfg(feature = "proxy")]
pub use crate::proxy::{Frontend, Proxy, Workers};

pub use crate::backend::{
    Backend, Balancer, HealthCheck, LeastConnections, Members, PickInput, Policy, PowerOfTwo, Random,
    RoundRobin, ServerSpec,
};

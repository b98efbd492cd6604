//! A policy of one's own: fill the first server up before the next gets anything, so that the last can sleep.
//!
//! `cargo run -p lb-core --example custom_balancer -- 127.0.0.1:8080 10.0.0.1:80 10.0.0.2:80`

use std::sync::Arc;

use lb_core::backend::Server;
use lb_core::prelude::*;

/// Fills servers in the order they were given, up to so many requests in flight.
#[derive(Debug)]
struct FillUp {
    full: u32,
}

impl Policy for FillUp {
    fn name(&self) -> &str {
        "fill_up"
    }

    // Called whenever a server comes, goes, or changes its state: here is the time to sort and to hash.
    fn balancer(&self, members: &Members<'_>) -> Arc<dyn Balancer> {
        Arc::new(Filling { servers: members.servers(), full: self.full })
    }
}

/// For exactly the servers that are available: a pick never meets one that is down.
#[derive(Debug)]
struct Filling {
    servers: Vec<Arc<Server>>,
    full: u32,
}

impl Balancer for Filling {
    // Called for each request, by all workers at once.
    fn pick(&self, _: &PickInput<'_>) -> usize {
        let has_room = |server: &Arc<Server>| server.in_flight() < self.full;
        // With all of them full, the last takes the rest.
        self.servers.iter().position(has_room).unwrap_or(self.servers.len() - 1)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().ok_or("usage: custom_balancer LISTEN SERVER...")?;
    let jobs = Backend::builder("jobs").servers(arguments).policy(FillUp { full: 8 }).build()?;
    let web = Frontend::http("web").listen(listen).backend(&jobs);
    Proxy::builder().frontend(web).build()?.run(std::future::pending()).await?;
    Ok(())
}

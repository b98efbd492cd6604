//! Connections go to the server with the fewest; the last server takes them only when no other is up.
//!
//! `cargo run -p lb-core --example tcp_lb -- 127.0.0.1:5432 db1:5432 db2:5432`

use std::time::Duration;

use lb_core::prelude::*;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().ok_or("usage: tcp_lb LISTEN SERVER... BACKUP")?;
    let mut servers: Vec<ServerSpec> = arguments.map(|server| server.parse()).collect::<Result<_, _>>()?;
    if let Some(last) = servers.pop() {
        servers.push(last.backup());
    }

    let database = Backend::builder("database")
        .servers(servers)
        .policy(LeastConnections)
        // Without a path, a connect is the check.
        .health(HealthCheck::tcp().interval(Duration::from_secs(1)))
        .build()?;
    let postgres =
        Frontend::tcp("postgres").listen(listen).backend(&database).idle_timeout(Duration::from_secs(3600));

    Proxy::builder().frontend(postgres).build()?.run(std::future::pending()).await?;
    Ok(())
}

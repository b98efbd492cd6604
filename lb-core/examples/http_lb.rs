//! The shop in front of the world: `/admin` goes to the admin servers, everything else to the shop's.
//!
//! `cargo run --example http_lb -- 127.0.0.1:8080 10.0.0.1:80 10.0.0.2:80`

use lb_core::prelude::*;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".into());
    let servers: Vec<String> = arguments.collect();
    let shop = Backend::builder("shop").servers(servers.iter().map(String::as_str)).build()?;
    let web = Frontend::http("web").listen(listen).backend(&shop);
    Proxy::builder().frontend(web).build()?.run(std::future::pending()).await?;
    Ok(())
}

//! Servers replaced while requests are under way: each line of standard input is the new list.
//!
//! `cargo run -p lb-core --example hot_swap -- 127.0.0.1:8080 10.0.0.1:80`, then type `10.0.0.1:80 10.0.0.2:80`

use std::error::Error;
use std::io;

use lb_core::prelude::*;
use lb_core::proxy::ProxyBuilder;
use tokio::sync::mpsc;

/// Errors of the proxy are `Send + Sync`. Keep them so: what holds another one across an await can't be spawned.
type Failure = Box<dyn Error + Send + Sync>;

/// Everything the proxy is to be: built anew for each change, whatever the change.
fn shop<'a>(listen: &str, servers: impl Iterator<Item = &'a str>) -> Result<ProxyBuilder, Failure> {
    let shop = Backend::builder("shop").servers(servers).build()?;
    Ok(Proxy::builder().frontend(Frontend::http("web").listen(listen).backend(&shop)))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, servers @ ..] = arguments.as_slice() else {
        return Err("usage: hot_swap LISTEN SERVER...".into());
    };

    let proxy = shop(listen, servers.iter().map(String::as_str))?.build()?;
    proxy.start().await?;
    let handle = proxy.handle();
    let mut lines = lines();
    while let Some(line) = lines.recv().await {
        // The listener, servers in both lists and their connections go on: no request notices.
        match shop(listen, line.split_whitespace()).and_then(|builder| Ok(builder.snapshot()?)) {
            Ok(snapshot) => handle.apply(snapshot).await?,
            Err(error) => eprintln!("nothing changed: {error}"),
        }
        for report in &handle.status().backends[0].servers {
            println!(
                "{} {} after {} requests",
                report.server.name,
                report.server.state.as_str(),
                report.requests
            );
        }
    }
    proxy.drain().await;
    Ok(())
}

/// Standard input, read by a thread of its own: it has no end that a runtime could wait for.
fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

//! `lb demo`: four servers and a proxy in one process, to be looked at in a browser.
//!
//! Also a use of lb-core as an embedder has it: everything here is calls on the public builders.

mod server;

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use lb_core::backend::Initial;
use lb_core::config::{LogFormat, LogLevel};
use lb_core::prelude::*;

use self::server::Server;
use crate::logging::Log;
use crate::run::{drain, on_this_thread, unable};
use crate::signals::Signals;
use crate::{Exit, complain, say};

/// Serves on `listen`, and metrics and status on `admin`, until a signal ends it.
pub(crate) fn run(listen: SocketAddr, admin: SocketAddr) -> Exit {
    let log = match Log::start(LogLevel::Info, LogFormat::default()) {
        Ok(log) => log,
        Err(error) => return unable(&error),
    };
    let exit = on_this_thread(balance(listen, admin));
    log.flush();
    exit
}

async fn balance(listen: SocketAddr, admin: SocketAddr) -> Exit {
    let (mut signals, proxy) = match prepare(listen, admin).await {
        Ok(prepared) => prepared,
        Err(error) => return unable(&*error),
    };
    if let Err(error) = proxy.start().await {
        complain(&format!("lb: {error}"));
        complain("lb: other addresses, for example: lb demo --listen 127.0.0.1:8081 --admin 127.0.0.1:9091");
        return Exit::Unable;
    }
    let handle = proxy.handle();
    let listen = handle.addresses("demo").pop().unwrap_or_else(|| listen.to_string());
    say(&invitation(&listen, handle.admin_address().unwrap_or(admin)));
    signals.stop.asked().await;
    drain(&proxy, signals.stop.asked()).await;
    Exit::Fine
}

async fn prepare(listen: SocketAddr, admin: SocketAddr) -> Result<(Signals, Proxy), Box<dyn Error>> {
    let signals = Signals::take()?;
    // A check that finds them well, and no wait for its first result.
    let check = || HealthCheck::http("/health").initial(Initial::Up);
    let shop = Backend::builder("shop")
        .server(named("shop1", Server::start("shop1", "#0f766e").await?))
        .server(named("shop2", Server::start("shop2", "#1d4ed8").await?))
        .health(check())
        .build()?;
    let back_office = Backend::builder("admin")
        .server(named("admin1", Server::start("admin1", "#b45309").await?))
        .server(named("admin2", Server::start("admin2", "#be185d").await?))
        .health(check())
        .build()?;
    let web = Frontend::http("demo")
        .listen(listen.to_string())
        .route(Route::prefix("/admin").to(&back_office))
        .backend(&shop);
    let proxy = Proxy::builder().frontend(web).admin(admin).drain_timeout(Duration::from_secs(5)).build()?;
    Ok((signals, proxy))
}

fn named(name: &str, address: SocketAddr) -> ServerSpec {
    ServerSpec::new(name, address.into())
}

fn invitation(listen: &str, admin: SocketAddr) -> String {
    format!(
        "Two shop and two admin servers, balanced. Look at them in a browser, and reload:\n\
         \n  http://{listen}/         shop1, shop2, shop1, ...\
         \n  http://{listen}/admin    admin1, admin2, admin1, ...\n\
         \nOr try:\n\
         \n  for i in 1 2 3 4; do curl -s http://{listen}/ | grep '<title>'; done\
         \n  for i in 1 2 3 4; do curl -s http://{listen}/admin | grep '<title>'; done\
         \n  curl -s http://{admin}/metrics | grep lb_server_requests_total\n\
         \nCtrl-C ends it."
    )
}

//! The smallest fair Pingora proxy: `/admin` and `/` to two backends of two servers each, round
//! robin, X-Forwarded-For added, no log, no health check. Its arguments are the address to listen
//! on, the number of threads and the four servers' addresses: shop, shop, admin, admin.

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::lb::LoadBalancer;
use pingora::prelude::*;
use pingora::server::configuration::ServerConf;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, threads, servers @ ..] = arguments.as_slice() else { return usage() };
    let (Ok(threads), [shop1, shop2, admin1, admin2]) = (threads.parse(), servers) else { return usage() };
    let (Ok(shop), Ok(admin)) = (
        LoadBalancer::try_from_iter([shop1.as_str(), shop2]),
        LoadBalancer::try_from_iter([admin1.as_str(), admin2]),
    ) else {
        return usage();
    };

    let conf = ServerConf {
        threads,
        // The default of 128 idle connections to servers would close some of 256 clients' at S1c.
        upstream_keepalive_pool_size: 1024,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let routes = Routes { shop: Arc::new(shop), admin: Arc::new(admin) };
    let mut proxy = http_proxy_service(&server.configuration, routes);
    proxy.add_tcp(listen);
    server.add_service(proxy);
    server.run_forever();
}

fn usage() -> ExitCode {
    eprintln!("usage: pingora-peer LISTEN THREADS SHOP1 SHOP2 ADMIN1 ADMIN2");
    ExitCode::from(2)
}

struct Routes {
    shop: Arc<LoadBalancer<RoundRobin>>,
    admin: Arc<LoadBalancer<RoundRobin>>,
}

#[async_trait]
impl ProxyHttp for Routes {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, session: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        let is_admin = session.req_header().uri.path().starts_with("/admin");
        let backend = if is_admin { &self.admin } else { &self.shop };
        let server = backend.select(b"", 8).ok_or_else(|| Error::new(ErrorType::ConnectNoRoute))?;
        Ok(Box::new(HttpPeer::new(server, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        _: &mut (),
    ) -> Result<()> {
        let client = session.client_addr().and_then(|address| address.as_inet()).map(|a| a.ip().to_string());
        request.insert_header("X-Forwarded-For", client.unwrap_or_default())
    }
}

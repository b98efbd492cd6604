//! Promise: the whole proxy runs inside an embedder's program, on the runtime that is there, with the embedder's own
//! filters and policies.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lb_core::prelude::*;
use lb_core::testkit::{Origin, PATIENCE, Wire, pattern};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Runs `client` against the proxy's frontend `web` on a multi-thread runtime.
fn on_a_multi_thread_runtime(
    frontend: lb_core::proxy::HttpFrontend,
    client: impl Fn(String) + Send + Sync + 'static,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
    runtime.block_on(async move {
        let builder = Proxy::builder().frontend(frontend).workers(Workers::Runtime).drain_timeout(PATIENCE);
        let proxy = builder.build().unwrap();
        proxy.start().await.unwrap();
        let address = proxy.handle().addresses("web").swap_remove(0);
        tokio::task::spawn_blocking(move || client(address)).await.unwrap();
        proxy.drain().await;
        let status = proxy.handle().status();
        assert_eq!(status.frontends[0].connections, 0);
        assert!(
            status
                .backends
                .iter()
                .flat_map(|backend| &backend.servers)
                .all(|report| report.server.in_flight == 0)
        );
    });
}

#[test]
fn the_whole_proxy_runs_on_a_multi_thread_runtime() {
    let origin = Origin::answering(|request| {
        let length = request.body.len();
        [format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes(), &request.body].concat()
    });
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    on_a_multi_thread_runtime(Frontend::http("web").listen("127.0.0.1:0").backend(&shop), |address| {
        std::thread::scope(|scope| {
            for client in 0..8_usize {
                let address = &address;
                scope.spawn(move || {
                    let mut kept = Wire::connect(address);
                    for turn in 0..30 {
                        let body = pattern(turn * (client + 1) * 1000);
                        let head =
                            format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
                        assert!(kept.send(head).send(&body).response().body == body, "{client} {turn}");
                    }
                });
            }
        });
    });
}

/// Lets pass who knows the word, tells the server who it is, and signs responses.
struct Doorkeeper(Arc<AtomicUsize>);

impl Filter for Doorkeeper {
    fn request(&self, request: &mut Request<'_>) -> Verdict {
        self.0.fetch_add(1, Ordering::SeqCst);
        match request.header("X-Word") {
            Some(b"sesame") => {
                request.set_header(
                    http::HeaderName::from_static("x-user"),
                    http::HeaderValue::from_static("ali"),
                );
                request.remove_header(http::HeaderName::from_static("x-word"));
                Verdict::Continue
            }
            Some(b"later") => Verdict::Wait(Box::pin(async {
                tokio::task::yield_now().await;
                Some(Reply::text(http::StatusCode::ACCEPTED, "soon\n"))
            })),
            _ => Verdict::Answer(Reply::text(http::StatusCode::UNAUTHORIZED, "say the word\n")),
        }
    }

    fn response(&self, response: &mut Response<'_>) {
        response.set_header(http::HeaderName::from_static("x-door"), http::HeaderValue::from_static("open"));
    }
}

#[test]
fn a_filter_from_outside_answers_waits_and_edits() {
    let origin = Origin::named("web1");
    let seen = Arc::new(AtomicUsize::new(0));
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    let web =
        Frontend::http("web").listen("127.0.0.1:0").backend(&shop).filter(Doorkeeper(Arc::clone(&seen)));
    on_a_multi_thread_runtime(web, |address| {
        let mut client = Wire::connect(&address);
        let mut with = |word: &str| {
            client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nx-word: {word}\r\n\r\n")).response()
        };
        assert_eq!(with("wrong").status(), 401);
        assert_eq!(with("later").text(), "soon\n");
        let response = with("sesame");
        assert_eq!((response.text().as_str(), response.field("x-door")), ("web1", Some("open")));
    });
    let requests = origin.requests();
    assert_eq!((requests.len(), seen.load(Ordering::SeqCst)), (1, 3));
    assert_eq!((requests[0].field("x-user"), requests[0].field("x-word")), (Some("ali"), None));
}

/// Always the last server.
#[derive(Debug)]
struct Last;

impl Policy for Last {
    fn name(&self) -> &str {
        "last"
    }

    fn balancer(&self, members: &Members<'_>) -> Arc<dyn Balancer> {
        Arc::new(At(members.len() - 1))
    }
}

#[derive(Debug)]
struct At(usize);

impl Balancer for At {
    fn pick(&self, _: &PickInput<'_>) -> usize {
        self.0
    }
}

#[test]
fn a_policy_from_outside_chooses() {
    let origins = ["web1", "web2", "web3"].map(Origin::named);
    let shop =
        Backend::builder("shop").servers(origins.iter().map(Origin::address)).policy(Last).build().unwrap();
    on_a_multi_thread_runtime(Frontend::http("web").listen("127.0.0.1:0").backend(&shop), |address| {
        let mut client = Wire::connect(&address);
        for _ in 0..5 {
            assert_eq!(client.send(GET).response().text(), "web3");
        }
    });
}

//! The roster by its public face: no socket, no clock.

mod availability;
mod discovery;
mod model;
mod passive;
mod publishing;
mod reload;

use std::time::{Duration, SystemTime};

use super::super::{HealthCheck, Initial, Passive, PickInput, ServerSpec, ServerState};
use super::*;

fn backend(servers: &[&str]) -> super::super::BackendBuilder {
    Backend::builder("shop").servers(servers.iter().copied())
}

fn spec(text: &str) -> ServerSpec {
    text.parse().unwrap()
}

fn addrs(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Who may be picked, as `name` or, limited, `name<limit`.
fn members(roster: &Roster) -> Vec<String> {
    let text = |member: &super::super::Member| match member.limit {
        None => member.server.name().to_string(),
        Some(limit) => format!("{}<{limit}", member.server.name()),
    };
    roster.view().members().iter().map(text).collect()
}

fn server(roster: &Roster, name: &str) -> Arc<Server> {
    roster.servers().into_iter().find(|server| &**server.name() == name).expect("it exists")
}

fn state(roster: &Roster, name: &str) -> ServerState {
    roster.status().into_iter().find(|status| status.name == name).expect("it is shown").state
}

fn result(passed: bool) -> CheckOutcome {
    let detail = String::from(if passed { "status 200" } else { "connection refused" });
    CheckOutcome { passed, detail, at: SystemTime::UNIX_EPOCH, latency: Duration::from_millis(1) }
}

fn check(roster: &Roster, name: &str, results: &str) {
    for sign in results.chars() {
        roster.checked(&server(roster, name), result(sign == '+'));
    }
}

fn fail(roster: &Roster, name: &str, times: usize, now: Instant) {
    let server = server(roster, name);
    (0..times).for_each(|_| roster.connect_failed(&server, now));
}

fn after(start: Instant, millis: u64) -> Instant {
    start + Duration::from_millis(millis)
}

/// Everything that was told to observers, as `name kind`.
fn flips(roster: &Roster) -> Arc<Mutex<Vec<String>>> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = told.clone();
    roster.observe(move |flip| log.lock().unwrap().push(format!("{} {:?}", flip.server.name(), flip.kind)));
    told
}

const A: &str = "10.0.0.1:80";
const B: &str = "10.0.0.2:80";
const C: &str = "10.0.0.3:80";

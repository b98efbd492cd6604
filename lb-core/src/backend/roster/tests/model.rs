//! Whatever happens in whatever order: what the roster promises of its views.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Event {
    Check(usize, bool),
    Fail(usize, u32),
    Connect(usize),
    Resolve(Vec<u8>),
    Operator(usize, Operator),
    Pass(u64),
    Reload,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let operator = prop::sample::select(vec![Operator::Ready, Operator::Drain, Operator::Maintenance]);
    let event = prop_oneof![
        4 => (0usize..8, any::<bool>()).prop_map(|(server, passed)| Event::Check(server, passed)),
        4 => (0usize..8, 1u32..4).prop_map(|(server, times)| Event::Fail(server, times)),
        2 => (0usize..8).prop_map(Event::Connect),
        1 => prop::collection::vec(1u8..5, 0..4).prop_map(Event::Resolve),
        1 => (0usize..4, operator).prop_map(|(spec, operator)| Event::Operator(spec, operator)),
        2 => (0u64..3000).prop_map(Event::Pass),
        1 => Just(Event::Reload),
    ];
    prop::collection::vec(event, 0..60)
}

fn definition(has_check: bool) -> Backend {
    let builder = Backend::builder("shop").server("web:80").server(A).server(spec(B).max_connections(5));
    let builder = builder.server(spec(C).backup());
    if has_check { builder.health(HealthCheck::tcp()).build().unwrap() } else { builder.build().unwrap() }
}

fn happen(roster: Arc<Roster>, event: Event, now: &mut Instant) -> Arc<Roster> {
    let servers = roster.servers();
    let server = |index: usize| servers[index % servers.len()].clone();
    match event {
        Event::Check(index, passed) => roster.checked(&server(index), result(passed)),
        Event::Fail(index, times) => (0..times).for_each(|_| roster.connect_failed(&server(index), *now)),
        Event::Connect(index) => roster.connected(&server(index)),
        Event::Resolve(hosts) => {
            let addrs: Vec<_> = hosts.iter().map(|host| ([10, 1, 0, *host], 80).into()).collect();
            roster.resolved("web:80", &addrs);
        }
        Event::Operator(index, wanted) => assert!(roster.set_state(["web:80", A, B, C][index], wanted)),
        Event::Pass(millis) => {
            *now += Duration::from_millis(millis);
            roster.expire(*now);
        }
        Event::Reload => return Roster::succeed(roster.backend(), &roster),
    }
    roster
}

fn assert_promises(roster: &Arc<Roster>, now: Instant) {
    let status = roster.status();
    let is_up = |server: &&ServerStatus| server.state == ServerState::Up && server.weight > 0;
    let stands = |server: &&ServerStatus| is_up(server) && server.ejected_until.is_none();
    let available: Vec<_> = status.iter().filter(|server| server.is_available).collect();
    assert_eq!(available.len(), roster.view().available().len());
    for server in &available {
        let may = matches!(server.state, ServerState::Up | ServerState::Unknown);
        assert!(may, "{server:?} is picked");
        let is_out = server.ejected_until.is_some_and(|until| until > now);
        assert!(!is_out || !status.iter().any(|server| stands(&server)), "{server:?} is picked while out");
    }
    assert_eq!(available.is_empty(), !status.iter().any(|server| is_up(&server)) && !all_unknown(&status));
    let primary_stands = status.iter().any(|server| stands(&server) && !server.backup);
    assert!(
        !primary_stands || !roster.view().members().iter().any(|member| member.is_backup),
        "a backup is picked without need"
    );
    // Nothing is published too late: the view is the one that the facts make now.
    assert_eq!(
        members(roster),
        members(&Roster::with_entries(roster.backend(), copy(roster), Arc::default(), None))
    );
}

/// Whether those that may serve are all unknown, and there is one.
fn all_unknown(status: &[ServerStatus]) -> bool {
    let has = |state| status.iter().any(|server| server.state == state);
    has(ServerState::Unknown) && !has(ServerState::Up) && !has(ServerState::Down)
}

fn copy(roster: &Roster) -> Entries {
    roster.current(|roster, state| state.entries.succeed(roster.backend()))
}

proptest! {
    #[test]
    fn views_keep_their_promises(has_check: bool, events in events()) {
        let mut roster = Roster::new(&definition(has_check));
        let mut now = Instant::now();
        assert_promises(&roster, now);
        for event in events {
            roster = happen(roster, event, &mut now);
            assert_promises(&roster, now);
        }
    }
}

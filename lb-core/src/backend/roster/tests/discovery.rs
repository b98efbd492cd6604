//! Servers behind names, whose addresses come and go.

use super::*;

#[test]
fn a_name_is_unresolved_until_it_has_addresses() {
    let roster = Roster::new(&backend(&["web:80", B]).health(HealthCheck::tcp()).build().unwrap());
    assert_eq!((members(&roster), state(&roster, "web:80")), (vec![B.to_owned()], ServerState::Unresolved));
    roster.unresolved("web:80", "no such name");
    assert_eq!(roster.status()[0].unresolved.as_deref(), Some("no such name"));
    let resolved = roster.resolved("web:80", &addrs(&["10.1.0.2:80", "10.1.0.1:80"]));
    assert_eq!((resolved.added.len(), resolved.gone.len()), (2, 0));
    assert_eq!(
        members(&roster),
        ["web:80/10.1.0.1:80", "web:80/10.1.0.2:80", B],
        "in the order of addresses"
    );
    assert_eq!(roster.status()[0].unresolved, None);
}

#[test]
fn the_last_answer_stays_when_the_resolver_fails() {
    let roster = Roster::new(&backend(&["web:80"]).build().unwrap());
    roster.resolved("web:80", &addrs(&[A]));
    roster.unresolved("web:80", "timed out");
    assert!(roster.resolved("web:80", &[]).gone.is_empty());
    assert_eq!(members(&roster), [format!("web:80/{A}")]);
    assert_eq!(roster.status()[0].unresolved.as_deref(), Some("timed out"));
}

#[test]
fn an_address_that_goes_away_drains_and_may_come_back() {
    let roster = Roster::new(&backend(&["web:80"]).build().unwrap());
    roster.resolved("web:80", &addrs(&[A, B]));
    let (name, going) = (format!("web:80/{A}"), server(&roster, &format!("web:80/{A}")));
    assert!(going.try_enter(None));
    let resolved = roster.resolved("web:80", &addrs(&[B, C]));
    assert_eq!((resolved.added.len(), resolved.gone.len()), (1, 1));
    assert!(Arc::ptr_eq(&resolved.gone[0], &going));
    assert_eq!(members(&roster), [format!("web:80/{B}"), format!("web:80/{C}")]);
    assert_eq!(state(&roster, &name), ServerState::Drain);
    assert_eq!(roster.to_check().len(), 2);
    assert_eq!(roster.addresses("web:80"), addrs(&[B, C]));
    let resolved = roster.resolved("web:80", &addrs(&[A, B]));
    assert!(Arc::ptr_eq(&resolved.added[0], &going), "it is the same server");
    roster.resolved("web:80", &addrs(&[B]));
    going.leave();
    assert_eq!(roster.servers().len(), 1, "drained and forgotten");
    assert_eq!(roster.status().len(), 1);
    let resolved = roster.resolved("web:80", &addrs(&[A, B]));
    assert!(!Arc::ptr_eq(&resolved.added[0], &going), "it starts anew");
}

#[test]
fn the_same_answer_publishes_nothing() {
    let roster = Roster::new(&backend(&["web:80"]).build().unwrap());
    roster.resolved("web:80", &addrs(&[A, B]));
    let before = roster.view();
    let resolved = roster.resolved("web:80", &addrs(&[B, A, B]));
    assert!(resolved.added.is_empty() && resolved.gone.is_empty());
    assert!(Arc::ptr_eq(&before, &roster.view()));
}

#[test]
fn a_repeated_address_is_one_server() {
    let roster = Roster::new(&backend(&["web:80"]).build().unwrap());
    assert_eq!(roster.resolved("web:80", &addrs(&[A, A])).added.len(), 1);
}

#[test]
fn answers_for_nobody_change_nothing() {
    let roster = Roster::new(&backend(&[A]).build().unwrap());
    assert!(roster.resolved("nobody", &addrs(&[B])).added.is_empty());
    assert!(roster.resolved(A, &addrs(&[B])).added.is_empty(), "a literal address isn't resolved");
    assert_eq!(members(&roster), [A]);
}

#[test]
fn a_drained_name_drains_the_addresses_that_come_later() {
    let roster = Roster::new(&backend(&["web:80"]).build().unwrap());
    roster.set_state("web:80", Operator::Drain);
    roster.resolved("web:80", &addrs(&[A]));
    assert!(members(&roster).is_empty());
}

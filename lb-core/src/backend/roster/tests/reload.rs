//! What a roster that succeeds another takes over.

use super::*;

fn checked() -> HealthCheck {
    HealthCheck::tcp().initial(Initial::Down).rise(1).fall(1)
}

#[test]
fn unchanged_servers_go_on_as_they_were() {
    let before = Roster::new(&backend(&[A, B]).health(checked()).build().unwrap());
    check(&before, A, "+");
    let kept = server(&before, A);
    assert!(kept.try_enter(None));
    let next = Backend::builder("shop").server(spec(A).weight(5).max_connections(7)).server(C);
    let after = Roster::succeed(&next.health(checked()).build().unwrap(), &before);
    assert!(Arc::ptr_eq(&server(&after, A), &kept));
    assert_eq!(members(&after), [format!("{A}<7")], "the new limit, the old health; {C} is not checked yet");
    assert_eq!(after.view().members()[0].weight.get(), 5);
    assert!(after.status()[0].last_check.is_some());
    assert_eq!(after.status()[0].in_flight, 1);
    assert!(!after.all_checked());
}

#[test]
fn the_round_robin_position_goes_on() {
    let before = Roster::new(&backend(&[A, B]).build().unwrap());
    assert_eq!(before.view().pick(&PickInput::default()), Some(0));
    let after = Roster::succeed(&backend(&[A, B]).build().unwrap(), &before);
    assert_eq!(after.view().pick(&PickInput::default()), Some(1));
    assert_eq!(before.view().pick(&PickInput::default()), Some(0), "both walk on");
}

#[test]
fn a_check_that_comes_or_goes_stops_no_traffic() {
    let before = Roster::new(&backend(&[A, B]).build().unwrap());
    let with = Roster::succeed(&backend(&[A, B, C]).health(HealthCheck::tcp()).build().unwrap(), &before);
    assert_eq!(members(&with), [A, B], "they served; the new one waits for its check");
    check(&with, A, "---");
    let without = Roster::succeed(&backend(&[A, B, C]).build().unwrap(), &with);
    assert_eq!(members(&without), [A, B, C]);
    assert_eq!(without.status()[0].last_check, None);
}

#[test]
fn ejections_and_operators_words_stay() {
    let before = Roster::new(&backend(&[A, B, C]).build().unwrap());
    let start = Instant::now();
    fail(&before, A, 3, start);
    before.set_state(B, Operator::Drain);
    let reloaded = Roster::succeed(&backend(&[A, B, C]).build().unwrap(), &before);
    assert_eq!(members(&reloaded), [C]);
    reloaded.expire(after(start, 1000));
    reloaded.connected(&server(&reloaded, A));
    assert_eq!(members(&reloaded), [A, C]);
    let never = Passive::default().failures(0);
    fail(&reloaded, A, 3, start);
    let reloaded = Roster::succeed(&backend(&[A, B, C]).passive(never).build().unwrap(), &reloaded);
    assert_eq!(members(&reloaded), [A, C], "nobody is ejected where that is off");
}

#[test]
fn names_keep_their_last_answer() {
    let before = Roster::new(&backend(&["web:80", "api:80"]).build().unwrap());
    before.resolved("web:80", &addrs(&[A, B]));
    let kept = server(&before, &format!("web:80/{A}"));
    assert!(kept.try_enter(None));
    before.resolved("web:80", &addrs(&[B]));
    let after = Roster::succeed(&backend(&["web:80", "other:80"]).build().unwrap(), &before);
    assert_eq!(members(&after), [format!("web:80/{B}")]);
    assert_eq!(state(&after, &format!("web:80/{A}")), ServerState::Drain, "it drains on");
    assert!(Arc::ptr_eq(&server(&after, &format!("web:80/{A}")), &kept));
    assert_eq!(state(&after, "other:80"), ServerState::Unresolved);
}

#[test]
fn a_name_with_another_port_keeps_its_addresses() {
    let before = Roster::new(&backend(&["web:80", "api:80", "api:81"]).build().unwrap());
    before.resolved_as("web:80", Some("web.lan."), &addrs(&["10.1.0.1:80", "10.1.0.2:80"]));
    assert!(server(&before, "web:80/10.1.0.1:80").try_enter(None));
    before.resolved_as("web:80", Some("web.lan."), &addrs(&["10.1.0.2:80"]));
    before.resolved("api:81", &addrs(&["10.2.0.1:81"]));
    before.unresolved("web:80", "timed out");
    let after = Roster::succeed(&backend(&["web:8080", "api:81"]).build().unwrap(), &before);
    assert_eq!(members(&after), ["web:8080/10.1.0.2:8080", "api:81/10.2.0.1:81"]);
    assert_eq!(after.status()[0].unresolved.as_deref(), Some("timed out"), "it still doesn't resolve");
    assert_eq!(after.absolute_name("web:8080").as_deref(), Some("web.lan."));
    after.resolved("web:8080", &addrs(&["10.1.0.3:8080"]));
    assert_eq!(members(&after), ["web:8080/10.1.0.3:8080", "api:81/10.2.0.1:81"]);
}

#[test]
fn a_server_with_another_name_keeps_its_health() {
    let before = Roster::new(&backend(&[A, "web:80"]).health(checked()).build().unwrap());
    before.resolved("web:80", &addrs(&[B]));
    check(&before, A, "+");
    check(&before, &format!("web:80/{B}"), "+");
    let renamed = ServerSpec::new("first", A.parse().unwrap());
    let name = ServerSpec::new("second", "web:80".parse().unwrap());
    let next = Backend::builder("shop").server(renamed).server(name).health(checked()).build().unwrap();
    let after = Roster::succeed(&next, &before);
    assert_eq!(members(&after), [String::from("first"), format!("second/{B}")]);
}

#[test]
fn another_backend_begins_anew() {
    let before = Roster::new(&backend(&[A]).health(checked()).build().unwrap());
    check(&before, A, "+");
    let next = Backend::builder("other").server(A).health(checked()).build().unwrap();
    assert!(members(&Roster::succeed(&next, &before)).is_empty());
}

#[test]
fn what_the_old_roster_is_told_reaches_the_new_one() {
    let before = Roster::new(&backend(&[A, "web:80"]).health(checked()).build().unwrap());
    let reloaded = Roster::succeed(&backend(&[A, "web:80"]).health(checked()).build().unwrap(), &before);
    let told = flips(&reloaded);
    check(&before, A, "+");
    before.resolved("web:80", &addrs(&[B]));
    check(&before, &format!("web:80/{B}"), "+");
    fail(&before, A, 3, Instant::now());
    assert_eq!(members(&reloaded), [format!("web:80/{B}")]);
    assert_eq!(told.lock().unwrap().len(), 3);
    let third = Roster::succeed(&backend(&[A, "web:80"]).health(checked()).build().unwrap(), &before);
    before.connected(&server(&third, A));
    assert_eq!(members(&third), [A.to_owned(), format!("web:80/{B}")], "it succeeds the newest");
}

#[test]
fn an_abandoned_successor_leaves_the_old_one_in_charge() {
    let before = Roster::new(&backend(&[A]).health(checked()).build().unwrap());
    drop(Roster::succeed(&backend(&[A, B]).health(checked()).build().unwrap(), &before));
    check(&before, A, "+");
    assert_eq!(members(&before), [A]);
}

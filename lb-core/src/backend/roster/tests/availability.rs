//! Who may be picked, by what checks, weights and operators say.

use super::*;

#[test]
fn without_checks_all_servers_are_up() {
    let roster = Roster::new(&backend(&[A, "unix:/run/a.sock"]).build().unwrap());
    assert_eq!(members(&roster), [A, "unix:/run/a.sock"]);
    assert_eq!(state(&roster, A), ServerState::Up);
    assert!(roster.all_checked());
}

#[test]
fn unknown_servers_serve_until_one_has_a_result() {
    let roster = Roster::new(&backend(&[A, B, C]).health(HealthCheck::tcp()).build().unwrap());
    assert_eq!(members(&roster), [A, B, C], "somebody has to");
    check(&roster, B, "+");
    assert_eq!(members(&roster), [B]);
    assert!(!roster.all_checked());
    check(&roster, A, "-");
    check(&roster, C, "+");
    assert_eq!(members(&roster), [B, C]);
    assert!(roster.all_checked());
    let states = [A, B, C].map(|name| state(&roster, name));
    assert_eq!(states, [ServerState::Down, ServerState::Up, ServerState::Up]);
}

#[test]
fn a_failed_first_result_leaves_nobody_for_guessing() {
    let roster = Roster::new(&backend(&[A, B]).health(HealthCheck::tcp()).build().unwrap());
    check(&roster, A, "-");
    assert!(members(&roster).is_empty());
}

#[test]
fn results_of_servers_without_traffic_dont_silence_the_unknown() {
    let health = HealthCheck::tcp();
    let idle = spec(A).weight(0);
    let roster =
        Roster::new(&Backend::builder("shop").server(idle).server(B).health(health).build().unwrap());
    check(&roster, A, "+");
    assert_eq!(members(&roster), [B], "still unknown, and still all there is");
}

#[test]
fn initial_says_what_holds_before_the_first_result() {
    let roster =
        |initial| Roster::new(&backend(&[A]).health(HealthCheck::tcp().initial(initial)).build().unwrap());
    let up = roster(Initial::Up);
    assert_eq!((members(&up), up.all_checked()), (vec![A.to_owned()], false));
    check(&up, A, "--");
    assert_eq!(members(&up), [A]);
    check(&up, A, "-");
    assert!(members(&up).is_empty());
    let down = roster(Initial::Down);
    assert!(members(&down).is_empty());
    check(&down, A, "+");
    assert!(members(&down).is_empty());
    check(&down, A, "+");
    assert_eq!(members(&down), [A]);
}

#[test]
fn backups_serve_when_no_primary_does() {
    let builder = Backend::builder("shop").server(A).server(spec(B).backup()).server(spec(C).backup());
    let roster =
        Roster::new(&builder.health(HealthCheck::tcp().initial(Initial::Up).fall(1)).build().unwrap());
    assert_eq!(members(&roster), [A]);
    check(&roster, A, "-");
    assert_eq!(members(&roster), [B, C]);
    check(&roster, B, "-");
    assert_eq!(members(&roster), [C]);
    check(&roster, A, "++");
    assert_eq!(members(&roster), [A]);
}

#[test]
fn weight_zero_takes_no_traffic_and_is_checked() {
    let backend = Backend::builder("shop").server(spec(A).weight(0)).server(B).build().unwrap();
    let roster = Roster::new(&backend);
    assert_eq!(members(&roster), [B]);
    assert_eq!(roster.to_check().len(), 2);
    assert_eq!((state(&roster, A), state(&roster, B)), (ServerState::Drain, ServerState::Up));
}

#[test]
fn backups_stand_by_while_primaries_serve() {
    let roster = Roster::new(&Backend::builder("shop").server(A).server(spec(B).backup()).build().unwrap());
    let view = roster.view();
    assert_eq!((view.members().len(), view.available().len()), (1, 2));
    assert!(roster.status().iter().all(|status| status.is_available));
}

#[test]
fn a_server_joins_those_that_serve() {
    let health = HealthCheck::tcp().initial(Initial::Up).rise(1).fall(1);
    let roster = Roster::new(&backend(&[A, B]).health(health.clone()).build().unwrap());
    let joined =
        |roster: &Roster| roster.view().members().iter().map(|member| member.joined).collect::<Vec<_>>();
    assert_eq!(joined(&roster), [None, None], "all from the start");
    check(&roster, B, "-");
    (0..7).for_each(|_| {
        roster.view().pick(&PickInput::default());
    });
    check(&roster, B, "+");
    assert_eq!(joined(&roster), [None, Some(7)]);
    let next = Roster::succeed(&backend(&[A, B, C]).health(health).build().unwrap(), &roster);
    assert_eq!(joined(&next), [None, Some(7), Some(7)]);
    (0..3).for_each(|_| check(&next, [A, B, C][0], "-"));
    check(&next, B, "-");
    check(&next, C, "-");
    check(&next, A, "+");
    assert_eq!(joined(&next), [None], "nobody was there to join");
}

#[test]
fn what_the_operator_says_goes_before_everything() {
    let roster = Roster::new(&backend(&[A, B]).build().unwrap());
    assert!(roster.set_state(A, Operator::Drain));
    assert_eq!((members(&roster), state(&roster, A)), (vec![B.to_owned()], ServerState::Drain));
    assert_eq!(roster.to_check().len(), 2, "a drained server is still checked");
    assert!(roster.set_state(A, Operator::Maintenance));
    assert_eq!(state(&roster, A), ServerState::Maintenance);
    assert_eq!(roster.to_check().len(), 1);
    assert!(roster.set_state(A, Operator::Ready));
    assert_eq!(members(&roster), [A, B]);
    assert!(!roster.set_state("nobody", Operator::Drain));
}

#[test]
fn a_result_for_a_server_that_is_gone_changes_nothing() {
    let roster = Roster::new(&backend(&[A]).health(HealthCheck::tcp()).build().unwrap());
    let stranger = Server::new("shop", A, server(&roster, A).address().clone());
    roster.checked(&stranger, result(false));
    fail(&roster, A, 3, Instant::now());
    assert_eq!((members(&roster), roster.all_checked()), (vec![A.to_owned()], false));
}

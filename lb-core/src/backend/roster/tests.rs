//! The roster by its public face: no socket, no clock.

mod model;

use std::sync::atomic::{AtomicUsize, Ordering};

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

mod availability {
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
        let roster = |initial| {
            Roster::new(&backend(&[A]).health(HealthCheck::tcp().initial(initial)).build().unwrap())
        };
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
}

mod passive {
    use super::*;

    #[test]
    fn failures_in_a_row_eject_and_a_trial_brings_back() {
        let roster = Roster::new(&backend(&[A, B]).build().unwrap());
        let (told, start) = (flips(&roster), Instant::now());
        fail(&roster, A, 2, start);
        assert_eq!((members(&roster), roster.next_expiry()), (vec![A.into(), B.into()], None));
        fail(&roster, A, 1, start);
        assert_eq!((members(&roster), roster.next_expiry()), (vec![B.to_owned()], Some(after(start, 1000))));
        fail(&roster, A, 5, start);
        assert_eq!(roster.next_expiry(), Some(after(start, 1000)), "leftovers don't prolong it");
        roster.expire(after(start, 999));
        assert_eq!(members(&roster), [B]);
        roster.expire(after(start, 1000));
        assert_eq!((members(&roster), roster.next_expiry()), (vec![format!("{A}<1"), B.into()], None));
        roster.connected(&server(&roster, A));
        assert_eq!(members(&roster), [A, B]);
        let expected = [format!("{A} Ejected(1s)"), format!("{A} Trial"), format!("{A} Returned")];
        assert_eq!(*told.lock().unwrap(), expected);
        assert_eq!(server(&roster, A).failures(), 0);
    }

    #[test]
    fn a_success_in_between_starts_the_row_anew() {
        let roster = Roster::new(&backend(&[A, B]).build().unwrap());
        let start = Instant::now();
        fail(&roster, A, 2, start);
        roster.connected(&server(&roster, A));
        fail(&roster, A, 2, start);
        assert_eq!(members(&roster), [A, B]);
    }

    #[test]
    fn a_failed_trial_doubles_up_to_the_most_and_a_return_resets() {
        let passive = Passive::default().failures(1).max_eject(Duration::from_secs(3));
        let roster = Roster::new(&backend(&[A, B]).passive(passive).build().unwrap());
        let mut now = Instant::now();
        for seconds in [1, 2, 3, 3] {
            fail(&roster, A, 1, now);
            let until = now + Duration::from_secs(seconds);
            assert_eq!(roster.next_expiry(), Some(until));
            now = until;
            roster.expire(now);
            assert_eq!(members(&roster), [format!("{A}<1"), B.to_owned()]);
        }
        roster.connected(&server(&roster, A));
        fail(&roster, A, 1, now);
        assert_eq!(roster.next_expiry(), Some(now + Duration::from_secs(1)));
    }

    #[test]
    fn the_last_one_standing_stays() {
        let roster = Roster::new(&backend(&[A, B]).build().unwrap());
        let start = Instant::now();
        fail(&roster, A, 3, start);
        fail(&roster, B, 30, start);
        assert_eq!(members(&roster), [B]);
        roster.expire(after(start, 1000));
        fail(&roster, B, 1, after(start, 1000));
        assert_eq!(members(&roster), [format!("{A}<1"), B.to_owned()], "a server on trial doesn't stand");
        roster.connected(&server(&roster, A));
        fail(&roster, B, 1, after(start, 1000));
        assert_eq!(members(&roster), [A], "now it may go");
    }

    #[test]
    fn when_the_last_one_standing_goes_down_ejections_dont_count() {
        let health = HealthCheck::tcp().initial(Initial::Up).fall(1);
        let roster = Roster::new(&backend(&[A, B]).health(health).build().unwrap());
        let start = Instant::now();
        fail(&roster, A, 3, start);
        check(&roster, B, "-");
        assert_eq!(members(&roster), [A], "without the limit of a trial");
        roster.expire(after(start, 1000));
        assert_eq!(members(&roster), [A]);
        check(&roster, B, "++");
        assert_eq!(members(&roster), [format!("{A}<1"), B.to_owned()]);
    }

    #[test]
    fn a_trial_of_a_primary_leaves_the_traffic_to_the_backups() {
        let roster =
            Roster::new(&Backend::builder("shop").server(A).server(spec(B).backup()).build().unwrap());
        let start = Instant::now();
        fail(&roster, A, 3, start);
        assert_eq!(members(&roster), [B]);
        roster.expire(after(start, 1000));
        assert_eq!(members(&roster), [format!("{A}<1"), B.to_owned()]);
        roster.connected(&server(&roster, A));
        assert_eq!(members(&roster), [A]);
    }

    #[test]
    fn a_flip_of_the_check_ends_an_ejection() {
        let health = HealthCheck::tcp().initial(Initial::Up).rise(1).fall(1);
        let roster = Roster::new(&backend(&[A, B]).health(health).build().unwrap());
        let start = Instant::now();
        fail(&roster, A, 3, start);
        check(&roster, A, "-");
        assert_eq!((members(&roster), roster.next_expiry()), (vec![B.to_owned()], None));
        fail(&roster, A, 9, start);
        assert_eq!(roster.next_expiry(), None, "a server that is down isn't ejected as well");
        check(&roster, A, "+");
        assert_eq!(members(&roster), [A, B]);
    }

    #[test]
    fn zero_failures_means_never() {
        let roster = Roster::new(&backend(&[A, B]).passive(Passive::default().failures(0)).build().unwrap());
        fail(&roster, A, 100, Instant::now());
        assert_eq!(members(&roster), [A, B]);
    }

    #[test]
    fn trials_keep_a_lower_limit_of_one() {
        let backend = Backend::builder("shop").server(spec(A).max_connections(9)).server(B).build().unwrap();
        let roster = Roster::new(&backend);
        assert_eq!(members(&roster), [format!("{A}<9"), B.to_owned()]);
        let start = Instant::now();
        fail(&roster, A, 3, start);
        roster.expire(after(start, 1000));
        let view = roster.view();
        assert_eq!(members(&roster), [format!("{A}<1"), B.to_owned()]);
        let entered = (0..4).map(|_| view.enter(&PickInput::default(), |_| true).unwrap());
        assert_eq!(entered.filter(|index| *index == 0).count(), 1, "one exchange at a time");
    }

    #[test]
    fn many_threads_agree_on_one_ejection() {
        let roster = Roster::new(&backend(&[A, B]).build().unwrap());
        let (told, start) = (flips(&roster), Instant::now());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| fail(&roster, A, 100, start));
            }
        });
        assert_eq!(*told.lock().unwrap(), [format!("{A} Ejected(1s)")]);
        roster.expire(after(start, 1000));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| roster.connected(&server(&roster, A))));
            }
        });
        assert_eq!((members(&roster), told.lock().unwrap().len()), (vec![A.into(), B.into()], 3));
    }
}

mod discovery {
    use super::*;

    #[test]
    fn a_name_is_unresolved_until_it_has_addresses() {
        let roster = Roster::new(&backend(&["web:80", B]).health(HealthCheck::tcp()).build().unwrap());
        assert_eq!(
            (members(&roster), state(&roster, "web:80")),
            (vec![B.to_owned()], ServerState::Unresolved)
        );
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
}

mod reload {
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
        assert_eq!(
            members(&after),
            [format!("{A}<7")],
            "the new limit, the old health; {C} is not checked yet"
        );
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
}

mod publishing {
    use super::*;

    #[test]
    fn subscribers_see_the_current_view_and_every_later_one() {
        let roster = Roster::new(&backend(&[A, B]).build().unwrap());
        let counts = Arc::new(Mutex::new(Vec::new()));
        let seen = counts.clone();
        roster.subscribe(move |view| seen.lock().unwrap().push(view.members().len()));
        roster.set_state(A, Operator::Drain);
        assert_eq!(roster.view().servers().len(), 2, "it is still there, with its pool and counters");
        roster.set_state(A, Operator::Drain);
        roster.set_state(A, Operator::Ready);
        assert_eq!(*counts.lock().unwrap(), [2, 1, 2], "nothing is told twice");
    }

    #[test]
    fn observers_may_call_the_roster() {
        let roster = Roster::new(&backend(&[A]).health(HealthCheck::tcp()).build().unwrap());
        let (seen, weak) = (Arc::new(AtomicUsize::new(9)), Arc::downgrade(&roster));
        let count = seen.clone();
        roster.observe(move |_| {
            let roster = weak.upgrade().expect("it is in use");
            count.store(roster.view().members().len() + roster.status().len(), Ordering::Relaxed);
        });
        check(&roster, A, "-");
        assert_eq!(seen.load(Ordering::Relaxed), 1, "the view that follows is published already");
    }

    #[test]
    fn the_status_shows_every_fact() {
        let spec = ServerSpec::new("first", A.parse().unwrap()).weight(3).backup();
        let roster = Roster::new(&Backend::builder("shop").server(spec).server(B).build().unwrap());
        let start = Instant::now();
        fail(&roster, B, 3, start);
        assert!(server(&roster, "first").try_enter(None));
        let status = roster.status();
        assert_eq!((status[0].name.as_str(), status[0].address.as_str()), ("first", A));
        assert_eq!((status[0].weight, status[0].backup, status[0].in_flight), (3, true, 1));
        assert_eq!((status[0].is_available, status[1].is_available), (true, false));
        assert_eq!((status[1].failures, status[1].ejected_until), (3, Some(after(start, 1000))));
        assert_eq!((status[1].state, status[1].last_check.clone()), (ServerState::Up, None));
    }
}

//! Servers that requests take out: ejections, trials, returns.

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
    let roster = Roster::new(&Backend::builder("shop").server(A).server(spec(B).backup()).build().unwrap());
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

//! What subscribers, observers and the status show of it.

use std::sync::atomic::{AtomicUsize, Ordering};

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

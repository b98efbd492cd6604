//! Whoever has the least in flight, over all workers.

use std::sync::Arc;

use super::round_robin::Turns;
use super::{Balancer, Load, Member, Members, PickInput, Policy, is_less};

/// The server with the least in flight for its weight; among equals the next in turn, so that an idle backend is
/// served as round robin would.
///
/// A server that joins others has nothing in flight, and would get every request until it has as much as they: a flood,
/// for one that is still cold. So it gets its turns and no more, until it can have caught up by them.
///
/// A pick reads one counter a server. With hundreds of servers, [`PowerOfTwo`](super::PowerOfTwo) is nearly as
/// even and reads two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeastConnections;

impl Policy for LeastConnections {
    fn name(&self) -> &'static str {
        "least_connections"
    }

    fn balancer(&self, members: &Members<'_>) -> Arc<dyn Balancer> {
        let least = Least { loads: Load::all(members), turns: Turns::new(members) };
        match newcomers(members, &least.loads) {
            Some(newcomers) => Arc::new(Joined { least, newcomers }),
            None => Arc::new(least),
        }
    }

    fn identity(&self) -> Option<String> {
        Some(self.name().to_owned())
    }
}

#[derive(Debug)]
struct Least {
    loads: Box<[Load]>,
    turns: Turns,
}

/// Servers that others have joined lately.
#[derive(Debug)]
struct Joined {
    least: Least,
    /// How long each is held to its turns.
    newcomers: Box<[Option<Newcomer>]>,
}

/// A server that joined others lately.
#[derive(Debug, Clone, Copy)]
struct Newcomer {
    joined: usize,
    /// So many turns of all servers after it joined, it has caught up.
    turns: usize,
}

impl Newcomer {
    fn is_new(self, turn: usize) -> bool {
        turn.wrapping_sub(self.joined) < self.turns
    }
}

/// In as many turns as would be in flight if everybody had as much for its weight as the busiest, a server gets that by
/// its turns alone.
/// `None` where nobody is behind.
fn newcomers(members: &Members<'_>, loads: &[Load]) -> Option<Box<[Option<Newcomer>]>> {
    let whole: u64 = loads.iter().map(|load| load.weight).sum();
    let level = |load: &Load| {
        let (in_flight, weight) = load.read();
        in_flight.saturating_mul(whole) / weight
    };
    let turns = usize::try_from(loads.iter().map(level).max().unwrap_or(0)).unwrap_or(usize::MAX);
    let now = members.position().now();
    let newcomer = |member: &Member| {
        let newcomer = Newcomer { joined: member.joined?, turns };
        newcomer.is_new(now).then_some(newcomer)
    };
    let newcomers: Box<[_]> = members.iter().map(newcomer).collect();
    newcomers.iter().any(Option::is_some).then_some(newcomers)
}

impl Least {
    /// Who has the least among the one whose turn it is and those that `may` serve out of turn.
    fn least(&self, first: usize, may: impl Fn(usize) -> bool) -> usize {
        let (mut least, mut load) = (first, self.loads[first].read());
        for index in (first + 1..self.loads.len()).chain(0..first).filter(|index| may(*index)) {
            let other = self.loads[index].read();
            if is_less(other, load) {
                (least, load) = (index, other);
            }
        }
        least
    }
}

impl Balancer for Least {
    fn pick(&self, _: &PickInput<'_>) -> usize {
        self.least(self.turns.next(), |_| true)
    }
}

impl Balancer for Joined {
    fn pick(&self, _: &PickInput<'_>) -> usize {
        let (turn, first) = self.least.turns.take();
        let is_new = |index: usize| self.newcomers[index].is_some_and(|newcomer| newcomer.is_new(turn));
        self.least.least(first, |index| !is_new(index))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backend::policy::tests::members;

    #[test]
    fn an_idle_backend_is_served_in_turn() {
        let members = members(&[2, 1]);
        let balancer = LeastConnections.balancer(&Members::new(&members, &Arc::default()));
        let picks: Vec<_> = (0..6).map(|_| balancer.pick(&PickInput::default())).collect();
        assert_eq!(picks, [0, 1, 0, 0, 1, 0]);
    }

    /// Who gets `count` exchanges that stay, where the last of these members has joined the others.
    fn entered_with_a_newcomer(busy: u32, weights: &[u32], count: u32) -> Vec<u32> {
        let mut members = members(weights);
        let (newcomer, others) = members.split_last_mut().unwrap();
        newcomer.joined = Some(0);
        for member in others {
            (0..busy * member.weight.get()).for_each(|_| assert!(member.server.try_enter(None)));
        }
        let before: Vec<u32> = members.iter().map(|member| member.server.in_flight()).collect();
        let balancer = LeastConnections.balancer(&Members::new(&members, &Arc::default()));
        for _ in 0..count {
            assert!(members[balancer.pick(&PickInput::default())].server.try_enter(None));
        }
        members.iter().zip(before).map(|(member, before)| member.server.in_flight() - before).collect()
    }

    #[test]
    fn a_server_that_joins_gets_its_turns_and_no_flood() {
        assert_eq!(entered_with_a_newcomer(50, &[1, 1, 1, 1], 40), [10, 10, 10, 10]);
        assert_eq!(entered_with_a_newcomer(50, &[1, 1], 40), [20, 20]);
        assert_eq!(entered_with_a_newcomer(20, &[1, 3], 40), [10, 30]);
    }

    #[test]
    fn a_server_that_joined_is_one_of_many_once_it_can_have_caught_up() {
        // 50 each by turns, and then everything until it has what the others have.
        assert_eq!(entered_with_a_newcomer(50, &[1, 1, 1, 1], 250), [50, 50, 50, 100]);
        assert_eq!(entered_with_a_newcomer(0, &[1, 1], 4), [2, 2], "nobody is ahead");
    }

    proptest! {
        #[test]
        fn nobody_has_less_for_its_weight(
            servers in prop::collection::vec((1u32..=10, 0u32..30), 1..20),
            turn in 0usize..50,
        ) {
            let weights: Vec<u32> = servers.iter().map(|(weight, _)| *weight).collect();
            let members = members(&weights);
            for (member, (_, load)) in members.iter().zip(&servers) {
                (0..*load).for_each(|_| assert!(member.server.try_enter(None)));
            }
            let position = Arc::default();
            let balancer = LeastConnections.balancer(&Members::new(&members, &position));
            (0..turn).for_each(|_| { position.next(); });
            let (weight, load) = servers[balancer.pick(&PickInput::default())];
            for (other_weight, other_load) in servers {
                prop_assert!(load * other_weight <= other_load * weight);
            }
        }

        /// Exchanges that stay: in flight follows the weights exactly.
        #[test]
        fn what_stays_in_flight_follows_the_weights(weights in prop::collection::vec(1u32..=9, 1..8)) {
            let members = members(&weights);
            let balancer = LeastConnections.balancer(&Members::new(&members, &Arc::default()));
            for _ in 0..weights.iter().sum::<u32>() * 3 {
                assert!(members[balancer.pick(&PickInput::default())].server.try_enter(None));
            }
            let in_flight: Vec<u32> = members.iter().map(|member| member.server.in_flight()).collect();
            let expected: Vec<u32> = weights.iter().map(|weight| weight * 3).collect();
            prop_assert_eq!(in_flight, expected);
        }
    }
}

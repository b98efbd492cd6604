//! Whoever has the least in flight, over all workers.

use std::sync::Arc;

use super::round_robin::Turns;
use super::{Balancer, Load, Members, PickInput, Policy, is_less};

/// The server with the least in flight for its weight; among equals the next in turn, so that an idle backend is
/// served as round robin would.
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
        Arc::new(Least { loads: Load::all(members), turns: Turns::new(members) })
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

impl Balancer for Least {
    fn pick(&self, _: &PickInput<'_>) -> usize {
        let first = self.turns.next();
        let (mut least, mut load) = (first, self.loads[first].read());
        for index in (first + 1..self.loads.len()).chain(0..first) {
            let other = self.loads[index].read();
            if is_less(other, load) {
                (least, load) = (index, other);
            }
        }
        least
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

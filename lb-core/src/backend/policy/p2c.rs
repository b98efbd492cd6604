//! The power of two choices: of two by chance, the one with less in flight.

use std::sync::Arc;

use super::alias::Alias;
use super::{Balancer, Load, Members, PickInput, Policy, is_less};

/// Of two different servers drawn by weight, the one with less in flight for its weight.
///
/// Nearly as even as least connections (Mitzenmacher 2001) at the price of two counters, however many servers
/// there are, and without every worker running to the same idle one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PowerOfTwo;

impl Policy for PowerOfTwo {
    fn name(&self) -> &'static str {
        "p2c"
    }

    fn balancer(&self, members: &Members<'_>) -> Arc<dyn Balancer> {
        Arc::new(TwoChoices { loads: Load::all(members), alias: Alias::new(&members.weights()) })
    }

    fn identity(&self) -> Option<String> {
        Some(self.name().to_owned())
    }
}

#[derive(Debug)]
struct TwoChoices {
    loads: Box<[Load]>,
    alias: Alias,
}

impl TwoChoices {
    /// Two different ones, unless there is only one. Where both draws agree, the second is any other one: a loop
    /// until they differ would have no bound.
    fn draw(&self) -> (usize, usize) {
        let count = self.loads.len();
        let (first, second) = (self.alias.draw(), self.alias.draw());
        if first != second || count == 1 {
            return (first, second);
        }
        (first, (first + 1 + fastrand::usize(..count - 1)) % count)
    }
}

impl Balancer for TwoChoices {
    fn pick(&self, _: &PickInput<'_>) -> usize {
        let (first, second) = self.draw();
        if is_less(self.loads[second].read(), self.loads[first].read()) { second } else { first }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backend::policy::tests::members;

    proptest! {
        #[test]
        fn the_two_differ(weights in prop::collection::vec(1u32..=50, 2..10), seed: u64) {
            fastrand::seed(seed);
            let members = members(&weights);
            let loads = Load::all(&Members::new(&members, &Arc::default()));
            let choices = TwoChoices { loads, alias: Alias::new(&weights) };
            for _ in 0..50 {
                let (first, second) = choices.draw();
                prop_assert_ne!(first, second);
                prop_assert!(first < weights.len() && second < weights.len());
            }
        }

        /// Of two that differ, the single busiest one never wins.
        #[test]
        fn the_busiest_is_never_picked(count in 2usize..10, busiest in 0usize..10, seed: u64) {
            fastrand::seed(seed);
            let busiest = busiest % count;
            let members = members(&vec![1; count]);
            assert!(members[busiest].server.try_enter(None));
            let balancer = PowerOfTwo.balancer(&Members::new(&members, &Arc::default()));
            for _ in 0..50 {
                prop_assert_ne!(balancer.pick(&PickInput::default()), busiest);
            }
        }
    }
}

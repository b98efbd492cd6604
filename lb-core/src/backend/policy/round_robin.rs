//! Turns, weighted and smooth: a precomputed cycle that all workers walk by one shared position.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Balancer, Members, PickInput, Policy, Position};

/// Servers in turn, each as often as its weight says: exact over each cycle and over all workers, and spread out
/// within the cycle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoundRobin;

impl Policy for RoundRobin {
    fn name(&self) -> &'static str {
        "round_robin"
    }

    fn balancer(&self, members: &Members<'_>) -> Arc<dyn Balancer> {
        Arc::new(Turns::new(members))
    }

    fn identity(&self) -> Option<String> {
        Some(self.name().to_owned())
    }
}

/// A cycle and where everybody is in it.
#[derive(Debug)]
pub(super) struct Turns {
    /// Invariant: not empty; values are below the count of members.
    cycle: Box<[usize]>,
    position: Arc<Position>,
}

impl Turns {
    pub(super) fn new(members: &Members<'_>) -> Self {
        Self { cycle: cycle(&members.weights()), position: members.position().clone() }
    }

    pub(super) fn next(&self) -> usize {
        self.take().1
    }

    /// The next turn by the backend's count, and whose it is.
    pub(super) fn take(&self) -> (usize, usize) {
        let turn = self.position.next();
        (turn, self.cycle[turn % self.cycle.len()])
    }
}

impl Balancer for Turns {
    fn pick(&self, _: &PickInput<'_>) -> usize {
        self.next()
    }
}

/// Beyond this many turns weights are rounded, so that a rebuild stays within a few milliseconds.
const LONGEST_CYCLE: u64 = 16 * 1024;

/// Members of one weight take their turns together, as one class with all their weights.
struct Class {
    members: Vec<usize>,
    weight: i64,
    credit: i64,
    turn: usize,
}

/// Each member as often as its weight (over the greatest common divisor) says, evenly apart.
///
/// Smooth weighted round robin as nginx does it: each step everybody earns its weight, the richest has the turn
/// and pays the sum. Over classes of equal weights instead of members, because a thousand servers have a handful
/// of weights: equal weights cost nothing, and members of a class are as evenly apart as its turns are.
fn cycle(weights: &[u32]) -> Box<[usize]> {
    let weights = bounded(weights);
    let mut by_weight = BTreeMap::<Reverse<i64>, Vec<usize>>::new();
    for (index, weight) in weights.iter().enumerate() {
        by_weight.entry(Reverse(*weight)).or_default().push(index);
    }
    let class = |(Reverse(weight), members): (Reverse<i64>, Vec<usize>)| {
        let turns = i64::try_from(members.len()).unwrap_or(i64::MAX);
        Class { members, weight: weight * turns, credit: 0, turn: 0 }
    };
    let mut classes: Vec<Class> = by_weight.into_iter().map(class).collect();
    let total: i64 = weights.iter().sum();
    (0..total).map(|_| next_turn(&mut classes, total)).collect()
}

fn next_turn(classes: &mut [Class], total: i64) -> usize {
    let mut richest = 0;
    for index in 0..classes.len() {
        classes[index].credit += classes[index].weight;
        if classes[index].credit > classes[richest].credit {
            richest = index;
        }
    }
    let class = &mut classes[richest];
    class.credit -= total;
    let member = class.members[class.turn % class.members.len()];
    class.turn += 1;
    member
}

/// The weights over their greatest common divisor; rounded, each at least 1, where the cycle would be too long.
fn bounded(weights: &[u32]) -> Vec<i64> {
    let divisor = weights.iter().fold(0, |divisor, weight| gcd(divisor, *weight)).max(1);
    let total: u64 = weights.iter().map(|weight| u64::from(weight / divisor)).sum();
    let scaled = |weight: &u32| {
        let weight = u64::from(weight / divisor);
        let turns =
            if total <= LONGEST_CYCLE { weight } else { (weight * LONGEST_CYCLE + total / 2) / total };
        i64::try_from(turns.max(1)).unwrap_or(i64::MAX)
    };
    weights.iter().map(scaled).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backend::policy::tests::members;

    #[test]
    fn cycles_are_smooth() {
        let cases: [(&[u32], &[usize]); 7] = [
            (&[1], &[0]),
            (&[7, 7, 7], &[0, 1, 2]),
            (&[2, 1], &[0, 1, 0]),
            (&[1, 3], &[1, 1, 0, 1]),
            (&[5, 1, 1], &[0, 1, 0, 0, 0, 2, 0]),
            (&[4, 2, 2], &[0, 1, 0, 2]),
            (&[3, 2, 1], &[0, 1, 0, 2, 1, 0]),
        ];
        for (weights, expected) in cases {
            assert_eq!(&*cycle(weights), expected, "{weights:?}");
        }
    }

    #[test]
    fn a_cycle_is_never_longer_than_its_bound() {
        for weights in [vec![1, u32::MAX], vec![u32::MAX; 3], (1..2000).collect(), vec![1; 20_000]] {
            let cycle = cycle(&weights);
            let longest = usize::try_from(LONGEST_CYCLE).unwrap() + weights.len();
            assert!(cycle.len() <= longest, "{}", cycle.len());
            let turns = |index: usize| cycle.iter().filter(|member| **member == index).count();
            assert!(turns(0) >= 1 && turns(weights.len() - 1) >= 1, "nobody is left out");
        }
        assert_eq!(cycle(&[u32::MAX; 3]).len(), 3);
    }

    proptest! {
        /// Whoever picks when: over a cycle everybody has exactly its weight.
        #[test]
        fn weights_are_exact_over_a_cycle_of_interleaved_pickers(
            weights in prop::collection::vec(1u32..=20, 1..12),
            pickers in prop::collection::vec(0usize..4, 1..300),
            start in 0usize..1000,
        ) {
            let members = members(&weights);
            let position = Arc::new(Position::default());
            (0..start).for_each(|_| { position.next(); });
            // Pickers as after a reload: balancers of their own over one position.
            let balancers: Vec<_> =
                (0..4).map(|_| RoundRobin.balancer(&Members::new(&members, &position))).collect();
            let divisor = weights.iter().fold(0, |divisor, weight| gcd(divisor, *weight));
            let length = weights.iter().sum::<u32>() / divisor;
            let mut turns = vec![0u32; weights.len()];
            for turn in 0..length {
                let picker = pickers[usize::try_from(turn).unwrap() % pickers.len()];
                turns[balancers[picker].pick(&PickInput::default())] += 1;
            }
            let expected: Vec<u32> = weights.iter().map(|weight| weight / divisor).collect();
            prop_assert_eq!(turns, expected);
        }

        /// Within a cycle nobody is more than a turn of its class ahead of its due, or behind it.
        #[test]
        fn turns_are_spread_out(weights in prop::collection::vec(1u32..=20, 1..12)) {
            let cycle = cycle(&weights);
            let total: f64 = weights.iter().copied().map(f64::from).sum();
            for (index, weight) in weights.iter().enumerate() {
                let mut had = 0.0;
                for (turn, member) in (1u32..).zip(&cycle) {
                    had += f64::from(u8::from(*member == index));
                    let due = f64::from(turn) * f64::from(*weight) / total;
                    prop_assert!((had - due).abs() < 2.0, "{weights:?} {cycle:?}");
                }
            }
        }
    }
}

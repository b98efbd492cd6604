//! Weighted drawing in constant time: Walker's alias method, tables by Vose, in integers and so exact.

/// Draws an index as often as its weight says.
#[derive(Debug)]
pub(super) struct Alias {
    /// Invariant: not empty.
    columns: Box<[Column]>,
    /// The sum of the weights, and the height of each column.
    total: u64,
}

/// One of as many columns as there are indices, all drawn alike: the coin decides between two owners.
#[derive(Debug, Clone, Copy)]
struct Column {
    /// Invariant: at most the total. Coins below it are the column's own.
    own: u64,
    /// Who has the other coins.
    alias: usize,
}

impl Alias {
    /// Of weights that aren't zero; at least one.
    pub(super) fn new(weights: &[u32]) -> Self {
        let total: u64 = weights.iter().copied().map(u64::from).sum();
        let count = u64::try_from(weights.len()).unwrap_or(u64::MAX);
        // Each index has weight * count of the count * total coins in all columns.
        let mut columns: Box<[Column]> = (0..)
            .zip(weights)
            .map(|(alias, weight)| Column { own: u64::from(*weight).saturating_mul(count), alias })
            .collect();
        let (mut poor, mut rich): (Vec<usize>, Vec<usize>) =
            (0..columns.len()).partition(|index| columns[*index].own < total);
        while let (Some(short), Some(donor)) = (poor.pop(), rich.pop()) {
            // The donor fills the short column up and pays from its own.
            columns[short].alias = donor;
            columns[donor].own -= total - columns[short].own;
            if columns[donor].own < total { poor.push(donor) } else { rich.push(donor) }
        }
        Self { columns, total }
    }

    pub(super) fn draw(&self) -> usize {
        let index = fastrand::usize(..self.columns.len());
        let column = self.columns[index];
        if fastrand::u64(..self.total) < column.own { index } else { column.alias }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Not "about": every index owns exactly its share of the coins.
        #[test]
        fn shares_are_exact(weights in prop::collection::vec(1u32..=u32::MAX, 1..50)) {
            let alias = Alias::new(&weights);
            let mut coins = vec![0u64; weights.len()];
            for (index, column) in alias.columns.iter().enumerate() {
                prop_assert!(column.own <= alias.total);
                coins[index] += column.own;
                coins[column.alias] += alias.total - column.own;
            }
            let count = u64::try_from(weights.len()).unwrap();
            let expected: Vec<u64> = weights.iter().map(|weight| u64::from(*weight) * count).collect();
            prop_assert_eq!(coins, expected);
        }
    }

    #[test]
    fn draws_reach_everybody() {
        fastrand::seed(7);
        let alias = Alias::new(&[1, 2, 3]);
        let mut drawn = [false; 3];
        (0..1000).for_each(|_| drawn[alias.draw()] = true);
        assert_eq!(drawn, [true; 3]);
    }
}

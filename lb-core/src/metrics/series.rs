//! Series: counters under one set of label values, a padded part for each worker.
//!
//! A handle is resolved once, when what it counts for is built; counting is then an increment in memory that no
//! other worker writes. Handles keep their series: it goes when the last one does, so what a reload removes
//! takes its series with it, and what it keeps counts on.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crossbeam_utils::CachePadded;

/// A handle on one series, over all workers. Cheap to clone; meant for the control plane, which makes a
/// [`Shard`] of it for each worker.
pub struct Series<T>(Arc<Sharded<T>>);

impl<T> Series<T> {
    /// The part of the series in which `worker` counts. Any number is a valid worker: past the number of shards
    /// they share, which costs them time and loses nothing.
    pub fn shard(&self, worker: usize) -> Shard<T> {
        let index = worker % self.0.shards.len();
        Shard(Arc::new(CachePadded::new(Slot { series: Arc::clone(&self.0), index })))
    }

    /// Adds up one of the counters over the workers.
    pub(super) fn sum(&self, counter: impl Fn(&T) -> u64) -> u64 {
        self.0.sum(counter)
    }
}

impl<T> Clone for Series<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Series<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Series").field(&self.0.labels).finish()
    }
}

/// One worker's handle on a series: dereferences to the counters.
///
/// A worker clones the one it was given, and does not ask the [`Series`] again: clones count their references in
/// memory of their own, so that no worker waits for another's cache line.
pub struct Shard<T>(Arc<CachePadded<Slot<T>>>);

struct Slot<T> {
    series: Arc<Sharded<T>>,
    /// Invariant: below `series.shards.len()`.
    index: usize,
}

impl<T> Deref for Shard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.series.shards[self.0.index]
    }
}

impl<T> Clone for Shard<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Shard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("labels", &self.0.series.labels).field("index", &self.0.index).finish()
    }
}

/// The counters of one series.
pub(super) struct Sharded<T> {
    labels: Labels,
    /// Invariant: never empty.
    shards: Box<[CachePadded<T>]>,
}

impl<T> Sharded<T> {
    /// Adds up one of the counters over the shards.
    pub(super) fn sum(&self, counter: impl Fn(&T) -> u64) -> u64 {
        self.shards().map(counter).sum()
    }

    pub(super) fn shards(&self) -> impl Iterator<Item = &T> {
        self.shards.iter().map(|shard| &**shard)
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = &str> {
        self.labels.iter().map(|label| &**label)
    }
}

type Labels = Box<[Box<str>]>;

/// All living series of one kind, by their label values.
pub(super) struct Family<T> {
    shards: usize,
    known: Mutex<Known<T>>,
}

struct Known<T> {
    series: BTreeMap<Labels, Weak<Sharded<T>>>,
    /// How many entries there may be before the dead ones are swept out. At least twice the living at the last
    /// sweep: so sweeping costs a constant a series made, and the dead are never more than the living were.
    sweep_at: usize,
}

impl<T: Default> Family<T> {
    /// Series of this family get `shards` shards, at least one.
    pub(super) fn new(shards: usize) -> Self {
        Self { shards: shards.max(1), known: Mutex::new(Known { series: BTreeMap::new(), sweep_at: 64 }) }
    }

    /// The series with these label values: the living one, otherwise a new one that starts from zero.
    pub(super) fn series<const N: usize>(&self, labels: [&str; N]) -> Series<T> {
        let labels: Labels = labels.into_iter().map(Box::from).collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(living) = known.series.get(&labels).and_then(Weak::upgrade) {
            return Series(living);
        }
        if known.series.len() >= known.sweep_at {
            known.sweep();
        }
        let shards = (0..self.shards).map(|_| CachePadded::new(T::default())).collect();
        let series = Arc::new(Sharded { labels: labels.clone(), shards });
        known.series.insert(labels, Arc::downgrade(&series));
        Series(series)
    }

    /// The series that live now, in the order of their labels.
    pub(super) fn living(&self) -> Vec<Arc<Sharded<T>>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.sweep();
        known.series.values().filter_map(Weak::upgrade).collect()
    }
}

impl<T> Known<T> {
    fn sweep(&mut self) {
        self.series.retain(|_, series| series.strong_count() > 0);
        self.sweep_at = (2 * self.series.len()).max(64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Counter;

    #[test]
    fn the_same_labels_are_the_same_series_while_a_handle_lives() {
        let family = Family::<Counter>::new(2);
        let shard = family.series(["shop", "web1"]).shard(1);
        shard.add(3);
        family.series(["shop", "web1"]).shard(0).add(4);
        let living = family.living();
        assert_eq!(living.len(), 1);
        assert_eq!(living[0].labels().collect::<Vec<_>>(), ["shop", "web1"]);
        assert_eq!(living[0].sum(Counter::get), 7);

        drop((shard, living));
        assert!(family.living().is_empty());
        family.series(["shop", "web1"]).shard(0).add(1);
        let again = family.series(["shop", "web1"]);
        assert_eq!(again.0.sum(Counter::get), 0, "a series that went starts from zero");
    }

    #[test]
    fn workers_beyond_the_shards_share_them() {
        let family = Family::<Counter>::new(2);
        let series = family.series(["web"]);
        for worker in 0..5 {
            series.shard(worker).increment();
        }
        assert_eq!(series.0.shards().map(Counter::get).collect::<Vec<_>>(), [3, 2]);
        assert_eq!(Family::<Counter>::new(0).series(["web"]).0.shards().count(), 1);
    }

    #[test]
    fn shards_do_not_share_cache_lines() {
        let series = Family::<Counter>::new(2).series(["web"]);
        let addresses: Vec<usize> = series.0.shards().map(|shard| std::ptr::from_ref(shard).addr()).collect();
        assert!(addresses[0].abs_diff(addresses[1]) >= 64);
    }

    #[test]
    fn dead_series_do_not_pile_up_without_a_scrape() {
        let family = Family::<Counter>::new(1);
        for server in 0..10_000 {
            family.series(["shop", &server.to_string()]);
        }
        assert!(family.known.lock().unwrap().series.len() <= 64);
    }
}

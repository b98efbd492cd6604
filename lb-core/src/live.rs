//! A value that is replaced while it is in use.
//!
//! Readers load a pointer, the control plane stores a finished value. This is the only door to arc-swap in the
//! crate: what is replaced at runtime is found by searching for `Live`.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// A shared value that a writer replaces whole while readers use it.
///
/// A reader sees either the old value or the new one, never a mixture, and keeps what it loaded for as long as
/// it holds it.
///
/// ```
/// use lb_core::live::Live;
///
/// let greeting = Live::new("hello");
/// let old = greeting.load_full();
/// greeting.store("good evening".into());
/// assert_eq!((*old, **greeting.load()), ("hello", "good evening"));
/// ```
pub struct Live<T>(ArcSwap<T>);

impl<T> Live<T> {
    /// Starts with `value`.
    pub fn new(value: T) -> Self {
        Self::from_arc(Arc::new(value))
    }

    /// Starts with a value that is already shared.
    pub fn from_arc(value: Arc<T>) -> Self {
        Self(ArcSwap::new(value))
    }

    /// Makes `value` what every later load sees.
    pub fn store(&self, value: Arc<T>) {
        self.0.store(value);
    }

    /// Borrows the current value: wait-free, and writes to no memory that other threads read, so it is what a
    /// hot path uses. Not to be held over an `.await`: a thread has few of these before they cost a reference
    /// count.
    pub fn load(&self) -> impl Deref<Target = Arc<T>> + '_ {
        self.0.load()
    }

    /// Takes a share of the current value, at the price of its reference count.
    pub fn load_full(&self) -> Arc<T> {
        self.0.load_full()
    }
}

impl<T: fmt::Debug> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Live").field(&*self.load()).finish()
    }
}

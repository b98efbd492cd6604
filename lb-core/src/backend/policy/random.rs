//! By chance, weighted. Needs nothing shared between workers.

use std::sync::Arc;

use super::alias::Alias;
use super::{Balancer, Members, PickInput, Policy};

/// A server by chance, as likely as its weight says. The only policy that touches no memory that workers share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Random;

impl Policy for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn balancer(&self, members: &Members<'_>) -> Arc<dyn Balancer> {
        Arc::new(Chance(Alias::new(&members.weights())))
    }

    fn identity(&self) -> Option<String> {
        Some(self.name().to_owned())
    }
}

#[derive(Debug)]
struct Chance(Alias);

impl Balancer for Chance {
    fn pick(&self, _: &PickInput<'_>) -> usize {
        self.0.draw()
    }
}

//! Session tickets: one set of keys a frontend, for all workers, over reloads.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

use crate::live::Live;

/// Makes and reads tickets by keys that rotate (rustls: a new one every 6 hours, the one before is still read, then
/// forgotten), and that a successor of this frontend can take over.
#[derive(Debug)]
pub(super) struct Tickets(Live<Keys>);

#[derive(Debug)]
struct Keys(Arc<dyn ProducesTickets>);

impl Tickets {
    pub(super) fn new() -> Result<Arc<Self>, rustls::Error> {
        Ok(Arc::new(Self(Live::new(Keys(Ticketer::new()?)))))
    }

    /// Goes on with the keys of `before`, so that its tickets are still good.
    pub(super) fn inherit(&self, before: &Self) {
        self.0.store(before.0.load_full());
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.0.load().0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.load().0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.load().0.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.0.load().0.decrypt(cipher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_heir_reads_the_tickets() {
        let (first, second) = (Tickets::new().unwrap(), Tickets::new().unwrap());
        let ticket = first.encrypt(b"secret").unwrap();
        assert_eq!(second.decrypt(&ticket), None);
        second.inherit(&first);
        assert_eq!(second.decrypt(&ticket).as_deref(), Some(&b"secret"[..]));
    }
}

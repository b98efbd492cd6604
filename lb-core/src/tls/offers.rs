//! Finished configurations that are replaced while connections use them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustls::{ClientConfig, ServerConfig};

use crate::live::Live;

/// A configuration for one use, with the protocols offered there by ALPN. Follows the files it was made of.
#[derive(Debug)]
pub(crate) struct Offer<C> {
    protocols: Vec<Vec<u8>>,
    config: Live<C>,
}

impl<C> Offer<C> {
    /// As it is now.
    pub(crate) fn config(&self) -> Arc<C> {
        self.config.load_full()
    }
}

/// The offers made of one configuration.
#[derive(Debug)]
pub(super) struct Offers<C>(Mutex<Made<C>>);

#[derive(Debug)]
struct Made<C> {
    config: C,
    offers: Vec<Weak<Offer<C>>>,
}

/// A configuration that names protocols.
pub(super) trait Config: Clone {
    fn set_protocols(&mut self, protocols: Vec<Vec<u8>>);
}

impl Config for ServerConfig {
    fn set_protocols(&mut self, protocols: Vec<Vec<u8>>) {
        self.alpn_protocols = protocols;
    }
}

impl Config for ClientConfig {
    fn set_protocols(&mut self, protocols: Vec<Vec<u8>>) {
        self.alpn_protocols = protocols;
    }
}

impl<C: Config> Offers<C> {
    pub(super) fn new(config: C) -> Self {
        Self(Mutex::new(Made { config, offers: Vec::new() }))
    }

    /// The offer of these protocols, in the order of preference; there is one for all who ask for the same.
    pub(super) fn offer(&self, protocols: &[&[u8]]) -> Arc<Offer<C>> {
        let mut made = self.made();
        let living = made.offers.iter().filter_map(Weak::upgrade).find(|offer| offer.protocols == protocols);
        if let Some(offer) = living {
            return offer;
        }
        let protocols: Vec<Vec<u8>> = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let config = Live::new(with(&made.config, &protocols));
        let offer = Arc::new(Offer { protocols, config });
        made.offers.retain(|offer| offer.strong_count() > 0);
        made.offers.push(Arc::downgrade(&offer));
        offer
    }

    /// Has every offer, made and to be made, be of `config`.
    pub(super) fn replace(&self, config: C) {
        let mut made = self.made();
        for offer in made.offers.iter().filter_map(Weak::upgrade) {
            offer.config.store(Arc::new(with(&config, &offer.protocols)));
        }
        made.config = config;
    }

    fn made(&self) -> MutexGuard<'_, Made<C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn with<C: Config>(config: &C, protocols: &[Vec<u8>]) -> C {
    let mut config = config.clone();
    config.set_protocols(protocols.to_vec());
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Config for Vec<Vec<u8>> {
        fn set_protocols(&mut self, protocols: Vec<Vec<u8>>) {
            self.extend(protocols);
        }
    }

    #[test]
    fn offers_follow_what_they_are_made_of() {
        let offers = Offers::new(vec![b"old".to_vec()]);
        let (both, one) = (offers.offer(&[b"h2", b"http/1.1"]), offers.offer(&[b"http/1.1"]));
        assert!(Arc::ptr_eq(&both, &offers.offer(&[b"h2", b"http/1.1"])));
        assert_eq!(*one.config(), [&b"old"[..], b"http/1.1"]);
        offers.replace(vec![b"new".to_vec()]);
        assert_eq!(*one.config(), [&b"new"[..], b"http/1.1"]);
        assert_eq!(*both.config(), [&b"new"[..], b"h2", b"http/1.1"]);
        assert_eq!(*offers.offer(&[]).config(), [&b"new"[..]]);
    }
}

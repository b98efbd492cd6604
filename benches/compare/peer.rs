//! The peers, and the configurations in which they are measured.

use rustix::process::Signal;

/// A proxy to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Lb,
    Haproxy,
    Nginx,
    Envoy,
    Pingora,
    /// Not a proxy: only moves bytes, for orientation.
    Floor,
}

/// A peer in one configuration: what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) peer: Peer,
    pub(crate) variant: Variant,
    /// Prefix routes, `/admin` and `/` among the first two.
    pub(crate) routes: u32,
}

/// How a configuration differs from the peer's usual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    Usual,
    /// HAProxy with `option splice-response`, the floor without a buffer: both with pipes of 256 KiB.
    Splice,
    /// HAProxy with `option splice-response` and pipes as they come, of 64 KiB.
    SmallPipes,
    /// nginx with buffers for a response of 64 KiB.
    LargeBuffers,
    /// With an access log: lb's in JSON, the others' in their usual format.
    Logging,
}

/// Which of a proxy's listeners the load goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Http,
    Tcp,
    Tls,
}

impl Peer {
    pub(crate) const ALL: [Self; 6] =
        [Self::Lb, Self::Haproxy, Self::Nginx, Self::Envoy, Self::Pingora, Self::Floor];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lb => "lb",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::Pingora => "pingora",
            Self::Floor => "floor",
        }
    }

    /// The signal that makes it read its configuration anew.
    pub(crate) fn reload_signal(self) -> Signal {
        match self {
            Self::Haproxy => Signal::USR2,
            _ => Signal::HUP,
        }
    }
}

impl Subject {
    pub(crate) fn of(peer: Peer) -> Self {
        Self { peer, variant: Variant::Usual, routes: 2 }
    }

    pub(crate) fn name(self) -> String {
        let variant = match self.variant {
            Variant::Usual => "",
            Variant::Splice => "-splice",
            Variant::SmallPipes => "-splice-64k",
            Variant::LargeBuffers => "-tuned",
            Variant::Logging => "-log",
        };
        let routes = if self.routes > 2 { format!("-{}", self.routes) } else { String::new() };
        format!("{}{variant}{routes}", self.peer.name())
    }

    /// The prefix of a route of a large table.
    pub(crate) fn route(number: u32) -> String {
        format!("/r{number:06}")
    }
}

//! Looks, before anything is measured, whether a proxy does what every peer must do to be
//! comparable: two routes, both servers of each in turn, X-Forwarded-For.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::Error;
use crate::load::idle::ask;
use crate::origin::NAMES;
use crate::peer::{Peer, Side};
use crate::render::Setting;

/// Asks a few times; the first thing that is not as it should be is the error.
pub(crate) fn probe(setting: &Setting, path: &str) -> Result<(), Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, setting.ports.of(setting.side)));
    let unfair = |what: String| Error::Unfair { name: setting.subject.name(), what };
    let side = match setting.subject.peer {
        // Knows no routes and no fields on any side.
        Peer::Floor => Side::Tcp,
        _ => setting.side,
    };
    match side {
        // Would need a TLS client of its own; the load counts what is not 2xx all the same.
        Side::Tls => Ok(()),
        Side::Tcp => {
            let origins = origins(address, path)?;
            if origins == names("shop") {
                Ok(())
            } else {
                Err(unfair(format!("connections went to {origins:?}")))
            }
        }
        Side::Http => {
            for (path, backend) in [(path, "shop"), ("/admin/x", "admin")] {
                let origins = origins(address, path)?;
                if origins != names(backend) {
                    return Err(unfair(format!("{path} went to {origins:?}")));
                }
            }
            // Any address will do: to a loopback client Envoy gives the machine's own.
            let inspected = once(address, "/inspect")?.to_ascii_lowercase();
            if inspected.contains("x-forwarded-for: ") {
                Ok(())
            } else {
                Err(unfair(format!("no X-Forwarded-For in {inspected:?}")))
            }
        }
    }
}

/// Which origins answer eight requests on a connection each.
fn origins(address: SocketAddr, path: &str) -> Result<BTreeSet<String>, Error> {
    let mut origins = BTreeSet::new();
    for _ in 0..8 {
        let response = once(address, path)?;
        let (head, body) = response.split_once("\r\n\r\n").unwrap_or_default();
        if !head.starts_with("HTTP/1.1 200") {
            return Err(Error::Load(format!(
                "{path} was answered by {:?}",
                head.lines().next().unwrap_or("nothing")
            )));
        }
        // Where the body is chunked, its name is not in the first line.
        let name = body.lines().find(|line| NAMES.contains(line)).or_else(|| body.lines().next());
        origins.insert(name.unwrap_or_default().to_owned());
    }
    Ok(origins)
}

fn once(address: SocketAddr, path: &str) -> Result<String, Error> {
    let mut socket = TcpStream::connect(address).map_err(Error::system("connect"))?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).map_err(Error::system("setsockopt"))?;
    ask(&mut socket, address, path)
}

fn names(backend: &str) -> BTreeSet<String> {
    [1, 2].map(|number| format!("{backend}{number}")).into()
}

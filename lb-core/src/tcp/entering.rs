//! From accept to the choice of a backend: TLS ended, or a ClientHello read, where that is wanted.
//!
//! A client whose hello names nobody, or that speaks no TLS, goes where a route without conditions leads; with none
//! it is reset. A hello may come in any pieces; larger than a buffer it is refused.

use std::future::poll_fn;

use super::service::{Entry, Service};
use crate::metrics::Reason;
use crate::net::{Buffer, ClientAddress, ClientHello, Entered, Fill, Refused, Said, Stream};

/// A client that is in, and where it goes.
pub(super) struct Arrived {
    pub(super) client: Stream,
    /// Who it is, as the proxy in front says if there is one.
    pub(super) address: ClientAddress,
    /// What else that says of it.
    pub(super) said: Option<Box<Said>>,
    /// What has been read of the client, for the server.
    pub(super) read: Option<Buffer>,
    pub(super) place: usize,
}

/// What a hello came to.
enum Read {
    /// As much as will be read; `None` is no hello.
    Hello(Option<ClientHello>),
    Refused(Reason),
}

/// Takes a client in; otherwise it has ended, for this reason if it is anybody's concern.
pub(super) async fn enter(
    client: Stream,
    service: &Service,
    address: ClientAddress,
    entry: &Entry,
) -> Result<Arrived, Option<Reason>> {
    if service.entrance.is_open() && !service.names.ask_for_hello() {
        let place = service.names.find(None, &[]).ok_or(Some(Reason::NoRoute))?;
        return Ok(Arrived { client, address, said: None, read: None, place });
    }
    let arriving = arrive(client, service, address, entry);
    tokio::time::timeout(service.head, arriving).await.unwrap_or_else(|_| {
        warn(&service.entrance.timed_out(address, &service.metrics), service, entry);
        Err(Some(Reason::ClientTimeout))
    })
}

fn warn(refused: &Refused, service: &Service, entry: &Entry) {
    if let Some((result, why)) = &refused.handshake {
        entry.warnings.warn_of_handshake(&service.name, refused.client.socket(), *result, why);
    }
}

async fn arrive(
    client: Stream,
    service: &Service,
    address: ClientAddress,
    entry: &Entry,
) -> Result<Arrived, Option<Reason>> {
    let entered = service.entrance.enter(client, address, &service.metrics).await;
    let Entered { stream: mut client, client: address, said } = entered.map_err(|refused| {
        warn(&refused, service, entry);
        None
    })?;
    let refuse_unless = |place, client, read| refuse_unless(place, client, address, said, read);
    if let Some(secure) = client.secure() {
        let protocols: Vec<&[u8]> = secure.protocol().into_iter().collect();
        let place = service.names.find(secure.server_name(), &protocols);
        return refuse_unless(place, client, None);
    }
    if service.entrance.tls.is_some() {
        client.reset_on_close();
        return Err(Some(Reason::BadRequest));
    }
    if !service.names.ask_for_hello() {
        return refuse_unless(service.names.find(None, &[]), client, None);
    }
    let mut buffer = entry.resources.take_buffer();
    match read_hello(&mut client, &mut buffer).await {
        Read::Hello(hello) => {
            let hello = hello.unwrap_or_default();
            let protocols: Vec<&[u8]> = hello.protocols.iter().map(Vec::as_slice).collect();
            let place = service.names.find(hello.server_name.as_deref(), &protocols);
            refuse_unless(place, client, Some(buffer))
        }
        Read::Refused(reason) => {
            client.reset_on_close();
            Err(Some(reason))
        }
    }
}

fn refuse_unless(
    place: Option<usize>,
    mut client: Stream,
    address: ClientAddress,
    said: Option<Box<Said>>,
    read: Option<Buffer>,
) -> Result<Arrived, Option<Reason>> {
    match place {
        Some(place) => Ok(Arrived { client, address, said, read, place }),
        None => {
            client.reset_on_close();
            Err(Some(Reason::NoRoute))
        }
    }
}

/// Reads until it is known what the client asks for.
async fn read_hello(client: &mut Stream, buffer: &mut Buffer) -> Read {
    loop {
        match poll_fn(|cx| buffer.poll_fill(cx, client, usize::MAX)).await {
            Ok(Fill::Bytes(_)) => match ClientHello::parse(buffer.filled()) {
                Ok(None) => {}
                Ok(hello) => return Read::Hello(hello),
                Err(_) => return Read::Hello(None),
            },
            Ok(Fill::Full) => return Read::Refused(Reason::TooLarge),
            Ok(Fill::End) | Err(_) => return Read::Refused(Reason::ClientAbort),
        }
    }
}

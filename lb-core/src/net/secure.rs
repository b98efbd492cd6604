//! A stream under TLS.

use std::fmt;
use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use rustls::{ClientConfig, CommonState, HandshakeKind, ServerConfig};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::socket::Socket;
use crate::metrics::HandshakeResult;
use crate::tls::{Offer, Origination, Subject, Termination};

/// TLS over another stream.
///
/// Between messages rustls holds no more than its keys and one buffer of 4 KiB. Closing tells the peer
/// (`close_notify`), except where the close is to be a reset, so that a message that was cut short can be told from
/// one that has ended.
pub(crate) struct Secure {
    tls: TlsStream<Socket>,
    is_broken: bool,
    /// Bytes taken by [`Secure::poll_gather`] since they were last written out.
    gathered: usize,
    /// The subject of the certificate that the client showed.
    subject: Option<Box<Subject>>,
    /// To a server.
    terms: Option<Terms>,
}

/// What TLS to a server was begun by, and where that is renewed.
#[derive(Clone)]
pub(crate) struct Terms {
    config: Arc<ClientConfig>,
    offer: Arc<Offer<ClientConfig>>,
}

/// Ends the TLS of clients.
#[derive(Clone)]
pub(crate) struct Terminator(Arc<Offer<ServerConfig>>);

/// Begins TLS to one server.
#[derive(Clone)]
pub(crate) struct Originator {
    offer: Arc<Offer<ClientConfig>>,
    name: ServerName<'static>,
}

impl Terminator {
    /// By `termination`, offering `protocols` by ALPN.
    pub(crate) fn new(termination: &Termination, protocols: &[&[u8]]) -> Self {
        Self(termination.offer(protocols))
    }

    /// Shakes hands with a client. Has no deadline of its own.
    pub(crate) async fn accept(&self, socket: Socket) -> Result<Box<Secure>, (io::Error, HandshakeResult)> {
        let accepted = TlsAcceptor::from(self.0.config()).accept(socket).await;
        let tls = accepted.map_err(|error| {
            let result = result_of(&error);
            (error, result)
        })?;
        let certificates = tls.get_ref().1.peer_certificates();
        let subject =
            certificates.and_then(|chain| chain.first()).and_then(|leaf| Subject::of(leaf)).map(Box::new);
        Ok(Secure::new(TlsStream::Server(tls), subject, None))
    }
}

impl Originator {
    /// By `origination`, to a server whose host is `host`, offering `protocols` by ALPN. `None` where the host is no
    /// name that a certificate can have.
    pub(crate) fn new(origination: &Origination, host: Option<&str>, protocols: &[&[u8]]) -> Option<Self> {
        let name = origination.name(host)?;
        Some(Self { offer: origination.offer(protocols), name })
    }

    /// Shakes hands with a server. Has no deadline of its own.
    pub(crate) async fn connect(&self, socket: Socket) -> io::Result<Box<Secure>> {
        let terms = Terms { config: self.offer.config(), offer: Arc::clone(&self.offer) };
        let connector = TlsConnector::from(Arc::clone(&terms.config));
        let tls = TlsStream::Client(connector.connect(self.name.clone(), socket).await?);
        Ok(Secure::new(tls, None, Some(terms)))
    }
}

impl Terms {
    /// Whether a connection would be begun by the same now: by authorities or a certificate of before it may lead to
    /// somebody who is not believed any more.
    pub(crate) fn hold(&self) -> bool {
        Arc::ptr_eq(&self.config, &self.offer.config())
    }
}

/// What gathers before it is written: a few records, for the price of one system call.
const GATHERED: usize = 64 * 1024;

impl Secure {
    fn new(mut tls: TlsStream<Socket>, subject: Option<Box<Subject>>, terms: Option<Terms>) -> Box<Self> {
        // Bounded by who writes: a limit counts the records' own bytes, too, and would cut a short one off.
        match &mut tls {
            TlsStream::Server(tls) => tls.get_mut().1.set_buffer_limit(None),
            TlsStream::Client(tls) => tls.get_mut().1.set_buffer_limit(None),
        }
        Box::new(Self { tls, is_broken: false, gathered: 0, subject, terms })
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(cx, buf)
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // What is taken while the socket is full stays in rustls' buffer: no more than one write's worth.
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.tls).poll_write_vectored(cx, slices)
    }

    /// Takes `slices`, to be written out when they are many, or by [`Secure::poll_flush`].
    pub(super) fn poll_gather(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.gathered >= GATHERED {
            ready!(self.poll_flush(cx))?;
        }
        let taken = match &mut self.tls {
            TlsStream::Server(tls) => tls.get_mut().1.writer().write_vectored(slices),
            TlsStream::Client(tls) => tls.get_mut().1.writer().write_vectored(slices),
        }?;
        self.gathered += taken;
        Poll::Ready(Ok(taken))
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_flushed() {
            ready!(Pin::new(&mut self.tls).poll_flush(cx))?;
        }
        self.gathered = 0;
        Poll::Ready(Ok(()))
    }

    /// Writes some of what waits in rustls' buffer without asking the event loop; 0 where the socket is full.
    pub(super) fn press(&mut self) -> io::Result<usize> {
        let mut written = 0;
        while !self.is_flushed() {
            let count = match &mut self.tls {
                TlsStream::Server(tls) => {
                    let (stream, session) = tls.get_mut();
                    session.write_tls(&mut Pressed(stream))
                }
                TlsStream::Client(tls) => {
                    let (stream, session) = tls.get_mut();
                    session.write_tls(&mut Pressed(stream))
                }
            };
            match count? {
                0 => break,
                count => written += count,
            }
        }
        Ok(written)
    }

    pub(super) fn is_flushed(&self) -> bool {
        !self.session().wants_write()
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }

    /// Ready when rustls holds bytes it has decrypted already, or the socket has something. The latter may turn out
    /// to be TLS's own (a session ticket, a piece of a record).
    pub(super) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // It wants to read exactly when it has nothing to give: neither plaintext nor the end of the stream.
        if self.session().wants_read() { self.socket_mut().poll_read_ready(cx) } else { Poll::Ready(Ok(())) }
    }

    pub(super) fn socket(&self) -> &Socket {
        self.tls.get_ref().0
    }

    pub(super) fn socket_mut(&mut self) -> &mut Socket {
        self.tls.get_mut().0
    }

    pub(super) fn reset_on_close(&mut self) {
        self.is_broken = true;
        self.socket_mut().reset_on_close();
    }

    /// The subject of the certificate that the client showed, as one line.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.subject.as_deref().map(Subject::name)
    }

    /// The common name in it.
    pub(crate) fn common_name(&self) -> Option<&str> {
        self.subject.as_deref().and_then(Subject::common_name)
    }

    /// What TLS to a server was begun by.
    pub(crate) fn terms(&self) -> Option<&Terms> {
        self.terms.as_ref()
    }

    /// The protocol that was agreed on by ALPN.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.session().alpn_protocol()
    }

    /// The protocol version agreed on, by the name that OpenSSL gives it.
    pub(crate) fn version(&self) -> &'static str {
        match self.session().protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        }
    }

    /// The name that the client asked for by SNI, in lower case.
    pub(crate) fn server_name(&self) -> Option<&str> {
        match &self.tls {
            TlsStream::Server(tls) => tls.get_ref().1.server_name(),
            TlsStream::Client(_) => None,
        }
    }

    /// How the handshake went.
    pub(crate) fn handshake(&self) -> HandshakeResult {
        match self.session().handshake_kind() {
            Some(HandshakeKind::Resumed) => HandshakeResult::Resumed,
            _ => HandshakeResult::Full,
        }
    }

    fn session(&self) -> &CommonState {
        self.tls.get_ref().1
    }
}

/// The socket below, written to past the event loop.
struct Pressed<'a>(&'a mut Socket);

impl io::Write for Pressed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.press(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        if self.is_broken {
            return;
        }
        // Whoever closes does not wait: a socket that is full now never gets it, as before a reset.
        let mut cx = Context::from_waker(Waker::noop());
        let _best_effort = Pin::new(&mut self.tls).poll_shutdown(&mut cx);
    }
}

impl fmt::Debug for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secure").field("socket", self.socket()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms").field("hold", &self.hold()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Terminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminator").finish_non_exhaustive()
    }
}

impl fmt::Debug for Originator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Originator").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Whether a server was refused because of its certificate, and not for want of a connection.
pub(crate) fn is_certificate_refused(error: &io::Error) -> bool {
    matches!(tls_error(error), Some(rustls::Error::InvalidCertificate(_)))
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What a client's handshake that failed is counted as.
fn result_of(error: &io::Error) -> HandshakeResult {
    use rustls::Error;
    match tls_error(error) {
        Some(Error::AlertReceived(_)) => HandshakeResult::Alert,
        Some(Error::NoApplicationProtocol) => HandshakeResult::NoProtocol,
        Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)) => {
            HandshakeResult::ClientCertificate
        }
        Some(Error::PeerIncompatible(_)) => HandshakeResult::Incompatible,
        Some(_) => HandshakeResult::Malformed,
        None => HandshakeResult::Closed,
    }
}

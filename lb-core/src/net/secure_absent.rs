//! TLS left out of the build: what stands in its place and can't exist.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::socket::Socket;
use crate::metrics::HandshakeResult;
use crate::tls::{Origination, Termination};

/// A stream under TLS, of which there is none.
#[derive(Debug)]
pub(crate) enum Secure {}

/// What TLS to a server was begun by, of which there is none.
#[derive(Clone, Debug)]
pub(crate) struct Terms(Infallible);

impl Terms {
    pub(crate) fn hold(&self) -> bool {
        match self.0 {}
    }
}

/// Ends the TLS of clients, of which there is none.
#[derive(Clone, Debug)]
pub(crate) struct Terminator(Infallible);

/// Begins TLS to one server, of which there is none.
#[derive(Clone, Debug)]
pub(crate) struct Originator(Origination);

impl Originator {
    pub(crate) fn new(origination: &Origination, _: Option<&str>, _: &[&[u8]]) -> Option<Self> {
        Some(Self(origination.clone()))
    }

    pub(crate) async fn connect(&self, _socket: Socket) -> io::Result<Box<Secure>> {
        self.0.never()
    }
}

pub(crate) fn is_certificate_refused(_: &io::Error) -> bool {
    false
}

impl Terminator {
    pub(crate) fn new(termination: &Termination, protocols: &[&[u8]]) -> Self {
        Self(termination.offer(protocols))
    }

    pub(crate) async fn accept(&self, _socket: Socket) -> Result<Box<Secure>, (io::Error, HandshakeResult)> {
        match self.0 {}
    }
}

impl Secure {
    pub(super) fn poll_read(&mut self, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    pub(super) fn poll_write(&mut self, _: &mut Context<'_>, _: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    #[cfg_attr(not(feature = "http"), allow(dead_code, reason = "as what calls it"))]
    pub(super) fn poll_gather(&mut self, _: &mut Context<'_>, _: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub(super) fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    pub(super) fn press(&mut self) -> io::Result<usize> {
        match *self {}
    }

    pub(super) fn is_flushed(&self) -> bool {
        match *self {}
    }

    pub(super) fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    pub(super) fn poll_read_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    pub(super) fn socket(&self) -> &Socket {
        match *self {}
    }

    pub(super) fn socket_mut(&mut self) -> &mut Socket {
        match *self {}
    }

    pub(super) fn reset_on_close(&mut self) {
        match *self {}
    }

    pub(crate) fn subject(&self) -> Option<&str> {
        match *self {}
    }

    pub(crate) fn common_name(&self) -> Option<&str> {
        match *self {}
    }

    pub(crate) fn terms(&self) -> Option<&Terms> {
        match *self {}
    }

    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        match *self {}
    }

    pub(crate) fn version(&self) -> &'static str {
        match *self {}
    }

    pub(crate) fn server_name(&self) -> Option<&str> {
        match *self {}
    }

    pub(crate) fn handshake(&self) -> HandshakeResult {
        match *self {}
    }
}

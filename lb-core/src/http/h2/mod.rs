//! HTTP/2, by the `h2` crate: frames, HPACK, flow control and their limits are its own; this room turns its streams
//! into ends of exchanges.
//!
//! A head becomes the bytes of an HTTP/1 head once and is read by the same parser ([`head`]), so that what is refused
//! there is refused here. Targets and authorities are kept from the crate's own idea of them, those of clients ([`pseudo`])
//! and those that servers get ([`stand_in`]). A body ([`body`]) holds one frame at a time, and may look at the next; it gives its window
//! back as the other end takes it. A client's connection ([`connection`]) is one task, each of its streams another. A
//! server's connections ([`sessions`]) are kept by the endpoint, and each lends its streams to exchanges.
//!
//! A WebSocket is what it is in HTTP/1, an upgraded GET, to every exchange; what an extended CONNECT says otherwise is
//! put in and taken out at the ends ([`websocket`]), and its bytes are a stream like any other ([`carrier`]).

mod body;
mod carrier;
mod connection;
mod frame;
mod frames;
mod head;
mod io;
mod origin;
mod outbound;
#[cfg(feature = "fuzz")]
mod properties;
mod pseudo;
mod sending;
mod sent;
mod served;
mod sessions;
mod stand_in;
mod traffic;
mod websocket;

pub(crate) use connection::serve;
#[cfg(feature = "fuzz")]
pub(crate) use properties::frames as frames_property;
pub(crate) use sent::SentStream;
pub(crate) use sessions::{Sessions, Slot};

/// Its name in ALPN.
pub(crate) const PROTOCOL: &[u8] = b"h2";

/// What a client that knows that we speak HTTP/2 sends first (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

//! A tunnel, whatever opened it: what goes in at one end comes out at the other, from either protocol to either, until
//! both ends have ended.

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::Response;
use lb_core::testkit::{Closing, Entry, Origin, Running, Wire, pattern};
use tokio::task::block_in_place;

use super::server::Server;
use super::{Answer, send_body};

/// More than any buffer or window on the way holds.
const LARGE: usize = 3 * 1024 * 1024 + 7;

/// A client's end of a tunnel in HTTP/2.
pub(crate) type Stream = (Response<RecvStream>, SendStream<Bytes>);

/// How tunnels of a kind are opened, to servers that give back what they get.
pub(crate) struct Kind<H2> {
    /// The proxy before a server at an address, which may speak HTTP/2.
    pub(crate) proxy: fn(&str, bool) -> Running,
    pub(crate) open_by_h2: H2,
    /// Also says what the client has sent into the tunnel already.
    pub(crate) open_by_h1: fn(&Running) -> (Wire, &'static [u8]),
    /// What the access log must say, beside how much went each way.
    pub(crate) logged: fn(&Entry),
}

impl<H2: AsyncFn(&Running) -> Stream> Kind<H2> {
    /// Each of two clients talks to each of two servers.
    pub(crate) async fn joins_any_two(&self, h1: &Origin, h2: &Server) {
        for (address, http2) in by_protocol(h1, h2) {
            let proxy = (self.proxy)(address, http2);
            h2_talk((self.open_by_h2)(&proxy).await).await;
            self.check_log(&proxy);
            let proxy = (self.proxy)(address, http2);
            block_in_place(|| h1_talk((self.open_by_h1)(&proxy)));
            self.check_log(&proxy);
        }
    }

    fn check_log(&self, proxy: &Running) {
        let entry = block_in_place(|| proxy.log().only());
        (self.logged)(&entry);
        assert_eq!(entry.reason, None);
        assert!(entry.received_bytes > LARGE as u64 && entry.sent_bytes > LARGE as u64, "{entry:?}");
    }
}

/// Their addresses, and whether it is HTTP/2 that is spoken there.
pub(crate) fn by_protocol<'s>(h1: &'s Origin, h2: &'s Server) -> [(&'s str, bool); 2] {
    [(h1.address(), false), (&h2.address, true)]
}

/// A server's part: it gives back all that comes, at its end.
pub(crate) fn echo(server: &mut Wire) {
    let (received, closing) = server.until_closed();
    if closing == Closing::End {
        server.send(received);
    }
}

/// The same in HTTP/2.
pub(crate) async fn h2_echo(received: RecvStream, stream: SendStream<Bytes>) {
    if let Ok(received) = Answer::of(Response::new(received)).await {
        let _ = send_body(stream, &received.body, None).await;
    }
}

async fn h2_talk((response, stream): Stream) {
    let body = pattern(LARGE);
    let (sent, echoed) = tokio::join!(send_body(stream, &body, None), Answer::of(response));
    sent.unwrap();
    assert!(echoed.unwrap().body == body);
}

fn h1_talk((mut client, sent): (Wire, &[u8])) {
    let body = pattern(LARGE);
    client.send(&body).finish_sending();
    let (echoed, closing) = client.until_closed();
    assert!(echoed == [sent, &body].concat(), "{} bytes", echoed.len());
    assert_eq!(closing, Closing::End);
}

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::coop;

use super::super::accepted::Accepted;
use super::super::listener::Listener;
use super::*;
use crate::sys::BoundListener;

#[tokio::test]
async fn a_client_that_speaks_at_once_is_not_registered() {
    let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    bound.set_nonblocking(true).unwrap();
    let address = bound.local_addr().unwrap();
    let listener = Listener::register(BoundListener::Tcp(bound)).unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"at once").await.unwrap();
    let (mut stream, from) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
    assert_eq!(from.socket(), Some(client.local_addr().unwrap()));
    let mut space = [0; 16];
    poll_fn(|cx| stream.poll_read_ready(cx)).await.unwrap();
    let count = poll_fn(|cx| stream.poll_read(cx, &mut space)).await.unwrap();
    assert_eq!(&space[..count], b"at once");
    assert_eq!(poll_fn(|cx| stream.poll_write(cx, &[IoSlice::new(b"well")])).await.unwrap(), 4);
    assert!(poll_fn(|cx| Poll::Ready(stream.poll_reset(cx))).await.is_pending());
    assert!(matches!(stream, Stream::Socket(Socket::Accepted(_))));

    // What comes later is waited for.
    let mut later = pin!(poll_fn(|cx| stream.poll_read_ready(cx)));
    assert!(poll_fn(|cx| Poll::Ready(later.as_mut().poll(cx))).await.is_pending());
    client.write_all(b"later").await.unwrap();
    later.await.unwrap();
    assert!(matches!(stream, Stream::Socket(Socket::Tcp(_))));
    let count = poll_fn(|cx| stream.poll_read(cx, &mut space)).await.unwrap();
    assert_eq!(&space[..count], b"later");
}

#[tokio::test]
async fn a_client_that_keeps_silent_is_registered_by_the_first_read() {
    let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    bound.set_nonblocking(true).unwrap();
    let address = bound.local_addr().unwrap();
    let listener = Listener::register(BoundListener::Tcp(bound)).unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    let (mut stream, _) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
    let mut space = [0; 16];
    {
        let mut read = pin!(poll_fn(|cx| stream.poll_read(cx, &mut space)));
        assert!(poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await.is_pending());
        client.write_all(b"at last").await.unwrap();
        assert_eq!(read.await.unwrap(), 7);
    }
    assert!(matches!(stream, Stream::Socket(Socket::Tcp(_))));
}

#[tokio::test]
async fn a_reset_is_told_from_the_end_of_one_direction() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for resets in [false, true] {
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let accepted = listener.accept().await.unwrap().0.into_std().unwrap();
        let mut stream = Stream::from(Socket::Accepted(Accepted::new(accepted)));
        assert!(!stream.is_registered());
        stream.watch().unwrap();
        assert!(stream.is_registered());
        assert!(poll_fn(|cx| Poll::Ready(stream.poll_reset(cx))).await.is_pending());
        let peer = peer.into_std().unwrap();
        if resets {
            socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
            drop(peer);
            poll_fn(|cx| stream.poll_reset(cx)).await;
        } else {
            peer.shutdown(std::net::Shutdown::Write).unwrap();
            poll_fn(|cx| stream.poll_read_ready(cx)).await.unwrap();
            assert!(poll_fn(|cx| Poll::Ready(stream.poll_reset(cx))).await.is_pending());
        }
    }
}

#[tokio::test]
async fn silence_is_told_from_words_by_a_task_over_its_budget_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    let mut stream = Stream::from(Socket::Tcp(stream));
    for is_silent in [true, false] {
        poll_fn(|cx| {
            while let Poll::Ready(progress) = coop::poll_proceed(cx) {
                progress.made_progress();
            }
            assert!(!coop::has_budget_remaining());
            assert_eq!(stream.is_silent(), is_silent);
            Poll::Ready(())
        })
        .await;
        peer.write_all(b"x").await.unwrap();
        poll_fn(|cx| stream.poll_read_ready(cx)).await.unwrap();
    }
}

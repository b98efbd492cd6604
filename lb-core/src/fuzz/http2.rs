//! A client's frames through a running proxy, to a server of HTTP/1.1.

use std::cell::RefCell;
use std::collections::HashSet;

use super::exchange::Rig;
use crate::http::reference;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-Test: 1\r\n\r\nhello there";
/// More requests than that are answered by the proxy alone.
const REPLIES: usize = 300;
/// Far below what a socket's buffer holds.
const MAX_BYTES: usize = 32 * 1024;
/// Where an input's frame has this type, its payload is sent as it is, without a frame around it.
const RAW: u8 = 0xff;

const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Frames behind a preface, each given as its type, its flags, the last byte of its stream's number, the length of its
/// payload in one byte, and the payload. No one hangs; what servers get is HTTP/1.1 to a strict reader, each request
/// with the host it was for; what the client gets are frames that a server may send, SETTINGS first.
pub fn http2(bytes: &[u8]) {
    thread_local! {
        static RIG: RefCell<Option<Rig>> = const { RefCell::new(None) };
    }
    if bytes.len() > MAX_BYTES {
        return;
    }
    let mut sent = PREFACE.to_vec();
    sent.extend_from_slice(&frame(SETTINGS, 0, 0, &[]));
    frames_of(bytes, &mut sent);
    RIG.with_borrow_mut(|rig| {
        let replies = vec![REPLY.to_vec(); REPLIES];
        let seen = rig.get_or_insert_with(|| Rig::new("http2")).play(&sent, &replies);
        seen.forwarded.iter().for_each(|bytes| check_forwarded(bytes));
        check_answers(&seen.answers);
    });
}

fn frames_of(mut input: &[u8], sent: &mut Vec<u8>) {
    while let [kind, flags, stream, length, rest @ ..] = input {
        let (payload, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        match *kind {
            RAW => sent.extend_from_slice(payload),
            kind => sent.extend_from_slice(&frame(kind, *flags, u32::from(*stream), payload)),
        }
        input = rest;
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Whole requests, the last of which may be cut off.
fn check_forwarded(bytes: &[u8]) {
    let (requests, read) = reference::requests(bytes);
    let is_cut = requests.last().is_some_and(|last| !last.is_whole);
    let rest = bytes.get(read..).unwrap_or_default();
    assert!(
        is_cut || rest.is_empty() || !rest.windows(4).any(|four| four == b"\r\n\r\n"),
        "no request to a strict reader: {:?}",
        String::from_utf8_lossy(rest)
    );
    for request in requests {
        assert!(!request.is_malformed, "a malformed body is sent on");
        assert_eq!(request.head.start[2], b"HTTP/1.1");
        assert!(reference::is_token(request.head.start[0]), "a method that is none");
        assert_eq!(request.head.values("host").len(), 1, "no host, or several");
        // An extended CONNECT goes on as an upgrade.
        let is_upgrade = request.head.values("upgrade") == [b"websocket"];
        let allowed: &[&[u8]] = if is_upgrade { &[b"upgrade", b"upgrade, te"] } else { &[b"te"] };
        assert!(request.head.values("connection").iter().all(|value| allowed.contains(value)));
        for name in ["keep-alive", "proxy-connection", "transfer-encoding"] {
            assert!(!is_upgrade || request.head.values(name).is_empty(), "{name} is sent on");
        }
    }
}

/// Frames as a server may send them, the last of which may be cut off.
fn check_answers(mut bytes: &[u8]) {
    let (mut is_first, mut in_head, mut ended) = (true, None, HashSet::new());
    while let [a, b, c, kind, flags, s @ ..] = bytes.get(..HEAD).unwrap_or_default() {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        let stream = u32::from_be_bytes([s[0], s[1], s[2], s[3]]);
        let Some(payload) = bytes.get(HEAD..HEAD + length) else { return };
        bytes = &bytes[HEAD + length..];
        assert!(!is_first || (*kind == SETTINGS && *flags == 0), "SETTINGS are not first");
        is_first = false;
        assert!(in_head.is_none_or(|open| (open, CONTINUATION) == (stream, *kind)), "a frame in a head");
        match *kind {
            DATA | HEADERS | CONTINUATION => {
                assert!(stream % 2 == 1, "a stream that no client opens");
                assert!(!ended.contains(&stream), "a frame behind the end of its stream");
                in_head = (*kind != DATA && flags & END_HEADERS == 0).then_some(stream);
                if *kind != CONTINUATION && flags & END_STREAM != 0 {
                    ended.insert(stream);
                }
            }
            RST_STREAM => assert!(stream != 0 && payload.len() == 4),
            SETTINGS => assert!(stream == 0 && payload.len() % 6 == 0),
            PING => assert!(stream == 0 && payload.len() == 8),
            GOAWAY => assert!(stream == 0 && payload.len() >= 8),
            WINDOW_UPDATE => assert!(payload.len() == 4 && payload != [0; 4]),
            _ => panic!("a frame that no server sends: {kind}"),
        }
    }
}

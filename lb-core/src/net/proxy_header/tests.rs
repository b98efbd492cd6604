use super::*;

fn proxied(source: &str, destination: &str) -> ProxyHeader {
    let said = Said { destination: destination.parse().ok(), tlvs: Box::default() };
    ProxyHeader::Proxied { source: source.parse().unwrap(), said }
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [SIGNATURE_V2, &[command, family], &length, body].concat()
}

const TCP4: &[u8] = &[10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0x39, 0x01, 0xbb];

#[test]
fn headers_are_read() {
    let tcp4 = proxied("10.0.0.1:12345", "10.0.0.2:443");
    let mut tcp6 = vec![0; 32];
    (tcp6[15], tcp6[31]) = (1, 2);
    tcp6.extend([0x30, 0x39, 0x01, 0xbb]);
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_V1 - 16));
    assert_eq!(longest.len(), LONGEST_V1);
    let with_tlv = [TCP4, &[0x04, 0, 2, 9, 9]].concat();
    for (bytes, expected) in [
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 443\r\n".to_vec(), tcp4.clone()),
        (
            b"PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n".to_vec(),
            proxied("255.255.255.255:65535", "0.0.0.0:0"),
        ),
        (b"PROXY TCP6 ::1 2001:db8::2 1 443\r\n".to_vec(), proxied("[::1]:1", "[2001:db8::2]:443")),
        (b"PROXY UNKNOWN\r\n".to_vec(), ProxyHeader::Local),
        (longest.into_bytes(), ProxyHeader::Local),
        (b"PROXY UNKNOWN  what \x01 else\r\n".to_vec(), ProxyHeader::Local),
        (b"PROXY UNKNOWN ffff:f::f ffff::f 65535 65535\r\n".to_vec(), ProxyHeader::Local),
        (v2(0x21, 0x11, TCP4), tcp4.clone()),
        (v2(0x21, 0x11, &with_tlv), tcp4),
        (v2(0x21, 0x21, &tcp6), proxied("[::1]:12345", "[::2]:443")),
        (v2(0x21, 0x31, &[0; 216]), ProxyHeader::Local),
        (v2(0x21, 0x00, &[]), ProxyHeader::Local),
        (v2(0x20, 0x00, &[]), ProxyHeader::Local),
        (v2(0x20, 0x11, TCP4), ProxyHeader::Local),
        (v2(0x20, 0x00, b"anything"), ProxyHeader::Local),
    ] {
        let length = bytes.len();
        let followed = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(parse(&followed).unwrap(), Some((expected, length)), "{}", bytes.escape_ascii());
        for cut in 0..length {
            assert_eq!(parse(&bytes[..cut]).unwrap(), None, "{cut} of {}", bytes.escape_ascii());
        }
    }
}

#[test]
fn everything_else_is_refused() {
    // The longest there may be is read above.
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_V1 - 15));
    for bytes in [
        b"GET / HTTP/1.1\r\n".to_vec(),
        b"proxy TCP4 10.0.0.1 10.0.0.2 1 2\r\n".to_vec(),
        b"PROXY TCP4 6.6.6 10.0.0.2 1 2\r\n".to_vec(),
        b"PROXY TCP4 10.0.0.01 10.0.0.2 1 2\r\n".to_vec(),
        b"PROXY TCP4 1.2.3.4.5 10.0.0.2 1 2\r\n".to_vec(),
        b"PROXY TCP4 256.0.0.1 10.0.0.2 1 2\r\n".to_vec(),
        b"PROXY TCP4 10.0.0.1 ::2 1 2\r\n".to_vec(),
        b"PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n".to_vec(),
        b"PROXY TCP6 [::1] ::2 1 2\r\n".to_vec(),
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 065\r\n".to_vec(),
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\n".repeat(4),
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\r\n".to_vec(),
        b"PROXY TCP4\t10.0.0.1 10.0.0.2 1 2\r\n".to_vec(),
        b"PROXY UNKNOWNS\r\n".to_vec(),
        b"PROXY unknown\r\n".to_vec(),
        b"PROXY TCP4 10.0.0.1 10.0.0.2 99999 2\r\n".to_vec(),
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 65536\r\n".to_vec(),
        b"PROXY TCP4 10.0.0.1 10.0.0.2 -1 2\r\n".to_vec(),
        b"PROXY TCP4 10.0.0.1 10.0.0.2 +1 2\r\n".to_vec(),
        b"PROXY TCP4 10.0.0.1 10.0.0.2 01 2\r\n".to_vec(),
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1\r\n".to_vec(),
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2 3\r\n".to_vec(),
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2 \r\n".to_vec(),
        b"PROXY TCP4  10.0.0.1 10.0.0.2 1 2\r\n".to_vec(),
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\rX".to_vec(),
        b"PROXY TCP4 ::1 ::2 1 2\r\n".to_vec(),
        b"PROXY TCP6 10.0.0.1 10.0.0.2 1 2\r\n".to_vec(),
        b"PROXY UDP4 10.0.0.1 10.0.0.2 1 2\r\n".to_vec(),
        b"PROXY \r\n".to_vec(),
        b"PROXY\r\n".to_vec(),
        b"PROXY TCP4 \xff 10.0.0.2 1 2\r\n".to_vec(),
        long.into_bytes(),
        v2(0x11, 0x11, TCP4),
        v2(0x22, 0x11, TCP4),
        v2(0x21, 0x12, TCP4),
        v2(0x21, 0x41, TCP4),
        v2(0x21, 0x11, &TCP4[..11]),
        v2(0x21, 0x21, TCP4),
        v2(0x21, 0x11, &[TCP4, &[4, 0]].concat()),
        v2(0x21, 0x11, &[TCP4, &[4, 0, 9, 1]].concat()),
        v2(0x21, 0x11, &[TCP4, &[TLV_CRC32C, 0, 4, 1, 2, 3, 4]].concat()),
        v2(0x21, 0x11, &[TCP4, &[TLV_CRC32C, 0, 1, 1]].concat()),
        v2(0x21, 0x11, &[TCP4, &[TLV_SSL, 0, 4, 1, 0, 0, 0]].concat()),
        v2(0x21, 0x11, &[TCP4, &[TLV_SSL, 0, 8, 1, 0, 0, 0, 0, TLV_SSL_CN, 0, 1]].concat()),
        v2(0x21, 0x22, &[0; 36]),
        v2(0x21, 0x32, &[0; 216]),
        v2(0x21, 0x31, &[0; 215]),
        v2(0x21, 0x11, &[]),
        v2(0x21, 0x11, &[0; LONGEST_V2]),
    ] {
        assert!(parse(&bytes).is_err(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_header_that_is_refused_is_not_waited_for() {
    let huge = [SIGNATURE_V2, &[0x21, 0x11, 0xff, 0xff]].concat();
    let other_version = [SIGNATURE_V2, &[0x31, 0x11, 0, 12]].concat();
    for bytes in [&huge[..], &other_version, b"proxy", b"PROXX", b"\r\n\r\n\0\r\nQUIX", b"G", &[b'\x16', 3]] {
        assert!(parse(bytes).is_err(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn tls_in_front_is_what_the_first_bit_says() {
    let said = |tlvs: &[u8]| match parse(&v2(0x21, 0x11, &[TCP4, tlvs].concat())).unwrap() {
        Some((ProxyHeader::Proxied { said, .. }, _)) => said.is_secure(),
        other => panic!("{other:?}"),
    };
    assert!(said(&[TLV_SSL, 0, 5, 1, 0, 0, 0, 0]));
    assert!(said(&[TLV_ALPN, 0, 2, b'h', b'2', TLV_SSL, 0, 5, 7, 0, 0, 0, 1]));
    assert!(!said(&[TLV_SSL, 0, 5, 0, 0, 0, 0, 0]) && !said(&[TLV_SSL, 0, 5, 6, 0, 0, 0, 0]));
    assert!(!said(&[TLV_ALPN, 0, 2, b'h', b'2']) && !said(&[]));
}

#[test]
fn a_right_checksum_is_accepted() {
    // RFC 3720 appendix B.4: 32 bytes of zeros.
    assert_eq!(crc32c(&[0; 32], 0..0), 0x8a91_36aa);
    let mut header = v2(0x21, 0x11, &[TCP4, &[TLV_CRC32C, 0, 4, 0, 0, 0, 0]].concat());
    let at = header.len() - 4;
    let crc = crc32c(&header, 0..0);
    header[at..].copy_from_slice(&crc.to_be_bytes());
    assert!(parse(&header).unwrap().is_some());
}

#[test]
fn what_is_written_can_be_read() {
    for (source, destination, line) in [
        ("10.0.0.1:1", "10.0.0.2:443", "PROXY TCP4 10.0.0.1 10.0.0.2 1 443\r\n"),
        ("[::1]:1", "[::2]:443", "PROXY TCP6 ::1 ::2 1 443\r\n"),
        ("[::ffff:10.0.0.1]:1", "10.0.0.2:443", "PROXY TCP4 10.0.0.1 10.0.0.2 1 443\r\n"),
        ("10.0.0.1:1", "[::2]:443", "PROXY TCP6 ::ffff:10.0.0.1 ::2 1 443\r\n"),
    ] {
        let tls = write::TlsIntroduction {
            version: "TLSv1.3",
            protocol: Some(b"http/1.1"),
            server_name: Some("shop.example"),
            has_certificate: true,
            common_name: Some("alice"),
        };
        let said = Said { destination: destination.parse().ok(), tlvs: tls.tlvs() };
        let introduction = Introduction { client: source.parse().ok(), said: Some(&said) };
        assert_eq!(introduction.v1(), line.as_bytes());
        let read = |bytes: &[u8]| match parse(bytes).unwrap() {
            Some((ProxyHeader::Proxied { source, said }, length)) if length == bytes.len() => (source, said),
            other => panic!("{other:?}"),
        };
        let (one, two) = (introduction.v1(), introduction.v2());
        let (source, said) = read(&two);
        assert_eq!((read(&one).0, read(&one).1.destination), (source, said.destination));
        // A second proxy without TLS of its own passes it all on.
        assert_eq!(Introduction { client: Some(source), said: Some(&said) }.v2(), two);
        for expected in
            [&b"\x01\0\x08http/1.1"[..], b"\x02\0\x0cshop.example", b"\x21\0\x07TLSv1.3", b"\x22\0\x05alice"]
        {
            assert!(two.windows(expected.len()).any(|window| window == expected), "{}", two.escape_ascii());
        }
    }
    let own = Introduction::default();
    assert_eq!(own.v1(), b"PROXY UNKNOWN\r\n");
    assert_eq!(parse(&own.v2()).unwrap(), Some((ProxyHeader::Local, 16)));
}

proptest::proptest! {
    #[test]
    fn no_bytes_break_it(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300), version in 0..3) {
        let mut whole = match version { 0 => SIGNATURE_V1.to_vec(), 1 => SIGNATURE_V2.to_vec(), _ => Vec::new() };
        whole.extend(bytes);
        if let Ok(Some((_, length))) = parse(&whole) {
            proptest::prop_assert!(length <= whole.len());
        }
    }
}

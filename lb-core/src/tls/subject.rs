//! Who a client's certificate says the client is.

use x509_parser::prelude::{FromDer, X509Certificate};

/// The subject of a certificate as one line (RFC 4514 in its order of writing), such as `CN=alice, O=Shop`. Only
/// visible ASCII: it goes into a header field, and every other byte is a `?`.
pub(crate) fn subject_of(certificate: &[u8]) -> Option<Box<str>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject().to_string();
    let visible = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    Some(subject.chars().map(visible).collect())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn a_subject_is_one_line_of_visible_characters() {
        for (name, expected) in
            [("alice", "CN=alice"), ("al\r\nx: ice", "CN=al??x: ice"), ("zo\u{eb}", "CN=zo?")]
        {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(subject_of(certificate.der()).as_deref(), Some(expected));
        }
        assert_eq!(subject_of(b"not a certificate"), None);
    }
}

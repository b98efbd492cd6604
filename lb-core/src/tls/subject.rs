//! Who a client is by its certificate.

use std::fmt::Write as _;

use x509_parser::asn1_rs::{Any, Oid, Tag, ToDer};
use x509_parser::der_parser::oid;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate, X509Name};

/// The subject of a client's certificate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    name: Box<str>,
    common_name: Option<Box<str>>,
}

/// What RFC 4514 section 3 and RFC 4519 call the types of attributes, and OpenSSL the one for mail.
const TYPES: &[(Oid<'static>, &str)] = &[
    (oid!(2.5.4.3), "CN"),
    (oid!(2.5.4.4), "sn"),
    (oid!(2.5.4.5), "serialNumber"),
    (oid!(2.5.4.6), "C"),
    (oid!(2.5.4.7), "L"),
    (oid!(2.5.4.8), "ST"),
    (oid!(2.5.4.9), "STREET"),
    (oid!(2.5.4.10), "O"),
    (oid!(2.5.4.11), "OU"),
    (oid!(2.5.4.12), "title"),
    (oid!(2.5.4.42), "givenName"),
    (oid!(2.5.4.43), "initials"),
    (oid!(2.5.4.44), "generationQualifier"),
    (oid!(2.5.4.46), "dnQualifier"),
    (oid!(0.9.2342.19200300.100.1.1), "UID"),
    (oid!(0.9.2342.19200300.100.1.25), "DC"),
    (oid!(1.2.840.113549.1.9.1), "emailAddress"),
];

const COMMON_NAME: Oid<'static> = oid!(2.5.4.3);

impl Subject {
    /// Of a certificate in DER; `None` where it is none.
    pub(crate) fn of(certificate: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let subject = certificate.subject();
        let mut common_names = subject.iter_by_oid(&COMMON_NAME);
        let common_name = common_names.next().and_then(|attribute| text(attribute.attr_value()));
        Some(Self { name: line(subject).into(), common_name: common_name.map(Into::into) })
    }

    /// The subject as one line, such as `CN=alice, O=Shop`: attributes as the certificate has them in their order,
    /// each escaped by RFC 4514 section 2.4. Visible ASCII alone, since it goes into a header field; two subjects that
    /// differ are two lines that differ.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The first common name, if it is a text, as it is.
    pub(crate) fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }
}

fn line(subject: &X509Name<'_>) -> String {
    let mut line = String::new();
    for (at, relative) in subject.iter_rdn().enumerate() {
        for (inner, attribute) in relative.iter().enumerate() {
            line.push_str(match (at, inner) {
                (0, 0) => "",
                (_, 0) => ", ",
                _ => "+",
            });
            write_attribute(&mut line, attribute);
        }
    }
    line
}

/// Types without a name, and values that are no text, go by their numbers (RFC 4514 section 2.4).
fn write_attribute(line: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let (kind, value) = (attribute.attr_type(), attribute.attr_value());
    let name = TYPES.iter().find(|(known, _)| known == kind).map(|(_, name)| *name);
    match (name, text(value)) {
        (Some(name), Some(text)) => {
            line.push_str(name);
            line.push('=');
            write_escaped(line, &text);
        }
        (name, _) => {
            line.push_str(&name.map_or_else(|| kind.to_id_string(), str::to_owned));
            line.push_str("=#");
            for byte in value.to_der_vec().unwrap_or_default() {
                let _infallible = write!(line, "{byte:02X}");
            }
        }
    }
}

/// The characters of a value; `None` where it is no text or a damaged one, or one of T.61, whose letters beyond ASCII
/// everybody reads in another way.
fn text(value: &Any<'_>) -> Option<String> {
    let bytes = value.data;
    match value.tag() {
        Tag::Utf8String => String::from_utf8(bytes.to_vec()).ok(),
        Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString | Tag::T61String => {
            bytes.is_ascii().then(|| bytes.iter().map(|byte| char::from(*byte)).collect())
        }
        Tag::BmpString => {
            let (units, []) = bytes.as_chunks() else { return None };
            char::decode_utf16(units.iter().map(|unit| u16::from_be_bytes(*unit)))
                .collect::<Result<_, _>>()
                .ok()
        }
        Tag::UniversalString => {
            let (units, []) = bytes.as_chunks() else { return None };
            units.iter().map(|unit| char::from_u32(u32::from_be_bytes(*unit))).collect()
        }
        _ => None,
    }
}

fn write_escaped(line: &mut String, text: &str) {
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b' ' if at > 0 && at < last => line.push(' '),
            b'#' if at > 0 => line.push('#'),
            b' ' | b'#' | b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => {
                line.push('\\');
                line.push(char::from(byte));
            }
            byte if byte.is_ascii_graphic() => line.push(char::from(byte)),
            byte => {
                let _infallible = write!(line, "\\{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

    use super::*;

    fn subject(attributes: Vec<(DnType, DnValue)>) -> Subject {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in attributes {
            params.distinguished_name.push(kind, value);
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Subject::of(certificate.der()).unwrap()
    }

    #[test]
    fn a_subject_is_one_line_that_reads_in_one_way() {
        let bmp = |text: &str| DnValue::BmpString(text.try_into().unwrap());
        let printable = |text: &str| DnValue::PrintableString(text.try_into().unwrap());
        let unknown = || DnType::CustomDnType(vec![1, 2, 3, 4]);
        // rcgen takes each of its own types once.
        let second = || DnType::CustomDnType(vec![2, 5, 4, 3]);
        let cases: Vec<(Vec<(DnType, DnValue)>, &str, Option<&str>)> = vec![
            (vec![(DnType::CommonName, "alice".into())], "CN=alice", Some("alice")),
            (
                vec![(DnType::CommonName, "alice".into()), (DnType::OrganizationName, "Shop".into())],
                "CN=alice, O=Shop",
                Some("alice"),
            ),
            (vec![(DnType::CommonName, "bob, CN=admin".into())], "CN=bob\\, CN=admin", Some("bob, CN=admin")),
            (
                vec![(DnType::CommonName, "bob".into()), (second(), "admin".into())],
                "CN=bob, CN=admin",
                Some("bob"),
            ),
            (
                vec![(DnType::OrganizationName, "x, CN=admin".into()), (DnType::CommonName, "bob".into())],
                "O=x\\, CN=admin, CN=bob",
                Some("bob"),
            ),
            (vec![(DnType::CommonName, "Zo\u{eb}".into())], "CN=Zo\\C3\\AB", Some("Zo\u{eb}")),
            (vec![(DnType::CommonName, "Zo\u{e9}".into())], "CN=Zo\\C3\\A9", Some("Zo\u{e9}")),
            (vec![(DnType::CommonName, bmp("Zo\u{e8}"))], "CN=Zo\\C3\\A8", Some("Zo\u{e8}")),
            (vec![(DnType::CommonName, printable("carol"))], "CN=carol", Some("carol")),
            (vec![(DnType::CommonName, "a\r\nx: b\0".into())], "CN=a\\0D\\0Ax: b\\00", Some("a\r\nx: b\0")),
            (vec![(DnType::CommonName, " #a# ".into())], "CN=\\ #a#\\ ", Some(" #a# ")),
            (vec![(DnType::CommonName, "#04".into())], "CN=\\#04", Some("#04")),
            (vec![(DnType::CommonName, " ".into())], "CN=\\ ", Some(" ")),
            (vec![(DnType::CommonName, "a+b;c<d>e\"f\\g".into())], "CN=a\\+b\\;c\\<d\\>e\\\"f\\\\g", None),
            (vec![(unknown(), "x".into())], "1.2.3.4=#0C0178", None),
            (vec![], "", None),
        ];
        let mut lines = HashSet::new();
        for (attributes, line, common_name) in cases {
            let subject = subject(attributes);
            assert_eq!(subject.name(), line);
            if let Some(common_name) = common_name {
                assert_eq!(subject.common_name(), Some(common_name));
            }
            assert!(lines.insert(subject.name), "{line} is read twice");
        }
        assert_eq!(Subject::of(b"not a certificate"), None);
    }
}

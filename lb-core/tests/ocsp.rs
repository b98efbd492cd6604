//! Promise: clients get an OCSP response where it is about the certificate shown, from its issuer and in time; otherwise
//! they get none, and it is said why.
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]
#![cfg(all(feature = "tls", feature = "http"))]

mod rig;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use der::asn1::{BitString, Null, OctetString};
use der::{Decode, Encode};
use lb_core::prelude::*;
use lb_core::testkit::{Origin, Running, eventually};
use lb_core::tls::{CertificateFiles, Termination};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, SigningKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha1_smol::Sha1;
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspResponse, OcspResponseStatus,
    ResponderId, ResponseBytes, ResponseData, RevokedInfo, SingleResponse, Version,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use rig::{Authority, Client};

const HOUR: Duration = Duration::from_secs(3600);
/// AlgorithmIdentifiers: SHA-1, and ECDSA with SHA-256.
const SHA1: &[u8] = &[0x30, 9, 6, 5, 0x2b, 14, 3, 2, 26, 5, 0];
const ECDSA: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

/// What a responder says of one certificate.
struct Answer<'a> {
    about: &'a CertificateFiles,
    issuer: &'a Authority,
    status: CertStatus,
    from: SystemTime,
    until: Option<SystemTime>,
}

impl<'a> Answer<'a> {
    fn good(about: &'a CertificateFiles, issuer: &'a Authority) -> Self {
        let now = SystemTime::now();
        Self { about, issuer, status: CertStatus::Good(Null), from: now - HOUR, until: Some(now + HOUR) }
    }

    fn signed(&self) -> Vec<u8> {
        self.signed_by(self.issuer.issuer().key(), None)
    }

    fn signed_by(&self, key: &KeyPair, certificate: Option<&[u8]>) -> Vec<u8> {
        let leaf = CertificateDer::from_pem_file(self.about.certificate_file()).unwrap();
        let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
        let issuer = CertificateDer::from_pem_file(self.issuer.file()).unwrap();
        let (_, issuer) = X509Certificate::from_der(&issuer).unwrap();
        let hash = |of: &[u8]| OctetString::new(Sha1::from(of).digest().bytes()).unwrap();
        let serial = [&[2, u8::try_from(leaf.raw_serial().len()).unwrap()], leaf.raw_serial()].concat();
        let key_hash = hash(&issuer.public_key().subject_public_key.data);
        let single = SingleResponse {
            cert_id: CertId {
                hash_algorithm: Decode::from_der(SHA1).unwrap(),
                issuer_name_hash: hash(leaf.issuer().as_raw()),
                issuer_key_hash: key_hash.clone(),
                serial_number: Decode::from_der(&serial).unwrap(),
            },
            cert_status: self.status,
            this_update: time(self.from),
            next_update: self.until.map(time),
            single_extensions: None,
        };
        let data = ResponseData {
            version: Version::V1,
            responder_id: ResponderId::ByKey(key_hash),
            produced_at: time(self.from),
            responses: vec![single],
            response_extensions: None,
        };
        let signature = key.sign(&data.to_der().unwrap()).unwrap();
        let basic = BasicOcspResponse {
            tbs_response_data: data,
            signature_algorithm: Decode::from_der(ECDSA).unwrap(),
            signature: BitString::from_bytes(&signature).unwrap(),
            certs: certificate.map(|certificate| vec![Decode::from_der(certificate).unwrap()]),
        };
        response(OcspResponseStatus::Successful, Some(&basic.to_der().unwrap()))
    }
}

fn response(response_status: OcspResponseStatus, basic: Option<&[u8]>) -> Vec<u8> {
    let response_bytes = basic.map(|basic| ResponseBytes {
        response_type: der::asn1::ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1"),
        response: OctetString::new(basic).unwrap(),
    });
    OcspResponse { response_status, response_bytes }.to_der().unwrap()
}

fn time(at: SystemTime) -> OcspGeneralizedTime {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    OcspGeneralizedTime(
        der::asn1::GeneralizedTime::from_unix_duration(Duration::from_secs(since.as_secs())).unwrap(),
    )
}

/// A certificate with its issuer's behind it, and a response.
fn with_chain(authority: &Authority, response: &[u8]) -> CertificateFiles {
    let files = authority.issue(&["shop.example"]);
    let chain = [fs::read(files.certificate_file()).unwrap(), fs::read(authority.file()).unwrap()].concat();
    fs::write(files.certificate_file(), chain).unwrap();
    let file = response_file(&files);
    fs::write(&file, response).unwrap();
    files.ocsp(file)
}

fn response_file(files: &CertificateFiles) -> PathBuf {
    files.certificate_file().with_extension("ocsp")
}

fn serving(files: &CertificateFiles, origin: &Origin) -> (Running, Termination) {
    let tls = Termination::builder().certificate(files.clone()).watch_every(Duration::from_millis(5));
    let tls = tls.build().unwrap();
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    let web = Frontend::http("web").listen("127.0.0.1:0").backend(&shop).tls(tls.clone());
    (Running::start(Proxy::builder().frontend(web)), tls)
}

/// The response that a client gets.
fn stapled(proxy: &Running) -> Vec<u8> {
    Client::believing_anybody().response_stapled(&proxy.address("web"), "shop.example")
}

/// What is warned of, without the files' names.
fn warnings(tls: &Termination, files: &CertificateFiles) -> String {
    let all = tls.warnings(SystemTime::now());
    let said: Vec<String> = all.iter().map(|(_, problem)| problem.to_string()).collect();
    said.join("\n").replace(&response_file(files).display().to_string(), "FILE")
}

#[test]
fn responses_that_a_client_would_refuse_are_not_shown() {
    let (authority, stranger, origin) = (Authority::new(), Authority::new(), Origin::named("web1"));
    let files = with_chain(&authority, b"");
    let other = authority.issue(&["other.example"]);
    let good = || Answer::good(&files, &authority);
    let now = SystemTime::now();
    let pem = |der: &[u8]| {
        let text = String::from_utf8(fs::read(authority.file()).unwrap()).unwrap();
        assert!(!der.is_empty());
        text.replace("CERTIFICATE", "OCSP RESPONSE").into_bytes()
    };
    let damaged = || {
        let mut damaged = good().signed();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        damaged
    };
    let signature =
        "the OCSP response in FILE is not passed on: it is not signed by the certificate's issuer";
    let (revocation_time, revocation_reason) = (time(now - HOUR), None);
    for (response, said) in [
        (b"garbage".to_vec(), "the OCSP response in FILE is not passed on: it is not one, or damaged; "),
        (pem(&good().signed()), "the OCSP response in FILE is not passed on: it is in PEM; "),
        (
            good().signed()[..200].to_vec(),
            "the OCSP response in FILE is not passed on: it is not one, or damaged; ",
        ),
        (vec![b'x'; 40_000], "the OCSP response in FILE is not passed on: it has 40000 bytes; "),
        (
            response(OcspResponseStatus::TryLater, None),
            "the OCSP response in FILE is not passed on: it says that the responder had no answer",
        ),
        (
            Answer::good(&other, &authority).signed(),
            "the OCSP response in FILE is not passed on: it is about another certificate; ",
        ),
        (
            Answer { until: Some(now - HOUR / 2), ..good() }.signed(),
            "the OCSP response in FILE is not passed on: it is over since ",
        ),
        (
            Answer { from: now + HOUR, ..good() }.signed(),
            "the OCSP response in FILE is not passed on: it is not valid before ",
        ),
        (
            Answer {
                status: CertStatus::Revoked(RevokedInfo { revocation_time, revocation_reason }),
                ..good()
            }
            .signed(),
            "the OCSP response in FILE is not passed on: it says that the certificate is revoked; ",
        ),
        (
            Answer { status: CertStatus::Unknown(Null), ..good() }.signed(),
            "the OCSP response in FILE is not passed on: it says that the responder does not know the certificate; ",
        ),
        (good().signed_by(stranger.issuer().key(), None), signature),
        (good().signed_by(stranger.issuer().key(), Some(&stranger.certificate())), signature),
        (damaged(), signature),
    ] {
        fs::write(response_file(&files), response).unwrap();
        let (proxy, tls) = serving(&files, &origin);
        let warned = warnings(&tls, &files);
        assert!(warned.starts_with(said) && warned.lines().count() == 1, "{said}: {warned}");
        assert_eq!(stapled(&proxy), b"", "{said}");
        let status = proxy.handle().status().frontends[0].certificates[0].error.clone();
        assert!(status.is_some_and(|error| error.contains("the OCSP response")), "{said}");
    }
}

#[test]
fn responses_of_the_issuer_and_of_its_delegate_are_shown() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let files = with_chain(&authority, b"");
    let good = || Answer::good(&files, &authority);
    let delegate = |usages: Vec<ExtendedKeyUsagePurpose>| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.extended_key_usages = usages;
        let certificate = params.signed_by(&key, authority.issuer()).unwrap();
        good().signed_by(&key, Some(certificate.der()))
    };
    for response in [
        good().signed(),
        Answer { until: None, ..good() }.signed(),
        delegate(vec![ExtendedKeyUsagePurpose::OcspSigning]),
    ] {
        fs::write(response_file(&files), &response).unwrap();
        let (proxy, tls) = serving(&files, &origin);
        assert_eq!(warnings(&tls, &files), "");
        assert!(stapled(&proxy) == response);
    }
    for usages in [vec![], vec![ExtendedKeyUsagePurpose::ServerAuth]] {
        fs::write(response_file(&files), delegate(usages)).unwrap();
        let (proxy, tls) = serving(&files, &origin);
        assert!(warnings(&tls, &files).contains("is not signed by"));
        assert_eq!(stapled(&proxy), b"");
    }
}

#[test]
fn without_the_issuer_a_response_is_shown_unverified_and_it_is_said() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let files = authority.issue(&["shop.example"]);
    let response = Answer::good(&files, &authority).signed();
    fs::write(response_file(&files), &response).unwrap();
    let files = files.clone().ocsp(response_file(&files));
    let (proxy, tls) = serving(&files, &origin);
    let warned = warnings(&tls, &files);
    assert!(warned.starts_with("the OCSP response in FILE is passed on unverified"), "{warned}");
    assert!(stapled(&proxy) == response);
    // The responder may send the issuer's certificate along.
    let response =
        Answer::good(&files, &authority).signed_by(authority.issuer().key(), Some(&authority.certificate()));
    fs::write(response_file(&files), &response).unwrap();
    let (proxy, tls) = serving(&files, &origin);
    assert_eq!(warnings(&tls, &files), "");
    assert!(stapled(&proxy) == response);
}

#[test]
fn a_response_that_is_no_good_leaves_the_one_in_use() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let files = with_chain(&authority, b"");
    let good = || Answer::good(&files, &authority);
    let (first, second) = (good().signed(), Answer { until: None, ..good() }.signed());
    write(&response_file(&files), &first);
    let (proxy, tls) = serving(&files, &origin);
    write(&response_file(&files), b"garbage");
    eventually("it is noticed", || warnings(&tls, &files).contains("is not one, or damaged"));
    assert!(stapled(&proxy) == first);
    write(&response_file(&files), &second);
    eventually("another is taken", || stapled(&proxy) == second);
    assert_eq!(warnings(&tls, &files), "");
    let renewals = "lb_tls_certificate_renewals_total{frontend=\"web\",result=\"success\"}";
    eventually("it is counted", || proxy.metric(renewals) == 1.0);
    let (revocation_time, revocation_reason) = (time(SystemTime::now() - HOUR), None);
    let status = CertStatus::Revoked(RevokedInfo { revocation_time, revocation_reason });
    write(&response_file(&files), &Answer { status, ..good() }.signed());
    eventually("what is revoked is not called good", || stapled(&proxy).is_empty());
}

#[test]
fn a_response_goes_when_it_is_over() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    for is_removed in [false, true] {
        let files = with_chain(&authority, b"");
        let until = SystemTime::now() + Duration::from_secs(2);
        let brief = Answer { until: Some(until), ..Answer::good(&files, &authority) }.signed();
        write(&response_file(&files), &brief);
        let (proxy, tls) = serving(&files, &origin);
        assert!(stapled(&proxy) == brief || SystemTime::now() >= until);
        if is_removed {
            fs::remove_file(response_file(&files)).unwrap();
        }
        eventually("it is over", || stapled(&proxy).is_empty());
        assert!(
            warnings(&tls, &files).contains("the OCSP response in FILE is not passed on: it is over since")
        );
    }
}

/// At once, as whoever renews files should.
fn write(file: &Path, bytes: &[u8]) {
    let beside = file.with_extension("new");
    fs::write(&beside, bytes).unwrap();
    fs::rename(&beside, file).unwrap();
}

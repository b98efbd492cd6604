//! OCSP responses (RFC 6960) that clients get along with a certificate: read, and refused where a client would.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use der::{Decode, Encode};
use x509_ocsp::{BasicOcspResponse, CertId, CertStatus, OcspResponse, OcspResponseStatus, SingleResponse};
use x509_parser::asn1_rs::{Any, BitString};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::verify::verify_signature;
use x509_parser::x509::AlgorithmIdentifier;

use super::chain::signed;
use super::error::OcspProblem;

/// A response is mostly below 2 KiB; one that is much larger would not fit into TLS's own field.
const LARGEST_BYTES: usize = 32 * 1024;

/// How far the responder's clock may be ahead of ours.
const SKEW: Duration = Duration::from_secs(5 * 60);

/// What is known of a response that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Staple {
    /// From then on clients refuse it; `None`: the responder names no time.
    pub(super) until: Option<SystemTime>,
    /// By the key of the certificate's issuer. Without the issuer's certificate nobody can tell but the client.
    pub(super) is_verified: bool,
}

/// Checks that `response` is about the first certificate of `chain`, that it is from its issuer or from whom that has
/// delegated it to, and in time.
pub(super) fn check(
    response: &[u8],
    chain: &[X509Certificate<'_>],
    now: SystemTime,
) -> Result<Staple, OcspProblem> {
    let Some(leaf) = chain.first() else { return Err(OcspProblem::Other) };
    if response.len() > LARGEST_BYTES {
        return Err(OcspProblem::TooLarge(response.len()));
    }
    let bytes = basic(response)?;
    let basic = BasicOcspResponse::from_der(&bytes).map_err(|_| OcspProblem::Malformed)?;
    let parts = Parts::of(&bytes).ok_or(OcspProblem::Malformed)?;
    let embedded: Vec<_> = parts.certificates.iter().filter_map(|der| certificate(der)).collect();
    let issuer = chain.iter().chain(&embedded).find(|candidate| signed(candidate, leaf));
    let single =
        basic.tbs_response_data.responses.iter().find(|single| is_about(&single.cert_id, leaf, issuer));
    let single = single.ok_or(OcspProblem::Other)?;
    if let Some(issuer) = issuer {
        let is_delegated = |responder: &&X509Certificate<'_>| is_delegate(responder, issuer, now);
        let signers = std::iter::once(issuer).chain(embedded.iter().filter(is_delegated));
        if !signers.into_iter().any(|signer| parts.are_signed_by(&basic, signer)) {
            return Err(OcspProblem::Signature);
        }
    }
    match single.cert_status {
        CertStatus::Good(_) => {}
        CertStatus::Revoked(_) => return Err(OcspProblem::Revoked),
        CertStatus::Unknown(_) => return Err(OcspProblem::Unknown),
    }
    Ok(Staple { until: time(single, now)?, is_verified: issuer.is_some() })
}

/// The response proper, out of its envelope.
fn basic(response: &[u8]) -> Result<Vec<u8>, OcspProblem> {
    let response = OcspResponse::from_der(response).map_err(|_| {
        if response.trim_ascii_start().starts_with(b"-----BEGIN") {
            OcspProblem::Pem
        } else {
            OcspProblem::Malformed
        }
    })?;
    if response.response_status != OcspResponseStatus::Successful {
        return Err(OcspProblem::Refusal);
    }
    let body = response.response_bytes.ok_or(OcspProblem::Malformed)?;
    Ok(body.response.into_bytes())
}

/// Until when the answer holds.
fn time(single: &SingleResponse, now: SystemTime) -> Result<Option<SystemTime>, OcspProblem> {
    let at = |time: &x509_ocsp::OcspGeneralizedTime| SystemTime::UNIX_EPOCH + time.0.to_unix_duration();
    let from = at(&single.this_update);
    if now + SKEW < from {
        return Err(OcspProblem::NotYetValid(from));
    }
    match single.next_update.as_ref().map(at) {
        Some(until) if until <= now => Err(OcspProblem::Expired(until)),
        until => Ok(until),
    }
}

/// Whether `id` names the certificate: its number, its issuer's name and, where that is known, its issuer's key
/// (section 4.1.1).
fn is_about(id: &CertId, leaf: &X509Certificate<'_>, issuer: Option<&X509Certificate<'_>>) -> bool {
    let Some(algorithm) = digest_named(&id.hash_algorithm.oid.to_string()) else { return false };
    let is_hash = |hash: &[u8], of: &[u8]| digest::digest(algorithm, of).as_ref() == hash;
    is_same_number(id.serial_number.as_bytes(), leaf.raw_serial())
        && is_hash(id.issuer_name_hash.as_bytes(), leaf.issuer().as_raw())
        && issuer.is_none_or(|issuer| {
            is_hash(id.issuer_key_hash.as_bytes(), &issuer.public_key().subject_public_key.data)
        })
}

/// Most responders still use SHA-1 for names and keys, where nobody gains by a collision.
fn digest_named(oid: &str) -> Option<&'static digest::Algorithm> {
    match oid {
        "1.3.14.3.2.26" => Some(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        "2.16.840.1.101.3.4.2.1" => Some(&digest::SHA256),
        "2.16.840.1.101.3.4.2.2" => Some(&digest::SHA384),
        "2.16.840.1.101.3.4.2.3" => Some(&digest::SHA512),
        _ => None,
    }
}

fn is_same_number(one: &[u8], other: &[u8]) -> bool {
    let significant = |number: &[u8]| number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    one[significant(one)..] == other[significant(other)..]
}

/// Whether the issuer lets `responder` answer for it (section 4.2.2.2).
fn is_delegate(responder: &X509Certificate<'_>, issuer: &X509Certificate<'_>, now: SystemTime) -> bool {
    let now =
        now.duration_since(SystemTime::UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_secs()).ok());
    let validity = responder.validity();
    let is_in_time = now
        .is_some_and(|now| (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now));
    let usage = responder.extended_key_usage().ok().flatten();
    is_in_time && usage.is_some_and(|usage| usage.value.ocsp_signing) && signed(issuer, responder)
}

/// What signatures are made over, as it was received: written again it might be other bytes.
struct Parts<'a> {
    signed: &'a [u8],
    certificates: Vec<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn of(basic: &'a [u8]) -> Option<Self> {
        let parts = elements(basic)?;
        // Section 4.2.1: the data, the algorithm, the signature, and maybe certificates.
        let certificates = match parts.get(3) {
            Some(tagged) => elements(elements(tagged)?.first()?)?,
            None => Vec::new(),
        };
        Some(Self { signed: parts.first()?, certificates })
    }

    fn are_signed_by(&self, basic: &BasicOcspResponse, signer: &X509Certificate<'_>) -> bool {
        let Ok(algorithm) = basic.signature_algorithm.to_der() else { return false };
        let Ok((_, algorithm)) = AlgorithmIdentifier::from_der(&algorithm) else { return false };
        let signature = BitString::new(basic.signature.unused_bits(), basic.signature.raw_bytes());
        verify_signature(signer.public_key(), &algorithm, &signature, self.signed).is_ok()
    }
}

/// The elements of a constructed value, each whole.
fn elements(value: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = Any::from_der(value).ok()?.1.data;
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let (behind, _) = Any::from_der(rest).ok()?;
        elements.push(&rest[..rest.len() - behind.len()]);
        rest = behind;
    }
    Some(elements)
}

fn certificate(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

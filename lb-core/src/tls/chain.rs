//! What stands behind a site's own certificate: each has to be one, and to lead on to the authority.

use std::path::Path;

use rustls_pki_types::CertificateDer;
use x509_parser::error::X509Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::error::TlsProblem;

/// Reads the certificates of a chain, the site's own first. The problems name the first one that is none.
pub(super) fn parse<'a>(
    chain: &'a [CertificateDer<'_>],
    file: &Path,
) -> Result<Vec<X509Certificate<'a>>, TlsProblem> {
    let mut certificates = Vec::with_capacity(chain.len());
    for (at, certificate) in chain.iter().enumerate() {
        let why = match X509Certificate::from_der(certificate) {
            Ok(([], certificate)) => {
                certificates.push(certificate);
                continue;
            }
            Ok(_) => "is followed by other bytes",
            Err(_) => "is no X.509 certificate",
        };
        return Err(TlsProblem::Malformed {
            file: file.to_owned(),
            why: format!("certificate {} {why}", at + 1),
        });
    }
    Ok(certificates)
}

/// Checks that each certificate signed one of those before it. RFC 5246 section 7.4.2 has each sign the very one before;
/// RFC 8446 section 4.4.2 lets an authority's other certificates (cross-signed ones) stand there, too.
pub(super) fn check(chain: &[X509Certificate<'_>], file: &Path) -> Result<(), TlsProblem> {
    for (at, certificate) in chain.iter().enumerate().skip(1) {
        let (before, behind) = (&chain[..at], &chain[at + 1..]);
        let has_signed = before.iter().rev().any(|other| signed(certificate, other));
        if has_signed && may_sign(certificate) {
            continue;
        }
        let (file, place) = (file.to_owned(), at + 1);
        let subject = certificate.subject().to_string();
        if has_signed {
            return Err(TlsProblem::ChainAuthority { file, place, subject });
        }
        return Err(match behind.iter().position(|other| signed(certificate, other)) {
            Some(next) => TlsProblem::ChainOrder { file, place, subject, signed: place + next + 1 },
            None => TlsProblem::ChainStray { file, place, subject },
        });
    }
    Ok(())
}

/// RFC 5280 section 4.2.1.9: an authority's certificate says so. One that signed itself is nobody's intermediate, and
/// clients go by their own copy of it.
fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    let is_own = certificate.subject().as_raw() == certificate.issuer().as_raw();
    is_own || matches!(certificate.basic_constraints(), Ok(Some(constraints)) if constraints.value.ca)
}

/// Whether the key of `signer` signed `certificate`. Where the kind of signature is not known here, names decide.
pub(super) fn signed(signer: &X509Certificate<'_>, certificate: &X509Certificate<'_>) -> bool {
    match certificate.verify_signature(Some(signer.public_key())) {
        Ok(()) => true,
        Err(X509Error::SignatureUnsupportedAlgorithm) => {
            signer.subject().as_raw() == certificate.issuer().as_raw()
        }
        Err(_) => false,
    }
}

/// Which of the certificates behind the site's own ends first, and when (in seconds since 1970). One that signed itself
/// does not count: clients have it or they don't.
pub(super) fn first_end(chain: &[X509Certificate<'_>]) -> Option<(String, i64)> {
    let links = chain.iter().skip(1).filter(|link| link.subject().as_raw() != link.issuer().as_raw());
    let first = links.min_by_key(|link| link.validity().not_after.timestamp())?;
    Some((first.subject().to_string(), first.validity().not_after.timestamp()))
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
    };

    use crate::tls::certificate::{Certificate as Loaded, CertificateFiles};

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    fn issuer(name: &str) -> (Issuer<'static, KeyPair>, Certificate) {
        let (params, key) = (params(name), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        (Issuer::new(params, key), certificate)
    }

    /// What loading these certificates with the leaf's key comes to.
    fn load(chain: &[&str], key: &KeyPair) -> Result<Loaded, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("site.pem");
        std::fs::write(&file, chain.concat() + &key.serialize_pem()).unwrap();
        let now = std::time::SystemTime::now();
        Loaded::load(CertificateFiles::new(&file, &file), now)
            .map_err(|problem| problem.to_string().replace(&file.display().to_string(), "FILE"))
    }

    #[test]
    fn each_certificate_of_a_chain_leads_on() {
        let (root_issuer, root_certificate) = issuer("root");
        let (other_root, _) = issuer("other root");
        let middle_key = KeyPair::generate().unwrap();
        let mut middle = params("middle");
        middle.not_after = date_time_ymd(2030, 6, 1);
        let cross = middle.signed_by(&middle_key, &other_root).unwrap().pem();
        let middle_pem = middle.signed_by(&middle_key, &root_issuer).unwrap().pem();
        let middle = Issuer::new(middle, middle_key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["shop.example".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &middle).unwrap().pem();
        let (_, stray) = issuer("stray");
        let (stray, root, middle) = (stray.pem(), root_certificate.pem(), middle_pem);
        let mut server = params("server");
        server.is_ca = IsCa::ExplicitNoCa;
        let server_key = KeyPair::generate().unwrap();
        let server_pem = server.signed_by(&server_key, &root_issuer).unwrap().pem();
        let beneath = CertificateParams::new(vec!["shop.example".to_owned()]).unwrap();
        let beneath = beneath.signed_by(&key, &Issuer::new(server, server_key)).unwrap().pem();
        let nonsense = "-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n";
        let (leaf, root, middle, cross) = (&*leaf, &*root, &*middle, &*cross);
        for chain in [
            &[leaf][..],
            &[leaf, middle],
            &[leaf, middle, root],
            &[leaf, middle, cross],
            &[leaf, cross, middle, root],
        ] {
            assert!(load(chain, &key).is_ok());
        }
        let is_stray = |place, subject| {
            format!(
                "certificate {place} in FILE (CN={subject}) signed none of those before it; remove it, or put the \
                 issuer's certificate in its place"
            )
        };
        for (chain, said) in [
            (
                &[leaf, root, middle][..],
                "certificate 2 in FILE (CN=root) stands before certificate 3, which it signed; put each behind the one \
                 that it signed, the site's own first"
                    .to_owned(),
            ),
            (
                &[&*beneath, &*server_pem],
                "certificate 2 in FILE (CN=server) signed another and is not marked as an authority's (CA:TRUE), so that \
                 every client refuses the chain; have the site's certificate issued by an authority"
                    .to_owned(),
            ),
            (&[leaf, &stray], is_stray(2, "stray")),
            (&[leaf, root], is_stray(2, "root")),
            (&[leaf, middle, &stray], is_stray(3, "stray")),
            (
                &[middle, leaf],
                "the key in FILE is that of certificate 2 in FILE; put that one first, then those that lead to its \
                 authority"
                    .to_owned(),
            ),
        ] {
            assert_eq!(load(chain, &key).unwrap_err(), said);
        }
        let said = load(&[leaf, nonsense], &key).unwrap_err();
        assert!(said.starts_with("FILE is damaged: certificate 2 is no X.509 certificate; "), "{said}");
        let other_key = load(&[leaf, middle], &KeyPair::generate().unwrap()).unwrap_err();
        assert!(other_key.contains("is not that of the certificate"), "{other_key}");
    }

    #[test]
    fn a_chain_that_ends_before_the_certificate_is_warned_of() {
        let (root, _) = issuer("root");
        let (middle_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut middle = params("middle");
        (middle.not_before, middle.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 6, 1));
        let middle_pem = middle.signed_by(&middle_key, &root).unwrap().pem();
        let leaf = CertificateParams::new(vec!["shop.example".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &Issuer::new(middle, middle_key)).unwrap().pem();
        let loaded = load(&[&leaf, &middle_pem], &key).unwrap();
        let warnings: Vec<String> =
            loaded.warnings(std::time::SystemTime::now()).map(|problem| problem.to_string()).collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].contains("is good until 2020-06-01 only: that of CN=middle ends then"),
            "{warnings:?}"
        );
    }
}

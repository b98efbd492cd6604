//! `[frontend.NAME.tls]` and `[backend.NAME.tls]` to [`crate::tls`].

use std::path::Path;

use crate::config::diagnostics::{At, Place, Problems};
use crate::config::schema::{BackendTls, CertificateSource, ClientAuth, Files, FrontendTls, Version};
use crate::http::edits::HeaderEdits;
use crate::proxy::HttpFrontend;
use crate::tls::{
    CertificateFiles, ClientCertificates, MinVersion, Origination, SkipVerification, Termination, TlsError,
    TlsPart, TlsProblem,
};

/// Reads a frontend's certificates; what is wrong with them is noted where they are named.
pub(super) fn termination<'s>(
    tls: &At<FrontendTls>,
    directory: impl Fn(Place) -> &'s Path,
    problems: &Problems,
) -> Option<Termination> {
    let mut builder = Termination::builder().min_version(match tls.min_version {
        Version::Tls12 => MinVersion::Tls12,
        Version::Tls13 => MinVersion::Tls13,
    });
    for source in &tls.certificates.0 {
        let directory = directory(source.place);
        builder = match &source.value {
            CertificateSource::Files(files) => builder.certificate(certificate(files, directory)),
            CertificateSource::Directory(path) => builder.directory(directory.join(path)),
        };
    }
    if let Some(file) = &tls.client_ca {
        let file_path = directory(file.place).join(&file.value);
        builder = builder.clients(match tls.client_auth.as_ref().map(|at| at.value).unwrap_or_default() {
            ClientAuth::Required => ClientCertificates::required(file_path),
            ClientAuth::Optional => ClientCertificates::optional(file_path),
        });
    }
    let place = |part: TlsPart| match part {
        TlsPart::Certificate(index) => tls.certificates.0.get(index).map_or(tls.place, |source| source.place),
        TlsPart::Authorities => tls.client_ca.as_ref().map_or(tls.place, |at| at.place),
        _ => tls.place,
    };
    match builder.build() {
        Ok(termination) => {
            for (part, warning) in termination.told_warnings() {
                odd(place(part), &warning, problems);
            }
            Some(termination)
        }
        Err(error) => {
            for (part, problem) in error.problems() {
                // That there is none is said where they should be.
                if !matches!(problem, TlsProblem::None) {
                    problems.outside(place(*part), problem);
                }
            }
            None
        }
    }
}

/// Likewise of a frontend in mode tcp, which has no fields to tell servers anything in.
pub(super) fn tcp_termination<'s>(
    tls: &At<FrontendTls>,
    directory: impl Fn(Place) -> &'s Path,
    problems: &Problems,
) -> Option<Termination> {
    if let Some(header) = &tls.client_subject_header {
        let what = "`client_subject_header` in mode tcp: there is no header to write it in";
        problems.wrong(header.place, what, "remove it");
    }
    termination(tls, directory, problems)
}

/// Reads what TLS to a backend's servers needs.
pub(super) fn origination<'s>(
    tls: &At<BackendTls>,
    directory: impl Fn(Place) -> &'s Path,
    problems: &Problems,
) -> Option<Origination> {
    let mut builder = Origination::builder();
    if let Some(ca) = &tls.ca {
        builder = builder.authorities(directory(ca.place).join(&ca.value));
    }
    if let Some(name) = &tls.server_name {
        builder = builder.server_name(name.value.as_str());
    }
    if let Some(client) = &tls.client {
        builder = builder.certificate(certificate(client, directory(client.cert.place)));
    }
    if tls.insecure_skip_verify {
        builder = builder.dangerous(SkipVerification::i_accept_any_certificate());
    }
    let place = |part: TlsPart| match part {
        TlsPart::Authorities => tls.ca.as_ref().map(|at| at.place),
        TlsPart::ServerName => tls.server_name.as_ref().map(|at| at.place),
        TlsPart::ClientCertificate => tls.client.as_ref().map(|at| at.place),
        _ => None,
    };
    let refused = |error: TlsError| {
        for (part, problem) in error.problems() {
            problems.outside(place(*part).unwrap_or(tls.place), problem);
        }
    };
    let origination = builder.build().map_err(refused).ok()?;
    for (part, warning) in origination.told_warnings() {
        odd(place(part).unwrap_or(tls.place), &warning, problems);
    }
    Some(origination)
}

/// Hands clients' subjects on, in a field that the proxy may write.
pub(super) fn subject_header(http: HttpFrontend, tls: &FrontendTls, problems: &Problems) -> HttpFrontend {
    let Some(name) = &tls.client_subject_header else { return http };
    if let Err(error) = HeaderEdits::new().set(name.text.as_str(), "CN=client") {
        problems.said(name.place, error);
    }
    http.client_subject_header(name.value.value.clone())
}

fn certificate(files: &Files, directory: &Path) -> CertificateFiles {
    let built = CertificateFiles::new(directory.join(&files.cert.value), directory.join(&files.key.value));
    match &files.ocsp {
        Some(ocsp) => built.ocsp(directory.join(&ocsp.value)),
        None => built,
    }
}

fn odd(place: Place, warning: &TlsProblem, problems: &Problems) {
    let message = warning.to_string();
    let (what, remedy) = message.split_once("; ").unwrap_or((&message, "correct it"));
    problems.odd(place, what, remedy);
}

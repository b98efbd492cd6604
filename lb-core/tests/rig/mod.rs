//! Certificates, and clients of TLS that read strictly: the close of a connection counts only with its notice.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a rig that fails fails its test")]

use std::io::{self, Read};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use lb_core::testkit::{PATIENCE, Wire};
use lb_core::tls::CertificateFiles;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, RootCertStore,
    ServerConfig, ServerConnection, SignatureScheme, StreamOwned,
};

/// A certificate authority with a directory for what it issues.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    directory: tempfile::TempDir,
    issued: AtomicUsize,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        let certificate = certificate.der().clone();
        Self { issuer: Issuer::new(params, key), certificate, directory, issued: AtomicUsize::new(0) }
    }

    /// Its own certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// An ECDSA certificate for these names, the first of which is its subject too.
    pub(crate) fn issue(&self, names: &[&str]) -> CertificateFiles {
        self.issue_to(&self.stem(), names, &KeyPair::generate().unwrap(), |_| {})
    }

    /// Likewise RSA.
    pub(crate) fn issue_rsa(&self, names: &[&str]) -> CertificateFiles {
        let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        self.issue_to(&self.stem(), names, &key, |_| {})
    }

    /// A new certificate in `STEM.pem` and `STEM.key`.
    pub(crate) fn issue_to(
        &self,
        stem: &Path,
        names: &[&str],
        key: &KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateFiles {
        let mut params =
            CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, names[0]);
        change(&mut params);
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        let (pem, key_file) = (stem.with_extension("pem"), stem.with_extension("key"));
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        std::fs::write(&pem, certificate.pem()).unwrap();
        CertificateFiles::new(pem, key_file)
    }

    /// A directory of certificates, each of a name.
    pub(crate) fn directory(&self, certificates: &[(&str, &str)]) -> PathBuf {
        let directory = self.directory.path().join("all");
        std::fs::create_dir(&directory).unwrap();
        for (stem, name) in certificates {
            self.issue_to(&directory.join(stem), &[name], &KeyPair::generate().unwrap(), |_| {});
        }
        directory
    }

    /// A certificate that signed itself for these names, marked as an authority's, as `openssl req -x509` does.
    pub(crate) fn self_signed(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateFiles {
        let (stem, key) = (self.stem(), KeyPair::generate().unwrap());
        let mut params =
            CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let (pem, key_file) = (stem.with_extension("pem"), stem.with_extension("key"));
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        std::fs::write(&pem, params.self_signed(&key).unwrap().pem()).unwrap();
        CertificateFiles::new(pem, key_file)
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// Its certificate in DER.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.certificate.to_vec()
    }

    fn stem(&self) -> PathBuf {
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        self.directory.path().join(format!("issued{number}"))
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        roots
    }
}

/// The TLS of an origin.
#[derive(Clone)]
pub(crate) struct Server(Arc<ServerConfig>);

impl Server {
    /// Shows this certificate and asks for none.
    pub(crate) fn showing(files: &CertificateFiles) -> Self {
        Self::new(files, None)
    }

    /// Likewise, and asks clients for certificates that `authority` signed.
    pub(crate) fn asking(files: &CertificateFiles, authority: &Authority) -> Self {
        Self::new(files, Some(authority))
    }

    fn new(files: &CertificateFiles, clients: Option<&Authority>) -> Self {
        let (chain, key) = pair(files);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            Some(clients) => {
                let roots = Arc::new(clients.roots());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
            None => builder.with_no_client_auth(),
        };
        Self(Arc::new(builder.with_single_cert(chain, key).unwrap()))
    }

    /// As rustls has it, agreeing on `protocol` by ALPN.
    pub(crate) fn config(&self, protocol: &str) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.0);
        config.alpn_protocols = vec![protocol.into()];
        Arc::new(config)
    }

    /// Shakes hands on an origin's connection and puts TLS on it; what came of it, or `None`: the client went.
    pub(crate) fn accept(&self, wire: &mut Wire) -> Option<Shaken> {
        let mut socket = wire.socket();
        let mut connection = ServerConnection::new(Arc::clone(&self.0)).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).ok()?;
        }
        let shaken = Shaken {
            name: connection.server_name().map(str::to_owned),
            is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            has_certificate: connection.peer_certificates().is_some(),
        };
        wire.put_on(StreamOwned::new(connection, socket));
        Some(shaken)
    }
}

/// What a server learns from a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shaken {
    pub(crate) name: Option<String>,
    pub(crate) is_resumed: bool,
    pub(crate) has_certificate: bool,
}

fn pair(files: &CertificateFiles) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_file_iter(files.certificate_file()).unwrap();
    (chain.collect::<Result<_, _>>().unwrap(), PrivateKeyDer::from_pem_file(files.key_file()).unwrap())
}

/// A client of TLS; clones share its sessions.
#[derive(Clone)]
pub(crate) struct Client {
    config: ClientConfig,
    roots: Option<RootCertStore>,
    provider: CryptoProvider,
    is_tls12: bool,
}

pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

impl Client {
    pub(crate) fn trusting(authority: &Authority) -> Self {
        Self::new(Some(authority.roots()))
    }

    /// Trusts the authorities in a PEM file.
    pub(crate) fn trusting_file(file: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(file).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        Self::new(Some(roots))
    }

    pub(crate) fn believing_anybody() -> Self {
        Self::new(None)
    }

    fn new(roots: Option<RootCertStore>) -> Self {
        let provider = aws_lc_rs::default_provider();
        let config = config(&provider, roots.as_ref(), false);
        Self { config, roots, provider, is_tls12: false }
    }

    pub(crate) fn tls12(mut self) -> Self {
        self.is_tls12 = true;
        self.rebuilt()
    }

    /// Knows RSA alone.
    pub(crate) fn without_ecdsa(mut self) -> Self {
        self.provider.cipher_suites.retain(|suite| {
            !matches!(
                suite.suite(),
                CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                    | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
                    | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            )
        });
        if !self.is_tls12 {
            // In TLS 1.3 the signature schemes alone say it; the chain is not verified by them here.
            self.roots = None;
        }
        self.rebuilt_without_ecdsa()
    }

    pub(crate) fn protocol(mut self, protocol: &str) -> Self {
        self.config.alpn_protocols = vec![protocol.into()];
        self
    }

    pub(crate) fn showing(mut self, files: &CertificateFiles) -> Self {
        let (chain, key) = pair(files);
        let builder = ClientConfig::builder_with_provider(Arc::new(self.provider.clone()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(self.roots.clone().unwrap());
        self.config = builder.with_client_auth_cert(chain, key).unwrap();
        self
    }

    fn rebuilt(mut self) -> Self {
        self.config = config(&self.provider, self.roots.as_ref(), self.is_tls12);
        self
    }

    fn rebuilt_without_ecdsa(mut self) -> Self {
        let builder = builder(&self.provider, self.is_tls12);
        let verifier = Arc::new(Anybody { with_ecdsa: false, response: Mutex::default() });
        self.config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        self.config.alpn_protocols = vec!["http/1.1".into()];
        self
    }

    /// As rustls has it.
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::new(self.config.clone())
    }

    /// The OCSP response that the server shows along with its certificate; empty without one.
    pub(crate) fn response_stapled(mut self, address: &str, name: &str) -> Vec<u8> {
        let seen = Arc::new(Anybody { with_ecdsa: true, response: Mutex::default() });
        self.config.dangerous().set_certificate_verifier(Arc::clone(&seen) as _);
        self.connect(address, name);
        seen.response.lock().unwrap().clone()
    }

    /// Shakes hands over a stream of the event loop.
    pub(crate) async fn shake_hands(
        &self,
        stream: tokio::net::TcpStream,
        name: &'static str,
    ) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
        let name = ServerName::try_from(name).unwrap();
        tokio_rustls::TlsConnector::from(self.config()).connect(name, stream).await.unwrap()
    }

    /// Connects and shakes hands.
    pub(crate) fn connect(&self, address: &str, name: &str) -> Stream {
        self.try_connect(address, name).unwrap()
    }

    pub(crate) fn try_connect(&self, address: &str, name: &str) -> io::Result<Stream> {
        self.over(TcpStream::connect(address)?, name)
    }

    /// Shakes hands on a connection.
    pub(crate) fn over(&self, socket: TcpStream, name: &str) -> io::Result<Stream> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(self.config(), name).unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }
}

fn builder(
    provider: &CryptoProvider,
    is_tls12: bool,
) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let versions: &[_] = if is_tls12 {
        &[&rustls::version::TLS12]
    } else {
        &[&rustls::version::TLS13, &rustls::version::TLS12]
    };
    ClientConfig::builder_with_provider(Arc::new(provider.clone())).with_protocol_versions(versions).unwrap()
}

fn config(provider: &CryptoProvider, roots: Option<&RootCertStore>, is_tls12: bool) -> ClientConfig {
    let builder = builder(provider, is_tls12);
    let mut config = match roots {
        Some(roots) => builder.with_root_certificates(roots.clone()).with_no_client_auth(),
        None => {
            let verifier = Arc::new(Anybody { with_ecdsa: true, response: Mutex::default() });
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec!["http/1.1".into()];
    config
}

/// Believes anybody, by the signatures it knows.
#[derive(Debug)]
struct Anybody {
    with_ecdsa: bool,
    /// The OCSP response that came with the certificate.
    response: Mutex<Vec<u8>>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        response: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.response.lock().unwrap() = response.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = vec![SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256];
        if self.with_ecdsa {
            schemes.insert(0, SignatureScheme::ECDSA_NISTP256_SHA256);
        }
        schemes
    }
}

fn leaf(client: &Stream) -> Vec<u8> {
    client.conn.peer_certificates().unwrap()[0].to_vec()
}

/// The DNS names of the certificate that the proxy showed.
pub(crate) fn names_shown(client: &Stream) -> Vec<String> {
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
    let leaf = leaf(client);
    let (_, certificate) = X509Certificate::from_der(&leaf).unwrap();
    let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    };
    names.iter().filter_map(dns).collect()
}

/// `ecdsa` or `rsa`.
pub(crate) fn kind_shown(client: &Stream) -> &'static str {
    use x509_parser::prelude::{FromDer, X509Certificate};
    use x509_parser::public_key::PublicKey;
    let leaf = leaf(client);
    let (_, certificate) = X509Certificate::from_der(&leaf).unwrap();
    match certificate.public_key().parsed().unwrap() {
        PublicKey::EC(_) => "ecdsa",
        PublicKey::RSA(_) => "rsa",
        _ => "other",
    }
}

/// A wire of the testkit through this TLS.
pub(crate) fn wire(client: Stream) -> Wire {
    let mut wire = Wire::from(client.sock.try_clone().unwrap());
    wire.put_on(client);
    wire
}

/// Whether the server ends the connection for the certificate that was shown or was not: in TLS 1.3 the client
/// learns it with its first read.
pub(crate) fn is_refused(mut client: Stream) -> bool {
    client.read(&mut [0]).is_err()
}

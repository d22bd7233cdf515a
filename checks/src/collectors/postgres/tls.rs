//! TLS to PostgreSQL: libpq's `sslmode`s by a verifier of our own.
//!
//! The web's rules are stricter than libpq's: they know no names outside of subjectAltName and no version 1
//! certificates, both of which PostgreSQL's own documentation makes, and take no authority's certificate for a server.
//! What differs is decided here, everything else by rustls.

use std::io;
use std::sync::{Arc, Mutex};

use bundle::collected::postgres::{Reason, Tls as TlsFacts};
use jiff::Timestamp;
use sha2::{Digest, Sha256, Sha384, Sha512};
use syntax::postgres::SslMode;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
    verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error,
    InconsistentKeys, RootCertStore, SignatureScheme,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Version};

use crate::collector::locked;

/// What ALPN calls the protocol, for TLS that begins without asking.
const ALPN: &[u8] = b"postgresql";

/// Certificates and keys that go with a connection string.
#[derive(Default)]
pub(super) struct Materials {
    /// The authorities; the system's where there are none.
    roots: Vec<CertificateDer<'static>>,
    /// The client's certificate and key.
    client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Materials {
    /// Reads PEM texts; an empty one is none. The error names the text, never what is in it.
    pub(super) fn read(roots: &[u8], certificate: &[u8], key: &[u8]) -> Result<Self, String> {
        let client = match (certificate.is_empty(), key.is_empty()) {
            (true, true) => None,
            (false, false) => {
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
                    "the client's key is no PEM private key without a passphrase (PKCS#8, PKCS#1 or SEC1)"
                })?;
                Some((certificates(certificate, "the client's certificate")?, key))
            }
            (false, true) => {
                return Err("the client's certificate comes without its key".to_owned());
            }
            (true, false) => {
                return Err("the client's key comes without its certificate".to_owned());
            }
        };
        let roots = if roots.is_empty() {
            Vec::new()
        } else {
            certificates(roots, "the authority's certificate")?
        };
        Ok(Self { roots, client })
    }

    /// Whether authorities were given.
    pub(super) fn has_roots(&self) -> bool {
        !self.roots.is_empty()
    }
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(read) if !read.is_empty() => Ok(read),
        _ => Err(format!("{what} holds no PEM certificate that can be read")),
    }
}

/// How to speak TLS with one host.
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    verifier: Arc<Verifier>,
}

/// A TLS session with what is told of it.
pub(super) struct Secured {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) facts: TlsFacts,
    /// `tls-server-end-point` (RFC 5929), where the certificate's signature has a hash.
    pub(super) binding: Option<Vec<u8>>,
}

impl Tls {
    /// Prepares for `host`.
    pub(super) fn new(
        materials: &Materials,
        mode: SslMode,
        host: &str,
        direct: bool,
    ) -> Result<Self, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verify = match mode {
            SslMode::VerifyFull => Verify::AuthorityAndName,
            SslMode::VerifyCa => Verify::Authority,
            _ => Verify::Nothing,
        };
        let roots = match verify {
            Verify::Nothing => Vec::new(),
            _ if materials.has_roots() => materials.roots.clone(),
            _ => system_roots(),
        };
        let verifier = Arc::new(Verifier::new(verify, roots, &provider));
        let name = ServerName::try_from(host.to_owned());
        let has_name = name.is_ok();
        // A name that TLS cannot carry is refused where it counts, by the verifier.
        let name = match name {
            Ok(name) => name,
            Err(_) if verify == Verify::AuthorityAndName => {
                return Err(format!("{host:?} is no name that a certificate can hold"));
            }
            Err(_) => ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()),
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>);
        let mut config = match &materials.client {
            Some((chain, key)) => {
                let key = provider
                    .key_provider
                    .load_private_key(key.clone_key())
                    .map_err(|_| "the client's key is of a kind that cannot be used".to_owned())?;
                let certified = CertifiedKey::new(chain.clone(), key);
                // A certificate of version 1 cannot be compared, and may be right all the same.
                if certified.keys_match()
                    == Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch))
                {
                    return Err("the client's key does not fit its certificate".to_owned());
                }
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
            None => builder.with_no_client_auth(),
        };
        config.enable_sni = has_name;
        if direct {
            config.alpn_protocols = vec![ALPN.to_vec()];
        }
        Ok(Self {
            config: Arc::new(config),
            name,
            verifier,
        })
    }

    /// The handshake.
    pub(super) async fn handshake(&self, stream: TcpStream) -> Result<Secured, (Reason, String)> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = connector.connect(self.name.clone(), stream).await;
        let seen = locked(&self.verifier.seen).take();
        let seen = seen
            .as_ref()
            .and_then(|der| X509Certificate::from_der(der).ok());
        let certificate = seen.map(|(_, certificate)| certificate);
        let stream = stream.map_err(|error| explain(&error, certificate.as_ref()))?;
        let (_, session) = stream.get_ref();
        let mut facts = TlsFacts {
            version: match session.protocol_version() {
                Some(version) => format!("{version:?}").replace("_", "."),
                None => String::new(),
            },
            verified: self.verifier.verify.phrase().to_owned(),
            ..TlsFacts::default()
        };
        let mut binding = None;
        if let Some(certificate) = &certificate {
            facts.subject = certificate.subject().to_string();
            facts.issuer = certificate.issuer().to_string();
            facts.not_after = time(certificate.validity().not_after.timestamp());
            let der = session.peer_certificates().and_then(<[_]>::first);
            binding = der.and_then(|der| end_point(certificate, der));
        }
        Ok(Secured {
            stream,
            facts,
            binding,
        })
    }
}

/// The system's authorities, or, where the machine has none, Mozilla's.
fn system_roots() -> Vec<CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec()
    } else {
        found
    }
}

fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// The hash of the certificate by its signature's own hash, or by SHA-256 where that is weaker.
fn end_point(certificate: &X509Certificate<'_>, der: &[u8]) -> Option<Vec<u8>> {
    let signature = certificate.signature_algorithm.algorithm.to_id_string();
    Some(match signature.as_str() {
        // RSA and ECDSA with MD5, SHA-1 and SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => Sha256::digest(der).to_vec(),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Sha384::digest(der).to_vec(),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Sha512::digest(der).to_vec(),
        _ => return None,
    })
}

/// What a failed handshake means.
fn explain(error: &io::Error, certificate: Option<&X509Certificate<'_>>) -> (Reason, String) {
    let tls = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<Error>());
    let subject = certificate.map_or_else(
        || "its".to_owned(),
        |it| format!("its certificate ({}):", it.subject()),
    );
    let validity = certificate.map(|it| it.validity());
    match tls {
        Some(Error::InvalidCertificate(problem)) => match problem {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                let end = validity.map(|it| time(it.not_after.timestamp())).unwrap_or_default();
                (Reason::TlsExpired, format!("{subject} it expired at {end}"))
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                let start = validity.map(|it| time(it.not_before.timestamp())).unwrap_or_default();
                (Reason::TlsNotYetValid, format!("{subject} it is not valid before {start}"))
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                let names = certificate.map(names).unwrap_or_default();
                let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
                (Reason::TlsNameMismatch, format!("{subject} it is for {names}"))
            }
            CertificateError::UnknownIssuer => {
                let issuer = certificate.map(|it| it.issuer().to_string()).unwrap_or_default();
                let text = format!("{subject} its issuer ({issuer}) is not among the trusted authorities");
                (Reason::TlsUntrusted, text)
            }
            // Another one of the same name, as those of a cluster that was made anew.
            CertificateError::BadSignature => {
                let text = format!("{subject} its issuer has the name of a trusted authority, and another key");
                (Reason::TlsUntrusted, text)
            }
            other => (Reason::TlsFailed, format!("{subject} {other}")),
        },
        Some(Error::AlertReceived(
            AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity,
        )
        | Error::PeerIncompatible(_)) => (
            Reason::TlsUnsupported,
            "it has no protocol version or cipher in common with this tool, which speaks TLS 1.2 and 1.3".to_owned(),
        ),
        Some(Error::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::UnknownCA | AlertDescription::BadCertificate,
        )) => (
            Reason::ClientCertificateRequired,
            format!("it does not accept the client's certificate or its absence: {error}"),
        ),
        Some(Error::InvalidMessage(_)) => (Reason::NotPostgres, "what it sent is no TLS".to_owned()),
        _ if error.kind() == io::ErrorKind::UnexpectedEof => {
            (Reason::ClosedByServer, "it closed the connection during the TLS handshake".to_owned())
        }
        _ => (Reason::TlsFailed, format!("the TLS handshake failed: {error}")),
    }
}

/// The names that a certificate is for: those of subjectAltName, or where it has none the common name.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut names = Vec::new();
    if let Ok(Some(extension)) = certificate.subject_alternative_name() {
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => names.extend(address(bytes)),
                _ => {}
            }
        }
    }
    if names.is_empty() {
        let common = certificate.subject().iter_common_name();
        names.extend(
            common
                .filter_map(|name| name.as_str().ok())
                .map(str::to_owned),
        );
    }
    names
}

fn address(bytes: &[u8]) -> Option<String> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes)
            .ok()
            .map(|it| std::net::Ipv4Addr::from(it).to_string()),
        16 => <[u8; 16]>::try_from(bytes)
            .ok()
            .map(|it| std::net::Ipv6Addr::from(it).to_string()),
        _ => None,
    }
}

/// What is asked of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verify {
    Nothing,
    Authority,
    AuthorityAndName,
}

impl Verify {
    fn phrase(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Authority => "authority",
            Self::AuthorityAndName => "authority and name",
        }
    }
}

#[derive(Debug)]
struct Verifier {
    verify: Verify,
    roots: Vec<CertificateDer<'static>>,
    store: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
    /// The last certificate, for messages.
    seen: Mutex<Option<CertificateDer<'static>>>,
}

impl Verifier {
    fn new(verify: Verify, roots: Vec<CertificateDer<'static>>, provider: &CryptoProvider) -> Self {
        let mut store = RootCertStore::empty();
        // What webpki does not take (version 1) is tried by hand.
        store.add_parsable_certificates(roots.iter().cloned());
        Self {
            verify,
            roots,
            store,
            algorithms: provider.signature_verification_algorithms,
            seen: Mutex::new(None),
        }
    }

    fn trusted(
        &self,
        der: &CertificateDer<'_>,
        certificate: &X509Certificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        // A server that shows a certificate that was itself given as trusted, as self-signed ones are: it may say
        // of itself that it is an authority.
        if self.roots.iter().any(|root| root.as_ref() == der.as_ref()) {
            return valid(certificate, now);
        }
        if certificate.version() != X509Version::V1 && !certificate.is_ca() {
            let parsed = ParsedCertificate::try_from(der)?;
            let roots = &self.store;
            return verify_server_cert_signed_by_trust_anchor(
                &parsed,
                roots,
                intermediates,
                now,
                self.algorithms.all,
            );
        }
        // Version 1, or one that may sign others, as PostgreSQL takes both: signed by one of the authorities itself.
        let is_issuer = |root: &CertificateDer<'_>| {
            X509Certificate::from_der(root).is_ok_and(|(_, root)| {
                let key = &root.public_key().subject_public_key.data;
                root.subject().as_raw() == certificate.issuer().as_raw()
                    && valid(&root, now).is_ok()
                    && self.algorithms.all.iter().any(|algorithm| {
                        let message = certificate.tbs_certificate.as_ref();
                        let signature = &certificate.signature_value.data;
                        algorithm.verify_signature(key, message, signature).is_ok()
                    })
            })
        };
        if self.roots.iter().any(is_issuer) {
            valid(certificate, now)
        } else {
            Err(CertificateError::UnknownIssuer.into())
        }
    }

    fn named(
        &self,
        der: &CertificateDer<'_>,
        certificate: &X509Certificate<'_>,
        name: &ServerName<'_>,
    ) -> Result<(), Error> {
        let has_other_names = matches!(certificate.subject_alternative_name(), Ok(Some(_)));
        if has_other_names {
            return verify_server_name(&ParsedCertificate::try_from(der)?, name);
        }
        let wanted = name.to_str();
        if names(certificate)
            .iter()
            .any(|common| is_for(common, &wanted))
        {
            Ok(())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }
}

/// Whether now is within the certificate's time.
fn valid(certificate: &X509Certificate<'_>, now: UnixTime) -> Result<(), Error> {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = certificate.validity();
    if now > validity.not_after.timestamp() {
        Err(CertificateError::Expired.into())
    } else if now < validity.not_before.timestamp() {
        Err(CertificateError::NotValidYet.into())
    } else {
        Ok(())
    }
}

/// Whether a common name is that of the host; `*.` at its beginning stands for one label.
fn is_for(common: &str, host: &str) -> bool {
    if common.eq_ignore_ascii_case(host) {
        return true;
    }
    let (Some(domain), Some((label, rest))) = (common.strip_prefix("*."), host.split_once('.'))
    else {
        return false;
    };
    !label.is_empty() && domain.contains('.') && domain.eq_ignore_ascii_case(rest)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *locked(&self.seen) = Some(end_entity.clone().into_owned());
        if self.verify != Verify::Nothing {
            let (_, certificate) =
                X509Certificate::from_der(end_entity).map_err(|_| CertificateError::BadEncoding)?;
            self.trusted(end_entity, &certificate, intermediates, now)?;
            if self.verify == Verify::AuthorityAndName {
                self.named(end_entity, &certificate, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
            .or_else(|error| self.by_key(message, certificate, signed).ok_or(error))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
            .or_else(|error| self.by_key(message, certificate, signed).ok_or(error))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl Verifier {
    /// The handshake's signature by the key in a certificate that webpki does not take.
    fn by_key(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Option<HandshakeSignatureValid> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        if certificate.version() != X509Version::V1 {
            return None;
        }
        let key = &certificate.public_key().subject_public_key.data;
        let row = self
            .algorithms
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == signed.scheme)?;
        let fits = row.1.iter().any(|algorithm| {
            algorithm
                .verify_signature(key, message, signed.signature())
                .is_ok()
        });
        fits.then(HandshakeSignatureValid::assertion)
    }
}

//! TLS to PostgreSQL: libpq's `sslmode`s by a verifier of our own.
//!
//! The web's rules are stricter than libpq's: they know no names outside of subjectAltName and no version 1
//! certificates, both of which PostgreSQL's own documentation makes, and take no authority's certificate for a server.
//! What differs is decided here, everything else by rustls.

use std::io;
use std::sync::Arc;

use bundle::collected::postgres::{Reason, Tls as TlsFacts};
use sha2::{Digest, Sha256, Sha384, Sha512};
use syntax::postgres::SslMode;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, InconsistentKeys,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::verifier::{Verifier, Verify};
use crate::certificate::{certificates, names, system_roots, time};
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
                Some(version) => format!("{version:?}").replace('_', "."),
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

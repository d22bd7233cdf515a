//! TLS as SDKs do it, by rustls' own rules, with the server's certificate kept for whoever must say what is wrong
//! with it.

use std::io;
use std::sync::{Arc, Mutex};

use bundle::collected::s3::Reason;
use jiff::Timestamp;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
    verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::certificate::system_roots;
use crate::collector::locked;

/// How TLS is spoken, and the last certificate seen.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
}

/// Verifies, or not, and remembers.
#[derive(Debug)]
struct Verifier {
    /// `None` takes any certificate.
    inner: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
    seen: Mutex<Option<CertificateDer<'static>>>,
}

impl Tls {
    /// Trusts `authorities` (PEM), or the system's where there are none. The error tells which text is wrong, not what
    /// is in it.
    pub(super) fn new(authorities: &str, skip_verify: bool) -> Result<Self, String> {
        let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
        let inner = if skip_verify {
            None
        } else {
            let mut roots = RootCertStore::empty();
            let given = if authorities.is_empty() {
                system_roots()
            } else {
                read(authorities)?
            };
            roots.add_parsable_certificates(given);
            let verifier =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                    .build()
                    .map_err(|error| format!("no authority can be used: {error}"))?;
            Some(verifier)
        };
        let verifier = Arc::new(Verifier {
            inner,
            algorithms: provider.signature_verification_algorithms,
            seen: Mutex::default(),
        });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        Ok(Self {
            config: Arc::new(config),
            verifier,
        })
    }

    /// The subject, issuer and end of the certificate last seen, in words.
    pub(super) fn certificate(&self) -> String {
        let seen = locked(&self.verifier.seen).clone();
        let Some((_, certificate)) = seen
            .as_ref()
            .and_then(|der| X509Certificate::from_der(der).ok())
        else {
            return "no certificate that can be read".to_owned();
        };
        format!(
            "certificate {} by {} until {}",
            certificate.subject(),
            certificate.issuer(),
            time(certificate.validity().not_after.timestamp())
        )
    }

    /// What a failed handshake means.
    pub(super) fn explain(&self, error: &io::Error) -> (Reason, String) {
        let seen = locked(&self.verifier.seen).clone();
        let parsed = seen
            .as_ref()
            .and_then(|der| X509Certificate::from_der(der).ok());
        let certificate = parsed.as_ref().map(|(_, certificate)| certificate);
        let subject = certificate.map_or_else(
            || "its certificate".to_owned(),
            |it| format!("its certificate ({})", it.subject()),
        );
        let tls = error
            .get_ref()
            .and_then(|error| error.downcast_ref::<Error>());
        match tls {
            Some(Error::InvalidCertificate(problem)) => invalid(problem, &subject, certificate),
            Some(Error::InvalidMessage(_)) => (
                Reason::TlsNotSpoken,
                "what it sent is no TLS: plain HTTP listens there".to_owned(),
            ),
            Some(other) => (
                Reason::TlsFailed,
                format!("the TLS handshake failed: {other}"),
            ),
            None if error.kind() == io::ErrorKind::UnexpectedEof => (
                Reason::TlsFailed,
                "it closed the connection during the TLS handshake".to_owned(),
            ),
            None => (
                Reason::TlsFailed,
                format!("the TLS handshake failed: {error}"),
            ),
        }
    }
}

fn invalid(
    problem: &CertificateError,
    subject: &str,
    certificate: Option<&X509Certificate<'_>>,
) -> (Reason, String) {
    let validity = certificate.map(|it| it.validity());
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            let end = validity.map(|it| time(it.not_after.timestamp()));
            let end = end.unwrap_or_default();
            (Reason::TlsExpired, format!("{subject} expired at {end}"))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            let start = validity.map(|it| time(it.not_before.timestamp()));
            let start = start.unwrap_or_default();
            let text = format!("{subject} is not valid before {start}");
            (Reason::TlsNotYetValid, text)
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let names = certificate.map(names).unwrap_or_default();
            let names = if names.is_empty() {
                "no name at all".to_owned()
            } else {
                names.join(", ")
            };
            (Reason::TlsNameMismatch, format!("{subject} is for {names}"))
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            let issuer = certificate.map(|it| it.issuer().to_string());
            let issuer = issuer.unwrap_or_default();
            let text = format!("{subject} is signed by {issuer}, which is not trusted");
            (Reason::TlsUntrusted, text)
        }
        CertificateError::Other(other) => {
            let is_authority = other.to_string().contains("CaUsedAsEndEntity");
            let text = if is_authority {
                format!(
                    "{subject} signs itself and is an authority's, which is not taken for a server's"
                )
            } else {
                format!("{subject}: {other}")
            };
            (Reason::TlsUntrusted, text)
        }
        other => (Reason::TlsFailed, format!("{subject}: {other}")),
    }
}

fn read(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(read) if !read.is_empty() => Ok(read),
        _ => {
            Err("the authority's certificate holds no PEM certificate that can be read".to_owned())
        }
    }
}

fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// The names that a certificate is for.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    const MOST: usize = 8;
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = extension.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress([a, b, c, d]) => Some(format!("{a}.{b}.{c}.{d}")),
            GeneralName::IPAddress(bytes) => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
            _ => None,
        })
        .take(MOST)
        .collect()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *locked(&self.seen) = Some(end_entity.clone().into_owned());
        match &self.inner {
            None => Ok(ServerCertVerified::assertion()),
            Some(inner) => {
                inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

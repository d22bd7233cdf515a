//! TLS as SDKs do it, by rustls' own rules, with the server's certificate kept for whoever must say what is wrong
//! with it.

use std::io;
use std::sync::Arc;

use bundle::collected::s3::Reason;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::certificate::{alternative_names, certificates, system_roots, time};
use crate::web_verifier::{Belief, WebVerifier};

/// Names of a certificate that are told.
const NAMES: usize = 8;

/// How TLS is spoken, and the last certificate seen.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    verifier: Arc<WebVerifier>,
}

impl Tls {
    /// Trusts `authorities` (PEM), or the system's where there are none. The error tells which text is wrong, not what
    /// is in it.
    pub(super) fn new(authorities: &str, skip_verify: bool) -> Result<Self, String> {
        let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
        let belief = if skip_verify {
            Belief::Anybody
        } else {
            let roots = if authorities.is_empty() {
                system_roots()
            } else {
                certificates(authorities.as_bytes(), "the authority's certificate")?
            };
            Belief::authorities(roots, &provider)
                .map_err(|error| format!("no authority can be used: {error}"))?
        };
        let verifier = Arc::new(WebVerifier::new(belief, Vec::new(), &provider));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<_>)
            .with_no_client_auth();
        Ok(Self {
            config: Arc::new(config),
            verifier,
        })
    }

    /// The subject, issuer and end of the certificate last seen, in words.
    pub(super) fn certificate(&self) -> String {
        let seen = self.verifier.seen();
        let Some((_, certificate)) = seen
            .first()
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
        let seen = self.verifier.seen();
        let parsed = seen
            .first()
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
            let mut names = certificate.map(alternative_names).unwrap_or_default();
            names.truncate(NAMES);
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

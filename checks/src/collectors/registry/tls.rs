//! TLS to registries by the web's rules, with what a node's Go program takes beside: a certificate that was itself given
//! as trusted.
//!
//! One configuration serves the handshake that is looked at and the client that makes the requests.

use std::io;
use std::sync::Arc;

use bundle::collected::registry::{Reason, Tls as Facts};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{AlertDescription, CertificateError, ClientConfig, Error};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::mirrors::Hidden;
use crate::certificate::{certificates, names, system_roots, time};
use crate::web_verifier::{Belief, WebVerifier};

/// Whom to believe, and as whom to come.
pub(in crate::collectors) struct Trust {
    provider: Arc<CryptoProvider>,
    /// Beside the system's.
    given: Vec<CertificateDer<'static>>,
    belief: Belief,
    client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    /// What is sent with every request.
    headers: HeaderMap,
}

impl Trust {
    /// The system's authorities and those in `pem`; a client's certificate and its key where they are not empty. The error names what
    /// is wrong, never what is in it.
    pub(in crate::collectors) fn new(
        pem: &str,
        certificate: &str,
        key: &str,
        verify: bool,
    ) -> Result<Self, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let given = if pem.trim().is_empty() {
            Vec::new()
        } else {
            certificates(pem.as_bytes(), "the authorities' file")?
        };
        let client = match (certificate.trim().is_empty(), key.trim().is_empty()) {
            (true, true) => None,
            (false, false) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                    .map_err(|_| "the client's key is no PEM private key".to_owned())?;
                let chain = certificates(certificate.as_bytes(), "the client's certificate")?;
                Some((chain, key))
            }
            _ => return Err("a client's certificate and its key go together".to_owned()),
        };
        let belief = if verify {
            let roots = system_roots().into_iter().chain(given.iter().cloned());
            Belief::authorities(roots, &provider).unwrap_or(Belief::Nobody)
        } else {
            Belief::Anybody
        };
        Ok(Self {
            provider,
            given,
            belief,
            client,
            headers: HeaderMap::new(),
        })
    }

    /// With headers that are sent with every request. They may prove something: an error names the header alone.
    pub(super) fn sending(mut self, headers: &[(String, Hidden)]) -> Result<Self, String> {
        for (name, Hidden(value)) in headers {
            let wrong = || format!("the header {name:?} cannot be sent");
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            self.headers.append(key, value);
        }
        Ok(self)
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// What the client that makes requests is to do.
    pub(super) fn config(&self) -> Result<ClientConfig, String> {
        self.with(self.verifier())
    }

    fn verifier(&self) -> Arc<WebVerifier> {
        let (belief, own) = (self.belief.clone(), self.given.clone());
        Arc::new(WebVerifier::new(belief, own, &self.provider))
    }

    fn with(&self, verifier: Arc<WebVerifier>) -> Result<ClientConfig, String> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        match &self.client {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|_| "the client's key does not fit its certificate".to_owned()),
        }
    }

    /// A handshake that is looked at. What was seen of the certificate is told, however it ends.
    pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        stream: S,
    ) -> (Facts, Result<TlsStream<S>, (Reason, String)>) {
        let verifier = self.verifier();
        let mut facts = Facts {
            verified: self.phrase().to_owned(),
            ..Facts::default()
        };
        let prepared = self.with(Arc::clone(&verifier)).and_then(|config| {
            let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
            let name =
                name.map_err(|_| format!("{host:?} is no name that a certificate can hold"))?;
            Ok((config, name))
        });
        let (config, name) = match prepared {
            Ok(prepared) => prepared,
            Err(text) => return (facts, Err((Reason::TlsFailed, text))),
        };
        let made = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await;
        let seen = verifier.seen();
        let parsed: Vec<X509Certificate<'_>> = seen
            .iter()
            .filter_map(|der| X509Certificate::from_der(der).ok())
            .map(|(_, certificate)| certificate)
            .collect();
        if let Some((leaf, rest)) = parsed.split_first() {
            facts.subject = leaf.subject().to_string();
            facts.names = names(leaf);
            facts.names.truncate(20);
            facts.issuer = leaf.issuer().to_string();
            facts.not_after = time(leaf.validity().not_after.timestamp());
            facts.chain = rest.iter().map(|it| it.subject().to_string()).collect();
        }
        let result = made
            .inspect(|stream| {
                let version = stream.get_ref().1.protocol_version();
                facts.version = version
                    .map(|version| format!("{version:?}").replace('_', "."))
                    .unwrap_or_default();
            })
            .map_err(|error| explain(&error, parsed.first()));
        (facts, result)
    }

    fn phrase(&self) -> &'static str {
        match (&self.belief, self.given.is_empty()) {
            (Belief::Anybody, _) => "nothing",
            (Belief::Nobody | Belief::Authorities(_), true) => "the system's authorities",
            (Belief::Nobody | Belief::Authorities(_), false) => {
                "the system's authorities and those that were given"
            }
        }
    }
}

/// What a failed handshake means.
pub(super) fn explain(
    error: &io::Error,
    certificate: Option<&X509Certificate<'_>>,
) -> (Reason, String) {
    let tls = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<Error>());
    match tls {
        Some(Error::InvalidCertificate(problem)) => of_certificate(problem, certificate),
        Some(
            Error::AlertReceived(
                AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity,
            )
            | Error::PeerIncompatible(_),
        ) => (
            Reason::TlsUnsupported,
            "it has no protocol version or cipher in common with this tool, which speaks TLS 1.2 and 1.3".to_owned(),
        ),
        Some(Error::AlertReceived(alert)) => (
            Reason::TlsFailed,
            format!("the server refuses the handshake: {alert:?}"),
        ),
        Some(Error::InvalidMessage(_)) => {
            (Reason::HttpOnHttpsPort, "what it sent is no TLS".to_owned())
        }
        _ if error.kind() == io::ErrorKind::UnexpectedEof => (
            Reason::ClosedByServer,
            "it closed the connection during the TLS handshake".to_owned(),
        ),
        _ => (Reason::TlsFailed, format!("the TLS handshake failed: {error}")),
    }
}

fn of_certificate(
    problem: &CertificateError,
    certificate: Option<&X509Certificate<'_>>,
) -> (Reason, String) {
    let subject = certificate.map_or_else(
        || "its certificate:".to_owned(),
        |it| format!("its certificate ({}):", it.subject()),
    );
    let validity = certificate.map(|it| it.validity());
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            let end = validity.map(|it| time(it.not_after.timestamp()));
            let end = end.unwrap_or_default();
            (Reason::TlsExpired, format!("{subject} it expired at {end}"))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            let start = validity.map(|it| time(it.not_before.timestamp()));
            let start = start.unwrap_or_default();
            (
                Reason::TlsNotYetValid,
                format!("{subject} it is not valid before {start}"),
            )
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let names = certificate.map(names).unwrap_or_default();
            let names = if names.is_empty() {
                "nothing".to_owned()
            } else {
                names.join(", ")
            };
            (
                Reason::TlsNameMismatch,
                format!("{subject} it is for {names}"),
            )
        }
        CertificateError::UnknownIssuer
        | CertificateError::BadSignature
        | CertificateError::Other(_) => {
            let issuer = certificate.map(|it| it.issuer().to_string());
            let issuer = issuer.unwrap_or_default();
            let own = certificate.is_some_and(|it| it.issuer() == it.subject());
            let text = if own {
                format!("{subject} it is signed by itself, and not among the trusted authorities")
            } else {
                format!("{subject} its issuer ({issuer}) is not among the trusted authorities")
            };
            // Go says the same of one that is no authority and signs itself.
            (Reason::TlsUntrusted, text)
        }
        other => (Reason::TlsFailed, format!("{subject} {other}")),
    }
}

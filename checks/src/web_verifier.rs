//! Certificates judged by the web's rules, and kept for whoever must say what was wrong with them.

use std::sync::{Arc, Mutex};

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{
    VerifierBuilderError, WebPkiServerVerifier, verify_server_name,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::certificate::valid;
use crate::collector::locked;

/// Certificates of a chain that are kept.
const CHAIN: usize = 8;

/// Whom to believe.
#[derive(Debug, Clone)]
pub(crate) enum Belief {
    /// Anybody.
    Anybody,
    /// Nobody whose own certificate was not given.
    Nobody,
    /// Those whom these authorities sign.
    Authorities(Arc<WebPkiServerVerifier>),
}

impl Belief {
    /// Believes those whom `roots` sign. What cannot be used of them is left out; that nothing is left is an error.
    pub(crate) fn authorities(
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots);
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
        verifier.build().map(Self::Authorities)
    }
}

/// Judges, and remembers what it saw.
#[derive(Debug)]
pub(crate) struct WebVerifier {
    belief: Belief,
    /// Servers' own certificates that are taken though no authority signs them.
    own: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
    seen: Mutex<Vec<CertificateDer<'static>>>,
}

impl WebVerifier {
    /// A certificate in `own` is taken as it is, if its time and its name are right: a self-signed one may say of itself
    /// that it is an authority.
    pub(crate) fn new(
        belief: Belief,
        own: Vec<CertificateDer<'static>>,
        provider: &CryptoProvider,
    ) -> Self {
        Self {
            belief,
            own,
            algorithms: provider.signature_verification_algorithms,
            seen: Mutex::default(),
        }
    }

    /// The chain last seen, the server's certificate first; eight at most.
    pub(crate) fn seen(&self) -> Vec<CertificateDer<'static>> {
        locked(&self.seen).clone()
    }
}

impl ServerCertVerifier for WebVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates).take(CHAIN);
        *locked(&self.seen) = chain.map(|der| der.clone().into_owned()).collect();
        if matches!(self.belief, Belief::Anybody) {
            return Ok(ServerCertVerified::assertion());
        }
        if self.own.iter().any(|it| it.as_ref() == end_entity.as_ref()) {
            let (_, certificate) =
                X509Certificate::from_der(end_entity).map_err(|_| CertificateError::BadEncoding)?;
            valid(&certificate, now)?;
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        match &self.belief {
            Belief::Authorities(it) => {
                it.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
            }
            Belief::Anybody | Belief::Nobody => Err(CertificateError::UnknownIssuer.into()),
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

//! Which certificates are trusted, by libpq's rules where the web's are stricter.

use std::sync::Mutex;

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use crate::certificate::{names, valid};
use crate::collector::locked;

/// What is asked of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verify {
    Nothing,
    Authority,
    AuthorityAndName,
}

impl Verify {
    pub(super) fn phrase(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Authority => "authority",
            Self::AuthorityAndName => "authority and name",
        }
    }
}

/// Judges certificates as libpq does.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) verify: Verify,
    roots: Vec<CertificateDer<'static>>,
    store: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
    /// The last certificate, for messages.
    pub(super) seen: Mutex<Option<CertificateDer<'static>>>,
}

impl Verifier {
    pub(super) fn new(
        verify: Verify,
        roots: Vec<CertificateDer<'static>>,
        provider: &CryptoProvider,
    ) -> Self {
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
                    && (root.version() == X509Version::V1 || root.is_ca())
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
}

/// Whether the certificate is for the host.
fn named(
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
                named(end_entity, &certificate, server_name)?;
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

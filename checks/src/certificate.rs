//! What is told of servers' certificates, and which authorities this machine trusts.

use jiff::Timestamp;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::{CertificateError, Error};
use x509_parser::prelude::{GeneralName, X509Certificate};

/// The system's authorities, or, where the machine has none, Mozilla's.
pub(crate) fn system_roots() -> Vec<CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec()
    } else {
        found
    }
}

/// The certificates of a PEM text, at least one. The error names the text by `what`, and nothing of what is in it.
pub(crate) fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(read) if !read.is_empty() => Ok(read),
        _ => Err(format!("{what} holds no PEM certificate that can be read")),
    }
}

/// Whether now is within a certificate's time.
pub(crate) fn valid(certificate: &X509Certificate<'_>, now: UnixTime) -> Result<(), Error> {
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

/// A time as RFC 3339 has it.
pub(crate) fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// The names in a certificate's subjectAltName, which are all that the web's rules know.
pub(crate) fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
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
    names
}

/// The names that a certificate is for: those of subjectAltName, or where it has none the common name.
pub(crate) fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut names = alternative_names(certificate);
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

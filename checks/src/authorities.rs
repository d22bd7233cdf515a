//! The certificates of authorities that are trusted where no others are named.

use tokio_rustls::rustls::pki_types::CertificateDer;

/// The system's authorities, or, where the machine has none, Mozilla's.
pub(crate) fn system() -> Vec<CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec()
    } else {
        found
    }
}

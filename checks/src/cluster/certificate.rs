//! When a client certificate ends: API servers answer an expired one with a bare 401, which helps nobody.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use kube::config::AuthInfo;

/// When the client certificate of a kubeconfig ended, `None` where it has not, or where there is none that
/// can be read: the API server decides then.
pub(super) fn expired(auth: &AuthInfo) -> Option<Timestamp> {
    let pem = match (&auth.client_certificate_data, &auth.client_certificate) {
        (Some(data), _) => STANDARD.decode(data.trim()).ok()?,
        (None, Some(path)) => std::fs::read(path).ok()?,
        (None, None) => return None,
    };
    let ends = not_after(&certificates(&pem)?.swap_remove(0))?;
    (ends < Timestamp::now()).then_some(ends)
}

/// The certificates of a PEM text as DER; none is `None`.
pub(super) fn certificates(pem: &[u8]) -> Option<Vec<Vec<u8>>> {
    let text = std::str::from_utf8(pem).ok()?;
    let mut found = Vec::new();
    for part in text.split("-----BEGIN CERTIFICATE-----").skip(1) {
        let body = part.split("-----END CERTIFICATE-----").next()?;
        let packed: String = body.split_whitespace().collect();
        found.push(STANDARD.decode(packed).ok()?);
    }
    Some(found).filter(|found| !found.is_empty())
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// `notAfter` of a DER certificate (RFC 5280 §4.1): the second time of the fifth field, or of the fourth
/// where the version is left out.
fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate, _) = element(der)?;
    let (_, mut fields, _) = element(certificate)?;
    if let (VERSION, _, rest) = element(fields)? {
        fields = rest;
    }
    for _ in ["serialNumber", "signature", "issuer"] {
        fields = element(fields)?.2;
    }
    let (SEQUENCE, validity, _) = element(fields)? else {
        return None;
    };
    let (tag, time, _) = element(element(validity)?.2)?;
    let text = std::str::from_utf8(time).ok()?;
    let text = match tag {
        GENERALIZED_TIME => text.to_owned(),
        // Two digits of a year from 1950 to 2049.
        UTC_TIME if text < "5" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Tag, content and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        length = digits
            .iter()
            .fold(0, |length, digit| length << 8 | usize::from(*digit));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Self-signed, made with `openssl ca -selfsign -startdate … -enddate …`; their keys are gone.
    const ENDED_2020: &str = include_str!("testdata/ended-2020.pem");
    const ENDS_2090: &str = include_str!("testdata/ends-2090.pem");

    fn auth(pem: &str) -> AuthInfo {
        AuthInfo {
            client_certificate_data: Some(STANDARD.encode(pem)),
            ..AuthInfo::default()
        }
    }

    #[test]
    fn knows_when_a_certificate_ends() {
        let ended = expired(&auth(ENDED_2020)).map(|ended| ended.to_string());
        assert_eq!(ended.as_deref(), Some("2020-02-03T04:05:06Z"));
        assert_eq!(expired(&auth(ENDS_2090)), None);
        let ends = certificates(ENDS_2090.as_bytes()).and_then(|found| not_after(&found[0]));
        assert_eq!(
            ends.map(|ends| ends.to_string()).as_deref(),
            Some("2090-02-03T04:05:06Z")
        );
        for broken in [
            "",
            "not a certificate",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        ] {
            assert_eq!(expired(&auth(broken)), None);
        }
    }

    #[test]
    fn no_prefix_of_a_certificate_panics() {
        let der = certificates(ENDED_2020.as_bytes())
            .unwrap_or_default()
            .concat();
        for length in 0..der.len() {
            let _ = not_after(&der[..length]);
            let mut changed = der.clone();
            changed[length] ^= 0x80;
            let _ = not_after(&changed);
        }
    }
}

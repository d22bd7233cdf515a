//! What an object storage's refusal means. The bodies are anybody's: a proxy's page, a console, a cut document.

use bundle::collected::s3::{Failure, Reason};
use http::header;
use serde::Deserialize;

use super::settings::Failed;
use super::wire::{Answer, Exchange};

/// The longest error that is read.
const LONGEST: usize = 64 * 1024;
/// The longest message that is told.
const MESSAGE: usize = 300;

/// The error document of S3.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct ErrorBody {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) region: String,
    pub(super) endpoint: String,
    pub(super) canonical_request: String,
}

/// Reads an error document; `None` where it is none.
pub(super) fn error_body(bytes: &[u8]) -> Option<ErrorBody> {
    let text = std::str::from_utf8(bytes.get(..LONGEST).unwrap_or(bytes)).ok()?;
    let start = text.find("<Error")?;
    let is_prolog =
        text[..start].trim_start().starts_with("<?xml") || text[..start].trim().is_empty();
    if !is_prolog {
        return None;
    }
    let body: ErrorBody = quick_xml::de::from_str(&text[start..]).ok()?;
    (!body.code.is_empty()).then_some(body)
}

/// Each code of S3 with what it means. Source: the error responses of Amazon's S3 API reference; those of `MinIO` and Ceph
/// that differ.
const CODES: &[(&str, Reason)] = &[
    ("RequestTimeTooSkewed", Reason::ClockSkewed),
    ("RequestExpired", Reason::ClockSkewed),
    ("AuthorizationHeaderMalformed", Reason::WrongRegion),
    ("AuthorizationQueryParametersError", Reason::WrongRegion),
    ("PermanentRedirect", Reason::WrongRegion),
    ("TemporaryRedirect", Reason::WrongRegion),
    ("Redirect", Reason::WrongRegion),
    ("IllegalLocationConstraintException", Reason::WrongRegion),
    ("InvalidRegion", Reason::WrongRegion),
    ("SignatureDoesNotMatch", Reason::Signature),
    ("InvalidAccessKeyId", Reason::UnknownKey),
    ("InvalidClientTokenId", Reason::UnknownKey),
    ("NoSuchUser", Reason::UnknownKey),
    ("ExpiredToken", Reason::ExpiredToken),
    ("ExpiredTokenException", Reason::ExpiredToken),
    ("TokenRefreshRequired", Reason::ExpiredToken),
    ("InvalidToken", Reason::InvalidToken),
    ("InvalidTokenId", Reason::InvalidToken),
    ("AccessDenied", Reason::AccessDenied),
    ("AccountProblem", Reason::AccessDenied),
    ("AllAccessDisabled", Reason::AccessDenied),
    ("ExpiredPresignRequest", Reason::PresignedExpired),
    ("NoSuchBucket", Reason::BucketMissing),
    ("NoSuchKey", Reason::KeyMissing),
    ("XAmzContentSHA256Mismatch", Reason::ChecksumRefused),
    ("XAmzContentChecksumMismatch", Reason::ChecksumRefused),
    ("BadDigest", Reason::ChecksumRefused),
    ("InvalidDigest", Reason::ChecksumRefused),
    ("MalformedTrailerError", Reason::ChecksumRefused),
    ("IncompleteBody", Reason::ContentChanged),
    ("MissingContentLength", Reason::LengthRequired),
    ("NotImplemented", Reason::NotImplemented),
    ("MethodNotAllowed", Reason::NotImplemented),
    ("EntityTooLarge", Reason::TooLarge),
    ("SlowDown", Reason::SlowDown),
    ("SlowDownRead", Reason::SlowDown),
    ("SlowDownWrite", Reason::SlowDown),
    ("ServiceUnavailable", Reason::SlowDown),
    ("XMinioServerNotInitialized", Reason::SlowDown),
    ("XMinioStorageFull", Reason::StorageFull),
    ("QuotaExceeded", Reason::StorageFull),
    ("XMinioAdminBucketQuotaExceeded", Reason::StorageFull),
];

/// Each HTTP status with what it means where no code says it.
const STATUSES: &[(u16, Reason)] = &[
    (301, Reason::WrongRegion),
    (307, Reason::WrongRegion),
    (403, Reason::AccessDenied),
    (404, Reason::BucketMissing),
    (407, Reason::ProxyAuthentication),
    (411, Reason::LengthRequired),
    (413, Reason::TooLarge),
    (417, Reason::ExpectationFailed),
    (501, Reason::NotImplemented),
    (502, Reason::Gateway),
    (503, Reason::SlowDown),
    (504, Reason::Gateway),
    (507, Reason::StorageFull),
];

impl Exchange {
    /// What is wrong, `None` where it is answered with success.
    pub(super) fn problem(&self) -> Option<Failed> {
        match &self.answer {
            Ok(answer) if (200..300).contains(&answer.status) && !answer.is_page() => None,
            _ => Some(self.failed()),
        }
    }

    /// What is wrong, where something is.
    pub(super) fn failed(&self) -> Failed {
        let mut failure = Failure {
            request: format!("{} {}", self.sent.method, self.shown_path()),
            ..Failure::default()
        };
        let answer = match &self.answer {
            Ok(answer) => answer,
            Err(broken) => {
                failure.reason = broken.reason;
                let message = format!("{}: {}", failure.request, broken.text);
                return (Box::new(failure), message);
            }
        };
        failure.status = Some(answer.status);
        let header = |name: &str| {
            let value = answer.headers.get(name).and_then(|it| it.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        failure.region = plain(&header("x-amz-bucket-region"));
        let Some(body) = error_body(&answer.body) else {
            let (reason, said) = answer.without_code();
            failure.reason = reason;
            let message = format!("{}: {} {said}", failure.request, answer.status);
            return (Box::new(failure), message.trim_end().to_owned());
        };
        failure.code = plain(&body.code);
        if !body.region.is_empty() {
            failure.region = plain(&body.region);
        }
        failure.reason = reason(answer.status, &body);
        let mut message = format!("{}: {} {}", failure.request, answer.status, failure.code);
        // What every server says of it says nothing of this one.
        if failure.code != "SignatureDoesNotMatch" {
            message = format!("{message}: {}", one_line(&body.message));
        }
        (Box::new(failure), message)
    }

    /// The path, without a query: it may be a presigned one.
    fn shown_path(&self) -> &str {
        self.sent.uri.path()
    }

    /// `200`, `403 SignatureDoesNotMatch`, or what broke: for tables.
    pub(super) fn brief(&self) -> String {
        match &self.answer {
            Err(broken) => broken.text.clone(),
            Ok(answer) => match error_body(&answer.body) {
                Some(body) => format!("{} {}", answer.status, plain(&body.code)),
                None if answer.is_page() => format!("{} with a web page", answer.status),
                None => answer.status.to_string(),
            },
        }
    }

    /// Whether it is the list of a bucket, and not that of all buckets.
    pub(super) fn is_list(&self) -> bool {
        let answer = self.answer.as_ref().ok();
        let is_there = |answer: &Answer| {
            let text = String::from_utf8_lossy(answer.body.get(..LONGEST).unwrap_or(&answer.body));
            text.contains("<ListBucketResult")
        };
        self.problem().is_none() && answer.is_some_and(is_there)
    }

    /// The HTTP status, 0 where there is none.
    pub(super) fn status(&self) -> u16 {
        self.answer.as_ref().map_or(0, |answer| answer.status)
    }
}

fn reason(status: u16, body: &ErrorBody) -> Reason {
    let message = body.message.to_lowercase();
    match body.code.as_str() {
        "AccessDenied" if message.contains("expired") => return Reason::PresignedExpired,
        // MinIO's words where a header that is signed did not arrive.
        "AccessDenied"
            if message.contains("headers present in the request which were not signed") =>
        {
            return Reason::Signature;
        }
        "InvalidRequest" | "InvalidArgument" if message.contains("aws4-hmac-sha256") => {
            return Reason::SignatureV4Required;
        }
        // About the region where it names one, or says so.
        "AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError"
            if body.region.is_empty()
                && !message.contains("region")
                && !message.contains("scope") =>
        {
            return Reason::SignatureV4Refused;
        }
        "InvalidArgument" if message.contains("authorization") => {
            return Reason::SignatureV4Refused;
        }
        _ => {}
    }
    let by_code = CODES.iter().find(|(code, _)| *code == body.code);
    let by_status = || {
        STATUSES
            .iter()
            .find(|(known, _)| *known == status && ![403, 404].contains(known))
    };
    by_code.map_or_else(
        || by_status().map_or(Reason::Other, |(_, reason)| *reason),
        |(_, reason)| *reason,
    )
}

impl Answer {
    /// Whether it is a page for people.
    pub(super) fn is_page(&self) -> bool {
        let kind = self.headers.get(header::CONTENT_TYPE);
        let is_html = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        let start = self.body.trim_ascii_start();
        is_html
            || start.starts_with(b"<!DOCTYPE html")
            || start.starts_with(b"<!doctype html")
            || start.starts_with(b"<html")
    }

    /// Whether it is the console of an object storage.
    pub(super) fn is_console(&self) -> bool {
        let server = self.headers.get(header::SERVER);
        if server.is_some_and(|it| it.as_bytes().starts_with(b"MinIO Console")) {
            return true;
        }
        let text = String::from_utf8_lossy(self.body.get(..LONGEST).unwrap_or(&self.body));
        let title = text.contains("<title>MinIO Console") || text.contains("MinIO Console");
        self.is_page() && title
    }

    /// What an answer without an error document means.
    fn without_code(&self) -> (Reason, &'static str) {
        let text = String::from_utf8_lossy(self.body.get(..LONGEST).unwrap_or(&self.body));
        let lower = text.to_lowercase();
        if lower.contains("http request to an https server")
            || lower.contains("plain http request was sent to https port")
        {
            return (Reason::TlsExpected, "the server speaks TLS only");
        }
        if self.is_console() {
            return (Reason::Console, "with the page of the console");
        }
        let known = STATUSES.iter().find(|(status, _)| *status == self.status);
        let said = if self.is_page() {
            "with a web page"
        } else {
            ""
        };
        match known {
            // A page that says so is not the object storage's word.
            None | Some((301 | 307 | 403 | 404, _)) if self.is_page() => (Reason::NotS3, said),
            Some((_, reason)) => (*reason, said),
            None => (Reason::Other, said),
        }
    }
}

/// A word of the answer, as far as it is one.
pub(super) fn plain(text: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
    text.chars().filter(is_plain).take(64).collect()
}

/// A message in one line, not too long.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(MESSAGE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

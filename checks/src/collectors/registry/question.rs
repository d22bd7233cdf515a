//! What is asked and what comes back, counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bundle::collected::registry::{RateLimit, Requests, Stage};
use http::{HeaderMap, HeaderValue, Method};
use jiff::fmt::rfc2822;

use crate::clock::Clock;

/// Bytes of an answer that is no manifest: tokens and errors.
const SMALL: usize = 256 << 10;

/// How a registry's manifests are asked for: all four types, else an old form or the one for amd64 alone comes.
pub(super) const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Requests made, by kind.
#[derive(Default)]
pub(super) struct Counts {
    all: AtomicU64,
    pub(super) repeated: AtomicU64,
    by_kind: [AtomicU64; 4],
}

/// What a request is counted as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Token,
    Manifest,
    Blob,
    Redirect,
    Other,
}

/// One request.
pub(super) struct Question<'a> {
    pub(super) method: Method,
    /// Path and query.
    pub(super) path: String,
    pub(super) authorization: Option<&'a HeaderValue>,
    pub(super) accept: Option<&'static str>,
    /// Asks for the first byte alone.
    pub(super) first_byte: bool,
    /// Form data.
    pub(super) form: Option<String>,
    /// Bytes of the answer that are read; a longer one is cut one byte later.
    pub(super) cap: usize,
    pub(super) stage: Stage,
    pub(super) kind: Kind,
}

impl Question<'_> {
    pub(super) fn get(path: impl Into<String>, stage: Stage, kind: Kind) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            authorization: None,
            accept: None,
            first_byte: false,
            form: None,
            cap: SMALL,
            stage,
            kind,
        }
    }
}

/// An answer, whatever its status.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Whether a server gave it to which the one that was asked sends.
    pub(super) is_of_another: bool,
}

impl Answer {
    pub(super) fn is_redirect(&self) -> bool {
        matches!(self.status, 301 | 302 | 303 | 307 | 308)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Counts {
    pub(super) fn told(&self) -> Requests {
        let [tokens, manifests, blobs, redirects] =
            [0, 1, 2, 3].map(|kind: usize| self.by_kind[kind].load(Ordering::Relaxed));
        Requests {
            all: self.all.load(Ordering::Relaxed),
            tokens,
            manifests,
            blobs,
            redirects,
            repeated: self.repeated.load(Ordering::Relaxed),
        }
    }

    pub(super) fn add(&self, kind: Kind) {
        self.all.fetch_add(1, Ordering::Relaxed);
        let index = match kind {
            Kind::Token => 0,
            Kind::Manifest => 1,
            Kind::Blob => 2,
            Kind::Redirect => 3,
            Kind::Other => return,
        };
        self.by_kind[index].fetch_add(1, Ordering::Relaxed);
    }
}

/// Seconds, or a date.
pub(super) fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::DateTimeParser::new()
        .parse_timestamp(text.trim())
        .ok()?;
    let wait = date.duration_since(Clock::default().now());
    Some(Duration::try_from(wait).unwrap_or_default())
}

/// `ratelimit-limit: 100;w=21600` and `ratelimit-remaining: 76;w=21600`, as Docker Hub has them.
pub(super) fn rate_limit(headers: &HeaderMap) -> Option<RateLimit> {
    let text = |name: &str| {
        let value = headers
            .get(name)
            .or_else(|| headers.get(format!("x-{name}")))?;
        value.to_str().ok()
    };
    let number = |text: &str| text.split([';', ',']).next()?.trim().parse().ok();
    let limit = text("ratelimit-limit");
    let told = RateLimit {
        limit: limit.and_then(number),
        remaining: text("ratelimit-remaining").and_then(number),
        window_seconds: limit.and_then(|text| text.split("w=").nth(1)?.trim().parse().ok()),
    };
    (told.limit.is_some() || told.remaining.is_some()).then_some(told)
}

/// What servers of TLS say to somebody who asks in clear: Go's, nginx's, Apache's.
pub(super) fn is_for_https(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&body[..body.len().min(2048)]).to_lowercase();
    [
        "to an https server",
        "sent to https port",
        "speaking plain http to an ssl-enabled",
    ]
    .iter()
    .any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_registries_tell_them() {
        let mut headers = HeaderMap::new();
        assert_eq!(rate_limit(&headers), None);
        headers.insert("ratelimit-limit", HeaderValue::from_static("100;w=21600"));
        headers.insert(
            "ratelimit-remaining",
            HeaderValue::from_static("76;w=21600"),
        );
        let told = RateLimit {
            limit: Some(100),
            remaining: Some(76),
            window_seconds: Some(21600),
        };
        assert_eq!(rate_limit(&headers), Some(told));
    }

    #[test]
    fn how_long_to_wait_is_a_number_or_a_date() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(
            retry_after("Thu, 01 Jan 1970 00:00:00 GMT"),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after("soon"), None);
    }
}

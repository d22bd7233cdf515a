//! One request: counted, logged, retried, and never waiting without an end.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use kube::client::Body;

use super::access::{Access, AccessError};
use super::error::{ApiError, Cause, chain};
use super::window::{Load, Permit, Window};

/// How long each step of a request may take, and how often it is tried.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Making the connection, TLS included.
    pub connect: Duration,
    /// From sending the request to the head of the answer.
    pub answer: Duration,
    /// Between two pieces of a body.
    pub idle: Duration,
    /// The whole of a call, body included; `None` for as long as it keeps moving.
    pub whole: Option<Duration>,
    /// Tries in all.
    pub attempts: u32,
    /// The first wait before a retry; each further one doubles.
    pub back_off: Duration,
    /// The longest wait before a retry, whatever the server asks for.
    pub longest_wait: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_mins(1),
            idle: Duration::from_secs(30),
            whole: None,
            attempts: 4,
            back_off: Duration::from_millis(250),
            longest_wait: Duration::from_secs(30),
        }
    }
}

impl Timing {
    /// kubectl's `--request-timeout`: the whole of a call. Zero is none, as there.
    pub(super) fn with_request_timeout(limit: Option<Duration>) -> Self {
        let mut timing = Self::default();
        if let Some(limit) = limit.filter(|limit| !limit.is_zero()) {
            timing.connect = timing.connect.min(limit);
            timing.answer = timing.answer.min(limit);
            timing.idle = timing.idle.min(limit);
            timing.whole = Some(limit);
        }
        timing
    }
}

/// Calls made, calls tried again, and what the server's load cost, for one collector.
#[derive(Debug, Default)]
pub struct Tally {
    requests: AtomicU64,
    retries: AtomicU64,
    throttled_ms: AtomicU64,
}

impl Tally {
    /// Calls made, retries included.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Calls that were tried again.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// How many milliseconds calls waited because the API server had too many, added up; several may have waited at once.
    #[must_use]
    pub fn throttled_ms(&self) -> u64 {
        self.throttled_ms.load(Ordering::Relaxed)
    }

    pub(super) fn count_throttled(&self, waited: Duration) {
        let waited = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        self.throttled_ms.fetch_add(waited, Ordering::Relaxed);
    }

    pub(super) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }
}

/// An answer whose head has come and was a success.
#[derive(Debug)]
pub struct Answer {
    request: String,
    body: Body,
    idle: Duration,
    until: Option<(Instant, Duration)>,
    received: u64,
    /// Held while the body is read: it bounds what is in flight.
    _permit: Option<Permit>,
}

impl Answer {
    /// The next piece of the body, `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ApiError> {
        let mut wait = self.idle;
        let mut cause = Cause::Stalled {
            idle: self.idle,
            received: self.received,
        };
        if let Some((end, limit)) = self.until {
            let left = end.saturating_duration_since(Instant::now());
            if left < wait {
                wait = left;
                cause = Cause::Deadline(limit);
            }
        }
        let next = async {
            loop {
                match self.body.frame().await {
                    None => return Ok(None),
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data()
                            && !data.is_empty()
                        {
                            return Ok(Some(data));
                        }
                    }
                    Some(Err(error)) => return Err(Cause::Connection(chain(&error))),
                }
            }
        };
        match tokio::time::timeout(wait, next).await {
            Ok(Ok(Some(data))) => {
                self.received += data.len() as u64;
                Ok(Some(data))
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Err(cause)) => Err(self.error(cause)),
            Err(_) => Err(self.error(cause)),
        }
    }

    /// An error about this answer.
    pub(super) fn error(&self, cause: Cause) -> ApiError {
        ApiError::new(&self.request, cause)
    }

    /// The whole body, refused above `cap` bytes.
    pub async fn bytes(mut self, cap: usize) -> Result<Bytes, ApiError> {
        let mut all = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if all.len() + chunk.len() > cap {
                return Err(self.error(Cause::TooLong(cap)));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }
}

/// The client to send with; one that was `refused` is not given again where it can be renewed.
pub(super) async fn client(
    access: &Access,
    request: &str,
    refused: Option<u64>,
) -> Result<(kube::Client, u64), ApiError> {
    access.client(refused).await.map_err(|error| {
        let (AccessError::Plugin(reason) | AccessError::Client(reason)) = error;
        ApiError::new(request, Cause::Credentials(reason))
    })
}

/// What one request needs.
pub(super) struct Call<'a> {
    pub(super) access: &'a Access,
    pub(super) window: &'a Arc<Window>,
    pub(super) timing: &'a Timing,
    pub(super) tally: &'a Tally,
    pub(super) method: Method,
    /// Path and encoded query.
    pub(super) target: &'a str,
    pub(super) accept: &'a str,
    pub(super) body: Option<Bytes>,
}

impl Call<'_> {
    /// Sends the request until it gets an answer, a refusal, or has been tried often enough.
    pub(super) async fn send(self) -> Result<Answer, ApiError> {
        let request = format!("{} {}", self.method, self.target);
        let mut until = None;
        let mut attempt = 1;
        let mut refused = None;
        loop {
            let (client, generation) = client(self.access, &request, refused).await?;
            let (permit, waited) = self.window.enter().await;
            self.tally.count_throttled(waited);
            let started = Instant::now();
            // What waits for others of ours has not begun.
            if until.is_none() {
                until = self.timing.whole.map(|limit| (started + limit, limit));
            }
            let answer = self.once(&client, &request).await;
            permit.learn(self.load(answer.as_ref().err(), started.elapsed()));
            let (error, asked) = match answer {
                Ok(body) => {
                    return Ok(Answer {
                        request,
                        body,
                        idle: self.timing.idle,
                        until,
                        received: 0,
                        _permit: Some(permit),
                    });
                }
                Err(failure) => failure,
            };
            if error.status() == Some(StatusCode::UNAUTHORIZED)
                && self.access.renews()
                && refused.is_none()
            {
                refused = Some(generation);
                self.tally.count_retry();
                continue;
            }
            if attempt >= self.timing.attempts || !self.may_repeat(&error.cause) {
                return Err(error);
            }
            let wait = asked.map_or_else(
                || wait_before(self.timing, attempt),
                |wait| wait.min(self.timing.longest_wait),
            );
            if let Some((end, limit)) = until
                && Instant::now() + wait >= end
            {
                tracing::debug!(%request, %error, "no time for another try");
                return Err(ApiError::new(request, Cause::Deadline(limit)));
            }
            tracing::debug!(%request, %error, wait_ms = wait.as_millis(), "trying again");
            self.tally.count_retry();
            if is_busy(&error, asked) {
                self.tally.count_throttled(wait);
            }
            // Others may ask meanwhile.
            drop(permit);
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    /// What the end of a try says about the server's load.
    fn load(&self, failure: Option<&(ApiError, Option<Duration>)>, took: Duration) -> Load {
        match failure {
            Some((error, asked)) if is_busy(error, *asked) => Load::Busy,
            None if !self.is_log() => Load::Answered(took),
            _ => Load::Passed,
        }
    }

    fn is_log(&self) -> bool {
        let path = self.target.split('?').next().unwrap_or_default();
        path.ends_with("/log")
    }

    /// Whether another try may help, and cannot do twice what was to be done once.
    fn may_repeat(&self, cause: &Cause) -> bool {
        match cause {
            Cause::Status { code, .. } => {
                // A kubelet that is gone is answered for with a 500 or 504, after half a minute each time.
                let lasting = self.method == Method::POST || self.is_log();
                *code == StatusCode::TOO_MANY_REQUESTS
                    || *code == StatusCode::SERVICE_UNAVAILABLE
                    || code.is_server_error() && !lasting
            }
            Cause::Connection(_) => self.method != Method::POST,
            _ => false,
        }
    }

    async fn once(
        &self,
        client: &kube::Client,
        request: &str,
    ) -> Result<Body, (ApiError, Option<Duration>)> {
        self.tally.count_request();
        let plain = |cause| (ApiError::new(request, cause), None);
        let mut builder = Request::builder()
            .method(self.method.clone())
            .uri(self.target)
            .header(header::ACCEPT, self.accept);
        if self.body.is_some() {
            builder = builder.header(header::CONTENT_TYPE, "application/json");
        }
        let body = self.body.clone().map_or_else(Body::empty, Body::from);
        let message = builder
            .body(body)
            .map_err(|error| plain(Cause::Malformed(format!("not a request: {error}"))))?;
        let started = Instant::now();
        let sent = tokio::time::timeout(self.timing.answer, client.send(message)).await;
        let response = match sent {
            Err(_) => return Err(plain(Cause::Deadline(self.timing.answer))),
            Ok(Err(error)) => return Err(plain(connection(&error))),
            Ok(Ok(response)) => response,
        };
        let code = response.status();
        tracing::debug!(
            request,
            status = code.as_u16(),
            ms = started.elapsed().as_millis()
        );
        if code.is_success() {
            return Ok(response.into_body());
        }
        let asked = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.trim().parse().ok())
            .map(Duration::from_secs);
        let mut answer = Answer {
            request: request.to_owned(),
            body: response.into_body(),
            idle: self.timing.idle,
            until: None,
            received: 0,
            _permit: None,
        };
        let mut body = Vec::new();
        while body.len() < 64 * 1024 {
            match answer.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) | Err(_) => break,
            }
        }
        Err((ApiError::from_body(request, code, &body), asked))
    }
}

/// Whether the server has too many requests. It says 503, too, for an aggregated API that is away, and then asks for no
/// wait.
fn is_busy(error: &ApiError, asked: Option<Duration>) -> bool {
    match error.status() {
        Some(StatusCode::TOO_MANY_REQUESTS) => true,
        Some(StatusCode::SERVICE_UNAVAILABLE) => asked.is_some(),
        _ => false,
    }
}

/// A connection error in words, with what to do where that is known.
fn connection(error: &kube::Error) -> Cause {
    // What the layers between say of themselves helps nobody.
    let text = chain(error)
        .replace("ServiceError: ", "")
        .replace("client error (Connect): ", "cannot connect: ")
        .replace("client error (SendRequest): ", "");
    if text.contains("certificate") {
        let advice = if text.contains("expired") {
            "; the API server's certificate has expired, or this machine's clock is wrong"
        } else if text.contains("UnknownIssuer") {
            "; the kubeconfig's certificate authority did not sign the API server's certificate"
        } else {
            ""
        };
        return Cause::Untrusted(format!("{text}{advice}"));
    }
    let advice = if text.contains("refused") {
        "; is the API server up, and is this the right kubeconfig?"
    } else {
        ""
    };
    Cause::Connection(format!("{text}{advice}"))
}

/// Exponential back-off, each wait between a half and the whole of its step.
pub(super) fn wait_before(timing: &Timing, attempt: u32) -> Duration {
    let step = timing
        .back_off
        .saturating_mul(1 << attempt.saturating_sub(1).min(8));
    let random = RandomState::new().build_hasher().finish();
    let share = u32::try_from(random % 512).unwrap_or(0);
    (step / 2 + (step / 1024).saturating_mul(share)).min(timing.longest_wait)
}

/// Adds an encoded query to a path.
pub(crate) fn target(path: &str, query: &[(&str, &str)]) -> String {
    let mut target = path.to_owned();
    for (index, (key, value)) in query.iter().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target.push_str(key);
        target.push('=');
        encode(value, b"-._~", &mut target);
    }
    target
}

/// One segment of a path, from a name that may come from outside: it stays one, whatever is in it.
#[must_use]
pub fn segment(name: &str) -> String {
    let mut segment = String::with_capacity(name.len());
    let plain: &[u8] = if name.bytes().all(|byte| byte == b'.') {
        b""
    } else {
        b"-._~:@"
    };
    encode(name, plain, &mut segment);
    segment
}

fn encode(text: &str, plain: &[u8], out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(b"0123456789ABCDEF"[usize::from(byte >> 4)]));
            out.push(char::from(b"0123456789ABCDEF"[usize::from(byte & 15)]));
        }
    }
}

/// The counters of one collector, shared with its requests.
pub(super) type SharedTally = Arc<Tally>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_outside_stay_one_segment() {
        for (name, encoded) in [
            ("shop", "shop"),
            ("system:node", "system:node"),
            ("../secrets", "..%2Fsecrets"),
            ("..", "%2E%2E"),
            ("a?b#c d", "a%3Fb%23c%20d"),
        ] {
            assert_eq!(segment(name), encoded);
        }
        let query = [("fieldSelector", "a=b,c!=d"), ("continue", "x+/=")];
        assert_eq!(
            target("/api", &query),
            "/api?fieldSelector=a%3Db%2Cc%21%3Dd&continue=x%2B%2F%3D"
        );
    }

    #[test]
    fn waits_grow_and_end() {
        let timing = Timing::default();
        for attempt in 1..40 {
            let wait = wait_before(&timing, attempt);
            assert!(
                wait >= timing.back_off / 2 && wait <= timing.longest_wait,
                "{wait:?}"
            );
        }
        assert!(wait_before(&timing, 8) > wait_before(&timing, 1) * 8);
    }
}

//! What can come back from an API server instead of an answer.

use std::time::Duration;

use bundle::manifest::GapReason;
use http::StatusCode;
use serde::Deserialize;

use crate::collector::CollectError;

/// A request that got no usable answer. Every message names the request, what came back, and where there is
/// something to do about it, what.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{request}: {cause}")]
pub struct ApiError {
    /// What was asked, `GET /api/v1/pods`.
    pub request: String,
    /// What came back.
    pub cause: Cause,
}

/// Why a request got no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The server answered with a status that is no success.
    #[error("{} {}{}{}", code.as_u16(), code.canonical_reason().unwrap_or("unknown status"), suffix(message), advice(*.code))]
    Status {
        /// The HTTP status.
        code: StatusCode,
        /// The `reason` of the `Status` object, `Expired`, empty where there was none; `NotCollected` where a cause
        /// says so.
        reason: String,
        /// Its `message`, or the start of the body.
        message: String,
        /// The `metadata.continue` of the `Status` object: where an expired list can go on, inconsistently.
        continue_token: Option<String>,
    },
    /// No answer within the deadline of a call.
    #[error("no answer within {}", seconds(*.0))]
    Deadline(Duration),
    /// The answer began and then fell silent.
    #[error("the answer fell silent for {} after {received} bytes", seconds(*.idle))]
    Stalled {
        /// How long nothing came.
        idle: Duration,
        /// How much had come.
        received: u64,
    },
    /// The server's certificate is not trusted.
    #[error("{0}")]
    Untrusted(String),
    /// The kubeconfig's credentials could not be renewed.
    #[error("cannot renew the credentials: {0}")]
    Credentials(String),
    /// The connection could not be made, or broke.
    #[error("{0}")]
    Connection(String),
    /// The answer is longer than a document of its kind may be.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// The answer is not the document expected.
    #[error("the answer is malformed: {0}")]
    Malformed(String),
}

/// The part of `metav1.Status` that is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    reason: String,
    message: String,
    metadata: StatusMetadata,
    details: StatusDetails,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StatusMetadata {
    r#continue: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StatusDetails {
    causes: Vec<StatusCause>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StatusCause {
    reason: String,
}

/// What `assay serve` gives as a cause where a bundle does not hold what was asked for: the 404 is then no word of the
/// cluster's.
const NOT_COLLECTED: &str = "NotCollected";

impl ApiError {
    pub(crate) fn new(request: impl Into<String>, cause: Cause) -> Self {
        Self {
            request: request.into(),
            cause,
        }
    }

    /// The HTTP status, where there was one.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self.cause {
            Cause::Status { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether the server refused: 401 or 403.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.status()
            .is_some_and(|code| code == StatusCode::FORBIDDEN || code == StatusCode::UNAUTHORIZED)
    }

    /// Whether the server knows who asks, and that one may not: 403.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.status() == Some(StatusCode::FORBIDDEN)
    }

    /// Whether the object is there already, or is not the one that was meant: 409.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(StatusCode::CONFLICT)
    }

    /// Whether no other request would fare better: the server cannot be reached, or knows nobody by these
    /// credentials.
    #[must_use]
    pub fn is_total(&self) -> bool {
        match &self.cause {
            Cause::Status { code, .. } => *code == StatusCode::UNAUTHORIZED,
            Cause::Deadline(_)
            | Cause::Connection(_)
            | Cause::Untrusted(_)
            | Cause::Credentials(_) => true,
            _ => false,
        }
    }

    /// Whether the object or its API does not exist: 404, or 405 where a resource cannot be listed. A bundle that does
    /// not hold it says nothing of the kind.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        match &self.cause {
            Cause::Status { code, reason, .. } => {
                let missing =
                    *code == StatusCode::NOT_FOUND || *code == StatusCode::METHOD_NOT_ALLOWED;
                missing && reason != NOT_COLLECTED
            }
            _ => false,
        }
    }

    /// Why data is therefore missing.
    #[must_use]
    pub fn gap_reason(&self) -> GapReason {
        match &self.cause {
            _ if self.is_refused() => GapReason::Refused,
            _ if self.is_absent() => GapReason::Absent,
            Cause::Deadline(_) | Cause::Stalled { .. } => GapReason::Deadline,
            Cause::TooLong(_) => GapReason::Limit,
            Cause::Malformed(_) => GapReason::Malformed,
            Cause::Status { .. }
            | Cause::Connection(_)
            | Cause::Untrusted(_)
            | Cause::Credentials(_) => GapReason::Failed,
        }
    }

    /// Reads an error body: a `Status` object, or whatever else a proxy put there.
    pub(crate) fn from_body(request: &str, code: StatusCode, body: &[u8]) -> Self {
        let status: Status = serde_json::from_slice(body).unwrap_or_default();
        let message = if status.message.is_empty() {
            let text = String::from_utf8_lossy(&body[..body.len().min(300)]);
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        } else {
            status.message
        };
        let continue_token = Some(status.metadata.r#continue).filter(|token| !token.is_empty());
        let causes = &status.details.causes;
        let reason = if causes.iter().any(|cause| cause.reason == NOT_COLLECTED) {
            NOT_COLLECTED.to_owned()
        } else {
            status.reason
        };
        Self::new(
            request,
            Cause::Status {
                code,
                reason,
                message,
                continue_token,
            },
        )
    }
}

impl From<ApiError> for CollectError {
    fn from(error: ApiError) -> Self {
        match error.gap_reason() {
            GapReason::Refused => Self::Refused(error.to_string()),
            GapReason::Deadline => Self::Deadline(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// The innermost causes of an error chain, joined: library errors often say only "client error" at the top.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let message = inner.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = inner.source();
    }
    text
}

fn advice(code: StatusCode) -> &'static str {
    if code == StatusCode::UNAUTHORIZED {
        "; the API server does not accept these credentials: have they expired, or is this another cluster's kubeconfig?"
    } else {
        ""
    }
}

fn suffix(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

fn seconds(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}

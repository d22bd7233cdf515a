//! What an analyzer says.

use serde::Serialize;

/// The judgement of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The claim holds.
    Pass,
    /// It holds in part, or not for long.
    Warn,
    /// It does not hold.
    Fail,
}

/// One judged claim.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Stable across runs of the same spec: the analyzer's kind and the subject, `nodeResources/gpu-nodes`.
    pub id: String,
    /// The claim, stated positively, or the spec's `checkName`.
    pub title: String,
    /// `None` where an analyzer has a result but no outcome matched: troubleshoot lists such a result
    /// nowhere; we list it as unknown.
    pub verdict: Option<Verdict>,
    /// The spec's message, templates filled in.
    pub message: String,
    /// The spec's link.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uri: String,
    /// Whether the installer must not go on when this fails.
    pub strict: bool,
    /// The value read and where it was read, `3 nodes (cluster-resources/nodes.json)`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub observed: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// The objects concerned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ObjectReference>,
    /// Troubleshoot's icon for the analyzer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub icon_key: String,
    /// The icon's address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub icon_uri: String,
}

/// A Kubernetes object that a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// `v1`, `apps/v1`.
    pub api_version: String,
    /// `Pod`.
    pub kind: String,
    /// Empty for cluster-scoped objects.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

/// Why there is no judgement. Never folded into a pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotEvaluated {
    /// The subject or its API does not exist here, or the spec says to ignore its absence.
    #[error("not applicable: {0}")]
    NotApplicable(String),
    /// It could not be found out: refused, timed out, malformed, masked, not collected.
    #[error("not evaluated: {0}")]
    Unknown(String),
    /// The spec's own condition cannot be evaluated (a bad operator, a bad regex): unknown, and the spec's
    /// author is told.
    #[error("not evaluated: {0}")]
    Spec(String),
}

//! What an analyzer says.

use bundle::ReadError;
use bundle::manifest::{Gap, GapReason};
use serde::Serialize;
use syntax::json::SplitError;

use crate::outcome::Branch;

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
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Stable across runs of the same spec: the analyzer's kind and the subject, `nodeResources/gpu-nodes`.
    pub id: String,
    /// The claim, stated positively, or the spec's `checkName`.
    pub title: String,
    /// `None` where an analyzer has a result but no outcome matched: troubleshoot lists such a result
    /// nowhere; we list it as unknown.
    pub verdict: Option<Verdict>,
    /// The spec's message, templates filled in; empty where no outcome matched.
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

impl Finding {
    /// What an outcome says.
    #[must_use]
    pub fn of(verdict: Verdict, branch: &Branch) -> Self {
        Self {
            verdict: Some(verdict),
            message: branch.message.clone(),
            uri: branch.uri.clone(),
            ..Self::default()
        }
    }

    /// What an outcome says, or, where none matched, a finding without a verdict.
    #[must_use]
    pub fn of_match(matched: Option<(Verdict, &Branch)>) -> Self {
        matched.map_or_else(Self::default, |(verdict, branch)| Self::of(verdict, branch))
    }

    /// A stable id: the kind, and the subject where there is one.
    #[must_use]
    pub fn id(kind: &str, subject: &str) -> String {
        if subject.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}/{subject}")
        }
    }

    /// Adds what to do, which only a warning or a failure calls for.
    #[must_use]
    pub fn with_remedy(self, remedy: impl Into<String>) -> Self {
        match self.verdict {
            Some(Verdict::Warn | Verdict::Fail) => Self {
                remedy: remedy.into(),
                ..self
            },
            _ => self,
        }
    }

    /// Adds troubleshoot's icon.
    #[must_use]
    pub fn with_icon(self, icon: &Icon) -> Self {
        Self {
            icon_key: icon.key.to_owned(),
            icon_uri: format!(
                "https://troubleshoot.sh/images/analyzer-icons/{}",
                icon.file
            ),
            ..self
        }
    }
}

/// The parts that are not empty, as a path: `shop/database`.
pub(crate) fn joined(parts: &[&str]) -> String {
    let parts = parts.iter().copied().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("/")
}

/// Troubleshoot's icon for a kind of analyzer.
#[derive(Debug, Clone, Copy)]
pub struct Icon {
    /// The key, `kubernetes_node_resources`.
    pub key: &'static str,
    /// The file and its size, `node-resources.svg?w=16&h=18`.
    pub file: &'static str,
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

/// All that an analyzer can say of what it read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judgement {
    /// One finding per judged claim. None at all is an answer too: kinds that report only what is wrong
    /// (`deploymentStatus` without a name) say nothing of a healthy cluster.
    pub findings: Vec<Finding>,
    /// Why part of the subject could not be judged, where the findings cover only what could be read.
    pub not_evaluated: Option<NotEvaluated>,
}

impl Judgement {
    /// Adds what became of one part of the subject. Of several reasons not to judge the first is told.
    pub fn add(&mut self, part: Result<Finding, NotEvaluated>) {
        match part {
            Ok(finding) => self.findings.push(finding),
            Err(reason) => {
                self.not_evaluated.get_or_insert(reason);
            }
        }
    }
}

impl From<Vec<Finding>> for Judgement {
    fn from(findings: Vec<Finding>) -> Self {
        Self {
            findings,
            not_evaluated: None,
        }
    }
}

impl From<Finding> for Judgement {
    fn from(finding: Finding) -> Self {
        vec![finding].into()
    }
}

/// Why there is no judgement. Never folded into a pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotEvaluated {
    /// The subject or its API does not exist here, or the spec says to ignore its absence.
    #[error("not applicable: {0}")]
    NotApplicable(String),
    /// It could not be found out: refused, timed out, masked, not collected.
    #[error("not evaluated: {0}")]
    Unknown(String),
    /// A file is there and is not the document that its name promises.
    #[error("not evaluated: {0}")]
    Malformed(String),
    /// The spec's own condition cannot be evaluated (a bad operator, a bad regex): unknown, and the spec's
    /// author is told.
    #[error("not evaluated: {0}")]
    Spec(String),
}

impl NotEvaluated {
    /// The reason alone, without the words that say which of the kinds it is.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::NotApplicable(reason)
            | Self::Unknown(reason)
            | Self::Malformed(reason)
            | Self::Spec(reason) => reason,
        }
    }

    /// Whether it counts as unknown: everything but what does not apply.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        !matches!(self, Self::NotApplicable(_))
    }

    /// What a gap in the bundle means for whoever wanted the data.
    #[must_use]
    pub fn from_gap(path: &str, gap: &Gap) -> Self {
        let reason = format!("{path}: {}: {}", gap.reason.phrase(), gap.detail);
        match gap.reason {
            GapReason::Absent => Self::NotApplicable(reason),
            _ => Self::Unknown(reason),
        }
    }
}

impl From<ReadError> for NotEvaluated {
    fn from(error: ReadError) -> Self {
        match &error {
            ReadError::NotFound(path) => Self::Unknown(format!("{path} was not collected")),
            ReadError::Gap { path, gap } => Self::from_gap(path, gap),
            ReadError::Malformed { .. } => Self::Malformed(error.to_string()),
            _ => Self::Unknown(error.to_string()),
        }
    }
}

impl From<SplitError> for NotEvaluated {
    fn from(error: SplitError) -> Self {
        Self::Malformed(format!("a list cannot be read: {error}"))
    }
}

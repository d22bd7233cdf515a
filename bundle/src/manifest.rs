//! `manifest.json`: what was collected, by which tool, when, and above all what is missing and why.
//!
//! The manifest is the reason why an absent file is an answer: analyzers ask it whether a file that is not
//! there was refused, cut short or never asked for, and never mistake one for the other.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::path::BundlePath;

/// Where the manifest lies in a bundle.
pub const PATH: &str = "manifest.json";

/// [`PATH`] as a path.
pub(crate) fn path() -> BundlePath {
    BundlePath::new(PATH).expect("the constant is a path")
}

/// What is written after the analysis and about it. It is no evidence: were it among the files that analyzers
/// see, a later analysis of the archive would see more than the first one did.
pub const AFTER_ANALYSIS: [&str; 3] = ["analysis.json", "execution-data/summary.txt", PATH];

/// The version of the bundle format that this release writes: readers refuse a higher `major` and read a
/// higher `minor`, saying that a newer release knows more.
pub const FORMAT: FormatVersion = FormatVersion { major: 1, minor: 0 };

/// A bundle format version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FormatVersion {
    /// Changes when an older reader would misread the bundle.
    pub major: u32,
    /// Changes when a newer reader knows more.
    pub minor: u32,
}

/// The whole document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The bundle format.
    pub format: FormatVersion,
    /// The tool and its version, `assay 0.1.0`.
    pub tool: String,
    /// When collection began.
    pub collected_at: Timestamp,
    /// When collection ended, completely or not.
    pub finished_at: Timestamp,
    /// How the run ended.
    pub ending: Ending,
    /// What redaction did.
    pub redaction: Redaction,
    /// One record per collector, in spec order.
    pub collectors: Vec<CollectorRecord>,
    /// Files that were written and are not in the archive, or not whole, and that no collector's gap names: the
    /// disk was full. The archive's writer fills this in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Gap>,
}

impl Manifest {
    /// Redacts what is free text: details of errors and gaps. Paths, titles and kinds stay.
    pub(crate) fn redact_text(&mut self, redact: impl Fn(&str) -> String) {
        let ending = match &mut self.ending {
            Ending::Complete | Ending::Deadline => None,
            Ending::Signal(detail) | Ending::Output(detail) => Some(detail),
        };
        let errors = self.collectors.iter_mut().flat_map(|collector| {
            let gaps = collector.gaps.iter_mut().map(|gap| &mut gap.detail);
            gaps.chain([&mut collector.error])
        });
        let lost = self.lost.iter_mut().map(|gap| &mut gap.detail);
        let withheld = self.redaction.withheld.values_mut();
        for text in errors.chain(lost).chain(withheld).chain(ending) {
            if !text.is_empty() {
                *text = redact(text);
            }
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind", content = "detail")]
pub enum Ending {
    /// Every collector came to its own end.
    Complete,
    /// The run's deadline passed.
    Deadline,
    /// A signal ended it (`SIGINT`, `SIGTERM`).
    Signal(String),
    /// The output could not be written on (`no space left on device`).
    Output(String),
}

/// What redaction did to the bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redaction {
    /// `standard`, `troubleshoot` or `off`.
    pub profile: String,
    /// Masks set, per redactor. In the document a list: as keys, redactors' names look like those of secrets.
    #[serde(default, with = "pairs::masks")]
    pub masks: BTreeMap<String, u64>,
    /// Files that were replaced by a stub because they could not be redacted, with the reason.
    #[serde(default, with = "pairs::withheld")]
    pub withheld: BTreeMap<String, String>,
}

/// Maps as lists of objects with named fields.
mod pairs {
    macro_rules! list_of {
        ($module:ident, $key:ident, $value:ident: $type:ty) => {
            pub(super) mod $module {
                use std::collections::BTreeMap;

                use serde::{Deserialize, Deserializer, Serialize, Serializer};

                #[derive(Serialize, Deserialize)]
                struct Pair {
                    $key: String,
                    $value: $type,
                }

                pub(in super::super) fn serialize<S: Serializer>(
                    map: &BTreeMap<String, $type>,
                    serializer: S,
                ) -> Result<S::Ok, S::Error> {
                    serializer.collect_seq(map.iter().map(|(key, value)| Pair {
                        $key: key.clone(),
                        $value: value.clone(),
                    }))
                }

                pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
                    deserializer: D,
                ) -> Result<BTreeMap<String, $type>, D::Error> {
                    let pairs = Vec::<Pair>::deserialize(deserializer)?;
                    Ok(pairs
                        .into_iter()
                        .map(|pair| (pair.$key, pair.$value))
                        .collect())
                }
            }
        };
    }

    list_of!(masks, redactor, count: u64);
    list_of!(withheld, path, reason: String);
}

/// What one collector did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CollectorRecord {
    /// The collector's kind as the spec names it, `clusterResources`.
    pub collector: String,
    /// Its title in progress and reports, `logs/app`.
    pub title: String,
    /// Whether the spec named it, or it was added by default.
    pub requested: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// What ended it early: what was attempted, on what, what came back, redacted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// Milliseconds from its start to its end, 0 when it never started.
    pub duration_ms: u64,
    /// Bytes it wrote, before redaction.
    pub bytes: u64,
    /// Files it wrote.
    pub files: u64,
    /// Calls made to the API server.
    pub requests: u64,
    /// Calls that were tried again.
    pub retries: u64,
    /// Milliseconds that its calls waited because the API server had too many (429, 503, answers far later than usual), added up over
    /// calls that may have waited at once.
    #[serde(default)]
    pub throttled_ms: u64,
    /// What it asked for and did not get, each with the files that are therefore missing or incomplete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
}

/// How a collector ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// All it was asked for.
    Complete,
    /// Some of it; the gaps say what is missing.
    Partial,
    /// Nothing, because of an error.
    Failed,
    /// Not run: no permission.
    Refused,
    /// Not run: the spec excludes it.
    Excluded,
    /// Not run, or stopped: deadline or signal.
    Cancelled,
}

/// Data that was asked for and is not in the bundle, or not whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// The files concerned, as a glob over bundle paths (`*` within a segment, `**` across).
    pub path: String,
    /// Why.
    pub reason: GapReason,
    /// What was attempted and what came back, redacted: `list pods in namespace "shop": 403 Forbidden`.
    pub detail: String,
}

/// Why data is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GapReason {
    /// The API or the host refused it.
    Refused,
    /// A deadline passed.
    Deadline,
    /// A signal ended the run.
    Cancelled,
    /// An error that is none of the others.
    Failed,
    /// The answer was cut at a limit.
    Limit,
    /// What came back was malformed.
    Malformed,
    /// The subject or its API does not exist.
    Absent,
    /// The file could not be redacted and was withheld.
    Withheld,
}

impl GapReason {
    /// A few words for messages: `refused`, `deadline exceeded`.
    #[must_use]
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Deadline => "deadline exceeded",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Limit => "cut at a limit",
            Self::Malformed => "malformed",
            Self::Absent => "not there",
            Self::Withheld => "withheld by redaction",
        }
    }
}

//! From evaluations and collector records to what a person or a program reads.
//!
//! One model, one file per form: [`human`] for a terminal, [`json`] for our own machine formats,
//! [`troubleshoot`] for the peer's, [`summary`] for `execution-data/summary.txt`.

pub mod human;
pub mod json;
pub mod plan;
pub mod summary;
pub mod troubleshoot;

use std::path::PathBuf;

use analyzers::{Evaluation, Finding, Scope, Verdict};
use bundle::manifest::{CollectorRecord, Gap, GapReason, Outcome};
use serde::Serialize;

use crate::exit::Exit;

/// Everything a run has to say.
#[derive(Debug, Default)]
pub struct Report {
    /// The spec's name.
    pub name: String,
    /// What was judged, in spec order.
    pub findings: Vec<Judged>,
    /// What could not be judged, in spec order.
    pub unresolved: Vec<Unresolved>,
    /// What the collectors did; empty for an offline analysis.
    pub records: Vec<CollectorRecord>,
    /// Files that the bundle could not take and that no collector's record tells of; empty for an offline analysis.
    pub lost: Vec<Gap>,
    /// The bundle, where one was written or read.
    pub bundle: Option<PathBuf>,
}

/// A finding with a verdict.
#[derive(Debug)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// The finding.
    pub finding: Finding,
}

/// A check without a verdict.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unresolved {
    /// The check's title.
    pub title: String,
    /// Why there is no verdict.
    pub message: String,
    /// The analyzer's kind.
    pub analyzer: &'static str,
    /// Whether the installer must not go on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
    /// Whether the subject does not exist here, rather than that it could not be found out.
    #[serde(skip)]
    pub not_applicable: bool,
    /// Which list of the spec named it.
    #[serde(skip)]
    pub scope: Scope,
}

impl Report {
    /// Sorts evaluations into what was judged and what was not.
    #[must_use]
    pub fn new(name: String, evaluations: Vec<Evaluation>, records: Vec<CollectorRecord>) -> Self {
        let mut report = Self {
            name,
            records,
            ..Self::default()
        };
        for evaluation in evaluations {
            report.take(evaluation);
        }
        report
    }

    fn take(&mut self, evaluation: Evaluation) {
        let unresolved = |title: String, message: String, strict, not_applicable| Unresolved {
            title,
            message,
            analyzer: evaluation.kind,
            strict,
            not_applicable,
            scope: evaluation.scope,
        };
        for finding in evaluation.findings {
            match finding.verdict {
                Some(verdict) => self.findings.push(Judged { verdict, finding }),
                None => self.unresolved.push(unresolved(
                    finding.title,
                    "no outcome of the spec matched".to_owned(),
                    finding.strict,
                    false,
                )),
            }
        }
        if let Some(reason) = evaluation.not_evaluated {
            let not_applicable = !reason.is_unknown();
            self.unresolved.push(unresolved(
                evaluation.title,
                reason.reason().to_owned(),
                evaluation.strict,
                not_applicable,
            ));
        }
    }

    /// The findings with this verdict, in spec order.
    pub fn with(&self, verdict: Verdict) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(move |judged| judged.verdict == verdict)
            .map(|judged| &judged.finding)
    }

    /// Checks that could not be evaluated.
    pub fn unknown(&self) -> impl Iterator<Item = &Unresolved> {
        self.unresolved.iter().filter(|check| !check.not_applicable)
    }

    /// Checks whose subject does not exist here.
    pub fn not_applicable(&self) -> impl Iterator<Item = &Unresolved> {
        self.unresolved.iter().filter(|check| check.not_applicable)
    }

    /// Requested collectors that did not bring all they were asked for. What was only added by default, and
    /// what does not exist in this cluster, does not count.
    pub fn incomplete(&self) -> impl Iterator<Item = &CollectorRecord> {
        self.records.iter().filter(|record| is_incomplete(record))
    }

    /// The exit code of our own command line.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.verdict_exit().and(
            if self.unknown().next().is_some()
                || self.incomplete().next().is_some()
                || !self.lost.is_empty()
            {
                Exit::Unknown
            } else {
                Exit::Pass
            },
        )
    }

    /// The exit code of the verdicts alone.
    #[must_use]
    pub fn verdict_exit(&self) -> Exit {
        self.findings
            .iter()
            .map(|judged| match judged.verdict {
                Verdict::Pass => Exit::Pass,
                Verdict::Warn => Exit::Warn,
                Verdict::Fail => Exit::Fail,
            })
            .fold(Exit::Pass, Exit::and)
    }
}

/// Whether the spec named the collector and it did not bring all that it was asked for.
#[must_use]
pub fn is_incomplete(record: &CollectorRecord) -> bool {
    record.requested
        && match record.outcome {
            Outcome::Complete | Outcome::Excluded => false,
            // Without a gap its files are there and it failed all the same: its error is told.
            Outcome::Partial => {
                let mut gaps = record.gaps.iter();
                record.gaps.is_empty() || gaps.any(|gap| gap.reason != GapReason::Absent)
            }
            Outcome::Failed | Outcome::Refused | Outcome::Cancelled => true,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(outcome: Outcome, gaps: &[GapReason]) -> CollectorRecord {
        let gap = |reason: &GapReason| Gap {
            path: "a.json".to_owned(),
            reason: *reason,
            detail: String::new(),
        };
        CollectorRecord {
            collector: "runPod".to_owned(),
            title: "run-pod/a".to_owned(),
            requested: true,
            outcome,
            error: String::new(),
            duration_ms: 0,
            bytes: 0,
            files: 1,
            requests: 0,
            retries: 0,
            throttled_ms: 0,
            gaps: gaps.iter().map(gap).collect(),
        }
    }

    #[test]
    fn what_was_asked_for_and_did_not_come_counts() {
        for (outcome, gaps, exit) in [
            (Outcome::Complete, &[][..], Exit::Pass),
            (Outcome::Excluded, &[], Exit::Pass),
            (Outcome::Complete, &[GapReason::Absent], Exit::Pass),
            (Outcome::Partial, &[GapReason::Absent], Exit::Pass),
            // A pod that did not end in time, with all of its files written.
            (Outcome::Partial, &[], Exit::Unknown),
            (
                Outcome::Partial,
                &[GapReason::Absent, GapReason::Refused],
                Exit::Unknown,
            ),
            (Outcome::Failed, &[], Exit::Unknown),
            (Outcome::Refused, &[], Exit::Unknown),
            (Outcome::Cancelled, &[], Exit::Unknown),
        ] {
            let mut report = Report::new(String::new(), Vec::new(), vec![record(outcome, gaps)]);
            assert_eq!(report.exit(), exit, "{outcome:?} {gaps:?}");
            report.records[0].requested = false;
            assert_eq!(report.exit(), Exit::Pass, "added by default");
        }
        let lost = record(Outcome::Partial, &[GapReason::Failed]).gaps;
        let report = Report {
            lost,
            ..Report::default()
        };
        assert_eq!(report.exit(), Exit::Unknown);
    }
}

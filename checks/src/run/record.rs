//! What became of a collector: its record in the manifest, and the files that troubleshoot writes about it.

use std::sync::Arc;
use std::time::Duration;

use bundle::BundlePath;
use bundle::manifest::{CollectorRecord, Ending, Gap, GapReason, Outcome};
use jiff::Timestamp;
use serde::Serialize;

use super::Stop;
use crate::cluster::Tally;
use crate::collector::{CollectError, Collector, CollectorKind, Context, Output, Scope};

/// One collector and what became of it.
pub(super) struct Job {
    pub(super) index: usize,
    pub(super) kind: &'static CollectorKind,
    pub(super) collector: Arc<dyn Collector>,
    pub(super) title: String,
    pub(super) requested: bool,
    pub(super) context: Context,
    pub(super) output: Output,
    pub(super) state: State,
    /// How long it may take in all, where a budget says so.
    pub(super) time: Option<Duration>,
    pub(super) took: Duration,
}

#[derive(Debug)]
pub(super) enum State {
    Waiting,
    Excluded,
    /// Not run: these permissions are denied.
    Refused(Vec<String>),
    Ended(Result<(), CollectError>),
    /// Dropped by the run's end.
    Cut,
}

impl Job {
    /// Whether there is something that the collector collects when all others have ended.
    pub(super) fn has_more(&self) -> bool {
        matches!(self.state, State::Ended(Ok(()))) && self.collector.comes_back()
    }

    pub(super) fn record(&self, stop: &Stop) -> CollectorRecord {
        let written = self.output.written();
        let mut gaps = written.gaps;
        let missing = |reason: GapReason, detail: &str| {
            let files = match &written.outstanding {
                Some(outstanding) => outstanding.iter().cloned().collect(),
                None => self.collector.files(self.context.namespace.as_deref()),
            };
            let gaps: Vec<Gap> = files
                .into_iter()
                .map(|path| Gap {
                    path,
                    reason,
                    detail: detail.to_owned(),
                })
                .collect();
            gaps
        };
        let error = match &self.state {
            State::Refused(refusals) => refusals.join("; "),
            State::Ended(Err(error)) => error.to_string(),
            _ => String::new(),
        };
        let outcome = match &self.state {
            State::Excluded => Outcome::Excluded,
            State::Refused(refusals) => {
                gaps.extend(missing(GapReason::Refused, &refusals.join("; ")));
                Outcome::Refused
            }
            State::Waiting | State::Cut => {
                let (reason, detail) = match stop.ending() {
                    Ending::Deadline => (GapReason::Deadline, "the run's deadline passed".into()),
                    Ending::Signal(name) => (GapReason::Cancelled, format!("{name} ended the run")),
                    Ending::Output(error) => (GapReason::Failed, error),
                    Ending::Complete => (GapReason::Cancelled, "the run ended".into()),
                };
                gaps.extend(missing(reason, &detail));
                Outcome::Cancelled
            }
            State::Ended(Err(error)) => {
                gaps.extend(missing(error.gap_reason(), &error.to_string()));
                match error {
                    _ if written.files > 0 => Outcome::Partial,
                    CollectError::Deadline(_) => Outcome::Cancelled,
                    _ => Outcome::Failed,
                }
            }
            State::Ended(Ok(())) if gaps.iter().all(|gap| gap.reason == GapReason::Absent) => {
                Outcome::Complete
            }
            State::Ended(Ok(())) => Outcome::Partial,
        };
        let tally = self.context.cluster.as_ref().map(|cluster| cluster.tally());
        CollectorRecord {
            collector: self.kind.name.to_owned(),
            title: self.title.clone(),
            requested: self.requested,
            outcome,
            error,
            duration_ms: u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            bytes: written.bytes,
            files: written.files,
            requests: tally.map_or(0, Tally::requests),
            retries: tally.map_or(0, Tally::retries),
            throttled_ms: tally.map_or(0, Tally::throttled_ms),
            gaps,
        }
    }
}

#[derive(Serialize)]
struct Skipped<'a> {
    collector: &'a str,
    reason: &'static str,
    errors: &'a [String],
    timestamp: String,
}

#[derive(Serialize)]
struct Failure<'a> {
    collector: &'a str,
    error: &'a str,
    timestamp: String,
}

/// `skipped-collectors.json`, `collector-errors/<title>-error.json` and `host-collectors/errors/<title>-error.json`,
/// as troubleshoot writes them. What cannot be written is in the manifest all the same.
pub(super) fn write_error_files(jobs: &[Job], records: &[CollectorRecord], output: &Output) {
    let timestamp = Timestamp::now().to_string();
    let skipped: Vec<Skipped<'_>> = jobs
        .iter()
        .filter_map(|job| {
            let (reason, errors) = match &job.state {
                State::Excluded => ("excluded", [].as_slice()),
                State::Refused(errors) => ("insufficient RBAC permissions", errors.as_slice()),
                _ => return None,
            };
            Some(Skipped {
                collector: &job.title,
                reason,
                errors,
                timestamp: timestamp.clone(),
            })
        })
        .collect();
    if !skipped.is_empty()
        && let Ok(path) = BundlePath::new("skipped-collectors.json")
    {
        warn(output.json(&path, &skipped));
    }
    for (job, record) in jobs.iter().zip(records) {
        let State::Ended(Err(error)) = &job.state else {
            continue;
        };
        let failure = Failure {
            collector: &record.title,
            error: &error.to_string(),
            timestamp: timestamp.clone(),
        };
        let folder = match job.kind.scope {
            Scope::Cluster => "collector-errors",
            Scope::Host => "host-collectors/errors",
        };
        let path = BundlePath::join([folder, &format!("{}-error.json", record.title)]);
        let (Ok(path), Ok(text)) = (path, syntax::json::to_vec(&failure, "")) else {
            continue;
        };
        warn(output.write(&path, &text));
    }
}

fn warn(result: Result<(), CollectError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "cannot record a collector's failure");
    }
}

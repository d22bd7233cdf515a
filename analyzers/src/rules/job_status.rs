//! `jobStatus`: a Job, or every one, has done its work.

use bundle::Files;
use bundle::collected::workload::Workload;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::finding::{Icon, Judgement, NotEvaluated};
use crate::workload::{Absence, WorkloadConfig, WorkloadKind};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "Jobs have done their work",
    docs: docs::<JobStatus>,
    since: "0.1.0",
    needs: &["clusterResources"],
    parse: parse::<JobStatus>,
    schema: schema::<JobStatus>,
};

const NAME: &str = "jobStatus";

const JOB: WorkloadKind = WorkloadKind {
    analyzer: NAME,
    noun: "job",
    label: "Job",
    api_version: "batch/v1",
    kind: "Job",
    folder: "cluster-resources/jobs",
    icon: Icon {
        key: "kubernetes_deployment_status",
        file: "deployment-status.svg?w=17&h=17",
    },
    counts: &[
        ("succeeded", |status| status.succeeded),
        ("failed", |status| status.failed),
    ],
    is_complete,
    lacks: |_| "is not complete".to_owned(),
    observed,
    trouble: "failed",
    absence: Absence::Fails,
    judges_without_outcomes: true,
};

/// Jobs have done their work.
///
/// # What it checks
/// With `name` and `namespace`: how many pods of that Job succeeded or failed. Without `name`: whether a Job of
/// `namespace` and `namespaces`, or of all namespaces where neither is given, has pods that failed and has not yet as
/// many that succeeded as it needs.
///
/// # When it warns or fails
/// With a name the first outcome that holds counts: `when` is `succeeded` or `failed`, one of `= == === < > <= >=`, and
/// a number (`"failed > 0"`). A Job that does not exist fails whatever the outcomes ask for: Jobs with
/// `ttlSecondsAfterFinished` are gone some time after their work is done. Without outcomes, and without a name, each Job
/// that has failed pods and is not complete fails, and others are not mentioned: a Job that still runs is no failure.
/// Without a name the outcomes are not used.
///
/// # What to do
/// `kubectl -n NAMESPACE describe job NAME` shows how often it was tried and why it gave up; the logs of its pods say what
/// went wrong.
///
/// # Needs
/// The collector `clusterResources` (always added), which lists `jobs.batch` in each namespace. A namespace that may not
/// be read is unknown, the others are judged.
///
/// # Example
/// ```yaml
/// jobStatus:
///   name: migrate
///   namespace: shop
///   outcomes:
///     - fail:
///         when: "failed > 0"
///         message: The migration of the database failed.
///     - pass:
///         when: "succeeded > 0"
///         message: The database is migrated.
///     - warn:
///         message: The migration still runs.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
struct JobStatus(WorkloadConfig);

/// A Job that works off a queue does not say how many pods should succeed: one that does ends it.
fn is_complete(job: &Workload) -> bool {
    let (spec, status) = (&job.spec, &job.status);
    status.failed == 0
        || match spec.completions {
            Some(completions) => status.succeeded == completions,
            None => status.succeeded > 0,
        }
}

fn observed(job: &Workload) -> String {
    let (spec, status) = (&job.spec, &job.status);
    let counts = format!("{} succeeded, {} failed", status.succeeded, status.failed);
    match spec.completions {
        Some(completions) => format!("{counts}, {completions} needed"),
        None => counts,
    }
}

impl Analyzer for JobStatus {
    fn title(&self, meta: &Meta) -> String {
        JOB.title(&self.0, meta)
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        JOB.analyze(&self.0, meta, files)
    }
}

//! `statefulsetStatus`: a `StatefulSet`, or every one, has its replicas.

use bundle::Files;
use bundle::collected::workload::Workload;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::finding::{Icon, Judgement, NotEvaluated};
use crate::workload::{Absence, WorkloadConfig, WorkloadKind, lacks_replicas, replicas};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "StatefulSets have their replicas",
    docs: docs::<StatefulsetStatus>,
    since: "0.1.0",
    needs: &["clusterResources"],
    parse: parse::<StatefulsetStatus>,
    schema: schema::<StatefulsetStatus>,
};

const NAME: &str = "statefulsetStatus";

const STATEFULSET: WorkloadKind = WorkloadKind {
    analyzer: NAME,
    noun: "statefulset",
    label: "Statefulset",
    api_version: "apps/v1",
    kind: "StatefulSet",
    folder: "cluster-resources/statefulsets",
    icon: Icon {
        key: "kubernetes_statefulset_status",
        file: "statefulset-status.svg?w=23&h=14",
    },
    counts: &[("", |status| status.ready_replicas)],
    is_complete,
    lacks: lacks_replicas,
    observed: replicas,
    trouble: "are not ready",
    absence: Absence::Outcome,
    judges_without_outcomes: true,
};

/// Stateful sets have their replicas.
///
/// # What it checks
/// With `name` and `namespace`: the ready replicas of that `StatefulSet`. Without `name`: whether in every
/// `StatefulSet` of `namespace` and `namespaces`, or of all namespaces where neither is given, all replicas
/// are ready.
///
/// # When it warns or fails
/// With a name the first outcome that holds counts: `when` is `absent`, or `= == === < > <= >=` and a number
/// of ready replicas (`"< 1"`). A `StatefulSet` that does not exist fails at the first outcome that is not
/// `absent`. Without outcomes it fails when a replica is not ready. Without a name each `StatefulSet` that
/// lacks replicas fails, healthy ones are not mentioned, and the outcomes are not used.
///
/// # What to do
/// `kubectl -n NAMESPACE describe statefulset NAME` shows its conditions; its pods' events and logs show why
/// they are not ready.
///
/// # Needs
/// The collector `clusterResources` (always added), which lists `statefulsets.apps` in each namespace. A
/// namespace that may not be read is unknown, the others are judged.
///
/// # Example
/// ```yaml
/// statefulsetStatus:
///   name: database
///   namespace: shop
///   outcomes:
///     - fail:
///         when: "< 1"
///         message: The database is down.
///     - warn:
///         when: "= 1"
///         message: The database has a single replica.
///     - pass:
///         message: The database is ready.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
struct StatefulsetStatus(WorkloadConfig);

fn is_complete(statefulset: &Workload) -> bool {
    statefulset.status.replicas == statefulset.status.ready_replicas
}

impl Analyzer for StatefulsetStatus {
    fn title(&self, meta: &Meta) -> String {
        STATEFULSET.title(&self.0, meta)
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        STATEFULSET.analyze(&self.0, meta, files)
    }
}

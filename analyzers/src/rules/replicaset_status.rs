//! `replicasetStatus`: a `ReplicaSet`, or every one that a selector selects, has its replicas.

use bundle::Files;
use bundle::collected::workload::Workload;
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::selector::LabelSelector;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::finding::{Icon, Judgement, NotEvaluated};
use crate::outcome::Outcome;
use crate::workload::{Absence, WorkloadConfig, WorkloadKind, replicas};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "ReplicaSets have their replicas",
    docs: docs::<ReplicasetStatus>,
    since: "0.1.0",
    needs: &["clusterResources"],
    parse: parse::<ReplicasetStatus>,
    schema: schema::<ReplicasetStatus>,
};

const NAME: &str = "replicasetStatus";

const REPLICASET: WorkloadKind = WorkloadKind {
    analyzer: NAME,
    noun: "replicaset",
    label: "ReplicaSet",
    api_version: "apps/v1",
    kind: "ReplicaSet",
    folder: "cluster-resources/replicasets",
    icon: Icon {
        key: "kubernetes_deployment_status",
        file: "deployment-status.svg?w=17&h=17",
    },
    counts: &[
        ("ready", |status| status.ready_replicas),
        ("available", |status| status.available_replicas),
    ],
    is_complete,
    lacks: |_| "is not ready".to_owned(),
    observed: replicas,
    trouble: "are not ready",
    absence: Absence::Fails,
    judges_without_outcomes: true,
};

/// Replica sets have their replicas.
///
/// # What it checks
/// With `name` and `namespace`: the ready or available replicas of that `ReplicaSet`. Without `name`: those of every
/// `ReplicaSet` that `selector` selects, in `namespace` and `namespaces`, or in all namespaces where neither is given.
///
/// # When it warns or fails
/// The first outcome that holds counts, for the one or for each: `when` is `ready` or `available`, one of
/// `= == === < > <= >=`, and a number (`"available < 2"`). Without outcomes a `ReplicaSet` fails that has not as many
/// available replicas as it should have, and others are not mentioned: a Deployment's old revisions should have none. A
/// named `ReplicaSet` that does not exist fails.
///
/// # What to do
/// `kubectl -n NAMESPACE describe replicaset NAME` shows why pods cannot be made (quotas, admission); its pods' events
/// and logs show why they are not ready.
///
/// # Needs
/// The collector `clusterResources` (always added), which lists `replicasets.apps` in each namespace. A namespace that
/// may not be read is unknown, the others are judged.
///
/// # Example
/// ```yaml
/// replicasetStatus:
///   namespace: shop
///   selector:
///     - app=api
///   outcomes:
///     - fail:
///         when: "available < 1"
///         message: The API is down.
///     - pass:
///         message: The API is ready.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct ReplicasetStatus {
    /// The conditions on the replicas, and what to say.
    outcomes: Vec<Outcome>,
    /// The `ReplicaSet`; empty judges every one that is selected.
    name: String,
    /// The namespace of the named one. Without a name: a namespace to look at.
    namespace: String,
    /// Without a name: more namespaces to look at; all where neither is given.
    namespaces: Vec<String>,
    /// Without a name: label selectors as `kubectl -l` reads them, which must all select it.
    selector: Vec<String>,
}

fn is_complete(replicaset: &Workload) -> bool {
    replicaset.spec.replicas.unwrap_or(1) == replicaset.status.available_replicas
}

impl ReplicasetStatus {
    fn config(&self) -> WorkloadConfig {
        WorkloadConfig {
            outcomes: self.outcomes.clone(),
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            namespaces: self.namespaces.clone(),
        }
    }
}

impl Analyzer for ReplicasetStatus {
    fn title(&self, meta: &Meta) -> String {
        REPLICASET.title(&self.config(), meta)
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let config = self.config();
        if !self.name.is_empty() {
            return REPLICASET.analyze(&config, meta, files);
        }
        let text = self.selector.join(",");
        let selector = LabelSelector::parse(&text).map_err(|error| {
            NotEvaluated::Spec(format!("the selector {text:?} cannot be read: {error}"))
        })?;
        REPLICASET.analyze_all(&config, &self.outcomes, &selector, meta, files)
    }
}

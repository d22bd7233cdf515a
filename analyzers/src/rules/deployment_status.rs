//! `deploymentStatus`: a Deployment, or every one, has its replicas.

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
    summary: "Deployments have their replicas",
    docs: docs::<DeploymentStatus>,
    since: "0.1.0",
    needs: &["clusterResources"],
    parse: parse::<DeploymentStatus>,
    schema: schema::<DeploymentStatus>,
};

const NAME: &str = "deploymentStatus";

const DEPLOYMENT: WorkloadKind = WorkloadKind {
    analyzer: NAME,
    noun: "deployment",
    label: "Deployment",
    api_version: "apps/v1",
    kind: "Deployment",
    folder: "cluster-resources/deployments",
    icon: Icon {
        key: "kubernetes_deployment_status",
        file: "deployment-status.svg?w=17&h=17",
    },
    counts: &[("", |status| status.ready_replicas)],
    is_complete,
    lacks: lacks_replicas,
    observed: replicas,
    trouble: "are not ready",
    absence: Absence::Outcome,
    judges_without_outcomes: false,
};

/// Deployments have their replicas.
///
/// # What it checks
/// With `name` and `namespace`: the ready replicas of that Deployment. Without `name`: whether every
/// Deployment of `namespace` and `namespaces`, or of all namespaces where neither is given, has as many
/// available replicas as it has replicas.
///
/// # When it warns or fails
/// With a name the first outcome that holds counts: `when` is `absent`, or `= == === < > <= >=` and a number
/// of ready replicas (`"< 1"`). A Deployment that does not exist fails at the first outcome that is not
/// `absent`. Without a name each Deployment that lacks replicas fails, healthy ones are not mentioned, and
/// the outcomes are not used.
///
/// # What to do
/// `kubectl -n NAMESPACE describe deployment NAME` shows its conditions; its pods' events and logs show why
/// they are not ready.
///
/// # Needs
/// The collector `clusterResources` (always added), which lists `deployments.apps` in each namespace. A
/// namespace that may not be read is unknown, the others are judged.
///
/// # Example
/// ```yaml
/// deploymentStatus:
///   name: api
///   namespace: shop
///   outcomes:
///     - fail:
///         when: "< 1"
///         message: The API is down.
///     - warn:
///         when: "= 1"
///         message: The API has a single replica.
///     - pass:
///         message: The API is ready.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
struct DeploymentStatus(WorkloadConfig);

fn is_complete(deployment: &Workload) -> bool {
    deployment.status.replicas == deployment.status.available_replicas
}

impl Analyzer for DeploymentStatus {
    fn title(&self, meta: &Meta) -> String {
        DEPLOYMENT.title(&self.0, meta)
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        DEPLOYMENT.analyze(&self.0, meta, files)
    }
}

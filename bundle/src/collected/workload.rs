//! `cluster-resources/{deployments,statefulsets,replicasets,jobs}/<namespace>.json`: what a workload should have, and has.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::or_default;

/// A Deployment, a `StatefulSet`, a `ReplicaSet` or a Job: each has the fields of its own kind, the others are zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Workload {
    /// Name, namespace and labels.
    pub metadata: WorkloadMetadata,
    /// What it should have.
    pub spec: WorkloadSpec,
    /// What it has.
    pub status: WorkloadStatus,
}

/// The part of a workload's `ObjectMeta` that finds it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct WorkloadMetadata {
    /// The workload's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
}

/// The counts that are asked of a workload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct WorkloadSpec {
    /// Pods that there should be; one where it is not given.
    pub replicas: Option<i32>,
    /// A Job's pods that should succeed; nothing for a Job that works off a queue.
    pub completions: Option<i32>,
}

/// The counts that a workload has reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkloadStatus {
    /// Pods that exist.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready_replicas: i32,
    /// Pods that have been ready for `minReadySeconds`.
    pub available_replicas: i32,
    /// A Job's pods that succeeded.
    pub succeeded: i32,
    /// A Job's pods that failed.
    pub failed: i32,
}

//! `cluster-resources/deployments/<namespace>.json` and `…/statefulsets/<namespace>.json`: replica counts.

use serde::Deserialize;

use super::Name;

/// A Deployment or a `StatefulSet`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Workload {
    /// Name and namespace.
    pub metadata: Name,
    /// Replica counts.
    pub status: WorkloadStatus,
}

/// The replica counts of a workload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkloadStatus {
    /// Pods that exist.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready_replicas: i32,
    /// Pods that have been ready for `minReadySeconds`.
    pub available_replicas: i32,
}

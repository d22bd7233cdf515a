//! `cluster-info/cluster_version.json`: the API server's version.

use serde::{Deserialize, Serialize};

/// Where it lies.
pub const PATH: &str = "cluster-info/cluster_version.json";

/// The document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterVersion {
    /// The `/version` answer as the server gave it (`major`, `minor`, `gitVersion`, …).
    pub info: serde_json::Map<String, serde_json::Value>,
    /// `gitVersion`, `v1.31.2+k3s1`.
    pub string: String,
}

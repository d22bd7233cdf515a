//! `cluster-resources/custom-resources/clusters.postgresql.cnpg.io/<namespace>.json` and
//! `…/poolers.postgresql.cnpg.io/<namespace>.json`: CloudNativePG's objects (`postgresql.cnpg.io/v1`).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Name, or_default};

/// Where the Clusters are.
pub const CLUSTERS: &str = "cluster-resources/custom-resources/clusters.postgresql.cnpg.io";

/// Where the Poolers are.
pub const POOLERS: &str = "cluster-resources/custom-resources/poolers.postgresql.cnpg.io";

/// A Cluster: a PostgreSQL server and its standbys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Cluster {
    /// Name and namespace.
    pub metadata: Name,
    /// What it is to be.
    pub spec: ClusterSpec,
    /// What it is.
    #[serde(deserialize_with = "or_default")]
    pub status: ClusterStatus,
}

/// What a Cluster is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ClusterSpec {
    /// The server's configuration.
    #[serde(deserialize_with = "or_default")]
    pub postgresql: Configuration,
}

/// A server's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Configuration {
    /// `postgresql.conf`; what is not there is PostgreSQL's default.
    #[serde(deserialize_with = "or_default")]
    pub parameters: BTreeMap<String, String>,
}

/// What a Cluster is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterStatus {
    /// `Cluster in healthy state`, …
    pub phase: String,
}

/// A Pooler: a Deployment of `PgBouncer` in front of a Cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Pooler {
    /// Name and namespace.
    pub metadata: Name,
    /// What it is to be.
    pub spec: PoolerSpec,
}

/// What a Pooler is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PoolerSpec {
    /// The Cluster behind it.
    pub cluster: Name,
    /// `rw`, `ro`, `r`; empty is `rw`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its pods; 1 where it is not said.
    pub instances: Option<i64>,
    /// `PgBouncer`.
    #[serde(deserialize_with = "or_default")]
    pub pgbouncer: PgBouncer,
}

/// `PgBouncer`'s configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PgBouncer {
    /// `session` (also where it is empty) or `transaction`.
    pub pool_mode: String,
    /// `pgbouncer.ini`; what is not there is `PgBouncer`'s default.
    #[serde(deserialize_with = "or_default")]
    pub parameters: BTreeMap<String, String>,
    /// Whether it is paused.
    pub paused: bool,
}

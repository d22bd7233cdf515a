//! What the API server's admission asks of a namespace's pods: limit ranges and quotas.

use serde::Deserialize;

use super::scheduling::ResourceList;
use super::{Name, list, or_default};

/// `cluster-resources/limitranges/<namespace>.json`: a `LimitRange`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LimitRange {
    /// Its name.
    pub metadata: Name,
    /// What it says.
    pub spec: LimitRangeSpec,
}

/// `LimitRangeSpec`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LimitRangeSpec {
    /// For containers, pods, volume claims.
    #[serde(deserialize_with = "list")]
    pub limits: Vec<LimitRangeItem>,
}

/// `LimitRangeItem`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LimitRangeItem {
    /// `Container`, `Pod` or `PersistentVolumeClaim`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The most.
    #[serde(deserialize_with = "or_default")]
    pub max: ResourceList,
    /// The least.
    #[serde(deserialize_with = "or_default")]
    pub min: ResourceList,
    /// Limits of containers that have none.
    #[serde(deserialize_with = "or_default")]
    pub default: ResourceList,
    /// Requests of containers that have none.
    #[serde(deserialize_with = "or_default")]
    pub default_request: ResourceList,
    /// How many times its request a limit may be.
    #[serde(deserialize_with = "or_default")]
    pub max_limit_request_ratio: ResourceList,
}

/// `cluster-resources/resource-quota/<namespace>.json`: a `ResourceQuota`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ResourceQuota {
    /// Its name.
    pub metadata: Name,
    /// What was asked for.
    pub spec: ResourceQuotaSpec,
    /// What holds.
    pub status: ResourceQuotaStatus,
}

/// `ResourceQuotaSpec`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceQuotaSpec {
    /// The most of each.
    #[serde(deserialize_with = "or_default")]
    pub hard: ResourceList,
    /// Which pods it counts.
    #[serde(deserialize_with = "list")]
    pub scopes: Vec<String>,
    /// Which pods it counts.
    pub scope_selector: Option<ScopeSelector>,
}

/// `ScopeSelector`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ScopeSelector {
    /// All must hold.
    #[serde(deserialize_with = "list")]
    pub match_expressions: Vec<ScopeRequirement>,
}

/// `ScopedResourceSelectorRequirement`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ScopeRequirement {
    /// `PriorityClass`, `BestEffort` and their kin.
    pub scope_name: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`.
    pub operator: String,
    /// Names of classes.
    #[serde(deserialize_with = "list")]
    pub values: Vec<String>,
}

/// `ResourceQuotaStatus`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ResourceQuotaStatus {
    /// The most of each.
    #[serde(deserialize_with = "or_default")]
    pub hard: ResourceList,
    /// What is used of it.
    #[serde(deserialize_with = "or_default")]
    pub used: ResourceList,
}

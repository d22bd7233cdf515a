//! `cluster-resources/deployments/<namespace>.json`, `…/statefulsets/<namespace>.json` and
//! `…/horizontalpodautoscalers/<namespace>.json`: how many pods a workload may have, and with which environment.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Name, list, or_default};

/// A Deployment or a `StatefulSet`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Scaled {
    /// Name and namespace.
    pub metadata: Name,
    /// What is wanted.
    pub spec: ScaledSpec,
}

/// What a workload is to be.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ScaledSpec {
    /// Pods; 1 where it is not said.
    pub replicas: Option<i64>,
    /// How a Deployment is rolled out.
    #[serde(deserialize_with = "or_default")]
    pub strategy: Strategy,
    /// The pods.
    #[serde(deserialize_with = "or_default")]
    pub template: Template,
}

/// A Deployment's `strategy`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Strategy {
    /// `RollingUpdate` or `Recreate`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its numbers.
    #[serde(deserialize_with = "or_default")]
    pub rolling_update: RollingUpdate,
}

/// The numbers of a rolling update.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RollingUpdate {
    /// Pods beyond the replicas: a number or `"25%"`.
    pub max_surge: Option<serde_json::Value>,
}

/// A pod template.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Template {
    /// The pods' `spec`.
    pub spec: TemplateSpec,
}

/// The part of a pod's `spec` that tells the environment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TemplateSpec {
    /// The containers.
    #[serde(deserialize_with = "list")]
    pub containers: Vec<Container>,
}

/// A container with its environment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Variables.
    #[serde(deserialize_with = "list")]
    pub env: Vec<Variable>,
    /// `ConfigMaps` and Secrets whose keys are variables.
    #[serde(deserialize_with = "list")]
    pub env_from: Vec<EnvironmentSource>,
}

/// A variable.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value, where it stands there.
    pub value: Option<String>,
    /// Where it is otherwise.
    pub value_from: Option<ValueSource>,
}

/// Where a variable's value is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ValueSource {
    /// A key of a `ConfigMap`.
    pub config_map_key_ref: Option<KeyReference>,
}

/// A key of an object.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct KeyReference {
    /// The object.
    pub name: String,
    /// The key.
    pub key: String,
}

/// An object whose keys are variables.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvironmentSource {
    /// What stands before each key.
    pub prefix: String,
    /// A `ConfigMap`.
    pub config_map_ref: Option<Name>,
    /// A Secret.
    pub secret_ref: Option<Name>,
}

/// A `ConfigMap`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ConfigMap {
    /// Name and namespace.
    pub metadata: Name,
    /// Its text.
    #[serde(deserialize_with = "or_default")]
    pub data: BTreeMap<String, String>,
}

/// A `HorizontalPodAutoscaler`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Autoscaler {
    /// Name and namespace.
    pub metadata: Name,
    /// What it does.
    pub spec: AutoscalerSpec,
}

/// What an autoscaler does.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AutoscalerSpec {
    /// The workload.
    pub scale_target_ref: ScaleTarget,
    /// Pods at most.
    pub max_replicas: i64,
}

/// What an autoscaler scales.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ScaleTarget {
    /// `Deployment`
    pub kind: String,
    /// Its name.
    pub name: String,
}

//! Deployments and `DaemonSets` with the template of their pods: what they run, with which arguments and volumes.

use serde::Deserialize;
use serde_json::Value;

use super::scheduling::Toleration;
use super::{Metadata, list, or_default};

/// A Deployment or a `DaemonSet`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Templated {
    /// Name, namespace, labels.
    pub metadata: Metadata,
    /// What it runs.
    pub spec: TemplatedSpec,
    /// How many run.
    pub status: TemplatedStatus,
}

/// The part of the `spec` that says what runs.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TemplatedSpec {
    /// A Deployment's wish; 1 where it is left out.
    pub replicas: Option<i32>,
    /// The pods.
    pub template: Template,
}

/// `PodTemplateSpec`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Template {
    /// The pods' `spec`.
    pub spec: TemplateSpec,
}

/// `PodSpec` of a template.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TemplateSpec {
    /// Containers that run first; Velero's plugins are such.
    #[serde(deserialize_with = "list")]
    pub init_containers: Vec<TemplateContainer>,
    /// The containers.
    #[serde(deserialize_with = "list")]
    pub containers: Vec<TemplateContainer>,
    /// Which taints they bear.
    #[serde(deserialize_with = "list")]
    pub tolerations: Vec<Toleration>,
    /// The labels of a node that they want.
    #[serde(deserialize_with = "or_default")]
    pub node_selector: std::collections::BTreeMap<String, String>,
    /// Volumes, each a name and a source.
    #[serde(deserialize_with = "list")]
    pub volumes: Vec<Value>,
}

/// `Container` of a template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TemplateContainer {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// What replaces the image's entry point.
    #[serde(deserialize_with = "list")]
    pub command: Vec<String>,
    /// Its arguments.
    #[serde(deserialize_with = "list")]
    pub args: Vec<String>,
}

/// The replica counts, under the names that a Deployment and a `DaemonSet` have for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TemplatedStatus {
    /// A Deployment's ready pods.
    pub ready_replicas: i32,
    /// Nodes that should run a `DaemonSet`'s pod.
    pub desired_number_scheduled: i32,
    /// Nodes whose pod is ready.
    pub number_ready: i32,
}

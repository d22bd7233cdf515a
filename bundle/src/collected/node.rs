//! `cluster-resources/nodes.json`: what the nodes are and what they have.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Metadata, list, or_default};

/// Where the list lies.
pub const PATH: &str = "cluster-resources/nodes.json";

/// A node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Name, labels, annotations.
    pub metadata: Metadata,
    /// What it was told to be.
    pub spec: NodeSpec,
    /// What it is.
    pub status: NodeStatus,
}

impl Node {
    /// What images must be built for to run on it, as `linux/arm64`; nothing where it does not say its architecture. The
    /// operating system is what the kubelet says, else the label `kubernetes.io/os`, else `linux`.
    #[must_use]
    pub fn platform(&self) -> Option<String> {
        let NodeInfo {
            architecture,
            operating_system,
            ..
        } = &self.status.node_info;
        let label = self.metadata.labels.get("kubernetes.io/os");
        let os = match operating_system.as_str() {
            "" => label.map_or("linux", String::as_str),
            os => os,
        };
        (!architecture.is_empty()).then(|| format!("{os}/{architecture}"))
    }
}

/// `NodeSpec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    /// `<provider>://<id>`.
    #[serde(rename = "providerID")]
    pub provider_id: String,
    /// What keeps pods away.
    #[serde(deserialize_with = "list")]
    pub taints: Vec<Taint>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
}

/// `Taint`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Taint {
    /// A label-like key.
    pub key: String,
    /// A label-like value.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// `NodeStatus`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeStatus {
    /// All that the node has, quantities by resource name.
    #[serde(deserialize_with = "or_default")]
    pub capacity: BTreeMap<String, Quantity>,
    /// What pods may have of it.
    #[serde(deserialize_with = "or_default")]
    pub allocatable: BTreeMap<String, Quantity>,
    /// `Ready` and its kin.
    #[serde(deserialize_with = "list")]
    pub conditions: Vec<Condition>,
    /// What the kubelet says of its machine.
    pub node_info: NodeInfo,
}

/// A quantity as it was written: a JSON string, or a bare number, which the API also takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Scalar")]
pub struct Quantity(pub String);

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(serde_json::Number),
}

impl From<Scalar> for Quantity {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Text(text) => Self(text),
            Scalar::Number(number) => Self(number.to_string()),
        }
    }
}

/// A condition of a node or a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// `Ready`, `PodScheduled`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// A sentence for people.
    pub message: String,
}

/// `NodeSystemInfo`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeInfo {
    /// `amd64`, `arm64`.
    pub architecture: String,
    /// `linux`, `windows`.
    pub operating_system: String,
    /// `Ubuntu 24.04.1 LTS`.
    pub os_image: String,
    /// `containerd://1.7.22`.
    pub container_runtime_version: String,
    /// `v1.31.2+k3s1`.
    pub kubelet_version: String,
}

//! What the API server's admission and the scheduler look at: pods with what they ask for, and the objects that add to
//! it or forbid it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::node::Quantity;
use super::{Metadata, Name, list, or_default};

/// The folder of the pods' lists, one for each namespace.
pub const PODS: &str = "cluster-resources/pods";

/// Quantities by resource name.
pub type ResourceList = BTreeMap<String, Quantity>;

/// A pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Name, namespace, labels.
    pub metadata: Metadata,
    /// What it asks for.
    pub spec: PodSpec,
    /// Where it is in its life, and what its node gave it.
    pub status: PodStatus,
}

/// The fields of a `PodSpec` that decide where it can run.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    /// The node it is bound to, empty while it is pending.
    pub node_name: String,
    /// The containers.
    #[serde(deserialize_with = "list")]
    pub containers: Vec<Container>,
    /// Containers that run before the others, and native sidecars.
    #[serde(deserialize_with = "list")]
    pub init_containers: Vec<Container>,
    /// What the pod as a whole may use, for processors and memory.
    pub resources: Option<Resources>,
    /// What its runtime costs beside its containers.
    #[serde(deserialize_with = "or_default")]
    pub overhead: ResourceList,
    /// Labels that its node must have.
    #[serde(deserialize_with = "or_default")]
    pub node_selector: BTreeMap<String, String>,
    /// Conditions on nodes and on the pods beside it.
    pub affinity: Option<Box<Affinity>>,
    /// The taints that it bears.
    #[serde(deserialize_with = "list")]
    pub tolerations: Vec<Toleration>,
    /// The number that its class stands for.
    pub priority: Option<i64>,
    /// The name of a `PriorityClass`.
    #[serde(deserialize_with = "or_default")]
    pub priority_class_name: String,
    /// `Never` where it may not evict others.
    #[serde(deserialize_with = "or_default")]
    pub preemption_policy: String,
    /// The name of a `RuntimeClass`.
    #[serde(deserialize_with = "or_default")]
    pub runtime_class_name: String,
    /// Empty is `default-scheduler`.
    #[serde(deserialize_with = "or_default")]
    pub scheduler_name: String,
    /// While there is one, nothing schedules the pod.
    #[serde(deserialize_with = "list")]
    pub scheduling_gates: Vec<Name>,
    /// How its like are spread.
    #[serde(deserialize_with = "list")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Whether it uses the node's network.
    pub host_network: bool,
    /// Its volumes.
    #[serde(deserialize_with = "list")]
    pub volumes: Vec<Volume>,
    /// Devices that it claims.
    #[serde(deserialize_with = "list")]
    pub resource_claims: Vec<PodResourceClaim>,
    /// How long it may run; quotas tell pods apart by it.
    pub active_deadline_seconds: Option<i64>,
}

/// `Container`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    /// The container's name.
    pub name: String,
    /// What it asks for.
    #[serde(deserialize_with = "or_default")]
    pub resources: Resources,
    /// `Always` makes an init container a native sidecar.
    #[serde(deserialize_with = "or_default")]
    pub restart_policy: String,
    /// Its ports.
    #[serde(deserialize_with = "list")]
    pub ports: Vec<Port>,
}

/// `ResourceRequirements`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// What is set aside.
    #[serde(deserialize_with = "or_default")]
    pub requests: ResourceList,
    /// What is the most.
    #[serde(deserialize_with = "or_default")]
    pub limits: ResourceList,
    /// Which of the pod's claims it uses.
    #[serde(deserialize_with = "list")]
    pub claims: Vec<ClaimUse>,
}

/// A container's use of a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ClaimUse {
    /// The name in the pod's `resourceClaims`.
    pub name: String,
    /// One of the claim's requests; empty is all.
    #[serde(deserialize_with = "or_default")]
    pub request: String,
}

/// `ContainerPort`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Port {
    /// In the pod.
    pub container_port: i64,
    /// On the node, 0 for none.
    pub host_port: i64,
    /// On which of the node's addresses; empty is all.
    #[serde(rename = "hostIP", deserialize_with = "or_default")]
    pub host_ip: String,
    /// Empty is TCP.
    #[serde(deserialize_with = "or_default")]
    pub protocol: String,
}

/// `Affinity`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Affinity {
    /// To nodes.
    pub node_affinity: Option<NodeAffinity>,
    /// To other pods.
    pub pod_affinity: Option<PodAffinity>,
    /// Away from other pods.
    pub pod_anti_affinity: Option<PodAffinity>,
}

/// `NodeAffinity`, of which preferences decide nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeAffinity {
    /// What must hold.
    pub required_during_scheduling_ignored_during_execution: Option<NodeSelector>,
}

/// `NodeSelector`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeSelector {
    /// One of them must hold.
    #[serde(deserialize_with = "list")]
    pub node_selector_terms: Vec<NodeSelectorTerm>,
}

/// `NodeSelectorTerm`: all of it must hold, and an empty one never does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeSelectorTerm {
    /// On labels.
    #[serde(deserialize_with = "list")]
    pub match_expressions: Vec<NodeSelectorRequirement>,
    /// On fields, of which there is `metadata.name`.
    #[serde(deserialize_with = "list")]
    pub match_fields: Vec<NodeSelectorRequirement>,
}

/// `NodeSelectorRequirement`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeSelectorRequirement {
    /// The label or field.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt`, `Lt`.
    pub operator: String,
    /// What it is compared with.
    #[serde(deserialize_with = "list")]
    pub values: Vec<String>,
}

/// `PodAffinity` and `PodAntiAffinity`, of which preferences decide nothing.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodAffinity {
    /// What must hold.
    #[serde(deserialize_with = "list")]
    pub required_during_scheduling_ignored_during_execution: Vec<PodAffinityTerm>,
}

/// `PodAffinityTerm`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodAffinityTerm {
    /// Which pods: a `LabelSelector`; none selects nothing.
    pub label_selector: Option<Value>,
    /// In which namespaces; empty is the pod's own.
    #[serde(deserialize_with = "list")]
    pub namespaces: Vec<String>,
    /// In which namespaces, by labels.
    pub namespace_selector: Option<Value>,
    /// The label that says what "beside" is.
    pub topology_key: String,
}

/// `Toleration`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Toleration {
    /// Empty is every key.
    #[serde(deserialize_with = "or_default")]
    pub key: String,
    /// `Exists` or `Equal`; empty is `Equal`.
    #[serde(deserialize_with = "or_default")]
    pub operator: String,
    /// For `Equal`.
    #[serde(deserialize_with = "or_default")]
    pub value: String,
    /// Empty is every effect.
    #[serde(deserialize_with = "or_default")]
    pub effect: String,
    /// How long it stays on a node that gets the taint.
    pub toleration_seconds: Option<i64>,
}

impl Toleration {
    /// Whether it bears a taint, as the scheduler has it (`ToleratesTaint` of `k8s.io/api/core/v1`).
    #[must_use]
    pub fn tolerates(&self, key: &str, value: &str, effect: &str) -> bool {
        (self.effect.is_empty() || self.effect == effect)
            && (self.key.is_empty() || self.key == key)
            && match self.operator.as_str() {
                "" | "Equal" => self.value == value,
                "Exists" => true,
                _ => false,
            }
    }
}

/// `TopologySpreadConstraint`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopologySpreadConstraint {
    /// The label whose values are the domains.
    pub topology_key: String,
    /// `DoNotSchedule`, also when empty, or `ScheduleAnyway`.
    pub when_unsatisfiable: String,
}

/// The volumes that bind a pod to places.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Volume {
    /// The volume's name.
    pub name: String,
    /// A claim.
    pub persistent_volume_claim: Option<ClaimSource>,
}

/// `PersistentVolumeClaimVolumeSource`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClaimSource {
    /// The claim's name.
    pub claim_name: String,
}

/// `PodResourceClaim`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodResourceClaim {
    /// The name within the pod.
    pub name: String,
    /// A claim that is shared by all that name it.
    #[serde(deserialize_with = "or_default")]
    pub resource_claim_name: String,
    /// What each pod's own claim is made from.
    #[serde(deserialize_with = "or_default")]
    pub resource_claim_template_name: String,
}

/// `PodStatus`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// `PodResizePending` and its kin.
    #[serde(deserialize_with = "list")]
    pub conditions: Vec<PodCondition>,
    /// One per container.
    #[serde(deserialize_with = "list")]
    pub container_statuses: Vec<ContainerStatus>,
    /// One per init container.
    #[serde(deserialize_with = "list")]
    pub init_container_statuses: Vec<ContainerStatus>,
    /// What the node gave to the pod as a whole.
    pub resources: Option<Resources>,
    /// What the node set aside for the pod as a whole.
    #[serde(deserialize_with = "or_default")]
    pub allocated_resources: ResourceList,
    /// Where the scheduler is making room for it.
    #[serde(deserialize_with = "or_default")]
    pub nominated_node_name: String,
    /// Before Kubernetes 1.33: `Proposed`, `InProgress`, `Deferred`, `Infeasible`.
    #[serde(deserialize_with = "or_default")]
    pub resize: String,
}

/// `PodCondition`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PodCondition {
    /// `PodResizePending`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `Infeasible`, `Deferred`.
    #[serde(deserialize_with = "or_default")]
    pub reason: String,
}

/// `ContainerStatus`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStatus {
    /// The container's name.
    pub name: String,
    /// What it runs with.
    pub resources: Option<Resources>,
    /// What the node set aside for it.
    #[serde(deserialize_with = "or_default")]
    pub allocated_resources: ResourceList,
}

/// `cluster-resources/priorityclasses.json`: a `PriorityClass`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PriorityClass {
    /// Its name.
    pub metadata: Name,
    /// The priority.
    pub value: i64,
    /// Whether pods without a class have this one.
    pub global_default: bool,
    /// `Never` where its pods may not evict others.
    #[serde(deserialize_with = "or_default")]
    pub preemption_policy: String,
}

/// `cluster-resources/runtimeclasses.json`: a `RuntimeClass`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RuntimeClass {
    /// Its name.
    pub metadata: Name,
    /// What it costs.
    pub overhead: Option<Overhead>,
    /// Where it is.
    pub scheduling: Option<Scheduling>,
}

/// What a runtime costs beside the containers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Overhead {
    /// For each pod.
    #[serde(deserialize_with = "or_default")]
    pub pod_fixed: ResourceList,
}

/// Where a runtime is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Scheduling {
    /// Labels of its nodes.
    #[serde(deserialize_with = "or_default")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of its nodes.
    #[serde(deserialize_with = "list")]
    pub tolerations: Vec<Toleration>,
}

/// `cluster-resources/storage-classes.json`: how a `StorageClass` binds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Binding {
    /// Its name.
    pub metadata: Name,
    /// `Immediate`, also when empty, or `WaitForFirstConsumer`.
    #[serde(deserialize_with = "or_default")]
    pub volume_binding_mode: String,
}

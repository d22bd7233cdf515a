//! Claims, volumes and their classes, and pods as a backup sees them: `cluster-resources/pods/<namespace>.json`, `…/pvcs/…`,
//! `…/pvs.json`, and the custom resource `volumesnapshotclasses.snapshot.storage.k8s.io`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::scheduling::NodeSelector;
use super::velero::time;
use super::{Metadata, list, or_default};

/// A pod with its volumes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Name, namespace, labels, annotations, owners.
    pub metadata: PodMetadata,
    /// Where it runs and what it mounts.
    pub spec: PodSpec,
    /// How it fares.
    pub status: PodStatus,
}

/// `ObjectMeta` of a pod, with its owners.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodMetadata {
    /// The pod's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
    /// What made it.
    #[serde(deserialize_with = "list")]
    pub owner_references: Vec<Owner>,
}

/// `OwnerReference`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// `ReplicaSet`, `DaemonSet`.
    pub kind: String,
    /// The owner's name.
    pub name: String,
}

/// `PodSpec`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    /// Where it runs, empty while it is pending.
    pub node_name: String,
    /// What its containers may mount.
    #[serde(deserialize_with = "list")]
    pub volumes: Vec<PodVolume>,
}

/// `Volume` of a pod; which of the sources is there.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodVolume {
    /// Its name in the pod.
    pub name: String,
    /// A claim.
    pub persistent_volume_claim: Option<ClaimSource>,
    /// A folder of the node.
    pub host_path: Option<Value>,
    /// A folder that lives as long as the pod.
    pub empty_dir: Option<Value>,
    /// A claim that is made for the pod, named `<pod>-<volume>`.
    pub ephemeral: Option<Value>,
}

/// `PersistentVolumeClaimVolumeSource`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClaimSource {
    /// The claim, in the pod's namespace.
    pub claim_name: String,
}

/// `PodStatus`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// One per container.
    #[serde(deserialize_with = "list")]
    pub container_statuses: Vec<ContainerStatus>,
}

/// `ContainerStatus`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStatus {
    /// The container's name.
    pub name: String,
    /// Whether it passes its readiness probe.
    pub ready: bool,
    /// What it does now.
    pub state: ContainerState,
    /// How its previous run ended.
    pub last_state: ContainerState,
}

/// `ContainerState`, of which the times and the reasons are read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// Running since.
    pub running: Option<Running>,
    /// Ended.
    pub terminated: Option<Terminated>,
}

/// `ContainerStateRunning`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Running {
    /// Since when.
    #[serde(deserialize_with = "time")]
    pub started_at: Option<Timestamp>,
}

/// `ContainerStateTerminated`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Terminated {
    /// `OOMKilled`, `Error`.
    pub reason: String,
    /// When.
    #[serde(deserialize_with = "time")]
    pub finished_at: Option<Timestamp>,
}

/// `cluster-resources/pvcs/<namespace>.json`: a `PersistentVolumeClaim`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PersistentVolumeClaim {
    /// Name, namespace, labels, annotations.
    pub metadata: Metadata,
    /// What it asks for, and which volume it has.
    pub spec: PersistentVolumeClaimSpec,
    /// Whether it has one.
    pub status: PersistentVolumeClaimStatus,
}

/// `PersistentVolumeClaimSpec`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PersistentVolumeClaimSpec {
    /// The volume it is bound to, empty while it is pending.
    #[serde(deserialize_with = "or_default")]
    pub volume_name: String,
    /// The storage class.
    #[serde(deserialize_with = "or_default")]
    pub storage_class_name: String,
    /// `ReadWriteOnce` and its kin.
    #[serde(deserialize_with = "list")]
    pub access_modes: Vec<String>,
}

/// `PersistentVolumeClaimStatus`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PersistentVolumeClaimStatus {
    /// `Bound`.
    pub phase: String,
}

/// `cluster-resources/pvs.json`: a `PersistentVolume`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PersistentVolume {
    /// Name, annotations, and labels that may say its zone.
    pub metadata: Metadata,
    /// Where its data is.
    pub spec: PersistentVolumeSpec,
}

/// `PersistentVolumeSpec`: which of the sources is there, and from where it can be reached.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PersistentVolumeSpec {
    /// The nodes from which it can be reached.
    pub node_affinity: Option<VolumeNodeAffinity>,
    /// A CSI driver's.
    pub csi: Option<CsiSource>,
    /// A folder of a node.
    pub host_path: Option<Value>,
    /// Amazon's, of the time before CSI.
    pub aws_elastic_block_store: Option<Value>,
    /// Google's, of the time before CSI.
    pub gce_persistent_disk: Option<Value>,
    /// Microsoft's, of the time before CSI.
    pub azure_disk: Option<Value>,
}

/// `VolumeNodeAffinity`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct VolumeNodeAffinity {
    /// What must hold.
    pub required: Option<NodeSelector>,
}

/// `CSIPersistentVolumeSource`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CsiSource {
    /// `ebs.csi.aws.com`.
    pub driver: String,
}

/// `VolumeSnapshotClass`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SnapshotClass {
    /// Name, labels, annotations.
    pub metadata: Metadata,
    /// The CSI driver that it is for.
    pub driver: String,
    /// `Delete` or `Retain`.
    pub deletion_policy: String,
}

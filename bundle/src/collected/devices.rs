//! Dynamic resource allocation (`resource.k8s.io`): devices, their classes, and claims for them. The shapes of `v1`
//! and of the betas before it are both read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::scheduling::{NodeSelector, Toleration};
use super::{Name, list, or_default};

/// `cluster-resources/resourceslices.json`: a `ResourceSlice`, devices of one pool.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ResourceSlice {
    /// Its name.
    pub metadata: Name,
    /// The devices.
    pub spec: ResourceSliceSpec,
}

/// `ResourceSliceSpec`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceSliceSpec {
    /// Who made it, `gpu.nvidia.com`.
    pub driver: String,
    /// Which pool it is a part of.
    pub pool: ResourcePool,
    /// The node that has the devices; empty where they are not of one node.
    #[serde(deserialize_with = "or_default")]
    pub node_name: String,
    /// The devices.
    #[serde(deserialize_with = "list")]
    pub devices: Vec<Device>,
    /// Counters that devices share: partitions of one card.
    #[serde(deserialize_with = "list")]
    pub shared_counters: Vec<Value>,
}

/// `ResourcePool`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourcePool {
    /// Its name, often the node's.
    pub name: String,
    /// Only the highest counts.
    pub generation: i64,
    /// How many slices the generation has when it is complete.
    pub resource_slice_count: usize,
}

/// `Device`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Device {
    /// Its name in the pool.
    pub name: String,
    /// What it is: `{"string": …}`, `{"int": …}`, `{"bool": …}`, `{"version": …}` by name.
    #[serde(deserialize_with = "or_default")]
    pub attributes: BTreeMap<String, BTreeMap<String, Value>>,
    /// What it has: `{"value": "40Gi"}` by name.
    #[serde(deserialize_with = "or_default")]
    pub capacity: BTreeMap<String, Value>,
    /// What keeps pods from it.
    #[serde(deserialize_with = "list")]
    pub taints: Vec<super::node::Taint>,
    /// The same in `v1beta1`.
    #[serde(deserialize_with = "or_default")]
    pub basic: Option<Box<Device>>,
    /// Counters that it takes from its card.
    #[serde(deserialize_with = "list")]
    pub consumes_counters: Vec<Value>,
    /// Whether several claims may have it.
    #[serde(deserialize_with = "or_default")]
    pub allow_multiple_allocations: bool,
    /// What must come true before it is bound.
    #[serde(deserialize_with = "list")]
    pub binding_conditions: Vec<Value>,
}

/// `cluster-resources/deviceclasses.json`: a `DeviceClass`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DeviceClass {
    /// Its name and age.
    pub metadata: Created,
    /// Which devices.
    pub spec: DeviceClassSpec,
}

/// Name and age.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Created {
    /// The object's name.
    pub name: String,
    /// When it was made, RFC 3339 in UTC.
    #[serde(deserialize_with = "or_default")]
    pub creation_timestamp: String,
}

/// `DeviceClassSpec`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeviceClassSpec {
    /// All must hold.
    #[serde(deserialize_with = "list")]
    pub selectors: Vec<DeviceSelector>,
    /// The extended resource that it serves, `nvidia.com/gpu`.
    #[serde(deserialize_with = "or_default")]
    pub extended_resource_name: String,
}

/// `DeviceSelector`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DeviceSelector {
    /// The condition.
    pub cel: Option<CelSelector>,
}

/// `CELDeviceSelector`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CelSelector {
    /// An expression in CEL.
    pub expression: String,
}

/// `cluster-resources/resourceclaims/<namespace>.json`: a `ResourceClaim`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ResourceClaim {
    /// Name and namespace.
    pub metadata: Name,
    /// What it asks for.
    pub spec: ResourceClaimSpec,
    /// What it got.
    pub status: ResourceClaimStatus,
}

/// `cluster-resources/resourceclaimtemplates/<namespace>.json`: a `ResourceClaimTemplate`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ResourceClaimTemplate {
    /// Name and namespace.
    pub metadata: Name,
    /// What each claim is made from.
    pub spec: ResourceClaimTemplateSpec,
}

/// `ResourceClaimTemplateSpec`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ResourceClaimTemplateSpec {
    /// The claim's.
    pub spec: ResourceClaimSpec,
}

/// `ResourceClaimSpec`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ResourceClaimSpec {
    /// Which devices.
    pub devices: DeviceClaim,
}

/// `DeviceClaim`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DeviceClaim {
    /// All must be met.
    #[serde(deserialize_with = "list")]
    pub requests: Vec<DeviceRequest>,
    /// What must hold between the devices.
    #[serde(deserialize_with = "list")]
    pub constraints: Vec<Value>,
}

/// `DeviceRequest`: its name and, in the betas, what `exactly` holds in `v1`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeviceRequest {
    /// Its name.
    pub name: String,
    /// In `v1`: what is asked for.
    pub exactly: Option<ExactRequest>,
    /// Alternatives, the first that can be had.
    #[serde(deserialize_with = "list")]
    pub first_available: Vec<Value>,
    /// In the betas: what is asked for.
    #[serde(flatten)]
    pub flat: ExactRequest,
}

/// `ExactDeviceRequest`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExactRequest {
    /// The class.
    #[serde(deserialize_with = "or_default")]
    pub device_class_name: String,
    /// All must hold beside the class's.
    #[serde(deserialize_with = "list")]
    pub selectors: Vec<DeviceSelector>,
    /// `ExactCount`, also when empty, or `All`.
    #[serde(deserialize_with = "or_default")]
    pub allocation_mode: String,
    /// How many; none is one.
    pub count: Option<i64>,
    /// Whether it looks at devices that others have.
    #[serde(deserialize_with = "or_default")]
    pub admin_access: bool,
    /// The taints that it bears.
    #[serde(deserialize_with = "list")]
    pub tolerations: Vec<Toleration>,
    /// What it takes of a device that is shared.
    pub capacity: Option<Value>,
}

/// `ResourceClaimStatus`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceClaimStatus {
    /// What it got.
    pub allocation: Option<Allocation>,
    /// Who uses it.
    #[serde(deserialize_with = "list")]
    pub reserved_for: Vec<Name>,
}

/// `AllocationResult`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Allocation {
    /// The devices.
    pub devices: AllocatedDevices,
    /// From which nodes they can be used.
    pub node_selector: Option<NodeSelector>,
}

/// `DeviceAllocationResult`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AllocatedDevices {
    /// The devices.
    #[serde(deserialize_with = "list")]
    pub results: Vec<AllocatedDevice>,
}

/// `DeviceRequestAllocationResult`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AllocatedDevice {
    /// Who made it.
    pub driver: String,
    /// Its pool.
    pub pool: String,
    /// Its name.
    pub device: String,
    /// Whether it is only looked at.
    #[serde(deserialize_with = "or_default")]
    pub admin_access: bool,
}

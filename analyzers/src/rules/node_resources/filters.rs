//! Which nodes count.

use std::collections::BTreeMap;

use bundle::collected::node::Node;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use syntax::quantity::Quantity;
use syntax::selector::LabelSelector;

use super::condition::Property;
use crate::document::{selects, unmasked};
use crate::finding::NotEvaluated;

/// What a node must have to count. All of it, except that `taint` ends the comparison: what stands below it in
/// this list is then not looked at.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(
    default,
    rename_all(deserialize = "camelCase", serialize = "PascalCase")
)]
pub(super) struct Filters {
    /// A resource that the node has, `nvidia.com/gpu`.
    pub(super) resource_name: String,
    /// At least so much of that resource.
    resource_capacity: String,
    /// At least so much of that resource for pods.
    resource_allocatable: String,
    /// Labels.
    selector: Option<Selector>,
    /// A taint, by key and effect.
    taint: Option<TaintFilter>,
    /// `amd64`, `arm64`, in any case.
    #[serde(rename(serialize = "CPUArchitecture"))]
    cpu_architecture: String,
    /// At least so many processors.
    #[serde(rename(serialize = "CPUCapacity"))]
    cpu_capacity: String,
    /// At least so many processors for pods.
    #[serde(rename(serialize = "CPUAllocatable"))]
    cpu_allocatable: String,
    /// At least so much memory.
    memory_capacity: String,
    /// At least so much memory for pods.
    memory_allocatable: String,
    /// At least room for so many pods.
    pod_capacity: String,
    /// At least room for so many pods besides the system's.
    pod_allocatable: String,
    /// At least so much scratch space.
    ephemeral_storage_capacity: String,
    /// At least so much scratch space for pods.
    ephemeral_storage_allocatable: String,
}

/// A selection by labels.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(
    default,
    rename_all(deserialize = "camelCase", serialize = "PascalCase")
)]
struct Selector {
    /// Labels and their values.
    match_label: BTreeMap<String, String>,
    /// Conditions on labels, as in a Kubernetes label selector.
    match_expressions: Vec<Expression>,
}

/// A condition on a label.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(
    default,
    rename_all(deserialize = "camelCase", serialize = "PascalCase")
)]
struct Expression {
    /// The label.
    key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`.
    operator: String,
    /// The values, for `In` and `NotIn`.
    values: Vec<String>,
}

/// A taint to look for.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(
    default,
    rename_all(deserialize = "camelCase", serialize = "PascalCase")
)]
struct TaintFilter {
    /// Its key.
    key: String,
    /// Its value, which is not compared.
    value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    effect: String,
}

impl Filters {
    /// Whether the node counts.
    pub(super) fn admit(&self, node: &Node) -> Result<bool, NotEvaluated> {
        if !self.resource_name.is_empty() && !self.has_resource(node)? {
            return Ok(false);
        }
        if let Some(selector) = &self.selector
            && !selector.admits(&node.metadata.labels)?
        {
            return Ok(false);
        }
        if let Some(taint) = &self.taint {
            return Ok(node
                .spec
                .taints
                .iter()
                .any(|has| has.key == taint.key && has.effect == taint.effect));
        }
        let architecture = &node.status.node_info.architecture;
        if !self.cpu_architecture.is_empty()
            && self.cpu_architecture.to_lowercase() != unmasked(architecture)?.to_lowercase()
        {
            return Ok(false);
        }
        let minimums: [(&str, Property<'_>); 8] = [
            (&self.cpu_capacity, Property::Capacity("cpu")),
            (&self.cpu_allocatable, Property::Allocatable("cpu")),
            (&self.memory_capacity, Property::Capacity("memory")),
            (&self.memory_allocatable, Property::Allocatable("memory")),
            (&self.pod_capacity, Property::Capacity("pods")),
            (&self.pod_allocatable, Property::Allocatable("pods")),
            (
                &self.ephemeral_storage_capacity,
                Property::Capacity("ephemeral-storage"),
            ),
            (
                &self.ephemeral_storage_allocatable,
                Property::Allocatable("ephemeral-storage"),
            ),
        ];
        all_at_least(&minimums, node)
    }

    fn has_resource(&self, node: &Node) -> Result<bool, NotEvaluated> {
        let capacity = Property::Capacity(&self.resource_name);
        let allocatable = Property::Allocatable(&self.resource_name);
        if capacity.of(node)?.is_none() && allocatable.of(node)?.is_none() {
            return Ok(false);
        }
        let minimums = [
            (self.resource_capacity.as_str(), capacity),
            (self.resource_allocatable.as_str(), allocatable),
        ];
        all_at_least(&minimums, node)
    }
}

/// Whether the node has each of the amounts asked for; an empty amount asks for nothing, and a resource that
/// the node does not have is zero.
fn all_at_least(minimums: &[(&str, Property<'_>)], node: &Node) -> Result<bool, NotEvaluated> {
    for (wanted, property) in minimums {
        if wanted.is_empty() {
            continue;
        }
        let wanted: Quantity = wanted
            .parse()
            .map_err(|error| NotEvaluated::Spec(format!("filters: {wanted:?}: {error}")))?;
        if property.of(node)?.unwrap_or(Quantity::ZERO) < wanted {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Selector {
    fn admits(&self, labels: &BTreeMap<String, String>) -> Result<bool, NotEvaluated> {
        let expressions: Vec<Value> = self
            .match_expressions
            .iter()
            .map(|it| json!({"key": it.key, "operator": it.operator, "values": it.values}))
            .collect();
        let selector = json!({"matchLabels": self.match_label, "matchExpressions": expressions});
        let selector = LabelSelector::from_json(&selector)
            .map_err(|error| NotEvaluated::Spec(format!("filters.selector: {error}")))?;
        selects(&selector, labels)
    }
}

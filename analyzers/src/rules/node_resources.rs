//! `nodeResources`: what the nodes have, as a whole or one by one.

use std::collections::{BTreeMap, BTreeSet};

use bundle::collected::List;
use bundle::collected::node::{self, Node, PATH};
use bundle::{Files, ReadError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use syntax::quantity::Quantity;
use syntax::selector::LabelSelector;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{counted, document, unmasked};
use crate::finding::{Finding, Icon, Judgement, NotEvaluated, Verdict};
use crate::message::render_struct;
use crate::outcome::{Operator, Outcome, bad_condition, first_match};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "The nodes have what the application needs",
    docs: docs::<NodeResources>,
    since: "0.1.0",
    needs: &["clusterResources"],
    parse: parse::<NodeResources>,
    schema: schema::<NodeResources>,
};

const NAME: &str = "nodeResources";
const ICON: Icon = Icon {
    key: "kubernetes_node_resources",
    file: "node-resources.svg?w=16&h=18",
};

/// The nodes have what the application needs.
///
/// # What it checks
/// The nodes that all filters let through: how many there are, the smallest, the largest or the total of one
/// of their resources, how many values a label has among them, or a condition. It compares what nodes have
/// (`…Capacity`) or give to pods (`…Allocatable`), not what is free.
///
/// # When it warns or fails
/// `when` is `[function] <op> <value>`, separated by spaces, with `= < > <= >=` and a number or a quantity. Functions:
/// `count()`, also when left out; `countDistinct(<label>)`; `min(<property>)`, `max(<property>)`, `sum(<property>)`
/// of cpuCapacity, cpuAllocatable, memoryCapacity, memoryAllocatable, podCapacity, podAllocatable,
/// ephemeralStorageCapacity, ephemeralStorageAllocatable, and, with `filters.resourceName`, resourceCapacity and
/// resourceAllocatable; `nodeCondition(<Type>) == True|False|Unknown`, which holds when any node has it. The
/// first outcome that holds counts. Without a node list it warns.
/// Messages are templates over the filters (`{{ .CPUCapacity }}`) and `{{ .NodeCount }}`.
///
/// # What to do
/// Add nodes, larger nodes, or nodes with the labels and resources that the filters ask for.
///
/// # Needs
/// The collector `clusterResources` (always added), which lists `nodes`. Without that right the answer is
/// unknown.
///
/// # Example
/// ```yaml
/// nodeResources:
///   checkName: GPU nodes
///   filters:
///     resourceName: nvidia.com/gpu
///     resourceAllocatable: "1"
///   outcomes:
///     - fail:
///         when: "count() < 1"
///         message: No node has a GPU.
///     - warn:
///         when: "sum(memoryAllocatable) < 64Gi"
///         message: "{{ .NodeCount }} GPU nodes have less than 64Gi of memory together."
///     - pass:
///         message: "{{ .NodeCount }} nodes have a GPU."
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct NodeResources {
    /// The conditions and what to say.
    outcomes: Vec<Outcome>,
    /// Which nodes count; all where there are no filters.
    filters: Option<Filters>,
    /// Say nothing where no nodes were collected.
    ignore_if_no_files: bool,
}

/// What a node must have to count. All of it, except that `taint` ends the comparison: what stands below it in
/// this list is then not looked at.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(
    default,
    rename_all(deserialize = "camelCase", serialize = "PascalCase")
)]
struct Filters {
    /// A resource that the node has, `nvidia.com/gpu`.
    resource_name: String,
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

impl Analyzer for NodeResources {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or("Node Resources")
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let list = match files.decoded::<List<Node>>(PATH) {
            Err(ReadError::NotFound(_)) => return self.not_collected(meta),
            _ => document::<List<Node>>(files, PATH)?,
        };
        let mut nodes = Vec::new();
        for node in &list.items {
            if self
                .filters
                .as_ref()
                .map_or(Ok(true), |it| it.admit(node))?
            {
                nodes.push(node);
            }
        }
        let mut read = String::new();
        let matched = first_match(&self.outcomes, |when| {
            let condition = Condition::parse(when)?;
            condition.holds(&nodes, self.resource_name(), &mut read)
        })?;
        let mut said = Finding::of_match(matched);
        said.message = render_struct(&said.message, &self.message_data(nodes.len()))?;
        let mut observed = format!("{} of {}", nodes.len(), counted(list.items.len(), "node"));
        if !read.is_empty() {
            observed = format!("{read}, {observed}");
        }
        let finding = Finding {
            observed: format!("{observed} ({PATH})"),
            ..said
        }
        .with_remedy("Add nodes, larger nodes, or nodes with the labels and resources that the filters ask for.");
        Ok(self.finished(finding, meta).into())
    }
}

impl NodeResources {
    fn resource_name(&self) -> &str {
        self.filters.as_ref().map_or("", |it| &it.resource_name)
    }

    /// Troubleshoot warns where there is no node list.
    fn not_collected(&self, meta: &Meta) -> Result<Judgement, NotEvaluated> {
        if self.ignore_if_no_files {
            let reason = format!("{PATH} was not collected, and the spec says to ignore that");
            return Err(NotEvaluated::NotApplicable(reason));
        }
        let finding = Finding {
            verdict: Some(Verdict::Warn),
            message: "No node resources were collected, unable to analyze node resources"
                .to_owned(),
            observed: format!("{PATH} was not collected"),
            remedy: "Collect with clusterResources, which lists the nodes.".to_owned(),
            ..Finding::default()
        };
        Ok(self.finished(finding, meta).into())
    }

    /// Fills in what every finding has.
    fn finished(&self, finding: Finding, meta: &Meta) -> Finding {
        Finding {
            id: Finding::id(NAME, &meta.check_name),
            title: self.title(meta),
            strict: meta.strict,
            ..finding
        }
        .with_icon(&ICON)
    }

    /// What messages can refer to: the filters by their Go names, and the number of nodes.
    fn message_data(&self, count: usize) -> Value {
        let mut data = serde_json::to_value(&self.filters).unwrap_or_default();
        if data.is_null() {
            data = json!({});
        }
        data["NodeCount"] = json!(count);
        data
    }
}

impl Filters {
    fn admit(&self, node: &Node) -> Result<bool, NotEvaluated> {
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
        for requirement in selector.requirements() {
            unmasked(labels.get(requirement.key()).map_or("", |it| it))?;
        }
        Ok(selector.matches(|key| labels.get(key).map(String::as_str)))
    }
}

/// An amount of a node, by resource name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Property<'a> {
    /// What the node has.
    Capacity(&'a str),
    /// What pods may have of it.
    Allocatable(&'a str),
}

impl<'a> Property<'a> {
    /// The property that a condition names; `resource_name` is the filter's.
    fn parse(name: &str, resource_name: &'a str) -> Result<Self, String> {
        Ok(match name {
            "cpuCapacity" => Self::Capacity("cpu"),
            "cpuAllocatable" => Self::Allocatable("cpu"),
            "memoryCapacity" => Self::Capacity("memory"),
            "memoryAllocatable" => Self::Allocatable("memory"),
            "podCapacity" => Self::Capacity("pods"),
            "podAllocatable" => Self::Allocatable("pods"),
            "ephemeralStorageCapacity" => Self::Capacity("ephemeral-storage"),
            "ephemeralStorageAllocatable" => Self::Allocatable("ephemeral-storage"),
            "resourceCapacity" | "resourceAllocatable" if resource_name.is_empty() => {
                return Err(format!("{name} needs filters.resourceName"));
            }
            "resourceCapacity" => Self::Capacity(resource_name),
            "resourceAllocatable" => Self::Allocatable(resource_name),
            _ => return Err(format!("unknown property {name:?}")),
        })
    }

    /// Whether a node that does not list it has none of it, as opposed to not being asked.
    fn defaults_to_zero(self) -> bool {
        let (Self::Capacity(name) | Self::Allocatable(name)) = self;
        ["cpu", "memory", "pods", "ephemeral-storage"].contains(&name)
    }

    fn of(self, node: &Node) -> Result<Option<Quantity>, NotEvaluated> {
        let amounts: &BTreeMap<String, node::Quantity> = match self {
            Self::Capacity(_) => &node.status.capacity,
            Self::Allocatable(_) => &node.status.allocatable,
        };
        let (Self::Capacity(name) | Self::Allocatable(name)) = self;
        let Some(amount) = amounts.get(name) else {
            return Ok(None);
        };
        let text = unmasked(&amount.0)?;
        text.parse().map(Some).map_err(|error| {
            NotEvaluated::Malformed(format!(
                "{PATH}: node {}: {name} {text:?}: {error}",
                node.metadata.name
            ))
        })
    }
}

/// A condition, taken apart.
#[derive(Debug)]
struct Condition<'a> {
    when: &'a str,
    function: &'a str,
    argument: &'a str,
    operator: &'a str,
    value: &'a str,
}

impl<'a> Condition<'a> {
    fn parse(when: &'a str) -> Result<Self, NotEvaluated> {
        let fields: Vec<&str> = when.split_whitespace().collect();
        let (call, operator, value) = match fields[..] {
            [operator, value] => ("count()", operator, value),
            [call, operator, value] => (call, operator, value),
            _ => {
                let problem = "expected `[function(property)] <operator> <value>`";
                return Err(bad_condition(when, problem));
            }
        };
        // As troubleshoot's greedy pattern reads it; what has no parentheses counts.
        let (function, argument) = call
            .rfind(')')
            .and_then(|end| call[..end].rsplit_once('('))
            .unwrap_or(("count", ""));
        Ok(Self {
            when,
            function,
            argument,
            operator,
            value,
        })
    }

    /// Whether it holds for the nodes; `read` gets the value compared.
    fn holds(
        &self,
        nodes: &[&Node],
        resource_name: &str,
        read: &mut String,
    ) -> Result<bool, NotEvaluated> {
        match self.function {
            "nodeCondition" => self.node_condition(nodes, read),
            "count" => self.compare_count(nodes.len(), read),
            "countDistinct" => {
                let values: BTreeSet<&String> = nodes
                    .iter()
                    .filter_map(|node| node.metadata.labels.get(self.argument))
                    .collect();
                self.compare_count(values.len(), read)
            }
            "min" | "max" | "sum" => {
                let property = Property::parse(self.argument, resource_name)
                    .map_err(|problem| self.bad(problem))?;
                self.compare_amount(self.total(nodes, property)?, read)
            }
            function => Err(self.bad(format!("unknown function {function:?}"))),
        }
    }

    fn bad(&self, problem: impl std::fmt::Display) -> NotEvaluated {
        bad_condition(self.when, problem)
    }

    fn operator(&self) -> Result<Operator, NotEvaluated> {
        match Operator::parse(self.operator) {
            Some(operator) if operator != Operator::NotEqual => Ok(operator),
            _ => Err(self.bad(format!(
                "unknown operator {:?}; = < > <= >= are known",
                self.operator
            ))),
        }
    }

    fn compare_count(&self, count: usize, read: &mut String) -> Result<bool, NotEvaluated> {
        let operator = self.operator()?;
        let value: i64 = self
            .value
            .parse()
            .map_err(|_| self.bad(format!("{:?} is not a whole number", self.value)))?;
        *read = format!("{}({}) = {count}", self.function, self.argument);
        Ok(operator.holds(i64::try_from(count).unwrap_or(i64::MAX).cmp(&value)))
    }

    fn compare_amount(&self, amount: Quantity, read: &mut String) -> Result<bool, NotEvaluated> {
        let operator = self.operator()?;
        let value: Quantity = self.value.parse().map_err(|error| self.bad(error))?;
        *read = format!("{}({}) = {amount}", self.function, self.argument);
        Ok(operator.holds(amount.cmp(&value)))
    }

    /// The smallest, largest or total amount.
    fn total(&self, nodes: &[&Node], property: Property<'_>) -> Result<Quantity, NotEvaluated> {
        let mut total: Option<Quantity> = (self.function == "sum").then_some(Quantity::ZERO);
        for node in nodes {
            let zero = property.defaults_to_zero().then_some(Quantity::ZERO);
            let Some(amount) = property.of(node)?.or(zero) else {
                continue;
            };
            total = Some(match (total, self.function) {
                (None, _) => amount,
                (Some(total), "min") => total.min(amount),
                (Some(total), "max") => total.max(amount),
                (Some(total), _) => total.checked_add(amount).ok_or_else(|| {
                    NotEvaluated::Malformed(format!("{PATH}: the total exceeds 128 bits"))
                })?,
            });
        }
        total.ok_or_else(|| {
            NotEvaluated::Unknown(format!(
                "{}({}) of no nodes: no node matches the filters",
                self.function, self.argument
            ))
        })
    }

    /// Whether any node has the condition. Troubleshoot asks only that the operator holds an equals sign, and
    /// compares for equality whatever it is.
    fn node_condition(&self, nodes: &[&Node], read: &mut String) -> Result<bool, NotEvaluated> {
        if !self.operator.contains('=') {
            return Err(self.bad("nodeCondition can only be compared by =="));
        }
        if self.argument.is_empty() {
            return Err(
                self.bad("nodeCondition needs a condition's type, as in nodeCondition(Ready)")
            );
        }
        let count = nodes
            .iter()
            .filter(|node| {
                node.status.conditions.iter().any(|condition| {
                    condition.kind == self.argument && condition.status == self.value
                })
            })
            .count();
        *read = format!("{count} with {} {}", self.argument, self.value);
        Ok(count > 0)
    }
}

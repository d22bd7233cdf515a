//! Conditions on the nodes that count, and the amounts that they compare.

use std::collections::{BTreeMap, BTreeSet};

use bundle::collected::node::{self, Node, PATH};
use syntax::quantity::Quantity;

use crate::document::unmasked;
use crate::finding::NotEvaluated;
use crate::outcome::{Operator, bad_condition};

/// An amount of a node, by resource name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Property<'a> {
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

    /// How much of it the node has.
    pub(super) fn of(self, node: &Node) -> Result<Option<Quantity>, NotEvaluated> {
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
pub(super) struct Condition<'a> {
    when: &'a str,
    function: &'a str,
    argument: &'a str,
    operator: &'a str,
    value: &'a str,
}

impl<'a> Condition<'a> {
    /// Takes a `when` apart.
    pub(super) fn parse(when: &'a str) -> Result<Self, NotEvaluated> {
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
    pub(super) fn holds(
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

//! `nodeResources`: what the nodes have, as a whole or one by one.

mod condition;
mod filters;

use bundle::collected::List;
use bundle::collected::node::{Node, PATH};
use bundle::{Files, ReadError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{counted, document};
use crate::finding::{Finding, Icon, Judgement, NotEvaluated, Verdict};
use crate::message::render_struct;
use crate::outcome::{Outcome, first_match};
use condition::Condition;
use filters::Filters;

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

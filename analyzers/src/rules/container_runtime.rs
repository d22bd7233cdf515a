//! `containerRuntime`: which container runtime the nodes run.

use std::collections::BTreeMap;

use bundle::Files;
use bundle::collected::List;
use bundle::collected::node::{Node, PATH as NODES};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{counted, document, is_masked, redacted};
use crate::finding::{Finding, Icon, Judgement, NotEvaluated};
use crate::outcome::{Operator, Outcome, bad_condition, first_match, words};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "The nodes run a container runtime that the application supports",
    docs: docs::<ContainerRuntime>,
    since: "0.1.0",
    needs: &["clusterResources"],
    parse: parse::<ContainerRuntime>,
    schema: schema::<ContainerRuntime>,
};

const NAME: &str = "containerRuntime";
const ICON: Icon = Icon {
    key: "kubernetes_container_runtime",
    file: "container-runtime.svg?w=23&h=16",
};

/// The nodes run a container runtime that the application supports.
///
/// # What it checks
/// The container runtime that each node's kubelet reports: containerd, cri-o, docker, without its version.
///
/// # When it warns or fails
/// `when` is `= <name>` (also `==`, `===`), which holds when any node has that runtime, or `!= <name>` (also `!==`),
/// which holds when no node has it; in troubleshoot `!=` never holds. The first outcome that holds counts. Another
/// operator never holds, and the finding says so. Where it depends on a node that does not report its runtime, the
/// answer is unknown.
///
/// # What to do
/// Run the nodes with a supported runtime, or ask the vendor about this one. `kubectl get nodes -o wide` shows which
/// node has which.
///
/// # Needs
/// The collector `clusterResources` (always added), which lists `nodes`.
///
/// # Example
/// ```yaml
/// containerRuntime:
///   outcomes:
///     - fail:
///         when: "== docker"
///         message: Docker is not supported as a container runtime.
///     - pass:
///         message: No node runs Docker.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct ContainerRuntime {
    /// The conditions and what to say.
    outcomes: Vec<Outcome>,
}

impl Analyzer for ContainerRuntime {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or("Container Runtime")
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let nodes = document::<List<Node>>(files, NODES)?;
        let runtimes = Runtimes::of(&nodes.items);
        let mut never_holds = None;
        let matched = first_match(&self.outcomes, |when| {
            let [operator, name] = words(when, "`<operator> <name>`")?;
            match Operator::parse(operator) {
                Some(Operator::Equal) => runtimes.have(name),
                Some(Operator::NotEqual) => Ok(!runtimes.have(name)?),
                _ => {
                    let problem = format!("{operator:?} compares no names, = and != do");
                    never_holds.get_or_insert(bad_condition(when, problem));
                    Ok(false)
                }
            }
        })?;
        let finding = Finding {
            id: NAME.to_owned(),
            title: self.title(meta),
            strict: meta.strict,
            observed: format!("{} ({NODES})", runtimes.shown()),
            ..Finding::of_match(matched)
        };
        let remedy = "Use nodes with a container runtime that the application supports, or ask its vendor about this one.";
        Ok(Judgement {
            findings: vec![finding.with_remedy(remedy).with_icon(&ICON)],
            not_evaluated: never_holds,
        })
    }
}

/// The runtimes that there are.
struct Runtimes {
    /// How many nodes have each, by its name.
    nodes: BTreeMap<String, usize>,
    /// Why the runtime of some node is not known.
    untold: Option<NotEvaluated>,
}

impl Runtimes {
    /// Reads what nodes report, `containerd://1.7.22`. The name is that of a URL's scheme, in lower case.
    fn of(nodes: &[Node]) -> Self {
        let mut runtimes = Self {
            nodes: BTreeMap::new(),
            untold: None,
        };
        for node in nodes {
            let reported = node.status.node_info.container_runtime_version.as_str();
            let name = reported
                .split_once("://")
                .map_or(reported, |(name, _)| name);
            if is_masked(name) {
                runtimes.untold.get_or_insert(redacted());
            } else if name.is_empty() {
                let reason = format!(
                    "the node {} does not report its container runtime ({NODES})",
                    node.metadata.name
                );
                runtimes.untold.get_or_insert(NotEvaluated::Unknown(reason));
            } else {
                *runtimes.nodes.entry(name.to_lowercase()).or_default() += 1;
            }
        }
        runtimes
    }

    /// Whether any node has the runtime.
    fn have(&self, name: &str) -> Result<bool, NotEvaluated> {
        match &self.untold {
            _ if self.nodes.contains_key(name) => Ok(true),
            Some(reason) => Err(reason.clone()),
            None => Ok(false),
        }
    }

    /// `containerd on 2 nodes, docker on 1 node`
    fn shown(&self) -> String {
        const SHOWN: usize = 10;
        let runtimes = self.nodes.iter();
        let mut shown: Vec<String> = runtimes
            .take(SHOWN)
            .map(|(name, nodes)| format!("{name} on {}", counted(*nodes, "node")))
            .collect();
        if self.nodes.len() > SHOWN {
            shown.push("…".to_owned());
        }
        if shown.is_empty() {
            "no node reports its runtime".to_owned()
        } else {
            shown.join(", ")
        }
    }
}

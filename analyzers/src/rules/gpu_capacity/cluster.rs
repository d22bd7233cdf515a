//! The nodes, and what their pods hold of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bundle::Files;
use bundle::collected::List;
use bundle::collected::node::{self, Node};
use bundle::collected::scheduling::{PODS, Pod, ResourceList};

use super::requests::{Units, in_units, list_in_units, of_pod};
use crate::document::{Documents, document};
use crate::finding::NotEvaluated;

/// The documents that all else is computed from.
pub(super) struct Collected {
    nodes: Arc<List<Node>>,
    pods: Vec<(String, Arc<List<Pod>>)>,
    /// Why pods are missing, which may hold what seems free.
    pub(super) unseen_pods: Option<String>,
}

impl Collected {
    /// Reads nodes and pods. Without nodes there is no answer.
    pub(super) fn read(files: &Files) -> Result<Self, NotEvaluated> {
        let nodes = document::<List<Node>>(files, node::PATH)?;
        let (pods, unseen) = match Documents::<List<Pod>>::read(files, PODS, &[]) {
            Ok(documents) => (documents.read, documents.unseen),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        Ok(Self {
            nodes,
            pods,
            unseen_pods: unseen.map(|reason| reason.reason().to_owned()),
        })
    }

    /// All pods, bound or not.
    pub(super) fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().flat_map(|(_, list)| &list.items)
    }

    /// The nodes with their pods.
    pub(super) fn hosts(&self) -> Result<Vec<Host<'_>>, NotEvaluated> {
        let mut hosts = Vec::with_capacity(self.nodes.items.len());
        let mut by_name = HashMap::with_capacity(self.nodes.items.len());
        for node in &self.nodes.items {
            by_name.insert(node.metadata.name.as_str(), hosts.len());
            hosts.push(Host::new(node)?);
        }
        for pod in self.pods() {
            if matches!(pod.status.phase.as_str(), "Succeeded" | "Failed") {
                continue;
            }
            let (name, promised) = if pod.spec.node_name.is_empty() {
                (pod.status.nominated_node_name.as_str(), true)
            } else {
                (pod.spec.node_name.as_str(), false)
            };
            if let Some(host) = by_name.get(name) {
                hosts[*host].occupants.push(Occupant::new(pod, promised)?);
            }
        }
        Ok(hosts)
    }
}

/// A node as the scheduler sees it.
#[derive(Debug)]
pub(super) struct Host<'a> {
    /// The node.
    pub(super) node: &'a Node,
    /// What pods may have of it.
    pub(super) allocatable: Units<'a>,
    /// What it has.
    pub(super) capacity: Units<'a>,
    /// Its pods that have not ended.
    pub(super) occupants: Vec<Occupant<'a>>,
}

impl<'a> Host<'a> {
    fn new(node: &'a Node) -> Result<Self, NotEvaluated> {
        let status = &node.status;
        let read = |list: &'a BTreeMap<String, node::Quantity>| -> Result<Units<'a>, NotEvaluated> {
            let list: &ResourceList = list;
            let subject = format!("{}: node {}", node::PATH, node.metadata.name);
            list_in_units(list).map_err(|it| it.of(&subject))
        };
        let capacity = read(&status.capacity)?;
        // The API server fills in the one from the other.
        let allocatable = if status.allocatable.is_empty() {
            capacity.clone()
        } else {
            read(&status.allocatable)?
        };
        Ok(Self {
            node,
            allocatable,
            capacity,
            occupants: Vec::new(),
        })
    }

    /// The node's name.
    pub(super) fn name(&self) -> &'a str {
        &self.node.metadata.name
    }

    /// What pods may have of a resource; none where the node does not list it.
    pub(super) fn offers(&self, resource: &str) -> i64 {
        self.allocatable.get(resource).copied().unwrap_or(0)
    }

    /// What the pods that count hold of a resource.
    pub(super) fn held(&self, resource: &str, counts: impl Fn(&Occupant<'_>) -> bool) -> i64 {
        self.occupants
            .iter()
            .filter(|it| counts(it))
            .filter_map(|it| it.request.get(resource))
            .fold(0, |sum: i64, amount| sum.saturating_add(*amount))
    }

    /// What is free of a resource; nothing where pods hold more than there is.
    pub(super) fn free(&self, resource: &str) -> i64 {
        let held = self.held(resource, |it| !it.promised);
        self.offers(resource).saturating_sub(held).max(0)
    }

    /// How much of a resource the node has and does not offer.
    pub(super) fn withheld(&self, resource: &str) -> i64 {
        let has = self.capacity.get(resource).copied().unwrap_or(0);
        has.saturating_sub(self.offers(resource)).max(0)
    }
}

/// A pod on a node.
#[derive(Debug)]
pub(super) struct Occupant<'a> {
    /// The pod.
    pub(super) pod: &'a Pod,
    /// What it holds.
    pub(super) request: Units<'a>,
    /// Its priority.
    pub(super) priority: i64,
    /// Whether it is only promised the place: room is being made for it.
    pub(super) promised: bool,
}

impl<'a> Occupant<'a> {
    fn new(pod: &'a Pod, promised: bool) -> Result<Self, NotEvaluated> {
        let request = of_pod(&pod.spec, Some(&pod.status)).map_err(|it| {
            it.of(&format!(
                "{PODS}/{}.json: pod {}",
                pod.metadata.namespace, pod.metadata.name
            ))
        })?;
        Ok(Self {
            pod,
            request: in_units(&request),
            priority: pod.spec.priority.unwrap_or(0),
            promised,
        })
    }

    /// `namespace/name`.
    pub(super) fn name(&self) -> String {
        let metadata = &self.pod.metadata;
        format!("{}/{}", metadata.namespace, metadata.name)
    }
}

//! Which nodes a pod may go to: taints, labels, affinity, ports.

use std::collections::{BTreeMap, BTreeSet};

use bundle::collected::node::{Node, Taint};
use bundle::collected::scheduling::{
    Affinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Toleration,
};

/// The taint that stands for a cordon.
pub(super) const CORDON: &str = "node.kubernetes.io/unschedulable";

/// Whether a pod stays off a cordoned node.
pub(super) fn stops_at_cordon(tolerations: &[Toleration]) -> bool {
    !tolerations
        .iter()
        .any(|it| it.tolerates(CORDON, "", "NoSchedule"))
}

/// The taints that keep a pod away.
pub(super) fn untolerated<'n>(
    node: &'n Node,
    tolerations: &'n [Toleration],
) -> impl Iterator<Item = &'n Taint> {
    node.spec.taints.iter().filter(move |taint| {
        matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
            && !tolerations
                .iter()
                .any(|it| it.tolerates(&taint.key, &taint.value, &taint.effect))
    })
}

/// A taint as kubectl writes it.
pub(super) fn taint_text(taint: &Taint) -> String {
    if taint.value.is_empty() {
        format!("{}:{}", taint.key, taint.effect)
    } else {
        format!("{}={}:{}", taint.key, taint.value, taint.effect)
    }
}

/// The pod's required node affinity.
fn required(spec: &PodSpec) -> Option<&NodeSelector> {
    let Affinity { node_affinity, .. } = spec.affinity.as_deref()?;
    node_affinity
        .as_ref()?
        .required_during_scheduling_ignored_during_execution
        .as_ref()
}

/// Whether a node has the labels and name that the pod requires.
pub(super) fn selects(spec: &PodSpec, node: &Node) -> bool {
    missing_labels(spec, node).next().is_none()
        && required(spec).is_none_or(|selector| selector_matches(selector, node))
}

/// The labels of `nodeSelector` that a node does not have.
pub(super) fn missing_labels<'a>(
    spec: &'a PodSpec,
    node: &'a Node,
) -> impl Iterator<Item = (&'a String, &'a String)> {
    spec.node_selector
        .iter()
        .filter(|(key, value)| node.metadata.labels.get(*key) != Some(*value))
}

/// The labels that the pod's selector and affinity look at.
pub(super) fn compared_labels(spec: &PodSpec) -> BTreeSet<&str> {
    let terms = required(spec).map(|it| it.node_selector_terms.as_slice());
    let expressions = terms
        .unwrap_or_default()
        .iter()
        .flat_map(|term| &term.match_expressions)
        .map(|requirement| requirement.key.as_str());
    let selector = spec.node_selector.keys().map(String::as_str);
    selector.chain(expressions).collect()
}

/// Whether one of a node selector's terms holds.
pub(super) fn selector_matches(selector: &NodeSelector, node: &Node) -> bool {
    let terms = &selector.node_selector_terms;
    terms.iter().any(|term| term_matches(term, node))
}

fn term_matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let fields = BTreeMap::from([("metadata.name".to_owned(), node.metadata.name.clone())]);
    let is_empty = term.match_expressions.is_empty() && term.match_fields.is_empty();
    let labels = &node.metadata.labels;
    !is_empty
        && term.match_expressions.iter().all(|it| holds(it, labels))
        && term.match_fields.iter().all(|it| holds(it, &fields))
}

fn holds(requirement: &NodeSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&requirement.key);
    let among = |value: &String| requirement.values.contains(value);
    match requirement.operator.as_str() {
        "In" => value.is_some_and(among),
        "NotIn" => !value.is_some_and(among),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(value, &requirement.values).is_some_and(|(is, than)| is > than),
        "Lt" => compare(value, &requirement.values).is_some_and(|(is, than)| is < than),
        _ => false,
    }
}

/// Both sides of `Gt` and `Lt`, where both are whole numbers.
fn compare(value: Option<&String>, values: &[String]) -> Option<(i64, i64)> {
    let [than] = values else {
        return None;
    };
    Some((value?.parse().ok()?, than.parse().ok()?))
}

/// The only nodes that the scheduler looks at, where each term of the affinity names nodes; it says nothing else
/// of the others. An empty set is a contradiction.
pub(super) fn named_nodes(spec: &PodSpec) -> Option<BTreeSet<&str>> {
    let terms = &required(spec)?.node_selector_terms;
    let mut names = BTreeSet::new();
    for term in terms {
        let mut of_term: Option<BTreeSet<&str>> = None;
        for field in &term.match_fields {
            if field.key == "metadata.name" && field.operator == "In" {
                let values = field.values.iter().map(String::as_str).collect();
                of_term = Some(match of_term {
                    Some(before) => &before & &values,
                    None => values,
                });
            }
        }
        names.extend(of_term?);
    }
    (!terms.is_empty()).then_some(names)
}

/// A port that only one pod of a node can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPort {
    ip: String,
    protocol: String,
    port: i64,
}

impl HostPort {
    /// Whether both cannot be on one node.
    pub(super) fn conflicts(&self, other: &Self) -> bool {
        let everywhere = |ip: &str| ip == "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || everywhere(&self.ip) || everywhere(&other.ip))
    }
}

/// The ports that a pod takes on its node. Of init containers only sidecars hold theirs.
pub(super) fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec
        .init_containers
        .iter()
        .filter(|it| super::requests::is_sidecar(it));
    let ports = spec
        .containers
        .iter()
        .chain(sidecars)
        .flat_map(|it| &it.ports);
    ports
        .filter_map(|port| {
            let number = match port.host_port {
                0 if spec.host_network => port.container_port,
                number => number,
            };
            let or =
                |text: &str, default: &str| if text.is_empty() { default } else { text }.to_owned();
            (number > 0).then(|| HostPort {
                ip: or(&port.host_ip, "0.0.0.0"),
                protocol: or(&port.protocol, "TCP"),
                port: number,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn toleration(value: Value) -> Toleration {
        serde_json::from_value(value).expect("a toleration")
    }

    fn node(labels: &Value) -> Node {
        let node = json!({"metadata": {"name": "a", "labels": labels}});
        serde_json::from_value(node).expect("a node")
    }

    #[test]
    fn tolerations() {
        for (given, holds) in [
            (json!({}), false),
            (json!({"operator": "Exists"}), true),
            (json!({"key": "gpu", "operator": "Exists"}), true),
            (
                json!({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}),
                false,
            ),
            (
                json!({"key": "gpu", "value": "yes", "effect": "NoSchedule"}),
                true,
            ),
            (json!({"key": "gpu"}), false),
            (json!({"key": "gpu", "operator": "Gt", "value": "1"}), false),
            (json!({"value": "yes"}), true),
        ] {
            let does = toleration(given.clone()).tolerates("gpu", "yes", "NoSchedule");
            assert_eq!(does, holds, "{given}");
        }
    }

    fn spec(term: &Value) -> PodSpec {
        let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": term}}});
        serde_json::from_value(json!({"affinity": affinity})).expect("a spec")
    }

    #[test]
    fn affinity() {
        let node = node(&json!({"memory": "40", "unit": "40GB", "zone": "a"}));
        let expression = |key: &str, operator: &str, values: &[&str]| json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]);
        for (terms, matches) in [
            (expression("zone", "In", &["a", "b"]), true),
            (expression("zone", "NotIn", &["a"]), false),
            (expression("none", "NotIn", &["a"]), true),
            (expression("none", "DoesNotExist", &[]), true),
            (expression("zone", "Exists", &[]), true),
            (expression("memory", "Gt", &["39"]), true),
            (expression("memory", "Lt", &["40"]), false),
            (expression("unit", "Gt", &["1"]), false),
            (expression("zone", "Like", &["a"]), false),
            (json!([{}]), false),
            (json!([]), false),
            (
                json!([{}, {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}]),
                true,
            ),
        ] {
            assert_eq!(selects(&spec(&terms), &node), matches, "{terms}");
        }
    }

    #[test]
    fn nodes_by_name() {
        let name = |names: &[&str]| json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": names}]});
        let set = |names: &[&'static str]| Some(names.iter().copied().collect::<BTreeSet<_>>());
        for (terms, names) in [
            (json!([name(&["a"]), name(&["b"])]), set(&["a", "b"])),
            (
                json!([name(&["a"]), {"matchExpressions": [{"key": "x", "operator": "Exists"}]}]),
                None,
            ),
            (json!([]), None),
        ] {
            assert_eq!(named_nodes(&spec(&terms)), names, "{terms}");
        }
    }

    #[test]
    fn ports() {
        let ports = |host_network: bool, port: Value| {
            let spec = json!({"hostNetwork": host_network, "containers": [{"name": "a", "ports": [port]}]});
            host_ports(&serde_json::from_value(spec).expect("a spec"))
        };
        assert!(ports(false, json!({"containerPort": 80})).is_empty());
        let http = ports(true, json!({"containerPort": 80}));
        let one = ports(
            false,
            json!({"containerPort": 1, "hostPort": 80, "hostIP": "10.0.0.1"}),
        );
        let other = ports(false, json!({"hostPort": 80, "hostIP": "10.0.0.2"}));
        let udp = ports(false, json!({"hostPort": 80, "protocol": "UDP"}));
        assert!(http[0].conflicts(&one[0]) && one[0].conflicts(&http[0]));
        assert!(!one[0].conflicts(&other[0]) && !http[0].conflicts(&udp[0]));
    }
}

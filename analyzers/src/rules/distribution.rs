//! `distribution`: which Kubernetes distribution this is.

use bundle::collected::List;
use bundle::collected::node::{Node, PATH as NODES};
use bundle::{Files, ReadError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{counted, document, missing, unmasked};
use crate::finding::{Finding, Icon, Judgement, NotEvaluated, Verdict};
use crate::outcome::{Operator, Outcome, bad_condition, first_match};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "The Kubernetes distribution is one that the application supports",
    docs: docs::<Distribution>,
    since: "0.1.0",
    needs: &["clusterResources"],
    parse: parse::<Distribution>,
    schema: schema::<Distribution>,
};

const NAME: &str = "distribution";
const RESOURCES: &str = "cluster-resources/resources.json";
const ICON: Icon = Icon {
    key: "kubernetes_distribution",
    file: "distribution.svg?w=20&h=14",
};

/// The Kubernetes distribution is one that the application supports.
///
/// # What it checks
/// What the nodes' labels, annotations, provider ids and operating system, and the API groups of the server,
/// tell of the distribution. Several can be true at once (k0s and embedded-cluster).
///
/// # When it warns or fails
/// `when` is a name, or `=` or `!=` and a name: microk8s, `dockerDesktop`, eks, gke, `digitalOcean`, `openShift`,
/// kurl, aks, ibm, minikube, rke2, k3s, oke, kind, k0s, embedded-cluster, in any case, with or without dashes. The
/// first outcome that holds counts. When none does it warns, naming the conditions' names that nobody knows.
/// `tanzu` is a known name that never holds, as in troubleshoot.
///
/// # What to do
/// Install on a supported distribution, or ask the vendor about this one.
///
/// # Needs
/// The collector `clusterResources` (always added), which lists `nodes` and asks for the API groups. Without
/// the right to list nodes the distribution is unknown.
///
/// # Example
/// ```yaml
/// distribution:
///   outcomes:
///     - fail:
///         when: "== docker-desktop"
///         message: Docker Desktop is not supported.
///     - pass:
///         when: "== eks"
///         message: EKS is supported.
///     - warn:
///         message: This distribution has not been tried.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Distribution {
    /// The conditions and what to say.
    outcomes: Vec<Outcome>,
}

/// The names in conditions (lower case, without dashes) and the distribution each means.
const NAMES: &[(&str, &str)] = &[
    ("aks", "aks"),
    ("digitalocean", "digitalOcean"),
    ("dockerdesktop", "dockerDesktop"),
    ("eks", "eks"),
    ("embeddedcluster", "embedded-cluster"),
    ("gke", "gke"),
    ("ibm", "ibm"),
    ("ibmcloud", "ibm"),
    ("k0s", "k0s"),
    ("k3s", "k3s"),
    ("kind", "kind"),
    ("kurl", "kurl"),
    ("microk8s", "microk8s"),
    ("minikube", "minikube"),
    ("oke", "oke"),
    ("openshift", "openShift"),
    ("rke2", "rke2"),
    ("tanzu", "tanzu"),
];

/// (label, value or nothing for any, distribution)
const LABELS: &[(&str, Option<&str>, &str)] = &[
    ("kurl.sh/cluster", Some("true"), "kurl"),
    ("microk8s.io/cluster", Some("true"), "microk8s"),
    ("kubernetes.azure.com/role", None, "aks"),
    ("minikube.k8s.io/version", None, "minikube"),
    ("node.kubernetes.io/instance-type", Some("k3s"), "k3s"),
    ("beta.kubernetes.io/instance-type", Some("k3s"), "k3s"),
    ("oci.oraclecloud.com/fault-domain", None, "oke"),
    ("node.k0sproject.io/role", None, "k0s"),
    ("kots.io/embedded-cluster-role", None, "embedded-cluster"),
];

/// Prefixes of a node's `spec.providerID`.
const PROVIDERS: &[(&str, &str)] = &[
    ("digitalocean:", "digitalOcean"),
    ("aws:", "eks"),
    ("gce:", "gke"),
    ("ibm:", "ibm"),
    ("kind:", "kind"),
];

/// An entry of `resources.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResourceList {
    group_version: String,
}

impl Analyzer for Distribution {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or("Kubernetes Distribution")
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let nodes = document::<List<Node>>(files, NODES)?;
        let mut found = of_nodes(&nodes.items)?;
        let resources = of_resources(files)?;
        found.extend(resources.then_some("openShift"));
        let mut unknown = String::new();
        let matched = first_match(&self.outcomes, |when| {
            if mentions_openshift(when)
                && !resources
                && let Some(reason) = missing(files, RESOURCES)
            {
                return Err(reason);
            }
            holds(when, &found, &mut unknown)
        })?;
        let said = if matched.is_some() {
            Finding::of_match(matched)
        } else if unknown.is_empty() {
            warning("None of the conditionals were met".to_owned())
        } else {
            warning(unknown)
        };
        let finding = Finding {
            id: NAME.to_owned(),
            title: self.title(meta),
            strict: meta.strict,
            observed: observed(&found, nodes.items.len()),
            ..said
        };
        let remedy =
            "Use a distribution that the application supports, or ask its vendor about this one.";
        Ok(finding.with_remedy(remedy).with_icon(&ICON).into())
    }
}

fn warning(message: String) -> Finding {
    Finding {
        verdict: Some(Verdict::Warn),
        message,
        ..Finding::default()
    }
}

fn observed(found: &[&str], nodes: usize) -> String {
    let names = if found.is_empty() {
        "no known distribution".to_owned()
    } else {
        found.join(", ")
    };
    format!("{names}, by {} ({NODES})", counted(nodes, "node"))
}

/// The distributions that the nodes speak of, sorted.
fn of_nodes(nodes: &[Node]) -> Result<Vec<&'static str>, NotEvaluated> {
    let mut found = Vec::new();
    let mut has_control_plane = false;
    for node in nodes {
        let metadata = &node.metadata;
        for (label, wanted, distribution) in LABELS {
            let Some(value) = metadata.labels.get(*label) else {
                continue;
            };
            let holds = match wanted {
                Some(wanted) => unmasked(value)? == *wanted,
                None => true,
            };
            if holds {
                found.push(*distribution);
            }
        }
        for role in ["master", "control-plane"] {
            let label = format!("node-role.kubernetes.io/{role}");
            has_control_plane |= metadata.labels.contains_key(&label);
        }
        if metadata.annotations.contains_key("rke2.io/node-args") {
            found.push("rke2");
        }
        if unmasked(&node.status.node_info.os_image)? == "Docker Desktop" {
            found.push("dockerDesktop");
        }
        for (prefix, distribution) in PROVIDERS {
            if unmasked(&node.spec.provider_id)?.starts_with(prefix) {
                found.push(*distribution);
            }
        }
    }
    if has_control_plane {
        // EKS hides its control plane: whoever shows one runs on Amazon's machines without EKS.
        found.retain(|distribution| *distribution != "eks");
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Whether the server has `OpenShift`'s API. Bundles of old releases lack the file.
fn of_resources(files: &Files) -> Result<bool, NotEvaluated> {
    match files.decoded::<Vec<ResourceList>>(RESOURCES) {
        Ok(lists) => Ok(lists
            .iter()
            .any(|list| list.group_version.starts_with("apps.openshift.io/"))),
        Err(error @ ReadError::Malformed { .. }) => Err(error.into()),
        Err(_) => Ok(false),
    }
}

fn normal(name: &str) -> Option<&'static str> {
    let name = name.trim().to_lowercase().replace('-', "");
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, distribution)| *distribution)
}

fn mentions_openshift(when: &str) -> bool {
    when.split(' ')
        .any(|word| normal(word) == Some("openShift"))
}

/// `[op] <name>`. Names that nobody knows are added to `unknown` and do not hold.
fn holds(when: &str, found: &[&str], unknown: &mut String) -> Result<bool, NotEvaluated> {
    let parts: Vec<&str> = when.trim().split(' ').collect();
    let (operator, name) = match parts[..] {
        [name] => ("=", name),
        [operator, name] => (operator, name),
        _ => return Err(bad_condition(when, "expected `[operator] <name>`")),
    };
    let Some(distribution) = normal(name) else {
        unknown.push_str("- Unknown distribution: ");
        unknown.push_str(name);
        unknown.push(' ');
        return Ok(false);
    };
    let is_match = found.contains(&distribution);
    Ok(match Operator::parse(operator) {
        Some(Operator::Equal) => is_match,
        Some(Operator::NotEqual) => !is_match,
        _ => false,
    })
}

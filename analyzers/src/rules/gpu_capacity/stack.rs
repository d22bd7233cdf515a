//! What the nodes, the vendor's operator and its pods say of the devices themselves: drivers that are missing, plugins
//! that never registered or went away, devices that failed, shares that are no devices.

use std::collections::BTreeMap;

use bundle::Files;
use bundle::collected::pod::Pod;
use bundle::collected::{List, Name};
use serde::Deserialize;

use super::cluster::Host;
use crate::document::counted;
use crate::finding::ObjectReference;

/// How many names are listed, and how many objects are referred to.
const NAMED: usize = 3;
const OBJECTS: usize = 10;

/// What there is to say beside the count.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    /// Clauses.
    pub(super) texts: Vec<String>,
    /// What to do about what is broken; empty where nothing is.
    pub(super) remedy: String,
    /// Whether devices are there that no node offers, which comes before any other remedy.
    pub(super) come_first: bool,
    /// Nodes and objects of which something is wrong.
    pub(super) objects: Vec<ObjectReference>,
}

/// `ClusterPolicy` and `NVIDIADriver`, as far as they say how they are.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stated {
    metadata: Name,
    status: Option<State>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    state: String,
}

/// Looks at the nodes with a resource's devices.
pub(super) fn remarks(hosts: &[Host<'_>], resource: &str, files: &Files) -> Remarks {
    let mut remarks = Remarks::default();
    remarks.of_supply(hosts, resource);
    if resource.starts_with("nvidia.com/") {
        remarks.of_cards(hosts, files);
        remarks.of_slices(hosts);
        remarks.of_shares(hosts, resource);
        remarks.of_operator(files);
    }
    remarks
}

impl Remarks {
    fn nodes(&mut self, hosts: &[&Host<'_>]) -> String {
        for host in hosts {
            if self.objects.len() < OBJECTS {
                self.objects.push(ObjectReference {
                    api_version: "v1".to_owned(),
                    kind: "Node".to_owned(),
                    namespace: String::new(),
                    name: host.name().to_owned(),
                });
            }
        }
        let names: Vec<&str> = hosts.iter().take(NAMED).map(|it| it.name()).collect();
        match hosts.len().saturating_sub(NAMED) {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }

    fn advise(&mut self, text: &str) {
        if !self.remedy.contains(text) {
            if !self.remedy.is_empty() {
                self.remedy.push(' ');
            }
            self.remedy.push_str(text);
        }
    }

    /// Devices that nodes have and do not offer, or that they used to offer.
    fn of_supply(&mut self, hosts: &[Host<'_>], resource: &str) {
        if !super::requests::is_extended(resource) {
            return;
        }
        let failed: Vec<&Host<'_>> = hosts
            .iter()
            .filter(|it| it.withheld(resource) > 0)
            .collect();
        let gone: Vec<&Host<'_>> = failed
            .iter()
            .filter(|it| it.offers(resource) == 0)
            .copied()
            .collect();
        let sick: Vec<&Host<'_>> = failed
            .iter()
            .filter(|it| it.offers(resource) > 0)
            .copied()
            .collect();
        if !sick.is_empty() {
            let count: i64 = sick.iter().map(|it| it.withheld(resource)).sum();
            let (has, offers) = sick.iter().fold((0, 0), |(has, offers), it| {
                let capacity = it.capacity.get(resource).copied().unwrap_or(0);
                (has + capacity, offers + it.offers(resource))
            });
            let nodes = self.nodes(&sick);
            self.texts.push(format!(
                "{count} {resource} unhealthy: {nodes} {} {has} and {offers} {} offered",
                if sick.len() == 1 { "has" } else { "have" },
                if offers == 1 { "is" } else { "are" },
            ));
            self.advise("Look for the failed devices: the device plugin's log names them, the node's kernel log has the XIDs (NVRM: Xid).");
        }
        let zero: Vec<&Host<'_>> = hosts
            .iter()
            .filter(|it| it.allocatable.get(resource) == Some(&0))
            .filter(|it| it.withheld(resource) == 0 && !has_slices(it))
            .collect();
        let gone: Vec<&Host<'_>> = gone.into_iter().chain(zero).collect();
        if !gone.is_empty() {
            self.come_first = true;
            let nodes = self.nodes(&gone);
            self.texts.push(format!(
                "{nodes} {} 0 {resource}: the device plugin registered once and is gone, or found no healthy device",
                if gone.len() == 1 { "offers" } else { "offer" },
            ));
            self.advise("Restart the device plugin on these nodes and read its log; after a restart of the kubelet it has to register again.");
        }
    }

    /// Cards that nothing offers.
    fn of_cards(&mut self, hosts: &[Host<'_>], files: &Files) {
        let offers_any = |host: &Host<'_>| {
            host.capacity
                .keys()
                .any(|it| it.starts_with("nvidia.com/gpu") || it.starts_with("nvidia.com/mig-"))
        };
        let with_driver = |host: &Host<'_>| {
            let labels = &host.node.metadata.labels;
            labels.keys().any(|it| {
                it.starts_with("nvidia.com/cuda.driver") || it == "nvidia.com/gpu.product"
            })
        };
        let idle: Vec<&Host<'_>> = hosts
            .iter()
            .filter(|it| has_card(it) && !offers_any(it))
            .collect();
        let (registered_never, driverless): (Vec<&Host<'_>>, Vec<&Host<'_>>) =
            idle.iter().copied().partition(|it| with_driver(it));
        self.come_first |= !idle.is_empty();
        if !registered_never.is_empty() {
            let nodes = self.nodes(&registered_never);
            self.texts.push(format!(
                "{nodes}: an NVIDIA card and its driver are there, the device plugin never registered nvidia.com/gpu"
            ));
            self.advise("Install the NVIDIA device plugin (or the GPU operator), and see that its pods tolerate the nodes' taints.");
        }
        if !driverless.is_empty() {
            let nodes = self.nodes(&driverless);
            self.texts.push(format!(
                "{nodes}: an NVIDIA card is in the machine, and neither driver nor device plugin offer it"
            ));
            self.advise("Install the NVIDIA driver and device plugin, or the GPU operator, which brings both.");
        }
        for host in idle.iter().take(NAMED) {
            if let Some(text) = plugin_trouble(host, files) {
                self.texts.push(text);
            }
        }
    }

    /// MIG that is being set up, or could not be.
    fn of_slices(&mut self, hosts: &[Host<'_>]) {
        let label = |host: &Host<'_>| {
            let labels = &host.node.metadata.labels;
            labels.get("nvidia.com/mig.config.state").cloned()
        };
        let mut by_state: BTreeMap<String, Vec<&Host<'_>>> = BTreeMap::new();
        for host in hosts {
            if let Some(state) = label(host).filter(|it| it != "success") {
                by_state.entry(state).or_default().push(host);
            }
        }
        for (state, hosts) in by_state {
            let nodes = self.nodes(&hosts);
            self.texts
                .push(format!("MIG configuration is {state} on {nodes}"));
            self.advise("Read the log of the MIG manager's pod on these nodes; it cannot change slices that pods use.");
        }
    }

    /// Shares of one device, which are no devices.
    fn of_shares(&mut self, hosts: &[Host<'_>], resource: &str) {
        let mut by_kind: BTreeMap<(String, String), Vec<&Host<'_>>> = BTreeMap::new();
        for host in hosts.iter().filter(|it| it.offers(resource) > 0) {
            let labels = &host.node.metadata.labels;
            let of = |key: &str| labels.get(key).map_or("", |it| it.as_str());
            let replicas = of("nvidia.com/gpu.replicas");
            let product = of("nvidia.com/gpu.product");
            let strategy = of("nvidia.com/gpu.sharing-strategy");
            let is_shared = matches!(strategy, "time-slicing" | "mps")
                || product.ends_with("-SHARED")
                || resource.ends_with(".shared")
                || replicas.parse::<i64>().is_ok_and(|it| it > 1);
            if is_shared {
                let strategy = if strategy == "mps" {
                    "MPS"
                } else {
                    "time slicing"
                };
                let key = (strategy.to_owned(), replicas.to_owned());
                by_kind.entry(key).or_default().push(host);
            }
        }
        for ((strategy, replicas), hosts) in by_kind {
            let nodes = hosts.iter().take(NAMED).map(|it| it.name());
            let nodes = nodes.collect::<Vec<_>>().join(", ");
            let more = match hosts.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let each = if replicas.is_empty() {
                String::new()
            } else {
                format!(", {replicas} of each device")
            };
            let memory = if strategy == "MPS" {
                "a share has its part of the memory"
            } else {
                "all shares of a device use the same memory"
            };
            self.texts.push(format!(
                "{resource} on {nodes}{more} are shares by {strategy}{each}, not devices: {memory}, and two shares may be of one device"
            ));
        }
    }

    /// What the operator says of itself.
    fn of_operator(&mut self, files: &Files) {
        for (kind, file) in [
            ("ClusterPolicy", "clusterpolicies.nvidia.com"),
            ("NVIDIADriver", "nvidiadrivers.nvidia.com"),
        ] {
            let path = format!("cluster-resources/custom-resources/{file}.json");
            let Ok(all) = files.decoded::<Vec<Stated>>(&path) else {
                continue;
            };
            for Stated { metadata, status } in all.iter() {
                let state = status.as_ref().map_or("", |it| &it.state);
                if state.is_empty() || state == "ready" || state == "ignored" {
                    continue;
                }
                let name = &metadata.name;
                self.texts
                    .push(format!("{kind} {name} is {state} ({path})"));
                self.objects.push(ObjectReference {
                    api_version: String::from(if kind == "ClusterPolicy" {
                        "nvidia.com/v1"
                    } else {
                        "nvidia.com/v1alpha1"
                    }),
                    kind: kind.to_owned(),
                    namespace: String::new(),
                    name: name.clone(),
                });
                self.advise("See which of the GPU operator's DaemonSets is not ready: kubectl -n gpu-operator get daemonsets,pods.");
            }
        }
    }
}

fn has_slices(host: &Host<'_>) -> bool {
    let mut offered = host.allocatable.iter();
    offered.any(|(name, units)| name.starts_with("nvidia.com/mig-") && *units > 0)
}

/// Whether node feature discovery or the operator saw an NVIDIA card.
fn has_card(host: &Host<'_>) -> bool {
    host.node.metadata.labels.iter().any(|(key, value)| {
        let by_discovery = key.starts_with("feature.node.kubernetes.io/pci-")
            && (key.ends_with("10de.present") || key.contains("10de.sriov"));
        value == "true" && (by_discovery || key == "nvidia.com/gpu.present")
    })
}

/// The pod on a node that should have brought the driver or the plugin, and what it is waiting for.
fn plugin_trouble(host: &Host<'_>, files: &Files) -> Option<String> {
    const PARTS: [&str; 4] = [
        "nvidia-driver-daemonset",
        "nvidia-container-toolkit",
        "nvidia-operator-validator",
        "nvidia-device-plugin",
    ];
    let part = |name: &str| PARTS.iter().position(|it| name.starts_with(it));
    let mut found: Vec<(usize, &str, &str)> = host
        .occupants
        .iter()
        .filter_map(|it| {
            let metadata = &it.pod.metadata;
            let part = part(&metadata.name)?;
            Some((part, metadata.namespace.as_str(), metadata.name.as_str()))
        })
        .collect();
    found.sort_unstable();
    for (_, namespace, name) in found {
        let path = format!("{}/{namespace}.json", bundle::collected::scheduling::PODS);
        let Ok(pods) = files.decoded::<List<Pod>>(&path) else {
            continue;
        };
        let pod = pods.items.iter().find(|it| it.metadata.name == name)?;
        let reason = pod.status_reason().reason;
        if pod.is_unhealthy() || reason != "Running" {
            return Some(format!(
                "on {} pod {namespace}/{name} is {reason}",
                host.name()
            ));
        }
    }
    let none = !host
        .occupants
        .iter()
        .any(|it| part(&it.pod.metadata.name).is_some());
    none.then(|| {
        format!(
            "on {} there is no pod of a driver or device plugin among {}",
            host.name(),
            counted(host.occupants.len() as u64, "pod")
        )
    })
}

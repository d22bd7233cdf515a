//! What a pod's volume claims say about where it can run.

use bundle::Files;
use bundle::collected::List;
use bundle::collected::node::Node;
use bundle::collected::scheduling::{Binding, NodeSelector, PodSpec};
use bundle::collected::volume::{PersistentVolume, PersistentVolumeClaim};

use super::Unsure;
use super::constraints::selector_matches;
use crate::document::document;

/// What the claims require.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    /// Why no node will do, in the scheduler's words.
    pub(super) impossible: Option<String>,
    /// The nodes that each bound volume can be reached from.
    reachable: Vec<NodeSelector>,
    /// Zones and regions of bound volumes: the label, and its values.
    zones: Vec<(String, Vec<String>)>,
    /// What was not looked at.
    pub(super) unsure: Vec<Unsure>,
}

const ZONES: [(&str, &str); 4] = [
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    (
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/region",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/zone",
    ),
    (
        "failure-domain.beta.kubernetes.io/region",
        "topology.kubernetes.io/region",
    ),
];

impl Volumes {
    /// Reads the claims that the pod names.
    pub(super) fn of(spec: &PodSpec, namespace: &str, files: &Files) -> Self {
        let mut volumes = Self::default();
        let claims: Vec<&str> = spec
            .volumes
            .iter()
            .filter_map(|volume| Some(volume.persistent_volume_claim.as_ref()?.claim_name.as_str()))
            .collect();
        if claims.is_empty() {
            return volumes;
        }
        let path = format!("cluster-resources/pvcs/{namespace}.json");
        let list = match document::<List<PersistentVolumeClaim>>(files, &path) {
            Ok(list) => list,
            Err(reason) => {
                let what = format!("volumes (claim {}): {}", claims.join(", "), reason.reason());
                volumes.unsure.push(Unsure::lowers(what));
                return volumes;
            }
        };
        for name in claims {
            match list.items.iter().find(|it| it.metadata.name == name) {
                None => {
                    let reason = format!("persistentvolumeclaim {name:?} not found");
                    volumes.impossible.get_or_insert(reason);
                }
                Some(claim) => volumes.add(claim, files),
            }
        }
        volumes
    }

    fn add(&mut self, claim: &PersistentVolumeClaim, files: &Files) {
        let name = &claim.metadata.name;
        let volume_name = &claim.spec.volume_name;
        if claim.status.phase == "Lost" {
            let reason = format!(
                "persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume_name:?}"
            );
            self.impossible.get_or_insert(reason);
            return;
        }
        if volume_name.is_empty() {
            self.add_unbound(claim, files);
            return;
        }
        let path = "cluster-resources/pvs.json";
        let list = match document::<List<PersistentVolume>>(files, path) {
            Ok(list) => list,
            Err(reason) => {
                let what = format!("the volume of claim {name}: {}", reason.reason());
                self.unsure.push(Unsure::lowers(what));
                return;
            }
        };
        let Some(volume) = list
            .items
            .iter()
            .find(|it| &it.metadata.name == volume_name)
        else {
            let what = format!("volume {volume_name} of claim {name}, which is not in {path}");
            self.unsure.push(Unsure::lowers(what));
            return;
        };
        let affinity = volume.spec.node_affinity.as_ref();
        self.reachable
            .extend(affinity.and_then(|it| it.required.clone()));
        for (label, _) in ZONES {
            if let Some(value) = volume.metadata.labels.get(label) {
                let values = value.split("__").map(str::to_owned).collect();
                self.zones.push((label.to_owned(), values));
            }
        }
        if let Some(csi) = &volume.spec.csi {
            let what = format!(
                "volumes per node of the driver {} (claim {name})",
                csi.driver
            );
            self.unsure.push(Unsure::lowers(what));
        }
        if claim
            .spec
            .access_modes
            .iter()
            .any(|it| it == "ReadWriteOncePod")
        {
            let what = format!("claim {name}, which only one pod can use (ReadWriteOncePod)");
            self.unsure.push(Unsure::lowers(what));
        }
    }

    fn add_unbound(&mut self, claim: &PersistentVolumeClaim, files: &Files) {
        let name = &claim.metadata.name;
        let class = &claim.spec.storage_class_name;
        let path = "cluster-resources/storage-classes.json";
        let waits = match document::<List<Binding>>(files, path) {
            Ok(list) => {
                let found = list.items.iter().find(|it| &it.metadata.name == class);
                found.is_some_and(|it| it.volume_binding_mode == "WaitForFirstConsumer")
            }
            Err(reason) => {
                let what = format!("volume topology (claim {name}): {}", reason.reason());
                self.unsure.push(Unsure::lowers(what));
                return;
            }
        };
        if waits {
            let what = format!(
                "volume topology (claim {name} waits for its first pod, StorageClass {class})"
            );
            self.unsure.push(Unsure::lowers(what));
        } else {
            let reason = "pod has unbound immediate PersistentVolumeClaims".to_owned();
            self.impossible.get_or_insert(reason);
        }
    }

    /// Why a node cannot reach the volumes, in the scheduler's words.
    pub(super) fn refusal(&self, node: &Node) -> Option<&'static str> {
        if !self.reachable.iter().all(|it| selector_matches(it, node)) {
            return Some("node(s) didn't match PersistentVolume's node affinity");
        }
        let labels = &node.metadata.labels;
        let has_zone = ZONES.iter().any(|(label, _)| labels.contains_key(*label));
        let is_there = |(label, values): &(String, Vec<String>)| {
            let today = ZONES.iter().find(|(it, _)| it == label).map(|(_, it)| *it);
            let own = labels
                .get(label)
                .or_else(|| labels.get(today.unwrap_or_default()));
            own.is_some_and(|own| values.contains(own))
        };
        if has_zone && !self.zones.iter().all(is_there) {
            return Some("node(s) had no available volume zone");
        }
        None
    }
}

//! What a backup does with one volume: its files, a snapshot, nothing.

use std::collections::{BTreeMap, BTreeSet};

use bundle::collected::velero::BackupSpec;
use bundle::collected::volume::{
    PersistentVolume, PersistentVolumeClaim, Pod, PodVolume, SnapshotClass,
};
use serde_json::Value;
use syntax::selector::LabelSelector;

use super::Scene;
use super::node_agent::FILES_ANNOTATION;
use super::snapshot_class::class_for;
use crate::finding::NotEvaluated;

const EXCLUDES_ANNOTATION: &str = "backup.velero.io/backup-volumes-excludes";
const EXCLUDE_LABEL: &str = "velero.io/exclude-from-backup";
const NOT_NAMED: &str = "no annotation backup.velero.io/backup-volumes names it";
const LABELS: &str = "Give the pod and its claims the labels that the backup selects, in the workload's template; an operator's objects get them through its own fields (CloudNativePG: spec.inheritedMetadata).";
const HOST_PATH: &str =
    "Keep the data in a claim (local volumes can be backed up), or back it up by other means.";
const NODE_AGENT: &str = "Install the node agent: velero install --use-node-agent, or deployNodeAgent: true in the values of the Helm chart.";

/// The volumes that a provider's own snapshots are made of: the kind of volume before CSI, and the driver.
const PROVIDERS: [(&str, &str); 3] = [
    ("aws", "ebs.csi.aws.com"),
    ("azure", "disk.csi.azure.com"),
    ("gcp", "pd.csi.storage.gke.io"),
];

/// A backup that a namespace is in: a schedule's template, or the newest backup.
pub(super) struct Plan<'a> {
    /// `schedule nightly`.
    pub(super) name: String,
    pub(super) spec: &'a BackupSpec,
    pub(super) annotations: Option<&'a BTreeMap<String, String>>,
}

/// What the volumes of a cluster are like.
pub(super) struct Storage {
    pub(super) volumes: BTreeMap<String, PersistentVolume>,
    /// None where the API of snapshots does not exist.
    pub(super) classes: Result<Vec<SnapshotClass>, NotEvaluated>,
    /// Providers that have a snapshot location.
    pub(super) providers: BTreeSet<String>,
    pub(super) has_node_agent: bool,
}

/// Whether a volume is in a backup.
#[derive(Debug)]
pub(super) enum Cover {
    Files,
    Snapshot,
    /// On purpose, in words.
    LeftOut(String),
    /// Why not, and what to do.
    No(String, String),
    Unknown(String),
}

/// What is needed to tell what becomes of a volume.
pub(super) struct Look<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) storage: &'a Storage,
    pub(super) plans: &'a [Plan<'a>],
    pub(super) claims: BTreeMap<String, PersistentVolumeClaim>,
}

impl Look<'_> {
    /// What of a pod's volume is to be backed up, and its claim; nothing where its data comes from the cluster itself or
    /// goes with the pod.
    pub(super) fn subject(
        &self,
        pod: &Pod,
        volume: &PodVolume,
    ) -> Option<(String, Option<&PersistentVolumeClaim>)> {
        let pod_name = &pod.metadata.name;
        let name = match (&volume.persistent_volume_claim, &volume.ephemeral) {
            (Some(source), _) => Some(source.claim_name.clone()),
            (None, Some(_)) => Some(format!("{pod_name}-{}", volume.name)),
            (None, None) => None,
        };
        if let Some(name) = name {
            let claim = self.claims.get(&name);
            return Some((format!("claim {name} of pod {pod_name}"), claim));
        }
        volume
            .host_path
            .is_some()
            .then(|| (format!("volume {} of pod {pod_name}", volume.name), None))
    }

    /// The best that any plan does for the volume.
    fn best(&self, each: impl FnMut(&Plan<'_>) -> Cover) -> Cover {
        let rank = |cover: &Cover| match cover {
            Cover::Files => 0,
            Cover::Snapshot => 1,
            Cover::Unknown(_) => 2,
            Cover::LeftOut(_) => 3,
            Cover::No(..) => 4,
        };
        let covers = self.plans.iter().map(each);
        covers
            .min_by_key(rank)
            .unwrap_or_else(|| Cover::Unknown("no backup includes it".to_owned()))
    }

    pub(super) fn of_pod(
        &self,
        pod: &Pod,
        volume: &PodVolume,
        claim: Option<&PersistentVolumeClaim>,
        drivers: &mut BTreeSet<String>,
    ) -> Cover {
        self.best(|plan| {
            if let Some(cover) = undecided(plan, "pods") {
                return cover;
            }
            let metadata = &pod.metadata;
            if excluded(&metadata.labels) {
                return Cover::LeftOut(format!("the pod is labelled {EXCLUDE_LABEL}"));
            }
            match selected(plan.spec, &metadata.labels) {
                Ok(true) => {}
                Ok(false) => {
                    let why = format!("the pod's labels are not those that {} selects", plan.name);
                    return Cover::No(why, LABELS.to_owned());
                }
                Err(reason) => return Cover::Unknown(reason),
            }
            if let Some(cover) = self.by_files(pod, volume, claim, plan) {
                return cover;
            }
            match claim {
                Some(claim) => self.by_snapshot(claim, Some((pod, volume)), plan, drivers),
                None if volume.host_path.is_some() => Cover::No(
                    "it is a hostPath, which Velero cannot back up".to_owned(),
                    HOST_PATH.to_owned(),
                ),
                None => Cover::Unknown("its claim is not among those collected".to_owned()),
            }
        })
    }

    pub(super) fn of_claim(
        &self,
        claim: &PersistentVolumeClaim,
        drivers: &mut BTreeSet<String>,
    ) -> Cover {
        self.best(|plan| {
            if let Some(cover) = undecided(plan, "persistentvolumeclaims") {
                return cover;
            }
            match selected(plan.spec, &claim.metadata.labels) {
                Ok(true) => self.by_snapshot(claim, None, plan, drivers),
                Ok(false) => Cover::No(
                    format!("its labels are not those that {} selects", plan.name),
                    LABELS.to_owned(),
                ),
                Err(reason) => Cover::Unknown(reason),
            }
        })
    }

    /// Whether the node agent backs it up; nothing where it is a snapshot's turn.
    fn by_files(
        &self,
        pod: &Pod,
        volume: &PodVolume,
        claim: Option<&PersistentVolumeClaim>,
        plan: &Plan<'_>,
    ) -> Option<Cover> {
        let named = |annotation: &str| {
            let names = pod.metadata.annotations.get(annotation);
            names.is_some_and(|names| names.split(',').any(|name| name == volume.name))
        };
        let by_default = plan
            .spec
            .default_volumes_to_fs_backup
            .unwrap_or(self.scene.server.backs_up_files);
        let asked = if by_default {
            !named(EXCLUDES_ANNOTATION)
        } else {
            named(FILES_ANNOTATION)
        };
        if !asked {
            return None;
        }
        let on_host = volume.host_path.is_some()
            || claim
                .and_then(|claim| self.volume(claim))
                .is_some_and(|volume| volume.spec.host_path.is_some());
        if on_host {
            let why = "it is a hostPath, which the node agent cannot back up";
            return Some(Cover::No(why.to_owned(), HOST_PATH.to_owned()));
        }
        if !self.storage.has_node_agent {
            let why = "it is to be backed up by its files, and there is no node agent";
            return Some(Cover::No(why.to_owned(), NODE_AGENT.to_owned()));
        }
        Some(Cover::Files)
    }

    fn volume(&self, claim: &PersistentVolumeClaim) -> Option<&PersistentVolume> {
        self.storage.volumes.get(&claim.spec.volume_name)
    }

    fn by_snapshot(
        &self,
        claim: &PersistentVolumeClaim,
        mounted: Option<(&Pod, &PodVolume)>,
        plan: &Plan<'_>,
        drivers: &mut BTreeSet<String>,
    ) -> Cover {
        let annotate = annotation(claim, mounted);
        if excluded(&claim.metadata.labels) {
            return Cover::LeftOut(format!("the claim is labelled {EXCLUDE_LABEL}"));
        }
        if claim.spec.volume_name.is_empty() {
            return Cover::LeftOut("the claim is not bound yet".to_owned());
        }
        if plan.spec.snapshot_volumes == Some(false) {
            let why = format!(
                "{NOT_NAMED}, and {} makes no snapshots (snapshotVolumes: false)",
                plan.name
            );
            return Cover::No(why, format!("{annotate} Or remove snapshotVolumes: false."));
        }
        let Some(volume) = self.volume(claim) else {
            return Cover::Unknown(format!(
                "its volume {} was not collected",
                claim.spec.volume_name
            ));
        };
        let spec = &volume.spec;
        let driver = spec.csi.as_ref().map_or("", |csi| csi.driver.as_str());
        if !driver.is_empty() && self.scene.server.has_csi {
            drivers.insert(driver.to_owned());
            return match class_for(&self.storage.classes, driver, claim, plan) {
                Ok(_) if moves_data(self.scene, plan) && !self.storage.has_node_agent => {
                    let why = "its snapshot is to be moved, and there is no node agent";
                    Cover::No(why.to_owned(), NODE_AGENT.to_owned())
                }
                Ok(_) => Cover::Snapshot,
                Err(cover) => cover,
            };
        }
        let before_csi = [
            ("aws", spec.aws_elastic_block_store.is_some()),
            ("azure", spec.azure_disk.is_some()),
            ("gcp", spec.gce_persistent_disk.is_some()),
        ];
        let provider = before_csi
            .into_iter()
            .find_map(|(provider, is)| is.then_some(provider))
            .or_else(|| {
                let mut known = PROVIDERS.iter();
                known.find_map(|(provider, of)| (*of == driver).then_some(*provider))
            });
        if provider.is_some_and(|provider| self.storage.providers.contains(provider)) {
            return Cover::Snapshot;
        }
        let (why, remedy) = match (driver, provider) {
            ("", None) => ("its volume has no snapshots".to_owned(), String::new()),
            ("", Some(provider)) => (
                format!("there is no snapshot location of provider {provider}"),
                format!(" Or velero snapshot-location create {provider} --provider {provider}"),
            ),
            (driver, _) => (
                format!(
                    "the server does not make CSI snapshots of {driver} (--features=EnableCSI is missing)"
                ),
                " Or add --features=EnableCSI to the server's arguments.".to_owned(),
            ),
        };
        Cover::No(
            format!("{NOT_NAMED}, and {why}"),
            format!("{annotate}{remedy}"),
        )
    }
}

/// How the pods that mount a claim ask for a backup by files.
fn annotation(claim: &PersistentVolumeClaim, mounted: Option<(&Pod, &PodVolume)>) -> String {
    match mounted {
        Some((pod, volume)) => format!(
            "Annotate the pods of the workload of {} with {FILES_ANNOTATION}: {}.",
            pod.metadata.name, volume.name
        ),
        None => format!(
            "Let a pod mount claim {} to back it up by its files.",
            claim.metadata.name
        ),
    }
}

fn excluded(labels: &BTreeMap<String, String>) -> bool {
    labels
        .get(EXCLUDE_LABEL)
        .is_some_and(|value| value == "true")
}

fn moves_data(scene: &Scene<'_>, plan: &Plan<'_>) -> bool {
    plan.spec
        .snapshot_move_data
        .unwrap_or(scene.server.moves_data)
}

/// What keeps a plan from being read here: rules of its own, kinds that it leaves out.
fn undecided(plan: &Plan<'_>, kind: &str) -> Option<Cover> {
    if plan.spec.resource_policy.is_some() {
        let why = format!(
            "the resource policy of {} decides, which is not read here",
            plan.name
        );
        return Some(Cover::Unknown(why));
    }
    let names = |list: &[String]| {
        list.iter().any(|each| {
            each == "*"
                || each.eq_ignore_ascii_case(kind)
                || kind.strip_suffix('s') == Some(each.as_str())
        })
    };
    let spec = plan.spec;
    let included = spec.included_resources.is_empty() || names(&spec.included_resources);
    let excluded = !spec.excluded_resources.is_empty() && names(&spec.excluded_resources);
    (!included || excluded).then(|| {
        let remedy = format!(
            "Let spec.template of {} include {kind}: includedResources, excludedResources.",
            plan.name
        );
        Cover::No(format!("{} leaves out {kind}", plan.name), remedy)
    })
}

fn selected(spec: &BackupSpec, labels: &BTreeMap<String, String>) -> Result<bool, String> {
    let matches = |selector: &Value| {
        let selector = LabelSelector::from_json(selector).map_err(|error| error.to_string())?;
        Ok::<bool, String>(selector.matches(|key| labels.get(key).map(String::as_str)))
    };
    if let Some(selector) = &spec.label_selector {
        return matches(selector);
    }
    for selector in &spec.or_label_selectors {
        if matches(selector)? {
            return Ok(true);
        }
    }
    Ok(spec.or_label_selectors.is_empty())
}

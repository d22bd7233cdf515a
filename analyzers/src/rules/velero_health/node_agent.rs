//! The node agent: on every node that can have volumes to back up by their files, or whose snapshots are moved.

use std::collections::{BTreeMap, BTreeSet};

use bundle::collected::node::{Node, PATH as NODES};
use bundle::collected::scheduling::Toleration;
use bundle::collected::template::Templated;
use bundle::collected::volume::Pod;
use bundle::collected::{List, ListOrArray, velero::Phased};
use jiff::SignedDuration;

use super::{Answers, Scene, claim, listed, object};
use crate::document::{Documents, counted, document};
use crate::finding::{Finding, NotEvaluated, Verdict};
use crate::velero::objects;

const TITLE: &str = "The node agent runs on every node that can have volumes";
/// Its names: for Linux, for Windows, and before Velero 1.10.
const NAMES: [&str; 3] = ["node-agent", "node-agent-windows", "restic"];
/// Pods annotated so are backed up by their files.
pub(super) const FILES_ANNOTATION: &str = "backup.velero.io/backup-volumes";
/// Memory that ran out is of interest this long.
const RECENT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The `DaemonSets` of the node agent.
pub(super) fn daemon_sets(scene: &Scene<'_>) -> Result<Vec<Templated>, NotEvaluated> {
    let path = format!("cluster-resources/daemonsets/{}.json", scene.namespace);
    let sets = document::<List<Templated>>(scene.files, &path)?;
    let ours = sets
        .items
        .iter()
        .filter(|set| NAMES.contains(&set.metadata.name.as_str()));
    Ok(ours.cloned().collect())
}

pub(super) fn judge(scene: &Scene<'_>, answers: &mut Answers) {
    let sets = match daemon_sets(scene) {
        Ok(sets) => sets,
        Err(reason) => return answers.unknown(TITLE, &reason),
    };
    if sets.is_empty() {
        match who_needs_it(scene) {
            Ok(Some(why)) => answers.say(missing(scene, &why)),
            Ok(None) => {}
            Err(reason) => answers.unknown(TITLE, &reason),
        }
        return;
    }
    match coverage(scene, &sets) {
        Ok(finding) => answers.say(finding),
        Err(reason) => answers.unknown(TITLE, &reason),
    }
    judge_memory(scene, answers);
}

/// What is there that only the node agent can do.
fn who_needs_it(scene: &Scene<'_>) -> Result<Option<String>, NotEvaluated> {
    if scene.server.backs_up_files {
        return Ok(Some(
            "the server backs up volumes by their files (--default-volumes-to-fs-backup)"
                .to_owned(),
        ));
    }
    if scene.server.moves_data {
        return Ok(Some(
            "the server moves snapshots into the location (--default-snapshot-move-data)"
                .to_owned(),
        ));
    }
    for schedule in scene.schedules.whole()? {
        let template = &schedule.spec.template;
        let name = &schedule.metadata.name;
        if template.default_volumes_to_fs_backup == Some(true) {
            return Ok(Some(format!(
                "schedule {name} backs up volumes by their files"
            )));
        }
        if template.snapshot_move_data == Some(true) {
            return Ok(Some(format!(
                "schedule {name} moves snapshots into the location"
            )));
        }
    }
    let namespace = Some(scene.namespace.as_str());
    let repositories = objects::<Phased>(scene.files, "backuprepositories", namespace);
    let repositories = repositories.whole()?.len();
    if repositories > 0 {
        return Ok(Some(
            "there are repositories of files of volumes".to_owned(),
        ));
    }
    let namespaces = &scene.config.application_namespaces;
    if namespaces.is_empty() {
        return Ok(None);
    }
    let pods =
        Documents::<ListOrArray<Pod>>::read(scene.files, "cluster-resources/pods", namespaces)?;
    let mut pods = pods.read.iter().flat_map(|(_, list)| &list.items);
    let annotated = pods.find(|pod| pod.metadata.annotations.contains_key(FILES_ANNOTATION));
    Ok(annotated.map(|pod| {
        let metadata = &pod.metadata;
        format!(
            "pod {}/{} has the annotation {FILES_ANNOTATION}",
            metadata.namespace, metadata.name
        )
    }))
}

fn missing(scene: &Scene<'_>, why: &str) -> Finding {
    let path = format!("cluster-resources/daemonsets/{}.json", scene.namespace);
    let message = format!(
        "Namespace {} has no DaemonSet node-agent, and {why}: these volumes are not backed up.",
        scene.namespace
    );
    Finding {
        observed: format!("no DaemonSet {} ({path})", NAMES.join(", ")),
        ..claim("node-agent", TITLE, Verdict::Fail, message)
    }
    .with_remedy("Install it: velero install --use-node-agent with the options of the first installation, or deployNodeAgent: true in the values of the Helm chart.")
}

/// Which nodes have a ready agent, and which of the others matter.
fn coverage(scene: &Scene<'_>, sets: &[Templated]) -> Result<Finding, NotEvaluated> {
    let nodes = document::<List<Node>>(scene.files, NODES)?;
    let path = format!("cluster-resources/pods/{}.json", scene.namespace);
    let own_pods = document::<ListOrArray<Pod>>(scene.files, &path)?;
    let mut agents: BTreeMap<&str, bool> = BTreeMap::new();
    for pod in &own_pods.items {
        let mut owners = pod.metadata.owner_references.iter();
        let is_agent =
            owners.any(|owner| owner.kind == "DaemonSet" && NAMES.contains(&owner.name.as_str()));
        if is_agent {
            let statuses = &pod.status.container_statuses;
            let ready = !statuses.is_empty() && statuses.iter().all(|status| status.ready);
            *agents.entry(pod.spec.node_name.as_str()).or_default() |= ready;
        }
    }
    let with_data = nodes_with_data(scene);
    let mut wanted = 0;
    let mut ready = 0;
    let mut without: Vec<String> = Vec::new();
    let mut urgent: Vec<String> = Vec::new();
    for node in &nodes.items {
        let name = node.metadata.name.as_str();
        let Some(set) = set_for(node, sets) else {
            continue;
        };
        let has_data = with_data.contains(name);
        let bears = bears(node, &set.spec.template.spec.tolerations);
        let selected = is_selected(node, set);
        let is_ready = agents.get(name).copied();
        if is_ready != Some(true) && !has_data && (is_closed(node) || !bears || !selected) {
            continue;
        }
        wanted += 1;
        if is_ready == Some(true) {
            ready += 1;
            continue;
        }
        let why = match is_ready {
            Some(_) => "its pod is not ready".to_owned(),
            None if !bears => "its taint is not tolerated".to_owned(),
            None if !selected => "the node selector leaves it out".to_owned(),
            None => "there is no pod".to_owned(),
        };
        let entry = format!("{name} ({why})");
        if has_data {
            urgent.push(entry);
        } else {
            without.push(entry);
        }
    }
    let objects = sets
        .iter()
        .map(|set| object("apps/v1", "DaemonSet", &scene.namespace, &set.metadata.name))
        .collect();
    let (verdict, message) = if !urgent.is_empty() {
        let message = format!(
            "The node agent is not ready on {} with volumes in use: {}. Backups of these volumes by their files fail.",
            counted(urgent.len(), "node"),
            listed(&urgent)
        );
        (Verdict::Fail, message)
    } else if !without.is_empty() {
        let message = format!(
            "The node agent is not ready on {}: {}.",
            counted(without.len(), "node"),
            listed(&without)
        );
        (Verdict::Warn, message)
    } else {
        let message = format!("The node agent is ready on {}.", counted(ready, "node"));
        (Verdict::Pass, message)
    };
    let finding = Finding {
        observed: format!(
            "ready on {ready} of {} ({NODES}, {path})",
            counted(wanted, "node")
        ),
        objects,
        ..claim("node-agent", TITLE, verdict, message)
    };
    Ok(finding.with_remedy(format!(
        "kubectl -n {0} get pods -o wide -l name=node-agent; for a tainted node: kubectl -n {0} patch daemonset node-agent --type merge -p '{{\"spec\":{{\"template\":{{\"spec\":{{\"tolerations\":[{{\"operator\":\"Exists\"}}]}}}}}}}}'",
        scene.namespace
    )))
}

/// The set for a node's operating system.
fn set_for<'a>(node: &Node, sets: &'a [Templated]) -> Option<&'a Templated> {
    let system = node.metadata.labels.get("kubernetes.io/os");
    let on_windows = system.is_some_and(|system| system == "windows");
    sets.iter()
        .find(|set| (set.metadata.name == "node-agent-windows") == on_windows)
}

/// Cordoned: what is not there yet will not come.
fn is_closed(node: &Node) -> bool {
    let mut taints = node.spec.taints.iter();
    taints.any(|taint| taint.key == "node.kubernetes.io/unschedulable")
}

fn is_selected(node: &Node, set: &Templated) -> bool {
    let wanted = &set.spec.template.spec.node_selector;
    wanted
        .iter()
        .all(|(key, value)| node.metadata.labels.get(key) == Some(value))
}

/// Whether the set's pods bear all of a node's taints. Those of the node's own condition every `DaemonSet` bears.
fn bears(node: &Node, tolerations: &[Toleration]) -> bool {
    node.spec
        .taints
        .iter()
        .filter(|taint| taint.effect != "PreferNoSchedule")
        .filter(|taint| !taint.key.starts_with("node.kubernetes.io/"))
        .all(|taint| {
            tolerations
                .iter()
                .any(|it| it.tolerates(&taint.key, &taint.value, &taint.effect))
        })
}

/// Nodes whose pods have claims, in the application's namespaces, or which ask for a backup by files.
fn nodes_with_data(scene: &Scene<'_>) -> BTreeSet<String> {
    let namespaces = &scene.config.application_namespaces;
    let Ok(pods) =
        Documents::<ListOrArray<Pod>>::read(scene.files, "cluster-resources/pods", namespaces)
    else {
        return BTreeSet::new();
    };
    let ours = pods
        .read
        .iter()
        .flat_map(|(_, list)| &list.items)
        .filter(|pod| {
            let asks = pod.metadata.annotations.contains_key(FILES_ANNOTATION);
            let mut volumes = pod.spec.volumes.iter();
            let has_claim = volumes.any(|volume| volume.persistent_volume_claim.is_some());
            pod.status.phase == "Running" && (asks || (has_claim && !namespaces.is_empty()))
        });
    ours.map(|pod| pod.spec.node_name.clone()).collect()
}

fn judge_memory(scene: &Scene<'_>, answers: &mut Answers) {
    let path = format!("cluster-resources/pods/{}.json", scene.namespace);
    let Ok(pods) = document::<ListOrArray<Pod>>(scene.files, &path) else {
        return;
    };
    let mut killed = Vec::new();
    for pod in &pods.items {
        for status in &pod.status.container_statuses {
            let ends = [&status.state.terminated, &status.last_state.terminated];
            let out_of_memory = ends.into_iter().flatten().any(|end| {
                let recent = end
                    .finished_at
                    .is_none_or(|time| scene.now.duration_since(time) <= RECENT);
                end.reason == "OOMKilled" && recent
            });
            if out_of_memory {
                killed.push(format!("{} ({})", pod.metadata.name, status.name));
            }
        }
    }
    if killed.is_empty() {
        return;
    }
    let title = "Velero's pods have memory enough";
    let message = format!(
        "The kernel ended {} for want of memory in the last week: what they were backing up failed.",
        listed(&killed)
    );
    let finding = Finding {
        observed: format!("OOMKilled ({path})"),
        objects: pods
            .items
            .iter()
            .filter(|pod| {
                killed
                    .iter()
                    .any(|each| each.starts_with(&format!("{} ", pod.metadata.name)))
            })
            .map(|pod| object("v1", "Pod", &pod.metadata.namespace, &pod.metadata.name))
            .collect(),
        ..claim("memory", title, Verdict::Warn, message)
    };
    answers.say(finding.with_remedy(format!(
        "Raise the memory limit of the DaemonSet node-agent or the Deployment velero in namespace {}.",
        scene.namespace
    )));
}

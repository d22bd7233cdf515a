//! Which volumes of an application no backup holds, and why not.

use std::collections::{BTreeMap, BTreeSet};

use bundle::collected::velero::{BackupSpec, VolumeSnapshotLocation};
use bundle::collected::volume::{PersistentVolume, PersistentVolumeClaim, Pod, SnapshotClass};
use bundle::collected::{List, ListOrArray};

use super::coverage::{Cover, Look, Plan, Storage};
use super::node_agent::{self, FILES_ANNOTATION};
use super::snapshot_class::judge_class;
use super::{Answers, Scene, claim, listed, object};
use crate::document::{counted, decoded, document, missing};
use crate::finding::{Finding, NotEvaluated, Verdict};
use crate::velero::{CUSTOM_RESOURCES, objects};

/// So many volumes are named in a message, and so many remedies given.
const SHOWN: usize = 5;

pub(super) fn judge(scene: &Scene<'_>, answers: &mut Answers) {
    let namespaces = &scene.config.application_namespaces;
    if namespaces.is_empty() {
        return;
    }
    let storage = match storage(scene) {
        Ok(storage) => storage,
        Err(reason) => {
            return answers.unknown("The application's volumes are in a backup", &reason);
        }
    };
    let mut drivers = BTreeSet::new();
    for namespace in namespaces {
        let title = format!("Every volume of namespace {namespace} is in a backup");
        match judge_namespace(scene, &storage, namespace, &title, &mut drivers, answers) {
            Ok(Some(finding)) => answers.say(finding),
            Ok(None) => {}
            Err(reason) => answers.unknown(&title, &reason),
        }
    }
    for driver in &drivers {
        judge_class(scene, &storage, driver, answers);
    }
}

fn storage(scene: &Scene<'_>) -> Result<Storage, NotEvaluated> {
    let volumes = document::<List<PersistentVolume>>(scene.files, "cluster-resources/pvs.json")?;
    let path = format!("{CUSTOM_RESOURCES}/volumesnapshotclasses.snapshot.storage.k8s.io.json");
    let classes = match decoded::<ListOrArray<SnapshotClass>>(scene.files, &path) {
        Ok(list) => Ok(list.items.clone()),
        Err(_) if !scene.files.contains(&path) => {
            missing(scene.files, &path).map_or(Ok(Vec::new()), Err)
        }
        Err(reason) => Err(reason),
    };
    let namespace = Some(scene.namespace.as_str());
    let locations =
        objects::<VolumeSnapshotLocation>(scene.files, "volumesnapshotlocations", namespace);
    let providers = locations.whole()?.into_iter().map(|location| {
        let provider = &location.spec.provider;
        provider
            .strip_prefix("velero.io/")
            .unwrap_or(provider)
            .to_owned()
    });
    Ok(Storage {
        volumes: by_name(&volumes.items, |volume| &volume.metadata.name),
        classes,
        providers: providers.collect(),
        has_node_agent: !node_agent::daemon_sets(scene)?.is_empty(),
    })
}

fn by_name<T: Clone>(items: &[T], name: fn(&T) -> &String) -> BTreeMap<String, T> {
    let named = items.iter().map(|item| (name(item).clone(), item.clone()));
    named.collect()
}

/// The schedules that a namespace is in; without any, the newest backup that it was in.
fn plans<'a>(scene: &'a Scene<'_>, namespace: &str) -> Result<Vec<Plan<'a>>, NotEvaluated> {
    let schedules = scene.schedules.whole()?;
    let plans: Vec<Plan<'a>> = schedules
        .into_iter()
        .filter(|schedule| !schedule.spec.paused && schedule.status.phase != "FailedValidation")
        .filter(|schedule| includes(&schedule.spec.template, namespace))
        .map(|schedule| Plan {
            name: format!("schedule {}", schedule.metadata.name),
            spec: &schedule.spec.template,
            annotations: None,
        })
        .collect();
    if !plans.is_empty() {
        return Ok(plans);
    }
    let backups = scene.backups.whole()?;
    let newest = backups
        .into_iter()
        .filter(|backup| includes(&backup.spec, namespace))
        .max_by_key(|backup| backup.metadata.creation_timestamp);
    Ok(newest
        .map(|backup| Plan {
            name: format!("backup {}", backup.metadata.name),
            spec: &backup.spec,
            annotations: Some(&backup.metadata.annotations),
        })
        .into_iter()
        .collect())
}

fn includes(spec: &BackupSpec, namespace: &str) -> bool {
    let names = |list: &[String]| list.iter().any(|each| each == namespace || each == "*");
    let included = spec.included_namespaces.is_empty() || names(&spec.included_namespaces);
    included && !names(&spec.excluded_namespaces)
}

fn judge_namespace(
    scene: &Scene<'_>,
    storage: &Storage,
    namespace: &str,
    title: &str,
    drivers: &mut BTreeSet<String>,
    answers: &mut Answers,
) -> Result<Option<Finding>, NotEvaluated> {
    let pods_path = format!("cluster-resources/pods/{namespace}.json");
    let claims_path = format!("cluster-resources/pvcs/{namespace}.json");
    let pods = document::<ListOrArray<Pod>>(scene.files, &pods_path)?;
    let claims = document::<List<PersistentVolumeClaim>>(scene.files, &claims_path)?;
    let plans = plans(scene, namespace)?;
    let subject = format!("volumes/{namespace}");
    if plans.is_empty() {
        let volumes = counted(claims.items.len(), "claim");
        let message = format!(
            "Neither a schedule nor a backup includes namespace {namespace} with its {volumes}."
        );
        let finding = Finding {
            observed: format!(
                "{} ({})",
                counted(scene.schedules.iter().count(), "schedule"),
                scene.schedules.path
            ),
            ..claim(&subject, title, Verdict::Fail, message)
        };
        return Ok(Some(finding.with_remedy(format!(
            "velero schedule create {namespace} --schedule=\"0 2 * * *\" --include-namespaces {namespace}"
        ))));
    }
    let look = Look {
        scene,
        storage,
        plans: &plans,
        claims: by_name(&claims.items, |claim| &claim.metadata.name),
    };
    let mut covers = Vec::new();
    let mut mounted = BTreeSet::new();
    let mut strangers = Vec::new();
    for pod in &pods.items {
        if matches!(pod.status.phase.as_str(), "Succeeded" | "Failed") {
            continue;
        }
        strangers.extend(strange_names(pod));
        for volume in &pod.spec.volumes {
            let Some((what, claim)) = look.subject(pod, volume) else {
                continue;
            };
            mounted.extend(claim.map(|claim| claim.metadata.name.as_str()));
            covers.push((what, look.of_pod(pod, volume, claim, drivers)));
        }
    }
    for claim in &claims.items {
        let name = claim.metadata.name.as_str();
        if !mounted.contains(name) && !claim.spec.volume_name.is_empty() {
            covers.push((
                format!("claim {name} (no pod)"),
                look.of_claim(claim, drivers),
            ));
        }
    }
    let unknown: Vec<String> = covers
        .iter()
        .filter_map(|(what, cover)| match cover {
            Cover::Unknown(reason) => Some(format!("{what}: {reason}")),
            _ => None,
        })
        .collect();
    if !unknown.is_empty() {
        answers.not_found_out(title, listed(&unknown));
    }
    let names: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
    let finding = sum_up(&covers, &strangers, &listed(&names), &subject, title);
    Ok(finding.map(|finding| Finding {
        observed: format!(
            "{} ({pods_path}, {claims_path})",
            counted(covers.len(), "volume")
        ),
        objects: vec![object("v1", "Namespace", "", namespace)],
        ..finding
    }))
}

/// Names in the annotation of volumes that the pod does not have.
fn strange_names(pod: &Pod) -> Vec<String> {
    let named = pod.metadata.annotations.get(FILES_ANNOTATION);
    let has = |name: &str| pod.spec.volumes.iter().any(|volume| volume.name == name);
    named
        .iter()
        .flat_map(|names| names.split(','))
        .filter(|name| !name.is_empty() && !has(name))
        .map(|name| format!("{name:?} of pod {}", pod.metadata.name))
        .collect()
}

fn sum_up(
    covers: &[(String, Cover)],
    strangers: &[String],
    plans: &str,
    subject: &str,
    title: &str,
) -> Option<Finding> {
    let count = |is: fn(&Cover) -> bool| covers.iter().filter(|(_, cover)| is(cover)).count();
    let files = count(|cover| matches!(cover, Cover::Files));
    let snapshots = count(|cover| matches!(cover, Cover::Snapshot));
    let mut without = Vec::new();
    let mut remedies: Vec<&str> = Vec::new();
    let mut left_out = Vec::new();
    for (what, cover) in covers {
        match cover {
            Cover::No(reason, remedy) => {
                without.push(format!("{what}: {reason}"));
                if !remedies.contains(&remedy.as_str()) {
                    remedies.push(remedy);
                }
            }
            Cover::LeftOut(reason) => left_out.push(format!("{what}: {reason}")),
            _ => {}
        }
    }
    if !without.is_empty() {
        let verb = if without.len() == 1 { "is" } else { "are" };
        let message = format!(
            "{} {verb} not in a backup ({plans}): {}.",
            counted(without.len(), "volume"),
            without
                .iter()
                .take(SHOWN)
                .cloned()
                .collect::<Vec<_>>()
                .join("; ")
        );
        remedies.truncate(SHOWN);
        return Some(claim(subject, title, Verdict::Fail, message).with_remedy(remedies.join(" ")));
    }
    if !strangers.is_empty() {
        let message = format!(
            "The annotation {FILES_ANNOTATION} names volumes that are not there: {}.",
            listed(strangers)
        );
        return Some(
            claim(subject, title, Verdict::Fail, message)
                .with_remedy("Name volumes of the pod's spec.volumes, not claims."),
        );
    }
    if covers
        .iter()
        .any(|(_, cover)| matches!(cover, Cover::Unknown(_)))
        || covers.is_empty()
    {
        return None;
    }
    let also = match left_out.as_slice() {
        [] => String::new(),
        left_out => format!(" Left out on purpose: {}.", listed(left_out)),
    };
    let message = format!(
        "{}: {files} by their files, {snapshots} by snapshots ({plans}).{also}",
        counted(covers.len(), "volume")
    );
    Some(claim(subject, title, Verdict::Pass, message))
}

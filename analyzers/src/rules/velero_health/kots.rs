//! KOTS' snapshots: Velero as KOTS looks for it, and whose a backup is.

use bundle::collected::List;
use bundle::collected::Named;
use bundle::collected::velero::{Backup, BackupStorageLocation};
use serde::Deserialize;

use super::installation::Present;
use super::{Answers, Scene, claim, object};
use crate::document::{Documents, decoded, document};
use crate::finding::{Finding, Verdict};
use crate::velero::objects;

/// Written by `kubectl kots velero ensure-permissions` where KOTS has no rights beyond its namespace.
const CONFIG_MAP: &str = "kotsadm-velero-namespace";
/// KOTS' own Deployment or `StatefulSet`.
const KOTSADM: &str = "kotsadm";

/// Which of KOTS' series a backup belongs to, as a part of an id and in words.
pub(super) fn origin(backup: &Backup) -> Option<(String, String)> {
    let annotation = |name: &str| backup.metadata.annotations.get(name).map(String::as_str);
    annotation("kots.io/snapshot-trigger")?;
    if annotation("kots.io/instance") == Some("true") {
        let words = "of KOTS and all its applications".to_owned();
        return Some(("kots-instance".to_owned(), words));
    }
    let application = annotation("kots.io/app-id").unwrap_or("unknown");
    Some((
        format!("kots-{application}"),
        format!("of KOTS' application {application}"),
    ))
}

pub(super) fn judge(scene: &Scene<'_>, present: &Present, answers: &mut Answers) {
    let Some((namespace, path)) = kotsadm(scene) else {
        return;
    };
    let title = "KOTS finds Velero";
    let mut faults = Vec::new();
    let unknown = answers.unknown.len();
    if let Some(deployment) = &present.deployment
        && deployment.metadata.name != "velero"
    {
        let name = &deployment.metadata.name;
        faults.push((
            format!("the Deployment is named {name}, and KOTS looks for velero"),
            "Install Velero so that its Deployment is named velero (Helm: fullnameOverride: velero).".to_owned(),
        ));
    }
    let of_velero = Some(scene.namespace.as_str());
    let locations =
        objects::<BackupStorageLocation>(scene.files, "backupstoragelocations", of_velero);
    match locations.whole() {
        Err(reason) => answers.unknown(title, &reason),
        Ok(all) if all.iter().any(|location| location.metadata.name == "default") => {}
        Ok(_) => faults.push((
            "no backup storage location is named default, which is the one that KOTS uses".to_owned(),
            "Configure it in the admin console, or with kubectl kots velero configure-aws-s3 (or -other-s3, -gcp, -azure, -internal, -nfs, -hostpath).".to_owned(),
        )),
    }
    if namespace != scene.namespace {
        match is_confined(scene, &namespace) {
            None => answers.not_found_out(title, "the rights of KOTS' service account were not collected"),
            Some(false) => {}
            Some(true) => match tells_the_namespace(scene, &namespace) {
                None => answers.not_found_out(title, format!("the ConfigMaps of namespace {namespace} were not collected")),
                Some(true) => {}
                Some(false) => faults.push((
                    format!("KOTS has no rights beyond namespace {namespace} and does not know where Velero is: there is no ConfigMap {CONFIG_MAP}"),
                    format!("kubectl kots velero ensure-permissions --namespace {namespace} --velero-namespace {}", scene.namespace),
                )),
            },
        }
    }
    let finding = match faults.as_slice() {
        [] if answers.unknown.len() > unknown => return,
        [] => claim(
            "kots",
            title,
            Verdict::Pass,
            format!("KOTS in namespace {namespace} finds Velero and its location default."),
        ),
        faults => {
            let (why, what): (Vec<&str>, Vec<&str>) = faults
                .iter()
                .map(|(why, what)| (why.as_str(), what.as_str()))
                .unzip();
            let message = format!(
                "KOTS in namespace {namespace} cannot make snapshots: {}.",
                why.join("; ")
            );
            claim("kots", title, Verdict::Fail, message).with_remedy(what.join(" "))
        }
    };
    answers.say(Finding {
        observed: format!("{KOTSADM} in namespace {namespace} ({path})"),
        objects: vec![object("apps/v1", "Deployment", &scene.namespace, "velero")],
        ..finding
    });
}

/// The namespace of KOTS' admin console, and where it was read.
fn kotsadm(scene: &Scene<'_>) -> Option<(String, String)> {
    ["deployments", "statefulsets"]
        .into_iter()
        .find_map(|kind| {
            let folder = format!("cluster-resources/{kind}");
            let documents = Documents::<List<Named>>::read(scene.files, &folder, &[]).ok()?;
            documents.read.iter().find_map(|(path, list)| {
                let found = list
                    .items
                    .iter()
                    .find(|item| item.metadata.name == KOTSADM)?;
                Some((found.metadata.namespace.clone(), path.clone()))
            })
        })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Binding {
    subjects: Option<Vec<Subject>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Subject {
    kind: String,
    name: String,
    namespace: String,
}

/// Whether KOTS' service account has no rights in the whole cluster; `None` where that is not known.
fn is_confined(scene: &Scene<'_>, namespace: &str) -> Option<bool> {
    let path = "cluster-resources/clusterrolebindings.json";
    let bindings = document::<List<Binding>>(scene.files, path).ok()?;
    let mut subjects = bindings
        .items
        .iter()
        .flat_map(|binding| binding.subjects.iter().flatten());
    Some(!subjects.any(|subject| {
        subject.kind == "ServiceAccount"
            && subject.name == KOTSADM
            && subject.namespace == namespace
    }))
}

fn tells_the_namespace(scene: &Scene<'_>, namespace: &str) -> Option<bool> {
    let path = format!("cluster-resources/configmaps/{namespace}.json");
    let maps = decoded::<List<Named>>(scene.files, &path).ok()?;
    Some(maps.items.iter().any(|map| map.metadata.name == CONFIG_MAP))
}

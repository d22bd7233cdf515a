//! The `VolumeSnapshotClass` that Velero takes for a CSI driver, and whether there is exactly one that is meant.

use bundle::collected::volume::{PersistentVolumeClaim, SnapshotClass};

use super::coverage::{Cover, Plan, Storage};
use super::{Answers, Scene, claim, listed, object};
use crate::finding::{Finding, NotEvaluated, Verdict};
use crate::velero::CUSTOM_RESOURCES;

/// The label, and the annotation of a claim; with `_<driver>` behind it the annotation of a backup.
pub(super) const CLASS: &str = "velero.io/csi-volumesnapshot-class";
const DEFAULT_CLASS: &str = "snapshot.storage.kubernetes.io/is-default-class";

/// The class that Velero takes for a claim: by the claim's annotation, the backup's, the label, the default annotation, and
/// if it is the only one. Source: `GetVolumeSnapshotClass` in Velero's `pkg/util/csi`.
pub(super) fn class_for<'a>(
    classes: &'a Result<Vec<SnapshotClass>, NotEvaluated>,
    driver: &str,
    claim: &PersistentVolumeClaim,
    plan: &Plan<'_>,
) -> Result<&'a SnapshotClass, Cover> {
    let classes = classes
        .as_ref()
        .map_err(|reason| Cover::Unknown(reason.reason().to_owned()))?;
    let of_driver: Vec<&SnapshotClass> = classes
        .iter()
        .filter(|class| class.driver == driver)
        .collect();
    let by_claim = claim.metadata.annotations.get(CLASS);
    let backup_annotation = format!("{CLASS}_{driver}");
    let by_backup = plan
        .annotations
        .and_then(|annotations| annotations.get(&backup_annotation));
    for name in by_claim.into_iter().chain(by_backup) {
        let named = |class: &&&SnapshotClass| class.metadata.name.eq_ignore_ascii_case(name);
        if let Some(class) = of_driver.iter().find(named) {
            return Ok(class);
        }
    }
    by_marks(&of_driver).ok_or_else(|| {
        match of_driver.first() {
            None => Cover::No(
                format!("there is no VolumeSnapshotClass of driver {driver}"),
                "Install the driver's snapshot controller and a VolumeSnapshotClass, or annotate the pod for a backup by files.".to_owned(),
            ),
            Some(class) => Cover::No(
                format!("of several VolumeSnapshotClasses of driver {driver} none is labelled {CLASS}"),
                format!("kubectl label volumesnapshotclass {} {CLASS}=true", class.metadata.name),
            ),
        }
    })
}

fn by_marks<'a>(of_driver: &[&'a SnapshotClass]) -> Option<&'a SnapshotClass> {
    let labelled = of_driver
        .iter()
        .find(|class| class.metadata.labels.contains_key(CLASS));
    let default = of_driver
        .iter()
        .find(|class| class.metadata.annotations.contains_key(DEFAULT_CLASS));
    let only = of_driver.first().filter(|_| of_driver.len() == 1);
    labelled.or(default).or(only).copied()
}

/// Whether the choice of a class for a driver is one, and what it does to snapshots.
pub(super) fn judge_class(
    scene: &Scene<'_>,
    storage: &Storage,
    driver: &str,
    answers: &mut Answers,
) {
    let Ok(classes) = &storage.classes else {
        // Said for each claim.
        return;
    };
    let title = format!("One snapshot class is meant for driver {driver}");
    let of_driver: Vec<&SnapshotClass> = classes
        .iter()
        .filter(|class| class.driver == driver)
        .collect();
    let labelled: Vec<&str> = of_driver
        .iter()
        .filter(|class| class.metadata.labels.contains_key(CLASS))
        .map(|class| class.metadata.name.as_str())
        .collect();
    let names: Vec<&str> = of_driver
        .iter()
        .map(|class| class.metadata.name.as_str())
        .collect();
    let (verdict, message, remedy) = if labelled.len() > 1 {
        let message = format!(
            "Several VolumeSnapshotClasses of driver {driver} are labelled {CLASS}: {}. Which of them Velero takes is not defined.",
            listed(&labelled)
        );
        (
            Verdict::Warn,
            message,
            format!("Leave the label on one: kubectl label volumesnapshotclass NAME {CLASS}-"),
        )
    } else if let Some(class) = by_marks(&of_driver) {
        let name = &class.metadata.name;
        let policy = &class.deletion_policy;
        // Since 1.9 Velero removes the VolumeSnapshot from the namespace and keeps the snapshot.
        if policy == "Delete" && !scene.server.is_at_least("1.9.0") && !scene.server.moves_data {
            let message = format!(
                "VolumeSnapshotClass {name} has deletionPolicy Delete: snapshots go when the namespace goes."
            );
            let remedy =
                "Take a class with deletionPolicy: Retain, or Velero 1.9 or newer.".to_owned();
            (Verdict::Warn, message, remedy)
        } else {
            let message = format!(
                "Velero takes VolumeSnapshotClass {name} (deletionPolicy {policy}) for driver {driver}."
            );
            (Verdict::Pass, message, String::new())
        }
    } else {
        let message = match names.as_slice() {
            [] => format!(
                "There is no VolumeSnapshotClass of driver {driver}: its volumes are not backed up by snapshots."
            ),
            names => format!(
                "None of the VolumeSnapshotClasses of driver {driver} ({}) is labelled {CLASS}: Velero takes none.",
                listed(names)
            ),
        };
        let remedy = match names.first() {
            Some(name) => format!("kubectl label volumesnapshotclass {name} {CLASS}=true"),
            None => {
                "Install the driver's snapshot controller and a VolumeSnapshotClass.".to_owned()
            }
        };
        (Verdict::Fail, message, remedy)
    };
    let observed = match names.as_slice() {
        [] => "no classes".to_owned(),
        names => listed(names),
    };
    let objects = of_driver
        .iter()
        .map(|class| {
            object(
                "snapshot.storage.k8s.io/v1",
                "VolumeSnapshotClass",
                "",
                &class.metadata.name,
            )
        })
        .collect();
    let finding = Finding {
        observed: format!(
            "{observed} ({CUSTOM_RESOURCES}/volumesnapshotclasses.snapshot.storage.k8s.io.json)"
        ),
        objects,
        ..claim(&format!("snapshot-class/{driver}"), title, verdict, message)
    };
    answers.say(finding.with_remedy(remedy));
}

//! The last backups, those under way, those that should be gone.

use std::collections::BTreeMap;

use bundle::collected::velero::{Backup, BackupStatus, VolumeBackup};
use jiff::{SignedDuration, Timestamp};

use super::{Answers, Scene, claim, kots, listed, span, velero_object};
use crate::document::counted;
use crate::finding::{Finding, Verdict};
use crate::velero::objects;

/// The label of what belongs to a backup.
const BACKUP_LABEL: &str = "velero.io/backup-name";
/// The label of a backup that a schedule made.
pub(super) const SCHEDULE_LABEL: &str = "velero.io/schedule-name";
/// A server that has just started has not tidied up yet.
const TIDYING: SignedDuration = SignedDuration::from_mins(5);
/// From when on a backup that has expired should be gone: it is looked for every hour.
const EXPIRED: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn of_schedule(backup: &Backup) -> Option<&String> {
    backup.metadata.labels.get(SCHEDULE_LABEL)
}

/// When a backup was complete, or at least when it was begun or asked for.
pub(super) fn ended(backup: &Backup) -> Option<Timestamp> {
    backup.status.completion_timestamp.or_else(|| begun(backup))
}

fn begun(backup: &Backup) -> Option<Timestamp> {
    backup
        .status
        .start_timestamp
        .or(backup.metadata.creation_timestamp)
}

pub(super) fn newest_completed<'a>(
    scene: &'a Scene<'_>,
    is_wanted: impl Fn(&Backup) -> bool,
) -> Option<&'a Backup> {
    scene
        .backups
        .iter()
        .filter(|backup| backup.status.phase == "Completed" && is_wanted(backup))
        .max_by_key(|backup| ended(backup))
}

/// Who made a backup: what failed for one is mended only by a later one of the same. As a part of an id, and in words
/// after "the last backup".
fn origin(backup: &Backup) -> (String, String) {
    if let Some(schedule) = of_schedule(backup) {
        return (
            format!("schedule-{schedule}"),
            format!("of schedule {schedule}"),
        );
    }
    kots::origin(backup).unwrap_or_else(|| ("by-hand".to_owned(), "made by hand".to_owned()))
}

pub(super) fn judge_backups(
    scene: &Scene<'_>,
    max_age: Option<SignedDuration>,
    answers: &mut Answers,
) {
    let all = match scene.backups.whole() {
        Ok(all) => all,
        Err(reason) => return answers.unknown("The last backups completed", &reason),
    };
    let mut newest: BTreeMap<(String, String), &Backup> = BTreeMap::new();
    for backup in &all {
        if is_under_way(backup) {
            judge_under_way(scene, backup, answers);
        } else if is_over(backup) {
            let last = newest.entry(origin(backup)).or_insert(backup);
            if begun(backup) > begun(last) {
                *last = backup;
            }
        }
    }
    let volumes = FailedVolumes::read(scene);
    for (origin, backup) in &newest {
        answers.say(last_of(scene, origin, backup, &volumes));
    }
    judge_age(scene, &all, max_age, answers);
    judge_expired(scene, &all, answers);
}

fn is_over(backup: &Backup) -> bool {
    matches!(
        backup.status.phase.as_str(),
        "Completed" | "PartiallyFailed" | "Failed" | "FailedValidation"
    )
}

fn is_under_way(backup: &Backup) -> bool {
    matches!(
        backup.status.phase.as_str(),
        "" | "New"
            | "Queued"
            | "ReadyToStart"
            | "InProgress"
            | "WaitingForPluginOperations"
            | "WaitingForPluginOperationsPartiallyFailed"
            | "Finalizing"
            | "FinalizingPartiallyFailed"
    )
}

/// The last backup that is over, of one schedule, of KOTS, or of neither.
fn last_of(
    scene: &Scene<'_>,
    (id, words): &(String, String),
    backup: &Backup,
    volumes: &FailedVolumes,
) -> Finding {
    let name = &backup.metadata.name;
    let status = &backup.status;
    let age = ended(backup).map_or("at an unknown time".to_owned(), |time| {
        format!(
            "{} before the collection",
            span(scene.now.duration_since(time))
        )
    });
    let describe = format!(
        "velero backup describe {name} --details and velero backup logs {name} name the objects and errors."
    );
    let (verdict, message, remedy) = match status.phase.as_str() {
        "Completed" => completed(name, status),
        "FailedValidation" => (
            Verdict::Fail,
            format!("Backup {name} was refused: {}", listed(&status.validation_errors)),
            "Correct what the validation names (the storage location must be available and writable), and make a new one.".to_owned(),
        ),
        phase => {
            let why = because(&status.failure_reason);
            let verdict = if phase == "Failed" { Verdict::Fail } else { Verdict::Warn };
            let errors = match status.errors {
                0 => String::new(),
                errors => format!(" with {}", counted(errors, "error")),
            };
            let volumes = volumes.of(name);
            let message = format!("Backup {name} ended {phase}{errors}{why}{volumes}");
            (verdict, message, describe)
        }
    };
    Finding {
        observed: format!("{}, {age} ({})", status.phase, scene.backups.path),
        objects: vec![velero_object("Backup", &backup.metadata)],
        ..claim(
            &format!("backup/{id}"),
            format!("The last backup {words} is complete"),
            verdict,
            message,
        )
    }
    .with_remedy(remedy)
}

/// The volumes whose backup failed, by the backup they were a part of, each with the reason.
struct FailedVolumes(BTreeMap<String, Vec<String>>);

impl FailedVolumes {
    /// What may not be read says nothing here: the backup's own phase is the verdict.
    fn read(scene: &Scene<'_>) -> Self {
        let mut failed: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for plural in ["podvolumebackups", "datauploads"] {
            let namespace = Some(scene.namespace.as_str());
            let found = objects::<VolumeBackup>(scene.files, plural, namespace);
            for volume in found.iter() {
                let (spec, status) = (&volume.spec, &volume.status);
                let Some(backup) = volume.metadata.labels.get(BACKUP_LABEL) else {
                    continue;
                };
                if !matches!(status.phase.as_str(), "Failed" | "Canceled") {
                    continue;
                }
                let what = if spec.source_claim.is_empty() {
                    let pod = &spec.pod;
                    format!("{} of pod {}/{}", spec.volume, pod.namespace, pod.name)
                } else {
                    format!("claim {}/{}", spec.source_namespace, spec.source_claim)
                };
                let why = match status.message.as_str() {
                    "" => status.phase.clone(),
                    message => message.to_owned(),
                };
                let entry = failed.entry(backup.clone()).or_default();
                entry.push(format!("{what} ({why})"));
            }
        }
        Self(failed)
    }

    /// A sentence about those of one backup, or nothing.
    fn of(&self, backup: &str) -> String {
        match self.0.get(backup) {
            Some(volumes) => format!(" Not backed up: {}.", listed(volumes)),
            None => String::new(),
        }
    }
}

/// The end of a sentence that gives a reason, where there is one.
pub(super) fn because(reason: &str) -> String {
    match reason.trim_end_matches('.') {
        "" => ".".to_owned(),
        reason => format!(": {reason}."),
    }
}

/// `Completed` says that nothing failed as an error; snapshots and hooks are counted beside it.
fn completed(name: &str, status: &BackupStatus) -> (Verdict, String, String) {
    let lost = (status.volume_snapshots_attempted - status.volume_snapshots_completed)
        + (status.csi_volume_snapshots_attempted - status.csi_volume_snapshots_completed);
    let failed_hooks = status.hook_status.hooks_failed;
    let mut faults = Vec::new();
    if lost > 0 {
        faults.push(format!("{} did not come to be", counted(lost, "snapshot")));
    }
    if failed_hooks > 0 {
        faults.push(format!("{} failed", counted(failed_hooks, "hook")));
    }
    if faults.is_empty() {
        let warnings = match status.warnings {
            0 => String::new(),
            warnings => format!(", with {}", counted(warnings, "warning")),
        };
        return (
            Verdict::Pass,
            format!("Backup {name} is Completed{warnings}."),
            String::new(),
        );
    }
    let message = format!("Backup {name} is Completed, but {}.", faults.join(" and "));
    let remedy = format!("velero backup describe {name} --details, velero backup logs {name}");
    (Verdict::Warn, message, remedy)
}

/// A backup that nobody works on any more, or that takes too long. Those that go well are not mentioned.
fn judge_under_way(scene: &Scene<'_>, backup: &Backup, answers: &mut Answers) {
    let name = &backup.metadata.name;
    let Some(begun) = begun(backup) else {
        return;
    };
    let phase = match backup.status.phase.as_str() {
        "" => "no phase",
        phase => phase,
    };
    let age = scene.now.duration_since(begun);
    let server_is_younger = scene
        .server
        .started
        .is_some_and(|started| started > begun && scene.now.duration_since(started) > TIDYING);
    let is_working = backup.status.phase == "InProgress";
    let (verdict, message) = if is_working && server_is_younger {
        let restarted = scene
            .server
            .started
            .map(|time| scene.now.duration_since(time));
        let message = format!(
            "Backup {name} is InProgress since {} and the server was restarted {} ago: nobody works on it, and its schedule waits for it.",
            span(age),
            restarted.map(span).unwrap_or_default()
        );
        (Verdict::Fail, message)
    } else if age > scene.server.files_timeout {
        let message = format!(
            "Backup {name} is in {phase} since {}, longer than backups of volumes may take ({}).",
            span(age),
            span(scene.server.files_timeout)
        );
        (Verdict::Warn, message)
    } else {
        return;
    };
    let finding = Finding {
        observed: format!("{phase} since {begun} ({})", scene.backups.path),
        objects: vec![velero_object("Backup", &backup.metadata)],
        ..claim(
            &format!("stuck/{name}"),
            format!("Backup {name} gets done"),
            verdict,
            message,
        )
    };
    answers.say(finding.with_remedy(format!(
        "velero backup describe {name} --details; if it does not move, velero backup delete {name}, or restart the server: kubectl -n {} rollout restart deployment/velero",
        scene.namespace
    )));
}

fn judge_age(
    scene: &Scene<'_>,
    all: &[&Backup],
    max_age: Option<SignedDuration>,
    answers: &mut Answers,
) {
    let title = "There is a usable backup";
    let newest = newest_completed(scene, |_| true);
    let observed = format!("{} ({})", counted(all.len(), "backup"), scene.backups.path);
    let remedy = "Make one now: velero backup create NAME --wait; for a schedule: velero schedule create NAME --schedule=\"0 2 * * *\"";
    let finding = match (newest, max_age) {
        (None, Some(limit)) => {
            let message = format!(
                "There is no completed backup, and one no older than {} is asked for.",
                span(limit)
            );
            claim("backups", title, Verdict::Fail, message)
        }
        (None, None)
            if scene.schedules.unseen.is_none() && scene.schedules.iter().next().is_none() =>
        {
            let message =
                "There is no completed backup and no schedule: nothing is backed up.".to_owned();
            claim("backups", title, Verdict::Warn, message)
        }
        // Its schedules say when the first one is late.
        (None, None) => return,
        (Some(backup), limit) => {
            let name = &backup.metadata.name;
            let Some(age) = ended(backup).map(|time| scene.now.duration_since(time)) else {
                return answers.not_found_out(title, format!("backup {name} has no time"));
            };
            match limit {
                Some(limit) if age > limit => {
                    let message = format!(
                        "The newest completed backup ({name}) is {} old; {} is allowed.",
                        span(age),
                        span(limit)
                    );
                    claim("backups", title, Verdict::Fail, message)
                }
                _ => {
                    let message =
                        format!("The newest completed backup ({name}) is {} old.", span(age));
                    claim("backups", title, Verdict::Pass, message)
                }
            }
        }
    };
    answers.say(
        Finding {
            observed,
            ..finding
        }
        .with_remedy(remedy),
    );
}

fn judge_expired(scene: &Scene<'_>, all: &[&Backup], answers: &mut Answers) {
    let expired: Vec<&str> = all
        .iter()
        .filter(|backup| {
            let expiration = backup.status.expiration;
            expiration.is_some_and(|time| scene.now.duration_since(time) > EXPIRED)
        })
        .map(|backup| backup.metadata.name.as_str())
        .collect();
    if expired.is_empty() {
        return;
    }
    let message = format!(
        "There are backups that expired more than a day ago: {}. Their data takes up space in the object storage.",
        listed(&expired)
    );
    let finding = Finding {
        observed: format!("{} ({})", listed(&expired), scene.backups.path),
        ..claim(
            "expired",
            "Expired backups are removed",
            Verdict::Warn,
            message,
        )
    };
    answers.say(finding.with_remedy(format!(
        "kubectl -n {} get deletebackuprequests.velero.io -o yaml says why; the credentials need the right to delete in the bucket.",
        scene.namespace
    )));
}

//! Repositories of files of volumes, and whether a restore has been tried.

use bundle::collected::velero::{BackupRepository, Restore};
use jiff::SignedDuration;

use super::backups::{because, newest_completed};
use super::{Answers, Scene, claim, listed, span, velero_object};
use crate::document::counted;
use crate::finding::{Finding, Verdict};
use crate::velero::objects;

pub(super) fn judge_repositories(scene: &Scene<'_>, answers: &mut Answers) {
    let title = "Repositories of files of volumes are ready";
    let namespace = Some(scene.namespace.as_str());
    let found = objects::<BackupRepository>(scene.files, "backuprepositories", namespace);
    let mut ready = 0;
    for repository in found.iter() {
        let name = &repository.metadata.name;
        let status = &repository.status;
        let last = status.recent_maintenance.last();
        let (verdict, message) = if status.phase == "NotReady" {
            let message = format!(
                "Repository {name} of namespace {} in location {} is NotReady{}",
                repository.spec.volume_namespace,
                repository.spec.backup_storage_location,
                because(&status.message)
            );
            (Verdict::Fail, message)
        } else if let Some(run) = last.filter(|run| run.result == "Failed") {
            let message = format!(
                "The last maintenance of repository {name} failed: {}. Space of expired backups is not freed.",
                run.message
            );
            (Verdict::Warn, message)
        } else {
            ready += usize::from(status.phase == "Ready");
            continue;
        };
        let finding = Finding {
            observed: format!("{} ({})", status.phase, found.path),
            objects: vec![velero_object("BackupRepository", &repository.metadata)],
            ..claim(
                &format!("repository/{name}"),
                format!("Repository {name} is ready"),
                verdict,
                message,
            )
        };
        answers.say(finding.with_remedy(format!(
            "kubectl -n {0} describe backuprepositories.velero.io {name}; a repository that was removed in the object storage is made anew once its object is deleted: kubectl -n {0} delete backuprepositories.velero.io {name}",
            scene.namespace
        )));
    }
    if let Some(reason) = &found.unseen {
        answers.unknown(title, reason);
    } else if ready > 0 {
        let number = if ready == 1 {
            "1 repository".to_owned()
        } else {
            format!("{ready} repositories")
        };
        let finding = Finding {
            observed: format!("{ready} Ready ({})", found.path),
            ..claim(
                "repositories",
                title,
                Verdict::Pass,
                format!("{number} ready."),
            )
        };
        answers.say(finding);
    }
}

pub(super) fn judge_restores(scene: &Scene<'_>, limit: SignedDuration, answers: &mut Answers) {
    let title = "A restore has been rehearsed";
    let namespace = Some(scene.namespace.as_str());
    let found = objects::<Restore>(scene.files, "restores", namespace);
    let all = match found.whole() {
        Ok(all) => all,
        Err(reason) => return answers.unknown(title, &reason),
    };
    let when = |restore: &Restore| {
        let status = &restore.status;
        status
            .completion_timestamp
            .or(status.start_timestamp)
            .or(restore.metadata.creation_timestamp)
    };
    let newest = all
        .iter()
        .filter(|restore| restore.status.phase == "Completed")
        .max_by_key(|restore| when(restore));
    let age = newest
        .and_then(|restore| when(restore))
        .map(|time| scene.now.duration_since(time));
    let failed = all
        .iter()
        .filter(|restore| {
            matches!(
                restore.status.phase.as_str(),
                "Failed" | "PartiallyFailed" | "FailedValidation"
            )
        })
        .max_by_key(|restore| when(restore))
        .filter(|failed| newest.is_none_or(|newest| when(failed) > when(newest)));
    let (verdict, message) = if let Some(failed) = failed {
        let status = &failed.status;
        let why = match (
            status.validation_errors.as_slice(),
            status.failure_reason.as_str(),
        ) {
            ([], "") if status.errors > 0 => counted(status.errors, "error"),
            ([], reason) => reason.to_owned(),
            (errors, _) => listed(errors),
        };
        let message = format!(
            "The last restore ({} of backup {}) ended {}{}",
            failed.metadata.name,
            failed.spec.backup_name,
            status.phase,
            because(&why)
        );
        (Verdict::Warn, message)
    } else if let (Some(restore), Some(age)) = (newest, age) {
        let message = format!(
            "The last completed restore ({} of backup {}) is {} old.",
            restore.metadata.name,
            restore.spec.backup_name,
            span(age)
        );
        let verdict = if age > limit {
            Verdict::Warn
        } else {
            Verdict::Pass
        };
        (verdict, message)
    } else if newest_completed(scene, |_| true).is_some() {
        let message = "There are completed backups, and none was ever restored: nobody knows whether they can be.".to_owned();
        (Verdict::Warn, message)
    } else {
        // Nothing to restore yet.
        return;
    };
    let finding = Finding {
        observed: format!("{} ({})", counted(all.len(), "restore"), found.path),
        ..claim("restore", title, verdict, message)
    };
    answers.say(finding.with_remedy(
        "Restore into another namespace: velero restore create --from-backup NAME --namespace-mappings FROM:TO --wait, then look at it and delete that namespace.",
    ));
}

//! Backup storage locations and snapshot locations: available, by news that is fresh; if not, why.

use bundle::collected::velero::{BackupStorageLocation, VolumeSnapshotLocation};
use jiff::SignedDuration;

use super::reason::Reason;
use super::{Answers, Scene, claim, listed, span, velero_object};
use crate::document::is_masked;
use crate::finding::{Finding, Verdict};
use crate::velero::objects;

/// News of a location is never old before this.
const LEAST_STALE: SignedDuration = SignedDuration::from_mins(5);

pub(super) fn judge(scene: &Scene<'_>, answers: &mut Answers) {
    let title = "A backup storage location is there";
    let namespace = Some(scene.namespace.as_str());
    let locations =
        objects::<BackupStorageLocation>(scene.files, "backupstoragelocations", namespace);
    for location in locations.iter() {
        judge_one(scene, location, &locations.path, answers);
    }
    match locations.whole() {
        Err(reason) => answers.unknown(title, &reason),
        Ok(all) if all.is_empty() => {
            let message = format!(
                "Namespace {} has no BackupStorageLocation: there is no place for backups.",
                scene.namespace
            );
            let finding = claim("locations", title, Verdict::Fail, message);
            let observed = format!("none ({})", locations.path);
            answers.say(Finding { observed, ..finding }.with_remedy(
                "Create one: velero backup-location create default --default --provider PROVIDER --bucket BUCKET --credential SECRET=KEY",
            ));
        }
        Ok(all) => judge_default(scene, &all, &locations.path, answers),
    }
    judge_snapshot_locations(scene, answers);
}

fn judge_one(
    scene: &Scene<'_>,
    location: &BackupStorageLocation,
    path: &str,
    answers: &mut Answers,
) {
    let name = &location.metadata.name;
    let title = format!("Backup storage location {name} is available");
    let status = &location.status;
    let age = status
        .last_validation_time
        .map(|time| scene.now.duration_since(time));
    if is_masked(&status.phase) {
        return answers.not_found_out(&title, "value is redacted");
    }
    let frequency = match location.spec.validation_frequency {
        Some(frequency) if !frequency.is_negative() => frequency,
        _ => scene.server.validation_frequency,
    };
    let phase = match status.phase.as_str() {
        "" => "no phase",
        phase => phase,
    };
    let validated = age.map_or("never validated".to_owned(), |age| {
        format!("validated {} before the collection", span(age))
    });
    let finding = |verdict, message| {
        let finding = claim(
            &format!("location/{name}"),
            title.as_str(),
            verdict,
            message,
        );
        Finding {
            observed: format!("{phase}, {validated} ({path})"),
            objects: vec![velero_object("BackupStorageLocation", &location.metadata)],
            ..finding
        }
    };
    let stale_after = (frequency * 3).max(LEAST_STALE);
    let not_reconciling = format!(
        "See whether the server runs: kubectl -n {0} get pods, kubectl -n {0} logs deployment/velero.",
        scene.namespace
    );
    match age {
        // The server writes both at once.
        None if !status.phase.is_empty() => {
            answers.not_found_out(&title, "when it was validated cannot be read");
        }
        None => {
            let exists_for = location
                .metadata
                .creation_timestamp
                .map(|made| scene.now.duration_since(made));
            // Whatever the frequency, the server looks at each location once.
            if exists_for.is_none_or(|exists_for| exists_for <= LEAST_STALE) {
                let reason = "the server has not validated it yet; collect again in some minutes";
                return answers.not_found_out(&title, reason);
            }
            let exists_for = exists_for.map(span).unwrap_or_default();
            let message = format!(
                "Velero's server is not reconciling: it has not looked at location {name} in the {exists_for} since it was made."
            );
            answers.say(finding(Verdict::Fail, message).with_remedy(not_reconciling));
        }
        Some(age) if !frequency.is_zero() && age > stale_after => {
            let message = format!(
                "Velero's server is not reconciling: it said {phase} of location {name} {} ago and should look every {}. What it said is old news.",
                span(age),
                span(frequency)
            );
            answers.say(finding(Verdict::Fail, message).with_remedy(not_reconciling));
        }
        Some(age) if status.phase == "Available" && frequency.is_zero() && age > LEAST_STALE => {
            answers.not_found_out(
                &title,
                format!(
                    "validationFrequency is 0: it was available {} ago and is not validated again",
                    span(age)
                ),
            );
        }
        Some(_) if status.phase == "Available" => answers.say(available(scene, location, finding)),
        Some(_) => {
            let Reason { why, remedy } = Reason::of(location, scene);
            let said = one_line(location);
            let message = if said.is_empty() {
                format!("Location {name} is {phase}, and Velero does not say why.")
            } else {
                format!("Location {name} is {phase}: {why}. Velero says: {said}")
            };
            answers.say(finding(Verdict::Fail, message).with_remedy(remedy));
        }
    }
}

/// An available location can still be a bad one.
fn available(
    scene: &Scene<'_>,
    location: &BackupStorageLocation,
    finding: impl Fn(Verdict, String) -> Finding,
) -> Finding {
    let name = &location.metadata.name;
    let setting = |key: &str| location.spec.config.get(key).map_or("", String::as_str);
    if location.spec.access_mode == "ReadOnly" && is_default(scene, location) {
        let message = format!(
            "Location {name} is available and read-only, and it is the default: backups that name no location fail."
        );
        return finding(Verdict::Fail, message).with_remedy(format!(
            "velero backup-location set {name} --access-mode ReadWrite, or make another one the default."
        ));
    }
    if lies_in_a_cluster(setting("s3Url")) {
        let message = format!(
            "Location {name} is available and lies in the cluster itself ({}): what takes the cluster takes its backups.",
            setting("s3Url")
        );
        return finding(Verdict::Warn, message).with_remedy(
            "Use an object storage outside of this cluster, or copy the bucket to one.",
        );
    }
    if setting("insecureSkipTLSVerify") == "true" {
        let message = format!(
            "Location {name} is available, and the certificate of its object storage is not verified: anybody in between can read and replace backups."
        );
        return finding(Verdict::Warn, message).with_remedy(
            "Put the authority's certificate into spec.objectStorage.caCert and remove spec.config.insecureSkipTLSVerify.",
        );
    }
    let message = format!(
        "Location {name} (bucket {}) is available: Velero could list it. That it can write and delete is not proved by that.",
        location.spec.object_storage.bucket
    );
    finding(Verdict::Pass, message)
}

/// Whether the host of a URL is the name of a Service.
fn lies_in_a_cluster(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host.trim_end_matches(".cluster.local")
        .rsplit_once('.')
        .is_some_and(|(_, last)| last == "svc")
}

fn is_default(scene: &Scene<'_>, location: &BackupStorageLocation) -> bool {
    location.spec.default || location.metadata.name == scene.server.default_location
}

fn judge_default(
    scene: &Scene<'_>,
    locations: &[&BackupStorageLocation],
    path: &str,
    answers: &mut Answers,
) {
    let title = "One location is the default";
    let marked: Vec<&str> = locations
        .iter()
        .filter(|location| location.spec.default)
        .map(|location| location.metadata.name.as_str())
        .collect();
    let by_flag = scene.server.default_location.as_str();
    let by_flag = locations
        .iter()
        .find(|location| location.metadata.name == by_flag);
    let (verdict, message) = match (marked.as_slice(), by_flag) {
        ([one], _) => (
            Verdict::Pass,
            format!("Backups go to location {one} by default."),
        ),
        ([], Some(location)) => (
            Verdict::Pass,
            format!(
                "Backups go to location {} by default, by the server's flag.",
                location.metadata.name
            ),
        ),
        ([], None) => (
            Verdict::Warn,
            "No location is the default: backups that name none fail validation.".to_owned(),
        ),
        (several, _) => (
            Verdict::Warn,
            format!(
                "Several locations are marked as the default: {}. Velero keeps the one validated last.",
                listed(several)
            ),
        ),
    };
    let names: Vec<&str> = locations
        .iter()
        .map(|it| it.metadata.name.as_str())
        .collect();
    let finding = Finding {
        observed: format!("{} ({path})", listed(&names)),
        ..claim("default-location", title, verdict, message)
    };
    answers.say(finding.with_remedy("velero backup-location set NAME --default"));
}

/// Velero's own server sets no phase on them; some providers' do.
fn judge_snapshot_locations(scene: &Scene<'_>, answers: &mut Answers) {
    let namespace = Some(scene.namespace.as_str());
    let found =
        objects::<VolumeSnapshotLocation>(scene.files, "volumesnapshotlocations", namespace);
    for location in found.iter() {
        let name = &location.metadata.name;
        let title = format!("Snapshot location {name} is available");
        let verdict = match location.status.phase.as_str() {
            "Available" => Verdict::Pass,
            "Unavailable" => Verdict::Fail,
            _ => continue,
        };
        let phase = &location.status.phase;
        let provider = &location.spec.provider;
        let message = format!("Volume snapshot location {name} (provider {provider}) is {phase}.");
        let finding = Finding {
            observed: format!("{phase} ({})", found.path),
            objects: vec![velero_object("VolumeSnapshotLocation", &location.metadata)],
            ..claim(
                &format!("snapshot-location/{name}"),
                title,
                verdict,
                message,
            )
        };
        answers.say(finding.with_remedy(format!(
            "kubectl -n {} describe volumesnapshotlocations.velero.io {name}, and the logs of deployment/velero.",
            scene.namespace
        )));
    }
    if let Some(reason) = found.unseen {
        answers.unknown("Snapshot locations are available", &reason);
    }
}

/// What the server said, in one line: without what it puts before every message and what only the object storage's own
/// people can use, and cut where it gets long.
fn one_line(location: &BackupStorageLocation) -> String {
    const LONGEST: usize = 400;
    let words = location.status.message.split_whitespace();
    let line = words.collect::<Vec<_>>().join(" ");
    let start = format!(
        "BackupStorageLocation {:?} is unavailable: ",
        location.metadata.name
    );
    let said = line.strip_prefix(&start).unwrap_or(&line);
    let mut said = said.replace("rpc error: code = Unknown desc = ", "");
    for id in ["RequestID: ", "HostID: "] {
        if let Some(from) = said.find(id)
            && let Some(length) = said[from..].find(", ")
        {
            said.replace_range(from..from + length + 2, "");
        }
    }
    match said.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &said[..end]),
        None => said,
    }
}

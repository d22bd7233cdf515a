//! What was written is removed: at the end of a run in whichever way it ends, and what a killed one left by `--cleanup`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_s3::types::ObjectVersion;
use bundle::BundlePath;
use bundle::collected::s3::{Cleanup, Writes as Written};
use bundle::manifest::GapReason;
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use super::probe::{Checksums, Probe};
use super::writing::foreign_folders;
use crate::collector::{Context, Output};

/// Before this age a folder may be that of a run at work.
const YOUNG: SignedDuration = SignedDuration::from_mins(20);
/// Rounds of listing and deleting; each removes a page of a thousand.
const ROUNDS: usize = 50;
/// Names that are told of what is left.
const TOLD: usize = 20;
/// The beginning of a folder's name.
pub(super) const FOLDER: &str = ".preflight-";
/// What a piece of cleaning at the end has.
const AT_END: Duration = Duration::from_secs(25);

/// Has what is written removed when the collector ends, unless [`of_this_run`] has done it by then.
pub(super) fn at_end(
    probe: &Probe,
    foreign: &[String],
    context: &Context,
    output: &Output,
    file: &BundlePath,
) {
    let probe = probe.clone();
    let folders = [vec![probe.folder()], foreign_folders(&probe, foreign)].concat();
    let (output, file) = (output.clone(), file.clone());
    context.at_end(async move {
        if probe.is_clean.load(Ordering::Acquire) {
            return;
        }
        let written = within(&probe, &folders, AT_END).await;
        // A report that is there tells it itself, and a gap in its place would hide it.
        if let Some(what) = left(&written)
            && !output.contains(&file)
        {
            let detail = format!(
                "in bucket {}: {what}; remove it by the same command with --allow-writes --cleanup",
                probe.settings.bucket
            );
            output.gap(String::from(file), GapReason::Failed, detail);
        }
    });
}

/// Removes what this run wrote.
pub(super) async fn of_this_run(probe: &Probe, foreign: &[String], limit: Duration) -> Written {
    let folders = [vec![probe.folder()], foreign_folders(probe, foreign)].concat();
    let written = within(probe, &folders, limit).await;
    probe
        .is_clean
        .store(left(&written).is_none(), Ordering::Release);
    written
}

/// What is left, in words.
fn left(written: &Written) -> Option<String> {
    let mut left = Vec::new();
    if !written.remaining_keys.is_empty() {
        left.push(format!(
            "keys are left: {}",
            written.remaining_keys.join(", ")
        ));
    }
    if !written.remaining_uploads.is_empty() {
        left.push(format!(
            "uploads are left: {}",
            written.remaining_uploads.join(", ")
        ));
    }
    if !written.unseen.is_empty() {
        left.push(format!("what is left is not known: {}", written.unseen));
    }
    (!left.is_empty()).then(|| left.join("; "))
}

async fn within(probe: &Probe, folders: &[String], limit: Duration) -> Written {
    let mut written = Written {
        allowed: true,
        folder: probe.folder(),
        ..Written::default()
    };
    let mut counted = Cleanup::default();
    let work = async {
        for (index, folder) in folders.iter().enumerate() {
            match empty(probe, folder, &mut counted).await {
                Ok(rest) => {
                    written.remaining_keys.extend(rest.keys);
                    written.remaining_uploads.extend(rest.uploads);
                }
                // Others' prefixes may not be listed; only where they may be written to there is something.
                Err(text) if index == 0 => written.unseen = text,
                Err(_) => {}
            }
        }
    };
    if timeout(limit, work).await.is_err() {
        written.unseen = format!("not all was removed within {} s", limit.as_secs());
    }
    written
}

/// What could not be removed.
#[derive(Default)]
struct Rest {
    keys: Vec<String>,
    uploads: Vec<String>,
}

/// Removes everything below `folder`: objects, their versions and markers, uploads.
async fn empty(probe: &Probe, folder: &str, counted: &mut Cleanup) -> Result<Rest, String> {
    let mut rest = Rest::default();
    for round in 0..ROUNDS {
        let (entries, is_truncated) = entries(probe, folder).await?;
        rest.keys.clear();
        for (key, version) in entries {
            let deleted = probe
                .sdk(Checksums::WhenRequired)
                .delete_object()
                .bucket(&probe.settings.bucket)
                .key(&key)
                .set_version_id(version)
                .send()
                .await;
            match probe.told(deleted) {
                Ok(_) => counted.removed_keys += 1,
                Err(refused) if rest.keys.len() < TOLD => {
                    rest.keys.push(format!("{key} ({})", refused.failed.1));
                }
                Err(_) => {}
            }
        }
        if !is_truncated || !rest.keys.is_empty() || round + 1 == ROUNDS {
            break;
        }
    }
    let uploads = probe
        .sdk(Checksums::WhenRequired)
        .list_multipart_uploads()
        .bucket(&probe.settings.bucket)
        .prefix(folder)
        .send()
        .await;
    let uploads = probe.told(uploads).map_err(|refused| refused.failed.1)?;
    for upload in uploads.uploads() {
        // MinIO takes the prefix for a whole key, others list more than asked for.
        let Some(key) = upload.key().filter(|key| key.starts_with(folder)) else {
            continue;
        };
        let aborted = probe
            .sdk(Checksums::WhenRequired)
            .abort_multipart_upload()
            .bucket(&probe.settings.bucket)
            .key(key)
            .upload_id(upload.upload_id().unwrap_or_default())
            .send()
            .await;
        match probe.told(aborted) {
            Ok(_) => counted.removed_uploads += 1,
            Err(refused) => rest.uploads.push(format!("{key} ({})", refused.failed.1)),
        }
    }
    Ok(rest)
}

/// A page of what is there: keys, each with a version where there are versions.
async fn entries(
    probe: &Probe,
    folder: &str,
) -> Result<(Vec<(String, Option<String>)>, bool), String> {
    let sdk = probe.sdk(Checksums::WhenRequired);
    let bucket = &probe.settings.bucket;
    let listed = sdk.list_object_versions().bucket(bucket).prefix(folder);
    if let Ok(page) = probe.told(listed.send().await) {
        let version = |id: Option<&str>| id.filter(|id| *id != "null").map(str::to_owned);
        let versions = page.versions().iter().map(|it: &ObjectVersion| {
            (
                it.key().unwrap_or_default().to_owned(),
                version(it.version_id()),
            )
        });
        let markers = page.delete_markers().iter().map(|it| {
            (
                it.key().unwrap_or_default().to_owned(),
                version(it.version_id()),
            )
        });
        let entries = versions.chain(markers).collect();
        return Ok((entries, page.is_truncated().unwrap_or_default()));
    }
    let listed = sdk.list_objects_v2().bucket(bucket).prefix(folder);
    let page = probe
        .told(listed.send().await)
        .map_err(|refused| refused.failed.1)?;
    let entries = page
        .contents()
        .iter()
        .filter_map(|it| it.key())
        .map(|key| (key.to_owned(), None))
        .collect();
    Ok((entries, page.is_truncated().unwrap_or_default()))
}

/// Removes what earlier runs left below the prefix.
pub(super) async fn of_earlier_runs(probe: &Probe, foreign: &[String], limit: Duration) -> Cleanup {
    let mut cleanup = Cleanup::default();
    let parents = std::iter::once(probe.prefix()).chain(
        foreign
            .iter()
            .map(|it| format!("{}/", it.trim_matches('/'))),
    );
    let work = async {
        for (index, parent) in parents.enumerate() {
            let found = match folders(probe, &parent).await {
                Ok(found) => found,
                Err(text) if index == 0 => {
                    cleanup.remaining.push(text);
                    continue;
                }
                Err(_) => continue,
            };
            for folder in found {
                match age(&folder, probe.clock.now()) {
                    Some(age) if age >= YOUNG => {}
                    Some(_) => {
                        cleanup.young.push(folder);
                        continue;
                    }
                    // Of a name that no run of this program gives.
                    None => continue,
                }
                match empty(probe, &folder, &mut cleanup).await {
                    Ok(rest) => cleanup
                        .remaining
                        .extend(rest.keys.into_iter().chain(rest.uploads)),
                    Err(text) => cleanup.remaining.push(format!("{folder}: {text}")),
                }
            }
        }
    };
    if timeout(limit, work).await.is_err() {
        let text = format!("not all was removed within {} s", limit.as_secs());
        cleanup.remaining.push(text);
    }
    cleanup
}

/// The folders of runs: of objects, of versions only, of uploads only.
async fn folders(probe: &Probe, parent: &str) -> Result<Vec<String>, String> {
    let sdk = probe.sdk(Checksums::WhenRequired);
    let bucket = &probe.settings.bucket;
    let start = format!("{parent}{FOLDER}");
    let mut found = Vec::new();
    let listed = sdk
        .list_objects_v2()
        .bucket(bucket)
        .prefix(&start)
        .delimiter("/");
    let page = probe
        .told(listed.send().await)
        .map_err(|refused| refused.failed.1)?;
    found.extend(
        page.common_prefixes()
            .iter()
            .filter_map(|it| it.prefix())
            .map(str::to_owned),
    );
    let listed = sdk
        .list_object_versions()
        .bucket(bucket)
        .prefix(&start)
        .delimiter("/");
    if let Ok(page) = probe.told(listed.send().await) {
        let prefixes = page.common_prefixes().iter().filter_map(|it| it.prefix());
        found.extend(prefixes.map(str::to_owned));
    }
    let listed = sdk.list_multipart_uploads().bucket(bucket).prefix(&start);
    if let Ok(page) = probe.told(listed.send().await) {
        let keys = page.uploads().iter().filter_map(|it| it.key());
        found.extend(keys.filter_map(|key| {
            let rest = key.strip_prefix(&start)?;
            let (id, _) = rest.split_once('/')?;
            Some(format!("{start}{id}/"))
        }));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// How old the run of a folder is, by the time in its id; `None` where it is no run's.
fn age(folder: &str, now: Timestamp) -> Option<SignedDuration> {
    let name = folder.trim_end_matches('/').rsplit('/').next()?;
    let (time, process) = name.strip_prefix(FOLDER)?.split_once('-')?;
    let is_hexadecimal =
        |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_hexdigit());
    if !is_hexadecimal(process) {
        return None;
    }
    let nanoseconds = i128::from_str_radix(time, 16).ok()?;
    let started = Timestamp::from_nanosecond(nanoseconds).ok()?;
    Some(now.duration_since(started))
}

/// Whether what this run wrote is removed already.
pub(super) type IsClean = std::sync::Arc<AtomicBool>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_runs_have_an_age() {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let started = now - SignedDuration::from_mins(30);
        let id = format!("{:x}-{:x}", started.as_nanosecond(), 4711);
        let folder = |name: &str| format!("team/{FOLDER}{name}/");
        assert_eq!(age(&folder(&id), now), Some(SignedDuration::from_mins(30)));
        for other in ["", "x", "notes", "1-", "-1", "zz-1", "1-2-3"] {
            assert_eq!(age(&folder(other), now), None, "{other}");
        }
        assert_eq!(age("team/other/", now), None);
    }
}

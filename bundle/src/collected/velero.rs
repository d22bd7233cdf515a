//! `cluster-resources/custom-resources/<plural>.velero.io/<namespace>.json`: Velero's objects, API `velero.io/v1`.
//!
//! Source of the shapes: Velero's `pkg/apis/velero/v1`. Times that are no RFC 3339 and durations that Go does not
//! read are `None`: one odd object does not hide the others.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer};

use super::{list, or_default};

/// `ObjectMeta`, with what Velero's objects are told apart by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// The object's name.
    pub name: String,
    /// Its namespace: Velero's own.
    pub namespace: String,
    /// Its labels; `velero.io/schedule-name` names the schedule that made a backup.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// Its annotations; KOTS puts `kots.io/snapshot-trigger` and its kin on a backup.
    #[serde(deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
    /// When it was made.
    #[serde(deserialize_with = "time")]
    pub creation_timestamp: Option<Timestamp>,
}

/// An object of which only the phase is of interest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Phased {
    /// Name and namespace.
    pub metadata: Metadata,
    /// What became of it.
    pub status: Phase,
}

/// The phase of a [`Phased`] object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Phase {
    /// Empty until a controller has looked at it.
    pub phase: String,
}

/// `SecretKeySelector`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SecretKey {
    /// The Secret.
    pub name: String,
    /// The key in it.
    pub key: String,
}

/// `BackupStorageLocation`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BackupStorageLocation {
    /// Name and namespace.
    pub metadata: Metadata,
    /// Where and how.
    pub spec: BackupStorageLocationSpec,
    /// What the server found.
    pub status: BackupStorageLocationStatus,
}

/// `BackupStorageLocationSpec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BackupStorageLocationSpec {
    /// The plugin, `aws` or `velero.io/aws`.
    pub provider: String,
    /// The plugin's settings: `region`, `s3Url`, `s3ForcePathStyle`, `insecureSkipTLSVerify`, `profile`.
    #[serde(deserialize_with = "or_default")]
    pub config: BTreeMap<String, String>,
    /// The credentials of this location; without it the server's own are used.
    pub credential: Option<SecretKey>,
    /// Where in the object storage.
    #[serde(deserialize_with = "or_default")]
    pub object_storage: ObjectStorage,
    /// Whether backups go here that name no location.
    pub default: bool,
    /// `ReadWrite`, or empty, or `ReadOnly`.
    pub access_mode: String,
    /// How often the server looks whether it is available; zero is never again.
    #[serde(deserialize_with = "duration")]
    pub validation_frequency: Option<SignedDuration>,
}

/// `ObjectStorageLocation`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ObjectStorage {
    /// The bucket.
    pub bucket: String,
    /// The folder in it.
    pub prefix: String,
    /// A certificate authority, PEM in base64.
    pub ca_cert: String,
    /// A certificate authority in a Secret.
    pub ca_cert_ref: Option<SecretKey>,
}

/// `BackupStorageLocationStatus`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BackupStorageLocationStatus {
    /// `Available`, `Unavailable`, or empty before the first validation.
    pub phase: String,
    /// When the server last looked.
    #[serde(deserialize_with = "time")]
    pub last_validation_time: Option<Timestamp>,
    /// Why it is not available.
    pub message: String,
}

/// `VolumeSnapshotLocation`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct VolumeSnapshotLocation {
    /// Name and namespace.
    pub metadata: Metadata,
    /// Which plugin.
    pub spec: VolumeSnapshotLocationSpec,
    /// `Available` or `Unavailable`; Velero's own server sets neither.
    pub status: Phase,
}

/// `VolumeSnapshotLocationSpec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct VolumeSnapshotLocationSpec {
    /// The plugin, `aws` or `velero.io/aws`.
    pub provider: String,
}

/// `BackupSpec`, and the template of a schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BackupSpec {
    /// Namespaces to back up; empty or `*` is all.
    #[serde(deserialize_with = "list")]
    pub included_namespaces: Vec<String>,
    /// Namespaces to leave out.
    #[serde(deserialize_with = "list")]
    pub excluded_namespaces: Vec<String>,
    /// Kinds to back up; empty or `*` is all.
    #[serde(deserialize_with = "list")]
    pub included_resources: Vec<String>,
    /// Kinds to leave out.
    #[serde(deserialize_with = "list")]
    pub excluded_resources: Vec<String>,
    /// Only objects with these labels.
    pub label_selector: Option<serde_json::Value>,
    /// Only objects with these labels, or these.
    #[serde(deserialize_with = "list")]
    pub or_label_selectors: Vec<serde_json::Value>,
    /// The location; empty is the default one.
    pub storage_location: String,
    /// Whether volumes are snapshot; unset is yes where it can be done.
    pub snapshot_volumes: Option<bool>,
    /// Whether snapshots are copied into the location.
    pub snapshot_move_data: Option<bool>,
    /// Whether all volumes of a pod are backed up by their files unless it says otherwise.
    pub default_volumes_to_fs_backup: Option<bool>,
    /// A `ConfigMap` with rules that decide for each volume.
    pub resource_policy: Option<serde_json::Value>,
}

/// `Backup`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Backup {
    /// Name, namespace, and where it came from.
    pub metadata: Metadata,
    /// What it was to hold.
    pub spec: BackupSpec,
    /// What became of it.
    pub status: BackupStatus,
}

/// `BackupStatus`; that of a `Restore` has a part of the same fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BackupStatus {
    /// `New`, `InProgress`, `Completed`, `PartiallyFailed`, `Failed`, `FailedValidation` and others.
    pub phase: String,
    /// When the server began.
    #[serde(deserialize_with = "time")]
    pub start_timestamp: Option<Timestamp>,
    /// When it ended.
    #[serde(deserialize_with = "time")]
    pub completion_timestamp: Option<Timestamp>,
    /// When it may be removed.
    #[serde(deserialize_with = "time")]
    pub expiration: Option<Timestamp>,
    /// Errors on single objects; its log names them.
    pub errors: i64,
    /// Warnings on single objects.
    pub warnings: i64,
    /// Why it failed as a whole.
    pub failure_reason: String,
    /// Why it was refused.
    #[serde(deserialize_with = "list")]
    pub validation_errors: Vec<String>,
    /// Snapshots by a provider's plugin.
    pub volume_snapshots_attempted: i64,
    /// Those of them that came to be.
    pub volume_snapshots_completed: i64,
    /// Snapshots by CSI.
    pub csi_volume_snapshots_attempted: i64,
    /// Those of them that came to be.
    pub csi_volume_snapshots_completed: i64,
    /// Its hooks.
    #[serde(deserialize_with = "or_default")]
    pub hook_status: HookStatus,
}

/// `HookStatus`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HookStatus {
    /// Hooks that were run.
    pub hooks_attempted: i64,
    /// Those that failed.
    pub hooks_failed: i64,
}

/// `Restore`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Restore {
    /// Name and namespace.
    pub metadata: Metadata,
    /// From what.
    pub spec: RestoreSpec,
    /// What became of it.
    pub status: BackupStatus,
}

/// `RestoreSpec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RestoreSpec {
    /// The backup; empty where a schedule's newest was asked for and is not chosen yet.
    pub backup_name: String,
}

/// `Schedule`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Schedule {
    /// Name and namespace.
    pub metadata: Metadata,
    /// When and what.
    pub spec: ScheduleSpec,
    /// What the server made of it.
    pub status: ScheduleStatus,
}

/// `ScheduleSpec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ScheduleSpec {
    /// Five fields, `@daily` or `@every 6h`, after `CRON_TZ=` where a time zone is meant.
    pub schedule: String,
    /// The backups it makes.
    pub template: BackupSpec,
    /// Whether it rests.
    pub paused: bool,
}

/// `ScheduleStatus`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ScheduleStatus {
    /// `New`, `Enabled` or `FailedValidation`.
    pub phase: String,
    /// When it last made a backup.
    #[serde(deserialize_with = "time")]
    pub last_backup: Option<Timestamp>,
    /// Why it was refused.
    #[serde(deserialize_with = "list")]
    pub validation_errors: Vec<String>,
}

/// `BackupRepository`: what the node agent writes files of volumes into, one per namespace and location.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BackupRepository {
    /// Name and namespace.
    pub metadata: Metadata,
    /// Whose files, and where.
    pub spec: BackupRepositorySpec,
    /// How it fares.
    pub status: BackupRepositoryStatus,
}

/// `BackupRepositorySpec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BackupRepositorySpec {
    /// The namespace whose volumes it holds.
    pub volume_namespace: String,
    /// The location that it lies in.
    pub backup_storage_location: String,
}

/// `BackupRepositoryStatus`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BackupRepositoryStatus {
    /// `New`, `Ready` or `NotReady`.
    pub phase: String,
    /// Why it is not ready.
    pub message: String,
    /// The last runs of its maintenance, the oldest first.
    #[serde(deserialize_with = "list")]
    pub recent_maintenance: Vec<Maintenance>,
}

/// `BackupRepositoryMaintenanceStatus`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Maintenance {
    /// `Succeeded` or `Failed`.
    pub result: String,
    /// Why it failed.
    pub message: String,
    /// When it ended.
    #[serde(deserialize_with = "time")]
    pub complete_timestamp: Option<Timestamp>,
}

/// `PodVolumeBackup` or `DataUpload`: the backup of one volume, by its files or by moving its snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct VolumeBackup {
    /// The label `velero.io/backup-name` names the backup.
    pub metadata: Metadata,
    /// Which volume.
    pub spec: VolumeBackupSpec,
    /// What became of it.
    pub status: VolumeBackupStatus,
}

/// What names the volume in either kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VolumeBackupSpec {
    /// Of a `PodVolumeBackup`: the pod.
    #[serde(deserialize_with = "or_default")]
    pub pod: super::Name,
    /// Of a `PodVolumeBackup`: the volume in the pod.
    pub volume: String,
    /// Of a `DataUpload`: the claim's namespace.
    pub source_namespace: String,
    /// Of a `DataUpload`: the claim.
    #[serde(rename = "sourcePVC")]
    pub source_claim: String,
}

/// The part of the status that both have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct VolumeBackupStatus {
    /// `Completed`, `Failed`, `Canceled` and others.
    pub phase: String,
    /// Why it failed.
    pub message: String,
}

pub(super) fn time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// `metav1.Duration`: what Go's `time.ParseDuration` reads.
fn duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SignedDuration>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text.and_then(|text| syntax::duration::parse(&text).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collected::ListOrArray;

    #[test]
    fn nulls_and_odd_times_hide_nothing() -> Result<(), serde_json::Error> {
        let text = r#"[{"metadata": {"name": "a", "labels": null, "creationTimestamp": null},
            "spec": {"provider": "aws", "objectStorage": null, "credential": null, "validationFrequency": "soon"},
            "status": {"phase": "Available", "lastValidationTime": "yesterday"}}, {}]"#;
        let read: ListOrArray<BackupStorageLocation> = serde_json::from_str(text)?;
        let location = &read.items[0];
        assert_eq!(location.spec.provider, "aws");
        assert_eq!(location.spec.validation_frequency, None);
        assert_eq!(location.status.last_validation_time, None);
        assert_eq!(read.items[1], BackupStorageLocation::default());
        Ok(())
    }

    #[test]
    fn times_and_durations_are_read() -> Result<(), serde_json::Error> {
        let text = r#"{"spec": {"validationFrequency": "1m30s"}, "status": {"lastValidationTime": "2026-11-20T10:00:00Z"}}"#;
        let location: BackupStorageLocation = serde_json::from_str(text)?;
        let frequency = location.spec.validation_frequency;
        assert_eq!(frequency, Some(SignedDuration::from_secs(90)));
        let validated = location.status.last_validation_time;
        assert_eq!(
            validated.map(|time| time.to_string()).as_deref(),
            Some("2026-11-20T10:00:00Z")
        );
        Ok(())
    }
}

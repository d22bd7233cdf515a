//! Objects of Velero in every phase, on a real API server that holds them to Velero's own definitions.

use crate::fixture::Cluster;
use crate::velero::{INSTALLATION, finding, findings, install_definitions};

/// A kind, the `spec` of its objects, and every phase that its definition allows with the finding on an object in it;
/// empty for what goes well and is no news.
type Kind = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const PHASES: [Kind; 5] = [
    (
        "Backup",
        "",
        &[
            ("New", "stuck/NAME warn"),
            ("Queued", "stuck/NAME warn"),
            ("ReadyToStart", "stuck/NAME warn"),
            ("FailedValidation", "backup/schedule-NAME fail"),
            ("InProgress", "stuck/NAME warn"),
            ("WaitingForPluginOperations", "stuck/NAME warn"),
            (
                "WaitingForPluginOperationsPartiallyFailed",
                "stuck/NAME warn",
            ),
            ("Finalizing", "stuck/NAME warn"),
            ("FinalizingPartiallyFailed", "stuck/NAME warn"),
            ("Completed", "backup/schedule-NAME pass"),
            ("PartiallyFailed", "backup/schedule-NAME warn"),
            ("Failed", "backup/schedule-NAME fail"),
            ("Deleting", ""),
        ],
    ),
    (
        "Schedule",
        "spec: {schedule: 0 2 * * *, template: {}}",
        &[
            ("New", "schedule/NAME pass"),
            ("Enabled", "schedule/NAME pass"),
            ("FailedValidation", "schedule/NAME fail"),
        ],
    ),
    (
        "BackupStorageLocation",
        "spec: {provider: example.com/any, objectStorage: {bucket: b}}",
        &[
            ("Available", "location/NAME pass"),
            ("Unavailable", "location/NAME fail"),
        ],
    ),
    (
        "VolumeSnapshotLocation",
        "spec: {provider: example.com/any}",
        &[
            ("Available", "snapshot-location/NAME pass"),
            ("Unavailable", "snapshot-location/NAME fail"),
        ],
    ),
    (
        "BackupRepository",
        "spec: {backupStorageLocation: default, maintenanceFrequency: 1h, repositoryType: kopia, resticIdentifier: '', volumeNamespace: shop}",
        &[
            ("New", ""),
            ("Ready", "repositories pass"),
            ("NotReady", "repository/NAME fail"),
        ],
    ),
];

#[test]
fn every_phase_that_the_definitions_allow_has_its_answer() {
    let cluster = Cluster::new("velero-phases");
    install_definitions(&cluster);
    cluster.apply(INSTALLATION);
    let mut manifests = String::new();
    let mut expected = Vec::new();
    let namespace = "namespace/velero-phases";
    let now = cluster.kubectl(&[
        "get",
        namespace,
        "-o",
        "jsonpath={.metadata.creationTimestamp}",
    ]);
    for (kind, spec, phases) in PHASES {
        for (phase, said) in phases {
            let name = phase.to_lowercase();
            let times = match kind {
                // What is under way began long ago.
                "Backup" => ", startTimestamp: '2026-01-01T00:00:00Z'".to_owned(),
                "BackupStorageLocation" => format!(", lastValidationTime: '{now}'"),
                _ => String::new(),
            };
            let manifest = format!(
                "---
apiVersion: velero.io/v1
kind: {kind}
metadata: {{name: {name}, labels: {{velero.io/schedule-name: {name}}}}}
{spec}
status: {{phase: {phase}{times}}}
"
            );
            manifests.push_str(&manifest);
            if let Some((id, verdict)) = said.split_once(' ') {
                let id = id.replace("NAME", &name);
                expected.push((format!("veleroHealth/{id}"), verdict));
            }
        }
    }
    cluster.apply(&manifests);
    cluster.wait_for("deployment/velero", "--for=condition=Available");
    cluster.write(
        "spec.yaml",
        "
apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {name: phases}
spec: {analyzers: [{veleroHealth: {namespace: velero-phases}}]}
",
    );
    let run = cluster
        .assay(&["preflight", "spec.yaml", "--format", "json"])
        .run();
    let report = run.expect_code(3).json();
    let found = findings(&report);
    for (id, verdict) in expected {
        assert_eq!(finding(&found, &id).0, verdict, "{id}: {report:#}");
    }
    let mut ids = found
        .iter()
        .filter_map(|(_, finding)| finding["id"].as_str());
    assert!(!ids.any(|id| id.ends_with("/deleting")), "{report:#}");
}

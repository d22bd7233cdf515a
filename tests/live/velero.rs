//! Velero's own server against a real object storage: what it says of locations that work and of those that do not, and
//! what the check makes of that.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::fixture::{Cluster, from_rig, wait_until};
use crate::servers::{Server, free_port, program, wait_for_port};

const ACCESS_KEY: &str = "rigaccesskey00000001";
const SECRET_KEY: &str = "rig-secret-key-that-nobody-may-see";

/// The servers of this test; they end with it.
struct Servers {
    running: Vec<Server>,
    /// `https://127.0.0.1:<port>`
    endpoint: String,
}

/// Starts a program; its output goes to a file in `folder`.
fn start(folder: &Path, name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Server {
    let path = from_rig(&format!("ASSAY_RIG_{}", name.to_uppercase()));
    let mut command = program(&path, folder);
    command.args(arguments).envs(environment.iter().copied());
    Server::start(&mut command, &folder.join(format!("{name}.log")))
}

impl Servers {
    /// `MinIO` with a bucket `backups` in the region `eu-west-1`, its certificate signed by the rig's own authority, and
    /// Velero's server over the test's namespace.
    fn start(cluster: &Cluster) -> Self {
        let folder = cluster.tmp().join("servers");
        let certificates = folder.join("certificates");
        let data = folder.join("data");
        fs::create_dir_all(data.join("backups")).expect("a bucket");
        fs::create_dir_all(&certificates).expect("a folder");
        let pki = from_rig("ASSAY_RIG_DIR").join("pki");
        for (from, to) in [
            ("apiserver.crt", "public.crt"),
            ("apiserver.key", "private.key"),
        ] {
            fs::copy(pki.join(from), certificates.join(to)).expect("a certificate");
        }
        let port = free_port();
        let minio = start(
            &folder,
            "minio",
            &[
                "server",
                "--certs-dir",
                &certificates.to_string_lossy(),
                "--address",
                &format!("127.0.0.1:{port}"),
                "--console-address",
                &format!("127.0.0.1:{}", free_port()),
                &data.to_string_lossy(),
            ],
            &[
                ("MINIO_ROOT_USER", ACCESS_KEY),
                ("MINIO_ROOT_PASSWORD", SECRET_KEY),
                ("MINIO_SITE_REGION", "eu-west-1"),
            ],
        );
        let mut servers = Self {
            running: vec![minio],
            endpoint: format!("https://127.0.0.1:{port}"),
        };
        wait_for_port(port);
        servers.running.push(start(
            &folder,
            "velero",
            &[
                "server",
                "--namespace",
                cluster.namespace(),
                "--kubeconfig",
                &cluster.kubeconfig().to_string_lossy(),
                "--plugin-dir",
                &from_rig("ASSAY_RIG_VELERO_PLUGINS").to_string_lossy(),
                // One that waits for another is looked at again after a minute.
                "--concurrent-backups=4",
                "--metrics-address",
                &format!("127.0.0.1:{}", free_port()),
                "--profiler-address",
                &format!("127.0.0.1:{}", free_port()),
            ],
            // Without it a location without keys waits for a cloud's own address.
            &[("AWS_EC2_METADATA_DISABLED", "true")],
        ));
        servers
    }
}

/// What a vendor's installation has, as far as it is objects: kwok runs the pod.
pub(crate) const INSTALLATION: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: velero, labels: {component: velero}}
spec:
  selector: {matchLabels: {deploy: velero}}
  template:
    metadata: {labels: {deploy: velero}}
    spec:
      nodeName: kwok-0
      initContainers:
      - {name: aws, image: 'velero/velero-plugin-for-aws:v1.14.3'}
      containers:
      - {name: velero, image: 'velero/velero:v1.18.3', args: [server]}
";

fn credentials(name: &str, access_key: &str, secret_key: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Secret
metadata: {{name: {name}}}
stringData:
  cloud: |
    [default]
    aws_access_key_id={access_key}
    aws_secret_access_key={secret_key}
"
    )
}

/// A location that differs from a good one in what is given.
struct Location {
    name: &'static str,
    bucket: &'static str,
    region: &'static str,
    secret: &'static str,
    provider: &'static str,
    trusts: bool,
}

const GOOD: Location = Location {
    name: "default",
    bucket: "backups",
    region: "eu-west-1",
    secret: "cloud-credentials",
    provider: "velero.io/aws",
    trusts: true,
};

const LOCATIONS: [Location; 9] = [
    GOOD,
    Location {
        name: "key",
        secret: "unknown-key",
        ..GOOD
    },
    Location {
        name: "secret",
        secret: "wrong-secret",
        ..GOOD
    },
    Location {
        name: "half",
        secret: "half",
        ..GOOD
    },
    Location {
        name: "absent",
        secret: "absent",
        ..GOOD
    },
    Location {
        name: "region",
        region: "us-east-1",
        ..GOOD
    },
    Location {
        name: "bucket",
        bucket: "another",
        ..GOOD
    },
    Location {
        name: "authority",
        trusts: false,
        ..GOOD
    },
    Location {
        name: "plugin",
        provider: "example.com/other",
        ..GOOD
    },
];

/// Of each location that fails: what the message and the remedy hold.
const REASONS: [(&str, &str, &str); 8] = [
    (
        "key",
        "asked by this run with the same settings, the object storage says why: signature: GET /backups/: 403 InvalidAccessKeyId",
        "The keys are in the Secret velero/unknown-key, key cloud, profile default.",
    ),
    (
        "secret",
        "no variant of the request is accepted, so the secret key is another than the server's",
        "The keys are in the Secret velero/wrong-secret, key cloud, profile default.",
    ),
    (
        "half",
        "the profile default in the key cloud of the Secret velero/half has no aws_secret_access_key",
        "Write the credentials file",
    ),
    (
        "absent",
        "the Secret velero/absent does not exist",
        "create secret generic absent",
    ),
    (
        "region",
        "signature: GET /backups/: 400 AuthorizationHeaderMalformed",
        "Set spec.config.region of the location to eu-west-1.",
    ),
    (
        "bucket",
        "bucket: GET /another/: 404 NoSuchBucket",
        "Create the bucket another, or correct its name",
    ),
    (
        "authority",
        "which is not trusted (velero/locations/velero/authority.json)",
        "spec.objectStorage.caCert of the location",
    ),
    (
        "plugin",
        "the server has no plugin for the provider example.com/other",
        "velero plugin add IMAGE",
    ),
];

const SPEC: &str = "
apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {name: snapshots}
spec:
  collectors:
  - velero:
      namespace: velero
      secrets: [cloud-credentials, unknown-key, wrong-secret, half, absent]
  analyzers:
  - velero: {}
  - veleroHealth: {checkName: Snapshots, required: true, applicationNamespaces: [velero]}
";

impl Location {
    fn manifest(&self, endpoint: &str, authority: &str) -> String {
        let Self {
            name,
            bucket,
            region,
            secret,
            provider,
            trusts,
        } = self;
        let authority = if *trusts {
            format!(", caCert: {authority}")
        } else {
            String::new()
        };
        let default = *name == GOOD.name;
        format!(
            "---
apiVersion: velero.io/v1
kind: BackupStorageLocation
metadata: {{name: {name}}}
spec:
  provider: {provider}
  default: {default}
  config: {{region: {region}, s3ForcePathStyle: 'true', s3Url: '{endpoint}'}}
  credential: {{name: {secret}, key: cloud}}
  objectStorage: {{bucket: {bucket}{authority}}}
"
        )
    }
}

pub(crate) fn install_definitions(cluster: &Cluster) {
    let definitions = from_rig("ASSAY_RIG_VELERO_CRDS");
    cluster.kubectl(&[
        "apply",
        "--server-side",
        "-f",
        &definitions.to_string_lossy(),
    ]);
    let all = "--all";
    cluster.kubectl(&[
        "wait",
        "crd",
        all,
        "--for=condition=Established",
        "--timeout=120s",
    ]);
}

fn phase(cluster: &Cluster, object: &str) -> String {
    cluster.kubectl(&["get", object, "-o", "jsonpath={.status.phase}"])
}

/// The findings of a report by their ids, each with its verdict.
pub(crate) fn findings(report: &Value) -> Vec<(String, Value)> {
    ["pass", "warn", "fail"]
        .into_iter()
        .flat_map(|verdict| {
            let found = report[verdict].as_array().cloned().unwrap_or_default();
            found
                .into_iter()
                .map(move |finding| (verdict.to_owned(), finding))
        })
        .collect()
}

#[track_caller]
pub(crate) fn finding<'a>(found: &'a [(String, Value)], id: &str) -> &'a (String, Value) {
    found
        .iter()
        .find(|(_, finding)| finding["id"] == id)
        .unwrap_or_else(|| panic!("no finding {id}: {found:#?}"))
}

/// The servers with all locations, each with a phase.
fn locations(cluster: &Cluster) -> Servers {
    let servers = Servers::start(cluster);
    // The API server writes it in base64, which is how a location wants it.
    let file = from_rig("ASSAY_RIG_DIR").join("pki/ca.crt");
    let file = format!("--from-file=authority={}", file.display());
    cluster.kubectl(&["create", "secret", "generic", "authority", &file]);
    let authority = cluster.kubectl(&[
        "get",
        "secret/authority",
        "-o",
        "jsonpath={.data.authority}",
    ]);
    let mut manifests = credentials("cloud-credentials", ACCESS_KEY, SECRET_KEY)
        + &credentials("unknown-key", "rigaccesskey00000002", SECRET_KEY)
        + &credentials("wrong-secret", ACCESS_KEY, "another-secret-of-some-length")
        + &credentials("half", ACCESS_KEY, "").replace("aws_secret_access_key=", "");
    for location in &LOCATIONS {
        manifests += &location.manifest(&servers.endpoint, &authority);
    }
    cluster.apply(&manifests);
    wait_until("every location has a phase", || {
        LOCATIONS
            .iter()
            .all(|location| !phase(cluster, &format!("bsl/{}", location.name)).is_empty())
    });
    servers
}

/// A backup that a server left when it was ended: the next one finds it when it starts.
const ORPHAN: &str = "
apiVersion: velero.io/v1
kind: Backup
metadata: {name: orphan, labels: {velero.io/schedule-name: orphan}}
status: {phase: InProgress, startTimestamp: '2026-01-01T00:00:00Z'}
";

/// Schedules, backups and a restore, and what the server makes of them.
fn backups(cluster: &Cluster) {
    cluster.apply(
        "
apiVersion: velero.io/v1
kind: Schedule
metadata: {name: nightly}
spec: {schedule: 0 2 * * *, skipImmediately: true, template: {includedNamespaces: [velero]}}
---
apiVersion: velero.io/v1
kind: Schedule
metadata: {name: broken}
spec: {schedule: 0 2 * *, template: {}}
---
apiVersion: velero.io/v1
kind: Backup
metadata: {name: good}
spec: {includedNamespaces: [velero], includedResources: [configmaps]}
---
apiVersion: velero.io/v1
kind: Backup
metadata: {name: refused, labels: {velero.io/schedule-name: gone}}
spec: {includedNamespaces: [velero], storageLocation: bucket}
",
    );
    wait_until("the backups and schedules are done", || {
        phase(cluster, "backup/good") == "Completed"
            && phase(cluster, "backup/refused") == "FailedValidation"
            && phase(cluster, "schedule/broken") == "FailedValidation"
            && phase(cluster, "schedule/nightly") == "Enabled"
            && phase(cluster, "backup/orphan") == "Failed"
    });
    cluster.apply(
        "
apiVersion: velero.io/v1
kind: Restore
metadata: {name: rehearsal}
spec: {backupName: good, namespaceMapping: {velero: velero-rehearsal}}
",
    );
    wait_until("the restore is done", || {
        phase(cluster, "restore/rehearsal") == "Completed"
    });
    cluster.kubectl(&["delete", "namespace", "velero-rehearsal", "--wait=false"]);
    cluster.wait_for("deployment/velero", "--for=condition=Available");
}

/// The verdicts, and of each location that fails the reason and the remedy.
fn expect_reasons(report: &Value) {
    let found = findings(report);
    let verdict = |id: &str| finding(&found, &format!("veleroHealth/{id}")).0.as_str();
    for (name, message, remedy) in REASONS {
        let (verdict, finding) = finding(&found, &format!("veleroHealth/location/{name}"));
        assert_eq!(verdict, "fail", "{finding:#}");
        let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        assert!(text("message").contains(message), "{finding:#}");
        assert!(text("remedy").contains(remedy), "{finding:#}");
    }
    for id in [
        "location/default",
        "installation",
        "definitions",
        "backup/by-hand",
        "backups",
        "schedule/nightly",
        "restore",
    ] {
        assert_eq!(verdict(id), "pass", "{id}: {report:#}");
    }
    for id in ["schedule/broken", "backup/schedule-gone"] {
        assert_eq!(verdict(id), "fail", "{id}: {report:#}");
    }
    let (verdict, orphan) = finding(&found, "veleroHealth/backup/schedule-orphan");
    let message = orphan["message"].as_str().unwrap_or_default();
    assert_eq!(verdict, "fail", "{orphan:#}");
    assert!(
        message.contains("found a backup with status \"InProgress\" during the server starting"),
        "{orphan:#}"
    );
    let (verdict, peer) = finding(&found, "velero/backups/refused");
    assert_eq!(
        (verdict.as_str(), &peer["title"]),
        ("fail", &"Backup refused".into())
    );
}

#[test]
fn the_servers_own_words_become_reasons_and_remedies() {
    let cluster = Cluster::new("velero");
    install_definitions(&cluster);
    cluster.apply(INSTALLATION);
    cluster.apply(ORPHAN);
    let _servers = locations(&cluster);
    backups(&cluster);
    cluster.write("spec.yaml", SPEC);
    let arguments = [
        "preflight",
        "spec.yaml",
        "--format",
        "json",
        "--output",
        "bundle.tar.gz",
    ];
    let live = cluster.assay(&arguments).run().expect_code(3);
    let report = live.json();
    expect_reasons(&report);

    let arguments = [
        "analyze",
        "--bundle",
        "bundle.tar.gz",
        "--format",
        "json",
        "spec.yaml",
    ];
    let offline = cluster.assay(&arguments).run().expect_code(3).json();
    for list in ["pass", "warn", "fail", "unknown", "notApplicable"] {
        assert_eq!(report[list], offline[list], "{list}");
    }

    let told = cluster.bundle();
    let shapes = told.json("velero/credentials/velero/cloud-credentials.json");
    assert_eq!(shapes["files"][0]["format"], "profiles");
    for secret in [ACCESS_KEY, SECRET_KEY] {
        assert_eq!(told.holding(secret), [""; 0]);
        assert!(!live.stderr.contains(secret) && !live.stdout.contains(secret));
    }

    // Only the server lets go of a restore; without it the namespace would stay.
    cluster.kubectl(&["delete", "restore/rehearsal", "--timeout=120s"]);
}

#[test]
fn one_who_may_not_read_veleros_objects_learns_that() {
    let cluster = Cluster::new("velero-refused");
    install_definitions(&cluster);
    cluster.apply(INSTALLATION);
    cluster.wait_for("deployment/velero", "--for=condition=Available");
    let account = cluster.account(
        "reader",
        "- {apiGroups: [apps, ''], resources: [deployments, daemonsets, pods, configmaps], verbs: [get, list]}",
    );
    cluster.write(
        "spec.yaml",
        &SPEC.replace("velero]", "velero-refused], namespace: velero-refused"),
    );
    let run = cluster
        .assay(&["preflight", "spec.yaml", "--format", "json"])
        .kubeconfig(&account)
        .run()
        .expect_code(5);
    let report = run.json();
    let found = findings(&report);
    let ids: Vec<&str> = found
        .iter()
        .filter_map(|(_, finding)| finding["id"].as_str())
        .collect();
    // Discovery shows the definitions; nothing else passes for want of knowledge.
    assert_eq!(
        ids,
        ["veleroHealth/installation", "veleroHealth/definitions"],
        "{report:#}"
    );
}

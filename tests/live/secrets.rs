//! Secrets are planted wherever the collectors read; none leaves the cluster in any file or stream of the run.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::fixture::Cluster;

/// A value of each class, unlike anything else: `(class, value)`.
const PLANTED: &[(&str, &str)] = &[
    ("password", "hx7TrickyPlantedPassw0rd"),
    ("token", "tok8PlantedOpaqueTokenValue31"),
    ("url", "url4PlantedCredential29"),
    (
        "jwt",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJwbGFudGVkLXVzZXItOTIzIn0.cGxhbnRlZHNpZ25hdHVyZTEyMzQ1Njc4OTA",
    ),
    (
        "key",
        "MHcCAQEEIPlantedPrivateKeyBody7Q0ZLx3uJ9vY2sF4tR6wB8nM1",
    ),
    ("aws", "wJalrPlantedSecretAccessKey0123456789abc"),
];

fn planted(class: &str) -> &'static str {
    PLANTED
        .iter()
        .find(|(name, _)| *name == class)
        .map(|(_, value)| *value)
        .expect("a class of the table")
}

/// What kwok gives out as the container's log.
fn log_lines() -> String {
    let (password, url, jwt) = (planted("password"), planted("url"), planted("jwt"));
    [
        &format!("connecting to postgres://app:{url}@db:5432/orders"),
        &format!("Authorization: Bearer {jwt}"),
        &format!("{{\"password\": \"{password}\", \"ok\": true}}"),
        LAST_LINE,
    ]
    .map(|line| format!("2026-11-20T22:31:39.1Z stdout F {line}\n"))
    .concat()
}

const LAST_LINE: &str = "planted lines end";

fn manifests(log: &Path) -> String {
    let (password, token, url) = (planted("password"), planted("token"), planted("url"));
    let (key, aws, log) = (planted("key"), planted("aws"), log.display());
    format!(
        r#"
apiVersion: v1
kind: Secret
metadata: {{name: credentials}}
stringData: {{password: {password}, token: {token}}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{{"data":{{"password":"{password}"}}}}'
data:
  config.yaml: |
    database:
      url: postgres://app:{url}@db.shop.svc:5432/orders
      password: {password}
  key.pem: |
    -----BEGIN EC PRIVATE KEY-----
    {key}
    -----END EC PRIVATE KEY-----
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Logs
metadata: {{name: web}}
spec:
  logs:
  - containers: [main]
    logsFile: {log}
---
apiVersion: v1
kind: Pod
metadata: {{name: web, labels: {{app: web}}}}
spec:
  nodeName: kwok-0
  containers:
  - name: main
    image: example.org/web:1
    env:
    - {{name: DB_PASSWORD, value: {password}}}
    - {{name: AWS_SECRET_ACCESS_KEY, value: {aws}}}
    - {{name: DATABASE_URL, value: 'mysql://app:{url}@db:3306/shop'}}
"#
    )
}

fn spec() -> String {
    let (password, aws) = (planted("password"), planted("aws"));
    format!(
        "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {{name: secrets}}
spec:
  collectors:
  - clusterResources: {{namespaces: [secrets-planted]}}
  - logs: {{name: web, namespace: secrets-planted, selector: [app=web]}}
  - configMap: {{name: settings, namespace: secrets-planted, includeAllData: true}}
  - secret: {{name: credentials, namespace: secrets-planted, includeAllData: true}}
  - exec:
      name: shell
      namespace: secrets-planted
      selector: [app=web]
      command: [sh, -c]
      args: ['printf \"password=%s\\nAWS_SECRET_ACCESS_KEY=%s\\n\" {password} {aws}']
"
    )
}

#[test]
fn no_planted_secret_leaves_the_cluster() {
    let cluster = Cluster::new("secrets-planted");
    let log = cluster.write("main.cri", &log_lines());
    cluster.apply(&manifests(&log));
    cluster.wait_for("pod/web", "--for=condition=Ready");
    // kwok learns of the log by watching.
    while !cluster.kubectl(&["logs", "web"]).contains(LAST_LINE) {
        thread::sleep(Duration::from_millis(50));
    }
    let spec = cluster.write("spec.yaml", &spec());
    cluster
        .assay(&[
            "collect",
            "spec.yaml",
            "--output",
            "bundle.tar.gz",
            "--debug",
        ])
        .run()
        .expect_code(0);
    let bundle = cluster.bundle();
    // What was planted was collected.
    assert!(
        bundle
            .text("cluster-resources/pods/logs/secrets-planted/web/main.log")
            .contains(LAST_LINE)
    );
    for file in [
        "cluster-resources/configmaps/secrets-planted.json",
        "configmaps/secrets-planted/settings.json",
        "secrets/secrets-planted/credentials.json",
        "shell/secrets-planted/web/main-stdout.txt",
    ] {
        assert!(
            bundle.has(file),
            "{file} is not among {:#?}",
            bundle.paths()
        );
    }
    // The inputs of the test itself hold them, of course.
    fs::remove_file(spec).expect("the spec");
    fs::remove_file(log).expect("the log");
    for (class, value) in PLANTED {
        assert_eq!(bundle.holding(value), [""; 0], "{class} in the bundle");
        assert_eq!(
            cluster.files_holding(value),
            Vec::<PathBuf>::new(),
            "{class} in a file or stream of the run"
        );
    }
}

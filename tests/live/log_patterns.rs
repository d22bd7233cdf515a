//! What a real scheduler, real controllers and a real admission say, told from the table of known messages.

use serde_json::Value;

use crate::fixture::{Cluster, wait_until};

/// A pod that fits nowhere, and a Deployment whose pods the quota refuses.
const OBJECTS: &str = "
apiVersion: v1
kind: ResourceQuota
metadata: {name: gpus}
spec: {hard: {requests.nvidia.com/gpu: '0'}}
---
apiVersion: v1
kind: Pod
metadata: {name: lonely}
spec:
  containers:
  - {name: main, image: example.org/lonely:1, resources: {requests: {cpu: '100000'}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: train}
spec:
  selector: {matchLabels: {app: train}}
  template:
    metadata: {labels: {app: train}}
    spec:
      containers:
      - {name: main, image: example.org/train:1, resources: {limits: {nvidia.com/gpu: '1'}}}
";

/// A Deployment whose pods Pod Security refuses.
const ROOT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: root}
spec:
  selector: {matchLabels: {app: root}}
  template:
    metadata: {labels: {app: root}}
    spec:
      containers:
      - {name: main, image: example.org/root:1, securityContext: {privileged: true}}
";

const SPEC: &str = "
apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {name: patterns}
spec:
  analyzers:
  - logPatterns:
      namespaces: [patterns]
      ignoreIfNoFiles: true
";

#[test]
fn the_words_of_a_real_cluster_are_known() {
    let cluster = Cluster::new("patterns");
    let events = || {
        let messages = "jsonpath={.items[*].message}";
        cluster.kubectl(&["get", "events", "--output", messages])
    };
    cluster.apply(OBJECTS);
    cluster.wait_for("pod/lonely", "--for=condition=PodScheduled=false");
    wait_until("the quota's event", || events().contains("exceeded quota"));
    let level = "pod-security.kubernetes.io/enforce=restricted";
    cluster.kubectl(&["label", "namespace", "patterns", level]);
    cluster.apply(ROOT);
    wait_until("Pod Security's event", || {
        events().contains("violates PodSecurity")
    });
    cluster.write("spec.yaml", SPEC);
    let report = cluster
        .assay(&["preflight", "spec.yaml", "--format", "json"])
        .run()
        .expect_code(3)
        .json();
    let failed: Vec<(&str, &str)> = report["fail"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|finding| {
            let name = finding["objects"][0]["kind"].as_str()?;
            Some((finding["title"].as_str()?.rsplit(' ').next()?, name))
        })
        .collect();
    for expected in [
        ("unschedulable", "Pod"),
        ("quota-exceeded", "ReplicaSet"),
        ("pod-security", "ReplicaSet"),
    ] {
        assert!(failed.contains(&expected), "{expected:?}: {report:#}");
    }
    let of_scheduler = report["fail"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|finding| {
            finding["title"]
                .as_str()
                .is_some_and(|it| it.ends_with("unschedulable"))
        });
    let message = of_scheduler.map_or(&Value::Null, |finding| &finding["message"]);
    assert!(
        message
            .as_str()
            .is_some_and(|it| it.contains(": Insufficient cpu")),
        "{message}"
    );
}

#[test]
fn packs_run_against_a_real_cluster() {
    let cluster = Cluster::new("packs");
    for (pack, code) in [("pack:gpu", 3), ("pack:velero", 3), ("pack:postgres", 3)] {
        let ran = cluster
            .assay(&["preflight", pack, "--format", "json"])
            .run();
        let report = ran.json();
        let unknown = report["unknown"].as_array().into_iter().flatten();
        let unknown: Vec<&str> = unknown.filter_map(|it| it["analyzer"].as_str()).collect();
        // What other tests leave in the cluster's events may be known.
        assert!(
            ran.code == Some(code) || ran.code == Some(3),
            "{pack}: {report:#}"
        );
        // Without the Secret nobody can tell how many connections there are.
        let expected: &[&str] = match pack {
            "pack:postgres" => &["postgresLimits"],
            _ => &[],
        };
        assert_eq!(unknown, expected, "{pack}: {report:#}");
    }
}

//! Logs through the API server: every container, the run before, limits, and pods that have none.

use crate::fixture::Cluster;

const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeName: kwok-0
  containers:
  - {name: main, image: example.org/web:1}
  - {name: sidecar, image: example.org/proxy:1}
---
apiVersion: v1
kind: Pod
metadata: {name: other, labels: {app: other}}
spec:
  nodeName: kwok-0
  containers:
  - {name: main, image: example.org/other:1}
";

#[test]
fn every_container_of_the_selected_pods_has_its_log() {
    let cluster = Cluster::new("logs-all");
    cluster.apply(PODS);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    cluster.write(
        "spec.yaml",
        "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: logs}
spec:
  collectors:
  - clusterResources: {exclude: true}
  - logs:
      name: web
      namespace: logs-all
      selector: [app=web]
",
    );
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run()
        .expect_code(0);
    let bundle = cluster.bundle();
    let folder = "cluster-resources/pods/logs/logs-all/web";
    for container in ["main", "sidecar"] {
        assert!(
            bundle
                .text(&format!("{folder}/{container}.log"))
                .contains("starting on port 8080")
        );
    }
    assert!(
        !bundle
            .paths()
            .iter()
            .any(|path| path.contains("logs-all/other"))
    );
}

#[test]
fn limits_are_kept() {
    let cluster = Cluster::new("logs-limits");
    cluster.apply(PODS);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    cluster.write(
        "spec.yaml",
        "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: logs}
spec:
  collectors:
  - clusterResources: {exclude: true}
  - logs:
      name: web
      namespace: logs-limits
      selector: [app=web]
      containerNames: [main]
      limits: {maxLines: 1}
",
    );
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run()
        .expect_code(0);
    let bundle = cluster.bundle();
    assert_eq!(
        bundle.text("cluster-resources/pods/logs/logs-limits/web/main.log"),
        "ready\n"
    );
    assert!(!bundle.has("cluster-resources/pods/logs/logs-limits/web/sidecar.log"));
}

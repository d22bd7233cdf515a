//! A run in the cluster whose container may have 256 MiB.

use crate::fixture::Cluster;

/// A pod that logs as much as a log may have, and one that collects.
const PODS: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: node-memory}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: default, namespace: node-memory}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: spec}
data:
  spec.yaml: |
    apiVersion: troubleshoot.sh/v1beta2
    kind: SupportBundle
    metadata: {name: memory}
    spec:
      collectors:
      - clusterInfo: {}
      - clusterResources: {}
      - logs: {name: talk, namespace: node-memory, selector: [app=talk]}
---
apiVersion: v1
kind: Pod
metadata: {name: talk, labels: {app: talk}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: localhost/busybox:1
    imagePullPolicy: Never
    command: [sh, -c, 'yes "a line of a log with a password=hunter2 in it, as there are many" | head -c 4500000; sleep 3600']
---
apiVersion: v1
kind: Pod
metadata: {name: collect}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: localhost/assay:1
    imagePullPolicy: Never
    command: [assay, collect, /spec/spec.yaml, --output, /work/bundle.tar.gz]
    resources: {limits: {memory: 256Mi}}
    volumeMounts: [{name: spec, mountPath: /spec}, {name: work, mountPath: /work}]
  volumes: [{name: spec, configMap: {name: spec}}, {name: work, emptyDir: {}}]
"#;

#[test]
fn a_run_ends_well_in_256_mib() {
    let cluster = Cluster::new("node-memory");
    cluster.apply(PODS);
    let ended = "{.status.containerStatuses[0].state.terminated.reason}";
    cluster.wait_for("pod/collect", &format!("--for=jsonpath={ended}"));
    let ended = format!("jsonpath={ended}");
    let reason = cluster.kubectl(&["get", "pod", "collect", "-o", &ended]);
    let said = cluster.kubectl(&["logs", "collect"]);
    assert_eq!(reason, "Completed", "{said}");
    assert!(said.contains("collected: logs/app=talk"), "{said}");
    cluster.kubectl(&["delete", "clusterrolebinding", "node-memory"]);
}

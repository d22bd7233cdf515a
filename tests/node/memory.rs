//! A run in the cluster whose container may have 256 MiB, and a redaction of more than that.

use crate::fixture::Cluster;

/// A pod that logs, one that collects it, and one that redacts a bundle which the first of its containers has made: 400 MB
/// of lines. The limit holds for their anonymous memory; what they read and write is cached besides and given back.
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
      - logs: {name: talk, namespace: node-memory, selector: [app=talk], limits: {maxLines: 1000000}}
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
    command: [sh, -c, 'yes "a line of a log with a password=hunter2 in it, as there are many" | head -c 8000000; sleep 3600']
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
    args: [collect, /spec/spec.yaml, --output, /work/bundle.tar.gz]
    resources: {limits: {memory: 256Mi}}
    volumeMounts: [{name: spec, mountPath: /spec}, {name: work, mountPath: /work}]
  volumes: [{name: spec, configMap: {name: spec}}, {name: work, emptyDir: {}}]
---
apiVersion: v1
kind: Pod
metadata: {name: redact}
spec:
  restartPolicy: Never
  initContainers:
  - name: fill
    image: localhost/busybox:1
    imagePullPolicy: Never
    command: [sh, -c, 'mkdir -p /work/b/a; yes "a line of a log with a password=hunter2 in it, as there are many" | head -c 400000000 > /work/b/a/long.log']
    volumeMounts: [{name: work, mountPath: /work}]
  containers:
  - name: main
    image: localhost/assay:1
    imagePullPolicy: Never
    args: [redact, /work/b, --output, /work/redacted.tar.gz]
    resources: {limits: {memory: 256Mi}}
    volumeMounts: [{name: work, mountPath: /work}]
  volumes: [{name: work, emptyDir: {}}]
"#;

#[test]
fn runs_end_well_in_a_quarter_of_a_gibibyte() {
    let cluster = Cluster::new("node-memory");
    cluster.apply(PODS);
    for pod in ["collect", "redact"] {
        let name = format!("pod/{pod}");
        // A container that is killed for its memory ends in phase Failed, and this in an error.
        cluster.wait_for(&name, "--for=jsonpath={.status.phase}=Succeeded");
        let said = cluster.kubectl(&["logs", pod]);
        assert!(said.contains("tar.gz"), "{said}");
    }
    cluster.kubectl(&["delete", "clusterrolebinding", "node-memory"]);
}

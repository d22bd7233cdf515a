//! The node itself: what the other tests rely on holds.

use crate::fixture::{Cluster, from_rig};

/// A pod that meets the *restricted* Pod Security Standard.
const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: localhost/busybox:1
    imagePullPolicy: Never
    command: [sh, -c, 'echo hello; sleep 3600']
    securityContext:
      runAsNonRoot: true
      runAsUser: 1000
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL]}
      seccompProfile: {type: RuntimeDefault}
";

#[test]
fn a_pod_runs_logs_and_executes_on_the_node() {
    let cluster = Cluster::new("rig-node-pod");
    cluster.kubectl(&[
        "label",
        "namespace",
        "rig-node-pod",
        "pod-security.kubernetes.io/enforce=restricted",
    ]);
    cluster.apply(POD);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    assert_eq!(cluster.kubectl(&["logs", "web"]), "hello\n");
    assert_eq!(
        cluster.kubectl(&["exec", "web", "--", "id", "-u"]),
        "1000\n"
    );
    let refused = cluster.kubectl_fails(&["exec", "web", "--", "sh", "-c", "exit 7"]);
    assert!(refused.contains("exit code 7"), "{refused}");
    assert_eq!(
        cluster.kubectl(&["get", "pod", "web", "-o", "jsonpath={.spec.nodeName}"]),
        from_rig("ASSAY_RIG_NODE").to_string_lossy()
    );
}

#[test]
fn a_pod_reaches_the_api_server_by_its_service_address() {
    let cluster = Cluster::new("rig-node-service");
    cluster.apply(&POD.replace(
        "echo hello; sleep 3600",
        "nc -w 5 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT </dev/null && echo reached",
    ));
    cluster.wait_for("pod/web", "--for=jsonpath={.status.phase}=Succeeded");
    assert_eq!(cluster.kubectl(&["logs", "web"]), "reached\n");
}

//! The rig itself: what the other tests rely on holds.

use crate::fixture::Cluster;

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  nodeName: kwok-0
  containers:
  - {name: main, image: example.org/web:1}
  - {name: sidecar, image: example.org/proxy:1}
";

#[test]
fn a_kwok_pod_has_logs_and_a_shell() {
    let cluster = Cluster::new("rig-pod");
    cluster.apply(POD);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    assert!(
        cluster
            .kubectl(&["logs", "web", "-c", "main"])
            .contains("starting on port 8080")
    );
    assert!(
        cluster
            .kubectl(&["logs", "web", "-c", "sidecar", "--previous"])
            .contains("panic: connection refused")
    );
    assert_eq!(
        cluster.kubectl(&["exec", "web", "-c", "main", "--", "sh", "-c", "echo $RIG"]),
        "kwok\n"
    );
}

#[test]
fn an_account_may_do_what_its_role_says_and_its_requests_are_recorded() {
    let cluster = Cluster::new("rig-account");
    let kubeconfig = cluster.account(
        "reader",
        "- {apiGroups: [''], resources: [pods], verbs: [get, list]}",
    );
    let kubeconfig = kubeconfig.to_string_lossy();
    cluster.kubectl(&["--kubeconfig", &kubeconfig, "get", "pods"]);
    let refused = cluster.kubectl_fails(&["--kubeconfig", &kubeconfig, "get", "secrets"]);
    assert!(refused.contains("Forbidden"), "{refused}");
    let requests = cluster.requests("reader");
    assert!(
        requests.iter().any(|(verb, uri, code)| verb == "list"
            && uri.starts_with("/api/v1/namespaces/rig-account/pods")
            && *code == 200),
        "{requests:?}"
    );
    assert!(
        requests.iter().any(|(_, _, code)| *code == 403),
        "{requests:?}"
    );
}

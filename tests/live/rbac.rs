//! Accounts that may see a part: they get that part, the rest is unknown and never a pass.

use crate::fixture::{Cluster, Run};

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  nodeName: kwok-0
  containers:
  - {name: main, image: example.org/web:1}
";

const READ_PODS: &str = "- {apiGroups: [''], resources: [pods], verbs: [get, list]}";

/// The titles in one list of a report.
fn titles(run: &Run, verdict: &str) -> Vec<String> {
    run.json()[verdict]
        .as_array()
        .into_iter()
        .flatten()
        .map(|finding| finding["title"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn one_namespace_is_judged_and_the_rest_is_unknown() {
    let cluster = Cluster::new("rbac-one");
    cluster.apply(POD);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    let kubeconfig = cluster.account("viewer", READ_PODS);
    cluster.write(
        "preflight.yaml",
        "
apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {name: rbac}
spec:
  collectors:
  - clusterResources: {namespaces: [rbac-one]}
  analyzers:
  - nodeResources:
      checkName: nodes
      outcomes:
      - fail: {when: 'count() < 1', message: none}
      - pass: {message: enough}
  - storageClass:
      checkName: storage
      storageClassName: standard
      outcomes:
      - fail: {message: missing}
      - pass: {message: present}
  - textAnalyze:
      checkName: pods
      fileName: cluster-resources/pods/rbac-one.json
      regex: '\"name\": \"web\"'
      outcomes:
      - pass: {when: 'true', message: the pod is there}
      - fail: {when: 'false', message: the pod is missing}
",
    );
    let run = cluster
        .assay(&[
            "preflight",
            "preflight.yaml",
            "--format",
            "json",
            "--output",
            "bundle.tar.gz",
        ])
        .kubeconfig(&kubeconfig)
        .run()
        .expect_code(5);
    assert_eq!(titles(&run, "pass"), ["pods"]);
    assert_eq!(titles(&run, "fail"), [""; 0]);
    let mut unknown = titles(&run, "unknown");
    unknown.sort();
    assert_eq!(unknown, ["nodes", "storage"]);
    let bundle = cluster.bundle();
    assert!(bundle.has("cluster-resources/pods/rbac-one.json"));
    assert!(!bundle.has("cluster-resources/deployments/rbac-one.json"));
    let manifest = bundle.text("manifest.json");
    assert!(manifest.contains("\"refused\""), "{manifest}");
}

#[test]
fn a_namespace_that_is_named_is_collected_though_the_list_of_namespaces_is_refused() {
    let cluster = Cluster::new("rbac-named");
    cluster.apply(POD);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    let kubeconfig = cluster.account("viewer", READ_PODS);
    cluster.write(
        "spec.yaml",
        "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: rbac}
spec:
  collectors:
  - clusterResources: {namespaces: [rbac-named, default]}
",
    );
    let run = cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .kubeconfig(&kubeconfig)
        .run()
        .expect_code(5);
    assert!(run.stderr.contains("403 Forbidden"), "{}", run.stderr);
    let bundle = cluster.bundle();
    let pods = bundle.json("cluster-resources/pods/rbac-named.json");
    assert_eq!(pods["items"][0]["metadata"]["name"], "web");
    let manifest = bundle.text("manifest.json");
    assert!(
        manifest.contains("cluster-resources/pods/default.json"),
        "{manifest}"
    );
}

#[test]
fn without_the_list_of_namespaces_the_accounts_own_is_collected() {
    let cluster = Cluster::new("rbac-own");
    cluster.apply(POD);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    let kubeconfig = cluster.account("viewer", READ_PODS);
    cluster.write(
        "spec.yaml",
        "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: rbac}
spec:
  collectors:
  - clusterResources: {}
",
    );
    let run = cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .kubeconfig(&kubeconfig)
        .run()
        .expect_code(5);
    assert!(run.stderr.contains("403 Forbidden"), "{}", run.stderr);
    let pods = cluster
        .bundle()
        .json("cluster-resources/pods/rbac-own.json");
    assert_eq!(pods["items"][0]["metadata"]["name"], "web");
}

#[test]
fn what_was_refused_is_asked_for_once() {
    let cluster = Cluster::new("rbac-once");
    let kubeconfig = cluster.account("viewer", READ_PODS);
    cluster.write(
        "spec.yaml",
        "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: rbac}
spec:
  collectors:
  - clusterResources: {namespaces: [rbac-once]}
",
    );
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .kubeconfig(&kubeconfig)
        .run()
        .expect_code(5);
    let mut refused: Vec<String> = cluster
        .requests("viewer")
        .into_iter()
        .filter(|(_, _, code)| *code == 403)
        .map(|(_, uri, _)| uri)
        .collect();
    let asked = refused.len();
    refused.sort();
    refused.dedup();
    assert_eq!(asked, refused.len(), "{refused:#?}");
}

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

/// Nothing here can be told without reading an object of the cluster.
const CHECKS: &str = "
apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {name: rbac}
spec:
  collectors:
  - clusterResources: {namespaces: [NAMESPACE]}
  - configMap: {name: settings, namespace: NAMESPACE, includeAllData: true}
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
  - customResourceDefinition:
      checkName: definition
      customResourceDefinitionName: logs.kwok.x-k8s.io
      outcomes:
      - fail: {message: missing}
      - pass: {message: present}
  - clusterPodStatuses:
      checkName: pods
      namespaces: [NAMESPACE]
      outcomes:
      - fail: {when: '!= Healthy', message: '{{ .Name }} is not healthy'}
      - pass: {message: healthy}
  - deploymentStatus:
      checkName: deployment
      name: web
      namespace: NAMESPACE
      strict: true
      outcomes:
      - fail: {when: '< 1', message: not ready}
      - pass: {message: ready}
  - textAnalyze:
      checkName: settings
      fileName: configmaps/NAMESPACE/settings.json
      regex: debug
      outcomes:
      - warn: {when: 'true', message: it is being debugged}
      - pass: {when: 'false', message: it is not}
";

const ALL_CHECKS: [&str; 6] = [
    "definition",
    "deployment",
    "nodes",
    "pods",
    "settings",
    "storage",
];

#[test]
fn an_account_without_rights_passes_nothing() {
    let cluster = Cluster::new("rbac-nothing");
    let kubeconfig = cluster.kubeconfig_of("nobody");
    cluster.write("spec.yaml", &CHECKS.replace("NAMESPACE", "rbac-nothing"));
    let run = cluster
        .assay(&["preflight", "spec.yaml", "--format", "json"])
        .kubeconfig(&kubeconfig)
        .run()
        .expect_code(5);
    for verdict in ["pass", "warn", "fail", "notApplicable"] {
        assert_eq!(titles(&run, verdict), [""; 0], "{verdict}: {}", run.stdout);
    }
    let mut unknown = titles(&run, "unknown");
    unknown.sort();
    assert_eq!(unknown, ALL_CHECKS);
}

#[test]
fn under_the_drop_in_name_what_is_unknown_is_a_warning() {
    let cluster = Cluster::new("rbac-dropin");
    let kubeconfig = cluster.kubeconfig_of("nobody");
    cluster.write("spec.yaml", &CHECKS.replace("NAMESPACE", "rbac-dropin"));
    let run = cluster
        .called(
            "preflight",
            &["--interactive=false", "--format=json", "spec.yaml"],
        )
        .kubeconfig(&kubeconfig)
        .run()
        .expect_code(4);
    let report = run.json();
    let warnings = report["warn"].as_array().expect("warnings");
    let mut warned = titles(&run, "warn");
    warned.sort();
    assert_eq!(warned, ALL_CHECKS);
    for warning in warnings {
        let message = warning["message"].as_str().unwrap_or_default();
        assert!(message.starts_with("not evaluated: "), "{warning}");
        let strict = warning["title"] == "deployment";
        assert_eq!(warning["strict"].as_bool().unwrap_or_default(), strict);
    }
    assert_eq!(report.as_object().map(serde_json::Map::len), Some(1));
}

#[test]
fn without_permissions_nothing_is_collected_where_that_is_asked_for() {
    let cluster = Cluster::new("rbac-strict");
    let kubeconfig = cluster.account("viewer", READ_PODS);
    cluster.write("spec.yaml", &CHECKS.replace("NAMESPACE", "rbac-strict"));
    let wanted = ["--collect-without-permissions=false", "spec.yaml"];
    for run in [
        cluster.assay(&["preflight", wanted[0], wanted[1]]),
        cluster.called("preflight", &["--interactive=false", wanted[0], wanted[1]]),
    ] {
        let run = run.kubeconfig(&kubeconfig).run().expect_code(1);
        assert_eq!(run.stdout, "");
        for denied in [
            "list nodes",
            "list storageclasses.storage.k8s.io",
            "get pods/log",
            "list deployments.apps",
        ] {
            assert!(run.stderr.contains(denied), "{denied}: {}", run.stderr);
        }
        assert!(!run.stderr.contains("list pods\n"), "{}", run.stderr);
    }
    let left: Vec<_> = std::fs::read_dir(cluster.work())
        .expect("the working folder")
        .filter_map(Result::ok)
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left, ["spec.yaml"]);
}

#[test]
fn one_forbidden_namespace_of_several_is_a_named_hole() {
    let cluster = Cluster::new("rbac-several");
    let kubeconfig = cluster.account("viewer", READ_PODS);
    cluster.apply(
        "
apiVersion: v1
kind: Namespace
metadata: {name: rbac-several-too}
---
apiVersion: v1
kind: Namespace
metadata: {name: rbac-several-closed}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: rbac-several}
rules:
- {apiGroups: [''], resources: [namespaces], verbs: [list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: rbac-several}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: rbac-several}
subjects: [{kind: ServiceAccount, name: viewer, namespace: rbac-several}]
",
    );
    cluster.apply_in(
        "rbac-several-too",
        "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: viewer}
rules:
- {apiGroups: [''], resources: [pods], verbs: [get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: viewer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: viewer}
subjects: [{kind: ServiceAccount, name: viewer, namespace: rbac-several}]
",
    );
    cluster.apply(POD);
    cluster.wait_for("pod/web", "--for=condition=Ready");
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
        .assay(&[
            "collect",
            "spec.yaml",
            "--format",
            "json",
            "--output",
            "bundle.tar.gz",
        ])
        .kubeconfig(&kubeconfig)
        .run()
        .expect_code(5);
    assert!(
        run.stderr.contains("partly collected: cluster-resources"),
        "{}",
        run.stderr
    );
    let bundle = cluster.bundle();
    let pods = bundle.json("cluster-resources/pods/rbac-several.json");
    assert_eq!(pods["items"][0]["metadata"]["name"], "web");
    let pods = bundle.json("cluster-resources/pods/rbac-several-too.json");
    assert_eq!(pods["items"].as_array().map(Vec::len), Some(0));
    let closed = "cluster-resources/pods/rbac-several-closed.json";
    assert!(!bundle.has(closed));
    let errors = bundle.json("cluster-resources/pods-errors.json");
    assert!(errors["rbac-several-closed"].is_string(), "{errors}");
    for told in [run.json(), bundle.json("manifest.json")] {
        let gap = told["collectors"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|record| record["gaps"].as_array().into_iter().flatten())
            .find(|gap| gap["path"] == closed);
        let gap = gap.unwrap_or_else(|| panic!("{closed} is not named in {told:#}"));
        assert_eq!(gap["reason"], "refused");
        let detail = gap["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("\"rbac-several-closed\""), "{detail}");
    }
}

//! A support bundle of the whole cluster: what is in it, and what it costs the API server.

use crate::fixture::Cluster;

const SPEC: &str = "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: collect}
spec:
  collectors:
  - clusterInfo: {}
  - clusterResources: {}
";

const WORKLOAD: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {level: info}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeName: kwok-0
  containers:
  - {name: main, image: example.org/web:1}
";

#[test]
fn a_bundle_opens_with_any_tar_and_has_the_layout_people_know() {
    let cluster = Cluster::new("collect-layout");
    cluster.apply(WORKLOAD);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    cluster.write("spec.yaml", SPEC);
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run()
        .expect_code(0);
    let bundle = cluster.bundle();
    assert!(bundle.text("version.yaml").contains("SupportBundle"));
    let version = bundle.json("cluster-info/cluster_version.json");
    assert_eq!(version["string"], "v1.36.3");
    let pods = bundle.json("cluster-resources/pods/collect-layout.json");
    assert_eq!(pods["kind"], "PodList");
    assert_eq!(pods["items"][0]["kind"], "Pod");
    assert_eq!(pods["items"][0]["apiVersion"], "v1");
    assert_eq!(pods["items"][0]["metadata"]["name"], "web");
    assert!(pods["items"][0]["metadata"]["managedFields"].is_null());
    assert!(
        bundle
            .text("cluster-resources/configmaps/collect-layout.json")
            .contains("settings")
    );
    for file in [
        "cluster-resources/nodes.json",
        "cluster-resources/namespaces.json",
        "cluster-resources/custom-resource-definitions.json",
        "cluster-resources/groups.json",
        "cluster-resources/resources.json",
        "cluster-resources/deployments/collect-layout.json",
    ] {
        assert!(
            bundle.has(file),
            "{file} is not among {:#?}",
            bundle.paths()
        );
    }
}

#[test]
fn an_administrators_bundle_costs_few_requests_and_reads_no_secrets() {
    let cluster = Cluster::new("collect-requests");
    // As many as the budgets' cluster has: the count may not grow with them.
    cluster.apply(&(0..100).fold(String::new(), |manifests, i| {
        manifests
            + &format!(
                "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: collect-requests-{i:02}}}\n"
            )
    }));
    let kubeconfig = cluster.administrator("collector");
    cluster.write("spec.yaml", SPEC);
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .kubeconfig(&kubeconfig)
        .run()
        .expect_code(0);
    let requests = cluster.requests("collector");
    assert!(!requests.is_empty());
    assert!(requests.len() <= 150, "{} requests", requests.len());
    let all_secrets: Vec<_> = requests
        .iter()
        .filter(|(verb, uri, _)| {
            verb == "list" && uri.contains("/secrets") && !uri.contains("Selector=")
        })
        .collect();
    assert!(all_secrets.is_empty(), "{all_secrets:?}");
    let writes: Vec<_> = requests
        .iter()
        .filter(|(verb, uri, _)| {
            !matches!(verb.as_str(), "get" | "list" | "watch")
                && !uri.contains("authorization.k8s.io")
        })
        .collect();
    assert!(writes.is_empty(), "{writes:?}");
}

//! The registry probe from a pod on a real node: it sees what pods see, and the password stays with the caller.

use crate::fixture::Cluster;
use crate::registry_servers::{AMD64, registries};
use crate::servers::Servers;

/// The node as its pods reach it.
const NODE: &str = "10.88.0.1";

#[test]
fn images_are_looked_for_from_a_restricted_pod() {
    let mut servers = registries();
    let plain = servers.registry(2, "", "");
    Servers::push(plain, "team/app", "1", &[AMD64]);
    let locked = servers.registry_with_logins();
    let registry = format!("{NODE}:{locked}");
    let name = "node-registry";
    let cluster = Cluster::new(name);
    let label = "pod-security.kubernetes.io/enforce=restricted";
    cluster.kubectl(&["label", "namespace", name, label]);
    cluster.kubectl(&[
        "create",
        "secret",
        "docker-registry",
        "pull",
        &format!("--docker-server={registry}"),
        "--docker-username=alice",
        "--docker-password=alice-pw",
    ]);
    cluster.write(
        "spec.yaml",
        &format!(
            "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {{name: registry}}
spec:
  collectors:
  - clusterResources: {{exclude: true}}
  - registry:
      collectorName: release
      from: pod
      namespace: {name}
      images: ['{registry}/team/app:1', '{registry}/team/app:2']
      imagePullSecrets: [{{name: pull}}]
      plainHttp: ['{registry}']
"
        ),
    );
    let arguments = [
        "collect",
        "spec.yaml",
        "--output",
        "bundle.tar.gz",
        "--agent-image",
        "localhost/assay:1",
    ];
    let run = cluster.assay(&arguments).run();
    let bundle = cluster.bundle();
    let found = bundle.json("registry/release/reachability.json");
    assert_eq!(found["from"], "pod", "{found:#}\n{}", run.stderr);
    let images = found["images"].as_array().cloned().unwrap_or_default();
    let reasons: Vec<_> = images
        .iter()
        .map(|image| image["failure"]["reason"].as_str())
        .collect();
    assert_eq!(reasons, [None, Some("tagMissing")], "{found:#}");
    assert_eq!(found["credentials"][0]["outcome"], "accepted", "{found:#}");
    assert_eq!(bundle.holding("alice-pw"), [""; 0]);
    assert!(cluster.files_holding("alice-pw").is_empty());
    let left = ["get", "pods,secrets", "-l", "assay-run-id", "-o", "name"];
    assert_eq!(cluster.kubectl(&left), "");
}

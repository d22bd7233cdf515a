//! The images of pods, and troubleshoot's own collectors.

use super::servers::{AMD64, registries};
use super::{found, pull_secret, titled};
use crate::fixture::Cluster;
use crate::servers::Servers;

#[test]
fn the_images_of_pods_are_asked_for_with_their_own_secrets() {
    let cluster = Cluster::new("registry-pods");
    let mut servers = registries();
    let plain = servers.registry(2, "", "");
    Servers::push(plain, "team/app", "1", &[AMD64]);
    let locked = servers.registry_with_logins();
    let registry = format!("127.0.0.1:{locked}");
    pull_secret(&cluster, "alice", &registry, "alice", "alice-pw");
    for (name, secrets) in [("with", "[{name: alice}]"), ("without", "[]")] {
        cluster.apply(&format!(
            "
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  nodeName: kwok-0
  imagePullSecrets: {secrets}
  containers: [{{name: main, image: '{registry}/team/{}:1'}}]
",
            if name == "with" { "app" } else { "other" }
        ));
    }
    cluster.write("spec.yaml", &format!("
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {{name: registry}}
spec:
  collectors:
  - registry: {{workloads: {{}}, plainHttp: ['{registry}']}}
  - registryImages: {{collectorName: peer, namespace: {0}, imagePullSecret: {{name: alice}}, images: ['{registry}/team/app:1', '{registry}/team/app:2', '127.0.0.1:1/a:1']}}
  hostCollectors:
  - registryImages: {{images: ['{registry}/team/app:1'], username: alice, password: alice-pw}}
  analyzers:
  - registryReachability: {{}}
  - registryImages: {{collectorName: peer, outcomes: [{{fail: {{when: missing != 1, message: missing}}}}, {{fail: {{when: errors != 1, message: errors}}}}, {{pass: {{message: as it is}}}}]}}
  hostAnalyzers:
  - registryImages: {{outcomes: [{{pass: {{when: verified == 1, message: '{{{{ .Verified }}}}'}}}}, {{fail: {{message: x}}}}]}}
", cluster.namespace()));
    let arguments = [
        "collect",
        "spec.yaml",
        "-n",
        cluster.namespace(),
        "--format",
        "json",
        "--output",
        "bundle.tar.gz",
    ];
    let report = cluster.assay(&arguments).run().json();
    let bundle = cluster.bundle();
    let found = found(&bundle, "registry");
    let reasons: Vec<(&str, Option<&str>)> = found["images"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|image| {
            (
                image["wantedBy"][0].as_str().unwrap_or_default(),
                image["failure"]["reason"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        reasons,
        [
            ("registry-pods/Pod with", None),
            ("registry-pods/Pod without", Some("credentialsMissing"))
        ],
        "{found:#}"
    );
    assert_eq!(titled(&report, "pass", "peer").len(), 1, "{report:#}");
    assert_eq!(
        titled(&report, "pass", "Registry Images").len(),
        1,
        "{report:#}"
    );
    assert_eq!(bundle.holding("alice-pw"), [""; 0]);
}

//! The platforms of nodes, from the cluster and from a bundle: the same verdicts by either way.

use std::fs;

use super::layout::Layout;
use super::{API, Said, WEB, verify};
use crate::fixture::Cluster;

/// A node of another architecture, for all tests to see until it goes.
struct Node<'a>(&'a Cluster);

impl<'a> Node<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        cluster.apply(
            "
apiVersion: v1
kind: Node
metadata: {name: image-arm64, labels: {kubernetes.io/arch: arm64}}
status: {nodeInfo: {architecture: arm64, operatingSystem: linux, bootID: '', containerRuntimeVersion: 'containerd://2.0.0', kernelVersion: 6.1.0, kubeProxyVersion: v1.36.3, kubeletVersion: v1.36.3, machineID: '', osImage: Debian, systemUUID: ''}}
",
        );
        Self(cluster)
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        self.0
            .kubectl(&["delete", "node/image-arm64", "--ignore-not-found"]);
    }
}

#[test]
fn images_for_the_nodes_of_the_cluster_and_of_a_bundle() {
    let cluster = Cluster::alone("image-nodes");
    let _node = Node::new(&cluster);
    let work = cluster.work();
    Layout::new(&work.join("layout"))
        .image(WEB, &["amd64", "arm64"])
        .image(API, &["amd64"]);
    Layout::new(&work.join("mainframe")).image(WEB, &["s390x"]);
    let bundle = "nodes.tar.gz";
    cluster.write(
        "collect.yaml",
        "apiVersion: troubleshoot.sh/v1beta2\nkind: SupportBundle\nmetadata: {name: nodes}\nspec: {collectors: [{clusterResources: {}}]}\n",
    );
    cluster
        .assay(&["collect", "collect.yaml", "--output", bundle, "--quiet"])
        .run()
        .expect_code(0);
    for nodes in ["cluster", bundle] {
        let of_both = said(&cluster, "layout", nodes);
        assert_eq!(of_both.code, Some(4), "{nodes}: {:#}", of_both.report);
        let message = of_both.message("warn", "platforms");
        assert!(
            message.starts_with("1 of 2 images run on some nodes only")
                && message.contains(&format!("{API} lacks linux/arm64 (has linux/amd64)")),
            "{message}"
        );
        let of_none = said(&cluster, "mainframe", nodes);
        assert_eq!(of_none.code, Some(3), "{nodes}: {:#}", of_none.report);
        assert!(
            of_none
                .message("fail", "platforms")
                .contains("lacks linux/amd64, linux/arm64 (has linux/s390x)"),
            "{:#}",
            of_none.report
        );
    }
    let asked_for = |said: &Said| {
        let findings = said.report["warn"].as_array().into_iter().flatten();
        let observed = findings.filter_map(|finding| finding["observed"].as_str());
        observed
            .filter(|text| text.contains("asked for by"))
            .map(str::to_owned)
            .next()
    };
    let observed = asked_for(&said(&cluster, "layout", bundle)).unwrap_or_default();
    assert!(observed.contains("asked for by the nodes"), "{observed}");

    a_manifest_that_is_not_there(&cluster, bundle);
    what_cannot_be_known(&cluster);
}

fn said(cluster: &Cluster, archive: &str, nodes: &str) -> Said {
    let arguments = [
        "airgap",
        "verify",
        archive,
        "--nodes-from",
        nodes,
        "--quiet",
        "--format",
        "json",
    ];
    Said::from(cluster.assay(&arguments).run())
}

/// An index names arm64, a node is of arm64, and the manifest is not there.
fn a_manifest_that_is_not_there(cluster: &Cluster, bundle: &str) {
    let work = cluster.work();
    let index = fs::read_to_string(work.join("layout/index.json")).expect("an index");
    let blobs = work.join("layout/blobs/sha256");
    let manifest = manifest_of(&blobs, &index, "arm64");
    fs::remove_file(blobs.join(&manifest)).expect("a manifest");
    for nodes in ["cluster", bundle] {
        let said = said(cluster, "layout", nodes);
        assert_eq!(said.code, Some(3), "{nodes}: {:#}", said.report);
        let message = said.message("fail", "manifests");
        assert!(
            message.contains(&format!(
                "linux/arm64 manifest sha256:{manifest} is missing"
            )),
            "{message}"
        );
    }
    let amd64 = verify(&work, &["layout", "--platform", "linux/amd64"], None);
    assert_eq!(amd64.code, Some(4), "{:#}", amd64.report);
    assert!(amd64.ids("warn").contains("otherPlatforms"));
}

fn what_cannot_be_known(cluster: &Cluster) {
    // Who may not list nodes is told so, and nothing passes for platforms.
    let nobody = cluster.account(
        "nobody",
        "- {apiGroups: [''], resources: [pods], verbs: [list]}",
    );
    let arguments = [
        "airgap",
        "verify",
        "mainframe",
        "--nodes-from",
        "cluster",
        "--quiet",
        "--format",
        "json",
    ];
    let refused = Said::from(cluster.assay(&arguments).kubeconfig(&nobody).run());
    assert_eq!(refused.code, Some(5), "{:#}", refused.report);
    assert!(!refused.ids("pass").contains("platforms"));
    assert!(
        refused.report["unknown"]
            .to_string()
            .contains("the platforms of the nodes"),
        "{:#}",
        refused.report
    );
    // A bundle without nodes names the flag and the file.
    let arguments = [
        "airgap",
        "verify",
        "mainframe",
        "--output",
        "nothing.tar.gz",
        "--quiet",
    ];
    cluster.assay(&arguments).run().expect_code(0);
    let arguments = [
        "airgap",
        "verify",
        "mainframe",
        "--nodes-from",
        "nothing.tar.gz",
    ];
    let run = cluster.assay(&arguments).run().expect_code(1);
    assert!(
        run.stderr.contains("--nodes-from nothing.tar.gz")
            && run.stderr.contains("cluster-resources/nodes.json"),
        "{}",
        run.stderr
    );
}

/// The hex digest of the manifest for an architecture, of the first image of a layout.
fn manifest_of(blobs: &std::path::Path, index: &str, architecture: &str) -> String {
    let read = |text: &str| -> serde_json::Value { serde_json::from_str(text).expect("JSON") };
    let hex = |descriptor: &serde_json::Value| {
        let digest = descriptor["digest"].as_str().expect("a digest");
        digest.trim_start_matches("sha256:").to_owned()
    };
    let top = hex(&read(index)["manifests"][0]);
    let image = read(&fs::read_to_string(blobs.join(top)).expect("an index"));
    let manifests = image["manifests"].as_array().expect("manifests");
    let found = manifests
        .iter()
        .find(|it| it["platform"]["architecture"] == architecture);
    hex(found.expect("the architecture"))
}

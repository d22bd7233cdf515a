//! `s3` with `from: pod` on a real kubelet, in a namespace that enforces the *restricted* Pod Security Standard, against
//! a real object storage outside of it. The operator's consent to write travels with the request.

use crate::fixture::Cluster;
use crate::s3_servers::{ACCESS_KEY, BUCKET, REGION, SECRET_KEY, names};
use crate::servers::Servers;

/// The node as its pods reach it.
const NODE: &str = "10.88.0.1";

#[test]
fn an_object_storage_is_asked_and_written_to_from_a_restricted_pod() {
    let mut servers = Servers::new();
    let port = servers.minio().api;
    let cluster = Cluster::new("node-s3");
    let label = "pod-security.kubernetes.io/enforce=restricted";
    cluster.kubectl(&["label", "namespace", "node-s3", label]);
    cluster.kubectl(&[
        "create",
        "secret",
        "generic",
        "storage",
        &format!("--from-literal=AWS_ACCESS_KEY_ID={ACCESS_KEY}"),
        &format!("--from-literal=AWS_SECRET_ACCESS_KEY={SECRET_KEY}"),
    ]);
    cluster.write(
        "spec.yaml",
        &format!(
            "
apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {{name: s3}}
spec:
  collectors:
  - clusterResources: {{exclude: true}}
  - s3:
      collectorName: storage
      from: pod
      endpoint: http://{NODE}:{port}
      bucketName: {BUCKET}
      region: {REGION}
      prefix: team-a
      secret: {{namespace: node-s3, name: storage}}
      writes: true
  analyzers:
  - s3: {{collectorName: storage}}
"
        ),
    );
    let arguments = [
        "preflight",
        "spec.yaml",
        "--allow-writes",
        "--agent-image",
        "localhost/assay:1",
        "--debug",
        "--output",
        "bundle.tar.gz",
    ];
    // Signatures of version 2 are accepted, which warns.
    let run = cluster.assay(&arguments).run().expect_code(4);
    let bundle = cluster.bundle();
    let report = bundle.json("s3/storage.json");
    let steps = report["steps"].as_array().expect("steps");
    let outcome = |link: &str| {
        let step = steps.iter().find(|step| step["link"] == link);
        step.map(|step| step["outcome"].clone())
    };
    for link in [
        "auth",
        "bucket",
        "put",
        "checksumTrailer",
        "multipart",
        "delete",
    ] {
        assert_eq!(outcome(link), Some("passed".into()), "{link}: {report:#}");
    }
    let source = "Secret node-s3/storage, used from a pod";
    assert_eq!(report["target"]["source"], source, "{report:#}");
    assert_eq!(names(&servers.path("minio/artifacts")), [""; 0]);
    let left = cluster.kubectl(&["get", "pods,secrets", "-l", "assay-run-id", "-o", "name"]);
    assert_eq!(left, "");
    for secret in [ACCESS_KEY, SECRET_KEY] {
        assert!(cluster.files_holding(secret).is_empty(), "{}", run.stderr);
        assert_eq!(bundle.holding(secret), [""; 0]);
    }
}

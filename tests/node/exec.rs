//! Much output of a command, through kubelet and container runtime: whole, or said not to be.

use crate::fixture::Cluster;

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: localhost/busybox:1
    imagePullPolicy: Never
    command: [sleep, '3600']
";

/// 64 bytes each.
const LINES: usize = 480_000;

#[test]
fn thirty_megabytes_come_whole_or_are_said_to_be_short() {
    let cluster = Cluster::new("node-exec-much");
    cluster.apply(POD);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    cluster.write(
        "spec.yaml",
        &format!(
            "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {{name: exec}}
spec:
  collectors:
  - clusterResources: {{exclude: true}}
  - exec:
      collectorName: much
      name: out
      namespace: node-exec-much
      selector: [app=web]
      command: [sh, -c]
      args: ['yes {} | head -n {LINES}']
      timeout: 2m
",
            "x".repeat(63)
        ),
    );
    let run = cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run();
    let bundle = cluster.bundle();
    let printed = bundle.text("out/node-exec-much/web/much-stdout.txt").len();
    if printed == LINES * 64 {
        return;
    }
    // The runtime let go of the end because this machine was too slow: then nobody may take it for whole.
    let run = run.expect_code(5);
    assert!(
        run.stderr.contains("the end may be missing"),
        "{printed} bytes of {}: {}",
        LINES * 64,
        run.stderr
    );
}

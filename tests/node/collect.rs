//! Collectors that run something in the cluster, on a real kubelet: exec, runPod, and the logs of what ran.

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
    command: [sh, -c, 'echo password=planted-in-a-real-log; echo serving; exec sleep 3600']
  - name: crashing
    image: localhost/busybox:1
    imagePullPolicy: Never
    command: [sh, -c, 'echo crash; exit 3']
";

#[test]
fn logs_of_running_and_crashed_containers_are_collected_redacted() {
    let cluster = Cluster::new("node-logs");
    cluster.apply(POD);
    cluster.wait_for(
        "pod/web",
        "--for=jsonpath={.status.containerStatuses[?(@.name==\"crashing\")].restartCount}=1",
    );
    cluster.write(
        "spec.yaml",
        "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: logs}
spec:
  collectors:
  - clusterResources: {exclude: true}
  - logs: {name: web, namespace: node-logs, selector: [app=web]}
",
    );
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run()
        .expect_code(0);
    let bundle = cluster.bundle();
    let folder = "cluster-resources/pods/logs/node-logs/web";
    let log = bundle.text(&format!("{folder}/main.log"));
    assert!(log.ends_with("serving\n"), "{log}");
    assert_eq!(
        bundle.text(&format!("{folder}/crashing-previous.log")),
        "crash\n"
    );
    assert_eq!(bundle.holding("planted-in-a-real-log"), [""; 0]);
}

#[test]
fn exec_keeps_streams_and_exit_code() {
    let cluster = Cluster::new("node-exec");
    cluster.apply(POD);
    cluster.wait_for(
        "pod/web",
        "--for=jsonpath={.status.containerStatuses[?(@.name==\"main\")].ready}=true",
    );
    cluster.write(
        "spec.yaml",
        "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: exec}
spec:
  collectors:
  - clusterResources: {exclude: true}
  - exec:
      collectorName: good
      name: out
      namespace: node-exec
      selector: [app=web]
      containerName: main
      command: [sh, -c]
      args: ['echo to stdout; echo to stderr >&2']
  - exec:
      collectorName: bad
      name: out
      namespace: node-exec
      selector: [app=web]
      containerName: main
      command: [sh, -c]
      args: ['exit 7']
",
    );
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run()
        .expect_code(5);
    let bundle = cluster.bundle();
    assert_eq!(
        bundle.text("out/node-exec/web/good-stdout.txt"),
        "to stdout\n"
    );
    assert_eq!(
        bundle.text("out/node-exec/web/good-stderr.txt"),
        "to stderr\n"
    );
    let errors = bundle.text("out/node-exec/web/bad-errors.json");
    assert!(errors.contains('7'), "{errors}");
}

#[test]
fn run_pod_brings_its_log_and_leaves_no_pod() {
    let cluster = Cluster::new("node-run-pod");
    cluster.write(
        "spec.yaml",
        "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: run-pod}
spec:
  collectors:
  - clusterResources: {exclude: true}
  - runPod:
      collectorName: probe
      name: probe
      namespace: node-run-pod
      timeout: 60s
      podSpec:
        containers:
        - name: probe
          image: localhost/busybox:1
          imagePullPolicy: Never
          command: [sh, -c, 'echo probed from a pod']
",
    );
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run()
        .expect_code(0);
    let bundle = cluster.bundle();
    assert_eq!(
        bundle.text("cluster-resources/pods/logs/node-run-pod/probe/probe.log"),
        "probed from a pod\n"
    );
    assert!(bundle.has("probe/probe.json"), "{:#?}", bundle.paths());
    assert!(
        bundle.has("probe/probe-events.json"),
        "{:#?}",
        bundle.paths()
    );
    assert_eq!(cluster.kubectl(&["get", "pods", "-o", "name"]), "");
}

#[test]
fn a_pod_that_cannot_start_is_said_within_the_timeout_and_removed() {
    let cluster = Cluster::new("node-run-pod-stuck");
    cluster.write(
        "spec.yaml",
        "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: run-pod}
spec:
  collectors:
  - clusterResources: {exclude: true}
  - runPod:
      collectorName: stuck
      name: stuck
      namespace: node-run-pod-stuck
      timeout: 5s
      podSpec:
        containers:
        - name: stuck
          image: localhost/absent:1
          imagePullPolicy: Never
",
    );
    let run = cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run()
        .expect_code(5);
    assert!(run.stderr.contains("stuck"), "{}", run.stderr);
    assert_eq!(cluster.kubectl(&["get", "pods", "-o", "name"]), "");
}

//! `runPod` on a real kubelet when it does not go well: a failing command, a time-out, a run that is ended.

use rustix::process::Signal;
use serde_json::Value;

use crate::fixture::{Bundle, Cluster, Running, wait_until};

/// A spec that runs a shell command in a pod of the test's namespace.
fn spec(namespace: &str, command: &str, timeout: &str) -> String {
    format!(
        "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {{name: run-pod}}
spec:
  collectors:
  - clusterResources: {{exclude: true}}
  - runPod:
      collectorName: probe
      name: probe
      namespace: {namespace}
      timeout: {timeout}
      podSpec:
        restartPolicy: Never
        terminationGracePeriodSeconds: 0
        containers:
        - name: probe
          image: localhost/busybox:1
          imagePullPolicy: Never
          command: [sh, -c, '{command}']
"
    )
}

/// What the pod said, and what it left in the bundle besides.
fn log(cluster: &Cluster, bundle: &Bundle) -> String {
    let namespace = cluster.namespace();
    bundle.text(&format!(
        "cluster-resources/pods/logs/{namespace}/probe/probe.log"
    ))
}

fn record(bundle: &Bundle) -> Value {
    let manifest = bundle.json("manifest.json");
    let records = manifest["collectors"].as_array().into_iter().flatten();
    records
        .into_iter()
        .find(|record| record["collector"] == "runPod")
        .unwrap_or_else(|| panic!("no runPod in {manifest}"))
        .clone()
}

fn pods(cluster: &Cluster) -> String {
    cluster.kubectl(&["get", "pods", "-o", "name"])
}

/// Starts a run whose pod never ends, and waits until its log is being followed, which the debug log tells.
fn under_way(cluster: &Cluster, program: &str, arguments: &[&str]) -> Running {
    let command = "echo begun; exec sleep 3600";
    cluster.write("spec.yaml", &spec(cluster.namespace(), command, "10m"));
    let arguments = [arguments, &["--debug"]].concat();
    let mut running = cluster.called(program, &arguments).start();
    wait_until("the log is followed", || {
        assert!(!running.is_over(), "{}", running.stderr());
        running.stderr().contains("/pods/probe/log")
    });
    running
}

#[test]
fn a_command_that_fails_has_its_log_exit_code_and_events_kept() {
    let cluster = Cluster::new("node-run-pod-fails");
    let command = "echo trying; echo cannot reach it >&2; exit 3";
    cluster.write("spec.yaml", &spec(cluster.namespace(), command, "60s"));
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run()
        .expect_code(0);
    let bundle = cluster.bundle();
    // The node reads the two streams on its own, in any order.
    let log = log(&cluster, &bundle);
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["cannot reach it", "trying"]);
    let pod = bundle.json("probe/probe.json");
    // The pod's own phase follows its containers' a moment later.
    let state = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(state["exitCode"], 3, "{pod}");
    let events = bundle.text("probe/probe-events.json");
    assert!(events.contains("\"Started\""), "{events}");
    assert_eq!(record(&bundle)["outcome"], "complete");
    assert_eq!(pods(&cluster), "");
}

#[test]
fn at_its_timeout_the_log_so_far_is_kept_and_the_pod_removed() {
    let cluster = Cluster::new("node-run-pod-late");
    let command = "echo begun; exec sleep 3600";
    cluster.write("spec.yaml", &spec(cluster.namespace(), command, "8s"));
    let run = cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run()
        .expect_code(5);
    let said = "did not end within 8 s: container probe still runs";
    assert!(run.stdout.contains(said), "{}", run.stdout);
    let bundle = cluster.bundle();
    assert_eq!(log(&cluster, &bundle), "begun\n");
    assert_eq!(record(&bundle)["outcome"], "partial");
    let pod = bundle.json("probe/probe.json");
    assert_eq!(pod["status"]["phase"], "Running", "{pod}");
    assert_eq!(pods(&cluster), "");
}

#[test]
fn sigint_leaves_the_log_so_far_and_no_pod() {
    for (program, arguments, code, namespace) in [
        (
            "assay",
            vec!["collect", "spec.yaml", "--output", "bundle.tar.gz"],
            5,
            "node-run-pod-int",
        ),
        (
            "support-bundle",
            vec!["--interactive=false", "spec.yaml"],
            0,
            "node-run-pod-int-peer",
        ),
    ] {
        let cluster = Cluster::new(namespace);
        let running = under_way(&cluster, program, &arguments);
        running.signal(Signal::INT);
        let run = running.wait().expect_code(code);
        assert!(run.stderr.contains("SIGINT"), "{}", run.stderr);
        let bundle = cluster.bundle();
        let manifest = bundle.json("manifest.json");
        assert_eq!(manifest["ending"]["kind"], "signal", "{manifest}");
        assert_eq!(manifest["ending"]["detail"], "SIGINT", "{manifest}");
        let record = record(&bundle);
        assert_eq!(record["outcome"], "cancelled", "{record}");
        assert_eq!(log(&cluster, &bundle), "begun\n", "{record}");
        assert_eq!(pods(&cluster), "", "{program}");
    }
}

#[test]
fn what_sigkill_leaves_can_be_found_and_ends_by_itself() {
    let cluster = Cluster::new("node-run-pod-kill");
    let arguments = ["collect", "spec.yaml", "--output", "bundle.tar.gz"];
    let running = under_way(&cluster, "assay", &arguments);
    running.signal(Signal::KILL);
    assert_eq!(running.wait().code, None);
    let left = cluster.kubectl(&["get", "pods", "-l", "assay-run-id", "-o", "json"]);
    let left: Value = serde_json::from_str(&left).expect("kubectl prints JSON");
    let [pod] = left["items"].as_array().map_or(&[][..], Vec::as_slice) else {
        panic!("one pod is left: {left}");
    };
    let run_id = pod["metadata"]["labels"]["assay-run-id"].as_str();
    assert!(run_id.is_some_and(|id| !id.is_empty()), "{pod}");
    // The node ends it a minute after the run would have.
    assert_eq!(pod["spec"]["activeDeadlineSeconds"], 660, "{pod}");
    // Its process was one of this machine and is gone: that is enough to know that nobody uses it.
    let namespace = cluster.namespace();
    let clean = ["job", "clean", "--namespace", namespace, "--format", "json"];
    let cleaned = cluster.assay(&clean).run().expect_code(0).json();
    assert_eq!(cleaned["leftovers"][0]["runId"], run_id.unwrap_or_default());
    assert_eq!(cleaned["leftovers"][0]["outcome"], "removed", "{cleaned}");
    assert_eq!(pods(&cluster), "");
}

//! `from: pod` on a real kubelet: in a namespace that enforces the *restricted* Pod Security Standard, against a real
//! PostgreSQL outside of it.

use rustix::process::Signal;
use serde_json::Value;

use crate::fixture::{Bundle, Cluster, Running, wait_until};
use crate::postgres::Postgres;

const IMAGE: &str = "localhost/assay:1";

/// The node as its pods reach it.
const NODE: &str = "10.88.0.1";

/// A namespace that admits restricted pods only, with a Secret that holds a connection string, and a spec that uses it.
fn cluster(name: &str, uri: &str) -> Cluster {
    let cluster = Cluster::new(name);
    let label = "pod-security.kubernetes.io/enforce=restricted";
    cluster.kubectl(&["label", "namespace", name, label]);
    cluster.kubectl(&[
        "create",
        "secret",
        "generic",
        "db",
        &format!("--from-literal=uri={uri}"),
    ]);
    cluster.write(
        "spec.yaml",
        &format!(
            "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {{name: agent}}
spec:
  collectors:
  - clusterResources: {{exclude: true}}
  - postgres:
      collectorName: db
      from: pod
      secret: {{namespace: {name}, name: db}}
      timeout: 2m
"
        ),
    );
    cluster
}

const COLLECT: [&str; 4] = ["collect", "spec.yaml", "--output", "bundle.tar.gz"];

fn with_image(image: &'static str) -> Vec<&'static str> {
    [&COLLECT[..], &["--agent-image", image, "--debug"]].concat()
}

fn record(bundle: &Bundle) -> Value {
    let manifest = bundle.json("manifest.json");
    let records = manifest["collectors"].as_array().into_iter().flatten();
    records
        .into_iter()
        .find(|record| record["collector"] == "postgres")
        .unwrap_or_else(|| panic!("no postgres in {manifest}"))
        .clone()
}

/// What the run left in the namespace.
fn left(cluster: &Cluster) -> String {
    cluster.kubectl(&["get", "pods,secrets", "-l", "assay-run-id", "-o", "name"])
}

#[test]
fn a_probe_from_a_restricted_pod_brings_its_files_and_leaves_nothing() {
    let server = Postgres::start(15);
    let uri = format!("postgres://app:app-pw@{NODE}:{}/app", server.port());
    let cluster = cluster("node-agent", &uri);
    let run = cluster.assay(&with_image(IMAGE)).run();
    let bundle = cluster.bundle();
    let record = record(&bundle);
    assert_eq!(record["outcome"], "complete", "{record}\n{}", run.stderr);
    let limits = bundle.json("postgres/db/limits.json");
    assert_eq!(limits["isConnected"], true, "{limits}");
    assert_eq!(bundle.json("postgres/db.json")["isConnected"], true);
    let source = "Secret node-agent/db, key uri, used from a pod";
    assert_eq!(limits["target"]["source"], source, "{limits}");
    // The server saw somebody from the pods' network.
    assert!(limits.to_string().contains("10.88.0."), "{limits}");
    assert_eq!(left(&cluster), "");
    assert!(cluster.files_holding("app-pw").is_empty());
    assert_eq!(bundle.holding("app-pw"), [""; 0]);
}

#[test]
fn the_environment_names_the_image_too_and_none_is_said() {
    let cluster = cluster("node-agent-environment", "postgres://app@10.88.0.1:1/app");
    let run = cluster.assay(&COLLECT).run().expect_code(5);
    assert!(run.stdout.contains("pass --agent-image"), "{}", run.stdout);
    std::fs::remove_file(cluster.work().join("bundle.tar.gz")).expect("the first bundle");
    cluster
        .assay(&COLLECT)
        .env("ASSAY_AGENT_IMAGE", IMAGE)
        .run();
    let bundle = cluster.bundle();
    let limits = bundle.json("postgres/db/limits.json");
    assert_eq!(limits["failure"]["reason"], "connectionRefused", "{limits}");
    assert_eq!(left(&cluster), "");
}

#[test]
fn a_wrong_image_is_said_and_removed() {
    for (namespace, image, words) in [
        (
            "node-agent-absent",
            "localhost/absent:1",
            &["cannot start", "localhost/absent:1"][..],
        ),
        (
            "node-agent-busybox",
            "localhost/busybox:1",
            &["localhost/busybox:1", "assay"][..],
        ),
    ] {
        let cluster = cluster(namespace, "postgres://app@10.88.0.1:1/app");
        let run = cluster.assay(&with_image(image)).run().expect_code(5);
        let error = record(&cluster.bundle())["error"].to_string();
        for word in words {
            assert!(error.contains(word), "{word}: {error}\n{}", run.stderr);
        }
        assert_eq!(left(&cluster), "");
    }
}

#[test]
fn a_quota_that_refuses_the_pod_is_said() {
    let cluster = cluster("node-agent-quota", "postgres://app@10.88.0.1:1/app");
    cluster.kubectl(&["create", "quota", "small", "--hard=pods=0"]);
    wait_until("the quota is in force", || {
        let status = [
            "get",
            "quota",
            "small",
            "-o",
            "jsonpath={.status.hard.pods}",
        ];
        cluster.kubectl(&status) == "0"
    });
    cluster.assay(&with_image(IMAGE)).run().expect_code(5);
    let error = record(&cluster.bundle())["error"].to_string();
    assert!(error.contains("exceeded quota: small"), "{error}");
    assert_eq!(left(&cluster), "");
}

/// Starts a run whose pod waits for a server that accepts and never answers.
fn under_way(cluster: &Cluster) -> Running {
    let mut running = cluster.assay(&with_image(IMAGE)).start();
    wait_until("the log is followed", || {
        assert!(!running.is_over(), "{}", running.stderr());
        running.stderr().contains("/log")
    });
    running
}

#[test]
fn sigint_removes_pod_and_secret() {
    let silent = std::net::TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = silent.local_addr().expect("its address").port();
    let uri = format!("postgres://app:app-pw@{NODE}:{port}/app?connect_timeout=100");
    let cluster = cluster("node-agent-int", &uri);
    let running = under_way(&cluster);
    // The credential is out of the cluster as soon as the pod has it.
    wait_until("the Secret is removed", || {
        let secrets = ["get", "secrets", "-l", "assay-run-id", "-o", "name"];
        cluster.kubectl(&secrets).is_empty()
    });
    running.signal(Signal::INT);
    running.wait().expect_code(5);
    let bundle = cluster.bundle();
    assert_eq!(record(&bundle)["outcome"], "cancelled");
    assert_eq!(left(&cluster), "");
}

#[test]
fn what_sigkill_leaves_ends_by_itself_and_holds_no_secret() {
    let silent = std::net::TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = silent.local_addr().expect("its address").port();
    let uri = format!("postgres://app:app-pw@{NODE}:{port}/app?connect_timeout=100");
    let cluster = cluster("node-agent-kill", &uri);
    let running = under_way(&cluster);
    running.signal(Signal::KILL);
    running.wait();
    wait_until("one pod is left", || {
        let left = left(&cluster);
        left.lines().count() == 1 && left.starts_with("pod/")
    });
    let deadline = ["get", "pods", "-l", "assay-run-id", "-o"];
    let deadline = [
        &deadline[..],
        &["jsonpath={.items[0].spec.activeDeadlineSeconds}"],
    ]
    .concat();
    let seconds = cluster.kubectl(&deadline).parse::<u32>();
    assert!(seconds.is_ok_and(|seconds| seconds < 600));
}

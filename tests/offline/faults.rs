//! An API server that misbehaves in one place: that costs no more than that place, is said, and passes nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fixture::{Bench, Ran, Served, members, recorded, verdicts};
use crate::relay::{Fault, Relay};

/// Decides by the request's path with its query, by how many requests of this path there were before, and by the
/// document that the server answered.
type Decision = fn(&str, usize, &Value) -> Fault;

const SPEC: &str = "apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {name: p}
spec:
  collectors:
    - logs: {name: logs, namespace: mlops, selector: [app=mlflow]}
  analyzers:
    - clusterVersion:
        checkName: Version
        outcomes:
          - pass: {message: there}
    - clusterPodStatuses:
        checkName: Pods
        namespaces: [velero]
        outcomes:
          - fail: {when: \"!= Healthy\", message: not healthy}
          - pass: {message: healthy}
    - nodeResources:
        checkName: Nodes
        outcomes:
          - fail: {when: \"count() < 5\", message: too few}
          - pass: {message: enough}
    - textAnalyze:
        checkName: Logs
        fileName: logs/*/*.log
        regex: panic
        outcomes:
          - fail: {when: \"true\", message: it panics}
          - pass: {when: \"false\", message: it does not}
";

fn is_list_of_pods(path: &str) -> bool {
    path.starts_with("api/v1/pods?") && !path.contains("labelSelector")
}

/// A preflight through the relay, judged again from its bundle.
fn preflight(bench: &Bench, kubeconfig: &std::path::Path, name: &str) -> Ran {
    let output = format!("{name}.tar.gz");
    let arguments = ["preflight", "spec.yaml", "--format", "json", "--output"];
    let live = Bench::run(
        bench
            .assay()
            .args(arguments)
            .args([&output, "--kubeconfig"])
            .arg(kubeconfig),
    );
    let arguments = ["analyze", "spec.yaml", "--format", "json", "--bundle"];
    let offline = Bench::run(bench.assay().args(arguments).arg(&output));
    assert_eq!(verdicts(&live.json()), verdicts(&offline.json()), "{name}");
    live
}

fn titles(report: &Value, verdict: &str) -> Vec<String> {
    let list = report[verdict].as_array().into_iter().flatten();
    list.map(|finding| finding["title"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// The names in a list, sorted; twice where an object is in it twice.
fn pods(list: &[u8]) -> Vec<String> {
    let list: Value = serde_json::from_slice(list).expect("a list");
    let items = list["items"].as_array().into_iter().flatten();
    let mut names: Vec<String> = items
        .map(|item| item["metadata"]["name"].to_string())
        .collect();
    names.sort();
    names
}

/// Faults that a second try mends, with the exit code: a list that had to be started over may not be of one moment,
/// and that is said.
const MENDED: [(&str, i32, Decision); 3] = [
    ("busy", 0, |path, count, _| {
        if is_list_of_pods(path) && count == 0 {
            Fault::Status(429, "TooManyRequests", "please come again")
        } else {
            Fault::None
        }
    }),
    ("expired", 5, |path, count, document| {
        if path.contains("continue=stale") {
            return Fault::Status(410, "Expired", "the continue token is too old");
        }
        if !is_list_of_pods(path) || count > 0 {
            return Fault::None;
        }
        let mut page = document.clone();
        if let Some(items) = page["items"].as_array_mut() {
            items.truncate(3);
        }
        page["metadata"]["continue"] = "stale".into();
        Fault::Document(page)
    }),
    ("broken off", 0, |path, count, _| {
        if is_list_of_pods(path) && count == 0 {
            Fault::Half
        } else {
            Fault::None
        }
    }),
];

/// Faults that stay: which check they leave without an answer, what the manifest says, and the exit code.
const LASTING: [(&str, Decision, &str, &str, i32); 4] = [
    (
        "malformed item",
        |path, _, document| {
            if !is_list_of_pods(path) {
                return Fault::None;
            }
            // In the pod of the namespace that is asked about.
            let text = document.to_string();
            Fault::Bytes(text.replace("\"velero-", "nonsense\"velero-").into_bytes())
        },
        "Pods",
        "pods",
        5,
    ),
    (
        "refused kind",
        |path, _, _| {
            if path.starts_with("api/v1/nodes") {
                Fault::Status(403, "Forbidden", "nodes is forbidden")
            } else {
                Fault::None
            }
        },
        "Nodes",
        "nodes",
        5,
    ),
    (
        "failing kind",
        |path, _, _| {
            if path.starts_with("api/v1/nodes") {
                Fault::Status(500, "InternalError", "etcdserver: request timed out")
            } else {
                Fault::None
            }
        },
        "Nodes",
        "etcdserver: request timed out",
        5,
    ),
    (
        "pod that vanishes",
        |path, _, _| {
            if path.contains("/pods/mlflow-") && path.contains("/log?") {
                Fault::Status(404, "NotFound", "pods \"mlflow\" not found")
            } else {
                Fault::None
            }
        },
        "Logs",
        "not found",
        // What is not there any more is no failure: there is nothing to judge.
        0,
    ),
];

/// A bench with the spec and the recorded cluster, and what the undisturbed run says and bundles.
fn undisturbed() -> (Bench, Served, Value, BTreeMap<String, Vec<u8>>) {
    let bench = Bench::new();
    bench.write("spec.yaml", SPEC);
    let served = Served::start(&bench, &recorded());
    let whole = preflight(&bench, &served.kubeconfig, "whole").exits(0);
    let members = members(&bench.work().join("whole.tar.gz"));
    (bench, served, verdicts(&whole.json()), members)
}

#[test]
fn what_a_second_try_mends_costs_nothing() {
    let (bench, served, expected, of_whole) = undisturbed();
    for (name, code, decide) in MENDED {
        let relay = Relay::start(&bench, &served, move |request| {
            decide(request.path, request.of_this_path, request.document)
        });
        let ran = preflight(&bench, &relay.kubeconfig, name).exits(code);
        let report = verdicts(&ran.json());
        for verdict in ["pass", "warn", "fail"] {
            assert_eq!(report[verdict], expected[verdict], "{name}");
        }
        assert_eq!(titles(&report, "unknown").is_empty(), code == 0, "{name}");
        let found = members(&bench.work().join(format!("{name}.tar.gz")));
        for (path, bytes) in &of_whole {
            let is_log = path.starts_with("cluster-resources/pods/logs/");
            if path.starts_with("cluster-resources/pods/") && !is_log {
                assert_eq!(pods(&found[path]), pods(bytes), "{name}: {path}");
            }
        }
        let manifest = String::from_utf8_lossy(&found["manifest.json"]).into_owned();
        let told = if code == 0 {
            "\"retries\": 1"
        } else {
            "its continue token expired"
        };
        assert!(manifest.contains(told), "{name}: {manifest}");
    }
}

#[test]
fn what_stays_broken_costs_no_more_than_itself() {
    let (bench, served, _, of_whole) = undisturbed();
    for (name, decide, title, said, code) in LASTING {
        let relay = Relay::start(&bench, &served, move |request| {
            decide(request.path, request.of_this_path, request.document)
        });
        let ran = preflight(&bench, &relay.kubeconfig, name);
        let report = ran.json();
        let mut passed = titles(&report, "pass");
        passed.dedup();
        let others = ["Version", "Pods", "Nodes", "Logs"].into_iter();
        let others: Vec<&str> = others.filter(|other| *other != title).collect();
        assert_eq!(passed, others, "{name}: {report:#}");
        let list = if code == 0 {
            "notApplicable"
        } else {
            "unknown"
        };
        assert_eq!(titles(&report, list), [title], "{name}: {report:#}");
        let found = members(&bench.work().join(format!("{name}.tar.gz")));
        let manifest = String::from_utf8_lossy(&found["manifest.json"]).into_owned();
        assert!(manifest.contains(said), "{name}: {manifest}");
        ran.exits(code);
        // Nothing else is lost.
        for path in of_whole.keys() {
            let concerned = path.contains("/nodes")
                || path.contains("velero")
                || path.contains("mlflow")
                || path.contains("pods/logs");
            assert!(concerned || found.contains_key(path), "{name}: {path}");
        }
    }
}

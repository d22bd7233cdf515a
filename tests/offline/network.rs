//! A network that spoils every n-th answer, whatever was asked: the run ends by its deadline with a bundle that says what
//! is missing, and no list is shorter in silence.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fixture::{Bench, Served, members, recorded, verdicts};
use crate::relay::{Fault, Relay, Request};

const SPEC: &str = "apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: s}
spec:
  collectors:
    - clusterInfo: {}
    - clusterResources: {}
    - logs: {name: app, namespace: mlops, selector: [app=mlflow]}
  analyzers:
    - clusterPodStatuses:
        checkName: Pods
        outcomes:
          - fail: {when: \"!= Healthy\", message: not healthy}
          - pass: {message: healthy}
    - nodeResources:
        checkName: Nodes
        outcomes:
          - fail: {when: \"count() < 5\", message: too few}
          - pass: {message: enough}
";

/// Longer than any of these runs takes where nothing stalls, and what a run that stalls takes.
const DEADLINE: Duration = Duration::from_secs(6);

/// What the harness has after its deadline for closing the bundle and judging it, on a loaded machine.
const GRACE: Duration = Duration::from_mins(1);

/// What is done to an answer, and which are meant: one in so many, of those whose path begins so.
struct Network {
    name: &'static str,
    fault: fn() -> Fault,
    every: usize,
    of: &'static str,
}

const NETWORKS: [Network; 12] = [
    network("stalls discovery", || Fault::Stall, 1, "api?"),
    network("stalls lists", || Fault::Stall, 3, "api"),
    network(
        "stalls logs",
        || Fault::Stall,
        1,
        "api/v1/namespaces/mlops/pods/",
    ),
    network("resets", || Fault::Reset, 2, ""),
    network("resets everything", || Fault::Reset, 1, ""),
    network("truncates", || Fault::Half, 3, ""),
    network("truncates lists", || Fault::Half, 1, "api/v1/pods?"),
    network("corrupts", || Fault::Corrupt, 3, "api"),
    network("corrupts lists", || Fault::Corrupt, 1, "api/v1/pods?"),
    network("corrupts discovery", || Fault::Corrupt, 1, "apis?"),
    network("delays", || Fault::Delay(Duration::from_millis(300)), 5, ""),
    network(
        "delays beyond the end",
        || Fault::Delay(Duration::from_secs(30)),
        4,
        "",
    ),
];

const fn network(
    name: &'static str,
    fault: fn() -> Fault,
    every: usize,
    of: &'static str,
) -> Network {
    Network {
        name,
        fault,
        every,
        of,
    }
}

impl Network {
    fn decide(&self, request: &Request<'_>) -> Fault {
        // Discovery has no query, but may have one.
        let path = format!("{}?", request.path.trim_end_matches('/'));
        if path.starts_with(self.of) && (request.of_all + 1).is_multiple_of(self.every) {
            (self.fault)()
        } else {
            Fault::None
        }
    }
}

/// The names in every list of a bundle.
fn lists(members: &BTreeMap<String, Vec<u8>>) -> BTreeMap<&str, BTreeSet<String>> {
    let lists = members.iter().filter_map(|(path, bytes)| {
        let list: Value = serde_json::from_slice(bytes).ok()?;
        let items = list.get("items")?.as_array()?;
        let names = items
            .iter()
            .map(|item| item["metadata"]["name"].to_string());
        Some((path.as_str(), names.collect()))
    });
    lists.collect()
}

/// Collects through a network and holds what came of it against the undisturbed bundle; whether it is less.
fn check(network: &'static Network, bench: &Bench, served: &Served, whole: &Path) -> bool {
    let name = network.name;
    let relay = Relay::start(bench, served, |request| network.decide(request));
    let output = format!("{}.tar.gz", name.replace(' ', "-"));
    let seconds = format!("{}s", DEADLINE.as_secs());
    let mut command = bench.assay();
    command.args([
        "collect",
        "spec.yaml",
        "--format",
        "json",
        "--deadline",
        &seconds,
    ]);
    command
        .args(["--output", &output, "--kubeconfig"])
        .arg(&relay.kubeconfig);
    let started = Instant::now();
    let live = Bench::run(&mut command);
    let took = started.elapsed();
    assert!(took < DEADLINE + GRACE, "{name}: {took:?}");
    if live.code == Some(1) && !bench.work().join(&output).exists() {
        // There is no cluster to be seen behind such a network: one error, which says so.
        let said = live.says(&["error: "]);
        assert_eq!(name, "resets everything", "{}", said.stderr);
        return true;
    }
    let report = live.json();
    let arguments = [
        "analyze",
        "spec.yaml",
        "--format",
        "json",
        "--bundle",
        &output,
    ];
    let offline = bench.assay_run(arguments);
    assert_eq!(verdicts(&report), verdicts(&offline.json()), "{name}");
    let whole = members(whole);
    let found = members(&bench.work().join(&output));
    let (expected, lists) = (lists(&whole), lists(&found));
    let missing: Vec<&str> = expected
        .iter()
        .filter(|(path, names)| lists.get(*path) != Some(names))
        .map(|(path, _)| *path)
        .collect();
    let logs = |members: &BTreeMap<String, Vec<u8>>| {
        let logs = members.iter().filter(|(path, _)| path.contains("/logs/"));
        logs.map(|(path, bytes)| (path.clone(), bytes.clone()))
            .collect::<BTreeMap<_, _>>()
    };
    let is_less = !missing.is_empty() || logs(&whole) != logs(&found);
    let verify = bench.assay_run(["verify", "--format", "json", &output]);
    let verified = verify.json();
    assert!(
        ["whole", "incomplete"].contains(&verified["verdict"].as_str().unwrap_or_default()),
        "{name}: {verified:#}"
    );
    if is_less {
        assert_eq!(verified["verdict"], "incomplete", "{name}: {missing:?}");
        // A check that fails comes before what is missing.
        assert!(matches!(live.code, Some(3 | 5)), "{name}: {missing:?}");
    }
    // Every list that is missing or shorter is somebody's gap.
    let gaps = verified["missing"].to_string();
    for path in missing {
        let (folder, _) = path.rsplit_once('/').unwrap_or((path, ""));
        let kind = path
            .trim_start_matches("cluster-resources/")
            .split(['/', '.'])
            .next();
        let kind = kind.unwrap_or_default();
        let is_told = [path, folder, kind]
            .iter()
            .any(|words| gaps.contains(words))
            || gaps.contains("cluster-resources/*")
            || gaps.contains("\"**\"");
        assert!(
            is_told,
            "{name}: nobody says that {path} is not whole: {gaps}"
        );
    }
    is_less
}

#[test]
fn every_nth_answer_spoilt_costs_what_is_said_and_no_more() {
    let bench = Bench::new();
    bench.write("spec.yaml", SPEC);
    let served = Served::start(&bench, &recorded());
    let mut command = bench.assay();
    command.args([
        "collect",
        "spec.yaml",
        "--output",
        "whole.tar.gz",
        "--kubeconfig",
    ]);
    let ran = Bench::run(command.arg(&served.kubeconfig));
    assert!(matches!(ran.code, Some(0 | 3 | 4)), "{}", ran.stderr);
    let whole = bench.work().join("whole.tar.gz");
    // Most of their time is waiting.
    let mut less = Vec::new();
    for batch in NETWORKS.chunks(4) {
        thread::scope(|scope| {
            let runs = batch.iter().map(|network| {
                let (bench, served, whole) = (&bench, &served, &whole);
                let run = scope.spawn(move || check(network, bench, served, whole));
                (network.name, run)
            });
            for (name, run) in runs.collect::<Vec<_>>() {
                if run.join().expect("a run that holds") {
                    less.push(name);
                }
            }
        });
    }
    // Where every answer of a kind is spoilt, no second try mends it.
    for network in NETWORKS.iter().filter(|network| network.every == 1) {
        let name = network.name;
        assert!(
            less.contains(&name),
            "{name} cost nothing; these did: {less:?}"
        );
    }
}

//! A live verdict is the offline verdict.

use std::fs;
use std::path::{Path, PathBuf};

use assay::packs::PACKS;

use crate::fixture::{Bench, Served, recorded, verdicts};

/// Every spec under `tests/specs`, the demo's, and every pack.
fn specs() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found: Vec<PathBuf> = fs::read_dir(root.join("tests/specs"))
        .expect("tests/specs")
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    found.push(root.join("demo/preflight.yaml"));
    found.sort();
    found.extend(
        PACKS
            .iter()
            .map(|pack| format!("pack:{}", pack.name).into()),
    );
    found
}

#[test]
fn live_equals_offline_for_every_spec() {
    let bench = Bench::new();
    let served = Served::start(&bench, &recorded());
    let all = specs();
    assert!(all.len() > 3, "{all:?}");
    for spec in all {
        let bundle = bench.work().join("live.tar.gz");
        let live = Bench::run(
            bench
                .assay()
                .args(["preflight", "--format", "json", "--kubeconfig"])
                .arg(&served.kubeconfig)
                .arg("--output")
                .arg(&bundle)
                .arg(&spec),
        );
        let offline = Bench::run(
            bench
                .assay()
                .args(["analyze", "--format", "json", "--bundle"])
                .arg(&bundle)
                .arg(&spec),
        );
        let spec = spec.display();
        let live = verdicts(&live.json());
        assert_eq!(live, verdicts(&offline.json()), "{spec}");
        let results = live.as_object().into_iter().flatten();
        let count: usize = results
            .filter_map(|(_, list)| list.as_array())
            .map(Vec::len)
            .sum();
        assert!(count > 0, "{spec} gave no result at all");
        fs::remove_file(&bundle).expect("the bundle");
    }
}

#[test]
fn what_a_served_bundle_never_held_is_unknown_and_not_absent() {
    let bench = Bench::new();
    let held = bench.work().join("held");
    for (path, text) in [
        ("version.yaml", "kind: SupportBundle\n"),
        (
            "cluster-resources/namespaces.json",
            r#"{"kind":"NamespaceList","apiVersion":"v1","items":[{"metadata":{"name":"shop"}}]}"#,
        ),
        (
            "cluster-resources/pods/shop.json",
            r#"{"kind":"PodList","apiVersion":"v1","items":[]}"#,
        ),
        (
            "cluster-info/cluster_version.json",
            r#"{"info":{"major":"1","minor":"33","gitVersion":"v1.33.0"},"string":"v1.33.0"}"#,
        ),
    ] {
        let path = held.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file of the bundle");
    }
    let served = Served::start(&bench, &held);
    let spec = bench.write(
        "spec.yaml",
        "
apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {name: held}
spec:
  analyzers:
  - storageClass: {checkName: Storage, storageClassName: fast, outcomes: [{fail: {message: none}}, {pass: {message: some}}]}
  - deploymentStatus: {name: web, namespace: shop, outcomes: [{fail: {when: absent, message: gone}}, {pass: {message: there}}]}
  - customResourceDefinition: {customResourceDefinitionName: a.example.org, outcomes: [{fail: {message: none}}, {pass: {message: some}}]}
",
    );
    let ran = Bench::run(
        bench
            .assay()
            .args(["preflight", "--format", "json", "--kubeconfig"])
            .arg(&served.kubeconfig)
            .arg(&spec),
    )
    .exits(5);
    let report = ran.json();
    let unknown = report["unknown"].as_array().map_or(0, Vec::len);
    assert_eq!(unknown, 3, "{report:#}");
}

#[test]
fn the_demo_shows_every_verdict() {
    let bench = Bench::new();
    let ran = bench
        .assay_run(["demo", "--output", "demo.tar.gz"])
        .exits(0);
    for word in ["pass ", "warn ", "fail ", "unknown "] {
        assert!(
            ran.stdout.lines().any(|line| line.starts_with(word)),
            "no {word:?} in {}",
            ran.stdout
        );
    }
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/preflight.yaml");
    let offline = Bench::run(
        bench
            .assay()
            .args(["analyze", "--bundle", "demo.tar.gz", "--format", "json"])
            .arg(spec),
    );
    offline.exits(3);
}

#[test]
fn what_probes_recorded_is_judged_without_them() {
    let bench = Bench::new();
    for (pack, words) in [
        ("pack:s3", "eu-central-1"),
        ("pack:registry", "layers that are missing"),
        ("pack:airgap", "summarizer"),
    ] {
        let mut command = bench.assay();
        command.args(["analyze", "--format", "json", pack, "--bundle"]);
        let ran = Bench::run(command.arg(recorded())).exits(3);
        let failed = ran.json()["fail"].to_string();
        assert!(failed.contains(words), "{pack}: {failed}");
    }
}

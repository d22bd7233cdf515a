//! The names that vendors' scripts call: troubleshoot's flags, stdout and exit codes.

use serde_json::Value;

use crate::fixture::{Bench, Served, recorded};

const PREFLIGHT: &str = "apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {name: p}
spec:
  analyzers:
    - clusterVersion:
        outcomes:
          - pass: {message: \"a < b & c\"}
    - nodeResources:
        checkName: Nodes
        outcomes:
          - warn: {when: \"count() >= 1\", message: there are nodes, uri: https://example.com}
    - deploymentStatus: {name: gone, namespace: mlops, outcomes: [{fail: {when: \"< 1\", message: m}}]}
";

#[test]
fn preflight_prints_one_json_object() {
    let bench = Bench::new();
    let served = Served::start(&bench, &recorded());
    bench.write("p.yaml", PREFLIGHT);
    for name in ["preflight", "kubectl-preflight"] {
        let ran = Bench::run(
            bench
                .called(name)
                .args(["--interactive=false", "--format=json", "p.yaml"])
                .env("KUBECONFIG", &served.kubeconfig)
                .env("PREFLIGHT_AUTO_UPDATE", "false"),
        )
        .exits(3);
        let report = ran.json();
        assert!(
            ran.stdout
                .starts_with("{\n  \"pass\": [\n    {\n      \"title\": ")
        );
        assert!(ran.stdout.contains("a \\u003c b \\u0026 c"));
        assert_eq!(report["warn"][0]["title"], "Nodes");
        assert_eq!(report["warn"][0]["uri"], "https://example.com");
        assert_eq!(
            report["fail"][0]["message"],
            "The deployment \"gone\" was not found"
        );
        let keys: Vec<&String> = report
            .as_object()
            .into_iter()
            .flat_map(|map| map.keys())
            .collect();
        assert_eq!(keys, ["fail", "pass", "warn"]);
    }
    assert!(
        bench
            .bundles()
            .iter()
            .all(|path| path.to_string_lossy().contains("preflightbundle-"))
    );
    assert_eq!(bench.bundles().len(), 2);
}

#[test]
fn the_environment_sets_flags() {
    let bench = Bench::new();
    let served = Served::start(&bench, &recorded());
    bench.write("p.yaml", PREFLIGHT);
    let ran = Bench::run(
        bench
            .called("preflight")
            .arg("p.yaml")
            .env("KUBECONFIG", &served.kubeconfig)
            .env("PREFLIGHT_FORMAT", "json")
            .env("PREFLIGHT_INTERACTIVE", "false"),
    );
    ran.exits(3).json();
}

#[test]
fn preflight_s_human_form_ends_with_the_verdict() {
    let bench = Bench::new();
    let served = Served::start(&bench, &recorded());
    bench.write("p.yaml", PREFLIGHT);
    let ran = Bench::run(
        bench
            .called("preflight")
            .args(["p.yaml", "--interactive=false"])
            .env("KUBECONFIG", &served.kubeconfig),
    )
    .exits(3);
    assert!(
        ran.stdout
            .contains("   --- WARN: Nodes\n      --- there are nodes\n"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.ends_with("--- FAIL   p\nFAILED\n"),
        "{}",
        ran.stdout
    );
}

#[test]
fn support_bundle_names_its_archive() {
    let bench = Bench::new();
    let served = Served::start(&bench, &recorded());
    bench.write(
        "s.yaml",
        "apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: s}
spec:
  collectors: [{clusterInfo: {}}]
  analyzers: [{clusterVersion: {outcomes: [{fail: {message: too old}}]}}]
",
    );
    let ran = Bench::run(
        bench
            .called("kubectl-support_bundle")
            .args(["--interactive=false", "-o", "out", "s.yaml"])
            .env("KUBECONFIG", &served.kubeconfig),
    )
    .exits(0);
    let output = ran.json();
    let archive = bench.work().join("out.tar.gz");
    assert_eq!(
        output["archivePath"],
        Value::from(archive.display().to_string())
    );
    assert_eq!(output["analyzerResults"][0]["severity"], "error");
    assert_eq!(output["analyzerResults"][0]["insight"]["detail"], "too old");
    assert!(ran.stdout.contains("\n    \"analyzerResults\": ["));
    let members = crate::fixture::members(&archive);
    for path in [
        "version.yaml",
        "analysis.json",
        "execution-data/summary.txt",
        "manifest.json",
    ] {
        assert!(members.contains_key(path), "{path} is missing");
    }
}

#[test]
fn a_bundle_without_collectors_is_an_error_of_the_peer_s() {
    let bench = Bench::new();
    bench.write(
        "a.yaml",
        "apiVersion: troubleshoot.sh/v1beta2\nkind: Redactor\nmetadata: {name: a}\nspec: {redactors: []}\n",
    );
    Bench::run(bench.called("support-bundle").arg("a.yaml"))
        .exits(1)
        .says(&["no collectors specified to run"]);
}

#[test]
fn version_is_a_subcommand() {
    let bench = Bench::new();
    for name in ["preflight", "support-bundle"] {
        let ran = Bench::run(bench.called(name).arg("version")).exits(0);
        assert!(ran.stdout.contains(env!("CARGO_PKG_VERSION")));
        Bench::run(bench.called(name).arg("--version")).exits(1);
    }
}

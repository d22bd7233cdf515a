//! Budgets, the plan that is printed before a run, and what a killed run left, against a real API server.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

use crate::fixture::{Bundle, Cluster};

const LINES: usize = 3000;

/// A pod whose log, as kwok gives it out, has [`LINES`] lines, and one like it that is not ready.
fn chatty(cluster: &Cluster) {
    let mut log = String::new();
    for line in 0..LINES {
        let _ = writeln!(
            log,
            "2026-11-20T22:31:39.1Z stdout F line {line:05} of a long log"
        );
    }
    let file = cluster.write("chatty.log", &log);
    let file = file.display();
    cluster.apply(&format!(
        "
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Logs
metadata: {{name: web}}
spec: {{logs: [{{containers: [main], logsFile: {file}}}]}}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Logs
metadata: {{name: broken}}
spec: {{logs: [{{containers: [main], logsFile: {file}}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: web, labels: {{app: web}}}}
spec: {{nodeName: kwok-0, containers: [{{name: main, image: example.org/web:1}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: broken, labels: {{app: web}}}}
spec: {{nodeName: kwok-0, containers: [{{name: main, image: example.org/web:1}}]}}
"
    ));
    cluster.wait_for("pod/web", "--for=condition=Ready");
    cluster.wait_for("pod/broken", "--for=condition=Ready");
    cluster.kubectl(&[
        "patch",
        "pod/broken",
        "--subresource=status",
        "--type=merge",
        "-p",
        r#"{"status": {"phase": "Failed", "containerStatuses": [{"name": "main", "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}}"#,
    ]);
}

fn spec(namespace: &str) -> String {
    format!(
        "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {{name: budgets}}
spec:
  collectors:
  - clusterResources: {{exclude: true}}
  - logs: {{name: web, namespace: {namespace}, selector: [app=web]}}
  analyzers:
  - textAnalyze:
      checkName: panics
      fileName: web/*/main.log
      regex: panic
      outcomes:
      - fail: {{when: 'true', message: it panics}}
      - pass: {{when: 'false', message: it does not}}
"
    )
}

fn gaps(bundle: &Bundle, collector: &str) -> BTreeMap<String, String> {
    let manifest = bundle.json("manifest.json");
    let records = manifest["collectors"].as_array().into_iter().flatten();
    let gaps = records
        .filter(|record| record["collector"] == collector)
        .flat_map(|record| record["gaps"].as_array().cloned().unwrap_or_default());
    gaps.filter(|gap| gap["reason"] == "limit")
        .map(|gap| {
            let text = |field: &str| gap[field].as_str().unwrap_or_default().to_owned();
            (text("path"), text("detail"))
        })
        .collect()
}

#[test]
fn the_newest_of_a_log_is_kept_and_what_is_cut_decides_nothing() {
    let cluster = Cluster::new("budgets-log");
    chatty(&cluster);
    cluster.write("spec.yaml", &spec("budgets-log"));
    let arguments = [
        "collect",
        "spec.yaml",
        "--output",
        "bundle.tar.gz",
        "--max-log-bytes",
        "10Ki",
    ];
    let run = cluster.assay(&arguments).run().expect_code(5);
    assert!(
        run.stdout.contains("4 files cut or left out by a budget"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("unknown panics"), "{}", run.stdout);
    assert!(!run.stdout.contains("it does not"), "{}", run.stdout);
    let bundle = cluster.bundle();
    let log = bundle.text("cluster-resources/pods/logs/budgets-log/web/main.log");
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines[0].contains("line 00000"), "{log}");
    assert!(lines[lines.len() - 1].contains("line 02999"), "{log}");
    let cut = lines
        .iter()
        .filter(|line| line.starts_with("*** CUT: "))
        .count();
    assert_eq!(cut, 1, "{log}");
    assert!(log.len() <= (10 << 10) + 100);
    let kept = lines.len() - 1;
    let gaps = gaps(&bundle, "logs");
    let said = format!("{} lines, ", LINES - kept);
    for path in [
        "web/web/main.log",
        "cluster-resources/pods/logs/budgets-log/web/main.log",
    ] {
        assert!(gaps[path].starts_with(&said), "{gaps:?}");
    }
    let verified = cluster
        .assay(&["verify", "bundle.tar.gz"])
        .run()
        .expect_code(5);
    assert!(verified.stdout.contains("lines, "), "{}", verified.stdout);
}

#[test]
fn a_bundle_has_its_size_and_unhealthy_pods_come_first() {
    let cluster = Cluster::new("budgets-size");
    chatty(&cluster);
    let spec = spec("budgets-size").replace("  - clusterResources: {exclude: true}\n", "");
    // Half of what the two logs have: the healthy pod's is the one that is cut or missing.
    let spec = spec.replace(
        "selector: [app=web]",
        "selector: [app=web], budget: {maxBytes: 300Ki}",
    );
    cluster.write("spec.yaml", &spec);
    let arguments = [
        "collect",
        "spec.yaml",
        "--namespace",
        "budgets-size",
        "--output",
        "bundle.tar.gz",
        "--max-size",
        "1Mi",
    ];
    cluster.assay(&arguments).run().expect_code(5);
    let size = fs::metadata(cluster.work().join("bundle.tar.gz"))
        .expect("the bundle")
        .len();
    assert!(size <= 1 << 20, "{size} bytes");
    let bundle = cluster.bundle();
    let length = |pod: &str| {
        let path = format!("cluster-resources/pods/logs/budgets-size/{pod}/main.log");
        if bundle.has(&path) {
            bundle.text(&path).len()
        } else {
            0
        }
    };
    assert!(
        length("broken") > length("web"),
        "{} {}",
        length("broken"),
        length("web")
    );
}

/// The plan of a spec, and the bundle of the run of the same spec.
fn planned_and_run(cluster: &Cluster) -> (Value, Bundle) {
    let namespace = cluster.namespace();
    let account = cluster.administrator("planner");
    let flags = ["--namespace", namespace, "--format", "json"];
    let before: Vec<_> = fs::read_dir(cluster.work()).expect("the folder").collect();
    let plan = cluster
        .assay(&[&["collect", "spec.yaml", "--plan"], &flags[..]].concat())
        .kubeconfig(&account)
        .run()
        .expect_code(0)
        .json();
    let after = fs::read_dir(cluster.work()).expect("the folder").count();
    assert_eq!(before.len(), after, "the plan wrote something");
    let writes: Vec<_> = cluster
        .requests("planner")
        .into_iter()
        .filter(|(verb, uri, _)| {
            verb != "get" && verb != "list" && !(verb == "create" && uri.contains("reviews"))
        })
        .collect();
    assert_eq!(writes, []);
    cluster
        .assay(
            &[
                &["collect", "spec.yaml", "--output", "bundle.tar.gz"],
                &flags[..],
            ]
            .concat(),
        )
        .run();
    (plan, cluster.bundle())
}

#[test]
fn the_plan_foretells_the_run() {
    let cluster = Cluster::new("budgets-plan");
    chatty(&cluster);
    let mut maps = String::new();
    for map in 0..60 {
        let _ = write!(
            maps,
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: map-{map}, labels: {{app: web}}}}\ndata: {{a: b}}\n"
        );
    }
    cluster.apply(&maps);
    cluster.write(
        "spec.yaml",
        "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: plan}
spec:
  collectors:
  - clusterResources: {namespaces: [budgets-plan]}
  - logs: {name: web, namespace: budgets-plan, selector: [app=web]}
  - configMap: {namespace: budgets-plan, selector: [app=web]}
  - secret: {namespace: budgets-plan, name: absent}
",
    );
    let (plan, bundle) = planned_and_run(&cluster);
    let manifest = bundle.json("manifest.json");
    for foreseen in plan["collectors"].as_array().expect("collectors") {
        let records = manifest["collectors"].as_array().into_iter().flatten();
        let record = records
            .into_iter()
            .find(|record| record["title"] == foreseen["title"])
            .unwrap_or_else(|| panic!("no {} in {manifest}", foreseen["title"]));
        let reads = foreseen["reads"].as_array().expect("reads");
        let expected: u64 = reads
            .iter()
            .filter_map(|read| read["requests"].as_u64())
            .sum();
        let made = record["requests"].as_u64().unwrap_or(0);
        let (least, most) = (expected * 2 / 3, expected * 3 / 2 + 1);
        assert!(
            (least..=most).contains(&made),
            "{}: {expected} expected, {made} made",
            foreseen["title"]
        );
    }
    let objects = |collector: &str, what: &str| {
        let collectors = plan["collectors"].as_array().into_iter().flatten();
        let reads = collectors
            .filter(|foreseen| foreseen["collector"] == collector)
            .flat_map(|foreseen| foreseen["reads"].as_array().into_iter().flatten());
        let mut found = reads.filter(|read| {
            read["what"]
                .as_str()
                .is_some_and(|text| text.starts_with(what))
        });
        found.next().map(|read| read["objects"].clone())
    };
    for (kind, file) in [
        ("configmaps", "configmaps"),
        ("pods", "pods"),
        ("serviceaccounts", "serviceaccounts"),
    ] {
        let list = bundle.json(&format!("cluster-resources/{file}/budgets-plan.json"));
        let items = list["items"].as_array().map_or(0, Vec::len);
        let what = format!("{kind} in namespace");
        assert_eq!(
            objects("clusterResources", &what),
            Some(json!(items)),
            "{kind}"
        );
    }
    assert_eq!(objects("configMap", "configmaps"), Some(json!(60)));
    assert_eq!(objects("logs", "pods"), Some(json!(2)));
    assert_eq!(objects("secret", "secrets"), Some(json!(1)));
}

#[test]
fn the_plan_says_what_is_not_permitted_and_what_would_be_made() {
    let cluster = Cluster::new("budgets-rights");
    let account = cluster.account(
        "reader",
        "- {apiGroups: [''], resources: [pods], verbs: [get, list]}",
    );
    cluster.write(
        "spec.yaml",
        "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: rights}
spec:
  collectors:
  - clusterResources: {exclude: true}
  - runPod:
      name: probe
      namespace: budgets-rights
      podSpec: {containers: [{name: main, image: 'example.org/probe:1'}]}
",
    );
    let run = cluster
        .assay(&["collect", "spec.yaml", "--plan"])
        .kubeconfig(&account)
        .run()
        .expect_code(5);
    for said in [
        "run-pod  (not permitted)",
        "creates pods in namespace \"budgets-rights\"",
        "image example.org/probe:1",
        "not permitted: create pods in namespace \"budgets-rights\"",
        "cluster-resources  (excluded)",
    ] {
        assert!(run.stdout.contains(said), "{said}: {}", run.stdout);
    }
    assert_eq!(cluster.kubectl(&["get", "pods", "-o", "name"]), "");
}

#[test]
fn what_a_killed_run_left_is_found_by_its_label_and_removed() {
    let cluster = Cluster::new("budgets-clean");
    let object = |kind: &str, name: &str, run: &str, ends_by: &str, rest: &str| {
        format!(
            "---
apiVersion: v1
kind: {kind}
metadata: {{name: {name}, labels: {{assay-run-id: {run}}}, annotations: {{assay-ends-by: '{ends_by}'}}}}
{rest}
"
        )
    };
    let pod = "spec: {nodeName: kwok-0, containers: [{name: main, image: example.org/probe:1}]}";
    let (past, future) = ("2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
    let objects = [
        object("Pod", "old", "a-1", past, pod),
        object(
            "Secret",
            "old",
            "a-1",
            past,
            "stringData: {request: planted-request}",
        ),
        object("Pod", "other", "b-1", past, pod),
        object("Pod", "young", "c-1", future, pod),
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: theirs}\n".to_owned(),
    ];
    cluster.apply(&objects.concat());
    let names = || cluster.kubectl(&["get", "pods,secrets", "-o", "name"]);
    let everything = names();
    let clean = |flags: &[&str]| {
        let arguments = [&["job", "clean", "--namespace", "budgets-clean"], flags].concat();
        cluster.assay(&arguments).run()
    };
    let dry = clean(&["--dry-run"]).expect_code(5).stdout;
    assert_eq!(dry.matches("would remove").count(), 3, "{dry}");
    assert!(dry.contains("in use         pods/young"), "{dry}");
    assert_eq!(names(), everything);

    let one = clean(&["--run-id", "a-1", "--format", "json"])
        .expect_code(0)
        .json();
    let outcomes = one["leftovers"].as_array().into_iter().flatten();
    let outcomes: Vec<&Value> = outcomes.map(|leftover| &leftover["outcome"]).collect();
    assert_eq!(outcomes, ["removed", "removed"]);
    assert_eq!(names(), "pod/other\npod/young\nsecret/theirs\n");

    clean(&[]).expect_code(5);
    assert_eq!(names(), "pod/young\nsecret/theirs\n");
    clean(&["--force"]).expect_code(0);
    assert_eq!(names(), "secret/theirs\n");
    let nothing = clean(&[]).expect_code(0).stdout;
    assert_eq!(
        nothing,
        "Nothing of assay's is left in namespace \"budgets-clean\".\n"
    );
}

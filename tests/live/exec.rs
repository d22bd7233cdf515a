//! Commands in containers: output, failure, and one that never ends.

use crate::fixture::Cluster;

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeName: kwok-0
  containers:
  - {name: main, image: example.org/web:1}
";

fn spec(namespace: &str, command: &str, timeout: &str) -> String {
    format!(
        "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {{name: exec}}
spec:
  collectors:
  - clusterResources: {{exclude: true}}
  - exec:
      collectorName: shell
      name: out
      namespace: {namespace}
      selector: [app=web]
      command: [sh, -c]
      args: ['{command}']
      timeout: {timeout}
"
    )
}

#[test]
fn both_streams_are_kept_apart() {
    let cluster = Cluster::new("exec-streams");
    cluster.apply(POD);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    cluster.write(
        "spec.yaml",
        &spec(
            cluster.namespace(),
            "echo to stdout; echo to stderr >&2",
            "30s",
        ),
    );
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run()
        .expect_code(0);
    let bundle = cluster.bundle();
    let folder = "out/exec-streams/web";
    assert_eq!(
        bundle.text(&format!("{folder}/shell-stdout.txt")),
        "to stdout\n"
    );
    assert_eq!(
        bundle.text(&format!("{folder}/shell-stderr.txt")),
        "to stderr\n"
    );
}

#[test]
fn a_command_that_never_ends_is_cut_off_and_said() {
    let cluster = Cluster::new("exec-endless");
    cluster.apply(POD);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    cluster.write(
        "spec.yaml",
        &spec(cluster.namespace(), "echo before; sleep 3600", "2s"),
    );
    let run = cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run()
        .expect_code(5);
    assert!(run.stderr.contains("shell"), "{}", run.stderr);
    let bundle = cluster.bundle();
    assert_eq!(
        bundle.text("out/exec-endless/web/shell-stdout.txt"),
        "before\n"
    );
    let manifest = bundle.text("manifest.json");
    assert!(manifest.contains("\"deadline\""), "{manifest}");
}

#[test]
fn much_output_comes_whole() {
    let cluster = Cluster::new("exec-much");
    cluster.apply(POD);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    let command = "i=0; while [ $i -lt 200000 ]; do echo line $i; i=$((i+1)); done";
    cluster.write("spec.yaml", &spec(cluster.namespace(), command, "2m"));
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run()
        .expect_code(0);
    let text = cluster.bundle().text("out/exec-much/web/shell-stdout.txt");
    assert_eq!(text.lines().count(), 200_000);
    assert!(text.ends_with("line 199999\n"));
}

#[test]
fn an_account_that_may_not_execute_is_told_so_before() {
    let cluster = Cluster::new("exec-refused");
    cluster.apply(POD);
    let account = cluster.account(
        "reader",
        "- {apiGroups: [''], resources: [pods], verbs: [get, list]}",
    );
    cluster.write("spec.yaml", &spec(cluster.namespace(), "echo hi", "30s"));
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .kubeconfig(&account)
        .run()
        .expect_code(5);
    let skipped = cluster.bundle().json("skipped-collectors.json").to_string();
    assert!(
        skipped.contains("create pods/exec in namespace"),
        "{skipped}"
    );
    let requests = cluster.requests("reader");
    assert!(
        !requests.is_empty() && requests.iter().all(|(_, uri, _)| !uri.contains("/exec?")),
        "{requests:?}"
    );
}

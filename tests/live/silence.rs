//! What needs no cluster asks nobody and looks for no kubeconfig: every system call on a path or a socket is looked at.

use std::fs;
use std::path::Path;

use crate::fixture::{Cluster, Run};

const HOST: &str = "
apiVersion: troubleshoot.sh/v1beta2
kind: HostPreflight
metadata: {name: host}
spec:
  collectors: [{cpu: {}}, {memory: {}}, {hostOS: {}}]
  analyzers: [{cpu: {outcomes: [{pass: {message: there}}]}}]
";

/// Runs a program under strace, and returns which of its calls reached for the network or for credentials.
fn traced(cluster: &Cluster, name: &str, arguments: &[&str]) -> (Run, Vec<String>) {
    let trace = cluster.tmp().join("trace");
    let trace = trace.to_string_lossy();
    let program = cluster.link(name);
    let program = program.to_string_lossy();
    let strace = ["-f", "-qq", "-s", "4096", "-o", &trace];
    let calls = ["-e", "trace=%network,%file", &program];
    let run = cluster
        .program(
            Path::new("strace"),
            &[&strace[..], &calls[..], arguments].concat(),
        )
        .run();
    let text = fs::read_to_string(&*trace).expect("strace writes what it saw");
    assert!(text.contains("execve("), "strace saw nothing: {text}");
    let kubeconfig = cluster.kubeconfig().to_string_lossy().into_owned();
    let wanted = [
        "AF_INET",
        "connect(",
        ".kube",
        "serviceaccount",
        kubeconfig.as_str(),
    ];
    let reaching = text.lines().filter(|line| {
        !line.contains("execve(") && wanted.iter().any(|wanted| line.contains(wanted))
    });
    (run, reaching.map(str::to_owned).collect())
}

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn version_help_and_the_host_reach_for_nothing() {
    let cluster = Cluster::new("silence");
    cluster.write("host.yaml", HOST);
    // The place where everybody looks when there is no KUBECONFIG.
    let default = cluster.home().join(".kube");
    fs::create_dir(&default).expect("a folder");
    fs::copy(cluster.kubeconfig(), default.join("config")).expect("a kubeconfig");
    let mut quiet: Vec<(&str, Vec<String>)> = Vec::new();
    for name in ["assay", "preflight", "support-bundle"] {
        let help = cluster
            .called(name, &["--help"])
            .run()
            .expect_code(0)
            .stdout;
        quiet.push((name, vec!["--help".to_owned()]));
        for command in commands(&help) {
            quiet.push((name, vec![command, "--help".to_owned()]));
        }
    }
    assert!(quiet.len() > 12, "{quiet:?}");
    for (name, arguments) in [
        ("assay", vec!["--version"]),
        ("preflight", vec!["version"]),
        ("support-bundle", vec!["version"]),
        ("assay", vec!["explain", "cpu"]),
        ("assay", vec!["schema"]),
        (
            "assay",
            vec!["preflight", "host.yaml", "--output", "host.tar.gz"],
        ),
        (
            "assay",
            vec!["analyze", "host.yaml", "--bundle", "host.tar.gz"],
        ),
        (
            "assay",
            vec!["redact", "host.tar.gz", "--output", "clean.tar.gz"],
        ),
        ("preflight", vec!["--interactive=false", "host.yaml"]),
    ] {
        quiet.push((name, arguments.into_iter().map(str::to_owned).collect()));
    }
    for (name, arguments) in quiet {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (run, reaching) = traced(&cluster, name, &arguments);
        run.expect_code(0);
        assert_eq!(reaching, [""; 0], "{name} {arguments:?}");
    }
}

#[test]
fn what_needs_the_cluster_is_seen_to_reach_for_it() {
    let cluster = Cluster::new("silence-not");
    cluster.write(
        "spec.yaml",
        "
apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {name: p}
spec:
  analyzers: [{clusterVersion: {outcomes: [{pass: {message: there}}]}}]
",
    );
    let (run, reaching) = traced(&cluster, "assay", &["preflight", "spec.yaml"]);
    run.expect_code(0);
    let kubeconfig = cluster.kubeconfig().to_string_lossy().into_owned();
    for wanted in ["connect(", kubeconfig.as_str()] {
        assert!(
            reaching.iter().any(|line| line.contains(wanted)),
            "{wanted}: {reaching:?}"
        );
    }
}

//! What the command line promises without a cluster.

use std::process::Command;

use crate::fixture::{Bench, members};

#[test]
fn version_and_help_open_no_kubeconfig() {
    let bench = Bench::new();
    // Opening a pipe without a writer blocks for ever, so a run that ends has not opened it.
    let pipe = bench.work().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    bench.write(
        "host.yaml",
        "apiVersion: troubleshoot.sh/v1beta2
kind: HostPreflight
metadata: {name: h}
spec:
  collectors: [{cpu: {}}]
  analyzers: [{cpu: {outcomes: [{pass: {message: fine}}]}}]
",
    );
    for arguments in [
        vec!["--version"],
        vec!["--help"],
        vec!["preflight", "--help"],
        vec!["preflight", "host.yaml"],
        vec!["explain", "cpu"],
    ] {
        Bench::run(bench.assay().args(&arguments).env("KUBECONFIG", &pipe)).exits(0);
    }
}

#[test]
fn flags_that_make_no_sense_are_exit_1() {
    let bench = Bench::new();
    bench
        .assay_run(["--no-such-flag"])
        .exits(1)
        .says(&["--no-such-flag"]);
    bench.assay_run(["preflight"]).exits(1).says(&["SPEC"]);
}

#[test]
fn every_command_has_help_with_an_example() {
    let bench = Bench::new();
    let help = bench.assay_run(["--help"]).exits(0).stdout;
    let commands = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help");
    let mut seen = 0;
    for command in commands {
        let text = bench.assay_run([command, "--help"]).exits(0).stdout;
        assert!(text.contains("Example: "), "{command}: {text}");
        seen += 1;
    }
    assert!(seen >= 8, "{help}");
}

#[test]
fn a_bundle_is_private_and_plain_tar() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    bench.write(
        "data.yaml",
        "apiVersion: troubleshoot.sh/v1beta2
kind: HostPreflight
metadata: {name: h}
spec:
  collectors: [{cpu: {}}, {memory: {}}]
  analyzers: [{cpu: {outcomes: [{pass: {message: fine}}]}}]
",
    );
    bench
        .assay_run(["preflight", "data.yaml", "-o", "b.tar.gz"])
        .exits(0);
    let archive = bench.work().join("b.tar.gz");
    let mode = std::fs::metadata(&archive)
        .expect("the bundle")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let found = members(&archive);
    assert_eq!(
        found.keys().map(String::as_str).collect::<Vec<_>>(),
        [
            "analysis.json",
            "host-collectors/system/cpu.json",
            "host-collectors/system/memory.json",
            "manifest.json",
            "version.yaml"
        ]
    );
}

//! What the command line promises without a cluster.

use std::process::Command;

use crate::fixture::{Bench, members, verdicts};

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

#[test]
fn packs_are_listed_printed_and_run() {
    let bench = Bench::new();
    let listed = bench.assay_run(["packs"]).exits(0).stdout;
    let names: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(
        names,
        [
            "airgap", "gpu", "gpu-host", "postgres", "registry", "s3", "velero"
        ]
    );
    let document = bench
        .assay_run(["packs", "--format", "json"])
        .exits(0)
        .json();
    assert_eq!(document["packs"][2]["source"], "pack:gpu-host");
    let spec = bench.assay_run(["packs", "gpu-host"]).exits(0).stdout;
    bench.write("mine.yaml", &spec);
    // Whatever this machine has, a copy says the same as the pack.
    let of_pack = bench.assay_run([
        "preflight",
        "pack:gpu-host",
        "--format",
        "json",
        "-o",
        "a.tar.gz",
    ]);
    let of_copy = bench.assay_run([
        "preflight",
        "mine.yaml",
        "--format",
        "json",
        "-o",
        "b.tar.gz",
    ]);
    assert_eq!(of_pack.code, of_copy.code);
    assert_eq!(verdicts(&of_pack.json()), verdicts(&of_copy.json()));
    let found = members(&bench.work().join("a.tar.gz"));
    assert!(found.contains_key("host-collectors/system/gpu.json"));
    bench
        .assay_run(["preflight", "pack:gpus"])
        .exits(2)
        .says(&["did you mean \"gpu\"?"]);
}

/// A host collector of a support bundle: what the host has is in the bundle, whatever that is.
#[test]
fn a_host_tells_of_its_gpus() {
    let bench = Bench::new();
    bench.write(
        "host.yaml",
        "apiVersion: troubleshoot.sh/v1beta2
kind: HostCollector
metadata: {name: h}
spec:
  collectors: [{gpu: {}}]
",
    );
    bench
        .assay_run(["collect", "host.yaml", "-o", "h.tar.gz"])
        .exits(0);
    let found = members(&bench.work().join("h.tar.gz"));
    let document: serde_json::Value =
        serde_json::from_slice(&found["host-collectors/system/gpu.json"]).expect("JSON");
    let cards = document["cards"].as_array().expect("a list").len();
    // The kernel's own count of NVIDIA's display controllers.
    let on_bus = std::fs::read_dir("/sys/bus/pci/devices")
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(|device| {
            let read = |name| std::fs::read_to_string(device.path().join(name)).unwrap_or_default();
            read("vendor").trim() == "0x10de" && read("class").starts_with("0x03")
        })
        .count();
    assert!(cards >= on_bus, "{document}");
}

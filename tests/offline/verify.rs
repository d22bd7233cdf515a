//! `assay verify`: never calls whole what is not, and names what is missing.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::fixture::{Bench, Served, members, recorded};

const SPEC: &str = "apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: s}
spec:
  collectors:
    - clusterInfo: {}
    - clusterResources: {}
";

/// A bundle of the recorded cluster.
fn collected(bench: &Bench, served: &Served, further: &[&str]) -> Vec<u8> {
    bench.write("spec.yaml", SPEC);
    let path = bench.work().join("collected.tar.gz");
    let mut command = bench.assay();
    command.args(["collect", "spec.yaml", "--kubeconfig"]);
    command.arg(&served.kubeconfig).arg("--output").arg(&path);
    Bench::run(command.args(further));
    let bytes = fs::read(&path).expect("the bundle");
    fs::remove_file(path).expect("the bundle");
    bytes
}

/// The result, and its exit code.
fn verify(bench: &Bench, bundle: &Path) -> (Value, Option<i32>) {
    let mut command = bench.assay();
    let ran = Bench::run(command.args(["verify", "--format", "json"]).arg(bundle));
    let result = ran.json();
    assert_eq!(result["exitCode"].as_i64(), ran.code.map(i64::from));
    (result, ran.code)
}

#[test]
fn a_bundle_is_whole_incomplete_unproven_or_damaged() {
    let bench = Bench::new();
    let served = Served::start(&bench, &recorded());
    let bytes = collected(&bench, &served, &[]);
    let whole = bench.write("whole.tar.gz", &bytes);
    let (result, code) = verify(&bench, &whole);
    assert_eq!((&result["verdict"], code), (&Value::from("whole"), Some(0)));
    assert_eq!(result["filesWithDigests"], result["files"]);
    assert_eq!(result["origin"]["ending"]["kind"], "complete");

    // What any other program packs again has no digests.
    let folder = bench.work().join("folder");
    fs::create_dir(&folder).expect("a folder");
    let unpack = Command::new("tar")
        .arg("xzf")
        .arg(&whole)
        .arg("-C")
        .arg(&folder)
        .status();
    assert!(unpack.is_ok_and(|status| status.success()));
    let repacked = bench.work().join("repacked.tar.gz");
    let pack = Command::new("tar")
        .arg("czf")
        .arg(&repacked)
        .arg("-C")
        .arg(&folder)
        .arg(".")
        .status();
    assert!(pack.is_ok_and(|status| status.success()));
    for bundle in [&folder, &repacked] {
        let (result, code) = verify(&bench, bundle);
        assert_eq!(
            (&result["verdict"], code),
            (&Value::from("unproven"), Some(5))
        );
        assert_eq!(result["origin"]["ending"]["kind"], "complete");
    }

    let cut = collected(&bench, &served, &["--deadline", "1ms"]);
    let (result, code) = verify(&bench, &bench.write("cut.tar.gz", cut));
    assert_eq!(
        (&result["verdict"], code),
        (&Value::from("incomplete"), Some(5))
    );
    assert_eq!(result["origin"]["ending"]["kind"], "deadline");
    assert!(result["missing"][0]["title"].is_string(), "{result}");

    let half = bench.write("half.tar.gz", &bytes[..bytes.len() / 2]);
    let ran = bench.assay_run(["verify", "half.tar.gz"]).exits(3);
    assert!(
        ran.stdout.contains("the archive is truncated"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("Verdict   damaged"), "{}", ran.stdout);
    fs::remove_file(half).expect("the half");
    bench
        .assay_run(["verify", "half.tar.gz"])
        .exits(1)
        .says(&["half.tar.gz"]);
}

#[test]
fn what_is_called_whole_is_what_was_written() {
    let bench = Bench::new();
    let served = Served::start(&bench, &recorded());
    let bytes = collected(&bench, &served, &[]);
    let whole = members(&bench.write("whole.tar.gz", &bytes));
    let step = bytes.len() / 60;
    let mut damaged = 0;
    for position in (7..bytes.len()).step_by(step) {
        let mut flipped = bytes.clone();
        flipped[position] ^= 0x20;
        let bundle = bench.write("flipped.tar.gz", flipped);
        let mut command = bench.assay();
        let ran = Bench::run(command.arg("verify").arg(&bundle));
        match ran.code {
            // A byte that no program reads, as the time in a gzip header.
            Some(0) => assert_eq!(members(&bundle), whole, "bit flipped at {position}"),
            Some(1 | 3 | 5) => damaged += 1,
            _ => panic!("bit flipped at {position}: {:?} {}", ran.code, ran.stderr),
        }
    }
    assert!(damaged > 50, "{damaged}");
}

//! Disks that fill up and folders that cannot be written: what was collected before is bundled and judged, or there
//! is one clear error and no file that looks like a bundle.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::fixture::{Bundle, Cluster};

/// How many files the spec collects. Each has an analyzer of its own.
const FILES: usize = 16;

/// A file system in memory, in the rig's mount namespace.
struct Disk(PathBuf);

impl Disk {
    /// `size` as tmpfs takes it: `600k`.
    fn mount(cluster: &Cluster, size: &str) -> Self {
        let folder = cluster.work().join(format!("disk-{size}"));
        fs::create_dir(&folder).expect("a folder to mount on");
        let disk = Self(folder);
        disk.run(
            "mount",
            &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"],
        );
        disk
    }

    fn make_read_only(&self) {
        self.run("mount", &["-o", "remount,ro"]);
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("the disk");
        entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into()
            })
            .collect()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let status = Command::new(program)
            .args(arguments)
            .arg(&self.0)
            .status()
            .expect("the rig may mount");
        assert!(status.success(), "{program} {arguments:?}: {status}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Collects files of 150 kB that compress to about half of that, and looks into each.
fn spec() -> String {
    let mut collectors = String::new();
    let mut analyzers = String::new();
    let mut state = 88_172_645_463_325_252_u64;
    for file in 0..FILES {
        let _ = write!(
            collectors,
            "  - data:\n      name: file-{file}.txt\n      data: |\n"
        );
        for _ in 0..2200 {
            let mut line = String::new();
            for _ in 0..4 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let _ = write!(line, "{state:016x}");
            }
            let _ = writeln!(collectors, "        {line}");
        }
        let _ = write!(
            analyzers,
            "  - textAnalyze:
      checkName: file-{file}.txt
      fileName: file-{file}.txt
      regex: '[0-9a-f]'
      outcomes:
      - pass: {{when: 'true', message: there}}
      - fail: {{when: 'false', message: not there}}
"
        );
    }
    format!(
        "apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {{name: disk}}
spec:
  collectors:
  - clusterResources: {{exclude: true}}
{collectors}  analyzers:
{analyzers}"
    )
}

fn titles(report: &Value, verdict: &str) -> Vec<String> {
    let list = report[verdict].as_array().into_iter().flatten();
    list.map(|finding| finding["title"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn preflight(output: &str) -> [&str; 6] {
    [
        "preflight",
        "spec.yaml",
        "--format",
        "json",
        "--output",
        output,
    ]
}

#[test]
fn a_full_disk_gives_a_bundle_of_what_fits() {
    let cluster = Cluster::new("disk-full");
    cluster.write("spec.yaml", &spec());
    cluster
        .assay(&preflight("whole.tar.gz"))
        .run()
        .expect_code(0);
    let whole = Bundle::open(&cluster.work().join("whole.tar.gz"));
    for (size, least) in [("2m", 1), ("1500k", 1), ("400k", 0)] {
        let disk = Disk::mount(&cluster, size);
        let path = disk.0.join("bundle.tar.gz");
        let output = path.to_string_lossy().into_owned();
        let live = cluster.assay(&preflight(&output)).run().expect_code(5);
        let report = live.json();
        let offline = cluster
            .assay(&[
                "analyze",
                "spec.yaml",
                "--format",
                "json",
                "--bundle",
                &output,
            ])
            .run()
            .expect_code(5)
            .json();
        for verdict in ["pass", "warn", "fail", "unknown", "notApplicable"] {
            assert_eq!(report[verdict], offline[verdict], "{size}: {verdict}");
        }
        assert!(
            live.stdout.contains("No space left on device"),
            "{size}: {}",
            live.stdout
        );
        let bundle = Bundle::open(&path);
        let manifest = bundle.json("manifest.json");
        assert_eq!(manifest["ending"]["kind"], "output", "{size}: {manifest}");
        let passed = titles(&report, "pass");
        let unknown = titles(&report, "unknown");
        assert!(passed.len() >= least, "{size}: {passed:?}");
        assert_eq!(passed.len() + unknown.len(), FILES, "{size}");
        for file in (0..FILES).map(|file| format!("file-{file}.txt")) {
            let is_there = bundle.has(&file);
            assert_eq!(is_there, passed.contains(&file), "{size}: {file}");
            if is_there {
                assert!(bundle.text(&file) == whole.text(&file), "{size}: {file}");
            }
        }
        assert_eq!(disk.names(), ["bundle.tar.gz"], "{size}");
    }
}

#[test]
fn a_disk_without_room_for_a_bundle_is_left_without_one() {
    let cluster = Cluster::new("disk-tiny");
    cluster.write("spec.yaml", &spec());
    let disk = Disk::mount(&cluster, "128k");
    let output = disk.0.join("bundle.tar.gz").to_string_lossy().into_owned();
    let run = cluster.assay(&preflight(&output)).run().expect_code(1);
    for said in [&output, "256 KiB", "No space left on device"] {
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
    }
    assert_eq!(run.stdout, "");
    assert_eq!(disk.names(), [""; 0]);

    // A redacted copy that does not fit is no bundle either.
    cluster
        .assay(&preflight("whole.tar.gz"))
        .run()
        .expect_code(0);
    for (size, said) in [("120k", "256 KiB"), ("600k", "No space left on device")] {
        let disk = Disk::mount(&cluster, size);
        let output = disk.0.join("bundle.tar.gz").to_string_lossy().into_owned();
        let run = cluster
            .assay(&["redact", "whole.tar.gz", "--output", &output])
            .run()
            .expect_code(1);
        assert!(run.stderr.contains(said), "{size}: {}", run.stderr);
        assert_eq!(disk.names(), [""; 0], "{size}");
    }
}

#[test]
fn a_read_only_folder_is_said_and_another_one_helps() {
    let cluster = Cluster::new("disk-read-only");
    let spec = cluster.write(
        "spec.yaml",
        "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: s}
spec:
  collectors: [{clusterInfo: {}}]
---
apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {name: p}
spec:
  analyzers: [{clusterVersion: {outcomes: [{pass: {message: there}}]}}]
",
    );
    let spec = spec.to_string_lossy().into_owned();
    let elsewhere = cluster.work().join("elsewhere.tar.gz");
    let elsewhere = elsewhere.to_string_lossy().into_owned();
    let disk = Disk::mount(&cluster, "16m");
    disk.make_read_only();
    for (program, arguments) in [
        ("assay", vec!["preflight", &spec]),
        ("assay", vec!["collect", &spec]),
        ("preflight", vec!["--interactive=false", &spec]),
        ("support-bundle", vec!["--interactive=false", &spec]),
    ] {
        let run = cluster
            .called(program, &arguments)
            .in_folder(&disk.0)
            .run()
            .expect_code(1);
        for said in ["bundle-", "Read-only file system", "another folder"] {
            assert!(
                run.stderr.contains(said),
                "{program} {said}: {}",
                run.stderr
            );
        }
        assert_eq!(run.stdout, "", "{program}");
    }
    cluster
        .assay(&["preflight", &spec, "--output", &elsewhere])
        .in_folder(&disk.0)
        .run()
        .expect_code(0);
    for arguments in [vec!["redact", &elsewhere], vec!["serve", &elsewhere]] {
        let run = cluster
            .assay(&arguments)
            .in_folder(&disk.0)
            .run()
            .expect_code(1);
        assert!(
            run.stderr.contains("Read-only file system"),
            "{}",
            run.stderr
        );
    }
    assert!(Path::new(&elsewhere).exists());
}

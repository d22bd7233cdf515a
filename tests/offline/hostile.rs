//! Archives from strangers on the command line: what is refused is named, what can be read is read, nothing is
//! written where it was not asked for, and no check passes on what is damaged.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tar::{EntryType, Header};

use crate::fixture::{Bench, Ran, Served, members, recorded};

const FILE: EntryType = EntryType::Regular;
const VERSION: &[u8] = br#"{"info":{"gitVersion":"v1.36.3"},"string":"v1.36.3"}"#;

const SPEC: &str = "apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {name: p}
spec:
  analyzers:
    - clusterVersion:
        checkName: Version
        outcomes:
          - fail: {when: \"< 1.30.0\", message: old}
          - pass: {message: new enough}
    - textAnalyze:
        checkName: Planted
        fileName: logs/app.log
        regex: planted
        outcomes:
          - pass: {when: \"true\", message: it is there}
          - fail: {when: \"false\", message: it is not}
";

/// What a redacted bundle holds besides.
const EXPECTED: [&str; 3] = [
    "cluster-info/cluster_version.json",
    "manifest.json",
    "version.yaml",
];

/// A member: name, type, content or link target.
type Member<'a> = (&'a str, EntryType, &'a [u8]);

/// A bundle with more members than a bundle should have, as a tar stream.
fn tar(further: &[Member<'_>]) -> Vec<u8> {
    let bundle: [Member<'_>; 2] = [
        ("b/version.yaml", FILE, b"v"),
        ("b/cluster-info/cluster_version.json", FILE, VERSION),
    ];
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, content) in bundle.iter().chain(further) {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        // Written past the checks of the crate, which would refuse what these tests are about.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        let is_file = *kind == FILE;
        if !is_file {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content);
        }
        let content = if is_file { content } else { &[][..] };
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).expect("memory takes all");
    }
    builder.into_inner().expect("memory takes all")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

/// A gigabyte of zeros as one member of a bundle, in about a megabyte.
fn bomb() -> Vec<u8> {
    let zeros = vec![0; 16 << 20];
    let piece = gzip(&zeros);
    let mut header = Header::new_gnu();
    header.set_path("b/logs/app.log").expect("a short name");
    header.set_mode(0o644);
    header.set_size(64 * zeros.len() as u64);
    header.set_cksum();
    // Without the two blocks of zeros that end a tar stream.
    let bundle = tar(&[]);
    let mut archive = gzip(&bundle[..bundle.len() - 1024]);
    archive.extend(gzip(header.as_bytes()));
    archive.extend(piece.repeat(64));
    archive
}

/// A bench with the spec, and a folder outside of the working one that hostile members aim at.
fn bench() -> (Bench, PathBuf) {
    let bench = Bench::new();
    bench.write("spec.yaml", SPEC);
    let outside = bench.everything().join("outside");
    fs::create_dir(&outside).expect("a folder");
    fs::write(outside.join("secret"), "planted").expect("a file");
    (bench, outside)
}

/// Everything below a folder, links not followed.
fn listing(root: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            if entry.file_type().expect("a type").is_dir() {
                open.push(entry.path());
            }
            found.insert(entry.path());
        }
    }
    found
}

/// Runs a command in 2 GiB of address space.
fn bounded<S: AsRef<OsStr>>(bench: &Bench, arguments: impl IntoIterator<Item = S>) -> Ran {
    let assay = bench.assay();
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -v 2097152 && exec \"$0\" \"$@\""])
        .arg(assay.get_program())
        .args(arguments)
        .env_clear()
        .envs(
            assay
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(bench.work());
    let ran = Bench::run(&mut command);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    ran
}

fn analyze(bench: &Bench, bundle: &Path) -> Ran {
    let bundle = bundle.as_os_str();
    let arguments = ["analyze", "spec.yaml", "--format", "json", "--bundle"].map(OsStr::new);
    bounded(bench, arguments.into_iter().chain([bundle]))
}

fn redact(bench: &Bench, bundle: &Path) -> Ran {
    let arguments = ["redact", "--output", "redacted.tar.gz", "--bundle"].map(OsStr::new);
    bounded(bench, arguments.into_iter().chain([bundle.as_os_str()]))
}

/// Titles of the checks with this verdict.
fn titles(report: &Value, verdict: &str) -> BTreeSet<String> {
    let list = report[verdict].as_array().into_iter().flatten();
    list.map(|finding| finding["title"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn what_is_refused_is_named_and_the_rest_is_read() {
    let (bench, outside) = bench();
    let absolute = format!("{}/evil", outside.display());
    let secret = format!("{}/secret", outside.display());
    // What the warning says; the verdict on the log that the spec asks for.
    let cases: [(&str, Vec<Member<'_>>, &str, &str); 9] = [
        (
            "climbing",
            vec![("b/../../outside/evil", FILE, b"x")],
            "outside/evil",
            "warn",
        ),
        (
            "climbing at once",
            vec![("../outside/evil", FILE, b"x")],
            "../outside/evil",
            "warn",
        ),
        ("absolute", vec![(&absolute, FILE, b"x")], "evil", "warn"),
        (
            "a link out",
            vec![(
                "b/logs/app.log",
                EntryType::Symlink,
                b"../../../outside/secret",
            )],
            "logs/app.log",
            "unknown",
        ),
        (
            "an absolute link",
            vec![("b/logs/app.log", EntryType::Symlink, secret.as_bytes())],
            "logs/app.log",
            "unknown",
        ),
        (
            "a file through a link",
            vec![
                ("b/logs", EntryType::Symlink, b"../../outside"),
                ("b/logs/evil", FILE, b"x"),
            ],
            "logs",
            "unknown",
        ),
        (
            "a hard link",
            vec![("b/logs/app.log", EntryType::Link, secret.as_bytes())],
            "hard link",
            "unknown",
        ),
        (
            "a device",
            vec![("b/logs/app.log", EntryType::Char, b"")],
            "device",
            "unknown",
        ),
        (
            "a duplicate",
            vec![
                ("b/logs/app.log", FILE, b"nothing"),
                ("b/logs/app.log", FILE, b"planted"),
            ],
            "more than once",
            "pass",
        ),
    ];
    for (name, further, said, verdict) in cases {
        let is_read = verdict == "pass";
        let bundle = bench.write("bundle.tar.gz", gzip(&tar(&further)));
        let before = listing(bench.everything());
        let ran = analyze(&bench, &bundle).says(&["warning: ", "bundle.tar.gz", said]);
        let ran = ran.exits(match verdict {
            "pass" => 0,
            // Troubleshoot's answer where a bundle does not have the file.
            "warn" => 4,
            _ => 5,
        });
        let report = ran.json();
        assert!(titles(&report, "pass").contains("Version"), "{name}");
        assert!(
            titles(&report, verdict).contains("Planted"),
            "{name}: {report}"
        );
        drop(Served::start(&bench, &bundle));
        fs::remove_file(bench.work().join("served-kubeconfig")).expect("the kubeconfig");
        assert_eq!(listing(bench.everything()), before, "{name}");

        let output = bench.work().join("redacted.tar.gz");
        redact(&bench, &bundle).exits(0).says(&[said]);
        let mut found = members(&output);
        found.retain(|path, _| !EXPECTED.contains(&path.as_str()));
        let mut more = Vec::new();
        if is_read {
            more.push("logs/app.log");
        }
        if name == "a file through a link" {
            // Without the link the file is one like any other.
            more.push("logs/evil");
        }
        assert!(found.keys().eq(more), "{name}: {:?}", found.keys());
        fs::remove_file(&output).expect("the redacted bundle");
        assert_eq!(listing(bench.everything()), before, "{name}");
    }
}

#[test]
fn what_is_no_bundle_is_one_error() {
    let (bench, _) = bench();
    let whole = gzip(&tar(&[]));
    for (name, bytes, said) in [
        ("empty.tar.gz", Vec::new(), "empty"),
        (
            "text.tar.gz",
            b"Dear customer,\n".to_vec(),
            "begins like none",
        ),
        ("random.tar.gz", vec![0xa5; 4096], "begins like none"),
        ("no-tar.tar.gz", gzip(&[b'x'; 4096]), "holds no tar archive"),
        ("head.tar.gz", whole[..20].to_vec(), "head.tar.gz"),
        ("bomb.tar.gz", bomb(), "decompression bomb"),
        ("zip.zip", b"PK\x03\x04....".to_vec(), "zip file"),
    ] {
        let bundle = bench.write(name, bytes);
        let before = listing(bench.everything());
        let serve = || bounded(&bench, ["serve", name, "--write-kubeconfig", "kubeconfig"]);
        let runs: [&dyn Fn() -> Ran; 3] = [
            &|| analyze(&bench, &bundle),
            &|| redact(&bench, &bundle),
            &serve,
        ];
        // The quarter of a gigabyte that is unpacked before a bomb is known as one takes its time.
        let runs = if name.starts_with("bomb") {
            &runs[..1]
        } else {
            &runs[..]
        };
        for run in runs {
            let ran = run().exits(1).says(&["error: ", name, said]);
            assert_eq!(ran.stdout, "", "{name}");
        }
        assert_eq!(listing(bench.everything()), before, "{name}");
        fs::remove_file(bundle).expect("the file");
    }
    // A size that the file does not have is not believed.
    let mut header = Header::new_gnu();
    header.set_path("b/logs/app.log").expect("a short name");
    header.set_size(1 << 40);
    header.set_cksum();
    let lie = tar(&[]);
    let lie = [&lie[..lie.len() - 1024], header.as_bytes(), b"planted"].concat();
    let bundle = bench.write("lie.tar.gz", gzip(&lie));
    let ran = analyze(&bench, &bundle).exits(5).says(&["truncated"]);
    assert!(!titles(&ran.json(), "pass").contains("Planted"));
}

#[test]
fn a_folder_with_links_and_pipes_is_read_no_further_than_itself() {
    let (bench, outside) = bench();
    let folder = bench.work().join("folder");
    fs::create_dir_all(folder.join("cluster-info")).expect("a folder");
    fs::create_dir_all(folder.join("logs")).expect("a folder");
    fs::write(folder.join("version.yaml"), "v").expect("a file");
    fs::write(folder.join("cluster-info/cluster_version.json"), VERSION).expect("a file");
    let log = folder.join("logs/app.log");
    let link = |target: &Path| std::os::unix::fs::symlink(target, &log).expect("a link");
    let pipe = || {
        let made = Command::new("mkfifo").arg(&log).status().expect("mkfifo");
        assert!(made.success());
    };
    let hostile: [(&str, &dyn Fn()); 3] = [
        ("logs/app.log", &|| {
            link(Path::new("../../../outside/secret"));
        }),
        ("logs/app.log", &|| link(&outside.join("secret"))),
        // Whoever opens a pipe without a writer waits for ever.
        ("logs/app.log", &pipe),
    ];
    for (said, make) in hostile {
        make();
        let ran = analyze(&bench, &folder).exits(5).says(&["warning: ", said]);
        assert!(titles(&ran.json(), "unknown").contains("Planted"));
        redact(&bench, &folder).exits(0).says(&["warning: ", said]);
        let output = bench.work().join("redacted.tar.gz");
        assert!(!members(&output).contains_key("logs/app.log"));
        fs::remove_file(&output).expect("the redacted bundle");
        fs::remove_file(&log).expect("the link or pipe");
    }
}

#[test]
fn a_damaged_bundle_passes_nothing_that_the_whole_one_does_not() {
    let (bench, _) = bench();
    let whole = fs::read(recorded()).expect("the recorded cluster");
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/preflight.yaml");
    fs::copy(spec, bench.work().join("spec.yaml")).expect("the demo's spec");
    let expected = analyze(&bench, &recorded()).exits(3).json();
    let judged = |verdict: &str| titles(&expected, verdict);
    let judge = |what: &str, bundle: &Path| {
        let ran = analyze(&bench, bundle);
        if ran.code == Some(1) {
            ran.says(&["error: ", "damaged.tar.gz"]);
            return;
        }
        let report = ran.json();
        for verdict in ["pass", "warn", "fail", "notApplicable"] {
            let more: Vec<_> = titles(&report, verdict)
                .difference(&judged(verdict))
                .cloned()
                .collect();
            assert!(more.is_empty(), "{what}: {verdict} {more:?}");
        }
        let is_same = ["pass", "warn", "fail"]
            .into_iter()
            .all(|verdict| titles(&report, verdict) == judged(verdict));
        assert!(
            is_same || !titles(&report, "unknown").is_empty(),
            "{what}: less is judged and nobody says so"
        );
    };
    let check = |what: &str, bytes: &[u8]| {
        let bundle = bench.write("damaged.tar.gz", bytes);
        judge(what, &bundle);
        let redacted = redact(&bench, &bundle);
        let output = bench.work().join("redacted.tar.gz");
        if redacted.code == Some(1) {
            redacted.says(&["error: ", "damaged.tar.gz"]);
            assert!(!output.exists(), "{what}");
        } else {
            assert!([Some(0), Some(5)].contains(&redacted.code), "{what}");
            judge(&format!("{what}, redacted"), &output);
            fs::remove_file(&output).expect("the redacted bundle");
        }
    };
    for eighth in 1..8 {
        let end = whole.len() * eighth / 8;
        check(&format!("the first {eighth}/8"), &whole[..end]);
    }
    for position in (0..8).map(|n| whole.len() * n / 8 + 100 * n + 5) {
        let mut flipped = whole.clone();
        flipped[position] ^= 0x10;
        check(&format!("bit flipped at {position}"), &flipped);
    }
}

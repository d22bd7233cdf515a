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

use crate::fixture::{Bench, Ran, Served, members, peak_of, recorded};

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

/// What a stranger's archive may take of the memory, whatever it holds.
const MEMORY: u64 = 256 << 20;

/// Runs a command in 2 GiB of address space, of which it may fill [`MEMORY`].
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
    assert!(ran.peak <= MEMORY, "{} bytes of memory", ran.peak);
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
        let runs: [&dyn Fn() -> Ran; 4] = [
            &|| analyze(&bench, &bundle),
            &|| redact(&bench, &bundle),
            &|| bounded(&bench, ["verify", name]),
            &serve,
        ];
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

/// A member whose header claims a length, without its content.
fn header(name: &str, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_path(name).expect("a short name");
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    header
}

/// More members than an archive may have, in a few megabytes.
fn crowd(members: usize) -> Vec<u8> {
    let bundle = tar(&[]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(&bundle[..bundle.len() - 1024])
        .expect("memory takes all");
    for n in 0..members {
        let header = header(&format!("b/crowd/{n}"), 0);
        encoder
            .write_all(header.as_bytes())
            .expect("memory takes all");
    }
    encoder.write_all(&[0; 1024]).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

#[test]
fn whatever_an_archive_holds_the_memory_is_bounded() {
    let (bench, _) = bench();
    // One line without an end, a document that nests without end, links to folders that show each other's files.
    let line = vec![b'x'; 24 << 20];
    let deep = vec![b'['; 2 << 20];
    let mut links: Vec<(String, EntryType, &[u8])> = (0..2000)
        .map(|n| (format!("b/l/{n}"), EntryType::Symlink, &b"../logs"[..]))
        .collect();
    links.extend((0..2000).map(|n| (format!("b/logs/{n}"), FILE, &b"x"[..])));
    let links: Vec<Member<'_>> = links
        .iter()
        .map(|(name, kind, content)| (name.as_str(), *kind, *content))
        .collect();
    for (name, bytes) in [
        (
            "line.tar.gz",
            gzip(&tar(&[("b/logs/app.log", FILE, &line)])),
        ),
        (
            "deep.tar.gz",
            gzip(&tar(&[
                ("b/cluster-resources/pods/default.json", FILE, &deep),
                ("b/cluster-resources/nodes.json", FILE, &deep),
            ])),
        ),
        ("links.tar.gz", gzip(&tar(&links))),
        ("crowd.tar.gz", crowd(CROWD)),
    ] {
        let bundle = bench.write(name, bytes);
        let ran = analyze(&bench, &bundle);
        assert!(
            matches!(ran.code, Some(0 | 3 | 4 | 5)),
            "{name}: {} {}",
            ran.stdout,
            ran.stderr
        );
        let ran = redact(&bench, &bundle);
        assert_eq!(ran.code, Some(0), "{name}: {}", ran.stderr);
        fs::remove_file(bench.work().join("redacted.tar.gz")).expect("the redacted bundle");
        let ran = bounded(&bench, ["verify", name]);
        assert_eq!(ran.code, Some(5), "{name}: {}", ran.stderr);
        let served = Served::start(&bench, &bundle);
        let peak = peak_of(served.child.id()).expect("it runs");
        assert!(peak <= MEMORY, "{name}: {peak} bytes of memory");
        drop(served);
        fs::remove_file(bench.work().join("served-kubeconfig")).expect("the kubeconfig");
        fs::remove_file(bundle).expect("the file");
    }
}

/// Fewer members than the half million that are allowed, so that the test takes seconds without optimisation; the memory
/// that each takes is the same.
const CROWD: usize = 100_000;

/// What a terminal would obey, what a browser would render, and what looks like something else.
const ACTIVE: &str =
    "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{8}\r\u{7f}\u{202e}<script>alert(1)</script>";

#[test]
#[expect(clippy::too_many_lines, reason = "one bundle, every output in turn")]
fn collected_text_is_inert_in_every_output() {
    let bench = Bench::new();
    let spec = "apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {name: p}
spec:
  collectors: [{logs: {name: logs, namespace: default, selector: [app=x]}}]
  analyzers:
    - textAnalyze:
        checkName: Captured
        fileName: logs/app.log
        regexGroups: 'panic: (?P<What>.*)'
        outcomes:
          - fail: {when: \"What != none\", message: 'it says {{ .What }}'}
          - pass: {message: fine}
    - clusterPodStatuses:
        checkName: Pods
        outcomes:
          - fail: {when: \"!= Healthy\", message: 'Pod {{ .Namespace }}/{{ .Name }} is {{ .Status.Reason }}'}
          - pass: {message: healthy}
    - clusterVersion:
        outcomes:
          - pass: {message: there}
";
    bench.write("spec.yaml", spec);
    bench.write(
        "bundle.yaml",
        spec.replace("kind: Preflight", "kind: SupportBundle"),
    );
    let pods = serde_json::json!({"kind": "PodList", "apiVersion": "v1", "items": [{
        "metadata": {"name": format!("pod{ACTIVE}"), "namespace": "default"},
        "status": {"phase": "Failed", "reason": ACTIVE, "message": ACTIVE,
            "containerStatuses": [{"name": ACTIVE, "state": {"waiting": {"reason": ACTIVE, "message": ACTIVE}}}]},
    }]});
    let manifest = serde_json::json!({
        "format": {"major": 1, "minor": 7}, "tool": format!("tool{ACTIVE}"),
        "collectedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:00Z",
        "ending": {"kind": "signal", "detail": ACTIVE},
        "redaction": {"profile": format!("standard{ACTIVE}"), "masks": [], "withheld": []},
        "collectors": [{"collector": "logs", "title": format!("logs{ACTIVE}"), "outcome": "failed", "requested": true,
            "durationMs": 1, "bytes": 1, "files": 1, "requests": 1, "retries": 0, "error": ACTIVE, "gaps": [{"path": "x", "reason": "failed", "detail": ACTIVE}]}],
    });
    let log = format!("start\npanic: {ACTIVE}\n");
    let version = format!("{{\"string\": {}}}", serde_json::json!(ACTIVE));
    let named = "b/\u{202e}name<script>";
    let bundle = tar(&[
        ("b/logs/app.log", FILE, log.as_bytes()),
        (
            "b/cluster-resources/pods/default.json",
            FILE,
            pods.to_string().as_bytes(),
        ),
        ("b/manifest.json", FILE, manifest.to_string().as_bytes()),
        (
            "b/cluster-info/cluster_version.json",
            FILE,
            version.as_bytes(),
        ),
        (named, EntryType::Link, b"x"),
        ("b/\u{1b}[2J", FILE, b"x"),
    ]);
    let bundle = bench.write("bundle.tar", bundle);
    let future = manifest.to_string().replace("\"major\":1", "\"major\":9");
    let future = tar(&[("b/manifest.json", FILE, future.as_bytes())]);
    bench.write("future.tar", future);
    let bundle = bundle.to_str().expect("a path");
    let mut runs: Vec<(String, Ran)> = Vec::new();
    for format in ["human", "json", "yaml"] {
        let arguments = [
            "analyze",
            "spec.yaml",
            "--bundle",
            bundle,
            "--format",
            format,
        ];
        runs.push((format!("analyze {format}"), bench.assay_run(arguments)));
        let arguments = ["verify", bundle, "--format", format];
        runs.push((format!("verify {format}"), bench.assay_run(arguments)));
        let arguments = [
            "analyze",
            "spec.yaml",
            "--bundle",
            "future.tar",
            "--format",
            format,
        ];
        runs.push(("the future".to_owned(), bench.assay_run(arguments)));
    }
    let served = Served::start(&bench, Path::new(bundle));
    for format in ["human", "json", "yaml"] {
        let mut dropin = bench.called("preflight");
        dropin.args([
            "--interactive=false",
            "--format",
            format,
            "spec.yaml",
            "--kubeconfig",
        ]);
        let ran = Bench::run(dropin.arg(&served.kubeconfig));
        runs.push((format!("preflight {format}"), ran));
    }
    let mut dropin = bench.called("support-bundle");
    dropin.args(["--interactive=false", "bundle.yaml", "--kubeconfig"]);
    let ran = Bench::run(dropin.arg(&served.kubeconfig));
    runs.push(("support-bundle".to_owned(), ran));
    let arguments = ["redact", "--output", "redacted.tar.gz", "--bundle", bundle];
    runs.push(("redact".to_owned(), bench.assay_run(arguments)));
    let mut quoted = 0;
    for (name, ran) in &runs {
        for text in [&ran.stdout, &ran.stderr] {
            let active = text
                .chars()
                .find(|character| character.is_control() && !matches!(character, '\n' | '\t'));
            assert_eq!(active, None, "{name}: {text:?}");
            quoted += usize::from(text.contains("alert(1)"));
        }
        if !name.ends_with("yaml") {
            assert!(!ran.stdout.contains('\u{202e}'), "{name}");
        }
        assert!(!ran.stderr.contains('\u{202e}'), "{name}: {}", ran.stderr);
    }
    assert!(quoted >= 8, "the text was there to be quoted: {quoted}");
}

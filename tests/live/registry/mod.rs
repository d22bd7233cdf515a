//! `registry`, `registryReachability` and `registryImages` against real registries: every link that can break, and what is
//! said of it. What is judged live is judged the same from the archive.

mod contents;
mod mirrors;
mod pods;
mod proxies;
mod reasons;
mod servers;

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::fixture::{Bundle, Cluster};

/// An image of a collector of its own: the name, the image, more lines of the collector, and the reason why it cannot be
/// pulled, if any.
struct Row {
    name: &'static str,
    image: String,
    lines: String,
    reason: Option<&'static str>,
}

fn row(name: &'static str, image: String, lines: &str, reason: Option<&'static str>) -> Row {
    Row {
        name,
        image,
        lines: lines.to_owned(),
        reason,
    }
}

fn spec(rows: &[Row]) -> String {
    use std::fmt::Write as _;
    let mut spec = "apiVersion: troubleshoot.sh/v1beta2\nkind: Preflight\nmetadata: {name: registry}\nspec:\n  collectors:\n".to_owned();
    for row in rows {
        writeln!(spec, "  - registry:\n      collectorName: {}\n      images: ['{}']\n      platforms: [linux/amd64, linux/arm64]", row.name, row.image).expect("a String takes all");
        for line in row.lines.lines() {
            writeln!(spec, "      {line}").expect("a String takes all");
        }
    }
    spec.push_str("  analyzers:\n");
    for row in rows {
        writeln!(
            spec,
            "  - registryReachability: {{checkName: {0}, collectorName: {0}}}",
            row.name
        )
        .expect("a String takes all");
    }
    spec
}

/// Runs the collectors and compares what they found. Every verdict must be had again from the archive, and no password is
/// anywhere.
fn check(cluster: &Cluster, rows: &[Row], flags: &[&str]) -> (Value, Bundle) {
    let file = cluster.write("spec.yaml", &spec(rows));
    let arguments = [
        "preflight",
        "spec.yaml",
        "--format",
        "json",
        "--output",
        "bundle.tar.gz",
    ];
    let live = cluster
        .assay(&[&arguments[..], flags].concat())
        .run()
        .json();
    let arguments = [
        "analyze",
        "--bundle",
        "bundle.tar.gz",
        "spec.yaml",
        "--format",
        "json",
    ];
    let offline = cluster.assay(&arguments).run().json();
    for verdict in ["pass", "warn", "fail", "unknown", "notApplicable"] {
        assert_eq!(
            live[verdict], offline[verdict],
            "{verdict}: live and offline"
        );
    }
    titles_differ(&live);
    let bundle = cluster.bundle();
    for row in rows {
        let found = found(&bundle, row.name);
        let failure = &found["images"][0]["failure"];
        assert_eq!(
            failure["reason"].as_str(),
            row.reason,
            "{}: {found:#}",
            row.name
        );
        let fails = titled(&live, "fail", row.name);
        // No node here runs arm64, so what it lacks is warned of.
        let is_unneeded = row.reason == Some("platformMissing");
        assert_eq!(
            fails.is_empty(),
            row.reason.is_none() || is_unneeded,
            "{}: {live:#}",
            row.name
        );
        let warned = titled(&live, "warn", row.name);
        assert!(!is_unneeded || !warned.is_empty(), "{}: {live:#}", row.name);
    }
    fs::remove_file(file).expect("the spec");
    // Its files are looked into; three letters are in compressed bytes by chance.
    fs::remove_file(cluster.work().join("bundle.tar.gz")).expect("the archive");
    for secret in [
        "alice-pw",
        "puller-pw",
        "pusher-pw",
        "keeper-pw",
        "nobody-pw",
        "hunter2-pw",
        "eyJ",
    ] {
        assert_eq!(bundle.holding(secret), [""; 0], "{secret} in the bundle");
        assert_eq!(
            cluster.files_holding(secret),
            Vec::<std::path::PathBuf>::new(),
            "{secret}"
        );
    }
    (live, bundle)
}

fn found(bundle: &Bundle, name: &str) -> Value {
    bundle.json(&format!("registry/{name}/reachability.json"))
}

/// The entries of a verdict on a check: what each is about stands behind the check's name.
fn titled(report: &Value, verdict: &str, title: &str) -> Vec<String> {
    let entries = report[verdict].as_array().into_iter().flatten();
    let own = entries.filter(|entry| {
        let whole = entry["title"].as_str().unwrap_or_default();
        let rest = whole.strip_prefix(title);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(": "))
    });
    own.map(ToString::to_string).collect()
}

/// No two answers have one title.
fn titles_differ(report: &Value) {
    let mut seen = BTreeSet::new();
    for verdict in ["pass", "warn", "fail"] {
        for entry in report[verdict].as_array().into_iter().flatten() {
            let title = entry["title"].as_str().unwrap_or_default();
            assert!(
                seen.insert(title.to_owned()),
                "{title:?} is there twice: {report:#}"
            );
        }
    }
}

fn indented(pem: &str) -> String {
    let lines = pem.lines().map(|line| format!("\n    {line}"));
    lines.collect()
}

/// A pull secret in the test's namespace.
fn pull_secret(cluster: &Cluster, name: &str, server: &str, user: &str, password: &str) {
    cluster.kubectl(&[
        "create",
        "secret",
        "docker-registry",
        name,
        &format!("--docker-server={server}"),
        &format!("--docker-username={user}"),
        &format!("--docker-password={password}"),
    ]);
}

/// Answers every connection in a thread of its own.
fn listener(answer: fn(std::net::TcpStream)) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    port
}

//! Object storages as they are: one that is lenient and one that is strict, what stands in front of them and changes
//! requests, and every setting that can be wrong.

mod access;
mod cleanup;
mod clock;
mod fronts;
mod proxy;
pub(crate) mod servers;
mod signed;
mod style;
mod tls;
mod wrong;

use std::fmt::Write;

use serde_json::Value;

use crate::fixture::{Assay, Cluster};
use servers::{ACCESS_KEY, BUCKET, REGION, SECRET_KEY};

/// A collector that differs from a good one in what is given, and what is said of it.
struct Case {
    name: &'static str,
    port: u16,
    /// More lines of the collector.
    lines: String,
    verdict: &'static str,
    /// In the message.
    message: &'static str,
    /// In the remedy.
    remedy: &'static str,
}

fn case(name: &'static str, port: u16) -> Case {
    Case {
        name,
        port,
        lines: String::new(),
        verdict: "pass",
        message: "can be used in region",
        remedy: "",
    }
}

fn spec(cases: &[Case]) -> String {
    let mut collectors = String::new();
    let mut analyzers = String::new();
    for case in cases {
        let mut fields = vec![
            ("endpoint", format!("http://127.0.0.1:{}", case.port)),
            ("bucketName", BUCKET.to_owned()),
            ("region", REGION.to_owned()),
            ("accessKeyID", ACCESS_KEY.to_owned()),
            ("secretAccessKey", format!("\"{SECRET_KEY}\"")),
            ("usePathStyle", "true".to_owned()),
        ];
        for line in case.lines.split('\n').filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").expect("a field");
            fields.retain(|(field, _)| *field != name);
            fields.push((name, value.to_owned()));
        }
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("      {name}: {value}"))
            .collect();
        let _ = writeln!(
            collectors,
            "  - s3:\n      collectorName: {}\n{}",
            case.name,
            fields.join("\n")
        );
        let _ = writeln!(analyzers, "  - s3: {{collectorName: {}}}", case.name);
    }
    format!(
        "apiVersion: troubleshoot.sh/v1beta2\nkind: Preflight\nmetadata: {{name: s3}}\nspec:\n  collectors:\n  - clusterInfo: {{exclude: true}}\n  - clusterResources: {{exclude: true}}\n{collectors}  analyzers:\n{analyzers}"
    )
}

/// The finding of an id with its verdict.
fn found<'a>(report: &'a Value, id: &str) -> Option<(&'static str, &'a Value)> {
    ["pass", "warn", "fail", "unknown"].iter().find_map(|list| {
        let findings = report[list].as_array()?;
        let finding = findings.iter().find(|it| it["id"] == id)?;
        Some((*list, finding))
    })
}

/// Where a run is made.
#[derive(Default)]
struct Place<'a> {
    /// More variables of its environment.
    environment: &'a [(&'a str, &'a str)],
    /// Lines of `/etc/hosts`, for it alone.
    hosts: &'a str,
}

impl Place<'_> {
    fn assay(&self, cluster: &Cluster, arguments: &[&str]) -> Assay {
        let run = if self.hosts.is_empty() {
            cluster.assay(arguments)
        } else {
            let hosts = format!("127.0.0.1 localhost\n{}\n", self.hosts);
            let hosts = cluster.write("hosts", &hosts);
            let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
            let program = env!("CARGO_BIN_EXE_assay");
            let mut all = vec!["--mount", "sh", "-c", script];
            let hosts = hosts.to_string_lossy();
            all.extend([&*hosts, program]);
            all.extend(arguments);
            cluster.program("unshare".as_ref(), &all)
        };
        self.environment
            .iter()
            .fold(run, |run, (name, value)| run.env(name, value))
    }
}

/// Runs a spec of these cases, expects of each what it says, and no secret anywhere.
fn expect(cluster: &Cluster, cases: &[Case]) -> Value {
    expect_at(&Place::default(), cluster, cases)
}

fn expect_at(place: &Place<'_>, cluster: &Cluster, cases: &[Case]) -> Value {
    cluster.write("spec.yaml", &spec(cases));
    let arguments = [
        "preflight",
        "spec.yaml",
        "--allow-writes",
        "--debug",
        "--format",
        "json",
        "--output",
        "bundle.tar.gz",
    ];
    let code = if cases.iter().any(|case| case.verdict == "fail") {
        3
    } else {
        // Signatures of version 2 are accepted, which warns.
        4
    };
    // Of a run before this one.
    let _ = std::fs::remove_file(cluster.work().join("bundle.tar.gz"));
    let run = place.assay(cluster, &arguments).run().expect_code(code);
    let report = run.json();
    for case in cases {
        let id = format!("s3/{}", case.name);
        let (verdict, finding) = found(&report, &id).unwrap_or_else(|| panic!("{id}: {report:#}"));
        let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(verdict, case.verdict, "{finding:#}");
        assert!(
            text("message").contains(case.message),
            "{}\n{finding:#}",
            case.message
        );
        assert!(
            text("remedy").contains(case.remedy),
            "{}\n{finding:#}",
            case.remedy
        );
    }
    let bundle = cluster.bundle();
    for secret in [ACCESS_KEY, SECRET_KEY, "X-Amz-Signature", "Signature="] {
        assert_eq!(bundle.holding(secret), [""; 0], "{secret}");
        assert!(
            !run.stdout.contains(secret) && !run.stderr.contains(secret),
            "{secret}"
        );
    }
    let arguments = [
        "analyze",
        "--bundle",
        "bundle.tar.gz",
        "--format",
        "json",
        "spec.yaml",
    ];
    let offline = cluster.assay(&arguments).run().expect_code(code).json();
    for list in ["pass", "warn", "fail", "unknown", "notApplicable"] {
        assert_eq!(report[list], offline[list], "{list}");
    }
    report
}

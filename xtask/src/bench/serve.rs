//! Rows of the server: a bundle as an API, asked by curl.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::measure::{Running, Usage, here, measure, so_far};
use super::objects::Size;
use super::offline::megabytes;
use super::{Bench, Row, bundle};
use crate::command::output;

const READY_DEADLINE: Duration = Duration::from_mins(1);

/// What is asked of the server, in this order: name, path, how many at once, budget.
const QUESTIONS: &[(&str, &str, usize, &str)] = &[
    (
        "server, first page of pods",
        "/api/v1/pods?limit=500",
        1,
        "makes the index of pods, once",
    ),
    ("server, all pods", "/api/v1/pods", 1, "≥ 50 × peer"),
    (
        "server, label selector",
        "/api/v1/pods?labelSelector=app%3Dorders",
        1,
        "≥ 50 × peer",
    ),
    (
        "server, field selector",
        "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-0007",
        1,
        "≥ 50 × peer",
    ),
    (
        "server, one namespace",
        "/api/v1/namespaces/team-001/pods",
        1,
        "",
    ),
    (
        "server, a page of pods",
        "/api/v1/pods?limit=500",
        1,
        "≥ 300 MB/s",
    ),
    (
        "server, 32 clients, a page each",
        "/api/v1/pods?limit=500",
        32,
        "",
    ),
    (
        "server, 8 parallel lists",
        "/api/v1/pods",
        8,
        "≥ 50 × peer; ≤ 1.2 × the lists",
    ),
];

/// Measures every row against the archive that the redaction row made.
pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let archive = bench
        .cluster_archive
        .clone()
        .context("the archive of the redaction row is there")?;
    let input = megabytes(fs::metadata(&archive)?.len());
    let started = Instant::now();
    let server = Server::start(bench, &archive)?;
    let wall = started.elapsed().as_secs_f64();
    let (cpu, rss) = so_far(server.process.0.id())?;
    bench.row(Row {
        what: "server, ready",
        input: input.clone(),
        ours: Usage {
            wall,
            cpu,
            rss,
            complete: true,
        },
        note: "by the index".to_owned(),
        peer: None,
        budget: "≤ 100 ms; ≥ 20 × peer",
    });
    for (what, path, parallel, budget) in QUESTIONS {
        let (before, _) = so_far(server.process.0.id())?;
        let started = Instant::now();
        let bytes = server.ask(path, *parallel)?;
        let wall = started.elapsed().as_secs_f64();
        let (after, rss) = so_far(server.process.0.id())?;
        bench.row(Row {
            what,
            input: input.clone(),
            ours: Usage {
                wall,
                cpu: after - before,
                rss,
                complete: true,
            },
            note: format!("{} answered", megabytes(bytes)),
            peer: None,
            budget,
        });
    }
    drop(server);
    crowd(bench)
}

/// A cluster larger than kwok can be filled with in reasonable time: a bundle of it is served, and collected from.
fn crowd(bench: &mut Bench) -> Result<()> {
    let spec = bench.folder().join("crowd.yaml");
    fs::write(&spec, include_str!("specs/support-bundle.yaml"))?;
    for pods in [bench.pods / 10, bench.pods * 5] {
        let cluster = bench.folder().join("crowd");
        let bytes = bundle::write_cluster(&cluster, Size::with_pods(pods))?;
        let archive = bench.folder().join("crowd.tar.gz");
        let (from, to) = (cluster.to_string_lossy(), archive.to_string_lossy());
        let redact = ["redact", &from, "--output", &to, "--quiet"];
        measure(&here, bench.folder(), &bench.binary, &redact)?;
        fs::remove_dir_all(&cluster)?;
        let server = Server::start(bench, &archive)?;
        let kubeconfig = bench.folder().join("kubeconfig");
        let collected = bench.folder().join("collected.tar.gz");
        let ours = measure(
            &here,
            bench.folder(),
            &bench.binary,
            &[
                "collect",
                &spec.to_string_lossy(),
                "--kubeconfig",
                &kubeconfig.to_string_lossy(),
                "--output",
                &collected.to_string_lossy(),
                "--quiet",
            ],
        )?;
        drop(server);
        let packed = fs::metadata(&collected)?.len();
        fs::remove_file(&collected)?;
        fs::remove_file(&archive)?;
        bench.row(Row {
            what: "support bundle, from a served one",
            input: format!("{pods} pods, {}", megabytes(bytes)),
            ours,
            note: format!("bundle {}", megabytes(packed)),
            peer: None,
            budget: "≤ 120 MB; memory as at a fiftieth of the pods",
        });
    }
    Ok(())
}

struct Server {
    process: Running,
    address: String,
    token: String,
}

impl Server {
    fn start(bench: &Bench, archive: &Path) -> Result<Self> {
        let kubeconfig = bench.folder().join("kubeconfig");
        match fs::remove_file(&kubeconfig) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let process = Command::new(&bench.binary)
            .arg("serve")
            .arg(archive)
            .arg("--quiet")
            .arg("--write-kubeconfig")
            .arg(&kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let mut server = Self {
            process: Running(process),
            address: String::new(),
            token: String::new(),
        };
        let deadline = Instant::now() + READY_DEADLINE;
        loop {
            let text = fs::read_to_string(&kubeconfig).unwrap_or_default();
            if let (Some(address), Some(token)) = (field(&text, "server"), field(&text, "token")) {
                server.address = address;
                server.token = token;
                return Ok(server);
            }
            if server.process.0.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("the server wrote no kubeconfig");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Asks this many times at once and returns the bytes of all answers.
    fn ask(&self, path: &str, parallel: usize) -> Result<u64> {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--fail",
            "--parallel",
            "--globoff",
        ])
        .args(["--parallel-immediate", "--write-out", "%{size_download}\n"])
        .args(["--header", &format!("Authorization: Bearer {}", self.token)]);
        for _ in 0..parallel {
            curl.args(["--output", "/dev/null"])
                .arg(format!("{}{path}", self.address));
        }
        let sizes = output(&mut curl)?;
        Ok(sizes
            .lines()
            .filter_map(|line| line.parse::<u64>().ok())
            .sum())
    }
}

/// The value of a field that a kubeconfig has once, whether it is written as YAML or as JSON.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines()
        .map(|line| line.trim().trim_start_matches("- ").replace('"', ""))
        .find_map(|line| {
            let value = line.strip_prefix(name)?.strip_prefix(':')?;
            Some(value.trim().trim_end_matches(',').to_owned())
        })
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_is_read_in_both_forms() {
        assert_eq!(
            field(
                "clusters:\n- cluster:\n    server: http://127.0.0.1:1\n",
                "server"
            )
            .as_deref(),
            Some("http://127.0.0.1:1")
        );
        assert_eq!(
            field("{\n  \"token\": \"abc\",\n}", "token").as_deref(),
            Some("abc")
        );
        assert_eq!(field("nothing: here", "token"), None);
    }
}

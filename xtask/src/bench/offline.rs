//! Rows that need no servers: start-up, redaction, archive, analysis.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::measure::{Usage, here, measure};
use super::objects::Size;
use super::{Bench, Row, bundle};
use crate::command::{self, is_installed};

/// The peer's program.
const PEER: &str = "support-bundle";

/// A literal that is in no log, and an alternation that ignores case.
const TEXTS: &[(&str, &str, &str)] = &[
    (
        "text analyzer, rare literal",
        "never written anywhere",
        "≥ 5 × peer; ≥ 350 MB/s",
    ),
    (
        "text analyzer, alternation",
        r"(?i)panic: .*goroutine \d+|out of memory: killed process \d+|x509: certificate .* expired",
        "≥ 30 × peer; ≥ 350 MB/s",
    ),
];

/// Measures every row.
pub(super) fn run(bench: &mut Bench) -> Result<()> {
    start_up(bench)?;
    let logs = bench.folder().join("logs");
    let bytes = bundle::write_logs(&logs, bench.log_megabytes, 200)?;
    let archive = redact(bench, "redact, logs", &logs, bytes, "≥ 50 × peer")?;
    fs::remove_dir_all(&logs)?;
    for (what, regex, budget) in TEXTS {
        let spec = bench.folder().join("text.yaml");
        fs::write(
            &spec,
            include_str!("specs/text.yaml").replace("REGEX", regex),
        )?;
        analyze(bench, what, &archive, bytes, &spec, budget)?;
    }
    fs::remove_file(&archive)?;

    let size = Size::with_pods(bench.pods);
    let cluster = bench.folder().join("cluster");
    let bytes = bundle::write_cluster(&cluster, size)?;
    let archive = redact(bench, "redact, JSON", &cluster, bytes, "≥ 50 × peer")?;
    fs::remove_dir_all(&cluster)?;
    let one = bench.folder().join("one.yaml");
    fs::write(&one, include_str!("specs/one.yaml"))?;
    analyze(
        bench,
        "open an indexed archive, 1 analyzer",
        &archive,
        bytes,
        &one,
        "reads one member",
    )?;
    let fifty = bench.folder().join("fifty.yaml");
    fs::write(&fifty, include_str!("specs/fifty.yaml"))?;
    analyze(
        bench,
        "analysis, 50 analyzers",
        &archive,
        bytes,
        &fifty,
        "≥ 20 × peer",
    )?;
    bench.cluster_archive = Some(archive);
    Ok(())
}

fn start_up(bench: &mut Bench) -> Result<()> {
    let ours = measure(&here, bench.folder(), &bench.binary, &["--version"])?;
    let peer = bench.peer(PEER, &["version"])?;
    bench.row(Row {
        what: "start-up",
        input: "--version".to_owned(),
        ours,
        note: String::new(),
        peer,
        budget: "≤ 1/5 of the peer's CPU, ≤ 1/3 of its memory",
    });
    Ok(())
}

/// Redacts a folder into an archive, which later rows read.
fn redact(
    bench: &mut Bench,
    what: &'static str,
    folder: &Path,
    bytes: u64,
    budget: &'static str,
) -> Result<std::path::PathBuf> {
    let archive = folder.with_extension("tar.gz");
    let (from, to) = (folder.to_string_lossy(), archive.to_string_lossy());
    let ours = measure(
        &here,
        bench.folder(),
        &bench.binary,
        &["redact", &from, "--output", &to, "--quiet"],
    )?;
    let peer = peer_redacts(bench, folder)?;
    let packed = fs::metadata(&archive)?.len();
    bench.row(Row {
        what,
        input: megabytes(bytes),
        ours,
        note: format!("{}; archive {}", speed(bytes, ours), megabytes(packed)),
        peer,
        budget,
    });
    Ok(archive)
}

/// The peer reads archives, and asks for a spec of redactors on top of its own.
fn peer_redacts(bench: &Bench, folder: &Path) -> Result<Option<Usage>> {
    if !is_installed(PEER) {
        return Ok(None);
    }
    let (raw, redacted) = (
        folder.with_extension("raw.tar.gz"),
        folder.with_extension("peer.tar.gz"),
    );
    let (parent, name) = (folder.parent(), folder.file_name());
    let (parent, name) = parent.zip(name).context("a folder in the bench's own")?;
    let (mut pack, spec) = (Command::new("tar"), bench.folder().join("redactor.yaml"));
    command::run(pack.arg("-C").arg(parent).arg("-czf").arg(&raw).arg(name))?;
    fs::write(&spec, include_str!("specs/redactor.yaml"))?;
    let usage = bench.peer(
        PEER,
        &[
            "redact",
            &spec.to_string_lossy(),
            "--bundle",
            &raw.to_string_lossy(),
            "--output",
            &redacted.to_string_lossy(),
        ],
    )?;
    fs::remove_file(raw)?;
    Ok(usage)
}

fn analyze(
    bench: &mut Bench,
    what: &'static str,
    archive: &Path,
    bytes: u64,
    spec: &Path,
    budget: &'static str,
) -> Result<()> {
    let (archive, spec) = (archive.to_string_lossy(), spec.to_string_lossy());
    let arguments = ["analyze", "--bundle", &archive, "--format", "json", &spec];
    let ours = measure(&here, bench.folder(), &bench.binary, &arguments)?;
    ensure!(
        ours.complete,
        "{what}: not every analyzer of {spec} was evaluated"
    );
    let peer = bench.peer(
        PEER,
        &["analyze", "--bundle", &archive, "--output", "json", &spec],
    )?;
    bench.row(Row {
        what,
        input: megabytes(bytes),
        ours,
        note: speed(bytes, ours),
        peer,
        budget,
    });
    Ok(())
}

pub(super) fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}

#[expect(clippy::cast_precision_loss, reason = "a speed of three digits")]
fn speed(bytes: u64, usage: Usage) -> String {
    format!(
        "{:.0} MB per CPU s",
        bytes as f64 / 1e6 / usage.cpu.max(0.01)
    )
}

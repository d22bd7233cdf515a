//! Rows of the redactor alone, without archive and compression: speed, and how it compares to one scan of an automaton
//! over the same bytes, which does not depend on the machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::measure::Usage;
use super::objects::Size;
use super::offline::megabytes;
use super::{Bench, Row, bundle};
use crate::command::output;
use crate::project_root;

/// Megabytes of each input, all of which the program holds in memory.
const MEGABYTES: u64 = 100;

/// What `bundle/benches/redaction.rs` prints.
#[derive(Deserialize)]
struct Measured {
    bytes: u64,
    redaction: f64,
    automaton: f64,
}

/// Measures every row.
pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let folder = bench.folder().join("redaction");
    for (what, lines, budget) in [
        ("redaction alone, logs", 200, "≥ 200 MB/s; ≤ 3 × automaton"),
        ("redaction alone, a secret in every line", 1, "≥ 25 MB/s"),
    ] {
        bundle::write_logs(&folder, MEGABYTES, lines)?;
        row(bench, what, &folder, budget)?;
    }
    bundle::write_cluster(&folder, Size::with_pods(bench.pods.min(4000)))?;
    row(
        bench,
        "redaction alone, JSON",
        &folder,
        "≥ 150 MB/s; ≤ 3 × automaton",
    )
}

/// Runs the program over a folder, and removes it.
fn row(bench: &mut Bench, what: &'static str, folder: &Path, budget: &'static str) -> Result<()> {
    let printed = output(
        Command::new("cargo")
            .current_dir(project_root())
            .args([
                "bench",
                "--quiet",
                "--package",
                "assay-bundle",
                "--bench",
                "redaction",
                "--",
            ])
            .arg(folder),
    )?;
    fs::remove_dir_all(folder)?;
    let measured: Measured = serde_json::from_str(printed.trim())
        .context("the benchmark of the redactor prints JSON")?;
    #[expect(clippy::cast_precision_loss, reason = "a speed of three digits")]
    let megabytes_each_second = measured.bytes as f64 / 1e6 / measured.redaction;
    bench.row(Row {
        what,
        input: megabytes(measured.bytes),
        ours: Usage {
            wall: measured.redaction,
            cpu: measured.redaction,
            rss: 0.0,
            complete: true,
        },
        note: format!(
            "{megabytes_each_second:.0} MB/s on one core; {:.1} × an automaton",
            measured.redaction / measured.automaton
        ),
        peer: None,
        budget,
    });
    Ok(())
}

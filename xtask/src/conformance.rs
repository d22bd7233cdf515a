//! `cargo xtask conformance`: the neutral cases of troubleshoot's behaviour, against the static release binary.
//!
//! The cases are data that is not part of this project; without the folder there is nothing to do.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::command::run;
use crate::{project_root, static_binary};

/// The groups of cases that this version answers: the kinds of its analyzers, each of which has a file of cases of its
/// own under the same name, and redaction.
fn kinds() -> Result<Vec<String>> {
    let folder = project_root().join("analyzers/cases");
    let attempt = || format!("failed to read {}", folder.display());
    let mut kinds = vec!["redact".to_owned()];
    for entry in fs::read_dir(&folder).with_context(attempt)? {
        let path = entry.with_context(attempt)?.path();
        let stem = path.file_stem().unwrap_or_default();
        kinds.push(stem.to_string_lossy().into_owned());
    }
    kinds.sort();
    Ok(kinds)
}

/// `cargo xtask conformance`
#[derive(Debug, Args)]
pub(crate) struct ConformanceTask {
    /// The folder with `run_cases.py` and the cases
    #[arg(
        long,
        env = "ASSAY_CONFORMANCE",
        default_value = "../shared/conformance"
    )]
    data: PathBuf,
    /// The cases' folder below it
    #[arg(long, default_value = "dev")]
    cases: String,
    /// A binary that is there already, instead of the static release build
    #[arg(long)]
    bin: Option<PathBuf>,
}

/// Runs the cases; what is answered differently on purpose stands in `tests/differences.jsonl`.
pub(crate) fn conformance(task: &ConformanceTask) -> Result<()> {
    let data = project_root().join(&task.data);
    let runner = data.join("run_cases.py");
    if !runner.exists() {
        bail!(
            "failed to find {}: name the folder with --data or ASSAY_CONFORMANCE",
            runner.display()
        );
    }
    let binary = match &task.bin {
        Some(binary) => binary.clone(),
        None => static_binary::build()?,
    };
    run(Command::new("python3")
        .arg(&runner)
        .arg("--bin")
        .arg(&binary)
        .args(["--strict-errors", "--filter", &kinds()?.join(",")])
        .arg("--differences")
        .arg(project_root().join("tests/differences.jsonl"))
        .arg(data.join(&task.cases)))
}

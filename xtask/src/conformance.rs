//! `cargo xtask conformance`: the neutral cases of troubleshoot's behaviour, against the static release binary.
//!
//! The cases are data that is not part of this project; without the folder there is nothing to do.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::command::run;
use crate::{project_root, static_binary};

/// The groups of cases that this version answers: the kinds of its analyzers, and redaction.
const KINDS: &[&str] = &[
    "clusterPodStatuses",
    "clusterVersion",
    "customResourceDefinition",
    "deploymentStatus",
    "distribution",
    "host-cpu",
    "host-hostOS",
    "host-memory",
    "host-registryImages",
    "jsonCompare",
    "nodeResources",
    "postgres",
    "redact",
    "registryImages",
    "s3Status",
    "statefulsetStatus",
    "storageClass",
    "textAnalyze",
    "velero",
];

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
        .args(["--strict-errors", "--filter", &KINDS.join(",")])
        .arg("--differences")
        .arg(project_root().join("tests/differences.jsonl"))
        .arg(data.join(&task.cases)))
}

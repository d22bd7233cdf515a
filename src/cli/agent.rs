//! `assay agent`: what runs in the pods that a run makes.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use checks::run::Stop;

use super::{Done, block_on, collect};
use crate::exit::Exit;

/// The flags of `assay agent`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Arguments {
    /// What is to be done, as the run wrote it
    #[arg(value_name = "FILE")]
    request: PathBuf,
}

/// Runs `assay agent`. Nothing but the answer goes to stdout.
pub(super) fn run(arguments: &Arguments) -> Done {
    let path = &arguments.request;
    let request = std::fs::read(path)
        .with_context(|| format!("failed to read the request {}", path.display()))?;
    block_on(async {
        let stop = Stop::default();
        collect::listen(&stop)?;
        let mut stdout = std::io::stdout().lock();
        checks::agent::carry_out(&request, &stop, &mut stdout)
            .await
            .map_err(|error| anyhow!(error))
    })??;
    Ok(Exit::Pass)
}

//! Opening a bundle that the operator names: an archive or a folder.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use bundle::Files;
use bundle::archive::Limits;
use bundle::io::ReadAt;

use super::say;
use crate::storage::{DiskFile, DiskSpool, Folder};

/// How many of a bundle's problems are told on stderr.
const PROBLEMS_SHOWN: usize = 10;

/// Opens `path` and tells on stderr what is wrong with it and could be read all the same.
pub(super) fn open(path: &Path) -> anyhow::Result<Files> {
    let files = quietly(path)?;
    let problems = files.problems();
    for problem in problems.iter().take(PROBLEMS_SHOWN) {
        say(&format!("warning: {}: {problem}", path.display()));
    }
    if problems.len() > PROBLEMS_SHOWN {
        let more = problems.len() - PROBLEMS_SHOWN;
        say(&format!(
            "warning: {}: {more} more problems",
            path.display()
        ));
    }
    Ok(files)
}

/// Opens `path`; what is wrong with it is for the caller to tell.
pub(super) fn quietly(path: &Path) -> anyhow::Result<Files> {
    let attempt = || format!("failed to open the bundle {}", path.display());
    if std::fs::metadata(path).with_context(attempt)?.is_dir() {
        Files::folder(Arc::new(Folder::new(path.to_owned())), Limits::default())
    } else {
        let file: Arc<dyn ReadAt> = Arc::new(DiskFile::open(path).with_context(attempt)?);
        // A stranger's archive is unpacked, compressed, where the machine keeps what is temporary.
        let spool = DiskSpool::new(std::env::temp_dir());
        Files::archive(&file, &spool, Limits::default())
    }
    .with_context(attempt)
}

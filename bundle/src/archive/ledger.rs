//! Who writes which path, and what did not come into the archive.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;

use crate::manifest::{Gap, GapReason, Manifest};
use crate::overlap::{Dialect, Pattern};
use crate::path::BundlePath;

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A path has one writer; a file cannot be a folder.
    #[error("cannot write {path}: {taken} was already written")]
    Taken {
        /// The path refused.
        path: BundlePath,
        /// What it clashes with: itself, a folder on its way, or something below it.
        taken: String,
    },
    /// The archive's disk is full. [`ArchiveWriter::flush`](super::ArchiveWriter::flush) makes room for the tail.
    #[error("the archive's disk is full: {0}")]
    Full(#[source] io::Error),
    /// The disk is too full to begin: not even the least that a bundle's tail needs could be set aside.
    #[error(
        "fewer than {} KiB are free on its disk ({error}): make room, or write the bundle to another disk", least >> 10
    )]
    NoRoom {
        /// What was tried last, in bytes.
        least: u64,
        /// What the disk said.
        #[source]
        error: io::Error,
    },
    /// The archive's file refused bytes; the archive can still be closed with what it has.
    #[error("cannot write the archive: {0}")]
    Output(#[source] io::Error),
    /// A file longer than a block found no place to wait: this file is lost, others are not.
    #[error("cannot spool {path}: {error}")]
    Spool {
        /// The file.
        path: BundlePath,
        /// What the spool said.
        #[source]
        error: io::Error,
    },
    /// The source of [`ArchiveWriter::copy_from`](super::ArchiveWriter::copy_from) failed: this file is lost, others are not.
    #[error("cannot read what is to become {path}: {error}")]
    Source {
        /// The file.
        path: BundlePath,
        /// What the source said.
        #[source]
        error: io::Error,
    },
    /// The top folder's name is not one path segment.
    #[error("{0:?} cannot be the archive's top folder: it must be one path segment")]
    Root(String),
    /// The archive was finished.
    #[error("the archive is already finished")]
    Finished,
}

/// A path that is not in the archive as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The path.
    pub path: BundlePath,
    /// What happened to it.
    pub kind: LossKind,
}

/// What happened to a path.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LossKind {
    /// A second writer was refused; the first one's file is there.
    Taken,
    /// Its sink was dropped before its end; no file is there.
    Dropped,
    /// It ends early.
    Cut {
        /// Why.
        reason: GapReason,
        /// What was attempted and what came back.
        detail: String,
    },
    /// It could not be redacted, and why; a stub is there.
    Withheld(String),
    /// The archive could not take it, and why; no file is there.
    Output(String),
}

/// Who writes what, and what went wrong.
#[derive(Default)]
pub(crate) struct Ledger {
    claims: BTreeSet<BundlePath>,
    pub(crate) losses: Vec<Loss>,
    /// Masks set, per redactor.
    pub(crate) masks: BTreeMap<String, u64>,
    /// Files that could not be redacted, with the reason.
    pub(crate) withheld: BTreeMap<String, String>,
    pub(crate) finished: bool,
}

impl Ledger {
    /// Gives `path` to a writer; a second one is refused, and that is recorded.
    pub(crate) fn claim(&mut self, path: &BundlePath) -> Result<(), WriteError> {
        let path = path.clone();
        match clash(&self.claims, &path) {
            None => {
                self.claims.insert(path);
                Ok(())
            }
            Some(taken) => {
                let kind = LossKind::Taken;
                self.losses.push(Loss {
                    path: path.clone(),
                    kind,
                });
                Err(WriteError::Taken { path, taken })
            }
        }
    }

    /// Whether somebody writes or wrote `path`.
    pub(crate) fn contains(&self, path: &BundlePath) -> bool {
        self.claims.contains(path)
    }

    /// How many paths have a writer.
    pub(crate) fn claimed(&self) -> usize {
        self.claims.len()
    }

    /// Records what became of a file. Where none is in the archive, its path is free again.
    pub(crate) fn lose(&mut self, path: &BundlePath, kind: LossKind) {
        match &kind {
            LossKind::Dropped | LossKind::Output(_) => {
                self.claims.remove(path);
            }
            LossKind::Withheld(reason) => {
                self.withheld
                    .insert(path.as_str().to_owned(), reason.clone());
            }
            LossKind::Taken | LossKind::Cut { .. } => {}
        }
        self.losses.push(Loss {
            path: path.clone(),
            kind,
        });
    }

    /// Adds to the manifest's `lost` what no collector's gap accounts for: a bundle that is written from another
    /// one keeps what that had lost. A path that was written in the
    /// end, and one that redaction withheld, are no gaps of this kind.
    pub(crate) fn complete(&self, manifest: &mut Manifest) {
        let recorded = manifest
            .collectors
            .iter()
            .flat_map(|collector| &collector.gaps);
        let recorded: Vec<Pattern> = recorded
            .map(|gap| Pattern::new(&gap.path, Dialect::Gap))
            .collect();
        let mut lost = Vec::new();
        for Loss { path, kind } in &self.losses {
            let (reason, detail) = match kind {
                LossKind::Taken | LossKind::Withheld(_) => continue,
                LossKind::Dropped | LossKind::Output(_) if self.claims.contains(path) => continue,
                LossKind::Dropped => (GapReason::Failed, "its collector ended before the file did"),
                LossKind::Cut { reason, detail } => (*reason, detail.as_str()),
                LossKind::Output(detail) => (GapReason::Failed, detail.as_str()),
            };
            let literal = Pattern::literal(path.as_str());
            if matches!(kind, LossKind::Output(_))
                || !recorded.iter().any(|gap| gap.overlaps(&literal))
            {
                lost.push(Gap {
                    path: path.as_str().to_owned(),
                    reason,
                    detail: detail.to_owned(),
                });
            }
        }
        manifest.lost.extend(lost);
    }
}

/// What `path` cannot stand beside: itself, a folder on its way that is a file, something below it.
fn clash(claims: &BTreeSet<BundlePath>, path: &BundlePath) -> Option<String> {
    if claims.contains(path) {
        return Some(path.to_string());
    }
    let text = path.as_str();
    let folders = text.match_indices('/').map(|(at, _)| &text[..at]);
    if let Some(folder) = folders.into_iter().find(|folder| claims.contains(*folder)) {
        return Some(folder.to_owned());
    }
    let below = format!("{text}/");
    let next = claims
        .range::<str, _>((Bound::Included(below.as_str()), Bound::Unbounded))
        .next()?;
    next.as_str().starts_with(&below).then(|| next.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_folder() -> Result<(), crate::path::PathError> {
        let claims: BTreeSet<BundlePath> = ["a/b", "c"]
            .into_iter()
            .map(BundlePath::new)
            .collect::<Result<_, _>>()?;
        for (path, taken) in [
            ("a/b", Some("a/b")),
            ("a", Some("a/b")),
            ("a/b/c", Some("a/b")),
            ("c/d", Some("c")),
            ("a/bc", None),
            ("a.b", None),
        ] {
            assert_eq!(
                clash(&claims, &BundlePath::new(path)?).as_deref(),
                taken,
                "{path}"
            );
        }
        Ok(())
    }
}

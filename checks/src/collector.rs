//! What a collector is, and all that it can reach.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bundle::manifest::{Gap, GapReason};
use bundle::path::PathError;
use bundle::{ArchiveWriter, BundlePath, FileSink, WriteError};
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;
use syntax::config::{ConfigError, Parsed};

use crate::agent::{Image, Place};
use crate::cluster::Cluster;
use crate::fingerprint::Salt;
use crate::host::Host;

/// Where a collector looks, and so which list of a spec names it: `collectors` or `hostCollectors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `collectors`
    Cluster,
    /// `hostCollectors`
    Host,
}

/// A row of the registry: everything that `explain`, the schema, `rbac`, the reference pages and lint know
/// of a kind of collector.
#[derive(Debug)]
pub struct CollectorKind {
    /// The key in a spec, `clusterResources`.
    pub name: &'static str,
    /// Troubleshoot's name for it in titles and file names, `cluster-resources`.
    pub type_name: &'static str,
    /// Which list names it.
    pub scope: Scope,
    /// One line.
    pub summary: &'static str,
    /// The plug-in's doc comment: What it collects, Files, Permissions, Example.
    pub docs: &'static str,
    /// The release that brought it.
    pub since: &'static str,
    /// Reads the plug-in's own configuration: the spec's object without `collectorName` and `exclude`.
    pub parse: Parse,
    /// The configuration's JSON Schema.
    pub schema: fn() -> Value,
}

/// Reads a plug-in's configuration.
pub type Parse = fn(&Value, &Meta) -> Result<Parsed<Box<dyn Collector>>, ConfigError>;

/// The fields that every collector has (`CollectorMeta`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// `collectorName`, empty when absent.
    pub name: String,
}

/// How a collector treats its target, and so how it is scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// Reads: runs beside others.
    Reads,
    /// Creates, executes, copies or binds: in spec order, one at a time.
    Acts,
    /// Measures: alone.
    Measures,
}

/// A request that a collector makes, as data: from it come the access review, `rbac` and the docs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission {
    /// `get`, `list`, `create`.
    pub verb: &'static str,
    /// The API group, empty for core.
    pub group: String,
    /// The plural, with the subresource after a slash: `pods/log`.
    pub resource: String,
    /// The namespace; `None` is cluster-wide.
    pub namespace: Option<String>,
    /// One object's name; `None` is any.
    pub name: Option<String>,
}

impl fmt::Display for Permission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(formatter, ".{}", self.group)?;
        }
        if let Some(name) = &self.name {
            write!(formatter, " {name:?}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(formatter, " in namespace {namespace:?}"),
            None => formatter.write_str(" cluster-wide"),
        }
    }
}

/// One collector with its configuration.
#[async_trait]
pub trait Collector: fmt::Debug + Send + Sync {
    /// `<type>` or `<type>/<name or selector>`, as troubleshoot titles it in progress and file names.
    fn title(&self) -> String;

    /// How it is scheduled.
    fn conduct(&self) -> Conduct {
        Conduct::Reads
    }

    /// What it asks of the API, given the run's namespace override.
    fn permissions(&self, namespace: Option<&str>) -> Vec<Permission>;

    /// Whether it is of use with only some of its permissions. If not, it is not run when one is denied.
    fn degrades(&self) -> bool {
        false
    }

    /// Those of its permissions without which it is not run: all of them, or none where it degrades.
    fn required(&self, namespace: Option<&str>) -> Vec<Permission> {
        if self.degrades() {
            Vec::new()
        } else {
            self.permissions(namespace)
        }
    }

    /// The files it may write, as globs over bundle paths (`*` within a segment, `**` across): what is
    /// missing when it is refused or cut, and where two collectors of a plan would meet.
    fn files(&self, namespace: Option<&str>) -> Vec<String>;

    /// Where it is to run, given the run's namespace override. Where that is a pod, the harness runs it there:
    /// its configuration is that of [`Collector::portable`], and its files come back as if it had run here.
    fn place(&self, _namespace: Option<&str>) -> Place {
        Place::Here
    }

    /// Its configuration, as its kind's `parse` reads it, to be run where there is no cluster to ask and none of
    /// this machine's files: each reference is replaced by what it leads to, and `from` says here. `None` where a
    /// reference that leads nowhere is the answer, which is then in `output`. Only asked of a collector whose
    /// [`Collector::place`] is a pod.
    async fn portable(
        &self,
        _context: &Context,
        _output: &Output,
    ) -> Result<Option<Value>, CollectError> {
        Err(CollectError::Failed(format!(
            "{} cannot run in a pod",
            self.title()
        )))
    }

    /// How long it may take in all, where its configuration says so.
    fn deadline(&self) -> Option<Duration> {
        None
    }

    /// Collects into `output`. An error ends this collector only; what was written stays. The future is
    /// dropped at a deadline or signal: what must be undone is told to [`Context::at_end`] before it is
    /// done.
    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError>;

    /// Whether, by what [`Collector::collect`] found, there is something for [`Collector::collect_last`].
    /// Its files are announced by then.
    fn comes_back(&self) -> bool {
        false
    }

    /// Collects what must come after every other collector has ended.
    async fn collect_last(&self, _context: &Context, _output: &Output) -> Result<(), CollectError> {
        Ok(())
    }
}

/// All that a collector can reach.
#[derive(Clone)]
pub struct Context {
    /// The cluster, where the run has one.
    pub cluster: Option<Arc<Cluster>>,
    /// The host.
    pub host: Host,
    /// `--namespace`.
    pub namespace: Option<String>,
    /// `--since`/`--since-time`: only logs younger than this, over what a spec says.
    pub logs_since: Option<jiff::Timestamp>,
    /// The run's id, a label on everything that is created.
    pub run_id: String,
    /// What makes the run's fingerprints of secrets comparable.
    pub salt: Salt,
    /// The image of this program for pods, where one is named.
    pub agent_image: Option<Image>,
    /// What is to be undone when the collector has ended.
    pub cleanups: Cleanups,
}

/// Work to be done when a collector has ended, in whichever way.
#[derive(Clone, Default)]
pub struct Cleanups(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl Context {
    /// The cluster, or the reason why a collector that needs one cannot run.
    pub fn cluster(&self) -> Result<&Arc<Cluster>, CollectError> {
        self.cluster
            .as_ref()
            .ok_or_else(|| CollectError::Failed("this run has no cluster to ask".to_owned()))
    }

    /// Has `work` done when the collector ends: normally, by an error, a panic, a deadline or a signal. The
    /// last told is done first; each piece of work has 30 seconds.
    pub fn at_end(&self, work: impl Future<Output = ()> + Send + 'static) {
        locked(&self.cleanups.0).push(Box::pin(work));
    }
}

impl Cleanups {
    pub(crate) fn take(&self) -> Vec<BoxFuture<'static, ()>> {
        let mut taken = std::mem::take(&mut *locked(&self.0));
        taken.reverse();
        taken
    }
}

/// Why a collector ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The API or the host refused.
    #[error("{0}")]
    Refused(String),
    /// A deadline passed.
    #[error("{0}")]
    Deadline(String),
    /// The archive cannot take more.
    #[error(transparent)]
    Output(#[from] WriteError),
    /// A name from the cluster or the spec makes no path inside a bundle.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Anything else: what was attempted, on what, what came back.
    #[error("{0}")]
    Failed(String),
}

impl CollectError {
    /// Why data is therefore missing.
    #[must_use]
    pub fn gap_reason(&self) -> GapReason {
        match self {
            Self::Refused(_) => GapReason::Refused,
            Self::Deadline(_) => GapReason::Deadline,
            Self::Output(_) | Self::Path(_) | Self::Failed(_) => GapReason::Failed,
        }
    }
}

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
    bytes: AtomicU64,
    files: AtomicU64,
    gaps: Mutex<Vec<Gap>>,
    expected: Mutex<Option<BTreeSet<String>>>,
}

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
        Self::planned(archive, BTreeSet::new(), Box::new(|_| ()))
    }

    pub(crate) fn planned(
        archive: Arc<ArchiveWriter>,
        ceded: BTreeSet<BundlePath>,
        progress: Progress,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                archive,
                ceded,
                progress,
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

    pub(crate) fn written(&self) -> Written {
        Written {
            bytes: self.shared.bytes.load(Ordering::Relaxed),
            files: self.shared.files.load(Ordering::Relaxed),
            gaps: locked(&self.shared.gaps).clone(),
            outstanding: locked(&self.shared.expected).clone(),
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
        if let Some(sink) = &mut self.sink {
            sink.write(&self.buffer)?;
        }
        (self.shared.progress)(self.buffer.len() as u64);
        self.buffer.clear();
        Ok(())
    }
}

/// A lock whose holder never panics half-way: what it guards is whole even when poisoned.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

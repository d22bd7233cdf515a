//! The main job, in order: create the archive, collect into it, read it back, judge it, close it.
//!
//! Analysis reads the archive just written through the reader that opens a stranger's bundle, so a live
//! verdict is the offline verdict. Whatever ends the run early (a deadline, a signal, a full disk), the archive
//! is closed with what it has, judged, and says what is missing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use analyzers::Check;
use anyhow::Context as _;
use bundle::archive::LossKind;
use bundle::manifest::{self, CollectorRecord, Ending, Manifest};
use bundle::{ArchiveWriter, BundlePath, Redactor, WriterOptions};
use checks::run::{Observer, Planned, Settings, Stop};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::report::Report;
use crate::report::summary::{self, AnalyzerTiming};
use crate::report::troubleshoot;
use crate::storage::{DiskFile, DiskSpool, NewArchive, Threads, folder_of};

/// What a run is to do.
pub struct Run {
    /// The spec's name, for the report.
    pub name: String,
    /// The collectors, in spec order.
    pub plan: Vec<Planned>,
    /// What the collectors can reach.
    pub context: checks::Context,
    /// How the run is limited.
    pub settings: Settings,
    /// The analyzers; empty for a collection without judgement.
    pub checks: Vec<Check>,
    /// `None` writes in clear: the operator said `--redact=false`.
    pub redactor: Option<Redactor>,
    /// The bundle's path; it must not exist.
    pub output: PathBuf,
    /// `metadata/user.json`, where the caller gave any.
    pub metadata: Vec<(String, String)>,
    /// Whether `execution-data/summary.txt` is written: in support bundles, not after a preflight.
    pub summary: bool,
}

/// Collects, judges and closes the bundle. An error means that there is no usable bundle at the output.
pub async fn run(mut run: Run, observer: &Observer, stop: &Stop) -> anyhow::Result<Report> {
    let started = Instant::now();
    let collected_at = Timestamp::now();
    let redactor = run.redactor.take();
    let root = root_of(&run.output);
    let writer = create(&run.output, root, collected_at, redactor)?;
    let writer = Arc::new(writer);
    write(&writer, "version.yaml", version_yaml().as_bytes())?;
    let ran = checks::run::run(
        &run.plan,
        &run.context,
        &writer,
        &run.settings,
        observer,
        stop,
    )
    .await;
    let close = Close {
        output: run.output,
        collected_at,
        started,
        ending: ran.ending,
        metadata: run.metadata,
        summary: run.summary,
    };
    let (name, checks) = (run.name, run.checks);
    // Analysis and the archive's tail are work for a core, not for the reactor.
    tokio::task::spawn_blocking(move || close.judge(&writer, name, &checks, ran.records))
        .await
        .context("the analysis ended unexpectedly")?
}

/// Begins the archive at `path`, which must not exist, with `root` as its top folder. Where that fails, no file is
/// left that would be taken for a bundle.
pub(crate) fn create(
    path: &Path,
    root: String,
    collected_at: Timestamp,
    redactor: Option<Redactor>,
) -> anyhow::Result<ArchiveWriter> {
    let attempt = || format!("failed to create the bundle {}", path.display());
    let file = NewArchive::create(path).map_err(|error| with_advice(error).context(attempt()))?;
    let options = WriterOptions::new(
        root,
        collected_at.as_second(),
        Arc::new(DiskSpool::new(folder_of(path))),
        Arc::new(Threads::new()),
    );
    let writer = match redactor {
        Some(redactor) => ArchiveWriter::new(Box::new(file), redactor, options),
        None => ArchiveWriter::unredacted(Box::new(file), options),
    };
    if writer.is_err() {
        let _ = std::fs::remove_file(path);
    }
    writer.with_context(attempt)
}

/// What to do about a file that cannot be created.
fn with_advice(error: io::Error) -> anyhow::Error {
    use io::ErrorKind::{AlreadyExists, NotFound, PermissionDenied, ReadOnlyFilesystem};
    let advice = match error.kind() {
        AlreadyExists => "choose another name, or remove the file that is there",
        NotFound | PermissionDenied | ReadOnlyFilesystem => "write it to another folder",
        _ => return error.into(),
    };
    anyhow::anyhow!("{error}: {advice}")
}

/// The archive's single top folder: its file name without the ending.
pub(crate) fn root_of(path: &Path) -> String {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let stem = name
        .strip_suffix(".tar.gz")
        .or_else(|| name.strip_suffix(".tgz"))
        .unwrap_or(&name);
    if stem.is_empty() {
        "support-bundle".to_owned()
    } else {
        stem.to_owned()
    }
}

/// The bundle's first member (`SupportBundleVersion` of troubleshoot).
pub(crate) fn version_yaml() -> String {
    format!(
        "apiVersion: troubleshoot.sh/v1beta2\nkind: SupportBundle\nspec:\n  versionNumber: v{}\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn write(writer: &ArchiveWriter, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let attempt = || format!("failed to write {path} into the bundle");
    let path = BundlePath::new(path).with_context(attempt)?;
    let mut sink = writer.file(&path).with_context(attempt)?;
    sink.write(bytes).with_context(attempt)?;
    sink.finish().with_context(attempt)
}

/// What is needed to judge and close a bundle once collection has ended.
struct Close {
    output: PathBuf,
    collected_at: Timestamp,
    started: Instant,
    ending: Ending,
    metadata: Vec<(String, String)>,
    summary: bool,
}

impl Close {
    fn judge(
        self,
        writer: &ArchiveWriter,
        name: String,
        checks: &[Check],
        mut records: Vec<CollectorRecord>,
    ) -> anyhow::Result<Report> {
        if !self.metadata.is_empty() {
            let pairs: serde_json::Map<_, _> = self
                .metadata
                .into_iter()
                .map(|(key, value)| (key, value.into()))
                .collect();
            let text = serde_json::to_string_pretty(&pairs)?;
            write(writer, "metadata/user.json", text.as_bytes())?;
        }
        redact_texts(&mut records);
        let mut manifest = Manifest {
            format: manifest::FORMAT,
            tool: concat!("assay ", env!("CARGO_PKG_VERSION")).to_owned(),
            collected_at: self.collected_at,
            finished_at: Timestamp::now(),
            ending: self.ending,
            redaction: writer.redaction(),
            collectors: records,
            lost: Vec::new(),
        };
        let file = DiskFile::open(&self.output)
            .with_context(|| format!("failed to read back {}", self.output.display()))?;
        let files = writer
            .flush(Arc::new(file), manifest.clone())
            .with_context(|| format!("failed to read back {}", self.output.display()))?;
        let lost = files.manifest().map_or_else(Vec::new, |it| it.lost.clone());
        if manifest.ending == Ending::Complete {
            // The disk may be full only when the last block is written out.
            let full = writer
                .losses()
                .into_iter()
                .find_map(|loss| match loss.kind {
                    LossKind::Output(detail) => Some(detail),
                    _ => None,
                });
            manifest.ending = full.map_or(Ending::Complete, Ending::Output);
        }
        let analysis = Instant::now();
        let evaluations = analyzers::evaluate(checks, &files);
        let each = milliseconds(analysis) / evaluations.len().max(1) as u64;
        let timings: Vec<_> = evaluations
            .iter()
            .map(|evaluation| AnalyzerTiming::of(evaluation, each))
            .collect();
        let mut report = Report::new(name, evaluations, manifest.collectors.clone());
        report.lost = lost;
        let entries = troubleshoot::entries(&report);
        write(
            writer,
            "analysis.json",
            troubleshoot::analysis_json(&entries)?.as_bytes(),
        )?;
        if self.summary {
            let took = milliseconds(self.started);
            let text = summary::summary(&manifest.collectors, &timings, took);
            write(writer, "execution-data/summary.txt", text.as_bytes())?;
        }
        manifest.redaction = writer.redaction();
        manifest.finished_at = Timestamp::now();
        writer
            .finish(&manifest)
            .with_context(|| format!("failed to close the bundle {}", self.output.display()))?;
        report.bundle = Some(self.output);
        Ok(report)
    }
}

/// Error texts may quote what a server or a program said. They are masked before the analysis reads them, so that
/// it says the same as one that reads them from the archive.
fn redact_texts(records: &mut [CollectorRecord]) {
    for record in records {
        record.error = crate::cli::redacted(&record.error);
        for gap in &mut record.gaps {
            gap.detail = crate::cli::redacted(&gap.detail);
        }
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// `<stem>-2026-01-02T15_04_05.tar.gz` in the working directory, local time, ` (1)` and so on where it exists.
#[must_use]
pub fn default_output(stem: &str, now: Timestamp) -> PathBuf {
    let local = now.to_zoned(TimeZone::system());
    let name = format!("{stem}-{}", local.strftime("%Y-%m-%dT%H_%M_%S"));
    unused(Path::new("."), &name)
}

/// The first of `name.tar.gz`, `name (1).tar.gz`, … that does not exist.
#[must_use]
pub fn unused(folder: &Path, name: &str) -> PathBuf {
    let mut path = folder.join(format!("{name}.tar.gz"));
    let mut number = 0_u32;
    while path.symlink_metadata().is_ok() {
        number += 1;
        path = folder.join(format!("{name} ({number}).tar.gz"));
    }
    path
}

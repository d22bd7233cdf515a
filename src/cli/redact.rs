//! `assay redact` and `support-bundle redact`: a bundle in, a masked bundle out.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, anyhow, bail};
use bundle::archive::Problem;
use bundle::manifest::{self, Ending, Gap, GapReason, Manifest};
use bundle::{ArchiveWriter, BundlePath, Files, Profile, Redactor, WriteError};
use jiff::Timestamp;

use super::own::{self, Global};
use super::{Done, Failure, load, open, print, say};
use crate::exit::Exit;
use crate::pipeline;

/// Flags of `assay redact`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The bundle, unless --bundle names it; then specs of kind Redactor
    #[arg(value_name = "BUNDLE|SPEC")]
    names: Vec<String>,
    /// The bundle: an archive or a folder
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<PathBuf>,
    /// The new bundle [default: redacted-BUNDLE]
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    /// Which default redactors run
    #[arg(long, value_enum, default_value_t)]
    redact_profile: own::Profile,
}

/// Flags of `support-bundle redact`.
#[derive(Debug, clap::Args)]
pub(super) struct PeerArguments {
    /// Specs of kind Redactor
    #[arg(value_name = "SPEC")]
    specs: Vec<String>,
    /// The bundle: an archive or a folder
    #[arg(long, value_name = "BUNDLE", required = true)]
    bundle: PathBuf,
    /// The new bundle
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    /// Nothing on stdout
    #[arg(long, short = 'q')]
    quiet: bool,
}

/// Runs `assay redact`.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Done {
    let (bundle, specs) = match (&arguments.bundle, arguments.names.split_first()) {
        (Some(bundle), _) => (bundle.clone(), arguments.names.as_slice()),
        (None, Some((bundle, specs))) => (PathBuf::from(bundle), specs),
        (None, None) => return Err(anyhow!("which bundle? `assay redact BUNDLE`").into()),
    };
    let redactor = load::redactor(specs, arguments.redact_profile.into(), &global.connection)?;
    let (output, is_whole) = redact(&bundle, arguments.output.as_deref(), redactor)?;
    if !global.quiet {
        say(&format!("Redacted bundle: {}", output.display()));
    }
    Ok(if is_whole { Exit::Pass } else { Exit::Unknown })
}

/// Runs `support-bundle redact`. On top of the peer's redactors ours run too: what it masks is masked.
pub(super) fn dropin(arguments: &PeerArguments) -> Done {
    let connection = super::connection::Connection::default();
    let redactor = load::redactor(&arguments.specs, Profile::Standard, &connection)?;
    let (output, is_whole) = redact(&arguments.bundle, arguments.output.as_deref(), redactor)?;
    if !arguments.quiet {
        print(&format!("{}\n", output.display()))?;
    }
    Ok(if is_whole { Exit::Pass } else { Exit::Error })
}

/// The new bundle, and whether all of the old one could be read.
fn redact(
    path: &Path,
    output: Option<&Path>,
    redactor: Redactor,
) -> Result<(PathBuf, bool), Failure> {
    let files = open::open(path)?;
    let output = match output {
        Some(output) => output.to_owned(),
        None => default_output(path)?,
    };
    let collected_at = files.collected_at();
    let root = files.root().filter(|root| !root.is_empty());
    let root = root.map_or_else(|| pipeline::root_of(&output), str::to_owned);
    let writer = pipeline::create(&output, root, collected_at, Some(redactor))?;
    let written = write(&files, &writer)
        .with_context(|| format!("failed to write the bundle {}", output.display()));
    if written.is_err() {
        // Half a bundle under its final name would be taken for a whole one.
        let _ = std::fs::remove_file(&output);
    }
    let unread = written?;
    if let Some(first) = unread.first() {
        say(&format!(
            "warning: {}: {} files are left out because they cannot be read; the first: {}",
            path.display(),
            unread.len(),
            first.detail
        ));
    }
    Ok((output, unread.is_empty()))
}

/// `redacted-NAME.tar.gz` in the working directory.
fn default_output(path: &Path) -> anyhow::Result<PathBuf> {
    let name = std::path::absolute(path)?;
    let Some(name) = name.file_name() else {
        bail!(
            "{} has no name to derive the new bundle's from; pass --output FILE",
            path.display()
        );
    };
    let name = name.to_string_lossy();
    let stem = name
        .strip_suffix(".tar.gz")
        .or_else(|| name.strip_suffix(".tgz"))
        .or_else(|| name.strip_suffix(".zip"))
        .unwrap_or(&name);
    Ok(pipeline::unused(
        Path::new("."),
        &format!("redacted-{stem}"),
    ))
}

/// How many files are redacted side by side, at most. Each takes about 30 MB, and two give compression enough to do.
const LANES: usize = 2;

/// Copies what can be read, and returns what cannot.
fn write(files: &Files, writer: &ArchiveWriter) -> anyhow::Result<Vec<Gap>> {
    let is_version = |path: &&BundlePath| path.as_str() == VERSION;
    let mut unread: Vec<Gap> = Vec::new();
    for path in files.paths().filter(is_version) {
        unread.extend(copy(files, path, writer)?);
    }
    let paths: Vec<&BundlePath> = files.paths().filter(|path| !is_version(path)).collect();
    unread.extend(copy_all(files, &paths, writer)?);
    unread.sort_by(|a, b| a.path.cmp(&b.path));
    for path in manifest::AFTER_ANALYSIS {
        let path = BundlePath::new(path)?;
        if path.as_str() != manifest::PATH
            && !writer.contains(&path)
            && let Ok(bytes) = files.report(path.as_str())
        {
            writer
                .copy_from(&path, &mut &bytes[..])
                .with_context(|| format!("failed to copy {path}"))?;
        }
    }
    let mut manifest = files.manifest().cloned().unwrap_or_else(|| Manifest {
        format: manifest::FORMAT,
        tool: concat!("assay ", env!("CARGO_PKG_VERSION")).to_owned(),
        collected_at: files.collected_at(),
        finished_at: Timestamp::now(),
        ending: Ending::Complete,
        redaction: manifest::Redaction::default(),
        collectors: Vec::new(),
        lost: Vec::new(),
    });
    // What could not be read of the old bundle is missing from the new one.
    let unseen = files.problems().iter().flat_map(Problem::gaps);
    manifest.lost.extend(unread.iter().cloned().chain(unseen));
    manifest.redaction = writer.redaction();
    writer.finish(&manifest)?;
    if let Some((path, reason)) = manifest.redaction.withheld.iter().next() {
        say(&format!(
            "warning: {} files could not be redacted and are left out; the first: {path}: {reason}",
            manifest.redaction.withheld.len()
        ));
    }
    Ok(unread)
}

const VERSION: &str = "version.yaml";

/// Copies the files on as many threads as there are cores, up to [`LANES`]: redaction of one file after the other leaves
/// a core idle that waits to compress. The first error ends all.
fn copy_all(
    files: &Files,
    paths: &[&BundlePath],
    writer: &ArchiveWriter,
) -> anyhow::Result<Vec<Gap>> {
    let next = AtomicUsize::new(0);
    let lane = || {
        let mut unread = Vec::new();
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            let copied = copy(files, path, writer);
            if copied.is_err() {
                next.store(paths.len(), Ordering::Relaxed);
            }
            unread.extend(copied?);
        }
        anyhow::Ok(unread)
    };
    let lanes = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes.min(LANES)).map(|_| scope.spawn(lane)).collect();
        let mut unread = Vec::new();
        for lane in lanes {
            let of_lane = lane
                .join()
                .unwrap_or_else(|_| Err(anyhow!("a thread that redacts ended early")))?;
            unread.extend(of_lane);
        }
        Ok(unread)
    })
}

/// Copies one file; the gap says why it cannot be read.
fn copy(files: &Files, path: &BundlePath, writer: &ArchiveWriter) -> anyhow::Result<Option<Gap>> {
    let attempt = || format!("failed to copy {path}");
    let unread = |detail: String| {
        Some(Gap {
            path: path.as_str().to_owned(),
            reason: GapReason::Malformed,
            detail,
        })
    };
    if let Some(target) = files.link_target(path.as_str()) {
        writer.link(path, &target).with_context(attempt)?;
        return Ok(None);
    }
    let mut source = match files.open(path.as_str()) {
        Ok(source) => source,
        Err(error) => return Ok(unread(error.to_string())),
    };
    match writer.copy_from(path, &mut source) {
        Ok(_) => Ok(None),
        Err(WriteError::Source { error, .. }) => {
            Ok(unread(format!("{path} cannot be read: {error}")))
        }
        Err(error) => Err(error).with_context(attempt),
    }
}

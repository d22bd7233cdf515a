//! `assay redact` and `support-bundle redact`: a bundle in, a masked bundle out.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use bundle::manifest::{self, Ending, Manifest};
use bundle::{ArchiveWriter, BundlePath, Files, Profile, Redactor};
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
    let output = redact(&bundle, arguments.output.as_deref(), redactor)?;
    if !global.quiet {
        say(&format!("Redacted bundle: {}", output.display()));
    }
    Ok(Exit::Pass)
}

/// Runs `support-bundle redact`. On top of the peer's redactors ours run too: what it masks is masked.
pub(super) fn dropin(arguments: &PeerArguments) -> Done {
    let connection = super::connection::Connection::default();
    let redactor = load::redactor(&arguments.specs, Profile::Standard, &connection)?;
    let output = redact(&arguments.bundle, arguments.output.as_deref(), redactor)?;
    if !arguments.quiet {
        print(&format!("{}\n", output.display()))?;
    }
    Ok(Exit::Pass)
}

fn redact(path: &Path, output: Option<&Path>, redactor: Redactor) -> Result<PathBuf, Failure> {
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
    written?;
    Ok(output)
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

fn write(files: &Files, writer: &ArchiveWriter) -> anyhow::Result<()> {
    let version = files.paths().find(|path| path.as_str() == VERSION);
    for path in version
        .into_iter()
        .chain(files.paths().filter(|path| path.as_str() != VERSION))
    {
        copy(files, path, writer)?;
    }
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
    manifest.redaction = writer.redaction();
    writer.finish(&manifest)?;
    if let Some((path, reason)) = manifest.redaction.withheld.iter().next() {
        say(&format!(
            "warning: {} files could not be redacted and are left out; the first: {path}: {reason}",
            manifest.redaction.withheld.len()
        ));
    }
    Ok(())
}

const VERSION: &str = "version.yaml";

fn copy(files: &Files, path: &BundlePath, writer: &ArchiveWriter) -> anyhow::Result<()> {
    let attempt = || format!("failed to copy {path}");
    if let Some(target) = files.link_target(path.as_str()) {
        return writer.link(path, &target).with_context(attempt);
    }
    let mut source = files.open(path.as_str()).with_context(attempt)?;
    writer.copy_from(path, &mut source).with_context(attempt)?;
    Ok(())
}

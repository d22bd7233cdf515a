//! `assay analyze` and `support-bundle analyze`: an existing bundle, judged by a spec.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::connection::Connection;
use super::load::{self, World};
use super::own::{Global, Output};
use super::{Done, Failure, block_on, collect, open, print};
use crate::exit::Exit;
use crate::report::{Report, troubleshoot};

/// Flags of `assay analyze`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Specs with analyzers
    #[arg(required = true, value_name = "SPEC")]
    specs: Vec<String>,
    /// The bundle: an archive or a folder
    #[arg(long, value_name = "BUNDLE")]
    bundle: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// Flags of `support-bundle analyze`.
#[derive(Debug, clap::Args)]
pub(super) struct PeerArguments {
    /// Specs with analyzers
    #[arg(required = true, value_name = "SPEC")]
    specs: Vec<String>,
    /// The bundle: an archive or a folder
    #[arg(long, value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Form of the results
    #[arg(long, value_enum, default_value_t)]
    output: PeerForm,
    /// Form of the results that other tools expect: `support-bundle`
    #[arg(long, hide = true, default_value = "")]
    compatibility: String,
    /// Nothing on stderr
    #[arg(long)]
    quiet: bool,
}

/// Forms of `support-bundle analyze`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum PeerForm {
    /// The raw results
    Json,
    /// The raw results
    #[default]
    Yaml,
}

/// Runs `assay analyze`.
pub(super) fn own(arguments: &Arguments, global: &Global) -> Done {
    let report = report(
        &arguments.specs,
        &arguments.bundle,
        &global.connection,
        true,
    )?;
    print(&collect::render(&report, &arguments.output)?)?;
    Ok(collect::exit(&report, &arguments.output))
}

/// Runs `support-bundle analyze`: exit 0 whatever the verdicts.
pub(super) fn dropin(arguments: &PeerArguments) -> Done {
    let connection = Connection::default();
    let report = report(&arguments.specs, &arguments.bundle, &connection, false)?;
    let entries = troubleshoot::entries(&report);
    let text = if arguments.compatibility == "support-bundle" {
        troubleshoot::analysis_json(&entries)? + "\n"
    } else {
        troubleshoot::raw_results(&entries, arguments.output == PeerForm::Yaml)?
    };
    print(&text)?;
    Ok(Exit::Pass)
}

fn report(
    specs: &[String],
    bundle: &Path,
    connection: &Connection,
    strict: bool,
) -> Result<Report, Failure> {
    let world = World::new(connection);
    let specs = block_on(load::specs(specs, true, &world))??;
    if strict {
        load::usable(&specs)?;
    }
    let plan = specs.analysis().map_err(Failure::spec)?;
    let files = open::open(bundle)?;
    let evaluations = analyzers::evaluate(&plan.checks(), &files);
    let mut report = Report::new(plan.name, evaluations, Vec::new());
    report.bundle = Some(bundle.to_owned());
    Ok(report)
}

//! `assay job`: what runs made in a cluster.

use std::sync::Arc;

use anyhow::Context as _;
use checks::leftovers::{self, Leftover};
use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;

use super::load::World;
use super::own::{Format, Global};
use super::{Done, block_on, print};
use crate::exit::Exit;
use crate::report::human::printable;

/// The flags of `assay job`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Remove what a killed run left in the cluster: pods and Secrets with the label assay-run-id
    #[command(
        after_help = "What belongs to a run that may still be under way stays: its collector's time is not up, and its process,\n\
                      where it ran on this machine, is there.\n\n\
                      Exit codes: 0 nothing is left, 1 could not look, 5 something is left.\n\n\
                      Examples: assay job clean --all-namespaces --dry-run\n          \
                                assay job clean -n shop --run-id 18a2b3c4d5e6f708-1f3a"
    )]
    Clean(Clean),
}

#[derive(Debug, Clone, clap::Args)]
struct Clean {
    /// Look into all namespaces, not only that of --namespace or of the kubeconfig
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// Only what this run made
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Also remove what belongs to a run that may still be under way; such a run then fails
    #[arg(long)]
    force: bool,
    /// Form of the list on stdout
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    exit_code: u8,
    dry_run: bool,
    leftovers: Vec<Entry>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(flatten)]
    leftover: Leftover,
    outcome: Outcome,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Outcome {
    /// It is gone.
    Removed,
    /// `--dry-run`
    WouldBeRemoved,
    /// Its run may be under way.
    InUse,
    /// It could not be removed.
    Left,
}

/// Runs `assay job`.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Done {
    let Command::Clean(flags) = &arguments.command;
    let world = World::new(&global.connection);
    let entries = block_on(async {
        let cluster = Arc::new(world.cluster().await?);
        let namespace = global.connection.namespace.as_deref();
        let namespace = namespace.filter(|namespace| !namespace.is_empty());
        let namespace = namespace.unwrap_or_else(|| cluster.namespace());
        let namespace = Some(namespace).filter(|_| !flags.all_namespaces);
        let place = namespace.map_or_else(
            || "any namespace".to_owned(),
            |namespace| format!("namespace {namespace:?}"),
        );
        let found = leftovers::find(
            &cluster,
            namespace,
            flags.run_id.as_deref(),
            Timestamp::now(),
        );
        let found = found
            .await
            .with_context(|| format!("failed to look for what runs left in {place}"))?;
        let mut entries = Vec::new();
        for leftover in found {
            let mut error = String::new();
            let outcome = if leftover.in_use && !flags.force {
                Outcome::InUse
            } else if flags.dry_run {
                Outcome::WouldBeRemoved
            } else {
                match leftover.remove(&cluster).await {
                    Ok(()) => Outcome::Removed,
                    Err(reason) => {
                        error = reason;
                        Outcome::Left
                    }
                }
            };
            entries.push(Entry {
                leftover,
                outcome,
                error,
            });
        }
        anyhow::Ok((entries, place))
    })?;
    let (entries, place) = entries?;
    let is_left = |entry: &Entry| entry.outcome != Outcome::Removed;
    let exit = if entries.iter().any(is_left) {
        Exit::Unknown
    } else {
        Exit::Pass
    };
    let document = Document {
        schema_version: 1,
        exit_code: exit.code(),
        dry_run: flags.dry_run,
        leftovers: entries,
    };
    let text = match flags.format {
        Format::Human => human(&document.leftovers, &place),
        Format::Json => format!("{}\n", serde_json::to_string_pretty(&document)?),
        Format::Yaml => syntax::yaml::emit(&serde_json::to_value(&document)?),
    };
    print(&text)?;
    Ok(exit)
}

fn human(entries: &[Entry], place: &str) -> String {
    if entries.is_empty() {
        return format!("Nothing of assay's is left in {place}.\n");
    }
    let lines = entries.iter().map(|entry| {
        let Leftover {
            kind,
            namespace,
            name,
            run_id,
            ends_by,
            ..
        } = &entry.leftover;
        let what = format!("{kind}/{name} in namespace {namespace}, of run {run_id}");
        match entry.outcome {
            Outcome::Removed => format!("removed        {what}\n"),
            Outcome::WouldBeRemoved => format!("would remove   {what}\n"),
            Outcome::InUse => {
                let until = ends_by.map(|time| format!(" until {time:.0}"));
                let until = until.unwrap_or_default();
                format!("in use         {what}: it may be under way{until}; --force removes it all the same\n")
            }
            Outcome::Left => format!("still there    {what}: {}\n", entry.error),
        }
    });
    printable(&lines.collect::<String>())
}

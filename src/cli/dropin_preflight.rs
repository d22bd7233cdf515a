//! `preflight`, `kubectl preflight`: troubleshoot's flags, output and exit codes.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::collect::{self, Kind};
use super::connection::Connection;
use super::{Done, print};
use crate::exit::Exit;

/// Run and retrieve preflight checks in a cluster.
#[derive(Debug, Parser)]
#[command(
    name = "preflight",
    disable_version_flag = true,
    max_term_width = 100,
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    after_help = "Exit codes: 0 passed, 1 error, 2 the spec is wrong, 3 a check failed, 4 a check warned."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the current version and exit
    Version,
}

/// Flags accepted and without effect here say so in their help.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the peer's flags")]
struct Flags {
    /// Specs: files, `-`, URLs, secret/NAMESPACE/NAME[/KEY], configmap/NAMESPACE/NAME[/KEY], pack:NAME
    #[arg(required = true, value_name = "SPEC")]
    specs: Vec<String>,
    /// Show progress and results interactively
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    interactive: bool,
    /// Output format: human, json or yaml
    #[arg(long, default_value = "human")]
    format: String,
    /// Write the results to this file
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    /// Collect the rest when permissions are missing
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    collect_without_permissions: bool,
    /// Image of remote collectors (no remote collector runs in this release)
    #[arg(long, default_value = "")]
    collector_image: String,
    /// Pull policy of remote collectors (no remote collector runs in this release)
    #[arg(long, default_value = "")]
    collector_pullpolicy: String,
    /// Nodes of remote collectors (no remote collector runs in this release)
    #[arg(long, default_value = "")]
    selector: String,
    /// Collect logs since this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since_time: Option<String>,
    /// Collect logs of this last stretch
    #[arg(long, value_name = "DURATION")]
    since: Option<String>,
    /// Log every request and decision on stderr
    #[arg(long)]
    debug: bool,
    /// Print the merged specs instead of running them
    #[arg(long)]
    dry_run: bool,
    /// Do not follow a spec's `uri`
    #[arg(long)]
    no_uri: bool,
    /// Accepted; this program never updates itself
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set, hide = true)]
    auto_update: bool,
    #[command(flatten)]
    ignored: Ignored,
    #[command(flatten)]
    connection: Connection,
}

/// What Go programs take and we accept without effect.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Ignored {
    /// Accepted without effect
    #[arg(long, short = 'v', value_name = "N", hide = true)]
    v: Option<String>,
    /// Accepted without effect
    #[arg(long, hide = true)]
    cpuprofile: Option<PathBuf>,
    /// Accepted without effect
    #[arg(long, hide = true)]
    memprofile: Option<PathBuf>,
    /// Accepted without effect: nothing is cached
    #[arg(long, hide = true)]
    cache_dir: Option<PathBuf>,
    /// Accepted without effect
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set, hide = true)]
    disable_compression: bool,
}

/// Runs the command.
pub(super) fn run(arguments: Arguments) -> Done {
    let Arguments { command, flags } = arguments;
    if let Some(Command::Version) = command {
        print(&format!("assay {}\n", env!("CARGO_PKG_VERSION")))?;
        return Ok(Exit::Pass);
    }
    super::log::start(flags.debug);
    let format = match flags.format.as_str() {
        "human" => collect::PeerFormat::Human,
        "json" => collect::PeerFormat::Json,
        "yaml" => collect::PeerFormat::Yaml,
        other => {
            return Err(anyhow::anyhow!(
                "unknown output format {other:?}: it is human, json or yaml"
            )
            .into());
        }
    };
    collect::dropin(&collect::Dropin {
        kind: Kind::Preflight,
        specs: flags.specs,
        connection: flags.connection,
        redactors: Vec::new(),
        redact: true,
        bundle: None,
        results: flags.output,
        format,
        interactive: flags.interactive,
        since_time: flags.since_time,
        since: flags.since,
        no_uri: flags.no_uri,
        dry_run: flags.dry_run,
        collect_without_permissions: flags.collect_without_permissions,
        cluster_specs: None,
        metadata: Vec::new(),
    })
}

//! `support-bundle`, `kubectl support-bundle`: troubleshoot's flags, output and exit codes.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::collect::{self, Kind};
use super::connection::Connection;
use super::dropin_preflight::Ignored;
use super::{Done, analyze, print, redact};
use crate::exit::Exit;

/// Generate a support bundle from a cluster.
#[derive(Debug, Parser)]
#[command(
    name = "support-bundle",
    disable_version_flag = true,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    after_help = "Exit codes: 0 done (also when checks failed), 1 error, 2 the spec is wrong."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Analyze a support bundle
    Analyze(analyze::PeerArguments),
    /// Redact a support bundle
    Redact(redact::PeerArguments),
    /// Print the current version and exit
    Version,
}

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the peer's flags")]
struct Flags {
    /// Specs: files, `-`, URLs, secret/NAMESPACE/NAME[/KEY], configmap/NAMESPACE/NAME[/KEY], pack:NAME
    #[arg(value_name = "SPEC")]
    specs: Vec<String>,
    /// Further redactors; repeatable
    #[arg(long, value_name = "SPEC", value_delimiter = ',')]
    redactors: Vec<String>,
    /// Mask secrets
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    redact: bool,
    /// Show progress and results interactively
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    interactive: bool,
    /// Collect the rest when permissions are missing
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    collect_without_permissions: bool,
    /// Labels of the specs in the cluster
    #[arg(
        long,
        short = 'l',
        default_value = "troubleshoot.sh/kind=support-bundle"
    )]
    selector: String,
    /// Also load the specs that lie in the cluster; implied without a SPEC
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    load_cluster_specs: bool,
    /// Collect logs since this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since_time: Option<String>,
    /// Collect logs of this last stretch
    #[arg(long, value_name = "DURATION")]
    since: Option<String>,
    /// Where the bundle goes
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    /// Log every request and decision on stderr
    #[arg(long)]
    debug: bool,
    /// Print the merged specs instead of running them
    #[arg(long)]
    dry_run: bool,
    /// Do not follow a spec's `uri`
    #[arg(long)]
    no_uri: bool,
    /// KEY=VALUE for metadata/user.json; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// Seconds for remote host collectors (none runs in this release)
    #[arg(long, default_value_t = 30)]
    remote_host_collect_timeout: u64,
    /// Accepted; this program never updates itself
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set, hide = true)]
    auto_update: bool,
    #[command(flatten)]
    ignored: Ignored,
    #[command(flatten)]
    connection: Connection,
}

/// Runs the command.
pub(super) fn run(arguments: Arguments) -> Done {
    let Arguments { command, flags } = arguments;
    super::log::start(flags.debug);
    match command {
        Some(Command::Version) => {
            print(&format!("assay {}\n", env!("CARGO_PKG_VERSION")))?;
            return Ok(Exit::Pass);
        }
        Some(Command::Analyze(arguments)) => return analyze::dropin(&arguments),
        Some(Command::Redact(arguments)) => return redact::dropin(&arguments),
        None => {}
    }
    let cluster_specs =
        (flags.load_cluster_specs || flags.specs.is_empty()).then_some(flags.selector);
    collect::dropin(&collect::Dropin {
        kind: Kind::SupportBundle,
        specs: flags.specs,
        connection: flags.connection,
        redactors: flags.redactors,
        redact: flags.redact,
        bundle: flags.output,
        results: None,
        format: collect::PeerFormat::Json,
        interactive: flags.interactive,
        since_time: flags.since_time,
        since: flags.since,
        no_uri: flags.no_uri,
        dry_run: flags.dry_run,
        collect_without_permissions: flags.collect_without_permissions,
        cluster_specs,
        metadata: flags.metadata,
    })
}

//! `assay`: our own command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use super::connection::Connection;
use super::{
    Done, agent, airgap, analyze, budgets, collect, demo, job, packs, redact, reference, serve,
    verify,
};

/// Preflight checks and support bundles for software that runs in other people's Kubernetes clusters.
#[derive(Debug, Parser)]
#[command(
    name = "assay",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 all passed, 1 could not do it, 2 the spec is wrong, 3 a check failed, 4 a check warned,\n\
                  5 something that the spec names was not collected or not evaluated.\n\n\
                  Try `assay demo`: it needs no cluster."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Global {
    #[command(flatten)]
    pub(super) connection: Connection,
    /// Log every request and decision on stderr, without secrets
    #[arg(long, short = 'v', global = true)]
    pub(super) debug: bool,
    /// No progress on stderr
    #[arg(long, short = 'q', global = true)]
    pub(super) quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Collect what a spec asks for, judge it, and say pass, warn, fail or unknown
    #[command(
        after_help = "Example: kubectl assay preflight preflight.yaml --format json\n         \
                            assay preflight preflight.yaml --plan"
    )]
    Preflight(Collecting),
    /// Collect what a spec asks for into a support bundle
    #[command(
        after_help = "Example: assay collect support-bundle.yaml -o bundle.tar.gz\n         \
                            assay collect support-bundle.yaml --max-size 50Mi --max-log-bytes 1Mi\n         \
                            assay collect support-bundle.yaml --plan --format yaml"
    )]
    Collect(Collecting),
    /// Judge an existing bundle by a spec
    #[command(after_help = "Example: assay analyze --bundle support-bundle.tar.gz preflight.yaml")]
    Analyze(analyze::Arguments),
    /// Check an archive of container images before it is carried into an air gap
    #[command(after_help = "Example: assay airgap verify application.airgap --need rendered/")]
    Airgap(airgap::Arguments),
    /// Mask secrets in an existing bundle, into a new one
    #[command(
        after_help = "Example: assay redact support-bundle.tar.gz -o clean.tar.gz redactors.yaml"
    )]
    Redact(redact::Arguments),
    /// Say whether a bundle is whole, what is missing from it and why, who wrote it and when
    #[command(
        after_help = "Exit codes: 0 whole, 3 damaged, 5 incomplete, or nothing to prove it with.\n\n\
                      Example: assay verify support-bundle.tar.gz"
    )]
    Verify(verify::Arguments),
    /// Serve a bundle as a read-only Kubernetes API for kubectl
    #[command(after_help = "Example: assay serve support-bundle.tar.gz\n         \
                            kubectl --kubeconfig ./assay-kubeconfig get pods -A -o json")]
    Serve(serve::Arguments),
    /// Run a preflight against a recorded cluster, with nothing else installed
    #[command(after_help = "Example: assay demo")]
    Demo(demo::Arguments),
    /// Explain a collector or an analyzer, or all of them
    #[command(after_help = "Example: assay explain nodeResources")]
    Explain(reference::Explain),
    /// List the specs that come with the program, or print one
    #[command(
        after_help = "Example: assay packs gpu > gpu.yaml\n         assay preflight pack:gpu"
    )]
    Packs(packs::Arguments),
    /// See to what runs made in a cluster
    #[command(after_help = "Example: assay job clean --all-namespaces --dry-run")]
    Job(job::Arguments),
    /// Run one collector in a pod and print its bundle; started by `preflight` and `collect`
    #[command(hide = true)]
    Agent(agent::Arguments),
    /// Print the JSON Schema of specs
    #[command(after_help = "Example: assay schema > schema.json")]
    Schema,
}

/// The flags of `preflight` and `collect`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Collecting {
    /// Specs: files, `-`, URLs, secret/NAMESPACE/NAME[/KEY], configmap/NAMESPACE/NAME[/KEY], pack:NAME
    #[arg(required = true, value_name = "SPEC")]
    pub(super) specs: Vec<String>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) redaction: Redaction,
    /// Where the bundle goes [default: preflightbundle-TIME.tar.gz or support-bundle-TIME.tar.gz here]
    #[arg(long = "output", short = 'o', value_name = "FILE")]
    pub(super) bundle: Option<PathBuf>,
    /// Print what would be read, created and permitted, and do nothing else: exit 0, or 5 where a permission is missing
    #[arg(long)]
    pub(super) plan: bool,
    /// Longest time for the whole run; what is there by then is bundled and judged
    #[arg(long, value_name = "DURATION", default_value = "15m")]
    pub(super) deadline: String,
    #[command(flatten)]
    pub(super) agent: Agent,
    #[command(flatten)]
    pub(super) writing: Writing,
    #[command(flatten)]
    pub(super) budgets: budgets::Budgets,
    /// Collect logs since this time (RFC 3339)
    #[arg(long, value_name = "TIME", conflicts_with = "since")]
    pub(super) since_time: Option<String>,
    /// Collect logs of this last stretch, as 5m or 2h
    #[arg(long, value_name = "DURATION")]
    pub(super) since: Option<String>,
    /// Do not follow a spec's `uri` to a newer spec
    #[arg(long)]
    pub(super) no_uri: bool,
    /// Refuse to collect at all when a permission is missing, instead of collecting the rest
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set,
        hide_short_help = true
    )]
    pub(super) collect_without_permissions: bool,
}

/// How pods of this program are made, for collectors with `from: pod`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Pods")]
pub(super) struct Agent {
    /// Image of assay for collectors with `from: pod` [default: the environment's `ASSAY_AGENT_IMAGE`]
    #[arg(long, value_name = "IMAGE")]
    pub(super) agent_image: Option<String>,
    /// Secret to pull that image with, in the namespace of the pod
    #[arg(long, value_name = "SECRET")]
    pub(super) agent_pull_secret: Option<String>,
}

impl Agent {
    /// The image that is named by flag, environment, or whoever built this program.
    pub(super) fn image(self) -> Option<checks::agent::Image> {
        let environment = || std::env::var("ASSAY_AGENT_IMAGE").ok();
        let built_in = || option_env!("ASSAY_AGENT_IMAGE").map(str::to_owned);
        let given = |name: &String| !name.is_empty();
        let name = self.agent_image.filter(given);
        let name = name.or_else(|| environment().filter(given));
        Some(checks::agent::Image {
            name: name.or_else(|| built_in().filter(given))?,
            pull_secret: self.agent_pull_secret.filter(given),
        })
    }
}

/// The operator's consent to writing, beside the spec's own.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Writing")]
pub(super) struct Writing {
    /// Let collectors that the spec allows it write to the services they probe; they remove it again
    #[arg(long)]
    pub(super) allow_writes: bool,
    /// Only remove what earlier runs that were killed left in those services
    #[arg(long, requires = "allow_writes")]
    pub(super) cleanup: bool,
}

impl Writing {
    pub(super) fn consent(self) -> checks::collector::Writes {
        match (self.allow_writes, self.cleanup) {
            (false, _) => checks::collector::Writes::Refused,
            (true, false) => checks::collector::Writes::Allowed,
            (true, true) => checks::collector::Writes::CleanUp,
        }
    }
}

/// How a report is printed and when it fails.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Output {
    /// Form of the report on stdout
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Exit 0 unless a verdict is at least this bad
    #[arg(long, value_enum, value_name = "VERDICT")]
    pub(super) fail_on: Option<FailOn>,
}

/// Forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    /// For a person
    #[default]
    Human,
    /// One JSON object
    Json,
    /// The same as YAML
    Yaml,
}

/// The least bad verdict that is not exit 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    /// Failed checks only
    Fail,
    /// Failed or warned checks
    Warn,
    /// Anything but a pass
    Unknown,
}

/// What is masked.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Redaction")]
pub(super) struct Redaction {
    /// Further redactors: specs of kind Redactor; repeatable
    #[arg(long, value_name = "SPEC", value_delimiter = ',')]
    pub(super) redactors: Vec<String>,
    /// Which default redactors run
    #[arg(long, value_enum, default_value_t)]
    pub(super) redact_profile: Profile,
    /// Mask secrets; `--redact=false` writes them in clear
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set,
        hide_short_help = true
    )]
    pub(super) redact: bool,
}

/// Default redactors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Profile {
    /// Troubleshoot's, and what its patterns miss
    #[default]
    Standard,
    /// Troubleshoot's only
    Troubleshoot,
}

impl From<Profile> for bundle::Profile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Standard => Self::Standard,
            Profile::Troubleshoot => Self::Troubleshoot,
        }
    }
}

/// Runs the command.
pub(super) fn run(arguments: Arguments) -> Done {
    let Arguments { command, global } = arguments;
    super::log::start(global.debug);
    match command {
        Command::Preflight(flags) => collect::own(collect::Kind::Preflight, flags, &global),
        Command::Collect(flags) => collect::own(collect::Kind::SupportBundle, flags, &global),
        Command::Analyze(flags) => analyze::own(&flags, &global),
        Command::Airgap(flags) => airgap::run(&flags, &global),
        Command::Redact(flags) => redact::run(&flags, &global),
        Command::Verify(flags) => verify::run(&flags, &global),
        Command::Serve(flags) => serve::run(&flags, &global),
        Command::Demo(flags) => demo::run(&flags, &global),
        Command::Job(flags) => job::run(&flags, &global),
        Command::Agent(flags) => agent::run(&flags),
        Command::Explain(flags) => reference::explain(&flags),
        Command::Packs(flags) => packs::run(&flags),
        Command::Schema => reference::schema(),
    }
}

//! `assay preflight`, `assay collect`, and the drop-in commands that collect.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bundle::{Profile, Redactor};
use checks::collector::Writes;
use checks::fingerprint::Salt;
use checks::host::Host;
use checks::run::{Planned, Settings, Stop};
use checks::{Cluster, Context, Scope};
use jiff::Timestamp;

use super::budgets::Limits;
use super::connection::Connection;
use super::load::{self, World};
use super::own::{Agent, Collecting, FailOn, Format, Global, Output};
use super::{Done, Failure, block_on, plan, print, say};
use crate::exit::Exit;
use crate::pipeline::{self, Run};
use crate::progress::{self, Mode};
use crate::report::{Report, human, json, troubleshoot};
use crate::spec::{Plan, Specs};

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Verdicts before an install.
    Preflight,
    /// A bundle for support.
    SupportBundle,
}

impl Kind {
    fn stem(self) -> &'static str {
        match self {
            Self::Preflight => "preflightbundle",
            Self::SupportBundle => "support-bundle",
        }
    }

    fn plan(self, specs: &Specs, dropin: bool) -> Result<Plan, Failure> {
        match self {
            Self::Preflight => specs.preflight().map_err(Failure::spec),
            Self::SupportBundle => specs
                .support_bundle()
                .map_err(|error| load::merge_failure(error, dropin)),
        }
    }
}

/// What both command lines hand over.
pub(super) struct Job<'a> {
    pub(super) kind: Kind,
    pub(super) world: &'a World<'a>,
    pub(super) plan: &'a Plan,
    pub(super) namespace: Option<String>,
    pub(super) redactor: Option<Redactor>,
    pub(super) agent_image: Option<checks::agent::Image>,
    pub(super) writes: Writes,
    pub(super) output: PathBuf,
    pub(super) since: Option<Timestamp>,
    pub(super) deadline: Option<Duration>,
    pub(super) limits: Limits,
    pub(super) collect_without_permissions: bool,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) mode: Mode,
    pub(super) stop: Stop,
}

/// A report, and whether the cluster could not be reached at all.
pub(super) struct Ran {
    pub(super) report: Report,
    pub(super) exit: Exit,
}

/// What became of a command.
enum Outcome {
    Plan(crate::report::plan::Plan),
    Ran(Ran),
}

/// Runs `assay preflight` and `assay collect`.
pub(super) fn own(kind: Kind, flags: Collecting, global: &Global) -> Done {
    let deadline = load::duration("--deadline", &flags.deadline)?;
    let since = load::since(flags.since.as_deref(), flags.since_time.as_deref())?;
    let limits = flags.budgets.limits()?;
    let world = World::new(&global.connection);
    let ran = block_on(async {
        let specs = load::specs(&flags.specs, flags.no_uri, &world).await?;
        load::usable(&specs)?;
        let plan = kind.plan(&specs, false)?;
        load::tell_left_out(&plan);
        let redactor = if flags.redaction.redact {
            let profile = flags.redaction.redact_profile.into();
            Some(compile(profile, &plan, &flags.redaction.redactors, &world).await?)
        } else {
            say("warning: --redact=false: the bundle will hold secrets in clear");
            None
        };
        let output = match flags.bundle {
            Some(path) => path,
            None => pipeline::default_output(kind.stem(), Timestamp::now()),
        };
        let job = Job {
            kind,
            world: &world,
            plan: &plan,
            namespace: global.connection.namespace.clone(),
            redactor,
            agent_image: flags.agent.image(),
            writes: flags.writing.consent(),
            output,
            since,
            deadline: Some(deadline).filter(|deadline| !deadline.is_zero()),
            limits,
            collect_without_permissions: flags.collect_without_permissions,
            metadata: Vec::new(),
            mode: Mode::choose(global.quiet, true),
            stop: Stop::default(),
        };
        if flags.plan {
            return plan::foresee(&job).await.map(Outcome::Plan);
        }
        run(job).await.map(Outcome::Ran)
    })??;
    let ran = match ran {
        Outcome::Plan(plan) => return plan::print(&plan, flags.output.format),
        Outcome::Ran(ran) => ran,
    };
    print(&render(&ran.report, &flags.output)?)?;
    Ok(ran.exit.and(exit(&ran.report, &flags.output)))
}

/// The report in the form asked for.
pub(super) fn render(report: &Report, output: &Output) -> anyhow::Result<String> {
    match output.format {
        Format::Human => {
            let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
            Ok(human::human(report, human::Style { terminal }))
        }
        Format::Json => json::json(report),
        Format::Yaml => json::yaml(report),
    }
}

/// The exit code of a report after `--fail-on`.
pub(super) fn exit(report: &Report, output: &Output) -> Exit {
    let exit = report.exit();
    let counts = match output.fail_on {
        None | Some(FailOn::Unknown) => true,
        Some(FailOn::Warn) => matches!(exit, Exit::Fail | Exit::Warn),
        Some(FailOn::Fail) => exit == Exit::Fail,
    };
    if counts { exit } else { Exit::Pass }
}

async fn compile(
    profile: Profile,
    plan: &Plan,
    further: &[String],
    world: &World<'_>,
) -> Result<Redactor, Failure> {
    let mut specs = load::redactor_specs(plan.redactors.iter())?;
    if !further.is_empty() {
        let loaded = load::specs(further, true, world).await?;
        load::usable(&loaded)?;
        specs.extend(load::redactor_specs(loaded.redactors())?);
    }
    load::compile(profile, &specs)
}

/// The peer's output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerFormat {
    Human,
    Json,
    Yaml,
}

/// What the drop-in command lines ask for.
#[expect(clippy::struct_excessive_bools, reason = "they are the peer's flags")]
pub(super) struct Dropin {
    pub(super) kind: Kind,
    pub(super) specs: Vec<String>,
    pub(super) connection: Connection,
    pub(super) redactors: Vec<String>,
    pub(super) redact: bool,
    /// `support-bundle -o`
    pub(super) bundle: Option<PathBuf>,
    /// `preflight -o`
    pub(super) results: Option<PathBuf>,
    pub(super) format: PeerFormat,
    pub(super) interactive: bool,
    pub(super) since_time: Option<String>,
    pub(super) since: Option<String>,
    pub(super) no_uri: bool,
    pub(super) dry_run: bool,
    pub(super) collect_without_permissions: bool,
    /// The selector of specs in the cluster, where they are wanted.
    pub(super) cluster_specs: Option<String>,
    pub(super) metadata: Vec<String>,
}

/// Runs a drop-in command.
pub(super) fn dropin(flags: &Dropin) -> Done {
    let since = load::since(flags.since.as_deref(), flags.since_time.as_deref())?;
    let metadata = metadata(&flags.metadata)?;
    let world = World::new(&flags.connection);
    let stop = Stop::default();
    let kind = flags.kind;
    let ran = block_on(async {
        let mut specs = load::specs_with_cluster(
            &flags.specs,
            flags.cluster_specs.as_deref(),
            flags.no_uri,
            &world,
        )
        .await?;
        let lost = std::mem::take(&mut specs.lost);
        let plan = kind.plan(&specs, true)?;
        if flags.dry_run {
            print(&plan.to_yaml())?;
            return Ok(None);
        }
        load::tell_left_out(&plan);
        if kind == Kind::Preflight && plan.checks().is_empty() {
            say("warning: no analyzers found, so there is nothing to check");
            return Ok(None);
        }
        let redactor = if flags.redact {
            Some(compile(Profile::Standard, &plan, &flags.redactors, &world).await?)
        } else {
            say("warning: --redact=false: the bundle will hold secrets in clear");
            None
        };
        let ran = run(Job {
            kind,
            world: &world,
            plan: &plan,
            namespace: flags.connection.namespace.clone(),
            redactor,
            agent_image: Agent::default().image(),
            writes: Writes::Refused,
            output: dropin_output(kind, flags.bundle.as_deref()),
            since,
            deadline: None,
            limits: Limits::default(),
            collect_without_permissions: flags.collect_without_permissions,
            metadata,
            mode: Mode::choose(false, flags.interactive),
            stop: stop.clone(),
        })
        .await?;
        Ok::<_, Failure>(Some((ran, lost)))
    })??;
    let Some((ran, lost)) = ran else {
        return Ok(Exit::Pass);
    };
    print_dropin(flags, &ran.report)?;
    let broken = if lost > 0 { Exit::Spec } else { Exit::Pass };
    let verdict = match kind {
        Kind::Preflight if stop.is_stopped() => Exit::Error,
        Kind::Preflight => troubleshoot::exit(&troubleshoot::entries(&ran.report)),
        Kind::SupportBundle => Exit::Pass,
    };
    Ok(ran.exit.and(broken).and(verdict))
}

fn print_dropin(flags: &Dropin, report: &Report) -> anyhow::Result<()> {
    let entries = troubleshoot::entries(report);
    if flags.kind == Kind::SupportBundle {
        let archive = report.bundle.as_deref().unwrap_or(Path::new(""));
        return print(&troubleshoot::support_bundle_json(
            &entries,
            &archive.display().to_string(),
        )?);
    }
    let text = match flags.format {
        PeerFormat::Human => troubleshoot::preflight_human(&report.name, &entries),
        PeerFormat::Json => troubleshoot::preflight_json(&entries)?,
        PeerFormat::Yaml => troubleshoot::preflight_yaml(&entries)?,
    };
    match &flags.results {
        None => print(&text),
        Some(path) => {
            std::fs::write(path, text)
                .with_context(|| format!("failed to write the results to {}", path.display()))?;
            print(&format!("Output written to '{}'\n", path.display()))
        }
    }
}

/// `-o X` is `X.tar.gz`, absolute; what exists is not overwritten.
fn dropin_output(kind: Kind, asked: Option<&Path>) -> PathBuf {
    let Some(asked) = asked else {
        return pipeline::default_output(kind.stem(), Timestamp::now());
    };
    let path = std::path::absolute(asked).unwrap_or_else(|_| asked.to_owned());
    let name = pipeline::root_of(&path);
    pipeline::unused(&crate::storage::folder_of(&path), &name)
}

/// `--metadata KEY=VALUE`
fn metadata(pairs: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    pairs
        .iter()
        .map(|pair| {
            let split = pair.split_once('=');
            split
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .ok_or_else(|| anyhow!("--metadata {pair:?} is not of the form KEY=VALUE"))
        })
        .collect()
}

pub(super) async fn run(job: Job<'_>) -> Result<Ran, Failure> {
    let mut planned = job.plan.collectors();
    let mut checks = job.plan.checks();
    if job.writes == Writes::CleanUp {
        planned.retain(|each| each.collector.cleans_up() && !each.excluded);
        let kinds: BTreeSet<&str> = planned.iter().map(|each| each.kind.name).collect();
        checks.retain(|check| check.kind.needs.iter().any(|kind| kinds.contains(kind)));
        if planned.is_empty() {
            return Err(Failure::spec(anyhow!(
                "--cleanup: no collector of the spec writes to a service, so there is nothing to remove"
            )));
        }
    }
    let (cluster, unreachable) = match cluster(&job, &planned).await {
        Ok(cluster) => (cluster, None),
        // What the hosts tell is not lost because the cluster does not answer.
        Err(error) if planned.iter().any(|each| each.kind.scope == Scope::Host) => {
            say(&super::log::redacted(&format!("error: {error:#}")));
            (None, Some(error))
        }
        Err(error) => return Err(error.into()),
    };
    if !job.collect_without_permissions
        && let Some(cluster) = &cluster
    {
        refuse_without_permissions(cluster, &planned, job.namespace.as_deref()).await?;
    }
    listen(&job.stop)?;
    let settings = settings(&job);
    let context = context(&job, cluster);
    let report = pipeline::run(
        Run {
            name: job.plan.name.clone(),
            plan: planned,
            context,
            settings,
            checks,
            redactor: job.redactor,
            output: job.output,
            metadata: job.metadata,
            summary: job.kind == Kind::SupportBundle,
        },
        &progress::observer(job.mode),
        &job.stop,
    )
    .await?;
    let exit = if unreachable.is_some() {
        Exit::Error
    } else {
        Exit::Pass
    };
    Ok(Ran { report, exit })
}

/// How the run is limited.
pub(super) fn settings(job: &Job<'_>) -> Settings {
    Settings {
        run_deadline: job.deadline,
        budget: job.limits.collector,
        bundle_bytes: job.limits.bundle_bytes,
        error_files: job.kind == Kind::SupportBundle,
        ..Settings::default()
    }
}

/// What the collectors can reach.
pub(super) fn context(job: &Job<'_>, cluster: Option<Cluster>) -> Context {
    let namespace = job.namespace.clone();
    Context {
        cluster: cluster.map(Arc::new),
        host: Host::default(),
        namespace: namespace.filter(|namespace| !namespace.is_empty()),
        logs_since: job.since,
        log_budget: job.limits.log,
        ends_by: None,
        run_id: checks::leftovers::run_id(Timestamp::now(), std::process::id()),
        salt: Salt::default(),
        agent_image: job.agent_image.clone(),
        cleanups: checks::collector::Cleanups::default(),
        clock: checks::clock::Clock::default(),
        writes: job.writes,
    }
}

/// The cluster, where a collector needs one. It is asked for its version, so that one that does not answer, or knows
/// nobody by these credentials, is one clear error and not one for each collector.
pub(super) async fn cluster(job: &Job<'_>, planned: &[Planned]) -> anyhow::Result<Option<Cluster>> {
    let needed = planned
        .iter()
        .any(|each| each.kind.scope == Scope::Cluster && !each.excluded);
    if !needed {
        return Ok(None);
    }
    let cluster = job.world.cluster().await?;
    let error = match cluster.document("/version", &[]).await {
        Ok(_) => return Ok(Some(cluster)),
        Err(error) if error.is_forbidden() => return Ok(Some(cluster)),
        Err(error) => error,
    };
    let what = if error.is_refused() {
        "does not let us in"
    } else {
        "does not answer"
    };
    Err(anyhow!(error)).with_context(|| format!("the API server at {} {what}", cluster.server()))
}

/// `--collect-without-permissions=false`
async fn refuse_without_permissions(
    cluster: &Cluster,
    planned: &[Planned],
    namespace: Option<&str>,
) -> anyhow::Result<()> {
    let needed: BTreeSet<_> = planned
        .iter()
        .filter(|each| !each.excluded && each.kind.scope == Scope::Cluster)
        .flat_map(|each| each.collector.permissions(namespace))
        .collect();
    let mut denied = Vec::new();
    for permission in &needed {
        if !cluster.may(permission).await? {
            denied.push(format!("\n  {permission}"));
        }
    }
    if denied.is_empty() {
        return Ok(());
    }
    Err(anyhow!(
        "insufficient permissions to run all collectors; denied:{}",
        denied.concat()
    ))
}

/// The first signal ends the run with what is there; the second ends the program.
pub(super) fn listen(stop: &Stop) -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        for (kind, name) in [
            (SignalKind::interrupt(), "SIGINT"),
            (SignalKind::terminate(), "SIGTERM"),
            (SignalKind::hangup(), "SIGHUP"),
        ] {
            let mut signals = signal(kind).context("failed to listen for signals")?;
            let stop = stop.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    stopped(&stop, name);
                }
            });
        }
    }
    #[cfg(not(unix))]
    {
        let stop = stop.clone();
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                stopped(&stop, "SIGINT");
            }
        });
    }
    Ok(())
}

#[expect(
    clippy::exit,
    reason = "the operator asked twice; the archive is a valid prefix at any moment"
)]
fn stopped(stop: &Stop, name: &str) {
    if stop.is_stopped() {
        std::process::exit(130);
    }
    say(&format!(
        "{name}: closing the bundle with what is there; once more to end at once"
    ));
    stop.signal(name);
}

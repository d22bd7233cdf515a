//! `assay airgap`: archives of container images, before they are carried anywhere.
//!
//! `verify` is a preflight whose spec is made of the flags: the same collector, analyzer, bundle and reports. `diff`
//! has the same collector write two inventories, and compares them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bundle::collected::image_bundle::{FOLDER, INVENTORY, Inventory};
use bundle::collected::{List, node};
use bundle::{Files, Profile};
use clap::Subcommand;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::airgap_diff::{self, Changes};
use super::collect::{self, Job, Kind, Ran};
use super::load::{self, World};
use super::own::{Agent, Format, Global, Output};
use super::{Done, Failure, block_on, open, print};
use crate::exit::Exit;
use crate::progress::Mode;
use crate::spec::{self, Plan};

/// Flags of `assay airgap`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say whether an archive of images is whole, right, and holds every image that is wanted
    #[command(
        after_help = "Example: helm template chart/ | assay airgap verify application.airgap --need - --platform linux/amd64"
    )]
    Verify(Box<Verify>),
    /// Say what one archive of images has that another has not
    #[command(after_help = "Example: assay airgap diff release-41.airgap release-42.airgap")]
    Diff(Diff),
}

/// Flags of `assay airgap verify`.
#[derive(Debug, clap::Args)]
struct Verify {
    /// KOTS .airgap, OCI layout, docker save or a registry's storage: a file, a folder, or `-`
    file: String,
    /// Rendered charts and manifests whose images must be in it: files, folders, or `-`; repeatable
    #[arg(long, value_name = "FILE")]
    need: Vec<String>,
    /// Platforms that every image must be there for, as linux/arm64; repeatable
    #[arg(long = "platform", value_name = "PLATFORM", value_delimiter = ',')]
    platforms: Vec<String>,
    /// Take the platforms of the nodes in this bundle, or, with `cluster`, of those in the cluster
    #[arg(long, value_name = "BUNDLE", conflicts_with = "platforms")]
    nodes_from: Option<String>,
    /// The archive that this one is based on: what is not in this one may be in that
    #[arg(long, value_name = "FILE")]
    base: Option<String>,
    /// The local registry, with its namespace, for which --need was rendered: every image must come from it
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
    #[command(flatten)]
    expected: Expected,
    #[command(flatten)]
    room: Room,
    /// Do not unpack layers to compare their `diff_id`; digests and sizes are compared all the same
    #[arg(long)]
    skip_diff_ids: bool,
    #[command(flatten)]
    output: Output,
    /// Keep the bundle that the verdicts were read from, here
    #[arg(long = "output", short = 'o', value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Longest time for all of it
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    deadline: String,
    #[command(flatten)]
    agent: Agent,
}

/// What `airgap.yaml` must say.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The release that is meant (KOTS)")]
struct Expected {
    /// Its application
    #[arg(long, value_name = "SLUG")]
    app_slug: Option<String>,
    /// Its channel
    #[arg(long, value_name = "ID")]
    channel_id: Option<String>,
    /// Its version
    #[arg(long, value_name = "VERSION")]
    version_label: Option<String>,
    /// Its place in the channel
    #[arg(long, value_name = "CURSOR")]
    update_cursor: Option<String>,
}

/// What is free.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Room")]
#[expect(clippy::struct_field_names, reason = "the flags' names")]
struct Room {
    /// Free in the registry's storage, as 100Gi
    #[arg(long, value_name = "QUANTITY")]
    registry_free: Option<String>,
    /// Free for images on a node
    #[arg(long, value_name = "QUANTITY")]
    node_free: Option<String>,
    /// Free on the volume that the archive is loaded from
    #[arg(long, value_name = "QUANTITY")]
    load_free: Option<String>,
}

/// Flags of `assay airgap diff`.
#[derive(Debug, clap::Args)]
struct Diff {
    /// The older archive: a file, a folder, or `-`
    from: String,
    /// The newer archive: a file, a folder, or `-`
    to: String,
    /// Form of the comparison on stdout
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Longest time for all of it
    #[arg(long, value_name = "DURATION", default_value = "2h")]
    deadline: String,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Done {
    match &arguments.command {
        Command::Verify(flags) => verify(flags, global),
        Command::Diff(flags) => diff(flags, global),
    }
}

fn verify(flags: &Verify, global: &Global) -> Done {
    let deadline = load::duration("--deadline", &flags.deadline)?;
    let plan = plan(&verify_spec(flags)?)?;
    let folder = scratch()?;
    let bundle = flags.bundle.clone();
    let output = bundle
        .clone()
        .unwrap_or_else(|| folder.path().join("airgap.tar.gz"));
    let agent_image = flags.agent.clone().image();
    let mut ran = collected(&plan, output, agent_image, deadline, global)?;
    ran.report.bundle = bundle;
    print(&collect::render(&ran.report, &flags.output)?)?;
    Ok(ran.exit.and(collect::exit(&ran.report, &flags.output)))
}

/// Where a bundle lies that nobody asked to keep.
fn scratch() -> anyhow::Result<TempDir> {
    tempfile::tempdir().context("failed to create a folder for the bundle")
}

fn collected(
    plan: &Plan,
    output: PathBuf,
    agent_image: Option<checks::agent::Image>,
    deadline: Duration,
    global: &Global,
) -> Result<Ran, Failure> {
    let world = World::new(&global.connection);
    block_on(collect::run(Job {
        kind: Kind::Preflight,
        world: &world,
        plan,
        namespace: global.connection.namespace.clone(),
        redactor: Some(load::compile(Profile::Standard, &[])?),
        agent_image,
        writes: checks::collector::Writes::Refused,
        limits: super::budgets::Limits::default(),
        output,
        since: None,
        deadline: Some(deadline).filter(|deadline| !deadline.is_zero()),
        collect_without_permissions: true,
        metadata: Vec::new(),
        mode: Mode::choose(global.quiet, true),
        stop: checks::run::Stop::default(),
    }))?
}

/// The flags as a spec.
fn verify_spec(flags: &Verify) -> Result<Vec<Value>, Failure> {
    let (cluster, nodes) = match flags.nodes_from.as_deref() {
        None => (false, Vec::new()),
        Some("cluster") => (true, Vec::new()),
        Some(bundle) => (false, platforms_of(Path::new(bundle))?),
    };
    let mut collectors = vec![json!({"imageBundle": {
        "collectorName": "archive",
        "path": flags.file,
        "need": flags.need,
        "skipDiffIds": flags.skip_diff_ids,
        "timeout": flags.deadline,
    }})];
    let mut analyzer = json!({
        "collectorName": "archive",
        "platforms": flags.platforms,
        "nodePlatforms": nodes,
    });
    if let Some(base) = &flags.base {
        collectors.push(json!({"imageBundle": {
            "collectorName": "base",
            "path": base,
            "skipDiffIds": flags.skip_diff_ids,
            "timeout": flags.deadline,
        }}));
        analyzer["base"] = "base".into();
    }
    for (field, value) in [
        ("registry", &flags.registry),
        ("appSlug", &flags.expected.app_slug),
        ("channelID", &flags.expected.channel_id),
        ("versionLabel", &flags.expected.version_label),
        ("updateCursor", &flags.expected.update_cursor),
        ("registryFree", &flags.room.registry_free),
        ("nodeFree", &flags.room.node_free),
        ("loadFree", &flags.room.load_free),
    ] {
        if let Some(value) = value {
            analyzer[field] = value.as_str().into();
        }
    }
    let mut documents = vec![document(
        "HostPreflight",
        &collectors,
        &[json!({"imageBundle": analyzer})],
    )];
    if cluster {
        documents.push(document(
            "Preflight",
            &[json!({"clusterResources": {}})],
            &[],
        ));
    }
    Ok(documents)
}

fn document(kind: &str, collectors: &[Value], analyzers: &[Value]) -> Value {
    json!({
        "apiVersion": "troubleshoot.sh/v1beta2",
        "kind": kind,
        "metadata": {"name": "airgap"},
        "spec": {"collectors": collectors, "analyzers": analyzers},
    })
}

fn plan(documents: &[Value]) -> Result<Plan, Failure> {
    let texts: Vec<String> = documents.iter().map(syntax::yaml::emit).collect();
    let specs = spec::parse("airgap", &texts.join("---\n")).map_err(Failure::spec)?;
    if let Some(diagnostic) = specs.diagnostics.first()
        && specs.lost > 0
    {
        return Err(Failure::spec(anyhow!("{diagnostic}")));
    }
    let plan = specs.preflight().map_err(Failure::spec)?;
    Ok(plan)
}

/// The platforms of a bundle's nodes.
fn platforms_of(path: &Path) -> Result<Vec<String>, Failure> {
    let files = open::open(path)?;
    let nodes = files
        .decoded::<List<node::Node>>(node::PATH)
        .map_err(|error| anyhow!(error))
        .with_context(|| format!("--nodes-from {}", path.display()))?;
    let mut platforms: Vec<String> = nodes
        .items
        .iter()
        .filter_map(node::Node::platform)
        .collect();
    platforms.sort();
    platforms.dedup();
    if platforms.is_empty() {
        return Err(anyhow!(
            "--nodes-from {}: {} names no node with an architecture",
            path.display(),
            node::PATH
        )
        .into());
    }
    Ok(platforms)
}

fn diff(flags: &Diff, global: &Global) -> Done {
    let deadline = load::duration("--deadline", &flags.deadline)?;
    if flags.from == "-" && flags.to == "-" {
        return Err(Failure::spec(anyhow!(
            "only one of the archives can be standard input"
        )));
    }
    let collectors = [("from", &flags.from), ("to", &flags.to)].map(|(name, path)| {
        json!({"imageBundle": {
            "collectorName": name,
            "path": path,
            "skipDiffIds": true,
            "timeout": flags.deadline,
        }})
    });
    let plan = plan(&[document("HostPreflight", &collectors, &[])])?;
    let folder = scratch()?;
    let output = folder.path().join("airgap.tar.gz");
    let ran = collected(&plan, output.clone(), None, deadline, global)?;
    for record in &ran.report.records {
        if !record.error.is_empty() {
            return Err(anyhow!("{}", record.error).into());
        }
    }
    let files = open::open(&output)?;
    let (from, to) = (inventory(&files, "from")?, inventory(&files, "to")?);
    let changes = Changes::between(&from, &to);
    print(&match flags.format {
        Format::Human => airgap_diff::human(&changes),
        Format::Json => {
            let mut text = serde_json::to_string_pretty(&changes)?;
            text.push('\n');
            text
        }
        Format::Yaml => syntax::yaml::emit(&serde_json::to_value(&changes)?),
    })?;
    Ok(if changes.is_partial() {
        Exit::Unknown
    } else {
        ran.exit
    })
}

fn inventory(files: &Files, name: &str) -> Result<std::sync::Arc<Inventory>, Failure> {
    let path = format!("{FOLDER}/{name}/{INVENTORY}");
    files
        .decoded::<Inventory>(&path)
        .map_err(|error| anyhow!(error).into())
}

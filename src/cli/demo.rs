//! `assay demo`: the main job against a recorded cluster, with nothing else installed.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use bundle::archive::Limits;
use bundle::io::{MemorySpool, ReadAt};
use bundle::{Files, Profile};
use jiff::Timestamp;

use super::collect::{self, Job, Kind};
use super::connection::Connection;
use super::load::{self, World};
use super::own::Global;
use super::serve::Served;
use super::{Done, Failure, block_on, print, say};
use crate::exit::Exit;
use crate::pipeline;
use crate::progress::Mode;
use crate::report::human;
use crate::spec;

/// A bundle of the cluster that `cargo xtask record` built from `demo/objects`.
const CLUSTER: &[u8] = include_bytes!("../../demo/cluster.tar.gz");
const SPEC: &str = include_str!("../../demo/preflight.yaml");

/// Flags of `assay demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where the bundle goes [default: preflightbundle-TIME.tar.gz here]
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs `assay demo`. Its exit code says that the demo worked; the preflight's own would be 3.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Done {
    let folder = tempfile::tempdir().context("failed to create a folder for the kubeconfig")?;
    let kubeconfig = folder.path().join("kubeconfig");
    let report = block_on(async {
        let archive: Arc<dyn ReadAt> = Arc::new(CLUSTER.to_vec());
        let files = Files::archive(&archive, &MemorySpool, Limits::default())
            .context("failed to open the recorded cluster")?;
        let served = Served::start(files, 0, "recorded-cluster").await?;
        std::fs::write(&kubeconfig, &served.kubeconfig)
            .context("failed to write the kubeconfig")?;
        say(&format!(
            "A recorded cluster (a small MLOps platform) is served on http://{}.\nRunning a preflight against it, as `kubectl assay preflight` does:\n",
            served.address
        ));
        let serving = tokio::spawn(served.until(std::future::pending()));
        let connection = Connection {
            kubeconfig: Some(kubeconfig),
            ..Connection::default()
        };
        let ran = preflight(arguments, global, &connection).await;
        serving.abort();
        ran
    })??;
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
    print(&human::human(&report, human::Style { terminal }))?;
    let bundle = report
        .bundle
        .as_deref()
        .unwrap_or_else(|| "the bundle".as_ref())
        .display();
    print(&format!(
        "\nA preflight ends with exit code {} on such a cluster. Next, try:\n\
         \x20 tar tzf '{bundle}'\n\
         \x20 assay serve '{bundle}'                    kubectl against the bundle\n\
         \x20 assay analyze --bundle '{bundle}' demo/preflight.yaml --format json\n\
         \x20 kubectl assay preflight demo/preflight.yaml    on a cluster of yours\n",
        report.exit().code()
    ))?;
    Ok(Exit::Pass)
}

async fn preflight(
    arguments: &Arguments,
    global: &Global,
    connection: &Connection,
) -> Result<crate::report::Report, Failure> {
    let world = World::new(connection);
    let specs = spec::parse("demo/preflight.yaml", SPEC).map_err(Failure::spec)?;
    let plan = specs.preflight().map_err(Failure::spec)?;
    let output = match &arguments.output {
        Some(path) => path.clone(),
        None => pipeline::default_output("preflightbundle", Timestamp::now()),
    };
    let ran = collect::run(Job {
        kind: Kind::Preflight,
        world: &world,
        plan: &plan,
        namespace: None,
        redactor: Some(load::compile(Profile::Standard, &[])?),
        agent_image: None,
        writes: checks::collector::Writes::Refused,
        output,
        since: None,
        limits: super::budgets::Limits::default(),
        deadline: Some(std::time::Duration::from_mins(2)),
        collect_without_permissions: true,
        metadata: Vec::new(),
        mode: Mode::choose(global.quiet, true),
        stop: checks::run::Stop::default(),
    })
    .await?;
    Ok(ran.report)
}

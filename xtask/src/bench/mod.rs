//! `cargo xtask bench`: every budget, measured on generated inputs; `docs/benchmarks.md` holds the last run.
//!
//! The inputs are the same on every machine (seeded). Where troubleshoot's programs are on the PATH, they run on the
//! same inputs and their figures stand beside ours with the ratio: with inputs that it can cope with,
//! `--log-megabytes 50 --pods 1000 --image-megabytes 32 --offline --page docs/benchmarks-troubleshoot.md`.

mod bundle;
mod images;
mod live;
mod load;
mod measure;
mod objects;
mod offline;
mod random;
mod redaction;
mod registry;
mod serve;
mod slow;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use tempfile::TempDir;

use crate::command::{is_installed, output};
use crate::rig::Inside;
use crate::{debian, project_root, static_binary};
use measure::{Launch, Usage, here, measure};
use objects::Size;

/// `cargo xtask bench`
#[derive(Debug, Args)]
pub(crate) struct BenchTask {
    /// Pods of the larger cluster; the smaller has a tenth
    #[arg(long, default_value_t = 10_000)]
    pods: usize,
    /// Megabytes of logs
    #[arg(long, default_value_t = 1000)]
    log_megabytes: u64,
    /// Megabytes of the archive of images
    #[arg(long, default_value_t = 2147)]
    image_megabytes: u64,
    /// A binary that is there already, instead of the static release build
    #[arg(long)]
    bin: Option<PathBuf>,
    /// Leave out the rows that need the rig
    #[arg(long)]
    offline: bool,
    /// The page that the rows are written to
    #[arg(long, value_name = "FILE", default_value = "docs/benchmarks.md")]
    page: PathBuf,
    /// Only the row of the registry, printed and not written to the page
    #[arg(long)]
    registry: bool,
    /// Only write the logs and the cluster that are measured into this folder, for a profiler
    #[arg(long, value_name = "FOLDER")]
    inputs: Option<PathBuf>,
}

/// One line of the page.
struct Row {
    what: &'static str,
    input: String,
    ours: Usage,
    /// What else was counted.
    note: String,
    /// The peer on the same input.
    peer: Option<Usage>,
    budget: &'static str,
}

/// The run under way.
struct Bench {
    binary: PathBuf,
    folder: TempDir,
    pods: usize,
    log_megabytes: u64,
    /// The redacted bundle of the generated cluster, once it is made.
    cluster_archive: Option<PathBuf>,
    rows: Vec<Row>,
}

impl Bench {
    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a program of the peer's if it is on the PATH.
    fn peer(&self, program: &str, arguments: &[&str]) -> Result<Option<Usage>> {
        self.peer_with(&here, program, arguments)
    }

    fn peer_with(
        &self,
        launch: Launch<'_>,
        program: &str,
        arguments: &[&str],
    ) -> Result<Option<Usage>> {
        if !is_installed(program) {
            return Ok(None);
        }
        measure(launch, self.folder(), Path::new(program), arguments).map(Some)
    }

    fn row(&mut self, row: Row) {
        println!("bench: {}", line(&row));
        self.rows.push(row);
    }
}

/// Measures everything and writes the page.
pub(crate) fn bench(task: &BenchTask) -> Result<()> {
    if let Some(folder) = &task.inputs {
        bundle::write_logs(&folder.join("logs"), task.log_megabytes, 200)?;
        bundle::write_cluster(&folder.join("cluster"), Size::with_pods(task.pods))?;
        return Ok(());
    }
    debian::install_missing(&[("time", "/usr/bin/time"), ("curl", "/usr/bin/curl")])
        .context("the benchmark needs GNU time and curl")?;
    let binary = match &task.bin {
        Some(binary) => binary.canonicalize()?,
        None => static_binary::build()?,
    };
    let mut bench = Bench {
        binary,
        folder: tempfile::tempdir()?,
        pods: task.pods,
        log_megabytes: task.log_megabytes,
        cluster_archive: None,
        rows: Vec::new(),
    };
    if task.registry {
        return live::registry_alone(&mut bench);
    }
    redaction::run(&mut bench)?;
    offline::run(&mut bench)?;
    images::run(&mut bench, task.image_megabytes)?;
    serve::run(&mut bench)?;
    if !task.offline {
        live::run(&mut bench)?;
    }
    let path = project_root().join(&task.page);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&path, page(&bench)?)?;
    println!("bench: wrote {}", task.page.display());
    Ok(())
}

/// Fills a running rig with the benchmark's cluster.
pub(crate) fn fill(rig: &Inside, pods: usize) -> Result<()> {
    debian::install_missing(&[("curl", "/usr/bin/curl")])?;
    load::load(rig, tempfile::tempdir()?.path(), Size::with_pods(pods))
}

fn page(bench: &Bench) -> Result<String> {
    let mut page = format!(
        "<!-- Written by `cargo xtask bench`. -->

# Benchmarks

{}, {} pods, {} MB of logs. Wall times depend on what else the machine did (load average {} at the end); processor
seconds (user and system) and peak memory are the honest figures. MB = 10^6 bytes. Budgets marked × are against
troubleshoot on the same input.

| what | input | wall s | CPU s | peak MB | counted | peer: wall s | CPU s | peak MB | CPU ratio | budget |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
",
        machine()?,
        bench.pods,
        bench.log_megabytes,
        fs::read_to_string("/proc/loadavg")?
            .split_whitespace()
            .next()
            .unwrap_or_default()
    );
    for row in &bench.rows {
        let _ = writeln!(page, "{}", line(row));
    }
    Ok(page)
}

fn line(row: &Row) -> String {
    let usage = |usage: Usage| {
        let memory = match usage.rss {
            0.0 => "–".to_owned(),
            megabytes => format!("{megabytes:.0}"),
        };
        format!("{:.2} | {:.2} | {memory}", usage.wall, usage.cpu)
    };
    let peer = row.peer.map_or_else(
        || "– | – | – | –".to_owned(),
        |peer| {
            format!(
                "{} | {:.0} ×",
                usage(peer),
                peer.cpu / row.ours.cpu.max(0.01)
            )
        },
    );
    format!(
        "| {} | {} | {} | {} | {peer} | {} |",
        row.what,
        row.input,
        usage(row.ours),
        row.note,
        row.budget
    )
}

/// The machine in a sentence: processor, cores, memory, kernel.
fn machine() -> Result<String> {
    let processors = fs::read_to_string("/proc/cpuinfo").context("failed to read /proc/cpuinfo")?;
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("an unnamed processor", |line| {
            line.trim_start_matches([' ', '\t', ':'])
        });
    let cores = std::thread::available_parallelism()?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let memory: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|line| line.split_whitespace().next())
        .and_then(|kibibytes| kibibytes.parse().ok())
        .unwrap_or_default();
    let kernel = output(Command::new("uname").arg("-r"))?;
    Ok(format!(
        "{cores} cores of {model}, {} GiB of memory, Linux {}",
        memory / 1024 / 1024,
        kernel.trim()
    ))
}

//! `cargo xtask test`: every rung of the ladder, cheapest first; the rig is started for those that need it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::command::{output, run};
use crate::project_root;
use crate::rig::{Lifetime, Rig};

/// `cargo xtask test`
#[derive(Debug, Args)]
pub(crate) struct TestTask {
    /// Run only tests whose name contains this
    filter: Option<String>,
    /// Run only this rung; all of them otherwise
    #[arg(long, value_enum)]
    rung: Option<Rung>,
}

/// A step of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rung {
    /// Unit tests, cases as data, the pipeline against recorded bundles; needs nothing
    Offline,
    /// Other programs that read what we write: Go's archive readers in `tests/oracles`
    Oracles,
    /// Real API server, etcd, controller manager, scheduler and kwok
    Live,
    /// A real node: containerd and kubelet
    Node,
}

/// Runs the rungs in order and stops at the first that fails.
pub(crate) fn test(task: &TestTask) -> Result<()> {
    let started = Instant::now();
    for rung in Rung::value_variants() {
        if task.rung.is_none_or(|only| only == *rung) {
            climb(*rung, task.filter.as_deref())?;
        }
    }
    println!("test: everything passed in {:.1?}", started.elapsed());
    Ok(())
}

fn climb(rung: Rung, filter: Option<&str>) -> Result<()> {
    let started = Instant::now();
    let name = format!("{rung:?}").to_lowercase();
    println!("test: rung {name}");
    match rung {
        Rung::Offline => run(cargo()
            .args(["test", "--quiet", "--workspace"])
            .args(filter)),
        Rung::Oracles => oracles(),
        Rung::Live => against_rig("live", false, filter),
        Rung::Node => against_rig("node", true, filter),
    }
    .with_context(|| format!("rung {name} failed"))?;
    println!("test: rung {name} passed in {:.1?}", started.elapsed());
    Ok(())
}

/// Each folder in `tests/oracles` is a Go module whose tests read what we write.
fn oracles() -> Result<()> {
    let folder = project_root().join("tests/oracles");
    if !folder.exists() {
        println!("test: there are no oracles yet");
        return Ok(());
    }
    for entry in std::fs::read_dir(&folder)? {
        let module = entry?.path();
        if module.join("go.mod").exists() {
            run(Command::new("go")
                .args(["test", "-mod=readonly", "./..."])
                .env("GOTOOLCHAIN", "local")
                .env("GOFLAGS", "")
                .current_dir(&module))?;
        }
    }
    Ok(())
}

/// Builds a test binary of the root package, then runs it inside a rig of its own.
fn against_rig(target: &str, node: bool, filter: Option<&str>) -> Result<()> {
    let binary = build(target)?;
    let rig = Rig::start(
        &format!("{target}-{}", std::process::id()),
        node,
        Lifetime::WithCaller,
    )?;
    let program = binary.to_string_lossy();
    let result = run(rig.inside().command(&program)?.args(filter));
    rig.stop()?;
    result
}

/// The parts of cargo's messages that name what was built.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

fn build(target: &str) -> Result<PathBuf> {
    let messages = output(
        cargo()
            .args(["test", "--package", "assay", "--features", "rig"])
            .args(["--test", target, "--no-run"])
            .args(["--message-format", "json-render-diagnostics"])
            .stderr(Stdio::inherit()),
    )?;
    for line in messages.lines() {
        let message: Message =
            serde_json::from_str(line).context("failed to read a message of cargo's")?;
        if let (Some(executable), Some(built)) = (message.executable, message.target)
            && built.name == target
            && built.kind == ["test"]
        {
            return Ok(executable);
        }
    }
    bail!("cargo built no test binary named {target}")
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(project_root());
    cargo
}

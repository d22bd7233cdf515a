//! `cargo xtask fuzz`: the targets in `fuzz/`, built with the coverage that libFuzzer needs and run for a while.
//!
//! No cargo-fuzz and no nightly compiler: the sanitizers need one, and in code without `unsafe` they have little to
//! find; the coverage is a pass of LLVM that stable rustc runs, too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;

use crate::command::{is_installed, last_lines, run};
use crate::{debian, project_root};

/// What libFuzzer wants of the compiler: a counter for every edge, where it lies, and the operands of comparisons.
const COVERAGE: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];

/// What one input may take: seconds, and megabytes of memory.
const LIMITS: [&str; 2] = ["-timeout=10", "-rss_limit_mb=1024"];

/// `cargo xtask fuzz`
#[derive(Debug, Args)]
pub(crate) struct FuzzTask {
    /// Only this target; all of them otherwise
    target: Option<String>,
    /// How long each runs, after the corpus that is checked in
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// The seed of chance, so that a run can be had again
    #[arg(long)]
    seed: Option<u32>,
    /// Add to the corpus in `fuzz/corpus` what reaches code that nothing in it does
    #[arg(long)]
    grow: bool,
}

/// Builds the targets and runs each; the error names those that found something.
pub(crate) fn fuzz(task: &FuzzTask) -> Result<()> {
    let started = Instant::now();
    let root = project_root();
    let mut targets = targets(&root)?;
    if let Some(only) = &task.target {
        let names: Vec<&str> = targets.iter().map(|target| &*target.name).collect();
        if !names.contains(&only.as_str()) {
            bail!("there is no target {only:?}, only {}", names.join(", "));
        }
        targets.retain(|target| target.name == *only);
    }
    if !is_installed("c++") {
        debian::install_missing(&[("g++", "/usr/bin/c++")])
            .context("libFuzzer's sources need a C++ compiler")?;
    }
    let binaries = build(&root, &targets)?;
    println!("fuzz: built in {:.1?}", started.elapsed());
    let queue = Mutex::new(targets.into_iter());
    let failures = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = queue.lock().ok().and_then(|mut queue| queue.next());
            let Some(Bin { name: target, .. }) = next else {
                return;
            };
            match run_target(&root, &binaries, &target, task) {
                Ok(said) => println!("fuzz: {target}: {said}"),
                Err(error) => {
                    if let Ok(mut failures) = failures.lock() {
                        failures.push(format!("{target}: {error:#}"));
                    }
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    if !failures.is_empty() {
        bail!("{}", failures.join("\n\n"));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Manifest {
    bin: Vec<Bin>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Bin {
    name: String,
    #[serde(default)]
    required_features: Vec<String>,
}

fn targets(root: &Path) -> Result<Vec<Bin>> {
    let text = fs::read_to_string(root.join("fuzz/Cargo.toml"))?;
    let manifest: Manifest = toml::from_str(&text).context("failed to read fuzz/Cargo.toml")?;
    Ok(manifest.bin)
}

/// Builds the targets and returns the folder with their binaries.
fn build(root: &Path, targets: &[Bin]) -> Result<PathBuf> {
    // The versions are those of the project; cargo adds the two that only the targets have, which are pinned.
    fs::copy(root.join("Cargo.lock"), root.join("fuzz/Cargo.lock"))?;
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let folder = root.join("target/fuzz");
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(root.join("fuzz"))
        // With a target named, the flags are not for build scripts and macros.
        .args(["build", "--quiet", "--target", &host, "--target-dir"])
        .arg(&folder)
        .env("RUSTFLAGS", COVERAGE.join(" "))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .arg("--no-default-features");
    for target in targets {
        cargo.args(["--bin", &target.name]);
        for feature in &target.required_features {
            cargo.args(["--features", feature]);
        }
    }
    run(&mut cargo).context("the targets do not build")?;
    Ok(folder.join(host).join("debug"))
}

/// Runs a target; returns libFuzzer's last word.
fn run_target(root: &Path, binaries: &Path, target: &str, task: &FuzzTask) -> Result<String> {
    let binary = binaries.join(target);
    let corpus = root.join("fuzz/corpus").join(target);
    let dictionary = root.join("fuzz/dictionaries").join(target);
    let artifacts = root.join("target/fuzz/artifacts").join(target);
    let found = tempfile::tempdir()?;
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&artifacts)?;
    let mut command = Command::new(&binary);
    command
        .args(LIMITS)
        .arg(format!("-max_total_time={}", task.seconds))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-max_len=65536", "-print_final_stats=1"]);
    if let Some(seed) = task.seed {
        command.arg(format!("-seed={seed}"));
    }
    if dictionary.exists() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    let said = libfuzzer(command.arg(found.path()).arg(&corpus)).with_context(|| {
        format!(
            "an input broke it; once it is mended, keep that input in {} and run `{} INPUT`",
            corpus.display(),
            binary.display()
        )
    })?;
    if task.grow {
        let mut merge = Command::new(&binary);
        merge.args(LIMITS).arg("-merge=1");
        libfuzzer(merge.arg(&corpus).arg(found.path()))?;
    }
    Ok(said)
}

/// Runs libFuzzer; the last line with its coverage is its word.
fn libfuzzer(command: &mut Command) -> Result<String> {
    let done = command
        .stdin(Stdio::null())
        .output()
        .context("failed to start")?;
    let said = String::from_utf8_lossy(&done.stderr);
    if !done.status.success() {
        bail!("{}", last_lines(&said, 40));
    }
    let last = said.lines().rev().find(|line| line.contains("cov:"));
    Ok(last.unwrap_or("done").trim().to_owned())
}

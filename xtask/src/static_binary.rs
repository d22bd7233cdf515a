//! `cargo xtask static`: the release binary, linked statically, proven in a root that holds nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{output, run};
use crate::{debian, project_root};

/// The size that the binary may have, in bytes.
const BUDGET: u64 = 45_000_000;

/// Builds the binary, runs it in an empty root and returns its path.
pub(crate) fn build() -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    debian::install_missing(&[
        ("musl-tools", "/usr/bin/musl-gcc"),
        ("iproute2", "/usr/sbin/ip"),
    ])
    .context("the static build needs musl's C compiler")?;
    let installed = output(Command::new("rustup").args(["target", "list", "--installed"]))
        .context("the static build needs rustup")?;
    if !installed.lines().any(|line| line == target) {
        run(Command::new("rustup").args(["target", "add", &target]))?;
    }
    run(Command::new("cargo")
        .current_dir(project_root())
        .args(["build", "--release", "--package", "assay"])
        .args(["--target", &target])
        .env(format!("CC_{}", target.replace('-', "_")), "musl-gcc"))?;
    let binary = project_root()
        .join("target")
        .join(&target)
        .join("release/assay");
    let size = std::fs::metadata(&binary)
        .with_context(|| format!("failed to find {}", binary.display()))?
        .len();
    let version = run_alone(&binary)?;
    println!(
        "static: {version}: {}.{} MB, runs its demo in an empty root without a network",
        size / 1_000_000,
        size / 100_000 % 10
    );
    if size > BUDGET {
        bail!("the binary has {size} bytes, more than {BUDGET}");
    }
    Ok(binary)
}

/// Runs the binary where there is no other file, no `/proc`, no `/dev` and no network but loopback: it says its
/// version, helps, and does the main job of the demo.
fn run_alone(binary: &Path) -> Result<String> {
    let root = tempfile::tempdir()?;
    std::fs::copy(binary, root.path().join("assay"))?;
    let alone = |arguments: &str| {
        let mut command = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        // The shell is outside the root; the demo serves its recorded cluster on loopback.
        command
            .args(["--net", "sh", "-c"])
            .arg(format!(
                "ip link set lo up && exec unshare --root=\"$1\" --wd=/ /assay {arguments}"
            ))
            .arg("sh")
            .arg(root.path())
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("TMPDIR", "/");
        command
    };
    let version = output(&mut alone("--version"))
        .context("the static binary does not run in an empty root")?;
    output(&mut alone("--help")).context("`assay --help` fails in an empty root")?;
    output(&mut alone("demo --output demo.tar.gz"))
        .context("`assay demo` fails in an empty root")?;
    if !root.path().join("demo.tar.gz").exists() {
        bail!("`assay demo` left no bundle in an empty root");
    }
    Ok(version.trim().to_owned())
}

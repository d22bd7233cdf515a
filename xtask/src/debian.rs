//! Debian packages: installed when something is missing, without starting any service that they bring.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{is_installed, output, run};

/// Installs the packages of those `(package, file that proves it)` whose file is missing.
pub(crate) fn install_missing(wanted: &[(&str, &str)]) -> Result<()> {
    let packages: Vec<&str> = wanted
        .iter()
        .filter(|(_, proof)| !Path::new(proof).exists())
        .map(|(package, _)| *package)
        .collect();
    if packages.is_empty() {
        return Ok(());
    }
    let line = format!(
        "apt-get install --yes --no-install-recommends {}",
        packages.join(" ")
    );
    if !rustix::process::geteuid().is_root() || !is_installed("apt-get") {
        bail!("Debian packages are missing; as root run: {line}");
    }
    println!("installing {}", packages.join(" "));
    let policy = ServicePolicy::forbid()?;
    let attempt = || {
        output(
            Command::new("apt-get")
                .args(["install", "--yes", "--no-install-recommends"])
                .args(&packages)
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )
    };
    // A fresh machine has no package lists yet, or old ones.
    if attempt().is_err() {
        output(Command::new("apt-get").arg("update"))?;
        attempt().with_context(|| format!("failed to install packages; as root run: {line}"))?;
    }
    drop(policy);
    for (package, proof) in wanted {
        if !Path::new(proof).exists() {
            bail!("package {package} is installed but {proof} is missing");
        }
    }
    Ok(())
}

/// Debian's maintainer scripts ask this program before they start a service; 101 means "forbidden".
struct ServicePolicy {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl ServicePolicy {
    fn forbid() -> Result<Self> {
        let ours = !Path::new(POLICY).exists();
        if ours {
            fs::write(POLICY, "#!/bin/sh\nexit 101\n")
                .with_context(|| format!("failed to write {POLICY}"))?;
            run(Command::new("chmod").args(["755", POLICY]))?;
        }
        Ok(Self { ours })
    }
}

impl Drop for ServicePolicy {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("failed to remove {POLICY}: {error}");
        }
    }
}

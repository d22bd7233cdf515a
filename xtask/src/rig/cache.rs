//! Making what the table names, once: binaries lie outside the checkout, keyed by version and recipe.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::table::{SERVERS, Server, Source};
use crate::command::{is_installed, output, run};
use crate::debian;

/// The folder that holds built servers and running rigs: `$ASSAY_RIG_CACHE`, else `$XDG_CACHE_HOME/assay-rig`,
/// else `~/.cache/assay-rig`.
pub(crate) fn folder() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = if let Some(folder) = set("ASSAY_RIG_CACHE") {
        PathBuf::from(folder)
    } else if let Some(folder) = set("XDG_CACHE_HOME") {
        PathBuf::from(folder).join("assay-rig")
    } else if let Some(home) = set("HOME") {
        PathBuf::from(home).join(".cache/assay-rig")
    } else {
        bail!("failed to find a cache folder: set ASSAY_RIG_CACHE, XDG_CACHE_HOME or HOME");
    };
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    folder
        .canonicalize()
        .with_context(|| format!("failed to resolve {}", folder.display()))
}

/// Where a server's program or files lie once made.
pub(crate) fn path_of(name: &str) -> Result<PathBuf> {
    let server = SERVERS
        .iter()
        .find(|server| server.name == name)
        .with_context(|| format!("no server named {name} in the rig's table"))?;
    match server.source {
        Source::Go { .. } => Ok(entry(server)?.join(server.name)),
        Source::GoFiles { .. } | Source::Npm { .. } => entry(server),
        Source::Debian { proof, .. } => Ok(PathBuf::from(proof)),
    }
}

/// Whether a server is there already.
pub(crate) fn is_made(server: &Server) -> Result<bool> {
    Ok(path_of(server.name)?.exists())
}

/// Makes those servers that are wanted and missing, saying what and how long.
pub(crate) fn make_missing(wanted: impl Fn(&Server) -> bool) -> Result<()> {
    let servers: Vec<&Server> = SERVERS.iter().filter(|server| wanted(server)).collect();
    // Two runs at once: the second waits and finds everything made. What a killed one left is removed.
    let made = folder()?.join("made");
    fs::create_dir_all(&made).with_context(|| format!("failed to make {}", made.display()))?;
    let lock = File::create(made.join(".lock"))?;
    lock.lock().context("failed to lock the rig's cache")?;
    for entry in fs::read_dir(&made)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    let packages: Vec<_> = servers
        .iter()
        .filter_map(|server| match server.source {
            Source::Debian { package, proof } => Some((package, proof)),
            _ => None,
        })
        .collect();
    debian::install_missing(&packages).context("the rig needs Debian packages")?;
    for server in servers {
        if is_made(server)? {
            continue;
        }
        let start = Instant::now();
        println!(
            "rig: making {} {} (about {} CPU seconds)",
            server.name, server.version, server.cold_cpu_seconds
        );
        match server.source {
            Source::Go {
                module,
                package,
                variables,
            } => build(server, module, package, variables)?,
            Source::GoFiles {
                module,
                path,
                files,
            } => keep_files(server, module, path, files)?,
            Source::Npm { package, sha256 } => unpack(server, package, sha256)?,
            Source::Debian { .. } => {}
        }
        println!("rig: {} made in {:.0?}", server.name, start.elapsed());
    }
    Ok(())
}

/// The cache entry of a built server; its name changes when its version or recipe changes.
fn entry(server: &Server) -> Result<PathBuf> {
    let mut recipe = Sha256::new();
    let mut part = |bytes: &[u8]| {
        recipe.update((bytes.len() as u64).to_le_bytes());
        recipe.update(bytes);
    };
    let module = match server.source {
        Source::Go {
            module,
            package,
            variables,
        } => {
            part(package.as_bytes());
            for argument in go_arguments(variables) {
                part(argument.as_bytes());
            }
            module
        }
        Source::GoFiles {
            module,
            path,
            files,
        } => {
            part(path.as_bytes());
            for file in files {
                part(file.as_bytes());
            }
            module
        }
        Source::Npm { package, sha256 } => {
            part(package.as_bytes());
            part(sha256.as_bytes());
            return named(server, recipe);
        }
        Source::Debian { package, .. } => bail!("{package} is not kept in the cache"),
    };
    for file in ["go.mod", "go.sum"] {
        let path = module_folder(module).join(file);
        part(&fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?);
    }
    part(std::env::consts::ARCH.as_bytes());
    named(server, recipe)
}

fn named(server: &Server, recipe: Sha256) -> Result<PathBuf> {
    let key = hex::encode(&recipe.finalize()[..6]);
    Ok(folder()?
        .join("made")
        .join(format!("{}-{}-{key}", server.name, server.version)))
}

fn module_folder(module: &str) -> PathBuf {
    crate::project_root().join("tests/rig/go").join(module)
}

/// `-s -w` halves the size; `-trimpath` keeps the builder's paths out of logs.
fn go_arguments(variables: &[&str]) -> Vec<String> {
    let mut ldflags = "-s -w".to_owned();
    for variable in variables {
        ldflags.push_str(" -X ");
        ldflags.push_str(variable);
    }
    [
        "-trimpath",
        "-buildvcs=false",
        "-mod=readonly",
        "-ldflags",
        &ldflags,
    ]
    .map(str::to_owned)
    .to_vec()
}

fn go(module: &Path) -> Result<Command> {
    if !is_installed("go") {
        bail!(
            "failed to find `go`: install Go 1.26 or newer (https://go.dev/dl/) and put it on the PATH"
        );
    }
    let mut go = Command::new("go");
    go.current_dir(module)
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "")
        .env("CGO_ENABLED", "0");
    Ok(go)
}

fn build(server: &Server, module: &str, package: &str, variables: &[&str]) -> Result<()> {
    let entry = entry(server)?;
    let unfinished = unfinished_beside(&entry)?;
    run(go(&module_folder(module))?
        .arg("build")
        .args(go_arguments(variables))
        .arg("-o")
        .arg(unfinished.path().join(server.name))
        .arg(package))
    .with_context(|| format!("failed to build {} {}", server.name, server.version))?;
    publish(unfinished, &entry)
}

#[derive(Deserialize)]
struct DownloadedModule {
    #[serde(rename = "Dir")]
    dir: PathBuf,
}

fn keep_files(server: &Server, module: &str, path: &str, files: &[&str]) -> Result<()> {
    let entry = entry(server)?;
    let unfinished = unfinished_beside(&entry)?;
    let answer = output(go(&module_folder(module))?.args(["mod", "download", "-json", path]))
        .with_context(|| format!("failed to download {path}"))?;
    let downloaded: DownloadedModule = serde_json::from_str(&answer)
        .with_context(|| format!("failed to read the answer of `go mod download` for {path}"))?;
    for file in files {
        let from = downloaded.dir.join(file);
        let name = from
            .file_name()
            .with_context(|| format!("{file} names no file"))?;
        let bytes =
            fs::read(&from).with_context(|| format!("failed to read {}", from.display()))?;
        fs::write(unfinished.path().join(name), bytes)?;
    }
    publish(unfinished, &entry)
}

/// A link that a package's own script would make, both below the package's folder.
#[derive(Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

fn unpack(server: &Server, package: &str, sha256: &str) -> Result<()> {
    if !is_installed("npm") {
        bail!("failed to find `npm`: install Node.js and put it on the PATH");
    }
    let entry = entry(server)?;
    let unfinished = unfinished_beside(&entry)?;
    let folder = unfinished.path();
    let wanted = format!("{package}@{}", server.version);
    output(
        Command::new("npm")
            .args(["pack", "--ignore-scripts", "--pack-destination"])
            .arg(folder)
            .arg(&wanted),
    )
    .with_context(|| format!("failed to download {wanted}"))?;
    let mut packed = None;
    for file in fs::read_dir(folder)? {
        packed = Some(file?.path());
    }
    let packed = packed.with_context(|| format!("npm packed nothing for {wanted}"))?;
    let found = hex::encode(Sha256::digest(fs::read(&packed)?));
    if found != sha256 {
        bail!("{wanted} has the SHA-256 {found}, not {sha256}");
    }
    run(Command::new("tar")
        .args(["--extract", "--gzip", "--strip-components=1", "--file"])
        .arg(&packed)
        .arg("--directory")
        .arg(folder))?;
    fs::remove_file(&packed)?;
    let links = fs::read(folder.join("native/pg-symlinks.json"))
        .with_context(|| format!("failed to read the links of {wanted}"))?;
    let links: Vec<Link> = serde_json::from_slice(&links)
        .with_context(|| format!("failed to read the links of {wanted}"))?;
    for link in links {
        let name = link.source.file_name().context("a link leads to a file")?;
        if link.source.parent() != link.target.parent() {
            bail!("{wanted} has a link into another folder");
        }
        std::os::unix::fs::symlink(name, folder.join(&link.target))?;
    }
    publish(unfinished, &entry)
}

const UNFINISHED: &str = ".unfinished-";

/// A folder on the same file system as the entry, so that publishing it is one rename.
fn unfinished_beside(entry: &Path) -> Result<tempfile::TempDir> {
    let parent = entry.parent().context("a cache entry has a parent")?;
    tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(parent)
        .with_context(|| format!("failed to make a folder in {}", parent.display()))
}

fn publish(unfinished: tempfile::TempDir, entry: &Path) -> Result<()> {
    let made = unfinished.keep();
    fs::rename(&made, entry).with_context(|| format!("failed to publish {}", entry.display()))
}

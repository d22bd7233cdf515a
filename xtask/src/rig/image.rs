//! Container images for the real node, assembled by hand: an OCI layout in a tar, with busybox and nothing else, or
//! with the `assay` that was built beside this program.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::cache;
use crate::command::{output, run};

/// The image that holds a pod's namespaces.
pub(super) const PAUSE: &str = "localhost/pause:1";
/// The image of the tests' own containers: every busybox applet under `/bin`.
const BUSYBOX: &str = "localhost/busybox:1";

/// Process 1 of a pod: ends at once when asked, sleeps otherwise.
const PAUSE_COMMAND: &[&str] = &[
    "/bin/sh",
    "-c",
    "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait; done",
];

/// The image of the `assay` that the tests drive, with what it is linked with.
const ASSAY: &str = "localhost/assay:1";

/// Writes the images as archives that `ctr images import` reads.
pub(super) fn write_all(folder: &Path) -> Result<Vec<PathBuf>> {
    let busybox = layer()?;
    let mut images = vec![(PAUSE, PAUSE_COMMAND, &busybox), (BUSYBOX, &[], &busybox)];
    let assay = assay_layer(folder)?;
    images.extend(assay.iter().map(|layer| (ASSAY, &[][..], layer)));
    let mut archives = Vec::new();
    for (name, entrypoint, layer) in images {
        let file = name.replace(['/', ':'], "-");
        let path = folder.join(format!("{file}.tar"));
        write_layout(&path, name, entrypoint, layer)
            .with_context(|| format!("failed to write the image {name}"))?;
        archives.push(path);
    }
    Ok(archives)
}

/// The one file system layer, as an uncompressed tar.
fn layer() -> Result<Vec<u8>> {
    let busybox = cache::path_of("busybox")?;
    let program =
        fs::read(&busybox).with_context(|| format!("failed to read {}", busybox.display()))?;
    let applets = output(Command::new(&busybox).arg("--list"))?;
    let mut tar = tar::Builder::new(Vec::new());
    for (folder, mode) in [
        ("bin", 0o755),
        ("etc", 0o755),
        ("root", 0o700),
        ("tmp", 0o1777),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(mode);
        header.set_size(0);
        tar.append_data(&mut header, folder, std::io::empty())?;
    }
    for (path, mode, bytes) in [
        ("bin/busybox", 0o755, program.as_slice()),
        (
            "etc/passwd",
            0o644,
            b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        ),
        ("etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n"),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, path, bytes)?;
    }
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        tar.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
    }
    Ok(tar.into_inner()?)
}

/// The file system of the `assay` beside this program: itself without symbols, and its libraries where it looks for
/// them. Nothing where none was built.
fn assay_layer(folder: &Path) -> Result<Option<Vec<u8>>> {
    let program = std::env::current_exe()?.with_file_name("assay");
    if !program.exists() {
        return Ok(None);
    }
    let stripped = folder.join("assay");
    run(Command::new("strip").arg("-o").arg(&stripped).arg(&program))?;
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, file: &Path| {
        let bytes = fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o755);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, path, bytes.as_slice())
            .with_context(|| format!("failed to add {path}"))
    };
    add("bin/assay", &stripped)?;
    // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, `/lib64/ld-linux-x86-64.so.2 (0x…)`
    let linked = output(Command::new("ldd").arg(&program))?;
    for library in linked
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
    {
        add(library.trim_start_matches('/'), Path::new(library))?;
    }
    Ok(Some(tar.into_inner()?))
}

fn write_layout(path: &Path, name: &str, entrypoint: &[&str], layer: &[u8]) -> Result<()> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut layout = Layout {
        tar: tar::Builder::new(File::create(path)?),
    };
    let layer = layout.blob("application/vnd.oci.image.layer.v1.tar", layer)?;
    let config = layout.json(
        "application/vnd.oci.image.config.v1+json",
        &json!({
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": entrypoint, "Cmd": if entrypoint.is_empty() { vec!["sh"] } else { vec![] }, "Env": ["PATH=/bin"], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
            "history": [{"created_by": "cargo xtask rig"}],
        }),
    )?;
    let mut manifest = layout.json(
        "application/vnd.oci.image.manifest.v1+json",
        &json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": [layer],
        }),
    )?;
    manifest["annotations"] = json!({"io.containerd.image.name": name});
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [manifest],
    });
    layout.file("index.json", &serde_json::to_vec(&index)?)?;
    layout.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    layout.tar.into_inner()?.flush()?;
    Ok(())
}

struct Layout {
    tar: tar::Builder<File>,
}

impl Layout {
    /// Adds a blob and returns its descriptor.
    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Result<Value> {
        let digest = hex::encode(Sha256::digest(bytes));
        self.file(&format!("blobs/sha256/{digest}"), bytes)?;
        Ok(
            json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len()}),
        )
    }

    fn json(&mut self, media_type: &str, value: &Value) -> Result<Value> {
        self.blob(media_type, &serde_json::to_vec(value)?)
    }

    fn file(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        self.tar.append_data(&mut header, path, bytes)?;
        Ok(())
    }
}

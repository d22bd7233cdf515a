//! An archive of images: a KOTS `.airgap` of 2 GiB against `gzip -dc | sha256sum`, which does less.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::measure::{Usage, here, measure};
use super::offline::megabytes;
use super::random::Random;
use super::{Bench, Row};

/// Layers of an image.
const LAYERS: u64 = 8;
/// Bytes of a layer's tar. Compressed it has a little more than half of them.
const LAYER: usize = 24 << 20;
const TREE: &str = "images/docker/registry/v2";

/// Measures the rows.
pub(super) fn run(bench: &mut Bench, megabytes_wanted: u64) -> Result<()> {
    let archive = bench.folder().join("images.airgap");
    let unpacked = write(&archive, megabytes_wanted * 1_000_000)?;
    let packed = std::fs::metadata(&archive)?.len();
    let path = archive.to_string_lossy().into_owned();
    let pipe = format!("gzip -dc '{path}' | sha256sum");
    let peer = measure(&here, bench.folder(), Path::new("sh"), &["-c", &pipe])?;
    for (what, more, budget) in [
        (
            "image archive, digests",
            &["--skip-diff-ids"][..],
            "≥ 2 × `gzip -dc \\| sha256sum` on the wall; < 100 MB",
        ),
        (
            "image archive, diff_ids too",
            &[],
            "< 100 MB; layers are inflated once more",
        ),
    ] {
        let mut arguments = vec!["airgap", "verify", &path, "--quiet", "--format", "json"];
        arguments.extend(more);
        let ours = measure(&here, bench.folder(), &bench.binary, &arguments)?;
        bench.row(Row {
            what,
            input: format!(
                "{}, layers unpack to {}",
                megabytes(packed),
                megabytes(unpacked)
            ),
            ours,
            note: ratio(peer, ours),
            peer: Some(peer),
            budget,
        });
    }
    std::fs::remove_file(&archive)?;
    Ok(())
}

fn ratio(peer: Usage, ours: Usage) -> String {
    format!(
        "{:.1} × gzip -dc \\| sha256sum on the wall",
        peer.wall / ours.wall.max(0.01)
    )
}

type Archive = tar::Builder<GzEncoder<BufWriter<File>>>;

/// Writes a `.airgap` whose layers have at least `wanted` bytes, and says what they unpack to.
fn write(path: &Path, wanted: u64) -> Result<u64> {
    let file =
        File::create(path).with_context(|| format!("failed to create {}", path.display()))?;
    let packed = GzEncoder::new(BufWriter::new(file), Compression::fast());
    let mut archive = tar::Builder::new(packed);
    let mut random = Random::new(0xA1F6);
    let (mut written, mut unpacked, mut images) = (0, 0, Vec::new());
    while written < wanted {
        let name = format!("app-{:03}", images.len());
        let mut layers = Vec::new();
        let mut diff_ids = Vec::new();
        for _ in 0..LAYERS {
            let tar = layer(&mut random)?;
            diff_ids.push(digest(&tar));
            unpacked += tar.len() as u64;
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(&tar)?;
            let gzip = gzip.finish()?;
            written += gzip.len() as u64;
            layers.push(descriptor(
                "application/vnd.oci.image.layer.v1.tar+gzip",
                &gzip,
            ));
            blob(&mut archive, &gzip)?;
        }
        let config = serde_json::to_vec(&json!({
            "architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }))?;
        let config_descriptor = descriptor("application/vnd.oci.image.config.v1+json", &config);
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config_descriptor,
            "layers": layers,
        }))?;
        blob(&mut archive, &config)?;
        blob(&mut archive, &manifest)?;
        let repository = format!("{TREE}/repositories/{name}");
        let manifest = digest(&manifest);
        let hex = manifest.trim_start_matches("sha256:");
        member(
            &mut archive,
            &format!("{repository}/_manifests/revisions/sha256/{hex}/link"),
            manifest.as_bytes(),
        )?;
        member(
            &mut archive,
            &format!("{repository}/_manifests/tags/1.0/current/link"),
            manifest.as_bytes(),
        )?;
        for content in layers.iter().chain([&config_descriptor]) {
            let digest = content["digest"].as_str().unwrap_or_default();
            let hex = digest.trim_start_matches("sha256:");
            member(
                &mut archive,
                &format!("{repository}/_layers/sha256/{hex}/link"),
                digest.as_bytes(),
            )?;
        }
        images.push(format!("registry.example.com/bench/{name}:1.0"));
    }
    let airgap = serde_json::to_vec(&json!({
        "apiVersion": "kots.io/v1beta1", "kind": "Airgap",
        "spec": {"appSlug": "bench", "versionLabel": "1.0.0", "format": "docker", "signature": "YQ==", "savedImages": images},
    }))?;
    member(&mut archive, "airgap.yaml", &airgap)?;
    let release = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    member(&mut archive, "app.tar.gz", &release.into_inner()?.finish()?)?;
    archive.into_inner()?.finish()?.flush()?;
    Ok(unpacked)
}

/// A layer's tar: one file, half of it hexadecimal digits and half of it random, as programs and their data compress.
fn layer(random: &mut Random) -> Result<Vec<u8>> {
    let mut content = Vec::with_capacity(LAYER);
    while content.len() < LAYER {
        content.extend_from_slice(random.hex(4096).as_bytes());
        for _ in 0..64 {
            content.extend_from_slice(&random.next().to_le_bytes());
        }
    }
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, "usr/lib/content", content.as_slice())?;
    Ok(tar.into_inner()?)
}

fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn descriptor(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

fn blob(archive: &mut Archive, bytes: &[u8]) -> Result<()> {
    let digest = digest(bytes);
    let hex = digest.trim_start_matches("sha256:");
    member(
        archive,
        &format!("{TREE}/blobs/sha256/{}/{hex}/data", &hex[..2]),
        bytes,
    )
}

fn member(archive: &mut Archive, name: &str, bytes: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, name, bytes)?;
    Ok(())
}

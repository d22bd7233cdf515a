//! A row of 1,000 images on a local registry, distribution 2.8 over a storage that is written here as it lays it out.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::live::run_spec;
use super::measure::Running;
use super::{Bench, Row};
use crate::rig::{Inside, program};

/// Images, each in a repository of its own.
const IMAGES: usize = 1000;

/// Layers of an image; the first is in all of them.
const LAYERS: usize = 4;

/// Inside the rig's network namespace nobody else listens.
const PORT: u16 = 5000;

/// Measures the walk to every image, from manifest to layers.
pub(super) fn run(bench: &mut Bench, rig: &Inside) -> Result<()> {
    let folder = bench.folder().join("registry");
    fill(&folder)?;
    let settings = folder.join("config.yml");
    let text = format!(
        "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{PORT}'}}\n",
        folder.display()
    );
    fs::write(&settings, text)?;
    let log = folder.join("log");
    let mut command = rig.command(&program("registry-2")?.to_string_lossy())?;
    command.arg("serve").arg(&settings);
    command
        .stdout(File::create(&log)?)
        .stderr(File::create(folder.join("errors"))?);
    let _registry = Running(command.spawn().context("failed to start the registry")?);
    wait_until_it_listens(rig)?;
    let requests = || -> Result<usize> {
        let log = fs::read_to_string(&log)?;
        Ok(log.matches("HTTP/1.1\"").count())
    };
    let before = requests()?;
    let mut spec = format!(
        "apiVersion: troubleshoot.sh/v1beta2\nkind: SupportBundle\nmetadata: {{name: registry}}\nspec:\n  collectors:\n  - clusterInfo: {{exclude: true}}\n  - clusterResources: {{exclude: true}}\n  - registry:\n      plainHttp: ['127.0.0.1:{PORT}']\n      platforms: [linux/amd64]\n      images:\n"
    );
    for image in 0..IMAGES {
        let _ = writeln!(spec, "      - 127.0.0.1:{PORT}/bench/app{image}:1");
    }
    let (ran, _) = run_spec(bench, rig, ("collect", &spec))?;
    let asked = requests()? - before;
    // The API, and of each image the manifest, the configuration, the layers.
    let needed = 1 + IMAGES * (2 + LAYERS);
    if asked != needed {
        bail!("the registry was asked {asked} times, and {needed} are needed");
    }
    bench.row(Row {
        what: "images of a registry, every layer",
        input: format!("{IMAGES} images, {LAYERS} layers each"),
        ours: ran.usage,
        note: format!("{asked} requests: one for each manifest, configuration and layer"),
        peer: None,
        budget: "each asked once; ≤ 120 MB",
    });
    Ok(())
}

fn wait_until_it_listens(rig: &Inside) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(30) {
        let mut asked = rig.command("curl")?;
        asked.args([
            "--silent",
            "--output",
            "/dev/null",
            &format!("http://127.0.0.1:{PORT}/v2/"),
        ]);
        if asked.status().is_ok_and(|status| status.success()) {
            return Ok(());
        }
        sleep(Duration::from_millis(100));
    }
    bail!("the registry does not listen on port {PORT}")
}

/// Writes the storage: bytes by their digest, and links that say which repository has them.
fn fill(folder: &Path) -> Result<()> {
    let root = folder.join("docker/registry/v2");
    let base = blob(&root, b"the layer that all images have")?;
    for image in 0..IMAGES {
        let config = json!({"os": "linux", "architecture": "amd64", "image": image});
        let config = blob(&root, config.to_string().as_bytes())?;
        let mut layers = vec![base.clone()];
        for layer in 1..LAYERS {
            layers.push(blob(
                &root,
                format!("layer {layer} of image {image}").as_bytes(),
            )?);
        }
        let descriptor = |kind: &str, (digest, size): &(String, usize)| json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest, "size": size});
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("config.v1+json", &config),
            "layers": layers.iter().map(|layer| descriptor("layer.v1.tar", layer)).collect::<Vec<_>>(),
        });
        let (digest, _) = blob(&root, manifest.to_string().as_bytes())?;
        let own = root.join(format!("repositories/bench/app{image}"));
        link(&own.join("_manifests/revisions"), &digest, &digest)?;
        link(&own.join("_manifests/tags/1/index"), &digest, &digest)?;
        write(
            &own.join("_manifests/tags/1/current/link"),
            digest.as_bytes(),
        )?;
        for (layer, _) in layers.iter().chain([&config]) {
            link(&own.join("_layers"), layer, layer)?;
        }
    }
    Ok(())
}

fn blob(root: &Path, bytes: &[u8]) -> Result<(String, usize)> {
    let digits = hex::encode(Sha256::digest(bytes));
    write(
        &root.join(format!("blobs/sha256/{}/{digits}/data", &digits[..2])),
        bytes,
    )?;
    Ok((format!("sha256:{digits}"), bytes.len()))
}

fn link(folder: &Path, digest: &str, target: &str) -> Result<()> {
    let digits = digest.trim_start_matches("sha256:");
    write(
        &folder.join(format!("sha256/{digits}/link")),
        target.as_bytes(),
    )
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes).with_context(|| format!("failed to write {}", path.display()))
}

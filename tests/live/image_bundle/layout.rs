//! OCI layouts with made-up images, which real tools then copy.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A layout under construction.
pub(super) struct Layout {
    folder: PathBuf,
    images: Vec<Value>,
}

/// A tar with one file, whose content does not compress well.
pub(super) fn tar(name: &str, size: u32) -> Vec<u8> {
    let seed = Sha256::digest(name);
    let content: Vec<u8> = (0..size)
        .flat_map(|index| {
            let mut hash = Sha256::new();
            hash.update(seed);
            hash.update(index.to_le_bytes());
            hash.finalize()
        })
        .collect();
    let mut builder = ::tar::Builder::new(Vec::new());
    let mut header = ::tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    builder
        .append_data(&mut header, name, content.as_slice())
        .expect("a member");
    builder.into_inner().expect("a tar")
}

pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

impl Layout {
    pub(super) fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder.join("blobs/sha256")).expect("a folder");
        fs::write(
            folder.join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )
        .expect("a file");
        Self {
            folder: folder.to_owned(),
            images: Vec::new(),
        }
    }

    fn put(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        let hex = digest.trim_start_matches("sha256:");
        fs::write(self.folder.join("blobs/sha256").join(hex), bytes).expect("a blob");
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    fn document(&self, media_type: &str, document: &Value) -> Value {
        self.put(media_type, &serde_json::to_vec(document).expect("JSON"))
    }

    /// A manifest with a layer of its own over one that all of them have.
    fn manifest(&self, name: &str, architecture: &str) -> Value {
        let layers = [
            tar("base", 8000),
            tar(&format!("{name}-{architecture}"), 4000),
        ];
        let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        let config = self.document(
            CONFIG,
            &json!({
                "architecture": architecture, "os": "linux", "config": {},
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
                "history": [{"created_by": "base"}, {"created_by": "app"}],
            }),
        );
        let layers = layers.map(|layer| {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
            gzip.write_all(&layer).expect("a layer");
            self.put(LAYER, &gzip.finish().expect("a layer"))
        });
        let mut manifest = self.document(
            MANIFEST,
            &json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}),
        );
        manifest["platform"] = json!({"os": "linux", "architecture": architecture});
        manifest
    }

    /// Adds an image with a manifest for each architecture.
    pub(super) fn image(&mut self, name: &str, architectures: &[&str]) -> &mut Self {
        let manifests: Vec<Value> = architectures
            .iter()
            .map(|architecture| self.manifest(name, architecture))
            .collect();
        self.index(name, &manifests)
    }

    /// Adds an image whose manifests lie in an index inside its index.
    pub(super) fn nested(&mut self, name: &str, architectures: &[&str]) -> &mut Self {
        let manifests: Vec<Value> = architectures
            .iter()
            .map(|architecture| self.manifest(name, architecture))
            .collect();
        let inner = self.document(
            INDEX,
            &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}),
        );
        self.index(name, &[inner])
    }

    fn index(&mut self, name: &str, manifests: &[Value]) -> &mut Self {
        let mut index = self.document(
            INDEX,
            &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}),
        );
        index["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        self.images.push(index);
        let text = json!({"schemaVersion": 2, "manifests": self.images});
        fs::write(self.folder.join("index.json"), text.to_string()).expect("an index");
        self
    }
}

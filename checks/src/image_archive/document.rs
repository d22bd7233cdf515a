//! The JSON documents of images: indexes, manifests, configurations.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle::collected::image_bundle::{
    Descriptor, DockerImage, DockerManifest, Document, Platform,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

use super::digest::Algorithm;

/// The largest `data` of a descriptor that is compared with its digest.
const MAX_DATA: usize = 1 << 20;

/// Which kind of document an object is, by its keys.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    manifests: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    fs_layers: Option<IgnoredAny>,
    rootfs: Option<IgnoredAny>,
    architecture: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    #[serde(default)]
    media_type: String,
    manifests: Vec<RawDescriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    artifact_type: String,
    config: RawDescriptor,
    layers: Vec<RawDescriptor>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    os: String,
    architecture: String,
    variant: String,
    rootfs: Rootfs,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Rootfs {
    diff_ids: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<RawPlatform>,
    #[serde(default)]
    artifact_type: String,
    urls: Option<Vec<String>>,
    data: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct RawPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
}

impl From<RawDescriptor> for Descriptor {
    fn from(raw: RawDescriptor) -> Self {
        let mut annotations = raw.annotations.unwrap_or_default();
        let mut annotation = |key: &str| annotations.remove(key);
        let names = [
            "io.containerd.image.name",
            "org.opencontainers.image.ref.name",
        ];
        let data = raw.data.filter(|data| data.len() <= MAX_DATA);
        let data_digest = data
            .and_then(|data| STANDARD.decode(data).ok())
            .map(|data| {
                let algorithm = raw.digest.split(':').next().and_then(Algorithm::named);
                algorithm.unwrap_or(Algorithm::Sha256).of(&data)
            });
        Self {
            names: names.into_iter().filter_map(&mut annotation).collect(),
            reference_type: annotation("vnd.docker.reference.type").unwrap_or_default(),
            media_type: raw.media_type,
            digest: raw.digest,
            size: raw.size,
            platform: raw.platform.map(|platform| Platform {
                os: platform.os,
                architecture: platform.architecture,
                variant: platform.variant,
            }),
            artifact_type: raw.artifact_type,
            foreign: raw.urls.is_some_and(|urls| !urls.is_empty()),
            data_digest: data_digest.unwrap_or_default(),
        }
    }
}

/// What a JSON object is; nothing where it is no document of an image.
pub(super) fn read(text: &[u8]) -> Option<Document> {
    let keys: Keys = match serde_json::from_slice(text) {
        Ok(keys) => keys,
        Err(error) => {
            return Some(Document::Unreadable {
                reason: error.to_string(),
            });
        }
    };
    let read = if keys.manifests.is_some() {
        serde_json::from_slice::<Index>(text).map(|index| Document::Index {
            media_type: index.media_type,
            manifests: index.manifests.into_iter().map(Into::into).collect(),
        })
    } else if keys.layers.is_some() {
        serde_json::from_slice::<Manifest>(text).map(|manifest| Document::Manifest {
            media_type: manifest.media_type,
            artifact_type: manifest.artifact_type,
            config: Box::new(manifest.config.into()),
            layers: manifest.layers.into_iter().map(Into::into).collect(),
        })
    } else if keys.fs_layers.is_some() {
        Ok(Document::Schema1)
    } else if keys.rootfs.is_some() || keys.architecture.is_some() {
        serde_json::from_slice::<Config>(text).map(|config| Document::Config {
            platform: Platform {
                os: config.os,
                architecture: config.architecture,
                variant: config.variant,
            },
            diff_ids: config.rootfs.diff_ids,
        })
    } else {
        return None;
    };
    Some(read.unwrap_or_else(|error| Document::Unreadable {
        reason: error.to_string(),
    }))
}

/// `manifest.json` of `docker save`, with paths as they are written.
pub(super) fn docker(text: &[u8]) -> DockerManifest {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Image {
        config: String,
        repo_tags: Option<Vec<String>>,
        layers: Option<Vec<String>>,
    }
    match serde_json::from_slice::<Vec<Image>>(text) {
        Ok(images) => DockerManifest {
            unread: String::new(),
            images: images
                .into_iter()
                .map(|image| DockerImage {
                    repo_tags: image.repo_tags.unwrap_or_default(),
                    config: image.config,
                    layers: image.layers.unwrap_or_default(),
                })
                .collect(),
        },
        Err(error) => DockerManifest {
            unread: error.to_string(),
            images: Vec::new(),
        },
    }
}

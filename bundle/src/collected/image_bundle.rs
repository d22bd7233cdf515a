//! `host-collectors/image-bundle/<name>/`: what an archive of container images holds (`inventory.json`), and which
//! images are wanted of it (`need.json`).
//!
//! Digests are `<algorithm>:<hex>`, sizes bytes. The formats are those of the OCI image specification, of
//! `docker save`, of distribution's filesystem driver, and of KOTS (`kots.io/v1beta1`, kind Airgap).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The folder of all of them; each has a folder of its own in it, by the collector's name.
pub const FOLDER: &str = "host-collectors/image-bundle";
/// The file in it that holds an [`Inventory`].
pub const INVENTORY: &str = "inventory.json";
/// The file in it that holds a [`Need`].
pub const NEED: &str = "need.json";

/// What was found in an archive, a folder or a stream, read once from its beginning to its end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Inventory {
    /// What was read, as it was named; `-` is standard input.
    pub path: String,
    /// `folder`, `tar`, `tar, gzip` or `tar, zstd`.
    pub container: String,
    /// Bytes of the file as it lies there; of a folder, of all its files.
    pub bytes: u64,
    /// Bytes of the tar, or of a folder's files.
    pub unpacked_bytes: u64,
    /// Files, folders and links in it.
    pub members: u64,
    /// `AppleDouble` files (`._name`), which were passed over.
    pub apple_double: u64,
    /// Whether layers were unpacked, to know their `diff_id` and size.
    pub layers_unpacked: bool,
    /// Why it was not read to its end.
    pub damage: Option<String>,
    /// What was passed over and why, at most [`MAX_NOTES`].
    pub notes: Vec<String>,
    /// `airgap.yaml` at its root.
    pub airgap: Option<Airgap>,
    /// `app.tar.gz`, the release.
    pub release: Option<Release>,
    /// Whether there is anything below `images/`.
    pub has_images: bool,
    /// Files that are no part of a store, by path, with their size; at most [`MAX_FILES`].
    pub files: BTreeMap<String, u64>,
    /// The stores of images in it, by the folder where each begins (empty for the root).
    pub stores: BTreeMap<String, Store>,
}

/// How many notes an inventory holds.
pub const MAX_NOTES: usize = 100;
/// How many files that are no part of a store are named.
pub const MAX_FILES: usize = 1000;

/// What `airgap.yaml` says (`AirgapSpec` of KOTS).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Airgap {
    /// Why it cannot be read; everything else is empty then.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unread: String,
    /// The release's version.
    pub version_label: String,
    /// Its place in its channel.
    pub update_cursor: String,
    /// The channel's id.
    #[serde(rename = "channelID")]
    pub channel_id: String,
    /// The channel's name.
    pub channel_name: String,
    /// The application.
    pub app_slug: String,
    /// Whether a signature is there.
    pub signed: bool,
    /// The images that are said to be in it.
    pub saved_images: Vec<String>,
    /// Files of Embedded Cluster, by what they are (`charts`, `binaryAmd64`, …), with their path.
    pub embedded_cluster_artifacts: BTreeMap<String, String>,
    /// Images in Embedded Cluster's own registry folder.
    pub embedded_cluster_images: Vec<String>,
    /// The size that it says that it unpacks to; 0 where it does not say.
    pub uncompressed_size: u64,
    /// `docker`, `docker-archive` or empty.
    pub format: String,
    /// Releases that must be installed before this one.
    pub required_releases: Vec<String>,
}

/// What the release in the archive (`app.tar.gz`) says of images.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Release {
    /// Why it cannot be read to its end.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unread: String,
    /// Charts in it, which hold templates and no images.
    pub charts: Vec<String>,
}

/// One place with images and their blobs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Store {
    /// Why the archive of this one store, inside another, was not read to its end.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub damage: String,
    /// The version of an OCI layout's `oci-layout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oci_layout: Option<String>,
    /// An OCI layout's `index.json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<Document>,
    /// A `manifest.json` of `docker save`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker: Option<DockerManifest>,
    /// The repositories of distribution's storage, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub repositories: BTreeMap<String, Repository>,
    /// Contents by digest, as their path says it; of `docker save` also by path.
    pub blobs: BTreeMap<String, Blob>,
}

/// `manifest.json` of `docker save`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DockerManifest {
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unread: String,
    /// Its images.
    pub images: Vec<DockerImage>,
}

/// An image of `docker save`. Config and layers are keys of [`Store::blobs`], links followed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DockerImage {
    /// Its names.
    pub repo_tags: Vec<String>,
    /// Its configuration.
    pub config: String,
    /// Its layers, lowest first.
    pub layers: Vec<String>,
}

/// A repository of distribution's storage: which blobs a registry would serve in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Repository {
    /// `_manifests/tags/<tag>/current/link`
    pub tags: BTreeMap<String, String>,
    /// `_manifests/revisions/<algorithm>/<hex>/link`
    pub revisions: BTreeSet<String>,
    /// `_layers/<algorithm>/<hex>/link`
    pub layers: BTreeSet<String>,
    /// Links whose text is no digest, or another than their path says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bad_links: Vec<String>,
}

/// A content.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Blob {
    /// Bytes that are there.
    pub size: u64,
    /// The digest of what is there, by the algorithm of the name.
    pub digest: String,
    /// Why it is not all there: the archive ends inside it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cut: String,
    /// `gzip`, `zstd`, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub compression: String,
    /// What it unpacks to; nothing where it was not unpacked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpacked: Option<Unpacked>,
    /// What it says, where it is a document of an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<Document>,
}

/// What a compressed content unpacks to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Unpacked {
    /// Bytes.
    pub size: u64,
    /// `sha256:` of them: a layer's `diff_id`.
    pub digest: String,
    /// Why it does not unpack to its end.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// A JSON document of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Document {
    /// An OCI index or Docker's manifest list.
    #[serde(rename_all = "camelCase")]
    Index {
        /// Its own media type, empty where it does not say.
        #[serde(default)]
        media_type: String,
        /// What it points to.
        manifests: Vec<Descriptor>,
    },
    /// An OCI manifest or Docker's of schema 2.
    #[serde(rename_all = "camelCase")]
    Manifest {
        /// Its own media type, empty where it does not say.
        #[serde(default)]
        media_type: String,
        /// What it is, where it is no image.
        #[serde(default)]
        artifact_type: String,
        /// Its configuration.
        config: Box<Descriptor>,
        /// Its layers, lowest first.
        layers: Vec<Descriptor>,
    },
    /// Docker's manifest of schema 1, which no current runtime pulls.
    Schema1,
    /// An image's configuration.
    #[serde(rename_all = "camelCase")]
    Config {
        /// Where it runs.
        platform: Platform,
        /// Digests of its layers, unpacked.
        diff_ids: Vec<String>,
    },
    /// Something that should be one of them and cannot be read.
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// `org.opencontainers.image` descriptor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Descriptor {
    /// What it points to.
    pub media_type: String,
    /// Its digest.
    pub digest: String,
    /// Its size.
    pub size: u64,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What it is, where it is no image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub artifact_type: String,
    /// Whether it may be fetched from elsewhere (`urls`), so that it need not be here.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub foreign: bool,
    /// The digest of `data`, where its content stands in the descriptor.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub data_digest: String,
    /// `org.opencontainers.image.ref.name` and `io.containerd.image.name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// `vnd.docker.reference.type`: an attestation, which no pull asks for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reference_type: String,
}

/// A platform.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Platform {
    /// `linux`
    pub os: String,
    /// `amd64`
    pub architecture: String,
    /// `v7`
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl Platform {
    /// Whether it is `unknown/unknown`, as attestations have it, or says nothing.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.architecture.as_str(), "" | "unknown")
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let os = if self.os.is_empty() {
            "linux"
        } else {
            &self.os
        };
        write!(formatter, "{os}/{}", self.architecture)?;
        if !self.variant.is_empty() {
            write!(formatter, "/{}", self.variant)?;
        }
        Ok(())
    }
}

/// Which images are wanted, and who wants them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Need {
    /// Whether rendered charts or manifests were given to be read.
    pub given: bool,
    /// What was read, as it was named.
    pub sources: Vec<String>,
    /// Files and documents that were read.
    pub documents: u64,
    /// Each image as it is written, with where: at most [`MAX_PLACES`] of them.
    pub images: BTreeMap<String, Vec<String>>,
    /// `excludedImages` of KOTS' Application.
    pub excluded: BTreeSet<String>,
    /// Images that hold a template that was not rendered, with where.
    pub unresolved: BTreeMap<String, Vec<String>>,
    /// Files and documents that cannot be read, with why; at most [`MAX_NOTES`].
    pub unread: Vec<String>,
}

/// How many places of an image are named.
pub const MAX_PLACES: usize = 5;

//! Media types: those that there are, and what each says.

use bundle::collected::image_bundle::{Blob, Descriptor};

/// Of an index.
pub(super) const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
/// Of a manifest.
pub(super) const MANIFESTS: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// Of an image's configuration.
pub(super) const CONFIGS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];
/// Layers, and the compression that each says.
const LAYERS: [(&str, &str); 10] = [
    ("application/vnd.oci.image.layer.v1.tar", ""),
    ("application/vnd.oci.image.layer.v1.tar+gzip", "gzip"),
    ("application/vnd.oci.image.layer.v1.tar+zstd", "zstd"),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "",
    ),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "gzip",
    ),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        "zstd",
    ),
    ("application/vnd.docker.image.rootfs.diff.tar", ""),
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip"),
    ("application/vnd.docker.image.rootfs.diff.tar.zstd", "zstd"),
    (
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "gzip",
    ),
];

/// Compares the media type that a descriptor says, that a document says, and those that there are.
pub(super) fn of_document(what: &str, said: &str, own: &str, known: &[&str]) -> Option<String> {
    let mut both = [said, own].into_iter();
    both.find(|media_type| !media_type.is_empty() && !known.contains(media_type))
        .map(|media_type| format!("{what} is said to be {media_type:?}, which it is not"))
}

/// What is wrong with the media type of a layer.
pub(super) fn of_layer(what: &str, layer: &Descriptor, blob: Option<&Blob>) -> Option<String> {
    let media_type = &layer.media_type;
    let Some((_, compression)) = LAYERS.iter().find(|(name, _)| name == media_type) else {
        return Some(format!("{what} has the unknown media type {media_type:?}"));
    };
    let blob = blob.filter(|blob| blob.digest == layer.digest)?;
    let is = match blob.compression.as_str() {
        "" => "not compressed",
        compression => compression,
    };
    (blob.compression != *compression)
        .then(|| format!("{what} is said to be {media_type:?} and is {is}"))
}

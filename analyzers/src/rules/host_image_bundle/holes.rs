//! What can be wrong with the content of an image.

use std::collections::{BTreeMap, BTreeSet};

use bundle::collected::image_bundle::{Blob, Descriptor};

/// A kind of hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hole {
    /// What `savedImages` names is not there.
    Image,
    /// A manifest or an index.
    Manifest,
    /// A child of an index that no node here asks for.
    OtherPlatform,
    /// A configuration or a layer.
    Blob,
    /// The archive ends inside it.
    Cut,
    /// What is there is something else.
    Digest,
    /// A link without which a registry does not serve it.
    Link,
    /// A document that cannot be read, or is of another kind.
    Document,
    /// A layer that is not what the configuration says.
    DiffId,
    /// `manifest.json` and the index beside it lead to different images.
    Disagreement,
    /// A manifest with fewer layers than `manifest.json` beside it has of the same configuration.
    FewerLayers,
    /// A media type that nobody knows.
    MediaType,
    /// An index and a configuration that name different platforms.
    Platform,
}

/// What is wrong, and with which images.
#[derive(Debug, Default)]
pub(super) struct Holes(BTreeMap<(Hole, String), BTreeSet<String>>);

impl Holes {
    /// What is wrong of a kind, each with the images that have it.
    pub(super) fn of(&self, kind: Hole) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        self.0
            .iter()
            .filter(move |((of, _), _)| *of == kind)
            .map(|((_, what), images)| (what.as_str(), images))
    }

    /// Remembers a hole of an image.
    pub(super) fn add(&mut self, kind: Hole, what: &str, image: &str) {
        self.0
            .entry((kind, what.to_owned()))
            .or_default()
            .insert(image.to_owned());
    }

    /// Names of images with a hole that keeps them from being pulled or pushed.
    pub(super) fn broken(&self) -> BTreeSet<&str> {
        let harmless = [
            Hole::OtherPlatform,
            Hole::FewerLayers,
            Hole::MediaType,
            Hole::Platform,
        ];
        self.0
            .iter()
            .filter(|((kind, _), _)| !harmless.contains(kind))
            .flat_map(|(_, images)| images.iter().map(String::as_str))
            .collect()
    }
}

/// What is wrong with a content of this name.
pub(super) fn wrong(
    what: &str,
    digest: &str,
    size: Option<u64>,
    blob: &Blob,
) -> Option<(Hole, String)> {
    if !blob.cut.is_empty() {
        return Some((Hole::Cut, format!("{what} ends {}", blob.cut)));
    }
    match size {
        Some(size) if blob.size != size => {
            return Some((
                Hole::Digest,
                format!("{what} has {} bytes, its descriptor says {size}", blob.size),
            ));
        }
        _ => {}
    }
    (blob.digest != digest).then(|| {
        (
            Hole::Digest,
            format!("{what} is damaged: what is there has {}", blob.digest),
        )
    })
}

/// A descriptor for people: its platform, what it is, its digest.
pub(super) fn named(kind: &str, descriptor: &Descriptor) -> String {
    match &descriptor.platform {
        Some(platform) if !platform.is_unknown() => {
            format!("{platform} {kind} {}", descriptor.digest)
        }
        _ => format!("{kind} {}", descriptor.digest),
    }
}

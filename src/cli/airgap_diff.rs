//! What one archive of images has that another has not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bundle::collected::image_bundle::{Descriptor, Document, Inventory, Store};
use serde::Serialize;

/// How many lines of a kind a person is shown.
const SHOWN: usize = 50;

/// The difference of two inventories.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Changes {
    schema_version: u32,
    from: Side,
    to: Side,
    images: Difference,
    platforms: Difference,
    manifests: Difference,
    blobs: Difference,
    /// Names that lead to something else.
    changed: Vec<Changed>,
    /// Bytes of blobs that only one of them has.
    bytes_added: u64,
    bytes_removed: u64,
}

/// One of the archives.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Side {
    path: String,
    /// `versionLabel` of `airgap.yaml`.
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    images: usize,
    blobs: usize,
    /// Bytes of the blobs, each once.
    bytes: u64,
    /// Why it was not read to its end.
    #[serde(skip_serializing_if = "String::is_empty")]
    damage: String,
}

/// What only one of them has.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Difference {
    added: Vec<String>,
    removed: Vec<String>,
}

/// An image whose name leads to something else.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Changed {
    image: String,
    from: String,
    to: String,
}

/// What is compared of an inventory.
#[derive(Default)]
struct Parts {
    images: BTreeMap<String, String>,
    platforms: BTreeSet<String>,
    manifests: BTreeSet<String>,
    blobs: BTreeMap<String, u64>,
}

impl Changes {
    /// Compares two archives.
    pub(super) fn between(from: &Inventory, to: &Inventory) -> Self {
        let (older, newer) = (Parts::of(from), Parts::of(to));
        let changed = older.images.iter().filter_map(|(image, digest)| {
            let now = newer.images.get(image)?;
            (now != digest).then(|| Changed {
                image: image.clone(),
                from: digest.clone(),
                to: now.clone(),
            })
        });
        let bytes = |of: &Parts, not_in: &Parts| {
            of.blobs
                .iter()
                .filter(|(digest, _)| !not_in.blobs.contains_key(*digest))
                .map(|(_, size)| size)
                .sum()
        };
        Self {
            schema_version: 1,
            from: Side::of(from, &older),
            to: Side::of(to, &newer),
            images: Difference::of(older.images.keys(), newer.images.keys()),
            platforms: Difference::of(older.platforms.iter(), newer.platforms.iter()),
            manifests: Difference::of(older.manifests.iter(), newer.manifests.iter()),
            blobs: Difference::of(older.blobs.keys(), newer.blobs.keys()),
            changed: changed.collect(),
            bytes_added: bytes(&newer, &older),
            bytes_removed: bytes(&older, &newer),
        }
    }

    /// Whether one of them was not read to its end, so that what is missing may be there.
    pub(super) fn is_partial(&self) -> bool {
        !self.from.damage.is_empty() || !self.to.damage.is_empty()
    }
}

impl Side {
    fn of(inventory: &Inventory, parts: &Parts) -> Self {
        let airgap = inventory.airgap.as_ref();
        Self {
            path: inventory.path.clone(),
            version: airgap.map_or_else(String::new, |it| it.version_label.clone()),
            images: parts.images.len(),
            blobs: parts.blobs.len(),
            bytes: parts.blobs.values().sum(),
            damage: inventory.damage.clone().unwrap_or_default(),
        }
    }
}

impl Difference {
    fn of<'a>(
        from: impl Iterator<Item = &'a String>,
        to: impl Iterator<Item = &'a String>,
    ) -> Self {
        let (from, to): (BTreeSet<_>, BTreeSet<_>) = (from.collect(), to.collect());
        let only = |one: &BTreeSet<&String>, other: &BTreeSet<&String>| {
            one.difference(other).map(|it| (*it).clone()).collect()
        };
        Self {
            added: only(&to, &from),
            removed: only(&from, &to),
        }
    }
}

impl Parts {
    fn of(inventory: &Inventory) -> Self {
        let mut parts = Self::default();
        for (root, store) in &inventory.stores {
            parts.take(root, store);
        }
        let saved = inventory.airgap.iter();
        let saved = saved.flat_map(|it| it.saved_images.iter().chain(&it.embedded_cluster_images));
        for image in saved {
            let reference = syntax::image_reference::ImageReference::parse(image);
            let Ok(reference) = reference else { continue };
            let tag = reference.tag.as_deref().unwrap_or("latest");
            // Its name in the storage is the last part only; the whole name says more.
            let short = format!("{}:{tag}", reference.last());
            let digest = match reference.digest {
                Some(digest) => digest,
                None => parts.images.remove(&short).unwrap_or_default(),
            };
            let known = parts.images.entry(canonical(image)).or_default();
            if known.is_empty() {
                *known = digest;
            }
        }
        parts
    }

    fn take(&mut self, root: &str, store: &Store) {
        for (name, repository) in &store.repositories {
            for (tag, digest) in &repository.tags {
                self.images.insert(format!("{name}:{tag}"), digest.clone());
            }
        }
        if let Some(Document::Index { manifests, .. }) = &store.index {
            for descriptor in manifests {
                let name = descriptor.names.first();
                let name = name.unwrap_or(&descriptor.digest);
                self.images
                    .insert(canonical(name), descriptor.digest.clone());
            }
        }
        for image in store.docker.iter().flat_map(|docker| &docker.images) {
            let digest = store.blobs.get(&image.config);
            let digest = digest.map_or(&image.config, |blob| &blob.digest);
            if image.repo_tags.is_empty() && store.index.is_some() {
                // The index leads to it, by its digest.
                continue;
            }
            let names = if image.repo_tags.is_empty() {
                vec![format!("{root}/{}", image.config)]
            } else {
                image.repo_tags.iter().map(|name| canonical(name)).collect()
            };
            for name in names {
                self.images.entry(name).or_insert_with(|| digest.clone());
            }
        }
        for blob in store.blobs.values() {
            self.blobs.insert(blob.digest.clone(), blob.size);
            match &blob.document {
                Some(Document::Index { manifests, .. }) => {
                    self.manifests.insert(blob.digest.clone());
                    self.platforms.extend(manifests.iter().filter_map(platform));
                }
                Some(Document::Manifest { .. }) => {
                    self.manifests.insert(blob.digest.clone());
                }
                Some(Document::Config { platform, .. }) if !platform.is_unknown() => {
                    self.platforms.insert(platform.to_string());
                }
                _ => {}
            }
        }
    }
}

/// A name in full, so that `web:1` of `manifest.json` and `docker.io/library/web:1` of an index are one; what is no whole
/// name stays as it is.
fn canonical(name: &str) -> String {
    let is_whole = name.contains(['/', ':']) && !name.starts_with("sha256:");
    match syntax::image_reference::ImageReference::parse(name) {
        Ok(reference) if is_whole => reference.to_string(),
        _ => name.to_owned(),
    }
}

fn platform(descriptor: &Descriptor) -> Option<String> {
    let platform = descriptor.platform.as_ref()?;
    (!platform.is_unknown()).then(|| platform.to_string())
}

/// The difference for a person.
pub(super) fn human(changes: &Changes) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for (label, side) in [("from", &changes.from), ("to  ", &changes.to)] {
        let version = if side.version.is_empty() {
            String::new()
        } else {
            format!(" {}", side.version)
        };
        let _ = writeln!(
            text,
            "{label} {}{version}: {} images, {} blobs, {} bytes",
            side.path, side.images, side.blobs, side.bytes
        );
        if !side.damage.is_empty() {
            let _ = writeln!(text, "     not read to its end: {}", side.damage);
        }
    }
    let mut list = |title: &str, mark: &str, items: &[String]| {
        if items.is_empty() {
            return;
        }
        let _ = writeln!(text, "\n{title}: {}", items.len());
        for item in items.iter().take(SHOWN) {
            let _ = writeln!(text, "  {mark} {item}");
        }
        if items.len() > SHOWN {
            let _ = writeln!(text, "    and {} more", items.len() - SHOWN);
        }
    };
    list("images added", "+", &changes.images.added);
    list("images removed", "-", &changes.images.removed);
    let moved: Vec<String> = changes
        .changed
        .iter()
        .map(|it| format!("{}: {} -> {}", it.image, it.from, it.to))
        .collect();
    list("images changed", "~", &moved);
    list("platforms added", "+", &changes.platforms.added);
    list("platforms removed", "-", &changes.platforms.removed);
    list("manifests added", "+", &changes.manifests.added);
    list("manifests removed", "-", &changes.manifests.removed);
    let _ = writeln!(
        text,
        "\nblobs: {} added ({} bytes), {} removed ({} bytes)",
        changes.blobs.added.len(),
        changes.bytes_added,
        changes.blobs.removed.len(),
        changes.bytes_removed
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn archive(tag: &str, layer: &str, platform: &str) -> Inventory {
        serde_json::from_value(json!({
            "path": "a.airgap",
            "airgap": {"versionLabel": "1", "savedImages": ["quay.io/shop/web:1"]},
            "stores": {"images/docker/registry/v2": {
                "repositories": {"web": {"tags": {"1": tag}}},
                "blobs": {
                    tag: {"size": 10, "digest": tag, "document": {"kind": "index", "manifests": [
                        {"digest": "sha256:m", "size": 3, "platform": {"os": "linux", "architecture": platform}}]}},
                    layer: {"size": 100, "digest": layer},
                    "sha256:same": {"size": 7, "digest": "sha256:same"},
                },
            }},
        }))
        .expect("an inventory")
    }

    #[test]
    fn a_moved_tag_is_a_change() {
        let (old, new) = (
            archive("sha256:a", "sha256:l1", "amd64"),
            archive("sha256:b", "sha256:l2", "arm64"),
        );
        let changes = Changes::between(&old, &new);
        assert_eq!(changes.images, Difference::default());
        assert_eq!(
            changes.changed,
            [Changed {
                image: "quay.io/shop/web:1".to_owned(),
                from: "sha256:a".to_owned(),
                to: "sha256:b".to_owned()
            }]
        );
        assert_eq!(changes.platforms.added, ["linux/arm64"]);
        assert_eq!(changes.platforms.removed, ["linux/amd64"]);
        assert_eq!((changes.bytes_added, changes.bytes_removed), (110, 110));
        assert!(human(&changes).contains("  ~ quay.io/shop/web:1: sha256:a -> sha256:b\n"));
    }

    #[test]
    fn an_archive_does_not_differ_from_itself() {
        let one = archive("sha256:a", "sha256:l1", "amd64");
        let changes = Changes::between(&one, &one);
        assert!(changes.changed.is_empty() && !changes.is_partial());
        assert_eq!(changes.blobs, Difference::default());
        assert_eq!(changes.manifests, Difference::default());
    }
}

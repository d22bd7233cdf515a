//! What was found, put where it belongs as it comes, in whichever order.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};

use bundle::collected::image_bundle::{
    Blob, DockerManifest, Inventory, MAX_FILES, MAX_NOTES, Release, Store,
};
use serde::Deserialize;
use syntax::image_reference::is_digest;

use super::place::{LinkKind, Place, Slot};
use super::{airgap, document};

/// How many links are followed from a name.
const MAX_LINKS: usize = 8;

/// A file of the release that may name images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReleaseFile {
    /// Its path in `app.tar.gz`.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

/// Everything found so far.
#[derive(Default)]
pub(super) struct Shelf {
    pub(super) inventory: Inventory,
    pub(super) release_files: Vec<ReleaseFile>,
    /// The last member of each name, by the name's hash: the last one counts.
    last: HashMap<u64, u64>,
    hasher: RandomState,
    /// Files without a place of their own, by their whole path, with that of their archive.
    others: BTreeMap<String, Blob>,
    links: BTreeMap<String, String>,
    /// `manifest.json`, by the folder that it lies in.
    docker: BTreeMap<String, DockerManifest>,
}

impl Shelf {
    /// Whether the member number `sequence` is the last of this name so far.
    pub(super) fn is_last(&mut self, name: &str, sequence: u64) -> bool {
        let key = self.hasher.hash_one(name);
        let last = self.last.entry(key).or_insert(sequence);
        let (known, newest) = (*last, sequence.max(*last));
        *last = newest;
        // Members are examined at once: either may come here first.
        if known != sequence {
            self.note(format!(
                "{name} is there more than once; the last one counts"
            ));
        }
        newest == sequence
    }

    pub(super) fn note(&mut self, text: String) {
        if self.inventory.notes.len() < MAX_NOTES {
            self.inventory.notes.push(text);
        }
    }

    pub(super) fn file(&mut self, path: &str, size: u64) {
        if self.inventory.files.len() < MAX_FILES {
            self.inventory.files.insert(path.to_owned(), size);
        }
    }

    pub(super) fn link(&mut self, path: String, target: String) {
        self.links.insert(path, target);
    }

    fn store(&mut self, root: &str) -> &mut Store {
        if !self.inventory.stores.contains_key(root) {
            self.inventory
                .stores
                .insert(root.to_owned(), Store::default());
        }
        self.inventory.stores.entry(root.to_owned()).or_default()
    }

    /// The archive at `root`, inside another, was not read to its end.
    pub(super) fn damaged(&mut self, root: &str, reason: String) {
        self.store(root).damage = reason;
    }

    /// A content that was read to its end.
    pub(super) fn blob(&mut self, path: &str, place: &Place, blob: Blob) {
        match &place.slot {
            Slot::Blob(_, digest) => {
                self.store(&place.root).blobs.insert(digest.clone(), blob);
            }
            _ => {
                self.others.insert(path.to_owned(), blob);
            }
        }
    }

    /// A small file that is read whole.
    pub(super) fn text(&mut self, path: &str, place: &Place, text: &[u8]) {
        match &place.slot {
            Slot::Link(link) => {
                let digest = String::from_utf8_lossy(text).trim().to_owned();
                let repository = self
                    .store(&place.root)
                    .repositories
                    .entry(link.repository.clone())
                    .or_default();
                let is_right = match &link.what {
                    LinkKind::Tag(_) => is_digest(&digest),
                    LinkKind::Revision(own) | LinkKind::Layer(own) => *own == digest,
                };
                if !is_right {
                    repository.bad_links.push(path.to_owned());
                    return;
                }
                match &link.what {
                    LinkKind::Tag(tag) => {
                        repository.tags.insert(tag.clone(), digest);
                    }
                    LinkKind::Revision(_) => {
                        repository.revisions.insert(digest);
                    }
                    LinkKind::Layer(_) => {
                        repository.layers.insert(digest);
                    }
                }
            }
            Slot::OciLayout => {
                #[derive(Deserialize)]
                #[serde(rename_all = "camelCase")]
                struct Layout {
                    #[serde(default)]
                    image_layout_version: String,
                }
                let version = serde_json::from_slice::<Layout>(text);
                let version = version.map_or_else(
                    |error| format!("unreadable: {error}"),
                    |layout| layout.image_layout_version,
                );
                self.store(&place.root).oci_layout = Some(version);
            }
            Slot::Index => self.store(&place.root).index = document::read(text),
            Slot::DockerManifest => {
                self.docker
                    .insert(place.root.clone(), document::docker(text));
            }
            Slot::Airgap => self.inventory.airgap = Some(airgap::read(text)),
            _ => {}
        }
    }

    pub(super) fn release(&mut self, release: Release) {
        self.inventory.release = Some(release);
    }

    /// Puts together what can only be known at the end: which of the files without a place are those of
    /// `docker save`, and which folders are stores at all.
    pub(super) fn finish(mut self) -> (Inventory, Vec<ReleaseFile>) {
        for (root, mut manifest) in std::mem::take(&mut self.docker) {
            let mut taken = BTreeMap::new();
            for image in &mut manifest.images {
                for path in std::iter::once(&mut image.config).chain(&mut image.layers) {
                    let (key, blob) = self.of_docker(&root, path);
                    if let Some(blob) = blob {
                        taken.insert(key.clone(), blob);
                    }
                    *path = key;
                }
            }
            let store = self.store(&root);
            store.blobs.extend(taken);
            store.docker = Some(manifest);
        }
        for (path, blob) in std::mem::take(&mut self.others) {
            let is_of_store = self
                .inventory
                .stores
                .values()
                .any(|store| store.docker.is_some() && store.blobs.contains_key(&path));
            if !is_of_store {
                self.file(&path, blob.size);
            }
        }
        // `index.json` is a name that other things have too.
        self.inventory.stores.retain(|_, store| {
            let has_content = store.oci_layout.is_some()
                || store.docker.is_some()
                || !store.repositories.is_empty()
                || !store.blobs.is_empty();
            if store.oci_layout.is_none() && !has_content {
                store.index = None;
            }
            has_content || !store.damage.is_empty()
        });
        (self.inventory, self.release_files)
    }

    /// The key of a file that `manifest.json` in `root` names, and the file where it has no key yet.
    fn of_docker(&self, root: &str, path: &str) -> (String, Option<Blob>) {
        let mut full = if root.is_empty() {
            path.to_owned()
        } else {
            format!("{root}/{path}")
        };
        for _ in 0..MAX_LINKS {
            match self.links.get(&full) {
                Some(target) => full.clone_from(target),
                None => break,
            }
        }
        let segments = super::place::segments(&full).unwrap_or_default();
        if let Slot::Blob(_, digest) = super::place::place(&segments, true).slot {
            return (digest, None);
        }
        let full = segments.join("/");
        let blob = self.others.get(&full).cloned();
        (full, blob)
    }
}

//! Every manifest, index child, configuration and layer: present, right, and what it says of others true.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use bundle::collected::image_bundle::{Blob, Descriptor, Document, Platform};

use super::holes::{Hole, Holes, named, wrong};
use super::media;
use super::model::{Blobs, Image, Links, Place, Top};
use super::platforms::Required;

/// How deep indexes lie in indexes.
const MAX_DEPTH: usize = 8;

/// `{}`, the configuration of what has none.
const EMPTY_CONFIG: &str =
    "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/// A manifest that can run, or an artifact.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    /// Where it runs; nothing for an artifact and where nobody knows.
    pub(super) platform: Option<Platform>,
    /// Digests and sizes of what a node fetches: manifest, configuration and layers.
    pub(super) blobs: Vec<(String, u64)>,
    /// `diff_id`s and sizes of what it unpacks.
    pub(super) unpacked: Vec<(String, u64)>,
}

/// What is below a digest.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) problems: Vec<(Hole, String)>,
    pub(super) leaves: Vec<Leaf>,
    /// Digests and sizes of all of it.
    pub(super) blobs: Vec<(String, u64)>,
}

impl Node {
    fn doubt(&mut self, media_type: Option<String>) {
        self.problems
            .extend(media_type.map(|what| (Hole::MediaType, what)));
    }
}

/// What was found of all images.
pub(super) struct Contents {
    pub(super) holes: Holes,
    /// What can run of each image, in the order of the images.
    pub(super) leaves: Vec<Vec<Leaf>>,
    /// Digests and sizes of everything that images lead to.
    pub(super) blobs: BTreeMap<String, u64>,
    /// Layers that may be fetched from elsewhere and are not here.
    pub(super) foreign: BTreeSet<String>,
    /// Layers whose `diff_id` was not compared.
    pub(super) not_compared: usize,
}

/// What the walk needs to know.
pub(super) struct Walk<'a> {
    pub(super) blobs: Blobs<'a>,
    required: &'a Required,
    /// Whether every child must be there: KOTS copies all of them.
    copies_all: bool,
    /// By store, repository and digest.
    known: HashMap<[String; 3], Rc<Node>>,
    foreign: BTreeSet<String>,
    not_compared: BTreeSet<String>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(blobs: Blobs<'a>, required: &'a Required, copies_all: bool) -> Self {
        Self {
            blobs,
            required,
            copies_all,
            known: HashMap::new(),
            foreign: BTreeSet::new(),
            not_compared: BTreeSet::new(),
        }
    }

    /// Goes through all images.
    pub(super) fn run(mut self, images: &[Image<'a>]) -> Contents {
        let mut holes = Holes::default();
        let mut leaves = Vec::new();
        let mut blobs = BTreeMap::new();
        for image in images {
            let node = match &image.top {
                Top::Absent(why) => {
                    holes.add(Hole::Image, why, &image.name);
                    leaves.push(Vec::new());
                    continue;
                }
                Top::Digest(top) => self.manifest(image.place, top, &mut Vec::new()),
                Top::Docker(docker) => Rc::new(self.docker(image.place, docker, &[])),
            };
            for (kind, what) in &node.problems {
                holes.add(*kind, what, &image.name);
            }
            let whole = self.beside(image, &node, &mut holes);
            let node = whole.as_ref().unwrap_or(&node);
            blobs.extend(node.blobs.iter().cloned());
            leaves.push(node.leaves.clone());
        }
        Contents {
            holes,
            leaves,
            blobs,
            foreign: self.foreign,
            not_compared: self.not_compared.len(),
        }
    }

    /// A manifest or an index, with everything below it.
    fn manifest(
        &mut self,
        place: Place<'a>,
        descriptor: &Descriptor,
        above: &mut Vec<String>,
    ) -> Rc<Node> {
        let repository = place.repository.map_or("", |(name, _)| name);
        let key = [place.root, repository, &descriptor.digest].map(str::to_owned);
        if let Some(known) = self.known.get(&key) {
            return Rc::clone(known);
        }
        let mut node = Node::default();
        if above.len() >= MAX_DEPTH || above.contains(&descriptor.digest) {
            node.problems.push((
                Hole::Document,
                format!(
                    "indexes lie more than {MAX_DEPTH} deep in each other at {}",
                    descriptor.digest
                ),
            ));
            return Rc::new(node);
        }
        let what = named("manifest", descriptor);
        match self.blobs.get(place, &descriptor.digest) {
            None if descriptor.data_digest == descriptor.digest => {}
            None => node
                .problems
                .push((Hole::Manifest, format!("{what} is missing"))),
            Some(blob) => {
                if !self
                    .blobs
                    .is_linked(place, &descriptor.digest, Links::Manifests)
                {
                    node.problems.push((
                        Hole::Link,
                        format!("{what} has no link in _manifests/revisions"),
                    ));
                }
                let size = (descriptor.size > 0).then_some(descriptor.size);
                node.problems
                    .extend(wrong(&what, &descriptor.digest, size, blob));
                node.blobs.push((descriptor.digest.clone(), blob.size));
                above.push(descriptor.digest.clone());
                self.document(place, descriptor, &what, blob, above, &mut node);
                above.pop();
            }
        }
        let node = Rc::new(node);
        self.known.insert(key, Rc::clone(&node));
        node
    }

    fn document(
        &mut self,
        place: Place<'a>,
        descriptor: &Descriptor,
        what: &str,
        blob: &'a Blob,
        above: &mut Vec<String>,
        node: &mut Node,
    ) {
        match &blob.document {
            Some(Document::Index {
                media_type,
                manifests,
            }) => {
                let said =
                    media::of_document(what, &descriptor.media_type, media_type, &media::INDEXES);
                node.doubt(said);
                // Docker saves of an index what it has, which is what nodes asked for, or the one platform of its machine.
                let is_part = place.store.docker.is_some()
                    && self.required.platforms.is_empty()
                    && manifests.iter().any(|child| {
                        child.reference_type.is_empty()
                            && self.blobs.get(place, &child.digest).is_some()
                    });
                for child in manifests {
                    self.child(place, child, is_part, above, node);
                }
            }
            Some(Document::Manifest {
                media_type,
                artifact_type,
                config,
                layers,
            }) => {
                let said =
                    media::of_document(what, &descriptor.media_type, media_type, &media::MANIFESTS);
                node.doubt(said);
                let is_image = artifact_type.is_empty()
                    && media::CONFIGS.contains(&config.media_type.as_str());
                let leaf = self.leaf(place, descriptor, blob, is_image, config, layers, node);
                node.leaves.push(leaf);
            }
            Some(Document::Schema1) => node.problems.push((
                Hole::Document,
                format!("{what} is a manifest of schema 1, which runtimes no longer pull"),
            )),
            Some(Document::Unreadable { reason }) => node
                .problems
                .push((Hole::Document, format!("{what} cannot be read: {reason}"))),
            Some(Document::Config { .. }) | None => {
                // Where its digest is wrong, that is said and enough.
                if blob.digest == descriptor.digest {
                    node.problems.push((
                        Hole::Document,
                        format!("{what} is neither a manifest nor an index"),
                    ));
                }
            }
        }
    }

    /// A child of an index, of which only a part need be there where `is_part`.
    fn child(
        &mut self,
        place: Place<'a>,
        child: &Descriptor,
        is_part: bool,
        above: &mut Vec<String>,
        node: &mut Node,
    ) {
        let is_attestation = child.reference_type == "attestation-manifest";
        let is_known = child
            .platform
            .as_ref()
            .is_some_and(|platform| !platform.is_unknown());
        let is_wanted = self.copies_all
            || match &child.platform {
                Some(platform) if is_known => !is_part && self.required.wants(platform),
                _ => !is_attestation,
            };
        let is_there = self.blobs.get(place, &child.digest).is_some();
        if !is_there && !is_wanted {
            if !is_attestation {
                let what = named("manifest", child);
                node.problems
                    .push((Hole::OtherPlatform, format!("{what} is missing")));
            }
            return;
        }
        let below = self.manifest(place, child, above);
        node.problems.extend(below.problems.iter().cloned());
        node.blobs.extend(below.blobs.iter().cloned());
        if is_attestation {
            return;
        }
        for leaf in &below.leaves {
            if let (Some(said), Some(is)) =
                (child.platform.as_ref().filter(|_| is_known), &leaf.platform)
                && (said.architecture != is.architecture || said.os != is.os)
            {
                node.problems.push((
                    Hole::Platform,
                    format!(
                        "{} is said to be for {said}, its configuration says {is}",
                        child.digest
                    ),
                ));
            }
            node.leaves.push(leaf.clone());
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one manifest")]
    fn leaf(
        &mut self,
        place: Place<'a>,
        descriptor: &Descriptor,
        manifest: &Blob,
        is_image: bool,
        config: &Descriptor,
        layers: &[Descriptor],
        node: &mut Node,
    ) -> Leaf {
        let mut leaf = Leaf {
            platform: None,
            blobs: vec![(descriptor.digest.clone(), manifest.size)],
            unpacked: Vec::new(),
        };
        let what = format!("configuration {}", config.digest);
        let document = match self.content(place, &what, config, node) {
            Some(blob) => {
                leaf.blobs.push((config.digest.clone(), blob.size));
                blob.document.as_ref()
            }
            None => None,
        };
        let diff_ids = match document {
            Some(Document::Config { platform, diff_ids }) if is_image => {
                leaf.platform = Some(platform.clone());
                Some(diff_ids)
            }
            Some(Document::Unreadable { reason }) if is_image => {
                node.problems
                    .push((Hole::Document, format!("{what} cannot be read: {reason}")));
                None
            }
            _ => None,
        };
        let diff_ids = match diff_ids {
            Some(ids) if ids.len() != layers.len() => {
                // Docker 25.0 wrote manifests without their layers beside a manifest.json that has them.
                let docker = place.store.docker.iter().flat_map(|docker| &docker.images);
                let is_in_docker = docker
                    .into_iter()
                    .any(|image| image.config == config.digest && image.layers.len() == ids.len());
                let hole = if is_in_docker && layers.len() < ids.len() {
                    Hole::FewerLayers
                } else {
                    Hole::DiffId
                };
                let (named, there) = (ids.len(), layers.len());
                let text = format!("{what} names {named} layers, the manifest {there}");
                node.problems.push((hole, text));
                (hole == Hole::DiffId).then_some(ids)
            }
            ids => ids,
        };
        for (index, layer) in layers.iter().enumerate() {
            let what = format!("layer {}", layer.digest);
            if is_image {
                node.doubt(media::of_layer(
                    &what,
                    layer,
                    self.blobs.get(place, &layer.digest),
                ));
            }
            let Some(blob) = self.content(place, &what, layer, node) else {
                continue;
            };
            leaf.blobs.push((layer.digest.clone(), blob.size));
            // What is not the layer need not unpack to it.
            if is_image && wrong(&what, &layer.digest, Some(layer.size), blob).is_none() {
                let diff_id = diff_ids.and_then(|ids| ids.get(index));
                self.diff_id(&what, blob, diff_id.map(String::as_str), node, &mut leaf);
            }
        }
        leaf
    }

    /// A configuration or a layer; nothing where it is not there.
    fn content(
        &mut self,
        place: Place<'a>,
        what: &str,
        descriptor: &Descriptor,
        node: &mut Node,
    ) -> Option<&'a Blob> {
        let digest = &descriptor.digest;
        let Some(blob) = self.blobs.get(place, digest) else {
            if descriptor.foreign {
                self.foreign.insert(digest.clone());
            } else if descriptor.data_digest != *digest && digest != EMPTY_CONFIG {
                node.problems
                    .push((Hole::Blob, format!("{what} is missing")));
            }
            return None;
        };
        if !self.blobs.is_linked(place, digest, Links::Layers) {
            node.problems
                .push((Hole::Link, format!("{what} has no link in _layers")));
        }
        node.problems
            .extend(wrong(what, digest, Some(descriptor.size), blob));
        node.blobs.push((digest.clone(), blob.size));
        Some(blob)
    }

    pub(super) fn diff_id(
        &mut self,
        what: &str,
        blob: &Blob,
        expected: Option<&str>,
        node: &mut Node,
        leaf: &mut Leaf,
    ) {
        let (size, digest) = match &blob.unpacked {
            Some(unpacked) if !unpacked.error.is_empty() => {
                node.problems.push((
                    Hole::DiffId,
                    format!("{what} does not unpack: {}", unpacked.error),
                ));
                return;
            }
            Some(unpacked) => (unpacked.size, &unpacked.digest),
            None if blob.compression.is_empty() => (blob.size, &blob.digest),
            None => {
                self.not_compared.insert(what.to_owned());
                return;
            }
        };
        leaf.unpacked.push((digest.clone(), size));
        let Some(expected) = expected else { return };
        if expected.split(':').next() != digest.split(':').next() {
            self.not_compared.insert(what.to_owned());
        } else if digest != expected {
            node.problems.push((
                Hole::DiffId,
                format!("{what} unpacks to {digest}, the configuration says {expected}"),
            ));
        }
    }
}

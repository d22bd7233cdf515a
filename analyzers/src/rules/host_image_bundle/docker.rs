//! Images of `docker save`: by `manifest.json` alone, or beside an index that leads to them too.

use std::collections::BTreeSet;

use bundle::collected::image_bundle::{DockerImage, Document, Inventory, Store};
use syntax::image_reference::{ImageReference, is_digest};

use super::contents::{Leaf, Node, Walk};
use super::holes::{Hole, Holes, wrong};
use super::model::{Image, Place, Top};

/// The digests of everything that a manifest or an index leads to, as far as it can be read.
fn reached<'a>(store: &'a Store, top: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![top];
    while let Some(digest) = open.pop() {
        if !reached.insert(digest) {
            continue;
        }
        match store
            .blobs
            .get(digest)
            .and_then(|blob| blob.document.as_ref())
        {
            Some(Document::Index { manifests, .. }) => {
                open.extend(manifests.iter().map(|child| child.digest.as_str()));
            }
            Some(Document::Manifest { config, .. }) => {
                reached.insert(&config.digest);
            }
            _ => {}
        }
    }
    reached
}

/// Images of `docker save`. One to which an index beside leads too is one image.
pub(super) fn images<'a>(
    root: &'a str,
    store: &'a Store,
    inventory: &Inventory,
    images: &mut Vec<Image<'a>>,
) {
    let from_path = inventory
        .airgap
        .as_ref()
        .and_then(|_| root.strip_prefix("images/docker-archive/"))
        .and_then(name_of_path);
    let place = Place {
        root,
        store,
        repository: None,
    };
    let Some(manifest) = &store.docker else {
        if let Some(name) = from_path {
            let why = if store.damage.is_empty() {
                "its archive holds no manifest.json".to_owned()
            } else {
                format!("its archive cannot be read: {}", store.damage)
            };
            images.push(Image {
                references: ImageReference::parse(&name).into_iter().collect(),
                name,
                path_only: false,
                embedded: false,
                place,
                top: Top::Absent(why),
                beside: Vec::new(),
            });
        }
        return;
    };
    let indexed: Vec<(usize, BTreeSet<&str>)> = images
        .iter()
        .enumerate()
        .filter(|(_, image)| image.place.root == root)
        .map(|(at, image)| match &image.top {
            Top::Digest(top) => {
                let known = store.blobs.get_key_value(&top.digest);
                (
                    at,
                    known.map_or_else(BTreeSet::new, |(digest, _)| reached(store, digest)),
                )
            }
            _ => (at, BTreeSet::new()),
        })
        .collect();
    for image in &manifest.images {
        let names: Vec<String> = match &from_path {
            Some(name) => vec![name.clone()],
            None => image.repo_tags.clone(),
        };
        let references: Vec<ImageReference> = names
            .iter()
            .filter_map(|name| ImageReference::parse(name).ok())
            .collect();
        let of_index: Vec<usize> = indexed
            .iter()
            .filter(|(at, reached)| {
                let same_name = references
                    .iter()
                    .any(|it| images[*at].references.contains(it));
                same_name || reached.contains(image.config.as_str())
            })
            .map(|(at, _)| *at)
            .collect();
        if let Some(first) = of_index.first() {
            let is_known = |it: &ImageReference| {
                of_index
                    .iter()
                    .any(|at| images[*at].references.contains(it))
            };
            let more: Vec<ImageReference> = references
                .iter()
                .filter(|it| !is_known(it))
                .cloned()
                .collect();
            images[*first].references.extend(more);
            for at in of_index {
                images[at].beside.push(image);
            }
            continue;
        }
        images.push(Image {
            name: match names.first() {
                Some(name) => name.clone(),
                None => format!("an image without a name, {}", image.config),
            },
            references,
            path_only: false,
            embedded: false,
            place,
            top: Top::Docker(image),
            beside: Vec::new(),
        });
    }
}

/// `<host>/<path…>/<name>/<tag>`, or `…/sha256/<hex>` for a digest.
fn name_of_path(path: &str) -> Option<String> {
    let (name, last) = path.rsplit_once('/')?;
    if let Some((name, algorithm)) = name.rsplit_once('/') {
        let digest = format!("{algorithm}:{last}");
        if is_digest(&digest) {
            return Some(format!("{name}@{digest}"));
        }
    }
    Some(format!("{name}:{last}"))
}

impl<'a> Walk<'a> {
    /// What `manifest.json` says of an image that an index leads to, as `node` says: since Docker 25 an archive has both,
    /// and `docker load` goes by either. What was found of the index is not said again. What is below the image, by the one
    /// that has all of it.
    pub(super) fn beside(
        &mut self,
        image: &Image<'a>,
        node: &Node,
        holes: &mut Holes,
    ) -> Option<Node> {
        let says = |kinds: &[Hole]| node.problems.iter().any(|(kind, _)| kinds.contains(kind));
        let is_read = !says(&[
            Hole::Manifest,
            Hole::OtherPlatform,
            Hole::Blob,
            Hole::Document,
        ]);
        let mut whole = None;
        for docker in &image.beside {
            let below = self.docker(image.place, docker, &node.blobs);
            for (kind, what) in &below.problems {
                holes.add(*kind, what, &image.name);
            }
            let config = self.blobs.get(image.place, &docker.config);
            let config = config.map_or(&docker.config, |blob| &blob.digest);
            let mut leaves = node.leaves.iter().flat_map(|leaf| &leaf.blobs);
            if is_read && !leaves.any(|(digest, _)| digest == config) {
                let what = format!(
                    "manifest.json has the configuration {}, the index leads to another",
                    docker.config
                );
                holes.add(Hole::Disagreement, &what, &image.name);
            }
            if says(&[Hole::FewerLayers]) {
                whole = Some(below);
            }
        }
        whole
    }

    /// An image of `docker save`. Of what `judged` names, digest and size were compared already.
    pub(super) fn docker(
        &mut self,
        place: Place<'a>,
        image: &DockerImage,
        judged: &[(String, u64)],
    ) -> Node {
        let mut node = Node::default();
        let mut leaf = Leaf {
            platform: None,
            blobs: Vec::new(),
            unpacked: Vec::new(),
        };
        let is_judged = |digest: &str| judged.iter().any(|(known, _)| known == digest);
        let what = format!("configuration {}", image.config);
        let mut diff_ids = None;
        match self.blobs.get(place, &image.config) {
            None => node
                .problems
                .push((Hole::Blob, format!("{what} is missing"))),
            Some(blob) => {
                // Its name is its digest, in both forms.
                let hex = image
                    .config
                    .trim_start_matches("sha256:")
                    .trim_end_matches(".json");
                let hex = hex.rsplit('/').next().unwrap_or_default();
                let digest = format!("sha256:{hex}");
                if is_digest(&digest) && !is_judged(&digest) {
                    node.problems.extend(wrong(&what, &digest, None, blob));
                }
                node.blobs.push((blob.digest.clone(), blob.size));
                leaf.blobs.push((blob.digest.clone(), blob.size));
                match &blob.document {
                    Some(Document::Config {
                        platform,
                        diff_ids: ids,
                    }) => {
                        leaf.platform = Some(platform.clone());
                        diff_ids = Some(ids);
                    }
                    _ => node
                        .problems
                        .push((Hole::Document, format!("{what} cannot be read as one"))),
                }
            }
        }
        if let Some(diff_ids) = diff_ids
            && diff_ids.len() != image.layers.len()
        {
            node.problems.push((
                Hole::DiffId,
                format!(
                    "{what} names {} layers, manifest.json {}",
                    diff_ids.len(),
                    image.layers.len()
                ),
            ));
        }
        for (index, key) in image.layers.iter().enumerate() {
            let what = format!("layer {key}");
            let Some(blob) = self.blobs.get(place, key) else {
                node.problems
                    .push((Hole::Blob, format!("{what} is missing")));
                continue;
            };
            node.blobs.push((blob.digest.clone(), blob.size));
            leaf.blobs.push((blob.digest.clone(), blob.size));
            // A name that is a digest is one to be kept; other names say nothing.
            let digest = if is_digest(key) { key } else { &blob.digest };
            if let Some(problem) = wrong(&what, digest, None, blob) {
                if !is_judged(digest) {
                    node.problems.push(problem);
                }
                continue;
            }
            let diff_id = diff_ids.and_then(|ids| ids.get(index));
            self.diff_id(
                &what,
                blob,
                diff_id.map(String::as_str),
                &mut node,
                &mut leaf,
            );
        }
        node.leaves.push(leaf);
        node
    }
}

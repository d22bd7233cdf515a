//! The images of an inventory, whatever its layout: their names, and what each leads to.

use std::collections::BTreeMap;

use bundle::collected::image_bundle::{
    Airgap, Blob, Descriptor, DockerImage, Document, Inventory, Repository, Store,
};
use syntax::image_reference::{ImageReference, is_digest};

/// The layout of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// KOTS, `format: docker`: the storage of a registry below `images/`.
    Kots,
    /// KOTS, `format: docker-archive`: one archive of `docker save` for each image.
    KotsDockerArchive,
    /// An OCI layout.
    Oci,
    /// An archive of `docker save`.
    DockerArchive,
    /// The storage of a registry.
    Distribution,
    /// None that is known.
    Unknown,
}

impl Layout {
    pub(super) fn of(inventory: &Inventory) -> Self {
        let any = |is: fn(&Store) -> bool| inventory.stores.values().any(is);
        if let Some(airgap) = &inventory.airgap {
            return match airgap.format.as_str() {
                "docker" => Self::Kots,
                _ => Self::KotsDockerArchive,
            };
        }
        if any(|store| store.oci_layout.is_some()) {
            Self::Oci
        } else if any(|store| store.docker.is_some()) {
            Self::DockerArchive
        } else if any(|store| !store.repositories.is_empty()) {
            Self::Distribution
        } else {
            Self::Unknown
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kots => "KOTS .airgap, format docker",
            Self::KotsDockerArchive => "KOTS .airgap, format docker-archive",
            Self::Oci => "OCI layout",
            Self::DockerArchive => "docker save",
            Self::Distribution => "storage of a registry",
            Self::Unknown => "no images of a known layout",
        }
    }
}

/// An image.
#[derive(Debug)]
pub(super) struct Image<'a> {
    /// Its name as written, or what stands for one.
    pub(super) name: String,
    /// The names by which it can be asked for.
    pub(super) references: Vec<ImageReference>,
    /// Its repository where the registry is not known: the storage of a registry has paths only.
    pub(super) path_only: bool,
    /// Where its blobs lie.
    pub(super) place: Place<'a>,
    /// What it is.
    pub(super) top: Top<'a>,
}

/// Where the blobs of an image lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The folder of the store.
    pub(super) root: &'a str,
    pub(super) store: &'a Store,
    /// The repository, whose links must be there, and its name.
    pub(super) repository: Option<(&'a str, &'a Repository)>,
}

/// What an image is.
#[derive(Debug, Clone)]
pub(super) enum Top<'a> {
    /// A manifest or an index.
    Digest(Box<Descriptor>),
    /// An image of `docker save`.
    Docker(&'a DockerImage),
    /// It is said to be there and is not.
    Absent(String),
}

/// Every image of an inventory, in order of the places.
pub(super) fn images(inventory: &Inventory) -> Vec<Image<'_>> {
    let mut images = Vec::new();
    let mut named = Vec::new();
    if let Some(airgap) = &inventory.airgap {
        named.extend(saved(inventory, airgap));
    }
    for (root, store) in &inventory.stores {
        repositories(root, store, inventory, &named, &mut images);
        oci(root, store, &mut images);
        docker(root, store, inventory, &mut images);
    }
    // What `savedImages` names comes first, under that name.
    named.retain(|image| !is_there(&images, image));
    named.extend(images);
    named
}

/// Whether an image that is missing under its own name is there after all, by the name in its archive.
fn is_there(images: &[Image<'_>], wanted: &Image<'_>) -> bool {
    matches!(wanted.top, Top::Absent(_))
        && wanted.references.iter().any(|reference| {
            images
                .iter()
                .any(|image| image.references.contains(reference))
        })
}

/// The images that `airgap.yaml` names.
fn saved<'a>(inventory: &'a Inventory, airgap: &'a Airgap) -> Vec<Image<'a>> {
    let trees = || {
        inventory
            .stores
            .iter()
            .filter(|(root, store)| root.starts_with("images/") && !store.repositories.is_empty())
    };
    let nowhere = Place {
        root: "",
        store: &EMPTY,
        repository: None,
    };
    let mut all = Vec::new();
    for name in &airgap.saved_images {
        let reference = ImageReference::parse(name).ok();
        let mut place = nowhere;
        let top = match &reference {
            None => Top::Absent(format!(
                "savedImages has {name:?}, which is no image reference"
            )),
            Some(reference) => {
                let found = trees().find_map(|(root, store)| {
                    Some((
                        root,
                        store,
                        store.repositories.get_key_value(reference.last())?,
                    ))
                });
                match found {
                    None => Top::Absent(format!("there is no repository {:?}", reference.last())),
                    Some((root, store, (name, repository))) => {
                        place = Place {
                            root,
                            store,
                            repository: Some((name, repository)),
                        };
                        in_repository(reference, repository)
                    }
                }
            }
        };
        all.push(Image {
            name: name.clone(),
            references: reference.into_iter().collect(),
            path_only: false,
            place,
            top,
        });
    }
    all
}

static EMPTY: Store = Store {
    damage: String::new(),
    oci_layout: None,
    index: None,
    docker: None,
    repositories: BTreeMap::new(),
    blobs: BTreeMap::new(),
};

fn by_digest(digest: &str) -> Descriptor {
    Descriptor {
        digest: digest.to_owned(),
        ..Descriptor::default()
    }
}

fn in_repository(reference: &ImageReference, repository: &Repository) -> Top<'static> {
    if let Some(digest) = &reference.digest {
        return if repository.revisions.contains(digest) {
            Top::Digest(Box::new(by_digest(digest)))
        } else {
            Top::Absent(format!(
                "repository {:?} has no manifest {digest}",
                reference.last()
            ))
        };
    }
    let tag = reference.tag.as_deref().unwrap_or("latest");
    repository.tags.get(tag).map_or_else(
        || {
            Top::Absent(format!(
                "repository {:?} has no tag {tag:?}",
                reference.last()
            ))
        },
        |digest| Top::Digest(Box::new(by_digest(digest))),
    )
}

/// What lies in the storage of a registry and has no name of its own yet.
fn repositories<'a>(
    root: &'a str,
    store: &'a Store,
    inventory: &Inventory,
    named: &[Image<'_>],
    images: &mut Vec<Image<'a>>,
) {
    for (name, repository) in &store.repositories {
        let place = Place {
            root,
            store,
            repository: Some((name, repository)),
        };
        let of_this = |digest: &str| {
            named.iter().any(|image| {
                image.place.root == root
                    && image.references.iter().any(|it| it.last() == name)
                    && matches!(&image.top, Top::Digest(top) if top.digest == digest)
            })
        };
        let mut push = |shown: String, digest: &str| {
            images.push(Image {
                references: ImageReference::parse(&shown).into_iter().collect(),
                name: shown,
                path_only: true,
                place,
                top: Top::Digest(Box::new(by_digest(digest))),
            });
        };
        let mut reached: Vec<&str> = Vec::new();
        for (tag, digest) in &repository.tags {
            if !of_this(digest) {
                push(format!("{name}:{tag}"), digest);
            }
            reached.push(digest);
        }
        for digest in &repository.revisions {
            if let Some(Document::Index { manifests, .. }) = store
                .blobs
                .get(digest)
                .and_then(|blob| blob.document.as_ref())
            {
                reached.extend(manifests.iter().map(|child| child.digest.as_str()));
            }
        }
        reached.sort_unstable();
        // Of a KOTS bundle savedImages says what is an image; where an archive ends early, the tag or the index of a
        // manifest may be behind the end.
        let may_be_images = inventory.airgap.is_none() && inventory.damage.is_none();
        for digest in repository.revisions.iter().filter(|_| may_be_images) {
            if reached.binary_search(&digest.as_str()).is_err() && !of_this(digest) {
                push(format!("{name}@{digest}"), digest);
            }
        }
    }
}

fn oci<'a>(root: &'a str, store: &'a Store, images: &mut Vec<Image<'a>>) {
    let Some(Document::Index { manifests, .. }) = &store.index else {
        return;
    };
    for descriptor in manifests {
        let full = descriptor
            .names
            .iter()
            .filter(|name| name.contains(['/', ':']));
        images.push(Image {
            name: match descriptor.names.first() {
                Some(name) => name.clone(),
                None => format!("an image without a name, {}", descriptor.digest),
            },
            references: full
                .filter_map(|name| ImageReference::parse(name).ok())
                .collect(),
            path_only: false,
            place: Place {
                root,
                store,
                repository: None,
            },
            top: Top::Digest(Box::new(descriptor.clone())),
        });
    }
}

/// Images of `docker save`, where they are not in an index beside.
fn docker<'a>(root: &'a str, store: &'a Store, inventory: &Inventory, images: &mut Vec<Image<'a>>) {
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
                place,
                top: Top::Absent(why),
            });
        }
        return;
    };
    for image in &manifest.images {
        let names: Vec<String> = match &from_path {
            Some(name) => vec![name.clone()],
            None => image.repo_tags.clone(),
        };
        let references: Vec<ImageReference> = names
            .iter()
            .filter_map(|name| ImageReference::parse(name).ok())
            .collect();
        let is_in_index = !references.is_empty()
            && references.iter().all(|reference| {
                images
                    .iter()
                    .any(|other| other.place.root == root && other.references.contains(reference))
            });
        if is_in_index {
            continue;
        }
        images.push(Image {
            name: match names.first() {
                Some(name) => name.clone(),
                None => format!("an image without a name, {}", image.config),
            },
            references,
            path_only: false,
            place,
            top: Top::Docker(image),
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

/// A blob of an image: in its own store, or in that of an archive which this one is based on.
#[derive(Clone, Copy)]
pub(super) struct Blobs<'a> {
    pub(super) base: Option<&'a Inventory>,
}

impl<'a> Blobs<'a> {
    pub(super) fn get(self, place: Place<'a>, digest: &str) -> Option<&'a Blob> {
        place.store.blobs.get(digest).or_else(|| {
            let stores = self.base?.stores.values();
            stores
                .filter_map(|store| store.blobs.get(digest))
                .find(|blob| blob.digest == digest)
        })
    }

    /// Whether a registry would serve it: its repository, here or in the base, has the link.
    pub(super) fn is_linked(self, place: Place<'a>, digest: &str, links: Links) -> bool {
        let Some((_, repository)) = place.repository else {
            return true;
        };
        if links.of(repository).contains(digest) {
            return true;
        }
        let base = self.base.into_iter().flat_map(|base| base.stores.values());
        let mut all = base.flat_map(|store| store.repositories.values());
        all.any(|repository| links.of(repository).contains(digest))
    }
}

/// Which links of a repository.
#[derive(Debug, Clone, Copy)]
pub(super) enum Links {
    Manifests,
    Layers,
}

impl Links {
    fn of(self, repository: &Repository) -> &std::collections::BTreeSet<String> {
        match self {
            Self::Manifests => &repository.revisions,
            Self::Layers => &repository.layers,
        }
    }
}

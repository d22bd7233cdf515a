//! The images of an inventory, whatever its layout: their names, and what each leads to.

use std::collections::BTreeMap;

use bundle::collected::image_bundle::{
    Airgap, Blob, Descriptor, DockerImage, Document, Inventory, Repository, Store,
};
use syntax::image_reference::ImageReference;

/// The layout of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// KOTS, `format: docker`: the storage of a registry below `images/`.
    Kots,
    /// KOTS, `format: docker-archive`: one archive of `docker save` for each image.
    KotsDockerArchive,
    /// An OCI layout.
    Oci,
    /// An archive of `docker save` of Docker 25 or later, which is an OCI layout too.
    DockerOci,
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
        if any(|store| store.oci_layout.is_some() && store.docker.is_some()) {
            Self::DockerOci
        } else if any(|store| store.oci_layout.is_some()) {
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
            Self::DockerOci => "docker save with an OCI layout",
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
    /// Whether it is Embedded Cluster's own: it has a registry folder of its own, and a name of its own when it is pushed.
    pub(super) embedded: bool,
    /// Where its blobs lie.
    pub(super) place: Place<'a>,
    /// What it is.
    pub(super) top: Top<'a>,
    /// What `manifest.json` says of it, where an index leads to it.
    pub(super) beside: Vec<&'a DockerImage>,
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
        super::docker::images(root, store, inventory, &mut images);
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

/// The folder of Embedded Cluster's own registry.
fn embedded_folder(airgap: &Airgap) -> Option<String> {
    let folder = airgap.embedded_cluster_artifacts.get("registry")?;
    let folder = folder.trim_start_matches("./").trim_end_matches('/');
    Some(format!("{folder}/"))
}

fn is_embedded(inventory: &Inventory, root: &str) -> bool {
    let folder = inventory.airgap.as_ref().and_then(embedded_folder);
    folder.is_some_and(|folder| root.starts_with(&folder))
}

/// The images that `airgap.yaml` names: the application's, and those of Embedded Cluster where its registry is there at
/// all, which is a claim of its own.
fn saved<'a>(inventory: &'a Inventory, airgap: &'a Airgap) -> Vec<Image<'a>> {
    let trees = |folder: &str| -> Vec<(&'a str, &'a Store)> {
        let stores = inventory.stores.iter();
        stores
            .filter(|(root, store)| root.starts_with(folder) && !store.repositories.is_empty())
            .map(|(root, store)| (root.as_str(), store))
            .collect()
    };
    let own = trees("images/");
    let own = airgap
        .saved_images
        .iter()
        .map(|name| saved_image(name, &own, false));
    let embedded = embedded_folder(airgap).map_or_else(Vec::new, |folder| trees(&folder));
    let names = airgap
        .embedded_cluster_images
        .iter()
        .filter(|_| !embedded.is_empty());
    own.chain(names.map(|name| saved_image(name, &embedded, true)))
        .collect()
}

/// An image that is said to be in one of these trees.
fn saved_image<'a>(name: &str, trees: &[(&'a str, &'a Store)], embedded: bool) -> Image<'a> {
    let reference = ImageReference::parse(name).ok();
    let mut place = Place {
        root: "",
        store: &EMPTY,
        repository: None,
    };
    let top = match &reference {
        None => Top::Absent(format!(
            "savedImages has {name:?}, which is no image reference"
        )),
        Some(reference) => {
            let found = trees.iter().find_map(|(root, store)| {
                let repository = store.repositories.get_key_value(reference.last())?;
                Some((*root, *store, repository))
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
    Image {
        name: name.to_owned(),
        references: reference.into_iter().collect(),
        path_only: false,
        embedded,
        place,
        top,
        beside: Vec::new(),
    }
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
                embedded: is_embedded(inventory, root),
                place,
                top: Top::Digest(Box::new(by_digest(digest))),
                beside: Vec::new(),
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
            embedded: false,
            place: Place {
                root,
                store,
                repository: None,
            },
            top: Top::Digest(Box::new(descriptor.clone())),
            beside: Vec::new(),
        });
    }
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

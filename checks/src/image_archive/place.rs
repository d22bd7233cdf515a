//! What a file of an archive is, by its name alone: the layouts have no names in common but `._name`.

use super::digest::Algorithm;

/// A file's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The folder where its store begins, empty for the root.
    pub(super) root: String,
    /// What it is there.
    pub(super) slot: Slot,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Slot {
    /// `blobs/<algorithm>/<hex>` of an OCI layout, `blobs/<algorithm>/<xx>/<hex>/data` of distribution.
    Blob(Algorithm, String),
    /// A link of distribution's storage.
    Link(Link),
    /// `oci-layout`
    OciLayout,
    /// `index.json`
    Index,
    /// `manifest.json` of `docker save`
    DockerManifest,
    /// `airgap.yaml` of KOTS
    Airgap,
    /// `app.tar.gz` of KOTS
    Release,
    /// An archive of `docker save` inside another
    Archive,
    /// A file of macOS that is no content
    AppleDouble,
    /// Part of a store, and of no use here: upload state, `repositories` of `docker save`, …
    Aside,
    /// A file of Embedded Cluster
    Artifact,
    /// Anything else: `docker save` names its files as it likes.
    Other,
}

/// A link of distribution's storage: its repository, and what the link says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) repository: String,
    pub(super) what: LinkKind,
}

/// What a link of distribution's storage says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LinkKind {
    /// The tag's current manifest.
    Tag(String),
    /// That this manifest is served.
    Revision(String),
    /// That this blob is served.
    Layer(String),
}

/// The segments of a name; nothing where it leads out of the archive.
pub(super) fn segments(name: &str) -> Option<Vec<&str>> {
    let segments: Vec<&str> = name
        .split('/')
        .filter(|segment| !matches!(*segment, "" | "."))
        .collect();
    let is_inside = !segments.is_empty() && !segments.contains(&"..");
    is_inside.then_some(segments)
}

/// The place of a file. `inner` is whether it lies in an archive that lies in another.
pub(super) fn place(segments: &[&str], inner: bool) -> Place {
    let at = |root: &[&str], slot| Place {
        root: root.join("/"),
        slot,
    };
    let Some((name, folders)) = segments.split_last() else {
        return at(&[], Slot::Aside);
    };
    if name.starts_with("._") || folders.contains(&"__MACOSX") {
        return at(&[], Slot::AppleDouble);
    }
    if !inner && matches!(segments, ["images", "docker-archive", _, ..]) {
        return at(segments, Slot::Archive);
    }
    for (index, segment) in segments.iter().enumerate() {
        let (root, rest) = segments.split_at(index);
        match *segment {
            "blobs" => {
                if let Some(slot) = blob(&rest[1..]) {
                    return at(root, slot);
                }
            }
            "repositories" => {
                if let Some(slot) = link(&rest[1..]) {
                    return at(root, slot);
                }
            }
            _ => {}
        }
    }
    let slot = match (*name, folders) {
        ("airgap.yaml", []) if !inner => Slot::Airgap,
        ("app.tar.gz", []) if !inner => Slot::Release,
        ("oci-layout", _) => Slot::OciLayout,
        ("index.json", _) => Slot::Index,
        ("manifest.json", _) => Slot::DockerManifest,
        ("repositories", _) => Slot::Aside,
        (_, ["embedded-cluster", ..]) if !inner => Slot::Artifact,
        _ => return at(folders, Slot::Other),
    };
    at(folders, slot)
}

fn digest(algorithm: &str, hex: &str) -> Option<(Algorithm, String)> {
    let digest = format!("{algorithm}:{hex}");
    let known = Algorithm::named(algorithm)?;
    syntax::image_reference::is_digest(&digest).then_some((known, digest))
}

/// What follows `blobs`.
fn blob(rest: &[&str]) -> Option<Slot> {
    let (algorithm, hex) = match rest {
        [algorithm, hex] => (algorithm, hex),
        [algorithm, folder, hex, name] => {
            digest(algorithm, hex).filter(|_| hex.starts_with(folder))?;
            if *name != "data" {
                return Some(Slot::Aside);
            }
            (algorithm, hex)
        }
        _ => return None,
    };
    let (algorithm, digest) = digest(algorithm, hex)?;
    Some(Slot::Blob(algorithm, digest))
}

/// What follows `repositories`.
fn link(rest: &[&str]) -> Option<Slot> {
    let kinds = ["_manifests", "_layers", "_uploads"];
    let at = rest.iter().position(|segment| kinds.contains(segment))?;
    let repository = rest[..at].join("/");
    if repository.is_empty() {
        return None;
    }
    let what = match rest[at..] {
        ["_manifests", "tags", tag, "current", "link"] => LinkKind::Tag(tag.to_owned()),
        ["_manifests", "revisions", algorithm, hex, "link"] => {
            LinkKind::Revision(digest(algorithm, hex)?.1)
        }
        ["_layers", algorithm, hex, "link"] => LinkKind::Layer(digest(algorithm, hex)?.1),
        _ => return Some(Slot::Aside),
    };
    Some(Slot::Link(Link { repository, what }))
}

/// Where a link of a tar leads; nothing where that is outside.
pub(super) fn target(name: &[&str], target: &str, is_symbolic: bool) -> Option<String> {
    let mut path: Vec<&str> = Vec::new();
    if is_symbolic {
        if target.starts_with('/') {
            return None;
        }
        path.extend(name.split_last()?.1);
    }
    for segment in target.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                path.pop()?;
            }
            segment => path.push(segment),
        }
    }
    Some(path.join("/"))
}

/// A path below the archive that it lies in.
pub(super) fn joined(prefix: &str, path: &str) -> String {
    match (prefix, path) {
        ("", path) => path.to_owned(),
        (prefix, "") => prefix.to_owned(),
        (prefix, path) => format!("{prefix}/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn of(name: &str) -> (String, Slot) {
        let segments = segments(name).expect("a name inside");
        let Place { root, slot } = place(&segments, false);
        (root, slot)
    }

    #[test]
    fn each_layout_is_known_by_its_names() {
        let digest = format!("sha256:{HEX}");
        let blob = Slot::Blob(Algorithm::Sha256, digest.clone());
        let tree = "images/docker/registry/v2".to_owned();
        let link = |what| {
            Slot::Link(Link {
                repository: "a/nginx".to_owned(),
                what,
            })
        };
        for (name, place) in [
            (
                format!("./blobs/sha256/{HEX}"),
                (String::new(), blob.clone()),
            ),
            (
                format!("x/blobs/sha256/{HEX}"),
                ("x".to_owned(), blob.clone()),
            ),
            (
                format!("{tree}/blobs/sha256/e3/{HEX}/data"),
                (tree.clone(), blob),
            ),
            (
                format!("{tree}/repositories/a/nginx/_manifests/tags/1.0/current/link"),
                (tree.clone(), link(LinkKind::Tag("1.0".to_owned()))),
            ),
            (
                format!("{tree}/repositories/a/nginx/_layers/sha256/{HEX}/link"),
                (tree.clone(), link(LinkKind::Layer(digest.clone()))),
            ),
            (
                format!("{tree}/repositories/a/nginx/_manifests/revisions/sha256/{HEX}/link"),
                (tree.clone(), link(LinkKind::Revision(digest))),
            ),
            (
                format!("{tree}/repositories/a/nginx/_manifests/tags/1.0/index/sha256/{HEX}/link"),
                (tree, Slot::Aside),
            ),
            ("./airgap.yaml".to_owned(), (String::new(), Slot::Airgap)),
            ("x/airgap.yaml".to_owned(), ("x".to_owned(), Slot::Other)),
            (
                "._airgap.yaml".to_owned(),
                (String::new(), Slot::AppleDouble),
            ),
            (format!("{HEX}.json"), (String::new(), Slot::Other)),
            (
                "embedded-cluster/charts.tar.gz".to_owned(),
                ("embedded-cluster".to_owned(), Slot::Artifact),
            ),
            (
                "images/docker-archive/quay.io/a/b/v1".to_owned(),
                (
                    "images/docker-archive/quay.io/a/b/v1".to_owned(),
                    Slot::Archive,
                ),
            ),
        ] {
            assert_eq!(of(&name), place, "{name}");
        }
    }

    #[test]
    fn nothing_leads_out() {
        for name in ["..", "a/../../b", "", "/", "./"] {
            assert_eq!(segments(name), None, "{name}");
        }
        assert_eq!(
            target(&["a", "layer.tar"], "../b.tar", true),
            Some("b.tar".to_owned())
        );
        assert_eq!(target(&["a", "layer.tar"], "../../b.tar", true), None);
        assert_eq!(target(&["a", "layer.tar"], "/etc/passwd", true), None);
        assert_eq!(target(&["a"], "b/c", false), Some("b/c".to_owned()));
    }
}

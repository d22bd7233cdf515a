//! Archives of `docker save` since Docker 25: `manifest.json` and an OCI layout over the same blobs. With Docker's own store
//! their layers are unpacked, with that of containerd they are as they were pulled.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::{Said, layout, packed, plain, prepared, skopeo, verify, write};

/// What Docker calls the layout's images, in full and in short, and their tags.
const IMAGES: [(&str, &str, &str); 2] = [
    ("docker.io/library/web", "web", "1.0"),
    (
        "registry.example.com/shop/api",
        "registry.example.com/shop/api",
        "2.0",
    ),
];

type Members = BTreeMap<String, Vec<u8>>;

/// Which image store Docker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    Docker,
    /// With the index of each image; of its platforms only the first where `part`.
    Containerd {
        part: bool,
    },
}

fn hex(descriptor: &Value) -> &str {
    let digest = descriptor["digest"].as_str().expect("a digest");
    digest.trim_start_matches("sha256:")
}

fn path(descriptor: &Value) -> String {
    format!("blobs/sha256/{}", hex(descriptor))
}

fn put(members: &mut Members, media_type: &str, bytes: Vec<u8>) -> Value {
    let descriptor =
        json!({"mediaType": media_type, "digest": layout::digest(&bytes), "size": bytes.len()});
    members.insert(path(&descriptor), bytes);
    descriptor
}

/// What Docker saves of the images of a layout. `named` is whether it is asked for them by name.
fn saved(folder: &Path, store: Store, named: bool) -> Members {
    let blob = |descriptor: &Value| {
        fs::read(folder.join("layout").join(path(descriptor))).expect("a blob")
    };
    let read =
        |descriptor: &Value| -> Value { serde_json::from_slice(&blob(descriptor)).expect("JSON") };
    let index: Value =
        serde_json::from_slice(&fs::read(folder.join("layout/index.json")).expect("an index"))
            .expect("JSON");
    let mut members = Members::new();
    let mut tops = Vec::new();
    let mut items = Vec::new();
    for (top, (full, short, tag)) in index["manifests"]
        .as_array()
        .expect("images")
        .iter()
        .zip(IMAGES)
    {
        let children = read(top)["manifests"]
            .as_array()
            .expect("platforms")
            .clone();
        let manifest = read(&children[0]);
        let layers = manifest["layers"].as_array().expect("layers");
        let (mut descriptor, layers): (Value, Vec<String>) = match store {
            Store::Docker => {
                let config = put(
                    &mut members,
                    "application/vnd.oci.image.config.v1+json",
                    blob(&manifest["config"]),
                );
                let unpacked: Vec<Value> = layers
                    .iter()
                    .map(|layer| {
                        let mut bytes = Vec::new();
                        GzDecoder::new(blob(layer).as_slice())
                            .read_to_end(&mut bytes)
                            .expect("a layer");
                        put(
                            &mut members,
                            "application/vnd.oci.image.layer.v1.tar",
                            bytes,
                        )
                    })
                    .collect();
                let media_type = "application/vnd.oci.image.manifest.v1+json";
                let paths = unpacked.iter().map(path).collect();
                let text = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": unpacked});
                (
                    put(&mut members, media_type, text.to_string().into_bytes()),
                    paths,
                )
            }
            Store::Containerd { part } => {
                members.insert(path(top), blob(top));
                for child in children.iter().take(if part { 1 } else { children.len() }) {
                    members.insert(path(child), blob(child));
                    let manifest = read(child);
                    members.insert(path(&manifest["config"]), blob(&manifest["config"]));
                    for layer in manifest["layers"].as_array().expect("layers") {
                        members.insert(path(layer), blob(layer));
                    }
                }
                let mut top = top.clone();
                top.as_object_mut()
                    .expect("a descriptor")
                    .remove("annotations");
                (top, layers.iter().map(path).collect())
            }
        };
        if named {
            descriptor["annotations"] = json!({
                "io.containerd.image.name": format!("{full}:{tag}"),
                "org.opencontainers.image.ref.name": tag,
            });
        }
        tops.push(descriptor);
        items.push(json!({
            "Config": path(&manifest["config"]),
            "RepoTags": if named { json!([format!("{short}:{tag}")]) } else { Value::Null },
            "Layers": layers,
        }));
    }
    let mut text = |name: &str, value: &Value| {
        members.insert(name.to_owned(), value.to_string().into_bytes());
    };
    text(
        "index.json",
        &json!({"schemaVersion": 2, "manifests": tops}),
    );
    text("manifest.json", &json!(items));
    text("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}));
    text("repositories", &json!({}));
    members
}

fn archive(folder: &Path, name: &str, members: &Members) {
    let members: Vec<(String, Vec<u8>)> = members.clone().into_iter().collect();
    write(folder, name, &plain(&members));
}

fn documents(members: &mut Members, name: &str, change: impl FnOnce(&mut Value)) {
    let text = members.get_mut(name).expect("a document");
    let mut value: Value = serde_json::from_slice(text).expect("JSON");
    change(&mut value);
    *text = value.to_string().into_bytes();
}

/// The first image's parts, as `manifest.json` names them: its configuration, its two layers.
fn parts(members: &Members) -> [String; 3] {
    let items: Value = serde_json::from_slice(&members["manifest.json"]).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a path").to_owned();
    [
        text(&items[0]["Config"]),
        text(&items[0]["Layers"][0]),
        text(&items[0]["Layers"][1]),
    ]
}

#[test]
fn each_image_is_judged_once_and_right() {
    let folder = prepared();
    let folder = folder.path();
    let need = "kind: Pod\nspec: {containers: [{name: a, image: 'web:1.0'}, {name: b, image: 'registry.example.com/shop/api:2.0'}]}\n";
    write(folder, "need.yaml", need.as_bytes());
    for (store, platform) in [
        (Store::Docker, "linux/amd64"),
        (Store::Containerd { part: false }, "linux/amd64,linux/arm64"),
    ] {
        archive(folder, "save.tar", &saved(folder, store, true));
        // That it is such an archive say two readers of skopeo's.
        for (from, to) in [
            ("docker-archive:save.tar:web:1.0", "docker"),
            ("oci-archive:save.tar:2.0", "oci"),
        ] {
            skopeo(
                folder,
                &[
                    "copy",
                    "--quiet",
                    "--override-arch",
                    "amd64",
                    from,
                    &format!("dir:{to}-{store:?}"),
                ],
            );
        }
        let said = verify(
            folder,
            &["save.tar", "--platform", platform, "--need", "need.yaml"],
            None,
        );
        said.is_pass();
        let message = said.message("pass", "contents");
        assert!(
            message.starts_with("All 2 images are complete"),
            "{store:?}: {message}"
        );
        assert!(
            message.contains("every layer unpacks to its diff_id"),
            "{store:?}: {message}"
        );
        assert!(
            said.message("pass", "platforms")
                .starts_with("All 2 images")
        );
        assert!(said.message("pass", "need").starts_with("All 2 images"));
        assert!(!said.ids("warn").contains("extra"), "{:#}", said.report);
        // Saved by their ids they have no names, and are two all the same.
        archive(folder, "ids.tar", &saved(folder, store, false));
        let said = verify(folder, &["ids.tar"], None);
        said.is_pass();
        assert!(
            said.message("pass", "contents").starts_with("All 2 images"),
            "{:#}",
            said.report
        );
    }
    archive(
        folder,
        "part.tar",
        &saved(folder, Store::Containerd { part: true }, true),
    );
    let said = verify(folder, &["part.tar"], None);
    assert_eq!(said.code, Some(4), "{:#}", said.report);
    assert!(
        said.message("warn", "otherPlatforms")
            .contains("linux/arm64 manifest")
    );
    assert!(said.message("pass", "contents").starts_with("All 2 images"));
    let said = verify(folder, &["part.tar", "--platform", "linux/arm64"], None);
    assert_eq!(said.code, Some(3), "{:#}", said.report);
    assert!(
        said.message("fail", "platforms").starts_with("2 of 2"),
        "{:#}",
        said.report
    );
}

/// The archive after `damage`, with the code that its judgement must end with.
fn judged(
    folder: &Path,
    whole: &Members,
    name: &str,
    code: i32,
    damage: &dyn Fn(&mut Members),
) -> Said {
    let mut members = whole.clone();
    damage(&mut members);
    archive(folder, "damaged.tar", &members);
    let said = verify(folder, &["damaged.tar", "--platform", "linux/amd64"], None);
    assert_eq!(said.code, Some(code), "{name}: {:#}", said.report);
    said
}

#[test]
fn each_damaged_content_is_told_once() {
    let folder = prepared();
    let folder = folder.path();
    for store in [Store::Docker, Store::Containerd { part: false }] {
        let whole = saved(folder, store, true);
        let [config, base, layer] = parts(&whole);
        let digest = format!("sha256:{}", layer.rsplit('/').next().unwrap_or_default());
        let damaged = |name: &str, damage: &dyn Fn(&mut Members)| -> Said {
            judged(folder, &whole, &format!("{store:?}, {name}"), 3, damage)
        };
        let once = |said: &Said, id: &str, digest: &str| {
            let message = said.message("fail", id);
            assert!(
                message.starts_with("1 found") && message.contains(digest),
                "{store:?}: {message}"
            );
        };
        let content = |members: &mut Members, change: &dyn Fn(&mut Vec<u8>)| {
            change(members.get_mut(&layer).expect("a layer"));
        };
        let said = damaged("cut", &|members| {
            content(members, &|bytes| bytes.truncate(1000));
        });
        once(&said, "digests", &digest);
        let said = damaged("flipped", &|members| {
            content(members, &|bytes| bytes[5000] ^= 1);
        });
        once(&said, "digests", &digest);
        let said = damaged("missing", &|members| drop(members.remove(&layer)));
        once(&said, "blobs", &digest);
        let said = damaged("swapped", &|members| {
            let content = members[&layer].clone();
            members.insert(layer.clone(), members[&base].clone());
            members.insert(base.clone(), content);
        });
        let message = said.message("fail", "digests");
        assert!(message.starts_with("2 found"), "{store:?}: {message}");
        let said = damaged("no configuration", &|members| {
            drop(members.remove(&config));
        });
        once(&said, "blobs", "configuration");
    }
}

#[test]
fn each_damaged_document_is_told() {
    let folder = prepared();
    let folder = folder.path();
    for store in [Store::Docker, Store::Containerd { part: false }] {
        let whole = saved(folder, store, true);
        let damaged = |name: &str, damage: &dyn Fn(&mut Members)| -> Said {
            judged(folder, &whole, &format!("{store:?}, {name}"), 3, damage)
        };
        let said = damaged("layers in another order", &|members| {
            documents(members, "manifest.json", |items| {
                items[0]["Layers"].as_array_mut().expect("layers").reverse();
            });
        });
        assert!(
            said.message("fail", "diffIds").starts_with("2 found"),
            "{:#}",
            said.report
        );
        let said = damaged("another configuration", &|members| {
            documents(members, "manifest.json", |items| {
                let other = items[1].clone();
                items[0]["Config"] = other["Config"].clone();
                items[0]["Layers"] = other["Layers"].clone();
            });
        });
        assert!(
            said.message("fail", "manifestJson").contains("web"),
            "{:#}",
            said.report
        );
        let said = judged(folder, &whole, "no manifest.json", 0, &|members| {
            drop(members.remove("manifest.json"));
        });
        assert!(said.message("pass", "contents").starts_with("All 2 images"));
        let said = damaged("manifest.json cut", &|members| {
            members
                .get_mut("manifest.json")
                .expect("a file")
                .truncate(20);
        });
        assert!(
            said.message("fail", "file").contains("manifest.json"),
            "{:#}",
            said.report
        );
        let said = damaged("no index.json", &|members| {
            drop(members.remove("index.json"));
        });
        assert!(
            said.message("fail", "file").contains("no index.json"),
            "{:#}",
            said.report
        );
        let said = damaged("index.json cut", &|members| {
            members.get_mut("index.json").expect("a file").truncate(20);
        });
        assert!(
            said.message("fail", "file").contains("index.json"),
            "{:#}",
            said.report
        );
    }
}

/// Docker 25.0 wrote manifests without layers: what `docker load` needs is there, what others need is not.
#[test]
fn manifests_without_their_layers() {
    let folder = prepared();
    let folder = folder.path();
    let mut members = saved(folder, Store::Docker, true);
    let mut index: Value = serde_json::from_slice(&members["index.json"]).expect("JSON");
    let tops = index["manifests"].as_array_mut().expect("images");
    for top in tops {
        let old = members.remove(&path(top)).expect("a manifest");
        let mut manifest: Value = serde_json::from_slice(&old).expect("JSON");
        manifest["layers"] = json!([]);
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let new = put(&mut members, media_type, manifest.to_string().into_bytes());
        top["digest"] = new["digest"].clone();
        top["size"] = new["size"].clone();
    }
    members.insert("index.json".to_owned(), index.to_string().into_bytes());
    archive(folder, "save.tar", &members);
    let said = verify(folder, &["save.tar"], None);
    assert_eq!(said.code, Some(4), "{:#}", said.report);
    assert!(
        said.message("warn", "fewerLayers").starts_with("2 found"),
        "{:#}",
        said.report
    );
    assert!(
        said.message("pass", "contents").starts_with("All 2 images"),
        "{:#}",
        said.report
    );
    // With a layer missing it is no more complete for `docker load` either.
    let [_, _, layer] = parts(&members);
    members.remove(&layer);
    archive(folder, "save.tar", &members);
    let said = verify(folder, &["save.tar"], None);
    assert_eq!(said.code, Some(3), "{:#}", said.report);
    assert!(
        said.message("fail", "blobs").starts_with("1 found"),
        "{:#}",
        said.report
    );
}

/// KOTS' format docker-archive with an archive of a new Docker in it; KOTS takes one with one image only.
#[test]
fn in_a_bundle_of_kots() {
    let folder = prepared();
    let folder = folder.path();
    let mut members = saved(folder, Store::Docker, true);
    let yaml = "apiVersion: kots.io/v1beta1\nkind: Airgap\nspec: {appSlug: shop, versionLabel: 1.0.0, signature: c2ln, format: docker-archive, savedImages: ['docker.io/library/web:1.0']}\n";
    let bundle = |members: &Members| {
        archive(folder, "inner.tar", members);
        let inner = fs::read(folder.join("inner.tar")).expect("an archive");
        let outer = [
            ("airgap.yaml", yaml.as_bytes().to_vec()),
            ("app.tar.gz", packed(&[])),
            ("images/docker-archive/docker.io/library/web/1.0", inner),
        ];
        write(
            folder,
            "shop.airgap",
            &packed(&outer.map(|(name, bytes)| (name.to_owned(), bytes))),
        );
        verify(folder, &["shop.airgap"], None)
    };
    let said = bundle(&members);
    assert_eq!(said.code, Some(3), "{:#}", said.report);
    assert!(
        said.message("fail", "file")
            .contains("2 images, KOTS takes one"),
        "{:#}",
        said.report
    );
    for name in ["manifest.json", "index.json"] {
        documents(&mut members, name, |value| {
            let list = if name == "index.json" {
                &mut value["manifests"]
            } else {
                value
            };
            list.as_array_mut().expect("images").truncate(1);
        });
    }
    let said = bundle(&members);
    said.is_pass();
    assert!(
        said.message("pass", "contents").starts_with("All 1 images"),
        "{:#}",
        said.report
    );
}

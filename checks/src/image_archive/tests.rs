//! Archives made here, in every container, and damaged in every place.

#![expect(clippy::unwrap_used, reason = "a test's failure is a panic")]

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use bundle::archive::Limits;
use bundle::collected::image_bundle::{Blob, Document, Inventory};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::digest::Algorithm;
use super::{Caps, Found, ReadError, Request, read};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar_of(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, name, content.as_slice())
            .unwrap();
    }
    builder.into_inner().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    Algorithm::Sha256
        .of(bytes)
        .trim_start_matches("sha256:")
        .to_owned()
}

fn given(folder: &TempDir, bytes: &[u8]) -> Request {
    let path = folder.path().join("archive");
    std::fs::write(&path, bytes).unwrap();
    request(&path)
}

fn request(path: &Path) -> Request {
    Request {
        path: path.to_owned(),
        unpack: true,
        limits: Caps::default(),
    }
}

fn inventory(bytes: &[u8]) -> Inventory {
    let folder = tempfile::tempdir().unwrap();
    let found = read(&given(&folder, bytes), &AtomicBool::new(false)).unwrap();
    found.inventory
}

/// Layers in every form that is read, each of the same bytes.
fn layers() -> Vec<(&'static str, Vec<u8>)> {
    let tar = tar_of(&[("etc/motd", b"hello ".repeat(100_000))]);
    let (first, second) = tar.split_at(tar.len() / 2);
    let zstd = zstd::encode_all(tar.as_slice(), 1).unwrap();
    let mut skippable = b"\x50\x2a\x4d\x18\x04\0\0\0abcd".to_vec();
    skippable.extend_from_slice(&zstd);
    vec![
        ("", tar.clone()),
        ("gzip", gzip(&tar)),
        ("gzip", [gzip(first), gzip(second)].concat()),
        ("zstd", zstd),
        ("zstd", skippable),
    ]
}

fn only_store(inventory: &Inventory) -> &bundle::collected::image_bundle::Store {
    assert_eq!(inventory.stores.len(), 1, "{:?}", inventory.stores.keys());
    inventory.stores.values().next().unwrap()
}

#[test]
fn a_layer_unpacks_to_the_same_from_every_form_and_container() {
    let raw = layers()[0].1.clone();
    let blobs: Vec<(String, Vec<u8>)> = layers()
        .into_iter()
        .map(|(_, bytes)| (format!("./blobs/sha256/{}", hex(&bytes)), bytes))
        .collect();
    let members: Vec<(&str, Vec<u8>)> = blobs
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.clone()))
        .chain([("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())])
        .collect();
    let tar = tar_of(&members);
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in &members {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let of_folder = read(&request(folder.path()), &AtomicBool::new(false))
        .unwrap()
        .inventory;
    let packed = zstd::encode_all(tar.as_slice(), 1).unwrap();
    for (container, found) in [
        ("tar", inventory(&tar)),
        ("tar, gzip", inventory(&gzip(&tar))),
        ("tar, zstd", inventory(&packed)),
        ("folder", of_folder),
    ] {
        assert_eq!(found.container, container);
        assert_eq!(found.damage, None);
        assert_eq!(found.notes, [""; 0]);
        let store = only_store(&found);
        assert_eq!(store.oci_layout.as_deref(), Some("1.0.0"));
        assert_eq!(store.blobs.len(), 5);
        for ((form, bytes), (name, _)) in layers().iter().zip(&blobs) {
            let digest = format!("sha256:{}", name.rsplit('/').next().unwrap());
            let blob: &Blob = &store.blobs[&digest];
            assert_eq!(
                (blob.compression.as_str(), blob.size),
                (*form, bytes.len() as u64)
            );
            assert_eq!(blob.digest, digest);
            let unpacked = blob.unpacked.clone().unwrap();
            assert_eq!(unpacked.error, "");
            assert_eq!(unpacked.size, raw.len() as u64);
            assert_eq!(unpacked.digest, Algorithm::Sha256.of(&raw));
        }
    }
}

#[test]
fn sha512_is_computed_where_the_name_says_so() {
    let layer = gzip(b"layer");
    let digest = Algorithm::Sha512.of(&layer);
    let name = format!("blobs/sha512/{}", digest.trim_start_matches("sha512:"));
    let found = inventory(&gzip(&tar_of(&[(&name, layer)])));
    let blob = &only_store(&found).blobs[&digest];
    assert_eq!(blob.digest, digest);
    let unpacked = blob.unpacked.clone().unwrap();
    assert_eq!(unpacked.digest, Algorithm::Sha256.of(b"layer"));
}

#[test]
fn the_last_of_a_name_counts_and_that_is_told() {
    let layer = b"right".to_vec();
    let name = format!("blobs/sha256/{}", hex(&layer));
    let tar = tar_of(&[(&name, b"wrong".to_vec()), (&name, layer.clone())]);
    for bytes in [tar.clone(), gzip(&tar)] {
        let found = inventory(&bytes);
        let blob = only_store(&found).blobs.values().next().unwrap();
        assert_eq!(blob.digest, Algorithm::Sha256.of(&layer));
        assert!(
            found.notes[0].contains("more than once"),
            "{:?}",
            found.notes
        );
    }
}

#[test]
fn names_that_lead_out_and_apple_double_are_no_content() {
    let layer = b"layer".to_vec();
    let name = format!("blobs/sha256/{}", hex(&layer));
    let apple = format!("blobs/sha256/._{}", hex(&layer));
    let mut tar = tar_of(&[(&name, layer), (&apple, b"x".to_vec())]);
    // The builder refuses such a name; its header is written by hand.
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..4].copy_from_slice(b"../b");
    header.set_size(0);
    header.set_cksum();
    tar.splice(0..0, header.as_bytes().iter().copied());
    let found = inventory(&tar);
    assert_eq!(found.apple_double, 1);
    assert_eq!(only_store(&found).blobs.len(), 1);
    assert!(
        found.notes.iter().any(|note| note.contains("leads out")),
        "{:?}",
        found.notes
    );
}

/// A `.airgap` of the format docker-archive, with one image.
fn airgap() -> Vec<u8> {
    let layer = tar_of(&[("etc/motd", b"hello".repeat(5000))]);
    let config = serde_json::to_vec(&json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [Algorithm::Sha256.of(&layer)]},
    }))
    .unwrap();
    let config_name = format!("{}.json", hex(&config));
    let manifest = serde_json::to_vec(&json!([
        {"Config": config_name, "RepoTags": ["quay.io/shop/web:1"], "Layers": ["a/layer.tar"]}
    ]))
    .unwrap();
    let inner = tar_of(&[
        (&config_name, config),
        ("a/layer.tar", layer),
        ("manifest.json", manifest),
    ]);
    let yaml = "apiVersion: kots.io/v1beta1\nkind: Airgap\nspec:\n  appSlug: shop\n  versionLabel: 1.0.0\n  savedImages: [quay.io/shop/web:1]\n";
    let release = gzip(&tar_of(&[
        (
            "app.yaml",
            b"kind: Pod\nspec: {containers: [{image: a}]}".to_vec(),
        ),
        ("chart.tgz", b"x".to_vec()),
    ]));
    gzip(&tar_of(&[
        ("./airgap.yaml", yaml.as_bytes().to_vec()),
        ("./app.tar.gz", release),
        ("./images/docker-archive/quay.io/shop/web/1", inner),
    ]))
}

#[test]
fn an_archive_in_an_archive_is_read_on_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let Found {
        inventory,
        release_files,
    } = read(&given(&folder, &airgap()), &AtomicBool::new(false)).unwrap();
    let airgap = inventory.airgap.clone().unwrap();
    assert_eq!((airgap.app_slug.as_str(), airgap.signed), ("shop", false));
    assert_eq!(airgap.saved_images, ["quay.io/shop/web:1"]);
    assert_eq!(inventory.release.clone().unwrap().charts, ["chart.tgz"]);
    assert_eq!(release_files.len(), 1);
    let (root, store) = inventory.stores.iter().next().unwrap();
    assert_eq!(root, "images/docker-archive/quay.io/shop/web/1");
    let image = &store.docker.as_ref().unwrap().images[0];
    let Some(Document::Config { diff_ids, .. }) = &store.blobs[&image.config].document else {
        panic!("{:?}", store.blobs);
    };
    assert_eq!(store.blobs[&image.layers[0]].digest, diff_ids[0]);
}

#[test]
fn each_cap_and_each_other_thing_has_its_error() {
    let folder = tempfile::tempdir().unwrap();
    let whole = airgap();
    let mut request = given(&folder, &whole);
    request.limits.archive = Limits {
        entries: 0,
        ..Limits::default()
    };
    let refused = read(&request, &AtomicBool::new(false));
    assert!(matches!(refused, Err(ReadError::Cap { .. })), "{refused:?}");
    request.limits.archive = Limits {
        total_bytes: 1024,
        ..Limits::default()
    };
    let refused = read(&request, &AtomicBool::new(false));
    assert!(matches!(refused, Err(ReadError::Cap { .. })), "{refused:?}");
    let refused = read(&given(&folder, b"hello"), &AtomicBool::new(false));
    assert!(
        matches!(refused, Err(ReadError::NotAnArchive { .. })),
        "{refused:?}"
    );
    let refused = read(&given(&folder, b""), &AtomicBool::new(false));
    assert!(
        matches!(refused, Err(ReadError::NotAnArchive { .. })),
        "{refused:?}"
    );
    let refused = read(&given(&folder, &whole), &AtomicBool::new(true));
    assert!(refused.is_err());
    // A layer that unpacks to more than it may is told, and reading goes on.
    let layer = gzip(&vec![0; 1 << 20]);
    let name = format!("blobs/sha256/{}", hex(&layer));
    let mut request = given(&folder, &tar_of(&[(&name, layer)]));
    request.limits.layer = 1000;
    let found = read(&request, &AtomicBool::new(false)).unwrap().inventory;
    let blob = only_store(&found).blobs.values().next().unwrap();
    assert!(
        blob.unpacked
            .clone()
            .unwrap()
            .error
            .contains("more than 1000 bytes")
    );
    assert_eq!(
        blob.digest,
        format!("sha256:{}", name.rsplit('/').next().unwrap())
    );
}

/// What a gzip stream holds, if its checksum is right and nothing follows it.
fn inflated(gzip: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = flate2::bufread::GzDecoder::new(gzip);
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut decoder, &mut bytes).ok()?;
    decoder.into_inner().is_empty().then_some(bytes)
}

/// Whether nothing was said to be wrong, and everything is there.
fn is_whole(bytes: &[u8], expected: &Inventory) -> bool {
    let folder = tempfile::tempdir().unwrap();
    match read(&given(&folder, bytes), &AtomicBool::new(false)) {
        Ok(found) => {
            let Inventory {
                stores,
                airgap,
                release,
                damage,
                ..
            } = found.inventory;
            damage.is_none()
                && stores == expected.stores
                && airgap == expected.airgap
                && release == expected.release
        }
        Err(_) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The checksum of the outer stream, or a header, or a digest tells: nothing that is cut or changed looks whole. The
    /// first ten bytes are gzip's own, with a time in them that means nothing; so are the bits between the end of what is
    /// deflated and the checksum, which is why what inflates to the same bytes is no damage.
    #[test]
    fn nothing_damaged_looks_whole(at: prop::sample::Index, flip in 1_u8.., cut: bool) {
        let whole = airgap();
        let expected = inventory(&whole);
        let mut damaged = whole.clone();
        let index = 10 + at.index(whole.len() - 10);
        if cut {
            damaged.truncate(index);
        } else {
            damaged[index] ^= flip;
        }
        prop_assume!(inflated(&damaged) != inflated(&whole));
        prop_assert!(!is_whole(&damaged, &expected), "{index} of {}", whole.len());
    }

    #[test]
    fn no_bytes_break_it(bytes: Vec<u8>, at: prop::sample::Index) {
        let mut mixed = airgap();
        let index = at.index(mixed.len());
        mixed.splice(index..index, bytes.iter().copied());
        for bytes in [&bytes, &mixed] {
            let folder = tempfile::tempdir().unwrap();
            let _ = read(&given(&folder, bytes), &AtomicBool::new(false));
        }
    }
}

//! What is wanted of an archive, from every source that there is, and how much room it takes.

use std::fs;
use std::path::Path;

use super::layout::Layout;
use super::{API, Damage, WEB, packed, plain, prepared, skopeo, verify, write};

/// Rendered manifests: a pod spec in a kind that nobody knows, init and ephemeral containers, fields of custom resources, a
/// list, an Application with images more and less.
const RENDERED: &str = "
apiVersion: example.org/v1
kind: Anything
metadata: {name: deep}
spec: {layers: [{podTemplate: {spec: {initContainers: [{name: init, image: 'example.org/init:1'}], containers: [{name: web, image: 'registry.example.com/shop/web:1.0'}]}}}]}
---
apiVersion: v1
kind: PodList
items:
- {apiVersion: v1, kind: Pod, metadata: {name: debugged}, spec: {containers: [{name: a, image: 'registry.example.com/shop/api:2.0'}], ephemeralContainers: [{name: shell, image: 'example.org/debug:1'}]}}
---
apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {name: db}
spec: {imageName: 'ghcr.io/cloudnative-pg/postgresql:16'}
---
apiVersion: kots.io/v1beta1
kind: Application
metadata: {name: shop}
spec: {additionalImages: ['example.org/more:1'], excludedImages: ['example.org/debug:1']}
";

#[test]
fn every_source_of_images_and_each_that_is_missing() {
    let folder = prepared();
    let folder = folder.path();
    let rendered = write(folder, "rendered.yaml", RENDERED.as_bytes());
    // By standard input, as a chart's templates come, and from a folder.
    fs::create_dir(folder.join("rendered")).expect("a folder");
    fs::copy(&rendered, folder.join("rendered/all.yaml")).expect("a file");
    for (need, input) in [("-", Some(rendered.as_path())), ("rendered", None)] {
        let arguments = [
            "layout",
            "--need",
            need,
            "--agent-image",
            "example.org/assay:0.1",
        ];
        let said = verify(folder, &arguments, input);
        assert_eq!(said.code, Some(3), "{:#}", said.report);
        let message = said.message("fail", "need");
        assert!(message.starts_with("4 of 6 images"), "{message}");
        for (image, place) in [
            ("example.org/init:1", "Anything deep, initContainers init"),
            (
                "ghcr.io/cloudnative-pg/postgresql:16",
                "Cluster db, spec.imageName",
            ),
            (
                "example.org/more:1",
                "Application shop, spec.additionalImages",
            ),
            (
                "example.org/assay:0.1",
                "the image of this program, --agent-image",
            ),
        ] {
            assert!(
                message.contains(image) && message.contains(place),
                "{image}: {message}"
            );
        }
        assert!(!message.contains("example.org/debug:1"), "{message}");
    }
}

#[test]
fn images_that_nobody_wants_and_room_that_does_not_suffice() {
    let folder = prepared();
    let folder = folder.path();
    let pod = format!("kind: Pod\nspec: {{containers: [{{name: a, image: '{WEB}'}}]}}\n");
    write(folder, "web.yaml", pod.as_bytes());
    let room = [
        "--registry-free",
        "1Gi",
        "--node-free",
        "1Gi",
        "--load-free",
        "1Gi",
    ];
    let arguments = [&["layout", "--need", "web.yaml"], room.as_slice()].concat();
    let said = verify(folder, &arguments, None);
    assert_eq!(said.code, Some(4), "{:#}", said.report);
    let message = said.message("warn", "extra");
    assert!(
        message.starts_with("1 of 2") && message.contains(API),
        "{message}"
    );
    assert!(
        said.message("pass", "space")
            .contains("on a node that has all of them")
    );
    for (flag, who) in [
        ("--registry-free", "the registry has 1.0 kB"),
        ("--node-free", "a node with all of them has 1.0 kB"),
        (
            "--load-free",
            "the volume that it is loaded from has 1.0 kB",
        ),
    ] {
        let said = verify(folder, &["layout", flag, "1k"], None);
        assert_eq!(said.code, Some(3), "{:#}", said.report);
        assert!(
            said.message("fail", "space").contains(who),
            "{:#}",
            said.report
        );
    }
}

/// What skopeo writes, damaged, in every container that is read.
#[test]
fn damaged_copies_of_a_layout_in_every_container() {
    let folder = prepared();
    let folder = folder.path();
    Layout::new(&folder.join("nested")).nested(WEB, &["amd64", "arm64"]);
    for (image, layout) in [(WEB, "layout"), (WEB, "nested")] {
        let whole: Vec<(String, Vec<u8>)> = if layout == "layout" {
            let from = format!("oci:layout:{image}");
            skopeo(
                folder,
                &[
                    "copy",
                    "--quiet",
                    "--all",
                    &from,
                    &format!("oci:copied:{image}"),
                ],
            );
            files(folder, "copied")
        } else {
            // skopeo 1.9 copies no index in an index.
            files(folder, layout)
        };
        let mut sizes: Vec<(usize, usize)> = whole
            .iter()
            .enumerate()
            .map(|(index, (_, content))| (content.len(), index))
            .collect();
        sizes.sort_unstable();
        let large = sizes[sizes.len() - 1].1;
        // A layer of the same image, and of one platform only.
        let other = sizes[sizes.len() - 2].1;
        let digest = format!(
            "sha256:{}",
            whole[large].0.rsplit('/').next().unwrap_or_default()
        );
        let damages: [(&str, &str, &str, Damage<'_>); 4] = [
            ("cut", "digests", &digest, &|members| {
                members[large].1.truncate(1000);
            }),
            ("flipped", "digests", &digest, &|members| {
                members[large].1[5000] ^= 1;
            }),
            ("missing", "blobs", &digest, &|members| {
                drop(members.remove(large));
            }),
            ("swapped", "digests", "2 found", &|members| {
                let content = std::mem::take(&mut members[large].1);
                members[large].1 = std::mem::replace(&mut members[other].1, content);
            }),
        ];
        for (name, id, expected, damage) in damages {
            let mut members = whole.clone();
            damage(&mut members);
            let unpacked = folder.join("damaged");
            let _ = fs::remove_dir_all(&unpacked);
            for (name, content) in &members {
                let path = unpacked.join(name);
                fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                fs::write(path, content).expect("a file");
            }
            write(folder, "damaged.tar", &plain(&members));
            let stream = write(folder, "damaged.tar.gz", &packed(&members));
            for (archive, input) in [
                ("damaged", None),
                ("damaged.tar", None),
                ("damaged.tar.gz", None),
                ("-", Some(stream.as_path())),
            ] {
                let said = verify(folder, &[archive], input);
                assert_eq!(
                    said.code,
                    Some(3),
                    "{layout}, {name}, {archive}: {:#}",
                    said.report
                );
                let message = said.message("fail", id);
                assert!(
                    message.contains(expected) && message.contains(WEB),
                    "{layout}, {name}, {archive}: {message}"
                );
            }
        }
    }
}

/// Every file of a layout by its path.
fn files(folder: &Path, layout: &str) -> Vec<(String, Vec<u8>)> {
    let root = folder.join(layout);
    let mut names = vec!["oci-layout".to_owned(), "index.json".to_owned()];
    let blobs = fs::read_dir(root.join("blobs/sha256")).expect("a folder");
    names.extend(blobs.map(|entry| {
        let name = entry.expect("an entry").file_name();
        format!("blobs/sha256/{}", name.to_string_lossy())
    }));
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let content = fs::read(root.join(&name)).expect("a file");
            (name, content)
        })
        .collect()
}

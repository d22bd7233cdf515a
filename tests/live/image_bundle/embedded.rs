//! The artifacts of Embedded Cluster in a `.airgap`: files, and a registry's storage of its own.

use std::fs;
use std::path::Path;

use super::{API, Damage, Said, WEB, bundle, members, packed, prepared, verify, write};

/// Every artifact that `airgap.yaml` may name.
const ARTIFACTS: &str = "  embeddedClusterArtifacts:
    charts: embedded-cluster/charts.tar.gz
    imagesAmd64: embedded-cluster/images-amd64.tar
    binaryAmd64: embedded-cluster/embedded-cluster-amd64
    metadata: embedded-cluster/version-metadata.json
    registry:
      dir: embedded-cluster/registry
      savedImages: [registry.example.com/shop/api:2.0]
    additionalArtifacts:
      kots: embedded-cluster/artifacts/kots.tar.gz
";
const FILES: [&str; 5] = [
    "embedded-cluster/charts.tar.gz",
    "embedded-cluster/images-amd64.tar",
    "embedded-cluster/embedded-cluster-amd64",
    "embedded-cluster/version-metadata.json",
    "embedded-cluster/artifacts/kots.tar.gz",
];

/// A bundle with the application's image and Embedded Cluster's, each in a registry's storage of its own.
fn with_embedded_cluster(folder: &Path) -> Vec<(String, Vec<u8>)> {
    // Embedded Cluster's images first, to be moved to its own folder; then the application's.
    bundle(folder, &[API]);
    let mut whole: Vec<(String, Vec<u8>)> = members(folder)
        .into_iter()
        .filter_map(|(name, content)| {
            let rest = name.strip_prefix("images/")?;
            Some((format!("embedded-cluster/registry/{rest}"), content))
        })
        .collect();
    fs::remove_dir_all(folder.join("images")).expect("a folder");
    bundle(folder, &[WEB]);
    let application = "apiVersion: kots.io/v1beta1\nkind: Application\nmetadata: {name: shop}\nspec: {additionalImages: [registry.example.com/shop/web:1.0]}\n";
    for (name, content) in members(folder) {
        let content = match name.as_str() {
            "airgap.yaml" => [content, ARTIFACTS.as_bytes().to_vec()].concat(),
            "app.tar.gz" => packed(&[("app.yaml".to_owned(), application.as_bytes().to_vec())]),
            _ => content,
        };
        whole.push((name, content));
    }
    whole.extend(FILES.map(|name| (name.to_owned(), name.as_bytes().to_vec())));
    whole
}

#[test]
fn every_artifact_and_every_image_of_its_registry() {
    let folder = prepared();
    let folder = folder.path();
    let whole = with_embedded_cluster(folder);
    let said = |damage: Damage<'_>, arguments: &[&str]| -> Said {
        let mut members = whole.clone();
        damage(&mut members);
        write(folder, "shop.airgap", &packed(&members));
        let all: Vec<&str> = ["shop.airgap"]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        verify(folder, &all, None)
    };
    let pod =
        |image: &str| format!("kind: Pod\nspec: {{containers: [{{name: a, image: '{image}'}}]}}\n");
    fs::write(folder.join("web.yaml"), pod(WEB)).expect("a file");
    let all = said(&|_| {}, &["--need", "web.yaml"]);
    all.is_pass();
    assert!(
        all.message("pass", "contents").starts_with("All 2 images"),
        "{:#}",
        all.report
    );
    assert!(!all.ids("warn").contains("extra"), "{:#}", all.report);

    for path in FILES {
        let said = said(&|members| members.retain(|(name, _)| name != path), &[]);
        assert_eq!(said.code, Some(3), "{path}: {:#}", said.report);
        let message = said.message("fail", "release");
        assert!(
            message.contains(path) && message.contains("is missing"),
            "{message}"
        );
    }
    let no_registry = said(
        &|members| members.retain(|(name, _)| !name.starts_with("embedded-cluster/registry/")),
        &[],
    );
    assert_eq!(no_registry.code, Some(3));
    assert!(
        no_registry
            .message("fail", "release")
            .contains("embedded-cluster/registry with its 1 images is missing"),
        "{:#}",
        no_registry.report
    );
    let no_tag = said(
        &|members| members.retain(|(name, _)| !name.contains("/api/_manifests/tags/")),
        &[],
    );
    assert_eq!(no_tag.code, Some(3));
    assert!(
        no_tag.message("fail", "images").contains(API),
        "{:#}",
        no_tag.report
    );
    let no_layers = said(
        &|members| members.retain(|(name, _)| !name.contains("/api/_layers/")),
        &[],
    );
    assert!(
        no_layers.message("fail", "links").contains(API),
        "{:#}",
        no_layers.report
    );

    // KOTS pushes them below embedded-cluster/: under another name they are not to be had.
    fs::write(folder.join("api.yaml"), pod(API)).expect("a file");
    let wanted = said(&|_| {}, &["--need", "web.yaml", "--need", "api.yaml"]);
    assert_eq!(wanted.code, Some(3), "{:#}", wanted.report);
    assert!(wanted.message("fail", "need").contains(API));
    let local = "registry.local/shop";
    let rendered = [
        pod(&format!("{local}/web:1.0")),
        pod(&format!("{local}/embedded-cluster/api:2.0")),
    ];
    fs::write(folder.join("local.yaml"), rendered.join("---\n")).expect("a file");
    let local = said(
        &|members| members.retain(|(name, _)| name != "app.tar.gz"),
        &["--need", "local.yaml", "--registry", local],
    );
    assert!(
        local.message("pass", "need").starts_with("All 2 images"),
        "{:#}",
        local.report
    );
}

//! `airgap.yaml` of KOTS.

use std::collections::BTreeMap;

use bundle::collected::image_bundle::Airgap;
use serde::Deserialize;
use syntax::yaml;

/// Reads `airgap.yaml`.
pub(super) fn read(text: &[u8]) -> Airgap {
    parse(text).unwrap_or_else(|unread| Airgap {
        unread,
        ..Airgap::default()
    })
}

fn parse(text: &[u8]) -> Result<Airgap, String> {
    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    struct Raw {
        api_version: String,
        kind: String,
        spec: Option<Spec>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    struct Spec {
        version_label: String,
        update_cursor: String,
        #[serde(rename = "channelID")]
        channel_id: String,
        channel_name: String,
        app_slug: String,
        signature: String,
        saved_images: Option<Vec<String>>,
        embedded_cluster_artifacts: Option<Artifacts>,
        uncompressed_size: u64,
        format: String,
        required_releases: Option<Vec<Required>>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    #[expect(clippy::struct_field_names, reason = "the names are the file's")]
    struct Artifacts {
        charts: String,
        images_amd64: String,
        binary_amd64: String,
        metadata: String,
        registry: Option<RegistryFolder>,
        additional_artifacts: Option<BTreeMap<String, String>>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    struct RegistryFolder {
        dir: String,
        saved_images: Option<Vec<String>>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    struct Required {
        version_label: String,
    }
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let document =
        yaml::document(text, &yaml::Limits::default()).map_err(|error| error.to_string())?;
    let value = document.root.to_json().map_err(|error| error.to_string())?;
    let raw: Raw = serde_json::from_value(value).map_err(|error| error.to_string())?;
    if raw.kind != "Airgap" || !raw.api_version.starts_with("kots.io/") {
        return Err(format!(
            "it is a {:?} of {:?}, not an Airgap of kots.io",
            raw.kind, raw.api_version
        ));
    }
    let spec = raw.spec.ok_or("it has no spec")?;
    let artifacts = spec.embedded_cluster_artifacts.unwrap_or_default();
    let registry = artifacts.registry.unwrap_or_default();
    let named = [
        ("charts", artifacts.charts),
        ("imagesAmd64", artifacts.images_amd64),
        ("binaryAmd64", artifacts.binary_amd64),
        ("metadata", artifacts.metadata),
        ("registry", registry.dir),
    ];
    let named = named
        .into_iter()
        .map(|(name, path)| (name.to_owned(), path))
        .chain(artifacts.additional_artifacts.unwrap_or_default())
        .filter(|(_, path)| !path.is_empty());
    Ok(Airgap {
        unread: String::new(),
        version_label: spec.version_label,
        update_cursor: spec.update_cursor,
        channel_id: spec.channel_id,
        channel_name: spec.channel_name,
        app_slug: spec.app_slug,
        signed: !spec.signature.is_empty(),
        saved_images: spec.saved_images.unwrap_or_default(),
        embedded_cluster_artifacts: named.collect(),
        embedded_cluster_images: registry.saved_images.unwrap_or_default(),
        uncompressed_size: spec.uncompressed_size,
        format: spec.format,
        required_releases: spec
            .required_releases
            .unwrap_or_default()
            .into_iter()
            .map(|release| release.version_label)
            .collect(),
    })
}

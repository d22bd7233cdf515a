//! Manifests and indexes, as far as a pull needs them.
//!
//! Facts: OCI image specification 1.1, `manifest.md` and `image-index.md`; Docker's image manifest version 2, schema 2.

use std::collections::BTreeMap;

use bundle::collected::registry::Reason;
use serde::Deserialize;
use sha2::{Digest, Sha256, Sha512};
use syntax::image_reference::is_digest;

/// The longest manifest that is read, which is the least that a registry must take.
pub(super) const LONGEST: usize = 4 << 20;

/// Children of an index that are looked at, and layers of an image.
const MOST: usize = 512;

/// What a reference leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) digest: String,
    pub(super) media_type: String,
    pub(super) content: Content,
    /// What is odd.
    pub(super) notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Index(Vec<Child>),
    /// Configuration and layers.
    Image(Vec<Blob>),
}

/// A manifest of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) digest: String,
    /// `linux/arm64/v8`; empty where it is not told, as for a nested index.
    pub(super) platform: String,
}

/// A layer or a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) digest: String,
    pub(super) size: u64,
    /// Whether it is a configuration that tells a platform.
    pub(super) is_config: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    schema_version: u64,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    urls: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

impl Platform {
    fn shown(&self) -> String {
        match self.variant.as_deref() {
            _ if self.os.is_empty() || self.architecture.is_empty() => String::new(),
            None | Some("") => format!("{}/{}", self.os, self.architecture),
            Some(variant) => format!("{}/{}/{variant}", self.os, self.architecture),
        }
    }
}

/// The digest of bytes by the algorithm of `like`, SHA-256 where it names none.
pub(super) fn digest(bytes: &[u8], like: &str) -> String {
    let (algorithm, hash) = if like.starts_with("sha512:") {
        ("sha512", Sha512::digest(bytes).to_vec())
    } else {
        ("sha256", Sha256::digest(bytes).to_vec())
    };
    let digits = hash.iter().flat_map(|byte| {
        let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
        [digit(byte >> 4), digit(byte & 15)]
    });
    std::iter::once(algorithm)
        .chain([":"])
        .flat_map(str::chars)
        .chain(digits)
        .collect()
}

/// Reads a manifest's body. `wanted` is the digest that was asked for, if it was one, `told` what the registry says that it
/// sends, `content_type` the type.
pub(super) fn read(
    body: &[u8],
    wanted: Option<&str>,
    told: Option<&str>,
    content_type: &str,
) -> Result<Manifest, (Reason, String)> {
    if body.len() > LONGEST {
        let text = format!("its manifest is longer than {} MiB", LONGEST >> 20);
        return Err((Reason::ManifestMalformed, text));
    }
    let own = digest(body, wanted.unwrap_or_default());
    if let Some(wanted) = wanted
        && wanted != own
    {
        let text = format!("its manifest has the digest {own}, and {wanted} was asked for");
        return Err((Reason::DigestMismatch, text));
    }
    let mut notes = Vec::new();
    if let Some(told) = told
        && is_digest(told)
        && told != digest(body, told)
    {
        notes.push(format!(
            "the registry says that it sends {told}, and sends {own}: somebody on the way changes manifests, or an old form is converted"
        ));
    }
    let document: Document = serde_json::from_slice(body).map_err(|error| {
        let text = format!(
            "its manifest cannot be read: line {}, column {}",
            error.line(),
            error.column()
        );
        (Reason::ManifestMalformed, text)
    })?;
    if document.schema_version == 1 {
        let text = "its manifest is of schema 1, which containerd 2 and Docker no longer pull";
        return Err((Reason::ManifestUnsupported, text.to_owned()));
    }
    let content_type = content_type.split(';').next().unwrap_or_default().trim();
    let media_type = if document.media_type.is_empty() {
        content_type.to_owned()
    } else {
        if !content_type.is_empty() && content_type != document.media_type {
            notes.push(format!(
                "its Content-Type is {content_type}, and the manifest calls itself {}",
                crate::web_proxy::printable(&document.media_type)
            ));
        }
        crate::web_proxy::printable(&document.media_type)
    };
    let content = content(document)?;
    Ok(Manifest {
        digest: own,
        media_type,
        content,
        notes,
    })
}

fn content(document: Document) -> Result<Content, (Reason, String)> {
    let malformed = |text: &str| (Reason::ManifestMalformed, text.to_owned());
    if let Some(manifests) = document.manifests {
        if manifests.len() > MOST {
            return Err(malformed("its index names more than 512 manifests"));
        }
        if manifests.iter().any(|child| !is_digest(&child.digest)) {
            return Err(malformed(
                "its index names a manifest by something that is no digest",
            ));
        }
        let children = manifests.into_iter().filter(|child| !is_attestation(child));
        return Ok(Content::Index(
            children
                .map(|child| Child {
                    platform: child.platform.map(|it| it.shown()).unwrap_or_default(),
                    digest: child.digest,
                })
                .collect(),
        ));
    }
    let layers = document.layers.unwrap_or_default();
    let config = document
        .config
        .ok_or_else(|| malformed("its manifest is neither an index nor has it a configuration"))?;
    if layers.len() > MOST {
        return Err(malformed("its manifest names more than 512 layers"));
    }
    let is_config = matches!(
        config.media_type.as_str(),
        "application/vnd.oci.image.config.v1+json"
            | "application/vnd.docker.container.image.v1+json"
    );
    let mut blobs = vec![Blob {
        digest: config.digest,
        size: config.size,
        is_config,
    }];
    // What has addresses of its own need not be in the registry.
    let own = layers
        .into_iter()
        .filter(|it| it.urls.as_ref().is_none_or(Vec::is_empty));
    blobs.extend(own.map(|layer| Blob {
        digest: layer.digest,
        size: layer.size,
        is_config: false,
    }));
    if blobs.iter().any(|blob| !is_digest(&blob.digest)) {
        return Err(malformed(
            "its manifest names a layer by something that is no digest",
        ));
    }
    Ok(Content::Image(blobs))
}

/// What a builder says of an image beside it. No node pulls it.
fn is_attestation(child: &Descriptor) -> bool {
    let is_unknown = child
        .platform
        .as_ref()
        .is_some_and(|it| it.os == "unknown" && it.architecture == "unknown");
    let annotation = child
        .annotations
        .as_ref()
        .and_then(|it| it.get("vnd.docker.reference.type"));
    is_unknown || annotation.is_some_and(|kind| kind == "attestation-manifest")
}

/// The platform that a configuration tells.
pub(super) fn platform(config: &[u8]) -> String {
    serde_json::from_slice(config).map_or_else(|_| String::new(), |it: Platform| it.shown())
}

/// Whether a platform of an image is one of those wanted: `linux/arm64` takes each variant, `linux/arm/v7` that alone. All
/// are wanted where none is named.
pub(super) fn is_wanted(platform: &str, wanted: &[String]) -> bool {
    wanted.is_empty()
        || platform.is_empty()
        || wanted.iter().any(|wanted| {
            platform
                .strip_prefix(wanted.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                || wanted.strip_suffix("/v8").is_some_and(|it| it == platform)
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Result<Manifest, (Reason, String)> {
        read(text.as_bytes(), None, None, "")
    }

    fn sha(byte: &str) -> String {
        format!("sha256:{}", byte.repeat(32))
    }

    #[test]
    fn an_index_has_its_platforms_without_attestations() {
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[
                {{"digest":"{0}","platform":{{"os":"linux","architecture":"amd64"}}}},
                {{"digest":"{1}","platform":{{"os":"linux","architecture":"arm64","variant":"v8"}}}},
                {{"digest":"{0}","platform":{{"os":"unknown","architecture":"unknown"}}}},
                {{"digest":"{0}","annotations":{{"vnd.docker.reference.type":"attestation-manifest"}}}},
                {{"digest":"{1}"}}]}}"#,
            sha("aa"),
            sha("bb")
        );
        let Ok(Manifest {
            content: Content::Index(children),
            digest: own,
            ..
        }) = of(&text)
        else {
            panic!("no index");
        };
        let platforms: Vec<&str> = children.iter().map(|it| it.platform.as_str()).collect();
        assert_eq!(platforms, ["linux/amd64", "linux/arm64/v8", ""]);
        assert_eq!(own, digest(text.as_bytes(), ""));
    }

    #[test]
    fn what_is_wrong_has_its_reason() {
        let layer = format!(
            r#"{{"schemaVersion":2,"config":{{"digest":"{}"}},"layers":[{{"digest":"../x"}}]}}"#,
            sha("aa")
        );
        for (text, reason) in [
            ("", Reason::ManifestMalformed),
            ("[]", Reason::ManifestMalformed),
            (
                r#"{"schemaVersion":1,"fsLayers":[]}"#,
                Reason::ManifestUnsupported,
            ),
            (r#"{"schemaVersion":2}"#, Reason::ManifestMalformed),
            (
                r#"{"schemaVersion":2,"manifests":[{"digest":"x"}]}"#,
                Reason::ManifestMalformed,
            ),
            (layer.as_str(), Reason::ManifestMalformed),
        ] {
            assert_eq!(
                of(text).map_err(|(reason, _)| reason).err(),
                Some(reason),
                "{text}"
            );
        }
        let wanted = sha("cc");
        let read = read(b"{}", Some(&wanted), None, "");
        assert_eq!(
            read.map_err(|(reason, _)| reason).err(),
            Some(Reason::DigestMismatch)
        );
    }

    #[test]
    fn platforms_are_matched_as_nodes_match_them() {
        let wanted = [
            "linux/arm64".to_owned(),
            "linux/arm/v7".to_owned(),
            "linux/arm64/v8".to_owned(),
        ];
        for (platform, expected) in [
            ("linux/arm64", true),
            ("linux/arm64/v8", true),
            ("linux/arm/v7", true),
            ("linux/arm/v6", false),
            ("linux/arm", false),
            ("linux/amd64", false),
            ("", true),
        ] {
            assert_eq!(is_wanted(platform, &wanted), expected, "{platform}");
        }
        assert!(is_wanted("linux/s390x", &[]));
    }

    #[test]
    fn digests_of_known_bytes() {
        assert_eq!(
            digest(b"", ""),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(digest(b"", "sha512:").len(), 7 + 128);
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes, None, Some("sha256:00"), "x");
            let _ = platform(&bytes);
        }
    }
}

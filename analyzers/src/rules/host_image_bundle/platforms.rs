//! Platforms: which are asked for, and whether each image has them.

use std::collections::{BTreeMap, BTreeSet};

use bundle::Files;
use bundle::collected::List;
use bundle::collected::image_bundle::Platform;
use bundle::collected::node::{self, Node};

use super::contents::{Contents, Leaf};
use super::model::Image;
use super::words::{claim, listed};
use crate::document::{document, is_masked};
use crate::finding::{Finding, NotEvaluated, Verdict};

/// The platforms that are asked for, and by whom.
#[derive(Debug, Default)]
pub(super) struct Required {
    pub(super) platforms: BTreeSet<Platform>,
    /// `the spec` or `the nodes (cluster-resources/nodes.json)`; empty where nobody asks.
    pub(super) by: &'static str,
    /// Whether every one of them is needed by every image: the spec says so; a node may be kept free of an image.
    every: bool,
}

impl Required {
    /// What the spec asks for, else the nodes that it names, else those of the bundle, else nothing.
    pub(super) fn find(
        files: &Files,
        asked: &[String],
        nodes: &[String],
    ) -> Result<Self, NotEvaluated> {
        if !asked.is_empty() {
            return Ok(Self {
                platforms: asked
                    .iter()
                    .map(|text| parse("platforms", text))
                    .collect::<Result<_, _>>()?,
                by: "the spec",
                every: true,
            });
        }
        if !nodes.is_empty() {
            return Self::of_nodes(nodes.iter().cloned(), "the nodes (nodePlatforms)");
        }
        if !files.contains(node::PATH) && files.gaps(node::PATH).next().is_none() {
            return Ok(Self::default());
        }
        let nodes = document::<List<Node>>(files, node::PATH)?;
        let platforms = nodes.items.iter().filter_map(Node::platform);
        Self::of_nodes(platforms, "the nodes (cluster-resources/nodes.json)")
    }

    fn of_nodes(
        platforms: impl Iterator<Item = String>,
        by: &'static str,
    ) -> Result<Self, NotEvaluated> {
        let platforms: BTreeSet<String> = platforms.collect();
        if let Some(masked) = platforms.iter().find(|it| is_masked(it)) {
            return Err(NotEvaluated::Unknown(format!(
                "a node's architecture is redacted: {masked}"
            )));
        }
        Ok(Self {
            platforms: platforms
                .iter()
                .map(|text| parse("nodePlatforms", text))
                .collect::<Result<_, _>>()?,
            by,
            every: false,
        })
    }

    /// Whether a manifest for `platform` is asked for. Where nobody asks for any, all are.
    pub(super) fn wants(&self, platform: &Platform) -> bool {
        self.platforms.is_empty() || self.platforms.iter().any(|wanted| runs(platform, wanted))
    }
}

/// Reads `linux/arm64` or `linux/arm/v7`.
fn parse(field: &str, text: &str) -> Result<Platform, NotEvaluated> {
    let parts: Vec<&str> = text.split('/').collect();
    let (os, architecture, variant) = match parts[..] {
        [os, architecture] => (os, architecture, ""),
        [os, architecture, variant] => (os, architecture, variant),
        _ => ("", "", ""),
    };
    if os.is_empty() || architecture.is_empty() {
        return Err(NotEvaluated::Spec(format!(
            "{field}: {text:?} is not <os>/<architecture>, as linux/arm64"
        )));
    }
    Ok(Platform {
        os: os.to_owned(),
        architecture: architecture.to_owned(),
        variant: variant.to_owned(),
    })
}

/// Whether what is built for `built` runs on `on`. A variant counts where both have one: an older one runs on a newer.
fn runs(built: &Platform, on: &Platform) -> bool {
    let os = |platform: &Platform| match platform.os.as_str() {
        "" => "linux".to_owned(),
        os => os.to_owned(),
    };
    os(built) == os(on)
        && built.architecture == on.architecture
        && (built.variant.is_empty() || on.variant.is_empty() || built.variant <= on.variant)
}

/// Whether a leaf is an image of this platform.
pub(super) fn is_of(leaf: &Leaf, wanted: &Platform) -> bool {
    leaf.platform
        .as_ref()
        .is_some_and(|built| runs(built, wanted))
}

/// Which platforms there are, with how many images each.
pub(super) fn present(contents: &Contents) -> BTreeMap<Platform, usize> {
    let mut all = BTreeMap::new();
    for leaves in &contents.leaves {
        let platforms: BTreeSet<&Platform> = leaves
            .iter()
            .filter_map(|leaf| leaf.platform.as_ref())
            .filter(|platform| !platform.is_unknown())
            .collect();
        for platform in platforms {
            *all.entry(platform.clone()).or_default() += 1;
        }
    }
    all
}

/// Says whether every image runs where it must.
pub(super) fn judge(
    images: &[Image<'_>],
    contents: &Contents,
    required: &Required,
    path: &str,
) -> Option<Finding> {
    if required.platforms.is_empty() {
        return None;
    }
    let mut nowhere = Vec::new();
    let mut partly = Vec::new();
    let mut judged = 0;
    for (image, leaves) in images.iter().zip(&contents.leaves) {
        let built: BTreeSet<String> = leaves
            .iter()
            .filter_map(|leaf| leaf.platform.as_ref())
            .map(ToString::to_string)
            .collect();
        if built.is_empty() {
            continue;
        }
        judged += 1;
        let missing: Vec<String> = required
            .platforms
            .iter()
            .filter(|wanted| !leaves.iter().any(|leaf| is_of(leaf, wanted)))
            .map(ToString::to_string)
            .collect();
        if missing.is_empty() {
            continue;
        }
        let built: Vec<String> = built.into_iter().collect();
        let text = format!(
            "{} lacks {} (has {})",
            image.name,
            missing.join(", "),
            built.join(", ")
        );
        if required.every || missing.len() == required.platforms.len() {
            nowhere.push(text);
        } else {
            partly.push(text);
        }
    }
    if judged == 0 {
        return None;
    }
    let wanted: Vec<String> = required.platforms.iter().map(ToString::to_string).collect();
    let (verdict, message) = if !nowhere.is_empty() {
        nowhere.extend(partly);
        (
            Verdict::Fail,
            format!(
                "{} of {judged} images do not run where they must: {}.",
                nowhere.len(),
                listed(&nowhere)
            ),
        )
    } else if partly.is_empty() {
        (
            Verdict::Pass,
            format!("All {judged} images are there for {}.", wanted.join(", ")),
        )
    } else {
        (
            Verdict::Warn,
            format!(
                "{} of {judged} images run on some nodes only: {}.",
                partly.len(),
                listed(&partly)
            ),
        )
    };
    let finding = claim("platforms", "Images run on every node", verdict, message);
    Some(
        Finding {
            observed: format!("{} asked for by {} ({path})", wanted.join(", "), required.by),
            ..finding
        }
        .with_remedy(
            "Build the archive again from images with these platforms; until then keep their pods on nodes of another \
             architecture by a nodeSelector on kubernetes.io/arch.",
        ),
    )
}

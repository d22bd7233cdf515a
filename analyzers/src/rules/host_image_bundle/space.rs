//! How much room the images take in the registry, on nodes, and where they are loaded from.

use std::collections::BTreeMap;

use bundle::collected::image_bundle::{Inventory, Platform};
use syntax::quantity::Quantity;

use super::contents::Contents;
use super::platforms::{Required, is_of, present};
use super::words::{bytes, claim};
use super::{Answers, Config};
use crate::finding::{Finding, NotEvaluated, Verdict};

/// What a load takes beside the file, as a multiple of it: it is unpacked, and pushed from there.
const LOAD: u64 = 3;

/// Says how much is needed, and compares it with what the spec says is free.
pub(super) fn judge(
    config: &Config,
    inventory: &Inventory,
    contents: &Contents,
    required: &Required,
    answers: &mut Answers,
) -> Result<(), NotEvaluated> {
    let registry: u64 = contents.blobs.values().sum();
    let nodes = nodes(inventory, contents, required);
    let load = inventory.bytes.saturating_mul(LOAD);
    let largest = nodes.iter().max_by_key(|(_, need)| **need);
    let mut short = Vec::new();
    for (field, free, need, what) in [
        (
            "registryFree",
            &config.registry_free,
            Some(registry),
            "the registry",
        ),
        (
            "nodeFree",
            &config.node_free,
            largest.map(|(_, need)| *need),
            "a node with all of them",
        ),
        (
            "loadFree",
            &config.load_free,
            Some(load),
            "the volume that it is loaded from",
        ),
    ] {
        if free.is_empty() {
            continue;
        }
        let quantity = free
            .parse::<Quantity>()
            .map_err(|error| NotEvaluated::Spec(format!("{field}: {error}")))?;
        let free = quantity.rounded_up(0).unwrap_or(i128::MAX);
        match need {
            None => answers.unknown(format!(
                "{field}: layers were not unpacked, so their size is not known"
            )),
            Some(need) if i128::from(need) > free => {
                short.push(format!(
                    "{what} has {}, {} is needed",
                    bytes(u64::try_from(free).unwrap_or(0)),
                    bytes(need)
                ));
            }
            Some(_) => {}
        }
    }
    let on_nodes: Vec<String> = nodes
        .iter()
        .map(|(platform, need)| format!("{} ({platform})", bytes(*need)))
        .collect();
    let on_nodes = if on_nodes.is_empty() {
        "; what on nodes is not known, for layers were not unpacked".to_owned()
    } else {
        format!(
            ", and on a node that has all of them {}",
            on_nodes.join(", ")
        )
    };
    let (verdict, message) = if short.is_empty() {
        (
            Verdict::Pass,
            format!(
                "The images take {} in a registry{on_nodes}.",
                bytes(registry)
            ),
        )
    } else {
        (
            Verdict::Fail,
            format!("There is not enough room: {}.", short.join("; ")),
        )
    };
    answers.say(
        Finding {
            observed: format!(
                "{} blobs, each counted once; nodes keep layers packed and unpacked; a load takes about {} beside the file",
                contents.blobs.len(),
                bytes(load)
            ),
            ..claim("space", "There is room for the images", verdict, message)
        }
        .with_remedy("Extend the volume, or clean up what is no longer used there."),
    );
    Ok(())
}

/// What a node of each platform keeps: blobs as they came, and layers unpacked, each once. Nothing where layers were not
/// unpacked.
fn nodes(
    inventory: &Inventory,
    contents: &Contents,
    required: &Required,
) -> BTreeMap<Platform, u64> {
    if !inventory.layers_unpacked {
        return BTreeMap::new();
    }
    let platforms: Vec<Platform> = if required.platforms.is_empty() {
        present(contents).into_keys().collect()
    } else {
        required.platforms.iter().cloned().collect()
    };
    let mut needs = BTreeMap::new();
    for platform in platforms {
        let mut parts: BTreeMap<(bool, &str), u64> = BTreeMap::new();
        for leaf in contents
            .leaves
            .iter()
            .flatten()
            .filter(|leaf| is_of(leaf, &platform))
        {
            parts.extend(
                leaf.blobs
                    .iter()
                    .map(|(digest, size)| ((false, digest.as_str()), *size)),
            );
            parts.extend(
                leaf.unpacked
                    .iter()
                    .map(|(digest, size)| ((true, digest.as_str()), *size)),
            );
        }
        needs.insert(platform, parts.values().sum());
    }
    needs
}

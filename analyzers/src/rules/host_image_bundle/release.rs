//! The archive itself, and what `airgap.yaml` says of it.

use bundle::collected::image_bundle::{Airgap, Document, Inventory};

use super::model::Layout;
use super::words::{bytes, claim, listed};
use super::{Answers, Config};
use crate::finding::{Finding, Verdict};

/// How far the unpacked size may be from what `airgap.yaml` says, in parts of a hundred: tools count headers or not.
const SIZE_TOLERANCE: u64 = 5;

/// Whether the archive could be read to its end, and is of a layout that is known.
pub(super) fn file(inventory: &Inventory, layout: Layout, answers: &mut Answers) {
    let mut wrong = Vec::new();
    if let Some(damage) = &inventory.damage {
        wrong.push(damage.clone());
    }
    for (root, store) in &inventory.stores {
        if !store.damage.is_empty() {
            wrong.push(format!("{root}: {}", store.damage));
        }
        if let Some(manifest) = &store.docker
            && !manifest.unread.is_empty()
        {
            wrong.push(format!("{root}/manifest.json: {}", manifest.unread));
        }
        if let Some(manifest) = &store.docker
            && layout == Layout::KotsDockerArchive
            && root.starts_with("images/docker-archive/")
            && manifest.unread.is_empty()
            && manifest.images.len() != 1
        {
            wrong.push(format!(
                "{root}/manifest.json has {} images, KOTS takes one",
                manifest.images.len()
            ));
        }
        match store.oci_layout.as_deref() {
            Some("1.0.0") | None => {}
            Some(version) => wrong.push(format!(
                "oci-layout has version {version:?}, 1.0.0 is known"
            )),
        }
        if store.oci_layout.is_some() && store.index.is_none() {
            wrong.push("the OCI layout has no index.json".to_owned());
        }
        match &store.index {
            Some(Document::Index { .. }) | None => {}
            Some(Document::Unreadable { reason }) => {
                wrong.push(format!("index.json cannot be read: {reason}"));
            }
            Some(_) => wrong.push("index.json is no index".to_owned()),
        }
        for (name, repository) in &store.repositories {
            if !repository.bad_links.is_empty() {
                wrong.push(format!(
                    "repository {name}: links that hold no digest, or another: {}",
                    listed(&repository.bad_links)
                ));
            }
        }
    }
    let observed = format!(
        "{}, {} ({}, {} unpacked, {} members)",
        layout.name(),
        inventory.path,
        inventory.container,
        bytes(inventory.unpacked_bytes),
        inventory.members
    );
    let (verdict, message) = if !wrong.is_empty() {
        (
            Verdict::Fail,
            format!("{} is damaged: {}.", inventory.path, listed(&wrong)),
        )
    } else if inventory.notes.is_empty() {
        (
            Verdict::Pass,
            format!("{} was read to its end.", inventory.path),
        )
    } else {
        (
            Verdict::Warn,
            format!(
                "{} was read to its end; not all of it counts: {}.",
                inventory.path,
                listed(&inventory.notes)
            ),
        )
    };
    answers.say(
        Finding {
            observed,
            ..claim("file", "The archive is whole", verdict, message)
        }
        .with_remedy(if wrong.is_empty() {
            "Build the archive with a tool that writes plain files; what is passed over here may be read otherwise elsewhere."
        } else {
            "Transfer it again and compare its checksum with the publisher's; what is named is where reading stopped."
        }),
    );
}

/// `airgap.yaml`, and the members that it promises.
pub(super) fn airgap(inventory: &Inventory, config: &Config, answers: &mut Answers) {
    let Some(airgap) = &inventory.airgap else {
        if let Some(expected) = config.expected().next() {
            answers.unknown(format!(
                "there is no airgap.yaml in it that could say {}",
                expected.0
            ));
        }
        return;
    };
    let mut wrong = Vec::new();
    let mut doubtful = Vec::new();
    if !airgap.unread.is_empty() {
        wrong.push(format!("airgap.yaml cannot be read: {}", airgap.unread));
    }
    match &inventory.release {
        None => wrong.push("app.tar.gz, the release, is missing".to_owned()),
        Some(release) if !release.unread.is_empty() => wrong.push(release.unread.clone()),
        Some(_) => {}
    }
    if !matches!(airgap.format.as_str(), "docker" | "docker-archive" | "") {
        wrong.push(format!(
            "its format {:?} is none that KOTS reads",
            airgap.format
        ));
    }
    for (what, expected) in config.expected() {
        let said = match what {
            "appSlug" => &airgap.app_slug,
            "channelID" => &airgap.channel_id,
            "versionLabel" => &airgap.version_label,
            _ => &airgap.update_cursor,
        };
        if said != expected {
            wrong.push(format!("its {what} is {said:?}, {expected:?} is expected"));
        }
    }
    if !airgap.signed && airgap.unread.is_empty() {
        doubtful.push("it is not signed".to_owned());
    }
    artifacts(inventory, airgap, &mut wrong);
    let (said, is) = (airgap.uncompressed_size, inventory.unpacked_bytes);
    if said > 0 && inventory.damage.is_none() && said.abs_diff(is) > said / 100 * SIZE_TOLERANCE {
        doubtful.push(format!(
            "it unpacks to {}, uncompressedSize says {}",
            bytes(is),
            bytes(said)
        ));
    }
    let (verdict, message) = if !wrong.is_empty() {
        wrong.extend(doubtful);
        (
            Verdict::Fail,
            format!("The release is not what it should be: {}.", listed(&wrong)),
        )
    } else if doubtful.is_empty() {
        (
            Verdict::Pass,
            format!(
                "It is release {} of {}.",
                airgap.version_label, airgap.app_slug
            ),
        )
    } else {
        (
            Verdict::Warn,
            format!(
                "Release {} of {}: {}.",
                airgap.version_label,
                airgap.app_slug,
                listed(&doubtful)
            ),
        )
    };
    let mut observed = format!(
        "{} {}, channel {} ({}), cursor {} (airgap.yaml)",
        airgap.app_slug,
        airgap.version_label,
        airgap.channel_name,
        airgap.channel_id,
        airgap.update_cursor
    );
    if !airgap.required_releases.is_empty() {
        observed = format!(
            "{observed}; to be installed before: {}",
            airgap.required_releases.join(", ")
        );
    }
    answers.say(
        Finding {
            observed,
            ..claim("release", "The archive is the release that is meant", verdict, message)
        }
        .with_remedy(
            "Download the bundle of the right application, channel and version again from the vendor's portal, and compare \
             its checksum.",
        ),
    );
}

/// The files of Embedded Cluster that are promised.
fn artifacts(inventory: &Inventory, airgap: &Airgap, wrong: &mut Vec<String>) {
    for (what, path) in &airgap.embedded_cluster_artifacts {
        let path = path.trim_start_matches("./").trim_end_matches('/');
        let below = format!("{path}/");
        let is_there = inventory.files.contains_key(path)
            || inventory.files.keys().any(|file| file.starts_with(&below))
            || inventory
                .stores
                .keys()
                .any(|root| root == path || root.starts_with(&below));
        if !is_there {
            let images = airgap.embedded_cluster_images.len();
            let said = if what == "registry" && images > 0 {
                format!(
                    " with its {images} images is missing, and KOTS takes them for pushed already"
                )
            } else {
                ", is missing".to_owned()
            };
            wrong.push(format!("Embedded Cluster's {what}, {path}{said}"));
        }
    }
}

/// A bundle without `images/`: KOTS takes its images for pushed already.
pub(super) fn differential(
    inventory: &Inventory,
    base: Option<&Inventory>,
    answers: &mut Answers,
) -> bool {
    let Some(airgap) = &inventory.airgap else {
        return false;
    };
    if inventory.has_images || airgap.saved_images.is_empty() || inventory.damage.is_some() {
        return false;
    }
    let count = airgap.saved_images.len();
    let said = |verdict, message| Finding {
        observed: format!(
            "{count} savedImages (airgap.yaml), no images/ ({})",
            inventory.path
        ),
        ..claim(
            "differential",
            "The archive holds its images",
            verdict,
            message,
        )
    };
    if let Some(base) = base {
        answers.say(said(
            Verdict::Pass,
            format!(
                "It holds no images; they are looked for in its base, {}.",
                base.path
            ),
        ));
    } else {
        answers.say(
            said(
                Verdict::Warn,
                format!(
                    "It holds none of its {count} images: KOTS takes them for pushed already and does not look."
                ),
            )
            .with_remedy(
                "Check the registry for them (the probe `registry`), or give the bundle that it is based on as `base`.",
            ),
        );
        answers.unknown(format!(
            "{count} images are not in the archive, and no base is given"
        ));
    }
    true
}

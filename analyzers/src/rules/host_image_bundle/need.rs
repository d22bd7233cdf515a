//! The images that are wanted against those that are there.

use std::collections::{BTreeMap, BTreeSet};

use bundle::collected::image_bundle::Need;
use syntax::image_reference::ImageReference;

use super::model::{Image, Top};
use super::words::{claim, listed};
use super::{Answers, Config};
use crate::finding::{Finding, Verdict};

/// What is known of the archive's images.
pub(super) struct State<'a> {
    /// The names of those with holes.
    pub(super) broken: &'a BTreeSet<String>,
    /// Whether none of them is here, and nobody can look.
    pub(super) only_named: bool,
}

/// Judges every image that is wanted. `elsewhere` are the images of the archive that this one is based on.
pub(super) fn judge(
    config: &Config,
    need: &Need,
    images: &[Image<'_>],
    state: &State<'_>,
    elsewhere: &[Image<'_>],
    path: &str,
    answers: &mut Answers,
) {
    if !need.unresolved.is_empty() {
        let names: Vec<String> = need
            .unresolved
            .iter()
            .map(|(image, places)| format!("{image} ({})", places.join(", ")))
            .collect();
        answers.unknown(format!(
            "templates that were not rendered name images: {}",
            listed(&names)
        ));
    }
    if !need.unread.is_empty() {
        answers.unknown(format!(
            "manifests cannot be read: {}",
            listed(&need.unread)
        ));
    }
    if need.given && need.documents == 0 && need.unread.is_empty() {
        answers.unknown(format!(
            "there is no manifest in {}",
            need.sources.join(", ")
        ));
    }
    if need.images.is_empty() {
        return;
    }
    let excluded: BTreeSet<String> = need.excluded.iter().map(|image| canonical(image)).collect();
    let mut missing = Vec::new();
    let mut leaks = Vec::new();
    let mut malformed = Vec::new();
    let mut used = BTreeSet::new();
    let mut wanted = 0;
    for (text, places) in &need.images {
        let place = places.first().map_or("", String::as_str);
        let Ok(reference) = ImageReference::parse(text) else {
            malformed.push(format!("{text:?} ({place})"));
            continue;
        };
        if excluded.contains(&reference.to_string()) {
            continue;
        }
        wanted += 1;
        let local = config.registry.trim_end_matches('/');
        let is_local = !local.is_empty() && text.starts_with(&format!("{local}/"));
        if !local.is_empty() && !is_local {
            leaks.push(format!("{text} ({place})"));
        }
        let found = |all: &[Image<'_>]| -> BTreeSet<usize> {
            let matching = all.iter().enumerate().filter(|(_, image)| {
                (state.only_named || !matches!(image.top, Top::Absent(_)))
                    && ((!image.embedded && is(image, &reference))
                        || (is_local && is_rewritten(image, local, &reference)))
            });
            matching.map(|(index, _)| index).collect()
        };
        let here = found(images);
        if here.is_empty() && found(elsewhere).is_empty() {
            missing.push(format!("{text} ({place})"));
        } else if !here.is_empty()
            && here
                .iter()
                .all(|index| state.broken.contains(&images[*index].name))
        {
            missing.push(format!("{text} ({place}), which is there and not complete"));
        }
        used.extend(here);
    }
    missing_images(&missing, wanted, need, state, path, answers);
    if need.given {
        let extra: Vec<&str> = images
            .iter()
            .enumerate()
            .filter(|(index, image)| {
                !used.contains(index) && !image.embedded && !matches!(image.top, Top::Absent(_))
            })
            .map(|(_, image)| image.name.as_str())
            .collect();
        extra_images(&extra, images.len(), path, answers);
    }
    if !malformed.is_empty() {
        answers.say(
            claim(
                "references",
                "Image names can be read",
                Verdict::Fail,
                format!(
                    "{} are no image references: {}.",
                    malformed.len(),
                    listed(&malformed)
                ),
            )
            .with_remedy("Correct the names where they are written."),
        );
    }
    if !config.registry.is_empty() {
        leaking(config, &leaks, wanted, answers);
    }
}

fn missing_images(
    missing: &[String],
    wanted: usize,
    need: &Need,
    state: &State<'_>,
    path: &str,
    answers: &mut Answers,
) {
    let verdict = if missing.is_empty() {
        Verdict::Pass
    } else {
        Verdict::Fail
    };
    let message = if missing.is_empty() && state.only_named {
        format!(
            "All {wanted} images that are wanted are among its savedImages; none of them is in it."
        )
    } else if missing.is_empty() {
        format!("All {wanted} images that are wanted are in it.")
    } else {
        format!(
            "{} of {wanted} images that are wanted cannot be had from it: {}.",
            missing.len(),
            listed(missing)
        )
    };
    let from = if need.given {
        format!(
            "{} documents of {}",
            need.documents,
            need.sources.join(", ")
        )
    } else {
        "the release's own manifests, without its charts".to_owned()
    };
    answers.say(
        Finding {
            observed: format!("{wanted} images named by {from} ({path})"),
            ..claim("need", "Every image that is wanted is in the archive", verdict, message)
        }
        .with_remedy(
            "Add them to `builder` of the HelmChart or to `additionalImages` of the Application and build the release \
             again; with another tool, add them to its list of images.",
        ),
    );
}

fn extra_images(extra: &[&str], all: usize, path: &str, answers: &mut Answers) {
    if extra.is_empty() {
        return;
    }
    answers.say(
        Finding {
            observed: format!("{all} images in the archive ({path})"),
            ..claim(
                "extra",
                "Every image in the archive is wanted",
                Verdict::Warn,
                format!("{} of {all} images are wanted by nothing that was read: {}.", extra.len(), listed(extra)),
            )
        }
        .with_remedy(
            "Give every chart in every option, or take them out of the release: each costs transfer, registry and disk.",
        ),
    );
}

fn leaking(config: &Config, leaks: &[String], wanted: usize, answers: &mut Answers) {
    let verdict = if leaks.is_empty() {
        Verdict::Pass
    } else {
        Verdict::Fail
    };
    let message = if leaks.is_empty() {
        format!("All {wanted} images are asked of {}.", config.registry)
    } else {
        format!(
            "With the local registry {} these still point elsewhere: {}.",
            config.registry,
            listed(leaks)
        )
    };
    answers.say(
        claim(
            "registry",
            "Images come from the local registry",
            verdict,
            message,
        )
        .with_remedy("Use HasLocalRegistry and LocalImageName for these values."),
    );
}

fn canonical(image: &str) -> String {
    ImageReference::parse(image)
        .map_or_else(|_| image.to_owned(), |reference| reference.to_string())
}

/// Whether an image can be had by this reference.
fn is(image: &Image<'_>, wanted: &ImageReference) -> bool {
    let top = match &image.top {
        Top::Digest(descriptor) => descriptor.digest.as_str(),
        _ => "",
    };
    if wanted.digest.as_deref().is_some_and(|digest| digest == top) {
        return true;
    }
    image.references.iter().any(|reference| {
        let same_name = if image.path_only {
            let path = reference.repository.trim_start_matches("library/");
            wanted.repository == path || wanted.repository.ends_with(&format!("/{path}"))
        } else {
            reference.registry == wanted.registry && reference.repository == wanted.repository
        };
        same_name
            && match (&wanted.digest, &wanted.tag) {
                (Some(digest), _) => reference.digest.as_ref() == Some(digest),
                (None, tag) => reference.tag == *tag,
            }
    })
}

/// Whether KOTS makes this reference of an image that it pushes to the local registry.
fn is_rewritten(image: &Image<'_>, local: &str, wanted: &ImageReference) -> bool {
    let wanted = match (&wanted.digest, &wanted.tag) {
        (Some(digest), _) => format!("{}@{digest}", wanted.name()),
        (None, Some(tag)) => format!("{}:{tag}", wanted.name()),
        (None, None) => wanted.name(),
    };
    image
        .references
        .iter()
        .any(|reference| canonical(&rewritten(image, reference, local)) == wanted)
}

/// The name under which KOTS pushes an image; those of Embedded Cluster have a folder of their own.
fn rewritten(image: &Image<'_>, reference: &ImageReference, local: &str) -> String {
    if image.embedded {
        reference.rewritten(&format!("{local}/embedded-cluster"))
    } else {
        reference.rewritten(local)
    }
}

/// Images that KOTS would push under one name: the second overwrites the first.
pub(super) fn collisions(images: &[Image<'_>]) -> Finding {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for image in images {
        for reference in image.references.iter().filter(|_| !image.path_only) {
            // By digest they are the same wherever they came from.
            if reference.digest.is_none() {
                names
                    .entry(rewritten(image, reference, "<registry>"))
                    .or_default()
                    .insert(reference.name());
            }
        }
    }
    let all: Vec<String> = names
        .into_iter()
        .filter(|(_, sources)| sources.len() > 1)
        .map(|(target, sources)| {
            let sources: Vec<String> = sources.into_iter().collect();
            format!("{} become {target}", sources.join(" and "))
        })
        .collect();
    let (verdict, message) = if all.is_empty() {
        (
            Verdict::Pass,
            "No two images have one name in the local registry.".to_owned(),
        )
    } else {
        (
            Verdict::Fail,
            format!("KOTS keeps the last part of a name only: {}.", listed(&all)),
        )
    };
    claim("names", "Image names survive KOTS' rewriting", verdict, message).with_remedy(
        "The second push overwrites the first. Rename one of the images, give it another tag, or name both by digest.",
    )
}

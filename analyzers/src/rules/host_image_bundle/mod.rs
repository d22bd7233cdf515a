//! `imageBundle`: an archive of container images holds what it must, and all of it is right.

mod contents;
mod docker;
mod holes;
mod media;
mod model;
mod need;
mod platforms;
mod release;
mod space;
mod words;

use std::fmt::Write as _;

use std::collections::BTreeSet;
use std::sync::Arc;

use bundle::Files;
use bundle::collected::image_bundle::{FOLDER, INVENTORY, Inventory, NEED, Need};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{document, is_masked, redacted};
use crate::finding::{Finding, Judgement, NotEvaluated, Verdict};
use contents::{Contents, Walk};
use holes::Hole;
use model::{Blobs, Image, Layout};
use platforms::Required;
use words::{NAME, claim};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Host,
    summary: "An archive of container images is whole, right, and holds every image that is wanted",
    docs: docs::<Config>,
    since: "0.1.0",
    needs: &["imageBundle"],
    parse: parse::<Config>,
    schema: schema::<Config>,
};

/// The folder of a collector without a name.
const UNNAMED: &str = "image-bundle";

/// An archive of container images is whole, right, and holds every image that is wanted.
///
/// # What it checks
/// One result for each claim: the archive was read to its end; `airgap.yaml` is that of the release that is meant, and what
/// it promises is there; every image has each manifest, index child, configuration and layer, with the right size, digest
/// and `diff_id`, and in the storage of a registry the links without which they are not served; each image is there for the
/// platforms of the nodes; every image that charts and manifests want is in it; no two images get one name when KOTS pushes
/// them; how much room they take in a registry and on a node.
///
/// The platforms are `platforms`, else `nodePlatforms`, else those of the nodes in the bundle, else every one that an
/// index names.
///
/// # When it warns or fails
/// A hole that keeps an image from being pulled, or KOTS from pushing it, fails; so do an image that is wanted and missing,
/// two with one name, a platform of `platforms` that an image lacks, and room that does not suffice. It warns of an image
/// that nothing wants, of one that runs on some of the nodes only, of a child of an index that no node asks for, of unknown
/// media types, of a bundle without images (differential) whose `base` is not given. Foreign layers (`urls`), inline data,
/// attestations and the empty configuration may be absent. `docs/probes/airgap.md` lists them.
///
/// # What to do
/// What each result says: it names the image and the exact digest. Mostly: transfer the archive again and compare its
/// checksum, or add the image to the release and build it again.
///
/// # Needs
/// The host collector `imageBundle`; with `need` in it, the images that are wanted. `clusterResources` in the same spec
/// tells the platforms of the nodes.
///
/// # Example
/// ```yaml
/// imageBundle:
///   checkName: Images of the release
///   collectorName: release
///   platforms: [linux/amd64, linux/arm64]
///   registryFree: 100Gi
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "ImageBundleAnalyzer")]
struct Config {
    /// The collector's name.
    collector_name: String,
    /// The collector of the archive that this one is based on: what is not in this one may be in that.
    base: String,
    /// Platforms that every image must be there for, as `linux/arm64`.
    platforms: Vec<String>,
    /// Platforms of the nodes, where the same spec does not collect them: an image that runs on some of them only is a
    /// warning, as with nodes that are in the bundle.
    node_platforms: Vec<String>,
    /// The local registry, with its namespace, for which the charts were rendered: every image must come from it.
    registry: String,
    /// The application that `airgap.yaml` must name.
    app_slug: String,
    /// The channel that it must name.
    #[serde(rename = "channelID")]
    channel_id: String,
    /// The version that it must name.
    version_label: String,
    /// The place in the channel that it must name.
    update_cursor: String,
    /// What is free in the registry's storage, as `100Gi`.
    registry_free: String,
    /// What is free for images on a node.
    node_free: String,
    /// What is free on the volume that the archive is loaded from.
    load_free: String,
}

impl Config {
    /// What `airgap.yaml` must say.
    fn expected(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("appSlug", &self.app_slug),
            ("channelID", &self.channel_id),
            ("versionLabel", &self.version_label),
            ("updateCursor", &self.update_cursor),
        ]
        .into_iter()
        .map(|(field, value)| (field, value.as_str()))
        .filter(|(_, value)| !value.is_empty())
    }

    fn path(name: &str, file: &str) -> String {
        let name = if name.is_empty() { UNNAMED } else { name };
        format!("{FOLDER}/{name}/{file}")
    }
}

/// What the parts of the check say.
#[derive(Debug, Default)]
struct Answers {
    findings: Vec<Finding>,
    unknown: Vec<String>,
}

impl Answers {
    fn say(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn unknown(&mut self, reason: String) {
        self.unknown.push(reason);
    }
}

impl Analyzer for Config {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or("The archive of images is whole")
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let path = Self::path(&self.collector_name, INVENTORY);
        let inventory = inventory(files, &path)?;
        let base = match self.base.as_str() {
            "" => None,
            name => Some(self::inventory(files, &Self::path(name, INVENTORY))?),
        };
        let mut answers = Answers::default();
        let required = match Required::find(files, &self.platforms, &self.node_platforms) {
            Ok(required) => required,
            Err(reason @ NotEvaluated::Spec(_)) => return Err(reason),
            Err(reason) => {
                answers.unknown(format!("the platforms of the nodes: {}", reason.reason()));
                Required::default()
            }
        };
        self.judge(
            files,
            &inventory,
            base.as_deref(),
            &required,
            &path,
            &mut answers,
        )?;
        for finding in &mut answers.findings {
            finding.strict = meta.strict;
            if !meta.check_name.is_empty() {
                finding.title = format!("{}: {}", meta.check_name, finding.title);
            }
        }
        let not_evaluated = (!answers.unknown.is_empty())
            .then(|| NotEvaluated::Unknown(answers.unknown.join("; ")));
        Ok(Judgement {
            findings: answers.findings,
            not_evaluated,
        })
    }
}

impl Config {
    fn judge(
        &self,
        files: &Files,
        inventory: &Inventory,
        base: Option<&Inventory>,
        required: &Required,
        path: &str,
        answers: &mut Answers,
    ) -> Result<(), NotEvaluated> {
        let layout = Layout::of(inventory);
        release::file(inventory, layout, answers);
        release::airgap(inventory, self, answers);
        let is_differential = release::differential(inventory, base, answers);
        let images = model::images(inventory);
        let elsewhere = base.map(model::images).unwrap_or_default();
        let images = with_base(images, &elsewhere);
        let mut broken = BTreeSet::new();
        if images.is_empty() {
            answers.unknown(format!(
                "{} holds no image of a layout that is known",
                inventory.path
            ));
        } else if !is_differential || base.is_some() {
            let copies_all = layout == Layout::Kots;
            let walk = Walk::new(Blobs { base }, required, copies_all);
            let contents = walk.run(&images);
            complete(inventory, &images, &contents, copies_all, path, answers);
            broken = contents
                .holes
                .broken()
                .into_iter()
                .map(str::to_owned)
                .collect();
            if let Some(finding) = platforms::judge(&images, &contents, required, path) {
                answers.say(finding);
            }
            if inventory.damage.is_none() {
                space::judge(self, inventory, &contents, required, answers)?;
            }
        }
        if inventory.airgap.is_some() && !images.is_empty() {
            answers.say(need::collisions(&images));
        }
        let wanted = Self::path(&self.collector_name, NEED);
        match document::<Need>(files, &wanted) {
            Ok(need) => {
                let state = need::State {
                    broken: &broken,
                    only_named: is_differential && base.is_none(),
                };
                need::judge(self, &need, &images, &state, &elsewhere, &wanted, answers);
            }
            Err(reason) => answers.unknown(reason.reason().to_owned()),
        }
        Ok(())
    }
}

/// The images, those that are absent replaced by the base's of the same name.
fn with_base<'a>(images: Vec<Image<'a>>, base: &[Image<'a>]) -> Vec<Image<'a>> {
    images
        .into_iter()
        .map(|image| {
            let model::Top::Absent(_) = image.top else {
                return image;
            };
            let found = base.iter().find(|other| {
                !matches!(other.top, model::Top::Absent(_))
                    && other
                        .references
                        .iter()
                        .any(|reference| image.references.contains(reference))
            });
            match found {
                Some(other) => Image {
                    place: other.place,
                    top: other.top.clone(),
                    ..image
                },
                None => image,
            }
        })
        .collect()
}

fn inventory(files: &Files, path: &str) -> Result<Arc<Inventory>, NotEvaluated> {
    let inventory = document::<Inventory>(files, path)?;
    let is_masked = |text: &str| is_masked(text);
    let names = inventory.airgap.iter().flat_map(|airgap| {
        airgap
            .saved_images
            .iter()
            .chain(&airgap.embedded_cluster_images)
    });
    let keys = inventory
        .stores
        .values()
        .flat_map(|store| store.blobs.keys());
    if names.chain(keys).any(|text| is_masked(text)) {
        return Err(redacted());
    }
    Ok(inventory)
}

/// Kinds of holes that fail: which claim each breaks, and what to do.
const BROKEN: &[(Hole, &str, &str, &str)] = &[
    (
        Hole::Image,
        "images",
        "Every image that is promised is there",
        "Download the bundle again; where that does not help, the vendor has to build the release again.",
    ),
    (
        Hole::Manifest,
        "manifests",
        "Every manifest is there",
        "Build the archive again with all platforms, or download it again: nodes of that architecture cannot start the pod.",
    ),
    (
        Hole::Blob,
        "blobs",
        "Every configuration and layer is there",
        "Build the archive again or download it again: the image cannot be pulled without it.",
    ),
    (
        Hole::Cut,
        "cut",
        "No content ends early",
        "Transfer the archive again and compare its checksum.",
    ),
    (
        Hole::Digest,
        "digests",
        "Every content has the digest and size of its name",
        "Transfer the archive again and compare its checksum; a registry refuses such a content.",
    ),
    (
        Hole::Link,
        "links",
        "A registry serves every manifest and layer",
        "Build the archive again: the content is there, and a registry does not serve it without the link.",
    ),
    (
        Hole::Document,
        "documents",
        "Every manifest can be read",
        "Build the image again with a current tool and push it again.",
    ),
    (
        Hole::DiffId,
        "diffIds",
        "Layers are those of their configuration",
        "Build the image again: nodes refuse to unpack a layer that is not what the configuration says.",
    ),
    (
        Hole::Disagreement,
        "manifestJson",
        "manifest.json and index.json lead to the same images",
        "Save the image again: docker load goes by one or the other, by the image store that it has.",
    ),
];

/// Kinds of holes that warn.
const DOUBTFUL: &[(Hole, &str, &str, &str)] = &[
    (
        Hole::OtherPlatform,
        "otherPlatforms",
        "Every child of every index is there",
        "No node asks for it; where all platforms are copied (`skopeo copy --all`), the copy fails.",
    ),
    (
        Hole::FewerLayers,
        "fewerLayers",
        "Manifests name the layers that manifest.json names",
        "Load it with docker load, which goes by manifest.json; for other tools save it again with a current Docker, whose manifests are whole.",
    ),
    (
        Hole::MediaType,
        "mediaTypes",
        "Media types are known and true",
        "Build the image again with a current tool; some runtimes go by the media type.",
    ),
    (
        Hole::Platform,
        "platformNames",
        "Indexes and configurations agree on platforms",
        "Build the index again: a node takes what the index says, and `exec format error` is what it gets.",
    ),
];

/// Says of each kind of hole where it is, or that there is none.
fn complete(
    inventory: &Inventory,
    images: &[Image<'_>],
    contents: &Contents,
    copies_all: bool,
    path: &str,
    answers: &mut Answers,
) {
    let broken = contents.holes.broken().len();
    let observed = format!(
        "{} images, {} blobs ({path})",
        images.len(),
        contents.blobs.len()
    );
    // What is missing behind the place where reading stopped is one thing, not hundreds.
    let behind = [
        Hole::Image,
        Hole::Manifest,
        Hole::OtherPlatform,
        Hole::Blob,
        Hole::Link,
        Hole::Cut,
    ];
    let is_cut = |kind: &Hole| inventory.damage.is_some() && behind.contains(kind);
    if let Some(damage) = &inventory.damage
        && broken > 0
    {
        let message = format!(
            "{broken} of {} images are not complete, as far as names came: {damage}.",
            images.len()
        );
        answers.say(
            Finding {
                observed: observed.clone(),
                ..claim(
                    "contents",
                    "Every image is complete",
                    Verdict::Fail,
                    message,
                )
            }
            .with_remedy("Transfer the archive again and compare its checksum."),
        );
    }
    for (rows, verdict) in [(BROKEN, Verdict::Fail), (DOUBTFUL, Verdict::Warn)] {
        for (kind, subject, title, remedy) in rows {
            let (count, text) = words::holes(contents.holes.of(*kind));
            if count == 0 || is_cut(kind) {
                continue;
            }
            let mut message = format!("{count} found: {text}.");
            if *kind == Hole::Manifest && copies_all {
                message.push_str(
                    " KOTS copies every child of an index, and stops at one that is missing.",
                );
            }
            answers.say(
                Finding {
                    observed: observed.clone(),
                    ..claim(subject, title, verdict, message)
                }
                .with_remedy(*remedy),
            );
        }
    }
    if broken > 0 {
        return;
    }
    let asked_for = if contents.holes.of(Hole::OtherPlatform).next().is_some() {
        " for the platforms that are asked for"
    } else {
        ""
    };
    let mut message = format!(
        "All {} images are complete{asked_for}: every digest and size is right",
        images.len()
    );
    message.push_str(match contents.not_compared {
        0 => ", every layer unpacks to its diff_id.",
        _ => ".",
    });
    if contents.not_compared > 0 {
        // Writing to a String cannot fail.
        let _ = write!(
            message,
            " The diff_ids of {} layers were not compared{}.",
            contents.not_compared,
            if inventory.layers_unpacked {
                ""
            } else {
                " (skipDiffIds)"
            }
        );
    }
    if !contents.foreign.is_empty() {
        let _ = write!(
            message,
            " {} foreign layers are fetched from elsewhere by whoever pulls.",
            contents.foreign.len()
        );
    }
    answers.say(Finding {
        observed,
        ..claim(
            "contents",
            "Every image is complete",
            Verdict::Pass,
            message,
        )
    });
}

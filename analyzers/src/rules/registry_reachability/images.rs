//! Images: each judged for the platforms of the nodes, and told in groups that have their first broken link in common.

use std::collections::BTreeMap;

use bundle::collected::registry::{Failure, Image, Platform, Reachability, Reason, Stage};

use super::Case;
use super::words::{cause, is_unknown, remedy};
use crate::document::{counted, is_masked, redacted};
use crate::finding::{Finding, Judgement, NotEvaluated, Verdict};

/// Images of a group that are named.
const NAMED: usize = 5;

/// What became of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Pullable,
    Failed,
    Unknown,
}

/// An image with what became of it.
pub(super) struct Judged<'a> {
    pub(super) image: &'a Image,
    pub(super) standing: Standing,
    /// The first broken link.
    pub(super) failure: Option<&'a Failure>,
    /// Platforms of nodes for which there is nothing.
    pub(super) lacks: Vec<&'a str>,
    /// A platform that is broken and that no node has.
    pub(super) unneeded: Option<(&'a str, &'a Failure)>,
}

/// All of them.
pub(super) struct Images<'a>(Vec<Judged<'a>>);

impl<'a> Images<'a> {
    pub(super) fn judge(found: &'a Reachability, platforms: &'a [String]) -> Self {
        Self(
            found
                .images
                .iter()
                .map(|image| judge(image, platforms))
                .collect(),
        )
    }

    pub(super) fn count(&self, standing: Standing) -> usize {
        self.0.iter().filter(|it| it.standing == standing).count()
    }

    pub(super) fn of(&self, standing: Standing) -> Vec<&Judged<'a>> {
        self.0.iter().filter(|it| it.standing == standing).collect()
    }

    pub(super) fn first(&self, standing: Standing) -> Option<&'a Failure> {
        self.of(standing).into_iter().find_map(|it| it.failure)
    }

    /// How many images cannot be had because of a server.
    pub(super) fn that_need(&self, address: &str) -> usize {
        let needs = |it: &&Judged<'_>| {
            it.standing != Standing::Pullable
                && it.failure.is_some_and(|failure| failure.server == address)
        };
        self.0.iter().filter(needs).count()
    }
}

/// Whether a platform of an image is for a node: `linux/arm64/v8` is for `linux/arm64`.
fn is_for(platform: &str, node: &str) -> bool {
    platform
        .strip_prefix(node)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn judge<'a>(image: &'a Image, platforms: &'a [String]) -> Judged<'a> {
    let needed = |platform: &Platform| {
        platforms.is_empty()
            || platform.platform.is_empty()
            || platforms
                .iter()
                .any(|node| is_for(&platform.platform, node))
    };
    let broken = |platform: &'a Platform| platform.failure.as_ref();
    let mut judged = Judged {
        image,
        standing: Standing::Pullable,
        failure: image.failure.as_ref(),
        lacks: Vec::new(),
        unneeded: None,
    };
    // The platforms of the bundle's nodes decide, whichever the collector took to be needed.
    if !image.platforms.is_empty() {
        judged.failure = image
            .platforms
            .iter()
            .filter(|it| needed(it))
            .find_map(broken);
        judged.unneeded = image
            .platforms
            .iter()
            .filter(|it| !needed(it))
            .find_map(|it| Some((it.platform.as_str(), broken(it)?)));
    }
    let known: Vec<&Platform> = image
        .platforms
        .iter()
        .filter(|it| !it.platform.is_empty())
        .collect();
    if !known.is_empty() && known.len() == image.platforms.len() {
        let lacks = platforms
            .iter()
            .filter(|node| !known.iter().any(|it| is_for(&it.platform, node)));
        judged.lacks = lacks.map(String::as_str).collect();
    }
    let is_unwalked = image
        .platforms
        .iter()
        .any(|it| !platforms.is_empty() && needed(it) && !it.walked && it.failure.is_none());
    judged.standing = match judged.failure {
        Some(failure) if is_unknown(failure.reason) => Standing::Unknown,
        Some(_) => Standing::Failed,
        None if !platforms.is_empty() && judged.lacks.len() == platforms.len() => Standing::Failed,
        None if is_unwalked => Standing::Unknown,
        None => Standing::Pullable,
    };
    judged
}

impl Case<'_> {
    /// A finding for each group, and one for each registry's images that are whole.
    pub(super) fn groups(&self, judgement: &mut Judgement) {
        self.whole(judgement);
        self.broken(judgement);
        self.platforms(judgement);
        self.oddities(judgement);
    }

    fn whole(&self, judgement: &mut Judgement) {
        let mut by_server: BTreeMap<&str, Vec<&Judged<'_>>> = BTreeMap::new();
        for judged in self.images.of(Standing::Pullable) {
            if !judged.lacks.is_empty() || judged.image.elsewhere > 0 {
                continue;
            }
            if is_masked(&judged.image.image) {
                judgement.not_evaluated.get_or_insert(redacted());
                continue;
            }
            by_server
                .entry(&judged.image.server)
                .or_default()
                .push(judged);
        }
        for (server, all) in by_server {
            let blobs: u64 = all.iter().map(|it| it.image.blobs).sum();
            let platforms = if self.platforms.is_empty() {
                String::new()
            } else {
                format!(" for {}", self.platforms.join(", "))
            };
            judgement.findings.push(Finding {
                verdict: Some(Verdict::Pass),
                message: format!(
                    "{} whole{platforms} at {server}.",
                    these(all.len(), "is", "are")
                ),
                observed: format!(
                    "{} with {}: {} ({})",
                    counted(all.len(), "image"),
                    counted(blobs, "layer"),
                    names(&all),
                    self.path
                ),
                ..self.finding(&format!("{server}/whole"), &format!("images at {server}"))
            });
        }
    }

    fn broken(&self, judgement: &mut Judgement) {
        let mut groups: BTreeMap<(&str, Stage, Reason), Vec<&Judged<'_>>> = BTreeMap::new();
        for standing in [Standing::Failed, Standing::Unknown] {
            for judged in self.images.of(standing) {
                let Some(failure) = judged.failure else {
                    continue;
                };
                // The server's own finding tells of those that its link keeps away.
                if self
                    .found
                    .servers
                    .iter()
                    .any(|it| it.failure.is_some() && it.address == failure.server)
                {
                    continue;
                }
                let key = (failure.server.as_str(), failure.stage, failure.reason);
                groups.entry(key).or_default().push(judged);
            }
        }
        for ((server, _, reason), all) in groups {
            let Some(failure) = all.first().and_then(|it| it.failure) else {
                continue;
            };
            let at = if server.is_empty() {
                String::new()
            } else {
                format!(" from {server}")
            };
            let verb = if is_unknown(reason) {
                "were not looked for"
            } else {
                "cannot be pulled"
            };
            let verb = if all.len() == 1 {
                verb.replace("were", "was")
            } else {
                verb.to_owned()
            };
            let text = format!(
                "{} {verb}{at} {}: {}",
                counted(all.len(), "image"),
                cause(reason),
                failure.message
            );
            if is_unknown(reason) {
                let reason = format!("{text}. {} ({})", remedy(failure), self.path);
                judgement
                    .not_evaluated
                    .get_or_insert(NotEvaluated::Unknown(reason));
                continue;
            }
            let word = format!("{reason:?}");
            judgement.findings.push(Finding {
                verdict: Some(Verdict::Fail),
                message: text,
                observed: format!("{} ({})", names(&all), self.path),
                remedy: remedy(failure).to_owned(),
                ..self.finding(
                    &format!("{server}/{word}"),
                    &format!("images{at} {}", cause(reason)),
                )
            });
        }
    }

    /// Images that are whole, and not for all nodes.
    fn platforms(&self, judgement: &mut Judgement) {
        let mut groups: BTreeMap<(Vec<&str>, bool), Vec<&Judged<'_>>> = BTreeMap::new();
        for judged in &self.images.0 {
            if !judged.lacks.is_empty() && judged.failure.is_none() {
                let is_useless = judged.lacks.len() == self.platforms.len();
                groups
                    .entry((judged.lacks.clone(), is_useless))
                    .or_default()
                    .push(judged);
            }
        }
        for ((lacks, is_useless), all) in groups {
            let has: Vec<&str> = all.first().map_or_else(Vec::new, |it| {
                it.image
                    .platforms
                    .iter()
                    .map(|it| it.platform.as_str())
                    .collect()
            });
            let lacks = lacks.join(", ");
            let (verdict, text) = if is_useless {
                (Verdict::Fail, "no node of this cluster can run it")
            } else {
                (Verdict::Warn, "the other nodes can run it")
            };
            judgement.findings.push(Finding {
                verdict: Some(verdict),
                message: format!("{} nothing for {lacks}; {text}.", these(all.len(), "has", "have")),
                observed: format!("{}; the first is for {} ({})", names(&all), has.join(", "), self.path),
                remedy: "Push the image for the nodes' platforms (crane copy and skopeo copy --all keep all of them), or keep its pods on nodes that can run it (nodeSelector kubernetes.io/arch).".to_owned(),
                ..self.finding(&format!("platform/{lacks}"), &format!("images for {lacks}"))
            });
        }
        let unneeded: Vec<&Judged<'_>> = self
            .images
            .0
            .iter()
            .filter(|it| it.unneeded.is_some())
            .collect();
        if let Some((platform, failure)) = unneeded.first().and_then(|it| it.unneeded) {
            judgement.findings.push(Finding {
                verdict: Some(Verdict::Warn),
                message: format!(
                    "{} not whole for platforms that no node has, as {platform}: {}",
                    these(unneeded.len(), "is", "are"),
                    failure.message
                ),
                observed: format!("{} ({})", names(&unneeded), self.path),
                remedy: remedy(failure).to_owned(),
                ..self.finding("platform/unneeded", "images for platforms that no node has")
            });
        }
        let unwalked: Vec<&Judged<'_>> = self
            .images
            .of(Standing::Unknown)
            .into_iter()
            .filter(|it| it.failure.is_none())
            .collect();
        if !unwalked.is_empty() {
            let reason = format!(
                "{}: the collector did not look at the layers for the nodes' platforms: leave `platforms` out of its spec ({})",
                names(&unwalked),
                self.path
            );
            judgement
                .not_evaluated
                .get_or_insert(NotEvaluated::Unknown(reason));
        }
    }

    /// What breaks nothing, and may break something elsewhere.
    fn oddities(&self, judgement: &mut Judgement) {
        let mut mirrors: BTreeMap<(&str, Reason), Vec<(&Judged<'_>, &Failure)>> = BTreeMap::new();
        let mut notes: BTreeMap<&str, Vec<&Judged<'_>>> = BTreeMap::new();
        for judged in self.images.of(Standing::Pullable) {
            for before in &judged.image.before {
                mirrors
                    .entry((&before.server, before.reason))
                    .or_default()
                    .push((judged, before));
            }
            for note in &judged.image.notes {
                notes.entry(note).or_default().push(judged);
            }
        }
        for ((server, reason), all) in mirrors {
            let Some((first, failure)) = all.first() else {
                continue;
            };
            let images: Vec<&Judged<'_>> = all.iter().map(|(judged, _)| *judged).collect();
            judgement.findings.push(Finding {
                verdict: Some(Verdict::Warn),
                message: format!(
                    "{} not had from the mirror {server}, and from {} instead, which an air gap would not allow: {}",
                    these(images.len(), "is", "are"),
                    first.image.server,
                    failure.message
                ),
                observed: format!("{} ({})", names(&images), self.path),
                remedy: remedy(failure).to_owned(),
                ..self.finding(
                    &format!("mirror/{server}/{reason:?}"),
                    &format!("images not had from {server} {}", cause(reason)),
                )
            });
        }
        self.completed(judgement);
        for (index, (note, all)) in notes.into_iter().enumerate() {
            judgement.findings.push(Finding {
                verdict: Some(Verdict::Warn),
                message: format!("{} odd: {note}.", these(all.len(), "is", "are")),
                observed: format!("{} ({})", names(&all), self.path),
                remedy: "See what stands between here and the registry: a proxy or a mirror that converts manifests, or a mirror without the capability resolve.".to_owned(),
                ..self.finding(&format!("note/{index}"), &format!("oddity {}", index + 1))
            });
        }
    }

    /// Manifests and layers that the host of their image does not have. containerd asks the next one; without it the image
    /// cannot be pulled.
    fn completed(&self, judgement: &mut Judgement) {
        let mut groups: BTreeMap<(&str, &str), Vec<(&Judged<'_>, &Failure)>> = BTreeMap::new();
        for judged in self.images.of(Standing::Pullable) {
            let mut pairs: Vec<(&str, &str, &Failure)> = Vec::new();
            for other in &judged.image.from_others {
                let pair = (other.failure.server.as_str(), other.server.as_str());
                if !pairs.iter().any(|it| (it.0, it.1) == pair) {
                    pairs.push((pair.0, pair.1, &other.failure));
                }
            }
            for (lacks, has, failure) in pairs {
                groups
                    .entry((lacks, has))
                    .or_default()
                    .push((judged, failure));
            }
        }
        for ((lacks, has), all) in groups {
            let Some((_, failure)) = all.first() else {
                continue;
            };
            let images: Vec<&Judged<'_>> = all.iter().map(|(judged, _)| *judged).collect();
            let contents: u64 = images.iter().map(|it| it.image.elsewhere).sum();
            judgement.findings.push(Finding {
                verdict: Some(Verdict::Warn),
                message: format!(
                    "{} not whole at {lacks}: containerd has from {has} what is not there, which an air gap would not allow, and CRI-O does not ask: {}",
                    these(images.len(), "is", "are"),
                    failure.message
                ),
                observed: format!(
                    "{} of {} ({})",
                    counted(contents, "blob"),
                    names(&images),
                    self.path
                ),
                remedy: remedy(failure).to_owned(),
                ..self.finding(
                    &format!("elsewhere/{lacks}/{has}"),
                    &format!("images of {lacks} that {has} completes"),
                )
            });
        }
    }
}

/// `1 image is`, `3 images are`.
fn these(count: usize, one: &str, many: &str) -> String {
    format!(
        "{} {}",
        counted(count, "image"),
        if count == 1 { one } else { many }
    )
}

fn names(all: &[&Judged<'_>]) -> String {
    let mut text: Vec<&str> = all
        .iter()
        .take(NAMED)
        .map(|it| it.image.image.as_str())
        .collect();
    let more;
    if all.len() > NAMED {
        more = format!("and {} more", all.len() - NAMED);
        text.push(&more);
    }
    text.join(", ")
}

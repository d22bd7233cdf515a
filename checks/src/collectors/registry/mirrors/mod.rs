//! Mirrors: which servers a node asks for an image, in which order.
//!
//! `parse.rs` reads the forms that there are into [`Rule`]s, `read.rs` finds them on this machine and in the cluster;
//! here a rule is applied to an image.

mod containerd;
mod parse;
mod read;

use bundle::collected::registry::Mirror;
use serde::{Deserialize, Serialize};
use syntax::go_regex::GoRegex;
use syntax::image_reference::{ImageReference, server};

use super::credentials::Credential;

pub(super) use parse::Given;
pub(super) use read::{Sources, of_cluster, of_machine};

/// What stands in for a registry or a part of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Rule {
    /// The file or object that says so.
    pub(super) source: String,
    /// `docker.io`, `quay.io/team`, `*.example.com`; `*` for every registry.
    pub(super) prefix: String,
    /// In the order in which they are tried.
    pub(super) mirrors: Vec<Stand>,
    /// Where to go after them, if not to the registry itself.
    pub(super) fallback: Option<Stand>,
    /// Whether the registry itself is not asked at all.
    pub(super) never_source: bool,
    /// Whether each manifest and layer is asked for at one host after the other, as containerd does; others take all of an
    /// image from the host that has its manifest.
    pub(super) each_content: bool,
    /// What is wrong with it.
    pub(super) problem: String,
}

/// A server that stands in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of a configuration file"
)]
pub(super) struct Stand {
    /// `https://mirror.example.com:5000`
    pub(super) address: String,
    /// Where its API is: `/v2`, or another path.
    pub(super) root: String,
    /// What takes the place of the rule's prefix in the repository; `None` where the repository stays as it is.
    pub(super) path: Option<String>,
    /// Whether it answers for tags.
    pub(super) tags: bool,
    /// Whether it answers for digests.
    pub(super) digests: bool,
    /// Whether it is told for which registry, as containerd does.
    pub(super) names_registry: bool,
    /// Whether it is given the image's own credentials, as containerd does.
    pub(super) as_registry: bool,
    /// What becomes of a repository's name: an expression of Go's syntax, and what takes the place of what it matches.
    pub(super) rewrites: Vec<(String, String)>,
    /// As whom it is asked where no pull secret is for it.
    pub(super) login: Option<Credential>,
    /// Trust.
    #[serde(flatten)]
    pub(super) trust: TrustText,
}

/// What may not be shown.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Hidden(pub(super) String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("…")
    }
}

/// Certificates and the like in PEM, and headers that are sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct TrustText {
    pub(super) skip_verify: bool,
    /// Files, until they are read.
    pub(super) files: Vec<String>,
    pub(super) roots: String,
    /// The client's certificate and its key, or one file with both, until they are read.
    pub(super) client_files: Vec<String>,
    pub(super) client_certificate: String,
    pub(super) client_key: Hidden,
    pub(super) headers: Vec<(String, Hidden)>,
}

/// Where an image is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// `https://host:port`
    pub(super) address: String,
    pub(super) root: String,
    pub(super) repository: String,
    /// The registry that it stands in for; `None` where it is the registry itself.
    pub(super) stands_for: Option<String>,
    pub(super) names_registry: bool,
    pub(super) as_registry: bool,
    pub(super) login: Option<Credential>,
    pub(super) trust: TrustText,
}

/// Where an image is asked for, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// In their order.
    pub(super) all: Vec<Place>,
    /// Mirrors that do not answer for its kind of reference.
    pub(super) skipped: Vec<String>,
    /// Whether what one place lacks is asked of the others.
    pub(super) each_content: bool,
}

/// The places where an image is asked for.
pub(super) fn places(rules: &[Rule], image: &ImageReference, in_clear: &[String]) -> Places {
    let by_digest = image.digest.is_some();
    let mut found: Vec<(usize, &Rule)> = rules
        .iter()
        .filter_map(|rule| Some((fit(&rule.prefix, image)?, rule)))
        .collect();
    let longest = found.iter().map(|(length, _)| *length).max();
    found.retain(|(length, _)| Some(*length) == longest);
    let mut places = Vec::new();
    let mut skipped = Vec::new();
    let mut never_source = false;
    let mut fallback = None;
    for (_, rule) in &found {
        let suits = |stand: &&Stand| if by_digest { stand.digests } else { stand.tags };
        places.extend(
            rule.mirrors
                .iter()
                .filter(suits)
                .filter_map(|stand| place(stand, rule, image)),
        );
        let others = rule.mirrors.iter().filter(|stand| !suits(stand));
        skipped.extend(others.map(|stand| {
            let kind = if by_digest { "digests" } else { "tags" };
            format!(
                "the mirror {} does not answer for {kind} ({})",
                stand.address, rule.source
            )
        }));
        never_source |= rule.never_source;
        fallback = fallback.or(rule.fallback.as_ref().map(|stand| (stand, *rule)));
    }
    if let Some((stand, rule)) = fallback {
        if by_digest && stand.digests || !by_digest && stand.tags {
            places.extend(place(stand, rule, image));
        }
    } else if !never_source {
        let scheme = if in_clear.contains(&image.registry) {
            "http"
        } else {
            "https"
        };
        places.push(Place {
            address: format!("{scheme}://{}", image.server()),
            root: "/v2".to_owned(),
            repository: image.repository.clone(),
            stands_for: None,
            names_registry: false,
            as_registry: true,
            login: None,
            trust: TrustText::default(),
        });
    }
    Places {
        each_content: found.iter().any(|(_, rule)| rule.each_content),
        all: places,
        skipped,
    }
}

fn place(stand: &Stand, rule: &Rule, image: &ImageReference) -> Option<Place> {
    let repository = match &stand.path {
        None => rewritten(stand, &image.repository),
        Some(path) => {
            // What of the name the prefix does not cover comes after the mirror's own path.
            let (_, prefix_path) = rule.prefix.split_once('/').unwrap_or((&rule.prefix, ""));
            let rest = image
                .repository
                .strip_prefix(prefix_path)?
                .trim_start_matches('/');
            let parts = [path.trim_matches('/'), rest];
            let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            parts.join("/")
        }
    };
    let own = format!("://{}", server(&image.registry));
    let is_registry = stand.address.ends_with(&own);
    Some(Place {
        address: stand.address.clone(),
        root: stand.root.clone(),
        repository,
        stands_for: (!is_registry).then(|| image.registry.clone()),
        names_registry: stand.names_registry && !is_registry,
        as_registry: stand.as_registry || is_registry,
        login: stand.login.clone(),
        trust: stand.trust.clone(),
    })
}

/// The repository by the first rewrite that changes it, as K3s has it. What is no repository any more stays as it was.
fn rewritten(stand: &Stand, repository: &str) -> String {
    let rewritten = stand.rewrites.iter().find_map(|(pattern, replacement)| {
        let expression = GoRegex::new(pattern).ok()?;
        let text = expression.replace_all(repository.as_bytes(), replacement.as_bytes());
        let text = String::from_utf8(text.into_owned()).ok()?;
        (text != repository && is_repository(&text)).then_some(text)
    });
    rewritten.unwrap_or_else(|| repository.to_owned())
}

fn is_repository(text: &str) -> bool {
    ImageReference::parse(&format!("registry.invalid/{text}"))
        .is_ok_and(|it| it.repository == text && it.digest.is_none())
}

/// How much of an image's name a prefix covers; `None` where it is for others.
fn fit(prefix: &str, image: &ImageReference) -> Option<usize> {
    if prefix == "*" {
        return Some(0);
    }
    if let Some(domain) = prefix.strip_prefix('*') {
        return image.registry.ends_with(domain).then_some(domain.len());
    }
    let name = image.name();
    let rest = name.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(prefix.len())
}

impl Rule {
    /// For the bundle.
    pub(super) fn told(&self) -> Mirror {
        let shown = |stand: &Stand| {
            let path = stand.path.as_deref().unwrap_or_default();
            let root = stand.root.strip_suffix("/v2").unwrap_or(&stand.root);
            format!(
                "{}{root}{}{path}",
                stand.address,
                if path.is_empty() { "" } else { "/" }
            )
        };
        Mirror {
            source: self.source.clone(),
            registry: self.prefix.clone(),
            addresses: self.mirrors.iter().map(shown).collect(),
            tags: self.mirrors.iter().any(|stand| stand.tags),
            falls_back: !self.never_source,
            problem: self.problem.clone(),
        }
    }
}

//! The way to an image: its manifest at the first place that has it, each platform of an index, each layer, each once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bundle::collected::registry::{Failure, Image, Platform, Push, Reason, Role, Stage};
use http::{Method, Uri};
use serde::{Deserialize, Serialize};
use syntax::image_reference::ImageReference;

use super::client::Registries;
use super::credentials::{Credential, matching};
use super::errors;
use super::manifest::{self, Content, Manifest};
use super::mirrors::{Place, Places, Rule, TrustText, places};
use super::once::Once;
use super::push::push;
use super::question::{Answer, Kind, MANIFESTS};
use super::repository::{Repository, Wanted};
use super::tls::Trust;
use crate::cluster::segment;
use crate::collector::locked;

/// What else is broken of one image, as far as it is told.
const ALSO: usize = 8;

/// An image that somebody wants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// As it was written.
    pub(super) image: String,
    pub(super) wanted_by: Vec<String>,
    /// The sources of credentials that go with it.
    pub(super) sources: Vec<String>,
}

/// Server, repository and reference or digest.
type Key = (String, String, String);

/// All that the ways to images have in common.
pub(super) struct Walk<'a> {
    pub(super) registries: &'a Registries,
    pub(super) rules: &'a [Rule],
    pub(super) credentials: &'a [Credential],
    /// The platforms whose layers are asked for; all where there is none.
    pub(super) platforms: &'a [String],
    /// Registries that are asked in clear.
    pub(super) in_clear: &'a [String],
    /// For registries themselves.
    pub(super) trust: Arc<Trust>,
    pub(super) trusts: Mutex<BTreeMap<TrustText, Result<Arc<Trust>, String>>>,
    pub(super) outcomes: Mutex<BTreeMap<(String, String), bool>>,
    pub(super) manifests: Once<Key, Result<Arc<Manifest>, Failure>>,
    pub(super) heads: Once<Key, Result<(), Failure>>,
    pub(super) blobs: Once<Key, Result<(), Failure>>,
    pub(super) configs: Once<Key, Result<String, Failure>>,
    pub(super) repositories: Once<(String, String), bool>,
}

impl<'a> Walk<'a> {
    /// Without mirrors, for all platforms, by HTTPS.
    pub(super) fn new(
        registries: &'a Registries,
        credentials: &'a [Credential],
        trust: Arc<Trust>,
    ) -> Self {
        Self {
            registries,
            rules: &[],
            credentials,
            platforms: &[],
            in_clear: &[],
            trust,
            trusts: Mutex::default(),
            outcomes: Mutex::default(),
            manifests: Once::default(),
            heads: Once::default(),
            blobs: Once::default(),
            configs: Once::default(),
            repositories: Once::default(),
        }
    }
}

impl Walk<'_> {
    /// Walks the way to one image.
    pub(super) async fn image(&self, asked: &Asked) -> Image {
        let mut image = Image {
            image: asked.image.clone(),
            wanted_by: asked.wanted_by.clone(),
            ..Image::default()
        };
        let reference = match ImageReference::parse_written(&asked.image) {
            Ok(reference) => reference,
            Err(error) => {
                image.failure = Some(Failure {
                    message: format!("{:?} is no reference to an image: {error}", asked.image),
                    reason: Reason::BadReference,
                    ..Failure::default()
                });
                return image;
            }
        };
        image.name = reference.to_string();
        let Places {
            all,
            skipped,
            each_content,
        } = places(self.rules, &reference, self.in_clear);
        image.notes = skipped;
        if all.is_empty() {
            image.failure = Some(Failure {
                message: format!(
                    "no mirror of {} answers for it, and the registry itself is not to be asked",
                    reference.registry
                ),
                stage: Stage::Manifest,
                reason: Reason::TagMissing,
                ..Failure::default()
            });
            return image;
        }
        for place in &all {
            let found = match self.repository(place, &reference, asked) {
                Ok(repository) => {
                    image.server.clone_from(&place.address);
                    let found = self.manifest(&repository, reference.reference()).await;
                    found.map(|manifest| (repository, manifest))
                }
                Err(failure) => Err(failure),
            };
            match found {
                Ok((repository, manifest)) => {
                    image.digest.clone_from(&manifest.digest);
                    image.media_type.clone_from(&manifest.media_type);
                    image.notes.extend(manifest.notes.iter().cloned());
                    image.failure = None;
                    let by_digest = ImageReference {
                        digest: Some(manifest.digest.clone()),
                        ..reference.clone()
                    };
                    let further = places(self.rules, &by_digest, self.in_clear).all;
                    let further: Vec<&Place> = further
                        .iter()
                        .filter(|it| each_content && it.address != place.address)
                        .collect();
                    let further = further
                        .into_iter()
                        .filter_map(|place| self.repository(place, &reference, asked).ok());
                    let sources: Vec<Repository<'_>> =
                        [repository].into_iter().chain(further).collect();
                    self.content(&sources, &manifest, &mut image).await;
                    return image;
                }
                Err(failure) => {
                    image.before.extend(image.failure.replace(failure));
                }
            }
        }
        image
    }

    /// Whether there is a manifest, by troubleshoot's rule: only what the registry itself calls unknown is missing. Where
    /// HTTPS is not to be had the registry is asked in clear, as containers/image does without verification.
    pub(super) async fn exists(&self, asked: &Asked) -> Result<bool, Failure> {
        let reference = ImageReference::parse_written(&asked.image).map_err(|error| Failure {
            message: format!("{:?} is no reference to an image: {error}", asked.image),
            reason: Reason::BadReference,
            ..Failure::default()
        })?;
        let clear = [reference.registry.clone()];
        let mut first = None;
        for in_clear in [&[][..], &clear[..]] {
            let places = places(&[], &reference, in_clear).all;
            for place in &places {
                let repository = self.repository(place, &reference, asked)?;
                match self.manifest(&repository, reference.reference()).await {
                    Ok(_) => return Ok(true),
                    Err(failure) if failure.code == "MANIFEST_UNKNOWN" => return Ok(false),
                    Err(failure) if failure.stage > Stage::Api => return Err(failure),
                    Err(failure) => {
                        first.get_or_insert(failure);
                    }
                }
            }
        }
        Err(first.unwrap_or_default())
    }

    /// Starts an upload in a repository and cancels it.
    pub(super) async fn push(&self, asked: &Asked, told: &mut Push) -> Result<(), Failure> {
        let reference = ImageReference::parse_written(&asked.image).map_err(|error| Failure {
            message: format!("{:?} is no repository: {error}", asked.image),
            reason: Reason::BadReference,
            stage: Stage::Push,
            ..Failure::default()
        })?;
        // Nobody pushes to a mirror.
        let places = places(&[], &reference, self.in_clear).all;
        for place in &places {
            let repository = self.repository(place, &reference, asked)?;
            push(&repository, told).await?;
        }
        Ok(())
    }

    /// A place with whatever proves that we may ask there.
    fn repository<'s>(
        &'s self,
        place: &'s Place,
        image: &ImageReference,
        asked: &Asked,
    ) -> Result<Repository<'s>, Failure> {
        let wrong = |text: String| Failure {
            message: text,
            ..Failure::default()
        };
        let address: Uri = place
            .address
            .parse()
            .map_err(|_| wrong(format!("{} is no address", place.address)))?;
        let role = if place.stands_for.is_some() {
            Role::Mirror
        } else {
            Role::Registry
        };
        let trust = self
            .trust_of(&place.trust)
            .map_err(|text| wrong(format!("{}: {text}", place.address)))?;
        let own: Vec<&Credential> = self
            .credentials
            .iter()
            .filter(|it| asked.sources.is_empty() || asked.sources.contains(&it.source))
            .collect();
        let host = address.authority().map_or("", |it| it.as_str());
        let at_place = ImageReference {
            registry: if role == Role::Registry {
                image.registry.clone()
            } else {
                host.to_owned()
            },
            repository: place.repository.clone(),
            ..image.clone()
        };
        let mut credentials = matching(own.iter().copied(), &at_place);
        if credentials.is_empty() && place.as_registry {
            credentials = matching(own, image);
        }
        if credentials.is_empty() {
            credentials.extend(&place.login);
        }
        Ok(Repository {
            registries: self.registries,
            server: self.registries.server(&address, role, &trust),
            root: place.root.clone(),
            name: place.repository.clone(),
            query: match &place.stands_for {
                Some(registry) if place.names_registry => format!("ns={}", segment(registry)),
                _ => String::new(),
            },
            credentials,
            outcomes: &self.outcomes,
        })
    }

    fn trust_of(&self, text: &TrustText) -> Result<Arc<Trust>, String> {
        if *text == TrustText::default() {
            return Ok(Arc::clone(&self.trust));
        }
        let mut trusts = locked(&self.trusts);
        let made = trusts.entry(text.clone()).or_insert_with(|| {
            let (certificate, key) = (&text.client_certificate, &text.client_key.0);
            let trust = Trust::new(&text.roots, certificate, key, !text.skip_verify)?;
            Ok(Arc::new(trust.sending(&text.headers)?))
        });
        made.clone()
    }

    pub(super) fn key(repository: &Repository<'_>, reference: &str) -> Key {
        (
            format!(
                "{}{}",
                super::link::shown(&repository.server.address),
                repository.root
            ),
            repository.name.clone(),
            reference.to_owned(),
        )
    }

    pub(super) async fn manifest(
        &self,
        repository: &Repository<'_>,
        reference: &str,
    ) -> Result<Arc<Manifest>, Failure> {
        let key = Self::key(repository, reference);
        self.manifests
            .get(key, async {
                // What is left of a limit is told with the first answer.
                let api = repository.api();
                Box::pin(self.registries.open(&repository.server, &api)).await?;
                Self::spare(repository)?;
                let path = format!("manifests/{reference}");
                let answer = repository.ask(Wanted {
                    method: &Method::GET,
                    path: &path,
                    accept: Some(MANIFESTS),
                    first_byte: false,
                    cap: manifest::LONGEST,
                    actions: "pull",
                    stage: Stage::Manifest,
                    kind: Kind::Manifest,
                });
                let answer = answer.await?;
                if answer.status != 200 {
                    return Err(self.no_manifest(repository, reference, &answer).await);
                }
                let wanted = syntax::image_reference::is_digest(reference).then_some(reference);
                let told = answer.header("docker-content-digest");
                let content_type = answer.header("content-type").unwrap_or_default();
                manifest::read(&answer.body, wanted, told, content_type)
                    .map(Arc::new)
                    .map_err(|(reason, text)| {
                        repository.server.failure(Stage::Manifest, reason, text)
                    })
            })
            .await
    }

    /// Leaves a quarter of what a registry gives in a window to whoever must pull.
    fn spare(repository: &Repository<'_>) -> Result<(), Failure> {
        let told = repository.server.rate_limit().unwrap_or_default();
        match (told.limit, told.remaining) {
            (Some(limit), Some(remaining)) if remaining.saturating_mul(4) <= limit => {
                let text = format!(
                    "{remaining} of {limit} pulls are left in this window; they are left to the nodes"
                );
                Err(repository
                    .server
                    .failure(Stage::Manifest, Reason::RateLimited, text))
            }
            _ => Ok(()),
        }
    }

    /// Why there is no manifest. By its code alone several registries do not tell a missing repository from a missing tag.
    async fn no_manifest(
        &self,
        repository: &Repository<'_>,
        reference: &str,
        answer: &Answer,
    ) -> Failure {
        let code = errors::code(answer);
        let mut reason = match (answer.status, code.as_str()) {
            (_, "NAME_UNKNOWN") => Reason::RepositoryMissing,
            (404, _) | (_, "MANIFEST_UNKNOWN") => Reason::TagMissing,
            (429, _) => Reason::RateLimited,
            (500.., _) => Reason::ServerError,
            _ => Reason::Other,
        };
        if reason == Reason::TagMissing && !self.is_there(repository).await {
            reason = Reason::RepositoryMissing;
        }
        let text = match reason {
            Reason::RepositoryMissing => format!(
                "it has no repository {}: {}",
                repository.name,
                errors::said(answer)
            ),
            Reason::TagMissing => format!(
                "the repository {} has no {reference}: {}",
                repository.name,
                errors::said(answer)
            ),
            _ => format!(
                "GET {}/manifests/{reference}: {}",
                repository.name,
                errors::said(answer)
            ),
        };
        Failure {
            status: Some(answer.status),
            code,
            ..repository.server.failure(Stage::Manifest, reason, text)
        }
    }

    /// Whether a repository has tags, as far as its registry tells.
    async fn is_there(&self, repository: &Repository<'_>) -> bool {
        let (server, name, _) = Self::key(repository, "");
        self.repositories
            .get((server, name), async {
                let asked = repository.ask(Wanted {
                    method: &Method::GET,
                    path: "tags/list?n=1",
                    accept: None,
                    first_byte: false,
                    cap: 64 << 10,
                    actions: "pull",
                    stage: Stage::Manifest,
                    kind: Kind::Other,
                });
                !matches!(asked.await, Ok(answer) if errors::code(&answer) == "NAME_UNKNOWN")
            })
            .await
    }

    async fn content(&self, sources: &[Repository<'_>], manifest: &Manifest, image: &mut Image) {
        let mut failures = Vec::new();
        let mut elsewhere = Vec::new();
        match &manifest.content {
            Content::Image(blobs) => {
                let walked = self.layers(sources, blobs).await;
                image.blobs = walked.blobs;
                image.bytes = walked.bytes;
                failures.extend(walked.failures.iter().cloned());
                elsewhere.extend(walked.elsewhere);
                image.platforms.push(Platform {
                    platform: walked.platform,
                    digest: manifest.digest.clone(),
                    walked: true,
                    failure: walked.failures.into_iter().next(),
                });
            }
            Content::Index(children) => {
                let walked = self.children(sources, children, 1).await;
                for (platform, found) in walked {
                    image.blobs += found.blobs;
                    image.bytes += found.bytes;
                    failures.extend(found.failures);
                    elsewhere.extend(found.elsewhere);
                    image.platforms.push(platform);
                }
            }
        }
        let mut failures = failures.into_iter();
        image.failure = failures.next();
        image.also = failures.take(ALSO).collect();
        elsewhere.sort();
        elsewhere.dedup();
        image.elsewhere = elsewhere.len() as u64;
        elsewhere.truncate(ALSO);
        image.from_others = elsewhere;
    }
}

//! The platforms of an index, each with its manifest and layers.

use bundle::collected::registry::{Failure, Platform, Reason, Stage};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use http::Method;

use super::image::Walk;
use super::layers::{Walked, from_each};
use super::manifest::{Child, Content, is_wanted};
use super::question::{Kind, MANIFESTS};
use super::repository::{Repository, Wanted};

/// How deep indexes may lie in indexes.
const DEPTH: usize = 3;

impl Walk<'_> {
    /// The platforms of an index, those of indexes within it too.
    pub(super) fn children<'a>(
        &'a self,
        sources: &'a [Repository<'_>],
        children: &'a [Child],
        depth: usize,
    ) -> BoxFuture<'a, Vec<(Platform, Walked)>> {
        async move {
            let all = children
                .iter()
                .map(|child| self.child(sources, child, depth));
            join_all(all).await.into_iter().flatten().collect()
        }
        .boxed()
    }

    async fn child(
        &self,
        sources: &[Repository<'_>],
        child: &Child,
        depth: usize,
    ) -> Vec<(Platform, Walked)> {
        let mut platform = Platform {
            platform: child.platform.clone(),
            digest: child.digest.clone(),
            ..Platform::default()
        };
        // There is always the one that has the index.
        let Some(repository) = sources.first() else {
            return Vec::new();
        };
        if !is_wanted(&child.platform, self.platforms) {
            // Nobody here pulls it: that it is there is all there is to say.
            platform.failure = self.head(repository, &child.digest).await.err();
            return vec![(platform, Walked::default())];
        }
        platform.walked = true;
        let missing = |failure: Failure| {
            let is_missing = matches!(
                failure.reason,
                Reason::TagMissing | Reason::RepositoryMissing
            );
            let reason = if is_missing {
                Reason::PlatformMissing
            } else {
                failure.reason
            };
            let what = if child.platform.is_empty() {
                "a manifest"
            } else {
                child.platform.as_str()
            };
            Failure {
                reason,
                stage: Stage::Platform,
                message: format!("{} ({what}, named by the index)", failure.message),
                ..failure
            }
        };
        let ask = |source| self.manifest(source, &child.digest);
        let (manifest, elsewhere) = from_each(sources, &child.digest, ask).await;
        let manifest = match manifest {
            Ok(manifest) => manifest,
            Err(failure) => {
                let failure = missing(failure);
                platform.failure = Some(failure.clone());
                let walked = Walked {
                    failures: vec![failure],
                    ..Walked::default()
                };
                return vec![(platform, walked)];
            }
        };
        match &manifest.content {
            Content::Image(blobs) => {
                let mut walked = self.layers(sources, blobs).await;
                walked.elsewhere.extend(elsewhere);
                platform.failure = walked.failures.first().cloned();
                if platform.platform.is_empty() {
                    platform.platform.clone_from(&walked.platform);
                }
                vec![(platform, walked)]
            }
            Content::Index(inner) if depth < DEPTH => {
                self.children(sources, inner, depth + 1).await
            }
            Content::Index(_) => {
                let failure = repository.server.failure(
                    Stage::Platform,
                    Reason::ManifestMalformed,
                    "indexes lie in indexes, more than three deep",
                );
                platform.failure = Some(failure.clone());
                vec![(
                    platform,
                    Walked {
                        failures: vec![failure],
                        ..Walked::default()
                    },
                )]
            }
        }
    }

    /// Whether a manifest that nobody here pulls is there.
    async fn head(&self, repository: &Repository<'_>, digest: &str) -> Result<(), Failure> {
        let key = Walk::key(repository, digest);
        self.heads
            .get(key, async {
                let path = format!("manifests/{digest}");
                let answer = repository.ask(Wanted {
                    method: &Method::HEAD,
                    path: &path,
                    accept: Some(MANIFESTS),
                    first_byte: false,
                    cap: 0,
                    actions: "pull",
                    stage: Stage::Platform,
                    kind: Kind::Manifest,
                });
                let answer = answer.await?;
                if answer.status == 200 {
                    return Ok(());
                }
                let reason = if answer.status == 404 {
                    Reason::PlatformMissing
                } else {
                    Reason::ServerError
                };
                let text = format!("HEAD {}/{path}: {}", repository.name, answer.status);
                Err(Failure {
                    status: Some(answer.status),
                    ..repository.server.failure(Stage::Platform, reason, text)
                })
            })
            .await
    }
}

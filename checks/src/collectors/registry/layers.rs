//! The layers and the configuration of an image, each asked for once.

use bundle::collected::registry::{Elsewhere, Failure, Reason, Stage};
use futures::future::join_all;
use http::Method;

use super::errors;
use super::image::Walk;
use super::link::shown;
use super::manifest::{self, Blob};
use super::question::{Answer, Kind};
use super::repository::{Repository, Wanted};

impl Walk<'_> {
    /// `sources` begin with the one that has the manifest.
    pub(super) async fn layers(&self, sources: &[Repository<'_>], blobs: &[Blob]) -> Walked {
        let mut walked = Walked::default();
        let all = blobs.iter().map(|blob| {
            from_each(sources, &blob.digest, move |repository| async move {
                if blob.is_config {
                    self.config(repository, blob).await
                } else {
                    self.blob(repository, blob).await.map(|()| String::new())
                }
            })
        });
        for (blob, (found, elsewhere)) in blobs.iter().zip(join_all(all).await) {
            walked.elsewhere.extend(elsewhere);
            walked.blobs += 1;
            walked.bytes = walked.bytes.saturating_add(blob.size);
            match found {
                Ok(platform) if walked.platform.is_empty() => walked.platform = platform,
                Ok(_) => {}
                Err(failure) => walked.failures.push(failure),
            }
        }
        walked
    }

    /// A configuration is read: it tells the platform.
    async fn config(&self, repository: &Repository<'_>, blob: &Blob) -> Result<String, Failure> {
        let key = Walk::key(repository, &blob.digest);
        self.configs
            .get(key, async {
                let path = format!("blobs/{}", blob.digest);
                let answer = repository.ask(Wanted {
                    method: &Method::GET,
                    path: &path,
                    accept: None,
                    first_byte: false,
                    cap: manifest::LONGEST,
                    actions: "pull",
                    stage: Stage::Blob,
                    kind: Kind::Blob,
                });
                let answer = answer.await?;
                if answer.status != 200 {
                    return Err(no_blob(repository, blob, &answer));
                }
                if answer.body.len() > manifest::LONGEST {
                    return Ok(String::new());
                }
                let own = manifest::digest(&answer.body, &blob.digest);
                if own != blob.digest {
                    let text = format!("{}/{path} has the digest {own}", repository.name);
                    return Err(repository.server.failure(
                        Stage::Blob,
                        Reason::DigestMismatch,
                        text,
                    ));
                }
                Ok(manifest::platform(&answer.body))
            })
            .await
    }

    /// A layer is not read: that it is there, and as long as it should be, is enough.
    async fn blob(&self, repository: &Repository<'_>, blob: &Blob) -> Result<(), Failure> {
        let key = Walk::key(repository, &blob.digest);
        self.blobs
            .get(key, async {
                let path = format!("blobs/{}", blob.digest);
                let wanted = Wanted {
                    method: &Method::HEAD,
                    path: &path,
                    accept: None,
                    first_byte: false,
                    cap: 0,
                    actions: "pull",
                    stage: Stage::Blob,
                    kind: Kind::Blob,
                };
                let mut answer = repository.ask(wanted).await;
                // Addresses that are signed for GET alone, and servers that know no HEAD.
                let is_for_get = |answer: &Answer| {
                    matches!(answer.status, 405 | 501)
                        || (answer.is_of_another && matches!(answer.status, 400 | 401 | 403))
                };
                if answer.as_ref().is_ok_and(is_for_get) {
                    answer = repository
                        .ask(Wanted {
                            method: &Method::GET,
                            first_byte: true,
                            cap: 1,
                            ..wanted
                        })
                        .await;
                }
                let answer = answer?;
                if !matches!(answer.status, 200 | 206) {
                    return Err(no_blob(repository, blob, &answer));
                }
                let length = match answer.status {
                    206 => answer
                        .header("content-range")
                        .and_then(|it| it.rsplit('/').next()),
                    _ => answer.header("content-length"),
                };
                match length.and_then(|it| it.parse::<u64>().ok()) {
                    Some(length) if length != blob.size => {
                        let text = format!(
                            "{}/{path} has {length} bytes, and the manifest says {}",
                            repository.name, blob.size
                        );
                        Err(repository
                            .server
                            .failure(Stage::Blob, Reason::BlobSize, text))
                    }
                    _ => Ok(()),
                }
            })
            .await
    }
}

/// Asks one source after the other for a content, and says where else it was had. containerd does so for each manifest and
/// layer (`core/remotes/docker/fetcher.go`); where nobody has it, what the first said counts.
pub(super) async fn from_each<'r, 'w: 'r, T, F>(
    sources: &'r [Repository<'w>],
    digest: &str,
    ask: impl Fn(&'r Repository<'w>) -> F,
) -> (Result<T, Failure>, Option<Elsewhere>)
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut first = None;
    for source in sources {
        match ask(source).await {
            Ok(found) => {
                let elsewhere = first.map(|failure| Elsewhere {
                    digest: digest.to_owned(),
                    server: shown(&source.server.address),
                    failure,
                });
                return (Ok(found), elsewhere);
            }
            Err(failure) => {
                first.get_or_insert(failure);
            }
        }
    }
    (Err(first.unwrap_or_default()), None)
}

fn no_blob(repository: &Repository<'_>, blob: &Blob, answer: &Answer) -> Failure {
    let reason = match answer.status {
        404 | 410 => Reason::BlobMissing,
        429 => Reason::RateLimited,
        _ if answer.is_of_another => Reason::RedirectRefused,
        500.. => Reason::ServerError,
        _ => Reason::Other,
    };
    let whence = if answer.is_of_another {
        " (of the server that it sends to)"
    } else {
        ""
    };
    let text = format!(
        "{}/blobs/{}: {}{whence}",
        repository.name,
        blob.digest,
        errors::said(answer)
    );
    Failure {
        status: Some(answer.status),
        code: errors::code(answer),
        ..repository.server.failure(Stage::Blob, reason, text)
    }
}

/// What was found out of an image's layers.
#[derive(Default)]
pub(super) struct Walked {
    pub(super) platform: String,
    pub(super) blobs: u64,
    pub(super) bytes: u64,
    pub(super) failures: Vec<Failure>,
    /// Contents that the source of the manifest did not have.
    pub(super) elsewhere: Vec<Elsewhere>,
}

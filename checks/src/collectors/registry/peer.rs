//! What troubleshoot's `registryImages` asks: whether manifests are there, without verifying certificates.

use std::sync::Arc;
use std::time::Duration;

use bundle::collected::registry::{RegistryImage, RegistryImages};
use futures::{FutureExt, StreamExt, stream};
use tokio::time::{Instant, timeout};

use super::client::{Limits, Registries};
use super::credentials::{Credential, docker_config};
use super::image::{Asked, Walk};
use super::proxy::{Proxies, ProxyConfig};
use super::tls::Trust;
use super::{PER_SERVER, REQUESTS, STEP};
use crate::collector::CollectError;

/// What one image has.
const EACH: Duration = Duration::from_secs(10);

/// Images at a time.
const IMAGES: usize = 8;

/// Credentials as a Secret holds them.
pub(in crate::collectors) struct Credentials(Vec<Credential>);

impl Credentials {
    pub(in crate::collectors) fn none() -> Self {
        Self(Vec::new())
    }

    /// `.dockerconfigjson`. The error shows nothing of it.
    pub(in crate::collectors) fn of_docker_config(
        source: &str,
        bytes: &[u8],
    ) -> Result<Self, String> {
        let entries = docker_config(source, bytes)?;
        match entries.problems.into_iter().next() {
            Some((registry, problem)) if entries.credentials.is_empty() => {
                Err(format!("{registry}: {problem}"))
            }
            _ => Ok(Self(entries.credentials)),
        }
    }

    /// One name and password for every registry of the images.
    pub(in crate::collectors) fn of_all(images: &[String], user: &str, password: &str) -> Self {
        let hosts = images
            .iter()
            .filter_map(|image| syntax::image_reference::ImageReference::parse_written(image).ok())
            .map(|image| image.registry);
        let mut hosts: Vec<String> = hosts.collect();
        hosts.sort();
        hosts.dedup();
        let credential = |host: String| Credential {
            source: "spec".to_owned(),
            written: host.clone(),
            key: host,
            user: user.to_owned(),
            password: password.to_owned(),
            identity_token: String::new(),
        };
        Self(hosts.into_iter().map(credential).collect())
    }
}

/// Looks for every image.
pub(in crate::collectors) async fn look(
    images: &[String],
    credentials: &Credentials,
) -> Result<RegistryImages, CollectError> {
    let trust = Trust::new("", "", "", false);
    let trust = Arc::new(trust.map_err(CollectError::Failed)?);
    let rounds = u32::try_from(images.len() / IMAGES + 2).unwrap_or(u32::MAX);
    let limits = Limits {
        step: STEP,
        end: Instant::now() + EACH.saturating_mul(rounds.min(100_000)),
        all: REQUESTS,
        per_server: PER_SERVER,
    };
    let registries = Registries::new(limits, Proxies::new(&ProxyConfig::default()));
    let walk = Walk::new(&registries, &credentials.0, trust);
    let found = stream::iter(0..images.len()).map(|index| {
        let walk = &walk;
        async move {
            let asked = Asked {
                image: images[index].clone(),
                ..Asked::default()
            };
            let found = match timeout(EACH, walk.exists(&asked)).await {
                Ok(Ok(exists)) => RegistryImage {
                    exists,
                    error: String::new(),
                },
                Ok(Err(failure)) => RegistryImage {
                    exists: false,
                    error: failure.message,
                },
                Err(_) => RegistryImage {
                    exists: false,
                    error: format!("no answer within {} s", EACH.as_secs()),
                },
            };
            (asked.image, found)
        }
        .boxed()
    });
    let images = found.buffer_unordered(IMAGES).collect::<Vec<_>>().await;
    let mut images: std::collections::BTreeMap<_, _> = images.into_iter().collect();
    for image in images.values_mut() {
        for credential in &credentials.0 {
            if credential.password.len() > 3 {
                image.error = image.error.replace(&credential.password, "…");
            }
        }
    }
    Ok(RegistryImages { images })
}

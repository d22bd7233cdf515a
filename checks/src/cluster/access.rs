//! The client, and the credentials in it, which may have to be renewed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::config::ExecConfig;
use tokio::sync::RwLock;

use super::error::chain;
use super::plugin;

/// A client that gets new credentials from its plugin when the old ones end.
pub(super) struct Access {
    current: RwLock<Current>,
    renewal: Option<Renewal>,
}

struct Current {
    client: kube::Client,
    expires: Option<Timestamp>,
    generation: u64,
}

struct Renewal {
    config: kube::Config,
    exec: ExecConfig,
}

/// Why there is no client.
#[derive(Debug)]
pub(super) enum AccessError {
    /// The plugin failed, and how.
    Plugin(String),
    /// Anything else.
    Client(String),
}

/// Credentials that end within this are renewed before they are used.
const MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// Building a client reads files and may run a legacy provider's program.
const BUILD: Duration = Duration::from_mins(1);

impl Access {
    /// A client made elsewhere, with credentials that last.
    pub(super) fn fixed(client: kube::Client) -> Self {
        let current = Current {
            client,
            expires: None,
            generation: 0,
        };
        Self {
            current: RwLock::new(current),
            renewal: None,
        }
    }

    pub(super) async fn open(config: kube::Config) -> Result<Self, AccessError> {
        let Some(exec) = config.auth_info.exec.clone() else {
            return build(config).await.map(Self::fixed);
        };
        let renewal = Renewal { config, exec };
        let current = renewal.run(0).await?;
        Ok(Self {
            current: RwLock::new(current),
            renewal: Some(renewal),
        })
    }

    /// The client and its generation. One whose credentials end, or whose generation was `refused`, is
    /// renewed first; whoever comes meanwhile waits for that one renewal.
    pub(super) async fn client(
        &self,
        refused: Option<u64>,
    ) -> Result<(kube::Client, u64), AccessError> {
        let ends = |current: &Current| {
            let expired = current.expires.is_some_and(|expires| {
                Timestamp::now()
                    .saturating_add(MARGIN)
                    .is_ok_and(|soon| soon > expires)
            });
            expired || refused == Some(current.generation)
        };
        {
            let current = self.current.read().await;
            if self.renewal.is_none() || !ends(&current) {
                return Ok((current.client.clone(), current.generation));
            }
        }
        let mut current = self.current.write().await;
        if let Some(renewal) = &self.renewal
            && ends(&current)
        {
            *current = renewal.run(current.generation + 1).await?;
        }
        Ok((current.client.clone(), current.generation))
    }

    /// Whether refused credentials can be renewed.
    pub(super) fn renews(&self) -> bool {
        self.renewal.is_some()
    }
}

impl Renewal {
    async fn run(&self, generation: u64) -> Result<Current, AccessError> {
        let credential = plugin::run(&self.exec).await.map_err(AccessError::Plugin)?;
        let expires = credential.expires();
        let mut config = self.config.clone();
        config.auth_info = credential.into_auth(&config.auth_info);
        Ok(Current {
            client: build(config).await?,
            expires,
            generation,
        })
    }
}

/// Builds the client on a thread of its own, because it blocks.
async fn build(config: kube::Config) -> Result<kube::Client, AccessError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        let _guard = runtime.enter();
        // The receiver is gone when the deadline has passed: nobody waits for the client any more.
        let _ = sender.send(with_roots(config));
    });
    match tokio::time::timeout(BUILD, receiver).await {
        Ok(Ok(Ok(client))) => Ok(client),
        Ok(Ok(Err(error))) => Err(AccessError::Client(chain(&error))),
        Ok(Err(_)) => Err(AccessError::Client("the client could not be built".into())),
        Err(_) => Err(AccessError::Client(format!(
            "the client could not be built within {} s",
            BUILD.as_secs()
        ))),
    }
}

/// A client that trusts what the kubeconfig or the system trusts, and, where the system has no certificates
/// at all, Mozilla's.
fn with_roots(mut config: kube::Config) -> kube::Result<kube::Client> {
    match kube::Client::try_from(config.clone()) {
        Err(kube::Error::RustlsTls(_)) if config.root_cert.is_none() => {
            let bundled = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
            config.root_cert = Some(bundled.map(|certificate| certificate.to_vec()).collect());
            kube::Client::try_from(config)
        }
        other => other,
    }
}

//! Where a connection string and its certificates come from: the spec itself, a Secret that is asked for by its name,
//! files on this machine.

use std::collections::BTreeMap;

use bundle::collected::postgres::{Failure, Reason, Stage};
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::postgres::{Settings, SslMode};

use super::tls::Materials;
use crate::collector::Context;
use crate::secret_data::{self, Missing};

/// The key of a Secret that holds a connection string, as CloudNativePG and others name it.
const URI_KEY: &str = "uri";

/// The longest certificate file that is read.
const FILE_CAP: u64 = 1 << 20;

/// A connection string, or where it is.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Source {
    /// The connection string: a URI or keyword=value, as libpq and pgx read it.
    pub(super) uri: String,
    /// The Secret that holds it.
    pub(super) secret: Option<SecretKey>,
}

/// A key of a Secret.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct SecretKey {
    /// The Secret's namespace; that of the run where it is empty.
    pub(super) namespace: String,
    /// The Secret's name.
    pub(super) name: String,
    /// The key that holds the connection string, `uri` where it is empty.
    pub(super) key: String,
}

/// Certificates and keys.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct TlsConfig {
    /// Whether the server's certificate is taken as it is, whatever the connection string says.
    pub(super) skip_verify: bool,
    /// The authorities' certificates, PEM.
    pub(super) cacert: String,
    /// The client's certificate, PEM.
    pub(super) client_cert: String,
    /// Its key, PEM.
    pub(super) client_key: String,
    /// A Secret with the keys `cacert`, `clientCert` and `clientKey` in place of the three.
    pub(super) secret: Option<SecretName>,
}

/// A Secret.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct SecretName {
    /// The Secret's name.
    pub(super) name: String,
    /// Its namespace; that of the run where it is empty.
    pub(super) namespace: String,
}

/// A connection string with all that belongs to it.
pub(super) struct Sourced {
    pub(super) settings: Settings,
    pub(super) materials: Materials,
    /// `sslmode` with what `tls` makes of it.
    pub(super) ssl_mode: SslMode,
}

impl Source {
    /// Where the connection string is, for people.
    pub(super) fn shown(&self) -> String {
        match &self.secret {
            Some(secret) if self.uri.is_empty() => {
                let namespace = if secret.namespace.is_empty() { "" } else { "/" };
                format!(
                    "Secret {}{namespace}{}, key {}",
                    secret.namespace,
                    secret.name,
                    secret.key()
                )
            }
            _ => "uri".to_owned(),
        }
    }

    /// Gets and reads it.
    pub(super) async fn read(&self, context: &Context) -> Result<Settings, Failure> {
        let text = self.text(context).await?;
        Settings::parse(&text)
            .map_err(|error| failure(Reason::BadConnectionString, error.to_string()))
    }

    /// Gets it.
    pub(super) async fn text(&self, context: &Context) -> Result<String, Failure> {
        match &self.secret {
            Some(secret) if self.uri.is_empty() => {
                let data = secret_data(context, &secret.namespace, &secret.name).await?;
                let value = data.get(secret.key()).ok_or_else(|| {
                    let keys: Vec<&str> = data.keys().map(String::as_str).collect();
                    let found = if keys.is_empty() {
                        "nothing".to_owned()
                    } else {
                        keys.join(", ")
                    };
                    failure(
                        Reason::SecretMissing,
                        format!(
                            "the Secret {} has no key {:?}; it has {found}",
                            secret.name,
                            secret.key()
                        ),
                    )
                })?;
                String::from_utf8(value.clone()).map_err(|_| {
                    failure(
                        Reason::BadConnectionString,
                        "the connection string is not UTF-8".to_owned(),
                    )
                })
            }
            _ => Ok(self.uri.clone()),
        }
    }
}

impl SecretKey {
    fn key(&self) -> &str {
        if self.key.is_empty() {
            URI_KEY
        } else {
            &self.key
        }
    }
}

impl TlsConfig {
    /// Adds the certificates to a connection string.
    pub(super) async fn add_to(
        &self,
        settings: Settings,
        context: &Context,
    ) -> Result<Sourced, Failure> {
        let texts = self.texts(&settings, context).await?;
        let [roots, certificate, key] = &texts;
        let materials = Materials::read(roots, certificate, key)
            .map_err(|text| failure(Reason::BadConnectionString, text))?;
        let ssl_mode = match settings.ssl_mode {
            mode if self.skip_verify => mode.min(SslMode::Require),
            // Authorities that are named are used, as pgx does.
            SslMode::Require if materials.has_roots() => SslMode::VerifyCa,
            mode => mode,
        };
        Ok(Sourced {
            settings,
            materials,
            ssl_mode,
        })
    }

    /// Authorities, the client's certificate and its key, wherever they are.
    pub(super) async fn texts(
        &self,
        settings: &Settings,
        context: &Context,
    ) -> Result<[Vec<u8>; 3], Failure> {
        let mut texts = [
            self.cacert.clone(),
            self.client_cert.clone(),
            self.client_key.clone(),
        ]
        .map(String::into_bytes);
        if let Some(secret) = &self.secret {
            let mut data = secret_data(context, &secret.namespace, &secret.name).await?;
            for (text, key) in texts.iter_mut().zip(["cacert", "clientCert", "clientKey"]) {
                if let Some(value) = data.remove(key) {
                    *text = value;
                }
            }
        }
        let files = [
            &settings.root_certificate,
            &settings.client_certificate,
            &settings.client_key,
        ];
        for (text, (file, keyword)) in
            texts
                .iter_mut()
                .zip(files.into_iter().zip(["sslrootcert", "sslcert", "sslkey"]))
        {
            let Some(path) = file
                .as_deref()
                .filter(|path| text.is_empty() && *path != "system")
            else {
                continue;
            };
            *text = context.host.file(path, FILE_CAP).await.map_err(|error| {
                failure(Reason::BadConnectionString, format!("{keyword}: {error}"))
            })?;
        }
        Ok(texts)
    }
}

fn failure(reason: Reason, message: String) -> Failure {
    Failure {
        reason,
        stage: Stage::Configuration,
        message,
        ..Failure::default()
    }
}

async fn secret_data(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let data = secret_data::secret_data(context, namespace, name).await;
    data.map_err(|missing| match missing {
        Missing::Absent(text) => failure(Reason::SecretMissing, text),
        Missing::Unread(text) => failure(Reason::SecretUnread, text),
    })
}

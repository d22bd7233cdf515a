//! Pull secrets: those that a spec, a `ServiceAccount` or a pod names, each read once.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle::collected::registry::Credential as Told;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::Registry;
use super::credentials::{Entries, docker_cfg, docker_config};
use super::resolve::{Resolving, SecretName};
use crate::cluster::segment;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServiceAccount {
    image_pull_secrets: Option<Vec<SecretName>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Secret {
    #[serde(rename = "type")]
    kind: String,
    /// In base64.
    pub(super) data: Option<BTreeMap<String, String>>,
}

impl Resolving<'_> {
    /// The pull secrets that the spec names, else those of its `ServiceAccount`: as the API server gives them to a pod.
    pub(super) async fn own_secrets(&mut self, config: &Registry, namespace: &str) -> Vec<String> {
        let mut sources = Vec::new();
        for (index, auth) in config.credentials.iter().enumerate() {
            let source = format!("spec, credentials[{index}]");
            let entries = docker_config(&source, auth.to_json().as_bytes());
            self.entries(&source, entries);
            sources.push(source);
        }
        let mut names: Vec<String> = config
            .image_pull_secrets
            .iter()
            .map(|it| it.name.clone())
            .collect();
        let is_wanted =
            !config.images.is_empty() || !config.image_files.is_empty() || !config.push.is_empty();
        if names.is_empty() && sources.is_empty() && is_wanted && self.context.cluster.is_some() {
            let account = config.service_account();
            match self.account(namespace, account).await {
                Ok(found) => names = found,
                Err(reason) => self.tell(format!("ServiceAccount {namespace}/{account}"), reason),
            }
        }
        for name in names {
            sources.push(self.pull_secret(namespace, &name).await);
        }
        // None at all is not the same as all of them.
        if sources.is_empty() {
            sources.push("none".to_owned());
        }
        sources
    }

    async fn account(&self, namespace: &str, name: &str) -> Result<Vec<String>, String> {
        let path = format!(
            "/api/v1/namespaces/{}/serviceaccounts/{}",
            segment(namespace),
            segment(name)
        );
        let cluster = self.context.cluster().map_err(|error| error.to_string())?;
        match cluster.json::<ServiceAccount>(&path, &[]).await {
            Ok(account) => {
                let names = account.image_pull_secrets.unwrap_or_default();
                Ok(names.into_iter().map(|it| it.name).collect())
            }
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(Vec::new()),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) async fn secret(&self, namespace: &str, name: &str) -> Result<Secret, String> {
        let path = format!(
            "/api/v1/namespaces/{}/secrets/{}",
            segment(namespace),
            segment(name)
        );
        let cluster = self.context.cluster().map_err(|error| error.to_string())?;
        let bytes = cluster.document(&path, &[]).await.map_err(|error| {
            if error.status() == Some(StatusCode::NOT_FOUND) {
                "it does not exist".to_owned()
            } else {
                error.to_string()
            }
        })?;
        serde_json::from_slice(&bytes).map_err(|_| "it is malformed".to_owned())
    }

    /// Reads a pull secret once, and gives its name as a source.
    pub(super) async fn pull_secret(&mut self, namespace: &str, name: &str) -> String {
        let source = format!("Secret {namespace}/{name}");
        if !self.secrets.insert((namespace.to_owned(), name.to_owned())) {
            return source;
        }
        let entries = match self.secret(namespace, name).await {
            Ok(secret) => of_secret(&source, secret),
            Err(reason) => Err(reason),
        };
        self.entries(&source, entries);
        source
    }

    fn entries(&mut self, source: &str, entries: Result<Entries, String>) {
        let told = |registry: String, problem: String| Told {
            source: source.to_owned(),
            registry,
            problem,
            ..Told::default()
        };
        match entries {
            Ok(entries) => {
                self.resolved.credentials.extend(entries.credentials);
                let problems = entries.problems.into_iter();
                self.resolved
                    .unusable
                    .extend(problems.map(|(registry, problem)| told(registry, problem)));
            }
            Err(problem) => self.resolved.unusable.push(told(String::new(), problem)),
        }
    }
}

/// Reads what a key of a pull secret holds; the text is where it is from.
type ReadEntries = fn(&str, &[u8]) -> Result<Entries, String>;

/// The entries of a pull secret of either type.
fn of_secret(source: &str, secret: Secret) -> Result<Entries, String> {
    let data = secret.data.unwrap_or_default();
    let (key, read): (_, ReadEntries) = match secret.kind.as_str() {
        "kubernetes.io/dockerconfigjson" => (".dockerconfigjson", docker_config),
        "kubernetes.io/dockercfg" => (".dockercfg", docker_cfg),
        kind => {
            return Err(format!(
                "its type is {kind:?}, which the kubelet leaves out; it uses kubernetes.io/dockerconfigjson and kubernetes.io/dockercfg"
            ));
        }
    };
    let value = data
        .get(key)
        .ok_or_else(|| format!("it has no key {key}"))?;
    let bytes = STANDARD
        .decode(value)
        .map_err(|_| format!("its {key} is not base64"))?;
    read(source, &bytes)
}

/// A registry's credential in a spec.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Given {
    /// The registry.
    registry: String,
    /// The name.
    username: String,
    /// The password.
    password: String,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Given({})", self.registry)
    }
}

impl Given {
    fn to_json(&self) -> String {
        let entry = serde_json::json!({"username": self.username, "password": self.password});
        let mut auths = serde_json::Map::new();
        auths.insert(self.registry.clone(), entry);
        serde_json::json!({ "auths": Value::Object(auths) }).to_string()
    }
}

use std::collections::BTreeMap;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle::BundlePath;
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::config;

use super::registry::peer::{Credentials, look};
use crate::cluster::segment;
use crate::collector::{
    CollectError, Collector, CollectorKind, Context, Output, Permission, Scope,
};

/// The registry row.
pub(super) const KIND: CollectorKind = CollectorKind {
    name: "registryImages",
    type_name: "registry-images",
    scope: Scope::Cluster,
    summary: "Whether a registry has images",
    docs: DOCS,
    since: "0.1.0",
    parse: |value, meta| {
        let name = meta.name.clone();
        let parsed = config::parse::<RegistryImages>(value)?;
        Ok(parsed.map(|config| Box::new(Named { name, config }) as Box<dyn Collector>))
    },
    schema: || schemars::schema_for!(RegistryImages).to_value(),
};

const DOCS: &str = "\
# What it collects

Of each image, from this machine: whether its registry has a manifest for it. As in troubleshoot, certificates are not
verified, and where there is no HTTPS the registry is asked in clear; what the registry does not know does not exist, anything
else that goes wrong is an error. Each image has 10 seconds.

The collector `registry` tells which link of the way is broken, verifies certificates and looks at platforms and
layers.

# Files

- `registry/<collectorName>.json`, `registry/images.json` without a name: `images`, by reference `exists` and `error`

# Permissions

- get secrets, the one that `imagePullSecret.name` names; none without

# Example

```yaml
registryImages:
  collectorName: release
  namespace: shop
  imagePullSecret: {name: shop-registry}
  images:
    - registry.example.com/shop/web:1.4
```
";

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct RegistryImages {
    /// The images.
    images: Vec<String>,
    /// The pull secret's namespace, `default` where it is empty.
    namespace: String,
    /// The pull secret.
    image_pull_secret: Option<PullSecret>,
}

/// A pull secret, by name or written out.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct PullSecret {
    /// Its name.
    name: String,
    /// Its data in base64, by key.
    data: BTreeMap<String, String>,
    /// `kubernetes.io/dockerconfigjson`
    #[serde(rename = "type")]
    kind: String,
}

/// It may hold a password.
impl std::fmt::Debug for PullSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "PullSecret({:?})", self.name)
    }
}

#[derive(Debug)]
struct Named {
    name: String,
    config: RegistryImages,
}

const TYPE: &str = "kubernetes.io/dockerconfigjson";
const KEY: &str = ".dockerconfigjson";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Secret {
    #[serde(rename = "type")]
    kind: String,
    data: Option<BTreeMap<String, String>>,
}

#[async_trait]
impl Collector for Named {
    fn title(&self) -> String {
        super::title(KIND.type_name, &self.name)
    }

    fn permissions(&self, _namespace: Option<&str>) -> Vec<Permission> {
        let secret = self.config.image_pull_secret.as_ref();
        let secret = secret.filter(|it| !it.name.is_empty());
        let permission = secret.map(|secret| Permission {
            verb: "get",
            group: String::new(),
            resource: "secrets".to_owned(),
            namespace: Some(self.namespace().to_owned()),
            name: Some(secret.name.clone()),
        });
        permission.into_iter().collect()
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        self.path().map(String::from).into_iter().collect()
    }

    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        let credentials = self.credentials(context).await?;
        let found = look(&self.config.images, &credentials).await?;
        output.json(&self.path()?, &found)
    }
}

impl Named {
    fn namespace(&self) -> &str {
        match self.config.namespace.as_str() {
            "" => "default",
            namespace => namespace,
        }
    }

    fn path(&self) -> Result<BundlePath, CollectError> {
        let name = if self.name.is_empty() {
            "images"
        } else {
            &self.name
        };
        Ok(BundlePath::join(["registry", &format!("{name}.json")])?)
    }

    /// Errors show nothing of what is in a Secret.
    async fn credentials(&self, context: &Context) -> Result<Credentials, CollectError> {
        let Some(pull) = &self.config.image_pull_secret else {
            return Ok(Credentials::none());
        };
        let (source, secret) = if pull.data.is_empty() && !pull.name.is_empty() {
            let namespace = self.namespace();
            let path = format!(
                "/api/v1/namespaces/{}/secrets/{}",
                segment(namespace),
                segment(&pull.name)
            );
            let source = format!("Secret {namespace}/{}", pull.name);
            let bytes = context.cluster()?.document(&path, &[]).await;
            let bytes = bytes.map_err(|error| {
                let text = format!("{source} cannot be read: {error}");
                if error.is_forbidden() {
                    CollectError::Refused(text)
                } else {
                    CollectError::Failed(text)
                }
            })?;
            let secret: Secret = serde_json::from_slice(&bytes)
                .map_err(|_| CollectError::Failed(format!("{source} is malformed")))?;
            (source, secret)
        } else {
            let secret = Secret {
                kind: pull.kind.clone(),
                data: Some(pull.data.clone()),
            };
            ("imagePullSecret.data".to_owned(), secret)
        };
        let wrong = |text: String| CollectError::Failed(format!("{source}: {text}"));
        if secret.kind != TYPE {
            return Err(wrong(format!("its type is {:?}, not {TYPE}", secret.kind)));
        }
        let data = secret.data.unwrap_or_default();
        let text = data
            .get(KEY)
            .ok_or_else(|| wrong(format!("it has no key {KEY}")))?;
        let bytes = STANDARD
            .decode(text)
            .map_err(|_| wrong(format!("its {KEY} is not base64")))?;
        Credentials::of_docker_config(&source, &bytes).map_err(wrong)
    }
}

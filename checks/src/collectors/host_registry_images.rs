use async_trait::async_trait;
use bundle::BundlePath;
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::config;

use super::registry::peer::{Credentials, look};
use crate::collector::{
    CollectError, Collector, CollectorKind, Context, Output, Permission, Scope,
};

/// The registry row.
pub(super) const KIND: CollectorKind = CollectorKind {
    name: "registryImages",
    type_name: "Registry Images",
    scope: Scope::Host,
    summary: "Whether a registry has images, seen from the host",
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

Of each image: whether its registry has a manifest for it. As in troubleshoot, certificates are not verified, and where there
is no HTTPS the registry is asked in clear; what the registry does not know does not exist, anything else that goes wrong is an
error. Each image has 10 seconds.

# Files

- `host-collectors/registry-images/<collectorName>.json`, `host-collectors/registry-images/images.json` without a name:
  `images`, by reference `exists` and `error`

# Permissions

None.

# Example

```yaml
registryImages:
  collectorName: release
  images:
    - registry.example.com/shop/web:1.4
```
";

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct RegistryImages {
    /// The images.
    images: Vec<String>,
    /// The name for all their registries.
    username: String,
    /// Its password.
    password: String,
}

/// It may hold a password.
impl std::fmt::Debug for RegistryImages {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "RegistryImages({:?})", self.images)
    }
}

#[derive(Debug)]
struct Named {
    name: String,
    config: RegistryImages,
}

#[async_trait]
impl Collector for Named {
    fn title(&self) -> String {
        super::host_title(KIND.type_name, &self.name)
    }

    fn permissions(&self, _namespace: Option<&str>) -> Vec<Permission> {
        Vec::new()
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        self.path().map(String::from).into_iter().collect()
    }

    async fn collect(&self, _context: &Context, output: &Output) -> Result<(), CollectError> {
        let RegistryImages {
            images,
            username,
            password,
        } = &self.config;
        let credentials = if username.is_empty() && password.is_empty() {
            Credentials::none()
        } else {
            Credentials::of_all(images, username, password)
        };
        let found = look(images, &credentials).await?;
        output.json(&self.path()?, &found)
    }
}

impl Named {
    fn path(&self) -> Result<BundlePath, CollectError> {
        let name = if self.name.is_empty() {
            "images"
        } else {
            &self.name
        };
        let file = format!("{name}.json");
        Ok(BundlePath::join([
            "host-collectors",
            "registry-images",
            &file,
        ])?)
    }
}

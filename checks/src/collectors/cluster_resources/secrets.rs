//! What is kept of Secrets: registries and user names of image pull secrets, and the license's names. They
//! are asked for by type and by name; no other Secret is ever listed.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bundle::BundlePath;
use bundle::manifest::GapReason;
use serde::Deserialize;
use syntax::yaml;

use super::kinds::collection;
use super::work::{Reach, Work};
use super::{ROOT, path};
use crate::cluster::{ApiError, ListError, Listed};
use crate::collector::CollectError;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Secret {
    data: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DockerConfig {
    auths: BTreeMap<String, Entry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
}

pub(super) async fn collect(work: &Work) -> Result<(), CollectError> {
    image_pull_secrets(work).await?;
    license(work).await
}

async fn image_pull_secrets(work: &Work) -> Result<(), CollectError> {
    let folder = format!("{ROOT}/image-pull-secrets");
    let selector = "type=kubernetes.io/dockerconfigjson";
    let mut errors = BTreeMap::new();
    let refused = work
        .secrets(selector, |item| {
            let key = format!("{}/{}", item.namespace, item.name);
            let file = BundlePath::new(format!("{folder}/{key}.json"))?;
            match registries(item.bytes) {
                Ok(registries) => {
                    let text = syntax::json::to_vec(&registries, "");
                    let text = text.map_err(|error| CollectError::Failed(error.to_string()))?;
                    work.output.write(&file, &text)
                }
                Err(reason) => {
                    work.output
                        .gap(file.as_str(), GapReason::Malformed, &reason);
                    errors.insert(key, reason);
                    Ok(())
                }
            }
        })
        .await?;
    for (namespace, error) in refused {
        let place = if namespace.is_empty() {
            "*"
        } else {
            &namespace
        };
        work.output.gap(
            format!("{folder}/{place}/*.json"),
            error.gap_reason(),
            &error,
        );
        errors.insert(namespace, error.to_string());
    }
    if !errors.is_empty() {
        let file = path("image-pull-secrets-errors.json")?;
        work.output.json(&file, &errors)?;
    }
    work.output.done(&format!("{folder}/**"));
    Ok(())
}

/// Registry → user name, and nothing else of the Secret.
fn registries(secret: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let secret: Secret = serde_json::from_slice(secret).map_err(|_| "not a Secret".to_owned())?;
    let packed = secret.data.get(".dockerconfigjson");
    let packed = packed.ok_or("it has no .dockerconfigjson")?;
    // The reasons name no value: whatever stands in there may be a credential.
    let text = STANDARD.decode(packed);
    let text = text.map_err(|_| ".dockerconfigjson is not base64")?;
    let config: DockerConfig = serde_json::from_slice(&text)
        .map_err(|_| ".dockerconfigjson is not a Docker configuration")?;
    let user = |entry: Entry| {
        let decoded = STANDARD.decode(entry.auth.trim()).unwrap_or_default();
        let decoded = String::from_utf8_lossy(&decoded).into_owned();
        let from_auth = decoded.split(':').next().unwrap_or_default();
        if from_auth.is_empty() {
            entry.username
        } else {
            from_auth.to_owned()
        }
    };
    let auths = config.auths.into_iter();
    Ok(auths
        .map(|(registry, entry)| (registry, user(entry)))
        .collect())
}

async fn license(work: &Work) -> Result<(), CollectError> {
    let file = path("license.json")?;
    let mut found = None;
    let refused = work
        .secrets("metadata.name=replicated", |item| {
            found = found.take().or_else(|| names(item.bytes));
            Ok(())
        })
        .await?;
    if let Some(found) = found {
        let text = syntax::json::to_vec(&found, "");
        let text = text.map_err(|error| CollectError::Failed(error.to_string()))?;
        work.output.write(&file, &text)?;
    } else if let Some(error) = refused.into_values().next() {
        work.output.gap(file.as_str(), error.gap_reason(), error);
    }
    work.output.done(file.as_str());
    Ok(())
}

/// `licenseID` and `appSlug` of the license in a `replicated` Secret's `config.yaml`.
fn names(secret: &[u8]) -> Option<BTreeMap<&'static str, String>> {
    let secret: Secret = serde_json::from_slice(secret).ok()?;
    let text = STANDARD.decode(secret.data.get("config.yaml")?).ok()?;
    let limits = yaml::Limits::default();
    let config = yaml::document(std::str::from_utf8(&text).ok()?, &limits).ok()?;
    let license = yaml::document(config.root.get("license")?.as_str()?, &limits).ok()?;
    let spec = license.root.get("spec")?;
    let field = |name| {
        spec.get(name)
            .and_then(yaml::Node::as_str)
            .unwrap_or_default()
    };
    Some(BTreeMap::from([
        ("appSlug", field("appSlug").to_owned()),
        ("licenseID", field("licenseID").to_owned()),
    ]))
}

impl Work {
    /// Lists Secrets by a field selector. Gives what could not be read, by namespace, `""` for all.
    async fn secrets(
        &self,
        selector: &str,
        mut each: impl FnMut(&Listed<'_>) -> Result<(), CollectError> + Send,
    ) -> Result<BTreeMap<String, ApiError>, CollectError> {
        let query = [("fieldSelector", selector)];
        let mut refused = BTreeMap::new();
        if self.reach != Reach::Named {
            let everywhere = collection("v1", None, "secrets");
            match self.cluster.list(&everywhere, &query, &mut each).await {
                Ok(_) => return Ok(refused),
                Err(ListError::Taker(error)) => return Err(error),
                Err(ListError::Api(error)) => {
                    let other_way = error.is_refused();
                    refused.insert(String::new(), error);
                    if !other_way {
                        return Ok(refused);
                    }
                }
            }
        }
        let mut all = true;
        for namespace in &self.namespaces {
            if !self.may_list(namespace, "", "secrets") {
                all = false;
                continue;
            }
            let target = collection("v1", Some(namespace), "secrets");
            match self.cluster.list(&target, &query, &mut each).await {
                Ok(_) => {}
                Err(ListError::Taker(error)) => return Err(error),
                Err(ListError::Api(error)) => {
                    refused.insert(namespace.clone(), error);
                }
            }
        }
        if all && self.reach == Reach::All {
            // Every namespace answered for itself.
            refused.remove("");
        }
        Ok(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keeps_registry_and_user_and_no_more() {
        let config = json!({"auths": {
            "registry.example.org": {"auth": STANDARD.encode("robot:hunter2")},
            "other.example.org": {"username": "someone", "password": "hunter2"},
        }});
        let secret = json!({"data": {".dockerconfigjson": STANDARD.encode(config.to_string())}});
        let kept = registries(secret.to_string().as_bytes());
        let expected = [
            ("other.example.org", "someone"),
            ("registry.example.org", "robot"),
        ];
        let expected = expected.map(|(registry, user)| (registry.to_owned(), user.to_owned()));
        assert_eq!(kept, Ok(BTreeMap::from(expected)));
        for broken in [
            json!({"data": {".dockerconfigjson": "hunter2!"}}),
            json!({"data": {}}),
        ] {
            let error = registries(broken.to_string().as_bytes());
            assert!(error.is_err_and(|error| !error.contains("hunter2")));
        }
    }

    #[test]
    fn finds_the_license() {
        let license = "apiVersion: kots.io/v1beta1\nkind: License\nspec:\n  licenseID: abc123\n  appSlug: shop\n  signature: c2ln\n";
        let config = format!("license: |\n  {}\n", license.replace('\n', "\n  "));
        let secret = json!({"data": {"config.yaml": STANDARD.encode(config)}});
        let found = names(secret.to_string().as_bytes()).unwrap_or_default();
        assert_eq!(found.get("licenseID").map(String::as_str), Some("abc123"));
        assert_eq!(found.get("appSlug").map(String::as_str), Some("shop"));
        assert_eq!(names(b"{}"), None);
    }
}

use std::collections::BTreeMap;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::collector::{
    CollectError, Collector, CollectorKind, Context, Output, Permission, Scope,
};
use crate::fingerprint::{Facts, Salt};
use crate::foresight::Expected;
use crate::keyed::{Keyed, Place};

/// The registry row.
pub(super) const KIND: CollectorKind = CollectorKind {
    name: "secret",
    type_name: "secret",
    scope: Scope::Cluster,
    summary: "Whether Secrets and keys in them are there, and their values where wanted",
    docs: DOCS,
    since: "0.1.0",
    parse: |value, meta| {
        let name = meta.name.clone();
        let parsed = Keyed::parse(value)?;
        Ok(parsed.map(|keyed| Box::new(Secret { name, keyed }) as Box<dyn Collector>))
    },
    schema: || schemars::schema_for!(Keyed).to_value(),
};

const DOCS: &str = "\
# What it collects

Whether a Secret is there, or several by their labels, and whether a key is in it. Values are collected only with
`includeValue` (the key's) or `includeAllData`, and are redacted as everything is. Of each key it is told how long
its value is, in classes, and a fingerprint: two values with the same fingerprint in one bundle are equal, and
nothing else can be found out from it.

# Files

- `secrets/<namespace>/<name>.json`, or `secrets/<namespace>/<name>/<key>.json` where a key is named and not
  all data is wanted: `secretExists`, `keyExists`, `value`, `data`, `keys`. It is written for a Secret that is
  not there, too.
- `secrets-errors/<namespace>/<name or labels>.json`, with the key likewise: why it could not be read

A spec without a namespace has a path without one.

# Permissions

- get secrets, this name; or list secrets, where labels say which

# Example

```yaml
secret:
  namespace: shop
  name: database
  key: password
```
";

#[derive(Debug)]
struct Secret {
    name: String,
    keyed: Keyed,
}

#[derive(Deserialize)]
struct Object {
    /// In base64.
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    namespace: &'a str,
    name: String,
    key: &'a str,
    secret_exists: bool,
    key_exists: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    data: BTreeMap<String, String>,
    /// Ours: what is told of each key, or of the one that is of interest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<Key>,
}

#[derive(Serialize)]
struct Key {
    key: String,
    #[serde(flatten)]
    facts: Facts,
}

impl Secret {
    fn place(&self) -> Place<'_> {
        Place {
            plural: "secrets",
            key: if self.keyed.include_all_data {
                ""
            } else {
                &self.keyed.key
            },
        }
    }

    fn tell(&self, salt: &Salt, name: &str, object: Option<&[u8]>) -> Result<Document<'_>, String> {
        let Keyed {
            namespace,
            key,
            include_value,
            include_all_data,
            ..
        } = &self.keyed;
        let mut document = Document {
            namespace,
            name: name.to_owned(),
            key,
            secret_exists: object.is_some(),
            key_exists: false,
            value: String::new(),
            data: BTreeMap::new(),
            keys: Vec::new(),
        };
        let Some(bytes) = object else {
            return Ok(document);
        };
        // The decoder's own words would show a part of the Secret.
        let object: Object =
            serde_json::from_slice(bytes).map_err(|_| format!("Secret {name} is malformed"))?;
        let of_one_key = !key.is_empty() && !include_all_data;
        for (each, encoded) in object.data.unwrap_or_default() {
            if of_one_key && each != *key {
                continue;
            }
            let value = STANDARD
                .decode(encoded)
                .map_err(|_| format!("Secret {name} is malformed: {each} is not base64"))?;
            document.keys.push(Key {
                facts: salt.facts(&value),
                key: each.clone(),
            });
            document.key_exists = of_one_key;
            let text = || String::from_utf8_lossy(&value).into_owned();
            if *include_all_data {
                document.data.insert(each, text());
            } else if of_one_key && *include_value {
                document.value = text();
            }
        }
        Ok(document)
    }
}

#[async_trait]
impl Collector for Secret {
    fn title(&self) -> String {
        super::title_or_labels(KIND.type_name, &self.name, &self.keyed.labels())
    }

    fn permissions(&self, namespace: Option<&str>) -> Vec<Permission> {
        self.keyed.permissions(self.place().plural, namespace)
    }

    fn degrades(&self) -> bool {
        self.keyed.degrades()
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        self.keyed.files(self.place())
    }

    async fn foresee(&self, context: &Context) -> Vec<Expected> {
        self.keyed.foresee("secrets", context).await
    }

    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        let tell = |name: &str, object: Option<&[u8]>| self.tell(&context.salt, name, object);
        self.keyed
            .collect(self.place(), context, output, tell)
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Settings, Stop};
    use crate::testing::{Collected, Reply, Server, collect, collect_redacted, list, object};
    use bundle::manifest::{GapReason, Outcome};
    use serde_json::{Value, json};

    const VALUE: &str = "correct horse\u{a0}battery";

    fn secret(name: &str) -> Value {
        let mut secret = object("shop", name);
        secret["data"] = json!({"password": STANDARD.encode(VALUE), "again": STANDARD.encode(VALUE),
            "binary": "/wD/"});
        secret
    }

    async fn server() -> Server {
        Server::start(|request| match request.path.as_str() {
            path if path.ends_with("reviews") => Reply::json(json!({"status": {"allowed": true}})),
            "/api/v1/namespaces/shop/secrets" if request.query["labelSelector"] == "app=web" => {
                Reply::json(list("Secret", [secret("one"), secret("two")]))
            }
            path if path.ends_with("/broken") => {
                Reply::json(r#"{"data": {"password": "s3cret!"}}"#)
            }
            path if path.ends_with("/odd") => Reply::json(r#"{"data": ["s3cret!"]}"#),
            path if path.ends_with("/absent") => {
                Reply::status(404, "NotFound", "secrets \"absent\" not found")
            }
            _ => Reply::json(secret("db")),
        })
        .await
    }

    async fn collected(config: Value) -> Collected {
        let context = server().await.context();
        let (settings, stop) = (Settings::default(), Stop::default());
        collect(&context, "secret", &config, &settings, &stop).await
    }

    fn config(extra: &Value) -> Value {
        let mut config = json!({"name": "db", "namespace": "shop"});
        for (key, value) in extra.as_object().expect("an object") {
            config[key] = value.clone();
        }
        config
    }

    #[tokio::test]
    async fn a_value_leaves_only_where_the_spec_says_so() {
        for (extra, path, holds) in [
            (json!({}), "secrets/shop/db.json", false),
            (json!({"includeValue": true}), "secrets/shop/db.json", false),
            (
                json!({"key": "password"}),
                "secrets/shop/db/password.json",
                false,
            ),
            (
                json!({"key": "password", "includeValue": true}),
                "secrets/shop/db/password.json",
                true,
            ),
            (
                json!({"includeAllData": true}),
                "secrets/shop/db.json",
                true,
            ),
            (
                json!({"key": "x", "includeAllData": true}),
                "secrets/shop/db.json",
                true,
            ),
        ] {
            let collected = collected(config(&extra)).await;
            assert_eq!(collected.record.outcome, Outcome::Complete);
            let text = collected.text(path).expect(path);
            assert_eq!(text.contains(VALUE), holds, "{extra}: {text}");
            assert!(!text.contains(&STANDARD.encode(VALUE)), "{text}");
        }
    }

    #[tokio::test]
    async fn the_peers_fields_come_first_and_are_those_of_the_peer() {
        let collected = collected(config(&json!({"key": "password"}))).await;
        let text = collected
            .text("secrets/shop/db/password.json")
            .expect("a file");
        let start = "{\n  \"namespace\": \"shop\",\n  \"name\": \"db\",\n  \"key\": \"password\",\n  \"secretExists\": true,\n  \"keyExists\": true,\n  \"keys\": [\n    {\n      \"key\": \"password\",\n      \"lengthClass\": \"16-31\",\n      \"fingerprint\": \"";
        assert!(text.starts_with(start), "{text}");
    }

    #[tokio::test]
    async fn equal_values_have_equal_fingerprints_in_all_secrets_of_a_run() {
        let config = json!({"selector": ["app=web"], "namespace": "shop", "includeAllData": true});
        let collected = collected(config).await;
        let keys = |name: &str| {
            let document = collected
                .json(&format!("secrets/shop/{name}.json"))
                .expect(name);
            assert_eq!(document["keyExists"], false);
            document["keys"].clone()
        };
        let one = keys("one");
        assert_eq!(one, keys("two"));
        let fingerprint = |index: usize| one[index]["fingerprint"].to_string();
        assert_eq!(one[0]["key"], "again");
        assert_eq!(fingerprint(0), fingerprint(2));
        assert_ne!(fingerprint(0), fingerprint(1));
    }

    #[tokio::test]
    async fn one_that_is_not_there_or_has_no_such_key_is_an_answer() {
        let config = json!({"name": "absent", "namespace": "shop", "key": "k"});
        let absent = collected(config).await;
        let expected = json!({"namespace": "shop", "name": "absent", "key": "k",
            "secretExists": false, "keyExists": false});
        assert_eq!(absent.json("secrets/shop/absent/k.json"), Some(expected));
        assert!(absent.text("secrets-errors/shop/absent/k.json").is_some());
        assert_eq!(absent.record.outcome, Outcome::Complete);
        let keyless = collected(json!({"name": "db", "namespace": "shop", "key": "k"})).await;
        let expected = json!({"namespace": "shop", "name": "db", "key": "k",
            "secretExists": true, "keyExists": false});
        assert_eq!(keyless.json("secrets/shop/db/k.json"), Some(expected));
    }

    #[tokio::test]
    async fn a_malformed_one_is_a_gap_that_shows_nothing_of_it() {
        for name in ["broken", "odd"] {
            let collected = collected(json!({"name": name, "namespace": "shop"})).await;
            let gap = &collected.record.gaps[0];
            assert_eq!(gap.reason, GapReason::Malformed);
            assert!(!gap.detail.contains("s3cret"), "{}", gap.detail);
        }
    }

    #[tokio::test]
    async fn what_is_told_of_a_key_survives_redaction() {
        let context = server().await.context();
        let config = config(&json!({"includeAllData": true}));
        let redacted = collect_redacted(&context, "secret", &config).await;
        let redacted = redacted
            .json("secrets/shop/db.json")
            .expect("JSON stays JSON");
        let (settings, stop) = (Settings::default(), Stop::default());
        let plain = collect(&context, "secret", &config, &settings, &stop).await;
        let plain = plain.json("secrets/shop/db.json").expect("a file");
        assert_eq!(redacted["keys"], plain["keys"]);
        assert_eq!(redacted["secretExists"], true);
        assert_eq!(redacted["data"]["password"], "***HIDDEN***");
    }
}

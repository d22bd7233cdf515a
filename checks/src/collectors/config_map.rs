use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::collector::{
    CollectError, Collector, CollectorKind, Context, Output, Permission, Scope,
};
use crate::foresight::Expected;
use crate::keyed::{Keyed, Place};

/// The registry row.
pub(super) const KIND: CollectorKind = CollectorKind {
    name: "configMap",
    type_name: "configmap",
    scope: Scope::Cluster,
    summary: "Whether ConfigMaps and keys in them are there, and their values where wanted",
    docs: DOCS,
    since: "0.1.0",
    parse: |value, meta| {
        let name = meta.name.clone();
        let parsed = Keyed::parse(value)?;
        Ok(parsed.map(|keyed| Box::new(ConfigMap { name, keyed }) as Box<dyn Collector>))
    },
    schema: || schemars::schema_for!(Keyed).to_value(),
};

const DOCS: &str = "\
# What it collects

Whether a ConfigMap is there, or several by their labels, and whether a key is in it; the key's value with
`includeValue`, all values with `includeAllData`.

# Files

- `configmaps/<namespace>/<name>.json`, or `configmaps/<namespace>/<name>/<key>.json` where a key is named:
  `configMapExists`, `keyExists`, `value`, `data`. It is written for a ConfigMap that is not there, too.
- `configmaps-errors/<namespace>/<name or labels>.json`, with the key likewise: why it could not be read

A spec without a namespace has a path without one.

# Permissions

- get configmaps, this name; or list configmaps, where labels say which

# Example

```yaml
configMap:
  namespace: shop
  name: shop-config
  key: log-level
  includeValue: true
```
";

#[derive(Debug)]
struct ConfigMap {
    name: String,
    keyed: Keyed,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    namespace: &'a str,
    name: String,
    key: &'a str,
    config_map_exists: bool,
    key_exists: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
    data: Option<BTreeMap<String, String>>,
}

impl ConfigMap {
    fn place(&self) -> Place<'_> {
        Place {
            plural: "configmaps",
            key: &self.keyed.key,
        }
    }

    fn tell(&self, name: &str, object: Option<&[u8]>) -> Result<Document<'_>, String> {
        let Keyed { namespace, key, .. } = &self.keyed;
        let mut document = Document {
            namespace,
            name: name.to_owned(),
            key,
            config_map_exists: object.is_some(),
            key_exists: false,
            value: String::new(),
            data: None,
        };
        if let Some(bytes) = object {
            let object: Object = serde_json::from_slice(bytes)
                .map_err(|error| format!("ConfigMap {name}: {error}"))?;
            let value = object.data.as_ref().and_then(|data| data.get(key));
            document.key_exists = !key.is_empty() && value.is_some();
            if let Some(value) = value
                && document.key_exists
                && self.keyed.include_value
            {
                document.value.clone_from(value);
            }
            if self.keyed.include_all_data {
                document.data = object.data;
            }
        }
        Ok(document)
    }
}

#[async_trait]
impl Collector for ConfigMap {
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
        self.keyed.foresee("configmaps", context).await
    }

    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        let tell = |name: &str, object: Option<&[u8]>| self.tell(name, object);
        self.keyed
            .collect(self.place(), context, output, tell)
            .await
    }
}

#[cfg(test)]
mod tests {
    use crate::run::{Settings, Stop};
    use crate::testing::{Collected, Reply, Seen, Server, collect, list, object};
    use bundle::manifest::{GapReason, Outcome};
    use serde_json::{Value, json};

    const PATH: &str = "/api/v1/namespaces/shop/configmaps";

    fn config_map(name: &str) -> Value {
        let mut map = object("shop", name);
        map["data"] = json!({"level": "<debug>", "empty": ""});
        map
    }

    /// A server with `app` and `other` in the namespace `shop`, where alone one may look.
    fn shop(request: &Seen) -> Reply {
        match request.path.as_str() {
            path if path.ends_with("reviews") => Reply::json(json!({"status": {"allowed": true}})),
            path if path == format!("{PATH}/app") => Reply::json(config_map("app")),
            path if path == format!("{PATH}/broken") => Reply::json("{\"data\": 3}"),
            path if path == format!("{PATH}/secret") => Reply::status(403, "Forbidden", "no"),
            PATH if request.query["labelSelector"] == "tier=none" => {
                Reply::json(list("ConfigMap", []))
            }
            PATH => Reply::json(list("ConfigMap", [config_map("app"), config_map("other")])),
            "/api/v1/configmaps" => Reply::status(403, "Forbidden", "not all namespaces"),
            _ => Reply::status(404, "NotFound", "configmaps \"absent\" not found"),
        }
    }

    async fn collected(config: Value) -> (Collected, Vec<Seen>) {
        let server = Server::start(shop).await;
        let mut context = server.context();
        context.namespace = Some("shop".into());
        let (settings, stop) = (Settings::default(), Stop::default());
        let collected = collect(&context, "configMap", &config, &settings, &stop).await;
        (collected, server.seen())
    }

    #[tokio::test]
    async fn what_is_wanted_decides_path_and_content() {
        let only = |value: Value, data: Value| {
            let mut document = json!({"namespace": "shop", "name": "app", "key": "level",
                "configMapExists": true, "keyExists": true, "value": value, "data": data});
            if document["value"].is_null() {
                document
                    .as_object_mut()
                    .map(|fields| fields.remove("value"));
            }
            document
        };
        let all = json!({"level": "<debug>", "empty": ""});
        for (extra, expected) in [
            (json!({}), only(Value::Null, Value::Null)),
            (
                json!({"includeValue": true}),
                only(json!("<debug>"), Value::Null),
            ),
            (
                json!({"includeAllData": true}),
                only(Value::Null, all.clone()),
            ),
            (
                json!({"includeAllData": true, "includeValue": true}),
                only(json!("<debug>"), all),
            ),
        ] {
            let mut config = json!({"name": "app", "namespace": "shop", "key": "level"});
            for (key, value) in extra.as_object().expect("an object") {
                config[key] = value.clone();
            }
            let (collected, _) = collected(config).await;
            assert_eq!(collected.record.outcome, Outcome::Complete);
            assert_eq!(
                collected.json("configmaps/shop/app/level.json"),
                Some(expected)
            );
        }
    }

    #[tokio::test]
    async fn the_bytes_are_those_of_the_peer() {
        let config = json!({"name": "app", "namespace": "shop", "includeAllData": true});
        let (collected, _) = collected(config).await;
        let expected = "{\n  \"namespace\": \"shop\",\n  \"name\": \"app\",\n  \"key\": \"\",\n  \"configMapExists\": true,\n  \"keyExists\": false,\n  \"data\": {\n    \"empty\": \"\",\n    \"level\": \"\\u003cdebug\\u003e\"\n  }\n}";
        assert_eq!(
            collected.text("configmaps/shop/app.json").as_deref(),
            Some(expected)
        );
    }

    #[tokio::test]
    async fn one_that_is_not_there_is_an_answer() {
        let config = json!({"name": "absent", "namespace": "shop", "key": "k"});
        let (collected, _) = collected(config).await;
        assert_eq!(collected.record.outcome, Outcome::Complete);
        let document = collected
            .json("configmaps/shop/absent/k.json")
            .expect("a file");
        assert_eq!(document["configMapExists"], false);
        assert_eq!(document["data"], Value::Null);
        let errors = collected
            .json("configmaps-errors/shop/absent/k.json")
            .expect("errors");
        assert!(errors[0].to_string().contains("not found"));
    }

    #[tokio::test]
    async fn one_that_is_refused_or_broken_is_a_gap() {
        for (name, reason) in [
            ("secret", GapReason::Refused),
            ("broken", GapReason::Malformed),
        ] {
            let (collected, _) = collected(json!({"name": name, "namespace": "shop"})).await;
            let path = format!("configmaps/shop/{name}.json");
            assert_eq!(collected.gaps(&path), [reason]);
            assert_eq!(collected.text(&path), None);
        }
    }

    #[tokio::test]
    async fn without_a_namespace_a_name_is_looked_for_where_the_run_is() {
        let (collected, seen) = collected(json!({"name": "app"})).await;
        let document = collected.json("configmaps/app.json").expect("a file");
        assert_eq!(
            (&document["namespace"], &document["configMapExists"]),
            (&json!(""), &json!(true))
        );
        assert_eq!(
            seen.last().map(|request| request.path.clone()),
            Some(format!("{PATH}/app"))
        );
    }

    #[tokio::test]
    async fn labels_are_looked_for_everywhere_and_else_where_the_run_is() {
        let (collected, seen) = collected(json!({"selector": ["app=web", "tier=db"]})).await;
        assert_eq!(collected.record.title, "configmap/app=web,tier=db");
        assert_eq!(collected.record.outcome, Outcome::Complete);
        assert_eq!(
            collected.paths(),
            ["configmaps/app.json", "configmaps/other.json"]
        );
        let lists: Vec<_> = seen.iter().map(|request| request.path.as_str()).collect();
        assert_eq!(lists, ["/api/v1/configmaps", PATH]);
        assert_eq!(seen[1].query["labelSelector"], "app=web,tier=db");
    }

    #[tokio::test]
    async fn labels_that_nothing_has_leave_a_word() {
        let config = json!({"selector": ["tier=none"], "namespace": "shop"});
        let (collected, _) = collected(config).await;
        assert_eq!(collected.record.outcome, Outcome::Complete);
        assert_eq!(
            collected.gaps("configmaps/shop/*.json"),
            [GapReason::Absent]
        );
    }
}

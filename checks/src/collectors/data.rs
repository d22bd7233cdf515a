use async_trait::async_trait;
use bundle::BundlePath;
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::config;

use crate::collector::{
    CollectError, Collector, CollectorKind, Context, Output, Permission, Scope,
};

/// The registry row.
pub(super) const KIND: CollectorKind = CollectorKind {
    name: "data",
    type_name: "data",
    scope: Scope::Cluster,
    summary: "Text from the spec itself, written into the bundle",
    docs: DOCS,
    since: "0.1.0",
    parse: |value, meta| {
        let collector_name = meta.name.clone();
        let parsed = config::parse::<Data>(value)?;
        Ok(parsed.map(|data| {
            let named = Named {
                collector_name,
                data,
            };
            Box::new(named) as Box<dyn Collector>
        }))
    },
    schema: || schemars::schema_for!(Data).to_value(),
};

const DOCS: &str = "\
# What it collects

Nothing: it writes the spec's own text, so that analyzers and people find it in the bundle.

# Files

- `<name>/<collectorName>`, without the one or the other where it is empty

# Permissions

None.

# Example

```yaml
data:
  collectorName: license.txt
  name: app
  data: |
    edition: enterprise
```
";

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Data {
    /// The folder of the file, or the file where there is no `collectorName`.
    name: String,
    /// The file's content.
    data: String,
}

#[derive(Debug)]
struct Named {
    collector_name: String,
    data: Data,
}

impl Named {
    fn path(&self) -> Result<BundlePath, CollectError> {
        if self.data.name.is_empty() && self.collector_name.is_empty() {
            return Err(CollectError::Failed(
                "the spec names no file for this data: give `name`, `collectorName` or both"
                    .to_owned(),
            ));
        }
        Ok(BundlePath::join([&self.data.name, &self.collector_name])?)
    }
}

#[async_trait]
impl Collector for Named {
    fn title(&self) -> String {
        super::title(KIND.type_name, &self.collector_name)
    }

    fn permissions(&self, _namespace: Option<&str>) -> Vec<Permission> {
        Vec::new()
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        self.path().map(String::from).into_iter().collect()
    }

    async fn collect(&self, _context: &Context, output: &Output) -> Result<(), CollectError> {
        output.write(&self.path()?, self.data.data.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::Meta;
    use crate::run::{Settings, Stop};
    use crate::testing::{collect, context};
    use bundle::manifest::Outcome;
    use serde_json::json;

    #[test]
    fn the_path_is_name_and_collector_name() {
        for (name, collector_name, path) in [
            (
                "static-data.txt",
                "static-data",
                Some("static-data.txt/static-data"),
            ),
            ("config/replicas.txt", "", Some("config/replicas.txt")),
            ("", "only", Some("only")),
            ("/etc", "passwd", Some("etc/passwd")),
            ("../../etc", "passwd", None),
            ("", "", None),
        ] {
            let config = json!({"name": name, "data": "x"});
            let meta = Meta {
                name: collector_name.into(),
            };
            let collector = (KIND.parse)(&config, &meta).expect("it parses").config;
            let wanted: Vec<String> = path.map(str::to_owned).into_iter().collect();
            assert_eq!(collector.files(None), wanted, "{name} {collector_name}");
        }
    }

    #[tokio::test]
    async fn the_text_is_verbatim() {
        let config = json!({"name": "a/b.txt", "data": "5 < 6\n\tß\r\n"});
        let (settings, stop) = (Settings::default(), Stop::default());
        let collected = collect(&context(None), "data", &config, &settings, &stop).await;
        assert_eq!(collected.record.outcome, Outcome::Complete);
        assert_eq!(collected.text("a/b.txt").as_deref(), Some("5 < 6\n\tß\r\n"));
    }

    #[tokio::test]
    async fn a_path_out_of_the_bundle_is_refused() {
        let config = json!({"name": "../x", "data": "y"});
        let (settings, stop) = (Settings::default(), Stop::default());
        let collected = collect(&context(None), "data", &config, &settings, &stop).await;
        assert_eq!(collected.record.outcome, Outcome::Failed);
        let error = collected
            .json("collector-errors/data-error.json")
            .expect("an error file");
        assert!(error["error"].to_string().contains(".."));
    }
}

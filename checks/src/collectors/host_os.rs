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
    name: "hostOS",
    type_name: "Host OS Info",
    scope: Scope::Host,
    summary: "The host's operating system and kernel",
    docs: DOCS,
    since: "0.1.0",
    parse: |value, meta| {
        let name = meta.name.clone();
        let parsed = config::parse::<HostOs>(value)?;
        Ok(parsed.map(|_| Box::new(Named { name }) as Box<dyn Collector>))
    },
    schema: || schemars::schema_for!(HostOs).to_value(),
};

const DOCS: &str = "\
# What it collects

The host's name, its kernel's version, and its distribution of Linux: `platform` (`ubuntu`), its
family (`debian`) and version (`24.04`). They are read from the files in `/etc` in the same order and named
with the same words as by troubleshoot; a Red Hat is `redhat`, Amazon Linux `amazon`.

# Files

- `host-collectors/system/hostos_info.json`: `name`, `kernelVersion`, `platformVersion`, `platform`,
  `platformFamily`

# Permissions

None. On Linux it reads `/etc/*-release` and their like, and asks `uname`.

# Example

```yaml
hostOS: {}
```
";

/// No configuration of its own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct HostOs {}

#[derive(Debug)]
struct Named {
    name: String,
}

const PATH: &str = "host-collectors/system/hostos_info.json";

#[async_trait]
impl Collector for Named {
    fn title(&self) -> String {
        super::host_title(KIND.type_name, &self.name)
    }

    fn permissions(&self, _namespace: Option<&str>) -> Vec<Permission> {
        Vec::new()
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        vec![PATH.to_owned()]
    }

    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        let os = context.host.os().await?;
        output.json_with(&BundlePath::new(PATH)?, &os, " ")
    }
}

#[cfg(test)]
mod tests {
    use crate::run::{Settings, Stop};
    use crate::testing::{collect, context};
    use bundle::manifest::Outcome;
    use serde_json::json;

    use super::PATH;

    #[tokio::test]
    async fn writes_the_fields_in_the_order_and_indent_of_the_peer() {
        let settings = Settings::default();
        let context = context(None);
        let collected = collect(&context, "hostOS", &json!({}), &settings, &Stop::default()).await;
        assert_eq!(collected.record.title, "Host OS Info");
        assert_eq!(collected.record.outcome, Outcome::Complete);
        let text = collected.text(PATH).expect("the file is there");
        let keys: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split(':').next())
            .collect();
        assert_eq!(
            keys,
            [
                "{",
                " \"name\"",
                " \"kernelVersion\"",
                " \"platformVersion\"",
                " \"platform\"",
                " \"platformFamily\"",
                "}"
            ]
        );
        let document = collected.json(PATH).expect("the file is JSON");
        assert!(
            document["kernelVersion"]
                .as_str()
                .is_some_and(|version| !version.is_empty())
        );
    }
}

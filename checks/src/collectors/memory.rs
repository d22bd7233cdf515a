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
    name: "memory",
    type_name: "Amount of Memory",
    scope: Scope::Host,
    summary: "The host's memory",
    docs: DOCS,
    since: "0.1.0",
    parse: |value, meta| {
        let name = meta.name.clone();
        let parsed = config::parse::<Memory>(value)?;
        Ok(parsed.map(|_| Box::new(Named { name }) as Box<dyn Collector>))
    },
    schema: || schemars::schema_for!(Memory).to_value(),
};

const DOCS: &str = "\
# What it collects

How much memory the host has, as the kernel counts it.

# Files

- `host-collectors/system/memory.json`: `total`, in bytes

# Permissions

None. On Linux it reads `/proc/meminfo`.

# Example

```yaml
memory: {}
```
";

/// No configuration of its own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct Memory {}

#[derive(Debug)]
struct Named {
    name: String,
}

const PATH: &str = "host-collectors/system/memory.json";

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
        let memory = context.host.memory().await?;
        output.json_with(&BundlePath::new(PATH)?, &memory, "")
    }
}

#[cfg(test)]
mod tests {
    use crate::host::Host;
    use crate::run::{Settings, Stop};
    use crate::testing::{collect, context};
    use bundle::manifest::{GapReason, Outcome};
    use serde_json::json;

    use super::PATH;

    #[tokio::test]
    async fn writes_one_compact_document() {
        let settings = Settings::default();
        let context = context(None);
        let collected = collect(&context, "memory", &json!({}), &settings, &Stop::default()).await;
        assert_eq!(collected.record.title, "Amount of Memory");
        assert_eq!(collected.record.outcome, Outcome::Complete);
        let text = collected.text(PATH).expect("the file is there");
        let total = text
            .strip_prefix("{\"total\":")
            .and_then(|rest| rest.strip_suffix('}'))
            .and_then(|total| total.parse::<u64>().ok());
        assert!(total.is_some_and(|total| total > 1 << 20), "{text}");
    }

    #[tokio::test]
    async fn a_host_that_does_not_tell_is_a_gap() {
        let mut context = context(None);
        context.host = Host::at("/nonexistent");
        let settings = Settings::default();
        let collected = collect(&context, "memory", &json!({}), &settings, &Stop::default()).await;
        assert_eq!(collected.gaps(PATH), [GapReason::Failed]);
    }
}

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
    name: "cpu",
    type_name: "CPU Info",
    scope: Scope::Host,
    summary: "The host's processors: how many, and what they can do",
    docs: DOCS,
    since: "0.1.0",
    parse: |value, meta| {
        let name = meta.name.clone();
        let parsed = config::parse::<Cpu>(value)?;
        Ok(parsed.map(|_| Box::new(Named { name }) as Box<dyn Collector>))
    },
    schema: || schemars::schema_for!(Cpu).to_value(),
};

const DOCS: &str = "\
# What it collects

How many hardware threads and cores the host has, the feature flags of its processors (`avx2`), and the
machine's architecture as `uname -m` says it.

# Files

- `host-collectors/system/cpu.json`: `logicalCount`, `physicalCount`, `flags`, `machineArch`

# Permissions

None. On Linux it reads `/proc/cpuinfo` and `/sys/devices/system/cpu`.

# Example

```yaml
cpu: {}
```
";

/// No configuration of its own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct Cpu {}

#[derive(Debug)]
struct Named {
    name: String,
}

const PATH: &str = "host-collectors/system/cpu.json";

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
        let cpu = context.host.cpu().await?;
        output.json_with(&BundlePath::new(PATH)?, &cpu, "")
    }
}

#[cfg(test)]
mod tests {
    use crate::host::Host;
    use crate::run::{Settings, Stop};
    use crate::testing::{collect, context};
    use bundle::collected::host::Cpu;
    use bundle::manifest::{GapReason, Outcome};
    use serde_json::json;

    use super::PATH;

    #[tokio::test]
    async fn writes_one_compact_document() {
        let settings = Settings::default();
        let context = context(None);
        let collected = collect(&context, "cpu", &json!({}), &settings, &Stop::default()).await;
        assert_eq!(collected.record.title, "CPU Info");
        assert_eq!(collected.record.outcome, Outcome::Complete);
        let text = collected.text(PATH).expect("the file is there");
        assert!(!text.contains('\n'));
        let cpu: Cpu = serde_json::from_str(&text).expect("it is what analyzers read");
        assert!(cpu.logical_count >= 1);
        assert!(!cpu.machine_arch.is_empty());
    }

    #[tokio::test]
    async fn a_host_that_does_not_tell_is_a_gap() {
        let mut context = context(None);
        context.host = Host::at("/nonexistent");
        let settings = Settings::default();
        let collected = collect(&context, "cpu", &json!({}), &settings, &Stop::default()).await;
        assert_eq!(collected.record.outcome, Outcome::Failed);
        assert_eq!(collected.gaps(PATH), [GapReason::Failed]);
        let error = collected.json("host-collectors/errors/CPU Info-error.json");
        assert!(
            error.expect("an error file")["error"]
                .to_string()
                .contains("/proc/cpuinfo")
        );
    }
}

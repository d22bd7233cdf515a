//! `s3Status`: whether a bucket can be reached, with troubleshoot's fields.

use std::time::Duration;

use async_trait::async_trait;
use bundle::BundlePath;
use bundle::collected::s3::Status;
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::config;
use tokio::time::timeout;

use super::probe::Probe;
use super::settings::{Failed, Tls, Wanted};
use crate::collector::{
    CollectError, Collector, CollectorKind, Context, Output, Permission, Scope,
};

/// The registry row.
pub(in crate::collectors) const KIND: CollectorKind = CollectorKind {
    name: "s3Status",
    type_name: "s3Status",
    scope: Scope::Cluster,
    summary: "Whether a bucket can be reached",
    docs: DOCS,
    since: "0.1.0",
    parse: |value, meta| {
        let name = meta.name.clone();
        let parsed = config::parse::<Config>(value)?;
        Ok(parsed.map(|config| Box::new(S3Status { name, config }) as Box<dyn Collector>))
    },
    schema: || schemars::schema_for!(Config).to_value(),
};

const DOCS: &str = "\
# What it collects

Whether HEAD of a bucket is answered with success within 30 seconds, and if not, what came back. The collector `s3` says
why, and what else works.

# Files

- `s3Status/<collectorName>.json`, `s3Status/s3Status.json` without a name: `bucketName`, `endpoint`, `region`,
  `isConnected`, `error`, as troubleshoot writes it

# Permissions

None: the keys are in the spec.

# Example

```yaml
s3Status:
  collectorName: artifacts
  bucketName: artifacts
  endpoint: https://minio.minio.svc:9000
  usePathStyle: true
  accessKeyID: AKIDEXAMPLE
  secretAccessKey: from-a-template
```
";

/// As troubleshoot has it.
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    /// The bucket.
    bucket_name: String,
    /// The region, `us-east-1` where it is empty.
    region: String,
    /// `https://host:port`; Amazon's own for the region where it is empty.
    endpoint: String,
    /// The id of the access key.
    #[serde(rename = "accessKeyID")]
    access_key_id: String,
    /// The secret key.
    secret_access_key: String,
    /// Whether the bucket is in the path instead of in the name.
    use_path_style: bool,
    /// Whether any certificate is taken.
    insecure: bool,
}

struct S3Status {
    name: String,
    config: Config,
}

impl std::fmt::Debug for S3Status {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "S3Status({})", self.name)
    }
}

#[async_trait]
impl Collector for S3Status {
    fn title(&self) -> String {
        super::super::title(KIND.type_name, &self.name)
    }

    fn permissions(&self, _namespace: Option<&str>) -> Vec<Permission> {
        Vec::new()
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        self.path().into_iter().map(String::from).collect()
    }

    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        let config = &self.config;
        let region = if config.region.is_empty() {
            "us-east-1"
        } else {
            &config.region
        };
        let mut status = Status {
            bucket_name: config.bucket_name.clone(),
            endpoint: config.endpoint.clone(),
            region: region.to_owned(),
            ..Status::default()
        };
        match timeout(LIMIT, self.head(context)).await {
            Ok(Ok(())) => status.is_connected = true,
            Ok(Err((_, text))) => status.error = text,
            Err(_) => status.error = format!("no answer within {} s", LIMIT.as_secs()),
        }
        output.json_with(&self.path()?, &status, "")
    }
}

impl S3Status {
    fn path(&self) -> Result<BundlePath, CollectError> {
        let name = if self.name.is_empty() {
            KIND.name
        } else {
            &self.name
        };
        Ok(BundlePath::join(["s3Status", &format!("{name}.json")])?)
    }

    async fn head(&self, context: &Context) -> Result<(), Failed> {
        let config = &self.config;
        let wanted = Wanted {
            endpoint: config.endpoint.clone(),
            bucket_name: config.bucket_name.clone(),
            region: config.region.clone(),
            use_path_style: config.use_path_style,
            access_key_id: config.access_key_id.clone(),
            secret_access_key: config.secret_access_key.clone(),
            tls: Tls {
                skip_verify: config.insecure,
                ..Tls::default()
            },
            ..Wanted::default()
        };
        if let Some((field, text)) = wanted.problem() {
            return Err(super::settings::failure(
                bundle::collected::s3::Reason::BadSetting,
                format!("{field}: {text}"),
            ));
        }
        let probe = Probe::new(wanted.settings()?, &self.name, LIMIT, context)?;
        let head = probe.head().await;
        head.map_err(|refused| (refused.failed.0, probe.scrubbed(&refused.failed.1)))
    }
}

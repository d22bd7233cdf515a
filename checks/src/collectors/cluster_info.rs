use async_trait::async_trait;
use bundle::BundlePath;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syntax::config;

use crate::collector::{
    CollectError, Collector, CollectorKind, Context, Output, Permission, Scope,
};

/// The registry row.
pub(super) const KIND: CollectorKind = CollectorKind {
    name: "clusterInfo",
    type_name: "cluster-info",
    scope: Scope::Cluster,
    summary: "The API server's version",
    docs: DOCS,
    since: "0.1.0",
    parse: |value, meta| {
        let name = meta.name.clone();
        let parsed = config::parse::<ClusterInfo>(value)?;
        Ok(parsed.map(|_| Box::new(Named { name }) as Box<dyn Collector>))
    },
    schema: || schemars::schema_for!(ClusterInfo).to_value(),
};

const DOCS: &str = "\
# What it collects

What the API server says at `/version`: its version, commit, build date and platform.

# Files

- `cluster-info/cluster_version.json`: `info` as the server sent it, and `string`, the git version
- `cluster-info/errors.json`: only when the server could not be asked

# Permissions

None beyond those of every account that may authenticate (`system:public-info-viewer`).

# Example

```yaml
clusterInfo: {}
```
";

/// No configuration of its own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct ClusterInfo {}

#[derive(Debug)]
struct Named {
    name: String,
}

/// `version.Info`, with the field names that the peer's struct has.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
struct Info {
    major: String,
    minor: String,
    git_version: String,
    git_commit: String,
    git_tree_state: String,
    build_date: String,
    go_version: String,
    compiler: String,
    platform: String,
}

#[derive(Serialize)]
struct Document {
    info: Info,
    string: String,
}

const VERSION: &str = "cluster-info/cluster_version.json";
const ERRORS: &str = "cluster-info/errors.json";

#[async_trait]
impl Collector for Named {
    fn title(&self) -> String {
        super::title(KIND.type_name, &self.name)
    }

    fn permissions(&self, _namespace: Option<&str>) -> Vec<Permission> {
        Vec::new()
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        vec![VERSION.to_owned()]
    }

    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        match context.cluster()?.json::<Info>("/version", &[]).await {
            Ok(info) => {
                let document = Document {
                    string: info.git_version.clone(),
                    info,
                };
                output.json(&BundlePath::new(VERSION)?, &document)
            }
            Err(error) => {
                let errors = [error.to_string()];
                output.json(&BundlePath::new(ERRORS)?, &errors)?;
                output.gap(VERSION, error.gap_reason(), &error);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Reply, Server, archive};
    use bundle::manifest::GapReason;

    async fn collect(server: &Server) -> (Result<(), CollectError>, Output) {
        let output = Output::new(archive());
        let collector = Named {
            name: String::new(),
        };
        let collected = collector.collect(&server.context(), &output).await;
        (collected, output)
    }

    #[tokio::test]
    async fn tries_again_when_the_server_is_busy() -> Result<(), CollectError> {
        let tries = std::sync::atomic::AtomicU32::new(0);
        let server =
            Server::start(
                move |_| match tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                    0 => Reply::status(429, "TooManyRequests", "busy").header("retry-after", "0"),
                    1 => Reply::status(503, "ServiceUnavailable", "starting"),
                    _ => Reply::json(r#"{"major":"1","minor":"36","gitVersion":"v1.36.3"}"#),
                },
            )
            .await;
        let (collected, output) = collect(&server).await;
        collected?;
        assert!(output.contains(&BundlePath::new(VERSION)?));
        assert!(output.written().gaps.is_empty());
        let seen = server.seen();
        assert_eq!(seen.len(), 3);
        assert_eq!(
            (seen[0].method.as_str(), seen[0].path.as_str()),
            ("GET", "/version")
        );
        assert!(seen[0].query.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn says_so_when_the_server_refuses_or_is_silent() -> Result<(), CollectError> {
        for (reply, reason) in [
            (Reply::status(403, "Forbidden", "no"), GapReason::Refused),
            (Reply::silence(), GapReason::Deadline),
            (Reply::json("{").then_silence(), GapReason::Deadline),
            (Reply::json("{\"major\":"), GapReason::Malformed),
            (Reply::json("{").then_break(), GapReason::Failed),
        ] {
            let server = Server::start(move |_| reply.clone()).await;
            let (collected, output) = collect(&server).await;
            collected?;
            assert_eq!(output.written().gaps[0].reason, reason);
            assert!(output.contains(&BundlePath::new(ERRORS)?));
        }
        Ok(())
    }
}

mod copy;
mod search;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bundle::BundlePath;
use bundle::manifest::GapReason;
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::config::{self, ConfigError};
use tokio::task::JoinSet;

use crate::cluster::{Cluster, ListError, Listed, segment};
use crate::collector::{
    CollectError, Collector, CollectorKind, Context, Output, Permission, Scope, locked,
};
use crate::foresight::{self, Expected};
use crate::pod_log::{self, AT_ONCE, Extent, ROOT, Window};
use copy::{Work, write_if_free};
use search::{Found, Search};

/// The registry row.
pub(super) const KIND: CollectorKind = CollectorKind {
    name: "logs",
    type_name: "logs",
    scope: Scope::Cluster,
    summary: "The logs of pods, found by their labels",
    docs: DOCS,
    since: "0.1.0",
    parse: |value, meta| {
        let collector_name = meta.name.clone();
        let parsed = config::parse::<Logs>(value)?;
        let extent = extent(&parsed.config)?;
        Ok(parsed.map(|logs| {
            let named = Named {
                collector_name,
                extent,
                logs,
                healthy: Mutex::default(),
            };
            Box::new(named) as Box<dyn Collector>
        }))
    },
    schema: || schemars::schema_for!(Logs).to_value(),
};

const DOCS: &str = "\
# What it collects

The end of the log of every container of the pods that have these labels, init containers too, and of the
container that ran in its place before. Without `limits` that is the last 10,000 lines.

Of a log that is longer than `maxBytes`, or than a budget of the run, the beginning and above all the end are kept, with a
line `*** CUT: … ***` between them that says how much is missing; the manifest says it, too, and a text that is not
found there is unknown. Pods with something wrong come first where there is a budget. Called as `preflight` or
`support-bundle`, it is the API's `limitBytes`, which keeps the oldest, as troubleshoot has it.

A container that has not started, or whose log is gone, has none: that is said, and the others are collected. Logs
come as they are, 8 at a time, until the deadline of a collector, 10 minutes, or of the run.

# Files

- `cluster-resources/pods/logs/<namespace>/<pod>/<container>.log` and `-previous.log`
- `<name>/<pod>/<container>.log` and `-previous.log`: links to these; without a `name`, at the root. Where pods of
  several namespaces have one name, `<pod>.<namespace>` stands for all but the first of them.
- `<name>/<pod>/<container>-errors.json`: why there is no log
- `<name>/errors.json`, `<collectorName>/errors.json` or `errors.json`: why pods could not be listed

# Permissions

- list pods and get pods/log, in the namespace, or cluster-wide where none is named. Where cluster-wide is
  refused, the namespaces that the kubeconfig and the spec name are looked into.

# Example

```yaml
logs:
  name: shop
  namespace: shop
  selector: [app=web]
  limits:
    maxLines: 5000
```
";

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Logs {
    /// The folder of the links; it may hold slashes.
    name: String,
    /// Labels that a pod must all have, `app=web`. Without any it is every pod.
    selector: Vec<String>,
    /// Where to look. Without it, in all namespaces.
    namespace: String,
    /// Only these containers. Without any it is every container of a pod.
    container_names: Vec<String>,
    /// How much of each log. Without it the last 10,000 lines.
    limits: Option<Limits>,
    /// Whether each line begins with its time.
    timestamps: bool,
}

/// How much of a log. The first of `sinceTime`, `maxAge` and the others that is given decides alone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Limits {
    /// Only lines younger than this, `24h`.
    max_age: String,
    /// The last lines, 10,000 where it is 0.
    max_lines: u64,
    /// Only lines since this time, `2026-01-31T08:00:00Z`.
    since_time: String,
    /// The most bytes, 5,000,000 where it is 0. Of a longer log its beginning and its end are kept.
    max_bytes: u64,
    /// How long the reading of one log may take, `30s`; beside any of the others.
    max_time: String,
}

/// The lines and bytes that troubleshoot takes where a spec does not say.
const LINES: u64 = 10_000;
const BYTES: u64 = 5_000_000;

/// How much of each log is asked for.
fn extent(logs: &Logs) -> Result<Extent, ConfigError> {
    let refuse = |field: &str, message: String| ConfigError {
        path: format!("limits.{field}"),
        message,
    };
    let mut extent = Extent {
        window: Window::Lines(LINES),
        bytes: None,
        time: None,
        timestamps: logs.timestamps,
    };
    let Some(limits) = &logs.limits else {
        return Ok(extent);
    };
    if !limits.max_time.is_empty() {
        let time = syntax::duration::parse(&limits.max_time).map_err(|error| error.to_string());
        let time =
            time.and_then(|time| Duration::try_from(time).map_err(|error| error.to_string()));
        extent.time = Some(time.map_err(|error| refuse("maxTime", error))?);
    }
    if !limits.since_time.is_empty() {
        let time = limits.since_time.parse().map_err(|_| {
            let time = &limits.since_time;
            let message = format!("`{time}` is no time: write it like 2026-01-31T08:00:00Z");
            refuse("sinceTime", message)
        })?;
        extent.window = Window::Since(time);
    } else if !limits.max_age.is_empty() {
        let age = syntax::duration::parse(&limits.max_age)
            .map_err(|error| refuse("maxAge", error.to_string()))?;
        // The API takes whole seconds, at least one.
        let rounded = age.as_secs() + i64::from(age.subsec_nanos() > 0);
        extent.window = Window::Seconds(u64::try_from(rounded).unwrap_or(0).max(1));
    } else {
        let or = |given, default| if given == 0 { default } else { given };
        extent.window = Window::Lines(or(limits.max_lines, LINES));
        extent.bytes = Some(or(limits.max_bytes, BYTES));
    }
    Ok(extent)
}

#[derive(Debug)]
struct Named {
    collector_name: String,
    extent: Extent,
    logs: Logs,
    /// The pods that wait until those with something wrong have had their part of a budget, for
    /// [`Collector::collect_last`].
    healthy: Mutex<Vec<Found>>,
}

#[async_trait]
impl Collector for Named {
    fn title(&self) -> String {
        let labels = self.logs.selector.join(",");
        super::title_or_labels(KIND.type_name, &self.collector_name, &labels)
    }

    fn permissions(&self, _namespace: Option<&str>) -> Vec<Permission> {
        let namespace = Some(&self.logs.namespace).filter(|namespace| !namespace.is_empty());
        [("list", "pods"), ("get", "pods/log")]
            .map(|(verb, resource)| Permission {
                verb,
                group: String::new(),
                resource: resource.to_owned(),
                namespace: namespace.cloned(),
                name: None,
            })
            .into()
    }

    fn degrades(&self) -> bool {
        self.logs.namespace.is_empty()
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        self.files_of(&self.logs.namespace)
    }

    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        let files = self.files_of(&self.logs.namespace);
        for glob in &files {
            output.expect(glob);
        }
        let pods = self.pods(context, output).await?;
        if output.left().is_some() {
            let (unhealthy, healthy) = pods.into_iter().partition(|found| found.pod.unhealthy);
            *locked(&self.healthy) = healthy;
            self.copy(unhealthy, context, output).await?;
        } else {
            self.copy(pods, context, output).await?;
        }
        if !self.comes_back() {
            self.all_done(output);
        }
        Ok(())
    }

    async fn foresee(&self, context: &Context) -> Vec<Expected> {
        let Some(cluster) = &context.cluster else {
            return Vec::new();
        };
        let namespace = self.logs.namespace.as_str();
        let labels = self.logs.selector.join(",");
        let query = [("labelSelector", labels.as_str())];
        let place = match namespace {
            "" => "cluster-wide".to_owned(),
            namespace => format!("in namespace {namespace:?}"),
        };
        let what = format!("pods with the labels {labels:?} {place}");
        let path = pods_path(namespace);
        let pods = foresight::counted(cluster, what, &path, &query).await;
        let wanted = self.logs.container_names.len();
        let logs = pod_log::foresee(cluster, &path, &query, wanted, &pods).await;
        let extent = logs
            .logs
            .unwrap_or(0)
            .saturating_mul(self.extent.most(&context.log_budget));
        vec![
            pods,
            Expected {
                bytes: Some(extent),
                ..logs
            },
        ]
    }

    fn comes_back(&self) -> bool {
        !locked(&self.healthy).is_empty()
    }

    async fn collect_last(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        let healthy = std::mem::take(&mut *locked(&self.healthy));
        self.copy(healthy, context, output).await?;
        self.all_done(output);
        Ok(())
    }
}

/// The pods of a namespace, of all where it is empty.
fn pods_path(namespace: &str) -> String {
    match namespace {
        "" => "/api/v1/pods".to_owned(),
        namespace => format!("/api/v1/namespaces/{}/pods", segment(namespace)),
    }
}

/// Waits until one of the pods is done.
async fn next(tasks: &mut JoinSet<Result<(), CollectError>>) -> Result<(), CollectError> {
    match tasks.join_next().await {
        Some(Ok(ended)) => ended,
        Some(Err(error)) => Err(CollectError::Failed(format!(
            "a fault in this program, please report it: {error}"
        ))),
        None => Ok(()),
    }
}

impl Named {
    /// Copies the logs of these pods.
    async fn copy(
        &self,
        pods: Vec<Found>,
        context: &Context,
        output: &Output,
    ) -> Result<(), CollectError> {
        let since = context.logs_since.map(|since| Extent {
            window: Window::Since(since),
            bytes: None,
            ..self.extent
        });
        let work = Arc::new(Work {
            context: context.clone(),
            output: output.clone(),
            name: self.logs.name.clone(),
            containers: self.logs.container_names.clone(),
            extent: since.unwrap_or(self.extent),
        });
        // Each pod on a task of its own: redaction and compression of one log does not wait for another.
        let mut tasks: JoinSet<Result<(), CollectError>> = JoinSet::new();
        for pod in pods {
            if tasks.len() == AT_ONCE {
                next(&mut tasks).await?;
            }
            let work = Arc::clone(&work);
            tasks.spawn(async move { work.pod(&pod).await });
        }
        while !tasks.is_empty() {
            next(&mut tasks).await?;
        }
        Ok(())
    }

    /// Takes back what was announced.
    fn all_done(&self, output: &Output) {
        for glob in self.files_of(&self.logs.namespace) {
            output.done(&glob);
        }
    }

    /// The logs and the links of a namespace's pods, of all where it is empty, as globs.
    fn files_of(&self, namespace: &str) -> Vec<String> {
        let namespace = if namespace.is_empty() { "*" } else { namespace };
        let logs = BundlePath::join([ROOT, namespace, "*/*.log"]);
        let links = BundlePath::join([&self.logs.name, "*/*.log"]);
        logs.into_iter().chain(links).map(String::from).collect()
    }

    /// The pods whose logs are wanted. What cannot be listed is recorded.
    async fn pods(&self, context: &Context, output: &Output) -> Result<Vec<Found>, CollectError> {
        let cluster = context.cluster()?;
        let own = self.logs.namespace.as_str();
        let mut search = Search::default();
        if self.list(cluster, output, own, &mut search).await? == Some(GapReason::Refused)
            && own.is_empty()
        {
            let mut likely = cluster.likely_namespaces();
            likely.extend(context.namespace.clone());
            for namespace in likely {
                self.list(cluster, output, &namespace, &mut search).await?;
            }
        }
        if !search.errors.is_empty() {
            let folder = if self.logs.name.is_empty() {
                &self.collector_name
            } else {
                &self.logs.name
            };
            let path = BundlePath::join([folder, "errors.json"])?;
            write_if_free(output, &path, &search.errors)?;
        } else if search.pods.is_empty() {
            let place = match own {
                "" => "any namespace".to_owned(),
                namespace => format!("namespace {namespace:?}"),
            };
            let labels = self.logs.selector.join(",");
            let none = format!("no pod in {place} has the labels {labels:?}");
            for path in self.files_of(own) {
                output.gap(path, GapReason::Absent, &none);
            }
        }
        Ok(search.pods)
    }

    /// Looks for pods in one namespace, or in all. Why that did not succeed is recorded and returned.
    async fn list(
        &self,
        cluster: &Cluster,
        output: &Output,
        namespace: &str,
        search: &mut Search,
    ) -> Result<Option<GapReason>, CollectError> {
        let path = pods_path(namespace);
        let labels = self.logs.selector.join(",");
        let query = [("labelSelector", labels.as_str())];
        let files = self.files_of(namespace);
        let lacks = |reason: GapReason, detail: &str| {
            for path in &files {
                output.gap(path, reason, detail);
            }
        };
        let each = |pod: &Listed<'_>| {
            if let Err(error) = search.add(pod) {
                lacks(GapReason::Malformed, &error);
                search.errors.push(error);
            }
            Ok(())
        };
        match cluster.list(&path, &query, each).await {
            Ok(_) => Ok(None),
            Err(ListError::Taker(error)) => Err(error),
            Err(ListError::Api(error)) if error.is_total() => Err(error.into()),
            Err(ListError::Api(error)) => {
                lacks(error.gap_reason(), &error.to_string());
                search.errors.push(error.to_string());
                Ok(Some(error.gap_reason()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Timing;
    use crate::collector::Meta;
    use crate::run::{Settings, Stop};
    use crate::testing::{Collected, Reply, Seen, Server, collect, empty_cluster, list};
    use bundle::manifest::Outcome;
    use jiff::Timestamp;
    use serde_json::{Value, json};

    async fn collected(context: &Context, config: &Value) -> Collected {
        let (settings, stop) = (Settings::default(), Stop::default());
        collect(context, "logs", config, &settings, &stop).await
    }

    fn pod(namespace: &str, name: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": namespace},
            "spec": {"nodeName": "n", "initContainers": [{"name": "init"}],
                "containers": [{"name": "main"}, {"name": "side"}]},
            "status": {"containerStatuses": [
                {"name": "main", "restartCount": 2},
                {"name": "side", "restartCount": 0}]}})
    }

    /// Pods in namespace `shop` with logs that say what was asked for.
    fn shop(request: &Seen) -> Reply {
        match request.path.as_str() {
            "/api/v1/namespaces/shop/pods" => {
                assert_eq!(request.query["labelSelector"], "app=web,tier=front");
                Reply::json(list("Pod", [pod("shop", "web-1"), pod("shop", "web-2")]))
            }
            path if path.ends_with("/log") => {
                let run = if request.query.contains_key("previous") {
                    "before"
                } else {
                    "now"
                };
                Reply::json(format!("{} {run}\n", request.query["container"]))
            }
            _ => empty_cluster(request, &["shop"]),
        }
    }

    fn config(extra: &Value) -> Value {
        let mut config =
            json!({"name": "app", "namespace": "shop", "selector": ["app=web", "tier=front"]});
        for (key, value) in extra.as_object().expect("an object") {
            config[key] = value.clone();
        }
        config
    }

    #[tokio::test]
    async fn every_container_has_its_log_and_a_link_to_it() {
        let server = Server::start(shop).await;
        let collected = collected(&server.context(), &config(&json!({}))).await;
        assert_eq!(collected.record.outcome, Outcome::Complete);
        assert!(collected.record.gaps.is_empty());
        let mut expected = Vec::new();
        for folder in ["app", "cluster-resources/pods/logs/shop"] {
            for pod in ["web-1", "web-2"] {
                for (file, text) in [
                    ("init.log", "init now\n"),
                    ("main-previous.log", "main before\n"),
                    ("main.log", "main now\n"),
                    ("side.log", "side now\n"),
                ] {
                    let path = format!("{folder}/{pod}/{file}");
                    assert_eq!(collected.text(&path).as_deref(), Some(text), "{path}");
                    expected.push(path);
                }
            }
        }
        assert_eq!(collected.paths(), expected);
        // One list and a request for each log.
        assert_eq!(collected.record.requests, 9);
    }

    #[tokio::test]
    async fn the_limits_are_those_of_troubleshoot() {
        let since: Timestamp = "2026-01-31T08:00:00.75Z".parse().expect("a time");
        for (extra, since, expected) in [
            (json!({}), None, "tailLines=10000"),
            (json!({"limits": null}), None, "tailLines=10000"),
            (
                json!({"limits": {}}),
                None,
                "limitBytes=5000000 tailLines=10000",
            ),
            (
                json!({"limits": {"maxLines": 7}, "timestamps": true}),
                None,
                "limitBytes=5000000 tailLines=7 timestamps=true",
            ),
            (
                json!({"limits": {"maxBytes": 9}}),
                None,
                "limitBytes=9 tailLines=10000",
            ),
            (
                json!({"limits": {"maxAge": "1h", "maxLines": 7}}),
                None,
                "sinceSeconds=3600",
            ),
            (
                json!({"limits": {"maxAge": "1500ms"}}),
                None,
                "sinceSeconds=2",
            ),
            (json!({"limits": {"maxAge": "0"}}), None, "sinceSeconds=1"),
            (json!({"limits": {"maxAge": "-5s"}}), None, "sinceSeconds=1"),
            (
                json!({"limits": {"sinceTime": "2026-01-01T02:00:00+02:00", "maxAge": "1h"}}),
                None,
                "sinceTime=2026-01-01T00:00:00Z",
            ),
            (
                json!({"limits": {"maxAge": "1h"}}),
                Some(since),
                "sinceTime=2026-01-31T08:00:00Z",
            ),
            (json!({}), Some(since), "sinceTime=2026-01-31T08:00:00Z"),
        ] {
            let server = Server::start(shop).await;
            let mut context = server.context();
            context.logs_since = since;
            let mut extra = extra;
            extra["containerNames"] = json!(["side"]);
            collected(&context, &config(&extra)).await;
            let seen = server.seen();
            let asked = seen.iter().find(|request| request.path.ends_with("/log"));
            let query = &asked.expect("a log is asked for").query;
            let query: Vec<String> = query
                .iter()
                .filter(|(key, _)| *key != "container")
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            assert_eq!(query.join(" "), expected, "{extra}");
        }
    }

    #[test]
    fn limits_that_cannot_be_read_are_named() {
        for (limits, path) in [
            (json!({"maxAge": "30d"}), "limits.maxAge"),
            (json!({"sinceTime": "yesterday"}), "limits.sinceTime"),
            (json!({"maxLines": -1}), "limits.maxLines"),
        ] {
            let config = config(&json!({"limits": limits}));
            let error = (KIND.parse)(&config, &Meta::default()).expect_err("it is refused");
            assert_eq!(error.path, path, "{error}");
        }
    }

    #[test]
    fn titles_and_files_are_those_of_troubleshoot() {
        for (collector_name, extra, title, files) in [
            (
                "mine",
                json!({}),
                "logs/mine",
                ["cluster-resources/pods/logs/shop/*/*.log", "app/*/*.log"],
            ),
            (
                "",
                json!({"name": "kots/app", "namespace": ""}),
                "logs/app=web,tier=front",
                ["cluster-resources/pods/logs/*/*/*.log", "kots/app/*/*.log"],
            ),
            (
                "",
                json!({"name": "", "selector": []}),
                "logs",
                ["cluster-resources/pods/logs/shop/*/*.log", "*/*.log"],
            ),
        ] {
            let meta = Meta {
                name: collector_name.into(),
            };
            let parsed = (KIND.parse)(&config(&extra), &meta).expect("it parses");
            assert_eq!(parsed.config.title(), title);
            assert_eq!(parsed.config.files(None), files);
        }
    }

    #[tokio::test]
    async fn without_a_name_the_links_are_at_the_root() {
        let server = Server::start(shop).await;
        let config = config(&json!({"name": "", "containerNames": ["main", "other"]}));
        let collected = collected(&server.context(), &config).await;
        let text = collected.text("web-1/main.log");
        assert_eq!(text.as_deref(), Some("main now\n"));
        assert!(collected.text("web-1/side.log").is_none());
    }

    #[tokio::test]
    async fn a_log_that_is_not_there_costs_only_itself() {
        let server = Server::start(|request| match request.path.as_str() {
            "/api/v1/namespaces/shop/pods" => {
                let mut pending = pod("shop", "pending");
                let spec = pending["spec"].as_object_mut().expect("an object");
                spec.remove("nodeName");
                pending["status"]["phase"] = json!("Pending");
                let broken =
                    json!({"metadata": {"name": "broken", "namespace": "shop"}, "spec": 1});
                let outside = pod("shop", "..");
                let all = [
                    pod("shop", "gone"),
                    pending,
                    broken,
                    outside,
                    pod("shop", "web-1"),
                ];
                Reply::json(list("Pod", all))
            }
            "/api/v1/namespaces/shop/pods/gone/log" => {
                Reply::status(404, "NotFound", "pods \"gone\" not found")
            }
            path if path.ends_with("/log") => match request.query["container"].as_str() {
                "init" => Reply::status(403, "Forbidden", "pods \"web-1\" is forbidden"),
                "side" => Reply::status(
                    400,
                    "BadRequest",
                    "container \"side\" in pod \"web-1\" is waiting to start",
                ),
                _ if request.query.contains_key("previous") => {
                    Reply::json("first\nsecond").then_break()
                }
                _ => shop(request),
            },
            _ => shop(request),
        })
        .await;
        let collected = collected(&server.context(), &config(&json!({}))).await;
        assert_eq!(collected.record.outcome, Outcome::Partial);
        let text = |path: &str| collected.text(path);
        let errors = |path: &str| collected.json(path).expect(path)[0].to_string();
        for folder in ["app", "cluster-resources/pods/logs/shop"] {
            let reason = |path: &str| collected.gaps(&format!("{folder}/{path}"));
            assert_eq!(reason("gone/main.log"), [GapReason::Absent]);
            assert_eq!(reason("pending/main.log"), [GapReason::Absent]);
            assert_eq!(reason("web-1/side.log"), [GapReason::Absent]);
            assert_eq!(reason("web-1/init.log"), [GapReason::Refused]);
            assert_eq!(reason("web-1/main-previous.log"), [GapReason::Failed]);
            assert_eq!(reason("web-1/main.log"), []);
            let kept = text(&format!("{folder}/web-1/main-previous.log"));
            assert_eq!(kept.as_deref(), Some("first\nsecond"));
            assert!(text(&format!("{folder}/web-1/side.log")).is_none());
        }
        assert!(errors("app/gone/main-errors.json").contains("404"));
        assert!(errors("app/pending/main-errors.json").contains("no node"));
        assert!(errors("app/web-1/side-errors.json").contains("waiting to start"));
        let listing = text("app/errors.json").expect("the malformed pods");
        assert!(
            listing.contains("broken") && listing.contains("\\\"..\\\""),
            "{listing}"
        );
        assert!(
            !server
                .seen()
                .iter()
                .any(|request| request.path.contains("pending"))
        );
    }

    #[tokio::test]
    async fn where_all_namespaces_are_refused_the_likely_ones_are_looked_into() {
        let server = Server::start(|request| match request.path.as_str() {
            "/api/v1/pods" => Reply::status(403, "Forbidden", "pods is forbidden"),
            "/api/v1/namespaces/default/pods" => Reply::status(403, "Forbidden", "not here"),
            _ => shop(request),
        })
        .await;
        let mut context = server.context();
        context.namespace = Some("shop".into());
        let config = config(&json!({"namespace": "", "name": ""}));
        let collected = collected(&context, &config).await;
        assert_eq!(collected.record.outcome, Outcome::Partial);
        assert!(collected.text("web-2/main.log").is_some());
        let everywhere = collected.gaps("cluster-resources/pods/logs/*/*/*.log");
        assert_eq!(everywhere, [GapReason::Refused]);
        let errors = collected.json("errors.json").expect("the errors");
        assert_eq!(errors.as_array().map(Vec::len), Some(2));
    }

    #[tokio::test]
    async fn pods_of_one_name_in_several_namespaces_all_have_links() {
        let server = Server::start(|request| match request.path.as_str() {
            "/api/v1/pods" => Reply::json(list("Pod", [pod("a", "web-0"), pod("b", "web-0")])),
            path if path.ends_with("/log") => Reply::json(path),
            _ => empty_cluster(request, &["a", "b"]),
        })
        .await;
        let collected = collected(&server.context(), &config(&json!({"namespace": ""}))).await;
        assert_eq!(collected.record.outcome, Outcome::Complete);
        for (folder, namespace) in [("web-0", "a"), ("web-0.b", "b")] {
            let text = collected.text(&format!("app/{folder}/main.log"));
            let path = format!("/api/v1/namespaces/{namespace}/pods/web-0/log");
            assert_eq!(text, Some(path));
        }
    }

    #[tokio::test]
    async fn no_pod_is_an_answer() {
        let server = Server::start(|request| empty_cluster(request, &["shop"])).await;
        let collected = collected(&server.context(), &config(&json!({}))).await;
        assert_eq!(collected.record.outcome, Outcome::Complete);
        assert_eq!(collected.gaps("app/*/*.log"), [GapReason::Absent]);
        assert!(collected.paths().is_empty());
    }

    #[tokio::test]
    async fn a_list_that_fails_is_told_where_troubleshoot_tells_it() {
        for (name, collector_name, path) in [
            ("app", "mine", "app/errors.json"),
            ("", "mine", "mine/errors.json"),
            ("", "", "errors.json"),
        ] {
            let meta = Meta {
                name: collector_name.into(),
            };
            let config = config(&json!({"name": name}));
            let named = (KIND.parse)(&config, &meta).expect("it parses").config;
            let server =
                Server::start(|_| Reply::status(400, "BadRequest", "unable to parse")).await;
            let archive = crate::testing::archive();
            let output = Output::new(Arc::clone(&archive));
            named
                .collect(&server.context(), &output)
                .await
                .expect("it ends");
            assert!(
                output.contains(&BundlePath::new(path).expect("a path")),
                "{path}"
            );
        }
    }

    #[tokio::test]
    async fn two_collectors_that_meet_share_the_log_and_have_their_own_links() {
        let server = Server::start(shop).await;
        let output = Output::new(crate::testing::archive());
        let context = server.context();
        let named = |name: &str| {
            let config = config(&json!({"name": name}));
            (KIND.parse)(&config, &Meta::default())
                .expect("it parses")
                .config
        };
        let (one, two, again) = (named("one"), named("two"), named("one"));
        let (one, two, again) = tokio::join!(
            one.collect(&context, &output),
            two.collect(&context, &output),
            again.collect(&context, &output),
        );
        for ended in [one, two, again] {
            ended.expect("none of them fails");
        }
        assert!(output.written().gaps.is_empty());
        // Eight logs, and eight links for each name.
        assert_eq!(output.written().files, 24);
    }

    #[tokio::test]
    async fn logs_are_asked_for_a_few_at_a_time_and_kept_as_far_as_they_came() {
        let numbers = 0..40;
        let pods: Vec<Value> = numbers
            .map(|number| pod("shop", &format!("web-{number}")))
            .collect();
        let server = Server::start(move |request| match request.path.as_str() {
            "/api/v1/namespaces/shop/pods" => Reply::json(list("Pod", pods.clone())),
            // Never ends, so that all that are asked for at once stay.
            path if path.ends_with("/log") => Reply::json("begun").then_silence(),
            _ => shop(request),
        })
        .await;
        let timing = Timing {
            idle: Duration::from_mins(10),
            ..Timing::default()
        };
        let context = crate::testing::context(Some(server.cluster_with(timing)));
        let output = Output::new(crate::testing::archive());
        let config = config(&json!({"containerNames": ["side"]}));
        let parsed = (KIND.parse)(&config, &Meta::default()).expect("it parses");
        let all_begun = async {
            while output.written().bytes < (AT_ONCE * "begun".len()) as u64 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // Time for one more.
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        tokio::select! {
            ended = parsed.config.collect(&context, &output) => panic!("it ended: {ended:?}"),
            () = all_begun => (),
        }
        let seen = server.seen();
        let logs = seen.iter().filter(|request| request.path.ends_with("/log"));
        assert_eq!(logs.count(), AT_ONCE);
        for work in context.cleanups.take() {
            work.await;
        }
        let written = output.written();
        // Each with its link.
        assert_eq!(written.files, 2 * AT_ONCE as u64);
        let outstanding = written.outstanding.expect("it says what is to come");
        assert!(outstanding.contains("app/*/*.log"), "{outstanding:?}");
        // What was cut is named one by one, too.
        assert_eq!(outstanding.len(), AT_ONCE + 2);
    }
}

use std::time::Duration;

use async_trait::async_trait;
use bundle::BundlePath;
use bundle::collected::pod::Pod;
use bundle::manifest::GapReason;
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::config;

use crate::cluster::{Command, ExecError, Exit, Stream};
use crate::collector::{
    CollectError, Collector, CollectorKind, Conduct, Context, KeptFile, Output, Permission, Scope,
};

/// The registry row.
pub(super) const KIND: CollectorKind = CollectorKind {
    name: "exec",
    type_name: "exec",
    scope: Scope::Cluster,
    summary: "What a command prints in a container",
    docs: DOCS,
    since: "0.1.0",
    parse: |value, meta| {
        let name = meta.name.clone();
        let parsed = config::parse::<Exec>(value)?;
        let timeout = super::timeout(&parsed.config.timeout)?;
        Ok(parsed.map(|exec| {
            let named = Named {
                name,
                timeout,
                exec,
            };
            Box::new(named) as Box<dyn Collector>
        }))
    },
    schema: || schemars::schema_for!(Exec).to_value(),
};

const DOCS: &str = "\
# What it collects

What a command prints in a container of the first pod that has the labels. No shell reads the command, unless it
is one. A command that does not end within `timeout`, else within ten minutes, is left to itself; what it printed
until then is in the bundle, and the manifest says that more was to come.

# Files

- `<name>/<namespace>/<pod>/<collectorName or container>-stdout.txt`, `-stderr.txt`: where it printed anything
- `<name>/<namespace>/<pod>/<collectorName or container>-errors.json`: how it failed, its exit code
- `<name>-errors.json`: why no pod was found

# Permissions

- list pods
- create pods/exec and get pods/exec: a command runs over a WebSocket, which is opened with GET

# Example

```yaml
exec:
  collectorName: queue
  name: queue
  namespace: shop
  selector: [app=broker]
  command: [rabbitmqctl, list_queues]
  timeout: 30s
```
";

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Exec {
    /// The folder of the files.
    name: String,
    /// Labels that the pod must all have, `app=web`. The first such pod is taken.
    selector: Vec<String>,
    /// The pod's namespace; without it all are looked through.
    namespace: String,
    /// The container; without it the pod's first.
    container_name: String,
    /// The program and its first arguments.
    command: Vec<String>,
    /// Further arguments.
    args: Vec<String>,
    /// How long it may take, `30s`; without it ten minutes.
    timeout: String,
}

#[derive(Debug)]
struct Named {
    name: String,
    timeout: Option<Duration>,
    exec: Exec,
}

/// The most that is taken from one command, both streams together.
const LONGEST: u64 = 1 << 30;

const MAY_BE_SHORT: &str = "the end may be missing: the output came faster than it could be taken, and container \
    runtimes drop what is left two seconds after a command ends; have the command print less";

#[async_trait]
impl Collector for Named {
    fn title(&self) -> String {
        super::title_or_labels(KIND.type_name, &self.name, &self.exec.selector.join(","))
    }

    fn conduct(&self) -> Conduct {
        Conduct::Acts
    }

    fn permissions(&self, _namespace: Option<&str>) -> Vec<Permission> {
        let namespace = Some(&self.exec.namespace).filter(|name| !name.is_empty());
        let permission = |verb, resource: &str| Permission {
            verb,
            group: String::new(),
            resource: resource.to_owned(),
            namespace: namespace.cloned(),
            name: None,
        };
        vec![
            permission("list", "pods"),
            permission("create", "pods/exec"),
            permission("get", "pods/exec"),
        ]
    }

    fn degrades(&self) -> bool {
        self.exec.namespace.is_empty()
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        let or_any = |text: &str| {
            if text.is_empty() {
                "*".to_owned()
            } else {
                text.to_owned()
            }
        };
        let prefix = self.prefix(&self.exec.container_name);
        let folder = [&self.exec.name, &or_any(&self.exec.namespace), "*"];
        ["stdout.txt", "stderr.txt"]
            .iter()
            .filter_map(|stream| {
                let file = format!("{}-{stream}", or_any(prefix));
                BundlePath::join(folder.into_iter().chain([file.as_str()])).ok()
            })
            .map(String::from)
            .collect()
    }

    fn deadline(&self) -> Option<Duration> {
        self.timeout
    }

    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        let selector = self.exec.selector.join(",");
        let cluster = context.cluster()?;
        let found = cluster.first_pod(
            &self.exec.namespace,
            context.namespace.as_deref(),
            &selector,
        );
        let (reason, missing) = match found.await {
            Ok(Some(pod)) => return self.run(context, output, &pod).await,
            Ok(None) => (
                GapReason::Absent,
                format!("no pod has the labels {selector}"),
            ),
            Err(error) => (error.gap_reason(), error.to_string()),
        };
        for path in self.files(None) {
            output.gap(path, reason, &missing);
        }
        output.json(&self.errors_path()?, &[missing])
    }
}

impl Named {
    /// What the files' names begin with.
    fn prefix<'a>(&'a self, container: &'a str) -> &'a str {
        if self.name.is_empty() {
            container
        } else {
            &self.name
        }
    }

    fn errors_path(&self) -> Result<BundlePath, CollectError> {
        let subject = [&self.exec.name, &self.name]
            .into_iter()
            .find(|name| !name.is_empty());
        let path = subject.map_or("errors.json".to_owned(), |name| {
            format!("{name}-errors.json")
        });
        Ok(BundlePath::join([path])?)
    }

    async fn run(&self, context: &Context, output: &Output, pod: &Pod) -> Result<(), CollectError> {
        let first = pod.spec.containers.first();
        let container = match self.exec.container_name.as_str() {
            "" => first.map_or("", |container| &container.name),
            name => name,
        };
        let path = |what: &str| {
            let file = format!("{}-{what}", self.prefix(container));
            BundlePath::join([
                &self.exec.name,
                &pod.metadata.namespace,
                &pod.metadata.name,
                &file,
            ])
        };
        let arguments: Vec<String> = self
            .exec
            .command
            .iter()
            .chain(&self.exec.args)
            .cloned()
            .collect();
        let command = Command {
            namespace: &pod.metadata.namespace,
            pod: &pod.metadata.name,
            container,
            arguments: &arguments,
        };
        let (stdout, stderr) = (path("stdout.txt")?, path("stderr.txt")?);
        output.expect(stdout.as_str());
        let mut files: [(&BundlePath, Option<KeptFile>); 2] = [(&stdout, None), (&stderr, None)];
        let mut taken = 0_u64;
        let ended = context.cluster()?.exec(&command, |stream, bytes| {
            let (path, file) = &mut files[usize::from(stream == Stream::Err)];
            let left = usize::try_from(LONGEST - taken).unwrap_or(usize::MAX);
            let fitting = &bytes[..bytes.len().min(left)];
            taken += fitting.len() as u64;
            let file = match file {
                Some(file) => file,
                None => file.insert(output.kept_file(path, context)?),
            };
            file.write(fitting)?;
            if fitting.len() < bytes.len() {
                let much = format!("the command printed more than {LONGEST} bytes");
                output.gap(path.as_str(), GapReason::Limit, &much);
                return Err(CollectError::Failed(much));
            }
            Ok(())
        });
        let ended = ended.await;
        let printed = files[0].1.is_some();
        for (_, file) in files {
            file.map_or(Ok(()), |file| file.finish(output))?;
        }
        output.done(stdout.as_str());
        if let Ok(ended) = &ended
            && ended.may_be_short()
        {
            output.gap(stdout.as_str(), GapReason::Failed, MAY_BE_SHORT);
        }
        let failure = match ended {
            Ok(ended) if ended.exit == Exit::Success => return Ok(()),
            Ok(ended) => {
                if !printed {
                    output.gap(stdout.as_str(), GapReason::Failed, &ended.exit);
                }
                ended.exit.to_string()
            }
            Err(ExecError::Api(error)) => {
                output.gap(stdout.as_str(), error.gap_reason(), &error);
                error.to_string()
            }
            Err(ExecError::Taker(_)) if taken == LONGEST => return Ok(()),
            Err(ExecError::Taker(error)) => return Err(error),
        };
        output.json(&path("errors.json")?, &[failure])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::Meta;
    use crate::run::{Settings, Stop};
    use crate::testing::{Collected, Reply, Seen, Server, collect, list, object};
    use bundle::manifest::Outcome;
    use serde_json::{Value, json};

    const SUCCESS: &str = r#"{"metadata":{},"status":"Success"}"#;
    const CODE_7: &str = r#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: exit status 7","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}"#;

    fn pod(namespace: &str) -> Value {
        let mut pod = object(namespace, "web-0");
        pod["spec"] = json!({"containers": [{"name": "main"}, {"name": "proxy"}]});
        pod
    }

    fn config(extra: &Value) -> Value {
        let mut config = json!({"name": "out", "namespace": "shop", "selector": ["app=web"],
            "command": ["sh", "-c"], "args": ["echo hi; sleep 5"]});
        for (key, value) in extra.as_object().expect("an object") {
            config[key] = value.clone();
        }
        config
    }

    /// Runs the collector against a server whose kubelet answers so.
    async fn collected(extra: &Value, kubelet: Reply) -> (Collected, Vec<Seen>) {
        let server = Server::start(move |request| match request.path.as_str() {
            path if path.ends_with("reviews") => Reply::json(json!({"status": {"allowed": true}})),
            path if path.ends_with("/exec") => kubelet.clone(),
            "/api/v1/pods" => Reply::status(403, "Forbidden", "not all namespaces"),
            "/api/v1/namespaces/empty/pods" => Reply::json(list("Pod", [])),
            _ => Reply::json(list("Pod", [pod("shop"), pod("other")])),
        })
        .await;
        let mut context = server.context();
        context.namespace = Some("shop".to_owned());
        let (settings, stop) = (Settings::default(), Stop::default());
        let collected = collect(&context, "exec", &config(extra), &settings, &stop).await;
        (collected, server.seen())
    }

    fn kubelet(frames: &[(u8, &str)]) -> Reply {
        Reply::web_socket(frames)
    }

    #[tokio::test]
    async fn both_streams_are_kept_apart_and_in_order() {
        let frames = [(1, "one\n"), (2, "warn\n"), (1, "two\n"), (3, SUCCESS)];
        let (collected, seen) = collected(&json!({}), kubelet(&frames)).await;
        assert_eq!(collected.record.outcome, Outcome::Complete);
        assert_eq!(collected.record.title, "exec/app=web");
        let text = |name: &str| collected.text(&format!("out/shop/web-0/main-{name}"));
        assert_eq!(text("stdout.txt").as_deref(), Some("one\ntwo\n"));
        assert_eq!(text("stderr.txt").as_deref(), Some("warn\n"));
        assert_eq!(text("errors.json"), None);
        let list = seen
            .iter()
            .find(|request| request.path.ends_with("/pods"))
            .expect("a list");
        assert_eq!(
            (
                list.query["labelSelector"].as_str(),
                list.query["limit"].as_str()
            ),
            ("app=web", "1")
        );
        let exec = seen.last().expect("a request");
        assert_eq!(exec.path, "/api/v1/namespaces/shop/pods/web-0/exec");
        assert_eq!(exec.query["container"], "main");
        assert_eq!(exec.query["stdout"], "true");
        assert!(!exec.query.contains_key("stdin"));
    }

    #[tokio::test]
    async fn a_silent_success_leaves_no_file() {
        let (collected, _) = collected(&json!({}), kubelet(&[(3, SUCCESS)])).await;
        assert_eq!(collected.record.outcome, Outcome::Complete);
        assert_eq!(collected.paths(), [""; 0]);
    }

    #[tokio::test]
    async fn an_exit_code_is_told_and_is_a_gap_where_nothing_was_printed() {
        for (frames, gaps) in [
            (&[(1, "partly\n"), (3, CODE_7)][..], vec![]),
            (&[(3, CODE_7)], vec![GapReason::Failed]),
        ] {
            let (collected, _) =
                collected(&json!({"containerName": "proxy"}), kubelet(frames)).await;
            let errors = collected.json("out/shop/web-0/proxy-errors.json");
            assert_eq!(errors, Some(json!(["command terminated with exit code 7"])));
            assert_eq!(collected.gaps("out/shop/web-0/proxy-stdout.txt"), gaps);
        }
    }

    #[tokio::test]
    async fn a_command_that_never_ends_is_cut_and_keeps_what_came() {
        let frames = [(1, "before\n"), (2, "warned\n")];
        let endless = kubelet(&frames).then_silence();
        let (collected, _) = collected(&json!({"timeout": "300ms"}), endless).await;
        assert_eq!(collected.record.outcome, Outcome::Partial);
        let text = |name: &str| collected.text(&format!("out/shop/web-0/main-{name}"));
        assert_eq!(text("stdout.txt").as_deref(), Some("before\n"));
        assert_eq!(text("stderr.txt").as_deref(), Some("warned\n"));
        assert_eq!(
            collected.gaps("out/shop/web-0/main-stdout.txt"),
            [GapReason::Deadline]
        );
        assert!(
            collected
                .text("collector-errors/exec/app=web-error.json")
                .is_some()
        );
    }

    #[tokio::test]
    async fn a_connection_that_breaks_keeps_what_came() {
        for broken in [
            kubelet(&[(1, "before\n")]),
            kubelet(&[(1, "before\n")]).then_break(),
        ] {
            let (collected, _) = collected(&json!({}), broken).await;
            assert_eq!(
                collected.text("out/shop/web-0/main-stdout.txt").as_deref(),
                Some("before\n")
            );
            assert_eq!(
                collected.gaps("out/shop/web-0/main-stdout.txt"),
                [GapReason::Failed]
            );
            assert!(collected.text("out/shop/web-0/main-errors.json").is_some());
        }
    }

    #[tokio::test]
    async fn a_refusal_is_told() {
        let no = Reply::status(403, "Forbidden", "cannot create pods/exec");
        let (collected, _) = collected(&json!({}), no).await;
        assert_eq!(
            collected.gaps("out/shop/web-0/main-stdout.txt"),
            [GapReason::Refused]
        );
        let errors = collected
            .text("out/shop/web-0/main-errors.json")
            .expect("errors");
        assert!(errors.contains("cannot create pods/exec"), "{errors}");
    }

    #[tokio::test]
    async fn without_a_pod_it_says_so() {
        let (collected, _) = collected(&json!({"namespace": "empty"}), kubelet(&[])).await;
        assert_eq!(
            collected.json("out-errors.json"),
            Some(json!(["no pod has the labels app=web"]))
        );
        assert_eq!(
            collected.gaps("out/empty/*/*-stdout.txt"),
            [GapReason::Absent]
        );
        assert_eq!(collected.record.outcome, Outcome::Complete);
    }

    #[tokio::test]
    async fn without_a_namespace_it_looks_everywhere_and_else_where_the_run_is() {
        let frames = [(1, "x"), (3, SUCCESS)];
        let (collected, seen) = collected(&json!({"namespace": ""}), kubelet(&frames)).await;
        assert!(collected.text("out/shop/web-0/main-stdout.txt").is_some());
        let paths: Vec<_> = seen.iter().map(|request| request.path.as_str()).collect();
        assert_eq!(paths[..2], ["/api/v1/pods", "/api/v1/namespaces/shop/pods"]);
    }

    #[test]
    fn a_timeout_is_a_duration() {
        for (timeout, works) in [
            ("", true),
            ("90s", true),
            ("1m30s", true),
            ("90", false),
            ("0s", false),
            ("-3s", false),
        ] {
            let parsed = (KIND.parse)(&config(&json!({"timeout": timeout})), &Meta::default());
            assert_eq!(parsed.is_ok(), works, "{timeout}");
        }
    }
}

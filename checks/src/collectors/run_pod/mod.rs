use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle::BundlePath;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use syntax::config::{self, ConfigError, Parsed};

use crate::cluster::{ApiError, Cluster};
use crate::collector::{
    CollectError, Collector, CollectorKind, Conduct, Context, Meta, Output, Permission, Scope,
};
use crate::temporary::Temporary;

mod running;
#[cfg(test)]
mod tests;

use running::Running;

/// The registry row.
pub(super) const KIND: CollectorKind = CollectorKind {
    name: "runPod",
    type_name: "run-pod",
    scope: Scope::Cluster,
    summary: "Runs a pod and keeps its log, its state and its events",
    docs: DOCS,
    since: "0.1.0",
    parse,
    schema: || schemars::schema_for!(RunPod).to_value(),
};

const DOCS: &str = "\
# What it collects

Creates a pod, follows its log until its containers have ended, and removes it: also when it fails, when its time
is up, and when the run is interrupted. The pod's name is `collectorName`, else `name`, else `run-pod`; it has the
labels `troubleshoot-role: run-collector` and `assay-run-id`. `podSpec` is used as it is written; where it has no
`activeDeadlineSeconds`, it gets one a minute above `timeout`. A pod whose image cannot be pulled or whose sandbox
cannot be made is given up at once. Without a `timeout` it has 10 minutes.

Of each container in `podSpec` the log is kept, the first 5 MB of it, from at most 10,000 lines before it was
asked for. Where the annotation `kubectl.kubernetes.io/default-container` names one, only that one is waited for.
An exit code that is not 0 is no failure of the collector: it stands in the pod's state.

# Files

- `cluster-resources/pods/logs/<namespace>/<pod>/<container>.log`, and `<container>-previous.log` where it was
  restarted
- `<name>/<pod>.log`: a link to the log of the first container, or of the default one; those of the others are at
  `<name>/<pod>/<container>.log`
- `<name>/<name>.json`: the pod with an empty `spec`
- `<name>/<name>-events.json`: its events

# Permissions

- create pods
- get pods and get pods/log; without them there is no log
- list events; without it there are none
- delete pods; without it the pod stays, and it is said so
- create, get and delete secrets, where `imagePullSecret` has data

# Example

```yaml
runPod:
  collectorName: ping
  name: ping
  namespace: default
  timeout: 30s
  podSpec:
    restartPolicy: Never
    containers:
      - name: ping
        image: busybox:1
        command: [ping, -w, \"5\", replicated.app]
```
";

/// How long a pod has whose spec does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);

/// What creating the pod and asking for its state may take beside its own time.
const BESIDE: Duration = Duration::from_mins(2);

/// By how much the node's deadline for the pod is later than ours: it is for pods whose run was killed.
const NODE_MARGIN: Duration = Duration::from_mins(1);

const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

const DOCKER_CONFIG: &str = ".dockerconfigjson";
const DOCKER_CONFIG_TYPE: &str = "kubernetes.io/dockerconfigjson";

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct RunPod {
    /// The folder of the files in the bundle; the pod's name where there is no `collectorName`.
    name: String,
    /// Where the pod runs, `default` if empty.
    namespace: String,
    /// How long the pod may take, as `30s` or `2m`. 10 minutes if empty.
    timeout: String,
    /// A Secret to pull images with: the name of one that is there, or the data of a temporary one.
    image_pull_secret: Option<ImagePullSecret>,
    /// The pod's `spec`, as Kubernetes has it.
    pod_spec: Map<String, Value>,
    /// The pod's annotations.
    annotations: BTreeMap<String, String>,
    /// Whether an image that cannot be pulled is tried again until the time is up.
    allow_image_pull_retries: bool,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct ImagePullSecret {
    /// The Secret's name. A temporary one has a name of its own where this is empty.
    name: String,
    /// `.dockerconfigjson` in base64, for a temporary Secret.
    data: BTreeMap<String, String>,
    /// `kubernetes.io/dockerconfigjson`, where there is data.
    #[serde(rename = "type")]
    secret_type: String,
}

/// The configuration with what follows from it.
#[derive(Debug)]
struct Named {
    collector_name: String,
    config: RunPod,
    timeout: Duration,
    /// The names of the containers in `podSpec`.
    containers: Vec<String>,
}

fn parse(value: &Value, meta: &Meta) -> Result<Parsed<Box<dyn Collector>>, ConfigError> {
    let Parsed { config, ignored } = config::parse::<RunPod>(value)?;
    let timeout = super::timeout(&config.timeout)?.unwrap_or(DEFAULT_TIMEOUT);
    if let Some(secret) = &config.image_pull_secret {
        secret.check().map_err(|message| ConfigError {
            path: "imagePullSecret".to_owned(),
            message,
        })?;
    }
    let containers = config.pod_spec.get("containers").and_then(Value::as_array);
    let containers = containers.into_iter().flatten();
    let containers = containers.filter_map(|container| container["name"].as_str());
    Ok(Parsed {
        config: Box::new(Named {
            containers: containers.map(str::to_owned).collect(),
            collector_name: meta.name.clone(),
            timeout,
            config,
        }),
        ignored,
    })
}

impl ImagePullSecret {
    fn check(&self) -> Result<(), String> {
        if self.data.is_empty() {
            return if self.name.is_empty() {
                Err("give the name of a Secret, or data and type".to_owned())
            } else {
                Ok(())
            };
        }
        if self.secret_type != DOCKER_CONFIG_TYPE {
            return Err(format!("its type must be {DOCKER_CONFIG_TYPE}"));
        }
        let config = self
            .data
            .get(DOCKER_CONFIG)
            .filter(|_| self.data.len() == 1);
        let config = config.ok_or_else(|| format!("its data must be {DOCKER_CONFIG} alone"))?;
        // Neither error may show what is in it.
        let bytes = STANDARD
            .decode(config)
            .map_err(|_| format!("{DOCKER_CONFIG} is not base64"))?;
        serde_json::from_slice::<Value>(&bytes)
            .map(drop)
            .map_err(|_| format!("{DOCKER_CONFIG} is not JSON"))
    }
}

#[async_trait]
impl Collector for Named {
    fn title(&self) -> String {
        super::title(KIND.type_name, &self.collector_name)
    }

    fn conduct(&self) -> Conduct {
        Conduct::Acts
    }

    fn permissions(&self, namespace: Option<&str>) -> Vec<Permission> {
        let mut permissions = self.required(namespace);
        permissions.extend([
            self.permission("get", "pods"),
            self.permission("get", "pods/log"),
            self.permission("list", "events"),
            self.permission("delete", "pods"),
        ]);
        if self.temporary_secret().is_some() {
            permissions.push(self.permission("get", "secrets"));
            permissions.push(self.permission("delete", "secrets"));
        }
        permissions
    }

    fn required(&self, _namespace: Option<&str>) -> Vec<Permission> {
        let mut required = vec![self.permission("create", "pods")];
        if self.temporary_secret().is_some() {
            required.push(self.permission("create", "secrets"));
        }
        required
    }

    fn images(&self, _context: &Context) -> Vec<String> {
        let lists = ["initContainers", "containers"].map(|list| self.config.pod_spec.get(list));
        let containers = lists
            .into_iter()
            .flatten()
            .filter_map(Value::as_array)
            .flatten();
        let images = containers.filter_map(|container| container["image"].as_str());
        images.map(str::to_owned).collect()
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        let logs = self
            .containers
            .iter()
            .flat_map(|container| [self.log_path(container, ""), self.link_path(container, "")]);
        logs.chain([
            self.details_path(".json"),
            self.details_path("-events.json"),
        ])
        .filter_map(|path| Some(String::from(path.ok()?)))
        .collect()
    }

    fn deadline(&self) -> Option<Duration> {
        Some(self.timeout.saturating_add(BESIDE))
    }

    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        let cluster = context.cluster()?;
        for file in self.files(None) {
            output.expect(file);
        }
        let details = String::from(self.details_path(".json")?);
        let mut spec = self.config.pod_spec.clone();
        if let Some(secret) = self.pull_secret(context, cluster, output, &details).await? {
            let secrets = spec.entry("imagePullSecrets").or_insert(Value::Null);
            match secrets {
                Value::Null => *secrets = json!([{"name": secret}]),
                Value::Array(secrets) => secrets.push(json!({"name": secret})),
                _ => {}
            }
        }
        if spec.get("activeDeadlineSeconds").is_none_or(Value::is_null) {
            let seconds = self.timeout.saturating_add(NODE_MARGIN).as_secs();
            let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
            spec.insert("activeDeadlineSeconds".to_owned(), seconds.into());
        }
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": self.pod(),
                "namespace": self.namespace(),
                "labels": {"troubleshoot-role": "run-collector"},
                "annotations": self.config.annotations,
            },
            "spec": spec,
        });
        let created = Temporary::create(context, cluster, "pods", pod, output, &details).await;
        let created = created.map_err(|error| self.not_created("pod", self.pod(), &error))?;
        let uid = created["metadata"]["uid"].as_str().unwrap_or_default();
        let running = Running::new(self, context, cluster, output, uid);
        let ended = running.to_the_end().await;
        // What is known of the pod is worth most where it failed.
        let told = running.details().await;
        ended.and(told)
    }
}

impl Named {
    fn pod(&self) -> &str {
        [&self.collector_name, &self.config.name]
            .into_iter()
            .find(|name| !name.is_empty())
            .map_or("run-pod", String::as_str)
    }

    fn namespace(&self) -> &str {
        if self.config.namespace.is_empty() {
            "default"
        } else {
            &self.config.namespace
        }
    }

    /// The container whose log is the pod's, as the peer and kubectl choose it.
    fn main(&self) -> Option<&String> {
        let chosen = self.config.annotations.get(DEFAULT_CONTAINER);
        chosen
            .filter(|name| self.containers.contains(name))
            .or(self.containers.first())
    }

    /// Those containers whose end is waited for.
    fn followed(&self) -> impl Iterator<Item = &String> {
        let chosen = self.config.annotations.contains_key(DEFAULT_CONTAINER);
        let is_main = |name: &&String| Some(*name) == self.main();
        let names = self.containers.iter();
        names.filter(move |name| !chosen || is_main(name))
    }

    fn permission(&self, verb: &'static str, resource: &str) -> Permission {
        Permission {
            verb,
            group: String::new(),
            resource: resource.to_owned(),
            namespace: Some(self.namespace().to_owned()),
            name: None,
        }
    }

    fn log_path(&self, container: &str, suffix: &str) -> Result<BundlePath, CollectError> {
        let (namespace, pod) = (self.namespace(), self.pod());
        let path = format!("cluster-resources/pods/logs/{namespace}/{pod}/{container}{suffix}.log");
        Ok(BundlePath::new(path)?)
    }

    fn link_path(&self, container: &str, suffix: &str) -> Result<BundlePath, CollectError> {
        let file = if self.main().is_some_and(|main| main == container) {
            format!("{}{suffix}.log", self.pod())
        } else {
            format!("{}/{container}{suffix}.log", self.pod())
        };
        Ok(BundlePath::join([&self.config.name, &file])?)
    }

    fn details_path(&self, suffix: &str) -> Result<BundlePath, CollectError> {
        let name = &self.config.name;
        Ok(BundlePath::join([name, &format!("{name}{suffix}")])?)
    }

    fn temporary_secret(&self) -> Option<&ImagePullSecret> {
        let secret = self.config.image_pull_secret.as_ref();
        secret.filter(|secret| !secret.data.is_empty())
    }

    /// The name of the Secret to pull with, which is there from here on.
    async fn pull_secret(
        &self,
        context: &Context,
        cluster: &Arc<Cluster>,
        output: &Output,
        file: &str,
    ) -> Result<Option<String>, CollectError> {
        let Some(configured) = &self.config.image_pull_secret else {
            return Ok(None);
        };
        let name = if configured.name.is_empty() {
            format!("troubleshoot-{}", context.run_id)
        } else {
            configured.name.clone()
        };
        if let Some(secret) = self.temporary_secret() {
            let object = json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": name,
                    "namespace": self.namespace(),
                    "labels": {"app.kubernetes.io/managed-by": "troubleshoot.sh"},
                },
                "type": secret.secret_type,
                "data": secret.data,
            });
            let created =
                Temporary::create(context, cluster, "secrets", object, output, file).await;
            created.map_err(|error| self.not_created("secret", &name, &error))?;
        }
        Ok(Some(name))
    }

    fn not_created(&self, noun: &str, name: &str, error: &ApiError) -> CollectError {
        let advice = if error.is_conflict() {
            let namespace = self.namespace();
            format!(
                "; it is not ours: kubectl delete --namespace {namespace} {noun} {name}, or choose another name"
            )
        } else {
            String::new()
        };
        let text = format!("cannot create the {noun} {name}: {error}{advice}");
        if error.is_refused() {
            CollectError::Refused(text)
        } else {
            CollectError::Failed(text)
        }
    }
}

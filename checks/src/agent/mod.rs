//! A collector that runs in a pod of this same program, because what it asks is asked from inside the cluster
//! (`from: pod`).
//!
//! The pod writes a bundle, the caller reads a bundle. [`placed`] wraps such a collector for the harness; the
//! wrapper makes the pod and hands it a `request::Request` in a Secret. In the pod [`carry_out`] runs the harness with
//! the one collector and prints its redacted bundle (`answer.rs`), which the caller reads as it reads any stranger's,
//! and copies into the run's.

mod answer;
mod inside;
mod pod;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

pub use inside::carry_out;

use crate::collector::{
    CollectError, Collector, CollectorKind, Conduct, Context, Meta, Output, Permission,
};
use crate::foresight::Expected;
use request::Request;

/// How long it may take until the pod runs: a node is found, the image pulled.
const START: Duration = Duration::from_mins(3);

/// How long a collector has that does not say so itself.
const DEFAULT_DEADLINE: Duration = Duration::from_mins(5);

/// What creating, asking and reading may take beside the pod's own time.
const BESIDE: Duration = Duration::from_mins(1);

/// `from` in a collector's configuration: where it looks from.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum From {
    /// The machine on which this program runs.
    #[default]
    Here,
    /// A pod of this program in the cluster (`--agent-image`).
    Pod,
}

impl From {
    /// The place that this means: a pod is in the collector's `own` namespace, else in that of the run, else in
    /// `default`.
    #[must_use]
    pub fn place(self, own: &str, run: Option<&str>) -> Place {
        match self {
            Self::Here => Place::Here,
            Self::Pod => {
                let own = Some(own).filter(|own| !own.is_empty());
                Place::Pod {
                    namespace: own.or(run).unwrap_or("default").to_owned(),
                }
            }
        }
    }
}

/// Where a collector runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In this process.
    Here,
    /// In a pod.
    Pod {
        /// The pod's namespace.
        namespace: String,
    },
}

/// The image of this program from which pods are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// As a container's `image`. `assay` is on its PATH.
    pub name: String,
    /// The Secret in the pod's namespace to pull it with.
    pub pull_secret: Option<String>,
}

/// `collector` as the harness is to run it: itself, or a wrapper that runs it in a pod.
#[must_use]
pub fn placed(
    kind: &'static CollectorKind,
    meta: Meta,
    collector: Arc<dyn Collector>,
) -> Arc<dyn Collector> {
    match collector.place(None) {
        Place::Here => collector,
        Place::Pod { .. } => Arc::new(InPod {
            kind,
            meta,
            collector,
        }),
    }
}

/// Requests for a pod that starts and ends as it should: two to create, two to remove, and what is asked in between.
const REQUESTS: u64 = 10;

/// A collector that runs in a pod.
#[derive(Debug)]
struct InPod {
    kind: &'static CollectorKind,
    meta: Meta,
    collector: Arc<dyn Collector>,
}

#[async_trait]
impl Collector for InPod {
    fn title(&self) -> String {
        self.collector.title()
    }

    /// It creates objects.
    fn conduct(&self) -> Conduct {
        Conduct::Acts
    }

    fn permissions(&self, namespace: Option<&str>) -> Vec<Permission> {
        let mut permissions = self.collector.permissions(namespace);
        permissions.extend(self.own_permissions(namespace));
        permissions.push(self.permission("list", "events", namespace));
        permissions
    }

    /// All but the events, which only explain: what cannot be removed again is not made.
    fn required(&self, namespace: Option<&str>) -> Vec<Permission> {
        let mut required = self.collector.required(namespace);
        required.extend(self.own_permissions(namespace));
        required
    }

    fn files(&self, namespace: Option<&str>) -> Vec<String> {
        self.collector.files(namespace)
    }

    fn cleans_up(&self) -> bool {
        self.collector.cleans_up()
    }

    async fn foresee(&self, context: &Context) -> Vec<Expected> {
        let run = context.namespace.as_deref();
        let mut expected = self.collector.foresee(context).await;
        expected.push(Expected {
            what: format!(
                "a pod and its Secret in namespace {:?}, made, watched and removed",
                self.namespace(run)
            ),
            requests: REQUESTS,
            ..Expected::default()
        });
        expected
    }

    fn images(&self, context: &Context) -> Vec<String> {
        let image = context.agent_image.iter();
        image.map(|image| image.name.clone()).collect()
    }

    fn deadline(&self) -> Option<Duration> {
        Some(self.time().saturating_add(START).saturating_add(BESIDE))
    }

    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        let run = context.namespace.as_deref();
        let files = self.files(run);
        for file in &files {
            output.expect(file);
        }
        let image = context.agent_image.as_ref().ok_or_else(|| {
            CollectError::Failed(
                "no image of assay is named for pods: pass --agent-image IMAGE or set ASSAY_AGENT_IMAGE"
                    .to_owned(),
            )
        })?;
        let Some(config) = self.collector.portable(context, output).await? else {
            for file in &files {
                output.done(file);
            }
            return Ok(());
        };
        let request = Request {
            protocol: request::PROTOCOL,
            collector: self.kind.name.to_owned(),
            name: self.meta.name.clone(),
            config,
            namespace: context.namespace.clone(),
            run_id: context.run_id.clone(),
            salt: context.salt.bytes(),
            writes: context.writes,
            seconds: self.time().as_secs().max(1),
        };
        let pod = pod::AgentPod {
            namespace: &self.namespace(run),
            name: &pod::name(&context.run_id, &self.title()),
            image,
            start: START,
            time: self.time(),
            // Where it is told that the pod or its Secret is left.
            file: files.first().map_or("", String::as_str),
        };
        let archive = pod.ask(&request, context, output).await?;
        answer::copy(archive, &files, output)
    }
}

impl InPod {
    /// How long the collector itself has.
    fn time(&self) -> Duration {
        self.collector.deadline().unwrap_or(DEFAULT_DEADLINE)
    }

    fn namespace(&self, run: Option<&str>) -> String {
        match self.collector.place(run) {
            Place::Pod { namespace } => namespace,
            Place::Here => run.unwrap_or("default").to_owned(),
        }
    }

    fn own_permissions(&self, run: Option<&str>) -> Vec<Permission> {
        let needed = [
            ("create", "pods"),
            ("get", "pods"),
            ("get", "pods/log"),
            ("delete", "pods"),
            ("create", "secrets"),
            ("get", "secrets"),
            ("delete", "secrets"),
        ];
        let needed = needed.into_iter();
        needed
            .map(|(verb, resource)| self.permission(verb, resource, run))
            .collect()
    }

    fn permission(&self, verb: &'static str, resource: &str, run: Option<&str>) -> Permission {
        Permission {
            verb,
            group: String::new(),
            resource: resource.to_owned(),
            namespace: Some(self.namespace(run)),
            name: None,
        }
    }
}

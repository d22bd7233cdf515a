//! A pod that was created: waiting for it, its logs, its state and its events.

use std::sync::Arc;
use std::time::Duration;

use bundle::BundlePath;
use bundle::collected::pod::Pod;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::Named;
use crate::cluster::{Answer, ApiError, Cluster};
use crate::collector::{CollectError, Context, KeptFile, Output};
use crate::started_pod::{StartedPod, describe, has_run, restarts, statuses};

/// How long the pod's state may lag behind the end of its log.
const LAG: Duration = Duration::from_secs(10);

/// Logs that are followed at once; each holds a connection.
const AT_ONCE: usize = 8;

const MAX_BYTES: u64 = 5_000_000;

const LIMITS: [(&str, &str); 2] = [("tailLines", "10000"), ("limitBytes", "5000000")];

/// The pod once it was created.
pub(super) struct Running<'a> {
    named: &'a Named,
    context: &'a Context,
    output: &'a Output,
    pod: StartedPod<'a>,
}

impl<'a> Running<'a> {
    pub(super) fn new(
        named: &'a Named,
        context: &'a Context,
        cluster: &'a Arc<Cluster>,
        output: &'a Output,
        uid: &str,
    ) -> Self {
        let (namespace, name) = (named.namespace(), named.pod());
        let pod = StartedPod::new(cluster, namespace, name, uid, named.timeout);
        Self {
            pod: pod.waiting_for_image(named.config.allow_image_pull_retries),
            named,
            context,
            output,
        }
    }

    /// Waits for the pod and keeps its logs.
    pub(super) async fn to_the_end(&self) -> Result<(), CollectError> {
        let pod = self.pod.started().await?;
        let names = self.named.followed();
        let follows: Vec<_> = names.map(|name| self.follow(name, &pod)).collect();
        let follows = futures::stream::iter(follows).buffer_unordered(AT_ONCE);
        let ends: Vec<Result<(), CollectError>> = follows.collect().await;
        self.remaining_logs().await?;
        ends.into_iter().collect()
    }

    /// Keeps a container's log from now until the container has ended.
    async fn follow(&self, container: &str, pod: &Pod) -> Result<(), CollectError> {
        let before = restarts(pod, container);
        if pod.status.phase == "Failed" && !has_run(pod, container) {
            let plight = describe(pod);
            return Err(self
                .pod
                .failed(&format!("ended before container {container} ran: {plight}")));
        }
        if before > 0 {
            self.keep(container, true).await?;
        }
        let mut answer =
            match timeout_at(self.pod.deadline(), self.pod.live_log(container, &LIMITS)).await {
                Ok(answer) => answer?,
                Err(_) => return Err(self.pod.late(&describe(pod))),
            };
        let mut log = Log::open(self, container, "")?;
        let copied = timeout_at(self.pod.deadline(), log.copy(&mut answer)).await;
        let Ok(copied) = copied else {
            log.finish()?;
            return Err(self.pod.late(&format!("container {container} still runs")));
        };
        if log.bytes >= MAX_BYTES {
            return log.finish();
        }
        let copied = copied?;
        let end = Instant::now();
        match self.pod.has_ended(container, before).await {
            Err(error) => {
                log.finish()?;
                Err(error)
            }
            Ok(_) if copied.is_ok() && end.elapsed() <= LAG => log.finish(),
            // The connection ended before the container did.
            Ok(restarted) => match self.pod.log(container, restarted, &LIMITS).await {
                Ok(mut answer) => {
                    log.start_over()?;
                    let copied = log.copy(&mut answer).await?;
                    log.finish()?;
                    Ok(copied?)
                }
                Err(error) => {
                    let path = self.named.log_path(container, "")?;
                    self.output.gap(path.as_str(), error.gap_reason(), error);
                    log.finish()
                }
            },
        }
    }

    /// Keeps the logs of the containers that were not waited for: initial ones, and those that the cluster added.
    async fn remaining_logs(&self) -> Result<(), CollectError> {
        let Ok(pod) = self.pod.object::<Pod>().await else {
            return Ok(());
        };
        for status in statuses(&pod) {
            let followed = self.named.followed().any(|name| *name == status.name);
            if !followed && has_run(&pod, &status.name) {
                self.keep(&status.name, false).await?;
            }
        }
        Ok(())
    }

    /// Keeps what there is of a log.
    async fn keep(&self, container: &str, previous: bool) -> Result<(), CollectError> {
        let suffix = if previous { "-previous" } else { "" };
        let copied = match self.pod.log(container, previous, &LIMITS).await {
            Ok(mut answer) => {
                let mut log = Log::open(self, container, suffix)?;
                let copied = log.copy(&mut answer).await?;
                log.finish()?;
                copied
            }
            Err(error) => Err(error),
        };
        if let Err(error) = copied {
            let path = self.named.log_path(container, suffix)?;
            self.output.gap(path.as_str(), error.gap_reason(), error);
        }
        Ok(())
    }

    /// Writes the pod's state and its events.
    pub(super) async fn details(&self) -> Result<(), CollectError> {
        let pod = self.pod.object::<Value>().await;
        self.detail(".json", pod, |pod| {
            pod["spec"] = json!({"containers": null});
        })?;
        let events = self.pod.event_list::<Value>().await;
        self.detail("-events.json", events, |events| {
            for event in events["items"].as_array_mut().into_iter().flatten() {
                without_type(event);
            }
        })
    }

    fn detail(
        &self,
        suffix: &str,
        document: Result<Value, ApiError>,
        change: impl FnOnce(&mut Value),
    ) -> Result<(), CollectError> {
        let path = self.named.details_path(suffix)?;
        match document {
            Ok(mut document) => {
                without_type(&mut document);
                change(&mut document);
                self.output.json(&path, &document)?;
            }
            Err(error) => self.output.gap(path.as_str(), error.gap_reason(), error),
        }
        self.output.done(path.as_str());
        Ok(())
    }
}

/// A log on its way into the bundle, where it is as far as it came even when the run is ended.
struct Log<'a> {
    running: &'a Running<'a>,
    file: KeptFile,
    path: BundlePath,
    link: BundlePath,
    bytes: u64,
}

impl<'a> Log<'a> {
    fn open(running: &'a Running<'a>, container: &str, suffix: &str) -> Result<Self, CollectError> {
        let path = running.named.log_path(container, suffix)?;
        let link = running.named.link_path(container, suffix)?;
        let file = running.output.kept_file(&path, running.context)?;
        // First of all, so that what is cut can be found.
        running.output.link(&link, &path)?;
        Ok(Self {
            file,
            link,
            running,
            path,
            bytes: 0,
        })
    }

    /// Forgets what came, for an answer that brings all of it.
    fn start_over(&mut self) -> Result<(), CollectError> {
        self.file.discard();
        self.file = self
            .running
            .output
            .kept_file(&self.path, self.running.context)?;
        self.bytes = 0;
        Ok(())
    }

    /// Takes an answer to its end; the inner error is that of the connection.
    async fn copy(&mut self, answer: &mut Answer) -> Result<Result<(), ApiError>, CollectError> {
        loop {
            match answer.chunk().await {
                Ok(None) => return Ok(Ok(())),
                Ok(Some(chunk)) => {
                    self.bytes += chunk.len() as u64;
                    self.file.write(&chunk)?;
                }
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    fn finish(self) -> Result<(), CollectError> {
        let output = self.running.output;
        self.file.finish(output)?;
        output.done(self.link.as_str());
        Ok(())
    }
}

/// As Go writes an object of a known type, without what changes with each write.
fn without_type(object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
    }
}

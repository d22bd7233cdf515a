//! A pod that was created: waiting for it, its logs, its state and its events.

use std::sync::Arc;
use std::time::Duration;

use bundle::BundlePath;
use bundle::collected::event::Event;
use bundle::collected::pod::{ContainerStatus, Pod};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Named;
use crate::cluster::{Answer, ApiError, Cluster, segment};
use crate::collector::{CollectError, Context, KeptFile, Output};

/// Between two looks at the pod.
const POLL: Duration = Duration::from_secs(1);

/// How long the pod's state may lag behind the end of its log.
const LAG: Duration = Duration::from_secs(10);

/// Logs that are followed at once; each holds a connection.
const AT_ONCE: usize = 8;

const MAX_BYTES: u64 = 5_000_000;

const LIMITS: [(&str, &str); 2] = [("tailLines", "10000"), ("limitBytes", "5000000")];

/// `reason`s of a waiting container that cannot get its image, and whether another try may help.
const NO_IMAGE: [(&str, bool); 5] = [
    ("ErrImagePull", true),
    ("ImagePullBackOff", true),
    ("RegistryUnavailable", true),
    ("ErrImageNeverPull", false),
    ("InvalidImageName", false),
];

/// The pod once it was created.
pub(super) struct Running<'a> {
    named: &'a Named,
    context: &'a Context,
    cluster: &'a Arc<Cluster>,
    output: &'a Output,
    path: String,
    log: String,
    events: String,
    /// What selects the pod's events.
    selector: String,
    deadline: Instant,
}

#[derive(Deserialize)]
struct Events {
    #[serde(default)]
    items: Vec<Event>,
}

impl<'a> Running<'a> {
    pub(super) fn new(
        named: &'a Named,
        context: &'a Context,
        cluster: &'a Arc<Cluster>,
        output: &'a Output,
        uid: &str,
    ) -> Self {
        let (namespace, pod) = (segment(named.namespace()), segment(named.pod()));
        Self {
            path: format!("/api/v1/namespaces/{namespace}/pods/{pod}"),
            log: format!("/api/v1/namespaces/{namespace}/pods/{pod}/log"),
            events: format!("/api/v1/namespaces/{namespace}/events"),
            selector: format!(
                "involvedObject.name={},involvedObject.uid={uid}",
                named.pod()
            ),
            deadline: Instant::now() + named.timeout,
            named,
            context,
            cluster,
            output,
        }
    }

    /// Waits for the pod and keeps its logs.
    pub(super) async fn to_the_end(&self) -> Result<(), CollectError> {
        let pod = self.started().await?;
        let names = self.named.followed();
        let follows: Vec<_> = names.map(|name| self.follow(name, &pod)).collect();
        let follows = futures::stream::iter(follows).buffer_unordered(AT_ONCE);
        let ends: Vec<Result<(), CollectError>> = follows.collect().await;
        self.remaining_logs().await?;
        ends.into_iter().collect()
    }

    /// The pod when it runs or has ended.
    async fn started(&self) -> Result<Pod, CollectError> {
        let mut events_refused = false;
        let mut plight = String::new();
        loop {
            let pod: Pod = match timeout_at(self.deadline, self.cluster.json(&self.path, &[])).await
            {
                Ok(pod) => pod.map_err(|error| self.lost(error))?,
                Err(_) => return Err(self.late(&plight)),
            };
            if matches!(
                pod.status.phase.as_str(),
                "Running" | "Succeeded" | "Failed"
            ) {
                return Ok(pod);
            }
            plight = describe(&pod);
            if statuses(&pod).any(|status| self.has_no_image(status)) {
                return Err(self.failed(&format!("cannot start: {plight}")));
            }
            if !events_refused && is_being_created(&pod) {
                match self.sandbox_failure().await {
                    Ok(None) => {}
                    Ok(Some(message)) => {
                        return Err(self.failed(&format!("cannot start: {message}")));
                    }
                    Err(_) => events_refused = true,
                }
            }
            self.pause(&plight).await?;
        }
    }

    fn has_no_image(&self, status: &ContainerStatus) -> bool {
        let reason = status.state.waiting.as_ref().map(|it| it.reason.as_str());
        NO_IMAGE.iter().any(|(without, may_come)| {
            reason == Some(without) && !(*may_come && self.named.config.allow_image_pull_retries)
        })
    }

    async fn sandbox_failure(&self) -> Result<Option<String>, ApiError> {
        let query = [("fieldSelector", self.selector.as_str()), ("limit", "500")];
        let events: Events = self.cluster.json(&self.events, &query).await?;
        let mut events = events.items.into_iter();
        let failure = events.find(|event| event.reason == "FailedCreatePodSandBox");
        Ok(failure.map(|event| format!("{}: {}", event.reason, event.message)))
    }

    /// Waits a little, or says that the time is up.
    async fn pause(&self, plight: &str) -> Result<(), CollectError> {
        let next = Instant::now() + POLL;
        if next >= self.deadline {
            sleep_until(self.deadline).await;
            return Err(self.late(plight));
        }
        sleep_until(next).await;
        Ok(())
    }

    /// Keeps a container's log from now until the container has ended.
    async fn follow(&self, container: &str, pod: &Pod) -> Result<(), CollectError> {
        let before = restarts(pod, container);
        if pod.status.phase == "Failed" && !has_run(pod, container) {
            let plight = describe(pod);
            return Err(self.failed(&format!("ended before container {container} ran: {plight}")));
        }
        if before > 0 {
            self.keep(container, true).await?;
        }
        let mut answer = match timeout_at(self.deadline, self.live_log(container)).await {
            Ok(answer) => answer?,
            Err(_) => return Err(self.late(&describe(pod))),
        };
        let mut log = Log::open(self, container, "")?;
        let copied = timeout_at(self.deadline, log.copy(&mut answer)).await;
        let Ok(copied) = copied else {
            log.finish()?;
            return Err(self.late(&format!("container {container} still runs")));
        };
        if log.bytes >= MAX_BYTES {
            return log.finish();
        }
        let copied = copied?;
        let end = Instant::now();
        match self.has_ended(container, before).await {
            Err(error) => {
                log.finish()?;
                Err(error)
            }
            Ok(_) if copied.is_ok() && end.elapsed() <= LAG => log.finish(),
            // The connection ended before the container did.
            Ok(restarted) => match self.log(container, restarted).await {
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

    /// Waits until a container has ended, and tells whether it was started again.
    async fn has_ended(&self, container: &str, before: i32) -> Result<bool, CollectError> {
        let plight = format!("container {container} still runs");
        loop {
            let pod: Pod = match timeout_at(self.deadline, self.cluster.json(&self.path, &[])).await
            {
                Ok(pod) => pod.map_err(|error| self.lost(error))?,
                Err(_) => return Err(self.late(&plight)),
            };
            if restarts(&pod, container) > before {
                return Ok(true);
            }
            let mut statuses = statuses(&pod).filter(|status| status.name == container);
            if matches!(pod.status.phase.as_str(), "Succeeded" | "Failed")
                || statuses.any(|status| status.state.terminated.is_some())
            {
                return Ok(false);
            }
            self.pause(&plight).await?;
        }
    }

    /// Keeps the logs of the containers that were not waited for: initial ones, and those that the cluster added.
    async fn remaining_logs(&self) -> Result<(), CollectError> {
        let Ok(pod) = self.cluster.json::<Pod>(&self.path, &[]).await else {
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
        let copied = match self.log(container, previous).await {
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

    async fn log(&self, container: &str, previous: bool) -> Result<Answer, ApiError> {
        let mut query = query(container);
        query.extend(previous.then_some(("previous", "true")));
        self.cluster.get(&self.log, &query).await
    }

    async fn live_log(&self, container: &str) -> Result<Answer, ApiError> {
        let mut query = query(container);
        query.push(("follow", "true"));
        let pause = self.named.timeout;
        self.cluster.follow(&self.log, &query, pause).await
    }

    /// Writes the pod's state and its events.
    pub(super) async fn details(&self) -> Result<(), CollectError> {
        let pod = self.cluster.json::<Value>(&self.path, &[]).await;
        self.detail(".json", pod, |pod| {
            pod["spec"] = json!({"containers": null});
        })?;
        let query = [("fieldSelector", self.selector.as_str()), ("limit", "500")];
        let events = self.cluster.json::<Value>(&self.events, &query).await;
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

    fn failed(&self, what: &str) -> CollectError {
        let (namespace, pod) = (self.named.namespace(), self.named.pod());
        CollectError::Failed(format!("pod {pod} in namespace {namespace} {what}"))
    }

    fn lost(&self, error: ApiError) -> CollectError {
        if error.is_absent() {
            self.failed("was removed by somebody else before it had ended")
        } else {
            error.into()
        }
    }

    fn late(&self, plight: &str) -> CollectError {
        let (namespace, pod) = (self.named.namespace(), self.named.pod());
        let limit = self.named.timeout.as_secs_f64();
        CollectError::Deadline(format!(
            "pod {pod} in namespace {namespace} did not end within {limit} s: {plight}"
        ))
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

/// The container and how much of its log.
fn query(container: &str) -> Vec<(&str, &str)> {
    let mut query = vec![("container", container)];
    query.extend(LIMITS);
    query
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = &pod.status;
    status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
}

fn restarts(pod: &Pod, container: &str) -> i32 {
    statuses(pod)
        .find(|status| status.name == container)
        .map_or(0, |status| status.restart_count)
}

fn has_run(pod: &Pod, container: &str) -> bool {
    statuses(pod).any(|status| {
        let state = &status.state;
        let now = state.running.is_some() || state.terminated.is_some();
        status.name == container && (now || status.last_state.terminated.is_some())
    })
}

fn is_being_created(pod: &Pod) -> bool {
    statuses(pod).any(|status| {
        let waiting = status.state.waiting.as_ref();
        waiting
            .is_some_and(|it| matches!(it.reason.as_str(), "ContainerCreating" | "PodInitializing"))
    })
}

/// Why a pod does not get on, in its own words.
fn describe(pod: &Pod) -> String {
    let waiting = statuses(pod).find_map(|status| {
        let waiting = status.state.waiting.as_ref()?;
        let told = !matches!(
            waiting.reason.as_str(),
            "ContainerCreating" | "PodInitializing"
        );
        told.then_some((status, waiting))
    });
    let (mut text, message) = if let Some((status, waiting)) = waiting {
        let text = format!("container {} waits: {}", status.name, waiting.reason);
        (text, waiting.message.clone())
    } else {
        let status = pod.status_reason();
        (status.reason, status.message)
    };
    for message in [message, pod.status.message.clone()] {
        if !message.is_empty() {
            text.push_str(": ");
            text.push_str(&message);
        }
    }
    text
}

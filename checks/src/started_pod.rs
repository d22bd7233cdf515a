//! A pod that was created: waiting until it runs, until a container of it has ended, and asking for what it says.
//! What the collector `runPod` and collectors that run in a pod share.

use std::sync::Arc;
use std::time::Duration;

use bundle::collected::event::Event;
use bundle::collected::pod::{ContainerStatus, Pod};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::cluster::{Answer, ApiError, Cluster, segment};
use crate::collector::CollectError;

/// Between two looks at the pod.
const POLL: Duration = Duration::from_secs(1);

/// `reason`s of a waiting container that cannot get its image, and whether another try may help.
const NO_IMAGE: [(&str, bool); 5] = [
    ("ErrImagePull", true),
    ("ImagePullBackOff", true),
    ("RegistryUnavailable", true),
    ("ErrImageNeverPull", false),
    ("InvalidImageName", false),
];

/// How many warnings of a pod are told.
const WARNINGS: usize = 3;

/// The pod.
pub(crate) struct StartedPod<'a> {
    cluster: &'a Arc<Cluster>,
    namespace: &'a str,
    name: &'a str,
    path: String,
    log: String,
    events: String,
    /// What selects the pod's events.
    selector: String,
    limit: Duration,
    deadline: Instant,
    /// Whether an image that cannot be pulled is waited for.
    waits_for_image: bool,
}

#[derive(Deserialize)]
struct Events {
    #[serde(default)]
    items: Vec<Event>,
}

impl<'a> StartedPod<'a> {
    /// The pod of this name and `uid`, which from now on has `limit` to end.
    pub(crate) fn new(
        cluster: &'a Arc<Cluster>,
        namespace: &'a str,
        name: &'a str,
        uid: &str,
        limit: Duration,
    ) -> Self {
        let (namespaced, pod) = (segment(namespace), segment(name));
        Self {
            path: format!("/api/v1/namespaces/{namespaced}/pods/{pod}"),
            log: format!("/api/v1/namespaces/{namespaced}/pods/{pod}/log"),
            events: format!("/api/v1/namespaces/{namespaced}/events"),
            selector: format!("involvedObject.name={name},involvedObject.uid={uid}"),
            deadline: Instant::now() + limit,
            limit,
            waits_for_image: false,
            cluster,
            namespace,
            name,
        }
    }

    /// The same pod, whose image may be pulled again and again until the time is up.
    pub(crate) fn waiting_for_image(mut self, waits: bool) -> Self {
        self.waits_for_image = waits;
        self
    }

    /// From now on it has this long.
    pub(crate) fn gets(&mut self, limit: Duration) {
        self.limit = limit;
        self.deadline = Instant::now() + limit;
    }

    /// When its time is up.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The pod when it runs or has ended.
    pub(crate) async fn started(&self) -> Result<Pod, CollectError> {
        let mut events_refused = false;
        let mut plight = String::new();
        loop {
            let pod = self.look(&plight).await?;
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

    /// Waits until a container has ended, and tells whether it was started again: more often than `before`.
    pub(crate) async fn has_ended(
        &self,
        container: &str,
        before: i32,
    ) -> Result<bool, CollectError> {
        let plight = format!("container {container} still runs");
        loop {
            let pod = self.look(&plight).await?;
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

    /// The pod as it is now.
    async fn look(&self, plight: &str) -> Result<Pod, CollectError> {
        match timeout_at(self.deadline, self.cluster.json(&self.path, &[])).await {
            Ok(pod) => pod.map_err(|error| self.lost(error)),
            Err(_) => Err(self.late(plight)),
        }
    }

    fn has_no_image(&self, status: &ContainerStatus) -> bool {
        let reason = status.state.waiting.as_ref().map(|it| it.reason.as_str());
        NO_IMAGE.iter().any(|(without, may_come)| {
            reason == Some(without) && !(*may_come && self.waits_for_image)
        })
    }

    async fn sandbox_failure(&self) -> Result<Option<String>, ApiError> {
        let mut events = self.told().await?.into_iter();
        let failure = events.find(|event| event.reason == "FailedCreatePodSandBox");
        Ok(failure.map(|event| format!("{}: {}", event.reason, event.message)))
    }

    /// The latest warnings about the pod, for people; empty where there are none or they may not be read.
    pub(crate) async fn warnings(&self) -> String {
        let events = self.told().await.unwrap_or_default();
        let warnings = events.iter().filter(|event| event.kind == "Warning");
        let mut texts: Vec<String> = warnings
            .map(|event| format!("{}: {}", event.reason, event.message))
            .collect();
        texts.dedup();
        texts
            .split_off(texts.len().saturating_sub(WARNINGS))
            .join("; ")
    }

    async fn told(&self) -> Result<Vec<Event>, ApiError> {
        self.event_list().await.map(|events: Events| events.items)
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

    /// The pod as the API has it, typed or not.
    pub(crate) async fn object<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        self.cluster.json(&self.path, &[]).await
    }

    /// Its events, typed or not.
    pub(crate) async fn event_list<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let query = [("fieldSelector", self.selector.as_str()), ("limit", "500")];
        self.cluster.json(&self.events, &query).await
    }

    /// What a container has said, or the one before it; `extent` is how much, as the API's parameters.
    pub(crate) async fn log(
        &self,
        container: &str,
        previous: bool,
        extent: &[(&str, &str)],
    ) -> Result<Answer, ApiError> {
        let mut query = vec![("container", container)];
        query.extend(extent);
        query.extend(previous.then_some(("previous", "true")));
        self.cluster.get(&self.log, &query).await
    }

    /// What a container says, as it does, from its start to its end.
    pub(crate) async fn live_log(
        &self,
        container: &str,
        extent: &[(&str, &str)],
    ) -> Result<Answer, ApiError> {
        let mut query = vec![("container", container), ("follow", "true")];
        query.extend(extent);
        self.cluster.follow(&self.log, &query, self.limit).await
    }

    pub(crate) fn failed(&self, what: &str) -> CollectError {
        let (namespace, pod) = (self.namespace, self.name);
        CollectError::Failed(format!("pod {pod} in namespace {namespace} {what}"))
    }

    fn lost(&self, error: ApiError) -> CollectError {
        if error.is_absent() {
            self.failed("was removed by somebody else before it had ended")
        } else {
            error.into()
        }
    }

    pub(crate) fn late(&self, plight: &str) -> CollectError {
        let (namespace, pod) = (self.namespace, self.name);
        let limit = self.limit.as_secs_f64();
        CollectError::Deadline(format!(
            "pod {pod} in namespace {namespace} did not end within {limit} s: {plight}"
        ))
    }
}

pub(crate) fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = &pod.status;
    status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
}

pub(crate) fn restarts(pod: &Pod, container: &str) -> i32 {
    statuses(pod)
        .find(|status| status.name == container)
        .map_or(0, |status| status.restart_count)
}

pub(crate) fn has_run(pod: &Pod, container: &str) -> bool {
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
pub(crate) fn describe(pod: &Pod) -> String {
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

//! A container's log on its way from the API into the bundle: what the collectors `clusterResources` and `logs`
//! share.

use bundle::collected::pod::Pod;
use bundle::manifest::GapReason;
use bundle::{BundlePath, WriteError};
use http::StatusCode;

use crate::cluster::{Answer, ApiError, Cause, Cluster, segment};
use crate::collector::{CollectError, Context, Output};

/// Where the logs of all pods lie, whoever asked for them: `<namespace>/<pod>/<container>.log`.
pub(crate) const ROOT: &str = "cluster-resources/pods/logs";

/// Logs that a collector asks for at once.
pub(crate) const AT_ONCE: usize = 8;

/// What is needed of a pod to ask for its logs.
#[derive(Debug)]
pub(crate) struct LoggedPod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The containers, and after them the init containers.
    pub(crate) containers: Vec<LoggedContainer>,
    /// Whether no node has taken it.
    unscheduled: bool,
}

/// What is needed of a container.
#[derive(Debug, Clone)]
pub(crate) struct LoggedContainer {
    pub(crate) name: String,
    /// Whether there was a container in its place before it, which may have left a log.
    pub(crate) ran_before: bool,
}

impl From<Pod> for LoggedPod {
    fn from(pod: Pod) -> Self {
        let status = &pod.status;
        let containers = pod.spec.containers.iter().chain(&pod.spec.init_containers);
        let containers = containers.map(|container| {
            let mut statuses = status
                .container_statuses
                .iter()
                .chain(&status.init_container_statuses);
            let status = statuses.find(|status| status.name == container.name);
            LoggedContainer {
                name: container.name.clone(),
                ran_before: status.is_some_and(|status| {
                    status.restart_count > 0 || status.last_state.terminated.is_some()
                }),
            }
        });
        Self {
            containers: containers.collect(),
            unscheduled: pod.spec.node_name.is_empty() && status.phase == "Pending",
            namespace: pod.metadata.namespace,
            name: pod.metadata.name,
        }
    }
}

/// One container's log.
pub(crate) struct Log<'a> {
    pub(crate) context: &'a Context,
    pub(crate) output: &'a Output,
    pub(crate) pod: &'a LoggedPod,
    pub(crate) container: &'a str,
    /// How much of it, as the API's parameters.
    pub(crate) extent: &'a [(&'static str, String)],
}

impl Log<'_> {
    /// Where the log, or that of the container before, lies.
    pub(crate) fn path(&self, previous: bool) -> Result<BundlePath, CollectError> {
        self.beside(if previous { "-previous.log" } else { ".log" })
    }

    /// A file of this container among the logs.
    pub(crate) fn beside(&self, suffix: &str) -> Result<BundlePath, CollectError> {
        let file = format!("{}{suffix}", self.container);
        let (namespace, name) = (&self.pod.namespace, &self.pod.name);
        Ok(BundlePath::join([ROOT, namespace, name, &file])?)
    }

    /// Copies the log, or that of the container before, into its file, unless another collector did, and makes
    /// `link` lead there. What is missing is recorded as a gap and told. An error is one that would meet every
    /// log.
    pub(crate) async fn copy(
        &self,
        previous: bool,
        link: Option<&BundlePath>,
    ) -> Result<Option<String>, CollectError> {
        let path = self.path(previous)?;
        if self.output.contains(&path) {
            return self.link(link, &path);
        }
        let missing = |reason, detail: String| {
            for path in [Some(&path), link].into_iter().flatten() {
                self.output.gap(path.as_str(), reason, &detail);
            }
            Ok(Some(detail))
        };
        if self.pod.unscheduled {
            let detail = "no node has taken this pod: it has no logs".to_owned();
            return missing(GapReason::Absent, detail);
        }
        let mut answer = match self.ask(self.context.cluster()?, previous).await {
            Ok(answer) => answer,
            // A node that does not answer is no reason to doubt the others.
            Err(error) if error.is_total() && !matches!(error.cause, Cause::Deadline(_)) => {
                return Err(error.into());
            }
            Err(error) => return missing(reason(&error), error.to_string()),
        };
        let file = self.output.kept_file_if_free(&path, self.context)?;
        // First of all, so that what is cut can be found.
        self.link(link, &path)?;
        let Some(mut file) = file else {
            return Ok(None);
        };
        let ended = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => file.write(&chunk)?,
                Ok(None) => break Ok(None),
                Err(error) => break missing(error.gap_reason(), error.to_string()),
            }
        };
        file.finish(self.output)?;
        ended
    }

    /// Makes the link, unless it is there: the same log may be asked for twice under one name.
    fn link(
        &self,
        link: Option<&BundlePath>,
        path: &BundlePath,
    ) -> Result<Option<String>, CollectError> {
        match link.map_or(Ok(()), |link| self.output.link(link, path)) {
            Err(CollectError::Output(WriteError::Taken { .. })) => Ok(None),
            linked => linked.map(|()| None),
        }
    }

    async fn ask(&self, cluster: &Cluster, previous: bool) -> Result<Answer, ApiError> {
        let (namespace, name) = (segment(&self.pod.namespace), segment(&self.pod.name));
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/log");
        let mut query = vec![("container", self.container)];
        query.extend(
            self.extent
                .iter()
                .map(|(key, value)| (*key, value.as_str())),
        );
        if previous {
            query.push(("previous", "true"));
        }
        cluster.get(&path, &query).await
    }
}

/// The API answers 400 for a container that has not started or is not of this pod, and for a log that is gone.
fn reason(error: &ApiError) -> GapReason {
    match error.status() {
        Some(StatusCode::BAD_REQUEST) => GapReason::Absent,
        _ => error.gap_reason(),
    }
}

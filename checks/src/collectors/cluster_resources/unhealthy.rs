//! The logs of pods that are not healthy: the end of each container's log, and of its predecessor's.

use std::sync::Arc;

use bundle::BundlePath;
use bundle::collected::pod::Pod;
use futures::TryStreamExt;

use super::ROOT;
use crate::cluster::{ApiError, Cluster, segment};
use crate::collector::{CollectError, Output};

/// What is needed of a pod to ask for its logs.
#[derive(Debug)]
pub(super) struct UnhealthyPod {
    namespace: String,
    name: String,
    /// A pod that no node has taken has no logs.
    scheduled: bool,
    /// Name, and whether it ran before.
    containers: Vec<(String, bool)>,
}

impl From<Pod> for UnhealthyPod {
    fn from(pod: Pod) -> Self {
        let status = &pod.status;
        let statuses = || {
            status
                .init_container_statuses
                .iter()
                .chain(&status.container_statuses)
        };
        let ran_before = |name: &str| {
            statuses()
                .find(|status| status.name == name)
                .is_some_and(|status| {
                    status.restart_count > 0 || status.last_state.terminated.is_some()
                })
        };
        let containers = pod.spec.init_containers.iter().chain(&pod.spec.containers);
        Self {
            containers: containers
                .map(|container| (container.name.clone(), ran_before(&container.name)))
                .collect(),
            namespace: pod.metadata.namespace,
            name: pod.metadata.name,
            scheduled: !pod.spec.node_name.is_empty(),
        }
    }
}

/// The lines and bytes that troubleshoot takes of each.
const LIMITS: [(&str, &str); 2] = [("tailLines", "500"), ("limitBytes", "5000000")];

/// Logs that are asked for at once.
const AT_ONCE: usize = 8;

pub(super) async fn collect(
    cluster: &Arc<Cluster>,
    output: &Output,
    pods: Vec<UnhealthyPod>,
) -> Result<(), CollectError> {
    let glob = format!("{ROOT}/pods/logs/**");
    output.expect(glob.clone());
    // A pod's containers one after the other, several pods at once.
    futures::stream::iter(pods.into_iter().map(Ok::<_, CollectError>))
        .try_for_each_concurrent(AT_ONCE, |pod| async move {
            for (container, ran_before) in &pod.containers {
                let log = Log {
                    cluster,
                    output,
                    pod: &pod,
                    container,
                };
                log.collect(*ran_before).await?;
            }
            Ok(())
        })
        .await?;
    output.done(&glob);
    Ok(())
}

struct Log<'a> {
    cluster: &'a Cluster,
    output: &'a Output,
    pod: &'a UnhealthyPod,
    container: &'a str,
}

impl Log<'_> {
    async fn collect(&self, ran_before: bool) -> Result<(), CollectError> {
        let current = self.path(".log")?;
        // A `logs` collector was here before, with limits of its own.
        if !self.output.contains(&current) {
            if self.pod.scheduled {
                self.copy(&current, false).await?;
            } else {
                self.note("no node has taken this pod: it has no logs")?;
            }
        }
        let previous = self.path("-previous.log")?;
        if ran_before && !self.output.contains(&previous) {
            self.copy(&previous, true).await?;
        }
        Ok(())
    }

    fn path(&self, suffix: &str) -> Result<BundlePath, CollectError> {
        let (namespace, name) = (&self.pod.namespace, &self.pod.name);
        let path = format!(
            "{ROOT}/pods/logs/{namespace}/{name}/{}{suffix}",
            self.container
        );
        Ok(BundlePath::new(path)?)
    }

    fn note(&self, text: &str) -> Result<(), CollectError> {
        let path = self.path("-logs-errors.log")?;
        if self.output.contains(&path) {
            return Ok(());
        }
        self.output.write(&path, text.as_bytes())
    }

    async fn copy(&self, path: &BundlePath, previous: bool) -> Result<(), CollectError> {
        let (namespace, name) = (&self.pod.namespace, &self.pod.name);
        let (at, of) = (segment(namespace), segment(name));
        let target = format!("/api/v1/namespaces/{at}/pods/{of}/log");
        let mut query = vec![("container", self.container)];
        query.extend(LIMITS);
        if previous {
            query.push(("previous", "true"));
        }
        let mut answer = match self.cluster.get(&target, &query).await {
            Ok(answer) => answer,
            Err(error) => return self.failed(path, &error),
        };
        let mut file = self.output.file(path)?;
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => file.write(&chunk)?,
                Ok(None) => return file.finish(),
                Err(error) => {
                    // What came is worth keeping.
                    file.finish()?;
                    return self.failed(path, &error);
                }
            }
        }
    }

    fn failed(&self, path: &BundlePath, error: &ApiError) -> Result<(), CollectError> {
        self.output.gap(path.as_str(), error.gap_reason(), error);
        self.note(&error.to_string())
    }
}

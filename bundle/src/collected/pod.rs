//! `cluster-resources/pods/<namespace>.json`: pods, the reason `kubectl get pods` shows for them, and whether
//! they are healthy. The collector of unhealthy pods' logs and the analyzer of pod statuses share this rule.

use std::fmt::Write as _;

use serde::{Deserialize, Deserializer};

use super::node::Condition;
use super::{list, or_default, tight};

/// A pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Name, namespace and the mark of deletion.
    pub metadata: PodMetadata,
    /// Its containers' names.
    pub spec: PodSpec,
    /// How it fares.
    pub status: PodStatus,
}

/// The part of a pod's `ObjectMeta` that its status depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodMetadata {
    /// The pod's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Set while it is being deleted.
    pub deletion_timestamp: Option<String>,
}

/// `PodSpec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    /// Where it runs, empty while it is pending.
    pub node_name: String,
    /// Containers that run before the others, and native sidecars.
    #[serde(deserialize_with = "list")]
    pub init_containers: Vec<Container>,
    /// The containers.
    #[serde(deserialize_with = "list")]
    pub containers: Vec<Container>,
}

/// `Container`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    /// The container's name.
    pub name: String,
    /// `Always` makes an init container a native sidecar.
    pub restart_policy: Option<String>,
}

/// `PodStatus`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// Set by the kubelet and the node controller: `Evicted`, `NodeLost`.
    pub reason: String,
    /// The sentence to that reason.
    pub message: String,
    /// `Ready`, and of `PodScheduled` and their kin those that are not true: a healthy pod's say nothing.
    #[serde(deserialize_with = "telling")]
    pub conditions: Vec<Condition>,
    /// One per init container, in their order.
    #[serde(deserialize_with = "list")]
    pub init_container_statuses: Vec<ContainerStatus>,
    /// One per container.
    #[serde(deserialize_with = "list")]
    pub container_statuses: Vec<ContainerStatus>,
}

/// `ContainerStatus`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStatus {
    /// The container's name.
    pub name: String,
    /// Whether it passes its readiness probe.
    pub ready: bool,
    /// How often it was restarted.
    pub restart_count: i32,
    /// What it does now.
    pub state: ContainerState,
    /// How its previous run ended.
    pub last_state: ContainerState,
}

/// `ContainerState`: at most one of the three. Most containers run, for which no room is kept to say why they do not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// Not started yet, or waiting to be started again.
    pub waiting: Option<Box<Waiting>>,
    /// Running.
    pub running: Option<Running>,
    /// Ended.
    pub terminated: Option<Box<Terminated>>,
}

/// `ContainerStateWaiting`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// `CrashLoopBackOff`, `ImagePullBackOff`.
    pub reason: String,
    /// The sentence to it.
    pub message: String,
}

/// `ContainerStateRunning`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Running {}

/// `ContainerStateTerminated`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Terminated {
    /// The process' exit code.
    pub exit_code: i32,
    /// The signal that ended it, 0 for none.
    pub signal: i32,
    /// `Completed`, `Error`, `OOMKilled`.
    pub reason: String,
    /// What the container said in its termination message.
    pub message: String,
}

fn telling<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Condition>, D::Error> {
    let all: Vec<Condition> = or_default(deserializer)?;
    let telling = all
        .into_iter()
        .filter(|condition| condition.kind == "Ready" || condition.status != "True");
    Ok(tight(telling.collect()))
}

/// Why a pod is as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusReason {
    /// The word in the STATUS column of `kubectl get pods`: `Running`, `Init:0/1`, `CrashLoopBackOff`.
    pub reason: String,
    /// What is known about it, often empty: termination messages, exit codes, the scheduler's sentence.
    pub message: String,
}

impl Pod {
    /// The reason that `kubectl get pods` shows. Fact: `printPod` of kubectl's printers, with troubleshoot's
    /// additions for the message.
    #[must_use]
    pub fn status_reason(&self) -> StatusReason {
        let status = &self.status;
        let mut reason = if status.reason.is_empty() {
            status.phase.clone()
        } else {
            status.reason.clone()
        };
        let mut message = String::new();
        if let Some((initializing, last)) = self.initializing() {
            reason = initializing;
            message.push_str(last);
        } else {
            self.containers_reason(&mut reason, &mut message);
            for condition in &status.conditions {
                if condition.kind == "PodScheduled" && condition.status == "False" {
                    message.push_str(&condition.message);
                }
            }
        }
        if self.metadata.deletion_timestamp.is_some() {
            let word = if status.reason == "NodeLost" {
                "Unknown"
            } else {
                "Terminating"
            };
            word.clone_into(&mut reason);
        }
        StatusReason { reason, message }
    }

    /// Whether somebody should look at the pod: it is pending, failed or lost, its reason is neither
    /// `Running` nor `Completed`, or it runs with a container that is not ready.
    #[must_use]
    pub fn is_unhealthy(&self) -> bool {
        if matches!(self.status.phase.as_str(), "Failed" | "Pending" | "Unknown") {
            return true;
        }
        match self.status_reason().reason.as_str() {
            "Completed" => false,
            "Running" => self.status.container_statuses.iter().any(|it| !it.ready),
            _ => true,
        }
    }

    /// The reason while an init container has not done its work, and its last termination message.
    fn initializing(&self) -> Option<(String, &str)> {
        for (index, container) in self.status.init_container_statuses.iter().enumerate() {
            let state = &container.state;
            let reason = match (&state.terminated, &state.waiting) {
                (Some(terminated), _) if terminated.exit_code == 0 => continue,
                (Some(terminated), _) => format!("Init:{}", terminated.word()),
                (None, Some(waiting))
                    if !waiting.reason.is_empty() && waiting.reason != "PodInitializing" =>
                {
                    format!("Init:{}", waiting.reason)
                }
                _ if state.running.is_some() && self.is_native_sidecar(index) => continue,
                _ => format!("Init:{index}/{}", self.spec.init_containers.len()),
            };
            let last = container
                .last_state
                .terminated
                .as_ref()
                .map_or("", |terminated| terminated.message.as_str());
            return Some((reason, last));
        }
        None
    }

    fn is_native_sidecar(&self, index: usize) -> bool {
        self.spec
            .init_containers
            .get(index)
            .is_some_and(|container| container.restart_policy.as_deref() == Some("Always"))
    }

    /// The reason of the first container, in the pod's order, that has one to give.
    fn containers_reason(&self, reason: &mut String, message: &mut String) {
        let mut has_running = false;
        for container in self.status.container_statuses.iter().rev() {
            let state = &container.state;
            match (&state.waiting, &state.terminated) {
                (Some(waiting), _) if !waiting.reason.is_empty() => {
                    reason.clone_from(&waiting.reason);
                    if let Some(last) = &container.last_state.terminated {
                        if last.message.is_empty() {
                            // Writing to a String cannot fail.
                            let _ = write!(message, "ExitCode:{}", last.exit_code);
                        } else {
                            message.push_str(&last.message);
                        }
                    }
                }
                (_, Some(terminated)) => {
                    *reason = terminated.word();
                    if !terminated.reason.is_empty() {
                        let _ = write!(message, "ExitCode:{}", terminated.exit_code);
                    }
                }
                _ => has_running |= container.ready && state.running.is_some(),
            }
        }
        if reason == "Completed" && has_running {
            let ready = self
                .status
                .conditions
                .iter()
                .any(|condition| condition.kind == "Ready" && condition.status == "True");
            let word = if ready { "Running" } else { "NotReady" };
            word.clone_into(reason);
        }
    }
}

impl Terminated {
    /// The reason, or in its absence the signal or the exit code.
    fn word(&self) -> String {
        if !self.reason.is_empty() {
            self.reason.clone()
        } else if self.signal != 0 {
            format!("Signal:{}", self.signal)
        } else {
            format!("ExitCode:{}", self.exit_code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (what, pod, reason, message, unhealthy)
    const CASES: &[(&str, &str, &str, &str, bool)] = &[
        (
            "running and ready",
            r#"{"status":{"phase":"Running","containerStatuses":[{"ready":true,"state":{"running":{}}}]}}"#,
            "Running",
            "",
            false,
        ),
        (
            "running, a container not ready",
            r#"{"status":{"phase":"Running","containerStatuses":[{"ready":true,"state":{"running":{}}},{"ready":false,"state":{"running":{}}}]}}"#,
            "Running",
            "",
            true,
        ),
        (
            "completed",
            r#"{"status":{"phase":"Succeeded","containerStatuses":[{"state":{"terminated":{"exitCode":0,"reason":"Completed"}}}]}}"#,
            "Completed",
            "ExitCode:0",
            false,
        ),
        (
            "crash loop",
            r#"{"status":{"phase":"Running","containerStatuses":[{"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"exitCode":1}}}]}}"#,
            "CrashLoopBackOff",
            "ExitCode:1",
            true,
        ),
        (
            "crash loop with a termination message",
            r#"{"status":{"phase":"Running","containerStatuses":[{"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"exitCode":1,"message":"no such host"}}}]}}"#,
            "CrashLoopBackOff",
            "no such host",
            true,
        ),
        (
            "killed by a signal, no reason given",
            r#"{"status":{"phase":"Running","containerStatuses":[{"state":{"terminated":{"signal":9}}}]}}"#,
            "Signal:9",
            "",
            true,
        ),
        (
            "ended with a code, no reason given",
            r#"{"status":{"phase":"Running","containerStatuses":[{"state":{"terminated":{"exitCode":3}}}]}}"#,
            "ExitCode:3",
            "",
            true,
        ),
        (
            "one container completed, one runs, pod ready",
            r#"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}],"containerStatuses":[{"ready":true,"state":{"terminated":{"reason":"Completed"}}},{"ready":true,"state":{"running":{}}}]}}"#,
            "Running",
            "ExitCode:0",
            false,
        ),
        (
            "one container completed, one runs, pod not ready",
            r#"{"status":{"phase":"Running","containerStatuses":[{"state":{"terminated":{"reason":"Completed"}}},{"ready":true,"state":{"running":{}}}]}}"#,
            "NotReady",
            "ExitCode:0",
            true,
        ),
        (
            "the first container's reason wins",
            r#"{"status":{"phase":"Running","containerStatuses":[{"state":{"waiting":{"reason":"ImagePullBackOff"}}},{"state":{"waiting":{"reason":"CrashLoopBackOff"}}}]}}"#,
            "ImagePullBackOff",
            "",
            true,
        ),
        (
            "pending, not scheduled",
            r#"{"status":{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","message":"0/1 nodes are available"}]}}"#,
            "Pending",
            "0/1 nodes are available",
            true,
        ),
        (
            "init container waits",
            r#"{"spec":{"initContainers":[{},{}]},"status":{"phase":"Pending","initContainerStatuses":[{"state":{"terminated":{"exitCode":0}}},{"state":{"waiting":{"reason":"PodInitializing"}}}]}}"#,
            "Init:1/2",
            "",
            true,
        ),
        (
            "init container crashes",
            r#"{"spec":{"initContainers":[{}]},"status":{"phase":"Pending","initContainerStatuses":[{"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"message":"no wget"}}}]}}"#,
            "Init:CrashLoopBackOff",
            "no wget",
            true,
        ),
        (
            "init container failed",
            r#"{"spec":{"initContainers":[{}]},"status":{"phase":"Failed","initContainerStatuses":[{"state":{"terminated":{"exitCode":2}}}]}}"#,
            "Init:ExitCode:2",
            "",
            true,
        ),
        (
            "init container killed",
            r#"{"spec":{"initContainers":[{}]},"status":{"phase":"Failed","initContainerStatuses":[{"state":{"terminated":{"exitCode":137,"signal":9}}}]}}"#,
            "Init:Signal:9",
            "",
            true,
        ),
        (
            "init container failed with a reason",
            r#"{"spec":{"initContainers":[{}]},"status":{"phase":"Failed","initContainerStatuses":[{"state":{"terminated":{"exitCode":2,"reason":"Error"}}}]}}"#,
            "Init:Error",
            "",
            true,
        ),
        (
            "native sidecar runs",
            r#"{"spec":{"initContainers":[{"restartPolicy":"Always"}]},"status":{"phase":"Running","initContainerStatuses":[{"state":{"running":{}}}],"containerStatuses":[{"ready":true,"state":{"running":{}}}]}}"#,
            "Running",
            "",
            false,
        ),
        (
            "ordinary init container runs",
            r#"{"spec":{"initContainers":[{}]},"status":{"phase":"Pending","initContainerStatuses":[{"state":{"running":{}}}]}}"#,
            "Init:0/1",
            "",
            true,
        ),
        (
            "evicted",
            r#"{"status":{"phase":"Failed","reason":"Evicted","message":"low on memory"}}"#,
            "Evicted",
            "",
            true,
        ),
        (
            "being deleted",
            r#"{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"},"status":{"phase":"Running"}}"#,
            "Terminating",
            "",
            true,
        ),
        (
            "being deleted on a lost node",
            r#"{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"},"status":{"phase":"Running","reason":"NodeLost"}}"#,
            "Unknown",
            "",
            true,
        ),
        ("nothing known", "{}", "", "", true),
    ];

    #[test]
    fn reasons_and_health() -> Result<(), serde_json::Error> {
        for (what, text, reason, message, unhealthy) in CASES {
            let pod: Pod = serde_json::from_str(text)?;
            let got = pod.status_reason();
            assert_eq!(
                (got.reason.as_str(), got.message.as_str()),
                (*reason, *message),
                "{what}"
            );
            assert_eq!(pod.is_unhealthy(), *unhealthy, "{what}");
        }
        Ok(())
    }
}

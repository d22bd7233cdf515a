//! `clusterContainerStatuses`: every container, against the reasons for which it waits or ended.

use bundle::Files;
use bundle::collected::ListOrArray;
use bundle::collected::pod::{ContainerStatus, Pod};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{Documents, counted, unmasked};
use crate::finding::{Finding, Icon, Judgement, NotEvaluated, Verdict};
use crate::message::render_struct;
use crate::outcome::{Branch, Operator, Outcome, bad_condition, words};
use crate::pod;

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "No container waits or ended for a reason that it should not",
    docs: docs::<ClusterContainerStatuses>,
    since: "0.1.0",
    needs: &["clusterResources"],
    parse: parse::<ClusterContainerStatuses>,
    schema: schema::<ClusterContainerStatuses>,
};

const NAME: &str = "clusterContainerStatuses";
const FOLDER: &str = "cluster-resources/pods";
const ICON: Icon = Icon {
    key: "kubernetes_container_statuses",
    file: "kubernetes.svg?w=16&h=16",
};

/// No container waits or ended for a reason that it should not.
///
/// # What it checks
/// The containers, init containers among them, of the pods of `namespaces`, or of all namespaces, that were restarted
/// `restartCount` times or more: why they wait (`CrashLoopBackOff`), why they ended (`OOMKilled`, `Error`), and why they
/// ended the last time before they were restarted.
///
/// # When it warns or fails
/// `when` is `== <reason>`, which holds for each container that has the reason, or `!= <reason>`, which holds for each
/// pod that has no container with it; upper and lower case are the same. Every outcome is looked at, and each container or
/// pod for which it holds gives a finding. An outcome without `when` speaks where none before it did, and ends the list;
/// where some of the pods could not be read it says nothing. Messages are templates with `Namespace`, `PodName`,
/// `ContainerName`, `Ready`, `RestartCount` and `Message`.
///
/// # What to do
/// `kubectl -n NAMESPACE describe pod NAME` shows reasons and exit codes, `kubectl -n NAMESPACE logs NAME --previous` what
/// the container said before it ended. The bundle has both.
///
/// # Needs
/// The collector `clusterResources` (always added), which lists `pods` in each namespace. A namespace that may not be
/// read is unknown, the others are judged.
///
/// # Example
/// ```yaml
/// clusterContainerStatuses:
///   namespaces:
///     - shop
///   restartCount: 1
///   outcomes:
///     - fail:
///         when: "== OOMKilled"
///         message: "{{ .ContainerName }} of {{ .Namespace }}/{{ .PodName }} ran out of memory."
///     - pass:
///         message: No container ran out of memory.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct ClusterContainerStatuses {
    /// The conditions and what to say.
    outcomes: Vec<Outcome>,
    /// The namespaces to look at; all where none is given.
    namespaces: Vec<String>,
    /// Containers that were restarted less often are not looked at.
    restart_count: i32,
}

impl Analyzer for ClusterContainerStatuses {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or("Cluster Container Status")
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let documents = Documents::<ListOrArray<Pod>>::read(files, FOLDER, &self.namespaces)?;
        let mut judgement = Judgement {
            findings: Vec::new(),
            not_evaluated: documents.unseen,
        };
        for (verdict, branch) in self.outcomes.iter().filter_map(Outcome::branch) {
            if branch.when.is_empty() {
                if judgement == Judgement::default() {
                    judgement.add(Ok(self.final_word(verdict, branch, meta)));
                }
                break;
            }
            let (operator, wanted) = match condition(&branch.when) {
                Ok(condition) => condition,
                Err(reason) => {
                    judgement.add(Err(reason));
                    break;
                }
            };
            for (path, pods) in &documents.read {
                for pod in &pods.items {
                    match self.matches(operator, wanted, pod) {
                        Ok(matches) => judgement.findings.extend(matches.iter().map(|found| {
                            let said = Finding::of(verdict, branch);
                            self.finding(said, pod, found, path, meta)
                        })),
                        Err(reason) => judgement.add(Err(reason)),
                    }
                }
            }
        }
        Ok(judgement)
    }
}

/// A container for which a condition holds.
struct Match<'a> {
    container: &'a ContainerStatus,
    /// The reason that the condition names.
    wanted: &'a str,
    /// The same as the container writes it, where it has it.
    reason: &'a str,
    /// The sentence to that reason.
    message: &'a str,
}

impl ClusterContainerStatuses {
    /// The pod's containers for which the condition holds; for `!=` the first one speaks for all.
    fn matches<'a>(
        &self,
        operator: Operator,
        wanted: &'a str,
        pod: &'a Pod,
    ) -> Result<Vec<Match<'a>>, NotEvaluated> {
        let status = &pod.status;
        let containers = status
            .init_container_statuses
            .iter()
            .chain(&status.container_statuses)
            .filter(|container| container.restart_count >= self.restart_count);
        let mut with_reason = Vec::new();
        let mut first = None;
        for container in containers {
            let mut named = None;
            for (reason, message) in reasons(container) {
                if unmasked(reason)?.eq_ignore_ascii_case(wanted) {
                    named = named.or(Some((reason, message)));
                }
            }
            with_reason.extend(named.map(|(reason, message)| Match {
                container,
                wanted,
                reason,
                message,
            }));
            first = first.or(Some(Match {
                container,
                wanted,
                reason: "",
                message: "",
            }));
        }
        Ok(match operator {
            Operator::Equal => with_reason,
            _ if with_reason.is_empty() => Vec::from_iter(first),
            _ => Vec::new(),
        })
    }

    fn finding(
        &self,
        said: Finding,
        pod: &Pod,
        found: &Match<'_>,
        path: &str,
        meta: &Meta,
    ) -> Finding {
        let (namespace, name) = (&pod.metadata.namespace, &pod.metadata.name);
        let container = found.container;
        let data = json!({
            "Namespace": namespace,
            "PodName": name,
            "ContainerName": container.name,
            "Ready": container.ready,
            "RestartCount": container.restart_count,
            "Message": found.message,
        });
        // As in troubleshoot, a message that cannot be rendered takes nothing from the verdict.
        let message = render_struct(&said.message, &data).unwrap_or_else(|_| {
            format!(
                "Container matched. Container: {}, Namespace: {namespace}, Pod: {name}",
                container.name
            )
        });
        let restarts = counted(container.restart_count, "restart");
        Finding {
            id: format!(
                "{NAME}/{namespace}/{name}/{}/{}",
                container.name, found.wanted
            ),
            title: self.title(meta),
            message: message.trim().to_owned(),
            strict: meta.strict,
            observed: format!(
                "{}: {}, {restarts} ({path})",
                container.name,
                state(container)
            ),
            objects: vec![pod::object(namespace, name)],
            ..said
        }
        .with_remedy(pod::remedy(found.reason, namespace, name))
        .with_icon(&ICON)
    }

    /// The outcome without a condition, where no other had anything to say.
    fn final_word(&self, verdict: Verdict, branch: &Branch, meta: &Meta) -> Finding {
        Finding {
            id: NAME.to_owned(),
            title: self.title(meta),
            strict: meta.strict,
            observed: format!("no container matches ({FOLDER}/*.json)"),
            ..Finding::of(verdict, branch)
        }
        .with_remedy("See the pods' states: kubectl get pods --all-namespaces.")
        .with_icon(&ICON)
    }
}

/// Why the container ended the last time, why it ended, and why it waits, each with the sentence to it.
fn reasons(container: &ContainerStatus) -> impl Iterator<Item = (&str, &str)> {
    let ended = [&container.last_state, &container.state]
        .into_iter()
        .filter_map(|state| state.terminated.as_deref())
        .map(|it| (it.reason.as_str(), it.message.as_str()));
    let waiting = container.state.waiting.as_deref();
    ended.chain(waiting.map(|it| (it.reason.as_str(), it.message.as_str())))
}

/// What the container does and did, for a person.
fn state(container: &ContainerStatus) -> String {
    let reasons: Vec<&str> = reasons(container)
        .map(|(reason, _)| reason)
        .filter(|reason| !reason.is_empty())
        .collect();
    match (reasons.as_slice(), &container.state.running) {
        ([], Some(_)) => "running".to_owned(),
        ([], None) => "no reason given".to_owned(),
        (reasons, Some(_)) => format!("{}, running again", reasons.join(", ")),
        (reasons, None) => reasons.join(", "),
    }
}

/// `<op> <reason>`, exactly one space between them.
fn condition(when: &str) -> Result<(Operator, &str), NotEvaluated> {
    let [operator, reason] = words(when, "`== <reason>` or `!= <reason>`")?;
    match Operator::parse(operator) {
        Some(operator @ (Operator::Equal | Operator::NotEqual)) => Ok((operator, reason)),
        _ => Err(bad_condition(
            when,
            format!("unknown operator {operator:?}; == and != are known"),
        )),
    }
}

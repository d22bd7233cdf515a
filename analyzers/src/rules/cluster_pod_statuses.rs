//! `clusterPodStatuses`: every pod, against the status that `kubectl get pods` shows.

use std::collections::HashMap;

use bundle::Files;
use bundle::collected::ListOrArray;
use bundle::collected::event::Event;
use bundle::collected::pod::{Pod, StatusReason};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{Documents, items_at, unmasked};
use crate::finding::{Finding, Judgement, NotEvaluated, Verdict};
use crate::go_object;
use crate::message::render_struct;
use crate::outcome::{Branch, Operator, Outcome, bad_condition, first_match};
use crate::pod;

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "The pods have the statuses that they should have",
    docs: docs::<ClusterPodStatuses>,
    since: "0.1.0",
    needs: &["clusterResources"],
    parse: parse::<ClusterPodStatuses>,
    schema: schema::<ClusterPodStatuses>,
};

const NAME: &str = "clusterPodStatuses";
const FOLDER: &str = "cluster-resources/pods";
const DEFAULT_TITLE: &str = "Pod {{ .Namespace }}/{{ .Name }} status";
const DEFAULT_MESSAGE: &str = "Pod {{ .Namespace }}/{{ .Name }} status is {{ .Status.Reason }}. Message is: {{ .Status.Message }}";

/// The pods have the statuses that they should have.
///
/// # What it checks
/// Each pod of `namespaces`, or of all namespaces: its phase, and the reason that `kubectl get pods` shows
/// (`CrashLoopBackOff`, `Init:0/1`, `Completed`).
///
/// # When it warns or fails
/// `when` is `== <status>` or `!= <status>`, compared with the phase and the reason, or `Healthy`: neither pending,
/// failed nor unknown, with the reason `Completed`, or `Running` with all containers ready. The first outcome that
/// holds gives one finding for the pod; a pod that no outcome fits is not mentioned. A condition that
/// cannot be read never holds. `checkName` and messages are templates over the pod by Go's names
/// (`{{ .Namespace }}`, `{{ .Status.Reason }}`, `{{ .Status.Message }}`, `{{ .Spec.NodeName }}`); the status message is the
/// last termination's, the scheduler's, or that of the pod's warning events.
///
/// # What to do
/// `kubectl -n NAMESPACE describe pod NAME` shows events; `kubectl -n NAMESPACE logs NAME --previous` what a crashed
/// container said. The bundle has both.
///
/// # Needs
/// The collector `clusterResources` (always added), which lists `pods` and `events` in each namespace. A
/// namespace that may not be read is unknown, the others are judged.
///
/// # Example
/// ```yaml
/// clusterPodStatuses:
///   namespaces:
///     - shop
///   outcomes:
///     - fail:
///         when: "!= Healthy"
///         message: "{{ .Namespace }}/{{ .Name }} is {{ .Status.Reason }}: {{ .Status.Message }}"
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct ClusterPodStatuses {
    /// The conditions and what to say.
    outcomes: Vec<Outcome>,
    /// The namespaces to look at; all where none is given.
    namespaces: Vec<String>,
}

/// A pod for which an outcome holds.
struct Judged<'a> {
    /// Its place in the list.
    index: usize,
    pod: &'a Pod,
    status: StatusReason,
    verdict: Verdict,
    branch: &'a Branch,
}

impl Analyzer for ClusterPodStatuses {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or("Cluster Pod Status")
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let documents = Documents::<ListOrArray<Pod>>::read(files, FOLDER, &self.namespaces)?;
        let mut judgement = Judgement {
            findings: Vec::new(),
            not_evaluated: self.unreadable_condition().or(documents.unseen),
        };
        let mut warnings = Warnings::default();
        for (path, pods) in &documents.read {
            let mut judged = Vec::new();
            for (index, pod) in pods.items.iter().enumerate() {
                match self.judge(index, pod, files, &mut warnings) {
                    Ok(found) => judged.extend(found),
                    Err(reason) => judgement.add(Err(reason)),
                }
            }
            let page = Page { path, meta };
            if page.reads_only_the_summary(&judged) {
                for one in &judged {
                    judgement.add(page.finding(one, &summary(one)));
                }
            } else {
                page.findings_of_wholes(&judged, files, &mut judgement)?;
            }
        }
        Ok(judgement)
    }
}

impl ClusterPodStatuses {
    /// Troubleshoot passes over a condition that it cannot read. So do we, but we say so: the outcomes after it
    /// may then speak of pods that it was meant for.
    fn unreadable_condition(&self) -> Option<NotEvaluated> {
        self.outcomes
            .iter()
            .filter_map(Outcome::branch)
            .find(|(_, branch)| !branch.when.is_empty() && condition(&branch.when).is_none())
            .map(|(_, branch)| {
                bad_condition(&branch.when, "expected `== <status>` or `!= <status>`")
            })
    }

    /// The first outcome that holds for the pod.
    fn judge<'a>(
        &'a self,
        index: usize,
        pod: &'a Pod,
        files: &Files,
        warnings: &mut Warnings,
    ) -> Result<Option<Judged<'a>>, NotEvaluated> {
        // A reason of the pod's own stands for itself, with its message.
        let mut status = if pod.status.reason.is_empty() {
            pod.status_reason()
        } else {
            StatusReason {
                reason: pod.status.reason.clone(),
                message: pod.status.message.clone(),
            }
        };
        unmasked(&status.reason)?;
        let matched = first_match(&self.outcomes, |when| Ok(holds(when, pod, &status.reason)))?;
        let Some((verdict, branch)) = matched else {
            return Ok(None);
        };
        if status.message.is_empty() {
            status.message = warnings.of(pod, files);
        }
        Ok(Some(Judged {
            index,
            pod,
            status,
            verdict,
            branch,
        }))
    }
}

/// The pods of one namespace.
struct Page<'a> {
    path: &'a str,
    meta: &'a Meta,
}

impl Page<'_> {
    fn reads_only_the_summary(&self, judged: &[Judged<'_>]) -> bool {
        let titles = std::iter::once(&self.meta.check_name);
        let messages = judged.iter().map(|one| &one.branch.message);
        titles
            .chain(messages)
            .all(|template| go_object::reads_only(template, SUMMARY))
    }

    /// Findings whose templates read more than the projection has: the file is read again, once, one pod
    /// at a time.
    fn findings_of_wholes(
        &self,
        judged: &[Judged<'_>],
        files: &Files,
        judgement: &mut Judgement,
    ) -> Result<(), NotEvaluated> {
        let wanted: Vec<usize> = judged.iter().map(|one| one.index).collect();
        items_at(files, self.path, &wanted, |nth, whole| {
            let one = &judged[nth];
            let mut data = go_object::pod(whole);
            let status = summary(one);
            data["Status"]["Reason"] = status["Status"]["Reason"].clone();
            data["Status"]["Message"] = status["Status"]["Message"].clone();
            judgement.add(self.finding(one, &data));
        })
    }

    fn finding(&self, one: &Judged<'_>, data: &Value) -> Result<Finding, NotEvaluated> {
        let Pod {
            metadata, status, ..
        } = one.pod;
        let (namespace, name) = (&metadata.namespace, &metadata.name);
        let title = self.meta.title_or(DEFAULT_TITLE);
        let message = match one.branch.message.as_str() {
            "" => DEFAULT_MESSAGE,
            message => message,
        };
        let finding = Finding {
            id: Finding::id(NAME, &format!("{namespace}/{name}")),
            title: render_struct(&title, data)?,
            message: render_struct(message, data)?.trim().to_owned(),
            strict: self.meta.strict,
            observed: format!(
                "{} ({})",
                observed(&one.status.reason, &status.phase),
                self.path
            ),
            objects: vec![pod::object(namespace, name)],
            ..Finding::of(one.verdict, one.branch)
        };
        Ok(finding.with_remedy(pod::remedy(&one.status.reason, namespace, name)))
    }
}

fn observed(reason: &str, phase: &str) -> String {
    if reason == phase {
        phase.to_owned()
    } else {
        format!("{reason}, phase {phase}")
    }
}

/// What most templates read of a pod, which needs no second look into the file.
const SUMMARY: &[&str] = &[
    ".Name",
    ".Namespace",
    ".Status.Message",
    ".Status.Phase",
    ".Status.Reason",
];

/// [`SUMMARY`] of a pod.
fn summary(one: &Judged<'_>) -> Value {
    let message = match one.status.message.as_str() {
        "" => "None",
        message => message,
    };
    json!({
        "Name": one.pod.metadata.name,
        "Namespace": one.pod.metadata.namespace,
        "Status": {
            "Phase": one.pod.status.phase,
            "Reason": one.status.reason,
            "Message": message,
        },
    })
}

/// `<op> <status>`; what follows is not looked at.
fn condition(when: &str) -> Option<(Operator, &str)> {
    let mut parts = when.trim().split(' ');
    let operator = Operator::parse(parts.next()?)?;
    let status = parts.next()?;
    matches!(operator, Operator::Equal | Operator::NotEqual).then_some((operator, status))
}

fn holds(when: &str, pod: &Pod, reason: &str) -> bool {
    let Some((operator, wanted)) = condition(when) else {
        return false;
    };
    let is_it = if wanted == "Healthy" {
        !pod.is_unhealthy()
    } else {
        wanted == pod.status.phase || wanted == reason
    };
    is_it == (operator == Operator::Equal)
}

/// The messages of warning events by namespace and pod, read when the first pod asks.
#[derive(Default)]
struct Warnings {
    namespaces: HashMap<String, HashMap<String, Vec<String>>>,
}

impl Warnings {
    fn of(&mut self, pod: &Pod, files: &Files) -> String {
        let namespace = &pod.metadata.namespace;
        if !self.namespaces.contains_key(namespace) {
            let messages = Self::read(namespace, files);
            self.namespaces.insert(namespace.clone(), messages);
        }
        self.namespaces[namespace]
            .get(&pod.metadata.name)
            .map(|messages| messages.join(". "))
            .unwrap_or_default()
    }

    /// Events only explain: without them there is less to say, and nothing is wrong.
    fn read(namespace: &str, files: &Files) -> HashMap<String, Vec<String>> {
        let path = format!("cluster-resources/events/{namespace}.json");
        let mut messages: HashMap<String, Vec<String>> = HashMap::new();
        let Ok(events) = files.decoded::<ListOrArray<Event>>(&path) else {
            return messages;
        };
        for event in &events.items {
            let object = &event.involved_object;
            if object.kind == "Pod"
                && object.namespace == namespace
                && event.kind == "Warning"
                && !event.message.is_empty()
            {
                let of_pod = messages.entry(object.name.clone()).or_default();
                of_pod.push(event.message.clone());
            }
        }
        messages
    }
}

//! Where messages are read: logs, and the words that the cluster has on pods and in events.

use std::collections::BTreeSet;
use std::sync::Arc;

use bundle::Files;
use bundle::collected::event::Event;
use bundle::collected::pod::Pod;
use bundle::collected::{List, ListOrArray, Named};
use syntax::glob::FileGlob;

use crate::document::{Documents, document, missing};
use crate::finding::{NotEvaluated, ObjectReference};

use super::scan::Matcher;
use super::table::Source;
use super::{Hits, Place};

/// Where the logs of all pods lie, `<namespace>/<pod>/<container>.log`.
const POD_LOGS: &str = "cluster-resources/pods/logs/";

/// How deep below the bundle's root a log may lie for its absence to be noticed.
const DEPTHS: [&str; 6] = [
    "*.log",
    "*/*.log",
    "*/*/*.log",
    "*/*/*/*.log",
    "*/*/*/*/*.log",
    "*/*/*/*/*/*.log",
];

/// Those of the namespaces that exist; all of them where the bundle does not say which do.
pub(super) fn existing(files: &Files, namespaces: &[String]) -> Result<Vec<String>, NotEvaluated> {
    const PATH: &str = "cluster-resources/namespaces.json";
    // A run over some namespaces writes an array of these, one over a single namespace the object alone.
    let list = match document::<List<Named>>(files, PATH) {
        Ok(list) if !list.items.is_empty() => list,
        _ => return Ok(namespaces.to_vec()),
    };
    let exists = |name: &&String| list.items.iter().any(|it| it.metadata.name == **name);
    let existing: Vec<String> = namespaces.iter().filter(exists).cloned().collect();
    if existing.is_empty() && !namespaces.is_empty() {
        return Err(NotEvaluated::NotApplicable(format!(
            "there is no namespace {} ({PATH})",
            namespaces.join(", ")
        )));
    }
    Ok(existing)
}

/// The patterns of the logs that are looked for.
pub(super) fn patterns(files: &[String], namespaces: &[String]) -> Vec<String> {
    if !files.is_empty() {
        return files.to_vec();
    }
    if namespaces.is_empty() {
        return DEPTHS.map(str::to_owned).to_vec();
    }
    namespaces
        .iter()
        .map(|namespace| format!("{POD_LOGS}{namespace}/*/*.log"))
        .collect()
}

/// The logs, each once: a link to a log is that log. Of all logs (`is_all`), what collectors write of their own
/// errors is none. A container's log comes before that of the one before it.
pub(super) fn logs(
    files: &Files,
    patterns: &[String],
    is_all: bool,
) -> Result<Vec<String>, NotEvaluated> {
    let mut logs = BTreeSet::new();
    for pattern in patterns {
        FileGlob::new(pattern)
            .map_err(|error| NotEvaluated::Spec(format!("{pattern:?} names no files: {error}")))?;
        for path in files.glob(pattern)? {
            let path = files.link_target(path.as_str()).unwrap_or(path);
            let path = path.as_str();
            if !(is_all && path.ends_with("-errors.log")) && files.contains(path) {
                let current = path.replace("-previous.log", ".log");
                logs.insert((current, path.to_owned()));
            }
        }
    }
    let mut logs: Vec<(String, String)> = logs.into_iter().collect();
    logs.sort_by(|(one, path), (other, than)| {
        one.cmp(other).then((path != one).cmp(&(than != other)))
    });
    Ok(logs.into_iter().map(|(_, path)| path).collect())
}

/// Why some of the logs are missing.
pub(super) fn missing_logs(files: &Files, patterns: &[String]) -> Option<NotEvaluated> {
    patterns.iter().find_map(|pattern| missing(files, pattern))
}

/// The pod whose log lies at `path`.
pub(super) fn pod_of(path: &str) -> Option<ObjectReference> {
    let mut parts = path.strip_prefix(POD_LOGS)?.split('/');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(namespace), Some(name), Some(_), None) => Some(object("Pod", namespace, name)),
        _ => None,
    }
}

fn object(kind: &str, namespace: &str, name: &str) -> ObjectReference {
    let api_version = match kind {
        "Pod" | "Node" | "PersistentVolumeClaim" | "Service" | "ReplicationController" => "v1",
        "Job" | "CronJob" => "batch/v1",
        "ReplicaSet" | "Deployment" | "StatefulSet" | "DaemonSet" => "apps/v1",
        _ => "",
    };
    ObjectReference {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

/// Reads a log.
pub(super) fn read_log(files: &Files, path: &str, hits: &mut Hits) -> Result<(), NotEvaluated> {
    let mut reader = files.open(path)?;
    let pod = pod_of(path);
    let read = Matcher::table().scan(&mut reader, &mut |seen| {
        let place = Place {
            source: Source::Log,
            object: pod.as_ref(),
            path,
            field: "",
            time: "",
        };
        hits.add(seen, &place);
    });
    read.map_err(|error| NotEvaluated::Unknown(format!("{path} cannot be read: {error}")))
}

/// Reads a field's text.
fn read_text(text: &str, place: &Place<'_>, hits: &mut Hits) {
    Matcher::table().text(text, &mut |seen| hits.add(seen, place));
}

/// What was read of pods and events, and what was not.
#[derive(Default)]
pub(super) struct Cluster {
    pub(super) documents: usize,
    pub(super) unseen: Option<NotEvaluated>,
}

/// Reads the status of pods, what containers said when they ended, and events.
pub(super) fn read_cluster(files: &Files, namespaces: &[String], hits: &mut Hits) -> Cluster {
    let mut cluster = Cluster::default();
    let pods = Documents::<ListOrArray<Pod>>::read(files, "cluster-resources/pods", namespaces);
    for (path, list) in cluster.take(pods) {
        for pod in &list.items {
            read_pod(pod, &path, hits);
        }
    }
    let events =
        Documents::<ListOrArray<Event>>::read(files, "cluster-resources/events", namespaces);
    for (path, list) in cluster.take(events) {
        for event in list.items.iter().filter(|event| event.kind != "Normal") {
            let about = &event.involved_object;
            let object = object(&about.kind, &about.namespace, &about.name);
            let place = Place {
                source: Source::Cluster,
                object: Some(&object),
                path: &path,
                field: &format!("event {}", event.reason),
                time: event.time(),
            };
            read_text(&event.message, &place, hits);
        }
    }
    cluster
}

impl Cluster {
    /// The documents that could be read, noting those that could not.
    fn take<T>(&mut self, read: Result<Documents<T>, NotEvaluated>) -> Vec<(String, Arc<T>)> {
        let (read, unseen) = match read {
            Ok(documents) => (documents.read, documents.unseen),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        self.documents += read.len();
        if let Some(reason) = unseen {
            self.unseen.get_or_insert(reason);
        }
        read
    }
}

fn read_pod(pod: &Pod, path: &str, hits: &mut Hits) {
    let object = object("Pod", &pod.metadata.namespace, &pod.metadata.name);
    let mut read = |source, field: &str, text: &str| {
        let place = Place {
            source,
            object: Some(&object),
            path,
            field,
            time: "",
        };
        read_text(text, &place, hits);
    };
    let status = &pod.status;
    read(Source::Cluster, "status.message", &status.message);
    for condition in &status.conditions {
        if condition.status == "False" {
            let field = format!("condition {}", condition.kind);
            read(Source::Cluster, &field, &condition.message);
        }
    }
    let statuses = status.init_container_statuses.iter();
    for container in statuses.chain(&status.container_statuses) {
        if let Some(waiting) = &container.state.waiting {
            let field = format!("container {}, waiting", container.name);
            read(Source::Cluster, &field, &waiting.message);
        }
        let ends = [
            &container.state.terminated,
            &container.last_state.terminated,
        ];
        for terminated in ends.into_iter().flatten() {
            let field = format!("container {}, terminated", container.name);
            read(Source::Ended, &field, &terminated.message);
        }
    }
}

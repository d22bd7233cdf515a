//! What a run that was killed left in the cluster: found by the label that everything we make has, and removed.
//!
//! A run removes what it made, whichever way it ends, but for SIGKILL and a machine that is gone. What is found may as
//! well be of a run that is still under way, here or elsewhere. It is not touched, and that is known by two marks: the time
//! by which its collector has ended (every collector has a deadline), and the machine and process that made it.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::cluster::{ApiError, Cause, Cluster, segment, target};
use crate::temporary::{ENDS_BY, MACHINE, RUN_ID, remove};

/// The kinds of objects that are made, as the core group's plurals.
const KINDS: [&str; 2] = ["pods", "secrets"];

/// Names and labels, without what is in them: nobody reads a Secret to find out that it is ours.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// How long an object is taken for one that is in use if it does not say so itself.
const DEFAULT_LIFE: i64 = 3600;

/// An object that a run made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leftover {
    /// `pods` or `secrets`.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The run that made it.
    pub run_id: String,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// By when its collector has ended, whatever happens.
    pub ends_by: Option<Timestamp>,
    /// Whether its run may still be under way.
    pub in_use: bool,
    #[serde(skip)]
    uid: String,
}

#[derive(Debug, Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    items: Option<Vec<Object>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PageMetadata {
    #[serde(rename = "continue")]
    token: String,
}

#[derive(Debug, Deserialize)]
struct Object {
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    name: String,
    namespace: String,
    uid: String,
    creation_timestamp: Option<Timestamp>,
    labels: Option<std::collections::BTreeMap<String, String>>,
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

/// Finds what runs left in one namespace, or in all where there is none; of one run where it is named. Sorted by run, pods
/// first: a Secret goes with its pod.
pub async fn find(
    cluster: &Cluster,
    namespace: Option<&str>,
    run_id: Option<&str>,
    now: Timestamp,
) -> Result<Vec<Leftover>, ApiError> {
    let selector = match run_id {
        Some(run_id) => format!("{RUN_ID}={run_id}"),
        None => RUN_ID.to_owned(),
    };
    let machine = machine();
    let mut found = Vec::new();
    for kind in KINDS {
        let path = match namespace {
            Some(namespace) => format!("/api/v1/namespaces/{}/{kind}", segment(namespace)),
            None => format!("/api/v1/{kind}"),
        };
        let mut token = String::new();
        loop {
            let mut query = vec![("labelSelector", selector.as_str()), ("limit", "500")];
            if !token.is_empty() {
                query.push(("continue", &token));
            }
            let page = cluster.negotiated(&target(&path, &query), METADATA).await?;
            let page: Page = serde_json::from_slice(&page).map_err(|error| {
                ApiError::new(format!("GET {path}"), Cause::Malformed(error.to_string()))
            })?;
            let objects = page.items.into_iter().flatten();
            found.extend(objects.map(|object| object.metadata.leftover(kind, &machine, now)));
            token = page.metadata.token;
            if token.is_empty() {
                break;
            }
        }
    }
    found.sort_by(|one, other| {
        (&one.run_id, one.kind, &one.name).cmp(&(&other.run_id, other.kind, &other.name))
    });
    Ok(found)
}

impl Metadata {
    fn leftover(self, kind: &'static str, machine: &str, now: Timestamp) -> Leftover {
        let labels = self.labels.unwrap_or_default();
        let annotations = self.annotations.unwrap_or_default();
        let run_id = labels.get(RUN_ID).cloned().unwrap_or_default();
        let ends_by = annotations.get(ENDS_BY).and_then(|time| time.parse().ok());
        let life = jiff::SignedDuration::from_secs(DEFAULT_LIFE);
        let guessed = self
            .creation_timestamp
            .and_then(|created| created.checked_add(life).ok());
        let is_over = ends_by.or(guessed).is_some_and(|end: Timestamp| end < now);
        // A process of this machine that is gone uses nothing any more.
        let made_here = annotations.get(MACHINE).is_some_and(|made| made == machine);
        let is_gone = made_here && process(&run_id).is_some_and(|process| !is_running(process));
        Leftover {
            kind,
            namespace: self.namespace,
            name: self.name,
            run_id,
            created: self.creation_timestamp,
            ends_by,
            in_use: !is_over && !is_gone,
            uid: self.uid,
        }
    }
}

impl Leftover {
    /// Removes the object and waits until it is gone. One of the same name that was made since stays.
    pub async fn remove(&self, cluster: &Arc<Cluster>) -> Result<(), String> {
        let (namespace, name) = (segment(&self.namespace), segment(&self.name));
        let path = format!("/api/v1/namespaces/{namespace}/{}/{name}", self.kind);
        remove(cluster, &path, &self.uid).await
    }
}

/// A label value that no other run has, in which the process is that makes it.
#[must_use]
pub fn run_id(now: Timestamp, process: u32) -> String {
    format!("{:x}-{process:x}", now.as_nanosecond())
}

/// The process that a run's id names.
fn process(run_id: &str) -> Option<u32> {
    let (_, process) = run_id.split_once('-')?;
    u32::from_str_radix(process, 16).ok()
}

/// A mark of this machine since it was started, and of what processes can be seen: of a container's, a process of
/// another container is none. Nothing of it can be read from the mark. Empty where there is no telling.
pub(crate) fn machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let processes = std::fs::read_link("/proc/self/ns/pid");
    let (Ok(boot), Ok(processes)) = (boot, processes) else {
        return String::new();
    };
    let text = format!("{}{}", boot.trim(), processes.display());
    let digest = Sha256::digest(text.as_bytes());
    let start = digest.iter().take(8);
    let number = start.fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    format!("{number:016x}")
}

fn is_running(process: u32) -> bool {
    // One that ended and was not waited for is a zombie, with an empty command line.
    std::fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|command| !command.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Reply, Server};
    use serde_json::{Value, json};

    fn object(run_id: &str, annotations: &Value) -> Value {
        json!({"metadata": {"name": "probe", "namespace": "shop", "uid": "u",
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {RUN_ID: run_id}, "annotations": annotations}})
    }

    #[tokio::test]
    async fn a_run_that_may_be_under_way_keeps_what_it_made() {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().expect("a time");
        let (alive, dead) = (run_id(now, std::process::id()), run_id(now, u32::MAX));
        let machine = machine();
        for (what, object, in_use) in [
            (
                "before its end",
                object(&dead, &json!({ENDS_BY: "2026-01-01T00:11:00Z"})),
                true,
            ),
            (
                "after its end",
                object(&alive, &json!({ENDS_BY: "2026-01-01T00:09:00Z"})),
                false,
            ),
            ("without a mark", object("x", &Value::Null), true),
            (
                "of a process of ours that is gone",
                object(
                    &dead,
                    &json!({ENDS_BY: "2026-01-01T00:11:00Z", MACHINE: machine}),
                ),
                false,
            ),
            (
                "of a process of ours that runs",
                object(
                    &alive,
                    &json!({ENDS_BY: "2026-01-01T00:11:00Z", MACHINE: machine}),
                ),
                true,
            ),
            (
                "of another machine",
                object(
                    &dead,
                    &json!({ENDS_BY: "2026-01-01T00:11:00Z", MACHINE: "other"}),
                ),
                true,
            ),
        ] {
            let server = Server::start(move |request| {
                assert_eq!(request.query["labelSelector"], RUN_ID);
                assert!(request.headers["accept"].contains("PartialObjectMetadataList"));
                let items = if request.path.ends_with("/pods") {
                    vec![object.clone()]
                } else {
                    Vec::new()
                };
                Reply::json(
                    json!({"kind": "PartialObjectMetadataList", "metadata": {}, "items": items}),
                )
            })
            .await;
            let found = find(&server.cluster(), Some("shop"), None, now).await;
            let found = found.expect("an answer");
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].in_use, in_use, "{what}");
        }
    }
}

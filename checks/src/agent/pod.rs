//! The pod, and the Secret that tells it what to do.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle::collected::pod::Pod;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::timeout_at;

use super::Image;
use super::answer::Reader;
use super::request::Request;
use crate::cluster::{Answer, ApiError, Cluster, segment};
use crate::collector::{CollectError, Context, Output};
use crate::started_pod::{StartedPod, describe, has_run, statuses};
use crate::temporary::Temporary;

/// The one container.
const CONTAINER: &str = "agent";

/// Where the container finds its request.
const FOLDER: &str = "/assay";
const KEY: &str = "request.json";

/// A user of no rights: that of distroless images.
const USER: u32 = 65532;

/// By how much the pod has longer than its collector: to start the program and print the answer.
const PRINT: Duration = Duration::from_secs(30);

/// By how much the node's deadline for the pod is later than ours: it is for pods whose run was killed.
const NODE_MARGIN: Duration = Duration::from_mins(1);

/// A pod that is to be.
pub(super) struct AgentPod<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) image: &'a Image,
    /// How long it may take until it runs.
    pub(super) start: Duration,
    /// How long its collector has.
    pub(super) time: Duration,
    /// The file of the bundle with which it is told what could not be removed.
    pub(super) file: &'a str,
}

/// A name that no other collector of any run has at the same time: those of one run that act do so one by one.
pub(super) fn name(run_id: &str, title: &str) -> String {
    let digest = Sha256::digest(title.as_bytes());
    let start = digest.iter().take(4);
    let number = start.fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
    format!("assay-{run_id}-{number:08x}")
}

impl AgentPod<'_> {
    /// Makes the pod, hands it the request, and gives what it answers: the bytes of a bundle. Pod and Secret are gone
    /// when the collector has ended.
    pub(super) async fn ask(
        &self,
        request: &Request,
        context: &Context,
        output: &Output,
    ) -> Result<Vec<u8>, CollectError> {
        let cluster = context.cluster()?;
        let create = |plural, object| {
            let made = Temporary::create(context, cluster, plural, object, output, self.file);
            async move { made.await.map_err(|error| self.not_created(plural, &error)) }
        };
        // The pod first: the Secret can then name it as its owner, and goes with it, whoever removes it. The node waits
        // for the Secret.
        let pod = create("pods", self.pod()).await?;
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        let secret = create("secrets", self.secret(request, uid)?).await?;
        let mut pod = StartedPod::new(cluster, self.namespace, self.name, uid, self.start);
        let started = match pod.started().await {
            Ok(started) => started,
            Err(error) => return Err(with_warnings(error, &pod).await),
        };
        // The container has its own copy. After this, nothing of it is left in the cluster, however this run ends.
        self.remove_early(cluster, &secret).await;
        if started.status.phase == "Failed" && !has_run(&started, CONTAINER) {
            let plight = describe(&started);
            let error = pod.failed(&format!("ended before it ran: {plight}"));
            return Err(with_warnings(error, &pod).await);
        }
        pod.gets(self.time.saturating_add(PRINT));
        let answer = read(&pod).await?;
        match answer.finish() {
            Ok(archive) => Ok(archive),
            Err(why) => {
                let state = match pod.object::<Pod>().await {
                    Ok(pod) => ended(&pod),
                    Err(error) => error.to_string(),
                };
                let (image, said) = (&self.image.name, format!("{state}: {why}"));
                Err(pod.failed(&format!("with the image {image} {said}")))
            }
        }
    }

    async fn remove_early(&self, cluster: &Arc<Cluster>, secret: &Value) {
        let (namespace, name) = (segment(self.namespace), segment(self.name));
        let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
        let options = json!({"preconditions": {"uid": secret["metadata"]["uid"]}});
        // Where this fails, it is tried again at the end, and told.
        if let Err(error) = cluster.delete(&path, &options).await {
            tracing::debug!(%error, "cannot remove the Secret of a pod that has started");
        }
    }

    fn metadata(&self) -> Value {
        json!({
            "name": self.name,
            "namespace": self.namespace,
            "labels": {"app.kubernetes.io/managed-by": "assay"},
        })
    }

    fn secret(&self, request: &Request, pod_uid: &str) -> Result<Value, CollectError> {
        let request = serde_json::to_vec(request).map_err(|_| {
            CollectError::Failed("cannot encode the collector's configuration".to_owned())
        })?;
        let mut metadata = self.metadata();
        metadata["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "Pod", "name": self.name, "uid": pod_uid}]);
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": "Opaque",
            "immutable": true,
            "data": {KEY: STANDARD.encode(request)},
        }))
    }

    /// A pod that a namespace with the Pod Security Standard *restricted* admits.
    fn pod(&self) -> Value {
        let life = self.time.saturating_add(self.start + PRINT + NODE_MARGIN);
        let life = life.as_secs();
        let pull_secret = self.image.pull_secret.iter();
        let pull_secrets: Vec<_> = pull_secret.map(|name| json!({"name": name})).collect();
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": self.metadata(),
            "spec": {
                "restartPolicy": "Never",
                "activeDeadlineSeconds": i32::try_from(life).unwrap_or(i32::MAX),
                "terminationGracePeriodSeconds": 5,
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "nodeSelector": {"kubernetes.io/os": "linux"},
                "imagePullSecrets": pull_secrets,
                "securityContext": {
                    "runAsNonRoot": true,
                    "runAsUser": USER,
                    "runAsGroup": USER,
                    // Who may read the request: the node gives a volume's files to this group.
                    "fsGroup": USER,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [{
                    "name": CONTAINER,
                    "image": self.image.name,
                    "command": ["assay", "agent", format!("{FOLDER}/{KEY}")],
                    "securityContext": {
                        "allowPrivilegeEscalation": false,
                        "readOnlyRootFilesystem": true,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "resources": {
                        "requests": {"cpu": "50m", "memory": "64Mi"},
                        "limits": {"cpu": "1", "memory": "256Mi"},
                    },
                    "volumeMounts": [
                        {"name": "request", "mountPath": FOLDER, "readOnly": true},
                        {"name": "tmp", "mountPath": "/tmp"},
                    ],
                }],
                "volumes": [
                    {"name": "request", "secret": {"secretName": self.name, "defaultMode": 0o400}},
                    {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
                ],
            },
        })
    }

    fn not_created(&self, plural: &str, error: &ApiError) -> CollectError {
        let noun = plural.trim_end_matches('s');
        let (name, namespace) = (self.name, self.namespace);
        let text = format!("cannot create the {noun} {name} in namespace {namespace}: {error}");
        if error.is_refused() {
            CollectError::Refused(text)
        } else {
            CollectError::Failed(text)
        }
    }
}

/// Reads what the container says until it has ended.
async fn read(pod: &StartedPod<'_>) -> Result<Reader, CollectError> {
    let still = format!("container {CONTAINER} still runs");
    let followed = async {
        let mut reader = Reader::default();
        let mut log = pod.live_log(CONTAINER, &[]).await?;
        fill(&mut reader, &mut log).await?;
        Ok::<_, ApiError>(reader)
    };
    match timeout_at(pod.deadline(), followed).await {
        Err(_) => return Err(pod.late(&still)),
        Ok(Ok(reader)) if reader.is_at_end() => return Ok(reader),
        Ok(Err(error)) if error.is_refused() => return Err(error.into()),
        // The connection ended before the container did.
        Ok(_) => {}
    }
    pod.has_ended(CONTAINER, 0).await?;
    let mut reader = Reader::default();
    let mut log = pod.log(CONTAINER, false, &[]).await?;
    fill(&mut reader, &mut log).await?;
    Ok(reader)
}

async fn fill(reader: &mut Reader, log: &mut Answer) -> Result<(), ApiError> {
    while let Some(piece) = log.chunk().await? {
        reader.take(&piece);
    }
    Ok(())
}

/// How the container ended, for people.
fn ended(pod: &Pod) -> String {
    let mut statuses = statuses(pod);
    let terminated = statuses.find_map(|status| status.state.terminated.as_ref());
    match terminated {
        Some(end) => {
            let mut text = format!("ended with exit code {}", end.exit_code);
            for word in [&end.reason, &end.message] {
                if !word.is_empty() {
                    text.push_str(", ");
                    text.push_str(word.trim());
                }
            }
            text
        }
        None => describe(pod),
    }
}

/// The error with what the cluster says about the pod, where that is more.
async fn with_warnings(error: CollectError, pod: &StartedPod<'_>) -> CollectError {
    let warnings = pod.warnings().await;
    let add = |text: String| match warnings.as_str() {
        "" => text,
        warnings => format!("{text} (events: {warnings})"),
    };
    match error {
        CollectError::Failed(text) => CollectError::Failed(add(text)),
        CollectError::Deadline(text) => CollectError::Deadline(add(text)),
        other => other,
    }
}

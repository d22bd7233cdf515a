//! Objects that a collector makes in the cluster, and that are gone when it has ended.

use std::sync::Arc;
use std::time::Duration;

use bundle::manifest::GapReason;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use serde_json::{Value, json};

use crate::cluster::{ApiError, Cluster, segment};
use crate::collector::{Context, Output};
use crate::leftovers::machine;

/// The label that holds the run's id, by which what a killed run left can be found.
pub(crate) const RUN_ID: &str = "assay-run-id";

/// The annotation that holds the time by which the collector has ended that made the object.
pub(crate) const ENDS_BY: &str = "assay-ends-by";

/// The annotation that holds the mark of the machine whose process the run's id names.
pub(crate) const MACHINE: &str = "assay-machine";

/// How an object is removed: grace period in seconds, and how long that may take. Together a little less than a
/// piece of cleaning up may take.
const REMOVAL: [(u32, Duration); 2] = [(5, Duration::from_secs(20)), (0, Duration::from_secs(9))];

/// Between two looks whether an object is gone.
const POLL: Duration = Duration::from_millis(500);

/// An object of ours in the cluster, from the moment when it is asked for.
#[derive(Clone)]
pub(crate) struct Temporary {
    cluster: Arc<Cluster>,
    path: String,
    run_id: String,
    creation: Shared<BoxFuture<'static, Result<Value, ApiError>>>,
}

impl Temporary {
    /// Creates `object` among `plural` of the core group, labelled with the run's id, and has it removed when the
    /// collector ends, even where it ends before the answer has come. What is left all the same is told as a gap
    /// of `file`.
    pub(crate) async fn create(
        context: &Context,
        cluster: &Arc<Cluster>,
        plural: &str,
        mut object: Value,
        output: &Output,
        file: &str,
    ) -> Result<Value, ApiError> {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (text("namespace"), text("name"));
        let collection = format!("/api/v1/namespaces/{}/{plural}", segment(&namespace));
        object["metadata"]["labels"][RUN_ID] = context.run_id.clone().into();
        if let Some(ends_by) = context.ends_by {
            object["metadata"]["annotations"][ENDS_BY] = ends_by.to_string().into();
        }
        let machine = machine();
        if !machine.is_empty() {
            object["metadata"]["annotations"][MACHINE] = machine.into();
        }
        let temporary = Self {
            path: format!("{collection}/{}", segment(&name)),
            run_id: context.run_id.clone(),
            creation: {
                let cluster = Arc::clone(cluster);
                let creation = async move { cluster.create::<Value>(&collection, &object).await };
                creation.boxed().shared()
            },
            cluster: Arc::clone(cluster),
        };
        let creation = temporary.creation.clone();
        let (output, file) = (output.clone(), file.to_owned());
        let what = format!("{plural}/{name}");
        context.at_end(async move {
            if let Err(reason) = temporary.remove().await {
                let detail = format!(
                    "{what} may still be there: {reason}; kubectl delete --namespace {namespace} {what}"
                );
                output.gap(file, GapReason::Failed, detail);
            }
        });
        creation.await
    }

    async fn remove(&self) -> Result<(), String> {
        removed(|grace| self.delete(grace)).await
    }

    /// Deletes the object and waits until it is gone.
    async fn delete(&self, grace: u32) -> Result<(), ApiError> {
        match self.uid().await? {
            Some(uid) => delete(&self.cluster, &self.path, &uid, grace).await,
            None => Ok(()),
        }
    }

    /// The uid of our object, `None` where there is none.
    async fn uid(&self) -> Result<Option<String>, ApiError> {
        let object = match self.creation.clone().await {
            Ok(object) => object,
            // The answer may be lost and the object there.
            Err(_) => match self.cluster.json::<Value>(&self.path, &[]).await {
                Ok(object) if object["metadata"]["labels"][RUN_ID] == *self.run_id => object,
                Ok(_) => return Ok(None),
                Err(error) if error.is_absent() || error.is_refused() => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        Ok(object["metadata"]["uid"].as_str().map(str::to_owned))
    }
}

/// Removes the object at `path` that has this uid, and waits until it is gone.
pub(crate) async fn remove(cluster: &Cluster, path: &str, uid: &str) -> Result<(), String> {
    removed(|grace| delete(cluster, path, uid, grace)).await
}

/// Has an object removed, first as it wishes, then at once.
async fn removed<F>(delete: impl Fn(u32) -> F) -> Result<(), String>
where
    F: Future<Output = Result<(), ApiError>>,
{
    let mut reason = String::new();
    for (grace, limit) in REMOVAL {
        reason = match tokio::time::timeout(limit, delete(grace)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!(
                "it was not gone {} s after its deletion was asked for",
                limit.as_secs()
            ),
        };
    }
    Err(reason)
}

/// Deletes the object and waits until it is gone. One of the same name that is another's stays.
async fn delete(cluster: &Cluster, path: &str, uid: &str, grace: u32) -> Result<(), ApiError> {
    let options = json!({"gracePeriodSeconds": grace, "preconditions": {"uid": uid}});
    match cluster.delete(path, &options).await {
        Err(error) if error.is_absent() || error.is_conflict() => return Ok(()),
        other => other?,
    }
    loop {
        match cluster.json::<Value>(path, &[]).await {
            Ok(object) if object["metadata"]["uid"] != *uid => return Ok(()),
            Ok(_) => tokio::time::sleep(POLL).await,
            Err(error) if error.is_absent() => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

//! The logs of pods that are not healthy: the end of each container's log, and of its predecessor's.

use futures::TryStreamExt;

use crate::collector::{CollectError, Context, Output};
use crate::pod_log::{self, Extent, Log, LoggedPod, Window};

/// The lines and bytes that troubleshoot takes of each.
const EXTENT: Extent = Extent {
    window: Window::Lines(500),
    bytes: Some(5_000_000),
    time: None,
    timestamps: false,
};

/// All that may be written here.
pub(super) fn files() -> String {
    format!("{}/**", pod_log::ROOT)
}

pub(super) async fn collect(
    context: &Context,
    output: &Output,
    pods: Vec<LoggedPod>,
) -> Result<(), CollectError> {
    // A pod's containers one after the other, several pods at once.
    futures::stream::iter(pods.into_iter().map(Ok::<_, CollectError>))
        .try_for_each_concurrent(pod_log::AT_ONCE, |pod| async move {
            for container in &pod.containers {
                let log = Log {
                    context,
                    output,
                    pod: &pod,
                    container: &container.name,
                    extent: &EXTENT,
                };
                // What a `logs` collector got before, with limits of its own, stays as it is.
                note(&log, log.copy(false, None).await?)?;
                if container.ran_before {
                    note(&log, log.copy(true, None).await?)?;
                }
            }
            Ok(())
        })
        .await?;
    output.done(&files());
    Ok(())
}

fn note(log: &Log<'_>, missing: Option<String>) -> Result<(), CollectError> {
    let path = log.beside("-logs-errors.log")?;
    match missing {
        Some(missing) if !log.output.contains(&path) => log.output.write(&path, missing.as_bytes()),
        _ => Ok(()),
    }
}

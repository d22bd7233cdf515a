//! Copies the logs of one pod after the other, and puts links to them where the spec wants them.

use bundle::BundlePath;

use super::search::Found;
use crate::collector::{CollectError, Context, Output};
use crate::pod_log::{Extent, Log, LoggedContainer};

/// What the pods have in common.
pub(super) struct Work {
    pub(super) context: Context,
    pub(super) output: Output,
    /// The folder of the links.
    pub(super) name: String,
    /// The containers that are wanted, all where there are none.
    pub(super) containers: Vec<String>,
    pub(super) extent: Extent,
}

impl Work {
    /// Copies the logs of a pod.
    pub(super) async fn pod(&self, found: &Found) -> Result<(), CollectError> {
        let all = found.pod.containers.iter();
        if self.containers.is_empty() {
            for container in all {
                self.container(found, container).await?;
            }
            return Ok(());
        }
        for name in &self.containers {
            // Of one that the pod does not have the API says so.
            let unknown = LoggedContainer {
                name: name.clone(),
                ran_before: false,
            };
            let container = all.clone().find(|container| container.name == *name);
            self.container(found, container.unwrap_or(&unknown)).await?;
        }
        Ok(())
    }

    async fn container(
        &self,
        found: &Found,
        container: &LoggedContainer,
    ) -> Result<(), CollectError> {
        let log = Log {
            context: &self.context,
            output: &self.output,
            pod: &found.pod,
            container: &container.name,
            extent: &self.extent,
        };
        let mut errors = Vec::new();
        for previous in [false, true] {
            if previous && !container.ran_before {
                continue;
            }
            let link = self.beside(found, log.path(previous)?.file_name())?;
            errors.extend(log.copy(previous, Some(&link)).await?);
        }
        if errors.is_empty() {
            return Ok(());
        }
        let file = format!("{}-errors.json", container.name);
        write_if_free(&self.output, &self.beside(found, &file)?, &errors)
    }

    /// A file among the links to a pod's logs.
    fn beside(&self, found: &Found, file: &str) -> Result<BundlePath, CollectError> {
        Ok(BundlePath::join([&self.name, &found.folder, file])?)
    }
}

/// Writes the errors, unless another `logs` collector of the same name has written the same.
pub(super) fn write_if_free(
    output: &Output,
    path: &BundlePath,
    errors: &[String],
) -> Result<(), CollectError> {
    let Some(mut file) = output.file_if_free(path)? else {
        return Ok(());
    };
    let bytes = syntax::json::to_vec(errors, "  ")
        .map_err(|error| CollectError::Failed(format!("cannot encode {path}: {error}")))?;
    file.write(&bytes)?;
    file.finish()
}

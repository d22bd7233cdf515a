use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bundle::BundlePath;
use bundle::collected::image_bundle::{FOLDER, INVENTORY, NEED, Need};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use syntax::config::{self, ConfigError, Parsed};

use crate::collector::{
    CollectError, Collector, CollectorKind, Context, Meta, Output, Permission, Scope,
};
use crate::image_archive::{self, Caps, ReadError, Request};
use crate::text_files;

mod fields;
mod need;

use need::Kind;

/// The registry row.
pub(super) const KIND: CollectorKind = CollectorKind {
    name: "imageBundle",
    type_name: "Image Bundle",
    scope: Scope::Host,
    summary: "What an archive of container images holds, and which images are wanted of it",
    docs: DOCS,
    since: "0.1.0",
    parse,
    schema: || schemars::schema_for!(ImageBundle).to_value(),
};

const DOCS: &str = "\
# What it collects

Reads an archive of container images once, from its beginning to its end, and unpacks nothing to disk: a KOTS `.airgap`
(either format), an OCI layout, an archive of `docker save`, the storage of a registry; as a folder, a tar, a tar.gz, a
tar.zst, or standard input (`-`). It writes which images, manifests, configurations and layers are in it, the digest
and size of each as computed, what each layer unpacks to, and where the archive ends early.

With `need` also which images are wanted: of rendered charts and manifests (files, folders with them, or `-`) every pod
spec in any kind, with init and ephemeral containers, fields of known custom resources, `additionalImages` of KOTS'
Application, pods of troubleshoot's collectors. The release in an `.airgap` is read for them too, as far as it holds no
templates. The image of this program is wanted where one is named.

Each layer is unpacked in memory to compare its `diff_id`, which takes most of the time; `skipDiffIds` leaves that out.

# Files

- `host-collectors/image-bundle/<collectorName>/inventory.json`, `image-bundle` without a name: what is in it
- `host-collectors/image-bundle/<collectorName>/need.json`: the images that are wanted, with where

# Permissions

None. It reads the files that it is told to.

# Example

```yaml
imageBundle:
  collectorName: release
  path: application.airgap
  need: [rendered/]
```
";

/// How long it may take where the spec does not say: 50 GB from a slow disk.
const DEADLINE: Duration = Duration::from_hours(1);

/// The folder of a collector without a name.
pub(super) const UNNAMED: &str = "image-bundle";

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct ImageBundle {
    /// The archive or folder, from the working folder on; `-` is standard input.
    path: String,
    /// Rendered charts and manifests whose images must be in it: files, folders, or `-`.
    need: Vec<String>,
    /// Do not unpack layers to compare their `diff_id`. Digests and sizes are compared all the same.
    skip_diff_ids: bool,
    /// How long it may take, as `30m`; an hour if empty.
    timeout: String,
}

#[derive(Debug)]
struct Named {
    name: String,
    config: ImageBundle,
    deadline: Duration,
}

fn parse(value: &Value, meta: &Meta) -> Result<Parsed<Box<dyn Collector>>, ConfigError> {
    let Parsed { config, ignored } = config::parse::<ImageBundle>(value)?;
    let deadline = super::timeout(&config.timeout)?.unwrap_or(DEADLINE);
    let refuse = |path: &str, message: &str| ConfigError {
        path: path.to_owned(),
        message: message.to_owned(),
    };
    if config.path.is_empty() {
        return Err(refuse("path", "no archive or folder is named"));
    }
    let inputs = std::iter::once(&config.path).chain(&config.need);
    if inputs.filter(|path| *path == "-").count() > 1 {
        return Err(refuse("need", "only one of them can be standard input"));
    }
    Ok(Parsed {
        config: Box::new(Named {
            name: meta.name.clone(),
            config,
            deadline,
        }),
        ignored,
    })
}

/// Set when it goes: a thread that reads sees it and ends.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Collector for Named {
    fn title(&self) -> String {
        super::host_title(KIND.type_name, &self.name)
    }

    fn permissions(&self, _namespace: Option<&str>) -> Vec<Permission> {
        Vec::new()
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        let paths = [self.file(INVENTORY), self.file(NEED)];
        paths.into_iter().flatten().map(String::from).collect()
    }

    fn deadline(&self) -> Option<Duration> {
        Some(self.deadline)
    }

    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        let stop = Arc::new(AtomicBool::new(false));
        let _stop = StopOnDrop(Arc::clone(&stop));
        let request = Request {
            path: PathBuf::from(&self.config.path),
            unpack: !self.config.skip_diff_ids,
            limits: Caps::default(),
        };
        let sources = self.config.need.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut wanted = Need {
                given: !sources.is_empty(),
                sources,
                ..Need::default()
            };
            for source in wanted.sources.clone() {
                let said = text_files::each(&source, &stop, |path, text| {
                    need::add(&mut wanted, path, text, Kind::Rendered);
                });
                for problem in said {
                    need::unread(&mut wanted, problem);
                }
            }
            let found = image_archive::read(&request, &stop)?;
            for file in &found.release_files {
                let path = format!("app.tar.gz/{}", file.path);
                need::add(&mut wanted, &path, &file.text, Kind::Release);
            }
            Ok::<_, ReadError>((found.inventory, wanted))
        });
        let failed = |error: tokio::task::JoinError| {
            CollectError::Failed(format!("reading {} ended: {error}", self.config.path))
        };
        let (inventory, mut wanted) = read.await.map_err(failed)?.map_err(CollectError::from)?;
        if let Some(image) = &context.agent_image {
            let place = "the image of this program, --agent-image".to_owned();
            need::record(&mut wanted.images, &image.name, place);
        }
        output.json(&self.file(NEED)?, &wanted)?;
        output.json_with(&self.file(INVENTORY)?, &inventory, " ")
    }
}

impl Named {
    fn file(&self, name: &str) -> Result<BundlePath, CollectError> {
        let own = if self.name.is_empty() {
            UNNAMED
        } else {
            &self.name
        };
        Ok(BundlePath::join([FOLDER, own, name])?)
    }
}

impl From<ReadError> for CollectError {
    fn from(error: ReadError) -> Self {
        match &error {
            ReadError::Open { source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                Self::Refused(error.to_string())
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}

//! `clusterResources`: the objects of a cluster, as bytes, by discovered group and version.

mod custom;
mod foresee;
mod kinds;
mod lists;
mod secrets;
#[cfg(test)]
mod tests;
mod unhealthy;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bundle::BundlePath;
use bundle::manifest::GapReason;
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::config;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cluster::{Cluster, Discovery};
use crate::collector::{
    CollectError, Collector, CollectorKind, Context, Output, Permission, Scope, locked,
};
use crate::foresight::Expected;
use crate::pod_log::LoggedPod;
use kinds::{CLUSTER_WIDE, DEFINITIONS, Kind, NAMESPACED, NAMESPACES, group};
use work::{Reach, Work};

/// The registry row.
pub(super) const KIND: CollectorKind = CollectorKind {
    name: "clusterResources",
    type_name: "cluster-resources",
    scope: Scope::Cluster,
    summary: "The objects of the cluster: workloads, configuration, nodes, events, custom resources",
    docs: DOCS,
    since: "0.1.0",
    parse: |value, meta| {
        let name = meta.name.clone();
        let parsed = config::parse::<ClusterResources>(value)?;
        Ok(parsed.map(|config| {
            Box::new(Named {
                name,
                config,
                unhealthy: Mutex::default(),
            }) as Box<dyn Collector>
        }))
    },
    schema: || schemars::schema_for!(ClusterResources).to_value(),
};

const DOCS: &str = "\
# What it collects

The objects of every namespace, or of those named: pods, workloads, services, configuration, events, roles
and so on; the cluster's own objects: nodes, storage classes, volumes, webhooks and so on; every custom
resource; which APIs there are; what this account may do. Secrets are not collected: of image pull secrets
only registry and user name are kept. Of pods that are not healthy the last 500 lines of each container's log
are collected too.

What may not be read is left out and said; what may be read in one namespace only is read there.

# Files

Below `cluster-resources/`:

- `namespaces.json`, `nodes.json`, `pvs.json`, `storage-classes.json`, `ingress-classes.json`,
  `priorityclasses.json`, `custom-resource-definitions.json`, `clusterroles.json`, `clusterrolebindings.json`,
  `volumeattachments.json`, `runtimeclasses.json`, `deviceclasses.json`, `resourceslices.json`,
  `certificatesigningrequests.json`, `validating-webhook-configurations.json`,
  `mutating-webhook-configurations.json`
- `<kind>/<namespace>.json` for pods, pod-disruption-budgets, services, deployments, statefulsets, daemonsets,
  replicasets, jobs, cronjobs, ingress, network-policy, resource-quota, limitranges, events, pvcs, roles,
  rolebindings, endpoints, endpointslices, serviceaccounts, leases, configmaps, horizontalpodautoscalers, resourceclaims,
  resourceclaimtemplates: there even when empty
- `custom-resources/<definition>.json` or `custom-resources/<definition>/<namespace>.json`, an array, with a
  `.yaml` link beside it
- `groups.json`, `resources.json`: discovery
- `auth-cani-list/<namespace>.json`: what this account may do
- `image-pull-secrets/<namespace>/<secret>.json`: registry and user name
- `pods/logs/<namespace>/<pod>/<container>.log` and `-previous.log` of unhealthy pods
- `license.json`: `licenseID` and `appSlug` of a `replicated` Secret
- `<name>-errors.json` beside each: what could not be read

# Permissions

`list` on each kind, cluster-wide or in the namespaces that matter, and `get` on `pods/log`. It takes what it
is given: nothing here is required.

# Example

```yaml
clusterResources:
  namespaces: [default, shop]
```
";

/// Which namespaces, and whether to believe the access review.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct ClusterResources {
    /// Only these namespaces. Empty is all of them, or the one of `--namespace`.
    namespaces: Option<Vec<String>>,
    /// Tries every namespace, also where the access review says that nothing may be read.
    #[serde(rename = "ignoreRBAC")]
    ignore_rbac: bool,
    /// Keeps `metadata.managedFields`, a third of the bytes and read by hardly anybody.
    managed_fields: bool,
}

#[derive(Debug)]
struct Named {
    name: String,
    config: ClusterResources,
    /// Found on the way, for [`Collector::collect_last`].
    unhealthy: Mutex<Vec<LoggedPod>>,
}

impl ClusterResources {
    /// The namespaces that the spec names, `None` where it wants all. An empty name is all, too.
    fn named(&self) -> Option<&[String]> {
        let names = self.namespaces.as_deref().unwrap_or_default();
        let some = !names.is_empty() && names.iter().all(|name| !name.is_empty());
        some.then_some(names)
    }
}

/// Kinds that are listed at once.
const AT_ONCE: usize = 8;

#[async_trait]
impl Collector for Named {
    fn title(&self) -> String {
        super::title(KIND.type_name, &self.name)
    }

    fn permissions(&self, namespace: Option<&str>) -> Vec<Permission> {
        let named: Vec<Option<String>> = match (self.config.named(), namespace) {
            (Some(names), _) => names.iter().cloned().map(Some).collect(),
            (None, Some(name)) => vec![Some(name.to_owned())],
            (None, None) => vec![None],
        };
        let list = |kind: &Kind, namespace: Option<String>| Permission {
            verb: "list",
            group: group(kind.versions[0]).to_owned(),
            resource: kind.resource.to_owned(),
            namespace,
            name: None,
        };
        let mut all: Vec<Permission> = [&NAMESPACES, &DEFINITIONS]
            .into_iter()
            .chain(CLUSTER_WIDE)
            .map(|kind| list(kind, None))
            .collect();
        for namespace in named {
            all.extend(NAMESPACED.iter().map(|kind| list(kind, namespace.clone())));
            all.push(Permission {
                verb: "get",
                group: String::new(),
                resource: "pods/log".to_owned(),
                namespace: namespace.clone(),
                name: None,
            });
        }
        all
    }

    fn degrades(&self) -> bool {
        true
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        vec!["cluster-resources/**".to_owned()]
    }

    async fn foresee(&self, context: &Context) -> Vec<Expected> {
        foresee::foresee(&self.config, context).await
    }

    /// A large cluster behind a slow line takes its time; the run's deadline ends it where there is one.
    fn deadline(&self) -> Option<Duration> {
        Some(Duration::from_hours(1))
    }

    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        announce(output);
        let cluster = context.cluster()?;
        let discovery = discover(cluster, output).await?;
        let work = Work {
            output: output.clone(),
            discovery,
            managed_fields: self.config.managed_fields,
            ignore_rbac: self.config.ignore_rbac,
            cluster: Arc::clone(cluster),
            namespaces: BTreeSet::new(),
            reach: Reach::All,
            rules: BTreeMap::new(),
            unhealthy: Mutex::default(),
        };
        let work = self.namespaces(work, context.namespace.as_deref()).await?;
        let work = Arc::new(work.review().await?);
        let collected = all_kinds(&work).await;
        let unhealthy = std::mem::take(&mut *locked(&work.unhealthy));
        if !unhealthy.is_empty() {
            output.expect(unhealthy::files());
        }
        *locked(&self.unhealthy) = unhealthy;
        collected
    }

    fn comes_back(&self) -> bool {
        !locked(&self.unhealthy).is_empty()
    }

    async fn collect_last(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        let pods = std::mem::take(&mut *locked(&self.unhealthy));
        unhealthy::collect(context, output, pods).await
    }
}

const ROOT: &str = "cluster-resources";

/// What is still to come, so that a collector that is cut says what is missing.
fn announce(output: &Output) {
    for kind in NAMESPACED {
        output.expect(format!("{ROOT}/{}/*.json", kind.place));
    }
    for kind in CLUSTER_WIDE.iter().chain([&DEFINITIONS, &NAMESPACES]) {
        output.expect(format!("{ROOT}/{}.json", kind.place));
    }
    for path in [
        "groups.json",
        "resources.json",
        "license.json",
        "auth-cani-list/*.json",
        "custom-resources/**",
        "image-pull-secrets/**",
    ] {
        output.expect(format!("{ROOT}/{path}"));
    }
}

fn path(name: &str) -> Result<BundlePath, CollectError> {
    Ok(BundlePath::new(format!("{ROOT}/{name}"))?)
}

/// Whether a text can name a namespace: a DNS label, which also makes it a safe part of a path.
fn is_namespace(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(inner) && !name.starts_with('-')
}

/// Asks which APIs there are, and keeps the answer. `None` where there was none: then every kind is tried.
async fn discover(cluster: &Cluster, output: &Output) -> Result<Option<Discovery>, CollectError> {
    let found = cluster.discover().await;
    let mut errors: Vec<String> = Vec::new();
    match &found {
        Ok(discovery) => {
            for (group_version, error) in &discovery.failed {
                output.gap(format!("{ROOT}/resources.json"), GapReason::Failed, error);
                errors.push(format!("{group_version}: {error}"));
            }
            output.json(&path("groups.json")?, &discovery.groups)?;
            output.json(&path("resources.json")?, &discovery.resources)?;
        }
        Err(error) if error.is_total() => return Err(error.clone().into()),
        Err(error) => {
            errors.push(error.to_string());
            for file in ["groups.json", "resources.json"] {
                output.gap(format!("{ROOT}/{file}"), error.gap_reason(), error);
            }
        }
    }
    output.done(&format!("{ROOT}/groups.json"));
    output.done(&format!("{ROOT}/resources.json"));
    if !errors.is_empty() {
        output.json(&path("groups-resources-errors.json")?, &errors)?;
    }
    Ok(found.ok())
}

impl Named {
    /// Finds the namespaces to look into, and writes `namespaces.json` in the shape that fits the case: an
    /// array of those that the spec names, the one of `--namespace`, or the list of all.
    async fn namespaces(
        &self,
        mut work: Work,
        namespace: Option<&str>,
    ) -> Result<Work, CollectError> {
        let file = path("namespaces.json")?;
        let mut errors = Vec::new();
        if let Some(names) = self.config.named() {
            work.reach = Reach::Named;
            work.namespaces = names.iter().cloned().collect();
            let mut text = Vec::new();
            for name in names.iter().filter(|name| is_namespace(name)) {
                match work.namespace(name, 1).await {
                    Ok(object) => {
                        text.extend_from_slice(if text.is_empty() { b"[\n  " } else { b",\n  " });
                        text.extend_from_slice(&object);
                    }
                    Err(error) => errors.push(error),
                }
            }
            text.extend_from_slice(if text.is_empty() { b"[]" } else { b"\n]" });
            work.output.write(&file, &text)?;
        } else if let Some(name) = namespace {
            work.reach = Reach::Named;
            work.namespaces.insert(name.to_owned());
            match work.namespace(name, 0).await {
                Ok(object) => work.output.write(&file, &object)?,
                Err(error) => errors.push(error),
            }
        } else {
            let mut names = BTreeSet::new();
            let error = work
                .cluster_wide(&NAMESPACES, |item| {
                    names.insert(item.name.to_owned());
                })
                .await?;
            if error.is_some() {
                work.reach = Reach::Known;
                names.extend(work.cluster.likely_namespaces());
            }
            work.namespaces = names;
        }
        let mut texts = Vec::new();
        for error in &errors {
            work.output.gap(file.as_str(), error.gap_reason(), error);
            texts.push(error.to_string());
        }
        for name in &work.namespaces {
            if !is_namespace(name) {
                let detail = format!("{name:?} cannot be the name of a namespace");
                let glob = format!("{ROOT}/*/*.json");
                work.output.gap(glob, GapReason::Malformed, &detail);
                texts.push(detail);
            }
        }
        work.namespaces.retain(|name| is_namespace(name));
        if !texts.is_empty() {
            work.output.json(&path("namespaces-errors.json")?, &texts)?;
        }
        work.output.done(file.as_str());
        Ok(work)
    }
}

/// Lists all kinds, some at once, each on a task of its own: redaction and compression of one does not wait
/// for another.
async fn all_kinds(work: &Arc<Work>) -> Result<(), CollectError> {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks: JoinSet<Result<(), CollectError>> = JoinSet::new();
    // The largest first, so that they do not end last.
    for kind in NAMESPACED {
        let (work, permits) = (Arc::clone(work), Arc::clone(&permits));
        tasks.spawn(async move {
            let _permit = permits.acquire().await;
            work.namespaced(kind).await
        });
    }
    for kind in CLUSTER_WIDE {
        let (work, permits) = (Arc::clone(work), Arc::clone(&permits));
        tasks.spawn(async move {
            let _permit = permits.acquire().await;
            work.cluster_wide(kind, |_| ()).await.map(drop)
        });
    }
    let secrets = Arc::clone(work);
    tasks.spawn(async move { secrets::collect(&secrets).await });
    tasks.spawn(custom::collect(Arc::clone(work), permits));
    join(tasks).await
}

/// Waits for all; the first error ends the others.
async fn join(mut tasks: JoinSet<Result<(), CollectError>>) -> Result<(), CollectError> {
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap_or_else(|error| {
            let message = format!("a fault in this program, please report it: {error}");
            Err(CollectError::Failed(message))
        })?;
    }
    Ok(())
}

/// Every built-in resource under each of its versions.
#[cfg(test)]
pub(crate) fn built_in_resources()
-> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let all = NAMESPACED.iter().chain(CLUSTER_WIDE);
    all.chain([&DEFINITIONS, &NAMESPACES]).flat_map(|kind| {
        let versions = kind.versions.iter();
        versions.map(|version| (*version, kind.resource, kind.name))
    })
}

//! `clusterResources`: the objects of a cluster, as bytes, by discovered group and version.

mod custom;
mod kinds;
mod lists;
mod secrets;
#[cfg(test)]
mod tests;
mod unhealthy;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bundle::BundlePath;
use bundle::collected::pod::Pod;
use bundle::manifest::GapReason;
use futures::StreamExt;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use syntax::config;
use syntax::json::{Style, TypeMeta, indent};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cluster::{ApiError, Cause, Cluster, Discovery, ListError, Listed, Rules, segment};
use crate::collector::{
    CollectError, Collector, CollectorKind, Context, Output, Permission, Scope, locked,
};
use crate::pod_log::LoggedPod;
use kinds::{CLUSTER_WIDE, DEFINITIONS, Kind, NAMESPACED, NAMESPACES, collection, group};
use lists::{Form, Sorter};

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
  `volumeattachments.json`, `certificatesigningrequests.json`, `validating-webhook-configurations.json`,
  `mutating-webhook-configurations.json`
- `<kind>/<namespace>.json` for pods, pod-disruption-budgets, services, deployments, statefulsets, daemonsets,
  replicasets, jobs, cronjobs, ingress, network-policy, resource-quota, limitranges, events, pvcs, roles,
  rolebindings, endpoints, endpointslices, serviceaccounts, leases, configmaps: there even when empty
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

/// Several collectors of a spec as one: the union of their namespaces, all where one of them wants all.
#[must_use]
pub fn merge(configurations: &[Value]) -> Value {
    let parsed: Vec<ClusterResources> = configurations
        .iter()
        .filter_map(|value| config::parse(value).ok())
        .map(|parsed| parsed.config)
        .collect();
    let mut merged = configurations.first().cloned().unwrap_or_default();
    let mut union = BTreeSet::new();
    let mut all = false;
    for each in &parsed {
        match each.named() {
            Some(names) => union.extend(names.iter().cloned()),
            None => all = true,
        }
    }
    if let Some(object) = merged.as_object_mut() {
        object.remove("namespaces");
        if !all {
            object.insert("namespaces".into(), union.into_iter().collect());
        }
    }
    merged
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
        *locked(&self.unhealthy) = std::mem::take(&mut *locked(&work.unhealthy));
        collected
    }

    fn comes_back(&self) -> bool {
        true
    }

    async fn collect_last(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        let pods = std::mem::take(&mut *locked(&self.unhealthy));
        unhealthy::collect(context.cluster()?, output, pods).await
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

/// How far the run may look, by the spec and by the namespaces that could be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Every namespace, and their names are known.
    All,
    /// Every namespace is wanted, but their names may not be listed.
    Known,
    /// The namespaces that were named.
    Named,
}

/// What the lists have in common.
struct Work {
    cluster: Arc<Cluster>,
    output: Output,
    discovery: Option<Discovery>,
    managed_fields: bool,
    ignore_rbac: bool,
    namespaces: BTreeSet<String>,
    reach: Reach,
    /// By namespace; none where there was no review.
    rules: BTreeMap<String, Rules>,
    unhealthy: Mutex<Vec<LoggedPod>>,
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

impl Work {
    /// One namespace's object, indented to stand `depth` levels deep.
    async fn namespace(&self, name: &str, depth: usize) -> Result<Vec<u8>, ApiError> {
        let path = format!("/api/v1/namespaces/{}", segment(name));
        let object = self.cluster.document(&path, &[]).await?;
        let style = Style {
            depth,
            type_meta: Some(TypeMeta {
                kind: "Namespace",
                api_version: "v1",
            }),
            managed_fields: self.managed_fields,
            ..Style::default()
        };
        let mut text = Vec::new();
        indent(&object, &style, &mut text).map_err(|error| {
            let cause = Cause::Malformed(error.to_string());
            ApiError {
                request: format!("GET {path}"),
                cause,
            }
        })?;
        Ok(text)
    }

    /// Asks what this account may do, and keeps the answers. Who may do everything everywhere is asked once,
    /// not once for each namespace.
    async fn review(mut self) -> Result<Self, CollectError> {
        let everything = Permission {
            verb: "*",
            group: "*".to_owned(),
            resource: "*".to_owned(),
            namespace: None,
            name: None,
        };
        let administrator = matches!(self.cluster.may(&everything).await, Ok(true));
        let asked: Vec<String> = if administrator {
            self.namespaces.iter().take(1).cloned().collect()
        } else {
            self.namespaces.iter().cloned().collect()
        };
        let answers = futures::stream::iter(asked.into_iter().map(|namespace| async {
            let rules = self.cluster.rules(&namespace).await;
            (namespace, rules)
        }));
        let answers: Vec<_> = answers.buffered(AT_ONCE).collect().await;
        let mut errors = BTreeMap::new();
        for (namespace, answer) in answers {
            match answer {
                Ok(rules) if administrator => {
                    for name in &self.namespaces {
                        self.rules.insert(name.clone(), rules.clone());
                    }
                }
                Ok(rules) => {
                    if !rules.evaluation_error.is_empty() {
                        errors.insert(namespace.clone(), rules.evaluation_error.clone());
                    }
                    self.rules.insert(namespace, rules);
                }
                Err(error) => {
                    let file = format!("{ROOT}/auth-cani-list/{namespace}.json");
                    self.output.gap(file, error.gap_reason(), &error);
                    errors.insert(namespace, error.to_string());
                }
            }
        }
        for (namespace, rules) in &self.rules {
            let file = path(&format!("auth-cani-list/{namespace}.json"))?;
            self.output.json(&file, &rules.policy_rules())?;
        }
        if !errors.is_empty() {
            self.output
                .json(&path("auth-cani-list-errors.json")?, &errors)?;
        }
        self.output.done(&format!("{ROOT}/auth-cani-list/*.json"));
        Ok(self)
    }

    /// The group and version under which the server has a kind.
    fn version_of(&self, kind: &Kind) -> Option<&'static str> {
        let mut versions = kind.versions.iter().copied();
        match &self.discovery {
            Some(discovery) => versions.find(|version| discovery.has(version, kind.resource)),
            None => versions.next(),
        }
    }

    /// Whether the review leaves a chance that a list is allowed in a namespace.
    fn may_list(&self, namespace: &str, group: &str, resource: &str) -> bool {
        self.ignore_rbac
            || self.rules.get(namespace).is_none_or(|rules| {
                rules.incomplete
                    || !rules.evaluation_error.is_empty()
                    || rules.allow("list", group, resource)
            })
    }

    fn sorter(&self, place: &str, kind: &str, api_version: &str, namespaced: bool) -> Sorter<'_> {
        let form = Form::List {
            kind: kind.to_owned(),
            api_version: api_version.to_owned(),
        };
        let place = format!("{ROOT}/{place}");
        Sorter::new(&self.output, place, form, namespaced, self.managed_fields)
    }

    /// Lists a cluster-wide kind into its file. Gives the API's error, which is recorded already.
    async fn cluster_wide(
        &self,
        kind: &Kind,
        mut look: impl FnMut(&Listed<'_>) + Send,
    ) -> Result<Option<ApiError>, CollectError> {
        let file = format!("{ROOT}/{}.json", kind.place);
        let Some(version) = self.version_of(kind) else {
            self.absent(&file, kind);
            return Ok(None);
        };
        let mut sorter = self.sorter(kind.place, kind.name, version, false);
        let target = collection(version, None, kind.resource);
        let listed = self.cluster.list(&target, &[], |item| {
            look(item);
            sorter.take(item)
        });
        let error = match listed.await {
            Ok(listing) => {
                sorter.ended(&listing, [""])?;
                None
            }
            Err(ListError::Taker(error)) => return Err(error),
            Err(ListError::Api(error)) => {
                sorter.broke(&error, [""])?;
                Some(error)
            }
        };
        sorter.write_errors()?;
        self.output.done(&file);
        Ok(error)
    }

    /// Lists a namespaced kind into a file for each namespace.
    async fn namespaced(&self, kind: &Kind) -> Result<(), CollectError> {
        let glob = format!("{ROOT}/{}/*.json", kind.place);
        let Some(version) = self.version_of(kind) else {
            self.absent(&glob, kind);
            return Ok(());
        };
        let mut sorter = self.sorter(kind.place, kind.name, version, true);
        let looks_at_pods = kind.name == "Pod";
        self.by_namespace(&mut sorter, version, kind.resource, true, |item| {
            if looks_at_pods {
                self.note_health(item);
            }
        })
        .await?;
        sorter.write_errors()?;
        self.output.done(&glob);
        Ok(())
    }

    /// One list of all namespaces where that is wanted and allowed, else one for each namespace that may be
    /// read. With `empty` a namespace without objects has a file, too.
    async fn by_namespace(
        &self,
        sorter: &mut Sorter<'_>,
        version: &str,
        resource: &str,
        empty: bool,
        mut look: impl FnMut(&Listed<'_>) + Send,
    ) -> Result<(), CollectError> {
        let names = || self.namespaces.iter().map(String::as_str);
        let mut refused = None;
        if self.reach != Reach::Named {
            let target = collection(version, None, resource);
            let listed = self.cluster.list(&target, &[], |item| {
                look(item);
                sorter.take(item)
            });
            match listed.await {
                Ok(listing) => {
                    let expected: Vec<&str> = if empty { names().collect() } else { Vec::new() };
                    return sorter.ended(&listing, expected);
                }
                Err(ListError::Taker(error)) => return Err(error),
                Err(ListError::Api(error)) if !error.is_refused() => {
                    if self.reach == Reach::Known || !empty {
                        sorter.missing("", error.gap_reason(), &error.to_string());
                        return sorter.close();
                    }
                    return sorter.broke(&error, names());
                }
                Err(ListError::Api(error)) => refused = Some(error),
            }
        }
        let group = group(version);
        let (may, may_not): (Vec<&str>, Vec<&str>) =
            names().partition(|namespace| self.may_list(namespace, group, resource));
        if may.is_empty() {
            let detail = match refused {
                Some(error) => error.to_string(),
                None => format!("list {resource} is not allowed in any of the namespaces"),
            };
            sorter.missing("", GapReason::Refused, &detail);
            return Ok(());
        }
        if let Some(error) = refused.filter(|_| self.reach == Reach::Known) {
            let looked_into = may.join(", ");
            let detail = format!("only {looked_into} could be looked into: {error}");
            sorter.missing("", GapReason::Refused, &detail);
        }
        for namespace in may_not {
            let detail = format!("list {resource} in namespace {namespace:?} is not allowed");
            sorter.missing(namespace, GapReason::Refused, &detail);
        }
        for namespace in may {
            let target = collection(version, Some(namespace), resource);
            let listed = self.cluster.list(&target, &[], |item| {
                look(item);
                sorter.take(item)
            });
            let expected = [namespace];
            match listed.await {
                Ok(listing) if empty => sorter.ended(&listing, expected)?,
                Ok(listing) => sorter.ended(&listing, [])?,
                Err(ListError::Taker(error)) => return Err(error),
                Err(ListError::Api(error)) => sorter.broke(&error, expected)?,
            }
        }
        Ok(())
    }

    fn absent(&self, glob: &str, kind: &Kind) {
        let detail = format!(
            "the server has no {} in {}",
            kind.resource,
            kind.versions.join(", ")
        );
        self.output.gap(glob, GapReason::Absent, detail);
        self.output.done(glob);
    }

    fn note_health(&self, item: &Listed<'_>) {
        // What is no pod is said where it is written.
        if let Ok(pod) = serde_json::from_slice::<Pod>(item.bytes)
            && pod.is_unhealthy()
        {
            locked(&self.unhealthy).push(LoggedPod::from(pod));
        }
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

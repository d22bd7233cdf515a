//! Custom resources: by their definitions, or, where these may not be listed, by what discovery shows.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bundle::manifest::GapReason;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::kinds::{DEFINITIONS, OWN_GROUPS, collection, group};
use super::lists::{Form, Sorter};
use super::work::Work;
use super::{ROOT, join, path};
use crate::cluster::{Discovery, ListError};
use crate::collector::{CollectError, locked};

/// A kind of custom resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Custom {
    /// The definition's name, `<plural>.<group>`.
    name: String,
    group_version: String,
    plural: String,
    namespaced: bool,
}

/// The part of a `CustomResourceDefinition` that is read, v1 and v1beta1 alike.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Definition {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    group: String,
    scope: String,
    names: Names,
    version: String,
    versions: Vec<Version>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Names {
    plural: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Version {
    name: String,
    served: bool,
}

impl Definition {
    /// The version to read: of those that are served the first by Kubernetes' own order.
    fn custom(self) -> Option<Custom> {
        let served = self.spec.versions.into_iter().filter(|each| each.served);
        let version = served
            .map(|each| each.name)
            .max_by(|one, other| priority(one).cmp(&priority(other)))
            .or(Some(self.spec.version).filter(|version| !version.is_empty()))?;
        Some(Custom {
            name: self.metadata.name,
            group_version: format!("{}/{version}", self.spec.group),
            plural: self.spec.names.plural,
            namespaced: self.spec.scope == "Namespaced",
        })
    }
}

/// Kubernetes' order of versions: `v10`, `v2`, `v1`, `v11beta2`, `v3beta1`, `v2alpha1`, then all that is no
/// such name, the alphabetically last first as troubleshoot takes it. Greater is better.
fn priority(version: &str) -> (u8, u64, u64, &str) {
    let parsed = || {
        let rest = version.strip_prefix('v')?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let major = rest[..digits].parse().ok()?;
        let rest = &rest[digits..];
        if rest.is_empty() {
            return Some((3, major, 0));
        }
        for (stability, word) in [(2, "beta"), (1, "alpha")] {
            if let Some(minor) = rest.strip_prefix(word) {
                return Some((stability, major, minor.parse().ok()?));
            }
        }
        None
    };
    let (stability, major, minor) = parsed().unwrap_or_default();
    (stability, major, minor, version)
}

pub(super) async fn collect(work: Arc<Work>, permits: Arc<Semaphore>) -> Result<(), CollectError> {
    let mut found = BTreeSet::new();
    let errors: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
    let refused = {
        let _permit = permits.acquire().await;
        work.cluster_wide(&DEFINITIONS, |item| {
            let definition = serde_json::from_slice::<Definition>(item.bytes);
            // What is no definition is said where it is written.
            found.extend(definition.ok().and_then(Definition::custom));
        })
        .await?
    };
    if let Some(error) = refused {
        found.extend(discovered(&work));
        let detail = format!("custom resources were looked for by discovery only: {error}");
        let glob = format!("{ROOT}/custom-resources/**");
        work.output.gap(glob, error.gap_reason(), detail);
        locked(&errors).insert("crdList".into(), error.to_string());
    }
    let mut tasks = JoinSet::new();
    for custom in found {
        let (work, permits) = (Arc::clone(&work), Arc::clone(&permits));
        let errors = Arc::clone(&errors);
        tasks.spawn(async move {
            let _permit = permits.acquire().await;
            let failed = work.custom(&custom).await?;
            locked(&errors).extend(failed);
            Ok(())
        });
    }
    join(tasks).await?;
    let errors = std::mem::take(&mut *locked(&errors));
    if !errors.is_empty() {
        let file = path("custom-resources/custom-resources-errors.json")?;
        work.output.json(&file, &errors)?;
    }
    work.output.done(&format!("{ROOT}/custom-resources/**"));
    Ok(())
}

/// What discovery shows in groups that are not Kubernetes' own, in the best version of each, as far as this
/// account may list it somewhere.
fn discovered(work: &Work) -> Vec<Custom> {
    let mut customs = served(work.discovery.as_ref());
    customs.retain(|custom| {
        let group = group(&custom.group_version);
        let mut namespaces = work.namespaces.iter();
        namespaces.any(|namespace| work.may_list(namespace, group, &custom.plural))
    });
    customs
}

/// Group and version, plural, and whether it is namespaced, of each kind that lists of custom resources will be of.
pub(super) fn listed(
    discovery: Option<&Discovery>,
) -> impl Iterator<Item = (String, String, bool)> {
    let served = served(discovery).into_iter();
    served.map(|custom| (custom.group_version, custom.plural, custom.namespaced))
}

/// What can be listed in groups that are not Kubernetes' own, in the best version of each.
fn served(discovery: Option<&Discovery>) -> Vec<Custom> {
    let Some(discovery) = discovery else {
        return Vec::new();
    };
    let mut best: BTreeMap<String, Custom> = BTreeMap::new();
    let mut lists: Vec<_> = discovery.resources.iter().collect();
    lists.sort_by_key(|list| {
        let version = list.group_version.rsplit('/').next();
        Reverse(priority(version.unwrap_or_default()))
    });
    for list in lists {
        let group = group(&list.group_version);
        if group.is_empty() || OWN_GROUPS.contains(&group) {
            continue;
        }
        for resource in &list.resources {
            let lists = resource.verbs.iter().any(|verb| verb == "list");
            if lists && !resource.name.contains('/') {
                let name = format!("{}.{group}", resource.name);
                best.entry(name.clone()).or_insert_with(|| Custom {
                    name,
                    group_version: list.group_version.clone(),
                    plural: resource.name.clone(),
                    namespaced: resource.namespaced,
                });
            }
        }
    }
    best.into_values().collect()
}

impl Work {
    /// Lists one kind of custom resource into its files. Gives what could not be read, by definition or by
    /// definition and namespace.
    async fn custom(&self, custom: &Custom) -> Result<BTreeMap<String, String>, CollectError> {
        let place = format!("{ROOT}/custom-resources/{}", custom.name);
        let mut sorter = Sorter::new(
            &self.output,
            place,
            Form::Array,
            custom.namespaced,
            self.managed_fields,
        );
        if custom.namespaced {
            let version = &custom.group_version;
            self.by_namespace(&mut sorter, version, &custom.plural, false, |_| ())
                .await?;
        } else {
            let target = collection(&custom.group_version, None, &custom.plural);
            let listed = self
                .cluster
                .list(&target, &[], |item| sorter.take(item))
                .await;
            match listed {
                Ok(listing) => sorter.ended(&listing, [])?,
                Err(ListError::Taker(error)) => return Err(error),
                Err(ListError::Api(error)) if error.gap_reason() == GapReason::Absent => {
                    sorter.missing("", GapReason::Absent, &error.to_string());
                }
                Err(ListError::Api(error)) => sorter.broke(&error, [""])?,
            }
        }
        let errors = std::mem::take(&mut sorter.errors).into_iter();
        Ok(errors
            .map(|(namespace, error)| match namespace.as_str() {
                "" => (custom.name.clone(), error),
                namespace => (format!("{}/{namespace}", custom.name), error),
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_version_that_kubernetes_would() {
        for (versions, best) in [
            (&["v1beta1", "v1", "v2alpha1"][..], "v1"),
            (&["v2", "v10", "v1"], "v10"),
            (&["v1alpha1", "v1beta1", "v1beta2"], "v1beta2"),
            (&["foo10", "v1alpha1", "foo1"], "v1alpha1"),
            (&["foo10", "foo1"], "foo10"),
            (&["v1", "v1gamma1"], "v1"),
        ] {
            let taken = versions.iter().max_by_key(|version| priority(version));
            assert_eq!(taken, Some(&best), "{versions:?}");
        }
    }

    #[test]
    fn a_version_that_is_not_served_is_not_taken() -> serde_json::Result<()> {
        let definition = r#"{"metadata": {"name": "cats.example.org"}, "spec": {
            "group": "example.org", "scope": "Namespaced", "names": {"plural": "cats", "kind": "Cat"},
            "versions": [{"name": "v2", "served": false}, {"name": "v1", "served": true, "schema": {}}]}}"#;
        let definition: Definition = serde_json::from_str(definition)?;
        let custom = definition.custom().map(|custom| custom.group_version);
        assert_eq!(custom.as_deref(), Some("example.org/v1"));
        Ok(())
    }
}

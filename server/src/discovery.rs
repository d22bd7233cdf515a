//! Discovery: which groups, versions and resources the cluster had, in the legacy form and the aggregated one.
//!
//! What was recorded is served as it was, verbs included: it tells of the cluster, and collecting from a
//! served bundle gives the same files again. Kinds that the record lacks are added from the catalog.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use bundle::Files;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::catalog::{Catalog, Resource, group_version, split_group_version};
use crate::definition::priority;
use crate::request::ObjectPath;

const GROUPS: &str = "cluster-resources/groups.json";
const RESOURCES: &str = "cluster-resources/resources.json";

/// The verbs of a kind that only the bundle's files tell of.
const READ_VERBS: [&str; 2] = ["get", "list"];

/// `metav1.APIResource`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiResource {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) singular_name: String,
    pub(crate) namespaced: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    group: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    version: String,
    pub(crate) kind: String,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) short_names: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) categories: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    storage_version_hash: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiResourceList {
    group_version: String,
    #[serde(default)]
    resources: Vec<ApiResource>,
}

/// `metav1.GroupVersionForDiscovery`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupVersion {
    group_version: String,
    version: String,
}

/// `metav1.APIGroup`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiGroup {
    name: String,
    versions: Vec<GroupVersion>,
    preferred_version: GroupVersion,
}

/// What the cluster served.
#[derive(Debug, Default)]
pub(crate) struct Discovery {
    /// In the recorded order, the core group (named "") among them.
    groups: Vec<ApiGroup>,
    /// By group version; a group version without a list is one that did not answer.
    lists: BTreeMap<String, Vec<ApiResource>>,
    /// Whether the lists are those of the cluster.
    recorded: bool,
    pub(crate) notes: Vec<String>,
}

impl ApiResource {
    /// Whether objects of it can be read at all; reviews can only be created.
    pub(crate) fn is_readable(&self) -> bool {
        self.verbs
            .iter()
            .any(|verb| verb == "get" || verb == "list")
    }
}

impl Discovery {
    /// Reads what was recorded; nothing, where nothing was.
    pub(crate) fn read(files: &Files) -> Self {
        let mut discovery = Self::default();
        if files.contains(GROUPS) {
            match files.decoded::<Vec<ApiGroup>>(GROUPS) {
                Ok(groups) => discovery.groups = groups.to_vec(),
                Err(error) => discovery.notes.push(error.to_string()),
            }
        }
        if files.contains(RESOURCES) {
            match files.decoded::<Vec<ApiResourceList>>(RESOURCES) {
                Ok(lists) => {
                    discovery.recorded = true;
                    for list in lists.iter() {
                        let into = discovery
                            .lists
                            .entry(list.group_version.clone())
                            .or_default();
                        into.extend(list.resources.iter().cloned());
                    }
                }
                Err(error) => discovery.notes.push(error.to_string()),
            }
        }
        discovery
    }

    /// Adds the kinds that the bundle holds and the record lacks. Where nothing was recorded that is every kind of
    /// Kubernetes' own: whether the cluster had them is not known, and what is left out here counts as not had.
    pub(crate) fn complete(&mut self, catalog: &Catalog) {
        if self.groups.is_empty() {
            self.lists.entry("v1".to_owned()).or_default();
        }
        for resource in catalog.iter() {
            let known = !self.versions(&resource.group, &resource.plural).is_empty();
            let held = resource.custom || !resource.files.is_empty();
            if !known && (held || !self.recorded) {
                let list = self.lists.entry(resource.group_version()).or_default();
                list.push(of_catalog(resource));
            }
        }
        let versions: Vec<String> = self.lists.keys().cloned().collect();
        for group_version in versions {
            self.add_group_version(&group_version);
        }
        self.add_group_version("v1");
    }

    fn add_group_version(&mut self, text: &str) {
        let (name, version) = split_group_version(text);
        let added = GroupVersion {
            group_version: text.to_owned(),
            version: version.to_owned(),
        };
        let Some(group) = self.groups.iter_mut().find(|group| group.name == name) else {
            self.groups.push(ApiGroup {
                name: name.to_owned(),
                versions: vec![added.clone()],
                preferred_version: added,
            });
            return;
        };
        if group.versions.iter().any(|known| known.version == version) {
            return;
        }
        group.versions.push(added);
        group
            .versions
            .sort_by_key(|version| Reverse(priority(&version.version)));
    }

    /// The versions that a resource was served in, in order of its group's versions.
    pub(crate) fn versions(&self, group: &str, plural: &str) -> Vec<&str> {
        let mut versions: Vec<&str> = self
            .lists
            .iter()
            .filter(|(_, list)| list.iter().any(|resource| resource.name == plural))
            .map(|(text, _)| split_group_version(text))
            .filter(|(of, _)| *of == group)
            .map(|(_, version)| version)
            .collect();
        versions.sort_by_key(|version| Reverse(priority(version)));
        versions
    }

    /// A resource by path segments.
    pub(crate) fn get(&self, group: &str, version: &str, plural: &str) -> Option<&ApiResource> {
        let list = self.lists.get(&group_version(group, version))?;
        list.iter().find(|resource| resource.name == plural)
    }

    /// Whether the resource has the subresource; where nothing was recorded, any may be.
    pub(crate) fn has_subresource(&self, path: &ObjectPath, subresource: &str) -> bool {
        let name = format!("{}/{subresource}", path.resource);
        !self.recorded || self.get(&path.group, &path.version, &name).is_some()
    }

    /// A resource (no subresource) by the kind of its objects.
    pub(crate) fn by_kind(&self, group_version: &str, kind: &str) -> Option<&ApiResource> {
        let list = self.lists.get(group_version)?;
        list.iter()
            .find(|resource| resource.kind == kind && !resource.name.contains('/'))
    }

    /// `GET /api`.
    pub(crate) fn core_versions(&self) -> Value {
        let core = self.groups.iter().find(|group| group.name.is_empty());
        let versions = core.into_iter().flat_map(|group| &group.versions);
        json!({
            "kind": "APIVersions",
            "versions": versions.map(|version| &version.version).collect::<Vec<_>>(),
            "serverAddressByClientCIDRs": [],
        })
    }

    /// `GET /apis`.
    pub(crate) fn group_list(&self) -> Value {
        let named = self.groups.iter().filter(|group| !group.name.is_empty());
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": named.collect::<Vec<_>>()})
    }

    /// `GET /apis/{group}`.
    pub(crate) fn group(&self, name: &str) -> Option<Value> {
        let group = self
            .groups
            .iter()
            .find(|group| !name.is_empty() && group.name == name)?;
        Some(json!({
            "kind": "APIGroup",
            "apiVersion": "v1",
            "name": group.name,
            "versions": group.versions,
            "preferredVersion": group.preferred_version,
        }))
    }

    /// The group versions outside the core group.
    pub(crate) fn group_versions(&self) -> impl Iterator<Item = &str> {
        let groups = self.groups.iter().filter(|group| !group.name.is_empty());
        groups
            .flat_map(|group| &group.versions)
            .map(|version| version.group_version.as_str())
    }

    /// Whether the cluster named this group version, answered for it or not.
    pub(crate) fn has_group_version(&self, text: &str) -> bool {
        let mut versions = self.groups.iter().flat_map(|group| &group.versions);
        versions.any(|version| version.group_version == text)
    }

    /// `GET /api/v1`, `GET /apis/{group}/{version}`; `None` for a version that did not answer.
    pub(crate) fn resource_list(&self, text: &str) -> Option<Value> {
        let resources = self.lists.get(text)?;
        Some(json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": text,
            "resources": resources,
        }))
    }

    /// `GET /api` or `GET /apis` as an aggregated `APIGroupDiscoveryList` of `apidiscovery.k8s.io/{version}`.
    pub(crate) fn aggregated(&self, core: bool, version: &str) -> Value {
        let groups = self
            .groups
            .iter()
            .filter(|group| group.name.is_empty() == core);
        let items: Vec<Value> = groups.map(|group| self.aggregated_group(group)).collect();
        json!({
            "kind": "APIGroupDiscoveryList",
            "apiVersion": format!("apidiscovery.k8s.io/{version}"),
            "metadata": {},
            "items": items,
        })
    }

    fn aggregated_group(&self, group: &ApiGroup) -> Value {
        let preferred = &group.preferred_version.version;
        let mut order: Vec<&GroupVersion> = group.versions.iter().collect();
        // Clients take the first version as the preferred one.
        order.sort_by_key(|version| version.version != *preferred);
        let versions: Vec<Value> = order
            .into_iter()
            .map(|version| match self.lists.get(&version.group_version) {
                Some(list) => json!({
                    "version": version.version,
                    "resources": aggregated_resources(list),
                    "freshness": "Current",
                }),
                None => json!({"version": version.version, "freshness": "Stale"}),
            })
            .collect();
        let mut metadata = json!({});
        if !group.name.is_empty() {
            metadata["name"] = Value::from(group.name.as_str());
        }
        json!({ "metadata": metadata, "versions": versions })
    }
}

fn aggregated_resources(list: &[ApiResource]) -> Vec<Value> {
    // As recorded: an empty group or version is that of the list, for clients to fill in.
    let response_kind = |resource: &ApiResource| json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
    let own: BTreeSet<&str> = list.iter().map(|resource| resource.name.as_str()).collect();
    let mut found = Vec::new();
    for resource in list {
        // A subresource whose resource is missing stands for itself, as the API server has it.
        let parent = resource.name.split_once('/').map(|(parent, _)| parent);
        if parent.is_some_and(|parent| own.contains(parent)) {
            continue;
        }
        let prefix = format!("{}/", resource.name);
        let subresources: Vec<Value> = list
            .iter()
            .filter_map(|other| Some((other.name.strip_prefix(&prefix)?, other)))
            .map(|(name, other)| {
                json!({"subresource": name, "responseKind": response_kind(other), "verbs": other.verbs})
            })
            .collect();
        let mut value = json!({
            "resource": resource.name,
            "responseKind": response_kind(resource),
            "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
            "singularResource": resource.singular_name,
            "verbs": resource.verbs,
        });
        let optional = [
            ("shortNames", json!(resource.short_names)),
            ("categories", json!(resource.categories)),
            ("subresources", json!(subresources)),
        ];
        for (key, list) in optional {
            if list != json!([]) {
                value[key] = list;
            }
        }
        found.push(value);
    }
    found
}

fn of_catalog(resource: &Resource) -> ApiResource {
    ApiResource {
        name: resource.plural.clone(),
        singular_name: resource.singular.clone(),
        namespaced: resource.namespaced,
        kind: resource.kind.clone(),
        verbs: READ_VERBS.map(str::to_owned).to_vec(),
        short_names: resource.short_names.clone(),
        categories: resource.categories.clone(),
        ..ApiResource::default()
    }
}

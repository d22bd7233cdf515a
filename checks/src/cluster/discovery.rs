//! Which APIs the server has: aggregated discovery where there is one (two requests), else one request for
//! each group and version.

use std::collections::BTreeMap;

use futures::StreamExt;
use serde::{Deserialize, Serialize};

use super::{ApiError, Cause, Cluster};

/// What discovery found, in the shapes that troubleshoot keeps (`groups.json`, `resources.json`).
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    /// The groups, core first.
    pub groups: Vec<Group>,
    /// The resources of each group and version that answered.
    pub resources: Vec<ResourceList>,
    /// The groups and versions that did not answer, and what came back: an aggregated API whose server is
    /// down.
    pub failed: BTreeMap<String, String>,
}

/// `metav1.APIGroup`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Group {
    /// Empty for core.
    pub name: String,
    /// In the server's order of preference.
    pub versions: Vec<GroupVersion>,
    /// The first, usually.
    pub preferred_version: GroupVersion,
}

/// `metav1.GroupVersionForDiscovery`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GroupVersion {
    /// `apps/v1`, `v1`
    pub group_version: String,
    /// `v1`
    pub version: String,
}

/// `metav1.APIResourceList`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceList {
    /// `apps/v1`, `v1`
    pub group_version: String,
    /// The resources, subresources after a slash.
    pub resources: Vec<Resource>,
}

/// `metav1.APIResource`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Resource {
    /// The plural, `deployments`, `deployments/scale`.
    pub name: String,
    /// The singular.
    pub singular_name: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// The group of its kind, where that is another than the list's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The version of its kind, where that is another than the list's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// `Deployment`
    pub kind: String,
    /// `get`, `list`, …
    pub verbs: Vec<String>,
    /// `deploy`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub short_names: Vec<String>,
    /// `all`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Only legacy discovery has it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub storage_version_hash: String,
}

impl Discovery {
    /// The resources of a group and version (`apps/v1`), `None` where the server does not have it.
    #[must_use]
    pub fn resources(&self, group_version: &str) -> Option<&[Resource]> {
        self.resources
            .iter()
            .find(|list| list.group_version == group_version)
            .map(|list| list.resources.as_slice())
    }

    /// Whether the server has a resource, as far as is known: what did not answer counts as there.
    #[must_use]
    pub fn has(&self, group_version: &str, resource: &str) -> bool {
        self.failed.contains_key(group_version)
            || self
                .resources(group_version)
                .is_some_and(|all| all.iter().any(|each| each.name == resource))
    }
}

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

impl Cluster {
    /// Asks which APIs there are. A group that does not answer costs only itself.
    pub async fn discover(&self) -> Result<Discovery, ApiError> {
        let (core, groups) = futures::join!(self.discover_at("/api"), self.discover_at("/apis"));
        let mut discovery = core?;
        match groups {
            Ok(groups) => {
                discovery.groups.extend(groups.groups);
                discovery.resources.extend(groups.resources);
                discovery.failed.extend(groups.failed);
            }
            Err(error) => {
                discovery.failed.insert("/apis".into(), error.to_string());
            }
        }
        Ok(discovery)
    }

    async fn discover_at(&self, root: &str) -> Result<Discovery, ApiError> {
        let bytes = self.negotiated(root, AGGREGATED).await?;
        let malformed = |error: serde_json::Error| {
            ApiError::new(format!("GET {root}"), Cause::Malformed(error.to_string()))
        };
        let head: Kind = serde_json::from_slice(&bytes).map_err(malformed)?;
        match head.kind.as_str() {
            "APIGroupDiscoveryList" => {
                let list: Aggregated = serde_json::from_slice(&bytes).map_err(malformed)?;
                Ok(list.into())
            }
            "APIVersions" => {
                let versions: Versions = serde_json::from_slice(&bytes).map_err(malformed)?;
                let group = Group::new(String::new(), versions.versions);
                Ok(self.legacy(root, vec![group]).await)
            }
            "APIGroupList" => {
                let groups: Groups = serde_json::from_slice(&bytes).map_err(malformed)?;
                Ok(self.legacy(root, groups.groups).await)
            }
            other => Err(ApiError::new(
                format!("GET {root}"),
                Cause::Malformed(format!("a list of APIs was expected, {other:?} came")),
            )),
        }
    }

    async fn legacy(&self, root: &str, groups: Vec<Group>) -> Discovery {
        let wanted: Vec<String> = groups
            .iter()
            .flat_map(|group| &group.versions)
            .map(|version| version.group_version.clone())
            .collect();
        let answers = futures::stream::iter(wanted.into_iter().map(|group_version| async move {
            let path = format!("{root}/{group_version}");
            let answer = self.json::<ResourceList>(&path, &[]).await;
            (group_version, answer)
        }));
        let answers: Vec<_> = answers.buffered(8).collect().await;
        let mut discovery = Discovery {
            groups,
            ..Discovery::default()
        };
        for (group_version, answer) in answers {
            match answer {
                Ok(list) => discovery.resources.push(list),
                Err(error) => {
                    discovery.failed.insert(group_version, error.to_string());
                }
            }
        }
        discovery
    }
}

impl Group {
    fn new(name: String, versions: Vec<String>) -> Self {
        let versions: Vec<GroupVersion> = versions
            .into_iter()
            .map(|version| GroupVersion {
                group_version: if name.is_empty() {
                    version.clone()
                } else {
                    format!("{name}/{version}")
                },
                version,
            })
            .collect();
        Self {
            preferred_version: versions.first().cloned().unwrap_or_default(),
            name,
            versions,
        }
    }
}

#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    kind: String,
}

#[derive(Deserialize)]
struct Versions {
    #[serde(default)]
    versions: Vec<String>,
}

#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    groups: Vec<Group>,
}

/// `apidiscovery.k8s.io` `APIGroupDiscoveryList`, v2 and v2beta1 alike.
#[derive(Deserialize)]
struct Aggregated {
    #[serde(default)]
    items: Vec<AggregatedGroup>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AggregatedGroup {
    metadata: GroupMetadata,
    versions: Vec<AggregatedVersion>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct GroupMetadata {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AggregatedVersion {
    version: String,
    resources: Vec<AggregatedResource>,
    freshness: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AggregatedResource {
    resource: String,
    response_kind: ResponseKind,
    scope: String,
    singular_resource: String,
    verbs: Vec<String>,
    short_names: Vec<String>,
    categories: Vec<String>,
    subresources: Vec<AggregatedSubresource>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AggregatedSubresource {
    subresource: String,
    response_kind: ResponseKind,
    verbs: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseKind {
    group: String,
    version: String,
    kind: String,
}

impl From<Aggregated> for Discovery {
    fn from(list: Aggregated) -> Self {
        let mut discovery = Self::default();
        for group in list.items {
            let name = group.metadata.name;
            let versions = group.versions.iter().map(|each| each.version.clone());
            let legacy = Group::new(name.clone(), versions.collect());
            for (version, known) in group.versions.into_iter().zip(&legacy.versions) {
                let group_version = known.group_version.clone();
                if version.freshness == "Stale" {
                    let reason = format!(
                        "stale discovery of {group_version}: the server behind this API does not answer"
                    );
                    discovery.failed.insert(group_version, reason);
                    continue;
                }
                let resources = version.resources.into_iter();
                discovery.resources.push(ResourceList {
                    resources: resources
                        .flat_map(|resource| resource.legacy(&name, &version.version))
                        .collect(),
                    group_version,
                });
            }
            discovery.groups.push(legacy);
        }
        discovery
    }
}

impl AggregatedResource {
    /// The resource and its subresources, as legacy discovery lists them.
    fn legacy(self, group: &str, version: &str) -> Vec<Resource> {
        let elsewhere = |kind: &ResponseKind| {
            let differs = (kind.group.as_str(), kind.version.as_str()) != (group, version);
            let known = !kind.version.is_empty();
            if known && differs {
                (kind.group.clone(), kind.version.clone())
            } else {
                (String::new(), String::new())
            }
        };
        let namespaced = self.scope == "Namespaced";
        let (kind_group, kind_version) = elsewhere(&self.response_kind);
        let mut all = vec![Resource {
            name: self.resource.clone(),
            singular_name: self.singular_resource.clone(),
            namespaced,
            group: kind_group,
            version: kind_version,
            kind: self.response_kind.kind,
            verbs: self.verbs,
            short_names: self.short_names,
            categories: self.categories,
            storage_version_hash: String::new(),
        }];
        all.extend(self.subresources.into_iter().map(|subresource| {
            let (group, version) = elsewhere(&subresource.response_kind);
            Resource {
                name: format!("{}/{}", self.resource, subresource.subresource),
                singular_name: self.singular_resource.clone(),
                namespaced,
                group,
                version,
                kind: subresource.response_kind.kind,
                verbs: subresource.verbs,
                ..Resource::default()
            }
        }));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Reply, Server};
    use serde_json::json;

    #[tokio::test]
    async fn reads_aggregated_discovery_with_a_stale_api() -> Result<(), ApiError> {
        let server = Server::start(|request| {
            assert!(request.headers["accept"].contains("v=v2;as=APIGroupDiscoveryList"));
            let core = json!({"kind": "APIGroupDiscoveryList", "items": [{"metadata": {}, "versions": [{
                "version": "v1", "freshness": "Current",
                "resources": [{"resource": "pods", "scope": "Namespaced", "singularResource": "pod",
                    "responseKind": {"group": "", "version": "v1", "kind": "Pod"},
                    "verbs": ["get", "list"], "shortNames": ["po"],
                    "subresources": [{"subresource": "eviction", "verbs": ["create"],
                        "responseKind": {"group": "policy", "version": "v1", "kind": "Eviction"}}]}]}]}]});
            let named = json!({"kind": "APIGroupDiscoveryList", "items": [
                {"metadata": {"name": "metrics.k8s.io"}, "versions": [{"version": "v1beta1", "freshness": "Stale"}]}]});
            Reply::json(if request.path == "/api" { core } else { named })
        })
        .await;
        let found = server.cluster().discover().await?;
        assert_eq!(found.groups.len(), 2);
        assert_eq!(found.groups[0].versions[0].group_version, "v1");
        let names: Vec<_> = found.resources[0]
            .resources
            .iter()
            .map(|each| &each.name)
            .collect();
        assert_eq!(names, ["pods", "pods/eviction"]);
        assert_eq!(found.resources[0].resources[1].group, "policy");
        assert_eq!(found.resources[0].resources[0].group, "");
        assert!(found.failed["metrics.k8s.io/v1beta1"].contains("stale"));
        assert!(found.has("v1", "pods") && !found.has("v1", "cats"));
        assert_eq!(server.seen().len(), 2);
        Ok(())
    }

    #[tokio::test]
    async fn falls_back_to_legacy_discovery_where_one_group_is_down() -> Result<(), ApiError> {
        let server = Server::start(|request| match request.path.as_str() {
            "/api" => Reply::json(json!({"kind": "APIVersions", "versions": ["v1"]})),
            "/apis" => Reply::json(json!({"kind": "APIGroupList", "groups": [
                {"name": "apps", "versions": [{"groupVersion": "apps/v1", "version": "v1"}],
                 "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"}},
                {"name": "metrics.k8s.io", "versions": [{"groupVersion": "metrics.k8s.io/v1beta1", "version": "v1beta1"}]}]})),
            "/apis/metrics.k8s.io/v1beta1" => Reply::status(503, "ServiceUnavailable", "down"),
            path => Reply::json(json!({"kind": "APIResourceList", "groupVersion": path.rsplit("/api/").next(),
                "resources": [{"name": "things", "namespaced": true, "kind": "Thing", "verbs": ["list"]}]})),
        })
        .await;
        let found = server.cluster().discover().await?;
        assert_eq!(found.groups.len(), 3);
        assert_eq!(found.resources.len(), 2);
        assert!(found.failed["metrics.k8s.io/v1beta1"].contains("503"));
        Ok(())
    }
}

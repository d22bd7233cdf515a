//! Which kinds the bundle holds, in which files, and what is known of each kind.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::OnceLock;

use bundle::Files;
use serde::Deserialize;

use crate::definition::Definition;
use crate::discovery::Discovery;
use crate::fields::Field;
use crate::index::{Format, Index, SourceFile};
use crate::items;
use crate::layout::BUILT_INS;

/// The folder that holds what the `clusterResources` collector wrote.
pub(crate) const ROOT: &str = "cluster-resources";
const CRDS: &str = "cluster-resources/custom-resource-definitions.json";
pub(crate) const CUSTOM: &str = "custom-resources";
const PULL_SECRETS: &str = "image-pull-secrets";

/// Names below [`ROOT`] that hold no objects of a kind.
const OTHER_NAMES: &[&str] = &["auth-cani-list", "groups", "resources", "license"];

/// A kind of object.
#[derive(Debug, Default)]
pub(crate) struct Resource {
    pub(crate) group: String,
    /// The version that the bundle's objects are written in.
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) namespaced: bool,
    pub(crate) custom: bool,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    /// What a field selector may name beyond name and namespace.
    pub(crate) fields: Vec<Field>,
    /// Its folders, or files without their extension, in the bundle.
    pub(crate) places: Vec<String>,
    pub(crate) files: Vec<SourceFile>,
    /// Read on the first call of [`Resource::index`].
    pub(crate) index: OnceLock<Index>,
}

impl Resource {
    /// `apps/v1`, or `v1` for the core group.
    pub(crate) fn group_version(&self) -> String {
        group_version(&self.group, &self.version)
    }

    /// Its objects; read on the first call, whoever asks.
    pub(crate) fn index(&self, files: &Files) -> &Index {
        self.index
            .get_or_init(|| Index::build(files, &self.files, &self.fields))
    }

    /// Where the objects of a namespace, or the cluster-scoped ones, would lie: paths for the manifest's gaps.
    /// `None` for a namespaced kind gives the globs over all namespaces.
    pub(crate) fn paths(&self, namespace: Option<&str>) -> Vec<String> {
        let file = |place: &String| match (self.namespaced, namespace) {
            _ if self.plural == "secrets" => {
                format!("{place}/{}/*.json", namespace.unwrap_or("*"))
            }
            (true, Some(namespace)) => format!("{place}/{namespace}.json"),
            (true, None) => format!("{place}/*.json"),
            (false, _) => format!("{place}.json"),
        };
        self.places.iter().map(file).collect()
    }
}

/// `apps/v1`, or `v1` for the core group.
pub(crate) fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// Group and version of `apps/v1` or `v1`.
pub(crate) fn split_group_version(group_version: &str) -> (&str, &str) {
    group_version.split_once('/').unwrap_or(("", group_version))
}

/// All kinds, by group and plural.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    resources: BTreeMap<(String, String), Resource>,
    /// What could not be read and does not stop the server.
    pub(crate) notes: Vec<String>,
}

impl Catalog {
    /// Sorts the bundle's files by kind. Reads the custom resource definitions, and the head of files
    /// whose name does not say which kind and version they hold.
    pub(crate) fn read(files: &Files, discovery: &Discovery) -> Self {
        let mut catalog = Self::default();
        for row in BUILT_INS {
            let mut places: Vec<String> = row
                .names
                .iter()
                .map(|name| format!("{ROOT}/{name}"))
                .collect();
            if row.plural == "secrets" {
                places.push(format!("{ROOT}/{PULL_SECRETS}"));
            }
            catalog.insert(Resource {
                group: row.group.to_owned(),
                version: row.version.to_owned(),
                plural: row.plural.to_owned(),
                singular: row.singular.to_owned(),
                kind: row.kind.to_owned(),
                list_kind: format!("{}List", row.kind),
                namespaced: row.namespaced,
                custom: false,
                short_names: row
                    .short_names
                    .iter()
                    .map(|&name| name.to_owned())
                    .collect(),
                categories: row.all.then(|| "all".to_owned()).into_iter().collect(),
                fields: Field::built_in(row.group, row.plural),
                places,
                files: Vec::new(),
                index: OnceLock::new(),
            });
        }
        catalog.read_definitions(files);
        catalog.assign_files(files, discovery);
        catalog.choose_versions(files, discovery);
        catalog
    }

    fn insert(&mut self, resource: Resource) {
        let key = (resource.group.clone(), resource.plural.clone());
        self.resources.entry(key).or_insert(resource);
    }

    /// A kind by group and plural.
    pub(crate) fn get(&self, group: &str, plural: &str) -> Option<&Resource> {
        self.resources.get(&(group.to_owned(), plural.to_owned()))
    }

    /// Every kind, in order of group and plural.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.resources.values()
    }

    /// Whether the bundle has objects of any kind, as the `clusterResources` collector writes them.
    pub(crate) fn holds_objects(&self) -> bool {
        self.iter().any(|resource| !resource.files.is_empty())
    }

    /// Whether the bundle has the list of custom resource definitions, so that it also has all custom resources.
    pub(crate) fn knows_custom(&self) -> bool {
        self.get("apiextensions.k8s.io", "customresourcedefinitions")
            .is_some_and(|definitions| !definitions.files.is_empty())
    }

    fn read_definitions(&mut self, files: &Files) {
        if !files.contains(CRDS) {
            return;
        }
        let mut found = Vec::new();
        let read = files
            .open(CRDS)
            .map_err(|error| error.to_string())
            .and_then(|reader| {
                items::split(reader, |offset, item| {
                    match serde_json::from_slice::<Definition>(item) {
                        Ok(definition) => found.push(definition),
                        Err(error) => self.notes.push(format!("{CRDS}: byte {offset}: {error}")),
                    }
                    ControlFlow::Continue(())
                })
                .map_err(|error| error.to_string())
            });
        if let Err(error) = read {
            self.notes.push(format!("{CRDS}: {error}"));
        }
        for definition in found {
            self.insert(definition.into_resource());
        }
    }

    fn assign_files(&mut self, files: &Files, discovery: &Discovery) {
        let by_place: BTreeMap<String, (String, String)> = self
            .resources
            .iter()
            .flat_map(|(key, resource)| {
                resource
                    .places
                    .iter()
                    .map(|place| (place.clone(), key.clone()))
            })
            .collect();
        let mut unknown: BTreeMap<String, Vec<SourceFile>> = BTreeMap::new();
        for path in files.paths() {
            let Some((place, file)) = source_file(path.as_str()) else {
                continue;
            };
            if files.length(path.as_str()).is_ok_and(|length| length == 0) {
                // troubleshoot leaves an empty file where the API does not exist.
                continue;
            }
            let into = match by_place
                .get(&place)
                .and_then(|key| self.resources.get_mut(key))
            {
                Some(resource) => &mut resource.files,
                None => unknown.entry(place).or_default(),
            };
            let stem = |path: &str| path.rsplit_once('.').map(|(stem, _)| stem.to_owned());
            let twin = into
                .last()
                .is_some_and(|last| stem(&last.path) == stem(&file.path));
            if !twin {
                into.push(file);
            }
        }
        for (place, sources) in unknown {
            match unknown_kind(files, &place, &sources, discovery) {
                Some(mut resource) => {
                    resource.files = sources;
                    self.insert(resource);
                }
                None => self
                    .notes
                    .push(format!("{place}: no kind of object is known by this name")),
            }
        }
    }

    /// Looks into a file where the API has, or had, its kind in several versions.
    fn choose_versions(&mut self, files: &Files, discovery: &Discovery) {
        for resource in self.resources.values_mut() {
            let versions = discovery.versions(&resource.group, &resource.plural);
            let certain = versions.is_empty() || versions == [resource.version.as_str()];
            if certain {
                continue;
            }
            let recorded = resource.files.iter().find_map(|file| peek(files, file)?.0);
            if let Some(api_version) = recorded {
                let (group, version) = split_group_version(&api_version);
                if group == resource.group {
                    version.clone_into(&mut resource.version);
                    continue;
                }
            }
            if !versions.contains(&resource.version.as_str()) {
                versions[0].clone_into(&mut resource.version);
            }
        }
    }
}

/// The place (folder or file without extension) and the file that a path is to a kind.
fn source_file(path: &str) -> Option<(String, SourceFile)> {
    let (stem, format) = match path.rsplit_once('.')? {
        (stem, "json") => (stem, Format::Json),
        (stem, "yaml") => (stem, Format::Yaml),
        _ => return None,
    };
    let segments: Vec<&str> = stem.split('/').collect();
    let (place, namespace, format) = match segments.as_slice() {
        [ROOT, CUSTOM, name] if name.contains('.') => {
            (format!("{ROOT}/{CUSTOM}/{name}"), "", format)
        }
        [ROOT, CUSTOM, name, namespace] => (format!("{ROOT}/{CUSTOM}/{name}"), *namespace, format),
        [ROOT, PULL_SECRETS, namespace, _] => (
            format!("{ROOT}/{PULL_SECRETS}"),
            *namespace,
            Format::PullSecret,
        ),
        [ROOT, CUSTOM | PULL_SECRETS, ..] => return None,
        [ROOT, name, ..] if OTHER_NAMES.contains(name) => return None,
        [ROOT, name] if format == Format::Json && !name.ends_with("-errors") => {
            (format!("{ROOT}/{name}"), "", format)
        }
        [ROOT, name, namespace] if format == Format::Json => {
            (format!("{ROOT}/{name}"), *namespace, format)
        }
        _ => return None,
    };
    let file = SourceFile {
        path: path.to_owned(),
        namespace: namespace.to_owned(),
        format,
    };
    Some((place, file))
}

/// `apiVersion` and `kind` of a file's objects, from its head or its first object.
fn peek(files: &Files, file: &SourceFile) -> Option<(Option<String>, Option<String>)> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        api_version: Option<String>,
        kind: Option<String>,
    }
    if file.format == Format::Yaml {
        let index = Index::first_yaml(files, &file.path)?;
        let typed: Typed = serde_json::from_slice(&index).ok()?;
        return Some((typed.api_version, typed.kind));
    }
    let mut first: Option<Typed> = None;
    let document = items::split(files.open(&file.path).ok()?, |_, item| {
        first = serde_json::from_slice(item).ok();
        ControlFlow::Break(())
    })
    .ok()?;
    let envelope = document.envelope;
    let of_list = Typed {
        api_version: Some(envelope.api_version).filter(|text| !text.is_empty()),
        kind: Some(envelope.kind.trim_end_matches("List").to_owned()),
    };
    let first = first.unwrap_or_default();
    let api_version = first.api_version.or(of_list.api_version);
    let kind = first.kind.or(of_list.kind);
    api_version.is_some().then_some((api_version, kind))
}

/// The kind of files whose place is in no table: what they say themselves, with the recorded discovery.
fn unknown_kind(
    files: &Files,
    place: &str,
    sources: &[SourceFile],
    discovery: &Discovery,
) -> Option<Resource> {
    let (api_version, kind) = sources.iter().find_map(|file| peek(files, file))?;
    let (api_version, kind) = (api_version?, kind?);
    let (group, version) = split_group_version(&api_version);
    let name = place.rsplit('/').next().unwrap_or(place);
    let custom = place.starts_with("cluster-resources/custom-resources/");
    let known = discovery.by_kind(&api_version, &kind);
    let plural = match known {
        Some(known) => known.name.clone(),
        // A custom resource's folder is `<plural>.<group>`, also where the definitions are missing.
        None if custom => name.strip_suffix(&format!(".{group}"))?.to_owned(),
        None => return None,
    };
    Some(Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        singular: known.map_or_else(|| kind.to_lowercase(), |known| known.singular_name.clone()),
        list_kind: format!("{kind}List"),
        namespaced: sources.iter().any(|file| !file.namespace.is_empty()),
        custom,
        short_names: known
            .map(|known| known.short_names.clone())
            .unwrap_or_default(),
        categories: known
            .map(|known| known.categories.clone())
            .unwrap_or_default(),
        fields: Field::built_in(group, &plural),
        places: vec![place.to_owned()],
        files: Vec::new(),
        index: OnceLock::new(),
        plural,
        kind,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_paths_by_kind() {
        for (path, expected) in [
            (
                "cluster-resources/pods/default.json",
                Some(("cluster-resources/pods", "default")),
            ),
            (
                "cluster-resources/nodes.json",
                Some(("cluster-resources/nodes", "")),
            ),
            ("cluster-resources/pods-errors.json", None),
            (
                "cluster-resources/pods/kube-errors.json",
                Some(("cluster-resources/pods", "kube-errors")),
            ),
            ("cluster-resources/pods/logs/a/b/c-logs-errors.json", None),
            ("cluster-resources/groups.json", None),
            ("cluster-resources/auth-cani-list/default.json", None),
            (
                "cluster-resources/custom-resources/a.b.c.yaml",
                Some(("cluster-resources/custom-resources/a.b.c", "")),
            ),
            (
                "cluster-resources/custom-resources/custom-resources-errors.json",
                None,
            ),
            (
                "cluster-resources/custom-resources/a.b.c/ns.json",
                Some(("cluster-resources/custom-resources/a.b.c", "ns")),
            ),
            (
                "cluster-resources/image-pull-secrets/ns/name.json",
                Some(("cluster-resources/image-pull-secrets", "ns")),
            ),
            ("configmaps/default/a.json", None),
        ] {
            let found = source_file(path);
            let found = found
                .as_ref()
                .map(|(place, file)| (place.as_str(), file.namespace.as_str()));
            assert_eq!(found, expected, "{path}");
        }
    }
}

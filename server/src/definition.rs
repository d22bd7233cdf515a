//! Custom resource definitions: kinds that a bundle describes itself.

use std::cmp::Reverse;

use serde::Deserialize;

use crate::catalog::{CUSTOM, ROOT, Resource};
use crate::fields::Field;

/// A custom resource definition, `v1` or `v1beta1`.
#[derive(Debug, Deserialize)]
pub(crate) struct Definition {
    spec: DefinitionSpec,
}

#[derive(Debug, Deserialize)]
struct DefinitionSpec {
    group: String,
    names: Names,
    scope: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names of the API")]
struct Names {
    plural: String,
    kind: String,
    #[serde(default)]
    singular: Option<String>,
    #[serde(default)]
    list_kind: Option<String>,
    #[serde(default)]
    short_names: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    name: String,
    served: bool,
    #[serde(default)]
    selectable_fields: Vec<SelectableField>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SelectableField {
    json_path: String,
}

impl Definition {
    /// The kind that it defines, in the version that Kubernetes prefers of those served.
    pub(crate) fn into_resource(self) -> Resource {
        let DefinitionSpec {
            group,
            names,
            scope,
            version,
            mut versions,
        } = self.spec;
        versions.retain(|version| version.served);
        versions.sort_by_key(|version| Reverse(priority(&version.name)));
        let preferred = versions.first();
        let mut paths: Vec<&str> = versions
            .iter()
            .flat_map(|version| &version.selectable_fields)
            .map(|field| field.json_path.as_str())
            .collect();
        paths.sort_unstable();
        paths.dedup();
        Resource {
            version: preferred
                .map(|version| version.name.clone())
                .or(version)
                .unwrap_or_else(|| "v1".to_owned()),
            singular: names.singular.unwrap_or_else(|| names.kind.to_lowercase()),
            list_kind: names
                .list_kind
                .unwrap_or_else(|| format!("{}List", names.kind)),
            namespaced: scope == "Namespaced",
            custom: true,
            fields: paths.into_iter().map(Field::custom).collect(),
            places: vec![format!("{ROOT}/{CUSTOM}/{}.{group}", names.plural)],
            short_names: names.short_names,
            categories: names.categories,
            kind: names.kind,
            plural: names.plural,
            group,
            ..Resource::default()
        }
    }
}

/// Kubernetes' order of versions: `v2` > `v1` > `v1beta2` > `v1beta1` > `v1alpha1` > anything else.
pub(crate) fn priority(version: &str) -> (u8, u64, u64, Reverse<String>) {
    let other = (0, 0, 0, Reverse(version.to_owned()));
    let Some(rest) = version.strip_prefix('v') else {
        return other;
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (major, stage) = rest.split_at(digits);
    let (stage, minor) = match stage {
        "" => (3, "0"),
        stage => match (stage.strip_prefix("beta"), stage.strip_prefix("alpha")) {
            (Some(minor), _) => (2, minor),
            (_, Some(minor)) => (1, minor),
            _ => return other,
        },
    };
    match (major.parse(), minor.parse()) {
        (Ok(major), Ok(minor)) => (stage, major, minor, Reverse(String::new())),
        _ => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_versions_as_kubernetes_does() {
        let mut versions = [
            "v1alpha1", "foo", "v1", "v10", "v2beta1", "v1beta2", "v2", "bar", "v1beta10",
        ];
        versions.sort_by_key(|version| Reverse(priority(version)));
        assert_eq!(
            versions,
            [
                "v10", "v2", "v1", "v2beta1", "v1beta10", "v1beta2", "v1alpha1", "bar", "foo"
            ]
        );
    }
}

//! What the `secret` and `configMap` collectors recorded of single objects: whether they exist; of `ConfigMap`s
//! all data, where the spec asked for it; never a Secret itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use bundle::ReadError;
use serde::Deserialize;
use serde_json::json;

use crate::absence::subject;
use crate::api::Shared;
use crate::catalog::Resource;
use crate::status::Status;

/// The Secret whose license the `clusterResources` collector looks for, and what it writes if it finds it.
const LICENSE_SECRET: &str = "replicated";
const LICENSE: &str = "cluster-resources/license.json";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Facts {
    #[serde(alias = "secretExists", alias = "configMapExists")]
    exists: bool,
    /// All of it, where `includeAllData` was asked for.
    data: Option<BTreeMap<String, String>>,
}

/// The answer for an object that is known by its facts alone: its JSON, or why not.
pub(crate) fn about(
    shared: &Shared,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
) -> Option<Result<Vec<u8>, Status>> {
    let folder = match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "secrets") => "secrets",
        ("", "configmaps") => "configmaps",
        _ => return None,
    };
    let namespace = namespace?;
    let subject = subject(resource, name);
    if let Some((path, facts)) = recorded(shared, folder, namespace, name) {
        return Some(match &facts.data {
            _ if !facts.exists => Err(Status::not_found(&subject)),
            Some(data) if folder == "configmaps" => Ok(config_map(namespace, name, data)),
            _ => {
                let why =
                    format!("the bundle records that it exists ({path}), not the object itself");
                Err(Status::forbidden(&subject, &why))
            }
        });
    }
    // What was asked for by name and refused is no matter of the whole kind.
    match shared
        .files
        .length(&format!("{folder}/{namespace}/{name}.json"))
    {
        Err(ReadError::Gap { gap, .. }) => {
            Some(Err(Status::gap(&subject, gap.reason, &gap.detail)))
        }
        _ => None,
    }
}

/// Whether the bundle knows that there is no such object, in a namespace or in all.
pub(crate) fn is_absent(
    shared: &Shared,
    folder: &str,
    namespace: Option<&str>,
    name: &str,
) -> bool {
    let looked_for = || {
        let missing = matches!(shared.files.length(LICENSE), Err(ReadError::NotFound(_)));
        folder == "secrets" && name == LICENSE_SECRET && missing && shared.catalog.holds_objects()
    };
    let recorded = namespace.and_then(|namespace| recorded(shared, folder, namespace, name));
    match recorded {
        Some((_, facts)) => !facts.exists,
        None => looked_for(),
    }
}

fn config_map(namespace: &str, name: &str, data: &BTreeMap<String, String>) -> Vec<u8> {
    let object = json!({
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": { "name": name, "namespace": namespace },
        "data": data,
    });
    object.to_string().into_bytes()
}

/// The file that tells of an object, and what it tells.
fn recorded(
    shared: &Shared,
    folder: &str,
    namespace: &str,
    name: &str,
) -> Option<(String, Arc<Facts>)> {
    let of_object = format!("{folder}/{namespace}/{name}.json");
    // Where a key was asked for, the file has the key's name.
    let of_keys = format!("{folder}/{namespace}/{name}/");
    let paths = shared.files.paths().map(bundle::BundlePath::as_str);
    let keyed = paths.filter(|path| path.starts_with(&of_keys));
    [of_object.as_str()]
        .into_iter()
        .chain(keyed)
        .find_map(|path| {
            let facts = shared.files.decoded::<Facts>(path).ok()?;
            Some((path.to_owned(), facts))
        })
}

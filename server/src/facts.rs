//! What the `secret` and `configMap` collectors recorded of single objects: whether they exist, not the
//! objects themselves.

use bundle::ReadError;
use serde::Deserialize;

use crate::absence::subject;
use crate::api::Shared;
use crate::catalog::Resource;
use crate::status::Status;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Facts {
    #[serde(alias = "secretExists", alias = "configMapExists")]
    exists: bool,
}

/// The answer for an object that is known by its facts alone.
pub(crate) fn about(
    shared: &Shared,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
) -> Option<Status> {
    let folder = match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "secrets") => "secrets",
        ("", "configmaps") => "configmaps",
        _ => return None,
    };
    let namespace = namespace?;
    let subject = subject(resource, name);
    let files = &shared.files;
    let of_object = format!("{folder}/{namespace}/{name}.json");
    let of_keys = format!("{folder}/{namespace}/{name}/");
    let mut paths: Vec<&str> = files
        .paths()
        .map(bundle::BundlePath::as_str)
        .filter(|path| *path == of_object || path.starts_with(&of_keys))
        .collect();
    paths.sort_by_key(|path| *path != of_object);
    for path in paths {
        match files.decoded::<Facts>(path) {
            Ok(facts) if facts.exists => {
                let why =
                    format!("the bundle records that it exists ({path}), not the object itself");
                return Some(Status::forbidden(&subject, &why));
            }
            Ok(_) => return Some(Status::not_found(&subject)),
            Err(_) => {}
        }
    }
    // What was asked for by name and refused is no matter of the whole kind.
    match files.read(&of_object) {
        Err(ReadError::Gap { gap, .. }) => Some(Status::gap(&subject, gap.reason, &gap.detail)),
        _ => None,
    }
}

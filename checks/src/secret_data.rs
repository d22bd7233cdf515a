//! One Secret, asked for by its name, for collectors that need what is in it to do their work.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::Deserialize;

use crate::cluster::segment;
use crate::collector::{Context, Permission};

/// Why a Secret's data is not to be had. No text shows any of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It is not there.
    Absent(String),
    /// It may not be read, or could not be.
    Unread(String),
}

#[derive(Deserialize)]
struct Object {
    /// In base64.
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
}

/// What asking for Secrets needs, each given as its name and its own namespace; that of the run counts where it is empty.
pub(crate) fn permissions<'a>(
    secrets: impl IntoIterator<Item = (&'a String, &'a String)>,
    run: Option<&str>,
) -> Vec<Permission> {
    let mut permissions: Vec<_> = secrets
        .into_iter()
        .map(|(name, own)| Permission {
            verb: "get",
            group: String::new(),
            resource: "secrets".to_owned(),
            namespace: Some(match own.as_str() {
                "" => run.unwrap_or("default").to_owned(),
                own => own.to_owned(),
            }),
            name: Some(name.clone()),
        })
        .collect();
    permissions.sort();
    permissions.dedup();
    permissions
}

/// The data of a Secret; `namespace` is that of the run where it is empty.
pub(crate) async fn secret_data(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<BTreeMap<String, Vec<u8>>, Missing> {
    let Some(cluster) = &context.cluster else {
        return Err(Missing::Unread(format!(
            "there is no cluster to ask for the Secret {name}"
        )));
    };
    let namespace = match (namespace, &context.namespace) {
        ("", Some(run)) => run,
        ("", None) => cluster.namespace(),
        (own, _) => own,
    };
    let path = format!(
        "/api/v1/namespaces/{}/secrets/{}",
        segment(namespace),
        segment(name)
    );
    let bytes = cluster.document(&path, &[]).await.map_err(|error| {
        if error.status() == Some(StatusCode::NOT_FOUND) {
            Missing::Absent(format!("the Secret {namespace}/{name} is not there"))
        } else {
            Missing::Unread(format!(
                "the Secret {namespace}/{name} cannot be read: {error}"
            ))
        }
    })?;
    let malformed = || Missing::Unread(format!("the Secret {namespace}/{name} is malformed"));
    let object: Object = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
    let data = object.data.unwrap_or_default().into_iter();
    data.map(|(key, value)| Ok((key, STANDARD.decode(value).map_err(|_| malformed())?)))
        .collect()
}

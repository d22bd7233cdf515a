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

/// What asking for a Secret needs: its own namespace, else that of the run.
pub(crate) fn permission(name: &str, own: &str, run: Option<&str>) -> Permission {
    let own = Some(own).filter(|own| !own.is_empty());
    Permission {
        verb: "get",
        group: String::new(),
        resource: "secrets".to_owned(),
        namespace: Some(own.or(run).unwrap_or("default").to_owned()),
        name: Some(name.to_owned()),
    }
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

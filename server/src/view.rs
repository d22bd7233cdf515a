//! What of each object an answer shows.

use syntax::json;

use crate::catalog::Resource;
use crate::index::Object;
use crate::request::Accepted;

/// What of each object an answer shows. Table rows belong here, as a further variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// The object as it stands in the bundle.
    Whole,
    /// `PartialObjectMetadata`, what clients ask for that only follow names, labels and owners.
    Metadata,
}

impl View {
    /// The kind of one object's metadata.
    pub(crate) const OBJECT: &str = "PartialObjectMetadata";
    /// The kind of a list of them.
    pub(crate) const LIST: &str = "PartialObjectMetadataList";
    const VERSION: &str = "meta.k8s.io/v1";

    pub(crate) fn of(accepted: Accepted) -> Self {
        match accepted {
            Accepted::Metadata(_) => Self::Metadata,
            _ => Self::Whole,
        }
    }

    /// `kind` and `apiVersion` of a list.
    pub(crate) fn list_type(self, resource: &Resource) -> (String, String) {
        match self {
            Self::Whole => (resource.list_kind.clone(), resource.group_version()),
            Self::Metadata => (Self::LIST.to_owned(), Self::VERSION.to_owned()),
        }
    }

    /// Appends what is shown of an item of a list, whose JSON this is.
    pub(crate) fn item(self, json: &[u8], into: &mut Vec<u8>) {
        match self {
            Self::Whole => into.extend_from_slice(json),
            Self::Metadata => {
                let head = format!(
                    r#"{{"kind":"{}","apiVersion":"{}","metadata":"#,
                    Self::OBJECT,
                    Self::VERSION
                );
                into.extend_from_slice(head.as_bytes());
                into.extend_from_slice(json::find(json, &["metadata"]).unwrap_or(b"{}"));
                into.push(b'}');
            }
        }
    }

    /// What is shown of a single object: unlike an item it always names its kind.
    pub(crate) fn object(self, json: Vec<u8>, object: &Object, resource: &Resource) -> Vec<u8> {
        match self {
            Self::Whole if !object.typed => typed(&json, &resource.kind, &resource.group_version()),
            _ => self.shown(json),
        }
    }

    /// What is shown of an object that names its kind.
    pub(crate) fn shown(self, json: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Whole => json,
            Self::Metadata => {
                let mut shown = Vec::new();
                self.item(&json, &mut shown);
                shown
            }
        }
    }
}

/// Adds `kind` and `apiVersion` to an object that came out of a list without them.
fn typed(object: &[u8], kind: &str, api_version: &str) -> Vec<u8> {
    let mut bytes = vec![b'{'];
    for (key, value) in [("kind", kind), ("apiVersion", api_version)] {
        if json::find(object, &[key]).is_none() {
            bytes.extend_from_slice(
                format!("\"{key}\":{},", serde_json::Value::from(value)).as_bytes(),
            );
        }
    }
    let body = object.get(1..).unwrap_or_default();
    if body.trim_ascii() == b"}" {
        bytes.pop();
    }
    bytes.extend_from_slice(body);
    bytes
}

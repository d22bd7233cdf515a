//! `secrets/<namespace>/<name>[/<key>].json`: whether a Secret and a key in it are there. Its values are nobody's matter.

use serde::Deserialize;

use super::or_default;

/// What the collector `secret` tells of one Secret. A document that does not say whether it exists is none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Secret {
    /// The Secret's name.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// The key that was asked for; empty where none was.
    #[serde(default, deserialize_with = "or_default")]
    pub key: String,
    /// Whether there is such a Secret.
    pub secret_exists: bool,
    /// Whether it has the key.
    #[serde(default, deserialize_with = "or_default")]
    pub key_exists: bool,
}

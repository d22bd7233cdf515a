//! Why a signature was refused, as far as it could be found out.

use serde::{Deserialize, Serialize};

use super::super::list;

/// Why a signature was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Explanation {
    /// What it comes to.
    pub cause: Cause,
    /// Whether the server's own canonical request was compared, not only experiments made.
    pub compared: bool,
    /// What differs between what was signed and what the server saw.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// What was tried, in its order.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub trials: Vec<Trial>,
}

/// Why a signature was refused, in one word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// The secret key is another.
    WrongSecret,
    /// The secret key has blanks or a line break around it.
    SecretWithBlanks,
    /// The Host header.
    HostChanged,
    /// The path.
    PathChanged,
    /// The query.
    QueryChanged,
    /// Another header.
    HeaderChanged,
    /// The payload, or what is told of it.
    PayloadChanged,
    /// The method.
    MethodChanged,
    /// Something on the way, and it could not be found out what.
    SomethingChanged,
    /// It could not be found out.
    #[default]
    #[serde(other)]
    Unknown,
}

/// An element of a request that was changed on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Change {
    /// `path`, `query prefix`, `header host`, `method`, `payload hash`.
    pub element: String,
    /// As it was signed.
    pub sent: String,
    /// As the server saw it; empty where it is not known.
    pub seen: String,
}

/// An experiment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Trial {
    /// What was different.
    pub what: String,
    /// Whether the signature was accepted.
    pub accepted: bool,
    /// What came back.
    pub answer: String,
}

//! `velero/credentials/<namespace>/<name>.json`: the shape of a Secret that holds credentials of an object storage. Never a
//! part of a value: names, classes of length, and fingerprints that are equal where values are.

use serde::{Deserialize, Serialize};

use super::{list, or_default};

/// The document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Secret {
    /// Its namespace: Velero's.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub exists: bool,
    /// Its keys, by their names.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
}

/// A key of a Secret, which Velero hands to a plugin as a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// The key.
    pub key: String,
    /// How long it is: `0`, `1-7`, … `1024-`.
    pub length_class: String,
    /// Equal where two values of one run are.
    pub fingerprint: String,
    /// What it looks like.
    pub format: Format,
    /// What is in it.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub profiles: Vec<Profile>,
}

/// What a file of credentials looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Format {
    /// Amazon's: `[profile]` and settings below it.
    Profiles,
    /// Microsoft's: `NAME=value` lines.
    Variables,
    /// Google's: a JSON object.
    Json,
    /// Base64 of something: encoded once more than needed.
    Base64,
    /// It begins with a byte order mark, which readers take for a part of the first line.
    ByteOrderMark,
    /// Nothing, or blanks.
    Empty,
    /// None of these.
    #[serde(other)]
    Unrecognised,
}

/// A profile; one without a name where the format has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Profile {
    /// `default`.
    pub name: String,
    /// Those that are known.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Setting>,
}

/// A setting in a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Setting {
    /// `aws_access_key_id`.
    pub name: String,
    /// How long its value is.
    pub length_class: String,
    /// Equal where two values of one run are.
    pub fingerprint: String,
    /// What is wrong with the value by its looks.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

/// What is wrong with a value by its looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// There is nothing.
    Empty,
    /// There are blanks in it.
    Blanks,
    /// There are characters in it that are not printable ASCII, such as a non-breaking space.
    Unprintable,
    /// One that this release does not know.
    #[serde(other)]
    Other,
}

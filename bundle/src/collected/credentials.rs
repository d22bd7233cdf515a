//! `velero/credentials/<namespace>.json`: the shape of the Secrets that hold credentials of object storages. Never a part
//! of a value: names, classes of length, and fingerprints that are equal where values are.

use serde::{Deserialize, Serialize};

use super::or_default;

/// The document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Credentials {
    /// The namespace of all of them: Velero's.
    pub namespace: String,
    /// One for each name that was asked for and answered.
    #[serde(deserialize_with = "or_default")]
    pub secrets: Vec<Secret>,
}

/// A Secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub exists: bool,
    /// Its keys, by their names.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
}

/// A key of a Secret, which Velero hands to a plugin as a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct File {
    /// The key.
    pub name: String,
    /// How long it is: `0`, `1-7`, … `1024-`.
    pub length_class: String,
    /// Equal where two values of one run are.
    pub fingerprint: String,
    /// What it looks like.
    pub format: Format,
    /// What is in it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<Profile>,
}

/// What a file of credentials looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Nothing, or blanks.
    Empty,
    /// None of these.
    #[default]
    Unknown,
}

/// A profile; one without a name where the format has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Profile {
    /// `default`.
    pub name: String,
    /// Those that are known; others are counted.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Setting>,
    /// How many lines are no setting that is known.
    #[serde(skip_serializing_if = "is_none")]
    pub others: u32,
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
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

/// What is wrong with a value by its looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// There is nothing.
    Empty,
    /// It stands in quotes, which become a part of it.
    Quoted,
    /// There are blanks in it.
    Blanks,
    /// There are characters that are not printable ASCII, such as a byte order mark or a non-breaking space.
    Unprintable,
}

fn is_none(number: &u32) -> bool {
    *number == 0
}

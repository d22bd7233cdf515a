//! `cluster-resources/events/<namespace>.json`: what the cluster said about its objects.

use serde::Deserialize;

/// An event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Event {
    /// The object it is about.
    pub involved_object: InvolvedObject,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A word for programs, `FailedMount`.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// When it was seen last, RFC 3339; newer reporters leave it out.
    pub last_timestamp: Option<String>,
    /// When it was seen first, by newer reporters.
    pub event_time: Option<String>,
}

impl Event {
    /// When it was seen last, as far as it says.
    #[must_use]
    pub fn time(&self) -> &str {
        let times = [&self.last_timestamp, &self.event_time];
        times
            .into_iter()
            .flatten()
            .next()
            .map_or("", String::as_str)
    }
}

/// The object that an event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InvolvedObject {
    /// `v1`, `apps/v1`.
    pub api_version: String,
    /// `Pod`.
    pub kind: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

//! What the pod is told to do.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::collector::Writes;

/// The form of [`Request`] and of the answer. A program that knows another one refuses.
pub(super) const PROTOCOL: u32 = 1;

/// One collector's work. It may hold credentials, so it has no `Debug` and travels in a Secret only.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    /// [`PROTOCOL`]
    pub(super) protocol: u32,
    /// The collector's kind as a spec names it.
    pub(super) collector: String,
    /// `collectorName`
    pub(super) name: String,
    /// The collector's configuration, without references.
    pub(super) config: Value,
    /// `--namespace` of the run.
    pub(super) namespace: Option<String>,
    /// The run's id.
    pub(super) run_id: String,
    /// The run's salt, so that fingerprints can be compared with those made outside.
    pub(super) salt: [u8; 32],
    /// The operator's consent to writing; an image that does not know it writes nothing.
    #[serde(default, skip_serializing_if = "Writes::is_refused")]
    pub(super) writes: Writes,
    /// How long the collector may take.
    pub(super) seconds: u64,
}

//! Dynamic resource allocation: the devices that a pod claims, and where they are free.

use bundle::Files;
use bundle::collected::scheduling::PodSpec;

use super::Unsure;
use super::cluster::Host;
use crate::finding::NotEvaluated;

/// The devices that a pod needs, and how many pods' worth each node has.
#[derive(Debug, Default)]
pub(super) struct Devices {
    /// Why no node will do, in the scheduler's words.
    pub(super) impossible: Option<String>,
    /// By node, in the order of the nodes; nothing where devices do not matter.
    rooms: Vec<Option<i64>>,
    /// Extended resources that a device class serves.
    served: Vec<String>,
    pub(super) unsure: Vec<Unsure>,
}

impl Devices {
    pub(super) fn of(_: &PodSpec, _: &str, _: &[Host<'_>], _: &Files) -> Result<Self, NotEvaluated> {
        Ok(Self::default())
    }

    /// How many pods' devices are free on a node.
    pub(super) fn room(&self, host: usize) -> Option<i64> {
        self.rooms.get(host).copied().flatten()
    }

    /// Whether a node that offers so much of an extended resource serves it by claimed devices.
    pub(super) fn serves(&self, resource: &str, offered: i64) -> bool {
        offered <= 0 && self.served.iter().any(|it| it == resource)
    }
}

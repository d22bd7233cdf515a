//! The pods whose logs are wanted, and the folders that their links stand in.

use std::collections::HashSet;

use bundle::BundlePath;
use bundle::collected::pod::Pod;

use crate::cluster::Listed;
use crate::pod_log::LoggedPod;

/// A pod and the folder of its links.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) pod: LoggedPod,
    pub(super) folder: String,
}

/// The pods that were found, and what went wrong.
#[derive(Default)]
pub(super) struct Search {
    pub(super) pods: Vec<Found>,
    names: HashSet<String>,
    pub(super) errors: Vec<String>,
}

impl Search {
    /// Adds a pod of a list.
    pub(super) fn add(&mut self, listed: &Listed<'_>) -> Result<(), String> {
        let added = serde_json::from_slice::<Pod>(listed.bytes)
            .map_err(|error| error.to_string())
            .and_then(|pod| self.found(LoggedPod::from(pod)));
        added.map_err(|reason| {
            let (namespace, name) = (listed.namespace, listed.name);
            format!("pod {name:?} in namespace {namespace:?} is malformed: {reason}")
        })
    }

    /// Adds a pod.
    pub(super) fn found(&mut self, pod: LoggedPod) -> Result<(), String> {
        let containers = pod.containers.iter().map(|container| &container.name);
        for name in containers.chain([&pod.namespace, &pod.name]) {
            // What comes from outside must not lead to another pod's files.
            let stays = BundlePath::new(name).is_ok_and(|path| path.as_str() == name);
            if !stays || name.contains('/') {
                return Err(format!("{name:?} is no name"));
            }
        }
        let folder = if self.names.insert(pod.name.clone()) {
            pod.name.clone()
        } else {
            format!("{}.{}", pod.name, pod.namespace)
        };
        self.pods.push(Found { pod, folder });
        Ok(())
    }
}

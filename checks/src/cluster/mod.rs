//! The cluster: the only door to a Kubernetes API.
/// A connection to one cluster.
pub struct Cluster {}

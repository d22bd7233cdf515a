//! Everything that touches a cluster, a host or the network.
//!
//! Collectors write facts into a bundle and never judge. They reach the world only through their
//! [`collector::Context`], and write only through their [`collector::Output`]; the harness in [`mod@run`]
//! schedules, limits, retries, times and records them.

pub mod agent;
pub mod budget;
mod certificate;
pub mod clock;
pub mod cluster;
pub mod collector;
pub mod collectors;
pub mod fetch;
pub mod fingerprint;
pub mod foresight;
pub mod host;
mod image_archive;
mod keyed;
pub mod leftovers;
mod output;
mod pod_log;
pub mod run;
mod secret_data;
mod started_pod;
mod temporary;
#[cfg(test)]
mod testing;
mod text_files;
mod web_proxy;
mod web_verifier;

pub use cluster::Cluster;
pub use collector::{
    CollectError, Collector, CollectorKind, Conduct, Context, Output, Permission, Scope,
};
pub use run::{Event, Planned, Ran, Settings, Stop, run};

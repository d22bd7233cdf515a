//! Tests against real servers: kube-apiserver, etcd, controller manager, scheduler and kwok. Run by `cargo xtask test`.
//!
//! To add a scenario: a file here, its `mod` line below, and in each test a `Cluster` with a name of its own.
#![allow(
    dead_code,
    reason = "the fixture is shared by two test binaries; each takes a part of it"
)]

mod budgets;
mod capacity;
mod collect;
mod config;
mod disk;
mod exec;
mod fixture;
mod identity;
mod image_bundle;
mod interrupt;
mod log_patterns;
mod logs;
mod postgres;
mod rbac;
mod registry;
mod rig;
mod s3;
mod secrets;
mod serve;
mod servers;
mod silence;
mod velero;
mod velero_phases;
mod verdicts;

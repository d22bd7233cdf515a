//! Tests against real servers: kube-apiserver, etcd, controller manager, scheduler and kwok. Run by `cargo xtask test`.
//!
//! To add a scenario: a file here, its `mod` line below, and in each test a `Cluster` with a name of its own.
#![allow(
    dead_code,
    reason = "the fixture is shared by two test binaries; each takes a part of it"
)]

mod collect;
mod config;
mod exec;
mod fixture;
mod identity;
mod interrupt;
mod logs;
mod postgres;
mod rbac;
mod rig;
mod secrets;
mod verdicts;

//! Tests on a real node: kubelet, containerd and runc run what the tests apply. Run by `cargo xtask test`.
//!
//! To add a scenario: a file here, its `mod` line below, and in each test a `Cluster` with a name of its own. The
//! images on the node are `localhost/busybox:1`, with `imagePullPolicy: Never`, and `localhost/assay:1`, the binary under
//! test.
#![allow(
    dead_code,
    reason = "the fixture is shared by two test binaries; each takes a part of it"
)]

mod agent;
mod collect;
mod exec;
#[path = "../live/fixture.rs"]
mod fixture;
mod memory;
#[path = "../live/postgres/server.rs"]
mod postgres;
mod registry;
#[path = "../live/registry/servers.rs"]
mod registry_servers;
mod rig;
mod run_pod;
mod s3;
#[path = "../live/s3/servers.rs"]
mod s3_servers;
#[path = "../live/servers.rs"]
mod servers;

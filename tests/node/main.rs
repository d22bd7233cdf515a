//! Tests on a real node: kubelet, containerd and runc run what the tests apply. Run by `cargo xtask test`.
//!
//! To add a scenario: a file here, its `mod` line below, and in each test a `Cluster` with a name of its own. The one
//! image on the node is `localhost/busybox:1`, with `imagePullPolicy: Never`.
#![allow(
    dead_code,
    reason = "the fixture is shared by two test binaries; each takes a part of it"
)]

mod collect;
mod exec;
#[path = "../live/fixture.rs"]
mod fixture;
mod rig;
mod run_pod;

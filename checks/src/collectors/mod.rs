//! The collectors: one file each, one `mod` line and one row here, both alphabetical.
//!
//! A collector reaches the world through its context alone (cluster, host, clock, budget); clippy's
//! `disallowed_methods` enforces it.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

use crate::collector::CollectorKind;

mod cluster_info;

/// Every collector, sorted by scope and name.
pub const KINDS: &[&CollectorKind] = &[&cluster_info::KIND];

/// `<type>`, or `<type>/<name>` where there is a name: what troubleshoot shows, and names files after.
fn title(type_name: &str, name: &str) -> String {
    if name.is_empty() {
        type_name.to_owned()
    } else {
        format!("{type_name}/{name}")
    }
}

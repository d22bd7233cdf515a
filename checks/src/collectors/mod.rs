//! The collectors: one file each, one `mod` line and one row here, both alphabetical.
//!
//! A collector reaches the world through its context alone (cluster, host, clock, budget); clippy's
//! `disallowed_methods` enforces it.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

use crate::collector::CollectorKind;

mod cluster_info;
mod cluster_resources;

pub use cluster_resources::merge as merge_cluster_resources;

/// Every collector, sorted by scope and name.
pub const KINDS: &[&CollectorKind] = &[&cluster_info::KIND, &cluster_resources::KIND];

/// The resources that `clusterResources` asks for, by group and version.
#[cfg(test)]
pub(crate) fn built_in_resources()
-> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    cluster_resources::built_in_resources()
}

/// `<type>`, or `<type>/<name>` where there is a name: what troubleshoot shows, and names files after.
fn title(type_name: &str, name: &str) -> String {
    if name.is_empty() {
        type_name.to_owned()
    } else {
        format!("{type_name}/{name}")
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_file_is_registered() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/collectors");
        let registry = include_str!("mod.rs");
        for entry in std::fs::read_dir(folder).expect("the folder of collectors") {
            let name = entry.expect("an entry").file_name();
            let name = name.to_string_lossy();
            let module = name.trim_end_matches(".rs");
            if module != "mod" {
                assert!(
                    registry.contains(&format!("&{module}::KIND")),
                    "{name} has no row in KINDS"
                );
            }
        }
    }
}

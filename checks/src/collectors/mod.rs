//! The collectors: one file each, one `mod` line and one row here, both alphabetical.
//!
//! A collector reaches the world through its context alone (cluster, host, clock, budget); clippy's
//! `disallowed_methods` enforces it.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

use crate::collector::CollectorKind;

mod cluster_info;
mod cluster_resources;
mod cpu;
mod data;
mod host_os;
mod memory;

pub use cluster_resources::merge as merge_cluster_resources;

/// Every collector, sorted by scope and name.
pub const KINDS: &[&CollectorKind] = &[
    &cluster_info::KIND,
    &cluster_resources::KIND,
    &data::KIND,
    &cpu::KIND,
    &host_os::KIND,
    &memory::KIND,
];

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

/// The title of a host collector: its name, else troubleshoot's title for its kind.
fn host_title(type_name: &str, name: &str) -> String {
    let title = if name.is_empty() { type_name } else { name };
    title.to_owned()
}

#[cfg(test)]
mod tests {
    use super::KINDS;

    #[test]
    fn rows_are_sorted_by_scope_and_name_and_documented() {
        let keys: Vec<_> = KINDS.iter().map(|kind| (kind.scope, kind.name)).collect();
        assert!(keys.is_sorted_by(|one, next| one < next), "{keys:?}");
        for kind in KINDS {
            let headings: Vec<&str> = kind
                .docs
                .lines()
                .filter(|line| line.starts_with("# "))
                .collect();
            let wanted = [
                "# What it collects",
                "# Files",
                "# Permissions",
                "# Example",
            ];
            assert_eq!(headings, wanted, "{}", kind.name);
            assert!(
                kind.docs.contains(&format!("\n{}:", kind.name)),
                "{}",
                kind.name
            );
        }
    }

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

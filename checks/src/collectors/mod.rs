//! The collectors: one file each, one `mod` line and one row here, both alphabetical.
//!
//! A collector reaches the world through its context alone (cluster, host, clock, budget); clippy's
//! `disallowed_methods` enforces it.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

use std::time::Duration;

use syntax::config::ConfigError;
use syntax::duration;

use crate::collector::CollectorKind;

mod certificates;
mod cluster_info;
mod cluster_resources;
mod config_map;
mod cpu;
mod data;
mod exec;
mod gpu;
mod host_os;
mod host_registry_images;
mod image_bundle;
mod logs;
mod memory;
mod postgres;
mod registry;
mod registry_images;
mod run_pod;
mod s3;
mod secret;
mod velero;

/// Every collector, sorted by scope and name.
pub const KINDS: &[&CollectorKind] = &[
    &certificates::KIND,
    &cluster_info::KIND,
    &cluster_resources::KIND,
    &config_map::KIND,
    &data::KIND,
    &exec::KIND,
    &logs::KIND,
    &postgres::KIND,
    &registry::KIND,
    &registry_images::KIND,
    &run_pod::KIND,
    &s3::KIND,
    &s3::status::KIND,
    &secret::KIND,
    &velero::KIND,
    &cpu::KIND,
    &gpu::KIND,
    &host_os::KIND,
    &image_bundle::KIND,
    &memory::KIND,
    &host_registry_images::KIND,
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

/// As [`title`]; without a name it is the labels of what is looked for.
fn title_or_labels(type_name: &str, name: &str, labels: &str) -> String {
    title(type_name, if name.is_empty() { labels } else { name })
}

/// A collector's `timeout`, `None` where it is empty.
fn timeout(text: &str) -> Result<Option<Duration>, ConfigError> {
    if text.is_empty() {
        return Ok(None);
    }
    let refuse = |message: String| ConfigError {
        path: "timeout".to_owned(),
        message,
    };
    let timeout = duration::parse(text).map_err(|error| refuse(error.to_string()))?;
    match Duration::try_from(timeout) {
        Ok(timeout) if !timeout.is_zero() => Ok(Some(timeout)),
        _ => Err(refuse(format!("`{text}` leaves no time at all"))),
    }
}

/// The title of a host collector: its name, else troubleshoot's title for its kind.
fn host_title(type_name: &str, name: &str) -> String {
    let title = if name.is_empty() { type_name } else { name };
    title.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::{Meta, Scope};
    use serde_json::Value;
    use syntax::yaml;

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

    #[test]
    fn rows_are_sorted_and_unique() {
        let keys: Vec<_> = KINDS.iter().map(|kind| (kind.scope, kind.name)).collect();
        assert!(keys.is_sorted_by(|one, next| one < next), "{keys:?}");
    }

    #[test]
    fn every_kind_is_documented_under_the_same_headings() {
        for kind in KINDS {
            let headings: Vec<&str> = kind
                .docs
                .lines()
                .filter_map(|line| line.strip_prefix("# "))
                .collect();
            let expected = ["What it collects", "Files", "Permissions", "Example"];
            assert_eq!(headings, expected, "{}", kind.name);
            assert!(!kind.summary.is_empty() && !kind.summary.ends_with('.'));
            assert!(!kind.type_name.is_empty() && !kind.since.is_empty());
        }
    }

    /// The example in a kind's documentation: its configuration, as a spec holds it.
    fn example(kind: &CollectorKind) -> Value {
        let (_, rest) = kind.docs.split_once("```yaml\n").expect("an example");
        let (text, _) = rest.split_once("```").expect("the example's end");
        let document = yaml::document(text, &yaml::Limits::default()).expect("YAML");
        let value = document.root.to_json().expect("JSON");
        // One entry of a list may be shown as such.
        let entry = value.as_array().map_or(&value, |list| &list[0]);
        let config = entry.get(kind.name).expect("the kind's key");
        config.clone()
    }

    #[test]
    fn every_example_can_be_used_as_it_stands() {
        for kind in KINDS {
            let meta = Meta {
                name: "named".into(),
            };
            let mut config = example(kind);
            if let Some(fields) = config.as_object_mut() {
                fields.remove("collectorName");
                fields.remove("exclude");
            }
            let parsed = (kind.parse)(&config, &meta).expect(kind.name);
            assert_eq!(parsed.ignored, Vec::<String>::new(), "{}", kind.name);
            let collector = parsed.config;
            let titled = kind.scope == Scope::Host || collector.title().starts_with(kind.type_name);
            assert!(titled, "{}", collector.title());
            for path in collector.files(None) {
                assert!(!path.starts_with('/') && !path.contains(".."), "{path}");
            }
        }
    }

    #[test]
    fn every_schema_is_that_of_an_object() {
        for kind in KINDS {
            let schema = (kind.schema)();
            assert_eq!(schema["type"], "object", "{}", kind.name);
        }
    }
}

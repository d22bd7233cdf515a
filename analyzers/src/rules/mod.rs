//! The analyzers: one file each, one `mod` line and one row here, both alphabetical; host analyzers' files
//! begin with `host_`.

use crate::analyzer::AnalyzerKind;

mod certificates;
mod cluster_container_statuses;
mod cluster_pod_statuses;
mod cluster_resource;
mod cluster_version;
mod container_runtime;
mod custom_resource_definition;
mod deployment_status;
mod distribution;
mod event;
mod gpu_capacity;
mod host_cpu;
mod host_gpu;
mod host_image_bundle;
mod host_memory;
mod host_os;
mod host_registry_images;
mod ingress;
mod job_status;
mod json_compare;
mod log_patterns;
mod node_resources;
mod postgres;
mod postgres_limits;
mod registry_images;
mod registry_reachability;
mod replicaset_status;
mod s3;
mod s3_status;
mod secret;
mod statefulset_status;
mod storage_class;
mod text_analyze;
mod velero;
mod velero_health;
mod yaml_compare;

/// Every analyzer, sorted by scope and name.
pub const KINDS: &[&AnalyzerKind] = &[
    &certificates::KIND,
    &cluster_container_statuses::KIND,
    &cluster_pod_statuses::KIND,
    &cluster_resource::KIND,
    &cluster_version::KIND,
    &container_runtime::KIND,
    &custom_resource_definition::KIND,
    &deployment_status::KIND,
    &distribution::KIND,
    &event::KIND,
    &gpu_capacity::KIND,
    &ingress::KIND,
    &job_status::KIND,
    &json_compare::KIND,
    &log_patterns::KIND,
    &node_resources::KIND,
    &postgres::KIND,
    &postgres_limits::KIND,
    &registry_images::KIND,
    &registry_reachability::KIND,
    &replicaset_status::KIND,
    &s3::KIND,
    &s3_status::KIND,
    &secret::KIND,
    &statefulset_status::KIND,
    &storage_class::KIND,
    &text_analyze::KIND,
    &velero::KIND,
    &velero_health::KIND,
    &yaml_compare::KIND,
    &host_cpu::KIND,
    &host_gpu::KIND,
    &host_os::KIND,
    &host_image_bundle::KIND,
    &json_compare::HOST_KIND,
    &host_memory::KIND,
    &host_registry_images::KIND,
    &text_analyze::HOST_KIND,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bundle::{BundlePath, Files};
    use proptest::prelude::*;
    use serde_json::Value;
    use syntax::yaml::{Limits, document};

    use super::KINDS;
    use crate::analyzer::{AnalyzerKind, Check, HEADINGS, Meta, Scope, evaluate};

    /// The YAML block of the documentation.
    fn example(kind: &AnalyzerKind) -> Value {
        let docs = (kind.docs)();
        let (_, rest) = docs.split_once("```yaml\n").expect("an example in YAML");
        let (text, _) = rest.split_once("```").expect("an example that ends");
        let read = document(text, &Limits::default()).expect("an example that is YAML");
        read.root.to_json().expect("an example that is JSON, too")
    }

    #[test]
    fn sorted_and_unique_by_scope_and_name() {
        let keys: Vec<(Scope, &str)> = KINDS.iter().map(|kind| (kind.scope, kind.name)).collect();
        let sorted: BTreeSet<_> = keys.iter().copied().collect();
        assert_eq!(keys, sorted.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn documented_under_every_heading() {
        for kind in KINDS {
            let docs = (kind.docs)();
            let headings: Vec<&str> = docs.lines().filter(|line| line.starts_with("# ")).collect();
            assert_eq!(headings, HEADINGS, "{}", kind.name);
            let first = docs.lines().next().unwrap_or_default();
            assert!(
                first.len() > 10 && first.ends_with('.'),
                "{}: {first}",
                kind.name
            );
            for (heading, next) in HEADINGS.iter().zip(&HEADINGS[1..]) {
                let (_, rest) = docs.split_once(heading).expect("the heading");
                let (section, _) = rest.split_once(next).expect("the next heading");
                assert!(section.trim().len() > 20, "{}: {heading}", kind.name);
            }
            assert!(!kind.summary.is_empty() && !kind.since.is_empty());
            assert!(kind.scope == Scope::Host || !kind.needs.is_empty());
        }
    }

    #[test]
    fn examples_parse_and_hold_nothing_unknown() {
        for kind in KINDS {
            let mut example = example(kind);
            let config = example
                .get_mut(kind.name)
                .and_then(Value::as_object_mut)
                .expect("the kind's own key");
            for common in ["checkName", "exclude", "strict", "annotations"] {
                config.remove(common);
            }
            let parsed = (kind.parse)(&example[kind.name]).expect("a valid example");
            assert_eq!(parsed.ignored, [""; 0], "{}", kind.name);
        }
    }

    #[test]
    fn schemas_are_objects_that_allow_the_example() {
        for kind in KINDS {
            let schema = (kind.schema)();
            assert_eq!(schema["type"], "object", "{}", kind.name);
            let example = example(kind);
            let config = example[kind.name].as_object().expect("a mapping");
            for field in config.keys() {
                let common =
                    ["checkName", "exclude", "strict", "annotations"].contains(&field.as_str());
                assert!(
                    common || schema["properties"].get(field).is_some(),
                    "{}: {field} is not in the schema",
                    kind.name
                );
            }
        }
    }

    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "the test looks at the sources, the crate does not"
    )]
    fn every_file_is_registered() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/rules");
        let registry = include_str!("mod.rs");
        for entry in std::fs::read_dir(folder).expect("the folder of rules") {
            let name = entry.expect("an entry").file_name();
            let name = name.to_string_lossy();
            let module = name.trim_end_matches(".rs");
            if module == "mod" {
                continue;
            }
            assert!(registry.contains(&format!("&{module}::KIND,")), "{name}");
        }
    }

    /// The files that the kinds of this release read.
    const FILES: &[&str] = &[
        "cluster-info/cluster_version.json",
        "cluster-resources/custom-resource-definitions.json",
        "cluster-resources/custom-resources/backups.velero.io/velero.json",
        "cluster-resources/custom-resources/backupstoragelocations.velero.io/velero.json",
        "cluster-resources/custom-resources/restores.velero.io/velero.json",
        "cluster-resources/custom-resources/schedules.velero.io/velero.json",
        "cluster-resources/daemonsets/velero.json",
        "cluster-resources/deployments/shop.json",
        "cluster-resources/deployments/velero.json",
        "cluster-resources/events/default.json",
        "cluster-resources/events/shop.json",
        "cluster-resources/ingress/shop.json",
        "cluster-resources/jobs/shop.json",
        "cluster-resources/nodes.json",
        "cluster-resources/pods/shop.json",
        "cluster-resources/pods/velero.json",
        "cluster-resources/pvcs/shop.json",
        "cluster-resources/pvs.json",
        "cluster-resources/replicasets/shop.json",
        "cluster-resources/resources.json",
        "cluster-resources/statefulsets/shop.json",
        "cluster-resources/storage-classes.json",
        "host-collectors/image-bundle/release/inventory.json",
        "host-collectors/image-bundle/release/need.json",
        "host-collectors/registry-images/images.json",
        "host-collectors/system/cpu.json",
        "host-collectors/system/gpu.json",
        "host-collectors/system/hostos_info.json",
        "host-collectors/system/memory.json",
        "postgres/db.json",
        "postgres/db/limits.json",
        "registry/release.json",
        "registry/release/reachability.json",
        "run-ping/run-ping.log",
        "secrets/shop/database/password.json",
        "settings/settings.json",
        "settings/settings.yaml",
    ];

    /// Documents from well-formed to hostile.
    const DOCUMENTS: &[&str] = &[
        "",
        "null",
        "[]",
        "{}",
        "{\"items\":[{}]}",
        "{\"items\":[null]}",
        "[{\"groupVersion\":\"v1\"}]",
        "{\"items\":[{\"metadata\":{\"name\":\"velero\",\"namespace\":\"velero\",\"labels\":null},\"spec\":{\"schedule\":\"* * * * *\",\"template\":{\"spec\":{\"containers\":[{\"name\":\"velero\",\"image\":\":\",\"args\":[\"--\",\"--features\"]}]}}},\"status\":{\"phase\":\"InProgress\",\"startTimestamp\":\"-009999-01-02T01:59:59Z\",\"lastValidationTime\":\"9999-12-30T22:00:00Z\",\"errors\":-1}}]}",
        "{\"string\":\"v1.31.2+k3s1\",\"items\":[{\"metadata\":{\"name\":\"api\",\"namespace\":\"shop\"},\"status\":{\"phase\":\"Running\",\"replicas\":-1,\"capacity\":{\"cpu\":\"1e999\",\"memory\":\"\"}}}]}",
        "{\"logicalCount\":-9223372036854775808,\"total\":18446744073709551615,\"platform\":\"ubuntu\",\"platformVersion\":\"00.\",\"kernelVersion\":\"é\"}",
        "{\"images\":[{\"image\":\"a\",\"platforms\":[{}],\"failure\":{},\"before\":[{}]}],\"servers\":[{\"address\":\"x\",\"tls\":{\"notAfter\":\"9999-12-31T23:59:59Z\"},\"rateLimit\":{\"limit\":0,\"remaining\":0}}],\"pushes\":[{}]}",
        "\u{feff}{\"items\":",
        "3% packet loss ***HIDDEN***",
    ];

    /// Every `when` of a configuration, replaced.
    fn with_conditions(config: &mut Value, when: &str) {
        match config {
            Value::Object(fields) => {
                for (key, value) in fields {
                    if key == "when" {
                        *value = when.into();
                    } else {
                        with_conditions(value, when);
                    }
                }
            }
            Value::Array(items) => items
                .iter_mut()
                .for_each(|item| with_conditions(item, when)),
            _ => {}
        }
    }

    proptest! {
        /// Whatever a spec's condition and a bundle's documents hold, there is an answer.
        #[test]
        fn no_condition_and_no_document_breaks_an_analyzer(
            when in "[a-zA-Z()<>=!&|~^ 0-9.,'é-]{0,24}|(count\\(\\)|min\\(cpuCapacity\\)|ubuntu|Loss|supports|absent|==) (=|<|>=|!=) [0-9a-zG.]{0,6}",
            document in prop::sample::select(DOCUMENTS),
        ) {
            let entries = FILES.iter().map(|path| {
                (BundlePath::new(path).expect("a path"), document.as_bytes().to_vec())
            });
            let files = Files::in_memory(entries, None);
            for kind in KINDS {
                let mut config = example(kind)[kind.name].clone();
                with_conditions(&mut config, &when);
                let check = Check {
                    kind,
                    meta: Meta::default(),
                    analyzer: (kind.parse)(&config).map(|it| it.config).map_err(|it| it.message),
                };
                prop_assert_eq!(evaluate(&[check], &files).len(), 1);
            }
        }
    }
}

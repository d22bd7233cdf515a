//! Conditions: the first byte chooses a kind of analyzer, the first line is its `when`, the rest is every file that it
//! reads. There is one answer, the same twice, and a condition that cannot be read passes nothing.
#![no_main]

use std::sync::LazyLock;

use analyzers::rules::KINDS;
use analyzers::{Check, Meta, evaluate};
use bundle::{BundlePath, Files};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use syntax::yaml::{Limits, document};

/// Where the kinds of this release look.
const FILES: &[&str] = &[
    "cluster-info/cluster_version.json",
    "cluster-resources/custom-resource-definitions.json",
    "cluster-resources/custom-resources/backups.velero.io/velero.json",
    "cluster-resources/custom-resources/backupstoragelocations.velero.io/velero.json",
    "cluster-resources/custom-resources/schedules.velero.io/velero.json",
    "cluster-resources/daemonsets/velero.json",
    "cluster-resources/deployments/shop.json",
    "cluster-resources/deployments/velero.json",
    "cluster-resources/events/shop.json",
    "cluster-resources/nodes.json",
    "cluster-resources/pods/shop.json",
    "cluster-resources/pods/velero.json",
    "cluster-resources/pvcs/shop.json",
    "cluster-resources/pvs.json",
    "cluster-resources/resources.json",
    "cluster-resources/statefulsets/shop.json",
    "cluster-resources/storage-classes.json",
    "host-collectors/system/cpu.json",
    "host-collectors/system/gpu.json",
    "host-collectors/system/hostos_info.json",
    "host-collectors/system/memory.json",
    "postgres/db.json",
    "postgres/db/limits.json",
    "run-ping/run-ping.log",
    "settings/settings.json",
];

/// The example in each kind's documentation.
static EXAMPLES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let example = |docs: String| {
        let (_, rest) = docs.split_once("```yaml\n").expect("an example");
        let (yaml, _) = rest.split_once("```").expect("an example");
        let example = document(yaml, &Limits::default()).expect("an example");
        let item = example.root.to_json().expect("an example");
        item.get(0).cloned().unwrap_or(item)
    };
    KINDS.iter().map(|kind| example((kind.docs)())).collect()
});

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

fuzz_target!(|input: &[u8]| {
    let [kind, input @ ..] = input else { return };
    let index = usize::from(*kind) % KINDS.len();
    let end = input.iter().position(|byte| *byte == b'\n');
    let (when, rest) = input.split_at(end.unwrap_or(input.len()));
    let rest = rest.get(1..).unwrap_or_default();
    let Ok(when) = std::str::from_utf8(when) else {
        return;
    };
    let entries = FILES
        .iter()
        .map(|path| (BundlePath::new(path).expect("a path"), rest.to_vec()));
    let files = Files::in_memory(entries, None);
    let kind = KINDS[index];
    let mut config = EXAMPLES[index][kind.name].clone();
    with_conditions(&mut config, when);
    let answer = || {
        let check = Check {
            kind,
            meta: Meta::default(),
            analyzer: (kind.parse)(&config)
                .map(|it| it.config)
                .map_err(|it| it.message),
        };
        let mut evaluations = evaluate(&[check], &files);
        assert_eq!(evaluations.len(), 1);
        format!("{:?}", evaluations.pop())
    };
    assert_eq!(answer(), answer(), "not a function of its input");
});

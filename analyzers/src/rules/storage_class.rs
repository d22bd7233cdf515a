//! `storageClass`: a named storage class, or a default one, is there.

use bundle::Files;
use bundle::collected::{List, Object};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{document, unmasked};
use crate::finding::{Finding, Icon, Judgement, NotEvaluated, Verdict};
use crate::outcome::{Branch, Outcome, by_presence};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "The storage class, or a default one, exists",
    docs: docs::<StorageClass>,
    since: "0.1.0",
    needs: &["clusterResources"],
    parse: parse::<StorageClass>,
    schema: schema::<StorageClass>,
};

const NAME: &str = "storageClass";
const PATH: &str = "cluster-resources/storage-classes.json";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
const ICON: Icon = Icon {
    key: "kubernetes_storage_class",
    file: "storage-class.svg?w=12&h=12",
};

/// The storage class, or a default one, exists.
///
/// # What it checks
/// Whether the cluster has the storage class `storageClassName`; without a name, whether it has one with the
/// annotation `storageclass.kubernetes.io/is-default-class: "true"`.
///
/// # When it warns or fails
/// It passes when there is such a class and fails when there is none. There is no `when`: the last `pass` and the
/// last `fail` of the outcomes supply message and link.
///
/// # What to do
/// Create the class, or mark one as the default:
/// `kubectl patch storageclass NAME -p '{"metadata":{"annotations":{"storageclass.kubernetes.io/is-default-class":"true"}}}'`.
///
/// # Needs
/// The collector `clusterResources` (always added), which lists `storageclasses.storage.k8s.io`.
///
/// # Example
/// ```yaml
/// storageClass:
///   storageClassName: fast
///   outcomes:
///     - fail:
///         message: The storage class fast is missing.
///     - pass:
///         message: The storage class fast is there.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct StorageClass {
    /// What to say.
    outcomes: Vec<Outcome>,
    /// The class; empty asks for a default class.
    storage_class_name: String,
}

impl StorageClass {
    fn is_wanted(&self, class: &Object) -> bool {
        if self.storage_class_name.is_empty() {
            class
                .metadata
                .annotations
                .get(DEFAULT_CLASS)
                .is_some_and(|value| value == "true")
        } else {
            class.metadata.name == self.storage_class_name
        }
    }
}

impl Analyzer for StorageClass {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or(if self.storage_class_name.is_empty() {
            "Default Storage Class".to_owned()
        } else {
            format!("Storage class {}", self.storage_class_name)
        })
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let classes = document::<List<Object>>(files, PATH)?;
        let found = classes.items.iter().find(|class| self.is_wanted(class));
        if found.is_none() {
            for class in &classes.items {
                unmasked(&class.metadata.name)?;
                unmasked(
                    class
                        .metadata
                        .annotations
                        .get(DEFAULT_CLASS)
                        .map_or("", |it| it),
                )?;
            }
        }
        let (verdict, mut branch) = by_presence(&self.outcomes, found.is_some());
        if branch.message.is_empty() && self.storage_class_name.is_empty() {
            branch.message = match found {
                Some(_) => "Default Storage Class found".to_owned(),
                None => "No Default Storage Class found".to_owned(),
            };
        }
        let observed = match found {
            Some(class) => format!("{} ({PATH})", class.metadata.name),
            None => format!("{} ({PATH})", names(&classes.items)),
        };
        Ok(self.finding(meta, verdict, &branch, observed).into())
    }
}

impl StorageClass {
    fn finding(&self, meta: &Meta, verdict: Verdict, branch: &Branch, observed: String) -> Finding {
        let remedy = if self.storage_class_name.is_empty() {
            format!(
                "Mark one storage class as the default with the annotation {DEFAULT_CLASS}: \"true\"."
            )
        } else {
            format!(
                "Create the storage class {}, or name one that exists.",
                self.storage_class_name
            )
        };
        Finding {
            id: Finding::id(NAME, &self.storage_class_name),
            title: self.title(meta),
            strict: meta.strict,
            observed,
            ..Finding::of(verdict, branch)
        }
        .with_remedy(remedy)
        .with_icon(&ICON)
    }
}

/// The classes there are, for a person who looks for another.
fn names(classes: &[Object]) -> String {
    const SHOWN: usize = 10;
    if classes.is_empty() {
        return "no storage classes".to_owned();
    }
    let mut names: Vec<&str> = classes
        .iter()
        .take(SHOWN)
        .map(|class| class.metadata.name.as_str())
        .collect();
    if classes.len() > SHOWN {
        names.push("…");
    }
    format!("only {}", names.join(", "))
}

//! What `velero` and `veleroHealth` share: reading Velero's objects from the bundle, never taking a part for the whole.

use std::sync::Arc;

use bundle::Files;
use bundle::collected::{List, ListOrArray, Named};
use bundle::manifest::GapReason;
use serde::de::DeserializeOwned;

use crate::document::{decoded, document};
use crate::finding::NotEvaluated;

/// Where custom resources lie.
pub(crate) const CUSTOM_RESOURCES: &str = "cluster-resources/custom-resources";

/// Velero's objects of one kind.
#[derive(Debug)]
pub(crate) struct Objects<T> {
    lists: Vec<Arc<ListOrArray<T>>>,
    /// Why some are missing.
    pub(crate) unseen: Option<NotEvaluated>,
    /// Where they lie, for the reader of a finding.
    pub(crate) path: String,
}

impl<T> Objects<T> {
    /// Those that were read, in the order of their files.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.lists.iter().flat_map(|list| &list.items)
    }

    /// All of them, or why they are not all there.
    pub(crate) fn whole(&self) -> Result<Vec<&T>, NotEvaluated> {
        match &self.unseen {
            Some(reason) => Err(reason.clone()),
            None => Ok(self.iter().collect()),
        }
    }
}

/// The objects `<plural>.velero.io` of one namespace, or of all. A kind without objects has no file; that none was
/// collected and that none exists are told apart by the manifest's gaps.
pub(crate) fn objects<T>(files: &Files, plural: &str, namespace: Option<&str>) -> Objects<T>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    let folder = format!("{CUSTOM_RESOURCES}/{plural}.velero.io");
    let path = format!("{folder}/{}.json", namespace.unwrap_or("*"));
    let mut objects = Objects {
        lists: Vec::new(),
        unseen: None,
        path: path.clone(),
    };
    let found = match files.glob(&path) {
        Ok(found) => found,
        Err(error) => {
            objects.unseen = Some(error.into());
            return objects;
        }
    };
    for path in &found {
        match decoded::<ListOrArray<T>>(files, path.as_str()) {
            Ok(list) => objects.lists.push(list),
            Err(reason) => {
                objects.unseen.get_or_insert(reason);
            }
        }
    }
    // A refusal of other kinds or namespaces leaves one namespace's file whole.
    let is_there = namespace.is_some() && !found.is_empty();
    let gap = files.gaps(&path).find(|gap| {
        let is_of_others = gap.reason == GapReason::Refused && gap.path.contains('*');
        gap.reason != GapReason::Absent && !(is_there && is_of_others)
    });
    if let Some(gap) = gap {
        let reason = format!("{}: {}", gap.reason.phrase(), gap.detail);
        objects.unseen.get_or_insert(NotEvaluated::Unknown(reason));
    }
    objects
}

/// Whether a namespace exists; `None` where that is not known.
pub(crate) fn namespace_exists(files: &Files, name: &str) -> Option<bool> {
    let namespaces = document::<List<Named>>(files, "cluster-resources/namespaces.json").ok()?;
    let mut names = namespaces.items.iter().map(|item| &item.metadata.name);
    Some(names.any(|each| each == name))
}

/// The tag of an image: what follows the last `:`, unless that begins a registry's port.
pub(crate) fn tag(image: &str) -> Option<&str> {
    let name = image.split('@').next().unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    last.rsplit_once(':').map(|(_, tag)| tag)
}

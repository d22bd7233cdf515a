//! Reading the documents that analyzers judge, and never taking a part for the whole.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Read;
use std::sync::Arc;

use bundle::manifest::{Gap, GapReason};
use bundle::redact::MASK;
use bundle::{BundlePath, Files, ReadError};
use serde::de::DeserializeOwned;
use serde_json::Value;
use syntax::json::Splitter;
use syntax::selector::LabelSelector;

use crate::finding::NotEvaluated;

/// A document that is judged as a whole. Where the manifest says that part of it is missing, there is no
/// judgement: half a node list has a count, too, and a wrong one.
pub(crate) fn document<T>(files: &Files, path: &str) -> Result<Arc<T>, NotEvaluated>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    let document = decoded(files, path)?;
    match missing(files, path) {
        Some(reason) => Err(reason),
        None => Ok(document),
    }
}

/// A document, whole or not. A mask where a number should be breaks a document, too: that is no fault of it.
pub(crate) fn decoded<T>(files: &Files, path: &str) -> Result<Arc<T>, NotEvaluated>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    files.decoded(path).map_err(|error| {
        let is_broken_by_mask = matches!(error, ReadError::Malformed { .. })
            && files
                .read(path)
                .is_ok_and(|bytes| is_masked(&String::from_utf8_lossy(&bytes)));
        if is_broken_by_mask {
            redacted()
        } else {
            error.into()
        }
    })
}

/// The documents of one kind in several namespaces, with what was not seen.
pub(crate) struct Documents<T> {
    /// Where each lies, and the document, sorted by path where the pattern asked for all.
    pub(crate) read: Vec<(String, Arc<T>)>,
    /// Why some are missing.
    pub(crate) unseen: Option<NotEvaluated>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Documents<T> {
    /// `<folder>/<namespace>.json` for each of the namespaces in the order given, for all that there are
    /// where none is given. What cannot be read is remembered, and the rest is read.
    pub(crate) fn read(
        files: &Files,
        folder: &str,
        namespaces: &[String],
    ) -> Result<Self, NotEvaluated> {
        if namespaces.is_empty() {
            return Self::read_all(files, folder);
        }
        let mut documents = Self {
            read: Vec::new(),
            unseen: None,
        };
        for namespace in namespaces {
            documents.add(files, &format!("{folder}/{namespace}.json"));
        }
        documents.or_nothing()
    }

    fn read_all(files: &Files, folder: &str) -> Result<Self, NotEvaluated> {
        let pattern = format!("{folder}/*.json");
        let mut documents = Self {
            read: Vec::new(),
            unseen: None,
        };
        for path in files.glob(&pattern)? {
            documents.add(files, path.as_str());
        }
        if let Some(reason) = missing(files, &pattern) {
            documents.unseen = Some(reason);
        }
        if documents.read.is_empty() && documents.unseen.is_none() {
            return Err(match files.gaps(&pattern).next() {
                Some(gap) => NotEvaluated::from_gap(&pattern, gap),
                None => NotEvaluated::Unknown(format!("{pattern} was not collected")),
            });
        }
        documents.or_nothing()
    }

    fn add(&mut self, files: &Files, path: &str) {
        match decoded(files, path) {
            Ok(document) => {
                self.read.push((path.to_owned(), document));
                if let Some(reason) = missing(files, path) {
                    self.unseen.get_or_insert(reason);
                }
            }
            Err(reason) => {
                self.unseen.get_or_insert(reason);
            }
        }
    }

    /// What is missing is the whole answer when nothing could be read.
    fn or_nothing(self) -> Result<Self, NotEvaluated> {
        match self.unseen {
            Some(reason) if self.read.is_empty() => Err(reason),
            _ => Ok(self),
        }
    }
}

/// Reads some items of a list as they stand in its file, one at a time, where a projection has less than is wanted:
/// those at the indices `wanted`, in ascending order. `each` gets the place in `wanted` and the item.
pub(crate) fn items_at(
    files: &Files,
    path: &str,
    wanted: &[usize],
    mut each: impl FnMut(usize, &Value),
) -> Result<(), NotEvaluated> {
    let mut splitter = Splitter::default();
    let mut reader = files.open(path)?;
    let mut piece = vec![0; 64 << 10];
    let (mut index, mut nth) = (0, 0);
    while nth < wanted.len() {
        let read = reader
            .read(&mut piece)
            .map_err(|error| NotEvaluated::Unknown(format!("{path} cannot be read: {error}")))?;
        if read == 0 {
            break;
        }
        splitter.push(&piece[..read], |item, _| -> Result<(), NotEvaluated> {
            if wanted.get(nth) == Some(&index) {
                let whole = serde_json::from_slice(item.bytes).map_err(|error| {
                    NotEvaluated::Malformed(format!("{path}: item {index}: {error}"))
                })?;
                each(nth, &whole);
                nth += 1;
            }
            index += 1;
            Ok(())
        })?;
    }
    Ok(())
}

/// Why part of what matches `pattern` is missing, as far as the manifest knows; an API that does not
/// exist leaves nothing out. One file that is there is whole although others were refused.
pub(crate) fn missing(files: &Files, pattern: &str) -> Option<NotEvaluated> {
    let is_there = files.contains(pattern);
    let is_of_others =
        |gap: &&Gap| is_there && gap.reason == GapReason::Refused && gap.path.contains('*');
    let mut gaps = files
        .gaps(pattern)
        .filter(|gap| gap.reason != GapReason::Absent && !is_of_others(gap));
    let first = gaps.next()?;
    let more = gaps.count();
    let mut reason = describe(first);
    if more > 0 {
        reason = format!("{reason}; and {more} more, listed in manifest.json");
    }
    Some(NotEvaluated::Unknown(reason))
}

/// Why part of this very file is missing, whichever of its names it is asked for by: what is not found in it may be in that
/// part.
pub(crate) fn cut_short(files: &Files, path: &str) -> Option<NotEvaluated> {
    let target = files.link_target(path);
    let target = target.as_ref().map(BundlePath::as_str);
    [Some(path), target].into_iter().flatten().find_map(|path| {
        let mut gaps = files
            .gaps(path)
            .filter(|gap| gap.reason != GapReason::Absent);
        let gap = gaps.find(|gap| gap.path == path)?;
        Some(NotEvaluated::Unknown(describe(gap)))
    })
}

fn describe(gap: &Gap) -> String {
    format!("{}: {}: {}", gap.path, gap.reason.phrase(), gap.detail)
}

/// The path that a spec's folder and file name stand for, as Go's `path.Join` cleans it.
pub(crate) fn file_path(folder: &str, name: &str) -> Result<String, NotEvaluated> {
    let mut segments: Vec<&str> = Vec::new();
    for segment in folder.split('/').chain(name.split('/')) {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop().ok_or_else(|| {
                    NotEvaluated::Spec(format!("{folder:?} and {name:?} lead out of the bundle"))
                })?;
            }
            segment => segments.push(segment),
        }
    }
    if segments.is_empty() {
        return Err(NotEvaluated::Spec(
            "collectorName and fileName are empty: no file is named".to_owned(),
        ));
    }
    Ok(segments.join("/"))
}

/// A number and what is counted: `1 node`, `3 nodes`.
pub(crate) fn counted<N: Copy + Display + PartialEq + From<u8>>(number: N, what: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// Whether a value was masked by redaction, so that nothing can be said of what it was.
#[must_use]
pub(crate) fn is_masked(text: &str) -> bool {
    text.contains(MASK) || text.contains("***TOKEN_")
}

/// Whether the selector selects what has these labels, which a masked one that it asks for leaves open.
pub(crate) fn selects(
    selector: &LabelSelector,
    labels: &BTreeMap<String, String>,
) -> Result<bool, NotEvaluated> {
    for requirement in selector.requirements() {
        unmasked(labels.get(requirement.key()).map_or("", |it| it))?;
    }
    Ok(selector.matches(|key| labels.get(key).map(String::as_str)))
}

/// Refuses to judge a masked value.
pub(crate) fn unmasked(text: &str) -> Result<&str, NotEvaluated> {
    if is_masked(text) {
        Err(redacted())
    } else {
        Ok(text)
    }
}

/// The answer to a masked value.
#[must_use]
pub(crate) fn redacted() -> NotEvaluated {
    NotEvaluated::Unknown("value is redacted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_bundle() {
        let path = |folder, name| file_path(folder, name).ok();
        assert_eq!(path("logs", "app/*.log"), Some("logs/app/*.log".to_owned()));
        assert_eq!(path("", "/a//b/./c"), Some("a/b/c".to_owned()));
        assert_eq!(path("a", "../b"), Some("b".to_owned()));
        for (folder, name) in [("", "../x"), ("a", "../../x"), ("", ""), ("a", "..")] {
            assert_eq!(path(folder, name), None, "{folder:?} {name:?}");
        }
    }

    #[test]
    fn masks_are_recognised() {
        assert!(is_masked("v***HIDDEN***"));
        assert!(is_masked("***TOKEN_PASSWORD_1A2B***"));
        assert!(!is_masked("*** HIDDEN ***"));
    }
}

//! Why something is not in the bundle: never an empty list where the truth is "refused" or "never asked for".

use std::collections::HashSet;

use bundle::Files;
use bundle::manifest::{Gap, GapReason};
use serde::Deserialize;
use serde_json::Value;

use crate::catalog::{Catalog, ROOT, Resource};
use crate::status::{Status, Subject};

/// How much of a list the bundle holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Coverage {
    /// All of it.
    Whole,
    /// Part of it, and what is missing.
    Part(Vec<String>),
    /// Nothing that could be called a list: this is the answer.
    Nothing(Box<Status>),
}

/// Something that was asked for and did not come, from whichever record tells of it.
struct Missing {
    reason: GapReason,
    detail: String,
    /// The namespace concerned, where it is one alone.
    namespace: Option<String>,
}

/// What the bundle holds of a list, cluster-wide or of one namespace.
pub(crate) fn coverage(
    files: &Files,
    catalog: &Catalog,
    resource: &Resource,
    namespace: Option<&str>,
) -> Coverage {
    let subject = subject(resource, "");
    let held = Held::of(resource, namespace);
    let mut parts = Vec::new();
    for missing in missing(files, resource, namespace, &held) {
        let whole_file = missing.whole;
        let Missing {
            reason,
            detail,
            namespace: of,
        } = missing.what;
        let detail = match &of {
            Some(of) if namespace.is_none() && !detail.contains(of.as_str()) => {
                format!("namespace {of:?}: {detail}")
            }
            _ => detail,
        };
        if whole_file {
            let hint = if namespace.is_none() && !held.paths.is_empty() {
                "; namespaces that the bundle holds can be listed one by one"
            } else {
                ""
            };
            return Coverage::Nothing(Box::new(Status::gap(
                &subject,
                reason,
                &format!("{}: {detail}{hint}", reason.phrase()),
            )));
        }
        parts.push(format!("{}: {detail}", reason.phrase()));
    }
    if held.paths.is_empty() && !known_empty(files, catalog, resource, namespace) {
        return Coverage::Nothing(Box::new(never_collected(resource, namespace)));
    }
    // Every namespace has its file; only custom resources and pull secrets leave empty ones out.
    let file_each = resource.namespaced && !resource.custom && !is_secrets(resource);
    if namespace.is_none() && file_each && !held.paths.is_empty() {
        parts.extend(uncollected_namespaces(files, catalog, resource, &held));
    }
    if parts.is_empty() {
        Coverage::Whole
    } else {
        Coverage::Part(parts)
    }
}

/// The core Secrets, of which a bundle knows no more than the pull secrets' registries.
pub(crate) fn is_secrets(resource: &Resource) -> bool {
    resource.group.is_empty() && resource.plural == "secrets"
}

/// The kind in a `Status`.
pub(crate) fn subject<'a>(resource: &'a Resource, name: &'a str) -> Subject<'a> {
    Subject {
        group: &resource.group,
        resource: &resource.plural,
        name,
    }
}

/// 404 for a kind, or a namespace of it, that nobody asked for when the bundle was made.
pub(crate) fn never_collected(resource: &Resource, namespace: Option<&str>) -> Status {
    let plural = subject(resource, "").qualified();
    let why = match namespace {
        Some(namespace) if !resource.files.is_empty() => {
            format!("{plural} of namespace {namespace:?} were not collected into this bundle")
        }
        _ => format!("{plural} were not collected into this bundle"),
    };
    Status::not_collected(&subject(resource, ""), &why)
}

/// The files of a list that are there.
#[derive(Default)]
struct Held<'a> {
    paths: HashSet<&'a str>,
    namespaces: HashSet<&'a str>,
}

impl<'a> Held<'a> {
    fn of(resource: &'a Resource, namespace: Option<&str>) -> Self {
        let mut held = Self::default();
        for file in &resource.files {
            if namespace.is_none_or(|namespace| file.namespace == namespace) {
                held.paths.insert(&file.path);
                held.namespaces.insert(&file.namespace);
            }
        }
        held
    }
}

struct MissingFile {
    what: Missing,
    /// Nothing of the file is there, as against a file that was cut.
    whole: bool,
}

fn missing(
    files: &Files,
    resource: &Resource,
    namespace: Option<&str>,
    held: &Held<'_>,
) -> Vec<MissingFile> {
    let mut found = Vec::new();
    for pattern in resource.paths(namespace) {
        for gap in files.gaps(&pattern) {
            // A refused list writes nothing: where the file is there after all, another request got it.
            let some = !held.paths.is_empty();
            let present = held.paths.contains(gap.path.as_str()) || namespace.is_some() && some;
            let nothing_written = matches!(gap.reason, GapReason::Refused | GapReason::Absent);
            if present && nothing_written {
                continue;
            }
            // A list that was cut, or was not of one moment, is there all the same.
            let cut = matches!(gap.reason, GapReason::Limit | GapReason::Malformed);
            let glob = gap.path.contains('*');
            found.push(MissingFile {
                what: of_gap(gap),
                whole: !(present || cut && some && glob),
            });
        }
    }
    for missing in of_error_files(files, resource) {
        let concerned = match (&missing.namespace, namespace) {
            (Some(of), Some(namespace)) => of == namespace,
            _ => true,
        };
        let written = match &missing.namespace {
            Some(of) => held.namespaces.contains(of.as_str()),
            None => !held.paths.is_empty(),
        };
        if concerned {
            found.push(MissingFile {
                what: missing,
                whole: !written,
            });
        }
    }
    found
}

fn of_gap(gap: &Gap) -> Missing {
    let file = gap.path.rsplit('/').next().unwrap_or_default();
    let namespace = file
        .strip_suffix(".json")
        .filter(|name| !name.contains('*'));
    Missing {
        reason: gap.reason,
        detail: gap.detail.clone(),
        namespace: namespace.map(str::to_owned),
    }
}

/// troubleshoot's side files: `pods-errors.json`, a map of namespace to error or a list of errors.
fn of_error_files(files: &Files, resource: &Resource) -> Vec<Missing> {
    let custom = format!("{ROOT}/custom-resources/custom-resources-errors.json");
    let own = resource
        .places
        .iter()
        .map(|place| (format!("{place}-errors.json"), None));
    let paths = own.chain(resource.custom.then(|| {
        (
            custom,
            Some(format!("{}.{}", resource.plural, resource.group)),
        )
    }));
    let mut found = Vec::new();
    for (path, key) in paths {
        let Ok(document) = files.decoded::<Value>(&path) else {
            continue;
        };
        let entries: Vec<(Option<&str>, &Value)> = match &*document {
            Value::Array(errors) => errors.iter().map(|error| (None, error)).collect(),
            Value::Object(errors) => errors
                .iter()
                .map(|(key, error)| (Some(key.as_str()), error))
                .collect(),
            _ => Vec::new(),
        };
        for (of, error) in entries {
            // In the file shared by all custom resources the key is the definition's name, and `crdList`,
            // `crdClient` concern them all.
            if key.is_some() && of.is_some_and(|of| of.contains('.')) && of != key.as_deref() {
                continue;
            }
            let detail = error
                .as_str()
                .map_or_else(|| error.to_string(), str::to_owned);
            found.push(Missing {
                reason: reason_of(&detail),
                detail,
                namespace: of
                    .filter(|_| key.is_none() && resource.namespaced)
                    .map(str::to_owned),
            });
        }
    }
    found
}

fn reason_of(error: &str) -> GapReason {
    let error = error.to_lowercase();
    if error.contains("forbidden") || error.contains("unauthorized") {
        GapReason::Refused
    } else if error.contains("could not find the requested resource")
        || error.contains("no matches for kind")
    {
        GapReason::Absent
    } else {
        GapReason::Failed
    }
}

/// Whether nothing is there because there is nothing: custom resources without objects have no file, and a
/// namespace that does not exist holds nothing.
fn known_empty(
    files: &Files,
    catalog: &Catalog,
    resource: &Resource,
    namespace: Option<&str>,
) -> bool {
    if is_secrets(resource) {
        return catalog.holds_objects();
    }
    if resource.custom && catalog.knows_custom() {
        return true;
    }
    let unknown_namespace = || {
        let namespaces = namespaces(files, catalog);
        namespaces.is_some_and(|known| !known.iter().any(|known| Some(known.as_str()) == namespace))
    };
    namespace.is_some() && !resource.files.is_empty() && unknown_namespace()
}

/// The kind of a document.
#[derive(Deserialize)]
struct Kind {
    kind: String,
}

/// The names of all namespaces, where the bundle has the list. Where a spec names namespaces, the file holds those
/// alone: an array of them, or one object.
fn namespaces(files: &Files, catalog: &Catalog) -> Option<Vec<String>> {
    let namespaces = catalog.get("", "namespaces")?;
    let is_list = |path: &str| {
        let document = files.decoded::<Kind>(path);
        document.is_ok_and(|document| document.kind == "NamespaceList")
    };
    if !namespaces.files.iter().all(|file| is_list(&file.path)) {
        return None;
    }
    if namespaces.files.is_empty() || !missing(files, namespaces, None, &Held::default()).is_empty()
    {
        return None;
    }
    let index = namespaces.index(files);
    let names = index.objects.iter().map(|object| object.name.to_string());
    index.problems.is_empty().then(|| names.collect())
}

fn uncollected_namespaces(
    files: &Files,
    catalog: &Catalog,
    resource: &Resource,
    held: &Held<'_>,
) -> Option<String> {
    let all = namespaces(files, catalog)?;
    let left_out = all
        .iter()
        .filter(|name| !held.namespaces.contains(name.as_str()));
    let left_out: Vec<&String> = left_out.collect();
    Some(format!(
        "{} of {} of {} namespaces were not collected into this bundle, {:?} among them",
        resource.plural,
        left_out.len(),
        all.len(),
        left_out.first()?,
    ))
}

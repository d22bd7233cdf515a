//! The second reading: every entry against the type of its kind, and every analyzer's outcomes.

use analyzers::AnalyzerKind;
use checks::CollectorKind;
use checks::collector;
use serde_json::Value;
use syntax::config::{ConfigError, Parsed};
use syntax::suggest::nearest;
use syntax::yaml::{Content, Node};

use super::diagnostic::{self, Diagnostic};
use super::entry::{Entry, List};

const VERDICTS: [&str; 3] = ["pass", "warn", "fail"];
const BRANCH: [&str; 3] = ["when", "message", "uri"];
/// The kinds of analyzers in which every branch of one outcome counts.
const EACH_BRANCH_COUNTS: [&str; 8] = [
    "configMap",
    "customResourceDefinition",
    "event",
    "imagePullSecret",
    "ingress",
    "ingressClass",
    "secret",
    "storageClass",
];

impl Entry {
    /// The registry row, where this is a collector that this release has.
    #[must_use]
    pub fn collector_kind(&self) -> Option<&'static CollectorKind> {
        let scope = match self.list {
            List::Collectors => checks::Scope::Cluster,
            List::HostCollectors => checks::Scope::Host,
            List::RemoteCollectors | List::Analyzers | List::HostAnalyzers => return None,
        };
        let mut rows = checks::collectors::KINDS.iter().copied();
        rows.find(|row| row.scope == scope && row.name == self.kind)
    }

    /// The registry row, where this is an analyzer that this release has.
    #[must_use]
    pub fn analyzer_kind(&self) -> Option<&'static AnalyzerKind> {
        let scope = match self.list {
            List::Analyzers => analyzers::Scope::Cluster,
            List::HostAnalyzers => analyzers::Scope::Host,
            List::Collectors | List::HostCollectors | List::RemoteCollectors => return None,
        };
        let mut rows = analyzers::rules::KINDS.iter().copied();
        rows.find(|row| row.scope == scope && row.name == self.kind)
    }

    /// The common fields, for a collector's plug-in.
    pub(super) fn collector_meta(&self) -> collector::Meta {
        collector::Meta {
            name: self.name.clone(),
        }
    }
}

/// Checks one entry. What makes it unusable is recorded in it.
pub(super) fn check(entry: &mut Entry, diagnostics: &mut Vec<Diagnostic>) {
    if !entry.list.known().contains(&entry.kind.as_str()) {
        return unknown_kind(entry, diagnostics);
    }
    if entry.unusable.is_some() {
        return;
    }
    let from = diagnostics.len();
    if entry.list.is_analyzers() {
        outcomes(entry, diagnostics);
    }
    if let Some(row) = entry.collector_kind() {
        let parsed = (row.parse)(&entry.config, &entry.collector_meta());
        typed(entry, parsed, row.schema, diagnostics);
    } else if let Some(row) = entry.analyzer_kind() {
        let parsed = (row.parse)(&entry.config);
        typed(entry, parsed, row.schema, diagnostics);
    }
    diagnostic::limit(diagnostics, from);
}

fn unknown_kind(entry: &mut Entry, diagnostics: &mut Vec<Diagnostic>) {
    if entry.unusable.is_some() {
        return;
    }
    let noun = entry.list.noun();
    let mut lists = [
        List::Collectors,
        List::HostCollectors,
        List::Analyzers,
        List::HostAnalyzers,
    ];
    lists.sort_by_key(|list| list.is_analyzers() != entry.list.is_analyzers());
    let elsewhere = lists
        .into_iter()
        .find(|list| list.known().contains(&entry.kind.as_str()));
    let mut unknown = Diagnostic::warning(
        entry.place.clone(),
        format!("unknown {noun} `{}`", entry.kind),
    )
    .suggest(&entry.kind, entry.list.known());
    if let (None, Some(list)) = (&unknown.suggestion, elsewhere) {
        unknown.message = format!(
            "{}: the name is that of {}, for `{}`",
            unknown.message,
            list.a_noun(),
            list.key()
        );
    }
    let message = unknown.message.clone();
    diagnostics.push(unknown);
    entry.refuse(message);
}

fn typed<T>(
    entry: &mut Entry,
    parsed: Result<Parsed<T>, ConfigError>,
    schema: fn() -> Value,
    diagnostics: &mut Vec<Diagnostic>,
) {
    match parsed {
        Ok(parsed) => {
            // The branches of outcomes are checked for every kind, known to this release or not.
            let unknown = parsed
                .ignored
                .iter()
                .filter(|path| !path.starts_with("outcomes"));
            // One more than is shown, so that it is said that there are more.
            let paths: Vec<&String> = unknown.take(diagnostic::MOST + 1).collect();
            if paths.is_empty() {
                return;
            }
            let schema = schema();
            for path in paths {
                let (parent, field) = split(path);
                let within = match parent {
                    "" => format!("`{}`", entry.kind),
                    _ => format!("`{}.{parent}`", entry.kind),
                };
                let message = format!("unknown field `{field}` in {within}");
                let known = fields_at(&schema, parent);
                let common = entry.list.common_fields();
                let common = common.iter().copied().filter(|_| parent.is_empty());
                let known: Vec<&str> = known.iter().map(String::as_str).chain(common).collect();
                let place = entry.place_of(path, true);
                diagnostics.push(Diagnostic::warning(place, message).suggest(field, known));
            }
        }
        Err(error) => {
            let path = match error.path.as_str() {
                "" | "." => entry.kind.clone(),
                path if path.starts_with('[') => format!("{}{path}", entry.kind),
                path => format!("{}.{path}", entry.kind),
            };
            let message = format!("`{path}`: {}", error.message);
            let place = entry.place_of(&error.path, false);
            if entry.unusable.is_none() {
                diagnostics.push(Diagnostic::error(place, message.clone()));
            }
            entry.refuse(message);
        }
    }
}

/// The parent's path, and the last key.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

/// The names of the fields that a JSON Schema has at a path.
fn fields_at(schema: &Value, path: &str) -> Vec<String> {
    let mut current = vec![schema];
    let steps = path.split(['.', '[']).filter(|step| !step.is_empty());
    for step in steps {
        let index = step.ends_with(']');
        let nexts = current.iter().flat_map(|one| variants(schema, one));
        current = nexts
            .filter_map(|one| {
                if index {
                    return one.get("items");
                }
                let property = one.get("properties").and_then(|fields| fields.get(step));
                property.or_else(|| one.get("additionalProperties"))
            })
            .collect();
    }
    let ends = current.iter().flat_map(|one| variants(schema, one));
    ends.filter_map(|one| one.get("properties")?.as_object())
        .flat_map(|fields| fields.keys().cloned())
        .collect()
}

/// A schema, with what it refers to and what it is composed of.
fn variants<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let mut found = vec![schema];
    let mut next = 0;
    // A schema may refer to itself.
    while next < found.len() && found.len() < 64 {
        let one = found[next];
        let reference = one.get("$ref").and_then(Value::as_str);
        let target = reference.and_then(|reference| root.pointer(reference.strip_prefix('#')?));
        let composed = ["anyOf", "oneOf", "allOf"]
            .into_iter()
            .filter_map(|key| one.get(key)?.as_array())
            .flatten();
        found.extend(target.into_iter().chain(composed));
        next += 1;
    }
    found
}

/// Checks that every outcome is one of pass, warn and fail, and that no condition is lost: an outcome whose
/// `when` is misspelt would always apply, so that its check is not evaluated at all.
fn outcomes(entry: &mut Entry, diagnostics: &mut Vec<Diagnostic>) {
    let node = entry.node.clone();
    let place = |at: &Node| entry.origin.place(at.position);
    let mut unusable = Vec::new();
    let Some(list) = node.get("outcomes") else {
        let near = |name: &str| name != "outcomes" && nearest(name, ["outcomes"]).is_some();
        let misspelt = node.entries().iter().find(|member| near(&member.name()));
        if let Some(member) = misspelt {
            let message = format!("unknown field `{}` in `{}`", member.name(), entry.kind);
            let place = entry.origin.place(member.position);
            let error = Diagnostic::error(place, message.clone());
            diagnostics.push(error.suggest(&member.name(), ["outcomes"]));
            entry.refuse(format!("{message}; did you mean \"outcomes\"?"));
        }
        return;
    };
    for (index, outcome) in list.items().iter().enumerate() {
        let members = outcome.entries();
        let named = |name: &str| members.iter().find(|member| member.name() == name);
        let branches: Vec<_> = VERDICTS.iter().filter_map(|name| named(name)).collect();
        let nth = index + 1;
        let what = format!("outcome {nth} of `{}`", entry.kind);
        match branches.as_slice() {
            [] => {
                let written: Vec<_> = members.iter().map(syntax::yaml::Entry::name).collect();
                let got = match written.as_slice() {
                    [] => outcome.kind().to_owned(),
                    keys => format!("`{}`", keys.join("`, `")),
                };
                let message = format!("{what} is none of pass, warn and fail, but {got}");
                let first = written.first().map_or("", AsRef::as_ref);
                // Troubleshoot leaves out an outcome that it does not know, and specs that ship have some
                // (`error`). A misspelt one is another matter: without it the next may apply.
                let misspelt = nearest(first, VERDICTS).is_some();
                diagnostics.push(if misspelt || members.is_empty() {
                    unusable.push(message.clone());
                    Diagnostic::error(place(outcome), message).suggest(first, VERDICTS)
                } else {
                    Diagnostic::warning(place(outcome), format!("{message}: it is left out"))
                });
            }
            [_, second, ..] if !EACH_BRANCH_COUNTS.contains(&entry.kind.as_str()) => {
                let message =
                    format!("{what} is more than one of pass, warn and fail: only one counts");
                let place = entry.origin.place(second.position);
                diagnostics.push(Diagnostic::warning(place, message));
            }
            _ => {}
        }
        for stray in members
            .iter()
            .filter(|member| !VERDICTS.contains(&member.name().as_ref()))
        {
            if branches.is_empty() {
                break;
            }
            let name = stray.name();
            let place = entry.origin.place(stray.position);
            if name == "when" {
                let message =
                    format!("`when` stands beside the branch of {what}, not in it: indent it");
                diagnostics.push(Diagnostic::error(place, message.clone()));
                unusable.push(message);
            } else {
                let message = format!("unknown field `{name}` in {what}");
                diagnostics.push(Diagnostic::warning(place, message).suggest(&name, BRANCH));
            }
        }
        for branch in branches {
            if branch.value.is_null() {
                let name = branch.name();
                let message = format!("`{name}` of {what} is empty: it would not count");
                let place = entry.origin.place(branch.position);
                diagnostics.push(Diagnostic::error(place, message.clone()));
                unusable.push(message);
            }
            if matches!(branch.value.content, Content::Mapping(_)) {
                unusable.extend(unknown_in_branch(entry, &branch.value, &what, diagnostics));
            }
        }
    }
    if let Some(reason) = unusable.into_iter().next() {
        entry.refuse(reason);
    }
}

/// Names the unknown fields of a branch; the answer is why the branch has lost its condition, if so.
fn unknown_in_branch(
    entry: &Entry,
    branch: &Node,
    what: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<String> {
    let mut lost = None;
    let conditional = branch.get("when").is_some();
    for member in branch.entries() {
        let name = member.name();
        if BRANCH.contains(&name.as_ref()) {
            continue;
        }
        let message = format!("unknown field `{name}` in {what}");
        let place = entry.origin.place(member.position);
        if !conditional && nearest(&name, BRANCH) == Some("when") {
            let message = format!("{message}: without `when` it would always apply");
            let error = Diagnostic::error(place, message.clone());
            diagnostics.push(error.suggest(&name, BRANCH));
            lost.get_or_insert(message);
        } else {
            diagnostics.push(Diagnostic::warning(place, message).suggest(&name, BRANCH));
        }
    }
    lost
}

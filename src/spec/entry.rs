//! One item of a spec's list: a collector or an analyzer with its common fields, its configuration and its
//! place.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use syntax::boolean;
use syntax::yaml::{Content, Entry as Member, Node, Position};

use super::diagnostic::{Diagnostic, Place};
use super::kinds;

/// A list of a spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum List {
    /// In-cluster collectors.
    Collectors,
    /// Host collectors.
    HostCollectors,
    /// Host collectors for nodes; named, not run by this release.
    RemoteCollectors,
    /// In-cluster analyzers.
    Analyzers,
    /// Host analyzers.
    HostAnalyzers,
}

impl List {
    /// Whether its items are analyzers.
    #[must_use]
    pub fn is_analyzers(self) -> bool {
        matches!(self, Self::Analyzers | Self::HostAnalyzers)
    }

    /// The key in a `SupportBundle`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Collectors => "collectors",
            Self::HostCollectors => "hostCollectors",
            Self::RemoteCollectors => "remoteCollectors",
            Self::Analyzers => "analyzers",
            Self::HostAnalyzers => "hostAnalyzers",
        }
    }

    /// What an item is called.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Collectors => "collector",
            Self::HostCollectors => "host collector",
            Self::RemoteCollectors => "remote collector",
            Self::Analyzers => "analyzer",
            Self::HostAnalyzers => "host analyzer",
        }
    }

    pub(super) fn a_noun(self) -> String {
        let article = if self == Self::Analyzers { "an" } else { "a" };
        format!("{article} {}", self.noun())
    }

    /// Every name that is a kind here: of this release, and of troubleshoot.
    pub(super) fn known(self) -> Vec<&'static str> {
        let collectors = |scope| {
            let rows = checks::collectors::KINDS.iter();
            rows.filter(move |row| row.scope == scope)
                .map(|row| row.name)
        };
        let analyzers = |scope| {
            let rows = analyzers::rules::KINDS.iter();
            rows.filter(move |row| row.scope == scope)
                .map(|row| row.name)
        };
        let mut names: Vec<_> = match self {
            Self::Collectors => collectors(checks::Scope::Cluster)
                .chain(kinds::COLLECTORS.map(|(name, _)| name))
                .collect(),
            Self::HostCollectors | Self::RemoteCollectors => collectors(checks::Scope::Host)
                .chain(kinds::HOST_COLLECTORS)
                .collect(),
            Self::Analyzers => analyzers(analyzers::Scope::Cluster)
                .chain(kinds::ANALYZERS)
                .collect(),
            Self::HostAnalyzers => analyzers(analyzers::Scope::Host)
                .chain(kinds::HOST_ANALYZERS)
                .collect(),
        };
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The fields that every item has.
    pub(super) fn common_fields(self) -> &'static [&'static str] {
        if self.is_analyzers() {
            &["checkName", "exclude", "strict", "annotations"]
        } else {
            &["collectorName", "exclude", "budget"]
        }
    }
}

/// A collector or an analyzer of a spec.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The list that names it.
    pub list: List,
    /// The key, `nodeResources`.
    pub kind: String,
    /// The list's item as it is written, `{"nodeResources": {…}}`.
    pub item: Value,
    /// Its configuration, without the common fields.
    pub config: Value,
    /// `collectorName` of a collector, `checkName` of an analyzer; empty when absent.
    pub name: String,
    /// `exclude`.
    pub excluded: bool,
    /// `strict`, of an analyzer.
    pub strict: bool,
    /// `annotations`, of an analyzer.
    pub annotations: BTreeMap<String, String>,
    /// `budget`, of a collector.
    pub budget: checks::budget::Budget,
    /// Where its key stands.
    pub place: Place,
    /// Why it cannot be used as it is written: a collector is then not run, an analyzer answers unknown.
    pub unusable: Option<String>,
    /// The configuration with positions, the common fields included.
    pub(super) node: Node,
    /// Where the text stands in its file.
    pub(super) origin: Origin,
}

/// Where a text stands in its file: a spec inside a `ConfigMap` begins somewhere.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) file: Arc<str>,
    /// Lines and columns before the text, where it stands in the file as it is.
    pub(super) lines: usize,
    pub(super) columns: usize,
}

impl Origin {
    pub(super) fn new(file: &str) -> Self {
        Self {
            file: file.into(),
            lines: 0,
            columns: 0,
        }
    }

    pub(super) fn place(&self, position: Position) -> Place {
        Place {
            file: Arc::clone(&self.file),
            position: Position {
                line: position.line + self.lines,
                column: position.column + self.columns,
            },
        }
    }
}

impl Entry {
    /// The place of the value, or of the key, at a path of the configuration.
    pub(super) fn place_of(&self, path: &str, key: bool) -> Place {
        let position = match self.node.find(path) {
            Some(found) if key => found.key.unwrap_or(found.node.position),
            Some(found) => found.node.position,
            None => self.node.position(path),
        };
        self.origin.place(position)
    }

    /// Records why the entry cannot be used; the first reason stands.
    pub(super) fn refuse(&mut self, reason: impl Into<String>) {
        self.unusable.get_or_insert_with(|| reason.into());
    }
}

/// Reads one item of a list. An item names one kind; where it names several, each is an entry.
pub(super) fn read(
    list: List,
    node: &Node,
    origin: &Origin,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Entry> {
    let noun = list.noun();
    if !matches!(node.content, Content::Mapping(_)) {
        let message = format!(
            "expected {} of the form `name: {{…}}`, got {}",
            list.a_noun(),
            node.kind()
        );
        let place = origin.place(node.position);
        diagnostics.push(Diagnostic::error(place.clone(), message.clone()));
        return vec![unreadable(list, node, place, origin, message)];
    }
    if node.entries().is_empty() {
        let message = format!("an empty item: it names no {noun}");
        diagnostics.push(Diagnostic::warning(origin.place(node.position), message));
        return Vec::new();
    }
    let known = list.known();
    let is_known = |member: &&Member| known.contains(&member.name().as_ref());
    let mut members: Vec<&Member> = node.entries().iter().filter(is_known).collect();
    let rest = node.entries().iter().filter(|member| !is_known(member));
    let rest: Vec<&Member> = rest
        .filter(|member| !is_documentation(list, member))
        .collect();
    if members.len() > 1 {
        let names: Vec<_> = members.iter().map(|member| member.name()).collect();
        let message = format!(
            "one item names {}: put a dash before each; all are taken",
            names.join(" and ")
        );
        diagnostics.push(Diagnostic::warning(
            origin.place(members[1].position),
            message,
        ));
    }
    if members.is_empty() {
        // An unknown name with a body, else whichever comes first.
        let body = |member: &&&Member| matches!(member.value.content, Content::Mapping(_));
        members.extend(rest.iter().find(body).or(rest.first()).copied());
    }
    let mut entries: Vec<Entry> = members
        .iter()
        .map(|member| entry(list, member, origin, diagnostics))
        .collect();
    for stray in rest {
        if members.iter().any(|member| std::ptr::eq(*member, stray)) {
            continue;
        }
        let name = stray.name();
        let empty = members
            .iter()
            .zip(&mut entries)
            .find(|(member, _)| member.value.is_null());
        let place = origin.place(stray.position);
        diagnostics.push(match empty {
            Some((owner, entry)) => {
                let owner = owner.name();
                let message = format!("`{name}` stands beside `{owner}`, not in it: indent it");
                entry.refuse(message.clone());
                Diagnostic::error(place, message)
            }
            None => Diagnostic::warning(place, format!("unknown field `{name}` beside the {noun}"))
                .suggest(&name, list.known()),
        });
    }
    entries
}

/// v1beta3 has `docString` beside an analyzer.
fn is_documentation(list: List, member: &Member) -> bool {
    list.is_analyzers() && member.name() == "docString"
}

fn unreadable(list: List, node: &Node, place: Place, origin: &Origin, reason: String) -> Entry {
    Entry {
        list,
        kind: "unknown".to_owned(),
        item: node.to_json().unwrap_or_default(),
        config: Value::Null,
        name: String::new(),
        excluded: false,
        strict: false,
        annotations: BTreeMap::new(),
        budget: checks::budget::Budget::default(),
        place,
        unusable: Some(reason),
        node: node.clone(),
        origin: origin.clone(),
    }
}

fn entry(list: List, member: &Member, origin: &Origin, diagnostics: &mut Vec<Diagnostic>) -> Entry {
    let kind = member.name().into_owned();
    let place = origin.place(member.position);
    let mut node = member.value.clone();
    if node.is_null() {
        let message = format!("`{kind}` has no body: it is taken as `{kind}: {{}}`");
        diagnostics.push(Diagnostic::warning(place.clone(), message));
        node.content = Content::Mapping(Vec::new());
    }
    let mut entry = Entry {
        list,
        kind,
        ..unreadable(list, &node, place, origin, String::new())
    };
    entry.unusable = None;
    match node.to_json() {
        Ok(config) => {
            entry.item = Value::Object(Map::from_iter([(entry.kind.clone(), config.clone())]));
            entry.config = config;
        }
        Err(error) => {
            diagnostics.push(Diagnostic::error(
                origin.place(error.position),
                &*error.message,
            ));
            entry.refuse(error.message);
        }
    }
    if entry.config.is_object() {
        common_fields(&mut entry, diagnostics);
    } else if entry.unusable.is_none() {
        let message = format!("`{}`: expected an object, got {}", entry.kind, node.kind());
        diagnostics.push(Diagnostic::error(
            origin.place(node.position),
            message.clone(),
        ));
        entry.refuse(message);
    }
    entry
}

/// Takes the common fields out of the configuration.
fn common_fields(entry: &mut Entry, diagnostics: &mut Vec<Diagnostic>) {
    let name_field = entry.list.common_fields()[0];
    for field in entry.list.common_fields() {
        let Some(value) = entry
            .config
            .as_object_mut()
            .and_then(|config| config.remove(*field))
        else {
            continue;
        };
        let (expected, fits) = match (*field, &value) {
            (_, Value::Null) => continue,
            ("exclude" | "strict", _) => (
                "a boolean or a string",
                flag(entry, field, &value, diagnostics),
            ),
            ("annotations", Value::Object(annotations)) => {
                let text = |(key, value): (&String, &Value)| {
                    Some((key.clone(), value.as_str()?.to_owned()))
                };
                entry.annotations = annotations.iter().filter_map(text).collect();
                (
                    "an object of strings",
                    entry.annotations.len() == annotations.len(),
                )
            }
            ("annotations", _) => ("an object of strings", false),
            ("budget", _) => match checks::budget::Budget::read(&value) {
                Ok(budget) => {
                    entry.budget = budget;
                    continue;
                }
                Err(reason) => {
                    let message = format!("`{}.budget`: {reason}", entry.kind);
                    let place = entry.place_of(field, false);
                    diagnostics.push(Diagnostic::error(place, message.clone()));
                    entry.refuse(message);
                    continue;
                }
            },
            (_, Value::String(name)) => {
                entry.name.clone_from(name);
                ("a string", true)
            }
            _ => ("a string", false),
        };
        if fits {
            continue;
        }
        let got = entry.node.get(field).map_or("nothing", Node::kind);
        let message = format!("`{}.{field}`: expected {expected}, got {got}", entry.kind);
        diagnostics.push(Diagnostic::error(
            entry.place_of(field, false),
            message.clone(),
        ));
        if *field == name_field {
            entry.refuse(message);
        }
    }
}

/// Reads `exclude` and `strict`. What cannot be read counts as false, as in troubleshoot; an in-cluster
/// analyzer whose `exclude` cannot be read is answered unknown, where troubleshoot drops it.
fn flag(entry: &mut Entry, field: &str, value: &Value, diagnostics: &mut Vec<Diagnostic>) -> bool {
    let flag = match value {
        Value::Bool(flag) => Ok(*flag),
        Value::String(text) if text.is_empty() => Ok(false),
        Value::String(text) => boolean::parse(text),
        _ => return false,
    };
    match (flag, field) {
        (Ok(flag), "exclude") => entry.excluded = flag,
        (Ok(flag), _) => entry.strict = flag,
        (Err(error), _) => {
            let message = format!("`{}.{field}`: {error}", entry.kind);
            let dropped = field == "exclude" && entry.list == List::Analyzers;
            let then = if dropped {
                "the analyzer is not evaluated"
            } else {
                "it counts as false"
            };
            let warning =
                Diagnostic::warning(entry.place_of(field, false), format!("{message}; {then}"));
            diagnostics.push(warning);
            if dropped {
                entry.refuse(message);
            }
        }
    }
    true
}

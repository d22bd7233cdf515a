//! From a text to documents: several in one text, in Secrets and `ConfigMaps`, under three API versions.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use syntax::yaml::{self, Content, Limits, Node, Position, Scalar};

use super::diagnostic::{self, Diagnostic, Place};
use super::entry::{self, Entry, List, Origin};
use super::kinds::{Field, Kind};
use super::redactor::Redactor;

/// The keys of a Secret or `ConfigMap` that hold specs, in the order in which they are read.
pub(super) const KEYS: [&str; 4] = [
    "support-bundle-spec",
    "redactor-spec",
    "preflight.yaml",
    "preflight-spec",
];

const GROUPS: [&str; 2] = ["troubleshoot.sh", "troubleshoot.replicated.com"];
const VERSIONS: [&str; 3] = ["v1beta1", "v1beta2", "v1beta3"];
/// Documents that are lost or passed over and told of one by one.
const MOST_TOLD: usize = 100;
const API_VERSION: &str = "troubleshoot.sh/v1beta2";

/// A document of a spec.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its kind.
    pub kind: Kind,
    /// `metadata.name`.
    pub name: String,
    /// `metadata`, as written.
    pub metadata: Value,
    /// Where it begins.
    pub place: Place,
    /// `spec.uri`: where a newer version of it is published.
    pub uri: Option<String>,
    /// `spec.uploadResultsTo`.
    pub upload_results_to: Option<String>,
    /// `spec.runHostCollectorsInPod`, which counts only where there is metadata.
    pub run_host_collectors_in_pod: bool,
    /// `spec.afterCollection`, as written.
    pub after_collection: Vec<Value>,
    /// The collectors and analyzers of every list, in the order of the text.
    pub entries: Vec<Entry>,
    /// The redactors.
    pub redactors: Vec<Redactor>,
    /// Whether values may be references to Secrets and `ConfigMaps`: a `SupportBundle` of v1beta3.
    pub(super) has_references: bool,
}

/// Reads texts, and keeps what came of them.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) documents: Vec<Document>,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Documents that are lost.
    pub(super) lost: usize,
    /// Kinds of documents that are no specs.
    pub(super) passed_over: Vec<String>,
}

/// Whether a text may itself hold Secrets and `ConfigMaps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nesting {
    Outer,
    Inner,
}

/// A text with documents.
struct Text<'a> {
    all: &'a str,
    lines: Vec<&'a str>,
    /// Whether it looks like a template.
    has_directives: bool,
}

impl Reader {
    /// Reads every document of a text.
    pub(super) fn text(&mut self, origin: &Origin, text: &str) {
        self.documents_of(origin, text, Nesting::Outer);
    }

    fn documents_of(&mut self, origin: &Origin, text: &str, nesting: Nesting) {
        let text = Text {
            lines: text.lines().collect(),
            has_directives: text.contains("{{"),
            all: text,
        };
        for document in yaml::documents(text.all, &Limits::default()) {
            match document {
                Ok(document) => {
                    let from = self.diagnostics.len();
                    for key in document.duplicate_keys {
                        let message = format!(
                            "the key `{}` stands twice, first at {}; the last one counts",
                            key.key, key.first
                        );
                        let place = origin.place(key.position);
                        self.diagnostics.push(Diagnostic::warning(place, message));
                    }
                    diagnostic::limit(&mut self.diagnostics, from);
                    self.document(origin, &text, &document.root, nesting);
                }
                Err(error) => {
                    let mut message = error.message;
                    if text.has_directives && message.starts_with("not YAML") {
                        message.push_str("; the text holds template directives: render it first");
                    }
                    self.lose(origin, error.position, message);
                }
            }
        }
    }

    fn lose(&mut self, origin: &Origin, position: Position, message: impl Into<String>) {
        let place = origin.place(position);
        self.lost(Diagnostic::error(place, message));
    }

    /// A document is lost; a hostile text can lose any number, and nobody reads them all.
    fn lost(&mut self, error: Diagnostic) {
        self.lost += 1;
        if self.lost <= MOST_TOLD {
            self.diagnostics.push(error);
        }
    }

    fn document(&mut self, origin: &Origin, text: &Text<'_>, root: &Node, nesting: Nesting) {
        if !matches!(root.content, Content::Mapping(_)) {
            let message = format!("expected a Kubernetes document, got {}", root.kind());
            return self.lose(origin, root.position, message);
        }
        let field = |name| root.get(name).and_then(Node::as_str).unwrap_or_default();
        let (api_version, kind) = (field("apiVersion"), field("kind"));
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        if api_version == "v1"
            && matches!(kind, "Secret" | "ConfigMap")
            && nesting == Nesting::Outer
        {
            return self.object(origin, text, root, kind);
        }
        if kind.ends_with("List") && root.get("items").is_some() {
            for item in root.get("items").map_or(&[][..], Node::items) {
                self.document(origin, text, item, nesting);
            }
            return;
        }
        if !GROUPS.contains(&group) {
            return self.foreign(origin, root, api_version, kind);
        }
        let place_of = |field: &str| root.get(field).map_or(root.position, |node| node.position);
        if !VERSIONS.contains(&version) {
            let message =
                format!("unknown apiVersion `{api_version}`: this release reads {API_VERSION}");
            return self.lose(origin, place_of("apiVersion"), message);
        }
        let Some(kind) = Kind::ALL.into_iter().find(|known| known.name() == kind) else {
            let place = origin.place(place_of("kind"));
            let unknown = Diagnostic::error(place, format!("unknown kind `{kind}`"));
            return self.lost(unknown.suggest(kind, Kind::ALL.map(Kind::name)));
        };
        let is_template = |text: &str| text.contains("{{");
        if version == "v1beta3"
            && kind != Kind::SupportBundle
            && let Some(template) = first_scalar(root, is_template)
        {
            let message = "the document is a template of v1beta3, which this release does not render: \
                           render it first";
            return self.lose(origin, template, message);
        }
        match self.spec(origin, root, kind) {
            Ok(mut document) => {
                document.has_references = version == "v1beta3" && kind == Kind::SupportBundle;
                self.documents.push(document);
            }
            Err(error) => self.lost(error),
        }
    }

    /// A document of another API, or of none.
    fn foreign(&mut self, origin: &Origin, root: &Node, api_version: &str, kind: &str) {
        let place = origin.place(root.position);
        let named = Kind::ALL.into_iter().any(|known| known.name() == kind);
        if api_version.is_empty() || named {
            let unknown = match api_version {
                "" => "the document has no apiVersion".to_owned(),
                _ => format!("unknown apiVersion `{api_version}`"),
            };
            let message = format!("{unknown}: expected {API_VERSION}");
            if named || root.get("spec").is_some() {
                let written = root.entries().iter().map(yaml::Entry::name);
                let near = written
                    .filter(|key| key != "kind" && key != "apiVersion")
                    .find(|key| syntax::suggest::nearest(key, ["apiVersion"]).is_some());
                let mut error = Diagnostic::error(place, message);
                error.suggestion = near.map(|_| "apiVersion".to_owned());
                return self.lost(error);
            }
            if self.passed_over.len() < MOST_TOLD {
                self.diagnostics.push(Diagnostic::warning(place, message));
            }
        }
        let name = if kind.is_empty() {
            "a document without a kind"
        } else {
            kind
        };
        self.pass_over(name.to_owned());
    }

    fn pass_over(&mut self, what: String) {
        if self.passed_over.len() < MOST_TOLD && !self.passed_over.contains(&what) {
            self.passed_over.push(what);
        }
    }

    /// A Secret or a `ConfigMap`: the values of the known keys are texts with specs.
    fn object(&mut self, origin: &Origin, text: &Text<'_>, root: &Node, kind: &str) {
        let name = root
            .find("metadata.name")
            .and_then(|found| found.node.as_str());
        let name = name.unwrap_or_default();
        let mut found = false;
        for key in KEYS {
            for (field, encoded) in [("data", kind == "Secret"), ("stringData", false)] {
                let Some(value) = root.get(field).and_then(|data| data.get(key)) else {
                    continue;
                };
                found = true;
                let Some(content) = value.as_str() else {
                    let message =
                        format!("`{field}.{key}`: expected a string, got {}", value.kind());
                    self.lose(origin, value.position, message);
                    continue;
                };
                let inside = format!("{}[{kind} {name}, {key}]", origin.file);
                if encoded {
                    match decode(content) {
                        Ok(content) => {
                            self.documents_of(&Origin::new(&inside), &content, Nesting::Inner);
                        }
                        Err(reason) => {
                            self.lose(origin, value.position, format!("`{field}.{key}`: {reason}"));
                        }
                    }
                } else {
                    let inner = inner_origin(origin, text, value, content, &inside);
                    self.documents_of(&inner, content, Nesting::Inner);
                }
            }
        }
        if !found {
            self.pass_over(format!("{kind} {name} without a key that holds a spec"));
        }
    }

    fn spec(&mut self, origin: &Origin, root: &Node, kind: Kind) -> Result<Document, Diagnostic> {
        self.unknown_keys(
            origin,
            root,
            "the document",
            &["apiVersion", "kind", "metadata", "spec", "status"],
        );
        let text = |path: &str| {
            let found = root.find(path).and_then(|found| found.node.as_str());
            found.map(str::to_owned)
        };
        let mut document = Document {
            kind,
            name: text("metadata.name").unwrap_or_default(),
            metadata: root
                .get("metadata")
                .and_then(|node| node.to_json().ok())
                .filter(Value::is_object)
                .unwrap_or_else(|| Value::Object(serde_json::Map::new())),
            place: origin.place(root.position),
            uri: None,
            upload_results_to: None,
            run_host_collectors_in_pod: false,
            after_collection: Vec::new(),
            entries: Vec::new(),
            redactors: Vec::new(),
            has_references: false,
        };
        let Some(spec) = root.get("spec") else {
            if !root.entries().iter().any(|key| is_spec_like(&key.name())) {
                let place = document.place.clone();
                let message = format!("the {} has no spec", kind.name());
                self.diagnostics.push(Diagnostic::warning(place, message));
            }
            return Ok(document);
        };
        let mismatch = |node: &Node, path: &str, expected: &str| {
            let message = format!("`{path}`: expected {expected}, got {}", node.kind());
            Diagnostic::error(origin.place(node.position), message)
        };
        if !matches!(spec.content, Content::Mapping(_)) && !spec.is_null() {
            return Err(mismatch(spec, "spec", "an object"));
        }
        let names: Vec<_> = kind.fields().iter().map(|(name, _)| *name).collect();
        self.unknown_keys(origin, spec, &format!("the {}'s spec", kind.name()), &names);
        for (name, field) in kind.fields() {
            let Some(node) = spec.get(name).filter(|node| !node.is_null()) else {
                continue;
            };
            let path = format!("spec.{name}");
            match (field, &node.content) {
                (Field::List(list), Content::Sequence(items)) => {
                    for item in items {
                        self.item(*list, item, origin, &mut document);
                    }
                }
                (Field::Redactors, Content::Sequence(items)) => {
                    let redactors = items.iter();
                    document
                        .redactors
                        .extend(redactors.map(|item| Redactor::read(item, origin)));
                }
                (Field::AfterCollection, Content::Sequence(items)) => {
                    let values = items.iter().map(Node::to_json);
                    document.after_collection =
                        values.collect::<Result<_, _>>().map_err(|error| {
                            Diagnostic::error(origin.place(error.position), error.message)
                        })?;
                }
                (Field::Text, Content::Scalar(Scalar::String(text))) => {
                    let text = Some(text.clone()).filter(|text| !text.is_empty());
                    match *name {
                        "uri" => document.uri = text,
                        _ => document.upload_results_to = text,
                    }
                }
                (Field::Flag, Content::Scalar(Scalar::Bool(flag))) => {
                    let metadata = root
                        .get("metadata")
                        .is_some_and(|node| !node.entries().is_empty());
                    document.run_host_collectors_in_pod = *flag && metadata;
                }
                (Field::Labels, Content::Mapping(_)) => {}
                (Field::List(_) | Field::Redactors | Field::AfterCollection, _) => {
                    return Err(mismatch(node, &path, "a list"));
                }
                (Field::Text, _) => return Err(mismatch(node, &path, "a string")),
                (Field::Flag, _) => return Err(mismatch(node, &path, "a boolean")),
                (Field::Labels, _) => return Err(mismatch(node, &path, "an object")),
            }
        }
        self.unrendered(origin, spec);
        Ok(document)
    }

    fn item(&mut self, list: List, item: &Node, origin: &Origin, document: &mut Document) {
        if item.is_null() {
            let message = format!("an empty item: it names no {}", list.noun());
            let place = origin.place(item.position);
            self.diagnostics.push(Diagnostic::warning(place, message));
            return;
        }
        let entries = entry::read(list, item, origin, &mut self.diagnostics);
        document.entries.extend(entries);
    }

    fn unknown_keys(&mut self, origin: &Origin, node: &Node, what: &str, known: &[&str]) {
        let from = self.diagnostics.len();
        for member in node.entries() {
            let name = member.name();
            if !known.contains(&name.as_ref()) {
                let message = format!("unknown field `{name}` in {what}");
                let unknown = Diagnostic::warning(origin.place(member.position), message);
                self.diagnostics
                    .push(unknown.suggest(&name, known.iter().copied()));
            }
        }
        diagnostic::limit(&mut self.diagnostics, from);
    }

    /// Names the first value that KOTS should have filled in.
    fn unrendered(&mut self, origin: &Origin, spec: &Node) {
        let is_unrendered = |text: &str| text.contains("repl{{") || text.contains("{{repl");
        if let Some(at) = first_scalar(spec, is_unrendered) {
            let message = "a template that KOTS fills in is left as it is: render the spec first";
            let place = origin.place(at);
            self.diagnostics.push(Diagnostic::warning(place, message));
        }
    }
}

/// Where the first text stands that is of a kind.
fn first_scalar(node: &Node, is_wanted: impl Fn(&str) -> bool) -> Option<Position> {
    let mut stack = vec![node];
    while let Some(node) = stack.pop() {
        match &node.content {
            Content::Scalar(Scalar::String(text)) if is_wanted(text) => return Some(node.position),
            Content::Scalar(_) => {}
            Content::Sequence(items) => stack.extend(items.iter().rev()),
            Content::Mapping(members) => {
                stack.extend(members.iter().rev().map(|member| &member.value));
            }
        }
    }
    None
}

/// A key that was meant to be `spec`: the misspelt name is reported already.
fn is_spec_like(key: &str) -> bool {
    key != "spec" && syntax::suggest::nearest(key, ["spec"]).is_some()
}

fn decode(content: &str) -> Result<String, String> {
    let packed: String = content.split_ascii_whitespace().collect();
    let bytes = STANDARD
        .decode(packed)
        .map_err(|error| format!("not base64: {error}; plain text belongs in stringData"))?;
    String::from_utf8(bytes).map_err(|_| "the decoded value is not UTF-8".to_owned())
}

/// A literal block's text stands in the file as it is, some lines down and indented; of any other text only
/// its name is known.
fn inner_origin(
    outer: &Origin,
    text: &Text<'_>,
    value: &Node,
    content: &str,
    inside: &str,
) -> Origin {
    let Position { line, column } = value.position;
    // The block begins with its first line that is not empty.
    let blank = content.bytes().take_while(|byte| *byte == b'\n').count();
    let above = line.checked_sub(blank + 2);
    let header = above
        .and_then(|above| text.lines.get(above).copied())
        .unwrap_or_default();
    let is_literal = header
        .split_whitespace()
        .take_while(|word| !word.starts_with('#'))
        .last()
        .is_some_and(|word| word.starts_with('|'));
    if !is_literal {
        return Origin::new(inside);
    }
    Origin {
        file: Arc::clone(&outer.file),
        lines: outer.lines + line - 1 - blank,
        columns: outer.columns + column - 1,
    }
}

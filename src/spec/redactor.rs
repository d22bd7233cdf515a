//! Redactors: what the spec's author wants masked.
//!
//! A redactor that cannot be used as it is written ends the run before anything is collected: going on
//! without it would ship what it was to mask.

use serde_json::Value;
use syntax::suggest::nearest;
use syntax::yaml::{Content, Node, Scalar};

use super::diagnostic::{Diagnostic, Place, Severity};
use super::entry::Origin;

/// One redactor of a spec.
#[derive(Debug, Clone)]
pub struct Redactor {
    /// As it is written, without the fields that are not known.
    pub value: Value,
    /// Where it stands.
    pub place: Place,
    node: Node,
    origin: Origin,
}

/// What a field of a redactor holds.
enum Shape {
    Text,
    Texts,
    Object(&'static [(&'static str, Shape)]),
    Objects(&'static [(&'static str, Shape)]),
}

/// `Redact` of troubleshoot's v1beta2.
const REDACTOR: Shape = Shape::Object(&[
    ("name", Shape::Text),
    (
        "fileSelector",
        Shape::Object(&[("file", Shape::Text), ("files", Shape::Texts)]),
    ),
    (
        "removals",
        Shape::Object(&[
            ("values", Shape::Texts),
            (
                "regex",
                Shape::Objects(&[("selector", Shape::Text), ("redactor", Shape::Text)]),
            ),
            ("yamlPath", Shape::Texts),
        ]),
    ),
]);

impl Redactor {
    pub(super) fn read(node: &Node, origin: &Origin) -> Self {
        Self {
            value: known(&REDACTOR, node.to_json().unwrap_or_default()),
            place: origin.place(node.position),
            node: node.clone(),
            origin: origin.clone(),
        }
    }

    /// Names what cannot be used and what is not known. An unknown field that is near to a known one is an
    /// error: it was meant to mask something.
    pub(super) fn check(&self, diagnostics: &mut Vec<Diagnostic>) {
        self.shape(&REDACTOR, &self.node, "the redactor", diagnostics);
        let masks = |field| {
            let removals = self.node.get("removals");
            removals
                .and_then(|node| node.get(field))
                .is_some_and(|node| !node.items().is_empty())
        };
        let broken = |found: &Diagnostic| found.severity == Severity::Error;
        if !["values", "regex", "yamlPath"].into_iter().any(masks)
            && !diagnostics.iter().any(broken)
        {
            let message = "the redactor masks nothing: it has no removals";
            diagnostics.push(Diagnostic::warning(self.place.clone(), message));
        }
    }

    fn shape(&self, shape: &Shape, node: &Node, what: &str, diagnostics: &mut Vec<Diagnostic>) {
        let mut expected = |expected: &str| {
            let message = format!("{what}: expected {expected}, got {}", node.kind());
            diagnostics.push(Diagnostic::error(self.origin.place(node.position), message));
        };
        match (shape, &node.content) {
            (_, Content::Scalar(Scalar::Null))
            | (Shape::Text, Content::Scalar(Scalar::String(_))) => {}
            (Shape::Text, _) => expected("a string"),
            (Shape::Texts, Content::Sequence(items)) => {
                for item in items {
                    self.shape(&Shape::Text, item, what, diagnostics);
                }
            }
            (Shape::Objects(fields), Content::Sequence(items)) => {
                for item in items {
                    self.shape(&Shape::Object(fields), item, what, diagnostics);
                }
            }
            (Shape::Texts | Shape::Objects(_), _) => expected("a list"),
            (Shape::Object(fields), Content::Mapping(members)) => {
                let names = || fields.iter().map(|(name, _)| *name);
                for member in members {
                    let name = member.name();
                    if let Some((field, shape)) = fields.iter().find(|(field, _)| *field == name) {
                        self.shape(shape, &member.value, &format!("`{field}`"), diagnostics);
                        continue;
                    }
                    let place = self.origin.place(member.position);
                    let message = format!("unknown field `{name}` in {what}");
                    diagnostics.push(match nearest(&name, names()) {
                        Some(_) => Diagnostic::error(place, message).suggest(&name, names()),
                        None => Diagnostic::warning(place, message),
                    });
                }
            }
            (Shape::Object(_), _) => expected("an object"),
        }
    }
}

/// The value without the fields that its shape does not have.
fn known(shape: &Shape, value: Value) -> Value {
    match (shape, value) {
        (Shape::Object(fields), Value::Object(members)) => {
            let kept = members.into_iter().filter_map(|(name, value)| {
                let (_, shape) = fields.iter().find(|(field, _)| *field == name)?;
                Some((name, known(shape, value)))
            });
            Value::Object(kept.collect())
        }
        (Shape::Objects(fields), Value::Array(items)) => {
            let items = items.into_iter();
            items
                .map(|item| known(&Shape::Object(fields), item))
                .collect()
        }
        (_, value) => value,
    }
}

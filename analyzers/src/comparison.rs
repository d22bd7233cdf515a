//! What `jsonCompare`, `yamlCompare` and `clusterResource` share: two values compared as YAML, the outcome that agrees,
//! what is said of the value read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};

use bundle::Files;
use serde_json::{Map, Number, Value};
use syntax::boolean;
use syntax::json_path::JsonPathError;
use syntax::yaml::{self, Content, Limits, Node, Scalar};

use crate::document::{is_masked, redacted};
use crate::finding::{Finding, Icon, NotEvaluated, Verdict};
use crate::outcome::{Outcome, bad_condition};

/// The icon of what is compared or matched.
pub(crate) const ICON: Icon = Icon {
    key: "kubernetes_text_analyze",
    file: "text-analyze.svg",
};

/// A value that was read, the one that was expected, and where they are from.
#[derive(Debug)]
pub(crate) struct Comparison<'a> {
    /// The value read.
    pub(crate) actual: &'a Value,
    /// The value that the spec expects.
    pub(crate) expected: &'a Value,
    /// Whether the two are equal, by the rules of the kind.
    pub(crate) is_equal: bool,
    /// The part that was read, `storage.encrypted`; empty for the whole.
    pub(crate) part: &'a str,
    /// The file that it was read in.
    pub(crate) path: &'a str,
    /// Where the part is changed, `in the deployment web`.
    pub(crate) place: &'a str,
    /// The field of the spec that has the expected value.
    pub(crate) field: &'static str,
}

impl Comparison<'_> {
    /// The first outcome that agrees. Messages of the outcomes before it are rendered, too: a broken template is
    /// said whichever outcome it stands in.
    pub(crate) fn judge(
        &self,
        outcomes: &[Outcome],
        render: impl Fn(&str) -> Result<String, NotEvaluated>,
    ) -> Result<Finding, NotEvaluated> {
        for (verdict, branch) in outcomes.iter().filter_map(Outcome::branch) {
            let wanted = wants_match(verdict, &branch.when)?;
            let message = render(&branch.message)?;
            if wanted == self.is_equal {
                return Ok(Finding {
                    message,
                    observed: self.observed(),
                    ..Finding::of(verdict, branch)
                }
                .with_remedy(self.remedy()));
            }
        }
        Ok(Finding {
            verdict: Some(Verdict::Fail),
            message: "Invalid analyzer".to_owned(),
            observed: self.observed(),
            remedy: "Give the analyzer an outcome for the values being equal and one for their differing.".to_owned(),
            ..Finding::default()
        })
    }

    fn observed(&self) -> String {
        observed(self.actual, self.path)
    }

    /// The nearest change that turns the answer around.
    fn remedy(&self) -> String {
        let part = match self.part {
            "" => "the document",
            part => part,
        };
        let expected = shown(self.expected);
        if self.is_equal {
            return format!("Give {part} another value than {expected} {}.", self.place);
        }
        if let Some(text) = same_in_words(self.actual, self.expected) {
            let quoted = Value::from(text.as_str()).to_string();
            return format!(
                "Both read {text}, but one is text and the other is not: as text it is written '{quoted}' in the spec's {}.",
                self.field
            );
        }
        format!("Set {part} to {expected} {}.", self.place)
    }
}

/// Whether a message reads the document.
pub(crate) fn has_template(outcomes: &[Outcome]) -> bool {
    outcomes
        .iter()
        .filter_map(Outcome::branch)
        .any(|(_, branch)| branch.message.contains("{{"))
}

/// Whether an outcome speaks when there is a match, an equality: its `when`, or what its verdict means without.
pub(crate) fn wants_match(verdict: Verdict, when: &str) -> Result<bool, NotEvaluated> {
    match when {
        "" => Ok(verdict == Verdict::Pass),
        when => boolean::parse(when).map_err(|error| bad_condition(when, error)),
    }
}

/// The value read and where.
pub(crate) fn observed(value: &Value, path: &str) -> String {
    format!("{} ({path})", shown(value))
}

/// A value for a person: not more of it than fits a line.
pub(crate) fn shown(value: &Value) -> String {
    const SHOWN: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The words of a text and another value that read alike: `"4"` and 4.
fn same_in_words(one: &Value, other: &Value) -> Option<String> {
    let words = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    };
    let text = words(one).filter(|text| words(other).as_ref() == Some(text))?;
    (one.is_string() != other.is_string()).then_some(text)
}

/// Whether redaction masked anything in the value.
pub(crate) fn holds_mask(value: &Value) -> bool {
    match value {
        Value::String(text) => is_masked(text),
        Value::Array(items) => items.iter().any(holds_mask),
        Value::Object(fields) => fields
            .iter()
            .any(|(key, value)| is_masked(key) || holds_mask(value)),
        _ => false,
    }
}

/// Why a path does not fit: where a mask is in the way, that is no fault of the spec.
pub(crate) fn bad_path(field: &str, path: &str, error: &JsonPathError) -> NotEvaluated {
    let problem = error.to_string();
    if is_masked(&problem) {
        return redacted();
    }
    NotEvaluated::Spec(format!("{field} {path:?}: {problem}"))
}

/// Refuses a document that is too large to be looked into.
pub(crate) fn bounded(files: &Files, path: &str, largest: u64) -> Result<(), NotEvaluated> {
    if files.length(path)? > largest {
        return Err(NotEvaluated::Unknown(format!(
            "{path} is larger than {} MiB, the largest document that values are looked up in",
            largest >> 20
        )));
    }
    Ok(())
}

/// A value that a spec gives as YAML.
pub(crate) fn yaml_of_spec(field: &str, text: &str) -> Result<Node, NotEvaluated> {
    match yaml::document(text, &Limits::default()) {
        Ok(document) => Ok(document.root),
        Err(error) => Err(NotEvaluated::Spec(format!(
            "{field} {text:?} is not YAML: {error}"
        ))),
    }
}

/// Whether two YAML values are equal, as Go compares what go-yaml v2 decodes: 1.0 is not 1, `"1"` is not 1, keys have
/// types, too; lists are compared item by item, objects without regard to order.
pub(crate) fn equal_yaml(one: &Node, other: &Node) -> bool {
    match (&one.content, &other.content) {
        (Content::Scalar(one), Content::Scalar(other)) => one == other,
        (Content::Sequence(one), Content::Sequence(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| equal_yaml(one, other))
        }
        (Content::Mapping(one), Content::Mapping(other)) => {
            let other: HashMap<Key<'_>, &Node> = other.iter().map(key_and_value).collect();
            one.len() == other.len()
                && one
                    .iter()
                    .map(key_and_value)
                    .all(|(key, one)| other.get(&key).is_some_and(|other| equal_yaml(one, other)))
        }
        _ => false,
    }
}

/// A key and its type: `1` and `"1"` are two.
type Key<'a> = (Discriminant<Scalar>, Cow<'a, str>);

fn key_and_value(entry: &yaml::Entry) -> (Key<'_>, &Node) {
    ((discriminant(&entry.key), entry.name()), &entry.value)
}

/// A YAML value for messages and for being shown. What JSON cannot say is said in words: a null key, an infinite
/// number; of two keys with one name the text is taken, the only one that a template can name.
pub(crate) fn value_of(node: &Node) -> Value {
    match &node.content {
        Content::Scalar(Scalar::Null) => Value::Null,
        Content::Scalar(Scalar::Bool(bool)) => Value::Bool(*bool),
        Content::Scalar(Scalar::Int(int)) => Value::from(*int),
        Content::Scalar(Scalar::Uint(uint)) => Value::from(*uint),
        Content::Scalar(Scalar::Float(float)) => match Number::from_f64(*float) {
            Some(number) => Value::Number(number),
            None if float.is_nan() => Value::from("NaN"),
            None if *float > 0.0 => Value::from("+Inf"),
            None => Value::from("-Inf"),
        },
        Content::Scalar(Scalar::String(text)) => Value::from(text.as_str()),
        Content::Sequence(items) => items.iter().map(value_of).collect(),
        Content::Mapping(entries) => {
            let (texts, others): (Vec<_>, Vec<_>) = entries
                .iter()
                .partition(|entry| matches!(entry.key, Scalar::String(_)));
            let in_order = others.into_iter().chain(texts);
            let fields: Map<String, Value> = in_order
                .map(|entry| (entry.name().into_owned(), value_of(&entry.value)))
                .collect();
            Value::Object(fields)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node {
        yaml_of_spec("value", text).expect("a YAML value")
    }

    #[test]
    fn yaml_values_are_equal_with_their_types() {
        for (one, other, equal) in [
            ("010", "8", true),
            ("0x1F", "31", true),
            ("1_000", "1000", true),
            ("1.0", "1", false),
            ("1e3", "1000", false),
            ("1e3", "1000.0", true),
            ("yes", "true", true),
            ("yes", "'yes'", false),
            ("'1'", "1", false),
            ("~", "null", true),
            ("", "~", true),
            ("2001-01-01", "'2001-01-01'", true),
            (".nan", ".nan", false),
            ("[1, 2]", "[2, 1]", false),
            ("[1, 2]", "[1, 2, 3]", false),
            ("{a: 1, b: {c: 2, d: 3}}", "{b: {d: 3, c: 2}, a: 1}", true),
            ("{a: 1}", "{a: 1, b: 2}", false),
            ("{1: a}", "{'1': a}", false),
            ("{on: a}", "{true: a}", true),
            ("{~: a}", "{null: a}", true),
            ("{a: 1}", "[1]", false),
            ("&x {a: 1}", "{<<: {a: 1}}", true),
        ] {
            assert_eq!(equal_yaml(&node(one), &node(other)), equal, "{one} {other}");
            assert_eq!(equal_yaml(&node(other), &node(one)), equal, "{other} {one}");
        }
    }

    #[test]
    fn what_json_cannot_say_is_said_in_words() {
        let value = value_of(&node(
            "{~: .inf, on: 1.0, 'on': 2, 'true': 3, x: -.inf, z: .nan}",
        ));
        assert_eq!(
            value.to_string(),
            r#"{"null":"+Inf","on":2,"true":3,"x":"-Inf","z":"NaN"}"#
        );
    }

    #[test]
    fn text_and_number_that_read_alike() {
        let alike =
            |one: &str, other: &str| same_in_words(&value_of(&node(one)), &value_of(&node(other)));
        assert_eq!(alike("'4'", "4").as_deref(), Some("4"));
        assert_eq!(alike("true", "'true'").as_deref(), Some("true"));
        assert_eq!(alike("4", "5"), None);
        assert_eq!(alike("4", "4.0"), None);
        assert_eq!(alike("'a'", "b"), None);
    }
}

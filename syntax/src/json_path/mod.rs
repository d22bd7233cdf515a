//! Kubernetes `JSONPath` templates (`{.a.b[0]}`, `{range .items[*]}…{end}`) and the dotted paths of troubleshoot
//! (`a.b.[0].c`).
//!
//! Own code because the crates of the field implement RFC 9535, and specs are written for `kubectl`: text around
//! `{…}`, `@` and `$` that only pass the current value on, filters with one comparison, missing keys that are no
//! error. The grammar and its errors are those of `k8s.io/client-go/util/jsonpath`. One thing is better on
//! purpose: a filter compares numbers as numbers, where the original refuses `1` against the `1` of a document.

mod parser;
mod spine;
mod tree;

pub use spine::{Step, dotted_steps, spine};
pub use tree::{Tree, get_at_path};

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Number, Value};

/// Values visited before an evaluation is given up: a spec's path must not cost more than its document.
const MAX_STEPS: usize = 10_000_000;
/// Open `{range}`s.
const MAX_RANGES: usize = 32;

/// A path that cannot be read, or does not fit the document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonPathError(String);

fn error<T>(message: impl Into<String>) -> Result<T, JsonPathError> {
    Err(JsonPathError(message.into()))
}

/// A parsed template. Missing keys give no result rather than an error.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    List(Vec<Node>),
    Text(String),
    Number(Number),
    Bool(bool),
    Identifier(String),
    Field(String),
    Wildcard,
    Recursive,
    Slice(Slice),
    Union(Vec<Node>),
    Filter(Box<Filter>),
}

impl Node {
    /// The step that this is, where it leads to one value.
    fn step(&self) -> Option<Step> {
        match self {
            Self::Field(name) => Some(Step::Key(name.clone())),
            Self::Slice(Slice {
                start,
                derived: true,
                ..
            }) => usize::try_from(start.unwrap_or(0)).ok().map(Step::Index),
            _ => None,
        }
    }
}

/// `[start:end:step]`; `[3]` is a slice whose end is derived.
#[derive(Debug, Clone, PartialEq)]
struct Slice {
    start: Option<i64>,
    end: Option<i64>,
    derived: bool,
    step: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
struct Filter {
    left: Node,
    /// The operator and the right side; `None` asks whether the left exists.
    comparison: Option<(String, Node)>,
}

/// A result: a part of the document, or a literal of the template.
pub type Found<'a> = Cow<'a, Value>;

impl JsonPath {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<JsonPath, JsonPathError> {
        let nodes = parser::template(text)?;
        Ok(JsonPath { nodes })
    }

    /// The steps with which all that the template reads begins, as far as each leads to one value: none where it has several
    /// actions.
    #[must_use]
    pub fn leading_steps(&self) -> Vec<Step> {
        let mut actions = self.nodes.iter().filter_map(|node| match node {
            Node::List(nodes) => Some(nodes.as_slice()),
            _ => None,
        });
        let nodes = match (actions.next(), actions.next()) {
            (Some(nodes), None) => nodes,
            _ => &[],
        };
        nodes.iter().map_while(Node::step).collect()
    }

    /// Evaluates the template: one list of results for each text and each action, in order, repeated by ranges.
    pub fn find<'a>(&'a self, document: &'a Value) -> Result<Vec<Vec<Found<'a>>>, JsonPathError> {
        Evaluation {
            nodes: &self.nodes,
            begin: 0,
            inside: 0,
            end: 0,
            last_end: None,
            steps: 0,
        }
        .find(&Cow::Borrowed(document), 0)
    }
}

/// The state of one evaluation. Ranges are identifiers among the nodes, so where one ends is known only after
/// its body has been walked.
struct Evaluation<'a> {
    nodes: &'a [Node],
    /// Ranges begun by the node under way.
    begin: usize,
    /// Ranges whose bodies are being walked.
    inside: usize,
    /// Ranges ended by the node under way.
    end: usize,
    /// The node that ended the innermost range.
    last_end: Option<usize>,
    steps: usize,
}

type Values<'a> = Vec<Found<'a>>;

impl<'a> Evaluation<'a> {
    fn find(&mut self, value: &Found<'a>, from: usize) -> Result<Vec<Values<'a>>, JsonPathError> {
        let nodes = self.nodes;
        let mut found = Vec::new();
        let mut index = from;
        while let Some(node) = nodes.get(index) {
            let results = self.walk(vec![value.clone()], node)?;
            if self.end > 0 && self.end <= self.inside {
                self.end -= 1;
                self.last_end = Some(index);
                break;
            }
            if self.begin > 0 {
                self.begin -= 1;
                self.inside += 1;
                if self.inside > MAX_RANGES {
                    return error(format!("more than {MAX_RANGES} nested ranges"));
                }
                for result in &results {
                    found.extend(self.find(result, index + 1)?);
                }
                if results.is_empty() {
                    // Nothing to repeat: the body is walked once to find its end.
                    self.find(&Cow::Owned(Value::Null), index + 1)?;
                }
                self.inside -= 1;
                index = self.last_end.filter(|end| *end > index).unwrap_or(index);
            } else {
                found.push(results);
            }
            index += 1;
        }
        Ok(found)
    }

    fn step(&mut self, count: usize) -> Result<(), JsonPathError> {
        self.steps = self.steps.saturating_add(count).saturating_add(1);
        if self.steps > MAX_STEPS {
            return error(format!("the path visits more than {MAX_STEPS} values"));
        }
        Ok(())
    }

    fn walk(&mut self, values: Values<'a>, node: &'a Node) -> Result<Values<'a>, JsonPathError> {
        self.step(values.len())?;
        match node {
            Node::List(nodes) => nodes
                .iter()
                .try_fold(values, |values, node| self.walk(values, node)),
            Node::Text(text) => Ok(vec![Cow::Owned(Value::from(text.as_str()))]),
            Node::Number(number) => Ok(values
                .iter()
                .map(|_| Cow::Owned(Value::Number(number.clone())))
                .collect()),
            Node::Bool(value) => Ok(values
                .iter()
                .map(|_| Cow::Owned(Value::Bool(*value)))
                .collect()),
            Node::Identifier(name) => match name.as_str() {
                "range" => {
                    self.begin += 1;
                    Ok(values)
                }
                "end" if self.inside > 0 => {
                    self.end += 1;
                    Ok(Vec::new())
                }
                "end" => error("not in range, nothing to end"),
                name => error(format!("unrecognized identifier {name}")),
            },
            Node::Field(name) => Ok(values
                .into_iter()
                .filter_map(|value| member(&value, name))
                .collect()),
            Node::Wildcard => {
                let mut found = Vec::new();
                for value in values {
                    let children = children(&value);
                    self.step(children.len())?;
                    found.extend(children);
                }
                Ok(found)
            }
            Node::Recursive => {
                let mut found = Vec::new();
                for value in values {
                    self.descend(value, &mut found)?;
                }
                Ok(found)
            }
            Node::Slice(slice) => {
                let mut found = Vec::new();
                for value in values {
                    slice.select(&value, &mut found)?;
                }
                Ok(found)
            }
            Node::Union(members) => {
                let mut found = Vec::new();
                for member in members {
                    found.extend(self.walk(values.clone(), member)?);
                }
                Ok(found)
            }
            Node::Filter(filter) => {
                let mut found = Vec::new();
                for value in values {
                    let Value::Array(_) = value.as_ref() else {
                        let value = shown(&value);
                        return error(format!(
                            "{value} is not array or slice and cannot be filtered"
                        ));
                    };
                    for item in children(&value) {
                        if self.passes(filter, &item)? {
                            found.push(item);
                        }
                    }
                }
                Ok(found)
            }
        }
    }

    /// Every value below that has members itself, parents before children.
    fn descend(&mut self, value: Found<'a>, found: &mut Values<'a>) -> Result<(), JsonPathError> {
        let children = children(&value);
        self.step(children.len())?;
        if children.is_empty() {
            return Ok(());
        }
        found.push(value);
        for child in children {
            self.descend(child, found)?;
        }
        Ok(())
    }

    fn passes(&mut self, filter: &'a Filter, item: &Found<'a>) -> Result<bool, JsonPathError> {
        let left = self.walk(vec![item.clone()], &filter.left);
        let Some((operator, right)) = &filter.comparison else {
            return Ok(left.is_ok_and(|left| !left.is_empty()));
        };
        let left = left?;
        if left.is_empty() {
            return Ok(false);
        }
        let [left] = &left[..] else {
            return error("can only compare one element at a time");
        };
        let right = self.walk(vec![item.clone()], right)?;
        match &right[..] {
            [] => Ok(false),
            [right] => compare(operator, left, right),
            _ => error("can only compare one element at a time"),
        }
    }
}

impl Slice {
    fn select<'a>(&self, value: &Found<'a>, found: &mut Values<'a>) -> Result<(), JsonPathError> {
        let length = match value.as_ref() {
            Value::Null => return Ok(()),
            Value::Array(items) => i64::try_from(items.len()).unwrap_or(i64::MAX),
            other => return error(format!("{} is not array or slice", go_type(other))),
        };
        let mut start = self.start.unwrap_or(0);
        if start < 0 {
            start += length;
        }
        let mut end = self.end.unwrap_or(length);
        if end < 0 || (end == 0 && self.derived) {
            end += length;
        }
        if start == end {
            return Ok(());
        }
        let outside = |index: i64| {
            error(format!(
                "array index out of bounds: index {index}, length {length}"
            ))
        };
        if start < 0 || start >= length {
            return outside(start);
        }
        if end < 0 || end > length {
            return outside(end - 1);
        }
        if start > end {
            return error(format!(
                "starting index {start} is greater than ending index {end}"
            ));
        }
        let Ok(step) = usize::try_from(self.step.unwrap_or(1)) else {
            return error("step must be > 0");
        };
        if step == 0 {
            return error("step must be > 0");
        }
        let (start, end) = (index(start), index(end));
        found.extend(
            children(value)
                .into_iter()
                .take(end)
                .skip(start)
                .step_by(step),
        );
        Ok(())
    }
}

fn index(checked: i64) -> usize {
    usize::try_from(checked).unwrap_or(usize::MAX)
}

fn member<'a>(value: &Found<'a>, name: &str) -> Option<Found<'a>> {
    match value {
        Cow::Borrowed(value) => value.as_object()?.get(name).map(Cow::Borrowed),
        // What an evaluation owns are literals and bytes, which have no members.
        Cow::Owned(_) => None,
    }
}

/// The members of an object, the items of a list, the bytes of a text.
fn children<'a>(value: &Found<'a>) -> Values<'a> {
    if let Cow::Borrowed(value) = value {
        match value {
            Value::Object(members) => return members.values().map(Cow::Borrowed).collect(),
            Value::Array(items) => return items.iter().map(Cow::Borrowed).collect(),
            _ => {}
        }
    }
    let bytes = value.as_str().unwrap_or_default().bytes();
    bytes.map(|byte| Cow::Owned(Value::from(byte))).collect()
}

fn compare(operator: &str, left: &Value, right: &Value) -> Result<bool, JsonPathError> {
    const KIND: &str = "invalid type for comparison";
    let ordered = match (left, right) {
        (Value::Null | Value::Array(_) | Value::Object(_), _)
        | (_, Value::Null | Value::Array(_) | Value::Object(_)) => return error(KIND),
        (Value::Bool(left), Value::Bool(right)) => match operator {
            "==" | "!=" => Some(left.cmp(right)),
            _ => return error(KIND),
        },
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => compare_numbers(left, right),
        _ => return error("incompatible types for comparison"),
    };
    let is = |holds: fn(Ordering) -> bool| Ok(ordered.is_some_and(holds));
    match operator {
        "<" => is(Ordering::is_lt),
        ">" => is(Ordering::is_gt),
        "==" => is(Ordering::is_eq),
        "!=" => is(Ordering::is_ne),
        "<=" => is(Ordering::is_le),
        ">=" => is(Ordering::is_ge),
        other => error(format!("unrecognized filter operator {other}")),
    }
}

fn compare_numbers(left: &Number, right: &Number) -> Option<Ordering> {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

/// A value for a message: a document may be of any size.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 100;
    match value {
        Value::Array(items) => format!("a list of {} items", items.len()),
        Value::Object(members) => format!("an object of {} members", members.len()),
        Value::String(text) if text.chars().nth(LONGEST).is_some() => {
            let start: String = text.chars().take(LONGEST).collect();
            format!("{start}…")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn store() -> Value {
        json!({
            "kind": "List",
            "items": [
                {"metadata": {"name": "a", "labels": {"x.y/z": "1"}}, "n": 1, "f": 1.5, "ready": true},
                {"metadata": {"name": "b"}, "n": 2, "ready": false, "tags": ["p", "q", "r"]},
                {"metadata": {"name": "c"}, "n": 3, "none": null},
            ],
        })
    }

    #[test]
    fn templates() -> Result<(), JsonPathError> {
        let store = store();
        for (path, expected) in [
            ("$.kind", json!([["$.kind"]])),
            ("{.kind}", json!([["List"]])),
            ("{$.kind}", json!([["List"]])),
            ("{@.kind}", json!([["List"]])),
            (
                "kind is {.kind}{\"\\n\"}",
                json!([["kind is "], ["List"], ["\n"]]),
            ),
            ("{.zz}", json!([[]])),
            ("{.zz.y[0]}", json!([[]])),
            ("{.items[*].n}", json!([[1, 2, 3]])),
            (r"{.items[0].metadata.labels.x\.y/z}", json!([["1"]])),
            (r"{.items[0].metadata.labels['x\.y/z']}", json!([["1"]])),
            ("{.items[0]['n']}", json!([[1]])),
            ("{.items[0]['n','f']}", json!([[1, 1.5]])),
            ("{.items[0,2].n}", json!([[1, 3]])),
            ("{.items[-1].n}", json!([[3]])),
            ("{.items[1:].n}", json!([[2, 3]])),
            ("{.items[:2].n}", json!([[1, 2]])),
            ("{.items[0:3:2].n}", json!([[1, 3]])),
            ("{.items[1:1].n}", json!([[]])),
            ("{.items[?(@.n>1)].n}", json!([[2, 3]])),
            ("{.items[?(@.f==1.5)].n}", json!([[1]])),
            (r#"{.items[?(@.metadata.name=="b")].n}"#, json!([[2]])),
            ("{.items[?(@.metadata.name != 'b')].n}", json!([[1, 3]])),
            ("{.items[?(@.ready==true)].n}", json!([[1]])),
            ("{.items[?(@.tags)].n}", json!([[2]])),
            ("{..name}", json!([["a", "b", "c"]])),
            (
                "{.items[1].tags..}",
                json!([[["p", "q", "r"], "p", "q", "r"]]),
            ),
            (
                "{range .items[*]}{.n}-{end}.",
                json!([[1], ["-"], [2], ["-"], [3], ["-"], ["."]]),
            ),
            ("{range .zz[*]}{.n}-{end}.", json!([["."]])),
            (
                "{range .items[*]}{range .tags[*]}{@}{end};{end}",
                json!([[";"], ["p"], ["q"], ["r"], [";"], [";"]]),
            ),
            ("{.items[1].tags.*}", json!([["p", "q", "r"]])),
            (
                "{true}{-1}{2.5}{'it\\'s'}",
                json!([[true], [-1], [2.5], ["it's"]]),
            ),
            ("", json!([])),
        ] {
            assert_eq!(
                json!(JsonPath::parse(path)?.find(&store)?),
                expected,
                "{path}"
            );
        }
        Ok(())
    }

    #[test]
    fn refused() -> Result<(), JsonPathError> {
        for (path, message) in [
            ("{.bad", "unclosed action"),
            ("{.a[}", "unterminated array"),
            ("{.a[x]}", "invalid array index x"),
            ("{.a[1:2:3:4]}", "invalid array index 1:2:3:4"),
            ("{....a}", "invalid multiple recursive descent"),
            ("{'a}", "unterminated quoted string"),
            ("{.a[?(@.b==1]}", "unterminated filter"),
            ("{.a[?(@.b==1)}", "unclosed array expect ]"),
            ("{!}", "unrecognized character in action: U+0021 '!'"),
            ("{1.2.3}", "cannot parse number 1.2.3"),
            (r"{'\z'}", r"unquote string '\z' error invalid syntax"),
        ] {
            let error = JsonPath::parse(path).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), Some(message), "{path}");
        }
        let store = store();
        for (path, message) in [
            (
                "{.items[3]}",
                "array index out of bounds: index 3, length 3",
            ),
            (
                "{.items[2:1]}",
                "starting index 2 is greater than ending index 1",
            ),
            ("{.kind[0]}", "string is not array or slice"),
            (
                "{.kind[?(@.a)]}",
                "List is not array or slice and cannot be filtered",
            ),
            (
                r#"{.items[?(@.n=="1")]}"#,
                "incompatible types for comparison",
            ),
            ("{.items[?(@.ready>true)]}", "invalid type for comparison"),
            ("{.items[?(@.n=1)]}", "unrecognized filter operator ="),
            ("{end}", "not in range, nothing to end"),
            ("{nonsense}", "unrecognized identifier nonsense"),
        ] {
            let error = JsonPath::parse(path)?
                .find(&store)
                .err()
                .map(|error| error.to_string());
            assert_eq!(error.as_deref(), Some(message), "{path}");
        }
        Ok(())
    }

    #[test]
    fn an_evaluation_is_bounded() -> Result<(), JsonPathError> {
        let mut deep = json!(1);
        for _ in 0..100 {
            deep = json!([deep]);
        }
        let path = JsonPath::parse(&format!("{{{}}}", "...*".repeat(20)))?;
        assert_eq!(
            path.find(&deep)
                .err()
                .map(|error| error.to_string())
                .as_deref(),
            Some("the path visits more than 10000000 values")
        );
        let ranges = JsonPath::parse(&"{range @}".repeat(100_000))?;
        assert_eq!(
            ranges
                .find(&deep)
                .err()
                .map(|error| error.to_string())
                .as_deref(),
            Some("more than 32 nested ranges")
        );
        Ok(())
    }

    #[test]
    fn dotted_paths() -> Result<(), JsonPathError> {
        let store = store();
        assert_eq!(get_at_path(&store, "items.[1].tags.[2]")?, "r");
        assert_eq!(get_at_path(&store, "zz")?, &Value::Null);
        for (path, message) in [
            ("zz.y", "input is not a map, but rather a <nil>: null"),
            ("kind.[0]", "input is not an array: List"),
            ("items.[9]", "index 9 is out of range of 3 items"),
            ("items.[-1]", "index -1 is out of range of 3 items"),
            (
                "items.[x]",
                "failed to get index value of [x]: failed to parse index x",
            ),
        ] {
            let error = get_at_path(&store, path)
                .err()
                .map(|error| error.to_string());
            assert_eq!(error.as_deref(), Some(message), "{path}");
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn never_panics(path in r#"[{}\[\]().,:*?@$'"a-c =<>!0-9\-]{0,40}|.*"#) {
            if let Ok(path) = JsonPath::parse(&path) {
                let _ = path.find(&store());
            }
            let _ = get_at_path(&store(), &path);
        }
    }
}

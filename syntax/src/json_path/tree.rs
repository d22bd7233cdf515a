//! Dotted paths, through JSON and through YAML.

use serde_json::Value;

use super::{JsonPathError, error, go_type, shown};
use crate::yaml::{Content, Node, Position, Scalar};

/// What a dotted path leads through: a document as JSON or YAML has it.
pub trait Tree: Sized + 'static {
    /// What is found under a key that is not there.
    const NULL: &'static Self;
    /// The items of a list; `None` for what is none.
    fn items(&self) -> Option<&[Self]>;
    /// The member of an object: `None` for what is none, `Some(None)` where it has no such key.
    fn member(&self, key: &str) -> Option<Option<&Self>>;
    /// The type as Go names it, and the value, shortened where it is long.
    fn described(&self) -> (&'static str, String);
}

impl Tree for Value {
    const NULL: &'static Self = &Value::Null;

    fn items(&self) -> Option<&[Self]> {
        self.as_array().map(Vec::as_slice)
    }

    fn member(&self, key: &str) -> Option<Option<&Self>> {
        self.as_object().map(|members| members.get(key))
    }

    fn described(&self) -> (&'static str, String) {
        (go_type(self), shown(self))
    }
}

/// As go-yaml v2 decodes it: only a key that is text can be named, `on` in `on: x` is none.
impl Tree for Node {
    const NULL: &'static Self = &Self {
        position: Position::START,
        content: Content::Scalar(Scalar::Null),
    };

    fn items(&self) -> Option<&[Self]> {
        match &self.content {
            Content::Sequence(items) => Some(items),
            _ => None,
        }
    }

    fn member(&self, key: &str) -> Option<Option<&Self>> {
        let Content::Mapping(entries) = &self.content else {
            return None;
        };
        let mut entries = entries.iter();
        let found = entries.find(|entry| matches!(&entry.key, Scalar::String(text) if text == key));
        Some(found.map(|entry| &entry.value))
    }

    fn described(&self) -> (&'static str, String) {
        match &self.content {
            Content::Scalar(Scalar::Null) => Value::Null.described(),
            Content::Scalar(Scalar::Bool(bool)) => Value::Bool(*bool).described(),
            Content::Scalar(Scalar::Int(int)) => ("int", int.to_string()),
            Content::Scalar(Scalar::Uint(uint)) => ("uint64", uint.to_string()),
            Content::Scalar(Scalar::Float(float)) => ("float64", float.to_string()),
            Content::Scalar(Scalar::String(text)) => Value::from(text.as_str()).described(),
            Content::Sequence(items) => {
                ("[]interface {}", format!("a list of {} items", items.len()))
            }
            Content::Mapping(entries) => (
                "map[interface {}]interface {}",
                format!("an object of {} members", entries.len()),
            ),
        }
    }
}

/// Follows a dotted path, `a.b.[0].c`. A missing key is null; a member of null, a key of a list and an index
/// beyond the end are errors.
pub fn get_at_path<'a, T: Tree>(document: &'a T, path: &str) -> Result<&'a T, JsonPathError> {
    let mut value = document;
    for key in path.split('.') {
        value = if let Some(text) = key.strip_prefix('[').and_then(|key| key.strip_suffix(']')) {
            let Ok(index) = text.parse::<i64>() else {
                return error(format!(
                    "failed to get index value of {key}: failed to parse index {text}"
                ));
            };
            let Some(items) = value.items() else {
                let (_, shown) = value.described();
                return error(format!("input is not an array: {shown}"));
            };
            let item = usize::try_from(index)
                .ok()
                .and_then(|index| items.get(index));
            let Some(item) = item else {
                return error(format!(
                    "index {index} is out of range of {} items",
                    items.len()
                ));
            };
            item
        } else {
            let Some(member) = value.member(key) else {
                let (kind, shown) = value.described();
                return error(format!("input is not a map, but rather a {kind}: {shown}"));
            };
            member.unwrap_or(T::NULL)
        };
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Limits, document};

    #[test]
    fn paths_through_yaml() {
        let text = "a:\n  b: [1, x]\n  on: yes\n  ~: nul\n  5: five\n";
        let root = document(text, &Limits::default()).map(|document| document.root);
        let root = root.expect("a YAML document");
        for (path, found) in [
            ("a.b.[1]", Ok("a string")),
            ("a.b", Ok("a list")),
            ("a", Ok("an object")),
            ("a.c", Ok("null")),
            ("a.on", Ok("null")),
            ("a.true", Ok("null")),
            ("a.5", Ok("null")),
            ("a.null", Ok("null")),
            ("a.b.[2]", Err("index 2 is out of range of 2 items")),
            ("a.b.[-1]", Err("index -1 is out of range of 2 items")),
            (
                "a.b.c",
                Err("input is not a map, but rather a []interface {}: a list of 2 items"),
            ),
            ("a.b.[0].c", Err("input is not a map, but rather a int: 1")),
            ("a.c.d", Err("input is not a map, but rather a <nil>: null")),
            (
                "a.[0]",
                Err("input is not an array: an object of 4 members"),
            ),
            (
                "a.b.[x]",
                Err("failed to get index value of [x]: failed to parse index x"),
            ),
        ] {
            let read = get_at_path(&root, path);
            let read = read.map(Node::kind).map_err(|error| error.to_string());
            assert_eq!(
                read.as_deref(),
                found.map_err(str::to_owned).as_deref(),
                "{path}"
            );
        }
    }
}

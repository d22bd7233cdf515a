//! The tree of one document.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

use super::scalar::format_float;
use super::{Position, YamlError};

/// One document.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its value.
    pub root: Node,
    /// The keys that a mapping names twice; the last one counts.
    pub duplicate_keys: Vec<DuplicateKey>,
}

/// A key that its mapping already has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateKey {
    /// The key.
    pub key: String,
    /// Where it stands again.
    pub position: Position,
    /// Where it stood before.
    pub first: Position,
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the value begins; for a value that an alias stands for, where the anchored value begins.
    pub position: Position,
    /// The value.
    pub content: Content,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A single value.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// An object, in the order of the text, each key once.
    Mapping(Vec<Entry>),
}

/// A single value.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// `null`, `~` or nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond `i64::MAX`.
    Uint(u64),
    /// Any other number.
    Float(f64),
    /// Text.
    String(String),
}

/// A member of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key, typed as YAML reads it: `on: x` has a boolean for a key.
    pub key: Scalar,
    /// Where the key begins.
    pub position: Position,
    /// The value.
    pub value: Node,
}

/// What [`Node::find`] found.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// Where the value's key begins; a list's item and the root have none.
    pub key: Option<Position>,
    /// The value.
    pub node: &'a Node,
}

impl Scalar {
    /// The key that JSON gets for this key; `null` cannot be one.
    fn key(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Null => return None,
            Self::Bool(bool) => Cow::Borrowed(if *bool { "true" } else { "false" }),
            Self::Int(int) => Cow::Owned(int.to_string()),
            Self::Uint(uint) => Cow::Owned(uint.to_string()),
            Self::Float(float) => Cow::Owned(format_float(*float)),
            Self::String(text) => Cow::Borrowed(text),
        })
    }
}

impl Entry {
    /// The key as JSON has it: `on: x` has the key `true`; a null key is `null`.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        self.key.key().unwrap_or(Cow::Borrowed("null"))
    }
}

impl Node {
    /// The value of a mapping's member.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// A mapping's member.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.name() == key)
    }

    /// The members of a mapping; none where this is no mapping.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none where this is no list.
    #[must_use]
    pub fn items(&self) -> &[Node] {
        match &self.content {
            Content::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The text, where this is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(Scalar::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The boolean, where this is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match &self.content {
            Content::Scalar(Scalar::Bool(bool)) => Some(*bool),
            _ => None,
        }
    }

    /// Whether this is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.content, Content::Scalar(Scalar::Null))
    }

    /// What this is, in Kubernetes' words: `a string`, `an integer`, `a list`, `an object`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.content {
            Content::Scalar(Scalar::Null) => "null",
            Content::Scalar(Scalar::Bool(_)) => "a boolean",
            Content::Scalar(Scalar::Int(_) | Scalar::Uint(_)) => "an integer",
            Content::Scalar(Scalar::Float(_)) => "a number",
            Content::Scalar(Scalar::String(_)) => "a string",
            Content::Sequence(_) => "a list",
            Content::Mapping(_) => "an object",
        }
    }

    /// Finds the value at a path as [`crate::config`] reports it, `a.b[0].c`; `.` and the empty path are
    /// the value itself. Keys may hold dots: the longest key that fits is taken.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Found<'_>> {
        let mut found = Found {
            key: None,
            node: self,
        };
        let mut rest = if path == "." { "" } else { path };
        while !rest.is_empty() {
            (found, rest) = step(found.node, rest)?;
        }
        Some(found)
    }

    /// Where the value at a path begins, or, where there is none, the nearest value around it.
    #[must_use]
    pub fn position(&self, path: &str) -> Position {
        let mut node = self;
        let mut rest = if path == "." { "" } else { path };
        while let Some((found, after)) = step(node, rest) {
            (node, rest) = (found.node, after);
            if rest.is_empty() {
                break;
            }
        }
        node.position
    }

    /// The value as JSON. An infinite number, a number that is none and a null key have no JSON.
    pub fn to_json(&self) -> Result<Value, YamlError> {
        let refuse = |message: &str| YamlError {
            position: self.position,
            message: message.to_owned(),
            beyond_limits: false,
        };
        Ok(match &self.content {
            Content::Scalar(Scalar::Null) => Value::Null,
            Content::Scalar(Scalar::Bool(bool)) => Value::Bool(*bool),
            Content::Scalar(Scalar::Int(int)) => Value::from(*int),
            Content::Scalar(Scalar::Uint(uint)) => Value::from(*uint),
            Content::Scalar(Scalar::Float(float)) => {
                number(*float).map(Value::Number).ok_or_else(|| {
                    refuse("an infinite number cannot stand in a Kubernetes document")
                })?
            }
            Content::Scalar(Scalar::String(text)) => Value::String(text.clone()),
            Content::Sequence(items) => {
                Value::Array(items.iter().map(Self::to_json).collect::<Result<_, _>>()?)
            }
            Content::Mapping(entries) => {
                let mut object = Map::new();
                for entry in entries {
                    let key = entry.key.key().ok_or_else(|| YamlError {
                        position: entry.position,
                        message: "null cannot be a key".to_owned(),
                        beyond_limits: false,
                    })?;
                    object.insert(key.into_owned(), entry.value.to_json()?);
                }
                Value::Object(object)
            }
        })
    }

    /// A tree without positions from a JSON value.
    #[must_use]
    pub fn from_json(value: &Value) -> Self {
        let content = match value {
            Value::Null => Content::Scalar(Scalar::Null),
            Value::Bool(bool) => Content::Scalar(Scalar::Bool(*bool)),
            Value::Number(number) => Content::Scalar(if let Some(int) = number.as_i64() {
                Scalar::Int(int)
            } else if let Some(uint) = number.as_u64() {
                Scalar::Uint(uint)
            } else {
                Scalar::Float(number.as_f64().unwrap_or(f64::NAN))
            }),
            Value::String(text) => Content::Scalar(Scalar::String(text.clone())),
            Value::Array(items) => Content::Sequence(items.iter().map(Self::from_json).collect()),
            Value::Object(members) => Content::Mapping(
                members
                    .iter()
                    .map(|(key, value)| Entry {
                        key: Scalar::String(key.clone()),
                        position: Position::START,
                        value: Self::from_json(value),
                    })
                    .collect(),
            ),
        };
        Self {
            position: Position::START,
            content,
        }
    }
}

/// A whole double is an integer in the JSON that Go writes, so that `port: 1e3` is 1000.
fn number(float: f64) -> Option<Number> {
    let text = float.to_string();
    if let Ok(int) = text.parse::<i64>() {
        return Some(int.into());
    }
    match text.parse::<u64>() {
        Ok(uint) => Some(uint.into()),
        Err(_) => Number::from_f64(float),
    }
}

/// Goes one key or index down, and says what is left of the path.
fn step<'a, 'p>(node: &'a Node, path: &'p str) -> Option<(Found<'a>, &'p str)> {
    if let Some(rest) = path.strip_prefix('[') {
        let (index, rest) = rest.split_once(']')?;
        let node = node.items().get(index.parse::<usize>().ok()?)?;
        let found = Found { key: None, node };
        return Some((found, rest.strip_prefix('.').unwrap_or(rest)));
    }
    let fits = |entry: &&Entry| {
        path.strip_prefix(entry.name().as_ref())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let longest = node
        .entries()
        .iter()
        .filter(fits)
        .max_by_key(|entry| entry.name().len())?;
    let rest = &path[longest.name().len()..];
    let found = Found {
        key: Some(longest.position),
        node: &longest.value,
    };
    Some((found, rest.strip_prefix('.').unwrap_or(rest)))
}

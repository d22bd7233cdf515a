//! What a template computes with: the Go values that a document, a literal or a function can give.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value as Json;

/// How deep a value may be nested before it is neither printed nor compared.
pub(super) const MAX_DEPTH: usize = 200;

/// A value. Go's integer types are kept apart where a template can tell: a literal is an `int`, `add` gives an
/// `int64`, and a function that takes an `int` refuses the latter.
#[derive(Debug, Clone)]
pub(super) enum Value<'d> {
    /// No value at all: a missing key, an unset variable. Prints `<no value>`.
    Missing,
    /// An interface that holds nothing: null in a document.
    Nil,
    Bool(bool),
    Int(i64),
    Int64(i64),
    Byte(u8),
    Float(f64),
    Text(Rc<str>),
    List(Rc<List<'d>>),
    Map(Rc<Map<'d>>),
    /// A list or an object of the document, converted member by member as it is asked for.
    Document(Document<'d>),
    Time(jiff::Timestamp),
    /// What a function made of parts: it prints as one text, its parts are fields.
    Made(Rc<Made>),
}

/// A list with the Go type of its items.
#[derive(Debug)]
pub(super) struct List<'d> {
    pub(super) of: &'static str,
    pub(super) items: Vec<Value<'d>>,
}

/// A map with the Go type of its values. Shared and changed in place, as in Go.
#[derive(Debug)]
pub(super) struct Map<'d> {
    pub(super) of: &'static str,
    pub(super) members: RefCell<BTreeMap<Rc<str>, Value<'d>>>,
}

/// A Go struct with a `String` method.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) type_name: &'static str,
    pub(super) printed: String,
    pub(super) parts: Vec<(&'static str, Part)>,
}

/// A field of what a function made.
#[derive(Debug)]
pub(super) enum Part {
    Number(i64),
    Text(String),
}

/// A part of the document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document<'d> {
    pub(super) json: &'d Json,
    pub(super) view: View,
}

/// How Go would hold the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// Decoded from JSON without a type: every number is a float.
    Decoded,
    /// Built by Go code: whole numbers are ints.
    Built,
    /// A struct whose members were built by Go code: a field it does not have is an error.
    Struct,
}

pub(super) const ANY: &str = "interface {}";
pub(super) const STRING: &str = "string";
pub(super) const INT: &str = "int";

impl<'d> Value<'d> {
    pub(super) fn of(json: &'d Json, view: View) -> Value<'d> {
        match json {
            Json::Null => Value::Nil,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match number.as_i64().filter(|_| view != View::Decoded) {
                Some(value) => Value::Int(value),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::text(text),
            Json::Array(_) | Json::Object(_) => Value::Document(Document { json, view }),
        }
    }

    pub(super) fn text(text: impl AsRef<str>) -> Value<'d> {
        Value::Text(Rc::from(text.as_ref()))
    }

    pub(super) fn list(items: Vec<Value<'d>>) -> Value<'d> {
        Value::List(Rc::new(List { of: ANY, items }))
    }

    pub(super) fn texts<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Value<'d> {
        let items = items.into_iter().map(Value::text).collect();
        Value::List(Rc::new(List { of: STRING, items }))
    }

    pub(super) fn map(of: &'static str, members: BTreeMap<Rc<str>, Value<'d>>) -> Value<'d> {
        let members = RefCell::new(members);
        Value::Map(Rc::new(Map { of, members }))
    }

    /// Whether it is absent or null.
    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Value::Missing | Value::Nil)
    }

    /// An interface that holds nothing is no value once it left its container.
    pub(super) fn unwrapped(self) -> Value<'d> {
        match self {
            Value::Nil => Value::Missing,
            value => value,
        }
    }

    /// Whether `if` takes it as true: not zero, not empty.
    pub(super) fn truth(&self) -> bool {
        match self {
            Value::Missing | Value::Nil => false,
            Value::Bool(value) => *value,
            Value::Int(value) | Value::Int64(value) => *value != 0,
            Value::Byte(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::Document(Document {
                view: View::Struct, ..
            })
            | Value::Time(_)
            | Value::Made(_) => true,
            Value::List(_) | Value::Map(_) | Value::Document(_) => self.len() != Some(0),
        }
    }

    /// The number of items, members or bytes.
    pub(super) fn len(&self) -> Option<usize> {
        Some(match self {
            Value::Text(text) => text.len(),
            Value::List(list) => list.items.len(),
            Value::Map(map) => map.members.borrow().len(),
            Value::Document(Document {
                view: View::Struct, ..
            }) => return None,
            Value::Document(Document { json, .. }) => match json {
                Json::Array(items) => items.len(),
                Json::Object(members) => members.len(),
                _ => return None,
            },
            _ => return None,
        })
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Option<Vec<Value<'d>>> {
        match self {
            Value::List(list) => Some(list.items.clone()),
            Value::Document(document) => {
                let items = document.json.as_array()?.iter();
                Some(
                    items
                        .map(|item| Value::of(item, document.inner()))
                        .collect(),
                )
            }
            _ => None,
        }
    }

    /// One item of a list.
    pub(super) fn item(&self, index: usize) -> Option<Value<'d>> {
        match self {
            Value::List(list) => list.items.get(index).cloned(),
            Value::Document(document) => {
                let item = document.json.as_array()?.get(index)?;
                Some(Value::of(item, document.inner()))
            }
            _ => None,
        }
    }

    /// The members of a map, sorted by key.
    pub(super) fn members(&self) -> Option<BTreeMap<Rc<str>, Value<'d>>> {
        match self {
            Value::Map(map) => Some(map.members.borrow().clone()),
            Value::Document(document) => {
                let members = document.json.as_object()?.iter();
                let value = |json| Value::of(json, document.inner());
                Some(
                    members
                        .map(|(key, json)| (Rc::from(key.as_str()), value(json)))
                        .collect(),
                )
            }
            _ => None,
        }
    }

    /// One member of a map: `None` when it is no map, missing when the map has no such key.
    pub(super) fn member(&self, key: &str) -> Option<Value<'d>> {
        match self {
            Value::Map(map) => Some(
                map.members
                    .borrow()
                    .get(key)
                    .cloned()
                    .unwrap_or(Value::Missing),
            ),
            Value::Document(document) => {
                let member = document.json.as_object()?.get(key);
                Some(member.map_or(Value::Missing, |json| Value::of(json, document.inner())))
            }
            Value::Made(made) => {
                let part = made.parts.iter().find(|(name, _)| *name == key)?;
                Some(match &part.1 {
                    Part::Number(number) => Value::Int64(*number),
                    Part::Text(text) => Value::text(text),
                })
            }
            _ => None,
        }
    }

    /// The type as Go prints it, `%T`.
    pub(super) fn type_name(&self) -> String {
        match self {
            Value::Missing | Value::Nil => "<nil>".into(),
            Value::Bool(_) => "bool".into(),
            Value::Int(_) => INT.into(),
            Value::Int64(_) => "int64".into(),
            Value::Byte(_) => "uint8".into(),
            Value::Float(_) => "float64".into(),
            Value::Text(_) => STRING.into(),
            Value::List(list) => format!("[]{}", list.of),
            Value::Map(map) => format!("map[string]{}", map.of),
            Value::Document(Document {
                view: View::Struct, ..
            }) => "struct".into(),
            Value::Document(Document {
                json: Json::Array(_),
                ..
            }) => format!("[]{ANY}"),
            Value::Document(_) => format!("map[string]{ANY}"),
            Value::Time(_) => "time.Time".into(),
            Value::Made(made) => made.type_name.into(),
        }
    }

    /// The kind as Go's `reflect.Kind` prints it.
    pub(super) fn kind_name(&self) -> &'static str {
        match self {
            Value::Missing | Value::Nil => "invalid",
            Value::Bool(_) => "bool",
            Value::Int(_) => INT,
            Value::Int64(_) => "int64",
            Value::Byte(_) => "uint8",
            Value::Float(_) => "float64",
            Value::Text(_) => STRING,
            Value::Time(_) => "struct",
            Value::Made(_) => "ptr",
            Value::List(_) => "slice",
            Value::Map(_) => "map",
            Value::Document(document) => match (document.json, document.view) {
                (Json::Array(_), _) => "slice",
                (_, View::Struct) => "struct",
                _ => "map",
            },
        }
    }

    /// `reflect.DeepEqual`: equal in type and value. What is nested too deep equals nothing.
    pub(super) fn deep_equal(&self, other: &Value<'_>) -> bool {
        deep_equal(self, other, 0)
    }
}

impl Document<'_> {
    /// How its members are held.
    fn inner(&self) -> View {
        match self.view {
            View::Decoded => View::Decoded,
            View::Built | View::Struct => View::Built,
        }
    }
}

fn deep_equal(left: &Value<'_>, right: &Value<'_>, depth: usize) -> bool {
    if depth > MAX_DEPTH {
        return false;
    }
    match (left, right) {
        (Value::Missing | Value::Nil, Value::Missing | Value::Nil) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(left), Value::Int(right)) | (Value::Int64(left), Value::Int64(right)) => {
            left == right
        }
        (Value::Byte(left), Value::Byte(right)) => left == right,
        (Value::Float(left), Value::Float(right)) => left
            .partial_cmp(right)
            .is_some_and(std::cmp::Ordering::is_eq),
        (Value::Text(left), Value::Text(right)) => left == right,
        (Value::Time(left), Value::Time(right)) => left == right,
        (Value::Made(left), Value::Made(right)) => left.printed == right.printed,
        _ if left.type_name() != right.type_name() => false,
        _ => match (left.items(), right.items(), left.members(), right.members()) {
            (Some(left), Some(right), _, _) => {
                left.len() == right.len()
                    && left
                        .iter()
                        .zip(&right)
                        .all(|(l, r)| deep_equal(l, r, depth + 1))
            }
            (_, _, Some(left), Some(right)) => {
                left.len() == right.len()
                    && left
                        .iter()
                        .zip(&right)
                        .all(|((lk, lv), (rk, rv))| lk == rk && deep_equal(lv, rv, depth + 1))
            }
            _ => false,
        },
    }
}

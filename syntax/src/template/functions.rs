//! What a template can call: Go's own functions here, sprig's by topic in the files beside.

use std::cmp::Ordering;
use std::fmt;
use std::fmt::Write as _;

use super::sprintf::sprintf;
use super::value::{ANY, Value};
use super::{
    dates, dicts, encoding, format, lists, logic, numbers, paths, refused, regexes, strings, urls,
    versions,
};

/// A function by name.
pub(super) struct Function {
    pub(super) name: &'static str,
    /// The parameters that must be given.
    pub(super) fixed: &'static [Kind],
    /// What any number of further arguments must be; `None` where there may be none.
    pub(super) rest: Option<Kind>,
    pub(super) call: Call,
}

/// A row of a table.
pub(super) const fn row(
    name: &'static str,
    fixed: &'static [Kind],
    rest: Option<Kind>,
    call: Call,
) -> Function {
    Function {
        name,
        fixed,
        rest,
        call,
    }
}

pub(super) type Call = for<'d> fn(&mut Work, &[Value<'d>]) -> Result<Value<'d>, String>;

/// The Go type of a parameter. A Go template converts nothing but constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Text,
    Int,
    Float,
    Bool,
    Map,
    Time,
}

impl Kind {
    pub(super) fn go_name(self) -> &'static str {
        match self {
            Kind::Any => ANY,
            Kind::Text => "string",
            Kind::Int => "int",
            Kind::Float => "float64",
            Kind::Bool => "bool",
            Kind::Map => "map[string]interface {}",
            Kind::Time => "time.Time",
        }
    }

    pub(super) fn accepts(self, value: &Value<'_>) -> bool {
        match self {
            Kind::Any => true,
            Kind::Text => matches!(value, Value::Text(_)),
            Kind::Int => matches!(value, Value::Int(_)),
            Kind::Float => matches!(value, Value::Float(_)),
            Kind::Bool => matches!(value, Value::Bool(_)),
            Kind::Map => value.type_name() == Kind::Map.go_name(),
            Kind::Time => matches!(value, Value::Time(_)),
        }
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What a rendering may still cost: bytes made and values visited.
#[derive(Debug)]
pub(super) struct Work {
    left: usize,
}

impl Work {
    pub(super) fn new(limit: usize) -> Work {
        Work { left: limit }
    }

    /// Takes `cost` from what is left, before it is paid.
    pub(super) fn spend(&mut self, cost: usize) -> Result<(), String> {
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err("the template does too much: its text, lists and loops are bounded".into()),
        }
    }
}

const TABLES: [&[Function]; 13] = [
    BUILTINS,
    dates::FUNCTIONS,
    dicts::FUNCTIONS,
    encoding::FUNCTIONS,
    lists::FUNCTIONS,
    logic::FUNCTIONS,
    numbers::FUNCTIONS,
    paths::FUNCTIONS,
    refused::FUNCTIONS,
    regexes::FUNCTIONS,
    strings::FUNCTIONS,
    urls::FUNCTIONS,
    versions::FUNCTIONS,
];

/// Looks a function up by its name.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    TABLES
        .iter()
        .flat_map(|table| table.iter())
        .find(|function| function.name == name)
}

/// Every name that a template can call.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLES
        .iter()
        .flat_map(|table| table.iter())
        .map(|function| function.name)
}

/// The text of an argument that was declared as one.
pub(super) fn text<'a>(value: &'a Value<'_>) -> &'a str {
    match value {
        Value::Text(text) => text,
        _ => "",
    }
}

/// The number of an argument that was declared as an int.
pub(super) fn int(value: &Value<'_>) -> i64 {
    match value {
        Value::Int(value) => *value,
        _ => 0,
    }
}

const BUILTINS: &[Function] = &[
    // `and` and `or` evaluate no more than they need: the execution knows them.
    row("and", &[Kind::Any], Some(Kind::Any), |_, args| {
        Ok(last(args))
    }),
    row("or", &[Kind::Any], Some(Kind::Any), |_, args| {
        Ok(last(args))
    }),
    row("not", &[Kind::Any], None, |_, args| {
        Ok(Value::Bool(!args[0].truth()))
    }),
    row(
        "call",
        &[Kind::Any],
        Some(Kind::Any),
        |_, args| match &args[0] {
            Value::Nil | Value::Missing => Err("call of nil".into()),
            other => Err(format!("non-function of type {}", other.type_name())),
        },
    ),
    row("html", &[], Some(Kind::Any), |_, args| {
        Ok(Value::text(html(&joined(args))))
    }),
    row("js", &[], Some(Kind::Any), |_, args| {
        Ok(Value::text(js(&joined(args))))
    }),
    row("urlquery", &[], Some(Kind::Any), |_, args| {
        Ok(Value::text(urls::query_escape(&joined(args))))
    }),
    row("print", &[], Some(Kind::Any), |_, args| {
        Ok(Value::text(format::sprint(args)))
    }),
    row("println", &[], Some(Kind::Any), |_, args| {
        Ok(Value::text(format::sprintln(args)))
    }),
    row("printf", &[Kind::Text], Some(Kind::Any), |_, args| {
        Ok(Value::text(sprintf(text(&args[0]), &args[1..])))
    }),
    row("index", &[Kind::Any], Some(Kind::Any), index),
    row("len", &[Kind::Any], None, |_, args| match args[0].len() {
        Some(length) => Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX))),
        None if args[0].is_nil() => Err("len of nil pointer".into()),
        None => Err(format!("len of type {}", args[0].type_name())),
    }),
    row("eq", &[Kind::Any], Some(Kind::Any), |_, args| {
        if args.len() < 2 {
            return Err("missing argument for comparison".into());
        }
        for other in &args[1..] {
            if equal(&args[0], other)? {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }),
    row("ne", &[Kind::Any, Kind::Any], None, |_, args| {
        Ok(Value::Bool(!equal(&args[0], &args[1])?))
    }),
    row("lt", &[Kind::Any, Kind::Any], None, |_, args| {
        Ok(Value::Bool(
            order(&args[0], &args[1])? == Some(Ordering::Less),
        ))
    }),
    row("le", &[Kind::Any, Kind::Any], None, |_, args| {
        Ok(Value::Bool(
            order(&args[0], &args[1])?.is_some_and(Ordering::is_le),
        ))
    }),
    // Go asks whether the opposite fails, which it does for what is no number.
    row("gt", &[Kind::Any, Kind::Any], None, |_, args| {
        Ok(Value::Bool(
            !order(&args[0], &args[1])?.is_some_and(Ordering::is_le),
        ))
    }),
    row("ge", &[Kind::Any, Kind::Any], None, |_, args| {
        Ok(Value::Bool(
            order(&args[0], &args[1])? != Some(Ordering::Less),
        ))
    }),
];

fn last<'d>(args: &[Value<'d>]) -> Value<'d> {
    args.last().cloned().unwrap_or(Value::Missing)
}

/// How Go groups types for comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Basic {
    Bool(bool),
    Int(i64),
    Byte(u8),
    Float(f64),
    Text,
    Other,
}

fn basic(value: &Value<'_>) -> Basic {
    match value {
        Value::Bool(value) => Basic::Bool(*value),
        Value::Int(value) | Value::Int64(value) => Basic::Int(*value),
        Value::Byte(value) => Basic::Byte(*value),
        Value::Float(value) => Basic::Float(*value),
        Value::Text(_) => Basic::Text,
        _ => Basic::Other,
    }
}

fn incompatible(left: &Value<'_>, right: &Value<'_>) -> String {
    let (left, right) = (left.type_name(), right.type_name());
    format!("incompatible types for comparison: {left} and {right}")
}

fn equal(left: &Value<'_>, right: &Value<'_>) -> Result<bool, String> {
    match (basic(left), basic(right)) {
        (Basic::Bool(left), Basic::Bool(right)) => Ok(left == right),
        (Basic::Int(left), Basic::Int(right)) => Ok(left == right),
        (Basic::Byte(left), Basic::Byte(right)) => Ok(left == right),
        (Basic::Int(int), Basic::Byte(byte)) | (Basic::Byte(byte), Basic::Int(int)) => {
            Ok(int == i64::from(byte))
        }
        (Basic::Float(left), Basic::Float(right)) => {
            Ok(left.partial_cmp(&right) == Some(Ordering::Equal))
        }
        (Basic::Text, Basic::Text) => Ok(text(left) == text(right)),
        (Basic::Other, Basic::Other) => match (left, right) {
            (Value::Time(left), Value::Time(right)) => Ok(left == right),
            _ if left.is_nil() || right.is_nil() => Ok(left.is_nil() == right.is_nil()),
            _ if left.kind_name() != right.kind_name() => Err(format!(
                "non-comparable types {}: {}, {}: {}",
                format::print(left),
                left.type_name(),
                right.type_name(),
                format::print(right)
            )),
            _ => Err(format!(
                "non-comparable type {}: {}",
                format::print(right),
                right.type_name()
            )),
        },
        _ if left.is_nil() || right.is_nil() => Ok(false),
        _ => Err(incompatible(left, right)),
    }
}

fn order(left: &Value<'_>, right: &Value<'_>) -> Result<Option<Ordering>, String> {
    const KIND: &str = "invalid type for comparison";
    match (basic(left), basic(right)) {
        (Basic::Other, _) | (_, Basic::Other) | (Basic::Bool(_), Basic::Bool(_)) => {
            Err(KIND.into())
        }
        (Basic::Int(left), Basic::Int(right)) => Ok(Some(left.cmp(&right))),
        (Basic::Byte(left), Basic::Byte(right)) => Ok(Some(left.cmp(&right))),
        (Basic::Int(left), Basic::Byte(right)) => Ok(Some(left.cmp(&i64::from(right)))),
        (Basic::Byte(left), Basic::Int(right)) => Ok(Some(i64::from(left).cmp(&right))),
        (Basic::Float(left), Basic::Float(right)) => Ok(left.partial_cmp(&right)),
        (Basic::Text, Basic::Text) => Ok(Some(text(left).cmp(text(right)))),
        _ => Err(incompatible(left, right)),
    }
}

fn index<'d>(_: &mut Work, args: &[Value<'d>]) -> Result<Value<'d>, String> {
    let mut item = args[0].clone();
    if item.is_nil() {
        return Err("index of untyped nil".into());
    }
    for index in &args[1..] {
        if item.is_nil() {
            return Err("index of nil pointer".into());
        }
        item = match item.kind_name() {
            "slice" | "string" => {
                let at = position(index, item.len().unwrap_or(0))?;
                let found = match &item {
                    Value::Text(text) => text.as_bytes().get(at).map(|byte| Value::Byte(*byte)),
                    list => list.item(at),
                };
                found.ok_or_else(|| format!("reflect: {} index out of range", item.kind_name()))?
            }
            "map" => match index {
                Value::Text(key) => item.member(key).unwrap_or(Value::Missing),
                index if index.is_nil() => {
                    return Err("value is nil; should be of type string".into());
                }
                index => {
                    return Err(format!(
                        "value has type {}; should be string",
                        index.type_name()
                    ));
                }
            },
            _ => return Err(format!("can't index item of type {}", item.type_name())),
        };
    }
    Ok(item)
}

fn position(index: &Value<'_>, length: usize) -> Result<usize, String> {
    let at = match index {
        Value::Int(at) | Value::Int64(at) => *at,
        Value::Byte(at) => i64::from(*at),
        index if index.is_nil() => return Err("cannot index slice/array with nil".into()),
        index => {
            return Err(format!(
                "cannot index slice/array with type {}",
                index.type_name()
            ));
        }
    };
    let checked = usize::try_from(at).ok().filter(|at| *at <= length);
    checked.ok_or_else(|| format!("index out of range: {at}"))
}

/// The arguments of `html`, `js` and `urlquery` as one text.
fn joined(args: &[Value<'_>]) -> String {
    match args {
        [Value::Text(text)] => text.to_string(),
        args => format::sprint(&args.iter().map(shown).collect::<Vec<_>>()),
    }
}

/// A value that is none is a text here, and so keeps no distance to its neighbours.
fn shown<'d>(value: &Value<'d>) -> Value<'d> {
    match value {
        Value::Missing | Value::Nil => Value::text("<no value>"),
        value => value.clone(),
    }
}

fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => escaped.push('\u{fffd}'),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn js(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\'' => escaped.push_str("\\'"),
            '"' => escaped.push_str("\\\""),
            '<' | '>' | '&' | '=' | '\0'..='\x1f' => {
                unicode_escape(&mut escaped, c);
            }
            c if c.is_ascii() || crate::quote::is_print(c) => escaped.push(c),
            c => unicode_escape(&mut escaped, c),
        }
    }
    escaped
}

fn unicode_escape(escaped: &mut String, c: char) {
    // Writing to a String cannot fail.
    let _ = write!(escaped, "\\u{:04X}", u32::from(c));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique() {
        let mut seen = BTreeSet::new();
        for name in names() {
            assert!(seen.insert(name), "{name} is there twice");
        }
    }
}

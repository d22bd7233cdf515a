//! sprig: lists.

use std::rc::Rc;

use super::format;
use super::functions::{Function, Kind, Work, int, row, text};
use super::numbers::to_int;
use super::value::{List, Value};

use Kind::{Any, Int, Text};

type Called<'d> = Result<Value<'d>, String>;

pub(super) const FUNCTIONS: &[Function] = &[
    row("append", &[Any, Any], None, append),
    row("chunk", &[Int, Any], None, chunk),
    row("compact", &[Any], None, compact),
    row("concat", &[], Some(Any), |work, args| {
        let mut joined = Vec::new();
        for list in args {
            let Some(items) = list.items() else {
                return Err(format!("Cannot concat type {} as list", list.kind_name()));
            };
            work.spend(items.len())?;
            joined.extend(items);
        }
        Ok(Value::list(joined))
    }),
    row("first", &[Any], None, first),
    row("has", &[Any, Any], None, has),
    row("initial", &[Any], None, initial),
    row("join", &[Text, Any], None, |_, args| {
        Ok(Value::text(to_strings(&args[1]).join(text(&args[0]))))
    }),
    row("last", &[Any], None, last),
    row("list", &[], Some(Any), |_, args| {
        Ok(Value::list(args.to_vec()))
    }),
    row("mustAppend", &[Any, Any], None, append),
    row("mustChunk", &[Int, Any], None, chunk),
    row("mustCompact", &[Any], None, compact),
    row("mustFirst", &[Any], None, first),
    row("mustHas", &[Any, Any], None, has),
    row("mustInitial", &[Any], None, initial),
    row("mustLast", &[Any], None, last),
    row("mustPrepend", &[Any, Any], None, prepend),
    row("mustPush", &[Any, Any], None, append),
    row("mustRest", &[Any], None, rest),
    row("mustReverse", &[Any], None, reverse),
    row("mustSlice", &[Any], Some(Any), slice),
    row("mustUniq", &[Any], None, uniq),
    row("mustWithout", &[Any], Some(Any), without),
    row("prepend", &[Any, Any], None, prepend),
    row("push", &[Any, Any], None, append),
    row("rest", &[Any], None, rest),
    row("reverse", &[Any], None, reverse),
    row("slice", &[Any], Some(Any), slice),
    row("sortAlpha", &[Any], None, |_, args| {
        let mut texts = match &args[0] {
            value if value.items().is_some() => to_strings(value),
            value => vec![format::print(value)],
        };
        texts.sort_unstable();
        Ok(Value::texts(texts))
    }),
    row("toStrings", &[Any], None, |_, args| {
        Ok(Value::texts(to_strings(&args[0])))
    }),
    row("tuple", &[], Some(Any), |_, args| {
        Ok(Value::list(args.to_vec()))
    }),
    row("uniq", &[Any], None, uniq),
    row("without", &[Any], Some(Any), without),
];

/// The items of a list, what is nil left out, as texts; anything else is a list of itself.
pub(super) fn to_strings(value: &Value<'_>) -> Vec<String> {
    match value.items() {
        Some(items) => items
            .iter()
            .filter(|item| !item.is_nil())
            .map(format::print)
            .collect(),
        None if value.is_nil() => Vec::new(),
        None => vec![format::print(value)],
    }
}

fn items<'d>(work: &mut Work, list: &Value<'d>, action: &str) -> Result<Vec<Value<'d>>, String> {
    let Some(items) = list.items() else {
        return Err(format!("Cannot {action} type {}", list.kind_name()));
    };
    work.spend(items.len())?;
    Ok(items)
}

fn append<'d>(work: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    let mut items = items(work, &args[0], "push on")?;
    items.push(args[1].clone());
    Ok(Value::list(items))
}

fn prepend<'d>(work: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    let mut items = items(work, &args[0], "prepend on")?;
    items.insert(0, args[1].clone());
    Ok(Value::list(items))
}

fn chunk<'d>(work: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    let items = items(work, &args[1], "chunk")?;
    match usize::try_from(int(&args[0])) {
        Ok(size) if size > 0 => {
            let chunks = items.chunks(size).map(|chunk| Value::list(chunk.to_vec()));
            Ok(Value::List(Rc::new(List {
                of: "[]interface {}",
                items: chunks.collect(),
            })))
        }
        _ => Err(format!(
            "a chunk has at least one item, not {}",
            int(&args[0])
        )),
    }
}

fn compact<'d>(work: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    let mut items = items(work, &args[0], "compact on")?;
    items.retain(Value::truth);
    Ok(Value::list(items))
}

fn first<'d>(work: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    Ok(items(work, &args[0], "find first on")?
        .into_iter()
        .next()
        .unwrap_or(Value::Nil))
}

fn last<'d>(work: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    Ok(items(work, &args[0], "find last on")?
        .pop()
        .unwrap_or(Value::Nil))
}

fn rest<'d>(work: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    Ok(Value::list(
        items(work, &args[0], "find rest on")?
            .into_iter()
            .skip(1)
            .collect(),
    ))
}

fn initial<'d>(work: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    let mut items = items(work, &args[0], "find initial on")?;
    items.pop();
    Ok(Value::list(items))
}

fn reverse<'d>(work: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    let mut items = items(work, &args[0], "find reverse on")?;
    items.reverse();
    Ok(Value::list(items))
}

fn contains(work: &mut Work, list: &[Value<'_>], wanted: &Value<'_>) -> Result<bool, String> {
    work.spend(list.len())?;
    Ok(list.iter().any(|item| wanted.deep_equal(item)))
}

fn has<'d>(work: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    if args[1].is_nil() {
        return Ok(Value::Bool(false));
    }
    let items = items(work, &args[1], "find has on")?;
    Ok(Value::Bool(contains(work, &items, &args[0])?))
}

fn uniq<'d>(work: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    let mut unique: Vec<Value<'d>> = Vec::new();
    for item in items(work, &args[0], "find uniq on")? {
        if !contains(work, &unique, &item)? {
            unique.push(item);
        }
    }
    Ok(Value::list(unique))
}

fn without<'d>(work: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    let mut kept = Vec::new();
    for item in items(work, &args[0], "find without on")? {
        if !contains(work, &args[1..], &item)? {
            kept.push(item);
        }
    }
    Ok(Value::list(kept))
}

fn slice<'d>(work: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    let Some(items) = args[0].items() else {
        return Err(format!(
            "list should be type of slice or array but {}",
            args[0].kind_name()
        ));
    };
    work.spend(items.len())?;
    if items.is_empty() {
        return Ok(Value::Nil);
    }
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let start = args.get(1).map_or(0, to_int);
    let end = args.get(2).map_or(length, to_int);
    if start < 0 || end < start || end > length {
        return Err("reflect.Value.Slice: slice index out of bounds".into());
    }
    let (start, end) = (usize::try_from(start), usize::try_from(end));
    let slice = items
        .get(start.unwrap_or(0)..end.unwrap_or(0))
        .unwrap_or_default();
    Ok(Value::list(slice.to_vec()))
}

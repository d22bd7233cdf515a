//! sprig: maps. Their keys come sorted, where Go gives them in any order.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::format;
use super::functions::{Function, Kind, Work, row, text};
use super::value::{ANY, MAX_DEPTH, Value};

use Kind::{Any, Map, Text};

type Members<'d> = BTreeMap<Rc<str>, Value<'d>>;
type Called<'d> = Result<Value<'d>, String>;

/// What a change of a map costs: maps can be put into one another without end.
const CHANGE: usize = 4096;

pub(super) const FUNCTIONS: &[Function] = &[
    row("deepCopy", &[Any], None, |work, args| {
        deep_copy(work, &args[0], 0)
    }),
    row("dict", &[], Some(Any), |work, args| {
        work.spend(CHANGE)?;
        let mut members = Members::new();
        for pair in args.chunks(2) {
            let value = pair.get(1).cloned().unwrap_or_else(|| Value::text(""));
            members.insert(format::print(&pair[0]).into(), value);
        }
        Ok(Value::map(ANY, members))
    }),
    row("dig", &[], Some(Any), dig),
    row("get", &[Map, Text], None, |_, args| {
        Ok(match args[0].member(text(&args[1])) {
            None | Some(Value::Missing) => Value::text(""),
            Some(value) => value,
        })
    }),
    row("hasKey", &[Map, Text], None, |_, args| {
        Ok(Value::Bool(has(&args[0], &args[1])))
    }),
    row("keys", &[], Some(Map), |work, args| {
        let mut keys = Vec::new();
        for map in args {
            keys.extend(members(work, map)?.into_keys());
        }
        Ok(Value::texts(keys))
    }),
    row("merge", &[Map], Some(Map), |work, args| {
        merge_all(work, args, false)
    }),
    row("mergeOverwrite", &[Map], Some(Map), |work, args| {
        merge_all(work, args, true)
    }),
    row("mustDeepCopy", &[Any], None, |work, args| {
        deep_copy(work, &args[0], 0)
    }),
    row("mustMerge", &[Map], Some(Map), |work, args| {
        merge_all(work, args, false)
    }),
    row("mustMergeOverwrite", &[Map], Some(Map), |work, args| {
        merge_all(work, args, true)
    }),
    row("omit", &[Map], Some(Text), |work, args| {
        let mut members = members(work, &args[0])?;
        members.retain(|key, _| !args[1..].iter().any(|name| text(name) == &**key));
        Ok(Value::map(ANY, members))
    }),
    row("pick", &[Map], Some(Text), |work, args| {
        let mut members = members(work, &args[0])?;
        members.retain(|key, _| args[1..].iter().any(|name| text(name) == &**key));
        Ok(Value::map(ANY, members))
    }),
    row("pluck", &[Text], Some(Map), |_, args| {
        let found = args[1..]
            .iter()
            .filter_map(|map| map.member(text(&args[0])));
        Ok(Value::list(
            found
                .filter(|value| !matches!(value, Value::Missing))
                .collect(),
        ))
    }),
    row("set", &[Map, Text, Any], None, |work, args| {
        change(work, &args[0], |members| {
            members.insert(text(&args[1]).into(), args[2].clone());
        })
    }),
    row("unset", &[Map, Text], None, |work, args| {
        change(work, &args[0], |members| {
            members.remove(text(&args[1]));
        })
    }),
    row("values", &[Map], None, |work, args| {
        Ok(Value::list(
            members(work, &args[0])?.into_values().collect(),
        ))
    }),
];

fn members<'d>(work: &mut Work, map: &Value<'d>) -> Result<Members<'d>, String> {
    let members = map.members().unwrap_or_default();
    work.spend(members.len())?;
    Ok(members)
}

fn has(map: &Value<'_>, key: &Value<'_>) -> bool {
    !matches!(map.member(text(key)), None | Some(Value::Missing))
}

/// Changes a map in place. A map of the document is not ours to change: the result is a copy.
fn change<'d>(
    work: &mut Work,
    map: &Value<'d>,
    change: impl FnOnce(&mut Members<'d>),
) -> Called<'d> {
    work.spend(CHANGE)?;
    if let Value::Map(shared) = map {
        change(&mut shared.members.borrow_mut());
        return Ok(map.clone());
    }
    let mut copy = members(work, map)?;
    change(&mut copy);
    Ok(Value::map(ANY, copy))
}

fn deep_copy<'d>(work: &mut Work, value: &Value<'d>, depth: usize) -> Called<'d> {
    if depth > MAX_DEPTH {
        return Err(format!("the value is nested deeper than {MAX_DEPTH}"));
    }
    work.spend(1)?;
    match value {
        Value::List(list) => {
            let items = list
                .items
                .iter()
                .map(|item| deep_copy(work, item, depth + 1));
            Ok(Value::list(items.collect::<Result<_, _>>()?))
        }
        Value::Map(map) => {
            let members = map.members.borrow().clone().into_iter();
            let copied =
                members.map(|(key, member)| Ok((key, deep_copy(work, &member, depth + 1)?)));
            Ok(Value::map(map.of, copied.collect::<Result<_, String>>()?))
        }
        other => Ok(other.clone()),
    }
}

fn dig<'d>(_: &mut Work, args: &[Value<'d>]) -> Called<'d> {
    let [keys @ .., default, map] = args else {
        return Err("dig needs at least three arguments".into());
    };
    if keys.is_empty() {
        return Err("dig needs at least three arguments".into());
    }
    let mut value = map.clone();
    for key in keys {
        let Value::Text(key) = key else {
            let kind = key.type_name();
            return Err(format!(
                "interface conversion: interface {{}} is {kind}, not string"
            ));
        };
        if !Map.accepts(&value) {
            let kind = value.type_name();
            return Err(format!(
                "interface conversion: interface {{}} is {kind}, not map[string]interface {{}}"
            ));
        }
        value = match value.member(key) {
            None | Some(Value::Missing) => return Ok(default.clone()),
            Some(member) => member,
        };
    }
    Ok(value)
}

fn merge_all<'d>(work: &mut Work, args: &[Value<'d>], overwrite: bool) -> Called<'d> {
    let mut merged = args[0].clone();
    for source in &args[1..] {
        merged = merge(work, &merged, source, overwrite, 0)?;
    }
    Ok(merged)
}

/// Takes over from `source` what `target` lacks or has empty, or, to overwrite, whatever `source` has.
fn merge<'d>(
    work: &mut Work,
    target: &Value<'d>,
    source: &Value<'d>,
    overwrite: bool,
    depth: usize,
) -> Called<'d> {
    if depth > MAX_DEPTH {
        return Err(format!("the value is nested deeper than {MAX_DEPTH}"));
    }
    let mut merged = members(work, target)?;
    for (key, theirs) in members(work, source)? {
        let ours = merged.get(&key);
        let value = match ours {
            Some(ours) if ours.truth() => match (ours.kind_name(), theirs.kind_name()) {
                ("map", "map") => merge(work, &ours.clone(), &theirs, overwrite, depth + 1)?,
                _ if overwrite => theirs,
                _ => continue,
            },
            _ if theirs.is_nil() && !overwrite => continue,
            _ => theirs,
        };
        merged.insert(key, value);
    }
    change(work, target, |members| *members = merged)
}

//! sprig: defaults, conditions and types.

use super::format;
use super::functions::{Function, Kind, row, text};
use super::value::Value;

use Kind::{Any, Bool, Text};

pub(super) const FUNCTIONS: &[Function] = &[
    row("all", &[], Some(Any), |_, args| {
        Ok(Value::Bool(args.iter().all(Value::truth)))
    }),
    row("any", &[], Some(Any), |_, args| {
        Ok(Value::Bool(args.iter().any(Value::truth)))
    }),
    row("coalesce", &[], Some(Any), |_, args| {
        Ok(args
            .iter()
            .find(|value| value.truth())
            .cloned()
            .unwrap_or(Value::Nil))
    }),
    row("deepEqual", &[Any, Any], None, |_, args| {
        Ok(Value::Bool(args[0].deep_equal(&args[1])))
    }),
    row("default", &[Any], Some(Any), |_, args| {
        Ok(args
            .get(1)
            .filter(|given| given.truth())
            .unwrap_or(&args[0])
            .clone())
    }),
    row("empty", &[Any], None, |_, args| {
        Ok(Value::Bool(!args[0].truth()))
    }),
    row("fail", &[Text], None, |_, args| {
        Err(text(&args[0]).to_owned())
    }),
    row("hello", &[], None, |_, _| Ok(Value::text("Hello!"))),
    row("kindIs", &[Text, Any], None, |_, args| {
        Ok(Value::Bool(args[1].kind_name() == text(&args[0])))
    }),
    row("kindOf", &[Any], None, |_, args| {
        Ok(Value::text(args[0].kind_name()))
    }),
    row("ternary", &[Any, Any, Bool], None, |_, args| {
        Ok(args[usize::from(!args[2].truth())].clone())
    }),
    row("toString", &[Any], None, |_, args| {
        Ok(Value::text(format::print(&args[0])))
    }),
    row("typeIs", &[Text, Any], None, |_, args| {
        Ok(Value::Bool(args[1].type_name() == text(&args[0])))
    }),
    row("typeIsLike", &[Text, Any], None, |_, args| {
        let (wanted, found) = (text(&args[0]), args[1].type_name());
        Ok(Value::Bool(
            wanted == found || format!("*{wanted}") == found,
        ))
    }),
    row("typeOf", &[Any], None, |_, args| {
        Ok(Value::text(args[0].type_name()))
    }),
];

//! Function calls: arguments are evaluated for the parameter they stand for, and nothing is converted.

use super::exec::{Evaluated, STEP, State};
use super::functions::{Function, Kind};
use super::tree::{Expression, Span, Term};
use super::value::Value;

impl<'t, 'd> State<'t, 'd> {
    /// Calls a function with its arguments; `last` is what the command before gave.
    pub(super) fn call(
        &mut self,
        dot: &Value<'d>,
        function: &'static Function,
        span: Span,
        arguments: &'t [Expression],
        last: Option<Value<'d>>,
    ) -> Evaluated<'d> {
        let name = function.name;
        let given = arguments.len() + usize::from(last.is_some());
        let wanted = function.fixed.len();
        if given < wanted && function.rest.is_some() {
            let got = arguments.len();
            return self.fail(format!(
                "wrong number of args for {name}: want at least {wanted} got {got}"
            ));
        }
        if function.rest.is_none() && given != wanted {
            return self.fail(format!(
                "wrong number of args for {name}: want {wanted} got {given}"
            ));
        }
        if name == "and" || name == "or" {
            return self.junction(dot, name == "or", arguments, last);
        }
        let mut values = Vec::with_capacity(given);
        for (index, argument) in arguments.iter().enumerate() {
            let kind = function.fixed.get(index).copied().or(function.rest);
            values.push(self.argument(dot, kind.unwrap_or(Kind::Any), argument)?);
        }
        if let Some(last) = last {
            let kind = function.fixed.get(values.len()).copied().or(function.rest);
            values.push(self.checked(last, kind.unwrap_or(Kind::Any))?);
        }
        self.spend(STEP * (1 + given))?;
        let result = (function.call)(&mut self.work, &values);
        let result = result.or_else(|message| {
            self.at = Some(span);
            self.fail(format!("error calling {name}: {message}"))
        })?;
        self.spend(result.len().unwrap_or(0))?;
        Ok(result)
    }

    /// `and` and `or`: the first argument that decides, and no argument behind it.
    fn junction(
        &mut self,
        dot: &Value<'d>,
        or: bool,
        arguments: &'t [Expression],
        last: Option<Value<'d>>,
    ) -> Evaluated<'d> {
        let mut value = Value::Missing;
        for argument in arguments {
            value = self.argument(dot, Kind::Any, argument)?;
            if value.truth() == or {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    fn argument(&mut self, dot: &Value<'d>, kind: Kind, argument: &'t Expression) -> Evaluated<'d> {
        self.at = Some(argument.span);
        let found = || &self.text[argument.span.start..argument.span.end];
        let expected = |what: &str| self.fail(format!("expected {what}; found {}", found()));
        match (&argument.kind, kind) {
            (Term::Nil, Kind::Any | Kind::Map) => Ok(Value::Nil),
            (Term::Nil, kind) => self.fail(format!("cannot assign nil to {}", kind.go_name())),
            (Term::Bool(_) | Term::Number(_) | Term::Text(_), Kind::Any) => {
                self.term(dot, argument)
            }
            (Term::Bool(value), Kind::Bool) => Ok(Value::Bool(*value)),
            (Term::Text(text), Kind::Text) => Ok(Value::text(text)),
            (Term::Number(number), Kind::Int) => match number.int {
                Some(int) => Ok(Value::Int(int)),
                None => expected("integer"),
            },
            (Term::Number(number), Kind::Float) => Ok(Value::Float(number.float)),
            (Term::Bool(_) | Term::Number(_) | Term::Text(_), kind) => match kind {
                Kind::Text => expected("string"),
                Kind::Int => expected("integer"),
                Kind::Float => expected("float"),
                Kind::Bool => expected("bool"),
                kind => {
                    let (found, kind) = (found(), kind.go_name());
                    self.fail(format!("can't handle {found} for arg of type {kind}"))
                }
            },
            _ => {
                let value = self.term(dot, argument)?;
                self.checked(value, kind)
            }
        }
    }

    /// Takes a value for a parameter: nothing is converted.
    fn checked(&mut self, value: Value<'d>, kind: Kind) -> Evaluated<'d> {
        match value {
            Value::Missing | Value::Nil if matches!(kind, Kind::Any | Kind::Map) => Ok(Value::Nil),
            Value::Missing | Value::Nil => {
                self.fail(format!("invalid value; expected {}", kind.go_name()))
            }
            value if kind.accepts(&value) => Ok(value),
            value => {
                let (kind, got) = (kind.go_name(), value.type_name());
                self.fail(format!("wrong type for value; expected {kind}; got {got}"))
            }
        }
    }
}

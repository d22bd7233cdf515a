//! Executes a parsed template, step for step as Go does.

use crate::quote::quote;

use super::functions::Work;
use super::tree::{Command, Control, Expression, Node, Pipe, Span, Term, Trees};
use super::value::{Document, Value, View};
use super::{TemplateError, format};

/// Templates that call one another.
const MAX_DEPTH: usize = 50;
/// What a step costs, beside the bytes and items that it makes.
pub(super) const STEP: usize = 8;

/// Why execution left a list of nodes early.
pub(super) enum Stop {
    Failed(TemplateError),
    Break,
    Continue,
}

pub(super) type Evaluated<'d> = Result<Value<'d>, Stop>;

/// Renders the template called `name` with `dot`.
pub(super) fn execute(
    name: &str,
    text: &str,
    trees: &Trees,
    dot: &Value<'_>,
    limit: usize,
) -> Result<String, TemplateError> {
    let mut state = State {
        file: name,
        text,
        trees,
        template: name,
        at: None,
        variables: vec![("$", dot.clone())],
        depth: 0,
        out: String::new(),
        work: Work::new(limit),
    };
    let nodes = trees.get(name).map(Vec::as_slice).unwrap_or_default();
    match state.walk_all(dot, nodes) {
        Err(Stop::Failed(error)) => Err(error),
        // The parser lets no break or continue stand outside a range.
        _ => Ok(state.out),
    }
}

pub(super) struct State<'t, 'd> {
    file: &'t str,
    pub(super) text: &'t str,
    trees: &'t Trees,
    /// The template under way.
    template: &'t str,
    /// What was evaluated last: errors name it.
    pub(super) at: Option<Span>,
    variables: Vec<(&'t str, Value<'d>)>,
    depth: usize,
    out: String,
    pub(super) work: Work,
}

impl<'t, 'd> State<'t, 'd> {
    pub(super) fn fail<T>(&self, message: impl AsRef<str>) -> Result<T, Stop> {
        let message = message.as_ref();
        let text = match self.at {
            None => format!("template: {}: {message}", self.file),
            Some(span) => {
                let before = &self.text[..span.at];
                let line = before.matches('\n').count() + 1;
                let column = before.len() - before.rfind('\n').map_or(0, |end| end + 1);
                let context = &self.text[span.start..span.end];
                let (file, template) = (self.file, quote(self.template));
                format!(
                    "template: {file}:{line}:{column}: executing {template} at <{context}>: {message}"
                )
            }
        };
        Err(Stop::Failed(TemplateError::new(text)))
    }

    pub(super) fn spend(&mut self, cost: usize) -> Result<(), Stop> {
        self.work.spend(cost).or_else(|message| self.fail(message))
    }

    fn write(&mut self, text: &str) -> Result<(), Stop> {
        self.spend(text.len())?;
        self.out.push_str(text);
        Ok(())
    }

    fn walk_all(&mut self, dot: &Value<'d>, nodes: &'t [Node]) -> Result<(), Stop> {
        nodes.iter().try_for_each(|node| self.walk(dot, node))
    }

    fn walk(&mut self, dot: &Value<'d>, node: &'t Node) -> Result<(), Stop> {
        self.spend(STEP)?;
        match node {
            Node::Text(text) => self.write(text),
            Node::Action(pipe) => {
                let value = self.pipe(dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.write(&format::print_action(&value))?;
                }
                Ok(())
            }
            Node::If(control) | Node::With(control) => {
                let mark = self.variables.len();
                let value = self.pipe(dot, &control.pipe)?;
                let walked = if !value.truth() {
                    self.walk_all(dot, &control.otherwise)
                } else if matches!(node, Node::With(_)) {
                    self.walk_all(&value, &control.body)
                } else {
                    self.walk_all(dot, &control.body)
                };
                self.variables.truncate(mark);
                walked
            }
            Node::Range(control) => {
                let mark = self.variables.len();
                let walked = self.range(dot, control);
                self.variables.truncate(mark);
                walked
            }
            Node::Template { span, name, pipe } => self.template(dot, *span, name, pipe.as_ref()),
            Node::Break => Err(Stop::Break),
            Node::Continue => Err(Stop::Continue),
        }
    }

    fn template(
        &mut self,
        dot: &Value<'d>,
        span: Span,
        name: &'t str,
        pipe: Option<&'t Pipe>,
    ) -> Result<(), Stop> {
        self.at = Some(span);
        let Some((name, nodes)) = self.trees.get_key_value(name) else {
            return self.fail(format!("template {} not defined", quote(name)));
        };
        if self.depth == MAX_DEPTH {
            return self.fail(format!("exceeded maximum template depth ({MAX_DEPTH})"));
        }
        let dot = match pipe {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Value::Missing,
        };
        let variables = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        let caller = std::mem::replace(&mut self.template, name);
        self.depth += 1;
        let walked = self.walk_all(&dot, nodes);
        self.depth -= 1;
        self.template = caller;
        self.variables = variables;
        walked
    }

    fn range(&mut self, dot: &Value<'d>, control: &'t Control) -> Result<(), Stop> {
        let value = self.pipe(dot, &control.pipe)?;
        let mark = self.variables.len();
        let mut empty = true;
        let several = control.pipe.variables.len() > 1;
        match (value.kind_name(), &value) {
            ("int" | "int64" | "uint8", number) => {
                if several {
                    let number = format::print(number);
                    return self.fail(format!(
                        "can't use {number} to iterate over more than one variable"
                    ));
                }
                let (count, of): (i64, fn(i64) -> Value<'d>) = match number {
                    Value::Int64(count) => (*count, Value::Int64),
                    Value::Byte(count) => ((*count).into(), Value::Int),
                    Value::Int(count) => (*count, Value::Int),
                    _ => (0, Value::Int),
                };
                for number in 0..count {
                    empty = false;
                    if !self.iteration(control, mark, Value::Missing, &of(number))? {
                        break;
                    }
                }
            }
            ("slice", list) => {
                let length = list.len().unwrap_or(0);
                for index in 0..length {
                    empty = false;
                    let item = list.item(index).unwrap_or(Value::Missing);
                    let index = Value::Int(i64::try_from(index).unwrap_or(i64::MAX));
                    if !self.iteration(control, mark, index, &item)? {
                        break;
                    }
                }
            }
            ("map", map) => {
                for (key, member) in map.members().unwrap_or_default() {
                    empty = false;
                    if !self.iteration(control, mark, Value::Text(key), &member)? {
                        break;
                    }
                }
            }
            ("invalid", _) => {}
            (_, other) => {
                let other = format::print(other);
                return self.fail(format!("range can't iterate over {other}"));
            }
        }
        if empty {
            self.walk_all(dot, &control.otherwise)
        } else {
            Ok(())
        }
    }

    /// Runs the body once; false when it broke off.
    fn iteration(
        &mut self,
        control: &'t Control,
        mark: usize,
        index: Value<'d>,
        item: &Value<'d>,
    ) -> Result<bool, Stop> {
        self.spend(STEP)?;
        let names = &control.pipe.variables;
        if control.pipe.assigns {
            match &names[..] {
                [item_name] => self.assign(item_name, item.clone())?,
                [index_name, item_name, ..] => {
                    self.assign(index_name, index)?;
                    self.assign(item_name, item.clone())?;
                }
                [] => {}
            }
        } else {
            // The pipeline has declared them; they are the topmost.
            let top = self.variables.len();
            if !names.is_empty() {
                self.variables[top - 1].1 = item.clone();
            }
            if names.len() > 1 {
                self.variables[top - 2].1 = index;
            }
        }
        let walked = self.walk_all(item, &control.body);
        self.variables.truncate(mark);
        match walked {
            Err(Stop::Break) => Ok(false),
            Ok(()) | Err(Stop::Continue) => Ok(true),
            Err(stop) => Err(stop),
        }
    }

    fn assign(&mut self, name: &str, value: Value<'d>) -> Result<(), Stop> {
        match self
            .variables
            .iter_mut()
            .rev()
            .find(|(there, _)| *there == name)
        {
            Some(variable) => {
                variable.1 = value;
                Ok(())
            }
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    fn pipe(&mut self, dot: &Value<'d>, pipe: &'t Pipe) -> Evaluated<'d> {
        self.at = Some(pipe.span);
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?.unwrapped());
        }
        let value = value.unwrap_or(Value::Missing);
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(name, value.clone())?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    /// Evaluates a command; `last` is what the command before it gave, this one's last argument.
    fn command(
        &mut self,
        dot: &Value<'d>,
        command: &'t Command,
        last: Option<Value<'d>>,
    ) -> Evaluated<'d> {
        let first = &command.arguments[0];
        let has_arguments = command.arguments.len() > 1 || last.is_some();
        match &first.kind {
            Term::Function(function) => {
                self.at = Some(first.span);
                self.call(dot, function, command.span, &command.arguments[1..], last)
            }
            Term::Field(_) | Term::Chain(..) => self.fields(dot, first, has_arguments),
            Term::Variable(_, fields) if !fields.is_empty() => {
                self.fields(dot, first, has_arguments)
            }
            kind => {
                if !matches!(kind, Term::Pipe(_)) {
                    self.at = Some(first.span);
                }
                if has_arguments {
                    let shown = &self.text[first.span.start..first.span.end];
                    return self.fail(format!("can't give argument to non-function {shown}"));
                }
                match kind {
                    Term::Nil => self.fail("nil is not a command"),
                    _ => self.term(dot, first),
                }
            }
        }
    }

    /// Evaluates a term for a place that takes anything.
    pub(super) fn term(&mut self, dot: &Value<'d>, term: &'t Expression) -> Evaluated<'d> {
        match &term.kind {
            Term::Pipe(pipe) => return self.pipe(dot, pipe),
            _ => self.at = Some(term.span),
        }
        match &term.kind {
            Term::Dot => Ok(dot.clone()),
            Term::Nil => Ok(Value::Nil),
            Term::Bool(value) => Ok(Value::Bool(*value)),
            Term::Number(number) => Ok(match number.int.filter(|_| !number.is_float) {
                Some(int) => Value::Int(int),
                None => Value::Float(number.float),
            }),
            Term::Text(text) => Ok(Value::text(text)),
            Term::Function(function) => self.call(dot, function, term.span, &[], None),
            _ => self.fields(dot, term, false),
        }
    }

    /// Evaluates `.a.b`, `$x.a` and `(…).a`.
    fn fields(
        &mut self,
        dot: &Value<'d>,
        term: &'t Expression,
        has_arguments: bool,
    ) -> Evaluated<'d> {
        self.at = Some(term.span);
        let (mut value, fields) = match &term.kind {
            Term::Field(fields) => (dot.clone(), fields),
            Term::Variable(name, fields) => {
                let found = self.variables.iter().rev().find(|(there, _)| there == name);
                let Some((_, value)) = found else {
                    return self.fail(format!("undefined variable: {name}"));
                };
                (value.clone(), fields)
            }
            Term::Chain(inner, fields) => {
                if matches!(inner.kind, Term::Nil) {
                    return self.fail("indirection through explicit nil");
                }
                (self.term(dot, inner)?, fields)
            }
            _ => return self.fail("not a field"),
        };
        self.spend(STEP * fields.len())?;
        let mut boxed = false;
        for (index, field) in fields.iter().enumerate() {
            let arguments = has_arguments && index + 1 == fields.len();
            value = self.field(&value, field, boxed, arguments)?;
            boxed = true;
        }
        Ok(value)
    }

    fn field(
        &mut self,
        value: &Value<'d>,
        field: &str,
        boxed: bool,
        has_arguments: bool,
    ) -> Evaluated<'d> {
        let shown = || {
            if boxed {
                super::value::ANY.to_owned()
            } else {
                value.type_name()
            }
        };
        let structure = matches!(
            value,
            Value::Document(Document {
                view: View::Struct,
                ..
            })
        );
        match value {
            Value::Missing => return Ok(Value::Missing),
            Value::Nil => {
                return self.fail(format!(
                    "nil pointer evaluating {}.{field}",
                    super::value::ANY
                ));
            }
            _ => {}
        }
        match value.member(field) {
            Some(Value::Missing) if structure => {}
            Some(_) if has_arguments => {
                return self.fail(format!("{field} is not a method but has arguments"));
            }
            Some(member) => return Ok(member),
            None => {}
        }
        let kind = shown();
        self.fail(format!("can't evaluate field {field} in type {kind}"))
    }
}

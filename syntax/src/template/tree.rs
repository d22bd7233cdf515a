//! A parsed template.

use std::collections::BTreeMap;

use super::functions::Function;

/// Where a node stands: the byte that Go names in errors, and the text it quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) at: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Control),
    With(Control),
    Range(Control),
    Template {
        span: Span,
        name: String,
        pipe: Option<Pipe>,
    },
    Break,
    Continue,
}

#[derive(Debug)]
pub(super) struct Control {
    pub(super) pipe: Pipe,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// `$a, $b := command | command`
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) span: Span,
    pub(super) variables: Vec<String>,
    /// `=` rather than `:=`.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

#[derive(Debug)]
pub(super) struct Command {
    pub(super) span: Span,
    /// At least one.
    pub(super) arguments: Vec<Expression>,
}

#[derive(Debug)]
pub(super) struct Expression {
    pub(super) span: Span,
    pub(super) kind: Term,
}

#[derive(Debug)]
pub(super) enum Term {
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    Text(String),
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Chain(Box<Expression>, Vec<String>),
    Function(&'static Function),
    Pipe(Box<Pipe>),
}

/// A number as the place it stands in wants it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number {
    pub(super) int: Option<i64>,
    pub(super) float: f64,
    /// Written as a float, `1.0` or `1e3`.
    pub(super) is_float: bool,
}

/// The named templates of a text. The text itself has the name it was given.
pub(super) type Trees = BTreeMap<String, Vec<Node>>;

//! From tokens to a tree, with Go's complaints.

use crate::quote::{quote, unquote};

use super::TemplateError;
use super::constants::number;
use super::functions;
use super::lexer::{Kind, Token, lex};
use super::tree::{Command, Control, Expression, Node, Pipe, Span, Term, Trees};

/// Nested controls and parentheses: the stack of whoever renders must hold them.
const MAX_NESTING: usize = 100;

/// Parses a template.
pub(super) fn parse(name: &str, text: &str) -> Result<Trees, TemplateError> {
    let mut parser = Parser {
        name,
        text,
        tokens: lex(text),
        next: 0,
        furthest: 0,
        nesting: 0,
        ranges: 0,
        action_line: None,
        variables: vec!["$".into()],
        trees: Trees::new(),
    };
    let mut root = Vec::new();
    while parser.peek().kind != Kind::End {
        if parser.peek().kind == Kind::LeftDelim {
            let start = parser.next;
            parser.advance();
            if parser.next_non_space().is_keyword("define") {
                parser.definition()?;
                continue;
            }
            parser.next = start;
        }
        match parser.text_or_action()? {
            Parsed::Node(node) => root.push(node),
            Parsed::End => return parser.fail("unexpected {{end}}"),
            Parsed::Else => return parser.fail("unexpected {{else}}"),
        }
    }
    parser.add(name.to_owned(), root)?;
    Ok(parser.trees)
}

enum Parsed {
    Node(Node),
    End,
    Else,
}

struct Parser<'a> {
    name: &'a str,
    text: &'a str,
    tokens: Vec<Token<'a>>,
    next: usize,
    /// The last token looked at: its line is the line of an error.
    furthest: usize,
    nesting: usize,
    ranges: usize,
    action_line: Option<usize>,
    variables: Vec<String>,
    trees: Trees,
}

type Parsing<T> = Result<T, TemplateError>;

impl<'a> Parser<'a> {
    fn peek(&mut self) -> Token<'a> {
        // The last token is an end or an error, and stays.
        let last = self.tokens.len() - 1;
        let index = self.next.min(last);
        self.furthest = self.furthest.max(index);
        self.tokens[index].clone()
    }

    fn advance(&mut self) -> Token<'a> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn next_non_space(&mut self) -> Token<'a> {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
        self.advance()
    }

    fn peek_non_space(&mut self) -> Token<'a> {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
        self.peek()
    }

    /// The end of the token consumed last.
    fn end(&self) -> usize {
        let index = self.next.saturating_sub(1).min(self.tokens.len() - 1);
        let token = &self.tokens[index];
        token.start + token.text.len()
    }

    fn fail<T>(&self, message: impl AsRef<str>) -> Parsing<T> {
        let line = self.tokens[self.furthest].line;
        Err(TemplateError::new(format!(
            "template: {}:{line}: {}",
            self.name,
            message.as_ref()
        )))
    }

    fn unexpected<T>(&self, token: &Token<'_>, context: &str) -> Parsing<T> {
        let shown = match token.kind {
            Kind::End => "EOF".to_owned(),
            Kind::Error => {
                let started = self.action_line.filter(|line| *line != token.line);
                let started = started.map_or(String::new(), |line| {
                    let action = if token.text.ends_with(" action") {
                        ""
                    } else {
                        " in action"
                    };
                    format!("{action} started at {}:{line}", self.name)
                });
                return self.fail(format!("{}{started}", token.text));
            }
            Kind::Keyword | Kind::Dot | Kind::Nil => format!("<{}>", token.text),
            _ if token.text.len() > 10 => {
                let start: String = token.text.chars().take(10).collect();
                format!("{}...", quote(&start))
            }
            _ => quote(&token.text),
        };
        self.fail(format!("unexpected {shown} in {context}"))
    }

    fn expect_end(&mut self, context: &str) -> Parsing<()> {
        let token = self.next_non_space();
        match token.kind {
            Kind::RightDelim => Ok(()),
            _ => self.unexpected(&token, context),
        }
    }

    fn add(&mut self, name: String, tree: Vec<Node>) -> Parsing<()> {
        let empty = |tree: &[Node]| {
            tree.iter()
                .all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
        };
        match self.trees.get(&name) {
            Some(there) if !empty(there) => {
                if empty(&tree) {
                    return Ok(());
                }
                let name = quote(&name);
                self.fail(format!("template: multiple definition of template {name}"))
            }
            _ => {
                self.trees.insert(name, tree);
                Ok(())
            }
        }
    }

    fn definition(&mut self) -> Parsing<()> {
        const CONTEXT: &str = "define clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        self.expect_end(CONTEXT)?;
        let body = self.own_tree(CONTEXT)?;
        self.add(name, body)
    }

    /// The body of a `define` or a `block`: a template of its own, with variables of its own.
    fn own_tree(&mut self, context: &str) -> Parsing<Vec<Node>> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (body, end) = self.items()?;
        if matches!(end, Parsed::Else) {
            return self.fail(format!("unexpected {{{{else}}}} in {context}"));
        }
        self.variables = variables;
        self.ranges = ranges;
        Ok(body)
    }

    fn template_name(&self, token: &Token<'_>, context: &str) -> Parsing<String> {
        match token.kind {
            Kind::String | Kind::RawString => self.string(token),
            _ => self.unexpected(token, context),
        }
    }

    fn string(&self, token: &Token<'_>) -> Parsing<String> {
        let inside = &token.text[1..token.text.len() - 1];
        if token.kind == Kind::RawString {
            return Ok(inside.replace('\r', ""));
        }
        unquote(inside, '"').map_or_else(|| self.fail("invalid syntax"), Ok)
    }

    fn items(&mut self) -> Parsing<(Vec<Node>, Parsed)> {
        if self.nesting >= MAX_NESTING {
            return self.fail(format!("more than {MAX_NESTING} nested actions"));
        }
        self.nesting += 1;
        let mut nodes = Vec::new();
        while self.peek_non_space().kind != Kind::End {
            match self.text_or_action()? {
                Parsed::Node(node) => nodes.push(node),
                end => {
                    self.nesting -= 1;
                    return Ok((nodes, end));
                }
            }
        }
        self.fail("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Parsing<Parsed> {
        let token = self.next_non_space();
        match token.kind {
            Kind::Text => Ok(Parsed::Node(Node::Text(token.text.into_owned()))),
            Kind::LeftDelim => {
                self.action_line = Some(token.line);
                let parsed = self.action();
                self.action_line = None;
                parsed
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Parsing<Parsed> {
        let before = self.next;
        let token = self.next_non_space();
        let node = match (token.kind, token.text.as_ref()) {
            (Kind::Keyword, "block") => self.block()?,
            (Kind::Keyword, word @ ("break" | "continue")) => {
                let token = self.next_non_space();
                if token.kind != Kind::RightDelim {
                    return self.unexpected(&token, &format!("{{{{{word}}}}}"));
                }
                if self.ranges == 0 {
                    return self.fail(format!("{{{{{word}}}}} outside {{{{range}}}}"));
                }
                if word == "break" {
                    Node::Break
                } else {
                    Node::Continue
                }
            }
            (Kind::Keyword, "else") => {
                let token = self.peek_non_space();
                if !token.is_keyword("if") && !token.is_keyword("with") {
                    self.expect_end("else")?;
                }
                return Ok(Parsed::Else);
            }
            (Kind::Keyword, "end") => {
                self.expect_end("end")?;
                return Ok(Parsed::End);
            }
            (Kind::Keyword, "if") => Node::If(self.control("if")?),
            (Kind::Keyword, "with") => Node::With(self.control("with")?),
            (Kind::Keyword, "range") => Node::Range(self.control("range")?),
            (Kind::Keyword, "template") => self.template()?,
            _ => {
                self.next = before;
                Node::Action(self.pipeline("command", Kind::RightDelim)?)
            }
        };
        Ok(Parsed::Node(node))
    }

    fn control(&mut self, context: &str) -> Parsing<Control> {
        let variables = self.variables.len();
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        let range = usize::from(context == "range");
        self.ranges += range;
        let (body, end) = self.items()?;
        self.ranges -= range;
        let mut otherwise = Vec::new();
        if matches!(end, Parsed::Else) {
            let next = self.peek();
            if next.is_keyword(context) && context != "range" {
                self.advance();
                if self.nesting >= MAX_NESTING {
                    return self.fail(format!("more than {MAX_NESTING} nested actions"));
                }
                self.nesting += 1;
                let control = self.control(context)?;
                self.nesting -= 1;
                otherwise.push(if context == "if" {
                    Node::If(control)
                } else {
                    Node::With(control)
                });
            } else {
                let (list, end) = self.items()?;
                if matches!(end, Parsed::Else) {
                    return self.fail("expected end; found {{else}}");
                }
                otherwise = list;
            }
        }
        self.variables.truncate(variables);
        Ok(Control {
            pipe,
            body,
            otherwise,
        })
    }

    fn block(&mut self) -> Parsing<Node> {
        const CONTEXT: &str = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelim)?;
        let span = Span {
            at: token.start,
            start: token.start,
            end: pipe.span.end,
        };
        let body = self.own_tree(CONTEXT)?;
        self.add(name.clone(), body)?;
        Ok(Node::Template {
            span,
            name,
            pipe: Some(pipe),
        })
    }

    fn template(&mut self) -> Parsing<Node> {
        const CONTEXT: &str = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = if self.peek_non_space().kind == Kind::RightDelim {
            self.advance();
            None
        } else {
            Some(self.pipeline(CONTEXT, Kind::RightDelim)?)
        };
        // Go quotes the whole action here.
        let before = self.text[..token.start]
            .rfind(super::lexer::LEFT)
            .unwrap_or(token.start);
        let span = Span {
            at: token.start,
            start: before,
            end: self.end(),
        };
        Ok(Node::Template { span, name, pipe })
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Parsing<Pipe> {
        let start = self.peek_non_space().start;
        let (variables, assigns) = self.declarations(context)?;
        let mut commands: Vec<Command> = Vec::new();
        let last = loop {
            let token = self.peek_non_space();
            match token.kind {
                kind if kind == end => break self.end(),
                Kind::Bool
                | Kind::CharConstant
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => commands.push(self.command()?),
                _ => return self.unexpected(&token, context),
            }
        };
        self.advance();
        if commands.is_empty() {
            return self.fail(format!("missing value for {context}"));
        }
        for (index, command) in commands.iter().enumerate().skip(1) {
            let first = &command.arguments[0].kind;
            if matches!(
                first,
                Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(_) | Term::Text(_)
            ) {
                let stage = index + 1;
                return self.fail(format!("non executable command in pipeline stage {stage}"));
            }
        }
        let end = self.text[..last].trim_end().len();
        Ok(Pipe {
            span: Span {
                at: start,
                start,
                end,
            },
            variables,
            assigns,
            commands,
        })
    }

    /// `$a :=`, `$a =`, and in a range `$a, $b :=`.
    fn declarations(&mut self, context: &str) -> Parsing<(Vec<String>, bool)> {
        let mut variables = Vec::new();
        loop {
            let token = self.peek_non_space();
            if token.kind != Kind::Variable {
                return Ok((variables, false));
            }
            let before = self.next;
            self.advance();
            let next = self.peek_non_space();
            let comma = next.kind == Kind::Char && next.text == ",";
            if !comma && !matches!(next.kind, Kind::Assign | Kind::Declare) {
                self.next = before;
                return Ok((variables, false));
            }
            self.advance();
            variables.push(token.text.to_string());
            self.variables.push(token.text.into_owned());
            if !comma {
                return Ok((variables, next.kind == Kind::Assign));
            }
            if context != "range" || variables.len() > 1 {
                return self.fail(format!("too many declarations in {context}"));
            }
            let after = self.peek_non_space().kind;
            if !matches!(after, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                return self.fail("range can only initialize variables");
            }
        }
    }

    fn command(&mut self) -> Parsing<Command> {
        let start = self.peek_non_space().start;
        let mut arguments = Vec::new();
        let mut end = start;
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                // With the parenthesis that the operand's own span leaves out.
                end = self.end();
                arguments.push(operand);
            }
            let token = self.advance();
            match token.kind {
                Kind::Space => {}
                Kind::RightDelim | Kind::RightParen => {
                    self.next -= 1;
                    break;
                }
                Kind::Pipe => break,
                _ => return self.unexpected(&token, "operand"),
            }
        }
        if arguments.is_empty() {
            return self.fail("empty command");
        }
        Ok(Command {
            span: Span {
                at: start,
                start,
                end,
            },
            arguments,
        })
    }

    fn operand(&mut self) -> Parsing<Option<Expression>> {
        let start = self.peek_non_space().start;
        let Some(mut term) = self.term()? else {
            return Ok(None);
        };
        if self.peek().kind != Kind::Field {
            return Ok(Some(term));
        }
        let at = self.peek().start;
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(self.advance().text[1..].to_owned());
        }
        let span = Span {
            at,
            start,
            end: self.end(),
        };
        let kind = match &mut term.kind {
            Term::Field(names) | Term::Variable(_, names) => {
                names.append(&mut fields);
                term.kind
            }
            Term::Bool(_) | Term::Text(_) | Term::Number(_) | Term::Nil | Term::Dot => {
                let shown = quote(&self.text[start..term.span.end]);
                return self.fail(format!("unexpected . after term {shown}"));
            }
            _ => Term::Chain(Box::new(term), fields),
        };
        Ok(Some(Expression { span, kind }))
    }

    fn term(&mut self) -> Parsing<Option<Expression>> {
        let before = self.next;
        let token = self.next_non_space();
        let kind = match token.kind {
            Kind::Identifier => {
                let Some(function) = functions::find(&token.text) else {
                    let name = quote(&token.text);
                    return self.fail(format!("function {name} not defined"));
                };
                Term::Function(function)
            }
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Variable => {
                if !self.variables.iter().any(|name| *name == token.text) {
                    let name = quote(&token.text);
                    return self.fail(format!("undefined variable {name}"));
                }
                Term::Variable(token.text.to_string(), Vec::new())
            }
            Kind::Field => Term::Field(vec![token.text[1..].to_owned()]),
            Kind::Bool => Term::Bool(token.text == "true"),
            Kind::CharConstant | Kind::Number => match number(&token) {
                Ok(number) => Term::Number(number),
                Err(message) => return self.fail(message),
            },
            Kind::LeftParen => {
                if self.nesting >= MAX_NESTING {
                    return self.fail("max expression depth exceeded");
                }
                self.nesting += 1;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.nesting -= 1;
                Term::Pipe(Box::new(pipe))
            }
            Kind::String | Kind::RawString => Term::Text(self.string(&token)?),
            _ => {
                self.next = before;
                return Ok(None);
            }
        };
        // Go names the first token inside the parentheses.
        let at = match &kind {
            Term::Pipe(pipe) => pipe.span.at,
            _ => token.start,
        };
        let (start, end) = match &kind {
            Term::Pipe(pipe) => (pipe.span.start, pipe.span.end),
            _ => (token.start, self.end()),
        };
        Ok(Some(Expression {
            span: Span { at, start, end },
            kind,
        }))
    }
}

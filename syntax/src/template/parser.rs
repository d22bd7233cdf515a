//! From tokens to a tree, with Go's complaints.

use crate::quote::{quote, unquote};

use super::TemplateError;
use super::lexer::{Kind, Token, lex};
use super::tree::{Control, Node, Span, Trees};

/// Nested controls and parentheses: the stack of whoever renders must hold them.
pub(super) const MAX_NESTING: usize = 100;

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

pub(super) struct Parser<'a> {
    name: &'a str,
    pub(super) text: &'a str,
    tokens: Vec<Token<'a>>,
    pub(super) next: usize,
    /// The last token looked at: its line is the line of an error.
    furthest: usize,
    pub(super) nesting: usize,
    ranges: usize,
    action_line: Option<usize>,
    pub(super) variables: Vec<String>,
    trees: Trees,
}

pub(super) type Parsing<T> = Result<T, TemplateError>;

impl<'a> Parser<'a> {
    pub(super) fn peek(&mut self) -> Token<'a> {
        // The last token is an end or an error, and stays.
        let last = self.tokens.len() - 1;
        let index = self.next.min(last);
        self.furthest = self.furthest.max(index);
        self.tokens[index].clone()
    }

    pub(super) fn advance(&mut self) -> Token<'a> {
        let token = self.peek();
        self.next += 1;
        token
    }

    pub(super) fn next_non_space(&mut self) -> Token<'a> {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
        self.advance()
    }

    pub(super) fn peek_non_space(&mut self) -> Token<'a> {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
        self.peek()
    }

    /// The end of the token consumed last.
    pub(super) fn end(&self) -> usize {
        let index = self.next.saturating_sub(1).min(self.tokens.len() - 1);
        let token = &self.tokens[index];
        token.start + token.text.len()
    }

    pub(super) fn fail<T>(&self, message: impl AsRef<str>) -> Parsing<T> {
        let line = self.tokens[self.furthest].line;
        Err(TemplateError::new(format!(
            "template: {}:{line}: {}",
            self.name,
            message.as_ref()
        )))
    }

    pub(super) fn unexpected<T>(&self, token: &Token<'_>, context: &str) -> Parsing<T> {
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

    pub(super) fn string(&self, token: &Token<'_>) -> Parsing<String> {
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
}

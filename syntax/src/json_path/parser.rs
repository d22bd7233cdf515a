//! From text to nodes, with the complaints of client-go.

use serde_json::Number;

use crate::quote::unquote;

use super::{Filter, JsonPathError, Node, Slice, error};

/// Reads a template: texts, and actions in braces.
pub(super) fn template(text: &str) -> Result<Vec<Node>, JsonPathError> {
    Parser { text, position: 0 }.template()
}

struct Parser<'a> {
    text: &'a str,
    position: usize,
}

fn is_terminator(c: char) -> bool {
    " \t\r\n.,[]$@{}".contains(c)
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.position += c.len_utf8();
        Some(c)
    }

    fn take_until(&mut self, stop: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(stop).unwrap_or(rest.len())];
        self.position += taken.len();
        taken
    }

    fn template(&mut self) -> Result<Vec<Node>, JsonPathError> {
        let mut nodes = Vec::new();
        while self.position < self.text.len() {
            let text = self.take_until(|c| c == '{');
            if !text.is_empty() {
                nodes.push(Node::Text(text.to_owned()));
            }
            if self.next().is_some() {
                nodes.push(Node::List(self.action()?));
            }
        }
        Ok(nodes)
    }

    fn action(&mut self) -> Result<Vec<Node>, JsonPathError> {
        let mut nodes = Vec::new();
        loop {
            let rest = self.rest();
            if rest.starts_with("[?(") {
                self.position += 3;
                nodes.push(self.filter()?);
                continue;
            }
            if rest.starts_with("..") {
                if nodes.last() == Some(&Node::Recursive) {
                    return error("invalid multiple recursive descent");
                }
                self.position += 2;
                nodes.push(Node::Recursive);
                if self.peek().is_some_and(is_word) {
                    nodes.push(self.field());
                }
                continue;
            }
            match self.next() {
                Some('}') => return Ok(nodes),
                None | Some('\r' | '\n') => return error("unclosed action"),
                Some(' ' | '@' | '$') => {}
                Some('[') => self.array(&mut nodes)?,
                Some(quote @ ('"' | '\'')) => nodes.push(self.quoted(quote)?),
                Some('.') => nodes.push(self.field()),
                Some(c) if c == '+' || c == '-' || c.is_ascii_digit() => {
                    self.position -= 1;
                    nodes.push(self.number()?);
                }
                Some(c) if is_word(c) => {
                    self.position -= c.len_utf8();
                    nodes.push(match self.take_until(is_terminator) {
                        "true" => Node::Bool(true),
                        "false" => Node::Bool(false),
                        name => Node::Identifier(name.to_owned()),
                    });
                }
                Some(c) => {
                    let code = u32::from(c);
                    return error(format!(
                        "unrecognized character in action: U+{code:04X} '{c}'"
                    ));
                }
            }
        }
    }

    fn field(&mut self) -> Node {
        let start = self.position;
        while let Some(c) = self.peek().filter(|c| !is_terminator(*c)) {
            self.position += c.len_utf8();
            if c == '\\' {
                self.next();
            }
        }
        match &self.text[start..self.position] {
            "*" => Node::Wildcard,
            name => Node::Field(name.replace('\\', "")),
        }
    }

    fn number(&mut self) -> Result<Node, JsonPathError> {
        let start = self.position;
        self.position += 1;
        self.take_until(|c| c != '.' && !c.is_ascii_digit());
        let text = &self.text[start..self.position];
        let number = match text.parse::<i64>() {
            Ok(number) => Some(Number::from(number)),
            Err(_) => text.parse().ok().and_then(Number::from_f64),
        };
        match number {
            Some(number) => Ok(Node::Number(number)),
            None => error(format!("cannot parse number {text}")),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Node, JsonPathError> {
        let start = self.position;
        loop {
            match self.next() {
                None | Some('\n') => return error("unterminated quoted string"),
                Some(c) if c == quote => {
                    let inside = &self.text[start..self.position - 1];
                    if !inside.ends_with('\\') {
                        return match unquote(inside, quote) {
                            Some(text) => Ok(Node::Text(text)),
                            None => error(format!(
                                "unquote string {quote}{inside}{quote} error invalid syntax"
                            )),
                        };
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// What follows a `[` that begins no filter: a key, an index, a slice, or a union of these.
    fn array(&mut self, nodes: &mut Vec<Node>) -> Result<(), JsonPathError> {
        let inside = self.take_until(|c| c == ']' || c == '\n');
        if self.next() != Some(']') {
            return error("unterminated array");
        }
        if inside.contains(',') {
            let members = inside.split(',').map(|member| {
                let mut nodes = Vec::new();
                let member = format!("[{}]", member.trim_matches(' '));
                Parser {
                    text: &member,
                    position: 1,
                }
                .array(&mut nodes)?;
                Ok(Node::List(nodes))
            });
            nodes.push(Node::Union(members.collect::<Result<_, _>>()?));
            return Ok(());
        }
        let key = inside
            .strip_prefix('\'')
            .and_then(|rest| rest.strip_suffix('\''));
        if let Some(key) = key.filter(|key| !key.contains('\'')) {
            nodes.extend(parse_action(&format!(".{key}"))?);
            return Ok(());
        }
        nodes.push(Node::Slice(slice(inside)?));
        Ok(())
    }

    /// What follows `[?(`.
    fn filter(&mut self) -> Result<Node, JsonPathError> {
        let start = self.position;
        let mut pair = None;
        let mut closed = true;
        loop {
            match self.next() {
                None | Some('\n') => return error("unterminated filter"),
                Some(quote @ ('"' | '\'')) => match pair {
                    None => (pair, closed) = (Some(quote), false),
                    Some(open) => {
                        let escaped = self.text[..self.position - 1].ends_with('\\');
                        closed = closed || (quote == open && !escaped);
                    }
                },
                Some(')') if closed => break,
                Some(_) => {}
            }
        }
        let inside = &self.text[start..self.position - 1];
        if self.next() != Some(']') {
            return error("unclosed array expect ]");
        }
        let sign = |c: char| "!<>=".contains(c);
        let left = inside.find(sign).filter(|at| *at > 0);
        let split = left.and_then(|at| {
            let (left, rest) = inside.split_at(at);
            let length = rest.find(|c| !sign(c))?;
            Some((left, &rest[..length], &rest[length..]))
        });
        let (left, comparison) = match split {
            Some((left, operator, right)) => {
                let right = Node::List(parse_action(right)?);
                (left, Some((operator.to_owned(), right)))
            }
            None => (inside, None),
        };
        let left = Node::List(parse_action(left)?);
        Ok(Node::Filter(Box::new(Filter { left, comparison })))
    }
}

/// Reads what may stand between `{` and `}`.
fn parse_action(text: &str) -> Result<Vec<Node>, JsonPathError> {
    let text = format!("{text}}}");
    Parser {
        text: &text,
        position: 0,
    }
    .action()
}

fn slice(text: &str) -> Result<Slice, JsonPathError> {
    let text = if text == "*" { ":" } else { text };
    let parts: Vec<&str> = text.split(':').collect();
    let digits = |part: &&str| {
        let digits = part.strip_prefix('-').unwrap_or(part);
        digits.bytes().all(|b| b.is_ascii_digit())
    };
    if parts.len() > 3 || !parts.iter().all(digits) {
        return error(format!("invalid array index {text}"));
    }
    let number = |index: usize| match parts.get(index) {
        None | Some(&"") => Ok(None),
        Some(part) => match part.parse::<i64>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => error(format!("array index {part} is not a number")),
        },
    };
    let start = number(0)?;
    let derived = parts.len() == 1;
    let end = if derived {
        Some(start.unwrap_or(0).saturating_add(1))
    } else {
        number(1)?
    };
    Ok(Slice {
        start,
        end,
        derived,
        step: number(2)?,
    })
}

//! The grammar of `kubectl -l`.

use std::collections::BTreeSet;

use super::name::check_key;
use super::{Operator, Requirement, SelectorError, error};

/// Reads the requirements of a label selector, in its order.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let tokens = lex(text);
    Parser {
        tokens,
        position: 0,
    }
    .selector()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    End,
    Close,
    Open,
    Comma,
    Not,
    Word,
    Operator(Operator),
}

type Token<'a> = (Kind, &'a str);

/// Longest first: `==` before `=`.
const SYMBOLS: [(&str, Kind); 9] = [
    ("==", Kind::Operator(Operator::DoubleEquals)),
    ("!=", Kind::Operator(Operator::NotEquals)),
    ("=", Kind::Operator(Operator::Equals)),
    ("!", Kind::Not),
    (">", Kind::Operator(Operator::GreaterThan)),
    ("<", Kind::Operator(Operator::LessThan)),
    ("(", Kind::Open),
    (")", Kind::Close),
    (",", Kind::Comma),
];

fn lex(text: &str) -> Vec<Token<'_>> {
    let blank = [' ', '\t', '\r', '\n'];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(blank);
    while !rest.is_empty() {
        let symbol = SYMBOLS.iter().find(|(symbol, _)| rest.starts_with(symbol));
        let (kind, length) = if let Some((symbol, kind)) = symbol {
            (*kind, symbol.len())
        } else {
            let end = |c: char| "=!(),><".contains(c) || blank.contains(&c);
            let length = rest.find(end).unwrap_or(rest.len());
            let kind = match &rest[..length] {
                "in" => Kind::Operator(Operator::In),
                "notin" => Kind::Operator(Operator::NotIn),
                _ => Kind::Word,
            };
            (kind, length)
        };
        let (literal, after) = rest.split_at(length);
        tokens.push((kind, literal));
        rest = after.trim_start_matches(blank);
    }
    tokens
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    position: usize,
}

impl<'a> Parser<'a> {
    /// The next token where a key or a value may stand: there `in` and `notin` are words like others.
    fn peek(&self) -> Token<'a> {
        match self.tokens.get(self.position) {
            Some((Kind::Operator(Operator::In | Operator::NotIn), literal)) => {
                (Kind::Word, literal)
            }
            Some(token) => *token,
            None => (Kind::End, ""),
        }
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.position += 1;
        token
    }

    fn selector(mut self) -> Result<Vec<Requirement>, SelectorError> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                (Kind::Word | Kind::Not, _) => {
                    let requirement = self.requirement().map_err(|error| {
                        SelectorError(format!("unable to parse requirement: {error}"))
                    })?;
                    requirements.push(requirement);
                }
                (Kind::End, _) => return Ok(requirements),
                (_, found) => {
                    return error(format!(
                        "found '{found}', expected: !, identifier, or 'end of string'"
                    ));
                }
            }
            match self.next() {
                (Kind::End, _) => return Ok(requirements),
                (Kind::Comma, _) => {
                    if let (kind, found) = self.peek()
                        && !matches!(kind, Kind::Word | Kind::Not)
                    {
                        return error(format!("found '{found}', expected: identifier after ','"));
                    }
                }
                (_, found) => {
                    return error(format!("found '{found}', expected: ',' or 'end of string'"));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let (mut kind, mut key) = self.next();
        let absent = kind == Kind::Not;
        if absent {
            (kind, key) = self.next();
        }
        if kind != Kind::Word {
            return error(format!("found '{key}', expected: identifier"));
        }
        check_key(key, "<nil>")?;
        let last = matches!(self.peek().0, Kind::End | Kind::Comma);
        if absent || last {
            let operator = if absent {
                Operator::DoesNotExist
            } else {
                Operator::Exists
            };
            return Requirement::new(key, operator, BTreeSet::new());
        }
        let found = self
            .tokens
            .get(self.position)
            .copied()
            .unwrap_or((Kind::End, ""));
        self.position += 1;
        let (Kind::Operator(operator), _) = found else {
            let found = found.1;
            return error(format!(
                "found '{found}', expected: in, notin, =, ==, !=, gt, lt"
            ));
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.list()?,
            _ => [self.exact()?].into(),
        };
        Requirement::new(key, operator, values)
    }

    fn exact(&mut self) -> Result<String, SelectorError> {
        if matches!(self.peek().0, Kind::End | Kind::Comma) {
            return Ok(String::new());
        }
        match self.next() {
            (Kind::Word, value) => Ok(value.to_owned()),
            (_, found) => error(format!("found '{found}', expected: identifier")),
        }
    }

    /// `(a,b)`; a missing value beside a comma is the empty one.
    fn list(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        let (kind, found) = self.next();
        if kind != Kind::Open {
            return error(format!("found '{found}' expected: '('"));
        }
        let mut values = BTreeSet::new();
        let (kind, found) = self.peek();
        if !matches!(kind, Kind::Word | Kind::Comma | Kind::Close) {
            return error(format!("found '{found}', expected: ',', ')' or identifier"));
        }
        loop {
            match self.peek() {
                (Kind::Word, value) => {
                    self.position += 1;
                    values.insert(value.to_owned());
                    if let (kind, found) = self.peek()
                        && !matches!(kind, Kind::Comma | Kind::Close)
                    {
                        return error(format!("found '{found}', expected: ',' or ')'"));
                    }
                }
                (Kind::Comma, _) => {
                    self.position += 1;
                    if values.is_empty() || matches!(self.peek().0, Kind::Comma | Kind::Close) {
                        values.insert(String::new());
                    }
                }
                (Kind::Close, _) => {
                    self.position += 1;
                    if values.is_empty() {
                        values.insert(String::new());
                    }
                    return Ok(values);
                }
                (_, found) => {
                    return error(format!("found '{found}', expected: ',', or identifier"));
                }
            }
        }
    }
}

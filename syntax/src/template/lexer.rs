//! The tokens of a template, with Go's rules for delimiters, trim markers and comments.

use std::borrow::Cow;

pub(super) const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Error,
    End,
    Text,
    LeftDelim,
    RightDelim,
    Space,
    Assign,
    Declare,
    Pipe,
    LeftParen,
    RightParen,
    /// Any other printable ASCII character.
    Char,
    Bool,
    Nil,
    CharConstant,
    Number,
    String,
    RawString,
    Dot,
    Field,
    Variable,
    Identifier,
    Keyword,
}

const KEYWORDS: [&str; 10] = [
    "block", "break", "continue", "define", "else", "end", "if", "range", "template", "with",
];

/// A token: its text, for an error its message.
#[derive(Debug, Clone)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: Cow<'a, str>,
    /// Where it begins, in bytes.
    pub(super) start: usize,
    pub(super) line: usize,
}

impl Token<'_> {
    pub(super) fn is_keyword(&self, word: &str) -> bool {
        self.kind == Kind::Keyword && self.text == word
    }
}

/// Cuts a template into tokens. The last one is the end or an error.
pub(super) fn lex(text: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer {
        text,
        position: 0,
        counted: 0,
        line: 1,
        depth: 0,
        tokens: Vec::new(),
    };
    if let Err(message) = lexer.run() {
        let start = lexer.position;
        lexer.push(Kind::Error, start, Cow::Owned(message));
    }
    lexer.tokens
}

struct Lexer<'a> {
    text: &'a str,
    position: usize,
    /// Up to where line ends have been counted.
    counted: usize,
    line: usize,
    /// Open parentheses.
    depth: usize,
    tokens: Vec<Token<'a>>,
}

fn is_space(c: char) -> bool {
    SPACES.contains(&c)
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn trims_left(text: &str) -> bool {
    text.starts_with('-') && text[1..].starts_with(is_space)
}

fn trims_right(text: &str) -> bool {
    text.starts_with(is_space) && text[1..].starts_with('-') && text[2..].starts_with(RIGHT)
}

impl<'a> Lexer<'a> {
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

    fn push(&mut self, kind: Kind, start: usize, text: Cow<'a, str>) {
        // The line of a token is the line of its start.
        if start > self.counted {
            self.line += self.text[self.counted..start]
                .bytes()
                .filter(|b| *b == b'\n')
                .count();
            self.counted = start;
        }
        self.tokens.push(Token {
            kind,
            text,
            start,
            line: self.line,
        });
    }

    fn emit(&mut self, kind: Kind, start: usize) {
        self.push(kind, start, Cow::Borrowed(&self.text[start..self.position]));
    }

    fn run(&mut self) -> Result<(), String> {
        loop {
            let Some(at) = self.rest().find(LEFT) else {
                let start = self.position;
                self.position = self.text.len();
                if start < self.position {
                    self.emit(Kind::Text, start);
                }
                self.emit(Kind::End, self.position);
                return Ok(());
            };
            let start = self.position;
            let delimiter = start + at;
            let inside = delimiter + LEFT.len();
            let trims = trims_left(&self.text[inside..]);
            let before = &self.text[start..delimiter];
            let before = if trims {
                before.trim_end_matches(SPACES)
            } else {
                before
            };
            self.position = start + before.len();
            if !before.is_empty() {
                self.emit(Kind::Text, start);
            }
            self.position = inside + if trims { 2 } else { 0 };
            if self.rest().starts_with("/*") {
                self.comment()?;
            } else {
                self.push(Kind::LeftDelim, delimiter, Cow::Borrowed(LEFT));
                self.depth = 0;
                while self.inside_action()? {}
            }
        }
    }

    fn comment(&mut self) -> Result<(), String> {
        let end = self.rest().find("*/").ok_or("unclosed comment")?;
        self.position += end + 2;
        let trims = trims_right(self.rest());
        if !trims && !self.rest().starts_with(RIGHT) {
            return Err("comment ends before closing delimiter".into());
        }
        self.position += RIGHT.len() + if trims { 2 } else { 0 };
        if trims {
            self.position = self.text.len() - self.rest().trim_start_matches(SPACES).len();
        }
        Ok(())
    }

    /// Reads one token of an action; false at its end.
    fn inside_action(&mut self) -> Result<bool, String> {
        let rest = self.rest();
        let trims = trims_right(rest);
        if trims || rest.starts_with(RIGHT) {
            if self.depth > 0 {
                return Err("unclosed left paren".into());
            }
            self.position += if trims { 2 } else { 0 };
            let start = self.position;
            self.position += RIGHT.len();
            self.emit(Kind::RightDelim, start);
            if trims {
                self.position = self.text.len() - self.rest().trim_start_matches(SPACES).len();
            }
            return Ok(false);
        }
        let start = self.position;
        let c = self.next().ok_or("unclosed action")?;
        match c {
            c if is_space(c) => {
                while self.peek().is_some_and(is_space) && !trims_right(self.rest()) {
                    self.next();
                }
                self.emit(Kind::Space, start);
            }
            '=' => self.emit(Kind::Assign, start),
            ':' => {
                if self.next() != Some('=') {
                    return Err("expected :=".into());
                }
                self.emit(Kind::Declare, start);
            }
            '|' => self.emit(Kind::Pipe, start),
            '"' => self.quoted('"', Kind::String, "unterminated quoted string", start)?,
            '\'' => self.quoted(
                '\'',
                Kind::CharConstant,
                "unterminated character constant",
                start,
            )?,
            '`' => {
                let end = self
                    .rest()
                    .find('`')
                    .ok_or("unterminated raw quoted string")?;
                self.position += end + 1;
                self.emit(Kind::RawString, start);
            }
            '$' => self.name(Kind::Variable, start)?,
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                let kind = if self.at_terminator() {
                    Kind::Dot
                } else {
                    Kind::Field
                };
                self.name(kind, start)?;
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.position = start;
                if !self.scan_number() {
                    let text = crate::quote::quote(&self.text[start..self.position]);
                    return Err(format!("bad number syntax: {text}"));
                }
                self.emit(Kind::Number, start);
            }
            c if is_alphanumeric(c) => self.word(start)?,
            '(' => {
                self.depth += 1;
                self.emit(Kind::LeftParen, start);
            }
            ')' => {
                self.depth = self.depth.checked_sub(1).ok_or("unexpected right paren")?;
                self.emit(Kind::RightParen, start);
            }
            c if c.is_ascii_graphic() => self.emit(Kind::Char, start),
            c => {
                return Err(format!(
                    "unrecognized character in action: {}",
                    code_point(c)
                ));
            }
        }
        Ok(true)
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None => true,
            Some(c) => is_space(c) || ".,|:)(".contains(c) || self.rest().starts_with(RIGHT),
        }
    }

    fn name(&mut self, kind: Kind, start: usize) -> Result<(), String> {
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        match self.peek() {
            Some(c) if !self.at_terminator() => Err(format!("bad character {}", code_point(c))),
            _ => {
                self.emit(kind, start);
                Ok(())
            }
        }
    }

    fn word(&mut self, start: usize) -> Result<(), String> {
        self.name(Kind::Identifier, start)?;
        if let Some(token) = self.tokens.last_mut() {
            token.kind = match token.text.as_ref() {
                "true" | "false" => Kind::Bool,
                "nil" => Kind::Nil,
                word if KEYWORDS.contains(&word) => Kind::Keyword,
                _ => Kind::Identifier,
            };
        }
        Ok(())
    }

    fn quoted(&mut self, quote: char, kind: Kind, open: &str, start: usize) -> Result<(), String> {
        loop {
            match self.next() {
                None | Some('\n') => return Err(open.into()),
                Some('\\') if matches!(self.next(), None | Some('\n')) => return Err(open.into()),
                Some(c) if c == quote => {
                    self.emit(kind, start);
                    return Ok(());
                }
                Some(_) => {}
            }
        }
    }

    fn accept(&mut self, any: &str) -> bool {
        let accepted = self.peek().is_some_and(|c| any.contains(c));
        if accepted {
            self.position += 1;
        }
        accepted
    }

    fn accept_all(&mut self, any: &str) {
        while self.accept(any) {}
    }

    fn scan_number(&mut self) -> bool {
        const DECIMAL: &str = "0123456789_";
        self.accept("+-");
        let mut digits = DECIMAL;
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_all(digits);
        if self.accept(".") {
            self.accept_all(digits);
        }
        if digits == DECIMAL && self.accept("eE") {
            self.accept("+-");
            self.accept_all(DECIMAL);
        }
        if self.peek().is_some_and(is_alphanumeric) {
            self.next();
            return false;
        }
        true
    }
}

/// A character as Go's `%#U` shows it.
fn code_point(c: char) -> String {
    let code = u32::from(c);
    if crate::quote::is_print(c) {
        format!("U+{code:04X} '{c}'")
    } else {
        format!("U+{code:04X}")
    }
}

//! YAML as go-yaml v2 writes it: block style, sorted keys, lists not indented in objects, quotes only where
//! they are needed, lines folded after column 80.

use std::fmt::Write as _;

use serde_json::Value;

use super::order::sorted;
use super::scalar::{format_float, is_timestamp, resolve};
use super::{Content, Entry, Node, Scalar};

/// The column after which a space in a flow scalar becomes a line break.
const WIDTH: usize = 80;
/// What YAML 1.1 takes for a line break.
const LINE_BREAKS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
/// The longest key that stands before its `:` on one line.
const SIMPLE_KEY: usize = 128;

/// Writes a JSON value.
#[must_use]
pub fn emit(value: &Value) -> String {
    emit_node(&Node::from_json(value))
}

/// Writes a tree.
#[must_use]
pub fn emit_node(node: &Node) -> String {
    let mut writer = Writer::default();
    writer.node(node, Place::Root);
    writer.new_line();
    writer.out
}

/// Where a value stands: it decides how a collection begins.
#[derive(Clone, Copy)]
enum Place {
    Root,
    /// After the `-` of a list at this indentation.
    Item(usize),
    /// After the `:` of an object at this indentation.
    Member(usize),
    /// After the `?` or the `:` of a key that is too long, in an object at this indentation.
    Explicit(usize),
}

#[derive(Default)]
struct Writer {
    out: String,
    /// Where the line under way begins.
    line: usize,
}

impl Writer {
    fn node(&mut self, node: &Node, place: Place) {
        match &node.content {
            Content::Scalar(scalar) => {
                if !matches!(place, Place::Root) {
                    self.out.push(' ');
                }
                let indent = match place {
                    Place::Root => 0,
                    Place::Item(indent) | Place::Member(indent) | Place::Explicit(indent) => indent,
                };
                self.scalar(scalar, indent + 2);
            }
            Content::Sequence(items) if items.is_empty() => self.empty("[]", place),
            Content::Mapping(entries) if entries.is_empty() => self.empty("{}", place),
            Content::Sequence(items) => {
                let (indent, inline) = match place {
                    Place::Root => (0, true),
                    Place::Item(indent) | Place::Explicit(indent) => (indent + 2, true),
                    Place::Member(indent) => (indent, false),
                };
                for (index, item) in items.iter().enumerate() {
                    self.begin(indent, inline && index == 0);
                    self.out.push('-');
                    self.node(item, Place::Item(indent));
                }
            }
            Content::Mapping(entries) => {
                let (indent, inline) = match place {
                    Place::Root => (0, true),
                    Place::Item(indent) | Place::Explicit(indent) => (indent + 2, true),
                    Place::Member(indent) => (indent + 2, false),
                };
                for (index, entry) in sorted(entries).into_iter().enumerate() {
                    self.begin(indent, inline && index == 0);
                    self.entry(entry, indent);
                }
            }
        }
    }

    fn entry(&mut self, entry: &Entry, indent: usize) {
        if is_simple_key(&entry.key) {
            self.simple_key(&entry.key);
            self.out.push(':');
            self.node(&entry.value, Place::Member(indent));
        } else {
            self.out.push_str("? ");
            self.scalar(&entry.key, indent + 2);
            self.begin(indent, false);
            self.out.push(':');
            self.node(&entry.value, Place::Explicit(indent));
        }
    }

    fn empty(&mut self, text: &str, place: Place) {
        if !matches!(place, Place::Root) {
            self.out.push(' ');
        }
        self.out.push_str(text);
    }

    /// Goes to column `indent`: of a new line, or of this one.
    fn begin(&mut self, indent: usize, inline: bool) {
        if !inline {
            self.new_line();
        }
        while self.out.len() - self.line < indent {
            self.out.push(' ');
        }
    }

    fn new_line(&mut self) {
        // A literal block that ends with its line break has begun the line already.
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
        self.line = self.out.len();
    }

    fn simple_key(&mut self, key: &Scalar) {
        match key {
            Scalar::String(text) => match style(text) {
                Style::Plain if text.is_empty() => self.out.push_str("''"),
                Style::Plain => self.out.push_str(text),
                Style::Single => self.single(text, None),
                Style::Double | Style::Literal => self.double(text, None),
            },
            other => self.plain_value(other),
        }
    }

    fn scalar(&mut self, scalar: &Scalar, indent: usize) {
        match scalar {
            Scalar::String(text) => match style(text) {
                Style::Plain => self.plain(text, indent),
                Style::Single => self.single(text, Some(indent)),
                Style::Double => self.double(text, Some(indent)),
                Style::Literal => self.literal(text, indent),
            },
            other => self.plain_value(other),
        }
    }

    fn plain_value(&mut self, scalar: &Scalar) {
        match scalar {
            Scalar::Null => self.out.push_str("null"),
            Scalar::Bool(bool) => self.out.push_str(if *bool { "true" } else { "false" }),
            Scalar::Int(int) => self.out.push_str(&int.to_string()),
            Scalar::Uint(uint) => self.out.push_str(&uint.to_string()),
            Scalar::Float(float) => self.out.push_str(&format_float(*float)),
            Scalar::String(text) => self.out.push_str(text),
        }
    }

    fn column(&self) -> usize {
        self.out[self.line..].chars().count()
    }

    fn fold(&mut self, indent: usize) -> usize {
        self.out.push('\n');
        self.line = self.out.len();
        self.out.extend(std::iter::repeat_n(' ', indent));
        indent
    }

    fn plain(&mut self, text: &str, indent: usize) {
        self.flow(text, Some(indent), |out, c| {
            out.push(c);
            1
        });
    }

    fn single(&mut self, text: &str, indent: Option<usize>) {
        self.out.push('\'');
        self.flow(text, indent, |out, c| {
            out.push(c);
            if c == '\'' {
                out.push(c);
                return 2;
            }
            1
        });
        self.out.push('\'');
    }

    fn flow(
        &mut self,
        text: &str,
        indent: Option<usize>,
        write: impl Fn(&mut String, char) -> usize,
    ) {
        let mut column = self.column();
        let mut before = None;
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match indent {
                Some(indent) if c == ' ' && folds(column, before, rest.peek().copied()) => {
                    column = self.fold(indent);
                }
                _ => column += write(&mut self.out, c),
            }
            before = Some(c);
        }
    }

    fn double(&mut self, text: &str, indent: Option<usize>) {
        self.out.push('"');
        let mut column = self.column();
        let mut before = None;
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            let after = rest.peek().copied();
            match indent {
                Some(indent)
                    if c == ' '
                        && column > WIDTH
                        && before.is_some_and(|c| c != ' ')
                        && after.is_some() =>
                {
                    column = self.fold(indent);
                    if after == Some(' ') {
                        self.out.push('\\');
                        column += 1;
                    }
                }
                _ => {
                    let start = self.out.len();
                    escape(&mut self.out, c);
                    column += self.out[start..].chars().count();
                }
            }
            before = Some(c);
        }
        self.out.push('"');
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.out.push('|');
        if text.starts_with([' ', '\n']) {
            self.out.push('2');
        }
        if !text.ends_with('\n') {
            self.out.push('-');
        } else if text == "\n" || text.ends_with("\n\n") {
            self.out.push('+');
        }
        self.out.push('\n');
        for (index, line) in text.split('\n').enumerate() {
            if index > 0 {
                self.out.push('\n');
            }
            if !line.is_empty() {
                self.out.extend(std::iter::repeat_n(' ', indent));
                self.out.push_str(line);
            }
        }
    }
}

/// Whether a space may become a line break: the line is long, and neither neighbour is a space.
fn folds(column: usize, before: Option<char>, after: Option<char>) -> bool {
    column > WIDTH && before.is_some_and(|c| c != ' ') && after.is_some_and(|c| c != ' ')
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// The style that go-yaml v2 gives a string.
fn style(text: &str) -> Style {
    let breaks = text.contains('\n');
    let special = text.chars().any(|c| !is_printable(c));
    let space_before_break = text.contains(" \n");
    let space_after_break = text.contains("\n ");
    if breaks {
        // A trailing space is told from the last character only where it is a space.
        return if special || space_before_break || text.ends_with(' ') {
            Style::Double
        } else {
            Style::Literal
        };
    }
    let string =
        matches!(resolve(text), Scalar::String(_)) && !is_timestamp(text) && !is_base60(text);
    if special || space_after_break || !string {
        return Style::Double;
    }
    if is_plain(text) {
        Style::Plain
    } else {
        Style::Single
    }
}

/// Whether a text without line breaks can stand without quotes.
fn is_plain(text: &str) -> bool {
    if text.starts_with("---") || text.starts_with("...") {
        return false;
    }
    if text.starts_with(' ') || text.ends_with(' ') {
        return false;
    }
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let blank_after = rest.peek().is_none_or(|c| matches!(c, ' ' | '\t'));
        let indicator = match (before, c) {
            (
                None,
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%'
                | '@' | '`',
            )
            | (Some(' '), '#') => true,
            (None, '?' | ':' | '-') | (Some(_), ':') => blank_after,
            _ => false,
        };
        if indicator {
            return false;
        }
        before = Some(c);
    }
    true
}

/// What go-yaml v2 writes unescaped; the two Unicode line breaks are added to what it escapes.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && !matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}')
}

fn escape(out: &mut String, c: char) {
    let letter = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        c if is_printable(c) => {
            out.push(c);
            return;
        }
        c => {
            let code = u32::from(c);
            // Writing to a string does not fail.
            let _ = match code {
                0..=0xff => write!(out, "\\x{code:02X}"),
                0x100..=0xffff => write!(out, "\\u{code:04X}"),
                _ => write!(out, "\\U{code:08X}"),
            };
            return;
        }
    };
    out.push('\\');
    out.push(letter);
}

/// `12:30:45`: a number in YAML 1.1, so such a string is quoted.
fn is_base60(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut fields = text.split(':');
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let first = fields.next().unwrap_or_default();
    if !first.starts_with(|c: char| c.is_ascii_digit()) || !digits(first) {
        return false;
    }
    let mut fields: Vec<&str> = fields.collect();
    let Some(last) = fields.pop() else {
        return false;
    };
    let last = match last.split_once('.') {
        Some((whole, fraction)) if digits(fraction) => whole,
        Some(_) => return false,
        None => last,
    };
    fields.push(last);
    fields
        .iter()
        .all(|field| matches!(field.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']))
}

fn is_simple_key(key: &Scalar) -> bool {
    match key {
        Scalar::String(text) => !text.contains(LINE_BREAKS) && text.len() <= SIMPLE_KEY,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::yaml::{Limits, YamlError, document};

    #[test]
    fn writes_as_go_yaml_v2_does() {
        // Inputs and outputs of go.yaml.in/yaml/v2 2.4.3.
        let long = "word ".repeat(20);
        for (value, text) in [
            (json!({}), "{}\n"),
            (json!([]), "[]\n"),
            (json!("plain"), "plain\n"),
            (
                json!({"b": [1, {"c": null}], "a": {"x": []}}),
                "a:\n  x: []\nb:\n- 1\n- c: null\n",
            ),
            (json!([["a", "b"], []]), "- - a\n  - b\n- []\n"),
            (json!({"k": "yes"}), "k: \"yes\"\n"),
            (json!({"k": "010"}), "k: \"010\"\n"),
            (json!({"k": "2001-01-01"}), "k: \"2001-01-01\"\n"),
            (json!({"k": "12:30:45"}), "k: \"12:30:45\"\n"),
            (json!({"k": ""}), "k: \"\"\n"),
            (json!({"k": "a: b"}), "k: 'a: b'\n"),
            (json!({"k": "it's #1"}), "k: 'it''s #1'\n"),
            (json!({"k": "a\tb"}), "k: \"a\\tb\"\n"),
            (json!({"k": "a\nb\n"}), "k: |\n  a\n  b\n"),
            (json!({"k": "a\nb"}), "k: |-\n  a\n  b\n"),
            (json!({"k": " a\n\nb\n\n"}), "k: |2+\n   a\n\n  b\n\n"),
            (json!({"k": "a \nb"}), "k: \"a \\nb\"\n"),
            (json!(["\n"]), "- |2+\n\n"),
            (json!({"k": 1_000_000.5}), "k: 1.0000005e+06\n"),
            (
                json!({"a10": 1, "a2": 2, "Z": 3, "1": 4}),
                "\"1\": 4\nZ: 3\na2: 2\na10: 1\n",
            ),
            (json!({"k": "*** HIDDEN ***"}), "k: '*** HIDDEN ***'\n"),
            (
                json!({"k": long.trim()}),
                &format!(
                    "k: {}\n  {}\n",
                    "word ".repeat(16).trim(),
                    "word ".repeat(4).trim()
                ),
            ),
            (
                json!({"k".repeat(129): 1}),
                &format!("? {}\n: 1\n", "k".repeat(129)),
            ),
        ] {
            assert_eq!(emit(&value), text);
        }
    }

    #[test]
    fn keeps_the_type_of_a_key() -> Result<(), YamlError> {
        let read = document("on: 1\n1: x\n\"1\": z\n", &Limits::default())?;
        assert_eq!(emit_node(&read.root), "true: 1\n1: x\n\"1\": z\n");
        Ok(())
    }

    fn value() -> impl Strategy<Value = Value> {
        let text = "[a-z0-9 :#'\"\\\\\n\t,\\-?{}\\[\\]é😀_~.]{0,100}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(text, inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in value()) {
            let text = emit(&value);
            let read = document(&text, &Limits::default()).and_then(|read| read.root.to_json());
            prop_assert_eq!(read, Ok(value), "{}", text);
        }
    }
}

//! Writes a JSON value again with another indentation, checking all of its grammar on the way.

use std::borrow::Cow;

use super::{DEPTH_CAP, is_space};

/// How a value is written.
#[derive(Debug, Clone, Copy)]
pub struct Style<'a> {
    /// One level of indentation, `"  "`.
    pub indent: &'a str,
    /// How deep the value stands in the document around it. The first line is not indented.
    pub depth: usize,
    /// What to put first into the object, in place of its own `kind` and `apiVersion`.
    pub type_meta: Option<TypeMeta<'a>>,
    /// Whether `metadata.managedFields` stays.
    pub managed_fields: bool,
}

/// `kind` and `apiVersion` of an object, which the items of a typed list leave out.
#[derive(Debug, Clone, Copy)]
pub struct TypeMeta<'a> {
    /// `Pod`
    pub kind: &'a str,
    /// `v1`, `apps/v1`
    pub api_version: &'a str,
}

impl Default for Style<'_> {
    fn default() -> Self {
        Self {
            indent: "  ",
            depth: 0,
            type_meta: None,
            managed_fields: true,
        }
    }
}

/// A value that is no JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {expected}")]
pub struct Invalid {
    /// Where, from the value's first byte.
    pub offset: usize,
    /// What was expected there.
    pub expected: &'static str,
}

/// Appends `value` to `out` in the form that Go's `json.Indent` gives it, with the HTML escapes of
/// `encoding/json`. Everything else stays as it was written: numbers keep their digits, strings their
/// escapes. Where `value` is no JSON, nothing is appended.
pub fn indent(value: &[u8], style: &Style<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
    let before = out.len();
    let written = write(value, style, out);
    if written.is_err() {
        out.truncate(before);
    }
    written
}

fn write(value: &[u8], style: &Style<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
    if let Err(error) = std::str::from_utf8(value) {
        return Err(Invalid {
            offset: error.valid_up_to(),
            expected: "expected UTF-8",
        });
    }
    let levels = if style.indent == "  " {
        Cow::Borrowed(LEVELS)
    } else {
        Cow::Owned(format!("\n{}", style.indent.repeat(LEVELS_READY)))
    };
    let mut writer = Writer {
        input: value,
        position: 0,
        style,
        levels: levels.as_bytes(),
        out,
        frames: Vec::new(),
        muted: None,
        in_metadata: false,
    };
    writer.document()
}

/// So many levels of indentation are ready-made.
const LEVELS_READY: usize = 40;

/// A line's end and the usual indentation after it.
const LEVELS: &str = concat!(
    "\n",
    "                                        ",
    "                                        "
);

struct Frame {
    object: bool,
    empty: bool,
}

struct Writer<'a, 'o> {
    input: &'a [u8],
    position: usize,
    style: &'a Style<'a>,
    /// A line's end and the first [`LEVELS_READY`] levels after it.
    levels: &'a [u8],
    out: &'o mut Vec<u8>,
    frames: Vec<Frame>,
    /// Set while a member is left out: the number of frames around it.
    muted: Option<usize>,
    /// Whether the member under way at the top is `metadata`.
    in_metadata: bool,
}

impl Writer<'_, '_> {
    fn document(&mut self) -> Result<(), Invalid> {
        self.space();
        loop {
            self.value()?;
            loop {
                self.space();
                let Some(frame) = self.frames.last() else {
                    return if self.position == self.input.len() {
                        Ok(())
                    } else {
                        Err(self.expected("expected the end"))
                    };
                };
                let object = frame.object;
                if self.muted == Some(self.frames.len()) {
                    self.muted = None;
                }
                match self.peek() {
                    Some(b',') => {
                        self.position += 1;
                        self.space();
                        self.member(object)?;
                        break;
                    }
                    Some(b'}') if object => self.close(b"}"),
                    Some(b']') if !object => self.close(b"]"),
                    _ if object => return Err(self.expected("expected `,` or `}`")),
                    _ => return Err(self.expected("expected `,` or `]`")),
                }
            }
        }
    }

    /// Writes one value, or opens it where it holds others.
    fn value(&mut self) -> Result<(), Invalid> {
        loop {
            match self.peek() {
                Some(b'{') => {
                    self.open(true)?;
                    if self.peek() == Some(b'}') {
                        self.close(b"}");
                        return Ok(());
                    }
                    self.member(true)?;
                }
                Some(b'[') => {
                    self.open(false)?;
                    if self.peek() == Some(b']') {
                        self.close(b"]");
                        return Ok(());
                    }
                    self.member(false)?;
                }
                Some(b'"') => return self.string(),
                Some(b'-' | b'0'..=b'9') => return self.number(),
                Some(b't') => return self.literal(b"true"),
                Some(b'f') => return self.literal(b"false"),
                Some(b'n') => return self.literal(b"null"),
                _ => return Err(self.expected("expected a value")),
            }
        }
    }

    fn open(&mut self, object: bool) -> Result<(), Invalid> {
        if self.frames.len() >= DEPTH_CAP {
            return Err(self.expected("nested too deep"));
        }
        let top = self.frames.is_empty();
        self.position += 1;
        self.put(if object { b"{" } else { b"[" });
        self.frames.push(Frame {
            object,
            empty: true,
        });
        if top
            && object
            && let Some(head) = self.style.type_meta
        {
            for (key, value) in [("kind", head.kind), ("apiVersion", head.api_version)] {
                self.separate();
                self.out
                    .extend_from_slice(format!("\"{key}\": ").as_bytes());
                let quoted = super::to_vec(value, "").unwrap_or_default();
                self.out.extend_from_slice(&quoted);
            }
        }
        self.space();
        Ok(())
    }

    fn close(&mut self, bracket: &[u8]) {
        self.position += 1;
        let frame = self.frames.pop();
        if frame.is_some_and(|frame| !frame.empty) {
            self.new_line();
        }
        self.put(bracket);
    }

    /// Comma, line and, in an object, the key: all that stands before a member's value.
    fn member(&mut self, object: bool) -> Result<(), Invalid> {
        if !object {
            self.separate();
            return Ok(());
        }
        if self.peek() != Some(b'"') {
            return Err(self.expected("expected a key"));
        }
        if self.frames.len() <= 2 && self.leaves_out_next()? {
            self.muted.get_or_insert(self.frames.len());
        } else {
            self.separate();
            self.string()?;
            self.put(b": ");
        }
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.expected("expected `:`"));
        }
        self.position += 1;
        self.space();
        Ok(())
    }

    /// Whether the member whose key comes next is left out. If so, its key is read.
    fn leaves_out_next(&mut self) -> Result<bool, Invalid> {
        let start = self.position;
        let before = self.muted;
        self.muted.get_or_insert(0);
        self.string()?;
        self.muted = before;
        let key = &self.input[start..self.position];
        let left_out = match self.frames.len() {
            1 => {
                self.in_metadata = key == b"\"metadata\"";
                let replaced = key == b"\"kind\"" || key == b"\"apiVersion\"";
                replaced && self.style.type_meta.is_some()
            }
            2 => self.in_metadata && !self.style.managed_fields && key == b"\"managedFields\"",
            _ => false,
        };
        if !left_out {
            self.position = start;
        }
        Ok(left_out)
    }

    fn separate(&mut self) {
        if self.muted.is_some() {
            return;
        }
        if let Some(frame) = self.frames.last_mut() {
            if !frame.empty {
                self.out.push(b',');
            }
            frame.empty = false;
        }
        self.new_line();
    }

    fn new_line(&mut self) {
        if self.muted.is_some() {
            return;
        }
        let level = self.style.depth + self.frames.len();
        let ready = level.min(LEVELS_READY);
        let line = &self.levels[..=ready * self.style.indent.len()];
        self.out.extend_from_slice(line);
        for _ in ready..level {
            self.out.extend_from_slice(self.style.indent.as_bytes());
        }
    }

    fn string(&mut self) -> Result<(), Invalid> {
        let mut from = self.position;
        self.position += 1;
        loop {
            let rest = &self.input[self.position..];
            let Some(plain) = rest.iter().position(|byte| SPECIAL[usize::from(*byte)]) else {
                self.position = self.input.len();
                return Err(self.expected("expected the end of a string"));
            };
            self.position += plain;
            match rest[plain] {
                b'"' => {
                    self.position += 1;
                    self.put_input(from);
                    return Ok(());
                }
                b'\\' => self.escape()?,
                0..=0x1f => return Err(self.expected("a control character in a string")),
                byte => {
                    let length = if byte == 0xe2 { 3 } else { 1 };
                    let text = rest.get(plain..plain + length).unwrap_or_default();
                    let character = std::str::from_utf8(text)
                        .ok()
                        .and_then(|t| t.chars().next());
                    if let Some(escape) = character.and_then(super::go::html_escape) {
                        self.put_input(from);
                        self.put(escape.as_bytes());
                        from = self.position + length;
                    }
                    self.position += length;
                }
            }
        }
    }

    fn escape(&mut self) -> Result<(), Invalid> {
        self.position += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.position += 1,
            Some(b'u') => {
                let digits = self.input.get(self.position + 1..self.position + 5);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.expected("expected four hexadecimal digits"));
                }
                self.position += 5;
            }
            _ => return Err(self.expected("expected an escape")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Invalid> {
        let from = self.position;
        if self.peek() == Some(b'-') {
            self.position += 1;
        }
        if self.peek() == Some(b'0') {
            self.position += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.position += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.position += 1;
            }
            self.digits()?;
        }
        self.put_input(from);
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Invalid> {
        let rest = &self.input[self.position..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.expected("expected a digit"));
        }
        self.position += count;
        Ok(())
    }

    fn literal(&mut self, word: &'static [u8]) -> Result<(), Invalid> {
        if !self.input[self.position..].starts_with(word) {
            return Err(self.expected("expected a value"));
        }
        self.position += word.len();
        self.put(word);
        Ok(())
    }

    fn space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.position += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.position).copied()
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.muted.is_none() {
            self.out.extend_from_slice(bytes);
        }
    }

    fn put_input(&mut self, from: usize) {
        if self.muted.is_none() {
            self.out.extend_from_slice(&self.input[from..self.position]);
        }
    }

    fn expected(&self, expected: &'static str) -> Invalid {
        Invalid {
            offset: self.position,
            expected,
        }
    }
}

/// Bytes of a string that cannot simply be copied: its end, escapes, control characters, what Go escapes
/// (`<`, `>`, `&`, and 0xE2, which begins U+2028 and U+2029).
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'&' as usize] = true;
    table[0xe2] = true;
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::to_vec;
    use proptest::prelude::*;
    use serde_json::Value;

    fn indented(text: &str, style: &Style<'_>) -> Result<String, Invalid> {
        let mut out = Vec::new();
        indent(text.as_bytes(), style, &mut out)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn writes_as_go_does() -> Result<(), Invalid> {
        let text = r#"{"a" : [ ],"b":{ },"c":[1,-2.50e+3 ,"x<\u003cé…"],"d":null}"#;
        assert_eq!(
            indented(text, &Style::default())?,
            "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1,\n    -2.50e+3,\n    \"x\\u003c\\u003cé…\"\n  ],\n  \"d\": null\n}"
        );
        Ok(())
    }

    #[test]
    fn puts_the_type_first_and_leaves_managed_fields_out() -> Result<(), Invalid> {
        let style = Style {
            depth: 2,
            type_meta: Some(TypeMeta {
                kind: "Pod",
                api_version: "v1",
            }),
            managed_fields: false,
            ..Style::default()
        };
        for (text, expected) in [
            (
                "{}",
                "{\n      \"kind\": \"Pod\",\n      \"apiVersion\": \"v1\"\n    }",
            ),
            (
                r#"{"metadata":{"managedFields":[{"a":{"managedFields":1}}],"name":"p"},"kind":"X","spec":{"managedFields":2,"kind":3}}"#,
                "{\n      \"kind\": \"Pod\",\n      \"apiVersion\": \"v1\",\n      \"metadata\": {\n        \"name\": \"p\"\n      },\n      \"spec\": {\n        \"managedFields\": 2,\n        \"kind\": 3\n      }\n    }",
            ),
            (
                r#"{"metadata":{"managedFields":[]},"apiVersion":"v2"}"#,
                "{\n      \"kind\": \"Pod\",\n      \"apiVersion\": \"v1\",\n      \"metadata\": {}\n    }",
            ),
        ] {
            assert_eq!(indented(text, &style)?, expected);
        }
        Ok(())
    }

    #[test]
    fn names_what_is_wrong_and_writes_nothing() {
        for (text, offset) in [
            ("", 0),
            ("{", 1),
            ("{\"a\"}", 4),
            ("{\"a\":}", 5),
            ("{\"a\":1,}", 7),
            ("[1,]", 3),
            ("[1 2]", 3),
            ("{\"a\":nope}", 5),
            ("\"\u{1}\"", 1),
            ("\"\\x\"", 2),
            ("\"\\u12g4\"", 2),
            ("\"open", 5),
            ("01", 1),
            ("1.", 2),
            ("-", 1),
            ("1e", 2),
            ("{} x", 3),
            ("[}", 1),
            ("{\"metadata\":{\"managedFields\":[nope]}}", 30),
        ] {
            let mut out = b"before".to_vec();
            let style = Style {
                managed_fields: false,
                ..Style::default()
            };
            let error = indent(text.as_bytes(), &style, &mut out);
            assert_eq!(error.map_err(|error| error.offset), Err(offset), "{text}");
            assert_eq!(out, b"before");
        }
        let deep = "[".repeat(DEPTH_CAP + 1);
        assert!(indented(&deep, &Style::default()).is_err());
        let mut out = Vec::new();
        assert!(indent(b"\"\xff\"", &Style::default(), &mut out).is_err());
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map("metadata|managedFields|kind|.{0,6}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn is_what_serde_writes(value in json()) {
            let ours = indented(&value.to_string(), &Style::default());
            let theirs = to_vec(&value, "  ").map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            prop_assert_eq!(ours.ok(), theirs.ok());
        }

        #[test]
        fn leaves_out_no_more_than_asked(value in json()) {
            let style = Style { managed_fields: false, ..Style::default() };
            let ours = indented(&value.to_string(), &style);
            let mut theirs = value;
            if let Some(metadata) = theirs.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("managedFields");
            }
            let ours: Option<Value> = ours.ok().and_then(|text| serde_json::from_str(&text).ok());
            prop_assert_eq!(ours, Some(theirs));
        }

        #[test]
        fn accepts_what_serde_accepts(text in r#"[\{\}\[\]",:\\a0-9.eE+ -]{0,30}"#) {
            let theirs = serde_json::from_str::<Value>(&text);
            let ours = indented(&text, &Style::default());
            // serde_json refuses numbers beyond f64; the grammar does not.
            let overflow = theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
            prop_assert!(overflow || theirs.is_ok() == ours.is_ok(), "{:?} {:?}", theirs, ours);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = indent(&bytes, &Style::default(), &mut Vec::new());
        }
    }
}

//! JSON as Go's `encoding/json` writes it.

use std::io;

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, PrettyFormatter, Serializer};

/// Serialises `value` the way Go's `json.MarshalIndent(value, "", indent)` does, or `json.Marshal` where
/// `indent` is empty: `<`, `>`, `&`, U+2028 and U+2029 are escaped.
pub fn to_vec<T: Serialize + ?Sized>(value: &T, indent: &str) -> serde_json::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(256);
    if indent.is_empty() {
        value.serialize(&mut Serializer::with_formatter(&mut bytes, Compact))?;
    } else {
        let formatter = Pretty(PrettyFormatter::with_indent(indent.as_bytes()));
        value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))?;
    }
    Ok(bytes)
}

struct Compact;

impl Formatter for Compact {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        write_fragment(writer, fragment)
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        write_escape(writer, &escape)
    }
}

struct Pretty<'a>(PrettyFormatter<'a>);

macro_rules! forward {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        $(fn $name<W: ?Sized + io::Write>(&mut self, writer: &mut W $(, $argument: $type)*) -> io::Result<()> {
            self.0.$name(writer $(, $argument)*)
        })*
    };
}

impl Formatter for Pretty<'_> {
    forward! {
        begin_array();
        end_array();
        begin_array_value(first: bool);
        end_array_value();
        begin_object();
        end_object();
        begin_object_key(first: bool);
        begin_object_value();
        end_object_value();
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        write_fragment(writer, fragment)
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        write_escape(writer, &escape)
    }
}

/// What Go escapes beyond the grammar, so that JSON can stand inside HTML and JavaScript.
pub(super) fn html_escape(character: char) -> Option<&'static str> {
    Some(match character {
        '<' => "\\u003c",
        '>' => "\\u003e",
        '&' => "\\u0026",
        '\u{2028}' => "\\u2028",
        '\u{2029}' => "\\u2029",
        _ => return None,
    })
}

fn write_fragment<W: ?Sized + io::Write>(writer: &mut W, fragment: &str) -> io::Result<()> {
    let mut written = 0;
    for (position, character) in fragment.char_indices() {
        if let Some(escape) = html_escape(character) {
            writer.write_all(&fragment.as_bytes()[written..position])?;
            writer.write_all(escape.as_bytes())?;
            written = position + character.len_utf8();
        }
    }
    writer.write_all(&fragment.as_bytes()[written..])
}

fn write_escape<W: ?Sized + io::Write>(writer: &mut W, escape: &CharEscape) -> io::Result<()> {
    let text: &[u8] = match *escape {
        CharEscape::Quote => b"\\\"",
        CharEscape::ReverseSolidus => b"\\\\",
        CharEscape::Solidus => b"/",
        CharEscape::Backspace => b"\\b",
        CharEscape::FormFeed => b"\\f",
        CharEscape::LineFeed => b"\\n",
        CharEscape::CarriageReturn => b"\\r",
        CharEscape::Tab => b"\\t",
        CharEscape::AsciiControl(byte) => {
            let hex = |digit: u8| b"0123456789abcdef"[usize::from(digit)];
            return writer.write_all(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]);
        }
    };
    writer.write_all(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn writes_as_go_does() -> serde_json::Result<()> {
        let value =
            json!({"a": "<b> & \u{2028} \u{1} \n é", "empty": [], "object": {}, "n": [1, 2]});
        let text = String::from_utf8(to_vec(&value, "  ")?).unwrap_or_default();
        assert_eq!(
            text,
            "{\n  \"a\": \"\\u003cb\\u003e \\u0026 \\u2028 \\u0001 \\n é\",\n  \"empty\": [],\n  \"n\": [\n    1,\n    2\n  ],\n  \"object\": {}\n}"
        );
        let compact = String::from_utf8(to_vec(&json!({"a": "<"}), "")?).unwrap_or_default();
        assert_eq!(compact, "{\"a\":\"\\u003c\"}");
        Ok(())
    }
}

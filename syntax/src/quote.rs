//! Text in double quotes as Go `strconv.Quote` (`%q`) writes it: the form in which the peers' error messages
//! and templates show values.

use std::fmt::Write as _;

/// `text` in double quotes, with control and unprintable characters escaped.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        push_escaped(&mut quoted, c, '"', false);
    }
    quoted.push('"');
    quoted
}

/// `text` in double quotes with everything beyond ASCII escaped, `strconv.QuoteToASCII` (`%+q`).
#[must_use]
pub fn quote_ascii(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        push_escaped(&mut quoted, c, '"', true);
    }
    quoted.push('"');
    quoted
}

/// One character in single quotes, `strconv.QuoteRune`.
#[must_use]
pub fn quote_char(c: char) -> String {
    let mut quoted = String::from("'");
    push_escaped(&mut quoted, c, '\'', false);
    quoted.push('\'');
    quoted
}

/// Whether Go's `strconv.IsPrint` shows the character as it is.
#[must_use]
pub fn is_print(c: char) -> bool {
    // A combining mark is printable in Go; the standard library shows it as it is only after a base letter.
    let mut pair = [0; 5];
    pair[0] = b'a';
    let length = c.encode_utf8(&mut pair[1..]).len();
    let text = std::str::from_utf8(&pair[..=length]).unwrap_or_default();
    matches!(c, '"' | '\'' | '\\') || text.escape_debug().count() == 2
}

fn push_escaped(quoted: &mut String, c: char, delimiter: char, ascii: bool) {
    let short = match c {
        '\x07' => Some('a'),
        '\x08' => Some('b'),
        '\x0c' => Some('f'),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        '\x0b' => Some('v'),
        c if c == delimiter || c == '\\' => Some(c),
        _ => None,
    };
    let code = u32::from(c);
    if let Some(letter) = short {
        quoted.push('\\');
        quoted.push(letter);
    } else if is_print(c) && (!ascii || c.is_ascii()) {
        quoted.push(c);
    } else {
        // Writing to a String cannot fail.
        let _ = match code {
            0..=0x7f => write!(quoted, "\\x{code:02x}"),
            0x80..=0xffff => write!(quoted, "\\u{code:04x}"),
            _ => write!(quoted, "\\U{code:08x}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_as_go_does() {
        for (text, expected) in [
            ("", r#""""#),
            ("a b", r#""a b""#),
            ("a\"b\\c'd", r#""a\"b\\c'd""#),
            ("\n\t\x07\x00\x7f", r#""\n\t\a\x00\x7f""#),
            ("é日\u{301}", "\"é日\u{301}\""),
            ("\u{a0}\u{feff}\u{e000}", r#""\u00a0\ufeff\ue000""#),
            ("😀\u{10ffff}", r#""😀\U0010ffff""#),
        ] {
            assert_eq!(quote(text), expected);
        }
        assert_eq!(quote_ascii("é😀"), r#""\u00e9\U0001f600""#);
        assert_eq!(quote_char('\''), r"'\''");
        assert_eq!(quote_char('"'), "'\"'");
    }
}

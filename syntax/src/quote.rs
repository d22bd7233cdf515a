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

/// Resolves the escapes of a text in `quote`s, without these, as `strconv.Unquote` does; `None` where it is
/// malformed. Bytes that are no UTF-8 (`\xff`) become replacement characters.
#[must_use]
pub fn unquote(text: &str, quote: char) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = rest[at + 1..].chars().next()?;
        rest = &rest[at + 1 + escape.len_utf8()..];
        let (digits, radix) = match escape {
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='7' => (2, 8),
            _ => {
                bytes.extend_from_slice(
                    simple_escape(escape, quote)?
                        .encode_utf8(&mut [0; 4])
                        .as_bytes(),
                );
                continue;
            }
        };
        let code = rest.get(..digits)?;
        rest = &rest[digits..];
        let first = escape.to_digit(8).filter(|_| radix == 8).unwrap_or(0) * 64;
        let code = u32::from_str_radix(code, radix).ok()?.checked_add(first)?;
        if matches!(escape, 'u' | 'U') {
            bytes.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            bytes.push(u8::try_from(code).ok()?);
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn simple_escape(escape: char, quote: char) -> Option<char> {
    Some(match escape {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        '\\' => '\\',
        c if c == quote => c,
        _ => return None,
    })
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

    #[test]
    fn unquoted_as_go_does() {
        for (text, expected) in [
            ("", Some("")),
            (r#"a\"b\\c\n"#, Some("a\"b\\c\n")),
            (r"\x41\101\u00e9\U0001f600", Some("AAé😀")),
            (r"\xc3\xa9", Some("é")),
            (r"\xff", Some("\u{fffd}")),
            (r"\'", None),
            (r"\z", None),
            (r"\x4", None),
            (r"\777", None),
            (r"\ud800", None),
            ("\\", None),
        ] {
            assert_eq!(unquote(text, '"').as_deref(), expected, "{text}");
        }
        assert_eq!(unquote(r"\'", '\'').as_deref(), Some("'"));
    }
}

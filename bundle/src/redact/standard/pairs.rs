//! Names and values side by side in one line, whatever the notation: `KEY=value`, `key: value`, `"key":
//! "value"` at any depth of escapes, `--key value`, `<key>value</key>`, `{name: KEY, value: value}`.

use std::ops::Range;

use super::edits::{Edit, QUOTED};
use super::names::{self, Class};
use super::objects::NAMED;
use super::values;
use super::yaml::without_properties;

/// A value to mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The value without its quotes.
    pub(super) value: Range<usize>,
    /// Whether it is a plain scalar of YAML, so that a mask needs quotes.
    pub(super) plain: bool,
}

impl Found {
    /// What masks it.
    pub(super) fn edit(self) -> Edit {
        if self.plain {
            Edit::new(self.value, QUOTED, NAMED)
        } else {
            Edit::mask(self.value, NAMED)
        }
    }
}

/// How much of a line is looked at to tell where in it a name stands.
const LOOK_BACK: usize = 1024;
/// How far from its name a value may begin, and a name from its value in a pair of both.
const REACH: usize = 256;

/// Adds the values in `line` whose names promise a secret.
pub(super) fn find(line: &[u8], found: &mut Vec<Found>) {
    for at in memchr::memchr3_iter(b'=', b':', b'>', line) {
        // What a value holds is hidden with it.
        if found.last().is_some_and(|last| at < last.value.end) {
            continue;
        }
        if let Some(name) = name_before(line, at) {
            named(line, at, name, found);
        }
    }
    let mut from = 0;
    while let Some(dash) = memchr::memchr(b'-', &line[from..]) {
        let at = from + dash;
        let begins = at == 0
            || matches!(
                line[at - 1],
                0 | b' ' | b'"' | b'\'' | b'[' | b',' | b'\t' | b'`'
            );
        let end = at + line[at..].iter().take_while(|byte| is_name(**byte)).count();
        if begins {
            flag(line, at, end, found);
        }
        from = end.max(at + 1);
    }
}

/// A value after `=`, `:` or `>` at `at`.
fn named(line: &[u8], at: usize, name: Range<usize>, found: &mut Vec<Found>) {
    let separator = line[at];
    let next = line.get(at + 1).copied().unwrap_or(b'\n');
    let text = &line[name.clone()];
    if separator == b'>' {
        let element = name.start > 0 && line[name.start - 1] == b'<';
        if element && let Some(class) = names::class(text) {
            let end =
                memchr::memchr(b'<', &line[at + 1..]).map_or(line.len(), |length| at + 1 + length);
            push(line, class, at + 1..end, false, found);
        }
        return;
    }
    // Comparisons, scopes, URLs.
    if matches!(next, b'=' | b'~') || (separator == b':' && matches!(next, b':' | b'/')) {
        return;
    }
    // Without a space after it a colon separates only what begins here: `arn:aws:secret:x` is a list.
    // Go declares with `:=`; what follows is code.
    let declared = separator == b'=' && at > 0 && line[at - 1] == b':';
    let spaced = separator != b':' || matches!(next, b' ' | b'\t' | b'"' | b'\'' | b'\\' | b'[');
    if !spaced && !is_member(line, name.start) && !is_property(line, name.start, text) {
        return;
    }
    let start = at + 1 + usize::from(next == b'>');
    if text.eq_ignore_ascii_case(b"value") {
        let Some(value) = value_at(line, start, Style::Inner) else {
            return;
        };
        if let Some(class) = sibling_name(line, name.start, value.range.end) {
            push(
                line,
                class,
                value.range,
                value.plain && separator == b':',
                found,
            );
        }
        return;
    }
    let Some(class) = names::class(text) else {
        return;
    };
    if class == Class::MaybeKey && matches!(text, b"sig" | b"signature") && separator == b':' {
        return;
    }
    let first = is_first(line, name.start);
    let style = match separator {
        b':' if first && matches!(next, b' ' | b'\t') => Style::RestOfLine,
        b'=' if first && is_assignment(&line[..name.start], text) => Style::RestOfLine,
        _ => Style::Inner,
    };
    let Some(value) = value_at(line, start, style) else {
        return;
    };
    if declared && value.plain {
        return;
    }
    let opened = line[..name.start]
        .iter()
        .rev()
        .find(|byte| !matches!(byte, b' ' | b'\t'));
    let plain =
        separator == b':' && value.plain && next == b' ' && (first || matches!(opened, Some(b'{')));
    // Prose after a colon: `token: expired at noon`, `password: must be long`.
    if separator == b':' && value.plain && scheme(&line[value.range.clone()]) == 0 {
        let words = &line[value.range.clone()];
        let word = words
            .split(|byte| *byte == b' ' || *byte == b',')
            .next()
            .unwrap_or(words);
        let sentence = if style == Style::RestOfLine {
            words
        } else {
            &line[value.range.start..]
        };
        let loose = !first && spaced && class != Class::Password && !values::is_made_up(word);
        if loose || !values::is_secret(class, word) || values::is_prose(sentence) {
            return;
        }
    }
    push(line, class, value.range, plain, found);
}

/// A value after a flag: `--password value`, `"--password", "value"`.
fn flag(line: &[u8], start: usize, end: usize, found: &mut Vec<Found>) {
    let name = &line[start..end];
    let name = &name[name.iter().take_while(|byte| **byte == b'-').count()..];
    let quotes = line[end..]
        .iter()
        .take_while(|byte| matches!(byte, b'"' | b'\'' | b'\\'))
        .count();
    let after = end + quotes;
    let separated = match line.get(after) {
        Some(0) => true,
        Some(b' ') if quotes == 0 => line
            .get(after + 1)
            .is_some_and(|next| !matches!(next, b'-' | b' ')),
        Some(b',') if quotes > 0 => true,
        _ => false,
    };
    if !separated {
        return;
    }
    let Some(class) = names::class(name).filter(|class| *class != Class::MaybeKey) else {
        return;
    };
    if let Some(value) = value_at(line, after + 1, Style::Inner)
        && line.get(value.range.start) != Some(&b'-')
    {
        push(line, class, value.range, false, found);
    }
}

fn push(line: &[u8], class: Class, value: Range<usize>, plain: bool, found: &mut Vec<Found>) {
    let scheme = scheme(&line[value.clone()]);
    let value = value.start + scheme..value.end;
    if values::is_secret(class, &line[value.clone()]) {
        let plain = plain && scheme == 0;
        found.push(Found { value, plain });
    }
}

/// The length of an authentication scheme before a credential, with its space: that much is not secret.
fn scheme(value: &[u8]) -> usize {
    const SCHEMES: [&str; 6] = ["bearer", "basic", "token", "digest", "negotiate", "apikey"];
    let length = value.iter().position(|byte| *byte == b' ').unwrap_or(0);
    let known = SCHEMES
        .iter()
        .any(|scheme| value[..length].eq_ignore_ascii_case(scheme.as_bytes()));
    if known { length + 1 } else { 0 }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte)
}

/// The name that ends before the separator at `at`, its quotes left out.
fn name_before(line: &[u8], at: usize) -> Option<Range<usize>> {
    let mut end = at;
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    end -= line[..end]
        .iter()
        .rev()
        .take(4)
        .take_while(|byte| blank(byte))
        .count();
    // An operator of two characters: `:=`, `+=`.
    if line[at] == b'=' && end == at && end > 0 && matches!(line[end - 1], b':' | b'+' | b'?') {
        end -= 1;
        end -= line[..end]
            .iter()
            .rev()
            .take(4)
            .take_while(|byte| blank(byte))
            .count();
    }
    if end > 0 && matches!(line[end - 1], b'"' | b'\'' | b'`' | b']') {
        end -= 1;
        end -= line[..end]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count();
    }
    let length = line[..end]
        .iter()
        .rev()
        .take(REACH)
        .take_while(|byte| is_name(**byte))
        .count();
    let mut start = end - length;
    // The escape in front of a name in an escaped text: `\nPASSWORD=x`, `\tPASSWORD=x`.
    if start > 0 && line[start - 1] == b'\\' && matches!(line.get(start), Some(b'n' | b't' | b'r'))
    {
        start += 1;
    }
    (start < end).then_some(start..end)
}

/// Whether a name is a member in the way Go prints structures and maps: `map[token:x]`, `{Password:x}`. Other names
/// with a colon and no space are parts of lists: `arn:aws:secret:x`, `org/secret-operator:v1`.
fn is_member(line: &[u8], start: usize) -> bool {
    let before = &line[start.saturating_sub(LOOK_BACK)..start];
    let begins = before
        .last()
        .is_none_or(|byte| b" \t{[(,&\"'".contains(byte));
    let name = line[start..].iter().take_while(|byte| is_name(**byte));
    let plain = name.clone().all(|byte| !matches!(byte, b'/' | b'-' | b'.'));
    begins && plain && (start == 0 || before.contains(&b'{') || before.contains(&b'['))
}

/// Whether a name is the password of a properties file: `db.password:x`.
fn is_property(line: &[u8], start: usize, name: &[u8]) -> bool {
    is_first(line, start) && !name.contains(&b'/') && names::class(name) == Some(Class::Password)
}

/// Whether only indentation, dashes and an opening quote stand before a name.
fn is_first(line: &[u8], start: usize) -> bool {
    start <= LOOK_BACK
        && line[..start]
            .iter()
            .all(|byte| matches!(byte, b' ' | b'\t' | b'-' | b'"' | b'\''))
}

/// Whether a line is an assignment of a shell or an env file: `NAME=value`, `export NAME=value`.
fn is_assignment(before: &[u8], name: &[u8]) -> bool {
    before.len() <= LOOK_BACK
        && before.iter().all(u8::is_ascii_whitespace)
        && name
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_')
}

/// How far a value without quotes goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// To the end of the line or a comment.
    RestOfLine,
    /// To white space, or punctuation that ends it.
    Inner,
}

struct Value {
    range: Range<usize>,
    /// It has no quotes and no brackets.
    plain: bool,
}

/// The value that begins at or after `start`.
fn value_at(line: &[u8], start: usize, style: Style) -> Option<Value> {
    let blanks = line[start..]
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    let mut at = start + blanks;
    if blanks > REACH || at >= line.len() {
        return None;
    }
    if style == Style::RestOfLine {
        at = line.len() - without_properties(&line[at..]).len();
        if at == line.len() {
            return None;
        }
    }
    // A constructor around a text, as Rust and Python print it: `Some("x")`.
    let name = line[at..]
        .iter()
        .take(32)
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    let called = name > 0 && line.get(at + name) == Some(&b'(');
    if called && matches!(line.get(at + name + 1), Some(b'"' | b'\'')) {
        at += name + 1;
    }
    // A list with one value, as Go prints headers and JSON has them.
    let listed = line[at] == b'['
        && line
            .get(at + 1)
            .is_some_and(|next| !matches!(next, b'{' | b'[' | b']'));
    at += usize::from(listed);
    let escapes = line[at..].iter().take_while(|byte| **byte == b'\\').count();
    if let Some(quote @ (b'"' | b'\'' | b'`')) = line.get(at + escapes).copied() {
        let open = at + escapes + 1;
        return Some(Value {
            range: open..closing_quote(line, open, quote, escapes),
            plain: false,
        });
    }
    if matches!(
        line.get(at),
        Some(b'{' | b'[' | b'|' | b'>' | b'&' | b',' | b'}' | b')') | None
    ) {
        return None;
    }
    let end = if listed {
        memchr::memchr(b']', &line[at..]).map_or(line.len(), |length| at + length)
    } else if style == Style::RestOfLine {
        end_of_scalar(line, at)
    } else {
        end_of_word(line, at)
    };
    (end > at).then_some(Value {
        range: at..end,
        plain: !listed,
    })
}

/// Where the quote is that has exactly `escapes` backslashes before it, or fewer; the end of the line without one.
fn closing_quote(line: &[u8], open: usize, quote: u8, escapes: usize) -> usize {
    let mut doubled = false;
    for place in memchr::memchr_iter(quote, &line[open..]) {
        let at = open + place;
        // Two single quotes are one within a text that single quotes enclose.
        if std::mem::take(&mut doubled) {
            continue;
        }
        doubled = quote == b'\'' && at > open && line.get(at + 1) == Some(&quote);
        if doubled {
            continue;
        }
        let before = line[open..at]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count();
        let ends = if escapes == 0 && quote == b'"' {
            before % 2 == 0
        } else {
            before <= escapes
        };
        if ends {
            return at - before.min(escapes);
        }
    }
    line.len()
}

/// The end of a value that reaches to the end of the line: without a comment, white space, a comma.
fn end_of_scalar(line: &[u8], start: usize) -> usize {
    let comment =
        memchr::memmem::find(&line[start..], b" #").map_or(line.len(), |length| start + length);
    let value = line[start..comment]
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default();
    let value = value.trim_ascii_end();
    // Other assignments on the line end it, too.
    let next = value.iter().enumerate().find(|(place, byte)| {
        **byte == b' ' && {
            let rest = &value[place + 1..];
            let name = rest.iter().take_while(|byte| is_name(**byte)).count();
            name > 0 && rest.get(name) == Some(&b'=')
        }
    });
    start + next.map_or(value.len(), |(place, _)| place)
}

/// The end of a value within a line.
fn end_of_word(line: &[u8], start: usize) -> usize {
    let mut depth = 0usize;
    for (place, &byte) in line[start..].iter().enumerate() {
        let at = start + place;
        match byte {
            b'"' | b'\'' | b'`' | b'<' => return at - escapes_before(line, start, at),
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' if depth > 0 => depth -= 1,
            0 | b'&' | b')' | b']' | b'}' => return at,
            b'\\' if matches!(line.get(at + 1), Some(b'n' | b'r' | b't' | b'"')) => return at,
            b';' | b',' if ends_value(&line[at + 1..]) => return at,
            _ if byte.is_ascii_whitespace() => return at,
            _ => {}
        }
    }
    line.len()
}

fn escapes_before(line: &[u8], start: usize, at: usize) -> usize {
    line[start..at]
        .iter()
        .rev()
        .take_while(|byte| **byte == b'\\')
        .count()
}

/// Whether what follows a comma or semicolon is another member, or nothing.
fn ends_value(rest: &[u8]) -> bool {
    let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
    let name = rest[blanks..]
        .iter()
        .take_while(|byte| is_name(**byte) || **byte == b' ')
        .count();
    let after = rest.get(blanks + name);
    blanks > 0
        || after.is_none()
        || (name > 0 && matches!(after, Some(b'=' | b':')))
        || matches!(rest.first(), Some(b'"' | b'\'' | b'}' | b']' | b')'))
}

/// What a `name` (or `key`) beside a `value` promises: before the value's own name or after the value.
fn sibling_name(line: &[u8], value_name: usize, value_end: usize) -> Option<Class> {
    let is_label =
        |name: &[u8]| name.eq_ignore_ascii_case(b"name") || name.eq_ignore_ascii_case(b"key");
    let before = &line[value_name.saturating_sub(REACH)..value_name];
    let before = &before[memchr::memrchr(b'{', before).map_or(0, |brace| brace + 1)..];
    let after = &line[value_end..(value_end + REACH).min(line.len())];
    let after = &after[..memchr::memchr(b'}', after).unwrap_or(after.len())];
    [before, after].into_iter().find_map(|text| {
        memchr::memchr2_iter(b':', b'=', text).find_map(|at| {
            let label = name_before(text, at)?;
            if !is_label(&text[label]) {
                return None;
            }
            let name = value_at(text, at + 1, Style::Inner)?;
            names::class(&text[name.range])
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_beside_their_names() {
        for (line, expected) in [
            ("DB_PASSWORD=hunter2", &["hunter2"][..]),
            ("export DB_PASSWORD=x1 y2 z3", &["x1"]),
            ("DB_PASSWORD=x1 y2 z3", &["x1 y2 z3"]),
            ("x password=abc, user=bob", &["abc"]),
            ("Server=h;Password=a,b;Uid=x", &["a,b"]),
            ("password: correct horse # no", &["correct horse"]),
            ("  - password: 'it''s'", &["it''s"]),
            (r#"{"password":"a\"b","x":1}"#, &[r#"a\"b"#]),
            (r#"{\"apiKey\":\"abcd1234\",\"x\":1}"#, &["abcd1234"]),
            (r#"{\\\"apiKey\\\":\\\"abcd1234\\\"}"#, &["abcd1234"]),
            ("run --password hunter2 -v", &["hunter2"]),
            ("run --password=hunter2 -v", &["hunter2"]),
            (r#"["--token", "abc123"]"#, &["abc123"]),
            ("<password>hunter2</password>", &["hunter2"]),
            ("{name: DB_PASSWORD, value: hunter2}", &["hunter2"]),
            (r#"{"value":"hunter2","name":"DB_PASSWORD"}"#, &["hunter2"]),
            ("map[password:hunter2 user:bob]", &["hunter2"]),
            ("Authorization:[Bearer abcd1234efgh]", &["abcd1234efgh"]),
            ("Authorization: Bearer abcd1234efgh", &["abcd1234efgh"]),
            ("https://h/p?access_token=abc123&x=1", &["abc123"]),
            (r"A=1\nDB_PASSWORD=hunter2\nB=2", &["hunter2"]),
            ("arn:aws:secretsmanager:x:1:secret:prod/db", &[]),
            ("image org/secret-operator:v1.0.2", &[]),
            ("failed to list *v1.Secret: Get x", &[]),
            ("for _, secret := range secrets", &[]),
            ("if password == nil", &[]),
            ("secretName: db", &[]),
            ("token: expired at noon", &[]),
            ("password:", &[]),
            ("secret: {secretName: x}", &[]),
        ] {
            let mut found = Vec::new();
            find(line.as_bytes(), &mut found);
            let found: Vec<&str> = found
                .iter()
                .map(|found| &line[found.value.clone()])
                .collect();
            assert_eq!(found, expected, "{line}");
        }
    }
}

//! One line of YAML: its dashes, its key, its value.

use std::borrow::Cow;
use std::ops::Range;

use super::edits::{Edit, QUOTED, settle};
use super::objects::NAMED;
use crate::redact::MASK;

/// A line of YAML.
pub(super) struct Yaml<'t> {
    /// The column of the last dash before the content.
    pub(super) dash: Option<usize>,
    /// The column of the content.
    pub(super) column: usize,
    pub(super) key: Option<&'t [u8]>,
    /// What ends the key: its closing quote, if it has one, and a colon. Empty without a key.
    key_end: Range<usize>,
    /// What follows the key, or the dashes.
    pub(super) value: Range<usize>,
}

impl<'t> Yaml<'t> {
    /// Reads a line that is not blank. Lines indented with tabs are no YAML.
    pub(super) fn read(line: &'t [u8]) -> Option<Self> {
        let content = trimmed(line);
        let mut column = line.iter().take_while(|byte| **byte == b' ').count();
        if column != content.start {
            return None;
        }
        let mut dash = None;
        while line.get(column) == Some(&b'-') && matches!(line.get(column + 1), Some(b' ') | None) {
            dash = Some(column);
            column += 1;
            column += line[column..]
                .iter()
                .take_while(|byte| **byte == b' ')
                .count();
        }
        column = column.min(content.end);
        let rest = &line[column..content.end];
        let Some(end) = key_end(rest) else {
            return Some(Self {
                dash,
                column,
                key: None,
                key_end: column..column,
                value: column..content.end,
            });
        };
        let value = column + end.end;
        let blanks = line[value..content.end]
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'));
        Some(Self {
            dash,
            column,
            key: Some(unquoted(&rest[..end.end - 1])),
            key_end: column + end.start..value,
            value: value + blanks.count()..content.end,
        })
    }

    /// Masks `value`, the whole value on the line, so that it stays YAML; nothing where there is none.
    pub(super) fn mask(&self, value: &[u8], rule: &'static str) -> Option<Edit> {
        let start = self.value.start;
        let none = matches!(value, b"" | b"{}" | b"[]" | b"~" | b"null");
        if none || value[0] == b'#' || is_block(value) {
            return None;
        }
        let edit = match value[0] {
            quote @ (b'"' | b'\'') => match closing_quote(value, 1, quote) {
                Some(end) => Edit::mask(start + 1..start + end, rule),
                None => Edit::new(start..start + value.len(), QUOTED, rule),
            },
            _ => Edit::new(start..start + plain_end(value), QUOTED, rule),
        };
        (!edit.range.is_empty()).then_some(edit)
    }

    /// Cuts a mask that reaches over the end of the key: without that end the line would be another one, and those after
    /// it, too.
    pub(super) fn keep_key(&self, edits: &mut Vec<Edit>) {
        let end = &self.key_end;
        let over = |edit: &mut Edit| edit.range.start < end.end && edit.range.end > end.start;
        let cut: Vec<Edit> = edits.extract_if(.., over).collect();
        for Edit { range, rule, .. } in cut {
            edits.push(Edit::mask(range.start..end.start.max(range.start), rule));
            edits.push(Edit::mask(self.value.start.min(range.end)..range.end, rule));
        }
    }

    /// Whether the line has a value in the sense of YAML.
    pub(super) fn has_place(&self) -> bool {
        self.key.is_some() || self.dash.is_some()
    }
}

/// What ends a key: a closing quote, if it has one, and a colon. What holds an equals sign, quotes or a comment is no key but a
/// pair on a line of something else.
fn key_end(text: &[u8]) -> Option<Range<usize>> {
    const LONGEST_KEY: usize = 256;
    let from = match text.first()? {
        quote @ (b'"' | b'\'') => memchr::memchr(*quote, &text[1..])? + 2,
        b'{' | b'[' | b'#' | b'|' | b'>' | b'%' | b'@' | b'`' => return None,
        _ => 0,
    };
    let reach = &text[from..text.len().min(from + LONGEST_KEY)];
    let colon = memchr::memchr_iter(b':', reach)
        .map(|place| from + place)
        .find(|place| matches!(text.get(place + 1), None | Some(b' ' | b'\t')))?;
    let between = &text[from..colon];
    if from > 0 {
        let blank = between.iter().all(|byte| *byte == b' ');
        return blank.then_some(from - 1..colon + 1);
    }
    let plain = !between.iter().any(|byte| b"=\"'#".contains(byte));
    plain.then_some(colon..colon + 1)
}

/// The content of a line without the white space around it.
pub(super) fn trimmed(line: &[u8]) -> Range<usize> {
    let start = line
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count();
    let end = line.len()
        - line[start..]
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
    start..end
}

/// A scalar without its quotes or its comment.
pub(super) fn unquoted(value: &[u8]) -> &[u8] {
    match value.first() {
        Some(quote @ (b'"' | b'\'')) => {
            let inside = &value[1..];
            &inside[..memchr::memchr(*quote, inside).unwrap_or(inside.len())]
        }
        _ => &value[..plain_end(value)],
    }
}

/// The end of a plain scalar: a comment is not part of it.
fn plain_end(value: &[u8]) -> usize {
    let comment = memchr::memmem::find(value, b" #").unwrap_or(value.len());
    value[..comment].trim_ascii_end().len()
}

/// Whether a value is the header of a block scalar.
pub(super) fn is_block(value: &[u8]) -> bool {
    let header = value.split(|byte| *byte == b' ').next().unwrap_or_default();
    matches!(header.first(), Some(b'|' | b'>'))
        && header[1..]
            .iter()
            .all(|byte| matches!(byte, b'+' | b'-' | b'0'..=b'9'))
}

/// A value behind its anchor and its tag.
pub(super) fn without_properties(value: &[u8]) -> &[u8] {
    let mut value = value;
    while let [b'&' | b'!', ..] = value {
        let word = value.iter().take_while(|byte| **byte != b' ').count();
        let blanks = value[word..]
            .iter()
            .take_while(|byte| **byte == b' ')
            .count();
        value = &value[word + blanks..];
    }
    value
}

/// Where the quote is that closes a quoted scalar, of which `from` and what follows is text.
pub(super) fn closing_quote(value: &[u8], from: usize, quote: u8) -> Option<usize> {
    let mut at = from;
    while at < value.len() {
        match value[at] {
            b'\\' if quote == b'"' => at += 1,
            byte if byte == quote => {
                if quote == b'\'' && value.get(at + 1) == Some(&quote) {
                    at += 1;
                } else {
                    return Some(at);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Puts a plain scalar in quotes where a mask begins it: a plain `*` begins an alias.
pub(super) fn quote_plain(line: &[u8], yaml: &Yaml<'_>, edits: &mut Vec<Edit>) {
    if !yaml.has_place() {
        return;
    }
    settle(edits);
    let value = &line[yaml.value.clone()];
    // YAML has no control characters but tabs: quotes would not make this YAML.
    if value.iter().any(|byte| *byte < b' ' && *byte != b'\t') {
        return;
    }
    match value.first() {
        None | Some(b'"' | b'\'' | b'|' | b'>' | b'#') => return,
        Some(b'{' | b'[') => {
            for edit in edits.iter_mut().filter(|edit| edit.with == MASK) {
                let before = line[..edit.range.start]
                    .iter()
                    .rev()
                    .find(|byte| **byte != b' ');
                let after = line.get(edit.range.end);
                let begins = matches!(before, Some(b',' | b'[' | b'{' | b':'));
                if begins && matches!(after, None | Some(b',' | b']' | b'}' | b' ')) {
                    edit.with = Cow::Borrowed(QUOTED);
                }
            }
            return;
        }
        Some(_) => {}
    }
    let start = yaml.value.start;
    // A mask may reach beyond what YAML takes for the value: over the blanks behind it, into a comment.
    let plain = start + plain_end(value);
    let within = edits.iter().filter(|edit| edit.range.start < plain);
    let end = within.fold(plain, |end, edit| end.max(edit.range.end));
    let begins = edits.iter().find(|edit| edit.range.start == start);
    let masked = match begins {
        Some(edit) => edit.with.starts_with(MASK),
        None => value.starts_with(MASK.as_bytes()),
    };
    if !masked || end <= start {
        return;
    }
    let rule = begins.map_or(NAMED, |edit| edit.rule);
    let mut text = Vec::new();
    let mut copied = start;
    for edit in edits
        .iter()
        .filter(|edit| edit.range.start >= start && edit.range.end <= end)
    {
        text.extend_from_slice(&line[copied..edit.range.start]);
        text.extend_from_slice(edit.with.as_bytes());
        copied = edit.range.end;
    }
    text.extend_from_slice(&line[copied..end]);
    let with = match String::from_utf8(text) {
        Ok(text) if !text.contains(['"', '\\']) => Cow::Owned(format!("\"{text}\"")),
        Ok(text) if !text.contains('\'') => Cow::Owned(format!("'{text}'")),
        _ => Cow::Borrowed(QUOTED),
    };
    edits.retain(|edit| edit.range.end <= start || edit.range.start >= end);
    edits.push(Edit {
        range: start..end,
        with,
        rule,
    });
}

//! What is to be replaced in a text, and how it is carried through the escapes of JSON strings.

use std::borrow::Cow;
use std::ops::Range;

use crate::redact::{Counts, MASK};

/// A mask in the quotes that YAML needs, where a plain `*` begins an alias.
pub(super) const QUOTED: &str = "\"***HIDDEN***\"";
/// A mask in the place of a line that continues a masked value.
pub(super) const COMMENT: &str = "# ***HIDDEN***";

/// One replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edit {
    /// What is replaced; not empty.
    pub(super) range: Range<usize>,
    /// With what.
    pub(super) with: Cow<'static, str>,
    /// What reports call it.
    pub(super) rule: &'static str,
}

impl Edit {
    pub(super) fn mask(range: Range<usize>, rule: &'static str) -> Self {
        Self {
            range,
            with: Cow::Borrowed(MASK),
            rule,
        }
    }

    pub(super) fn new(range: Range<usize>, with: &'static str, rule: &'static str) -> Self {
        Self {
            range,
            with: Cow::Borrowed(with),
            rule,
        }
    }

    /// Moves the edit by `offset`.
    pub(super) fn shifted(mut self, offset: usize) -> Self {
        self.range = self.range.start + offset..self.range.end + offset;
        self
    }
}

/// Sorts edits and settles those that overlap: the one that covers another stays; else both become one mask.
pub(super) fn settle(edits: &mut Vec<Edit>) {
    edits.retain(|edit| !edit.range.is_empty());
    // Of equal ranges the one with the shortest text is first: a mask over a text with masks in it.
    edits.sort_by(|a, b| {
        let order = a
            .range
            .start
            .cmp(&b.range.start)
            .then(b.range.end.cmp(&a.range.end));
        order.then(a.with.len().cmp(&b.with.len()))
    });
    edits.dedup_by(|next, kept| {
        if next.range.start >= kept.range.end {
            return false;
        }
        if next.range.end > kept.range.end {
            kept.range.end = next.range.end;
            kept.with = Cow::Borrowed(MASK);
        }
        true
    });
}

/// Appends `text`, which begins at `base`, with the settled `edits` applied.
pub(super) fn apply(
    text: &[u8],
    base: usize,
    edits: &[Edit],
    out: &mut Vec<u8>,
    counts: &mut Counts,
) {
    let mut copied = 0;
    for edit in edits {
        let range = edit.range.start - base..edit.range.end - base;
        out.extend_from_slice(&text[copied..range.start]);
        out.extend_from_slice(edit.with.as_bytes());
        copied = range.end;
        let masks = |text| memchr::memmem::find_iter(text, MASK).count();
        let set = masks(edit.with.as_bytes());
        if set > 0 && !text[range.clone()].eq(edit.with.as_bytes()) {
            // One edit may put several masks in quotes; some of them may have been there.
            counts.add(
                edit.rule,
                set.saturating_sub(masks(&text[range])).max(1) as u64,
            );
        }
    }
    out.extend_from_slice(&text[copied..]);
}

/// The text of the inside of a JSON string. Borrows when there is no escape. An escape that is none stays.
pub(super) fn decode(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut text = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        at += decode_one(&raw[at..], &mut text);
    }
    Cow::Owned(text)
}

/// Decodes one character or escape; returns how many raw bytes it takes.
fn decode_one(raw: &[u8], text: &mut Vec<u8>) -> usize {
    let plain = match (raw[0], raw.get(1)) {
        (b'\\', Some(b'n')) => b'\n',
        (b'\\', Some(b't')) => b'\t',
        (b'\\', Some(b'r')) => b'\r',
        (b'\\', Some(b'b')) => 8,
        (b'\\', Some(b'f')) => 12,
        (b'\\', Some(other @ (b'"' | b'\\' | b'/'))) => *other,
        (b'\\', Some(b'u')) => return decode_unicode(raw, text),
        (byte, _) => {
            text.push(byte);
            return 1;
        }
    };
    text.push(plain);
    2
}

fn decode_unicode(raw: &[u8], text: &mut Vec<u8>) -> usize {
    let unit = |raw: &[u8]| {
        let digits = raw.get(..6)?.strip_prefix(b"\\u")?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut push = |code: u32| {
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    };
    match unit(raw) {
        None => {
            text.push(raw[0]);
            1
        }
        Some(high @ 0xD800..=0xDBFF) => {
            if let Some(low @ 0xDC00..=0xDFFF) = unit(&raw[6..]) {
                push(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00));
                12
            } else {
                push(high);
                6
            }
        }
        Some(code) => {
            push(code);
            6
        }
    }
}

/// Carries settled edits of a decoded text back to the raw inside of its JSON string, which begins at `base`.
pub(super) fn encode(raw: &[u8], base: usize, edits: Vec<Edit>, found: &mut Vec<Edit>) {
    let (mut at, mut decoded) = (0, Vec::new());
    let mut offset = 0;
    let mut raw_offset = |target: usize| {
        while offset < target && at < raw.len() {
            decoded.clear();
            at += decode_one(&raw[at..], &mut decoded);
            offset += decoded.len();
        }
        base + at
    };
    for edit in edits {
        let range = raw_offset(edit.range.start)..raw_offset(edit.range.end);
        let with = if edit.with.contains(['"', '\\', '\n', '\t', '\r']) {
            let quoted = serde_json::Value::from(edit.with.as_ref()).to_string();
            let mut inside = quoted[1..quoted.len() - 1].to_owned();
            // A tab that stood there itself, which JSON does not allow, stays as it was.
            if raw[range.start - base..range.end - base].contains(&b'\t') {
                inside = inside.replace("\\t", "\t");
            }
            Cow::Owned(inside)
        } else {
            edit.with
        };
        found.push(Edit {
            range,
            with,
            rule: edit.rule,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_pass_through_escapes() {
        let raw = br#"a\"b\u00e9\n\ud83d\ude00c"#;
        let text = decode(raw);
        assert_eq!(&*text, "a\"bé\n😀c".as_bytes());
        let place = text.len() - 1;
        let edits = vec![
            Edit::mask(1..2, "x"),
            Edit::new(place..place + 1, QUOTED, "x"),
        ];
        let mut found = Vec::new();
        encode(raw, 0, edits, &mut found);
        let mut out = Vec::new();
        apply(raw, 0, &found, &mut out, &mut Counts::default());
        let expected = r#"a***HIDDEN***b\u00e9\n\ud83d\ude00\"***HIDDEN***\""#;
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn the_wider_edit_stays() {
        let mut edits = vec![
            Edit::mask(4..6, "inner"),
            Edit::new(2..8, QUOTED, "outer"),
            Edit::mask(7..9, "next"),
            Edit::mask(9..10, "beside"),
        ];
        settle(&mut edits);
        let ranges: Vec<_> = edits.iter().map(|edit| edit.range.clone()).collect();
        assert_eq!(ranges, [2..9, 9..10]);
    }
}

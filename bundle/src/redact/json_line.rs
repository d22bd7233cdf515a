//! Masks that keep JSON valid: they stay inside strings and do not cut escapes.

use std::ops::Range;

use memchr::memmem;

use super::MASK;
use super::lines::merge;
use super::rules::{Action, Changed, Rule, mask_spans};

/// Where a JSON text stands between two of its parts. A line of indented JSON begins outside of strings.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State {
    in_string: bool,
    /// How many bytes of an escape are still to come.
    escape: usize,
}

impl State {
    /// Cuts `spans` (in order, not overlapping) down to the insides of the strings in `text`, and reads on to the
    /// end of `text`. A span that begins outside of a string, or covers something there that is not JSON, shows
    /// that this is no JSON: then the spans stay as they are.
    pub(super) fn within_strings(
        &mut self,
        text: &[u8],
        spans: &[Range<usize>],
    ) -> Vec<Range<usize>> {
        let mut cut: Vec<Range<usize>> = Vec::new();
        let mut spans_left = spans.iter().peekable();
        let mut is_json = true;
        // The last span that a piece was made for, so that one piece follows another in the same string.
        let mut open: Option<usize> = None;
        let mut index = 0;
        while index < text.len() {
            while spans_left
                .next_if(|span| span.end <= index && span.start < index)
                .is_some()
            {
                open = None;
            }
            let length = self.step(&text[index..]);
            let (length, inside) = (length.bytes.min(text.len() - index), length.inside);
            let token = index..index + length;
            if let Some(span) = spans_left.peek()
                && span.start < token.end
                && (span.end > token.start || span.start >= token.start)
            {
                if span.start >= token.start && !inside && text[token.start] != b'"' {
                    is_json = false;
                }
                if inside {
                    if span.is_empty() {
                        cut.push(token.start..token.start);
                        spans_left.next();
                    } else {
                        match cut.last_mut() {
                            Some(piece)
                                if open == Some(piece.start) && piece.end == token.start =>
                            {
                                piece.end = token.end;
                            }
                            _ => {
                                open = Some(token.start);
                                cut.push(token.clone());
                            }
                        }
                    }
                } else if !is_structure(text, &token) {
                    is_json = false;
                }
            }
            index = token.end;
        }
        if is_json { cut } else { spans.to_vec() }
    }

    /// Reads one token of a string, or one byte outside of strings.
    fn step(&mut self, text: &[u8]) -> Token {
        if self.escape > 0 {
            let bytes = self.escape.min(text.len());
            self.escape -= bytes;
            return Token {
                bytes,
                inside: true,
            };
        }
        match text[0] {
            b'"' => {
                self.in_string = !self.in_string;
                Token {
                    bytes: 1,
                    inside: false,
                }
            }
            b'\\' if self.in_string => {
                let length = if text.get(1) == Some(&b'u') { 6 } else { 2 };
                self.escape = length - length.min(text.len());
                Token {
                    bytes: length.min(text.len()),
                    inside: true,
                }
            }
            b'\n' => {
                self.in_string = false;
                Token {
                    bytes: 1,
                    inside: false,
                }
            }
            _ => Token {
                bytes: 1,
                inside: self.in_string,
            },
        }
    }
}

struct Token {
    bytes: usize,
    inside: bool,
}

/// Whether a byte outside of strings can be part of JSON: punctuation, a number, `true`, `false`, `null`.
fn is_structure(text: &[u8], token: &Range<usize>) -> bool {
    let byte = text[token.start];
    if matches!(byte, b'"' | b'{' | b'}' | b'[' | b']' | b',' | b':') || byte.is_ascii_whitespace()
    {
        return true;
    }
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._".contains(byte);
    let before = text[..token.start]
        .iter()
        .rev()
        .take(40)
        .take_while(|byte| is_word(byte))
        .count();
    let after = text[token.start..]
        .iter()
        .take(40)
        .take_while(|byte| is_word(byte))
        .count();
    let word = &text[token.start - before..token.start + after];
    matches!(word, b"true" | b"false" | b"null")
        || std::str::from_utf8(word).is_ok_and(|word| word.parse::<f64>().is_ok())
}

/// Applies a masking rule as the profile `standard` does: masks that are there already stay whole, and in a line of
/// JSON new ones keep to strings. Other rules as ever.
pub(super) fn apply(rule: &Rule, line: &[u8], json: bool, armed: &mut bool) -> Option<Changed> {
    if !matches!(rule.action, Action::Mask(_) | Action::MaskNext { .. }) {
        return rule.apply(line, armed);
    }
    let mut spans = Vec::new();
    rule.secrets(line, armed, &mut spans);
    if spans.is_empty() {
        return None;
    }
    whole_masks(line, &mut spans);
    if json {
        spans = State::default().within_strings(line, &spans);
    }
    (!spans.is_empty()).then(|| mask_spans(line, &spans))
}

/// Makes a span that touches a part of a mask cover all of it: what was redacted before is not redacted in pieces, which
/// would leave stars behind.
pub(super) fn whole_masks(line: &[u8], spans: &mut Vec<Range<usize>>) {
    let mut touched = false;
    for span in spans.iter_mut() {
        let from = span.start.saturating_sub(MASK.len() - 1);
        let until = line.len().min(span.end + MASK.len() - 1);
        for start in memmem::find_iter(&line[from..until], MASK.as_bytes()) {
            let mask = from + start..from + start + MASK.len();
            if mask.start < span.end && span.start < mask.end {
                *span = span.start.min(mask.start)..span.end.max(mask.end);
                touched = true;
            }
        }
    }
    if touched {
        merge(spans);
    }
}

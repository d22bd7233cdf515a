//! A stream through rules, line by line.

use std::ops::Range;
use std::sync::Arc;

use super::gate::{Gate, Literals};
use super::json_line;
use super::rules::{Changed, Rule, mask_spans};
use super::{Counts, RedactionFailure};

/// The longest line that rules see as a whole, and the size of a window over a longer one.
pub(super) const MAX_LINE: usize = 1 << 20;
/// How far a window reaches back into the one before it. A secret longer than this that begins before it is
/// masked to the next delimiter.
pub(super) const OVERLAP: usize = 128 << 10;
/// The longest line for rules that can rewrite anything and so cannot work in windows.
pub(super) const MAX_REWRITTEN_LINE: usize = 16 << 20;

/// Lines through a chain of rules.
pub(super) struct Lines {
    gate: Option<Arc<Gate>>,
    /// Rules without literals, tried on every line, after those of the gate.
    custom: Vec<Arc<Rule>>,
    /// Which gated rules wait for the next line, a bit each.
    armed: u64,
    custom_armed: Vec<bool>,
    /// The line under way; in a long line, the window under way.
    pending: Vec<u8>,
    long: Option<LongLine>,
    /// Whether the profile is `standard`.
    standard: bool,
    /// Whether masks must keep to JSON strings.
    json: bool,
}

/// A line that is too long to be seen as a whole.
#[derive(Default)]
struct LongLine {
    /// Everything up to the next delimiter belongs to a secret.
    in_secret: bool,
    /// Which gated rules will wait for the next line, a bit each.
    arming: u64,
    /// The state of the JSON text where the window begins.
    strings: json_line::State,
}

impl Lines {
    /// With `standard`, masks that are there already stay whole; with `json`, too, masks keep to the insides of JSON
    /// strings.
    pub(super) fn new(
        gate: Option<Arc<Gate>>,
        custom: Vec<Arc<Rule>>,
        standard: bool,
        json: bool,
    ) -> Self {
        Self {
            gate,
            custom_armed: vec![false; custom.len()],
            custom,
            armed: 0,
            pending: Vec::new(),
            long: None,
            standard,
            json,
        }
    }

    /// Takes bytes, gives those that are decided.
    pub(super) fn push(
        &mut self,
        mut bytes: &[u8],
        out: &mut Vec<u8>,
        counts: &mut Counts,
    ) -> Result<(), RedactionFailure> {
        while !bytes.is_empty() {
            if self.pending.is_empty() && self.long.is_none() {
                let whole = self.whole_lines(bytes);
                if whole > 0 {
                    self.block(&bytes[..whole], out, counts);
                    bytes = &bytes[whole..];
                    continue;
                }
            }
            let room = self.max_line() - self.pending.len();
            let within = &bytes[..bytes.len().min(room)];
            if let Some(end) = memchr::memchr(b'\n', within) {
                self.pending.extend_from_slice(&bytes[..=end]);
                bytes = &bytes[end + 1..];
                self.end_line(out, counts);
            } else {
                self.pending.extend_from_slice(within);
                bytes = &bytes[within.len()..];
                if self.pending.len() == self.max_line() {
                    self.full(out, counts)?;
                }
            }
        }
        Ok(())
    }

    /// Gives the rest.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>, counts: &mut Counts) {
        if !self.pending.is_empty() || self.long.is_some() {
            self.end_line(out, counts);
        }
    }

    fn max_line(&self) -> usize {
        if self.custom.is_empty() {
            MAX_LINE
        } else {
            MAX_REWRITTEN_LINE
        }
    }

    /// How many of `bytes` are whole lines that are not too long.
    fn whole_lines(&self, bytes: &[u8]) -> usize {
        let Some(end) = memchr::memrchr(b'\n', bytes) else {
            return 0;
        };
        if end < self.max_line() {
            return end + 1;
        }
        let mut start = 0;
        for line_end in memchr::memchr_iter(b'\n', &bytes[..=end]) {
            if line_end - start >= self.max_line() {
                break;
            }
            start = line_end + 1;
        }
        start
    }

    /// The pending bytes are a line, or the last window of one.
    fn end_line(&mut self, out: &mut Vec<u8>, counts: &mut Counts) {
        let line = std::mem::take(&mut self.pending);
        if self.long.is_some() {
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            self.window(text, true, out, counts);
            out.extend_from_slice(&line[text.len()..]);
            self.long = None;
        } else {
            self.block(&line, out, counts);
        }
        // Keeps the allocation, unless it has grown beyond what lines need.
        if line.capacity() <= MAX_LINE {
            self.pending = line;
            self.pending.clear();
        }
    }

    /// Whole lines, only the last of which may lack its line break.
    fn block(&mut self, block: &[u8], out: &mut Vec<u8>, counts: &mut Counts) {
        let gate = self.gate.as_deref();
        let mut literals = gate
            .map(|gate| Literals::of(gate, block))
            .unwrap_or_default();
        let mut position = 0;
        while position < block.len() {
            let every_line = self.armed != 0 || !self.custom.is_empty();
            let mut start = position;
            if !every_line {
                let Some(literal) = literals.next_end(position) else {
                    break;
                };
                let before = memchr::memrchr(b'\n', &block[position..literal]);
                start += before.map_or(0, |end| end + 1);
            }
            let end = memchr::memchr(b'\n', &block[start..]);
            let end = end.map_or(block.len(), |length| start + length);
            out.extend_from_slice(&block[position..start]);
            self.line(&block[start..end], literals.rules(start..end), out, counts);
            position = (end + 1).min(block.len());
            out.extend_from_slice(&block[end..position]);
        }
        out.extend_from_slice(&block[position..]);
    }

    fn line(&mut self, line: &[u8], rules: u64, out: &mut Vec<u8>, counts: &mut Counts) {
        let mut changed: Option<Changed> = None;
        if let Some(gate) = self.gate.clone() {
            let mut tried = rules | self.armed;
            while tried != 0 {
                let index = tried.trailing_zeros() as usize;
                tried &= tried - 1;
                let rule = &gate.rules[index];
                let current = changed.as_ref().map_or(line, |changed| &changed.line);
                let mut armed = self.armed & (1 << index) != 0;
                let result = if self.standard {
                    json_line::apply(rule, current, self.json, &mut armed)
                } else {
                    rule.apply(current, &mut armed)
                };
                self.armed = self.armed & !(1 << index) | u64::from(armed) << index;
                if let Some(result) = result {
                    counts.add(&rule.name, result.masks);
                    changed = Some(result);
                }
            }
        }
        for (rule, armed) in self.custom.iter().zip(&mut self.custom_armed) {
            let current = changed.as_ref().map_or(line, |changed| &changed.line);
            if let Some(result) = rule.apply(current, armed) {
                counts.add(&rule.name, result.masks);
                changed = Some(result);
            }
        }
        out.extend_from_slice(changed.as_ref().map_or(line, |changed| &changed.line));
    }

    /// The pending bytes are as many as rules may see.
    fn full(&mut self, out: &mut Vec<u8>, counts: &mut Counts) -> Result<(), RedactionFailure> {
        if let Some(rule) = self.custom.first() {
            return Err(RedactionFailure::LineTooLong {
                redactor: rule.name.to_string(),
            });
        }
        let window = std::mem::take(&mut self.pending);
        self.long.get_or_insert_default();
        let decided = self.window(&window, false, out, counts);
        self.pending = window;
        self.pending.drain(..decided);
        Ok(())
    }

    /// A window over a long line: masks what begins before the part that the next window sees again, and
    /// gives it. Returns how many bytes are decided.
    fn window(&mut self, text: &[u8], last: bool, out: &mut Vec<u8>, counts: &mut Counts) -> usize {
        let mut long = self.long.take().unwrap_or_default();
        let mut start = 0;
        if long.in_secret {
            let end = text.iter().position(|byte| is_delimiter(*byte));
            let end_or_all = end.unwrap_or(text.len());
            // A backslash belongs to the delimiter after it.
            let escapes = text[..end_or_all]
                .iter()
                .rev()
                .take_while(|byte| **byte == b'\\');
            start = end_or_all - escapes.count();
            long.in_secret = end.is_none();
            if long.in_secret && !last {
                self.long = Some(long);
                return start;
            }
        }
        let mut spans: Vec<Range<usize>> = Vec::new();
        let mut end = if last {
            text.len()
        } else {
            start.max(text.len() - OVERLAP)
        };
        if let Some(gate) = &self.gate {
            let mut tried = gate.rules_for(&text[start..]) | self.armed;
            while tried != 0 {
                let index = tried.trailing_zeros() as usize;
                tried &= tried - 1;
                let rule = &gate.rules[index];
                let mut armed = self.armed & (1 << index) != 0;
                let known = spans.len();
                let waited = armed;
                rule.secrets(&text[start..], &mut armed, &mut spans);
                if !waited {
                    long.arming |= u64::from(armed) << index;
                }
                if !last
                    && let Some(pattern) = rule.pattern()
                    && let Some(open) = pattern.open_secret(&text[start..])
                {
                    spans.push(open);
                }
                counts.add(&rule.name, (spans.len() - known) as u64);
            }
        }
        for span in &mut spans {
            *span = span.start + start..span.end + start;
        }
        spans.retain(|span| span.start < end);
        if self.standard {
            json_line::whole_masks(text, &mut spans);
        }
        merge(&mut spans);
        if let Some(final_span) = spans.last() {
            end = end.max(final_span.end);
            long.in_secret |= !last && final_span.end == text.len();
        }
        let decided = &text[start..end];
        for span in &mut spans {
            *span = span.start - start..span.end - start;
        }
        if self.json {
            spans = long.strings.within_strings(decided, &spans);
        }
        out.extend_from_slice(&mask_spans(decided, &spans).line);
        if last {
            self.armed = long.arming;
        }
        self.long = Some(long);
        end
    }
}

/// What ends a secret whose own end is too far away to be seen.
pub(super) fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b';' | b'<' | b'>') || byte.is_ascii_whitespace()
}

/// Sorts spans and joins those that overlap.
pub(super) fn merge(spans: &mut Vec<Range<usize>>) {
    spans.sort_unstable_by_key(|span| (span.start, span.end));
    spans.dedup_by(|next, kept| {
        let overlaps = next.start < kept.end || next.start == kept.start;
        if overlaps {
            kept.end = kept.end.max(next.end);
        }
        overlaps
    });
}

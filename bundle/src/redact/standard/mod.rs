//! The profile `standard`: the classes of secrets that troubleshoot's patterns miss.
//!
//! A text is JSON from a line that begins with a brace or bracket until the document ends or breaks, and lines
//! else. Both kinds of reading say which bytes to replace and how far that is decided; bytes wait only while it
//! is not. Strings in JSON are texts themselves, through all their escapes.

mod edits;
mod json;
mod names;
mod objects;
mod pairs;
mod shapes;
mod text;
mod values;
mod words;
mod yaml;

use std::sync::Arc;

use super::gate::{Gate, Literals};
use super::lines::{MAX_LINE, OVERLAP, is_delimiter};
use super::{Counts, MASK};
use edits::Edit;
use json::{Json, Step};
use pairs::Found;
use text::Text;

/// How deep documents in strings of documents are looked into.
const MAX_DEPTH: usize = 5;
/// How far back a document that breaks off is read again as lines.
const REREAD: usize = 64 << 10;

const PRIVATE_KEY: &str = "private key";

/// The compiled rules.
#[derive(Debug)]
pub(super) struct Finder {
    gate: Gate,
}

/// A text under way.
#[derive(Debug)]
struct Reading {
    mode: Mode,
    text: Text,
    /// How many documents this text is nested in.
    depth: usize,
    /// Up to here everything is read.
    at: usize,
    /// Before this place no document begins.
    no_json_before: usize,
    literals: Literals,
    /// Within a line that is too long to be seen as a whole.
    long: Option<LongLine>,
}

#[derive(Debug)]
enum Mode {
    Lines,
    Json(Json),
}

#[derive(Debug, Default)]
struct LongLine {
    /// Everything up to the next delimiter belongs to a secret.
    in_secret: bool,
}

impl Finder {
    pub(super) fn new() -> Self {
        Self {
            gate: Gate::new(shapes::rules()),
        }
    }

    #[cfg(test)]
    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Reads the inside of a JSON string, of which `text` is the decoded form.
    fn inside_string(
        &self,
        raw: &[u8],
        text: &[u8],
        base: usize,
        depth: usize,
        found: &mut Vec<Edit>,
    ) {
        if depth < MAX_DEPTH {
            let edits = self.read(text, depth + 1);
            edits::encode(raw, base, edits, found);
        }
    }

    /// All edits of a text, settled.
    fn read(&self, text: &[u8], depth: usize) -> Vec<Edit> {
        let mut reading = Reading::new(depth);
        let mut found = Vec::new();
        reading.advance(text, 0, true, self, &mut found);
        edits::settle(&mut found);
        found
    }

    /// The edits of a line as such.
    fn lexical(&self, line: &[u8], bits: u64, found: &mut Vec<Edit>) {
        let mut spans = Vec::new();
        for index in bit_indices(bits & !(shapes::NAMES | shapes::STRUCTURE)) {
            let rule = &self.gate.rules[index];
            spans.clear();
            rule.secrets(line, &mut false, &mut spans);
            let name = shapes::name(index);
            let new = spans
                .iter()
                .filter(|span| &line[(*span).clone()] != MASK.as_bytes());
            found.extend(new.map(|span| Edit::mask(span.clone(), name)));
        }
        if bits & shapes::NAMES != 0 {
            let mut pairs = Vec::new();
            pairs::find(line, &mut pairs);
            found.extend(pairs.into_iter().map(Found::edit));
        }
        if bits & shapes::STRUCTURE != 0 {
            private_keys(line, found);
        }
    }

    /// Documents within a line: JSON, and JSON in the escapes of a string.
    fn embedded(&self, line: &[u8], depth: usize, found: &mut Vec<Edit>) {
        if depth >= MAX_DEPTH {
            return;
        }
        let mut literals = None;
        let mut from = 0;
        // Each attempt reads to the end of its document or to where it breaks.
        for _ in 0..MAX_DEPTH {
            let Some(start) = memchr::memmem::find(&line[from..], b"{\"") else {
                break;
            };
            let start = from + start;
            let literals = literals.get_or_insert_with(|| Literals::of(&self.gate, line));
            let mut json = Json::new(start, start, depth + 1);
            let step = json.scan(line, 0, true, self, literals, found);
            from = match step {
                Step::Done(end) | Step::Broken(end) => end.max(start + 1),
                Step::More => break,
            };
        }
        if let Some(start) = memchr::memmem::find(line, b"{\\\"") {
            let raw = &line[start..];
            self.inside_string(raw, &edits::decode(raw), start, depth, found);
        }
    }
}

/// Private keys whose lines are joined into one, with escapes or without.
fn private_keys(line: &[u8], found: &mut Vec<Edit>) {
    let mut from = 0;
    while let Some(begin) = memchr::memmem::find(&line[from..], b"-----BEGIN ") {
        let label = from + begin + 11;
        let Some(dashes) = memchr::memmem::find(&line[label..], b"-----") else {
            return;
        };
        let body = label + dashes + 5;
        from = body;
        if memchr::memmem::find(&line[label..label + dashes], b"PRIVATE KEY").is_none() {
            continue;
        }
        let rest = &line[body..];
        let end =
            memchr::memmem::find(rest, b"-----END").or_else(|| memchr::memchr2(b'"', b'\'', rest));
        let end = body + end.unwrap_or(rest.len());
        // What escapes a line break stays, so that the text around keeps its form.
        let escapes = |text: &[u8]| text.iter().take_while(|byte| matches!(byte, b'\\')).count();
        let inside = line[body..end].trim_ascii();
        if inside.len() > escapes(inside) + 4 {
            found.push(Edit::mask(body..end, PRIVATE_KEY));
        }
        from = end;
    }
}

fn bit_indices(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let index = (bits != 0).then(|| bits.trailing_zeros() as usize);
        bits &= bits.wrapping_sub(1);
        index
    })
}

impl Reading {
    fn new(depth: usize) -> Self {
        Self {
            mode: Mode::Lines,
            text: Text::default(),
            depth,
            at: 0,
            no_json_before: 0,
            literals: Literals::default(),
            long: None,
        }
    }

    /// Reads on in `text`, which begins at `base`. Returns up to where everything is decided.
    fn advance(
        &mut self,
        text: &[u8],
        base: usize,
        last: bool,
        finder: &Finder,
        found: &mut Vec<Edit>,
    ) -> usize {
        self.literals
            .extend(&finder.gate, &text[self.literals.seen() - base..]);
        loop {
            let before = (self.at, matches!(self.mode, Mode::Json(_)));
            match &mut self.mode {
                Mode::Json(json) => {
                    match json.scan(text, base, last, finder, &mut self.literals, found) {
                        Step::More => {
                            // Lines before the document may still wait for what comes after it.
                            let decided = json.decided();
                            self.text.bound(decided, found);
                            return self
                                .text
                                .waits_from()
                                .map_or(decided, |from| from.min(decided));
                        }
                        Step::Done(end) => {
                            self.at = end;
                            self.mode = Mode::Lines;
                            self.no_json_before = end;
                        }
                        Step::Broken(end) => {
                            self.at = json.line();
                            self.no_json_before = end + 1;
                            self.mode = Mode::Lines;
                        }
                    }
                }
                Mode::Lines => self.lines(text, base, last, finder, found),
            }
            if before == (self.at, matches!(self.mode, Mode::Json(_))) {
                break;
            }
        }
        if last {
            self.text.finish(found);
        }
        self.text
            .waits_from()
            .map_or(self.at, |from| from.min(self.at))
    }

    /// Reads lines, until a document begins.
    fn lines(
        &mut self,
        text: &[u8],
        base: usize,
        last: bool,
        finder: &Finder,
        found: &mut Vec<Edit>,
    ) {
        while self.at - base < text.len() {
            let block = &text[self.at - base..];
            let line_end = memchr::memchr(b'\n', block);
            let length = line_end.unwrap_or(block.len());
            if self.long.is_some() || length > MAX_LINE {
                if self.window(block, line_end, last, finder, found) {
                    continue;
                }
                return;
            }
            if line_end.is_none() && !last {
                return;
            }
            let line = &block[..length];
            let blanks = line
                .iter()
                .take_while(|byte| matches!(byte, b' ' | b'\t'))
                .count();
            if matches!(line.get(blanks), Some(b'{' | b'['))
                && self.at + blanks >= self.no_json_before
                && begins_document(&line[blanks..])
            {
                self.mode = Mode::Json(Json::new(self.at + blanks, self.at, self.depth));
                return;
            }
            let bits = self.literals.rules(self.at..self.at + length);
            if bits != 0 || self.text.needs_every_line() {
                self.text
                    .line(line, self.at, bits, finder, self.depth, found);
            }
            self.at += length + usize::from(line_end.is_some());
        }
    }

    /// Reads a window of a line that is too long. Says whether it could.
    fn window(
        &mut self,
        block: &[u8],
        line_end: Option<usize>,
        last: bool,
        finder: &Finder,
        found: &mut Vec<Edit>,
    ) -> bool {
        let mut long = self.long.take().unwrap_or_default();
        let end = line_end.unwrap_or(block.len()).min(MAX_LINE);
        let is_last = line_end == Some(end) || (line_end.is_none() && last && end == block.len());
        if !is_last && end < MAX_LINE {
            self.long = Some(long);
            return false;
        }
        let window = &block[..end];
        let mut from = 0;
        if long.in_secret {
            let delimiter = window.iter().position(|byte| is_delimiter(*byte));
            from = delimiter.unwrap_or(window.len());
            from -= window[..from]
                .iter()
                .rev()
                .take_while(|byte| **byte == b'\\')
                .count();
            long.in_secret = delimiter.is_none();
            if from > 0 {
                found.push(Edit::new(self.at..self.at + from, "", PRIVATE_KEY));
            }
        }
        let text = &window[from..];
        let mut edits = Vec::new();
        let bits = self.literals.rules(self.at + from..self.at + end);
        finder.lexical(text, bits, &mut edits);
        if !is_last {
            for index in bit_indices(bits & !(shapes::NAMES | shapes::STRUCTURE)) {
                let pattern = finder.gate.rules[index].pattern();
                let open = pattern.and_then(|pattern| pattern.open_secret(text));
                edits.extend(open.map(|span| Edit::mask(span, shapes::name(index))));
            }
        }
        edits::settle(&mut edits);
        let mut decided = if is_last {
            text.len()
        } else {
            text.len().saturating_sub(OVERLAP)
        };
        edits.retain(|edit| edit.range.start < decided);
        if let Some(edit) = edits.last() {
            decided = decided.max(edit.range.end);
            long.in_secret |= !is_last && edit.range.end == text.len();
        }
        let base = self.at + from;
        found.extend(edits.into_iter().map(|edit| edit.shifted(base)));
        self.at = base + decided;
        if is_last {
            self.at += usize::from(line_end.is_some());
        } else {
            self.long = Some(long);
        }
        true
    }
}

/// Whether a document begins with this line, of which `text` is what follows the white space in front.
fn begins_document(text: &[u8]) -> bool {
    let next = text[1..].iter().find(|byte| !byte.is_ascii_whitespace());
    match text[0] {
        b'{' => matches!(next, None | Some(b'"' | b'}')),
        _ => matches!(next, None | Some(b'{' | b'[' | b'"' | b']')),
    }
}

/// The last stage of a file in the profile `standard`.
#[derive(Debug)]
pub(super) struct Standard {
    finder: Arc<Finder>,
    reading: Reading,
    /// What is not given yet, and where it begins.
    buffer: Vec<u8>,
    base: usize,
    edits: Vec<Edit>,
}

impl Standard {
    pub(super) fn new(finder: Arc<Finder>) -> Self {
        Self {
            finder,
            reading: Reading::new(0),
            buffer: Vec::new(),
            base: 0,
            edits: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>, counts: &mut Counts) {
        self.buffer.extend_from_slice(bytes);
        self.advance(false, out, counts);
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>, counts: &mut Counts) {
        self.advance(true, out, counts);
    }

    fn advance(&mut self, last: bool, out: &mut Vec<u8>, counts: &mut Counts) {
        let decided =
            self.reading
                .advance(&self.buffer, self.base, last, &self.finder, &mut self.edits);
        // Nothing before the base can be undecided: it is given.
        debug_assert!(last || decided >= self.base, "{decided} < {}", self.base);
        let decided = if last {
            self.base + self.buffer.len()
        } else {
            decided.max(self.base)
        };
        let mut ready: Vec<Edit> = self
            .edits
            .extract_if(.., |edit| edit.range.end <= decided)
            .collect();
        edits::settle(&mut ready);
        let length = decided - self.base;
        edits::apply(&self.buffer[..length], self.base, &ready, out, counts);
        self.buffer.drain(..length);
        self.base = decided;
        self.reading.literals.forget_before(decided);
    }
}

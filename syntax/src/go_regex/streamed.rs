//! The leftmost match in a text that is larger than memory: one automaton runs forward to its end, another from there
//! back to its beginning, and the groups are found in the match alone.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchError, MatchKind, meta};
use regex_syntax::hir::Look;

use super::{
    Captures, GoRegex, GoRegexError, Haystack, MAX_CACHE, MAX_PROGRAM, Problem, nest_limit,
};

/// How much of a text is held at a time, in bytes.
const PIECE: usize = 256 << 10;
/// The longest character of UTF-8, in bytes.
const LONGEST: usize = 4;

/// An expression for texts that are read piece by piece.
#[derive(Debug)]
pub struct Streamed {
    forward: DFA,
    backward: DFA,
    groups: meta::Regex,
    /// How much of a text is held at a time, in bytes; more than two of the longest characters.
    piece: usize,
}

impl GoRegex {
    /// The expression for a text that is not held as a whole. Like the expression itself it takes 32 MiB at most. There is
    /// none where a match may be empty and lie between the bytes of a character, as `\B` does: Go sees no such match.
    pub fn streamed(&self) -> Result<Option<Streamed>, GoRegexError> {
        if self.may_be_empty && self.looks.contains(Look::WordAsciiNegate) {
            return Ok(None);
        }
        let too_large = || GoRegexError::new(Problem::TooLarge, "");
        let pattern = self.regex.as_str();
        let syntax = syntax::Config::new().utf8(false).nest_limit(nest_limit());
        let automaton = |kind: MatchKind, reverse: bool| {
            let program = thompson::Config::new()
                .utf8(false)
                .nfa_size_limit(Some(MAX_PROGRAM))
                .reverse(reverse);
            let config = DFA::config()
                .match_kind(kind)
                .cache_capacity(MAX_CACHE)
                .skip_cache_capacity_check(true);
            let mut builder = DFA::builder();
            builder.configure(config).thompson(program).syntax(syntax);
            builder.build(pattern).map_err(|_| too_large())
        };
        let groups = meta::Config::new()
            .utf8_empty(false)
            .nfa_size_limit(Some(MAX_PROGRAM))
            .hybrid_cache_capacity(MAX_CACHE);
        let mut builder = meta::Builder::new();
        builder.configure(groups).syntax(syntax);
        Ok(Some(Streamed {
            forward: automaton(MatchKind::LeftmostFirst, false)?,
            backward: automaton(MatchKind::All, true)?,
            groups: builder.build(pattern).map_err(|_| too_large())?,
            piece: PIECE,
        }))
    }
}

impl Streamed {
    /// The leftmost match, as [`GoRegex::find`] finds it in the whole text. Reads the text once up to the match's end, and
    /// the match once more.
    pub fn find<S: Read + Seek>(&self, source: &mut S) -> io::Result<Option<Range<u64>>> {
        let Some(end) = self.end(source)? else {
            return Ok(None);
        };
        Ok(Some(self.start(source, end)?..end))
    }

    /// The groups of the match that lies at `span` in `text`. The text holds a character before and behind the match, where
    /// there is one, and need not hold more.
    #[must_use]
    pub fn captures<'t>(&self, text: &'t [u8], span: Range<usize>) -> Option<Captures<'t>> {
        let haystack = Haystack::new(text);
        let span = haystack.of_original(span.start)..haystack.of_original(span.end);
        let input = Input::new(&haystack.text[..])
            .span(span)
            .anchored(Anchored::Yes);
        let mut found = self.groups.create_captures();
        self.groups.search_captures(&input, &mut found);
        found.get_match()?;
        let spans = (0..found.group_len())
            .map(|index| found.get_group(index))
            .map(|group| group.map(|group| haystack.original_span(group.range())))
            .collect();
        Some(Captures { text, spans })
    }

    /// Where the leftmost match ends.
    fn end<S: Read + Seek>(&self, source: &mut S) -> io::Result<Option<u64>> {
        let mut cache = self.forward.create_cache();
        let start = self
            .forward
            .start_state_forward(&mut cache, &Input::new(""));
        let mut walk = Walk::new(&self.forward, &mut cache, start)?;
        let mut piece = Vec::new();
        let mut at = 0;
        loop {
            let is_last = piece_at(source, at, self.piece, &mut piece)?;
            for unit in units(&piece) {
                for byte in unit.bytes() {
                    if walk.step(*byte, at)? {
                        return Ok(walk.matched);
                    }
                    at += unit.step;
                }
                at += unit.rest;
            }
            if is_last {
                return walk.finish(at);
            }
        }
    }

    /// Where the leftmost match begins, which ends at `end`.
    fn start<S: Read + Seek>(&self, source: &mut S, end: u64) -> io::Result<u64> {
        let mut behind = Vec::new();
        source.seek(SeekFrom::Start(end))?;
        Read::take(&mut *source, 1).read_to_end(&mut behind)?;
        let input = Input::new(&behind).span(0..0).anchored(Anchored::Yes);
        let mut cache = self.backward.create_cache();
        let start = self.backward.start_state_reverse(&mut cache, &input);
        let mut walk = Walk::new(&self.backward, &mut cache, start)?;
        let mut piece = Vec::new();
        let mut at = end;
        while at > 0 {
            piece_before(source, at, self.piece, &mut piece)?;
            for unit in units(&piece).collect::<Vec<_>>().into_iter().rev() {
                for byte in unit.bytes().iter().rev() {
                    if walk.step(*byte, at)? {
                        return Ok(walk.matched.unwrap_or(end));
                    }
                    at -= unit.step;
                }
                at -= unit.rest;
            }
        }
        Ok(walk.finish(at)?.unwrap_or(end))
    }
}

/// An automaton on its way over bytes. A match is known one byte after its last.
struct Walk<'a> {
    automaton: &'a DFA,
    cache: &'a mut Cache,
    state: LazyStateID,
    matched: Option<u64>,
}

impl<'a> Walk<'a> {
    fn new(
        automaton: &'a DFA,
        cache: &'a mut Cache,
        start: Result<LazyStateID, MatchError>,
    ) -> io::Result<Self> {
        Ok(Self {
            automaton,
            cache,
            state: start.map_err(io::Error::other)?,
            matched: None,
        })
    }

    /// Takes the byte that stands at `at`; true where nothing that follows can change the answer.
    fn step(&mut self, byte: u8, at: u64) -> io::Result<bool> {
        let next = self.automaton.next_state(self.cache, self.state, byte);
        self.state = next.map_err(io::Error::other)?;
        if !self.state.is_tagged() {
            return Ok(false);
        }
        if self.state.is_match() {
            self.matched = Some(at);
        }
        Ok(self.state.is_dead())
    }

    /// The text ends at `at`.
    fn finish(mut self, at: u64) -> io::Result<Option<u64>> {
        let next = self.automaton.next_eoi_state(self.cache, self.state);
        self.state = next.map_err(io::Error::other)?;
        if self.state.is_match() {
            self.matched = Some(at);
        }
        Ok(self.matched)
    }
}

/// A part of a piece, as the engine sees it: text, or U+FFFD for a byte that is none.
struct Unit<'t> {
    text: Option<&'t [u8]>,
    /// How far a byte of it leads in the original.
    step: u64,
    /// How far the end leads beyond that.
    rest: u64,
}

impl Unit<'_> {
    fn bytes(&self) -> &[u8] {
        self.text.unwrap_or("\u{FFFD}".as_bytes())
    }
}

fn units(piece: &[u8]) -> impl Iterator<Item = Unit<'_>> {
    piece.utf8_chunks().flat_map(|chunk| {
        let valid = Unit {
            text: Some(chunk.valid().as_bytes()),
            step: 1,
            rest: 0,
        };
        let replaced = chunk.invalid().iter().map(|_| Unit {
            text: None,
            step: 0,
            rest: 1,
        });
        std::iter::once(valid).chain(replaced)
    })
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

/// Reads up to `length` bytes at `at`, and ends the piece where a character does; whether the text ends with it.
fn piece_at<S: Read + Seek>(
    source: &mut S,
    at: u64,
    length: usize,
    piece: &mut Vec<u8>,
) -> io::Result<bool> {
    piece.clear();
    source.seek(SeekFrom::Start(at))?;
    Read::take(&mut *source, length as u64).read_to_end(piece)?;
    if piece.len() < length {
        return Ok(true);
    }
    // A character begins at a byte that continues none, or behind as many that do as the longest has.
    let tail = piece.len() - LONGEST;
    if let Some(start) = piece[tail..]
        .iter()
        .rposition(|byte| !is_continuation(*byte))
    {
        piece.truncate(tail + start);
    }
    Ok(false)
}

/// Reads up to `length` bytes before `at`, and begins the piece where a character does.
fn piece_before<S: Read + Seek>(
    source: &mut S,
    at: u64,
    length: usize,
    piece: &mut Vec<u8>,
) -> io::Result<()> {
    let start = at.saturating_sub(length as u64);
    source.seek(SeekFrom::Start(start))?;
    piece.clear();
    Read::take(&mut *source, at - start).read_to_end(piece)?;
    if piece.len() as u64 != at - start {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if start > 0 {
        let first = piece.iter().take(LONGEST - 1);
        let continued = first.take_while(|byte| is_continuation(**byte)).count();
        piece.drain(..continued);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    /// Expressions of what spans lines, looks around, is greedy, lazy, empty, and of alternatives of which the first
    /// counts.
    fn pattern() -> impl Strategy<Value = String> {
        let atom = prop::sample::select(vec![
            "a", "b", "é", "\\n", "\\s", ".", "(?s:.)", "[^a]", "\\b", "\\B", "^", "$", "(?m:^)",
            "(?m:$)", "\\A", "\\z", "\u{FFFD}", "ab", "(?i:A)", "",
        ]);
        let repeated = (
            atom,
            prop::sample::select(vec![
                "", "", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{0,2}",
            ]),
        )
            .prop_map(|(atom, times)| match (atom, times) {
                ("", _) | (_, "") => atom.to_owned(),
                ("ab" | "\\b" | "\\B" | "^" | "$" | "\\A" | "\\z", times) => {
                    format!("(?:{atom}){times}")
                }
                (atom, times) => format!("{atom}{times}"),
            });
        let sequence = prop::collection::vec(repeated, 0..5).prop_map(|parts| parts.concat());
        let grouped = prop::collection::vec(sequence, 1..4).prop_map(|parts| parts.join("|"));
        prop_oneof![
            grouped.clone(),
            (grouped.clone(), grouped).prop_map(|(one, other)| format!("({one})(?P<x>{other})")),
        ]
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let part = prop::sample::select(vec![
            &b"a"[..],
            b"b",
            b"\n",
            b" ",
            "é".as_bytes(),
            "\u{1F600}".as_bytes(),
            b"\x80",
            b"\xE2\x82",
            b"\xF0",
            b"\x80\x80\x80\x80\x80",
        ]);
        prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
    }

    proptest! {
        /// Pieces change nothing: not where the match lies, not what its groups hold.
        #[test]
        fn pieces_find_what_the_whole_finds(pattern in pattern(), text in text(), piece in 9_usize..30) {
            let regex = GoRegex::new(&pattern).expect("a valid expression");
            let streamed = regex.streamed().expect("an expression that is not too large");
            let Some(streamed) = streamed else { return Ok(()) };
            let streamed = Streamed { piece, ..streamed };
            let found = streamed.find(&mut Cursor::new(&text)).expect("a text in memory");
            let whole = regex.captures(&text);
            let span = whole.as_ref().map(Captures::whole);
            prop_assert_eq!(found, span.clone().map(|span| span.start as u64..span.end as u64));
            if let (Some(span), Some(whole)) = (span, whole) {
                let from = span.start.saturating_sub(LONGEST);
                let to = text.len().min(span.end + LONGEST);
                let around = &text[from..to];
                let captures = streamed.captures(around, span.start - from..span.end - from);
                let captures = captures.expect("the match");
                for index in 0..regex.group_names().len() {
                    prop_assert_eq!(captures.get(index), whole.get(index), "group {}", index);
                }
            }
        }
    }
}

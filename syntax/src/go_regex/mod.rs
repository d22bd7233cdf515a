//! Regular expressions as Go's `regexp` (RE2) reads and matches them, on the `regex` crate.
//!
//! The two engines share the matching rule (leftmost, first alternative) but not the syntax: in Go `\w`,
//! `\d`, `\s` and `\b` are ASCII, `\Q…\E`, octal escapes and a bare `{` exist, `&&` is text inside a class, and group
//! names may repeat. [`translate`] prints one in the other. Bytes that are no UTF-8 count as U+FFFD,
//! one for each byte, as in Go.

mod classes;
mod streamed;
mod translate;

use std::borrow::Cow;
use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind, Look, LookSet};

pub use streamed::Streamed;

/// How large a compiled program may grow, in bytes.
const MAX_PROGRAM: usize = 32 << 20;
/// How much memory a search may use for its lazily built automaton, in bytes.
const MAX_CACHE: usize = 1 << 20;

/// A compiled regular expression.
#[derive(Debug, Clone)]
pub struct GoRegex {
    written: Box<str>,
    regex: Regex,
    names: Box<[Option<Box<str>>]>,
    may_match_newline: bool,
    looks: LookSet,
    may_be_empty: bool,
}

/// Why a text is no regular expression, in Go's words: ``error parsing regexp: missing closing ): `(a` ``.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {problem}: `{part}`")]
pub struct GoRegexError {
    problem: Problem,
    part: Box<str>,
}

/// What is wrong with a pattern; the texts are those of Go's `regexp/syntax`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("invalid character class range")]
    CharRange,
    #[error("invalid escape sequence")]
    Escape,
    #[error("invalid named capture")]
    NamedCapture,
    #[error("invalid or unsupported Perl syntax")]
    PerlSyntax,
    #[error("invalid nested repetition operator")]
    RepeatOp,
    #[error("invalid repeat count")]
    RepeatCount,
    #[error("missing closing ]")]
    MissingBracket,
    #[error("missing closing )")]
    MissingParen,
    #[error("missing argument to repetition operator")]
    RepeatArgument,
    #[error("trailing backslash at end of expression")]
    TrailingBackslash,
    #[error("unexpected )")]
    UnexpectedParen,
    #[error("expression nests too deeply")]
    Nesting,
    #[error("expression too large")]
    TooLarge,
}

impl GoRegexError {
    fn new(problem: Problem, part: &str) -> Self {
        Self {
            problem,
            part: part.into(),
        }
    }
}

/// The parts of one match: the whole, and every group that took part.
#[derive(Debug, Clone)]
pub struct Captures<'t> {
    text: &'t [u8],
    spans: Vec<Option<Range<usize>>>,
}

impl<'t> Captures<'t> {
    /// The text of group `index`, 0 for the whole match; nothing when the group took no part.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'t [u8]> {
        self.span(index).map(|span| &self.text[span])
    }

    /// Where group `index` lies in the text.
    #[must_use]
    pub fn span(&self, index: usize) -> Option<Range<usize>> {
        self.spans.get(index).cloned().flatten()
    }

    /// Where the whole match lies.
    #[must_use]
    pub fn whole(&self) -> Range<usize> {
        self.span(0).unwrap_or(0..0)
    }
}

/// A text as the engine sees it: itself, or with U+FFFD for every byte that is no UTF-8.
struct Haystack<'t> {
    text: Cow<'t, [u8]>,
    /// Where replaced bytes begin in `text`; each is two bytes longer than in the original.
    replaced: Vec<usize>,
}

impl<'t> Haystack<'t> {
    fn new(text: &'t [u8]) -> Self {
        if std::str::from_utf8(text).is_ok() {
            return Self {
                text: Cow::Borrowed(text),
                replaced: Vec::new(),
            };
        }
        let mut valid = Vec::with_capacity(text.len() + 16);
        let mut replaced = Vec::new();
        for chunk in text.utf8_chunks() {
            valid.extend_from_slice(chunk.valid().as_bytes());
            for _ in chunk.invalid() {
                replaced.push(valid.len());
                valid.extend_from_slice("\u{FFFD}".as_bytes());
            }
        }
        Self {
            text: Cow::Owned(valid),
            replaced,
        }
    }

    fn original(&self, offset: usize) -> usize {
        offset - 2 * self.replaced.partition_point(|start| *start < offset)
    }

    /// Where an offset of the original lies.
    fn of_original(&self, offset: usize) -> usize {
        let before = |(index, start): &(usize, &usize)| *start - 2 * index < offset;
        offset + 2 * self.replaced.iter().enumerate().take_while(before).count()
    }

    fn original_span(&self, span: Range<usize>) -> Range<usize> {
        self.original(span.start)..self.original(span.end)
    }

    fn is_boundary(&self, offset: usize) -> bool {
        self.text.get(offset).is_none_or(|byte| byte & 0xC0 != 0x80)
    }

    /// The end of the character that begins at `offset`.
    fn next_boundary(&self, offset: usize) -> usize {
        let mut next = offset + 1;
        while !self.is_boundary(next) {
            next += 1;
        }
        next
    }
}

impl GoRegex {
    /// Compiles a pattern in Go's syntax.
    ///
    /// Memory is bounded: a pattern over 32 KiB, one that nests deeper than 250, or one whose program would
    /// exceed 32 MiB is refused (`expression too large`, `expression nests too deeply`).
    pub fn new(pattern: &str) -> Result<Self, GoRegexError> {
        let translation = translate::translate(pattern)?;
        let too_large = || GoRegexError::new(Problem::TooLarge, "");
        let regex = RegexBuilder::new(&translation.pattern)
            .nest_limit(nest_limit())
            .size_limit(MAX_PROGRAM)
            .dfa_size_limit(MAX_CACHE)
            .build()
            .map_err(|_| too_large())?;
        let tree = regex_syntax::ParserBuilder::new()
            .nest_limit(nest_limit())
            .utf8(false)
            .build()
            .parse(&translation.pattern)
            .map_err(|_| too_large())?;
        Ok(Self {
            written: pattern.into(),
            regex,
            names: translation.names.into(),
            may_match_newline: consumes_newline(&tree),
            looks: tree.properties().look_set(),
            may_be_empty: tree.properties().minimum_len().is_none_or(|len| len == 0),
        })
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The names of the groups by index as written, the whole match (nameless) first. Names may repeat.
    #[must_use]
    pub fn group_names(&self) -> &[Option<Box<str>>] {
        &self.names
    }

    /// Whether a match can hold a line break. Where it cannot, a text may be searched line by line, as long as
    /// [`GoRegex::anchors_to_text`] is heeded.
    #[must_use]
    pub fn may_match_newline(&self) -> bool {
        self.may_match_newline
    }

    /// Whether the pattern looks for the start or end of the whole text (`^`, `$`, `\A`, `\z` without
    /// `(?m)`), which a search line by line finds at every line.
    #[must_use]
    pub fn anchors_to_text(&self) -> bool {
        self.looks.contains(Look::Start) || self.looks.contains(Look::End)
    }

    /// Whether the pattern matches anywhere in `text`.
    #[must_use]
    pub fn is_match(&self, text: &[u8]) -> bool {
        let haystack = Haystack::new(text);
        if self.may_be_empty {
            self.find_in(&haystack, 0).is_some()
        } else {
            self.regex.is_match(&haystack.text)
        }
    }

    /// The leftmost match.
    #[must_use]
    pub fn find(&self, text: &[u8]) -> Option<Range<usize>> {
        let haystack = Haystack::new(text);
        let found = self.find_in(&haystack, 0)?;
        Some(haystack.original_span(found))
    }

    /// The leftmost match with its groups.
    #[must_use]
    pub fn captures<'t>(&self, text: &'t [u8]) -> Option<Captures<'t>> {
        let haystack = Haystack::new(text);
        self.captures_in(&haystack, text, 0)
            .map(|(captures, _)| captures)
    }

    /// Replaces every match with what `template` expands to (see [`GoRegex::expand`]), as Go's `ReplaceAll`
    /// does. Borrows when nothing matched.
    #[must_use]
    pub fn replace_all<'t>(&self, text: &'t [u8], template: &[u8]) -> Cow<'t, [u8]> {
        self.replace_all_with(text, |captures, out| self.expand(template, captures, out))
    }

    /// Replaces every match with what `replace` appends for it. Borrows when nothing matched.
    pub fn replace_all_with<'t>(
        &self,
        text: &'t [u8],
        mut replace: impl FnMut(&Captures<'t>, &mut Vec<u8>),
    ) -> Cow<'t, [u8]> {
        let mut out = Vec::new();
        let mut copied = None;
        self.each_match(text, |captures| {
            let whole = captures.whole();
            out.extend_from_slice(&text[copied.unwrap_or(0)..whole.start]);
            replace(captures, &mut out);
            copied = Some(whole.end);
        });
        let Some(copied) = copied else {
            return Cow::Borrowed(text);
        };
        out.extend_from_slice(&text[copied..]);
        Cow::Owned(out)
    }

    /// Calls `each` for every match that Go's `ReplaceAll` would replace, in order: they do not overlap, and an
    /// empty match right after another one is left out.
    pub fn each_match<'t>(&self, text: &'t [u8], mut each: impl FnMut(&Captures<'t>)) {
        let haystack = Haystack::new(text);
        let (mut last_end, mut position) = (0, 0);
        while position <= haystack.text.len() {
            let Some((captures, found)) = self.captures_in(&haystack, text, position) else {
                break;
            };
            let whole = captures.whole();
            if whole.end > last_end || whole.start == 0 {
                each(&captures);
            }
            last_end = whole.end;
            position = if found.end > position {
                found.end
            } else {
                haystack.next_boundary(position)
            };
        }
    }

    /// Appends `template` to `out` with `$1`, `${1}`, `$name` and `${name}` replaced by the group's text and
    /// `$$` by a dollar sign. A name is as long as it can be: `$1x` is the group `1x`. Groups that are not there
    /// or took no part are empty; of several with one name the first that took part counts.
    pub fn expand(&self, template: &[u8], captures: &Captures<'_>, out: &mut Vec<u8>) {
        let mut rest = template;
        while let Some(dollar) = rest.iter().position(|byte| *byte == b'$') {
            out.extend_from_slice(&rest[..dollar]);
            rest = &rest[dollar + 1..];
            if let Some(after) = rest.strip_prefix(b"$") {
                out.push(b'$');
                rest = after;
                continue;
            }
            let Some((name, length)) = group_reference(rest) else {
                out.push(b'$');
                continue;
            };
            rest = &rest[length..];
            let group = match group_number(name) {
                Some(index) => captures.get(index),
                None => self.named(name, captures),
            };
            out.extend_from_slice(group.unwrap_or_default());
        }
        out.extend_from_slice(rest);
    }

    fn named<'t>(&self, name: &str, captures: &Captures<'t>) -> Option<&'t [u8]> {
        let named = self.names.iter().enumerate();
        named
            .filter(|(_, known)| known.as_deref() == Some(name))
            .find_map(|(index, _)| captures.get(index))
    }

    /// The leftmost match at or after `from` that does not lie inside a character: `\B` and the empty
    /// pattern match between any two bytes for the engine, between characters for Go.
    fn find_in(&self, haystack: &Haystack<'_>, mut from: usize) -> Option<Range<usize>> {
        loop {
            let found = self.regex.find_at(&haystack.text, from)?;
            if haystack.is_boundary(found.start()) {
                return Some(found.range());
            }
            from = haystack.next_boundary(found.start());
        }
    }

    /// As [`GoRegex::find_in`], with the groups in terms of the original text and the whole match in terms of
    /// the haystack.
    fn captures_in<'t>(
        &self,
        haystack: &Haystack<'_>,
        text: &'t [u8],
        from: usize,
    ) -> Option<(Captures<'t>, Range<usize>)> {
        let found = self.find_in(haystack, from)?;
        let mut locations = self.regex.capture_locations();
        self.regex
            .captures_read_at(&mut locations, &haystack.text, found.start)?;
        let spans = (0..locations.len())
            .map(|index| locations.get(index))
            .map(|span| span.map(|(start, end)| haystack.original_span(start..end)))
            .collect();
        Some((Captures { text, spans }, found))
    }
}

/// How deeply a translated pattern may nest: groups that the translation adds nest, too.
fn nest_limit() -> u32 {
    u32::try_from(translate::MAX_DEPTH * 4).unwrap_or(u32::MAX)
}

/// Whether any part of a pattern consumes a line break.
fn consumes_newline(tree: &Hir) -> bool {
    let mut open = vec![tree];
    while let Some(part) = open.pop() {
        match part.kind() {
            HirKind::Literal(literal) if literal.0.contains(&b'\n') => return true,
            HirKind::Class(Class::Unicode(class)) => {
                if class
                    .iter()
                    .any(|range| (range.start()..=range.end()).contains(&'\n'))
                {
                    return true;
                }
            }
            HirKind::Class(Class::Bytes(class)) => {
                if class
                    .iter()
                    .any(|range| (range.start()..=range.end()).contains(&b'\n'))
                {
                    return true;
                }
            }
            _ => open.extend(part.kind().subs()),
        }
    }
    false
}

/// The name after a dollar sign, with or without braces, and how many bytes the reference takes.
fn group_reference(text: &[u8]) -> Option<(&str, usize)> {
    let brace = usize::from(text.starts_with(b"{"));
    let tail = &text[brace..];
    let valid = match std::str::from_utf8(tail) {
        Ok(tail) => tail,
        Err(error) => std::str::from_utf8(&tail[..error.valid_up_to()]).ok()?,
    };
    let end = valid
        .find(|sign: char| !(sign.is_alphanumeric() || sign == '_'))
        .unwrap_or(valid.len());
    let name = &valid[..end];
    let closed = brace == 0 || tail.get(end) == Some(&b'}');
    (end > 0 && closed).then_some((name, end + 2 * brace))
}

/// The index that a group reference stands for, if it is a number: no leading zero, below 100,000,000.
fn group_number(name: &str) -> Option<usize> {
    let digits = name.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || name.len() > 9 || (name.len() > 1 && name.starts_with('0')) {
        return None;
    }
    name.parse().ok()
}

#[cfg(test)]
mod tests;

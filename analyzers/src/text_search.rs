//! Searching files that may be larger than memory.
//!
//! An expression that cannot match across a line break and does not ask for the beginning or the end of the
//! text sees the same in a window of whole lines as in the whole file, so such searches run over windows. The
//! others see the whole file: it is held where it is not large, and else read piece by piece.

use std::io::{Read, Seek};
use std::ops::Range;
use std::sync::LazyLock;

use bundle::Files;
use regex::bytes::Regex;
use syntax::go_regex::{Captures, GoRegex, GoRegexError, Streamed};

use crate::document::is_masked;
use crate::finding::NotEvaluated;

/// How much a search may hold and read, in bytes.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// How much is read at a time, and held around a match.
    window: usize,
    /// The largest file that is held as a whole.
    held: usize,
    /// The longest line, and the longest match.
    line: usize,
    /// The largest file that an expression which may span lines is searched in.
    whole: u64,
}

const BOUNDS: Bounds = Bounds {
    window: 1 << 20,
    held: 32 << 20,
    line: 64 << 20,
    whole: 256 << 20,
};

/// The first match in a file.
#[derive(Debug)]
pub(crate) struct Match {
    /// The number of the line in which it begins, from 1.
    pub(crate) line: usize,
    /// The text of each group, the whole match first; nothing for a group that took no part.
    pub(crate) groups: Vec<Option<String>>,
    /// Whether part of it is what redaction put in place of a value.
    pub(crate) touches_mask: bool,
    /// Whether its lines would not match without that.
    pub(crate) owes_to_mask: bool,
}

/// Finds the leftmost match in the file at `path`.
pub(crate) fn search(
    files: &Files,
    path: &str,
    regex: &GoRegex,
) -> Result<Option<Match>, NotEvaluated> {
    let mut reader = files.open(path)?;
    search_in(&mut reader, files.length(path)?, regex, BOUNDS).map_err(|error| match error {
        SearchError::Read(error) => {
            NotEvaluated::Unknown(format!("{path} cannot be read: {error}"))
        }
        SearchError::TooLarge(what, limit) => NotEvaluated::Unknown(format!(
            "{path} was not searched for {:?}: {what} is larger than {} MiB",
            regex.as_str(),
            limit >> 20
        )),
        SearchError::Regex(error) => NotEvaluated::Spec(error.to_string()),
    })
}

/// Finds the leftmost match in a text. A group that has part of a mask has all of it, so that nobody takes that
/// part for a value.
pub(crate) fn search_text(text: &[u8], regex: &GoRegex) -> Option<Match> {
    let captures = regex.captures(text)?;
    Some(described(text, &captures, regex))
}

/// What is to be known of a match in a text that holds the lines around it.
fn described(text: &[u8], captures: &Captures<'_>, regex: &GoRegex) -> Match {
    let whole = captures.whole();
    let lines = lines_around(text, &whole);
    let masks: Vec<Range<usize>> = MASKS
        .find_iter(&text[lines.clone()])
        .map(|mask| lines.start + mask.start()..lines.start + mask.end())
        .collect();
    let groups = (0..regex.group_names().len())
        .map(|index| captures.span(index))
        .map(|group| {
            let group = with_whole_masks(&group?, &masks);
            Some(String::from_utf8_lossy(&text[group]).into_owned())
        })
        .collect();
    let touches_mask = masks.iter().any(|mask| overlap(mask, &whole));
    Match {
        line: count_lines(&text[..whole.start]) + 1,
        groups,
        touches_mask,
        owes_to_mask: touches_mask && !regex.is_match(&MASKS.replace_all(&text[lines], b"")),
    }
}

/// Why a search did not come to its end.
#[derive(Debug)]
enum SearchError {
    Read(std::io::Error),
    /// What exceeds which bound.
    TooLarge(&'static str, u64),
    Regex(GoRegexError),
}

impl From<std::io::Error> for SearchError {
    fn from(error: std::io::Error) -> Self {
        Self::Read(error)
    }
}

/// Finds the leftmost match in a file of this length.
fn search_in<S: Read + Seek>(
    file: &mut S,
    length: u64,
    regex: &GoRegex,
    bounds: Bounds,
) -> Result<Option<Match>, SearchError> {
    if !regex.may_match_newline() && !regex.anchors_to_text() {
        return search_lines(file, regex, bounds);
    }
    if length > bounds.whole {
        return Err(SearchError::TooLarge("the file", bounds.whole));
    }
    let streamed = if length > bounds.held as u64 {
        regex.streamed().map_err(SearchError::Regex)?
    } else {
        None
    };
    if let Some(streamed) = streamed {
        return search_stream(file, &streamed, regex, bounds);
    }
    if length > bounds.line as u64 {
        return Err(SearchError::TooLarge("the file", bounds.line as u64));
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(search_text(&text, regex))
}

/// Searches windows of whole lines.
fn search_lines(
    file: &mut impl Read,
    regex: &GoRegex,
    bounds: Bounds,
) -> Result<Option<Match>, SearchError> {
    let mut window = Vec::new();
    let mut lines_before = 0;
    loop {
        let read = Read::take(&mut *file, bounds.window as u64).read_to_end(&mut window)?;
        let is_last = read == 0;
        // Without its last line break a window ends where a line ends, which `$` must see.
        let end = match window.iter().rposition(|byte| *byte == b'\n') {
            _ if is_last => window.len(),
            Some(end) => end,
            None if window.len() > bounds.line => {
                return Err(SearchError::TooLarge("a line", bounds.line as u64));
            }
            None => continue,
        };
        if let Some(found) = search_text(&window[..end], regex) {
            return Ok(Some(Match {
                line: lines_before + found.line,
                ..found
            }));
        }
        if is_last {
            return Ok(None);
        }
        lines_before += count_lines(&window[..=end]);
        window.drain(..=end);
    }
}

/// Searches a file that is not held. Of the lines around the match a window on each side is looked at.
fn search_stream<S: Read + Seek>(
    file: &mut S,
    streamed: &Streamed,
    regex: &GoRegex,
    bounds: Bounds,
) -> Result<Option<Match>, SearchError> {
    let Some(found) = streamed.find(file)? else {
        return Ok(None);
    };
    if found.end - found.start > bounds.line as u64 {
        return Err(SearchError::TooLarge("a match", bounds.line as u64));
    }
    let from = found.start.saturating_sub(bounds.window as u64);
    file.rewind()?;
    let mut lines_before = 0;
    let mut piece = Vec::new();
    let mut left = from;
    while left > 0 {
        piece.clear();
        let read =
            Read::take(&mut *file, left.min(bounds.window as u64)).read_to_end(&mut piece)?;
        if read == 0 {
            return Err(SearchError::Read(std::io::ErrorKind::UnexpectedEof.into()));
        }
        lines_before += count_lines(&piece);
        left -= read as u64;
    }
    let mut around = Vec::new();
    let length = found.end + bounds.window as u64 - from;
    Read::take(&mut *file, length).read_to_end(&mut around)?;
    let offset = |at: u64| usize::try_from(at - from).expect("a match is held");
    let captures = streamed.captures(&around, offset(found.start)..offset(found.end));
    Ok(captures.map(|captures| {
        let described = described(&around, &captures, regex);
        Match {
            line: lines_before + described.line,
            ..described
        }
    }))
}

fn count_lines(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n').count() - 1
}

/// Whether a text matches; nothing where a mask in it hides the answer.
pub(crate) fn matches(regex: &GoRegex, text: &str) -> Option<bool> {
    match search_text(text.as_bytes(), regex) {
        Some(found) if found.owes_to_mask => None,
        None if is_masked(text) => None,
        found => Some(found.is_some()),
    }
}

/// `***HIDDEN***` and `***TOKEN_…***`, as redaction writes them.
static MASKS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?-u)\*\*\*(?:HIDDEN|TOKEN_.*?)\*\*\*").expect("the expression is valid")
});

/// The whole lines that a match lies in.
fn lines_around(text: &[u8], span: &Range<usize>) -> Range<usize> {
    let is_break = |byte: &u8| *byte == b'\n';
    let start = text[..span.start].iter().rposition(is_break);
    let end = text[span.end..].iter().position(is_break);
    start.map_or(0, |index| index + 1)..end.map_or(text.len(), |index| span.end + index)
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

fn with_whole_masks(span: &Range<usize>, masks: &[Range<usize>]) -> Range<usize> {
    masks
        .iter()
        .filter(|mask| overlap(mask, span))
        .fold(span.clone(), |span, mask| {
            span.start.min(mask.start)..span.end.max(mask.end)
        })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn regex(pattern: &str) -> GoRegex {
        GoRegex::new(pattern).expect("a valid expression")
    }

    fn search_bytes(
        text: &[u8],
        regex: &GoRegex,
        bounds: Bounds,
    ) -> Result<Option<Match>, SearchError> {
        search_in(&mut Cursor::new(text), text.len() as u64, regex, bounds)
    }

    fn found(text: &[u8], regex: &GoRegex, bounds: Bounds) -> Option<(usize, Vec<Option<String>>)> {
        search_bytes(text, regex, bounds)
            .expect("a search within bounds")
            .map(|found| (found.line, found.groups))
    }

    proptest! {
        /// Windows change nothing: not what is found, not where.
        #[test]
        fn windows_find_what_the_whole_finds(
            text in "[ab \n]{0,60}",
            pattern in prop::sample::select(vec![
                "a", "b+", "a b", "^a", "a$", "(?m)^a", "(?m)b$", "(?m)^$", r"\ba\b", r"\Ba", "a.b", r"a\s+b", "(?s)a.*b",
                "(?P<x>a+)(?P<y>b)?", "", "$", r"\z", "[^a]b", "(?m)^b*$",
            ]),
            window in 1_usize..20,
        ) {
            let regex = regex(pattern);
            let whole = Bounds { window: 1000, held: 1000, line: 1000, whole: 1000 };
            let expected = found(text.as_bytes(), &regex, whole);
            for held in [1000, 0] {
                let small = Bounds { window, held, ..whole };
                prop_assert_eq!(&found(text.as_bytes(), &regex, small), &expected);
            }
        }
    }

    #[test]
    fn what_exceeds_the_bounds_is_said() {
        let bounds = Bounds {
            window: 4,
            held: 8,
            line: 16,
            whole: 64,
        };
        let long = [b'x'; 100];
        let search = |text: &[u8], pattern| search_bytes(text, &regex(pattern), bounds);
        assert!(matches!(
            search(&long, "y"),
            Err(SearchError::TooLarge("a line", 16))
        ));
        assert!(matches!(
            search(&long, r"y\s"),
            Err(SearchError::TooLarge("the file", 64))
        ));
        assert!(matches!(search(&long[..60], r"y\s"), Ok(None)));
        assert!(matches!(
            search(&long[..60], r"x[\s\S]*"),
            Err(SearchError::TooLarge("a match", 16))
        ));
        // Between the bytes of a character Go sees nothing, which only the whole can tell.
        assert!(matches!(
            search(&long[..60], r"\B\s*"),
            Err(SearchError::TooLarge("the file", 16))
        ));
        let lines = b"xxxx\nxxxx\nxxxx\nxxxx\nxxxx\nxxxx\nyyyy\n";
        assert!(matches!(
            search(lines, "y+"),
            Ok(Some(Match { line: 7, .. }))
        ));
        assert!(matches!(search(lines, "z"), Ok(None)));
    }

    #[test]
    fn masks_are_found_and_other_stars_are_not() {
        for (text, without) in [
            ("a ***HIDDEN*** b", "a  b"),
            ("***TOKEN_PASSWORD_12AB******HIDDEN***", ""),
            ("*** a ***HIDDEN", "*** a ***HIDDEN"),
            ("*** bold *** ***HIDDEN***", "*** bold *** "),
        ] {
            let left = MASKS.replace_all(text.as_bytes(), b"");
            assert_eq!(String::from_utf8_lossy(&left), without);
        }
    }

    #[test]
    fn a_group_with_part_of_a_mask_has_all_of_it() {
        let found = |text: &str, pattern| {
            search_text(text.as_bytes(), &regex(pattern)).map(|found| found.groups)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            found("a\nkey=***HIDDEN*** b=c", r"key=\W*(\w+)\W+b=(\w+)"),
            Some(vec![
                some("key=***HIDDEN*** b=c"),
                some("***HIDDEN***"),
                some("c")
            ])
        );
    }

    #[test]
    fn a_match_owes_to_a_mask_when_it_needs_it() {
        let bounds = Bounds {
            window: 64,
            held: 64,
            line: 64,
            whole: 64,
        };
        let owes = |text: &str, pattern| {
            search_bytes(text.as_bytes(), &regex(pattern), bounds)
                .expect("a search within bounds")
                .map(|found| found.owes_to_mask)
        };
        assert_eq!(owes("password=***HIDDEN***", r"password=\S+"), Some(true));
        assert_eq!(owes("password=***HIDDEN***", "password=.*"), Some(false));
        assert_eq!(owes("x ***HIDDEN***\nERROR", "ERROR"), Some(false));
        assert_eq!(owes("password=***HIDDEN***", "[A-Z]{6}"), Some(true));
        assert_eq!(owes("x ***HIDDEN***", "y"), None);
    }
}

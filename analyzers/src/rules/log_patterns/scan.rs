//! Finding all known messages of a file of any size in one pass over it.

use std::io::{self, Read};
use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::table::PATTERNS;

/// How much is read at a time.
const WINDOW: usize = 1 << 20;

/// What of a line is looked at around a match; lines may be longer than any window.
const AROUND: usize = 2 << 10;

/// What of a line is shown.
const SHOWN: usize = 240;

/// How far in a line its time begins.
const TIME_WITHIN: usize = 160;

/// The table as one automaton: one expression finds lines in which any row is, a set tells which.
pub(super) struct Matcher {
    any: Regex,
    which: RegexSet,
    time: Regex,
}

static MATCHER: LazyLock<Matcher> =
    LazyLock::new(|| Matcher::new().expect("each pattern of the table is valid, a test shows"));

/// A known message.
pub(super) struct Seen<'a> {
    /// The row's place in the table.
    pub(super) row: usize,
    /// From 1.
    pub(super) line: usize,
    /// The line's text around the match.
    text: &'a [u8],
    /// Where the match begins in it.
    at: usize,
    time: &'a [u8],
}

impl Matcher {
    /// The table's.
    pub(super) fn table() -> &'static Self {
        &MATCHER
    }

    fn new() -> Result<Self, regex::Error> {
        let each = PATTERNS.iter().map(|row| row.regex.as_str());
        let all: Vec<String> = each.clone().map(|regex| format!("(?:{regex})")).collect();
        let time = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d| UTC)?";
        Ok(Self {
            any: RegexBuilder::new(&all.join("|")).unicode(false).build()?,
            which: RegexSetBuilder::new(each).unicode(false).build()?,
            time: RegexBuilder::new(time).unicode(false).build()?,
        })
    }

    /// Tells of every line with a known message in it, in order.
    pub(super) fn scan(
        &self,
        reader: &mut dyn Read,
        tell: &mut dyn FnMut(&Seen<'_>),
    ) -> io::Result<()> {
        self.scan_by(WINDOW, reader, tell)
    }

    fn scan_by(
        &self,
        size: usize,
        reader: &mut dyn Read,
        tell: &mut dyn FnMut(&Seen<'_>),
    ) -> io::Result<()> {
        let mut window = Vec::new();
        let mut lines = 0;
        loop {
            let read = Read::take(&mut *reader, size as u64).read_to_end(&mut window)?;
            let is_last = read == 0;
            // Whole lines; or, of a line without an end, what no match can reach that begins in the rest.
            let (end, kept_from) = match window.iter().rposition(|byte| *byte == b'\n') {
                _ if is_last => (window.len(), window.len()),
                Some(end) => (end, end + 1),
                None if window.len() > size + AROUND => {
                    (window.len() - AROUND, window.len() - AROUND)
                }
                None => continue,
            };
            // A match may run over `end` only where the line does.
            let seen = if kept_from == end && !is_last {
                &window[..]
            } else {
                &window[..end]
            };
            self.matches(seen, end, lines, tell);
            if is_last {
                return Ok(());
            }
            lines += count(&window[..kept_from]);
            window.drain(..kept_from);
        }
    }

    /// Tells of the matches in `text` that begin before `end`; `lines` came before it.
    fn matches(&self, text: &[u8], end: usize, lines: usize, tell: &mut dyn FnMut(&Seen<'_>)) {
        let (mut at, mut counted, mut line) = (0, 0, lines + 1);
        while let Some(found) = self.any.find_at(text, at) {
            if found.start() >= end && end < text.len() {
                break;
            }
            line += count(&text[counted..found.start()]);
            counted = found.start();
            let before = &text[..found.start()];
            let line_start = before.iter().rposition(|byte| *byte == b'\n');
            let line_start = line_start.map_or(0, |at| at + 1);
            let start = line_start.max(found.start().saturating_sub(AROUND));
            let after = &text[found.end()..];
            let line_end = after.iter().position(|byte| *byte == b'\n');
            let line_end = line_end.map_or(text.len(), |at| found.end() + at);
            let stop = line_end.min(found.end() + AROUND);
            let near = &text[start..stop];
            for row in self.which.matches(near) {
                tell(&Seen {
                    row,
                    line,
                    text: near,
                    at: found.start() - start,
                    time: &text[line_start..stop.min(line_start + TIME_WITHIN)],
                });
            }
            // Never back into the same match, also where it is empty.
            at = stop.max(found.end()).max(at + 1);
            if at > text.len() {
                break;
            }
        }
    }

    /// A single text, as that of an event.
    pub(super) fn text(&self, text: &str, tell: &mut dyn FnMut(&Seen<'_>)) {
        // Reading from memory cannot fail.
        let _ = self.scan(&mut text.as_bytes(), tell);
    }

    /// The time that a line names near its beginning.
    pub(super) fn time(&self, seen: &Seen<'_>) -> String {
        let found = self.time.find(seen.time);
        found.map_or_else(String::new, |found| {
            String::from_utf8_lossy(found.as_bytes()).into_owned()
        })
    }
}

impl Seen<'_> {
    /// The line's text around the match, short enough to be shown.
    pub(super) fn shown(&self) -> String {
        let from = self.at.saturating_sub(SHOWN / 3);
        let text = String::from_utf8_lossy(&self.text[from..]);
        let text = text.trim();
        let shown: String = text.chars().take(SHOWN).collect();
        let before = if from > 0 { "…" } else { "" };
        let after = if shown.len() < text.len() { "…" } else { "" };
        format!("{before}{shown}{after}")
    }
}

fn count(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n').count() - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(size: usize, text: &str) -> Vec<(&'static str, usize)> {
        let matcher = Matcher::table();
        let mut all = Vec::new();
        let scanned = matcher.scan_by(size, &mut text.as_bytes(), &mut |seen| {
            all.push((PATTERNS[seen.row].id.as_str(), seen.line));
        });
        scanned.expect("memory can be read");
        all
    }

    proptest! {
        /// Where a window ends makes no difference.
        #[test]
        fn windows_find_what_the_whole_finds(
            lines in prop::collection::vec(prop::sample::select(vec![
                "", "x", "FATAL: sorry, too many clients already", "NoSuchBucket and AccessDenied",
                "CUDA out of memory; CUDA out of memory", "é\u{1b}[31m", "level=info msg=fine",
            ]), 0..30),
            ends_with_break: bool,
            size in 1_usize..300,
        ) {
            let mut text = lines.join("\n");
            if ends_with_break {
                text.push('\n');
            }
            prop_assert_eq!(found(size, &text), found(WINDOW, &text));
        }
    }

    #[test]
    fn a_line_without_an_end_is_searched_too_and_counted_once() {
        let long = format!(
            "{}NoSuchBucket{}NoSuchBucket{}\nAccessDenied",
            "x".repeat(10_000),
            "y".repeat(9_000),
            "z".repeat(20_000)
        );
        let expected = [("s3-no-bucket", 1), ("s3-no-bucket", 1), ("s3-access", 2)];
        for size in [100, 1000, 4096, 8191, WINDOW] {
            assert_eq!(found(size, &long), expected, "{size}");
        }
    }

    #[test]
    fn one_line_with_two_messages_tells_of_both() {
        let text = "ok\nNoSuchBucket, AccessDenied\n";
        assert_eq!(found(WINDOW, text), [("s3-no-bucket", 2), ("s3-access", 2)]);
    }

    #[test]
    fn times_as_logs_write_them() {
        let matcher = Matcher::table();
        for (line, time) in [
            (
                "2026-01-02T03:04:05.678Z FATAL NoSuchBucket",
                "2026-01-02T03:04:05.678Z",
            ),
            (
                "2026-01-02 03:04:05.678 UTC [7] FATAL: NoSuchBucket",
                "2026-01-02 03:04:05.678 UTC",
            ),
            (
                "time=\"2026-01-02T03:04:05+02:00\" msg=NoSuchBucket",
                "2026-01-02T03:04:05+02:00",
            ),
            (
                "{\"ts\":\"2026-01-02T03:04:05Z\",\"e\":\"NoSuchBucket\"}",
                "2026-01-02T03:04:05Z",
            ),
            ("E0102 03:04:05.000000 NoSuchBucket", ""),
        ] {
            let mut times = Vec::new();
            matcher.text(line, &mut |seen| times.push(matcher.time(seen)));
            assert_eq!(times, [time], "{line}");
        }
    }
}

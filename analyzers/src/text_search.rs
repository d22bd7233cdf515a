//! Searching files that may be larger than memory.
//!
//! An expression that cannot match across a line break and does not ask for the beginning or the end of the
//! text sees the same in a window of whole lines as in the whole file, so such searches run over windows. The
//! others need the whole file, up to a cap.

use std::io::Read;
use std::ops::Range;

use bundle::Files;
use syntax::go_regex::GoRegex;

use crate::document::is_masked;
use crate::finding::NotEvaluated;

/// How much is read at a time.
const WINDOW: usize = 1 << 20;
/// The largest file that an expression which may span lines is searched in, and the longest line.
const WHOLE: usize = 64 << 20;

/// The first match in a file.
#[derive(Debug)]
pub(crate) struct Match {
    /// The number of the line in which it begins, from 1.
    pub(crate) line: usize,
    /// The text of each group, the whole match first; nothing for a group that took no part.
    pub(crate) groups: Vec<Option<String>>,
    /// Whether it is a match only because of what redaction put in place of a value.
    pub(crate) owes_to_mask: bool,
}

/// Finds the leftmost match in the file at `path`.
pub(crate) fn search(
    files: &Files,
    path: &str,
    regex: &GoRegex,
) -> Result<Option<Match>, NotEvaluated> {
    let by_lines = !regex.may_match_newline() && !regex.anchors_to_text();
    let length = files.length(path)?;
    if !by_lines && length > WHOLE as u64 {
        return Err(too_large(
            path,
            "the expression may span lines, and the file",
        ));
    }
    let mut reader = files.open(path)?;
    let mut window = Vec::new();
    let mut lines_before = 0;
    loop {
        let is_last = fill(&mut reader, &mut window, path)?;
        // Without its last line break a window ends where a line ends, which `$` must see.
        let end = match window.iter().rposition(|byte| *byte == b'\n') {
            _ if is_last => window.len(),
            Some(end) if by_lines => end,
            _ if window.len() > WHOLE => return Err(too_large(path, "a line")),
            _ => continue,
        };
        if let Some(captures) = regex.captures(&window[..end]) {
            let whole = captures.whole();
            let groups = (0..regex.group_names().len())
                .map(|index| captures.get(index))
                .map(|group| group.map(|text| String::from_utf8_lossy(text).into_owned()))
                .collect();
            return Ok(Some(Match {
                line: lines_before + count_lines(&window[..whole.start]) + 1,
                groups,
                owes_to_mask: owes_to_mask(regex, &window[..end], &whole),
            }));
        }
        if is_last {
            return Ok(None);
        }
        lines_before += count_lines(&window[..=end]);
        window.drain(..=end);
    }
}

/// Reads up to a window more; true at the end of the file.
fn fill(reader: &mut impl Read, window: &mut Vec<u8>, path: &str) -> Result<bool, NotEvaluated> {
    let read = reader
        .take(WINDOW as u64)
        .read_to_end(window)
        .map_err(|error| NotEvaluated::Unknown(format!("{path} cannot be read: {error}")))?;
    Ok(read == 0)
}

fn too_large(path: &str, what: &str) -> NotEvaluated {
    NotEvaluated::Unknown(format!(
        "{path} was not searched to its end: {what} is larger than {} MiB",
        WHOLE >> 20
    ))
}

fn count_lines(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n').count() - 1
}

/// Whether the lines of the match would not match without the masks in it.
fn owes_to_mask(regex: &GoRegex, window: &[u8], span: &Range<usize>) -> bool {
    let is_break = |byte: &u8| *byte == b'\n';
    let start = window[..span.start]
        .iter()
        .rposition(is_break)
        .map_or(0, |index| index + 1);
    let end = window[span.end..]
        .iter()
        .position(is_break)
        .map_or(window.len(), |index| span.end + index);
    let lines = String::from_utf8_lossy(&window[start..end]);
    is_masked(&String::from_utf8_lossy(&window[span.clone()]))
        && !regex.is_match(without_masks(&lines).as_bytes())
}

/// The text without `***HIDDEN***` and `***TOKEN_…***`.
fn without_masks(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::with_capacity(text.len());
    while let Some(start) = rest.find("***") {
        kept.push_str(&rest[..start]);
        let tail = &rest[start + 3..];
        let is_mask = tail.starts_with("HIDDEN***") || tail.starts_with("TOKEN_");
        rest = match tail.find("***") {
            Some(end) if is_mask => &tail[end + 3..],
            _ => {
                kept.push_str("***");
                tail
            }
        };
    }
    kept.push_str(rest);
    kept
}

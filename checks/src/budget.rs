//! How much a run may take: for the bundle, for a collector, for a log. And what of a log is kept where it is longer: its
//! beginning and, above all, its end.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Deserialize;
use syntax::quantity::Quantity;

use crate::collector::CollectError;

/// How much one collector may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Bytes written, before redaction and compression.
    pub bytes: Option<u64>,
    /// From its beginning to its end.
    pub time: Option<Duration>,
}

/// `budget` of a spec's collector.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    /// A Kubernetes quantity, `20Mi`, or a number of bytes.
    max_bytes: Option<serde_json::Value>,
    /// As Go writes it, `2m`.
    max_time: Option<String>,
}

/// A number of bytes, as a Kubernetes quantity: `50Mi`, `1500`. A `B` may follow.
pub fn bytes(text: &str) -> Result<u64, String> {
    let quantity = text.trim();
    let quantity = quantity.strip_suffix('B').unwrap_or(quantity);
    let read = quantity.parse::<Quantity>().ok();
    let whole = read.and_then(|quantity| u64::try_from(quantity.rounded_up(0)?).ok());
    whole.ok_or_else(|| format!("{text:?} is no number of bytes; write it like 50Mi"))
}

impl Budget {
    /// Reads `budget` of a spec's collector: `{maxBytes: 20Mi, maxTime: 2m}`. The error says which field is wrong.
    pub fn read(value: &serde_json::Value) -> Result<Self, String> {
        let written = Written::deserialize(value).map_err(|error| error.to_string())?;
        let size = match &written.max_bytes {
            None | Some(serde_json::Value::Null) => None,
            Some(serde_json::Value::String(text)) => Some(bytes(text)),
            Some(other) => Some(bytes(&other.to_string())),
        };
        let time = written.max_time.as_deref().map(|text| {
            let time = syntax::duration::parse(text).map_err(|error| error.to_string())?;
            Duration::try_from(time).map_err(|_| format!("`{text}` is negative"))
        });
        Ok(Self {
            bytes: size
                .transpose()
                .map_err(|error| format!("maxBytes: {error}"))?,
            time: time
                .transpose()
                .map_err(|error| format!("maxTime: {error}"))?,
        })
    }

    /// What lets both take what each may.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            bytes: self
                .bytes
                .zip(other.bytes)
                .map(|(one, other)| one.max(other)),
            time: self.time.zip(other.time).map(|(one, other)| one.max(other)),
        }
    }

    /// The smaller of the two in each.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            bytes: smaller(self.bytes, other.bytes),
            time: smaller(self.time, other.time),
        }
    }
}

/// How much of each log a run takes, whatever a spec says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogBudget {
    /// Bytes kept.
    pub bytes: Option<u64>,
    /// The last lines.
    pub lines: Option<u64>,
    /// How long its reading may take.
    pub time: Option<Duration>,
    /// Whether of a log that is longer than its bytes the newest is kept. Else it is the API's `limitBytes`, as
    /// troubleshoot has it: that keeps the oldest.
    pub newest: bool,
}

/// The smaller of two limits, of which either may be missing.
pub(crate) fn smaller<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The beginning of a log that is kept besides its end: where programs say their version and configuration.
const HEAD: u64 = 64 << 10;

/// The most that is held in memory of one log. Of a larger budget the rest goes to the beginning, which needs no memory.
pub(crate) const LONGEST_TAIL: u64 = 32 << 20;

/// Takes a stream of unknown length and passes on its beginning and its end, whole lines, within a number of bytes.
///
/// The API cannot give the newest bytes of a log: `limitBytes` counts from the oldest line that is asked for, `tailLines`
/// says nothing of how long lines are. So the end is held in a ring until the stream has ended.
#[derive(Debug)]
pub(crate) struct Ends {
    /// What may still be passed on as the beginning.
    head: usize,
    in_head: bool,
    /// In the beginning: a line that has not ended. Then the ring.
    held: VecDeque<u8>,
    tail: usize,
    cut: Cut,
    /// Whether what was dropped last ended a line.
    dropped_line_end: bool,
}

/// How many lines end in these bytes.
pub(crate) fn line_ends(bytes: &[u8]) -> u64 {
    bytes.split(|byte| *byte == b'\n').count() as u64 - 1
}

/// What is missing from the middle of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) bytes: u64,
    /// Lines that are not there, or not whole.
    pub(crate) lines: u64,
}

impl Ends {
    /// For `bytes` in all: a tenth of them for the beginning, 64 KiB at most.
    pub(crate) fn new(bytes: u64) -> Self {
        let head = (bytes / 10)
            .min(HEAD)
            .max(bytes.saturating_sub(LONGEST_TAIL));
        let tail = bytes - head;
        Self {
            head: usize::try_from(head).unwrap_or(usize::MAX),
            in_head: true,
            held: VecDeque::new(),
            tail: usize::try_from(tail).unwrap_or(usize::MAX),
            cut: Cut::default(),
            dropped_line_end: true,
        }
    }

    /// How much the ring will hold at most, bytes.
    pub(crate) fn ring(&self) -> usize {
        self.tail
    }

    /// Whether what comes now is held back.
    pub(crate) fn is_in_ring(&self) -> bool {
        !self.in_head
    }

    /// Takes a piece; what belongs to the beginning goes to `write` at once.
    pub(crate) fn push(
        &mut self,
        piece: &[u8],
        mut write: impl FnMut(&[u8]) -> Result<(), CollectError>,
    ) -> Result<(), CollectError> {
        let mut piece = piece;
        if self.in_head {
            // Whole lines, as far as they fit; half a line may hold half a secret, which redaction does not know.
            let room = self.head.saturating_sub(self.held.len()).min(piece.len());
            let lines = piece[..room].iter().rposition(|byte| *byte == b'\n');
            if let Some(end) = lines {
                let (whole, rest) = piece.split_at(end + 1);
                self.head -= self.held.len() + whole.len();
                write(self.held.make_contiguous())?;
                self.held.clear();
                write(whole)?;
                piece = rest;
            }
            if self.held.len() + piece.len() > self.head {
                self.in_head = false;
                let longest = usize::try_from(LONGEST_TAIL).unwrap_or(usize::MAX);
                self.tail = (self.tail + self.head).min(longest.max(self.tail));
            }
        }
        self.hold(piece);
        Ok(())
    }

    fn hold(&mut self, piece: &[u8]) {
        if self.in_head || self.held.len() + piece.len() <= self.tail {
            self.held.extend(piece);
            return;
        }
        // Of a piece that is longer than the ring only its end is of use.
        let (before, piece) = piece.split_at(piece.len().saturating_sub(self.tail));
        let over = (self.held.len() + piece.len()).saturating_sub(self.tail);
        let over = if before.is_empty() {
            over
        } else {
            self.held.len()
        };
        let dropped: Vec<u8> = self.held.drain(..over).collect();
        self.dropped(&dropped);
        self.dropped(before);
        self.held.extend(piece);
    }

    fn dropped(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last() {
            self.cut.bytes += bytes.len() as u64;
            self.cut.lines += line_ends(bytes);
            self.dropped_line_end = *last == b'\n';
        }
    }

    /// Passes on the end, after a line that says what is missing before it, where something is.
    pub(crate) fn finish(
        mut self,
        mut write: impl FnMut(&[u8]) -> Result<(), CollectError>,
    ) -> Result<Cut, CollectError> {
        if self.cut.bytes > 0 && !self.dropped_line_end {
            let line = self.held.iter().position(|byte| *byte == b'\n');
            let rest = line.map_or(self.held.len(), |end| end + 1);
            let dropped: Vec<u8> = self.held.drain(..rest).collect();
            self.dropped(&dropped);
            // A line without an end is one, too.
            self.cut.lines += u64::from(line.is_none());
        }
        if self.cut.bytes > 0 {
            let Cut { bytes, lines } = self.cut;
            let marker = format!("*** CUT: {lines} lines, {bytes} bytes are left out here ***\n");
            write(marker.as_bytes())?;
        }
        let (one, other) = self.held.as_slices();
        write(one)?;
        write(other)?;
        Ok(self.cut)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn budgets_of_specs_are_read_or_refused() {
        let read = |json: &str| Budget::read(&serde_json::from_str(json).expect("JSON"));
        let both = read(r#"{"maxBytes": "2Ki", "maxTime": "90s"}"#).expect("a budget");
        assert_eq!(
            (both.bytes, both.time),
            (Some(2048), Some(Duration::from_secs(90)))
        );
        assert_eq!(
            read(r#"{"maxBytes": 7}"#).map(|budget| budget.bytes),
            Ok(Some(7))
        );
        for wrong in [
            r#"{"maxByte": 7}"#,
            r#"{"maxBytes": "much"}"#,
            r#"{"maxBytes": -1}"#,
            r#"{"maxTime": "-1s"}"#,
            r#"{"maxTime": "soon"}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let wider = both.max(Budget {
            bytes: Some(4096),
            time: None,
        });
        assert_eq!((wider.bytes, wider.time), (Some(4096), None));
    }

    fn kept(bytes: u64, pieces: &[&[u8]]) -> (String, Cut) {
        let mut ends = Ends::new(bytes);
        let mut text = Vec::new();
        let mut write = |piece: &[u8]| {
            text.extend_from_slice(piece);
            Ok(())
        };
        for piece in pieces {
            ends.push(piece, &mut write).expect("it takes all");
        }
        let cut = ends.finish(&mut write).expect("it takes all");
        (String::from_utf8_lossy(&text).into_owned(), cut)
    }

    #[test]
    fn head_and_tail_are_whole_lines_around_a_marker() {
        let lines: Vec<String> = (0..100).map(|line| format!("line {line:02}\n")).collect();
        let lines = lines.concat();
        let (text, cut) = kept(100, &[lines.as_bytes()]);
        assert_eq!(
            cut,
            Cut {
                bytes: 704,
                lines: 88
            }
        );
        let expected = [
            "line 00",
            "*** CUT: 88 lines, 704 bytes are left out here ***",
            "line 89",
        ];
        assert_eq!(text.lines().take(3).collect::<Vec<_>>(), expected);
        assert!(text.ends_with("line 98\nline 99\n"));
        let whole = kept(800, &[lines.as_bytes()]);
        assert_eq!(whole, (lines, Cut::default()));
    }

    #[test]
    fn a_line_that_is_longer_than_everything_is_left_out_and_counted() {
        let (text, cut) = kept(20, &[&[b'x'; 1000], b"\nend\n"]);
        assert_eq!(
            cut,
            Cut {
                bytes: 1001,
                lines: 1
            }
        );
        assert_eq!(
            text,
            "*** CUT: 1 lines, 1001 bytes are left out here ***\nend\n"
        );
        let (text, cut) = kept(20, &[b"a\n", &[b'x'; 1000]]);
        assert_eq!(
            cut,
            Cut {
                bytes: 1000,
                lines: 1
            }
        );
        assert_eq!(
            text,
            "a\n*** CUT: 1 lines, 1000 bytes are left out here ***\n"
        );
    }

    proptest! {
        /// However the stream is split: nothing is invented, lines stay whole, what is kept and what is cut add up, and
        /// the newest that fits is there.
        #[test]
        fn what_is_kept_and_what_is_cut_add_up(
            text in "[ab\n]{0,200}",
            bytes in 0_u64..120,
            size in 1_usize..50,
        ) {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            let (kept, cut) = kept(bytes, &pieces);
            if cut.bytes == 0 {
                prop_assert_eq!(&kept, &text);
            } else {
                let marker = kept.find("*** CUT").expect("a marker");
                let (head, rest) = kept.split_at(marker);
                let (_, tail) = rest.split_once('\n').expect("its line");
                prop_assert!(text.starts_with(head) && text.ends_with(tail));
                prop_assert_eq!((head.len() + tail.len()) as u64 + cut.bytes, text.len() as u64);
                prop_assert!((head.len() + tail.len()) as u64 <= bytes);
                let before = &text[..text.len() - tail.len()];
                prop_assert!(head.is_empty() || head.ends_with('\n'));
                prop_assert!(before.ends_with('\n') || tail.is_empty());
                let middle = &before[head.len()..];
                prop_assert_eq!(cut.lines, middle.lines().count() as u64);
            }
            if text.len() as u64 <= bytes {
                prop_assert_eq!(cut.bytes, 0);
            }
        }
    }
}

//! How a bundle comes out of a pod: in lines of its log, among which others may stand (the node joins stdout and
//! stderr), with an end by which it is known to be whole.
//!
//! ```text
//! assay-answer H4sIAAAAAAAA…                  base64 of the next 3 KiB
//! assay-answer-end 20480 9f86d081884c7d65…    bytes in all, their SHA-256
//! ```

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle::io::{MemorySpool, ReadAt};
use bundle::manifest::{CollectorRecord, Ending, GapReason, Outcome};
use bundle::{BundlePath, Files, Limits};
use sha2::{Digest, Sha256};

use crate::collector::{CollectError, Output};

const LINE: &str = "assay-answer ";
const END: &str = "assay-answer-end ";

/// Bytes to a line. A node cuts lines longer than 16 KiB in pieces.
const PIECE: usize = 3 * 1024;

/// The longest answer that is read, before it is unpacked.
const MAX_ANSWER: usize = 64 << 20;

/// The longest line that is looked at.
const MAX_LINE: usize = 64 << 10;

/// How much is kept of what the pod said beside.
const MAX_ASIDE: usize = 2000;

/// One collector's files; the caller holds none of them whole.
const LIMITS: Limits = Limits {
    entries: 10_000,
    total_bytes: 1 << 30,
    ratio: 250,
    ratio_from_bytes: 256 << 20,
    nesting: 0,
    document_bytes: 256 << 20,
};

/// Prints a bundle.
pub(super) fn print(archive: &[u8], stdout: &mut impl Write) -> io::Result<()> {
    let mut line = String::new();
    for piece in archive.chunks(PIECE) {
        line.clear();
        line.push_str(LINE);
        STANDARD.encode_string(piece, &mut line);
        line.push('\n');
        stdout.write_all(line.as_bytes())?;
    }
    writeln!(stdout, "{END}{} {}", archive.len(), digest(archive))?;
    stdout.flush()
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Reads a pod's log as it comes.
#[derive(Default)]
pub(super) struct Reader {
    line: Vec<u8>,
    archive: Vec<u8>,
    end: Option<String>,
    aside: String,
    damage: Option<&'static str>,
}

impl Reader {
    /// Takes a piece of the log.
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (head, rest) = bytes.split_at(end);
            self.add(head);
            self.line_ended();
            bytes = &rest[1..];
        }
        self.add(bytes);
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = MAX_LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn line_ended(&mut self) {
        let line = std::mem::take(&mut self.line);
        if let Some(piece) = line.strip_prefix(LINE.as_bytes()) {
            if self.end.is_some() {
                self.damage = Some("it goes on after its end");
            } else if self.archive.len() > MAX_ANSWER {
                self.damage = Some("it is longer than 64 MiB");
            } else if STANDARD.decode_vec(piece, &mut self.archive).is_err() {
                self.damage = Some("a line of it is no base64");
            }
        } else if let Some(end) = line.strip_prefix(END.as_bytes()) {
            self.end = Some(String::from_utf8_lossy(end).into_owned());
        } else {
            self.say(&line);
        }
    }

    /// Keeps the end of what is no part of the answer: the reason why there is none.
    fn say(&mut self, line: &[u8]) {
        self.aside.push_str(String::from_utf8_lossy(line).trim());
        self.aside.push('\n');
        if self.aside.len() > 2 * MAX_ASIDE {
            let mut from = self.aside.len() - MAX_ASIDE;
            while !self.aside.is_char_boundary(from) {
                from += 1;
            }
            self.aside.drain(..from);
        }
    }

    /// Whether the answer's end has come.
    pub(super) fn is_at_end(&self) -> bool {
        self.end.is_some()
    }

    /// The bundle, or why there is none.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, String> {
        if !self.line.is_empty() {
            self.line_ended();
        }
        if let Some(damage) = self.damage {
            return Err(format!("its answer is damaged: {damage}"));
        }
        let said = self.aside.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = match said.as_str() {
            "" => "it said nothing".to_owned(),
            said => format!("it said: {said}"),
        };
        let Some(end) = self.end else {
            return Err(if self.archive.is_empty() {
                format!("it gave no answer; {said}")
            } else {
                format!(
                    "its answer has no end after {} bytes; {said}",
                    self.archive.len()
                )
            });
        };
        if end.trim() != format!("{} {}", self.archive.len(), digest(&self.archive)) {
            return Err(format!(
                "its answer is damaged: {} bytes came, which are not those that it sent",
                self.archive.len()
            ));
        }
        Ok(self.archive)
    }
}

/// Copies a bundle's files, which may only be those that the collector announces, and what it says is missing. Nothing
/// of a bundle that is damaged is copied. What the pod's collector failed with is this one's error.
pub(super) fn copy(
    archive: Vec<u8>,
    announced: &[String],
    output: &Output,
) -> Result<(), CollectError> {
    let wrong = |what: String| CollectError::Failed(format!("the pod's answer is no use: {what}"));
    let file: Arc<dyn ReadAt> = Arc::new(archive);
    let files = Files::archive(&file, &MemorySpool, LIMITS).map_err(|it| wrong(it.to_string()))?;
    let mut problems = files.problems().iter().cloned().chain(files.verify());
    if let Some(problem) = problems.next() {
        return Err(wrong(problem.to_string()));
    }
    let manifest = files
        .manifest()
        .ok_or_else(|| wrong("it has no manifest".to_owned()))?;
    let [record] = manifest.collectors.as_slice() else {
        return Err(wrong("it is not that of one collector".to_owned()));
    };
    let paths = allowed(&files, announced).map_err(wrong)?;
    for path in &paths {
        copy_file(&files, path, output)?;
    }
    for file in announced {
        output.done(file);
    }
    for gap in record.gaps.iter().chain(&manifest.lost) {
        output.gap(&gap.path, gap.reason, &gap.detail);
    }
    for (path, reason) in &manifest.redaction.withheld {
        output.gap(path, GapReason::Failed, format!("withheld: {reason}"));
    }
    outcome(&manifest.ending, record)
}

/// The bundle's paths, all of which the collector may write.
fn allowed(files: &Files, announced: &[String]) -> Result<BTreeSet<BundlePath>, String> {
    let mut allowed = BTreeSet::new();
    for pattern in announced {
        allowed.extend(files.glob(pattern).map_err(|error| error.to_string())?);
    }
    match files.paths().find(|path| !allowed.contains(*path)) {
        Some(path) => Err(format!("it holds {path}, which its collector never writes")),
        None => Ok(allowed),
    }
}

fn copy_file(files: &Files, path: &BundlePath, output: &Output) -> Result<(), CollectError> {
    if let Some(target) = files.link_target(path.as_str()) {
        return output.link(path, &target);
    }
    let read = |error: &dyn std::fmt::Display| {
        CollectError::Failed(format!("cannot read {path} of the pod's answer: {error}"))
    };
    let mut source = files.open(path.as_str()).map_err(|error| read(&error))?;
    let mut file = output.file(path)?;
    let mut piece = vec![0; PIECE];
    loop {
        match source.read(&mut piece).map_err(|error| read(&error))? {
            0 => return file.finish(),
            length => file.write(&piece[..length])?,
        }
    }
}

fn outcome(ending: &Ending, record: &CollectorRecord) -> Result<(), CollectError> {
    let error = record.error.clone();
    let late = record
        .gaps
        .iter()
        .any(|gap| gap.reason == GapReason::Deadline);
    match (ending, record.outcome) {
        (Ending::Complete, Outcome::Complete) => Ok(()),
        (Ending::Complete, Outcome::Partial) if error.is_empty() => Ok(()),
        (Ending::Deadline, _) => Err(CollectError::Deadline(
            "the collector did not end within its time in the pod".to_owned(),
        )),
        (Ending::Signal(name), _) => Err(CollectError::Failed(format!(
            "the pod was ended by {name} before its collector had"
        ))),
        (Ending::Output(error), _) => Err(CollectError::Failed(error.clone())),
        (Ending::Complete, Outcome::Refused) => Err(CollectError::Refused(error)),
        (Ending::Complete, _) if late => Err(CollectError::Deadline(error)),
        (Ending::Complete, _) => Err(CollectError::Failed(error)),
    }
}

//! The index: where each file lies in the tar stream. It is written as an eStargz table of contents
//! (`stargz.index.json`), and an archive's index is believed only where it describes exactly the layout that
//! our writer makes; every other archive is scanned.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::blocks::{Block, Stored, chunks};
use super::compression::Digest;
use super::header::{self, Kind, Member};
use super::member;

/// The index's name in the tar.
pub(crate) const NAME: &str = "stargz.index.json";

/// One member of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The whole path in the tar.
    pub(crate) name: String,
    pub(crate) mode: u32,
    /// Seconds since 1970.
    pub(crate) modified: u64,
    pub(crate) kind: EntryKind,
}

/// What a member is, and where its content lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File {
        /// Where the content begins in the tar stream.
        start: u64,
        /// How many bytes.
        size: u64,
        /// One digest per block that the content touches.
        digests: Vec<Digest>,
    },
    Link {
        /// Where its header ends in the tar stream.
        start: u64,
        target: String,
    },
}

impl Entry {
    /// Where the header ends in the tar stream.
    pub(crate) fn start(&self) -> u64 {
        let (EntryKind::File { start, .. } | EntryKind::Link { start, .. }) = &self.kind;
        *start
    }

    /// The header that our writer gives this entry.
    pub(crate) fn header(&self, out: &mut Vec<u8>) {
        let kind = match &self.kind {
            EntryKind::File { size, .. } => Kind::File(*size),
            EntryKind::Link { target, .. } => Kind::Link(target),
        };
        let member = Member {
            name: &self.name,
            kind,
            mode: self.mode,
            modified: self.modified,
        };
        header::encode(&member, out);
    }
}

/// What is wrong with an index.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    #[error("it is not the JSON of an index: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it does not describe this archive: {0}")]
    Layout(&'static str),
    #[error("it has more than {MAX_ROWS} entries")]
    TooLong,
}

/// How many entries an index may have: each is some 200 bytes in memory until it is compared with the archive. An
/// archive of more files is written without an index and scanned, which takes longer and no memory.
const MAX_ROWS: usize = 200_000;

/// The largest index, in bytes: 400 for each entry.
pub(crate) const MAX_INDEX: u64 = 80 << 20;

#[derive(Serialize, Deserialize)]
struct Toc<'a> {
    version: u32,
    #[serde(borrow)]
    entries: Vec<Row<'a>>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    #[serde(borrow)]
    name: std::borrow::Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_zero")]
    size: u64,
    #[serde(default, skip_serializing_if = "str::is_empty", borrow)]
    modtime: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str::is_empty", borrow)]
    link_name: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_zero")]
    mode: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    inner_offset: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    chunk_offset: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    chunk_size: u64,
    #[serde(default, skip_serializing_if = "str::is_empty", borrow)]
    chunk_digest: std::borrow::Cow<'a, str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The table of contents as JSON.
pub(crate) fn encode(entries: &[Entry], table: &[Block]) -> Vec<u8> {
    let mut rows = Vec::with_capacity(entries.len());
    let mut modtime = (0, String::new());
    for entry in entries {
        if modtime.1.is_empty() || modtime.0 != entry.modified {
            modtime = (entry.modified, rfc3339(entry.modified));
        }
        let mut row = Row {
            name: entry.name.as_str().into(),
            modtime: modtime.1.clone().into(),
            mode: entry.mode.into(),
            ..Row::default()
        };
        match &entry.kind {
            EntryKind::Link { target, .. } => {
                row.kind = "symlink".into();
                row.link_name = target.as_str().into();
                rows.push(row);
            }
            EntryKind::File { size: 0, .. } => {
                row.kind = "reg".into();
                rows.push(row);
            }
            EntryKind::File {
                start,
                size,
                digests,
            } => {
                row.kind = "reg".into();
                row.size = *size;
                let mut next = Some(row);
                let parts = chunks(table, *start, *size);
                for ((block, from, length), digest) in parts.zip(digests) {
                    let mut row = next.take().unwrap_or_else(|| Row {
                        name: entry.name.as_str().into(),
                        kind: "chunk".into(),
                        ..Row::default()
                    });
                    row.offset = block.offset;
                    row.inner_offset = from - block.start;
                    row.chunk_offset = from - start;
                    // The last chunk's size follows from the file's.
                    row.chunk_size = if from + length == start + size {
                        0
                    } else {
                        length
                    };
                    row.chunk_digest = text(digest).into();
                    rows.push(row);
                }
            }
        }
    }
    let toc = Toc {
        version: 1,
        entries: rows,
    };
    serde_json::to_vec(&toc).expect("rows of texts and numbers are JSON")
}

/// Reads a table of contents and compares it with the blocks of the archive: every entry must lie exactly
/// where our writer would have put it, and nothing may lie between.
pub(crate) fn decode(json: &[u8], table: &[Block]) -> Result<Vec<Entry>, IndexError> {
    // No entry is without a brace; one in a name is counted in vain.
    if memchr::memchr_iter(b'{', json).count() > MAX_ROWS {
        return Err(IndexError::TooLong);
    }
    let toc: Toc<'_> = serde_json::from_slice(json)?;
    if toc.version != 1 {
        return Err(IndexError::Layout("its version is not 1"));
    }
    let mut entries = Vec::with_capacity(toc.entries.len());
    let mut rows = toc.entries.into_iter().peekable();
    let length = table.last().map_or(0, Block::end);
    let mut position = 0;
    let mut header = Vec::new();
    while let Some(row) = rows.next() {
        let mut entry = Entry {
            modified: seconds(&row.modtime)?,
            mode: u32::try_from(row.mode).map_err(|_| IndexError::Layout("a mode is too large"))?,
            kind: match &*row.kind {
                "symlink" => EntryKind::Link {
                    start: 0,
                    target: row.link_name.clone().into_owned(),
                },
                "reg" => EntryKind::File {
                    start: 0,
                    size: row.size,
                    digests: Vec::new(),
                },
                _ => return Err(IndexError::Layout("it lists what our writer never writes")),
            },
            name: row.name.clone().into_owned(),
        };
        header.clear();
        entry.header(&mut header);
        position += header.len() as u64;
        let (EntryKind::File { start, .. } | EntryKind::Link { start, .. }) = &mut entry.kind;
        *start = position;
        if let EntryKind::File { size, digests, .. } = &mut entry.kind {
            let too_large = IndexError::Layout("a size is too large");
            let end = position
                .checked_add(*size)
                .filter(|end| *end <= length)
                .ok_or(too_large)?;
            let mut row = Some(row);
            for (block, from, length) in chunks(table, position, *size) {
                let row = match row.take() {
                    Some(first) => first,
                    None => rows
                        .next_if(|row| row.kind == "chunk")
                        .ok_or(IndexError::Layout("a chunk is missing"))?,
                };
                let last = from + length == end;
                let agrees = row.offset == block.offset
                    && row.inner_offset == from - block.start
                    && row.chunk_offset == from - position
                    && (row.chunk_size == length || (last && row.chunk_size == 0));
                if !agrees {
                    return Err(IndexError::Layout("a chunk lies elsewhere"));
                }
                digests.push(digest(&row.chunk_digest)?);
            }
            position = end + header::padding(*size) as u64;
        }
        entries.push(entry);
    }
    if position + 2 * header::RECORD as u64 != length {
        return Err(IndexError::Layout("it does not account for every byte"));
    }
    Ok(entries)
}

/// What follows the tar's end at `offset` of the archive: the index as a member, and the footer. Nothing where the index
/// would be larger than what is read.
pub(crate) fn tail(entries: &[Entry], table: &[Block], offset: u64) -> Option<Vec<u8>> {
    let rows = entries.iter().map(|entry| match &entry.kind {
        EntryKind::File { digests, .. } => digests.len().max(1),
        EntryKind::Link { .. } => 1,
    });
    if rows.sum::<usize>() > MAX_ROWS {
        return None;
    }
    let json = encode(entries, table);
    if json.len() as u64 > MAX_INDEX - 4 * header::RECORD as u64 {
        return None;
    }
    let mut tar = Vec::with_capacity(json.len() + 4 * header::RECORD);
    let member = Member {
        name: NAME,
        kind: Kind::File(json.len() as u64),
        mode: 0o644,
        modified: 0,
    };
    header::encode(&member, &mut tar);
    tar.extend_from_slice(&json);
    tar.resize(
        tar.len() + header::padding(json.len() as u64) + 2 * header::RECORD,
        0,
    );
    drop(json);
    let mut tail = member::compress(&tar, 1);
    tail.extend_from_slice(&member::footer(offset));
    Some(tail)
}

/// The JSON in a member that [`tail`] made, once inflated.
pub(crate) fn json(tar: &[u8]) -> Result<&[u8], IndexError> {
    let error = IndexError::Layout("it is not a tar member of its name");
    let Some((header, rest)) = tar.split_at_checked(header::RECORD) else {
        return Err(error);
    };
    let header = ::tar::Header::from_byte_slice(header);
    let size = header
        .entry_size()
        .ok()
        .and_then(|size| usize::try_from(size).ok());
    match size.and_then(|size| rest.get(..size)) {
        Some(json) if header.path_bytes() == NAME.as_bytes() => Ok(json),
        _ => Err(error),
    }
}

/// A block of the archive that comes after `table`.
pub(crate) fn next_block(table: &[Block], offset: u64, stored: u32, inflated: u32) -> Block {
    let start = table.last().map_or(0, Block::end);
    Block {
        start,
        inflated,
        offset,
        stored,
        kind: Stored::Member,
    }
}

fn rfc3339(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_string()
}

fn seconds(modtime: &str) -> Result<u64, IndexError> {
    let time: Result<Timestamp, _> = modtime.parse();
    time.ok()
        .and_then(|time| u64::try_from(time.as_second()).ok())
        .ok_or(IndexError::Layout(
            "a time is not one that our writer writes",
        ))
}

fn text(digest: &Digest) -> String {
    format!("sha256:{}", hex::encode(digest))
}

fn digest(text: &str) -> Result<Digest, IndexError> {
    let error = IndexError::Layout("a digest is not SHA-256");
    let Some(digits) = text
        .strip_prefix("sha256:")
        .filter(|digits| digits.is_ascii())
    else {
        return Err(error);
    };
    let mut digest = Digest::default();
    if digits.len() != 2 * digest.len() {
        return Err(error);
    }
    for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
        let Ok(value) = u8::from_str_radix(&digits[at..at + 2], 16) else {
            return Err(error);
        };
        *byte = value;
    }
    Ok(digest)
}

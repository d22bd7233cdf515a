//! Walking a tar stream: what lies where. Extensions of PAX and GNU are understood; everything that is not a
//! file, a folder or a symbolic link is named and passed over.

use ::tar::{EntryType, Header, PaxExtensions};

use super::contents::Content;
use super::header::{RECORD, padding};
use super::limits::Limits;
use super::problem::{OpenError, Problem};
use super::reader::{Findings, Found, FoundKind};
use super::scan::{Filled, Stream};
use crate::path::BundlePath;

/// The longest extended header that is read. Names end at a few KiB.
const MAX_EXTENSION: u64 = 1 << 20;

/// How many bytes the names and link targets of all members may have.
const MAX_NAMES: usize = 256 << 20;

/// What extended headers say of the next member.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

/// Lists what is in a tar stream.
pub(crate) fn walk(mut stream: Stream<'_>, limits: Limits) -> Result<Findings, OpenError> {
    let mut findings = Findings::default();
    let mut extensions = Extensions::default();
    let mut headers = 0_usize;
    let mut names = 0_usize;
    let mut record = [0; RECORD];
    // In search of a header after damage.
    let mut lost = false;
    loop {
        let at = stream.position();
        match stream.fill(&mut record)? {
            Filled::Whole => {}
            Filled::Ended => {
                findings.truncated = true;
                break;
            }
            Filled::Damaged => {
                findings.problems.push(damaged(at, "its checksum is wrong"));
                extensions = Extensions::default();
                lost = true;
                if stream.skip_block() {
                    continue;
                }
                findings.truncated = true;
                break;
            }
        }
        if record.iter().all(|byte| *byte == 0) && !lost {
            break;
        }
        let Some((header, size)) = read_header(&record) else {
            if headers == 0 && !lost {
                return Err(OpenError::NotAnArchive(
                    "it holds no tar archive".to_owned(),
                ));
            }
            if !lost {
                findings
                    .problems
                    .push(damaged(at, "it is not the header of a member"));
            }
            lost = true;
            extensions = Extensions::default();
            if stream.skip_block() {
                continue;
            }
            findings.truncated = true;
            break;
        };
        lost = false;
        headers += 1;
        if headers > limits.entries.saturating_mul(2) || findings.members.len() >= limits.entries {
            return Err(OpenError::TooManyEntries {
                limit: limits.entries,
            });
        }
        let kind = header.entry_type();
        if kind.is_pax_local_extensions() || kind.is_gnu_longname() || kind.is_gnu_longlink() {
            match read_extension(&mut stream, size)? {
                Some(body) => extensions.take(kind, body),
                None => findings
                    .problems
                    .push(damaged(at, "an extended header is too long or damaged")),
            }
            continue;
        }
        if kind.is_pax_global_extensions() {
            stream.skip(size + padding(size) as u64)?;
            continue;
        }
        let extensions = std::mem::take(&mut extensions);
        let name = extensions
            .name
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let name = match readable(name) {
            Ok(name) => Some(name),
            Err(problem) => {
                findings.problems.push(problem);
                None
            }
        };
        names +=
            name.as_ref().map_or(0, String::len) + extensions.target.as_ref().map_or(0, Vec::len);
        if names > MAX_NAMES {
            return Err(OpenError::NamesTooLong { limit: MAX_NAMES });
        }
        let modified = header
            .mtime()
            .ok()
            .and_then(|time| i64::try_from(time).ok())
            .unwrap_or(0);
        let size = extensions.size.unwrap_or(size);
        let kind = match kind {
            EntryType::Regular | EntryType::Continuous
                if name.as_deref().is_some_and(|name| name.ends_with('/')) =>
            {
                stream.skip(size.saturating_add(padding(size) as u64))?;
                FoundKind::Folder
            }
            EntryType::Regular | EntryType::Continuous => {
                let start = stream.position();
                let whole = stream.skip(size)?;
                stream.skip(padding(size) as u64)?;
                if whole && !extensions.sparse {
                    FoundKind::File(Content::Stream {
                        start,
                        size,
                        claim: None,
                    })
                } else if whole {
                    FoundKind::Other("a sparse file")
                } else {
                    let damage = stream
                        .damage()
                        .map_or_else(String::new, |damage| format!(": {damage}"));
                    let reason = format!("the archive ends inside it{damage}");
                    findings.truncated = true;
                    FoundKind::File(Content::Incomplete { size, reason })
                }
            }
            EntryType::Directory => FoundKind::Folder,
            EntryType::Symlink => {
                let target = extensions
                    .target
                    .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
                match readable(target.unwrap_or_default()) {
                    Ok(target) => FoundKind::Link(target),
                    Err(_) => FoundKind::Other("a link whose target is no path"),
                }
            }
            EntryType::Link => FoundKind::Other("a hard link"),
            EntryType::Char | EntryType::Block => FoundKind::Other("a device"),
            EntryType::Fifo => FoundKind::Other("a pipe"),
            EntryType::GNUSparse => {
                skip_sparse(&mut stream, &header, size)?;
                FoundKind::Other("a sparse file")
            }
            _ => {
                stream.skip(size.saturating_add(padding(size) as u64))?;
                FoundKind::Other("of a kind that bundles do not have")
            }
        };
        if let Some(name) = name {
            findings.members.push(Found {
                name,
                modified,
                kind,
            });
        }
    }
    if let Some(damage) = stream.damage() {
        findings.problems.push(damaged(stream.position(), damage));
    }
    findings.contents = stream.finish()?;
    Ok(findings)
}

impl Extensions {
    fn take(&mut self, kind: EntryType, body: Vec<u8>) {
        if kind.is_gnu_longname() {
            self.name = Some(before_nul(body));
            return;
        }
        if kind.is_gnu_longlink() {
            self.target = Some(before_nul(body));
            return;
        }
        for record in PaxExtensions::new(&body).flatten() {
            let value = record.value_bytes();
            match record.key_bytes() {
                b"path" => self.name = Some(value.to_vec()),
                b"linkpath" => self.target = Some(value.to_vec()),
                b"size" => self.size = record.value().ok().and_then(|size| size.parse().ok()),
                key => self.sparse |= key.starts_with(b"GNU.sparse."),
            }
        }
    }
}

/// Whether a record is a member's header, or the end of an empty tar.
pub(crate) fn is_header(record: &[u8; RECORD]) -> bool {
    read_header(record).is_some() || record.iter().all(|byte| *byte == 0)
}

/// A member's header and its size; nothing where the record is not a header.
fn read_header(record: &[u8; RECORD]) -> Option<(Header, u64)> {
    let header = Header::from_byte_slice(record).clone();
    // The checksum counts its own field as blanks.
    let sum: u32 = record.iter().map(|byte| u32::from(*byte)).sum();
    let own: u32 = record[148..156].iter().map(|byte| u32::from(*byte)).sum();
    let valid = header
        .cksum()
        .is_ok_and(|expected| expected == sum - own + 8 * u32::from(b' '));
    let size = header.entry_size().ok()?;
    valid.then_some((header, size))
}

/// The body of an extended header; nothing where it is too long or damaged. Either way the stream is after it.
fn read_extension(stream: &mut Stream<'_>, size: u64) -> Result<Option<Vec<u8>>, OpenError> {
    let after = stream
        .position()
        .saturating_add(size)
        .saturating_add(padding(size) as u64);
    let mut body = Vec::new();
    let mut filled = Filled::Damaged;
    if size <= MAX_EXTENSION {
        body.resize(usize::try_from(size).unwrap_or(0), 0);
        filled = stream.fill(&mut body)?;
    }
    stream.skip(after.saturating_sub(stream.position()))?;
    Ok((filled == Filled::Whole).then_some(body))
}

/// Passes over a sparse file of the old GNU format: its map may go on in records of its own.
fn skip_sparse(stream: &mut Stream<'_>, header: &Header, size: u64) -> Result<(), OpenError> {
    let mut extended = header.as_gnu().is_some_and(::tar::GnuHeader::is_extended);
    let mut record = [0; RECORD];
    while extended && stream.fill(&mut record)? == Filled::Whole {
        // The flag that more follows, after 21 entries of 24 bytes.
        extended = record[504] == 1;
    }
    stream.skip(size.saturating_add(padding(size) as u64))?;
    Ok(())
}

/// A name that could be a path's.
fn readable(name: Vec<u8>) -> Result<String, Problem> {
    let refused = |name: &[u8], reason: &str| Problem::UnsafePath {
        name: String::from_utf8_lossy(&name[..name.len().min(1000)])
            .chars()
            .take(200)
            .collect(),
        reason: reason.to_owned(),
    };
    if name.len() > BundlePath::MAX_BYTES {
        return Err(refused(&name, "it is longer than 4,096 bytes"));
    }
    String::from_utf8(name).map_err(|error| refused(error.as_bytes(), "it is not UTF-8"))
}

fn before_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

fn damaged(position: u64, reason: &str) -> Problem {
    Problem::Damaged {
        path: format!("the archive at byte {position} of its tar"),
        reason: reason.to_owned(),
    }
}

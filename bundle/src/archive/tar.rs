//! Walking a tar stream: what lies where. Extensions of PAX and GNU are understood; everything that is not a
//! file, a folder or a symbolic link is named and passed over.

use std::borrow::Cow;

use ::tar::{EntryType, Header, PaxExtensions};

use super::assemble::{Findings, Found, FoundKind};
use super::contents::Content;
use super::header::{RECORD, padding};
use super::index;
use super::limits::Limits;
use super::problem::{OpenError, Problem};
use super::scan::{Filled, Stream};
use crate::path::BundlePath;

/// The longest extended header that is read. Names end at a few KiB.
pub(crate) const MAX_EXTENSION: u64 = 1 << 20;

/// How many bytes the names and link targets of all members may have: 100 each at the cap of half a million.
pub(crate) const MAX_NAMES: usize = 48 << 20;

/// How many records are looked at after a tar's end: GNU tar fills up to twenty.
const PADDING: usize = 20;

/// What extended headers say of the next member.
#[derive(Default)]
pub(crate) struct Extensions {
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) target: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) sparse: bool,
}

/// Lists what is in a tar stream.
pub(crate) fn walk(stream: Stream<'_>, limits: Limits) -> Result<Findings, OpenError> {
    let mut walker = Walker {
        stream,
        limits,
        findings: Findings::default(),
        extensions: Extensions::default(),
        headers: 0,
        names: 0,
    };
    while let Some((header, size)) = walker.next_header()? {
        walker.take(&header, size)?;
    }
    let Walker {
        stream,
        mut findings,
        ..
    } = walker;
    if let Some(damage) = stream.damage() {
        findings.problems.push(damaged(stream.position(), damage));
    }
    findings.contents = stream.finish()?;
    Ok(findings)
}

struct Walker<'a> {
    stream: Stream<'a>,
    limits: Limits,
    findings: Findings,
    extensions: Extensions,
    headers: usize,
    /// Bytes of the names so far.
    names: usize,
}

impl Walker<'_> {
    /// The next header, and the size that it names; nothing at the tar's end. After damage the search goes on
    /// where the next block of ours begins.
    fn next_header(&mut self) -> Result<Option<(Header, u64)>, OpenError> {
        let mut record = [0; RECORD];
        let mut lost = false;
        loop {
            let at = self.stream.position();
            let reason = match self.stream.fill(&mut record)? {
                Filled::Ended => {
                    self.findings.truncated = true;
                    return Ok(None);
                }
                Filled::Damaged => "its checksum is wrong",
                Filled::Whole if record.iter().all(|byte| *byte == 0) && !lost => {
                    return self.end().map(|()| None);
                }
                Filled::Whole => match read_header(&record) {
                    Some(found) => return self.count().map(|()| Some(found)),
                    None if self.headers == 0 && !lost => {
                        return Err(OpenError::NotAnArchive(
                            "it holds no tar archive".to_owned(),
                        ));
                    }
                    None => "it is not the header of a member",
                },
            };
            if !lost {
                self.findings.problems.push(damaged(at, reason));
            }
            lost = true;
            self.extensions = Extensions::default();
            if !self.stream.skip_block() {
                self.findings.truncated = true;
                return Ok(None);
            }
        }
    }

    /// Looks at what follows the tar's end: padding, an index, or another tar, which a program that ignores the end
    /// would unpack and this one does not read.
    fn end(&mut self) -> Result<(), OpenError> {
        let mut record = [0; RECORD];
        for _ in 0..PADDING {
            if self.stream.fill(&mut record)? != Filled::Whole {
                return Ok(());
            }
            if let Some((header, _)) = read_header(&record) {
                if header.path_bytes() != index::NAME.as_bytes() {
                    self.findings.problems.push(Problem::Continued);
                }
                return Ok(());
            }
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), OpenError> {
        self.headers += 1;
        let limit = self.limits.entries;
        // A member may have one extended header of each kind.
        if self.findings.members.len() >= limit || self.headers > limit.saturating_mul(4) {
            return Err(OpenError::TooManyEntries { limit });
        }
        Ok(())
    }

    /// Takes the member or the extension that a header begins, and passes over its content.
    fn take(&mut self, header: &Header, size: u64) -> Result<(), OpenError> {
        let kind = header.entry_type();
        if kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions()
            || kind.is_gnu_longname()
            || kind.is_gnu_longlink()
        {
            let at = self.stream.position();
            let problem = match read_extension(&mut self.stream, size)? {
                Some(body) if kind.is_pax_global_extensions() => global(&body),
                Some(body) => self.extensions.take(kind, body),
                None => Some("an extended header is too long or damaged"),
            };
            if let Some(reason) = problem {
                self.findings.problems.push(damaged(at, reason));
            }
            return Ok(());
        }
        let mut extensions = std::mem::take(&mut self.extensions);
        let name = extensions
            .name
            .take()
            .unwrap_or_else(|| header.path_bytes().into_owned());
        self.names += name.len() + extensions.target.as_ref().map_or(0, Vec::len);
        if self.names > MAX_NAMES {
            return Err(OpenError::NamesTooLong { limit: MAX_NAMES });
        }
        let found = self.content(header, &name, extensions, size)?;
        match readable(name) {
            Ok(name) => self.findings.members.push(Found {
                name: name.into(),
                modified: header
                    .mtime()
                    .ok()
                    .and_then(|time| i64::try_from(time).ok())
                    .unwrap_or(0),
                kind: found,
            }),
            Err(problem) => self.findings.problems.push(problem),
        }
        Ok(())
    }

    /// What a member is. Its content is passed over; where it has none by its kind, its size means nothing, as
    /// for GNU tar and Go.
    fn content(
        &mut self,
        header: &Header,
        name: &[u8],
        extensions: Extensions,
        size: u64,
    ) -> Result<FoundKind, OpenError> {
        let size = extensions.size.unwrap_or(size);
        Ok(match header.entry_type() {
            EntryType::Regular | EntryType::Continuous => {
                let start = self.stream.position();
                let whole = self.skip_padded(size)?;
                if name.ends_with(b"/") {
                    FoundKind::Folder
                } else if !whole {
                    self.findings.truncated = true;
                    let damage = self.stream.damage().map(|damage| format!(": {damage}"));
                    let reason =
                        format!("the archive ends inside it{}", damage.unwrap_or_default()).into();
                    FoundKind::File(Content::Incomplete { size, reason })
                } else if extensions.sparse {
                    FoundKind::Other("a sparse file")
                } else {
                    FoundKind::File(Content::Stream {
                        start,
                        size,
                        claim: None,
                    })
                }
            }
            EntryType::Directory => FoundKind::Folder,
            EntryType::Symlink => {
                let target = extensions
                    .target
                    .or_else(|| header.link_name_bytes().map(Cow::into_owned));
                match readable(target.unwrap_or_default()) {
                    Ok(target) => FoundKind::Link(target, None),
                    Err(_) => FoundKind::Other("a link whose target is no path"),
                }
            }
            EntryType::Link => FoundKind::Other("a hard link"),
            EntryType::Char | EntryType::Block => FoundKind::Other("a device"),
            EntryType::Fifo => FoundKind::Other("a pipe"),
            EntryType::GNUSparse => {
                self.skip_sparse(header, size)?;
                FoundKind::Other("a sparse file")
            }
            _ => {
                self.skip_padded(size)?;
                FoundKind::Other("of a kind that bundles do not have")
            }
        })
    }

    /// Passes over content and its padding; false where the stream ends inside the content.
    fn skip_padded(&mut self, size: u64) -> Result<bool, OpenError> {
        let whole = self.stream.skip(size)?;
        self.stream.skip(padding(size) as u64)?;
        Ok(whole)
    }

    /// Passes over a sparse file of the old GNU format: its map may go on in records of its own.
    fn skip_sparse(&mut self, header: &Header, size: u64) -> Result<(), OpenError> {
        let mut extended = header.as_gnu().is_some_and(::tar::GnuHeader::is_extended);
        let mut record = [0; RECORD];
        while extended && self.stream.fill(&mut record)? == Filled::Whole {
            // The flag that more follows, after 21 entries of 24 bytes.
            extended = record[504] == 1;
        }
        self.skip_padded(size).map(drop)
    }
}

impl Extensions {
    /// Takes what an extended header says; the answer is what is wrong with it. Of two records with one key the
    /// last one counts, as POSIX has it.
    pub(crate) fn take(&mut self, kind: EntryType, body: Vec<u8>) -> Option<&'static str> {
        if kind.is_gnu_longname() {
            self.name = Some(before_nul(body));
            return None;
        }
        if kind.is_gnu_longlink() {
            self.target = Some(before_nul(body));
            return None;
        }
        let mut problem = None;
        for record in PaxExtensions::new(&body) {
            let Ok(record) = record else {
                problem = Some("an extended header has a record that cannot be read");
                continue;
            };
            let value = record.value_bytes();
            match record.key_bytes() {
                b"path" => self.name = Some(value.to_vec()),
                b"linkpath" => self.target = Some(value.to_vec()),
                b"size" => match record.value().ok().and_then(|size| size.parse().ok()) {
                    Some(size) => self.size = Some(size),
                    None => problem = Some("an extended header has a size that is no number"),
                },
                key => self.sparse |= key.starts_with(b"GNU.sparse."),
            }
        }
        problem
    }
}

/// What is wrong with a global extended header. It may hold a comment, as git's do; GNU tar would give every member
/// that follows one name, Go's reader would not.
fn global(body: &[u8]) -> Option<&'static str> {
    let renames = PaxExtensions::new(body).any(|record| match record {
        Ok(record) => [&b"path"[..], b"linkpath", b"size"].contains(&record.key_bytes()),
        Err(_) => true,
    });
    renames.then_some("a global extended header says what only a member's own may say")
}

/// Whether a record is a member's header, or the end of an empty tar.
pub(crate) fn is_header(record: &[u8; RECORD]) -> bool {
    read_header(record).is_some() || record.iter().all(|byte| *byte == 0)
}

/// A member's header and its size; nothing where the record is not a header.
pub(crate) fn read_header(record: &[u8; RECORD]) -> Option<(Header, u64)> {
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

/// A name that could be a path's.
pub(crate) fn readable(name: Vec<u8>) -> Result<String, Problem> {
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

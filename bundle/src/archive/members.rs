//! A stranger's tar stream, member by member: each content is read as it passes, and nothing of it is kept.
//!
//! For archives that are no bundles and too large to be indexed or unpacked. What [`super::tar`] understands of
//! headers and extensions counts here too.

use std::borrow::Cow;
use std::io::{self, Read};

use ::tar::EntryType;

use super::header::{RECORD, padding};
use super::limits::Limits;
use super::problem::Problem;
use super::tar::{Extensions, MAX_EXTENSION, MAX_NAMES, read_header, readable};

/// A stream that may know a faster way to pass over bytes than to read them.
pub trait Skip: Read {
    /// Passes over `length` bytes; fewer where the stream ends before.
    fn skip(&mut self, length: u64) -> io::Result<u64> {
        io::copy(&mut Read::take(&mut *self, length), &mut io::sink())
    }
}

/// A member of a tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name as stored; `./` before it and `..` in it are the caller's matter, who opens nothing by it.
    pub name: String,
    /// What it is.
    pub kind: MemberKind,
    /// Where its content begins in the stream.
    pub start: u64,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file of so many bytes, which [`Members::content`] reads.
    File(u64),
    /// A folder.
    Folder,
    /// A symbolic link with its target.
    Symlink(String),
    /// Another name of the member that is named.
    HardLink(String),
    /// Something whose content means nothing here: `a device`, `a sparse file`.
    Other(&'static str),
}

/// Why a stream is not read on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MembersError {
    /// Reading failed, or what is read cannot be unpacked.
    #[error("at byte {at}: {source}")]
    Read {
        /// Where in the tar.
        at: u64,
        /// What came back.
        source: io::Error,
    },
    /// The stream ends inside a member.
    #[error("it ends at byte {at}, inside {inside}")]
    Truncated {
        /// Where in the tar.
        at: u64,
        /// The member, or `a header`.
        inside: String,
    },
    /// The stream ends after a member, without the blocks that end a tar.
    #[error("it ends at byte {at} without the end of a tar")]
    NoEnd {
        /// Where in the tar.
        at: u64,
    },
    /// It does not begin as a tar.
    #[error("it is not a tar archive")]
    NotATar,
    /// What stands where a header should.
    #[error("at byte {at} there is no header of a member: {reason}")]
    Header {
        /// Where in the tar.
        at: u64,
        /// What is wrong.
        reason: String,
    },
    /// More members than [`Limits::entries`].
    #[error("it has more than {limit} members")]
    TooManyEntries {
        /// The limit.
        limit: usize,
    },
    /// The members' names alone would fill the memory.
    #[error("the names in it have more than {limit} bytes together")]
    NamesTooLong {
        /// The limit.
        limit: usize,
    },
    /// More bytes than [`Limits::total_bytes`].
    #[error("it unpacks to more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
}

/// The members of a tar stream.
#[derive(Debug)]
pub struct Members<R> {
    stream: R,
    limits: Limits,
    position: u64,
    /// Of the current member's content.
    left: u64,
    padding: u64,
    current: String,
    headers: usize,
    names: usize,
    problems: Vec<Problem>,
}

impl<R: Skip> Members<R> {
    /// A stream at the beginning of a tar.
    pub fn new(stream: R, limits: Limits) -> Self {
        Self {
            stream,
            limits,
            position: 0,
            left: 0,
            padding: 0,
            current: String::new(),
            headers: 0,
            names: 0,
            problems: Vec::new(),
        }
    }

    /// How far the tar was read.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The stream, behind what was read of it.
    pub fn into_inner(self) -> R {
        self.stream
    }

    /// Members that were passed over since this was asked, and why.
    pub fn problems(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.problems)
    }

    /// The next member, past what was not read of this one; nothing at the tar's end.
    #[expect(clippy::should_implement_trait, reason = "its content borrows")]
    pub fn next(&mut self) -> Result<Option<Member>, MembersError> {
        self.pass()?;
        let mut extensions = Extensions::default();
        loop {
            let Some((kind, header, size)) = self.header()? else {
                return Ok(None);
            };
            if kind.is_pax_local_extensions() || kind.is_gnu_longname() || kind.is_gnu_longlink() {
                let problem = match self.extension(size)? {
                    Some(body) => extensions.take(kind, body).map(str::to_owned),
                    None => Some(format!(
                        "an extended header is longer than {MAX_EXTENSION} bytes"
                    )),
                };
                if let Some(reason) = problem {
                    return Err(MembersError::Header {
                        at: self.position,
                        reason,
                    });
                }
                continue;
            }
            if kind.is_pax_global_extensions() {
                self.begin(size, "an extended header");
                self.pass()?;
                continue;
            }
            let name = extensions
                .name
                .take()
                .unwrap_or_else(|| header.path_bytes().into_owned());
            let target = extensions
                .target
                .take()
                .or_else(|| header.link_name_bytes().map(Cow::into_owned));
            self.names += name.len() + target.as_ref().map_or(0, Vec::len);
            if self.names > MAX_NAMES {
                return Err(MembersError::NamesTooLong { limit: MAX_NAMES });
            }
            let size = extensions.size.unwrap_or(size);
            let is_folder = name.ends_with(b"/");
            let read = readable(name);
            let shown = read.as_ref().map_or("a member", String::as_str).to_owned();
            // What has no content by its kind has a size that means nothing, as for GNU tar and Go.
            let kind = match kind {
                EntryType::Regular | EntryType::Continuous => {
                    self.begin(size, &shown);
                    if is_folder {
                        MemberKind::Folder
                    } else if extensions.sparse {
                        MemberKind::Other("a sparse file")
                    } else {
                        MemberKind::File(size)
                    }
                }
                EntryType::Directory => MemberKind::Folder,
                EntryType::Symlink | EntryType::Link => {
                    match readable(target.unwrap_or_default()) {
                        Ok(target) if kind == EntryType::Link => MemberKind::HardLink(target),
                        Ok(target) => MemberKind::Symlink(target),
                        Err(_) => MemberKind::Other("a link whose target is no path"),
                    }
                }
                EntryType::Char | EntryType::Block => MemberKind::Other("a device"),
                EntryType::Fifo => MemberKind::Other("a pipe"),
                EntryType::GNUSparse => {
                    self.sparse_map(&header)?;
                    self.begin(size, &shown);
                    MemberKind::Other("a sparse file")
                }
                _ => {
                    self.begin(size, &shown);
                    MemberKind::Other("of a kind that archives of images do not have")
                }
            };
            match read {
                Ok(name) => {
                    return Ok(Some(Member {
                        name,
                        kind,
                        start: self.position,
                    }));
                }
                Err(problem) => {
                    self.problems.push(problem);
                    self.pass()?;
                }
            }
            extensions = Extensions::default();
        }
    }

    /// The content of the member that came last, as far as it was not read.
    pub fn content(&mut self) -> Content<'_, R> {
        Content(self)
    }

    fn begin(&mut self, size: u64, name: &str) {
        self.left = size;
        self.padding = padding(size) as u64;
        name.clone_into(&mut self.current);
    }

    /// Goes on behind the current member.
    fn pass(&mut self) -> Result<(), MembersError> {
        for (length, is_content) in [(self.left, true), (self.padding, false)] {
            if length == 0 {
                continue;
            }
            let passed = self
                .stream
                .skip(length)
                .map_err(|source| self.failed(source))?;
            self.position += passed;
            if passed < length && is_content {
                return Err(self.truncated());
            }
        }
        self.left = 0;
        self.padding = 0;
        self.check_size()
    }

    fn check_size(&self) -> Result<(), MembersError> {
        let limit = self.limits.total_bytes;
        if self.position > limit {
            return Err(MembersError::TooLarge { limit });
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> MembersError {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            return self.truncated();
        }
        MembersError::Read {
            at: self.position,
            source,
        }
    }

    fn truncated(&self) -> MembersError {
        MembersError::Truncated {
            at: self.position,
            inside: self.current.clone(),
        }
    }

    /// Fills `buffer` as far as the stream goes.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, MembersError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.stream.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        self.position += filled as u64;
        Ok(filled)
    }

    /// The next header with its kind and size; nothing at the tar's end.
    fn header(&mut self) -> Result<Option<(EntryType, ::tar::Header, u64)>, MembersError> {
        let at = self.position;
        "a header".clone_into(&mut self.current);
        let mut record = [0; RECORD];
        match self.fill(&mut record)? {
            0 if self.headers == 0 => return Err(MembersError::NotATar),
            0 => return Err(MembersError::NoEnd { at }),
            RECORD => {}
            _ if self.headers == 0 => return Err(MembersError::NotATar),
            _ => return Err(self.truncated()),
        }
        if record.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let Some((header, size)) = read_header(&record) else {
            return Err(if self.headers == 0 {
                MembersError::NotATar
            } else {
                let reason = "its checksum or its size is wrong".to_owned();
                MembersError::Header { at, reason }
            });
        };
        self.headers += 1;
        let limit = self.limits.entries;
        // A member may have one extended header of each kind.
        if self.headers > limit.saturating_mul(4) {
            return Err(MembersError::TooManyEntries { limit });
        }
        Ok(Some((header.entry_type(), header, size)))
    }

    /// The body of an extended header; nothing where it is too long.
    fn extension(&mut self, size: u64) -> Result<Option<Vec<u8>>, MembersError> {
        if size > MAX_EXTENSION {
            return Ok(None);
        }
        "an extended header".clone_into(&mut self.current);
        let mut body = vec![0; usize::try_from(size).unwrap_or(0)];
        if self.fill(&mut body)? < body.len() {
            return Err(self.truncated());
        }
        self.padding = padding(size) as u64;
        self.pass()?;
        Ok(Some(body))
    }

    /// Passes over the map of a sparse file of the old GNU format, which may go on in records of its own.
    fn sparse_map(&mut self, header: &::tar::Header) -> Result<(), MembersError> {
        let mut extended = header.as_gnu().is_some_and(::tar::GnuHeader::is_extended);
        let mut record = [0; RECORD];
        while extended {
            if self.fill(&mut record)? < RECORD {
                return Err(self.truncated());
            }
            self.check_size()?;
            // The flag that more follows, after 21 entries of 24 bytes.
            extended = record[504] == 1;
        }
        Ok(())
    }
}

/// The content of a member on its way past. An end before the member's is an error of the kind
/// [`io::ErrorKind::UnexpectedEof`].
#[derive(Debug)]
pub struct Content<'a, R>(&'a mut Members<R>);

impl<R: Skip> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let members = &mut *self.0;
        let length = usize::try_from(members.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if length == 0 {
            return Ok(0);
        }
        let read = members.stream.read(&mut buffer[..length])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        members.position += read as u64;
        members.left -= read as u64;
        Ok(read)
    }
}

impl<R: Skip> Skip for Content<'_, R> {
    fn skip(&mut self, length: u64) -> io::Result<u64> {
        let members = &mut *self.0;
        let length = length.min(members.left);
        let passed = members.stream.skip(length)?;
        members.position += passed;
        members.left -= passed;
        Ok(passed)
    }
}

impl Skip for &[u8] {}

impl<T: Skip + ?Sized> Skip for &mut T {
    fn skip(&mut self, length: u64) -> io::Result<u64> {
        (**self).skip(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::tar::{Builder, Header};
    use proptest::prelude::*;

    fn archive() -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        let long = format!("{}/data", "d".repeat(180));
        for (name, content) in [("./a", &b"hello"[..]), (&long, &[7; 1500]), ("b", b"")] {
            let mut header = Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder
                .append_data(&mut header, name, content)
                .expect("a member");
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "c", "a").expect("a link");
        builder.into_inner().expect("a tar")
    }

    fn read(
        bytes: &[u8],
        limits: Limits,
    ) -> Result<Vec<(String, MemberKind, usize)>, MembersError> {
        let mut members = Members::new(bytes, limits);
        let mut all = Vec::new();
        while let Some(member) = members.next()? {
            let mut content = Vec::new();
            // Every other content is passed over instead of read.
            if all.len() % 2 == 0 && members.content().read_to_end(&mut content).is_err() {
                continue;
            }
            all.push((member.name, member.kind, content.len()));
        }
        Ok(all)
    }

    #[test]
    fn members_come_in_order_with_their_content() {
        let all = read(&archive(), Limits::default()).expect("members");
        let names: Vec<_> = all.iter().map(|(name, ..)| name.len()).collect();
        assert_eq!(names, [1, 185, 1, 1]);
        assert_eq!(all[0].1, MemberKind::File(5));
        assert_eq!(all[0].2, 5);
        assert_eq!(all[1].1, MemberKind::File(1500));
        assert_eq!(all[3].1, MemberKind::Symlink("a".to_owned()));
    }

    #[test]
    fn every_cut_is_told() {
        let whole = archive();
        // The last two records are the end of the tar, of which one says enough.
        for length in 0..whole.len() - 1024 {
            assert!(
                read(&whole[..length], Limits::default()).is_err(),
                "{length}"
            );
        }
    }

    #[test]
    fn each_cap_has_its_error() {
        let whole = archive();
        let entries = Limits {
            entries: 0,
            ..Limits::default()
        };
        assert!(matches!(
            read(&whole, entries),
            Err(MembersError::TooManyEntries { limit: 0 })
        ));
        let total = Limits {
            total_bytes: 1024,
            ..Limits::default()
        };
        assert!(matches!(
            read(&whole, total),
            Err(MembersError::TooLarge { limit: 1024 })
        ));
        assert!(matches!(
            read(b"no tar", Limits::default()),
            Err(MembersError::NotATar)
        ));
        let mut huge = Header::new_gnu();
        huge.set_entry_type(EntryType::XHeader);
        huge.set_size(1 << 40);
        huge.set_cksum();
        let refused = read(huge.as_bytes(), Limits::default());
        assert!(
            matches!(refused, Err(MembersError::Header { .. })),
            "{refused:?}"
        );
    }

    proptest! {
        #[test]
        fn no_byte_breaks_it(at in 0_usize..6000, value: u8) {
            let mut bytes = archive();
            let index = at % bytes.len();
            bytes[index] = value;
            let _ = read(&bytes, Limits::default());
        }
    }
}

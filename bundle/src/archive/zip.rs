//! Reading a zip file: its members are unpacked once into blocks, as those of a foreign tar are.

use std::borrow::Cow;
use std::io::{self, BufReader, Read, Seek};
use std::sync::Arc;

use ::zip::ZipArchive;
use ::zip::read::{ZipFile, read_zipfile_from_stream};
use ::zip::result::ZipError;
use jiff::civil;
use jiff::tz::TimeZone;

use super::assemble::{Findings, Found, FoundKind};
use super::blocks::{Block, Blocks};
use super::contents::{AtReader, Content, Contents};
use super::problem::{OpenError, Problem};
use super::reader::Budget;
use super::spooled::SpoolWriter;
use crate::io::{ReadAt, Spool};

/// The longest target of a symbolic link.
const MAX_TARGET: u64 = 4096;

/// How many members a zip file may have: its whole directory is held in memory, some 300 bytes for each.
const MAX_ENTRIES: usize = 200_000;

/// The fewest bytes that a member takes in the directory of a zip file.
const MIN_ENTRY: u64 = 46;

/// The length of a member's own header, without its name.
const LOCAL_HEADER: usize = 30;

/// Lists what is in a zip file.
pub(crate) fn walk(
    file: &Arc<dyn ReadAt>,
    spool: &dyn Spool,
    budget: Budget,
) -> Result<Findings, OpenError> {
    let packed = file.size()?;
    let mut unpacking = Unpacking {
        findings: Findings::default(),
        writer: SpoolWriter::default(),
        table: Vec::new(),
        length: 0,
        spool,
        budget,
    };
    if packed > MAX_ENTRIES as u64 * MIN_ENTRY {
        check_entries(AtReader::new(Arc::clone(file), 0, packed))?;
    }
    let reader = || BufReader::new(AtReader::new(Arc::clone(file), 0, packed));
    match ZipArchive::new(reader()) {
        Ok(mut archive) => unpacking.by_directory(file.as_ref(), &mut archive)?,
        Err(ZipError::Io(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
            return Err(error.into());
        }
        // The directory is at the end: what was cut off is read from its start.
        Err(error) => unpacking.by_stream(&mut reader(), &error)?,
    }
    unpacking.finish(file)
}

struct Unpacking<'a> {
    findings: Findings,
    writer: SpoolWriter,
    table: Vec<Block>,
    length: u64,
    spool: &'a dyn Spool,
    budget: Budget,
}

impl Unpacking<'_> {
    fn by_directory<R: Read + Seek>(
        &mut self,
        file: &dyn ReadAt,
        archive: &mut ZipArchive<R>,
    ) -> Result<(), OpenError> {
        let places = places(file, archive);
        for (index, place) in places.into_iter().enumerate() {
            let name = archive.name_for_index(index).and_then(Result::ok);
            let name = name.map(Cow::into_owned);
            let path = name.unwrap_or_else(|| format!("member {index} of the zip file"));
            let problem = match place {
                Ok(_) => match archive.by_index(index) {
                    Ok(mut member) => {
                        self.take(&mut member)?;
                        continue;
                    }
                    Err(error) => Problem::Damaged {
                        path,
                        reason: error.to_string(),
                    },
                },
                Err(Wrong::Encrypted) => {
                    self.findings.members.push(Found {
                        name: path.into(),
                        modified: 0,
                        kind: FoundKind::Other("encrypted"),
                    });
                    continue;
                }
                Err(Wrong::Damaged(reason)) => Problem::Damaged { path, reason },
            };
            self.findings.problems.push(problem);
        }
        Ok(())
    }

    fn by_stream(&mut self, reader: &mut impl Read, error: &ZipError) -> Result<(), OpenError> {
        self.findings.truncated = true;
        while let Ok(Some(mut member)) = read_zipfile_from_stream(reader) {
            self.take(&mut member)?;
        }
        if self.findings.members.is_empty() {
            let reason = format!("the zip file cannot be read: {error}");
            return Err(OpenError::NotAnArchive(reason));
        }
        Ok(())
    }

    fn take<R: Read>(&mut self, member: &mut ZipFile<'_, R>) -> Result<(), OpenError> {
        let limit = self.budget.limits.entries;
        if self.findings.members.len() >= limit {
            return Err(OpenError::TooManyEntries { limit });
        }
        let Some(name) = member.name().ok().map(Cow::into_owned) else {
            let raw = String::from_utf8_lossy(member.name_raw());
            self.findings.problems.push(Problem::UnsafePath {
                name: raw.chars().take(200).collect(),
                reason: "it is not a name".to_owned(),
            });
            return Ok(());
        };
        let modified = modified(member);
        let kind = if member.is_dir() {
            FoundKind::Folder
        } else if member.is_symlink() {
            let mut target = String::new();
            match member.take(MAX_TARGET).read_to_string(&mut target) {
                Ok(_) => FoundKind::Link(target, None),
                Err(_) => FoundKind::Other("a link whose target is no path"),
            }
        } else {
            FoundKind::File(self.unpack(member)?)
        };
        self.findings.members.push(Found {
            name: name.into(),
            modified,
            kind,
        });
        Ok(())
    }

    fn unpack(&mut self, member: &mut impl Read) -> Result<Content, OpenError> {
        let start = self.length;
        let mut buffer = vec![0; 128 << 10];
        loop {
            match member.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    self.length += length as u64;
                    self.budget.check(self.length)?;
                    self.writer
                        .write(&buffer[..length], self.spool, &mut self.table)?;
                }
                Err(error) => {
                    return Ok(Content::Incomplete {
                        size: self.length - start,
                        reason: error.to_string().into(),
                    });
                }
            }
        }
        Ok(Content::Stream {
            start,
            size: self.length - start,
            claim: None,
        })
    }

    fn finish(mut self, file: &Arc<dyn ReadAt>) -> Result<Findings, OpenError> {
        self.writer.end_block(self.spool, &mut self.table)?;
        let blocks = Blocks::new(Arc::clone(file), self.writer.finish()?, self.table);
        self.findings.contents = Contents {
            blocks: Some(Arc::new(blocks)),
            folder: None,
        };
        Ok(self.findings)
    }
}

/// Where a member lies in its file, from its own header to the end of its bytes.
type Place = std::ops::Range<u64>;

/// Why a member is not unpacked.
enum Wrong {
    Encrypted,
    Damaged(String),
}

/// Where each member lies. Some programs go by the directory at the end of a zip file, some by the headers before the
/// members; a file that tells them different things is not believed. Members that share bytes are a bomb.
fn places<R: Read + Seek>(
    file: &dyn ReadAt,
    archive: &mut ZipArchive<R>,
) -> Vec<Result<Place, Wrong>> {
    let mut places: Vec<_> = (0..archive.len())
        .map(|index| {
            let member = archive.by_index_raw(index);
            let member = member.map_err(|error| Wrong::Damaged(error.to_string()))?;
            if member.encrypted() {
                return Err(Wrong::Encrypted);
            }
            place(file, &member)
        })
        .collect();
    let mut order: Vec<usize> = (0..places.len()).collect();
    let begins = |places: &[Result<Place, Wrong>], index: usize| {
        places[index].as_ref().map_or(u64::MAX, |place| place.start)
    };
    order.sort_by_key(|index| begins(&places, *index));
    let mut end = 0;
    let mut before = None;
    for index in order {
        let Ok(place) = &places[index] else {
            continue;
        };
        let place = place.clone();
        if place.start < end {
            for index in before.into_iter().chain([index]) {
                let reason = "its bytes are those of another member, too".to_owned();
                places[index] = Err(Wrong::Damaged(reason));
            }
        }
        if place.end > end {
            end = place.end;
            before = Some(index);
        }
    }
    places
}

/// Where a member lies, where its own header says of it what the directory says.
fn place<R: Read>(file: &dyn ReadAt, member: &ZipFile<'_, R>) -> Result<Place, Wrong> {
    let start = member.header_start();
    let mut header = [0; LOCAL_HEADER];
    let unreadable = |error: io::Error| Wrong::Damaged(error.to_string());
    file.read_exact_at(&mut header, start).map_err(unreadable)?;
    let number = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let long = |at: usize| u64::from(number(at)) | u64::from(number(at + 2)) << 16;
    let mut name = vec![0; usize::from(number(26))];
    let name_at = start + LOCAL_HEADER as u64;
    file.read_exact_at(&mut name, name_at).map_err(unreadable)?;
    // What follows the bytes, or the extra field of a large file, has the sizes that these fields then do not have.
    let told_later = number(6) & 8 != 0;
    let size = |at: usize, expected: u64| {
        told_later || long(at) == u64::from(u32::MAX) || long(at) == expected
    };
    let agrees = &header[..4] == b"PK\x03\x04"
        && name == member.name_raw()
        && size(18, member.compressed_size())
        && size(22, member.size());
    if !agrees {
        let reason = "its own header and the directory of the zip file differ";
        return Err(Wrong::Damaged(reason.to_owned()));
    }
    let bytes_at = name_at + name.len() as u64 + u64::from(number(28));
    Ok(start..bytes_at.saturating_add(member.compressed_size()))
}

/// Counts what could be an entry of the directory: every one is held in memory while the file is read.
fn check_entries(mut reader: impl Read) -> Result<(), OpenError> {
    let entry = memchr::memmem::Finder::new(b"PK\x01\x02");
    let mut found = 0;
    let mut buffer = vec![0; 1 << 20];
    let mut kept = 0;
    loop {
        let read = reader.read(&mut buffer[kept..])?;
        if read == 0 {
            return Ok(());
        }
        let seen = &buffer[..kept + read];
        found += entry.find_iter(seen).count();
        if found > MAX_ENTRIES {
            return Err(OpenError::TooManyEntries { limit: MAX_ENTRIES });
        }
        // An entry may begin in these bytes and end in the next ones.
        let rest = seen.len() - seen.len().min(3);
        kept = seen.len() - rest;
        buffer.copy_within(rest..rest + kept, 0);
    }
}

/// Zip files hold the local time of nobody knows where: it is taken as UTC.
fn modified<R: Read>(member: &ZipFile<'_, R>) -> i64 {
    let time = member.last_modified().and_then(|time| {
        let part = |part: u8| i8::try_from(part).ok();
        let year = i16::try_from(time.year()).ok()?;
        civil::DateTime::new(
            year,
            part(time.month())?,
            part(time.day())?,
            part(time.hour())?,
            part(time.minute())?,
            part(time.second())?,
            0,
        )
        .ok()
    });
    let zoned = time.and_then(|time| time.to_zoned(TimeZone::UTC).ok());
    zoned.map_or(0, |zoned| zoned.timestamp().as_second())
}

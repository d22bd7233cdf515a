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
use super::limits::Limits;
use super::problem::{OpenError, Problem};
use super::reader::check_size;
use super::spooled::SpoolWriter;
use crate::io::{ReadAt, Spool};

/// The longest target of a symbolic link.
const MAX_TARGET: u64 = 4096;

/// Lists what is in a zip file.
pub(crate) fn walk(
    file: &Arc<dyn ReadAt>,
    spool: &dyn Spool,
    limits: Limits,
) -> Result<Findings, OpenError> {
    let packed = file.size()?;
    let mut unpacking = Unpacking {
        findings: Findings::default(),
        writer: SpoolWriter::default(),
        table: Vec::new(),
        length: 0,
        packed,
        spool,
        limits,
    };
    let reader = || BufReader::new(AtReader::new(Arc::clone(file), 0, packed));
    match ZipArchive::new(reader()) {
        Ok(mut archive) => unpacking.by_directory(&mut archive)?,
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
    packed: u64,
    spool: &'a dyn Spool,
    limits: Limits,
}

impl Unpacking<'_> {
    fn by_directory<R: Read + Seek>(
        &mut self,
        archive: &mut ZipArchive<R>,
    ) -> Result<(), OpenError> {
        for index in 0..archive.len() {
            let name = archive.name_for_index(index).and_then(Result::ok);
            let name = name.map(Cow::into_owned);
            match archive.by_index(index) {
                Ok(mut member) => self.take(&mut member)?,
                Err(error) => self.findings.problems.push(Problem::Damaged {
                    path: name.unwrap_or_else(|| format!("member {index} of the zip file")),
                    reason: error.to_string(),
                }),
            }
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
        let limit = self.limits.entries;
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
            name,
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
                    check_size(self.length, self.packed, self.limits)?;
                    self.writer
                        .write(&buffer[..length], self.spool, &mut self.table)?;
                }
                Err(error) => {
                    return Ok(Content::Incomplete {
                        size: self.length - start,
                        reason: error.to_string(),
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

//! Reading a zip file: its members are unpacked once into blocks, as those of a foreign tar are.

use std::io::{BufReader, Read};
use std::sync::Arc;

use ::zip::ZipArchive;
use ::zip::read::ZipFile;
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
    let size = file.size()?;
    let reader = BufReader::new(AtReader::new(Arc::clone(file), 0, size));
    let mut archive = ZipArchive::new(reader).map_err(|error| match error {
        ZipError::Io(error) => OpenError::Io(error),
        error => OpenError::NotAnArchive(format!("the zip file cannot be read: {error}")),
    })?;
    if archive.len() > limits.entries {
        return Err(OpenError::TooManyEntries {
            limit: limits.entries,
        });
    }
    let mut findings = Findings::default();
    let mut unpacking = Unpacking {
        writer: SpoolWriter::default(),
        table: Vec::new(),
        length: 0,
        packed: size,
        spool,
        limits,
    };
    for index in 0..archive.len() {
        let name = archive.name_for_index(index).and_then(Result::ok);
        let name = name.map(std::borrow::Cow::into_owned);
        let mut member = match archive.by_index(index) {
            Ok(member) => member,
            Err(error) => {
                findings.problems.push(Problem::Damaged {
                    path: name.unwrap_or_else(|| format!("member {index} of the zip file")),
                    reason: error.to_string(),
                });
                continue;
            }
        };
        let Some(name) = member.name().ok().map(std::borrow::Cow::into_owned) else {
            findings.problems.push(Problem::UnsafePath {
                name: String::from_utf8_lossy(member.name_raw())
                    .chars()
                    .take(200)
                    .collect(),
                reason: "it is not a name".to_owned(),
            });
            continue;
        };
        let modified = modified(&member);
        let kind = if member.is_dir() {
            FoundKind::Folder
        } else if member.is_symlink() {
            let mut target = String::new();
            match (&mut member).take(MAX_TARGET).read_to_string(&mut target) {
                Ok(_) => FoundKind::Link(target, None),
                Err(_) => FoundKind::Other("a link whose target is not UTF-8"),
            }
        } else {
            FoundKind::File(unpacking.unpack(&mut member)?)
        };
        findings.members.push(Found {
            name,
            modified,
            kind,
        });
    }
    unpacking.writer.end_block(spool, &mut unpacking.table)?;
    let blocks = Blocks::new(
        Arc::clone(file),
        unpacking.writer.finish()?,
        unpacking.table,
    );
    findings.contents = Contents {
        blocks: Some(Arc::new(blocks)),
        folder: None,
    };
    Ok(findings)
}

struct Unpacking<'a> {
    writer: SpoolWriter,
    table: Vec<Block>,
    length: u64,
    packed: u64,
    spool: &'a dyn Spool,
    limits: Limits,
}

impl Unpacking<'_> {
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

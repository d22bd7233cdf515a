//! Files that hold text in another form: compressed, packed, in UTF-16. They are opened, redacted and closed
//! again; what cannot be opened is not shipped.

use std::io::{self, Read, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use tar::EntryType;

use super::file::FileRedaction;
use super::{Compiled, Counts, Profile, RedactionFailure};
use crate::path::BundlePath;

/// How many bytes tell the form of a file.
pub(super) const HEAD: usize = 512;
/// The longest such file.
const MAX_PACKED: usize = 32 << 20;
/// How much may come out of it, at most and in proportion; logs that repeat themselves reach 100.
const MAX_UNPACKED: u64 = 512 << 20;
const MAX_RATIO: u64 = 400;
/// The longest file in an archive.
const MAX_MEMBER: usize = 32 << 20;
/// How deep forms may nest: text in UTF-16 in a compressed file in an archive in a compressed file.
const MAX_DEPTH: usize = 4;
/// How much is unpacked at a time.
const PIECE: usize = 64 << 10;

/// A form that can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Gzip,
    Tar,
    Utf16 { big_endian: bool },
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "a gzip file",
            Self::Tar => "a tar archive",
            Self::Utf16 { .. } => "text in UTF-16",
        }
    }
}

/// Forms that cannot be opened, by how they begin.
const CLOSED: &[(&[u8], &str)] = &[
    (b"PK\x03\x04", "a zip archive"),
    (b"\xFD7zXZ\0", "an xz file"),
    (b"\x28\xB5\x2F\xFD", "a zstd file"),
    (b"BZh", "a bzip2 file"),
    (b"7z\xBC\xAF\x27\x1C", "a 7z archive"),
    (b"\x04\x22\x4D\x18", "an lz4 file"),
    (b"Rar!\x1A\x07", "a rar archive"),
];

/// A file of another form, as it comes.
#[derive(Debug)]
pub(super) struct Envelope {
    form: Form,
    bytes: Vec<u8>,
}

impl Envelope {
    /// Reads the form from the first bytes; nothing for plain text. The profile `troubleshoot` opens what
    /// troubleshoot opens: archives by their name.
    pub(super) fn detect(
        head: &[u8],
        path: &str,
        profile: Profile,
    ) -> Result<Option<Self>, RedactionFailure> {
        let form = form(head);
        let named = [".tar", ".tgz", ".tar.gz"]
            .iter()
            .any(|end| path.ends_with(end));
        let form = match profile {
            Profile::Standard => form,
            Profile::Troubleshoot => {
                form.filter(|form| named && matches!(form, Form::Gzip | Form::Tar))
            }
        };
        if form.is_none() && profile == Profile::Standard {
            let closed = CLOSED.iter().find(|(start, _)| head.starts_with(start));
            // "BZh" alone may begin a text.
            let closed =
                closed.filter(|(start, _)| *start != b"BZh" || head.get(4..10) == Some(b"1AY&SY"));
            if let Some((_, what)) = closed {
                return Err(unreadable(what, "there is no reader for it"));
            }
        }
        Ok(form.map(|form| Self {
            form,
            bytes: Vec::new(),
        }))
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), RedactionFailure> {
        if self.bytes.len() + bytes.len() > MAX_PACKED {
            return Err(unreadable(self.form.name(), "it is longer than 32 MiB"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Opens the file at `path`, redacts what is in it, and closes it again. A file in which nothing was masked stays
    /// byte for byte.
    pub(super) fn finish(
        self,
        inside: &Inside<'_>,
        out: &mut Vec<u8>,
        counts: &mut Counts,
    ) -> Result<(), RedactionFailure> {
        let refuse = |reason: &str| unreadable(self.form.name(), reason);
        if inside.depth >= MAX_DEPTH {
            return Err(refuse("it is nested too deeply in other files"));
        }
        let mut masks = Counts::default();
        let mut redacted = Vec::new();
        let done = match self.form {
            Form::Gzip => gzip(&self.bytes, inside, &mut redacted, &mut masks),
            Form::Tar => tar(&self.bytes[..], inside, &mut redacted, &mut masks),
            Form::Utf16 { big_endian } => {
                utf16(&self.bytes, big_endian, inside, &mut redacted, &mut masks)
            }
        };
        done.map_err(|problem| match problem {
            Problem::Broken(error) => refuse(&error.to_string()),
            Problem::Inside(failure) => failure,
        })?;
        if masks.is_empty() {
            out.extend_from_slice(&self.bytes);
        } else {
            out.extend_from_slice(&redacted);
            counts.add_all(masks);
        }
        Ok(())
    }
}

/// Where a file in another form lies, and what redacts its inside.
pub(super) struct Inside<'c> {
    pub(super) compiled: &'c Arc<Compiled>,
    pub(super) path: &'c BundlePath,
    pub(super) depth: usize,
}

impl Inside<'_> {
    /// Starts the redaction of what is inside; archives have names for it.
    fn begin(&self, name: Option<&str>) -> FileRedaction {
        let named = name.and_then(|name| BundlePath::new(name.trim_start_matches('/')).ok());
        let unpacked = self.path.as_str();
        let unpacked = unpacked.strip_suffix(".gz").unwrap_or(unpacked);
        let path = named.or_else(|| BundlePath::new(unpacked).ok());
        FileRedaction::new(
            self.compiled,
            path.as_ref().unwrap_or(self.path),
            self.depth + 1,
        )
    }
}

/// What goes wrong on the way.
enum Problem {
    Broken(io::Error),
    Inside(RedactionFailure),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<RedactionFailure> for Problem {
    fn from(failure: RedactionFailure) -> Self {
        Self::Inside(failure)
    }
}

fn unreadable(what: &str, reason: &str) -> RedactionFailure {
    RedactionFailure::Unreadable {
        what: what.to_owned(),
        reason: reason.to_owned(),
    }
}

fn too_much(what: &str) -> Problem {
    Problem::Broken(io::Error::other(what.to_owned()))
}

fn form(head: &[u8]) -> Option<Form> {
    if head.starts_with(&[0x1F, 0x8B, 8]) {
        return Some(Form::Gzip);
    }
    if is_tar(head) {
        return Some(Form::Tar);
    }
    let text = &head[..head.len() & !1];
    let zeros = |parity: usize| {
        text.iter()
            .skip(parity)
            .step_by(2)
            .filter(|byte| **byte == 0)
            .count()
    };
    // Text of the western kind has a zero in nearly every unit.
    let mostly = |parity: usize| {
        text.len() >= 8 && zeros(parity) * 20 >= text.len() * 9 && zeros(1 - parity) == 0
    };
    if head.starts_with(&[0xFF, 0xFE]) || mostly(1) {
        return Some(Form::Utf16 { big_endian: false });
    }
    (head.starts_with(&[0xFE, 0xFF]) || mostly(0)).then_some(Form::Utf16 { big_endian: true })
}

fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

fn gzip(
    bytes: &[u8],
    inside: &Inside<'_>,
    out: &mut Vec<u8>,
    masks: &mut Counts,
) -> Result<(), Problem> {
    let limit = MAX_UNPACKED.min(bytes.len() as u64 * MAX_RATIO + (1 << 20));
    let mut unpacked = MultiGzDecoder::new(bytes).take(limit);
    let mut head = Vec::new();
    unpacked.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    let mut packed = GzEncoder::new(out, Compression::default());
    if is_tar(&head) {
        tar(head.chain(unpacked.by_ref()), inside, &mut packed, masks)?;
    } else {
        let mut file = inside.begin(None);
        let mut redacted = Vec::new();
        file.push(&head, &mut redacted)?;
        let mut piece = vec![0; PIECE];
        loop {
            let length = unpacked.read(&mut piece)?;
            if length == 0 {
                break;
            }
            file.push(&piece[..length], &mut redacted)?;
            packed.write_all(&redacted)?;
            redacted.clear();
        }
        masks.add_report(file.finish(&mut redacted)?);
        packed.write_all(&redacted)?;
    }
    if unpacked.limit() == 0 {
        return Err(too_much(
            "more comes out of it than 512 MiB, or 400 times its size",
        ));
    }
    packed.finish()?;
    Ok(())
}

fn tar(
    packed: impl Read,
    inside: &Inside<'_>,
    out: &mut impl Write,
    masks: &mut Counts,
) -> Result<(), Problem> {
    let mut archive = tar::Archive::new(packed);
    let mut builder = tar::Builder::new(out);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let mut header = entry.header().clone();
        let path = entry.path()?.into_owned();
        let kind = header.entry_type();
        if let EntryType::Symlink | EntryType::Link = kind {
            let target = entry.link_name()?.unwrap_or_default().into_owned();
            builder.append_link(&mut header, path, target)?;
            continue;
        }
        let mut redacted = Vec::new();
        if matches!(
            kind,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse
        ) {
            header.set_entry_type(EntryType::Regular);
            let mut file = inside.begin(path.to_str());
            let mut piece = vec![0; PIECE];
            loop {
                let length = entry.read(&mut piece)?;
                if length == 0 {
                    break;
                }
                file.push(&piece[..length], &mut redacted)?;
                if redacted.len() > MAX_MEMBER {
                    return Err(too_much("a file in it is longer than 32 MiB"));
                }
            }
            masks.add_report(file.finish(&mut redacted)?);
        }
        header.set_size(redacted.len() as u64);
        builder.append_data(&mut header, path, &redacted[..])?;
    }
    builder.finish()?;
    Ok(())
}

fn utf16(
    bytes: &[u8],
    big_endian: bool,
    inside: &Inside<'_>,
    out: &mut Vec<u8>,
    masks: &mut Counts,
) -> Result<(), Problem> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let read = if big_endian {
        u16::from_be_bytes
    } else {
        u16::from_le_bytes
    };
    let units = pairs.iter().map(|pair| read(*pair));
    let text: String = char::decode_utf16(units)
        .collect::<Result<_, _>>()
        .map_err(|_| too_much("it has half a character"))?;
    if !rest.is_empty() {
        return Err(too_much("it ends within a character"));
    }
    let mut redacted = Vec::new();
    let mut file = inside.begin(None);
    file.push(text.as_bytes(), &mut redacted)?;
    masks.add_report(file.finish(&mut redacted)?);
    let redacted = String::from_utf8_lossy(&redacted);
    for unit in redacted.encode_utf16() {
        let pair = if big_endian {
            unit.to_be_bytes()
        } else {
            unit.to_le_bytes()
        };
        out.extend_from_slice(&pair);
    }
    Ok(())
}

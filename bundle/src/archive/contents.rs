//! Where the bytes of a bundle's files lie, and how they are read.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::blocks::{Blocks, StreamReader};
use super::compression::Digest;
use super::index::{Entry, EntryKind};
use super::limits::Limits;
use super::problem::Problem;
use crate::io::{ReadAt, Source, sought};
use crate::manifest::Manifest;
use crate::path::BundlePath;

/// What an opener found.
pub(crate) struct Listing {
    pub(crate) nodes: BTreeMap<BundlePath, Node>,
    pub(crate) contents: Contents,
    pub(crate) root: Option<String>,
    pub(crate) manifest: Option<Manifest>,
    pub(crate) problems: Vec<Problem>,
    /// The largest file that is read whole.
    pub(crate) document_bytes: u64,
}

impl Default for Listing {
    fn default() -> Self {
        Self {
            nodes: BTreeMap::new(),
            contents: Contents::default(),
            root: None,
            manifest: None,
            problems: Vec::new(),
            document_bytes: Limits::default().document_bytes,
        }
    }
}

/// A member of a bundle.
pub(crate) enum Node {
    File {
        content: Content,
        /// Seconds since 1970.
        modified: i64,
    },
    Link {
        /// Where it leads, from the bundle's root.
        target: BundlePath,
        modified: i64,
        claim: Option<Claim>,
    },
}

impl Node {
    pub(crate) fn modified(&self) -> i64 {
        match self {
            Self::File { modified, .. } | Self::Link { modified, .. } => *modified,
        }
    }
}

/// What an index that came with the archive says of a member. The archive's own tar header is compared before the
/// member is used: the digests are the index's own word, the header is what every other program goes by.
pub(crate) type Claim = Box<Entry>;

/// A file's bytes.
pub(crate) enum Content {
    Memory(Arc<[u8]>),
    /// A part of the tar stream.
    Stream {
        start: u64,
        size: u64,
        claim: Option<Claim>,
    },
    /// A file of a folder, by the name it has there.
    Folder {
        name: Box<str>,
        size: u64,
    },
    /// The archive names the file and does not hold all of it.
    Incomplete {
        size: u64,
        reason: Box<str>,
    },
}

impl Content {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Stream { size, .. }
            | Self::Folder { size, .. }
            | Self::Incomplete { size, .. } => *size,
        }
    }
}

/// What [`Content`] refers to.
#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) blocks: Option<Arc<Blocks>>,
    pub(crate) folder: Option<Arc<dyn Source>>,
}

impl Contents {
    /// A file's bytes at once.
    pub(crate) fn read(&self, content: &Content) -> io::Result<Arc<[u8]>> {
        if let Content::Memory(bytes) = content {
            return Ok(Arc::clone(bytes));
        }
        let size = usize::try_from(content.size()).map_err(io::Error::other)?;
        // Filled where it stays: a document of 100 MB is not copied once more.
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, size).collect();
        let buffer = Arc::get_mut(&mut bytes).expect("nobody else has it yet");
        self.read_exact_at(content, buffer, 0)?;
        Ok(bytes)
    }

    /// Fills `buffer` from `offset` of a file.
    pub(crate) fn read_exact_at(
        &self,
        content: &Content,
        buffer: &mut [u8],
        offset: u64,
    ) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > content.size()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match content {
            Content::Memory(bytes) => bytes.read_exact_at(buffer, offset),
            Content::Stream { start, claim, .. } => {
                let blocks = self.blocks()?;
                compare(blocks, claim.as_deref())?;
                blocks.read_exact_at(buffer, start + offset)
            }
            Content::Folder { name, .. } => {
                self.folder()?.open(name)?.read_exact_at(buffer, offset)
            }
            Content::Incomplete { reason, .. } => {
                Err(io::Error::new(io::ErrorKind::InvalidData, &**reason))
            }
        }
    }

    /// A file from its start to its end.
    pub(crate) fn open(&self, content: &Content) -> io::Result<FileReader> {
        let place = match content {
            Content::Memory(bytes) => Place::Memory(io::Cursor::new(Arc::clone(bytes))),
            Content::Stream { start, size, claim } => {
                let blocks = self.blocks()?;
                compare(blocks, claim.as_deref())?;
                Place::Stream(StreamReader::new(Arc::clone(blocks), *start, *size))
            }
            Content::Folder { name, size } => {
                Place::Folder(AtReader::new(self.folder()?.open(name)?, 0, *size))
            }
            Content::Incomplete { reason, .. } => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, &**reason));
            }
        };
        Ok(FileReader(place))
    }

    /// Compares a link with what the index says of it.
    pub(crate) fn check_link(&self, claim: Option<&Claim>) -> io::Result<()> {
        match claim {
            None => Ok(()),
            Some(claim) => compare(self.blocks()?, Some(claim)),
        }
    }

    /// Reads all of a file and compares it with what the index claims.
    pub(crate) fn verify(&self, content: &Content) -> io::Result<()> {
        let mut reader = self.open(content)?;
        let (
            Content::Stream {
                start,
                size,
                claim: Some(claim),
            },
            Some(blocks),
        ) = (content, &self.blocks)
        else {
            io::copy(&mut reader, &mut io::sink())?;
            return Ok(());
        };
        let mut digests = match &claim.kind {
            EntryKind::File { digests, .. } => digests.iter(),
            EntryKind::Link { .. } => [].iter(),
        };
        for length in blocks.lengths(*start, *size) {
            let mut chunk = Vec::new();
            (&mut reader).take(length).read_to_end(&mut chunk)?;
            let digest: Digest = Sha256::digest(&chunk).into();
            if chunk.len() as u64 != length || digests.next() != Some(&digest) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it does not have the digest that the index names",
                ));
            }
        }
        Ok(())
    }

    fn blocks(&self) -> io::Result<&Arc<Blocks>> {
        self.blocks
            .as_ref()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn folder(&self) -> io::Result<&Arc<dyn Source>> {
        self.folder
            .as_ref()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Compares the tar header of a member with what the index says of it.
fn compare(blocks: &Blocks, claim: Option<&Entry>) -> io::Result<()> {
    let Some(claim) = claim else { return Ok(()) };
    let mut expected = Vec::new();
    claim.header(&mut expected);
    let mut found = vec![0; expected.len()];
    let at = claim.start().checked_sub(found.len() as u64);
    blocks.read_exact_at(&mut found, at.ok_or(io::ErrorKind::InvalidData)?)?;
    if found == expected {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "the archive has another member where its index says this one lies",
    ))
}

/// One file of a bundle, read from its start, or from wherever it was sought. It holds the block that it last read
/// from, so that what it is asked for in order is inflated once, whoever else reads.
pub struct FileReader(Place);

enum Place {
    Memory(io::Cursor<Arc<[u8]>>),
    Stream(StreamReader),
    Folder(AtReader),
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Place::Memory(reader) => reader.read(buffer),
            Place::Stream(reader) => reader.read(buffer),
            Place::Folder(reader) => reader.read(buffer),
        }
    }
}

impl Seek for FileReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.0 {
            Place::Memory(reader) => reader.seek(to),
            Place::Stream(reader) => reader.seek(to),
            Place::Folder(reader) => reader.seek(to),
        }
    }
}

/// Reads a part of a file from its start to its end.
pub(crate) struct AtReader {
    file: Arc<dyn ReadAt>,
    position: u64,
    end: u64,
}

impl AtReader {
    pub(crate) fn new(file: Arc<dyn ReadAt>, position: u64, end: u64) -> Self {
        Self {
            file,
            position,
            end,
        }
    }
}

impl Read for AtReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_sub(self.position);
        let length = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        self.file
            .read_exact_at(&mut buffer[..length], self.position)?;
        self.position += length as u64;
        Ok(length)
    }
}

impl Seek for AtReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = sought(self.position, self.end, to)?;
        Ok(self.position)
    }
}

/// One file of a bundle, read as an archive of its own.
pub(crate) struct MemberAt {
    pub(crate) contents: Contents,
    pub(crate) content: Content,
}

impl ReadAt for MemberAt {
    fn size(&self) -> io::Result<u64> {
        Ok(self.content.size())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.contents.read_exact_at(&self.content, buffer, offset)
    }
}

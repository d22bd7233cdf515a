//! The archive's file: parts in the order of their places, each whole or not at all.

use std::io;
use std::sync::Arc;

use super::blocks::Block;
use super::compression::{self, Ordered};
use super::header::RECORD;
use super::index::{self, Entry, EntryKind};
use super::ledger::WriteError;
use super::member;
use crate::io::{ArchiveFile, ReadAt};

/// What [`ArchiveWriter::finish`](super::ArchiveWriter::finish) made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// The archive's length in bytes.
    pub bytes: u64,
    /// How many files and links it holds.
    pub entries: usize,
    /// Whether the index is there. On a disk too full for it the archive is whole without.
    pub indexed: bool,
}

/// The file, and what was written to it.
pub(crate) struct Output {
    pub(crate) file: Box<dyn ArchiveFile>,
    pub(crate) parts: Ordered<Part>,
    pub(crate) table: Vec<Block>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) failure: Option<Failure>,
    offset: u64,
    /// Nothing is written any more.
    ended: bool,
}

/// The first error of the archive's file.
pub(crate) struct Failure {
    kind: io::ErrorKind,
    pub(crate) detail: String,
}

/// What is appended to the archive at once, in the order of its places.
pub(crate) enum Part {
    /// A block of packed members.
    Packed(compression::Block, Vec<Entry>),
    /// One long file.
    Spooled(Spooled, Entry),
}

/// A long file, waiting in its spool.
pub(crate) struct Spooled {
    /// Its tar header, compressed, and its length before that.
    pub(crate) header: (Vec<u8>, u32),
    pub(crate) content: SpooledBlocks,
}

/// The compressed blocks of a long file.
pub(crate) struct SpooledBlocks {
    pub(crate) file: Arc<dyn ReadAt>,
    /// Stored and inflated lengths.
    pub(crate) blocks: Vec<(u32, u32)>,
}

impl Output {
    pub(crate) fn new(file: Box<dyn ArchiveFile>) -> Self {
        Self {
            file,
            parts: Ordered::default(),
            table: Vec::new(),
            entries: Vec::new(),
            failure: None,
            offset: 0,
            ended: false,
        }
    }

    /// Writes one part, or says which entries are lost with it.
    pub(crate) fn write(
        &mut self,
        part: Part,
        permits: &mut Vec<compression::Permit>,
    ) -> Result<(), Vec<String>> {
        let (first, start) = (self.table.len(), self.length());
        let (result, mut entries) = match part {
            Part::Packed(block, mut entries) => {
                permits.push(block.permit);
                let mut digests = block.digests.into_iter();
                for entry in &mut entries {
                    if let EntryKind::File {
                        start: inner,
                        size,
                        digests: own,
                    } = &mut entry.kind
                    {
                        *inner += start;
                        if *size > 0 {
                            // Room for one: there may be half a million of them.
                            *own = digests.next().into_iter().collect();
                        }
                    }
                }
                (self.write_block(&block.member, block.inflated), entries)
            }
            Part::Spooled(spooled, mut entry) => {
                if let EntryKind::File { start: place, .. } = &mut entry.kind {
                    *place = start + u64::from(spooled.header.1);
                }
                (self.write_spooled(&spooled), vec![entry])
            }
        };
        match result {
            Ok(()) => {
                self.entries.append(&mut entries);
                Ok(())
            }
            Err(error) => {
                self.take_back(first, &error);
                Err(entries.into_iter().map(|entry| entry.name).collect())
            }
        }
    }

    /// How long the tar stream is so far.
    fn length(&self) -> u64 {
        self.table.last().map_or(0, Block::end)
    }

    fn write_block(&mut self, member: &[u8], inflated: u32) -> io::Result<()> {
        if self.ended || self.failure.is_some() {
            return Err(io::ErrorKind::Other.into());
        }
        self.file.write_all(member)?;
        let stored = u32::try_from(member.len()).map_err(io::Error::other)?;
        let block = index::next_block(&self.table, self.offset, stored, inflated);
        self.table.push(block);
        self.offset += u64::from(stored);
        Ok(())
    }

    fn write_spooled(&mut self, spooled: &Spooled) -> io::Result<()> {
        self.write_block(&spooled.header.0, spooled.header.1)?;
        let mut at = 0;
        let mut member = Vec::new();
        for (stored, inflated) in &spooled.content.blocks {
            member.resize(*stored as usize, 0);
            spooled.content.file.read_exact_at(&mut member, at)?;
            self.write_block(&member, *inflated)?;
            at += u64::from(*stored);
        }
        Ok(())
    }

    /// Takes back what was written since there were `blocks` blocks, and refuses more until the reserve is
    /// given back.
    fn take_back(&mut self, blocks: usize, error: &io::Error) {
        if let Some(first) = self.table.get(blocks) {
            self.offset = first.offset;
        }
        self.table.truncate(blocks);
        if self.ended || self.failure.is_some() {
            return;
        }
        let mut detail = error.to_string();
        if let Err(error) = self.file.cut(self.offset) {
            // What is half written cannot be taken back: nothing that follows it could be read.
            self.ended = true;
            detail = format!("{detail}; and what was half written stays: {error}");
        }
        self.failure = Some(Failure {
            kind: error.kind(),
            detail,
        });
    }

    /// Writes the tar's end, the index and the footer.
    pub(crate) fn end(&mut self) -> Result<Finished, WriteError> {
        let zeros = [0; 2 * RECORD];
        let end = member::compress(&zeros, 1);
        let first = self.table.len();
        let length = u32::try_from(zeros.len()).expect("two records are 1,024 bytes");
        if let Err(error) = self.write_block(&end, length) {
            self.take_back(first, &error);
            return Err(write_error(error));
        }
        let tail = index::tail(&self.entries, &self.table, self.offset);
        let written = tail.as_ref().map(|tail| {
            let written = self.file.write_all(tail);
            written.map(|()| tail.len() as u64)
        });
        let indexed = match written {
            None => false,
            Some(Ok(length)) => {
                self.offset += length;
                true
            }
            Some(Err(error)) if is_full(error.kind()) => {
                self.file.cut(self.offset).map_err(write_error)?;
                false
            }
            Some(Err(error)) => return Err(write_error(error)),
        };
        self.ended = true;
        self.file.flush().map_err(write_error)?;
        self.file.sync().map_err(write_error)?;
        Ok(Finished {
            bytes: self.offset,
            entries: self.entries.len(),
            indexed,
        })
    }
}

impl Failure {
    pub(crate) fn error(&self) -> WriteError {
        write_error(io::Error::new(self.kind, self.detail.clone()))
    }
}

pub(crate) fn is_full(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(kind, StorageFull | QuotaExceeded | FileTooLarge)
}

pub(crate) fn write_error(error: io::Error) -> WriteError {
    if is_full(error.kind()) {
        WriteError::Full(error)
    } else {
        WriteError::Output(error)
    }
}

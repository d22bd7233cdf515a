//! Reading an archive without an index: the tar stream is read once from its start, which leaves a table of
//! its blocks behind.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use super::blocks::{Block, Blocks, Stored};
use super::contents::{AtReader, Contents};
use super::member::{self, HEADER};
use super::problem::OpenError;
use super::reader::Budget;
use super::spooled::SpoolWriter;
use super::{BLOCK, index};
use crate::io::{ReadAt, Spool};

/// The largest block that is inflated at once. Ours have 1 MiB and a header.
pub(crate) const MAX_BLOCK: u32 = 16 << 20;

/// The tar stream of an archive.
pub(crate) struct Stream<'a> {
    archive: Arc<dyn ReadAt>,
    size: u64,
    spool: &'a dyn Spool,
    budget: Budget,
    feed: Feed,
    spooled: SpoolWriter,
    table: Vec<Block>,
    /// The last block of the table, once its bytes were needed.
    current: Option<Vec<u8>>,
    position: u64,
    /// Why the stream ends before its end.
    damage: Option<String>,
}

/// Where the next block comes from.
enum Feed {
    /// Gzip members of ours, from this offset.
    Members(u64),
    /// Gzip members of anybody.
    Foreign(Box<MultiGzDecoder<BufReader<AtReader>>>),
    /// The archive's own bytes, from this offset.
    Plain(u64),
    Ended,
}

/// What became of a request for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filled {
    /// All of them came.
    Whole,
    /// The stream ended before.
    Ended,
    /// The block that holds them is damaged.
    Damaged,
}

impl<'a> Stream<'a> {
    /// The stream of a gzip file.
    pub(crate) fn gzip(
        archive: &Arc<dyn ReadAt>,
        spool: &'a dyn Spool,
        budget: Budget,
    ) -> io::Result<Self> {
        Self::new(archive, spool, budget, Feed::Members(0))
    }

    /// The stream of a file that is not compressed.
    pub(crate) fn plain(
        archive: &Arc<dyn ReadAt>,
        spool: &'a dyn Spool,
        budget: Budget,
    ) -> io::Result<Self> {
        Self::new(archive, spool, budget, Feed::Plain(0))
    }

    fn new(
        archive: &Arc<dyn ReadAt>,
        spool: &'a dyn Spool,
        budget: Budget,
        feed: Feed,
    ) -> io::Result<Self> {
        Ok(Self {
            size: archive.size()?,
            archive: Arc::clone(archive),
            spool,
            budget,
            feed,
            spooled: SpoolWriter::default(),
            table: Vec::new(),
            current: None,
            position: 0,
            damage: None,
        })
    }

    /// How far the stream was read.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Why the stream ended before its end, where something is wrong with it.
    pub(crate) fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Fills `buffer`.
    pub(crate) fn fill(&mut self, mut buffer: &mut [u8]) -> Result<Filled, OpenError> {
        while !buffer.is_empty() {
            if !self.reach(self.position.saturating_add(1))? {
                return Ok(Filled::Ended);
            }
            let Some(bytes) = self.current()? else {
                return Ok(Filled::Damaged);
            };
            let length = bytes.len().min(buffer.len());
            let (now, later) = buffer.split_at_mut(length);
            now.copy_from_slice(&bytes[..length]);
            buffer = later;
            self.position += length as u64;
        }
        Ok(Filled::Whole)
    }

    /// Goes on `length` bytes; false where the stream ends before.
    pub(crate) fn skip(&mut self, length: u64) -> Result<bool, OpenError> {
        let target = self.position.saturating_add(length);
        let there = self.reach(target)?;
        self.position = target;
        Ok(there)
    }

    /// Goes on to where the next block begins: each of ours can be read on its own. False where blocks have no
    /// such meaning.
    pub(crate) fn skip_block(&mut self) -> bool {
        let last = self
            .table
            .last()
            .filter(|block| block.kind == Stored::Member);
        let Some(block) = last else { return false };
        self.position = self.position.max(block.end());
        true
    }

    /// Reads blocks until there are `target` bytes of the stream; false where it ends before.
    fn reach(&mut self, target: u64) -> Result<bool, OpenError> {
        while self.table.last().map_or(0, Block::end) < target {
            let before = self.table.len();
            self.next_block()?;
            if self.table.len() == before && matches!(self.feed, Feed::Ended) {
                return Ok(false);
            }
            self.budget.check(self.table.last().map_or(0, Block::end))?;
        }
        Ok(true)
    }

    fn next_block(&mut self) -> Result<(), OpenError> {
        match &mut self.feed {
            Feed::Ended => Ok(()),
            Feed::Plain(offset) => {
                let left = self.size - *offset;
                let length = u32::try_from(left.min(BLOCK as u64)).unwrap_or(u32::MAX);
                if length == 0 {
                    self.feed = Feed::Ended;
                    return Ok(());
                }
                let block = Block {
                    kind: Stored::Plain,
                    ..index::next_block(&self.table, *offset, length, length)
                };
                *offset += u64::from(length);
                self.push(block);
                Ok(())
            }
            Feed::Members(offset) => {
                let offset = *offset;
                if offset >= self.size {
                    self.feed = Feed::Ended;
                    return Ok(());
                }
                if let Some(block) = self.own_member(offset)? {
                    self.feed = Feed::Members(offset + u64::from(block.stored));
                    if block.inflated > 0 {
                        self.push(block);
                    }
                } else {
                    let rest = AtReader::new(Arc::clone(&self.archive), offset, self.size);
                    let rest = BufReader::with_capacity(128 << 10, rest);
                    self.feed = Feed::Foreign(Box::new(MultiGzDecoder::new(rest)));
                }
                Ok(())
            }
            Feed::Foreign(decoder) => {
                let mut bytes = Vec::with_capacity(BLOCK);
                let read = decoder.as_mut().take(BLOCK as u64).read_to_end(&mut bytes);
                if let Err(error) = read {
                    if error.kind() != io::ErrorKind::UnexpectedEof {
                        self.damage = Some(error.to_string());
                    }
                    self.feed = Feed::Ended;
                } else if bytes.len() < BLOCK {
                    self.feed = Feed::Ended;
                }
                self.spooled.write(&bytes, self.spool, &mut self.table)?;
                self.spooled.end_block(self.spool, &mut self.table)?;
                if !bytes.is_empty() {
                    self.current = Some(bytes);
                }
                Ok(())
            }
        }
    }

    /// The member of ours that lies whole at `offset`.
    fn own_member(&self, offset: u64) -> io::Result<Option<Block>> {
        let mut header = [0; HEADER];
        if offset + HEADER as u64 > self.size {
            return Ok(None);
        }
        self.archive.read_exact_at(&mut header, offset)?;
        let Some(stored) =
            member::length(&header).filter(|length| u64::from(*length) <= self.size - offset)
        else {
            return Ok(None);
        };
        let mut length = [0; 4];
        self.archive
            .read_exact_at(&mut length, offset + u64::from(stored) - 4)?;
        let inflated = u32::from_le_bytes(length);
        let block = index::next_block(&self.table, offset, stored, inflated);
        Ok((inflated <= MAX_BLOCK).then_some(block))
    }

    fn push(&mut self, block: Block) {
        self.table.push(block);
        self.current = None;
    }

    /// The rest of the last block from the position on; nothing where it is damaged.
    fn current(&mut self) -> Result<Option<&[u8]>, OpenError> {
        let Some(block) = self.table.last().copied() else {
            return Ok(None);
        };
        if self.current.is_none() {
            let mut stored = vec![0; block.stored as usize];
            self.archive.read_exact_at(&mut stored, block.offset)?;
            self.current = match block.kind {
                Stored::Plain | Stored::SpooledPlain => Some(stored),
                Stored::Member | Stored::Spooled => {
                    member::inflate(&stored, block.inflated as usize).ok()
                }
            };
        }
        let inner = self.position.checked_sub(block.start);
        let inner = inner.and_then(|inner| usize::try_from(inner).ok());
        let bytes = self.current.as_deref().zip(inner);
        Ok(bytes.and_then(|(bytes, inner)| bytes.get(inner..)))
    }

    /// Random access to what was read.
    pub(crate) fn finish(self) -> io::Result<Contents> {
        let spool = self.spooled.finish()?;
        Ok(Contents {
            blocks: Some(Arc::new(Blocks::new(self.archive, spool, self.table))),
            folder: None,
        })
    }
}

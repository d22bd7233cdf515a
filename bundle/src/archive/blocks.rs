//! Random access to a tar stream that lies in blocks: only the blocks asked for are inflated.

use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::member;
use crate::io::{ReadAt, sought};

/// How many inflated blocks are kept. Ours are 1 MiB each; a reader keeps its own besides.
const CACHED: usize = 4;

/// Where one block of the stream lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    /// Where its inflated bytes begin in the stream.
    pub(crate) start: u64,
    /// How many inflated bytes it holds.
    pub(crate) inflated: u32,
    /// Where it begins in its file.
    pub(crate) offset: u64,
    /// How many bytes it takes there.
    pub(crate) stored: u32,
    /// How and where it is stored.
    pub(crate) kind: Stored,
}

impl Block {
    /// Where its inflated bytes end in the stream.
    pub(crate) fn end(&self) -> u64 {
        self.start + u64::from(self.inflated)
    }
}

/// How and where a block is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// A gzip member of the archive.
    Member,
    /// A gzip member of the spool file into which a foreign archive was unpacked.
    Spooled,
    /// The bytes themselves, in that spool file.
    SpooledPlain,
    /// The bytes themselves, in the archive.
    Plain,
}

/// The blocks of a stream.
pub(crate) struct Blocks {
    archive: Arc<dyn ReadAt>,
    spool: Option<Arc<dyn ReadAt>>,
    table: Vec<Block>,
    cache: Mutex<VecDeque<(usize, Arc<Vec<u8>>)>>,
}

impl Blocks {
    /// `table` is sorted by `start` and without gaps.
    pub(crate) fn new(
        archive: Arc<dyn ReadAt>,
        spool: Option<Arc<dyn ReadAt>>,
        table: Vec<Block>,
    ) -> Self {
        Self {
            archive,
            spool,
            table,
            cache: Mutex::default(),
        }
    }

    /// The lengths of the parts of `start .. start + size` that lie in one block each.
    pub(crate) fn lengths(&self, start: u64, size: u64) -> impl Iterator<Item = u64> {
        chunks(&self.table, start, size).map(|(_, _, length)| length)
    }

    /// Fills `buffer` from `position`.
    pub(crate) fn read_exact_at(&self, mut buffer: &mut [u8], mut position: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            let (index, block) = self.find(position)?;
            let bytes = self.load(index, block, position..position + buffer.len() as u64)?;
            let inner = usize::try_from(position - block.start).map_err(io::Error::other)?;
            let available = bytes.get(inner..).unwrap_or_default();
            let length = available.len().min(buffer.len());
            let (now, later) = buffer.split_at_mut(length);
            now.copy_from_slice(&available[..length]);
            buffer = later;
            position += length as u64;
        }
        Ok(())
    }

    fn find(&self, position: u64) -> io::Result<(usize, Block)> {
        let after = self.table.partition_point(|block| block.start <= position);
        let index = after.checked_sub(1).ok_or(io::ErrorKind::UnexpectedEof)?;
        let block = self.table[index];
        if position >= block.end() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok((index, block))
    }

    /// The inflated bytes of a block, for a reader of what lies at `wanted`. A block that lies wholly inside that is of no
    /// use to another reader, and not kept.
    fn load(&self, index: usize, block: Block, wanted: Range<u64>) -> io::Result<Arc<Vec<u8>>> {
        {
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = cache.iter().position(|(cached, _)| *cached == index)
                && let Some((_, bytes)) = cache.remove(at)
            {
                cache.push_back((index, Arc::clone(&bytes)));
                return Ok(bytes);
            }
        }
        let file = match block.kind {
            Stored::Member | Stored::Plain => &self.archive,
            Stored::Spooled | Stored::SpooledPlain => {
                self.spool.as_ref().ok_or(io::ErrorKind::NotFound)?
            }
        };
        let mut stored = vec![0; block.stored as usize];
        file.read_exact_at(&mut stored, block.offset)?;
        let bytes = Arc::new(match block.kind {
            Stored::Plain | Stored::SpooledPlain => stored,
            Stored::Member | Stored::Spooled => {
                member::inflate(&stored, block.inflated as usize)
                    .map_err(|damaged| io::Error::new(io::ErrorKind::InvalidData, damaged))?
            }
        });
        if wanted.start > block.start || block.end() > wanted.end {
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            if cache.len() == CACHED {
                cache.pop_front();
            }
            cache.push_back((index, Arc::clone(&bytes)));
        }
        Ok(bytes)
    }
}

/// The parts of `start .. start + size` that lie in one block each: the block, where the part begins in the
/// stream, and its length.
pub(crate) fn chunks(
    table: &[Block],
    start: u64,
    size: u64,
) -> impl Iterator<Item = (&Block, u64, u64)> {
    let end = start.saturating_add(size);
    let first = table.partition_point(|block| block.end() <= start);
    let blocks = table[first..].iter();
    blocks
        .take_while(move |block| size > 0 && block.start < end)
        .map(move |block| {
            let from = start.max(block.start);
            (block, from, end.min(block.end()) - from)
        })
}

/// Reads a part of a stream from its start, or from wherever it was sought in that part.
pub(crate) struct StreamReader {
    blocks: Arc<Blocks>,
    start: u64,
    position: u64,
    end: u64,
    current: Option<(u64, Arc<Vec<u8>>)>,
}

impl StreamReader {
    pub(crate) fn new(blocks: Arc<Blocks>, start: u64, size: u64) -> Self {
        Self {
            blocks,
            start,
            position: start,
            end: start.saturating_add(size),
            current: None,
        }
    }
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.end || buffer.is_empty() {
            return Ok(0);
        }
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        loop {
            if let Some((start, bytes)) = &self.current {
                // What lies before the block wraps, and lies in no block.
                let inner = usize::try_from(self.position.wrapping_sub(*start));
                let inner = inner.unwrap_or(usize::MAX);
                if let Some(available) = bytes.get(inner..).filter(|rest| !rest.is_empty()) {
                    let length = available.len().min(buffer.len()).min(left);
                    buffer[..length].copy_from_slice(&available[..length]);
                    self.position += length as u64;
                    return Ok(length);
                }
            }
            let (index, block) = self.blocks.find(self.position)?;
            let bytes = self.blocks.load(index, block, self.position..self.end)?;
            self.current = Some((block.start, bytes));
        }
    }
}

impl Seek for StreamReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = sought(self.position - self.start, self.end - self.start, to)?;
        self.position = self.start.saturating_add(place);
        Ok(place)
    }
}

//! Unpacking what has no blocks of its own into blocks of a spool file.

use std::io::{self, Write as _};
use std::sync::Arc;

use super::blocks::{Block, Stored};
use super::{BLOCK, member};
use crate::io::{ReadAt, Spool, SpoolFile};

/// How much of the disk is spent on not compressing what is unpacked, which is several times as fast. What comes
/// after that is compressed.
const PLAIN_BYTES: u64 = 1 << 30;

/// libdeflate's level for what comes after.
const LEVEL: i32 = 1;

/// Takes a stream of bytes and cuts it into blocks.
#[derive(Default)]
pub(crate) struct SpoolWriter {
    file: Option<Box<dyn SpoolFile>>,
    pending: Vec<u8>,
    offset: u64,
}

impl SpoolWriter {
    /// Takes bytes; every block that they fill goes to the end of `table`.
    pub(crate) fn write(
        &mut self,
        mut bytes: &[u8],
        spool: &dyn Spool,
        table: &mut Vec<Block>,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.pending.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() == BLOCK {
                self.end_block(spool, table)?;
            }
        }
        Ok(())
    }

    /// Ends the block under way, if any.
    pub(crate) fn end_block(
        &mut self,
        spool: &dyn Spool,
        table: &mut Vec<Block>,
    ) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(spool.create()?),
        };
        let (kind, stored) = if self.offset < PLAIN_BYTES {
            file.write_all(&self.pending)?;
            (Stored::SpooledPlain, self.pending.len())
        } else {
            let member = member::compress(&self.pending, LEVEL);
            file.write_all(&member)?;
            (Stored::Spooled, member.len())
        };
        let stored = u32::try_from(stored).map_err(io::Error::other)?;
        table.push(Block {
            start: table.last().map_or(0, Block::end),
            inflated: u32::try_from(self.pending.len()).map_err(io::Error::other)?,
            offset: self.offset,
            stored,
            kind,
        });
        self.offset += u64::from(stored);
        self.pending.clear();
        Ok(())
    }

    /// The spool file, where one was needed.
    pub(crate) fn finish(self) -> io::Result<Option<Arc<dyn ReadAt>>> {
        self.file.map(SpoolFile::finish).transpose()
    }
}

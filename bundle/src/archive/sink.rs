//! A file on its way into the archive: raw bytes in, redacted bytes to a block or a spool.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, mem};

use super::BLOCK;
use super::compression::{Block, Compression, Digest, Job, Ordered, Permit};
use super::header;
use super::index::EntryKind;
use super::ledger::{LossKind, WriteError};
use super::output::SpooledBlocks;
use super::shared::Shared;
use crate::io::{Spool, SpoolFile};
use crate::manifest::GapReason;
use crate::path::BundlePath;
use crate::redact::{FileRedaction, RedactionFailure};

/// How many raw bytes are redacted at a time: bounds the memory that one large write takes.
const WINDOW: usize = 256 << 10;

/// One file on its way into the archive. [`FileSink::finish`] ends it; a sink that is dropped before leaves
/// no file, gives its path back, and is counted among [`ArchiveWriter::losses`](super::ArchiveWriter::losses).
#[must_use = "a sink that is dropped leaves no file"]
pub struct FileSink {
    shared: Arc<Shared>,
    path: BundlePath,
    redaction: Option<FileRedaction>,
    withheld: Option<String>,
    /// Redacted bytes that have no block yet.
    pending: Vec<u8>,
    long: Option<Long>,
    bytes: u64,
    ended: bool,
    /// Why the archive could not take it.
    failure: Option<String>,
}

/// A file that has outgrown a block.
struct Long {
    lane: Arc<Lane>,
    size: u64,
}

/// Brings a long file's compressed blocks into its spool, in order.
struct Lane {
    state: Mutex<LaneState>,
    outstanding: AtomicUsize,
}

struct LaneState {
    places: Ordered<Block>,
    file: Option<Box<dyn SpoolFile>>,
    blocks: Vec<(u32, u32)>,
    digests: Vec<Digest>,
    failure: Option<io::Error>,
}

impl FileSink {
    pub(crate) fn new(
        shared: Arc<Shared>,
        path: BundlePath,
        redaction: Option<FileRedaction>,
    ) -> Self {
        Self {
            shared,
            path,
            redaction,
            withheld: None,
            pending: Vec::new(),
            long: None,
            bytes: 0,
            ended: false,
            failure: None,
        }
    }

    /// Takes raw bytes. The result does not depend on how they are split.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let result = self.take(bytes);
        self.remember(result)
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.shared.check()?;
        self.bytes += bytes.len() as u64;
        for window in bytes.chunks(WINDOW) {
            if self.withheld.is_some() {
                return Ok(());
            }
            let before = self.pending.len();
            match &mut self.redaction {
                None => self.pending.extend_from_slice(window),
                Some(redaction) => {
                    if let Err(failure) = redaction.push(window, &mut self.pending) {
                        self.withhold(&failure);
                    }
                }
            }
            self.shared.count(self.pending.len().saturating_sub(before));
            self.send_full_blocks()?;
        }
        Ok(())
    }

    /// How many raw bytes were written so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &BundlePath {
        &self.path
    }

    /// Ends the file.
    pub fn finish(mut self) -> Result<(), WriteError> {
        self.end()
    }

    /// Ends the file early: what came so far is kept, and the manifest says that the rest is missing, and why.
    pub fn cut(mut self, reason: GapReason, detail: impl Into<String>) -> Result<(), WriteError> {
        self.end()?;
        let detail = detail.into();
        let cut = LossKind::Cut { reason, detail };
        self.shared.ledger().lose(&self.path, cut);
        Ok(())
    }

    fn end(&mut self) -> Result<(), WriteError> {
        let result = self.close();
        self.remember(result)
    }

    /// Keeps an error for the account of what was lost.
    fn remember(&mut self, result: Result<(), WriteError>) -> Result<(), WriteError> {
        result.inspect_err(|error| self.failure = Some(error.to_string()))
    }

    fn close(&mut self) -> Result<(), WriteError> {
        self.shared.check()?;
        let before = self.pending.len();
        if let Some(redaction) = self.redaction.take()
            && self.withheld.is_none()
        {
            match redaction.finish(&mut self.pending) {
                Ok(report) => self.count(report.masks),
                Err(failure) => self.withhold(&failure),
            }
        }
        if let Some(reason) = &self.withheld {
            self.pending = format!("*** WITHHELD: this file could not be redacted: {reason} ***\n")
                .into_bytes();
        }
        self.shared.count(self.pending.len().saturating_sub(before));
        self.send_full_blocks()?;
        match self.long.take() {
            None => {
                let kind = EntryKind::File {
                    start: 0,
                    size: self.pending.len() as u64,
                    digests: Vec::new(),
                };
                self.shared.append(&self.path, kind, &self.pending);
            }
            Some(long) => self.end_long(&long)?,
        }
        self.ended = true;
        if let Some(reason) = self.withheld.take() {
            self.shared
                .ledger()
                .lose(&self.path, LossKind::Withheld(reason));
        }
        Ok(())
    }

    fn count(&self, masks: BTreeMap<String, u64>) {
        let mut ledger = self.shared.ledger();
        for (redactor, count) in masks {
            *ledger.masks.entry(redactor).or_default() += count;
        }
    }

    /// Forgets the content: nothing of a file that cannot be redacted is kept.
    fn withhold(&mut self, failure: &RedactionFailure) {
        self.withheld = Some(failure.to_string());
        self.pending = Vec::new();
        self.long = None;
    }

    fn send_full_blocks(&mut self) -> Result<(), WriteError> {
        while self.pending.len() > BLOCK {
            let rest = self.pending.split_off(BLOCK);
            let block = mem::replace(&mut self.pending, rest);
            self.send(block, BLOCK)?;
        }
        Ok(())
    }

    /// Sends a block of a long file to its spool; the first `content` bytes are the file's, the others pad.
    fn send(&mut self, block: Vec<u8>, content: usize) -> Result<(), WriteError> {
        let long = match &mut self.long {
            Some(long) => long,
            none => {
                let lane = Lane::new(self.shared.spool.as_ref())
                    .map_err(|error| spool_error(&self.path, error))?;
                none.insert(Long { lane, size: 0 })
            }
        };
        long.size += content as u64;
        Lane::submit(&long.lane, &self.shared.compression, block, content);
        Ok(())
    }

    fn end_long(&mut self, long: &Long) -> Result<(), WriteError> {
        let content = self.pending.len();
        let mut last = mem::take(&mut self.pending);
        last.resize(content + header::padding(content as u64), 0);
        let size = long.size + content as u64;
        self.shared.count(header::padding(content as u64));
        if content > 0 {
            Lane::submit(&long.lane, &self.shared.compression, last, content);
        }
        let (digests, blocks) = long
            .lane
            .finish(&self.shared.compression)
            .map_err(|error| spool_error(&self.path, error))?;
        let kind = EntryKind::File {
            start: 0,
            size,
            digests,
        };
        self.shared.append_spooled(&self.path, kind, blocks);
        Ok(())
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        if !self.ended {
            let failure = self.failure.take();
            let kind = failure.map_or(LossKind::Dropped, LossKind::Output);
            self.shared.ledger().lose(&self.path, kind);
        }
    }
}

impl Lane {
    fn new(spool: &dyn Spool) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            state: Mutex::new(LaneState {
                places: Ordered::default(),
                file: Some(spool.create()?),
                blocks: Vec::new(),
                digests: Vec::new(),
                failure: None,
            }),
            outstanding: AtomicUsize::new(0),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(self: &Arc<Self>, compression: &Arc<Compression>, raw: Vec<u8>, content: usize) {
        self.outstanding.fetch_add(1, Ordering::AcqRel);
        let place = self.lock().places.place();
        let this = Arc::clone(self);
        compression.submit(Job {
            raw,
            chunks: std::iter::once(0..content).collect(),
            done: Box::new(move |block| this.put(place, block)),
        });
    }

    fn put(&self, place: u64, block: Block) {
        let mut permits: Vec<Permit> = Vec::new();
        {
            let mut state = self.lock();
            state.places.fill(place, block);
            while let Some(block) = state.places.next() {
                state.write(&block.member, block.inflated);
                state.digests.extend(block.digests);
                permits.push(block.permit);
            }
        }
        self.outstanding.fetch_sub(permits.len(), Ordering::AcqRel);
    }

    /// Waits for the last block and turns to reading.
    fn finish(&self, compression: &Arc<Compression>) -> io::Result<(Vec<Digest>, SpooledBlocks)> {
        compression.wait_until(|| self.outstanding.load(Ordering::Acquire) == 0);
        let mut state = self.lock();
        if let Some(error) = state.failure.take() {
            return Err(error);
        }
        let file = state.file.take().ok_or(io::ErrorKind::NotFound)?;
        let blocks = SpooledBlocks {
            file: file.finish()?,
            blocks: mem::take(&mut state.blocks),
        };
        Ok((mem::take(&mut state.digests), blocks))
    }
}

impl LaneState {
    fn write(&mut self, member: &[u8], inflated: u32) {
        if self.failure.is_some() {
            return;
        }
        let Some(file) = &mut self.file else { return };
        match file.write_all(member) {
            Ok(()) => {
                let stored = u32::try_from(member.len())
                    .expect("a block compresses to about its size at most");
                self.blocks.push((stored, inflated));
            }
            Err(error) => self.failure = Some(error),
        }
    }
}

fn spool_error(path: &BundlePath, error: io::Error) -> WriteError {
    WriteError::Spool {
        path: path.clone(),
        error,
    }
}

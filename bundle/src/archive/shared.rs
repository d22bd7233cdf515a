//! What a writer and its sinks share: the block under way, the parts that wait for their turn, and what went wrong.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::compression::{Compression, Job};
use super::index::{Entry, EntryKind};
use super::ledger::{Ledger, LossKind, WriteError};
use super::output::{Output, Part, Spooled, SpooledBlocks};
use super::{BLOCK, header};
use crate::io::Spool;
use crate::path::BundlePath;
use crate::redact::Redactor;

/// The archive under way, behind every [`super::ArchiveWriter`] and sink of it.
pub(crate) struct Shared {
    pub(crate) redactor: Option<Redactor>,
    pub(crate) spool: Arc<dyn Spool>,
    pub(crate) compression: Arc<Compression>,
    pub(super) root: String,
    pub(super) modified: u64,
    pub(super) ledger: Mutex<Ledger>,
    pub(super) pack: Mutex<Pack>,
    pub(super) output: Mutex<Output>,
    /// Parts that have a place in the archive and are not written yet.
    pub(super) outstanding: AtomicUsize,
    pub(super) failed: AtomicBool,
    /// Redacted bytes that were taken, with what a tar puts around them.
    pub(super) taken: AtomicU64,
}

/// The block under way. File entries hold where their content begins in it.
#[derive(Default)]
pub(super) struct Pack {
    pub(super) bytes: Vec<u8>,
    pub(super) entries: Vec<Entry>,
}

impl Shared {
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes that go into the archive.
    pub(crate) fn count(&self, bytes: usize) {
        self.taken.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Whether the archive still takes bytes.
    pub(crate) fn check(&self) -> Result<(), WriteError> {
        if self.ledger().finished {
            return Err(WriteError::Finished);
        }
        if self.failed.load(Ordering::Acquire)
            && let Some(failure) = &self.output().failure
        {
            return Err(failure.error());
        }
        Ok(())
    }

    /// Claims a path, or records why not.
    pub(super) fn claim(&self, path: &BundlePath) -> Result<(), WriteError> {
        let open = self.check();
        let mut ledger = self.ledger();
        match open {
            Ok(()) => ledger.claim(path),
            Err(error) => {
                ledger.lose(path, LossKind::Output(error.to_string()));
                Err(error)
            }
        }
    }

    fn entry(&self, path: &BundlePath, kind: EntryKind) -> Entry {
        Entry {
            name: format!("{}/{path}", self.root),
            mode: if matches!(kind, EntryKind::Link { .. }) {
                0o777
            } else {
                0o644
            },
            modified: self.modified,
            kind,
        }
    }

    /// Packs a link or a short file.
    pub(crate) fn append(self: &Arc<Self>, path: &BundlePath, kind: EntryKind, content: &[u8]) {
        let mut entry = self.entry(path, kind);
        let mut pack = self.pack.lock().unwrap_or_else(PoisonError::into_inner);
        let before = pack.bytes.len();
        entry.header(&mut pack.bytes);
        self.count(pack.bytes.len() - before + header::padding(content.len() as u64));
        let after = pack.bytes.len() + content.len() + header::padding(content.len() as u64);
        if before > 0 && after > BLOCK {
            // A member lies whole in one block, so that each block can be read on its own.
            let header = pack.bytes.split_off(before);
            self.submit(&mut pack);
            pack.bytes.extend_from_slice(&header);
        }
        if let EntryKind::File { start, .. } = &mut entry.kind {
            *start = pack.bytes.len() as u64;
        }
        pack.bytes.extend_from_slice(content);
        let padded = pack.bytes.len() + header::padding(content.len() as u64);
        pack.bytes.resize(padded, 0);
        pack.entries.push(entry);
        if padded >= BLOCK {
            self.submit(&mut pack);
        }
    }

    /// Appends a long file from its spool. Its header is a block of its own: what a failed write leaves half
    /// done can then be taken back as a whole.
    pub(crate) fn append_spooled(
        self: &Arc<Self>,
        path: &BundlePath,
        kind: EntryKind,
        content: SpooledBlocks,
    ) {
        let entry = self.entry(path, kind);
        let mut header = Vec::new();
        entry.header(&mut header);
        let length = u32::try_from(header.len()).expect("a header is a few KiB");
        let header = (self.compression.compress_now(&header), length);
        self.count(header.0.len());
        let place = {
            // Members come in the order in which they end: a bundle begins with `version.yaml`.
            let mut pack = self.pack.lock().unwrap_or_else(PoisonError::into_inner);
            self.submit(&mut pack);
            self.place()
        };
        self.put(place, Part::Spooled(Spooled { header, content }, entry));
    }

    /// Sends the block under way to compression.
    fn submit(self: &Arc<Self>, pack: &mut Pack) {
        if pack.bytes.is_empty() {
            return;
        }
        let raw = std::mem::replace(&mut pack.bytes, Vec::with_capacity(BLOCK));
        let entries = std::mem::take(&mut pack.entries);
        let chunks = entries.iter().filter_map(|entry| match entry.kind {
            EntryKind::File { start, size, .. } if size > 0 => {
                let range = start..start + size;
                let within = "a packed file lies inside its block";
                Some(
                    usize::try_from(range.start).expect(within)
                        ..usize::try_from(range.end).expect(within),
                )
            }
            _ => None,
        });
        let place = self.place();
        let this = Arc::clone(self);
        self.compression.submit(Job {
            chunks: chunks.collect(),
            raw,
            done: Box::new(move |block| this.put(place, Part::Packed(block, entries))),
        });
    }

    /// Takes the next place in the archive.
    fn place(&self) -> u64 {
        self.outstanding.fetch_add(1, Ordering::AcqRel);
        self.output().parts.place()
    }

    /// Fills a place, and writes every part whose turn has come.
    fn put(&self, place: u64, part: Part) {
        let mut permits = Vec::new();
        let mut lost = Vec::new();
        let mut written = 0;
        {
            let mut output = self.output();
            output.parts.fill(place, part);
            while let Some(part) = output.parts.next() {
                written += 1;
                if let Err(names) = output.write(part, &mut permits) {
                    lost.extend(names);
                    self.failed.store(true, Ordering::Release);
                }
            }
            if !lost.is_empty() {
                let failure = output.failure.as_ref();
                let detail = failure.map_or("the archive is finished", |failure| &failure.detail);
                let kind = LossKind::Output(detail.to_owned());
                drop(output);
                for name in lost {
                    let path = name.strip_prefix(&self.root).unwrap_or(&name);
                    if let Ok(path) = BundlePath::new(path.trim_start_matches('/')) {
                        self.ledger().lose(&path, kind.clone());
                    }
                }
            }
        }
        self.outstanding.fetch_sub(written, Ordering::AcqRel);
        drop(permits);
        self.compression.wake();
    }

    /// Writes out the block under way and waits until everything that has a place is written.
    pub(super) fn write_out(self: &Arc<Self>) {
        {
            let mut pack = self.pack.lock().unwrap_or_else(PoisonError::into_inner);
            self.submit(&mut pack);
        }
        self.compression
            .wait_until(|| self.outstanding.load(Ordering::Acquire) == 0);
    }
}

//! The writer: packs short members into shared blocks, appends long ones from their spools, and keeps the
//! file a valid prefix of an archive at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::blocks::{Block, Blocks};
use super::compression::{self, Compression, Job, Ordered};
use super::header::{self, RECORD};
use super::index::{self, Entry, EntryKind};
use super::sink::FileSink;
use super::{BLOCK, member, reader};
use crate::files::Files;
use crate::io::{ArchiveFile, Pool, ReadAt, Spool};
use crate::manifest::{self, Manifest};
use crate::path::BundlePath;
use crate::redact::Redactor;

/// How many blocks are between their file and the archive at a time: with their compressed halves about
/// 1.5 MiB each.
const IN_FLIGHT: usize = 8;

/// What a writer needs besides its file and its redactor.
#[derive(Clone)]
pub struct WriterOptions {
    /// The archive's single top folder.
    pub root: String,
    /// The modification time of every member, seconds since 1970.
    pub modified: i64,
    /// Where files longer than a block wait for their length.
    pub spool: Arc<dyn Spool>,
    /// Who compresses.
    pub pool: Arc<dyn Pool>,
    /// libdeflate's compression level, 0 to 12.
    pub level: i32,
    /// Bytes of the disk that are set aside for what is written after [`ArchiveWriter::flush`].
    pub reserve: u64,
}

impl WriterOptions {
    /// The level that benchmarks favour (2) and the reserve that the tail of a large bundle needs (8 MiB).
    pub fn new(
        root: impl Into<String>,
        modified: i64,
        spool: Arc<dyn Spool>,
        pool: Arc<dyn Pool>,
    ) -> Self {
        Self {
            root: root.into(),
            modified,
            spool,
            pool,
            level: 2,
            reserve: 8 << 20,
        }
    }
}

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A path has one writer; a file cannot be a folder.
    #[error("cannot write {path}: {taken} was already written")]
    Taken {
        /// The path refused.
        path: BundlePath,
        /// What it clashes with: itself, a folder on its way, or something below it.
        taken: String,
    },
    /// The archive's disk is full. [`ArchiveWriter::flush`] makes room for the tail.
    #[error("the archive's disk is full: {0}")]
    Full(#[source] io::Error),
    /// The archive's file refused bytes; the archive can still be closed with what it has.
    #[error("cannot write the archive: {0}")]
    Output(#[source] io::Error),
    /// A file longer than a block found no place to wait: this file is lost, others are not.
    #[error("cannot spool {path}: {error}")]
    Spool {
        /// The file.
        path: BundlePath,
        /// What the spool said.
        #[source]
        error: io::Error,
    },
    /// The source of [`ArchiveWriter::copy_from`] failed: this file is lost, others are not.
    #[error("cannot read what is to become {path}: {error}")]
    Source {
        /// The file.
        path: BundlePath,
        /// What the source said.
        #[source]
        error: io::Error,
    },
    /// The top folder's name is not one path segment.
    #[error("{0:?} cannot be the archive's top folder: it must be one path segment")]
    Root(String),
    /// The archive was finished.
    #[error("the archive is already finished")]
    Finished,
}

/// A path that is not in the archive as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The path.
    pub path: BundlePath,
    /// What happened to it.
    pub kind: LossKind,
}

/// What happened to a path.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LossKind {
    /// A second writer was refused; the first one's file is there.
    Taken,
    /// Its sink was dropped before its end; no file is there.
    Dropped,
    /// It ends early, and why.
    Cut(String),
    /// It could not be redacted, and why; a stub is there.
    Withheld(String),
    /// The archive could not take it, and why; no file is there.
    Output(String),
}

/// What [`ArchiveWriter::finish`] made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// The archive's length in bytes.
    pub bytes: u64,
    /// How many files and links it holds.
    pub entries: usize,
    /// Whether the index is there. On a disk too full for it the archive is whole without.
    pub indexed: bool,
}

/// Writes a bundle. Every byte is redacted inside, whichever door it takes:
///
/// ```compile_fail,E0603
/// // There is no type for bytes that are already redacted.
/// use assay_bundle::archive::compression::Block;
/// ```
/// ```compile_fail,E0616
/// fn past_the_redactor(writer: &assay_bundle::ArchiveWriter, block: Vec<u8>) {
///     writer.shared.submit(block, Vec::new());
/// }
/// ```
///
/// Share it by reference or `Arc`: sinks on any number of threads write at once. Nothing here may run on the
/// threads of [`WriterOptions::pool`] itself, which it waits for.
pub struct ArchiveWriter {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) redactor: Option<Redactor>,
    pub(crate) spool: Arc<dyn Spool>,
    pub(crate) compression: Arc<Compression>,
    root: String,
    modified: u64,
    ledger: Mutex<Ledger>,
    pack: Mutex<Pack>,
    output: Mutex<Output>,
    /// Parts that have a place in the archive and are not written yet.
    outstanding: AtomicUsize,
    failed: AtomicBool,
}

/// Who writes what, and what went wrong.
#[derive(Default)]
struct Ledger {
    claims: BTreeSet<BundlePath>,
    losses: Vec<Loss>,
    masks: BTreeMap<String, u64>,
    withheld: BTreeMap<String, String>,
    finished: bool,
}

/// The block under way. File entries hold where their content begins in it.
#[derive(Default)]
struct Pack {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

struct Output {
    file: Box<dyn ArchiveFile>,
    offset: u64,
    parts: Ordered<Part>,
    table: Vec<Block>,
    entries: Vec<Entry>,
    failure: Option<Failure>,
    /// Nothing is written any more.
    ended: bool,
}

/// The first error of the archive's file.
#[derive(Clone)]
struct Failure {
    kind: io::ErrorKind,
    detail: String,
}

/// What is appended to the archive at once, in the order of its places.
enum Part {
    /// A block of packed members.
    Packed(compression::Block, Vec<Entry>),
    /// One long file.
    Spooled(Spooled, Entry),
}

/// A long file, waiting in its spool.
struct Spooled {
    /// Its tar header, compressed, and its length before that.
    header: (Vec<u8>, u32),
    content: SpooledBlocks,
}

/// The compressed blocks of a long file.
pub(crate) struct SpooledBlocks {
    pub(crate) file: Arc<dyn ReadAt>,
    /// Stored and inflated lengths.
    pub(crate) blocks: Vec<(u32, u32)>,
}

impl ArchiveWriter {
    /// Starts an archive into which nothing gets past `redactor`.
    pub fn new(
        file: Box<dyn ArchiveFile>,
        redactor: Redactor,
        options: WriterOptions,
    ) -> Result<Self, WriteError> {
        Self::start(file, Some(redactor), options)
    }

    /// Starts an archive without redaction (`--redact=false`). The manifest will say `off`.
    pub fn unredacted(
        file: Box<dyn ArchiveFile>,
        options: WriterOptions,
    ) -> Result<Self, WriteError> {
        Self::start(file, None, options)
    }

    fn start(
        mut file: Box<dyn ArchiveFile>,
        redactor: Option<Redactor>,
        options: WriterOptions,
    ) -> Result<Self, WriteError> {
        let root = BundlePath::new(&options.root);
        let Some(root) = root.ok().filter(|root| !root.as_str().contains('/')) else {
            return Err(WriteError::Root(options.root));
        };
        file.reserve(options.reserve).map_err(write_error)?;
        Ok(Self {
            shared: Arc::new(Shared {
                redactor,
                spool: options.spool,
                compression: Compression::new(options.pool, options.level, IN_FLIGHT),
                root: root.into(),
                modified: u64::try_from(options.modified).unwrap_or(0),
                ledger: Mutex::default(),
                pack: Mutex::default(),
                output: Mutex::new(Output {
                    file,
                    offset: 0,
                    parts: Ordered::default(),
                    table: Vec::new(),
                    entries: Vec::new(),
                    failure: None,
                    ended: false,
                }),
                outstanding: AtomicUsize::new(0),
                failed: AtomicBool::new(false),
            }),
        })
    }

    /// Claims `path` and opens it for writing.
    pub fn file(&self, path: &BundlePath) -> Result<FileSink, WriteError> {
        self.shared.check()?;
        self.shared.claim(path)?;
        Ok(FileSink::new(Arc::clone(&self.shared), path.clone()))
    }

    /// Writes all that `source` gives as the file `path`, and returns how many bytes that was before redaction.
    pub fn copy_from(&self, path: &BundlePath, source: &mut dyn Read) -> Result<u64, WriteError> {
        let mut sink = self.file(path)?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => sink.write(&buffer[..length])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(WriteError::Source {
                        path: path.clone(),
                        error,
                    });
                }
            }
        }
        let bytes = sink.bytes();
        sink.finish()?;
        Ok(bytes)
    }

    /// Writes a symbolic link from `path` to `target`, both inside the bundle; it is stored relative.
    pub fn link(&self, path: &BundlePath, target: &BundlePath) -> Result<(), WriteError> {
        self.shared.check()?;
        self.shared.claim(path)?;
        let target = relative(path, target);
        self.shared.append(path, EntryKind::Link { target }, &[]);
        Ok(())
    }

    /// Whether `path` is claimed: written, or being written.
    #[must_use]
    pub fn contains(&self, path: &BundlePath) -> bool {
        self.shared.ledger().claims.contains(path)
    }

    /// What is not in the archive as it was asked for, in the order in which it happened.
    #[must_use]
    pub fn losses(&self) -> Vec<Loss> {
        self.shared.ledger().losses.clone()
    }

    /// What redaction did so far, for the manifest.
    #[must_use]
    pub fn redaction(&self) -> manifest::Redaction {
        let ledger = self.shared.ledger();
        let redactor = self.shared.redactor.as_ref();
        manifest::Redaction {
            profile: redactor
                .map_or("off", |redactor| redactor.profile().name())
                .to_owned(),
            masks: ledger.masks.clone(),
            withheld: ledger.withheld.clone(),
        }
    }

    /// Writes out every file that was finished, makes it durable, gives the reserve back, and returns the
    /// archive's files so far, read from `file`: the same archive, opened for reading. `manifest` is what
    /// [`ArchiveWriter::finish`] will write, so that this view and that of a later reader agree.
    ///
    /// After an error of the archive's file this still succeeds with what is there, and what is written from
    /// now on (analysis, summary, manifest) has the reserve to go to.
    pub fn flush(&self, file: Arc<dyn ReadAt>, manifest: Manifest) -> Result<Files, WriteError> {
        self.shared.write_out();
        let mut output = self.shared.output();
        output.file.release().map_err(write_error)?;
        output.file.sync().map_err(write_error)?;
        output.failure = None;
        self.shared.failed.store(false, Ordering::Release);
        let blocks = Blocks::new(file, None, output.table.clone());
        Ok(reader::written(
            &self.shared.root,
            &output.entries,
            blocks,
            manifest,
        ))
    }

    /// Ends the archive: the manifest (with what redaction did), the tar's end, the index. Once.
    pub fn finish(&self, manifest: &Manifest) -> Result<Finished, WriteError> {
        let mut manifest = manifest.clone();
        manifest.redaction = self.redaction();
        let mut text = serde_json::to_vec_pretty(&manifest)
            .map_err(|error| WriteError::Output(io::Error::other(error)))?;
        text.push(b'\n');
        let path = manifest::path();
        self.copy_from(&path, &mut text.as_slice())?;
        self.shared.ledger().finished = true;
        self.shared.write_out();
        let mut output = self.shared.output();
        if let Some(failure) = &output.failure {
            return Err(failure.error());
        }
        output.end()
    }
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn claim(&self, path: &BundlePath) -> Result<(), WriteError> {
        let mut ledger = self.ledger();
        let clash = clash(&ledger.claims, path);
        match clash {
            None => {
                ledger.claims.insert(path.clone());
                Ok(())
            }
            Some(taken) => {
                ledger.losses.push(Loss {
                    path: path.clone(),
                    kind: LossKind::Taken,
                });
                Err(WriteError::Taken {
                    path: path.clone(),
                    taken,
                })
            }
        }
    }

    /// Gives a claim back, and says what became of the file.
    pub(crate) fn lose(&self, path: &BundlePath, kind: LossKind) {
        let mut ledger = self.ledger();
        if matches!(kind, LossKind::Dropped | LossKind::Output(_)) {
            ledger.claims.remove(path.as_str());
        }
        if let LossKind::Withheld(reason) = &kind {
            ledger
                .withheld
                .insert(path.as_str().to_owned(), reason.clone());
        }
        ledger.losses.push(Loss {
            path: path.clone(),
            kind,
        });
    }

    /// Counts the masks that redaction set in a file.
    pub(crate) fn count(&self, masks: impl IntoIterator<Item = (String, u64)>) {
        let mut ledger = self.ledger();
        for (redactor, count) in masks {
            *ledger.masks.entry(redactor).or_default() += count;
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
        &self,
        path: &BundlePath,
        kind: EntryKind,
        content: SpooledBlocks,
    ) {
        let entry = self.entry(path, kind);
        let mut header = Vec::new();
        entry.header(&mut header);
        let length = u32::try_from(header.len()).expect("a header is a few KiB");
        let header = (self.compression.compress_now(&header), length);
        let place = self.place();
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
                        self.lose(&path, kind.clone());
                    }
                }
            }
        }
        self.outstanding.fetch_sub(written, Ordering::AcqRel);
        drop(permits);
        self.compression.wake();
    }

    /// Writes out the block under way and waits until everything that has a place is written.
    fn write_out(self: &Arc<Self>) {
        {
            let mut pack = self.pack.lock().unwrap_or_else(PoisonError::into_inner);
            self.submit(&mut pack);
        }
        self.compression
            .wait_until(|| self.outstanding.load(Ordering::Acquire) == 0);
    }
}

impl Output {
    /// Writes one part, or says which entries are lost with it.
    fn write(
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
                            own.extend(digests.next());
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
    fn end(&mut self) -> Result<Finished, WriteError> {
        let zeros = [0; 2 * RECORD];
        let end = member::compress(&zeros, 1);
        let first = self.table.len();
        let length = u32::try_from(zeros.len()).expect("two records are 1,024 bytes");
        if let Err(error) = self.write_block(&end, length) {
            self.take_back(first, &error);
            return Err(write_error(error));
        }
        let tail = index::tail(&self.entries, &self.table, self.offset);
        let indexed = match self.file.write_all(&tail) {
            Ok(()) => {
                self.offset += tail.len() as u64;
                true
            }
            Err(error) if is_full(error.kind()) => {
                self.file.cut(self.offset).map_err(write_error)?;
                false
            }
            Err(error) => return Err(write_error(error)),
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
    fn error(&self) -> WriteError {
        write_error(io::Error::new(self.kind, self.detail.clone()))
    }
}

fn is_full(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(kind, StorageFull | QuotaExceeded | FileTooLarge)
}

fn write_error(error: io::Error) -> WriteError {
    if is_full(error.kind()) {
        WriteError::Full(error)
    } else {
        WriteError::Output(error)
    }
}

/// What `path` cannot stand beside: itself, a folder on its way that is a file, something below it.
fn clash(claims: &BTreeSet<BundlePath>, path: &BundlePath) -> Option<String> {
    if claims.contains(path) {
        return Some(path.to_string());
    }
    let text = path.as_str();
    let folders = text.match_indices('/').map(|(at, _)| &text[..at]);
    if let Some(folder) = folders.into_iter().find(|folder| claims.contains(*folder)) {
        return Some(folder.to_owned());
    }
    let below = format!("{text}/");
    let next = claims
        .range::<str, _>((Bound::Included(below.as_str()), Bound::Unbounded))
        .next()?;
    next.as_str().starts_with(&below).then(|| next.to_string())
}

/// `target` as seen from the folder of `path`.
fn relative(path: &BundlePath, target: &BundlePath) -> String {
    let from: Vec<&str> = path.as_str().split('/').collect();
    let to: Vec<&str> = target.as_str().split('/').collect();
    let common = from[..from.len() - 1]
        .iter()
        .zip(&to[..to.len() - 1])
        .take_while(|(a, b)| a == b)
        .count();
    let up = std::iter::repeat_n("..", from.len() - 1 - common);
    let segments: Vec<&str> = up.chain(to[common..].iter().copied()).collect();
    segments.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative() -> Result<(), crate::path::PathError> {
        for (path, target, expected) in [
            ("a", "b", "b"),
            ("a/b", "a/c", "c"),
            (
                "app/pod/c.log",
                "cluster-resources/pods/c.log",
                "../../cluster-resources/pods/c.log",
            ),
            ("a/b/c", "a/d/c", "../d/c"),
            ("a/b", "a", "../a"),
        ] {
            let link = relative(&BundlePath::new(path)?, &BundlePath::new(target)?);
            assert_eq!(link, expected, "{path} -> {target}");
        }
        Ok(())
    }

    #[test]
    fn a_file_is_no_folder() -> Result<(), crate::path::PathError> {
        let claims: BTreeSet<BundlePath> = ["a/b", "c"]
            .into_iter()
            .map(BundlePath::new)
            .collect::<Result<_, _>>()?;
        for (path, taken) in [
            ("a/b", Some("a/b")),
            ("a", Some("a/b")),
            ("a/b/c", Some("a/b")),
            ("c/d", Some("c")),
            ("a/bc", None),
            ("a.b", None),
        ] {
            assert_eq!(
                clash(&claims, &BundlePath::new(path)?).as_deref(),
                taken,
                "{path}"
            );
        }
        Ok(())
    }
}

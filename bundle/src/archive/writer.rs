//! The writer: packs short members into shared blocks, appends long ones from their spools, and keeps the
//! file a valid prefix of an archive at any moment.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::blocks::Blocks;
use super::compression::Compression;
use super::index::EntryKind;
use super::ledger::{Loss, WriteError};
use super::output::{Finished, Output, is_full, write_error};
use super::shared::Shared;
use super::sink::FileSink;
use super::{BLOCK, assemble};
use crate::files::Files;
use crate::io::{ArchiveFile, Pool, ReadAt, Spool};
use crate::manifest::{self, Manifest};
use crate::path::BundlePath;
use crate::redact::{self, Redactor};

/// How many blocks are between their file and the archive at a time: with their compressed halves about
/// 1.5 MiB each.
const IN_FLIGHT: usize = 8;

/// The least that is set aside on a disk with little left, in bytes: room for the tail of a small bundle.
const LEAST_RESERVE: u64 = 256 << 10;

/// What a path costs in the archive's index, compressed, in bytes, rounded up: its name is mostly that of its neighbours, a
/// digest of 32 bytes is not.
const INDEXED: u64 = 128;

/// What the manifest, the analysis and the ends of tar and index take of a small bundle, in bytes.
const TAIL: u64 = 64 << 10;

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
    /// Bytes of the disk that are set aside for what is written after [`ArchiveWriter::flush`]; on a disk with
    /// little left at most half of that, down to 256 KiB.
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
        set_aside(file.as_mut(), options.reserve)?;
        Ok(Self {
            shared: Arc::new(Shared {
                redactor,
                spool: options.spool,
                compression: Compression::new(options.pool, options.level, IN_FLIGHT),
                root: root.into(),
                modified: u64::try_from(options.modified).unwrap_or(0),
                ledger: Mutex::default(),
                pack: Mutex::default(),
                output: Mutex::new(Output::new(file)),
                outstanding: AtomicUsize::new(0),
                failed: AtomicBool::new(false),
                taken: AtomicU64::new(0),
            }),
        })
    }

    /// Claims `path` and opens it for writing.
    pub fn file(&self, path: &BundlePath) -> Result<FileSink, WriteError> {
        self.shared.claim(path)?;
        let redactor = self.shared.redactor.as_ref();
        let redaction = redactor.map(|redactor| redactor.begin(path));
        Ok(FileSink::new(
            Arc::clone(&self.shared),
            path.clone(),
            redaction,
        ))
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
        self.shared.claim(path)?;
        let target = relative(path, target);
        self.shared
            .append(path, EntryKind::Link { start: 0, target }, &[]);
        Ok(())
    }

    /// Whether `path` is claimed: written, or being written.
    #[must_use]
    pub fn contains(&self, path: &BundlePath) -> bool {
        self.shared.ledger().contains(path)
    }

    /// How long the archive would be at most if it ended now, in bytes: what is not compressed yet counts in full, what
    /// was given up counts too, and the tail of a bundle is estimated.
    #[must_use]
    pub fn size(&self) -> u64 {
        let saved = self.shared.compression.saved();
        let taken = self.shared.taken.load(Ordering::Relaxed);
        let indexed = self.shared.ledger().claimed() as u64 * INDEXED;
        taken.saturating_sub(saved) + indexed + TAIL
    }

    /// Writes out the block under way, where it is not a small one, so that [`ArchiveWriter::size`] counts it as it is when
    /// compressed. Of use where little is left of a budget: blocks of their full size compress a little better.
    pub fn settle(&self) {
        let under_way = {
            let pack = self.shared.pack.lock();
            pack.unwrap_or_else(PoisonError::into_inner).bytes.len()
        };
        if under_way >= BLOCK / 8 {
            self.shared.write_out();
        }
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
    /// [`ArchiveWriter::finish`] will write, completed as there, so that this view and that of a later reader
    /// agree.
    ///
    /// After an error of the archive's file this still succeeds with what is there, and what is written from
    /// now on (analysis, summary, manifest) has the reserve to go to.
    pub fn flush(
        &self,
        file: Arc<dyn ReadAt>,
        mut manifest: Manifest,
    ) -> Result<Files, WriteError> {
        self.shared.write_out();
        self.complete(&mut manifest);
        let mut output = self.shared.output();
        output.file.release().map_err(write_error)?;
        output.file.flush().map_err(write_error)?;
        output.file.sync().map_err(write_error)?;
        output.failure = None;
        self.shared.failed.store(false, Ordering::Release);
        let blocks = Blocks::new(file, None, output.table.clone());
        let root = &self.shared.root;
        Ok(assemble::written(root, &output.entries, blocks, manifest))
    }

    /// Ends the archive: the manifest, the tar's end, the index. Once. What redaction did and which files the
    /// archive lost are entered into the manifest here.
    pub fn finish(&self, manifest: &Manifest) -> Result<Finished, WriteError> {
        self.shared.write_out();
        let mut manifest = manifest.clone();
        self.complete(&mut manifest);
        let mut text = serde_json::to_vec_pretty(&manifest)
            .map_err(|error| WriteError::Output(io::Error::other(error)))?;
        text.push(b'\n');
        let path = manifest::path();
        self.shared.claim(&path)?;
        let mut sink = FileSink::new(Arc::clone(&self.shared), path, None);
        sink.write(&text)?;
        sink.finish()?;
        self.shared.ledger().finished = true;
        self.shared.write_out();
        let mut output = self.shared.output();
        if let Some(failure) = &output.failure {
            return Err(failure.error());
        }
        output.end()
    }

    /// Enters what the writer knows, and redacts what is free text. The document as a whole does not go through
    /// the redactor: a gap whose path were masked would no longer say which file is missing, and an analysis of
    /// the archive would answer otherwise than that of the run. Paths stand in the tar in clear anyway.
    fn complete(&self, manifest: &mut Manifest) {
        manifest.redaction = self.redaction();
        self.shared.ledger().complete(manifest);
        if let Some(redactor) = &self.shared.redactor {
            manifest.redact_text(|text| redact::text(redactor, text));
        }
    }
}

/// Sets `wanted` bytes of the disk aside. Where that is more than half of what is left it is halved until it is
/// not: the other half is for what is collected. Below the least there is no room for a bundle.
fn set_aside(file: &mut dyn ArchiveFile, wanted: u64) -> Result<(), WriteError> {
    let mut bytes = wanted;
    loop {
        let is_least = bytes <= LEAST_RESERVE;
        let half_is_left = if is_least {
            Ok(())
        } else {
            file.reserve(bytes.saturating_mul(2))
        };
        match half_is_left.and_then(|()| file.reserve(bytes)) {
            Ok(()) => return Ok(()),
            Err(error) if !is_full(error.kind()) => return Err(write_error(error)),
            Err(error) if is_least => {
                return Err(WriteError::NoRoom {
                    least: bytes,
                    error,
                });
            }
            Err(_) => bytes = (bytes / 2).max(LEAST_RESERVE),
        }
    }
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

    /// A disk with so many bytes left, and what is set aside of it.
    struct Disk {
        left: u64,
        reserved: Arc<Mutex<u64>>,
    }

    impl io::Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl ArchiveFile for Disk {
        fn reserve(&mut self, bytes: u64) -> io::Result<()> {
            let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
            if bytes > self.left {
                *reserved = 0;
                return Err(io::ErrorKind::StorageFull.into());
            }
            *reserved = bytes;
            Ok(())
        }

        fn release(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn cut(&mut self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn half_of_a_small_disk_is_for_what_is_collected() {
        const KIB: u64 = 1 << 10;
        for (left, expected) in [
            (100 * KIB, None),
            (256 * KIB, Some(256 * KIB)),
            (600 * KIB, Some(256 * KIB)),
            (1024 * KIB, Some(512 * KIB)),
            (8193 * KIB, Some(4096 * KIB)),
            (16384 * KIB, Some(8192 * KIB)),
            (1 << 40, Some(8192 * KIB)),
        ] {
            let reserved = Arc::new(Mutex::new(0));
            let mut disk = Disk {
                left,
                reserved: Arc::clone(&reserved),
            };
            let result = set_aside(&mut disk, 8192 * KIB);
            let reserved = *reserved.lock().unwrap_or_else(PoisonError::into_inner);
            assert_eq!(result.ok().map(|()| reserved), expected, "{left}");
        }
    }

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
}

//! The doors to files and threads. This crate defines them; the product opens them.

use std::io::{self, SeekFrom, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Random access to bytes that do not change while they are read: an archive file, a member of a folder.
pub trait ReadAt: Send + Sync {
    /// How many bytes there are.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset`, or fails with `UnexpectedEof`.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(buffer.len());
        let bytes = end.and_then(|end| self.get(start..end));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> io::Result<u64> {
        self.as_slice().size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buffer, offset)
    }
}

/// A member of a [`Source`].
#[derive(Debug, Clone)]
pub struct SourceEntry {
    /// The member's path below the source's root, `/` between segments, as the file system names it.
    pub path: String,
    /// What it is.
    pub kind: SourceKind,
    /// Modification time, seconds since 1970.
    pub modified: i64,
}

/// What a member of a [`Source`] is.
#[derive(Debug, Clone)]
pub enum SourceKind {
    /// A regular file of so many bytes.
    File(u64),
    /// A symbolic link with its target as stored.
    Link(String),
    /// A device, socket or pipe: reported, never opened.
    Other,
}

/// An unpacked bundle: a folder.
pub trait Source: Send + Sync {
    /// Every member that is no folder. Links are not followed.
    fn entries(&self) -> io::Result<Vec<SourceEntry>>;

    /// Opens a regular file that [`Source::entries`] named, following no link on the way.
    fn open(&self, path: &str) -> io::Result<Arc<dyn ReadAt>>;
}

/// The archive file under construction.
pub trait ArchiveFile: Write + Send {
    /// Sets `bytes` of the disk aside until [`ArchiveFile::release`], so that the tail still fits when the
    /// disk is full: an unlinked, preallocated file beside the archive will do. What was set aside before is
    /// given back first. Does nothing where the file system cannot.
    fn reserve(&mut self, bytes: u64) -> io::Result<()>;

    /// Gives the reserve back before the tail is written.
    fn release(&mut self) -> io::Result<()>;

    /// Cuts the file back to its first `length` bytes and goes on writing there: what a failed write left
    /// half done is taken back.
    fn cut(&mut self, length: u64) -> io::Result<()>;

    /// Makes what was written durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// A place for compressed, redacted bytes whose length is not known yet.
pub trait Spool: Send + Sync {
    /// A fresh spool file that no name leads to.
    fn create(&self) -> io::Result<Box<dyn SpoolFile>>;
}

/// One spool file: written once from start to end, then read anywhere.
pub trait SpoolFile: Write + Send {
    /// Turns to reading. The file goes away with the last reader.
    fn finish(self: Box<Self>) -> io::Result<Arc<dyn ReadAt>>;
}

/// Threads for compression and redaction.
pub trait Pool: Send + Sync {
    /// Runs `job` soon, on some thread. Blocks while the queue is full.
    fn run(&self, job: Box<dyn FnOnce() + Send>);
}

/// Runs every job at once on the caller's thread: for tests and one-core machines.
#[derive(Debug, Default, Clone, Copy)]
pub struct Inline;

impl Pool for Inline {
    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        job();
    }
}

/// Spools in memory: for tests.
#[derive(Debug, Default, Clone, Copy)]
pub struct MemorySpool;

struct MemorySpoolFile(Vec<u8>);

impl Write for MemorySpoolFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SpoolFile for MemorySpoolFile {
    fn finish(self: Box<Self>) -> io::Result<Arc<dyn ReadAt>> {
        Ok(Arc::new(self.0))
    }
}

impl Spool for MemorySpool {
    fn create(&self) -> io::Result<Box<dyn SpoolFile>> {
        Ok(Box::new(MemorySpoolFile(Vec::new())))
    }
}

/// An archive file in memory, for tests: clones share the bytes, so one clone is written and another read.
#[derive(Debug, Default, Clone)]
pub struct MemoryFile(Arc<Mutex<Vec<u8>>>);

impl MemoryFile {
    /// What was written so far.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Write for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ArchiveFile for MemoryFile {
    fn reserve(&mut self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn release(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.truncate(usize::try_from(length).map_err(io::Error::other)?);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ReadAt for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        let file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.read_exact_at(buffer, offset)
    }
}

/// The place that is meant, in what lies between 0 and `end`.
pub(crate) fn sought(position: u64, end: u64, to: SeekFrom) -> io::Result<u64> {
    let place = match to {
        SeekFrom::Start(place) => Some(place),
        SeekFrom::End(offset) => end.checked_add_signed(offset),
        SeekFrom::Current(offset) => position.checked_add_signed(offset),
    };
    place.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

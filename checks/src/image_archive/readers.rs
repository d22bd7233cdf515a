//! The readers that a walk is made of.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};

use bundle::archive::Skip;
use flate2::bufread::MultiGzDecoder;

/// How the bytes of a tar are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    Plain,
    Gzip,
    Zstd,
}

impl Stored {
    /// By its first bytes.
    pub(super) fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// What an inventory says of it.
    pub(super) fn container(self) -> &'static str {
        match self {
            Self::Plain => "tar",
            Self::Gzip => "tar, gzip",
            Self::Zstd => "tar, zstd",
        }
    }

    /// The tar.
    pub(super) fn unpacked<'a, R: Read + Send + 'a>(
        self,
        from: R,
    ) -> io::Result<Remembering<Box<dyn Read + Send + 'a>>> {
        let from = BufReader::with_capacity(256 << 10, from);
        let inner: Box<dyn Read + Send + 'a> = match self {
            Self::Plain => Box::new(from),
            Self::Gzip => Box::new(MultiGzDecoder::new(from)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(from)?),
        };
        Ok(Remembering::new(inner))
    }
}

/// A reader that counts, and fails once the run has ended.
pub(super) struct Watched<'a, R> {
    pub(super) inner: R,
    pub(super) stop: &'a AtomicBool,
    pub(super) read: u64,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("the run has ended"));
        }
        let read = self.inner.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

/// A reader that has no faster way to pass over bytes.
pub(super) struct Passed<R>(pub(super) R);

impl<R: Read> Read for Passed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Skip for Passed<R> {}

/// A decoder that goes on failing once it has failed: some forget, and what is damaged would look as if it had ended.
pub(super) struct Remembering<R> {
    inner: R,
    error: Option<(io::ErrorKind, String)>,
}

impl<R> Remembering<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, error: None }
    }
}

impl<R: Read> Read for Remembering<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some((kind, text)) = &self.error {
            return Err(io::Error::new(*kind, text.clone()));
        }
        let read = self.inner.read(buffer);
        if let Err(error) = &read
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.error = Some((error.kind(), error.to_string()));
        }
        read
    }
}

impl<R: Read> Skip for Remembering<R> {}

/// A file that passes over bytes without reading them.
pub(super) struct Seeking {
    file: File,
    at: u64,
    size: u64,
}

impl Seeking {
    /// A file of `size` bytes, at its beginning.
    pub(super) fn new(file: File, size: u64) -> Self {
        Self { file, at: 0, size }
    }
}

impl Read for Seeking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Skip for Seeking {
    fn skip(&mut self, length: u64) -> io::Result<u64> {
        let passed = length.min(self.size.saturating_sub(self.at));
        self.at += passed;
        self.file.seek(SeekFrom::Start(self.at))?;
        Ok(passed)
    }
}

//! One content on its way past: its digest, what it unpacks to, what it says.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use bundle::collected::image_bundle::{Blob, Unpacked};
use flate2::bufread::MultiGzDecoder;

use super::digest::{Algorithm, Digester};
use super::document;

/// How much is read at once.
pub(super) const CHUNK: usize = 256 << 10;

/// The largest JSON document that is read. Registries take manifests of 4 MiB.
const MAX_DOCUMENT: u64 = 8 << 20;

/// What is wanted of a content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// The algorithm of its name.
    pub(super) algorithm: Algorithm,
    /// The size that its archive promises.
    pub(super) size: u64,
    /// Whether it is unpacked.
    pub(super) unpack: bool,
    /// How many bytes it may unpack to.
    pub(super) limit: u64,
}

/// Where a content comes from, piece by piece. A piece is never empty.
pub(super) trait Chunks {
    /// The next piece, nothing at the end.
    fn next(&mut self) -> io::Result<Option<Arc<Vec<u8>>>>;
}

/// A content that is read.
pub(super) struct FromRead<'a, R: ?Sized>(pub(super) &'a mut R);

impl<R: Read + ?Sized> Chunks for FromRead<'_, R> {
    fn next(&mut self) -> io::Result<Option<Arc<Vec<u8>>>> {
        chunk(self.0)
    }
}

/// Reads one piece: a whole one except before the end. Where reading fails after some bytes, it will fail again.
pub(super) fn chunk<R: Read + ?Sized>(from: &mut R) -> io::Result<Option<Arc<Vec<u8>>>> {
    let mut bytes = vec![0; CHUNK];
    let mut filled = 0;
    while filled < CHUNK {
        match from.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if filled == 0 => return Err(error),
            Err(_) => break,
        }
    }
    bytes.truncate(filled);
    Ok((filled > 0).then(|| Arc::new(bytes)))
}

/// The two digests of a content: as it is stored, and unpacked.
pub(super) struct Digests {
    pub(super) stored: Digester,
    pub(super) unpacked: Digester,
}

/// Reads a content to its end.
pub(super) fn examine(chunks: &mut dyn Chunks, wanted: Wanted, digests: &mut Digests) -> Blob {
    digests.stored.begin(wanted.algorithm);
    let mut passing = Passing {
        chunks,
        digester: &mut digests.stored,
        chunk: Arc::default(),
        at: 0,
        size: 0,
        ended: false,
        cut: None,
    };
    let mut blob = Blob::default();
    let start = passing.peek().to_vec();
    let is_document = first_mark(&start) == Some(b'{') && wanted.size <= MAX_DOCUMENT;
    let unpacked = &mut digests.unpacked;
    let mut is_plain = false;
    if is_document {
        let mut text = Vec::new();
        // What cannot be read is told by `cut`.
        let _ = passing.read_to_end(&mut text);
        blob.document = document::read(&text);
    } else if start.starts_with(&[0x1f, 0x8b]) {
        "gzip".clone_into(&mut blob.compression);
        if wanted.unpack {
            let mut decoder = MultiGzDecoder::new(&mut passing);
            blob.unpacked = Some(unpack(&mut decoder, wanted.limit, unpacked));
        }
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || is_skippable_frame(&start) {
        "zstd".clone_into(&mut blob.compression);
        if wanted.unpack {
            blob.unpacked = Some(match zstd_decoder(&mut passing) {
                Ok(mut decoder) => unpack(&mut decoder, wanted.limit, unpacked),
                Err(error) => failed(&error),
            });
        }
    } else if wanted.algorithm == Algorithm::Sha256 {
        is_plain = wanted.unpack;
    } else if wanted.unpack {
        blob.unpacked = Some(unpack(&mut passing, wanted.limit, unpacked));
    }
    passing.drain();
    blob.size = passing.size;
    if let Some(error) = passing.cut.take() {
        blob.cut = format!(
            "after {} of {} bytes: {}",
            blob.size,
            wanted.size,
            reason(&error)
        );
    } else if blob.size < wanted.size {
        blob.cut = format!("after {} of {} bytes", blob.size, wanted.size);
    }
    blob.digest = digests.stored.finish();
    if is_plain {
        blob.unpacked = Some(Unpacked {
            size: blob.size,
            digest: blob.digest.clone(),
            error: String::new(),
        });
    }
    blob
}

/// What a reading error says to people.
pub(super) fn reason(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        "the archive ends there".to_owned()
    } else {
        error.to_string()
    }
}

fn first_mark(start: &[u8]) -> Option<u8> {
    start
        .iter()
        .copied()
        .find(|byte| !byte.is_ascii_whitespace())
}

/// A frame that decoders pass over: zstd:chunked puts its index in one, and some writers begin with one.
fn is_skippable_frame(start: &[u8]) -> bool {
    matches!(start, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// The largest window of zstd that is taken, 128 MiB, as by the `zstd` command; usual layers have 8 MiB at most.
const WINDOW_LOG: u32 = 27;

fn zstd_decoder<R: BufRead>(from: R) -> io::Result<zstd::stream::read::Decoder<'static, R>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(from)?;
    decoder.window_log_max(WINDOW_LOG)?;
    Ok(decoder)
}

fn unpack(decoder: &mut dyn Read, limit: u64, digester: &mut Digester) -> Unpacked {
    digester.begin(Algorithm::Sha256);
    let mut unpacked = Unpacked::default();
    loop {
        let mut bytes = vec![0; CHUNK];
        let mut filled = 0;
        let mut ended = false;
        while filled < CHUNK {
            match decoder.read(&mut bytes[filled..]) {
                Ok(0) => {
                    ended = true;
                    break;
                }
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    unpacked.error = error.to_string();
                    ended = true;
                    break;
                }
            }
        }
        bytes.truncate(filled);
        unpacked.size += filled as u64;
        if unpacked.size > limit {
            unpacked.error = format!("it unpacks to more than {limit} bytes");
            ended = true;
        }
        digester.update(&Arc::new(bytes));
        if ended {
            unpacked.digest = digester.finish();
            return unpacked;
        }
    }
}

fn failed(error: &io::Error) -> Unpacked {
    Unpacked {
        error: error.to_string(),
        ..Unpacked::default()
    }
}

/// A content of which every piece that comes is digested.
struct Passing<'a> {
    chunks: &'a mut dyn Chunks,
    digester: &'a mut Digester,
    chunk: Arc<Vec<u8>>,
    at: usize,
    size: u64,
    ended: bool,
    cut: Option<io::Error>,
}

impl Passing<'_> {
    /// What is there of the next piece; nothing at the end, where reading failed too.
    fn peek(&mut self) -> &[u8] {
        if self.at >= self.chunk.len() && !self.ended {
            match self.chunks.next() {
                Ok(Some(chunk)) => {
                    self.digester.update(&chunk);
                    self.size += chunk.len() as u64;
                    self.chunk = chunk;
                    self.at = 0;
                }
                Ok(None) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    self.cut = Some(error);
                }
            }
        }
        self.chunk.get(self.at..).unwrap_or_default()
    }

    fn drain(&mut self) {
        loop {
            let length = self.peek().len();
            if length == 0 {
                return;
            }
            self.at += length;
        }
    }
}

impl Read for Passing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.peek();
        let length = there.len().min(buffer.len());
        buffer[..length].copy_from_slice(&there[..length]);
        self.at += length;
        Ok(length)
    }
}

impl BufRead for Passing<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.peek())
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

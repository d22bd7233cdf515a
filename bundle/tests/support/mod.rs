//! What the tests of this folder share.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::sync::Arc;

use assay_bundle as bundle;
use bundle::archive::Limits;
use bundle::io::{Inline, MemoryFile, MemorySpool, ReadAt};
use bundle::manifest::{Ending, FORMAT, Manifest, Redaction};
use bundle::{ArchiveWriter, BundlePath, Files, OpenError, Redactor, WriterOptions};

pub type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

pub fn options() -> WriterOptions {
    WriterOptions::new(
        "bundle-1",
        1_700_000_000,
        Arc::new(MemorySpool),
        Arc::new(Inline),
    )
}

pub fn writer() -> Result<(ArchiveWriter, MemoryFile)> {
    let file = MemoryFile::default();
    let writer = ArchiveWriter::new(Box::new(file.clone()), Redactor::default(), options())?;
    Ok((writer, file))
}

pub fn manifest() -> Manifest {
    Manifest {
        format: FORMAT,
        tool: "assay 0.1.0".to_owned(),
        collected_at: jiff::Timestamp::constant(1_700_000_000, 0),
        finished_at: jiff::Timestamp::constant(1_700_000_060, 0),
        ending: Ending::Complete,
        redaction: Redaction::default(),
        collectors: Vec::new(),
        lost: Vec::new(),
    }
}

pub fn path(text: &str) -> BundlePath {
    BundlePath::new(text).expect("a path")
}

/// Text that compresses about as logs do, different for each seed.
pub fn text(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 32);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(format!("line {} of {}\n", state % 10_000, seed).as_bytes());
    }
    bytes.truncate(length);
    bytes
}

pub fn write(writer: &ArchiveWriter, name: &str, bytes: &[u8]) -> Result {
    let mut sink = writer.file(&path(name))?;
    sink.write(bytes)?;
    Ok(sink.finish()?)
}

pub fn reopen(file: &MemoryFile) -> Result<Files> {
    let bytes: Arc<dyn bundle::io::ReadAt> = Arc::new(file.bytes());
    Ok(Files::archive(&bytes, &MemorySpool, Limits::default())?)
}

/// Opens an archive with the limits that users have.
pub fn open(bytes: Vec<u8>) -> Result<Files, OpenError> {
    open_with(bytes, Limits::default())
}

pub fn open_with(bytes: Vec<u8>, limits: Limits) -> Result<Files, OpenError> {
    let file: Arc<dyn ReadAt> = Arc::new(bytes);
    Files::archive(&file, &MemorySpool, limits)
}

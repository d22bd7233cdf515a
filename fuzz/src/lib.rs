//! What the targets share: archives forged so that mutated bytes get past checksums, and bundles in memory.

use std::io::Write as _;
use std::sync::Arc;

use bundle::archive::Limits;
use bundle::io::{Inline, MemoryFile, MemorySpool, ReadAt};
use bundle::manifest::{Ending, FORMAT, Manifest, Redaction};
use bundle::{ArchiveWriter, Files, OpenError, Redactor, WriterOptions};
use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc};

/// The length of a tar header.
pub const RECORD: usize = 512;

/// Caps so low that a run that gets past them is seen by its memory and time.
pub const LIMITS: Limits = Limits {
    entries: 2000,
    total_bytes: 8 << 20,
    ratio: 250,
    ratio_from_bytes: 4 << 20,
    nesting: 2,
    document_bytes: 4 << 20,
};

/// The folder in the archives that are written here.
pub const ROOT: &str = "bundle-1";

/// Opens an archive.
pub fn open(archive: Vec<u8>) -> Result<Files, OpenError> {
    let file: Arc<dyn ReadAt> = Arc::new(archive);
    Files::archive(&file, &MemorySpool, LIMITS)
}

/// A writer into memory; without a redactor it writes in clear.
pub fn writer(redactor: Option<&Redactor>) -> (ArchiveWriter, MemoryFile) {
    let file = MemoryFile::default();
    let options = WriterOptions::new(ROOT, 1_700_000_000, Arc::new(MemorySpool), Arc::new(Inline));
    let boxed = Box::new(file.clone());
    let writer = match redactor {
        Some(redactor) => ArchiveWriter::new(boxed, redactor.clone(), options),
        None => ArchiveWriter::unredacted(boxed, options),
    };
    (writer.expect("memory takes all"), file)
}

/// A manifest that says nothing is missing.
pub fn manifest() -> Manifest {
    Manifest {
        format: FORMAT,
        tool: "assay".to_owned(),
        collected_at: jiff::Timestamp::UNIX_EPOCH,
        finished_at: jiff::Timestamp::UNIX_EPOCH,
        ending: Ending::Complete,
        redaction: Redaction::default(),
        collectors: Vec::new(),
        lost: Vec::new(),
    }
}

/// A gzip file such as any program writes.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

/// A gzip member with its length in an extra field, as our writer makes them.
pub fn member(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes all");
    let deflated = encoder.finish().expect("memory takes all");
    let mut crc = Crc::new();
    crc.update(bytes);
    let length = u32::try_from(20 + deflated.len() + 8).expect("inputs are small");
    let mut member = vec![0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0, b'S', b'Z', 4, 0];
    member.extend(length.to_le_bytes());
    member.extend(deflated);
    member.extend(crc.sum().to_le_bytes());
    member.extend(crc.amount().to_le_bytes());
    member
}

/// Gives every record that says `ustar` the checksum that it should have.
pub fn mend_headers(tar: &mut [u8]) {
    for record in tar.chunks_exact_mut(RECORD) {
        if &record[257..262] == b"ustar" {
            record[148..156].fill(b' ');
            let sum: u32 = record.iter().map(|byte| u32::from(*byte)).sum();
            record[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        }
    }
}

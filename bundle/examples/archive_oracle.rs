//! The Rust half of the oracles in `tests/oracles/archive`: writes an archive for other programs to read, and
//! lists what this crate reads from theirs.
//!
//! ```text
//! cargo run --package assay-bundle --example archive_oracle -- write FILE
//! cargo run --package assay-bundle --example archive_oracle -- list FILE
//! ```
//!
//! Both print one line per member, sorted: SHA-256, size and path, links followed.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use assay_bundle::archive::Limits;
use assay_bundle::io::{ArchiveFile, Inline, MemorySpool, ReadAt};
use assay_bundle::manifest::{Ending, FORMAT, Manifest, Redaction};
use assay_bundle::{ArchiveWriter, BundlePath, Files, WriterOptions};
use sha2::{Digest, Sha256};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (verb, file) = (arguments.next(), arguments.next());
    let listing = match (verb.as_deref(), file) {
        (Some("write"), Some(file)) => write(&file)?,
        (Some("list"), Some(file)) => {
            let bytes: Arc<dyn ReadAt> = Arc::new(std::fs::read(file)?);
            list(&Files::archive(&bytes, &MemorySpool, Limits::default())?)?
        }
        _ => return Err("expected `write FILE` or `list FILE`".into()),
    };
    io::stdout().write_all(listing.as_bytes())?;
    Ok(())
}

fn write(file: &str) -> Result<String, Box<dyn Error>> {
    let options = WriterOptions::new(
        "oracle",
        1_700_000_000,
        Arc::new(MemorySpool),
        Arc::new(Inline),
    );
    let writer = ArchiveWriter::unredacted(Box::new(Plain(File::create_new(file)?)), options)?;
    let mut files = vec![
        (
            "version.yaml".to_owned(),
            b"apiVersion: troubleshoot.sh/v1beta2\n".to_vec(),
        ),
        ("empty".to_owned(), Vec::new()),
        ("logs/long.log".to_owned(), lines(5_000_001)),
        ("logs/block.log".to_owned(), lines(1 << 20)),
        ("logs/blocks.log".to_owned(), lines(3 << 20)),
        (
            format!("{}/{}.json", "d".repeat(200), "n".repeat(200)),
            lines(100_000),
        ),
        ("ünï/cødé.txt".to_owned(), lines(513)),
    ];
    files.extend((0..300).map(|n| (format!("pods/{n:03}.json"), lines(n * 41))));
    for (path, bytes) in &files {
        writer.copy_from(&BundlePath::new(path)?, &mut bytes.as_slice())?;
    }
    writer.link(
        &BundlePath::new("app/long.log")?,
        &BundlePath::new("logs/long.log")?,
    )?;
    writer.link(
        &BundlePath::new("l".repeat(150))?,
        &BundlePath::new("ünï/cødé.txt")?,
    )?;
    let manifest = Manifest {
        format: FORMAT,
        tool: "oracle".to_owned(),
        collected_at: jiff::Timestamp::constant(1_700_000_000, 0),
        finished_at: jiff::Timestamp::constant(1_700_000_000, 0),
        ending: Ending::Complete,
        redaction: Redaction::default(),
        collectors: Vec::new(),
        lost: Vec::new(),
    };
    let read: Arc<dyn ReadAt> = Arc::new(Plain(File::open(file)?));
    let files = writer.flush(read, manifest.clone())?;
    writer.finish(&manifest)?;
    list(&files)
}

fn list(files: &Files) -> Result<String, Box<dyn Error>> {
    let mut listing = String::new();
    for problem in files.problems() {
        writeln!(listing, "problem: {problem}")?;
    }
    for path in files.paths() {
        let bytes = files.read(path.as_str())?;
        let digest = hex::encode(Sha256::digest(&bytes));
        writeln!(listing, "{digest} {} {path}", bytes.len())?;
    }
    Ok(listing)
}

/// Text of so many bytes that neither repeats soon nor is random.
fn lines(length: usize) -> Vec<u8> {
    let numbers = (1_u64..).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44);
    let mut bytes = Vec::with_capacity(length + 32);
    for number in numbers {
        if bytes.len() >= length {
            break;
        }
        bytes.extend_from_slice(format!("line {number}\n").as_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A file on disk.
struct Plain(File);

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl ArchiveFile for Plain {
    fn reserve(&mut self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn release(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl ReadAt for Plain {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut file = &self.0;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(buffer)
    }
}

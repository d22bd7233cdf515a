//! The redactor alone, without archive or compression, against what no scan can be faster than: one pass of an
//! automaton over the same bytes. `cargo xtask bench` gives it a folder; the ratio does not depend on the machine.
//!
//! Prints one line of JSON: `bytes`, and the seconds that one thread took for `redaction` and for the `automaton`, each
//! the shortest of three.

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use assay_bundle::{BundlePath, Redactor};

/// Bytes that are pushed at once, as collectors and the archive's reader do.
const PIECE: usize = 64 << 10;
/// Literals as the redactor's rules have them, for the automaton.
const LITERALS: &[&str] = &[
    "password",
    "passwd",
    "secret",
    "token",
    "bearer",
    "authorization",
    "://",
    "aws_access_key",
    "-----begin",
    "cookie",
    "credential",
    "akia",
    "ghp_",
    "eyj",
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args()
        .nth(1)
        .filter(|argument| !argument.starts_with("--"));
    // Without a folder there is nothing to measure: `cargo test --benches` only sees that it compiles.
    let Some(folder) = folder else { return Ok(()) };
    let mut files = Vec::new();
    read(Path::new(&folder), &mut files)?;
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let redactor = Redactor::default();
    let redaction = shortest(|| {
        for (path, bytes) in &files {
            let mut out = Vec::with_capacity(2 * PIECE);
            let mut file = redactor.begin(path);
            for piece in bytes.chunks(PIECE) {
                out.clear();
                file.push(piece, &mut out)?;
                black_box(&out);
            }
            black_box(file.finish(&mut out)?);
        }
        Ok(())
    })?;
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .prefilter(false)
        .build(LITERALS)?;
    let scan = shortest(|| {
        for (_, bytes) in &files {
            black_box(automaton.find_iter(bytes).count());
        }
        Ok(())
    })?;
    writeln!(
        std::io::stdout(),
        "{{\"bytes\": {bytes}, \"redaction\": {}, \"automaton\": {}}}",
        redaction.as_secs_f64(),
        scan.as_secs_f64()
    )?;
    Ok(())
}

fn read(folder: &Path, files: &mut Vec<(BundlePath, Vec<u8>)>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read(&path, files)?;
        } else {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            files.push((BundlePath::new(name.as_ref())?, fs::read(&path)?));
        }
    }
    Ok(())
}

fn shortest(
    mut run: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<Duration, Box<dyn Error>> {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let started = Instant::now();
        run()?;
        best = best.min(started.elapsed());
    }
    Ok(best)
}

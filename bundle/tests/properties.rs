//! What holds for every input: the round trip, independence of how bytes are split, and that no archive, however
//! broken, makes its reader panic or read without end.

mod support;

use std::io::Read;
use std::sync::Arc;

use assay_bundle as bundle;
use bundle::archive::Limits;
use bundle::io::{MemoryFile, MemorySpool, ReadAt};
use bundle::{ArchiveWriter, BundlePath, Files};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::Index;
use support::{manifest, open_with, options, text, write};

/// Small caps, so that what gets past them is seen.
const LIMITS: Limits = Limits {
    entries: 1000,
    total_bytes: 16 << 20,
    ratio: 250,
    ratio_from_bytes: 8 << 20,
    nesting: 2,
    document_bytes: 8 << 20,
};

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9._-]{1,12}",
        "[a-zé\u{4e00}-\u{4e05} *\\\\]{1,40}",
        "[a-z]{90,130}"
    ]
    .prop_filter("not a folder's own name", |name| {
        name != "." && name != ".."
    })
}

fn paths() -> impl Strategy<Value = String> {
    vec(segment(), 1..5)
        .prop_map(|segments| segments.join("/"))
        .prop_filter("no path on another system's machine", |path| {
            BundlePath::new(path.as_str()).is_ok()
        })
}

/// Contents around the lengths at which something changes: nothing, a record, a block.
fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..2000),
        1 => (0_usize..3, -2_isize..3, any::<u64>()).prop_map(|(blocks, beyond, seed)| {
            text((blocks << 20).saturating_add_signed(beyond), seed)
        }),
    ]
}

fn archive(files: &[(String, Vec<u8>)], pieces: &[usize]) -> (Vec<u8>, Vec<(String, Vec<u8>)>) {
    let file = MemoryFile::default();
    let writer =
        ArchiveWriter::unredacted(Box::new(file.clone()), options()).expect("memory takes all");
    let mut kept = Vec::new();
    let mut pieces = pieces.iter().copied().cycle();
    for (name, bytes) in files {
        let path = BundlePath::new(name).expect("a path");
        // Two paths may clash; the first one has it.
        let Ok(mut sink) = writer.file(&path) else {
            continue;
        };
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let length = pieces.next().unwrap_or(rest.len()).clamp(1, rest.len());
            sink.write(&rest[..length]).expect("memory takes all");
            rest = &rest[length..];
        }
        sink.finish().expect("memory takes all");
        kept.push((path.into(), bytes.clone()));
    }
    let bound = writer.size();
    writer.finish(&manifest()).expect("memory takes all");
    assert!(
        file.bytes().len() as u64 <= bound,
        "the archive has {} bytes, {bound} at most were foretold",
        file.bytes().len()
    );
    (file.bytes(), kept)
}

/// Reads all that can be read, in every way, and says how many bytes that was.
fn exhaust(files: &Files) -> u64 {
    let mut total = 0;
    for path in files.paths() {
        let name = path.as_str();
        let _ = files.read_range(name, 100, 1000);
        if let (Ok(whole), Ok(mut stream)) = (files.read(name), files.open(name)) {
            let mut streamed = Vec::new();
            if stream.read_to_end(&mut streamed).is_ok() {
                assert!(whole[..] == streamed, "{name}: the stream differs");
                total += streamed.len() as u64;
            }
        }
    }
    let _ = files.glob("*/*");
    let _ = files.verify();
    total
}

fn read_hostile(bytes: Vec<u8>) {
    if let Ok(files) = open_with(bytes, LIMITS) {
        assert!(files.paths().count() <= LIMITS.entries);
        assert!(
            exhaust(&files) <= 8 * LIMITS.total_bytes,
            "links may repeat a file, not multiply it without end"
        );
    }
}

/// Archives to break, of every kind that is read.
fn victims() -> Vec<Vec<u8>> {
    let files: Vec<(String, Vec<u8>)> = (0..20_u64)
        .map(|n| {
            (
                format!("d{}/{n}.log", n % 3),
                text(usize::try_from(n * n * 300).unwrap_or(0), n),
            )
        })
        .chain([("version.yaml".to_owned(), b"v".to_vec())])
        .collect();
    let (own, _) = archive(&files, &[10_000]);
    let mut tar = tar::Builder::new(Vec::new());
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in &files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(
            &mut header,
            format!("{}/{name}", "long".repeat(40)),
            bytes.as_slice(),
        )
        .expect("memory takes all");
        zip.start_file(name.as_str(), zip::write::SimpleFileOptions::default())
            .expect("memory takes all");
        std::io::Write::write_all(&mut zip, bytes).expect("memory takes all");
    }
    let tar = tar.into_inner().expect("memory takes all");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &tar).expect("memory takes all");
    vec![
        own,
        tar,
        gzip.finish().expect("memory takes all"),
        zip.finish().expect("memory takes all").into_inner(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn every_bundle_comes_back(
        files in btree_map(paths(), content(), 1..8),
        pieces in vec(1_usize..300_000, 1..5),
    ) {
        let files: Vec<(String, Vec<u8>)> = files.into_iter().collect();
        let (bytes, kept) = archive(&files, &pieces);
        let (at_once, _) = archive(&files, &[usize::MAX]);
        prop_assert!(bytes == at_once, "the archive depends on how the bytes were split");
        let file: Arc<dyn ReadAt> = Arc::new(bytes);
        let read = Files::archive(&file, &MemorySpool, Limits::default()).expect("ours");
        prop_assert_eq!(read.problems(), []);
        prop_assert_eq!(read.verify(), []);
        prop_assert_eq!(read.paths().count(), kept.len());
        for (name, content) in kept {
            prop_assert!(read.read(&name).expect("kept")[..] == content[..], "{}", name);
        }
    }

    #[test]
    fn bytes_that_are_no_archive_do_no_harm(
        start in prop_oneof![Just(&b"\x1f\x8b\x08"[..]), Just(&b"PK\x03\x04"[..]), Just(&b""[..])],
        noise in vec(any::<u8>(), 0..3000),
    ) {
        read_hostile([start, noise.as_slice()].concat());
    }
}

#[test]
fn broken_archives_do_no_harm() {
    let victims = victims();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 150,
        ..ProptestConfig::default()
    });
    let edits = vec((any::<Index>(), any::<u8>()), 1..6);
    let result = runner.run(&(any::<Index>(), edits), |(victim, edits)| {
        let mut bytes = victims[victim.index(victims.len())].clone();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        read_hostile(bytes);
        Ok(())
    });
    result.expect("no archive may do harm");
}

#[test]
fn archives_cut_anywhere_do_no_harm() {
    for victim in victims() {
        for end in (0..victim.len()).step_by(victim.len() / 60 + 1) {
            read_hostile(victim[..end].to_vec());
        }
    }
}

#[test]
fn damage_in_one_block_costs_that_block_only() {
    let file = MemoryFile::default();
    let writer =
        ArchiveWriter::unredacted(Box::new(file.clone()), options()).expect("memory takes all");
    for n in 0..40_u64 {
        write(&writer, &format!("{n:02}.log"), &text(100_000, n)).expect("memory takes all");
    }
    writer.finish(&manifest()).expect("memory takes all");
    let whole = file.bytes();
    let read = |bytes: Vec<u8>| {
        let files = open_with(bytes, LIMITS).expect("it can still be read");
        let whole = (0..40_u64).filter(|n| {
            let read = files.read(&format!("{n:02}.log"));
            read.is_ok_and(|read| read[..] == text(100_000, *n))
        });
        (whole.count(), files.problems().len(), files.verify().len())
    };
    assert_eq!(read(whole.clone()), (40, 0, 0));
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 0x10;
    // Ten files share a block.
    assert_eq!(read(damaged.clone()), (30, 0, 10), "by its index");
    damaged.truncate(whole.len() - 10);
    let (found, problems, _) = read(damaged);
    assert_eq!((found, problems), (30, 1), "by scanning");
}

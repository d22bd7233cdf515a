//! An archive of ours whose index is anything at all, or the honest one with edits: what is read is what the archive
//! holds under that name, or an error.
//!
//! An edit is a place in the JSON (two bytes), how many bytes go, how many come, and those that come.
#![no_main]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::LazyLock;

use assay_fuzz::{RECORD, ROOT, gzip, manifest, open, writer};
use bundle::BundlePath;
use flate2::read::GzDecoder;
use libfuzzer_sys::fuzz_target;

struct Honest {
    /// The archive before its index.
    blocks: Vec<u8>,
    footer: Vec<u8>,
    json: Vec<u8>,
    /// By the whole name in the archive.
    contents: BTreeMap<String, Vec<u8>>,
}

static HONEST: LazyLock<Honest> = LazyLock::new(|| {
    let (writer, file) = writer(None);
    let long: Vec<u8> = (0..160_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut contents = BTreeMap::new();
    for (name, bytes) in [
        ("version.yaml", &b"v"[..]),
        ("logs/a.log", b"aaaa"),
        ("logs/b.log", b"bbbb"),
        ("long.bin", &long.repeat(2)),
        ("empty", b""),
    ] {
        let path = BundlePath::new(name).expect("a path");
        writer
            .copy_from(&path, &mut &*bytes)
            .expect("memory takes all");
        contents.insert(format!("{ROOT}/{name}"), bytes.to_vec());
    }
    let [link, target] = ["link", "logs/a.log"].map(|name| BundlePath::new(name).expect("a path"));
    writer.link(&link, &target).expect("memory takes all");
    writer.finish(&manifest()).expect("memory takes all");
    let whole = open(file.bytes()).expect("ours");
    let text = whole.report("manifest.json").expect("ours");
    contents.insert(format!("{ROOT}/manifest.json"), text.to_vec());
    contents.insert(format!("{ROOT}/link"), b"aaaa".to_vec());
    let bytes = file.bytes();
    let footer = bytes.len() - 51;
    let digits = std::str::from_utf8(&bytes[footer + 16..footer + 32]).expect("digits");
    let index = usize::from_str_radix(digits, 16).expect("digits");
    let mut toc = Vec::new();
    let read = GzDecoder::new(&bytes[index..footer]).read_to_end(&mut toc);
    read.expect("ours");
    let size = tar::Header::from_byte_slice(&toc[..RECORD]).entry_size();
    let end = RECORD + usize::try_from(size.expect("ours")).expect("short");
    Honest {
        json: toc[RECORD..end].to_vec(),
        blocks: bytes[..index].to_vec(),
        footer: bytes[footer..].to_vec(),
        contents,
    }
});

/// The honest index with edits.
fn edited(mut edits: &[u8]) -> Vec<u8> {
    let mut json = HONEST.json.clone();
    while let [low, high, gone, come, rest @ ..] = edits {
        let at = usize::from(u16::from_le_bytes([*low, *high])) % (json.len() + 1);
        let until = (at + usize::from(*gone)).min(json.len());
        let (bytes, after) = rest.split_at(usize::from(*come).min(rest.len()));
        json.splice(at..until, bytes.iter().copied());
        edits = after;
    }
    json
}

fuzz_target!(|input: &[u8]| {
    let json = match input.first() {
        Some(b'{') => input.to_vec(),
        _ => edited(input),
    };
    let mut header = tar::Header::new_gnu();
    header.set_path("stargz.index.json").expect("a short name");
    header.set_size(json.len() as u64);
    header.set_cksum();
    let mut tar = [&header.as_bytes()[..], &json].concat();
    tar.resize(tar.len().next_multiple_of(RECORD) + 2 * RECORD, 0);
    let Honest {
        blocks,
        footer,
        contents,
        ..
    } = &*HONEST;
    let archive = [blocks.as_slice(), &gzip(&tar), footer].concat();
    let files = open(archive).expect("without its index the archive is scanned");
    let mut same = 0;
    let manifest = BundlePath::new("manifest.json").expect("a path");
    for path in files.paths().chain([&manifest]) {
        // An archive whose index is not used is scanned: the long file would take most of the time.
        if !files.problems().is_empty() && path.file_name() == "long.bin" {
            continue;
        }
        let Ok(bytes) = files.report(path.as_str()) else {
            continue;
        };
        let name = match files.root() {
            Some(root) => format!("{root}/{path}"),
            None => path.to_string(),
        };
        let honest = contents.get(&name);
        assert!(
            honest.is_some_and(|honest| bytes[..] == honest[..]),
            "{name} is not what the archive holds under this name"
        );
        same += 1;
    }
    if files.problems().is_empty() && files.verify().is_empty() {
        assert_eq!(
            same,
            contents.len(),
            "less than the archive holds is called whole"
        );
    }
    if json == HONEST.json {
        assert!(files.problems().is_empty() && files.verify().is_empty());
    }
});

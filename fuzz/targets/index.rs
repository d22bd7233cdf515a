//! An archive of ours whose index is anything at all: what is read is what the archive holds under that name, or an
//! error.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use assay_fuzz::{RECORD, ROOT, gzip, manifest, open, writer};
use bundle::BundlePath;
use libfuzzer_sys::fuzz_target;

struct Honest {
    /// The archive before its index.
    blocks: Vec<u8>,
    footer: Vec<u8>,
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
        writer.copy_from(&path, &mut &*bytes).expect("memory takes all");
        contents.insert(format!("{ROOT}/{name}"), bytes.to_vec());
    }
    let [link, target] = ["link", "logs/a.log"].map(|name| BundlePath::new(name).expect("a path"));
    writer.link(&link, &target).expect("memory takes all");
    writer.finish(&manifest()).expect("memory takes all");
    let whole = open(file.bytes()).expect("ours");
    let text = whole.read("manifest.json").expect("ours");
    contents.insert(format!("{ROOT}/manifest.json"), text.to_vec());
    contents.insert(format!("{ROOT}/link"), b"aaaa".to_vec());
    let bytes = file.bytes();
    let footer = bytes.len() - 51;
    let digits = std::str::from_utf8(&bytes[footer + 16..footer + 32]).expect("digits");
    let index = usize::from_str_radix(digits, 16).expect("digits");
    Honest {
        blocks: bytes[..index].to_vec(),
        footer: bytes[footer..].to_vec(),
        contents,
    }
});

fuzz_target!(|json: &[u8]| {
    let mut header = tar::Header::new_gnu();
    header.set_path("stargz.index.json").expect("a short name");
    header.set_size(json.len() as u64);
    header.set_cksum();
    let mut tar = [header.as_bytes(), json].concat();
    tar.resize(tar.len().next_multiple_of(RECORD) + 2 * RECORD, 0);
    let Honest {
        blocks,
        footer,
        contents,
    } = &*HONEST;
    let archive = [blocks.as_slice(), &gzip(&tar), footer].concat();
    let files = open(archive).expect("without its index the archive is scanned");
    let mut same = 0;
    for path in files.paths() {
        let Ok(bytes) = files.read(path.as_str()) else {
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
        assert_eq!(same, contents.len(), "less than the archive holds is called whole");
    }
});

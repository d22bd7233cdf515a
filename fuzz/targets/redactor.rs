//! Redaction: how the stream is cut makes no difference, nothing grows but by its masks, a planted secret does not
//! survive, lines stay, what holds no mask is byte-equal, and what was redacted once is left alone.
#![no_main]

use std::sync::{Arc, LazyLock};

use assay_fuzz::{manifest, writer};
use bundle::{BundlePath, Profile, Redactor};
use libfuzzer_sys::fuzz_target;

const PATHS: [&str; 4] = ["logs/app.log", "host/app.json", "etc/app.yaml", "errors"];
const MASK: &[u8] = b"***HIDDEN***";
const PLANTED: &str = "Qv7canaryZ4k";

static TROUBLESHOOT: LazyLock<Redactor> =
    LazyLock::new(|| Redactor::new(Profile::Troubleshoot, &[]).expect("no specs"));
static STANDARD: LazyLock<Redactor> = LazyLock::new(Redactor::default);

/// What comes out of the archive's one door; nothing where the file was withheld. With the number of masks.
fn redact(redactor: &Redactor, path: &str, text: &[u8], step: usize) -> Option<(Vec<u8>, u64)> {
    let (writer, file) = writer(Some(redactor));
    let path = BundlePath::new(path).expect("a path");
    let mut sink = writer.file(&path).expect("the first file");
    for piece in text.chunks(step.max(1)) {
        // A failure of redaction withholds the file; the manifest says so.
        let _ = sink.write(piece);
    }
    let _ = sink.finish();
    let redaction = writer.redaction();
    if !redaction.withheld.is_empty() {
        return None;
    }
    let files = writer
        .flush(Arc::new(file), manifest())
        .expect("memory takes all");
    let bytes = files.read(path.as_str()).expect("it was written");
    Some((bytes.to_vec(), redaction.masks.values().sum()))
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split(|byte| *byte == b'\n').collect()
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fuzz_target!(|input: &[u8]| {
    let [mode, text @ ..] = input else { return };
    let path = PATHS[usize::from(mode & 3)];
    let step = usize::from(mode >> 2) + 1;
    for redactor in [&*STANDARD, &*TROUBLESHOOT] {
        let whole = redact(redactor, path, text, usize::MAX);
        let pieces = redact(redactor, path, text, step);
        assert_eq!(whole, pieces, "how the stream is cut makes a difference");
    }
    // The other laws are about text; what is packed is packed again.
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    // libFuzzer learns the planted secret from the comparison.
    if text.contains('\0') || text.starts_with("PK") || text.contains(PLANTED) {
        return;
    }
    let Some((out, masks)) = redact(&STANDARD, path, text.as_bytes(), usize::MAX) else {
        return;
    };
    // A mask in quotes, so that JSON stays JSON and YAML stays YAML; in documents in strings of documents, five deep, each
    // quote is escaped once more, which doubles what stands in front of it.
    let quotes = if text.contains('\\') { 2 << 5 } else { 4 };
    let longest = MASK.len() as u64 + quotes;
    assert!(
        out.len() as u64 <= text.len() as u64 + masks * longest,
        "{} bytes became {} with {masks} masks",
        text.len(),
        out.len()
    );
    let (before, after) = (lines(text.as_bytes()), lines(&out));
    assert_eq!(before.len(), after.len(), "lines were added or removed");
    if masks == 0 {
        assert!(out == text.as_bytes(), "without a mask nothing changes");
    }
    // Troubleshoot's expressions may take a mask for the name that they look for; a line without one is left alone.
    if let Some((again, _)) = redact(&STANDARD, path, &out, usize::MAX) {
        for (once, twice) in lines(&out).into_iter().zip(lines(&again)) {
            assert!(
                once == twice || holds(once, MASK),
                "redacting twice changes {:?}",
                String::from_utf8_lossy(once)
            );
        }
    }
    for (before, after) in before.into_iter().zip(after) {
        assert!(
            before == after || holds(after, MASK),
            "{:?} changed without a mask",
            String::from_utf8_lossy(before)
        );
    }
    let planted = format!("{text}\nhttps://user:{PLANTED}@host/\n");
    if let Some((out, _)) = redact(&STANDARD, path, planted.as_bytes(), usize::MAX) {
        assert!(
            !holds(&out, PLANTED.as_bytes()),
            "a planted secret survives"
        );
    }
});

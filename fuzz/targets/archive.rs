//! Archives of every kind that is read: no input makes the reader panic, read without end, or say two things of one
//! file.
#![no_main]

use std::io::Read as _;

use assay_fuzz::{LIMITS, gzip, member, mend_headers, open};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [mode, body @ ..] = input else { return };
    let mut body = body.to_vec();
    if mode % 4 > 0 {
        mend_headers(&mut body);
    }
    let archive = match mode % 4 {
        // As it is, or a tar stream.
        0 | 1 => body,
        2 => gzip(&body),
        _ => body.chunks(700).flat_map(member).collect(),
    };
    let Ok(files) = open(archive.clone()) else {
        return;
    };
    let again = open(archive).expect("what can be opened can be opened again");
    assert_eq!(files.problems(), again.problems());
    assert!(files.paths().eq(again.paths()));
    assert!(files.paths().count() <= LIMITS.entries);
    let mut total = 0;
    for path in files.paths() {
        let path = path.as_str();
        assert!(!path.starts_with('/') && path.split('/').all(|segment| segment != ".."));
        assert!(!path.contains(char::is_control));
        let range = files.read_range(path, 3, 100);
        let Ok(whole) = files.read(path) else {
            continue;
        };
        assert_eq!(files.length(path).ok(), Some(whole.len() as u64));
        let (start, end) = (whole.len().min(3), whole.len().min(103));
        assert_eq!(
            range.expect("a part of what can be read"),
            whole[start..end]
        );
        let mut streamed = Vec::new();
        let mut stream = files.open(path).expect("what can be read");
        stream.read_to_end(&mut streamed).expect("what can be read");
        assert!(whole[..] == streamed, "{path}: the stream differs");
        total += whole.len() as u64;
        // Links repeat a file; what they cost is bounded by the caller's time, not here.
        if total > 4 * LIMITS.total_bytes {
            break;
        }
    }
    let _ = files.glob("*/*");
    let _ = files.gaps("a/**").count();
    let extent = files.extent();
    assert!(extent.with_digests <= extent.files);
    let _ = files.verify();
});

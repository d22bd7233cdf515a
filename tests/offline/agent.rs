//! `assay agent`, which runs in the pods of collectors with `from: pod`: a request in, a bundle out in lines.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::fixture::Bench;

fn request(config: &Value) -> String {
    json!({"protocol": 1, "collector": "data", "name": "probe", "config": config, "namespace": null,
        "runId": "test", "salt": vec![7; 32], "seconds": 20})
    .to_string()
}

#[test]
fn a_request_is_answered_by_a_redacted_bundle_in_lines() {
    let bench = Bench::new();
    let config = json!({"name": "out", "data": "password=planted-in-a-pod\nfound\n"});
    bench.write("request.json", request(&config));
    let ran = bench.assay_run(["agent", "request.json"]).exits(0);
    assert_eq!(ran.stderr, "");
    let mut lines: Vec<&str> = ran.stdout.lines().collect();
    let end = lines.pop().expect("an end");
    let mut archive = Vec::new();
    for line in lines {
        let piece = line.strip_prefix("assay-answer ").expect("a framed line");
        STANDARD.decode_vec(piece, &mut archive).expect("base64");
    }
    let length = format!("assay-answer-end {} ", archive.len());
    assert!(end.starts_with(&length), "{end}");
    let unpacked = flate2::read::MultiGzDecoder::new(archive.as_slice());
    let mut archive = tar::Archive::new(unpacked);
    let mut found = None;
    for member in archive.entries().expect("a tar archive") {
        let mut member = member.expect("a member");
        if member.path().expect("a path").ends_with("out/probe") {
            let mut text = String::new();
            member.read_to_string(&mut text).expect("text");
            found = Some(text);
        }
    }
    let text = found.expect("the collector's file");
    assert!(text.contains("found"), "{text}");
    assert!(!text.contains("planted-in-a-pod"), "{text}");
}

#[test]
fn a_request_that_it_does_not_understand_is_exit_1_and_no_answer() {
    let bench = Bench::new();
    bench.write("later.json", r#"{"protocol": 2, "later": true}"#);
    bench.write("odd.json", "planted-in-a-pod");
    for (file, words) in [
        ("later.json", "does not understand the caller"),
        ("odd.json", "malformed at line 1"),
        ("absent.json", "absent.json"),
    ] {
        let ran = bench.assay_run(["agent", file]).exits(1).says(&[words]);
        assert_eq!(ran.stdout, "");
        assert!(!ran.stderr.contains("planted-in-a-pod"), "{}", ran.stderr);
    }
}

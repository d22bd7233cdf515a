use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

use super::*;

static TROUBLESHOOT: LazyLock<Redactor> =
    LazyLock::new(|| Redactor::new(Profile::Troubleshoot, &[]).expect("no specs"));

static STANDARD: LazyLock<Redactor> = LazyLock::new(Redactor::default);

static CUSTOM: LazyLock<Redactor> = LazyLock::new(|| {
    custom(json!([{"removals": {
        "values": ["u:"],
        "regex": [{"selector": "user", "redactor": "(v)(?P<mask>.)"}],
    }}]))
});

fn custom(specs: serde_json::Value) -> Redactor {
    let specs: Vec<RedactorSpec> = serde_json::from_value(specs).expect("a list of redactors");
    Redactor::new(Profile::Troubleshoot, &specs).expect("valid redactors")
}

/// Redacts `input`, handed over in pieces of `step` bytes.
fn redact_in_steps(
    redactor: &Redactor,
    path: &str,
    input: &[u8],
    step: usize,
) -> Result<(Vec<u8>, FileReport), RedactionFailure> {
    let mut out = Vec::new();
    let mut file = redactor.begin(&BundlePath::new(path).expect("a path"));
    for piece in input.chunks(step) {
        file.push(piece, &mut out)?;
    }
    let report = file.finish(&mut out)?;
    Ok((out, report))
}

fn redact(redactor: &Redactor, path: &str, input: &str) -> String {
    let (out, _) = redact_in_steps(redactor, path, input.as_bytes(), usize::MAX).expect("redacts");
    String::from_utf8(out).expect("text stays text")
}

/// Found by fuzzing: a document of JSON let go of lines that still waited for the kind of their object.
#[test]
fn what_waits_for_its_kind_waits_through_a_document_of_json() {
    let secret = "apiVersion: v1\ndata:\n  entry: aHVudGVyMg==\n  config: |\n    {\n      \"a\": 1\n    }\nkind: Secret\n";
    let crash = "L/backups/2026/i{\n \"env\": [\n:***HIDDEN**  {\n   \"value\": \"hunter03/02\"nv\": [\n  {\n   \"value\": \"hunter2\",\n   \"name\"ar.}gz";
    for step in [1, 2, 3, 7, 64, usize::MAX] {
        let text = |input: &str| {
            let (out, _) =
                redact_in_steps(&STANDARD, "a/b", input.as_bytes(), step).expect("redacts");
            String::from_utf8(out).expect("text stays text")
        };
        assert!(
            !text(secret).contains("aHVudGVyMg"),
            "{step}: {}",
            text(secret)
        );
        assert_eq!(text(crash), redact(&STANDARD, "a/b", crash), "{step}");
    }
}

#[test]
fn our_own_expressions_compile() {
    let compiled = &STANDARD.compiled;
    let finder = compiled.standard.as_ref().expect("the profile is standard");
    for gate in [&compiled.defaults, &compiled.kurl, finder.gate()] {
        for rule in &gate.rules {
            if let Some(pattern) = rule.pattern() {
                let groups = pattern.whole.get().group_names();
                assert!(
                    groups.iter().any(|name| name.as_deref() == Some("mask")),
                    "{}",
                    rule.name
                );
                pattern.unclosed.get();
            }
            if let rules::Action::MaskNext { selector, .. } = &rule.action {
                selector.get();
            }
        }
    }
}

#[test]
fn troubleshoot_masks_connections() {
    for (input, expected) in [
        (
            "see ftp://bob:x1@files.example.org:21 now",
            "see ftp://***HIDDEN***:***HIDDEN***@files.example.org:21 now",
        ),
        (
            "amqp://svc:pw@mq.example.org:5672/prod?x=1 rest",
            "amqp://***HIDDEN***:***HIDDEN***@***HIDDEN***:5672/***HIDDEN*** rest",
        ),
        (
            "dsn=svc:pw@tcp(10.1.2.3:3306)/shop x",
            "***HIDDEN***:***HIDDEN***@tcp(***HIDDEN***:3306)/***HIDDEN*** x",
        ),
        ("redis://:pw@cache:6379", "redis://:pw@cache:6379"),
        (
            "Uid=sa;PASSWORD = x y ;Data Source=h,1433;",
            "Uid=***HIDDEN***;PASSWORD = ***HIDDEN***;Data Source=***HIDDEN***;",
        ),
        ("password=unterminated", "password=unterminated"),
    ] {
        assert_eq!(redact(&TROUBLESHOOT, "logs/x.log", input), expected);
    }
}

#[test]
fn troubleshoot_masks_values_by_the_line_before() {
    for (input, expected) in [
        (
            "\"name\": \"db_user\",\n\"value\": \"a\", \"b\": \"c\"\n\"value\": \"kept\"",
            "\"name\": \"db_user\",\n\"value\": \"***HIDDEN***\"\n\"value\": \"kept\"",
        ),
        // The line that follows a selector is no selector itself.
        (
            "\"name\": \"token\"\n\"name\": \"token\"\n\"value\": \"kept\"\n",
            "\"name\": \"token\"\n\"name\": \"token\"\n\"value\": \"kept\"\n",
        ),
        (
            "\"entity\": \"client.admin\",\n\"key\": \"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\"",
            "\"entity\": \"client.admin\",\n\"key\": \"***HIDDEN***\"",
        ),
        // The Kelvin sign is a k when case does not count.
        (
            "\"name\": \"to\u{212a}en\"\n\"value\": \"v\"",
            "\"name\": \"to\u{212a}en\"\n\"value\": \"***HIDDEN***\"",
        ),
    ] {
        assert_eq!(redact(&TROUBLESHOOT, "a.json", input), expected);
    }
}

#[test]
fn kurl_fields_are_masked_in_its_files_only() {
    let input = "{\"certKey\": \"a\", \"bootstrapToken\":\"b\"}";
    let path = "cluster-resources/custom-resources/installers.cluster.kurl.sh.json";
    let masked = "{\"certKey\": \"***HIDDEN***\", \"bootstrapToken\":\"***HIDDEN***\"}";
    assert_eq!(redact(&TROUBLESHOOT, path, input), masked);
    assert_eq!(redact(&TROUBLESHOOT, "other.json", input), input);
}

#[test]
fn custom_removals_apply_in_order_and_are_counted() {
    let redactor = custom(json!([
        {"name": "mine", "fileSelector": {"files": ["logs/**"]}, "removals": {
            "values": ["abc"],
            "regex": [
                {"redactor": "(?P<drop>x)(?P<mask>[0-9]+)( y)?"},
                {"selector": "^next$", "redactor": "(?P<mask>.+)"},
            ],
        }},
        {"removals": {"values": ["zzz"]}},
        {"name": null, "removals": null},
    ]));
    let input = "abcabc x12 y x3\nnext\nwhole\nzzz";
    let (out, report) =
        redact_in_steps(&redactor, "logs/a/b", input.as_bytes(), 3).expect("redacts");
    assert_eq!(
        String::from_utf8_lossy(&out),
        "***HIDDEN******HIDDEN*** ***HIDDEN*** y ***HIDDEN***\nnext\n***HIDDEN***\n***HIDDEN***"
    );
    let masks: BTreeMap<&str, u64> = report
        .masks
        .iter()
        .map(|(name, n)| (name.as_str(), *n))
        .collect();
    let expected = [
        ("mine.literal.0", 2),
        ("mine.multiLine.1", 1),
        ("mine.regex.0", 2),
        ("unnamed-1.literal.0", 1),
    ];
    assert_eq!(masks, BTreeMap::from(expected));
    assert_eq!(redact(&redactor, "other", "abc zzz"), "abc ***HIDDEN***");
}

#[test]
fn documents_are_masked_by_path() {
    let redactor = custom(json!([{"removals": {"yamlPath": ["users.*.pw", "list.1"]}}]));
    for (input, expected) in [
        (
            "users:\n  b: {pw: x, id: 1}\n  a: {pw: [y]}\nlist: [p, q]\n",
            "list:\n- p\n- '***HIDDEN***'\nusers:\n  a:\n    pw: '***HIDDEN***'\n  b:\n    id: 1\n    pw: '***HIDDEN***'\n",
        ),
        (
            "users: 3\nlist: [p]  # one\n",
            "users: 3\nlist: [p]  # one\n",
        ),
        ("no: [yaml", "no: [yaml"),
    ] {
        assert_eq!(redact(&redactor, "x.yaml", input), expected);
    }
    let deep = "[".repeat(300);
    let failure = redact_in_steps(&redactor, "x", deep.as_bytes(), 100).expect_err("too deep");
    assert!(
        failure.to_string().contains("unnamed-0.yaml.0"),
        "{failure}"
    );
    let large = vec![b' '; (16 << 20) + 1];
    redact_in_steps(&redactor, "x", &large, 1 << 20).expect_err("too large");
}

#[test]
fn broken_redactors_are_named_with_their_place() {
    for (spec, message) in [
        (
            json!([{"removals": {}}, {"name": "n", "removals": {"regex": [{"redactor": "(a"}]}}]),
            "redactor \"n\": [1].removals.regex[0].redactor: error parsing regexp: missing closing ): `(a`",
        ),
        (
            json!([{"removals": {"regex": [{"redactor": "a", "selector": "*"}]}}]),
            "redactor \"unnamed-0\": [0].removals.regex[0].selector: error parsing regexp: missing argument to repetition operator: `*`",
        ),
        (
            json!([{"fileSelector": {"files": ["a", "[b"]}}]),
            "redactor \"unnamed-0\": [0].fileSelector.files[1]: glob \"[b\": unexpected end of input",
        ),
    ] {
        let specs: Vec<RedactorSpec> = serde_json::from_value(spec).expect("typed");
        let error = Redactor::new(Profile::Standard, &specs).expect_err("refused");
        assert_eq!(error.to_string(), message);
    }
    for misspelt in [
        json!({"removal": {"values": ["a"]}}),
        json!({"removals": {"value": ["a"]}}),
        json!({"fileselector": {}}),
        json!({"removals": {"regex": [{"redactors": "a"}]}}),
        json!({"removals": {"values": [1]}}),
    ] {
        serde_json::from_value::<RedactorSpec>(misspelt.clone()).expect_err(&misspelt.to_string());
    }
}

#[test]
fn long_lines_are_masked_in_windows() {
    let filler = "x".repeat(700_000);
    let secret = "s".repeat(300_000);
    for (opening, closing) in [
        ("password=", ";"),
        ("http://u:", "@host"),
        (r#"\"name\":\"user\",\"value\":\""#, r#"\""#),
    ] {
        // Every window boundary falls once into each part.
        for repeat in 1..3 {
            let line = format!(
                "{}{opening}{secret}{closing}{filler}\nnext",
                filler.repeat(repeat)
            );
            let masked = redact(&TROUBLESHOOT, "x", &line);
            assert!(!masked.contains("sss"), "{opening} after {repeat} fillers");
            assert!(masked.ends_with("x\nnext"));
            assert!(masked.len() >= (repeat + 1) * filler.len());
        }
    }
    let many = format!("{};", "password=abc;y ".repeat(100_000));
    let masked = redact(&TROUBLESHOOT, "x", &many);
    assert_eq!(masked, many.replace("abc", MASK));
}

#[test]
fn a_line_beyond_what_a_rewriting_rule_may_see_is_not_shipped() {
    let redactor = custom(json!([{"name": "mine", "removals": {"values": ["abc"]}}]));
    let line = vec![b'a'; (16 << 20) + 1];
    let failure = redact_in_steps(&redactor, "x", &line, 1 << 20).expect_err("too long");
    assert!(failure.to_string().contains("mine.literal.0"), "{failure}");
    let fits = format!("{}abc", "a".repeat(2 << 20));
    assert!(redact(&redactor, "x", &fits).ends_with("a***HIDDEN***"));
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory takes bytes");
    encoder.finish().expect("memory takes bytes")
}

fn gunzipped(bytes: &[u8]) -> Vec<u8> {
    let mut unpacked = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(bytes);
    decoder.read_to_end(&mut unpacked).expect("a gzip file");
    unpacked
}

fn packed(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o640);
        header.set_mtime(1_700_000_000);
        builder
            .append_data(&mut header, path, *bytes)
            .expect("memory takes bytes");
    }
    builder.into_inner().expect("memory takes bytes")
}

#[test]
fn compressed_files_are_redacted_inside() {
    let secret = "password=hunter2;\n";
    for redactor in [&*TROUBLESHOOT, &*STANDARD] {
        let packed = gzipped(secret.repeat(10_000).as_bytes());
        let (out, report) =
            redact_in_steps(redactor, "host/app.tgz", &packed, 1000).expect("redacts");
        assert_eq!(
            gunzipped(&out),
            secret.replace("hunter2", MASK).repeat(10_000).as_bytes()
        );
        assert_eq!(report.masks.values().sum::<u64>(), 10_000);
    }
    let plain = gzipped(b"nothing to hide");
    let (out, _) = redact_in_steps(&STANDARD, "host/app.log.gz", &plain, 7).expect("redacts");
    assert_eq!(out, plain);
}

#[test]
fn archives_are_redacted_member_by_member() {
    let long = format!("{}/app.log", "folder".repeat(30));
    let members: &[(&str, &[u8])] = &[
        (&long, b"DB_PASSWORD=hunter2"),
        ("plain.txt", b"nothing"),
        ("inner.gz", &gzipped(b"DB_PASSWORD=hunter2")),
    ];
    for archive in [packed(members), gzipped(&packed(members))] {
        let (out, _) =
            redact_in_steps(&STANDARD, "host/etc.tar.gz", &archive, 333).expect("redacts");
        let out = if out.starts_with(&[0x1F, 0x8B]) {
            gunzipped(&out)
        } else {
            out
        };
        let mut archive = tar::Archive::new(&out[..]);
        let mut contents = BTreeMap::new();
        for entry in archive.entries().expect("a tar archive") {
            let mut entry = entry.expect("a member");
            let path = entry.path().expect("a path").to_string_lossy().into_owned();
            assert_eq!(entry.header().mode().expect("a mode"), 0o640);
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("its bytes");
            contents.insert(
                path,
                if bytes.starts_with(&[0x1F, 0x8B]) {
                    gunzipped(&bytes)
                } else {
                    bytes
                },
            );
        }
        assert_eq!(contents[&long], b"DB_PASSWORD=***HIDDEN***");
        assert_eq!(contents["plain.txt"], b"nothing");
        assert_eq!(contents["inner.gz"], b"DB_PASSWORD=***HIDDEN***");
    }
}

#[test]
fn what_cannot_be_opened_is_not_shipped() {
    let bomb = gzipped(&vec![0; 16 << 20]);
    let broken = &gzipped(secret_lines().as_bytes())[..50];
    let nested = (0..6).fold(b"x".to_vec(), |inner, _| gzipped(&inner));
    for (bytes, what) in [
        (&bomb[..], "400 times"),
        (broken, "a gzip file that cannot be opened"),
        (&nested, "nested too deeply"),
        (b"PK\x03\x04rest", "a zip archive"),
        (b"\xFE\xFF\xD8\x00", "half a character"),
    ] {
        let failure = redact_in_steps(&STANDARD, "host/x.tgz", bytes, 1 << 16).expect_err(what);
        assert!(failure.to_string().contains(what), "{failure}");
    }
    // What is only called so is text.
    assert_eq!(
        redact(&STANDARD, "host/x.tgz", "DB_PASSWORD=hunter2"),
        "DB_PASSWORD=***HIDDEN***"
    );
}

fn secret_lines() -> String {
    let lines: Vec<String> = (0..1000)
        .map(|line| format!("{line} password=hunter{line};"))
        .collect();
    lines.join("\n")
}

#[test]
fn text_in_utf16_is_redacted() {
    let text = "host=db\r\nDB_PASSWORD=hünter2\r\n";
    let masked = "host=db\r\nDB_PASSWORD=***HIDDEN***\r\n";
    for mark in ["\u{feff}", ""] {
        let encode = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            format!("{mark}{text}")
                .encode_utf16()
                .flat_map(bytes)
                .collect()
        };
        for bytes in [u16::to_le_bytes as fn(u16) -> [u8; 2], u16::to_be_bytes] {
            let (out, _) =
                redact_in_steps(&STANDARD, "host/x", &encode(text, bytes), 5).expect("redacts");
            assert_eq!(out, encode(masked, bytes));
        }
    }
}

#[test]
fn standard_keeps_documents_masked_by_path() {
    let specs = json!([{"removals": {"yamlPath": ["users.*.id", "x"]}}]);
    let specs: Vec<RedactorSpec> = serde_json::from_value(specs).expect("typed");
    let redactor = Redactor::new(Profile::Standard, &specs).expect("valid");
    for (input, expected) in [
        (
            "{\"users\" : [ {\"id\": 17, \"n\":1},{\"id\":{\"a\":2}} ],\n \"x\":\"\", \"x\": 2}",
            "{\"users\" : [ {\"id\": \"***HIDDEN***\", \"n\":1},{\"id\":\"***HIDDEN***\"} ],\n \"x\":\"***HIDDEN***\", \"x\": \"***HIDDEN***\"}",
        ),
        (
            "x: 1\n---\nz: 2\n---\nx: 3\n",
            "x: '***HIDDEN***'\n---\nz: 2\n---\nx: '***HIDDEN***'\n",
        ),
        ("y: 1  # kept\n", "y: 1  # kept\n"),
    ] {
        assert_eq!(redact(&redactor, "x", input), expected);
    }
}

#[test]
fn short_texts_are_redacted() {
    let redactor = Redactor::default();
    let text = text(&redactor, "dial http://u:p@h/ failed");
    assert_eq!(text, "dial http://***HIDDEN***:***HIDDEN***@h/ failed");
    assert!(is_masked(&text) && !is_masked("***"));
}

#[derive(serde::Deserialize)]
struct Case {
    #[serde(default = "log")]
    path: String,
    text: String,
    #[serde(default)]
    secrets: Vec<String>,
    #[serde(default)]
    kept: Vec<String>,
}

fn log() -> String {
    "logs/app.log".to_owned()
}

fn cases(yaml: &str) -> Vec<Case> {
    let limits = syntax::yaml::Limits::default();
    let document = syntax::yaml::document(yaml, &limits).expect("cases are YAML");
    let json = document.root.to_json().expect("cases have JSON");
    serde_json::from_value(json).expect("cases have their fields")
}

/// Whether `text` is still what its path says it is.
fn is_well_formed(path: &str, text: &str) -> bool {
    let kind = path.rsplit('.').next();
    if kind == Some("json") {
        serde_json::from_str::<serde_json::Value>(text).is_ok()
    } else if kind == Some("yaml") {
        syntax::yaml::documents(text, &syntax::yaml::Limits::default())
            .iter()
            .all(Result::is_ok)
    } else {
        true
    }
}

#[test]
fn secrets_do_not_survive() {
    let mut wrong = Vec::new();
    for case in cases(include_str!("../../cases/redact/secrets.yaml")) {
        assert!(is_well_formed(&case.path, &case.text), "{}", case.text);
        let masked = redact(&STANDARD, &case.path, &case.text);
        let seen: Vec<_> = case
            .secrets
            .iter()
            .filter(|secret| masked.contains(*secret))
            .collect();
        let lost: Vec<_> = case
            .kept
            .iter()
            .filter(|kept| !masked.contains(*kept))
            .collect();
        let lines = masked.lines().count() == case.text.lines().count();
        // What was redacted once is left alone the second time.
        assert_eq!(redact(&STANDARD, &case.path, &masked), masked);
        let formed = is_well_formed(&case.path, &masked);
        if !seen.is_empty() || !lost.is_empty() || !lines || !formed {
            wrong.push(format!("{}\n-> {masked}\n   seen {seen:?} lost {lost:?} lines {lines} well-formed {formed}", case.text));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} cases:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn what_is_useful_survives() {
    let mut wrong = Vec::new();
    for case in cases(include_str!("../../cases/redact/benign.yaml")) {
        let masked = redact(&STANDARD, &case.path, &case.text);
        if masked != case.text {
            wrong.push(format!("{}\n-> {masked}", case.text));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} cases:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Pieces of text that rules look for, so that random inputs are not only noise.
fn hostile_text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "password=",
            ";",
            "\n",
            "\"",
            "\\\"",
            "\"name\": \"",
            "user",
            "token",
            "\"value\": \"",
            "\",\n",
            "http://",
            "u:p@h",
            "/db",
            "@tcp(",
            ")/",
            " ",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\\",
            "secret_access_key",
            "\\\"name\\\":\\\"",
            "\\\",\\\"value\\\":\\\"",
            "é",
            "\u{212a}",
            "- ",
            "key: ",
            "value: ",
            "kind: Secret",
            "data:",
            "  ",
            "Bearer ",
            "eyJhbGciOi",
            "-----BEGIN RSA PRIVATE KEY-----",
            "\r\n",
            "\t",
            "data\": {",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| {
        let mut text = pieces.concat();
        // Not UTF-16, of which half a character cannot be redacted.
        if text.starts_with(b"\xfe\xff") || text.starts_with(b"\xff\xfe") {
            text.insert(0, b' ');
        }
        text
    })
}

proptest! {
    /// How the stream is cut makes no difference, and nothing panics.
    #[test]
    fn splits_do_not_matter(input in hostile_text(), step in 1usize..20) {
        for redactor in [&*TROUBLESHOOT, &*STANDARD, &*CUSTOM] {
            let whole = redact_in_steps(redactor, "a/b", &input, usize::MAX);
            let pieces = redact_in_steps(redactor, "a/b", &input, step);
            prop_assert_eq!(whole, pieces);
        }
    }

    /// Redaction does not add or remove lines; a line that holds no mask is byte-equal; and what comes out is longer
    /// than what went in by the masks at most, each in quotes where a document needs them; quotes in documents in strings of
    /// documents are escaped once more for each, five deep.
    #[test]
    fn only_masks_differ(input in hostile_text(), path in prop::sample::select(vec!["a/b", "a.json", "a.yaml"])) {
        let (out, report) = redact_in_steps(&STANDARD, path, &input, usize::MAX).expect("redacts");
        let masks: u64 = report.masks.values().sum();
        let quotes = if input.contains(&b'\\') { 2 << 5 } else { 4 };
        prop_assert!(
            out.len() as u64 <= input.len() as u64 + masks * (MASK.len() as u64 + quotes),
            "{:?}\n{:?}",
            String::from_utf8_lossy(&input),
            String::from_utf8_lossy(&out)
        );
        prop_assert!(masks > 0 || out == input);
        let lines = |text: &[u8]| text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
        let (before, after) = (lines(&input), lines(&out));
        prop_assert_eq!(before.len(), after.len());
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(before == after || memchr::memmem::find(after, MASK.as_bytes()).is_some());
        }
    }

    /// What was redacted once is left alone the second time: no line without a mask gets one. (A line with masks may get
    /// more of them: troubleshoot's expressions take a mask that others have set for the name or password that they
    /// look for, and what troubleshoot masks we mask.)
    #[test]
    fn redaction_is_idempotent(input in hostile_text(), path in prop::sample::select(vec!["a/b", "a.json", "a.yaml"])) {
        let (once, _) = redact_in_steps(&STANDARD, path, &input, usize::MAX).expect("redacts");
        let (twice, _) = redact_in_steps(&STANDARD, path, &once, usize::MAX).expect("redacts");
        let lines = |text: &[u8]| text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
        for (first, second) in lines(&once).iter().zip(lines(&twice)) {
            prop_assert!(
                *first == second || memchr::memmem::find(first, MASK.as_bytes()).is_some(),
                "{:?}\nonce:  {:?}\ntwice: {:?}",
                String::from_utf8_lossy(&input),
                String::from_utf8_lossy(&once),
                String::from_utf8_lossy(&twice)
            );
        }
    }

    /// No text before it and no text after it lets a secret through.
    #[test]
    fn planted_secrets_do_not_survive(
        before in hostile_text(),
        after in hostile_text(),
        planted in prop::sample::select(PLANTED),
        step in 1_usize..20,
    ) {
        let input = [&before, &b"\n"[..], planted.as_bytes(), b"\n", &after].concat();
        let (out, _) = redact_in_steps(&STANDARD, "a/b", &input, step).expect("redacts");
        prop_assert!(memchr::memmem::find(&out, b"Qv7canaryZ4k").is_none(), "{}", String::from_utf8_lossy(&out));
    }
}

#[test]
fn a_secret_behind_the_end_of_a_private_key_is_masked() {
    let text = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEC\n-----END RSA PRIVATE KEY----- password=hunter2hunter2\n";
    assert_eq!(
        redact(&STANDARD, "a/b", text),
        "-----BEGIN RSA PRIVATE KEY-----\n***HIDDEN***\n-----END RSA PRIVATE KEY----- password=***HIDDEN***\n"
    );
}

/// A mask that reaches beyond what YAML takes for a value is set all the same.
#[test]
fn blanks_and_comments_behind_a_value_save_no_secret() {
    for text in [
        "Set-Cookie: session=abcd1234efgh; ",
        "Set-Cookie: session=abcd1234efgh; \t \n",
        "Cookie: session=abcd1234 #efgh; \n",
        "- Set-Cookie: session=abcd1234efgh \r\n",
    ] {
        let (out, report) =
            redact_in_steps(&STANDARD, "a/b", text.as_bytes(), usize::MAX).expect("redacts");
        let shown = String::from_utf8_lossy(&out);
        assert!(!shown.contains("abcd1234"), "{shown:?}");
        assert!(!report.masks.is_empty(), "{shown:?}");
    }
}

/// Lines of something else that look like YAML with a quote that is left open: what they are does not change when a part of
/// them is masked.
#[test]
fn pairs_before_a_colon_are_no_keys() {
    for text in [
        "secret_access_key\"value\": \"secret_access_key\r\n\",\npassword=",
        "userpassword=\"name\": \"http://\r\npassword=",
        "secret_access_key  #-----BEGIN RSA PRIVATE KEY-----key: http://\"name\": \"a\n\"",
        // Nor is it a flag.
        "args:\n- -{\"a\"checksum/secret\":\"hunter2; hunter2\n- --b80\n",
        // What is left of a name of which a part was masked promises nothing.
        "env:\n- name: {\"data\":{\".dockerconfigjson\":\"{\\\"auSecrets: PRIVATE_KEY\n  value: b\n",
        // The colon that ends a key is not masked with what stands before it.
        "password:d_password: !!s:tr hunter3\nothe: x\n",
        "a_password: &base\n  b.org\":{\"username\":\"app\",\"password\":\"hunter2: !!c hunter3\n  hunter4\n  d: *e\n",
        "d:d_password:Rbase: &base\n  password:d_password: !!s:tr hunter3\n  othe!s\u{2cb}r hunter3\n  other: *pw\n",
    ] {
        let once = redact(&STANDARD, "a/b", text);
        assert_eq!(redact(&STANDARD, "a/b", &once), once, "{text:?}");
    }
}

/// What a line of a quoted value looks like does not end the object that has the value. An object with `stringData` is
/// taken for a Secret where it does not say what it is.
#[test]
fn lines_of_a_quoted_value_end_no_secret() {
    for (key, tail) in [("data", "kind: Secret\n"), ("stringData", "")] {
        for line in [
            "\t\tQv7canaryZ4k",
            "Qv7canaryZ4k",
            "Qv7canaryZ4k {\n  kind: ConfigMap\n Qv7canaryZ4k",
            "kind: ConfigMap\n Qv7canaryZ4k",
            "- Qv7canaryZ4k\n\tQv7canaryZ4k\n- b: Qv7canaryZ4k",
        ] {
            let text = format!(
                "{key}:\n  a: 'b\n{line}\n  it''s\n  Qv7canaryZ4k'\n  c: \"d\n{line} \\\" \\\n  Qv7canaryZ4k\"\n{tail}"
            );
            let shown = redact(&STANDARD, "a/b", &text);
            assert!(!shown.contains("Qv7canaryZ4k"), "{text}\n{shown}");
        }
    }
}

/// A document ends at a line break in a string, also behind a backslash: what is found in it lies in its lines.
#[test]
fn a_backslash_joins_no_lines() {
    let text = "{\"data\":{\".dockerconfigjson\":\"{\\\"auths\\\n\x06\":{\\\"Auth\\\":\"YXBwOmh1bnRlcjI=\"(\"s\"}}\n";
    for step in 1..text.len() {
        let (out, _) =
            redact_in_steps(&STANDARD, "a.json", text.as_bytes(), step).expect("redacts");
        let shown = String::from_utf8_lossy(&out);
        assert_eq!(shown.lines().count(), 2, "{shown}");
    }
}

/// In a string that holds them itself, which JSON does not allow, control characters are not escaped for a mask's sake.
#[test]
fn what_json_should_have_escaped_stays_as_it_was() {
    for between in ["\x12e:\x0b-", "\t.\t.\t.\t."] {
        let text = format!(
            "{{\"env\":[{{\"name\":\"P\x1cauthorization: AWS]-H{between} name: TLSIN__PVAT\x05_KEYMA\x03-SHA256 Cred\"name\":\"P\x1cauthorization: AWS4-H\x12env:\n"
        );
        let (out, report) =
            redact_in_steps(&STANDARD, "a/b", text.as_bytes(), usize::MAX).expect("redacts");
        let shown = String::from_utf8_lossy(&out);
        assert!(!report.masks.is_empty(), "{shown:?}");
        assert!(shown.contains(between), "{shown:?}");
    }
}

/// Lines with a secret that is recognised by its own line.
const PLANTED: &[&str] = &[
    "https://user:Qv7canaryZ4k@host/",
    "DB_PASSWORD=Qv7canaryZ4k",
    "postgres://app:Qv7canaryZ4k@db:5432/app",
    "Authorization: Bearer Qv7canaryZ4k0123456789",
    "{\"password\": \"Qv7canaryZ4k\"}",
];

//! What is written comes back, for us and for the programs that everybody has.

mod support;

use std::io::{Read, Seek as _, SeekFrom};
use std::sync::Arc;

use assay_bundle as bundle;
use bundle::archive::{Finished, LossKind};
use bundle::io::MemoryFile;
use bundle::manifest::{CollectorRecord, Gap, GapReason, Outcome};
use bundle::redact::RedactorSpec;
use bundle::{ArchiveWriter, Files, Profile, ReadError, Redactor, WriteError};
use support::{Result, manifest, path, reopen, text, write, writer};

fn samples() -> Vec<(String, Vec<u8>)> {
    let mut samples = vec![
        (
            "version.yaml".to_owned(),
            b"apiVersion: troubleshoot.sh/v1beta2\n".to_vec(),
        ),
        ("empty".to_owned(), Vec::new()),
        ("one".to_owned(), vec![b'x']),
        ("long.log".to_owned(), text(5_000_001, 1)),
        (
            format!("deep/{}/{}.json", "d".repeat(120), "n".repeat(150)),
            text(700_000, 2),
        ),
        ("ünï/cødé".to_owned(), text(600_000, 3)),
        ("record.log".to_owned(), text(1024, 4)),
        ("block.log".to_owned(), text(1 << 20, 5)),
        ("two-blocks.log".to_owned(), text(2 << 20, 6)),
        ("over-a-block.log".to_owned(), text((1 << 20) + 1, 7)),
    ];
    samples.extend((0..50_u64).map(|n| {
        (
            format!("pods/{n}.json"),
            text(usize::try_from(n * 997).unwrap_or(0), n + 10),
        )
    }));
    samples
}

#[test]
fn what_is_written_comes_back() -> Result {
    let (writer, file) = writer()?;
    for (name, bytes) in samples() {
        write(&writer, &name, &bytes)?;
    }
    writer.link(&path("app/long.log"), &path("long.log"))?;
    let live = writer.flush(Arc::new(file.clone()), manifest())?;
    write(&writer, "analysis.json", b"[]")?;
    let finished = writer.finish(&manifest())?;
    assert_eq!(
        finished,
        Finished {
            bytes: file.bytes().len() as u64,
            entries: samples().len() + 3,
            indexed: true
        }
    );
    let offline = reopen(&file)?;
    assert_eq!(offline.problems(), []);
    assert_eq!(offline.verify(), []);
    assert_eq!(offline.root(), Some("bundle-1"));
    for files in [&live, &offline] {
        for (name, bytes) in samples() {
            assert!(files.read(&name)?[..] == bytes, "{name}");
            assert_eq!(files.length(&name)?, bytes.len() as u64);
            let mut streamed = Vec::new();
            files.open(&name)?.read_to_end(&mut streamed)?;
            assert!(streamed == bytes, "{name}");
            let middle = bytes.len() / 2;
            let mut reader = files.open(&name)?;
            for place in [middle, 0, bytes.len(), middle] {
                let sought = reader.seek(SeekFrom::Start(place as u64))?;
                assert_eq!(sought, place as u64, "{name}");
                let mut rest = Vec::new();
                (&mut reader).take(70_000).read_to_end(&mut rest)?;
                assert!(
                    rest == bytes[place..(place + 70_000).min(bytes.len())],
                    "{name}"
                );
            }
            let range = files.read_range(&name, middle as u64, 70_000)?;
            assert!(
                range == bytes[middle..(middle + 70_000).min(bytes.len())],
                "{name}"
            );
        }
        assert_eq!(files.length("app/long.log")?, 5_000_001);
        assert!(matches!(
            files.read("analysis.json"),
            Err(ReadError::NotFound(_))
        ));
        assert_eq!(files.collected_at(), manifest().collected_at);
    }
    assert!(
        live.paths().eq(offline.paths()),
        "an analysis of the archive sees what the live one saw"
    );
    assert_eq!(
        live.manifest().map(|manifest| &manifest.tool),
        offline.manifest().map(|manifest| &manifest.tool)
    );
    assert_eq!(&offline.report("analysis.json")?[..], b"[]");
    Ok(())
}

#[test]
fn a_path_has_one_writer() -> Result {
    let (writer, file) = writer()?;
    let first = writer.file(&path("logs/a.log"))?;
    for taken in ["logs/a.log", "logs", "logs/a.log/b"] {
        assert!(
            matches!(writer.file(&path(taken)), Err(WriteError::Taken { .. })),
            "{taken}"
        );
        assert!(
            matches!(
                writer.link(&path(taken), &path("x")),
                Err(WriteError::Taken { .. })
            ),
            "{taken}"
        );
    }
    assert!(writer.contains(&path("logs/a.log")));
    drop(first);
    assert!(!writer.contains(&path("logs/a.log")));
    write(&writer, "logs/a.log", b"second attempt")?;
    let mut cut = writer.file(&path("b.log"))?;
    cut.write(b"begin")?;
    cut.cut(GapReason::Deadline, "after 5 s")?;
    let losses = writer
        .losses()
        .into_iter()
        .map(|loss| (loss.path.into(), loss.kind))
        .skip(6);
    let losses: Vec<(String, LossKind)> = losses.collect();
    assert_eq!(
        losses,
        [
            ("logs/a.log".to_owned(), LossKind::Dropped),
            (
                "b.log".to_owned(),
                LossKind::Cut {
                    reason: GapReason::Deadline,
                    detail: "after 5 s".to_owned()
                }
            ),
        ]
    );
    writer.finish(&manifest())?;
    let files = reopen(&file)?;
    assert_eq!(&files.read("logs/a.log")?[..], b"second attempt");
    assert_eq!(&files.read("b.log")?[..], b"begin");
    assert!(matches!(
        writer.file(&path("late")),
        Err(WriteError::Finished)
    ));
    assert!(matches!(
        writer.finish(&manifest()),
        Err(WriteError::Finished)
    ));
    Ok(())
}

/// A collector that did not get one thing.
fn record(gap: Gap) -> CollectorRecord {
    CollectorRecord {
        collector: "clusterResources".to_owned(),
        title: "cluster-resources".to_owned(),
        requested: true,
        outcome: Outcome::Partial,
        error: String::new(),
        duration_ms: 1,
        bytes: 0,
        files: 0,
        requests: 1,
        retries: 0,
        throttled_ms: 0,
        gaps: vec![gap],
    }
}

#[test]
fn a_gap_says_why_a_file_is_missing() {
    let gap = Gap {
        path: "cluster-resources/pods/*.json".to_owned(),
        reason: GapReason::Refused,
        detail: "403 Forbidden".to_owned(),
    };
    let mut manifest = manifest();
    manifest.collectors.push(record(gap.clone()));
    let files = Files::in_memory([(path("version.yaml"), Vec::new())], Some(manifest));
    let missing = files.read("cluster-resources/pods/shop.json");
    assert!(matches!(missing, Err(ReadError::Gap { gap: found, .. }) if found == gap));
    assert!(matches!(
        files.read("cluster-resources/nodes.json"),
        Err(ReadError::NotFound(_))
    ));
    assert_eq!(files.gaps("cluster-resources/*/shop.json").count(), 1);
    assert_eq!(files.gaps("*.yaml").count(), 0);
}

#[test]
fn globs_and_links_agree() -> Result {
    let (writer, file) = writer()?;
    write(&writer, "version.yaml", b"v")?;
    write(
        &writer,
        "cluster-resources/pods/logs/ns/pod/app.log",
        b"hello",
    )?;
    writer.link(
        &path("app/pod/app.log"),
        &path("cluster-resources/pods/logs/ns/pod/app.log"),
    )?;
    writer.link(&path("folder"), &path("cluster-resources/pods/logs/ns"))?;
    writer.link(&path("dangling"), &path("nowhere"))?;
    writer.link(&path("refused"), &path("secrets/a"))?;
    writer.link(&path("ring/a"), &path("ring/b"))?;
    writer.link(&path("ring/b"), &path("ring/a"))?;
    for n in 0..12 {
        writer.link(
            &path(&format!("chain/{n}")),
            &path(&format!("chain/{}", n + 1)),
        )?;
    }
    let mut manifest = manifest();
    manifest.collectors.push(record(Gap {
        path: "secrets/*".to_owned(),
        reason: GapReason::Refused,
        detail: "403 Forbidden".to_owned(),
    }));
    let live = writer.flush(Arc::new(file.clone()), manifest.clone())?;
    writer.finish(&manifest)?;
    for files in [live, reopen(&file)?] {
        let glob = |pattern: &str| -> Result<Vec<String>> {
            Ok(files.glob(pattern)?.into_iter().map(String::from).collect())
        };
        assert_eq!(glob("app/*/*.log")?, ["app/pod/app.log"]);
        assert_eq!(glob("folder/*/*.log")?, ["folder/pod/app.log"]);
        assert_eq!(glob("f*")?, Vec::<String>::new());
        assert_eq!(glob("version.yaml")?, ["version.yaml"]);
        assert_eq!(&files.read("app/pod/app.log")?[..], b"hello");
        assert_eq!(&files.read("folder/pod/app.log")?[..], b"hello");
        assert!(!files.contains("dangling"));
        let error = files.read("dangling").err().map(|error| error.to_string());
        assert_eq!(
            error.as_deref(),
            Some("dangling cannot be read: it is a link to nowhere, which is not in the bundle")
        );
        assert!(matches!(
            files.read("folder/pod/other.log"),
            Err(ReadError::NotFound(_))
        ));
        assert!(
            matches!(files.read("refused"), Err(ReadError::Gap { gap, .. }) if gap.path == "secrets/*")
        );
        let error = files.read("ring/a").err().map(|error| error.to_string());
        assert_eq!(
            error.as_deref(),
            Some(
                "ring/a cannot be read: it leads through links in a circle: ring/a → ring/b → ring/a"
            )
        );
        let error = files.read("chain/0").err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("more than 8 links")));
        assert!(files.glob("[").is_err());
    }
    Ok(())
}

#[test]
fn what_is_written_is_redacted_and_what_cannot_be_is_withheld() -> Result {
    let specs: Vec<RedactorSpec> = serde_json::from_value(serde_json::json!([
        {"name": "documents", "fileSelector": {"file": "deep.yaml"}, "removals": {"yamlPath": ["a.b"]}},
    ]))?;
    let redactor = Redactor::new(Profile::Troubleshoot, &specs)?;
    let file = MemoryFile::default();
    let writer = ArchiveWriter::new(Box::new(file.clone()), redactor, support::options())?;
    let secret = "hunter2-hunter2";
    let leak = format!("connecting to postgres://app:{secret}@db:5432/app\n");
    // In a short file, and across the blocks of a long one.
    write(&writer, "short.log", leak.as_bytes())?;
    write(
        &writer,
        "long.log",
        &[
            text(1_048_550, 1),
            leak.as_bytes().to_vec(),
            text(2_000_000, 2),
        ]
        .concat(),
    )?;
    let deep = format!("{}{secret}{}", "[".repeat(100_000), "]".repeat(100_000));
    write(&writer, "deep.yaml", deep.as_bytes())?;
    assert!(matches!(
        writer.losses().as_slice(),
        [bundle::archive::Loss {
            kind: LossKind::Withheld(_),
            ..
        }]
    ));
    let mut manifest = manifest();
    manifest.collectors.push(record(Gap {
        path: "cluster-resources/secrets/token=password/*".to_owned(),
        reason: GapReason::Failed,
        detail: leak.trim().to_owned(),
    }));
    let live = writer.flush(Arc::new(file.clone()), manifest.clone())?;
    writer.finish(&manifest)?;
    let offline = reopen(&file)?;
    assert_eq!(live.manifest(), offline.manifest());
    for files in [&live, &offline] {
        let gap = files
            .gaps("cluster-resources/secrets/token=password/a")
            .next();
        assert!(gap.is_some_and(|gap| gap.detail.contains("***") && !gap.detail.contains(secret)));
        for name in ["short.log", "long.log"] {
            let bytes = files.read(name)?;
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{name}");
            assert!(bytes.windows(3).any(|window| window == b"***"), "{name}");
        }
        let withheld = files.read("deep.yaml");
        assert!(
            matches!(withheld, Err(ReadError::Gap { gap, .. }) if gap.reason == GapReason::Withheld)
        );
        assert_eq!(files.gaps("*.yaml").count(), 1);
        let redaction = files
            .manifest()
            .map(|manifest| manifest.redaction.clone())
            .unwrap_or_default();
        assert_eq!(redaction.profile, "troubleshoot");
        assert!(redaction.masks.values().sum::<u64>() >= 2);
        assert_eq!(redaction.withheld.len(), 1);
    }
    let unpacked = tar_members(&file.bytes())?;
    let stub = unpacked
        .iter()
        .find(|(name, _)| name == "bundle-1/deep.yaml")
        .map(|(_, content)| content);
    assert!(
        stub.is_some_and(|stub| stub.starts_with("*** WITHHELD: ") && !stub.contains(secret)),
        "{stub:?}"
    );
    Ok(())
}

#[test]
fn without_redaction_the_manifest_says_so() -> Result {
    let file = MemoryFile::default();
    let writer = ArchiveWriter::unredacted(Box::new(file.clone()), support::options())?;
    write(&writer, "a", b"postgres://app:hunter2-hunter2@db:5432/app")?;
    writer.finish(&manifest())?;
    let files = reopen(&file)?;
    assert_eq!(
        &files.read("a")?[..],
        b"postgres://app:hunter2-hunter2@db:5432/app"
    );
    assert_eq!(
        files
            .manifest()
            .map(|manifest| manifest.redaction.profile.as_str()),
        Some("off")
    );
    Ok(())
}

/// The members as another reader sees them.
fn tar_members(archive: &[u8]) -> Result<Vec<(String, String)>> {
    let mut tar = tar::Archive::new(flate2::read::MultiGzDecoder::new(archive));
    let mut members = Vec::new();
    for entry in tar.entries()? {
        let mut entry = entry?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        let name = String::from_utf8(entry.path_bytes().into_owned())?;
        members.push((name, String::from_utf8_lossy(&bytes).into_owned()));
    }
    Ok(members)
}

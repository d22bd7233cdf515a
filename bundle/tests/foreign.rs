//! Archives that others made: read as far as they can be, and never trusted.

mod support;

use std::io::{Read, Write};
use std::sync::Arc;

use assay_bundle as bundle;
use bundle::archive::{Limits, OpenError, Problem};
use bundle::io::{ReadAt, Source, SourceEntry, SourceKind};
use bundle::{Files, ReadError};
use flate2::Compression;
use flate2::write::GzEncoder;
use support::{Result, manifest, open, open_with, path, text, write, writer};
use tar::{EntryType, Header};

/// A member: name, type, content or link target.
type Member<'a> = (&'a str, EntryType, &'a [u8]);

const FILE: EntryType = EntryType::Regular;

fn tar(members: &[Member<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, content) in members {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_mtime(1_600_000_000);
        let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
        // Written past the checks of the crate, which would refuse what these tests are about.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        if is_link {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content);
        }
        let content = if is_link { &[] } else { *content };
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).expect("memory takes all");
    }
    builder.into_inner().expect("memory takes all")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in members {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(*name, options).expect("memory takes all");
        writer.write_all(content).expect("memory takes all");
    }
    writer.finish().expect("memory takes all").into_inner()
}

fn names(files: &Files) -> Vec<&str> {
    files.paths().map(AsRef::as_ref).collect()
}

#[test]
fn every_kind_of_archive_is_read() -> Result {
    let long = text(3_000_000, 1);
    let members: [Member<'_>; 4] = [
        ("bundle/", EntryType::Directory, b""),
        ("bundle/version.yaml", FILE, b"v"),
        ("bundle/logs/long.log", FILE, &long),
        ("bundle/logs/short.log", FILE, b"short"),
    ];
    let plain = tar(&members);
    let two_streams = [gzip(&plain[..2000]), gzip(&plain[2000..])].concat();
    let files: Vec<(&str, &[u8])> = members[1..]
        .iter()
        .map(|(name, _, content)| (*name, *content))
        .collect();
    let zipped = zip(&files);
    let wrapped = zip(&[
        ("support-bundle.tar.gz", &gzip(&plain)),
        ("README.md", b"from CI"),
    ]);
    let wrapped_twice = tar(&[("artifact/bundle.zip", FILE, &wrapped)]);
    for (what, archive) in [
        ("tar", plain.clone()),
        ("tar.gz", gzip(&plain)),
        ("two gzip streams", two_streams),
        ("zip", zipped),
        ("tar.gz in zip", wrapped),
        ("tar.gz in zip in tar", wrapped_twice),
    ] {
        let files = open(archive)?;
        assert_eq!(files.root(), Some("bundle"), "{what}");
        assert_eq!(
            names(&files),
            ["logs/long.log", "logs/short.log", "version.yaml"],
            "{what}"
        );
        assert_eq!(files.problems(), [], "{what}");
        assert!(files.read("logs/long.log")?[..] == long, "{what}");
        assert_eq!(
            files.read_range("logs/long.log", 2_999_990, 100)?,
            long[2_999_990..],
            "{what}"
        );
        assert_eq!(&files.read("logs/short.log")?[..], b"short", "{what}");
        for beyond in [5, 6, u64::MAX] {
            let rest = files.read_range("logs/short.log", beyond, 100)?;
            assert_eq!(rest, b"", "{what}: from {beyond}");
        }
        assert_eq!(files.verify(), [], "{what}");
    }
    Ok(())
}

#[test]
fn what_leaves_the_bundle_is_refused_and_the_rest_is_read() -> Result {
    let files = open(gzip(&tar(&[
        ("bundle/version.yaml", FILE, b"v"),
        ("../evil", FILE, b"x"),
        ("/etc/passwd", FILE, b"x"),
        ("bundle/../../evil", FILE, b"x"),
        ("bundle/a\nb", FILE, b"x"),
        ("bundle/out", EntryType::Symlink, b"../../etc/passwd"),
        ("bundle/absolute", EntryType::Symlink, b"/etc/passwd"),
        ("bundle/sibling", EntryType::Symlink, b"../other/file"),
        ("bundle/back", EntryType::Symlink, b"../bundle/logs/a"),
        ("bundle/hard", EntryType::Link, b"bundle/version.yaml"),
        ("bundle/null", EntryType::Char, b""),
        ("bundle/disk", EntryType::Block, b""),
        ("bundle/pipe", EntryType::Fifo, b""),
        ("other/file", FILE, b"x"),
        ("bundle/logs/a", FILE, b"first"),
        ("bundle/logs/a", FILE, b"second"),
    ])))?;
    assert_eq!(names(&files), ["back", "logs/a", "version.yaml"]);
    assert_eq!(
        &files.read("logs/a")?[..],
        b"second",
        "as for every program that unpacks the archive"
    );
    assert_eq!(&files.read("back")?[..], b"second");
    let problems: Vec<String> = files.problems().iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            r#"refused "../evil": it holds a `..` segment"#,
            r#"refused "/etc/passwd": it is absolute"#,
            r#"refused "bundle/../../evil": it holds a `..` segment"#,
            r#"refused "bundle/a\nb": it holds a control character"#,
            r#"refused the link out to "../../etc/passwd": it leads out of the bundle"#,
            r#"refused the link absolute to "/etc/passwd": it leads out of the bundle"#,
            r#"refused the link sibling to "../other/file": it leads out of the bundle"#,
            "refused hard: it is a hard link",
            "refused null: it is a device",
            "refused disk: it is a device",
            "refused pipe: it is a pipe",
            "other/file lies outside of the bundle's folder and is not read",
            "logs/a is in the archive more than once; the last one counts",
        ]
    );
    Ok(())
}

#[test]
fn the_root_is_where_version_yaml_lies() -> Result {
    for (members, root) in [
        (&["a/x", "a/version.yaml"][..], Some("a")),
        (&["x", "version.yaml"], None),
        (&["ci/run/version.yaml", "ci/run/x"], Some("ci/run")),
        (&["a/deep/below/version.yaml", "a/x"], Some("a")),
        (&["a/x", "a/y"], Some("a")),
        (&["a/x", "b/y"], None),
    ] {
        let members: Vec<Member<'_>> = members
            .iter()
            .map(|name| (*name, FILE, &b"v"[..]))
            .collect();
        assert_eq!(open(tar(&members))?.root(), root, "{members:?}");
    }
    Ok(())
}

#[test]
fn caps_have_names() -> Result {
    let many: Vec<String> = (0..200).map(|n| format!("b/{n}")).collect();
    let members: Vec<Member<'_>> = many
        .iter()
        .map(|name| (name.as_str(), FILE, &b"x"[..]))
        .collect();
    let archive = gzip(&tar(&members));
    let limits = Limits {
        entries: 100,
        ..Limits::default()
    };
    assert!(matches!(
        open_with(archive.clone(), limits),
        Err(OpenError::TooManyEntries { limit: 100 })
    ));
    let limits = Limits {
        total_bytes: 10_000,
        ..Limits::default()
    };
    assert!(matches!(
        open_with(archive.clone(), limits),
        Err(OpenError::TooLarge { limit: 10_000 })
    ));
    let limits = Limits {
        document_bytes: 0,
        ..Limits::default()
    };
    let refused = open_with(archive, limits)?.read("7");
    assert!(
        matches!(refused, Err(ReadError::Unreadable { reason, .. }) if reason == "it has 1 bytes, a document may have 0")
    );
    let mut nested = tar(&[("version.yaml", FILE, b"v")]);
    for _ in 0..3 {
        nested = tar(&[("inner.tar", FILE, &nested)]);
    }
    assert!(matches!(
        open(nested),
        Err(OpenError::TooNested { limit: 2 })
    ));
    let two = zip(&[("a.tar.gz", b"x"), ("b.tar.gz", b"y")]);
    assert!(
        matches!(open(two), Err(OpenError::SeveralBundles(names)) if names == ["a.tar.gz", "b.tar.gz"])
    );
    Ok(())
}

#[test]
fn a_bomb_is_not_unpacked() {
    let limits = Limits {
        ratio_from_bytes: 1 << 20,
        ..Limits::default()
    };
    let zeros = vec![0; 2 << 20];
    let bomb = gzip(&tar(&[
        ("b/version.yaml", FILE, b"v"),
        ("b/zeros", FILE, &zeros),
    ]));
    assert!(matches!(
        open_with(bomb.clone(), limits),
        Err(OpenError::TooCompressed { limit: 250 })
    ));
    assert!(open(bomb).is_ok(), "so little does no harm");
}

#[test]
fn what_is_no_archive_is_told_apart() {
    for (bytes, expected) in [
        (&b""[..], "the file is empty"),
        (b"hello", "the file begins like none of them"),
        (
            b"\x28\xb5\x2f\xfd....",
            "it is compressed with zstd: unpack it first",
        ),
        (&gzip(b"hello"), "the archive holds no file"),
        (&gzip(&[b'x'; 600]), "it holds no tar archive"),
        (&gzip(&[0; 1024]), "the archive holds no file"),
        (b"PK\x03\x04....", "the zip file cannot be read"),
    ] {
        let error = open(bytes.to_vec()).err().map(|error| error.to_string());
        assert!(
            error.as_ref().is_some_and(|error| error.contains(expected)),
            "{expected}: {error:?}"
        );
    }
}

#[test]
fn a_format_of_another_time_is_named() -> Result {
    let with = |major: u32, minor: u32| {
        let mut manifest = manifest();
        manifest.format.major = major;
        manifest.format.minor = minor;
        manifest.tool = "assay 9.1".to_owned();
        let text = serde_json::to_vec(&manifest).expect("JSON");
        open(tar(&[
            ("b/version.yaml", FILE, b"v"),
            ("b/manifest.json", FILE, &text),
        ]))
    };
    assert!(matches!(with(0, 9), Err(OpenError::TooOld { tool, .. }) if tool == "assay 9.1"));
    assert!(matches!(with(2, 0), Err(OpenError::TooNew { tool, .. }) if tool == "assay 9.1"));
    assert_eq!(with(1, 0)?.problems(), []);
    assert!(matches!(
        with(1, 1)?.problems(),
        [Problem::NewerFormat { .. }]
    ));
    let broken = open(tar(&[
        ("b/version.yaml", FILE, b"v"),
        ("b/manifest.json", FILE, b"{"),
    ]))?;
    assert!(matches!(broken.problems(), [Problem::Manifest { .. }]));
    Ok(())
}

/// A folder in memory.
struct Folder(Vec<(&'static str, SourceKind, &'static [u8])>);

impl Source for Folder {
    fn entries(&self) -> std::io::Result<Vec<SourceEntry>> {
        let entries = self.0.iter().map(|(path, kind, _)| SourceEntry {
            path: (*path).to_owned(),
            kind: kind.clone(),
            modified: 1_600_000_000,
        });
        Ok(entries.collect())
    }

    fn open(&self, path: &str) -> std::io::Result<Arc<dyn ReadAt>> {
        let member = self.0.iter().find(|(name, ..)| *name == path);
        let (_, _, bytes) = member.ok_or(std::io::ErrorKind::NotFound)?;
        Ok(Arc::new(bytes.to_vec()))
    }
}

#[test]
fn a_folder_is_a_bundle() -> Result {
    let folder = Folder(vec![
        ("version.yaml", SourceKind::File(1), b"v"),
        ("logs/a.log", SourceKind::File(5), b"hello"),
        (
            "app/a.log",
            SourceKind::Link("../logs/a.log".to_owned()),
            b"",
        ),
        ("out", SourceKind::Link("../../etc".to_owned()), b""),
        ("socket", SourceKind::Other, b""),
    ]);
    let files = Files::folder(Arc::new(folder), Limits::default())?;
    assert_eq!(names(&files), ["app/a.log", "logs/a.log", "version.yaml"]);
    assert_eq!(&files.read("app/a.log")?[..], b"hello");
    let mut streamed = String::new();
    files.open("app/a.log")?.read_to_string(&mut streamed)?;
    assert_eq!(streamed, "hello");
    assert_eq!(files.read_range("app/a.log", 3, 10)?, b"lo");
    assert_eq!(files.collected_at().as_second(), 1_600_000_000);
    assert_eq!(files.problems().len(), 2);
    Ok(())
}

#[test]
fn an_index_that_lies_is_not_believed() -> Result {
    let (writer, file) = writer()?;
    write(&writer, "version.yaml", b"v")?;
    write(&writer, "a.log", b"aaaa")?;
    write(&writer, "b.log", b"bbbb")?;
    writer.finish(&manifest())?;
    let honest = file.bytes();
    // The archive of another run with this one's index behind it.
    let (other, other_file) = support::writer()?;
    write(&other, "version.yaml", b"v")?;
    write(&other, "a.log", b"bbbb")?;
    write(&other, "c.log", b"cccc, longer")?;
    write(&other, "d.log", &text(2000, 1))?;
    other.finish(&manifest())?;
    let other = other_file.bytes();
    let index_of = |bytes: &[u8]| {
        let digits =
            std::str::from_utf8(&bytes[bytes.len() - 35..bytes.len() - 19]).expect("digits");
        usize::from_str_radix(digits, 16).expect("digits")
    };
    let mut forged = other[..index_of(&other)].to_vec();
    let index = forged.len();
    forged.extend_from_slice(&honest[index_of(&honest)..honest.len() - 51]);
    let mut footer = honest[honest.len() - 51..].to_vec();
    footer[16..32].copy_from_slice(format!("{index:016x}").as_bytes());
    forged.extend_from_slice(&footer);
    let files = open(forged)?;
    assert!(
        matches!(files.problems(), [Problem::Index { .. }]),
        "{:?}",
        files.problems()
    );
    assert_eq!(names(&files), ["a.log", "c.log", "d.log", "version.yaml"]);
    assert_eq!(&files.read("c.log")?[..], b"cccc, longer");
    assert!(!files.contains(path("b.log").as_str()));
    Ok(())
}

#[test]
fn an_index_that_renames_is_not_believed_where_it_matters() -> Result {
    let (writer, file) = writer()?;
    write(&writer, "version.yaml", b"v")?;
    write(&writer, "a.log", b"aaaa")?;
    write(&writer, "b.log", b"bbbb")?;
    writer.link(&path("to-a"), &path("a.log"))?;
    writer.finish(&manifest())?;
    let bytes = file.bytes();
    let digits = std::str::from_utf8(&bytes[bytes.len() - 35..bytes.len() - 19])?;
    let index = usize::from_str_radix(digits, 16)?;
    let mut toc = Vec::new();
    flate2::read::GzDecoder::new(&bytes[index..]).read_to_end(&mut toc)?;
    // Names and targets change places; every length stays, so that the layout holds.
    let text = String::from_utf8(toc[512..].to_vec())?;
    let lie = text
        .replace("/a.log\"", "/x.log\"")
        .replace("/b.log\"", "/a.log\"")
        .replace("\"a.log\"", "\"x.log\"");
    assert_ne!(lie, text);
    toc.truncate(512);
    toc.extend_from_slice(lie.as_bytes());
    let forged = [&bytes[..index], &gzip(&toc), &bytes[bytes.len() - 51..]].concat();
    let files = open(forged)?;
    assert_eq!(files.problems(), []);
    for name in ["a.log", "x.log", "to-a"] {
        let error = files.read(name).err().map(|error| error.to_string());
        assert!(
            error
                .as_ref()
                .is_some_and(|error| error.contains("another member")),
            "{name}: {error:?}"
        );
        assert!(
            files.open(name).is_err() && files.read_range(name, 0, 1).is_err(),
            "{name}"
        );
    }
    assert_eq!(files.verify().len(), 3);
    Ok(())
}

#[test]
fn links_to_folders_do_not_multiply_without_end() -> Result {
    let mut names: Vec<(String, EntryType)> = vec![("b/version.yaml".to_owned(), FILE)];
    names.extend((0..1500).map(|n| (format!("b/f/{n}"), FILE)));
    names.extend((0..1500).map(|n| (format!("b/l/{n}"), EntryType::Symlink)));
    let members: Vec<Member<'_>> = names
        .iter()
        .map(|(name, kind)| {
            (
                name.as_str(),
                *kind,
                if *kind == FILE { &b""[..] } else { b"../f" },
            )
        })
        .collect();
    let files = open(tar(&members))?;
    assert_eq!(files.glob("f/*")?.len(), 1500);
    assert_eq!(files.read("l/7/9")?.len(), 0);
    let error = files.glob("*/*/*").err().map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.contains("too many files")));
    Ok(())
}

#[test]
fn a_truncated_zip_is_read_as_far_as_it_goes() -> Result {
    let logs: Vec<Vec<u8>> = (0..10).map(|n| text(50_000, n)).collect();
    let names: Vec<String> = (0..10).map(|n| format!("b/{n}.log")).collect();
    let members: Vec<(&str, &[u8])> = names
        .iter()
        .map(String::as_str)
        .zip(logs.iter().map(Vec::as_slice))
        .collect();
    let whole = zip(&members);
    let files = open(whole[..whole.len() * 2 / 3].to_vec())?;
    let readable = (0..10)
        .take_while(|n| files.read(&format!("{n}.log")).is_ok())
        .count();
    assert!((5..10).contains(&readable), "{readable}");
    assert_eq!(
        files.problems(),
        [Problem::Truncated {
            recovered: readable
        }]
    );
    for (n, log) in logs.iter().enumerate().take(readable) {
        assert!(files.read(&format!("{n}.log"))?[..] == log[..]);
    }
    Ok(())
}

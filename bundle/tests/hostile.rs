//! Archives made to do harm: each trick by its name, what is said of it, and that nothing else is lost.

mod support;

use std::io::{Read as _, Write as _};

use assay_bundle as bundle;
use bundle::archive::{Limits, OpenError, Problem};
use bundle::{Files, ReadError};
use flate2::Compression;
use flate2::write::GzEncoder;
use support::{Result, manifest, open, open_with, write, writer};
use tar::{EntryType, Header};

const RECORD: usize = 512;

/// One member of a tar stream: header, content, padding.
fn member(kind: EntryType, name: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    // Written past the checks of the crate, which would refuse what these tests are about.
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = [header.as_bytes(), content].concat();
    bytes.resize(bytes.len().next_multiple_of(RECORD), 0);
    bytes
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    member(EntryType::Regular, name.as_bytes(), content)
}

/// An extended header of PAX.
fn extended(kind: EntryType, records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length += 1;
        }
        write!(body, "{length} {key}=").expect("memory takes all");
        body.extend_from_slice(value);
        body.push(b'\n');
    }
    member(kind, b"pax", &body)
}

fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    extended(EntryType::XHeader, records)
}

/// A tar stream with a bundle's mark before these members, and an end.
fn tar(members: &[Vec<u8>]) -> Vec<u8> {
    let end = vec![0; 2 * RECORD];
    [&[file("b/version.yaml", b"v")], members, &[end]]
        .concat()
        .concat()
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

/// Where `part` begins for the `nth` time.
fn at(bytes: &[u8], part: &[u8], nth: usize) -> usize {
    let found = memchr::memmem::find_iter(bytes, part).nth(nth);
    found.expect("it is there")
}

fn names(files: &Files) -> Vec<&str> {
    files.paths().map(AsRef::as_ref).collect()
}

fn said(files: &Files) -> Vec<String> {
    files.problems().iter().map(ToString::to_string).collect()
}

#[test]
fn names_that_lead_out_on_windows_are_refused() -> Result {
    let hostile = [
        ("C:\\evil", "it names a drive of Windows"),
        ("b/C:evil", "it names a drive of Windows"),
        (
            "\\\\server\\share\\evil",
            "it is absolute on Windows, or names another machine there",
        ),
        ("b\\..\\..\\evil", "it holds a `..` segment"),
        ("b/..\\evil", "it holds a `..` segment"),
    ];
    let mut members: Vec<_> = hostile.iter().map(|(name, _)| file(name, b"x")).collect();
    // What systemd calls things leads nowhere.
    members.push(file("b/dev-disk\\x2dby.device", b"unit"));
    let mut zipped: Vec<(&str, &[u8])> =
        hostile.iter().map(|(name, _)| (*name, &b"x"[..])).collect();
    zipped.extend([
        ("b/version.yaml", &b"v"[..]),
        ("b/dev-disk\\x2dby.device", b"unit"),
    ]);
    for archive in [gzip(&tar(&members)), zip(&zipped)] {
        let files = open(archive)?;
        assert_eq!(names(&files), ["dev-disk\\x2dby.device", "version.yaml"]);
        let expected = hostile.map(|(name, reason)| format!("refused {name:?}: {reason}"));
        assert_eq!(said(&files), expected);
    }
    Ok(())
}

#[test]
fn links_lead_out_in_no_way_and_go_round_no_circle() -> Result {
    let link = |name: &str, target: &[u8]| {
        let records: [(&str, &[u8]); 1] = [("linkpath", target)];
        let link = member(EntryType::Symlink, name.as_bytes(), b"");
        [pax(&records), link].concat()
    };
    let files = open(tar(&[
        link("b/up", b"../../etc/passwd"),
        link("b/deep/up", b"../../../etc/passwd"),
        link("b/root", b"/etc/passwd"),
        link("b/nul", b"logs\0/../../../etc"),
        link("b/drive", b"C:\\evil"),
        link("b/unc", b"\\\\server\\share"),
        link("b/latin", b"caf\xe9"),
        link("b/one", b"two"),
        link("b/two", b"one"),
        link("b/itself", b"itself/below"),
    ]))?;
    assert_eq!(names(&files), ["itself", "one", "two", "version.yaml"]);
    let problems = files.problems();
    let [links @ .., latin] = problems else {
        return Err("no problems".into());
    };
    assert_eq!(links.len(), 6);
    for link in links {
        assert!(matches!(link, Problem::UnsafeLink { .. }), "{link}");
    }
    assert_eq!(
        latin.to_string(),
        "refused latin: it is a link whose target is no path"
    );
    for (name, expected) in [
        ("one", "links in a circle"),
        ("itself", "more than 8 links"),
        ("itself/x", "more than 8 links"),
    ] {
        let error = files.read(name).err().map(|error| error.to_string());
        let error = error.unwrap_or_default();
        assert!(error.contains(expected), "{name}: {error}");
    }
    // What was refused is not known to be absent.
    for name in ["up", "latin", "drive/x"] {
        assert!(
            matches!(files.read(name), Err(ReadError::Gap { .. })),
            "{name}"
        );
    }
    Ok(())
}

#[test]
fn extended_headers_fool_nobody() -> Result {
    let content = [b'x'; 700];
    // A header that claims less than there is: what lies beyond is no member of its own.
    let hidden = file("b/hidden", b"planted");
    let mut cover = [&content[..], &[0; RECORD * 2 - 700], &hidden].concat();
    let size = cover.len().to_string();
    cover = [member(EntryType::Regular, b"b/cover", b""), cover].concat();
    cover = [pax(&[("size", size.as_bytes())]), cover].concat();
    let long = vec![b'n'; 5000];
    let files = open(tar(&[
        cover,
        pax(&[("path", b"b/first"), ("path", b"b/last")]),
        file("b/plain", b"renamed"),
        pax(&[("path", b"b/nul\0/x")]),
        file("b/x", b""),
        pax(&[("path", b"b/caf\xe9"), ("hdrcharset", b"BINARY")]),
        file("b/x", b""),
        pax(&[("path", &long)]),
        file("b/x", b""),
        pax(&[("size", b"-1")]),
        file("b/number", b"four"),
        pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.name", b"b/sparse")]),
        file("b/sparse", b"1\n0\n"),
        member(EntryType::GNUSparse, b"b/old-sparse", b"xx"),
        member(EntryType::XHeader, b"pax", b"99 path=b/cut\n"),
        file("b/after", b"after"),
        extended(EntryType::XGlobalHeader, &[("comment", b"a commit")]),
        extended(EntryType::XGlobalHeader, &[("path", b"b/everything")]),
        file("b/end", b"end"),
    ]))?;
    assert_eq!(
        names(&files),
        ["after", "cover", "end", "last", "number", "version.yaml"]
    );
    assert_eq!(files.length("cover")?.to_string(), size);
    assert_eq!(&files.read("last")?[..], b"renamed");
    assert_eq!(&files.read("number")?[..], b"four");
    let problems = said(&files);
    let damaged = |problem: &str, reason: &str| {
        problem.starts_with("the archive at byte ") && problem.ends_with(reason)
    };
    let [size, cut, global, latin, long, nul, sparse, old_sparse] = &in_kinds(&problems)[..] else {
        return Err(format!("{problems:#?}").into());
    };
    assert!(
        damaged(size, "an extended header has a size that is no number"),
        "{size}"
    );
    assert!(
        damaged(cut, "an extended header has a record that cannot be read"),
        "{cut}"
    );
    assert!(
        damaged(
            global,
            "a global extended header says what only a member's own may say"
        ),
        "{global}"
    );
    assert_eq!(nul, r#"refused "b/nul\0/x": it holds a control character"#);
    assert_eq!(latin, "refused \"b/caf\u{fffd}\": it is not UTF-8");
    assert!(long.starts_with("refused \"nnnn") && long.ends_with("longer than 4,096 bytes"));
    assert_eq!(sparse, "refused sparse: it is a sparse file");
    assert_eq!(old_sparse, "refused old-sparse: it is a sparse file");
    Ok(())
}

/// What is damaged before what is refused by its name before what is refused by its kind.
fn in_kinds(problems: &[String]) -> Vec<String> {
    let rank = |problem: &String| match problem {
        damaged if damaged.starts_with("the archive") => 0,
        name if name.contains('"') => 1,
        _ => 2,
    };
    let mut problems = problems.to_vec();
    problems.sort_by_key(rank);
    problems
}

#[test]
fn an_extended_header_without_end_is_passed_over() -> Result {
    let huge = vec![b'7'; 3 << 20];
    let files = open(tar(&[
        member(EntryType::XHeader, b"pax", &huge),
        file("b/after", b"after"),
        member(EntryType::GNULongName, b"name", &huge),
        file("b/last", b"last"),
    ]))?;
    assert_eq!(names(&files), ["after", "last", "version.yaml"]);
    assert_eq!(files.problems().len(), 2);
    Ok(())
}

#[test]
fn a_bomb_in_a_bomb_is_one_bomb() {
    // Each of the two archives keeps to the ratio; together they do not.
    let limits = Limits {
        ratio: 100,
        ratio_from_bytes: 64 << 10,
        ..Limits::default()
    };
    let noise = support::text(2000, 1);
    let lines = noise.repeat(4_000_000 / noise.len());
    let inner = gzip(&tar(&[file("b/logs/app.log", &lines)]));
    let times = lines.len() / inner.len();
    assert!((50..1030).contains(&times), "{times}");
    let inner_only = Limits {
        ratio: times as u64 + 50,
        ..limits
    };
    assert!(open_with(inner.clone(), inner_only).is_ok());
    let outer = gzip(&[file("bundle.tar.gz", &inner.repeat(1)), vec![0; 1024]].concat());
    assert!(outer.len() < inner.len());
    assert!(matches!(
        open_with(outer.clone(), inner_only),
        Err(OpenError::TooCompressed { .. })
    ));
    let generous = Limits {
        ratio: 1_000_000,
        ..limits
    };
    assert!(open_with(outer, generous).is_ok());
}

#[test]
fn what_follows_an_archive_s_end_is_named() -> Result {
    let first = tar(&[file("b/first", b"first")]);
    let second = tar(&[file("b/second", b"second")]);
    let concatenated = [
        gzip(&[first.clone(), second.clone()].concat()),
        [gzip(&first), gzip(&second)].concat(),
        [&first[..], &[0; 15 * RECORD], &second].concat(),
    ];
    for archive in concatenated {
        let files = open(archive)?;
        assert_eq!(names(&files), ["first", "version.yaml"]);
        assert_eq!(files.problems(), [Problem::Continued]);
        assert!(matches!(files.read("second"), Err(ReadError::Gap { .. })));
    }
    // Padding is none, and neither is anything that is no archive.
    for rest in [vec![0; 18 * RECORD], vec![b'x'; 5000]] {
        let files = open(gzip(&[first.clone(), rest].concat()))?;
        assert_eq!(files.problems(), []);
    }
    Ok(())
}

/// What makes a lie of a zip file.
type Forge<'a> = &'a dyn Fn(&mut Vec<u8>);

#[test]
fn a_zip_file_that_says_two_things_is_not_believed() -> Result {
    let honest = zip(&[
        ("b/version.yaml", b"v"),
        ("b/logs/app.log", b"planted planted planted"),
        ("b/other", b"other"),
    ]);
    let central = |name: &str| at(&honest, name.as_bytes(), 1) - 46;
    let local = |name: &str| at(&honest, name.as_bytes(), 0) - 30;
    let differs =
        "logs/app.log is damaged: its own header and the directory of the zip file differ";
    let shares =
        |name: &str| format!("{name} is damaged: its bytes are those of another member, too");
    let cases: [(&str, Forge<'_>, Vec<String>); 5] = [
        (
            "another name",
            &|zip| zip[local("b/logs/app.log") + 30..][..14].copy_from_slice(b"b/logs/foo.log"),
            vec![format!("b/{differs}")],
        ),
        (
            "another size",
            &|zip| zip[local("b/logs/app.log") + 22] = 3,
            vec![format!("b/{differs}")],
        ),
        (
            "no header",
            &|zip| zip[local("b/logs/app.log")] = b'X',
            vec![
                "b/logs/app.log is damaged: invalid Zip archive: Invalid local file header"
                    .to_owned(),
            ],
        ),
        (
            "an overlap",
            &|zip| {
                // The directory gives `logs/app.log` so many bytes that they are those of `other`, too.
                let more = 60_u32.to_le_bytes();
                zip[central("b/logs/app.log") + 20..][..4].copy_from_slice(&more);
                zip[local("b/logs/app.log") + 18..][..4].copy_from_slice(&more);
            },
            vec![shares("b/logs/app.log"), shares("b/other")],
        ),
        (
            "encrypted",
            &|zip| {
                zip[central("b/logs/app.log") + 8] |= 1;
                zip[local("b/logs/app.log") + 6] |= 1;
            },
            vec!["refused logs/app.log: it is encrypted".to_owned()],
        ),
    ];
    for (name, forge, expected) in cases {
        let mut forged = honest.clone();
        forge(&mut forged);
        assert_ne!(forged, honest, "{name}");
        let files = open(forged)?;
        assert_eq!(said(&files), expected, "{name}");
        assert!(!names(&files).contains(&"logs/app.log"), "{name}");
        assert!(
            matches!(files.read("logs/app.log"), Err(ReadError::Gap { .. })),
            "{name}: what is refused is not known to be absent"
        );
        assert_eq!(&files.read("version.yaml")?[..], b"v", "{name}");
    }
    let slip = open(zip(&[
        ("b/version.yaml", b"v"),
        ("../../evil", b"x"),
        ("b/../../evil", b"x"),
        ("/etc/evil", b"x"),
    ]))?;
    assert_eq!(names(&slip), ["version.yaml"]);
    assert_eq!(slip.problems().len(), 3);
    Ok(())
}

/// An archive of ours, and where its index begins.
fn ours() -> Result<(Vec<u8>, usize)> {
    let (writer, file) = writer()?;
    write(&writer, "version.yaml", b"v")?;
    write(&writer, "a.log", b"aaaa")?;
    write(&writer, "b.log", &support::text(2_500_000, 1))?;
    writer.finish(&manifest())?;
    let bytes = file.bytes();
    let digits = std::str::from_utf8(&bytes[bytes.len() - 35..bytes.len() - 19])?;
    let index = usize::from_str_radix(digits, 16)?;
    Ok((bytes, index))
}

#[test]
fn an_index_that_points_elsewhere_is_not_used() -> Result {
    let (honest, index) = ours()?;
    let expected = open(honest.clone())?;
    let with_offset = |offset: usize| {
        let mut forged = honest.clone();
        let at = forged.len() - 35;
        forged[at..at + 16].copy_from_slice(format!("{offset:016x}").as_bytes());
        forged
    };
    let mut toc = Vec::new();
    flate2::read::GzDecoder::new(&honest[index..]).read_to_end(&mut toc)?;
    let text = String::from_utf8(toc[RECORD..].to_vec())?;
    let text = text.trim_end_matches('\0');
    let with_index = |text: &str| {
        let tar = member(EntryType::Regular, b"stargz.index.json", text.as_bytes());
        [&honest[..index], &gzip(&tar), &honest[honest.len() - 51..]].concat()
    };
    assert!(
        said(&open(with_index(text))?).is_empty(),
        "only lies are refused"
    );
    let chunk = text.find("\"offset\":").expect("an offset") + 9;
    let outside = format!("{}9999999{}", &text[..chunk], &text[chunk..]);
    let overlap = text.replacen("\"chunkOffset\":", "\"chunkOffset\":1", 1);
    let size = text.replacen("\"size\":2500000", "\"size\":18446744073709551615", 1);
    let first = text.find("{\"name\"").expect("an entry");
    let twice = format!(
        "{}{},{}",
        &text[..first],
        "{\"name\":\"x\",\"type\":\"reg\",\"modtime\":\"1970-01-01T00:00:00Z\"}",
        &text[first..]
    );
    let many = format!(
        "{{\"version\":1,\"entries\":[{}{{}}]}}",
        "{\"name\":\"\",\"type\":\"reg\"},".repeat(250_000)
    );
    for (name, forged) in [
        ("at the start", with_offset(0)),
        ("inside a block", with_offset(index - 7)),
        ("an offset outside", with_index(&outside)),
        ("chunks that overlap", with_index(&overlap)),
        ("a size beyond all", with_index(&size)),
        ("an entry more", with_index(&twice)),
        ("entries without end", with_index(&many)),
        (
            "another version",
            with_index(&text.replacen("\"version\":1", "\"version\":2", 1)),
        ),
        ("no JSON", with_index("{")),
    ] {
        let files = open(forged)?;
        assert!(
            matches!(files.problems(), [Problem::Index { .. }]),
            "{name}: {:?}",
            said(&files)
        );
        assert!(files.paths().eq(expected.paths()), "{name}");
        for path in expected.paths() {
            let path = path.as_str();
            assert!(files.read(path)? == expected.read(path)?, "{name}: {path}");
        }
    }
    // Beyond the end there is no footer that means anything.
    let files = open(with_offset(usize::MAX >> 1))?;
    assert!(files.paths().eq(expected.paths()));
    Ok(())
}

#[test]
fn an_archive_of_more_files_than_an_index_holds_has_none_and_is_whole() -> Result {
    let (writer, file) = writer()?;
    let count = 200_001;
    for n in 0..count {
        writer.link(
            &support::path(&format!("l/{n}")),
            &support::path("version.yaml"),
        )?;
    }
    write(&writer, "version.yaml", b"v")?;
    assert!(!writer.finish(&manifest())?.indexed);
    let files = open(file.bytes())?;
    assert_eq!(files.problems(), []);
    assert_eq!(files.paths().count(), count + 1);
    Ok(())
}

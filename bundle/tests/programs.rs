//! GNU tar (or any other) reads what we write, to the last byte, and sees no index.

mod support;

use std::process::Command;

use support::{Result, manifest, path, text, write, writer};

#[test]
fn tar_unpacks_what_we_write() -> Result {
    let (writer, file) = writer()?;
    let deep = format!("deep/{}/{}.json", "d".repeat(120), "n".repeat(150));
    let files = [
        ("version.yaml", b"v".to_vec()),
        ("logs/long.log", text(2_500_000, 1)),
        ("empty", Vec::new()),
        (deep.as_str(), text(1000, 2)),
        ("ünï/cødé", text(513, 3)),
    ];
    for (name, bytes) in &files {
        write(&writer, name, bytes)?;
    }
    writer.link(&path("app/long.log"), &path("logs/long.log"))?;
    writer.finish(&manifest())?;

    let folder = tempfile::tempdir()?;
    let archive = folder.path().join("bundle.tar.gz");
    std::fs::write(&archive, file.bytes())?;
    let unpacked = Command::new("tar")
        .arg("xzf")
        .arg(&archive)
        .current_dir(&folder)
        .output()?;
    assert!(
        unpacked.status.success() && unpacked.stderr.is_empty(),
        "{unpacked:?}"
    );
    let root = folder.path().join("bundle-1");
    for (name, bytes) in &files {
        assert!(std::fs::read(root.join(name))? == *bytes, "{name}");
    }
    assert!(std::fs::read(root.join("app/long.log"))? == files[1].1);
    let listed = Command::new("tar")
        .arg("tzf")
        .arg(&archive)
        .env("LC_ALL", "C.UTF-8")
        .output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let names: Vec<&str> = listed.lines().collect();
    assert_eq!(names.len(), files.len() + 2, "{names:?}");
    assert_eq!(names.first(), Some(&"bundle-1/version.yaml"));
    assert_eq!(
        names.last(),
        Some(&"bundle-1/manifest.json"),
        "the index is no member"
    );
    Ok(())
}

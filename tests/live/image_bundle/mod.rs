//! Archives of images as real tools write them: skopeo, crane, and the storage of a registry after a push; and what a
//! transfer can do to them.

mod docker;
mod embedded;
mod layout;
mod need;
mod nodes;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::TempDir;

use crate::fixture::{Run, from_rig};
use crate::servers::{Server, free_port, program, wait_for_port};
use layout::Layout;

/// What is done to an archive's members.
type Damage<'a> = &'a dyn Fn(&mut Vec<(String, Vec<u8>)>);

const WEB: &str = "registry.example.com/shop/web:1.0";
const API: &str = "registry.example.com/shop/api:2.0";

/// What a run of `assay airgap verify` said.
struct Said {
    code: Option<i32>,
    report: Value,
}

impl From<Run> for Said {
    fn from(run: Run) -> Self {
        Self {
            code: run.code,
            report: run.json(),
        }
    }
}

impl Said {
    /// The ids of findings with this verdict, without the analyzer's name.
    fn ids(&self, verdict: &str) -> BTreeSet<String> {
        let findings = self.report[verdict].as_array().into_iter().flatten();
        findings
            .filter_map(|finding| finding["id"].as_str()?.strip_prefix("imageBundle/"))
            .map(str::to_owned)
            .collect()
    }

    fn message(&self, verdict: &str, id: &str) -> &str {
        let findings = self.report[verdict].as_array().into_iter().flatten();
        let id = format!("imageBundle/{id}");
        findings
            .filter(|finding| finding["id"] == *id)
            .find_map(|finding| finding["message"].as_str())
            .unwrap_or_else(|| panic!("no {verdict} {id}: {:#}", self.report))
    }

    fn is_pass(&self) {
        assert_eq!(self.code, Some(0), "{:#}", self.report);
    }
}

/// Runs the binary in a folder, with a file as its standard input where one is given.
fn verify(folder: &Path, arguments: &[&str], input: Option<&Path>) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
    command
        .args(["airgap", "verify", "--quiet", "--format", "json"])
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("TMPDIR", folder);
    match input {
        Some(path) => command.stdin(File::open(path).expect("the input")),
        None => command.stdin(Stdio::null()),
    };
    let output = command.output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let report = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!(
            "{error}: {text:?}; {}",
            String::from_utf8_lossy(&output.stderr)
        )
    });
    Said {
        code: output.status.code(),
        report,
    }
}

/// Runs a tool of the rig to its end.
fn tool(name: &str, folder: &Path, arguments: &[&str]) {
    let output = Command::new(from_rig(name))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .env("XDG_RUNTIME_DIR", folder)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
    assert!(
        output.status.success(),
        "{name} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn skopeo(folder: &Path, arguments: &[&str]) {
    let mut all = vec!["--insecure-policy"];
    all.extend(arguments);
    tool("ASSAY_RIG_SKOPEO", folder, &all);
}

/// A folder with a layout of two images for two platforms.
fn prepared() -> TempDir {
    let folder = TempDir::with_prefix("assay-images-").expect("a folder");
    Layout::new(&folder.path().join("layout"))
        .image(WEB, &["amd64", "arm64"])
        .image(API, &["amd64", "arm64"]);
    folder
}

/// Debian's distribution 2.8 with its storage below `images/`, as KOTS has it.
fn registry(folder: &Path) -> (Server, u16) {
    let port = free_port();
    let config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
        folder.join("images").display()
    );
    fs::write(folder.join("registry.yaml"), config).expect("a configuration");
    let mut command = program(&from_rig("ASSAY_RIG_REGISTRY_2"), folder);
    command.args(["serve", "registry.yaml"]);
    let registry = Server::start(&mut command, &folder.join("registry.log"));
    wait_for_port(port);
    (registry, port)
}

/// Pushes images as KOTS does, each to the last part of its name, and leaves the registry's storage in `images/`, with
/// `airgap.yaml` and a release beside it.
fn bundle(folder: &Path, images: &[&str]) {
    let (registry, port) = registry(folder);
    for image in images {
        let last = image.rsplit('/').next().unwrap_or_default();
        let (from, to) = (
            format!("oci:layout:{image}"),
            format!("docker://127.0.0.1:{port}/{last}"),
        );
        skopeo(
            folder,
            &[
                "copy",
                "--quiet",
                "--all",
                "--dest-tls-verify=false",
                &from,
                &to,
            ],
        );
    }
    drop(registry);
    let yaml = format!(
        "apiVersion: kots.io/v1beta1\nkind: Airgap\nspec:\n  appSlug: shop\n  versionLabel: 1.2.3\n  channelID: abc\n  updateCursor: '42'\n  signature: c2lnbmVk\n  format: docker\n  savedImages: [{}]\n",
        images.join(", ")
    );
    fs::write(folder.join("airgap.yaml"), yaml).expect("a file");
    let application = "apiVersion: kots.io/v1beta1\nkind: Application\nmetadata: {name: shop}\nspec: {additionalImages: [registry.example.com/shop/api:2.0]}\n";
    let release = packed(&[("app.yaml".to_owned(), application.as_bytes().to_vec())]);
    fs::write(folder.join("app.tar.gz"), release).expect("a file");
}

fn packed(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&plain(members)).expect("an archive");
    gzip.finish().expect("an archive")
}

fn plain(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        builder
            .append_data(&mut header, format!("./{name}"), content.as_slice())
            .expect("a member");
    }
    builder.into_inner().expect("a tar")
}

/// Every file of a bundle, by its path, sorted.
fn members(folder: &Path) -> Vec<(String, Vec<u8>)> {
    fn list(folder: &Path, prefix: &str, all: &mut Vec<(String, Vec<u8>)>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                list(&entry.path(), &format!("{name}/"), all);
            } else {
                all.push((name, fs::read(entry.path()).expect("a file")));
            }
        }
    }
    let mut all = Vec::new();
    list(&folder.join("images"), "images/", &mut all);
    for name in ["airgap.yaml", "app.tar.gz"] {
        all.push((
            name.to_owned(),
            fs::read(folder.join(name)).expect("a file"),
        ));
    }
    all.sort();
    all
}

/// The index of the member that holds the largest layer, and of the next largest.
fn layers(members: &[(String, Vec<u8>)]) -> (usize, usize) {
    let mut sizes: Vec<(usize, usize)> = members
        .iter()
        .enumerate()
        .filter(|(_, (name, _))| name.ends_with("/data"))
        .map(|(index, (_, content))| (content.len(), index))
        .collect();
    sizes.sort_unstable();
    let last = sizes.len() - 1;
    (sizes[last].1, sizes[last - 1].1)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    let mut file = File::create(&path).expect("a file");
    file.write_all(bytes).expect("its content");
    path
}

#[test]
fn what_skopeo_and_crane_write_is_whole() {
    let folder = prepared();
    let folder = folder.path();
    skopeo(
        folder,
        &[
            "copy",
            "--quiet",
            "--override-arch",
            "amd64",
            &format!("oci:layout:{WEB}"),
            &format!("docker-archive:docker.tar:{WEB}"),
        ],
    );
    skopeo(
        folder,
        &[
            "copy",
            "--quiet",
            "--all",
            &format!("oci:layout:{WEB}"),
            &format!("oci-archive:oci.tar:{WEB}"),
        ],
    );
    write(folder, "layer.tar", &layout::tar("crane", 3000));
    tool(
        "ASSAY_RIG_CRANE",
        folder,
        &[
            "append",
            "--new_layer",
            "layer.tar",
            "--new_tag",
            API,
            "--output",
            "crane.tar",
        ],
    );
    for (path, images, platform) in [
        ("docker.tar", "All 1 images", "linux/amd64"),
        ("oci.tar", "All 1 images", "linux/arm64"),
        ("crane.tar", "All 1 images", ""),
        ("layout", "All 2 images", "linux/arm64"),
    ] {
        let mut arguments = vec![path];
        if !platform.is_empty() {
            arguments.extend(["--platform", platform]);
        }
        let said = verify(folder, &arguments, None);
        said.is_pass();
        assert!(
            said.message("pass", "contents").starts_with(images),
            "{path}: {:#}",
            said.report
        );
        assert!(
            said.message("pass", "contents")
                .contains("unpacks to its diff_id"),
            "{path}"
        );
    }
    let said = verify(folder, &["docker.tar", "--platform", "linux/arm64"], None);
    assert_eq!(said.code, Some(3));
    assert!(
        said.message("fail", "platforms")
            .contains("lacks linux/arm64")
    );
}

#[test]
fn a_bundle_with_the_storage_of_a_registry() {
    let folder = prepared();
    let folder = folder.path();
    bundle(folder, &[WEB, API]);
    let whole = members(folder);
    let archive = packed(&whole);
    let path = write(folder, "shop.airgap", &archive);
    for (arguments, input) in [
        (["shop.airgap", "--app-slug", "shop"], None),
        (["-", "--app-slug", "shop"], Some(path.as_path())),
        (["images", "--need", "need.yaml"], None),
    ] {
        fs::write(folder.join("need.yaml"), format!("kind: Pod\nspec:\n  containers: [{{name: a, image: '{WEB}'}}, {{name: b, image: '{API}'}}]\n")).expect("a file");
        let said = verify(folder, &arguments, input);
        said.is_pass();
        assert!(
            said.message("pass", "contents").starts_with("All 2 images"),
            "{:#}",
            said.report
        );
        assert!(
            said.message("pass", "need").starts_with("All "),
            "{:#}",
            said.report
        );
    }
    let (large, other) = layers(&whole);
    let damaged = |name: &str, damage: Damage<'_>| {
        let mut members = whole.clone();
        damage(&mut members);
        write(folder, "damaged.airgap", &packed(&members));
        let said = verify(
            folder,
            &["damaged.airgap", "--platform", "linux/amd64"],
            None,
        );
        assert_eq!(said.code, Some(3), "{name}: {:#}", said.report);
        said
    };
    let digest = whole[large].0.rsplit('/').nth(1).unwrap_or_default();
    let digest = format!("sha256:{digest}");
    let said = damaged("a layer is cut", &|members| members[large].1.truncate(1000));
    assert!(said.message("fail", "digests").contains(&digest));
    assert!(
        said.message("fail", "digests").contains(WEB),
        "{:#}",
        said.report
    );
    let said = damaged("a layer is flipped", &|members| members[large].1[5000] ^= 1);
    assert!(
        said.message("fail", "digests")
            .contains(&format!("{digest} is damaged"))
    );
    let said = damaged("a layer is missing", &|members| drop(members.remove(large)));
    assert!(
        said.message("fail", "blobs")
            .contains(&format!("{digest} is missing"))
    );
    let said = damaged("layers are swapped", &|members| {
        let content = std::mem::take(&mut members[large].1);
        members[large].1 = std::mem::replace(&mut members[other].1, content);
    });
    assert!(
        said.message("fail", "digests").contains("2 found"),
        "{:#}",
        said.report
    );
    let said = damaged("a link is missing", &|members| {
        members.retain(|(name, _)| !name.contains("/web/_layers/"));
    });
    assert!(said.ids("fail").contains("links"), "{:#}", said.report);
    let said = damaged("a tag is missing", &|members| {
        members.retain(|(name, _)| !name.contains("/api/_manifests/tags/"));
    });
    assert!(
        said.message("fail", "images").contains(API),
        "{:#}",
        said.report
    );
    let said = damaged("the release is missing", &|members| {
        members.retain(|(name, _)| name != "app.tar.gz");
    });
    assert!(
        said.message("fail", "release").contains("app.tar.gz"),
        "{:#}",
        said.report
    );
    for length in [archive.len() / 3, archive.len() - 9] {
        write(folder, "cut.airgap", &archive[..length]);
        let said = verify(folder, &["cut.airgap"], None);
        assert_eq!(said.code, Some(3), "{:#}", said.report);
        assert!(said.ids("fail").contains("file"), "{:#}", said.report);
    }
}

#[test]
fn a_differential_bundle_and_its_base() {
    let folder = prepared();
    let folder = folder.path();
    bundle(folder, &[WEB, API]);
    let whole = members(folder);
    write(folder, "base.airgap", &packed(&whole));
    let without: Vec<_> = whole
        .iter()
        .filter(|(name, _)| !name.starts_with("images/"))
        .cloned()
        .collect();
    write(folder, "next.airgap", &packed(&without));
    let said = verify(folder, &["next.airgap"], None);
    assert_eq!(said.code, Some(4), "{:#}", said.report);
    assert!(said.ids("warn").contains("differential"));
    assert!(!said.ids("pass").contains("contents"), "{:#}", said.report);
    assert_eq!(said.report["unknown"].as_array().map(Vec::len), Some(1));
    let said = verify(folder, &["next.airgap", "--base", "base.airgap"], None);
    said.is_pass();
    assert!(
        said.message("pass", "contents").starts_with("All 2 images"),
        "{:#}",
        said.report
    );
}

#[test]
fn indexes_without_a_platform_and_in_each_other() {
    let folder = TempDir::with_prefix("assay-images-").expect("a folder");
    let folder = folder.path();
    Layout::new(&folder.join("layout"))
        .image(WEB, &["amd64"])
        .nested(API, &["amd64", "arm64"]);
    verify(folder, &["layout", "--platform", "linux/amd64"], None).is_pass();
    let said = verify(
        folder,
        &["layout", "--platform", "linux/amd64,linux/arm64"],
        None,
    );
    assert_eq!(said.code, Some(3));
    let message = said.message("fail", "platforms");
    assert!(
        message.starts_with("1 of 2") && message.contains(WEB),
        "{message}"
    );
}

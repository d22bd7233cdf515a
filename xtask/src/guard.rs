//! `cargo xtask guard`: every boundary of the project is broken once, in a copy of the tree, and has to be noticed.
//!
//! To add a boundary: a row in [`VIOLATIONS`], with the words by which the violation is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::command::{last_lines, output};
use crate::{deny, project_root};

/// A boundary, how it is broken, and who has to notice.
struct Violation {
    /// The boundary that is crossed, as a sentence.
    name: &'static str,
    edits: &'static [Edit],
    check: Check,
    /// Every one of these has to be in the error.
    named: &'static [&'static str],
}

/// A change to the copy of the tree.
enum Edit {
    /// Adds a line under `[dependencies]` of a member.
    Dependency(&'static str, &'static str),
    /// Adds text to the end of a file.
    Append(&'static str, &'static str),
    /// Makes a file that is not there.
    Create(&'static str, &'static str),
}

/// Who has to notice.
enum Check {
    /// `cargo xtask deny`
    Deny,
    /// `cargo clippy` of a package, without its tests
    Clippy(&'static str),
    /// `cargo test` of a package, its library's tests that match a filter
    Test(&'static str, &'static str),
}

use Check::{Clippy, Deny, Test};
use Edit::{Append, Create, Dependency};

const VIOLATIONS: &[Violation] = &[
    Violation {
        name: "analyzers have no Kubernetes client",
        edits: &[Dependency("analyzers", "kube.workspace = true")],
        check: Deny,
        named: &["banned: kube", "used by assay-analyzers"],
    },
    Violation {
        name: "analyzers do not know the checks",
        edits: &[Dependency("analyzers", "checks.workspace = true")],
        check: Deny,
        named: &["banned: assay-checks", "used by assay-analyzers"],
    },
    Violation {
        name: "checks do not know the analyzers",
        edits: &[Dependency("checks", "analyzers.workspace = true")],
        check: Deny,
        named: &["banned: assay-analyzers", "used by assay-checks"],
    },
    Violation {
        name: "the server does not know the checks",
        edits: &[Dependency("server", "checks.workspace = true")],
        check: Deny,
        named: &["banned: assay-checks", "used by assay-server"],
    },
    Violation {
        name: "the bundle needs no runtime",
        edits: &[Dependency("bundle", "tokio.workspace = true")],
        check: Deny,
        named: &["impure: assay-bundle reaches tokio"],
    },
    Violation {
        name: "there is one crypto provider",
        edits: &[
            Dependency("checks", "ring = { path = \"../ring\" }"),
            Create(
                "ring/Cargo.toml",
                "[package]\nname = \"ring\"\nversion = \"0.17.0\"\nedition = \"2024\"\nlicense = \"MIT\"\n",
            ),
            Create("ring/src/lib.rs", ""),
        ],
        check: Deny,
        named: &["banned: ring", "used by assay-checks"],
    },
    Violation {
        name: "there is one TLS library",
        edits: &[
            Dependency("server", "openssl = { path = \"../openssl\" }"),
            Create(
                "openssl/Cargo.toml",
                "[package]\nname = \"openssl\"\nversion = \"0.10.0\"\nedition = \"2024\"\nlicense = \"MIT\"\n",
            ),
            Create("openssl/src/lib.rs", ""),
        ],
        check: Deny,
        named: &["banned: openssl", "used by assay-server"],
    },
    Violation {
        name: "licences are those that deny.toml allows",
        edits: &[
            Dependency("syntax", "copyleft = { path = \"../copyleft\" }"),
            Create(
                "copyleft/Cargo.toml",
                "[package]\nname = \"copyleft\"\nversion = \"1.0.0\"\nedition = \"2024\"\nlicense = \"GPL-3.0-only\"\n",
            ),
            Create("copyleft/src/lib.rs", ""),
        ],
        check: Deny,
        named: &["licence: copyleft 1.0.0", "GPL-3.0-only"],
    },
    Violation {
        name: "the bundle opens no files",
        edits: &[Append(
            "bundle/src/lib.rs",
            "/// Breaks in.\n///\n/// # Errors\n/// Never mind.\npub fn guard() -> std::io::Result<Vec<u8>> {\n    std::fs::read(\"/etc/hostname\")\n}\n",
        )],
        check: Clippy("assay-bundle"),
        named: &["use of a disallowed method `std::fs::read`"],
    },
    Violation {
        name: "analyzers have no clock",
        edits: &[Append(
            "analyzers/src/lib.rs",
            "/// Breaks in.\n#[must_use]\npub fn guard() -> std::time::SystemTime {\n    std::time::SystemTime::now()\n}\n",
        )],
        check: Clippy("assay-analyzers"),
        named: &["use of a disallowed method `std::time::SystemTime::now`"],
    },
    Violation {
        name: "syntax has no environment",
        edits: &[Append(
            "syntax/src/lib.rs",
            "/// Breaks in.\n#[must_use]\npub fn guard() -> Option<std::ffi::OsString> {\n    std::env::var_os(\"HOME\")\n}\n",
        )],
        check: Clippy("assay-syntax"),
        named: &["use of a disallowed method `std::env::var_os`"],
    },
    Violation {
        name: "a collector runs no programs of its own",
        edits: &[Append(
            "checks/src/collectors/mod.rs",
            "/// Breaks in.\n#[must_use]\npub fn guard() -> std::process::Command {\n    std::process::Command::new(\"id\")\n}\n",
        )],
        check: Clippy("assay-checks"),
        named: &["use of a disallowed method `std::process::Command::new`"],
    },
    Violation {
        name: "nothing but the writer makes a sink, so nothing goes around the redactor",
        edits: &[Append(
            "server/src/lib.rs",
            "/// Breaks in.\n#[must_use]\npub fn guard() -> bundle::FileSink {\n    bundle::FileSink {}\n}\n",
        )],
        check: Clippy("assay-server"),
        named: &[
            "cannot construct `assay_bundle::FileSink` with struct literal syntax due to private fields",
        ],
    },
    Violation {
        name: "compressed blocks of an archive have no public name",
        edits: &[Append(
            "server/src/lib.rs",
            "/// Breaks in.\npub fn guard(_: bundle::archive::compression::Block) {}\n",
        )],
        check: Clippy("assay-server"),
        named: &["module `compression` is private"],
    },
    Violation {
        name: "there is no unsafe code",
        edits: &[Append(
            "syntax/src/lib.rs",
            "/// Breaks in.\n#[must_use]\npub fn guard(at: &u8) -> u8 {\n    unsafe { *std::ptr::from_ref(at) }\n}\n",
        )],
        check: Clippy("assay-syntax"),
        named: &["usage of an `unsafe` block"],
    },
    Violation {
        name: "every file of an analyzer is in the registry",
        edits: &[Create(
            "analyzers/src/rules/guard.rs",
            "//! Not registered.\n",
        )],
        check: Test("assay-analyzers", "rules::"),
        named: &["every_file_is_registered", "guard.rs"],
    },
    Violation {
        name: "every file of a collector is in the registry",
        edits: &[Create(
            "checks/src/collectors/guard.rs",
            "//! Not registered.\n",
        )],
        check: Test("assay-checks", "collectors::tests"),
        named: &["every_file_is_registered", "guard.rs"],
    },
];

/// Breaks every boundary in turn; the error lists those that nobody noticed.
pub(crate) fn guard() -> Result<()> {
    let root = project_root();
    // A path that stays: what was compiled for the last run is taken again.
    let tree = root.join("target/guard");
    mirror(&root, &tree)?;
    let mut unnoticed = Vec::new();
    for violation in VIOLATIONS {
        let started = Instant::now();
        let said = provoke(&tree, violation)
            .with_context(|| format!("failed to break \"{}\"", violation.name))?;
        let noticed = violation.named.iter().all(|words| said.contains(words));
        println!(
            "guard: {:<9} {} ({:.1?})",
            if noticed { "noticed" } else { "UNNOTICED" },
            violation.name,
            started.elapsed()
        );
        if !noticed {
            unnoticed.push(format!(
                "{}: expected {:?}, got: {}",
                violation.name,
                violation.named,
                last_lines(&said, 40)
            ));
        }
    }
    if unnoticed.is_empty() {
        return Ok(());
    }
    bail!("nobody noticed:\n{}", unnoticed.join("\n\n"))
}

/// Applies a violation, asks who has to notice, and takes it back. Returns what was said.
fn provoke(tree: &Path, violation: &Violation) -> Result<String> {
    let mut before: Vec<(PathBuf, Option<Vec<u8>>)> = vec![kept(tree, "Cargo.lock")?];
    for edit in violation.edits {
        let (file, text) = match edit {
            Dependency(member, line) => {
                let file = format!("{member}/Cargo.toml");
                let manifest = fs::read_to_string(tree.join(&file))?;
                let text =
                    manifest.replacen("[dependencies]\n", &format!("[dependencies]\n{line}\n"), 1);
                (file, text)
            }
            Append(file, text) => {
                let found = fs::read_to_string(tree.join(file))?;
                ((*file).to_owned(), format!("{found}\n{text}"))
            }
            Create(file, text) => ((*file).to_owned(), (*text).to_owned()),
        };
        before.push(kept(tree, &file)?);
        let path = tree.join(&file);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, text)?;
    }
    let said = match violation.check {
        Deny => deny::violations(tree).map(|found| found.join("\n")),
        Clippy(package) => cargo(tree, &["clippy", "--package", package]),
        Test(package, filter) => cargo(tree, &["test", "--lib", "--package", package, filter]),
    };
    for (path, bytes) in before {
        match bytes {
            Some(bytes) => fs::write(path, bytes)?,
            None => fs::remove_file(path)?,
        }
    }
    said
}

fn kept(tree: &Path, file: &str) -> Result<(PathBuf, Option<Vec<u8>>)> {
    let path = tree.join(file);
    let bytes = path.exists().then(|| fs::read(&path)).transpose()?;
    Ok((path, bytes))
}

/// Runs cargo in the copy, with the dependencies that are compiled already, and returns what it prints. Warnings count:
/// `.ci/run` denies them, and to deny them here would stop at one in another crate.
fn cargo(tree: &Path, arguments: &[&str]) -> Result<String> {
    let done = Command::new("cargo")
        .current_dir(tree)
        .args(arguments)
        .env("CARGO_TARGET_DIR", project_root().join("target"))
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TERM_COLOR", "never")
        .output()?;
    Ok(String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr))
}

/// Makes `tree` hold the project's files and nothing else, touching only what differs, so that little is compiled anew.
fn mirror(root: &Path, tree: &Path) -> Result<()> {
    let listed = output(Command::new("git").current_dir(root).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "--deduplicate",
    ]))?;
    let mut wanted = BTreeSet::new();
    for file in listed.lines() {
        let from = root.join(file);
        // A file that is deleted but not yet committed is listed, too.
        if !from.is_file() {
            continue;
        }
        let bytes = fs::read(&from)?;
        let to = tree.join(file);
        if fs::read(&to).ok().as_ref() != Some(&bytes) {
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&to, bytes).with_context(|| format!("failed to write {}", to.display()))?;
        }
        wanted.insert(to);
    }
    remove_others(tree, &wanted)
}

fn remove_others(folder: &Path, wanted: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, wanted)?;
        } else if !wanted.contains(&path) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

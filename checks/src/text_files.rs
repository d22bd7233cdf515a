//! Manifests that the operator names: a file, a folder with them, or standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The largest file that is read.
const MAX_FILE: u64 = 64 << 20;
/// How many files of a folder are read.
const MAX_FILES: usize = 100_000;
/// How deep folders are followed.
const MAX_DEPTH: usize = 64;
/// Files of a folder that are manifests, by their ending.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Hands each file's name and text to `take`. What cannot be read is in the answer: what, and why.
pub(crate) fn each(
    source: &str,
    stop: &AtomicBool,
    mut take: impl FnMut(&str, &str),
) -> Vec<String> {
    let mut problems = Vec::new();
    if source == "-" {
        match text(io::stdin()) {
            Ok(text) => take("standard input", &text),
            Err(error) => problems.push(format!("standard input: {error}")),
        }
        return problems;
    }
    let mut files = Vec::new();
    let root = Path::new(source);
    match std::fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => {
            if let Err((path, error)) = list(root, 0, &mut files) {
                problems.push(format!("{}: {error}", path.display()));
            }
            if files.is_empty() {
                problems.push(format!(
                    "{source}: there is no .yaml, .yml or .json file in it"
                ));
            }
        }
        Ok(_) => files.push(root.to_owned()),
        Err(error) => problems.push(format!("{source}: {error}")),
    }
    for path in files {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = path.display().to_string();
        match File::open(&path).and_then(text) {
            Ok(text) => take(&name, &text),
            Err(error) => problems.push(format!("{name}: {error}")),
        }
    }
    problems
}

fn text(from: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!(
            "it has more than {MAX_FILE} bytes"
        )));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}

fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
    let failed = |error| (folder.to_owned(), error);
    if depth > MAX_DEPTH {
        return Err(failed(io::Error::other("folders are too deep")));
    }
    let mut entries = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().map_err(failed)?;
        let ending = path.extension().and_then(|ending| ending.to_str());
        if kind.is_dir() {
            list(&path, depth + 1, files)?;
        } else if ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
            if files.len() >= MAX_FILES {
                return Err(failed(io::Error::other(format!(
                    "it has more than {MAX_FILES} files"
                ))));
            }
            files.push(path);
        }
    }
    Ok(())
}

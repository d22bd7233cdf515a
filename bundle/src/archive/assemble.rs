//! From what an archive names to the files of a bundle: which folder is the bundle's, which members are refused,
//! where links lead, what the manifest says.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::blocks::Blocks;
use super::contents::{Claim, Content, Contents, Listing, Node};
use super::index::{self, Entry, EntryKind};
use super::limits::Limits;
use super::problem::{OpenError, Problem};
use crate::files::Files;
use crate::manifest::{self, FORMAT, FormatVersion, Manifest};
use crate::path::BundlePath;

/// How many problems of one archive are listed.
const MAX_PROBLEMS: usize = 1000;

/// A member as an archive names it, before it is known to be safe.
pub(crate) struct Found {
    /// The whole path as stored.
    pub(crate) name: String,
    /// Seconds since 1970.
    pub(crate) modified: i64,
    pub(crate) kind: FoundKind,
}

/// What a member is, before it is known to be safe.
pub(crate) enum FoundKind {
    File(Content),
    /// A symbolic link with its target as stored.
    Link(String, Option<Claim>),
    /// A folder, of which only the name is looked at.
    Folder,
    /// What is refused: `a device`.
    Other(&'static str),
}

/// What was found in an archive.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) members: Vec<Found>,
    pub(crate) contents: Contents,
    pub(crate) problems: Problems,
    /// The archive ends before its end.
    pub(crate) truncated: bool,
}

/// A list of problems that a hostile archive cannot make long.
#[derive(Default)]
pub(crate) struct Problems {
    list: Vec<Problem>,
    more: usize,
}

impl Problems {
    pub(crate) fn push(&mut self, problem: Problem) {
        if self.list.len() < MAX_PROBLEMS {
            self.list.push(problem);
        } else {
            self.more += 1;
        }
    }

    fn into_list(mut self) -> Vec<Problem> {
        if self.more > 0 {
            self.list.push(Problem::More(self.more));
        }
        self.list
    }
}

/// The view of an archive under construction, by its writer's own index.
pub(crate) fn written(root: &str, entries: &[Entry], blocks: Blocks, manifest: Manifest) -> Files {
    let mut nodes = BTreeMap::new();
    for entry in entries {
        let name = entry.name.strip_prefix(root).unwrap_or(&entry.name);
        let Ok(path) = BundlePath::new(name.trim_start_matches('/')) else {
            continue;
        };
        let modified = i64::try_from(entry.modified).unwrap_or(i64::MAX);
        let node = match &entry.kind {
            EntryKind::File { start, size, .. } => Node::File {
                content: Content::Stream {
                    start: *start,
                    size: *size,
                    claim: None,
                },
                modified,
            },
            EntryKind::Link { target, .. } => match link_target(path.parent(), target) {
                Some(target) => Node::Link {
                    target,
                    modified,
                    claim: None,
                },
                None => continue,
            },
        };
        nodes.insert(path, node);
    }
    Files::new(Listing {
        nodes,
        contents: Contents {
            blocks: Some(Arc::new(blocks)),
            folder: None,
        },
        root: Some(root.to_owned()),
        manifest: Some(manifest),
        ..Listing::default()
    })
}

/// Makes the view of what was found: safe paths below the bundle's own folder, links resolved to paths, the
/// manifest read.
pub(crate) fn assemble(findings: Findings, limits: Limits) -> Result<Files, OpenError> {
    let Findings {
        members,
        contents,
        mut problems,
        truncated,
    } = findings;
    let mut safe = Vec::with_capacity(members.len());
    for found in members {
        if found.name == index::NAME {
            continue;
        }
        let path = BundlePath::new(&found.name);
        if let FoundKind::Folder = found.kind
            && found.name.split('/').all(|segment| segment != "..")
        {
            continue;
        }
        match path {
            Ok(path) => safe.push((path, found)),
            Err(error) => problems.push(Problem::UnsafePath {
                name: found.name.chars().take(200).collect(),
                reason: error.reason().to_owned(),
            }),
        }
    }
    let root = root(&safe);
    let mut nodes = BTreeMap::new();
    for (whole, found) in safe {
        let path = match &root {
            None => Some(whole.clone()),
            Some(root) => below(root, &whole),
        };
        let Some(path) = path else {
            problems.push(Problem::Outside { path: whole.into() });
            continue;
        };
        let modified = found.modified;
        let node = match found.kind {
            FoundKind::File(content) => Node::File { content, modified },
            FoundKind::Link(target, claim) => {
                let inside = link_target(whole.parent(), &target);
                let inside = inside.and_then(|inside| match &root {
                    None => Some(inside),
                    Some(root) => below(root, &inside),
                });
                if let Some(target) = inside {
                    Node::Link {
                        target,
                        modified,
                        claim,
                    }
                } else {
                    let path = path.into();
                    problems.push(Problem::UnsafeLink { path, target });
                    continue;
                }
            }
            FoundKind::Folder => continue,
            FoundKind::Other(what) => {
                let path = path.into();
                problems.push(Problem::Refused { path, what });
                continue;
            }
        };
        if nodes.insert(path.clone(), node).is_some() {
            problems.push(Problem::Duplicate { path: path.into() });
        }
    }
    if nodes.is_empty() {
        return Err(OpenError::Empty);
    }
    let manifest = read_manifest(&nodes, &contents, &mut problems)?;
    if truncated {
        let whole = nodes.values().filter(|node| {
            !matches!(
                node,
                Node::File {
                    content: Content::Incomplete { .. },
                    ..
                }
            )
        });
        let recovered = whole.count();
        problems.push(Problem::Truncated { recovered });
    }
    Ok(Files::new(Listing {
        nodes,
        contents,
        root,
        manifest,
        problems: problems.into_list(),
        document_bytes: limits.document_bytes,
    }))
}

/// The bundle's own folder: the one that holds the first `version.yaml` nearest to the top, else the first
/// member's top folder, where all others lie in it too.
fn root(members: &[(BundlePath, Found)]) -> Option<String> {
    let marked = members.iter().map(|(path, _)| path);
    let marked = marked.filter(|path| path.file_name() == "version.yaml");
    let nearest = marked.min_by_key(|path| path.as_str().matches('/').count());
    if let Some(nearest) = nearest.filter(|path| path.as_str().matches('/').count() <= 2) {
        let folder = nearest.parent();
        return (!folder.is_empty()).then(|| folder.to_owned());
    }
    let (first, _) = members.first()?;
    let (top, _) = first.as_str().split_once('/')?;
    let all = members.iter().all(|(path, _)| {
        let rest = path.as_str().strip_prefix(top);
        rest.is_some_and(|rest| rest.starts_with('/'))
    });
    all.then(|| top.to_owned())
}

/// `path` as seen from the folder `root`, where it lies below it.
fn below(root: &str, path: &BundlePath) -> Option<BundlePath> {
    let rest = path.as_str().strip_prefix(root)?.strip_prefix('/')?;
    BundlePath::new(rest).ok()
}

/// Where a link in `folder` leads, as a path; nothing where it is absolute or leads out at the top.
fn link_target(folder: &str, target: &str) -> Option<BundlePath> {
    if target.starts_with('/') {
        return None;
    }
    let mut segments: Vec<&str> = folder
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    for segment in target.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop()?;
            }
            name => segments.push(name),
        }
    }
    BundlePath::new(segments.join("/")).ok()
}

/// The part of the manifest that every format has.
#[derive(Deserialize)]
struct Heading {
    format: FormatVersion,
    #[serde(default)]
    tool: String,
}

fn read_manifest(
    nodes: &BTreeMap<BundlePath, Node>,
    contents: &Contents,
    problems: &mut Problems,
) -> Result<Option<Manifest>, OpenError> {
    let Some(Node::File { content, .. }) = nodes.get(manifest::PATH) else {
        return Ok(None);
    };
    let unreadable = |reason: String| Problem::Manifest { reason };
    if content.size() > Limits::default().document_bytes {
        problems.push(unreadable("it is too large".to_owned()));
        return Ok(None);
    }
    let bytes = match contents.read(content) {
        Ok(bytes) => bytes,
        Err(error) => {
            problems.push(unreadable(error.to_string()));
            return Ok(None);
        }
    };
    if let Ok(Heading {
        format: found,
        tool,
    }) = serde_json::from_slice(&bytes)
    {
        let tool = if tool.is_empty() {
            "another release".to_owned()
        } else {
            tool
        };
        if found.major > FORMAT.major {
            return Err(OpenError::TooNew { found, tool });
        }
        if found.major < FORMAT.major {
            return Err(OpenError::TooOld { found, tool });
        }
        if found.minor > FORMAT.minor {
            problems.push(Problem::NewerFormat { found, tool });
        }
    }
    match serde_json::from_slice(&bytes) {
        Ok(manifest) => Ok(Some(manifest)),
        Err(error) => {
            problems.push(unreadable(error.to_string()));
            Ok(None)
        }
    }
}

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
    pub(crate) name: Box<str>,
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
        mut members,
        contents,
        mut problems,
        truncated,
    } = findings;
    // Half a million members fit a small machine only where nothing is held twice: every step below works in place.
    members.retain_mut(|found| {
        if *found.name == *index::NAME {
            return false;
        }
        if let FoundKind::Folder = found.kind
            && found.name.split('/').all(|segment| segment != "..")
        {
            return false;
        }
        match BundlePath::new(&found.name) {
            Ok(path) => {
                found.name = path.as_str().into();
                true
            }
            Err(error) => {
                problems.push(Problem::UnsafePath {
                    name: found.name.chars().take(200).collect(),
                    reason: error.reason().to_owned(),
                });
                false
            }
        }
    });
    let root = root(&members);
    let nodes = members
        .into_iter()
        .filter_map(|found| node(found, root.as_deref(), &mut problems));
    let nodes = in_order(nodes.collect(), &mut problems);
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

/// A member below the bundle's own folder; nothing, and a problem, where it is none.
fn node(found: Found, root: Option<&str>, problems: &mut Problems) -> Option<(BundlePath, Node)> {
    let Found {
        name,
        modified,
        kind,
    } = found;
    let path = match root {
        None => BundlePath::new(&name).ok(),
        Some(root) => below(root, &name),
    };
    let Some(path) = path else {
        let path = name.into();
        problems.push(Problem::Outside { path });
        return None;
    };
    match kind {
        FoundKind::File(content) => Some((path, Node::File { content, modified })),
        FoundKind::Link(target, claim) => {
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            let inside = link_target(folder, &target);
            let inside = inside.and_then(|inside| match root {
                None => Some(inside),
                Some(root) => below(root, inside.as_str()),
            });
            let Some(target) = inside else {
                let path = path.into();
                problems.push(Problem::UnsafeLink { path, target });
                return None;
            };
            let link = Node::Link {
                target,
                modified,
                claim,
            };
            Some((path, link))
        }
        FoundKind::Folder => None,
        FoundKind::Other(what) => {
            let path = path.into();
            problems.push(Problem::Refused { path, what });
            None
        }
    }
}

/// The members by their paths. Of several with one path the last counts.
fn in_order(
    mut nodes: Vec<(BundlePath, Node)>,
    problems: &mut Problems,
) -> BTreeMap<BundlePath, Node> {
    nodes.sort_by(|(left, _), (right, _)| left.cmp(right));
    for pair in nodes.windows(2) {
        if pair[0].0 == pair[1].0 {
            let path = pair[0].0.to_string();
            problems.push(Problem::Duplicate { path });
        }
    }
    // From what is sorted a map is built that is full, in half the space; the last of equals stays.
    nodes.into_iter().collect()
}

/// The bundle's own folder: the one that holds the first `version.yaml` nearest to the top, else the first
/// member's top folder, where all others lie in it too.
fn root(members: &[Found]) -> Option<String> {
    let marked = members.iter().map(|found| &*found.name);
    let marked = marked.filter(|name| name.rsplit('/').next() == Some("version.yaml"));
    let nearest = marked.min_by_key(|name| name.matches('/').count());
    if let Some(nearest) = nearest.filter(|name| name.matches('/').count() <= 2) {
        let (folder, _) = nearest.rsplit_once('/')?;
        return Some(folder.to_owned());
    }
    let (top, _) = members.first()?.name.split_once('/')?;
    let all = members.iter().all(|found| {
        let rest = found.name.strip_prefix(top);
        rest.is_some_and(|rest| rest.starts_with('/'))
    });
    all.then(|| top.to_owned())
}

/// `path` as seen from the folder `root`, where it lies below it.
fn below(root: &str, path: &str) -> Option<BundlePath> {
    let rest = path.strip_prefix(root)?.strip_prefix('/')?;
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

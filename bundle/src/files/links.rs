//! Following links: troubleshoot's layout shows every log in two places.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::{Files, ReadError, unreadable};
use crate::archive::contents::{Content, Node};
use crate::path::BundlePath;

/// How many links are followed from one path to a file.
const MAX_LINKS: usize = 8;

impl Files {
    /// The file at the end of the links, with its own path.
    pub(super) fn resolve(&self, path: &str) -> Result<(&BundlePath, &Content), ReadError> {
        let mut current = match BundlePath::new(path) {
            Ok(path) => path.as_str().to_owned(),
            Err(_) => return Err(ReadError::NotFound(path.to_owned())),
        };
        let mut seen = vec![current.clone()];
        loop {
            if let Some((found, Node::File { content, .. })) =
                self.entries.get_key_value(current.as_str())
            {
                return Ok((found, content));
            }
            let Some(next) = self.follow(&current)? else {
                return Err(match self.missing(&current) {
                    ReadError::Gap { gap, .. } => ReadError::Gap {
                        path: path.to_owned(),
                        gap,
                    },
                    _ if self.link_target(path).is_some() => ReadError::Unreadable {
                        path: path.to_owned(),
                        reason: format!("it is a link to {current}, which is not in the bundle"),
                    },
                    _ => ReadError::NotFound(path.to_owned()),
                });
            };
            let cycle = seen.contains(&next);
            seen.push(next.clone());
            if cycle || seen.len() > MAX_LINKS + 1 {
                let what = if cycle {
                    "links in a circle"
                } else {
                    "more than 8 links"
                };
                return Err(ReadError::Unreadable {
                    path: path.to_owned(),
                    reason: format!("it leads through {what}: {}", seen.join(" → ")),
                });
            }
            current = next;
        }
    }

    /// The path with the first link on its way replaced by what it leads to.
    fn follow(&self, path: &str) -> Result<Option<String>, ReadError> {
        let ends = path
            .match_indices('/')
            .map(|(at, _)| at)
            .chain([path.len()]);
        for end in ends {
            if let Some(Node::Link { target, claim, .. }) = self.entries.get(&path[..end]) {
                let checked = self.contents.check_link(claim.as_ref());
                checked.map_err(|error| unreadable(&path[..end], &error))?;
                return Ok(Some(format!("{target}{}", &path[end..])));
            }
        }
        Ok(None)
    }

    pub(super) fn is_folder_link(&self, path: &BundlePath) -> bool {
        let found = self
            .folder_links
            .binary_search_by(|(link, _)| link.cmp(path));
        found.is_ok()
    }
}

/// The entries that are `prefix` or lie below it; all of them where it is empty.
pub(super) fn below<'a>(
    entries: &'a BTreeMap<BundlePath, Node>,
    prefix: &'a str,
) -> impl Iterator<Item = (&'a BundlePath, &'a Node)> {
    let range = entries.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
    range.take_while(move |(path, _)| path.as_str().starts_with(prefix))
}

/// Whether `path` is `folder` or lies in it.
pub(super) fn within(path: &str, folder: &str) -> bool {
    let rest = path.strip_prefix(folder);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The links that lead to a folder, directly or through other links, sorted by path.
pub(super) fn folder_links(entries: &BTreeMap<BundlePath, Node>) -> Vec<(BundlePath, String)> {
    let mut links = Vec::new();
    for (path, node) in entries {
        let mut node = Some(node);
        for _ in 0..MAX_LINKS {
            let Some(Node::Link { target, .. }) = node else {
                break;
            };
            let folder = format!("{target}/");
            if below(entries, &folder).next().is_some() {
                links.push((path.clone(), folder));
                break;
            }
            node = entries.get(target.as_str());
        }
    }
    links
}

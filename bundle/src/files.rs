//! A read-only view of a bundle's files, wherever they lie: in an archive just written, in a stranger's
//! archive, in a folder, in memory.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use syntax::glob::FileGlob;

use crate::archive::contents::{Content, Contents, Listing, Node};
use crate::archive::{FileReader, Problem, UNKNOWN};
use crate::manifest::{Gap, GapReason, Manifest};
use crate::overlap::{Dialect, Pattern};
use crate::path::BundlePath;

mod links;

use links::{below, folder_links, within};

/// How many files a glob looks at through links to folders: a hostile bundle's links multiply its files.
const MAX_SEEN_THROUGH_LINKS: usize = 2_000_000;

/// How many gaps are compared one by one.
const MAX_GAPS: usize = 20_000;

/// A bundle's files. What the tool itself wrote after the analysis (`analysis.json` and the others of
/// [`crate::manifest::AFTER_ANALYSIS`]) is no evidence and is not among them: see [`Files::report`].
pub struct Files {
    entries: BTreeMap<BundlePath, Node>,
    reports: BTreeMap<BundlePath, Node>,
    /// Links that lead to a folder, with that folder's path and a slash.
    folder_links: Vec<(BundlePath, String)>,
    contents: Contents,
    root: Option<String>,
    newest: i64,
    manifest: Option<Manifest>,
    gaps: Vec<(Pattern, Gap)>,
    /// Why any file that is not there may have been collected all the same: the archive is damaged.
    unseen: Option<Gap>,
    problems: Vec<Problem>,
    document_bytes: u64,
    decoded: Mutex<HashMap<(BundlePath, TypeId), Arc<Decoded>>>,
}

/// A document's one decoding.
type Decoded = OnceLock<Result<Arc<dyn Any + Send + Sync>, ReadError>>;

impl fmt::Debug for Files {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Files")
            .field("root", &self.root)
            .field("entries", &self.entries.len())
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

/// How much there is of a bundle, reports included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Files, links aside.
    pub files: u64,
    /// Links.
    pub links: u64,
    /// Bytes of the files, unpacked.
    pub bytes: u64,
    /// Files with digests in the archive's index, which [`Files::verify`] compares them with.
    pub with_digests: u64,
}

/// Why a file could not be read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no such file, and nothing says why.
    #[error("{0} is not in the bundle")]
    NotFound(String),
    /// There is no such file, or not all of it, and the manifest says why.
    #[error("{path} was not collected ({}: {})", gap.reason.phrase(), gap.detail)]
    Gap {
        /// The file asked for.
        path: String,
        /// Why it is missing.
        gap: Gap,
    },
    /// The file is there and cannot be read: damaged, a link that leads nowhere, over a cap.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// The file asked for.
        path: String,
        /// Why.
        reason: String,
    },
    /// The file is not the document that its name promises.
    #[error("{path} is not the document expected: {reason}")]
    Malformed {
        /// The file asked for.
        path: String,
        /// What was expected, and where it differs.
        reason: String,
    },
}

impl Files {
    /// A bundle in memory: for tests and cases.
    #[must_use]
    pub fn in_memory(
        entries: impl IntoIterator<Item = (BundlePath, Vec<u8>)>,
        manifest: Option<Manifest>,
    ) -> Self {
        let nodes = entries.into_iter().map(|(path, bytes)| {
            let content = Content::Memory(bytes.into());
            (
                path,
                Node::File {
                    content,
                    modified: 0,
                },
            )
        });
        Self::new(Listing {
            nodes: nodes.collect(),
            manifest,
            ..Listing::default()
        })
    }

    /// The view of what an opener listed.
    pub(crate) fn new(listing: Listing) -> Self {
        let Listing {
            nodes: mut entries,
            contents,
            root,
            manifest,
            problems,
            document_bytes,
        } = listing;
        let mut reports = BTreeMap::new();
        if manifest.is_some() {
            for path in crate::manifest::AFTER_ANALYSIS {
                reports.extend(entries.remove_entry(path));
            }
        }
        let times = entries.values().map(Node::modified);
        let newest = times.max().unwrap_or(0);
        let folder_links = folder_links(&entries);
        let recorded = manifest.as_ref().map(gaps_of).unwrap_or_default();
        let found = problems.iter().flat_map(Problem::gaps);
        let found = found.map(|gap| (Pattern::new(&gap.path, Dialect::Gap), gap));
        let mut gaps = Vec::new();
        let mut unseen = None;
        for (pattern, gap) in recorded.into_iter().chain(found) {
            if gap.path == UNKNOWN && gap.reason == GapReason::Malformed {
                unseen.get_or_insert(gap);
            } else {
                gaps.push((pattern, gap));
            }
        }
        Self {
            gaps,
            unseen,
            entries,
            reports,
            folder_links,
            contents,
            root,
            newest,
            manifest,
            problems,
            document_bytes,
            decoded: Mutex::default(),
        }
    }

    /// Every path, sorted, links included.
    pub fn paths(&self) -> impl Iterator<Item = &BundlePath> {
        self.entries.keys()
    }

    /// Whether the file is there, following links.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.resolve(path).is_ok()
    }

    /// The paths that match a glob with the semantics of Go's `filepath.Glob`, sorted: files, links to files, and
    /// files seen through a link to their folder. A pattern that cannot be read is [`ReadError::Malformed`].
    pub fn glob(&self, pattern: &str) -> Result<Vec<BundlePath>, ReadError> {
        let glob = FileGlob::new(pattern).map_err(|error| ReadError::Malformed {
            path: pattern.to_owned(),
            reason: error.to_string(),
        })?;
        let mut found: Vec<BundlePath> = below(&self.entries, glob.prefix())
            .map(|(path, _)| path)
            .filter(|path| glob.matches(path.as_str()) && !self.is_folder_link(path))
            .cloned()
            .collect();
        let mut seen = 0;
        let prefix = glob.prefix();
        let through =
            |link: &str| prefix.is_empty() || within(link, prefix) || within(prefix, link);
        for (link, folder) in &self.folder_links {
            if !through(link.as_str()) {
                continue;
            }
            for (path, _) in below(&self.entries, folder) {
                seen += 1;
                if seen > MAX_SEEN_THROUGH_LINKS {
                    return Err(ReadError::Unreadable {
                        path: pattern.to_owned(),
                        reason: "the bundle's links to folders show too many files".to_owned(),
                    });
                }
                let rest = &path.as_str()[folder.len()..];
                let alias = format!("{link}/{rest}");
                if glob.matches(&alias) {
                    found.extend(BundlePath::new(alias).ok());
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// A file's bytes, following links. Files above the cap for documents
    /// ([`Limits::document_bytes`](crate::archive::Limits::document_bytes)) are refused: stream them.
    pub fn read(&self, path: &str) -> Result<Arc<[u8]>, ReadError> {
        let (_, content) = self.file(path)?;
        self.read_content(path, content)
    }

    /// A file that the tool wrote after the analysis, which the other methods do not show.
    pub fn report(&self, path: &str) -> Result<Arc<[u8]>, ReadError> {
        match self.reports.get(path) {
            Some(Node::File { content, .. }) => self.read_content(path, content),
            _ => self.read(path),
        }
    }

    /// A file as a stream, following links.
    pub fn open(&self, path: &str) -> Result<FileReader, ReadError> {
        let (_, content) = self.file(path)?;
        self.contents
            .open(content)
            .map_err(|error| unreadable(path, &error))
    }

    /// Bytes `offset .. offset + length` of a file, following links; fewer where the file ends before.
    pub fn read_range(&self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>, ReadError> {
        let (_, content) = self.file(path)?;
        let offset = offset.min(content.size());
        let left = content.size() - offset;
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(length);
        let mut bytes = vec![0; length];
        let read = self.contents.read_exact_at(content, &mut bytes, offset);
        read.map_err(|error| unreadable(path, &error))?;
        Ok(bytes)
    }

    /// Where a link leads, from the bundle's root; `None` for a file and for what is not there.
    #[must_use]
    pub fn link_target(&self, path: &str) -> Option<BundlePath> {
        match self.entries.get(path) {
            Some(Node::Link { target, .. }) => Some(target.clone()),
            _ => None,
        }
    }

    /// A file's length in bytes, following links.
    pub fn length(&self, path: &str) -> Result<u64, ReadError> {
        self.file(path).map(|(_, content)| content.size())
    }

    /// A JSON document as a typed projection, decoded once per path and type, however many analyzers ask.
    pub fn decoded<T>(&self, path: &str) -> Result<Arc<T>, ReadError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let (resolved, content) = self.file(path)?;
        let key = (resolved.clone(), TypeId::of::<T>());
        let cell = {
            let mut decoded = self.decoded.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(decoded.entry(key).or_default())
        };
        let value = cell.get_or_init(|| {
            let bytes = self.read_content(path, content)?;
            let value: T =
                serde_json::from_slice(&bytes).map_err(|error| ReadError::Malformed {
                    path: path.to_owned(),
                    reason: error.to_string(),
                })?;
            Ok(Arc::new(value))
        });
        let value = Arc::clone(value.as_ref().map_err(Clone::clone)?);
        let value = value.downcast();
        Ok(value.unwrap_or_else(|_| unreachable!("the key holds the type")))
    }

    /// When the bundle was collected: the manifest's time, else the newest member's modification time.
    #[must_use]
    pub fn collected_at(&self) -> Timestamp {
        match &self.manifest {
            Some(manifest) => manifest.collected_at,
            None => Timestamp::from_second(self.newest).unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }

    /// The manifest, where the bundle has one.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// The archive's top folder, where it has one.
    #[must_use]
    pub fn root(&self) -> Option<&str> {
        self.root.as_deref()
    }

    /// What is wrong with the archive, though it could be read: refused members, duplicates, damage.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The gaps whose files could have matched `pattern` (a path or a glob as in [`Files::glob`]): what an
    /// analyzer that reads "all of them" has not seen. Files that redaction withheld are among them. In an archive
    /// that is truncated or damaged, anything that is not there may have been.
    pub fn gaps<'a>(&'a self, pattern: &str) -> impl Iterator<Item = &'a Gap> + use<'a> {
        let unseen = self.unseen.as_ref();
        let unseen = unseen.filter(|_| !self.entries.contains_key(pattern));
        let pattern = Pattern::new(pattern, Dialect::Go);
        self.gaps
            .iter()
            .filter(move |(gap, _)| gap.overlaps(&pattern))
            .map(|(_, gap)| gap)
            .chain(unseen)
    }

    /// How much there is of the bundle.
    #[must_use]
    pub fn extent(&self) -> Extent {
        let mut extent = Extent::default();
        for node in self.entries.values().chain(self.reports.values()) {
            match node {
                Node::Link { .. } => extent.links += 1,
                Node::File { content, .. } => {
                    extent.files += 1;
                    extent.bytes = extent.bytes.saturating_add(content.size());
                    let claim = matches!(content, Content::Stream { claim: Some(_), .. });
                    extent.with_digests += u64::from(claim);
                }
            }
        }
        extent
    }

    /// Compares everything that can be compared: checksums of the archive, digests and places of its index.
    /// Reads the whole archive; what is wrong is returned.
    #[must_use]
    pub fn verify(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (path, node) in self.entries.iter().chain(&self.reports) {
            let checked = match node {
                Node::File { content, .. } => self.contents.verify(content),
                Node::Link { claim, .. } => self.contents.check_link(claim.as_ref()),
            };
            if let Err(error) = checked {
                problems.push(Problem::Damaged {
                    path: path.to_string(),
                    reason: error.to_string(),
                });
            }
        }
        problems
    }

    fn read_content(&self, path: &str, content: &Content) -> Result<Arc<[u8]>, ReadError> {
        if content.size() > self.document_bytes {
            return Err(ReadError::Unreadable {
                path: path.to_owned(),
                reason: format!(
                    "it has {} bytes, a document may have {}",
                    content.size(),
                    self.document_bytes
                ),
            });
        }
        self.contents
            .read(content)
            .map_err(|error| unreadable(path, &error))
    }

    /// The file at the end of the links, with its path.
    fn file(&self, path: &str) -> Result<(&BundlePath, &Content), ReadError> {
        let (resolved, content) = self.resolve(path)?;
        match self.withheld(resolved) {
            Some(gap) => Err(ReadError::Gap {
                path: path.to_owned(),
                gap: gap.clone(),
            }),
            None => Ok((resolved, content)),
        }
    }

    fn withheld(&self, path: &BundlePath) -> Option<&Gap> {
        let withheld = &self.manifest.as_ref()?.redaction.withheld;
        if !withheld.contains_key(path.as_str()) {
            return None;
        }
        let gaps = self.gaps.iter().map(|(_, gap)| gap);
        gaps.rev().find(|gap| gap.path == path.as_str())
    }

    /// Why there is no file at `path`, links followed.
    fn missing(&self, path: &str) -> ReadError {
        match self.gaps(path).next() {
            Some(gap) => ReadError::Gap {
                path: path.to_owned(),
                gap: gap.clone(),
            },
            None => ReadError::NotFound(path.to_owned()),
        }
    }
}

/// The manifest's gaps, and one for every file that redaction withheld.
fn gaps_of(manifest: &Manifest) -> Vec<(Pattern, Gap)> {
    let recorded = manifest
        .collectors
        .iter()
        .flat_map(|collector| collector.gaps.iter().cloned());
    let withheld = manifest
        .redaction
        .withheld
        .iter()
        .map(|(path, reason)| Gap {
            path: path.clone(),
            reason: GapReason::Withheld,
            detail: reason.clone(),
        });
    let lost = manifest.lost.iter().cloned();
    let mut gaps = recorded.chain(lost).chain(withheld);
    let mut listed: Vec<Gap> = gaps.by_ref().take(MAX_GAPS).collect();
    if gaps.next().is_some() {
        listed.push(Gap {
            path: "**".to_owned(),
            reason: GapReason::Limit,
            detail: format!("the manifest has more than {MAX_GAPS} gaps"),
        });
    }
    let listed = listed.into_iter();
    listed
        .map(|gap| (Pattern::new(&gap.path, Dialect::Gap), gap))
        .collect()
}

fn unreadable(path: &str, error: &io::Error) -> ReadError {
    ReadError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

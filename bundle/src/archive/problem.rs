//! What is said of an archive that cannot be opened, and of one that can in part.

use std::io;

use crate::manifest::{FormatVersion, Gap, GapReason};

/// Why an archive cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file cannot be read.
    #[error("cannot read the archive: {0}")]
    Io(#[from] io::Error),
    /// It is no archive of a kind that bundles come in.
    #[error("this is not a bundle: expected a .tar.gz, .tar or .zip file or a folder; {0}")]
    NotAnArchive(String),
    /// There is no file in it.
    #[error("the archive holds no file")]
    Empty,
    /// More members than [`Limits::entries`](super::Limits::entries).
    #[error(
        "the archive has more than {limit} members, the most that are read; remove what is not needed"
    )]
    TooManyEntries {
        /// The limit.
        limit: usize,
    },
    /// The members' names alone would fill the memory.
    #[error("the names in the archive have more than {limit} bytes together")]
    NamesTooLong {
        /// The limit.
        limit: usize,
    },
    /// More bytes than [`Limits::total_bytes`](super::Limits::total_bytes).
    #[error(
        "the archive unpacks to more than {limit} bytes; if you trust it, unpack it and name its folder"
    )]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// A higher ratio than [`Limits::ratio`](super::Limits::ratio).
    #[error(
        "the archive unpacks to more than {limit} times its size, as a decompression bomb does; if you trust it, \
         unpack it and name its folder"
    )]
    TooCompressed {
        /// The limit.
        limit: u64,
    },
    /// More archives inside archives than [`Limits::nesting`](super::Limits::nesting).
    #[error(
        "the bundle lies inside more than {limit} other archives; unpack them and name the innermost"
    )]
    TooNested {
        /// The limit.
        limit: usize,
    },
    /// The archive is no bundle and holds several.
    #[error("the archive holds several bundles ({}); unpack it and name one of them", .0.join(", "))]
    SeveralBundles(Vec<String>),
    /// The bundle's format is older than any that this release reads.
    #[error("the bundle has format {}.{}, written by {tool}; this release reads 1.0 and later: use {tool} to read it", found.major, found.minor)]
    TooOld {
        /// The bundle's format.
        found: FormatVersion,
        /// What wrote it.
        tool: String,
    },
    /// The bundle's format is one that this release does not know.
    #[error(
        "the bundle has format {}.{}, written by {tool}; this release reads up to {}.x: use {tool} or later",
        found.major, found.minor, crate::manifest::FORMAT.major
    )]
    TooNew {
        /// The bundle's format.
        found: FormatVersion,
        /// What wrote it.
        tool: String,
    },
}

/// What is wrong with an archive that was opened. Members that are refused are not among its files; all others
/// are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A member's name is no path inside a bundle.
    #[error("refused {name:?}: {reason}")]
    UnsafePath {
        /// The name as stored, cut to 200 characters.
        name: String,
        /// Why.
        reason: String,
    },
    /// A symbolic link leads out of the bundle.
    #[error("refused the link {path} to {target:?}: it leads out of the bundle")]
    UnsafeLink {
        /// The link.
        path: String,
        /// Its target as stored.
        target: String,
    },
    /// A member is neither a file, nor a folder, nor a symbolic link, or its bytes are not to be had.
    #[error("refused {path}: it is {what}")]
    Refused {
        /// The member.
        path: String,
        /// `a hard link`, `a device`, `encrypted`.
        what: &'static str,
    },
    /// Two members have one path. The last one counts, as for every program that unpacks the archive.
    #[error("{path} is in the archive more than once; the last one counts")]
    Duplicate {
        /// The path.
        path: String,
    },
    /// A member lies beside the bundle's own folder.
    #[error("{path} lies outside of the bundle's folder and is not read")]
    Outside {
        /// The member's whole path.
        path: String,
    },
    /// The archive ends early.
    #[error("the archive is truncated: {recovered} files recovered")]
    Truncated {
        /// Files that are whole.
        recovered: usize,
    },
    /// The archive goes on after its end, with a second archive that not every program would see.
    #[error("another archive follows the end of this one and is not read")]
    Continued,
    /// A part of the archive cannot be read.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file, or what was found of the archive.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The archive's index is not that of this archive; the archive was scanned instead.
    #[error("the archive's index is not used: {reason}")]
    Index {
        /// Why.
        reason: String,
    },
    /// The manifest cannot be read, so that nobody knows what is missing from the bundle.
    #[error("manifest.json cannot be read: {reason}")]
    Manifest {
        /// Why.
        reason: String,
    },
    /// The bundle's format is newer than this release, in a way that older releases can read.
    #[error("the bundle has format {}.{}, written by {tool}, which knows more than this release", found.major, found.minor)]
    NewerFormat {
        /// The bundle's format.
        found: FormatVersion,
        /// What wrote it.
        tool: String,
    },
    /// There were more problems than are listed.
    #[error("{0} more problems of the archive are not listed")]
    More(usize),
}

impl Problem {
    /// The files that may have been collected and cannot be seen because of it, as gaps of a manifest; `**` where
    /// nobody knows which.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        let gap = |path: String| Gap {
            path,
            reason: GapReason::Malformed,
            detail: self.to_string(),
        };
        match self {
            Self::Refused { path, .. } | Self::UnsafeLink { path, .. } => {
                vec![gap(path.clone()), gap(format!("{path}/**"))]
            }
            Self::Truncated { .. }
            | Self::Continued
            | Self::Damaged { .. }
            | Self::Manifest { .. }
            | Self::More(_) => vec![gap(UNKNOWN.to_owned())],
            Self::UnsafePath { .. }
            | Self::Duplicate { .. }
            | Self::Outside { .. }
            | Self::Index { .. }
            | Self::NewerFormat { .. } => Vec::new(),
        }
    }
}

/// Any file.
pub(crate) const UNKNOWN: &str = "**";

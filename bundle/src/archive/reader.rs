//! Opening a bundle: what kind of archive it is, whether its index can be believed, whether it lies in another.

use std::io;
use std::sync::Arc;

use super::assemble::{Findings, Found, FoundKind, assemble};
use super::blocks::{Block, Blocks};
use super::contents::{Content, Contents, MemberAt};
use super::header::RECORD;
use super::index::{self, Entry, EntryKind, MAX_INDEX};
use super::limits::Limits;
use super::member::{self, FOOTER, HEADER};
use super::problem::{OpenError, Problem};
use super::scan::{MAX_BLOCK, Stream};
use super::{tar, zip};
use crate::files::Files;
use crate::io::{ReadAt, Source, SourceKind, Spool};
use crate::manifest;

impl Files {
    /// Opens an unpacked bundle. Its folder may be the bundle's own, or hold it.
    pub fn folder(source: Arc<dyn Source>, limits: Limits) -> Result<Self, OpenError> {
        let entries = source.entries()?;
        if entries.len() > limits.entries {
            return Err(OpenError::TooManyEntries {
                limit: limits.entries,
            });
        }
        let mut total = 0_u64;
        let members = entries.into_iter().map(|entry| Found {
            kind: match entry.kind {
                SourceKind::File(size) => {
                    total = total.saturating_add(size);
                    let name = entry.path.clone().into();
                    FoundKind::File(Content::Folder { name, size })
                }
                SourceKind::Link(target) => FoundKind::Link(target, None),
                SourceKind::Other => FoundKind::Other("a device, socket or pipe"),
            },
            name: entry.path.into(),
            modified: entry.modified,
        });
        let members = members.collect();
        if total > limits.total_bytes {
            return Err(OpenError::TooLarge {
                limit: limits.total_bytes,
            });
        }
        let contents = Contents {
            folder: Some(source),
            ..Contents::default()
        };
        assemble(
            Findings {
                members,
                contents,
                ..Findings::default()
            },
            limits,
        )
    }

    /// Opens a bundle's archive: a `.tar.gz` of ours by its index, any other `.tar.gz`, `.tar` or `.zip` by
    /// scanning it once, and a bundle that lies in another archive. What has no blocks of its own is unpacked
    /// into a file of `spool`, compressed.
    pub fn archive(
        file: &Arc<dyn ReadAt>,
        spool: &dyn Spool,
        limits: Limits,
    ) -> Result<Self, OpenError> {
        let packed = file.size()?;
        let budget = Budget { packed, limits };
        open(file, spool, budget, 0)
    }
}

/// What an archive may unpack to, those inside it included: a bomb that is packed twice is as small.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// The length of the outermost archive, which the ratio is taken from.
    packed: u64,
    pub(crate) limits: Limits,
}

impl Budget {
    /// Compares an archive's unpacked size with the caps.
    pub(crate) fn check(self, unpacked: u64) -> Result<(), OpenError> {
        let Limits {
            total_bytes,
            ratio,
            ratio_from_bytes,
            ..
        } = self.limits;
        if unpacked > total_bytes {
            return Err(OpenError::TooLarge { limit: total_bytes });
        }
        if unpacked > ratio_from_bytes && unpacked / self.packed.max(1) >= ratio {
            return Err(OpenError::TooCompressed { limit: ratio });
        }
        Ok(())
    }
}

/// Opens an archive that lies inside `depth` others.
fn open(
    file: &Arc<dyn ReadAt>,
    spool: &dyn Spool,
    budget: Budget,
    depth: usize,
) -> Result<Files, OpenError> {
    let limits = budget.limits;
    let findings = match kind(file.as_ref())? {
        ArchiveKind::Zip => zip::walk(file, spool, budget)?,
        ArchiveKind::Tar => tar::walk(Stream::plain(file, spool, budget)?, limits)?,
        ArchiveKind::Gzip => match indexed(file, file.size()?, budget)? {
            Indexed::Read(findings) => return assemble(findings, limits),
            Indexed::None => tar::walk(Stream::gzip(file, spool, budget)?, limits)?,
            Indexed::Wrong(reason) => {
                let mut findings = tar::walk(Stream::gzip(file, spool, budget)?, limits)?;
                findings.problems.push(Problem::Index { reason });
                findings
            }
        },
    };
    let Some(inner) = wrapped(&findings)? else {
        return assemble(findings, limits);
    };
    if depth >= limits.nesting {
        return Err(OpenError::TooNested {
            limit: limits.nesting,
        });
    }
    let Findings {
        mut members,
        contents,
        ..
    } = findings;
    match members.swap_remove(inner).kind {
        FoundKind::File(content) => open(
            &(Arc::new(MemberAt { contents, content }) as Arc<dyn ReadAt>),
            spool,
            budget,
            depth + 1,
        ),
        _ => Err(OpenError::Empty),
    }
}

/// What kind of archive a file is.
enum ArchiveKind {
    Gzip,
    Tar,
    Zip,
}

fn kind(file: &dyn ReadAt) -> Result<ArchiveKind, OpenError> {
    let length = usize::try_from(file.size()?)
        .unwrap_or(usize::MAX)
        .min(RECORD);
    let mut start = [0; RECORD];
    file.read_exact_at(&mut start[..length], 0)?;
    let other = match start {
        [0x1f, 0x8b, ..] => return Ok(ArchiveKind::Gzip),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => return Ok(ArchiveKind::Zip),
        _ if length == RECORD && tar::is_header(&start) => return Ok(ArchiveKind::Tar),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "it is compressed with zstd: unpack it first",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "it is compressed with xz: unpack it first",
        [b'B', b'Z', b'h', ..] => "it is compressed with bzip2: unpack it first",
        _ if length == 0 => "the file is empty",
        _ => "the file begins like none of them",
    };
    Err(OpenError::NotAnArchive(other.to_owned()))
}

/// The member that is the bundle, where an archive is no bundle itself and holds one.
fn wrapped(findings: &Findings) -> Result<Option<usize>, OpenError> {
    let mut archives = Vec::new();
    for (index, found) in findings.members.iter().enumerate() {
        let (_, name) = found.name.rsplit_once('/').unwrap_or(("", &found.name));
        let marks = [
            "version.yaml",
            manifest::PATH,
            "cluster-info",
            "cluster-resources",
        ];
        if marks
            .iter()
            .any(|mark| found.name.split('/').any(|segment| segment == *mark))
        {
            return Ok(None);
        }
        let ends = [".tar.gz", ".tgz", ".tar", ".zip"];
        if matches!(found.kind, FoundKind::File(_)) && ends.iter().any(|end| name.ends_with(end)) {
            archives.push(index);
        }
    }
    match archives.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(*only)),
        several => {
            let names = several
                .iter()
                .map(|index| findings.members[*index].name.to_string());
            Err(OpenError::SeveralBundles(names.take(10).collect()))
        }
    }
}

/// What became of an archive's index.
enum Indexed {
    Read(Findings),
    None,
    Wrong(String),
}

/// Reads an archive's index, where it has one of ours.
fn indexed(file: &Arc<dyn ReadAt>, size: u64, budget: Budget) -> Result<Indexed, OpenError> {
    let Some(footer_at) = size.checked_sub(FOOTER as u64) else {
        return Ok(Indexed::None);
    };
    let mut footer = [0; FOOTER];
    file.read_exact_at(&mut footer, footer_at)?;
    let Some(index_at) = member::index_offset(&footer).filter(|at| *at < footer_at) else {
        return Ok(Indexed::None);
    };
    let Some(table) = hop(file.as_ref(), index_at)? else {
        return Ok(Indexed::Wrong(
            "the archive is not made of blocks of ours".to_owned(),
        ));
    };
    budget.check(table.last().map_or(0, Block::end))?;
    let entries = match read_index(file.as_ref(), index_at..footer_at, &table) {
        Ok(entries) => entries,
        Err(reason) => return Ok(Indexed::Wrong(reason)),
    };
    let limit = budget.limits.entries;
    if entries.len() > limit {
        return Err(OpenError::TooManyEntries { limit });
    }
    let members = entries.into_iter().map(|entry| Found {
        name: entry.name.clone().into(),
        modified: i64::try_from(entry.modified).unwrap_or(i64::MAX),
        kind: match &entry.kind {
            EntryKind::Link { target, .. } => {
                FoundKind::Link(target.clone(), Some(Box::new(entry)))
            }
            EntryKind::File { start, size, .. } => FoundKind::File(Content::Stream {
                start: *start,
                size: *size,
                claim: Some(Box::new(entry)),
            }),
        },
    });
    Ok(Indexed::Read(Findings {
        members: members.collect(),
        contents: Contents {
            blocks: Some(Arc::new(Blocks::new(Arc::clone(file), None, table))),
            folder: None,
        },
        ..Findings::default()
    }))
}

/// The blocks of ours that fill the file up to `end`, found from header to header.
fn hop(file: &dyn ReadAt, end: u64) -> io::Result<Option<Vec<Block>>> {
    let mut table: Vec<Block> = Vec::new();
    let mut offset = 0;
    // One read sees the end of a member and the beginning of the next.
    let mut seen = [0; 4 + HEADER];
    file.read_exact_at(&mut seen[4..], 0)?;
    while offset < end {
        let Some(header) = seen.last_chunk() else {
            return Ok(None);
        };
        let Some(stored) = member::length(header) else {
            return Ok(None);
        };
        let next = offset + u64::from(stored);
        if next > end {
            return Ok(None);
        }
        file.read_exact_at(&mut seen, next - 4)?;
        let inflated = member::inflated(&seen[..4]).unwrap_or(0);
        if inflated > MAX_BLOCK {
            return Ok(None);
        }
        if inflated > 0 {
            table.push(index::next_block(&table, offset, stored, inflated));
        }
        offset = next;
    }
    Ok(Some(table))
}

fn read_index(
    file: &dyn ReadAt,
    place: std::ops::Range<u64>,
    table: &[Block],
) -> Result<Vec<Entry>, String> {
    let stored = place.end - place.start;
    if stored > MAX_INDEX {
        return Err("it is too large".to_owned());
    }
    let mut stored = vec![0; usize::try_from(stored).map_err(|error| error.to_string())?];
    file.read_exact_at(&mut stored, place.start)
        .map_err(|error| error.to_string())?;
    let inflated = member::inflated(&stored).unwrap_or(0);
    // Half of an index is digests, which do not compress.
    if u64::from(inflated) > MAX_INDEX.min((16 << 20) + 32 * stored.len() as u64) {
        return Err("it is too large".to_owned());
    }
    let tar = member::inflate(&stored, inflated as usize).map_err(|error| error.to_string())?;
    drop(stored);
    let json = index::json(&tar).map_err(|error| error.to_string())?;
    index::decode(json, table).map_err(|error| error.to_string())
}

//! From a file, a folder or standard input to members.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use bundle::archive::{MemberKind, Members, MembersError, Skip};

use super::digest::Algorithm;
use super::examine::Wanted;
use super::lanes::{Examiner, Job};
use super::place::{Place, Slot, joined, place, segments, target};
use super::readers::{Passed, Seeking, Stored, Watched};
use super::shelf::Shelf;
use super::{ReadError, Request, release};
use crate::collector::locked;

/// How many bytes tell what kind of archive a stream is.
const START: usize = 512;
/// How many contents of a stream are examined at once, at most.
const MAX_LANES: usize = 4;
/// How many contents of a folder or a plain tar are examined at once, at most.
const MAX_WORKERS: usize = 8;
/// The largest `index.json`, `manifest.json` and `airgap.yaml`.
const MAX_TEXT: u64 = 16 << 20;
/// The largest link of distribution's storage: a digest.
const MAX_LINK: u64 = 1 << 10;
/// How deep folders are followed.
const MAX_DEPTH: usize = 64;

/// A walk under way.
struct Walk<'a> {
    request: &'a Request,
    shelf: &'a Mutex<Shelf>,
    stop: &'a AtomicBool,
}

/// A file that can be read on its own.
struct Found {
    segments: Vec<String>,
    size: u64,
    sequence: u64,
    from: From,
}

enum From {
    /// From this byte of the archive.
    Offset(u64),
    File(PathBuf),
}

/// Reads what is asked for.
pub(super) fn walk(request: &Request, stop: &AtomicBool) -> Result<Shelf, ReadError> {
    let held = Mutex::new(Shelf::default());
    let walk = Walk {
        request,
        shelf: &held,
        stop,
    };
    walk.run()?;
    if stop.load(Ordering::Relaxed) {
        return Err(ReadError::Stopped);
    }
    Ok(held
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner))
}

impl Walk<'_> {
    fn run(&self) -> Result<(), ReadError> {
        let path = &self.request.path;
        let open = |source| ReadError::Open {
            path: path.clone(),
            source,
        };
        if path == Path::new("-") {
            return self.stream(io::stdin()).map(drop);
        }
        if std::fs::metadata(path).map_err(open)?.is_dir() {
            return self.folder();
        }
        let mut file = File::open(path).map_err(open)?;
        let mut start = Vec::new();
        Read::by_ref(&mut file)
            .take(START as u64)
            .read_to_end(&mut start)
            .map_err(open)?;
        let is_seekable = file.rewind().is_ok();
        if !is_seekable {
            return self.stream(Cursor::new(start).chain(file)).map(drop);
        }
        if Stored::of(&start) != Stored::Plain {
            return self.stream(file);
        }
        self.plain(file)
    }

    /// A stream, inflated here and examined by others.
    fn stream(&self, from: impl Read + Send) -> Result<(), ReadError> {
        let mut from = Watched {
            inner: from,
            stop: self.stop,
            read: 0,
        };
        let path = &self.request.path;
        let open = |source| ReadError::Open {
            path: path.clone(),
            source,
        };
        let mut start = Vec::new();
        Read::by_ref(&mut from)
            .take(START as u64)
            .read_to_end(&mut start)
            .map_err(open)?;
        let stored = Stored::of(&start);
        let lanes = thread::available_parallelism().map_or(1, usize::from);
        let held = self.shelf;
        let ended = thread::scope(|scope| {
            let mut examiner = Examiner::lanes(lanes.min(MAX_LANES), scope, held);
            let whole = Cursor::new(start).chain(&mut from);
            let tar = stored.unpacked(whole).map_err(open)?;
            let mut members = Members::new(tar, self.request.limits.archive);
            let walked = self.members(&mut members, "", &mut examiner);
            let position = members.position();
            let ended = match walked {
                // The checksum of a gzip stream stands behind the tar's end.
                Ok(()) => io::copy(
                    &mut members
                        .into_inner()
                        .take(self.request.limits.archive.total_bytes),
                    &mut io::sink(),
                )
                .map(drop)
                .map_err(|source| MembersError::Read {
                    at: position,
                    source,
                }),
                Err(error) => Err(error),
            };
            Ok((position, ended))
        })?;
        let (position, ended) = ended;
        let mut held = locked(self.shelf);
        stored.container().clone_into(&mut held.inventory.container);
        held.inventory.bytes = from.read;
        held.inventory.unpacked_bytes = position;
        drop(held);
        self.ended(ended)
    }

    /// What an end before the end is: damage, a cap, or no archive at all.
    fn ended(&self, ended: Result<(), MembersError>) -> Result<(), ReadError> {
        let path = self.request.path.clone();
        match ended {
            Ok(()) => Ok(()),
            Err(error @ MembersError::NotATar) => Err(ReadError::NotAnArchive {
                path,
                reason: error.to_string(),
            }),
            Err(
                source @ (MembersError::TooManyEntries { .. }
                | MembersError::NamesTooLong { .. }
                | MembersError::TooLarge { .. }),
            ) => Err(ReadError::Cap { path, source }),
            Err(error) => {
                let mut held = locked(self.shelf);
                if held.inventory.members == 0 {
                    return Err(ReadError::NotAnArchive {
                        path,
                        reason: error.to_string(),
                    });
                }
                held.inventory.damage = Some(error.to_string());
                Ok(())
            }
        }
    }

    /// Every member of a tar. `prefix` is the path of the archive where it lies in another.
    fn members<R: Skip>(
        &self,
        members: &mut Members<R>,
        prefix: &str,
        examiner: &mut Examiner<'_>,
    ) -> Result<(), MembersError> {
        let mut sequence = 0;
        while let Some(member) = members.next()? {
            sequence += 1;
            for problem in members.problems() {
                locked(self.shelf).note(problem.to_string());
            }
            let Some(parts) = self.inside(&member.name, &member.kind, prefix) else {
                continue;
            };
            if let MemberKind::File(size) = member.kind {
                self.file(
                    &parts,
                    size,
                    sequence,
                    prefix,
                    &mut members.content(),
                    examiner,
                );
            }
        }
        for problem in members.problems() {
            locked(self.shelf).note(problem.to_string());
        }
        Ok(())
    }

    /// The segments of a member's name, where the member is of use.
    fn inside<'n>(&self, name: &'n str, kind: &MemberKind, prefix: &str) -> Option<Vec<&'n str>> {
        let mut held = locked(self.shelf);
        held.inventory.members += 1;
        let Some(parts) = segments(name) else {
            if !name.chars().all(|letter| matches!(letter, '.' | '/')) || name.contains("..") {
                held.note(format!("{name} leads out of the archive and is not read"));
            }
            return None;
        };
        if prefix.is_empty() && matches!(parts[..], ["images", ..]) {
            held.inventory.has_images = true;
        }
        match kind {
            MemberKind::File(_) => return Some(parts),
            MemberKind::Folder => {}
            MemberKind::Symlink(to) | MemberKind::HardLink(to) => {
                let is_symbolic = matches!(kind, MemberKind::Symlink(_));
                match target(&parts, to, is_symbolic) {
                    Some(to) => held.link(joined(prefix, &parts.join("/")), joined(prefix, &to)),
                    None => held.note(format!("{name} is a link that leads out of the archive")),
                }
            }
            MemberKind::Other(what) => held.note(format!("{name} is {what} and is not read")),
        }
        None
    }

    /// One file. Where reading fails, whoever reads on is told again.
    fn file(
        &self,
        parts: &[&str],
        size: u64,
        sequence: u64,
        prefix: &str,
        content: &mut dyn Skip,
        examiner: &mut Examiner<'_>,
    ) {
        let Place { root, slot } = place(parts, !prefix.is_empty());
        let path = joined(prefix, &parts.join("/"));
        let place = Place {
            root: joined(prefix, &root),
            slot,
        };
        match place.slot {
            Slot::AppleDouble => locked(self.shelf).inventory.apple_double += 1,
            Slot::Aside => {}
            Slot::Artifact => locked(self.shelf).file(&path, size),
            Slot::Link(_) => self.text(&path, &place, size, sequence, content, MAX_LINK),
            Slot::OciLayout | Slot::Index | Slot::DockerManifest | Slot::Airgap => {
                self.text(&path, &place, size, sequence, content, MAX_TEXT);
            }
            Slot::Blob(..) | Slot::Other => {
                let algorithm = match place.slot {
                    Slot::Blob(algorithm, _) => algorithm,
                    _ => Algorithm::Sha256,
                };
                let wanted = Wanted {
                    algorithm,
                    size,
                    unpack: self.request.unpack,
                    limit: self.request.limits.layer,
                };
                let job = Job {
                    path,
                    place,
                    sequence,
                    wanted,
                };
                // Where reading fails, the next member's header cannot be read either, which is told.
                let _ = examiner.take(job, content);
            }
            Slot::Archive => self.inner(&path, content, examiner),
            Slot::Release => self.release(&path, content),
        }
    }

    fn text(
        &self,
        path: &str,
        place: &Place,
        size: u64,
        sequence: u64,
        content: &mut dyn Skip,
        limit: u64,
    ) {
        let mut text = Vec::new();
        if size > limit {
            locked(self.shelf).note(format!("{path} has {size} bytes, more than {limit}"));
        } else if content.read_to_end(&mut text).is_ok() {
            let mut held = locked(self.shelf);
            if held.is_last(path, sequence) {
                held.text(path, place, &text);
            }
        }
    }

    /// An archive of `docker save` in this one.
    fn inner(&self, path: &str, content: &mut dyn Skip, examiner: &mut Examiner<'_>) {
        let mut members = Members::new(content, self.request.limits.archive);
        if let Err(error) = self.members(&mut members, path, examiner) {
            locked(self.shelf).damaged(path, error.to_string());
        }
    }

    /// The release, of which the YAML files are kept.
    fn release(&self, path: &str, content: &mut dyn Skip) {
        let (release, files) = release::read(path, content, self.request.limits.archive);
        let mut held = locked(self.shelf);
        held.release(release);
        held.release_files = files;
    }

    /// A tar that can be read from anywhere: its members are listed first and examined several at once.
    fn plain(&self, file: File) -> Result<(), ReadError> {
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        let mut members = Members::new(Seeking::new(file, size), self.request.limits.archive);
        let mut all = Vec::new();
        let ended = loop {
            let member = match members.next() {
                Ok(Some(member)) => member,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            if self.stop.load(Ordering::Relaxed) {
                return Err(ReadError::Stopped);
            }
            for problem in members.problems() {
                locked(self.shelf).note(problem.to_string());
            }
            if let Some(parts) = self.inside(&member.name, &member.kind, "")
                && let MemberKind::File(size) = member.kind
            {
                all.push(Found {
                    segments: parts.into_iter().map(str::to_owned).collect(),
                    size,
                    sequence: all.len() as u64 + 1,
                    from: From::Offset(member.start),
                });
            }
        };
        let mut held = locked(self.shelf);
        Stored::Plain
            .container()
            .clone_into(&mut held.inventory.container);
        held.inventory.bytes = size;
        held.inventory.unpacked_bytes = members.position();
        drop(held);
        self.ended(ended)?;
        self.examine_all(&all)
    }

    fn folder(&self) -> Result<(), ReadError> {
        let mut all = Vec::new();
        let mut bytes = 0;
        self.list(&self.request.path, &mut Vec::new(), &mut all, &mut bytes)?;
        let mut held = locked(self.shelf);
        "folder".clone_into(&mut held.inventory.container);
        held.inventory.bytes = bytes;
        held.inventory.unpacked_bytes = bytes;
        drop(held);
        self.examine_all(&all)
    }

    fn list(
        &self,
        folder: &Path,
        parts: &mut Vec<String>,
        all: &mut Vec<Found>,
        bytes: &mut u64,
    ) -> Result<(), ReadError> {
        let open = |source| ReadError::Open {
            path: folder.to_owned(),
            source,
        };
        let limit = self.request.limits.archive.entries;
        let mut entries = std::fs::read_dir(folder)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(open)?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            if self.stop.load(Ordering::Relaxed) {
                return Err(ReadError::Stopped);
            }
            if all.len() >= limit {
                return Err(ReadError::Cap {
                    path: folder.to_owned(),
                    source: MembersError::TooManyEntries { limit },
                });
            }
            parts.push(entry.file_name().to_string_lossy().into_owned());
            let name = parts.join("/");
            let metadata = entry.metadata().map_err(open)?;
            let kind = if metadata.is_dir() {
                MemberKind::Folder
            } else if metadata.is_symlink() {
                let target = std::fs::read_link(entry.path()).map_err(open)?;
                MemberKind::Symlink(target.to_string_lossy().into_owned())
            } else if metadata.is_file() {
                MemberKind::File(metadata.len())
            } else {
                MemberKind::Other("a device, socket or pipe")
            };
            if self.inside(&name, &kind, "").is_some() {
                *bytes += metadata.len();
                all.push(Found {
                    segments: parts.clone(),
                    size: metadata.len(),
                    sequence: all.len() as u64 + 1,
                    from: From::File(entry.path()),
                });
            } else if metadata.is_dir() && parts.len() < MAX_DEPTH {
                self.list(&entry.path(), parts, all, bytes)?;
            }
            parts.pop();
        }
        Ok(())
    }

    /// Examines files, several at once.
    fn examine_all(&self, all: &[Found]) -> Result<(), ReadError> {
        let next = AtomicUsize::new(0);
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let failures = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..workers.min(MAX_WORKERS) {
                scope.spawn(|| {
                    let mut examiner = Examiner::here(self.shelf);
                    while !self.stop.load(Ordering::Relaxed) {
                        let Some(found) = all.get(next.fetch_add(1, Ordering::Relaxed)) else {
                            break;
                        };
                        if let Err(error) = self.one(found, &mut examiner) {
                            locked(&failures).push((found.segments.join("/"), error));
                        }
                    }
                });
            }
        });
        let failures = failures
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((name, source)) = failures.into_iter().next() {
            return Err(ReadError::Open {
                path: self.request.path.join(name),
                source,
            });
        }
        Ok(())
    }

    fn one(&self, found: &Found, examiner: &mut Examiner<'_>) -> io::Result<()> {
        let file = match &found.from {
            From::File(path) => File::open(path)?,
            From::Offset(offset) => {
                let mut file = File::open(&self.request.path)?;
                file.seek(SeekFrom::Start(*offset))?;
                file
            }
        };
        let watched = Watched {
            inner: file.take(found.size),
            stop: self.stop,
            read: 0,
        };
        let parts: Vec<&str> = found.segments.iter().map(String::as_str).collect();
        let mut content = Passed(watched);
        self.file(
            &parts,
            found.size,
            found.sequence,
            "",
            &mut content,
            examiner,
        );
        Ok(())
    }
}

//! From a file, a folder or standard input to members.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use bundle::archive::{MemberKind, Members, MembersError, Skip};
use bundle::collected::image_bundle::Release;
use flate2::bufread::MultiGzDecoder;

use super::examine::{Wanted, reason};
use super::lanes::{Examiner, Job};
use super::place::{Place, Slot, place, segments, target};
use super::shelf::{ReleaseFile, Shelf};
use super::{ReadError, Request};
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
/// The largest file of a release that is read for images, and all of them together.
const MAX_RELEASE_FILE: u64 = 1 << 20;
const MAX_RELEASE: usize = 16 << 20;
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
    let shelf = Mutex::new(Shelf::default());
    let walk = Walk {
        request,
        shelf: &shelf,
        stop,
    };
    walk.run()?;
    if stop.load(Ordering::Relaxed) {
        return Err(ReadError::Stopped);
    }
    Ok(shelf
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// How the bytes of a tar are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    Plain,
    Gzip,
    Zstd,
}

impl Stored {
    fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    fn container(self) -> &'static str {
        match self {
            Self::Plain => "tar",
            Self::Gzip => "tar, gzip",
            Self::Zstd => "tar, zstd",
        }
    }

    /// The tar.
    fn unpacked<'a, R: Read + Send + 'a>(self, from: R) -> io::Result<Remembering<Box<dyn Read + Send + 'a>>> {
        let from = BufReader::with_capacity(256 << 10, from);
        Ok(Remembering {
            inner: match self {
                Self::Plain => Box::new(from),
                Self::Gzip => Box::new(MultiGzDecoder::new(from)),
                Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(from)?),
            },
            error: None,
        })
    }
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
        let shelf = self.shelf;
        let ended = thread::scope(|scope| {
            let mut examiner = Examiner::lanes(lanes.min(MAX_LANES), scope, shelf);
            let whole = Cursor::new(start).chain(&mut from);
            let tar = stored.unpacked(whole).map_err(open)?;
            let mut members = Members::new(tar, self.request.limits.archive);
            let walked = self.members(&mut members, "", &mut examiner);
            let position = members.position();
            let ended = match walked {
                // The checksum of a gzip stream stands behind the tar's end.
                Ok(()) => io::copy(&mut members.into_inner().take(self.request.limits.archive.total_bytes), &mut io::sink())
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
        let mut shelf = locked(self.shelf);
        stored.container().clone_into(&mut shelf.inventory.container);
        shelf.inventory.bytes = from.read;
        shelf.inventory.unpacked_bytes = position;
        drop(shelf);
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
                let mut shelf = locked(self.shelf);
                if shelf.inventory.members == 0 {
                    return Err(ReadError::NotAnArchive {
                        path,
                        reason: error.to_string(),
                    });
                }
                shelf.inventory.damage = Some(error.to_string());
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
                self.file(&parts, size, sequence, prefix, &mut members.content(), examiner);
            }
        }
        for problem in members.problems() {
            locked(self.shelf).note(problem.to_string());
        }
        Ok(())
    }

    /// The segments of a member's name, where the member is of use.
    fn inside<'n>(&self, name: &'n str, kind: &MemberKind, prefix: &str) -> Option<Vec<&'n str>> {
        let mut shelf = locked(self.shelf);
        shelf.inventory.members += 1;
        let Some(parts) = segments(name) else {
            if !name.chars().all(|letter| matches!(letter, '.' | '/')) || name.contains("..") {
                shelf.note(format!("{name} leads out of the archive and is not read"));
            }
            return None;
        };
        if prefix.is_empty() && matches!(parts[..], ["images", ..]) {
            shelf.inventory.has_images = true;
        }
        match kind {
            MemberKind::File(_) => return Some(parts),
            MemberKind::Folder => {}
            MemberKind::Symlink(to) | MemberKind::HardLink(to) => {
                let is_symbolic = matches!(kind, MemberKind::Symlink(_));
                match target(&parts, to, is_symbolic) {
                    Some(to) => shelf.link(joined(prefix, &parts.join("/")), joined(prefix, &to)),
                    None => shelf.note(format!("{name} is a link that leads out of the archive")),
                }
            }
            MemberKind::Other(what) => shelf.note(format!("{name} is {what} and is not read")),
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
            Slot::Blob(algorithm, _) => {
                let wanted = self.wanted(algorithm, size);
                let job = Job {
                    path,
                    place,
                    sequence,
                    wanted,
                };
                // The next member's header cannot be read either, which is told.
                let _ = examiner.take(job, content);
            }
            Slot::Other => {
                let wanted = self.wanted(super::digest::Algorithm::Sha256, size);
                let job = Job {
                    path,
                    place,
                    sequence,
                    wanted,
                };
                let _ = examiner.take(job, content);
            }
            Slot::Archive => self.inner(&path, content, examiner),
            Slot::Release => self.release(&path, content),
        }
    }

    fn wanted(&self, algorithm: super::digest::Algorithm, size: u64) -> Wanted {
        Wanted {
            algorithm,
            size,
            unpack: self.request.unpack,
            limit: self.request.limits.layer,
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
            let mut shelf = locked(self.shelf);
            if shelf.is_last(path, sequence) {
                shelf.text(path, place, &text);
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
        let mut release = Release::default();
        let mut files = Vec::new();
        if let Err(unread) = self.release_members(content, &mut release, &mut files) {
            release.unread = format!("{path}: {unread}");
        }
        let mut shelf = locked(self.shelf);
        shelf.release(release);
        shelf.release_files = files;
    }

    fn release_members(
        &self,
        content: &mut dyn Skip,
        release: &mut Release,
        files: &mut Vec<ReleaseFile>,
    ) -> Result<(), String> {
        let buffered = BufReader::with_capacity(64 << 10, content);
        let tar = Remembering {
            inner: MultiGzDecoder::new(buffered),
            error: None,
        };
        let mut members = Members::new(tar, self.request.limits.archive);
        let mut total = 0;
        loop {
            let member = match members.next() {
                Ok(Some(member)) => member,
                Ok(None) => break,
                Err(error) => return Err(error.to_string()),
            };
            let (Some(parts), MemberKind::File(size)) = (segments(&member.name), member.kind)
            else {
                continue;
            };
            let name = parts.join("/");
            let is_hidden = parts.last().is_some_and(|name| name.starts_with("._"));
            if is_hidden {
                continue;
            }
            if name.ends_with(".tgz") || name.ends_with(".tar.gz") {
                release.charts.push(name);
            } else if (name.ends_with(".yaml") || name.ends_with(".yml"))
                && size <= MAX_RELEASE_FILE
                && total < MAX_RELEASE
            {
                let mut bytes = Vec::new();
                if let Err(error) = members.content().read_to_end(&mut bytes) {
                    return Err(reason(&error));
                }
                total += bytes.len();
                files.push(ReleaseFile {
                    path: name,
                    text: String::from_utf8_lossy(&bytes).into_owned(),
                });
            }
        }
        io::copy(&mut members.into_inner(), &mut io::sink())
            .map(drop)
            .map_err(|error| reason(&error))
    }

    /// A tar that can be read from anywhere: its members are listed first and examined several at once.
    fn plain(&self, file: File) -> Result<(), ReadError> {
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        let mut members = Members::new(Seeking { file, at: 0, size }, self.request.limits.archive);
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
        let mut shelf = locked(self.shelf);
        Stored::Plain.container().clone_into(&mut shelf.inventory.container);
        shelf.inventory.bytes = size;
        shelf.inventory.unpacked_bytes = members.position();
        drop(shelf);
        self.ended(ended)?;
        self.examine_all(&all)
    }

    fn folder(&self) -> Result<(), ReadError> {
        let mut all = Vec::new();
        let mut bytes = 0;
        self.list(&self.request.path, &mut Vec::new(), &mut all, &mut bytes)?;
        let mut shelf = locked(self.shelf);
        "folder".clone_into(&mut shelf.inventory.container);
        shelf.inventory.bytes = bytes;
        shelf.inventory.unpacked_bytes = bytes;
        drop(shelf);
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
        self.file(&parts, found.size, found.sequence, "", &mut content, examiner);
        Ok(())
    }
}

fn joined(prefix: &str, path: &str) -> String {
    match (prefix, path) {
        ("", path) => path.to_owned(),
        (prefix, "") => prefix.to_owned(),
        (prefix, path) => format!("{prefix}/{path}"),
    }
}

/// A reader that counts, and fails once the run has ended.
struct Watched<'a, R> {
    inner: R,
    stop: &'a AtomicBool,
    read: u64,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("the run has ended"));
        }
        let read = self.inner.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

/// A reader that has no faster way to pass over bytes.
struct Passed<R>(R);

impl<R: Read> Read for Passed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Skip for Passed<R> {}

/// A decoder that goes on failing once it has failed: some forget, and what is damaged would look as if it had ended.
struct Remembering<R> {
    inner: R,
    error: Option<(io::ErrorKind, String)>,
}

impl<R: Read> Read for Remembering<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some((kind, text)) = &self.error {
            return Err(io::Error::new(*kind, text.clone()));
        }
        let read = self.inner.read(buffer);
        if let Err(error) = &read
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.error = Some((error.kind(), error.to_string()));
        }
        read
    }
}

impl<R: Read> Skip for Remembering<R> {}

/// A file that passes over bytes without reading them.
struct Seeking {
    file: File,
    at: u64,
    size: u64,
}

impl Read for Seeking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Skip for Seeking {
    fn skip(&mut self, length: u64) -> io::Result<u64> {
        let passed = length.min(self.size.saturating_sub(self.at));
        self.at += passed;
        self.file.seek(SeekFrom::Start(self.at))?;
        Ok(passed)
    }
}

//! The archive is a valid prefix at any moment: when the process is killed, when the disk is full, when many
//! write at once.

mod support;

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use assay_bundle as bundle;
use bundle::archive::{LossKind, Problem};
use bundle::io::{ArchiveFile, Inline, MemoryFile, MemorySpool, Pool, Spool, SpoolFile};
use bundle::manifest::{Ending, GapReason};
use bundle::{ArchiveWriter, Files, ReadError, Redactor, WriteError, WriterOptions};
use support::{Result, manifest, open, options, path, reopen, text, write, writer};

/// A file on a disk with so many bytes left, some of which are set aside until they are released.
struct SmallDisk {
    file: MemoryFile,
    used: u64,
    left: Arc<AtomicU64>,
    reserve: u64,
}

impl Write for SmallDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.load(Ordering::Relaxed) - self.reserve;
        let length = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if length == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        // As a disk does: what fits is written before the error.
        self.left.fetch_sub(length as u64, Ordering::Relaxed);
        self.used += length as u64;
        self.file.write(&bytes[..length])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ArchiveFile for SmallDisk {
    fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        if bytes > self.left.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.reserve = bytes;
        Ok(())
    }

    fn release(&mut self) -> io::Result<()> {
        self.reserve = 0;
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.left.fetch_add(self.used - length, Ordering::Relaxed);
        self.used = length;
        self.file.cut(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn on_small_disk(bytes: u64, reserve: u64) -> Result<(ArchiveWriter, MemoryFile), WriteError> {
    let file = MemoryFile::default();
    let disk = SmallDisk {
        file: file.clone(),
        used: 0,
        left: Arc::new(AtomicU64::new(bytes)),
        reserve: 0,
    };
    let options = WriterOptions {
        reserve,
        ..options()
    };
    let writer = ArchiveWriter::unredacted(Box::new(disk), options)?;
    Ok((writer, file))
}

#[test]
fn a_full_disk_still_gives_a_bundle() -> Result {
    for size in (60_000..1_400_000).step_by(111_111) {
        let (writer, file) = on_small_disk(size, 50_000)?;
        write(&writer, "version.yaml", b"v")?;
        let mut refused = 0;
        for n in 0..40_u64 {
            // Long and short files, so that the disk fills up in both.
            let length = if n % 3 == 0 { 1_500_000 } else { 40_000 };
            match writer.copy_from(
                &path(&format!("logs/{n}.log")),
                &mut text(length, n).as_slice(),
            ) {
                Ok(_) => {}
                Err(WriteError::Full(_)) => refused += 1,
                Err(other) => return Err(other.into()),
            }
        }
        assert!(refused > 0, "{size}: the disk was large enough");
        let mut manifest = manifest();
        manifest.ending = Ending::Output("no space left on device".to_owned());
        let live = writer.flush(Arc::new(file.clone()), manifest.clone())?;
        write(&writer, "analysis.json", b"[]")?;
        assert!(writer.finish(&manifest)?.indexed, "{size}");
        let offline = reopen(&file)?;
        assert_eq!(offline.problems(), [], "{size}");
        assert_eq!(offline.verify(), [], "{size}");
        assert!(live.paths().eq(offline.paths()), "{size}");
        let lost = writer
            .losses()
            .into_iter()
            .filter(|loss| matches!(loss.kind, LossKind::Output(_)));
        for loss in lost {
            for files in [&live, &offline] {
                let missing = files.read(loss.path.as_str());
                assert!(
                    matches!(missing, Err(ReadError::Gap { gap, .. }) if gap.reason == GapReason::Failed)
                );
            }
        }
        for n in 0..40_u64 {
            let length = if n % 3 == 0 { 1_500_000 } else { 40_000 };
            if let Ok(bytes) = offline.read(&format!("logs/{n}.log")) {
                assert!(bytes[..] == text(length, n), "{size}: {n}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_tail_too_large_for_the_reserve_leaves_the_index_out() -> Result {
    let mut left_out = 0;
    for size in (800..4_000).step_by(100) {
        let (writer, file) = on_small_disk(size, 0)?;
        for n in 0..60 {
            write(&writer, &format!("{n}"), b"x")?;
        }
        match writer.finish(&manifest()) {
            Ok(finished) => {
                left_out += usize::from(!finished.indexed);
                let files = reopen(&file)?;
                assert_eq!(files.problems(), [], "{size}: whole without an index");
                assert_eq!(files.paths().count(), 60, "{size}");
                assert_eq!(finished.bytes, file.bytes().len() as u64);
            }
            Err(error) => assert!(matches!(error, WriteError::Full(_)), "{size}: {error}"),
        }
    }
    assert!(left_out > 0);
    Ok(())
}

#[test]
fn a_disk_without_room_for_the_reserve_is_an_error_at_once() {
    for (left, wanted, least) in [(1000, 2000, 2000), (200 << 10, 8 << 20, 256 << 10)] {
        let refused = on_small_disk(left, wanted).err();
        assert!(
            matches!(refused, Some(WriteError::NoRoom { least: tried, .. }) if tried == least),
            "{left}: {refused:?}"
        );
    }
}

/// A spool on a full disk.
struct NoSpool;

impl Spool for NoSpool {
    fn create(&self) -> io::Result<Box<dyn SpoolFile>> {
        Err(io::ErrorKind::StorageFull.into())
    }
}

#[test]
fn without_a_spool_only_long_files_are_lost() -> Result {
    let file = MemoryFile::default();
    let options = WriterOptions {
        spool: Arc::new(NoSpool),
        ..options()
    };
    let writer = ArchiveWriter::unredacted(Box::new(file.clone()), options)?;
    let lost = writer.copy_from(&path("long.log"), &mut text(2_000_000, 1).as_slice());
    assert!(matches!(lost, Err(WriteError::Spool { .. })));
    write(&writer, "short.log", b"short")?;
    writer.finish(&manifest())?;
    let files = reopen(&file)?;
    assert_eq!(&files.read("short.log")?[..], b"short");
    let gap = files.read("long.log").err().map(|error| error.to_string());
    assert_eq!(
        gap.as_deref(),
        Some("long.log was not collected (failed: cannot spool long.log: no storage space)")
    );
    Ok(())
}

#[test]
fn a_killed_run_leaves_what_it_had_written() -> Result {
    let (writer, file) = writer()?;
    let mut files = vec![("version.yaml".to_owned(), b"v".to_vec())];
    files.extend((0..30_u64).map(|n| {
        let length = if n % 10 == 9 { 2_200_000 } else { 120_000 };
        (format!("logs/{n:02}.log"), text(length, n))
    }));
    for (name, bytes) in &files {
        write(&writer, name, bytes)?;
    }
    writer.flush(Arc::new(file.clone()), manifest())?;
    let whole = file.bytes();
    let read = |files: &Files| {
        files
            .paths()
            .filter(|path| files.read(path.as_str()).is_ok())
            .count()
    };
    assert_eq!(read(&open(whole.clone())?), files.len());
    let mut before = 0;
    for end in (200..whole.len()).step_by(whole.len() / 41) {
        let found = open(whole[..end].to_vec())?;
        let [Problem::Truncated { recovered }] = found.problems() else {
            return Err(format!("{end}: {:?}", found.problems()).into());
        };
        let count = read(&found);
        assert_eq!(*recovered, count, "{end}");
        assert!(count >= before, "{end}: a longer prefix holds no less");
        before = count;
        for (name, bytes) in &files {
            match found.read(name) {
                Ok(read) => assert!(read[..] == bytes[..], "{end}: {name}"),
                Err(ReadError::Unreadable { .. }) => {}
                // What was lost with the end is not known to be absent.
                Err(ReadError::Gap { gap, .. }) if gap.reason == GapReason::Malformed => {}
                Err(other) => return Err(other.into()),
            }
        }
    }
    assert!(before > 25);
    Ok(())
}

/// As many threads as a small machine has, behind a queue of a few jobs.
struct Threads(Mutex<std::sync::mpsc::SyncSender<Box<dyn FnOnce() + Send>>>);

impl Threads {
    fn new(count: usize) -> Self {
        let (sender, receiver) = std::sync::mpsc::sync_channel::<Box<dyn FnOnce() + Send>>(2);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..count {
            let receiver = Arc::clone(&receiver);
            thread::spawn(move || {
                while let Ok(job) = receiver.lock().expect("no job panics").recv() {
                    job();
                }
            });
        }
        Self(Mutex::new(sender))
    }
}

impl Pool for Threads {
    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        let sender = self.0.lock().expect("no job panics").clone();
        sender
            .send(job)
            .expect("the threads live as long as the pool");
    }
}

#[test]
fn many_writers_at_once_lose_nothing() -> Result {
    for threads in [1, 3] {
        let file = MemoryFile::default();
        let options = WriterOptions {
            pool: Arc::new(Threads::new(threads)),
            ..options()
        };
        let writer = Arc::new(ArchiveWriter::unredacted(Box::new(file.clone()), options)?);
        let length = |n: u64| usize::try_from(n * 7919 % 5).unwrap_or(0) * 700_000 + 10;
        thread::scope(|scope| {
            for writer_number in 0..6_u64 {
                let writer = &writer;
                scope.spawn(move || {
                    for n in (writer_number..48).step_by(6) {
                        let mut sink = writer
                            .file(&path(&format!("logs/{n}.log")))
                            .expect("a path of its own");
                        for piece in text(length(n), n).chunks(77_777) {
                            sink.write(piece).expect("memory takes all");
                        }
                        sink.finish().expect("memory takes all");
                    }
                });
            }
        });
        writer.finish(&manifest())?;
        let files = reopen(&file)?;
        assert_eq!(files.problems(), []);
        assert_eq!(files.verify(), []);
        for n in 0..48 {
            assert!(
                files.read(&format!("logs/{n}.log"))?[..] == text(length(n), n),
                "{n}"
            );
        }
    }
    Ok(())
}

#[test]
fn the_same_input_gives_the_same_bytes_on_any_pool() -> Result {
    let archive = |pool: Arc<dyn Pool>| -> Result<Vec<u8>> {
        let file = MemoryFile::default();
        let options = WriterOptions::new("b", 1, Arc::new(MemorySpool), pool);
        let writer = ArchiveWriter::unredacted(Box::new(file.clone()), options)?;
        for n in 0..20 {
            write(
                &writer,
                &format!("{n}.log"),
                &text(300_000 * (1 + usize::try_from(n % 5)?), n),
            )?;
        }
        writer.finish(&manifest())?;
        Ok(file.bytes())
    };
    let inline = archive(Arc::new(Inline))?;
    assert!(inline == archive(Arc::new(Inline))?);
    assert!(inline == archive(Arc::new(Threads::new(3)))?);
    Ok(())
}

/// What fails, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// This write fails with nothing written, and later ones do not.
    Once,
    /// So do all that follow: the disk is gone.
    Gone,
    /// Half of the bytes get there.
    Torn,
}

/// A file or spool whose `left`-th write from now fails with EIO.
struct Failing {
    file: MemoryFile,
    left: Arc<AtomicU64>,
    failure: Failure,
}

impl Failing {
    fn new(file: &MemoryFile, left: &Arc<AtomicU64>, failure: Failure) -> Self {
        Self {
            file: file.clone(),
            left: Arc::clone(left),
            failure,
        }
    }
}

/// `EIO` on every Unix.
fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.load(Ordering::Relaxed);
        if left > 0 {
            self.left.store(left - 1, Ordering::Relaxed);
            return self.file.write(bytes);
        }
        match self.failure {
            Failure::Once => self.left.store(u64::MAX, Ordering::Relaxed),
            Failure::Torn if bytes.len() > 1 => {
                self.file.write_all(&bytes[..bytes.len() / 2])?;
            }
            Failure::Gone | Failure::Torn => {}
        }
        Err(eio())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ArchiveFile for Failing {
    fn reserve(&mut self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn release(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.cut(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SpoolFile for Failing {
    fn finish(self: Box<Self>) -> io::Result<Arc<dyn bundle::io::ReadAt>> {
        Ok(Arc::new(self.file))
    }
}

/// A spool whose files fail.
struct FailingSpool(Arc<AtomicU64>, Failure);

impl Spool for FailingSpool {
    fn create(&self) -> io::Result<Box<dyn SpoolFile>> {
        Ok(Box::new(Failing::new(
            &MemoryFile::default(),
            &self.0,
            self.1,
        )))
    }
}

const SECRET: &str = "Qv7canaryZ4k";

/// A run as the pipeline makes it: files, the view for the analysis, its result, the end. Whether all of it went well,
/// and what was handed over.
fn run(writer: &ArchiveWriter, file: &MemoryFile) -> (bool, Vec<(String, Vec<u8>)>) {
    let mut files = vec![("version.yaml".to_owned(), b"v".to_vec())];
    for n in 0..6_u64 {
        let length = if n == 2 { 1_060_000 } else { 8_000 };
        let mut log = format!("DB_PASSWORD={SECRET}\n").into_bytes();
        log.extend(text(length, n));
        files.push((format!("logs/{n}.log"), log));
    }
    let mut well = true;
    for (name, bytes) in &files {
        well &= writer.copy_from(&path(name), &mut bytes.as_slice()).is_ok();
    }
    let view = writer.flush(Arc::new(file.clone()), manifest());
    well &= view.is_ok();
    well &= write(writer, "analysis.json", b"[]").is_ok();
    well &= writer.finish(&manifest()).is_ok();
    files.push(("analysis.json".to_owned(), b"[]".to_vec()));
    (well, files)
}

#[test]
fn an_error_of_the_disk_at_any_write_leaves_no_lie() -> Result {
    let mut errors = 0;
    for failure in [Failure::Once, Failure::Gone, Failure::Torn] {
        for in_spool in [false, true] {
            for left in 0.. {
                let budget = Arc::new(AtomicU64::new(left));
                let never = Arc::new(AtomicU64::new(u64::MAX));
                let (archive, spool) = if in_spool {
                    (&never, &budget)
                } else {
                    (&budget, &never)
                };
                let file = MemoryFile::default();
                let boxed = Box::new(Failing::new(&file, archive, failure));
                let options = WriterOptions {
                    spool: Arc::new(FailingSpool(Arc::clone(spool), failure)),
                    ..options()
                };
                let what = format!("{failure:?}, write {left}, in the spool: {in_spool}");
                let Ok(writer) = ArchiveWriter::new(boxed, Redactor::default(), options) else {
                    assert!(file.bytes().is_empty(), "{what}");
                    continue;
                };
                let (well, files) = run(&writer, &file);
                let reached = failure == Failure::Once && budget.load(Ordering::Relaxed) > left
                    || budget.load(Ordering::Relaxed) == 0;
                let found = open(file.bytes());
                let losses = writer.losses();
                if !reached {
                    // No write is left that could fail: this is the whole archive.
                    let found = found?;
                    assert!(well && losses.is_empty(), "{what}");
                    for (name, _) in &files {
                        assert!(found.report(name).is_ok(), "{what}: {name}");
                    }
                    errors += left;
                    break;
                }
                let Ok(found) = found else {
                    assert!(!well, "{what}: a run that went well left no archive");
                    continue;
                };
                let mut missing = 0;
                for (name, bytes) in &files {
                    let expected = String::from_utf8_lossy(bytes).replace(SECRET, "***HIDDEN***");
                    match found.report(name) {
                        Ok(read) => {
                            assert!(
                                *read == *expected.as_bytes(),
                                "{what}: {name} is another file"
                            );
                        }
                        Err(_) => missing += 1,
                    }
                }
                let told = !well || !losses.is_empty();
                assert!(missing == 0 || told, "{what}: {missing} files are missing");
                let damaged = !found.problems().is_empty() || !found.verify().is_empty();
                let manifest = found.manifest();
                assert!(
                    missing == 0
                        || damaged
                        || manifest.is_some_and(|manifest| !manifest.lost.is_empty()),
                    "{what}: the archive does not say that {missing} files are missing"
                );
            }
        }
    }
    assert!(errors > 20, "{errors}");
    Ok(())
}

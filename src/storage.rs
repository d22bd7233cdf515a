//! Files and threads, as the bundle crate asks for them ([`bundle::io`]).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use bundle::io::{ArchiveFile, Pool, ReadAt, Source, SourceEntry, SourceKind, Spool, SpoolFile};

/// A file that is read by position.
#[derive(Debug)]
pub struct DiskFile(File);

impl DiskFile {
    /// Opens a regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            ));
        }
        Ok(Self(file))
    }
}

impl ReadAt for DiskFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, buffer, offset)
    }

    #[cfg(windows)]
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            let read = std::os::windows::fs::FileExt::seek_read(&self.0, buffer, offset)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buffer = &mut buffer[read..];
            offset += read as u64;
        }
        Ok(())
    }
}

/// The archive under construction: 0600, never through a link, never over an existing file.
#[derive(Debug)]
pub struct NewArchive {
    file: File,
    folder: PathBuf,
    reserve: Option<File>,
}

impl NewArchive {
    /// Creates the file; an existing one is an error of kind `AlreadyExists`.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // `create_new` is O_EXCL, which does not follow a link in the last place either.
            options.mode(0o600);
        }
        Ok(Self {
            file: options.open(path)?,
            folder: folder_of(path),
            reserve: None,
        })
    }
}

/// The folder that holds `path`.
#[must_use]
pub fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

impl Write for NewArchive {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl ArchiveFile for NewArchive {
    /// Blocks set aside in a nameless file beside the archive: blocks beyond the archive's own end would be
    /// used up as it grows.
    fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        self.reserve = None;
        let reserve = tempfile::tempfile_in(&self.folder)?;
        #[cfg(target_os = "linux")]
        match rustix::fs::fallocate(&reserve, rustix::fs::FallocateFlags::empty(), 0, bytes) {
            // A file system without fallocate runs without a reserve.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            Err(error) => return Err(error.into()),
        }
        #[cfg(not(target_os = "linux"))]
        let _ = bytes;
        self.reserve = Some(reserve);
        Ok(())
    }

    fn release(&mut self) -> io::Result<()> {
        self.reserve = None;
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.seek(SeekFrom::Start(length)).map(drop)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Spool files without a name, in the archive's own folder: what fits there is known to fit the disk that
/// the operator chose, and nothing is left behind when the process is killed.
#[derive(Debug, Clone)]
pub struct DiskSpool {
    folder: PathBuf,
}

impl DiskSpool {
    /// Spools into `folder`.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }
}

struct DiskSpoolFile(File);

impl Write for DiskSpoolFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl SpoolFile for DiskSpoolFile {
    fn finish(self: Box<Self>) -> io::Result<Arc<dyn ReadAt>> {
        Ok(Arc::new(DiskFile(self.0)))
    }
}

impl Spool for DiskSpool {
    fn create(&self) -> io::Result<Box<dyn SpoolFile>> {
        Ok(Box::new(DiskSpoolFile(tempfile::tempfile_in(
            &self.folder,
        )?)))
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads behind a short queue.
#[derive(Debug)]
pub struct Threads {
    queue: SyncSender<Job>,
}

impl Threads {
    /// As many threads as the machine has cores.
    #[must_use]
    pub fn new() -> Self {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let (queue, jobs) = sync_channel::<Job>(count * 2);
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..count {
            let jobs = Arc::clone(&jobs);
            thread::spawn(move || {
                loop {
                    let job = match jobs.lock() {
                        Ok(jobs) => jobs.recv(),
                        Err(_) => break,
                    };
                    match job {
                        Ok(job) => job(),
                        Err(_) => break,
                    }
                }
            });
        }
        Self { queue }
    }
}

impl Default for Threads {
    fn default() -> Self {
        Self::new()
    }
}

impl Pool for Threads {
    fn run(&self, job: Job) {
        if let Err(unsent) = self.queue.send(job) {
            // Every thread is gone, which only a panicking job can cause: the work is still done.
            (unsent.0)();
        }
    }
}

/// An unpacked bundle on disk.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// A bundle at `root`.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn list(&self, below: &Path, found: &mut Vec<SourceEntry>) -> io::Result<()> {
        // A stranger's folder can be deeper than any stack: the work list is explicit.
        let mut folders = vec![below.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(self.root.join(&folder))? {
                let entry = entry?;
                let path = folder.join(entry.file_name());
                let metadata = entry.metadata()?;
                let kind = if metadata.is_dir() {
                    folders.push(path);
                    continue;
                } else if metadata.is_file() {
                    SourceKind::File(metadata.len())
                } else if metadata.is_symlink() {
                    let target = fs::read_link(entry.path())?;
                    SourceKind::Link(target.to_string_lossy().into_owned())
                } else {
                    SourceKind::Other
                };
                let modified = metadata
                    .modified()
                    .ok()
                    .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
                    .map_or(0, |age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
                let path = path
                    .to_string_lossy()
                    .replace(std::path::MAIN_SEPARATOR, "/");
                found.push(SourceEntry {
                    path,
                    kind,
                    modified,
                });
            }
        }
        Ok(())
    }
}

impl Source for Folder {
    fn entries(&self) -> io::Result<Vec<SourceEntry>> {
        let mut found = Vec::new();
        self.list(Path::new(""), &mut found)?;
        found.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(found)
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn ReadAt>> {
        let mut full = self.root.clone();
        for segment in path.split('/') {
            full.push(segment);
            if fs::symlink_metadata(&full)?.is_symlink() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a link stands in its path",
                ));
            }
        }
        Ok(Arc::new(DiskFile::open(&full)?))
    }
}

//! A folder of its own for each test, the binary in it, and a bundle that the binary serves.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// No run of the binary in a test may take longer; the machine may be loaded.
const DEADLINE: Duration = Duration::from_mins(2);

/// What a run left.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The largest resident set, in bytes, as last seen before the end.
    pub(crate) peak: u64,
}

impl Ran {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            peak: 0,
        }
    }

    /// The one JSON object on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!(
                "stdout is no JSON ({error}): {:?}; stderr: {}",
                self.stdout, self.stderr
            )
        })
    }

    /// Fails unless the exit code is this one, showing what was said.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Fails unless stderr holds every one of these.
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(
                self.stderr.contains(word),
                "{word:?} is not said: {}",
                self.stderr
            );
        }
        self
    }
}

/// A folder with `work`, `tmp` and `home` in it.
pub(crate) struct Bench {
    folder: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = TempDir::with_prefix("assay-offline-").expect("a temporary folder");
        for name in ["work", "tmp", "home"] {
            fs::create_dir(folder.path().join(name)).expect("an empty folder");
        }
        Self { folder }
    }

    /// The working folder of the binary.
    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Everything that the binary may write to.
    pub(crate) fn everything(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into the working folder.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).expect("a folder in the working folder");
        }
        fs::write(&path, bytes).expect("a file in the working folder");
        path
    }

    /// The binary under its own name.
    pub(crate) fn assay(&self) -> Command {
        self.program(Path::new(env!("CARGO_BIN_EXE_assay")))
    }

    /// The binary under a drop-in name.
    pub(crate) fn called(&self, name: &str) -> Command {
        let link = self.folder.path().join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_assay"), &link).expect("a link");
        }
        self.program(&link)
    }

    fn program(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path().join("home"))
            .env("TMPDIR", self.folder.path().join("tmp"))
            .env("TZ", "UTC")
            .current_dir(self.work())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(command: &mut Command) -> Ran {
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        finish(child)
    }

    /// Runs `assay` with arguments to its end.
    pub(crate) fn assay_run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        Self::run(self.assay().args(arguments))
    }

    /// The bundles in the working folder.
    pub(crate) fn bundles(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = fs::read_dir(self.work())
            .expect("the working folder")
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().ends_with(".tar.gz"))
            .collect();
        found.sort();
        found
    }
}

/// Waits for a child that was started with pipes.
pub(crate) fn finish(mut child: Child) -> Ran {
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut stderr = child.stderr.take().expect("a pipe");
    let read_out = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).map(|_| bytes)
    });
    let read_err = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).map(|_| bytes)
    });
    let started = Instant::now();
    let mut peak = 0;
    let status = loop {
        // The kernel keeps the peak, so that only what grows in the last moments goes unseen.
        peak = peak_of(child.id()).unwrap_or(peak);
        if let Some(status) = child.try_wait().expect("the binary can be waited for") {
            break status;
        }
        if started.elapsed() > DEADLINE {
            let _ = child.kill();
            panic!("the binary did not end within {DEADLINE:?}");
        }
        std::thread::park_timeout(Duration::from_millis(5));
    };
    let ran = Ran::of(&Output {
        status,
        stdout: read_out.join().expect("a reader").expect("stdout"),
        stderr: read_err.join().expect("a reader").expect("stderr"),
    });
    Ran { peak, ..ran }
}

/// The largest resident set of a process that still runs, in bytes.
pub(crate) fn peak_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes << 10)
}

/// A bundle served by the binary. It ends with the value.
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) kubeconfig: PathBuf,
}

impl Served {
    /// Serves an archive or a folder.
    #[expect(clippy::zombie_processes, reason = "a failed start ends the test")]
    pub(crate) fn start(bench: &Bench, bundle: &Path) -> Self {
        let kubeconfig = bench.work().join("served-kubeconfig");
        let mut child = bench
            .assay()
            .arg("serve")
            .arg(bundle)
            .arg("--write-kubeconfig")
            .arg(&kubeconfig)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("a pipe");
        let mut said = String::new();
        for line in BufReader::new(stderr).lines() {
            let line = line.expect("text on stderr");
            if line.starts_with("Serving ") {
                return Self { child, kubeconfig };
            }
            said.push_str(&line);
            said.push('\n');
        }
        panic!("the bundle is not served: {said}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The recorded cluster that ships with the project.
pub(crate) fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/cluster.tar.gz")
}

/// Every member of an archive, as GNU tar would unpack it, without the top folder.
pub(crate) fn members(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = fs::File::open(archive).expect("the bundle");
    let mut tar = tar::Archive::new(flate2::read::MultiGzDecoder::new(file));
    let mut members = BTreeMap::new();
    for entry in tar.entries().expect("a tar") {
        let mut entry = entry.expect("a member");
        let path = entry.path().expect("a path").to_string_lossy().into_owned();
        let path = path
            .split_once('/')
            .map_or(path.clone(), |(_, rest)| rest.to_owned());
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("a member's bytes");
        members.insert(path, bytes);
    }
    members
}

/// The results of a report that a verdict is made of, without what differs from run to run.
pub(crate) fn verdicts(report: &Value) -> Value {
    let lists = ["pass", "warn", "fail", "unknown", "notApplicable"];
    lists
        .iter()
        .map(|list| ((*list).to_owned(), report[*list].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// A kubeconfig for a server on loopback.
pub(crate) fn kubeconfig(server: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: \"{server}\"}}}}]
users: [{{name: u, user: {{token: t0ken}}}}]
contexts: [{{name: only, context: {{cluster: c, user: u}}}}]
current-context: only
"
    )
}

//! What a test against the rig stands on: a namespace, a folder and a kubeconfig of its own.
//!
//! `cargo xtask test` starts the servers and sets the environment (`ASSAY_RIG_KUBECONFIG` and its like; the table is
//! at `environment` in `xtask/src/rig/mod.rs`). Tests drive the `assay` binary and kubectl as a person would; no test
//! links a Kubernetes client.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// No run of the binary in a test may take longer; the machine may be loaded.
const RUN_DEADLINE: Duration = Duration::from_mins(3);

/// Held by every test while it has the rig's API server, alone by those that change what all of them see.
static API_SERVER: RwLock<()> = RwLock::new(());

/// How a test holds [`API_SERVER`]; the guards are there to be dropped.
enum Turn {
    Shared {
        _guard: RwLockReadGuard<'static, ()>,
    },
    Alone {
        _guard: RwLockWriteGuard<'static, ()>,
    },
}

/// A namespace of the rig's API server and a folder; both go away with the value.
pub(crate) struct Cluster {
    namespace: String,
    kubeconfig: PathBuf,
    folder: TempDir,
    _turn: Turn,
}

impl Cluster {
    /// Makes the namespace `name`, ready for pods, and an empty folder.
    pub(crate) fn new(name: &str) -> Self {
        let guard = API_SERVER.read().unwrap_or_else(PoisonError::into_inner);
        Self::during(Turn::Shared { _guard: guard }, name)
    }

    /// As [`Self::new`], while no other test has the API server: for one that breaks something for everybody, and
    /// mends it before its end.
    pub(crate) fn alone(name: &str) -> Self {
        let guard = API_SERVER.write().unwrap_or_else(PoisonError::into_inner);
        Self::during(Turn::Alone { _guard: guard }, name)
    }

    fn during(turn: Turn, name: &str) -> Self {
        let cluster = Self {
            namespace: name.to_owned(),
            kubeconfig: from_rig("ASSAY_RIG_KUBECONFIG"),
            folder: TempDir::with_prefix(format!("assay-{name}-")).expect("a temporary folder"),
            _turn: turn,
        };
        for folder in ["work", "tmp", "home"] {
            fs::create_dir(cluster.folder.path().join(folder)).expect("an empty folder");
        }
        cluster.kubectl(&["create", "namespace", name]);
        cluster.kubectl(&[
            "wait",
            "--for=create",
            "serviceaccount/default",
            "--timeout=120s",
        ]);
        cluster
    }

    /// The namespace of this test.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The working folder of the binary; bundles land here.
    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// The folder that the binary sees as the machine's temporary one.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    /// The folder that the binary sees as its user's.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Paths of everything below the test's folder whose bytes hold a text: working, home and temporary folder, stdout
    /// and stderr of the last run.
    pub(crate) fn files_holding(&self, text: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.folder.path().to_path_buf()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).expect("a folder of the test's") {
                let path = entry.expect("an entry of a folder of the test's").path();
                if path.is_dir() {
                    open.push(path);
                } else if contains(&fs::read(&path).expect("a file of the test's"), text) {
                    found.push(path);
                }
            }
        }
        found
    }

    /// Writes a file into the working folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.work().join(name);
        fs::write(&path, text).expect("a file in the working folder");
        path
    }

    /// Runs kubectl as the administrator in the test's namespace and returns its stdout.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl_with(arguments, "")
    }

    /// Applies manifests in the test's namespace. An object may not name another one.
    pub(crate) fn apply(&self, manifests: &str) {
        self.apply_in(&self.namespace, manifests);
    }

    /// Applies manifests in another namespace.
    pub(crate) fn apply_in(&self, namespace: &str, manifests: &str) {
        // kubectl takes the last of a repeated flag.
        let arguments = [
            "--namespace",
            namespace,
            "apply",
            "--server-side",
            "-f",
            "-",
        ];
        self.kubectl_with(&arguments, manifests);
    }

    /// Waits until a condition such as `--for=condition=Ready` holds.
    pub(crate) fn wait_for(&self, object: &str, condition: &str) {
        self.kubectl(&["wait", object, condition, "--timeout=120s"]);
    }

    /// Runs kubectl where it has to fail, and returns its stderr.
    pub(crate) fn kubectl_fails(&self, arguments: &[&str]) -> String {
        let output = self.run_kubectl(arguments, "");
        assert!(!output.status.success(), "kubectl {arguments:?} succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn kubectl_with(&self, arguments: &[&str], stdin: &str) -> String {
        let output = self.run_kubectl(arguments, stdin);
        assert!(
            output.status.success(),
            "kubectl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("kubectl prints UTF-8")
    }

    fn run_kubectl(&self, arguments: &[&str], stdin: &str) -> Output {
        let mut child = Command::new(from_rig("ASSAY_RIG_KUBECTL"))
            .args(["--namespace", &self.namespace])
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        child
            .stdin
            .take()
            .expect("stdin is a pipe")
            .write_all(stdin.as_bytes())
            .expect("kubectl reads its input");
        child.wait_with_output().expect("kubectl ends")
    }

    /// A service account that may do only what `rules` (the YAML list of a Role's rules) says in this namespace, and
    /// the path of a kubeconfig that holds its token.
    pub(crate) fn account(&self, name: &str, rules: &str) -> PathBuf {
        let namespace = &self.namespace;
        self.apply(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: {name}}}
rules:
{rules}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: {name}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {name}}}
subjects: [{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}]
"
        ));
        self.kubeconfig_of(name)
    }

    /// A service account that may do everything, whose requests can be told from those of other tests.
    pub(crate) fn administrator(&self, name: &str) -> PathBuf {
        let namespace = &self.namespace;
        self.apply(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {namespace}-{name}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}
subjects: [{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}]
"
        ));
        self.kubeconfig_of(name)
    }

    /// A service account that may do nothing but ask what it may do, and a kubeconfig that holds its token.
    pub(crate) fn kubeconfig_of(&self, name: &str) -> PathBuf {
        self.kubectl(&["create", "serviceaccount", name]);
        let token = self.kubectl(&["create", "token", name, "--duration=1h"]);
        let administrator = fs::read_to_string(&self.kubeconfig).expect("the rig's kubeconfig");
        let (clusters, _) = administrator
            .split_once("users:")
            .expect("the rig writes clusters before users");
        let kubeconfig = self.folder.path().join(format!("{name}.kubeconfig"));
        fs::write(
            &kubeconfig,
            format!(
                "{clusters}users:
- name: account
  user:
    token: {}
contexts:
- name: rig
  context:
    cluster: rig
    user: account
    namespace: {}
",
                token.trim(),
                self.namespace
            ),
        )
        .expect("a kubeconfig in the test's folder");
        kubeconfig
    }

    /// A run of the `assay` binary with the administrator's kubeconfig.
    pub(crate) fn assay(&self, arguments: &[&str]) -> Assay {
        self.program(Path::new(env!("CARGO_BIN_EXE_assay")), arguments)
    }

    /// The same under a drop-in name.
    pub(crate) fn called(&self, name: &str, arguments: &[&str]) -> Assay {
        self.program(&self.link(name), arguments)
    }

    /// The path of the binary under another name.
    pub(crate) fn link(&self, name: &str) -> PathBuf {
        let link = self.folder.path().join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_assay"), &link).expect("a link");
        }
        link
    }

    /// Any program with the environment that the binary gets.
    pub(crate) fn program(&self, path: &Path, arguments: &[&str]) -> Assay {
        let mut command = Command::new(path);
        command
            .args(arguments)
            .current_dir(self.work())
            .env_clear()
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", self.folder.path().join("home"))
            .env("TMPDIR", self.tmp())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null());
        Assay {
            command,
            outputs: self.folder.path().to_path_buf(),
        }
    }

    /// The one archive in the working folder.
    pub(crate) fn bundle(&self) -> Bundle {
        let mut archives: Vec<PathBuf> = fs::read_dir(self.work())
            .expect("the working folder")
            .map(|entry| entry.expect("an entry of the working folder").path())
            .filter(|path| path.to_string_lossy().ends_with(".tar.gz"))
            .collect();
        assert_eq!(
            archives.len(),
            1,
            "archives in the working folder: {archives:?}"
        );
        Bundle::open(&archives.remove(0))
    }

    /// The requests that a service account of this namespace made so far, by the API server's own record:
    /// `(verb, URI, status code)`.
    pub(crate) fn requests(&self, account: &str) -> Vec<(String, String, u64)> {
        let user = format!("system:serviceaccount:{}:{account}", self.namespace);
        let log = fs::read_to_string(from_rig("ASSAY_RIG_AUDIT_LOG")).expect("the audit log");
        log.lines()
            // The last line may be under way.
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| event["user"]["username"] == user.as_str())
            .map(|event| {
                (
                    event["verb"].as_str().unwrap_or_default().to_owned(),
                    event["requestURI"].as_str().unwrap_or_default().to_owned(),
                    event["responseStatus"]["code"].as_u64().unwrap_or_default(),
                )
            })
            .collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Not waited for: the rig is thrown away as a whole.
        let _ = Command::new(from_rig("ASSAY_RIG_KUBECTL"))
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["delete", "namespace", &self.namespace, "--wait=false"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// Looks again and again until `ready`; fails the test when that takes longer than anything may.
pub(crate) fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + RUN_DEADLINE;
    while !ready() {
        assert!(
            Instant::now() < deadline,
            "{what}: not within {RUN_DEADLINE:?}"
        );
        thread::sleep(Duration::from_millis(50));
    }
}

/// A value that `cargo xtask test` hands to the tests.
pub(crate) fn from_rig(name: &str) -> PathBuf {
    std::env::var_os(name).map_or_else(
        || panic!("{name} is not set: run these tests with `cargo xtask test`"),
        PathBuf::from,
    )
}

/// A run of the binary that is being prepared.
pub(crate) struct Assay {
    command: Command,
    outputs: PathBuf,
}

impl Assay {
    /// Takes another kubeconfig than the administrator's.
    pub(crate) fn kubeconfig(mut self, path: &Path) -> Self {
        self.command.env("KUBECONFIG", path);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs in another folder than the test's working one.
    pub(crate) fn in_folder(mut self, path: &Path) -> Self {
        self.command.current_dir(path);
        self
    }

    /// Runs to the end. Fails the test if the run takes longer than any run may.
    pub(crate) fn run(self) -> Run {
        self.start().wait()
    }

    /// Starts the binary, for tests that interrupt it.
    pub(crate) fn start(mut self) -> Running {
        let stdout = self.outputs.join("stdout");
        let stderr = self.outputs.join("stderr");
        let child = self
            .command
            .stdout(File::create(&stdout).expect("a file for stdout"))
            .stderr(File::create(&stderr).expect("a file for stderr"))
            .spawn()
            .expect("the assay binary starts");
        Running {
            child,
            stdout,
            stderr,
        }
    }
}

/// The binary while it runs.
pub(crate) struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal)
            .expect("the binary takes signals");
    }

    /// Whether it has ended by itself.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("the binary can be waited for")
            .is_some()
    }

    /// What it has said on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Waits for the end; kills it and fails the test after the deadline.
    pub(crate) fn wait(mut self) -> Run {
        let deadline = Instant::now() + RUN_DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the binary can be waited for") {
                return Run {
                    code: status.code(),
                    stdout: read(&self.stdout),
                    stderr: read(&self.stderr),
                };
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!(
                    "no end within {RUN_DEADLINE:?}; stderr:\n{}",
                    read(&self.stderr)
                );
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What a run left.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code; nothing if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Asserts the exit code, showing everything the run said if it is another.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// stdout as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is not JSON: {error}\n{}", self.stdout))
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).expect("what the binary wrote")).into_owned()
}

/// An archive as any tar program sees it, in memory.
pub(crate) struct Bundle {
    files: BTreeMap<String, Vec<u8>>,
}

impl Bundle {
    /// Reads a `.tar.gz` with plain gzip and tar, as somebody without our tool would.
    pub(crate) fn open(path: &Path) -> Self {
        let file = File::open(path).expect("the archive opens");
        let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(file));
        let mut files = BTreeMap::new();
        for entry in archive.entries().expect("a tar archive") {
            let mut entry = entry.expect("a whole member");
            if entry.header().entry_type().is_file() {
                let path = entry.path().expect("a path").to_string_lossy().into_owned();
                // Everything lies in one folder that is named as the archive.
                let path = path
                    .split_once('/')
                    .map_or(path.clone(), |(_, inner)| inner.to_owned());
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).expect("a whole member");
                files.insert(path, bytes);
            }
        }
        Self { files }
    }

    /// Paths below the top folder, sorted.
    pub(crate) fn paths(&self) -> Vec<&str> {
        self.files.keys().map(String::as_str).collect()
    }

    /// Whether a file is there.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// A file's text.
    #[track_caller]
    pub(crate) fn text(&self, path: &str) -> String {
        let bytes = self
            .files
            .get(path)
            .unwrap_or_else(|| panic!("{path} is not among {:#?}", self.paths()));
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// A file as JSON.
    #[track_caller]
    pub(crate) fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path))
            .unwrap_or_else(|error| panic!("{path} is not JSON: {error}"))
    }

    /// Paths of the files that hold a text anywhere.
    pub(crate) fn holding(&self, text: &str) -> Vec<&str> {
        self.files
            .iter()
            .filter(|(_, bytes)| contains(bytes, text))
            .map(|(path, _)| path.as_str())
            .collect()
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

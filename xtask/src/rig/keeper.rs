//! The keeper: outlives its caller by a moment, ends the sandbox, removes what the run made.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{STOP_DEADLINE, cache, environment};

/// `cargo xtask rig keep`, which only the rig itself calls.
#[derive(Debug, Args)]
pub(crate) struct KeepTask {
    #[arg(long)]
    name: String,
    #[arg(long)]
    node: bool,
}

/// Where running rigs have their folders.
pub(super) fn runs_folder() -> Result<PathBuf> {
    let folder = cache::folder()?.join("run");
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    Ok(folder)
}

/// How to find a running sandbox; kept as `sandbox.json` in the run's folder.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sandbox {
    /// The keeper's process.
    keeper: u32,
    /// The `unshare` process, whose namespaces are the sandbox's.
    unshare: u32,
}

impl Sandbox {
    /// Reads where a rig runs.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("sandbox.json");
        let text = fs::read(&path).with_context(|| {
            format!(
                "failed to read {}: is the rig up? (`cargo xtask rig up`)",
                path.display()
            )
        })?;
        serde_json::from_slice(&text).with_context(|| format!("failed to read {}", path.display()))
    }

    /// A command that runs in all namespaces of the sandbox, so that it cannot outlive it.
    pub(super) fn command(&self, program: &str, folder: &Path) -> Result<Command> {
        let namespaces = PathBuf::from(format!("/proc/{}/ns", self.unshare));
        let mut command = Command::new("nsenter");
        if !rustix::process::geteuid().is_root() {
            command
                .arg(format!("--user={}", namespaces.join("user").display()))
                .arg("--preserve-credentials");
        }
        command
            .arg(format!("--net={}", namespaces.join("net").display()))
            .arg(format!("--mount={}", namespaces.join("mnt").display()))
            .arg(format!(
                "--pid={}",
                namespaces.join("pid_for_children").display()
            ))
            .arg(format!("--wd={}", std::env::current_dir()?.display()))
            .arg("--")
            .arg(program);
        command.envs(environment(folder)?);
        let made = cache::path_of("kubectl")?;
        let kubectl = made.parent().context("kubectl lies in a folder")?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env(
            "PATH",
            std::env::join_paths(
                std::iter::once(kubectl.to_path_buf()).chain(std::env::split_paths(&path)),
            )?,
        );
        Ok(command)
    }

    /// The numbers by which the kernel knows the sandbox's namespaces.
    pub(super) fn namespaces(&self) -> Result<BTreeSet<u64>> {
        ["net", "mnt", "pid_for_children"]
            .map(|kind| {
                let path = format!("/proc/{}/ns/{kind}", self.unshare);
                let found =
                    fs::metadata(&path).with_context(|| format!("failed to find {path}"))?;
                Ok(found.ino())
            })
            .into_iter()
            .collect()
    }

    /// Asks the keeper to stop the rig.
    pub(super) fn stop_keeper(&self) -> Result<()> {
        let pid = i32::try_from(self.keeper)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .context("the keeper's process id is not one")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .with_context(|| format!("failed to signal the rig's keeper, process {}", self.keeper))
    }
}

/// What a caller writes to the keeper's stdin when the rig is to stay after the caller is gone.
pub(super) const STAY: &[u8] = b"stay";

enum Event {
    CallerGone,
    Signalled,
    SandboxEnded,
}

/// Runs a sandbox until its caller is gone, a signal comes or it ends by itself; then removes the run's folder and
/// control groups.
pub(super) fn keep(task: &KeepTask) -> Result<()> {
    // A session of its own: Ctrl-C goes to the caller, whose end this process sees by the pipe.
    rustix::process::setsid().context("failed to start a session for the rig's keeper")?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let folder = runs_folder()?.join(&task.name);
    let alone = exclusively()?;
    fs::create_dir(&folder).with_context(|| {
        format!(
            "failed to make {}: a rig named {} runs already (`cargo xtask rig down`)",
            folder.display(),
            task.name
        )
    })?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    drop(alone);

    let (send, events) = mpsc::channel();
    let caller = send.clone();
    thread::spawn(move || {
        let mut said = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut said);
        if said != STAY {
            let _ = caller.send(Event::CallerGone);
        }
    });
    let signalled = send.clone();
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            let _ = signalled.send(Event::Signalled);
        }
    });

    let mut unshare = Command::new("setpriv");
    // Should the keeper itself be killed, the kernel ends the sandbox.
    unshare.args(["--pdeathsig", "SIGKILL", "unshare"]);
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let mut unshare = unshare
        .args(["--mount", "--propagation", "private", "--net"])
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(std::env::current_exe()?)
        .args(["rig", "sandbox", "--folder"])
        .arg(&folder)
        .args(task.node.then_some("--node"))
        .stdin(Stdio::piped())
        .spawn()
        .context("failed to start the sandbox (setpriv and unshare are in Debian's util-linux)")?;
    let state = Sandbox {
        keeper: std::process::id(),
        unshare: unshare.id(),
    };
    fs::write(folder.join("sandbox.json"), serde_json::to_vec(&state)?)?;
    let pipe = unshare.stdin.take();
    let pid = rustix::process::Pid::from_child(&unshare);
    thread::spawn(move || {
        let _ = unshare.wait();
        let _ = send.send(Event::SandboxEnded);
    });

    let first = events.recv().context("the keeper has an event source")?;
    // The sandbox's first process ends when this pipe closes, and the kernel ends the others with it.
    drop(pipe);
    if !matches!(first, Event::SandboxEnded) {
        let deadline = Instant::now() + STOP_DEADLINE;
        loop {
            match events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Event::SandboxEnded) => break,
                Ok(Event::CallerGone | Event::Signalled) => {}
                Err(_) => {
                    rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
                    break;
                }
            }
        }
    }
    let _alone = exclusively()?;
    remove(&folder)
}

/// Held while a run's folder is made or removed, so that a sweep never sees half of either.
fn exclusively() -> Result<File> {
    let lock = File::create(runs_folder()?.join(LOCK))?;
    lock.lock().context("failed to lock the folder of runs")?;
    Ok(lock)
}

const LOCK: &str = ".lock";

/// Names of the rigs that have a folder.
pub(super) fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(runs_folder()?)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != LOCK {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Removes what rigs left whose keeper was killed.
pub(super) fn sweep() -> Result<()> {
    let _alone = exclusively()?;
    for name in names()? {
        let folder = runs_folder()?.join(name);
        // A living keeper holds the lock of its run.
        let held = match File::open(folder.join("lock")) {
            Ok(lock) => matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
            Err(_) => false,
        };
        if !held {
            remove(&folder)?;
        }
    }
    Ok(())
}

/// Removes a run's control groups and folder. Its processes are gone; the kernel may need a moment to notice.
fn remove(folder: &Path) -> Result<()> {
    let deadline = Instant::now() + STOP_DEADLINE;
    loop {
        match remove_control_groups(folder) {
            Ok(()) => break,
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
    fs::remove_dir_all(folder).with_context(|| format!("failed to remove {}", folder.display()))
}

/// The control group of a run, relative to each hierarchy's root.
pub(super) fn control_group(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    format!("assay-rig-{name}")
}

/// The folders under which control groups are made: one on cgroup v2, one per controller on v1.
pub(super) fn control_group_roots() -> Result<BTreeSet<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("failed to read the mounts")?;
    let roots = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let folder = fields.next()?;
            let kind = fields.next()?;
            (kind == "cgroup" || kind == "cgroup2").then(|| PathBuf::from(folder))
        })
        .collect();
    Ok(roots)
}

fn remove_control_groups(folder: &Path) -> Result<()> {
    let group = control_group(folder);
    for root in control_group_roots()? {
        let group = root.join(&group);
        if group.exists() {
            remove_group(&group)?;
        }
    }
    Ok(())
}

fn remove_group(group: &Path) -> Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_group(&entry.path())?;
        }
    }
    match fs::remove_dir(group) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            bail!(
                "failed to remove control group {}: {error}",
                group.display()
            )
        }
        _ => Ok(()),
    }
}

//! `cargo xtask rig leftovers`: a rig is interrupted in every way and at several moments; nothing may stay.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::{STOP_DEADLINE, cache, keeper};

const NAME: &str = "leftovers";

/// What a run says last before it is interrupted.
const MOMENTS: &[&str] = &["certificates made", "containerd answers", "is up"];
const SIGNALS: &[Signal] = &[Signal::INT, Signal::TERM, Signal::KILL];

/// Interrupts a rig with a real node by each signal at each moment.
pub(super) fn prove() -> Result<()> {
    cache::make_missing(|_| true)?;
    for signal in SIGNALS {
        for moment in MOMENTS {
            interrupt(*signal, moment)
                .with_context(|| format!("after {signal:?} when {moment:?}"))?;
            println!("rig: nothing is left after {signal:?} when {moment:?}");
        }
    }
    Ok(())
}

fn interrupt(signal: Signal, moment: &str) -> Result<()> {
    let mounts = mounts()?;
    let mut rig = Command::new(std::env::current_exe()?)
        .args(["rig", "up", "--node", "--attached", "--name", NAME])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let stdout = rig.stdout.take().context("the rig's stdout is a pipe")?;
    let mut said = BufReader::new(stdout).lines();
    loop {
        match said.next() {
            Some(line) if line.as_ref().is_ok_and(|line| line.contains(moment)) => break,
            Some(Ok(_)) => {}
            _ => bail!("the rig never said {moment:?}"),
        }
    }
    let folder = keeper::runs_folder()?.join(NAME);
    let namespaces = super::Sandbox::read(&folder)?.namespaces()?;
    let before = inside(&namespaces)?;
    if before.is_empty() {
        bail!("no process was found in the rig's namespaces while it ran");
    }
    kill_process(Pid::from_child(&rig), signal)?;
    // The pipe would block whoever still writes into it.
    let drain = thread::spawn(move || said.count());
    rig.wait()?;
    let deadline = Instant::now() + STOP_DEADLINE;
    loop {
        let left = left(&folder, &namespaces, &mounts)?;
        if left.is_empty() {
            break;
        }
        // Only SIGKILL takes away the process that would have waited.
        if signal != Signal::KILL || Instant::now() > deadline {
            bail!("left behind: {}", left.join(", "));
        }
        thread::sleep(Duration::from_millis(20));
    }
    let _ = drain.join();
    Ok(())
}

fn left(
    folder: &Path,
    namespaces: &BTreeSet<u64>,
    mounts: &BTreeSet<String>,
) -> Result<Vec<String>> {
    let mut left = inside(namespaces)?;
    if folder.exists() {
        left.push(folder.display().to_string());
    }
    for root in keeper::control_group_roots()? {
        let group = root.join(keeper::control_group(folder));
        if group.exists() {
            left.push(group.display().to_string());
        }
    }
    left.extend(
        self::mounts()?
            .difference(mounts)
            .map(|mount| format!("mount {mount}")),
    );
    Ok(left)
}

/// Processes that live in one of these namespaces; a namespace itself lives no longer than its processes.
fn inside(namespaces: &BTreeSet<u64>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let process = entry?.path();
        for kind in ["net", "mnt", "pid"] {
            // Processes come and go while one looks.
            if let Ok(namespace) = fs::metadata(process.join("ns").join(kind))
                && namespaces.contains(&namespace.ino())
            {
                let command = fs::read_to_string(process.join("comm")).unwrap_or_default();
                found.push(format!("process {}", command.trim()));
                break;
            }
        }
    }
    Ok(found)
}

fn mounts() -> Result<BTreeSet<String>> {
    let text = fs::read_to_string("/proc/self/mounts").context("failed to read the mounts")?;
    Ok(text.lines().map(str::to_owned).collect())
}

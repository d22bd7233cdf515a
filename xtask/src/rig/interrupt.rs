//! Ctrl-C and its like: every rig that this process started goes away before the process does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::STOP_DEADLINE;

/// The pipes of the rigs that end with this process, by their folder. A keeper stops when its pipe closes.
static HELD: Mutex<BTreeMap<PathBuf, ChildStdin>> = Mutex::new(BTreeMap::new());
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static WATCHING: Once = Once::new();

fn held() -> MutexGuard<'static, BTreeMap<PathBuf, ChildStdin>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts to watch for signals; a signal lets go of every held rig, waits until they are gone and ends the process.
pub(super) fn watch() -> Result<()> {
    if WATCHING.is_completed() {
        return Ok(());
    }
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).context("failed to watch for signals")?;
    WATCHING.call_once(|| {
        thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                INTERRUPTED.store(true, Ordering::SeqCst);
                let rigs = std::mem::take(&mut *held());
                let folders: Vec<PathBuf> = rigs.keys().cloned().collect();
                drop(rigs);
                let deadline = Instant::now() + STOP_DEADLINE;
                while folders.iter().any(|folder| folder.exists()) && Instant::now() < deadline {
                    thread::sleep(Duration::from_millis(10));
                }
                std::process::exit(128 + signal);
            }
        });
    });
    Ok(())
}

/// Called before the process ends: after a signal, leaves the end to the thread that waits for the rigs to go.
pub(crate) fn finish() {
    while INTERRUPTED.load(Ordering::SeqCst) {
        thread::park();
    }
}

/// Keeps a rig's pipe open until it is released or a signal comes.
pub(super) fn hold(folder: &Path, pipe: ChildStdin) {
    held().insert(folder.to_path_buf(), pipe);
}

/// Takes a rig's pipe back.
pub(super) fn release(folder: &Path) -> Option<ChildStdin> {
    held().remove(folder)
}

//! One command, its time, processor time and memory, by GNU time.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::command::last_lines;

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    /// Seconds on the wall.
    pub(super) wall: f64,
    /// User and system seconds.
    pub(super) cpu: f64,
    /// Largest resident set, in megabytes of 10^6 bytes; 0 where it says nothing.
    pub(super) rss: f64,
    /// Whether nothing was said to be missing: not exit code 5.
    pub(super) complete: bool,
}

/// Where a program is started: on this machine, or inside a rig.
pub(super) type Launch<'a> = &'a dyn Fn(&str) -> Result<Command>;

/// On this machine.
#[expect(clippy::unnecessary_wraps, reason = "it is a Launch")]
pub(super) fn here(program: &str) -> Result<Command> {
    Ok(Command::new(program))
}

/// Runs a program in `folder` and measures it. Exit codes 0, 3, 4 and 5 are answers; others are errors.
pub(super) fn measure(
    launch: Launch<'_>,
    folder: &Path,
    program: &Path,
    arguments: &[&str],
) -> Result<Usage> {
    let report = folder.join("usage");
    let mut command = launch("/usr/bin/time")?;
    command
        .args(["--quiet", "--format", "%e %U %S %M", "--output"])
        .arg(&report)
        .arg(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null());
    let done = command
        .output()
        .with_context(|| format!("failed to start {}", program.display()))?;
    if !matches!(done.status.code(), Some(0 | 3 | 4 | 5)) {
        bail!(
            "{} {arguments:?} ended with {}: {}",
            program.display(),
            done.status,
            last_lines(&String::from_utf8_lossy(&done.stderr), 20)
        );
    }
    let text = fs::read_to_string(&report)
        .with_context(|| format!("failed to read {}", report.display()))?;
    let numbers: Vec<f64> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [wall, user, system, kibibytes] = numbers[..] else {
        bail!("GNU time reported {text:?}");
    };
    Ok(Usage {
        wall,
        cpu: user + system,
        rss: kibibytes * 1024.0 / 1e6,
        complete: done.status.code() != Some(5),
    })
}

/// A server that is measured or measured against; it ends with the value.
pub(super) struct Running(pub(super) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Processor seconds and largest resident set of a process that still runs, from `/proc`.
pub(super) fn so_far(pid: u32) -> Result<(f64, f64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold spaces; utime and stime are the 12th and 13th fields after it.
    let (_, fields) = stat.rsplit_once(')').context("a process has a name")?;
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|line| line.split_whitespace().next())
        .and_then(|kibibytes| kibibytes.parse::<f64>().ok())
        .context("a process has a peak of memory")?;
    // USER_HZ is 100 on every architecture that Linux still runs on here.
    Ok((ticks / 100.0, peak * 1024.0 / 1e6))
}

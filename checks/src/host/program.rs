//! Programs of the host: with a deadline, with bounded output, with an environment of their own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// The most that is kept of an output stream. `nvidia-smi -q -x` writes about 30 KiB for each card.
const OUTPUT_CAP: u64 = 8 << 20;

/// How long a killed program may take to be gone. One that hangs in the kernel never is.
const REAP: Duration = Duration::from_secs(1);

/// A program and its arguments, which carry no secrets.
#[derive(Debug)]
pub(super) struct Program<'a> {
    /// The root folder that it sees as `/`.
    pub(super) root: &'a Path,
    /// Where it lies, from that root.
    pub(super) path: &'a str,
    /// Its arguments.
    pub(super) arguments: &'a [&'a str],
    /// Where its libraries lie, where that is not where the system looks.
    pub(super) libraries: Option<String>,
    /// How long it may take.
    pub(super) deadline: Duration,
}

/// How a program ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// It ended; without a code, by a signal.
    Exited {
        /// Its exit code.
        code: Option<i32>,
        stdout: Vec<u8>,
        stderr: String,
    },
    /// It was killed.
    TimedOut,
    /// It could not be run, or its output not be read.
    NotRun(String),
}

impl Program<'_> {
    /// Runs it. Where `confined`, its root is changed first, by the program `chroot`: what the host's
    /// programs need lies in the host's root.
    pub(super) async fn run(&self, confined: bool) -> Ended {
        let mut child = match self.command(confined).spawn() {
            Ok(child) => child,
            Err(error) => return Ended::NotRun(format!("cannot be started: {error}")),
        };
        let ended = tokio::time::timeout(self.deadline, output(&mut child)).await;
        let Ok(ended) = ended else {
            kill(&mut child).await;
            return Ended::TimedOut;
        };
        match ended {
            Ok((status, stdout, stderr)) => Ended::Exited {
                code: status.code(),
                stdout,
                stderr: String::from_utf8_lossy(&stderr).into_owned(),
            },
            Err(error) => Ended::NotRun(format!("its output cannot be read: {error}")),
        }
    }

    fn command(&self, confined: bool) -> Command {
        let mut command = if confined && self.root != Path::new("/") {
            let mut command = Command::new("chroot");
            command.arg(self.root).arg(self.path);
            command
        } else {
            Command::new(self.file())
        };
        command
            .args(self.arguments)
            // Nothing of ours: our environment may hold credentials, and theirs shall be the same each time.
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that what it started can be ended with it.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    fn file(&self) -> PathBuf {
        self.root.join(self.path.trim_start_matches('/'))
    }
}

async fn output(
    child: &mut Child,
) -> std::io::Result<(std::process::ExitStatus, Vec<u8>, Vec<u8>)> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr, status) = tokio::join!(bounded(stdout), bounded(stderr), child.wait());
    Ok((status?, stdout?, stderr?))
}

/// The stream's beginning. What exceeds the cap is read and dropped: a full pipe would stop the program.
async fn bounded<R: AsyncRead + Unpin>(stream: Option<R>) -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        (&mut stream)
            .take(OUTPUT_CAP)
            .read_to_end(&mut kept)
            .await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    }
    Ok(kept)
}

async fn kill(child: &mut Child) {
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok())
        && let Some(group) = Pid::from_raw(id)
    {
        // It is gone already, or dies now: both are well.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = tokio::time::timeout(REAP, child.wait()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell<'a>(arguments: &'a [&'a str], deadline: Duration) -> Program<'a> {
        Program {
            root: Path::new("/"),
            path: "/bin/sh",
            arguments,
            libraries: None,
            deadline,
        }
    }

    #[tokio::test]
    async fn output_and_code() {
        let script = "echo out; echo err >&2; echo \"${HOME-no home}\"; exit 3";
        let arguments = ["-c", script];
        let program = shell(&arguments, Duration::from_mins(1));
        let Ended::Exited {
            code,
            stdout,
            stderr,
        } = program.run(true).await
        else {
            panic!("it ends");
        };
        assert_eq!(code, Some(3));
        assert_eq!(stdout, b"out\nno home\n");
        assert_eq!(stderr, "err\n");
    }

    #[tokio::test]
    async fn what_it_started_does_not_hold_the_run() {
        let arguments = ["-c", "sleep 600 & sleep 600"];
        let program = shell(&arguments, Duration::from_millis(200));
        assert!(matches!(program.run(true).await, Ended::TimedOut));
    }

    #[tokio::test]
    async fn more_than_the_cap_is_dropped_and_does_not_stop_it() {
        let arguments = ["-c", "head -c 20000000 /dev/zero"];
        let program = shell(&arguments, Duration::from_mins(1));
        let Ended::Exited { code, stdout, .. } = program.run(true).await else {
            panic!("it ends");
        };
        assert_eq!((code, stdout.len() as u64), (Some(0), OUTPUT_CAP));
    }

    #[tokio::test]
    async fn what_cannot_be_started_is_said() {
        let mut program = shell(&[], Duration::from_mins(1));
        program.path = "/no/such/program";
        let Ended::NotRun(reason) = program.run(true).await else {
            panic!("there is no such program");
        };
        assert!(reason.contains("cannot be started"), "{reason}");
    }
}

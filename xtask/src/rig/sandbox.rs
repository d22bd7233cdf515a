//! Inside the namespaces: the first process, which starts the servers and watches them.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use rustix::process::{Pid, WaitOptions};

use super::{NODE_ADDRESS, SERVICE_ADDRESS, START_DEADLINE, cache, control_plane, kwok, node, pki};
use crate::command::{log_tail, run, succeeds};

/// `cargo xtask rig sandbox`, which only the keeper calls.
#[derive(Debug, Args)]
pub(crate) struct SandboxTask {
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    node: bool,
}

/// Servers that were started, and the deadline that all of them share.
pub(super) struct Servers {
    /// The run's folder.
    pub(super) folder: PathBuf,
    started: Vec<(Pid, String)>,
    deadline: Instant,
}

impl Servers {
    /// Starts a server from the cache; its stdout and stderr go to `log/<name>.log`.
    pub(super) fn start(&mut self, name: &str, arguments: &[String]) -> Result<()> {
        let mut command = Command::new(cache::path_of(name)?);
        command.args(arguments);
        self.spawn(name, &mut command)
    }

    /// Starts a prepared command as a server.
    pub(super) fn spawn(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let log = self.log(name);
        let file =
            File::create(&log).with_context(|| format!("failed to make {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        self.started
            .push((Pid::from_child(&child), name.to_owned()));
        Ok(())
    }

    /// Polls until `ready` says so. Fails when the named server ends or the deadline passes, with the end of its log.
    pub(super) fn wait_for(&mut self, name: &str, mut ready: impl FnMut() -> bool) -> Result<()> {
        while !ready() {
            for (pid, server) in &self.started {
                if rustix::process::waitpid(Some(*pid), WaitOptions::NOHANG)
                    .is_ok_and(|status| status.is_some())
                {
                    bail!("{server} ended:\n{}", log_tail(&self.log(server)));
                }
            }
            if Instant::now() > self.deadline {
                bail!(
                    "{name} did not answer within {START_DEADLINE:?}; see the logs:\n{}",
                    self.log_tails()
                );
            }
            thread::sleep(Duration::from_millis(100));
        }
        say("step", &format!("{name} answers"));
        Ok(())
    }

    /// A kubectl command with the administrator's rights.
    pub(super) fn kubectl(&self) -> Result<Command> {
        let mut command = Command::new(cache::path_of("kubectl")?);
        command
            .arg("--kubeconfig")
            .arg(self.folder.join("kubeconfig"))
            .env("KUBECACHEDIR", self.folder.join("kubectl-cache"));
        Ok(command)
    }

    /// The ends of all logs; whose it was cannot be told from a missing answer.
    fn log_tails(&self) -> String {
        let mut text = String::new();
        for (_, name) in &self.started {
            let _ = writeln!(text, "== {name}\n{}", log_tail(&self.log(name)));
        }
        text
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join("log").join(format!("{name}.log"))
    }
}

/// Whether something listens on a loopback port.
pub(super) fn listens(port: u16) -> bool {
    std::net::TcpStream::connect_timeout(
        &std::net::SocketAddr::from(([127, 0, 0, 1], port)),
        Duration::from_secs(1),
    )
    .is_ok()
}

/// Brings everything up as process 1 of its namespace, then reaps and watches until the keeper lets go.
pub(super) fn bring_up(task: &SandboxTask) -> Result<()> {
    if std::process::id() != 1 {
        bail!(
            "`rig sandbox` runs only as the first process of a namespace; use `cargo xtask rig up`"
        );
    }
    thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        // The first process ends, so the kernel ends all others of the namespace.
        std::process::exit(0);
    });
    let mut servers = Servers {
        folder: task.folder.clone(),
        started: Vec::new(),
        deadline: Instant::now() + START_DEADLINE,
    };
    if let Err(error) = start_all(&mut servers, task.node) {
        say_failed(&error);
        std::process::exit(1);
    }
    say("ready", "");
    loop {
        // Orphans come to the first process of a namespace; it reaps them.
        let ended = rustix::process::wait(WaitOptions::empty())
            .context("failed to wait for the servers")?;
        if let Some((pid, status)) = ended
            && let Some((_, name)) = servers.started.iter().find(|(server, _)| *server == pid)
        {
            bail!(
                "{name} ended with {status:?}:\n{}",
                log_tail(&servers.log(name))
            );
        }
    }
}

fn start_all(servers: &mut Servers, with_node: bool) -> Result<()> {
    fs::create_dir(servers.folder.join("log"))?;
    bring_network_up()?;
    pki::make(&servers.folder)?;
    say("step", "certificates made");
    control_plane::start(servers)?;
    if with_node {
        node::start(servers)
    } else {
        kwok::start(servers)
    }
}

/// Loopback carries every address: nothing outside this namespace can be reached or can reach it.
fn bring_network_up() -> Result<()> {
    let ip = cache::path_of("ip")?;
    run(Command::new(&ip).args(["link", "set", "lo", "up"]))?;
    for address in [NODE_ADDRESS, SERVICE_ADDRESS] {
        run(Command::new(&ip).args(["address", "add", &format!("{address}/32"), "dev", "lo"]))?;
    }
    Ok(())
}

/// Tells the caller why there is no rig.
pub(super) fn say_failed(error: &anyhow::Error) {
    // One line; the caller puts the breaks back.
    say("failed", &format!("{error:#}").replace('\n', "\u{1}"));
}

/// Tells the caller; it may be gone, which the closed stdin tells better than a failed write.
fn say(kind: &str, text: &str) {
    let _ = writeln!(std::io::stdout(), "{kind}\t{text}");
}

/// Writes a file of the run.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

/// Applies manifests as the administrator; server-side, since some CRDs are larger than an annotation may be.
pub(super) fn apply(servers: &Servers, path: &Path) -> Result<()> {
    crate::command::output(
        servers
            .kubectl()?
            .args(["apply", "--server-side", "-f"])
            .arg(path),
    )?;
    Ok(())
}

/// Whether the API server answers a path with success.
pub(super) fn api_answers(servers: &Servers, path: &str) -> Result<impl FnMut() -> bool + use<>> {
    let mut command = servers.kubectl()?;
    command.args(["get", "--raw", path]);
    Ok(move || succeeds(&mut command))
}

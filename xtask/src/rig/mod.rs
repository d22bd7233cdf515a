//! The rig: real servers for tests, on loopback inside namespaces of their own.
//!
//! Three processes stand between a caller and the servers, so that nothing survives however a run ends:
//!
//! * the *caller* (`cargo xtask rig up`, `cargo xtask test`) holds a pipe to the keeper;
//! * the *keeper* sees that pipe close, or a signal, and lets go of the sandbox; then it removes the run's
//!   folder and control groups (`keeper.rs`);
//! * the *sandbox* is `unshare` with process, mount and network namespaces of its own; its first process brings
//!   the servers up (`sandbox.rs`). When that process ends, the kernel ends every other one in the namespace.
//!
//! The network namespace has loopback only, so every port is free and two rigs never meet.

mod cache;
mod control_plane;
mod image;
mod interrupt;
mod keeper;
mod kwok;
mod leftovers;
mod node;
mod pki;
mod sandbox;
mod table;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Subcommand;

pub(crate) use interrupt::finish;
pub(crate) use keeper::Sandbox;

/// The address of the API server for clients inside the network namespace.
const API_SERVER: &str = "https://127.0.0.1:443";
/// The real node's address, and the API server's for pods; both exist only inside the network namespace.
const NODE_ADDRESS: &str = "10.77.0.1";
/// The real node's name.
const NODE_NAME: &str = "rig-node";
/// The Service `kubernetes`: the API server listens on it itself, so no proxy is needed.
const SERVICE_ADDRESS: &str = "10.96.0.1";

/// How long a rig may take to come up. A loaded machine needs a multiple of the usual ten seconds.
const START_DEADLINE: Duration = Duration::from_mins(4);
/// How long a rig may take to go away.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// `cargo xtask rig …`
#[derive(Debug, Subcommand)]
pub(crate) enum RigTask {
    /// Make what is missing and start the servers; they stay until `down`
    Up {
        /// A real node (containerd and kubelet) instead of kwok's; needs root
        #[arg(long)]
        node: bool,
        /// Name of the rig; several may run beside one another
        #[arg(long, default_value = "up")]
        name: String,
        /// Stop when this command ends, by Ctrl-C for instance
        #[arg(long)]
        attached: bool,
    },
    /// Stop a rig and remove everything it made
    Down {
        /// Name of the rig
        #[arg(long, default_value = "up")]
        name: String,
    },
    /// Say what is made and what runs
    Status,
    /// Prove that an interrupted rig leaves nothing behind
    Leftovers,
    /// Make what is missing without starting anything
    Make {
        /// Only these, by their names in the table
        names: Vec<String>,
    },
    /// Run a command inside a rig, with the environment that its tests get
    Exec {
        /// Name of the rig
        #[arg(long, default_value = "up")]
        name: String,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Fill a rig with a generated cluster of many pods, as the benchmark does
    Fill {
        /// Name of the rig
        #[arg(long, default_value = "up")]
        name: String,
        /// How many pods; a tenth as many nodes
        #[arg(long, default_value_t = 1000)]
        pods: usize,
    },
    #[command(hide = true)]
    Keep(keeper::KeepTask),
    #[command(hide = true)]
    Sandbox(sandbox::SandboxTask),
}

/// Runs one `rig` command.
pub(crate) fn run(task: RigTask) -> Result<()> {
    match task {
        RigTask::Up {
            node,
            name,
            attached: true,
        } => Rig::start(&name, node, Lifetime::WithCaller)?.wait(),
        RigTask::Up { node, name, .. } => {
            let rig = Rig::start(&name, node, Lifetime::UntilDown)?;
            println!(
                "rig: kubeconfig for commands inside it: {}",
                rig.folder.join("kubeconfig").display()
            );
            println!("rig: try `cargo xtask rig exec -- kubectl get nodes`");
            Ok(())
        }
        RigTask::Down { name } => down(&name),
        RigTask::Status => status(),
        RigTask::Leftovers => leftovers::prove(),
        RigTask::Make { names } => make(&names),
        RigTask::Exec { name, command } => {
            let status = Inside::named(&name)?
                .command(&command[0])?
                .args(&command[1..])
                .status()?;
            std::process::exit(status.code().unwrap_or(1));
        }
        RigTask::Fill { name, pods } => crate::bench::fill(&Inside::named(&name)?, pods),
        RigTask::Keep(task) => {
            let result = keeper::keep(&task);
            if let Err(error) = &result {
                sandbox::say_failed(error);
            }
            result
        }
        RigTask::Sandbox(task) => sandbox::bring_up(&task),
    }
}

/// How long a rig stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// It goes away with the process that started it, whatever ends that.
    WithCaller,
    /// It stays until `cargo xtask rig down`.
    UntilDown,
}

/// A running rig. Dropping it stops it, unless it stays until `down`.
pub(crate) struct Rig {
    keeper: Child,
    folder: PathBuf,
}

impl Rig {
    /// Makes what is missing, starts the servers and waits until every one of them answers.
    pub(crate) fn start(name: &str, node: bool, lifetime: Lifetime) -> Result<Self> {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            bail!("a rig's name has letters, digits and dashes, not {name:?}");
        }
        cache::make_missing(|server| node || !server.node_only)?;
        keeper::sweep()?;
        let folder = keeper::runs_folder()?.join(name);
        let started = Instant::now();
        interrupt::watch()?;
        let mut keeper = Command::new(std::env::current_exe()?)
            .args(["rig", "keep", "--name", name])
            .args(node.then_some("--node"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A keeper that stays would hold its caller's terminal or pipe open.
            .stderr(match lifetime {
                Lifetime::WithCaller => Stdio::inherit(),
                Lifetime::UntilDown => Stdio::null(),
            })
            .spawn()
            .context("failed to start the rig's keeper")?;
        let pipe = keeper
            .stdin
            .take()
            .context("the keeper's stdin is a pipe")?;
        let stdout = keeper
            .stdout
            .take()
            .context("the keeper's stdout is a pipe")?;
        interrupt::hold(&folder, pipe);
        if let Err(error) = wait_until_up(stdout, started) {
            drop(interrupt::release(&folder));
            // Its status says no more than the error does.
            let _ = keeper.wait();
            return Err(error);
        }
        if lifetime == Lifetime::UntilDown
            && let Some(mut pipe) = interrupt::release(&folder)
        {
            pipe.write_all(keeper::STAY)
                .context("failed to tell the rig's keeper to stay")?;
        }
        println!("rig: {name} is up after {:.1?}", started.elapsed());
        Ok(Self { keeper, folder })
    }

    /// What runs inside.
    pub(crate) fn inside(&self) -> Inside {
        Inside {
            folder: self.folder.clone(),
        }
    }

    /// Waits until the rig ends by itself; a signal ends it and this process.
    fn wait(mut self) -> Result<()> {
        let status = self
            .keeper
            .wait()
            .context("failed to wait for the rig's keeper")?;
        bail!("the rig ended by itself ({status})")
    }

    /// Stops the rig and waits until nothing of it is left.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.let_go()
    }

    fn let_go(&mut self) -> Result<()> {
        // Closing the pipe tells the keeper. A rig that stays, or that was stopped, has none.
        let Some(pipe) = interrupt::release(&self.folder) else {
            return Ok(());
        };
        drop(pipe);
        let status = self
            .keeper
            .wait()
            .context("failed to wait for the rig's keeper")?;
        if !status.success() {
            bail!("the rig's keeper ended with {status}");
        }
        if self.folder.exists() {
            bail!("the rig left {} behind", self.folder.display());
        }
        Ok(())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Err(error) = self.let_go() {
            eprintln!("rig: {error:#}");
        }
    }
}

/// The inside of a rig that runs.
pub(crate) struct Inside {
    folder: PathBuf,
}

/// Where a program of the table lies; it is there once a rig was started.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    cache::path_of(name)
}

impl Inside {
    /// The inside of the rig with this name.
    pub(crate) fn named(name: &str) -> Result<Self> {
        let folder = keeper::runs_folder()?.join(name);
        Sandbox::read(&folder)?;
        Ok(Self { folder })
    }

    /// The run's folder: `pki/`, `log/`, `kubeconfig`.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command that runs inside with the environment of [`environment`], and ends with the rig.
    pub(crate) fn command(&self, program: &str) -> Result<Command> {
        Sandbox::read(&self.folder)?.command(program, &self.folder)
    }
}

/// What the sandbox reports on its stdout, one line each: `kind<TAB>text`.
fn wait_until_up(stdout: impl std::io::Read, started: Instant) -> Result<()> {
    for line in BufReader::new(stdout).lines() {
        let line = line.context("failed to read what the rig says")?;
        match line.split_once('\t') {
            Some(("step", text)) => {
                println!("rig: {:>6.1} s  {text}", started.elapsed().as_secs_f64());
            }
            Some(("ready", _)) => return Ok(()),
            Some(("failed", text)) => {
                bail!("the rig did not come up: {}", text.replace('\u{1}', "\n"))
            }
            _ => println!("rig: {line}"),
        }
    }
    bail!("the rig ended before it was up")
}

fn make(names: &[String]) -> Result<()> {
    let known = |name: &&String| table::SERVERS.iter().any(|server| server.name == **name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        bail!("no server named {unknown} in the rig's table; `cargo xtask rig status` lists them");
    }
    cache::make_missing(|server| names.is_empty() || names.iter().any(|name| name == server.name))
}

fn down(name: &str) -> Result<()> {
    keeper::sweep()?;
    let folder = keeper::runs_folder()?.join(name);
    if !folder.exists() {
        println!("rig: {name} is not running");
        return Ok(());
    }
    let sandbox = Sandbox::read(&folder)?;
    sandbox.stop_keeper()?;
    let deadline = Instant::now() + STOP_DEADLINE;
    while folder.exists() {
        if Instant::now() > deadline {
            bail!(
                "rig {name} still has {} after {STOP_DEADLINE:?}",
                folder.display()
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("rig: {name} is down");
    Ok(())
}

fn status() -> Result<()> {
    keeper::sweep()?;
    println!("cache: {}", cache::folder()?.display());
    for server in table::SERVERS {
        println!(
            "{:<24} {:<8} {:<8} {}",
            server.name,
            server.version,
            if cache::is_made(server)? {
                "made"
            } else {
                "missing"
            },
            cache::path_of(server.name)?.display()
        );
    }
    for name in keeper::names()? {
        println!("running: {name}");
    }
    Ok(())
}

/// The environment that a rig's tests and commands get, on top of their own:
///
/// | variable | value |
/// | --- | --- |
/// | `ASSAY_RIG_KUBECONFIG`, `KUBECONFIG` | an administrator's kubeconfig |
/// | `ASSAY_RIG_KUBECTL` | the kubectl of the API server's version; it is first on the `PATH`, too |
/// | `ASSAY_RIG_AUDIT_LOG` | the API server's audit log, one JSON object per request of tests and people |
/// | `ASSAY_RIG_DIR` | the run's folder: `pki/`, `log/`, `kwok/` |
/// | `ASSAY_RIG_MINIO`, `ASSAY_RIG_VELERO` | programs that a test starts itself |
/// | `ASSAY_RIG_VELERO_CRDS`, `ASSAY_RIG_VELERO_PLUGINS` | the folders of Velero's definitions and plugins |
/// | `ASSAY_RIG_POSTGRES_15` to `_18` | folders with `initdb` and `postgres` of that version |
/// | `ASSAY_RIG_PGBOUNCER` | PgBouncer |
/// | `ASSAY_RIG_NGINX`, `ASSAY_RIG_HAPROXY` | proxies |
/// | `ASSAY_RIG_VERSITYGW` | an object storage that is strict |
/// | `ASSAY_RIG_REGISTRY_2`, `ASSAY_RIG_REGISTRY_3` | registries, distribution 2.8 and 3 |
/// | `ASSAY_RIG_SKOPEO`, `ASSAY_RIG_CRANE` | image tools |
/// | `ASSAY_RIG_SQUID`, `ASSAY_RIG_OPENSSL` | a proxy that can open TLS; certificates |
/// | `ASSAY_RIG_NODE` | the real node's name; set only where there is one |
fn environment(folder: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut environment = vec![
        ("ASSAY_RIG_DIR", folder.to_path_buf()),
        ("ASSAY_RIG_KUBECONFIG", folder.join("kubeconfig")),
        ("ASSAY_RIG_KUBECTL", cache::path_of("kubectl")?),
        ("ASSAY_RIG_AUDIT_LOG", folder.join("log/audit.log")),
        ("ASSAY_RIG_PGBOUNCER", cache::path_of("pgbouncer")?),
        ("ASSAY_RIG_NGINX", cache::path_of("nginx")?),
        ("ASSAY_RIG_HAPROXY", cache::path_of("haproxy")?),
        ("ASSAY_RIG_VERSITYGW", cache::path_of("versitygw")?),
        ("ASSAY_RIG_REGISTRY_2", cache::path_of("registry-2")?),
        ("ASSAY_RIG_REGISTRY_3", cache::path_of("registry-3")?),
        ("ASSAY_RIG_SKOPEO", cache::path_of("skopeo")?),
        ("ASSAY_RIG_CRANE", cache::path_of("crane")?),
        ("ASSAY_RIG_SQUID", cache::path_of("squid")?),
        ("ASSAY_RIG_OPENSSL", cache::path_of("openssl")?),
        ("KUBECONFIG", folder.join("kubeconfig")),
        // kubectl would leave a folder in the caller's home.
        ("KUBECACHEDIR", folder.join("kubectl-cache")),
    ];
    let plugin = cache::path_of("velero-plugin-for-aws")?;
    let plugins = plugin.parent().context("a program lies in a folder")?;
    environment.extend([
        ("ASSAY_RIG_MINIO", cache::path_of("minio")?),
        ("ASSAY_RIG_VELERO", cache::path_of("velero")?),
        ("ASSAY_RIG_VELERO_CRDS", cache::path_of("velero-crds")?),
        ("ASSAY_RIG_VELERO_PLUGINS", plugins.to_path_buf()),
    ]);
    for (variable, server) in [
        ("ASSAY_RIG_POSTGRES_15", "postgres-15"),
        ("ASSAY_RIG_POSTGRES_16", "postgres-16"),
        ("ASSAY_RIG_POSTGRES_17", "postgres-17"),
        ("ASSAY_RIG_POSTGRES_18", "postgres-18"),
    ] {
        let made = cache::path_of(server)?;
        // Debian's path is that of the program, npm's that of the package.
        let programs = if made.is_file() {
            made.parent().map(Path::to_path_buf)
        } else {
            Some(made.join("native/bin"))
        };
        environment.push((variable, programs.context("a program lies in a folder")?));
    }
    if folder.join("node").exists() {
        environment.push(("ASSAY_RIG_NODE", PathBuf::from(NODE_NAME)));
    }
    Ok(environment)
}

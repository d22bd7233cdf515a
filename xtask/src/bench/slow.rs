//! A row against an API server whose every answer comes a tenth of a second late.
//!
//! `kubectl proxy` speaks plain HTTP/1.1, one request at a time on a connection, so that a relay of bytes can hold back
//! the beginning of each answer without understanding any.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::live::{Ran, run_spec_by};
use super::measure::{Running, here};
use super::{Bench, Row};
use crate::rig::{Inside, program};

/// What each answer is late.
const DELAY: Duration = Duration::from_millis(100);

/// Requests of which each needs the answer of the one before, ahead of the first page of a list: the version, the API's
/// groups, the namespaces.
const AHEAD: usize = 3;

/// Measures a support bundle with and without the delay. The budget is against the critical path: the run without it,
/// and the delay once for each page of the longest list and for what comes ahead of it.
pub(super) fn run(bench: &mut Bench, rig: &Inside, pods: usize) -> Result<()> {
    let socket = bench.folder().join("api.sock");
    let mut command = rig.command(&program("kubectl")?.to_string_lossy())?;
    command
        .args(["proxy", "--unix-socket"])
        .arg(&socket)
        .stdout(fs::File::create(bench.folder().join("proxy.log"))?);
    let _proxy = Running(command.spawn().context("failed to start kubectl proxy")?);
    let until = Instant::now() + Duration::from_secs(30);
    while UnixStream::connect(&socket).is_err() {
        if Instant::now() > until {
            bail!("kubectl proxy does not listen on {}", socket.display());
        }
        sleep(Duration::from_millis(50));
    }
    let (prompt, _) = measured(bench, rig, &socket, Duration::ZERO)?;
    let (late, paths) = measured(bench, rig, &socket, DELAY)?;
    let chain = AHEAD + longest_list(&paths);
    let delayed = DELAY * u32::try_from(chain)?;
    let critical = prompt.usage.wall + delayed.as_secs_f64();
    bench.row(Row {
        what: "support bundle, every answer 100 ms late",
        input: format!("{pods} pods"),
        ours: late.usage,
        note: format!(
            "{} requests; {:.2} × the critical path: {:.2} s without the delay, and {chain} answers",
            paths.len(),
            late.usage.wall / critical,
            prompt.usage.wall,
        ),
        peer: None,
        budget: "≤ 1.3 × the critical path",
    });
    Ok(())
}

fn measured(
    bench: &Bench,
    rig: &Inside,
    socket: &Path,
    delay: Duration,
) -> Result<(Ran, Vec<String>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    let (kubeconfig, socket) = (bench.folder().join("slow.kubeconfig"), socket.to_owned());
    fs::write(
        &kubeconfig,
        format!(
            "{{apiVersion: v1, kind: Config, current-context: slow, contexts: [{{name: slow, context: {{cluster: slow, user: slow}}}}], \
             clusters: [{{name: slow, cluster: {{server: 'http://127.0.0.1:{port}'}}}}], users: [{{name: slow, user: {{}}}}]}}\n"
        ),
    )?;
    spawn(move || relay(&listener, &socket, delay));
    run_spec_by(
        &|program: &str| {
            let mut command = here(program)?;
            command.env("KUBECONFIG", &kubeconfig);
            Ok(command)
        },
        bench,
        rig,
        ("collect", include_str!("specs/support-bundle.yaml")),
    )
}

/// Pages of the list with the most.
fn longest_list(paths: &[String]) -> usize {
    let mut lists: Vec<&str> = paths
        .iter()
        .filter_map(|path| path.split_once('?').map(|(list, _)| list))
        .collect();
    lists.sort_unstable();
    lists
        .chunk_by(|a, b| a == b)
        .map(<[_]>::len)
        .max()
        .unwrap_or(0)
}

/// Takes connections for as long as the program runs.
fn relay(listener: &TcpListener, socket: &PathBuf, delay: Duration) {
    for client in listener.incoming().flatten() {
        let Ok(server) = UnixStream::connect(socket) else {
            return;
        };
        let asked = Arc::new(AtomicBool::new(false));
        let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else {
            return;
        };
        let noted = Arc::clone(&asked);
        spawn(move || up(from, to, &noted));
        spawn(move || down(server, client, &asked, delay));
    }
}

fn up(mut client: TcpStream, mut server: UnixStream, asked: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        asked.store(true, Ordering::Release);
        if server.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}

fn down(mut server: UnixStream, mut client: TcpStream, asked: &AtomicBool, delay: Duration) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = server.read(&mut buffer) {
        if asked.swap(false, Ordering::AcqRel) {
            sleep(delay);
        }
        if client.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Write);
}

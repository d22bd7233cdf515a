//! Commands in containers: output, failure, one that never ends, and a network that spoils what they say.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use crate::fixture::{Bundle, Cluster, from_rig};
use crate::servers::{Server, free_port, wait_for_port};

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeName: kwok-0
  containers:
  - {name: main, image: example.org/web:1}
";

fn spec(namespace: &str, command: &str, timeout: &str) -> String {
    format!(
        "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {{name: exec}}
spec:
  collectors:
  - clusterResources: {{exclude: true}}
  - exec:
      collectorName: shell
      name: out
      namespace: {namespace}
      selector: [app=web]
      command: [sh, -c]
      args: ['{command}']
      timeout: {timeout}
"
    )
}

#[test]
fn both_streams_are_kept_apart() {
    let cluster = Cluster::new("exec-streams");
    cluster.apply(POD);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    cluster.write(
        "spec.yaml",
        &spec(
            cluster.namespace(),
            "echo to stdout; echo to stderr >&2",
            "30s",
        ),
    );
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run()
        .expect_code(0);
    let bundle = cluster.bundle();
    let folder = "out/exec-streams/web";
    assert_eq!(
        bundle.text(&format!("{folder}/shell-stdout.txt")),
        "to stdout\n"
    );
    assert_eq!(
        bundle.text(&format!("{folder}/shell-stderr.txt")),
        "to stderr\n"
    );
}

#[test]
fn a_command_that_never_ends_is_cut_off_and_said() {
    let cluster = Cluster::new("exec-endless");
    cluster.apply(POD);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    cluster.write(
        "spec.yaml",
        &spec(cluster.namespace(), "echo before; sleep 3600", "2s"),
    );
    let run = cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run()
        .expect_code(5);
    assert!(run.stderr.contains("shell"), "{}", run.stderr);
    let bundle = cluster.bundle();
    assert_eq!(
        bundle.text("out/exec-endless/web/shell-stdout.txt"),
        "before\n"
    );
    let manifest = bundle.text("manifest.json");
    assert!(manifest.contains("\"deadline\""), "{manifest}");
}

#[test]
fn much_output_comes_whole() {
    let cluster = Cluster::new("exec-much");
    cluster.apply(POD);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    let command = "i=0; while [ $i -lt 200000 ]; do echo line $i; i=$((i+1)); done";
    cluster.write("spec.yaml", &spec(cluster.namespace(), command, "2m"));
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run()
        .expect_code(0);
    let text = cluster.bundle().text("out/exec-much/web/shell-stdout.txt");
    assert_eq!(text.lines().count(), 200_000);
    assert!(text.ends_with("line 199999\n"));
}

#[test]
fn an_account_that_may_not_execute_is_told_so_before() {
    let cluster = Cluster::new("exec-refused");
    cluster.apply(POD);
    let account = cluster.account(
        "reader",
        "- {apiGroups: [''], resources: [pods], verbs: [get, list]}",
    );
    cluster.write("spec.yaml", &spec(cluster.namespace(), "echo hi", "30s"));
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .kubeconfig(&account)
        .run()
        .expect_code(5);
    let skipped = cluster.bundle().json("skipped-collectors.json").to_string();
    assert!(
        skipped.contains("create pods/exec in namespace"),
        "{skipped}"
    );
    let requests = cluster.requests("reader");
    assert!(
        !requests.is_empty() && requests.iter().all(|(_, uri, _)| !uri.contains("/exec?")),
        "{requests:?}"
    );
}

/// What a network does to the stream of a command, each after so many bytes from the API server, the answer's head
/// among them.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The connection is gone.
    Cut(usize),
    /// Nothing comes any more.
    Stall(usize),
    /// What comes is not what was sent.
    Corrupt(usize),
    /// All of it comes, late.
    Late,
}

/// Stands between the binary and an API server without TLS, and spoils the streams of commands. The kubeconfig leads there.
fn spoilt(cluster: &Cluster, upstream: u16, fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for client in listener.incoming().filter_map(Result::ok) {
            let server = TcpStream::connect(("127.0.0.1", upstream)).expect("the proxy listens");
            let is_command = Arc::new(AtomicBool::new(false));
            let (asks, is_gone) = mpsc::channel();
            let (mut from, mut to) = (
                client.try_clone().expect("a socket"),
                server.try_clone().expect("a socket"),
            );
            let mark = Arc::clone(&is_command);
            thread::spawn(move || {
                let _asks: mpsc::Sender<()> = asks;
                let mut piece = [0; 8192];
                while let Ok(length @ 1..) = from.read(&mut piece) {
                    if piece[..length].windows(6).any(|six| six == b"/exec?") {
                        mark.store(true, Ordering::SeqCst);
                    }
                    if to.write_all(&piece[..length]).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(Shutdown::Write);
            });
            thread::spawn(move || answer(server, client, fault, &is_command, &is_gone));
        }
    });
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": cluster.namespace()}}],
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "u", "user": {}}],
    });
    kubeconfig.to_string()
}

/// Passes on what the API server says. `is_gone` ends with the side that asks.
fn answer(
    mut from: TcpStream,
    mut to: TcpStream,
    fault: Fault,
    is_command: &AtomicBool,
    is_gone: &Receiver<()>,
) {
    let mut piece = [0; 500];
    let mut passed = 0;
    while let Ok(length @ 1..) = from.read(&mut piece) {
        let bytes = &mut piece[..length];
        if is_command.load(Ordering::SeqCst) {
            match fault {
                Fault::Cut(after) if passed + length > after => break,
                Fault::Stall(after) if passed + length > after => {
                    // Until the other side has had enough.
                    let _ = is_gone.recv();
                    break;
                }
                Fault::Corrupt(after) if passed + length > after => {
                    for byte in bytes.iter_mut() {
                        *byte ^= 0x55;
                    }
                }
                Fault::Late => thread::sleep(Duration::from_millis(20)),
                Fault::Cut(_) | Fault::Stall(_) | Fault::Corrupt(_) => {}
            }
            passed += length;
        }
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

#[test]
fn a_stream_that_the_network_spoils_is_never_taken_for_whole() {
    const LINES: usize = 3000;
    let cluster = Cluster::new("exec-network");
    cluster.apply(POD);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    let command = format!("i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); done");
    cluster.write("spec.yaml", &spec(cluster.namespace(), &command, "5s"));
    let whole = (0..LINES).fold(String::new(), |mut text, line| {
        writeln!(text, "line {line}").expect("memory takes all");
        text
    });
    let port = free_port();
    let mut proxy = Command::new(from_rig("ASSAY_RIG_KUBECTL"));
    proxy
        .args(["proxy", "--reject-paths=^$", "--port", &port.to_string()])
        .env("KUBECONFIG", cluster.kubeconfig());
    let _proxy = Server::start(&mut proxy, &cluster.tmp().join("proxy.log"));
    wait_for_port(port);
    for (number, fault) in [
        Fault::Late,
        Fault::Cut(0),
        Fault::Cut(100),
        Fault::Cut(9000),
        Fault::Stall(0),
        Fault::Stall(9000),
        Fault::Corrupt(0),
        Fault::Corrupt(9000),
    ]
    .into_iter()
    .enumerate()
    {
        let kubeconfig = spoilt(&cluster, port, fault);
        let kubeconfig = cluster.write(&format!("spoilt-{number}"), &kubeconfig);
        let bundle = format!("{number}.tar.gz");
        let run = cluster
            .assay(&["collect", "spec.yaml", "--output", &bundle])
            .kubeconfig(&kubeconfig)
            .run();
        let code = if matches!(fault, Fault::Late) { 0 } else { 5 };
        run.expect_code(code);
        let bundle = Bundle::open(&cluster.work().join(&bundle));
        let path = "out/exec-network/web/shell-stdout.txt";
        let text = if bundle.has(path) {
            bundle.text(path)
        } else {
            String::new()
        };
        match fault {
            Fault::Late => assert_eq!(text, whole),
            Fault::Corrupt(_) => assert_ne!(text, whole),
            Fault::Cut(_) | Fault::Stall(_) => {
                assert!(
                    whole.starts_with(&text) && text.len() < whole.len(),
                    "{fault:?}: {text}"
                );
            }
        }
    }
}

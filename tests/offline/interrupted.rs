//! Servers that stall, deadlines and signals: a bundle all the same, and nothing left behind.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::fixture::{Bench, finish, kubeconfig, members, verdicts};

const SPEC: &str = "apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {name: p}
spec:
  analyzers:
    - clusterVersion:
        outcomes:
          - pass: {message: fine}
    - nodeResources:
        checkName: Nodes
        outcomes:
          - fail: {when: \"count() < 1\", message: none}
          - pass: {message: some}
";

const VERSION: &str = r#"{"major":"1","minor":"36","gitVersion":"v1.36.3","gitCommit":"","gitTreeState":"clean","buildDate":"","goVersion":"","compiler":"gc","platform":"linux/amd64"}"#;

/// An API server that tells its version and answers nothing else, ever.
fn stalling() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            thread::spawn(move || {
                let mut request = Vec::new();
                let mut piece = [0; 1024];
                while let Ok(read) = socket.read(&mut piece) {
                    if read == 0 {
                        return;
                    }
                    request.extend_from_slice(&piece[..read]);
                    if !request.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    if request.starts_with(b"GET /version") {
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{VERSION}",
                            VERSION.len()
                        );
                        let _ = socket.write_all(answer.as_bytes());
                    } else {
                        // The head of an answer, a little of its body, and then silence.
                        let _ = socket.write_all(
                            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3000000\r\n\r\n{\"kind\":\"List\",\"items\":[",
                        );
                    }
                    request.clear();
                }
            });
        }
    });
    address
}

fn start(bench: &Bench, command: &mut Command) -> Child {
    bench.write("spec.yaml", SPEC);
    bench.write("config", kubeconfig(&format!("http://{}", stalling())));
    command
        .args(["spec.yaml", "--kubeconfig", "config"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

/// Waits until the bundle is begun, which is when collection is.
fn wait_for_bundle(bench: &Bench) {
    let started = Instant::now();
    while bench.bundles().is_empty() {
        assert!(
            started.elapsed() < Duration::from_mins(1),
            "no bundle was begun"
        );
        thread::park_timeout(Duration::from_millis(10));
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status()
        .expect("kill");
    assert!(sent.success());
}

/// The bundle can be judged again with the same verdicts, and no pass stands on what is missing.
fn check(bench: &Bench, live: &serde_json::Value) {
    let bundle = bench.bundles().pop().expect("a bundle");
    let offline = Bench::run(
        bench
            .assay()
            .args(["analyze", "--format", "json", "spec.yaml", "--bundle"])
            .arg(&bundle),
    );
    assert_eq!(verdicts(live), verdicts(&offline.json()));
    let unknown: Vec<_> = live["unknown"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|check| check["title"].as_str())
        .collect();
    assert!(unknown.contains(&"Nodes"), "{live}");
    let found = members(&bundle);
    assert!(found.contains_key("manifest.json") && found.contains_key("version.yaml"));
    let left: Vec<_> = std::fs::read_dir(bench.everything().join("tmp"))
        .expect("the temporary folder")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_run_s_deadline_gives_a_bundle() {
    let bench = Bench::new();
    let child = start(
        &bench,
        bench
            .assay()
            .args(["preflight", "--format", "json", "--deadline", "2s"]),
    );
    let ran = finish(child).exits(5);
    check(&bench, &ran.json());
}

#[test]
fn sigterm_and_sigint_give_a_bundle() {
    for name in ["TERM", "INT"] {
        let bench = Bench::new();
        let child = start(
            &bench,
            bench.assay().args(["preflight", "--format", "json"]),
        );
        wait_for_bundle(&bench);
        signal(&child, name);
        let ran = finish(child).exits(5).says(&["closing the bundle"]);
        check(&bench, &ran.json());
    }
}

#[test]
fn sigint_under_the_drop_in_names() {
    for (name, code) in [("preflight", 1), ("support-bundle", 0)] {
        let bench = Bench::new();
        let mut command = bench.called(name);
        command.arg("--interactive=false");
        let child = start(&bench, &mut command);
        if name == "support-bundle" {
            bench.write(
                "spec.yaml",
                SPEC.replace("kind: Preflight", "kind: SupportBundle"),
            );
        }
        wait_for_bundle(&bench);
        signal(&child, "INT");
        finish(child).exits(code);
        assert_eq!(bench.bundles().len(), 1);
    }
}

#[test]
fn sigkill_leaves_a_prefix_that_can_be_read() {
    let bench = Bench::new();
    let child = start(&bench, bench.assay().args(["preflight"]));
    wait_for_bundle(&bench);
    signal(&child, "KILL");
    finish(child);
    let bundle = bench.bundles().pop().expect("a bundle");
    let ran = Bench::run(
        bench
            .assay()
            .args(["analyze", "--format", "json", "spec.yaml", "--bundle"])
            .arg(&bundle),
    );
    // Nothing was collected, so nothing may pass; an archive without a byte is said to be none.
    if ran.code == Some(1) {
        ran.says(&["preflightbundle-"]);
    } else {
        assert_eq!(ran.json()["pass"].as_array().map(Vec::len), Some(0));
    }
}

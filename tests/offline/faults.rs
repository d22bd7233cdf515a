//! An API server that misbehaves in one place: that costs no more than that place, is said, and passes nothing.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::{Value, json};

use crate::fixture::{Bench, Ran, Served, members, recorded, verdicts};

const SPEC: &str = "apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {name: p}
spec:
  collectors:
    - logs: {name: logs, namespace: mlops, selector: [app=mlflow]}
  analyzers:
    - clusterVersion:
        checkName: Version
        outcomes:
          - pass: {message: there}
    - clusterPodStatuses:
        checkName: Pods
        namespaces: [velero]
        outcomes:
          - fail: {when: \"!= Healthy\", message: not healthy}
          - pass: {message: healthy}
    - nodeResources:
        checkName: Nodes
        outcomes:
          - fail: {when: \"count() < 5\", message: too few}
          - pass: {message: enough}
    - textAnalyze:
        checkName: Logs
        fileName: logs/*/*.log
        regex: panic
        outcomes:
          - fail: {when: \"true\", message: it panics}
          - pass: {when: \"false\", message: it does not}
";

/// What becomes of an answer, before and instead of which the server's own is known.
enum Fault {
    /// The server's own.
    None,
    /// Another document.
    Document(Value),
    /// Bytes that may be no document.
    Bytes(Vec<u8>),
    /// A status code, a further header, a reason and a message.
    Status(u16, &'static str, &'static str),
    /// The first half, and then the connection is gone.
    Half,
}

/// Decides by the request's path with its query, and by how many requests of this path there were before.
type Decision = fn(&str, usize, &Value) -> Fault;

struct Relay {
    kubeconfig: PathBuf,
}

impl Relay {
    /// Stands between the binary and a bundle that is served.
    fn start(bench: &Bench, served: &Served, decide: Decision) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        let kubeconfig = std::fs::read_to_string(&served.kubeconfig).expect("a kubeconfig");
        let (_, after) = kubeconfig.split_once("http://").expect("an address");
        let upstream = after[..after.find('/').expect("a token")].to_owned();
        let kubeconfig = kubeconfig.replace(&upstream, &address);
        let kubeconfig = bench.write("relayed", kubeconfig);
        let seen = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
        thread::spawn(move || {
            for client in listener.incoming().filter_map(Result::ok) {
                let (upstream, seen) = (upstream.clone(), Arc::clone(&seen));
                thread::spawn(move || relay(client, &upstream, &seen, decide));
            }
        });
        Self { kubeconfig }
    }
}

/// Answers one request and closes the connection.
fn relay(
    mut client: TcpStream,
    upstream: &str,
    seen: &Mutex<BTreeMap<String, usize>>,
    decide: Decision,
) -> Option<()> {
    let (head, body) = message(&mut client)?;
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let kept = lines.filter(|line| {
        let line = line.to_lowercase();
        !["host:", "connection:", "accept-encoding:"]
            .iter()
            .any(|name| line.starts_with(name))
    });
    // The old version of HTTP has neither chunks nor connections that stay.
    let kept: Vec<&str> = kept.collect();
    let request = format!(
        "{method} {target} HTTP/1.0\r\nHost: {upstream}\r\n{}\r\n\r\n",
        kept.join("\r\n")
    );
    let mut server = TcpStream::connect(upstream).ok()?;
    server.write_all(request.as_bytes()).ok()?;
    server.write_all(&body).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let document = serde_json::from_slice(&answer[end..]).unwrap_or(Value::Null);
    // Without the token, which is the first segment.
    let path = target.get(1..)?.split_once('/')?.1;
    let count = {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let count = seen.entry(path.to_owned()).or_default();
        *count += 1;
        *count - 1
    };
    let headed = |status: &str, body: &[u8]| {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    };
    let bytes = match decide(path, count, &document) {
        Fault::None => answer,
        Fault::Document(document) => headed("200 OK", document.to_string().as_bytes()),
        Fault::Bytes(bytes) => headed("200 OK", &bytes),
        Fault::Status(code, reason, message) => {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": message, "reason": reason, "code": code,
            });
            headed(&format!("{code} {reason}"), status.to_string().as_bytes())
        }
        Fault::Half => {
            let whole = headed("200 OK", &answer[end..]);
            whole[..whole.len() - (answer.len() - end) / 2].to_vec()
        }
    };
    client.write_all(&bytes).ok()
}

/// Head and body of a request.
fn message(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        let length = stream.read(&mut piece).ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&piece[..length]);
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = bytes.split_off(end + 4);
    while body.len() < length.unwrap_or(0) {
        let read = stream.read(&mut piece).ok().filter(|length| *length > 0)?;
        body.extend_from_slice(&piece[..read]);
    }
    Some((head, body))
}

fn is_list_of_pods(path: &str) -> bool {
    path.starts_with("api/v1/pods?") && !path.contains("labelSelector")
}

/// A preflight through the relay, judged again from its bundle.
fn preflight(bench: &Bench, kubeconfig: &std::path::Path, name: &str) -> Ran {
    let output = format!("{name}.tar.gz");
    let arguments = ["preflight", "spec.yaml", "--format", "json", "--output"];
    let live = Bench::run(
        bench
            .assay()
            .args(arguments)
            .args([&output, "--kubeconfig"])
            .arg(kubeconfig),
    );
    let arguments = ["analyze", "spec.yaml", "--format", "json", "--bundle"];
    let offline = Bench::run(bench.assay().args(arguments).arg(&output));
    assert_eq!(verdicts(&live.json()), verdicts(&offline.json()), "{name}");
    live
}

fn titles(report: &Value, verdict: &str) -> Vec<String> {
    let list = report[verdict].as_array().into_iter().flatten();
    list.map(|finding| finding["title"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// The names in a list, sorted; twice where an object is in it twice.
fn pods(list: &[u8]) -> Vec<String> {
    let list: Value = serde_json::from_slice(list).expect("a list");
    let items = list["items"].as_array().into_iter().flatten();
    let mut names: Vec<String> = items
        .map(|item| item["metadata"]["name"].to_string())
        .collect();
    names.sort();
    names
}

/// Faults that a second try mends, with the exit code: a list that had to be started over may not be of one moment,
/// and that is said.
const MENDED: [(&str, i32, Decision); 3] = [
    ("busy", 0, |path, count, _| {
        if is_list_of_pods(path) && count == 0 {
            Fault::Status(429, "TooManyRequests", "please come again")
        } else {
            Fault::None
        }
    }),
    ("expired", 5, |path, count, document| {
        if path.contains("continue=stale") {
            return Fault::Status(410, "Expired", "the continue token is too old");
        }
        if !is_list_of_pods(path) || count > 0 {
            return Fault::None;
        }
        let mut page = document.clone();
        if let Some(items) = page["items"].as_array_mut() {
            items.truncate(3);
        }
        page["metadata"]["continue"] = "stale".into();
        Fault::Document(page)
    }),
    ("broken off", 0, |path, count, _| {
        if is_list_of_pods(path) && count == 0 {
            Fault::Half
        } else {
            Fault::None
        }
    }),
];

/// Faults that stay: which check they leave without an answer, what the manifest says, and the exit code.
const LASTING: [(&str, Decision, &str, &str, i32); 4] = [
    (
        "malformed item",
        |path, _, document| {
            if !is_list_of_pods(path) {
                return Fault::None;
            }
            // In the pod of the namespace that is asked about.
            let text = document.to_string();
            Fault::Bytes(text.replace("\"velero-", "nonsense\"velero-").into_bytes())
        },
        "Pods",
        "pods",
        5,
    ),
    (
        "refused kind",
        |path, _, _| {
            if path.starts_with("api/v1/nodes") {
                Fault::Status(403, "Forbidden", "nodes is forbidden")
            } else {
                Fault::None
            }
        },
        "Nodes",
        "nodes",
        5,
    ),
    (
        "failing kind",
        |path, _, _| {
            if path.starts_with("api/v1/nodes") {
                Fault::Status(500, "InternalError", "etcdserver: request timed out")
            } else {
                Fault::None
            }
        },
        "Nodes",
        "etcdserver: request timed out",
        5,
    ),
    (
        "pod that vanishes",
        |path, _, _| {
            if path.contains("/pods/mlflow-") && path.contains("/log?") {
                Fault::Status(404, "NotFound", "pods \"mlflow\" not found")
            } else {
                Fault::None
            }
        },
        "Logs",
        "not found",
        // What is not there any more is no failure: there is nothing to judge.
        0,
    ),
];

/// A bench with the spec and the recorded cluster, and what the undisturbed run says and bundles.
fn undisturbed() -> (Bench, Served, Value, BTreeMap<String, Vec<u8>>) {
    let bench = Bench::new();
    bench.write("spec.yaml", SPEC);
    let served = Served::start(&bench, &recorded());
    let whole = preflight(&bench, &served.kubeconfig, "whole").exits(0);
    let members = members(&bench.work().join("whole.tar.gz"));
    (bench, served, verdicts(&whole.json()), members)
}

#[test]
fn what_a_second_try_mends_costs_nothing() {
    let (bench, served, expected, of_whole) = undisturbed();
    for (name, code, decide) in MENDED {
        let relay = Relay::start(&bench, &served, decide);
        let ran = preflight(&bench, &relay.kubeconfig, name).exits(code);
        let report = verdicts(&ran.json());
        for verdict in ["pass", "warn", "fail"] {
            assert_eq!(report[verdict], expected[verdict], "{name}");
        }
        assert_eq!(titles(&report, "unknown").is_empty(), code == 0, "{name}");
        let found = members(&bench.work().join(format!("{name}.tar.gz")));
        for (path, bytes) in &of_whole {
            let is_log = path.starts_with("cluster-resources/pods/logs/");
            if path.starts_with("cluster-resources/pods/") && !is_log {
                assert_eq!(pods(&found[path]), pods(bytes), "{name}: {path}");
            }
        }
        let manifest = String::from_utf8_lossy(&found["manifest.json"]).into_owned();
        let told = if code == 0 {
            "\"retries\": 1"
        } else {
            "its continue token expired"
        };
        assert!(manifest.contains(told), "{name}: {manifest}");
    }
}

#[test]
fn what_stays_broken_costs_no_more_than_itself() {
    let (bench, served, _, of_whole) = undisturbed();
    for (name, decide, title, said, code) in LASTING {
        let relay = Relay::start(&bench, &served, decide);
        let ran = preflight(&bench, &relay.kubeconfig, name);
        let report = ran.json();
        let mut passed = titles(&report, "pass");
        passed.dedup();
        let others = ["Version", "Pods", "Nodes", "Logs"].into_iter();
        let others: Vec<&str> = others.filter(|other| *other != title).collect();
        assert_eq!(passed, others, "{name}: {report:#}");
        let list = if code == 0 {
            "notApplicable"
        } else {
            "unknown"
        };
        assert_eq!(titles(&report, list), [title], "{name}: {report:#}");
        let found = members(&bench.work().join(format!("{name}.tar.gz")));
        let manifest = String::from_utf8_lossy(&found["manifest.json"]).into_owned();
        assert!(manifest.contains(said), "{name}: {manifest}");
        ran.exits(code);
        // Nothing else is lost.
        for path in of_whole.keys() {
            let concerned = path.contains("/nodes")
                || path.contains("velero")
                || path.contains("mlflow")
                || path.contains("pods/logs");
            assert!(concerned || found.contains_key(path), "{name}: {path}");
        }
    }
}

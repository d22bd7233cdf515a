//! Runs that are ended from outside: there is always a bundle, it says what is missing, and nothing raw is left.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::fixture::{Cluster, Run, Running, wait_until};

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeName: kwok-0
  containers:
  - {name: main, image: example.org/web:1}
";

const SPEC: &str = "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: interrupt}
spec:
  collectors:
  - clusterInfo: {}
  - clusterResources: {namespaces: [NAMESPACE]}
  - exec:
      name: endless
      namespace: NAMESPACE
      selector: [app=web]
      command: [sh, -c]
      args: ['echo rig-password=planted-in-flight; touch MARK; sleep 3600']
  analyzers:
  - clusterVersion:
      outcomes:
      - pass: {when: '>= 1.0.0', message: there}
";

/// Runs the spec until its endless command is under way, then signals.
fn interrupted(name: &str, signal: Signal) -> (Cluster, Run) {
    let cluster = Cluster::new(name);
    cluster.apply(POD);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    let mark = cluster.work().join("mark");
    cluster.write(
        "spec.yaml",
        &SPEC
            .replace("NAMESPACE", name)
            .replace("MARK", &mark.to_string_lossy()),
    );
    let mut running = cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .start();
    // kwok runs commands on this machine, so that the mark is a file here.
    wait_until("the command runs", || {
        assert!(!running.is_over(), "it never ran: {}", running.stderr());
        mark.exists()
    });
    running.signal(signal);
    let run = running.wait();
    (cluster, run)
}

#[test]
fn sigterm_leaves_a_bundle_of_what_was_collected() {
    let (cluster, run) = interrupted("interrupt-term", Signal::TERM);
    let run = run.expect_code(5);
    assert!(!run.stderr.is_empty());
    let bundle = cluster.bundle();
    assert!(bundle.has("cluster-resources/pods/interrupt-term.json"));
    assert_eq!(bundle.json("manifest.json")["ending"]["kind"], "signal");
    assert_eq!(tmp_files(&cluster), Vec::<String>::new());
}

#[test]
fn sigkill_leaves_nothing_raw() {
    let (cluster, run) = interrupted("interrupt-kill", Signal::KILL);
    assert_eq!(run.code, None);
    fs::remove_file(cluster.work().join("spec.yaml")).expect("the spec");
    assert_eq!(
        cluster.files_holding("planted-in-flight"),
        Vec::<PathBuf>::new()
    );
}

fn tmp_files(cluster: &Cluster) -> Vec<String> {
    fs::read_dir(cluster.tmp())
        .expect("the temporary folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

/// How many pods, with a note of 8 kB each that does not compress: some megabytes that come slowly.
const PODS: usize = 300;

const JUDGED: &str = "
apiVersion: troubleshoot.sh/v1beta2
kind: Preflight
metadata: {name: slow}
spec:
  collectors:
  - clusterInfo: {}
  - clusterResources: {namespaces: [NAMESPACE]}
  - logs: {name: logs, namespace: NAMESPACE, selector: [app=many]}
  analyzers:
  - clusterVersion:
      checkName: Version
      outcomes:
      - pass: {when: '>= 1.0.0', message: there}
  - clusterPodStatuses:
      checkName: Pods
      outcomes:
      - fail: {when: '== Failed', message: failed}
      - pass: {message: not failed}
  - textAnalyze:
      checkName: Logs
      fileName: logs/*/*.log
      regex: panic
      outcomes:
      - fail: {when: 'true', message: it panics}
      - pass: {when: 'false', message: it does not}
";

/// An API server of much to read behind a narrow line, and a run of [`JUDGED`] on it.
fn slow_run(name: &str, deadline: &str, end: impl FnOnce(&Running, &AtomicU64)) -> (Cluster, Run) {
    let cluster = Cluster::new(name);
    cluster.apply(&many_pods());
    let (kubeconfig, passed) = narrow(&cluster);
    cluster.write("spec.yaml", &JUDGED.replace("NAMESPACE", name));
    let running = cluster
        .assay(&[
            "preflight",
            "spec.yaml",
            "--format",
            "json",
            "--output",
            "bundle.tar.gz",
            "--deadline",
            deadline,
        ])
        .kubeconfig(&kubeconfig)
        .start();
    end(&running, &passed);
    (cluster, running.wait())
}

/// Pods that nobody schedules.
fn many_pods() -> String {
    let mut state = 88_172_645_463_325_252_u64;
    let mut manifests = String::new();
    for pod in 0..PODS {
        let mut note = String::new();
        while note.len() < 8000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let _ = write!(note, "{state:016x}");
        }
        let _ = write!(
            manifests,
            "---
apiVersion: v1
kind: Pod
metadata: {{name: many-{pod}, labels: {{app: many}}, annotations: {{note: {note}}}}}
spec:
  schedulerName: nobody
  containers:
  - {{name: main, image: example.org/many:1}}
"
        );
    }
    manifests
}

/// Lets through 100 kB a second from the API server, over all connections, and counts them. The kubeconfig leads there.
fn narrow(cluster: &Cluster) -> (PathBuf, Arc<AtomicU64>) {
    const PIECE: Duration = Duration::from_millis(20);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let kubeconfig = fs::read_to_string(cluster.kubeconfig()).expect("the rig's kubeconfig");
    let server = "https://127.0.0.1:443";
    assert!(kubeconfig.contains(server), "{kubeconfig}");
    let kubeconfig = kubeconfig.replace(server, &format!("https://{address}"));
    let passed = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&passed);
    let turn = Arc::new(Mutex::new(()));
    thread::spawn(move || {
        for client in listener.incoming().filter_map(Result::ok) {
            let server = TcpStream::connect("127.0.0.1:443").expect("the API server listens");
            let (mut from, mut to) = (
                client.try_clone().expect("a socket"),
                server.try_clone().expect("a socket"),
            );
            thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
            let (mut from, mut to) = (server, client);
            let (turn, counter) = (Arc::clone(&turn), Arc::clone(&counter));
            thread::spawn(move || {
                let mut piece = [0; 2000];
                while let Ok(length) = from.read(&mut piece) {
                    if length == 0 || to.write_all(&piece[..length]).is_err() {
                        break;
                    }
                    counter.fetch_add(length as u64, Ordering::Relaxed);
                    let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                    thread::sleep(PIECE);
                }
                let _ = to.shutdown(Shutdown::Both);
                let _ = from.shutdown(Shutdown::Both);
            });
        }
    });
    (cluster.write("narrow", &kubeconfig), passed)
}

/// The verdicts are those of the bundle, the bundle says how the run ended, and nothing passes on what is missing.
fn assert_partial(cluster: &Cluster, run: Run, ending: &str) {
    let report = run.expect_code(5).json();
    let offline = cluster
        .assay(&[
            "analyze",
            "spec.yaml",
            "--format",
            "json",
            "--bundle",
            "bundle.tar.gz",
        ])
        .run()
        .expect_code(5)
        .json();
    for verdict in ["pass", "warn", "fail", "unknown", "notApplicable"] {
        assert_eq!(report[verdict], offline[verdict], "{verdict}");
    }
    let titles = |verdict: &str| -> Vec<String> {
        let list = report[verdict].as_array().into_iter().flatten();
        list.map(|finding| finding["title"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(titles("pass"), ["Version"], "{report:#}");
    for title in ["Pods", "Logs"] {
        assert!(titles("unknown").contains(&title.to_owned()), "{report:#}");
    }
    let bundle = cluster.bundle();
    let manifest = bundle.json("manifest.json");
    assert_eq!(manifest["ending"]["kind"], ending);
    let path = format!("cluster-resources/pods/{}.json", cluster.namespace());
    let held = if bundle.has(&path) {
        let list: Value = bundle.json(&path);
        list["items"].as_array().map_or(0, Vec::len)
    } else {
        0
    };
    assert!(held < PODS, "all pods came over the narrow line");
    assert_eq!(tmp_files(cluster), Vec::<String>::new());
}

#[test]
fn a_deadline_amid_a_large_cluster_gives_what_came() {
    let (cluster, run) = slow_run("interrupt-slow-deadline", "8s", |_, _| {});
    assert_partial(&cluster, run, "deadline");
}

#[test]
fn sigterm_amid_a_large_cluster_gives_what_came() {
    let (cluster, run) = slow_run("interrupt-slow-term", "2m", |running, passed| {
        wait_until("half a megabyte came", || {
            passed.load(Ordering::Relaxed) > 500_000
        });
        running.signal(Signal::TERM);
    });
    assert_partial(&cluster, run, "signal");
}

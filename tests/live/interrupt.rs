//! Runs that are ended from outside: there is always a bundle, it says what is missing, and nothing raw is left.

use rustix::process::Signal;

use crate::fixture::Cluster;

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
fn interrupted(name: &str, signal: Signal) -> (Cluster, crate::fixture::Run) {
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
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(2);
    while !mark.exists() {
        assert!(
            std::time::Instant::now() < deadline && !running.is_over(),
            "the command never ran: {}",
            running.stderr()
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
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
    std::fs::remove_file(cluster.work().join("spec.yaml")).expect("the spec");
    assert_eq!(
        cluster.files_holding("planted-in-flight"),
        Vec::<std::path::PathBuf>::new()
    );
}

fn tmp_files(cluster: &Cluster) -> Vec<String> {
    std::fs::read_dir(cluster.tmp())
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

//! kubectl against `assay serve`: it says of a bundle what it said of the cluster.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::fixture::{Cluster, from_rig};

/// A bundle that is served until the value goes away.
struct Served<'a> {
    cluster: &'a Cluster,
    child: Child,
    kubeconfig: PathBuf,
}

/// What kubectl said.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl<'a> Served<'a> {
    #[expect(clippy::zombie_processes, reason = "a failed start ends the test")]
    fn start(cluster: &'a Cluster, bundle: &Path) -> Self {
        let kubeconfig = cluster.work().join("served");
        let mut child = Command::new(env!("CARGO_BIN_EXE_assay"))
            .arg("serve")
            .arg(bundle)
            .arg("--write-kubeconfig")
            .arg(&kubeconfig)
            .current_dir(cluster.work())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("a pipe");
        let mut said = String::new();
        for line in BufReader::new(stderr).lines() {
            let line = line.expect("text on stderr");
            if line.starts_with("Serving ") {
                return Self {
                    cluster,
                    child,
                    kubeconfig,
                };
            }
            said.push_str(&line);
        }
        panic!("the bundle is not served: {said}");
    }

    /// Asks the bundle.
    fn kubectl(&self, arguments: &[&str]) -> Said {
        ask(self.cluster, &self.kubeconfig, arguments)
    }

    #[track_caller]
    fn answers(&self, arguments: &[&str]) -> String {
        let said = self.kubectl(arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.stderr);
        said.stdout
    }

    #[track_caller]
    fn refuses(&self, arguments: &[&str]) -> String {
        let said = self.kubectl(arguments);
        assert_eq!(said.code, Some(1), "{arguments:?}: {}", said.stdout);
        said.stderr
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(cluster: &Cluster, kubeconfig: &Path, arguments: &[&str]) -> Said {
    let output = Command::new(from_rig("ASSAY_RIG_KUBECTL"))
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        // By address and port, which another test's server may have had before.
        .env("KUBECACHEDIR", cluster.tmp())
        .stdin(Stdio::null())
        .output()
        .expect("kubectl runs");
    Said {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn the_recorded_cluster_answers_kubectl() {
    let cluster = Cluster::new("serve-recorded");
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/cluster.tar.gz");
    let served = Served::start(&cluster, &bundle);
    for (arguments, expected) in [
        (
            "get nodes -o name",
            "node/control-1\nnode/gpu-1\nnode/gpu-2\nnode/worker-1\nnode/worker-2\n",
        ),
        ("get pods -n mlops -l app=minio -o name", "pod/minio-0\n"),
        (
            "get pods -A --selector=app=minio,!job-name -o name",
            "pod/minio-0\n",
        ),
        (
            "get pods -n mlops --field-selector=status.phase=Pending -o jsonpath={.items[*].metadata.labels.app}",
            "finetune-7b",
        ),
        (
            "get pods -A --field-selector=spec.nodeName=gpu-1 -o jsonpath={.items[*].metadata.namespace}",
            "gpu-operator",
        ),
        (
            "get statefulset minio -n mlops -o jsonpath={.kind}",
            "StatefulSet",
        ),
        (
            "get clusters.postgresql.cnpg.io -A -o name",
            "cluster.postgresql.cnpg.io/tracking\n",
        ),
        ("get pods -n no-such-namespace -o name", ""),
        ("auth can-i get pods", "yes\n"),
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        assert_eq!(served.answers(&arguments), expected, "{arguments:?}");
    }
    for (selector, count) in [
        ("app in (mlflow, minio)", 3),
        ("app notin (mlflow, minio)", 2),
        ("job-name", 1),
        ("!job-name", 4),
    ] {
        let names = served.answers(&["get", "pods", "-n", "mlops", "-l", selector, "-o", "name"]);
        assert_eq!(names.lines().count(), count, "{selector}: {names}");
    }
    for (arguments, said) in [
        ("version", "Server Version: v1.36.3"),
        ("get node gpu-1 -o yaml", "nvidia.com/gpu: \"4\""),
        ("get node gpu-1 -o json", "\"kind\": \"Node\""),
        ("api-resources", "inferenceservices"),
        (
            "describe pod -n mlops -l app=finetune-7b",
            "Controlled By:        Job/finetune-7b",
        ),
        (
            "describe pod -n mlops -l app=finetune-7b",
            "FailedScheduling",
        ),
        (
            "logs -n mlops deployment/feature-store -c server",
            "panic: ",
        ),
        (
            "logs -n mlops deployment/feature-store --previous",
            "panic: ",
        ),
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let stdout = served.answers(&arguments);
        assert!(stdout.contains(said), "{arguments:?}: {stdout}");
    }
    for (arguments, said) in [
        (
            "get unicorns",
            "the server doesn't have a resource type \"unicorns\"",
        ),
        (
            "get pod nobody -n mlops",
            "Error from server (NotFound): pods \"nobody\" not found",
        ),
        (
            "logs nobody -n mlops",
            "(NotFound): pods \"nobody\" not found",
        ),
        (
            "logs minio-0 -n mlops -c nothing",
            "container nothing is not valid for pod minio-0",
        ),
        // A kind that Kubernetes has and this bundle does not.
        ("get podtemplates -A", "not collected"),
        ("logs minio-0 -n mlops --previous", "not collected"),
        ("delete pod minio-0 -n mlops", "read-only"),
        ("get pods --field-selector=color=red", "color"),
        ("get pods -l =", "label selector"),
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let stderr = served.refuses(&arguments);
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
}

const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web, tier: front}, annotations: {note: 'a: \"b\"'}}
spec:
  nodeName: kwok-0
  containers:
  - {name: main, image: example.org/web:1, resources: {requests: {cpu: 100m}}}
  - {name: sidecar, image: example.org/proxy:1}
---
apiVersion: v1
kind: Pod
metadata: {name: api, labels: {app: api, tier: back}}
spec:
  schedulerName: nobody
  containers:
  - {name: main, image: example.org/api:1}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: web}}
data: {colour: blue}
";

#[test]
fn a_collected_cluster_answers_as_it_did() {
    let cluster = Cluster::new("serve-collected");
    cluster.apply(PODS);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    cluster.write(
        "spec.yaml",
        "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: serve}
spec:
  collectors:
  - clusterInfo: {}
  - clusterResources: {namespaces: [serve-collected]}
  - logs: {namespace: serve-collected, selector: [app=web]}
",
    );
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run()
        .expect_code(0);
    let served = Served::start(&cluster, &cluster.work().join("bundle.tar.gz"));
    for arguments in [
        "get pods -o name",
        "get pods -o name -l app=web",
        "get pods -o name -l app==web,tier!=back",
        "get pods -o name -l app|in|(web,|api),tier|notin|(front)",
        "get pods -o name -l !missing,tier",
        "get pods -o name --field-selector=status.phase=Running",
        "get pods -o name --field-selector=status.phase!=Running,metadata.name=api",
        "get pods -o name --field-selector=spec.nodeName=kwok-0",
        "get pods,configmaps -o name -l app=web",
        "get pods -o json",
        "get pod web -o json",
        "get pod web -o yaml",
        "get configmap settings -o yaml",
        "get namespace serve-collected -o yaml",
        "get node kwok-0 -o jsonpath={.status.capacity}",
        "get serviceaccounts -o name",
        // The lines after the one that holds a password.
        "logs web -c main --tail=2",
        "logs web -c sidecar --tail=1",
        "version -o jsonpath={.serverVersion.gitVersion}",
        "auth can-i list pods",
        // What is not there.
        "get pod nobody",
        "get configmap nobody -o json",
        "get unicorns",
        "logs nobody",
        "logs web -c nobody",
        "get pods -o name -l =",
    ] {
        // `|` stands for a space within an argument.
        let arguments: Vec<String> = arguments
            .split(' ')
            .chain(["--namespace", "serve-collected"])
            .map(|argument| argument.replace('|', " "))
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let of_cluster = ask(&cluster, cluster.kubeconfig(), &arguments);
        let of_bundle = served.kubectl(&arguments);
        assert_eq!(of_bundle.stdout, of_cluster.stdout, "{arguments:?}");
        assert_eq!(of_bundle.stderr, of_cluster.stderr, "{arguments:?}");
        assert_eq!(of_bundle.code, of_cluster.code, "{arguments:?}");
    }
    let all = served.answers(&["get", "pods", "-A", "-o", "name"]);
    assert_eq!(all, "pod/api\npod/web\n");
    let kinds = served.answers(&["api-resources", "-o", "name"]);
    assert!(
        kinds.lines().any(|kind| kind == "deployments.apps"),
        "{kinds}"
    );
    let described = served.answers(&["describe", "pod", "web", "-n", "serve-collected"]);
    for said in ["example.org/proxy:1", "cpu:        100m", "tier=front"] {
        assert!(described.contains(said), "{said}: {described}");
    }
}

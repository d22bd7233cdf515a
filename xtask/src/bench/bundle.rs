//! Generated bundles on disk, in the layout that `support-bundle` writes.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::objects::{self, APPS, Size};
use super::random::Random;

const SEED: u64 = 7;

/// Writes the cluster's documents under `folder` and returns their bytes.
pub(super) fn write_cluster(folder: &Path, size: Size) -> Result<u64> {
    let mut bundle = Bundle {
        folder,
        random: Random::new(SEED),
        written: 0,
    };
    let commit = bundle.random.hex(40);
    bundle.put(
        "cluster-info/cluster_version.json",
        &json!({
            "info": {
                "major": "1", "minor": "36", "gitVersion": "v1.36.3", "gitCommit": commit,
                "gitTreeState": "clean", "buildDate": "2026-09-11T10:00:00Z", "goVersion": "go1.26.1",
                "compiler": "gc", "platform": "linux/amd64",
            },
            "string": "v1.36.3",
        }),
    )?;
    let nodes: Vec<Value> = (0..size.nodes)
        .map(|i| objects::node(&mut bundle.random, i))
        .collect();
    bundle.list("nodes", "Node", "v1", &nodes)?;
    bundle.list(
        "storage-classes",
        "StorageClass",
        "storage.k8s.io/v1",
        &[json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "ebs.csi.aws.com",
        })],
    )?;
    bundle.list(
        "custom-resource-definitions",
        "CustomResourceDefinition",
        "apiextensions.k8s.io/v1",
        &[json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.test"},
            "spec": {"group": "example.test", "names": {"kind": "Widget", "plural": "widgets"}, "scope": "Namespaced"},
        })],
    )?;
    let mut namespaces = Vec::new();
    let mut first = 0;
    for (i, name) in size.namespaces().enumerate() {
        namespaces.push(json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "uid": bundle.random.uid(), "creationTimestamp": bundle.random.time()},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
        }));
        let pods = first..first + size.pods_of(i);
        first = pods.end;
        bundle.put_namespace(i, &name, pods, size.nodes)?;
    }
    bundle.list("namespaces", "Namespace", "v1", &namespaces)?;
    write_version(folder)?;
    Ok(bundle.written)
}

/// A bundle that is being written.
struct Bundle<'a> {
    folder: &'a Path,
    random: Random,
    written: u64,
}

impl Bundle<'_> {
    fn put_namespace(
        &mut self,
        i: usize,
        name: &str,
        pods: Range<usize>,
        nodes: usize,
    ) -> Result<()> {
        let random = &mut self.random;
        let mut pods: Vec<Value> = pods
            .map(|k| {
                let mut pod = objects::pod(random, name, k, nodes);
                objects::observe(random, &mut pod, k);
                pod
            })
            .collect();
        // As an API server lists them.
        pods.sort_by_cached_key(|pod| pod["metadata"]["name"].to_string());
        let deployments: Vec<Value> = APPS
            .iter()
            .map(|app| {
                let ready = if i % 20 == 1 && *app == "orders" {
                    9
                } else {
                    10
                };
                objects::workload(random, "Deployment", name, app, 10, ready)
            })
            .collect();
        let sets = [objects::workload(random, "StatefulSet", name, "pg", 3, 3)];
        let maps: Vec<Value> = APPS
            .iter()
            .map(|app| objects::config_map(random, name, &format!("{app}-config")))
            .collect();
        self.list(&format!("pods/{name}"), "Pod", "v1", &pods)?;
        self.list(
            &format!("deployments/{name}"),
            "Deployment",
            "apps/v1",
            &deployments,
        )?;
        self.list(
            &format!("statefulsets/{name}"),
            "StatefulSet",
            "apps/v1",
            &sets,
        )?;
        self.list(&format!("configmaps/{name}"), "ConfigMap", "v1", &maps)?;
        self.put_others(i, name)
    }

    /// What stands beside pods and their workloads.
    fn put_others(&mut self, i: usize, name: &str) -> Result<()> {
        let random = &mut self.random;
        let mut replicasets: Vec<Value> = APPS
            .iter()
            .map(|app| objects::workload(random, "ReplicaSet", name, app, 10, 10))
            .collect();
        for set in &mut replicasets {
            let app = set["metadata"]["name"].as_str().unwrap_or_default();
            set["metadata"]["name"] = json!(format!("{app}-{}", random.hex(9)));
        }
        let metadata = |random: &mut Random, object: &str| json!({"name": object, "namespace": name, "uid": random.uid(), "creationTimestamp": random.time()});
        let jobs = [json!({
            "metadata": metadata(random, "migrate"),
            "spec": {"completions": 1, "parallelism": 1, "backoffLimit": 3}, "status": {"succeeded": 1},
        })];
        let services: Vec<Value> = APPS
            .iter()
            .enumerate()
            .map(|(j, app)| {
                json!({
                    "metadata": metadata(random, app),
                    "spec": {
                        "type": "ClusterIP", "clusterIP": format!("10.96.{i}.{j}"), "selector": {"app": app},
                        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
                    },
                })
            })
            .collect();
        let claims = [json!({
            "metadata": metadata(random, "data-pg-0"),
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "standard",
                "resources": {"requests": {"storage": "100Gi"}},
            },
            "status": {"phase": "Bound"},
        })];
        let ingresses = [json!({
            "metadata": metadata(random, "web"),
            "spec": {"rules": [{"host": format!("{name}.example.test"), "http": {"paths": [{
                "path": "/", "pathType": "Prefix", "backend": {"service": {"name": "gateway", "port": {"number": 80}}},
            }]}}]},
        })];
        let events: Vec<Value> = (0..60).map(|j| objects::event(random, name, j)).collect();
        self.list(
            &format!("replicasets/{name}"),
            "ReplicaSet",
            "apps/v1",
            &replicasets,
        )?;
        self.list(&format!("jobs/{name}"), "Job", "batch/v1", &jobs)?;
        self.list(&format!("services/{name}"), "Service", "v1", &services)?;
        self.list(
            &format!("pvcs/{name}"),
            "PersistentVolumeClaim",
            "v1",
            &claims,
        )?;
        self.list(
            &format!("ingress/{name}"),
            "Ingress",
            "networking.k8s.io/v1",
            &ingresses,
        )?;
        self.list(&format!("events/{name}"), "Event", "v1", &events)?;
        self.put(
            &format!("secrets/{name}/registry.json"),
            &json!({"namespace": name, "name": "registry", "key": "", "secretExists": true}),
        )
    }

    fn list(&mut self, path: &str, kind: &str, api_version: &str, items: &[Value]) -> Result<()> {
        let list = json!({
            "kind": format!("{kind}List"), "apiVersion": api_version,
            "metadata": {"resourceVersion": "900000"}, "items": items,
        });
        self.put(&format!("cluster-resources/{path}.json"), &list)
    }

    fn put(&mut self, path: &str, document: &Value) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(document)?;
        self.written += bytes.len() as u64;
        write(&self.folder.join(path), &bytes)
    }
}

/// Writes 199 log files, about `megabytes` together; one line in `lines` holds a secret. Returns the bytes.
pub(super) fn write_logs(folder: &Path, megabytes: u64, lines: u64) -> Result<u64> {
    const FILES: u64 = 199;
    let mut random = Random::new(SEED);
    let mut written = 0;
    for i in 0..FILES {
        let app = random.of(APPS);
        let path = folder.join(format!(
            "cluster-resources/pods/logs/team-{:03}/{app}-{}/{app}.log",
            i % 100,
            random.hex(5)
        ));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file =
            File::create(&path).with_context(|| format!("failed to make {}", path.display()))?;
        let mut file = BufWriter::new(file);
        let mut length = 0;
        while length < megabytes * 1_000_000 / FILES {
            let line = log_line(&mut random, app, lines);
            file.write_all(line.as_bytes())?;
            length += line.len() as u64;
        }
        file.flush()?;
        written += length;
    }
    write_version(folder)?;
    Ok(written)
}

/// A line of text, of JSON or of klog, as clusters have them beside each other; one in `lines` holds a secret.
fn log_line(random: &mut Random, app: &str, lines: u64) -> String {
    let time = random.time();
    let path = format!("/api/v1/{app}/{}", random.below(100_000));
    let took = random.below(2000);
    let secret = if random.below(lines) == 0 {
        match random.below(4) {
            0 => format!(
                " dsn=postgresql://{app}:{}@pg.svc:5432/{app}",
                random.word(16)
            ),
            1 => format!(" password={}", random.word(20)),
            2 => format!(" Authorization: Bearer {}", random.word(40)),
            _ => format!(" aws_secret_access_key={}", random.word(40)),
        }
    } else {
        String::new()
    };
    match random.below(3) {
        0 => format!(
            "{time} INFO  [{app}] request {} GET {path} answered 200 in {took} ms for 10.1.{}.{}{secret}\n",
            random.hex(16),
            random.below(250),
            random.below(250)
        ),
        1 => format!(
            "{{\"ts\":\"{time}\",\"level\":\"info\",\"logger\":\"{app}.http\",\"msg\":\"request done{secret}\",\"path\":\"{path}\",\"status\":200,\"ms\":{took},\"trace\":\"{}\"}}\n",
            random.hex(32)
        ),
        _ => format!(
            "I1120 {} {:7} handler.go:{}] \"Handled\" method=\"GET\" path=\"{path}\" latency=\"{took}ms\"{secret}\n",
            &time[11..19],
            random.below(99_999),
            random.below(900)
        ),
    }
}

fn write_version(folder: &Path) -> Result<()> {
    let version = b"apiVersion: troubleshoot.sh/v1beta2\nkind: SupportBundle\nspec:\n  versionNumber: v0.123.14\n";
    write(&folder.join("version.yaml"), version)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes).with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bundle_is_made_every_time() {
        let make = || {
            let folder = tempfile::tempdir().expect("a folder");
            let size = Size {
                pods: 20,
                nodes: 2,
                namespaces: 2,
            };
            write_cluster(folder.path(), size).expect("a bundle");
            fs::read(folder.path().join("cluster-resources/pods/team-001.json")).expect("pods")
        };
        let pods: Value = serde_json::from_slice(&make()).expect("JSON");
        assert_eq!(pods["items"].as_array().map(Vec::len), Some(10));
        assert_eq!(make(), make());
    }

    #[test]
    fn one_log_line_in_two_hundred_holds_a_secret() {
        let mut random = Random::new(SEED);
        let secrets = (0..20_000)
            .map(|_| log_line(&mut random, "orders", 200))
            .filter(|line| {
                ["dsn=", "password=", "Bearer", "aws_secret"]
                    .iter()
                    .any(|mark| line.contains(mark))
            })
            .count();
        assert!((60..140).contains(&secrets), "{secrets} of 20000");
    }
}

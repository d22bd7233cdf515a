//! `cargo xtask record`: records the cluster that `assay demo` serves.
//!
//! A rig is started, the definitions of the operators themselves and the objects in `demo/objects` are applied, kwok
//! runs the pods and the real scheduler and controllers do their work; then `assay collect` writes the bundle, and
//! the simulator's own objects are taken out of it.

mod services;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::command::{output, run};
use crate::project_root;
use crate::rig::{Lifetime, Rig};
use services::Services;

/// `cargo xtask record`
#[derive(Debug, Args)]
pub(crate) struct RecordTask {
    /// Where the bundle goes [default: demo/cluster.tar.gz]
    #[arg(long)]
    output: Option<PathBuf>,
}

const VELERO: &str = "github.com/vmware-tanzu/velero@v1.18.3";

/// Where a definition of custom resources comes from: a Go module and a file in it.
const DEFINITIONS: [(&str, &str); 17] = [
    (
        "github.com/cloudnative-pg/cloudnative-pg@v1.27.1",
        "config/crd/bases/postgresql.cnpg.io_clusters.yaml",
    ),
    (
        "github.com/cloudnative-pg/cloudnative-pg@v1.27.1",
        "config/crd/bases/postgresql.cnpg.io_poolers.yaml",
    ),
    (
        "github.com/kserve/kserve@v0.15.2",
        "config/crd/minimal/serving.kserve.io_inferenceservices.yaml",
    ),
    (
        "github.com/kserve/kserve@v0.15.2",
        "config/crd/minimal/serving.kserve.io_servingruntimes.yaml",
    ),
    (
        VELERO,
        "config/crd/v1/bases/velero.io_backuprepositories.yaml",
    ),
    (VELERO, "config/crd/v1/bases/velero.io_backups.yaml"),
    (
        VELERO,
        "config/crd/v1/bases/velero.io_backupstoragelocations.yaml",
    ),
    (
        VELERO,
        "config/crd/v1/bases/velero.io_deletebackuprequests.yaml",
    ),
    (
        VELERO,
        "config/crd/v1/bases/velero.io_downloadrequests.yaml",
    ),
    (
        VELERO,
        "config/crd/v1/bases/velero.io_podvolumebackups.yaml",
    ),
    (
        VELERO,
        "config/crd/v1/bases/velero.io_podvolumerestores.yaml",
    ),
    (VELERO, "config/crd/v1/bases/velero.io_restores.yaml"),
    (VELERO, "config/crd/v1/bases/velero.io_schedules.yaml"),
    (
        VELERO,
        "config/crd/v1/bases/velero.io_serverstatusrequests.yaml",
    ),
    (
        VELERO,
        "config/crd/v1/bases/velero.io_volumesnapshotlocations.yaml",
    ),
    (
        VELERO,
        "config/crd/v2alpha1/bases/velero.io_datadownloads.yaml",
    ),
    (
        VELERO,
        "config/crd/v2alpha1/bases/velero.io_datauploads.yaml",
    ),
];

/// The API group of the simulator, whose objects are no part of the recorded cluster.
const SIMULATOR: &str = "kwok.x-k8s.io";

/// What `assay collect` records; object storage, images and archive under the names that the packs give them.
const SPEC: &str = "apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: recording}
spec:
  collectors:
    - clusterInfo: {}
    - clusterResources: {}
    - velero: {}
    - postgres:
        collectorName: tracking
        uri: postgresql://mlflow:brass-lantern-77@127.0.0.1:5432/mlflow?sslmode=disable
    - s3:
        collectorName: storage
        endpoint: http://127.0.0.1:9000
        bucketName: artifacts
        region: us-east-1
        usePathStyle: true
        accessKeyID: mlops-artifacts
        secretAccessKey: copper-harbour-42
    - registry:
        collectorName: images
        plainHttp: ['127.0.0.1:5000']
        images: ['127.0.0.1:5000/mlops/tracking:3.4.1', '127.0.0.1:5000/mlops/features:0.9.2']
    - configMap: {name: mlflow, namespace: mlops, includeAllData: true}
    - logs: {name: logs/mlflow, namespace: mlops, selector: [app=mlflow]}
    - logs: {name: logs/feature-store, namespace: mlops, selector: [app=feature-store]}
    - logs: {name: logs/minio, namespace: mlops, selector: [app=minio]}
  hostCollectors:
    - imageBundle: {collectorName: release, path: application.airgap}
";

/// Runs the recording.
pub(crate) fn record(task: &RecordTask) -> Result<()> {
    let root = project_root();
    let target = match &task.output {
        Some(path) => path.clone(),
        None => root.join("demo/cluster.tar.gz"),
    };
    run(Command::new("cargo")
        .args(["build", "--package", "assay"])
        .current_dir(&root))?;
    let rig = Rig::start("record", false, Lifetime::WithCaller)?;
    let folder = tempfile::tempdir()?;
    let recorded = Recorder {
        rig: &rig,
        root: &root,
        folder: folder.path(),
    }
    .record()?;
    rig.stop()?;
    without_simulator(&recorded)?;
    if target.exists() {
        fs::remove_file(&target)
            .with_context(|| format!("failed to replace {}", target.display()))?;
    }
    // Writing it anew through the product gives the archive its index back.
    run(Command::new(root.join("target/debug/assay"))
        .arg("redact")
        .arg(&recorded)
        .arg("--output")
        .arg(&target))?;
    println!("record: {} written", target.display());
    Ok(())
}

struct Recorder<'a> {
    rig: &'a Rig,
    root: &'a Path,
    folder: &'a Path,
}

impl Recorder<'_> {
    /// Returns the folder of the unpacked recording.
    fn record(&self) -> Result<PathBuf> {
        for (module, file) in DEFINITIONS {
            self.apply(&definition(module, file)?)?;
        }
        self.kubectl(&[
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            "--timeout=60s",
        ])?;
        // The rig's own node and pod are no part of the recorded cluster.
        self.kubectl(&[
            "delete",
            "nodes,pods",
            "--all",
            "--namespace=default",
            "--wait=false",
        ])?;
        for objects in sorted(&self.root.join("demo/objects"))? {
            self.apply(&fs::read_to_string(&objects)?)
                .with_context(|| format!("failed to apply {}", objects.display()))?;
        }
        self.logs()?;
        for status in ["tracking", "summarizer"] {
            let file = self.root.join(format!("demo/status/{status}.yaml"));
            let file = file.to_string_lossy();
            self.kubectl(&[
                "apply",
                "--server-side",
                "--subresource=status",
                "-f",
                &file,
            ])?;
        }
        self.settle()?;
        let services = Services::start(self.rig, self.folder)?;
        let collected = self.collect();
        services.stop()?;
        collected
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        output(self.rig.inside().command("kubectl")?.args(arguments))
    }

    fn apply(&self, manifests: &str) -> Result<()> {
        let mut child = self
            .rig
            .inside()
            .command("kubectl")?
            .args(["apply", "--server-side", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("failed to start kubectl")?;
        child
            .stdin
            .take()
            .context("kubectl's stdin is a pipe")?
            .write_all(manifests.as_bytes())?;
        let status = child.wait()?;
        if !status.success() {
            bail!("kubectl apply ended with {status}");
        }
        Ok(())
    }

    /// Tells kwok which pods have which log.
    fn logs(&self) -> Result<()> {
        self.rollout(&[
            "deployment/mlflow",
            "statefulset/minio",
            "deployment/feature-store",
        ])?;
        let pods: List = self.json(&["get", "pods", "--namespace=mlops", "--output=json"])?;
        for pod in &pods.items {
            let Some(app) = pod.pointer("/metadata/labels/app").and_then(Value::as_str) else {
                continue;
            };
            let own = self.root.join(format!("demo/logs/{app}.log"));
            let file = if own.exists() {
                own
            } else {
                self.root.join("demo/logs/other.log")
            };
            let object = json!({
                "apiVersion": "kwok.x-k8s.io/v1alpha1",
                "kind": "Logs",
                "metadata": {"name": pod.pointer("/metadata/name"), "namespace": "mlops"},
                "spec": {"logs": [{"logsFile": file, "previousLogsFile": file}]},
            });
            self.apply(&object.to_string())?;
        }
        Ok(())
    }

    fn rollout(&self, workloads: &[&str]) -> Result<()> {
        for workload in workloads {
            self.kubectl(&[
                "rollout",
                "status",
                workload,
                "--namespace=mlops",
                "--timeout=120s",
            ])?;
        }
        Ok(())
    }

    /// Makes the one pod crash, and waits until the controllers and the scheduler have seen all there is to see.
    fn settle(&self) -> Result<()> {
        let crashing = self.kubectl(&[
            "get",
            "pods",
            "--namespace=mlops",
            "--selector=app=feature-store",
            "--output=name",
        ])?;
        let crashing = crashing.trim();
        let status = fs::read_to_string(self.root.join("demo/status/feature-store.json"))?;
        self.kubectl(&[
            "patch",
            crashing,
            "--namespace=mlops",
            "--subresource=status",
            "--type=merge",
            "--patch",
            &status,
        ])?;
        let name = crashing.trim_start_matches("pod/");
        let uid = self.kubectl(&[
            "get",
            crashing,
            "--namespace=mlops",
            "--output=jsonpath={.metadata.uid}",
        ])?;
        self.apply(
            &json!({
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": format!("{name}.backoff"), "namespace": "mlops"},
                "type": "Warning",
                "reason": "BackOff",
                "message": format!("Back-off restarting failed container server in pod {name}"),
                "count": 61,
                "source": {"component": "kubelet"},
                "involvedObject": {
                    "apiVersion": "v1", "kind": "Pod", "name": name, "namespace": "mlops", "uid": uid
                },
            })
            .to_string(),
        )?;
        self.kubectl(&[
            "wait",
            "--for=jsonpath={.status.unavailableReplicas}=1",
            "deployment/feature-store",
            "--namespace=mlops",
            "--timeout=60s",
        ])?;
        self.kubectl(&[
            "wait",
            "--for=condition=PodScheduled=false",
            "pod",
            "--selector=app=finetune-7b",
            "--namespace=mlops",
            "--timeout=60s",
        ])?;
        self.kubectl(&[
            "rollout",
            "status",
            "daemonset/nvidia-device-plugin-daemonset",
            "--namespace=gpu-operator",
            "--timeout=60s",
        ])?;
        Ok(())
    }

    fn json<T: for<'de> Deserialize<'de>>(&self, arguments: &[&str]) -> Result<T> {
        serde_json::from_str(&self.kubectl(arguments)?).context("kubectl printed no JSON")
    }

    fn collect(&self) -> Result<PathBuf> {
        let spec = self.folder.join("spec.yaml");
        fs::write(&spec, SPEC)?;
        let bundle = self.folder.join("cluster.tar.gz");
        let assay = self.root.join("target/debug/assay");
        run(self
            .rig
            .inside()
            .command("sh")?
            // The archive of images is recorded by the name that the pack gives it.
            .args([
                "-c",
                r#"cd "$1" && exec "$2" collect --fail-on fail "$3" --output "$4""#,
                "collect",
            ])
            .args([self.folder, &assay, &spec, &bundle]))?;
        run(Command::new("tar")
            .arg("xzf")
            .arg(&bundle)
            .arg("-C")
            .arg(self.folder))?;
        Ok(self.folder.join("cluster"))
    }
}

#[derive(Deserialize)]
struct List {
    items: Vec<Value>,
}

/// A definition from its project's own module, without descriptions: they are prose, and most of the bytes.
fn definition(module: &str, file: &str) -> Result<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Downloaded {
        dir: PathBuf,
    }
    let text = output(
        Command::new("go")
            .args(["mod", "download", "-json", module])
            .current_dir(std::env::temp_dir()),
    )?;
    let downloaded: Downloaded = serde_json::from_str(&text).context("go printed no JSON")?;
    let path = downloaded.dir.join(file);
    let text =
        fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    Ok(without_descriptions(&text))
}

/// Drops every `description:` with the deeper lines that belong to it. A property that is itself named
/// `description` has a mapping below it and stays.
fn without_descriptions(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut kept = String::new();
    let mut index = 0;
    while index < lines.len() {
        let line = lines[index];
        let value = line.trim_start().strip_prefix("description:");
        if value.is_some_and(|value| !value.trim().is_empty()) {
            index += 1;
            while index < lines.len()
                && (lines[index].trim().is_empty() || indent(lines[index]) > indent(line))
            {
                index += 1;
            }
            continue;
        }
        kept.push_str(line);
        kept.push('\n');
        index += 1;
    }
    kept
}

/// Takes what the simulator brought out of the recording.
fn without_simulator(folder: &Path) -> Result<()> {
    let resources = folder.join("cluster-resources");
    for entry in fs::read_dir(resources.join("custom-resources"))? {
        let path = entry?.path();
        if path.to_string_lossy().contains(SIMULATOR) {
            if path.is_dir() {
                fs::remove_dir_all(&path)?;
            } else {
                fs::remove_file(&path)?;
            }
        }
    }
    edit(
        &resources.join("custom-resource-definitions.json"),
        |document| {
            retain(document.pointer_mut("/items"), |item| {
                item.pointer("/spec/group") != Some(&json!(SIMULATOR))
            });
        },
    )?;
    edit(&resources.join("groups.json"), |document| {
        retain(Some(document), |group| group["name"] != json!(SIMULATOR));
    })?;
    edit(&resources.join("resources.json"), |document| {
        retain(Some(document), |list| {
            !list["groupVersion"]
                .as_str()
                .is_some_and(|version| version.starts_with(SIMULATOR))
        });
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "callers hand over what pointer_mut gave them"
)]
fn retain(list: Option<&mut Value>, keep: impl Fn(&Value) -> bool) {
    if let Some(Value::Array(items)) = list {
        items.retain(keep);
    }
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) -> Result<()> {
    let attempt = || format!("failed to edit {}", path.display());
    let mut document: Value =
        serde_json::from_slice(&fs::read(path).with_context(attempt)?).with_context(attempt)?;
    change(&mut document);
    fs::write(path, serde_json::to_vec_pretty(&document)?).with_context(attempt)
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::without_descriptions;

    #[test]
    fn descriptions_go_and_properties_of_that_name_stay() {
        let text = "a:\n  description: |-\n    Long.\n\n    More.\n  type: object\n  properties:\n    description:\n      description: Short.\n      type: string\n";
        assert_eq!(
            without_descriptions(text),
            "a:\n  type: object\n  properties:\n    description:\n      type: string\n"
        );
    }
}

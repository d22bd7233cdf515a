//! kwok stands in for kubelets: nodes labelled `type=kwok` become ready, their pods run, logs and exec answer.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use super::cache;
use super::sandbox::{Servers, apply, listens, write};
use crate::command::{output, succeeds};

const PORT: u16 = 10247;

/// Without the handlers logs and exec answer 405. A configuration replaces the defaults, so the parallelism, which
/// must not be 0, has to be said too.
const CONFIGURATION: &str = "apiVersion: config.kwok.x-k8s.io/v1alpha1
kind: KwokConfiguration
options:
  enableDebuggingHandlers: true
  nodeLeaseParallelism: 4
  nodePlayStageParallelism: 8
  podPlayStageParallelism: 8
  podsOnNodeSyncParallelism: 4
";

/// Starts kwok with the stages of its own module, and gives every pod a log and a shell (`tests/rig/kwok/`).
pub(super) fn start(servers: &mut Servers) -> Result<()> {
    let folder = servers.folder.display().to_string();
    let stages = cache::path_of("kwok-stages")?;
    let mut configuration = CONFIGURATION.to_owned();
    let mut files: Vec<_> = fs::read_dir(&stages)?.collect::<Result<_, _>>()?;
    files.sort_by_key(fs::DirEntry::path);
    for file in files {
        let path = file.path();
        let stage = fs::read_to_string(&path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        let _ = write!(configuration, "---\n{stage}\n");
    }
    write(&servers.folder.join("kwok.yaml"), &configuration)?;
    apply(servers, &cache::path_of("kwok-crds")?)?;
    servers.start(
        "kwok",
        &[
            format!("--kubeconfig={folder}/kwok.kubeconfig"),
            // A real node may stand beside.
            "--manage-all-nodes=false".to_owned(),
            "--manage-nodes-with-label-selector=type=kwok".to_owned(),
            "--node-ip=127.0.0.1".to_owned(),
            format!("--node-port={PORT}"),
            format!("--server-address=127.0.0.1:{PORT}"),
            format!("--tls-cert-file={folder}/pki/kubelet.crt"),
            format!("--tls-private-key-file={folder}/pki/kubelet.key"),
            "--node-lease-duration-seconds=200".to_owned(),
            "--enable-crds=Logs,ClusterLogs,Exec,ClusterExec".to_owned(),
            format!("--config={folder}/kwok.yaml"),
        ],
    )?;
    servers.wait_for("kwok's port", || listens(PORT))?;
    let data = crate::project_root().join("tests/rig/kwok");
    let logs = servers.folder.join("kwok");
    fs::create_dir(&logs)?;
    for log in ["current.log", "previous.log"] {
        fs::copy(data.join(log), logs.join(log))
            .with_context(|| format!("failed to copy {log} from {}", data.display()))?;
    }
    let every_pod = fs::read_to_string(data.join("every-pod.yaml"))
        .with_context(|| format!("failed to read every-pod.yaml in {}", data.display()))?;
    let manifest = servers.folder.join("every-pod.yaml");
    write(&manifest, &every_pod.replace("RUN", &folder))?;
    apply(servers, &manifest)?;
    apply(servers, &data.join("node.yaml"))?;
    // kwok learns of the objects above by watching: only an answer shows that it has.
    apply(servers, &data.join("probe.yaml"))?;
    let mut logs = servers.kubectl()?;
    logs.args(["logs", "rig-probe"]);
    let mut shell = servers.kubectl()?;
    shell.args(["exec", "rig-probe", "--", "true"]);
    servers.wait_for("kwok", || succeeds(&mut logs) && succeeds(&mut shell))?;
    output(
        servers
            .kubectl()?
            .args(["delete", "pod", "rig-probe", "--wait=false"]),
    )?;
    Ok(())
}

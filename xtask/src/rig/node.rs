//! A real node: containerd with runc and the CNI plugins, and a kubelet, all in the rig's namespaces.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::sandbox::{Servers, write};
use super::{NODE_ADDRESS, NODE_NAME, cache, image, keeper};
use crate::command::{output, run, succeeds};

/// Values that the kubelet insists on and would otherwise write for the whole machine.
const KERNEL_SETTINGS: &[(&str, &str)] = &[
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxbytes", "25000000"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
];

/// Where containerd, CNI and the kubelet write whatever their configuration says: network namespaces, CNI results,
/// links to container logs.
const HIDDEN: &[&str] = &["/run", "/var/lib", "/var/log"];

/// Starts containerd and the kubelet; returns when the node is ready and has the images of `image.rs`.
pub(super) fn start(servers: &mut Servers) -> Result<()> {
    let folder = servers.folder.join("node");
    fs::create_dir(&folder)?;
    isolate(&folder)?;
    make_control_groups(&servers.folder)?;

    let at = folder.display().to_string();
    write(
        &folder.join("containerd.toml"),
        &containerd_configuration(&folder)?,
    )?;
    fs::create_dir(folder.join("cni"))?;
    write(
        &folder.join("cni/10-rig.conflist"),
        &CNI_CONFIGURATION.replace("NODE", &at),
    )?;
    servers.spawn(
        "containerd",
        Command::new(cache::path_of("containerd")?)
            .args(["--config", &format!("{at}/containerd.toml")])
            // The shim and runc are looked up here.
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
    )?;
    let socket = format!("{at}/containerd.sock");
    let mut version = Command::new("ctr");
    version.args(["--address", &socket, "version"]);
    servers.wait_for("containerd", || succeeds(&mut version))?;
    for archive in image::write_all(&folder)? {
        output(
            Command::new("ctr")
                .args(["--address", &socket, "--namespace", "k8s.io"])
                .args(["images", "import"])
                .arg(&archive),
        )?;
    }

    let group = keeper::control_group(&servers.folder);
    let pki = servers.folder.join("pki").display().to_string();
    write(
        &folder.join("kubelet.yaml"),
        &KUBELET_CONFIGURATION
            .replace("ADDRESS", NODE_ADDRESS)
            .replace("GROUP", &group)
            .replace("NODE", &at)
            .replace("PKI", &pki),
    )?;
    servers.start(
        "kubelet",
        &[
            format!("--kubeconfig={}/node.kubeconfig", servers.folder.display()),
            format!("--config={at}/kubelet.yaml"),
            format!("--node-ip={NODE_ADDRESS}"),
            format!("--hostname-override={NODE_NAME}"),
            format!("--root-dir={at}/kubelet"),
            format!("--cert-dir={at}/kubelet-pki"),
            "--node-labels=rig=real".to_owned(),
        ],
    )?;
    let mut ready = servers.kubectl()?;
    ready
        .args(["wait", "--for=condition=Ready", "--timeout=1s"])
        .arg(format!("node/{NODE_NAME}"));
    servers.wait_for("kubelet", || succeeds(&mut ready))
}

/// What containerd, CNI and the kubelet write outside their folders goes to memory that ends with the sandbox.
fn isolate(folder: &Path) -> Result<()> {
    // A kubelet passes mounts on between containers; inside this namespace only.
    run(Command::new("mount").args(["--make-rshared", "/"]))?;
    for hidden in HIDDEN {
        if folder.starts_with(hidden) {
            bail!(
                "the real node hides {hidden}, where the rig's cache lies: set ASSAY_RIG_CACHE to a folder elsewhere"
            );
        }
        run(Command::new("mount").args(["-t", "tmpfs", "rig", hidden]))?;
    }
    let shadows = folder.join("kernel");
    fs::create_dir(&shadows)?;
    for (setting, wanted) in KERNEL_SETTINGS {
        let path = Path::new("/proc/sys").join(setting);
        let found = fs::read_to_string(&path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        if found.trim() != *wanted {
            let shadow = shadows.join(setting.replace('/', "."));
            write(&shadow, wanted)?;
            run(Command::new("mount").arg("--bind").arg(&shadow).arg(&path))?;
        }
    }
    Ok(())
}

fn make_control_groups(run: &Path) -> Result<()> {
    let group = keeper::control_group(run);
    for root in keeper::control_group_roots()? {
        delegate(&root)?;
        let group = root.join(&group);
        fs::create_dir(&group)
            .with_context(|| format!("failed to make control group {}", group.display()))?;
    }
    Ok(())
}

/// On cgroup v2 a group has only the controllers that its parent passes on; the kubelet wants these in its own.
fn delegate(root: &Path) -> Result<()> {
    let Ok(available) = fs::read_to_string(root.join("cgroup.controllers")) else {
        return Ok(());
    };
    for controller in ["cpu", "cpuset", "hugetlb", "memory", "pids"] {
        if available.split_whitespace().any(|name| name == controller) {
            let path = root.join("cgroup.subtree_control");
            fs::write(&path, format!("+{controller}"))
                .with_context(|| format!("failed to pass {controller} on in {}", path.display()))?;
        }
    }
    Ok(())
}

fn containerd_configuration(folder: &Path) -> Result<String> {
    // overlayfs cannot lie on itself, as it would inside a container.
    let kind = output(Command::new("stat").args(["-f", "-c", "%T"]).arg(folder))?;
    let snapshotter = if kind.trim() == "overlayfs" {
        "native"
    } else {
        "overlayfs"
    };
    Ok(CONTAINERD_CONFIGURATION
        .replace("NODE", &folder.display().to_string())
        .replace("PAUSE", image::PAUSE)
        .replace("SNAPSHOTTER", snapshotter))
}

/// `restrict_oom_score_adj`: without `CAP_SYS_RESOURCE` runc could not lower the score and would die.
const CONTAINERD_CONFIGURATION: &str = r#"version = 2
root = "NODE/containerd"
state = "NODE/containerd-state"
[grpc]
  address = "NODE/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "NODE/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "PAUSE"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "NODE/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "SNAPSHOTTER"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"#;

const CNI_CONFIGURATION: &str = r#"{
  "cniVersion": "0.4.0",
  "name": "rig",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "rig0",
      "isGateway": true,
      "ipam": {
        "type": "host-local",
        "dataDir": "NODE/cni-addresses",
        "ranges": [[{"subnet": "10.88.0.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    }
  ]
}
"#;

const KUBELET_CONFIGURATION: &str = "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: ADDRESS
healthzBindAddress: 127.0.0.1
containerRuntimeEndpoint: unix://NODE/containerd.sock
failCgroupV1: false
failSwapOn: false
cgroupDriver: cgroupfs
cgroupRoot: /GROUP
enforceNodeAllocatable: []
makeIPTablesUtilChains: false
resolvConf: ''
podLogsDir: NODE/pod-logs
volumePluginDir: NODE/volume-plugins
tlsCertFile: PKI/kubelet.crt
tlsPrivateKeyFile: PKI/kubelet.key
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: PKI/ca.crt}
authorization: {mode: Webhook}
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
imageGCHighThresholdPercent: 100
evictionHard:
  memory.available: 50Mi
  nodefs.available: 1%
  nodefs.inodesFree: 1%
  imagefs.available: 1%
nodeStatusUpdateFrequency: 5s
syncFrequency: 5s
";

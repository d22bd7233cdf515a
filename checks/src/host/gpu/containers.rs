//! What lets containers have the GPUs: the NVIDIA Container Toolkit, CDI, and what the runtimes are told.
//!
//! Of a runtime's configuration only these facts are kept: it may hold a registry's password.

use std::path::Path;
use std::time::Duration;

use bundle::collected::gpu::{CdiSpec, Containers, RuntimeConfig, Tool, Unread};
use syntax::yaml::{self, Limits};

use super::{Part, names};
use crate::host::machine::text;
use crate::host::program::{Ended, Program};
use crate::host::{Host, HostError};

/// The toolkit's programs.
const TOOLS: &[&str] = &[
    "nvidia-ctk",
    "nvidia-cdi-hook",
    "nvidia-container-cli",
    "nvidia-container-runtime",
];

/// Where they may lie; the third is where the GPU operator puts them.
const FOLDERS: &[&str] = &[
    "/usr/bin",
    "/usr/local/bin",
    "/usr/local/nvidia/toolkit",
    "/opt/bin",
    "/run/current-system/sw/bin",
];

const TOOLKIT_CONFIGS: &[&str] = &[
    "/etc/nvidia-container-runtime/config.toml",
    "/usr/local/nvidia/toolkit/.config/nvidia-container-runtime/config.toml",
];

/// Where runtimes look for CDI specifications. `/var/run` is `/run`, mostly by an absolute link, which leads out of a
/// root that is mounted elsewhere.
const CDI: &[&str] = &["/etc/cdi", "/run/cdi"];

/// The runtimes' configurations; a folder stands for the files in it with this ending.
const RUNTIMES: &[(&str, &str, &str)] = &[
    ("containerd", "/etc/containerd/config.toml", ""),
    ("containerd", "/etc/containerd/conf.d", ".toml"),
    ("containerd", "/etc/k0s/containerd.toml", ""),
    ("containerd", "/etc/k0s/containerd.d", ".toml"),
    (
        "containerd",
        "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
        "",
    ),
    (
        "containerd",
        "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
        "",
    ),
    (
        "containerd",
        "/var/snap/microk8s/current/args/containerd.toml",
        "",
    ),
    ("cri-o", "/etc/crio/crio.conf", ""),
    ("cri-o", "/etc/crio/crio.conf.d", ".conf"),
    ("docker", "/etc/docker/daemon.json", ""),
];

/// Names of CDI devices that are kept of a specification.
const MOST_DEVICES: usize = 32;

/// How long `nvidia-ctk --version` may take.
const VERSION: Duration = Duration::from_secs(10);

pub(super) fn read(root: &Path) -> Part<Containers> {
    let mut unread = Vec::new();
    let at = |path: &str| root.join(path.trim_start_matches('/'));
    let toolkit = TOOLS.iter().filter_map(|name| {
        let path = FOLDERS.iter().map(|folder| format!("{folder}/{name}"));
        let mut path = path.filter(|path| at(path).is_file());
        Some(Tool {
            name: (*name).to_owned(),
            path: path.next()?,
        })
    });
    let toolkit_config = TOOLKIT_CONFIGS.iter().filter(|path| at(path).is_file());
    let containers = Containers {
        toolkit: toolkit.collect(),
        toolkit_version: String::new(),
        toolkit_config: toolkit_config.map(|path| (*path).to_owned()).collect(),
        cdi: specifications(root, &mut unread),
        runtimes: runtimes(root, &mut unread),
    };
    (containers, unread)
}

/// Asks `nvidia-ctk` for the toolkit's version.
pub(super) async fn add_version(host: &Host, containers: &mut Containers) {
    let is_it = |tool: &&Tool| tool.name == "nvidia-ctk";
    let Some(tool) = containers.toolkit.iter().find(is_it) else {
        return;
    };
    let program = Program {
        root: &host.root,
        path: &tool.path,
        arguments: &["--version"],
        libraries: None,
        deadline: VERSION,
    };
    if let Ended::Exited {
        code: Some(0),
        stdout,
        ..
    } = program.run(host.confined).await
    {
        // `NVIDIA Container Toolkit CLI version 1.17.4`, and the commit on the next line.
        let said = String::from_utf8_lossy(&stdout);
        let last = said
            .lines()
            .next()
            .and_then(|line| line.split(' ').next_back());
        last.unwrap_or_default()
            .clone_into(&mut containers.toolkit_version);
    }
}

fn specifications(root: &Path, unread: &mut Vec<Unread>) -> Vec<CdiSpec> {
    let mut found = Vec::new();
    for folder in CDI {
        for name in names(root, folder, unread) {
            let is_one = [".yaml", ".yml", ".json"]
                .iter()
                .any(|ending| name.ends_with(ending));
            if is_one {
                let path = format!("{folder}/{name}");
                let read = text(&root.join(path.trim_start_matches('/')));
                found.push(specification(path, read));
            }
        }
    }
    found
}

fn specification(path: String, read: Result<String, HostError>) -> CdiSpec {
    let document = read.map_err(|error| why(&error)).and_then(|text| {
        let document = yaml::document(&text, &Limits::default());
        let document = document.map_err(|error| error.to_string())?;
        document.root.to_json().map_err(|error| error.to_string())
    });
    match document {
        Ok(document) => {
            let devices = document["devices"].as_array();
            let named = devices.into_iter().flatten();
            let named = named.filter_map(|device| device["name"].as_str());
            CdiSpec {
                kind: document["kind"].as_str().unwrap_or_default().to_owned(),
                devices: named.take(MOST_DEVICES).map(str::to_owned).collect(),
                device_count: devices.map_or(0, Vec::len),
                reason: String::new(),
                path,
            }
        }
        Err(reason) => CdiSpec {
            path,
            reason,
            ..CdiSpec::default()
        },
    }
}

fn runtimes(root: &Path, unread: &mut Vec<Unread>) -> Vec<RuntimeConfig> {
    let mut found = Vec::new();
    for (runtime, path, ending) in RUNTIMES {
        let paths = if ending.is_empty() {
            vec![(*path).to_owned()]
        } else {
            let names = names(root, path, unread).into_iter();
            let names = names.filter(|name| name.ends_with(ending));
            names.map(|name| format!("{path}/{name}")).collect()
        };
        for path in paths {
            let file = root.join(path.trim_start_matches('/'));
            if file.exists() {
                found.push(runtime_config(runtime, path, text(&file)));
            }
        }
    }
    found
}

fn runtime_config(runtime: &str, path: String, read: Result<String, HostError>) -> RuntimeConfig {
    let mut config = RuntimeConfig {
        runtime: runtime.to_owned(),
        path,
        ..RuntimeConfig::default()
    };
    let text = match read {
        Ok(text) => text,
        Err(error) => {
            config.reason = why(&error);
            return config;
        }
    };
    for line in text.lines() {
        // TOML's comments; JSON has none.
        let line: String = line
            .split('#')
            .next()
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\'' | ','))
            .collect();
        config.nvidia |= line.contains("nvidia-container-runtime")
            || line.contains("runtimes.nvidia") && line.starts_with('[');
        config.default |= matches!(
            line.as_str(),
            "default_runtime_name=nvidia" | "default_runtime=nvidia" | "default-runtime:nvidia"
        );
        match line.as_str() {
            "enable_cdi=true" | "cdi:true" => config.cdi = Some(true),
            "enable_cdi=false" | "cdi:false" => config.cdi = Some(false),
            _ => {}
        }
    }
    config
}

/// What the system said, without the path on the machine that it was mounted on.
fn why(error: &HostError) -> String {
    match error {
        HostError::Read { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(runtime: &str, text: &str) -> (bool, bool, Option<bool>) {
        let config = runtime_config(runtime, "/etc/x".into(), Ok(text.to_owned()));
        (config.nvidia, config.default, config.cdi)
    }

    #[test]
    fn runtimes_that_name_nvidia() {
        for (runtime, text, expected) in [
            ("containerd", "version = 2\n", (false, false, None)),
            (
                "containerd",
                "[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  default_runtime_name = \"nvidia\"\n\
                 [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.nvidia.options]\n  BinaryName = \"/usr/bin/nvidia-container-runtime\"\n",
                (true, true, None),
            ),
            (
                "containerd",
                "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.'nvidia']\n\
                 [plugins.'io.containerd.cri.v1.runtime']\n  enable_cdi = true # for GPUs\n",
                (true, false, Some(true)),
            ),
            (
                "containerd",
                "# default_runtime_name = \"nvidia\"\n# BinaryName = \"nvidia-container-runtime\"\n",
                (false, false, None),
            ),
            (
                "cri-o",
                "[crio.runtime]\ndefault_runtime = \"nvidia\"\n[crio.runtime.runtimes.nvidia]\nruntime_path = \"/usr/bin/nvidia-container-runtime\"\n",
                (true, true, None),
            ),
            (
                "docker",
                "{\n  \"default-runtime\": \"nvidia\",\n  \"features\": {\n    \"cdi\": true\n  },\n  \"runtimes\": {\"nvidia\": {\"path\": \"nvidia-container-runtime\"}}\n}\n",
                (true, true, Some(true)),
            ),
        ] {
            assert_eq!(config(runtime, text), expected, "{text}");
        }
    }

    #[test]
    fn specifications_of_devices() {
        let text =
            "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: \"0\"\n- name: all\n";
        let read = specification("/etc/cdi/nvidia.yaml".into(), Ok(text.to_owned()));
        assert_eq!(read.kind, "nvidia.com/gpu");
        assert_eq!(read.devices, ["0", "all"]);
        assert_eq!((read.device_count, read.reason.as_str()), (2, ""));
        let broken = specification("/etc/cdi/x.json".into(), Ok("{\"kind\": ".to_owned()));
        assert!(!broken.reason.is_empty());
    }
}

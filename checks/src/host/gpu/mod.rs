//! Accelerators: what the PCI bus has, what the driver makes of it, what `nvidia-smi` and the kernel log say, and
//! whether containers can have it.
//!
//! A wedged driver can hang whoever reads its files, in the kernel, beyond any signal. So each part is read by a
//! thread of its own and waited for until a deadline.

mod containers;
mod kernel_log;
mod pci;
mod smi;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use bundle::collected::gpu::{Driver, Gpus, Module, Unread};

use super::machine::text;
use super::{FoundGpus, Host};

/// How long one part may take that only reads files.
const FILES: Duration = Duration::from_secs(10);

/// The most entries of a folder that are looked at.
const ENTRIES: usize = 4096;

/// Reads all that there is; `deadline` is that of `nvidia-smi`.
pub(super) async fn find(host: &Host, deadline: Duration) -> FoundGpus {
    let (cards, driver, nodes, files, log, smi) = tokio::join!(
        part(host, "/sys/bus/pci/devices", pci::cards),
        part(host, "/proc/driver/nvidia", driver),
        part(host, "/dev", nodes),
        part(host, "/etc", containers::read),
        kernel_log::read(host, FILES),
        smi::ask(host, deadline),
    );
    let mut unread = Vec::new();
    let (mut cards, (driver, models)) = (taken(cards, &mut unread), taken(driver, &mut unread));
    pci::add_models(&mut cards, models);
    let (smi, listed, xml) = smi;
    pci::add_listed(&mut cards, listed);
    let device_nodes = taken(nodes, &mut unread);
    let mut containers = taken(files, &mut unread);
    containers::add_version(host, &mut containers).await;
    FoundGpus {
        document: Gpus {
            cards,
            driver,
            device_nodes,
            nvidia_smi: smi,
            kernel_log: log,
            containers,
            unread,
        },
        smi: xml,
    }
}

/// A part of the document, and what of it could not be read.
type Part<T> = (T, Vec<Unread>);

/// Asks a question that files answer; `path` stands for them where there is no answer in time.
async fn part<T: Default + Send + 'static>(
    host: &Host,
    path: &'static str,
    question: fn(&Path) -> Part<T>,
) -> Part<T> {
    let root = host.root.clone();
    let asked = tokio::task::spawn_blocking(move || question(&root));
    let reason = match tokio::time::timeout(FILES, asked).await {
        Ok(Ok(part)) => return part,
        Ok(Err(_)) => "reading it panicked".to_owned(),
        Err(_) => format!("no answer within {} s", FILES.as_secs()),
    };
    let path = path.to_owned();
    (T::default(), vec![Unread { path, reason }])
}

fn taken<T>((value, reasons): Part<T>, unread: &mut Vec<Unread>) -> T {
    unread.extend(reasons);
    value
}

/// The names in a folder, sorted; none where there is no such folder.
fn names(root: &Path, folder: &str, unread: &mut Vec<Unread>) -> Vec<String> {
    let entries = match fs::read_dir(root.join(folder.trim_start_matches('/'))) {
        Ok(entries) => entries,
        Err(error) => {
            if error.kind() != ErrorKind::NotFound && error.kind() != ErrorKind::NotADirectory {
                unread.push(Unread {
                    path: folder.to_owned(),
                    reason: error.to_string(),
                });
            }
            return Vec::new();
        }
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .take(ENTRIES)
        .collect();
    names.sort_unstable();
    names
}

/// A file of one value, trimmed; empty where there is none.
fn value(path: &Path) -> String {
    text(path).map_or_else(|_| String::new(), |text| text.trim().to_owned())
}

/// Kernel modules of accelerators, `nvidia` and all that begin with `nvidia_` besides.
const MODULES: &[&str] = &[
    "amdgpu",
    "habanalabs",
    "i915",
    "nouveau",
    "nova_core",
    "nvidia",
    "vfio_pci",
    "xe",
];

/// The driver, and what it says of each card.
fn driver(root: &Path) -> Part<(Driver, Vec<pci::Model>)> {
    let mut unread = Vec::new();
    let modules: Vec<Module> = names(root, "/sys/module", &mut unread)
        .into_iter()
        .filter(|name| MODULES.contains(&name.as_str()) || name.starts_with("nvidia_"))
        .map(|name| Module {
            version: value(&root.join("sys/module").join(&name).join("version")),
            name,
        })
        .collect();
    let said = value(&root.join("proc/driver/nvidia/version"));
    let description = said.lines().next().unwrap_or_default().trim().to_owned();
    let module = modules.iter().find(|module| module.name == "nvidia");
    let version = module.map(|module| module.version.clone());
    let driver = Driver {
        loaded: module.is_some() || !description.is_empty(),
        version: version
            .filter(|version| !version.is_empty())
            .unwrap_or_else(|| version_in(&description)),
        description,
        modules,
    };
    let folder = "/proc/driver/nvidia/gpus";
    let models = names(root, folder, &mut unread)
        .into_iter()
        .map(|address| {
            let file = root.join("proc/driver/nvidia/gpus").join(&address);
            pci::Model::read(&address, &value(&file.join("information")))
        })
        .collect();
    ((driver, models), unread)
}

/// The version in `NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 …`.
fn version_in(description: &str) -> String {
    description
        .split_whitespace()
        .find(|word| word.contains('.') && word.split('.').all(|part| part.parse::<u32>().is_ok()))
        .unwrap_or_default()
        .to_owned()
}

/// Device nodes of accelerators.
fn nodes(root: &Path) -> Part<Vec<String>> {
    let mut unread = Vec::new();
    let mut nodes: Vec<String> = names(root, "/dev", &mut unread)
        .into_iter()
        .filter(|name| name == "kfd" || name.starts_with("nvidia") || name == "dxg")
        .filter(|name| !root.join("dev").join(name).is_dir())
        .collect();
    for folder in ["accel", "dri", "nvidia-caps"] {
        let inside = names(root, &format!("/dev/{folder}"), &mut unread);
        nodes.extend(inside.into_iter().map(|name| format!("{folder}/{name}")));
    }
    nodes.retain(|name| name != "dri/by-path" && name != "accel/by-path");
    (nodes, unread)
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn versions_in_descriptions() {
        for (description, version) in [
            (
                "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024",
                "535.183.01",
            ),
            (
                "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (builder@host)",
                "580.159.04",
            ),
            ("", ""),
        ] {
            assert_eq!(version_in(description), version);
        }
    }
}

//! `host-collectors/system/*.json`: what the host collectors found.

use serde::{Deserialize, Serialize};

use super::list;

/// The folder of the local host's documents.
pub const FOLDER: &str = "host-collectors/system";

/// Where the nodes are listed whose documents were collected remotely.
pub const NODE_LIST: &str = "host-collectors/system/node_list.json";

/// `node_list.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeList {
    /// Node names.
    #[serde(deserialize_with = "list")]
    pub nodes: Vec<String>,
}

/// `cpu.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Cpu {
    /// Hardware threads.
    pub logical_count: i64,
    /// Cores.
    pub physical_count: i64,
    /// The first processor's feature flags.
    #[serde(deserialize_with = "list")]
    pub flags: Vec<String>,
    /// As `uname -m` says, `x86_64`.
    pub machine_arch: String,
}

/// `memory.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Bytes.
    pub total: u64,
}

/// `hostos_info.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HostOs {
    /// The host's name.
    pub name: String,
    /// As `uname -r` says.
    pub kernel_version: String,
    /// `24.04`.
    pub platform_version: String,
    /// `ubuntu`.
    pub platform: String,
    /// `debian`.
    pub platform_family: String,
}

//! `host-collectors/system/gpu.json`: the accelerators of a host, from the PCI bus to the container runtime.

use serde::{Deserialize, Serialize};

use super::list;

/// The document's name in the folder of a host's documents.
pub const FILE_NAME: &str = "gpu.json";

/// What `nvidia-smi -q -x` said, in the same folder, without serial numbers.
pub const SMI_FILE_NAME: &str = "nvidia-smi.xml";

/// The document. What does not exist is empty; what could not be read is in [`Gpus::unread`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Gpus {
    /// Accelerators on the PCI bus, by address; and those that only `nvidia-smi` knows (WSL).
    #[serde(deserialize_with = "list")]
    pub cards: Vec<Card>,
    /// NVIDIA's kernel driver.
    pub driver: Driver,
    /// Device nodes of accelerators, `nvidia0`, `nvidia-caps/nvidia-cap1`, `dri/renderD128`.
    #[serde(deserialize_with = "list")]
    pub device_nodes: Vec<String>,
    /// How `nvidia-smi` ended.
    pub nvidia_smi: Smi,
    /// What the kernel logged of GPUs since it was started.
    pub kernel_log: KernelLog,
    /// What lets containers have the GPUs.
    pub containers: Containers,
    /// Folders that could not be read, each with the reason.
    #[serde(deserialize_with = "list")]
    pub unread: Vec<Unread>,
}

/// A place that could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Unread {
    /// `/proc/driver/nvidia`
    pub path: String,
    /// What the system said.
    pub reason: String,
}

/// An accelerator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Card {
    /// Its PCI address, `0000:3b:00.0`.
    pub address: String,
    /// `nvidia`, `amd`, `intel` or `habana`.
    pub vendor: String,
    /// `0x10de`
    pub vendor_id: String,
    /// `0x2335`
    pub device_id: String,
    /// PCI class, `0x030200`.
    pub class: String,
    /// The kernel driver that holds it: `nvidia`, `nouveau`, `vfio-pci`; empty for none.
    pub kernel_driver: String,
    /// The NUMA node, where the system says one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numa_node: Option<u32>,
    /// `32.0 GT/s PCIe`; it drops while a card is idle.
    pub link_speed: String,
    /// Lanes in use.
    pub link_width: String,
    /// The best that card and slot agree on.
    pub max_link_speed: String,
    /// Lanes of the card.
    pub max_link_width: String,
    /// `NVIDIA H200`, as the driver calls it.
    pub model: String,
    /// The driver's name for it across boots, `GPU-…`.
    pub uuid: String,
    /// The number of its device node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minor: Option<u32>,
    /// Its memory in bytes, where driver or `nvidia-smi` say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// What `nvidia-smi` says of it; nothing where it does not list it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smi: Option<SmiCard>,
}

/// What `nvidia-smi` says of a card. `N/A` is empty or absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SmiCard {
    /// `Hopper`
    pub architecture: String,
    /// Bytes in use, by any process of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_used_bytes: Option<u64>,
    /// Processes that use it.
    pub processes: usize,
    /// `Enabled` or `Disabled`; empty where the card knows no MIG.
    pub mig_mode: String,
    /// The mode after the next reset.
    pub mig_mode_pending: String,
    /// Its MIG devices.
    #[serde(deserialize_with = "list")]
    pub mig_devices: Vec<MigDevice>,
    /// `Default`, `Exclusive_Process`, `Prohibited`.
    pub compute_mode: String,
    /// `Enabled` or `Disabled`.
    pub persistence_mode: String,
    /// `Pass-Through`, `Host VGPU`, `None`.
    pub virtualization: String,
    /// What the driver wants done: `None`, `Reset`, `Reboot`, `Drain P2P`, `Drain and Reset`.
    pub recovery_action: String,
    /// `Enabled` or `Disabled`.
    pub ecc_mode: String,
    /// Uncorrectable memory errors since the driver was loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecc_uncorrectable: Option<u64>,
    /// Uncorrectable memory errors in the card's life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecc_uncorrectable_lifetime: Option<u64>,
    /// Whether memory rows, channels or pages wait for a reset to be replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair_pending: Option<bool>,
    /// Whether memory could not be replaced any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair_failed: Option<bool>,
    /// How it stands with the fabric between cards: `Completed`, `In Progress`, `Not Started`.
    pub fabric_state: String,
    /// `Success`, or an error.
    pub fabric_status: String,
    /// Why it is clocked down by hardware: `hw_thermal_slowdown`, `hw_power_brake_slowdown`.
    #[serde(deserialize_with = "list")]
    pub slowdown: Vec<String>,
    /// Degrees Celsius.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<i64>,
}

/// A part of a card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MigDevice {
    /// GPU instance.
    pub gpu_instance: String,
    /// Compute instance.
    pub compute_instance: String,
    /// Its memory in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// NVIDIA's kernel driver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Driver {
    /// Whether its module is loaded.
    pub loaded: bool,
    /// `580.159.04`
    pub version: String,
    /// The first line of `/proc/driver/nvidia/version`: it names the open kernel modules as such.
    pub description: String,
    /// Modules of accelerators that are loaded, other vendors' too.
    #[serde(deserialize_with = "list")]
    pub modules: Vec<Module>,
}

/// A kernel module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Module {
    /// `nvidia_uvm`
    pub name: String,
    /// Empty where it has none of its own.
    pub version: String,
}

/// How `nvidia-smi` ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SmiOutcome {
    /// There is no such program.
    #[default]
    Absent,
    /// It listed the cards.
    Answered,
    /// It ended with an error.
    Failed,
    /// It did not end in time, and was killed.
    TimedOut,
    /// It could not be started.
    NotRun,
}

/// A run of `nvidia-smi -q -x`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Smi {
    /// How it ended.
    pub outcome: SmiOutcome,
    /// The program.
    pub path: String,
    /// Its exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What it said where it did not answer.
    pub reason: String,
    /// The driver's version as its library sees it.
    pub driver_version: String,
    /// The newest CUDA that the driver can run.
    pub cuda_version: String,
}

/// The kernel log since boot, as far as its ring goes back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KernelLog {
    /// Where it was read: `/dev/kmsg` or `dmesg`; empty where it could not be.
    pub source: String,
    /// Why it could not be read.
    pub reason: String,
    /// Whether the messages since boot are all there; older ones are overwritten in time.
    pub complete: bool,
    /// XIDs (of GPUs) and SXIDs (of switches between them), one entry for each number and device.
    #[serde(deserialize_with = "list")]
    pub xids: Vec<Xid>,
    /// The last messages of the accelerators' drivers that are no XIDs.
    #[serde(deserialize_with = "list")]
    pub messages: Vec<String>,
}

/// An error that NVIDIA's driver logged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Xid {
    /// Whether it is that of a switch between cards (SXID).
    pub switch: bool,
    /// The number, 79.
    pub code: u32,
    /// `PCI:0000:3b:00`
    pub device: String,
    /// How often.
    pub count: u64,
    /// When last, RFC 3339; empty where the time of boot is not known.
    pub last: String,
    /// The last message.
    pub text: String,
}

/// What lets containers have the GPUs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Containers {
    /// Programs of the NVIDIA Container Toolkit.
    #[serde(deserialize_with = "list")]
    pub toolkit: Vec<Tool>,
    /// The toolkit's version, where `nvidia-ctk` said it.
    pub toolkit_version: String,
    /// The toolkit's own configuration, where there is one.
    #[serde(deserialize_with = "list")]
    pub toolkit_config: Vec<String>,
    /// Specifications of the Container Device Interface.
    #[serde(deserialize_with = "list")]
    pub cdi: Vec<CdiSpec>,
    /// Configurations of container runtimes.
    #[serde(deserialize_with = "list")]
    pub runtimes: Vec<RuntimeConfig>,
}

/// A program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tool {
    /// `nvidia-ctk`
    pub name: String,
    /// Where it was found.
    pub path: String,
}

/// A CDI specification.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CdiSpec {
    /// The file.
    pub path: String,
    /// `nvidia.com/gpu`
    pub kind: String,
    /// Names of its devices, `0`, `all`, the first few.
    #[serde(deserialize_with = "list")]
    pub devices: Vec<String>,
    /// How many devices it has.
    pub device_count: usize,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A container runtime's configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RuntimeConfig {
    /// `containerd`, `cri-o` or `docker`.
    pub runtime: String,
    /// The file.
    pub path: String,
    /// Whether it names NVIDIA's runtime.
    pub nvidia: bool,
    /// Whether that is the runtime of every container.
    pub default: bool,
    /// Whether it turns CDI on or off; nothing where it leaves that to the release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cdi: Option<bool>,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Card {
    /// Whether its driver is one that uses it, and not one that keeps it for a virtual machine.
    #[must_use]
    pub fn has_driver(&self) -> bool {
        match self.vendor.as_str() {
            "nvidia" => self.kernel_driver == "nvidia" || self.smi.is_some(),
            _ => !matches!(self.kernel_driver.as_str(), "" | "vfio-pci" | "pci-stub"),
        }
    }
}

//! Where there is no `/proc`: what `sysinfo` knows.

use std::path::Path;

use bundle::collected::host::{Cpu, HostOs, Memory};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use super::HostError;

pub(super) fn cpu(_root: &Path) -> Result<Cpu, HostError> {
    let wanted = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing());
    let system = System::new_with_specifics(wanted)
        .map_err(|_| HostError::Unsupported("how many processors there are"))?;
    let physical = System::physical_core_count()
        .map_err(|_| HostError::Unsupported("how many processor cores there are"))?;
    Ok(Cpu {
        logical_count: i64::try_from(system.cpus().len()).unwrap_or(i64::MAX),
        physical_count: i64::try_from(physical).unwrap_or(i64::MAX),
        flags: Vec::new(),
        machine_arch: System::cpu_arch(),
    })
}

pub(super) fn memory(_root: &Path) -> Result<Memory, HostError> {
    let wanted = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(wanted)
        .map_err(|_| HostError::Unsupported("how much memory there is"))?;
    Ok(Memory {
        total: system.total_memory(),
    })
}

pub(super) fn os(_root: &Path) -> HostOs {
    HostOs {
        name: System::host_name().unwrap_or_default(),
        kernel_version: System::kernel_version().unwrap_or_default(),
        platform_version: System::os_version().unwrap_or_default(),
        platform: System::distribution_id(),
        platform_family: String::new(),
    }
}

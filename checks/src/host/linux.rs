//! Linux: `/proc`, `/sys`, `/etc` and `uname`, counted and named as the Go library behind troubleshoot does.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use bundle::collected::host::{Cpu, HostOs, Memory};

use super::{HostError, distribution};

/// The longest file read whole. `/proc/cpuinfo` has about 1.5 KiB per processor.
const LONGEST: u64 = 16 << 20;

pub(super) fn cpu(root: &Path) -> Result<Cpu, HostError> {
    let cpuinfo = text(&root.join("proc/cpuinfo"))?;
    let logical = match logical(&cpuinfo) {
        0 => logical_of_stat(&text(&root.join("proc/stat"))?),
        count => count,
    };
    let physical = match physical_of_topology(root) {
        0 => physical_of_cpuinfo(&cpuinfo),
        count => i64::try_from(count).unwrap_or(i64::MAX),
    };
    Ok(Cpu {
        logical_count: i64::try_from(logical).unwrap_or(i64::MAX),
        physical_count: physical,
        flags: flags(&cpuinfo),
        machine_arch: owned(rustix::system::uname().machine()),
    })
}

pub(super) fn memory(root: &Path) -> Result<Memory, HostError> {
    let path = root.join("proc/meminfo");
    let meminfo = text(&path)?;
    let kibibytes = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .ok_or(HostError::Unclear {
            path,
            wanted: "how much memory there is (MemTotal)",
        })?;
    Ok(Memory {
        total: kibibytes.saturating_mul(1024),
    })
}

pub(super) fn os(root: &Path) -> HostOs {
    let uname = rustix::system::uname();
    let distribution = distribution::of(root);
    HostOs {
        name: owned(uname.nodename()),
        kernel_version: owned(uname.release()),
        platform_version: distribution.version,
        platform_family: distribution::family(&distribution.platform).to_owned(),
        platform: distribution.platform,
    }
}

/// A file's text, as far as it is UTF-8.
pub(super) fn text(path: &Path) -> Result<String, HostError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().map_err(|source| HostError::Read {
        path: path.to_owned(),
        source,
    })
}

fn owned(name: &CStr) -> String {
    name.to_string_lossy().into_owned()
}

/// Key and value of a line of `/proc/cpuinfo`, without the space around them.
fn field(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    Some((key.trim(), value.trim()))
}

fn logical(cpuinfo: &str) -> usize {
    let is_processor = |line: &&str| {
        field(line).is_some_and(|(key, value)| {
            key.to_ascii_lowercase().starts_with("processor") && value.parse::<i32>().is_ok()
        })
    };
    cpuinfo.lines().filter(is_processor).count()
}

fn logical_of_stat(stat: &str) -> usize {
    let is_processor = |line: &&str| {
        line.strip_prefix("cpu")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    stat.lines().filter(is_processor).count()
}

/// Cores by which threads share one; 0 where the kernel does not say.
fn physical_of_topology(root: &Path) -> usize {
    let Ok(folder) = std::fs::read_dir(root.join("sys/devices/system/cpu")) else {
        return 0;
    };
    let processors: Vec<_> = folder
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.strip_prefix("cpu")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
        .collect();
    // The first is the newer name of the second.
    for list in ["core_cpus_list", "thread_siblings_list"] {
        let sharing: BTreeSet<String> = processors
            .iter()
            .filter_map(|path| text(&path.join("topology").join(list)).ok())
            .map(|list| list.trim().to_owned())
            .filter(|list| !list.is_empty())
            .collect();
        if !sharing.is_empty() {
            return sharing.len();
        }
    }
    0
}

/// Cores as the sum over sockets of the cores that each says it has.
fn physical_of_cpuinfo(cpuinfo: &str) -> i64 {
    let mut sockets: BTreeMap<i64, i64> = BTreeMap::new();
    let mut socket = None;
    for line in cpuinfo.lines() {
        match field(line) {
            Some(("physical id", id)) => socket = id.parse().ok(),
            Some(("cpu cores", cores)) => {
                if let (Some(socket), Ok(cores)) = (socket, cores.parse()) {
                    sockets.insert(socket, cores);
                }
            }
            _ if line.trim().is_empty() => socket = None,
            _ => {}
        }
    }
    sockets.values().sum()
}

/// The flags of all processors, each once, in the order in which they are first named. All processors of
/// most machines have the same.
fn flags(cpuinfo: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    cpuinfo
        .lines()
        .filter_map(field)
        .filter(|(key, _)| *key == "flags" || *key == "Features")
        .flat_map(|(_, value)| value.split([' ', ',']))
        .filter(|flag| !flag.is_empty() && seen.insert(*flag))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Host;
    use super::*;
    use std::fs;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    /// A root folder with these files.
    fn root(files: &[(&str, &str)]) -> std::io::Result<tempfile::TempDir> {
        let root = tempfile::tempdir()?;
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a file lies in a folder"))?;
            fs::write(path, text)?;
        }
        Ok(root)
    }

    const TWO_THREADS: &str = "\
processor\t: 0
model name\t: Some CPU
physical id\t: 0
core id\t\t: 0
cpu cores\t: 1
flags\t\t: fpu vme sse2

processor\t: 1
physical id\t: 0
core id\t\t: 0
cpu cores\t: 1
flags\t\t: fpu sse2 avx

";

    #[tokio::test]
    async fn threads_cores_and_flags() -> Tested {
        let topology = "sys/devices/system/cpu";
        let shared = [
            ("proc/cpuinfo", TWO_THREADS),
            (
                "sys/devices/system/cpu/cpu0/topology/core_cpus_list",
                "0-1\n",
            ),
            (
                "sys/devices/system/cpu/cpu1/topology/core_cpus_list",
                "0-1\n",
            ),
            ("sys/devices/system/cpu/cpufreq/policy", "x"),
        ];
        let apart = shared.map(|(path, text)| match text {
            "0-1\n" if path.starts_with(&format!("{topology}/cpu0")) => (path, "0\n"),
            "0-1\n" => (path, "1\n"),
            _ => (path, text),
        });
        let old = [
            shared[0],
            (
                "sys/devices/system/cpu/cpu0/topology/thread_siblings_list",
                "0\n",
            ),
            (
                "sys/devices/system/cpu/cpu1/topology/thread_siblings_list",
                "1\n",
            ),
        ];
        let sockets = TWO_THREADS.replace("cpu cores\t: 1", "cpu cores\t: 8");
        for (files, physical) in [
            (&shared[..], 1),
            (&apart, 2),
            (&old, 2),
            (&shared[..1], 1),
            (&[("proc/cpuinfo", sockets.as_str())], 8),
        ] {
            let root = root(files)?;
            let cpu = Host::at(root.path()).cpu().await?;
            assert_eq!((cpu.logical_count, cpu.physical_count), (2, physical));
            assert_eq!(cpu.flags, ["fpu", "vme", "sse2", "avx"]);
        }
        Ok(())
    }

    #[tokio::test]
    async fn an_arm_machine_says_it_in_other_words() -> Tested {
        let cpuinfo =
            "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd aes\nCPU part\t: 0xd0c\n\n";
        let arm = root(&[("proc/cpuinfo", cpuinfo)])?;
        let cpu = Host::at(arm.path()).cpu().await?;
        assert_eq!((cpu.logical_count, cpu.physical_count), (1, 0));
        assert_eq!(cpu.flags, ["fp", "asimd", "aes"]);
        let old = root(&[
            (
                "proc/cpuinfo",
                "Processor\t: ARMv7 rev 4\nFeatures\t: neon\n",
            ),
            ("proc/stat", "cpu  1 2\ncpu0 1 2\ncpu1 1 2\nintr 7\n"),
        ])?;
        assert_eq!(Host::at(old.path()).cpu().await?.logical_count, 2);
        Ok(())
    }

    #[tokio::test]
    async fn memory_is_the_total_in_bytes() -> Tested {
        let meminfo = "MemTotal:       65821504 kB\nMemFree:         1024 kB\n";
        let host = root(&[("proc/meminfo", meminfo)])?;
        let memory = Host::at(host.path()).memory().await?;
        assert_eq!(memory.total, 67_401_220_096);
        Ok(())
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_named() -> Tested {
        let empty = root(&[("proc/meminfo", "MemFree: 3 kB\n")])?;
        let host = Host::at(empty.path());
        let error = host.memory().await.expect_err("there is no total");
        assert!(
            error
                .to_string()
                .ends_with("proc/meminfo does not tell how much memory there is (MemTotal)")
        );
        let error = host.cpu().await.expect_err("there is no such file");
        assert!(error.to_string().contains("proc/cpuinfo"), "{error}");
        Ok(())
    }

    #[tokio::test]
    async fn this_machine_answers() -> Tested {
        let host = Host::default();
        let (cpu, memory, os) = (host.cpu().await?, host.memory().await?, host.os().await?);
        assert!(cpu.logical_count > 0);
        assert_eq!(cpu.machine_arch, owned(rustix::system::uname().machine()));
        assert!(memory.total > 1 << 20);
        assert_eq!(os.kernel_version, owned(rustix::system::uname().release()));
        assert!(!os.name.is_empty());
        Ok(())
    }
}

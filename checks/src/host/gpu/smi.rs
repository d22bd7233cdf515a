//! `nvidia-smi -q -x`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle::collected::gpu::{MigDevice, Smi, SmiCard, SmiOutcome};
use quick_xml::events::{BytesText, Event};
use quick_xml::{Reader, Writer};
use serde::Deserialize;

use super::pci::Listed;
use crate::host::Host;
use crate::host::program::{Ended, Program};

/// Where the program may lie: a folder, below a root that is not the host's where the driver was installed by
/// a container, and the folder of its libraries where that is none of the system's.
const PLACES: &[(&str, &str, Option<&str>)] = &[
    ("", "/usr/bin", None),
    ("", "/usr/local/bin", None),
    ("", "/usr/local/nvidia/bin", Some("/usr/local/nvidia/lib64")),
    ("", "/opt/bin", None),
    // The GPU operator's driver container.
    ("/run/nvidia/driver", "/usr/bin", None),
    // Google's Container-Optimized OS.
    (
        "",
        "/home/kubernetes/bin/nvidia/bin",
        Some("/home/kubernetes/bin/nvidia/lib64"),
    ),
    ("", "/run/current-system/sw/bin", None),
    ("", "/usr/lib/wsl/lib", None),
];

/// Elements that say nothing of whether a card works, and all about whose it is.
const WITHHELD: &[&str] = &["serial", "chassis_serial_number"];

/// What of its own words is kept where it did not answer.
const LONGEST_REASON: usize = 600;

/// How it ended, the cards it lists, and what it printed.
pub(super) async fn ask(host: &Host, deadline: Duration) -> (Smi, Vec<Listed>, Option<String>) {
    let Some((root, path, libraries)) = place(&host.root) else {
        return (Smi::default(), Vec::new(), None);
    };
    let ended = Program {
        root: &root,
        path: &path,
        arguments: &["-q", "-x"],
        libraries,
        deadline,
    }
    .run(host.confined)
    .await;
    let mut smi = Smi {
        path: path_from(&host.root, &root, &path),
        ..Smi::default()
    };
    let (stdout, stderr) = match ended {
        Ended::TimedOut => {
            smi.outcome = SmiOutcome::TimedOut;
            smi.reason = format!("it did not end within {} s", deadline.as_secs_f32());
            return (smi, Vec::new(), None);
        }
        Ended::NotRun(reason) => {
            smi.outcome = SmiOutcome::NotRun;
            smi.reason = reason;
            return (smi, Vec::new(), None);
        }
        Ended::Exited {
            code,
            stdout,
            stderr,
        } => {
            smi.exit_code = code;
            (String::from_utf8_lossy(&stdout).into_owned(), stderr)
        }
    };
    smi.outcome = SmiOutcome::Failed;
    match quick_xml::de::from_str::<Log>(&stdout) {
        Ok(log) if stdout.contains("<nvidia_smi_log>") => {
            let said = withheld(&stdout);
            smi.driver_version = known(&log.driver_version);
            smi.cuda_version = known(&log.cuda_version);
            if smi.exit_code == Some(0) {
                smi.outcome = SmiOutcome::Answered;
            } else {
                smi.reason = reason("", &stderr);
            }
            (smi, log.gpu.into_iter().map(Gpu::listed).collect(), said)
        }
        Ok(_) => {
            smi.reason = reason(&stdout, &stderr);
            (smi, Vec::new(), None)
        }
        Err(error) => {
            smi.reason = if smi.exit_code == Some(0) {
                format!("its output cannot be read: {error}")
            } else {
                reason(&stdout, &stderr)
            };
            (smi, Vec::new(), None)
        }
    }
}

/// The root, the path in it and the libraries of the first place where the program is; on this machine the
/// folders of PATH come last.
fn place(host: &Path) -> Option<(PathBuf, String, Option<String>)> {
    let known = PLACES.iter().find_map(|(below, folder, libraries)| {
        let root = match *below {
            "" => host.to_owned(),
            below => host.join(below.trim_start_matches('/')),
        };
        let path = format!("{folder}/nvidia-smi");
        let is_there = root.join(path.trim_start_matches('/')).is_file();
        is_there.then(|| (root, path, libraries.map(str::to_owned)))
    });
    let on_path = || {
        let path = std::env::var_os("PATH").filter(|_| host == Path::new("/"))?;
        let mut files = std::env::split_paths(&path).map(|folder| folder.join("nvidia-smi"));
        let file = files.find(|file| file.is_absolute() && file.is_file())?;
        Some((host.to_owned(), file.to_str()?.to_owned(), None))
    };
    known.or_else(on_path)
}

/// The path as somebody on the host would write it.
fn path_from(host: &Path, root: &Path, path: &str) -> String {
    match root.strip_prefix(host) {
        Ok(below) if !below.as_os_str().is_empty() => format!("/{}{path}", below.display()),
        _ => path.to_owned(),
    }
}

/// The first lines of what it said, on one line.
fn reason(stdout: &str, stderr: &str) -> String {
    let lines = stdout.lines().chain(stderr.lines());
    let lines: Vec<&str> = lines
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let said = lines.join(" ");
    if said.is_empty() {
        return "it said nothing".to_owned();
    }
    said.chars().take(LONGEST_REASON).collect()
}

/// The same document without serial numbers, and without the arguments of processes, which may be secrets.
/// Nothing where it cannot be read to its end.
fn withheld(xml: &str) -> Option<String> {
    let mut reader = Reader::from_str(xml);
    let mut writer = Writer::new(Vec::with_capacity(xml.len()));
    // What stands in place of the text of the element that is open.
    let mut instead: Option<fn(&str) -> &str> = None;
    let mut is_written = false;
    loop {
        let event = match reader.read_event().ok()? {
            Event::Eof => break,
            Event::Start(start) => {
                instead = match start.name().as_ref() {
                    "process_name" => Some(program),
                    name if WITHHELD.contains(&name) => Some(unless_unknown),
                    _ => None,
                };
                is_written = false;
                Event::Start(start)
            }
            Event::End(end) => {
                instead = None;
                Event::End(end)
            }
            // An entity cuts a text in pieces: the first stands for all.
            _ if instead.is_some() && is_written => continue,
            Event::Text(text) => match instead {
                Some(instead) => {
                    is_written = true;
                    Event::Text(BytesText::from_escaped(instead(&text).to_owned()))
                }
                None => Event::Text(text),
            },
            _ if instead.is_some() => continue,
            event => event,
        };
        writer.write_event(event).ok()?;
    }
    String::from_utf8(writer.into_inner()).ok()
}

fn program(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

fn unless_unknown(text: &str) -> &str {
    if text.trim() == "N/A" {
        text
    } else {
        "withheld"
    }
}

/// Nothing for what the program does not know: `N/A`, `[N/A]`, `Not Supported`, and their like.
fn known(said: &str) -> String {
    let said = said.trim();
    let is_known = !said.trim_start_matches('[').starts_with("N/A")
        && !said.contains("Not Supported")
        && !said.contains("Unknown Error")
        && !said.contains("deprecated");
    if is_known {
        said.to_owned()
    } else {
        String::new()
    }
}

/// Bytes of `143771 MiB`.
fn bytes(said: &str) -> Option<u64> {
    let mebibytes: u64 = said.trim().strip_suffix(" MiB")?.trim().parse().ok()?;
    mebibytes.checked_mul(1 << 20)
}

fn number(said: &str) -> Option<u64> {
    said.trim().parse().ok()
}

/// `Yes` and `No`; counts and `Pending` in older releases.
fn flag(said: &str) -> Option<bool> {
    match known(said).as_str() {
        "" => None,
        "No" | "0" | "Not Pending" => Some(false),
        _ => Some(true),
    }
}

/// Whether any is true; nothing where none is known.
fn any(flags: &[Option<bool>]) -> Option<bool> {
    flags
        .iter()
        .copied()
        .flatten()
        .reduce(|one, other| one || other)
}

/// The sum of those that are known.
fn sum(numbers: &[&str]) -> Option<u64> {
    numbers
        .iter()
        .filter_map(|said| number(said))
        .reduce(u64::saturating_add)
}

/// The document, `nvsmi_device_v12.dtd` and its kin: the part of it that is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Log {
    driver_version: String,
    cuda_version: String,
    gpu: Vec<Gpu>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Gpu {
    #[serde(rename = "@id")]
    id: String,
    product_name: String,
    product_architecture: String,
    persistence_mode: String,
    mig_mode: MigMode,
    mig_devices: MigDevices,
    uuid: String,
    minor_number: String,
    #[serde(rename = "gpu_virtualization_mode")]
    virtualization: Virtualization,
    #[serde(rename = "gpu_recovery_action")]
    recovery_action: String,
    fb_memory_usage: Memory,
    compute_mode: String,
    ecc_mode: EccMode,
    ecc_errors: EccErrors,
    retired_pages: RetiredPages,
    remapped_rows: RemappedRows,
    temperature: Temperature,
    fabric: Fabric,
    processes: Processes,
    clocks_event_reasons: ClocksEventReasons,
    clocks_throttle_reasons: ClocksThrottleReasons,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MigMode {
    #[serde(rename = "current_mig")]
    current: String,
    #[serde(rename = "pending_mig")]
    pending: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MigDevices {
    mig_device: Vec<Mig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Mig {
    gpu_instance_id: String,
    compute_instance_id: String,
    fb_memory_usage: Memory,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Virtualization {
    virtualization_mode: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Memory {
    total: String,
    used: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EccMode {
    current_ecc: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EccErrors {
    volatile: EccCounts,
    aggregate: EccCounts,
    channel_repair_pending: String,
    tpc_repair_pending: String,
    unrepairable_memory: String,
}

/// Since Ampere by kind of memory; before, `double_bit` errors.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EccCounts {
    sram_uncorrectable: String,
    sram_uncorrectable_parity: String,
    sram_uncorrectable_secded: String,
    dram_uncorrectable: String,
    double_bit: Total,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Total {
    total: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RetiredPages {
    pending_blacklist: String,
    pending_retirement: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RemappedRows {
    remapped_row_pending: String,
    remapped_row_failure: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Temperature {
    gpu_temp: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fabric {
    state: String,
    status: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Processes {
    process_info: Vec<ProcessInfo>,
}

#[derive(Debug, Default, Deserialize)]
struct ProcessInfo {}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClocksEventReasons {
    clocks_event_reason_hw_thermal_slowdown: String,
    clocks_event_reason_hw_power_brake_slowdown: String,
}

/// Their name before release 535.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClocksThrottleReasons {
    clocks_throttle_reason_hw_thermal_slowdown: String,
    clocks_throttle_reason_hw_power_brake_slowdown: String,
}

impl EccCounts {
    fn uncorrectable(&self) -> Option<u64> {
        sum(&[
            &self.sram_uncorrectable,
            &self.sram_uncorrectable_parity,
            &self.sram_uncorrectable_secded,
            &self.dram_uncorrectable,
            &self.double_bit.total,
        ])
    }
}

impl Gpu {
    fn listed(self) -> Listed {
        let (events, throttles) = (&self.clocks_event_reasons, &self.clocks_throttle_reasons);
        let slowdown = [
            (
                "hw_thermal_slowdown",
                &events.clocks_event_reason_hw_thermal_slowdown,
                &throttles.clocks_throttle_reason_hw_thermal_slowdown,
            ),
            (
                "hw_power_brake_slowdown",
                &events.clocks_event_reason_hw_power_brake_slowdown,
                &throttles.clocks_throttle_reason_hw_power_brake_slowdown,
            ),
        ]
        .into_iter()
        .filter(|(_, new, old)| *new == "Active" || *old == "Active")
        .map(|(name, _, _)| name.to_owned());
        let mig_devices = self.mig_devices.mig_device.iter().map(|mig| MigDevice {
            gpu_instance: known(&mig.gpu_instance_id),
            compute_instance: known(&mig.compute_instance_id),
            memory_bytes: bytes(&mig.fb_memory_usage.total),
        });
        let (ecc, rows, pages) = (&self.ecc_errors, &self.remapped_rows, &self.retired_pages);
        let said = SmiCard {
            architecture: known(&self.product_architecture),
            memory_used_bytes: bytes(&self.fb_memory_usage.used),
            processes: self.processes.process_info.len(),
            mig_mode: known(&self.mig_mode.current),
            mig_mode_pending: known(&self.mig_mode.pending),
            mig_devices: mig_devices.collect(),
            compute_mode: known(&self.compute_mode),
            persistence_mode: known(&self.persistence_mode),
            virtualization: known(&self.virtualization.virtualization_mode),
            recovery_action: known(&self.recovery_action),
            ecc_mode: known(&self.ecc_mode.current_ecc),
            ecc_uncorrectable: ecc.volatile.uncorrectable(),
            ecc_uncorrectable_lifetime: ecc.aggregate.uncorrectable(),
            repair_pending: any(&[
                flag(&rows.remapped_row_pending),
                flag(&pages.pending_retirement),
                flag(&pages.pending_blacklist),
                flag(&ecc.channel_repair_pending),
                flag(&ecc.tpc_repair_pending),
            ]),
            repair_failed: any(&[
                flag(&rows.remapped_row_failure),
                flag(&ecc.unrepairable_memory),
            ]),
            fabric_state: known(&self.fabric.state),
            fabric_status: known(&self.fabric.status),
            slowdown: slowdown.collect(),
            temperature: self
                .temperature
                .gpu_temp
                .strip_suffix(" C")
                .and_then(|degrees| degrees.trim().parse().ok()),
        };
        Listed {
            model: known(&self.product_name),
            uuid: known(&self.uuid),
            minor: self.minor_number.trim().parse().ok(),
            memory_bytes: bytes(&self.fb_memory_usage.total),
            address: self.id,
            said,
        }
    }
}

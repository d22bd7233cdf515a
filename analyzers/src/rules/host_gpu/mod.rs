//! Host `gpu`: whether the host has GPUs that work, and whether containers can have them.

mod health;
mod words;
mod xids;

use std::cmp::Ordering;

use bundle::Files;
use bundle::collected::gpu::{FILE_NAME, Gpus, SmiOutcome};
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::quantity::Quantity;
use syntax::version::Version;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::unmasked;
use crate::finding::{Judgement, NotEvaluated};
use crate::host::HostRule;
use crate::outcome::{Operator, Outcome, bad_condition};
use health::{VENDORS, first_step, hardware_xids, unhealthy, unread, working};
use words::{named, observed};
use xids::meaning;

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Host,
    summary: "The host has GPUs that work, and containers can have them",
    docs: docs::<Gpu>,
    since: "0.1.0",
    needs: &["gpu"],
    parse: parse::<Gpu>,
    schema: schema::<Gpu>,
};

const NAME: &str = "gpu";

/// The host has GPUs that work, and containers can have them.
///
/// # What it checks
/// The accelerators of this host, or of each node that was collected from, at every step between the PCI bus and a
/// container: the card, its driver, `nvidia-smi`, the card's health, the kernel log, and the container toolkit.
///
/// # When it warns or fails
/// `when` is `<subject> <op> <value>`; numbers, versions and quantities compare by `= != < > <= >=`, words by `==` and
/// `!=`. The first outcome that holds counts.
///
/// - `count`: cards that their driver answers for; `count(nvidia)`, also `amd`, `intel`, `habana`, those of one vendor
/// - `cards`: cards on the PCI bus, with or without a driver
/// - `unhealthy`: NVIDIA's cards with uncorrectable memory errors, memory to be replaced, a reset or reboot wanted, a
///   fabric that is not joined, or that `nvidia-smi` does not list
/// - `hardwareXids`: kinds of XID in the kernel log that speak of the hardware; those of applications do not count
/// - `memory`: that of the smallest card that works, as the driver sees it, `40Gi`; a card sold as 16 GB has `15Gi`
/// - `driverVersion`, `cudaVersion`: of NVIDIA's driver, and the newest CUDA that it runs
/// - `mig`: `enabled`, `disabled`, or `mixed` where the cards differ
/// - `containerToolkit`: `installed` or `missing`
/// - `containerRuntime`: `configured` or `missing`: whether containerd, CRI-O or Docker are told of NVIDIA's runtime
/// - `cdi`: `present` or `missing`: specifications of the Container Device Interface
///
/// What is not there is less than any value: without a driver `driverVersion < 535` holds, without a card that works
/// `memory < 40Gi` does. What could not be found out is unknown: `nvidia-smi` that hangs, a kernel log that may not be
/// read.
///
/// # What to do
/// The remedy names the first step at which GPUs are lost, or what the card's state or its XIDs call for. A GPU that
/// works on the host and that containers cannot have wants the NVIDIA Container Toolkit, or the GPU operator.
///
/// # Needs
/// The host collector `gpu`. The kernel log mostly wants root.
///
/// # Example
/// ```yaml
/// gpu:
///   checkName: GPUs of this host
///   outcomes:
///     - fail:
///         when: "count < 1"
///         message: No GPU works on this host.
///     - fail:
///         when: "driverVersion < 535"
///         message: NVIDIA's driver 535 or newer is needed.
///     - fail:
///         when: "memory < 40Gi"
///         message: A GPU with 40 GiB of memory is needed.
///     - fail:
///         when: "unhealthy > 0"
///         message: A GPU is not healthy.
///     - warn:
///         when: "containerToolkit == missing"
///         message: The GPUs work on the host; containers cannot have them.
///     - pass:
///         message: The GPUs work, and containers can have them.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Gpu {
    /// The conditions and what to say.
    outcomes: Vec<Outcome>,
    /// The collector's name; there is one file whatever it says.
    collector_name: String,
}

impl Analyzer for Gpu {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or("GPUs")
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        HostRule {
            kind: NAME,
            file_name: FILE_NAME,
            outcomes: &self.outcomes,
            title: &self.title(meta),
            remedy: "",
        }
        .evaluate_with(files, holds, observed, remedy)
    }
}

/// What a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Count(&'static str),
    Cards,
    Unhealthy,
    HardwareXids,
    Memory,
    DriverVersion,
    CudaVersion,
    Mig,
    ContainerToolkit,
    ContainerRuntime,
    Cdi,
}

/// The names of subjects, and the words that they are compared with where they are words.
const SUBJECTS: &[(&str, Subject, &[&str])] = &[
    ("cards", Subject::Cards, &[]),
    ("cdi", Subject::Cdi, &["present", "missing"]),
    (
        "containerRuntime",
        Subject::ContainerRuntime,
        &["configured", "missing"],
    ),
    (
        "containerToolkit",
        Subject::ContainerToolkit,
        &["installed", "missing"],
    ),
    ("count", Subject::Count(""), &[]),
    ("cudaVersion", Subject::CudaVersion, &[]),
    ("driverVersion", Subject::DriverVersion, &[]),
    ("hardwareXids", Subject::HardwareXids, &[]),
    ("memory", Subject::Memory, &[]),
    ("mig", Subject::Mig, &["enabled", "disabled", "mixed"]),
    ("unhealthy", Subject::Unhealthy, &[]),
];

/// A condition, read.
struct Condition<'a> {
    subject: Subject,
    words: &'static [&'static str],
    operator: Operator,
    value: &'a str,
}

fn condition(when: &str) -> Result<Condition<'_>, NotEvaluated> {
    let parts: Vec<&str> = when.split_whitespace().collect();
    let [name, operator, value] = parts[..] else {
        return Err(bad_condition(
            when,
            "expected `<subject> <operator> <value>`",
        ));
    };
    let vendor = name
        .strip_prefix("count(")
        .and_then(|rest| rest.strip_suffix(')'));
    let (subject, words) = if let Some(vendor) = vendor {
        let known = VENDORS.iter().find(|known| **known == vendor);
        let vendor = known.ok_or_else(|| {
            let known = VENDORS.join(", ");
            bad_condition(
                when,
                format!("unknown vendor {vendor:?}; known are {known}"),
            )
        })?;
        (Subject::Count(vendor), &[][..])
    } else {
        let row = SUBJECTS.iter().find(|(known, _, _)| *known == name);
        let (_, subject, words) = row.ok_or_else(|| {
            let known: Vec<&str> = SUBJECTS.iter().map(|(known, _, _)| *known).collect();
            let known = known.join(", ");
            bad_condition(when, format!("unknown subject {name:?}; known are {known}"))
        })?;
        (*subject, *words)
    };
    let operator = Operator::parse(operator)
        .ok_or_else(|| bad_condition(when, format!("unknown operator {operator:?}")))?;
    if !words.is_empty() {
        if !matches!(operator, Operator::Equal | Operator::NotEqual) {
            return Err(bad_condition(
                when,
                "words can be compared by == and != only",
            ));
        }
        if !words.contains(&value) {
            let known = words.join(", ");
            return Err(bad_condition(
                when,
                format!("{name} is one of {known}, never {value:?}"),
            ));
        }
    }
    Ok(Condition {
        subject,
        words,
        operator,
        value,
    })
}

fn holds(when: &str, gpus: &Gpus) -> Result<bool, NotEvaluated> {
    let Condition {
        subject,
        words,
        operator,
        value,
    } = condition(when)?;
    if !words.is_empty() {
        let word = word(subject, gpus)?;
        let ordering = if word == value {
            Ordering::Equal
        } else {
            Ordering::Less
        };
        return Ok(operator.holds(ordering));
    }
    let ordering = match subject {
        Subject::Memory => {
            let wanted: Quantity = value.parse().map_err(|error| bad_condition(when, error))?;
            let wanted = wanted
                .as_i64()
                .and_then(|bytes| u64::try_from(bytes).ok())
                .ok_or_else(|| {
                    bad_condition(when, "the amount is no whole, positive number of bytes")
                })?;
            smallest_memory(gpus)?.cmp(&wanted)
        }
        Subject::DriverVersion | Subject::CudaVersion => {
            let wanted = Version::parse_tolerant(value).map_err(|error| {
                bad_condition(when, format!("{value:?} is no version: {error}"))
            })?;
            version(subject, gpus)?.cmp(&wanted)
        }
        _ => {
            let wanted: usize = value
                .parse()
                .map_err(|_| bad_condition(when, format!("{value:?} is not a whole number")))?;
            number(subject, gpus)?.cmp(&wanted)
        }
    };
    Ok(operator.holds(ordering))
}

fn number(subject: Subject, gpus: &Gpus) -> Result<usize, NotEvaluated> {
    Ok(match subject {
        Subject::Count(vendor) => working(gpus, vendor)?.len(),
        Subject::Cards => {
            unread(gpus, "/sys/bus/pci/devices")?;
            gpus.cards.len()
        }
        Subject::Unhealthy => unhealthy(gpus)?.len(),
        _ => hardware_xids(gpus)?.len(),
    })
}

/// Bytes of the smallest card that works, 0 where none does.
fn smallest_memory(gpus: &Gpus) -> Result<u64, NotEvaluated> {
    let mut smallest = None;
    for card in working(gpus, "")? {
        let memory = card.memory_bytes.ok_or_else(|| {
            NotEvaluated::Unknown(format!("{} does not tell its memory", named(card)))
        })?;
        smallest = Some(smallest.unwrap_or(u64::MAX).min(memory));
    }
    Ok(smallest.unwrap_or(0))
}

/// The version of NVIDIA's driver or CUDA, 0 where there is no driver.
fn version(subject: Subject, gpus: &Gpus) -> Result<Version, NotEvaluated> {
    let (what, text) = if subject == Subject::CudaVersion {
        ("CUDA", &gpus.nvidia_smi.cuda_version)
    } else if gpus.driver.version.is_empty() {
        ("driver", &gpus.nvidia_smi.driver_version)
    } else {
        ("driver", &gpus.driver.version)
    };
    if text.is_empty() {
        unread(gpus, "/proc/driver/nvidia")?;
        let is_there = gpus.driver.loaded || gpus.nvidia_smi.outcome == SmiOutcome::Answered;
        if is_there {
            let smi = &gpus.nvidia_smi;
            let why = match smi.outcome {
                SmiOutcome::Absent => "nvidia-smi was not found",
                _ => smi.reason.as_str(),
            };
            return Err(NotEvaluated::Unknown(format!(
                "the {what} version is not known: {why}"
            )));
        }
    }
    let text = if text.is_empty() {
        "0"
    } else {
        unmasked(text)?
    };
    Version::parse_tolerant(text).map_err(|error| {
        NotEvaluated::Unknown(format!(
            "the {what} version {text:?} cannot be read: {error}"
        ))
    })
}

/// Which of its words a subject is.
fn word(subject: Subject, gpus: &Gpus) -> Result<&'static str, NotEvaluated> {
    let containers = &gpus.containers;
    let found = match subject {
        Subject::Mig => return mig(gpus),
        Subject::ContainerToolkit => !containers.toolkit.is_empty(),
        Subject::Cdi => containers.cdi.iter().any(|spec| spec.device_count > 0),
        _ => containers.runtimes.iter().any(|config| config.nvidia),
    };
    let (present, place) = match subject {
        Subject::ContainerToolkit => ("installed", "/etc"),
        Subject::Cdi => ("present", "/etc"),
        _ => ("configured", "/etc"),
    };
    if found {
        return Ok(present);
    }
    unread(gpus, place)?;
    let broken = match subject {
        Subject::Cdi => {
            unread(gpus, "/run/cdi")?;
            let mut broken = containers.cdi.iter();
            let broken = broken.find(|spec| !spec.reason.is_empty());
            broken.map(|spec| (&spec.path, &spec.reason))
        }
        Subject::ContainerRuntime => {
            let mut broken = containers.runtimes.iter();
            let broken = broken.find(|config| !config.reason.is_empty());
            broken.map(|config| (&config.path, &config.reason))
        }
        _ => None,
    };
    match broken {
        Some((path, reason)) => Err(NotEvaluated::Unknown(format!(
            "{path} cannot be read: {reason}"
        ))),
        None => Ok("missing"),
    }
}

fn mig(gpus: &Gpus) -> Result<&'static str, NotEvaluated> {
    let working = working(gpus, "nvidia")?;
    let mut enabled = 0;
    for card in &working {
        let said = card.smi.as_ref().ok_or_else(|| {
            NotEvaluated::Unknown("nvidia-smi was not found, which tells of MIG".to_owned())
        })?;
        enabled += usize::from(unmasked(&said.mig_mode)? == "Enabled");
    }
    Ok(match enabled {
        0 => "disabled",
        _ if enabled == working.len() => "enabled",
        _ => "mixed",
    })
}

/// What to do where the outcome with this condition warns or fails.
fn remedy(when: &str, gpus: &Gpus) -> String {
    let subject = condition(when).map(|condition| condition.subject);
    match subject {
        Ok(Subject::Unhealthy) => {
            let ailing = unhealthy(gpus).unwrap_or_default();
            joined(ailing.iter().map(|ailment| ailment.remedy))
        }
        Ok(Subject::HardwareXids) => {
            let hard = hardware_xids(gpus).unwrap_or_default();
            joined(hard.iter().map(|xid| meaning(xid).remedy))
        }
        Ok(Subject::Memory) if working(gpus, "").is_ok_and(|working| !working.is_empty()) => {
            "Use a machine with larger GPUs, or a smaller model or batch.".to_owned()
        }
        Ok(Subject::DriverVersion | Subject::CudaVersion) if gpus.driver.loaded => {
            "Update NVIDIA's driver; the GPU operator does it by `driver.version`.".to_owned()
        }
        Ok(Subject::Mig) => "Change it with `nvidia-smi -mig`, or by the node label nvidia.com/mig.config where the GPU operator runs.".to_owned(),
        Ok(Subject::ContainerToolkit) => "Install the NVIDIA Container Toolkit, or let the GPU operator do it.".to_owned(),
        Ok(Subject::ContainerRuntime) => "Run `nvidia-ctk runtime configure --runtime=containerd` (or crio, docker) and restart the runtime, or let the GPU operator do it.".to_owned(),
        Ok(Subject::Cdi) => "Run `nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`, again after each update of the driver.".to_owned(),
        _ => first_step(gpus),
    }
}

/// Each once, in the order given.
fn joined<'a>(remedies: impl Iterator<Item = &'a str>) -> String {
    let mut each: Vec<&str> = Vec::new();
    for remedy in remedies {
        if !each.contains(&remedy) {
            each.push(remedy);
        }
    }
    each.join(" ")
}

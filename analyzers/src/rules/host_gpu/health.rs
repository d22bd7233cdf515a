//! What is wrong with a card, and at which step between the bus and a container GPUs are lost.

use bundle::collected::gpu::{Card, Gpus, Smi, SmiOutcome, Xid};

use super::xids::{Fault, meaning};
use crate::finding::NotEvaluated;

/// Vendors whose cards count, by what conditions call them.
pub(super) const VENDORS: [&str; 4] = ["nvidia", "amd", "intel", "habana"];

fn unknown(reason: impl Into<String>) -> NotEvaluated {
    NotEvaluated::Unknown(reason.into())
}

/// The cards that work: those that their driver answers for.
pub(super) fn working<'a>(gpus: &'a Gpus, vendor: &str) -> Result<Vec<&'a Card>, NotEvaluated> {
    if !gpus.cards.iter().any(|card| is_of(card, vendor)) {
        unread(gpus, "/sys/bus/pci/devices")?;
    }
    let mut working = Vec::new();
    for card in gpus.cards.iter().filter(|card| is_of(card, vendor)) {
        if card.vendor == "nvidia" && card.has_driver() && !answers(card, gpus)?
            || !card.has_driver()
        {
            continue;
        }
        working.push(card);
    }
    Ok(working)
}

fn is_of(card: &Card, vendor: &str) -> bool {
    vendor.is_empty() || card.vendor == vendor
}

/// Whether NVIDIA's driver answers for the card.
fn answers(card: &Card, gpus: &Gpus) -> Result<bool, NotEvaluated> {
    match gpus.nvidia_smi.outcome {
        SmiOutcome::Answered => Ok(card.smi.is_some()),
        SmiOutcome::Failed => Ok(false),
        // Without the program the driver's own files tell.
        SmiOutcome::Absent | SmiOutcome::NotRun => {
            if card.uuid.is_empty() {
                unread(gpus, "/proc/driver/nvidia")?;
            }
            Ok(!card.uuid.is_empty())
        }
        SmiOutcome::TimedOut => Err(unknown(format!(
            "nvidia-smi: {}; the driver may hang",
            gpus.nvidia_smi.reason
        ))),
    }
}

/// Refuses to take for nothing what could not be read.
pub(super) fn unread(gpus: &Gpus, path: &str) -> Result<(), NotEvaluated> {
    match gpus
        .unread
        .iter()
        .find(|unread| unread.path.starts_with(path))
    {
        Some(unread) => Err(unknown(format!(
            "{} could not be read: {}",
            unread.path, unread.reason
        ))),
        None => Ok(()),
    }
}

/// A card that is not as it should be: which, what, and what to do.
pub(super) struct Ailment<'a> {
    pub(super) card: &'a Card,
    pub(super) what: String,
    pub(super) remedy: &'static str,
}

/// The cards of NVIDIA that have a driver and are not healthy. Nobody here knows the health of other vendors' cards.
pub(super) fn unhealthy(gpus: &Gpus) -> Result<Vec<Ailment<'_>>, NotEvaluated> {
    unread(gpus, "/sys/bus/pci/devices")?;
    if let Some(other) = gpus.cards.iter().find(|card| card.vendor != "nvidia") {
        return Err(unknown(format!(
            "the health of cards of {} is not collected",
            other.vendor
        )));
    }
    let cards: Vec<&Card> = gpus.cards.iter().filter(|card| card.has_driver()).collect();
    if cards.is_empty() {
        return Ok(Vec::new());
    }
    match gpus.nvidia_smi.outcome {
        SmiOutcome::Answered | SmiOutcome::Failed => {}
        SmiOutcome::Absent => {
            return Err(unknown("nvidia-smi was not found, which tells of health"));
        }
        SmiOutcome::NotRun | SmiOutcome::TimedOut => {
            return Err(unknown(format!("nvidia-smi: {}", gpus.nvidia_smi.reason)));
        }
    }
    let ailing = cards.into_iter().filter_map(|card| {
        let (what, remedy) = ailment(card, &gpus.nvidia_smi)?;
        Some(Ailment { card, what, remedy })
    });
    Ok(ailing.collect())
}

const RESET: &str = "Drain the node and reset the GPU (`nvidia-smi --gpu-reset`, or reboot).";
const REPLACE: &str = "Drain the node, run NVIDIA's field diagnostics, and have the card replaced.";

/// What is wrong with a card, the worst first.
fn ailment(card: &Card, smi: &Smi) -> Option<(String, &'static str)> {
    let Some(said) = &card.smi else {
        let what = match smi.outcome {
            SmiOutcome::Failed => format!("nvidia-smi failed: {}", smi.reason),
            _ => "nvidia-smi does not list it".to_owned(),
        };
        return Some((what, smi_remedy(&smi.reason)));
    };
    if said.repair_failed == Some(true) {
        return Some(("faulty memory could not be replaced".to_owned(), REPLACE));
    }
    if let Some(count @ 1..) = said.ecc_uncorrectable {
        let what = format!("{count} uncorrectable memory errors since the driver was loaded");
        return Some((what, RESET));
    }
    if !matches!(said.recovery_action.as_str(), "" | "None") {
        let what = format!("the driver wants: {}", said.recovery_action);
        return Some((what, "Drain the node, and do what the driver wants."));
    }
    if said.repair_pending == Some(true) {
        return Some((
            "faulty memory waits for a reset to be replaced".to_owned(),
            RESET,
        ));
    }
    let joins = |text: &str, fine: &str| text.is_empty() || text == fine;
    if !joins(&said.fabric_state, "Completed") || !joins(&said.fabric_status, "Success") {
        let what = format!(
            "the NVLink fabric is {} {}",
            said.fabric_state, said.fabric_status
        );
        return Some((
            what.trim_end().to_owned(),
            "Start NVIDIA's fabric manager (`systemctl status nvidia-fabricmanager`) in the driver's version.",
        ));
    }
    None
}

/// The errors in the kernel log that are no application's.
pub(super) fn hardware_xids(gpus: &Gpus) -> Result<Vec<&Xid>, NotEvaluated> {
    let log = &gpus.kernel_log;
    if log.source.is_empty() {
        return Err(unknown(format!(
            "the kernel log could not be read ({}); run as root to see XIDs",
            log.reason
        )));
    }
    let hard = log.xids.iter();
    let hard = hard.filter(|xid| meaning(xid).fault == Fault::Hardware);
    Ok(hard.collect())
}

const INSTALL: &str = "Install NVIDIA's driver for this kernel, or let the GPU operator do it.";

/// What to do about the first step at which GPUs are lost.
pub(super) fn first_step(gpus: &Gpus) -> String {
    let Some(card) = gpus.cards.first() else {
        return "There is no accelerator on the PCI bus: use a machine with a GPU; in a virtual machine pass one through."
            .to_owned();
    };
    let Some(card) = gpus.cards.iter().find(|card| card.vendor == "nvidia") else {
        return format!("Install the driver of {} for this kernel.", card.vendor);
    };
    match card.kernel_driver.as_str() {
        "nvidia" => {}
        "nouveau" | "nova_core" => {
            return format!(
                "The open-source driver {} holds the card: blacklist it, then install NVIDIA's.",
                card.kernel_driver
            );
        }
        "vfio-pci" | "pci-stub" => {
            return format!(
                "The card is kept for virtual machines ({}): bind it to NVIDIA's driver to use it here.",
                card.kernel_driver
            );
        }
        _ if card.smi.is_some() => {}
        _ if gpus.driver.loaded => {
            return "NVIDIA's driver is loaded and does not take the card: the kernel log (kernelLog.messages) says why; mostly the card wants another release of the driver."
                .to_owned();
        }
        _ => return INSTALL.to_owned(),
    }
    if gpus.nvidia_smi.outcome == SmiOutcome::Failed {
        return smi_remedy(&gpus.nvidia_smi.reason).to_owned();
    }
    let is_card = |node: &String| {
        node.strip_prefix("nvidia")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    if !gpus.device_nodes.iter().any(is_card) {
        return "The driver is loaded and there is no /dev/nvidia0: run `nvidia-modprobe -c 0 -u`, and start nvidia-persistenced at boot."
            .to_owned();
    }
    "Use a machine with more GPUs, or find out in nvidia-smi.xml and the kernel log why the driver leaves cards out."
        .to_owned()
}

/// What to do by the words of `nvidia-smi`.
fn smi_remedy(reason: &str) -> &'static str {
    const WORDS: &[(&str, &str)] = &[
        (
            "Driver/library version mismatch",
            "The driver was updated while its kernel module was loaded: reboot, or unload the nvidia modules and load them again. Keep unattended upgrades away from the driver.",
        ),
        (
            "couldn't communicate with the NVIDIA driver",
            "The kernel module is not loaded: `modprobe nvidia`; after a kernel update build it anew (DKMS), with Secure Boot enrol its key.",
        ),
        (
            "couldn't find libnvidia-ml",
            "Install the driver's libraries in the version of its kernel module.",
        ),
        (
            "No devices were found",
            "The driver is loaded and could initialise no card: the kernel log says why (power, firmware, a card that the release does not know).",
        ),
        (
            "GPU is lost",
            "Power-cycle the machine; check power and cooling, and have the card replaced if it comes back.",
        ),
        (
            "Unable to determine the device handle",
            "Power-cycle the machine; check power and cooling, and have the card replaced if it comes back.",
        ),
    ];
    WORDS
        .iter()
        .find(|(words, _)| reason.contains(words))
        .map_or(
            "Look into the kernel log for what the driver says of the card, and reset or reboot.",
            |(_, remedy)| remedy,
        )
}

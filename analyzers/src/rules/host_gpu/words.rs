//! What was read of a host's GPUs, in words.

use bundle::collected::gpu::{Card, Gpus, SmiOutcome, Xid};

use super::health::{unhealthy, working};
use super::xids::meaning;
use super::{Subject, word};

/// A card, for a sentence.
pub(super) fn named(card: &Card) -> String {
    match card.model.as_str() {
        "" => format!(
            "{} card {} at {}",
            card.vendor, card.device_id, card.address
        ),
        model => format!("{model} at {}", card.address),
    }
}

/// The values read, in one line: as far as they are there, step by step.
pub(super) fn observed(gpus: &Gpus) -> String {
    let mut steps = Vec::new();
    match (gpus.cards.len(), working(gpus, "")) {
        (0, _) => steps.push("no accelerator on the PCI bus".to_owned()),
        (cards, Ok(working)) => {
            let mut models: Vec<String> = working.iter().map(|card| described(card)).collect();
            models.sort_unstable();
            models.dedup();
            let models = match models.as_slice() {
                [] => String::new(),
                models => format!(" ({})", models.join("; ")),
            };
            steps.push(format!("{} of {cards} working{models}", working.len()));
        }
        (cards, Err(reason)) => steps.push(format!("{cards} cards, {}", reason.reason())),
    }
    if let Some(card) = gpus.cards.iter().find(|card| !card.has_driver()) {
        steps.push(match card.kernel_driver.as_str() {
            "" => format!("{} has no driver", named(card)),
            driver => format!("{} is held by {driver}", named(card)),
        });
    }
    match (gpus.driver.loaded, gpus.driver.version.as_str()) {
        (false, _) => {}
        (true, "") => steps.push("driver loaded".to_owned()),
        (true, version) => steps.push(format!("driver {version}")),
    }
    let smi = &gpus.nvidia_smi;
    match smi.outcome {
        SmiOutcome::Answered if !smi.cuda_version.is_empty() => {
            steps.push(format!("CUDA {}", smi.cuda_version));
        }
        SmiOutcome::Failed => steps.push(format!("nvidia-smi failed: {}", smi.reason)),
        SmiOutcome::NotRun => steps.push(format!("nvidia-smi {}", smi.reason)),
        SmiOutcome::Absent if gpus.driver.loaded => steps.push("no nvidia-smi".to_owned()),
        _ => {}
    }
    if smi.outcome == SmiOutcome::Answered {
        let ailing = unhealthy(gpus).unwrap_or_default();
        let each = ailing.iter();
        bounded(
            each.map(|ailment| format!("{}: {}", named(ailment.card), ailment.what)),
            &mut steps,
        );
    }
    if !gpus.cards.is_empty() {
        match gpus.kernel_log.source.as_str() {
            "" => steps.push("kernel log not readable".to_owned()),
            _ if gpus.kernel_log.xids.is_empty() && gpus.kernel_log.complete => {
                steps.push("no XID since boot".to_owned());
            }
            _ if gpus.kernel_log.xids.is_empty() => {
                steps.push("no XID in what is left of the kernel log".to_owned());
            }
            _ => bounded(gpus.kernel_log.xids.iter().map(xid), &mut steps),
        }
        steps.extend(toolkit(gpus));
    }
    steps.join(", ")
}

/// The most of one sort that is told.
const MOST_TOLD: usize = 8;

fn bounded(mut each: impl Iterator<Item = String>, steps: &mut Vec<String>) {
    steps.extend(each.by_ref().take(MOST_TOLD));
    match each.count() {
        0 => {}
        more => steps.push(format!("and {more} more")),
    }
}

/// `NVIDIA H200, 143771Mi`
fn described(card: &Card) -> String {
    let model = match card.model.as_str() {
        "" => format!("{} {}", card.vendor, card.device_id),
        model => model.to_owned(),
    };
    let mig = card.smi.as_ref().map_or(0, |said| said.mig_devices.len());
    let mig = if mig > 0 {
        format!(", {mig} MIG devices")
    } else {
        String::new()
    };
    match card.memory_bytes {
        Some(bytes) => format!("{model}, {}Mi{mig}", bytes >> 20),
        None => format!("{model}{mig}"),
    }
}

fn xid(xid: &Xid) -> String {
    let kind = if xid.switch { "SXID" } else { "XID" };
    let last = match xid.last.as_str() {
        "" => String::new(),
        last => format!(", last {last}"),
    };
    format!(
        "{kind} {} of {} {}x{last} ({})",
        xid.code,
        xid.device,
        xid.count,
        meaning(xid).means
    )
}

/// The words on what lets containers have the GPUs.
fn toolkit(gpus: &Gpus) -> Vec<String> {
    let mut words = Vec::new();
    match word(Subject::ContainerToolkit, gpus) {
        Ok("missing") => words.push("no container toolkit".to_owned()),
        Ok(_) => words.push(
            format!("container toolkit {}", gpus.containers.toolkit_version)
                .trim_end()
                .to_owned(),
        ),
        Err(_) => {}
    }
    for (subject, missing) in [
        (Subject::Cdi, "no CDI specification"),
        (
            Subject::ContainerRuntime,
            "no runtime configured for NVIDIA",
        ),
    ] {
        if word(subject, gpus) == Ok("missing") {
            words.push(missing.to_owned());
        }
    }
    words
}

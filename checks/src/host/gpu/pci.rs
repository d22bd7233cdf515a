//! The PCI bus.

use std::fs;
use std::path::Path;

use bundle::collected::gpu::{Card, SmiCard, Unread};

use super::{Part, names, value};

const DEVICES: &str = "/sys/bus/pci/devices";

/// Vendors of accelerators, and beginnings of the PCI classes that are such with them.
///
/// `0x0302` is a 3D controller, `0x0380` another display controller, `0x12` a processing accelerator. With NVIDIA a
/// VGA controller (`0x0300`) is a GPU that runs CUDA; with AMD and Intel it mostly is the processor's own graphics.
const VENDORS: &[(&str, &str, &[&str])] = &[
    ("0x10de", "nvidia", &["0x03"]),
    ("0x1002", "amd", &["0x0302", "0x0380", "0x12"]),
    ("0x8086", "intel", &["0x0302", "0x0380", "0x12"]),
    ("0x1da3", "habana", &["0x12"]),
];

/// The accelerators on the bus, by address. A virtual function is a part of a card that is there itself.
pub(super) fn cards(root: &Path) -> Part<Vec<Card>> {
    let mut unread: Vec<Unread> = Vec::new();
    let cards = names(root, DEVICES, &mut unread)
        .into_iter()
        .filter_map(|address| card(root, address))
        .collect();
    (cards, unread)
}

fn card(root: &Path, address: String) -> Option<Card> {
    let folder = root.join("sys/bus/pci/devices").join(&address);
    let (vendor_id, class) = (value(&folder.join("vendor")), value(&folder.join("class")));
    let (_, vendor, _) = VENDORS.iter().find(|(id, _, classes)| {
        *id == vendor_id && classes.iter().any(|begin| class.starts_with(begin))
    })?;
    if fs::symlink_metadata(folder.join("physfn")).is_ok() {
        return None;
    }
    let driver = fs::read_link(folder.join("driver")).ok();
    let kernel_driver = driver
        .as_deref()
        .and_then(Path::file_name)
        .map(|name| name.to_string_lossy().into_owned());
    Some(Card {
        vendor: (*vendor).to_owned(),
        vendor_id,
        class,
        device_id: value(&folder.join("device")),
        kernel_driver: kernel_driver.unwrap_or_default(),
        // -1 is "none".
        numa_node: value(&folder.join("numa_node")).parse().ok(),
        link_speed: value(&folder.join("current_link_speed")),
        link_width: value(&folder.join("current_link_width")),
        max_link_speed: value(&folder.join("max_link_speed")),
        max_link_width: value(&folder.join("max_link_width")),
        // amdgpu says it here.
        memory_bytes: value(&folder.join("mem_info_vram_total")).parse().ok(),
        address,
        ..Card::default()
    })
}

/// What NVIDIA's driver says of a card in `/proc/driver/nvidia/gpus/<address>/information`.
#[derive(Debug)]
pub(super) struct Model {
    address: String,
    name: String,
    uuid: String,
    minor: Option<u32>,
}

impl Model {
    pub(super) fn read(address: &str, information: &str) -> Self {
        let field = |name: &str| {
            information
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.trim().to_owned())
        };
        Self {
            address: normalised(address),
            name: field("Model").unwrap_or_default(),
            // Question marks stand for a card that the driver has not initialised.
            uuid: field("GPU UUID")
                .filter(|uuid| !uuid.contains('?'))
                .unwrap_or_default(),
            minor: field("Device Minor").and_then(|minor| minor.parse().ok()),
        }
    }
}

/// Adds to each card what the driver says of it.
pub(super) fn add_models(cards: &mut [Card], models: Vec<Model>) {
    for model in models {
        let card = cards.iter_mut().find(|card| card.address == model.address);
        if let Some(card) = card {
            card.model = model.name;
            card.uuid = model.uuid;
            card.minor = model.minor;
        }
    }
}

/// A card as `nvidia-smi` lists it.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) address: String,
    pub(super) model: String,
    pub(super) uuid: String,
    pub(super) minor: Option<u32>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) said: SmiCard,
}

/// Adds to each card what `nvidia-smi` says of it. What is not on the bus is appended.
pub(super) fn add_listed(cards: &mut Vec<Card>, listed: Vec<Listed>) {
    for listed in listed {
        let address = normalised(&listed.address);
        let at = cards.iter().position(|card| card.address == address);
        let at = at.unwrap_or_else(|| {
            cards.push(Card {
                address,
                vendor: "nvidia".to_owned(),
                ..Card::default()
            });
            cards.len() - 1
        });
        let card = &mut cards[at];
        for (has, said) in [
            (&mut card.model, listed.model),
            (&mut card.uuid, listed.uuid),
        ] {
            if !said.is_empty() {
                *has = said;
            }
        }
        card.minor = listed.minor.or(card.minor);
        card.memory_bytes = listed.memory_bytes;
        card.smi = Some(listed.said);
    }
}

/// `0000:3b:00.0` of what `nvidia-smi` calls `00000000:3B:00.0`.
fn normalised(address: &str) -> String {
    let address = address.to_lowercase();
    let domain = address
        .split_once(':')
        .and_then(|(domain, rest)| Some((u32::from_str_radix(domain, 16).ok()?, rest)));
    match domain {
        Some((domain, rest)) => format!("{domain:04x}:{rest}"),
        None => address,
    }
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn addresses_of_nvidia_smi_are_those_of_the_bus() {
        for (said, address) in [
            ("00000000:3B:00.0", "0000:3b:00.0"),
            ("0000:3b:00.0", "0000:3b:00.0"),
            ("00010000:01:00.0", "10000:01:00.0"),
            ("N/A", "n/a"),
        ] {
            assert_eq!(normalised(said), address);
        }
    }
}

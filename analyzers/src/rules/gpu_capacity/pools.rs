//! The devices that nodes publish: pools of them, and which of them a request means.

use std::collections::{BTreeSet, HashMap};

use bundle::collected::devices::{
    AllocatedDevice, Device, DeviceSelector, ResourceClaim, ResourceSlice,
};
use bundle::collected::scheduling::Toleration;

use super::expression::{Expression, Subject};

/// A device's place: driver, pool, name.
pub(super) type Place = (String, String, String);

/// The devices that a claim has.
pub(super) fn allocated(claim: &ResourceClaim) -> impl Iterator<Item = Place> {
    let allocation = claim.status.allocation.iter();
    allocation
        .flat_map(|it| &it.devices.results)
        .filter(|it| !it.admin_access)
        .map(
            |AllocatedDevice {
                 driver,
                 pool,
                 device,
                 ..
             }| (driver.clone(), pool.clone(), device.clone()),
        )
}

/// One request: which devices, and how many of them.
pub(super) struct Demand<'d> {
    /// All must hold.
    pub(super) selectors: Vec<&'d DeviceSelector>,
    /// Taints that it bears.
    pub(super) tolerations: &'d [Toleration],
    /// All that there are where there is none.
    pub(super) count: Option<i64>,
}

impl Demand<'_> {
    /// Whether a device is meant; the error says what is not simulated.
    pub(super) fn wants(&self, offer: &Offer<'_>) -> Result<bool, String> {
        let subject = Subject {
            driver: offer.driver,
            device: offer.device,
        };
        for selector in &self.selectors {
            let Some(cel) = &selector.cel else {
                return Err("a device selector that is not CEL".to_owned());
            };
            let text = &cel.expression;
            let matches = Expression::parse(text).and_then(|it| it.matches(subject));
            let problem = |what| format!("the device selector {text:?} ({what})");
            if !matches.map_err(problem)? {
                return Ok(false);
            }
        }
        let bears = |taint: &bundle::collected::node::Taint| {
            let mut tolerations = self.tolerations.iter();
            tolerations.any(|it| it.tolerates(&taint.key, &taint.value, &taint.effect))
        };
        let keeps_away = |taint: &&bundle::collected::node::Taint| {
            matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
        };
        Ok(offer.device.taints.iter().filter(keeps_away).all(bears))
    }
}

/// A device of a complete pool.
pub(super) struct Offer<'s> {
    driver: &'s str,
    device: &'s Device,
    /// Whether a claim has it.
    pub(super) is_taken: bool,
    /// Whether taking it says something of others.
    pub(super) is_part: bool,
}

/// The devices of complete pools, by node.
pub(super) struct Pools<'s> {
    /// By the node's name.
    pub(super) by_node: HashMap<&'s str, Vec<Offer<'s>>>,
    /// Whether there are devices that are not of one node.
    pub(super) are_shared: bool,
}

impl<'s> Pools<'s> {
    /// Takes the newest generation of each pool.
    pub(super) fn of(slices: &'s [ResourceSlice], taken: &BTreeSet<Place>) -> Self {
        let mut pools: HashMap<(&str, &str), Vec<&ResourceSlice>> = HashMap::new();
        for slice in slices {
            let key = (slice.spec.driver.as_str(), slice.spec.pool.name.as_str());
            let newest = pools.entry(key).or_default();
            let generation = slice.spec.pool.generation;
            match newest.first().map(|it| it.spec.pool.generation) {
                Some(before) if before > generation => continue,
                Some(before) if before < generation => newest.clear(),
                _ => {}
            }
            newest.push(slice);
        }
        let mut found = Self {
            by_node: HashMap::new(),
            are_shared: false,
        };
        #[expect(clippy::iter_over_hash_type, reason = "each node has pools of its own")]
        for ((driver, pool), slices) in pools {
            if slices.len() != slices[0].spec.pool.resource_slice_count {
                continue;
            }
            let counts = slices.iter().any(|it| !it.spec.shared_counters.is_empty());
            for slice in slices {
                if slice.spec.node_name.is_empty() {
                    found.are_shared |= !slice.spec.devices.is_empty();
                    continue;
                }
                let offers = found.by_node.entry(&slice.spec.node_name).or_default();
                offers.extend(slice.spec.devices.iter().map(|listed| {
                    let device = listed.basic.as_deref().unwrap_or(listed);
                    let place = (driver.to_owned(), pool.to_owned(), listed.name.clone());
                    Offer {
                        driver,
                        device,
                        is_taken: taken.contains(&place),
                        is_part: counts
                            || !device.consumes_counters.is_empty()
                            || device.allow_multiple_allocations
                            || !device.binding_conditions.is_empty(),
                    }
                }));
            }
        }
        found
    }
}

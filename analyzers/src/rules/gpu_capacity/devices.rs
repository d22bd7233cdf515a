//! Dynamic resource allocation: the devices that a pod claims, and where they are free.

use std::collections::{BTreeMap, BTreeSet};

use bundle::Files;
use bundle::collected::List;
use bundle::collected::devices::{
    DeviceClass, DeviceRequest, ExactRequest, ResourceClaim, ResourceClaimTemplate, ResourceSlice,
};
use bundle::collected::scheduling::{NodeSelector, PodSpec};

use super::admission::{Seen, seen};
use super::cluster::Host;
use super::constraints::selector_matches;
use super::pools::{Demand, Place, Pools, allocated};
use super::requests::{BadQuantity, IMPLICIT_CLASS, is_extended, of_pod, units};
use super::{Effect, Unsure};
use crate::document::Documents;

const CLASSES: &str = "cluster-resources/deviceclasses.json";
const SLICES: &str = "cluster-resources/resourceslices.json";

/// The devices that a pod needs, and how many pods' worth each node has.
#[derive(Debug, Default)]
pub(super) struct Devices {
    /// Why no node will do, in the scheduler's words.
    pub(super) impossible: Option<String>,
    /// By node, in the order of the nodes; nothing where devices do not matter.
    rooms: Vec<Option<i64>>,
    /// Nodes from which an allocated claim's devices cannot be used.
    elsewhere: Vec<bool>,
    /// Extended resources that a device class serves.
    served: BTreeSet<String>,
    /// What was not looked at.
    pub(super) unsure: Vec<Unsure>,
}

impl Devices {
    /// How many pods' devices are free on a node.
    pub(super) fn room(&self, host: usize) -> Option<i64> {
        self.rooms.get(host).copied().flatten()
    }

    /// Why a node does not have the devices, in the scheduler's words.
    pub(super) fn reason(&self, host: usize) -> &'static str {
        if self.elsewhere.get(host) == Some(&true) {
            "resourceclaim not available on the node"
        } else {
            "cannot allocate all claims"
        }
    }

    /// Whether a node that offers so much of an extended resource serves it by claimed devices.
    pub(super) fn serves(&self, resource: &str, offered: i64) -> bool {
        offered <= 0 && self.served.contains(resource)
    }

    /// Looks for what the pod claims.
    pub(super) fn of(
        spec: &PodSpec,
        namespace: &str,
        hosts: &[Host<'_>],
        files: &Files,
    ) -> Result<Self, BadQuantity> {
        let extended: BTreeMap<String, i64> = of_pod(spec, None)?
            .into_iter()
            .map(|(name, amount)| (name.to_owned(), units(name, amount)))
            .filter(|(name, amount)| is_extended(name) && *amount > 0)
            .collect();
        let mut devices = Self::default();
        if extended.is_empty() && spec.resource_claims.is_empty() {
            return Ok(devices);
        }
        let classes = match seen::<DeviceClass>(files, CLASSES) {
            Seen::All(list) => list.items.clone(),
            Seen::Nothing => Vec::new(),
            Seen::Not(reason) => {
                devices.without_classes(spec, extended.keys(), &reason, files);
                return Ok(devices);
            }
        };
        let mut needs = Needs::default();
        for (resource, count) in &extended {
            if let Some(class) = serving(&classes, resource) {
                devices.served.insert(resource.clone());
                needs.extended.push((resource.clone(), *count, class));
            }
        }
        let is_served = |name: &String| devices.served.contains(name);
        if spec
            .init_containers
            .iter()
            .any(|it| it.resources.requests.keys().any(is_served))
        {
            let what = "devices of init containers, asked for as an extended resource";
            devices.unsure.push(Unsure::lowers(what.to_owned()));
        }
        devices.claims(spec, namespace, &classes, &mut needs, files);
        if needs.is_empty() || devices.impossible.is_some() {
            return Ok(devices);
        }
        devices.look(&needs, hosts, files);
        Ok(devices)
    }

    /// Without the classes little is known: nodes may serve an extended resource that they do not list.
    fn without_classes<'e>(
        &mut self,
        spec: &PodSpec,
        extended: impl Iterator<Item = &'e String>,
        reason: &str,
        files: &Files,
    ) {
        if !spec.resource_claims.is_empty() {
            self.unsure
                .push(Unsure::lowers(format!("resourceClaims: {reason}")));
        }
        let groups = files.read("cluster-resources/groups.json");
        let is_served =
            groups.is_ok_and(|text| String::from_utf8_lossy(&text).contains("\"resource.k8s.io\""));
        if is_served || files.gaps(CLASSES).next().is_some() {
            for resource in extended {
                let what = format!("device classes that may serve {resource}: {reason}");
                self.unsure
                    .push(Unsure::new(what, Effect::Serves(resource.clone())));
            }
        }
    }

    /// What the pod's own claims ask for.
    fn claims<'c>(
        &mut self,
        spec: &PodSpec,
        namespace: &str,
        classes: &'c [DeviceClass],
        needs: &mut Needs<'c>,
        files: &Files,
    ) {
        for claim in &spec.resource_claims {
            let requests = if claim.resource_claim_template_name.is_empty() {
                self.shared_claim(&claim.resource_claim_name, namespace, needs, files);
                continue;
            } else {
                let name = &claim.resource_claim_template_name;
                let path = format!("cluster-resources/resourceclaimtemplates/{namespace}.json");
                let templates = match seen::<ResourceClaimTemplate>(files, &path) {
                    Seen::All(list) => list.items.clone(),
                    Seen::Nothing => Vec::new(),
                    Seen::Not(reason) => {
                        let what = format!("resourceClaims: {reason}");
                        self.unsure.push(Unsure::lowers(what));
                        continue;
                    }
                };
                let mut named = templates.into_iter();
                let Some(template) = named.find(|it| &it.metadata.name == name) else {
                    let reason = format!("resourceclaimtemplate {name:?} not found");
                    self.impossible.get_or_insert(reason);
                    continue;
                };
                template.spec.spec.devices
            };
            if !requests.constraints.is_empty() {
                let what = format!("constraints between the devices of claim {}", claim.name);
                self.unsure.push(Unsure::lowers(what));
            }
            for request in requests.requests {
                self.request(request, classes, needs);
            }
        }
    }

    /// A claim that exists already, and that all pods share.
    fn shared_claim(&mut self, name: &str, namespace: &str, needs: &mut Needs<'_>, files: &Files) {
        let path = format!("cluster-resources/resourceclaims/{namespace}.json");
        let claims = match seen::<ResourceClaim>(files, &path) {
            Seen::All(list) => list.items.clone(),
            Seen::Nothing => Vec::new(),
            Seen::Not(reason) => {
                self.unsure
                    .push(Unsure::lowers(format!("resourceClaims: {reason}")));
                return;
            }
        };
        let found = claims.into_iter().find(|it| it.metadata.name == name);
        match found.map(|claim| claim.status) {
            None => {
                let reason = format!("resourceclaim {name:?} not found");
                self.impossible.get_or_insert(reason);
            }
            Some(status) => match status.allocation {
                Some(_) if status.reserved_for.len() >= MOST_USERS => {
                    self.impossible
                        .get_or_insert("resourceclaim in use".to_owned());
                }
                Some(allocation) => needs.places.extend(allocation.node_selector),
                None => {
                    let what = format!(
                        "ResourceClaim {name}, which is not allocated: all its pods go where the first one goes"
                    );
                    self.unsure.push(Unsure::lowers(what));
                }
            },
        }
    }

    fn request<'c>(
        &mut self,
        request: DeviceRequest,
        classes: &'c [DeviceClass],
        needs: &mut Needs<'c>,
    ) {
        let DeviceRequest {
            name,
            exactly,
            first_available,
            flat,
        } = request;
        if !first_available.is_empty() {
            let what = format!("alternatives (firstAvailable) of device request {name}");
            self.unsure.push(Unsure::lowers(what));
            return;
        }
        let exact = exactly.unwrap_or(flat);
        if exact.admin_access || exact.capacity.is_some() {
            let what = format!("device request {name} (adminAccess, capacity)");
            self.unsure.push(Unsure::lowers(what));
            return;
        }
        let class = &exact.device_class_name;
        if let Some(found) = classes.iter().find(|it| &it.metadata.name == class) {
            needs.claimed.push((exact, found));
        } else {
            let reason = format!("request {name}: device class {class} does not exist");
            self.impossible.get_or_insert(reason);
        }
    }

    /// Counts what each node has.
    fn look(&mut self, needs: &Needs<'_>, hosts: &[Host<'_>], files: &Files) {
        let slices = match seen::<ResourceSlice>(files, SLICES) {
            Seen::All(list) => list,
            Seen::Nothing => std::sync::Arc::new(List { items: Vec::new() }),
            Seen::Not(reason) => {
                let what = format!("devices: {reason}");
                for (resource, ..) in &needs.extended {
                    let effect = Effect::Serves(resource.clone());
                    self.unsure.push(Unsure::new(what.clone(), effect));
                }
                self.unsure.push(Unsure::lowers(what));
                return;
            }
        };
        let mut taken: BTreeSet<Place> = BTreeSet::new();
        match Documents::<List<ResourceClaim>>::read(files, "cluster-resources/resourceclaims", &[])
        {
            Ok(documents) => {
                for (_, list) in &documents.read {
                    taken.extend(list.items.iter().flat_map(allocated));
                }
                if let Some(reason) = documents.unseen {
                    let what = format!("devices that are taken: {}", reason.reason());
                    self.unsure.push(Unsure::lowers(what));
                }
            }
            Err(reason) => {
                let what = format!("devices that are taken: {}", reason.reason());
                self.unsure.push(Unsure::lowers(what));
            }
        }
        let pools = Pools::of(&slices.items, &taken);
        for host in hosts {
            let here = needs
                .places
                .iter()
                .all(|it| selector_matches(it, host.node));
            self.elsewhere.push(!here);
            let room = match needs.room(host, self, &pools) {
                Ok(room) if here => room,
                Ok(_) => Some(0),
                Err(what) => {
                    if !self.unsure.iter().any(|it| it.what == what) {
                        self.unsure.push(Unsure::lowers(what));
                    }
                    None
                }
            };
            self.rooms.push(room);
        }
    }
}

/// Pods that may use one claim at once.
const MOST_USERS: usize = 256;

/// The class that serves an extended resource: by its own name, or the youngest that names it.
fn serving<'c>(classes: &'c [DeviceClass], resource: &str) -> Option<&'c DeviceClass> {
    if let Some(name) = resource.strip_prefix(IMPLICIT_CLASS) {
        return classes.iter().find(|it| it.metadata.name == name);
    }
    let named = classes
        .iter()
        .filter(|it| it.spec.extended_resource_name == resource);
    named.max_by(|a, b| {
        let age = a
            .metadata
            .creation_timestamp
            .cmp(&b.metadata.creation_timestamp);
        age.then_with(|| b.metadata.name.cmp(&a.metadata.name))
    })
}

/// What one pod needs.
#[derive(Debug, Default)]
struct Needs<'c> {
    /// An extended resource, how many, and the class that serves it.
    extended: Vec<(String, i64, &'c DeviceClass)>,
    /// Requests of its own claims.
    claimed: Vec<(ExactRequest, &'c DeviceClass)>,
    /// Nodes from which claims that are allocated can be used.
    places: Vec<NodeSelector>,
}

impl Needs<'_> {
    fn is_empty(&self) -> bool {
        self.extended.is_empty() && self.claimed.is_empty() && self.places.is_empty()
    }

    /// How many pods' devices are free on a node; the error says what is not simulated.
    fn room(
        &self,
        host: &Host<'_>,
        devices: &Devices,
        pools: &Pools<'_>,
    ) -> Result<Option<i64>, String> {
        let of_extended = self
            .extended
            .iter()
            .filter(|(resource, ..)| devices.serves(resource, host.offers(resource)))
            .map(|(_, count, class)| Demand {
                selectors: class.spec.selectors.iter().collect(),
                tolerations: &[],
                count: Some(*count),
            });
        let of_claims = self.claimed.iter().map(|(request, class)| Demand {
            selectors: class
                .spec
                .selectors
                .iter()
                .chain(&request.selectors)
                .collect(),
            tolerations: &request.tolerations,
            count: (request.allocation_mode != "All").then(|| request.count.unwrap_or(1)),
        });
        let demands: Vec<Demand<'_>> = of_extended.chain(of_claims).collect();
        if demands.is_empty() {
            return Ok(None);
        }
        let there = pools.by_node.get(host.name()).map_or(&[][..], |it| it);
        let mut sets: Vec<(BTreeSet<usize>, i64)> = Vec::new();
        let mut room = i64::MAX;
        for demand in &demands {
            let mut matching = BTreeSet::new();
            for (index, offer) in there.iter().enumerate() {
                if demand.wants(offer)? {
                    matching.insert(index);
                }
            }
            if pools.are_shared {
                return Err("devices that several nodes can use".to_owned());
            }
            if matching.iter().any(|index| there[*index].is_part) {
                return Err("devices that share a card's counters or several claims".to_owned());
            }
            let is_free = |index: &usize| !there[*index].is_taken;
            let count = if let Some(count) = demand.count {
                matching.retain(is_free);
                count
            } else {
                let all_free = !matching.is_empty() && matching.iter().all(is_free);
                room = room.min(i64::from(all_free));
                i64::try_from(matching.len()).unwrap_or(i64::MAX).max(1)
            };
            match sets.iter_mut().find(|(set, _)| *set == matching) {
                Some((_, sum)) => *sum = sum.saturating_add(count),
                None => sets.push((matching, count)),
            }
        }
        for (index, (set, count)) in sets.iter().enumerate() {
            if sets[..index]
                .iter()
                .any(|(other, _)| !set.is_disjoint(other))
            {
                return Err("device requests that partly compete for the same devices".to_owned());
            }
            if *count > 0 {
                room = room.min(i64::try_from(set.len()).unwrap_or(i64::MAX) / count);
            }
        }
        Ok(Some(room))
    }
}

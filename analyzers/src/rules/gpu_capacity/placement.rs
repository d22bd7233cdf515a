//! How many pods of a template fit, and why no more. Pods of one template are alike, so that the order in which they
//! come does not matter: what fits is the sum of what fits on each node.

use std::collections::{BTreeMap, BTreeSet};

use bundle::collected::scheduling::PodSpec;

use super::cluster::{Host, Occupant};
use super::constraints::{
    HostPort, compared_labels, host_ports, named_nodes, selects, stops_at_cordon, untolerated,
};
use super::devices::Devices;
use super::requests::{BadQuantity, Units, in_units, of_pod};
use super::volumes::Volumes;
use crate::document::unmasked;
use crate::finding::NotEvaluated;

/// A pod of the template, and all that it needs.
pub(super) struct Question<'a> {
    /// Its spec after admission.
    pub(super) spec: &'a PodSpec,
    /// What it asks for.
    pub(super) request: Units<'a>,
    /// Its priority.
    pub(super) priority: i64,
    /// Whether it may evict pods of lower priority.
    pub(super) evicts: bool,
    /// Its volumes.
    pub(super) volumes: &'a Volumes,
    /// Its devices.
    pub(super) devices: &'a Devices,
    ports: Vec<HostPort>,
    named: Option<BTreeSet<&'a str>>,
}

impl<'a> Question<'a> {
    /// Puts the question together.
    pub(super) fn new(
        spec: &'a PodSpec,
        (priority, evicts): (i64, bool),
        volumes: &'a Volumes,
        devices: &'a Devices,
    ) -> Result<Self, BadQuantity> {
        Ok(Self {
            spec,
            request: in_units(&of_pod(spec, None)?),
            priority,
            evicts,
            volumes,
            devices,
            ports: host_ports(spec),
            named: named_nodes(spec),
        })
    }

    /// What is asked for, without zeros.
    pub(super) fn asked(&self) -> impl Iterator<Item = (&'a str, i64)> {
        let asked = self.request.iter().map(|(name, units)| (*name, *units));
        asked.filter(|(_, units)| *units > 0)
    }

    /// Whether it takes ports of its node, which only one such pod can have.
    pub(super) fn takes_ports(&self) -> bool {
        !self.ports.is_empty()
    }

    /// Why no node will do, in the scheduler's words, and what helps.
    fn impossible(&self) -> Option<(String, String)> {
        if let Some(gate) = self.spec.scheduling_gates.first() {
            let reason = "Scheduling is blocked due to non-empty scheduling gates".to_owned();
            let change = format!(
                "the template's scheduling gate {:?} has to be removed, by hand or by the controller that put it there",
                gate.name
            );
            return Some((reason, change));
        }
        if self.named.as_ref().is_some_and(BTreeSet::is_empty) {
            let change = "the terms of the template's nodeAffinity name no node together";
            return Some(("pod affinity terms conflict".to_owned(), change.to_owned()));
        }
        if let Some(reason) = &self.volumes.impossible {
            let change = "make the volume claim that the template names and let it be bound";
            return Some((reason.clone(), change.to_owned()));
        }
        let reason = self.devices.impossible.clone()?;
        let change =
            "make the resource claim, its template and the device class that the template names";
        Some((reason, change.to_owned()))
    }
}

/// What keeps every pod of the template off a node, whatever is free there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The affinity names other nodes.
    NotNamed,
    /// It is cordoned.
    Cordon,
    /// A taint is not tolerated.
    Taint,
    /// Labels differ from the selector or the affinity.
    Labels,
    /// A volume is elsewhere.
    Volume(&'static str),
}

/// What fits on one node.
#[derive(Debug, Clone, Default)]
pub(super) struct Room {
    /// What keeps pods away; the scheduler names the first.
    pub(super) obstacles: Vec<Obstacle>,
    /// Pods that fit beside all that are there.
    pub(super) beside: i64,
    /// Pods that fit when those of lower priority go.
    pub(super) evicting: i64,
}

impl Room {
    /// Pods that fit, obstacles considered.
    fn of(&self, evicts: bool) -> i64 {
        if !self.obstacles.is_empty() {
            0
        } else if evicts {
            self.evicting
        } else {
            self.beside
        }
    }
}

/// Which occupants stay.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stay {
    /// All of them.
    All,
    /// Those whose priority is at least this.
    From(i64),
    /// None.
    Nobody,
}

impl Stay {
    fn holds(self, occupant: &Occupant<'_>, priority: i64) -> bool {
        match self {
            // Room that is promised to a pod of lower priority can be had.
            Self::All => !occupant.promised || occupant.priority >= priority,
            Self::From(least) => occupant.priority >= least,
            Self::Nobody => false,
        }
    }
}

/// The answer.
pub(super) struct Placement<'a> {
    /// The nodes.
    pub(super) hosts: &'a [Host<'a>],
    /// What fits on each.
    pub(super) rooms: Vec<Room>,
    /// Why no node will do, and what helps.
    pub(super) impossible: Option<(String, String)>,
    /// Pods that fit, if there were no end of them.
    pub(super) fit: i64,
    /// Pods that fit without evicting others.
    pub(super) fit_beside: i64,
}

impl<'a> Placement<'a> {
    /// Looks at every node.
    pub(super) fn of(question: &Question<'_>, hosts: &'a [Host<'a>]) -> Result<Self, NotEvaluated> {
        let compared = compared_labels(question.spec);
        let mut rooms = Vec::with_capacity(hosts.len());
        for (index, host) in hosts.iter().enumerate() {
            for label in &compared {
                unmasked(host.node.metadata.labels.get(*label).map_or("", |it| it))?;
            }
            for taint in &host.node.spec.taints {
                unmasked(&taint.key)?;
                unmasked(&taint.value)?;
            }
            let room = |stay| capacity(question, host, index, stay, None);
            let beside = room(Stay::All);
            let evicting = if question.evicts {
                room(Stay::From(question.priority))
            } else {
                beside
            };
            rooms.push(Room {
                obstacles: obstacles(question, host),
                beside,
                evicting,
            });
        }
        let impossible = question.impossible();
        let sum = |evicts: bool| match impossible {
            Some(_) => 0,
            None => total(rooms.iter().map(|room| room.of(evicts))),
        };
        Ok(Self {
            hosts,
            fit: sum(question.evicts),
            fit_beside: sum(false),
            rooms,
            impossible,
        })
    }

    /// Pods that would fit if others stayed, or if one resource were no obstacle where a node has none of it.
    pub(super) fn if_stayed(
        &self,
        question: &Question<'_>,
        stay: Stay,
        without: Option<&str>,
    ) -> i64 {
        if self.impossible.is_some() {
            return 0;
        }
        let hosts = self.hosts.iter().enumerate().zip(&self.rooms);
        total(
            hosts
                .filter(|(_, room)| room.obstacles.is_empty())
                .map(|((index, host), _)| capacity(question, host, index, stay, without)),
        )
    }

    /// The scheduler's sentence on a pod that is one too many.
    pub(super) fn sentence(&self, question: &Question<'_>) -> String {
        let nodes = self.hosts.len();
        if nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        if !question.spec.scheduling_gates.is_empty()
            && let Some((reason, _)) = &self.impossible
        {
            return reason.clone();
        }
        let start = format!("0/{nodes} nodes are available:");
        if let Some((reason, _)) = &self.impossible {
            return format!("{start} {reason}.");
        }
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (index, (host, room)) in self.hosts.iter().zip(&self.rooms).enumerate() {
            for reason in reasons(question, host, index, room) {
                *counts.entry(reason).or_default() += 1;
            }
        }
        let mut said: Vec<String> = counts
            .into_iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        said.sort_unstable();
        format!("{start} {}.", said.join(", "))
    }
}

fn total(rooms: impl Iterator<Item = i64>) -> i64 {
    rooms.fold(0, i64::saturating_add)
}

fn obstacles(question: &Question<'_>, host: &Host<'_>) -> Vec<Obstacle> {
    let tolerations = &question.spec.tolerations;
    let node = host.node;
    let named = &question.named;
    let checks = [
        (
            named.as_ref().is_some_and(|it| !it.contains(host.name())),
            Obstacle::NotNamed,
        ),
        (
            node.spec.unschedulable && stops_at_cordon(tolerations),
            Obstacle::Cordon,
        ),
        (
            untolerated(node, tolerations).next().is_some(),
            Obstacle::Taint,
        ),
        (!selects(question.spec, node), Obstacle::Labels),
    ];
    let volume = question.volumes.refusal(node).map(Obstacle::Volume);
    let found = checks.into_iter().filter(|(is_there, _)| *is_there);
    found.map(|(_, obstacle)| obstacle).chain(volume).collect()
}

/// How many pods find room on a node, obstacles aside.
fn capacity(
    question: &Question<'_>,
    host: &Host<'_>,
    index: usize,
    stay: Stay,
    without: Option<&str>,
) -> i64 {
    let stays = |it: &Occupant<'_>| stay.holds(it, question.priority);
    let mut room = slots(host, stays);
    if !question.ports.is_empty() {
        room = room.min(i64::from(!has_port_conflict(question, host, stays)));
    }
    for (resource, each) in question.asked() {
        let offered = host.offers(resource);
        let is_elsewhere = without == Some(resource) && offered == 0;
        if is_elsewhere || question.devices.serves(resource, offered) {
            continue;
        }
        let free = offered.saturating_sub(host.held(resource, stays));
        room = room.min(free / each);
    }
    if let Some(devices) = question.devices.room(index) {
        room = room.min(devices);
    }
    room.max(0)
}

/// How many more pods of any kind a node takes.
fn slots(host: &Host<'_>, stays: impl Fn(&Occupant<'_>) -> bool) -> i64 {
    let there = host.occupants.iter().filter(|it| stays(it)).count();
    let there = i64::try_from(there).unwrap_or(i64::MAX);
    host.offers("pods").saturating_sub(there)
}

fn has_port_conflict(
    question: &Question<'_>,
    host: &Host<'_>,
    stays: impl Fn(&Occupant<'_>) -> bool,
) -> bool {
    let taken = host
        .occupants
        .iter()
        .filter(|it| stays(it))
        .flat_map(|it| host_ports(&it.pod.spec));
    taken
        .into_iter()
        .any(|port| question.ports.iter().any(|own| own.conflicts(&port)))
}

/// Why one pod more does not go to a node that is as full as it gets, in the scheduler's words: the first plugin that
/// refuses speaks, and names every resource that is short.
fn reasons(question: &Question<'_>, host: &Host<'_>, index: usize, room: &Room) -> Vec<String> {
    let only = |reason: &str| vec![reason.to_owned()];
    match room.obstacles.first() {
        Some(Obstacle::NotNamed) => return only("node(s) didn't satisfy plugin(s) [NodeAffinity]"),
        Some(Obstacle::Cordon) => return only("node(s) were unschedulable"),
        Some(Obstacle::Taint) => return only("node(s) had untolerated taint(s)"),
        Some(Obstacle::Labels) => {
            return only("node(s) didn't match Pod's node affinity/selector");
        }
        Some(Obstacle::Volume(_)) | None => {}
    }
    let evicts_here = question.evicts && room.obstacles.is_empty() && room.evicting > room.beside;
    let stay = if evicts_here {
        Stay::From(question.priority)
    } else {
        Stay::All
    };
    let stays = |it: &Occupant<'_>| stay.holds(it, question.priority);
    let placed = room.of(question.evicts);
    if !question.ports.is_empty() && (placed > 0 || has_port_conflict(question, host, stays)) {
        return only("node(s) didn't have free ports for the requested pod ports");
    }
    let mut short = Vec::new();
    if slots(host, stays) <= placed {
        short.push("Too many pods".to_owned());
    }
    for (resource, each) in question.asked() {
        let offered = host.offers(resource);
        if question.devices.serves(resource, offered) {
            continue;
        }
        let held = host
            .held(resource, stays)
            .saturating_add(each.saturating_mul(placed));
        if each > offered.saturating_sub(held) {
            short.push(format!("Insufficient {resource}"));
        }
    }
    if !short.is_empty() {
        return short;
    }
    if let Some(Obstacle::Volume(reason)) = room.obstacles.first() {
        return only(reason);
    }
    if question.devices.room(index).is_some_and(|it| it <= placed) {
        return only(question.devices.reason(index));
    }
    Vec::new()
}

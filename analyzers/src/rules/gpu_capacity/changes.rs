//! The nearest change that would make more pods fit.

use std::collections::BTreeMap;

use super::cluster::Host;
use super::constraints::{missing_labels, taint_text, untolerated};
use super::placement::{Obstacle, Placement, Question, Room};
use super::requests::{Units, is_extended, written};
use crate::document::counted;

/// How many names are listed.
const NAMED: usize = 3;

/// What would make the missing pods fit, nearest first: a line in the template, a command, a pod less, a node more.
pub(super) fn nearest(question: &Question<'_>, placement: &Placement<'_>, missing: i64) -> String {
    if let Some((_, change)) = &placement.impossible {
        return sentence(change);
    }
    let mut ways = [
        tolerations(question, placement),
        cordons(placement),
        labels(question, placement),
    ]
    .into_iter()
    .flatten()
    .max_by_key(|way| way.more.min(missing))
    .into_iter()
    .collect::<Vec<_>>();
    let gained = ways.first().map_or(0, |way| way.more);
    if gained < missing {
        ways.extend(less_load(question, placement));
        let left = missing - ways.iter().map(|way| way.more).sum::<i64>();
        if left > 0 {
            ways.push(more_nodes(question, placement, left));
        }
    }
    let texts: Vec<String> = ways.iter().map(|way| sentence(&way.text)).collect();
    texts.join(" ")
}

/// A clause as a sentence.
pub(super) fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|it| it.to_uppercase().to_string());
    let mut text = first.unwrap_or_default() + characters.as_str();
    if !text.ends_with('.') {
        text.push('.');
    }
    text
}

struct Way {
    text: String,
    /// How many more pods fit then.
    more: i64,
}

/// Names, the first few of them.
fn names<'a>(all: &[&'a str]) -> String {
    let shown = all.iter().take(NAMED).copied().collect::<Vec<&'a str>>();
    match all.len().checked_sub(NAMED) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}

fn fits(more: i64) -> String {
    let verb = if more == 1 { "fits" } else { "fit" };
    format!("{} {verb}", counted(more, "more pod"))
}

fn room_behind(question: &Question<'_>, room: &Room) -> i64 {
    if question.evicts {
        room.evicting
    } else {
        room.beside
    }
}

/// Nodes that would take pods but for these obstacles, grouped.
fn grouped<'p>(
    placement: &'p Placement<'_>,
    is_it: impl Fn(&[Obstacle]) -> bool,
    key: impl Fn(&Host<'_>) -> Vec<String>,
    room: impl Fn(&Room) -> i64,
) -> Option<(Vec<String>, i64, Vec<&'p str>)> {
    let mut groups: BTreeMap<Vec<String>, (i64, Vec<&str>)> = BTreeMap::new();
    for (host, there) in placement.hosts.iter().zip(&placement.rooms) {
        let more = room(there);
        if more > 0 && is_it(&there.obstacles) {
            let group = groups.entry(key(host)).or_default();
            group.0 = group.0.saturating_add(more);
            group.1.push(host.name());
        }
    }
    let (key, (more, hosts)) = groups
        .into_iter()
        .max_by(|(ak, (a, _)), (bk, (b, _))| a.cmp(b).then(bk.len().cmp(&ak.len())))?;
    Some((key, more, hosts))
}

fn tolerations(question: &Question<'_>, placement: &Placement<'_>) -> Option<Way> {
    let (taints, more, hosts) = grouped(
        placement,
        |obstacles| obstacles == [Obstacle::Taint],
        |host| {
            untolerated(host.node, &question.spec.tolerations)
                .map(taint_text)
                .collect()
        },
        |room| room_behind(question, room),
    )?;
    let tolerations: Vec<String> = taints
        .iter()
        .filter_map(|taint| {
            let (key, effect) = taint.rsplit_once(':')?;
            let key = key.split('=').next().unwrap_or(key);
            Some(format!(
                "{{key: {key}, operator: Exists, effect: {effect}}}"
            ))
        })
        .collect();
    let health = taints
        .iter()
        .find(|it| it.starts_with("node.kubernetes.io/"));
    let text = match health {
        Some(taint) => format!(
            "bring {} back to health (taint {taint}): {}",
            names(&hosts),
            fits(more)
        ),
        None => format!(
            "add to the template's tolerations: [{}] (taint {} of {}): {}",
            tolerations.join(", "),
            taints.join(", "),
            names(&hosts),
            fits(more)
        ),
    };
    Some(Way { text, more })
}

fn cordons(placement: &Placement<'_>) -> Option<Way> {
    let of_cordon = |obstacles: &[Obstacle]| {
        !obstacles.is_empty()
            && obstacles.contains(&Obstacle::Cordon)
            && obstacles
                .iter()
                .all(|it| matches!(it, Obstacle::Cordon | Obstacle::Taint))
    };
    let other_taints = |host: &Host<'_>| {
        let taints = host.node.spec.taints.iter();
        taints
            .filter(|it| it.key != super::constraints::CORDON && it.effect != "PreferNoSchedule")
            .map(taint_text)
            .collect::<Vec<_>>()
    };
    let (_, more, hosts) = grouped(placement, of_cordon, other_taints, |room| room.evicting)
        .filter(|(taints, ..)| taints.is_empty())?;
    let text = format!(
        "lift the cordon (kubectl uncordon {}): {}",
        hosts[..hosts.len().min(NAMED)].join(" "),
        fits(more)
    );
    Some(Way { text, more })
}

fn labels(question: &Question<'_>, placement: &Placement<'_>) -> Option<Way> {
    let (missing, more, hosts) = grouped(
        placement,
        |obstacles| obstacles == [Obstacle::Labels],
        |host| {
            missing_labels(question.spec, host.node)
                .map(|(key, value)| format!("{key}={value}"))
                .collect()
        },
        |room| room_behind(question, room),
    )?;
    let own = |key: &str| {
        let node = placement.hosts.iter().find(|it| it.name() == hosts[0])?;
        let value = node.node.metadata.labels.get(key)?;
        Some(format!("{key}={value}"))
    };
    let keys = || missing.iter().filter_map(|it| it.split('=').next());
    let text = if missing.is_empty() {
        format!(
            "give {} the labels that the template's nodeAffinity asks for, or relax it: {}",
            names(&hosts),
            fits(more)
        )
    } else if keys().any(describes_node) {
        let has: Vec<String> = keys().filter_map(own).collect();
        let has = if has.is_empty() {
            "has no such label".to_owned()
        } else {
            format!("has {}", has.join(", "))
        };
        format!(
            "take {} out of the template's nodeSelector, or ask for what there is ({} {has}): {}",
            missing.join(", "),
            hosts[0],
            fits(more)
        )
    } else {
        format!(
            "label the node (kubectl label node {} {}) or take {} out of the template's nodeSelector: {}",
            hosts[0],
            missing.join(" "),
            missing.join(", "),
            fits(more)
        )
    };
    Some(Way { text, more })
}

/// Whether a label says what a node is, so that nobody should set it by hand.
fn describes_node(key: &str) -> bool {
    const VENDORS: [&str; 4] = ["nvidia.com", "amd.com", "intel.com", "habana.ai"];
    key.split_once('/').is_some_and(|(domain, _)| {
        let is_of = |owner: &str| domain == owner || domain.ends_with(&format!(".{owner}"));
        is_of("kubernetes.io") || is_of("k8s.io") || VENDORS.into_iter().any(is_of)
    })
}

/// The node on which the least has to go for one pod more.
fn less_load(question: &Question<'_>, placement: &Placement<'_>) -> Option<Way> {
    let hosts = placement.hosts.iter().zip(&placement.rooms);
    let (host, lacks) = hosts
        .filter(|(_, room)| room.obstacles.is_empty())
        .filter_map(|(host, room)| Some((host, lacking(question, host, room)?)))
        .min_by(|(_, a), (_, b)| {
            let weight = |lacks: &Units<'_>| -> (usize, i64) {
                let extended = lacks.iter().find(|(name, _)| is_extended(name));
                let amount = extended.or_else(|| lacks.iter().next());
                (lacks.len(), amount.map_or(0, |(_, amount)| *amount))
            };
            weight(a).cmp(&weight(b))
        })?;
    let wanted: Vec<String> = lacks
        .iter()
        .map(|(name, amount)| format!("{} {name}", written(name, *amount)))
        .collect();
    let (main, _) = lacks.iter().next_back()?;
    let mut holders: Vec<(i64, String)> = host
        .occupants
        .iter()
        .filter_map(|it| Some((*it.request.get(main)?, it.name())))
        .filter(|(held, _)| *held > 0)
        .collect();
    holders.sort_by(|a, b| b.cmp(a));
    let mut text = format!("free {} on {}", wanted.join(" and "), host.name());
    if !holders.is_empty() {
        let held: Vec<String> = holders
            .iter()
            .take(NAMED)
            .map(|(held, name)| format!("{name} {}", written(main, *held)))
            .collect();
        let more = holders.len().saturating_sub(NAMED);
        let rest = if more > 0 {
            format!(" and {}", counted(more as u64, "more pod"))
        } else {
            String::new()
        };
        text = format!("{text} ({main} is held by {}{rest})", held.join(", "));
    }
    Some(Way {
        text: format!("{text}: {}", fits(1)),
        more: 1,
    })
}

/// What a node lacks for one pod more; nothing where even an empty one is too small, or where something else is
/// in the way.
fn lacking<'q>(question: &Question<'q>, host: &Host<'_>, room: &Room) -> Option<Units<'q>> {
    let placed = room_behind(question, room);
    let mut lacks = Units::new();
    for (resource, each) in question.asked() {
        let offered = host.offers(resource);
        if question.devices.serves(resource, offered) {
            return None;
        }
        if each > offered {
            return None;
        }
        let taken = host
            .held(resource, |it| {
                !question.evicts || it.priority >= question.priority
            })
            .saturating_add(each.saturating_mul(placed));
        // What the template's own pods hold cannot be freed for it.
        if each.saturating_mul(placed + 1) > offered {
            return None;
        }
        let lack = taken.saturating_add(each).saturating_sub(offered);
        if lack > 0 {
            lacks.insert(resource, lack);
        }
    }
    (!lacks.is_empty()).then_some(lacks)
}

/// More nodes like the one that takes most, or a shape that none has yet.
fn more_nodes(question: &Question<'_>, placement: &Placement<'_>, missing: i64) -> Way {
    let when_empty = |host: &Host<'_>| -> i64 {
        let fits = question.asked().map(|(resource, each)| {
            let offered = host.offers(resource);
            if question.devices.serves(resource, offered) {
                i64::MAX
            } else {
                offered / each
            }
        });
        let most = if question.takes_ports() { 1 } else { i64::MAX };
        fits.fold(host.offers("pods").min(most), i64::min)
    };
    let best = placement
        .hosts
        .iter()
        .zip(&placement.rooms)
        .map(|(host, room)| (when_empty(host), room.obstacles.is_empty(), host))
        .filter(|(fits, ..)| *fits > 0)
        .max_by_key(|(fits, is_open, _)| (*is_open, *fits));
    let asked: Vec<String> = question
        .asked()
        .map(|(name, each)| format!("{} {name}", written(name, each)))
        .collect();
    let text = match best {
        Some((each, _, host)) => {
            let nodes = missing.saturating_add(each - 1) / each;
            let shape: Vec<String> = question
                .asked()
                .map(|(name, _)| format!("{} {name}", written(name, host.offers(name))))
                .collect();
            format!(
                "add {} such as {} ({}), which takes {} when empty",
                counted(nodes, "node"),
                host.name(),
                shape.join(", "),
                counted(each, "pod"),
            )
        }
        None if question
            .asked()
            .any(|(name, _)| nobody_offers(placement, name)) =>
        {
            let missing: Vec<&str> = question
                .asked()
                .map(|(name, _)| name)
                .filter(|name| nobody_offers(placement, name))
                .collect();
            format!("no node offers {}; add nodes that do", missing.join(" or "))
        }
        None => {
            let largest: Vec<String> = question
                .asked()
                .map(|(name, _)| {
                    let most = placement.hosts.iter().map(|host| host.offers(name)).max();
                    format!("{} {name}", written(name, most.unwrap_or(0)))
                })
                .collect();
            format!(
                "no node is large enough even when empty: a pod asks for {}, the most that a node offers is {}; add nodes that offer at least as much as a pod asks for, or ask for less",
                asked.join(", "),
                largest.join(", "),
            )
        }
    };
    Way {
        text,
        more: missing,
    }
}

fn nobody_offers(placement: &Placement<'_>, resource: &str) -> bool {
    placement.hosts.iter().all(|it| it.offers(resource) == 0)
}

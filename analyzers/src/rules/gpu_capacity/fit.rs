//! The answer to a request: how many pods fit, within what bounds, and why no more.

use bundle::Files;

use super::admission::{Admitted, Stop, Surroundings, admit};
use super::cluster::{Collected, Host};
use super::devices::Devices;
use super::measures::Range;
use super::placement::{Placement, Question, Stay};
use super::volumes::Volumes;
use super::{Effect, Request, Unsure, changes, requests};
use crate::finding::NotEvaluated;

/// What became of the request.
pub(super) struct Fit {
    /// Pods asked for.
    pub(super) replicas: i64,
    /// Pods that fit.
    pub(super) placed: Range,
    /// Pods that fit only if others are evicted.
    pub(super) evicting: Range,
    /// Some of those that would be evicted.
    pub(super) victims: Vec<String>,
    /// Why no more, in the words of the API server and the scheduler.
    pub(super) reasons: String,
    /// The nearest change that helps.
    pub(super) change: String,
    /// What was not looked at.
    pub(super) not_simulated: Vec<String>,
    /// What a pod asks for, in units.
    pub(super) asked: Vec<(String, i64)>,
}

impl Fit {
    /// Asks how many pods of the request fit.
    pub(super) fn of(
        request: &Request,
        collected: &Collected,
        hosts: &[Host<'_>],
        files: &Files,
    ) -> Result<Self, NotEvaluated> {
        let template = &request.pod_template;
        let replicas = request.replicas;
        if replicas < 0 {
            let reason = format!("request.replicas: {replicas} pods cannot be asked for");
            return Err(NotEvaluated::Spec(reason));
        }
        let namespace = match request.namespace.as_str() {
            "" => "default",
            name => name,
        };
        let google = "cloud.google.com/gke-nodepool";
        let surroundings = Surroundings {
            tolerates_extended: hosts
                .iter()
                .any(|it| it.node.metadata.labels.contains_key(google)),
            has_classless_pods: collected
                .pods()
                .any(|pod| pod.spec.priority_class_name.is_empty()),
        };
        let mut pod = admit(&template.spec, namespace, replicas, surroundings, files)?;
        let volumes = Volumes::of(&pod.spec, namespace, files);
        let devices = Devices::of(&pod.spec, namespace, hosts, files)
            .map_err(requests::BadQuantity::of_template)?;
        let mut unsure = template.not_simulated();
        unsure.append(&mut pod.unsure);
        unsure.extend(volumes.unsure.iter().chain(&devices.unsure).cloned());
        if let Some(other) = template.repelled_by(namespace, collected.pods()) {
            let metadata = &other.metadata;
            let what = format!(
                "podAntiAffinity of pod {}/{}, which means pods such as these",
                metadata.namespace, metadata.name
            );
            unsure.push(Unsure::lowers(what));
        }
        if let Some(reason) = &collected.unseen_pods {
            unsure.push(Unsure::lowers(format!("pods that were not seen: {reason}")));
        }
        let question = Question::new(&pod.spec, (pod.priority, pod.evicts), &volumes, &devices)
            .map_err(requests::BadQuantity::of_template)?;
        let placement = Placement::of(&question, hosts)?;
        Ok(Self::judged(&pod, replicas, &question, &placement, &unsure))
    }

    fn judged(
        pod: &Admitted,
        replicas: i64,
        question: &Question<'_>,
        placement: &Placement<'_>,
        unsure: &[Unsure],
    ) -> Self {
        let placed = pod.created.min(placement.fit);
        let beside = pod.created.min(placement.fit_beside);
        let range = bounds(pod, placed, question, placement, unsure);
        let mut reasons = Vec::new();
        let mut change = String::new();
        if let Some(Stop {
            reason,
            change: stop,
        }) = &pod.stop
        {
            reasons.push(reason.clone());
            change = changes::sentence(stop);
        }
        if placed < pod.created {
            reasons.push(placement.sentence(question));
            let nearest = changes::nearest(question, placement, pod.created - placed);
            change = if change.is_empty() {
                nearest
            } else {
                format!("{change} {nearest}")
            };
        }
        let evicting = placed - beside;
        Self {
            replicas,
            placed: range,
            evicting: match range.certain() {
                Some(_) => Range::exactly(evicting),
                None => Range {
                    low: 0,
                    high: range.high,
                },
            },
            victims: if evicting > 0 {
                victims(question, placement)
            } else {
                Vec::new()
            },
            reasons: reasons.join("; "),
            change,
            not_simulated: unsure.iter().map(|it| it.what.clone()).collect(),
            asked: question
                .asked()
                .map(|(name, units)| (name.to_owned(), units))
                .collect(),
        }
    }
}

/// The least and the most that can be placed, whatever the things not looked at say.
fn bounds(
    pod: &Admitted,
    placed: i64,
    question: &Question<'_>,
    placement: &Placement<'_>,
    unsure: &[Unsure],
) -> Range {
    let mut range = Range::exactly(placed);
    let at_most = |fit: i64| pod.created.min(fit);
    for Unsure { effect, .. } in unsure {
        match effect {
            Effect::Lowers => range.low = 0,
            Effect::Priority { named } => {
                let low = if *named {
                    0
                } else {
                    at_most(placement.if_stayed(question, Stay::All, None))
                };
                let high = at_most(placement.if_stayed(question, Stay::Nobody, None));
                range.low = range.low.min(low);
                range.high = range.high.max(high);
            }
            Effect::Serves(resource) => {
                let stay = if question.evicts {
                    Stay::From(question.priority)
                } else {
                    Stay::All
                };
                let high = at_most(placement.if_stayed(question, stay, Some(resource)));
                range.high = range.high.max(high);
            }
            Effect::Anything => {
                range.low = 0;
                range.high = pod.created;
            }
        }
    }
    range
}

/// Some of the pods that would have to go.
fn victims(question: &Question<'_>, placement: &Placement<'_>) -> Vec<String> {
    let hosts = placement.hosts.iter().zip(&placement.rooms);
    hosts
        .filter(|(_, room)| room.obstacles.is_empty() && room.evicting > room.beside)
        .flat_map(|(host, _)| &host.occupants)
        .filter(|it| it.priority < question.priority && !it.promised)
        .map(|it| format!("{} (priority {})", it.name(), it.priority))
        .take(3)
        .collect()
}

impl Fit {
    /// How many fit at whose cost.
    pub(super) fn eviction(&self) -> String {
        let mut text = format!(
            "{} of them only by evicting pods of lower priority",
            self.evicting
        );
        if !self.victims.is_empty() {
            text = format!("{text}, such as {}", self.victims.join(", "));
        }
        text
    }
}

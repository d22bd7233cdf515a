//! What conditions and messages can refer to.

use bundle::collected::node;
use bundle::collected::scheduling::PODS;
use serde_json::{Value, json};

use super::cluster::Host;
use super::fit::Fit;
use super::measures::{self, Condition, Range, Subject};
use super::requests::written;
use super::stack;
use crate::document::counted;
use crate::finding::NotEvaluated;

/// All that conditions and messages can refer to.
pub(super) struct Facts<'a> {
    /// The nodes.
    pub(super) hosts: &'a [Host<'a>],
    /// Why pods were not seen.
    pub(super) unseen_pods: Option<&'a str>,
    /// The resource that the check is about.
    pub(super) resource: String,
    /// What became of the request.
    pub(super) fit: Option<Fit>,
}

impl Facts<'_> {
    /// The number that a condition asks for.
    fn number(&self, subject: Subject<'_>) -> Result<Range, NotEvaluated> {
        let fit = || {
            self.fit.as_ref().ok_or_else(|| {
                NotEvaluated::Spec("there is no request: only free(), largestFree(), allocatable() and unhealthy() of a resource can be asked for".to_owned())
            })
        };
        let unless_held = |number: i64| Range {
            low: if self.unseen_pods.is_some() {
                0
            } else {
                number
            },
            high: number,
        };
        Ok(match subject {
            Subject::Replicas => Range::exactly(fit()?.replicas),
            Subject::Placed => fit()?.placed,
            Subject::Unplaced => {
                let fit = fit()?;
                fit.placed.rest_of(fit.replicas)
            }
            Subject::Evicting => fit()?.evicting,
            Subject::Free(resource) => unless_held(measures::free(self.hosts, resource).0),
            Subject::LargestFree(resource) => unless_held(measures::free(self.hosts, resource).1),
            Subject::Allocatable(resource) => {
                Range::exactly(measures::allocatable(self.hosts, resource))
            }
            Subject::Unhealthy(resource) => {
                Range::exactly(measures::unhealthy(self.hosts, resource))
            }
        })
    }

    /// Whether a condition holds, where that is certain.
    pub(super) fn hold(&self, condition: &Condition<'_>, when: &str) -> Result<bool, NotEvaluated> {
        let number = self.number(condition.subject)?;
        condition.holds(number).ok_or_else(|| {
            let why = match (&self.fit, self.unseen_pods) {
                (Some(fit), _) if condition.subject.resource().is_none() => {
                    let placed = fit.placed.high;
                    format!(
                        "{} of {} would fit, but not simulated: {}",
                        placed,
                        counted(fit.replicas, "pod"),
                        fit.not_simulated.join("; ")
                    )
                }
                (_, unseen) => format!("pods were not seen: {}", unseen.unwrap_or_default()),
            };
            NotEvaluated::Unknown(format!("whether {when:?} holds cannot be told: {why}"))
        })
    }

    /// What is free of the check's resource: together, and on one node.
    fn free(&self) -> (String, String) {
        let (sum, largest) = measures::free(self.hosts, &self.resource);
        let bound = if self.unseen_pods.is_some() {
            "at most "
        } else {
            ""
        };
        let text = |units| format!("{bound}{}", written(&self.resource, units));
        (text(sum), text(largest))
    }

    /// Why no more pods fit, as a clause.
    fn reasons(&self) -> &str {
        let reasons = self.fit.as_ref().map_or("", |fit| fit.reasons.as_str());
        reasons.strip_suffix('.').unwrap_or(reasons)
    }

    /// How many fit, and why no more.
    pub(super) fn sentence(&self) -> String {
        let Some(fit) = &self.fit else {
            return self.supply();
        };
        let mut text = match fit.placed.certain() {
            Some(1) if fit.replicas == 1 => "The pod fits.".to_owned(),
            Some(placed) if placed == fit.replicas => format!("All {placed} pods fit."),
            Some(0) => format!("None of {} fits.", counted(fit.replicas, "pod")),
            _ => format!("{} of {} fit.", fit.placed, counted(fit.replicas, "pod")),
        };
        if fit.evicting.high > 0 {
            text = format!("{text} {}.", fit.eviction());
        }
        if !fit.reasons.is_empty() {
            text = format!("{text} {}", fit.reasons);
        }
        text
    }

    fn supply(&self) -> String {
        let (free, _) = self.free();
        let offered = measures::allocatable(self.hosts, &self.resource);
        if offered == 0 {
            return format!("{}: no node offers it", self.resource);
        }
        let (_, largest) = measures::free(self.hosts, &self.resource);
        format!(
            "{}: {free} free of {} that nodes offer, at most {} on one node",
            self.resource,
            written(&self.resource, offered),
            written(&self.resource, largest),
        )
    }

    /// The values read, and where.
    pub(super) fn observed(&self, remarks: &stack::Remarks) -> String {
        let mut parts = Vec::new();
        if let Some(fit) = &self.fit {
            parts.push(format!("placed {} of {}", fit.placed, fit.replicas));
            if fit.evicting.high > 0 {
                parts.push(fit.eviction());
            }
            if !self.reasons().is_empty() {
                parts.push(self.reasons().to_owned());
            }
        }
        parts.push(self.supply());
        parts.extend(remarks.texts.iter().cloned());
        if let Some(fit) = &self.fit
            && !fit.not_simulated.is_empty()
        {
            let what = fit.not_simulated.join("; ");
            parts.push(format!("not simulated: {what}"));
        }
        format!("{} ({}, {PODS})", parts.join("; "), node::PATH)
    }

    /// What messages can refer to.
    pub(super) fn message_data(&self, remarks: &stack::Remarks) -> Value {
        let (free, largest) = self.free();
        let number = |range: Range| match range.certain() {
            Some(number) => json!(number),
            None => json!(range.to_string()),
        };
        let of_all = |units| written(&self.resource, units);
        let mut data = json!({
            "Resource": self.resource,
            "Free": free,
            "LargestFree": largest,
            "Allocatable": of_all(measures::allocatable(self.hosts, &self.resource)),
            "Unhealthy": of_all(measures::unhealthy(self.hosts, &self.resource)),
            "Remarks": remarks.texts.join("; "),
            "Replicas": 0,
            "Placed": 0,
            "Unplaced": 0,
            "Evicting": 0,
            "Reasons": "",
            "Change": "",
            "NotSimulated": "",
        });
        if let Some(fit) = &self.fit {
            data["Replicas"] = json!(fit.replicas);
            data["Placed"] = number(fit.placed);
            data["Unplaced"] = number(fit.placed.rest_of(fit.replicas));
            data["Evicting"] = number(fit.evicting);
            data["Reasons"] = json!(fit.reasons);
            data["Change"] = json!(fit.change);
            data["NotSimulated"] = json!(fit.not_simulated.join("; "));
        }
        data
    }

    /// The remedy where nothing is wrong with the devices and all pods fit, or none were asked for.
    pub(super) fn otherwise(&self) -> String {
        match &self.fit {
            None => format!(
                "Free some {}, or add nodes that offer it: kubectl describe nodes shows which pods hold it.",
                self.resource
            ),
            Some(fit) if fit.evicting.high > 0 => format!(
                "Free some {} or add a node, so that nobody has to go; or give the pods a PriorityClass with preemptionPolicy Never.",
                self.resource
            ),
            Some(_) => String::new(),
        }
    }
}

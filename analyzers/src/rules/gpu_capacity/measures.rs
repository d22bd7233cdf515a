//! The numbers that conditions ask for. One that is not certain is a range, and a condition that its ends answer
//! differently has no answer.

use std::fmt;

use syntax::quantity::Quantity;

use super::cluster::Host;
use super::requests::is_extended;
use crate::finding::NotEvaluated;
use crate::outcome::{Operator, bad_condition};

/// From and to, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) low: i64,
    pub(super) high: i64,
}

impl Range {
    /// One number.
    pub(super) fn exactly(number: i64) -> Self {
        Self {
            low: number,
            high: number,
        }
    }

    /// The number, where there is one.
    pub(super) fn certain(self) -> Option<i64> {
        (self.low == self.high).then_some(self.low)
    }

    /// What is left of a total.
    pub(super) fn rest_of(self, total: i64) -> Self {
        Self {
            low: total - self.high,
            high: total - self.low,
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.low, self.high) {
            (low, high) if low == high => write!(formatter, "{low}"),
            (0, high) => write!(formatter, "at most {high}"),
            (low, high) => write!(formatter, "between {low} and {high}"),
        }
    }
}

/// What a condition asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject<'w> {
    /// Pods asked for.
    Replicas,
    /// Pods that fit.
    Placed,
    /// Pods that do not.
    Unplaced,
    /// Pods that fit only if others are evicted.
    Evicting,
    /// What is free on all nodes together.
    Free(&'w str),
    /// What is free on the node that has most.
    LargestFree(&'w str),
    /// What all nodes offer to pods.
    Allocatable(&'w str),
    /// What nodes have and do not offer: devices that failed.
    Unhealthy(&'w str),
}

/// `<subject> <operator> <quantity>`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Condition<'w> {
    pub(super) subject: Subject<'w>,
    operator: Operator,
    /// In thousandths.
    desired: i128,
}

impl<'w> Condition<'w> {
    /// Reads a condition.
    pub(super) fn parse(when: &'w str) -> Result<Self, NotEvaluated> {
        let text = when.trim();
        let start = text
            .find(['<', '>', '=', '!'])
            .ok_or_else(|| bad_condition(when, "expected `<what> <operator> <number>`"))?;
        let (subject, rest) = text.split_at(start);
        let end = rest
            .find(|c| !"<>=!".contains(c))
            .ok_or_else(|| bad_condition(when, "there is nothing to compare with"))?;
        let (operator, desired) = rest.split_at(end);
        let operator = Operator::parse(operator)
            .ok_or_else(|| bad_condition(when, format!("unknown operator {operator:?}")))?;
        let desired = desired.trim();
        let quantity: Quantity = desired
            .parse()
            .map_err(|error| bad_condition(when, format!("{desired:?}: {error}")))?;
        let desired = quantity
            .rounded_up(-3)
            .ok_or_else(|| bad_condition(when, format!("{desired:?} is too large")))?;
        Ok(Self {
            subject: Subject::parse(subject.trim()).map_err(|it| bad_condition(when, it))?,
            operator,
            desired,
        })
    }

    /// Whether it holds of a number in the subject's units; nothing where that is not certain.
    pub(super) fn holds(&self, number: Range) -> Option<bool> {
        let scale = match self.subject.resource() {
            Some("cpu") => 1,
            _ => 1000,
        };
        let (low, high) = (
            i128::from(number.low) * scale,
            i128::from(number.high) * scale,
        );
        let at = |value: i128| self.operator.holds(value.cmp(&self.desired));
        if low == high {
            return Some(at(low));
        }
        match self.operator {
            Operator::Equal | Operator::NotEqual => {
                let is_outside = self.desired < low || high < self.desired;
                is_outside.then_some(self.operator == Operator::NotEqual)
            }
            // The others only change once on the way.
            _ => (at(low) == at(high)).then(|| at(low)),
        }
    }
}

impl<'w> Subject<'w> {
    fn parse(text: &'w str) -> Result<Self, String> {
        Ok(match text {
            "replicas" => Self::Replicas,
            "placed" => Self::Placed,
            "unplaced" => Self::Unplaced,
            "evicting" => Self::Evicting,
            _ => {
                let (name, resource) = text
                    .strip_suffix(')')
                    .and_then(|it| it.split_once('('))
                    .ok_or_else(|| {
                        format!(
                            "{text:?} is none of placed, unplaced, evicting, replicas, free(<resource>), largestFree(<resource>), allocatable(<resource>), unhealthy(<resource>)"
                        )
                    })?;
                let resource = resource.trim();
                if resource.is_empty() {
                    return Err(format!("{name} needs a resource, {name}(nvidia.com/gpu)"));
                }
                match name.trim() {
                    "free" => Self::Free(resource),
                    "largestFree" => Self::LargestFree(resource),
                    "allocatable" => Self::Allocatable(resource),
                    "unhealthy" if !is_extended(resource) => {
                        return Err(format!(
                            "of {resource} nodes keep some for themselves, which is no fault; unhealthy() is for devices"
                        ));
                    }
                    "unhealthy" => Self::Unhealthy(resource),
                    _ => return Err(format!("unknown function {name:?}")),
                }
            }
        })
    }

    /// The resource, where it is about one.
    pub(super) fn resource(self) -> Option<&'w str> {
        match self {
            Self::Free(resource)
            | Self::LargestFree(resource)
            | Self::Allocatable(resource)
            | Self::Unhealthy(resource) => Some(resource),
            _ => None,
        }
    }
}

/// What is free of a resource on all nodes, and on the one that has most.
pub(super) fn free(hosts: &[Host<'_>], resource: &str) -> (i64, i64) {
    let each = || hosts.iter().map(|host| host.free(resource));
    let sum = each().fold(0, i64::saturating_add);
    (sum, each().max().unwrap_or(0))
}

/// What all nodes offer of a resource.
pub(super) fn allocatable(hosts: &[Host<'_>], resource: &str) -> i64 {
    let each = hosts.iter().map(|host| host.offers(resource));
    each.fold(0, i64::saturating_add)
}

/// What nodes have of a resource and do not offer.
pub(super) fn unhealthy(hosts: &[Host<'_>], resource: &str) -> i64 {
    let each = hosts.iter().map(|host| host.withheld(resource));
    each.fold(0, i64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(when: &str, low: i64, high: i64) -> Option<bool> {
        let condition = Condition::parse(when).expect("a condition");
        condition.holds(Range { low, high })
    }

    #[test]
    fn conditions_over_ranges() {
        for (when, low, high, answer) in [
            ("placed < 3", 0, 2, Some(true)),
            ("placed < 3", 0, 3, None),
            ("placed<3", 3, 4, Some(false)),
            ("unplaced > 0", 0, 0, Some(false)),
            ("unplaced > 0", 0, 1, None),
            ("placed == 2", 0, 1, Some(false)),
            ("placed != 2", 0, 1, Some(true)),
            ("placed == 1", 0, 1, None),
            ("placed >= 1", 1, 5, Some(true)),
            ("free(cpu) < 1500m", 1499, 1499, Some(true)),
            ("free(memory) >= 1Ki", 1024, 1024, Some(true)),
            ("largestFree( nvidia.com/gpu ) <= 2", 2, 2, Some(true)),
        ] {
            assert_eq!(holds(when, low, high), answer, "{when} of {low}..={high}");
        }
    }

    #[test]
    fn conditions_that_cannot_be_read() {
        for when in [
            "",
            "placed",
            "placed >",
            "placed =< 3",
            "placed > many",
            "free > 3",
            "free() > 3",
            "most(nvidia.com/gpu) > 3",
            "unhealthy(cpu) > 0",
        ] {
            let refused = Condition::parse(when).err();
            assert!(matches!(refused, Some(NotEvaluated::Spec(_))), "{when}");
        }
    }
}

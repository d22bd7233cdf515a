//! `LimitRange` and `ResourceQuota`: what a namespace adds to pods and how many it lets in.

use bundle::collected::admission::{LimitRange, LimitRangeItem, ResourceQuota};
use bundle::collected::node::Quantity as Written;
use bundle::collected::scheduling::{Container, PodSpec, ResourceList, Resources};

use super::requests::{
    Amounts, BadQuantity, amounts, is_extended, is_pod_level, of_containers, of_pod, thousandths,
};
use crate::document::counted;

/// Gives containers the defaults of the ranges, in their order; the first that has one wins.
pub(super) fn add_defaults(spec: &mut PodSpec, ranges: &[LimitRange]) {
    let items = ranges.iter().flat_map(|range| &range.spec.limits);
    for item in items.filter(|item| item.kind == "Container") {
        let containers = spec.containers.iter_mut().chain(&mut spec.init_containers);
        for Container { resources, .. } in containers {
            merge(&mut resources.limits, &item.default);
            merge(&mut resources.requests, &item.default_request);
        }
    }
}

fn merge(into: &mut ResourceList, defaults: &ResourceList) {
    for (name, amount) in defaults {
        into.entry(name.clone()).or_insert_with(|| amount.clone());
    }
}

/// Why a range refuses the pod.
pub(super) fn refusal(
    spec: &PodSpec,
    ranges: &[LimitRange],
) -> Result<Option<String>, BadQuantity> {
    for range in ranges {
        for item in &range.spec.limits {
            let refused = match item.kind.as_str() {
                "Container" => containers(spec)
                    .find_map(|container| refused(item, &container.resources).transpose())
                    .transpose()?,
                "Pod" => breach(item, &of_pod_without_overhead(spec)?, &limits_of_pod(spec)?)?,
                _ => None,
            };
            if let Some(reason) = refused {
                let name = &range.metadata.name;
                return Ok(Some(format!("{reason} (LimitRange {name})")));
            }
        }
    }
    Ok(None)
}

fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.containers.iter().chain(&spec.init_containers)
}

fn refused(item: &LimitRangeItem, resources: &Resources) -> Result<Option<String>, BadQuantity> {
    breach(
        item,
        &amounts(&resources.requests)?,
        &amounts(&resources.limits)?,
    )
}

fn breach(
    item: &LimitRangeItem,
    requests: &Amounts<'_>,
    limits: &Amounts<'_>,
) -> Result<Option<String>, BadQuantity> {
    let of = &item.kind;
    for (name, least) in &item.min {
        let bound = thousandths(name, least)?;
        let about = format!("minimum {name} usage per {of} is {}", least.0);
        match (requests.get(name.as_str()), limits.get(name.as_str())) {
            (None, _) => return Ok(Some(format!("{about}. No request is specified"))),
            (Some(request), _) if *request < bound => {
                return Ok(Some(format!(
                    "{about}, but request is {}",
                    plain(name, *request)
                )));
            }
            (_, Some(limit)) if *limit < bound => {
                return Ok(Some(format!(
                    "{about}, but limit is {}",
                    plain(name, *limit)
                )));
            }
            _ => {}
        }
    }
    for (name, most) in &item.max {
        let bound = thousandths(name, most)?;
        let about = format!("maximum {name} usage per {of} is {}", most.0);
        match (requests.get(name.as_str()), limits.get(name.as_str())) {
            (_, None) => return Ok(Some(format!("{about}. No limit is specified"))),
            (_, Some(limit)) if *limit > bound => {
                return Ok(Some(format!(
                    "{about}, but limit is {}",
                    plain(name, *limit)
                )));
            }
            (Some(request), _) if *request > bound => {
                return Ok(Some(format!(
                    "{about}, but request is {}",
                    plain(name, *request)
                )));
            }
            _ => {}
        }
    }
    for (name, ratio) in &item.max_limit_request_ratio {
        let bound = thousandths(name, ratio)?;
        let about = format!("{name} max limit to request ratio per {of} is {}", ratio.0);
        let request = requests.get(name.as_str()).copied().unwrap_or(0);
        let limit = limits.get(name.as_str()).copied().unwrap_or(0);
        if request == 0 {
            let reason = "but no request is specified or request is 0";
            return Ok(Some(format!("{about}, {reason}")));
        }
        if limit == 0 {
            let reason = "but no limit is specified or limit is 0";
            return Ok(Some(format!("{about}, {reason}")));
        }
        if limit.saturating_mul(1000) > request.saturating_mul(bound) {
            let provided = (limit.saturating_mul(2_000_000) / request + 1) / 2;
            return Ok(Some(format!(
                "{about}, but provided ratio is {}.{:06}",
                provided / 1_000_000,
                provided % 1_000_000
            )));
        }
    }
    Ok(None)
}

fn plain(name: &str, thousandths: i128) -> String {
    super::requests::written(name, super::requests::units(name, thousandths))
}

fn of_pod_without_overhead(spec: &PodSpec) -> Result<Amounts<'_>, BadQuantity> {
    let mut total = of_containers(spec, |container, _| amounts(&container.resources.requests))?;
    if let Some(of_pod) = &spec.resources {
        replace(&mut total, &of_pod.requests)?;
    }
    Ok(total)
}

/// The limits of the pod as a whole.
fn limits_of_pod(spec: &PodSpec) -> Result<Amounts<'_>, BadQuantity> {
    let mut total = of_containers(spec, |container, _| amounts(&container.resources.limits))?;
    if let Some(of_pod) = &spec.resources {
        replace(&mut total, &of_pod.limits)?;
    }
    Ok(total)
}

fn replace<'a>(total: &mut Amounts<'a>, with: &'a ResourceList) -> Result<(), BadQuantity> {
    for (name, amount) in with.iter().filter(|(name, _)| is_pod_level(name)) {
        total.insert(name, thousandths(name, amount)?);
    }
    Ok(())
}

/// How many more pods the quotas let in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Allowance {
    /// At most so many; no bound where there is none.
    pub(super) most: Option<i64>,
    /// What stops the next one, in the API server's words.
    pub(super) reason: String,
    /// What would let one more in.
    pub(super) change: String,
    /// Quotas whose use has not been counted yet.
    pub(super) uncounted: Vec<String>,
}

/// What the quotas of a namespace let in of a pod.
pub(super) fn allowance(
    spec: &PodSpec,
    quotas: &[ResourceQuota],
) -> Result<Allowance, BadQuantity> {
    let usage = usage(spec)?;
    let mut allowance = Allowance::default();
    let matching = quotas.iter().filter(|quota| is_in_scope(quota, spec));
    for quota in matching {
        let name = &quota.metadata.name;
        let counts = |resource: &&String| is_about_pods(resource);
        if quota.status.hard.is_empty() && quota.spec.hard.keys().any(|it| counts(&it)) {
            allowance.uncounted.push(name.clone());
            continue;
        }
        if let Some(missing) = unspecified(quota, spec) {
            return Ok(Allowance {
                most: Some(0),
                reason: format!("failed quota: {name}: must specify {missing}"),
                change: format!("specify {missing} in the template"),
                ..allowance
            });
        }
        for (resource, hard) in &quota.status.hard {
            let Some(each) = usage.get(resource).filter(|amount| **amount > 0) else {
                continue;
            };
            let zero = Written::default();
            let used_text = quota.status.used.get(resource).unwrap_or(&zero);
            let used = if used_text.0.is_empty() {
                0
            } else {
                thousandths(resource, used_text)?
            };
            let room = thousandths(resource, hard)? - used;
            let more = i64::try_from(room.max(0) / each).unwrap_or(i64::MAX);
            if allowance.most.is_none_or(|most| more < most) {
                allowance.most = Some(more);
                let of_pod = plain(resource.trim_start_matches("requests."), *each);
                let used = if used_text.0.is_empty() {
                    "0"
                } else {
                    &used_text.0
                };
                allowance.reason = format!(
                    "exceeded quota: {name}, requested: {resource}={of_pod}, used: {resource}={used}, limited: {resource}={}",
                    hard.0
                );
                allowance.change = format!(
                    "raise {resource} of ResourceQuota {name}, which is {} with {used} used; {} of this template fit into it",
                    hard.0,
                    counted(more, "more pod"),
                );
            }
        }
    }
    Ok(allowance)
}

/// Whether a quota's resource is one of pods.
fn is_about_pods(resource: &str) -> bool {
    const OF_PODS: [&str; 11] = [
        "count/pods",
        "cpu",
        "ephemeral-storage",
        "limits.cpu",
        "limits.ephemeral-storage",
        "limits.memory",
        "memory",
        "pods",
        "requests.cpu",
        "requests.ephemeral-storage",
        "requests.memory",
    ];
    OF_PODS.contains(&resource)
        || resource.starts_with("hugepages-")
        || resource
            .strip_prefix("requests.")
            .is_some_and(|it| it.starts_with("hugepages-") || is_extended(it))
}

/// What one pod is charged.
fn usage(spec: &PodSpec) -> Result<std::collections::BTreeMap<String, i128>, BadQuantity> {
    let mut usage = std::collections::BTreeMap::from([
        ("pods".to_owned(), 1000),
        ("count/pods".to_owned(), 1000),
    ]);
    for (name, amount) in of_pod(spec, None)? {
        let is_standard = matches!(name, "cpu" | "memory" | "ephemeral-storage")
            || name.starts_with("hugepages-");
        if is_standard {
            usage.insert(name.to_owned(), amount);
        }
        if is_standard || is_extended(name) {
            usage.insert(format!("requests.{name}"), amount);
        }
    }
    let mut limits = limits_of_pod(spec)?;
    for (name, more) in amounts(&spec.overhead)? {
        if let Some(limit) = limits.get_mut(name).filter(|limit| **limit > 0) {
            *limit += more;
        }
    }
    for (name, amount) in limits {
        if matches!(name, "cpu" | "memory" | "ephemeral-storage") {
            usage.insert(format!("limits.{name}"), amount);
        }
    }
    Ok(usage)
}

/// What each container has to say because a quota counts it.
fn unspecified(quota: &ResourceQuota, spec: &PodSpec) -> Option<String> {
    let whole = spec.resources.as_ref();
    let says = |list: &ResourceList| list.keys().any(|name| is_pod_level(name));
    if whole.is_some_and(|it| says(&it.requests) || says(&it.limits)) {
        return None;
    }
    let mut missing = Vec::new();
    for resource in quota.status.hard.keys() {
        let (name, in_limits) = match resource.as_str() {
            "cpu" | "requests.cpu" => ("cpu", false),
            "memory" | "requests.memory" => ("memory", false),
            "limits.cpu" => ("cpu", true),
            "limits.memory" => ("memory", true),
            _ => continue,
        };
        let mut without: Vec<&str> = containers(spec)
            .filter(|container| {
                let Resources {
                    requests, limits, ..
                } = &container.resources;
                !(if in_limits { limits } else { requests }).contains_key(name)
            })
            .map(|container| container.name.as_str())
            .collect();
        without.sort_unstable();
        without.dedup();
        if !without.is_empty() {
            missing.push(format!("{resource} for: {}", without.join(",")));
        }
    }
    (!missing.is_empty()).then(|| missing.join("; "))
}

/// Whether a quota counts the pod at all.
fn is_in_scope(quota: &ResourceQuota, spec: &PodSpec) -> bool {
    let class = spec.priority_class_name.as_str();
    let matches = |scope: &str, operator: &str, values: &[String]| match scope {
        "Terminating" => spec.active_deadline_seconds.is_some(),
        "NotTerminating" => spec.active_deadline_seconds.is_none(),
        "BestEffort" => is_best_effort(spec),
        "NotBestEffort" => !is_best_effort(spec),
        "PriorityClass" => match operator {
            "In" => values.iter().any(|value| value == class),
            "NotIn" => !values.iter().any(|value| value == class),
            "DoesNotExist" => class.is_empty(),
            _ => !class.is_empty(),
        },
        _ => false,
    };
    let selector = quota.spec.scope_selector.as_ref();
    let expressions = selector.map_or(&[][..], |it| &it.match_expressions);
    quota
        .spec
        .scopes
        .iter()
        .all(|scope| matches(scope, "", &[]))
        && expressions
            .iter()
            .all(|it| matches(&it.scope_name, &it.operator, &it.values))
}

fn is_best_effort(spec: &PodSpec) -> bool {
    let asks = |resources: &Resources| {
        let amounts = resources.requests.iter().chain(&resources.limits);
        amounts
            .filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory"))
            .any(|(name, amount)| thousandths(name, amount).is_ok_and(|it| it > 0))
    };
    !containers(spec).any(|container| asks(&container.resources))
        && !spec.resources.as_ref().is_some_and(asks)
}

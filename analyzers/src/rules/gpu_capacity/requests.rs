//! What a pod asks for, summed as Kubernetes sums it.

use std::collections::BTreeMap;

use bundle::collected::node::Quantity as Written;
use bundle::collected::scheduling::{Container, ContainerStatus, PodSpec, PodStatus, ResourceList};
use syntax::quantity::Quantity;

use crate::document::{is_masked, redacted};
use crate::finding::NotEvaluated;

/// Amounts in thousandths by resource name. The API server keeps no finer ones in pods.
pub(super) type Amounts<'a> = BTreeMap<&'a str, i128>;

/// Amounts as the scheduler counts them: processors in thousandths, all else whole, rounded up.
pub(super) type Units<'a> = BTreeMap<&'a str, i64>;

/// A quantity that cannot be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BadQuantity {
    /// It was masked.
    Masked,
    /// It is none.
    Malformed(String),
}

impl BadQuantity {
    /// The answer where the quantity is that of `subject` in a document of the bundle.
    pub(super) fn of(self, subject: &str) -> NotEvaluated {
        match self {
            Self::Masked => redacted(),
            Self::Malformed(reason) => NotEvaluated::Malformed(format!("{subject}: {reason}")),
        }
    }

    /// The answer where the quantity is that of the spec's template.
    pub(super) fn of_template(self) -> NotEvaluated {
        match self {
            Self::Masked => redacted(),
            Self::Malformed(reason) => NotEvaluated::Spec(format!("request.podTemplate: {reason}")),
        }
    }
}

/// Thousandths, rounded up.
pub(super) fn thousandths(resource: &str, written: &Written) -> Result<i128, BadQuantity> {
    let text = written.0.as_str();
    if is_masked(text) {
        return Err(BadQuantity::Masked);
    }
    let quantity: Quantity = text
        .parse()
        .map_err(|error| BadQuantity::Malformed(format!("{resource} {text:?}: {error}")))?;
    quantity
        .rounded_up(-3)
        .ok_or_else(|| BadQuantity::Malformed(format!("{resource} {text:?} is too large")))
}

/// A list's amounts.
pub(super) fn amounts(list: &ResourceList) -> Result<Amounts<'_>, BadQuantity> {
    list.iter()
        .map(|(name, written)| Ok((name.as_str(), thousandths(name, written)?)))
        .collect()
}

/// A thousandth or a whole, by what the scheduler counts the resource in.
pub(super) fn units(resource: &str, thousandths: i128) -> i64 {
    let counted = if resource == "cpu" {
        thousandths
    } else {
        thousandths.div_euclid(1000) + i128::from(thousandths.rem_euclid(1000) > 0)
    };
    i64::try_from(counted).unwrap_or(if counted > 0 { i64::MAX } else { i64::MIN })
}

/// All amounts in units.
pub(super) fn in_units<'a>(amounts: &Amounts<'a>) -> Units<'a> {
    amounts
        .iter()
        .map(|(name, amount)| (*name, units(name, *amount)))
        .collect()
}

/// A list's amounts in units.
pub(super) fn list_in_units(list: &ResourceList) -> Result<Units<'_>, BadQuantity> {
    Ok(in_units(&amounts(list)?))
}

/// Units as people write them: `1500m`, `64Gi`, `3`.
pub(super) fn written(resource: &str, units: i64) -> String {
    const STEPS: [&str; 5] = ["", "Ki", "Mi", "Gi", "Ti"];
    if resource == "cpu" {
        return if units % 1000 == 0 {
            (units / 1000).to_string()
        } else {
            format!("{units}m")
        };
    }
    let is_bytes = matches!(resource, "memory" | "ephemeral-storage" | "storage")
        || resource.starts_with("hugepages-");
    let mut rest = units;
    let mut step = 0;
    while is_bytes && rest != 0 && rest % 1024 == 0 && step + 1 < STEPS.len() {
        rest /= 1024;
        step += 1;
    }
    if is_bytes && step == 0 && rest.abs() >= 1 << 20 {
        // Nobody reads a count of bytes.
        return format!("{}Mi", rest >> 20);
    }
    format!("{rest}{}", STEPS[step])
}

/// Whether a resource is neither Kubernetes' own nor a request for one: `nvidia.com/gpu`.
pub(super) fn is_extended(resource: &str) -> bool {
    resource.split_once('/').is_some_and(|(domain, _)| {
        domain != "kubernetes.io"
            && !domain.ends_with(".kubernetes.io")
            && !domain.starts_with("requests.")
    }) || resource.starts_with(IMPLICIT_CLASS)
}

/// The prefix of the resource that a device class serves by its own name.
pub(super) const IMPLICIT_CLASS: &str = "deviceclass.resource.kubernetes.io/";

/// Whether a pod as a whole can ask for the resource.
pub(super) fn is_pod_level(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory") || resource.starts_with("hugepages-")
}

/// Whether an init container runs beside the containers.
pub(super) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy == "Always"
}

/// What a pod asks for, overhead included. With a status: what it holds while it is being resized.
pub(super) fn of_pod<'a>(
    spec: &'a PodSpec,
    status: Option<&'a PodStatus>,
) -> Result<Amounts<'a>, BadQuantity> {
    let resizing = status.map(Resizing::of);
    let mut total = of_containers(spec, |container, beside| match &resizing {
        Some(resizing) if beside => resizing.request(container),
        _ => amounts(&container.resources.requests),
    })?;
    if let Some(of_pod) = &spec.resources
        && of_pod.requests.keys().any(|name| is_pod_level(name))
    {
        let mut asked = amounts(&of_pod.requests)?;
        if let Some(resizing) = &resizing
            && let Some(actual) = &resizing.status.resources
        {
            let allocated = &resizing.status.allocated_resources;
            asked = resizing.effective(&of_pod.requests, &actual.requests, allocated)?;
        }
        for name in of_pod.requests.keys().filter(|name| is_pod_level(name)) {
            let amount = asked.get(name.as_str()).copied().unwrap_or(0);
            total.insert(name, amount);
        }
    }
    add(&mut total, &amounts(&spec.overhead)?);
    Ok(total)
}

/// The sum over containers: those that run at the same time, or, where that is more, the worst moment of the
/// start. `of` is asked for each container, and whether it runs beside others.
pub(super) fn of_containers<'a>(
    spec: &'a PodSpec,
    of: impl Fn(&'a Container, bool) -> Result<Amounts<'a>, BadQuantity>,
) -> Result<Amounts<'a>, BadQuantity> {
    let mut total = Amounts::new();
    for container in &spec.containers {
        add(&mut total, &of(container, true)?);
    }
    let mut sidecars = Amounts::new();
    let mut starting = Amounts::new();
    for container in &spec.init_containers {
        let sidecar = is_sidecar(container);
        let mut moment = of(container, sidecar)?;
        if sidecar {
            add(&mut total, &moment);
            add(&mut sidecars, &moment);
            moment.clone_from(&sidecars);
        } else {
            add(&mut moment, &sidecars);
        }
        raise(&mut starting, &moment);
    }
    raise(&mut total, &starting);
    Ok(total)
}

/// A pod's status, as far as its resize goes.
struct Resizing<'a> {
    status: &'a PodStatus,
    infeasible: bool,
}

impl<'a> Resizing<'a> {
    fn of(status: &'a PodStatus) -> Self {
        let pending = status
            .conditions
            .iter()
            .find(|it| it.kind == "PodResizePending");
        Self {
            status,
            infeasible: status.resize == "Infeasible"
                || pending.is_some_and(|it| it.reason == "Infeasible"),
        }
    }

    fn request(&self, container: &'a Container) -> Result<Amounts<'a>, BadQuantity> {
        let asked = &container.resources.requests;
        let statuses = &self.status.container_statuses;
        let found = statuses
            .iter()
            .chain(&self.status.init_container_statuses)
            .find(|status| status.name == container.name);
        match found {
            Some(ContainerStatus {
                resources: Some(actual),
                allocated_resources,
                ..
            }) => self.effective(asked, &actual.requests, allocated_resources),
            _ => amounts(asked),
        }
    }

    /// The most of what is asked for, used and set aside; a request that the node refused for good does not count.
    fn effective(
        &self,
        asked: &'a ResourceList,
        actual: &'a ResourceList,
        allocated: &'a ResourceList,
    ) -> Result<Amounts<'a>, BadQuantity> {
        let mut most = amounts(actual)?;
        raise(&mut most, &amounts(allocated)?);
        if !self.infeasible {
            raise(&mut most, &amounts(asked)?);
        }
        Ok(most)
    }
}

/// Adds one list to another.
pub(super) fn add<'a>(to: &mut Amounts<'a>, more: &Amounts<'a>) {
    for (name, amount) in more {
        let sum = to.entry(name).or_insert(0);
        *sum = sum.saturating_add(*amount);
    }
}

fn raise<'a>(to: &mut Amounts<'a>, other: &Amounts<'a>) {
    for (name, amount) in other {
        let most = to.entry(name).or_insert(*amount);
        *most = (*most).max(*amount);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn request(spec: Value, status: Value) -> Vec<(String, i64)> {
        let spec: PodSpec = serde_json::from_value(spec).expect("a pod's spec");
        let status: PodStatus = serde_json::from_value(status).expect("a pod's status");
        let asked = of_pod(&spec, Some(&status)).expect("quantities");
        in_units(&asked)
            .into_iter()
            .map(|(name, units)| (name.to_owned(), units))
            .collect()
    }

    fn container(name: &str, cpu: &str) -> Value {
        json!({"name": name, "resources": {"requests": {"cpu": cpu}}})
    }

    fn sidecar(name: &str, cpu: &str) -> Value {
        let mut container = container(name, cpu);
        container["restartPolicy"] = json!("Always");
        container
    }

    fn cpu(spec: Value, status: Value) -> i64 {
        let asked = request(spec, status);
        asked
            .iter()
            .find(|(name, _)| name == "cpu")
            .map_or(0, |(_, units)| *units)
    }

    #[test]
    fn init_containers_and_sidecars() {
        for (init, containers, expected) in [
            (
                json!([]),
                json!([container("a", "1"), container("b", "500m")]),
                1500,
            ),
            (
                json!([container("i", "3")]),
                json!([container("a", "1")]),
                3000,
            ),
            (
                json!([sidecar("s", "2")]),
                json!([container("a", "1")]),
                3000,
            ),
            // The init container runs beside the sidecar before it, not beside the one after it.
            (
                json!([sidecar("s", "2"), container("i", "3"), sidecar("t", "1")]),
                json!([container("a", "1")]),
                5000,
            ),
            (
                json!([container("i", "3"), sidecar("s", "2")]),
                json!([container("a", "500m")]),
                3000,
            ),
        ] {
            let spec = json!({"initContainers": init, "containers": containers});
            assert_eq!(cpu(spec.clone(), json!({})), expected, "{spec}");
        }
    }

    #[test]
    fn the_pod_as_a_whole_and_its_overhead() {
        let spec = json!({
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "4", "example.com/x": "2", "memory": "1Gi"}}}],
            "resources": {"requests": {"cpu": "1"}},
            "overhead": {"cpu": "250m"},
        });
        assert_eq!(
            request(spec, json!({})),
            [
                ("cpu".to_owned(), 1250),
                ("example.com/x".to_owned(), 2),
                ("memory".to_owned(), 1 << 30)
            ]
        );
    }

    #[test]
    fn a_resize_holds_the_most_of_the_three() {
        let spec = json!({"containers": [container("a", "4")]});
        let status = |reason: &str| {
            json!({
                "conditions": [{"type": "PodResizePending", "reason": reason}],
                "containerStatuses": [{"name": "a", "resources": {"requests": {"cpu": "1"}}, "allocatedResources": {"cpu": "2"}}],
            })
        };
        assert_eq!(cpu(spec.clone(), status("Deferred")), 4000);
        assert_eq!(cpu(spec.clone(), status("Infeasible")), 2000);
        let without_resources =
            json!({"containerStatuses": [{"name": "a", "allocatedResources": {"cpu": "9"}}]});
        assert_eq!(cpu(spec, without_resources), 4000);
    }

    #[test]
    fn is_rounded_up_after_the_sum() {
        let byte = json!({"name": "a", "resources": {"requests": {"memory": "500m"}}});
        let spec = json!({"containers": [byte, byte]});
        assert_eq!(request(spec, json!({})), [("memory".to_owned(), 1)]);
    }

    #[test]
    fn amounts_are_written_as_people_write_them() {
        for (resource, units, text) in [
            ("cpu", 1500, "1500m"),
            ("cpu", 2000, "2"),
            ("memory", 64 << 30, "64Gi"),
            ("memory", 1000, "1000"),
            ("memory", 1_000_000_001, "953Mi"),
            ("nvidia.com/gpu", 2048, "2048"),
        ] {
            assert_eq!(written(resource, units), text);
        }
    }

    #[test]
    fn extended_resources() {
        for (resource, is_it) in [
            ("nvidia.com/gpu", true),
            ("nvidia.com/mig-1g.5gb", true),
            ("cpu", false),
            ("hugepages-2Mi", false),
            ("kubernetes.io/x", false),
            ("node.kubernetes.io/x", false),
            ("requests.nvidia.com/gpu", false),
            ("deviceclass.resource.kubernetes.io/gpu", true),
        ] {
            assert_eq!(is_extended(resource), is_it, "{resource}");
        }
    }
}

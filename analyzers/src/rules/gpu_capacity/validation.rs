//! What makes the API server call a pod invalid, where that depends on what it asks for.

use bundle::collected::scheduling::{Container, PodSpec, Resources};

use super::requests::{
    BadQuantity, amounts, is_extended, is_pod_level, of_containers, thousandths,
};

/// Why the API server finds a pod invalid, where that depends on resources or tolerations.
pub(super) fn invalid(spec: &PodSpec) -> Result<Option<String>, BadQuantity> {
    let containers = [
        ("spec.containers", &spec.containers),
        ("spec.initContainers", &spec.init_containers),
    ];
    if spec.containers.is_empty() {
        return Ok(Some("spec.containers: Required value".to_owned()));
    }
    for (field, containers) in containers {
        for Container {
            name, resources, ..
        } in containers
        {
            let field = format!("{field}[{name}].resources");
            if let Some(reason) = invalid_resources(&field, resources, is_of_container)? {
                return Ok(Some(reason));
            }
        }
    }
    if let Some(of_pod) = &spec.resources {
        if let Some(reason) = invalid_resources("spec.resources", of_pod, is_pod_level)? {
            return Ok(Some(reason));
        }
        let sum = of_containers(spec, |container, _| amounts(&container.resources.requests))?;
        for (name, request) in &of_pod.requests {
            if sum.get(name.as_str()).copied().unwrap_or(0) > thousandths(name, request)? {
                return Ok(Some(format!(
                    "spec.resources.requests[{name}]: Invalid value: {:?}: must be greater than or equal to aggregate container requests",
                    request.0
                )));
            }
        }
        for container in &spec.containers {
            for (name, limit) in &container.resources.limits {
                if let Some(most) = of_pod.limits.get(name)
                    && thousandths(name, limit)? > thousandths(name, most)?
                {
                    return Ok(Some(format!(
                        "spec.containers[{}].resources.limits[{name}]: Invalid value: {:?}: must be less than or equal to pod limits of {}",
                        container.name, limit.0, most.0
                    )));
                }
            }
        }
    }
    let unknown = spec
        .tolerations
        .iter()
        .find(|it| !matches!(it.operator.as_str(), "" | "Equal" | "Exists"));
    Ok(unknown.map(|it| {
        format!(
            "spec.tolerations: Unsupported value: {:?}: supported values: \"Equal\", \"Exists\"",
            it.operator
        )
    }))
}

fn is_of_container(name: &str) -> bool {
    name.contains('/') || is_pod_level(name) || name == "ephemeral-storage"
}

fn invalid_resources(
    field: &str,
    resources: &Resources,
    is_known: fn(&str) -> bool,
) -> Result<Option<String>, BadQuantity> {
    for (part, list) in [
        ("limits", &resources.limits),
        ("requests", &resources.requests),
    ] {
        for (name, amount) in list {
            let value = format!("{field}.{part}[{name}]: Invalid value: {:?}", amount.0);
            if !is_known(name) {
                return Ok(Some(format!("{value}: must be a standard resource")));
            }
            let amount = thousandths(name, amount)?;
            if amount < 0 {
                return Ok(Some(format!("{value}: must be greater than or equal to 0")));
            }
            if is_extended(name) && amount % 1000 != 0 {
                return Ok(Some(format!("{value}: must be an integer")));
            }
        }
    }
    for (name, request) in &resources.requests {
        let may_differ = !name.contains('/') && !name.starts_with("hugepages-");
        let value = format!("{field}.requests[{name}]: Invalid value: {:?}", request.0);
        let Some(limit) = resources.limits.get(name) else {
            if may_differ {
                continue;
            }
            return Ok(Some(format!(
                "{field}.limits[{name}]: Required value: Limit must be set for non overcommitable resources"
            )));
        };
        let (request, most) = (thousandths(name, request)?, thousandths(name, limit)?);
        if !may_differ && request != most {
            return Ok(Some(format!(
                "{value}: must be equal to {name} limit of {}",
                limit.0
            )));
        }
        if request > most {
            return Ok(Some(format!(
                "{value}: must be less than or equal to {name} limit of {}",
                limit.0
            )));
        }
    }
    Ok(None)
}

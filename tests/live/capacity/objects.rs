//! Devices, claims and volumes of random cases.

use serde_json::{Value, json};

use super::random::{Case, Random};

pub(super) const DEVICES: &str = "/apis/resource.k8s.io/v1";
pub(super) const DRIVER: &str = "gpu.example.com";
/// An extended resource that a device class serves, and that no node lists.
pub(super) const MAPPED: &str = "example.com/mapped";

/// Devices on some nodes, some of them taken, and a pod that claims some.
pub(super) fn devices(random: &mut Random, case: &mut Case) {
    let slices = format!("{DEVICES}/resourceslices");
    for node in &case.nodes {
        let node = node["metadata"]["name"].as_str().expect("a name");
        let devices: Vec<Value> = (0..random.below(5))
            .map(|index| {
                let mut device = json!({
                    "name": format!("gpu-{index}"),
                    "attributes": {"type": {"string": random.one_of(&["gpu", "gpu", "gpu", "mig"])}},
                    "capacity": {"memory": {"value": random.one_of(&["16Gi", "40Gi", "80Gi"])}},
                });
                if random.percent(15) {
                    device["taints"] = json!([{"key": "example.com/sick", "effect": "NoSchedule"}]);
                }
                device
            })
            .collect();
        // A pool that is not complete, or of an older generation, does not count.
        let (generation, count) = random.one_of(&[(1, 1), (1, 1), (1, 1), (1, 1), (1, 2), (0, 1)]);
        let slice = |name: &str, generation: i64, devices: &[Value]| {
            json!({
                "metadata": {"name": format!("{node}-{name}")},
                "spec": {
                    "driver": DRIVER, "nodeName": node, "devices": devices,
                    "pool": {"name": node, "generation": generation, "resourceSliceCount": count},
                },
            })
        };
        case.objects
            .push((slices.clone(), slice("a", generation, &devices), None));
        if generation == 0 {
            case.objects.push((
                slices.clone(),
                slice("b", 1, &devices[..devices.len() / 2]),
                None,
            ));
        }
        if !devices.is_empty() && random.percent(40) {
            let claim = json!({
                "metadata": {"name": format!("{node}-taken")},
                "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "capacity-gpu"}}]}},
            });
            let status = json!({"allocation": {"devices": {"results": [
                {"request": "gpu", "driver": DRIVER, "pool": node, "device": "gpu-0"},
            ]}}});
            let claims = format!("{DEVICES}/namespaces/{}/resourceclaims", case.namespace);
            case.objects.push((claims, claim, Some(status)));
        }
    }
    if random.percent(40) {
        case.template["spec"]["containers"][0]["resources"]["limits"][MAPPED] =
            json!(random.one_of(&["1", "2"]));
        return;
    }
    let memory = format!("device.capacity[\"{DRIVER}\"].memory.compareTo(quantity(\"40Gi\")) >= 0");
    let mut request = json!({"deviceClassName": "capacity-gpu"});
    match random.below(4) {
        0 => request["count"] = json!(2),
        1 => request["selectors"] = json!([{"cel": {"expression": memory}}]),
        2 => request["allocationMode"] = json!("All"),
        _ => request["tolerations"] = json!([{"key": "example.com/sick", "operator": "Exists"}]),
    }
    let class = random.one_of(&[
        "capacity-gpu",
        "capacity-gpu",
        "capacity-gpu",
        "capacity-missing",
    ]);
    request["deviceClassName"] = json!(class);
    let name = format!("{}-claim", case.name);
    let template = json!({
        "metadata": {"name": name},
        "spec": {"spec": {"devices": {"requests": [{"name": "gpu", "exactly": request}]}}},
    });
    let templates = format!(
        "{DEVICES}/namespaces/{}/resourceclaimtemplates",
        case.namespace
    );
    case.objects.push((templates, template, None));
    case.template["spec"]["resourceClaims"] =
        json!([{"name": "gpu", "resourceClaimTemplateName": name}]);
    case.template["spec"]["containers"][0]["resources"]["claims"] = json!([{"name": "gpu"}]);
}

/// A volume that can be reached from some nodes only, bound to a claim.
pub(super) fn volume(random: &mut Random, case: &mut Case) {
    let name = format!("{}-volume", case.name);
    let zone = random.one_of(&["a", "b"]);
    let volume = json!({
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"], "hostPath": {"path": "/x"},
            "storageClassName": "none", "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": case.namespace, "name": name},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]},
            ]}},
        },
    });
    let claim = json!({
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteMany"], "storageClassName": "none", "volumeName": name,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    });
    case.objects
        .push(("/api/v1/persistentvolumes".to_owned(), volume, None));
    let claims = format!(
        "/api/v1/namespaces/{}/persistentvolumeclaims",
        case.namespace
    );
    case.objects.push((claims, claim, None));
    case.template["spec"]["volumes"] =
        json!([{"name": "v", "persistentVolumeClaim": {"claimName": name}}]);
}

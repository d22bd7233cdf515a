//! Random clusters and requests, from a seed.

use serde_json::{Value, json};

use super::objects::{DEVICES, DRIVER, MAPPED, devices, volume};

/// A generator of numbers (splitmix64): the same seed gives the same clusters everywhere.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below a bound.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("a small bound");
        usize::try_from(self.next() % bound).expect("a small number")
    }

    /// True in so many of a hundred.
    pub(super) fn percent(&mut self, of_hundred: usize) -> bool {
        self.below(100) < of_hundred
    }

    pub(super) fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }
}

/// A cluster within the cluster: nodes of its own, and pods that can only go there.
pub(super) struct Case {
    /// `c17`: the value of the label `cluster` of its nodes.
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) nodes: Vec<Value>,
    /// Pods that are there, with the status that they get afterwards.
    pub(super) pods: Vec<(Value, Option<Value>)>,
    /// Pods that are deleted, and stay because nobody ends them.
    pub(super) terminating: Vec<String>,
    /// Quotas and limit ranges of the namespace: their plural, and the object.
    pub(super) rules: Vec<(&'static str, Value)>,
    /// Devices, claims, volumes: the collection, the object, and the status that it gets afterwards.
    pub(super) objects: Vec<(String, Value, Option<Value>)>,
    pub(super) replicas: usize,
    pub(super) template: Value,
    /// What in it is not simulated.
    pub(super) foreign: Option<&'static str>,
    /// Whether the pods may evict others: then counts settle later.
    pub(super) evicts: bool,
}

impl Case {
    /// Whether its namespace is its own.
    pub(super) fn has_namespace(&self) -> bool {
        self.namespace.ends_with(&format!("-{}", self.name))
    }
}

/// Priority, runtime and device classes that all cases share.
pub(super) fn classes() -> Vec<(String, Value)> {
    let priority = |name: &str, value: i64, policy: &str| json!({"metadata": {"name": name}, "value": value, "preemptionPolicy": policy});
    let priorities = || "/apis/scheduling.k8s.io/v1/priorityclasses".to_owned();
    let runtimes = || "/apis/node.k8s.io/v1/runtimeclasses".to_owned();
    let devices = format!("{DEVICES}/deviceclasses");
    let device =
        format!("device.driver == \"{DRIVER}\" && device.attributes[\"{DRIVER}\"].type == \"gpu\"");
    vec![
        (
            devices,
            json!({
                "metadata": {"name": "capacity-gpu"},
                "spec": {"selectors": [{"cel": {"expression": device}}], "extendedResourceName": MAPPED},
            }),
        ),
        (
            priorities(),
            priority("capacity-low", -100, "PreemptLowerPriority"),
        ),
        (
            priorities(),
            priority("capacity-high", 1000, "PreemptLowerPriority"),
        ),
        (priorities(), priority("capacity-polite", 1000, "Never")),
        (
            runtimes(),
            json!({
                "metadata": {"name": "capacity-heavy"}, "handler": "heavy",
                "overhead": {"podFixed": {"cpu": "250m", "memory": "128Mi"}},
            }),
        ),
        (
            runtimes(),
            json!({
                "metadata": {"name": "capacity-placed"}, "handler": "placed",
                "scheduling": {
                    "nodeSelector": {"zone": "a"},
                    "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
                },
            }),
        ),
    ]
}

const EXTENDED: [&str; 3] = [
    "nvidia.com/gpu",
    "nvidia.com/mig-1g.5gb",
    "example.com/fpga",
];

/// Features that are not simulated, one in ten cases has one.
const FOREIGN: [&str; 6] = [
    "topologySpread",
    "podAffinity",
    "podAntiAffinity",
    "scheduler",
    "queue",
    "claim",
];

/// The case of this number.
pub(super) fn case(number: usize, shared_namespace: &str) -> Case {
    let mut random =
        Random::new(u64::try_from(number).expect("a small number") * 7919 + 20_261_120);
    let name = format!("c{number}");
    let has_rules = random.percent(20);
    let foreign = (number % 10 == 9).then(|| FOREIGN[(number / 10) % FOREIGN.len()]);
    let namespace = if has_rules {
        format!("capacity-{name}")
    } else {
        shared_namespace.to_owned()
    };
    let nodes: Vec<Value> = (0..=random.below(5))
        .map(|index| node(&mut random, &name, index))
        .collect();
    let mut case = Case {
        namespace,
        pods: Vec::new(),
        terminating: Vec::new(),
        rules: Vec::new(),
        objects: Vec::new(),
        replicas: 1 + random.below(6),
        template: Value::Null,
        foreign,
        evicts: false,
        nodes,
        name,
    };
    for index in 0..random.below(3 * case.nodes.len() + 1) {
        existing(&mut random, &mut case, index, has_rules);
    }
    case.template = template(&mut random, &case);
    match random.below(100) {
        0..12 => devices(&mut random, &mut case),
        12..16 => volume(&mut random, &mut case),
        _ => {}
    }
    if has_rules {
        case.rules = rules(&mut random);
    }
    if let Some(feature) = foreign {
        add_foreign(&mut case.template, feature);
    }
    let has_victims = case
        .pods
        .iter()
        .any(|(pod, _)| pod["spec"]["priorityClassName"].is_string());
    case.evicts = has_victims || case.template["spec"]["priorityClassName"].is_string();
    case
}

fn node(random: &mut Random, cluster: &str, index: usize) -> Value {
    let mut amounts = json!({
        "cpu": random.one_of(&["0", "2", "3500m", "8", "16", "32"]),
        "memory": random.one_of(&["1Gi", "4000Mi", "16000000Ki", "32Gi", "64Gi"]),
        "ephemeral-storage": random.one_of(&["10Gi", "100G", "100G", "200Gi"]),
        "pods": random.one_of(&["3", "5", "110", "110", "110"]),
    });
    for resource in EXTENDED {
        if random.percent(if resource == EXTENDED[0] { 85 } else { 40 }) {
            amounts[resource] = json!(random.one_of(&["0", "1", "2", "4", "8", "8"]));
        }
    }
    if random.percent(5) {
        amounts.as_object_mut().expect("amounts").remove("pods");
    }
    let mut capacity = amounts.clone();
    if random.percent(20) {
        capacity[EXTENDED[0]] = json!("8");
    }
    let mut labels = json!({
        "cluster": cluster,
        "zone": random.one_of(&["a", "b"]),
        "nvidia.com/gpu.memory": random.one_of(&["16384", "40960", "81920", "40GB"]),
    });
    if random.percent(60) {
        labels["nvidia.com/gpu.product"] = json!(random.one_of(&["A100", "H100", "T4-SHARED"]));
    }
    let mut taints = Vec::new();
    for (key, value, effect, of_hundred) in [
        ("nvidia.com/gpu", "present", "NoSchedule", 20),
        ("dedicated", "ml", "NoSchedule", 7),
        ("dedicated", "db", "NoExecute", 4),
        ("slow", "", "PreferNoSchedule", 15),
    ] {
        if random.percent(of_hundred) {
            taints.push(json!({"key": key, "value": value, "effect": effect}));
        }
    }
    // The node controller taints it with NoSchedule; with NoExecute it comes and goes, which every pod tolerates.
    let is_ready = !random.percent(7);
    let mut status = json!({
        "capacity": capacity,
        "allocatable": amounts,
        "conditions": [{"type": "Ready", "status": if is_ready { "True" } else { "False" }}],
    });
    if random.percent(10) {
        // The API server fills it in.
        status
            .as_object_mut()
            .expect("a status")
            .remove("allocatable");
    }
    json!({
        "metadata": {"name": format!("capacity-{cluster}-{index}"), "labels": labels},
        "spec": {"taints": taints, "unschedulable": random.percent(6)},
        "status": status,
    })
}

/// Amounts for a container; extended resources as limits, as they have to be.
fn resources(random: &mut Random, of_hundred: usize) -> Value {
    let mut requests = json!({});
    let mut limits = json!({});
    for (resource, amounts) in [
        ("cpu", ["100m", "500m", "1", "1.5", "2"]),
        ("memory", ["100Mi", "1Gi", "1500M", "0", "2Gi"]),
        ("ephemeral-storage", ["1Gi", "5G", "1", "100m", "9Gi"]),
    ] {
        if random.percent(of_hundred) {
            let amount = json!(random.one_of(&amounts));
            match random.below(4) {
                0 => limits[resource] = amount,
                1 => {
                    limits[resource] = json!(if resource == "cpu" { "4" } else { "20Gi" });
                    requests[resource] = amount;
                }
                _ => requests[resource] = amount,
            }
        }
    }
    for resource in EXTENDED {
        if random.percent(if resource == EXTENDED[0] {
            of_hundred * 2 / 3
        } else {
            5
        }) {
            limits[resource] = json!(random.one_of(&["1", "1", "2", "3", "0"]));
        }
    }
    json!({"requests": requests, "limits": limits})
}

fn containers(random: &mut Random, spec: &mut Value) {
    let mut containers = Vec::new();
    for index in 0..=random.below(2) {
        let resources = resources(random, 60);
        containers.push(json!({"name": format!("main{index}"), "image": "example.org/x:1", "resources": resources}));
    }
    spec["containers"] = json!(containers);
    let mut starting = Vec::new();
    if random.percent(25) {
        for index in 0..=random.below(2) {
            let mut container = json!({"name": format!("init{index}"), "image": "example.org/x:1", "resources": resources(random, 50)});
            if random.percent(50) {
                container["restartPolicy"] = json!("Always");
            }
            starting.push(container);
        }
    }
    if !starting.is_empty() {
        spec["initContainers"] = json!(starting);
    }
    if random.percent(10) {
        spec["resources"] = random.one_of(&[
            json!({"requests": {"cpu": "8"}}),
            json!({"limits": {"cpu": "6", "memory": "100Gi"}}),
            json!({"requests": {"memory": "20Gi"}, "limits": {"memory": "200Gi"}}),
            json!({"requests": {"cpu": "100m"}}),
        ]);
    }
    if random.percent(8) {
        spec["runtimeClassName"] = json!("capacity-heavy");
    }
}

/// A pod that is there already.
fn existing(random: &mut Random, case: &mut Case, index: usize, has_rules: bool) {
    let node = case.nodes[random.below(case.nodes.len())]["metadata"]["name"].clone();
    let name = format!("{}-there-{index}", case.name);
    let mut spec = json!({
        "nodeName": node,
        "terminationGracePeriodSeconds": 0,
        "tolerations": [{"operator": "Exists"}],
    });
    containers(random, &mut spec);
    // What it asks for as a whole may be too little for its containers.
    spec.as_object_mut().expect("a spec").remove("resources");
    if random.percent(10) {
        spec["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 8080}]);
    }
    // Where a quota counts, what is evicted would be given back while others come.
    if !has_rules && random.percent(15) {
        spec["priorityClassName"] = json!("capacity-low");
    }
    let mut status = None;
    if random.percent(15) {
        status = Some(json!({"phase": random.one_of(&["Succeeded", "Failed"])}));
    } else if random.percent(12) {
        let resize = random.one_of(&["Infeasible", "Deferred"]);
        status = Some(json!({
            "phase": "Running",
            "conditions": [{"type": "PodResizePending", "status": "True", "reason": resize}],
            "containerStatuses": [{
                "name": "main0", "image": "x", "imageID": "x", "ready": true, "restartCount": 0,
                "resources": {"requests": {"cpu": random.one_of(&["100m", "3"])}},
                "allocatedResources": {"cpu": random.one_of(&["200m", "2"])},
            }],
        }));
    } else if random.percent(8) && spec["priorityClassName"].is_null() {
        spec["terminationGracePeriodSeconds"] = json!(3600);
        case.terminating.push(name.clone());
    }
    let pod = json!({"metadata": {"name": name, "namespace": case.namespace}, "spec": spec});
    case.pods.push((pod, status));
}

fn template(random: &mut Random, case: &Case) -> Value {
    let mut spec =
        json!({"terminationGracePeriodSeconds": 0, "nodeSelector": {"cluster": case.name}});
    containers(random, &mut spec);
    if random.percent(3) {
        // Refused: it needs a limit.
        spec["containers"][0]["resources"]["requests"]["example.com/fpga"] = json!("1");
    }
    let mut tolerations = Vec::new();
    for (toleration, of_hundred) in [
        (json!({"key": "nvidia.com/gpu", "operator": "Exists"}), 45),
        (
            json!({"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}),
            20,
        ),
        (
            json!({"key": "dedicated", "operator": "Equal", "value": "ml"}),
            15,
        ),
        (json!({"operator": "Exists", "effect": "NoSchedule"}), 8),
        (json!({"operator": "Exists"}), 5),
        (
            json!({"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}),
            8,
        ),
        (
            json!({"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoSchedule"}),
            10,
        ),
    ] {
        if random.percent(of_hundred) {
            tolerations.push(toleration);
        }
    }
    spec["tolerations"] = json!(tolerations);
    if random.percent(15) {
        spec["nodeSelector"]["zone"] = json!(random.one_of(&["a", "b"]));
    }
    if random.percent(20) {
        spec["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": affinity(random, case),
        }}});
    }
    if random.percent(10) {
        spec["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 8080}]);
    } else if random.percent(5) {
        spec["hostNetwork"] = json!(true);
        spec["containers"][0]["ports"] = json!([{"containerPort": 8080}]);
    }
    if random.percent(20) {
        spec["priorityClassName"] = json!(random.one_of(&[
            "capacity-high",
            "capacity-high",
            "capacity-polite",
            "capacity-low",
            "capacity-high",
            "capacity-missing",
        ]));
    }
    if random.percent(8) {
        spec["runtimeClassName"] =
            json!(random.one_of(&["capacity-placed", "capacity-placed", "capacity-missing"]));
    }
    if random.percent(2) {
        spec["schedulingGates"] = json!([{"name": "example.com/wait"}]);
    }
    if random.percent(3) {
        spec["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "missing"}}]);
    }
    json!({"metadata": {"labels": {"capacity": "asked", "case": case.name}}, "spec": spec})
}

fn affinity(random: &mut Random, case: &Case) -> Value {
    let terms: Vec<Value> = (0..=random.below(2))
        .map(|_| {
            if random.percent(15) {
                let names: Vec<Value> = case.nodes.iter().take(2).map(|it| it["metadata"]["name"].clone()).collect();
                // The API server takes one name in each.
                return json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [names[random.below(names.len())]]}]});
            }
            let product = "nvidia.com/gpu.product";
            let memory = "nvidia.com/gpu.memory";
            let (key, operator, values) = random.one_of(&[
                (product, "In", json!(["A100", "H100"])),
                (product, "NotIn", json!(["T4-SHARED"])),
                (product, "Exists", json!(null)),
                (product, "DoesNotExist", json!(null)),
                (memory, "Gt", json!(["20000"])),
                (memory, "Lt", json!(["50000"])),
                ("zone", "In", json!(["b"])),
            ]);
            json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]})
        })
        .collect();
    json!(terms)
}

fn rules(random: &mut Random) -> Vec<(&'static str, Value)> {
    let mut rules = Vec::new();
    let quota = |hard: Value| {
        (
            "resourcequotas",
            json!({"metadata": {"name": "quota"}, "spec": {"hard": hard}}),
        )
    };
    match random.below(6) {
        0 => rules.push(quota(json!({"pods": random.one_of(&["2", "5", "9"])}))),
        1 => rules.push(quota(json!({"requests.nvidia.com/gpu": random.one_of(&["2", "4", "8"])}))),
        2 => rules.push(quota(json!({"requests.cpu": "4", "limits.memory": "8Gi"}))),
        3 => rules.push((
            "resourcequotas",
            json!({"metadata": {"name": "quota"}, "spec": {
                "hard": {"count/pods": "4"},
                "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["capacity-high"]}]},
            }}),
        )),
        _ => {}
    }
    let limits = random.one_of(&[
        json!(null),
        json!([{"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "200m"}}]),
        json!([{"type": "Container", "max": {"cpu": "1"}}]),
        json!([{"type": "Container", "min": {"memory": "200Mi"}, "maxLimitRequestRatio": {"cpu": "4"}}]),
        json!([{"type": "Pod", "max": {"nvidia.com/gpu": "2"}}]),
    ]);
    if !limits.is_null() {
        rules.push((
            "limitranges",
            json!({"metadata": {"name": "limits"}, "spec": {"limits": limits}}),
        ));
    }
    rules
}

fn add_foreign(template: &mut Value, feature: &str) {
    let own = json!({"labelSelector": {"matchLabels": template["metadata"]["labels"]}, "topologyKey": "zone"});
    let spec = &mut template["spec"];
    match feature {
        "topologySpread" => {
            let mut constraint = own;
            constraint["maxSkew"] = json!(1);
            constraint["whenUnsatisfiable"] = json!("DoNotSchedule");
            spec["topologySpreadConstraints"] = json!([constraint]);
        }
        "podAffinity" | "podAntiAffinity" => {
            spec["affinity"][feature] =
                json!({"requiredDuringSchedulingIgnoredDuringExecution": [own]});
        }
        "scheduler" => spec["schedulerName"] = json!("volcano"),
        "queue" => template["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = json!("gpu"),
        _ => {
            let claim = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
            let ephemeral = json!({"volumeClaimTemplate": {"spec": claim}});
            spec["volumes"] = json!([{"name": "scratch", "ephemeral": ephemeral}]);
        }
    }
}

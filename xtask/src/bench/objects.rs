//! Generated Kubernetes objects: a cluster of many small services, as an API server stores them.

use serde_json::{Map, Value, json};

use super::random::Random;

/// The services that every namespace runs.
pub(super) const APPS: &[&str] = &[
    "auth",
    "billing",
    "catalog",
    "gateway",
    "inventory",
    "mailer",
    "orders",
    "reports",
    "search",
    "worker",
];

/// What a generated cluster holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) pods: usize,
    pub(super) nodes: usize,
    pub(super) namespaces: usize,
}

impl Size {
    /// The cluster of the budgets, cut down to this many pods with the same proportions.
    pub(super) fn with_pods(pods: usize) -> Self {
        Self {
            pods,
            nodes: (pods / 10).max(1),
            namespaces: (pods / 100).clamp(2, 100),
        }
    }

    /// Names of the namespaces.
    pub(super) fn namespaces(self) -> impl Iterator<Item = String> {
        (0..self.namespaces).map(|i| format!("team-{i:03}"))
    }

    /// How many pods the namespace with this number has.
    pub(super) fn pods_of(self, namespace: usize) -> usize {
        self.pods / self.namespaces + usize::from(namespace < self.pods % self.namespaces)
    }
}

/// Name of the node with this number.
pub(super) fn node_name(i: usize) -> String {
    format!("node-{i:04}")
}

/// A node as a kwok cluster takes it: labels, capacity, conditions.
pub(super) fn node(random: &mut Random, i: usize) -> Value {
    let name = node_name(i);
    let images: Vec<Value> = APPS
        .iter()
        .map(|app| {
            json!({
                "names": [
                    format!("registry.example.test/{app}@sha256:{}", random.hex(64)),
                    format!("registry.example.test/{app}:4.{}", i % 9),
                ],
                "sizeBytes": 10_000_000 + random.below(1_000_000_000),
            })
        })
        .collect();
    let condition = |kind: &str, status: &str, reason: &str, random: &mut Random| {
        json!({
            "type": kind, "status": status, "reason": reason,
            "message": "kubelet reports this condition",
            "lastHeartbeatTime": random.time(), "lastTransitionTime": random.time(),
        })
    };
    let ready = i % 97 != 5;
    let conditions = [
        condition(
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            random,
        ),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure", random),
        condition("PIDPressure", "False", "KubeletHasSufficientPID", random),
        if ready {
            condition("Ready", "True", "KubeletReady", random)
        } else {
            condition("Ready", "False", "KubeletNotReady", random)
        },
    ];
    let cpus = 4 + 4 * (i % 4);
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": random.uid(),
            "creationTimestamp": random.time(),
            "labels": {
                "kubernetes.io/arch": if i.is_multiple_of(10) { "arm64" } else { "amd64" },
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "node.kubernetes.io/instance-type": format!("m{}.xlarge", 4 + i % 4),
                "topology.kubernetes.io/zone": format!("zone-{}", i % 3),
                "type": "kwok",
            },
        },
        "spec": {
            "podCIDR": format!("10.{}.{}.0/24", i / 250, i % 250),
            "providerID": format!("aws:///eu-west-1a/i-{}", random.hex(17)),
        },
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": format!("172.16.{}.{}", i / 250, i % 250)},
                {"type": "Hostname", "address": name},
            ],
            "capacity": {
                "cpu": cpus.to_string(), "memory": format!("{}Gi", 4 * cpus),
                "ephemeral-storage": "104845292Ki", "pods": "110",
            },
            "allocatable": {
                "cpu": format!("{}m", 1000 * cpus - 80), "memory": format!("{}Mi", 4096 * cpus - 700),
                "ephemeral-storage": "95551679124", "pods": "110",
            },
            "conditions": conditions,
            "images": images,
            "nodeInfo": {
                "architecture": if i.is_multiple_of(10) { "arm64" } else { "amd64" },
                "bootID": random.uid(), "machineID": random.hex(32), "systemUUID": random.uid(),
                "containerRuntimeVersion": "containerd://2.1.4", "kernelVersion": "6.1.0-40-amd64",
                "kubeProxyVersion": "v1.36.3", "kubeletVersion": "v1.36.3",
                "operatingSystem": "linux", "osImage": "Debian GNU/Linux 12 (bookworm)",
            },
        },
    })
}

/// A pod as it is created: two containers, environment with credentials, probes, volumes; bound to a node.
pub(super) fn pod(random: &mut Random, namespace: &str, i: usize, nodes: usize) -> Value {
    let app = APPS[i % APPS.len()];
    let set = format!("{app}-{}", random.hex(9));
    let containers = [
        container(random, app, app, namespace, i),
        container(random, "proxy", app, namespace, i),
    ];
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("{set}-{}", random.hex(5)),
            "namespace": namespace,
            "labels": {
                "app": app,
                "app.kubernetes.io/instance": format!("{app}-{namespace}"),
                "app.kubernetes.io/name": app,
                "pod-template-hash": random.hex(9),
                "tier": if i.is_multiple_of(2) { "back" } else { "front" },
            },
            "annotations": {
                "checksum/config": random.hex(64),
                "prometheus.io/port": "9090",
                "prometheus.io/scrape": "true",
            },
        },
        "spec": {
            "automountServiceAccountToken": false,
            "containers": containers,
            "nodeName": node_name(i * 7 % nodes),
            "restartPolicy": "Always",
            "securityContext": {"fsGroup": 1000},
            "terminationGracePeriodSeconds": 30,
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            ],
            "volumes": [
                {"name": "config", "configMap": {"name": format!("{app}-config"), "defaultMode": 420}},
                {"name": "tmp", "emptyDir": {}},
            ],
        },
    })
}

fn container(random: &mut Random, name: &str, app: &str, namespace: &str, i: usize) -> Value {
    let mut environment: Vec<Value> = (0..14)
        .map(|j| json!({"name": format!("FEATURE_{j:02}"), "value": format!("{app}-feature-{j}-{}", i % 3)}))
        .collect();
    environment.extend([
        json!({"name": "DATABASE_URL", "value": format!("postgresql://{app}:{}@pg.{namespace}.svc:5432/{app}", random.word(16))}),
        json!({"name": "DB_PASSWORD", "value": random.word(20)}),
        json!({"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": format!("{app}-api"), "key": "token"}}}),
        json!({"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}),
    ]);
    let probe = |path: &str| {
        json!({
            "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
            "initialDelaySeconds": 10, "periodSeconds": 10, "timeoutSeconds": 1,
            "successThreshold": 1, "failureThreshold": 3,
        })
    };
    // Ports of the two containers may not have the same names.
    let ports = if name == app {
        json!([
            {"name": "http", "containerPort": 8080, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 9090, "protocol": "TCP"},
        ])
    } else {
        json!([{"name": "proxy", "containerPort": 15001, "protocol": "TCP"}])
    };
    json!({
        "name": name,
        "image": format!("registry.example.test/shop/{app}:4.{}.{}", i % 12, i % 7),
        "imagePullPolicy": "IfNotPresent",
        "command": [format!("/usr/local/bin/{name}")],
        "args": ["--listen=:8080", "--log-format=json", format!("--shard={}", i % 16), "--config=/etc/app/config.yaml"],
        "env": environment,
        "ports": ports,
        "livenessProbe": probe("/live"),
        "readinessProbe": probe("/ready"),
        "resources": {
            "limits": {"cpu": "1", "memory": "512Mi"},
            "requests": {"cpu": "100m", "memory": "128Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/app"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    })
}

/// Adds what an API server and a kubelet add: owner, managed fields, status. Some pods crash, wait or have failed.
pub(super) fn observe(random: &mut Random, pod: &mut Value, i: usize) {
    let app = APPS[i % APPS.len()];
    let crashes = i % 53 == 7;
    let phase = if i % 101 == 3 {
        "Pending"
    } else if i % 211 == 4 {
        "Failed"
    } else {
        "Running"
    };
    let metadata = &mut pod["metadata"];
    metadata["uid"] = json!(random.uid());
    metadata["resourceVersion"] = json!((100_000 + i).to_string());
    metadata["creationTimestamp"] = json!(random.time());
    metadata["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{app}-{}", random.hex(9)),
        "uid": random.uid(), "controller": true, "blockOwnerDeletion": true,
    }]);
    metadata["managedFields"] = json!(
        ["kube-controller-manager", "kubelet"].map(|manager| managed_fields(random, manager, app))
    );
    let statuses =
        [app, "proxy"].map(|name| container_status(random, name, app, crashes, phase, i));
    let conditions: Vec<Value> = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
        .iter()
        .map(|kind| {
            let status = if crashes && kind.ends_with("Ready") { "False" } else { "True" };
            json!({"type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": random.time()})
        })
        .collect();
    let address = format!("10.1.{}.{}", i / 250 % 250, i % 250);
    pod["status"] = json!({
        "phase": phase,
        "conditions": conditions,
        "containerStatuses": statuses,
        "hostIP": format!("172.16.0.{}", i % 250),
        "podIP": address,
        "podIPs": [{"ip": address}],
        "qosClass": "Burstable",
        "startTime": random.time(),
    });
}

fn managed_fields(random: &mut Random, manager: &str, app: &str) -> Value {
    let mut environment = Map::new();
    for j in 0..14 {
        environment.insert(
            format!("k:{{\"name\":\"FEATURE_{j:02}\"}}"),
            json!({".": {}, "f:name": {}, "f:value": {}}),
        );
    }
    let mut containers = Map::new();
    containers.insert(
        format!("k:{{\"name\":\"{app}\"}}"),
        json!({".": {}, "f:args": {}, "f:command": {}, "f:env": environment, "f:image": {}, "f:resources": {".": {}, "f:limits": {".": {}, "f:cpu": {}, "f:memory": {}}}}),
    );
    json!({
        "manager": manager,
        "operation": "Update",
        "apiVersion": "v1",
        "time": random.time(),
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:metadata": {"f:annotations": {".": {}, "f:checksum/config": {}}, "f:labels": {".": {}, "f:app": {}, "f:pod-template-hash": {}}},
            "f:spec": {"f:containers": containers, "f:dnsPolicy": {}, "f:restartPolicy": {}, "f:volumes": {".": {}}},
        },
    })
}

fn container_status(
    random: &mut Random,
    name: &str,
    app: &str,
    crashes: bool,
    phase: &str,
    i: usize,
) -> Value {
    let image = format!("registry.example.test/shop/{app}");
    let (state, last) = if crashes {
        (
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": format!("back-off 5m0s restarting failed container={name}")}}),
            json!({"terminated": {
                "exitCode": 137, "reason": "OOMKilled", "startedAt": random.time(), "finishedAt": random.time(),
                "containerID": format!("containerd://{}", random.hex(64)),
            }}),
        )
    } else {
        (json!({"running": {"startedAt": random.time()}}), json!({}))
    };
    json!({
        "name": name,
        "containerID": format!("containerd://{}", random.hex(64)),
        "image": format!("{image}:4.{}.{}", i % 12, i % 7),
        "imageID": format!("{image}@sha256:{}", random.hex(64)),
        "lastState": last,
        "ready": !crashes && phase == "Running",
        "restartCount": if crashes { 41 } else { i % 3 },
        "started": true,
        "state": state,
    })
}

/// A Deployment of one of the services, or any other object that has replicas.
pub(super) fn workload(
    random: &mut Random,
    kind: &str,
    namespace: &str,
    name: &str,
    replicas: usize,
    ready: usize,
) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {
            "name": name, "namespace": namespace, "uid": random.uid(), "generation": 3,
            "creationTimestamp": random.time(), "labels": {"app": name},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": name, "image": format!("registry.example.test/shop/{name}")}]},
            },
        },
        "status": {
            "observedGeneration": 3, "replicas": replicas, "updatedReplicas": replicas,
            "readyReplicas": ready, "availableReplicas": ready,
        },
    })
}

/// A `ConfigMap` with a password in the text of a file, as many have.
pub(super) fn config_map(random: &mut Random, namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": {
            "config.yaml": format!("listen: 8080\nlog: json\ndatabase:\n  host: pg.{namespace}.svc\n  password: {}\n", random.word(18)),
            "level": "info",
        },
    })
}

/// An event of a pod that is not there any more, as most are.
pub(super) fn event(random: &mut Random, namespace: &str, i: usize) -> Value {
    let (reason, message) = [
        ("BackOff", "Back-off restarting failed container"),
        ("Pulled", "Successfully pulled image"),
        (
            "FailedScheduling",
            "0/1000 nodes are available: insufficient cpu",
        ),
        (
            "Unhealthy",
            "Readiness probe failed: HTTP probe failed with statuscode: 503",
        ),
    ][i % 4];
    let pod = format!("{}-{}-{}", random.of(APPS), random.hex(9), random.hex(5));
    json!({
        "metadata": {
            "name": format!("{pod}.{}", random.hex(16)), "namespace": namespace, "uid": random.uid(),
            "creationTimestamp": random.time(),
        },
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": pod},
        "reason": reason,
        "message": message,
        "type": if reason == "Pulled" { "Normal" } else { "Warning" },
        "count": i + 1,
        "source": {"component": "kubelet"},
        "firstTimestamp": random.time(),
        "lastTimestamp": random.time(),
    })
}

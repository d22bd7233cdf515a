//! A support bundle of the whole cluster: what is in it, and what it costs the API server.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::fixture::{Bundle, Cluster};

const SPEC: &str = "
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: collect}
spec:
  collectors:
  - clusterInfo: {}
  - clusterResources: {}
";

const WORKLOAD: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {level: info}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeName: kwok-0
  containers:
  - {name: main, image: example.org/web:1}
";

#[test]
fn a_bundle_opens_with_any_tar_and_has_the_layout_people_know() {
    let cluster = Cluster::new("collect-layout");
    cluster.apply(WORKLOAD);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    cluster.write("spec.yaml", SPEC);
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run()
        .expect_code(0);
    let bundle = cluster.bundle();
    assert!(bundle.text("version.yaml").contains("SupportBundle"));
    let version = bundle.json("cluster-info/cluster_version.json");
    assert_eq!(version["string"], "v1.36.3");
    let pods = bundle.json("cluster-resources/pods/collect-layout.json");
    assert_eq!(pods["kind"], "PodList");
    assert_eq!(pods["items"][0]["kind"], "Pod");
    assert_eq!(pods["items"][0]["apiVersion"], "v1");
    assert_eq!(pods["items"][0]["metadata"]["name"], "web");
    assert!(pods["items"][0]["metadata"]["managedFields"].is_null());
    assert!(
        bundle
            .text("cluster-resources/configmaps/collect-layout.json")
            .contains("settings")
    );
    for file in [
        "cluster-resources/nodes.json",
        "cluster-resources/namespaces.json",
        "cluster-resources/custom-resource-definitions.json",
        "cluster-resources/groups.json",
        "cluster-resources/resources.json",
        "cluster-resources/deployments/collect-layout.json",
    ] {
        assert!(
            bundle.has(file),
            "{file} is not among {:#?}",
            bundle.paths()
        );
    }
}

#[test]
fn an_administrators_bundle_costs_few_requests_and_reads_no_secrets() {
    let cluster = Cluster::new("collect-requests");
    // As many as the budgets' cluster has: the count may not grow with them.
    cluster.apply(&(0..100).fold(String::new(), |manifests, i| {
        manifests
            + &format!(
                "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: collect-requests-{i:02}}}\n"
            )
    }));
    let kubeconfig = cluster.administrator("collector");
    cluster.write("spec.yaml", SPEC);
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .kubeconfig(&kubeconfig)
        .run()
        .expect_code(0);
    let bundle = cluster.bundle();
    for n in 0..100 {
        let file = format!("cluster-resources/pods/collect-requests-{n:02}.json");
        assert!(bundle.has(&file), "{file}");
    }
    let requests = cluster.requests("collector");
    assert!(!requests.is_empty());
    assert!(requests.len() <= 150, "{} requests", requests.len());
    let all_secrets: Vec<_> = requests
        .iter()
        .filter(|(verb, uri, _)| {
            verb == "list" && uri.contains("/secrets") && !uri.contains("Selector=")
        })
        .collect();
    assert!(all_secrets.is_empty(), "{all_secrets:?}");
    let writes: Vec<_> = requests
        .iter()
        .filter(|(verb, uri, _)| {
            !matches!(verb.as_str(), "get" | "list" | "watch")
                && !uri.contains("authorization.k8s.io")
        })
        .collect();
    assert!(writes.is_empty(), "{writes:?}");
}

/// One object of each kind, where Kubernetes makes none by itself. Those of the whole cluster carry names of this test.
const EVERYTHING: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: example.org/web:1}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: main, image: example.org/db:1}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {nodeSelector: {none: such}, containers: [{name: main, image: example.org/agent:1}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  suspend: true
  template:
    spec: {restartPolicy: Never, containers: [{name: main, image: example.org/once:1}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: yearly}
spec:
  schedule: '0 0 1 1 *'
  suspend: true
  jobTemplate:
    spec:
      template:
        spec: {restartPolicy: Never, containers: [{name: main, image: example.org/once:1}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: web}
subsets: [{addresses: [{ip: 192.0.2.1}], ports: [{port: 80}]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [192.0.2.1]}]
ports: [{port: 80}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed}
spec: {podSelector: {}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: quota}
spec: {hard: {services: '10'}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: limits}
spec: {limits: [{type: Pod, max: {cpu: '8'}}]}
---
apiVersion: v1
kind: Event
metadata: {name: said}
involvedObject: {kind: Namespace, name: collect-everything, namespace: collect-everything}
reason: Said
message: said by the test
type: Normal
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], storageClassName: collect-everything, resources: {requests: {storage: 1Gi}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: default}]
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: leader}
spec: {holderIdentity: web}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {level: info}
---
apiVersion: v1
kind: Secret
metadata: {name: registry}
type: kubernetes.io/dockerconfigjson
stringData:
  .dockerconfigjson: '{\"auths\": {\"registry.example.org\": {\"username\": \"robot\", \"password\": \"planted-pull-secret\"}}}'
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: collect-everything}
provisioner: example.org/none
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: collect-everything}
spec: {controller: example.org/none}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: collect-everything}
value: 1
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: collect-everything}
handler: runc
---
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: collect-everything}
---
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: collect-everything}
spec:
  driver: example.org
  nodeName: kwok-0
  pool: {name: kwok-0, generation: 1, resourceSliceCount: 1}
  devices: [{name: gpu-0}]
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: gpu}
spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: collect-everything}}]}}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: gpu}
spec: {spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: collect-everything}}]}}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: collect-everything}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: none
  csi: {driver: example.org, volumeHandle: one}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, maxReplicas: 3}
---
apiVersion: storage.k8s.io/v1
kind: VolumeAttachment
metadata: {name: collect-everything}
spec: {attacher: example.org, nodeName: kwok-0, source: {persistentVolumeName: collect-everything}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: collect-everything}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: collect-everything}
";

/// File below `cluster-resources/`, and the resource that kubectl calls it.
const NAMESPACED: [(&str, &str); 25] = [
    ("pods", "pods"),
    ("pod-disruption-budgets", "poddisruptionbudgets.policy"),
    ("services", "services"),
    ("deployments", "deployments.apps"),
    ("statefulsets", "statefulsets.apps"),
    ("daemonsets", "daemonsets.apps"),
    ("replicasets", "replicasets.apps"),
    ("jobs", "jobs.batch"),
    ("cronjobs", "cronjobs.batch"),
    ("ingress", "ingresses.networking.k8s.io"),
    ("network-policy", "networkpolicies.networking.k8s.io"),
    ("resource-quota", "resourcequotas"),
    ("limitranges", "limitranges"),
    ("events", "events"),
    ("pvcs", "persistentvolumeclaims"),
    ("roles", "roles.rbac.authorization.k8s.io"),
    ("rolebindings", "rolebindings.rbac.authorization.k8s.io"),
    ("endpoints", "endpoints"),
    ("endpointslices", "endpointslices.discovery.k8s.io"),
    ("serviceaccounts", "serviceaccounts"),
    ("leases", "leases.coordination.k8s.io"),
    ("configmaps", "configmaps"),
    ("resourceclaims", "resourceclaims.resource.k8s.io"),
    (
        "resourceclaimtemplates",
        "resourceclaimtemplates.resource.k8s.io",
    ),
    (
        "horizontalpodautoscalers",
        "horizontalpodautoscalers.autoscaling",
    ),
];

const CLUSTER_WIDE: [(&str, &str); 16] = [
    ("namespaces", "namespaces"),
    ("nodes", "nodes"),
    ("pvs", "persistentvolumes"),
    ("storage-classes", "storageclasses"),
    ("ingress-classes", "ingressclasses"),
    ("priorityclasses", "priorityclasses"),
    ("custom-resource-definitions", "customresourcedefinitions"),
    ("clusterroles", "clusterroles"),
    ("clusterrolebindings", "clusterrolebindings"),
    ("volumeattachments", "volumeattachments"),
    ("runtimeclasses", "runtimeclasses.node.k8s.io"),
    ("deviceclasses", "deviceclasses.resource.k8s.io"),
    ("resourceslices", "resourceslices.resource.k8s.io"),
    ("certificatesigningrequests", "certificatesigningrequests"),
    (
        "validating-webhook-configurations",
        "validatingwebhookconfigurations",
    ),
    (
        "mutating-webhook-configurations",
        "mutatingwebhookconfigurations",
    ),
];

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    api_version: String,
    kind: String,
    name: String,
}

fn items(list: &Value) -> BTreeSet<Item> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| Item {
            api_version: text(&item["apiVersion"]),
            kind: text(&item["kind"]),
            name: text(&item["metadata"]["name"]),
        })
        .collect()
}

/// All objects of all kinds that this test's namespace and the cluster hold, as kubectl sees them.
fn everything(cluster: &Cluster) -> BTreeSet<Item> {
    let kinds: Vec<&str> = NAMESPACED
        .iter()
        .chain(&CLUSTER_WIDE)
        .map(|(_, kind)| *kind)
        .collect();
    let text = cluster.kubectl(&["get", &kinds.join(","), "--output", "json"]);
    items(&serde_json::from_str(&text).expect("kubectl prints JSON"))
}

/// What other tests make and remove meanwhile may be in the file or not.
fn assert_lists(bundle: &Bundle, file: &str, before: &BTreeSet<Item>, after: &BTreeSet<Item>) {
    let list = bundle.json(file);
    let found = items(&list);
    let kind = list["kind"].as_str().unwrap_or_default();
    let expected: Vec<_> = before
        .intersection(after)
        .filter(|item| {
            format!("{}List", item.kind) == kind && item.api_version == list["apiVersion"]
        })
        .collect();
    assert!(!expected.is_empty(), "the test made nothing for {file}");
    for item in expected {
        assert!(found.contains(item), "{file} misses {item:?}");
    }
    for item in &found {
        assert!(
            before.contains(item) || after.contains(item),
            "{file} has {item:?}"
        );
    }
}

#[test]
fn every_kind_of_an_administrators_view_is_there_with_every_object() {
    let cluster = Cluster::new("collect-everything");
    cluster.apply(EVERYTHING);
    cluster.kubectl(&["create", "-f", &signing_request(&cluster)]);
    cluster.wait_for("deployment/web", "--for=condition=Available");
    cluster.wait_for("pod/db-0", "--for=condition=Ready");
    cluster.write("spec.yaml", SPEC);
    let before = everything(&cluster);
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run()
        .expect_code(0);
    let after = everything(&cluster);
    let bundle = cluster.bundle();
    for (place, _) in NAMESPACED {
        let file = format!("cluster-resources/{place}/collect-everything.json");
        assert_lists(&bundle, &file, &before, &after);
    }
    for (place, _) in CLUSTER_WIDE {
        let file = format!("cluster-resources/{place}.json");
        assert_lists(&bundle, &file, &before, &after);
    }
    // A namespace without any object of a kind has its file, too.
    let empty = bundle.json("cluster-resources/statefulsets/kube-public.json");
    assert_eq!(empty["kind"], "StatefulSetList");
    let registry = "cluster-resources/image-pull-secrets/collect-everything/registry.json";
    assert_eq!(bundle.json(registry)["registry.example.org"], "robot");
    assert_eq!(bundle.holding("planted-pull-secret"), [""; 0]);
    let rules = bundle.json("cluster-resources/auth-cani-list/collect-everything.json");
    assert!(rules.as_array().is_some_and(|rules| !rules.is_empty()));
    let groups = bundle.text("cluster-resources/groups.json");
    assert!(groups.contains("\"kwok.x-k8s.io\""), "{groups}");
    let errors: Vec<_> = bundle
        .paths()
        .into_iter()
        .filter(|path| path.ends_with("-errors.json"))
        .collect();
    assert_eq!(errors, [""; 0]);
}

/// A signing request as openssl makes it, in a file for kubectl.
fn signing_request(cluster: &Cluster) -> String {
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args([
            "-nodes",
            "-keyout",
            "/dev/null",
            "-subj",
            "/CN=collect-everything",
        ])
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{made:?}");
    let folder = cluster.work();
    std::fs::write(folder.join("request.pem"), made.stdout).expect("a file");
    let request = std::process::Command::new("base64")
        .args(["--wrap=0", "request.pem"])
        .current_dir(&folder)
        .output()
        .expect("base64 runs");
    let request = String::from_utf8(request.stdout).expect("base64 is ASCII");
    let path = cluster.write(
        "request.yaml",
        &format!(
            "apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {{name: collect-everything}}
spec: {{request: {request}, signerName: example.org/none, usages: [client auth]}}
"
        ),
    );
    path.to_string_lossy().into_owned()
}

const DEFINITIONS: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: probes.collect.example.org}
spec:
  group: collect.example.org
  scope: Namespaced
  names: {plural: probes, singular: probe, kind: Probe}
  versions:
  - name: v2beta1
    served: true
    storage: false
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
  - name: v2
    served: false
    storage: false
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: sites.collect.example.org}
spec:
  group: collect.example.org
  scope: Cluster
  names: {plural: sites, singular: site, kind: Site}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

const CUSTOM: &str = "
apiVersion: collect.example.org/v2beta1
kind: Probe
metadata: {name: one}
spec: {depth: 3}
---
apiVersion: collect.example.org/v1alpha1
kind: Site
metadata: {name: north}
spec: {rooms: [a, b]}
";

#[test]
fn custom_resources_are_read_in_the_version_that_kubernetes_puts_first() {
    let cluster = Cluster::new("collect-custom");
    cluster.apply(DEFINITIONS);
    for definition in ["probes", "sites"] {
        let definition = format!("crd/{definition}.collect.example.org");
        cluster.wait_for(&definition, "--for=condition=Established");
    }
    cluster.apply(CUSTOM);
    cluster.write("spec.yaml", SPEC);
    cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run()
        .expect_code(0);
    let bundle = cluster.bundle();
    let folder = "cluster-resources/custom-resources";
    let probes = bundle.json(&format!(
        "{folder}/probes.collect.example.org/collect-custom.json"
    ));
    assert_eq!(probes.as_array().map(Vec::len), Some(1), "{probes}");
    assert_eq!(probes[0]["apiVersion"], "collect.example.org/v1");
    assert_eq!(probes[0]["kind"], "Probe");
    assert_eq!(probes[0]["spec"]["depth"], 3);
    let sites = bundle.json(&format!("{folder}/sites.collect.example.org.json"));
    assert_eq!(sites[0]["apiVersion"], "collect.example.org/v1alpha1");
    assert_eq!(sites[0]["metadata"]["name"], "north");
    assert_eq!(sites[0]["spec"]["rooms"][1], "b");
}

const STALE: &str = "
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.stale.example.org}
spec:
  group: stale.example.org
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 10
  insecureSkipTLSVerify: true
  service: {name: gone, namespace: collect-stale}
";

#[test]
fn an_aggregated_api_without_a_server_costs_only_its_group() {
    let cluster = Cluster::alone("collect-stale");
    cluster.apply(STALE);
    cluster.apply(WORKLOAD);
    cluster.wait_for("pod/web", "--for=condition=Ready");
    cluster.wait_for(
        "apiservice/v1.stale.example.org",
        "--for=condition=Available=False",
    );
    cluster.write("spec.yaml", SPEC);
    let run = cluster
        .assay(&["collect", "spec.yaml", "--output", "bundle.tar.gz"])
        .run();
    cluster.kubectl(&["delete", "apiservice", "v1.stale.example.org"]);
    let run = run.expect_code(5);
    assert!(
        run.stderr.contains("stale.example.org/v1"),
        "{}",
        run.stderr
    );
    let bundle = cluster.bundle();
    let pods = bundle.json("cluster-resources/pods/collect-stale.json");
    assert_eq!(pods["items"][0]["metadata"]["name"], "web");
    let resources = bundle.text("cluster-resources/resources.json");
    assert!(resources.contains("\"apps/v1\""));
    assert!(!resources.contains("stale.example.org"));
    let errors = bundle.text("cluster-resources/groups-resources-errors.json");
    assert!(errors.contains("stale.example.org/v1"), "{errors}");
    assert_eq!(bundle.json("manifest.json")["ending"]["kind"], "complete");
}

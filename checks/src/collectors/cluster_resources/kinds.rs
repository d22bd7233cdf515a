//! Which kinds are collected, and under which names troubleshoot keeps them.

use crate::cluster::segment;

/// A kind of object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// The folder of a namespaced kind, `pods`; the file of a cluster-wide one, `nodes` (`nodes.json`).
    pub(super) place: &'static str,
    /// `Pod`
    pub(super) name: &'static str,
    /// The plural in paths, `pods`.
    pub(super) resource: &'static str,
    /// Groups with versions, the one to take first: `v1`, `apps/v1`.
    pub(super) versions: &'static [&'static str],
}

const fn kind(
    place: &'static str,
    name: &'static str,
    resource: &'static str,
    versions: &'static [&'static str],
) -> Kind {
    Kind {
        place,
        name,
        resource,
        versions,
    }
}

/// The versions of `resource.k8s.io` that are read: what came before had other shapes.
const RESOURCE_VERSIONS: &[&str] = &[
    "resource.k8s.io/v1",
    "resource.k8s.io/v1beta2",
    "resource.k8s.io/v1beta1",
];

/// One file for each namespace.
pub(super) const NAMESPACED: &[Kind] = &[
    kind("pods", "Pod", "pods", &["v1"]),
    kind("configmaps", "ConfigMap", "configmaps", &["v1"]),
    kind(
        "cronjobs",
        "CronJob",
        "cronjobs",
        &["batch/v1", "batch/v1beta1"],
    ),
    kind("daemonsets", "DaemonSet", "daemonsets", &["apps/v1"]),
    kind("deployments", "Deployment", "deployments", &["apps/v1"]),
    kind("endpoints", "Endpoints", "endpoints", &["v1"]),
    kind(
        "endpointslices",
        "EndpointSlice",
        "endpointslices",
        &["discovery.k8s.io/v1", "discovery.k8s.io/v1beta1"],
    ),
    kind("events", "Event", "events", &["v1"]),
    // Ours; troubleshoot has none. How many pods a workload may have is not told by its replicas.
    kind(
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        &["autoscaling/v2", "autoscaling/v1"],
    ),
    kind(
        "ingress",
        "Ingress",
        "ingresses",
        &[
            "networking.k8s.io/v1",
            "networking.k8s.io/v1beta1",
            "extensions/v1beta1",
        ],
    ),
    kind("jobs", "Job", "jobs", &["batch/v1"]),
    kind("leases", "Lease", "leases", &["coordination.k8s.io/v1"]),
    kind("limitranges", "LimitRange", "limitranges", &["v1"]),
    kind(
        "network-policy",
        "NetworkPolicy",
        "networkpolicies",
        &["networking.k8s.io/v1"],
    ),
    kind(
        "pod-disruption-budgets",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        &["policy/v1", "policy/v1beta1"],
    ),
    kind(
        "pvcs",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        &["v1"],
    ),
    kind("replicasets", "ReplicaSet", "replicasets", &["apps/v1"]),
    kind("resource-quota", "ResourceQuota", "resourcequotas", &["v1"]),
    kind(
        "rolebindings",
        "RoleBinding",
        "rolebindings",
        &["rbac.authorization.k8s.io/v1"],
    ),
    kind(
        "resourceclaims",
        "ResourceClaim",
        "resourceclaims",
        RESOURCE_VERSIONS,
    ),
    kind(
        "resourceclaimtemplates",
        "ResourceClaimTemplate",
        "resourceclaimtemplates",
        RESOURCE_VERSIONS,
    ),
    kind("roles", "Role", "roles", &["rbac.authorization.k8s.io/v1"]),
    kind(
        "serviceaccounts",
        "ServiceAccount",
        "serviceaccounts",
        &["v1"],
    ),
    kind("services", "Service", "services", &["v1"]),
    kind("statefulsets", "StatefulSet", "statefulsets", &["apps/v1"]),
];

/// One file each.
pub(super) const CLUSTER_WIDE: &[Kind] = &[
    kind(
        "certificatesigningrequests",
        "CertificateSigningRequest",
        "certificatesigningrequests",
        &["certificates.k8s.io/v1"],
    ),
    kind(
        "clusterrolebindings",
        "ClusterRoleBinding",
        "clusterrolebindings",
        &["rbac.authorization.k8s.io/v1"],
    ),
    kind(
        "clusterroles",
        "ClusterRole",
        "clusterroles",
        &["rbac.authorization.k8s.io/v1"],
    ),
    kind(
        "deviceclasses",
        "DeviceClass",
        "deviceclasses",
        RESOURCE_VERSIONS,
    ),
    kind(
        "ingress-classes",
        "IngressClass",
        "ingressclasses",
        &["networking.k8s.io/v1", "networking.k8s.io/v1beta1"],
    ),
    kind(
        "mutating-webhook-configurations",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        &["admissionregistration.k8s.io/v1"],
    ),
    kind("nodes", "Node", "nodes", &["v1"]),
    kind(
        "priorityclasses",
        "PriorityClass",
        "priorityclasses",
        &["scheduling.k8s.io/v1", "scheduling.k8s.io/v1beta1"],
    ),
    kind("pvs", "PersistentVolume", "persistentvolumes", &["v1"]),
    kind(
        "resourceslices",
        "ResourceSlice",
        "resourceslices",
        RESOURCE_VERSIONS,
    ),
    kind(
        "runtimeclasses",
        "RuntimeClass",
        "runtimeclasses",
        &["node.k8s.io/v1", "node.k8s.io/v1beta1"],
    ),
    kind(
        "storage-classes",
        "StorageClass",
        "storageclasses",
        &["storage.k8s.io/v1", "storage.k8s.io/v1beta1"],
    ),
    kind(
        "validating-webhook-configurations",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        &["admissionregistration.k8s.io/v1"],
    ),
    kind(
        "volumeattachments",
        "VolumeAttachment",
        "volumeattachments",
        &["storage.k8s.io/v1"],
    ),
];

/// The definitions of custom resources, from which these are found.
pub(super) const DEFINITIONS: Kind = kind(
    "custom-resource-definitions",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    &["apiextensions.k8s.io/v1", "apiextensions.k8s.io/v1beta1"],
);

/// The namespaces, from which all else follows.
pub(super) const NAMESPACES: Kind = kind("namespaces", "Namespace", "namespaces", &["v1"]);

/// Groups that Kubernetes itself serves, beside those of `apiextensions`: none of their resources is custom.
pub(super) const OWN_GROUPS: &[&str] = &[
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "custom.metrics.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "extensions",
    "external.metrics.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "metrics.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// Where a collection lies: `/apis/apps/v1/namespaces/shop/deployments`.
pub(super) fn collection(group_version: &str, namespace: Option<&str>, resource: &str) -> String {
    let root = if group_version.contains('/') {
        "/apis"
    } else {
        "/api"
    };
    match namespace {
        Some(namespace) => {
            let namespace = segment(namespace);
            format!("{root}/{group_version}/namespaces/{namespace}/{resource}")
        }
        None => format!("{root}/{group_version}/{resource}"),
    }
}

/// The group of a group and version, empty for core.
pub(super) fn group(group_version: &str) -> &str {
    group_version.split_once('/').map_or("", |(group, _)| group)
}

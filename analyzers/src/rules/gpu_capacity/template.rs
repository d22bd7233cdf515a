//! The pod template of a request: a Kubernetes `PodTemplateSpec` as it is.

use std::collections::BTreeMap;

use bundle::collected::scheduling::{Pod, PodAffinityTerm, PodSpec};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use syntax::config;
use syntax::selector::LabelSelector;

use super::{Effect, Unsure};

/// A template: what decides where its pods go, and what this release knows nothing of.
#[derive(Debug, Default)]
pub(super) struct PodTemplate {
    /// The labels of its pods.
    pub(super) labels: BTreeMap<String, String>,
    /// What they ask for.
    pub(super) spec: PodSpec,
    /// Paths of fields that may matter and are not understood.
    unknown: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    metadata: Metadata,
    spec: PodSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    labels: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for PodTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let read = config::parse::<Written>(&value)
            .map_err(|error| de::Error::custom(format!("{}: {}", error.path, error.message)))?;
        let Written { metadata, spec } = read.config;
        let unknown = read.ignored.into_iter().filter(|it| !is_harmless(it));
        Ok(Self {
            labels: metadata.labels,
            spec,
            unknown: unknown.collect(),
        })
    }
}

/// Fields that decide nothing about where a pod can run, by what they are fields of.
const HARMLESS: &[(&str, &[&str])] = &[
    (
        "spec",
        &[
            "automountServiceAccountToken",
            "dnsConfig",
            "dnsPolicy",
            "enableServiceLinks",
            "hostAliases",
            "hostIPC",
            "hostPID",
            "hostUsers",
            "hostname",
            "hostnameOverride",
            "imagePullSecrets",
            "os",
            "readinessGates",
            "restartPolicy",
            "securityContext",
            "serviceAccount",
            "serviceAccountName",
            "setHostnameAsFQDN",
            "shareProcessNamespace",
            "subdomain",
            "terminationGracePeriodSeconds",
        ],
    ),
    (
        "containers",
        &[
            "args",
            "command",
            "env",
            "envFrom",
            "image",
            "imagePullPolicy",
            "lifecycle",
            "livenessProbe",
            "readinessProbe",
            "resizePolicy",
            "restartPolicyRules",
            "securityContext",
            "startupProbe",
            "stdin",
            "stdinOnce",
            "terminationMessagePath",
            "terminationMessagePolicy",
            "tty",
            "volumeDevices",
            "volumeMounts",
            "workingDir",
        ],
    ),
    ("ports", &["name"]),
    (
        "volumes",
        &[
            "cephfs",
            "configMap",
            "downwardAPI",
            "emptyDir",
            "gitRepo",
            "glusterfs",
            "hostPath",
            "image",
            "nfs",
            "projected",
            "secret",
        ],
    ),
    ("persistentVolumeClaim", &["readOnly"]),
    (
        "nodeAffinity",
        &["preferredDuringSchedulingIgnoredDuringExecution"],
    ),
    (
        "podAffinity",
        &["preferredDuringSchedulingIgnoredDuringExecution"],
    ),
    (
        "podAntiAffinity",
        &["preferredDuringSchedulingIgnoredDuringExecution"],
    ),
];

/// Whether a field that was not read decides nothing, or belongs to something that is named as a whole.
fn is_harmless(path: &str) -> bool {
    let names: Vec<&str> = path
        .split('.')
        .map(|part| part.split('[').next().unwrap_or(part))
        .collect();
    if names[0] == "metadata" || names.contains(&"topologySpreadConstraints") {
        return true;
    }
    let [.., parent, name] = names[..] else {
        return false;
    };
    if parent == "requiredDuringSchedulingIgnoredDuringExecution" {
        // A term between pods, which is named.
        return true;
    }
    let parent = if parent == "initContainers" {
        "containers"
    } else {
        parent
    };
    HARMLESS
        .iter()
        .any(|(of, names)| *of == parent && names.contains(&name))
}

impl PodTemplate {
    /// What of the template is not simulated.
    pub(super) fn not_simulated(&self) -> Vec<Unsure> {
        let spec = &self.spec;
        let mut unsure = Vec::new();
        let spread: Vec<&str> = spec
            .topology_spread_constraints
            .iter()
            .filter(|it| it.when_unsatisfiable != "ScheduleAnyway")
            .map(|it| it.topology_key.as_str())
            .collect();
        if !spread.is_empty() {
            let what = format!("topologySpreadConstraints over {}", spread.join(", "));
            unsure.push(Unsure::lowers(what));
        }
        if let Some(affinity) = &spec.affinity {
            let parts = [
                ("podAffinity", &affinity.pod_affinity),
                ("podAntiAffinity", &affinity.pod_anti_affinity),
            ];
            for (name, part) in parts {
                let required = part
                    .as_ref()
                    .map(|it| &it.required_during_scheduling_ignored_during_execution);
                if required.is_some_and(|terms| !terms.is_empty()) {
                    unsure.push(Unsure::lowers(name.to_owned()));
                }
            }
        }
        if !spec.node_name.is_empty() {
            let what = format!(
                "nodeName {}, which passes by the scheduler: the node alone decides",
                spec.node_name
            );
            unsure.push(Unsure::new(what, Effect::Anything));
        }
        if !matches!(spec.scheduler_name.as_str(), "" | "default-scheduler") {
            let what = format!("the scheduler {}", spec.scheduler_name);
            unsure.push(Unsure::new(what, Effect::Anything));
        }
        for (label, system) in QUEUES {
            if let Some(queue) = self.labels.get(*label) {
                unsure.push(Unsure::lowers(format!("{system} queue {queue}")));
            }
        }
        for field in &self.unknown {
            let what = if field.starts_with("spec.volumes[") {
                format!("the volume of {field}")
            } else {
                format!("{field}, a field that this release does not know")
            };
            unsure.push(Unsure::lowers(what));
        }
        unsure
    }

    /// A pod that keeps the template's pods away from its own place.
    pub(super) fn repelled_by<'p>(
        &self,
        namespace: &str,
        mut pods: impl Iterator<Item = &'p Pod>,
    ) -> Option<&'p Pod> {
        pods.find(|pod| {
            let affinity = pod.spec.affinity.as_deref();
            let apart = affinity.and_then(|it| it.pod_anti_affinity.as_ref());
            let terms = apart.map(|it| &it.required_during_scheduling_ignored_during_execution);
            let has_ended = matches!(pod.status.phase.as_str(), "Succeeded" | "Failed");
            !pod.spec.node_name.is_empty()
                && !has_ended
                && terms.is_some_and(|terms| {
                    terms
                        .iter()
                        .any(|term| self.is_meant(term, namespace, &pod.metadata.namespace))
                })
        })
    }

    /// Whether a term between pods selects the template's. What cannot be told is taken for yes.
    fn is_meant(&self, term: &PodAffinityTerm, namespace: &str, own: &str) -> bool {
        let in_namespace = if term.namespaces.is_empty() && term.namespace_selector.is_none() {
            namespace == own
        } else {
            term.namespace_selector.is_some() || term.namespaces.iter().any(|it| it == namespace)
        };
        let Some(selector) = &term.label_selector else {
            return false;
        };
        in_namespace
            && LabelSelector::from_json(selector).map_or(true, |selector| {
                selector.matches(|key| self.labels.get(key).map(String::as_str))
            })
    }
}

/// Labels that hand pods to a queueing system.
const QUEUES: &[(&str, &str)] = &[
    ("kueue.x-k8s.io/queue-name", "Kueue"),
    ("volcano.sh/queue-name", "Volcano"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn not_simulated(template: Value) -> Vec<String> {
        let template: PodTemplate = serde_json::from_value(template).expect("a template");
        let unsure = template.not_simulated();
        unsure.into_iter().map(|it| it.what).collect()
    }

    #[test]
    fn what_decides_nothing_is_not_named() {
        let named = not_simulated(json!({
            "metadata": {"labels": {"app": "x"}, "annotations": {"a": "b"}, "creationTimestamp": null},
            "spec": {
                "serviceAccountName": "x", "restartPolicy": "Always", "terminationGracePeriodSeconds": 5,
                "initContainers": [{"name": "i", "image": "x"}],
                "containers": [{"name": "a", "image": "x", "env": [{"name": "A", "value": "b"}], "ports": [{"name": "p", "containerPort": 1}], "volumeMounts": []}],
                "volumes": [{"name": "v", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "s"}}, {"name": "p", "persistentVolumeClaim": {"claimName": "c", "readOnly": true}}],
                "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
                "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
            },
        }));
        assert_eq!(named, [""; 0]);
    }

    #[test]
    fn what_may_decide_is_named() {
        let named = not_simulated(json!({
            "metadata": {"labels": {"kueue.x-k8s.io/queue-name": "gpu"}},
            "spec": {
                "nodeSelectors": {"gpu": "yes"},
                "schedulerName": "volcano",
                "containers": [{"name": "a", "resource": {}}],
                "volumes": [{"name": "e", "ephemeral": {}}],
                "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone", "matchLabelKeys": []}]}},
                "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
            },
        }));
        assert_eq!(
            named,
            [
                "topologySpreadConstraints over zone",
                "podAffinity",
                "the scheduler volcano",
                "Kueue queue gpu",
                "spec.containers[0].resource, a field that this release does not know",
                "spec.nodeSelectors, a field that this release does not know",
                "the volume of spec.volumes[0].ephemeral",
            ]
        );
    }

    #[test]
    fn a_wrong_type_says_where() {
        let wrong = serde_json::from_value::<PodTemplate>(json!({"spec": {"containers": 3}}));
        let message = wrong.map(|_| ()).map_err(|error| error.to_string());
        assert!(message.is_err_and(|it| it.starts_with("spec.containers: ")));
    }
}

//! Kubernetes objects as Go templates see them: by the names of Go's struct fields instead of JSON's, with
//! the metadata's fields promoted to the object, and with zero values for what is left out.

use serde_json::{Map, Value, json};

/// Fields whose members are data, not fields.
const MAPS: &[&str] = &[
    "allocatable",
    "allocatedResources",
    "annotations",
    "capacity",
    "labels",
    "limits",
    "matchLabels",
    "nodeSelector",
    "overhead",
    "requests",
];

/// JSON names that Go does not merely capitalise.
const NAMES: &[(&str, &str)] = &[
    ("apiVersion", "APIVersion"),
    ("azureFile", "AzureFile"),
    ("csi", "CSI"),
    ("dnsConfig", "DNSConfig"),
    ("dnsPolicy", "DNSPolicy"),
    ("fc", "FC"),
    ("fsGroup", "FSGroup"),
    ("fsGroupChangePolicy", "FSGroupChangePolicy"),
    ("fsType", "FSType"),
    ("grpc", "GRPC"),
    ("httpGet", "HTTPGet"),
    ("httpHeaders", "HTTPHeaders"),
    ("ip", "IP"),
    ("iscsi", "ISCSI"),
    ("lastState", "LastTerminationState"),
    ("nfs", "NFS"),
    ("os", "OS"),
    ("qosClass", "QOSClass"),
    ("rbd", "RBD"),
    ("reportingComponent", "ReportingController"),
    ("seLinuxOptions", "SELinuxOptions"),
    ("serviceAccount", "DeprecatedServiceAccount"),
    ("tcpSocket", "TCPSocket"),
    ("tty", "TTY"),
    ("uid", "UID"),
];

/// The fields of a Go struct by the zero value that they have where JSON leaves them out.
struct Zeros {
    texts: &'static [&'static str],
    lists: &'static [&'static str],
    maps: &'static [&'static str],
    nils: &'static [&'static str],
    flags: &'static [&'static str],
}

/// `TypeMeta` and `ObjectMeta`.
const OBJECT: Zeros = Zeros {
    texts: &[
        "APIVersion",
        "GenerateName",
        "Kind",
        "Name",
        "Namespace",
        "ResourceVersion",
        "SelfLink",
        "UID",
    ],
    lists: &["Finalizers", "ManagedFields", "OwnerReferences"],
    maps: &["Annotations", "Labels"],
    nils: &[
        "CreationTimestamp",
        "DeletionGracePeriodSeconds",
        "DeletionTimestamp",
    ],
    flags: &[],
};

/// `PodSpec`.
const POD_SPEC: Zeros = Zeros {
    texts: &[
        "DNSPolicy",
        "DeprecatedServiceAccount",
        "Hostname",
        "NodeName",
        "PriorityClassName",
        "RestartPolicy",
        "SchedulerName",
        "ServiceAccountName",
        "Subdomain",
    ],
    lists: &[
        "Containers",
        "EphemeralContainers",
        "HostAliases",
        "ImagePullSecrets",
        "InitContainers",
        "ReadinessGates",
        "ResourceClaims",
        "SchedulingGates",
        "Tolerations",
        "TopologySpreadConstraints",
        "Volumes",
    ],
    maps: &["NodeSelector", "Overhead"],
    nils: &[
        "ActiveDeadlineSeconds",
        "Affinity",
        "AutomountServiceAccountToken",
        "DNSConfig",
        "EnableServiceLinks",
        "HostUsers",
        "OS",
        "PreemptionPolicy",
        "Priority",
        "RuntimeClassName",
        "SecurityContext",
        "SetHostnameAsFQDN",
        "ShareProcessNamespace",
        "TerminationGracePeriodSeconds",
    ],
    flags: &["HostIPC", "HostNetwork", "HostPID"],
};

/// `PodStatus`.
const POD_STATUS: Zeros = Zeros {
    texts: &[
        "HostIP",
        "Message",
        "NominatedNodeName",
        "Phase",
        "PodIP",
        "QOSClass",
        "Reason",
        "Resize",
    ],
    lists: &[
        "Conditions",
        "ContainerStatuses",
        "EphemeralContainerStatuses",
        "HostIPs",
        "InitContainerStatuses",
        "PodIPs",
        "ResourceClaimStatuses",
    ],
    maps: &[],
    nils: &["StartTime"],
    flags: &[],
};

/// `Event`, without what is in it.
const EVENT: Zeros = Zeros {
    // A time that is not there has no text, where Go prints the year 1.
    texts: &[
        "Action",
        "EventTime",
        "FirstTimestamp",
        "LastTimestamp",
        "Message",
        "Reason",
        "ReportingController",
        "ReportingInstance",
        "Type",
    ],
    lists: &[],
    maps: &[],
    nils: &["Related", "Series"],
    flags: &[],
};

/// `ObjectReference`.
const OBJECT_REFERENCE: Zeros = Zeros {
    texts: &[
        "APIVersion",
        "FieldPath",
        "Kind",
        "Name",
        "Namespace",
        "ResourceVersion",
        "UID",
    ],
    lists: &[],
    maps: &[],
    nils: &[],
    flags: &[],
};

/// `EventSource`.
const EVENT_SOURCE: Zeros = Zeros {
    texts: &["Component", "Host"],
    lists: &[],
    maps: &[],
    nils: &[],
    flags: &[],
};

impl Zeros {
    fn object(&self) -> Value {
        let kinds = [
            (self.texts, json!("")),
            (self.lists, json!([])),
            (self.maps, json!({})),
            (self.nils, Value::Null),
            (self.flags, json!(false)),
        ];
        kinds
            .into_iter()
            .flat_map(|(names, zero)| {
                names
                    .iter()
                    .map(move |name| ((*name).to_owned(), zero.clone()))
            })
            .collect::<Map<_, _>>()
            .into()
    }
}

fn zero_pod() -> Value {
    let mut pod = OBJECT.object();
    pod["Spec"] = POD_SPEC.object();
    pod["Status"] = POD_STATUS.object();
    pod
}

/// A pod for a template.
pub(crate) fn pod(json: &Value) -> Value {
    let mut pod = zero_pod();
    overlay(&mut pod, promoted(json));
    pod
}

/// An event for a template.
pub(crate) fn event(json: &Value) -> Value {
    let mut event = OBJECT.object();
    overlay(&mut event, EVENT.object());
    event["Count"] = json!(0);
    event["InvolvedObject"] = OBJECT_REFERENCE.object();
    event["Source"] = EVENT_SOURCE.object();
    overlay(&mut event, promoted(json));
    event
}

/// Whether a template reads nothing of its object but `fields`, `.Status.Phase`.
pub(crate) fn reads_only(template: &str, fields: &[&str]) -> bool {
    template.split("{{").skip(1).all(|action| {
        let action = action.split("}}").next().unwrap_or_default();
        action
            .split([' ', '\t', '\n', '(', ')', '|', '-'])
            .all(|word| !word.contains(['.', '$']) || fields.contains(&word))
    })
}

/// The object by Go's names. `metadata` and the type's own fields are embedded structs: Go reads their fields on the
/// object.
fn promoted(json: &Value) -> Value {
    let mut renamed = rename(json);
    if let Some(fields) = renamed.as_object_mut()
        && let Some(Value::Object(metadata)) = fields.remove("Metadata")
    {
        fields.extend(metadata);
    }
    renamed
}

fn rename(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| {
                let value = if MAPS.contains(&key.as_str()) {
                    value.clone()
                } else {
                    rename(value)
                };
                (go_name(key), value)
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(rename).collect(),
        other => other.clone(),
    }
}

fn go_name(key: &str) -> String {
    if let Some((_, name)) = NAMES.iter().find(|(json, _)| *json == key) {
        return (*name).to_owned();
    }
    let mut characters = key.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// Lays an object over another, field by field; a null leaves what is there.
fn overlay(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                overlay(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (under, over) => *under = over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_has_gos_names_and_zero_values() {
        let pod = pod(&json!({
            "kind": "Pod",
            "metadata": {"name": "a", "uid": "u", "labels": {"app.kubernetes.io/name": "x"}, "annotations": null},
            "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}, "tty": true}]},
            "status": {"podIP": "10.0.0.1", "containerStatuses": [{"lastState": {"terminated": {"exitCode": 1}}}]},
        }));
        let at = |pointer: &str| pod.pointer(pointer).cloned();
        assert_eq!(at("/Name"), Some(json!("a")));
        assert_eq!(at("/UID"), Some(json!("u")));
        assert_eq!(at("/Labels/app.kubernetes.io~1name"), Some(json!("x")));
        assert_eq!(at("/Annotations"), Some(json!({})));
        assert_eq!(
            at("/Spec/Containers/0/Resources/Limits/cpu"),
            Some(json!("1"))
        );
        assert_eq!(at("/Spec/Containers/0/TTY"), Some(json!(true)));
        assert_eq!(at("/Spec/NodeName"), Some(json!("")));
        assert_eq!(at("/Status/PodIP"), Some(json!("10.0.0.1")));
        let last = "/Status/ContainerStatuses/0/LastTerminationState/Terminated/ExitCode";
        assert_eq!(at(last), Some(json!(1)));
        assert_eq!(at("/Status/Reason"), Some(json!("")));
    }

    #[test]
    fn an_event_has_gos_names_and_zero_values() {
        let event = event(&json!({
            "kind": "Event",
            "metadata": {"name": "e", "namespace": "shop"},
            "involvedObject": {"kind": "Pod", "name": "web", "apiVersion": "v1"},
            "reason": "BackOff",
            "source": {"component": "kubelet"},
            "lastTimestamp": null,
            "reportingComponent": "kubelet",
        }));
        let at = |pointer: &str| event.pointer(pointer).cloned();
        assert_eq!(at("/Name"), Some(json!("e")));
        assert_eq!(at("/InvolvedObject/APIVersion"), Some(json!("v1")));
        assert_eq!(at("/InvolvedObject/FieldPath"), Some(json!("")));
        assert_eq!(at("/ReportingController"), Some(json!("kubelet")));
        assert_eq!(at("/Source/Component"), Some(json!("kubelet")));
        assert_eq!(at("/Source/Host"), Some(json!("")));
        assert_eq!(at("/Count"), Some(json!(0)));
        assert_eq!(at("/LastTimestamp"), Some(json!("")));
        assert_eq!(at("/Message"), Some(json!("")));
    }

    #[test]
    fn templates_that_need_more_than_some_fields_are_told_from_the_rest() {
        const FIELDS: &[&str] = &[".Name", ".Namespace", ".Status.Phase", ".Status.Reason"];
        for template in [
            "no template",
            "{{ .Namespace }}/{{.Name}}: {{- .Status.Reason -}}",
            "{{ if eq .Status.Phase \"Running\" }}up{{ end }}",
            "{{ .Status.Reason | trim }}",
        ] {
            assert!(reads_only(template, FIELDS), "{template}");
        }
        for template in [
            "{{ . }}",
            "{{ toJson . }}",
            "{{ .Spec.NodeName }}",
            "{{ with .Status }}{{ .Reason }}{{ end }}",
            "{{ $p := .Name }}{{ $p }}",
            "{{ .Name }} {{ .Labels }}",
        ] {
            assert!(!reads_only(template, FIELDS), "{template}");
        }
    }
}

//! What findings about pods have in common.

use crate::finding::ObjectReference;

/// The pod as the object of a finding.
pub(crate) fn object(namespace: &str, name: &str) -> ObjectReference {
    ObjectReference {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

/// Where to look, by the reason that the pod or its container gives.
pub(crate) fn remedy(reason: &str, namespace: &str, name: &str) -> String {
    match reason.trim_start_matches("Init:") {
        "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" => format!(
            "Check the image's name and the pull secret; kubectl -n {namespace} describe pod {name} shows the registry's answer."
        ),
        "OOMKilled" => format!(
            "Raise the container's memory limit, or find out what it needs so much for: kubectl -n {namespace} logs {name} --all-containers --previous."
        ),
        "CrashLoopBackOff" | "Error" | "RunContainerError" | "StartError" => format!(
            "kubectl -n {namespace} logs {name} --all-containers --previous shows what it said before it ended."
        ),
        _ => format!("kubectl -n {namespace} describe pod {name} shows its conditions and events."),
    }
}

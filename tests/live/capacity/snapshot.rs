//! The documents of a bundle, read from the API server.

use bundle::{BundlePath, Files};
use serde_json::{Value, json};

use super::api::Api;
use super::items;

/// What `clusterResources` would have collected.
pub(super) fn snapshot(api: &Api) -> Files {
    let mut files = Vec::new();
    let mut add = |path: String, list: &Value| {
        let path = BundlePath::new(format!("cluster-resources/{path}.json")).expect("a path");
        files.push((path, list.to_string().into_bytes()));
    };
    for (name, path) in [
        ("nodes", "/api/v1/nodes"),
        ("namespaces", "/api/v1/namespaces"),
        (
            "priorityclasses",
            "/apis/scheduling.k8s.io/v1/priorityclasses",
        ),
        ("runtimeclasses", "/apis/node.k8s.io/v1/runtimeclasses"),
        ("deviceclasses", "/apis/resource.k8s.io/v1/deviceclasses"),
        ("resourceslices", "/apis/resource.k8s.io/v1/resourceslices"),
        ("pvs", "/api/v1/persistentvolumes"),
        ("storage-classes", "/apis/storage.k8s.io/v1/storageclasses"),
    ] {
        add(name.to_owned(), &api.get(path));
    }
    let namespaces = api.get("/api/v1/namespaces");
    for (folder, path) in [
        ("pods", "/api/v1/pods"),
        ("limitranges", "/api/v1/limitranges"),
        ("resource-quota", "/api/v1/resourcequotas"),
        ("pvcs", "/api/v1/persistentvolumeclaims"),
        ("resourceclaims", "/apis/resource.k8s.io/v1/resourceclaims"),
        (
            "resourceclaimtemplates",
            "/apis/resource.k8s.io/v1/resourceclaimtemplates",
        ),
    ] {
        let all = api.get(path);
        for namespace in items(&namespaces) {
            let name = namespace["metadata"]["name"].as_str().expect("a name");
            let own: Vec<&Value> = items(&all)
                .iter()
                .filter(|it| it["metadata"]["namespace"] == name)
                .collect();
            add(format!("{folder}/{name}"), &json!({"items": own}));
        }
    }
    Files::in_memory(files, None)
}

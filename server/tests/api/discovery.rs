//! Discovery, version, health and the other paths around objects.

use serde_json::{Value, json};

use crate::bundles::{accepting, api, get, list, namespaces, object};

const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

fn recorded() -> assay_server::BundleApi {
    let groups = json!([
        { "name": "", "versions": [{ "groupVersion": "v1", "version": "v1" }], "preferredVersion": { "groupVersion": "v1", "version": "v1" } },
        { "name": "apps", "versions": [{ "groupVersion": "apps/v1", "version": "v1" }], "preferredVersion": { "groupVersion": "apps/v1", "version": "v1" } },
        { "name": "metrics.k8s.io", "versions": [{ "groupVersion": "metrics.k8s.io/v1beta1", "version": "v1beta1" }], "preferredVersion": { "groupVersion": "metrics.k8s.io/v1beta1", "version": "v1beta1" } },
    ]);
    let resources = json!([
        { "groupVersion": "v1", "resources": [
            { "name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod", "verbs": ["create", "get", "list"], "shortNames": ["po"], "categories": ["all"], "storageVersionHash": "x" },
            { "name": "pods/log", "singularName": "", "namespaced": true, "kind": "Pod", "verbs": ["get"] },
            { "name": "serviceaccounts/token", "singularName": "", "namespaced": true, "group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest", "verbs": ["create"] },
            { "name": "tokenreviews", "singularName": "tokenreview", "namespaced": false, "kind": "TokenReview", "verbs": ["create"] },
            { "name": "serviceaccounts", "singularName": "serviceaccount", "namespaced": true, "kind": "ServiceAccount", "verbs": ["get"] },
        ] },
        { "groupVersion": "apps/v1", "resources": [
            { "name": "deployments", "singularName": "deployment", "namespaced": true, "kind": "Deployment", "verbs": ["list"] },
        ] },
    ]);
    let version = json!({ "info": { "major": "1", "minor": "31", "gitVersion": "v1.31.2+k3s1" }, "string": "v1.31.2+k3s1" });
    api(&[
        ("cluster-info/cluster_version.json", version.to_string()),
        ("cluster-resources/groups.json", groups.to_string()),
        ("cluster-resources/resources.json", resources.to_string()),
        ("cluster-resources/namespaces.json", namespaces(&["a"])),
        ("cluster-resources/pods/a.json", list("Pod", "v1", &[])),
    ])
}

#[test]
fn what_was_recorded_is_served_as_it_was() {
    let api = recorded();
    assert_eq!(get(&api, "/version").json()["gitVersion"], "v1.31.2+k3s1");
    assert_eq!(get(&api, "/api").json()["versions"], json!(["v1"]));
    let groups = get(&api, "/apis").json();
    let names: Vec<&Value> = groups["groups"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|group| &group["name"])
        .collect();
    assert_eq!(names, ["apps", "metrics.k8s.io"]);
    assert_eq!(
        get(&api, "/apis/apps").json()["preferredVersion"]["version"],
        "v1"
    );
    let core = get(&api, "/api/v1").json();
    assert_eq!(core["kind"], "APIResourceList");
    let pods = &core["resources"][0];
    assert_eq!(pods["verbs"], json!(["create", "get", "list"]));
    assert_eq!(pods["storageVersionHash"], "x");
    // Namespaces were collected, so that they are there, recorded or not.
    let names: Vec<&str> = core["resources"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|resource| resource["name"].as_str())
        .collect();
    assert!(names.contains(&"namespaces"), "{names:?}");
}

#[test]
fn a_group_that_did_not_answer_is_stale() {
    let api = recorded();
    let (code, reason, message) = get(&api, "/apis/metrics.k8s.io/v1beta1").failure();
    assert_eq!((code, reason.as_str()), (503, "ServiceUnavailable"));
    assert!(message.contains("metrics.k8s.io/v1beta1"), "{message}");
    assert_eq!(get(&api, "/apis/apps/v2").failure().0, 404);
    let groups = accepting(&api, "/apis", V2).json();
    assert_eq!(groups["items"][1]["versions"][0]["freshness"], "Stale");
}

#[test]
fn aggregated_discovery_tells_the_same() {
    let api = recorded();
    let reply = accepting(&api, "/api", &format!("{V2},application/json"));
    assert_eq!(reply.content_type, V2);
    let core = reply.json();
    assert_eq!(core["apiVersion"], "apidiscovery.k8s.io/v2");
    let resources = core["items"][0]["versions"][0]["resources"]
        .as_array()
        .expect("a list")
        .clone();
    assert_eq!(
        resources[0],
        json!({
            "resource": "pods",
            "responseKind": { "group": "", "version": "", "kind": "Pod" },
            "scope": "Namespaced",
            "singularResource": "pod",
            "verbs": ["create", "get", "list"],
            "shortNames": ["po"],
            "categories": ["all"],
            "subresources": [{ "subresource": "log", "responseKind": { "group": "", "version": "", "kind": "Pod" }, "verbs": ["get"] }],
        })
    );
    let token = &resources[2]["subresources"][0]["responseKind"];
    assert_eq!(
        token,
        &json!({ "group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest" })
    );
    let beta = accepting(
        &api,
        "/apis",
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
    );
    assert_eq!(beta.json()["items"][0]["metadata"]["name"], "apps");
    assert_eq!(beta.json()["apiVersion"], "apidiscovery.k8s.io/v2beta1");
}

#[test]
fn only_what_the_cluster_had_is_found() {
    let api = recorded();
    assert_eq!(
        get(&api, "/api/v1/namespaces/a/pods/web/status")
            .failure()
            .2,
        "the server could not find the requested resource"
    );
    let (code, reason, _) = get(&api, "/api/v1/tokenreviews").failure();
    assert_eq!((code, reason.as_str()), (405, "MethodNotAllowed"));
}

#[test]
fn without_a_record_the_files_tell_and_kubernetes_own_kinds_stand_beside() {
    let definition = json!({
        "metadata": { "name": "widgets.example.com" },
        "spec": {
            "group": "example.com", "scope": "Cluster",
            "names": { "plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"] },
            "versions": [{ "name": "v1alpha1", "served": true }, { "name": "v1", "served": true }, { "name": "v2", "served": false }],
        },
    });
    let api = api(&[
        (
            "cluster-resources/deployments/a.json",
            list("Deployment", "apps/v1", &[]),
        ),
        (
            "cluster-resources/custom-resource-definitions.json",
            list(
                "CustomResourceDefinition",
                "apiextensions.k8s.io/v1",
                &[definition],
            ),
        ),
        (
            "cluster-resources/custom-resources/widgets.example.com.json",
            json!([object("Widget", "example.com/v1", "", "w")]).to_string(),
        ),
    ]);
    let groups = get(&api, "/apis").json();
    let names: Vec<&Value> = groups["groups"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|group| &group["name"])
        .collect();
    for name in ["apiextensions.k8s.io", "apps", "example.com"] {
        assert!(
            names.iter().any(|group| *group == name),
            "{name}: {names:?}"
        );
    }
    // Whether the cluster had Pods nobody wrote down; a client that is not told of them would call them absent.
    let core = get(&api, "/api/v1").json();
    let plural = |name: &str| {
        core["resources"]
            .as_array()
            .is_some_and(|list| list.iter().any(|each| each["name"] == name))
    };
    assert!(plural("pods") && plural("nodes"), "{core}");
    let refusal = get(&api, "/api/v1/pods");
    assert_eq!(
        refusal.json()["details"]["causes"][0]["reason"],
        "NotCollected"
    );
    assert_eq!(refusal.failure().0, 404);
    let widgets = get(&api, "/apis/example.com/v1").json();
    assert_eq!(
        widgets["resources"],
        json!([{ "name": "widgets", "singularName": "widget", "namespaced": false, "kind": "Widget", "verbs": ["get", "list"], "shortNames": ["wd"], "categories": ["all"] }])
    );
    assert_eq!(get(&api, "/apis/example.com/v1/widgets").names(), ["w"]);
    assert_eq!(
        get(&api, "/apis/example.com/v1/widgets/w").json()["kind"],
        "Widget"
    );
    assert_eq!(get(&api, "/version").failure().0, 404);
}

#[test]
fn custom_resources_without_their_definition_name_themselves() {
    let api = api(&[(
        "cluster-resources/custom-resources/widgets.example.com/a.json",
        json!([object("Widget", "example.com/v1beta1", "a", "w")]).to_string(),
    )]);
    assert_eq!(
        get(&api, "/apis/example.com/v1beta1/namespaces/a/widgets").names(),
        ["a/w"]
    );
}

#[test]
fn kinds_that_the_table_does_not_know_are_served_by_what_they_say() {
    let resources = json!([{ "groupVersion": "storage.k8s.io/v1", "resources": [
        { "name": "csinodes", "singularName": "csinode", "namespaced": false, "kind": "CSINode", "verbs": ["list"] },
    ] }]);
    let api = api(&[
        ("cluster-resources/resources.json", resources.to_string()),
        (
            "cluster-resources/csi-nodes.json",
            list(
                "CSINode",
                "storage.k8s.io/v1",
                &[object("CSINode", "storage.k8s.io/v1", "", "worker")],
            ),
        ),
        (
            "cluster-resources/odd.json",
            json!({ "what": "this" }).to_string(),
        ),
    ]);
    assert_eq!(
        get(&api, "/apis/storage.k8s.io/v1/csinodes").names(),
        ["worker"]
    );
    assert_eq!(
        api.notes().collect::<Vec<_>>(),
        ["cluster-resources/odd: no kind of object is known by this name"]
    );
}

#[test]
fn broken_discovery_is_noted_and_replaced() {
    let api = api(&[
        ("cluster-resources/groups.json", "[".to_owned()),
        ("cluster-resources/resources.json", json!({}).to_string()),
        ("cluster-resources/pods/a.json", list("Pod", "v1", &[])),
    ]);
    assert_eq!(api.notes().count(), 2);
    let core = get(&api, "/api/v1").json();
    let resources = core["resources"].as_array().expect("a list");
    assert!(resources.iter().any(|resource| resource["name"] == "pods"));
    assert_eq!(get(&api, "/api/v1/namespaces/a/pods").names(), [""; 0]);
}

#[test]
fn health_and_openapi_are_there() {
    let api = recorded();
    for path in ["/healthz", "/readyz", "/livez", "/readyz/ping"] {
        let reply = accepting(&api, path, "*/*");
        assert_eq!((reply.code, reply.text.as_str()), (200, "ok"), "{path}");
    }
    assert_eq!(get(&api, "/openapi/v3").json(), json!({ "paths": {} }));
    assert_eq!(get(&api, "/openapi/v2").json()["swagger"], "2.0");
    let protobuf = accepting(
        &api,
        "/openapi/v2",
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    );
    assert_eq!(
        protobuf.text,
        "\n\u{3}2.0\u{12}\u{1a}\n\nKubernetes\u{12}\u{c}v1.31.2+k3s1B\0"
    );
    assert!(
        get(&api, "/").json()["paths"]
            .as_array()
            .expect("a list")
            .contains(&json!("/apis/apps/v1"))
    );
}

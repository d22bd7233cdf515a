//! Self reviews: what the recorded account might do.

use bundle::manifest::GapReason::Refused;
use serde_json::{Value, json};

use crate::bundles::{api, api_with, get, list, manifest, namespaces, object, pod, post};

const ACCESS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const RULES: &str = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";

fn rules(verbs: &[&str], group: &str, resources: &[&str]) -> Value {
    json!({ "verbs": verbs, "apiGroups": [group], "resources": resources })
}

fn bundle() -> assay_server::BundleApi {
    let reader = rules(&["get", "list"], "", &["pods", "pods/log", "secrets"]);
    let editor = rules(&["*"], "*", &["*"]);
    let named = json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["nodes"], "resourceNames": ["n1"] });
    let paths = json!({ "verbs": ["get"], "nonResourceURLs": ["/healthz", "/api/*"] });
    api_with(
        &[
            (
                "cluster-resources/auth-cani-list/a.json",
                json!([reader, named, paths]).to_string(),
            ),
            (
                "cluster-resources/auth-cani-list/b.json",
                json!([editor, paths]).to_string(),
            ),
            ("cluster-resources/namespaces.json", namespaces(&["a", "b"])),
            (
                "cluster-resources/pods/a.json",
                list("Pod", "v1", &[pod("a", "web", &["c"])]),
            ),
            ("cluster-resources/pods/b.json", list("Pod", "v1", &[])),
            (
                "cluster-resources/deployments/a.json",
                list("Deployment", "apps/v1", &[]),
            ),
            (
                "cluster-resources/deployments/b.json",
                list("Deployment", "apps/v1", &[]),
            ),
            (
                "cluster-resources/configmaps/a.json",
                list("ConfigMap", "v1", &[object("ConfigMap", "v1", "a", "c")]),
            ),
        ],
        manifest(&[(
            "cluster-resources/configmaps/b.json",
            Refused,
            "list configmaps: 403 Forbidden",
        )]),
    )
}

fn allowed(api: &assay_server::BundleApi, attributes: &Value) -> bool {
    let body = json!({ "kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": { "resourceAttributes": attributes } });
    let reply = post(api, ACCESS, &body);
    assert_eq!(reply.code, 201, "{}", reply.text);
    let review = reply.json();
    assert_eq!(review["kind"], "SelfSubjectAccessReview");
    assert_eq!(review["spec"], body["spec"]);
    review["status"]["allowed"].as_bool().expect("a verdict")
}

#[test]
fn access_is_that_of_the_account_that_made_the_bundle() {
    let api = bundle();
    for (attributes, expected) in [
        // What the bundle holds can be read, also where the rules do not say so.
        (json!({ "verb": "list", "resource": "pods" }), true),
        (
            json!({ "verb": "list", "resource": "deployments", "group": "apps", "namespace": "a" }),
            true,
        ),
        (json!({ "verb": "list", "resource": "namespaces" }), true),
        // What was refused cannot.
        (
            json!({ "verb": "list", "resource": "configmaps", "namespace": "b" }),
            false,
        ),
        (json!({ "verb": "list", "resource": "configmaps" }), false),
        (
            json!({ "verb": "list", "resource": "configmaps", "namespace": "a" }),
            true,
        ),
        // The rules say.
        (
            json!({ "verb": "get", "resource": "pods", "subresource": "log", "namespace": "a" }),
            true,
        ),
        (
            json!({ "verb": "create", "resource": "pods", "subresource": "exec", "namespace": "a" }),
            false,
        ),
        (
            json!({ "verb": "create", "resource": "pods", "subresource": "exec", "namespace": "b" }),
            true,
        ),
        (
            json!({ "verb": "create", "resource": "pods", "namespace": "a" }),
            false,
        ),
        (json!({ "verb": "create", "resource": "pods" }), false),
        (
            json!({ "verb": "get", "resource": "nodes", "name": "n1", "namespace": "a" }),
            true,
        ),
        (
            json!({ "verb": "get", "resource": "nodes", "name": "n2", "namespace": "a" }),
            false,
        ),
        (
            json!({ "verb": "create", "resource": "pods", "namespace": "unrecorded" }),
            false,
        ),
    ] {
        assert_eq!(allowed(&api, &attributes), expected, "{attributes}");
    }
    let path = |path: &str| {
        let body = json!({ "spec": { "nonResourceAttributes": { "verb": "get", "path": path } } });
        post(&api, ACCESS, &body).json()["status"]["allowed"].clone()
    };
    assert_eq!(
        (path("/api/v1"), path("/metrics")),
        (json!(true), json!(false))
    );
}

#[test]
fn rules_are_those_recorded() {
    let api = bundle();
    let review = post(&api, RULES, &json!({ "spec": { "namespace": "a" } })).json();
    let status = &review["status"];
    assert_eq!(status["incomplete"], false);
    assert_eq!(status["resourceRules"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        status["nonResourceRules"],
        json!([{ "verbs": ["get"], "nonResourceURLs": ["/healthz", "/api/*"] }])
    );
    let unrecorded = post(&api, RULES, &json!({ "spec": { "namespace": "c" } })).json();
    assert_eq!(unrecorded["status"]["incomplete"], true);
    assert!(
        unrecorded["status"]["evaluationError"]
            .as_str()
            .is_some_and(|error| error.contains("auth-cani-list/c.json"))
    );
    assert!(
        unrecorded["status"]["resourceRules"]
            .as_array()
            .is_some_and(|rules| !rules.is_empty())
    );
    assert_eq!(post(&api, RULES, &json!({})).failure().0, 400);
}

#[test]
fn without_rules_what_is_held_may_be_read() {
    let api = api(&[
        ("cluster-resources/pods/a.json", list("Pod", "v1", &[])),
        ("cluster-resources/pods/logs/a/web/app.log", String::new()),
        (
            "configmaps/b/one.json",
            json!({ "configMapExists": true, "data": {} }).to_string(),
        ),
    ]);
    for (attributes, expected) in [
        (
            json!({ "verb": "get", "resource": "pods", "subresource": "log", "namespace": "a" }),
            true,
        ),
        (
            json!({ "verb": "get", "resource": "pods", "subresource": "log" }),
            true,
        ),
        (
            json!({ "verb": "get", "resource": "pods", "subresource": "log", "namespace": "b" }),
            false,
        ),
        (
            json!({ "verb": "get", "resource": "configmaps", "name": "one", "namespace": "b" }),
            true,
        ),
        (
            json!({ "verb": "get", "resource": "configmaps", "name": "two", "namespace": "b" }),
            false,
        ),
    ] {
        assert_eq!(allowed(&api, &attributes), expected, "{attributes}");
    }
    assert!(allowed(
        &api,
        &json!({ "verb": "watch", "resource": "pods", "namespace": "a" })
    ));
    assert!(!allowed(
        &api,
        &json!({ "verb": "delete", "resource": "pods", "namespace": "a" })
    ));
    assert!(!allowed(
        &api,
        &json!({ "verb": "list", "resource": "nodes" })
    ));
}

#[test]
fn reviews_are_checked_like_any_request() {
    let api = bundle();
    let me = post(
        &api,
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        &json!({}),
    );
    assert_eq!(me.code, 201);
    assert!(me.json()["status"]["userInfo"]["username"].is_string());
    assert_eq!(post(&api, ACCESS, &json!({ "spec": {} })).failure().0, 422);
    for body in [json!("no object"), json!([]), json!({ "kind": "Pod" })] {
        assert_eq!(post(&api, ACCESS, &body).failure().0, 400, "{body}");
    }
    assert_eq!(
        post(
            &api,
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            &json!({})
        )
        .failure()
        .0,
        405
    );
    assert_eq!(get(&api, ACCESS).failure().0, 404);
    let request = http::Request::post(ACCESS)
        .header("content-type", "application/cbor")
        .body(bytes::Bytes::from_static(b"\xa0"))
        .expect("a request");
    assert_eq!(crate::bundles::ask(&api, &request).failure().0, 415);
    let request = http::Request::post(ACCESS)
        .body(bytes::Bytes::from_static(b"{"))
        .expect("a request");
    assert_eq!(crate::bundles::ask(&api, &request).failure().0, 400);
}

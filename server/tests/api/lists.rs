//! Lists and single objects: shapes, order, selectors, pages.

use proptest::prelude::*;
use serde_json::{Value, json};
use syntax::selector::LabelSelector;

use crate::bundles::{accepting, api, get, list, namespaces, object, pod, send};

fn text(value: &Value) -> String {
    value.to_string()
}

#[test]
fn lists_are_whole_and_in_the_order_of_the_api() {
    let api = api(&[
        (
            "cluster-resources/namespaces.json",
            namespaces(&["a", "a-b"]),
        ),
        (
            "cluster-resources/pods/a.json",
            list("Pod", "v1", &[pod("a", "z", &[]), pod("a", "b", &[])]),
        ),
        (
            "cluster-resources/pods/a-b.json",
            list("Pod", "v1", &[pod("a-b", "y", &[])]),
        ),
    ]);
    let all = get(&api, "/api/v1/pods");
    assert_eq!(
        (all.code, all.content_type.as_str()),
        (200, "application/json")
    );
    // etcd sorts keys as bytes, and `-` comes before `/`.
    assert_eq!(all.names(), ["a-b/y", "a/b", "a/z"]);
    let whole = all.json();
    assert_eq!(
        (&whole["kind"], &whole["apiVersion"]),
        (&json!("PodList"), &json!("v1"))
    );
    assert_eq!(whole["metadata"]["resourceVersion"], "687");
    assert_eq!(
        get(&api, "/api/v1/namespaces/a/pods").names(),
        ["a/b", "a/z"]
    );
    assert_eq!(
        get(&api, "/api/v1/namespaces/a/pods/b").json()["metadata"]["name"],
        "b"
    );
    assert_eq!(
        get(&api, "/api/v1/namespaces/a").json()["kind"],
        "Namespace"
    );
    assert_eq!(
        get(&api, "/api/v1/namespaces/a/status").json()["kind"],
        "Namespace"
    );
}

#[test]
fn old_layouts_are_read() {
    let untyped = json!([{ "metadata": { "name": "web", "namespace": "a" }, "spec": {} }]);
    let yaml = "- apiVersion: longhorn.io/v1beta1\n  kind: Node\n  metadata:\n    name: n1\n    namespace: lh\n  spec:\n    note: |\n      - not an item\n- apiVersion: longhorn.io/v1beta1\n  kind: Node\n  metadata:\n    name: n2\n    namespace: lh\n    labels:\n      zone: \"1\"\n";
    let api = api(&[
        ("cluster-resources/deployments/a.json", text(&untyped)),
        (
            "cluster-resources/resource-quotas/a.json",
            list(
                "ResourceQuota",
                "v1",
                &[object("ResourceQuota", "v1", "a", "q")],
            ),
        ),
        (
            "cluster-resources/clusterRoleBindings.json",
            list("ClusterRoleBinding", "rbac.authorization.k8s.io/v1", &[]),
        ),
        (
            "cluster-resources/custom-resources/nodes.longhorn.io/lh.yaml",
            yaml.to_owned(),
        ),
        (
            "cluster-resources/namespaces.json",
            text(&object("Namespace", "v1", "", "a")),
        ),
    ]);
    let web = get(&api, "/apis/apps/v1/namespaces/a/deployments/web").json();
    assert_eq!(
        (&web["kind"], &web["apiVersion"]),
        (&json!("Deployment"), &json!("apps/v1"))
    );
    assert_eq!(get(&api, "/apis/apps/v1/deployments").names(), ["a/web"]);
    assert_eq!(get(&api, "/api/v1/resourcequotas").names(), ["a/q"]);
    assert_eq!(
        get(
            &api,
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
        )
        .names(),
        [""; 0]
    );
    assert_eq!(get(&api, "/api/v1/namespaces").names(), ["a"]);

    let nodes = "/apis/longhorn.io/v1beta1/nodes";
    assert_eq!(get(&api, nodes).names(), ["lh/n1", "lh/n2"]);
    assert_eq!(
        get(&api, &format!("{nodes}?labelSelector=zone%3D1")).names(),
        ["lh/n2"]
    );
    let first = get(&api, "/apis/longhorn.io/v1beta1/namespaces/lh/nodes/n1").json();
    assert_eq!(first["spec"]["note"], "- not an item\n");
}

#[test]
fn a_yaml_link_beside_its_json_is_the_same_file() {
    let widgets = text(&json!([object("Widget", "example.com/v1", "a", "w")]));
    let api = api(&[
        (
            "cluster-resources/custom-resources/widgets.example.com/a.json",
            widgets.clone(),
        ),
        (
            "cluster-resources/custom-resources/widgets.example.com/a.yaml",
            widgets,
        ),
    ]);
    assert_eq!(get(&api, "/apis/example.com/v1/widgets").names(), ["a/w"]);
}

#[test]
fn field_selectors_are_those_of_the_kind() {
    let mut running = pod("a", "one", &["c"]);
    running["status"] = json!({ "phase": "Running" });
    running["spec"]["nodeName"] = json!("n1");
    let mut pending = pod("a", "two", &["c"]);
    pending["status"] = json!({ "phase": "Pending" });
    let definition = json!({
        "metadata": { "name": "widgets.example.com" },
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": { "plural": "widgets", "kind": "Widget" },
            "versions": [{ "name": "v1", "served": true, "selectableFields": [{ "jsonPath": ".spec.color" }] }],
        },
    });
    let mut widget = object("Widget", "example.com/v1", "a", "w");
    widget["spec"] = json!({ "color": "blue" });
    let api = api(&[
        (
            "cluster-resources/pods/a.json",
            list("Pod", "v1", &[running, pending]),
        ),
        (
            "cluster-resources/configmaps/a.json",
            list("ConfigMap", "v1", &[object("ConfigMap", "v1", "a", "cm")]),
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
            "cluster-resources/custom-resources/widgets.example.com/a.json",
            text(&json!([widget])),
        ),
    ]);
    let names = |path: &str| get(&api, path).names();
    for (selector, expected) in [
        ("status.phase=Running", vec!["a/one"]),
        ("status.phase!=Running", vec!["a/two"]),
        ("spec.nodeName=", vec!["a/two"]),
        ("spec.nodeName=n1,status.phase=Pending", vec![]),
        ("metadata.name=two", vec!["a/two"]),
        ("metadata.namespace==a", vec!["a/one", "a/two"]),
    ] {
        assert_eq!(
            names(&format!("/api/v1/pods?fieldSelector={selector}")),
            expected,
            "{selector}"
        );
    }
    assert_eq!(
        names("/apis/example.com/v1/widgets?fieldSelector=spec.color%3Dblue"),
        ["a/w"]
    );
    assert_eq!(
        names("/apis/example.com/v1/widgets?fieldSelector=spec.color%3Dred"),
        [""; 0]
    );
    for (path, message) in [
        (
            "/api/v1/pods?fieldSelector=spec.foo=a",
            "field label not supported: spec.foo",
        ),
        (
            "/api/v1/configmaps?fieldSelector=data.a=b",
            r#""data.a" is not a known field selector: only "metadata.name", "metadata.namespace""#,
        ),
        (
            "/apis/example.com/v1/widgets?fieldSelector=spec.size=1",
            "field label not supported: spec.size",
        ),
    ] {
        let failure = get(&api, path).failure();
        assert_eq!(
            failure,
            (400, "BadRequest".to_owned(), message.to_owned()),
            "{path}"
        );
    }
    assert_eq!(
        get(&api, "/api/v1/pods?labelSelector=a%20in%20b")
            .failure()
            .0,
        400
    );
}

/// Path, `Accept`, code and reason.
const REFUSED: &[(&str, &str, u16, &str)] = &[
    (
        "/api/v1/pods",
        "application/vnd.kubernetes.protobuf",
        406,
        "NotAcceptable",
    ),
    (
        "/api/v1/pods",
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        406,
        "NotAcceptable",
    ),
    (
        "/api/v1/pods?watch=true",
        "application/json",
        405,
        "MethodNotAllowed",
    ),
    (
        "/api/v1/watch/pods",
        "application/json",
        405,
        "MethodNotAllowed",
    ),
    (
        "/api/v1/pods?limit=many",
        "application/json",
        400,
        "BadRequest",
    ),
    (
        "/api/v1/pods?continue=%21",
        "application/json",
        400,
        "BadRequest",
    ),
    (
        "/api/v1/pods?continue=e30",
        "application/json",
        400,
        "BadRequest",
    ),
    (
        "/api/v1/pods?resourceVersionMatch=Exact",
        "application/json",
        422,
        "Invalid",
    ),
    (
        "/api/v1/pods?resourceVersion=abc",
        "application/json",
        400,
        "BadRequest",
    ),
    (
        "/api/v1/pods?resourceVersion=0&resourceVersionMatch=Exact",
        "application/json",
        422,
        "Invalid",
    ),
    (
        "/api/v1/pods?resourceVersion=1&resourceVersionMatch=Newest",
        "application/json",
        422,
        "Invalid",
    ),
    ("/api/v1/pods/one", "application/json", 404, "NotFound"),
    (
        "/api/v1/namespaces/a/nodes",
        "application/json",
        404,
        "NotFound",
    ),
    ("/api/v1/unicorns", "application/json", 404, "NotFound"),
    (
        "/apis/nope.example.com/v1/unicorns",
        "application/json",
        404,
        "NotFound",
    ),
    (
        "/api/v1/namespaces/a/pods/one/exec",
        "application/json",
        405,
        "MethodNotAllowed",
    ),
    (
        "/api/v1/namespaces/a/pods/one/unicorn",
        "application/json",
        404,
        "NotFound",
    ),
    ("/metrics", "application/json", 404, "NotFound"),
    ("/api/v2/pods", "application/json", 404, "NotFound"),
];

#[test]
fn what_is_not_understood_is_refused_in_the_words_of_the_api() {
    let api = api(&[(
        "cluster-resources/pods/a.json",
        list("Pod", "v1", &[pod("a", "one", &["c"])]),
    )]);
    for (path, accept, code, reason) in REFUSED.iter().copied() {
        let (found, why, _) = accepting(&api, path, accept).failure();
        assert_eq!((found, why.as_str()), (code, reason), "{path}");
    }
    let missing = get(&api, "/api/v1/namespaces/a/pods/two");
    assert_eq!(missing.failure().2, r#"pods "two" not found"#);
    assert_eq!(
        missing.json()["details"],
        json!({ "name": "two", "kind": "pods" })
    );
    let unknown = get(&api, "/api/v1/unicorns").failure().2;
    assert_eq!(unknown, "the server could not find the requested resource");
    let plain = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    assert_eq!(accepting(&api, "/api/v1/pods", plain).names(), ["a/one"]);
}

/// Every kind is served the same way: what the peer shows of one namespace or of five kinds only.
#[test]
fn all_namespaces_and_labels_count_for_every_kind() {
    let labelled = |kind: &str, version: &str, namespace: &str, name: &str| {
        let mut object = object(kind, version, namespace, name);
        object["metadata"]["labels"] = json!({ "tier": namespace });
        object
    };
    let mut entries = Vec::new();
    for number in 0..50 {
        let namespace = format!("ns-{number:02}");
        let daemon_sets = [labelled("DaemonSet", "apps/v1", &namespace, "agent")];
        entries.push((
            format!("cluster-resources/daemonsets/{namespace}.json"),
            list("DaemonSet", "apps/v1", &daemon_sets),
        ));
        let widgets: Vec<Value> = (0..10)
            .map(|number| {
                labelled(
                    "Widget",
                    "example.com/v1",
                    &namespace,
                    &format!("w{number}"),
                )
            })
            .collect();
        entries.push((
            format!("cluster-resources/custom-resources/widgets.example.com/{namespace}.json"),
            json!(widgets).to_string(),
        ));
    }
    let entries: Vec<(&str, String)> = entries
        .iter()
        .map(|(path, text)| (path.as_str(), text.clone()))
        .collect();
    let api = api(&entries);
    for (path, all, of_three) in [
        ("/apis/apps/v1/daemonsets", 50, 3),
        ("/apis/example.com/v1/widgets", 500, 30),
    ] {
        assert_eq!(get(&api, path).names().len(), all);
        let selected = get(
            &api,
            &format!("{path}?labelSelector=tier%20in%20(ns-01,ns-02,ns-40)"),
        );
        assert_eq!(selected.names().len(), of_three, "{path}");
        assert_eq!(get(&api, &format!("{path}?limit=7")).names().len(), 7);
    }
}

#[test]
fn metadata_can_be_had_alone() {
    let mut web = pod("a", "web", &["c"]);
    web["metadata"]["labels"] = json!({ "app": "web" });
    let api = api(&[(
        "cluster-resources/pods/a.json",
        list("Pod", "v1", &[web.clone()]),
    )]);
    let expected = json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": web["metadata"],
    });
    let one = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    assert_eq!(
        accepting(&api, "/api/v1/namespaces/a/pods/web", one).json(),
        expected
    );
    let many = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let all = accepting(&api, "/api/v1/pods", many).json();
    assert_eq!(
        (&all["kind"], &all["apiVersion"], &all["items"]),
        (
            &json!("PartialObjectMetadataList"),
            &json!("meta.k8s.io/v1"),
            &json!([expected])
        )
    );
    assert_eq!(accepting(&api, "/api/v1/pods", one).failure().0, 406);
}

#[test]
fn nothing_can_be_changed() {
    let api = api(&[(
        "cluster-resources/pods/a.json",
        list("Pod", "v1", &[pod("a", "one", &["c"])]),
    )]);
    for method in [
        "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT",
    ] {
        for path in [
            "/api/v1/namespaces/a/pods/one",
            "/api/v1/pods",
            "/api/v1/namespaces/a/pods/one/exec",
            "/version",
        ] {
            let method = method.parse().expect("a method");
            let reply = send(&api, method, path, &json!({}));
            let (code, reason, message) = reply.failure();
            assert_eq!((code, reason.as_str()), (405, "MethodNotAllowed"), "{path}");
            assert!(message.contains("read-only"), "{message}");
        }
    }
}

#[test]
fn pages_carry_what_is_left() {
    let pods: Vec<Value> = (0..5)
        .map(|number| pod("a", &format!("p{number}"), &[]))
        .collect();
    let api = api(&[("cluster-resources/pods/a.json", list("Pod", "v1", &pods))]);
    let first = get(&api, "/api/v1/pods?limit=2").json();
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    let token = first["metadata"]["continue"]
        .as_str()
        .expect("there is more");
    let rest = get(&api, &format!("/api/v1/pods?continue={token}"));
    assert_eq!(rest.names(), ["a/p2", "a/p3", "a/p4"]);
    assert_eq!(rest.json()["metadata"], json!({ "resourceVersion": "687" }));
    let selected = get(
        &api,
        "/api/v1/pods?limit=2&fieldSelector=metadata.namespace%3Da",
    )
    .json();
    assert_eq!(selected["metadata"].get("remainingItemCount"), None);
    assert_eq!(
        get(&api, "/api/v1/pods?limit=5").json()["metadata"].get("continue"),
        None
    );
}

#[test]
fn a_token_of_another_bundle_has_expired() {
    let bundle = |version: &str| {
        let pods = json!({ "kind": "PodList", "metadata": { "resourceVersion": version }, "items": [pod("a", "x", &[]), pod("a", "y", &[])] });
        api(&[("cluster-resources/pods/a.json", text(&pods))])
    };
    let page = get(&bundle("7"), "/api/v1/pods?limit=1").json();
    let token = page["metadata"]["continue"]
        .as_str()
        .expect("there is more");
    let path = format!("/api/v1/pods?limit=1&continue={token}");
    assert_eq!(get(&bundle("7"), &path).names(), ["a/y"]);
    let (code, reason, _) = get(&bundle("8"), &path).failure();
    assert_eq!((code, reason.as_str()), (410, "Expired"));
}

/// Namespace, name and labels.
type Labelled = (String, String, Vec<(String, String)>);

/// Namespaces, names and labels that sort and collide in every way that matters.
fn objects() -> impl Strategy<Value = Vec<Labelled>> {
    let label = ("[abc]", "[xy1]{0,1}");
    let labels = proptest::collection::btree_map(label.0, label.1, 0..3)
        .prop_map(|labels| labels.into_iter().collect());
    proptest::collection::vec(("(a|a-b|ab|b)", "[a-c]{1,2}", labels), 0..12)
}

fn serve(objects: &[Labelled]) -> assay_server::BundleApi {
    let mut by_namespace = std::collections::BTreeMap::<&str, Vec<Value>>::new();
    for (namespace, name, labels) in objects {
        let mut value = pod(namespace, name, &[]);
        value["metadata"]["labels"] = labels
            .iter()
            .cloned()
            .collect::<std::collections::BTreeMap<_, _>>()
            .into_iter()
            .collect();
        by_namespace.entry(namespace).or_default().push(value);
    }
    let entries: Vec<(String, String)> = by_namespace
        .into_iter()
        .map(|(namespace, pods)| {
            (
                format!("cluster-resources/pods/{namespace}.json"),
                list("Pod", "v1", &pods),
            )
        })
        .chain([(
            "cluster-resources/pods/empty.json".to_owned(),
            list("Pod", "v1", &[]),
        )])
        .collect();
    let entries: Vec<(&str, String)> = entries
        .iter()
        .map(|(path, text)| (path.as_str(), text.clone()))
        .collect();
    api(&entries)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_selector_is_the_naive_filter(
        objects in objects(),
        terms in proptest::collection::vec(
            ("[abc]", prop_oneof![
                Just(""), Just("=x"), Just("==y"), Just("!=x"), Just(" in (x,1)"), Just(" notin (x,y)"), Just(">0"), Just("<2"),
            ], any::<bool>()),
            0..4,
        ),
    ) {
        let selector: Vec<String> = terms
            .iter()
            .map(|(key, rest, negated)| if *negated && rest.is_empty() { format!("!{key}") } else { format!("{key}{rest}") })
            .collect();
        let selector = selector.join(",");
        let parsed = LabelSelector::parse(&selector).expect("the selector is well-formed");
        let api = serve(&objects);
        let all = get(&api, "/api/v1/pods").json();
        let expected: Vec<&Value> = all["items"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|item| parsed.matches_json(&item["metadata"]["labels"]))
            .collect();
        let query: String = form_urlencoded::byte_serialize(selector.as_bytes()).collect();
        let found = get(&api, &format!("/api/v1/pods?labelSelector={query}")).json();
        prop_assert_eq!(found["items"].as_array().expect("a list").iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn pages_of_any_size_are_the_whole(objects in objects(), limit in 1_usize..6, namespaced: bool) {
        let api = serve(&objects);
        let path = if namespaced { "/api/v1/namespaces/a/pods" } else { "/api/v1/pods" };
        if namespaced && !objects.iter().any(|(namespace, _, _)| namespace == "a") {
            return Ok(());
        }
        let whole = get(&api, path).names();
        let mut sorted = whole.clone();
        sorted.sort();
        prop_assert_eq!(&whole, &sorted);
        let mut paged = Vec::new();
        let mut next = String::new();
        loop {
            let page = get(&api, &format!("{path}?limit={limit}&continue={next}"));
            prop_assert!(page.names().len() <= limit);
            paged.extend(page.names());
            match page.json()["metadata"]["continue"].as_str() {
                Some(token) => next = token.to_owned(),
                None => break,
            }
        }
        prop_assert_eq!(paged, whole);
    }

    #[test]
    fn no_request_panics(path in "/[ -~]{0,40}", query in "[ -~]{0,30}") {
        let api = serve(&[]);
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let uri = format!("{}?{query}", path.replace(['?', '#', ' ', '"', '<', '>', '\\', '^', '`', '{', '|', '}'], "x"));
        if let Ok(uri) = uri.parse::<http::Uri>() {
            let request = http::Request::get(uri).body(bytes::Bytes::new()).expect("a request");
            let _ = crate::bundles::ask(&api, &request);
        }
    }
}

//! `clusterResources` against an API server that behaves, and one that does not.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bundle::manifest::{Ending, GapReason, Outcome};
use serde_json::{Value, json};

use crate::collector::Context;
use crate::run::{Settings, Stop};
use crate::testing::{Collected, Reply, Seen, Server, collect, empty_cluster, list, object, page};

async fn collected(context: &Context) -> Collected {
    with_config(context, &json!({})).await
}

async fn with_config(context: &Context, config: &Value) -> Collected {
    let settings = Settings::default();
    collect(
        context,
        "clusterResources",
        config,
        &settings,
        &Stop::default(),
    )
    .await
}

const PODS: &str = "/api/v1/pods";

fn refusal(request: &Seen) -> Reply {
    Reply::status(403, "Forbidden", &format!("{} is forbidden", request.path))
}

fn pods(names: &[(&str, &str)]) -> Vec<Value> {
    names
        .iter()
        .map(|(namespace, name)| {
            let mut pod = object(namespace, name);
            pod["status"] = json!({"phase": "Running", "containerStatuses": [{"name": "main",
                "ready": true, "state": {"running": {}}}]});
            pod["metadata"]["managedFields"] = json!([{"manager": "kubelet"}]);
            pod
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_list_becomes_a_file_for_each_namespace() {
    let server = Server::start(|request| match request.path.as_str() {
        PODS => Reply::json(list(
            "Pod",
            pods(&[("a", "one"), ("a", "two"), ("c", "three")]),
        )),
        _ => empty_cluster(request, &["a", "b", "c"]),
    })
    .await;
    let bundle = collected(&server.context()).await;
    assert_eq!(bundle.record.outcome, Outcome::Complete);
    let a = bundle.text("cluster-resources/pods/a.json");
    let expected = r#"{
  "kind": "PodList",
  "apiVersion": "v1",
  "metadata": {
    "resourceVersion": "9"
  },
  "items": [
    {
      "kind": "Pod",
      "apiVersion": "v1",
      "metadata": {
        "name": "one","#;
    assert!(a.is_some_and(|a| a.starts_with(expected) && !a.contains("managedFields")));
    assert_eq!(
        bundle.text("cluster-resources/pods/b.json").as_deref(),
        Some(
            "{\n  \"kind\": \"PodList\",\n  \"apiVersion\": \"v1\",\n  \"metadata\": {\n    \"resourceVersion\": \"9\"\n  },\n  \"items\": []\n}"
        )
    );
    assert_eq!(
        bundle.names("cluster-resources/pods/c.json"),
        Some(vec!["three".into()])
    );
    let namespaced = bundle.paths();
    for kind in super::NAMESPACED {
        for namespace in ["a", "b", "c"] {
            let path = format!("cluster-resources/{}/{namespace}.json", kind.place);
            assert!(namespaced.contains(&path), "{path}");
        }
    }
    for kind in super::CLUSTER_WIDE {
        assert!(namespaced.contains(&format!("cluster-resources/{}.json", kind.place)));
    }
    let rules = bundle.json("cluster-resources/auth-cani-list/b.json");
    assert_eq!(
        rules,
        Some(json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]))
    );
    assert!(!namespaced.iter().any(|path| path.contains("errors")));
    for request in server.seen() {
        let secrets = request.path.ends_with("/secrets");
        assert!(
            !secrets || request.query.contains_key("fieldSelector"),
            "{request:?}"
        );
        assert_eq!(request.headers.get("authorization"), None);
    }
}

#[tokio::test]
async fn an_administrator_of_many_namespaces_costs_few_requests() {
    let names: Vec<String> = (0..54).map(|number| format!("ns-{number:02}")).collect();
    let all = names.clone();
    let server = Server::start(move |request| {
        let names: Vec<&str> = all.iter().map(String::as_str).collect();
        empty_cluster(request, &names)
    })
    .await;
    let bundle = collected(&server.context()).await;
    assert_eq!(bundle.record.outcome, Outcome::Complete);
    assert!(
        bundle
            .text("cluster-resources/services/ns-53.json")
            .is_some()
    );
    assert_eq!(bundle.record.requests, server.seen().len() as u64);
    assert!(server.seen().len() < 60, "{}", server.seen().len());
}

#[tokio::test]
async fn the_shape_of_the_namespaces_follows_the_question() {
    let server = Server::start(
        |request| match request.path.strip_prefix("/api/v1/namespaces/") {
            Some("gone") => Reply::status(404, "NotFound", "namespaces \"gone\" not found"),
            Some(name) if !name.contains('/') => Reply::json(
                json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}}),
            ),
            _ => empty_cluster(request, &["a"]),
        },
    )
    .await;
    let file = "cluster-resources/namespaces.json";
    let mut context = server.context();
    let listed = collected(&context).await.json(file);
    assert_eq!(
        listed.map(|list| list["kind"].clone()),
        Some(json!("NamespaceList"))
    );

    let named = with_config(&context, &json!({"namespaces": ["a", "gone", "b"]})).await;
    let array = named.json(file).unwrap_or_default();
    assert_eq!(array[1]["metadata"]["name"], "b");
    assert_eq!(named.gaps(file), [GapReason::Absent]);
    assert!(
        named
            .text("cluster-resources/namespaces-errors.json")
            .is_some()
    );
    assert!(named.text("cluster-resources/pods/b.json").is_some());

    context.namespace = Some("only".into());
    let single = collected(&context).await.json(file).unwrap_or_default();
    assert_eq!(single["metadata"]["name"], "only");
}

/// May list pods in namespace `a`, and nothing else.
fn reader_of_a(request: &Seen) -> Reply {
    let path = request.path.as_str();
    let rule = json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]});
    match path {
        "/api/v1/namespaces" => empty_cluster(request, &["a", "b"]),
        "/api/v1/namespaces/a/pods" => Reply::json(list("Pod", pods(&[("a", "one")]))),
        "/api" | "/apis" => empty_cluster(request, &[]),
        _ if path.ends_with("selfsubjectaccessreviews") => {
            Reply::json(json!({"status": {"allowed": false}}))
        }
        _ if path.ends_with("selfsubjectrulesreviews") => {
            let rules = if request.body.contains("\"a\"") {
                json!([rule])
            } else {
                json!([])
            };
            Reply::json(json!({"status": {"resourceRules": rules, "nonResourceRules": []}}))
        }
        _ => refusal(request),
    }
}

#[tokio::test]
async fn who_may_read_one_namespace_gets_that_and_is_told_what_is_missing() {
    let server = Server::start(reader_of_a).await;
    let bundle = collected(&server.context()).await;
    assert_eq!(bundle.record.outcome, Outcome::Partial);
    assert_eq!(
        bundle.names("cluster-resources/pods/a.json"),
        Some(vec!["one".into()])
    );
    assert_eq!(bundle.text("cluster-resources/pods/b.json"), None);
    assert_eq!(
        bundle.gaps("cluster-resources/pods/b.json"),
        [GapReason::Refused]
    );
    assert_eq!(
        bundle.gaps("cluster-resources/services/*.json"),
        [GapReason::Refused]
    );
    assert_eq!(
        bundle.gaps("cluster-resources/nodes.json"),
        [GapReason::Refused]
    );
    assert_eq!(
        bundle.gaps("cluster-resources/custom-resources/**"),
        [GapReason::Refused]
    );
    let errors = bundle
        .json("cluster-resources/pods-errors.json")
        .unwrap_or_default();
    assert!(
        errors["b"]
            .as_str()
            .is_some_and(|error| error.contains("not allowed"))
    );
    // What the review rules out is not asked for.
    let asked = server.seen();
    assert!(
        !asked
            .iter()
            .any(|request| request.path == "/api/v1/namespaces/b/pods")
    );
    assert!(
        !asked
            .iter()
            .any(|request| request.path == "/api/v1/namespaces/a/services")
    );
}

#[tokio::test]
async fn where_namespaces_may_not_be_listed_the_likely_ones_are_read() {
    let server = Server::start(|request| match request.path.as_str() {
        "/api/v1/namespaces" => refusal(request),
        _ => reader_of_a(request),
    })
    .await;
    let mut context = server.context();
    let named = std::collections::BTreeSet::from(["a".to_owned()]);
    context.cluster = context
        .cluster
        .map(|cluster| cluster.for_collector(&named.into()).into());
    let output = crate::collector::Output::new(crate::testing::archive());
    let kind = super::KIND;
    let collector = (kind.parse)(&json!({}), &crate::collector::Meta::default());
    let collector = collector.expect("an empty configuration").config;
    collector
        .collect(&context, &output)
        .await
        .expect("no more than gaps");
    let path = bundle::BundlePath::new("cluster-resources/pods/a.json");
    assert!(path.is_ok_and(|path| output.contains(&path)));
    let gaps = output.written().gaps;
    let whole = gaps
        .iter()
        .find(|gap| gap.path == "cluster-resources/pods/*.json");
    assert!(whole.is_some_and(|gap| gap.detail.starts_with("only a could be looked into")));
    assert!(
        gaps.iter()
            .any(|gap| gap.path == "cluster-resources/namespaces.json")
    );
}

#[tokio::test]
async fn one_forbidden_namespace_is_no_silent_hole() {
    let server = Server::start(|request| match request.path.as_str() {
        PODS | "/api/v1/namespaces/b/pods" => refusal(request),
        "/api/v1/namespaces/a/pods" => Reply::json(list("Pod", pods(&[("a", "one")]))),
        _ => empty_cluster(request, &["a", "b"]),
    })
    .await;
    let bundle = collected(&server.context()).await;
    assert_eq!(
        bundle.names("cluster-resources/pods/a.json"),
        Some(vec!["one".into()])
    );
    assert_eq!(
        bundle.gaps("cluster-resources/pods/b.json"),
        [GapReason::Refused]
    );
    assert_eq!(bundle.record.outcome, Outcome::Partial);
}

#[tokio::test]
async fn an_expired_token_goes_on_where_the_server_offers_it() {
    let server =
        Server::start(
            |request| match (request.path.as_str(), request.query.get("continue")) {
                (PODS, None) => {
                    Reply::json(page("Pod", "first", pods(&[("a", "one"), ("b", "two")])))
                }
                (PODS, Some(token)) if token == "first" => {
                    let mut expired = Reply::status(410, "Expired", "too old");
                    expired = expired
                        .replacing("\"metadata\":{}", "\"metadata\":{\"continue\":\"later\"}");
                    expired
                }
                (PODS, Some(_)) => Reply::json(list("Pod", pods(&[("b", "three")]))),
                _ => empty_cluster(request, &["a", "b"]),
            },
        )
        .await;
    let bundle = collected(&server.context()).await;
    let b = bundle.names("cluster-resources/pods/b.json");
    assert_eq!(b, Some(vec!["two".into(), "three".into()]));
    assert_eq!(
        bundle.gaps("cluster-resources/pods/*.json"),
        [GapReason::Limit]
    );
}

#[tokio::test]
async fn an_expired_token_without_offer_starts_over_and_repeats_nothing() {
    let expired = AtomicU32::new(0);
    let server = Server::start(move |request| {
        match (request.path.as_str(), request.query.get("continue")) {
            (PODS, None) => Reply::json(page("Pod", "next", pods(&[("a", "one"), ("a", "two")]))),
            (PODS, Some(_)) if expired.fetch_add(1, Ordering::SeqCst) == 0 => {
                Reply::status(410, "Expired", "too old")
            }
            (PODS, Some(_)) => Reply::json(list("Pod", pods(&[("a", "three")]))),
            _ => empty_cluster(request, &["a"]),
        }
    })
    .await;
    let bundle = collected(&server.context()).await;
    let a = bundle.names("cluster-resources/pods/a.json");
    assert_eq!(a, Some(vec!["one".into(), "two".into(), "three".into()]));
    assert_eq!(
        bundle.gaps("cluster-resources/pods/*.json"),
        [GapReason::Limit]
    );
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_it_is_counted() {
    let tries = AtomicU32::new(0);
    let server = Server::start(move |request| match request.path.as_str() {
        PODS => match tries.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::status(429, "TooManyRequests", "busy").header("retry-after", "1"),
            1 => Reply::status(429, "TooManyRequests", "busy").header("retry-after", "0"),
            _ => Reply::json(list("Pod", pods(&[("a", "one")]))),
        },
        _ => empty_cluster(request, &["a"]),
    })
    .await;
    let bundle = collected(&server.context()).await;
    assert_eq!(bundle.record.outcome, Outcome::Complete);
    assert_eq!(bundle.record.retries, 2);
    // These tests never wait longer than 50 ms.
    assert!(bundle.record.throttled_ms >= 50);
    assert_eq!(
        bundle.names("cluster-resources/pods/a.json"),
        Some(vec!["one".into()])
    );
}

#[tokio::test]
async fn a_page_that_breaks_off_is_asked_for_again_and_repeats_nothing() {
    let tries = AtomicU32::new(0);
    let server = Server::start(move |request| match request.path.as_str() {
        PODS if tries.fetch_add(1, Ordering::SeqCst) == 0 => {
            let whole = list("Pod", pods(&[("a", "one"), ("b", "two"), ("b", "three")]));
            let half = whole.find("three").unwrap_or_default();
            Reply::json(&whole[..half]).then_break()
        }
        PODS => Reply::json(list(
            "Pod",
            pods(&[("a", "one"), ("b", "two"), ("b", "three")]),
        )),
        _ => empty_cluster(request, &["a", "b"]),
    })
    .await;
    let bundle = collected(&server.context()).await;
    assert_eq!(bundle.record.outcome, Outcome::Complete);
    assert_eq!(
        bundle.names("cluster-resources/pods/a.json"),
        Some(vec!["one".into()])
    );
    let b = bundle.names("cluster-resources/pods/b.json");
    assert_eq!(b, Some(vec!["two".into(), "three".into()]));
}

#[tokio::test]
async fn a_list_that_falls_silent_ends_and_what_came_is_kept() {
    let server = Server::start(|request| match request.path.as_str() {
        PODS => {
            let whole = list("Pod", pods(&[("a", "one"), ("b", "two"), ("c", "three")]));
            let part = whole.find("three").unwrap_or_default();
            Reply::json(&whole[..part]).then_silence()
        }
        _ => empty_cluster(request, &["a", "b", "c"]),
    })
    .await;
    let bundle = collected(&server.context()).await;
    assert_eq!(bundle.record.outcome, Outcome::Partial);
    assert_eq!(
        bundle.names("cluster-resources/pods/a.json"),
        Some(vec!["one".into()])
    );
    assert_eq!(
        bundle.names("cluster-resources/pods/b.json"),
        Some(vec!["two".into()])
    );
    assert_eq!(bundle.gaps("cluster-resources/pods/a.json"), []);
    // Whether more of it was to come nobody knows.
    assert_eq!(
        bundle.gaps("cluster-resources/pods/b.json"),
        [GapReason::Deadline]
    );
    assert_eq!(
        bundle.gaps("cluster-resources/pods/c.json"),
        [GapReason::Deadline]
    );
    assert!(bundle.text("cluster-resources/services/c.json").is_some());
}

#[tokio::test]
async fn an_item_that_is_no_json_costs_only_itself() {
    let server = Server::start(|request| match request.path.as_str() {
        PODS => {
            let whole = list("Pod", pods(&[("a", "one"), ("a", "two"), ("b", "three")]));
            let broken = whole.replacen("\"name\":\"two\"", "\"name\":\"two\",oops", 1);
            Reply::json(broken)
        }
        _ => empty_cluster(request, &["a", "b"]),
    })
    .await;
    let bundle = collected(&server.context()).await;
    assert_eq!(
        bundle.names("cluster-resources/pods/a.json"),
        Some(vec!["one".into()])
    );
    assert_eq!(
        bundle.names("cluster-resources/pods/b.json"),
        Some(vec!["three".into()])
    );
    let gap = bundle
        .record
        .gaps
        .first()
        .map(|gap| (gap.reason, gap.detail.clone()));
    assert!(gap.is_some_and(|(reason, detail)| {
        reason == GapReason::Malformed && detail.contains("/two: not JSON")
    }));
}

#[tokio::test]
async fn a_list_in_no_order_loses_nothing() {
    let server = Server::start(|request| match request.path.as_str() {
        PODS => Reply::json(list(
            "Pod",
            pods(&[("b", "one"), ("a", "two"), ("b", "three")]),
        )),
        _ => empty_cluster(request, &["a", "b"]),
    })
    .await;
    let bundle = collected(&server.context()).await;
    assert_eq!(
        bundle.names("cluster-resources/pods/b.json"),
        Some(vec!["one".into()])
    );
    assert_eq!(
        bundle.names("cluster-resources/pods/b.2.json"),
        Some(vec!["three".into()])
    );
    assert_eq!(
        bundle.gaps("cluster-resources/pods/b.json"),
        [GapReason::Malformed]
    );
}

#[tokio::test]
async fn a_stale_aggregated_api_costs_only_itself() {
    let server = Server::start(|request| match request.path.as_str() {
        "/apis" => empty_cluster(request, &[]).replacing(
            "\"items\":[",
            r#""items":[{"metadata":{"name":"metrics.k8s.io"},"versions":[{"version":"v1beta1","freshness":"Stale"}]},"#,
        ),
        _ => empty_cluster(request, &["a"]),
    })
    .await;
    let bundle = collected(&server.context()).await;
    assert_eq!(
        bundle.gaps("cluster-resources/resources.json"),
        [GapReason::Failed]
    );
    assert_eq!(bundle.record.gaps.len(), 1);
    let errors = bundle.json("cluster-resources/groups-resources-errors.json");
    assert!(errors.is_some_and(|errors| {
        errors[0]
            .as_str()
            .is_some_and(|text| text.contains("metrics.k8s.io/v1beta1"))
    }));
    assert!(
        bundle
            .text("cluster-resources/deployments/a.json")
            .is_some()
    );
}

#[tokio::test]
async fn a_deadline_or_signal_says_exactly_what_is_missing() {
    let server = Server::start(|request| match request.path.as_str() {
        PODS => Reply::silence(),
        _ => empty_cluster(request, &["a"]),
    })
    .await;
    let context = server.context();
    let settings = Settings {
        run_deadline: Some(Duration::from_millis(600)),
        ..Settings::default()
    };
    let config = json!({});
    let bundle = collect(
        &context,
        "clusterResources",
        &config,
        &settings,
        &Stop::default(),
    )
    .await;
    assert_eq!(bundle.ending, Ending::Deadline);
    assert_eq!(bundle.record.outcome, Outcome::Cancelled);
    assert_eq!(
        bundle.gaps("cluster-resources/pods/*.json"),
        [GapReason::Deadline]
    );
    assert_eq!(bundle.record.gaps.len(), 1, "{:?}", bundle.record.gaps);
    assert!(bundle.text("cluster-resources/nodes.json").is_some());

    let stop = Stop::default();
    stop.signal("SIGINT");
    let bundle = collect(&context, "clusterResources", &config, &settings, &stop).await;
    assert_eq!(bundle.ending, Ending::Signal("SIGINT".into()));
    assert_eq!(bundle.gaps("cluster-resources/**"), [GapReason::Cancelled]);
}

fn definition(plural: &str, scope: &str) -> Value {
    json!({"metadata": {"name": format!("{plural}.example.org")}, "spec": {
        "group": "example.org", "scope": scope, "names": {"plural": plural},
        "versions": [{"name": "v1beta1", "served": true}, {"name": "v1", "served": true}]}})
}

#[tokio::test]
async fn custom_resources_are_arrays_with_a_link() {
    let server = Server::start(|request| match request.path.as_str() {
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions" => {
            let all = [("cats", "Namespaced"), ("dogs", "Namespaced"), ("zoos", "Cluster")];
            Reply::json(list("CustomResourceDefinition", all.map(|(plural, scope)| definition(plural, scope))))
        }
        "/apis/example.org/v1/cats" => Reply::json(
            json!({"apiVersion": "example.org/v1", "items": [object("a", "tom")], "kind": "CatList", "metadata": {}}),
        ),
        "/apis/example.org/v1/zoos" => Reply::json(list("Zoo", [object("", "berlin")])),
        "/apis/example.org/v1/dogs" => Reply::status(500, "InternalError", "conversion webhook"),
        _ => empty_cluster(request, &["a", "b"]),
    })
    .await;
    let bundle = collected(&server.context()).await;
    let root = "cluster-resources/custom-resources";
    let tom = "[\n  {\n    \"metadata\": {\n      \"name\": \"tom\",\n      \"namespace\": \"a\"\n    }\n  }\n]";
    for file in ["cats.example.org/a.json", "cats.example.org/a.yaml"] {
        assert_eq!(bundle.text(&format!("{root}/{file}")).as_deref(), Some(tom));
    }
    assert_eq!(
        bundle.text(&format!("{root}/cats.example.org/b.json")),
        None
    );
    assert_eq!(
        bundle.names(&format!("{root}/zoos.example.org.yaml")),
        Some(vec!["berlin".into()])
    );
    let errors = bundle.json(&format!("{root}/custom-resources-errors.json"));
    assert!(errors.is_some_and(|errors| {
        errors["dogs.example.org"]
            .as_str()
            .is_some_and(|text| text.contains("500"))
    }));
    assert_eq!(
        bundle.gaps(&format!("{root}/dogs.example.org/*.json")),
        [GapReason::Failed]
    );
}

#[tokio::test]
async fn of_unhealthy_pods_the_logs_are_kept() {
    let server = Server::start(|request| match request.path.as_str() {
        PODS => {
            let crashing = json!({"metadata": {"name": "crash", "namespace": "a"},
                "spec": {"nodeName": "n", "initContainers": [{"name": "init"}], "containers": [{"name": "main"}]},
                "status": {"phase": "Running", "containerStatuses": [{"name": "main", "ready": false, "restartCount": 3,
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}});
            let pending = json!({"metadata": {"name": "pending", "namespace": "a"},
                "spec": {"containers": [{"name": "main"}]}, "status": {"phase": "Pending"}});
            let gone = json!({"metadata": {"name": "gone", "namespace": "a"},
                "spec": {"nodeName": "n", "containers": [{"name": "main"}]}, "status": {"phase": "Failed"}});
            let mut all = pods(&[("a", "healthy")]);
            all.extend([crashing, pending, gone]);
            Reply::json(list("Pod", all))
        }
        "/api/v1/namespaces/a/pods/crash/log" => {
            assert_eq!(request.query.get("tailLines").map(String::as_str), Some("500"));
            assert_eq!(request.query.get("limitBytes").map(String::as_str), Some("5000000"));
            let previous = if request.query.contains_key("previous") { "before" } else { "now" };
            Reply::json(format!("{} {previous}", request.query["container"]))
        }
        "/api/v1/namespaces/a/pods/gone/log" => Reply::status(404, "NotFound", "pods \"gone\" not found"),
        path => {
            assert!(!path.ends_with("/log"), "{path}");
            empty_cluster(request, &["a"])
        }
    })
    .await;
    let bundle = collected(&server.context()).await;
    let logs = "cluster-resources/pods/logs/a";
    let text = |path: &str| bundle.text(&format!("{logs}/{path}"));
    assert_eq!(text("crash/main.log").as_deref(), Some("main now"));
    assert_eq!(
        text("crash/main-previous.log").as_deref(),
        Some("main before")
    );
    assert_eq!(text("crash/init.log").as_deref(), Some("init now"));
    assert_eq!(text("crash/init-previous.log"), None);
    assert!(text("pending/main-logs-errors.log").is_some_and(|text| text.contains("no node")));
    assert!(text("gone/main-logs-errors.log").is_some_and(|text| text.contains("404")));
    assert_eq!(
        bundle.gaps(&format!("{logs}/gone/main.log")),
        [GapReason::Absent]
    );
}

#[tokio::test]
async fn nothing_of_a_secret_is_kept_but_names() {
    let config =
        json!({"auths": {"registry.example.org": {"auth": STANDARD.encode("robot:hunter2")}}});
    let secret = json!({"metadata": {"name": "pull", "namespace": "a"},
        "data": {".dockerconfigjson": STANDARD.encode(config.to_string())}});
    let server = Server::start(move |request| match request.path.as_str() {
        "/api/v1/secrets" if request.query["fieldSelector"].starts_with("type=") => {
            Reply::json(list("Secret", [secret.clone()]))
        }
        _ => empty_cluster(request, &["a"]),
    })
    .await;
    let bundle = collected(&server.context()).await;
    let kept = bundle.text("cluster-resources/image-pull-secrets/a/pull.json");
    assert_eq!(kept.as_deref(), Some(r#"{"registry.example.org":"robot"}"#));
    for path in bundle.paths() {
        let text = bundle.text(&path).unwrap_or_default();
        assert!(
            !text.contains("hunter2") && !text.contains("cm9ib3Q"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_name_that_is_none_costs_only_itself() {
    let server = Server::start(|request| {
        assert!(!request.path.contains("such"), "{}", request.path);
        empty_cluster(request, &["a"])
    })
    .await;
    let config = json!({"namespaces": ["a", "no/../such"]});
    let bundle = with_config(&server.context(), &config).await;
    assert!(bundle.text("cluster-resources/pods/a.json").is_some());
    let gap = &bundle.record.gaps[0];
    assert_eq!(gap.reason, GapReason::Malformed);
    assert!(gap.detail.contains("\"no/../such\""), "{}", gap.detail);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_not_asked_for_each_kind() {
    let server = Server::start(|_| Reply::status(401, "Unauthorized", "Unauthorized")).await;
    let bundle = collected(&server.context()).await;
    assert_eq!(bundle.record.outcome, Outcome::Failed);
    assert!(bundle.record.requests <= 2, "{}", bundle.record.requests);
    assert_eq!(
        bundle.gaps("cluster-resources/nodes.json"),
        [GapReason::Refused]
    );
}

#[tokio::test]
async fn logs_that_a_deadline_cuts_are_said_to_be_missing_and_nothing_else() {
    let server = Server::start(|request| match request.path.as_str() {
        PODS => {
            let failed = json!({"metadata": {"name": "failed", "namespace": "a"},
                "spec": {"nodeName": "n", "containers": [{"name": "main"}]}, "status": {"phase": "Failed"}});
            Reply::json(list("Pod", [failed]))
        }
        path if path.ends_with("/log") => Reply::silence(),
        _ => empty_cluster(request, &["a"]),
    })
    .await;
    let stop = Stop::default();
    let (trigger, seen) = (stop.clone(), server.log());
    tokio::spawn(async move {
        let asked = |request: &Seen| request.path.ends_with("/log");
        while !seen.lock().is_ok_and(|seen| seen.iter().any(asked)) {
            tokio::task::yield_now().await;
        }
        trigger.signal("SIGTERM");
    });
    let context = server.context();
    let settings = Settings::default();
    let config = json!({});
    let bundle = collect(&context, "clusterResources", &config, &settings, &stop).await;
    assert_eq!(bundle.record.outcome, Outcome::Cancelled);
    assert_eq!(bundle.record.gaps.len(), 1, "{:?}", bundle.record.gaps);
    assert_eq!(
        bundle.gaps("cluster-resources/pods/logs/**"),
        [GapReason::Cancelled]
    );
    assert!(bundle.names("cluster-resources/pods/a.json").is_some());
}

//! Pod logs.

use bundle::manifest::GapReason;
use serde_json::json;

use crate::bundles::{accepting, api, api_with, list, manifest, pod};

const DATED: &str = "2026-03-01T11:58:00.000000000Z one\n2026-03-01T11:59:00.000000000Z two\n  at line 2\n2026-03-01T11:59:50.5Z three\n";

fn log(api: &assay_server::BundleApi, query: &str) -> crate::bundles::Reply {
    accepting(
        api,
        &format!("/api/v1/namespaces/a/pods/{query}"),
        "application/json, */*",
    )
}

fn bundle() -> assay_server::BundleApi {
    let mut web = pod("a", "web", &["app", "proxy"]);
    web["spec"]["initContainers"] = json!([{ "name": "setup" }]);
    web["spec"]["ephemeralContainers"] = json!([{ "name": "debugger" }]);
    let folder = "cluster-resources/pods/logs/a";
    let path = |file: &str| format!("{folder}/{file}");
    let entries = [
        (
            "cluster-resources/pods/a.json".to_owned(),
            list(
                "Pod",
                "v1",
                &[web, pod("a", "db", &["main"]), pod("a", "twin", &["main"])],
            ),
        ),
        (
            "cluster-resources/pods/b.json".to_owned(),
            list("Pod", "v1", &[pod("b", "twin", &["main"])]),
        ),
        (path("web/app.log"), DATED.to_owned()),
        (path("web/app-previous.log"), "before\n".to_owned()),
        (path("web/setup.log"), "set up\n".to_owned()),
        (path("web/debugger.log"), "poking\n".to_owned()),
        (
            path("web/proxy-logs-errors.log"),
            "container \"proxy\" is waiting to start: ImagePullBackOff\n".to_owned(),
        ),
        (path("job-x/collector.log"), "ran\n".to_owned()),
        ("app-logs/db/main.log".to_owned(), "a\nb\nc\n".to_owned()),
        ("app-logs/twin/main.log".to_owned(), "whose?\n".to_owned()),
    ];
    let entries: Vec<(&str, String)> = entries
        .iter()
        .map(|(path, text)| (path.as_str(), text.clone()))
        .collect();
    api_with(
        &entries,
        manifest(&[(
            "cluster-resources/pods/logs/b/*/*.log",
            GapReason::Refused,
            "get pods/log: 403",
        )]),
    )
}

#[test]
fn logs_are_cut_as_the_kubelet_cuts_them() {
    let api = bundle();
    for (query, expected) in [
        ("web/log?container=app", DATED),
        (
            "web/log?container=app&tailLines=1",
            "2026-03-01T11:59:50.5Z three\n",
        ),
        ("web/log?container=app&tailLines=0", ""),
        ("web/log?container=app&tailLines=99", DATED),
        ("web/log?container=app&limitBytes=10", "2026-03-01"),
        (
            "web/log?container=app&sinceSeconds=30",
            "2026-03-01T11:59:50.5Z three\n",
        ),
        ("web/log?container=app&sinceSeconds=1", ""),
        (
            "web/log?container=app&sinceTime=2026-03-01T11:59:00Z&limitBytes=60",
            "2026-03-01T11:59:00.000000000Z two\n  at line 2\n2026-03-01T11",
        ),
        (
            "web/log?container=app&follow=true&tailLines=1",
            "2026-03-01T11:59:50.5Z three\n",
        ),
        ("web/log?container=app&previous=true", "before\n"),
        ("web/log?container=setup", "set up\n"),
        ("web/log?container=debugger", "poking\n"),
        ("db/log", "a\nb\nc\n"),
        ("db/log?tailLines=2", "b\nc\n"),
        ("job-x/log", "ran\n"),
    ] {
        let reply = log(&api, query);
        assert_eq!(
            (reply.code, reply.text.as_str()),
            (200, expected),
            "{query}"
        );
        assert_eq!(reply.content_type, "text/plain", "{query}");
        assert_eq!(reply.warnings, [""; 0], "{query}");
    }
}

#[test]
fn a_log_without_times_is_shown_whole_and_said_so() {
    let api = bundle();
    for query in ["db/log?sinceSeconds=5", "db/log?timestamps=true"] {
        let reply = log(&api, query);
        assert_eq!(reply.text, "a\nb\nc\n");
        assert!(
            reply.warnings.concat().contains("without timestamps"),
            "{:?}",
            reply.warnings
        );
    }
    assert_eq!(
        log(&api, "web/log?container=app&timestamps=true").warnings,
        [""; 0]
    );
}

#[test]
fn what_is_not_there_says_why() {
    let api = bundle();
    for (query, code, message) in [
        (
            "web/log",
            400,
            "a container name must be specified for pod web, choose one of: [setup app proxy debugger]",
        ),
        (
            "web/log?container=nope",
            400,
            "container nope is not valid for pod web",
        ),
        (
            "web/log?container=proxy",
            503,
            "waiting to start: ImagePullBackOff",
        ),
        (
            "db/log?previous=true",
            404,
            "the previous log of container \"main\" in pod \"db\" was not collected into this bundle",
        ),
        ("twin/log", 404, "was not collected into this bundle"),
        ("gone/log", 404, "pods \"gone\" not found"),
        (
            "web/log?container=app&tailLines=-1",
            422,
            "tailLines: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "web/log?container=app&limitBytes=0",
            422,
            "limitBytes: Invalid value: 0",
        ),
        (
            "web/log?container=app&sinceSeconds=5&sinceTime=2026-03-01T00:00:00Z",
            422,
            "at most one of",
        ),
        (
            "web/log?container=app&sinceTime=yesterday",
            400,
            "yesterday",
        ),
    ] {
        let (found, _, text) = log(&api, query).failure();
        assert_eq!(found, code, "{query}: {text}");
        assert!(text.contains(message), "{query}: {text}");
    }
    let refused = accepting(&api, "/api/v1/namespaces/b/pods/twin/log", "*/*").failure();
    assert_eq!(refused.0, 403, "{}", refused.2);
}

#[test]
fn long_logs_are_cut_across_blocks() {
    let lines: Vec<String> = (0..30_000)
        .map(|number| {
            format!(
                "2026-03-01T11:{:02}:{:02}Z line {number}\n",
                number / 500,
                (number / 9) % 60
            )
        })
        .collect();
    let text = lines.concat();
    let api = api(&[
        (
            "cluster-resources/pods/a.json",
            list("Pod", "v1", &[pod("a", "web", &["app"])]),
        ),
        ("cluster-resources/pods/logs/a/web/app.log", text.clone()),
    ]);
    assert_eq!(log(&api, "web/log").text, text);
    assert_eq!(
        log(&api, "web/log?tailLines=20000").text,
        lines[10_000..].concat()
    );
    assert_eq!(
        log(&api, "web/log?sinceTime=2026-03-01T11:30:00Z").text,
        lines[15_000..].concat()
    );
    assert_eq!(log(&api, "web/log?limitBytes=500000").text, text[..500_000]);
}

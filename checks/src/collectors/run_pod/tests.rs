#![allow(clippy::unwrap_used, reason = "a test whose server is broken fails")]

use std::sync::{Arc, Mutex};

use bundle::manifest::{Ending, GapReason, Outcome};
use serde_json::{Value, json};

use super::KIND;
use crate::collector::Meta;
use crate::run::{Settings, Stop};
use crate::testing::{Collected, Reply, Seen, Server, collect, object};

const POD: &str = "/api/v1/namespaces/shop/pods/probe";
const LOG: &str = "cluster-resources/pods/logs/shop/probe/main.log";

/// What an API server with a kubelet behind it does about one pod.
struct Script {
    /// The pod's `status` at each look; the last one stays.
    statuses: Vec<Value>,
    /// The log by container, whether it is followed, and whether it is the previous one.
    log: fn(&str, bool, bool) -> Reply,
    events: Value,
    create: fn(&Seen) -> Option<Reply>,
    delete: fn() -> Option<Reply>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            statuses: vec![running(), ended(0)],
            log: |container, _, _| Reply::json(format!("log of {container}\n")),
            events: json!([]),
            create: |_| None,
            delete: || None,
        }
    }
}

#[derive(Default)]
struct Cluster {
    pods: Vec<Value>,
    looks: usize,
}

impl Script {
    async fn start(self) -> Server {
        let cluster = Mutex::new(Cluster::default());
        Server::start(move |request| self.answer(&mut cluster.lock().unwrap(), request)).await
    }

    fn answer(&self, cluster: &mut Cluster, request: &Seen) -> Reply {
        let path = request.path.as_str();
        let is = |query: &str| {
            request
                .query
                .get(query)
                .is_some_and(|value| value == "true")
        };
        match request.method.as_str() {
            _ if path.ends_with("reviews") => Reply::json(json!({"status": {"allowed": true}})),
            "POST" => {
                let mut object: Value = serde_json::from_str(&request.body).unwrap();
                object["metadata"]["uid"] = "u-1".into();
                let refused = (self.create)(request);
                if path.ends_with("/pods") && refused.as_ref().is_none_or(|it| !it.is_status()) {
                    cluster.pods.push(object.clone());
                }
                refused.unwrap_or_else(|| Reply::json(object))
            }
            "DELETE" => (self.delete)().unwrap_or_else(|| {
                if path == POD {
                    cluster.pods.clear();
                }
                Reply::json(json!({"kind": "Status", "status": "Success"}))
            }),
            _ if path.ends_with("/events") => Reply::json(json!({
                "kind": "EventList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"},
                "items": self.events,
            })),
            _ if path.ends_with("/log") => {
                (self.log)(&request.query["container"], is("follow"), is("previous"))
            }
            _ => match cluster.pods.first() {
                Some(pod) if path == POD => {
                    let mut pod = pod.clone();
                    let look = cluster.looks.min(self.statuses.len() - 1);
                    pod["status"] = self.statuses[look].clone();
                    cluster.looks += 1;
                    Reply::json(pod)
                }
                _ => Reply::status(404, "NotFound", "not found"),
            },
        }
    }
}

fn status(phase: &str, container: &str, state: &Value) -> Value {
    json!({"phase": phase, "containerStatuses": [
        {"name": container, "restartCount": 0, "state": state}]})
}

fn running() -> Value {
    status("Running", "main", &json!({"running": {}}))
}

fn ended(code: i32) -> Value {
    let phase = if code == 0 { "Succeeded" } else { "Failed" };
    status(phase, "main", &json!({"terminated": {"exitCode": code}}))
}

fn waiting(reason: &str) -> Value {
    let state = json!({"waiting": {"reason": reason, "message": "the kubelet's words"}});
    status("Pending", "main", &state)
}

fn config(changes: &Value) -> Value {
    let mut config = json!({"name": "probe", "namespace": "shop", "timeout": "20s", "podSpec": {
        "containers": [{"name": "main", "image": "busybox"}]}});
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

async fn run(server: &Server, changes: &Value) -> Collected {
    let (settings, stop) = (Settings::default(), Stop::default());
    collect(
        &server.context(),
        KIND.name,
        &config(changes),
        &settings,
        &stop,
    )
    .await
}

fn requests(server: &Server, method: &str) -> Vec<String> {
    let seen = server.seen().into_iter();
    let asked = seen.filter(|seen| seen.method == method && !seen.path.ends_with("reviews"));
    asked.map(|seen| seen.path).collect()
}

#[tokio::test]
async fn a_pod_is_created_followed_described_and_removed() {
    let script = Script {
        events: json!([object("shop", "probe.1")]),
        statuses: vec![waiting("ContainerCreating"), running(), ended(3)],
        ..Script::default()
    };
    let server = script.start().await;
    let changes = json!({"annotations": {"a": "b"}});
    let collected = run(&server, &changes).await;
    assert_eq!(
        collected.record.outcome,
        Outcome::Complete,
        "{:?}",
        collected.record
    );
    assert_eq!(collected.text(LOG).as_deref(), Some("log of main\n"));
    assert_eq!(
        collected.text("probe/probe.log").as_deref(),
        Some("log of main\n")
    );
    let pod = collected.json("probe/probe.json").unwrap();
    assert_eq!(pod["spec"], json!({"containers": null}));
    assert_eq!(pod["status"], ended(3));
    assert_eq!(pod.get("kind"), None);
    let events = collected.json("probe/probe-events.json").unwrap();
    assert_eq!(events.as_object().unwrap().len(), 2, "metadata and items");
    assert_eq!(
        collected.names("probe/probe-events.json").unwrap(),
        ["probe.1"]
    );

    let seen = server.seen();
    let created = seen
        .iter()
        .find(|seen| seen.method == "POST" && !seen.path.ends_with("reviews"));
    let mut created: Value = serde_json::from_str(&created.unwrap().body).unwrap();
    let annotations = created["metadata"]["annotations"].as_object_mut().unwrap();
    let ends_by = annotations.remove("assay-ends-by").unwrap();
    assert!(
        ends_by
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .unwrap()
            > jiff::Timestamp::now()
    );
    assert_eq!(
        annotations.remove("assay-machine").unwrap(),
        crate::leftovers::machine()
    );
    let expected = json!({"name": "probe", "namespace": "shop", "annotations": {"a": "b"},
        "labels": {"troubleshoot-role": "run-collector", "assay-run-id": "test"}});
    assert_eq!(created["metadata"], expected);
    assert_eq!(created["spec"]["activeDeadlineSeconds"], 80);
    let log = seen
        .iter()
        .find(|seen| seen.path.ends_with("/log"))
        .unwrap();
    let expected = [
        ("container", "main"),
        ("follow", "true"),
        ("limitBytes", "5000000"),
        ("tailLines", "10000"),
    ];
    assert!(
        log.query
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .eq(expected)
    );
    let deleted = seen.iter().find(|seen| seen.method == "DELETE").unwrap();
    let options: Value = serde_json::from_str(&deleted.body).unwrap();
    assert_eq!(options["preconditions"]["uid"], "u-1");
    assert_eq!(seen.last().unwrap().path, POD, "it was seen to be gone");
}

#[tokio::test]
async fn what_cannot_start_is_given_up_described_and_removed() {
    let sandbox = json!([{"reason": "FailedCreatePodSandBox", "message": "no network"}]);
    for (status, events, words) in [
        (
            waiting("ErrImagePull"),
            json!([]),
            "main waits: ErrImagePull: the kubelet's words",
        ),
        (waiting("ImagePullBackOff"), json!([]), "ImagePullBackOff"),
        (waiting("ErrImageNeverPull"), json!([]), "ErrImageNeverPull"),
        (
            waiting("ContainerCreating"),
            sandbox,
            "FailedCreatePodSandBox: no network",
        ),
        (
            json!({"phase": "Failed", "reason": "Evicted", "message": "no memory"}),
            json!([]),
            "Evicted: no memory",
        ),
    ] {
        let script = Script {
            statuses: vec![status],
            events,
            ..Script::default()
        };
        let server = script.start().await;
        let collected = run(&server, &json!({})).await;
        assert_eq!(collected.record.outcome, Outcome::Partial, "{words}");
        assert!(
            collected.record.error.contains(words),
            "{}",
            collected.record.error
        );
        assert!(
            collected
                .record
                .error
                .contains("pod probe in namespace shop")
        );
        assert_eq!(collected.gaps(LOG), [GapReason::Failed], "{words}");
        assert!(collected.json("probe/probe.json").is_some(), "{words}");
        assert!(collected.gaps("probe/probe.json").is_empty());
        assert_eq!(requests(&server, "DELETE"), [POD], "{words}");
    }
}

#[tokio::test]
async fn pulling_is_tried_again_where_that_is_allowed() {
    let statuses = vec![waiting("ErrImagePull"), running(), ended(0)];
    let server = Script {
        statuses,
        ..Script::default()
    }
    .start()
    .await;
    let collected = run(&server, &json!({"allowImagePullRetries": true})).await;
    assert_eq!(
        collected.record.outcome,
        Outcome::Complete,
        "{:?}",
        collected.record
    );
}

#[tokio::test]
async fn at_its_timeout_the_log_so_far_is_kept_and_the_pod_removed() {
    let script = Script {
        statuses: vec![running()],
        log: |_, _, _| Reply::json("so far\n").then_silence(),
        ..Script::default()
    };
    let server = script.start().await;
    let collected = run(&server, &json!({"timeout": "1s"})).await;
    assert_eq!(collected.record.outcome, Outcome::Partial);
    let words = "did not end within 1 s: container main still runs";
    assert!(
        collected.record.error.contains(words),
        "{}",
        collected.record.error
    );
    assert_eq!(collected.text(LOG).as_deref(), Some("so far\n"));
    assert!(collected.json("probe/probe-events.json").is_some());
    assert_eq!(requests(&server, "DELETE"), [POD]);
}

#[tokio::test]
async fn a_signal_removes_the_pod() {
    let asked = Arc::new(tokio::sync::Notify::new());
    let cluster = Mutex::new(Cluster::default());
    let script = Script {
        statuses: vec![running()],
        log: |_, _, _| Reply::silence(),
        ..Script::default()
    };
    let notify = Arc::clone(&asked);
    let server = Server::start(move |request| {
        if request.path.ends_with("/log") {
            notify.notify_one();
        }
        script.answer(&mut cluster.lock().unwrap(), request)
    })
    .await;
    let stop = Stop::default();
    let trigger = stop.clone();
    tokio::spawn(async move {
        asked.notified().await;
        trigger.signal("SIGINT");
    });
    let settings = Settings::default();
    let collected = collect(
        &server.context(),
        KIND.name,
        &config(&json!({})),
        &settings,
        &stop,
    )
    .await;
    assert_eq!(collected.ending, Ending::Signal("SIGINT".into()));
    assert_eq!(collected.record.outcome, Outcome::Cancelled);
    assert_eq!(requests(&server, "DELETE"), [POD]);
}

#[tokio::test]
async fn anothers_pod_of_the_same_name_stays() {
    let script = Script {
        create: |_| {
            Some(Reply::status(
                409,
                "AlreadyExists",
                "pods \"probe\" already exists",
            ))
        },
        ..Script::default()
    };
    let server = script.start().await;
    let collected = run(&server, &json!({})).await;
    assert_eq!(collected.record.outcome, Outcome::Failed);
    assert!(
        collected
            .record
            .error
            .contains("kubectl delete --namespace shop pod probe")
    );
    assert_eq!(requests(&server, "DELETE"), [""; 0]);
}

#[tokio::test]
async fn a_pod_whose_creation_was_not_confirmed_is_removed() {
    let script = Script {
        create: |_| Some(Reply::silence()),
        ..Script::default()
    };
    let server = script.start().await;
    let collected = run(&server, &json!({})).await;
    assert_eq!(
        collected.record.outcome,
        Outcome::Failed,
        "{:?}",
        collected.record
    );
    assert_eq!(requests(&server, "DELETE"), [POD]);
}

#[tokio::test]
async fn a_pod_that_may_not_be_removed_is_said() {
    let script = Script {
        delete: || Some(Reply::status(403, "Forbidden", "no")),
        ..Script::default()
    };
    let server = script.start().await;
    let collected = run(&server, &json!({})).await;
    assert_eq!(collected.record.outcome, Outcome::Partial);
    let detail = &collected.record.gaps[0].detail;
    assert!(
        detail.contains("kubectl delete --namespace shop pods/probe"),
        "{detail}"
    );
}

#[tokio::test]
async fn every_container_has_its_log() {
    let script = Script {
        statuses: vec![json!({"phase": "Succeeded",
            "initContainerStatuses": [{"name": "first", "state": {"terminated": {"exitCode": 0}}}],
            "containerStatuses": [
                {"name": "main", "state": {"terminated": {"exitCode": 0}}},
                {"name": "side", "restartCount": 1, "state": {"terminated": {"exitCode": 1}}},
                {"name": "added", "state": {"running": {}}}]})],
        log: |container, follow, previous| Reply::json(format!("{container} {follow} {previous}")),
        ..Script::default()
    };
    let server = script.start().await;
    let changes = json!({"podSpec": {"containers": [{"name": "main"}, {"name": "side"}]}});
    let collected = run(&server, &changes).await;
    assert_eq!(
        collected.record.outcome,
        Outcome::Complete,
        "{:?}",
        collected.record
    );
    for (file, link, text) in [
        ("main", "probe/probe.log", "main true false"),
        ("side", "probe/probe/side.log", "side true false"),
        (
            "side-previous",
            "probe/probe/side-previous.log",
            "side false true",
        ),
        ("first", "probe/probe/first.log", "first false false"),
        ("added", "probe/probe/added.log", "added false false"),
    ] {
        let path = format!("cluster-resources/pods/logs/shop/probe/{file}.log");
        assert_eq!(collected.text(&path).as_deref(), Some(text), "{path}");
        assert_eq!(collected.text(link).as_deref(), Some(text), "{link}");
    }
}

#[tokio::test]
async fn the_default_container_alone_is_waited_for() {
    let script = Script {
        statuses: vec![json!({"phase": "Running", "containerStatuses": [
            {"name": "proxy", "state": {"running": {}}},
            {"name": "main", "state": {"terminated": {"exitCode": 0}}}]})],
        ..Script::default()
    };
    let server = script.start().await;
    let changes = json!({
        "annotations": {"kubectl.kubernetes.io/default-container": "main"},
        "podSpec": {"containers": [{"name": "proxy"}, {"name": "main"}]},
    });
    let collected = run(&server, &changes).await;
    assert_eq!(
        collected.record.outcome,
        Outcome::Complete,
        "{:?}",
        collected.record
    );
    assert_eq!(
        collected.text("probe/probe.log").as_deref(),
        Some("log of main\n")
    );
    assert_eq!(
        collected.text("probe/probe/proxy.log").as_deref(),
        Some("log of proxy\n")
    );
}

#[tokio::test]
async fn a_log_that_broke_off_is_asked_for_again_when_the_container_has_ended() {
    let script = Script {
        log: |_, follow, _| {
            if follow {
                Reply::json("one\n").then_break()
            } else {
                Reply::json("one\ntwo\n")
            }
        },
        ..Script::default()
    };
    let server = script.start().await;
    let collected = run(&server, &json!({})).await;
    assert_eq!(
        collected.record.outcome,
        Outcome::Complete,
        "{:?}",
        collected.record
    );
    assert_eq!(collected.text(LOG).as_deref(), Some("one\ntwo\n"));
}

#[tokio::test]
async fn a_temporary_secret_is_there_before_the_pod_and_gone_after_it() {
    let server = Script::default().start().await;
    let secret =
        json!({"data": {".dockerconfigjson": "e30="}, "type": "kubernetes.io/dockerconfigjson"});
    let collected = run(&server, &json!({"imagePullSecret": secret})).await;
    assert_eq!(
        collected.record.outcome,
        Outcome::Complete,
        "{:?}",
        collected.record
    );
    let (secrets, pods) = (
        "/api/v1/namespaces/shop/secrets",
        "/api/v1/namespaces/shop/pods",
    );
    let name = "troubleshoot-test";
    assert_eq!(requests(&server, "POST"), [secrets, pods]);
    assert_eq!(
        requests(&server, "DELETE"),
        [POD.to_owned(), format!("{secrets}/{name}")]
    );
    let seen = server.seen();
    let bodies: Vec<Value> = [secrets, pods]
        .iter()
        .map(|path| seen.iter().find(|seen| seen.path == *path).unwrap())
        .map(|seen| serde_json::from_str(&seen.body).unwrap())
        .collect();
    let labels = json!({"app.kubernetes.io/managed-by": "troubleshoot.sh", "assay-run-id": "test"});
    assert_eq!(bodies[0]["metadata"]["labels"], labels);
    assert_eq!(bodies[0]["type"], "kubernetes.io/dockerconfigjson");
    assert_eq!(
        bodies[1]["spec"]["imagePullSecrets"],
        json!([{"name": name}])
    );
}

#[tokio::test]
async fn only_creating_must_be_allowed() {
    let script = Script::default();
    let cluster = Mutex::new(Cluster::default());
    let server = Server::start(move |request| {
        if request.path.ends_with("reviews") {
            let allowed = request.body.contains("\"create\"");
            return Reply::json(json!({"status": {"allowed": allowed}}));
        }
        script.answer(&mut cluster.lock().unwrap(), request)
    })
    .await;
    let collected = run(&server, &json!({})).await;
    assert_eq!(
        collected.record.outcome,
        Outcome::Complete,
        "{:?}",
        collected.record
    );
    let denied = Server::start(|_| Reply::json(json!({"status": {"allowed": false}}))).await;
    let collected = run(&denied, &json!({})).await;
    assert_eq!(collected.record.outcome, Outcome::Refused);
    assert_eq!(requests(&denied, "POST"), [""; 0]);
}

#[test]
fn the_pods_name_and_files_follow_from_the_names() {
    for (collector_name, name, files) in [
        (
            "",
            "",
            [
                "cluster-resources/pods/logs/default/run-pod/a.log",
                "run-pod.log",
                ".json",
                "-events.json",
            ],
        ),
        (
            "",
            "n",
            [
                "cluster-resources/pods/logs/default/n/a.log",
                "n/n.log",
                "n/n.json",
                "n/n-events.json",
            ],
        ),
        (
            "c",
            "n",
            [
                "cluster-resources/pods/logs/default/c/a.log",
                "n/c.log",
                "n/n.json",
                "n/n-events.json",
            ],
        ),
    ] {
        let config = json!({"name": name, "podSpec": {"containers": [{"name": "a"}]}});
        let meta = Meta {
            name: collector_name.into(),
        };
        let collector = (KIND.parse)(&config, &meta).unwrap().config;
        assert_eq!(collector.files(None), files);
    }
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_created() {
    let secret = |data: Value, kind: &str| json!({"imagePullSecret": {"name": "s", "data": data, "type": kind}});
    let docker = "kubernetes.io/dockerconfigjson";
    for (changes, path, words) in [
        (json!({"timeout": "5 minutes"}), "timeout", "is no duration"),
        (json!({"timeout": "0s"}), "timeout", "no time"),
        (json!({"timeout": "-1s"}), "timeout", "no time"),
        (
            json!({"imagePullSecret": {}}),
            "imagePullSecret",
            "give the name",
        ),
        (
            secret(json!({".dockerconfigjson": "e30="}), "Opaque"),
            "imagePullSecret",
            "type must be",
        ),
        (
            secret(json!({"password": "e30="}), docker),
            "imagePullSecret",
            "alone",
        ),
        (
            secret(json!({".dockerconfigjson": "!"}), docker),
            "imagePullSecret",
            "base64",
        ),
        (
            secret(json!({".dockerconfigjson": "eHg="}), docker),
            "imagePullSecret",
            "not JSON",
        ),
    ] {
        let error = (KIND.parse)(&config(&changes), &Meta::default())
            .map(|_| ())
            .unwrap_err();
        assert_eq!(error.path, path, "{}", error.message);
        assert!(error.message.contains(words), "{}", error.message);
    }
}

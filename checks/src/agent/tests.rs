#![allow(clippy::unwrap_used, reason = "a test whose server is broken fails")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bundle::io::{Inline, MemoryFile, MemorySpool};
use bundle::manifest::{CollectorRecord, Ending, GapReason, Outcome};
use bundle::{ArchiveWriter, BundlePath, Manifest, Redactor, WriterOptions};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::request::{PROTOCOL, Request};
use super::{From, Image, Place, answer, carry_out, placed, pod};
use crate::collector::{
    CollectError, Collector, CollectorKind, Context, Meta, Output, Permission, Writes,
};
use crate::collectors::KINDS;
use crate::run::{Planned, Settings, Stop};
use crate::testing::{Collected, Reply, Seen, Server, archive, collect_planned};

const NAMESPACE: &str = "/api/v1/namespaces/shop";

fn kind(name: &str) -> &'static CollectorKind {
    KINDS.iter().find(|kind| kind.name == name).unwrap()
}

/// The collector `data`, as it were with `from: pod`.
#[derive(Debug)]
struct FromPod {
    data: String,
    place: Place,
}

#[async_trait]
impl Collector for FromPod {
    fn title(&self) -> String {
        "data/probe".to_owned()
    }

    fn permissions(&self, _namespace: Option<&str>) -> Vec<Permission> {
        Vec::new()
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        vec!["out/probe".to_owned()]
    }

    fn deadline(&self) -> Option<Duration> {
        Some(Duration::from_secs(20))
    }

    fn place(&self, _namespace: Option<&str>) -> Place {
        self.place.clone()
    }

    async fn portable(
        &self,
        _context: &Context,
        output: &Output,
    ) -> Result<Option<Value>, CollectError> {
        if self.data == UNRESOLVED {
            output.write(&BundlePath::new("out/probe")?, b"its Secret is not there")?;
            return Ok(None);
        }
        Ok(Some(json!({"name": "out", "data": self.data})))
    }

    async fn collect(&self, _context: &Context, _output: &Output) -> Result<(), CollectError> {
        panic!("it was told to run in a pod")
    }
}

/// What [`FromPod`] is given where its configuration leads nowhere.
const UNRESOLVED: &str = "unresolved";

fn planned(data: &str) -> Planned {
    let collector = FromPod {
        data: data.to_owned(),
        place: From::Pod.place("shop", None),
    };
    let meta = Meta {
        name: "probe".to_owned(),
    };
    Planned {
        kind: kind("data"),
        collector: placed(kind("data"), meta, Arc::new(collector)),
        requested: true,
        excluded: false,
        budget: crate::budget::Budget::default(),
    }
}

fn request(config: &Value) -> Value {
    json!({"protocol": PROTOCOL, "collector": "data", "name": "probe", "config": config,
        "namespace": null, "runId": "test", "salt": vec![7; 32], "seconds": 20})
}

/// What the program prints in a pod.
async fn printed(request: &Value) -> Result<String, String> {
    let mut stdout = Vec::new();
    carry_out(
        &serde_json::to_vec(request).unwrap(),
        &Stop::default(),
        &mut stdout,
    )
    .await?;
    Ok(String::from_utf8(stdout).unwrap())
}

fn read(log: &str) -> Result<Vec<u8>, String> {
    let mut reader = answer::Reader::default();
    for piece in log.as_bytes().chunks(1000) {
        reader.take(piece);
    }
    reader.finish()
}

/// What an API server with a node behind it does about one pod.
struct Script {
    /// The pod's `status` at each look; the last one stays.
    statuses: Vec<Value>,
    /// What stands in the pod's log besides its answer, and what becomes of that.
    log: fn(String) -> String,
    events: Value,
    create: fn(&str) -> Option<Reply>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            statuses: vec![
                json!({"phase": "Pending"}),
                status("Running", &json!({"running": {}})),
                status(
                    "Succeeded",
                    &json!({"terminated": {"exitCode": 0, "reason": "Completed"}}),
                ),
            ],
            log: |answer| answer,
            events: json!([]),
            create: |_| None,
        }
    }
}

fn status(phase: &str, state: &Value) -> Value {
    json!({"phase": phase, "containerStatuses": [
        {"name": "agent", "restartCount": 0, "state": state}]})
}

#[derive(Default)]
struct Cluster {
    objects: Vec<(String, Value)>,
    looks: usize,
    answer: String,
}

impl Script {
    async fn start(self) -> Server {
        let cluster = Mutex::new(Cluster::default());
        Server::start(move |seen| self.answer(&mut cluster.lock().unwrap(), seen)).await
    }

    fn answer(&self, cluster: &mut Cluster, seen: &Seen) -> Reply {
        let path = seen.path.as_str();
        match seen.method.as_str() {
            _ if path.ends_with("reviews") => Reply::json(json!({"status": {"allowed": true}})),
            "POST" => {
                let plural = path.rsplit('/').next().unwrap();
                if let Some(refused) = (self.create)(plural) {
                    return refused;
                }
                let mut object: Value = serde_json::from_str(&seen.body).unwrap();
                object["metadata"]["uid"] = format!("uid-of-{plural}").into();
                let name = object["metadata"]["name"].as_str().unwrap();
                cluster
                    .objects
                    .push((format!("{path}/{name}"), object.clone()));
                if plural == "secrets" {
                    cluster.answer = in_the_pod(&object);
                }
                Reply::json(object)
            }
            "DELETE" => {
                cluster.objects.retain(|(at, _)| at != path);
                Reply::json(json!({"kind": "Status", "status": "Success"}))
            }
            _ if path.ends_with("/events") => Reply::json(json!({"items": self.events})),
            _ if path.ends_with("/log") => Reply::json((self.log)(cluster.answer.clone())),
            _ => match cluster.objects.iter().find(|(at, _)| at == path) {
                Some((_, object)) => {
                    let mut object = object.clone();
                    let look = cluster.looks.min(self.statuses.len() - 1);
                    object["status"] = self.statuses[look].clone();
                    cluster.looks += 1;
                    Reply::json(object)
                }
                None => Reply::status(404, "NotFound", "not found"),
            },
        }
    }
}

/// Does what the pod's container does with its Secret.
fn in_the_pod(secret: &Value) -> String {
    use base64::Engine as _;
    let request = secret["data"]["request.json"].as_str().unwrap();
    let request = base64::engine::general_purpose::STANDARD
        .decode(request)
        .unwrap();
    let request = serde_json::from_slice(&request).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(printed(&request)).unwrap_or_default()
    })
    .join()
    .unwrap()
}

async fn collect(server: &Server, data: &str) -> Collected {
    let context = Context {
        agent_image: Some(Image {
            name: "registry.example/assay:1".into(),
            pull_secret: Some("pull".into()),
        }),
        ..server.context()
    };
    let (settings, stop) = (Settings::default(), Stop::default());
    collect_planned(&context, planned(data), &settings, &stop).await
}

fn requests(server: &Server, method: &str) -> Vec<String> {
    let seen = server.seen().into_iter();
    let asked = seen.filter(|seen| seen.method == method && !seen.path.ends_with("reviews"));
    asked.map(|seen| seen.path).collect()
}

fn path_of(plural: &str) -> String {
    format!("{NAMESPACE}/{plural}/{}", pod::name("test", "data/probe"))
}

#[tokio::test]
async fn a_collector_in_a_pod_brings_its_file_and_leaves_nothing() {
    let server = Script::default().start().await;
    let collected = collect(&server, "asked from inside").await;
    assert_eq!(
        collected.record.outcome,
        Outcome::Complete,
        "{:?}",
        collected.record
    );
    assert_eq!(collected.record.gaps, []);
    assert_eq!(
        collected.text("out/probe").as_deref(),
        Some("asked from inside")
    );
    assert_eq!(
        requests(&server, "POST"),
        [format!("{NAMESPACE}/pods"), format!("{NAMESPACE}/secrets")]
    );
    // The Secret as soon as the pod runs; the pod at the end.
    let deleted = requests(&server, "DELETE");
    assert_eq!(deleted[0], path_of("secrets"));
    assert_eq!(deleted.last(), Some(&path_of("pods")));
}

#[tokio::test]
async fn the_pod_is_restricted_and_the_request_in_its_secret_only() {
    let server = Script::default().start().await;
    collect(&server, "planted-credential").await;
    let seen = server.seen();
    let body = |plural: &str| -> Value {
        let path = format!("{NAMESPACE}/{plural}");
        let seen = seen
            .iter()
            .find(|seen| seen.method == "POST" && seen.path == path);
        serde_json::from_str(&seen.unwrap().body).unwrap()
    };
    let (pod, secret) = (body("pods"), body("secrets"));
    let spec = &pod["spec"];
    assert_eq!(spec["automountServiceAccountToken"], false);
    assert_eq!(spec["restartPolicy"], "Never");
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "pull"}]));
    assert!(spec["activeDeadlineSeconds"].as_u64().unwrap() > 20);
    let container = &spec["containers"][0];
    assert_eq!(container["image"], "registry.example/assay:1");
    assert_eq!(
        container["command"],
        json!(["assay", "agent", "/assay/request.json"])
    );
    assert_eq!(container.get("env"), None);
    assert_eq!(pod["metadata"]["labels"]["assay-run-id"], "test");
    assert_eq!(secret["metadata"]["labels"]["assay-run-id"], "test");
    assert_eq!(secret["immutable"], true);
    assert_eq!(
        secret["metadata"]["ownerReferences"],
        json!([{"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": "uid-of-pods"}])
    );
    assert_eq!(spec["volumes"][0]["secret"]["defaultMode"], 0o400);
    assert!(!pod.to_string().contains("planted-credential"));
}

#[tokio::test]
async fn without_an_image_nothing_is_made() {
    let server = Script::default().start().await;
    let (settings, stop) = (Settings::default(), Stop::default());
    let collected = collect_planned(&server.context(), planned("x"), &settings, &stop).await;
    assert_eq!(collected.record.outcome, Outcome::Failed);
    assert!(
        collected.record.error.contains("--agent-image"),
        "{}",
        collected.record.error
    );
    assert_eq!(collected.gaps("out/probe"), [GapReason::Failed]);
    assert_eq!(requests(&server, "POST"), [""; 0]);
}

#[tokio::test]
async fn a_reference_that_leads_nowhere_is_an_answer_without_a_pod() {
    let server = Script::default().start().await;
    let collected = collect(&server, UNRESOLVED).await;
    assert_eq!(
        collected.record.outcome,
        Outcome::Complete,
        "{:?}",
        collected.record
    );
    let text = collected.text("out/probe");
    assert_eq!(text.as_deref(), Some("its Secret is not there"));
    assert_eq!(requests(&server, "POST"), [""; 0]);
}

/// What goes wrong, why the file is therefore missing, and what is said.
type Case = (Script, GapReason, &'static [&'static str]);

fn mishaps() -> Vec<Case> {
    let waiting = |reason: &str, message: &str| {
        let state = json!({"waiting": {"reason": reason, "message": message}});
        vec![status("Pending", &state)]
    };
    let ended = |code: i32, reason: &str, message: &str| {
        let state = json!({"terminated": {"exitCode": code, "reason": reason, "message": message}});
        vec![status("Failed", &state)]
    };
    vec![
        (
            Script {
                statuses: waiting("ErrImagePull", "manifest unknown"),
                events: json!([{"type": "Warning", "reason": "Failed", "message": "401 Unauthorized"}]),
                ..Script::default()
            },
            GapReason::Failed,
            &[
                "cannot start",
                "ErrImagePull",
                "manifest unknown",
                "401 Unauthorized",
            ],
        ),
        (
            Script {
                create: |plural| {
                    (plural == "pods").then(|| {
                        Reply::status(
                            403,
                            "Forbidden",
                            "pods \"x\" is forbidden: exceeded quota: small",
                        )
                    })
                },
                ..Script::default()
            },
            GapReason::Refused,
            &[
                "cannot create the pod",
                "in namespace shop",
                "exceeded quota: small",
            ],
        ),
        (
            Script {
                create: |plural| {
                    (plural == "secrets")
                        .then(|| Reply::status(403, "Forbidden", "no secrets here"))
                },
                ..Script::default()
            },
            GapReason::Refused,
            &["cannot create the secret", "no secrets here"],
        ),
        (
            Script {
                statuses: ended(128, "StartError", "exec: \"assay\": not found in $PATH"),
                log: |_| String::new(),
                ..Script::default()
            },
            GapReason::Failed,
            &[
                "exit code 128",
                "StartError",
                "not found in $PATH",
                "registry.example/assay:1",
            ],
        ),
        (
            Script {
                statuses: ended(1, "Error", ""),
                log: |_| "error: unrecognized subcommand 'agent'\n".to_owned(),
                ..Script::default()
            },
            GapReason::Failed,
            &[
                "exit code 1",
                "it said: error: unrecognized subcommand 'agent'",
            ],
        ),
        (
            Script {
                statuses: ended(137, "OOMKilled", ""),
                log: |answer| answer.lines().next().unwrap().to_owned() + "\n",
                ..Script::default()
            },
            GapReason::Failed,
            &["exit code 137, OOMKilled", "no end"],
        ),
        (
            Script {
                log: |answer| answer.replacen("assay-answer H4sI", "assay-answer H4sA", 1),
                ..Script::default()
            },
            GapReason::Failed,
            &["its answer is damaged"],
        ),
    ]
}

#[tokio::test]
async fn why_there_is_no_answer_is_said_and_nothing_of_half_an_answer_kept() {
    for (script, reason, words) in mishaps() {
        let server = script.start().await;
        let collected = collect(&server, "x").await;
        let error = &collected.record.error;
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
        assert_eq!(collected.gaps("out/probe"), [reason], "{error}");
        assert_eq!(collected.text("out/probe"), None, "{error}");
        let left: Vec<String> = requests(&server, "DELETE");
        let made_a_pod = !error.contains("cannot create the pod");
        assert_eq!(left.contains(&path_of("pods")), made_a_pod, "{error}");
    }
}

#[tokio::test]
async fn a_pod_that_no_node_takes_is_said_in_the_schedulers_words() {
    let script = Script {
        statuses: vec![
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled",
            "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}]}),
        ],
        events: json!([{"type": "Warning", "reason": "FailedScheduling", "message": "3 Insufficient cpu"},
            {"type": "Normal", "reason": "Other", "message": "not a warning"}]),
        ..Script::default()
    };
    let server = script.start().await;
    let image = Image {
        name: "assay".into(),
        pull_secret: None,
    };
    let pod = pod::AgentPod {
        namespace: "shop",
        name: "assay-test",
        image: &image,
        start: Duration::from_millis(100),
        time: Duration::from_secs(20),
        file: "out/probe",
    };
    let request = serde_json::from_value(request(&json!({}))).unwrap();
    let output = Output::new(archive());
    let error = pod
        .ask(&request, &server.context(), &output)
        .await
        .unwrap_err();
    assert!(matches!(error, CollectError::Deadline(_)), "{error}");
    let error = error.to_string();
    for words in [
        "0/3 nodes are available",
        "(events: FailedScheduling: 3 Insufficient cpu)",
    ] {
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[tokio::test]
async fn what_else_stands_in_the_log_does_no_harm() {
    let script = Script {
        log: |answer| {
            let mut log = "a warning\n".to_owned();
            for line in answer.lines() {
                log.push_str(line);
                log.push_str("\nassay: a word on stderr\n");
            }
            log
        },
        ..Script::default()
    };
    let collected = collect(&script.start().await, &"much ".repeat(5000)).await;
    assert_eq!(
        collected.record.outcome,
        Outcome::Complete,
        "{:?}",
        collected.record
    );
    assert_eq!(collected.text("out/probe"), Some("much ".repeat(5000)));
}

#[tokio::test]
async fn a_signal_removes_pod_and_secret() {
    let stop = Stop::default();
    let trigger = stop.clone();
    let script = Script {
        statuses: vec![status(
            "Pending",
            &json!({"waiting": {"reason": "ContainerCreating"}}),
        )],
        ..Script::default()
    };
    let cluster = Mutex::new(Cluster::default());
    let server = Server::start(move |seen| {
        // By now both are there.
        if seen.path.ends_with("/events") {
            trigger.signal("SIGINT");
        }
        script.answer(&mut cluster.lock().unwrap(), seen)
    })
    .await;
    let context = Context {
        agent_image: Some(Image {
            name: "assay".into(),
            pull_secret: None,
        }),
        ..server.context()
    };
    let collected = collect_planned(&context, planned("x"), &Settings::default(), &stop).await;
    assert_eq!(collected.ending, Ending::Signal("SIGINT".into()));
    assert_eq!(collected.record.outcome, Outcome::Cancelled);
    assert_eq!(
        requests(&server, "DELETE"),
        [path_of("secrets"), path_of("pods")]
    );
}

#[tokio::test]
async fn a_log_is_whole_or_no_answer() {
    let data = "x".repeat(20_000);
    let log = printed(&request(&json!({"name": "out", "data": data})))
        .await
        .unwrap();
    let archive = read(&log).unwrap();
    assert!(
        log.lines().all(|line| line.starts_with("assay-answer")),
        "{log}"
    );
    assert!(log.lines().all(|line| line.len() < 8192));
    // The last line may come without its end.
    assert_eq!(read(log.trim_end()).unwrap(), archive);
    // Wherever it is cut, whichever line is lost or comes twice.
    for end in 0..log.trim_end().len() {
        assert!(read(&log[..end]).is_err(), "cut at {end}");
    }
    let lines: Vec<&str> = log.lines().collect();
    for index in 0..lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(index);
        assert!(
            read(&(fewer.join("\n") + "\n")).is_err(),
            "without line {index}"
        );
    }
    let twice = [lines[0], &log].join("\n");
    assert!(read(&twice).is_err());
    assert!(read(&format!("{log}{}\n", lines[0])).is_err());
}

#[tokio::test]
async fn what_this_program_does_not_understand_it_refuses() {
    let mut other = request(&json!({"name": "out", "data": "planted-credential"}));
    other["protocol"] = 99.into();
    let mut unknown = request(&json!({}));
    unknown["collector"] = "tomorrow".into();
    for (request, words) in [
        (other, "does not understand the caller"),
        (unknown, "no collector `tomorrow`"),
        (
            request(&json!({"name": "out", "data": "x", "planted": "planted-credential"})),
            "does not know planted",
        ),
        (
            request(&json!({"name": "out", "data": {"planted-credential": 1}})),
            "is not understood",
        ),
        (
            json!({"protocol": 1, "collector": "planted-credential"}),
            "malformed",
        ),
    ] {
        let error = printed(&request).await.unwrap_err();
        assert!(error.contains(words), "{error}");
        assert!(!error.contains("planted-credential"), "{error}");
    }
}

/// A bundle with these files and this record.
fn bundle_of(files: &[(&str, &str)], record: CollectorRecord, ending: Ending) -> Vec<u8> {
    let options = WriterOptions::new("agent", 0, Arc::new(MemorySpool), Arc::new(Inline));
    let file = MemoryFile::default();
    let archive = ArchiveWriter::new(Box::new(file.clone()), Redactor::default(), options);
    let archive = Arc::new(archive.unwrap());
    let output = Output::new(Arc::clone(&archive));
    for (path, text) in files {
        let path = BundlePath::new(path).unwrap();
        output.write(&path, text.as_bytes()).unwrap();
    }
    let manifest = Manifest {
        format: bundle::manifest::FORMAT,
        tool: String::new(),
        collected_at: jiff::Timestamp::UNIX_EPOCH,
        finished_at: jiff::Timestamp::UNIX_EPOCH,
        ending,
        redaction: archive.redaction(),
        collectors: vec![record],
        lost: Vec::new(),
    };
    archive.finish(&manifest).unwrap();
    file.bytes()
}

fn record(outcome: Outcome, error: &str) -> CollectorRecord {
    CollectorRecord {
        collector: "data".into(),
        title: "data/probe".into(),
        requested: true,
        outcome,
        error: error.into(),
        duration_ms: 1,
        bytes: 1,
        files: 1,
        requests: 0,
        retries: 0,
        throttled_ms: 0,
        gaps: Vec::new(),
    }
}

#[test]
fn a_strangers_bundle_is_not_believed() {
    let good = [("out/probe", "fine")];
    let complete = || record(Outcome::Complete, "");
    let whole = bundle_of(&good, complete(), Ending::Complete);
    let mut damaged = whole.clone();
    damaged[60] ^= 0xff;
    for (bytes, words) in [
        (whole.clone(), ""),
        (
            whole[..whole.len() / 2].to_vec(),
            "the pod's answer is no use",
        ),
        (damaged, "the pod's answer is no use"),
        (b"not a bundle".to_vec(), "the pod's answer is no use"),
        (Vec::new(), "the pod's answer is no use"),
        (
            bundle_of(
                &[
                    ("out/probe", "fine"),
                    ("cluster-resources/nodes.json", "[]"),
                ],
                complete(),
                Ending::Complete,
            ),
            "cluster-resources/nodes.json, which its collector never writes",
        ),
        (
            bundle_of(
                &[],
                record(Outcome::Failed, "no route to host"),
                Ending::Complete,
            ),
            "no route to host",
        ),
        (
            bundle_of(&[], complete(), Ending::Signal("SIGTERM".into())),
            "ended by SIGTERM",
        ),
        (
            bundle_of(&good, record(Outcome::Cancelled, ""), Ending::Deadline),
            "did not end within its time",
        ),
    ] {
        let archive = archive();
        let output = Output::new(Arc::clone(&archive));
        let copied = answer::copy(bytes, &["out/probe".to_owned()], &output);
        let text = copied
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(
            text.contains(words) && text.is_empty() == words.is_empty(),
            "{words}: {text}"
        );
        let kept = archive.contains(&BundlePath::new("out/probe").unwrap());
        assert_eq!(
            kept,
            words.is_empty() || words.contains("its time"),
            "{text}"
        );
    }
}

#[test]
fn no_byte_can_be_wrong_and_half_of_the_answer_be_kept() {
    let path = BundlePath::new("out/probe").unwrap();
    let files = [("out/probe", "fine")];
    let whole = bundle_of(&files, record(Outcome::Complete, ""), Ending::Complete);
    let mut refused = 0;
    for index in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[index] ^= 0x55;
        let archive = archive();
        let output = Output::new(Arc::clone(&archive));
        let copied = answer::copy(damaged, &["out/probe".to_owned()], &output);
        refused += usize::from(copied.is_err());
        assert_eq!(
            copied.is_ok(),
            archive.contains(&path),
            "byte {index}: {copied:?}"
        );
    }
    assert!(refused > whole.len() / 2, "{refused} of {}", whole.len());
}

proptest! {
    #[test]
    fn no_log_but_that_of_the_program_is_an_answer(
        noise in prop::collection::vec(any::<u8>(), 0..2000),
        framed in prop::collection::vec("assay-answer(-end)? [A-Za-z0-9+/= ]{0,80}", 0..20),
    ) {
        let mut reader = answer::Reader::default();
        for line in &framed {
            reader.take(&noise);
            reader.take(format!("\n{line}\n").as_bytes());
        }
        reader.take(&noise);
        prop_assert!(reader.finish().is_err());
    }
}

#[test]
fn where_a_pod_is_follows_from_the_names() {
    let pod = |namespace: &str| Place::Pod {
        namespace: namespace.to_owned(),
    };
    assert_eq!(From::Here.place("shop", Some("other")), Place::Here);
    assert_eq!(From::Pod.place("shop", Some("other")), pod("shop"));
    assert_eq!(From::Pod.place("", Some("other")), pod("other"));
    assert_eq!(From::Pod.place("", None), pod("default"));
    let from = |text: &str| serde_json::from_value::<From>(json!(text));
    assert_eq!(from("pod").unwrap(), From::Pod);
    assert_eq!(from("here").unwrap(), From::default());
    assert!(from("node").is_err());
}

#[test]
fn what_a_pod_needs_is_asked_for_before() {
    let planned = planned("x");
    let shown = |permissions: Vec<Permission>| -> Vec<String> {
        permissions.iter().map(ToString::to_string).collect()
    };
    let required = shown(planned.collector.required(None));
    for needed in [
        "create pods",
        "get pods",
        "get pods/log",
        "delete pods",
        "create secrets",
        "get secrets",
        "delete secrets",
    ] {
        let needed = format!("{needed} in namespace \"shop\"");
        assert!(required.contains(&needed), "{required:?}");
    }
    let all = shown(planned.collector.permissions(None));
    assert!(
        all.contains(&"list events in namespace \"shop\"".to_owned()),
        "{all:?}"
    );
}

#[test]
fn a_request_keeps_its_form() {
    let value = request(&json!({"name": "out"}));
    let mut read: Request = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), value);
    assert_eq!(read.writes, Writes::Refused);
    read.writes = Writes::Allowed;
    assert_eq!(serde_json::to_value(&read).unwrap()["writes"], "allowed");
}

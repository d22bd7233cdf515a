//! An API server that misbehaves on purpose: real HTTP over loopback, answers scripted per request.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its server fails"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bundle::io::{ArchiveFile, Inline, MemoryFile, MemorySpool};
use bundle::manifest::{CollectorRecord, Ending, GapReason};
use bundle::{ArchiveWriter, Files, Manifest, Redactor, WriterOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::clock::Clock;
use crate::cluster::{Cluster, Timing};
use crate::collector::{Cleanups, Context, Meta, Writes};
use crate::fingerprint::Salt;
use crate::host::Host;
use crate::run::{Observer, Planned, Settings, Stop, run};

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    /// As it was sent: names without values are in it, too.
    pub(crate) raw_query: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// What the server does about a request.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Bytes(Vec<u8>),
    /// Nothing for ever.
    Silence,
    /// The connection ends in the middle of the body.
    Break,
}

impl Reply {
    pub(crate) fn json(body: impl std::fmt::Display) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            parts: vec![Part::Bytes(body.to_string().into_bytes())],
        }
    }

    /// A document of an object storage.
    pub(crate) fn xml(status: u16, body: &str) -> Self {
        Self {
            status,
            ..Self::json(body)
        }
        .header("content-type", "application/xml")
    }

    /// Whether it is an answer that refuses.
    pub(crate) fn is_status(&self) -> bool {
        self.status >= 400
    }

    /// A `metav1.Status` error.
    pub(crate) fn status(code: u16, reason: &str, message: &str) -> Self {
        let body = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        });
        Self {
            status: code,
            ..Self::json(body)
        }
    }

    /// A WebSocket that sends these, each on its channel.
    pub(crate) fn web_socket(frames: &[(u8, &str)]) -> Self {
        let frame = |(channel, text): &(u8, &str)| {
            let length = u16::try_from(text.len() + 1).unwrap();
            let mut frame = vec![0x82, 126];
            frame.extend(length.to_be_bytes());
            frame.push(*channel);
            frame.extend(text.bytes());
            Part::Bytes(frame)
        };
        Self {
            status: 101,
            headers: Vec::new(),
            parts: frames.iter().map(frame).collect(),
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// A redirect.
    pub(crate) fn moved(self, location: &str) -> Self {
        Self {
            status: 302,
            ..self.header("location", location)
        }
    }

    /// The same answer with something else in its body.
    pub(crate) fn replacing(mut self, old: &str, new: &str) -> Self {
        for part in &mut self.parts {
            if let Part::Bytes(bytes) = part {
                let text = String::from_utf8(std::mem::take(bytes)).unwrap();
                assert!(text.contains(old), "{old} is in the answer");
                *bytes = text.replacen(old, new, 1).into_bytes();
            }
        }
        self
    }

    /// The body goes silent where it ends now.
    pub(crate) fn then_silence(mut self) -> Self {
        self.parts.push(Part::Silence);
        self
    }

    /// The connection breaks where the body ends now.
    pub(crate) fn then_break(mut self) -> Self {
        self.parts.push(Part::Break);
        self
    }

    /// No answer at all.
    pub(crate) fn silence() -> Self {
        Self {
            status: 0,
            headers: Vec::new(),
            parts: vec![Part::Silence],
        }
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

/// A running server. It ends with the test's runtime.
pub(crate) struct Server {
    pub(crate) address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub(crate) async fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let handler: Arc<Handler> = Arc::new(handler);
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (handler, log) = (Arc::clone(&handler), Arc::clone(&log));
                tokio::spawn(async move {
                    // A client that goes away in the middle is part of the scenarios.
                    let _ = serve(stream, &*handler, &log).await;
                });
            }
        });
        Self { address, seen }
    }

    /// What was asked so far, for who wants to wait for it.
    pub(crate) fn log(&self) -> Arc<Mutex<Vec<Seen>>> {
        Arc::clone(&self.seen)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// A cluster on this server, with waits short enough for a test.
    pub(crate) fn cluster(&self) -> Cluster {
        self.cluster_with(Timing {
            answer: Duration::from_millis(1500),
            idle: Duration::from_millis(700),
            back_off: Duration::from_millis(5),
            longest_wait: Duration::from_millis(50),
            ..Timing::default()
        })
    }

    pub(crate) fn cluster_with(&self, timing: Timing) -> Cluster {
        let mut config = kube::Config::new(self.address.parse().unwrap());
        config.default_retry = false;
        let client = kube::Client::try_from(config).unwrap();
        Cluster::new(client, self.address.clone(), "default".into(), timing)
    }

    pub(crate) fn context(&self) -> Context {
        context(Some(self.cluster()))
    }
}

pub(crate) fn context(cluster: Option<Cluster>) -> Context {
    Context {
        cluster: cluster.map(Arc::new),
        host: Host::default(),
        namespace: None,
        logs_since: None,
        log_budget: crate::budget::LogBudget::default(),
        ends_by: None,
        run_id: "test".into(),
        salt: Salt::default(),
        agent_image: None,
        cleanups: Cleanups::default(),
        clock: Clock::default(),
        writes: Writes::default(),
    }
}

async fn serve(
    mut stream: TcpStream,
    handler: &Handler,
    log: &Mutex<Vec<Seen>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or("").split(' ');
    let method = words.next().unwrap_or("").to_owned();
    let (path, query) = words
        .next()
        .map(|target| target.split_once('?').unwrap_or((target, "")))
        .unwrap_or_default();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let seen = Seen {
        method,
        path: path.to_owned(),
        raw_query: query.to_owned(),
        query: query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), unescape(value)))
            .collect(),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    log.lock().unwrap().push(seen.clone());
    let reply = handler(&seen);
    if reply.status == 101 {
        return web_socket(stream, &seen, &reply).await;
    }
    if reply.status != 0 {
        let mut head = format!(
            "HTTP/1.1 {} X\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n",
            reply.status
        );
        for (name, value) in &reply.headers {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await?;
    }
    for part in &reply.parts {
        match part {
            Part::Bytes(bytes) => {
                // Pieces that fit no boundary of the document.
                for piece in bytes.chunks(1009) {
                    let size = format!("{:x}\r\n", piece.len());
                    stream.write_all(size.as_bytes()).await?;
                    stream.write_all(piece).await?;
                    stream.write_all(b"\r\n").await?;
                }
            }
            Part::Silence => {
                stream.flush().await?;
                futures::future::pending::<()>().await;
            }
            Part::Break => return Ok(()),
        }
    }
    stream.write_all(b"0\r\n\r\n").await?;
    stream.flush().await
}

async fn web_socket(mut stream: TcpStream, seen: &Seen, reply: &Reply) -> std::io::Result<()> {
    let accept = derive_accept_key(seen.headers["sec-websocket-key"].as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {accept}\r\nsec-websocket-protocol: v5.channel.k8s.io\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    for part in &reply.parts {
        match part {
            Part::Bytes(frame) => stream.write_all(frame).await?,
            Part::Silence => futures::future::pending().await,
            Part::Break => return Ok(()),
        }
    }
    // A close frame, and the end; then the client ends the connection too.
    stream.write_all(&[0x88, 0]).await?;
    stream.shutdown().await?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.map(drop)
}

fn unescape(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex: Vec<u8> = rest.by_ref().take(2).collect();
            let hex = String::from_utf8(hex).unwrap();
            bytes.push(u8::from_str_radix(&hex, 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// An archive in memory.
pub(crate) fn archive() -> Arc<ArchiveWriter> {
    let options = WriterOptions::new("bundle", 0, Arc::new(MemorySpool), Arc::new(Inline));
    let file = Box::new(MemoryFile::default());
    Arc::new(ArchiveWriter::new(file, Redactor::default(), options).unwrap())
}

/// What a run of one collector gave.
pub(crate) struct Collected {
    pub(crate) record: CollectorRecord,
    pub(crate) ending: Ending,
    files: Files,
}

impl Collected {
    /// A file's text, `None` where there is none.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let bytes = self.files.read(path).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(crate) fn json(&self, path: &str) -> Option<Value> {
        serde_json::from_str(&self.text(path)?).ok()
    }

    /// The names of the objects in a list or array.
    pub(crate) fn names(&self, path: &str) -> Option<Vec<String>> {
        let document = self.json(path)?;
        let items = document.get("items").unwrap_or(&document).as_array()?;
        let name = |item: &Value| item["metadata"]["name"].as_str().map(str::to_owned);
        Some(items.iter().filter_map(name).collect())
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.files.paths().map(ToString::to_string).collect()
    }

    /// The reasons recorded for exactly this path or glob.
    pub(crate) fn gaps(&self, path: &str) -> Vec<GapReason> {
        let gaps = self.record.gaps.iter();
        gaps.filter(|gap| gap.path == path)
            .map(|gap| gap.reason)
            .collect()
    }
}

/// Runs the collector of this name through the harness into an archive without redaction, and reads that.
pub(crate) async fn collect(
    context: &Context,
    name: &str,
    config: &Value,
    settings: &Settings,
    stop: &Stop,
) -> Collected {
    let archive = |file, options| ArchiveWriter::unredacted(file, options).unwrap();
    collect_into(archive, context, name, config, settings, stop).await
}

/// As [`collect`], into an archive with the redaction that a run has unless told otherwise.
pub(crate) async fn collect_redacted(context: &Context, name: &str, config: &Value) -> Collected {
    let archive = |file, options| ArchiveWriter::new(file, Redactor::default(), options).unwrap();
    let (settings, stop) = (Settings::default(), Stop::default());
    collect_into(archive, context, name, config, &settings, &stop).await
}

async fn collect_into(
    archive: impl FnOnce(Box<dyn ArchiveFile>, WriterOptions) -> ArchiveWriter,
    context: &Context,
    name: &str,
    config: &Value,
    settings: &Settings,
    stop: &Stop,
) -> Collected {
    let kind = crate::collectors::KINDS
        .iter()
        .find(|kind| kind.name == name)
        .expect("a registered kind");
    let parsed = (kind.parse)(config, &Meta::default()).unwrap();
    let planned = Planned {
        kind,
        collector: parsed.config.into(),
        requested: true,
        excluded: false,
        budget: crate::budget::Budget::default(),
    };
    collect_plan(archive, context, planned, settings, stop).await
}

/// As [`collect`], for a collector that no specification made.
pub(crate) async fn collect_planned(
    context: &Context,
    planned: Planned,
    settings: &Settings,
    stop: &Stop,
) -> Collected {
    let archive = |file, options| ArchiveWriter::unredacted(file, options).unwrap();
    collect_plan(archive, context, planned, settings, stop).await
}

async fn collect_plan(
    archive: impl FnOnce(Box<dyn ArchiveFile>, WriterOptions) -> ArchiveWriter,
    context: &Context,
    planned: Planned,
    settings: &Settings,
    stop: &Stop,
) -> Collected {
    let plan = [planned];
    let options = WriterOptions::new("bundle", 0, Arc::new(MemorySpool), Arc::new(Inline));
    let file = MemoryFile::default();
    let archive = Arc::new(archive(Box::new(file.clone()), options));
    let observer: Observer = Arc::new(|_| ());
    let mut ran = run(&plan, context, &archive, settings, &observer, stop).await;
    let now = jiff::Timestamp::UNIX_EPOCH;
    let manifest = Manifest {
        format: bundle::manifest::FORMAT,
        tool: String::new(),
        collected_at: now,
        finished_at: now,
        ending: ran.ending.clone(),
        redaction: bundle::manifest::Redaction::default(),
        lost: Vec::new(),
        collectors: ran.records.clone(),
    };
    Collected {
        record: ran.records.remove(0),
        ending: ran.ending,
        files: archive.flush(Arc::new(file), manifest).unwrap(),
    }
}

/// A well-behaved API server with the kinds that `clusterResources` asks for, and nothing but namespaces in
/// it. Everything is allowed.
pub(crate) fn empty_cluster(request: &Seen, namespaces: &[&str]) -> Reply {
    let path = request.path.as_str();
    match path {
        "/api" | "/apis" => Reply::json(discovery(path == "/api")),
        "/api/v1/namespaces" => {
            let items = namespaces.iter().map(|name| object("", name));
            Reply::json(list("Namespace", items))
        }
        _ if path.ends_with("selfsubjectaccessreviews") => {
            Reply::json(json!({"status": {"allowed": true}}))
        }
        _ if path.ends_with("selfsubjectrulesreviews") => {
            Reply::json(json!({"status": {"resourceRules": [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]}}))
        }
        _ => Reply::json(list("Some", [])),
    }
}

pub(crate) fn object(namespace: &str, name: &str) -> Value {
    let mut object = json!({"metadata": {"name": name}});
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = namespace.into();
    }
    object
}

/// A page of a list, the last one.
pub(crate) fn list(kind: &str, items: impl IntoIterator<Item = Value>) -> String {
    page(kind, "", items)
}

/// A page of a list, in the order in which an API server writes it.
pub(crate) fn page(kind: &str, next: &str, items: impl IntoIterator<Item = Value>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!(
        r#"{{"kind":"{kind}List","apiVersion":"v1","metadata":{{"resourceVersion":"9","continue":"{next}"}},"items":[{}]}}"#,
        items.join(",")
    )
}

/// Aggregated discovery of the groups that Kubernetes has.
fn discovery(core: bool) -> Value {
    let mut groups: BTreeMap<&str, BTreeMap<&str, Vec<Value>>> = BTreeMap::new();
    for (group_version, resource, kind) in crate::collectors::built_in_resources() {
        let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
        if group.is_empty() == core && !version.contains("beta") {
            let resource = json!({"resource": resource, "scope": "Namespaced", "verbs": ["list"],
                "responseKind": {"group": group, "version": version, "kind": kind}});
            let versions = groups.entry(group).or_default();
            versions.entry(version).or_default().push(resource);
        }
    }
    let versions = |versions: BTreeMap<&str, Vec<Value>>| {
        let each = |(version, resources)| json!({"version": version, "freshness": "Current", "resources": resources});
        versions.into_iter().map(each).collect::<Vec<_>>()
    };
    let groups = groups
        .into_iter()
        .map(|(group, all)| json!({"metadata": {"name": group}, "versions": versions(all)}));
    json!({"kind": "APIGroupDiscoveryList", "items": groups.collect::<Vec<_>>()})
}

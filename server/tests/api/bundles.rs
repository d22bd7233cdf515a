//! Small bundles and how to ask them.

use std::sync::Arc;

use assay_server::{Body, BundleApi};
use bundle::manifest::{
    CollectorRecord, Ending, FORMAT, Gap, GapReason, Manifest, Outcome, Redaction,
};
use bundle::{BundlePath, Files};
use bytes::Bytes;
use http::header::ACCEPT;
use http::{Method, Request, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) content_type: String,
    pub(crate) warnings: Vec<String>,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("the answer is JSON")
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let list = self.json();
        let items = list["items"].as_array().expect("the answer is a list");
        let name = |item: &Value| {
            let metadata = &item["metadata"];
            let name = metadata["name"].as_str().expect("an item has a name");
            match metadata["namespace"].as_str() {
                Some(namespace) => format!("{namespace}/{name}"),
                None => name.to_owned(),
            }
        };
        items.iter().map(name).collect()
    }

    /// Code, reason and message of a failure, which must be a whole `metav1.Status`.
    pub(crate) fn failure(&self) -> (u16, String, String) {
        let status = self.json();
        assert_eq!(status["kind"], "Status", "{status}");
        assert_eq!(status["apiVersion"], "v1");
        assert_eq!(status["status"], "Failure");
        assert_eq!(status["code"], self.code);
        let text = |key: &str| status[key].as_str().expect("a Status has it").to_owned();
        (self.code, text("reason"), text("message"))
    }
}

pub(crate) fn files(entries: &[(&str, String)], manifest: Option<Manifest>) -> Files {
    let entries = entries.iter().map(|(path, text)| {
        let path = BundlePath::new(path).expect("a path of a bundle");
        (path, text.clone().into_bytes())
    });
    Files::in_memory(entries, manifest)
}

pub(crate) fn api(entries: &[(&str, String)]) -> BundleApi {
    BundleApi::index(Arc::new(files(entries, None))).expect("the bundle can be served")
}

pub(crate) fn api_with(entries: &[(&str, String)], manifest: Manifest) -> BundleApi {
    BundleApi::index(Arc::new(files(entries, Some(manifest)))).expect("the bundle can be served")
}

pub(crate) fn ask(api: &BundleApi, request: &Request<Bytes>) -> Reply {
    let response: Response<Body> = api.respond(request);
    let (parts, body) = response.into_parts();
    let text = |name: &str| -> Vec<String> {
        let values = parts.headers.get_all(name).iter();
        values
            .filter_map(|value| value.to_str().ok().map(str::to_owned))
            .collect()
    };
    let bytes = body.collect().expect("the body can be read");
    Reply {
        code: parts.status.as_u16(),
        content_type: text("content-type").concat(),
        warnings: text("warning"),
        text: String::from_utf8(bytes.to_vec()).expect("the body is text"),
    }
}

pub(crate) fn get(api: &BundleApi, path: &str) -> Reply {
    accepting(api, path, "application/json")
}

pub(crate) fn accepting(api: &BundleApi, path: &str, accept: &str) -> Reply {
    let request = Request::get(path).header(ACCEPT, accept);
    ask(api, &request.body(Bytes::new()).expect("a request"))
}

pub(crate) fn post(api: &BundleApi, path: &str, body: &Value) -> Reply {
    send(api, Method::POST, path, body)
}

pub(crate) fn send(api: &BundleApi, method: Method, path: &str, body: &Value) -> Reply {
    let request = Request::builder().method(method).uri(path);
    let body = Bytes::from(body.to_string());
    ask(api, &request.body(body).expect("a request"))
}

/// A list as the collector writes it.
pub(crate) fn list(kind: &str, api_version: &str, items: &[Value]) -> String {
    let list = json!({
        "kind": format!("{kind}List"),
        "apiVersion": api_version,
        "metadata": { "resourceVersion": "687" },
        "items": items,
    });
    serde_json::to_string_pretty(&list).expect("a value is JSON")
}

/// An object with name, namespace and labels.
pub(crate) fn object(kind: &str, api_version: &str, namespace: &str, name: &str) -> Value {
    let mut object = json!({
        "kind": kind,
        "apiVersion": api_version,
        "metadata": { "name": name },
    });
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}

pub(crate) fn pod(namespace: &str, name: &str, containers: &[&str]) -> Value {
    let mut pod = object("Pod", "v1", namespace, name);
    let containers: Vec<Value> = containers
        .iter()
        .map(|name| json!({ "name": name }))
        .collect();
    pod["spec"] = json!({ "containers": containers });
    pod
}

pub(crate) fn namespaces(names: &[&str]) -> String {
    let items: Vec<Value> = names
        .iter()
        .map(|name| object("Namespace", "v1", "", name))
        .collect();
    list("Namespace", "v1", &items)
}

/// A manifest with these gaps: path, reason, detail.
pub(crate) fn manifest(gaps: &[(&str, GapReason, &str)]) -> Manifest {
    let collected_at: Timestamp = "2026-03-01T12:00:00Z".parse().expect("a time");
    Manifest {
        format: FORMAT,
        tool: "assay 0.1.0".to_owned(),
        collected_at,
        finished_at: collected_at,
        ending: Ending::Complete,
        redaction: Redaction::default(),
        lost: Vec::new(),
        collectors: vec![CollectorRecord {
            collector: "clusterResources".to_owned(),
            title: "cluster-resources".to_owned(),
            requested: true,
            outcome: Outcome::Partial,
            error: String::new(),
            duration_ms: 1,
            bytes: 1,
            files: 1,
            requests: 1,
            retries: 0,
            throttled_ms: 0,
            gaps: gaps
                .iter()
                .map(|(path, reason, detail)| Gap {
                    path: (*path).to_owned(),
                    reason: *reason,
                    detail: (*detail).to_owned(),
                })
                .collect(),
        }],
    }
}

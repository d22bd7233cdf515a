//! The API itself: a request in, a response out, no socket in sight.

use std::sync::Arc;

use bundle::{Files, ReadError};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WARNING};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::absence::subject;
use crate::catalog::{Catalog, Resource, group_version};
use crate::discovery::Discovery;
use crate::request::{Accepted, ObjectPath, Query, Target};
use crate::status::{Status, Subject};
use crate::view::View;
use crate::{list, logs, reviews};

const VERSION: &str = "cluster-info/cluster_version.json";
/// The longest single warning, and all of them, as the API server limits them.
const MAX_WARNING: usize = 256;
const MAX_WARNINGS: usize = 16;

/// A bundle as a read-only Kubernetes API. Cheap to clone.
#[derive(Clone)]
pub struct BundleApi {
    pub(crate) shared: Arc<Shared>,
}

/// Why a bundle cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// It holds nothing that came out of a cluster.
    #[error(
        "this bundle holds nothing of a cluster: neither cluster-resources/ nor cluster-info/ is in it; \
         its {files} files can be read, but there is no API to serve"
    )]
    NoCluster {
        /// How many files it holds.
        files: usize,
    },
}

pub(crate) struct Shared {
    pub(crate) files: Arc<Files>,
    pub(crate) catalog: Catalog,
    pub(crate) discovery: Discovery,
    pub(crate) logs: logs::Elsewhere,
}

/// A response's body.
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// Chunks of at most about half a MiB, or one object, read as they are asked for. An error ends it:
    /// what was sent before is no whole answer.
    Stream(Box<dyn Iterator<Item = Result<Bytes, ReadError>> + Send>),
}

impl Body {
    /// Reads the whole body into memory.
    pub fn collect(self) -> Result<Bytes, ReadError> {
        match self {
            Self::Whole(bytes) => Ok(bytes),
            Self::Stream(chunks) => {
                let mut whole = Vec::new();
                for chunk in chunks {
                    whole.extend_from_slice(&chunk?);
                }
                Ok(Bytes::from(whole))
            }
        }
    }
}

/// An answer that is no failure.
pub(crate) struct Answer {
    pub(crate) code: StatusCode,
    pub(crate) content: Accepted,
    /// Sent as `Warning` headers, which clients show to people.
    pub(crate) warnings: Vec<String>,
    pub(crate) body: Body,
}

impl Answer {
    pub(crate) fn json(body: Body) -> Self {
        Self {
            code: StatusCode::OK,
            content: Accepted::Json,
            warnings: Vec::new(),
            body,
        }
    }

    pub(crate) fn value(value: &Value) -> Self {
        Self::json(Body::Whole(Bytes::from(value.to_string())))
    }

    fn text(text: &'static str) -> Self {
        Self {
            content: Accepted::Text,
            ..Self::json(Body::Whole(Bytes::from_static(text.as_bytes())))
        }
    }
}

impl BundleApi {
    /// Sorts the bundle's files by kind and reads its discovery. Each kind's objects are indexed on the first
    /// request for it, or by [`BundleApi::warm`], and never again.
    pub fn index(files: Arc<Files>) -> Result<Self, IndexError> {
        let cluster = |path: &str| {
            path.starts_with("cluster-resources/") || path.starts_with("cluster-info/")
        };
        if !files.paths().any(|path| cluster(path.as_str())) {
            return Err(IndexError::NoCluster {
                files: files.paths().count(),
            });
        }
        let mut discovery = Discovery::read(&files);
        let catalog = Catalog::read(&files, &discovery);
        discovery.complete(&catalog);
        let shared = Shared {
            logs: logs::Elsewhere::default(),
            files,
            catalog,
            discovery,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Indexes every kind, so that no request waits for it.
    pub fn warm(&self) {
        self.warm_while(|| true);
    }

    /// Indexes kind by kind as long as somebody is interested.
    pub(crate) fn warm_while(&self, interested: impl Fn() -> bool) {
        let kinds = self.shared.catalog.iter();
        for resource in kinds.take_while(|_| interested()) {
            resource.index(&self.shared.files);
        }
    }

    /// What of the bundle could not be understood, a sentence each.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        let discovery = self.shared.discovery.notes.iter();
        discovery
            .chain(&self.shared.catalog.notes)
            .map(String::as_str)
    }

    /// Answers a request. Never panics, whatever the request or the bundle holds.
    #[must_use]
    pub fn respond(&self, request: &Request<Bytes>) -> Response<Body> {
        match self.answer(request) {
            Ok(answer) => respond(answer),
            Err(status) => failure(&status),
        }
    }

    fn answer(&self, request: &Request<Bytes>) -> Result<Answer, Status> {
        let target = Target::parse(request.uri().path());
        match *request.method() {
            Method::GET | Method::HEAD => self.read(request, target),
            Method::POST => match &target {
                Target::Objects(path) => reviews::review(&self.shared, path, request),
                _ => Err(Status::read_only("POST")),
            },
            ref other => Err(Status::read_only(other.as_str())),
        }
    }

    fn read(&self, request: &Request<Bytes>, target: Target) -> Result<Answer, Status> {
        const AGGREGATED: [Accepted; 3] = [
            Accepted::Json,
            Accepted::Aggregated("v2"),
            Accepted::Aggregated("v2beta1"),
        ];
        let discovery = &self.shared.discovery;
        let plain = || Accepted::negotiate(request.headers(), &[Accepted::Json]);
        let unknown = Status::unknown_resource;
        match target {
            Target::Root => plain().map(|_| Answer::value(&self.root())),
            Target::Health => Ok(Answer::text("ok")),
            Target::Version => plain().and_then(|_| self.version()),
            Target::OpenApiV2 => openapi_v2(request, &self.git_version()),
            Target::OpenApiV3 => plain().map(|_| Answer::value(&json!({ "paths": {} }))),
            Target::CoreVersions | Target::Groups => {
                let core = target == Target::CoreVersions;
                let content = Accepted::negotiate(request.headers(), &AGGREGATED)?;
                let value = match content {
                    Accepted::Aggregated(version) => discovery.aggregated(core, version),
                    _ if core => discovery.core_versions(),
                    _ => discovery.group_list(),
                };
                Ok(Answer {
                    content,
                    ..Answer::value(&value)
                })
            }
            Target::Group(name) => {
                plain()?;
                discovery
                    .group(&name)
                    .map(|value| Answer::value(&value))
                    .ok_or_else(unknown)
            }
            Target::Resources { group, version } => {
                plain()?;
                let name = group_version(&group, &version);
                match discovery.resource_list(&name) {
                    Some(value) => Ok(Answer::value(&value)),
                    None if discovery.has_group_version(&name) => {
                        let subject = Subject {
                            group: &group,
                            resource: "",
                            name: "",
                        };
                        Err(Status::unavailable(
                            &subject,
                            &format!("{name} did not answer when this bundle was made"),
                        ))
                    }
                    None => Err(unknown()),
                }
            }
            Target::Objects(path) => self.objects(request, &path),
            Target::Unknown => Err(unknown()),
        }
    }

    fn objects(&self, request: &Request<Bytes>, path: &ObjectPath) -> Result<Answer, Status> {
        let resource = self.resource(path)?;
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let namespace = path.namespace.as_deref();
        // Watches belong here.
        if path.watch || query.flag("watch") {
            return Err(Status::method_not_supported(
                &subject(resource, ""),
                "watch",
            ));
        }
        let misplaced = if resource.namespaced {
            namespace.is_none() && path.name.is_some()
        } else {
            namespace.is_some()
        };
        if misplaced {
            return Err(Status::unknown_resource());
        }
        let headers = request.headers();
        let Some(name) = &path.name else {
            let offered = [Accepted::Json, Accepted::Metadata(View::LIST)];
            let view = View::of(Accepted::negotiate(headers, &offered)?);
            return list::list(&self.shared, resource, namespace, &query, view);
        };
        match (resource.plural.as_str(), path.subresource.as_deref()) {
            (_, subresource @ (None | Some("status")))
                if subresource
                    .is_none_or(|name| self.shared.discovery.has_subresource(path, name)) =>
            {
                let offered = [Accepted::Json, Accepted::Metadata(View::OBJECT)];
                let view = View::of(Accepted::negotiate(headers, &offered)?);
                list::get(&self.shared, resource, namespace, name, view)
            }
            ("pods", Some("log")) if resource.group.is_empty() => logs::log(
                &self.shared,
                resource,
                namespace.unwrap_or_default(),
                name,
                &query,
            ),
            (_, Some("exec" | "attach" | "portforward" | "proxy")) => Err(
                Status::method_not_supported(&subject(resource, name), "a connection to what ran"),
            ),
            _ => Err(Status::unknown_resource()),
        }
    }

    /// The kind that a path names, or why there is none.
    pub(crate) fn resource(&self, path: &ObjectPath) -> Result<&Resource, Status> {
        let ObjectPath {
            group,
            version,
            resource: plural,
            ..
        } = path;
        let listed = self.shared.discovery.get(group, version, plural);
        match self.shared.catalog.get(group, plural) {
            Some(resource) if resource.version == *version => Ok(resource),
            Some(resource) if listed.is_some() => {
                let why = format!(
                    "this bundle holds {plural} as {} only",
                    resource.group_version()
                );
                Err(Status::not_collected(&subject(resource, ""), &why))
            }
            None if listed.is_some_and(|listed| !listed.is_readable()) => {
                Err(Status::not_readable())
            }
            None if listed.is_some() => {
                let subject = Subject {
                    group,
                    resource: plural,
                    name: "",
                };
                let why = format!(
                    "{} were not collected into this bundle",
                    subject.qualified()
                );
                Err(Status::not_collected(&subject, &why))
            }
            _ => Err(Status::unknown_resource()),
        }
    }

    fn root(&self) -> Value {
        let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
        let versions = self.shared.discovery.group_versions();
        paths.extend(versions.map(|version| format!("/apis/{version}")));
        paths.extend(
            [
                "/healthz",
                "/livez",
                "/openapi/v2",
                "/openapi/v3",
                "/readyz",
                "/version",
            ]
            .map(str::to_owned),
        );
        json!({ "paths": paths })
    }

    fn recorded_version(&self) -> Result<Value, ReadError> {
        let document = self.shared.files.decoded::<Value>(VERSION)?;
        Ok(document.get("info").unwrap_or(&document).clone())
    }

    fn git_version(&self) -> String {
        let version = self.recorded_version().ok();
        let text = version
            .as_ref()
            .and_then(|version| version["gitVersion"].as_str());
        text.unwrap_or("unknown").to_owned()
    }

    fn version(&self) -> Result<Answer, Status> {
        let subject = Subject {
            group: "",
            resource: "version",
            name: "",
        };
        match self.recorded_version() {
            Ok(version) => Ok(Answer::value(&version)),
            Err(error) => Err(Status::unreadable(&subject, &error)),
        }
    }
}

/// A document without definitions: `kubectl explain` and `diff` then say that they know nothing of a kind.
fn openapi_v2(request: &Request<Bytes>, version: &str) -> Result<Answer, Status> {
    const PROTOBUF: Accepted = Accepted::OpenApiProtobuf;
    let content = Accepted::negotiate(request.headers(), &[Accepted::Json, PROTOBUF])?;
    if content == PROTOBUF {
        // openapi.v2.Document: swagger = 1, info = 2 { title = 1, version = 2 }, paths = 8.
        let field = |tag: u8, text: &[u8]| {
            let length = u8::try_from(text.len().min(100)).unwrap_or(100);
            [&[tag, length], &text[..usize::from(length)]].concat()
        };
        let info = [field(0x0a, b"Kubernetes"), field(0x12, version.as_bytes())].concat();
        let document = [field(0x0a, b"2.0"), field(0x12, &info), field(0x42, b"")].concat();
        return Ok(Answer {
            content,
            ..Answer::json(Body::Whole(Bytes::from(document)))
        });
    }
    Ok(Answer::value(&json!({
        "swagger": "2.0",
        "info": { "title": "Kubernetes", "version": version },
        "paths": {},
        "definitions": {},
    })))
}

fn respond(answer: Answer) -> Response<Body> {
    let mut response = Response::new(answer.body);
    *response.status_mut() = answer.code;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(answer.content.content_type()),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    for warning in answer.warnings.iter().take(MAX_WARNINGS) {
        if let Ok(value) = HeaderValue::from_str(&warning_header(warning)) {
            headers.append(WARNING, value);
        }
    }
    response
}

/// A failure as a response.
pub(crate) fn failure(status: &Status) -> Response<Body> {
    let body = serde_json::to_vec(status).unwrap_or_default();
    let mut response = Response::new(Body::Whole(Bytes::from(body)));
    *response.status_mut() =
        StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    if status.code == 429 {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// RFC 7234 `warn-code agent "text"`, as the API server writes it: printable ASCII, quoted, cut.
fn warning_header(text: &str) -> String {
    let mut quoted = String::from("299 - \"");
    for character in text.chars().take(MAX_WARNING) {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            ' '..='~' => quoted.push(character),
            _ => quoted.push(' '),
        }
    }
    quoted.push('"');
    quoted
}

//! The self-review kinds: what the account that made the bundle was allowed to do, so that a run against the
//! served bundle goes the way that account's run went.
//!
//! A question is answered by the first of these that knows:
//! 1. reading what the bundle holds is allowed, whatever the recorded rules say: the bundle proves it
//!    (some authorizers cannot list their rules);
//! 2. reading what the manifest says was refused is denied;
//! 3. the rules recorded for the namespace (`auth-cani-list/<namespace>.json`) decide; for a question over
//!    the whole cluster every recorded namespace must agree, since a cluster-wide grant is in all of them;
//! 4. without rules the answer is no, and says why.
//!
//! "Allowed" is about the recorded account. The bundle itself changes nothing and answers 405.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::absence::{Coverage, coverage};
use crate::api::{Answer, Shared};
use crate::protobuf;
use crate::request::{Accepted, ObjectPath};
use crate::status::{Fault, Status, Subject};
use crate::{facts, logs};

const RULES: &str = "cluster-resources/auth-cani-list/";
const READ: [&str; 3] = ["get", "list", "watch"];

/// `rbac.authorization.k8s.io/v1` `PolicyRule`, also the rules of a rules review.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    api_groups: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    resources: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    resource_names: Vec<String>,
    #[serde(
        default,
        rename = "nonResourceURLs",
        skip_serializing_if = "Vec::is_empty"
    )]
    non_resource_urls: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceAttributes {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    verb: String,
    #[serde(default)]
    group: String,
    #[serde(default)]
    resource: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    name: String,
}

#[derive(Debug, Default, Deserialize)]
struct NonResourceAttributes {
    #[serde(default)]
    path: String,
    #[serde(default)]
    verb: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessSpec {
    resource_attributes: Option<ResourceAttributes>,
    non_resource_attributes: Option<NonResourceAttributes>,
}

/// Whether, and why.
struct Verdict {
    allowed: bool,
    reason: String,
}

impl Verdict {
    fn new(allowed: bool, reason: impl Into<String>) -> Self {
        Self {
            allowed,
            reason: reason.into(),
        }
    }
}

/// Answers a POST: a self review, or 405.
pub(crate) fn review(
    shared: &Shared,
    path: &ObjectPath,
    request: &Request<Bytes>,
) -> Result<Answer, Status> {
    let (
        ObjectPath {
            group,
            version,
            resource,
            ..
        },
        None,
        None,
    ) = (path, &path.namespace, &path.name)
    else {
        return Err(Status::read_only("POST"));
    };
    let kind = match (group.as_str(), version.as_str(), resource.as_str()) {
        ("authorization.k8s.io", "v1", "selfsubjectaccessreviews") => "SelfSubjectAccessReview",
        ("authorization.k8s.io", "v1", "selfsubjectrulesreviews") => "SelfSubjectRulesReview",
        ("authentication.k8s.io", "v1", "selfsubjectreviews") => "SelfSubjectReview",
        _ => return Err(Status::read_only("POST")),
    };
    Accepted::negotiate(request.headers(), &[Accepted::Json])?;
    let spec = spec(kind, request)?;
    let status = match kind {
        "SelfSubjectAccessReview" => access(shared, &spec)?,
        "SelfSubjectRulesReview" => rules(shared, &spec)?,
        _ => {
            json!({"userInfo": {"username": "system:bundle-reader", "groups": ["system:authenticated"]}})
        }
    };
    let mut answer = json!({
        "kind": kind,
        "apiVersion": format!("{group}/{version}"),
        "metadata": {},
        "status": status,
    });
    if kind != "SelfSubjectReview" {
        answer["spec"] = spec;
    }
    Ok(Answer {
        code: StatusCode::CREATED,
        ..Answer::value(&answer)
    })
}

/// The review's `spec`, from JSON or protobuf.
fn spec(kind: &str, request: &Request<Bytes>) -> Result<Value, Status> {
    let media = request.headers().get(CONTENT_TYPE);
    let media = media
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let no_review =
        |why: &str| Status::bad_request(format!("the object provided is not a {kind}: {why}"));
    match media.split(';').next().unwrap_or_default().trim() {
        "" | "application/json" => {
            let document: Value = serde_json::from_slice(request.body())
                .map_err(|error| no_review(&error.to_string()))?;
            match document.get("kind") {
                Some(own) if own != kind => Err(no_review(&format!("its kind is {own}"))),
                _ if !document.is_object() => Err(no_review("it is no object")),
                _ => Ok(document.get("spec").cloned().unwrap_or(json!({}))),
            }
        }
        "application/vnd.kubernetes.protobuf" => protobuf::review_spec(kind, request.body())
            .ok_or_else(|| no_review("the protobuf breaks off")),
        _ => Err(Status::unsupported_media_type()),
    }
}

fn access(shared: &Shared, spec: &Value) -> Result<Value, Status> {
    let spec: AccessSpec = serde_json::from_value(spec.clone()).map_err(|error| {
        Status::bad_request(format!("spec of SelfSubjectAccessReview: {error}"))
    })?;
    let verdict = match (spec.resource_attributes, spec.non_resource_attributes) {
        (Some(asked), None) => resource_access(shared, &asked),
        (None, Some(asked)) => path_access(shared, &asked),
        _ => {
            let rule =
                "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            let review = Subject {
                group: "authorization.k8s.io",
                resource: "SelfSubjectAccessReview",
                name: "",
            };
            let fault = Fault::Value("null");
            return Err(Status::invalid(
                &review,
                "spec.resourceAttributes",
                &fault,
                rule,
            ));
        }
    };
    Ok(json!({ "allowed": verdict.allowed, "reason": verdict.reason }))
}

fn resource_access(shared: &Shared, asked: &ResourceAttributes) -> Verdict {
    let namespace = Some(asked.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let held = shared.catalog.get(&asked.group, &asked.resource);
    let reads = READ.contains(&asked.verb.as_str()) && asked.subresource.is_empty();
    if let (true, Some(resource)) = (reads, held) {
        let scope = namespace.filter(|_| resource.namespaced);
        match coverage(&shared.files, &shared.catalog, resource, scope) {
            Coverage::Whole | Coverage::Part(_) if !resource.files.is_empty() => {
                return Verdict::new(true, "the bundle holds it");
            }
            Coverage::Nothing(status) if status.code == 403 => {
                return Verdict::new(false, status.message);
            }
            _ => {}
        }
    }
    if holds_alone(shared, namespace, asked) {
        return Verdict::new(true, "the bundle holds it");
    }
    let lists = match namespace {
        Some(namespace) => vec![format!("{RULES}{namespace}.json")],
        None => all_lists(shared),
    };
    let read: Vec<_> = lists
        .iter()
        .filter_map(|path| shared.files.decoded::<Vec<Rule>>(path).ok())
        .collect();
    if read.is_empty() {
        return Verdict::new(
            false,
            "the bundle does not record what the account that made it may do here",
        );
    }
    let allowed = read
        .iter()
        .all(|rules| rules.iter().any(|rule| rule.allows(asked)));
    Verdict::new(
        allowed,
        "the rules recorded for the account that made the bundle",
    )
}

/// Whether the bundle has what was collected without the rest of its kind: a `ConfigMap`, logs.
fn holds_alone(shared: &Shared, namespace: Option<&str>, asked: &ResourceAttributes) -> bool {
    match (
        asked.verb.as_str(),
        asked.resource.as_str(),
        asked.subresource.as_str(),
    ) {
        ("get", "pods", "log") => {
            let folder = namespace.map(|namespace| format!("{}{namespace}/", logs::LOGS));
            let folder = folder.as_deref().unwrap_or(logs::LOGS);
            let mut paths = shared.files.paths().map(bundle::BundlePath::as_str);
            paths.any(|path| path.starts_with(folder))
        }
        ("get", resource, "") => {
            let resource = shared.catalog.get(&asked.group, resource);
            let known = resource
                .and_then(|resource| facts::about(shared, resource, namespace, &asked.name));
            known.is_some_and(|known| known.is_ok())
        }
        _ => false,
    }
}

fn path_access(shared: &Shared, asked: &NonResourceAttributes) -> Verdict {
    let lists = all_lists(shared);
    let mut rules = lists
        .iter()
        .filter_map(|path| shared.files.decoded::<Vec<Rule>>(path).ok());
    let allowed = rules.any(|rules| rules.iter().any(|rule| rule.allows_path(asked)));
    Verdict::new(
        allowed,
        "the rules recorded for the account that made the bundle",
    )
}

fn all_lists(shared: &Shared) -> Vec<String> {
    let paths = shared.files.paths().map(bundle::BundlePath::as_str);
    paths
        .filter(|path| path.starts_with(RULES))
        .map(str::to_owned)
        .collect()
}

impl Rule {
    fn allows(&self, asked: &ResourceAttributes) -> bool {
        let has =
            |list: &[String], value: &str| list.iter().any(|entry| entry == "*" || entry == value);
        let resource = if asked.subresource.is_empty() {
            has(&self.resources, &asked.resource)
        } else {
            has(
                &self.resources,
                &format!("{}/{}", asked.resource, asked.subresource),
            ) || self.resources.contains(&format!("*/{}", asked.subresource))
        };
        let named = self.resource_names.is_empty() || self.resource_names.contains(&asked.name);
        has(&self.verbs, &asked.verb) && has(&self.api_groups, &asked.group) && resource && named
    }

    fn allows_path(&self, asked: &NonResourceAttributes) -> bool {
        let verb = self
            .verbs
            .iter()
            .any(|verb| verb == "*" || *verb == asked.verb);
        verb && self
            .non_resource_urls
            .iter()
            .any(|url| match url.strip_suffix('*') {
                Some(prefix) => asked.path.starts_with(prefix),
                None => *url == asked.path,
            })
    }
}

fn rules(shared: &Shared, spec: &Value) -> Result<Value, Status> {
    let namespace = spec
        .get("namespace")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let path = format!("{RULES}{namespace}.json");
    let recorded = shared.files.decoded::<Vec<Rule>>(&path);
    let (rules, problem) = match recorded {
        Ok(rules) => (rules.to_vec(), None),
        Err(error) => (
            held_rules(shared),
            Some(format!(
                "{error}; the rules given are what the bundle holds"
            )),
        ),
    };
    let (paths, resources): (Vec<Rule>, Vec<Rule>) = rules
        .into_iter()
        .partition(|rule| !rule.non_resource_urls.is_empty());
    let mut status = json!({
        "resourceRules": resources,
        "nonResourceRules": paths,
        "incomplete": problem.is_some(),
    });
    if let Some(problem) = problem {
        status["evaluationError"] = Value::from(problem);
    }
    Ok(status)
}

/// Reading each kind that the bundle holds.
fn held_rules(shared: &Shared) -> Vec<Rule> {
    let held = shared
        .catalog
        .iter()
        .filter(|resource| !resource.files.is_empty());
    held.map(|resource| Rule {
        verbs: READ.map(str::to_owned).to_vec(),
        api_groups: vec![resource.group.clone()],
        resources: vec![resource.plural.clone()],
        ..Rule::default()
    })
    .collect()
}

//! Lists and single objects: selected in the index, streamed out of the archive.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bundle::{FileReader, ReadError};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use syntax::selector::{FieldSelector, LabelSelector};

use crate::absence::{Coverage, coverage, is_secrets, subject};
use crate::api::{Answer, Body, Shared};
use crate::catalog::Resource;
use crate::facts;
use crate::fields::check_label;
use crate::index::{Index, Object, PULL_SECRET_TYPE, materialize};
use crate::request::Query;
use crate::status::{Fault, Status, Subject};
use crate::view::View;

/// How much is read from the archive at once; one object may be longer.
const CHUNK: u64 = 512 << 10;
/// White space and a comma stand between neighbours: what is read in vain to keep one read.
const MAX_GAP: u64 = 64;

/// Answers a list.
pub(crate) fn list(
    shared: &Arc<Shared>,
    resource: &Resource,
    namespace: Option<&str>,
    query: &Query<'_>,
    view: View,
) -> Result<Answer, Status> {
    let selection = Selection::parse(resource, query)?;
    let limit = query.number("limit")?.unwrap_or(0);
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
    check_resource_version(query)?;
    if is_secrets(resource) && !selection.answerable_of_secrets(shared, namespace) {
        return Err(no_secrets(resource, ""));
    }
    let mut warnings = match coverage(&shared.files, &shared.catalog, resource, namespace) {
        Coverage::Whole => Vec::new(),
        Coverage::Part(missing) => missing,
        Coverage::Nothing(status) => return Err(*status),
    };
    let index = resource.index(&shared.files);
    warnings.extend(
        index
            .problems
            .iter()
            .filter(|problem| namespace.is_none_or(|namespace| problem.namespace == namespace))
            .map(|problem| problem.message.clone()),
    );
    let range = index.range(namespace);
    if let (true, Some(first)) = (range.is_empty(), warnings.first()) {
        return Err(Status::unavailable(&subject(resource, ""), first));
    }
    let start = match query.text("continue") {
        Some(token) => Continue::parse(token)?
            .start(index, namespace)?
            .clamp(range.start, range.end),
        None => range.start,
    };
    let mut selected = Vec::new();
    let mut more = false;
    for number in start..range.end {
        if selection.matches(resource, &index.objects[number]) {
            if limit.is_some_and(|limit| selected.len() == limit) {
                more = true;
                break;
            }
            selected.push(number);
        }
    }
    let next = selected
        .last()
        .filter(|_| more)
        .map(|&last| (last, range.end - last - 1));
    let head = head(
        view,
        resource,
        index,
        next.map(|(last, remaining)| {
            let token = Continue::after(index.resource_version, resource, &index.objects[last]);
            (token, remaining)
        }),
        selection.is_empty(),
    )?;
    Ok(Answer {
        warnings,
        ..Answer::json(Body::Stream(Box::new(Chunks {
            shared: Arc::clone(shared),
            group: resource.group.clone(),
            plural: resource.plural.clone(),
            selected,
            next: 0,
            view,
            state: State::Head(head),
            reader: None,
            bytes: Vec::new(),
        })))
    })
}

/// Answers one object.
pub(crate) fn get(
    shared: &Arc<Shared>,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
    view: View,
) -> Result<Answer, Status> {
    let subject = subject(resource, name);
    let index = resource.index(&shared.files);
    let Some(object) = index.get(namespace.unwrap_or_default(), name) else {
        let json = match facts::about(shared, resource, namespace, name) {
            Some(known) => known?,
            None => return Err(not_there(shared, resource, namespace, name)),
        };
        return Ok(Answer::json(Body::Whole(Bytes::from(view.shown(json)))));
    };
    let bytes =
        read(shared, resource, object).map_err(|error| Status::unreadable(&subject, &error))?;
    let shown = view.object(bytes, object, resource);
    Ok(Answer::json(Body::Whole(Bytes::from(shown))))
}

/// An object's bytes as JSON.
pub(crate) fn read(
    shared: &Shared,
    resource: &Resource,
    object: &Object,
) -> Result<Vec<u8>, ReadError> {
    let source = &resource.files[object.file as usize];
    let bytes = shared
        .files
        .read_range(&source.path, object.offset, object.length as usize)?;
    Ok(materialize(source, object, &bytes)?.into_owned())
}

/// Why an object is not there: the list is whole and lacks it, or the list is not whole.
pub(crate) fn not_there(
    shared: &Shared,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
) -> Status {
    let subject = subject(resource, name);
    match coverage(&shared.files, &shared.catalog, resource, namespace) {
        Coverage::Nothing(status) => *status,
        Coverage::Part(missing) => {
            let why = format!(
                "it is not in this bundle, which is not whole: {}",
                missing.first().map_or("", String::as_str)
            );
            Status::unavailable(&subject, &why)
        }
        Coverage::Whole if is_secrets(resource) => no_secrets(resource, name),
        Coverage::Whole => {
            let index = resource.index(&shared.files);
            let broken = index
                .problems
                .iter()
                .find(|problem| namespace.is_none_or(|namespace| problem.namespace == namespace));
            match broken {
                Some(problem) => Status::internal(&subject, &problem.message),
                None => Status::not_found(&subject),
            }
        }
    }
}

fn no_secrets(resource: &Resource, name: &str) -> Status {
    let why = format!(
        "this bundle holds no Secrets; of those with type={PULL_SECRET_TYPE} it knows the registries, \
         ask for them by this field selector"
    );
    Status::forbidden(&subject(resource, name), &why)
}

/// A bundle is of one version and any may be asked for, in a well-formed way.
fn check_resource_version(query: &Query<'_>) -> Result<(), Status> {
    const FIELD: &str = "resourceVersionMatch";
    let options = Subject {
        group: "meta.k8s.io",
        resource: "ListOptions",
        name: "",
    };
    let forbidden = |rule: &str| Err(Status::invalid(&options, FIELD, &Fault::Forbidden, rule));
    let version = query.text("resourceVersion");
    match (query.text(FIELD), version) {
        (Some("Exact"), Some("0")) => {
            return forbidden(
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            );
        }
        (None, _) | (Some("Exact" | "NotOlderThan"), Some(_)) => {}
        (Some(_), None) => {
            return forbidden(
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            );
        }
        (Some(rule), Some(_)) => {
            let known = "supported values: \"Exact\", \"NotOlderThan\", \"\"";
            return Err(Status::invalid(
                &options,
                FIELD,
                &Fault::NotSupported(rule),
                known,
            ));
        }
    }
    match version.map(|version| (version, version.parse::<u64>())) {
        Some((text, Err(_))) => Err(Status::bad_request(format!(
            "invalid resource version: resourceVersion: Invalid value: {text:?}: \
             strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))),
        _ => Ok(()),
    }
}

/// The selectors of a request.
struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    fn parse(resource: &Resource, query: &Query<'_>) -> Result<Self, Status> {
        let labels = LabelSelector::parse(query.text("labelSelector").unwrap_or_default());
        let fields = FieldSelector::parse(query.text("fieldSelector").unwrap_or_default());
        let selection = Self {
            labels: labels.map_err(|error| Status::bad_request(error.to_string()))?,
            fields: fields.map_err(|error| Status::bad_request(error.to_string()))?,
        };
        for term in selection.fields.terms() {
            check_label(
                &resource.fields,
                resource.namespaced,
                resource.custom,
                &term.field,
            )
            .map_err(Status::bad_request)?;
        }
        Ok(selection)
    }

    fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    fn matches(&self, resource: &Resource, object: &Object) -> bool {
        let field = |label: &str| match label {
            "metadata.name" => Some(&*object.name),
            "metadata.namespace" => Some(&*object.namespace),
            label => {
                let number = resource
                    .fields
                    .iter()
                    .position(|field| field.label == label)?;
                Some(object.field(number))
            }
        };
        self.labels.matches(|key| object.label(key)) && self.fields.matches(field)
    }

    /// Whether all that is asked for is known of Secrets: image pull secrets, or one that is not there.
    fn answerable_of_secrets(&self, shared: &Shared, namespace: Option<&str>) -> bool {
        let absent = |name| facts::is_absent(shared, "secrets", namespace, name);
        self.fields.exact("type") == Some(PULL_SECRET_TYPE)
            || self.fields.exact("metadata.name").is_some_and(absent)
    }
}

/// A continue token, in the API server's own form.
#[derive(Serialize, Deserialize)]
struct Continue {
    #[serde(default)]
    v: String,
    #[serde(default)]
    rv: u64,
    #[serde(default)]
    start: String,
}

impl Continue {
    const VERSION: &'static str = "meta.k8s.io/v1";

    fn after(resource_version: u64, resource: &Resource, object: &Object) -> Self {
        let start = if resource.namespaced {
            format!("{}/{}\0", object.namespace, object.name)
        } else {
            format!("{}\0", object.name)
        };
        Self {
            v: Self::VERSION.to_owned(),
            rv: resource_version,
            start,
        }
    }

    fn text(&self) -> Result<String, Status> {
        let json =
            serde_json::to_vec(self).map_err(|error| Status::bad_request(error.to_string()))?;
        Ok(URL_SAFE_NO_PAD.encode(json))
    }

    fn parse(token: &str) -> Result<Self, Status> {
        let invalid = |why: &dyn std::fmt::Display| {
            Status::bad_request(format!(
                "invalid continue token: continue key is not valid: {why}"
            ))
        };
        let json = URL_SAFE_NO_PAD
            .decode(token)
            .map_err(|error| invalid(&error))?;
        let parsed: Self = serde_json::from_slice(&json).map_err(|error| invalid(&error))?;
        if parsed.v != Self::VERSION {
            return Err(invalid(&format!(
                "server does not recognize this encoded version {}",
                parsed.v
            )));
        }
        if parsed.start.is_empty() {
            return Err(invalid(&"encoded start key empty (version meta.k8s.io/v1)"));
        }
        Ok(parsed)
    }

    /// The number of the first object behind the last page.
    fn start(&self, index: &Index, namespace: Option<&str>) -> Result<usize, Status> {
        if self.rv != index.resource_version {
            return Err(Status::expired());
        }
        let (of, name) = self.start.split_once('/').unwrap_or(("", &self.start));
        if namespace.is_some_and(|namespace| namespace != of) {
            return Err(Status::bad_request(
                "invalid continue token: continue key is not valid: it is of another namespace",
            ));
        }
        Ok(index.position(of, name))
    }
}

/// A list up to its items.
fn head(
    view: View,
    resource: &Resource,
    index: &Index,
    next: Option<(Continue, usize)>,
    unselected: bool,
) -> Result<Vec<u8>, Status> {
    let mut metadata = json!({ "resourceVersion": index.resource_version.to_string() });
    if let Some((token, remaining)) = next {
        metadata["continue"] = Value::from(token.text()?);
        if unselected {
            metadata["remainingItemCount"] = Value::from(remaining);
        }
    }
    let (kind, api_version) = view.list_type(resource);
    let (kind, api_version) = (Value::from(kind), Value::from(api_version));
    let head =
        format!(r#"{{"kind":{kind},"apiVersion":{api_version},"metadata":{metadata},"items":["#);
    Ok(head.into_bytes())
}

enum State {
    Head(Vec<u8>),
    Items,
    Done,
}

/// A list's body, a chunk at a time: nothing longer than a chunk or an object is held.
struct Chunks {
    shared: Arc<Shared>,
    group: String,
    plural: String,
    selected: Vec<usize>,
    next: usize,
    view: View,
    state: State,
    /// The file last read from, by its number.
    reader: Option<(u32, FileReader)>,
    /// What was last read from it.
    bytes: Vec<u8>,
}

impl Chunks {
    /// The objects that one read brings: neighbours in their file.
    fn run<'a>(&self, index: &'a Index) -> Vec<&'a Object> {
        let mut run: Vec<&Object> = Vec::new();
        for &number in &self.selected[self.next..] {
            let object = &index.objects[number];
            if let (Some(first), Some(last)) = (run.first(), run.last()) {
                let end = last.offset + u64::from(last.length);
                let near =
                    object.file == first.file && (end..=end + MAX_GAP).contains(&object.offset);
                let length = || object.offset + u64::from(object.length) - first.offset;
                if !near || length() > CHUNK {
                    break;
                }
            }
            run.push(object);
        }
        run
    }

    fn items(&mut self) -> Result<Bytes, ReadError> {
        let shared = Arc::clone(&self.shared);
        let Some(resource) = shared.catalog.get(&self.group, &self.plural) else {
            self.state = State::Done;
            return Ok(Bytes::new());
        };
        let run = self.run(resource.index(&shared.files));
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            self.state = State::Done;
            return Ok(Bytes::from_static(b"]}\n"));
        };
        let source = &resource.files[first.file as usize];
        let length = last.offset + u64::from(last.length) - first.offset;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.bytes.resize(length, 0);
        let reader = match &mut self.reader {
            Some((file, reader)) if *file == first.file => reader,
            other => {
                &mut other
                    .insert((first.file, shared.files.open(&source.path)?))
                    .1
            }
        };
        let read = reader.seek(SeekFrom::Start(first.offset));
        read.and_then(|_| reader.read_exact(&mut self.bytes))
            .map_err(|error| ReadError::Unreadable {
                path: source.path.clone(),
                reason: error.to_string(),
            })?;
        let mut chunk = Vec::with_capacity(length + run.len());
        for (position, object) in run.iter().enumerate() {
            if self.next + position > 0 {
                chunk.push(b',');
            }
            let start = usize::try_from(object.offset - first.offset).unwrap_or(usize::MAX);
            let item = self
                .bytes
                .get(start..start.saturating_add(object.length as usize));
            let item = item.expect("an object ends within the run that it is in");
            self.view
                .item(&materialize(source, object, item)?, &mut chunk);
        }
        self.next += run.len();
        Ok(Bytes::from(chunk))
    }
}

impl Iterator for Chunks {
    type Item = Result<Bytes, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        match std::mem::replace(&mut self.state, State::Items) {
            State::Head(head) => Some(Ok(Bytes::from(head))),
            State::Items => {
                let chunk = self.items();
                if chunk.is_err() {
                    self.state = State::Done;
                }
                Some(chunk)
            }
            State::Done => {
                self.state = State::Done;
                None
            }
        }
    }
}

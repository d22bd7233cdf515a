//! Where each object of a kind lies in the bundle: name, namespace, labels, selectable fields and a byte
//! range. Memory is proportional to the number of objects, not to their size.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use bundle::{Files, ReadError};

use crate::fields::{Field, Projection, Wanted};
use crate::items;

/// The most objects of one kind: ten times the largest clusters known.
const MAX_OBJECTS: usize = 5_000_000;
/// The most problems whose text is kept per kind.
const MAX_PROBLEMS: usize = 20;

/// How a file holds its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A JSON list, a bare JSON array, or one JSON object.
    Json,
    /// A YAML sequence of objects: custom resources of older troubleshoot releases.
    Yaml,
    /// A map of registry to user name, all that a bundle keeps of an image pull secret.
    PullSecret,
}

/// A file that holds objects of one kind.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    pub(crate) path: String,
    /// The namespace that its name gives, empty for cluster-scoped kinds.
    pub(crate) namespace: String,
    pub(crate) format: Format,
}

/// One object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Box<str>,
    labels: Box<[(Arc<str>, Arc<str>)]>,
    fields: Box<[Arc<str>]>,
    /// Number of its file in the kind's list of files.
    pub(crate) file: u32,
    pub(crate) length: u32,
    pub(crate) offset: u64,
    /// Whether the object names its own `kind` and `apiVersion`; lists of the API do not.
    pub(crate) typed: bool,
}

impl Object {
    /// A label's value.
    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        let found = self.labels.binary_search_by(|(name, _)| (**name).cmp(key));
        found.ok().map(|position| &*self.labels[position].1)
    }

    /// A selectable field's value, by its number in the kind's list of fields.
    pub(crate) fn field(&self, number: usize) -> &str {
        self.fields.get(number).map_or("", |value| value)
    }

    /// The order of the API's answers: that of etcd's keys, `namespace/name` as bytes.
    pub(crate) fn compare(&self, namespace: &str, name: &str) -> Ordering {
        if *self.namespace == *namespace {
            return (*self.name).cmp(name);
        }
        // Namespaces hold no slash: the one that ends them decides before a name is looked at.
        let folder = self.namespace.bytes().chain([b'/']);
        folder.cmp(namespace.bytes().chain([b'/']))
    }
}

/// Something in a file that could not be read, while the rest could.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) namespace: String,
    pub(crate) message: String,
}

/// All objects of a kind.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// In the API's order, one per namespace and name.
    pub(crate) objects: Vec<Object>,
    /// The highest resource version that a list was read at, `1` where none is recorded.
    pub(crate) resource_version: u64,
    pub(crate) problems: Vec<Problem>,
}

impl Index {
    /// Reads every file once.
    pub(crate) fn build(files: &Files, sources: &[SourceFile], fields: &[Field]) -> Self {
        let mut builder = Builder {
            index: Self {
                resource_version: 1,
                ..Self::default()
            },
            wanted: Wanted::new(fields),
            fields,
            texts: HashSet::new(),
        };
        for (number, source) in sources.iter().enumerate() {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let read = match source.format {
                Format::Json => builder.json(files, source, number),
                Format::Yaml => builder.yaml(files, source, number),
                Format::PullSecret => builder.pull_secret(files, source, number),
            };
            if let Err(reason) = read {
                builder.problem(source, &reason);
            }
        }
        builder.finish()
    }

    /// The first object of a YAML file, as JSON.
    pub(crate) fn first_yaml(files: &Files, path: &str) -> Option<Vec<u8>> {
        let text = files.read(path).ok()?;
        let first = yaml_items(&text).into_iter().next()?;
        yaml_to_json(&text[first]).ok()
    }

    /// The objects of one namespace, or all.
    pub(crate) fn range(&self, namespace: Option<&str>) -> Range<usize> {
        let Some(namespace) = namespace else {
            return 0..self.objects.len();
        };
        let start = self
            .objects
            .partition_point(|object| object.compare(namespace, "") == Ordering::Less);
        let length =
            self.objects[start..].partition_point(|object| *object.namespace == *namespace);
        start..start + length
    }

    /// The first object at or behind a key.
    pub(crate) fn position(&self, namespace: &str, name: &str) -> usize {
        self.objects
            .partition_point(|object| object.compare(namespace, name) == Ordering::Less)
    }

    /// One object.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<&Object> {
        let found = self
            .objects
            .binary_search_by(|object| object.compare(namespace, name));
        found.ok().map(|position| &self.objects[position])
    }
}

struct Builder<'a> {
    index: Index,
    wanted: Wanted,
    fields: &'a [Field],
    texts: HashSet<Arc<str>>,
}

impl Builder<'_> {
    fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = Arc::from(text);
        self.texts.insert(Arc::clone(&text));
        text
    }

    fn problem(&mut self, source: &SourceFile, reason: &str) {
        if self.index.problems.len() < MAX_PROBLEMS {
            self.index.problems.push(Problem {
                namespace: source.namespace.clone(),
                message: format!("{}: {reason}", source.path),
            });
        }
    }

    fn json(&mut self, files: &Files, source: &SourceFile, number: u32) -> Result<(), String> {
        let reader = files
            .open(&source.path)
            .map_err(|error| error.to_string())?;
        let document = items::split(reader, |offset, item| {
            if self.index.objects.len() >= MAX_OBJECTS {
                self.problem(source, "more than 5,000,000 objects; the rest is left out");
                return ControlFlow::Break(());
            }
            match self.wanted.read(item) {
                Ok(read) => self.add(source, number, offset, item.len(), read),
                Err(error) => {
                    self.problem(source, &format!("the object at byte {offset}: {error}"));
                }
            }
            ControlFlow::Continue(())
        })
        .map_err(|error| error.to_string())?;
        if document.single {
            let item = files
                .read(&source.path)
                .map_err(|error| error.to_string())?;
            let read = self.wanted.read(&item).map_err(|error| error.to_string())?;
            self.add(source, number, 0, item.len(), read);
        }
        let version = document.envelope.resource_version.parse().unwrap_or(0);
        self.index.resource_version = self.index.resource_version.max(version);
        Ok(())
    }

    fn yaml(&mut self, files: &Files, source: &SourceFile, number: u32) -> Result<(), String> {
        let text = files
            .read(&source.path)
            .map_err(|error| error.to_string())?;
        let ranges = yaml_items(&text);
        let blank = matches!(text.trim_ascii(), b"" | b"[]" | b"null");
        if ranges.is_empty() && !blank {
            return Err("a list of objects was expected".to_owned());
        }
        for range in ranges {
            let (offset, length) = (range.start as u64, range.len());
            let json = yaml_to_json(&text[range]);
            let read =
                json.and_then(|json| self.wanted.read(&json).map_err(|error| error.to_string()));
            match read {
                Ok(read) => self.add(source, number, offset, length, read),
                Err(reason) => {
                    self.problem(source, &format!("the object at byte {offset}: {reason}"));
                }
            }
        }
        Ok(())
    }

    fn pull_secret(
        &mut self,
        files: &Files,
        source: &SourceFile,
        number: u32,
    ) -> Result<(), String> {
        let name = source.path.rsplit('/').next().unwrap_or_default();
        let length = files
            .length(&source.path)
            .map_err(|error| error.to_string())?;
        let length = usize::try_from(length).map_err(|error| error.to_string())?;
        let read = Projection {
            name: name.trim_end_matches(".json").to_owned(),
            fields: vec![Arc::from(PULL_SECRET_TYPE)],
            ..Projection::default()
        };
        self.add(source, number, 0, length, read);
        Ok(())
    }

    fn add(
        &mut self,
        source: &SourceFile,
        file: u32,
        offset: u64,
        length: usize,
        read: Projection,
    ) {
        let Ok(length) = u32::try_from(length) else {
            return self.problem(source, "an object is larger than 4 GiB");
        };
        if read.name.is_empty() {
            return self.problem(source, &format!("the object at byte {offset} has no name"));
        }
        let namespace = if read.namespace.is_empty() {
            &source.namespace
        } else {
            &read.namespace
        };
        let object = Object {
            namespace: self.intern(namespace),
            labels: read
                .labels
                .iter()
                .map(|(key, value)| (self.intern(key), self.intern(value)))
                .collect(),
            fields: read.fields.iter().map(|value| self.intern(value)).collect(),
            name: read.name.into_boxed_str(),
            file,
            length,
            offset,
            typed: read.kind.is_some() && read.api_version.is_some(),
        };
        debug_assert_eq!(object.fields.len(), self.fields.len());
        self.index.objects.push(object);
    }

    fn finish(mut self) -> Index {
        let objects = &mut self.index.objects;
        objects.sort_by(|left, right| left.compare(&right.namespace, &right.name));
        objects.dedup_by(|later, earlier| {
            later.compare(&earlier.namespace, &earlier.name) == Ordering::Equal
        });
        objects.shrink_to_fit();
        self.index
    }
}

/// The type of the Secrets that `image-pull-secrets` files are about.
pub(crate) const PULL_SECRET_TYPE: &str = "kubernetes.io/dockerconfigjson";

/// The items of a block sequence: each begins with `- ` in the first column, where nothing inside an
/// item can stand.
fn yaml_items(text: &[u8]) -> Vec<Range<usize>> {
    let mut starts = Vec::new();
    let mut line = 0;
    while line < text.len() {
        let rest = &text[line..];
        if rest.starts_with(b"- ") || rest.starts_with(b"-\n") {
            starts.push(line);
        }
        let end = rest.iter().position(|byte| *byte == b'\n');
        line += end.map_or(rest.len(), |end| end + 1);
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts
        .iter()
        .copied()
        .zip(ends)
        .map(|(start, end)| start..end)
        .collect()
}

fn yaml_to_json(item: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(item).map_err(|error| error.to_string())?;
    let document = syntax::yaml::document(text, &syntax::yaml::Limits::default())
        .map_err(|error| error.to_string())?;
    match document.root.items() {
        [only] => {
            let json = only.to_json().map_err(|error| error.to_string())?;
            serde_json::to_vec(&json).map_err(|error| error.to_string())
        }
        _ => Err("one list item was expected".to_owned()),
    }
}

/// An object's JSON from the bytes of its range.
pub(crate) fn materialize<'a>(
    source: &SourceFile,
    object: &Object,
    bytes: &'a [u8],
) -> Result<Cow<'a, [u8]>, ReadError> {
    let json = match source.format {
        Format::Json => return Ok(Cow::Borrowed(bytes)),
        Format::Yaml => yaml_to_json(bytes),
        Format::PullSecret => pull_secret(object, bytes),
    };
    json.map(Cow::Owned).map_err(|reason| ReadError::Malformed {
        path: source.path.clone(),
        reason,
    })
}

/// The Secret that an `image-pull-secrets` file tells of: its registries and user names, no password.
fn pull_secret(object: &Object, bytes: &[u8]) -> Result<Vec<u8>, String> {
    use base64::Engine as _;
    let registries: std::collections::BTreeMap<String, String> =
        serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let auths: serde_json::Map<_, _> = registries
        .into_iter()
        .map(|(registry, user)| (registry, serde_json::json!({ "username": user })))
        .collect();
    let config = serde_json::json!({ "auths": auths }).to_string();
    let secret = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": &*object.name, "namespace": &*object.namespace },
        "type": PULL_SECRET_TYPE,
        "data": { ".dockerconfigjson": base64::engine::general_purpose::STANDARD.encode(config) },
    });
    serde_json::to_vec(&secret).map_err(|error| error.to_string())
}

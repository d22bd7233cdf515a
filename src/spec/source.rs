//! Where specs come from: a file, standard input, a URL, a Secret or a `ConfigMap` of the cluster, or the program.

use std::io::{self, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;

use super::diagnostic::SpecError;
use crate::packs;

/// The largest source accepted, in bytes.
pub const MAX_BYTES: u64 = 16 << 20;

/// An object of the cluster that can hold specs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// `secrets`
    Secret,
    /// `configmaps`
    ConfigMap,
}

impl ObjectKind {
    /// The `kind` of the object.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }
}

/// A GET request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// An `http` or `https` address.
    pub url: String,
    /// Headers beyond the client's own.
    pub headers: Vec<(&'static str, String)>,
    /// No more of the body is wanted than this, in bytes; reading may stop after one more.
    pub limit: u64,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code, after redirects.
    pub status: u16,
    /// The body, up to the request's limit and one byte more.
    pub body: Vec<u8>,
}

/// The way to the network and to the cluster. Errors are one sentence for the user; deadlines are the
/// implementor's.
pub trait Fetch: Sync {
    /// Makes a request.
    fn http(&self, request: Request) -> impl Future<Output = Result<Response, String>> + Send;

    /// Gets an object from the cluster, as JSON.
    fn object(
        &self,
        kind: ObjectKind,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Result<Value, String>> + Send;
}

/// Reaches nothing: for specs that are at hand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offline;

impl Fetch for Offline {
    async fn http(&self, request: Request) -> Result<Response, String> {
        Err(format!(
            "{} is not asked: there is no network here",
            request.url
        ))
    }

    async fn object(&self, kind: ObjectKind, namespace: &str, name: &str) -> Result<Value, String> {
        let kind = kind.name();
        Err(format!(
            "{kind} {namespace}/{name} cannot be read: there is no cluster here"
        ))
    }
}

/// A text and where it came from.
#[derive(Debug)]
pub(super) struct Source {
    /// What diagnostics call it.
    pub(super) file: String,
    pub(super) text: String,
    /// Whether it came from the address that its `uri` would lead to.
    pub(super) from_url: bool,
}

/// Reads one argument.
pub(super) async fn read<F: Fetch>(argument: &str, fetch: &F) -> Result<Vec<Source>, SpecError> {
    let failed = |reason: String| SpecError::Source {
        argument: argument.to_owned(),
        reason,
    };
    let one = |bytes: Vec<u8>, from_url: bool| {
        Ok(vec![Source {
            file: if argument == "-" {
                "(stdin)".to_owned()
            } else {
                argument.to_owned()
            },
            text: text(bytes).map_err(failed)?,
            from_url,
        }])
    };
    for (prefix, kind) in [
        ("secret/", ObjectKind::Secret),
        ("configmap/", ObjectKind::ConfigMap),
    ] {
        if argument.starts_with(prefix) {
            return object(argument, kind, fetch).await.map_err(failed);
        }
    }
    if let Some(name) = argument.strip_prefix("pack:") {
        let pack = packs::find(name).map_err(failed)?;
        return one(pack.spec.as_bytes().to_vec(), false);
    }
    if argument == "-" {
        let bytes = stdin().await.map_err(failed)?;
        return one(bytes, false);
    }
    match tokio::fs::File::open(argument).await {
        Ok(file) => {
            let bytes = regular(file).await.map_err(failed)?;
            return one(bytes, false);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error.to_string())),
    }
    match argument.split_once("://") {
        Some(("http" | "https", _)) => {
            let bytes = http(argument, fetch).await.map_err(failed)?;
            one(bytes, true)
        }
        Some((scheme, _)) => Err(failed(format!(
            "{scheme}: addresses are not read by this release; use a file or an https: address"
        ))),
        None => Err(failed(
            "there is no such file, and it is no URL, secret/NAMESPACE/NAME, configmap/NAMESPACE/NAME or pack:NAME"
                .to_owned(),
        )),
    }
}

/// Gets a text from an address.
pub(super) async fn fetch_text<F: Fetch>(url: &str, fetch: &F) -> Result<String, String> {
    text(http(url, fetch).await?)
}

async fn http<F: Fetch>(url: &str, fetch: &F) -> Result<Vec<u8>, String> {
    // What troubleshoot sends; kots.io and KOTS choose the document by it.
    let mut headers = vec![("User-Agent", "Replicated_Troubleshoot/v1beta1".to_owned())];
    if let Some(host) = host_of(url) {
        headers.push(("Bundle-Upload-Host", host.to_owned()));
    }
    let request = Request {
        url: url.to_owned(),
        headers,
        limit: MAX_BYTES,
    };
    let response = fetch.http(request).await?;
    if !(200..300).contains(&response.status) {
        return Err(format!(
            "the server answered with status {}",
            response.status
        ));
    }
    fits(response.body)
}

/// `https://host:port` of an address.
fn host_of(url: &str) -> Option<&str> {
    let authority = url.find("://")? + 3;
    let end = url[authority..].find(['/', '?', '#']);
    Some(end.map_or(url, |end| &url[..authority + end]))
}

async fn object<F: Fetch>(
    argument: &str,
    kind: ObjectKind,
    fetch: &F,
) -> Result<Vec<Source>, String> {
    let parts: Vec<&str> = argument.split('/').collect();
    let (namespace, name, key) = match parts.as_slice() {
        [_, namespace, name] => (*namespace, *name, None),
        [_, namespace, name, key] => (*namespace, *name, Some(*key)),
        _ => ("", "", None),
    };
    if namespace.is_empty() || name.is_empty() || key == Some("") {
        return Err(format!(
            "expected {}/NAMESPACE/NAME or {0}/NAMESPACE/NAME/KEY",
            parts[0]
        ));
    }
    let object = fetch.object(kind, namespace, name).await?;
    let data = object.get("data").and_then(Value::as_object);
    let keys: Vec<&str> = data
        .into_iter()
        .flat_map(|data| data.keys())
        .map(String::as_str)
        .collect();
    let present = match keys.as_slice() {
        [] => "it has no data".to_owned(),
        keys => format!("it has {}", keys.join(", ")),
    };
    let value = |key: &str| -> Result<String, String> {
        let value = data.and_then(|data| data.get(key)?.as_str());
        let value = value.ok_or_else(|| format!("there is no key {key:?}: {present}"))?;
        let bytes = match kind {
            ObjectKind::Secret => STANDARD
                .decode(value)
                .map_err(|error| format!("key {key:?} is not base64: {error}"))?,
            ObjectKind::ConfigMap => value.as_bytes().to_vec(),
        };
        text(fits(bytes)?).map_err(|reason| format!("key {key:?}: {reason}"))
    };
    if let Some(key) = key {
        return Ok(vec![Source {
            file: argument.to_owned(),
            text: value(key)?,
            from_url: false,
        }]);
    }
    // Every value may be a spec; what is none, a password for instance, is passed over.
    let texts: Vec<Source> = keys
        .iter()
        .filter_map(|key| {
            Some(Source {
                file: format!("{argument}/{key}"),
                text: value(key).ok().filter(|text| text.contains("apiVersion"))?,
                from_url: false,
            })
        })
        .collect();
    if texts.is_empty() {
        return Err(format!("none of its values is a spec: {present}"));
    }
    Ok(texts)
}

async fn regular(file: tokio::fs::File) -> Result<Vec<u8>, String> {
    let metadata = file.metadata().await.map_err(|error| error.to_string())?;
    if metadata.is_dir() {
        return Err("it is a folder: name the files in it".to_owned());
    }
    if metadata.len() > MAX_BYTES {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes).await;
    read.map_err(|error| error.to_string())?;
    fits(bytes)
}

async fn stdin() -> Result<Vec<u8>, String> {
    let read = tokio::task::spawn_blocking(|| {
        let mut bytes = Vec::new();
        let read = io::stdin().take(MAX_BYTES + 1).read_to_end(&mut bytes);
        read.map(|_| bytes)
    });
    let bytes = read.await.map_err(|error| error.to_string())?;
    fits(bytes.map_err(|error| error.to_string())?)
}

fn too_large() -> String {
    format!(
        "it is larger than {} MiB, which no spec is",
        MAX_BYTES >> 20
    )
}

fn fits(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!(
            "it is larger than {} MiB, which no spec is",
            MAX_BYTES >> 20
        ));
    }
    Ok(bytes)
}

/// The text of a source, or what it is instead.
fn text(bytes: Vec<u8>) -> Result<String, String> {
    let kinds: [(&[u8], &str); 5] = [
        (b"\x1f\x8b", "a gzip archive"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x7fELF", "a program"),
        (b"\xff\xfe", "UTF-16 text; save it as UTF-8"),
        (b"\xfe\xff", "UTF-16 text; save it as UTF-8"),
    ];
    if let Some((_, what)) = kinds.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(format!("it is {what}, not a spec"));
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(format!("it is binary, not a spec (a zero byte at {at})"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.split(|byte| *byte == b'\n').count();
        format!("it is not UTF-8 text (line {line})")
    })?;
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(text)
}

//! v1beta3: connection settings of database collectors that stand in Secrets and `ConfigMaps`.
//!
//! `uri: {value: …}` or `uri: {valueFrom: {secretKeyRef: {name, key, namespace, optional}}}` becomes the
//! text that v1beta2 has there; so do `tls.cacert`, `tls.clientCert` and `tls.clientKey`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::diagnostic::Diagnostic;
use super::entry::{Entry, List};
use super::source::{Fetch, ObjectKind};

const KINDS: [&str; 5] = ["postgres", "mssql", "mysql", "redis", "clickhouse"];
const FIELDS: [&str; 4] = ["/uri", "/tls/cacert", "/tls/clientCert", "/tls/clientKey"];

/// Replaces the references of an entry by what they refer to. An error says where and why; the entry is
/// then unusable.
pub(super) async fn resolve<F: Fetch>(
    entry: &mut Entry,
    namespace: &str,
    fetch: &F,
    diagnostics: &mut Vec<Diagnostic>,
) {
    if entry.list != List::Collectors || !KINDS.contains(&entry.kind.as_str()) {
        return;
    }
    for field in FIELDS {
        let Some(reference) = entry
            .config
            .pointer(field)
            .filter(|value| value.is_object())
        else {
            continue;
        };
        match value(reference.clone(), namespace, fetch).await {
            Ok(text) => {
                let in_item = format!("/{}{field}", entry.kind);
                let config = entry.config.pointer_mut(field);
                let item = entry.item.pointer_mut(&in_item);
                for value in config.into_iter().chain(item) {
                    *value = Value::String(text.clone());
                }
            }
            Err(reason) => {
                let path = field[1..].replace('/', ".");
                let message = format!("`{}.{path}`: {reason}", entry.kind);
                let place = entry.place_of(&path, false);
                diagnostics.push(Diagnostic::error(place, message.clone()));
                entry.refuse(message);
            }
        }
    }
}

async fn value<F: Fetch>(reference: Value, namespace: &str, fetch: &F) -> Result<String, String> {
    if let Some(value) = reference.get("value") {
        let text = value.as_str().map(str::to_owned);
        return text.ok_or_else(|| "`value` must be a string".to_owned());
    }
    let kinds = [
        ("secretKeyRef", ObjectKind::Secret),
        ("configMapKeyRef", ObjectKind::ConfigMap),
    ];
    let found = kinds.into_iter().find_map(|(field, kind)| {
        let target = reference.get("valueFrom")?.get(field)?;
        Some((target, kind))
    });
    let Some((target, kind)) = found else {
        let expected = "expected value, valueFrom.secretKeyRef or valueFrom.configMapKeyRef";
        return Err(expected.to_owned());
    };
    let text = |field: &str| {
        target
            .get(field)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let (Some(name), Some(key)) = (text("name"), text("key")) else {
        return Err("a reference needs a name and a key".to_owned());
    };
    let optional = target
        .get("optional")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let namespace = text("namespace").unwrap_or(namespace);
    let found = look_up(kind, namespace, name, key, fetch).await;
    match found {
        Err(_) if optional => Ok(String::new()),
        found => found,
    }
}

async fn look_up<F: Fetch>(
    kind: ObjectKind,
    namespace: &str,
    name: &str,
    key: &str,
    fetch: &F,
) -> Result<String, String> {
    let object = fetch.object(kind, namespace, name).await?;
    let what = format!("{} {namespace}/{name}", kind.name());
    let value = object.get("data").and_then(|data| data.get(key)?.as_str());
    let value = value.ok_or_else(|| format!("{what} has no key {key:?}"))?;
    match kind {
        ObjectKind::ConfigMap => Ok(value.to_owned()),
        ObjectKind::Secret => {
            let bytes = STANDARD.decode(value);
            let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
            text.ok_or_else(|| format!("key {key:?} of {what} is no text"))
        }
    }
}

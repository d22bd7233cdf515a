//! The forms in which mirrors are written down.
//!
//! Facts: containerd's `docs/hosts.md`; `containers-registries.conf(5)`; the K3s and RKE2 manuals on private registries;
//! `OpenShift`'s `config.openshift.io/v1` `ImageDigestMirrorSet` and `ImageTagMirrorSet`, `operator.openshift.io/v1alpha1`
//! `ImageContentSourcePolicy`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use syntax::image_reference::{is_host, server};
use syntax::yaml;
use toml::Table;

use super::{Rule, Stand, TrustText};

/// The longest file that is read.
pub(super) const LONGEST: u64 = 256 << 10;

/// Mirrors of a rule that are kept.
const MOST: usize = 32;

/// A mirror that a spec names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(in crate::collectors::registry) struct Given {
    /// The registry, or a part of it, that is mirrored: `docker.io`, `quay.io/team`.
    pub(in crate::collectors::registry) registry: String,
    /// The mirrors, in their order: `https://mirror.example.com:5000`, or with a path.
    pub(in crate::collectors::registry) mirrors: Vec<String>,
}

impl Given {
    pub(in crate::collectors::registry) fn rule(&self) -> Rule {
        let mut rule = Rule {
            source: "spec".to_owned(),
            prefix: prefix(&self.registry),
            ..Rule::default()
        };
        for mirror in &self.mirrors {
            match stand(mirror) {
                Some(mut stand) => {
                    if stand.path.is_some() && !rule.prefix.contains('/') {
                        // As a registry's own address: the path comes before the repository.
                        stand.path = stand.path.map(|path| path.trim_matches('/').to_owned());
                    }
                    rule.add(stand);
                }
                None => rule.wrong(format!("{mirror:?} is no address of a mirror")),
            }
        }
        rule
    }
}

impl Rule {
    fn add(&mut self, stand: Stand) {
        if self.mirrors.len() < MOST {
            self.mirrors.push(stand);
        }
    }

    pub(super) fn wrong(&mut self, problem: String) {
        if self.problem.is_empty() {
            self.problem = problem;
        }
    }
}

/// Docker Hub has several names.
fn prefix(text: &str) -> String {
    let text = text.trim_end_matches('/');
    match text.split_once('/') {
        Some(("index.docker.io" | "registry-1.docker.io", rest)) => format!("docker.io/{rest}"),
        None if matches!(text, "index.docker.io" | "registry-1.docker.io") => "docker.io".into(),
        _ => text.to_owned(),
    }
}

/// `[scheme://]host[:port][/path]`
fn stand(text: &str) -> Option<Stand> {
    let (scheme, rest) = match text.split_once("://") {
        Some(("http", rest)) => ("http", rest),
        Some(("https", rest)) => ("https", rest),
        Some(_) => return None,
        None => ("https", text),
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_matches('/');
    let is_path = path.bytes().all(|byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-' | b'~')
    });
    if !is_host(host) || !is_path || path.split('/').any(|part| matches!(part, "." | "..")) {
        return None;
    }
    Some(Stand {
        address: format!("{scheme}://{}", server(host)),
        root: "/v2".to_owned(),
        path: (!path.is_empty()).then(|| path.to_owned()),
        tags: true,
        digests: true,
        ..Stand::default()
    })
}

/// containerd's `hosts.toml` for a registry. `folder` is where it lies, for files that it names.
pub(super) fn hosts_toml(source: &str, registry: &str, folder: &str, text: &str) -> Rule {
    let mut rule = Rule {
        source: source.to_owned(),
        prefix: registry.to_owned(),
        ..Rule::default()
    };
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            rule.wrong(toml_problem(&error, text));
            return rule;
        }
    };
    if let Some(hosts) = table.get("host").and_then(toml::Value::as_table) {
        for (address, settings) in hosts {
            match containerd_stand(address, settings.as_table(), folder) {
                Some(stand) => rule.add(stand),
                None => rule.wrong(format!("{address:?} is no address of a registry")),
            }
        }
    }
    let has_own = ["ca", "skip_verify", "override_path", "client"]
        .iter()
        .any(|key| table.contains_key(*key));
    if let Some(address) = table.get("server").and_then(toml::Value::as_str) {
        match containerd_stand(address, Some(&table), folder) {
            Some(stand) => rule.fallback = Some(stand),
            None => rule.wrong(format!("server: {address:?} is no address of a registry")),
        }
    } else if has_own && registry != "*" {
        rule.fallback = containerd_stand(registry, Some(&table), folder);
    }
    rule
}

fn containerd_stand(address: &str, settings: Option<&Table>, folder: &str) -> Option<Stand> {
    let mut stand = stand(address)?;
    let path = stand.path.take().unwrap_or_default();
    let get = |key: &str| settings.and_then(|settings| settings.get(key));
    let is = |key: &str| get(key).and_then(toml::Value::as_bool).unwrap_or_default();
    stand.root = match (path.as_str(), is("override_path")) {
        ("", true) => String::new(),
        ("", false) => "/v2".to_owned(),
        (path, true) => format!("/{path}"),
        // The address may name the API itself.
        (path, false) if path == "v2" || path.ends_with("/v2") => format!("/{path}"),
        (path, false) => format!("/{path}/v2"),
    };
    if let Some(capabilities) = get("capabilities").and_then(toml::Value::as_array) {
        let can = |what: &str| capabilities.iter().any(|it| it.as_str() == Some(what));
        stand.digests = can("pull");
        stand.tags = can("pull") && can("resolve");
    }
    stand.names_registry = true;
    stand.as_registry = true;
    stand.trust = TrustText {
        skip_verify: is("skip_verify"),
        files: texts(get("ca"))
            .into_iter()
            .map(|file| {
                if file.starts_with('/') {
                    file
                } else {
                    format!("{folder}/{file}")
                }
            })
            .collect(),
        roots: String::new(),
    };
    Some(stand)
}

/// A text or a list of texts.
fn texts(value: Option<&toml::Value>) -> Vec<String> {
    match value {
        Some(toml::Value::String(text)) => vec![text.clone()],
        Some(toml::Value::Array(list)) => list
            .iter()
            .filter_map(toml::Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

/// Only the place: the words of an error quote the file, which may hold credentials.
fn toml_problem(error: &toml::de::Error, text: &str) -> String {
    let start = error.span().map_or(0, |span| span.start).min(text.len());
    let line = memchr::memchr_iter(b'\n', &text.as_bytes()[..start]).count();
    format!("it is no TOML: line {}", line + 1)
}

/// The folder that containerd reads `hosts.toml` from, by its configuration: several are separated by `:`. The second is
/// whether mirrors of the old form are in it.
pub(super) fn containerd_config(text: &str) -> Result<(Vec<String>, bool), String> {
    let table: Table = text.parse().map_err(|error| toml_problem(&error, text))?;
    let plugins = table.get("plugins").and_then(toml::Value::as_table);
    let names = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"];
    let mut folders = Vec::new();
    let mut old = false;
    for name in names {
        let registry = plugins
            .and_then(|plugins| plugins.get(name)?.get("registry"))
            .and_then(toml::Value::as_table);
        let Some(registry) = registry else { continue };
        let path = registry.get("config_path").and_then(toml::Value::as_str);
        let given = path.unwrap_or_default().split(':');
        folders.extend(given.filter(|it| !it.is_empty()).map(str::to_owned));
        old |= registry.get("mirrors").is_some();
    }
    Ok((folders, old))
}

/// `registries.conf` of CRI-O, Podman and their kin, version 2.
pub(super) fn registries_conf(source: &str, text: &str) -> Vec<Rule> {
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            return vec![Rule {
                source: source.to_owned(),
                problem: toml_problem(&error, text),
                ..Rule::default()
            }];
        }
    };
    let entries = table.get("registry").and_then(toml::Value::as_array);
    let entries = entries
        .into_iter()
        .flatten()
        .filter_map(toml::Value::as_table);
    entries.map(|entry| of_registry(source, entry)).collect()
}

fn of_registry(source: &str, entry: &Table) -> Rule {
    let text = |table: &Table, key: &str| {
        let value = table.get(key).and_then(toml::Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let is = |table: &Table, key: &str| {
        let value = table.get(key).and_then(toml::Value::as_bool);
        value.unwrap_or_default()
    };
    let location = text(entry, "location");
    let given = text(entry, "prefix");
    let mut rule = Rule {
        source: source.to_owned(),
        prefix: prefix(if given.is_empty() { &location } else { &given }),
        never_source: is(entry, "blocked"),
        ..Rule::default()
    };
    let digest_only = is(entry, "mirror-by-digest-only");
    let mirrors = entry.get("mirror").and_then(toml::Value::as_array);
    for mirror in mirrors
        .into_iter()
        .flatten()
        .filter_map(toml::Value::as_table)
    {
        let location = text(mirror, "location");
        let Some(mut stand) = located(&location) else {
            rule.wrong(format!("{location:?} is no location of a mirror"));
            continue;
        };
        let from = text(mirror, "pull-from-mirror");
        stand.tags = !digest_only && from != "digest-only";
        stand.digests = from != "tag-only";
        stand.trust.skip_verify = is(mirror, "insecure");
        rule.add(stand);
    }
    if !location.is_empty()
        && (location != given || is(entry, "insecure"))
        && !given.starts_with('*')
        && let Some(mut stand) = located(&location)
    {
        stand.trust.skip_verify = is(entry, "insecure");
        rule.fallback = (!rule.never_source).then_some(stand);
    }
    rule
}

/// A location takes the place of the prefix, its path with it.
fn located(location: &str) -> Option<Stand> {
    let mut stand = stand(location)?;
    stand.path.get_or_insert_default();
    Some(stand)
}

/// `registries.yaml` of K3s and RKE2. The second is the trust of registries themselves, by host.
pub(super) fn k3s_registries(source: &str, text: &str) -> Vec<Rule> {
    let parsed = yaml::document(text, &yaml::Limits::default())
        .ok()
        .and_then(|document| document.root.to_json().ok());
    let Some(document) = parsed else {
        return vec![Rule {
            source: source.to_owned(),
            problem: "it is no YAML".to_owned(),
            ..Rule::default()
        }];
    };
    let configs = &document["configs"];
    let mut rules = Vec::new();
    for (registry, mirror) in document["mirrors"].as_object().into_iter().flatten() {
        let mut rule = Rule {
            source: source.to_owned(),
            prefix: prefix(registry),
            ..Rule::default()
        };
        if mirror["rewrite"]
            .as_object()
            .is_some_and(|it| !it.is_empty())
        {
            rule.wrong(
                "its rewrite is not applied here: repositories are asked for by their own names"
                    .to_owned(),
            );
        }
        let endpoints = mirror["endpoint"].as_array().into_iter().flatten();
        for endpoint in endpoints.filter_map(Value::as_str) {
            // The same form as containerd's, for which K3s writes it down.
            match containerd_stand(endpoint, None, "") {
                Some(mut stand) => {
                    stand.trust = k3s_trust(configs, &stand.address);
                    rule.add(stand);
                }
                None => rule.wrong(format!("{endpoint:?} is no address of a mirror")),
            }
        }
        rules.push(rule);
    }
    for (registry, _) in configs.as_object().into_iter().flatten() {
        let is_mirrored = rules.iter().any(|rule| rule.prefix == prefix(registry));
        let trust = k3s_trust(configs, &format!("https://{registry}"));
        if is_mirrored || trust == TrustText::default() {
            continue;
        }
        let fallback = containerd_stand(registry, None, "");
        rules.push(Rule {
            source: source.to_owned(),
            prefix: prefix(registry),
            fallback: fallback.map(|stand| Stand { trust, ..stand }),
            ..Rule::default()
        });
    }
    rules
}

fn k3s_trust(configs: &Value, address: &str) -> TrustText {
    let host = address.split_once("://").map_or(address, |(_, host)| host);
    let tls = &configs[host]["tls"];
    TrustText {
        skip_verify: tls["insecure_skip_verify"].as_bool().unwrap_or_default(),
        files: tls["ca_file"]
            .as_str()
            .map(str::to_owned)
            .into_iter()
            .collect(),
        roots: String::new(),
    }
}

/// The field of an `OpenShift` kind that holds its mirrors, and what they answer for.
pub(super) const OPENSHIFT: [(&str, &str, &str, bool, bool); 3] = [
    (
        "config.openshift.io/v1",
        "imagedigestmirrorsets",
        "imageDigestMirrors",
        false,
        true,
    ),
    (
        "config.openshift.io/v1",
        "imagetagmirrorsets",
        "imageTagMirrors",
        true,
        false,
    ),
    (
        "operator.openshift.io/v1alpha1",
        "imagecontentsourcepolicies",
        "repositoryDigestMirrors",
        false,
        true,
    ),
];

/// A set of `OpenShift`'s mirrors.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Set {
    metadata: Name,
    spec: BTreeMap<String, Vec<Entry>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Name {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entry {
    source: String,
    mirrors: Vec<String>,
    mirror_source_policy: String,
}

/// The rules of one object.
pub(super) fn openshift(plural: &str, object: &[u8]) -> Result<Vec<Rule>, String> {
    let row = OPENSHIFT.iter().find(|row| row.1 == plural);
    let (_, _, field, tags, digests) = row.ok_or("it is no kind of mirrors")?;
    let mut set: Set = serde_json::from_slice(object).map_err(|_| "it is malformed")?;
    let source = format!("{plural}/{}", set.metadata.name);
    let entries = set.spec.remove(*field).unwrap_or_default();
    let rules = entries.into_iter().map(|entry| {
        let mut rule = Rule {
            source: source.clone(),
            prefix: prefix(&entry.source),
            never_source: entry.mirror_source_policy == "NeverContactSource",
            ..Rule::default()
        };
        for mirror in &entry.mirrors {
            match located(mirror) {
                Some(stand) => rule.add(Stand {
                    tags: *tags,
                    digests: *digests,
                    ..stand
                }),
                None => rule.wrong(format!("{mirror:?} is no location of a mirror")),
            }
        }
        rule
    });
    Ok(rules.collect())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

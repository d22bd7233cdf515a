//! The forms in which mirrors are written down.
//!
//! Those of containerd and K3s have files of their own. Facts: `containers-registries.conf(5)`; `OpenShift`'s `config.openshift.io/v1` `ImageDigestMirrorSet` and `ImageTagMirrorSet`, `operator.openshift.io/v1alpha1`
//! `ImageContentSourcePolicy`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syntax::image_reference::{is_host, server};
use toml::Table;

use super::{Rule, Stand};

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
    pub(super) fn add(&mut self, stand: Stand) {
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
pub(super) fn prefix(text: &str) -> String {
    let text = text.trim_end_matches('/');
    match text.split_once('/') {
        Some(("index.docker.io" | "registry-1.docker.io", rest)) => format!("docker.io/{rest}"),
        None if matches!(text, "index.docker.io" | "registry-1.docker.io") => "docker.io".into(),
        _ => text.to_owned(),
    }
}

/// `[scheme://]host[:port][/path]`
pub(super) fn stand(text: &str) -> Option<Stand> {
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

/// Only the place: the words of an error quote the file, which may hold credentials.
pub(super) fn toml_problem(error: &toml::de::Error, text: &str) -> String {
    let start = error.span().map_or(0, |span| span.start).min(text.len());
    let line = memchr::memchr_iter(b'\n', &text.as_bytes()[..start]).count();
    format!("it is no TOML: line {}", line + 1)
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

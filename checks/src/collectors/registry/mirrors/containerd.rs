//! How containerd is told of mirrors: `hosts.toml`, and before it `registry.mirrors` and `registry.configs` of `config.toml`,
//! whose form K3s and RKE2 keep in `registries.yaml`.
//!
//! Facts: containerd's `docs/hosts.md`, `docs/cri/registry.md`, `core/remotes/docker/config/hosts.go`; the K3s and RKE2 manuals
//! on private registries.

use serde_json::Value;
use syntax::yaml;
use toml::Table;

use super::super::credentials::{Credential, docker_config};
use super::parse::{prefix, stand, toml_problem};
use super::{Hidden, Rule, Stand, TrustText};

/// Headers of a host that are sent.
const HEADERS: usize = 32;

/// What a host may be asked for.
const CAPABILITIES: [&str; 3] = ["pull", "resolve", "push"];

/// containerd's `hosts.toml` for a registry. `folder` is where it lies, for files that it names.
pub(super) fn hosts_toml(source: &str, registry: &str, folder: &str, text: &str) -> Rule {
    let mut rule = Rule {
        source: source.to_owned(),
        prefix: registry.to_owned(),
        each_content: true,
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
            match host(address, settings.as_table(), folder, &mut rule) {
                Some(stand) => rule.add(stand),
                None => rule.wrong(format!("{address:?} is no address of a registry")),
            }
        }
    }
    let own = [
        "ca",
        "skip_verify",
        "override_path",
        "client",
        "header",
        "capabilities",
    ];
    if let Some(address) = table.get("server").and_then(toml::Value::as_str) {
        match host(address, Some(&table), folder, &mut rule) {
            Some(stand) => rule.fallback = Some(stand),
            None => rule.wrong(format!("server: {address:?} is no address of a registry")),
        }
    } else if own.iter().any(|key| table.contains_key(*key)) && registry != "*" {
        rule.fallback = host(registry, Some(&table), folder, &mut rule);
    }
    rule
}

/// A host with its settings, those of `[host."…"]` or of the file itself.
fn host(address: &str, settings: Option<&Table>, folder: &str, rule: &mut Rule) -> Option<Stand> {
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
    let capabilities = texts(get("capabilities"));
    // With none named it has all of them.
    if !capabilities.is_empty() {
        let can = |what: &str| capabilities.iter().any(|it| it.eq_ignore_ascii_case(what));
        stand.digests = can("pull");
        stand.tags = can("pull") && can("resolve");
        let is_known = |it: &&String| {
            CAPABILITIES
                .iter()
                .any(|known| it.eq_ignore_ascii_case(known))
        };
        if let Some(unknown) = capabilities.iter().find(|it| !is_known(it)) {
            rule.wrong(format!("{unknown:?} is no capability, and containerd passes over the whole file because of it"));
        }
    }
    stand.names_registry = true;
    stand.as_registry = true;
    let file = |file: &String| {
        if file.starts_with('/') {
            file.clone()
        } else {
            format!("{folder}/{file}")
        }
    };
    let clients = clients(get("client"));
    if clients.len() > 1 {
        rule.wrong(format!(
            "of the {} client certificates for {address} the first is used here",
            clients.len()
        ));
    }
    stand.trust = TrustText {
        skip_verify: is("skip_verify"),
        files: texts(get("ca")).iter().map(file).collect(),
        client_files: clients
            .first()
            .iter()
            .flat_map(|pair| pair.iter().map(file))
            .collect(),
        headers: headers(get("header")),
        ..TrustText::default()
    };
    Some(stand)
}

/// `client`: a file with certificate and key, a list of such files, or of pairs.
fn clients(value: Option<&toml::Value>) -> Vec<Vec<String>> {
    match value {
        Some(toml::Value::Array(list)) => list
            .iter()
            .map(|it| texts(Some(it)))
            .filter(|files| matches!(files.len(), 1 | 2))
            .collect(),
        other => texts(other).into_iter().map(|file| vec![file]).collect(),
    }
}

fn headers(value: Option<&toml::Value>) -> Vec<(String, Hidden)> {
    let table = value.and_then(toml::Value::as_table);
    let all = table.into_iter().flatten();
    let all = all.flat_map(|(name, value)| {
        let values = texts(Some(value)).into_iter();
        values.map(|value| (name.clone(), Hidden(value)))
    });
    all.take(HEADERS).collect()
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

/// What `config.toml` of containerd says of registries.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Config {
    /// Where `hosts.toml` are: `config_path`, several separated by `:`.
    pub(super) folders: Vec<String>,
    /// The rules of the old form.
    pub(super) rules: Vec<Rule>,
}

/// The registries' part of `config.toml`, by the plug-in's name in versions 2 and 3.
pub(super) fn config_toml(source: &str, text: &str) -> Result<Config, String> {
    let table: Table = text.parse().map_err(|error| toml_problem(&error, text))?;
    let plugins = table.get("plugins").and_then(toml::Value::as_table);
    let names = [
        "io.containerd.grpc.v1.cri",
        "io.containerd.cri.v1.images",
        "cri",
    ];
    let mut config = Config::default();
    for name in names {
        let registry = plugins.and_then(|plugins| plugins.get(name)?.get("registry"));
        let Some(registry) = registry else { continue };
        let path = registry.get("config_path").and_then(toml::Value::as_str);
        let folders = path.unwrap_or_default().split(':');
        let folders: Vec<String> = folders
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
            .collect();
        // What TOML holds beside JSON are times, which mean nothing here.
        let old = serde_json::to_value(registry).unwrap_or_default();
        let is_old = old["mirrors"].as_object().is_some_and(|it| !it.is_empty());
        let mut rules = registries(source, &old, Form::Containerd);
        if is_old && !folders.is_empty() {
            for rule in &mut rules {
                rule.mirrors.clear();
                rule.wrong("containerd takes no image with both config_path and registry.mirrors: keep one of them".to_owned());
            }
        }
        config.folders.extend(folders);
        config.rules.extend(rules);
    }
    Ok(config)
}

/// `registries.yaml` of K3s and RKE2.
pub(super) fn registries_yaml(source: &str, text: &str) -> Vec<Rule> {
    let parsed = yaml::document(text, &yaml::Limits::default())
        .ok()
        .and_then(|document| document.root.to_json().ok());
    match parsed {
        Some(document) => registries(source, &document, Form::K3s),
        None => vec![Rule {
            source: source.to_owned(),
            problem: "it is no YAML".to_owned(),
            ..Rule::default()
        }],
    }
}

/// Whose form of `mirrors` and `configs` it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A path of an endpoint is where the API is.
    Containerd,
    /// A path of an endpoint comes before `/v2`; names may be rewritten.
    K3s,
}

fn registries(source: &str, document: &Value, form: Form) -> Vec<Rule> {
    let configs = &document["configs"];
    let mut rules = Vec::new();
    for (registry, mirror) in document["mirrors"].as_object().into_iter().flatten() {
        let mut rule = Rule {
            source: source.to_owned(),
            prefix: prefix(registry),
            each_content: true,
            ..Rule::default()
        };
        let rewrites = if form == Form::K3s {
            rewrites(&mirror["rewrite"], &mut rule)
        } else {
            Vec::new()
        };
        for endpoint in strings(&mirror["endpoint"]) {
            match configured(source, endpoint, configs, form) {
                // K3s takes the endpoint that is the registry itself for one more mirror, names rewritten.
                Some(stand) => rule.add(Stand {
                    rewrites: rewrites.clone(),
                    ..stand
                }),
                None => rule.wrong(format!("{endpoint:?} is no address of a mirror")),
            }
        }
        if registry != "*" && configs.get(registry).is_some() {
            rule.fallback = configured(source, registry, configs, form);
        }
        rules.push(rule);
    }
    let any = rules.iter().find(|rule| rule.prefix == "*").cloned();
    for (registry, config) in configs.as_object().into_iter().flatten() {
        let is_mirrored = rules.iter().any(|rule| rule.prefix == prefix(registry));
        let is_said = ["tls", "auth"].iter().any(|key| config[*key].is_object());
        if is_mirrored || !is_said {
            continue;
        }
        rules.push(Rule {
            source: source.to_owned(),
            prefix: prefix(registry),
            // Mirrors of all registries are this one's too.
            mirrors: any
                .as_ref()
                .map(|rule| rule.mirrors.clone())
                .unwrap_or_default(),
            fallback: configured(source, registry, configs, form),
            each_content: true,
            ..Rule::default()
        });
    }
    rules
}

/// An endpoint with what `configs` says of its host.
fn configured(source: &str, endpoint: &str, configs: &Value, form: Form) -> Option<Stand> {
    let mut stand = stand(endpoint)?;
    let path = stand.path.take().unwrap_or_default();
    stand.root = match (path.as_str(), form) {
        ("", _) => "/v2".to_owned(),
        (path, Form::Containerd) => format!("/{path}"),
        (path, Form::K3s) if path == "v2" || path.ends_with("/v2") => format!("/{path}"),
        (path, Form::K3s) => format!("/{path}/v2"),
    };
    stand.names_registry = true;
    stand.as_registry = true;
    let host = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, host)| host);
    let host = host.split('/').next().unwrap_or_default();
    let config = &configs[host];
    let tls = &config["tls"];
    let file = |key: &str| {
        tls[key]
            .as_str()
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
    };
    stand.trust = TrustText {
        skip_verify: tls["insecure_skip_verify"].as_bool().unwrap_or_default(),
        files: file("ca_file").into_iter().collect(),
        client_files: [file("cert_file"), file("key_file")]
            .into_iter()
            .flatten()
            .collect(),
        ..TrustText::default()
    };
    stand.login = login(source, host, &config["auth"]);
    Some(stand)
}

/// `auth` of `configs`, which has the fields of Docker's own file.
fn login(source: &str, host: &str, auth: &Value) -> Option<Credential> {
    let text = |keys: [&str; 2]| {
        keys.iter()
            .find_map(|key| auth[*key].as_str())
            .unwrap_or_default()
    };
    let entry = serde_json::json!({"auths": {host: {
        "username": text(["username", "username"]),
        "password": text(["password", "password"]),
        "auth": text(["auth", "auth"]),
        "identitytoken": text(["identitytoken", "identity_token"]),
    }}});
    let entries = docker_config(source, entry.to_string().as_bytes()).ok()?;
    entries.credentials.into_iter().next()
}

/// `rewrite`: expressions of Go's syntax, and what takes the place of what they match in a repository.
fn rewrites(value: &Value, rule: &mut Rule) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (pattern, replacement) in value.as_object().into_iter().flatten() {
        let Some(replacement) = replacement.as_str() else {
            continue;
        };
        match syntax::go_regex::GoRegex::new(pattern) {
            Ok(_) => all.push((pattern.clone(), replacement.to_owned())),
            Err(error) => rule.wrong(format!(
                "rewrite {pattern:?} is no regular expression: {error}"
            )),
        }
    }
    all
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

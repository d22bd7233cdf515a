//! Credentials for registries: pull secrets and Docker's configuration files, matched to images as the kubelet does.
//!
//! Fact: `pkg/credentialprovider/{config,keyring}.go` of Kubernetes 1.36.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use syntax::glob::FileGlob;
use syntax::image_reference::{DOCKER_HUB, ImageReference};

/// The key under which Docker keeps what belongs to Docker Hub.
const DOCKER_HUB_KEY: &str = "index.docker.io";

/// A name and a password, or a token, for the registries that a key names. It tells nobody what it holds.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credential {
    /// `Secret shop/pull`
    pub(crate) source: String,
    /// The registry as it is written there.
    pub(crate) written: String,
    /// Without scheme and API version: what images are compared with.
    pub(crate) key: String,
    pub(crate) user: String,
    pub(crate) password: String,
    /// A token with which tokens are had; the kubelet knows none.
    pub(crate) identity_token: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Credential({} for {})",
            self.source, self.written
        )
    }
}

/// What a file or Secret held: entries, and those that cannot be used with the reason.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) credentials: Vec<Credential>,
    /// Registry as written, problem.
    pub(crate) problems: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: Option<BTreeMap<String, Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    auth: Option<String>,
    #[serde(default, alias = "identitytoken")]
    identity_token: Option<String>,
}

/// Reads `.dockerconfigjson`. An error tells nothing of what is in it.
pub(crate) fn docker_config(source: &str, bytes: &[u8]) -> Result<Entries, String> {
    let config: Config = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
    let auths = config
        .auths
        .ok_or_else(|| "it has no \"auths\"".to_owned())?;
    Ok(entries(source, auths))
}

/// Reads `.dockercfg`, which is the inner map alone.
pub(crate) fn docker_cfg(source: &str, bytes: &[u8]) -> Result<Entries, String> {
    let auths: BTreeMap<String, Entry> =
        serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
    Ok(entries(source, auths))
}

/// The words of a JSON error may quote values.
fn malformed(error: &serde_json::Error) -> String {
    format!(
        "it is malformed at line {}, column {}",
        error.line(),
        error.column()
    )
}

fn entries(source: &str, auths: BTreeMap<String, Entry>) -> Entries {
    let mut entries = Entries::default();
    for (written, entry) in auths {
        let Some(key) = key(&written) else {
            let problem = "its registry cannot be read".to_owned();
            entries.problems.push((written, problem));
            continue;
        };
        let (user, password) = match entry.auth.as_deref().map(str::trim) {
            // Once there is `auth` nothing else counts.
            Some(auth) if !auth.is_empty() => match decoded(auth) {
                Ok(pair) => pair,
                Err(problem) => {
                    entries.problems.push((written, problem.to_owned()));
                    continue;
                }
            },
            _ => (
                entry.username.unwrap_or_default(),
                entry.password.unwrap_or_default(),
            ),
        };
        let identity_token = entry.identity_token.unwrap_or_default();
        if user.is_empty() && password.is_empty() && identity_token.is_empty() {
            let problem = "it holds neither a name with a password nor a token".to_owned();
            entries.problems.push((written, problem));
            continue;
        }
        entries.credentials.push(Credential {
            source: source.to_owned(),
            written,
            key,
            user,
            password,
            identity_token,
        });
    }
    entries
}

/// `auth`: base64, padded or not, of `name:password`.
fn decoded(auth: &str) -> Result<(String, String), &'static str> {
    let bytes = STANDARD
        .decode(auth)
        .or_else(|_| STANDARD_NO_PAD.decode(auth))
        .map_err(|_| "its \"auth\" is not base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "its \"auth\" is not UTF-8")?;
    let (user, password) = text
        .split_once(':')
        .ok_or("its \"auth\" is not name:password in base64")?;
    Ok((user.to_owned(), password.to_owned()))
}

/// Host and path of a registry as it is written: without a scheme, and without `/v1/` and `/v2/`.
fn key(written: &str) -> Option<String> {
    let rest = written
        .strip_prefix("https://")
        .or_else(|| written.strip_prefix("http://"))
        .unwrap_or(written);
    let (host, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    if host.is_empty() || host.contains(['@', ' ', '?', '#']) {
        return None;
    }
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = match path.get(..4) {
        Some("/v1/" | "/v2/") => &path[3..],
        _ => path,
    };
    let path = if path == "/" { "" } else { path };
    Some(format!("{host}{path}"))
}

/// Those that the kubelet would try for an image, in its order; all of them are tried.
pub(crate) fn matching<'a>(
    credentials: impl IntoIterator<Item = &'a Credential>,
    image: &ImageReference,
) -> Vec<&'a Credential> {
    let all: Vec<&Credential> = credentials.into_iter().collect();
    let mut found: Vec<&Credential> = all
        .iter()
        .copied()
        .filter(|credential| fits(&credential.key, image))
        .collect();
    // More specific first, which to the kubelet is the reverse of the alphabet.
    found.sort_by(|one, other| other.key.cmp(&one.key));
    if found.is_empty() && image.registry == DOCKER_HUB {
        found = all
            .into_iter()
            .filter(|credential| credential.key == DOCKER_HUB_KEY)
            .collect();
    }
    found
}

/// Whether a key is for an image: label by label a glob, the same port, and the beginning of the path.
fn fits(key: &str, image: &ImageReference) -> bool {
    let (host, path) = match key.find('/') {
        Some(slash) => key.split_at(slash),
        None => (key, ""),
    };
    let (host, port) = split_port(host);
    let (image_host, image_port) = split_port(&image.registry);
    if port != image_port || !format!("/{}", image.repository).starts_with(path) {
        return false;
    }
    let labels: Vec<&str> = host.split('.').collect();
    let image_labels: Vec<&str> = image_host.split('.').collect();
    labels.len() == image_labels.len()
        && labels.iter().zip(&image_labels).all(|(glob, label)| {
            glob == label || FileGlob::new(glob).is_ok_and(|glob| glob.matches(label))
        })
}

fn split_port(host: &str) -> (&str, &str) {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (name, port),
        _ => (host, ""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with_keys(keys: &[&str]) -> Vec<Credential> {
        let auths: BTreeMap<String, serde_json::Value> = keys
            .iter()
            .map(|key| {
                (
                    (*key).to_owned(),
                    serde_json::json!({"username": key, "password": "p"}),
                )
            })
            .collect();
        let bytes = serde_json::to_vec(&serde_json::json!({ "auths": auths })).expect("JSON");
        docker_config("test", &bytes).expect("a config").credentials
    }

    /// Key, image, whether it fits; seen in the kubelet's own tests of the same rules.
    #[test]
    fn keys_fit_images_as_in_the_kubelet() {
        for (key, image, fits) in [
            ("r.example.com", "r.example.com/a", true),
            ("https://r.example.com/v2/", "r.example.com/a", true),
            ("http://r.example.com/v1/", "r.example.com/a", true),
            ("r.example.com:5000", "r.example.com/a", false),
            ("r.example.com", "r.example.com:5000/a", false),
            ("r.example.com:5000", "r.example.com:5000/a", true),
            ("*.example.com", "r.example.com/a", true),
            ("*.example.com", "a.r.example.com/a", false),
            ("*.*.example.com", "a.r.example.com/a", true),
            ("r*.example.com", "r1.example.com/a", true),
            ("example.com", "r.example.com/a", false),
            ("r.example.com/team", "r.example.com/team/a", true),
            ("r.example.com/team", "r.example.com/teams/a", true),
            ("r.example.com/team/", "r.example.com/teams/a", false),
            ("r.example.com/other", "r.example.com/team/a", false),
            ("https://index.docker.io/v1/", "nginx", true),
            ("https://index.docker.io/v1/", "docker.io/team/a", true),
            ("docker.io", "nginx", true),
            ("https://index.docker.io/v1/", "quay.io/a/b", false),
        ] {
            let credentials = with_keys(&[key]);
            let image = ImageReference::parse_written(image).expect("a reference");
            assert_eq!(
                !matching(&credentials, &image).is_empty(),
                fits,
                "{key} {image}"
            );
        }
    }

    #[test]
    fn the_more_specific_comes_first_and_all_are_tried() {
        let credentials = with_keys(&["r.io", "r.io/team/app", "*.io", "r.io/team", "x.io"]);
        let image = ImageReference::parse_written("r.io/team/app:1").expect("a reference");
        let order: Vec<&str> = matching(&credentials, &image)
            .iter()
            .map(|credential| credential.key.as_str())
            .collect();
        assert_eq!(order, ["r.io/team/app", "r.io/team", "r.io", "*.io"]);
    }

    #[test]
    fn both_forms_of_secrets() {
        // robot$x:hunter2:with:colons
        let auth = "cm9ib3QkeDpodW50ZXIyOndpdGg6Y29sb25z";
        let inner = format!(r#"{{"r.io": {{"auth": "{auth}"}}}}"#);
        let config = docker_config("a", format!(r#"{{"auths": {inner}}}"#).as_bytes());
        let cfg = docker_cfg("a", inner.as_bytes());
        for entries in [config, cfg] {
            let credential = entries.expect("entries").credentials.remove(0);
            assert_eq!(credential.user, "robot$x");
            assert_eq!(credential.password, "hunter2:with:colons");
            assert!(!format!("{credential:?}").contains("hunter2"));
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_showing_it() {
        for (text, words) in [
            (r#"{"auths":{"r.io":{"auth":"!!"}}}"#, "not base64"),
            (
                r#"{"auths":{"r.io":{"auth":"aHVudGVyMg=="}}}"#,
                "not name:password",
            ),
            (r#"{"auths":{"r.io":{}}}"#, "neither a name"),
            (
                r#"{"auths":{"https://":{"auth":"YTpi"}}}"#,
                "cannot be read",
            ),
        ] {
            let entries = docker_config("a", text.as_bytes()).expect("entries");
            assert!(entries.problems[0].1.contains(words), "{text}");
            assert!(entries.credentials.is_empty());
        }
        for text in [
            "",
            "hunter2",
            r#"{"auths":3}"#,
            "{}",
            r#"{"auths":{"r.io":"hunter2"}}"#,
        ] {
            let error = docker_config("a", text.as_bytes()).expect_err(text);
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = docker_config("a", &bytes);
            let _ = docker_cfg("a", &bytes);
        }

        #[test]
        fn any_key_has_an_answer(key in "[a-z.*\\[/:?-]{0,30}") {
            let image = ImageReference::parse_written("r.example.com:5000/team/app").expect("a reference");
            let _ = matching(&with_keys(&[&key]), &image);
        }
    }
}

//! `velero`: the shape of the credentials with which Velero reaches its object storage.

use std::collections::BTreeMap;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle::BundlePath;
use bundle::collected::credentials::{Fault, File, Format, Profile, Secret, Setting};
use bundle::manifest::GapReason;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::config;

use crate::cluster::segment;
use crate::collector::{
    CollectError, Collector, CollectorKind, Context, Output, Permission, Scope,
};
use crate::fingerprint::{Facts, Salt};

mod locations;

use locations::Secrets;

/// The registry row.
pub(super) const KIND: CollectorKind = CollectorKind {
    name: "velero",
    type_name: "velero",
    scope: Scope::Cluster,
    summary: "The shape of the credentials with which Velero reaches its object storage",
    docs: DOCS,
    since: "0.1.0",
    parse: |value, meta| {
        let title = super::title("velero", &meta.name);
        let parsed = config::parse::<Config>(value)?;
        Ok(parsed.map(|config| Box::new(Velero { title, config }) as Box<dyn Collector>))
    },
    schema: || schemars::schema_for!(Config).to_value(),
};

const DOCS: &str = "\
# What it collects

Of each Secret named: whether it is there, which keys it has, and what each key looks like as a file of credentials: its
format, its profiles, which settings they have, how long the values are, in classes, and what is wrong with them by their
looks (empty, with blanks). Never a value, nor a part of one. With it `veleroHealth` says why a storage location
is not available. Velero's objects are collected by `clusterResources`.

Of the storage locations in S3 that Velero calls unavailable and whose credentials are in one of these Secrets, six at
most: the reading part of the collector `s3`, asked from here with the location's own endpoint, bucket, region and keys,
each for 20 seconds. `askStorage: false` leaves that out.

Without `secrets` it is `cloud-credentials`, the name that Velero's and KOTS' installers give; a location with another one
has it under `spec.credential.name`.

# Files

- `velero/credentials/<namespace>/<name>.json`: `namespace`, `name`, `exists`, `files`. It is written for a Secret that is
  not there, too.
- `velero/locations/<namespace>/<location>.json`, as the collector `s3` writes it

# Permissions

- get secrets, these names, in the namespace
- list backupstoragelocations.velero.io in the namespace

# Example

```yaml
velero:
  namespace: velero
  secrets: [cloud-credentials, offsite-credentials]
```
";

/// Where Velero is, and whose shape is wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    /// Velero's namespace.
    namespace: String,
    /// The names of the Secrets.
    secrets: Vec<String>,
    /// Whether storage locations that are unavailable are asked why.
    ask_storage: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            namespace: "velero".to_owned(),
            secrets: vec!["cloud-credentials".to_owned()],
            ask_storage: true,
        }
    }
}

#[derive(Debug)]
struct Velero {
    title: String,
    config: Config,
}

#[derive(Deserialize)]
struct Object {
    /// In base64.
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
}

#[async_trait]
impl Collector for Velero {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn permissions(&self, _namespace: Option<&str>) -> Vec<Permission> {
        let mut permissions = self.of_secrets();
        if self.config.ask_storage {
            permissions.push(Permission {
                verb: "list",
                group: "velero.io".to_owned(),
                resource: "backupstoragelocations".to_owned(),
                namespace: Some(self.config.namespace.clone()),
                name: None,
            });
        }
        permissions
    }

    /// Without the locations the shapes are of use.
    fn required(&self, _namespace: Option<&str>) -> Vec<Permission> {
        if self.degrades() {
            Vec::new()
        } else {
            self.of_secrets()
        }
    }

    fn degrades(&self) -> bool {
        self.config.secrets.len() > 1
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        let paths = self.config.secrets.iter().map(|name| self.path(name));
        let mut files: Vec<String> = paths.flat_map(|path| path.map(String::from)).collect();
        if self.config.ask_storage {
            files.push(format!("velero/locations/{}/*.json", self.config.namespace));
        }
        files
    }

    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        let cluster = context.cluster()?;
        let namespace = &self.config.namespace;
        let mut secrets = Secrets::new();
        for name in &self.config.secrets {
            let file = self.path(name)?;
            let path = format!(
                "/api/v1/namespaces/{}/secrets/{}",
                segment(namespace),
                segment(name)
            );
            let secret = |files: Option<Vec<File>>| Secret {
                namespace: namespace.clone(),
                name: name.clone(),
                exists: files.is_some(),
                files: files.unwrap_or_default(),
            };
            match cluster.document(&path, &[]).await {
                Ok(object) => match data(name, &object) {
                    Ok(data) => {
                        let files = files(&context.salt, &data);
                        output.json(&file, &secret(Some(files)))?;
                        secrets.insert(name.clone(), data);
                    }
                    Err(reason) => output.gap(file.as_str(), GapReason::Malformed, reason),
                },
                Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => {
                    output.json(&file, &secret(None))?;
                }
                Err(error) => output.gap(file.as_str(), error.gap_reason(), &error),
            }
        }
        if self.config.ask_storage && !secrets.is_empty() {
            self.ask_locations(&secrets, context, output).await?;
        }
        Ok(())
    }
}

impl Velero {
    fn of_secrets(&self) -> Vec<Permission> {
        let names = self.config.secrets.iter();
        names
            .map(|name| Permission {
                verb: "get",
                group: String::new(),
                resource: "secrets".to_owned(),
                namespace: Some(self.config.namespace.clone()),
                name: Some(name.clone()),
            })
            .collect()
    }

    fn path(&self, name: &str) -> Result<BundlePath, CollectError> {
        let path = BundlePath::join(["velero", "credentials", &self.config.namespace, name])?;
        Ok(BundlePath::new(format!("{path}.json"))?)
    }
}

/// The data of a Secret. The error shows nothing of it.
fn data(name: &str, object: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let object: Object =
        serde_json::from_slice(object).map_err(|_| format!("Secret {name} is malformed"))?;
    let data = object.data.unwrap_or_default();
    data.into_iter()
        .map(|(key, encoded)| match STANDARD.decode(encoded) {
            Ok(value) => Ok((key, value)),
            Err(_) => Err(format!("Secret {name} is malformed: {key} is not base64")),
        })
        .collect()
}

/// What is told of each key.
fn files(salt: &Salt, data: &BTreeMap<String, Vec<u8>>) -> Vec<File> {
    data.iter()
        .map(|(key, value)| {
            let Facts {
                length_class,
                fingerprint,
            } = salt.facts(value);
            let (format, profiles) = looks(salt, value);
            File {
                key: key.clone(),
                length_class: length_class.to_owned(),
                fingerprint,
                format,
                profiles,
            }
        })
        .collect()
}

/// The settings that are known, so that no name in a malformed file can be a part of a secret.
const SETTINGS: [&str; 27] = [
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "credential_process",
    "credential_source",
    "region",
    "role_arn",
    "role_session_name",
    "source_profile",
    "sso_session",
    "web_identity_token_file",
    "azure_client_certificate_path",
    "azure_client_id",
    "azure_client_secret",
    "azure_cloud_name",
    "azure_federated_token_file",
    "azure_resource_group",
    "azure_storage_account_access_key",
    "azure_subscription_id",
    "azure_tenant_id",
    "audience",
    "client_email",
    "private_key",
    "private_key_id",
    "project_id",
    "token_url",
    "type",
];

fn looks(salt: &Salt, value: &[u8]) -> (Format, Vec<Profile>) {
    let Ok(text) = std::str::from_utf8(value) else {
        return (Format::Unrecognised, Vec::new());
    };
    if text.starts_with('\u{feff}') {
        return (Format::ByteOrderMark, Vec::new());
    }
    if text.trim().is_empty() {
        return (Format::Empty, Vec::new());
    }
    if let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(text) {
        let settings = fields.iter().filter_map(|(name, value)| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            // A key in PEM has lines.
            setting(salt, name, &text, false)
        });
        let profile = Profile {
            name: String::new(),
            settings: settings.collect(),
        };
        return (Format::Json, vec![profile]);
    }
    let profiles = profiles(salt, text);
    if profiles.iter().any(|profile| !profile.name.is_empty()) {
        return (Format::Profiles, profiles);
    }
    if profiles.iter().any(|profile| !profile.settings.is_empty()) {
        return (Format::Variables, profiles);
    }
    let packed: String = text.split_whitespace().collect();
    let holds_lines = |decoded: &[u8]| decoded.contains(&b'=') || decoded.contains(&b'{');
    match STANDARD.decode(packed) {
        Ok(decoded) if holds_lines(&decoded) => (Format::Base64, Vec::new()),
        _ => (Format::Unrecognised, Vec::new()),
    }
}

/// `[name]`, or `[profile name]` as in a file of settings, and `setting = value` lines below.
fn profiles(salt: &Salt, text: &str) -> Vec<Profile> {
    let mut profiles: Vec<Profile> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let name = name.trim();
            let name = name.strip_prefix("profile ").unwrap_or(name).trim();
            // What is no name is not told: in a malformed file it could be anything.
            let is_name = name.len() <= 64
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            profiles.push(Profile {
                name: if is_name { name } else { "?" }.to_owned(),
                settings: Vec::new(),
            });
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        let Some(setting) = setting(salt, name, value.trim(), true) else {
            continue;
        };
        if profiles.is_empty() {
            profiles.push(Profile::default());
        }
        if let Some(last) = profiles.last_mut() {
            last.settings.push(setting);
        }
    }
    profiles
}

fn setting(salt: &Salt, name: &str, value: &str, on_a_line: bool) -> Option<Setting> {
    let name = name.trim().to_ascii_lowercase();
    if !SETTINGS.contains(&name.as_str()) {
        return None;
    }
    let Facts {
        length_class,
        fingerprint,
    } = salt.facts(value.as_bytes());
    let mut faults = Vec::new();
    if value.is_empty() {
        faults.push(Fault::Empty);
    }
    if on_a_line {
        // Quotes around a value are no fault: readers take them off.
        let bare = value.trim_matches(['"', '\'']);
        if bare.contains(' ') && name != "credential_process" {
            faults.push(Fault::Blanks);
        }
        if value.chars().any(|c| !c.is_ascii_graphic() && c != ' ') {
            faults.push(Fault::Unprintable);
        }
    }
    Some(Setting {
        name,
        length_class: length_class.to_owned(),
        fingerprint,
        faults,
    })
}

#[cfg(test)]
mod tests {
    use bundle::manifest::Outcome;
    use serde_json::{Value, json};

    use super::*;
    use crate::run::{Settings, Stop};
    use crate::testing::{Collected, Reply, Server, collect, collect_redacted, object};

    const KEY: &str = "AKIDEXAMPLE0123456789";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn file(text: &str) -> String {
        text.replace("KEY", KEY).replace("SECRET", SECRET)
    }

    async fn server() -> Server {
        Server::start(|request| match request.path.as_str() {
            path if path.ends_with("reviews") => Reply::json(json!({"status": {"allowed": true}})),
            "/api/v1/namespaces/velero/secrets/cloud-credentials" => {
                let text = file("[default]\naws_access_key_id = KEY\naws_secret_access_key = SECRET\nSECRET = SECRET\n");
                let mut secret = object("velero", "cloud-credentials");
                secret["data"] = json!({"cloud": STANDARD.encode(&text), "copy": STANDARD.encode(text)});
                Reply::json(secret)
            }
            path if path.ends_with("/broken") => Reply::json(r#"{"data": {"cloud": "s3cret!"}}"#),
            path if path.ends_with("/closed") => Reply::status(403, "Forbidden", "no"),
            _ => Reply::status(404, "NotFound", "not found"),
        })
        .await
    }

    async fn collected(config: Value) -> Collected {
        let context = server().await.context();
        let (settings, stop) = (Settings::default(), Stop::default());
        collect(&context, "velero", &config, &settings, &stop).await
    }

    #[tokio::test]
    async fn nothing_of_a_value_is_told() {
        let context = server().await.context();
        let collected = collect_redacted(&context, "velero", &json!({})).await;
        assert_eq!(collected.record.outcome, Outcome::Complete);
        let path = "velero/credentials/velero/cloud-credentials.json";
        let text = collected.text(path).expect("the shape");
        for part in [KEY, &SECRET[..8], "wJalrXUtnFEMI", "HIDDEN"] {
            assert!(!text.contains(part), "{part}: {text}");
        }
        let document = collected.json(path).expect("JSON");
        assert_eq!(document["exists"], true);
        let [cloud, copy] = [0, 1].map(|index| &document["files"][index]);
        assert_eq!(cloud["fingerprint"], copy["fingerprint"]);
        assert_eq!(cloud["format"], "profiles");
        let settings = &cloud["profiles"][0]["settings"];
        assert_eq!(cloud["profiles"][0]["name"], "default");
        assert_eq!(settings[0]["name"], "aws_access_key_id");
        assert_eq!(settings[1]["lengthClass"], "32-63");
        assert_eq!(settings[2], Value::Null);
    }

    #[tokio::test]
    async fn one_that_is_not_there_is_an_answer_and_others_are_gaps() {
        let config = json!({"namespace": "backup", "secrets": ["absent", "broken", "closed"]});
        let collected = collected(config).await;
        let document = collected.json("velero/credentials/backup/absent.json");
        let expected = json!({"namespace": "backup", "name": "absent", "exists": false});
        assert_eq!(document, Some(expected));
        let gaps = &collected.record.gaps;
        let gaps: Vec<_> = gaps
            .iter()
            .map(|gap| (gap.path.as_str(), gap.reason))
            .collect();
        assert_eq!(
            gaps,
            [
                (
                    "velero/credentials/backup/broken.json",
                    GapReason::Malformed
                ),
                ("velero/credentials/backup/closed.json", GapReason::Refused),
            ]
        );
        let told = format!("{:?}", collected.record);
        assert!(!told.contains("s3cret"), "{told}");
    }

    #[test]
    fn files_are_told_by_their_looks() {
        let salt = Salt::default();
        for (text, format, names) in [
            ("", Format::Empty, ""),
            (" \n", Format::Empty, ""),
            (
                "\u{feff}[default]\naws_access_key_id=KEY",
                Format::ByteOrderMark,
                "",
            ),
            (
                "[default]\r\naws_access_key_id=KEY\r\n",
                Format::Profiles,
                "default: aws_access_key_id",
            ),
            (
                "# ours\n[profile offsite]\nrole_arn = a:b\n[b]\n",
                Format::Profiles,
                "offsite: role_arn; b:",
            ),
            ("[SECRET]\n", Format::Profiles, "?:"),
            (
                "aws_access_key_id=KEY\n",
                Format::Variables,
                ": aws_access_key_id",
            ),
            (
                "AZURE_TENANT_ID=x\nAZURE_CLIENT_ID=y\n",
                Format::Variables,
                ": azure_tenant_id azure_client_id",
            ),
            (
                "{\"type\": \"service_account\", \"private_key\": \"a b\\nc\", \"x\": 1}",
                Format::Json,
                ": private_key type",
            ),
            ("SECRET", Format::Unrecognised, ""),
        ] {
            let (is, profiles) = looks(&salt, file(text).as_bytes());
            assert_eq!(is, format, "{text}");
            let told: Vec<String> = profiles
                .iter()
                .map(|profile| {
                    let settings: Vec<_> =
                        profile.settings.iter().map(|it| it.name.as_str()).collect();
                    format!("{}: {}", profile.name, settings.join(" "))
                        .trim_end()
                        .to_owned()
                })
                .collect();
            assert_eq!(told.join("; "), names, "{text}");
        }
        let twice = STANDARD.encode("[default]\naws_access_key_id=a\n");
        assert_eq!(looks(&salt, twice.as_bytes()).0, Format::Base64);
        assert_eq!(looks(&salt, b"\xff\xfe").0, Format::Unrecognised);
    }

    #[test]
    fn faults_are_told_by_their_looks() {
        let salt = Salt::default();
        for (value, faults) in [
            ("x", vec![]),
            ("", vec![Fault::Empty]),
            ("\"x\"", vec![]),
            ("\"x y\"", vec![Fault::Blanks]),
            ("x y", vec![Fault::Blanks]),
            ("x\u{a0}", vec![Fault::Unprintable]),
        ] {
            let told = setting(&salt, " aws_secret_access_key ", value, true);
            assert_eq!(told.map(|it| it.faults), Some(faults), "{value}");
        }
    }
}

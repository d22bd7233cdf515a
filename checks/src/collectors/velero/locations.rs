//! Storage locations that Velero calls unavailable are asked here and now, with their own settings and credentials, by
//! the reading part of the collector `s3`. Its report says what Velero's message does not.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle::BundlePath;
use bundle::collected::List;
use bundle::collected::velero::BackupStorageLocation;
use bundle::manifest::GapReason;

use super::Velero;
use crate::cluster::segment;
use crate::collector::{CollectError, Context, Output};
use crate::collectors::s3::location::{Location, ask};

/// Locations that are asked; the more there are, the more alike are their reasons.
const MOST: usize = 4;
/// What each of them has.
const EACH: Duration = Duration::from_secs(30);
/// Velero's name for the key of a Secret, where a location names none.
const KEY: &str = "cloud";
/// And for the Secret.
const SECRET: &str = "cloud-credentials";

/// The data of the Secrets that the collector may read, by their names.
pub(super) type Secrets = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

impl Velero {
    /// Asks those that are unavailable and whose credentials were read.
    pub(super) async fn ask_locations(
        &self,
        secrets: &Secrets,
        context: &Context,
        output: &Output,
    ) -> Result<(), CollectError> {
        let cluster = context.cluster()?;
        let namespace = &self.config.namespace;
        let list = format!(
            "/apis/velero.io/v1/namespaces/{}/backupstoragelocations",
            segment(namespace)
        );
        let found = match cluster.document(&list, &[]).await {
            Ok(bytes) => serde_json::from_slice::<List<BackupStorageLocation>>(&bytes),
            // Without Velero, or without the right, there is nothing to ask; what was collected says so already.
            Err(error) => {
                tracing::debug!(%error, "the storage locations are not listed");
                return Ok(());
            }
        };
        let Ok(found) = found else {
            return Ok(());
        };
        let unavailable = found
            .items
            .iter()
            .filter(|location| location.status.phase == "Unavailable")
            .filter(|location| location.spec.provider.ends_with("aws"));
        for (index, location) in unavailable.enumerate() {
            let name = &location.metadata.name;
            let path = BundlePath::join(["velero", "locations", namespace, name])?;
            let path = BundlePath::new(format!("{path}.json"))?;
            if index >= MOST {
                let detail = format!("only {MOST} locations are asked");
                output.gap(path.as_str(), GapReason::Limit, detail);
                continue;
            }
            // What is wrong with credentials by their looks is told by their shape.
            let Some(location) = settings(location, secrets) else {
                continue;
            };
            let report = ask(location, EACH, context).await;
            output.json(&path, &report)?;
        }
        Ok(())
    }
}

/// A location's settings as Velero's plugin reads them; `None` where its credentials are not at hand.
fn settings(location: &BackupStorageLocation, secrets: &Secrets) -> Option<Location> {
    let spec = &location.spec;
    let setting = |name: &str| spec.config.get(name).cloned().unwrap_or_default();
    let (secret, key) = spec
        .credential
        .as_ref()
        .map_or((SECRET, KEY), |credential| {
            (credential.name.as_str(), credential.key.as_str())
        });
    let file = secrets.get(secret)?.get(key)?;
    let profile = match setting("profile") {
        name if name.is_empty() => "default".to_owned(),
        name => name,
    };
    let values = profile_values(std::str::from_utf8(file).ok()?, &profile)?;
    let value = |name: &str| values.get(name).cloned().unwrap_or_default();
    let authority = STANDARD.decode(&spec.object_storage.ca_cert).ok()?;
    Some(Location {
        endpoint: setting("s3Url"),
        bucket: spec.object_storage.bucket.clone(),
        prefix: spec.object_storage.prefix.clone(),
        region: setting("region"),
        path_style: setting("s3ForcePathStyle") == "true",
        skip_verify: setting("insecureSkipTLSVerify") == "true",
        authority: String::from_utf8(authority).ok()?,
        access_key: Some(value("aws_access_key_id")).filter(|key| !key.is_empty())?,
        secret_key: Some(value("aws_secret_access_key")).filter(|key| !key.is_empty())?,
        session_token: value("aws_session_token"),
        source: format!("Secret {secret}, key {key}, profile {profile}"),
    })
}

/// The settings of one profile of a credentials file.
fn profile_values(text: &str, wanted: &str) -> Option<BTreeMap<String, String>> {
    let mut values: Option<BTreeMap<String, String>> = None;
    let mut is_wanted = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            let name = name.trim();
            is_wanted = name.strip_prefix("profile ").unwrap_or(name).trim() == wanted;
            if is_wanted {
                values.get_or_insert_default();
            }
        } else if is_wanted
            && !line.starts_with(['#', ';'])
            && let Some((name, value)) = line.split_once('=')
            && let Some(values) = &mut values
        {
            let value = value.trim().trim_matches(['"', '\'']);
            values.insert(name.trim().to_ascii_lowercase(), value.to_owned());
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_profile_of_several_is_read() {
        let text = "# made by hand\n[default]\naws_access_key_id = A\n\n[ profile other ]\naws_access_key_id=\"B\"\nAWS_SECRET_ACCESS_KEY = c=d \n; end\n";
        let of = |profile: &str| profile_values(text, profile);
        let other = of("other").expect("the profile");
        assert_eq!(other["aws_access_key_id"], "B");
        assert_eq!(other["aws_secret_access_key"], "c=d");
        assert_eq!(of("default").expect("the profile").len(), 1);
        assert_eq!(of("absent"), None);
    }
}

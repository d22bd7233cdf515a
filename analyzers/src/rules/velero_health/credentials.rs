//! The credentials of a location by their looks, as the collector `velero` tells them.

use bundle::Files;
use bundle::collected::credentials::{Fault, File, Format, Profile, Secret};
use bundle::collected::velero::BackupStorageLocation;

use super::listed;
use crate::document::decoded;

/// What the sentences name.
pub(super) struct Place<'a> {
    location: &'a BackupStorageLocation,
    /// Whether a Secret is named at all: by the location, or by the server's Deployment.
    is_named: bool,
    secret: &'a str,
    key: &'a str,
    profile: &'a str,
}

impl<'a> Place<'a> {
    pub(super) fn of(location: &'a BackupStorageLocation, server_secret: &'a str) -> Self {
        let or = |text: &'a str, default| if text.is_empty() { default } else { text };
        let credential = location.spec.credential.as_ref();
        let setting = |name| location.spec.config.get(name).map_or("", String::as_str);
        Self {
            location,
            is_named: credential.is_some() || !server_secret.is_empty(),
            secret: credential.map_or(or(server_secret, "cloud-credentials"), |it| &it.name),
            key: credential.map_or("cloud", |it| &it.key),
            profile: or(setting("profile"), "default"),
        }
    }

    pub(super) fn fill(&self, sentence: &str) -> String {
        let spec = &self.location.spec;
        let setting = |name| spec.config.get(name).map_or("", String::as_str);
        let endpoint = match setting("s3Url") {
            "" => "the object storage",
            url => url,
        };
        let region = match setting("region") {
            "" => "that Velero took (none is set)",
            region => region,
        };
        let storage = &spec.object_storage;
        let authority = if storage.ca_cert.is_empty() && storage.ca_cert_ref.is_none() {
            ", and the location names none"
        } else {
            ", and the one that the location names is another"
        };
        [
            ("{provider}", spec.provider.as_str()),
            ("{bucket}", &storage.bucket),
            ("{endpoint}", endpoint),
            ("{region}", region),
            ("{authority}", authority),
            ("{namespace}", &self.location.metadata.namespace),
            ("{location}", &self.location.metadata.name),
            ("{secret}", self.secret),
            ("{key}", self.key),
            ("{profile}", self.profile),
        ]
        .iter()
        .fold(sentence.to_owned(), |filled, (name, value)| {
            filled.replace(name, value)
        })
    }
}

const WRITE: &str = "Write the credentials file as the provider's documentation has it, and put it into the key {key} of the Secret {namespace}/{secret}.";

/// What is to be said of the credentials by their looks.
pub(super) struct Shape {
    /// What is there, in words.
    pub(super) seen: String,
    /// What cannot be right, and what to do.
    pub(super) fault: Option<(String, String)>,
}

pub(super) fn shape(place: &Place<'_>, files: &Files) -> Shape {
    let fault = |why: &str, remedy: &str| Shape {
        seen: place.fill(why),
        fault: Some((place.fill(why), place.fill(remedy))),
    };
    if !place.is_named {
        return Shape {
            seen: "no Secret is named: the credentials are those of the service account's or the machine's role".to_owned(),
            fault: None,
        };
    }
    let path = place.fill("velero/credentials/{namespace}/{secret}.json");
    let secret = match decoded::<Secret>(files, &path) {
        Ok(secret) => secret,
        Err(_) if !files.contains(&path) && files.gaps(&path).next().is_none() => {
            return Shape {
                seen: place.fill(
                    "to see what its credentials look like, add the collector velero with secrets: [{secret}]",
                ),
                fault: None,
            };
        }
        Err(reason) => {
            return Shape {
                seen: reason.reason().to_owned(),
                fault: None,
            };
        }
    };
    if !secret.exists {
        return fault(
            "the Secret {namespace}/{secret} does not exist",
            "Create it: kubectl -n {namespace} create secret generic {secret} --from-file={key}=FILE",
        );
    }
    let Some(file) = secret.files.iter().find(|file| file.key == place.key) else {
        let keys = keys(&secret);
        let why = format!("the Secret {{namespace}}/{{secret}} has no key {{key}}, {keys}");
        return fault(
            &why,
            "Put the credentials file into the key {key}, or name the right one in spec.credential.key of the location.",
        );
    };
    shape_of_file(place, file)
}

fn keys(secret: &Secret) -> String {
    let names: Vec<&str> = secret.files.iter().map(|file| file.key.as_str()).collect();
    match names.as_slice() {
        [] => "it is empty".to_owned(),
        names => format!("it has {}", listed(names)),
    }
}

fn shape_of_file(place: &Place<'_>, file: &File) -> Shape {
    let fault = |why: &str, remedy: &str| Shape {
        seen: place.fill(why),
        fault: Some((place.fill(why), place.fill(remedy))),
    };
    let is_amazon = place.location.spec.provider.ends_with("aws");
    match file.format {
        Format::Empty => {
            return fault(
                "the key {key} of the Secret {namespace}/{secret} is empty",
                WRITE,
            );
        }
        Format::Base64 => {
            return fault(
                "the key {key} of the Secret {namespace}/{secret} is encoded in base64 twice",
                "Encode it once: kubectl create secret generic --from-file does so by itself.",
            );
        }
        Format::ByteOrderMark => {
            return fault(
                "the key {key} of the Secret {namespace}/{secret} begins with a byte order mark, which becomes a part of its first line",
                "Save the file as UTF-8 without a byte order mark and put it into the key {key} of the Secret {namespace}/{secret}.",
            );
        }
        Format::Profiles => {}
        _ if is_amazon => {
            return fault(
                "the key {key} of the Secret {namespace}/{secret} has no [profile] with settings",
                "Write it as [{profile}], aws_access_key_id=…, aws_secret_access_key=…, each on a line of its own.",
            );
        }
        _ => {
            return Shape {
                seen: place.fill(
                    "the key {key} of the Secret {namespace}/{secret} looks like credentials",
                ),
                fault: None,
            };
        }
    }
    shape_of_profile(place, &file.profiles)
}

/// The profile that the location takes: both settings are there, and look like values.
fn shape_of_profile(place: &Place<'_>, profiles: &[Profile]) -> Shape {
    let fault = |why: &str, remedy: &str| Shape {
        seen: place.fill(why),
        fault: Some((place.fill(why), place.fill(remedy))),
    };
    let Some(profile) = profiles
        .iter()
        .find(|profile| profile.name == place.profile)
    else {
        let names: Vec<&str> = profiles
            .iter()
            .map(|profile| profile.name.as_str())
            .collect();
        let why = format!(
            "the key {{key}} of the Secret {{namespace}}/{{secret}} has no profile {{profile}}, it has {}",
            listed(&names)
        );
        return fault(
            &why,
            "Name the profile [{profile}], or set spec.config.profile of the location to one that is there.",
        );
    };
    let setting = |name: &str| profile.settings.iter().find(|setting| setting.name == name);
    let takes_a_role = [
        "role_arn",
        "credential_process",
        "web_identity_token_file",
        "sso_session",
    ]
    .iter()
    .any(|name| setting(name).is_some());
    let mut seen = Vec::new();
    for name in ["aws_access_key_id", "aws_secret_access_key"] {
        let Some(setting) = setting(name) else {
            if takes_a_role {
                continue;
            }
            let why = format!(
                "the profile {{profile}} in the key {{key}} of the Secret {{namespace}}/{{secret}} has no {name}"
            );
            return fault(&why, WRITE);
        };
        if let Some(found) = setting.faults.first() {
            let what = match found {
                Fault::Empty => "is empty",
                Fault::Blanks => "has blanks in it",
                Fault::Other => "is malformed",
                Fault::Unprintable => "has characters in it that cannot be printed",
            };
            let why = format!(
                "{name} of the profile {{profile}} in the Secret {{namespace}}/{{secret}} {what}"
            );
            return fault(
                &why,
                "Write the bare value, without blanks, as the object storage gave it out.",
            );
        }
        seen.push(format!("{name} of {} characters", setting.length_class));
    }
    Shape {
        seen: place.fill(&format!(
            "the Secret {{namespace}}/{{secret}} has, in its key {{key}} under [{{profile}}], {}",
            if seen.is_empty() {
                "a role to take".to_owned()
            } else {
                seen.join(" and ")
            }
        )),
        fault: None,
    }
}

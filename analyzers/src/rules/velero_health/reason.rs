//! Why a location is not available: Velero's message, the location's settings and the shape of its credentials put
//! together.
//!
//! Three sources are asked: what Velero was told by the object storage, what the credentials look like (collector
//! `velero`), and what the location says of itself. A probe of the object storage with the same settings would be a
//! fourth: its answer belongs into [`Reason::of`], ahead of the message, because it is of this run.

use bundle::Files;
use bundle::collected::credentials::{Fault, File, Format, Secret};
use bundle::collected::velero::BackupStorageLocation;

use super::{Scene, listed};
use crate::document::decoded;

/// What was found, as the end of a sentence, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) why: String,
    pub(super) remedy: String,
}

/// What a message is about, and so which other source can say more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Credentials,
    Region,
    Other,
}

/// A kind of message: all of `texts` are in it, in any case of letters.
struct Pattern {
    texts: &'static [&'static str],
    about: About,
    why: &'static str,
    remedy: &'static str,
}

const fn pattern(
    texts: &'static [&'static str],
    about: About,
    why: &'static str,
    remedy: &'static str,
) -> Pattern {
    Pattern {
        texts,
        about,
        why,
        remedy,
    }
}

use About::{Credentials as C, Other as O, Region as R};

/// The first that fits counts: the more telling ones come first. Codes of S3: the AWS API reference; the others are
/// Velero's, Go's and the SDKs' own words.
const PATTERNS: &[Pattern] = &[
    pattern(
        &["unable to locate objectstore plugin"],
        O,
        "the server has no plugin for the provider {provider}",
        "Add the plugin's image in the version that belongs to the server's: velero plugin add IMAGE; the provider's name must be the plugin's.",
    ),
    pattern(
        &["secret is missing data for key"],
        C,
        "the Secret {namespace}/{secret} has no key {key}",
        "Put the credentials file into that key: kubectl -n {namespace} create secret generic {secret} --from-file={key}=FILE --dry-run=client -o yaml | kubectl apply -f -",
    ),
    pattern(
        &["unable to get key for secret", "not found"],
        C,
        "the Secret {namespace}/{secret} does not exist",
        "Create it: kubectl -n {namespace} create secret generic {secret} --from-file={key}=FILE",
    ),
    pattern(
        &["failed to get shared config profile"],
        C,
        "the credentials have no profile {profile}",
        "Add [{profile}] to the credentials file, or correct spec.config.profile of the location.",
    ),
    pattern(
        &["no ec2 imds role found"],
        C,
        "there are no keys in its credentials, and no role of the machine to take in their place",
        "Put aws_access_key_id and aws_secret_access_key under [{profile}] into the key {key} of the Secret {namespace}/{secret}.",
    ),
    pattern(
        &["failed to refresh cached credentials"],
        C,
        "no credentials could be had",
        "Put aws_access_key_id and aws_secret_access_key under [{profile}] into the key {key} of the Secret {namespace}/{secret}, or give the service account a role.",
    ),
    pattern(
        &["invalidaccesskeyid"],
        C,
        "the object storage does not know the access key",
        "Put a key of this object storage into the Secret {namespace}/{secret}, and see that the location's endpoint {endpoint} is the one that the key is of.",
    ),
    pattern(
        &["signaturedoesnotmatch"],
        C,
        "the secret key is wrong, or something between Velero and the object storage changes requests",
        "Correct aws_secret_access_key in the Secret {namespace}/{secret}; if it is right, look for a proxy that rewrites the Host header or the path in front of {endpoint}.",
    ),
    pattern(
        &["requesttimetooskewed"],
        O,
        "the clock of the node with Velero's pod differs from the object storage's by more than 15 minutes",
        "Set the node's clock (NTP); compare with the Date header of {endpoint}.",
    ),
    pattern(
        &["authorizationheadermalformed"],
        R,
        "the region {region} is not the object storage's",
        "Set spec.config.region of the location to the object storage's region.",
    ),
    pattern(
        &["permanentredirect"],
        R,
        "the bucket {bucket} is in another region than {region}",
        "Set spec.config.region of the location to the bucket's region.",
    ),
    pattern(
        &["statuscode: 301"],
        R,
        "the bucket {bucket} is in another region than {region}",
        "Set spec.config.region of the location to the bucket's region.",
    ),
    pattern(
        &["missing region"],
        R,
        "no region is set",
        "Set spec.config.region of the location; an object storage of your own usually takes us-east-1.",
    ),
    pattern(
        &["determine bucket's region"],
        R,
        "no region is set, and the bucket's could not be found out",
        "Set spec.config.region of the location.",
    ),
    pattern(
        &["nosuchbucket"],
        O,
        "there is no bucket {bucket} at {endpoint}",
        "Create the bucket, or correct spec.objectStorage.bucket of the location.",
    ),
    pattern(
        &["containernotfound"],
        O,
        "there is no container {bucket}",
        "Create the container, or correct spec.objectStorage.bucket of the location.",
    ),
    pattern(
        &["bucket doesn't exist"],
        O,
        "there is no bucket {bucket}",
        "Create the bucket, or correct spec.objectStorage.bucket of the location.",
    ),
    pattern(
        &["accessdenied"],
        C,
        "the credentials may not list the bucket {bucket}",
        "Allow them s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListMultipartUploadParts on what is in it.",
    ),
    pattern(
        &["authenticationfailed"],
        C,
        "the object storage refuses the credentials",
        "Correct the credentials in the Secret {namespace}/{secret}.",
    ),
    pattern(
        &["authorizationfailure"],
        C,
        "the credentials may not use the storage account",
        "Give the identity the role Storage Blob Data Contributor, and let the storage account's firewall pass the cluster.",
    ),
    pattern(
        &["invalid_grant"],
        C,
        "the service account's key is not valid any more",
        "Make a new key of the service account and put it into the Secret {namespace}/{secret}.",
    ),
    pattern(
        &["could not find default credentials"],
        C,
        "there are no credentials",
        "Put the service account's key into the key {key} of the Secret {namespace}/{secret}.",
    ),
    pattern(
        &["certificate signed by unknown authority"],
        O,
        "the certificate of {endpoint} is signed by an authority that Velero does not trust{authority}",
        "Put the authority's certificate into the location: velero backup-location set {location} --cacert FILE, or spec.objectStorage.caCert (PEM in base64).",
    ),
    pattern(
        &["certificate has expired"],
        O,
        "the certificate of {endpoint} has expired or is not valid yet",
        "Renew the certificate, or set the clock of the node with Velero's pod.",
    ),
    pattern(
        &["x509: certificate is"],
        O,
        "the certificate of {endpoint} is not for that name",
        "Use a name that the certificate has in spec.config.s3Url of the location, or issue one for this name.",
    ),
    pattern(
        &["cannot validate certificate"],
        O,
        "the certificate of {endpoint} does not name that address",
        "Use a name that the certificate has in spec.config.s3Url of the location, or issue one with this address.",
    ),
    pattern(
        &["server gave http response to https client"],
        O,
        "{endpoint} does not speak TLS",
        "Write http:// in spec.config.s3Url of the location, or turn TLS on at the object storage.",
    ),
    pattern(
        &["client sent an http request to an https server"],
        O,
        "{endpoint} speaks TLS only",
        "Write https:// in spec.config.s3Url of the location.",
    ),
    pattern(
        &["tls: "],
        O,
        "TLS with {endpoint} fails",
        "See the message, and try openssl s_client -connect HOST:PORT from a pod.",
    ),
    pattern(
        &["no such host"],
        O,
        "the name of {endpoint} does not resolve",
        "Correct spec.config.s3Url of the location, or the cluster's DNS. With buckets as a part of the name, set spec.config.s3ForcePathStyle to \"true\".",
    ),
    pattern(
        &["connection refused"],
        O,
        "nobody listens at {endpoint}",
        "Start the object storage, or correct the host and the port in spec.config.s3Url of the location.",
    ),
    pattern(
        &["no route to host"],
        O,
        "there is no way to {endpoint}",
        "Let Velero's pod reach the object storage: routes, firewalls, NetworkPolicies in namespace {namespace}.",
    ),
    pattern(
        &["proxyconnect"],
        O,
        "the proxy between Velero and {endpoint} does not let it through",
        "Correct HTTPS_PROXY of the Deployment, or name the object storage in its NO_PROXY.",
    ),
    pattern(
        &["timeout"],
        O,
        "{endpoint} does not answer in time",
        "Let Velero's pod reach the object storage: routes, firewalls, NetworkPolicies in namespace {namespace}.",
    ),
    pattern(
        &["deadline exceeded"],
        O,
        "{endpoint} does not answer in time",
        "Let Velero's pod reach the object storage: routes, firewalls, NetworkPolicies in namespace {namespace}.",
    ),
    pattern(
        &["invalid top-level directories"],
        O,
        "there are folders in the bucket that are not Velero's, in the place where it keeps its own",
        "Give Velero a bucket of its own, or a folder in it: spec.objectStorage.prefix of the location.",
    ),
    pattern(
        &["config has invalid keys"],
        O,
        "its settings have names that the plugin does not know",
        "Correct spec.config of the location: the message lists the valid names.",
    ),
    pattern(
        &["invalid s3 url"],
        O,
        "spec.config.s3Url is no URL",
        "Write spec.config.s3Url with its scheme: https://HOST:PORT",
    ),
    pattern(
        &["cannot specify both cacert and cacertref"],
        O,
        "it has both caCert and caCertRef",
        "Remove one of the two from spec.objectStorage of the location.",
    ),
    pattern(
        &["slowdown"],
        O,
        "the object storage is overloaded",
        "Wait, or give the object storage more; it answered SlowDown.",
    ),
    pattern(
        &["statuscode: 5"],
        O,
        "the object storage answers that it has failed",
        "Look at the object storage's own state and logs.",
    ),
    pattern(
        &["statuscode: 403"],
        C,
        "the object storage refuses the credentials",
        "Correct the credentials in the Secret {namespace}/{secret}, or give them s3:ListBucket on the bucket {bucket}.",
    ),
];

impl Reason {
    /// Puts the sources together.
    pub(super) fn of(location: &BackupStorageLocation, scene: &Scene<'_>) -> Self {
        let place = Place::of(location, &scene.server.secret);
        let message = location.status.message.to_lowercase();
        let matched = PATTERNS
            .iter()
            .find(|pattern| pattern.texts.iter().all(|text| message.contains(text)));
        let about = matched.map_or(C, |pattern| pattern.about);
        let shape = shape(&place, scene.files);
        if about == C
            && let Some((why, remedy)) = shape.fault
        {
            return Self { why, remedy };
        }
        let Some(pattern) = matched else {
            return Self {
                why: "Velero's own message is all that is known".to_owned(),
                remedy: place.fill(
                    "Read what the server said of it: kubectl -n {namespace} logs deployment/velero | grep {location}",
                ),
            };
        };
        let mut why = place.fill(pattern.why);
        let mut remedy = place.fill(pattern.remedy);
        match about {
            C => why = format!("{why} ({})", shape.seen),
            R => {
                if let Some(region) = expected_region(&location.status.message) {
                    why = format!("{why}: that is {region}");
                    remedy = format!("Set spec.config.region of the location to {region}.");
                }
            }
            O => {}
        }
        Self { why, remedy }
    }
}

/// `expecting 'eu-west-1'` in the message of an object storage that knows its region.
fn expected_region(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("expecting ")?;
    let quote = rest.chars().next().filter(|quote| "'\"".contains(*quote))?;
    let (region, _) = rest[1..].split_once(quote)?;
    let is_region = region
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (is_region && !region.is_empty()).then_some(region)
}

/// What the sentences name.
struct Place<'a> {
    location: &'a BackupStorageLocation,
    secret: &'a str,
    key: &'a str,
    profile: &'a str,
}

impl<'a> Place<'a> {
    fn of(location: &'a BackupStorageLocation, server_secret: &'a str) -> Self {
        let or = |text: &'a str, default| if text.is_empty() { default } else { text };
        let credential = location.spec.credential.as_ref();
        let setting = |name| location.spec.config.get(name).map_or("", String::as_str);
        Self {
            location,
            secret: credential.map_or(or(server_secret, "cloud-credentials"), |it| &it.name),
            key: credential.map_or("cloud", |it| &it.key),
            profile: or(setting("profile"), "default"),
        }
    }

    fn fill(&self, sentence: &str) -> String {
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

/// What is to be said of the credentials by their looks.
struct Shape {
    /// What is there, in words.
    seen: String,
    /// What cannot be right, and what to do.
    fault: Option<(String, String)>,
}

fn shape(place: &Place<'_>, files: &Files) -> Shape {
    let fault = |why: &str, remedy: &str| Shape {
        seen: place.fill(why),
        fault: Some((place.fill(why), place.fill(remedy))),
    };
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
    const WRITE: &str = "Write the credentials file as the provider's documentation has it, and put it into the key {key} of the Secret {namespace}/{secret}.";
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
    let profiles = &file.profiles;
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
                Fault::Quoted => "stands in quotes, which become a part of it",
                Fault::Blanks => "has blanks in it",
                Fault::Other => "is malformed",
                Fault::Unprintable => "has characters in it that cannot be printed",
            };
            let why = format!(
                "{name} of the profile {{profile}} in the Secret {{namespace}}/{{secret}} {what}"
            );
            return fault(
                &why,
                "Write the bare value, without quotes and blanks, as the object storage gave it out.",
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

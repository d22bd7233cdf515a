//! Why a location is not available: Velero's message, the location's settings and the shape of its credentials put
//! together.
//!
//! Four sources are asked: the object storage itself, with the location's settings (collector `velero`, the chain of
//! `s3`), which comes first because it is of this run; what Velero was told by the object storage; what the credentials
//! look like (collector `velero`); and what the location says of itself.

use bundle::collected::s3::{Link, Outcome, Reason as Cause, Report};
use bundle::collected::velero::BackupStorageLocation;

use super::Scene;
use super::credentials::{Place, shape};
use crate::document::decoded;
use crate::s3;

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
        &["partial credentials found"],
        C,
        "the profile {profile} has one of aws_access_key_id and aws_secret_access_key only",
        "Put both under [{profile}] into the key {key} of the Secret {namespace}/{secret}.",
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
        let asked = Asked::of(location, scene);
        if let Asked::Broken(reason) = asked {
            return reason;
        }
        let mut reason = Self::of_message(location, scene);
        if matches!(asked, Asked::Usable) {
            reason.why = format!(
                "{}; but asked by this run with the same settings and keys, the object storage can be used",
                reason.why
            );
            reason.remedy = format!(
                "{} If it stays unavailable, look for what only Velero's pod meets: its NetworkPolicies, DNS, HTTPS_PROXY and NO_PROXY, its node's clock.",
                reason.remedy
            );
        }
        reason
    }

    fn of_message(location: &BackupStorageLocation, scene: &Scene<'_>) -> Self {
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

/// What the object storage itself answered, where it was asked.
enum Asked {
    Broken(Reason),
    Usable,
    /// It was not asked, or could not be reached from where this ran, which says nothing of Velero's pod.
    Unknown,
}

impl Asked {
    fn of(location: &BackupStorageLocation, scene: &Scene<'_>) -> Self {
        let metadata = &location.metadata;
        let path = format!(
            "velero/locations/{}/{}.json",
            metadata.namespace, metadata.name
        );
        let Ok(report) = decoded::<Report>(scene.files, &path) else {
            return Self::Unknown;
        };
        if report
            .steps
            .iter()
            .any(|step| step.outcome == Outcome::Other)
        {
            return Self::Unknown;
        }
        let Some((step, failure)) = s3::broken(&report) else {
            let reached = report
                .steps
                .iter()
                .any(|step| step.link == Link::Bucket && step.outcome == Outcome::Passed);
            return if reached { Self::Usable } else { Self::Unknown };
        };
        // Keys of odd names and ranges are not why a location is unavailable.
        if step.link > Link::List {
            return Self::Usable;
        }
        let is_from_here_only = step.link < Link::Tls && step.link != Link::Configuration;
        if is_from_here_only || matches!(failure.reason, Cause::Deadline | Cause::SlowDown) {
            return Self::Unknown;
        }
        let mut remedy = for_velero(&s3::remedy(&report, step, &failure), &failure.region);
        if matches!(
            failure.reason,
            Cause::UnknownKey
                | Cause::Signature
                | Cause::ExpiredToken
                | Cause::InvalidToken
                | Cause::AccessDenied
        ) {
            let place = Place::of(location, &scene.server.secret);
            let keys = place.fill(
                " The keys are in the Secret {namespace}/{secret}, key {key}, profile {profile}.",
            );
            remedy.push_str(&keys);
        }
        Self::Broken(Reason {
            why: format!(
                "asked by this run with the same settings, the object storage says why: {} ({path})",
                s3::why(step, &failure)
            ),
            remedy,
        })
    }
}

/// A remedy with the location's own names for the settings.
fn for_velero(remedy: &str, region: &str) -> String {
    if !region.is_empty() && remedy.starts_with("Set the region") {
        return format!("Set spec.config.region of the location to {region}.");
    }
    remedy
        .replace(
            "tls.cacert or tls.secret here, AWS_CA_BUNDLE for SDKs",
            "spec.objectStorage.caCert of the location (PEM in base64)",
        )
        .replace(
            "usePathStyle: true",
            "spec.config.s3ForcePathStyle: \"true\"",
        )
        .replace(
            "Correct the endpoint",
            "Correct spec.config.s3Url of the location",
        )
        .replace("in the endpoint", "in spec.config.s3Url of the location")
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

//! What a bucket is asked with: the endpoint and how the bucket is addressed, keys from the spec or a Secret,
//! authorities, the proxy. Whatever is a reference is resolved here.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bundle::collected::s3::{Failure, Presence, Reason, Style, Target};
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use jiff::Timestamp;
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::collector::Context;
use crate::fingerprint::Salt;
use crate::secret_data::{Missing, secret_data};
use crate::web_proxy::Proxy;

/// The region that is signed for where none is named: that of most servers outside of Amazon's.
const REGION: &str = "us-east-1";

/// What a Secret calls a setting, in order of preference: the environment's names, those of the charts of `MinIO`,
/// Bitnami and Rook, and camel case.
const ACCESS_KEYS: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "accessKeyID",
    "accessKeyId",
    "accessKey",
    "access-key",
    "access_key",
    "accesskey",
    "rootUser",
    "root-user",
];
const SECRET_KEYS: &[&str] = &[
    "AWS_SECRET_ACCESS_KEY",
    "secretAccessKey",
    "secretKey",
    "secret-key",
    "secret_key",
    "secretkey",
    "rootPassword",
    "root-password",
];
const TOKENS: &[&str] = &["AWS_SESSION_TOKEN", "sessionToken", "session-token"];
const AUTHORITIES: &[&str] = &["cacert", "ca.crt", "ca-bundle.crt", "AWS_CA_BUNDLE"];

/// The fields of the collector.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Wanted {
    /// `https://host:port`, without the bucket. Amazon's own for the region where it is empty.
    pub(super) endpoint: String,
    /// The bucket.
    pub(super) bucket_name: String,
    /// The region that requests are signed for, `us-east-1` where it is empty.
    pub(super) region: String,
    /// Whether the bucket is in the path, `https://host/bucket/key`, instead of in the name, `https://bucket.host/key`.
    pub(super) use_path_style: bool,
    /// Below which the application keeps its objects, `mlflow/`.
    pub(super) prefix: String,
    /// Prefixes that the keys must not reach: those of other tenants.
    pub(super) foreign_prefixes: Vec<String>,
    /// The id of the access key.
    #[serde(rename = "accessKeyID")]
    pub(super) access_key_id: String,
    /// The secret key.
    pub(super) secret_access_key: String,
    /// The token that goes with temporary keys.
    pub(super) session_token: String,
    /// The Secret that holds the keys, in place of the three.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<SecretKeys>,
    /// How the server's certificate is judged.
    pub(super) tls: Tls,
    /// The proxy, `http://host:port`; where it is empty the environment's `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`
    /// count, and `none` is none at all.
    pub(super) proxy: String,
    /// The same object storage without the ingress or load balancer in front, `http://minio.minio.svc:9000`: where a
    /// signature is refused it is asked there, too.
    pub(super) direct_endpoint: String,
    /// By what name others reach the same object storage, `https://s3.example.com`, where the application hands out presigned
    /// addresses for it: with both consents to write, one is made for that name and used.
    pub(super) public_endpoint: String,
    /// Whether it may write, if the operator allows it (`--allow-writes`), below `<prefix>/.preflight-<run id>/`.
    pub(super) writes: bool,
}

/// A Secret with keys.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SecretKeys {
    /// The Secret's namespace; that of the run where it is empty.
    pub(super) namespace: String,
    /// The Secret's name.
    pub(super) name: String,
    /// Which key holds the access key's id; where it is empty the usual names are looked for.
    pub(super) access_key: String,
    /// Which key holds the secret key.
    pub(super) secret_key: String,
    /// Which key holds the session token.
    pub(super) session_token: String,
}

/// How the server's certificate is judged.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Tls {
    /// Whether any certificate is taken.
    pub(super) skip_verify: bool,
    /// The authorities' certificates, PEM, in place of the system's.
    pub(super) cacert: String,
    /// A Secret with the key `cacert` or `ca.crt` in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<SecretName>,
}

/// A Secret.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct SecretName {
    /// The Secret's name.
    pub(super) name: String,
    /// Its namespace; that of the run where it is empty.
    pub(super) namespace: String,
}

/// Keys. They have no `Debug`.
#[derive(Clone, Default)]
pub(super) struct Keys {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    pub(super) session_token: Option<String>,
}

impl Keys {
    /// When the session token ends, where it says so: those of `MinIO` and of other servers with `STS` are JSON Web Tokens
    /// (RFC 7519), Amazon's are not.
    pub(super) fn end(&self) -> Option<Timestamp> {
        #[derive(Deserialize)]
        struct Claims {
            exp: i64,
        }
        let claims = self.session_token.as_deref()?.split('.').nth(1)?;
        let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
        let Claims { exp } = serde_json::from_slice(&claims).ok()?;
        Timestamp::from_second(exp).ok()
    }
}

/// Everything that requests are made with.
#[derive(Clone)]
pub(super) struct Settings {
    /// Without path.
    pub(super) endpoint: Url,
    pub(super) direct: Option<Url>,
    /// The name that others use, and the proxy on the way there.
    pub(super) public: Option<(Url, Option<Proxy>)>,
    pub(super) bucket: String,
    pub(super) region: String,
    pub(super) prefix: String,
    pub(super) style: Style,
    /// `None` asks without a signature.
    pub(super) keys: Option<Keys>,
    /// PEM; the system's where it is empty.
    pub(super) authorities: String,
    pub(super) skip_verify: bool,
    pub(super) proxy: Option<Proxy>,
    pub(super) oddities: Vec<String>,
}

pub(super) fn failure(reason: Reason, message: impl Into<String>) -> Failed {
    let failure = Failure {
        reason,
        ..Failure::default()
    };
    (Box::new(failure), message.into())
}

/// A failure and what is to be said of it.
pub(super) type Failed = (Box<Failure>, String);

impl Wanted {
    /// What cannot be right whatever the cluster says: the path of the field and the problem.
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        if self.bucket_name.is_empty() {
            return Some(("bucketName", "no bucket is named".to_owned()));
        }
        if let Some(secret) = &self.secret {
            if secret.name.is_empty() {
                return Some(("secret", "the Secret has no name".to_owned()));
            }
            if !self.access_key_id.is_empty() || !self.secret_access_key.is_empty() {
                let text = "give the keys or a Secret that holds them, not both";
                return Some(("secret", text.to_owned()));
            }
        } else if self.access_key_id.is_empty() != self.secret_access_key.is_empty() {
            let text = "accessKeyID and secretAccessKey go together";
            return Some(("accessKeyID", text.to_owned()));
        }
        let bad = |prefix: &&String| prefix.is_empty();
        if self.foreign_prefixes.iter().any(|prefix| bad(&prefix)) {
            let text = "an empty prefix is the whole bucket";
            return Some(("foreignPrefixes", text.to_owned()));
        }
        None
    }

    /// Where the keys are, for people.
    pub(super) fn source(&self) -> String {
        match &self.secret {
            Some(secret) if secret.namespace.is_empty() => format!("Secret {}", secret.name),
            Some(secret) => format!("Secret {}/{}", secret.namespace, secret.name),
            None if self.access_key_id.is_empty() => "none: requests are not signed".to_owned(),
            None => "the spec".to_owned(),
        }
    }

    /// Itself with everything in it that it names.
    pub(super) async fn resolved(&self, context: &Context) -> Result<Self, Failed> {
        let mut resolved = self.clone();
        if let Some(secret) = resolved.secret.take() {
            let data = read(context, &secret.namespace, &secret.name).await?;
            let named = |own: &str, usual: &[&str], what: &str| {
                found(&data, own, usual).ok_or_else(|| {
                    let keys: Vec<&str> = data.keys().map(String::as_str).collect();
                    let has = if keys.is_empty() {
                        "it is empty".to_owned()
                    } else {
                        format!("it has {}", keys.join(", "))
                    };
                    let wanted = if own.is_empty() { usual[0] } else { own };
                    failure(
                        Reason::SecretMissing,
                        format!("{} has no {what} under {wanted}: {has}", self.source()),
                    )
                })
            };
            resolved.access_key_id = named(&secret.access_key, ACCESS_KEYS, "access key id")?;
            resolved.secret_access_key = named(&secret.secret_key, SECRET_KEYS, "secret key")?;
            resolved.session_token =
                found(&data, &secret.session_token, TOKENS).unwrap_or_default();
        }
        if let Some(secret) = resolved.tls.secret.take() {
            let data = read(context, &secret.namespace, &secret.name).await?;
            resolved.tls.cacert = found(&data, "", AUTHORITIES).ok_or_else(|| {
                let text = format!(
                    "the Secret {} has no certificate of an authority under cacert or ca.crt",
                    secret.name
                );
                failure(Reason::SecretMissing, text)
            })?;
        }
        Ok(resolved)
    }

    /// What requests are made with, once everything is resolved.
    pub(super) fn settings(&self) -> Result<Settings, Failed> {
        let mut oddities = Vec::new();
        let region = if self.region.is_empty() {
            REGION
        } else {
            &self.region
        };
        let text = if self.endpoint.is_empty() {
            format!("https://s3.{region}.amazonaws.com")
        } else {
            self.endpoint.clone()
        };
        let endpoint = address("endpoint", &text, &self.bucket_name, &mut oddities)?;
        let mut other = |field, text: &str| {
            let named = (!text.is_empty()).then_some(text);
            let address = named.map(|text| address(field, text, &self.bucket_name, &mut oddities));
            address.transpose()
        };
        let direct = other("directEndpoint", &self.direct_endpoint)?;
        let public = match other("publicEndpoint", &self.public_endpoint)? {
            Some(public) => Some((public.clone(), proxy(&self.proxy, &public)?)),
            None => None,
        };
        let host = endpoint.host_str().unwrap_or_default();
        let is_address = host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok();
        let style = if self.use_path_style || is_address {
            Style::Path
        } else {
            Style::VirtualHost
        };
        let keys = (!self.access_key_id.is_empty()).then(|| Keys {
            access_key: self.access_key_id.clone(),
            secret_key: self.secret_access_key.clone(),
            session_token: Some(self.session_token.clone()).filter(|token| !token.is_empty()),
        });
        Ok(Settings {
            proxy: proxy(&self.proxy, &endpoint)?,
            endpoint,
            direct,
            public,
            bucket: self.bucket_name.clone(),
            region: region.to_owned(),
            prefix: self.prefix.trim_matches('/').to_owned(),
            style,
            keys,
            authorities: self.tls.cacert.clone(),
            skip_verify: self.tls.skip_verify,
            oddities,
        })
    }
}

/// A Secret's data.
async fn read(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<BTreeMap<String, Vec<u8>>, Failed> {
    let data = secret_data(context, namespace, name).await;
    data.map_err(|missing| match missing {
        Missing::Absent(text) => failure(Reason::SecretMissing, text),
        Missing::Unread(text) => failure(Reason::SecretUnread, text),
    })
}

fn found(data: &BTreeMap<String, Vec<u8>>, own: &str, usual: &[&str]) -> Option<String> {
    let own = [own];
    let names = if own[0].is_empty() { usual } else { &own };
    let bytes = names.iter().find_map(|name| data.get(*name))?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// An endpoint, as what it should have been where it is nearly one.
fn address(
    field: &str,
    text: &str,
    bucket: &str,
    oddities: &mut Vec<String>,
) -> Result<Url, Failed> {
    let bad = |problem: &str| {
        // What is no address may be anything, a key too: it is not repeated.
        failure(
            Reason::BadSetting,
            format!("{field} {problem}: write https://HOST:PORT or http://HOST:PORT"),
        )
    };
    let trimmed = text.trim();
    if trimmed != text {
        oddities.push(format!("{field} has blanks around it"));
    }
    if !trimmed.starts_with("http://") && !trimmed.starts_with("https://") {
        return Err(bad("has no scheme"));
    }
    let mut url = Url::parse(trimmed).map_err(|error| bad(&format!("is no address ({error})")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("has credentials in it"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(bad("has no host"));
    }
    let path = url.path().trim_matches('/');
    if path == bucket && !path.is_empty() {
        oddities.push(format!(
            "{field} has the bucket in its path, which an SDK would add once more"
        ));
    } else if !path.is_empty() {
        return Err(bad("has a path, which S3 has no place for"));
    } else if trimmed.ends_with('/') {
        oddities.push(format!(
            "{field} ends with a slash, which some clients double"
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("has a query"));
    }
    url.set_path("");
    Ok(url)
}

/// The proxy in between: the one that is named, else the environment's as Go and Python take it.
fn proxy(named: &str, endpoint: &Url) -> Result<Option<Proxy>, Failed> {
    let uri: Uri = endpoint
        .as_str()
        .parse()
        .map_err(|_| failure(Reason::BadSetting, "the endpoint is no address"))?;
    match named {
        "none" => Ok(None),
        "" => Ok(Proxy::of(&Matcher::from_env(), &uri)),
        named => {
            if !named.starts_with("http://") && !named.starts_with("https://") {
                let text = "proxy has no scheme: write http://HOST:PORT";
                return Err(failure(Reason::BadSetting, text));
            }
            let intercept = Matcher::builder().all(named).build().intercept(&uri);
            let text = "proxy is no address: write http://HOST:PORT";
            intercept
                .map(|it| Some(Proxy::from(it)))
                .ok_or_else(|| failure(Reason::BadSetting, text))
        }
    }
}

impl Settings {
    /// What may be told of them.
    pub(super) fn target(&self, source: String, salt: &Salt) -> Target {
        let presence = |secret: &str| {
            let facts = salt.facts(secret.as_bytes());
            Presence {
                length_class: facts.length_class.to_owned(),
                fingerprint: facts.fingerprint,
                has_blanks: secret.trim() != secret,
            }
        };
        let keys = self.keys.as_ref();
        Target {
            endpoint: shown(&self.endpoint),
            bucket: self.bucket.clone(),
            region: self.region.clone(),
            prefix: self.prefix.clone(),
            style: self.style,
            source,
            access_key: keys.map(|keys| presence(&keys.access_key)),
            secret_key: keys.map(|keys| presence(&keys.secret_key)),
            session_token: keys
                .and_then(|keys| keys.session_token.as_deref())
                .map(presence),
            proxy: self
                .proxy
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            skips_verification: self.skip_verify && self.endpoint.scheme() == "https",
            oddities: self.oddities.clone(),
        }
    }

    /// The same with other keys.
    pub(super) fn with_keys(&self, keys: Option<Keys>) -> Self {
        Self {
            keys,
            ..self.clone()
        }
    }
}

/// An address without what follows its authority.
pub(super) fn shown(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

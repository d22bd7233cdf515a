use std::collections::BTreeMap;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle::BundlePath;
use bundle::manifest::GapReason;
use http::StatusCode;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syntax::config;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};

use crate::cluster::segment;
use crate::collector::{
    CollectError, Collector, CollectorKind, Context, Output, Permission, Scope,
};

/// The registry row.
pub(super) const KIND: CollectorKind = CollectorKind {
    name: "certificates",
    type_name: "certificates",
    scope: Scope::Cluster,
    summary: "Whose certificates are in Secrets and ConfigMaps, and until when",
    docs: DOCS,
    since: "0.1.0",
    parse: |value, meta| {
        let title = super::title(KIND.type_name, &meta.name);
        let parsed = config::parse::<Config>(value)?;
        Ok(parsed.map(|config| Box::new(Certificates { title, config }) as Box<dyn Collector>))
    },
    schema: || schemars::schema_for!(Config).to_value(),
};

const DOCS: &str = "\
# What it collects

Of every PEM certificate in the Secrets and ConfigMaps named, chains included: subject, names, issuer, from when to when it
holds, and whether it holds now. Never a key, and nothing else of a Secret.

# Files

- `certificates/certificates.json`: an array, for each Secret and ConfigMap its `source`, the `certificateChain`
  that was found in its keys, and `errors`: what is not there, and which keys hold no certificate

# Permissions

- get secrets and get configmaps, these names, in the namespaces named with them

# Example

```yaml
certificates:
  secrets:
    - name: shop-tls
      namespaces: [shop]
  configMaps:
    - name: kube-root-ca.crt
      namespaces: [shop]
```
";

const PATH: &str = "certificates/certificates.json";

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    /// Secrets with certificates.
    secrets: Option<Vec<Named>>,
    /// `ConfigMaps` with certificates.
    config_maps: Option<Vec<Named>>,
}

/// An object that may be in several namespaces.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Named {
    /// The object's name.
    name: String,
    /// Where to look for it. Nowhere else is looked.
    namespaces: Option<Vec<String>>,
}

#[derive(Debug)]
struct Certificates {
    title: String,
    config: Config,
}

/// One object to ask for.
#[derive(Debug, Clone, Copy)]
struct Wanted<'a> {
    kind: Kind,
    name: &'a str,
    namespace: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Secret,
    ConfigMap,
}

impl Kind {
    fn plural(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::ConfigMap => "configmaps",
        }
    }
}

/// What is known of one object; the shapes are troubleshoot's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Found<'a> {
    source: Source<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    certificate_chain: Vec<Certificate>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Source<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config_map: Option<&'a str>,
    namespace: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    /// The key that holds it.
    #[serde(rename = "certificate")]
    key: String,
    subject: String,
    /// The DNS names; `null` where there are none.
    subject_alternative_names: Option<Vec<String>>,
    issuer: String,
    not_after: Timestamp,
    not_before: Timestamp,
    is_valid: bool,
    #[serde(rename = "isCA")]
    is_ca: bool,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
}

impl Certificates {
    /// The objects in the order of the file: Secrets first.
    fn wanted(&self) -> impl Iterator<Item = Wanted<'_>> {
        self.named().flat_map(|(kind, named)| {
            let namespaces = named.namespaces.iter().flatten();
            namespaces.map(move |namespace| Wanted {
                kind,
                name: &named.name,
                namespace,
            })
        })
    }

    fn named(&self) -> impl Iterator<Item = (Kind, &Named)> {
        let secrets = self.config.secrets.iter().flatten();
        let config_maps = self.config.config_maps.iter().flatten();
        let secrets = secrets.map(|named| (Kind::Secret, named));
        secrets.chain(config_maps.map(|named| (Kind::ConfigMap, named)))
    }
}

#[async_trait]
impl Collector for Certificates {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn permissions(&self, _namespace: Option<&str>) -> Vec<Permission> {
        let permissions = self.wanted().map(|wanted| Permission {
            verb: "get",
            group: String::new(),
            resource: wanted.kind.plural().to_owned(),
            namespace: Some(wanted.namespace.to_owned()),
            name: Some(wanted.name.to_owned()),
        });
        permissions.collect()
    }

    fn degrades(&self) -> bool {
        true
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        vec![PATH.to_owned()]
    }

    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError> {
        for (kind, named) in self.named() {
            if named.namespaces.iter().flatten().next().is_none() {
                let (plural, name) = (kind.plural(), &named.name);
                let nowhere =
                    format!("{plural} {name:?} has no namespaces: it was looked for nowhere");
                output.gap(PATH, GapReason::Failed, nowhere);
            }
        }
        let mut found = Vec::new();
        for wanted in self.wanted() {
            found.push(look(wanted, context, output).await?);
        }
        output.json_with(&BundlePath::new(PATH)?, &found, "\t")
    }
}

/// Asks for one object and reads its certificates. What is missing is in the answer, and a gap.
async fn look<'a>(
    wanted: Wanted<'a>,
    context: &Context,
    output: &Output,
) -> Result<Found<'a>, CollectError> {
    let Wanted {
        kind,
        name,
        namespace,
    } = wanted;
    let mut found = Found {
        source: Source {
            secret: (kind == Kind::Secret).then_some(name),
            config_map: (kind == Kind::ConfigMap).then_some(name),
            namespace,
        },
        errors: Vec::new(),
        certificate_chain: Vec::new(),
    };
    let plural = kind.plural();
    let what = format!("{plural} {name:?} in namespace {namespace:?}");
    let mut lacks = |reason: GapReason, error: String| {
        output.gap(PATH, reason, format!("{what}: {error}"));
        found.errors.push(error);
    };
    if name.is_empty() || namespace.is_empty() {
        lacks(
            GapReason::Failed,
            "resource name may not be empty".to_owned(),
        );
        return Ok(found);
    }
    let path = format!(
        "/api/v1/namespaces/{}/{plural}/{}",
        segment(namespace),
        segment(name)
    );
    let object = match context.cluster()?.document(&path, &[]).await {
        Ok(object) => object,
        Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => {
            lacks(GapReason::Absent, format!("{plural} {name:?} not found"));
            return Ok(found);
        }
        Err(error) if error.is_total() => return Err(error.into()),
        Err(error) => {
            lacks(error.gap_reason(), error.to_string());
            return Ok(found);
        }
    };
    let object: Object = match serde_json::from_slice(&object) {
        Ok(object) => object,
        Err(error) => {
            lacks(GapReason::Malformed, error.to_string());
            return Ok(found);
        }
    };
    let now = context.now();
    for (key, value) in object.data.unwrap_or_default() {
        let text = match kind {
            Kind::Secret => STANDARD.decode(&value).unwrap_or_default(),
            Kind::ConfigMap => value.into_bytes(),
        };
        match read(&key, &text, now) {
            Ok(chain) if chain.is_empty() => {
                found
                    .errors
                    .push(format!("error: this object is not a certificate {key}"));
            }
            Ok(chain) => found.certificate_chain.extend(chain),
            Err(error) => {
                let error = format!("error: a certificate cannot be read: {error} {key}");
                output.gap(PATH, GapReason::Malformed, format!("{what}: {error}"));
                found.errors.push(error);
            }
        }
    }
    Ok(found)
}

/// The certificates of a PEM text, in its order. One that cannot be read spoils them all: it is not known whose place in
/// the chain it has.
fn read(key: &str, pem: &[u8], now: Timestamp) -> Result<Vec<Certificate>, String> {
    let mut chain = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem) {
        let der = der.map_err(|error| error.to_string())?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| error.to_string())?;
        let time = |seconds| Timestamp::from_second(seconds).map_err(|error| error.to_string());
        let not_after = time(parsed.validity().not_after.timestamp())?;
        let not_before = time(parsed.validity().not_before.timestamp())?;
        chain.push(Certificate {
            key: key.to_owned(),
            subject: distinguished_name(parsed.subject()),
            subject_alternative_names: dns_names(&parsed),
            issuer: distinguished_name(parsed.issuer()),
            not_after,
            not_before,
            is_valid: not_before < now && now < not_after,
            is_ca: parsed.is_ca(),
        });
    }
    Ok(chain)
}

fn dns_names(certificate: &X509Certificate<'_>) -> Option<Vec<String>> {
    let extension = certificate.subject_alternative_name().ok()??;
    let names = extension.value.general_names.iter();
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    Some(names.collect::<Vec<_>>()).filter(|names| !names.is_empty())
}

/// The attributes that RFC 4514 and Go's `pkix` have short names for.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.17", "POSTALCODE"),
];

/// A name as RFC 4514 writes it, and Go: the last part first, `CN=shop,O=Example`.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let parts: Vec<String> = name
        .iter()
        .map(|part| {
            let attributes = part.iter().map(|attribute| {
                let oid = attribute.attr_type().to_id_string();
                let value = String::from_utf8_lossy(attribute.as_slice());
                match ATTRIBUTES.iter().find(|(known, _)| *known == oid) {
                    Some((_, short)) => format!("{short}={}", escaped(&value)),
                    None => format!("{oid}=#{}", hexadecimal(&value)),
                }
            });
            attributes.collect::<Vec<_>>().join("+")
        })
        .collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(",")
}

/// RFC 4514 §2.4.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        let special = match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            ' ' => index == 0 || index == last,
            '#' => index == 0,
            _ => false,
        };
        if special {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

/// The DER of a text in hexadecimal digits: what RFC 4514 wants of attributes without a short name.
fn hexadecimal(value: &str) -> String {
    let printable = |byte: u8| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte);
    let tag: u8 = if value.bytes().all(printable) {
        0x13
    } else {
        0x0c
    };
    let length = value.len().to_be_bytes();
    let length: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut der = vec![tag];
    if value.len() >= 0x80 {
        // A usize has at most eight bytes.
        der.push(0x80 | u8::try_from(length.len()).unwrap_or(8));
    }
    if value.is_empty() {
        der.push(0);
    }
    der.extend(length);
    der.extend(value.bytes());
    hex::encode(der)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Settings, Stop};
    use crate::testing::{Reply, Seen, Server, collect, collect_redacted};
    use bundle::manifest::Outcome;
    use serde_json::{Value, json};

    /// Self-signed, made with openssl; their keys are gone.
    const ENDED: &str = include_str!("../cluster/testdata/ended-2020.pem");
    const HOLDS: &str = include_str!("../cluster/testdata/ends-2090.pem");

    fn shop(request: &Seen) -> Reply {
        let secret = |data: Value| Reply::json(json!({"kind": "Secret", "data": data}));
        match request.path.as_str() {
            "/api/v1/namespaces/shop/secrets/tls" => secret(json!({
                "tls.crt": STANDARD.encode(format!("{HOLDS}{ENDED}")),
                "tls.key": STANDARD.encode("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            })),
            "/api/v1/namespaces/shop/secrets/broken" => secret(json!({
                "a.crt": STANDARD.encode("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
                "b.crt": STANDARD.encode(HOLDS),
            })),
            "/api/v1/namespaces/shop/configmaps/ca" => {
                Reply::json(json!({"kind": "ConfigMap", "data": {"ca.crt": ENDED}}))
            }
            "/api/v1/namespaces/shop/secrets/closed" => Reply::status(403, "Forbidden", "not you"),
            _ => Reply::status(404, "NotFound", "nothing"),
        }
    }

    #[tokio::test]
    async fn chains_are_read_and_what_is_missing_is_said() {
        let server = Server::start(shop).await;
        let config = json!({
            "secrets": [
                {"name": "tls", "namespaces": ["shop"]},
                {"name": "broken", "namespaces": ["shop"]},
                {"name": "absent", "namespaces": ["shop"]},
                {"name": "closed", "namespaces": ["shop"]},
                {"name": "nowhere", "namespaces": null},
            ],
            "configMaps": [{"name": "ca", "namespaces": ["shop"]}],
        });
        let collected = collect_redacted(&server.context(), "certificates", &config).await;
        assert_eq!(collected.record.outcome, Outcome::Partial);
        let reasons: Vec<GapReason> = collected.record.gaps.iter().map(|gap| gap.reason).collect();
        let expected = [
            GapReason::Failed,
            GapReason::Malformed,
            GapReason::Absent,
            GapReason::Refused,
        ];
        assert_eq!(reasons, expected);
        let text = collected.text(PATH).expect("the file");
        assert!(text.starts_with("[\n\t{\n\t\t\"source\""), "{text}");
        let document: Value = serde_json::from_str(&text).expect("JSON");
        let chain = |index: usize| {
            let chain = document[index]["certificateChain"].as_array();
            let holds = |certificate: &Value| {
                (
                    certificate["certificate"].clone(),
                    certificate["isValid"].clone(),
                )
            };
            chain.map_or(Vec::new(), |chain| chain.iter().map(holds).collect())
        };
        assert_eq!(
            document[0]["source"],
            json!({"secret": "tls", "namespace": "shop"})
        );
        assert_eq!(
            chain(0),
            [
                (json!("tls.crt"), json!(true)),
                (json!("tls.crt"), json!(false))
            ]
        );
        assert_eq!(
            document[0]["errors"],
            json!(["error: this object is not a certificate tls.key"])
        );
        assert_eq!(chain(1), [(json!("b.crt"), json!(true))]);
        assert_eq!(
            document[2]["errors"],
            json!(["secrets \"absent\" not found"])
        );
        assert_eq!(chain(3), []);
        assert_eq!(
            document[4]["source"],
            json!({"configMap": "ca", "namespace": "shop"})
        );
        let first = &document[4]["certificateChain"][0];
        assert_eq!(first["notAfter"], "2020-02-03T04:05:06Z");
        assert_eq!(first["subjectAlternativeNames"], Value::Null);
        assert!(
            first["subject"]
                .as_str()
                .is_some_and(|name| name.starts_with("CN=")),
            "{first}"
        );
        assert_eq!(server.seen().len(), 5);
    }

    #[tokio::test]
    async fn an_empty_name_is_not_asked_for() {
        let server = Server::start(shop).await;
        let config = json!({"secrets": [{"name": "", "namespaces": ["shop"]}]});
        let (settings, stop) = (Settings::default(), Stop::default());
        let collected = collect(&server.context(), "certificates", &config, &settings, &stop).await;
        assert_eq!(collected.gaps(PATH), [GapReason::Failed]);
        assert!(
            server
                .seen()
                .iter()
                .all(|seen| !seen.path.contains("/secrets/"))
        );
    }

    #[test]
    fn names_are_written_as_rfc_4514_has_them() {
        for (value, expected) in [
            ("a, b", "a\\, b"),
            (" #x ", "\\ #x\\ "),
            ("#x", "\\#x"),
            ("a<b>\"c\\;+", "a\\<b\\>\\\"c\\\\\\;\\+"),
        ] {
            assert_eq!(escaped(value), expected);
        }
        assert_eq!(hexadecimal("ab"), "13026162");
        assert_eq!(hexadecimal("a@b"), "0c03614062");
        assert_eq!(hexadecimal(""), "1300");
        assert!(hexadecimal(&"@".repeat(300)).starts_with("0c82012c40"));
    }
}

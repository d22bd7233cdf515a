//! Tokens: each is asked for once, for a repository and a credential, until its time is over.
//!
//! Fact: the distribution project's token authentication specification, and its `OAuth2` variant for identity tokens.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bundle::collected::registry::{Failure, Reason, Role, Stage};
use http::{HeaderValue, Method, Uri};
use reqwest::Url;
use serde::Deserialize;
use tokio::time::Instant;

use super::challenge::Bearer;
use super::client::{Asked, Registries};
use super::credentials::Credential;
use super::errors;
use super::question::{Kind, Question};
use crate::cluster::segment;
use crate::collector::locked;
use crate::fetch::is_link_local;

/// What a token is good for where its service does not say.
const DEFAULT_LIFE: u64 = 60;

/// A token is not used in its last seconds.
const MARGIN: Duration = Duration::from_secs(5);

/// How this program names itself to token services.
const CLIENT_ID: &str = "assay";

/// A token, ready to be sent.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    /// What it allows, where it is one that tells: `repository:team/app:pull`.
    pub(super) granted: Option<Vec<String>>,
}

type Slot = Arc<tokio::sync::Mutex<Option<(Instant, Result<Token, Failure>)>>>;

/// Realm, service, scope, and the credential's source and registry.
type Key = (String, String, String, String);

/// Those that there are.
#[derive(Default)]
pub(super) struct Tokens(Mutex<BTreeMap<Key, Slot>>);

#[derive(Deserialize)]
struct Given {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Registries {
    /// A token for `scope` by `credential`, or by nobody's.
    pub(super) async fn token(
        &self,
        registry: &Asked,
        bearer: &Bearer,
        scope: &str,
        credential: Option<&Credential>,
    ) -> Result<Token, Failure> {
        let who =
            credential.map_or_else(String::new, |it| format!("{}\n{}", it.source, it.written));
        let key = (
            bearer.realm.clone(),
            bearer.service.clone(),
            scope.to_owned(),
            who,
        );
        let slot = Arc::clone(locked(&self.tokens.0).entry(key).or_default());
        let mut slot = slot.lock().await;
        if let Some((until, known)) = slot.as_ref()
            && Instant::now() < *until
        {
            return known.clone();
        }
        let asked = self
            .ask_for_token(registry, bearer, scope, credential)
            .await;
        let (life, result) = match asked {
            Ok((token, life)) => (life.saturating_sub(MARGIN), Ok(token)),
            // What was refused is refused for the whole run.
            Err(failure) => (Duration::from_hours(24), Err(failure)),
        };
        *slot = Some((Instant::now() + life, result.clone()));
        result
    }

    async fn ask_for_token(
        &self,
        registry: &Asked,
        bearer: &Bearer,
        scope: &str,
        credential: Option<&Credential>,
    ) -> Result<(Token, Duration), Failure> {
        let refuse = |reason, text: String| registry.failure(Stage::Token, reason, text);
        let realm =
            realm(registry, &bearer.realm).map_err(|text| refuse(Reason::BadChallenge, text))?;
        let address = address(&realm).map_err(|text| refuse(Reason::BadChallenge, text))?;
        let service = self.server(&address, Role::TokenService, registry.trust());
        let mut query = realm.query().map(str::to_owned).unwrap_or_default();
        add(&mut query, "service", &bearer.service);
        for scope in scope.split(' ') {
            add(&mut query, "scope", scope);
        }
        let mut basic = None;
        let mut form = None;
        match credential {
            Some(credential) if !credential.identity_token.is_empty() => {
                form = Some(self::form(
                    bearer,
                    scope,
                    &[
                        ("grant_type", "refresh_token"),
                        ("refresh_token", &credential.identity_token),
                    ],
                ));
            }
            Some(credential) => {
                add(&mut query, "account", &credential.user);
                basic = Some(self::basic(credential));
            }
            None => {}
        }
        let mut question = Question {
            authorization: basic.as_ref(),
            ..Question::get(
                format!("{}?{query}", realm.path()),
                Stage::Token,
                Kind::Token,
            )
        };
        if form.is_some() {
            question.path = realm.path().to_owned();
            question.method = Method::POST;
            question.form = form;
        }
        let mut answer = self.ask(&service, "", &question).await?;
        if let Some(credential) = credential
            && matches!(answer.status, 404 | 405)
            && credential.identity_token.is_empty()
        {
            // A service that knows OAuth2 alone.
            question.path = realm.path().to_owned();
            question.method = Method::POST;
            question.authorization = None;
            question.form = Some(self::form(
                bearer,
                scope,
                &[
                    ("grant_type", "password"),
                    ("username", &credential.user),
                    ("password", &credential.password),
                ],
            ));
            answer = self.ask(&service, "", &question).await?;
        }
        if answer.status != 200 {
            let reason = match (answer.status, credential) {
                (401, Some(_)) => Reason::Unauthorized,
                (401, None) => Reason::CredentialsMissing,
                (403, _) => Reason::Denied,
                (429, _) => Reason::RateLimited,
                (500.., _) => Reason::ServerError,
                _ => Reason::TokenRefused,
            };
            let text = format!("no token for {scope}: {}", errors::said(&answer));
            return Err(Failure {
                status: Some(answer.status),
                code: errors::code(&answer),
                ..service.failure(Stage::Token, reason, text)
            });
        }
        let malformed = |text: &str| service.failure(Stage::Token, Reason::TokenRefused, text);
        let given: Given = serde_json::from_slice(&answer.body)
            .map_err(|_| malformed("its answer is no JSON with a token"))?;
        let text = if given.token.is_empty() {
            given.access_token
        } else {
            given.token
        };
        let mut header = HeaderValue::from_str(&format!("Bearer {text}"))
            .map_err(|_| malformed("its token cannot be sent in a header"))?;
        if text.is_empty() {
            return Err(malformed("its answer holds no token"));
        }
        header.set_sensitive(true);
        let token = Token {
            header,
            granted: granted(&text),
        };
        let life = given.expires_in.unwrap_or(DEFAULT_LIFE);
        Ok((token, Duration::from_secs(life.min(86_400))))
    }
}

/// The service's address, which is not trusted: no credential goes in clear where the registry itself is asked by HTTPS,
/// nor to where clouds keep a machine's credentials.
fn realm(registry: &Asked, realm: &str) -> Result<Url, String> {
    let own = super::link::shown(&registry.address);
    let url = Url::parse(realm)
        .or_else(|_| Url::parse(&own).and_then(|base| base.join(realm)))
        .map_err(|error| format!("the realm of its challenge is no address: {error}"))?;
    let is_tls = url.scheme() == "https";
    let registry_is_tls = registry.address.scheme_str() == Some("https");
    if !is_tls && (url.scheme() != "http" || registry_is_tls) {
        return Err(format!(
            "it sends to a token service by {}, where credentials would go in clear",
            url.scheme()
        ));
    }
    let host = url.host_str().unwrap_or_default();
    let parsed = host.trim_matches(['[', ']']).parse::<IpAddr>();
    if host.is_empty() || parsed.is_ok_and(is_link_local) {
        return Err("it sends to a token service at a link-local address".to_owned());
    }
    Ok(url)
}

/// Scheme, host and port of an address, without user and password.
pub(super) fn address(url: &Url) -> Result<Uri, String> {
    let host = url.host_str().unwrap_or_default();
    let text = match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    };
    text.parse()
        .map_err(|_| "the address has no host that can be asked".to_owned())
}

fn add(query: &mut String, name: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    let joint = if query.is_empty() { "" } else { "&" };
    let _ = write!(query, "{joint}{name}={}", segment(value));
}

fn form(bearer: &Bearer, scope: &str, fields: &[(&str, &str)]) -> String {
    let mut form = String::new();
    for (name, value) in fields {
        add(&mut form, name, value);
    }
    add(&mut form, "service", &bearer.service);
    add(&mut form, "scope", scope);
    add(&mut form, "client_id", CLIENT_ID);
    form
}

/// Name and password as a header.
pub(super) fn basic(credential: &Credential) -> HeaderValue {
    let pair = format!("{}:{}", credential.user, credential.password);
    let text = format!("Basic {}", STANDARD.encode(pair));
    // Base64 has only characters that a header may hold.
    let mut header = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Basic"));
    header.set_sensitive(true);
    header
}

#[derive(Deserialize)]
struct Claims {
    access: Vec<Access>,
}

#[derive(Deserialize)]
struct Access {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    actions: Vec<String>,
}

/// What a token says that it allows, where it is a JSON web token of the specification's form. It is not verified:
/// nothing is decided by it, it explains a refusal.
fn granted(token: &str) -> Option<Vec<String>> {
    let claims = token.split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: Claims = serde_json::from_slice(&bytes).ok()?;
    let shown = claims.access.into_iter().take(8).map(|access| {
        let text = format!(
            "{}:{}:{}",
            access.kind,
            access.name,
            access.actions.join(",")
        );
        crate::web_proxy::printable(&text)
    });
    Some(shown.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_token_allows() {
        let claims = URL_SAFE_NO_PAD
            .encode(r#"{"access":[{"type":"repository","name":"a/b","actions":["pull"]}]}"#);
        let allowed = granted(&format!("e30.{claims}.c2ln"));
        assert_eq!(allowed, Some(vec!["repository:a/b:pull".to_owned()]));
        let none = URL_SAFE_NO_PAD.encode(r#"{"access":[]}"#);
        assert_eq!(granted(&format!("e30.{none}.c2ln")), Some(Vec::new()));
        for token in ["", "opaque", "a.b.c", "a.e30.c"] {
            assert_eq!(granted(token), None, "{token}");
        }
    }

    #[test]
    fn nothing_of_a_credential_is_shown() {
        let credential = Credential {
            source: "Secret a/b".into(),
            written: "r.io".into(),
            key: "r.io".into(),
            user: "user".into(),
            password: "hunter2".into(),
            identity_token: String::new(),
        };
        assert_eq!(format!("{:?}", basic(&credential)), "Sensitive");
    }
}

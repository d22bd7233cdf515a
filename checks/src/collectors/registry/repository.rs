//! A repository at a registry or mirror: requests with whatever proves that we may make them, and redirects that lose it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use bundle::collected::registry::{Failure, Reason, Role, Stage};
use http::header::LOCATION;
use http::{HeaderValue, Method};
use reqwest::Url;

use super::challenge::{Bearer, Challenge, challenges};
use super::client::{Asked, Registries};
use super::credentials::Credential;
use super::errors;
use super::link::shown;
use super::question::{Answer, Kind, Question};
use super::token::{address, basic};
use crate::collector::locked;
use crate::fetch::is_link_local;

/// Redirects that are followed.
const REDIRECTS: usize = 5;

/// Where and as whom an image is asked for.
pub(super) struct Repository<'a> {
    pub(super) registries: &'a Registries,
    pub(super) server: Arc<Asked>,
    /// `/v2`
    pub(super) root: String,
    pub(super) name: String,
    /// `ns=docker.io`, or nothing.
    pub(super) query: String,
    /// Those that fit, in the order in which they are tried; with none nobody is named.
    pub(super) credentials: Vec<&'a Credential>,
    /// Of each credential that was used, by source and registry: whether it was accepted.
    pub(super) outcomes: &'a Mutex<BTreeMap<(String, String), bool>>,
}

/// What is asked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) method: &'a Method,
    /// `manifests/1.2`, `blobs/sha256:…`
    pub(super) path: &'a str,
    pub(super) accept: Option<&'static str>,
    pub(super) first_byte: bool,
    pub(super) cap: usize,
    /// `pull`, `pull,push`
    pub(super) actions: &'a str,
    pub(super) stage: Stage,
    pub(super) kind: Kind,
}

impl Repository<'_> {
    /// The root of the API, as it is asked for once.
    pub(super) fn api(&self) -> String {
        format!("{}/", self.root)
    }

    fn path(&self, path: &str) -> String {
        let query = if self.query.is_empty() {
            String::new()
        } else if path.contains('?') {
            format!("&{}", self.query)
        } else {
            format!("?{}", self.query)
        };
        format!("{}/{}/{path}{query}", self.root, self.name)
    }

    /// Asks with each credential until one is accepted. Redirects are followed.
    pub(super) async fn ask(&self, wanted: Wanted<'_>) -> Result<Answer, Failure> {
        let nobody = [None];
        let some: Vec<Option<&Credential>> = self.credentials.iter().map(|it| Some(*it)).collect();
        let all = if some.is_empty() { &nobody[..] } else { &some };
        let mut last = None;
        for credential in all {
            // The way to a server is a large future, and there are many at once.
            let asked = Box::pin(self.ask_as(wanted, *credential)).await;
            match asked {
                Err(failure) if is_about_who(failure.reason) => {
                    if let Some(credential) = credential {
                        self.used(credential, false);
                    }
                    last = Some(failure);
                }
                Ok((answer, was_used)) => {
                    if let Some(credential) = credential.filter(|_| was_used) {
                        self.used(credential, true);
                    }
                    return Ok(answer);
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(last.unwrap_or_default())
    }

    /// What was accepted once is good.
    fn used(&self, credential: &Credential, accepted: bool) {
        let key = (credential.source.clone(), credential.written.clone());
        *locked(self.outcomes).entry(key).or_default() |= accepted;
    }

    /// The flag says whether the credential was sent anywhere.
    async fn ask_as(
        &self,
        wanted: Wanted<'_>,
        credential: Option<&Credential>,
    ) -> Result<(Answer, bool), Failure> {
        let open = self.registries.open(&self.server, &self.api()).await?;
        let own_scope = format!("repository:{}:{}", self.name, wanted.actions);
        let mut granted = None;
        let mut used = false;
        let mut header = match choose(&open.challenges) {
            Chosen::Nothing => None,
            Chosen::Basic => {
                used = credential.is_some();
                credential.map(basic)
            }
            Chosen::Bearer(bearer) => {
                used = credential.is_some();
                let token = self
                    .registries
                    .token(&self.server, bearer, &own_scope, credential);
                let token = token.await?;
                granted = token.granted;
                Some(token.header)
            }
            Chosen::Unspoken(schemes) => {
                let text = format!(
                    "it wants clients to prove themselves by {schemes}, which is not spoken here"
                );
                return Err(self
                    .server
                    .failure(Stage::Token, Reason::BadChallenge, text));
            }
        };
        let mut answer = self.once(wanted, header.as_ref()).await?;
        if answer.status == 401 {
            // What this very answer asks for may be more than what the root of the API said.
            let asked = challenges(&answer.headers);
            let again = match choose(&asked) {
                Chosen::Bearer(bearer) => {
                    let is_new = !bearer.scope.is_empty() && bearer.scope != own_scope;
                    if is_new || header.is_none() {
                        let scope = if bearer.scope.is_empty() {
                            &own_scope
                        } else {
                            &bearer.scope
                        };
                        let token = self
                            .registries
                            .token(&self.server, bearer, scope, credential);
                        let token = token.await?;
                        granted = token.granted;
                        Some(token.header)
                    } else {
                        None
                    }
                }
                Chosen::Basic if header.is_none() => credential.map(basic),
                _ => None,
            };
            if again.is_some() {
                used = credential.is_some();
                header = again;
                answer = self.once(wanted, header.as_ref()).await?;
            }
        }
        if matches!(answer.status, 401 | 403) && !answer.is_of_another {
            return Err(self.refused(&answer, wanted, credential, granted.as_deref()));
        }
        Ok((answer, used))
    }

    fn refused(
        &self,
        answer: &Answer,
        wanted: Wanted<'_>,
        credential: Option<&Credential>,
        granted: Option<&[String]>,
    ) -> Failure {
        let asked = challenges(&answer.headers);
        let is_too_little = asked.iter().any(|it| matches!(it, Challenge::Bearer(Bearer { error, .. }) if error == "insufficient_scope"));
        let needs = |granted: &[String]| {
            !wanted.actions.split(',').all(|action| {
                granted.iter().any(|it| {
                    let actions = it.rsplit(':').next().unwrap_or_default();
                    actions.split(',').any(|it| it == action || it == "*")
                })
            })
        };
        let lacks = granted.is_some_and(needs);
        let reason = match (answer.status, credential) {
            (403, _) => Reason::Denied,
            (_, None) => Reason::CredentialsMissing,
            (_, Some(_)) if is_too_little || lacks => Reason::Denied,
            (_, Some(_)) => Reason::Unauthorized,
        };
        let who = credential.map_or_else(
            || "without credentials".to_owned(),
            |it| format!("with {} for {}", it.source, it.written),
        );
        let token = match granted {
            Some([]) => ", with a token that allows nothing".to_owned(),
            Some(granted) => format!(", with a token for {}", granted.join(" ")),
            None => String::new(),
        };
        let what = wanted.path.split('?').next().unwrap_or_default();
        let text = format!(
            "{} {}/{what} {who}{token}: {}",
            wanted.method,
            self.name,
            errors::said(answer)
        );
        Failure {
            status: Some(answer.status),
            code: errors::code(answer),
            ..self.server.failure(wanted.stage, reason, text)
        }
    }

    /// One request, and those that its redirects make of it.
    async fn once(
        &self,
        wanted: Wanted<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, Failure> {
        let question = |path: String, authorization, kind| Question {
            method: wanted.method.clone(),
            path,
            authorization,
            accept: wanted.accept,
            first_byte: wanted.first_byte,
            form: None,
            cap: wanted.cap,
            stage: wanted.stage,
            kind,
        };
        let first = question(self.path(wanted.path), authorization, wanted.kind);
        let mut from = Url::parse(&format!("{}{}", shown(&self.server.address), first.path))
            .map_err(|error| self.server.failure(wanted.stage, Reason::Other, error))?;
        let mut answer = self
            .registries
            .ask(&self.server, &self.api(), &first)
            .await?;
        let (mut hops, mut at_home) = (0, true);
        while answer.is_redirect() {
            hops += 1;
            let location = answer.headers.get(LOCATION).and_then(|it| it.to_str().ok());
            let next = location.and_then(|it| from.join(it).ok());
            let refuse = |text: &str| {
                self.server
                    .failure(Stage::Redirect, Reason::RedirectRefused, text)
            };
            let Some(next) = next.filter(|it| matches!(it.scheme(), "http" | "https")) else {
                return Err(refuse("it redirects to nowhere (Location)"));
            };
            if hops > REDIRECTS {
                return Err(refuse("it redirects more than 5 times"));
            }
            let host = next.host_str().unwrap_or_default();
            let parsed = host.trim_matches(['[', ']']).parse::<IpAddr>();
            if parsed.is_ok_and(is_link_local) {
                return Err(refuse("it redirects to a link-local address"));
            }
            let path = match next.query() {
                Some(query) => format!("{}?{query}", next.path()),
                None => next.path().to_owned(),
            };
            at_home &= next.origin() == from.origin();
            answer = if at_home {
                // The registry itself: it knows what it was given.
                let further = question(path, authorization, Kind::Redirect);
                self.registries
                    .ask(&self.server, &self.api(), &further)
                    .await?
            } else {
                let target = address(&next).map_err(|text| refuse(&text))?;
                let target = self
                    .registries
                    .server(&target, Role::Redirect, self.server.trust());
                let further = question(path, None, Kind::Redirect);
                self.registries
                    .ask(&target, "", &further)
                    .await
                    .map_err(|inner| {
                        let own = self.server.address.authority().map_or("", |it| it.as_str());
                        Failure {
                            reason: Reason::RedirectUnreachable,
                            stage: Stage::Redirect,
                            message: format!(
                                "{own} sends to another server, which cannot be reached: {}",
                                inner.message
                            ),
                            ..inner
                        }
                    })?
            };
            answer.is_of_another = !at_home;
            from = next;
        }
        Ok(answer)
    }
}

fn is_about_who(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Unauthorized | Reason::Denied | Reason::CredentialsMissing | Reason::TokenRefused
    )
}

enum Chosen<'a> {
    Nothing,
    Basic,
    Bearer(&'a Bearer),
    Unspoken(String),
}

/// Tokens before passwords, as Docker and containerd have it.
fn choose(challenges: &[Challenge]) -> Chosen<'_> {
    let bearer = challenges.iter().find_map(|it| match it {
        Challenge::Bearer(bearer) => Some(bearer),
        _ => None,
    });
    if let Some(bearer) = bearer {
        return Chosen::Bearer(bearer);
    }
    if challenges.contains(&Challenge::Basic) {
        return Chosen::Basic;
    }
    if challenges.is_empty() {
        return Chosen::Nothing;
    }
    let schemes: Vec<&str> = challenges.iter().map(Challenge::scheme).collect();
    Chosen::Unspoken(schemes.join(", "))
}

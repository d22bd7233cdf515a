//! Requests to registries: within a limit for all and one for each server, repeated where a server asks for patience or a
//! connection breaks, each with a deadline. Redirects are for the caller to follow.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bundle::collected::registry::{Failure, RateLimit, Reason, Role, Server, Stage, State};
use http::header::{ACCEPT, AUTHORIZATION, RANGE, RETRY_AFTER};
use http::{Method, Uri};
use reqwest::Client;
use reqwest::redirect::Policy;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};

use super::challenge::{Challenge, challenges};
use super::errors;
use super::link::{Way, mark, shown};
use super::proxy::Proxies;
use super::question::{Answer, Counts, Kind, Question, is_for_https, rate_limit, retry_after};
use super::tls::Trust;
use super::token::Tokens;
use crate::cluster::{USER_AGENT, chain};
use crate::collector::locked;

/// Tries of a request in all.
const TRIES: u32 = 5;

/// The longest wait before a request is repeated, whatever the server asks for.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// What holds for all requests.
pub(super) struct Limits {
    /// One step: a name, a connection, a handshake, an answer.
    pub(super) step: Duration,
    /// When everything ends.
    pub(super) end: Instant,
    /// Requests at a time.
    pub(super) all: usize,
    /// Requests at a time to one server.
    pub(super) per_server: usize,
}

/// Every server that is asked, and what is known of it.
pub(super) struct Registries {
    pub(super) limits: Limits,
    proxies: Proxies,
    all: Semaphore,
    servers: Mutex<BTreeMap<(String, Role, usize), Arc<Asked>>>,
    pub(super) tokens: Tokens,
    pub(super) counts: Counts,
}

/// A server.
pub(super) struct Asked {
    /// `https://registry.example.com:5000`
    pub(super) address: Uri,
    pub(super) role: Role,
    trust: Arc<Trust>,
    permits: Semaphore,
    /// The way there, and how it wants clients to prove themselves: found out once.
    opened: OnceCell<Result<Open, Failure>>,
    seen: Mutex<Server>,
    /// Nothing is asked before.
    patience: Mutex<Option<Instant>>,
}

/// A server that answers.
pub(super) struct Open {
    client: Client,
    pub(super) challenges: Vec<Challenge>,
}

impl Registries {
    pub(super) fn new(limits: Limits, proxies: Proxies) -> Self {
        Self {
            all: Semaphore::new(limits.all.max(1)),
            limits,
            proxies,
            servers: Mutex::default(),
            tokens: Tokens::default(),
            counts: Counts::default(),
        }
    }

    /// The server at an address, the same each time. Another trust is another server: its certificate is judged anew.
    pub(super) fn server(&self, address: &Uri, role: Role, trust: &Arc<Trust>) -> Arc<Asked> {
        let key = (shown(address), role, Arc::as_ptr(trust).addr());
        let mut servers = locked(&self.servers);
        let server = servers.entry(key).or_insert_with(|| {
            Arc::new(Asked {
                address: address.clone(),
                role,
                trust: Arc::clone(trust),
                permits: Semaphore::new(self.limits.per_server.max(1)),
                opened: OnceCell::new(),
                seen: Mutex::new(Server {
                    address: shown(address),
                    role,
                    ..Server::default()
                }),
                patience: Mutex::default(),
            })
        });
        Arc::clone(server)
    }

    /// What was seen of each server that was asked, registries first. Of one whose way was not walked to an end there is
    /// nothing to tell.
    pub(super) fn seen(&self) -> Vec<Server> {
        let servers = locked(&self.servers);
        let mut seen: Vec<Server> = servers
            .values()
            .filter(|it| it.opened.initialized())
            .map(|it| locked(&it.seen).clone())
            .collect();
        seen.sort_by(|one, other| (one.role, &one.address).cmp(&(other.role, &other.address)));
        seen
    }

    /// Walks the way to a server, once. A registry and a mirror are asked for their API there.
    pub(super) async fn open<'a>(
        &self,
        server: &'a Asked,
        root: &str,
    ) -> Result<&'a Open, Failure> {
        let opened = server.opened.get_or_init(|| self.walk(server, root)).await;
        opened.as_ref().map_err(Clone::clone)
    }

    async fn walk(&self, server: &Asked, root: &str) -> Result<Open, Failure> {
        let proxy = self.proxies.of(&server.address);
        let way = Way {
            address: &server.address,
            proxy: proxy.as_ref(),
            trust: &server.trust,
            step: self.limits.step,
        };
        let mut seen = locked(&server.seen).clone();
        seen.proxy = proxy.as_ref().map(ToString::to_string).unwrap_or_default();
        let walked = async {
            way.walk(&mut seen).await?;
            let client = self
                .client(server)
                .map_err(|text| server.failure(Stage::Tls, Reason::Other, text))?;
            if !matches!(server.role, Role::Registry | Role::Mirror) {
                mark(&mut seen, Stage::Api, State::None, "");
                return Ok((client, Vec::new()));
            }
            let question = Question::get(root, Stage::Api, Kind::Other);
            let answer = self.send(server, &client, &question).await?;
            let challenges = Self::api(server, &answer)?;
            seen.challenges = challenges.iter().map(|it| it.scheme().to_owned()).collect();
            mark(
                &mut seen,
                Stage::Api,
                State::Holds,
                &format!("{} to {root}", answer.status),
            );
            Ok::<_, Failure>((client, challenges))
        };
        let walked = walked.await;
        if let Err(failure) = &walked {
            mark(&mut seen, failure.stage, State::Broken, &failure.message);
            seen.failure = Some(failure.clone());
        }
        // What was told of limits meanwhile stays.
        seen.rate_limit = locked(&server.seen).rate_limit.clone();
        *locked(&server.seen) = seen;
        walked.map(|(client, challenges)| Open { client, challenges })
    }

    /// What the API's root says.
    fn api(server: &Asked, answer: &Answer) -> Result<Vec<Challenge>, Failure> {
        let refuse = |reason, text: String| {
            let mut failure = server.failure(Stage::Api, reason, text);
            failure.status = Some(answer.status);
            Err(failure)
        };
        match answer.status {
            200 => Ok(Vec::new()),
            401 => {
                let found = challenges(&answer.headers);
                if found.is_empty() {
                    let text = "401 without a challenge that can be read (WWW-Authenticate)";
                    return refuse(Reason::BadChallenge, text.to_owned());
                }
                Ok(found)
            }
            400 if is_for_https(&answer.body) => refuse(
                Reason::HttpsOnHttpPort,
                "it speaks HTTPS, and was asked in clear".to_owned(),
            ),
            403 => refuse(Reason::Denied, errors::said(answer)),
            status if status >= 500 => refuse(Reason::ServerError, errors::said(answer)),
            status => refuse(
                Reason::NotARegistry,
                format!("{status} to GET /v2/, which a registry answers with 200 or 401"),
            ),
        }
    }

    fn client(&self, server: &Asked) -> Result<Client, String> {
        let tls = server.trust.config()?;
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(self.limits.step)
            .read_timeout(self.limits.step)
            .pool_max_idle_per_host(self.limits.per_server)
            .tls_backend_preconfigured(tls);
        // containerd sends them to token services too; whoever a registry sends to for a layer gets none.
        if server.role != Role::Redirect {
            builder = builder.default_headers(server.trust.headers().clone());
        }
        if let Some(found) = self.proxies.of(&server.address) {
            let mut proxy = reqwest::Proxy::all(found.to_string())
                .map_err(|_| format!("the proxy {found} cannot be used"))?;
            if let Some(authorization) = found.authorization {
                proxy = proxy.custom_http_auth(authorization);
            }
            builder = builder.proxy(proxy);
        }
        builder
            .build()
            .map_err(|error| format!("no client can be made: {}", chain(&error)))
    }

    /// Asks a server to which the way is open.
    pub(super) async fn ask(
        &self,
        server: &Asked,
        root: &str,
        question: &Question<'_>,
    ) -> Result<Answer, Failure> {
        let open = self.open(server, root).await?;
        self.send(server, &open.client, question).await
    }

    async fn send(
        &self,
        server: &Asked,
        client: &Client,
        question: &Question<'_>,
    ) -> Result<Answer, Failure> {
        let mut tries = 0;
        loop {
            tries += 1;
            let patience = *locked(&server.patience);
            if let Some(until) = patience {
                sleep_until(until).await;
            }
            let answered = {
                // Permits are of semaphores that are never closed.
                let _own = server.permits.acquire().await;
                let _all = self.all.acquire().await;
                self.counts.add(question.kind);
                self.once(server, client, question).await
            };
            let wait = match &answered {
                Ok(answer) if answer.status == 429 => self.wait(server, answer, tries)?,
                Err((_, true)) if tries < 3 => Duration::from_millis(100),
                _ => return answered.map_err(|(failure, _)| failure),
            };
            self.counts.repeated.fetch_add(1, Ordering::Relaxed);
            let until = Instant::now() + wait;
            let mut patience = locked(&server.patience);
            *patience = Some(patience.map_or(until, |earlier| earlier.max(until)));
        }
    }

    /// How long a server wants us to wait, if that is not too long.
    fn wait(&self, server: &Asked, answer: &Answer, tries: u32) -> Result<Duration, Failure> {
        let asked = answer
            .headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(retry_after);
        let wait = asked.unwrap_or_else(|| Duration::from_secs(1 << tries.min(5)));
        let fits = wait <= LONGEST_WAIT && Instant::now() + wait < self.limits.end;
        if tries < TRIES && fits {
            return Ok(wait);
        }
        let asked = asked.map_or_else(String::new, |it| {
            format!(" (Retry-After: {} s)", it.as_secs())
        });
        let text = format!("429 too many requests{asked}, asked {tries} times");
        Err(Failure {
            status: Some(429),
            ..server.failure(Stage::Api, Reason::RateLimited, text)
        })
    }

    /// The flag of an error says whether another try may help.
    async fn once(
        &self,
        server: &Asked,
        client: &Client,
        question: &Question<'_>,
    ) -> Result<Answer, (Failure, bool)> {
        let url = format!("{}{}", shown(&server.address), question.path);
        let mut request = client.request(question.method.clone(), url);
        if let Some(accept) = question.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(authorization) = question.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if question.first_byte {
            request = request.header(RANGE, "bytes=0-0");
        }
        if let Some(form) = &question.form {
            let form_type = "application/x-www-form-urlencoded";
            request = request
                .header(http::header::CONTENT_TYPE, form_type)
                .body(form.clone());
        }
        let asked = async {
            let mut response = request.send().await?;
            let status = response.status().as_u16();
            let headers = response.headers().clone();
            let mut body = Vec::new();
            while question.method != Method::HEAD
                && body.len() <= question.cap
                && let Some(chunk) = response.chunk().await?
            {
                let room = (question.cap + 1).saturating_sub(body.len());
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if question.first_byte {
                    break;
                }
            }
            Ok::<_, reqwest::Error>(Answer {
                status,
                headers,
                body,
                is_of_another: false,
            })
        };
        // Each read has its own limit; this one is for a server that sends drop by drop.
        let answered = timeout(self.limits.step * 3, asked).await;
        let path = question.path.split('?').next().unwrap_or_default();
        let what = format!("{} {path}", question.method);
        let step = self.limits.step.as_secs_f32();
        let answer = match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if error.is_timeout() => {
                let text = format!("{what} was not answered within {step} s");
                return Err((
                    server.failure(question.stage, Reason::NoAnswer, text),
                    false,
                ));
            }
            Ok(Err(error)) => {
                // The address may hold a signature.
                let text = format!("{what}: {}", chain(&error.without_url()));
                let failure = server.failure(question.stage, Reason::ClosedByServer, text);
                return Err((failure, question.method != Method::POST));
            }
            Err(_) => {
                let text = format!("{what} was not answered whole within {} s", step * 3.0);
                return Err((
                    server.failure(question.stage, Reason::NoAnswer, text),
                    false,
                ));
            }
        };
        if let Some(limit) = rate_limit(&answer.headers) {
            locked(&server.seen).rate_limit = Some(limit);
        }
        Ok(answer)
    }
}

impl Asked {
    pub(super) fn failure(
        &self,
        stage: Stage,
        reason: Reason,
        text: impl std::fmt::Display,
    ) -> Failure {
        let host = self.address.authority().map_or("", |it| it.as_str());
        Failure {
            reason,
            stage,
            server: shown(&self.address),
            message: format!("{host}: {text}"),
            ..Failure::default()
        }
    }

    pub(super) fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    pub(super) fn rate_limit(&self) -> Option<RateLimit> {
        locked(&self.seen).rate_limit.clone()
    }
}

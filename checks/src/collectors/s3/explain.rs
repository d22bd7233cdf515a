//! Why a signature was refused. Where the answer has the server's canonical request, it is compared with that of the
//! request as it was sent; where not, experiments say what makes the difference.

use bundle::collected::s3::{Cause, Change, Explanation, Reason, Style, Trial, Way};
use http::{HeaderName, header};

use super::answer::error_body;
use super::canonical::{Canonical, cause};
use super::probe::Probe;
use super::settings::Keys;
use super::signing::{Draft, Payload};
use super::wire::{Exchange, Sent};

/// Hosts that are tried in place of the one that is sent.
const GUESSES: usize = 8;

/// Explains the refusal of `exchange`.
pub(super) async fn explain(probe: &Probe, exchange: &Exchange) -> Explanation {
    match compared(exchange) {
        Some(found) => found,
        None => Experiments::run(probe, exchange).await,
    }
}

/// What the server itself says that it saw.
fn compared(exchange: &Exchange) -> Option<Explanation> {
    let answer = exchange.answer.as_ref().ok()?;
    let body = error_body(&answer.body)?;
    let seen = Canonical::parse(&body.canonical_request)?;
    let changes = Canonical::of(&exchange.sent)?.changes(&seen);
    Some(Explanation {
        cause: cause(&changes),
        compared: true,
        changes,
        trials: Vec::new(),
    })
}

/// Requests that differ from the refused one in one thing each.
struct Experiments<'a> {
    probe: &'a Probe,
    found: Explanation,
}

impl<'a> Experiments<'a> {
    async fn run(probe: &'a Probe, exchange: &Exchange) -> Explanation {
        let mut experiments = Self {
            probe,
            found: Explanation::default(),
        };
        let cause = experiments.narrow(&exchange.sent).await;
        experiments.found.cause = cause;
        experiments.found
    }

    /// Whether the signature was accepted; what else is wrong does not matter here.
    async fn tries(&mut self, what: &str, probe: &Probe, draft: &Draft, way: Way) -> bool {
        let exchange = probe.ask(draft, way).await;
        let accepted = match exchange.problem() {
            None => true,
            Some((failure, _)) => match failure.reason {
                Reason::Signature => false,
                Reason::AccessDenied => !failure.code.is_empty(),
                _ => failure.status == Some(404),
            },
        };
        self.found.trials.push(Trial {
            what: what.to_owned(),
            accepted,
            answer: exchange.brief(),
        });
        accepted
    }

    async fn narrow(&mut self, sent: &Sent) -> Cause {
        let probe = self.probe;
        let plain = Draft::get(
            &probe.settings,
            "",
            vec![("list-type", "2".to_owned()), ("max-keys", "1".to_owned())],
        );
        if self
            .tries(
                "a plain list, with the fewest headers",
                probe,
                &plain,
                Way::V4Header,
            )
            .await
        {
            return self.of_this_request(sent).await;
        }
        if let Some(keys) = trimmed(probe.settings.keys.as_ref()) {
            let without = Probe {
                settings: probe.settings.with_keys(Some(keys)),
                ..probe.clone()
            };
            let what = "the keys without the blanks around them";
            if self.tries(what, &without, &plain, Way::V4Header).await {
                return Cause::SecretWithBlanks;
            }
        }
        if let Some(guess) = self.other_host(&plain).await {
            let sent = host(sent);
            self.found.changes.push(Change {
                element: "header host".to_owned(),
                sent,
                seen: guess,
            });
            return Cause::HostChanged;
        }
        let bare = Draft::get(&probe.settings, "", Vec::new());
        if self
            .tries("without a query", probe, &bare, Way::V4Header)
            .await
        {
            return Cause::QueryChanged;
        }
        // Beside the path this one covers the Host header only.
        let what = "in the address, which covers the Host header and no other";
        if self.tries(what, probe, &bare, Way::V4Presigned).await {
            return Cause::HeaderChanged;
        }
        if probe.settings.proxy.is_some() {
            let mut settings = probe.settings.clone();
            settings.proxy = None;
            if let Ok(direct) = probe.with(settings)
                && self
                    .tries("without the proxy", &direct, &plain, Way::V4Header)
                    .await
            {
                return Cause::SomethingChanged;
            }
        }
        if let Some(endpoint) = &probe.settings.direct {
            let draft = Draft {
                endpoint: endpoint.clone(),
                style: Style::Path,
                ..plain.clone()
            };
            let mut settings = probe.settings.clone();
            settings.proxy = None;
            if let Ok(direct) = probe.with(settings) {
                let what = "at directEndpoint, without what stands in front";
                if self.tries(what, &direct, &draft, Way::V4Header).await {
                    return Cause::SomethingChanged;
                }
                if self.last_says("SignatureDoesNotMatch") {
                    return Cause::WrongSecret;
                }
            }
        }
        let what = "signed by version 2, which covers neither the Host header nor the query";
        if self.tries(what, probe, &plain, Way::V2Header).await {
            // The path is covered, and right. Each way that covers the Host header covers the query, too.
            return Cause::SomethingChanged;
        }
        if self.last_says("SignatureDoesNotMatch") {
            return Cause::WrongSecret;
        }
        Cause::Unknown
    }

    /// Whether the last was refused for its signature, not for what it asks for.
    fn last_is_refused(&self) -> bool {
        self.last_says("SignatureDoesNotMatch") || self.last_says("AccessDenied")
    }

    fn last_says(&self, code: &str) -> bool {
        self.found
            .trials
            .last()
            .is_some_and(|trial| trial.answer.contains(code))
    }

    /// A request that is refused although another by the same keys is let in.
    async fn of_this_request(&mut self, sent: &Sent) -> Cause {
        let probe = self.probe;
        if sent.method == http::Method::PUT || sent.method == http::Method::POST {
            return self.of_this_upload(sent).await;
        }
        let path = sent.uri.path();
        let is_odd = path.contains('%') || path.contains("//");
        if is_odd {
            let key = format!("{}plain", probe.folder());
            let draft = Draft::get(&probe.settings, &key, Vec::new());
            if self
                .tries("a key without odd characters", probe, &draft, Way::V4Header)
                .await
            {
                self.found.changes.push(Change {
                    element: "path".to_owned(),
                    sent: path.to_owned(),
                    seen: String::new(),
                });
                return Cause::PathChanged;
            }
        }
        if sent.uri.query().is_some() {
            return Cause::QueryChanged;
        }
        let extra = extra_headers(sent);
        if extra.is_empty() {
            return Cause::SomethingChanged;
        }
        self.found
            .changes
            .extend(extra.into_iter().map(|name| Change {
                element: format!("header {name}"),
                ..Change::default()
            }));
        Cause::HeaderChanged
    }

    /// An upload that is refused although reading is let in: its signed headers are tried one by one, on an object that
    /// is not there, so that nothing is written.
    async fn of_this_upload(&mut self, sent: &Sent) -> Cause {
        let probe = self.probe;
        let key = format!("{}x", probe.folder());
        let mut plain = Draft::get(&probe.settings, &key, Vec::new());
        plain.payload = Payload::Unsigned;
        let what = "a GET of a key in the same folder, its payload not signed";
        if !self.tries(what, probe, &plain, Way::V4Header).await {
            return Cause::PathChanged;
        }
        for name in extra_headers(sent) {
            let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
                continue;
            };
            let value = sent.headers.get(&name).and_then(|it| it.to_str().ok());
            // A request without a body has its own length.
            let Some(value) = value.filter(|_| name != header::CONTENT_LENGTH) else {
                continue;
            };
            let mut draft = plain.clone();
            draft.headers.push((name.clone(), value.to_owned()));
            let what = format!("the same with the header {name}, signed");
            if !self.tries(&what, probe, &draft, Way::V4Header).await && self.last_is_refused() {
                self.found.changes.push(Change {
                    element: format!("header {name}"),
                    sent: value.to_owned(),
                    seen: String::new(),
                });
            }
        }
        if self.found.changes.is_empty() {
            Cause::PayloadChanged
        } else {
            Cause::HeaderChanged
        }
    }

    /// The host by which a server in front asks the object storage, where it can be guessed.
    async fn other_host(&mut self, plain: &Draft) -> Option<String> {
        for guess in guesses(self.probe) {
            let draft = Draft {
                signed_host: Some(guess.clone()),
                ..plain.clone()
            };
            let what = format!("signed for the Host {guess}");
            if self.tries(&what, self.probe, &draft, Way::V4Header).await {
                return Some(guess);
            }
        }
        None
    }
}

/// The Host header of a request.
fn host(sent: &Sent) -> String {
    let header = sent.headers.get(http::header::HOST);
    let header = header.and_then(|it| it.to_str().ok());
    let authority = || sent.uri.authority().map(http::uri::Authority::as_str);
    header.or_else(authority).unwrap_or_default().to_owned()
}

/// Hosts that servers in front put in place of the one they were asked by: without its port, with the usual one, the
/// object storage's own.
fn guesses(probe: &Probe) -> Vec<String> {
    let settings = &probe.settings;
    let name = settings.endpoint.host_str().unwrap_or_default();
    let name = match settings.style {
        Style::Path => name.to_owned(),
        Style::VirtualHost => format!("{}.{name}", settings.bucket),
    };
    let mut guesses = vec![name.clone()];
    if settings.endpoint.port().is_none() {
        guesses = vec![
            format!("{name}:443"),
            format!("{name}:80"),
            format!("{name}:9000"),
        ];
    }
    if let Some(direct) = &settings.direct
        && let Some(host) = direct.host_str()
    {
        let port = direct
            .port()
            .map_or_else(String::new, |port| format!(":{port}"));
        guesses.insert(0, format!("{host}{port}"));
        guesses.insert(1, host.to_owned());
    }
    for usual in ["minio:9000", "localhost:9000", "127.0.0.1:9000", "minio"] {
        guesses.push(usual.to_owned());
    }
    guesses.truncate(GUESSES);
    guesses
}

/// The keys without blanks around them, where there are some.
fn trimmed(keys: Option<&Keys>) -> Option<Keys> {
    let keys = keys?;
    let trimmed = Keys {
        access_key: keys.access_key.trim().to_owned(),
        secret_key: keys.secret_key.trim().to_owned(),
        session_token: keys.session_token.as_deref().map(|it| it.trim().to_owned()),
    };
    let differs = trimmed.access_key != keys.access_key || trimmed.secret_key != keys.secret_key;
    differs.then_some(trimmed)
}

/// Signed headers beside those that every request has.
fn extra_headers(sent: &Sent) -> Vec<String> {
    const USUAL: [&str; 4] = [
        "host",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-security-token",
    ];
    let text = sent.headers.get("authorization");
    let text = text.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let Some((_, rest)) = text.split_once("SignedHeaders=") else {
        return Vec::new();
    };
    let names = rest.split([',', ' ']).next().unwrap_or_default();
    names
        .split(';')
        .filter(|name| !USUAL.contains(name))
        .map(str::to_owned)
        .collect()
}

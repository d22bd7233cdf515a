//! The chain: what is found out by reading, one link after the other.

use bundle::collected::s3::{Clock, Link, Outcome, Reason, Report, Server, Step, Style, Way};
use http::header;
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::besides::{accepted, kind};
use super::cleanup::FOLDER;
use super::explain::explain;
use super::probe::{Checksums, Probe, Refused, other};
use super::reach::{Way as Path, failed, passed};
use super::settings::{Failed, Keys, failure};
use super::signing::Draft;

/// The ends of keys that proxies change: decode, merge, encode again.
pub(super) const ODD: [(&str, &str); 7] = [
    ("a blank", "a b"),
    ("+", "a+b"),
    ("= and &", "a=b&c"),
    ("//", "a//b"),
    ("an encoded slash", "a%2Fb"),
    ("another script", "\u{e4}-\u{65e5}\u{672c}"),
    ("quotes and brackets", "a'(b)*!"),
];

impl Probe {
    /// Walks the chain. Returns whether the bucket can be used.
    pub(super) async fn read(&self, report: &mut Report) -> bool {
        let dialled = self.dialled();
        let path = Path {
            endpoint: &dialled,
            proxy: self.settings.proxy.as_ref(),
            tls: &self.tls,
            step: self.step,
        };
        if !path.walk(&mut report.steps).await {
            return false;
        }
        if !self.speaks_s3(&path, report).await {
            return false;
        }
        let usable = self.bucket(report).await;
        self.ways(report).await;
        if !usable {
            return false;
        }
        self.addressing(report).await;
        self.keeping(report).await;
        let first = self.list(report).await;
        self.odd_keys(report).await;
        self.range(first, report).await;
        true
    }

    /// Whether what answers is an object storage at all; its clock, and what it is.
    async fn speaks_s3(&self, path: &Path<'_>, report: &mut Report) -> bool {
        let exchange = self
            .ask(&Draft::list(&self.settings, &self.prefix()), Way::Anonymous)
            .await;
        report.accepts.push(accepted(Way::Anonymous, &exchange));
        let Ok(answer) = &exchange.answer else {
            let mut problem = exchange.failed();
            if path.endpoint.scheme() == "http" && path.proxy.is_none() && path.is_tls().await {
                problem.0.reason = Reason::TlsExpected;
                problem.1 = format!("{}; what listens there speaks TLS only", problem.1);
            }
            report.steps.push(failed(Link::Http, problem));
            return false;
        };
        let text = |name| {
            let value = answer.headers.get(name);
            let value = value.and_then(|it: &http::HeaderValue| it.to_str().ok());
            super::answer::one_line(value.unwrap_or_default())
        };
        let server = text(header::SERVER);
        let date = rfc2822::parse(&text(header::DATE)).ok();
        report.clock = date.map(|date| clock(date.timestamp(), answer.here));
        let mut step = None;
        let (failure_found, message) = exchange.failed();
        let is_broken = matches!(
            failure_found.reason,
            Reason::Console
                | Reason::NotS3
                | Reason::TlsExpected
                | Reason::Gateway
                | Reason::ProxyAuthentication
        );
        if answer.is_console() {
            let text = format!("{message}: it is the web console, not the API");
            step = Some(failed(Link::Http, failure(Reason::Console, text)));
        } else if answer.is_page() || is_broken {
            let mut found = failure_found;
            if answer.is_page() && !is_broken {
                found.reason = Reason::NotS3;
            }
            step = Some(failed(Link::Http, (found, message)));
        }
        let mut found = Server {
            kind: kind(&server, answer).to_owned(),
            header: server,
            health: Vec::new(),
        };
        let is_broken = step.is_some();
        report.steps.push(step.unwrap_or_else(|| {
            let name = if found.kind.is_empty() {
                "an object storage"
            } else {
                &found.kind
            };
            passed(Link::Http, format!("{name} answers"))
        }));
        if found.kind == "MinIO" && !is_broken {
            found.health = self.health().await;
        }
        report.server = Some(found);
        !is_broken
    }

    /// Whether a signed request is let in, and whether the bucket is there.
    async fn bucket(&self, report: &mut Report) -> bool {
        if let Some(problem) = self.only_in_the_path().await {
            report.steps.push(failed(Link::Bucket, problem));
            return false;
        }
        let refused = match self.head().await {
            Ok(()) => {
                if self.settings.keys.is_some() {
                    report.steps.push(passed(
                        Link::Auth,
                        format!("a request signed for {} is let in", self.settings.region),
                    ));
                }
                let message = format!("{} is there", self.settings.bucket);
                report.steps.push(passed(Link::Bucket, message));
                return true;
            }
            Err(refused) => self.outlived(refused),
        };
        let is_auth = matches!(
            refused.failed.0.reason,
            Reason::ClockSkewed
                | Reason::UnknownKey
                | Reason::Signature
                | Reason::ExpiredToken
                | Reason::InvalidToken
                | Reason::SignatureV4Refused
                | Reason::BadSetting
        ) || refused.failed.0.code.starts_with("Authorization");
        if is_auth {
            let step = self.explained(Link::Auth, refused).await;
            report.steps.push(step);
            return false;
        }
        if self.settings.keys.is_some() {
            report.steps.push(passed(
                Link::Auth,
                format!("a request signed for {} is let in", self.settings.region),
            ));
        }
        let is_denied = refused.failed.0.reason == Reason::AccessDenied;
        if is_denied && !self.settings.prefix.is_empty() {
            // A policy may let the keys list below their prefix only.
            let draft = Draft::list(&self.settings, &self.prefix());
            let below = self.ask(&draft, Way::V4Header).await;
            if below.problem().is_none() {
                let message = format!(
                    "{} is there; only below {} it may be listed",
                    self.settings.bucket,
                    self.prefix()
                );
                report.steps.push(passed(Link::Bucket, message));
                return true;
            }
        }
        let step = self.explained(Link::Bucket, refused).await;
        report.steps.push(step);
        false
    }

    /// Whether the bucket's name in the host is lost on a server that finds it in the path. Such a server takes the request
    /// for one of no bucket, and may well answer it with success.
    async fn only_in_the_path(&self) -> Option<Failed> {
        if self.settings.style == Style::Path {
            return None;
        }
        let way = match self.settings.keys {
            Some(_) => Way::V4Header,
            None => Way::Anonymous,
        };
        let draft = Draft::list(&self.settings, &self.prefix());
        let named = self.ask(&draft, way).await;
        if named.is_list()
            || named
                .problem()
                .is_some_and(|it| it.0.reason == Reason::Signature)
        {
            return None;
        }
        let draft = Draft {
            style: Style::Path,
            ..draft
        };
        let path = self.ask(&draft, way).await;
        if !path.is_list() {
            return None;
        }
        let (mut failure, _) = named.failed();
        failure.reason = Reason::PathStyleOnly;
        let text = format!(
            "the server does not find the bucket in the host name: {} of {} is answered by {}{}, and in the path its list is given",
            failure.request,
            named.sent.uri.authority().map_or("", |it| it.as_str()),
            named.brief(),
            match named.problem() {
                None => " without the bucket's list",
                Some(_) => "",
            },
        );
        Some((failure, text))
    }

    /// A refusal as one of a session token that is over, where it is: servers forget temporary keys, and then know neither
    /// the key nor why.
    fn outlived(&self, mut refused: Refused) -> Refused {
        let end = self.settings.keys.as_ref().and_then(Keys::end);
        let is_of_keys = matches!(
            refused.failed.0.reason,
            Reason::UnknownKey | Reason::InvalidToken | Reason::AccessDenied | Reason::ExpiredToken
        );
        if let Some(end) = end.filter(|end| is_of_keys && *end <= self.clock.now()) {
            refused.failed.0.reason = Reason::ExpiredToken;
            refused.failed.1 = format!("{}; the session token ended at {end}", refused.failed.1);
        }
        refused
    }

    /// HEAD of the bucket; its answer has no body, so a refusal is asked for its reason.
    pub(super) async fn head(&self) -> Result<(), Refused> {
        if self.settings.keys.is_none() {
            let draft = Draft::list(&self.settings, &self.prefix());
            let exchange = self.ask(&draft, Way::Anonymous).await;
            return exchange.succeeded().map(drop);
        }
        let sdk = self.sdk(Checksums::Always);
        let answered = sdk.head_bucket().bucket(&self.settings.bucket).send().await;
        let Err(refused) = self.told(answered) else {
            return Ok(());
        };
        let is_heard = refused
            .exchange
            .as_ref()
            .is_some_and(|it| it.answer.is_ok());
        if !is_heard {
            return Err(refused);
        }
        let draft = Draft::list(&self.settings, "");
        let again = self.ask(&draft, Way::V4Header).await;
        match again.problem() {
            // The list is let through, and HEAD is not: what was refused is HEAD itself.
            None => Err(refused),
            Some(failed) => Err(Refused {
                failed,
                exchange: Some(Box::new(again)),
            }),
        }
    }

    /// Lists, page by page. Returns an object with something in it.
    async fn list(&self, report: &mut Report) -> Option<String> {
        match self.pages().await {
            Ok((message, first)) => {
                report.steps.push(passed(Link::List, message));
                first
            }
            Err(refused) => {
                let step = self.explained(Link::List, refused).await;
                report.steps.push(step);
                None
            }
        }
    }

    async fn pages(&self) -> Result<(String, Option<String>), Refused> {
        const PAGES: usize = 3;
        let sdk = self.sdk(Checksums::Always);
        let mut seen: Vec<String> = Vec::new();
        let mut filled = None;
        let mut token = None;
        for _ in 0..PAGES {
            let asked = sdk
                .list_objects_v2()
                .bucket(&self.settings.bucket)
                .set_prefix(Some(self.prefix()).filter(|prefix| !prefix.is_empty()))
                .set_continuation_token(token.take())
                .max_keys(1)
                .send()
                .await;
            let page = self.told(asked)?;
            for object in page.contents() {
                let key = object.key().unwrap_or_default().to_owned();
                if seen.contains(&key) {
                    return Err(other(
                        Reason::ContentChanged,
                        format!(
                            "the page after the first of a list is the first again: the continuation token is lost on the way ({} keys seen)",
                            seen.len()
                        ),
                    ));
                }
                // What another run writes is gone in a moment.
                let is_kept = !key.contains(FOLDER);
                if filled.is_none() && is_kept && object.size().is_some_and(|size| size > 0) {
                    filled = Some(key.clone());
                }
                seen.push(key);
            }
            token = page.next_continuation_token().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        let where_ = match self.settings.prefix.as_str() {
            "" => String::new(),
            prefix => format!(" below {prefix}/"),
        };
        let message = match (seen.len(), token) {
            (0, _) => format!("nothing is there{where_}"),
            (1, None) => format!("one object is there{where_}"),
            (pages, _) => format!("{pages} pages of a list{where_} follow each other"),
        };
        Ok((message, filled))
    }

    /// Objects of odd names that are not there: that they are missing is a right answer, that the signature is wrong is
    /// not.
    async fn odd_keys(&self, report: &mut Report) {
        let mut refused = Vec::new();
        let mut notes = Vec::new();
        let mut first = None;
        for (what, end) in ODD {
            let key = format!("{}{end}", self.folder());
            let draft = Draft::get(&self.settings, &key, Vec::new());
            let exchange = self.ask(&draft, Way::V4Header).await;
            let Some((failure, message)) = exchange.problem() else {
                continue;
            };
            match failure.reason {
                Reason::KeyMissing | Reason::AccessDenied => {}
                Reason::Signature | Reason::WrongRegion | Reason::NotS3 | Reason::Console => {
                    refused.push(what);
                    first.get_or_insert(Refused {
                        failed: (failure, message),
                        exchange: Some(Box::new(exchange)),
                    });
                }
                // 404 without a code.
                Reason::BucketMissing if failure.code.is_empty() => {}
                _ if failure.status == Some(400) => notes.push(what),
                _ => {
                    first.get_or_insert(Refused {
                        failed: (failure, message),
                        exchange: Some(Box::new(exchange)),
                    });
                }
            }
        }
        let Some(mut problem) = first else {
            let mut message =
                "keys with blanks, +, =, %, other scripts arrive unchanged".to_owned();
            if !notes.is_empty() {
                message = format!(
                    "{message}; the server takes no keys with {}",
                    notes.join(", ")
                );
            }
            report.steps.push(passed(Link::OddKeys, message));
            return;
        };
        if !refused.is_empty() {
            problem.failed.1 = format!("keys with {}: {}", refused.join(", "), problem.failed.1);
        }
        let step = self.explained(Link::OddKeys, problem).await;
        report.steps.push(step);
    }

    async fn range(&self, first: Option<String>, report: &mut Report) {
        let Some(key) = first else {
            report.steps.push(Step {
                link: Link::Range,
                outcome: Outcome::Skipped,
                message: "there is no object to read".to_owned(),
                ..Step::default()
            });
            return;
        };
        let mut draft = Draft::get(&self.settings, &key, Vec::new());
        draft.headers.push((header::RANGE, "bytes=0-0".to_owned()));
        let exchange = self.ask(&draft, Way::V4Header).await;
        let step = match exchange.succeeded() {
            Ok(exchange) if exchange.status() == 206 => {
                passed(Link::Range, "one byte of an object is read")
            }
            Ok(_) => failed(
                Link::Range,
                failure(
                    Reason::ContentChanged,
                    "the first byte of an object was asked for, and all of it was sent: Range is lost on the way",
                ),
            ),
            Err(refused) if refused.failed.0.reason == Reason::KeyMissing => Step {
                link: Link::Range,
                outcome: Outcome::Skipped,
                message: "the object that was listed is gone meanwhile".to_owned(),
                ..Step::default()
            },
            Err(refused) if refused.failed.0.code == "InvalidObjectState" => Step {
                link: Link::Range,
                outcome: Outcome::Skipped,
                message: "the object is archived".to_owned(),
                ..Step::default()
            },
            Err(refused) => self.explained(Link::Range, refused).await,
        };
        report.steps.push(step);
    }

    /// A step that broke; where a signature was refused, with the reason.
    pub(super) async fn explained(&self, link: Link, refused: Refused) -> Step {
        let mut step = failed(link, refused.failed);
        step.message = self.scrubbed(&step.message);
        if let (Some(failure), Some(exchange)) = (&mut step.failure, &refused.exchange)
            && failure.reason == Reason::Signature
        {
            failure.explanation = Some(explain(self, exchange).await);
        }
        step
    }
}

fn clock(server: Timestamp, here: Timestamp) -> Clock {
    let here_seconds = here.as_second();
    Clock {
        server: server.to_string(),
        here: Timestamp::from_second(here_seconds)
            .unwrap_or(here)
            .to_string(),
        ahead_seconds: here_seconds - server.as_second(),
    }
}

//! What is found out by reading: the chain up to the bucket, and what holds besides.

use aws_sdk_s3::types::BucketVersioningStatus;
use aws_sdk_s3::types::ObjectLockEnabled;
use bundle::collected::s3::{
    Accepted, Addressed, Clock, Foreign, Health, Keeping, Link, Outcome, Reason, Report, Server,
    Step, Style, Way,
};
use http::{Request, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::explain::explain;
use super::probe::{Checksums, Probe, Refused, other};
use super::reach::{Way as Path, failed, passed};
use super::settings::failure;
use super::signing::Draft;
use super::wire::Exchange;

/// The ways to sign, and not to.
const WAYS: [Way; 5] = [
    Way::V4Header,
    Way::V4Presigned,
    Way::V2Header,
    Way::V2Presigned,
    Way::Anonymous,
];

/// Foreign prefixes that are asked for.
const FOREIGN: usize = 16;

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
        if !self.speaks_s3(report).await {
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
    async fn speaks_s3(&self, report: &mut Report) -> bool {
        let exchange = self
            .ask(&Draft::list(&self.settings, &self.prefix()), Way::Anonymous)
            .await;
        report.accepts.push(accepted(Way::Anonymous, &exchange));
        let Ok(answer) = &exchange.answer else {
            report.steps.push(failed(Link::Http, exchange.failed()));
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

    /// What `MinIO` says of itself to everybody.
    async fn health(&self) -> Vec<Health> {
        let mut found = Vec::new();
        for name in ["live", "cluster", "cluster/read"] {
            let mut url = self.settings.endpoint.clone();
            url.set_path(&format!("/minio/health/{name}"));
            let Ok(request) = Request::get(url.as_str()).body(bytes::Bytes::new()) else {
                continue;
            };
            let exchange = self.wire.send(request).await;
            let Ok(answer) = &exchange.answer else {
                continue;
            };
            let quorum = ["x-minio-write-quorum", "x-minio-read-quorum"]
                .iter()
                .find_map(|name| Some((name, answer.headers.get(*name)?.to_str().ok()?)));
            found.push(Health {
                name: name.to_owned(),
                status: answer.status,
                detail: quorum.map_or_else(String::new, |(name, value)| {
                    format!("{name} {}", super::answer::plain(value))
                }),
            });
        }
        found
    }

    /// Whether a signed request is let in, and whether the bucket is there.
    async fn bucket(&self, report: &mut Report) -> bool {
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
            Err(refused) => refused,
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

    /// Each way to sign, on the same list.
    async fn ways(&self, report: &mut Report) {
        if self.settings.keys.is_none() {
            return;
        }
        for way in WAYS.into_iter().filter(|way| *way != Way::Anonymous) {
            let draft = Draft::list(&self.settings, &self.prefix());
            let exchange = self.ask(&draft, way).await;
            report.accepts.push(accepted(way, &exchange));
        }
        // Who is let in by version 4 and denied by version 2 is not recognised by it.
        let is_known = |it: &Accepted| {
            [Way::V4Header, Way::V4Presigned].contains(&it.way) && it.accepted == Some(true)
        };
        if report.accepts.iter().any(is_known) {
            for it in &mut report.accepts {
                if it.accepted.is_none() && it.answer.ends_with(" AccessDenied") {
                    it.accepted = Some(false);
                }
            }
        }
        report
            .accepts
            .sort_by_key(|it| WAYS.iter().position(|way| *way == it.way));
    }

    /// Both places where the bucket's name can be.
    async fn addressing(&self, report: &mut Report) {
        let host = self.settings.endpoint.host_str().unwrap_or_default();
        let is_address = host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok();
        for style in [Style::Path, Style::VirtualHost] {
            let (works, answer) = if style == Style::VirtualHost && is_address {
                let text = "an address has no names below it".to_owned();
                (false, text)
            } else {
                let draft = Draft {
                    style,
                    ..Draft::list(&self.settings, &self.prefix())
                };
                let exchange = self.ask(&draft, Way::V4Header).await;
                (exchange.problem().is_none(), exchange.brief())
            };
            report.addressing.push(Addressed {
                style,
                works,
                answer,
            });
        }
    }

    async fn keeping(&self, report: &mut Report) {
        let sdk = self.sdk(Checksums::Always);
        let mut keeping = Keeping::default();
        let bucket = &self.settings.bucket;
        let answered = sdk.get_bucket_versioning().bucket(bucket).send().await;
        match self.told(answered) {
            Ok(found) => {
                let status = match found.status() {
                    Some(BucketVersioningStatus::Enabled) => "Enabled",
                    Some(BucketVersioningStatus::Suspended) => "Suspended",
                    Some(_) => "",
                    None => "Disabled",
                };
                status.clone_into(&mut keeping.versioning);
            }
            Err(refused) => keeping
                .unread
                .push(format!("versioning: {}", refused.failed.1)),
        }
        let answered = sdk
            .get_object_lock_configuration()
            .bucket(bucket)
            .send()
            .await;
        match self.told(answered) {
            Ok(found) => {
                let found = found.object_lock_configuration();
                let is_on = found.and_then(|it| it.object_lock_enabled());
                keeping.lock = Some(is_on == Some(&ObjectLockEnabled::Enabled));
                let rule = found
                    .and_then(|it| it.rule())
                    .and_then(|it| it.default_retention());
                keeping.default_retention = rule.map_or_else(String::new, |rule| {
                    let mode = rule.mode().map_or("", |mode| mode.as_str());
                    match (rule.days(), rule.years()) {
                        (Some(days), _) => format!("{mode} {days} days"),
                        (None, Some(years)) => format!("{mode} {years} years"),
                        (None, None) => mode.to_owned(),
                    }
                });
            }
            Err(refused) => {
                let failure = &refused.failed.0;
                let has_none = failure.code.starts_with("ObjectLockConfigurationNotFound")
                    || failure.code == "NoSuchObjectLockConfiguration"
                    || failure.reason == Reason::NotImplemented;
                if has_none {
                    keeping.lock = Some(false);
                } else {
                    keeping
                        .unread
                        .push(format!("object lock: {}", refused.failed.1));
                }
            }
        }
        report.keeping = Some(keeping);
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
                if filled.is_none() && object.size().is_some_and(|size| size > 0) {
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
        draft.headers.push(("range", "bytes=0-0".to_owned()));
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

    /// What may be done below others' prefixes by reading.
    pub(super) async fn foreign(&self, prefixes: &[String], report: &mut Report) {
        for prefix in prefixes.iter().take(FOREIGN) {
            let folder = format!("{}/", prefix.trim_matches('/'));
            let list = Draft::list(&self.settings, &folder);
            let key = format!("{folder}{}absent", self.own);
            let read = Draft::get(&self.settings, &key, Vec::new());
            for (operation, draft) in [("list", list), ("read", read)] {
                let exchange = self.ask(&draft, Way::V4Header).await;
                report.foreign.push(Foreign {
                    prefix: folder.clone(),
                    operation: operation.to_owned(),
                    denied: denied(&exchange),
                    answer: exchange.brief(),
                });
            }
        }
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

/// Whether an answer denies. What is missing was looked for, so it is let through.
pub(super) fn denied(exchange: &Exchange) -> Option<bool> {
    match exchange.problem() {
        None => Some(false),
        Some((failure, _)) => match failure.reason {
            Reason::AccessDenied => Some(true),
            Reason::KeyMissing => Some(false),
            _ => None,
        },
    }
}

fn accepted(way: Way, exchange: &Exchange) -> Accepted {
    let accepted = match exchange.problem() {
        None => Some(true),
        Some((failure, _)) => match failure.reason {
            // Whoever is told what is missing or not allowed was recognised; nobody is by no signature.
            Reason::AccessDenied => Some(false).filter(|_| way == Way::Anonymous),
            Reason::KeyMissing => Some(true),
            Reason::Signature
            | Reason::SignatureV4Refused
            | Reason::SignatureV4Required
            | Reason::NotImplemented => Some(false),
            _ if failure.status == Some(400) => Some(false),
            _ => None,
        },
    };
    Accepted {
        way,
        accepted,
        answer: exchange.brief(),
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

/// What a server is, by its headers.
fn kind(server: &str, answer: &super::wire::Answer) -> &'static str {
    const KINDS: &[(&str, &str)] = &[
        ("minio", "MinIO"),
        ("ceph", "Ceph"),
        ("amazons3", "Amazon S3"),
        ("seaweedfs", "SeaweedFS"),
        ("versitygw", "versitygw"),
        ("garage", "Garage"),
    ];
    let lower = server.to_lowercase();
    let by_server = KINDS.iter().find(|(text, _)| lower.contains(text));
    if let Some((_, kind)) = by_server {
        return kind;
    }
    let id = answer.headers.get("x-amz-request-id");
    let id = id.and_then(|it| it.to_str().ok()).unwrap_or_default();
    if id.starts_with("tx0") { "Ceph" } else { "" }
}

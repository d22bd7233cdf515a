//! What holds besides the chain: the ways to sign and to address the bucket that are accepted, what the bucket keeps, what
//! others' prefixes let happen, what the server is and says of itself.

use aws_sdk_s3::types::{BucketVersioningStatus, ObjectLockEnabled};
use bundle::collected::s3::{
    Accepted, Addressed, Foreign, Health, Keeping, Reason, Report, Style, Way,
};
use http::Request;

use super::probe::{Checksums, Probe};
use super::signing::Draft;
use super::wire::{Answer, Exchange};

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

impl Probe {
    /// What `MinIO` says of itself to everybody.
    pub(super) async fn health(&self) -> Vec<Health> {
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

    /// Each way to sign, on the same list.
    pub(super) async fn ways(&self, report: &mut Report) {
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
    pub(super) async fn addressing(&self, report: &mut Report) {
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
                // A server that knows the path only answers the other with the list of all buckets.
                (exchange.is_list(), exchange.brief())
            };
            report.addressing.push(Addressed {
                style,
                works,
                answer,
            });
        }
    }

    pub(super) async fn keeping(&self, report: &mut Report) {
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

pub(super) fn accepted(way: Way, exchange: &Exchange) -> Accepted {
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

/// What a server is, by its headers.
pub(super) fn kind(server: &str, answer: &Answer) -> &'static str {
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

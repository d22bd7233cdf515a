//! What is said of an object storage, and what to do about it: shared by the checks that read the collector `s3`'s
//! report.

use bundle::collected::s3::{
    Cause, Change, Explanation, Failure, Link, Outcome, Reason, Report, Step, Style,
};

/// What a link is, as a part of a sentence.
pub(crate) fn name(link: Link) -> &'static str {
    match link {
        Link::Configuration => "settings",
        Link::Dns => "DNS",
        Link::Tcp => "TCP",
        Link::Proxy => "proxy",
        Link::Tls => "TLS",
        Link::Http => "S3",
        Link::Auth => "signature",
        Link::Bucket => "bucket",
        Link::List => "list",
        Link::OddKeys => "odd keys",
        Link::Range => "range",
        Link::Put => "write",
        Link::UnsignedPayload => "write with an unsigned payload",
        Link::SignedChunks => "write in signed chunks",
        Link::ChecksumTrailer => "write with a checksum trailer",
        Link::Get => "read back",
        Link::Multipart => "multipart upload",
        Link::AbortMultipart => "giving up an upload",
        Link::Copy => "copy",
        Link::Presigned => "presigned address",
        Link::Delete => "delete",
        Link::Other => "a later release's step",
    }
}

/// The first link that broke, with its failure.
pub(crate) fn broken(report: &Report) -> Option<(&Step, Failure)> {
    let step = report
        .steps
        .iter()
        .find(|step| step.outcome == Outcome::Failed)?;
    Some((step, step.failure.clone().unwrap_or_default()))
}

/// What broke, in words: the link, what came back, and why where that is known.
pub(crate) fn why(step: &Step, failure: &Failure) -> String {
    let mut text = format!(
        "{}: {}",
        name(step.link),
        step.message.trim_end_matches('.')
    );
    if let Some(explanation) = &failure.explanation {
        text = format!("{text}. {}", explained(explanation));
    }
    text
}

/// Why a signature was refused, in a sentence without its end.
fn explained(explanation: &Explanation) -> String {
    let by = if explanation.compared {
        "The server's canonical request differs from the one that was signed"
    } else {
        "By experiment"
    };
    let changed = |what: &str| {
        let changes: Vec<String> = explanation.changes.iter().map(shown).collect();
        if changes.is_empty() {
            format!("{by}: {what} is changed on the way")
        } else {
            format!(
                "{by}: {what} is changed on the way ({})",
                changes.join("; ")
            )
        }
    };
    match explanation.cause {
        Cause::WrongSecret if explanation.compared => {
            "The server saw the request exactly as it was signed, so the secret key is another than its own".to_owned()
        }
        Cause::WrongSecret => {
            "By experiment: no variant of the request is accepted, so the secret key is another than the server's".to_owned()
        }
        Cause::SecretWithBlanks => {
            "By experiment: without the blanks or line break around the keys the signature is accepted".to_owned()
        }
        Cause::HostChanged => changed("the Host header"),
        Cause::PathChanged => changed("the path"),
        Cause::QueryChanged => changed("the query"),
        Cause::HeaderChanged => changed("a signed header"),
        Cause::PayloadChanged => changed("the payload, or what is told of it,"),
        Cause::MethodChanged => changed("the method"),
        Cause::SomethingChanged => {
            let last = explanation.trials.iter().rfind(|trial| trial.accepted);
            let what = last.map_or("another way", |trial| &trial.what);
            format!(
                "By experiment: the same keys are accepted {what}, so they are right and something on the way changes the request: its Host header, its query or another signed header"
            )
        }
        Cause::Unknown => {
            "No experiment made a difference: the secret key is another than the server's, or something on the way changes every request".to_owned()
        }
    }
}

fn shown(change: &Change) -> String {
    match (change.sent.as_str(), change.seen.as_str()) {
        ("", "") => change.element.clone(),
        (sent, "") => format!("{} signed as {sent}", change.element),
        ("", seen) => format!("{} added as {seen}", change.element),
        (sent, seen) => format!("{} signed as {sent}, seen as {seen}", change.element),
    }
}

/// What to do about a link that broke.
#[expect(clippy::too_many_lines, reason = "a table: one row for each reason")]
pub(crate) fn remedy(report: &Report, step: &Step, failure: &Failure) -> String {
    let target = &report.target;
    let text = match failure.reason {
        Reason::BadSetting => "Correct the setting as the message says.",
        Reason::SecretMissing => {
            "Create the Secret with both keys (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), or name the keys that are there: secret.accessKey, secret.secretKey."
        }
        Reason::SecretUnread => {
            "Let the account get this one Secret: `assay explain s3` shows the permission."
        }
        Reason::NameNotResolved if target.style == Style::VirtualHost => {
            "Correct the endpoint. With the bucket in the name its DNS needs a wildcard (*.HOST); without one set usePathStyle: true here and path-style addressing in the application."
        }
        Reason::NameNotResolved => {
            "Correct the endpoint: a Service is reached from other namespaces as <service>.<namespace>.svc. A name that only the cluster's DNS knows cannot be resolved outside of it (from: pod)."
        }
        Reason::ConnectionRefused => {
            "Nothing listens there: see that the object storage runs and that the port is its API's (MinIO 9000, its console 9001; Ceph 80 or 7480)."
        }
        Reason::Unreachable | Reason::ConnectTimeout => {
            "Open the way from here to the object storage: NetworkPolicies, firewalls, routes, or the proxy that applications must use."
        }
        Reason::ProxyAuthentication => {
            "Give the proxy's user and password: http://USER:PASSWORD@HOST:PORT in HTTPS_PROXY, or name the object storage in NO_PROXY."
        }
        Reason::ProxyRefused => {
            "Allow CONNECT to that host and port at the proxy, or name the object storage in NO_PROXY."
        }
        Reason::NoAnswer => {
            "Something takes the connection and says nothing: a load balancer without a server behind it, a server that hangs, or a port of something else."
        }
        Reason::ClosedByServer => {
            "See the object storage's log, and that of what stands in front of it: one of them ends the connection."
        }
        Reason::TlsUntrusted => {
            "Give the certificate of the authority that signed the server's: tls.cacert or tls.secret here, AWS_CA_BUNDLE for SDKs. Where the issuer is a company's proxy, it is that proxy's authority."
        }
        Reason::TlsExpired => "Renew the server's certificate, and reload the server.",
        Reason::TlsNotYetValid => {
            "Correct the clock of this machine, or that of whoever issued the certificate."
        }
        Reason::TlsNameMismatch if target.style == Style::VirtualHost => {
            "Issue a certificate for *.HOST (a wildcard does not cover a bucket with dots), or address buckets in the path: usePathStyle: true."
        }
        Reason::TlsNameMismatch => {
            "Use a name that the certificate holds in the endpoint, or issue one that holds this name."
        }
        Reason::TlsNotSpoken => {
            "Write http:// in the endpoint, or turn TLS on at the object storage."
        }
        Reason::TlsExpected => "Write https:// in the endpoint.",
        Reason::TlsFailed => "See the server's log for the other side of the handshake.",
        Reason::Console => {
            "Use the API's port in the endpoint: for MinIO 9000 where the console has 9001, or the Service and the ingress of the API."
        }
        Reason::NotS3 => {
            "Correct host, port and scheme: what answers there is a web page, an ingress' default or a login, not an object storage."
        }
        Reason::ClockSkewed => {
            "Set the clock of the machine that signs by NTP: more than 15 minutes of difference are refused."
        }
        Reason::WrongRegion if !failure.region.is_empty() => {
            return format!(
                "Set the region to {}: `region` here, AWS_REGION (or AWS_DEFAULT_REGION) for SDKs.",
                failure.region
            );
        }
        Reason::WrongRegion => {
            "Set the region to that of the bucket (`region` here, AWS_REGION for SDKs); the object storage's operator knows it."
        }
        Reason::UnknownKey => {
            "Use a key of this object storage: the endpoint may be another one's, or another tenant's, or the key was deleted."
        }
        Reason::Signature => return about_signature(failure),
        Reason::ExpiredToken => {
            "Get new temporary keys: an access key, a secret key and a session token that belong together; long-running applications must renew them."
        }
        Reason::InvalidToken => {
            "Use the session token that was given out with this access key, or none with permanent keys."
        }
        Reason::SignatureV4Refused => {
            "Upgrade the object storage: SDKs sign by version 4 only. Until then a client that can sign by version 2 is needed (signature_version = s3)."
        }
        Reason::SignatureV4Required => {
            "Let the client sign by version 4 (signature_version = s3v4); version 2 is refused here."
        }
        Reason::PresignedExpired => {
            "Correct the clocks: the presigned address was good for five minutes."
        }
        Reason::AccessDenied => return about_denial(step.link, report),
        Reason::BucketMissing => {
            return format!(
                "Create the bucket {}, or correct its name and the endpoint: buckets of another tenant are not seen.",
                target.bucket
            );
        }
        Reason::PathStyleOnly => {
            "Address the bucket in the path: usePathStyle: true here, path style in the application (s3.addressing_style = path, for MLflow MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE=path); or tell the server the domain whose names are buckets: MINIO_DOMAIN for MinIO, rgw_dns_name for Ceph, --virtual-domain for versitygw."
        }
        Reason::KeyMissing => "See who deletes objects below this prefix while they are used.",
        Reason::ChecksumRefused => {
            "Set AWS_REQUEST_CHECKSUM_CALCULATION=when_required and AWS_RESPONSE_CHECKSUM_VALIDATION=when_required for the application, or upgrade the object storage or the proxy in front of it: it does not understand the checksums that SDKs send since 2025."
        }
        Reason::LengthRequired => {
            "Let what stands in front pass Content-Length and chunked bodies unchanged, or set AWS_REQUEST_CHECKSUM_CALCULATION=when_required for the application."
        }
        Reason::NotImplemented if step.link >= Link::UnsignedPayload => {
            "Upgrade the object storage; for checksums AWS_REQUEST_CHECKSUM_CALCULATION=when_required and AWS_RESPONSE_CHECKSUM_VALIDATION=when_required for the application avoid what it does not know."
        }
        Reason::NotImplemented => {
            "Upgrade the object storage, or use what it does know: see its documentation."
        }
        Reason::TooLarge => {
            "Raise the size of bodies in what stands in front: client_max_body_size 0 in nginx, nginx.ingress.kubernetes.io/proxy-body-size: \"0\" for its ingress."
        }
        Reason::ExpectationFailed => {
            "Let what stands in front not add Expect: 100-continue, or pass it through."
        }
        Reason::ContentChanged => {
            "Look at what stands in front of the object storage: it changes bodies, ranges or queries, or answers from a cache."
        }
        Reason::SlowDown => {
            "Wait, or give the object storage more: it says that it is overloaded or not ready."
        }
        Reason::StorageFull => "Free or add space, or raise the bucket's quota.",
        Reason::Gateway if step.link == Link::Proxy => {
            "See why the proxy cannot reach the object storage: the host and port of the endpoint as the proxy knows them; or name the object storage in NO_PROXY."
        }
        Reason::Gateway => {
            "See why the server in front cannot reach the object storage: its upstream's address, port, scheme and health."
        }
        Reason::Locked | Reason::WritesNotAllowed => {
            "Use a bucket without object lock for the test, or let the keys read its configuration (s3:GetBucketObjectLockConfiguration)."
        }
        Reason::Deadline => "Give it more time: `timeout`.",
        Reason::Other => "See the message, and the object storage's log at that time.",
    };
    text.to_owned()
}

fn about_signature(failure: &Failure) -> String {
    let cause = failure.explanation.as_ref().map(|it| it.cause);
    let seen = failure
        .explanation
        .iter()
        .flat_map(|it| &it.changes)
        .find(|it| it.element == "header host" && !it.sent.is_empty())
        .map(|it| it.sent.clone());
    match cause {
        Some(Cause::WrongSecret) => {
            "Correct the secret key (AWS_SECRET_ACCESS_KEY): copy it again from where the object storage gave it out.".to_owned()
        }
        Some(Cause::SecretWithBlanks) => {
            "Store the keys without a line break at the end: kubectl create secret generic NAME --from-literal, or printf %s in place of echo.".to_owned()
        }
        Some(Cause::HostChanged) => format!(
            "Let the proxy, ingress or load balancer pass the Host header on as it came{}: in nginx proxy_set_header Host $http_host (not $host, which has no port), in HAProxy no http-request set-header Host.",
            seen.map_or_else(String::new, |host| format!(" ({host})"))
        ),
        Some(Cause::PathChanged) => {
            "Let what stands in front pass the path on as it came: in nginx proxy_pass without a path or slash after the host, and merge_slashes off; in HAProxy no normalize-uri and no url_dec; no path prefix added or taken off.".to_owned()
        }
        Some(Cause::QueryChanged) => {
            "Let what stands in front pass the query on as it came: no parameter added, removed, decoded or sorted.".to_owned()
        }
        Some(Cause::HeaderChanged) => {
            let names: Vec<&str> = failure
                .explanation
                .iter()
                .flat_map(|it| &it.changes)
                .filter_map(|it| it.element.strip_prefix("header "))
                .collect();
            format!(
                "Let what stands in front pass signed headers on as they came: {}.",
                names.join(", ")
            )
        }
        Some(Cause::PayloadChanged) => {
            "Let what stands in front pass bodies on as they come, chunks and trailers with them: proxy_request_buffering off in nginx, no compression; else AWS_REQUEST_CHECKSUM_CALCULATION=when_required for the application.".to_owned()
        }
        Some(Cause::MethodChanged) => {
            "Let what stands in front pass the method on: a cache turns HEAD into GET (proxy_cache_convert_head off in nginx).".to_owned()
        }
        Some(Cause::SomethingChanged) => {
            "Look at the proxy, ingress or load balancer in front: let it pass the Host header, the path and the query on as they came. With directEndpoint (the object storage itself) the Host that it sees is tried, too.".to_owned()
        }
        Some(Cause::Unknown) | None => {
            "Correct the secret key; if it is right, look for a proxy that rewrites the Host header or the path, and give directEndpoint (the object storage itself), so that both can be told apart.".to_owned()
        }
    }
}

fn about_denial(link: Link, report: &Report) -> String {
    let (bucket, prefix) = (&report.target.bucket, &report.target.prefix);
    let objects = if prefix.is_empty() {
        format!("{bucket}/*")
    } else {
        format!("{bucket}/{prefix}/*")
    };
    match link {
        Link::Bucket | Link::List => format!("Allow s3:ListBucket on {bucket} to these keys."),
        Link::Range | Link::Get | Link::Presigned | Link::OddKeys => {
            format!("Allow s3:GetObject on {objects} to these keys.")
        }
        Link::Delete => format!("Allow s3:DeleteObject on {objects} to these keys."),
        Link::Multipart | Link::AbortMultipart => format!(
            "Allow s3:PutObject, s3:AbortMultipartUpload and s3:ListMultipartUploadParts on {objects} to these keys."
        ),
        Link::Copy => format!("Allow s3:GetObject and s3:PutObject on {objects} to these keys."),
        _ => format!("Allow s3:PutObject on {objects} to these keys."),
    }
}

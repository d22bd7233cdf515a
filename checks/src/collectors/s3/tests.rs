//! Signatures against the library's own, hostile answers, and servers that refuse as none of the rig's can be made to.

use std::time::SystemTime;

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use bundle::collected::s3::{Style, Way};
use bundle::manifest::Outcome;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use reqwest::Url;
use serde_json::{Value, json};

use super::answer::error_body;
use super::canonical::Canonical;
use super::settings::Keys;
use super::signing::{Draft, Payload, sha256};
use super::wire::Sent;
use crate::clock::Clock;
use crate::collector::{Context, Writes};
use crate::run::{Settings, Stop};
use crate::testing::{Collected, Reply, Seen, Server, collect, collect_redacted};

const ACCESS_KEY: &str = "AKIDEXAMPLE0123456789";
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "FwoGZXIvYXdzEXAMPLETOKEN0123456789";
const REGION: &str = "eu-west-1";

#[test]
fn a_session_token_that_tells_its_end_is_believed() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let end = |token: Option<String>| {
        let keys = Keys {
            session_token: token,
            ..Keys::default()
        };
        keys.end().map(|end| end.to_string())
    };
    let token = |claims: &str| Some(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims)));
    assert_eq!(
        end(token(r#"{"accessKey":"A","exp":1800000000}"#)).as_deref(),
        Some("2027-01-15T08:00:00Z")
    );
    for other in [
        None,
        Some(TOKEN.to_owned()),
        Some("a.b.c".to_owned()),
        token("{}"),
        token(r#"{"exp":"tomorrow"}"#),
        token(r#"{"exp":9223372036854775807}"#),
        token("not JSON"),
    ] {
        assert_eq!(end(other.clone()), None, "{other:?}");
    }
}

fn draft(key: &str, prefix: &str, style: Style, payload: Payload) -> Draft {
    Draft {
        method: Method::PUT,
        endpoint: Url::parse("http://storage.example:9000").expect("an address"),
        style,
        bucket: "artifacts".to_owned(),
        key: key.to_owned(),
        query: vec![("prefix", prefix.to_owned()), ("list-type", "2".to_owned())],
        headers: vec![(
            http::HeaderName::from_static("x-amz-meta-note"),
            "  two   blanks ".to_owned(),
        )],
        body: bytes::Bytes::from_static(b"content"),
        payload,
        signed_host: None,
    }
}

/// The signature in a request.
fn signature(sent: &Sent) -> Option<String> {
    let header = sent
        .headers
        .get("authorization")
        .and_then(|it| it.to_str().ok());
    let header = header.and_then(|it| it.split("Signature=").nth(1));
    let query = || sent.uri.query()?.split("X-Amz-Signature=").nth(1);
    Some(header.or_else(query)?.split('&').next()?.to_owned())
}

proptest! {
    // Signing is slow in a debug build.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What is compared with a server's canonical request is what the library signed.
    #[test]
    fn the_canonical_request_is_the_one_that_is_signed(
        key in "[a-z/+=&% ~'()*!ä日-]{1,24}",
        prefix in "[a-z/+=&%, ä-]{0,12}",
        in_name in any::<bool>(),
        presigned in any::<bool>(),
        unsigned in any::<bool>(),
        token in any::<bool>(),
    ) {
        let style = if in_name { Style::VirtualHost } else { Style::Path };
        let payload = if unsigned { Payload::Unsigned } else { Payload::Signed };
        let way = if presigned { Way::V4Presigned } else { Way::V4Header };
        let keys = Keys {
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
            session_token: token.then(|| TOKEN.to_owned()),
        };
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let request = draft(&key, &prefix, style, payload)
            .sign(way, Some(&keys), REGION, now)
            .expect("a signed request");
        let (parts, _) = request.into_parts();
        let sent = Sent { method: parts.method, uri: parts.uri, headers: parts.headers };
        let canonical = Canonical::of(&sent).expect("a signature of version 4");
        let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let text = format!(
            "AWS4-HMAC-SHA256\n{stamp}\n{}/{REGION}/s3/aws4_request\n{}",
            &stamp[..8],
            sha256(canonical.text().as_bytes())
        );
        let key = generate_signing_key(SECRET_KEY, SystemTime::from(now), REGION, "s3");
        prop_assert_eq!(
            signature(&sent),
            Some(calculate_signature(key, text.as_bytes())),
            "{}", canonical.text()
        );
        let again = Canonical::parse(&canonical.text());
        prop_assert_eq!(again.map(|it| canonical.changes(&it)), Some(Vec::new()));
    }

    #[test]
    fn answers_of_any_bytes_are_read_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in "\\PC{0,200}") {
        let _ = error_body(&bytes);
        let wrapped = format!("<?xml version=\"1.0\"?><Error><Code>{text}</Code><CanonicalRequest>{text}</CanonicalRequest></Error>");
        let _ = error_body(wrapped.as_bytes());
        let _ = Canonical::parse(&text);
        let _ = Canonical::parse(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn an_error_of_s3_is_told_from_pages() {
    let code = |text: &str| error_body(text.as_bytes()).map(|body| body.code);
    let error = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchBucket</Code><Message>a &amp; b</Message></Error>";
    assert_eq!(code(error), Some("NoSuchBucket".to_owned()));
    assert_eq!(code("<Error><Code>X</Code>"), None);
    for page in [
        "",
        "<html><Error><Code>X</Code></Error></html>",
        "<Error/>",
        "{\"Error\": 1}",
    ] {
        assert_eq!(code(page), None, "{page}");
    }
}

/// A server that refuses everything by this code.
fn refusal(code: &str, status: u16) -> Reply {
    Reply::xml(
        status,
        &format!(
            "<Error><Code>{code}</Code><Message>no</Message><AWSAccessKeyId>{ACCESS_KEY}</AWSAccessKeyId></Error>"
        ),
    )
}

fn config(server: &Server) -> Value {
    json!({
        "endpoint": server.address, "bucketName": "artifacts", "region": REGION,
        "accessKeyID": ACCESS_KEY, "secretAccessKey": SECRET_KEY, "sessionToken": TOKEN,
        "foreignPrefixes": ["team-b"],
    })
}

async fn asked(config: &Value, context: &Context) -> Value {
    let collected = collect_redacted(context, "s3", config).await;
    assert_eq!(collected.record.outcome, Outcome::Complete);
    for secret in [ACCESS_KEY, SECRET_KEY, TOKEN, "Signature="] {
        let text = collected.text("s3/s3.json").expect("a report");
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    collected.json("s3/s3.json").expect("a report")
}

fn step<'a>(report: &'a Value, link: &str) -> &'a Value {
    let steps = report["steps"].as_array().expect("steps");
    steps
        .iter()
        .find(|step| step["link"] == link)
        .expect("the link")
}

#[tokio::test]
async fn codes_become_reasons_and_the_rest_is_not_reached() {
    for (code, status, link, reason) in [
        ("ExpiredToken", 400, "auth", "expiredToken"),
        ("InvalidToken", 400, "auth", "invalidToken"),
        ("RequestTimeTooSkewed", 403, "auth", "clockSkewed"),
        ("InvalidAccessKeyId", 403, "auth", "unknownKey"),
        ("PermanentRedirect", 301, "bucket", "wrongRegion"),
        ("AccessDenied", 403, "bucket", "accessDenied"),
        ("SlowDown", 503, "bucket", "slowDown"),
        ("Unheard", 418, "bucket", "other"),
    ] {
        let server = Server::start(move |_| refusal(code, status)).await;
        let report = asked(&config(&server), &server.context()).await;
        let step = step(&report, link);
        assert_eq!(step["failure"]["reason"], reason, "{step:#}");
        let after = report["steps"].as_array().expect("steps").iter();
        let after: Vec<_> = after
            .skip_while(|step| step["link"] != "bucket")
            .skip(1)
            .collect();
        assert!(
            after.iter().all(|step| step["outcome"] == "notReached"),
            "{report:#}"
        );
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_measured() {
    let server = Server::start(|seen| {
        let stamp = seen.headers.get("x-amz-date").map_or("", String::as_str);
        let skew = Timestamp::strptime("%Y%m%dT%H%M%S%z", stamp.replace('Z', "+0000"))
            .map_or(0, |time| (time - Timestamp::now()).get_seconds().abs());
        let reply = if skew > 900 {
            refusal("RequestTimeTooSkewed", 403)
        } else {
            refusal("AccessDenied", 403)
        };
        let date = Timestamp::now()
            .strftime("%a, %d %b %Y %H:%M:%S GMT")
            .to_string();
        reply.header("date", &date)
    })
    .await;
    let context = Context {
        clock: Clock::ahead(SignedDuration::from_mins(20)),
        ..server.context()
    };
    let report = asked(&config(&server), &context).await;
    assert_eq!(step(&report, "auth")["failure"]["reason"], "clockSkewed");
    let ahead = report["clock"]["aheadSeconds"].as_i64().expect("seconds");
    assert!((1198..=1202).contains(&ahead), "{ahead}");
}

/// An object storage with nothing in it that lets everybody write.
fn storage(seen: &Seen) -> Reply {
    let has = |name: &str| seen.query.contains_key(name);
    if seen
        .query
        .get("prefix")
        .is_some_and(|prefix| prefix.starts_with("team-b"))
        || seen.path.contains("/team-b/")
    {
        return refusal("AccessDenied", 403);
    }
    match seen.method.as_str() {
        "HEAD" => Reply::xml(200, ""),
        "GET" if has("list-type") => Reply::xml(
            200,
            "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
        ),
        "GET" if seen.path == "/artifacts/" => Reply::xml(200, "<Empty/>"),
        "GET" => refusal("NoSuchKey", 404),
        _ => refusal("AccessDenied", 403),
    }
}

#[tokio::test]
async fn without_both_consents_nothing_is_written() {
    for (writes, consent) in [(false, Writes::Allowed), (true, Writes::Refused)] {
        let server = Server::start(|seen| match seen.path.as_str() {
            "/artifacts/" if seen.raw_query.contains("object-lock") => {
                refusal("ObjectLockConfigurationNotFoundError", 404)
            }
            _ => storage(seen),
        })
        .await;
        let mut config = config(&server);
        config["writes"] = writes.into();
        let context = Context {
            writes: consent,
            ..server.context()
        };
        let report = asked(&config, &context).await;
        let methods = server.seen();
        assert!(
            methods
                .iter()
                .all(|seen| ["GET", "HEAD"].contains(&seen.method.as_str())),
            "{methods:?}"
        );
        let foreign = report["foreign"].as_array().expect("answers");
        assert!(foreign.iter().all(|it| it["denied"] == true), "{report:#}");
        if writes {
            let put = step(&report, "put");
            assert_eq!(put["failure"]["reason"], "writesNotAllowed", "{put:#}");
            assert_eq!(report["writes"]["allowed"], false);
        }
    }
}

#[tokio::test]
async fn object_lock_stops_before_anything_is_written() {
    for lock in [
        "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>30</Days></DefaultRetention></Rule></ObjectLockConfiguration>",
        "",
    ] {
        let server = Server::start(move |seen| match seen.path.as_str() {
            "/artifacts/" if seen.raw_query.contains("object-lock") && lock.is_empty() => {
                refusal("AccessDenied", 403)
            }
            "/artifacts/" if seen.raw_query.contains("object-lock") => Reply::xml(200, lock),
            _ => storage(seen),
        })
        .await;
        let mut config = config(&server);
        config["writes"] = true.into();
        let context = Context {
            writes: Writes::Allowed,
            ..server.context()
        };
        let report = asked(&config, &context).await;
        assert_eq!(
            step(&report, "put")["failure"]["reason"],
            "locked",
            "{report:#}"
        );
        assert!(server.seen().iter().all(|seen| seen.method != "PUT"));
    }
}

#[tokio::test]
async fn what_cannot_be_right_is_refused_before_it_is_dialled() {
    let context = crate::testing::context(None);
    for (field, value, text) in [
        ("endpoint", json!("minio:9000"), "endpoint has no scheme"),
        (
            "endpoint",
            json!("http://minio:9000/path"),
            "endpoint has a path",
        ),
        (
            "endpoint",
            json!("http://user:hunter2@minio:9000"),
            "endpoint has credentials in it",
        ),
        ("proxy", json!("squid:3128"), "proxy has no scheme"),
        ("tls", json!({"cacert": "nothing"}), "no PEM certificate"),
    ] {
        let mut config = json!({
            "endpoint": "http://127.0.0.1:1", "bucketName": "artifacts",
            "accessKeyID": ACCESS_KEY, "secretAccessKey": SECRET_KEY,
        });
        config[field] = value;
        let report = asked(&config, &context).await;
        let last = report["steps"]
            .as_array()
            .and_then(|steps| steps.iter().find(|it| it["outcome"] == "failed"));
        let message = last.map_or("", |it| it["message"].as_str().unwrap_or_default());
        assert!(message.contains(text), "{report:#}");
        assert!(!report.to_string().contains("hunter2"));
    }
}

#[tokio::test]
async fn the_peers_file_has_the_peers_fields() {
    let server = Server::start(|_| refusal("AccessDenied", 403)).await;
    let config = json!({
        "endpoint": server.address, "bucketName": "artifacts", "usePathStyle": true,
        "accessKeyID": ACCESS_KEY, "secretAccessKey": SECRET_KEY,
    });
    let collected: Collected = collect(
        &server.context(),
        "s3Status",
        &config,
        &Settings::default(),
        &Stop::default(),
    )
    .await;
    let status = collected.json("s3Status/s3Status.json").expect("a status");
    assert_eq!(status["isConnected"], false);
    assert_eq!(status["region"], "us-east-1");
    assert_eq!(status["error"], "GET /artifacts/: 403 AccessDenied: no");
    assert_eq!(
        status.as_object().map(serde_json::Map::len),
        Some(5),
        "{status}"
    );
}

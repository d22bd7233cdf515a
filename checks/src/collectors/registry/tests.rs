use bundle::collected::registry::Reachability;
use serde_json::{Value, json};

use super::manifest::digest;
use crate::collector::Writes;
use crate::run::{Settings, Stop};
use crate::testing::{Reply, Seen, Server, collect, context};

const CONFIG: &str = r#"{"os":"linux","architecture":"amd64"}"#;

/// A manifest with one layer of four bytes.
fn manifest() -> String {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(CONFIG.as_bytes(), ""), "size": CONFIG.len()},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(b"four", ""), "size": 4}],
    })
    .to_string()
}

/// A registry that has every image.
fn registry(request: &Seen) -> Reply {
    if request.path.contains("/manifests/") {
        Reply::json(manifest())
    } else if request.path.ends_with(&digest(CONFIG.as_bytes(), "")) {
        Reply::json(CONFIG)
    } else {
        Reply::json("")
    }
}

fn host(server: &Server) -> String {
    server.address.replace("http://", "")
}

/// What is found out of images `a0`, `a1`, …, all of one repository.
async fn found(server: &Server, images: usize, extra: Value) -> Reachability {
    let host = host(server);
    let images: Vec<String> = (0..images)
        .map(|tag| format!("{host}/team/app:{tag}"))
        .collect();
    let mut config = json!({"images": images, "plainHttp": [host], "platforms": ["linux/amd64"]});
    for (key, value) in extra.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    let (settings, stop) = (Settings::default(), Stop::default());
    let collected = collect(&context(None), "registry", &config, &settings, &stop).await;
    let text = collected
        .text("registry/registry/reachability.json")
        .expect("a file");
    assert!(
        !text.contains("hunter2") && !text.contains("X-Amz"),
        "{text}"
    );
    serde_json::from_str(&text).expect("the document")
}

fn login(server: &Server) -> Value {
    json!({"credentials": [{"registry": host(server), "username": "app", "password": "hunter2-pw"}]})
}

fn reasons(found: &Reachability) -> Vec<String> {
    let images = found.images.iter();
    images
        .map(|image| {
            let failure = image.failure.as_ref();
            failure.map_or_else(String::new, |it| format!("{:?}", it.reason))
        })
        .collect()
}

#[tokio::test]
async fn what_images_share_is_asked_for_once() {
    let server = Server::start(registry).await;
    let found = found(&server, 50, json!({})).await;
    assert_eq!(reasons(&found), vec![String::new(); 50]);
    // The API, 50 manifests, one configuration, one layer.
    assert_eq!(found.requests.all, 53);
    assert_eq!((found.requests.manifests, found.requests.blobs), (50, 2));
    assert_eq!(found.images[49].bytes, CONFIG.len() as u64 + 4);
}

#[tokio::test]
async fn no_credential_follows_a_redirect_and_no_signature_is_told() {
    let storage = Server::start(|request| {
        assert_eq!(request.raw_query, "X-Amz-Signature=hunter2");
        Reply::json("")
    })
    .await;
    let target = format!("{}/blob?X-Amz-Signature=hunter2", storage.address);
    let server = Server::start(move |request| {
        if !request.headers.contains_key("authorization") {
            return Reply::status(401, "x", "x").header("www-authenticate", "Basic realm=\"a, b\"");
        }
        if request.method == "HEAD" {
            return Reply::json("").moved(&target);
        }
        registry(request)
    })
    .await;
    let found = found(&server, 1, login(&server)).await;
    assert_eq!(reasons(&found), [""]);
    assert_eq!(found.credentials[0].outcome, "accepted");
    let seen = storage.seen();
    assert_eq!(seen.len(), 1);
    assert!(
        seen.iter()
            .all(|request| !request.headers.contains_key("authorization"))
    );
}

#[tokio::test]
async fn storage_that_refuses_head_is_asked_for_a_byte() {
    let storage = Server::start(|request| {
        if request.method == "HEAD" {
            return Reply::status(403, "x", "signed for GET");
        }
        assert_eq!(request.headers["range"], "bytes=0-0");
        Reply::json("f")
    })
    .await;
    let target = storage.address.clone();
    let server = Server::start(move |request| {
        let is_layer = request.path.ends_with(&digest(b"four", ""));
        if is_layer {
            Reply::json("").moved(&target)
        } else {
            registry(request)
        }
    })
    .await;
    assert_eq!(reasons(&found(&server, 1, json!({})).await), [""]);
}

#[tokio::test]
async fn patience_is_what_a_registry_asks_for() {
    let log: std::sync::Mutex<u32> = std::sync::Mutex::new(0);
    let server = Server::start(move |request| {
        let mut count = log.lock().expect("a count");
        *count += 1;
        if *count == 2 {
            return Reply::status(429, "x", "x").header("retry-after", "0");
        }
        registry(request)
    })
    .await;
    let patient = found(&server, 1, json!({})).await;
    assert_eq!(
        (reasons(&patient), patient.requests.repeated),
        (vec![String::new()], 1)
    );

    let server = Server::start(|request| match request.path.as_str() {
        "/v2/" => registry(request),
        _ => Reply::status(429, "x", "x").header("retry-after", "3600"),
    })
    .await;
    assert_eq!(
        reasons(&found(&server, 1, json!({})).await),
        ["RateLimited"]
    );
}

#[tokio::test]
async fn a_quarter_of_a_limit_is_left() {
    let server = Server::start(|request| {
        registry(request)
            .header("ratelimit-limit", "100;w=21600")
            .header("ratelimit-remaining", "25;w=21600")
    })
    .await;
    let found = found(&server, 2, json!({})).await;
    assert_eq!(reasons(&found), ["RateLimited", "RateLimited"]);
    assert_eq!(
        found.servers[0]
            .rate_limit
            .as_ref()
            .and_then(|it| it.remaining),
        Some(25)
    );
    assert!(server.seen().iter().all(|request| request.path == "/v2/"));
}

#[tokio::test]
async fn tokens_are_asked_for_once_and_a_refusal_says_nothing_back() {
    let service = Server::start(|request| {
        assert_eq!(request.query["scope"], "repository:team/app:pull");
        Reply::json(r#"{"token": "opaque-token"}"#)
    })
    .await;
    let realm = service.address.clone();
    let server = Server::start(move |request| {
        let challenge = format!("Bearer realm=\"{realm}/token\",service=\"test\"");
        match request.headers.get("authorization").map(String::as_str) {
            Some("Bearer opaque-token") if !request.path.ends_with('1') => registry(request),
            Some(_) => Reply::status(403, "x", "x").replacing(
                "\"kind\"",
                r#""errors":[{"code":"DENIED","message":"no hunter2-pw"}],"kind""#,
            ),
            None => Reply::status(401, "x", "x").header("www-authenticate", &challenge),
        }
    })
    .await;
    let found = found(&server, 3, login(&server)).await;
    assert_eq!(reasons(&found), ["", "Denied", ""]);
    assert_eq!(found.requests.tokens, 1);
    let message = &found.images[1].failure.as_ref().expect("a failure").message;
    assert!(message.contains("403 DENIED: no …"), "{message}");
}

#[tokio::test]
async fn a_service_that_wants_the_password_in_clear_or_elsewhere_is_refused() {
    for (realm, words) in [
        ("http://169.254.169.254/token", "link-local"),
        ("ftp://example.com/", "credentials would go in clear"),
    ] {
        let server = Server::start(move |_| {
            Reply::status(401, "x", "x")
                .header("www-authenticate", &format!("Bearer realm=\"{realm}\""))
        })
        .await;
        let found = found(&server, 1, login(&server)).await;
        assert_eq!(reasons(&found), ["BadChallenge"]);
        let message = &found.images[0].failure.as_ref().expect("a failure").message;
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn bytes_that_are_not_those_of_the_digest() {
    let server = Server::start(registry).await;
    let host = host(&server);
    let other = digest(b"something else", "");
    let good = digest(manifest().as_bytes(), "");
    let images = json!({"images": [format!("{host}/a@{other}"), format!("{host}/a@{good}")]});
    let mut found = found(&server, 0, images).await;
    found.images.sort_by_key(|image| image.failure.is_some());
    assert_eq!(reasons(&found), ["", "DigestMismatch"]);
}

#[tokio::test]
async fn nothing_is_written_without_the_operators_consent() {
    let server = Server::start(|request| match request.method.as_str() {
        "POST" => {
            assert_eq!(request.path, "/v2/team/app/blobs/uploads/");
            let upload = "http://elsewhere.test/v2/team/app/blobs/uploads/1?state=x";
            Reply::json("").moved(upload).accepted()
        }
        "DELETE" => Reply::json(""),
        _ => registry(request),
    })
    .await;
    let host = host(&server);
    let config = json!({"push": [format!("{host}/team/app")], "plainHttp": [host]});
    for (writes, methods) in [
        (Writes::Refused, vec![]),
        (Writes::Allowed, vec!["GET", "POST", "DELETE"]),
    ] {
        let context = crate::collector::Context {
            writes,
            ..context(None)
        };
        let before = server.seen().len();
        let (settings, stop) = (Settings::default(), Stop::default());
        let collected = collect(&context, "registry", &config, &settings, &stop).await;
        let found = collected
            .json("registry/registry/reachability.json")
            .expect("a file");
        let seen = server.seen().split_off(before);
        let asked: Vec<&str> = seen.iter().map(|it| it.method.as_str()).collect();
        assert_eq!(asked, methods, "{found:#}");
        let push = &found["pushes"][0];
        assert_eq!(push["cancelled"], writes == Writes::Allowed, "{push}");
    }
    let last = server.seen().pop().expect("a request");
    assert_eq!(last.path, "/v2/team/app/blobs/uploads/1");
}

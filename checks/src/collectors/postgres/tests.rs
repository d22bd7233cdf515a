use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::run::{Settings, Stop};
use crate::testing::{Collected, Reply, Server, collect, context};

const PASSWORD: &str = "s3cret-Xq9";

/// What stands in a log when a client has gone.
const END: &[u8] = b"(the client has gone)";

/// A server that sends `bytes` whenever something comes, and then ends; what it was sent, and its port.
async fn saying(bytes: Vec<u8>) -> (Arc<Mutex<Vec<u8>>>, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
    let log = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (bytes, log) = (bytes.clone(), Arc::clone(&log));
            tokio::spawn(async move {
                let mut first = [0; 1024];
                let read = stream.read(&mut first).await.unwrap_or_default();
                locked_extend(&log, &first[..read]);
                // A client that goes away in the middle is part of the scenarios.
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                locked_extend(&log, &rest);
                locked_extend(&log, END);
            });
        }
    });
    (heard, port)
}

fn locked_extend(log: &Mutex<Vec<u8>>, bytes: &[u8]) {
    crate::collector::locked(log).extend_from_slice(bytes);
}

/// A message of the protocol.
fn message(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 4).expect("a short message");
    [&[kind][..], &length.to_be_bytes(), content].concat()
}

async fn collected(context: &Context, config: &Value) -> Collected {
    let (settings, stop) = (Settings::default(), Stop::default());
    collect(context, "postgres", config, &settings, &stop).await
}

async fn reason_of(uri: &str) -> (Value, String) {
    let collected = collected(&context(None), &json!({"uri": uri})).await;
    let limits = collected
        .json("postgres/postgres/limits.json")
        .expect("a file");
    let text: Vec<String> = collected
        .paths()
        .iter()
        .filter_map(|path| collected.text(path))
        .collect();
    (limits["failure"]["reason"].clone(), text.join("\n"))
}

#[tokio::test]
async fn what_answers_is_told_by_its_first_bytes() {
    let refusal = |code: &str, text: &str| {
        message(
            b'E',
            format!("SFATAL\0VFATAL\0C{code}\0M{text}\0\0").as_bytes(),
        )
    };
    let negative = [&b"R"[..], &(-5_i32).to_be_bytes()].concat();
    let huge = [&b"R"[..], &i32::MAX.to_be_bytes(), &[0; 64]].concat();
    for (what, bytes, reason) in [
        (
            "an HTTP server",
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            "notPostgres",
        ),
        ("an SSH server", b"SSH-2.0-x\r\n".to_vec(), "notPostgres"),
        ("silence and an end", Vec::new(), "closedByServer"),
        (
            "a full server",
            refusal("53300", "sorry, too many clients already"),
            "tooManyConnections",
        ),
        (
            "a server that starts",
            refusal("57P03", "the database system is starting up"),
            "startingUp",
        ),
        (
            "a full pooler",
            refusal("08P01", "no more connections allowed (max_client_conn)"),
            "poolerFull",
        ),
        (
            "Kerberos",
            message(b'R', &7_i32.to_be_bytes()),
            "authenticationUnsupported",
        ),
        ("a length that is none", negative, "notPostgres"),
        ("a length beyond all measure", huge, "notPostgres"),
        ("half a message", b"R\0\0\0".to_vec(), "other"),
    ] {
        let (_, port) = saying(bytes).await;
        let uri = format!(
            "postgres://app:{PASSWORD}@127.0.0.1:{port}/x?sslmode=disable&connect_timeout=5"
        );
        let (found, text) = reason_of(&uri).await;
        assert_eq!(found, reason, "{what}: {text}");
        assert!(!text.contains(PASSWORD), "{text}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_before_the_password_goes_out() {
    for (mode, refused) in [
        ("require", true),
        ("verify-ca", true),
        ("verify-full", true),
        ("prefer", false),
    ] {
        let (heard, port) = saying(b"N".to_vec()).await;
        let (found, text) = reason_of(&format!(
            "postgres://app:{PASSWORD}@127.0.0.1:{port}/x?sslmode={mode}"
        ))
        .await;
        assert_eq!(found == "tlsRefused", refused, "{mode}: {text}");
        let sent = loop {
            let sent = crate::collector::locked(&heard).clone();
            if sent.ends_with(END) {
                break sent;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        };
        let startup = String::from_utf8_lossy(&sent).contains("application_name");
        assert_eq!(startup, !refused, "{mode}");
    }
}

#[tokio::test]
async fn more_than_one_byte_after_the_request_for_tls_is_no_answer() {
    let (_, port) = saying(b"SR\0\0\0\x08\0\0\0\0".to_vec()).await;
    let (found, _) = reason_of(&format!("postgres://app@127.0.0.1:{port}/x")).await;
    assert_eq!(found, "notPostgres");
}

#[tokio::test]
async fn what_the_spec_holds_is_in_no_file() {
    for uri in [
        format!("postgres://app:{PASSWORD}@127.0.0.1:1/x"),
        format!("postgres://app:{PASSWORD}@more@127.0.0.1:1/x"),
        format!("postgres://app:{PASSWORD}#@127.0.0.1:1/x"),
        format!("host=127.0.0.1 port=1 user=app password={PASSWORD}"),
        format!("host=127.0.0.1 port=1 user=app password=a {PASSWORD}"),
        format!("mysql://app:{PASSWORD}@127.0.0.1/x"),
    ] {
        let (reason, text) = reason_of(&uri).await;
        assert!(
            reason == "connectionRefused" || reason == "badConnectionString",
            "{uri}: {text}"
        );
        assert!(!text.contains(PASSWORD), "{text}");
    }
}

fn secret(value: &str) -> Value {
    json!({"metadata": {"name": "db"}, "data": {"uri": STANDARD.encode(value), "password": STANDARD.encode(PASSWORD)}})
}

#[tokio::test]
async fn the_connection_string_of_a_secret() {
    let server = Server::start(|request| match request.path.as_str() {
        path if path.ends_with("reviews") => Reply::json(json!({"status": {"allowed": true}})),
        "/api/v1/namespaces/shop/secrets/db" => Reply::json(secret(&format!(
            "postgres://app:{PASSWORD}@127.0.0.1:1/x\n"
        ))),
        "/api/v1/namespaces/shop/secrets/odd" => {
            Reply::json(format!("{{\"data\": {{\"uri\": \"{PASSWORD}!\"}}}}"))
        }
        "/api/v1/namespaces/shop/secrets/shut" => Reply::status(403, "Forbidden", "no"),
        _ => Reply::status(404, "NotFound", "no such Secret"),
    })
    .await;
    let mut context = server.context();
    context.namespace = Some("shop".to_owned());
    for (secret, reason, words) in [
        (
            json!({"namespace": "shop", "name": "db"}),
            "connectionRefused",
            "cannot connect to 127.0.0.1:1",
        ),
        (
            json!({"name": "db"}),
            "connectionRefused",
            "cannot connect to 127.0.0.1:1",
        ),
        (
            json!({"namespace": "shop", "name": "db", "key": "dsn"}),
            "secretMissing",
            "it has password, uri",
        ),
        (
            json!({"namespace": "shop", "name": "absent"}),
            "secretMissing",
            "shop/absent is not there",
        ),
        (
            json!({"namespace": "shop", "name": "odd"}),
            "secretUnread",
            "malformed",
        ),
        (
            json!({"namespace": "shop", "name": "shut"}),
            "secretUnread",
            "403",
        ),
    ] {
        let collected = collected(&context, &json!({"secret": secret})).await;
        let limits = collected
            .json("postgres/postgres/limits.json")
            .expect("a file");
        assert_eq!(limits["failure"]["reason"], reason, "{limits:#}");
        let connection = collected.text("postgres/postgres.json").expect("a file");
        assert!(
            connection.starts_with("{\"isConnected\":false,\"error\":\""),
            "{connection}"
        );
        assert!(connection.contains(words), "{connection}");
        assert!(
            !format!("{limits}{connection}").contains(PASSWORD),
            "{limits:#}"
        );
    }
}

#[test]
fn only_the_secrets_that_are_named_are_asked_for() {
    let config = json!({"secret": {"namespace": "shop", "name": "db"}, "tls": {"secret": {"name": "ca"}},
        "console": {"secret": {"namespace": "shop", "name": "stats"}}});
    let parsed = parse(&config, &Meta::default()).expect("it parses");
    let shown: Vec<String> = parsed
        .config
        .permissions(Some("run"))
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        shown,
        [
            "get secrets \"ca\" in namespace \"run\"",
            "get secrets \"db\" in namespace \"shop\"",
            "get secrets \"stats\" in namespace \"shop\"",
        ]
    );
    let own = parse(&json!({"uri": "host=a"}), &Meta::default()).expect("it parses");
    assert_eq!(own.config.permissions(None), []);
    for broken in [
        json!({"uri": "host=a", "secret": {"name": "b"}}),
        json!({"secret": {"key": "x"}}),
        json!({"uri": "host=a", "timeout": "soon"}),
    ] {
        assert!(parse(&broken, &Meta::default()).is_err(), "{broken}");
    }
}

#[tokio::test]
async fn the_time_for_all_of_it_ends_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    let config = json!({"uri": format!("postgres://app@127.0.0.1:{port}/x"), "timeout": "300ms"});
    let collected = collected(&context(None), &config).await;
    let limits = collected
        .json("postgres/postgres/limits.json")
        .expect("a file");
    assert_eq!(limits["failure"]["reason"], "deadline", "{limits:#}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever a server sends, there is an answer.
    #[test]
    fn no_server_breaks_the_collector(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            (prop::sample::select(&b"RENSKZv"[..]), prop::collection::vec(any::<u8>(), 0..60)).prop_map(|(kind, content)| message(kind, &content)),
        ],
        mode in prop::sample::select(&["disable", "prefer", "require"][..]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (_, port) = saying(bytes).await;
            let uri = format!("postgres://app:{PASSWORD}@127.0.0.1:{port}/x?sslmode={mode}&connect_timeout=2");
            let (reason, text) = reason_of(&uri).await;
            prop_assert!(reason.is_string(), "{}", text);
            prop_assert!(!text.contains(PASSWORD), "{}", text);
            Ok(())
        })?;
    }
}

/// The collector with `from: pod` whose connection string is in a Secret of `shop`.
fn from_pod() -> Box<dyn Collector> {
    let config = json!({"from": "pod", "timeout": "20s",
        "secret": {"namespace": "shop", "name": "db"}, "tls": {"secret": {"namespace": "shop", "name": "ca"}},
        "console": {"secret": {"namespace": "shop", "name": "db", "key": "console"}}});
    (KIND.parse)(&config, &Meta::default())
        .expect("a configuration")
        .config
}

#[tokio::test]
async fn what_a_pod_is_told_holds_everything_that_the_configuration_names() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/api/v1/namespaces/shop/secrets/db" => Reply::json(json!({"data": {
            "uri": STANDARD.encode("postgres://app:s3cret-Xq9@db.shop/app"),
            "console": STANDARD.encode("postgres://stats@pooler.shop/pgbouncer"),
        }})),
        _ => Reply::json(json!({"data": {"cacert": STANDARD.encode("an authority")}})),
    })
    .await;
    let collector = from_pod();
    let namespace = "shop".to_owned();
    assert_eq!(collector.place(None), Place::Pod { namespace });
    let output = Output::new(crate::testing::archive());
    let portable = collector.portable(&server.context(), &output).await;
    let portable = portable
        .expect("Secrets that are there")
        .expect("a configuration");
    assert_eq!(
        portable,
        json!({
            "uri": "postgres://app:s3cret-Xq9@db.shop/app",
            "tls": {"skipVerify": false, "cacert": "an authority", "clientCert": "", "clientKey": ""},
            "console": {"uri": "postgres://stats@pooler.shop/pgbouncer"},
            "timeout": "20s",
            "resolvedFrom": "Secret shop/db, key uri, used from a pod",
        })
    );
    let parsed = (KIND.parse)(&portable, &Meta::default()).expect("it is a configuration");
    assert_eq!(parsed.ignored, [""; 0]);
    assert_eq!(parsed.config.place(None), Place::Here);
    assert_eq!(parsed.config.deadline(), collector.deadline());
    assert_eq!(parsed.config.permissions(None), []);
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_the_answer_before_any_pod() {
    let server = Server::start(|_| Reply::status(404, "NotFound", "no")).await;
    let archive = crate::testing::archive();
    let output = Output::new(Arc::clone(&archive));
    let portable = from_pod().portable(&server.context(), &output).await;
    assert_eq!(portable.expect("an answer"), None);
    for path in from_pod().files(None) {
        let path = BundlePath::new(&path).expect("a path");
        assert!(archive.contains(&path), "{path}");
    }
}

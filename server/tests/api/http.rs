//! The API on a socket: who may ask, and how an answer comes.

use std::fmt::Write as _;
use std::net::SocketAddr;

use assay_server::{ServeError, Token, serve};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::bundles::{api, list, pod};

const TOKEN: &str = "abcdefghijklmnopqrstuvwxyz0123456789";

type Header<'a> = (&'a str, &'a str);
type Error = Box<dyn std::error::Error>;

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
}

async fn start(count: usize) -> Result<Running, Error> {
    let pods: Vec<Value> = (0..count)
        .map(|number| pod("a", &format!("p{number:06}"), &["c"]))
        .collect();
    start_with(&pods).await
}

async fn start_with(pods: &[Value]) -> Result<Running, Error> {
    let api = api(&[("cluster-resources/pods/a.json", list("Pod", "v1", pods))]);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    let task = tokio::spawn(serve(api, listener, Token::new(TOKEN)?, shutdown));
    Ok(Running {
        address,
        stop,
        task,
    })
}

impl Running {
    /// Sends a request and reads until the server closes.
    async fn ask(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Result<String, Error> {
        let mut stream = TcpStream::connect(self.address).await?;
        let mut text = format!(
            "{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text.push_str("\r\n");
        text.push_str(body);
        // A server that refuses may close before it has read everything.
        let _ = stream.write_all(text.as_bytes()).await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    async fn stop(self) -> Result<(), Error> {
        let _ = self.stop.send(());
        Ok(self.task.await??)
    }
}

fn code(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn only_this_machine_with_the_token_is_answered() -> Result<(), Error> {
    let running = start(1).await?;
    let host = running.address.to_string();
    let bearer = format!("Bearer {TOKEN}");
    let with_path = format!("GET /{TOKEN}/version");
    let good = ("Host", host.as_str());
    let cases: Vec<(&str, Vec<Header<'_>>, &str)> = vec![
        (
            "GET /healthz",
            vec![good, ("Authorization", &bearer)],
            "200",
        ),
        (
            "GET /healthz",
            vec![("Host", "localhost:1"), ("Authorization", &bearer)],
            "200",
        ),
        (
            "GET /healthz",
            vec![("Host", "[::1]:99"), ("Authorization", &bearer)],
            "200",
        ),
        (&with_path, vec![good], "404"),
        ("GET /healthz", vec![good], "401"),
        (
            "GET /healthz",
            vec![good, ("Authorization", "Bearer wrong")],
            "401",
        ),
        (
            "GET /healthz",
            vec![("Host", "evil.example.com"), ("Authorization", &bearer)],
            "403",
        ),
        (
            "GET /healthz",
            vec![
                ("Host", "127.0.0.1.evil.example.com"),
                ("Authorization", &bearer),
            ],
            "403",
        ),
        (
            "GET /healthz",
            vec![
                good,
                ("Authorization", &bearer),
                ("Origin", "http://evil.example.com"),
            ],
            "403",
        ),
        (
            "GET /healthz",
            vec![good, ("Authorization", &bearer), ("Origin", "null")],
            "403",
        ),
        (
            "DELETE /api/v1/namespaces/a/pods/p000000",
            vec![good, ("Authorization", &bearer)],
            "405",
        ),
    ];
    for (line, headers, expected) in cases {
        let answer = running.ask(line, &headers, "").await?;
        assert_eq!(code(&answer), expected, "{line} {headers:?}: {answer}");
        if expected != "200" {
            let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
            assert!(body.contains(r#""kind":"Status""#), "{answer}");
        }
    }
    running.stop().await
}

#[tokio::test]
async fn lists_are_streamed_and_heads_are_empty() -> Result<(), Error> {
    let running = start(20_000).await?;
    let host = running.address.to_string();
    let list = running
        .ask(&format!("GET /{TOKEN}/api/v1/pods"), &[("Host", &host)], "")
        .await?;
    assert_eq!(code(&list), "200");
    assert!(
        list.contains("transfer-encoding: chunked"),
        "a list is not held in memory"
    );
    assert_eq!(list.matches("\"p0").count(), 20_000);
    let head = running
        .ask(
            &format!("HEAD /{TOKEN}/api/v1/pods"),
            &[("Host", &host)],
            "",
        )
        .await?;
    assert_eq!((code(&head), head.ends_with("\r\n\r\n")), ("200", true));
    let review = format!("POST /{TOKEN}/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
    let body = r#"{"spec":{"resourceAttributes":{"verb":"list","resource":"pods"}}}"#;
    let answer = running.ask(&review, &[("Host", &host)], body).await?;
    assert!(answer.contains(r#""allowed":true"#), "{answer}");
    let long = " ".repeat(70_000);
    assert_eq!(
        code(&running.ask(&review, &[("Host", &host)], &long).await?),
        "413"
    );
    running.stop().await
}

#[tokio::test]
async fn a_client_that_stops_reading_does_not_hold_the_shutdown() -> Result<(), Error> {
    let running = start(20_000).await?;
    let mut stalled = TcpStream::connect(running.address).await?;
    let request = format!("GET /{TOKEN}/api/v1/pods HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stalled.write_all(request.as_bytes()).await?;
    stalled.read_exact(&mut [0; 16]).await?;
    running.stop().await
}

#[tokio::test]
async fn more_than_can_be_answered_at_once_is_sent_back() -> Result<(), Error> {
    // More than the sockets of both sides take, so that each answer stays under way.
    let pods: Vec<Value> = (0..4000)
        .map(|number| {
            let mut large = pod("a", &format!("p{number}"), &["c"]);
            large["metadata"]["annotations"] = serde_json::json!({ "text": "x".repeat(3000) });
            large
        })
        .collect();
    let running = start_with(&pods).await?;
    let mut stalled = Vec::new();
    for _ in 0..64 {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        let mut stream = socket.connect(running.address).await?;
        let request = format!("GET /{TOKEN}/api/v1/pods HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        stream.read_exact(&mut [0; 16]).await?;
        stalled.push(stream);
    }
    let answer = running
        .ask(
            &format!("GET /{TOKEN}/api/v1/pods"),
            &[("Host", "localhost")],
            "",
        )
        .await?;
    assert_eq!(code(&answer), "429", "{answer:.200}");
    assert!(
        answer.to_lowercase().contains("retry-after: 1"),
        "{answer:.200}"
    );
    drop(stalled);
    running.stop().await
}

#[tokio::test]
async fn other_machines_are_not_served() -> Result<(), Error> {
    let listener = TcpListener::bind(("0.0.0.0", 0)).await?;
    let api = api(&[("cluster-resources/pods/a.json", list("Pod", "v1", &[]))]);
    let served = serve(api, listener, Token::new(TOKEN)?, std::future::pending()).await;
    assert!(
        matches!(served, Err(ServeError::NotLoopback(_))),
        "{served:?}"
    );
    Ok(())
}

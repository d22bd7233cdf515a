//! Requests of version 4 signed by hand, for what a test must ask a server itself: what the product signs with is not
//! asked.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest, Sha256, Sha512};

use super::servers::{ACCESS_KEY, REGION, SECRET_KEY};

/// Temporary keys.
#[derive(Clone)]
pub(super) struct Temporary {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    pub(super) token: String,
}

impl Temporary {
    /// Given out by `MinIO`'s STS, for what a policy allows.
    pub(super) fn given(port: u16, policy: &str) -> Self {
        let mut body =
            "Action=AssumeRole&Version=2011-06-15&DurationSeconds=900&Policy=".to_owned();
        for byte in policy.bytes() {
            // Writing to a String cannot fail.
            let _ = write!(body, "%{byte:02X}");
        }
        let form = ("content-type", "application/x-www-form-urlencoded");
        let answer = ask(port, "sts", "POST", "/", "", &[form], &body);
        let value = |name: &str| {
            let (_, rest) = answer
                .split_once(&format!("<{name}>"))
                .unwrap_or_else(|| panic!("{answer}"));
            rest.split('<').next().unwrap_or_default().to_owned()
        };
        Self {
            access_key: value("AccessKeyId"),
            secret_key: value("SecretAccessKey"),
            token: value("SessionToken"),
        }
    }

    /// The same with a token that ended an hour ago, signed as the server signs them.
    pub(super) fn ended(&self) -> Self {
        let claims = self.token.split('.').nth(1).expect("three parts");
        let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64");
        let mut claims: Value = serde_json::from_slice(&claims).expect("JSON");
        claims["exp"] = (jiff::Timestamp::now().as_second() - 3600).into();
        let text = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"HS512","typ":"JWT"}"#),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature = hmac::<Sha512>(128, SECRET_KEY.as_bytes(), text.as_bytes());
        Self {
            token: format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)),
            ..self.clone()
        }
    }

    /// The lines of a collector that has these keys.
    pub(super) fn lines(&self) -> String {
        let Self {
            access_key,
            secret_key,
            token,
        } = self;
        format!(
            "accessKeyID: {access_key}\nsecretAccessKey: \"{secret_key}\"\nsessionToken: {token}"
        )
    }
}

/// The whole answer to a request with the root's keys; `query` and `headers` are sorted and encoded.
pub(super) fn ask(
    port: u16,
    service: &str,
    method: &str,
    path: &str,
    query: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> String {
    let stamp = jiff::Timestamp::now()
        .strftime("%Y%m%dT%H%M%SZ")
        .to_string();
    let scope = format!("{}/{REGION}/{service}/aws4_request", &stamp[..8]);
    let digest = hex::encode(Sha256::digest(body));
    let host = format!("127.0.0.1:{port}");
    let mut all: Vec<(&str, &str)> = headers.to_vec();
    all.extend([
        ("host", host.as_str()),
        ("x-amz-content-sha256", &digest),
        ("x-amz-date", &stamp),
    ]);
    all.sort_unstable();
    let lines = all.iter().fold(String::new(), |text, (name, value)| {
        format!("{text}{name}:{value}\n")
    });
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{digest}");
    let text = format!(
        "AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}",
        hex::encode(Sha256::digest(canonical))
    );
    let key = [&stamp[..8], REGION, service, "aws4_request", &text]
        .iter()
        .fold(format!("AWS4{SECRET_KEY}").into_bytes(), |key, part| {
            hmac::<Sha256>(64, &key, part.as_bytes())
        });
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={names}, Signature={}",
        hex::encode(&key)
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server takes connections");
    let target = match query {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    };
    let lines = lines.replace('\n', "\r\n");
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\n{lines}authorization: {authorization}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// The same where it must succeed.
#[track_caller]
pub(super) fn done(
    port: u16,
    method: &str,
    path: &str,
    query: &str,
    headers: &[(&str, &str)],
    body: &str,
) {
    let answer = ask(port, "s3", method, path, query, headers, body);
    assert!(
        answer.starts_with("HTTP/1.1 20"),
        "{method} {path}?{query}: {answer}"
    );
}

fn hmac<D: Digest>(block: usize, key: &[u8], text: &[u8]) -> Vec<u8> {
    assert!(key.len() <= block, "longer keys are hashed first");
    let pad = |with: u8| -> Vec<u8> {
        let key = key.iter().copied().chain(std::iter::repeat(0));
        key.take(block).map(|byte| byte ^ with).collect()
    };
    let inner = D::digest([pad(0x36), text.to_vec()].concat());
    D::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

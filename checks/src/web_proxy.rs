//! A proxy between here and a server, for probes that walk the way to it by hand.

use std::fmt;
use std::io;
use std::net::IpAddr;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest head of an answer that is read.
const HEAD: usize = 8 << 10;
/// The longest line of it that is told.
const LINE: usize = 200;

/// A proxy. It has no `Debug`: it holds a login.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) uri: Uri,
    pub(crate) authorization: Option<HeaderValue>,
}

impl From<Intercept> for Proxy {
    fn from(found: Intercept) -> Self {
        Self {
            uri: found.uri().clone(),
            authorization: found.basic_auth().cloned(),
        }
    }
}

impl fmt::Display for Proxy {
    /// `http://host:port`, without the login.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.uri.scheme_str().unwrap_or("http");
        write!(formatter, "{scheme}://{}:{}", self.host(), self.port())
    }
}

impl Proxy {
    /// The one that `matcher` has for an address: as in Go and Python never for this machine itself.
    pub(crate) fn of(matcher: &Matcher, address: &Uri) -> Option<Self> {
        let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
        let parsed = host.parse::<IpAddr>();
        if host == "localhost" || parsed.is_ok_and(|address| address.is_loopback()) {
            return None;
        }
        matcher.intercept(address).map(Self::from)
    }

    /// In brackets where it is an address of IPv6.
    pub(crate) fn host(&self) -> &str {
        self.uri.host().unwrap_or_default()
    }

    pub(crate) fn port(&self) -> u16 {
        let default = if self.is_tls() { 443 } else { 80 };
        self.uri.port_u16().unwrap_or(default)
    }

    /// Whether it is itself spoken to in TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// Asks for a way to `target`, `host:port` (RFC 9110, section 9.3.6). What is made of the answer is the caller's, and
    /// so is the deadline.
    pub(crate) async fn connect(
        &self,
        channel: &mut (impl AsyncRead + AsyncWrite + Unpin),
        target: &str,
    ) -> io::Result<Connected> {
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        if let Some(authorization) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(authorization.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        channel.write_all(&request).await?;
        let head = head(channel).await?;
        let line = head.lines().next().unwrap_or_default();
        let status = line
            .strip_prefix("HTTP/")
            .and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        Ok(Connected {
            status,
            line: printable(line),
        })
    }
}

/// What a proxy answers to CONNECT.
pub(crate) struct Connected {
    /// `None` where what answers is no proxy.
    pub(crate) status: Option<u16>,
    /// Its first line.
    pub(crate) line: String,
}

/// The head of an answer. An error where the connection ends without a byte.
pub(crate) async fn head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut bytes = Vec::new();
    while bytes.len() < HEAD && !bytes.ends_with(b"\r\n\r\n") {
        // Byte by byte: what follows belongs to TLS.
        match stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(error) if bytes.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A line as it may stand in a message.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .filter(|char| !char.is_control())
        .take(LINE)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_proxy_answers_is_read_and_no_byte_more() {
        let endless = "x".repeat(3 * HEAD);
        for (answer, status, rest) in [
            (
                "HTTP/1.1 200 Connection established\r\nVia: 1\r\n\r\nTLS",
                Some(200),
                3,
            ),
            ("HTTP/1.0 407 no\x1b[0m\r\n\r\n", Some(407), 0),
            ("SSH-2.0-OpenSSH_9.2\r\n", None, 0),
            ("HTTP/1.1 hello\r\n\r\n", None, 0),
            (&endless, None, 2 * HEAD),
        ] {
            let (mut near, mut far) = tokio::io::duplex(4 * HEAD);
            far.write_all(answer.as_bytes())
                .await
                .expect("there is room");
            let proxy = Proxy {
                uri: Uri::from_static("http://proxy.test"),
                authorization: Some(HeaderValue::from_static("Basic bG9naW4=")),
            };
            let asked = async {
                let connected = proxy.connect(&mut near, "s3.test:443").await;
                let mut left = Vec::new();
                drop(near.shutdown().await);
                near.read_to_end(&mut left).await.expect("what is left");
                (connected.expect("an answer"), left.len())
            };
            let heard = async {
                let mut request = [0; 88];
                far.read_exact(&mut request).await.expect("a request");
                drop(far);
                String::from_utf8_lossy(&request).into_owned()
            };
            let ((connected, left), request) = tokio::join!(asked, heard);
            assert_eq!((connected.status, left), (status, rest), "{answer:.40}");
            assert!(!connected.line.contains('\x1b') && connected.line.len() <= LINE);
            assert_eq!(
                request,
                "CONNECT s3.test:443 HTTP/1.1\r\nHost: s3.test:443\r\nProxy-Authorization: Basic bG9naW4=\r\n\r\n"
            );
            assert_eq!(proxy.to_string(), "http://proxy.test:80");
        }
        let (mut near, far) = tokio::io::duplex(64);
        drop(far);
        let proxy = Proxy {
            uri: Uri::from_static("https://proxy.test"),
            authorization: None,
        };
        assert!(proxy.connect(&mut near, "s3.test:443").await.is_err());
    }
}

//! Specs from addresses: one bounded GET.

use std::time::Duration;

use futures::StreamExt as _;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, ClientBuilder};

/// From the first byte sent to the last received.
const WHOLE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Fetched {
    /// The HTTP status code.
    pub status: u16,
    /// The body, at most as long as was asked for.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// A header cannot be sent.
    #[error("the header {0} cannot be sent")]
    Header(&'static str),
    /// The request failed: name, connection, TLS, deadline.
    #[error("GET failed: {0}")]
    Request(String),
    /// The body is longer than asked for.
    #[error("the answer is longer than {0} bytes")]
    TooLong(u64),
}

/// Gets `url`, through the proxies that the environment names, within 30 seconds and `limit` bytes.
pub async fn get(
    url: &str,
    headers: &[(&'static str, String)],
    limit: u64,
) -> Result<Fetched, FetchError> {
    let mut sent = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).map_err(|_| FetchError::Header(name))?;
        sent.insert(HeaderName::from_static(name), value);
    }
    let request = client()?.get(url).headers(sent);
    let answer = request.send().await.map_err(|error| failed(&error))?;
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    let mut pieces = answer.bytes_stream();
    while let Some(piece) = pieces.next().await {
        body.extend_from_slice(&piece.map_err(|error| failed(&error))?);
        if body.len() as u64 > limit {
            return Err(FetchError::TooLong(limit));
        }
    }
    Ok(Fetched { status, body })
}

fn client() -> Result<Client, FetchError> {
    let builder = || -> ClientBuilder {
        Client::builder()
            .user_agent(concat!("assay/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
    };
    builder().build().or_else(|_| {
        // A container without CA files has no roots to verify with; Mozilla's come along.
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS
            .iter()
            .filter_map(|root| Certificate::from_der(root).ok());
        let bundled = builder().tls_certs_only(roots).build();
        bundled.map_err(|error| failed(&error))
    })
}

/// The error with its causes, and without the address, which may hold credentials.
fn failed(error: &reqwest::Error) -> FetchError {
    use std::error::Error as _;
    let mut text = if error.is_timeout() {
        "no answer in time".to_owned()
    } else if error.is_connect() {
        "cannot connect".to_owned()
    } else {
        "the connection broke".to_owned()
    };
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    FetchError::Request(text)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn once(answer: &'static [u8]) -> std::io::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            if let Ok((mut socket, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(answer).await;
            }
        });
        Ok(format!("http://{address}/spec.yaml"))
    }

    #[tokio::test]
    async fn the_status_and_the_body_are_handed_on() -> Result<(), Box<dyn std::error::Error>> {
        let url = once(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone").await?;
        let fetched = get(&url, &[("user-agent", "x".into())], 100).await?;
        assert_eq!(
            (fetched.status, fetched.body.as_slice()),
            (404, &b"gone"[..])
        );
        Ok(())
    }

    #[tokio::test]
    async fn a_long_answer_is_refused() -> Result<(), Box<dyn std::error::Error>> {
        let url = once(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789").await?;
        let refused = get(&url, &[], 4).await;
        assert!(
            matches!(refused, Err(FetchError::TooLong(4))),
            "{refused:?}"
        );
        Ok(())
    }

    #[tokio::test]
    async fn nobody_there_is_said_without_the_address() -> Result<(), Box<dyn std::error::Error>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        drop(listener);
        let url = format!("http://user:secret@{address}/");
        let error = get(&url, &[], 100)
            .await
            .err()
            .map(|error| error.to_string());
        let text = error.unwrap_or_default();
        assert!(text.starts_with("GET failed: cannot connect"), "{text}");
        assert!(!text.contains("secret"), "{text}");
        Ok(())
    }
}

//! One GET of an address that the user or a spec names: where specs come from.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, Url};

use crate::cluster::{USER_AGENT, chain};

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The status code, after redirects.
    pub status: u16,
    /// The body, up to the limit and one byte more, so that a longer one is seen to be longer.
    pub body: Vec<u8>,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The address is none that can be asked.
    #[error("{url:?} is not an http or https address: {reason}")]
    Address {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A header is none.
    #[error("{0:?} is not an HTTP header")]
    Header(String),
    /// The connection could not be made, or broke.
    #[error("GET {url}: {reason}")]
    Connection {
        /// The address, without credentials.
        url: String,
        /// The library's words, innermost cause last.
        reason: String,
    },
    /// It took too long.
    #[error("GET {url}: no whole answer within {} s", limit.as_secs_f32())]
    Deadline {
        /// The address, without credentials.
        url: String,
        /// The deadline.
        limit: Duration,
    },
}

const CONNECT: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(30);
const WHOLE: Duration = Duration::from_mins(2);
const REDIRECTS: usize = 10;

/// Asks for `url` with `headers`, through the proxies that the environment names, and reads at most `limit`
/// bytes and one more.
pub async fn get(
    url: &str,
    headers: &[(&'static str, String)],
    limit: u64,
) -> Result<Fetched, FetchError> {
    within(WHOLE, url, headers, limit).await
}

async fn within(
    deadline: Duration,
    url: &str,
    headers: &[(&'static str, String)],
    limit: u64,
) -> Result<Fetched, FetchError> {
    let address = |reason: String| FetchError::Address {
        url: url.to_owned(),
        reason,
    };
    let parsed = Url::parse(url).map_err(|error| address(error.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(address(format!("its scheme is {}", parsed.scheme())));
    }
    let mut fields = HeaderMap::new();
    for (name, value) in headers {
        let header = || FetchError::Header((*name).to_owned());
        let value = HeaderValue::from_str(value).map_err(|_| header())?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| header())?;
        fields.append(name, value);
    }
    let shown = shown(&parsed);
    let connection = |error: reqwest::Error| FetchError::Connection {
        url: shown.clone(),
        // The address is said already, and here it could hold credentials.
        reason: chain(&error.without_url()),
    };
    let request = async {
        let client = client().map_err(connection)?;
        let request = client.get(parsed.clone()).headers(fields);
        let mut response = request.send().await.map_err(connection)?;
        let status = response.status().as_u16();
        let room = usize::try_from(limit)
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        let mut body = Vec::new();
        while body.len() < room
            && let Some(chunk) = response.chunk().await.map_err(connection)?
        {
            let fits = chunk.len().min(room - body.len());
            body.extend_from_slice(&chunk[..fits]);
        }
        tracing::debug!(url = shown, status, bytes = body.len(), "fetched");
        Ok(Fetched { status, body })
    };
    tokio::time::timeout(deadline, request)
        .await
        .unwrap_or_else(|_| {
            Err(FetchError::Deadline {
                url: shown.clone(),
                limit: deadline,
            })
        })
}

/// A client that trusts what the system trusts, and, where the system has no certificates at all, Mozilla's.
fn client() -> Result<Client, reqwest::Error> {
    let builder = || {
        Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT)
            .read_timeout(IDLE)
            .redirect(Policy::custom(follow))
    };
    builder().build().or_else(|_| {
        let bundled = webpki_root_certs::TLS_SERVER_ROOT_CERTS
            .iter()
            .filter_map(|certificate| Certificate::from_der(certificate).ok());
        builder().tls_certs_only(bundled).build()
    })
}

/// Follows redirects, but not to where clouds keep the machine's credentials: only who names that address
/// gets there.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let hops = attempt.previous().len();
    if hops > REDIRECTS {
        return attempt.error(format!("more than {REDIRECTS} redirects"));
    }
    let host = attempt.url().host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    if address.is_ok_and(is_link_local) {
        return attempt.error("a redirect leads to a link-local address");
    }
    attempt.follow()
}

pub(crate) fn is_link_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// The address without user, password and query, for messages and the log.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only for addresses that cannot have them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Reply, Server};

    #[tokio::test]
    async fn gives_status_and_body_up_to_the_limit() -> Result<(), FetchError> {
        let server = Server::start(|request| match request.path.as_str() {
            "/spec" => {
                assert_eq!(request.headers["accept"], "application/yaml");
                assert!(request.headers["user-agent"].starts_with("assay/"));
                Reply::json("0123456789")
            }
            "/moved" => Reply::json("").moved("/spec"),
            _ => Reply::status(404, "NotFound", "gone"),
        })
        .await;
        let headers = [("accept", "application/yaml".to_owned())];
        let whole = get(&format!("{}/spec", server.address), &headers, 10).await?;
        assert_eq!(
            (whole.status, whole.body.as_slice()),
            (200, &b"0123456789"[..])
        );
        let longer = get(&format!("{}/moved", server.address), &headers, 4).await?;
        assert_eq!(longer.body, b"01234");
        let missing = get(&format!("{}/none", server.address), &[], 100).await?;
        assert_eq!(missing.status, 404);
        Ok(())
    }

    #[tokio::test]
    async fn ends_when_nothing_comes() {
        let server = Server::start(|_| Reply::json("half").then_silence()).await;
        let address = server.address.replace("http://", "http://user:hunter2@");
        let url = format!("{address}/?token=hunter2");
        let error = within(Duration::from_millis(300), &url, &[], 100).await;
        let text = error.map_err(|error| error.to_string());
        assert!(text.is_err_and(
            |text| text.contains("no whole answer within 0.3 s") && !text.contains("hunter2")
        ));
    }

    #[tokio::test]
    async fn says_what_is_wrong() {
        let server =
            Server::start(|_| Reply::json("").moved("http://169.254.169.254/latest")).await;
        for (url, words) in [
            ("file:///etc/passwd", "its scheme is file"),
            ("nothing", "not an http or https address"),
            ("http://127.0.0.1:1/", "refused"),
            (server.address.as_str(), "link-local"),
        ] {
            let text = get(url, &[], 10).await.map_err(|error| error.to_string());
            assert!(
                text.as_ref().is_err_and(|text| text.contains(words)),
                "{text:?}"
            );
        }
    }
}

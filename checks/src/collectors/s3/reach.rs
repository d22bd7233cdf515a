//! From an endpoint to a connection, one link at a time, each with a deadline: names, TCP, the proxy, TLS.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bundle::collected::s3::{Link, Outcome, Reason, Step};
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::settings::{Failed, failure};
use super::tls::Tls;
use crate::web_proxy::Proxy;

/// Addresses of one name that are tried.
const ADDRESSES: usize = 8;

/// What is dialled, and by whom.
pub(super) struct Way<'a> {
    pub(super) endpoint: &'a Url,
    pub(super) proxy: Option<&'a Proxy>,
    pub(super) tls: &'a Tls,
    pub(super) step: Duration,
}

impl Way<'_> {
    /// Dials. What became of each link goes into `steps`; whether all hold is returned.
    pub(super) async fn walk(&self, steps: &mut Vec<Step>) -> bool {
        let Some((host, port)) = self.dialled() else {
            steps.push(failed(
                Link::Dns,
                failure(Reason::BadSetting, "the endpoint has no host and port"),
            ));
            return false;
        };
        let addresses = match self.addresses(&host, port).await {
            Ok(addresses) => addresses,
            Err(problem) => return broken(steps, Link::Dns, problem),
        };
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let by = self.proxy.map_or("", |_| " (the proxy)");
        steps.push(passed(
            Link::Dns,
            format!("{host}{by} is {}", shown.join(", ")),
        ));
        let (stream, address) = match self.dial(&host, &addresses).await {
            Ok(dialled) => dialled,
            Err(problem) => return broken(steps, Link::Tcp, problem),
        };
        steps.push(passed(
            Link::Tcp,
            format!("{address}{by} takes connections"),
        ));
        self.above(stream, steps).await
    }

    /// Host and port of what is dialled first.
    fn dialled(&self) -> Option<(String, u16)> {
        if let Some(proxy) = self.proxy {
            let host = proxy.host().trim_matches(['[', ']']);
            return Some((host.to_owned(), proxy.port()));
        }
        let host = self.endpoint.host_str()?.trim_matches(['[', ']']);
        Some((host.to_owned(), self.endpoint.port_or_known_default()?))
    }

    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Failed> {
        let found = timeout(self.step, tokio::net::lookup_host((host, port))).await;
        let unresolved = |text: String| failure(Reason::NameNotResolved, text);
        match found {
            Ok(Ok(found)) => {
                let found: Vec<SocketAddr> = found.take(ADDRESSES).collect();
                if found.is_empty() {
                    return Err(unresolved(format!("the name {host} has no address")));
                }
                Ok(found)
            }
            Ok(Err(error)) => Err(unresolved(format!(
                "the name {host} cannot be resolved: {error}"
            ))),
            Err(_) => Err(unresolved(format!(
                "the name {host} was not resolved within {} s",
                self.step.as_secs_f32()
            ))),
        }
    }

    async fn dial(
        &self,
        host: &str,
        addresses: &[SocketAddr],
    ) -> Result<(TcpStream, SocketAddr), Failed> {
        let mut last = failure(Reason::Unreachable, format!("{host} has no address"));
        for address in addresses {
            let dialled = timeout(self.step, TcpStream::connect(address)).await;
            last = match dialled {
                Ok(Ok(stream)) => return Ok((stream, *address)),
                Err(_) => failure(
                    Reason::ConnectTimeout,
                    format!(
                        "{address} ({host}) did not answer within {} s",
                        self.step.as_secs_f32()
                    ),
                ),
                Ok(Err(error)) => {
                    let reason = match error.kind() {
                        io::ErrorKind::ConnectionRefused => Reason::ConnectionRefused,
                        io::ErrorKind::TimedOut => Reason::ConnectTimeout,
                        _ => Reason::Unreachable,
                    };
                    failure(
                        reason,
                        format!("cannot connect to {address} ({host}): {error}"),
                    )
                }
            };
        }
        Err(last)
    }

    /// What stands on TCP: the proxy's tunnel, and TLS.
    async fn above(&self, mut stream: TcpStream, steps: &mut Vec<Step>) -> bool {
        if self.endpoint.scheme() != "https" {
            return true;
        }
        if let Some(proxy) = self.proxy {
            if proxy.is_tls() {
                let text =
                    "the proxy is spoken to in TLS: its tunnel is tried by the first request";
                steps.push(Step {
                    link: Link::Proxy,
                    outcome: Outcome::Skipped,
                    message: text.to_owned(),
                    ..Step::default()
                });
                return true;
            }
            match timeout(self.step, self.tunnel(&mut stream, proxy)).await {
                Ok(Ok(text)) => steps.push(passed(Link::Proxy, text)),
                Ok(Err(problem)) => return broken(steps, Link::Proxy, problem),
                Err(_) => {
                    let text = format!(
                        "the proxy did not answer CONNECT within {} s",
                        self.step.as_secs_f32()
                    );
                    return broken(steps, Link::Proxy, failure(Reason::NoAnswer, text));
                }
            }
        }
        match self.handshake(stream).await {
            Ok(text) => {
                steps.push(passed(Link::Tls, text));
                true
            }
            Err(problem) => broken(steps, Link::Tls, problem),
        }
    }

    /// Whether what listens speaks TLS, with whichever certificate.
    pub(super) async fn is_tls(&self) -> bool {
        let Some((host, port)) = self.dialled() else {
            return false;
        };
        let Ok(addresses) = self.addresses(&host, port).await else {
            return false;
        };
        let Ok((stream, _)) = self.dial(&host, &addresses).await else {
            return false;
        };
        match self.handshake(stream).await {
            Ok(_) => true,
            Err((failure, _)) => matches!(
                failure.reason,
                Reason::TlsUntrusted
                    | Reason::TlsExpired
                    | Reason::TlsNotYetValid
                    | Reason::TlsNameMismatch
            ),
        }
    }

    async fn tunnel(&self, stream: &mut TcpStream, proxy: &Proxy) -> Result<String, Failed> {
        let host = self.endpoint.host_str().unwrap_or_default();
        let port = self.endpoint.port_or_known_default().unwrap_or(443);
        let target = format!("{host}:{port}");
        let connected = proxy.connect(stream, &target).await.map_err(|error| {
            failure(
                Reason::ClosedByServer,
                format!("the proxy broke off at CONNECT: {error}"),
            )
        })?;
        match connected.status {
            Some(200..=299) => Ok(format!("the proxy opens a way to {target}")),
            Some(407) => Err(failure(
                Reason::ProxyAuthentication,
                if proxy.authorization.is_some() {
                    "the proxy does not take the credentials that it was given (407)"
                } else {
                    "the proxy asks for credentials (407)"
                },
            )),
            Some(502..=504) => Err(failure(
                Reason::Gateway,
                format!(
                    "the proxy cannot reach {target}: {}",
                    connected.status.unwrap_or_default()
                ),
            )),
            // The line is the proxy's own; of what it may hold only the number is safe.
            Some(other) => Err(failure(
                Reason::ProxyRefused,
                format!("the proxy refuses to open a way to {target}: {other}"),
            )),
            None => Err(failure(
                Reason::ProxyRefused,
                "what answers CONNECT is no HTTP proxy",
            )),
        }
    }

    async fn handshake(&self, stream: TcpStream) -> Result<String, Failed> {
        let host = self.endpoint.host_str().unwrap_or_default();
        let name = host.trim_matches(['[', ']']).to_owned();
        let Ok(name) = ServerName::try_from(name) else {
            let text = format!("{host} is no name that a certificate can hold");
            return Err(failure(Reason::TlsNameMismatch, text));
        };
        let connector = TlsConnector::from(std::sync::Arc::clone(&self.tls.config));
        let secured = timeout(self.step, connector.connect(name, stream)).await;
        let Ok(secured) = secured else {
            let text = format!(
                "the TLS handshake was not answered within {} s",
                self.step.as_secs_f32()
            );
            return Err(failure(Reason::NoAnswer, text));
        };
        let secured = secured.map_err(|error| {
            let (reason, text) = self.tls.explain(&error);
            failure(reason, format!("{host}: {text}"))
        })?;
        let version = secured.get_ref().1.protocol_version();
        let version = version.map_or_else(String::new, |version| {
            format!("{version:?}").replace('_', ".")
        });
        Ok(format!("{version}, {}", self.tls.certificate()))
    }
}

pub(super) fn passed(link: Link, message: impl Into<String>) -> Step {
    Step {
        link,
        outcome: Outcome::Passed,
        message: message.into(),
        failure: None,
    }
}

pub(super) fn failed(link: Link, (failure, message): Failed) -> Step {
    Step {
        link,
        outcome: Outcome::Failed,
        message,
        failure: Some(*failure),
    }
}

fn broken(steps: &mut Vec<Step>, link: Link, problem: Failed) -> bool {
    steps.push(failed(link, problem));
    false
}

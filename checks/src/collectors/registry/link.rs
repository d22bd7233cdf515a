//! The way to a server, one link at a time, each with a deadline: name, connection, proxy, TLS. The first that breaks is
//! the answer, and the rest is not reached.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bundle::collected::registry::{Failure, Reason, Server, Stage, State, Step};
use http::Uri;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tls::Trust;
use crate::web_proxy::{Connected, Proxy, head};

/// Addresses of one name that are tried.
const ADDRESSES: usize = 8;

/// Issuers of programs that speak for other servers. Their certificates say so themselves.
const INTERCEPTORS: [&str; 16] = [
    "zscaler",
    "blue coat",
    "bluecoat",
    "symantec web security",
    "fortinet",
    "fortigate",
    "palo alto",
    "netskope",
    "check point",
    "forcepoint",
    "websense",
    "sophos",
    "mcafee web gateway",
    "cisco umbrella",
    "mitmproxy",
    "squid",
];

/// A way to be walked.
pub(super) struct Way<'a> {
    /// `https://registry.example.com:5000`
    pub(super) address: &'a Uri,
    pub(super) proxy: Option<&'a Proxy>,
    pub(super) trust: &'a Trust,
    pub(super) step: Duration,
}

trait Channel: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Channel for T {}

impl Way<'_> {
    /// Walks it, and writes down how far it goes.
    pub(super) async fn walk(&self, server: &mut Server) -> Result<(), Failure> {
        let order = [Stage::Dns, Stage::Tcp, Stage::Proxy, Stage::Tls, Stage::Api];
        let empty = order.map(|stage| Step {
            stage,
            ..Step::default()
        });
        server.steps = empty.to_vec();
        let walked = self.links(server).await;
        if let Err(failure) = &walked {
            mark(server, failure.stage, State::Broken, &failure.message);
        }
        walked
    }

    async fn links(&self, server: &mut Server) -> Result<(), Failure> {
        let stream = self.dial(server).await?;
        let mut channel: Box<dyn Channel> = Box::new(stream);
        match self.proxy {
            None => mark(server, Stage::Proxy, State::None, ""),
            Some(proxy) if proxy.is_tls() => {
                let (_, made) = self.handshake(proxy.host(), channel).await?;
                let made = made.map_err(|(reason, text)| {
                    self.failure(Stage::Proxy, reason, format!("the proxy {proxy}: {text}"))
                })?;
                channel = made;
            }
            Some(_) => {}
        }
        if self.address.scheme_str() == Some("http") {
            mark(server, Stage::Tls, State::None, "HTTP in clear");
            if self.proxy.is_some() {
                mark(server, Stage::Proxy, State::Holds, "asked in clear");
            }
            return Ok(());
        }
        if let Some(proxy) = self.proxy {
            self.connect(proxy, &mut channel).await?;
            mark(server, Stage::Proxy, State::Holds, &proxy.to_string());
        }
        let (mut facts, made) = self.handshake(self.host(), channel).await?;
        let mut result = made.map(|_| ());
        if let Err((reason, text)) = &mut result {
            match reason {
                Reason::HttpOnHttpsPort => {
                    let (found, said) = self.in_clear().await;
                    (*reason, *text) = (found, said);
                }
                Reason::TlsUntrusted => {
                    facts.interception = self.interception(&facts.issuer).await;
                    if !facts.interception.is_empty() {
                        *reason = Reason::Intercepted;
                        *text = format!("{}: {text}", facts.interception);
                    }
                }
                _ => {}
            }
        } else if let Some(name) = interceptor(&facts.issuer) {
            facts.interception = format!("the certificate's issuer is a {name}");
        }
        let seen = match facts.version.as_str() {
            "" => String::new(),
            version => format!("{version}, until {}", facts.not_after),
        };
        if !facts.subject.is_empty() {
            server.tls = Some(facts);
        }
        result.map_err(|(reason, text)| self.failure(Stage::Tls, reason, text))?;
        mark(server, Stage::Tls, State::Holds, &seen);
        Ok(())
    }

    fn host(&self) -> &str {
        self.address.host().unwrap_or_default()
    }

    fn port(&self) -> u16 {
        let default = if self.address.scheme_str() == Some("http") {
            80
        } else {
            443
        };
        self.address.port_u16().unwrap_or(default)
    }

    fn failure(&self, stage: Stage, reason: Reason, text: impl std::fmt::Display) -> Failure {
        let host = self.address.authority().map_or("", |it| it.as_str());
        Failure {
            reason,
            stage,
            server: shown(self.address),
            message: format!("{host}: {text}"),
            ..Failure::default()
        }
    }

    /// To the proxy, where there is one.
    async fn dial(&self, server: &mut Server) -> Result<TcpStream, Failure> {
        let (host, port) = match self.proxy {
            Some(proxy) => (proxy.host(), proxy.port()),
            None => (self.host(), self.port()),
        };
        let host = host.trim_matches(['[', ']']);
        let addresses = self.addresses(host, port).await?;
        let names: Vec<String> = addresses.iter().map(|it| it.ip().to_string()).collect();
        let through = if self.proxy.is_some() {
            " (the proxy)"
        } else {
            ""
        };
        mark(
            server,
            Stage::Dns,
            State::Holds,
            &format!("{}{through}", names.join(", ")),
        );
        let mut last = None;
        for address in addresses {
            match self.to_address(address).await {
                Ok(stream) => {
                    mark(
                        server,
                        Stage::Tcp,
                        State::Holds,
                        &format!("{address}{through}"),
                    );
                    return Ok(stream);
                }
                Err(failure) => last = Some(failure),
            }
        }
        Err(last.unwrap_or_else(|| {
            self.failure(
                Stage::Dns,
                Reason::NameNotResolved,
                "the name has no address",
            )
        }))
    }

    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let unresolved = |text: String| {
            let who = match self.proxy {
                Some(proxy) => format!("the proxy {proxy}: "),
                None => String::new(),
            };
            self.failure(Stage::Dns, Reason::NameNotResolved, format!("{who}{text}"))
        };
        match timeout(self.step, tokio::net::lookup_host((host, port))).await {
            Ok(Ok(found)) => {
                let found: Vec<SocketAddr> = found.take(ADDRESSES).collect();
                if found.is_empty() {
                    return Err(unresolved("the name has no address".to_owned()));
                }
                Ok(found)
            }
            Ok(Err(error)) => Err(unresolved(format!("the name cannot be resolved: {error}"))),
            Err(_) => Err(unresolved(format!(
                "the name was not resolved within {} s",
                self.step.as_secs_f32()
            ))),
        }
    }

    async fn to_address(&self, address: SocketAddr) -> Result<TcpStream, Failure> {
        let who = match self.proxy {
            Some(proxy) => format!("the proxy {proxy} at {address}"),
            None => address.to_string(),
        };
        match timeout(self.step, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => {
                let reason = match error.kind() {
                    io::ErrorKind::ConnectionRefused => Reason::ConnectionRefused,
                    io::ErrorKind::TimedOut => Reason::ConnectTimeout,
                    io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                        Reason::Unreachable
                    }
                    _ => Reason::Other,
                };
                let text = format!("cannot connect to {who}: {error}");
                Err(self.failure(Stage::Tcp, reason, text))
            }
            Err(_) => {
                let text = format!("{who} did not answer within {} s", self.step.as_secs_f32());
                Err(self.failure(Stage::Tcp, Reason::ConnectTimeout, text))
            }
        }
    }

    /// Asks the proxy to let TLS through.
    async fn connect(&self, proxy: &Proxy, channel: &mut Box<dyn Channel>) -> Result<(), Failure> {
        let target = format!("{}:{}", self.host(), self.port());
        let refuse = |reason, text: String| {
            self.failure(Stage::Proxy, reason, format!("the proxy {proxy} {text}"))
        };
        let asked = timeout(self.step, proxy.connect(channel, &target)).await;
        let Connected { status, line: said } = match asked {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => {
                return Err(refuse(Reason::ProxyRefused, format!("broke off: {error}")));
            }
            Err(_) => {
                let text = format!(
                    "did not answer CONNECT within {} s",
                    self.step.as_secs_f32()
                );
                return Err(refuse(Reason::NoAnswer, text));
            }
        };
        let mut failure = match status {
            Some(200..=299) => return Ok(()),
            Some(407) => {
                let words = if proxy.authorization.is_some() {
                    "does not accept its login"
                } else {
                    "wants a login, and none is configured"
                };
                refuse(Reason::ProxyAuthentication, format!("{words}: {said}"))
            }
            Some(502..=504) => refuse(
                Reason::ProxyCannotReach,
                format!("cannot reach {target}: {said}"),
            ),
            Some(_) => refuse(
                Reason::ProxyRefused,
                format!("does not let {target} through: {said}"),
            ),
            None => refuse(
                Reason::ProxyRefused,
                format!("is none: it answered {said:?}"),
            ),
        };
        failure.status = status;
        Err(failure)
    }

    async fn handshake(
        &self,
        host: &str,
        channel: Box<dyn Channel>,
    ) -> Result<(super::Facts, Result<Box<dyn Channel>, (Reason, String)>), Failure> {
        if let Ok((facts, made)) = timeout(self.step, self.trust.handshake(host, channel)).await {
            Ok((facts, made.map(|it| Box::new(it) as Box<dyn Channel>)))
        } else {
            let text = format!(
                "the connection was accepted, and the TLS handshake not answered within {} s",
                self.step.as_secs_f32()
            );
            Err(self.failure(Stage::Tls, Reason::NoAnswer, text))
        }
    }

    /// What answers in clear where TLS was expected.
    async fn in_clear(&self) -> (Reason, String) {
        let asked = async {
            let mut ignored = Server::default();
            let mut stream = self.dial(&mut ignored).await.ok()?;
            let host = self.host();
            let request = format!("GET /v2/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.ok()?;
            head(&mut stream).await.ok()
        };
        let direct = self.proxy.is_none();
        match timeout(self.step, asked).await {
            Ok(Some(head)) if direct && head.starts_with("HTTP/") => (
                Reason::HttpOnHttpsPort,
                "it speaks HTTP in clear where HTTPS was expected".to_owned(),
            ),
            _ => (Reason::TlsFailed, "what it sent is no TLS".to_owned()),
        }
    }

    /// Why somebody on the way is taken to speak for the server: its issuer says so, or without the proxy another
    /// certificate is shown. Nothing where nothing says so.
    async fn interception(&self, issuer: &str) -> String {
        if let Some(name) = interceptor(issuer) {
            return format!("the certificate's issuer ({issuer}) is a {name}");
        }
        let Some(proxy) = self.proxy else {
            return String::new();
        };
        let direct = Way {
            proxy: None,
            ..*self
        };
        let mut seen = Server::default();
        let looked = async {
            let stream = direct.dial(&mut seen).await.ok()?;
            let (facts, _) = self.trust.handshake(self.host(), stream).await;
            Some(facts.issuer)
        };
        match timeout(self.step, looked).await {
            Ok(Some(other)) if !other.is_empty() && other != issuer => format!(
                "through the proxy {proxy} the certificate's issuer is {issuer}, without it {other}"
            ),
            _ => String::new(),
        }
    }
}

fn interceptor(issuer: &str) -> Option<String> {
    let issuer = issuer.to_lowercase();
    let known = INTERCEPTORS.iter().find(|name| issuer.contains(**name));
    known.map(|name| format!("program that intercepts TLS ({name})"))
}

/// Sets a step.
pub(super) fn mark(server: &mut Server, link: Stage, state: State, detail: &str) {
    if let Some(step) = server.steps.iter_mut().find(|step| step.stage == link) {
        step.state = state;
        detail.clone_into(&mut step.detail);
    }
}

/// Scheme, host and port of an address.
pub(super) fn shown(address: &Uri) -> String {
    format!(
        "{}://{}",
        address.scheme_str().unwrap_or("https"),
        address.authority().map_or("", |it| it.as_str())
    )
}

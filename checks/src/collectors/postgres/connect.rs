//! From a connection string to a session, one step at a time, each with a deadline: names, TCP, TLS, login. What
//! breaks is told by its layer and its cause, from the server's first message on.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bundle::collected::postgres::{Failure, Link, Reason, Stage, Tls as TlsFacts};
use syntax::postgres::{ChannelBinding, Host, Settings, SslMode, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::config::{
    ChannelBinding as Binding, SslMode as TlsMode, SslNegotiation as Negotiation,
};
use tokio_util::task::AbortOnDropHandle;

use super::classify::classify;
use super::session::Session;
use super::tls::{Materials, Tls};
use super::wire::{AsItIs, Channel, Heard, SSL_REQUEST, Wire, error_fields, introduction};
use crate::cluster::chain;

/// Addresses of one name that are tried.
const ADDRESSES: usize = 8;

/// What is asked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) settings: &'a Settings,
    pub(super) materials: &'a Materials,
    pub(super) role: &'a str,
    pub(super) database: &'a str,
    /// `sslmode` with what the collector's own `tls` makes of it.
    pub(super) ssl_mode: SslMode,
    /// How long each step may take.
    pub(super) step: Duration,
}

/// Connects to the first server that will do.
pub(super) async fn connect(wanted: Wanted<'_>) -> Result<Session, Failure> {
    let targets: &[Target] = match &wanted.settings.target {
        Target::PreferStandby => &[Target::Standby, Target::Any],
        one => std::slice::from_ref(one),
    };
    let mut failures = Vec::new();
    'search: for target in targets {
        for host in &wanted.settings.hosts {
            match to_host(wanted, host, *target).await {
                Ok(session) => return Ok(session),
                Err(failure) => {
                    let is_final = is_about_the_role(failure.reason);
                    failures.push(failure);
                    if is_final {
                        break 'search;
                    }
                }
            }
        }
    }
    Err(last(failures))
}

/// The last failure, with the earlier ones beside it.
fn last(mut failures: Vec<Failure>) -> Failure {
    let mut failure = failures.pop().unwrap_or_default();
    for earlier in failures {
        failure.before.extend(earlier.before);
        failure.before.push(earlier.message);
    }
    failure
}

/// What another server of the same kind would answer, too.
fn is_about_the_role(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::WrongPassword
            | Reason::PasswordMissing
            | Reason::NoHostEntry
            | Reason::DatabaseMissing
            | Reason::RoleMissing
            | Reason::RoleMayNotLogIn
            | Reason::ConnectDenied
    )
}

async fn to_host(wanted: Wanted<'_>, host: &Host, target: Target) -> Result<Session, Failure> {
    let mut failures = Vec::new();
    for address in addresses(host, wanted.step).await? {
        match to_address(wanted, host, address).await {
            Ok(session) => return session.if_is(target).await,
            Err(failure) => {
                let goes_on = failure.stage == Stage::Tcp;
                failures.push(failure);
                if !goes_on {
                    break;
                }
            }
        }
    }
    Err(last(failures))
}

pub(super) fn shown(host: &Host) -> String {
    if host.name.contains(':') {
        format!("[{}]:{}", host.name, host.port)
    } else {
        format!("{}:{}", host.name, host.port)
    }
}

async fn addresses(host: &Host, step: Duration) -> Result<Vec<SocketAddr>, Failure> {
    let server = shown(host);
    let failure = |stage, reason, text: String| Failure {
        reason,
        stage,
        message: format!("{server}: {text}"),
        server: server.clone(),
        ..Failure::default()
    };
    if host.name.starts_with('/') {
        let text = "it is the folder of a Unix socket; only TCP is dialled".to_owned();
        return Err(failure(
            Stage::Configuration,
            Reason::BadConnectionString,
            text,
        ));
    }
    let name = host.address.as_ref().unwrap_or(&host.name);
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, host.port)]);
    }
    let found = timeout(step, tokio::net::lookup_host((name.as_str(), host.port))).await;
    let unresolved = |text: String| failure(Stage::Dns, Reason::NameNotResolved, text);
    match found {
        Ok(Ok(found)) => {
            let found: Vec<SocketAddr> = found.take(ADDRESSES).collect();
            if found.is_empty() {
                return Err(unresolved("the name has no address".to_owned()));
            }
            Ok(found)
        }
        Ok(Err(error)) => Err(unresolved(format!("the name cannot be resolved: {error}"))),
        Err(_) => {
            let text = format!("the name was not resolved within {} s", step.as_secs_f32());
            Err(failure(Stage::Dns, Reason::NameNotResolved, text))
        }
    }
}

/// With and without TLS, in the order of the `sslmode`.
async fn to_address(
    wanted: Wanted<'_>,
    host: &Host,
    address: SocketAddr,
) -> Result<Session, Failure> {
    let orders: &[bool] = match wanted.ssl_mode {
        SslMode::Disable => &[false],
        SslMode::Allow => &[false, true],
        SslMode::Prefer => &[true, false],
        _ => &[true],
    };
    let mut failures = Vec::new();
    for (index, with_tls) in orders.iter().enumerate() {
        let attempt = Attempt {
            wanted,
            host,
            address,
            server: shown(host),
        };
        match attempt.run(*with_tls).await {
            Ok(session) => return Ok(session),
            Err(failure) => {
                let is_last = index + 1 == orders.len();
                let other_way = matches!(
                    failure.reason,
                    Reason::NoHostEntry | Reason::TlsRefused | Reason::TlsRequired
                ) || failure.stage == Stage::Tls;
                failures.push(failure);
                if is_last || !other_way {
                    break;
                }
            }
        }
    }
    let mut failure = last(failures);
    if failure.reason == Reason::NoHostEntry && wanted.ssl_mode == SslMode::Disable {
        failure.reason = lets_in_with_tls(wanted, host, address)
            .await
            .unwrap_or(failure.reason);
    }
    Err(failure)
}

/// Whether a role that is refused without TLS would be asked for its password with it. None is sent.
async fn lets_in_with_tls(wanted: Wanted<'_>, host: &Host, address: SocketAddr) -> Option<Reason> {
    let settings = Settings {
        password: None,
        ..wanted.settings.clone()
    };
    let attempt = Attempt {
        wanted: Wanted {
            settings: &settings,
            ssl_mode: SslMode::Require,
            ..wanted
        },
        host,
        address,
        server: shown(host),
    };
    match attempt.run(true).await {
        Ok(_) => Some(Reason::TlsRequired),
        Err(failure) => (failure.reason == Reason::PasswordMissing).then_some(Reason::TlsRequired),
    }
}

/// One try at one address.
struct Attempt<'a> {
    wanted: Wanted<'a>,
    host: &'a Host,
    address: SocketAddr,
    server: String,
}

/// An answer to `SSLRequest`.
enum Offer {
    Tls,
    NoTls,
}

impl Attempt<'_> {
    fn failure(&self, stage: Stage, reason: Reason, text: impl std::fmt::Display) -> Failure {
        Failure {
            reason,
            stage,
            message: format!("{}: {text}", self.server),
            server: self.server.clone(),
            ..Failure::default()
        }
    }

    async fn run(&self, with_tls: bool) -> Result<Session, Failure> {
        let mut stream = self.dial().await?;
        if !with_tls {
            return self.log_in(Channel::Plain(stream), None, None).await;
        }
        let settings = self.wanted.settings;
        if !settings.direct_tls {
            match self.ask_for_tls(&mut stream).await? {
                Offer::Tls => {}
                Offer::NoTls if self.wanted.ssl_mode <= SslMode::Prefer => {
                    return self.log_in(Channel::Plain(stream), None, None).await;
                }
                Offer::NoTls => {
                    let text = format!(
                        "the server does not offer TLS, and sslmode is {}",
                        self.wanted.ssl_mode
                    );
                    return Err(self.failure(Stage::Tls, Reason::TlsRefused, text));
                }
            }
        }
        let (mode, host) = (self.wanted.ssl_mode, &self.host.name);
        let tls =
            Tls::new(self.wanted.materials, mode, host, settings.direct_tls).map_err(|text| {
                self.failure(Stage::Configuration, Reason::BadConnectionString, text)
            })?;
        let secured = timeout(self.wanted.step, tls.handshake(stream)).await;
        let secured = secured
            .map_err(|_| self.silent(Stage::Tls, "the TLS handshake"))?
            .map_err(|(reason, text)| self.failure(Stage::Tls, reason, text))?;
        let channel = Channel::Tls(Box::new(secured.stream));
        self.log_in(channel, Some(secured.facts), secured.binding)
            .await
    }

    fn silent(&self, stage: Stage, what: &str) -> Failure {
        let seconds = self.wanted.step.as_secs_f32();
        let text =
            format!("the connection was accepted, and {what} was not answered within {seconds} s");
        self.failure(stage, Reason::NoAnswer, text)
    }

    async fn dial(&self) -> Result<TcpStream, Failure> {
        let dialled = timeout(self.wanted.step, TcpStream::connect(self.address)).await;
        let Ok(dialled) = dialled else {
            let text = format!(
                "{} did not answer within {} s",
                self.address,
                self.wanted.step.as_secs_f32()
            );
            return Err(self.failure(Stage::Tcp, Reason::ConnectTimeout, text));
        };
        dialled.map_err(|error| {
            let reason = match error.kind() {
                io::ErrorKind::ConnectionRefused => Reason::ConnectionRefused,
                io::ErrorKind::TimedOut => Reason::ConnectTimeout,
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                    Reason::Unreachable
                }
                _ => Reason::Other,
            };
            self.failure(
                Stage::Tcp,
                reason,
                format!("cannot connect to {}: {error}", self.address),
            )
        })
    }

    async fn ask_for_tls(&self, stream: &mut TcpStream) -> Result<Offer, Failure> {
        let mut answer = [0; 1024];
        let asked = async {
            stream.write_all(&SSL_REQUEST).await?;
            stream.read(&mut answer).await
        };
        let read = timeout(self.wanted.step, asked).await;
        let read = read
            .map_err(|_| self.silent(Stage::Login, "the request for TLS"))?
            .map_err(|error| self.broken(Stage::Login, &error))?;
        match &answer[..read] {
            [] => Err(self.failure(
                Stage::Login,
                Reason::ClosedByServer,
                "the server closed the connection without a word",
            )),
            // More than one byte would be somebody in between, or SSH.
            [b'S'] => Ok(Offer::Tls),
            [b'N'] => Ok(Offer::NoTls),
            bytes => Err(match error_fields(bytes) {
                Some((code, text)) => self.refused(&code, "", &text),
                None => self.not_postgres(bytes),
            }),
        }
    }

    fn not_postgres(&self, bytes: &[u8]) -> Failure {
        let text = format!("what answers is not PostgreSQL: {}", introduction(bytes));
        self.failure(Stage::Login, Reason::NotPostgres, text)
    }

    fn broken(&self, stage: Stage, error: &io::Error) -> Failure {
        let (reason, text) = match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe => (
                Reason::ClosedByServer,
                format!("the server closed the connection: {error}"),
            ),
            _ => (Reason::Other, format!("the connection broke: {error}")),
        };
        self.failure(stage, reason, text)
    }

    fn refused(&self, code: &str, routine: &str, text: &str) -> Failure {
        let reason = classify(code, routine, text);
        let shown = if code.is_empty() {
            text.to_owned()
        } else {
            format!("{text} (SQLSTATE {code})")
        };
        Failure {
            sql_state: code.to_owned(),
            ..self.failure(Stage::Login, reason, shown)
        }
    }

    async fn log_in(
        &self,
        channel: Channel,
        tls: Option<TlsFacts>,
        binding: Option<Vec<u8>>,
    ) -> Result<Session, Failure> {
        let settings = self.wanted.settings;
        let mut config = Config::new();
        config
            .user(self.wanted.role)
            .dbname(self.wanted.database)
            .application_name("assay")
            // TLS is there, or it is not: see `AsItIs`.
            .ssl_mode(TlsMode::Require)
            .ssl_negotiation(Negotiation::Direct)
            .channel_binding(match settings.channel_binding {
                ChannelBinding::Disable => Binding::Disable,
                ChannelBinding::Prefer => Binding::Prefer,
                ChannelBinding::Require => Binding::Require,
            });
        if let Some(password) = &settings.password {
            config.password(password);
        }
        if let Some(options) = &settings.options {
            config.options(options);
        }
        let bound = binding.is_some() && settings.channel_binding != ChannelBinding::Disable;
        let (wire, heard) = Wire::new(channel, binding);
        let logged_in = timeout(self.wanted.step, config.connect_raw(wire, AsItIs)).await;
        let logged_in = logged_in.map_err(|_| {
            if heard.bytes().is_empty() {
                self.silent(Stage::Login, "the login")
            } else {
                let seconds = self.wanted.step.as_secs_f32();
                let text = format!("the login did not end within {seconds} s");
                self.failure(Stage::Login, Reason::NoAnswer, text)
            }
        })?;
        let (client, connection) = logged_in.map_err(|error| self.not_in(&error, &heard))?;
        let announced_version = connection
            .parameter("server_version")
            .unwrap_or_default()
            .to_owned();
        let task = tokio::spawn(async move {
            // What breaks is told to whoever asks the next question.
            let _ = connection.await;
        });
        Ok(Session {
            client,
            link: Link {
                server: self.server.clone(),
                address: self.address.to_string(),
                authentication: heard.authentication(bound).unwrap_or_default().to_owned(),
                tls,
            },
            announced_version,
            process_id: heard.process_id(),
            host: self.host.clone(),
            step: self.wanted.step,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// Why a login failed, from what the server said.
    fn not_in(&self, error: &tokio_postgres::Error, heard: &Heard) -> Failure {
        if let Some(refused) = error.as_db_error() {
            let routine = refused.routine().unwrap_or_default();
            return self.refused(refused.code().code(), routine, refused.message());
        }
        let method = heard.authentication(false).unwrap_or_default();
        let text = chain(error);
        if heard.bytes().is_empty() {
            let text = format!("the server closed the connection without a word: {text}");
            return self.failure(Stage::Login, Reason::ClosedByServer, text);
        }
        if !heard.is_postgres() {
            return self.not_postgres(&heard.bytes());
        }
        match method {
            "password" | "md5" | "SCRAM-SHA-256" if self.wanted.settings.password.is_none() => {
                let text = format!("the server asks for a password ({method}), and there is none");
                self.failure(Stage::Login, Reason::PasswordMissing, text)
            }
            "trust" | "password" | "md5" | "SCRAM-SHA-256" | "" => self.failure(
                Stage::Login,
                Reason::Other,
                format!("the login failed: {text}"),
            ),
            other => {
                let text = format!(
                    "the server wants the role to prove itself by {other}, which is not spoken here"
                );
                self.failure(Stage::Login, Reason::AuthenticationUnsupported, text)
            }
        }
    }
}

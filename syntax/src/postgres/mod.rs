//! PostgreSQL connection strings, as libpq reads them and the Go driver pgx: URIs and `keyword=value` words.
//!
//! Accepted beside these are the spellings that applications keep in their Secrets: `postgresql+psycopg2://…`
//! (SQLAlchemy) and `jdbc:postgresql://…`. No message holds any part of the string but the names of keywords: where a
//! password is not encoded as it should be, its parts land anywhere.
//!
//! tokio-postgres has a parser of its own; it knows neither `verify-ca` and `verify-full` nor `sslrootcert`, and its
//! errors show what it read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

mod split;

/// The port where a string names none.
pub const PORT: u16 = 5432;

/// What a connection string says.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to connect, in the order in which it is to be tried; never empty.
    pub hosts: Vec<Host>,
    /// The role to log in as.
    pub user: Option<String>,
    /// The password; shown by nothing here.
    pub password: Option<String>,
    /// The database; that of the role's name where it is left out.
    pub database: Option<String>,
    /// Whether TLS is wanted, and what is verified.
    pub ssl_mode: SslMode,
    /// Whether TLS begins without asking first (17 and later).
    pub direct_tls: bool,
    /// `sslrootcert`: a file, or `system`.
    pub root_certificate: Option<String>,
    /// `sslcert`: a file with the client's certificate.
    pub client_certificate: Option<String>,
    /// `sslkey`: a file with its key.
    pub client_key: Option<String>,
    /// Whether the authentication must be bound to the TLS channel.
    pub channel_binding: ChannelBinding,
    /// `connect_timeout`, for each host; `None` where it is not said or endless.
    pub connect_timeout: Option<Duration>,
    /// Which servers of several will do.
    pub target: Target,
    /// `options`: command line options for the session.
    pub options: Option<String>,
    /// Names of settings that are in the string and change nothing here, sorted.
    pub unused: Vec<String>,
}

/// One server of a connection string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// A name, an address, or the folder of a Unix socket.
    pub name: String,
    /// `hostaddr`: the address to dial without asking for the name's.
    pub address: Option<String>,
    /// The port.
    pub port: u16,
}

/// `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS where the server refuses a plain connection.
    Allow,
    /// A plain connection where TLS does not work.
    Prefer,
    /// TLS, whoever the server is.
    Require,
    /// TLS, and the certificate is one of the given authorities'.
    VerifyCa,
    /// As [`SslMode::VerifyCa`], and the certificate names the host.
    VerifyFull,
}

/// `channel_binding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where the server offers it.
    Prefer,
    /// Always.
    Require,
}

/// `target_session_attrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Whichever answers.
    Any,
    /// One that takes writes.
    ReadWrite,
    /// One that takes none.
    ReadOnly,
    /// A primary.
    Primary,
    /// A standby.
    Standby,
    /// A standby where there is one, else whichever answers.
    PreferStandby,
}

/// Why a connection string cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionStringError {
    /// It is empty.
    #[error("the connection string is empty")]
    Empty,
    /// `scheme://` of something else.
    #[error("the connection string's scheme is not postgres:// or postgresql://")]
    Scheme,
    /// Something in a URI must be escaped and is not.
    #[error(
        "the connection string cannot be split into its parts: percent-encode `: @ / ? # [ ] %` and spaces in its user and password"
    )]
    Unescaped,
    /// A `%` without two hexadecimal digits, or what they stand for is no text.
    #[error(
        "the connection string holds a `%` that does not begin an escape: write a percent sign as %25"
    )]
    Escape,
    /// The form `keyword=value` is broken.
    #[error(
        "the connection string is neither a URI nor a list of keyword=value: a word lacks its `=`; put values with spaces in single quotes"
    )]
    Words,
    /// A quote does not end.
    #[error("a quoted value of the connection string does not end: `'` in it is written `\\'`")]
    Quote,
    /// A keyword has a value that is not one of its own.
    #[error("the connection string's {keyword} is none of {allowed}")]
    Value {
        /// The keyword.
        keyword: &'static str,
        /// What it may be.
        allowed: &'static str,
    },
    /// `host`, `hostaddr` and `port` are lists of different lengths.
    #[error("the connection string has {hosts} hosts and {others} of {keyword}")]
    Lists {
        /// How many hosts there are.
        hosts: usize,
        /// The other list.
        keyword: &'static str,
        /// How many it has.
        others: usize,
    },
    /// Two settings exclude one another.
    #[error("the connection string's {0}")]
    Conflict(&'static str),
    /// It leans on something outside of it that is not read.
    #[error("the connection string leans on {0}, which is not read here: {1}")]
    Outside(&'static str, &'static str),
}

/// Passwords are never shown, so neither is anything else.
impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("hosts", &self.hosts)
            .field("database", &self.database)
            .field("ssl_mode", &self.ssl_mode)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for SslMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, _) = SSL_MODES
            .iter()
            .find(|(_, mode)| mode == self)
            .unwrap_or(&SSL_MODES[0]);
        formatter.write_str(name)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, _) = TARGETS
            .iter()
            .find(|(_, target)| target == self)
            .unwrap_or(&TARGETS[0]);
        formatter.write_str(name)
    }
}

const SSL_MODES: [(&str, SslMode); 6] = [
    ("disable", SslMode::Disable),
    ("allow", SslMode::Allow),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

const CHANNEL_BINDINGS: [(&str, ChannelBinding); 3] = [
    ("disable", ChannelBinding::Disable),
    ("prefer", ChannelBinding::Prefer),
    ("require", ChannelBinding::Require),
];

const TARGETS: [(&str, Target); 6] = [
    ("any", Target::Any),
    ("read-write", Target::ReadWrite),
    ("read-only", Target::ReadOnly),
    ("primary", Target::Primary),
    ("standby", Target::Standby),
    ("prefer-standby", Target::PreferStandby),
];

impl Settings {
    /// Reads a connection string.
    pub fn parse(text: &str) -> Result<Self, ConnectionStringError> {
        // A Secret's value often ends with the line break of the file that it was made from.
        let text = text.trim();
        if text.is_empty() {
            return Err(ConnectionStringError::Empty);
        }
        let mut words = match split::uri(text)? {
            Some(rest) => split::read_uri(rest)?,
            None => split::read_words(text)?,
        };
        Self::of(&mut words)
    }

    fn of(words: &mut BTreeMap<String, String>) -> Result<Self, ConnectionStringError> {
        let mut take = |keyword: &str| words.remove(keyword).filter(|value| !value.is_empty());
        if take("service").is_some() {
            return Err(ConnectionStringError::Outside(
                "a service file",
                "give host, user, password and database in the string",
            ));
        }
        let names = take("host");
        let addresses = take("hostaddr");
        let ports = take("port");
        let root_certificate = take("sslrootcert");
        let ssl_mode = ssl_mode(
            take("sslmode"),
            take("requiressl").as_deref(),
            root_certificate.as_deref(),
        )?;
        let direct_tls = match take("sslnegotiation").as_deref() {
            None | Some("postgres") => false,
            Some("direct") if ssl_mode >= SslMode::Require => true,
            Some("direct") => {
                return Err(ConnectionStringError::Conflict(
                    "sslnegotiation=direct needs sslmode=require or stronger",
                ));
            }
            Some(_) => return Err(refused("sslnegotiation", "postgres, direct")),
        };
        let gss = take("gssencmode");
        if gss.as_deref() == Some("require") {
            return Err(ConnectionStringError::Outside(
                "GSSAPI encryption",
                "use TLS, or gssencmode=prefer",
            ));
        }
        let settings = Self {
            hosts: hosts(names.as_deref(), addresses.as_deref(), ports.as_deref())?,
            user: take("user"),
            password: take("password"),
            database: take("dbname").or_else(|| take("database")),
            ssl_mode,
            direct_tls,
            root_certificate,
            client_certificate: take("sslcert"),
            client_key: take("sslkey"),
            channel_binding: one_of(
                take("channel_binding"),
                "channel_binding",
                &CHANNEL_BINDINGS,
                "disable, prefer, require",
            )?
            .unwrap_or(ChannelBinding::Prefer),
            connect_timeout: connect_timeout(take("connect_timeout"))?,
            target: one_of(
                take("target_session_attrs"),
                "target_session_attrs",
                &TARGETS,
                "any, read-write, read-only, primary, standby, prefer-standby",
            )?
            .unwrap_or(Target::Any),
            options: take("options"),
            unused: Vec::new(),
        };
        let unused: BTreeSet<String> = words.keys().map(|word| shown(word)).collect();
        Ok(Self {
            unused: unused.into_iter().collect(),
            ..settings
        })
    }
}

/// A setting's name, unless it could be a part of a password.
fn shown(word: &str) -> String {
    let is_name = word.len() <= 40
        && word
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let known = is_name && (split::is_keyword(word) || word.contains('_'));
    if known { word } else { "(unknown)" }.to_owned()
}

fn refused(keyword: &'static str, allowed: &'static str) -> ConnectionStringError {
    ConnectionStringError::Value { keyword, allowed }
}

fn one_of<T: Copy>(
    value: Option<String>,
    keyword: &'static str,
    table: &[(&str, T)],
    allowed: &'static str,
) -> Result<Option<T>, ConnectionStringError> {
    let Some(value) = value else { return Ok(None) };
    let row = table.iter().find(|(name, _)| *name == value);
    row.map(|(_, meaning)| Some(*meaning))
        .ok_or_else(|| refused(keyword, allowed))
}

/// `sslmode` with what other settings make of it: authorities that are named are used, and the system's only for
/// everything.
fn ssl_mode(
    mode: Option<String>,
    required: Option<&str>,
    root_certificate: Option<&str>,
) -> Result<SslMode, ConnectionStringError> {
    let mode = one_of(
        mode,
        "sslmode",
        &SSL_MODES,
        "disable, allow, prefer, require, verify-ca, verify-full",
    )?;
    let mode = mode.or((required == Some("1")).then_some(SslMode::Require));
    match (mode, root_certificate) {
        (None | Some(SslMode::VerifyFull), Some("system")) => Ok(SslMode::VerifyFull),
        (Some(_), Some("system")) => Err(ConnectionStringError::Conflict(
            "sslrootcert=system needs sslmode=verify-full",
        )),
        (Some(SslMode::Require), Some(_)) => Ok(SslMode::VerifyCa),
        (mode, _) => Ok(mode.unwrap_or(SslMode::Prefer)),
    }
}

/// Whole seconds; none, zero and less are endless.
fn connect_timeout(value: Option<String>) -> Result<Option<Duration>, ConnectionStringError> {
    let Some(value) = value else { return Ok(None) };
    let seconds: i32 = value
        .trim()
        .parse()
        .map_err(|_| refused("connect_timeout", "a whole number of seconds"))?;
    Ok(u64::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs))
}

/// The lists of names, addresses and ports side by side. One port serves all hosts.
fn hosts(
    names: Option<&str>,
    addresses: Option<&str>,
    ports: Option<&str>,
) -> Result<Vec<Host>, ConnectionStringError> {
    let list = |text: Option<&str>| -> Vec<String> {
        text.map(|text| text.split(',').map(|item| item.trim().to_owned()).collect())
            .unwrap_or_default()
    };
    let (names, addresses, ports) = (list(names), list(addresses), list(ports));
    let count = addresses.len().max(names.len()).max(1);
    if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
        return Err(ConnectionStringError::Lists {
            hosts: names.len(),
            keyword: "hostaddr",
            others: addresses.len(),
        });
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(ConnectionStringError::Lists {
            hosts: count,
            keyword: "port",
            others: ports.len(),
        });
    }
    (0..count)
        .map(|index| {
            let item = |list: &[String]| list.get(index).filter(|item| !item.is_empty()).cloned();
            let address = item(&addresses);
            let port = if ports.len() == 1 {
                ports.first()
            } else {
                ports.get(index)
            };
            let port = match port.map(String::as_str) {
                None | Some("") => PORT,
                Some(port) => port
                    .parse()
                    .ok()
                    .filter(|port| *port > 0)
                    .ok_or_else(|| refused("port", "the numbers from 1 to 65535"))?,
            };
            let name = item(&names).or_else(|| address.clone());
            let name = name.unwrap_or_else(|| "localhost".to_owned());
            if name.contains(['@', ':', '[', ']', '?', '#'])
                && name.parse::<std::net::Ipv6Addr>().is_err()
            {
                return Err(ConnectionStringError::Unescaped);
            }
            Ok(Host {
                name,
                address,
                port,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;

//! `postgres/<name>.json` and `postgres/<name>/limits.json`: whether a PostgreSQL server answers, why not, and what it
//! lets in.

use serde::{Deserialize, Serialize};

/// `postgres/<name>.json`, with troubleshoot's fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Connection {
    /// Whether a role could log in and ask for the version.
    pub is_connected: bool,
    /// Why not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// The server's version, `15.18`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
}

/// `postgres/<name>/limits.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Limits {
    /// As in the other file.
    pub is_connected: bool,
    /// Why there is no connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What was asked for.
    pub target: Target,
    /// The connection that works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<Link>,
    /// The server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// The settings that limit connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<Slots>,
    /// Who is connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<Sessions>,
    /// The role that logged in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
    /// What stands in between; `None` where it was not found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooler: Option<Pooler>,
    /// What could not be read, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
}

/// What was asked for; nothing in it is secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Target {
    /// Where the connection string comes from: `uri`, or the Secret and its key.
    pub source: String,
    /// `host:port`, in the order tried.
    pub hosts: Vec<String>,
    /// The database.
    pub database: String,
    /// The role.
    pub role: String,
    /// `sslmode` as it is in force.
    pub ssl_mode: String,
    /// Whether there is a password, and how long it is, in classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
    /// Settings of the connection string that change nothing here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unused: Vec<String>,
}

/// What may be told of a password.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Password {
    /// `8-15`
    pub length_class: String,
    /// Equal where two secrets of one run are equal.
    pub fingerprint: String,
}

/// Why there is no connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Failure {
    /// The cause.
    pub reason: Reason,
    /// Where it broke.
    pub stage: Stage,
    /// The server, `host:port`, where one was tried.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server: String,
    /// What was attempted and what came back.
    pub message: String,
    /// The code that the server gave.
    #[serde(rename = "sqlState", skip_serializing_if = "String::is_empty")]
    pub sql_state: String,
    /// The other servers that were tried before, each with what came back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
}

/// The layer where a connection broke.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Before anything was dialled: the connection string, a Secret, a certificate file.
    #[default]
    Configuration,
    /// The name's addresses.
    Dns,
    /// The TCP connection.
    Tcp,
    /// TLS.
    Tls,
    /// Logging in.
    Login,
    /// The first questions.
    Query,
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// The connection string, or what goes with it, cannot be used.
    BadConnectionString,
    /// The Secret or its key is not there.
    SecretMissing,
    /// The Secret may not be read, or could not be.
    SecretUnread,
    /// The name has no address.
    NameNotResolved,
    /// Nothing listens.
    ConnectionRefused,
    /// The network does not lead there.
    Unreachable,
    /// No answer to the TCP connection.
    ConnectTimeout,
    /// The connection is accepted, and nothing comes.
    NoAnswer,
    /// The connection was closed without a word.
    ClosedByServer,
    /// Something else than PostgreSQL answers.
    NotPostgres,
    /// The server does not speak TLS, and the connection string demands it.
    TlsRefused,
    /// The server demands TLS, and the connection string forbids it.
    TlsRequired,
    /// The certificate's authority is not trusted.
    TlsUntrusted,
    /// The certificate has expired.
    TlsExpired,
    /// The certificate is not valid yet.
    TlsNotYetValid,
    /// The certificate names another host.
    TlsNameMismatch,
    /// Something that this tool's TLS library does not speak: nothing is known of the server.
    TlsUnsupported,
    /// The handshake failed otherwise.
    TlsFailed,
    /// The server demands a client certificate.
    ClientCertificateRequired,
    /// Starting up.
    StartingUp,
    /// Shutting down.
    ShuttingDown,
    /// In recovery, and not yet taking connections.
    InRecovery,
    /// No such database.
    DatabaseMissing,
    /// The database takes no connections.
    DatabaseClosed,
    /// No such role.
    RoleMissing,
    /// The role may not log in.
    RoleMayNotLogIn,
    /// The role may not connect to the database.
    ConnectDenied,
    /// No entry of `pg_hba.conf` lets the host in.
    NoHostEntry,
    /// The password is wrong.
    WrongPassword,
    /// The server asks for a password, and there is none.
    PasswordMissing,
    /// A way to authenticate that this tool does not speak.
    AuthenticationUnsupported,
    /// Every slot is taken.
    TooManyConnections,
    /// Only slots that are reserved are left.
    OnlyReservedLeft,
    /// The role's own limit is reached.
    RoleLimit,
    /// The database's own limit is reached.
    DatabaseLimit,
    /// The pooler takes no more clients.
    PoolerFull,
    /// The pooler has no server connection to give within its time.
    PoolerTimeout,
    /// The pooler cannot reach the server.
    PoolerCannotConnect,
    /// The pooler refuses otherwise.
    PoolerRefused,
    /// No server of several is of the kind that `target_session_attrs` asks for.
    WrongServerKind,
    /// The time for all of it was up.
    Deadline,
    /// Anything else.
    #[default]
    #[serde(other)]
    Other,
}

/// The connection that works.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Link {
    /// `host:port` as the connection string has it.
    pub server: String,
    /// The address dialled.
    pub address: String,
    /// How the role proved itself: `trust`, `password`, `md5`, `SCRAM-SHA-256`, `SCRAM-SHA-256-PLUS`.
    pub authentication: String,
    /// What is known of the TLS session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// A TLS session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tls {
    /// `TLSv1.3`
    pub version: String,
    /// The server certificate's subject.
    pub subject: String,
    /// Its issuer.
    pub issuer: String,
    /// When it ends, RFC 3339.
    pub not_after: String,
    /// What was verified: `nothing`, `authority`, `authority and name`.
    pub verified: String,
}

/// The server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Server {
    /// `15.18 (Debian 15.18-0+deb12u1)`
    pub version: String,
    /// `server_version_num`, `150018`.
    pub version_number: i64,
    /// When it was started.
    pub started_at: String,
    /// Whether it is a standby.
    pub in_recovery: bool,
    /// Whether transactions are read-only unless they say otherwise.
    pub default_read_only: bool,
    /// The port that it listens on, which differs from the one dialled behind a Service or a pooler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// The settings that limit connections. (Names and values side by side would be masked: `superuser` is taken for a
/// user's name.)
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Slots {
    /// `max_connections`
    pub max_connections: i64,
    /// `superuser_reserved_connections`
    pub superuser_reserved: i64,
    /// `reserved_connections`, 16 and later.
    pub reserved: i64,
    /// `idle_in_transaction_session_timeout` in milliseconds, 0 for none.
    pub idle_in_transaction_timeout: i64,
    /// `idle_session_timeout` in milliseconds, 0 for none; 14 and later.
    pub idle_session_timeout: i64,
    /// Those of the settings that were changed and wait for a restart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending_restart: Vec<String>,
}

/// Who is connected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Sessions {
    /// All client sessions, this tool's among them.
    pub total: i64,
    /// This tool's own: 1.
    pub own: i64,
    /// Sessions whose state is hidden from the role.
    pub hidden: i64,
    /// By role, database and state; the largest 200.
    pub groups: Vec<SessionGroup>,
}

/// Sessions that have role, database and state in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SessionGroup {
    /// Their role.
    pub role: String,
    /// Their database.
    pub database: String,
    /// `active`, `idle`, `idle in transaction`, …; `hidden` where the role may not see it.
    pub state: String,
    /// How many.
    pub count: i64,
    /// How long the oldest has been in its state, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_seconds: Option<i64>,
}

/// The role that logged in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Its `CONNECTION LIMIT`, -1 for none.
    pub connection_limit: i64,
    /// Sessions of it now, this tool's among them.
    pub connections: i64,
    /// Superusers are exempt from limits.
    pub superuser: bool,
    /// Whether it may take the slots of `reserved_connections`.
    pub uses_reserved: bool,
}

/// The database connected to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Its `CONNECTION LIMIT`, -1 for none.
    pub connection_limit: i64,
    /// Sessions in it now, this tool's among them.
    pub connections: i64,
    /// Whether the role may make schemas in it.
    pub may_create_schemas: bool,
    /// Whether the role may make tables in the schema `public`; `None` where there is no such schema.
    pub may_create_in_public: Option<bool>,
}

/// What stands between the client and the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Pooler {
    /// Whether there is one.
    pub present: bool,
    /// `PgBouncer`, `Pgpool-II`, …; empty where it does not say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub product: String,
    /// Its version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// What told it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// What its console says of its limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console: Option<Console>,
    /// Why its console was not read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub console_unread: String,
}

/// `PgBouncer`'s console: what is of interest of SHOW CONFIG, SHOW DATABASES, SHOW POOLS and SHOW LISTS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Console {
    /// Clients that it takes.
    pub max_client_connections: Option<i64>,
    /// Server connections of each pool, unless its database says otherwise.
    pub default_pool_size: Option<i64>,
    /// What may be added to a pool whose clients wait.
    pub reserve_pool_size: Option<i64>,
    /// Server connections to a database at most; 0 for no limit.
    pub max_database_connections: Option<i64>,
    /// Server connections of a user at most; 0 for no limit.
    pub max_user_connections: Option<i64>,
    /// `session`, `transaction`, `statement`.
    pub pool_mode: String,
    /// Prepared statements that it keeps track of in transaction mode; 0 for none.
    pub max_prepared_statements: Option<i64>,
    /// Startup parameters that it lets through without acting on them.
    pub ignored_startup_parameters: String,
    /// Client connections now.
    pub clients: Option<i64>,
    /// Its databases.
    pub databases: Vec<PoolDatabase>,
    /// Its pools.
    pub pools: Vec<Pool>,
}

/// A row of SHOW DATABASES.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PoolDatabase {
    /// The name that clients use.
    pub name: String,
    /// The server's address; empty for a Unix socket.
    pub host: String,
    /// The database's name on the server.
    pub database: String,
    /// The role that all clients share, where there is one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub force_user: String,
    /// Server connections of each of its pools.
    pub pool_size: Option<i64>,
    /// What may be added.
    pub reserve_pool_size: Option<i64>,
    /// Its own mode; empty for the general one.
    pub pool_mode: String,
    /// Server connections at most; 0 for no limit.
    pub max_connections: Option<i64>,
    /// Whether it is paused or disabled.
    pub stopped: bool,
}

/// A row of SHOW POOLS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Pool {
    /// The database.
    pub database: String,
    /// The role.
    pub user: String,
    /// Clients with a server connection.
    pub clients_active: i64,
    /// Clients that wait for one.
    pub clients_waiting: i64,
    /// Server connections, whatever they do.
    pub servers: i64,
    /// How long the first in the queue has waited, in seconds.
    pub longest_wait_seconds: i64,
    /// The mode in force.
    pub pool_mode: String,
}

/// What could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Unread {
    /// The field of this document.
    pub what: String,
    /// What came back.
    pub reason: String,
}

//! What to do about a PostgreSQL server that lets nobody in.

use bundle::collected::postgres::{Failure, Reason};

/// The nearest change that helps.
#[expect(clippy::too_many_lines, reason = "a table: one row for each reason")]
pub(crate) fn remedy(failure: &Failure) -> &'static str {
    match failure.reason {
        Reason::BadConnectionString => {
            "Correct the connection string, or the certificates that go with it, as the message says."
        }
        Reason::SecretMissing => {
            "Create the Secret with the key that holds the connection string, or name the one that is there."
        }
        Reason::SecretUnread => {
            "Let the account get this one Secret: `assay explain postgres` shows the permission."
        }
        Reason::NameNotResolved => {
            "Correct the host's name: a Service is reached from other namespaces as <service>.<namespace>.svc. A name that only the cluster's DNS knows cannot be resolved outside of it."
        }
        Reason::ConnectionRefused => {
            "Nothing listens there: see that the server runs, that the port is right (5432 by default, poolers 6432), and that listen_addresses is not only localhost."
        }
        Reason::Unreachable | Reason::ConnectTimeout => {
            "Open the way from here to the server: NetworkPolicies, firewalls, security groups, routes."
        }
        Reason::NoAnswer => {
            "Something takes the connection and says nothing: a load balancer without a server behind it, a server that hangs, or a port of something else."
        }
        Reason::ClosedByServer => {
            "See the server's log: a proxy without a server behind it, or a server that is being stopped, closes connections so."
        }
        Reason::NotPostgres => "Correct host and port: what answers there is no PostgreSQL server.",
        Reason::TlsRefused => {
            "Turn TLS on in the server (ssl = on, with a certificate), or, if the network may be trusted, use sslmode=prefer."
        }
        Reason::TlsRequired => {
            "The server lets this role in with TLS only: use sslmode=require, or verify-full with the authority's certificate."
        }
        Reason::TlsUntrusted => {
            "Give the certificate of the authority that signed the server's: sslrootcert, or cacert of the collector's tls. For CloudNativePG it is ca.crt in the Secret <cluster>-ca."
        }
        Reason::TlsExpired => "Renew the server's certificate, and reload the server.",
        Reason::TlsNotYetValid => {
            "Correct the clock of this machine or that of whoever issued the certificate."
        }
        Reason::TlsNameMismatch => {
            "Connect by a name that the certificate holds, or issue one that holds this name; sslmode=verify-ca does not ask for the name."
        }
        Reason::TlsUnsupported => {
            "This tool speaks TLS 1.2 and 1.3 only, so nothing is known of the server. Raise the server's ssl_min_protocol_version to TLSv1.2: older versions are broken."
        }
        Reason::TlsFailed => "See the server's log for the other side of the handshake.",
        Reason::ClientCertificateRequired => {
            "Give a client certificate that the server's authority signed, and its key: sslcert and sslkey, or clientCert and clientKey of the collector's tls."
        }
        Reason::StartingUp | Reason::InRecovery => {
            "Wait until the server has started; if it does not get further, its log says what it replays. A standby takes connections only with hot_standby = on."
        }
        Reason::ShuttingDown => {
            "The server is being stopped: wait until it is back, or see who stopped it."
        }
        Reason::DatabaseMissing => {
            "Create the database: CREATE DATABASE <name> OWNER <role>; or correct its name in the connection string."
        }
        Reason::DatabaseClosed => {
            "The database takes no connections: ALTER DATABASE <name> ALLOW_CONNECTIONS true, or connect to another one."
        }
        Reason::RoleMissing => {
            "Create the role: CREATE ROLE <name> LOGIN PASSWORD '…'; or correct its name."
        }
        Reason::RoleMayNotLogIn => "Let the role log in: ALTER ROLE <name> LOGIN.",
        Reason::ConnectDenied => "Let the role in: GRANT CONNECT ON DATABASE <name> TO <role>.",
        Reason::NoHostEntry => {
            "Add a line to pg_hba.conf that lets this role into this database from this address, and reload the server."
        }
        Reason::WrongPassword => {
            "Correct the password: in a URI its special characters must be percent-encoded. A role that does not exist is refused with the same words."
        }
        Reason::PasswordMissing => "Give the role's password in the connection string.",
        Reason::AuthenticationUnsupported => {
            "This tool proves itself by password, MD5, SCRAM and client certificates only; give it a role that may."
        }
        Reason::TooManyConnections => {
            "Every slot is taken: end idle sessions, put a pooler in front, or raise max_connections (a restart)."
        }
        Reason::OnlyReservedLeft => {
            "Only reserved slots are left: end idle sessions, put a pooler in front, or raise max_connections (a restart)."
        }
        Reason::RoleLimit => {
            "The role's own limit is reached: ALTER ROLE <name> CONNECTION LIMIT <n>, or let the application open fewer."
        }
        Reason::DatabaseLimit => {
            "The database's own limit is reached: ALTER DATABASE <name> CONNECTION LIMIT <n>, or let the applications open fewer."
        }
        Reason::PoolerFull => {
            "The pooler takes no more clients: raise max_client_conn (or the limit that the message names), and its file descriptors with it."
        }
        Reason::PoolerTimeout => {
            "The pooler had no server connection to give in time: raise default_pool_size within what the server has to give, or end what holds them."
        }
        Reason::PoolerCannotConnect => {
            "The pooler cannot log in to the server: see its log; its own user, password or address of the server is wrong, or the server is full or down."
        }
        Reason::PoolerRefused => {
            "The pooler refuses what the client asks for: add the startup parameter to ignore_startup_parameters, or leave it out."
        }
        Reason::WrongServerKind => {
            "Name the server that is of the kind that target_session_attrs asks for, or ask for another kind."
        }
        Reason::Deadline => "Give the collector more time, or see why the server is slow.",
        Reason::Other => "See what the message says, and the server's log.",
    }
}

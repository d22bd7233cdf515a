//! What a server or a pooler means by the error with which it refuses.

use bundle::collected::postgres::Reason;

/// A row of the table: all that is not empty must fit.
struct Row {
    code: &'static str,
    /// The function in the server that raised it: it is the same in every language.
    routine: &'static str,
    /// A part of the message, in lower case.
    text: &'static str,
    reason: Reason,
}

const fn row(code: &'static str, routine: &'static str, text: &'static str, reason: Reason) -> Row {
    Row {
        code,
        routine,
        text,
        reason,
    }
}

/// The first that fits counts. Poolers come first: they borrow PostgreSQL's codes, and pass its messages on.
const TABLE: &[Row] = &[
    row("", "", "no more connections allowed", Reason::PoolerFull),
    row("", "", "client connections exceeded", Reason::PoolerFull),
    row("", "", "query_wait_timeout", Reason::PoolerTimeout),
    row(
        "",
        "",
        "server login has been failing",
        Reason::PoolerCannotConnect,
    ),
    row("", "", "server_login_retry", Reason::PoolerCannotConnect),
    row(
        "",
        "",
        "pgbouncer cannot connect to server",
        Reason::PoolerCannotConnect,
    ),
    row("", "", "server conn crashed", Reason::PoolerCannotConnect),
    row("", "", "no such database", Reason::DatabaseMissing),
    row("", "", "no such user", Reason::RoleMissing),
    row("", "", "ssl required", Reason::TlsRequired),
    row("08P01", "", "auth failed", Reason::WrongPassword),
    row(
        "08P01",
        "",
        "password authentication failed",
        Reason::WrongPassword,
    ),
    row("08P01", "", "login rejected", Reason::NoHostEntry),
    row(
        "08P01",
        "",
        "pgbouncer is shutting down",
        Reason::ShuttingDown,
    ),
    row("53300", "InitProcess", "", Reason::TooManyConnections),
    row("53300", "ProcArrayAdd", "", Reason::TooManyConnections),
    row("53300", "InitPostgres", "", Reason::OnlyReservedLeft),
    row("53300", "InitializeSessionUserId", "", Reason::RoleLimit),
    row("53300", "CheckMyDatabase", "", Reason::DatabaseLimit),
    row("53300", "", "connections for role", Reason::RoleLimit),
    row(
        "53300",
        "",
        "connections for database",
        Reason::DatabaseLimit,
    ),
    row("53300", "", "reserved", Reason::OnlyReservedLeft),
    row("53300", "", "", Reason::TooManyConnections),
    row("57P03", "", "shutting down", Reason::ShuttingDown),
    row("57P03", "", "in recovery mode", Reason::InRecovery),
    row("57P03", "", "hot standby", Reason::InRecovery),
    row("57P03", "", "not yet accepting", Reason::InRecovery),
    row("57P03", "", "not accepting", Reason::InRecovery),
    row("57P03", "", "", Reason::StartingUp),
    row("57P01", "", "", Reason::ShuttingDown),
    row("57P02", "", "", Reason::ShuttingDown),
    row("3D000", "", "", Reason::DatabaseMissing),
    row("28P01", "", "", Reason::WrongPassword),
    row(
        "28000",
        "",
        "valid client certificate",
        Reason::ClientCertificateRequired,
    ),
    row(
        "28000",
        "",
        "certificate authentication failed",
        Reason::ClientCertificateRequired,
    ),
    row(
        "28000",
        "",
        "not permitted to log in",
        Reason::RoleMayNotLogIn,
    ),
    row(
        "28000",
        "InitializeSessionUserId",
        "does not exist",
        Reason::RoleMissing,
    ),
    row(
        "28000",
        "InitializeSessionUserId",
        "",
        Reason::RoleMayNotLogIn,
    ),
    row("28000", "", "authentication failed", Reason::WrongPassword),
    row("28000", "", "", Reason::NoHostEntry),
    row("42501", "", "", Reason::ConnectDenied),
    row("55000", "", "", Reason::DatabaseClosed),
    row("08P01", "", "", Reason::PoolerRefused),
];

/// What an error of this SQLSTATE, from this routine and with this message, means for who wants to connect.
pub(super) fn classify(code: &str, routine: &str, message: &str) -> Reason {
    let message = message.to_lowercase();
    let fits = |row: &&Row| {
        (row.code.is_empty() || row.code == code)
            && (row.routine.is_empty() || row.routine == routine)
            && message.contains(row.text)
    };
    TABLE
        .iter()
        .find(fits)
        .map_or(Reason::Other, |row| row.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (code, routine, message, reason)
    const FORMS: &[(&str, &str, &str, Reason)] = &[
        (
            "53300",
            "InitProcess",
            "sorry, too many clients already",
            Reason::TooManyConnections,
        ),
        (
            "53300",
            "",
            "sorry, too many clients already",
            Reason::TooManyConnections,
        ),
        (
            "53300",
            "InitPostgres",
            "remaining connection slots are reserved for roles with the SUPERUSER attribute",
            Reason::OnlyReservedLeft,
        ),
        (
            "53300",
            "",
            "remaining connection slots are reserved for non-replication superuser connections",
            Reason::OnlyReservedLeft,
        ),
        (
            "53300",
            "InitPostgres",
            "die verbleibenden Verbindungen sind vergeben",
            Reason::OnlyReservedLeft,
        ),
        (
            "53300",
            "InitializeSessionUserId",
            "too many connections for role \"app\"",
            Reason::RoleLimit,
        ),
        (
            "53300",
            "",
            "too many connections for database \"shop\"",
            Reason::DatabaseLimit,
        ),
        (
            "57P03",
            "",
            "the database system is starting up",
            Reason::StartingUp,
        ),
        (
            "57P03",
            "",
            "the database system is shutting down",
            Reason::ShuttingDown,
        ),
        (
            "57P03",
            "",
            "the database system is in recovery mode",
            Reason::InRecovery,
        ),
        (
            "57P03",
            "",
            "the database system is not yet accepting connections",
            Reason::InRecovery,
        ),
        (
            "3D000",
            "",
            "database \"x\" does not exist",
            Reason::DatabaseMissing,
        ),
        (
            "28P01",
            "",
            "password authentication failed for user \"app\"",
            Reason::WrongPassword,
        ),
        (
            "28000",
            "ClientAuthentication",
            "no pg_hba.conf entry for host \"10.0.0.1\", user \"app\", database \"app\", no encryption",
            Reason::NoHostEntry,
        ),
        (
            "28000",
            "ClientAuthentication",
            "connection requires a valid client certificate",
            Reason::ClientCertificateRequired,
        ),
        (
            "28000",
            "InitializeSessionUserId",
            "role \"x\" is not permitted to log in",
            Reason::RoleMayNotLogIn,
        ),
        (
            "28000",
            "InitializeSessionUserId",
            "role \"x\" does not exist",
            Reason::RoleMissing,
        ),
        (
            "42501",
            "",
            "permission denied for database \"shop\"",
            Reason::ConnectDenied,
        ),
        (
            "55000",
            "",
            "database \"template0\" is not currently accepting connections",
            Reason::DatabaseClosed,
        ),
        (
            "08P01",
            "",
            "no more connections allowed (max_client_conn)",
            Reason::PoolerFull,
        ),
        ("08P01", "", "query_wait_timeout", Reason::PoolerTimeout),
        (
            "08P01",
            "",
            "server login has been failing, try again later (server_login_retry)",
            Reason::PoolerCannotConnect,
        ),
        (
            "08P01",
            "",
            "no such database: shop",
            Reason::DatabaseMissing,
        ),
        (
            "08P01",
            "",
            "unsupported startup parameter: options",
            Reason::PoolerRefused,
        ),
        ("XX000", "", "anything", Reason::Other),
    ];

    #[test]
    fn each_form_has_its_reason() {
        for (code, routine, message, reason) in FORMS {
            assert_eq!(
                classify(code, routine, message),
                *reason,
                "{code} {message}"
            );
        }
    }
}

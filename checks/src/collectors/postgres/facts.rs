//! What a session may ask: settings, sessions, limits, privileges. Every question stands alone: what one role may not
//! know, or an old server does not have, leaves the rest as it is.

use bundle::collected::postgres::{
    Database, Limits, Role, Server, SessionGroup, Sessions, Slots, Unread,
};
use tokio_postgres::SimpleQueryRow;

use super::session::{QueryError, Session};

const SERVER: &str = "SELECT current_setting('server_version') AS version, \
    current_setting('server_version_num') AS number, pg_postmaster_start_time()::text AS started_at, \
    pg_is_in_recovery()::text AS in_recovery, current_setting('default_transaction_read_only') AS read_only, \
    inet_server_port()::text AS port, pg_backend_pid()::text AS pid, version() AS banner";

const SETTINGS: &str = "SELECT name, setting, pending_restart::text FROM pg_settings WHERE name IN (\
    'max_connections', 'superuser_reserved_connections', 'reserved_connections', \
    'idle_in_transaction_session_timeout', 'idle_session_timeout') ORDER BY name";

/// Of others' sessions a role without `pg_read_all_stats` sees the process, the role and the database.
const CLIENTS: &str = "FROM pg_stat_activity WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'";

const TOTALS: &str = "count(*)::text AS total, \
    (count(*) FILTER (WHERE pid = pg_backend_pid()))::text AS own, \
    (count(*) FILTER (WHERE backend_type IS NULL))::text AS hidden";

const GROUPS: &str = "coalesce(usename, '') AS role, coalesce(datname, '') AS database, \
    CASE WHEN backend_type IS NULL THEN 'hidden' ELSE coalesce(state, 'unknown') END AS state, count(*)::text AS count, \
    max(extract(epoch FROM clock_timestamp() - state_change))::bigint::text AS oldest";

const ROLE: &str = "SELECT rolname, rolconnlimit::text AS limit, rolsuper::text AS superuser, \
    (SELECT count(*) FROM pg_stat_activity WHERE usename = session_user AND datid IS NOT NULL \
        AND coalesce(backend_type, 'client backend') = 'client backend')::text AS connections, \
    EXISTS (SELECT 1 FROM pg_roles AS reserved WHERE reserved.rolname = 'pg_use_reserved_connections' \
        AND pg_has_role(session_user, reserved.oid, 'USAGE'))::text AS reserved \
    FROM pg_roles WHERE rolname = session_user";

const DATABASE: &str = "SELECT datname, datconnlimit::text AS limit, \
    (SELECT count(*) FROM pg_stat_activity WHERE datid = pg_database.oid \
        AND coalesce(backend_type, 'client backend') = 'client backend')::text AS connections, \
    has_database_privilege(oid, 'CREATE')::text AS schemas, \
    (SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = 'public')::text AS tables \
    FROM pg_database WHERE datname = current_database()";

/// What was told of the process that serves the session.
pub(super) struct Told {
    /// `pg_backend_pid()` in the first transaction.
    pub(super) process_id: Option<i64>,
    /// The number in `version()`: `15.18`.
    pub(super) version: Option<String>,
}

/// Asks everything and writes it into `limits`.
pub(super) async fn read(session: &Session, limits: &mut Limits) -> Told {
    let mut told = Told {
        process_id: None,
        version: None,
    };
    if let Some(row) = first(session, SERVER, "server", limits).await {
        told.process_id = number(&row, "pid");
        told.version = value(&row, "banner").map(version_number);
        limits.server = Some(Server {
            version: text(&row, "version"),
            version_number: number(&row, "number").unwrap_or_default(),
            started_at: text(&row, "started_at"),
            in_recovery: truth(&row, "in_recovery"),
            default_read_only: value(&row, "read_only") == Some("on"),
            port: value(&row, "port").and_then(|port| port.parse().ok()),
        });
    }
    let settings = rows(session, SETTINGS, "slots", limits).await;
    limits.slots = slots(&settings);
    if limits.slots.is_none() && !settings.is_empty() {
        limits.unread.push(Unread {
            what: "slots".to_owned(),
            reason: "the server does not tell max_connections".to_owned(),
        });
    }
    let totals = format!("SELECT {TOTALS} {CLIENTS}");
    if let Some(row) = first(session, &totals, "sessions", limits).await {
        limits.sessions = Some(Sessions {
            total: number(&row, "total").unwrap_or_default(),
            own: number(&row, "own").unwrap_or_default(),
            hidden: number(&row, "hidden").unwrap_or_default(),
            groups: Vec::new(),
        });
        let groups = format!(
            "SELECT {GROUPS} {CLIENTS} GROUP BY 1, 2, 3 ORDER BY count(*) DESC, 1, 2, 3 LIMIT 200"
        );
        let groups = rows(session, &groups, "sessions.groups", limits).await;
        if let Some(sessions) = &mut limits.sessions {
            sessions.groups = groups.iter().map(group).collect();
        }
    }
    if let Some(row) = first(session, ROLE, "role", limits).await {
        limits.role = Some(Role {
            name: text(&row, "rolname"),
            connection_limit: number(&row, "limit").unwrap_or(-1),
            connections: number(&row, "connections").unwrap_or_default(),
            superuser: truth(&row, "superuser"),
            uses_reserved: truth(&row, "reserved"),
        });
    }
    if let Some(row) = first(session, DATABASE, "database", limits).await {
        limits.database = Some(Database {
            name: text(&row, "datname"),
            connection_limit: number(&row, "limit").unwrap_or(-1),
            connections: number(&row, "connections").unwrap_or_default(),
            may_create_schemas: truth(&row, "schemas"),
            may_create_in_public: value(&row, "tables").map(|value| value == "true"),
        });
    }
    told
}

/// The settings of `pg_settings`; nothing where there is no `max_connections`.
fn slots(rows: &[SimpleQueryRow]) -> Option<Slots> {
    let setting = |name: &str| {
        let row = rows.iter().find(|row| value(row, "name") == Some(name))?;
        number(row, "setting")
    };
    let pending = rows.iter().filter(|row| truth(row, "pending_restart"));
    Some(Slots {
        max_connections: setting("max_connections")?,
        superuser_reserved: setting("superuser_reserved_connections")?,
        reserved: setting("reserved_connections").unwrap_or_default(),
        idle_in_transaction_timeout: setting("idle_in_transaction_session_timeout")
            .unwrap_or_default(),
        idle_session_timeout: setting("idle_session_timeout").unwrap_or_default(),
        pending_restart: pending.map(|row| text(row, "name")).collect(),
    })
}

fn group(row: &SimpleQueryRow) -> SessionGroup {
    SessionGroup {
        role: text(row, "role"),
        database: text(row, "database"),
        state: text(row, "state"),
        count: number(row, "count").unwrap_or_default(),
        oldest_seconds: number(row, "oldest"),
    }
}

async fn rows(
    session: &Session,
    query: &str,
    what: &str,
    limits: &mut Limits,
) -> Vec<SimpleQueryRow> {
    match session.ask(query).await {
        Ok(rows) => rows,
        Err(QueryError { message, .. }) => {
            limits.unread.push(Unread {
                what: what.to_owned(),
                reason: message,
            });
            Vec::new()
        }
    }
}

async fn first(
    session: &Session,
    query: &str,
    what: &str,
    limits: &mut Limits,
) -> Option<SimpleQueryRow> {
    let before = limits.unread.len();
    let mut rows = rows(session, query, what, limits).await;
    if rows.is_empty() {
        if limits.unread.len() == before {
            limits.unread.push(Unread {
                what: what.to_owned(),
                reason: "the server gave no row".to_owned(),
            });
        }
        return None;
    }
    Some(rows.swap_remove(0))
}

/// A column's text by its name, empty for NULL and where there is none: consoles grow columns from version to
/// version.
pub(super) fn text(row: &SimpleQueryRow, name: &str) -> String {
    value(row, name).unwrap_or_default().to_owned()
}

/// A column's number.
pub(super) fn number(row: &SimpleQueryRow, name: &str) -> Option<i64> {
    value(row, name)?.parse().ok()
}

/// A column by its name. (`SimpleQueryRow::get` panics where there is none.)
pub(super) fn value<'a>(row: &'a SimpleQueryRow, name: &str) -> Option<&'a str> {
    row.try_get(name).ok().flatten()
}

fn truth(row: &SimpleQueryRow, name: &str) -> bool {
    value(row, name) == Some("true")
}

/// What troubleshoot takes out of `version()`: the digits and dots after `PostgreSQL `.
fn version_number(banner: &str) -> String {
    let rest = banner
        .split_once("PostgreSQL ")
        .map_or("", |(_, rest)| rest);
    let end = rest.find(|character: char| !(character.is_ascii_digit() || character == '.'));
    rest[..end.unwrap_or(rest.len())].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_taken_out_of_the_banner_as_troubleshoot_does() {
        for (banner, version) in [
            (
                "PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64-pc-linux-gnu",
                "15.18",
            ),
            ("PostgreSQL 9.6.24 on x86_64", "9.6.24"),
            ("PostgreSQL 18beta1 on x86_64", "18"),
            ("CockroachDB CCL v23.1", ""),
        ] {
            assert_eq!(version_number(banner), version, "{banner}");
        }
    }
}

//! Whether something stands between the client and the server, found out by reading only, and what `PgBouncer` says of
//! itself.

use bundle::collected::postgres::{Console, Limits, Pool, PoolDatabase, Pooler, Unread};
use syntax::postgres::{Settings, Target};
use tokio_postgres::SimpleQueryRow;

use super::connect::{Wanted, connect};
use super::facts::{Told, number, text, value};
use super::session::{QueryError, Session};

/// The virtual database of `PgBouncer`, and of those that answer like it.
const CONSOLE: &str = "pgbouncer";

/// Rows of one answer that are kept.
const ROWS: usize = 500;

/// Tells whether there is a pooler, from who serves the session.
pub(super) async fn detect(session: &Session, told: &Told, limits: &mut Limits) -> Option<Pooler> {
    let mut evidence = Vec::new();
    let served = told.process_id?;
    if session.announced_version.ends_with("/bouncer") {
        evidence.push(format!("it calls itself {}", session.announced_version));
    }
    match session.process_id {
        Some(announced) if announced != served => evidence.push(format!(
            "the process announced at login ({announced}) is not the one that serves the session ({served})"
        )),
        _ => {}
    }
    match session.ask("SELECT pg_backend_pid()::text AS pid").await {
        Ok(rows) => {
            if let Some(next) = rows.first().and_then(|row| number(row, "pid"))
                && next != served
            {
                evidence.push(format!(
                    "two transactions of one session ran in two processes ({served}, {next})"
                ));
            }
        }
        Err(QueryError { message, .. }) => limits.unread.push(Unread {
            what: "pooler".to_owned(),
            reason: message,
        }),
    }
    Some(Pooler {
        present: !evidence.is_empty(),
        evidence,
        ..Pooler::default()
    })
}

/// Asks the console that is behind the same address, with the credentials that `wanted` has for it.
pub(super) async fn read_console(wanted: Wanted<'_>, session: &Session, pooler: &mut Pooler) {
    let settings = Settings {
        hosts: vec![session.host.clone()],
        target: Target::Any,
        // A console takes none.
        options: None,
        ..wanted.settings.clone()
    };
    let wanted = Wanted {
        settings: &settings,
        database: CONSOLE,
        ..wanted
    };
    let console = match connect(wanted).await {
        Ok(console) => console,
        Err(failure) => {
            pooler.console_unread = failure.message;
            return;
        }
    };
    match ask(&console, pooler).await {
        Ok(read) => pooler.console = Some(read),
        Err(error) => pooler.console_unread = error.message,
    }
    if let Some(version) = console.announced_version.strip_suffix("/bouncer") {
        "PgBouncer".clone_into(&mut pooler.product);
        version.clone_into(&mut pooler.version);
    }
}

async fn ask(session: &Session, pooler: &mut Pooler) -> Result<Console, QueryError> {
    // `PgBouncer 1.18.0`, `PgCat 1.2.0`, …; the column's name is not the same in all.
    if let Ok(rows) = session.ask_plainly("SHOW VERSION").await
        && let Some(version) = rows.first().and_then(|row| row.try_get(0).ok().flatten())
        && let Some((product, version)) = version.split_once(' ')
    {
        product.clone_into(&mut pooler.product);
        version.clone_into(&mut pooler.version);
    }
    let mut console = Console::default();
    for row in session.ask_plainly("SHOW CONFIG").await? {
        let number = || number(&row, "value");
        match text(&row, "key").as_str() {
            "max_client_conn" => console.max_client_connections = number(),
            "default_pool_size" => console.default_pool_size = number(),
            "reserve_pool_size" => console.reserve_pool_size = number(),
            "max_db_connections" => console.max_database_connections = number(),
            "max_user_connections" => console.max_user_connections = number(),
            "max_prepared_statements" => console.max_prepared_statements = number(),
            "pool_mode" => console.pool_mode = text(&row, "value"),
            "ignore_startup_parameters" => console.ignored_startup_parameters = text(&row, "value"),
            _ => {}
        }
    }
    let databases = session.ask_plainly("SHOW DATABASES").await?;
    console.databases = databases.iter().take(ROWS).map(database).collect();
    let pools = session.ask_plainly("SHOW POOLS").await?;
    console.pools = pools.iter().take(ROWS).map(pool).collect();
    for row in session.ask_plainly("SHOW LISTS").await? {
        if text(&row, "list") == "used_clients" {
            console.clients = number(&row, "items");
        }
    }
    Ok(console)
}

fn database(row: &SimpleQueryRow) -> PoolDatabase {
    let is_on = |name: &str| number(row, name).unwrap_or_default() != 0;
    PoolDatabase {
        name: text(row, "name"),
        host: text(row, "host"),
        database: text(row, "database"),
        force_user: text(row, "force_user"),
        pool_size: number(row, "pool_size"),
        // 1.24 and later; before it was `reserve_pool`.
        reserve_pool_size: number(row, "reserve_pool_size").or_else(|| number(row, "reserve_pool")),
        pool_mode: text(row, "pool_mode"),
        max_connections: number(row, "max_connections"),
        stopped: is_on("paused") || is_on("disabled"),
    }
}

fn pool(row: &SimpleQueryRow) -> Pool {
    let columns = row.columns().iter().map(tokio_postgres::SimpleColumn::name);
    let servers = columns.filter(|name| name.starts_with("sv_"));
    Pool {
        database: text(row, "database"),
        user: text(row, "user"),
        clients_active: number(row, "cl_active").unwrap_or_default(),
        clients_waiting: number(row, "cl_waiting").unwrap_or_default(),
        servers: servers
            .filter_map(|name| value(row, name)?.parse::<i64>().ok())
            .sum(),
        longest_wait_seconds: number(row, "maxwait").unwrap_or_default(),
        pool_mode: text(row, "pool_mode"),
    }
}

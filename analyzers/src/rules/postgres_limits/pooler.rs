//! The pooler in between: what the collector read of its console, a CloudNativePG Pooler, or numbers of the spec.

use bundle::Files;
use bundle::collected::cloudnative_pg::{POOLERS, Pooler};
use bundle::collected::postgres::{Console, Limits};
use schemars::JsonSchema;
use serde::Deserialize;

use super::supply::{ClusterName, Supply, number, poolers};
use crate::finding::NotEvaluated;

/// PgBouncer's own defaults.
const MAX_CLIENTS: i64 = 100;
const POOL_SIZE: i64 = 20;

/// The pooler that the application goes through, where its console cannot be read: a CloudNativePG Pooler of the
/// Cluster, or its numbers.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PoolerConfig {
    /// The CloudNativePG Pooler, in the Cluster's namespace.
    name: String,
    /// How many of it there are; 1 where nothing says.
    instances: Option<i64>,
    /// `max_client_conn`; 100 where nothing says.
    max_client_connections: Option<i64>,
    /// `default_pool_size`; 20 where nothing says.
    pool_size: Option<i64>,
    /// `reserve_pool_size`; 0 where nothing says.
    reserve_pool_size: Option<i64>,
    /// `session`, `transaction` or `statement`; session where nothing says.
    mode: String,
    /// Pairs of database and user that have a pool each; 1 where nothing says.
    pools: Option<i64>,
}

/// A pooler's limits.
#[derive(Debug, Clone)]
pub(super) struct Front {
    /// What it is called.
    pub(super) name: String,
    /// `session`, `transaction`, `statement`.
    pub(super) mode: String,
    /// Clients that it takes.
    pub(super) clients: i64,
    /// Server connections for the application's database and role.
    pub(super) pool: i64,
    /// Server connections of all its pools.
    pub(super) all_pools: i64,
    /// Clients that wait now.
    pub(super) waiting: i64,
}

impl Front {
    /// Whether a client keeps its server connection until it leaves.
    pub(super) fn is_session(&self) -> bool {
        self.mode == "session"
    }
}

impl Supply {
    /// Puts the pooler that the spec names in between.
    pub(super) fn behind(
        mut self,
        config: &PoolerConfig,
        cluster: Option<&ClusterName>,
        files: &Files,
    ) -> Result<Self, NotEvaluated> {
        let pools = config.pools.unwrap_or(1);
        let front = match (config.name.as_str(), cluster) {
            ("", _) => {
                let instances = config.instances.unwrap_or(1);
                let pool =
                    config.pool_size.unwrap_or(POOL_SIZE) + config.reserve_pool_size.unwrap_or(0);
                Front {
                    name: "The pooler".to_owned(),
                    mode: if config.mode.is_empty() {
                        "session".to_owned()
                    } else {
                        config.mode.clone()
                    },
                    clients: instances * config.max_client_connections.unwrap_or(MAX_CLIENTS),
                    pool: instances * pool,
                    all_pools: instances * pool * pools,
                    waiting: 0,
                }
            }
            (name, Some(cluster)) => {
                let all = poolers(cluster, files)?;
                let found = all.iter().find(|(pooler, _)| pooler.metadata.name == name);
                let (pooler, path) = found.ok_or_else(|| {
                    NotEvaluated::Unknown(format!(
                        "the Cluster {}/{} has no Pooler {name} ({POOLERS}/{}.json)",
                        cluster.namespace, cluster.name, cluster.namespace
                    ))
                })?;
                of_pooler(pooler, pools, path)?
            }
            (name, None) => {
                return Err(NotEvaluated::Spec(format!(
                    "pooler.name is {name:?}, and no cluster is named whose Pooler it is"
                )));
            }
        };
        self.pooler = Ok(Some(front));
        Ok(self)
    }
}

pub(super) fn of_pooler(pooler: &Pooler, pools: i64, path: &str) -> Result<Front, NotEvaluated> {
    let parameters = &pooler.spec.pgbouncer.parameters;
    let number = |key: &str, default: i64| number(parameters.get(key), default, key, path);
    let instances = pooler.spec.instances.unwrap_or(1);
    let mut pool = number("default_pool_size", POOL_SIZE)? + number("reserve_pool_size", 0)?;
    let most = number("max_db_connections", 0)?;
    if most > 0 {
        pool = pool.min(most);
    }
    let mode = &pooler.spec.pgbouncer.pool_mode;
    Ok(Front {
        name: format!("The Pooler {}", pooler.metadata.name),
        mode: if mode.is_empty() {
            "session".to_owned()
        } else {
            mode.clone()
        },
        clients: instances * number("max_client_conn", MAX_CLIENTS)?,
        pool: instances * pool,
        all_pools: instances * pool * pools,
        waiting: 0,
    })
}

/// The pooler that the collector met.
pub(super) fn front(limits: &Limits, path: &str) -> Result<Option<Front>, NotEvaluated> {
    let Some(pooler) = &limits.pooler else {
        let problem = limits.unread.iter().find(|it| it.what == "pooler");
        let reason = problem.map_or("not told", |it| it.reason.as_str());
        return Err(NotEvaluated::Unknown(format!(
            "{path}: whether a pooler stands in between: {reason}"
        )));
    };
    if !pooler.present {
        return Ok(None);
    }
    let Some(console) = &pooler.console else {
        let reason = if pooler.console_unread.is_empty() {
            "not read"
        } else {
            &pooler.console_unread
        };
        return Err(NotEvaluated::Unknown(format!(
            "a pooler is there ({}), and its limits are not known: its console: {reason}. Give a role of its stats_users as `console` of the collector, or its sizes as `pooler` here ({path})",
            pooler.evidence.join("; ")
        )));
    };
    let missing = |name: &str| {
        NotEvaluated::Unknown(format!("{path}: the pooler's console does not tell {name}"))
    };
    let clients = console
        .max_client_connections
        .ok_or_else(|| missing("max_client_conn"))?;
    let size = |database: &str| -> Result<i64, NotEvaluated> {
        let row = console.databases.iter().find(|it| it.name == database);
        let size = row
            .and_then(|it| it.pool_size)
            .or(console.default_pool_size);
        let reserve = row
            .and_then(|it| it.reserve_pool_size)
            .or(console.reserve_pool_size);
        let size = size.ok_or_else(|| missing("default_pool_size"))? + reserve.unwrap_or_default();
        let most = row
            .and_then(|it| it.max_connections)
            .or(console.max_database_connections);
        Ok(most
            .filter(|most| *most > 0)
            .map_or(size, |most| size.min(most)))
    };
    let database = &limits.target.database;
    let pools = console.pools.iter().filter(|it| it.database != "pgbouncer");
    let mut all_pools = 0;
    let mut waiting = 0;
    for pool in pools {
        all_pools += size(&pool.database)?;
        waiting += pool.clients_waiting;
    }
    let pool = size(database)?;
    Ok(Some(Front {
        name: if pooler.product.is_empty() {
            "The pooler".to_owned()
        } else {
            pooler.product.clone()
        },
        mode: mode(console, database),
        clients,
        pool,
        all_pools: all_pools.max(pool),
        waiting,
    }))
}

/// The mode of a database's pool.
fn mode(console: &Console, database: &str) -> String {
    let row = console.databases.iter().find(|it| it.name == database);
    let own = row
        .map(|it| it.pool_mode.as_str())
        .filter(|mode| !mode.is_empty());
    own.unwrap_or(&console.pool_mode).to_owned()
}

//! How many connections the application can have: the server's slots, the limits of its role and its database, and the
//! pooler in between.

use bundle::Files;
use bundle::collected::ListOrArray;
use bundle::collected::cloudnative_pg::{CLUSTERS, Cluster, POOLERS, Pooler};
use bundle::collected::postgres::{Console, Limits};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::document::{document, unmasked};
use crate::finding::NotEvaluated;

/// PostgreSQL's and PgBouncer's own defaults.
const MAX_CONNECTIONS: i64 = 100;
const SUPERUSER_RESERVED: i64 = 3;
const MAX_CLIENTS: i64 = 100;
const POOL_SIZE: i64 = 20;

/// A CloudNativePG Cluster.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct ClusterName {
    /// Its namespace.
    pub(super) namespace: String,
    /// Its name.
    pub(super) name: String,
}

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

/// What the server lets in.
#[derive(Debug, Clone)]
pub(super) struct Supply {
    pub(super) max: i64,
    pub(super) reserved: i64,
    /// `max` without what is reserved for others.
    pub(super) slots: i64,
    /// How the slots come about.
    pub(super) arithmetic: String,
    /// The file that tells it.
    pub(super) path: String,
    /// What is only known of a server that was logged in to.
    pub(super) now: Option<Now>,
    /// What stands in between; `Err` where it is there and its limits are not known.
    pub(super) pooler: Result<Option<Front>, NotEvaluated>,
    /// Server connections that all of the Cluster's Poolers may take, where that is known.
    pub(super) pooled: Option<i64>,
    /// Settings that wait for a restart.
    pub(super) pending: Vec<String>,
    /// The Cluster's phase, where it is not healthy.
    pub(super) phase: Option<String>,
}

/// What is known of a server that was logged in to.
#[derive(Debug, Clone)]
pub(super) struct Now {
    pub(super) role: String,
    pub(super) database: String,
    pub(super) role_limit: Option<i64>,
    pub(super) database_limit: Option<i64>,
    /// Client sessions without this tool's.
    pub(super) used: i64,
    /// Those of other roles.
    pub(super) others: i64,
    /// Those of other roles in the same database.
    pub(super) others_here: i64,
    /// Those of the role.
    pub(super) own: i64,
    pub(super) standby: bool,
    pub(super) read_only: bool,
    pub(super) may_create: Option<bool>,
    /// Sessions that are idle in a transaction.
    pub(super) idle_in_transaction: i64,
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

/// A limit, and what it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Server,
    Role,
    Database,
    PoolerClients,
    Pool,
}

impl Supply {
    /// From the collector's file, and from the Cluster where one is named.
    pub(super) fn of_server(limits: &Limits, path: &str) -> Result<Self, NotEvaluated> {
        let unread = |what: &str| {
            let problem = limits.unread.iter().find(|it| it.what.starts_with(what));
            let reason = problem.map_or("not told", |it| it.reason.as_str());
            NotEvaluated::Unknown(format!("{path}: {what}: {reason}"))
        };
        let slots = limits.slots.as_ref().ok_or_else(|| unread("slots"))?;
        let role = limits.role.as_ref().ok_or_else(|| unread("role"))?;
        let database = limits.database.as_ref().ok_or_else(|| unread("database"))?;
        let sessions = limits.sessions.as_ref().ok_or_else(|| unread("sessions"))?;
        let server = limits.server.as_ref().ok_or_else(|| unread("server"))?;
        let limit = |limit: i64| (limit >= 0 && !role.superuser).then_some(limit);
        let counted = |others_here: bool| -> i64 {
            let groups = sessions.groups.iter().filter(|it| it.role != role.name);
            let groups = groups.filter(|it| !others_here || it.database == database.name);
            groups.map(|it| it.count).sum()
        };
        let reserved_for_others = if role.uses_reserved {
            0
        } else {
            slots.reserved
        };
        let reserved = if role.superuser {
            0
        } else {
            slots.superuser_reserved + reserved_for_others
        };
        let is_idle = |state: &str| state.starts_with("idle in transaction");
        let idle = sessions.groups.iter().filter(|it| is_idle(&it.state));
        Ok(Self {
            max: slots.max_connections,
            reserved,
            slots: slots.max_connections - reserved,
            arithmetic: arithmetic(
                slots.max_connections,
                slots.superuser_reserved,
                reserved_for_others,
                role.superuser,
            ),
            path: path.to_owned(),
            now: Some(Now {
                role: role.name.clone(),
                database: database.name.clone(),
                role_limit: limit(role.connection_limit),
                database_limit: limit(database.connection_limit),
                used: sessions.total - sessions.own,
                others: counted(false),
                others_here: counted(true),
                own: role.connections - sessions.own,
                standby: server.in_recovery,
                read_only: server.in_recovery || server.default_read_only,
                may_create: database.may_create_in_public,
                idle_in_transaction: idle.map(|it| it.count).sum(),
            }),
            pooler: front(limits, path),
            pooled: None,
            pending: slots.pending_restart.clone(),
            phase: None,
        })
    }

    /// From the Cluster alone: what it is configured to let in.
    pub(super) fn of_cluster(name: &ClusterName, files: &Files) -> Result<Self, NotEvaluated> {
        let (cluster, path) = cluster(name, files)?;
        let parameters = &cluster.spec.postgresql.parameters;
        let number = |key: &str, default: i64| number(parameters.get(key), default, key, &path);
        let max = number("max_connections", MAX_CONNECTIONS)?;
        let superuser = number("superuser_reserved_connections", SUPERUSER_RESERVED)?;
        let reserved = number("reserved_connections", 0)?;
        Ok(Self {
            max,
            reserved: superuser + reserved,
            slots: max - superuser - reserved,
            arithmetic: arithmetic(max, superuser, reserved, false),
            path,
            now: None,
            pooler: Ok(None),
            pooled: None,
            pending: Vec::new(),
            phase: None,
        })
    }

    /// Adds what the Cluster and its Poolers say.
    pub(super) fn with_cluster(
        mut self,
        name: &ClusterName,
        files: &Files,
    ) -> Result<Self, NotEvaluated> {
        let (cluster, path) = cluster(name, files)?;
        if let Some(text) = cluster.spec.postgresql.parameters.get("max_connections")
            && self.now.is_some()
            && unmasked(text)?.parse() != Ok(self.max)
        {
            self.pending
                .push(format!("max_connections = {text} of the Cluster ({path})"));
        }
        let phase = &cluster.status.phase;
        self.phase = Some(phase.clone())
            .filter(|phase| !phase.is_empty() && !phase.contains("healthy state"));
        let mut pooled = 0;
        for (pooler, path) in poolers(name, files)? {
            pooled += of_pooler(&pooler, 1, &path)?.all_pools;
        }
        self.pooled = Some(pooled).filter(|pooled| *pooled > 0);
        Ok(self)
    }

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

    /// What the role can use if nobody else is there.
    pub(super) fn usable(&self) -> Result<(i64, Bound), NotEvaluated> {
        let mut bounds = vec![(self.slots, Bound::Server)];
        if let Some(now) = &self.now {
            bounds.extend(now.role_limit.map(|limit| (limit, Bound::Role)));
            bounds.extend(now.database_limit.map(|limit| (limit, Bound::Database)));
        }
        self.through_pooler(bounds)
    }

    /// What the role can use beside those that are there now.
    pub(super) fn available(&self) -> Result<(i64, Bound), NotEvaluated> {
        let Some(now) = &self.now else {
            return self.usable();
        };
        let mut bounds = vec![(self.slots - now.others, Bound::Server)];
        bounds.extend(now.role_limit.map(|limit| (limit, Bound::Role)));
        bounds.extend(
            now.database_limit
                .map(|limit| (limit - now.others_here, Bound::Database)),
        );
        self.through_pooler(bounds)
    }

    /// What is left now, by the server's own limits.
    pub(super) fn free(&self) -> Option<i64> {
        let now = self.now.as_ref()?;
        let mut free = self.slots - now.used;
        if let Some(limit) = now.role_limit {
            free = free.min(limit - now.own);
        }
        if let Some(limit) = now.database_limit {
            let here = now.others_here + now.own;
            free = free.min(limit - here);
        }
        Some(free)
    }

    /// A pooler hides the server's limits behind its own: what it takes are clients.
    fn through_pooler(&self, mut bounds: Vec<(i64, Bound)>) -> Result<(i64, Bound), NotEvaluated> {
        match &self.pooler {
            Err(reason) => return Err(reason.clone()),
            Ok(None) => {}
            Ok(Some(front)) if front.is_session() => {
                bounds.push((front.clients, Bound::PoolerClients));
                bounds.push((front.pool, Bound::Pool));
            }
            Ok(Some(front)) => bounds = vec![(front.clients, Bound::PoolerClients)],
        }
        let least = bounds.into_iter().min_by_key(|(limit, _)| *limit);
        // The server's own bound is always there, or the pooler's in its place.
        Ok(least.unwrap_or((self.slots, Bound::Server)))
    }
}

fn arithmetic(max: i64, superuser: i64, reserved: i64, is_superuser: bool) -> String {
    if is_superuser {
        return format!("max_connections {max}, all of which a superuser may use");
    }
    let more = if reserved == 0 {
        String::new()
    } else {
        format!(" - reserved_connections {reserved}")
    };
    format!(
        "max_connections {max} - superuser_reserved_connections {superuser}{more} = {}",
        max - superuser - reserved
    )
}

fn number(text: Option<&String>, default: i64, key: &str, path: &str) -> Result<i64, NotEvaluated> {
    let Some(text) = text else { return Ok(default) };
    let text = unmasked(text)?;
    text.trim()
        .parse()
        .map_err(|_| NotEvaluated::Malformed(format!("{path}: {key} is {text:?}")))
}

fn cluster(name: &ClusterName, files: &Files) -> Result<(Cluster, String), NotEvaluated> {
    if name.name.is_empty() || name.namespace.is_empty() {
        return Err(NotEvaluated::Spec(
            "cluster needs a namespace and a name".to_owned(),
        ));
    }
    let path = format!("{CLUSTERS}/{}.json", name.namespace);
    let list = document::<ListOrArray<Cluster>>(files, &path)?;
    let found = list.items.iter().find(|it| it.metadata.name == name.name);
    let cluster = found.cloned().ok_or_else(|| {
        NotEvaluated::Unknown(format!(
            "the Cluster {}/{} is not there ({path})",
            name.namespace, name.name
        ))
    })?;
    Ok((cluster, path))
}

/// The Cluster's Poolers; none where their API is not there, or none was made in the namespace.
fn poolers(name: &ClusterName, files: &Files) -> Result<Vec<(Pooler, String)>, NotEvaluated> {
    let path = format!("{POOLERS}/{}.json", name.namespace);
    let list = match document::<ListOrArray<Pooler>>(files, &path) {
        Ok(list) => list,
        Err(NotEvaluated::NotApplicable(_)) => return Ok(Vec::new()),
        // A namespace without objects has no file, and a refusal leaves a gap.
        Err(_) if files.gaps(&path).next().is_none() && !files.contains(&path) => {
            return Ok(Vec::new());
        }
        Err(reason) => return Err(reason),
    };
    let own = list
        .items
        .iter()
        .filter(|it| it.spec.cluster.name == name.name);
    Ok(own.map(|pooler| (pooler.clone(), path.clone())).collect())
}

fn of_pooler(pooler: &Pooler, pools: i64, path: &str) -> Result<Front, NotEvaluated> {
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
fn front(limits: &Limits, path: &str) -> Result<Option<Front>, NotEvaluated> {
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

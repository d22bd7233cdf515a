//! How many connections the application can have: the server's slots, the limits of its role and its database, and the
//! pooler in between.

use bundle::Files;
use bundle::collected::ListOrArray;
use bundle::collected::cloudnative_pg::{CLUSTERS, Cluster, POOLERS, Pooler};
use bundle::collected::postgres::Limits;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::document::{document, unmasked};
use crate::finding::NotEvaluated;

use super::pooler::{Front, front, of_pooler};

/// PostgreSQL's own defaults.
const MAX_CONNECTIONS: i64 = 100;
const SUPERUSER_RESERVED: i64 = 3;

/// A CloudNativePG Cluster.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct ClusterName {
    /// Its namespace.
    pub(super) namespace: String,
    /// Its name.
    pub(super) name: String,
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
        // The groups are the largest only, so they are subtracted from what was counted, never added up.
        let here = sessions.groups.iter();
        let here = here.filter(|it| it.role == role.name && it.database == database.name);
        let own_here: i64 = here.map(|it| it.count).sum();
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
                others: (sessions.total - role.connections).max(0),
                others_here: (database.connections - own_here).max(0),
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

    /// What the role can use if nobody else is there.
    pub(super) fn usable(&self) -> Result<(i64, Bound), NotEvaluated> {
        let mut bounds = vec![(self.slots, Bound::Server)];
        if let Some(now) = &self.now {
            bounds.extend(now.role_limit.map(|limit| (limit, Bound::Role)));
            bounds.extend(now.database_limit.map(|limit| (limit, Bound::Database)));
        }
        Ok(self.least(self.through_pooler(bounds)?))
    }

    /// What the role can use beside those that are there now.
    pub(super) fn available(&self) -> Result<(i64, Bound), NotEvaluated> {
        Ok(self.least(self.bounds()?))
    }

    /// Each limit that holds for the role, beside those that are there now.
    pub(super) fn bounds(&self) -> Result<Vec<(i64, Bound)>, NotEvaluated> {
        let Some(now) = &self.now else {
            return self.through_pooler(vec![(self.slots, Bound::Server)]);
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
    fn through_pooler(
        &self,
        mut bounds: Vec<(i64, Bound)>,
    ) -> Result<Vec<(i64, Bound)>, NotEvaluated> {
        match &self.pooler {
            Err(reason) => return Err(reason.clone()),
            Ok(None) => {}
            Ok(Some(front)) if front.is_session() => {
                bounds.push((front.clients, Bound::PoolerClients));
                bounds.push((front.pool, Bound::Pool));
            }
            Ok(Some(front)) => bounds = vec![(front.clients, Bound::PoolerClients)],
        }
        Ok(bounds)
    }

    fn least(&self, bounds: Vec<(i64, Bound)>) -> (i64, Bound) {
        let least = bounds.into_iter().min_by_key(|(limit, _)| *limit);
        // The server's own bound is always there, or the pooler's in its place.
        least.unwrap_or((self.slots, Bound::Server))
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

pub(super) fn number(
    text: Option<&String>,
    default: i64,
    key: &str,
    path: &str,
) -> Result<i64, NotEvaluated> {
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
pub(super) fn poolers(
    name: &ClusterName,
    files: &Files,
) -> Result<Vec<(Pooler, String)>, NotEvaluated> {
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

//! `postgresLimits`: the connections that an application opens against those that PostgreSQL has to give.

use bundle::Files;
use bundle::collected::postgres::{Limits, Reason};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::document;
use crate::finding::{Finding, Judgement, NotEvaluated, Verdict};
use crate::message::render_struct;
use crate::outcome::{Operator, Outcome, bad_condition, first_match};
use crate::postgres::remedy;

mod demand;
mod judgement;
mod pooler;
mod supply;
mod words;

use demand::{Client, Demand};
use pooler::PoolerConfig;
use supply::{ClusterName, Supply};

pub(in crate::rules) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "PostgreSQL has as many connections to give as the application opens",
    docs: docs::<PostgresLimits>,
    since: "0.1.0",
    needs: &["postgres", "clusterResources"],
    parse: parse::<PostgresLimits>,
    schema: schema::<PostgresLimits>,
};

const NAME: &str = "postgresLimits";

/// PostgreSQL has as many connections to give as the application opens.
///
/// # What it checks
/// What is there: `max_connections` without `superuser_reserved_connections` and `reserved_connections`, the
/// `CONNECTION LIMIT` of role and database, who is connected now, and the pooler in between with its mode and sizes.
/// What is wanted: for each item of `demand` (replicas + surge) × workers × (poolSize + maxOverflow) × stores, given
/// or read from a Deployment or `StatefulSet`, its autoscaler and its environment, or `connections`. Without the
/// collector, the CloudNativePG Cluster and its Poolers in the bundle say what is there.
///
/// # When it warns or fails
/// Without outcomes it fails if the demand exceeds what others leave, if nothing is free, or if the login was refused
/// for want of a slot; it warns above 80 %, if clients wait for the pooler, if pools may open more than the server
/// takes, if the server is a standby or if a changed setting waits for a restart. `when` is `<number> <op> <number>` or
/// `<fact> == true|false`, with `= != < > <= >=`. Numbers: `demand`; `slots`, the server's; `usable`, the least of the
/// slots and the limits of role, database and pooler; `available`, the same beside the sessions of other roles;
/// `free`, now; `used`; `max`; `reserved`; `usedPercent`, of the slots; `demandPercent`, of what is available;
/// `waiting`, clients at the pooler; `pooled`, the pools' server connections; `idleInTransaction`; or digits. Facts:
/// `standby`, `readOnly`, `pendingRestart`, `pooler`, `mayCreate` (tables in `public`). The first outcome that holds
/// counts. Messages are templates: `{{ .Demand }}`, `{{ .Usable }}`, `{{ .Available }}`, `{{ .Free }}`, `{{ .Used }}`,
/// `{{ .Slots }}`, `{{ .Max }}`, `{{ .Arithmetic }}`; without a message it is the arithmetic.
///
/// # What to do
/// The remedy names the smallest change that fits: another limit, smaller pools, or a pooler in transaction mode.
///
/// # Needs
/// The collector `postgres` with the same `collectorName`, or `cluster`; `clusterResources` (always added) for
/// workloads and CloudNativePG. Whatever is missing and could change the answer makes it unknown.
///
/// # Example
/// ```yaml
/// postgresLimits:
///   collectorName: db
///   demand:
///     - deployment: tracking
///       namespace: mlflow
///       workersEnv: UVICORN_WORKERS
///       workers: 4
///       poolSizeEnv: MLFLOW_SQLALCHEMYSTORE_POOL_SIZE
///       maxOverflowEnv: MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW
///     - name: backup
///       connections: 2
///   outcomes:
///     - fail:
///         when: demand > available
///         message: "{{ .Arithmetic }}"
///     - warn:
///         when: free < 10
///         message: Fewer than ten connections are free.
///     - pass:
///         message: There are connections for everybody.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct PostgresLimits {
    /// The conditions and what to say; its own judgement where there are none.
    outcomes: Vec<Outcome>,
    /// The collector's name.
    collector_name: String,
    /// What opens connections.
    demand: Vec<Client>,
    /// The CloudNativePG Cluster that the server belongs to.
    cluster: Option<ClusterName>,
    /// The pooler that the application goes through, where its console cannot be read.
    pooler: Option<PoolerConfig>,
}

impl Analyzer for PostgresLimits {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or(if self.collector_name.is_empty() {
            "PostgreSQL connections".to_owned()
        } else {
            format!("PostgreSQL connections of {}", self.collector_name)
        })
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let demand = Demand::of(&self.demand, files)?;
        let mut finding = match self.supply(files)? {
            Found::Supply(supply) => {
                let case = Case {
                    has_demand: !self.demand.is_empty(),
                    demand,
                    supply: *supply,
                };
                if self.outcomes.is_empty() {
                    case.judge()?
                } else {
                    case.by_outcomes(&self.outcomes)?
                }
            }
            Found::Full(message, advice, path) => Finding {
                verdict: Some(Verdict::Fail),
                message,
                remedy: advice.to_owned(),
                observed: format!("no connection to be had ({path})"),
                ..Finding::default()
            },
        };
        finding.id = Finding::id(NAME, &self.collector_name);
        finding.title = self.title(meta);
        finding.strict = meta.strict;
        Ok(finding.into())
    }
}

/// What was found out of the server.
enum Found {
    Supply(Box<Supply>),
    /// Not even one connection is to be had: the message, what to do, the file.
    Full(String, &'static str, String),
}

impl PostgresLimits {
    fn supply(&self, files: &Files) -> Result<Found, NotEvaluated> {
        let name = if self.collector_name.is_empty() {
            "postgres"
        } else {
            &self.collector_name
        };
        let path = format!("postgres/{name}/limits.json");
        let from_cluster = self
            .cluster
            .as_ref()
            .filter(|_| self.collector_name.is_empty() && !files.contains(&path));
        let mut supply = if let Some(cluster) = from_cluster {
            Supply::of_cluster(cluster, files)?
        } else {
            let limits = document::<Limits>(files, &path)?;
            match &limits.failure {
                Some(failure) if is_full(failure.reason) => {
                    return Ok(Found::Full(failure.message.clone(), remedy(failure), path));
                }
                Some(failure) => {
                    return Err(NotEvaluated::Unknown(format!(
                        "the server's limits could not be read: {} ({path}). {}",
                        failure.message,
                        remedy(failure)
                    )));
                }
                None => Supply::of_server(&limits, &path)?,
            }
        };
        if let Some(cluster) = &self.cluster {
            supply = supply.with_cluster(cluster, files)?;
        }
        if let Some(pooler) = &self.pooler {
            supply = supply.behind(pooler, self.cluster.as_ref(), files)?;
        }
        Ok(Found::Supply(Box::new(supply)))
    }
}

/// Whether a login was refused for want of a connection.
fn is_full(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::TooManyConnections
            | Reason::OnlyReservedLeft
            | Reason::RoleLimit
            | Reason::DatabaseLimit
            | Reason::PoolerFull
            | Reason::PoolerTimeout
    )
}

/// What is wanted beside what is there.
struct Case {
    has_demand: bool,
    demand: Demand,
    supply: Supply,
}

impl Case {
    fn by_outcomes(&self, outcomes: &[Outcome]) -> Result<Finding, NotEvaluated> {
        let matched = first_match(outcomes, |when| self.holds(when))?;
        let mut finding = Finding::of_match(matched);
        finding.observed = self.observed();
        if matched.is_some() {
            finding.message = if finding.message.is_empty() {
                self.arithmetic()
            } else {
                render_struct(&finding.message, &self.fields())?
            };
        }
        let missing = match (self.demand.total(), self.supply.available()) {
            (Ok(total), Ok((available, _))) => total - available,
            _ => 0,
        };
        Ok(finding.with_remedy(self.advice(missing)))
    }

    /// Whether a condition holds.
    fn holds(&self, when: &str) -> Result<bool, NotEvaluated> {
        let words: Vec<&str> = when.split_whitespace().collect();
        let [left, operator, right] = words[..] else {
            return Err(bad_condition(
                when,
                "expected three words, as in `demand > usable`",
            ));
        };
        let operator = Operator::parse(operator).ok_or_else(|| {
            bad_condition(when, format!("{operator:?} is none of = != < > <= >="))
        })?;
        if let Some(fact) = self.fact(left) {
            let wanted = match right {
                "true" => true,
                "false" => false,
                _ => return Err(bad_condition(when, format!("{left} is true or false"))),
            };
            return match operator {
                Operator::Equal => Ok(fact? == wanted),
                Operator::NotEqual => Ok(fact? != wanted),
                _ => Err(bad_condition(
                    when,
                    format!("{left} can only be compared by == and !="),
                )),
            };
        }
        let side = |word: &str| -> Result<i64, NotEvaluated> {
            if let Ok(number) = word.parse() {
                return Ok(number);
            }
            match self.number(word) {
                Err(NotEvaluated::Spec(problem)) => Err(bad_condition(when, problem)),
                other => other,
            }
        };
        Ok(operator.holds(side(left)?.cmp(&side(right)?)))
    }

    fn fact(&self, name: &str) -> Option<Result<bool, NotEvaluated>> {
        let now = || self.supply.now.as_ref().ok_or_else(|| not_logged_in(name));
        Some(match name {
            "standby" => now().map(|now| now.standby),
            "readOnly" => now().map(|now| now.read_only),
            "mayCreate" => now().and_then(|now| {
                let none = || {
                    NotEvaluated::NotApplicable("the database has no schema \"public\"".to_owned())
                };
                now.may_create.ok_or_else(none)
            }),
            "pendingRestart" => Ok(!self.supply.pending.is_empty()),
            "pooler" => Ok(!matches!(self.supply.pooler, Ok(None))),
            _ => return None,
        })
    }

    fn number(&self, name: &str) -> Result<i64, NotEvaluated> {
        let supply = &self.supply;
        let now = || supply.now.as_ref().ok_or_else(|| not_logged_in(name));
        let front = || {
            supply
                .pooler
                .clone()
                .map(|front| front.map_or((0, 0), |it| (it.waiting, it.all_pools)))
        };
        let percent = |part: i64, whole: i64| {
            if whole > 0 {
                part.saturating_mul(100) / whole
            } else {
                100
            }
        };
        match name {
            "demand" if self.has_demand => self.demand.total(),
            "demand" => Err(NotEvaluated::Spec(
                "there is no demand in the spec".to_owned(),
            )),
            "demandPercent" => Ok(percent(self.number("demand")?, supply.available()?.0)),
            "slots" => Ok(supply.slots),
            "usable" => Ok(supply.usable()?.0),
            "available" => Ok(supply.available()?.0),
            "free" => supply.free().ok_or_else(|| not_logged_in(name)),
            "used" => Ok(now()?.used),
            "usedPercent" => Ok(percent(now()?.used, supply.slots)),
            "idleInTransaction" => Ok(now()?.idle_in_transaction),
            "max" => Ok(supply.max),
            "reserved" => Ok(supply.reserved),
            "waiting" => Ok(front()?.0),
            "pooled" => Ok(front()?.1.max(supply.pooled.unwrap_or_default())),
            _ => Err(NotEvaluated::Spec(format!(
                "{name:?} is neither a number nor the name of one"
            ))),
        }
    }
}

fn not_logged_in(name: &str) -> NotEvaluated {
    NotEvaluated::Unknown(format!(
        "{name} is known only of a server that the collector `postgres` logged in to"
    ))
}

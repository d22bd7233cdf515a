//! How many connections the application opens: a sum of products, each factor given in the spec or read from the
//! workload.

use bundle::Files;
use bundle::collected::scaled::{Autoscaler, ConfigMap, Container, Scaled, Variable};
use bundle::collected::{List, ListOrArray};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::document::{counted, document, unmasked};
use crate::finding::NotEvaluated;

/// SQLAlchemy's `pool_size`.
const POOL_SIZE: i64 = 5;

/// SQLAlchemy's `max_overflow`.
const MAX_OVERFLOW: i64 = 10;

/// No factor is larger; the product of five of them stays within 64 bits.
const LARGEST: i64 = 10_000;

/// Something that opens connections: `(replicas + surge) × workers × (poolSize + maxOverflow) × stores`, or a number.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Client {
    /// What it is called in messages; the workload's name where it is empty.
    name: String,
    /// All its connections, in place of the product.
    connections: Option<i64>,
    /// The Deployment that it is: its replicas, its autoscaler's maximum and its surge are read, and its
    /// environment.
    deployment: String,
    /// The `StatefulSet` that it is.
    stateful_set: String,
    /// The workload's namespace.
    namespace: String,
    /// The container whose environment counts; the first that has the variable where it is empty.
    container: String,
    /// Pods at most. It goes before what the workload and its autoscaler say.
    replicas: Option<i64>,
    /// Pods beyond that while it is rolled out. It goes before what the Deployment says.
    surge: Option<i64>,
    /// Processes of each pod, each with a pool of its own; 1 where nothing says.
    workers: Option<i64>,
    /// The variable that holds it.
    workers_env: String,
    /// Connections that a pool keeps; 5, as SQLAlchemy has it, where nothing says.
    pool_size: Option<i64>,
    /// The variable that holds it.
    pool_size_env: String,
    /// Connections that a pool may add; 10, as SQLAlchemy has it, where nothing says.
    max_overflow: Option<i64>,
    /// The variable that holds it.
    max_overflow_env: String,
    /// Pools of each process; 1 where nothing says.
    stores: Option<i64>,
}

/// The demand of one client.
#[derive(Debug, Clone)]
pub(super) struct Term {
    /// How many connections.
    pub(super) connections: i64,
    /// How they come about: `mlflow: (2 replicas + 1 while rolled out) × 4 workers × (5 + 10) = 180`.
    pub(super) arithmetic: String,
    /// What `poolSize + maxOverflow` is multiplied with; `None` where the number is given.
    pub(super) pools: Option<i64>,
    /// `poolSize + maxOverflow`
    pub(super) of_each: i64,
}

/// The demand of all clients.
#[derive(Debug, Default)]
pub(super) struct Demand {
    /// Those that are known.
    pub(super) terms: Vec<Term>,
    /// Why others are not.
    pub(super) unknown: Option<NotEvaluated>,
}

impl Demand {
    /// Adds up what the clients open.
    pub(super) fn of(clients: &[Client], files: &Files) -> Result<Self, NotEvaluated> {
        let mut demand = Self::default();
        for client in clients {
            match client.term(files) {
                Ok(term) => demand.terms.push(term),
                Err(problem @ NotEvaluated::Spec(_)) => return Err(problem),
                Err(reason) => {
                    demand.unknown.get_or_insert(reason);
                }
            }
        }
        Ok(demand)
    }

    /// What is known of it; more, where something is unknown.
    pub(super) fn known(&self) -> i64 {
        self.terms.iter().map(|term| term.connections).sum()
    }

    /// The sum.
    pub(super) fn total(&self) -> Result<i64, NotEvaluated> {
        self.unknown.clone().map_or(Ok(self.known()), Err)
    }

    /// The sum, written out.
    pub(super) fn arithmetic(&self) -> String {
        let terms: Vec<&str> = self
            .terms
            .iter()
            .map(|term| term.arithmetic.as_str())
            .collect();
        match terms.len() {
            0 | 1 => terms.concat(),
            _ => format!("{}; together {}", terms.join("; "), self.known()),
        }
    }
}

impl Client {
    fn term(&self, files: &Files) -> Result<Term, NotEvaluated> {
        if let Some(connections) = self.connections {
            let connections = limited("connections", connections)?;
            let name = if self.name.is_empty() {
                String::new()
            } else {
                format!("{}: ", self.name)
            };
            return Ok(Term {
                connections,
                arithmetic: format!("{name}{}", counted(connections, "connection")),
                pools: None,
                of_each: 0,
            });
        }
        let workload = self.workload(files)?;
        let workload = workload.as_ref();
        let (replicas, surge) = self.pods(workload, files)?;
        let variable = |given: Option<i64>, name: &str, default: i64, field: &str| {
            let read = match workload {
                Some(workload) if !name.is_empty() => {
                    self.variable(&workload.scaled, name, files)?
                }
                _ => None,
            };
            limited(field, read.or(given).unwrap_or(default))
        };
        let workers = variable(self.workers, &self.workers_env, 1, "workers")?;
        let pool_size = variable(self.pool_size, &self.pool_size_env, POOL_SIZE, "poolSize")?;
        // SQLAlchemy's -1 is no limit at all.
        let max_overflow = variable(
            self.max_overflow,
            &self.max_overflow_env,
            MAX_OVERFLOW,
            "maxOverflow",
        )?;
        let stores = limited("stores", self.stores.unwrap_or(1))?;
        let pods = replicas + surge;
        let pools = pods * workers * stores;
        let of_each = pool_size + max_overflow;
        let mut factors = vec![if surge == 0 {
            counted(replicas, "replica")
        } else {
            format!(
                "({} + {surge} while rolled out)",
                counted(replicas, "replica")
            )
        }];
        if workers != 1 {
            factors.push(counted(workers, "worker"));
        }
        factors.push(format!("({pool_size} + {max_overflow})"));
        if stores != 1 {
            factors.push(counted(stores, "store"));
        }
        let connections = pools * of_each;
        Ok(Term {
            connections,
            arithmetic: format!("{}: {} = {connections}", self.shown(), factors.join(" × ")),
            pools: Some(pools),
            of_each,
        })
    }

    fn shown(&self) -> &str {
        [&self.name, &self.deployment, &self.stateful_set]
            .into_iter()
            .find(|name| !name.is_empty())
            .map_or("application", String::as_str)
    }

    /// The workload, where the spec names one.
    fn workload(&self, files: &Files) -> Result<Option<Found>, NotEvaluated> {
        let (kind, folder, name) = match (self.deployment.as_str(), self.stateful_set.as_str()) {
            ("", "") => return Ok(None),
            (name, "") => ("Deployment", "deployments", name),
            ("", name) => ("StatefulSet", "statefulsets", name),
            _ => {
                return Err(NotEvaluated::Spec(
                    "a client of the demand is either a deployment or a statefulSet".to_owned(),
                ));
            }
        };
        if self.namespace.is_empty() {
            return Err(NotEvaluated::Spec(format!(
                "namespace is missing: {kind} {name} is looked up by name and namespace"
            )));
        }
        let path = format!("cluster-resources/{folder}/{}.json", self.namespace);
        let list = document::<List<Scaled>>(files, &path)?;
        let found = list.items.iter().find(|it| it.metadata.name == name);
        match found {
            Some(scaled) => Ok(Some(Found {
                kind,
                scaled: scaled.clone(),
            })),
            None => Err(NotEvaluated::Unknown(format!(
                "{kind} {}/{name}, whose connections are to be counted, is not there ({path})",
                self.namespace
            ))),
        }
    }

    /// Replicas at most, and those beyond them while it is rolled out.
    fn pods(&self, workload: Option<&Found>, files: &Files) -> Result<(i64, i64), NotEvaluated> {
        let replicas = match (self.replicas, workload) {
            (Some(replicas), _) => replicas,
            (None, None) => 1,
            (None, Some(found)) => {
                let own = found.scaled.spec.replicas.unwrap_or(1);
                own.max(self.autoscaled(found, files)?.unwrap_or(own))
            }
        };
        let replicas = limited("replicas", replicas)?;
        let surge = match (self.surge, workload) {
            (Some(surge), _) => surge,
            (None, Some(found)) if found.kind == "Deployment" => surge(&found.scaled, replicas)?,
            _ => 0,
        };
        Ok((replicas, limited("surge", surge)?))
    }

    /// The maximum of the workload's autoscaler. Where these were not collected, the workload may grow by an
    /// unknown number.
    fn autoscaled(&self, found: &Found, files: &Files) -> Result<Option<i64>, NotEvaluated> {
        let path = format!(
            "cluster-resources/horizontalpodautoscalers/{}.json",
            self.namespace
        );
        let name = &found.scaled.metadata.name;
        let list = match document::<List<Autoscaler>>(files, &path) {
            Ok(list) => list,
            Err(NotEvaluated::NotApplicable(_)) => return Ok(None),
            Err(reason) => {
                return Err(NotEvaluated::Unknown(format!(
                    "whether an autoscaler adds pods to {} {}/{name} is not known ({}); give the most as `replicas`",
                    found.kind,
                    self.namespace,
                    reason.reason()
                )));
            }
        };
        let mut targets = list.items.iter().map(|it| &it.spec);
        let own = targets
            .find(|it| it.scale_target_ref.kind == found.kind && it.scale_target_ref.name == *name);
        Ok(own.map(|spec| spec.max_replicas))
    }

    /// A variable of the workload that is a number; nothing where it is not set.
    fn variable(
        &self,
        workload: &Scaled,
        name: &str,
        files: &Files,
    ) -> Result<Option<i64>, NotEvaluated> {
        let containers = &workload.spec.template.spec.containers;
        let mut chosen = containers
            .iter()
            .filter(|it| self.container.is_empty() || it.name == self.container)
            .peekable();
        if chosen.peek().is_none() {
            return Err(NotEvaluated::Unknown(format!(
                "{} has no container {:?}, whose variable {name} is wanted",
                self.shown(),
                self.container
            )));
        }
        for container in chosen {
            if let Some(text) = self.in_container(container, name, files)? {
                let text = unmasked(&text)?.trim().to_owned();
                let number = text.parse().map_err(|_| {
                    NotEvaluated::Unknown(format!(
                        "{name} of {} is {text:?}, which is no number",
                        self.shown()
                    ))
                })?;
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    fn in_container(
        &self,
        container: &Container,
        name: &str,
        files: &Files,
    ) -> Result<Option<String>, NotEvaluated> {
        // The last of a name counts, and `env` goes before `envFrom`.
        if let Some(variable) = container.env.iter().rev().find(|it| it.name == name) {
            return self.value(variable, files).map(Some);
        }
        for source in container.env_from.iter().rev() {
            let Some(key) = name.strip_prefix(source.prefix.as_str()) else {
                continue;
            };
            if let Some(map) = &source.config_map_ref {
                if let Some(value) = self.key(&map.name, key, files)? {
                    return Ok(Some(value));
                }
            } else if let Some(secret) = &source.secret_ref {
                return Err(NotEvaluated::Unknown(format!(
                    "{name} of {} may come from the Secret {}, which is not read; give the number in the spec",
                    self.shown(),
                    secret.name
                )));
            }
        }
        Ok(None)
    }

    fn value(&self, variable: &Variable, files: &Files) -> Result<String, NotEvaluated> {
        if let Some(value) = &variable.value {
            return Ok(value.clone());
        }
        let reference = variable
            .value_from
            .as_ref()
            .and_then(|from| from.config_map_key_ref.as_ref());
        let unknown = |text: String| {
            NotEvaluated::Unknown(format!("{} of {} {text}", variable.name, self.shown()))
        };
        match reference {
            Some(reference) => {
                let value = self.key(&reference.name, &reference.key, files)?;
                value.ok_or_else(|| {
                    unknown(format!(
                        "refers to the key {} of the ConfigMap {}, which is not there",
                        reference.key, reference.name
                    ))
                })
            }
            None => Err(unknown(
                "has its value from somewhere that is not read; give the number in the spec"
                    .to_owned(),
            )),
        }
    }

    /// A key of a `ConfigMap` in the workload's namespace.
    fn key(&self, map: &str, key: &str, files: &Files) -> Result<Option<String>, NotEvaluated> {
        let path = format!("cluster-resources/configmaps/{}.json", self.namespace);
        let list = document::<ListOrArray<ConfigMap>>(files, &path)?;
        let map = list.items.iter().find(|it| it.metadata.name == map);
        Ok(map.and_then(|it| it.data.get(key)).cloned())
    }
}

/// A workload and its kind.
struct Found {
    kind: &'static str,
    scaled: Scaled,
}

/// `maxSurge`: 25 % where nothing says, rounded up, as the Deployment controller does.
fn surge(deployment: &Scaled, replicas: i64) -> Result<i64, NotEvaluated> {
    let strategy = &deployment.spec.strategy;
    if strategy.kind == "Recreate" {
        return Ok(0);
    }
    let percent = |percent: i64| replicas.saturating_mul(percent).saturating_add(99) / 100;
    match &strategy.rolling_update.max_surge {
        None => Ok(percent(25)),
        Some(Value::Number(number)) => Ok(number.as_i64().unwrap_or_default()),
        Some(Value::String(text)) => text
            .strip_suffix('%')
            .map_or_else(|| text.parse(), |text| text.parse().map(percent))
            .map_err(|_| {
                NotEvaluated::Malformed(format!(
                    "maxSurge of {} is {text:?}",
                    deployment.metadata.name
                ))
            }),
        Some(other) => Err(NotEvaluated::Malformed(format!(
            "maxSurge of {} is {other}",
            deployment.metadata.name
        ))),
    }
}

/// A factor within reason: -1, SQLAlchemy's "no limit", has no product.
fn limited(field: &str, value: i64) -> Result<i64, NotEvaluated> {
    if (0..=LARGEST).contains(&value) {
        Ok(value)
    } else if value < 0 {
        Err(NotEvaluated::Unknown(format!(
            "{field} is {value}: there is no limit to what the application opens"
        )))
    } else {
        Err(NotEvaluated::Unknown(format!(
            "{field} is {value}, more than the {LARGEST} that are believed"
        )))
    }
}

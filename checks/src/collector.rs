//! What a collector is, and all that it can reach.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bundle::WriteError;
use bundle::manifest::GapReason;
use bundle::path::PathError;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use syntax::config::{ConfigError, Parsed};

use crate::agent::{Image, Place};
use crate::budget::LogBudget;
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::fingerprint::Salt;
use crate::foresight::{self, Expected};
use crate::host::Host;
pub use crate::output::{KeptFile, Output, OutputFile};

/// Where a collector looks, and so which list of a spec names it: `collectors` or `hostCollectors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `collectors`
    Cluster,
    /// `hostCollectors`
    Host,
}

/// A row of the registry: everything that `explain`, the schema, `rbac`, the reference pages and lint know
/// of a kind of collector.
#[derive(Debug)]
pub struct CollectorKind {
    /// The key in a spec, `clusterResources`.
    pub name: &'static str,
    /// Troubleshoot's name for it in titles and file names, `cluster-resources`.
    pub type_name: &'static str,
    /// Which list names it.
    pub scope: Scope,
    /// One line.
    pub summary: &'static str,
    /// The plug-in's doc comment: What it collects, Files, Permissions, Example.
    pub docs: &'static str,
    /// The release that brought it.
    pub since: &'static str,
    /// Reads the plug-in's own configuration: the spec's object without `collectorName` and `exclude`.
    pub parse: Parse,
    /// The configuration's JSON Schema.
    pub schema: fn() -> Value,
}

/// Reads a plug-in's configuration.
pub type Parse = fn(&Value, &Meta) -> Result<Parsed<Box<dyn Collector>>, ConfigError>;

/// The fields that every collector has (`CollectorMeta`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// `collectorName`, empty when absent.
    pub name: String,
}

/// How a collector treats its target, and so how it is scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// Reads: runs beside others.
    Reads,
    /// Creates, executes, copies or binds: in spec order, one at a time.
    Acts,
    /// Measures: alone.
    Measures,
}

/// A request that a collector makes, as data: from it come the access review, `rbac` and the docs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission {
    /// `get`, `list`, `create`.
    pub verb: &'static str,
    /// The API group, empty for core.
    pub group: String,
    /// The plural, with the subresource after a slash: `pods/log`.
    pub resource: String,
    /// The namespace; `None` is cluster-wide.
    pub namespace: Option<String>,
    /// One object's name; `None` is any.
    pub name: Option<String>,
}

impl fmt::Display for Permission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(formatter, ".{}", self.group)?;
        }
        if let Some(name) = &self.name {
            write!(formatter, " {name:?}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(formatter, " in namespace {namespace:?}"),
            None => formatter.write_str(" cluster-wide"),
        }
    }
}

/// One collector with its configuration.
#[async_trait]
pub trait Collector: fmt::Debug + Send + Sync {
    /// `<type>` or `<type>/<name or selector>`, as troubleshoot titles it in progress and file names.
    fn title(&self) -> String;

    /// How it is scheduled.
    fn conduct(&self) -> Conduct {
        Conduct::Reads
    }

    /// What it asks of the API, given the run's namespace override.
    fn permissions(&self, namespace: Option<&str>) -> Vec<Permission>;

    /// Whether it is of use with only some of its permissions. If not, it is not run when one is denied.
    fn degrades(&self) -> bool {
        false
    }

    /// Those of its permissions without which it is not run: all of them, or none where it degrades.
    fn required(&self, namespace: Option<&str>) -> Vec<Permission> {
        if self.degrades() {
            Vec::new()
        } else {
            self.permissions(namespace)
        }
    }

    /// The files it may write, as globs over bundle paths (`*` within a segment, `**` across): what is
    /// missing when it is refused or cut, and where two collectors of a plan would meet.
    fn files(&self, namespace: Option<&str>) -> Vec<String>;

    /// Where it is to run, given the run's namespace override. Where that is a pod, the harness runs it there:
    /// its configuration is that of [`Collector::portable`], and its files come back as if it had run here.
    fn place(&self, _namespace: Option<&str>) -> Place {
        Place::Here
    }

    /// Its configuration, as its kind's `parse` reads it, to be run where there is no cluster to ask and none of
    /// this machine's files: each reference is replaced by what it leads to, and `from` says here. `None` where a
    /// reference that leads nowhere is the answer, which is then in `output`. Only asked of a collector whose
    /// [`Collector::place`] is a pod.
    async fn portable(
        &self,
        _context: &Context,
        _output: &Output,
    ) -> Result<Option<Value>, CollectError> {
        Err(CollectError::Failed(format!(
            "{} cannot run in a pod",
            self.title()
        )))
    }

    /// What it would read, found out by counts alone: nothing is written, and no content is read but a sample. By default that
    /// follows from its permissions.
    async fn foresee(&self, context: &Context) -> Vec<Expected> {
        let permissions = self.permissions(context.namespace.as_deref());
        foresight::of_permissions(&permissions)
    }

    /// The images of pods that it would make.
    fn images(&self, _context: &Context) -> Vec<String> {
        Vec::new()
    }

    /// How long it may take in all, where its configuration says so.
    fn deadline(&self) -> Option<Duration> {
        None
    }

    /// Collects into `output`. An error ends this collector only; what was written stays. The future is
    /// dropped at a deadline or signal: what must be undone is told to [`Context::at_end`] before it is
    /// done.
    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError>;

    /// Whether it may have left something in a service, which `--cleanup` would have it remove.
    fn cleans_up(&self) -> bool {
        false
    }

    /// Whether, by what [`Collector::collect`] found, there is something for [`Collector::collect_last`].
    /// Its files are announced by then.
    fn comes_back(&self) -> bool {
        false
    }

    /// Collects what must come after every other collector has ended.
    async fn collect_last(&self, _context: &Context, _output: &Output) -> Result<(), CollectError> {
        Ok(())
    }
}

/// All that a collector can reach.
#[derive(Clone)]
pub struct Context {
    /// The cluster, where the run has one.
    pub cluster: Option<Arc<Cluster>>,
    /// The host.
    pub host: Host,
    /// `--namespace`.
    pub namespace: Option<String>,
    /// `--since`/`--since-time`: only logs younger than this, over what a spec says.
    pub logs_since: Option<jiff::Timestamp>,
    /// How much of each log the run takes.
    pub log_budget: LogBudget,
    /// By when the collector has ended, cleaning up included.
    pub ends_by: Option<jiff::Timestamp>,
    /// The run's id, a label on everything that is created.
    pub run_id: String,
    /// What makes the run's fingerprints of secrets comparable.
    pub salt: Salt,
    /// The image of this program for pods, where one is named.
    pub agent_image: Option<Image>,
    /// What is to be undone when the collector has ended.
    pub cleanups: Cleanups,
    /// The clock.
    pub clock: Clock,
    /// What may be written to what a collector probes, beside what its configuration says.
    pub writes: Writes,
}

/// Whether the operator lets collectors write to services: the other consent beside the spec's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Writes {
    /// Nothing is written.
    #[default]
    Refused,
    /// `--allow-writes`
    Allowed,
    /// `--allow-writes --cleanup`: only what earlier runs left is removed, and nothing else is done.
    CleanUp,
}

impl Writes {
    /// Whether nothing is written.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        *self == Self::Refused
    }
}

/// Work to be done when a collector has ended, in whichever way.
#[derive(Clone, Default)]
pub struct Cleanups(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl Context {
    /// The cluster, or the reason why a collector that needs one cannot run.
    pub fn cluster(&self) -> Result<&Arc<Cluster>, CollectError> {
        self.cluster
            .as_ref()
            .ok_or_else(|| CollectError::Failed("this run has no cluster to ask".to_owned()))
    }

    /// The time: collectors have no clock of their own.
    #[must_use]
    pub fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// Has `work` done when the collector ends: normally, by an error, a panic, a deadline or a signal. The
    /// last told is done first; each piece of work has 30 seconds.
    pub fn at_end(&self, work: impl Future<Output = ()> + Send + 'static) {
        locked(&self.cleanups.0).push(Box::pin(work));
    }
}

impl Cleanups {
    pub(crate) fn take(&self) -> Vec<BoxFuture<'static, ()>> {
        let mut taken = std::mem::take(&mut *locked(&self.0));
        taken.reverse();
        taken
    }
}

/// Why a collector ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The API or the host refused.
    #[error("{0}")]
    Refused(String),
    /// A deadline passed.
    #[error("{0}")]
    Deadline(String),
    /// The archive cannot take more.
    #[error(transparent)]
    Output(#[from] WriteError),
    /// A name from the cluster or the spec makes no path inside a bundle.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A budget is used up.
    #[error("{0}")]
    Limit(String),
    /// Anything else: what was attempted, on what, what came back.
    #[error("{0}")]
    Failed(String),
}

impl CollectError {
    /// Why data is therefore missing.
    #[must_use]
    pub fn gap_reason(&self) -> GapReason {
        match self {
            Self::Refused(_) => GapReason::Refused,
            Self::Deadline(_) => GapReason::Deadline,
            Self::Limit(_) => GapReason::Limit,
            Self::Output(_) | Self::Path(_) | Self::Failed(_) => GapReason::Failed,
        }
    }
}

/// A lock whose holder never panics half-way: what it guards is whole even when poisoned.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

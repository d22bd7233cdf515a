//! What a collector is, and all that it can reach.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use syntax::config::{ConfigError, Parsed};

use crate::cluster::Cluster;
use crate::host::Host;

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
    pub parse: fn(&Value, &Meta) -> Result<Parsed<Box<dyn Collector>>, ConfigError>,
    /// The configuration's JSON Schema.
    pub schema: fn() -> Value,
}

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

    /// Collects into `output`. An error ends this collector only; what was written stays.
    async fn collect(&self, context: &Context, output: &Output) -> Result<(), CollectError>;
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
    /// The run's id, a label on everything that is created.
    pub run_id: String,
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
    Output(#[from] bundle::WriteError),
    /// Anything else: what was attempted, on what, what came back.
    #[error("{0}")]
    Failed(String),
}

/// Where a collector's bytes go: the archive, redacted inside, and the collector's own record.
pub struct Output {}

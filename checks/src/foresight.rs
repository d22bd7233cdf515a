//! What a run would read and make, before it does: by cheap counts, and without writing anything.
//!
//! A collector says nothing of this by itself: its permissions already name every list and every object. Those that read by
//! something else (labels, discovery, logs) answer [`Collector::foresee`](crate::Collector::foresee) themselves.

use std::collections::BTreeSet;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt as _};
use serde::Serialize;

use crate::budget::smaller;
use crate::cluster::Cluster;
use crate::collector::{Conduct, Context, Permission, Scope};
use crate::run::{Planned, Settings};

/// Counts under way at once.
const AT_ONCE: usize = 8;

/// What one collector would do.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are facts of a document"
)]
pub struct Foreseen {
    /// Its title.
    pub title: String,
    /// Its kind, `clusterResources`.
    pub collector: &'static str,
    /// Whether the spec names it, or it was added by default.
    pub requested: bool,
    /// Whether the spec excludes it: then nothing else is said.
    pub excluded: bool,
    /// `cluster` or `host`.
    pub scope: &'static str,
    /// Whether it creates, executes or measures something, rather than reading alone.
    pub acts: bool,
    /// What it would read.
    pub reads: Vec<Expected>,
    /// What it would create, `pods in namespace "shop"`.
    pub creates: Vec<String>,
    /// The images of pods it would create.
    pub images: Vec<String>,
    /// What it asks of the API.
    pub permissions: Vec<String>,
    /// Those that are denied.
    pub missing: Vec<String>,
    /// Whether it would not run at all for want of them.
    pub refused: bool,
    /// The most bytes it may write, where a budget says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_bytes: Option<u64>,
    /// The most seconds it may take, where a budget or the collector says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_seconds: Option<u64>,
}

/// Something that would be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Expected {
    /// What, `pods in namespace "shop"`.
    pub what: String,
    /// Objects of the API, as the server counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
    /// Logs, about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs: Option<u64>,
    /// Bytes, about; of logs at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Requests, about.
    pub requests: u64,
    /// Why it could not be counted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uncounted: String,
}

/// Looks ahead for every collector of a plan. `cluster` is asked for counts and reviews only.
pub async fn foresee(plan: &[Planned], context: &Context, settings: &Settings) -> Vec<Foreseen> {
    let namespace = context.namespace.as_deref();
    let needed: BTreeSet<Permission> = plan
        .iter()
        .filter(|planned| !planned.excluded && planned.kind.scope == Scope::Cluster)
        .flat_map(|planned| planned.collector.permissions(namespace))
        .collect();
    let denied = match &context.cluster {
        Some(cluster) => denied(cluster, &needed).await,
        None => BTreeSet::new(),
    };
    let mut foreseen = Vec::new();
    for planned in plan {
        foreseen.push(one(planned, context, settings, &denied).await);
    }
    foreseen
}

async fn one(
    planned: &Planned,
    context: &Context,
    settings: &Settings,
    denied: &BTreeSet<Permission>,
) -> Foreseen {
    let namespace = context.namespace.as_deref();
    let collector = &planned.collector;
    let in_cluster = planned.kind.scope == Scope::Cluster && !planned.excluded;
    let mut permissions = if in_cluster {
        collector.permissions(namespace)
    } else {
        Vec::new()
    };
    permissions.sort_unstable();
    permissions.dedup();
    let is_denied = |permission: &&Permission| denied.contains(permission);
    let missing: Vec<String> = permissions
        .iter()
        .filter(is_denied)
        .map(ToString::to_string)
        .collect();
    let required = collector.required(namespace);
    let refused = in_cluster
        && required
            .iter()
            .any(|permission| denied.contains(permission));
    let creates = permissions
        .iter()
        .filter(|permission| permission.verb == "create");
    let creates = creates.filter(|permission| !permission.resource.contains('/'));
    let budget = planned.budget.min(settings.budget);
    let time = smaller(
        budget.time,
        collector.deadline().or(Some(settings.collector_deadline)),
    );
    let works = !planned.excluded && !refused;
    Foreseen {
        title: collector.title(),
        collector: planned.kind.name,
        requested: planned.requested,
        excluded: planned.excluded,
        scope: match planned.kind.scope {
            Scope::Cluster => "cluster",
            Scope::Host => "host",
        },
        acts: collector.conduct() != Conduct::Reads,
        reads: if works && in_cluster {
            collector.foresee(context).await
        } else {
            Vec::new()
        },
        creates: creates.map(place).collect(),
        images: collector.images(context),
        permissions: permissions.iter().map(ToString::to_string).collect(),
        missing,
        refused,
        most_bytes: budget.bytes,
        most_seconds: time
            .filter(|_| !planned.excluded)
            .map(|time| time.as_secs()),
    }
}

/// `pods in namespace "shop"`
fn place(permission: &Permission) -> String {
    let text = permission.to_string();
    text.split_once(' ')
        .map_or(text.clone(), |(_, place)| place.to_owned())
}

async fn denied(cluster: &Cluster, permissions: &BTreeSet<Permission>) -> BTreeSet<Permission> {
    let reviews = permissions.iter().map(|permission| async move {
        // What cannot be reviewed is tried by a run, too.
        let refused = matches!(cluster.may(permission).await, Ok(false));
        refused.then(|| permission.clone())
    });
    let reviews: Vec<BoxFuture<'_, _>> = reviews.map(FutureExt::boxed).collect();
    futures::stream::iter(reviews)
        .buffer_unordered(AT_ONCE)
        .filter_map(|denied| async move { denied })
        .collect()
        .await
}

/// What follows from permissions alone: one request for each. How many objects a list has is for those to count who know by
/// what they select.
pub(crate) fn of_permissions(permissions: &[Permission]) -> Vec<Expected> {
    let counted = permissions.iter().filter(|permission| {
        let by_name = permission.verb == "get" && permission.name.is_some();
        by_name || matches!(permission.verb, "list" | "create" | "delete")
    });
    let expected = counted.map(|permission| Expected {
        what: match permission.verb {
            "get" | "list" => place(permission),
            _ => permission.to_string(),
        },
        objects: (permission.verb == "get").then_some(1),
        requests: 1,
        ..Expected::default()
    });
    expected.collect()
}

/// A list, counted.
pub(crate) async fn counted(
    cluster: &Cluster,
    what: String,
    path: &str,
    query: &[(&str, &str)],
) -> Expected {
    match cluster.count(path, query).await {
        Ok(count) => Expected {
            what,
            objects: Some(count.items),
            bytes: Some(count.bytes),
            requests: count.pages,
            ..Expected::default()
        },
        // A run would ask, too, and get the same answer.
        Err(error) => Expected {
            what,
            requests: 1,
            uncounted: error.to_string(),
            ..Expected::default()
        },
    }
}

//! What would be read: every list is counted where it will be asked for, without reading it.

use futures::StreamExt as _;
use futures::future::BoxFuture;

use super::kinds::{CLUSTER_WIDE, DEFINITIONS, Kind, NAMESPACED, NAMESPACES, collection, group};
use super::{ClusterResources, custom, is_namespace};
use crate::cluster::{Cluster, Discovery, segment};
use crate::collector::{Context, Permission};
use crate::foresight::{Expected, counted};
use crate::pod_log;

/// Lists counted at once.
const AT_ONCE: usize = 8;

/// A list that will be asked for.
struct List {
    what: String,
    path: String,
    query: Vec<(&'static str, &'static str)>,
}

pub(super) async fn foresee(config: &ClusterResources, context: &Context) -> Vec<Expected> {
    let Some(cluster) = &context.cluster else {
        return Vec::new();
    };
    let requests = |what: &str, requests: u64, objects| Expected {
        what: what.to_owned(),
        requests,
        objects,
        ..Expected::default()
    };
    let discovery = cluster.discover().await.ok();
    let mut expected = vec![requests("discovery", 2, None)];
    let named = match (config.named(), &context.namespace) {
        (Some(names), _) => Some(names.to_vec()),
        (None, Some(name)) => Some(vec![name.clone()]),
        (None, None) => None,
    };
    let mut lists = Vec::new();
    let (namespaces, count) = if let Some(mut names) = named {
        names.retain(|name| is_namespace(name));
        let count = names.len() as u64;
        expected.push(requests("namespaces", count, Some(count)));
        (Some(names), count)
    } else {
        let path = collection("v1", None, NAMESPACES.resource);
        let all = counted(cluster, "namespaces cluster-wide".to_owned(), &path, &[]).await;
        // Where they may not be listed, those are looked into that are known by name.
        let likely = || cluster.likely_namespaces().into_iter().collect();
        let known: Option<Vec<String>> = (!all.uncounted.is_empty()).then(likely);
        let count = known
            .as_ref()
            .map_or(all.objects.unwrap_or(1), |known| known.len() as u64);
        expected.push(all);
        (known, count)
    };
    expected.push(reviews(cluster, count).await);
    let version = |kind: &Kind| version_of(discovery.as_ref(), kind);
    for kind in NAMESPACED {
        if let Some(version) = version(kind) {
            lists.extend(everywhere(
                namespaces.as_deref(),
                version,
                kind.resource,
                &[],
            ));
        }
    }
    for kind in CLUSTER_WIDE.iter().chain([&DEFINITIONS]) {
        if let Some(version) = version(kind) {
            lists.extend(everywhere(None, version, kind.resource, &[]));
        }
    }
    for (version, resource, namespaced) in custom::listed(discovery.as_ref()) {
        let namespaces = namespaces.as_deref().filter(|_| namespaced);
        lists.extend(everywhere(namespaces, &version, &resource, &[]));
    }
    for selector in [
        "type=kubernetes.io/dockerconfigjson",
        "metadata.name=replicated",
    ] {
        let query = [("fieldSelector", selector)];
        lists.extend(everywhere(namespaces.as_deref(), "v1", "secrets", &query));
    }
    let counts = lists
        .into_iter()
        .map(|list| async move { counted(cluster, list.what, &list.path, &list.query).await });
    let counts: Vec<BoxFuture<'_, Expected>> = counts.map(futures::FutureExt::boxed).collect();
    let counts: Vec<Expected> = futures::stream::iter(counts)
        .buffered(AT_ONCE)
        .collect()
        .await;
    expected.extend(counts);
    expected.extend(logs(cluster, namespaces.as_deref()).await);
    expected
}

fn version_of(discovery: Option<&Discovery>, kind: &Kind) -> Option<&'static str> {
    let mut versions = kind.versions.iter().copied();
    match discovery {
        Some(discovery) => versions.find(|version| discovery.has(version, kind.resource)),
        None => versions.next(),
    }
}

/// A resource's lists: one of all namespaces, or one for each of those named.
fn everywhere(
    namespaces: Option<&[String]>,
    version: &str,
    resource: &str,
    query: &[(&'static str, &'static str)],
) -> Vec<List> {
    let group = group(version);
    let dotted = if group.is_empty() { "" } else { "." };
    let selectors: Vec<&str> = query.iter().map(|(_, selector)| *selector).collect();
    let selected = match selectors.join(", ") {
        none if none.is_empty() => none,
        selectors => format!(" with {selectors}"),
    };
    let list = |namespace: Option<&str>, place: String| List {
        what: format!("{resource}{dotted}{group}{selected} {place}"),
        path: collection(version, namespace, resource),
        query: query.to_vec(),
    };
    match namespaces {
        None => vec![list(None, "cluster-wide".to_owned())],
        Some(names) => names
            .iter()
            .map(|name| list(Some(name), format!("in namespace {name:?}")))
            .collect(),
    }
}

/// The access reviews: who may do everything is asked twice, everyone else once for each namespace.
async fn reviews(cluster: &Cluster, namespaces: u64) -> Expected {
    let everything = Permission {
        verb: "*",
        group: "*".to_owned(),
        resource: "*".to_owned(),
        namespace: None,
        name: None,
    };
    let administrator = matches!(cluster.may(&everything).await, Ok(true));
    Expected {
        what: "access reviews".to_owned(),
        requests: 1 + if administrator {
            namespaces.min(1)
        } else {
            namespaces
        },
        ..Expected::default()
    }
}

/// The logs of pods that are not healthy, as far as their phase tells: one that runs and is not ready is known only when it
/// is read.
async fn logs(cluster: &Cluster, namespaces: Option<&[String]>) -> Vec<Expected> {
    let query = [(
        "fieldSelector",
        "status.phase!=Running,status.phase!=Succeeded",
    )];
    let paths: Vec<String> = match namespaces {
        None => vec!["/api/v1/pods".to_owned()],
        Some(names) => names
            .iter()
            .map(|name| format!("/api/v1/namespaces/{}/pods", segment(name)))
            .collect(),
    };
    let mut expected = Vec::new();
    for path in paths {
        let pods = counted(cluster, String::new(), &path, &query).await;
        if pods.objects.unwrap_or(0) == 0 {
            continue;
        }
        let logs = pod_log::foresee(cluster, &path, &query, 0, &pods).await;
        expected.push(Expected {
            what: "logs of pods that are not healthy, at least".to_owned(),
            bytes: logs.logs.map(|logs| logs * 50_000),
            ..logs
        });
    }
    expected
}

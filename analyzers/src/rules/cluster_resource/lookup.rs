//! Finding one object in a bundle, without a tree of its list.

use std::io::Read;

use bundle::Files;
use serde_json::Value;
use syntax::json::{Shape, SplitError, Splitter, find, text};
use syntax::suggest::nearest;

use crate::document::{is_masked, missing, redacted};
use crate::finding::NotEvaluated;

/// A kind that can be asked for.
pub(super) struct ObjectKind {
    /// In lower case, as a spec names it.
    pub(super) name: &'static str,
    /// Its list or the folder of its lists, below `cluster-resources`.
    pub(super) place: &'static str,
    /// Whether its objects are in namespaces, each with a list of its own.
    pub(super) has_namespaces: bool,
    /// As the API has it, `Deployment`.
    pub(super) kind: &'static str,
    /// The version of the API that lists are collected in, `apps/v1`.
    pub(super) api_version: &'static str,
}

impl ObjectKind {
    /// The kind that a spec names, in any case.
    pub(super) fn named(name: &str) -> Result<&'static Self, NotEvaluated> {
        let wanted = name.to_lowercase();
        if let Some(kind) = OBJECT_KINDS.iter().find(|kind| kind.name == wanted) {
            return Ok(kind);
        }
        let names = OBJECT_KINDS.map(|kind| kind.name);
        let hint = match nearest(&wanted, names) {
            Some(name) => format!("; did you mean {name}?"),
            None => String::new(),
        };
        Err(NotEvaluated::Spec(format!(
            "kind {name:?} is not one of {}{hint}",
            names.join(", ")
        )))
    }
}

const fn of_namespace(
    name: &'static str,
    place: &'static str,
    api_version: &'static str,
    kind: &'static str,
) -> ObjectKind {
    ObjectKind {
        name,
        place,
        has_namespaces: true,
        kind,
        api_version,
    }
}

const fn of_cluster(
    name: &'static str,
    place: &'static str,
    api_version: &'static str,
    kind: &'static str,
) -> ObjectKind {
    ObjectKind {
        has_namespaces: false,
        ..of_namespace(name, place, api_version, kind)
    }
}

#[rustfmt::skip]
const OBJECT_KINDS: [ObjectKind; 20] = [
    of_namespace("configmap", "configmaps", "v1", "ConfigMap"),
    of_namespace("daemonset", "daemonsets", "apps/v1", "DaemonSet"),
    of_namespace("deployment", "deployments", "apps/v1", "Deployment"),
    of_namespace("ingress", "ingress", "networking.k8s.io/v1", "Ingress"),
    of_namespace("job", "jobs", "batch/v1", "Job"),
    of_cluster("mutatingwebhookconfiguration", "mutating-webhook-configurations", "admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
    of_cluster("namespace", "namespaces", "v1", "Namespace"),
    of_namespace("networkpolicy", "network-policy", "networking.k8s.io/v1", "NetworkPolicy"),
    of_cluster("node", "nodes", "v1", "Node"),
    of_cluster("persistentvolume", "pvs", "v1", "PersistentVolume"),
    of_namespace("persistentvolumeclaim", "pvcs", "v1", "PersistentVolumeClaim"),
    of_namespace("pod", "pods", "v1", "Pod"),
    of_cluster("pv", "pvs", "v1", "PersistentVolume"),
    of_namespace("pvc", "pvcs", "v1", "PersistentVolumeClaim"),
    of_namespace("replicaset", "replicasets", "apps/v1", "ReplicaSet"),
    of_namespace("resourcequota", "resource-quota", "v1", "ResourceQuota"),
    of_namespace("service", "services", "v1", "Service"),
    of_namespace("statefulset", "statefulsets", "apps/v1", "StatefulSet"),
    of_cluster("storageclass", "storage-classes", "storage.k8s.io/v1", "StorageClass"),
    of_cluster("validatingwebhookconfiguration", "validating-webhook-configurations", "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
];

/// What a list says of an object.
pub(super) enum Lookup {
    /// The object.
    Found(Value),
    /// It is not among so many objects, which are all.
    Absent { among: u64 },
}

/// Looks an object up by name, holding one object at a time. One that is found is judged although its list may be cut; that
/// one does not exist can only be said of a whole list.
pub(super) fn look_up(
    files: &Files,
    path: &str,
    kind: &ObjectKind,
    name: &str,
) -> Result<Lookup, NotEvaluated> {
    let mut search = Search::new(path, name);
    let mut splitter = Splitter::default();
    let mut reader = files.open(path)?;
    let mut piece = vec![0; 64 << 10];
    loop {
        let read = reader
            .read(&mut piece)
            .map_err(|error| NotEvaluated::Unknown(format!("{path} cannot be read: {error}")))?;
        splitter
            .push(&piece[..read], |item, _| {
                search.take(item.bytes);
                Ok::<_, SplitError>(())
            })
            .map_err(|error| malformed(path, &error))?;
        if let Some(found) = search.found {
            return found.map(Lookup::Found);
        }
        if read == 0 {
            break;
        }
    }
    let mut among = splitter.items();
    let (shape, envelope) = splitter.finish().map_err(|error| malformed(path, &error))?;
    if shape == Shape::Object && envelope.kind == kind.kind {
        // Where one namespace was collected, `namespaces.json` is that namespace.
        among = 1;
        search.take(&files.read(path)?);
        if let Some(found) = search.found {
            return found.map(Lookup::Found);
        }
    } else if shape == Shape::Object && !envelope.kind.ends_with("List") {
        let problem = format!("it is neither a list nor a {}", kind.kind);
        return Err(malformed(path, &problem));
    }
    match search.doubt.or_else(|| missing(files, path)) {
        Some(reason) => Err(reason),
        None => Ok(Lookup::Absent { among }),
    }
}

/// What became of the objects so far.
struct Search<'a> {
    path: &'a str,
    name: &'a str,
    /// The object, where there was one of the name.
    found: Option<Result<Value, NotEvaluated>>,
    /// Why one of the others may be it.
    doubt: Option<NotEvaluated>,
}

impl<'a> Search<'a> {
    fn new(path: &'a str, name: &'a str) -> Self {
        Self {
            path,
            name,
            found: None,
            doubt: None,
        }
    }

    fn take(&mut self, object: &[u8]) {
        if self.found.is_some() {
            return;
        }
        match find(object, &["metadata", "name"]).and_then(text) {
            Some(name) if name == self.name => self.found = Some(self.decoded(object)),
            Some(name) if !is_masked(&name) => {}
            Some(_) => self.doubt = Some(redacted()),
            None => {
                let nameless = malformed(self.path, &"an object in it has no name");
                self.doubt.get_or_insert(nameless);
            }
        }
    }

    fn decoded(&self, object: &[u8]) -> Result<Value, NotEvaluated> {
        serde_json::from_slice(object).map_err(|error| {
            if is_masked(&String::from_utf8_lossy(object)) {
                redacted()
            } else {
                malformed(self.path, &format!("{}: {error}", self.name))
            }
        })
    }
}

fn malformed(path: &str, problem: &dyn std::fmt::Display) -> NotEvaluated {
    NotEvaluated::Malformed(format!("{path} is not the document expected: {problem}"))
}

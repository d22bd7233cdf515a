//! `ingress`: an Ingress is there.

use bundle::Files;
use bundle::collected::{List, Named};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{counted, document, unmasked};
use crate::finding::{Finding, Icon, Judgement, NotEvaluated, ObjectReference};
use crate::outcome::{Outcome, by_presence};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "An Ingress exists",
    docs: docs::<Ingress>,
    since: "0.1.0",
    needs: &["clusterResources"],
    parse: parse::<Ingress>,
    schema: schema::<Ingress>,
};

const NAME: &str = "ingress";
const ICON: Icon = Icon {
    key: "kubernetes_ingress",
    file: "ingress-controller.svg?w=20&h=13",
};

/// An Ingress exists.
///
/// # What it checks
/// Whether the namespace has the Ingress `ingressName`. It says nothing of the controller that serves it.
///
/// # When it warns or fails
/// It passes when the Ingress is there and fails when it is not. There is no `when`: the last `pass` and the last `fail`
/// of the outcomes supply the words, and a `warn` says nothing.
///
/// # What to do
/// Install the chart or the manifest that brings the Ingress, or look for it in another namespace:
/// `kubectl get ingress --all-namespaces`.
///
/// # Needs
/// The collector `clusterResources` (always added), which lists `ingresses.networking.k8s.io` in the namespace.
///
/// # Example
/// ```yaml
/// ingress:
///   ingressName: web
///   namespace: shop
///   outcomes:
///     - fail:
///         message: The shop has no Ingress, so it cannot be reached from outside.
///     - pass:
///         message: The shop has an Ingress.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Ingress {
    /// What to say.
    outcomes: Vec<Outcome>,
    /// The Ingress.
    #[serde(rename = "ingressName")]
    name: String,
    /// Its namespace.
    namespace: String,
}

impl Analyzer for Ingress {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or(format!("Ingress {}", self.name))
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let (namespace, name) = (&self.namespace, &self.name);
        if namespace.is_empty() || name.is_empty() {
            return Err(NotEvaluated::Spec(format!(
                "an Ingress is looked up by ingressName and namespace, which are {name:?} and {namespace:?}"
            )));
        }
        let path = format!("cluster-resources/ingress/{namespace}.json");
        let ingresses = document::<List<Named>>(files, &path)?;
        let names = || ingresses.items.iter().map(|it| &it.metadata.name);
        let is_there = names().any(|it| it == name);
        if !is_there {
            names().try_for_each(|it| unmasked(it).map(drop))?;
        }
        let (verdict, words) = by_presence(&self.outcomes, is_there);
        let state = if is_there { "is" } else { "is not" };
        let finding = Finding {
            id: Finding::id(NAME, &format!("{namespace}/{name}")),
            title: self.title(meta),
            strict: meta.strict,
            observed: format!(
                "{name} {state} among {} ({path})",
                counted(ingresses.items.len(), "Ingress object")
            ),
            objects: vec![ObjectReference {
                api_version: "networking.k8s.io/v1".to_owned(),
                kind: "Ingress".to_owned(),
                namespace: namespace.clone(),
                name: name.clone(),
            }],
            ..Finding::of(verdict, &words)
        };
        let remedy = format!(
            "Install what brings the Ingress {name} into the namespace {namespace}, or name one that exists: kubectl -n {namespace} get ingress."
        );
        Ok(finding.with_remedy(remedy).with_icon(&ICON).into())
    }
}

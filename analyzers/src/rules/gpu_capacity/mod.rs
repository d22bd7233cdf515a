//! `gpuCapacity`: whether pods of a template fit into the cluster as it is, and why not.

mod admission;
mod changes;
mod cluster;
mod constraints;
mod devices;
mod expression;
mod facts;
mod fit;
mod limits;
mod measures;
mod placement;
mod pools;
mod requests;
mod stack;
mod template;
mod validation;
mod volumes;

use bundle::Files;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::finding::{Finding, Judgement, NotEvaluated};
use crate::message::render_struct;
use crate::outcome::{Outcome, first_match};
use cluster::Collected;
use facts::Facts;
use fit::Fit;
use measures::Condition;
use requests::is_extended;
use template::PodTemplate;

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "Pods of a template fit into the cluster, GPUs and all",
    docs: docs::<GpuCapacity>,
    since: "0.1.0",
    needs: &["clusterResources"],
    parse: parse::<GpuCapacity>,
    schema: schema::<GpuCapacity>,
};

const NAME: &str = "gpuCapacity";

/// Pods of a template fit into the cluster as it is.
///
/// # What it checks
/// How many of `request.replicas` pods of `request.podTemplate` the default scheduler would place now, from what
/// each node offers to pods less what the pods on it hold: processors, memory, scratch space, GPUs, MIG slices and
/// any other extended resource, devices of dynamic resource allocation. Taints, cordons, selectors and node
/// affinity, pods per node, host ports, bound volumes, priorities, runtime classes, limit ranges and quotas of
/// `request.namespace` count. What is not simulated (topology spread, affinity between pods, other schedulers)
/// is named; where it could change the answer, the answer is unknown.
///
/// # When it warns or fails
/// `when` is `<what> <operator> <quantity>` with `= != < > <= >=`. What: `placed`, `unplaced`, `replicas`,
/// `evicting` (pods that fit only if others of lower priority are evicted); of a resource on all nodes
/// `free(nvidia.com/gpu)`, `largestFree(…)` on one node, `allocatable(…)`, `unhealthy(…)` (nodes have it and do not
/// offer it). The first outcome that holds counts. Messages are templates over `.Replicas .Placed .Unplaced
/// .Evicting .Resource .Free .LargestFree .Allocatable .Unhealthy .Reasons .Change .NotSimulated .Remarks`; an empty
/// message says how many fit and why no more.
///
/// # What to do
/// The remedy names the nearest change: a toleration, a label, a cordon to lift, what to free on which node, a
/// quota to raise, how many nodes to add.
///
/// # Needs
/// The collector `clusterResources` (always added), which lists nodes, pods of all namespaces, quotas and classes.
/// Where some of it was refused and could change the answer, the answer is unknown.
///
/// # Example
/// ```yaml
/// gpuCapacity:
///   checkName: Room for the model servers
///   request:
///     replicas: 3
///     namespace: models
///     podTemplate:
///       spec:
///         nodeSelector:
///           nvidia.com/gpu.product: NVIDIA-A100-SXM4-40GB
///         tolerations:
///           - {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
///         containers:
///           - name: server
///             resources:
///               requests: {cpu: "4", memory: 32Gi}
///               limits: {nvidia.com/gpu: 2}
///   outcomes:
///     - fail:
///         when: "unplaced > 0"
///         message: "{{ .Placed }} of {{ .Replicas }} model servers fit. {{ .Reasons }}"
///     - warn:
///         when: "unhealthy(nvidia.com/gpu) > 0"
///         message: "{{ .Unhealthy }} GPUs are not offered by their nodes."
///     - pass:
///         message: "All {{ .Replicas }} model servers fit; {{ .Free }} GPUs are free."
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct GpuCapacity {
    /// The pods that should fit. Without it conditions can only ask for what is free.
    request: Option<Request>,
    /// The conditions and what to say.
    outcomes: Vec<Outcome>,
}

/// Pods that should fit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Request {
    /// How many.
    replicas: i64,
    /// Where they will be; its quotas and limit ranges count. One that does not exist yet has none.
    namespace: String,
    /// A Kubernetes `PodTemplateSpec` as it is: `metadata` and `spec`.
    #[schemars(with = "Map<String, Value>")]
    pod_template: PodTemplate,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            replicas: 1,
            namespace: "default".to_owned(),
            pod_template: PodTemplate::default(),
        }
    }
}

/// Something that was not looked at, and what it could do to the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unsure {
    what: String,
    effect: Effect,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Effect {
    /// Fewer pods may fit.
    Lowers,
    /// The class of this name, or of none, is not known: more may be evicted, or less, and a class that is named may
    /// not exist.
    Priority { named: bool },
    /// Nodes may have the resource although they do not list it.
    Serves(String),
    /// Anything.
    Anything,
}

impl Unsure {
    fn new(what: String, effect: Effect) -> Self {
        Self { what, effect }
    }

    fn lowers(what: String) -> Self {
        Self::new(what, Effect::Lowers)
    }
}

impl Analyzer for GpuCapacity {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or("GPU Capacity")
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let collected = Collected::read(files)?;
        let hosts = collected.hosts()?;
        let fit = match &self.request {
            Some(request) => Some(Fit::of(request, &collected, &hosts, files)?),
            None => None,
        };
        let facts = Facts {
            hosts: &hosts,
            unseen_pods: collected.unseen_pods.as_deref(),
            resource: self.resource(fit.as_ref()),
            fit,
        };
        let matched = first_match(&self.outcomes, |when| {
            facts.hold(&Condition::parse(when)?, when)
        })?;
        let remarks = stack::remarks(&hosts, &facts.resource, files);
        let said = Finding::of_match(matched);
        let message = match said.message.as_str() {
            "" if said.verdict.is_some() => facts.sentence(),
            message => render_struct(message, &facts.message_data(&remarks))?,
        };
        let finding = Finding {
            id: Finding::id(NAME, &meta.check_name),
            title: self.title(meta),
            strict: meta.strict,
            observed: facts.observed(&remarks),
            objects: remarks.objects.clone(),
            message,
            ..said
        };
        let change = facts.fit.as_ref().map_or("", |fit| fit.change.as_str());
        let mut remedies = [change, remarks.remedy.as_str()];
        if remarks.come_first {
            remedies.reverse();
        }
        let remedies = remedies.into_iter().filter(|it| !it.is_empty());
        let remedy = remedies.collect::<Vec<_>>().join(" ");
        let remedy = if remedy.is_empty() {
            facts.otherwise()
        } else {
            remedy
        };
        Ok(finding.with_remedy(remedy).into())
    }
}

impl GpuCapacity {
    /// The resource that the check is about: the template's devices, or the first that a condition names.
    fn resource(&self, fit: Option<&Fit>) -> String {
        if let Some(fit) = fit {
            let extended = fit.asked.iter().find(|(name, _)| is_extended(name));
            if let Some((name, _)) = extended.or(fit.asked.first()) {
                return name.clone();
            }
        }
        let mut conditions = self
            .outcomes
            .iter()
            .filter_map(Outcome::branch)
            .filter_map(|(_, branch)| Condition::parse(&branch.when).ok());
        conditions
            .find_map(|it| it.subject.resource())
            .unwrap_or("nvidia.com/gpu")
            .to_owned()
    }
}

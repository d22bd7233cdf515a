//! `gpuCapacity`: whether pods of a template fit into the cluster as it is, and why not.

mod admission;
mod changes;
mod cluster;
mod constraints;
mod devices;
mod expression;
mod limits;
mod measures;
mod placement;
mod requests;
mod stack;
mod template;
mod volumes;

use bundle::Files;
use bundle::collected::node;
use bundle::collected::scheduling::PODS;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::counted;
use crate::finding::{Finding, Judgement, NotEvaluated};
use crate::message::render_struct;
use crate::outcome::{Outcome, first_match};
use admission::{Admitted, Stop, Surroundings, admit};
use cluster::{Collected, Host};
use devices::Devices;
use measures::{Condition, Range, Subject};
use placement::{Placement, Question, Stay};
use requests::{is_extended, written};
use template::PodTemplate;
use volumes::Volumes;

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
        let conditions = self
            .outcomes
            .iter()
            .filter_map(Outcome::branch)
            .filter_map(|(_, branch)| Condition::parse(&branch.when).ok());
        conditions
            .filter_map(|it| it.subject.resource())
            .next()
            .unwrap_or("nvidia.com/gpu")
            .to_owned()
    }
}

/// What became of the request.
struct Fit {
    replicas: i64,
    placed: Range,
    /// Pods that fit only if others are evicted.
    evicting: Range,
    /// Some of those that would be evicted.
    victims: Vec<String>,
    /// Why no more, in the words of the API server and the scheduler.
    reasons: String,
    /// The nearest change that helps.
    change: String,
    not_simulated: Vec<String>,
    asked: Vec<(String, i64)>,
}

impl Fit {
    fn of(
        request: &Request,
        collected: &Collected,
        hosts: &[Host<'_>],
        files: &Files,
    ) -> Result<Self, NotEvaluated> {
        let template = &request.pod_template;
        let replicas = request.replicas;
        if replicas < 0 {
            let reason = format!("request.replicas: {replicas} pods cannot be asked for");
            return Err(NotEvaluated::Spec(reason));
        }
        let namespace = match request.namespace.as_str() {
            "" => "default",
            name => name,
        };
        let google = "cloud.google.com/gke-nodepool";
        let surroundings = Surroundings {
            tolerates_extended: hosts
                .iter()
                .any(|it| it.node.metadata.labels.contains_key(google)),
            has_classless_pods: collected
                .pods()
                .any(|pod| pod.spec.priority_class_name.is_empty()),
        };
        let mut pod = admit(&template.spec, namespace, replicas, surroundings, files)?;
        let volumes = Volumes::of(&pod.spec, namespace, files)?;
        let devices = Devices::of(&pod.spec, namespace, hosts, files)
            .map_err(requests::BadQuantity::of_template)?;
        let mut unsure = template.not_simulated();
        unsure.append(&mut pod.unsure);
        unsure.extend(volumes.unsure.iter().chain(&devices.unsure).cloned());
        if let Some(other) = template.repelled_by(namespace, collected.pods()) {
            let metadata = &other.metadata;
            let what = format!(
                "podAntiAffinity of pod {}/{}, which means pods such as these",
                metadata.namespace, metadata.name
            );
            unsure.push(Unsure::lowers(what));
        }
        if let Some(reason) = &collected.unseen_pods {
            unsure.push(Unsure::lowers(format!("pods that were not seen: {reason}")));
        }
        let question = Question::new(&pod.spec, (pod.priority, pod.evicts), &volumes, &devices)
            .map_err(requests::BadQuantity::of_template)?;
        let placement = Placement::of(&question, hosts)?;
        Ok(Self::judged(&pod, replicas, &question, &placement, &unsure))
    }

    fn judged(
        pod: &Admitted,
        replicas: i64,
        question: &Question<'_>,
        placement: &Placement<'_>,
        unsure: &[Unsure],
    ) -> Self {
        let placed = pod.created.min(placement.fit);
        let beside = pod.created.min(placement.fit_beside);
        let range = bounds(pod, placed, question, placement, unsure);
        let mut reasons = Vec::new();
        let mut change = String::new();
        if let Some(Stop {
            reason,
            change: stop,
        }) = &pod.stop
        {
            reasons.push(reason.clone());
            change = changes::sentence(stop);
        }
        if placed < pod.created {
            reasons.push(placement.sentence(question));
            let nearest = changes::nearest(question, placement, pod.created - placed);
            change = if change.is_empty() {
                nearest
            } else {
                format!("{change} {nearest}")
            };
        }
        let evicting = placed - beside;
        Self {
            replicas,
            placed: range,
            evicting: match range.certain() {
                Some(_) => Range::exactly(evicting),
                None => Range {
                    low: 0,
                    high: range.high,
                },
            },
            victims: if evicting > 0 {
                victims(question, placement)
            } else {
                Vec::new()
            },
            reasons: reasons.join("; "),
            change,
            not_simulated: unsure.iter().map(|it| it.what.clone()).collect(),
            asked: question
                .asked()
                .map(|(name, units)| (name.to_owned(), units))
                .collect(),
        }
    }
}

/// The least and the most that can be placed, whatever the things not looked at say.
fn bounds(
    pod: &Admitted,
    placed: i64,
    question: &Question<'_>,
    placement: &Placement<'_>,
    unsure: &[Unsure],
) -> Range {
    let mut range = Range::exactly(placed);
    let at_most = |fit: i64| pod.created.min(fit);
    for Unsure { effect, .. } in unsure {
        match effect {
            Effect::Lowers => range.low = 0,
            Effect::Priority { named } => {
                let low = if *named {
                    0
                } else {
                    at_most(placement.if_stayed(question, Stay::All, None))
                };
                let high = at_most(placement.if_stayed(question, Stay::Nobody, None));
                range.low = range.low.min(low);
                range.high = range.high.max(high);
            }
            Effect::Serves(resource) => {
                let stay = if question.evicts {
                    Stay::From(question.priority)
                } else {
                    Stay::All
                };
                let high = at_most(placement.if_stayed(question, stay, Some(resource)));
                range.high = range.high.max(high);
            }
            Effect::Anything => {
                range.low = 0;
                range.high = pod.created;
            }
        }
    }
    range
}

/// Some of the pods that would have to go.
fn victims(question: &Question<'_>, placement: &Placement<'_>) -> Vec<String> {
    let hosts = placement.hosts.iter().zip(&placement.rooms);
    hosts
        .filter(|(_, room)| room.obstacles.is_empty() && room.evicting > room.beside)
        .flat_map(|(host, _)| &host.occupants)
        .filter(|it| it.priority < question.priority && !it.promised)
        .map(|it| format!("{} (priority {})", it.name(), it.priority))
        .take(3)
        .collect()
}

/// All that conditions and messages can refer to.
struct Facts<'a> {
    hosts: &'a [Host<'a>],
    unseen_pods: Option<&'a str>,
    resource: String,
    fit: Option<Fit>,
}

impl Facts<'_> {
    /// The number that a condition asks for.
    fn number(&self, subject: Subject<'_>) -> Result<Range, NotEvaluated> {
        let fit = || {
            self.fit.as_ref().ok_or_else(|| {
                NotEvaluated::Spec("there is no request: only free(), largestFree(), allocatable() and unhealthy() of a resource can be asked for".to_owned())
            })
        };
        let unless_held = |number: i64| Range {
            low: if self.unseen_pods.is_some() {
                0
            } else {
                number
            },
            high: number,
        };
        Ok(match subject {
            Subject::Replicas => Range::exactly(fit()?.replicas),
            Subject::Placed => fit()?.placed,
            Subject::Unplaced => {
                let fit = fit()?;
                fit.placed.rest_of(fit.replicas)
            }
            Subject::Evicting => fit()?.evicting,
            Subject::Free(resource) => unless_held(measures::free(self.hosts, resource).0),
            Subject::LargestFree(resource) => unless_held(measures::free(self.hosts, resource).1),
            Subject::Allocatable(resource) => {
                Range::exactly(measures::allocatable(self.hosts, resource))
            }
            Subject::Unhealthy(resource) => {
                Range::exactly(measures::unhealthy(self.hosts, resource))
            }
        })
    }

    fn hold(&self, condition: &Condition<'_>, when: &str) -> Result<bool, NotEvaluated> {
        let number = self.number(condition.subject)?;
        condition.holds(number).ok_or_else(|| {
            let why = match (&self.fit, self.unseen_pods) {
                (Some(fit), _) if condition.subject.resource().is_none() => {
                    let placed = fit.placed.high;
                    format!(
                        "{} of {} would fit, but not simulated: {}",
                        placed,
                        counted(fit.replicas, "pod"),
                        fit.not_simulated.join("; ")
                    )
                }
                (_, unseen) => format!("pods were not seen: {}", unseen.unwrap_or_default()),
            };
            NotEvaluated::Unknown(format!("whether {when:?} holds cannot be told: {why}"))
        })
    }

    /// What is free of the check's resource: together, and on one node.
    fn free(&self) -> (String, String) {
        let (sum, largest) = measures::free(self.hosts, &self.resource);
        let bound = if self.unseen_pods.is_some() {
            "at most "
        } else {
            ""
        };
        let text = |units| format!("{bound}{}", written(&self.resource, units));
        (text(sum), text(largest))
    }

    /// Why no more pods fit, as a clause.
    fn reasons(&self) -> &str {
        let reasons = self.fit.as_ref().map_or("", |fit| fit.reasons.as_str());
        reasons.strip_suffix('.').unwrap_or(reasons)
    }

    /// How many fit, and why no more.
    fn sentence(&self) -> String {
        let Some(fit) = &self.fit else {
            return self.supply();
        };
        let mut text = match fit.placed.certain() {
            Some(1) if fit.replicas == 1 => "The pod fits.".to_owned(),
            Some(placed) if placed == fit.replicas => format!("All {placed} pods fit."),
            Some(0) => format!("None of {} fits.", counted(fit.replicas, "pod")),
            _ => format!("{} of {} fit.", fit.placed, counted(fit.replicas, "pod")),
        };
        if fit.evicting.high > 0 {
            text = format!("{text} {}.", fit.eviction());
        }
        if !fit.reasons.is_empty() {
            text = format!("{text} {}", fit.reasons);
        }
        text
    }

    fn supply(&self) -> String {
        let (free, _) = self.free();
        let offered = measures::allocatable(self.hosts, &self.resource);
        if offered == 0 {
            return format!("{}: no node offers it", self.resource);
        }
        let (_, largest) = measures::free(self.hosts, &self.resource);
        format!(
            "{}: {free} free of {} that nodes offer, at most {} on one node",
            self.resource,
            written(&self.resource, offered),
            written(&self.resource, largest),
        )
    }

    fn observed(&self, remarks: &stack::Remarks) -> String {
        let mut parts = Vec::new();
        if let Some(fit) = &self.fit {
            parts.push(format!("placed {} of {}", fit.placed, fit.replicas));
            if fit.evicting.high > 0 {
                parts.push(fit.eviction());
            }
            if !self.reasons().is_empty() {
                parts.push(self.reasons().to_owned());
            }
        }
        parts.push(self.supply());
        parts.extend(remarks.texts.iter().cloned());
        if let Some(fit) = &self.fit
            && !fit.not_simulated.is_empty()
        {
            let what = fit.not_simulated.join("; ");
            parts.push(format!("not simulated: {what}"));
        }
        format!("{} ({}, {PODS})", parts.join("; "), node::PATH)
    }

    fn message_data(&self, remarks: &stack::Remarks) -> Value {
        let (free, largest) = self.free();
        let number = |range: Range| match range.certain() {
            Some(number) => json!(number),
            None => json!(range.to_string()),
        };
        let of_all = |units| written(&self.resource, units);
        let mut data = json!({
            "Resource": self.resource,
            "Free": free,
            "LargestFree": largest,
            "Allocatable": of_all(measures::allocatable(self.hosts, &self.resource)),
            "Unhealthy": of_all(measures::unhealthy(self.hosts, &self.resource)),
            "Remarks": remarks.texts.join("; "),
            "Replicas": 0,
            "Placed": 0,
            "Unplaced": 0,
            "Evicting": 0,
            "Reasons": "",
            "Change": "",
            "NotSimulated": "",
        });
        if let Some(fit) = &self.fit {
            data["Replicas"] = json!(fit.replicas);
            data["Placed"] = number(fit.placed);
            data["Unplaced"] = number(fit.placed.rest_of(fit.replicas));
            data["Evicting"] = number(fit.evicting);
            data["Reasons"] = json!(fit.reasons);
            data["Change"] = json!(fit.change);
            data["NotSimulated"] = json!(fit.not_simulated.join("; "));
        }
        data
    }

    /// The remedy where nothing is wrong with the devices and all pods fit, or none were asked for.
    fn otherwise(&self) -> String {
        match &self.fit {
            None => format!(
                "Free some {}, or add nodes that offer it: kubectl describe nodes shows which pods hold it.",
                self.resource
            ),
            Some(fit) if fit.evicting.high > 0 => format!(
                "Free some {} or add a node, so that nobody has to go; or give the pods a PriorityClass with preemptionPolicy Never.",
                self.resource
            ),
            Some(_) => String::new(),
        }
    }
}

impl Fit {
    fn eviction(&self) -> String {
        let mut text = format!(
            "{} of them only by evicting pods of lower priority",
            self.evicting
        );
        if !self.victims.is_empty() {
            text = format!("{text}, such as {}", self.victims.join(", "));
        }
        text
    }
}

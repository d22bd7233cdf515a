//! What the API server makes of a template when a pod is created from it: defaults, classes, limits, quotas; and
//! whether it lets the pod in.

use std::sync::Arc;

use bundle::Files;
use bundle::collected::admission::{LimitRange, ResourceQuota};
use bundle::collected::scheduling::{
    Container, PodSpec, PriorityClass, ResourceList, Resources, RuntimeClass, Toleration,
};
use bundle::collected::{List, Object};
use serde::de::DeserializeOwned;

use super::limits::{add_defaults, allowance, refusal};
use super::requests::{BadQuantity, amounts, is_extended, is_pod_level, of_containers};
use super::validation::invalid;
use super::{Effect, Unsure};
use crate::document::document;
use crate::finding::NotEvaluated;

/// Why no more pods come into being.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stop {
    /// In the API server's words.
    pub(super) reason: String,
    /// The nearest change that helps.
    pub(super) change: String,
}

/// A template after admission.
#[derive(Debug)]
pub(super) struct Admitted {
    /// The pod's spec as it would be stored.
    pub(super) spec: PodSpec,
    /// Its priority.
    pub(super) priority: i64,
    /// Whether it may evict pods of lower priority.
    pub(super) evicts: bool,
    /// How many of the replicas come into being.
    pub(super) created: i64,
    /// Why not all.
    pub(super) stop: Option<Stop>,
    /// What was not looked at.
    pub(super) unsure: Vec<Unsure>,
}

/// What is known of the cluster beside its documents.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings {
    /// Whether it is Google's, whose API server tolerates the taints of extended resources.
    pub(super) tolerates_extended: bool,
    /// Whether there are pods without a priority class: then no class is the default.
    pub(super) has_classless_pods: bool,
}

/// A list of the bundle.
pub(super) enum Seen<T> {
    /// It was collected.
    All(Arc<List<T>>),
    /// There can be none.
    Nothing,
    /// Why it is not known.
    Not(String),
}

/// A list, or why it is not known.
pub(super) fn seen<T>(files: &Files, path: &str) -> Seen<T>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    match document::<List<T>>(files, path) {
        Ok(list) => Seen::All(list),
        Err(NotEvaluated::NotApplicable(_)) => Seen::Nothing,
        Err(reason) => Seen::Not(reason.reason().to_owned()),
    }
}

/// Sends `replicas` pods of a template through admission.
pub(super) fn admit(
    template: &PodSpec,
    namespace: &str,
    replicas: i64,
    surroundings: Surroundings,
    files: &Files,
) -> Result<Admitted, NotEvaluated> {
    let mut pod = Admitted {
        spec: template.clone(),
        priority: 0,
        evicts: true,
        created: replicas,
        stop: None,
        unsure: Vec::new(),
    };
    add_requests(&mut pod.spec).map_err(BadQuantity::of_template)?;
    let namespace = Namespace::read(namespace, files, &mut pod.unsure);
    add_defaults(&mut pod.spec, &namespace.ranges);
    pod.take_priority(surroundings, files);
    add_tolerations(&mut pod.spec, surroundings);
    pod.take_runtime(files).map_err(BadQuantity::of_template)?;
    if pod.stop.is_none() {
        let invalid = invalid(&pod.spec).map_err(BadQuantity::of_template)?;
        pod.stop = invalid.map(|reason| Stop {
            change: "correct the template: the API server refuses every pod made from it"
                .to_owned(),
            reason: format!("Pod is invalid: {reason}"),
        });
    }
    if pod.stop.is_none() {
        let subject = format!("LimitRange of namespace {}", namespace.name);
        let refused = refusal(&pod.spec, &namespace.ranges).map_err(|it| it.of(&subject))?;
        pod.stop = refused.map(|reason| Stop {
            change: format!("change the template's resources, or the limit: {reason}"),
            reason: format!("pods are forbidden: {reason}"),
        });
    }
    if pod.stop.is_some() {
        pod.created = 0;
        return Ok(pod);
    }
    let subject = format!("ResourceQuota of namespace {}", namespace.name);
    let allowed = allowance(&pod.spec, &namespace.quotas).map_err(|it| it.of(&subject))?;
    if !allowed.uncounted.is_empty() {
        let what = format!("quota {}, not counted yet", allowed.uncounted.join(", "));
        pod.unsure.push(Unsure::lowers(what));
    }
    if let Some(most) = allowed.most.filter(|most| *most < replicas) {
        pod.created = most;
        pod.stop = Some(Stop {
            reason: allowed.reason,
            change: allowed.change,
        });
    }
    Ok(pod)
}

/// What the target namespace adds.
struct Namespace {
    name: String,
    ranges: Vec<LimitRange>,
    quotas: Vec<ResourceQuota>,
}

impl Namespace {
    fn read(name: &str, files: &Files, unsure: &mut Vec<Unsure>) -> Self {
        const REWRITING: [&str; 3] = [
            "openshift.io/node-selector",
            "scheduler.alpha.kubernetes.io/defaultTolerations",
            "scheduler.alpha.kubernetes.io/node-selector",
        ];
        let mut namespace = Self {
            name: name.to_owned(),
            ranges: Vec::new(),
            quotas: Vec::new(),
        };
        if let Seen::All(all) = seen::<Object>(files, "cluster-resources/namespaces.json") {
            let Some(found) = all.items.iter().find(|it| it.metadata.name == name) else {
                // It will be made with the application, and nothing is in it yet.
                return namespace;
            };
            for key in REWRITING {
                if found
                    .metadata
                    .annotations
                    .get(key)
                    .is_some_and(|it| !it.is_empty())
                {
                    let what = format!("annotation {key} of namespace {name}");
                    unsure.push(Unsure::new(what, Effect::Anything));
                }
            }
        }
        let path = |kind: &str| format!("cluster-resources/{kind}/{name}.json");
        match seen::<LimitRange>(files, &path("limitranges")) {
            Seen::All(list) => namespace.ranges.clone_from(&list.items),
            Seen::Nothing => {}
            Seen::Not(reason) => unsure.push(Unsure::lowers(format!("limit ranges: {reason}"))),
        }
        match seen::<ResourceQuota>(files, &path("resource-quota")) {
            Seen::All(list) => namespace.quotas.clone_from(&list.items),
            Seen::Nothing => {}
            Seen::Not(reason) => unsure.push(Unsure::lowers(format!("quotas: {reason}"))),
        }
        namespace
    }
}

/// Limits without requests are requests, too; so are those of the pod as a whole.
fn add_requests(spec: &mut PodSpec) -> Result<(), BadQuantity> {
    let containers = spec.containers.iter_mut().chain(&mut spec.init_containers);
    for Container { resources, .. } in containers {
        add_missing(&mut resources.requests, &resources.limits);
    }
    let Some(of_pod) = &spec.resources else {
        return Ok(());
    };
    if of_pod.limits.is_empty() {
        return Ok(());
    }
    let sum = of_containers(spec, |container, _| amounts(&container.resources.requests))?;
    let missing: ResourceList = sum
        .into_iter()
        .filter(|(name, _)| matches!(*name, "cpu" | "memory"))
        .map(|(name, amount)| (name.to_owned(), quantity(amount)))
        .collect();
    if let Some(of_pod) = &mut spec.resources {
        add_missing(&mut of_pod.requests, &missing);
        let Resources {
            requests, limits, ..
        } = of_pod;
        for (name, limit) in limits.iter().filter(|(name, _)| is_pod_level(name)) {
            requests
                .entry(name.clone())
                .or_insert_with(|| limit.clone());
        }
    }
    Ok(())
}

fn add_missing(requests: &mut ResourceList, from: &ResourceList) {
    for (name, amount) in from {
        requests
            .entry(name.clone())
            .or_insert_with(|| amount.clone());
    }
}

fn quantity(thousandths: i128) -> bundle::collected::node::Quantity {
    bundle::collected::node::Quantity(format!("{thousandths}m"))
}

/// What the API server makes every pod tolerate.
fn add_tolerations(spec: &mut PodSpec, surroundings: Surroundings) {
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        let speaks_of = |it: &Toleration| {
            (it.key.is_empty() || it.key == key)
                && (it.effect.is_empty() || it.effect == "NoExecute")
        };
        if !spec.tolerations.iter().any(speaks_of) {
            spec.tolerations.push(exists(key, "NoExecute"));
        }
    }
    if surroundings.tolerates_extended {
        let extended: Vec<String> = spec
            .containers
            .iter()
            .chain(&spec.init_containers)
            .flat_map(|it| it.resources.requests.keys())
            .filter(|name| is_extended(name))
            .cloned()
            .collect();
        for name in extended {
            spec.tolerations.push(exists(&name, "NoSchedule"));
        }
    }
}

fn exists(key: &str, effect: &str) -> Toleration {
    Toleration {
        key: key.to_owned(),
        operator: "Exists".to_owned(),
        effect: effect.to_owned(),
        ..Toleration::default()
    }
}

impl Admitted {
    fn forbid(&mut self, reason: String, change: String) {
        self.stop.get_or_insert(Stop { reason, change });
    }

    fn take_priority(&mut self, surroundings: Surroundings, files: &Files) {
        let name = self.spec.priority_class_name.clone();
        let path = "cluster-resources/priorityclasses.json";
        let classes = match seen::<PriorityClass>(files, path) {
            Seen::All(list) => list,
            Seen::Nothing => Arc::new(List { items: Vec::new() }),
            Seen::Not(reason) => {
                if name.is_empty() && surroundings.has_classless_pods {
                    return;
                }
                let named = !name.is_empty();
                let what = format!("priority {name}").trim_end().to_owned();
                let what = format!("{what}: {reason}");
                self.unsure
                    .push(Unsure::new(what, Effect::Priority { named }));
                return;
            }
        };
        let found = if name.is_empty() {
            classes
                .items
                .iter()
                .filter(|it| it.global_default)
                .min_by_key(|it| it.value)
        } else {
            classes.items.iter().find(|it| it.metadata.name == name)
        };
        if let Some(class) = found {
            self.priority = class.value;
            self.spec
                .priority_class_name
                .clone_from(&class.metadata.name);
            let own = self.spec.preemption_policy.clone();
            if !own.is_empty()
                && !class.preemption_policy.is_empty()
                && own != class.preemption_policy
            {
                let reason = format!(
                    "the string value of PreemptionPolicy ({own}) must not be provided in pod spec; priority admission controller computed {} from the given PriorityClass name",
                    class.preemption_policy
                );
                self.forbid(
                    reason,
                    "leave preemptionPolicy out of the template".to_owned(),
                );
            }
            self.evicts = own != "Never" && class.preemption_policy != "Never";
        } else if name.is_empty() {
            self.evicts = self.spec.preemption_policy != "Never";
        } else {
            let reason = format!("no PriorityClass with name {name} was found");
            self.forbid(
                reason,
                format!("create PriorityClass {name}, or name another"),
            );
        }
        let computed = self.priority;
        if let Some(given) = self.spec.priority
            && given != computed
        {
            let reason = format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {computed} from the given PriorityClass name"
            );
            self.forbid(reason, "leave priority out of the template".to_owned());
        }
    }

    fn take_runtime(&mut self, files: &Files) -> Result<(), BadQuantity> {
        let name = self.spec.runtime_class_name.clone();
        let without =
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
        let leave_out = "leave overhead out of the template".to_owned();
        if name.is_empty() {
            if !self.spec.overhead.is_empty() {
                self.forbid(without.to_owned(), leave_out);
            }
            return Ok(());
        }
        let path = "cluster-resources/runtimeclasses.json";
        let classes = match seen::<RuntimeClass>(files, path) {
            Seen::All(list) => list,
            Seen::Nothing => Arc::new(List { items: Vec::new() }),
            Seen::Not(reason) => {
                let what = format!("RuntimeClass {name}: {reason}");
                self.unsure.push(Unsure::new(what, Effect::Anything));
                return Ok(());
            }
        };
        let Some(class) = classes.items.iter().find(|it| it.metadata.name == name) else {
            let reason = format!("pod rejected: RuntimeClass {name:?} not found");
            let change = format!(
                "create RuntimeClass {name} (the GPU operator makes \"nvidia\"), or leave runtimeClassName out"
            );
            self.forbid(reason, change);
            return Ok(());
        };
        match &class.overhead {
            Some(overhead) => {
                let given = &self.spec.overhead;
                if !given.is_empty() && amounts(given)? != amounts(&overhead.pod_fixed)? {
                    let reason = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
                    self.forbid(reason.to_owned(), leave_out);
                }
                self.spec.overhead.clone_from(&overhead.pod_fixed);
            }
            None if !self.spec.overhead.is_empty() => self.forbid(without.to_owned(), leave_out),
            None => {}
        }
        if let Some(scheduling) = &class.scheduling {
            for (key, value) in &scheduling.node_selector {
                let selector = &mut self.spec.node_selector;
                let own = selector.entry(key.clone()).or_insert_with(|| value.clone());
                if own != value {
                    let reason = format!(
                        "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"
                    );
                    let change = format!("leave {key} out of the template's nodeSelector");
                    self.forbid(reason, change);
                }
            }
            self.spec
                .tolerations
                .extend(scheduling.tolerations.iter().cloned());
        }
        Ok(())
    }
}

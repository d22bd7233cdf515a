//! What `deploymentStatus` and `statefulsetStatus` share: one named workload against outcomes, or every
//! workload that lacks replicas.

use bundle::Files;
use bundle::collected::List;
use bundle::collected::workload::Workload;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::analyzer::Meta;
use crate::document::{Documents, counted, document, unmasked};
use crate::finding::{Finding, Icon, Judgement, NotEvaluated, ObjectReference, Verdict};
use crate::outcome::{Branch, Operator, Outcome, bad_condition};

/// What tells the two kinds apart.
#[derive(Debug)]
pub(crate) struct WorkloadKind {
    /// The analyzer's name, `deploymentStatus`.
    pub(crate) analyzer: &'static str,
    /// `deployment`, as messages and kubectl call it.
    pub(crate) noun: &'static str,
    /// `Deployment`, as default titles call it.
    pub(crate) label: &'static str,
    /// The object's kind, `Deployment`.
    pub(crate) kind: &'static str,
    /// The folder of its lists.
    pub(crate) folder: &'static str,
    /// Troubleshoot's icon.
    pub(crate) icon: Icon,
    /// Whether a workload has all its replicas.
    pub(crate) is_complete: fn(&Workload) -> bool,
    /// Whether a spec without outcomes gets the answer that the mode over all workloads gives.
    pub(crate) judges_without_outcomes: bool,
}

/// The configuration that both have.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(inline)]
pub(crate) struct WorkloadConfig {
    /// The conditions on the ready replicas of the named workload, and what to say.
    pub(crate) outcomes: Vec<Outcome>,
    /// The workload; empty reports every workload that lacks replicas.
    pub(crate) name: String,
    /// The workload's namespace. Without a name: a namespace to look at.
    pub(crate) namespace: String,
    /// Without a name: more namespaces to look at; all where neither is given.
    pub(crate) namespaces: Vec<String>,
}

impl WorkloadKind {
    /// The title where there is no finding.
    pub(crate) fn title(&self, config: &WorkloadConfig, meta: &Meta) -> String {
        let subject = [config.namespace.as_str(), config.name.as_str()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("/");
        let title = format!("{subject} {} Status", self.label);
        meta.title_or(title.trim_start())
    }

    /// Judges one workload or all.
    pub(crate) fn analyze(
        &self,
        config: &WorkloadConfig,
        meta: &Meta,
        files: &Files,
    ) -> Result<Judgement, NotEvaluated> {
        if config.name.is_empty() {
            self.analyze_all(config, meta, files)
        } else {
            self.analyze_one(config, meta, files)
        }
    }

    fn analyze_one(
        &self,
        config: &WorkloadConfig,
        meta: &Meta,
        files: &Files,
    ) -> Result<Judgement, NotEvaluated> {
        if config.namespace.is_empty() {
            return Err(NotEvaluated::Spec(format!(
                "namespace is missing: {} is looked up by name and namespace",
                config.name
            )));
        }
        let path = format!("{}/{}.json", self.folder, config.namespace);
        let list = document::<List<Workload>>(files, &path)?;
        let workload = list
            .items
            .iter()
            .find(|workload| workload.metadata.name == config.name);
        if workload.is_none() {
            for workload in &list.items {
                unmasked(&workload.metadata.name)?;
            }
        }
        if config.outcomes.is_empty() && self.judges_without_outcomes {
            return Ok(match workload {
                Some(workload) => self.incomplete(workload, meta, &path).into_iter().collect(),
                None => vec![self.not_found(config, meta, &Branch::default(), &path)],
            }
            .into());
        }
        Ok(self.judge(config, workload, meta, &path)?.into())
    }

    /// The first outcome that holds. Where the workload does not exist, only `absent` can: the first outcome
    /// that asks for anything else fails.
    fn judge(
        &self,
        config: &WorkloadConfig,
        workload: Option<&Workload>,
        meta: &Meta,
        path: &str,
    ) -> Result<Finding, NotEvaluated> {
        let mut matched = None;
        for (verdict, branch) in config.outcomes.iter().filter_map(Outcome::branch) {
            let holds = match (branch.when.as_str(), workload) {
                ("absent", _) => workload.is_none(),
                (_, None) => return Ok(self.not_found(config, meta, branch, path)),
                ("", Some(_)) => true,
                (when, Some(workload)) => compare(when, workload.status.ready_replicas)?,
            };
            if holds {
                matched = Some((verdict, branch));
                break;
            }
        }
        let observed = match workload {
            Some(workload) => format!(
                "{} of {} ready ({path})",
                workload.status.ready_replicas,
                counted(workload.status.replicas, "replica")
            ),
            None => format!("no {} {:?} ({path})", self.noun, config.name),
        };
        Ok(self.named(config, meta, Finding::of_match(matched), observed))
    }

    fn not_found(
        &self,
        config: &WorkloadConfig,
        meta: &Meta,
        branch: &Branch,
        path: &str,
    ) -> Finding {
        let said = Finding {
            verdict: Some(Verdict::Fail),
            message: format!("The {} {:?} was not found", self.noun, config.name),
            uri: branch.uri.clone(),
            ..Finding::default()
        };
        let observed = format!("no {} {:?} ({path})", self.noun, config.name);
        self.named(config, meta, said, observed)
    }

    /// Fills in what every finding about the named workload has. Its title ignores `checkName`, as
    /// troubleshoot's does.
    fn named(
        &self,
        config: &WorkloadConfig,
        meta: &Meta,
        said: Finding,
        observed: String,
    ) -> Finding {
        Finding {
            id: self.id(&config.namespace, &config.name),
            title: format!("{} Status", config.name),
            strict: meta.strict,
            observed,
            objects: vec![self.object(&config.namespace, &config.name)],
            ..said
        }
        .with_remedy(self.remedy(&config.namespace, &config.name))
        .with_icon(&self.icon)
    }

    fn analyze_all(
        &self,
        config: &WorkloadConfig,
        meta: &Meta,
        files: &Files,
    ) -> Result<Judgement, NotEvaluated> {
        let namespaces: Vec<String> = std::iter::once(&config.namespace)
            .filter(|namespace| !namespace.is_empty())
            .chain(&config.namespaces)
            .cloned()
            .collect();
        let documents = Documents::<List<Workload>>::read(files, self.folder, &namespaces)?;
        let findings = documents
            .read
            .iter()
            .flat_map(|(path, list)| list.items.iter().map(move |workload| (path, workload)))
            .filter_map(|(path, workload)| self.incomplete(workload, meta, path))
            .collect();
        Ok(Judgement {
            findings,
            not_evaluated: documents.unseen,
        })
    }

    /// The finding on a workload that lacks replicas.
    fn incomplete(&self, workload: &Workload, meta: &Meta, path: &str) -> Option<Finding> {
        if (self.is_complete)(workload) {
            return None;
        }
        let (namespace, name) = (&workload.metadata.namespace, &workload.metadata.name);
        let status = &workload.status;
        let finding = Finding {
            id: self.id(namespace, name),
            title: format!("{namespace}/{name} {} Status", self.label),
            verdict: Some(Verdict::Fail),
            message: format!(
                "The {} {namespace}/{name} has {}/{} replicas",
                self.noun, status.ready_replicas, status.replicas
            ),
            strict: meta.strict,
            observed: format!(
                "{} of {} ready, {} available ({path})",
                status.ready_replicas,
                counted(status.replicas, "replica"),
                status.available_replicas
            ),
            objects: vec![self.object(namespace, name)],
            ..Finding::default()
        };
        Some(
            finding
                .with_remedy(self.remedy(namespace, name))
                .with_icon(&self.icon),
        )
    }

    fn id(&self, namespace: &str, name: &str) -> String {
        Finding::id(self.analyzer, &format!("{namespace}/{name}"))
    }

    fn object(&self, namespace: &str, name: &str) -> ObjectReference {
        ObjectReference {
            api_version: "apps/v1".to_owned(),
            kind: self.kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    fn remedy(&self, namespace: &str, name: &str) -> String {
        format!(
            "See why its pods are not ready: kubectl -n {namespace} describe {} {name}, then describe its pods and read their logs.",
            self.noun
        )
    }
}

/// `<op> <int>` against the ready replicas: exactly one space, no `!=`.
fn compare(when: &str, ready: i32) -> Result<bool, NotEvaluated> {
    let parts: Vec<&str> = when.trim().split(' ').collect();
    let [operator, value] = parts[..] else {
        return Err(bad_condition(when, "expected `<operator> <number>`"));
    };
    let value: i64 = value
        .parse()
        .map_err(|_| bad_condition(when, format!("{value:?} is not a whole number")))?;
    match Operator::parse(operator) {
        Some(operator) if operator != Operator::NotEqual => {
            Ok(operator.holds(i64::from(ready).cmp(&value)))
        }
        _ => Err(bad_condition(
            when,
            format!("unknown operator {operator:?}; = < > <= >= are known"),
        )),
    }
}

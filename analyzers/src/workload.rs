//! What `deploymentStatus`, `statefulsetStatus`, `replicasetStatus` and `jobStatus` share: one named workload against
//! outcomes, or every workload that is not as it should be.

use bundle::Files;
use bundle::collected::List;
use bundle::collected::workload::{Workload, WorkloadStatus};
use schemars::JsonSchema;
use serde::Deserialize;
use syntax::selector::LabelSelector;

use crate::analyzer::Meta;
use crate::document::{Documents, counted, document, selects, unmasked};
use crate::finding::{Finding, Icon, Judgement, NotEvaluated, ObjectReference, Verdict, joined};
use crate::outcome::{Branch, Operator, Outcome, bad_condition, first_match};

/// What tells the kinds apart.
#[derive(Debug)]
pub(crate) struct WorkloadKind {
    /// The analyzer's name, `deploymentStatus`.
    pub(crate) analyzer: &'static str,
    /// `deployment`, as messages and kubectl call it.
    pub(crate) noun: &'static str,
    /// `Deployment`, as default titles call it.
    pub(crate) label: &'static str,
    /// The object's API version, `apps/v1`.
    pub(crate) api_version: &'static str,
    /// The object's kind, `Deployment`.
    pub(crate) kind: &'static str,
    /// The folder of its lists.
    pub(crate) folder: &'static str,
    /// Troubleshoot's icon.
    pub(crate) icon: Icon,
    /// What a condition compares: the word that it begins with (none where there is nothing to choose), and the count.
    pub(crate) counts: &'static [(&'static str, Count)],
    /// Whether a workload is as it should be.
    pub(crate) is_complete: fn(&Workload) -> bool,
    /// What is wrong with one that is not, after `The deployment shop/api`.
    pub(crate) lacks: fn(&Workload) -> String,
    /// Its counts, for a person.
    pub(crate) observed: fn(&Workload) -> String,
    /// What its pods do when it is not complete: `are not ready`.
    pub(crate) trouble: &'static str,
    /// What a workload that does not exist means.
    pub(crate) absence: Absence,
    /// Whether a spec without outcomes gets the answer that the mode over all workloads gives.
    pub(crate) judges_without_outcomes: bool,
}

/// Takes a count from a status.
pub(crate) type Count = fn(&WorkloadStatus) -> i32;

/// How a kind takes a named workload that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absence {
    /// Outcomes may ask for it with `absent`; the first that asks for anything else fails.
    Outcome,
    /// It fails.
    Fails,
}

/// The configuration that they have.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(inline)]
pub(crate) struct WorkloadConfig {
    /// The conditions on the named workload's counts, and what to say.
    pub(crate) outcomes: Vec<Outcome>,
    /// The workload; empty reports every workload that is not as it should be.
    pub(crate) name: String,
    /// The workload's namespace. Without a name: a namespace to look at.
    pub(crate) namespace: String,
    /// Without a name: more namespaces to look at; all where neither is given.
    pub(crate) namespaces: Vec<String>,
}

/// `<ready> of <replicas> ready, <available> available`, and how many there should be where these are not all.
pub(crate) fn replicas(workload: &Workload) -> String {
    let status = &workload.status;
    let counts = format!(
        "{} of {} ready, {} available",
        status.ready_replicas,
        counted(status.replicas, "replica"),
        status.available_replicas
    );
    match workload.spec.replicas {
        Some(wanted) if wanted != status.replicas => format!("{counts}, {wanted} wanted"),
        _ => counts,
    }
}

/// `has <ready>/<replicas> replicas`
pub(crate) fn lacks_replicas(workload: &Workload) -> String {
    let status = &workload.status;
    format!("has {}/{} replicas", status.ready_replicas, status.replicas)
}

impl WorkloadKind {
    /// The title where there is no finding.
    pub(crate) fn title(&self, config: &WorkloadConfig, meta: &Meta) -> String {
        let subject = joined(&[&config.namespace, &config.name]);
        let title = format!("{subject} {} Status", self.label);
        meta.title_or(title.trim_start())
    }

    /// Judges one workload or, without outcomes, all.
    pub(crate) fn analyze(
        &self,
        config: &WorkloadConfig,
        meta: &Meta,
        files: &Files,
    ) -> Result<Judgement, NotEvaluated> {
        if config.name.is_empty() {
            let all = LabelSelector::default();
            self.analyze_all(config, &[], &all, meta, files)
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
        let is_it = |workload: &&Workload| workload.metadata.name == config.name;
        let Some(workload) = list.items.iter().find(is_it) else {
            for workload in &list.items {
                unmasked(&workload.metadata.name)?;
            }
            return Ok(self.absent(config, meta, &path).into());
        };
        if config.outcomes.is_empty() && self.judges_without_outcomes {
            let incomplete = self.incomplete(workload, meta, &path);
            return Ok(Vec::from_iter(incomplete).into());
        }
        let namespace = &config.namespace;
        Ok(self
            .judge(&config.outcomes, namespace, workload, meta, &path)?
            .into())
    }

    /// Judges the workloads that the selector selects, in the namespaces of the configuration or in all, whatever name it
    /// has: by the outcomes, or, without any, those that are not complete.
    pub(crate) fn analyze_all(
        &self,
        config: &WorkloadConfig,
        outcomes: &[Outcome],
        selector: &LabelSelector,
        meta: &Meta,
        files: &Files,
    ) -> Result<Judgement, NotEvaluated> {
        let namespaces: Vec<String> = std::iter::once(&config.namespace)
            .filter(|namespace| !namespace.is_empty())
            .chain(&config.namespaces)
            .cloned()
            .collect();
        let documents = Documents::<List<Workload>>::read(files, self.folder, &namespaces)?;
        let mut judgement = Judgement {
            findings: Vec::new(),
            not_evaluated: documents.unseen,
        };
        for (path, list) in &documents.read {
            for workload in &list.items {
                match selects(selector, &workload.metadata.labels) {
                    Ok(true) if outcomes.is_empty() => {
                        let incomplete = self.incomplete(workload, meta, path);
                        judgement.findings.extend(incomplete);
                    }
                    Ok(true) => {
                        let namespace = &workload.metadata.namespace;
                        let found = self.judge(outcomes, namespace, workload, meta, path)?;
                        judgement.findings.push(found);
                    }
                    Ok(false) => {}
                    Err(reason) => judgement.add(Err(reason)),
                }
            }
        }
        Ok(judgement)
    }

    /// The first outcome that holds for a workload that is there.
    fn judge(
        &self,
        outcomes: &[Outcome],
        namespace: &str,
        workload: &Workload,
        meta: &Meta,
        path: &str,
    ) -> Result<Finding, NotEvaluated> {
        let matched = first_match(outcomes, |when| self.holds(when, &workload.status))?;
        let said = Finding {
            observed: format!("{} ({path})", (self.observed)(workload)),
            ..Finding::of_match(matched)
        };
        Ok(self.named(namespace, &workload.metadata.name, meta, said))
    }

    /// What the named workload's absence means: it fails, unless the first outcome asks for it.
    fn absent(&self, config: &WorkloadConfig, meta: &Meta, path: &str) -> Finding {
        let (namespace, name) = (&config.namespace, &config.name);
        let not_found = |branch: &Branch| Finding {
            message: format!("The {} {name:?} was not found", self.noun),
            uri: branch.uri.clone(),
            verdict: Some(Verdict::Fail),
            ..Finding::default()
        };
        let first = config.outcomes.iter().find_map(Outcome::branch);
        let said = match (self.absence, first) {
            (Absence::Outcome, Some((verdict, branch))) if branch.when == "absent" => {
                Finding::of(verdict, branch)
            }
            (Absence::Outcome, Some((_, branch))) => not_found(branch),
            (Absence::Outcome, None) if !self.judges_without_outcomes => Finding::default(),
            _ => not_found(&Branch::default()),
        };
        let observed = format!("no {} {name:?} ({path})", self.noun);
        let finding = self.named(namespace, name, meta, Finding { observed, ..said });
        let title = match self.absence {
            Absence::Outcome => finding.title.clone(),
            Absence::Fails => format!("{name} {} Status", self.label),
        };
        Finding { title, ..finding }.with_remedy(format!(
            "Install what brings it, or name one that is there: kubectl -n {namespace} get {}s.",
            self.noun
        ))
    }

    /// Fills in what every finding about a workload that outcomes judge has. Its title ignores `checkName`, as
    /// troubleshoot's does.
    fn named(&self, namespace: &str, name: &str, meta: &Meta, said: Finding) -> Finding {
        let title = format!("{name} Status");
        self.finding(namespace, name, meta, Finding { title, ..said })
    }

    /// The finding on a workload that is not complete.
    fn incomplete(&self, workload: &Workload, meta: &Meta, path: &str) -> Option<Finding> {
        if (self.is_complete)(workload) {
            return None;
        }
        let (namespace, name) = (&workload.metadata.namespace, &workload.metadata.name);
        let said = Finding {
            title: format!("{namespace}/{name} {} Status", self.label),
            verdict: Some(Verdict::Fail),
            message: format!(
                "The {} {namespace}/{name} {}",
                self.noun,
                (self.lacks)(workload)
            ),
            observed: format!("{} ({path})", (self.observed)(workload)),
            ..Finding::default()
        };
        Some(self.finding(namespace, name, meta, said))
    }

    fn finding(&self, namespace: &str, name: &str, meta: &Meta, said: Finding) -> Finding {
        Finding {
            id: Finding::id(self.analyzer, &format!("{namespace}/{name}")),
            strict: meta.strict,
            objects: vec![ObjectReference {
                api_version: self.api_version.to_owned(),
                kind: self.kind.to_owned(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }],
            ..said
        }
        .with_remedy(format!(
            "See why its pods {}: kubectl -n {namespace} describe {} {name}, then describe its pods and read their logs.",
            self.trouble, self.noun
        ))
        .with_icon(&self.icon)
    }

    /// `[<count> ]<op> <int>`: exactly one space between the words, no `!=`.
    fn holds(&self, when: &str, status: &WorkloadStatus) -> Result<bool, NotEvaluated> {
        if when == "absent" && self.absence == Absence::Outcome {
            return Ok(false);
        }
        let parts: Vec<&str> = when.trim().split(' ').collect();
        let (word, operator, value) = match (parts.as_slice(), self.counts) {
            ([operator, value], [("", _)]) => ("", *operator, *value),
            ([word, operator, value], [first, ..]) if !first.0.is_empty() => {
                (*word, *operator, *value)
            }
            _ => {
                return Err(bad_condition(
                    when,
                    format!("expected `{}`", self.grammar()),
                ));
            }
        };
        let Some((_, count)) = self.counts.iter().find(|(name, _)| *name == word) else {
            let problem = format!("unknown count {word:?}; expected `{}`", self.grammar());
            return Err(bad_condition(when, problem));
        };
        let value: i64 = value
            .parse()
            .map_err(|_| bad_condition(when, format!("{value:?} is not a whole number")))?;
        match Operator::parse(operator) {
            Some(operator) if operator != Operator::NotEqual => {
                Ok(operator.holds(i64::from(count(status)).cmp(&value)))
            }
            _ => Err(bad_condition(
                when,
                format!("unknown operator {operator:?}; = < > <= >= are known"),
            )),
        }
    }

    fn grammar(&self) -> String {
        let names: Vec<&str> = self.counts.iter().map(|(name, _)| *name).collect();
        let grammar = format!("{} <operator> <number>", names.join("|"));
        grammar.trim_start().to_owned()
    }
}

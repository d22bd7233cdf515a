//! From documents to what a run does: merged, without duplicates, with what troubleshoot adds by default.

use std::collections::BTreeSet;
use std::sync::Arc;

use analyzers::Check;
use checks::agent;
use checks::run::Planned;
use serde_json::{Map, Value, json};
use syntax::yaml::{self, Content, Node, Position};

use super::Specs;
use super::diagnostic::{Diagnostic, SpecError};
use super::document::Document;
use super::entry::{Entry, List, Origin};
use super::kinds::Kind;
use super::placeholder::{NotRun, Unanswered, analyzer_row, collector_row};
use super::redactor::Redactor;

/// What a run does.
#[derive(Debug)]
pub struct Plan {
    /// The spec's name.
    pub name: String,
    /// The label `applicationName` of the first document that has it.
    pub application: Option<String>,
    /// The entries of every list, merged, without duplicates, excluded ones included.
    pub entries: Vec<PlanEntry>,
    /// The redactors, of every document.
    pub redactors: Vec<Redactor>,
    /// Where results go besides: `uploadResultsTo` of the Preflights.
    pub upload_results_to: Vec<String>,
    /// What happens with the bundle afterwards, as written.
    pub after_collection: Vec<Value>,
    /// Whether host collectors are to run in pods on every node.
    pub run_host_collectors_in_pod: bool,
    /// Entries of the documents that take no part in this kind of run.
    pub left_out: Vec<Diagnostic>,
    kind: Kind,
    metadata: Value,
}

/// An entry of a plan.
#[derive(Debug)]
pub struct PlanEntry {
    /// The entry.
    pub entry: Entry,
    /// Whether the spec names it; else it was added by default.
    pub requested: bool,
}

const MERGED_BUNDLE: &str = "merged-support-bundle-spec";

impl Specs {
    /// Merges what a preflight runs: Preflights and `HostPreflights`, each kind's lists one after the other;
    /// `clusterInfo` and `clusterResources` are added where there is an in-cluster preflight.
    pub fn preflight(&self) -> Result<Plan, SpecError> {
        let kinds = [Kind::Preflight, Kind::HostPreflight];
        let chosen = self.of_kinds(&kinds, "Preflight or HostPreflight")?;
        let mut plan = Plan::of(Kind::Preflight, &chosen);
        let in_cluster = chosen
            .iter()
            .any(|document| document.kind == Kind::Preflight);
        if !in_cluster {
            plan.kind = Kind::HostPreflight;
        }
        for document in &chosen {
            plan.take(&document.entries, |_| true);
            plan.upload_results_to
                .extend(document.upload_results_to.clone());
        }
        if let Some(metadata) = chosen.first().map(|document| &document.metadata) {
            plan.metadata.clone_from(metadata);
        }
        if in_cluster {
            plan.add_defaults();
        }
        plan.leave_out(&self.documents, |document, _| {
            kinds.contains(&document.kind)
        });
        plan.finish(self);
        Ok(plan)
    }

    /// Merges what a support bundle collects and judges: `SupportBundles` with all their lists, then the
    /// `collectors` of Collectors and `HostCollectors`. `clusterInfo` and `clusterResources` are added unless
    /// there are only host collectors.
    pub fn support_bundle(&self) -> Result<Plan, SpecError> {
        let kinds = [Kind::SupportBundle, Kind::Collector, Kind::HostCollector];
        let takes = |document: &Document, list: List| match document.kind {
            Kind::SupportBundle => true,
            Kind::Collector => list == List::Collectors,
            Kind::HostCollector => list == List::HostCollectors,
            _ => false,
        };
        let chosen = self.of_kinds(&kinds, "SupportBundle, Collector or HostCollector")?;
        let mut plan = Plan::of(Kind::SupportBundle, &chosen);
        MERGED_BUNDLE.clone_into(&mut plan.name);
        plan.metadata = json!({ "name": MERGED_BUNDLE });
        for kind in kinds {
            for document in chosen.iter().filter(|document| document.kind == kind) {
                plan.take(&document.entries, |entry| takes(document, entry.list));
                plan.run_host_collectors_in_pod |= document.run_host_collectors_in_pod;
                if kind == Kind::SupportBundle {
                    plan.after_collection
                        .extend_from_slice(&document.after_collection);
                }
            }
        }
        let has = |list| plan.entries.iter().any(|each| each.entry.list == list);
        if has(List::Collectors) || !has(List::HostCollectors) {
            plan.add_defaults();
        }
        plan.leave_out(&self.documents, takes);
        plan.finish(self);
        Ok(plan)
    }

    /// Takes the analyzers of every document, for an existing bundle.
    pub fn analysis(&self) -> Result<Plan, SpecError> {
        let chosen = self.of_kinds(
            &Kind::ALL,
            "Analyzer, SupportBundle, Preflight or HostPreflight",
        )?;
        let mut plan = Plan::of(Kind::Analyzer, &chosen);
        for document in &chosen {
            plan.take(&document.entries, |entry| entry.list.is_analyzers());
        }
        plan.finish(self);
        Ok(plan)
    }

    /// The redactors of every document, in order.
    pub fn redactors(&self) -> impl Iterator<Item = &Redactor> {
        self.documents
            .iter()
            .flat_map(|document| &document.redactors)
    }

    fn of_kinds(&self, kinds: &[Kind], wanted: &'static str) -> Result<Vec<&Document>, SpecError> {
        let chosen: Vec<_> = self
            .documents
            .iter()
            .filter(|document| kinds.contains(&document.kind))
            .collect();
        if chosen.is_empty() {
            let found = self.documents.iter();
            let found =
                found.map(|document| format!("{} ({})", document.kind.name(), document.place));
            return Err(SpecError::Kind {
                wanted,
                found: found.collect::<Vec<_>>().join(", "),
            });
        }
        Ok(chosen)
    }
}

impl Plan {
    fn of(kind: Kind, documents: &[&Document]) -> Self {
        let named = documents.iter().find(|document| !document.name.is_empty());
        Self {
            name: named
                .map(|document| document.name.clone())
                .unwrap_or_default(),
            application: documents.iter().find_map(|document| {
                let label = document.metadata.pointer("/labels/applicationName")?;
                label.as_str().map(str::to_owned)
            }),
            metadata: json!({}),
            entries: Vec::new(),
            redactors: Vec::new(),
            upload_results_to: Vec::new(),
            after_collection: Vec::new(),
            run_host_collectors_in_pod: false,
            left_out: Vec::new(),
            kind,
        }
    }

    fn take(&mut self, entries: &[Entry], takes: impl Fn(&Entry) -> bool) {
        let chosen = entries.iter().filter(|entry| takes(entry));
        self.entries.extend(chosen.map(|entry| PlanEntry {
            entry: entry.clone(),
            requested: true,
        }));
    }

    /// Adds `clusterInfo` and `clusterResources` where they are missing.
    fn add_defaults(&mut self) {
        for kind in ["clusterInfo", "clusterResources"] {
            let named =
                |each: &PlanEntry| each.entry.list == List::Collectors && each.entry.kind == kind;
            if !self.entries.iter().any(named) {
                self.entries.push(PlanEntry {
                    entry: default_collector(kind),
                    requested: false,
                });
            }
        }
    }

    fn leave_out(&mut self, documents: &[Document], takes: impl Fn(&Document, List) -> bool) {
        for document in documents {
            let mut lists: Vec<List> = document.entries.iter().map(|entry| entry.list).collect();
            lists.dedup();
            for list in lists.into_iter().filter(|list| !takes(document, *list)) {
                let message = format!(
                    "the {} of a {} take no part in this run",
                    list.key(),
                    document.kind.name()
                );
                self.left_out
                    .push(Diagnostic::warning(document.place.clone(), message));
            }
        }
    }

    /// Drops repeated entries, keeping the first, and gathers the redactors.
    fn finish(&mut self, specs: &Specs) {
        let mut seen = BTreeSet::new();
        self.entries
            .retain(|each| seen.insert((each.entry.list, each.entry.item.to_string())));
        self.redactors = specs.redactors().cloned().collect();
    }

    /// The collectors, `clusterResources` first: one for all its entries, over the union of their
    /// namespaces, or all where one names none. In the order of the spec otherwise; excluded ones are
    /// there, marked.
    #[must_use]
    pub fn collectors(&self) -> Vec<Planned> {
        let (resources, others): (Vec<_>, Vec<_>) = self
            .entries
            .iter()
            .filter(|each| !each.entry.list.is_analyzers())
            .partition(|each| {
                each.entry.list == List::Collectors && each.entry.kind == "clusterResources"
            });
        let (excluded, run): (Vec<_>, Vec<_>) =
            resources.into_iter().partition(|each| each.entry.excluded);
        let (mergeable, broken): (Vec<_>, Vec<_>) = run
            .into_iter()
            .partition(|each| each.entry.unusable.is_none());
        let merged = merge(&mergeable);
        merged
            .iter()
            .map(|each| (&each.entry, each.requested))
            .chain(
                broken
                    .into_iter()
                    .chain(excluded)
                    .chain(others)
                    .map(|each| (&each.entry, each.requested)),
            )
            .map(|(entry, requested)| planned(entry, requested))
            .collect()
    }

    /// The analyzers that are not excluded, in the order of the spec.
    #[must_use]
    pub fn checks(&self) -> Vec<Check> {
        self.entries
            .iter()
            .map(|each| &each.entry)
            .filter(|entry| entry.list.is_analyzers() && !entry.excluded)
            .map(check)
            .collect()
    }

    /// The merged spec as a document, as troubleshoot's `--dry-run` prints it: what a preflight adds by
    /// default is not in it.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut spec = Map::new();
        let printed = |each: &&PlanEntry| each.requested || self.kind == Kind::SupportBundle;
        for each in self.entries.iter().filter(printed) {
            let key = match (self.kind, each.entry.list) {
                (Kind::HostPreflight, List::HostCollectors) => "collectors",
                (Kind::HostPreflight, List::HostAnalyzers) => "analyzers",
                (_, list) => list.key(),
            };
            let list = spec.entry(key).or_insert_with(|| json!([]));
            if let Value::Array(items) = list {
                items.push(each.entry.item.clone());
            }
        }
        if !self.after_collection.is_empty() {
            spec.insert(
                "afterCollection".to_owned(),
                self.after_collection.clone().into(),
            );
        }
        if self.run_host_collectors_in_pod {
            spec.insert("runHostCollectorsInPod".to_owned(), true.into());
        }
        yaml::emit(&json!({
            "apiVersion": "troubleshoot.sh/v1beta2",
            "kind": self.kind.name(),
            "metadata": self.metadata,
            "spec": spec,
            "status": {},
        }))
    }
}

fn default_collector(kind: &str) -> Entry {
    let node = Node {
        position: Position::START,
        content: Content::Mapping(Vec::new()),
    };
    let origin = Origin::new("(added by default)");
    Entry {
        list: List::Collectors,
        kind: kind.to_owned(),
        item: json!({ kind: {} }),
        config: json!({}),
        name: String::new(),
        excluded: false,
        strict: false,
        annotations: std::collections::BTreeMap::default(),
        budget: checks::budget::Budget::default(),
        place: origin.place(Position::START),
        unusable: None,
        node,
        origin,
    }
}

/// One `clusterResources` for several.
pub(super) fn merge(entries: &[&PlanEntry]) -> Option<PlanEntry> {
    let (first, rest) = entries.split_first()?;
    let mut merged = PlanEntry {
        entry: first.entry.clone(),
        requested: entries.iter().any(|each| each.requested),
    };
    if rest.is_empty() {
        return Some(merged);
    }
    let mut namespaces = BTreeSet::new();
    let mut all = false;
    for each in rest {
        merged.entry.budget = merged.entry.budget.max(each.entry.budget);
    }
    for each in entries {
        let named = each
            .entry
            .config
            .get("namespaces")
            .and_then(Value::as_array);
        match named.filter(|named| !named.is_empty()) {
            Some(named) => namespaces.extend(named.iter().filter_map(Value::as_str)),
            None => all = true,
        }
    }
    let namespaces: Vec<&str> = if all {
        Vec::new()
    } else {
        namespaces.into_iter().collect()
    };
    if let Some(config) = merged.entry.config.as_object_mut() {
        config.insert("namespaces".to_owned(), json!(namespaces));
    }
    Some(merged)
}

fn planned(entry: &Entry, requested: bool) -> Planned {
    let row = entry.collector_kind();
    let parsed = match (&entry.unusable, row) {
        (Some(reason), _) => Err(reason.clone()),
        (None, None) if entry.list == List::RemoteCollectors => Err(format!(
            "{}: this release does not run collectors on other nodes",
            entry.place
        )),
        (None, None) => Err(format!(
            "{}: this release does not have the {} `{}`",
            entry.place,
            entry.list.noun(),
            entry.kind
        )),
        (None, Some(row)) => match (row.parse)(&entry.config, &entry.collector_meta()) {
            Ok(parsed) => Ok((row, parsed.config)),
            Err(error) => Err(error.message),
        },
    };
    match parsed {
        Ok((kind, collector)) => Planned {
            kind,
            collector: agent::placed(kind, entry.collector_meta(), Arc::from(collector)),
            requested,
            excluded: entry.excluded,
            budget: entry.budget,
        },
        Err(reason) => {
            let kind = row.unwrap_or_else(|| collector_row(entry));
            let type_name = match kind.type_name {
                "unknown" => &entry.kind,
                name => name,
            };
            let title = match entry.name.as_str() {
                "" => type_name.to_owned(),
                name => format!("{type_name}/{name}"),
            };
            Planned {
                kind,
                collector: Arc::new(NotRun { title, reason }),
                requested,
                excluded: entry.excluded,
                budget: entry.budget,
            }
        }
    }
}

fn check(entry: &Entry) -> Check {
    let mut meta = analyzers::analyzer::Meta {
        check_name: entry.name.clone(),
        strict: entry.strict,
    };
    let Some(kind) = entry.analyzer_kind() else {
        let reason = entry.unusable.clone().unwrap_or_else(|| {
            format!(
                "this release does not have the {} `{}`",
                entry.list.noun(),
                entry.kind
            )
        });
        return Check {
            kind: analyzer_row(entry),
            meta,
            analyzer: Ok(Box::new(Unanswered {
                title: entry.kind.clone(),
                reason,
            })),
        };
    };
    let analyzer = match &entry.unusable {
        Some(reason) => Err(reason.clone()),
        None => (kind.parse)(&entry.config)
            .map(|parsed| parsed.config)
            .map_err(|error| error.message),
    };
    if analyzer.is_err() && meta.check_name.is_empty() {
        entry.kind.clone_into(&mut meta.check_name);
    }
    Check {
        kind,
        meta,
        analyzer,
    }
}

//! Stands where a spec names something that cannot be run, so that it is answered and not lost: a collector
//! that ends as not collected, an analyzer that answers unknown.

use analyzers::{Analyzer, AnalyzerKind, Judgement, NotEvaluated};
use async_trait::async_trait;
use bundle::Files;
use checks::collector::{CollectError, CollectorKind};
use checks::{Collector, Context, Output, Permission};
use serde_json::Value;
use syntax::config::ConfigError;

use super::entry::{Entry, List};
use super::kinds;

/// A collector that is not run.
#[derive(Debug)]
pub(super) struct NotRun {
    pub(super) title: String,
    pub(super) reason: String,
}

#[async_trait]
impl Collector for NotRun {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn permissions(&self, _namespace: Option<&str>) -> Vec<Permission> {
        Vec::new()
    }

    fn files(&self, _namespace: Option<&str>) -> Vec<String> {
        Vec::new()
    }

    async fn collect(&self, _context: &Context, _output: &Output) -> Result<(), CollectError> {
        Err(CollectError::Failed(self.reason.clone()))
    }
}

/// An analyzer that is not evaluated.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) title: String,
    pub(super) reason: String,
}

impl Unanswered {
    pub(super) fn unknown(&self) -> NotEvaluated {
        NotEvaluated::Unknown(self.reason.clone())
    }
}

impl Analyzer for Unanswered {
    fn analyze(
        &self,
        _meta: &analyzers::analyzer::Meta,
        _files: &Files,
    ) -> Result<Judgement, NotEvaluated> {
        Err(self.unknown())
    }

    fn title(&self, meta: &analyzers::analyzer::Meta) -> String {
        if meta.check_name.is_empty() {
            self.title.clone()
        } else {
            meta.check_name.clone()
        }
    }
}

/// What a placeholder's row says of its kind.
const SUMMARY: &str = "Not in this release";

const fn collector(
    name: &'static str,
    type_name: &'static str,
    scope: checks::Scope,
) -> CollectorKind {
    CollectorKind {
        name,
        type_name,
        scope,
        summary: SUMMARY,
        docs: "",
        since: "",
        parse: |_, _| Err(not_here()),
        schema: || Value::Bool(true),
    }
}

const fn analyzer(name: &'static str, scope: analyzers::Scope) -> AnalyzerKind {
    AnalyzerKind {
        name,
        scope,
        summary: SUMMARY,
        docs: String::new,
        since: "",
        needs: &[],
        parse: |_| Err(not_here()),
        schema: || Value::Bool(true),
    }
}

fn not_here() -> ConfigError {
    ConfigError {
        path: ".".to_owned(),
        message: SUMMARY.to_owned(),
    }
}

/// Rows for every name that troubleshoot has.
static COLLECTORS: [CollectorKind; kinds::COLLECTORS.len()] = {
    let mut rows = [const { collector("", "", checks::Scope::Cluster) }; kinds::COLLECTORS.len()];
    let mut index = 0;
    while index < rows.len() {
        let (name, type_name) = kinds::COLLECTORS[index];
        rows[index] = collector(name, type_name, checks::Scope::Cluster);
        index += 1;
    }
    rows
};
static HOST_COLLECTORS: [CollectorKind; kinds::HOST_COLLECTORS.len()] = {
    let mut rows = [const { collector("", "", checks::Scope::Host) }; kinds::HOST_COLLECTORS.len()];
    let mut index = 0;
    while index < rows.len() {
        let name = kinds::HOST_COLLECTORS[index];
        rows[index] = collector(name, name, checks::Scope::Host);
        index += 1;
    }
    rows
};
static ANALYZERS: [AnalyzerKind; kinds::ANALYZERS.len()] = {
    let mut rows = [const { analyzer("", analyzers::Scope::Cluster) }; kinds::ANALYZERS.len()];
    let mut index = 0;
    while index < rows.len() {
        rows[index] = analyzer(kinds::ANALYZERS[index], analyzers::Scope::Cluster);
        index += 1;
    }
    rows
};
static HOST_ANALYZERS: [AnalyzerKind; kinds::HOST_ANALYZERS.len()] = {
    let mut rows = [const { analyzer("", analyzers::Scope::Host) }; kinds::HOST_ANALYZERS.len()];
    let mut index = 0;
    while index < rows.len() {
        rows[index] = analyzer(kinds::HOST_ANALYZERS[index], analyzers::Scope::Host);
        index += 1;
    }
    rows
};
static UNKNOWN_COLLECTOR: CollectorKind = collector("unknown", "unknown", checks::Scope::Cluster);
static UNKNOWN_HOST_COLLECTOR: CollectorKind = collector("unknown", "unknown", checks::Scope::Host);
static UNKNOWN_ANALYZER: AnalyzerKind = analyzer("unknown", analyzers::Scope::Cluster);
static UNKNOWN_HOST_ANALYZER: AnalyzerKind = analyzer("unknown", analyzers::Scope::Host);

/// The row under which a collector that is not run is recorded.
pub(super) fn collector_row(entry: &Entry) -> &'static CollectorKind {
    let (rows, unknown) = match entry.list {
        List::HostCollectors | List::RemoteCollectors => {
            (&HOST_COLLECTORS[..], &UNKNOWN_HOST_COLLECTOR)
        }
        _ => (&COLLECTORS[..], &UNKNOWN_COLLECTOR),
    };
    rows.iter()
        .find(|row| row.name == entry.kind)
        .unwrap_or(unknown)
}

/// The row under which an analyzer that is not evaluated is answered.
pub(super) fn analyzer_row(entry: &Entry) -> &'static AnalyzerKind {
    let (rows, unknown) = match entry.list {
        List::HostAnalyzers => (&HOST_ANALYZERS[..], &UNKNOWN_HOST_ANALYZER),
        _ => (&ANALYZERS[..], &UNKNOWN_ANALYZER),
    };
    rows.iter()
        .find(|row| row.name == entry.kind)
        .unwrap_or(unknown)
}

//! What an analyzer is, and how a spec's analyzers are evaluated over a bundle.

use std::fmt;

use bundle::Files;
use serde_json::Value;
use syntax::config::{ConfigError, Parsed};

use crate::finding::{Finding, Judgement, NotEvaluated, Verdict};

/// Where an analyzer's subject lives, and so which list of a spec names it: `analyzers` or `hostAnalyzers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `analyzers`
    Cluster,
    /// `hostAnalyzers`
    Host,
}

/// Reads a plug-in's configuration.
pub type ParseConfig = fn(&Value) -> Result<Parsed<Box<dyn Analyzer>>, ConfigError>;

/// A row of the registry: everything that `explain`, the schema, the reference pages and lint know of a
/// kind of analyzer.
#[derive(Debug)]
pub struct AnalyzerKind {
    /// The key in a spec, `nodeResources`.
    pub name: &'static str,
    /// Which list names it.
    pub scope: Scope,
    /// One line.
    pub summary: &'static str,
    /// The plug-in's doc comment, Markdown under the headings [`HEADINGS`].
    pub docs: fn() -> String,
    /// The release that brought it.
    pub since: &'static str,
    /// The collectors whose files it reads.
    pub needs: &'static [&'static str],
    /// Reads the plug-in's own configuration: the spec's object without the fields of [`Meta`].
    pub parse: ParseConfig,
    /// The configuration's JSON Schema.
    pub schema: fn() -> Value,
}

/// The headings of a plug-in's doc comment, in this order.
pub const HEADINGS: [&str; 5] = [
    "# What it checks",
    "# When it warns or fails",
    "# What to do",
    "# Needs",
    "# Example",
];

/// The fields that every analyzer has (`AnalyzeMeta`).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Meta {
    /// `checkName`: the finding's title.
    pub check_name: String,
    /// `strict`.
    pub strict: bool,
}

impl Meta {
    /// The spec's title, or the kind's own.
    #[must_use]
    pub fn title_or(&self, default: impl Into<String>) -> String {
        if self.check_name.is_empty() {
            default.into()
        } else {
            self.check_name.clone()
        }
    }
}

/// One analyzer with its configuration.
pub trait Analyzer: fmt::Debug + Send + Sync {
    /// Judges the bundle. What cannot be judged is an answer, not an error: all of it as
    /// [`NotEvaluated`], part of it beside the findings in [`Judgement::not_evaluated`].
    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated>;

    /// The title of the answer where there is no finding: what `analyze` would have used by default.
    fn title(&self, meta: &Meta) -> String;
}

/// An analyzer of a spec, ready to be evaluated.
#[derive(Debug)]
pub struct Check {
    /// Its registry row.
    pub kind: &'static AnalyzerKind,
    /// The common fields.
    pub meta: Meta,
    /// The plug-in, or why its configuration cannot be used.
    pub analyzer: Result<Box<dyn Analyzer>, String>,
}

/// What became of one [`Check`].
#[derive(Debug)]
pub struct Evaluation {
    /// The kind, `nodeResources`.
    pub kind: &'static str,
    /// Which list of the spec named it.
    pub scope: Scope,
    /// The title of what was not evaluated, and of a check without findings.
    pub title: String,
    /// The check's `strict`.
    pub strict: bool,
    /// The findings.
    pub findings: Vec<Finding>,
    /// Why all of it, or, beside findings, part of it was not evaluated.
    pub not_evaluated: Option<NotEvaluated>,
}

/// Evaluates every check over the bundle, in spec order, cluster before host.
#[must_use]
pub fn evaluate(checks: &[Check], files: &Files) -> Vec<Evaluation> {
    let (cluster, host): (Vec<_>, Vec<_>) = checks
        .iter()
        .partition(|check| check.kind.scope == Scope::Cluster);
    cluster
        .into_iter()
        .chain(host)
        .map(|check| evaluate_one(check, files))
        .collect()
}

fn evaluate_one(check: &Check, files: &Files) -> Evaluation {
    let (title, result) = match &check.analyzer {
        Ok(analyzer) => (
            analyzer.title(&check.meta),
            analyzer.analyze(&check.meta, files),
        ),
        Err(reason) => (
            check.meta.title_or(check.kind.name),
            Err(NotEvaluated::Spec(reason.clone())),
        ),
    };
    let judgement = result.unwrap_or_else(|reason| Judgement {
        findings: Vec::new(),
        not_evaluated: Some(reason),
    });
    let mut evaluation = Evaluation {
        kind: check.kind.name,
        scope: check.kind.scope,
        title,
        strict: check.meta.strict,
        findings: judgement.findings,
        not_evaluated: judgement.not_evaluated,
    };
    if check.kind.scope == Scope::Host {
        fail_on_error(&mut evaluation);
    }
    evaluation
}

/// Troubleshoot turns a host analyzer's error (a bad condition, a broken file) into a failed result, where
/// it drops an in-cluster analyzer's. Callers rely on seeing it, so we keep it.
fn fail_on_error(evaluation: &mut Evaluation) {
    if let Some(NotEvaluated::Spec(reason) | NotEvaluated::Malformed(reason)) =
        &evaluation.not_evaluated
    {
        let failed = Finding {
            id: format!("{}/failed", evaluation.kind),
            title: evaluation.title.clone(),
            verdict: Some(Verdict::Fail),
            message: format!("Analyzer Failed: analyze: {reason}"),
            ..Finding::default()
        };
        evaluation.findings.push(failed);
        evaluation.not_evaluated = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scope: Scope, name: &str) -> Check {
        let is_it = |kind: &&&AnalyzerKind| kind.scope == scope && kind.name == name;
        let kind = crate::rules::KINDS
            .iter()
            .find(is_it)
            .expect("a registered kind");
        Check {
            kind,
            meta: Meta::default(),
            analyzer: Err("no such field".to_owned()),
        }
    }

    #[test]
    fn cluster_before_host_each_in_the_specs_order() {
        let checks = [
            check(Scope::Host, "memory"),
            check(Scope::Cluster, "storageClass"),
            check(Scope::Host, "cpu"),
            check(Scope::Cluster, "clusterVersion"),
        ];
        let evaluations = evaluate(&checks, &Files::in_memory([], None));
        let kinds: Vec<&str> = evaluations.iter().map(|it| it.kind).collect();
        assert_eq!(kinds, ["storageClass", "clusterVersion", "memory", "cpu"]);
    }

    #[test]
    fn an_unusable_check_is_unknown_in_the_cluster_and_fails_on_the_host() {
        let checks = [
            check(Scope::Cluster, "textAnalyze"),
            check(Scope::Host, "textAnalyze"),
        ];
        let evaluations = evaluate(&checks, &Files::in_memory([], None));
        let verdicts: Vec<_> = evaluations
            .iter()
            .map(|it| {
                it.findings
                    .iter()
                    .map(|finding| finding.verdict)
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(verdicts, [vec![], vec![Some(Verdict::Fail)]]);
        let unknown = evaluations[0].not_evaluated.as_ref();
        assert!(unknown.is_some_and(NotEvaluated::is_unknown));
        assert_eq!(evaluations[1].not_evaluated, None);
        assert_eq!(
            evaluations[1].findings[0].message,
            "Analyzer Failed: analyze: no such field"
        );
    }
}

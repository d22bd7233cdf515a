//! `s3Status`: whether a bucket could be reached.

use bundle::Files;
use bundle::collected::postgres::Connection;
use bundle::collected::s3::Status;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::analyzer::{Analyzer, AnalyzerKind, Meta, Scope};
use crate::config::{docs, parse, schema};
use crate::document::{document, file_path};
use crate::finding::{Finding, Icon, Judgement, NotEvaluated, Verdict};
use crate::outcome::{Outcome, first_match};

pub(super) const KIND: AnalyzerKind = AnalyzerKind {
    name: NAME,
    scope: Scope::Cluster,
    summary: "A bucket can be reached",
    docs: docs::<S3Status>,
    since: "0.1.0",
    needs: &["s3Status"],
    parse: parse::<S3Status>,
    schema: schema::<S3Status>,
};

const NAME: &str = "s3Status";
const ICON: Icon = Icon {
    key: "kubernetes_s3_analyze",
    file: "s3-analyze.svg",
};

/// A bucket can be reached.
///
/// # What it checks
/// Whether the collector of the same name got an answer of success to HEAD of the bucket.
///
/// # When it warns or fails
/// `when` is `connected == true` or `connected == false`. A `version` can be compared, too, and is not known of any object
/// storage. The first outcome that holds counts; without `when` it always does. The message of a
/// failure with `when` is followed by what came back.
///
/// # What to do
/// Put the collector and the analyzer `s3` beside it: they say which link broke, why, and what helps.
///
/// # Needs
/// The collector `s3Status` with the same `collectorName`.
///
/// # Example
/// ```yaml
/// s3Status:
///   collectorName: artifacts
///   outcomes:
///     - fail:
///         when: connected == false
///         message: The bucket cannot be reached.
///     - pass:
///         message: The bucket can be reached.
/// ```
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct S3Status {
    /// The conditions and what to say.
    outcomes: Vec<Outcome>,
    /// The collector's name.
    collector_name: String,
    /// Not used: troubleshoot knows it, and reads the collector's file all the same.
    #[serde(rename = "fileName")]
    _file_name: String,
}

impl S3Status {
    fn name(&self) -> &str {
        if self.collector_name.is_empty() {
            NAME
        } else {
            &self.collector_name
        }
    }
}

impl Analyzer for S3Status {
    fn title(&self, meta: &Meta) -> String {
        meta.title_or(self.name())
    }

    fn analyze(&self, meta: &Meta, files: &Files) -> Result<Judgement, NotEvaluated> {
        let path = file_path(NAME, &format!("{}.json", self.name()))?;
        let status = document::<Status>(files, &path)?;
        // The grammar is that of servers with a login and a version.
        let connection = Connection {
            is_connected: status.is_connected,
            error: status.error.clone(),
            version: status.version.clone(),
        };
        let matched = first_match(&self.outcomes, |when| {
            super::postgres::holds(when, &connection)
        })?;
        let mut finding = Finding {
            id: Finding::id(NAME, self.name()),
            title: self.title(meta),
            strict: meta.strict,
            observed: if status.is_connected {
                format!("bucket {:?} reached ({path})", status.bucket_name)
            } else {
                format!("bucket {:?} not reached ({path})", status.bucket_name)
            },
            ..Finding::of_match(matched)
        };
        if let Some((Verdict::Fail, branch)) = matched
            && !branch.when.is_empty()
            && !status.error.is_empty()
        {
            finding.message = format!("{} {}", finding.message, status.error);
        }
        let advice = "See what came back: the name, the network, TLS, the region, the keys, the bucket. The collector s3 finds the first of them that is wrong.";
        Ok(finding.with_remedy(advice).with_icon(&ICON).into())
    }
}

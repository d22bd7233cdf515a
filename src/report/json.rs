//! Our own machine formats: a superset of the peer's `{"pass", "warn", "fail"}`.

use analyzers::{Finding, Verdict};
use anyhow::Context as _;
use bundle::manifest::{CollectorRecord, Gap, Outcome};
use serde::Serialize;

use crate::report::{Report, Unresolved};

/// The version of this document. It grows when a field's meaning changes or a field goes away.
pub const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema_version: u32,
    name: &'a str,
    exit_code: u8,
    pass: Vec<&'a Finding>,
    warn: Vec<&'a Finding>,
    fail: Vec<&'a Finding>,
    unknown: Vec<&'a Unresolved>,
    not_applicable: Vec<&'a Unresolved>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    collectors: Vec<Collected<'a>>,
    #[serde(skip_serializing_if = "<[Gap]>::is_empty")]
    lost: &'a [Gap],
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Collected<'a> {
    title: &'a str,
    collector: &'a str,
    outcome: Outcome,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
    #[serde(skip_serializing_if = "<[Gap]>::is_empty")]
    gaps: &'a [Gap],
}

impl<'a> From<&'a CollectorRecord> for Collected<'a> {
    fn from(record: &'a CollectorRecord) -> Self {
        Self {
            title: &record.title,
            collector: &record.collector,
            outcome: record.outcome,
            error: &record.error,
            gaps: &record.gaps,
        }
    }
}

fn document(report: &Report) -> Document<'_> {
    Document {
        schema_version: SCHEMA_VERSION,
        name: &report.name,
        exit_code: report.exit().code(),
        pass: report.with(Verdict::Pass).collect(),
        warn: report.with(Verdict::Warn).collect(),
        fail: report.with(Verdict::Fail).collect(),
        unknown: report.unknown().collect(),
        not_applicable: report.not_applicable().collect(),
        collectors: report.records.iter().map(Collected::from).collect(),
        lost: &report.lost,
        bundle: report
            .bundle
            .as_ref()
            .map(|path| path.display().to_string()),
    }
}

/// One JSON object and a newline.
pub fn json(report: &Report) -> anyhow::Result<String> {
    let mut text =
        serde_json::to_string_pretty(&document(report)).context("failed to write the report")?;
    text.push('\n');
    Ok(text)
}

/// The same document as YAML.
pub fn yaml(report: &Report) -> anyhow::Result<String> {
    let value = serde_json::to_value(document(report)).context("failed to write the report")?;
    Ok(syntax::yaml::emit(&value))
}

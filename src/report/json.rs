//! Our own machine formats: a superset of the peer's `{"pass", "warn", "fail"}`.

use std::fmt::Write as _;

use analyzers::{Finding, Verdict};
use anyhow::Context as _;
use bundle::manifest::{CollectorRecord, Gap, Outcome};
use serde::Serialize;

use crate::report::human::turns;
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
    Ok(inert(text))
}

/// JSON with everything escaped that a terminal could take for a command or that turns the direction of text: the
/// same document, harmless to look at. serde escapes the first 32 characters only.
#[must_use]
pub fn inert(json: String) -> String {
    let is_active =
        |character: char| character.is_control() && character != '\n' || turns(character);
    if !json.contains(is_active) {
        return json;
    }
    let mut text = String::with_capacity(json.len() + 64);
    for character in json.chars() {
        if is_active(character) {
            // Outside of strings JSON has no such character, so that the escape always stands in one.
            let _ = write!(text, "\\u{:04x}", u32::from(character));
        } else {
            text.push(character);
        }
    }
    text
}

/// The same document as YAML.
pub fn yaml(report: &Report) -> anyhow::Result<String> {
    let value = serde_json::to_value(document(report)).context("failed to write the report")?;
    Ok(syntax::yaml::emit(&value))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn control_sequences_in_json_are_escaped() {
        let hostile = "a\x1b[2J\u{9b}31m\u{7f}\u{85}\u{202e}\r\n\té\u{1f600}";
        let json = serde_json::to_string_pretty(&[hostile]).expect("text");
        let text = inert(json.clone());
        assert!(
            text.chars()
                .all(|character| character == '\n' || !character.is_control())
        );
        let read = |json: &str| serde_json::from_str::<Value>(json).expect("JSON");
        assert_eq!(read(&text), read(&json));
        assert_eq!(inert("{\n}".to_owned()), "{\n}");
    }
}

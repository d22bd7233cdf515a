//! The peer's forms, byte for byte: what KOTS, Embedded Cluster and scripts parse
//! (compatibility: replicatedhq/troubleshoot `cmd/preflight`, `pkg/convert`, `pkg/analyze`).
//!
//! A check that could not be evaluated has no place in these formats; dropping it would make a broken run look
//! green, so an in-cluster one is a `warn` that begins with `not evaluated:`.

use std::fmt::Write as _;

use analyzers::{Finding, Scope, Verdict};
use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::exit::Exit;
use crate::report::Report;
use crate::report::human::printable;
use crate::report::json::inert;

/// A result in the peer's order of lists and fields.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// The verdict; not part of the document.
    #[serde(skip)]
    pub verdict: Verdict,
    #[serde(skip)]
    icon_key: String,
    #[serde(skip)]
    icon_uri: String,
    #[serde(skip)]
    object: Option<Value>,
    title: String,
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    uri: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
}

/// The report's results as the peer would have them.
#[must_use]
pub fn entries(report: &Report) -> Vec<Entry> {
    let judged = report
        .findings
        .iter()
        .map(|judged| from_finding(judged.verdict, &judged.finding));
    let unknown = report
        .unknown()
        .filter(|check| check.scope == Scope::Cluster)
        .map(|check| Entry {
            verdict: Verdict::Warn,
            icon_key: String::new(),
            icon_uri: String::new(),
            object: None,
            title: check.title.clone(),
            message: format!("not evaluated: {}", check.message),
            uri: String::new(),
            strict: check.strict,
        });
    judged.chain(unknown).collect()
}

fn from_finding(verdict: Verdict, finding: &Finding) -> Entry {
    Entry {
        verdict,
        icon_key: finding.icon_key.clone(),
        icon_uri: finding.icon_uri.clone(),
        object: finding.objects.first().map(|object| {
            let mut fields = Map::new();
            fields.insert("kind".into(), json!(object.kind));
            fields.insert("namespace".into(), json!(object.namespace));
            fields.insert("name".into(), json!(object.name));
            fields.insert("apiVersion".into(), json!(object.api_version));
            Value::Object(fields)
        }),
        title: finding.title.clone(),
        message: finding.message.clone(),
        uri: finding.uri.clone(),
        strict: finding.strict,
    }
}

#[derive(Serialize)]
struct Lists<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pass: Vec<&'a Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warn: Vec<&'a Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fail: Vec<&'a Entry>,
}

fn lists(entries: &[Entry]) -> Lists<'_> {
    let with = |verdict| {
        entries
            .iter()
            .filter(|entry| entry.verdict == verdict)
            .collect()
    };
    Lists {
        pass: with(Verdict::Pass),
        warn: with(Verdict::Warn),
        fail: with(Verdict::Fail),
    }
}

/// `preflight`'s exit code: 3 when a result failed, 4 when one warned.
#[must_use]
pub fn exit(entries: &[Entry]) -> Exit {
    let worst = entries.iter().map(|entry| match entry.verdict {
        Verdict::Pass => Exit::Pass,
        Verdict::Warn => Exit::Warn,
        Verdict::Fail => Exit::Fail,
    });
    worst.fold(Exit::Pass, Exit::and)
}

/// `preflight --format json`: two-space indent, empty lists left out, a newline at the end.
pub fn preflight_json(entries: &[Entry]) -> anyhow::Result<String> {
    let mut text = go_json(&lists(entries), "  ")?;
    text.push('\n');
    Ok(text)
}

/// `preflight --format yaml`: ends with a blank line.
pub fn preflight_yaml(entries: &[Entry]) -> anyhow::Result<String> {
    let value = serde_json::to_value(lists(entries)).context("failed to write the results")?;
    let mut text = syntax::yaml::emit(&value);
    text.push('\n');
    Ok(text)
}

/// `preflight --format human`.
#[must_use]
pub fn preflight_human(name: &str, entries: &[Entry]) -> String {
    let mut text = String::from("\n");
    let mut failed = false;
    for entry in entries {
        let heading = match entry.verdict {
            Verdict::Pass => "PASS",
            Verdict::Warn => "WARN:",
            Verdict::Fail => "FAIL:",
        };
        failed |= entry.verdict == Verdict::Fail;
        let _ = writeln!(text, "   --- {heading} {}", entry.title);
        let _ = writeln!(text, "      --- {}", entry.message);
        if entry.strict {
            text.push_str("      --- Strict: true\n");
        }
    }
    let (word, closing) = if failed {
        ("FAIL", "FAILED")
    } else {
        ("PASS", "PASS")
    };
    let _ = writeln!(text, "--- {word}   {name}\n{closing}");
    printable(&text)
}

/// `analysis.json`, and `analyzerResults` of `support-bundle`: `pkg/convert.Result`.
#[must_use]
pub fn insights(entries: &[Entry]) -> Vec<Insight> {
    entries.iter().map(Insight::from).collect()
}

/// One result of `analysis.json`.
#[expect(clippy::struct_field_names, reason = "they are the document's names")]
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Insight {
    name: String,
    labels: Labels,
    insight: Detail,
    severity: &'static str,
    analyzer_spec: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    involved_object: Option<Value>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Labels {
    #[serde(skip_serializing_if = "Option::is_none")]
    desired_position: Option<&'static str>,
    icon_key: String,
    icon_uri: String,
}

#[derive(Debug, Clone, Serialize)]
#[expect(clippy::struct_field_names, reason = "they are the document's names")]
struct Detail {
    name: String,
    labels: Labels,
    primary: String,
    detail: String,
    severity: &'static str,
}

impl From<&Entry> for Insight {
    fn from(entry: &Entry) -> Self {
        let severity = match entry.verdict {
            Verdict::Pass => "debug",
            Verdict::Warn => "warn",
            Verdict::Fail => "error",
        };
        let name = dotted(&entry.title);
        let labels = |desired_position| Labels {
            desired_position,
            icon_key: entry.icon_key.clone(),
            icon_uri: entry.icon_uri.clone(),
        };
        Self {
            labels: labels(Some("1")),
            insight: Detail {
                name: name.clone(),
                labels: labels(None),
                primary: entry.title.clone(),
                detail: entry.message.clone(),
                severity,
            },
            name,
            severity,
            analyzer_spec: "",
            error: if entry.verdict == Verdict::Fail {
                entry.message.clone()
            } else {
                String::new()
            },
            involved_object: entry.object.clone(),
        }
    }
}

/// Lower case, every run of characters outside `[a-zA-Z0-9]` a dot.
fn dotted(title: &str) -> String {
    let mut name = String::with_capacity(title.len());
    for character in title.chars() {
        if character.is_ascii_alphanumeric() {
            name.push(character.to_ascii_lowercase());
        } else if !name.ends_with('.') {
            name.push('.');
        }
    }
    name
}

/// The stdout of a non-interactive `support-bundle`.
pub fn support_bundle_json(entries: &[Entry], archive: &str) -> anyhow::Result<String> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Output<'a> {
        analyzer_results: Vec<Insight>,
        archive_path: &'a str,
    }
    let mut text = go_json(
        &Output {
            analyzer_results: insights(entries),
            archive_path: archive,
        },
        "    ",
    )?;
    text.push('\n');
    Ok(text)
}

/// `analysis.json` of a bundle.
pub fn analysis_json(entries: &[Entry]) -> anyhow::Result<String> {
    go_json(&insights(entries), "    ")
}

/// `support-bundle analyze --output json|yaml`: the raw results with Go's field names, in YAML lower-cased.
pub fn raw_results(entries: &[Entry], yaml: bool) -> anyhow::Result<String> {
    #[derive(Serialize)]
    #[expect(
        clippy::struct_excessive_bools,
        reason = "they are the document's fields"
    )]
    #[serde(rename_all = "PascalCase")]
    struct Raw<'a> {
        is_pass: bool,
        is_fail: bool,
        is_warn: bool,
        strict: bool,
        title: &'a str,
        message: &'a str,
        #[serde(rename = "URI")]
        uri: &'a str,
        icon_key: &'a str,
        #[serde(rename = "IconURI")]
        icon_uri: &'a str,
        involved_object: Option<&'a Value>,
    }
    let raw: Vec<Raw<'_>> = entries
        .iter()
        .map(|entry| Raw {
            is_pass: entry.verdict == Verdict::Pass,
            is_fail: entry.verdict == Verdict::Fail,
            is_warn: entry.verdict == Verdict::Warn,
            strict: entry.strict,
            title: &entry.title,
            message: &entry.message,
            uri: &entry.uri,
            icon_key: &entry.icon_key,
            icon_uri: &entry.icon_uri,
            involved_object: entry.object.as_ref(),
        })
        .collect();
    if !yaml {
        return go_json(&raw, "  ");
    }
    let lowered: Vec<Value> = raw
        .iter()
        .map(|entry| {
            let fields = match serde_json::to_value(entry) {
                Ok(Value::Object(fields)) => fields,
                _ => Map::new(),
            };
            fields
                .into_iter()
                .map(|(key, value)| (key.to_lowercase(), value))
                .collect::<Map<_, _>>()
                .into()
        })
        .collect();
    Ok(syntax::yaml::emit(&Value::Array(lowered)))
}

/// JSON as Go's `encoding/json` indents and escapes it.
fn go_json<T: Serialize>(value: &T, indent: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    value
        .serialize(&mut serializer)
        .context("failed to write the results")?;
    let text = String::from_utf8(bytes).context("failed to write the results")?;
    // These characters stand only inside strings, so a plain replacement is exact.
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    Ok(inert(escaped))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(verdict: Verdict, title: &str, message: &str) -> Entry {
        Entry {
            verdict,
            icon_key: "kubernetes_x".into(),
            icon_uri: "https://example.com/x.svg?w=1&h=2".into(),
            object: None,
            title: title.into(),
            message: message.into(),
            uri: String::new(),
            strict: false,
        }
    }

    #[test]
    fn names_are_dotted() {
        for (title, name) in [
            ("Kubernetes version", "kubernetes.version"),
            ("[ns/]x (beta)", ".ns.x.beta."),
            ("", ""),
        ] {
            assert_eq!(dotted(title), name);
        }
    }

    #[test]
    fn json_is_go_s() -> anyhow::Result<()> {
        let text = preflight_json(&[entry(Verdict::Pass, "a<b", "c & d")])?;
        assert_eq!(
            text,
            "{\n  \"pass\": [\n    {\n      \"title\": \"a\\u003cb\",\n      \"message\": \"c \\u0026 d\"\n    }\n  ]\n}\n"
        );
        Ok(())
    }

    #[test]
    fn human_ends_with_the_verdict() {
        let text = preflight_human("app", &[entry(Verdict::Fail, "t", "m")]);
        assert_eq!(
            text,
            "\n   --- FAIL: t\n      --- m\n--- FAIL   app\nFAILED\n"
        );
    }

    #[test]
    fn insights_carry_severity_and_error() -> anyhow::Result<()> {
        let text = analysis_json(&[entry(Verdict::Fail, "A b", "why")])?;
        assert!(text.starts_with("[\n    {\n        \"name\": \"a.b\",\n"));
        assert!(text.contains("\"error\": \"why\""));
        assert!(text.contains("x.svg?w=1\\u0026h=2"));
        assert_eq!(analysis_json(&[])?, "[]");
        Ok(())
    }
}
